"""What held a run up, as far as a replay can do it again: the guards it had, and what made them trip.

A guard trips by what a process variable shows, and the simulated beamline can show it again. A pause by hand, one the
plan made itself, and a signal that was dead or away leave nothing that could be shown: these are told, and written into
the start document of the replay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.beamline.journal import RAW_JOURNAL, read_documents
from microarpes.plans.guard_limits import GuardLimits, refused_value
from microarpes.plans.interruptions import HOLD, OPERATOR, PLAN, STREAM
from microarpes.sim.recorded_environment import Change

#: Guard to the signal of a recording that it watches.
SIGNALS = {
    "ring_current": "ring_current",
    "temperature": "temperature",
    "vacuum": "pressure",
    "shutter": "shutter",
}
#: s; what is shown for less could be over before a guard has looked, whatever the speed.
SHORTEST = 0.6
#: Interruptions that are told one by one.
_TOLD = 5


@dataclass(frozen=True)
class Held:
    """An interruption of a stored run.

    Attributes
    ----------
    after : int
        Points of the map that were measured before it was over.
    guard, reason : str
    began : float
        s since 1970.
    duration : float
        s, the guard's delay included.
    """

    after: int
    guard: str
    reason: str
    began: float
    duration: float


@dataclass(frozen=True)
class Repetition:
    """What a replay does again of what held a run up.

    Attributes
    ----------
    changes : tuple of Change
        For the recording.
    guards : dict
        Configuration of the guards that will trip by them.
    left_out : list of dict
        The others: ``guard``, ``reason``, ``began``, ``duration`` as they were, and ``why``.
    """

    changes: tuple[Change, ...]
    guards: dict[str, dict[str, Any]]
    left_out: list[dict[str, Any]]

    def told(self) -> list[str]:
        """Return lines for the user; none where nothing held the run up."""
        places = [f"{change.signal} after {change.after} pixels" for change in self.changes]
        lines = [f"held up again as it was: {_listed(places)}"] if places else []
        left = [f"{each['guard']} for {each['duration']:.1f} s ({each['why']})" for each in self.left_out]
        return lines + ([f"not held up again as it was: {_listed(left)}"] if left else [])


def _listed(parts: Sequence[str]) -> str:
    more = f" and {len(parts) - _TOLD} more" if len(parts) > _TOLD else ""
    return ", ".join(parts[:_TOLD]) + more


def held_up(folders: Sequence[Path], times: NDArray[np.float64]) -> list[Held]:
    """Read what held up the runs of a map.

    Parameters
    ----------
    folders : sequence of Path
        Of the runs, the oldest first.
    times : ndarray, shape (n,)
        Of the events of the map, s since 1970, ascending. An interruption is told before the next exposure begins.
    """
    return [
        Held(int(np.searchsorted(times, time)), *(data[name] for name in ("guard", "reason", "began", "duration")))
        for folder in folders
        for time, data in _told(folder / RAW_JOURNAL)
    ]


def _told(journal: Path) -> Iterator[tuple[float, Mapping[str, Any]]]:
    streams: set[str] = set()
    for name, doc in read_documents(journal):
        if name == "descriptor" and doc.get("name") == STREAM and "began" in doc["data_keys"]:
            streams.add(doc["uid"])
        elif name == "event" and doc["descriptor"] in streams:
            yield float(doc["time"]), doc["data"]


def repetition(
    held: Sequence[Held],
    guards: Mapping[str, Mapping[str, Any]],
    points: Mapping[str, NDArray[np.float64]],
    speed: float,
) -> Repetition:
    """Return what a replay can do again of what held a run up.

    Parameters
    ----------
    held : sequence of Held
    guards : mapping
        Limits of the guards by name, as a start document holds them.
    points : mapping
        Columns of the recording.
    speed : float
        How many times faster than recorded; nothing is shown for less than `SHORTEST`.
    """
    limits = {name: _limits(name, guards[name]) for name in SIGNALS if name in guards}
    changes: list[Change] = []
    left_out = []
    begun: dict[int, float] = {}
    for each in sorted(held, key=lambda each: (each.after, each.began)):
        if why := _why_not(each, limits.get(each.guard), points):
            kept = {name: getattr(each, name) for name in ("guard", "reason", "began", "duration")}
            left_out.append({**kept, "why": why})
            continue
        before = [change for change in changes if change.after == each.after]
        late = (each.began - begun.setdefault(each.after, each.began)) / speed
        changes.append(_change(each, limits[each.guard], before, late, speed))
    used = {name for name, signal in SIGNALS.items() if any(change.signal == signal for change in changes)}
    return Repetition(tuple(changes), {name: _sped_up(limits[name], speed) for name in sorted(used)}, left_out)


def _limits(name: str, stored: Mapping[str, Any]) -> GuardLimits:
    """Return the limits of a guard for the process variable that the simulated beamline has for it."""
    kept = {key: value for key, value in stored.items() if key not in ("pv", "max_age")}
    if name == "shutter":  # that of the simulated beamline has words of its own
        kept = {"value": "Open", "delay": stored.get("delay", 0.0)}
    return GuardLimits.model_validate(kept)


def _sped_up(limits: GuardLimits, speed: float) -> dict[str, Any]:
    return {**limits.model_dump(), "delay": limits.delay / speed}


def _why_not(each: Held, limits: GuardLimits | None, points: Mapping[str, NDArray[np.float64]]) -> str:
    """Return why an interruption cannot be done again; empty where it can."""
    if each.guard in (OPERATOR, PLAN, HOLD):
        return "the plan paused by itself" if each.guard == PLAN else "an operator did it, no process variable"
    if limits is None:
        return f"guards that trip again are {', '.join(SIGNALS)}"
    if each.after >= len(points["x"]):
        return "it came after the last pixel"
    if refused_value(each.reason) is None:
        return "what the guard saw was not a value"
    signal = SIGNALS[each.guard]
    if signal == "shutter":
        return ""
    if signal not in points:
        return f"the run did not record its {signal.replace('_', ' ')}"
    # What a point shows would trip the guard too, or not let it go, and hold the run there for ever.
    column = points[signal].tolist()
    if limits.refusal(column[each.after], tripped=True) or any(limits.refusal(one, tripped=False) for one in column):
        return f"the {signal.replace('_', ' ')} recorded at the pixels would not let the guard go again"
    return ""


def _change(each: Held, limits: GuardLimits, before: Sequence[Change], late: float, speed: float) -> Change:
    signal, delay = SIGNALS[each.guard], limits.delay / speed
    seconds = max((each.duration - limits.delay) / speed, SHORTEST)
    # The next exposure waits for what is still to come: not long, and the same guard has to be well in between.
    begin = min(late, max((change.begin + change.seconds for change in before), default=0.0) + SHORTEST)
    again = [change.begin + change.seconds + delay + SHORTEST for change in before if change.signal == signal]
    return Change(signal, each.after, max(begin, *again) if again else begin, _value(each, limits), seconds)


def _value(each: Held, limits: GuardLimits) -> float:
    """Return what the guard saw; the shutter has no number but that it is closed."""
    seen = refused_value(each.reason)
    if not isinstance(seen, float):
        return 0.0
    if limits.refusal(seen, tripped=False):
        return seen
    # A reason has six digits: rounded, the value may lie within the limits again.
    low, high = limits.range(tripped=False)
    return float(np.nextafter(low, -np.inf) if seen < high else np.nextafter(high, np.inf))
