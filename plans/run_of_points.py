"""What every run of points is, whatever it scans: run, frame file, taker, guards, and the end of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import Msg

from microarpes.devices.accepted_point import AcceptedPoint
from microarpes.devices.end_station import EndStation
from microarpes.devices.frame_file import FrameFile
from microarpes.devices.rejected_frames import RejectedFrames
from microarpes.plans.guarded import guarded
from microarpes.plans.guards import Guards
from microarpes.plans.interruptions import InterruptionLog
from microarpes.plans.prepared import Prepared
from microarpes.plans.take_point import PointTaker


def run_of_points(
    station: EndStation,
    prepared: Prepared,
    start: Mapping[str, Any],
    body: Callable[[PointTaker], Generator[Msg, Any, Any]],
    *,
    directory: Path,
    storage_error: Callable[[], Exception | None],
    announce: Callable[[str], None],
    guards: Guards,
    interruptions: InterruptionLog,
    reason: Callable[[Any], str | None] = lambda found: None,
) -> Generator[Msg, Any, tuple[str, Any]]:
    """Open a run, let `body` take its points under guards, close the run.

    Parameters
    ----------
    station : EndStation
        Its region is set.
    prepared : Prepared
        Of that region.
    start : mapping
        The start document.
    body : callable
        ``(taker) -> generator``; takes the points.
    directory : Path
        Holds one folder a run; the frame file goes there.
    storage_error, announce, guards, interruptions
        See `PointTaker`.
    reason : callable, optional
        From what `body` returns to the reason in the stop document.

    Returns
    -------
    tuple
        The run's uid, and what `body` returns.
    """
    uid: str = yield from bps.open_run(start)
    folder = directory / uid
    folder.mkdir(parents=True, exist_ok=True)
    energy, angle = station.analyser.axes
    frames = FrameFile(folder / start["frame_file"], energy, angle, station.analyser.frame_dtype, prepared.factors)
    accepted = AcceptedPoint("accepted_point", prepared.event.data_keys(), frames)
    taker = PointTaker(
        station,
        prepared.gate,
        accepted,
        RejectedFrames("rejected_frames", frames),
        prepared.event.compose,
        storage_error,
        prepared.sub_frames,
        announce,
        prepared.record,
        guards,
        interruptions,
    )
    yield Msg("stage", accepted)
    # Describes the device now: later, between create and save, nothing is left at which a pause could cut in.
    yield from bps.declare_stream(accepted, name="primary")
    try:
        found = yield from guarded(station, guards, interruptions, body(taker))
    finally:
        yield Msg("unstage", accepted)
    yield from bps.close_run(reason=reason(found))
    return uid, found
