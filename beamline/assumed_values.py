"""What a replay needs and a source does not tell, and axes turned the way a recording has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.beamline.recording_format import RecordingError

#: eV; of a usual analyser, used where nothing better is known.
WORK_FUNCTION = 4.4
#: Nominal values: s, K, eV, um.
NOMINAL: dict[str, Any] = {
    "acquire_time": 1.0, "temperature": 20.0, "pass_energy": 10.0, "lens_mode": "unknown", "x": 0.0, "y": 0.0,
}  # fmt: skip
_SETTINGS = ("pass_energy", "lens_mode", "acquire_time", "temperature")


def settings_of(told: Mapping[str, Any], path: Path, *, unsure: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the settings of a recording, with a nominal value for each that is not told.

    Parameters
    ----------
    told : mapping
        ``photon_energy`` and what there is of ``pass_energy``, ``lens_mode``, ``acquire_time`` and ``temperature``;
        None, an empty text and NaN are not told.
    path : Path
        For the error.
    unsure : tuple of str
        Further fields of a `Recording` that are not told, or told so that they may mean something else.

    Returns
    -------
    dict
        Keywords of `Recording`, among them ``assumed``.

    Raises
    ------
    RecordingError
        There is no photon energy, or a number is none.
    """
    known = {name: _value(name, told[name], path) for name in ("photon_energy", *_SETTINGS) if is_told(told.get(name))}
    if "photon_energy" not in known:
        raise RecordingError(f"{path} does not tell its photon energy; without it no edge can be looked for")
    nominal = {name: NOMINAL[name] for name in _SETTINGS if name not in known}
    return {**known, **nominal, "assumed": tuple(dict.fromkeys((*nominal, *unsure)))}


def is_told(value: Any) -> bool:
    """Return whether a source tells something: not None, an empty text or NaN."""
    return value is not None and value != "" and not (isinstance(value, float) and np.isnan(value))


def _value(name: str, value: Any, path: Path) -> Any:
    if name == "lens_mode":
        return str(value)
    try:
        return float(value)
    except ValueError as error:
        raise RecordingError(f"{name} in {path} is {str(value)[:40]!r}; a number is needed") from error


def one_point() -> dict[str, NDArray[np.float64]]:
    """Return the points of a single frame whose place is not told: 0, 0."""
    return {axis: np.array([NOMINAL[axis]]) for axis in ("x", "y")}


def kinetic(binding: NDArray[np.float64], photon_energy: float) -> NDArray[np.float64]:
    """Return kinetic energies, eV, of binding energies, eV, with the nominal work function."""
    return photon_energy - WORK_FUNCTION - binding


def ascending(energy: NDArray[np.float64]) -> tuple[NDArray[np.float64], slice]:
    """Return the energy axis from low to high, and the slice that turns the last axis of its counts with it."""
    turned = slice(None, None, -1 if len(energy) > 1 and energy[0] > energy[-1] else 1)
    return energy[turned], turned


class TurnedFrames:
    """Frames ``counts[scan..., angle, energy]`` in reading order of the scan axes, each turned to ascending energy.

    Parameters
    ----------
    counts : array or h5py.Dataset
        Read one frame at a time.
    turned : slice
        See `ascending`.
    """

    def __init__(self, counts: Any, turned: slice) -> None:
        self._counts = counts
        self._turned = turned

    def __getitem__(self, index: int) -> Any:
        place = np.unravel_index(index, self._counts.shape[:-2])
        return np.asarray(self._counts[tuple(int(each) for each in place)])[..., self._turned]
