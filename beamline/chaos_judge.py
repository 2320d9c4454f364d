"""What got through: a judge of stored runs that shares nothing with the acceptance gate.

It looks only at what was stored and at what the IOC says it spoiled. The raster it judges covers a few um of even
flake, so that every good frame has the same dose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from microarpes.beamline.journal import FRAME_FILE
from microarpes.beamline.stored_run import StoredRun

#: Largest deviation of a frame's counts over its I0 from the median of its run: noise of the counts 0.5 %, of I0 0.2 %.
DOSE_TOLERANCE = 0.05
#: Largest loss of dose of a partial exposure: 5 %, the top-up's 1 % and the noise of I0.
PARTIAL_TOLERANCE = 0.07
#: um; encoder noise is 0.05 um, the smallest injected fault of a position 1 um.
POSITION_TOLERANCE = 1.0
#: Seconds a point may rely on a beam signal after it died: the age the chaos run accepts, and a point.
BEAM_GRACE = 1.5


@dataclass(frozen=True)
class Strike:
    """What ``FAULT:LAST`` said: kind, IOC time (s), and the axis or ``frame <id>`` it struck."""

    kind: str
    time: float
    subject: str

    @classmethod
    def parse(cls, text: str) -> Strike | None:
        """Read one value of ``FAULT:LAST``; None when it is empty."""
        kind, _, rest = text.partition(" ")
        moment, _, subject = rest.partition(" ")
        return cls(kind, float(moment), subject) if moment else None

    @property
    def frame_id(self) -> int | None:
        """The frame it struck, if it struck one."""
        word, _, number = self.subject.partition(" ")
        return int(number) if word == "frame" and number.isdigit() else None


def bad_points(run: StoredRun, strikes: Sequence[Strike], amount: float) -> list[str]:
    """Return what is wrong with points that were stored as good, one line each.

    Parameters
    ----------
    run : StoredRun
    strikes : sequence of Strike
        Faults that struck during the run.
    amount : float
        AMOUNT of the fault: seconds, for those of the beam signals.
    """
    return [*_frames(run), *_positions(run), *_unknown_beam(run, strikes, amount)]


def _frames(run: StoredRun) -> Iterator[str]:
    # Row i of the file belongs to the i-th event; an IOC that was restarted counts its frames from 1 again.
    events = sorted(run.events.values(), key=lambda event: int(event["seq_num"]))
    with h5py.File(run.folder / FRAME_FILE, "r") as file:
        ids = [int(number) for number in file["entry/data/frame_id"][:]]
        frames = np.asarray(file["entry/data/data"][:])
    if ids != [event["data"]["frame_id"] for event in events]:
        yield "the frame ids in the file are not those of the events"
        return
    for count in Counter(frame.tobytes() for frame in frames).values():
        if count > 1:
            yield f"{count} frames hold the same counts"
    totals = frames.sum(axis=(1, 2), dtype=np.float64)
    # A partial exposure is good when its I0 tells of it, and when it lost no more than is allowed.
    doses = np.array([event["data"]["i0"] for event in events], dtype=np.float64)
    rates = np.divide(totals, doses, out=np.zeros_like(totals), where=doses > 0)
    middle, dose = (float(np.median(values)) if len(values) else 0.0 for values in (rates, doses))
    for event, total, rate, i0 in zip(events, totals, rates, doses, strict=True):
        number = event["data"]["frame_id"]
        if not abs(rate - middle) <= DOSE_TOLERANCE * middle:
            yield f"frame {number} holds {rate:.0f} counts per nA s, the others {middle:.0f}"
        elif not i0 >= (1.0 - PARTIAL_TOLERANCE) * dose:
            yield f"frame {number} was kept with I0 = {i0:.3g} nA s, the others have {dose:.3g} nA s"
        elif total != event["data"]["total_counts"]:
            yield f"frame {number} is not the one its event was made of"


def _positions(run: StoredRun) -> Iterator[str]:
    grid = run.start["grid"]
    nx = grid["x"]["num"]
    for pixel, event in run.events.items():
        for axis, index in (("x", pixel % nx), ("y", pixel // nx)):
            line = grid[axis]
            wanted = line["start"] + index * (line["stop"] - line["start"]) / max(line["num"] - 1, 1)
            found = event["data"][f"manipulator_{axis}"]
            if not abs(found - wanted) <= POSITION_TOLERANCE:
                yield f"pixel {pixel} was taken at {axis} = {found:.2f} um instead of {wanted:.2f} um"


def _unknown_beam(run: StoredRun, strikes: Sequence[Strike], amount: float) -> Iterator[str]:
    for strike in strikes:
        if strike.kind not in ("DEAD_BEAM_PV", "BEAM_INVALID"):
            continue
        grace = BEAM_GRACE if strike.kind == "DEAD_BEAM_PV" else 0.5
        for event in run.events.values():
            if strike.time + grace < event["time"] < strike.time + amount:
                late = event["time"] - strike.time
                yield f"frame {event['data']['frame_id']} was kept {late:.1f} s after {strike.kind}"
