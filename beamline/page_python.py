"""The lines that open a pixel in Python, to be copied from the page: as arrays of xarray with names, units and axes."""

from __future__ import annotations

import numpy as np

from microarpes.beamline.page_run import RunFeed
from microarpes.beamline.page_spectrum import record_at

#: Both ways end with the same two arrays; `start`, `counts` and `image` come from what was opened.
ARRAYS = """\
energy = ("energy", start["energy_axis"], {{"units": "eV", "long_name": "kinetic energy"}})
place = {{"x": ((), {x!r}, {{"units": "um"}}), "y": ((), {y!r}, {{"units": "um"}})}}
edc = xr.DataArray(counts, name="edc", dims=("window", "energy"), attrs={{"units": "counts"}}, coords=place | {{
    "window": [window["name"] for window in start["windows"]], "energy": energy,
    "ef": ("window", {ef!r}, {{"units": "eV", "long_name": "Fermi energy that held"}})}})
binding = (1000 * (edc.energy - edc.ef)).transpose("window", "energy")
edc = edc.assign_coords(energy_from_ef=binding.assign_attrs(units="meV", long_name="E - E_F"))
frame = xr.DataArray(image, name="frame", dims=("angle", "energy"), attrs={{"units": "counts"}}, coords=place | {{
    "angle": ("angle", start["angle_axis"], {{"units": "deg"}}), "energy": energy}})
"""
STORED = """\
from pathlib import Path
import h5py
import xarray as xr
from microarpes.beamline.stored_run import read_run

run = read_run(Path({folder!r}))
start, event = run.start, run.events[{pixel}]
counts = event["data"]["edc"]
with h5py.File(run.folder / start["frame_file"], "r", swmr=True) as file:
    image = file["/entry/data/data"][event["seq_num"] - 1]
"""
TILED = """\
from pathlib import Path
import numpy as np
import xarray as xr
from microarpes.beamline.catalog import open_catalog

# A stock tiled client; from another machine: client = tiled.client.from_uri(ADDRESS) of `tiled serve config`.
with open_catalog(Path({directory!r})) as client:
    run = client[{uid!r}]
    start, primary = run.metadata["start"], run["primary"]
    row = int(np.flatnonzero(primary.read(["pixel"])["pixel"].values == {pixel})[-1])
    counts = primary["edc"][row]
    image = primary["analyser_frame"][row]
"""


def stored_lines(feed: RunFeed, pixel: int) -> str:
    """Return the lines that make ``edc`` and ``frame`` of a measured pixel from the run's folder, without a server."""
    return STORED.format(folder=str(feed.folder), pixel=pixel) + _arrays(feed, pixel)


def tiled_lines(feed: RunFeed, pixel: int) -> str:
    """Return the lines that make the same two arrays with a tiled client of the run's catalog."""
    return TILED.format(directory=str(feed.folder.parent), uid=feed.uid, pixel=pixel) + _arrays(feed, pixel)


def _arrays(feed: RunFeed, pixel: int) -> str:
    record = record_at(feed, float(feed.planes["time"].flat[pixel]))
    x, y = (float(feed.planes[f"manipulator_{axis}"].flat[pixel]) for axis in "xy")
    return ARRAYS.format(x=x, y=y, ef=np.asarray(record["ef"], dtype=np.float64).tolist())
