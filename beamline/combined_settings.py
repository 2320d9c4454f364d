"""In what runs differ that one fit takes for the same: then they cannot be combined."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from microarpes.devices.environment import SOURCE_SETTINGS, is_kept

Document = Mapping[str, Any]

#: K that runs may be apart: 0.1 meV in the width of the Fermi edge, and in the gap of a cuprate below 0.8 T_c no more.
MAX_TEMPERATURE = 1.0
#: eV FWHM, and standard errors, that resolutions may be apart.
MAX_RESOLUTION, SIGMAS = 0.0003, 3.0
#: Share by which gains, and sizes of the spot, may differ.
MAX_GAIN, MAX_SPOT = 0.01, 0.1
#: deg that an angle may be off, where axes tell no tolerance.
ANGLE_TOLERANCE = 0.01
#: Of a channel, that axes may be apart.
CHANNEL = 0.01

#: What has to be the same, by where it is in a start document, and what it is called.
_SAME = (
    (("sample", "id"), "sample"),
    (("beamline",), "beamline"),
    (("region", "lens_mode"), "lens mode"),
    (("region", "acquisition_mode"), "acquisition mode"),
    (("region", "pass_energy"), "pass energy (eV)"),
    (("region", "deflector_angle"), "deflector angle (deg)"),
    (("region", "slices"), "slices"),
    (("detector", "counting"), "counting of the detector"),
    (("detector", "adc"), "range of the detector"),
    (("detector", "flat_field", "sha256"), "flat field"),
    (("detector", "linearity", "sha256"), "table of linearity"),
    (("follow_k_f",), "follow_k_f"),
    (("fit_depth",), "fit_depth (eV)"),
)


def differences(first: Document, other: Document) -> list[str]:
    """Return in what the settings of two runs differ, from their start documents; one line each.

    Exposure, flux, place and order of the visit do not matter.
    """
    found = [
        f"{name} is {_at(first, keys)} in one and {_at(other, keys)} in the other"
        for keys, name in _SAME
        if (_at(first, keys) or None) != (_at(other, keys) or None)
    ]
    return [*found, *_source(first, other), *_axes(first, other), *_windows(first, other), *_places(first, other)]


def record_differences(first: Sequence[Document], other: Sequence[Document]) -> list[str]:
    """Return in what the calibration records of two runs differ beyond what may be: all of each, on the mean."""
    found = []
    one, two = (_mean(records, "temperature") for records in (first, other))
    if abs(one - two) > MAX_TEMPERATURE:
        found.append(f"temperature is {one:.2f} K in one and {two:.2f} K in the other, {MAX_TEMPERATURE:g} K may be")
    one, two = (_mean(records, "resolution") for records in (first, other))
    errors = [_mean(records, "resolution_error") for records in (first, other)]
    allowed = max(MAX_RESOLUTION, SIGMAS * math.hypot(*np.nan_to_num(errors)))
    if abs(one - two) > allowed:
        found.append(
            f"resolution is {1e3 * one:.2f} meV in one and {1e3 * two:.2f} meV in the other, {1e3 * allowed:.2f} meV "
            "may be"
        )
    one, two = (np.nan_to_num(_mean(records, "gain"), nan=1.0) for records in (first, other))
    if abs(one - two) > MAX_GAIN * one:
        found.append(f"gain is {one:g} in one and {two:g} in the other")
    return found


def _at(document: Document, keys: Sequence[str]) -> Any:
    found: Any = document
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _source(first: Document, other: Document) -> Iterator[str]:
    one, two = (document.get("source") or {} for document in (first, other))
    for name in SOURCE_SETTINGS:
        if name == "transmission" or one.get(name) == two.get(name):
            continue
        if None in (one.get(name), two.get(name)) or not is_kept(name, one[name], two[name]):
            yield f"{name.replace('_', ' ')} is {one.get(name)} in one and {two.get(name)} in the other"


def _axes(first: Document, other: Document) -> Iterator[str]:
    for name in ("energy_axis", "angle_axis"):
        one, two = (np.asarray(document.get(name, ()), dtype=np.float64) for document in (first, other))
        step = abs(one[1] - one[0]) if one.size > 1 else 0.0
        if one.shape != two.shape or not np.allclose(one, two, rtol=0.0, atol=CHANNEL * step):
            yield f"the {name.replace('_', ' ')} is {_ends(one)} in one and {_ends(two)} in the other"


def _windows(first: Document, other: Document) -> Iterator[str]:
    one, two = (
        [(str(each["name"]), round(float(each["angle_low"]), 9), round(float(each["angle_high"]), 9)) for each in
         document["windows"]]
        for document in (first, other)
    )  # fmt: skip
    if one != two:
        yield f"the windows are {_listed(one)} in one and {_listed(two)} in the other"


def _places(first: Document, other: Document) -> Iterator[str]:
    """Tell of angles of the sample and size of the spot."""
    for name in ("polar", "tilt", "azimuth"):
        one, two = (_at(document, ("axes", name)) for document in (first, other))
        if one is None or two is None:
            continue
        allowed = float(one.get("tolerance", ANGLE_TOLERANCE)) + float(two.get("tolerance", ANGLE_TOLERANCE))
        if abs(float(one["position"]) - float(two["position"])) > allowed:
            yield f"{name} is {one['position']:.4g} deg in one and {two['position']:.4g} deg in the other"
    spots = [_at(document, ("beam", "spot_size")) for document in (first, other)]
    if None not in spots and not np.allclose(spots[0], spots[1], rtol=MAX_SPOT, atol=0.0):
        yield f"the spot is {spots[0]} um in one and {spots[1]} um in the other"


def _mean(records: Sequence[Document], key: str) -> float:
    values = [float(record[key]) for record in records if record.get(key) is not None]
    return math.fsum(values) / len(values) if values else math.nan


def _ends(axis: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    return f"{axis.size} channels from {axis[0]:g} to {axis[-1]:g}" if axis.size else "not told"


def _listed(windows: Sequence[tuple[str, float, float]]) -> str:
    return ", ".join(f"{name} {low:g} to {high:g} deg" for name, low, high in windows)
