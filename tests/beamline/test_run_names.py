"""What a user calls a run leads to one folder, or to a line that says what there is."""

import pytest

from microarpes.beamline.run_names import run_folder
from microarpes.beamline.stored_run import NoSuchRun


def test_runs_are_found_by_uid_by_age_and_by_folder(tmp_path, make_raster):
    rasters = [make_raster(tmp_path, n=1, time=time) for time in (2e9, 3e9, 1e9)]
    assert run_folder(tmp_path, "-1") == rasters[1].folder
    assert run_folder(tmp_path, "-3") == rasters[2].folder
    assert run_folder(tmp_path, rasters[0].uid[:13]) == rasters[0].folder
    assert run_folder(tmp_path / "nowhere", str(rasters[0].folder)) == rasters[0].folder
    with pytest.raises(NoSuchRun, match="holds 3"):
        run_folder(tmp_path, "-4")
    with pytest.raises(NoSuchRun, match="none of the 3 runs"):
        run_folder(tmp_path, "xyz")
    with pytest.raises(NoSuchRun, match="holds no runs"):
        run_folder(tmp_path / "nowhere", "-1")
    for raster in rasters[:2]:
        raster.folder.rename(tmp_path / f"same-{raster.time:.0f}")
    with pytest.raises(NoSuchRun, match="2 runs"):
        run_folder(tmp_path, "same")
