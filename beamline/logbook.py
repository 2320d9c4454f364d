"""A run in one line, as it is written into a logbook."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
import xarray as xr

from microarpes.beamline.open_run import open_run


def logbook_line(directory: Path, name: str) -> str:
    """Return a stored run in one line: when, which, sample, conditions, how much of it, the gap, the verdicts.

    Raises
    ------
    microarpes.beamline.stored_run.NoSuchRun
        There is no such run, or it has no map.
    """
    run = open_run(name, directory)
    dataset = run.to_xarray(edcs=False)
    told = dataset.attrs
    grid = run.start["grid"]
    parts = [
        time.strftime("%Y-%m-%d %H:%M", time.localtime(float(run.start["time"]))),
        run.uid[:8],
        told.get("sample") or "no sample named",
        f"{told['temperature']:.1f} K" if "temperature" in told else "",
        f"{told['photon_energy']:g} eV" if "photon_energy" in told else "",
        " x ".join(f"{grid[axis]['num']}" for axis in "xy") + f" px, step {_step(dataset)} um",
        f"{int((dataset['run'] >= 0).sum())} of {int(dataset['planned'].sum())} measured",
        _gap(dataset),
        _verdicts(dataset),
    ]
    return "; ".join(part for part in parts if part)


def _step(dataset: xr.Dataset) -> str:
    steps = [abs(float(np.diff(dataset[axis].values[:2])[0])) for axis in "xy" if dataset.sizes[axis] > 1]
    return " x ".join(f"{step:g}" for step in dict.fromkeys(steps)) or "0"


def _gap(dataset: xr.Dataset) -> str:
    if "gap" not in dataset:
        return "no fit"
    good = (dataset["status"].values == "ok") & dataset["kept"].values
    if not good.any():
        return "no pixel with a gap"
    gap, error = dataset["gap"].values[good], dataset["gap_error"].values[good]
    return f"gap {gap.mean():.2f} meV, spread {gap.std():.2f}, error of a pixel {np.median(error):.2f}"


def _verdicts(dataset: xr.Dataset) -> str:
    counts = Counter(str(verdict) for verdict in dataset["status"].values.ravel() if verdict)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
