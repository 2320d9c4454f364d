"""What an edge of known resolution tells of the surface is told wherever the run is looked at."""

import pytest

from microarpes.beamline.browse import _surface
from microarpes.beamline.html_report import stored_numbers
from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_header import Header
from microarpes.beamline.page_run import RunFeed
from microarpes.beamline.report_material import gather
from microarpes.beamline.report_settings import settings
from microarpes.beamline.stored_run import read_run

EDGE = {
    "edge_assumed": "resolution", "sensor_temperature": 10.0, "sensor_temperature_error": 0.5,
    "edge_temperature_error": 2.0, "edge_temperature_limit": float("nan"),
}  # fmt: skip


@pytest.mark.parametrize(("edge", "differs"), [(12.0, False), (31.0, True)])
def test_page_report_and_show_tell_both_temperatures_and_whether_they_differ(make_raster, tmp_path, edge, differs):
    raster = make_raster(tmp_path)
    raster.records[1] |= EDGE | {"edge_temperature": edge}
    raster.write(raster.documents())
    told = f"surface {edge:.1f} ± 2.0 K by its edge at 10.0 meV, sensor 10.0 ± 0.5 K"
    # 21 K of sqrt(2.0^2 + 0.5^2)
    alarm = "surface and sensor differ by 10.2 of their errors"
    lines = _surface(raster.folder / "raw.journal")
    assert lines[0] == f"  {told}"
    assert (alarm in lines[-1]) == differs
    section = settings(gather(run := read_run(raster.folder), stored_numbers(run)))
    assert (told in section.sentences[0], alarm[1:] in section.sentences[0]) == (True, differs)
    rows = [row for table in section.tables if table.caption.startswith("Calibration,") for row in table.rows]
    assert ("assumed in the fit of the edge", "resolution", "–", "") in rows
    assert ("temperature of the surface, by the edge", f"{edge:.2f}", "2.00", "K") in rows
    feed = RunFeed(raster.folder)
    while feed.advance():
        pass
    header = Header(Choices(feed))
    assert told in header.html(raster.time)
    assert any(alarm in line for line in header.alarms(raster.time)) == differs
