"""Exposures too long for one go: taken as equal sub-frames, each judged by itself, summed when all are good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.devices.channel_access import Reading
from microarpes.devices.evidence import Evidence
from microarpes.devices.region import Region

#: Most counts a channel of a stored frame can hold.
FULL_SCALE = np.iinfo(np.int32).max


def split(region: Region, exposure: float, longest: float) -> tuple[int, Region]:
    """Return how many equal sub-frames an exposure is taken in, and the region of one of them.

    Whole iterations are kept together where their number can be divided; otherwise each gets shorter.

    Parameters
    ----------
    region : Region
    exposure : float
        How long it takes as a whole, s.
    longest : float
        Longest single exposure, s.

    Examples
    --------
    >>> region = Region(centre_energy=95.5, iterations=3, acquire_time=50.0)
    >>> [(n, part.iterations, part.acquire_time) for n, part in (split(region, 150.0, t) for t in (60.0, 80.0))]
    [(3, 1, 50.0), (2, 3, 25.0)]
    """
    # A sum of decimal fractions must not cost another sub-frame for its last bit.
    number = max(1, math.ceil(exposure / longest * (1.0 - 1e-9)))
    if region.iterations % number == 0:
        return number, region.model_copy(update={"iterations": region.iterations // number})
    return number, region.model_copy(update={"acquire_time": region.acquire_time / number})


def overflow(good: Sequence[Evidence], latest: Evidence) -> list[str]:
    """Return why a further good sub-frame cannot be added to those there are; an empty list allows it."""
    if not good or _kind(latest) == "f":
        return []
    if (highest := int(_sum([*good, latest], np.int64).max())) <= FULL_SCALE:
        return []
    return [f"the sum of {len(good) + 1} sub-frames holds {highest} counts in a channel, at most {FULL_SCALE} fit"]


def total(good: Sequence[Evidence]) -> Evidence:
    """Return the evidence of a whole point: frame, exposure, live time, I0 and ledger summed, the rest of the last.

    One exposure is returned as it is.
    """
    last = good[-1]
    if len(good) == 1:
        return last
    acquire_time = sum(part.acquire_time for part in good)
    readings = dict(last.readings)
    if "i0_integral" in readings:
        live_time = sum(part.acquire_time * part.value("open_fraction") for part in good)
        readings["i0_integral"] = _changed(readings["i0_integral"], sum(part.value("i0_integral") for part in good))
        readings["open_fraction"] = _changed(readings["open_fraction"], live_time / acquire_time)
    return replace(
        last,
        readings=readings,
        frame=_sum(good, np.float64 if _kind(last) == "f" else np.int32),
        acquire_time=acquire_time,
        ledger={name: sum(part.ledger.get(name, 0.0) for part in good) for name in last.ledger},
        sub_frame_ids=tuple(int(part.value("frame_id")) for part in good),
    )


def _kind(evidence: Evidence) -> str:
    return np.asarray(evidence.frame).dtype.kind


def _sum(parts: Sequence[Evidence], dtype: type) -> NDArray[Any]:
    summed: NDArray[Any] = np.zeros(np.asarray(parts[0].frame).shape, dtype=dtype)
    for part in parts:
        summed += np.asarray(part.frame)
    return summed


def _changed(reading: Reading, value: float) -> Reading:
    return {**reading, "value": value}
