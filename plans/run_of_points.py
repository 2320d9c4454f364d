"""What every run of points is, whatever it scans: region, run, frame file, taker, guards, and the end of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import Msg
from numpy.typing import NDArray

from microarpes.devices.accepted_point import AcceptedPoint
from microarpes.devices.end_station import EndStation
from microarpes.devices.frame_file import FrameFile
from microarpes.devices.region import Region
from microarpes.devices.rejected_frames import RejectedFrames
from microarpes.plans.guarded import guarded
from microarpes.plans.point_event import PointEvent
from microarpes.plans.take_point import MsgGenerator, PointTaker

#: Seconds a region may take to be set.
REGION_TIMEOUT = 60.0


def set_region(station: EndStation, region: Region) -> MsgGenerator:
    """Set a region on the analyser and wait until it is."""
    yield Msg("set", station.analyser, region, group="region")
    yield Msg("wait", None, group="region", timeout=REGION_TIMEOUT)


def run_of_points(
    station: EndStation,
    start: Mapping[str, Any],
    event: PointEvent,
    body: Callable[[PointTaker], Generator[Msg, Any, Any]],
    make_taker: Callable[[AcceptedPoint, RejectedFrames], PointTaker],
    *,
    directory: Path,
    factors: NDArray[Any] | None,
    reason: Callable[[Any], str | None] = lambda found: None,
) -> Generator[Msg, Any, tuple[str, Any]]:
    """Open a run, let `body` take its points under the taker's guards, close the run.

    Parameters
    ----------
    station : EndStation
        Its region is set.
    start : mapping
        The start document.
    event : PointEvent
        Of the region's axes.
    body : callable
        ``(taker) -> generator``; takes the points.
    make_taker : callable
        ``(accepted, rejected) -> PointTaker``.
    directory : Path
        Holds one folder a run; the frame file goes there.
    factors : ndarray, shape (n_angle, n_energy), or None
        Flat field, kept in the frame file.
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
    frames = FrameFile(folder / start["frame_file"], energy, angle, station.analyser.frame_dtype, factors)
    accepted = AcceptedPoint("accepted_point", event.data_keys(), frames)
    taker = make_taker(accepted, RejectedFrames("rejected_frames", frames))
    yield Msg("stage", accepted)
    # Describes the device now: later, between create and save, nothing is left at which a pause could cut in.
    yield from bps.declare_stream(accepted, name="primary")
    try:
        found = yield from guarded(station, taker.guards, taker.interruptions, body(taker))
    finally:
        yield Msg("unstage", accepted)
    yield from bps.close_run(reason=reason(found))
    return uid, found
