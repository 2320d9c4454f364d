"""What else a run leaves as: a table, figures, a line in the logbook; and how it is found among others."""

import csv
import re
import time

import numpy as np
import pytest

from microarpes.beamline.cli import main
from microarpes.beamline.cli_options import Refused, parse_moment, parse_status, parse_temperature
from microarpes.beamline.open_run import open_run
from microarpes.beamline.run_search import RunSearch


def called(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_the_table_has_a_line_for_each_measured_pixel(fitted_raster, capsys):
    status, out, _ = called(
        capsys, "export", fitted_raster.uid[:8], "--format", "csv", "--directory", fitted_raster.directory
    )
    assert status == 0
    path = fitted_raster.folder / "export.csv"
    assert out == f"{path}\n"
    text = path.read_text()
    said = [line for line in text.splitlines() if line.startswith("#")]
    assert f"# uid: {fitted_raster.uid}" in said
    assert any(line.startswith("# units:") and "gap meV" in line and "ring_current mA" in line for line in said)
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    dataset = open_run(fitted_raster.folder).to_xarray(edcs=False)
    assert [int(row["pixel"]) for row in rows] == list(range(15))
    assert rows[6]["status"] == "ok"
    assert float(rows[6]["gap"]) == float(dataset["gap"][1, 2])
    assert float(rows[6]["window_gap[+k_F]"]) == float(dataset["window_gap"][1, 2, 1])
    assert (float(rows[6]["x"]), float(rows[6]["y"]), float(rows[6]["manipulator_x"])) == (20.0, 10.0, 20.0)
    # Pixel 3 has no counts: a verdict, and no number in the place of a gap.
    assert (rows[3]["status"] != "ok", rows[3]["gap"]) == (True, "")


def test_netcdf_opens_as_the_dataset(fitted_raster, tmp_path, capsys):
    import xarray

    path = tmp_path / "map.nc"
    assert called(capsys, "export", fitted_raster.folder, "--format", "netcdf", "--output", path)[0] == 0
    with xarray.open_dataset(path, engine="h5netcdf") as back:
        xarray.testing.assert_identical(back.load(), open_run(fitted_raster.folder).to_xarray())


def test_figures_are_vectors_with_letters_and_the_same_every_time(fitted_raster, tmp_path, capsys):
    written = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        command = ["export", fitted_raster.folder, "--format", "figures", "--output", folder]
        assert called(capsys, *command)[0] == 0
        written.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    names = ("gamma1", "gap_error", "gap_histogram", "gap_map", "intensity")
    assert list(written[0]) == [f"{name}.{kind}" for name in names for kind in ("pdf", "svg")]
    assert written[0] == written[1]
    svg = written[0]["gap_map.svg"].decode()
    assert ">x (µm)<" in svg
    assert "<image" not in re.sub(r'<g id="axes_2">.*', "", svg, flags=re.S)  # cells; the colour bar may be an image
    assert written[0]["gap_map.pdf"].startswith(b"%PDF")


def test_a_logbook_gets_one_line(fitted_raster, capsys):
    status, out, _ = called(capsys, "show", "-1", "--line", "--directory", fitted_raster.directory)
    assert (status, out.count("\n")) == (0, 1)
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(fitted_raster.time))
    assert out.startswith(
        f"{day}; {fitted_raster.uid[:8]}; test; 10.0 K; 4 x 4 px, step 10 um; 15 of 16 measured; gap 3"
    )
    gap = open_run(fitted_raster.folder).to_xarray()["gap"].values
    assert f"gap {np.nanmean(gap):.2f} meV" in out


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--format", "word"], "nexus, netcdf, csv, figures"),
        (["--format", "csv", "--copy-frames"], "csv has no frames"),
        (["--output", "/nowhere/at/all.nxs"], "is not there; make it first"),
    ],
)
def test_what_cannot_be_written_is_refused_in_a_line(raster, capsys, more, why):
    status, out, err = called(capsys, "export", raster.folder, *more)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert why in err


def test_a_file_of_the_run_itself_is_never_written_over(own_raster, capsys):
    before = {path: path.read_bytes() for path in own_raster.folder.iterdir()}
    for name in ("frames.h5", "raw.journal"):
        status, _, err = called(capsys, "export", own_raster.folder, "--output", own_raster.folder / name)
        assert (status, "part of the run" in err) == (2, True)
    assert {path: path.read_bytes() for path in own_raster.folder.iterdir()} == before


START = {
    "uid": "a", "time": 1000.0, "sample": {"id": "Bi2212-7"}, "operator": "Ada", "plan_name": "gap_raster",
    "calibration": {"temperature": 10.4}, "energy_axis": [1.0, 2.0],
}  # fmt: skip
STOP = {"exit_status": "success", "reason": ""}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, True),
        ({"sample": "bi2212"}, True),
        ({"sample": "LSCO"}, False),
        ({"text": "ada"}, True),
        ({"text": "GAP_raster"}, True),
        ({"text": "grace"}, False),
        ({"status": "success"}, True),
        ({"status": "stopped"}, False),
        ({"since": 1000.0, "until": 1001.0}, True),
        ({"until": 1000.0}, False),
        ({"temperature": (10.0, 11.0)}, True),
        ({"temperature": (80.0, 120.0)}, False),
        ({"sample": "bi", "text": "ada", "temperature": (0.0, 5.0)}, False),
    ],
)
def test_a_run_is_found_by_all_that_is_asked_of_it(asked, found):
    assert RunSearch(**asked).finds(START, STOP) is found


def test_a_run_ended_by_its_operator_is_stopped_and_one_without_an_end_is_open():
    assert RunSearch(status="stopped").finds(START, STOP | {"reason": "after row 3"})
    assert RunSearch(status="open").finds(START, {})
    # In a series what was asked for is the temperature, whatever the calibration said before.
    series = START | {"series": {"settings": {"temperature": 110.0}}}
    assert RunSearch(temperature=(100.0, 120.0)).finds(series, {})
    assert not RunSearch(temperature=(0.0, 400.0)).finds({"uid": "b"}, {})


def test_days_and_temperatures_are_read_or_refused():
    day = time.mktime((2026, 11, 26, 0, 0, 0, 0, 0, -1))
    assert parse_moment("--since", "2026-11-26") == day
    assert parse_moment("--until", "2026-11-26", end=True) == day + 86400.0
    assert parse_moment("--until", "2026-11-26T08:00", end=True) == day + 8 * 3600.0
    for wrong in ("yesterday", "26.11.2026"):
        with pytest.raises(Refused, match="2026-11-26"):
            parse_moment("--since", wrong)
    for wrong in ("cold", "20,10", "1,2,3", "nan"):
        with pytest.raises(Refused, match="temperature"):
            parse_temperature(wrong)
    with pytest.raises(Refused, match="stopped"):
        parse_status("good")
