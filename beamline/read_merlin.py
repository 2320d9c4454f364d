"""Cuts in the HDF5 layout of ALS MERLIN, written beside SES: ``2Ddata/Spectrum`` with its axes in attributes.

Read are two dimensions: ``AxisNames`` and ``AxisUnits``, texts with commas, and ``AxisScaling`` [step, first] name them
beginning with the one that runs fastest; settings are attributes of the groups ``Detector``, ``Source`` and ``Sample``
beside it. Positions, sweeps and times stand there without units: they are not taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.beamline.assumed_values import TurnedFrames, ascending, kinetic, one_point, settings_of
from microarpes.beamline.guarded_hdf5 import read_numbers
from microarpes.beamline.recording_format import Frames, Recording, RecordingError

_SPECTRUM = "2Ddata/Spectrum"
#: Which of four sensors sits at the sample the file does not say; the first is taken.
_SETTINGS = {
    "photon_energy": ("2Ddata/Source", "BL Energy"),
    "pass_energy": ("2Ddata/Detector", "Pass Energy"),
    "lens_mode": ("2Ddata/Detector", "Lens Mode"),
    "temperature": ("2Ddata/Sample", "Temperature A"),
}


def is_merlin(file: Any) -> bool:
    """Return whether an open HDF5 file has this layout."""
    return _SPECTRUM in file


def read_merlin(file: Any, path: Path) -> tuple[Recording, Frames]:
    """Return the recording, of one point, and its frame from an open file of this layout.

    Raises
    ------
    RecordingError
        A part is missing or has the wrong shape, unit or type.
    """
    counts = read_numbers(file, _SPECTRUM, path, 2)
    axes = _axes(counts, path)
    told = {name: _attribute(file, *place) for name, place in _SETTINGS.items()}
    scale = str(_attribute(file, "2Ddata/Detector", "Energy Scale") or "not told").lower()
    if scale not in ("binding", "kinetic"):
        raise RecordingError(f"{path} has energies of the scale {scale[:40]!r}; Kinetic and Binding are known")
    unsure = ("temperature", "x", "y", *(("energy",) if scale == "binding" else ()))
    settings = settings_of(told, path, unsure=unsure)
    given = axes["energy"]
    energy, turned = ascending(kinetic(given, settings["photon_energy"]) if scale == "binding" else given)
    user = _attribute(file, "User", "Sample")
    recording = Recording(
        title=str(user or path.stem),
        source=path.name,
        points=one_point(),
        energy=energy,
        angle=axes["angle"],
        **settings,
    )
    whole = counts[()] if list(axes) == ["energy", "angle"] else np.transpose(counts[()])
    return recording, TurnedFrames(whole[np.newaxis], turned)


def _axes(counts: Any, path: Path) -> dict[str, NDArray[np.float64]]:
    """Return energy and angle, the one that runs fastest first."""
    names, units = (str(counts.attrs.get(name, "")).split(",") for name in ("AxisNames", "AxisUnits"))
    scaling = np.asarray(counts.attrs.get("AxisScaling", ()), dtype=np.float64)
    kinds = [{"eV": "energy", "degree": "angle", "deg": "angle"}.get(unit.strip(), "") for unit in units]
    if sorted(kinds) != ["angle", "energy"] or scaling.shape != (2, 2):
        raise RecordingError(
            f"{_SPECTRUM} in {path} is over {names} in {units} with scaling {scaling.shape}; "
            "one axis in eV, one in degree and a step and a first value of each are needed"
        )
    lengths = counts.shape[::-1]
    return {
        kind: first + step * np.arange(length)
        for kind, (step, first), length in zip(kinds, scaling, lengths, strict=True)
    }


def _attribute(file: Any, group: str, name: str) -> Any:
    if group not in file or name not in file[group].attrs:
        return None
    value = file[group].attrs[name]
    return value.decode(errors="replace") if isinstance(value, bytes) else value
