"""The lines that the page gives to be copied open, as they are, the pixel that they were copied at."""

from __future__ import annotations

import numpy as np
import pytest
from small_run import array, number

from microarpes.beamline.catalog import open_catalog
from microarpes.beamline.follow_catalog import follow_run
from microarpes.beamline.page_python import stored_lines, tiled_lines
from microarpes.beamline.page_run import RunFeed

#: One before the change of the calibration, one after, where the E_F is another and columns are shifted.
PIXELS = (6, 12)
FRAMES = {
    "uid": "frames", "data_key": "analyser_frame", "mimetype": "application/x-hdf5",
    "parameters": {"dataset": "/entry/data/data", "chunk_shape": (1, 12, 210)},
}  # fmt: skip


@pytest.fixture(scope="module")
def feed(tmp_path_factory, make_raster):
    """A run in a catalog, in a folder with a blank and a quote in its name."""
    raster = make_raster(tmp_path_factory.mktemp("the user's runs"))
    keys = {
        "primary": {"pixel": number(dtype="integer"), "frame_id": number(dtype="integer"),
                    "attempt": number(dtype="integer"), "edc": array([2, 210], units="counts"),
                    "analyser_frame": array([12, 210], "<i4", external="STREAM:")},
        "calibration": {"row_shift": array([12], "<i8"), "ef": array([2]), "ef_error": array([2])},
    }  # fmt: skip
    raster.write(declared(raster, keys))
    with open_catalog(raster.directory, create=True) as client:
        assert follow_run(client, raster.folder, raw_only=True)
    found = RunFeed(raster.folder)
    while found.advance():
        pass
    return found


def declared(raster, keys):
    """The documents of a raster with all that a catalog wants to know before it stores them."""
    documents = list(raster.documents())
    for name, doc in documents:
        for key in doc["data"] if name == "event" else ():
            keys[doc["descriptor"].removesuffix("-uid")].setdefault(key, number())
    for name, doc in documents:
        if name == "descriptor":
            doc = doc | {"time": raster.time, "configuration": {}, "hints": {}, "object_keys": {}}
            doc["data_keys"] = keys[doc["name"]]
        elif name == "stream_resource":
            doc = FRAMES | {"run_start": raster.uid, "uri": f"file://localhost{raster.folder / 'frames.h5'}"}
        elif name == "stream_datum":
            doc = doc | {"stream_resource": "frames"}
        elif name == "stop":
            doc = doc | {"num_events": {"primary": len(raster.frames), "calibration": 1}}
        yield name, doc


@pytest.mark.parametrize("pixel", PIXELS)
@pytest.mark.parametrize("lines", [stored_lines, tiled_lines])
def test_the_copied_lines_give_the_edc_bit_for_bit_with_names_units_and_axes(feed, pasted, lines, pixel):
    (edc, frame), event = pasted(lines(feed, pixel)), feed.event(pixel)
    assert edc.values.tobytes() == np.asarray(event["data"]["edc"], dtype=np.float64).tobytes()
    assert edc.dims == ("window", "energy")
    assert list(edc["window"].values) == ["-k_F", "+k_F"]
    assert np.array_equal(edc["energy"], feed.start["energy_axis"])
    assert [edc[name].attrs["units"] for name in ("energy", "ef", "energy_from_ef", "x")] == ["eV", "eV", "meV", "um"]
    # The record that held: after event 9 E_F lies 2 meV higher.
    assert edc["ef"].values.tolist() == [95.6, 95.6 + 0.0003] if pixel < 9 else [95.602, 95.602 + 0.0003]
    # In the second window E_F lies 0.3 meV higher, so the same channel is 0.3 meV further below it.
    at_channel = edc["energy_from_ef"].isel(energy=0)
    assert float(at_channel[0] - at_channel[1]) == pytest.approx(0.3, abs=1e-6)
    assert (float(edc["x"]), float(edc["y"])) == (event["data"]["manipulator_x"], event["data"]["manipulator_y"])
    assert frame.dims == ("angle", "energy")
    assert np.array_equal(frame.values, feed.frame(pixel))
    assert np.array_equal(frame["angle"], feed.start["angle_axis"])
    assert (edc.attrs["units"], frame.attrs["units"], frame["angle"].attrs["units"]) == ("counts", "counts", "deg")
    # Named so that xarray finds the channel: counts at E_F are those of the channel nearest to it.
    nearest = int(np.argmin(np.abs(np.asarray(feed.start["energy_axis"]) - 95.6)))
    assert float(edc.sel(window="+k_F").sel(energy=95.6, method="nearest")) == event["data"]["edc"][1][nearest]
