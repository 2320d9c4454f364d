"""The acceptance gate: the one place that decides whether an attempt gave a good point.

Pure: evidence in, reasons out. An empty list of reasons accepts.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.devices.analyser import STATES
from microarpes.devices.channel_access import INVALID
from microarpes.devices.end_station import EndStation
from microarpes.devices.environment import OPEN, is_kept
from microarpes.devices.evidence import Evidence, Flown
from microarpes.plans.limits import GateLimits
from microarpes.plans.top_up import injection_reasons

#: Widths of a pixel that an axis may sweep over during an exposure: a long one takes all of its own, and a little of
#: what the readback makes of that is noise.
WIDEST = 1.2
SLOW_SIGNALS = ("ring_current", "sample_temperature", "pressure", "heartbeat")


class Gate:
    """Judge attempts against limits and against the last accepted points.

    Parameters
    ----------
    limits : GateLimits
    tolerances : mapping
        Axis to the largest accepted |readback - request|, um or deg.
    shape : tuple
        Shape of a good frame, (n_angle, n_energy).
    source : mapping, optional
        Settings of the photon source that must not change: photon energy (eV), polarisation, slits (um), and the
        transmission where there is an attenuator.
    """

    #: Accepted exposures whose median I0 is the reference, and how many there must be before I0 is judged.
    MEMORY = 31
    WARM_UP = 3
    #: Frames without a count in a row before one is believed: the beam may look at nothing, but a detector that lost
    #: its voltage, or repeats an image from before its first exposure, gives the same zeros.
    DARK_IN_A_ROW = 4

    def __init__(
        self,
        limits: GateLimits,
        tolerances: Mapping[str, float],
        shape: tuple[int, int],
        source: Mapping[str, Any] | None = None,
    ) -> None:
        self.limits = limits
        self.source = dict(source or {})
        self._before: NDArray[Any] | None = None
        self._dark = 0
        self.tolerances = dict(tolerances)
        self.shape = shape
        self._flux: deque[float] = deque(maxlen=self.MEMORY)

    @classmethod
    def of(cls, station: EndStation, limits: GateLimits) -> Gate:
        """Return a gate for the region and the tolerances an end station has now."""
        energy, angle = station.analyser.axes
        tolerances = {name: axis.tolerance for name, axis in station.manipulator.axes.items()}
        return cls(limits, tolerances, (len(angle), len(energy)), station.source.settings())

    def judge(self, evidence: Evidence) -> list[str]:
        """Return why the attempt is not a good point; an empty list accepts it."""
        if evidence.errors:
            return list(evidence.errors)
        beam = self._beam if self.limits.beam_check == "gated" else self._beam_afterwards
        looks = (self._frame, self._content, self._axes, beam, self._source, self._slow, self._injections)
        try:
            return [reason for look in looks for reason in look(evidence)]
        except KeyError as missing:
            return [f"{missing} was not read"]

    def accept(self, evidence: Evidence) -> None:
        """Remember the I0, or the ring current, of an accepted exposure."""
        self._flux.append(flux(evidence))

    def _frame(self, evidence: Evidence) -> Iterator[str]:
        frame = evidence.frame
        frame_id, before = int(evidence.value("frame_id")), evidence.frame_id_before
        if frame_id != before + 1:
            yield f"frame {frame_id} follows frame {before}: stale, dropped or duplicated"
        stamp = evidence.readings["frame_id"]["timestamp"]
        if not stamp > evidence.edge_time:
            yield f"frame stamped {stamp:.6f} s is not later than the start of its exposure {evidence.edge_time:.6f} s"
        state = int(evidence.value("detector_state"))
        if state != 0:
            told = f" ({evidence.message})" if evidence.message else ""
            yield f"detector state is {STATES[state] if 0 <= state < len(STATES) else state}, not Idle{told}"
        if frame is None or frame.shape != self.shape:
            yield f"frame has shape {None if frame is None else frame.shape}, described as {self.shape}"

    def _full_scale(self, frame: NDArray[Any]) -> float:
        """Return what a channel cannot go beyond: the detector's limit, or that of the numbers it sends."""
        of_type = float(np.iinfo(frame.dtype).max) if frame.dtype.kind in "iu" else float("inf")
        return min(of_type, self.limits.saturation or of_type)

    def _content(self, evidence: Evidence) -> Iterator[str]:
        frame = evidence.frame
        if frame is None or frame.shape != self.shape:
            return
        yield from self._seen_before(frame)
        if frame.dtype.kind == "f" and not np.isfinite(frame).all():
            yield f"{int((~np.isfinite(frame)).sum())} channels of the frame are not finite"
        elif frame.dtype.kind in "iu" and frame.min() < 0:
            yield f"{int((frame < 0).sum())} channels hold negative counts: not a number, or wrapped"
        elif frame.max() >= self._full_scale(frame):
            yield f"a channel holds {float(frame.max()):g} counts, saturation is {self._full_scale(frame):g}"

    def _seen_before(self, frame: NDArray[Any]) -> Iterator[str]:
        before, self._before = self._before, frame
        self._dark = 0 if frame.any() else self._dark + 1
        if 0 < self._dark < self.DARK_IN_A_ROW:
            yield f"frame holds no count; believed when {self.DARK_IN_A_ROW} in a row hold none, this is {self._dark}"
        elif not self._dark and before is not None and np.array_equal(frame, before):
            # Two exposures of 120000 channels never give the same noise.
            yield "frame holds the very counts of the one before: duplicated"

    def _axes(self, evidence: Evidence) -> Iterator[str]:
        for name, tolerance in self.tolerances.items():
            readback = evidence.readings[f"{name} readback"]
            if readback["alarm_severity"] >= INVALID:
                yield f"{name} readback is INVALID"
            asked = evidence.request.get(name)
            if evidence.flown is not None and evidence.flown.axis == name:
                yield from _flown(evidence.flown, asked)
                continue
            if int(evidence.value(f"{name} done")) != 1:
                yield f"{name} is moving"
            found = float(readback["value"])
            if not np.isfinite(found) or (asked is not None and not abs(found - asked) <= tolerance):
                yield f"{name} is at {found:g}, asked for {asked}, tolerance {tolerance:g}"

    def _beam(self, evidence: Evidence) -> Iterator[str]:
        for name in ("i0_integral", "i0_frame_id", "open_fraction"):
            if evidence.readings[name]["alarm_severity"] >= INVALID:
                yield f"{name} is INVALID"
        if int(evidence.value("i0_frame_id")) != int(evidence.value("frame_id")):
            yield f"I0 belongs to frame {int(evidence.value('i0_frame_id'))}, not {int(evidence.value('frame_id'))}"
        lit, limits = evidence.value("open_fraction"), self.limits
        if not lit >= limits.min_open_fraction:
            if not 1.0 - lit < limits.max_dose_loss:
                asked = min(limits.min_open_fraction, 1.0 - limits.max_dose_loss)
                yield f"beam on the sample for {lit:.1%} of the exposure, at least {asked:.1%} is asked for"
            elif not _is_open(evidence):
                yield f"the shutter closed after {lit:.1%} of the exposure; only a loss of beam makes it a partial one"
        yield from self._like_the_last(flux(evidence), "I0", "nA")

    def _beam_afterwards(self, evidence: Evidence) -> Iterator[str]:
        ring, end = evidence.readings["ring_current"], evidence.readings["frame_id"]["timestamp"]
        if not ring["timestamp"] > end:
            yield f"ring_current was not updated after the exposure; its value is {end - ring['timestamp']:.1f} s older"
        if not float(ring["value"]) >= self.limits.min_ring_current:
            yield f"ring_current = {ring['value']:g} mA, at least {self.limits.min_ring_current:g} mA is asked for"
        if not _is_open(evidence):
            yield f"the shutter is {evidence.readings['shutter']['value']}, not {OPEN}, after the exposure"
        elif not evidence.shutter_not_open <= evidence.edge_time:
            yield "the shutter closed during the exposure"
        yield from self._like_the_last(flux(evidence), "ring_current", "mA")

    def _like_the_last(self, found: float, what: str, unit: str) -> Iterator[str]:
        if not found > 0:
            yield f"{what} = {found:g} {unit}: no beam"
        elif len(self._flux) >= self.WARM_UP:
            reference = statistics.median(self._flux)
            if not self.limits.i0_low * reference <= found <= self.limits.i0_high * reference:
                yield f"{what} = {found:.4g} {unit} is {found / reference:.2f} of the median of the last points"

    def _injections(self, evidence: Evidence) -> Iterator[str]:
        if self.limits.top_up != "ignore":
            yield from injection_reasons(evidence, self.limits)

    def _source(self, evidence: Evidence) -> Iterator[str]:
        for name, began_with in self.source.items():
            reading = evidence.readings[name]
            found = reading["value"]
            if reading["alarm_severity"] >= INVALID:
                yield f"{name} is INVALID"
            elif not is_kept(name, began_with, found):
                shown = [str(value) if isinstance(began_with, str) else f"{value:g}" for value in (found, began_with)]
                yield f"{name} is {shown[0]}, the run began with {shown[1]}"

    def _slow(self, evidence: Evidence) -> Iterator[str]:
        now = max(evidence.readings["frame_id"]["timestamp"], evidence.readings["heartbeat"]["timestamp"])
        for name in (*SLOW_SIGNALS, *(["countdown"] if self.limits.top_up != "ignore" else [])):
            reading, limit = evidence.readings[name], self.limits.age_limit(name)
            age = now - reading["timestamp"]
            if reading["alarm_severity"] >= INVALID or not np.isfinite(float(reading["value"])):
                yield f"{name} is INVALID"
            elif not age <= limit:
                yield f"{name} is {age:.1f} s old, at most {limit:g} s is accepted"


def _flown(flown: Flown, asked: float | None) -> Iterator[str]:
    """Say what is wrong with where an axis was that moved during the exposure."""
    if not (np.isfinite(flown.position) and np.isfinite(flown.blur)):
        yield f"where {flown.axis} was during the exposure is not known: no readbacks from before and after it"
    elif asked is None or not abs(flown.position - asked) <= flown.tolerance:
        yield f"{flown.axis} was at {flown.position:g} in the mean, asked for {asked}, tolerance {flown.tolerance:g}"
    elif not flown.blur <= WIDEST * 2.0 * flown.tolerance:
        yield f"{flown.axis} moved over {flown.blur:g} during the exposure, a pixel is {2.0 * flown.tolerance:g} wide"


def _is_open(evidence: Evidence) -> bool:
    shutter = evidence.readings["shutter"]
    return bool(shutter["value"] == OPEN and shutter["alarm_severity"] < INVALID)


def flux(evidence: Evidence) -> float:
    """Return I0 per second, nA, or the ring current, mA, where there is no gated I0."""
    if "i0_integral" not in evidence.readings:
        return evidence.value("ring_current")
    return evidence.value("i0_integral") / evidence.acquire_time if evidence.acquire_time > 0 else float("nan")
