"""Injections into the ring: when to wait for one, and whether one fell into an exposure."""

from __future__ import annotations

from microarpes.devices.channel_access import INVALID, Reading
from microarpes.devices.evidence import Evidence
from microarpes.plans.limits import GateLimits

#: Reason of an exposure an injection fell into: taken again; it is no fault.
INJECTION = "an injection fell into the exposure"


def seconds_to_wait(countdown: Reading, exposure: float, limits: GateLimits) -> float:
    """Return how long to wait before the countdown is worth another look; 0 when the exposure may begin.

    It may begin when the last injection is over and the next comes after its end. A countdown that cannot be read is
    not waited for: the gate refuses the exposure.

    Parameters
    ----------
    countdown : Reading
        s to the next injection.
    exposure : float
        s.
    limits : GateLimits
    """
    left, rest = float(countdown["value"]), limits.injection_time
    if countdown["alarm_severity"] >= INVALID or limits.top_up_interval is None:
        return 0.0
    if left > limits.top_up_interval - rest:
        return left - (limits.top_up_interval - rest)
    if left < exposure + rest:
        return max(left, 0.0) + rest
    return 0.0


def injection_reasons(evidence: Evidence, limits: GateLimits) -> list[str]:
    """Return why an exposure was not free of injections; an empty list says that it was.

    Raises
    ------
    KeyError
        The countdown was not read.
    """
    before, after = evidence.countdown_before, evidence.readings["countdown"]
    if before is None:
        raise KeyError("countdown before the exposure")
    if before["alarm_severity"] >= INVALID:
        return ["countdown was INVALID before the exposure: whether an injection fell into it is not known"]
    announced, next_one = (float(reading["value"]) + reading["timestamp"] for reading in (before, after))
    end = evidence.readings["frame_id"]["timestamp"]
    last_is_over = announced - (limits.top_up_interval or 0.0) + limits.injection_time
    # Written so that a NaN refuses. A countdown that began anew before its time tells of an injection out of turn.
    clear = announced > end and last_is_over <= evidence.edge_time and next_one - announced <= limits.injection_time
    return [] if clear else [INJECTION]
