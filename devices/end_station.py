"""All hardware of one point behind three verbs: go there, expose, say what was found.

The statuses returned here never fail. A failed move, a driver's error or a lost connection is *evidence*, handed
over by `read` for the gate to judge, so that no failure can surface in the middle of an event's bundle.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from ophyd import Device

from microarpes.devices.analyser import Analyser
from microarpes.devices.approach import Approach, set_out
from microarpes.devices.beam import Beam, TopUp
from microarpes.devices.channel_access import Reading, connect, read_fresh
from microarpes.devices.environment import SOURCE_SETTINGS, Cryostat, Heartbeat, Shutter, Source, VacuumGauge
from microarpes.devices.evidence import Evidence, Flown
from microarpes.devices.joint_status import all_done, followed_by
from microarpes.devices.kept_shutter import KeptShutter
from microarpes.devices.manipulator import AXES, Manipulator
from microarpes.devices.outcome import Outcome
from microarpes.devices.over_count_guard import OverCountGuard
from microarpes.devices.region_keeper import RegionKeeper
from microarpes.devices.stopping import try_to_stop

logger = logging.getLogger(__name__)

#: Seconds a beamline that was lost gets to come back.
RESTORE_TIMEOUT = 30.0


class EndStation:
    """The devices of a micro-ARPES end station, and the attempt under way.

    Parameters
    ----------
    manipulator, analyser, beam, shutter, cryostat, gauge, source, heartbeat, guard, top_up, watched, demand
        The connected devices; `watched` is what the guards of a run look at, `demand` what sets the source.
    close_when_paused : bool
    """

    parent = None

    def __init__(
        self,
        *,
        manipulator: Manipulator,
        analyser: Analyser,
        beam: Beam,
        shutter: Shutter,
        cryostat: Cryostat,
        gauge: VacuumGauge,
        source: Source,
        heartbeat: Heartbeat,
        guard: OverCountGuard | None = None,
        top_up: TopUp | None = None,
        watched: Device | None = None,
        demand: Device | None = None,
        close_when_paused: bool = False,
        name: str = "end_station",
    ) -> None:
        self.name = name
        self.manipulator, self.analyser = manipulator, analyser
        self.beam = beam
        self.shutter = shutter
        self.cryostat, self.gauge = cryostat, gauge
        self.source = source
        self.heartbeat = heartbeat
        self.guard = guard
        self.top_up = top_up
        self.watched, self.demand, self.close_when_paused = watched, demand, close_when_paused
        self.kept_shutter = KeptShutter(shutter)
        self._attempt = Evidence()
        self._arrived: dict[str, float] = {}
        self._outstanding: list[Outcome] = []
        #: Waits for the counters as they were before the exposure; None if they could not be asked for.
        self._counters_before: Callable[[], Mapping[str, Any]] | None = None
        self._approach: Approach | None = None
        #: Axes that had set out ahead of an attempt were told to stop, and may not have come to rest.
        self.approach_stopped = False
        self._kept_region = RegionKeeper(analyser)
        #: True once a connection was lost: an IOC that comes back may have forgotten region, shutter and velocities.
        self.lost = False
        for signal in (analyser.state.acquire, shutter.open_command, heartbeat.beat, manipulator.x.setpoint):
            signal.subscribe(self._on_connection, event_type=signal.SUB_META, run=False)

    def _on_connection(self, connected: bool = True, **_: Any) -> None:
        if not connected:
            self.lost = True

    def prepare(self, value: float = RESTORE_TIMEOUT) -> Outcome:
        """Bring the beamline back after a lost connection; the status never fails, `lost` stays True if it did.

        Waits up to `value` seconds for every process variable, sets the region again, checks that it gives the same
        axes, and opens the shutter.
        """
        return followed_by(Outcome.reached(), lambda: self._restore(value))

    def _restore(self, timeout: float) -> None:
        try:
            connect(self.devices, timeout)
            self.forget_arrivals()
            self._kept_region.set_again(timeout)
            for axis in self.manipulator.axes.values():
                axis.check_units()
            self.shutter.set("open").wait(timeout)
            self.lost = False
        except Exception as error:  # noqa: BLE001 - the next attempt is refused and says why
            logger.error("the beamline could not be restored: %s", error)

    @property
    def devices(self) -> tuple[Any, ...]:
        """All ophyd devices, for connecting and checking."""
        return (
            self.manipulator,
            self.analyser,
            self.beam,
            self.shutter,
            self.cryostat,
            self.gauge,
            self.source,
            self.heartbeat,
            *(device for device in (self.guard, self.top_up, self.watched, self.demand) if device is not None),
        )

    def set(self, request: Mapping[str, float], *, ahead: bool = False, flown: Flown | None = None) -> Outcome:
        """Begin an attempt: move the axes that are not known to be at the request; the status never fails.

        With `ahead` the axes set out for an attempt that will begin later, by the same request: it takes these moves
        for its own, and what became of them is evidence in it. An empty request moves nothing and ends when everything
        that was under way has come to rest. With `flown` nothing is moved either: one axis is flying, the others are
        at the request.
        """
        if not request:
            self.approach_stopped = False
            return all_done(list(self._outstanding), lambda: None)
        if ahead:
            self._approach = approach = self._set_out(request)
            return all_done(approach.statuses, lambda: None)
        began = time.perf_counter()
        self._attempt = attempt = Evidence(request=dict(request), flown=flown)
        if self.lost:
            attempt.errors.append("a connection to the beamline was lost and it is not restored")
        if flown is not None:
            self._arrived.pop(flown.axis, None)
            attempt.ledger |= dict.fromkeys(("time_kinematic", "time_overlap", "time_move"), 0.0)
            return all_done([], lambda: None)
        joined = self._approach if self._approach is not None and self._approach.request == request else None
        self._approach, approach = None, joined or self._set_out(request)
        attempt.errors += approach.errors
        attempt.ledger["time_kinematic"] = approach.kinematic
        attempt.ledger["time_overlap"] = began - approach.started if joined else 0.0

        def finished() -> None:
            attempt.ledger["time_move"] = time.perf_counter() - approach.started
            for name, move in approach.moves.items():
                if not move.success:
                    attempt.errors.append(f"move of {name}: {move.exception()}")
                elif self._attempt is attempt:
                    self._arrived[name] = request[name]

        return all_done(approach.statuses, finished)

    def _set_out(self, request: Mapping[str, float]) -> Approach:
        approach = set_out(self.manipulator, request, self._arrived)
        self._outstanding = approach.statuses
        return approach

    def trigger(self) -> Outcome:
        """Expose once; the status never fails."""
        attempt, started = self._attempt, time.perf_counter()
        self._counters_before = None
        if self.guard is not None:
            self.guard.reset(self._spare_detector)
        try:
            # Not waited for: answered before the exposure begins, or later, and then the gate finds no new frame.
            self._counters_before = self.analyser.ask_counters()
            if self.top_up is not None:
                attempt.countdown_before = self.top_up.reading()
            exposure = [self.analyser.trigger()]
        except Exception as error:  # noqa: BLE001 - evidence, judged by the gate
            attempt.errors.append(f"trigger: {error}")
            exposure = []

        def finished() -> None:
            if self.analyser.region is not None:
                times = self.analyser.exposure_time
                attempt.acquire_time, attempt.counted_fraction = times.real, times.fraction
            attempt.ledger["time_expose"] = time.perf_counter() - started
            for status in exposure:
                if not status.success:
                    attempt.errors.append(f"exposure of {attempt.acquire_time:g} s: {status.exception()}")
                    try_to_stop(self.analyser)

        self._outstanding = exposure
        exposed = all_done(exposure, finished)
        if self.beam.check == "gated":
            return exposed
        heard = followed_by(exposed, self._hear_of_the_beam)
        self._outstanding = [heard]
        return heard

    @property
    def exposure(self) -> float:
        """Length of the exposure that `trigger` makes, s."""
        return self.analyser.exposure_time.real if self.analyser.region is not None else 0.0

    def _hear_of_the_beam(self) -> None:
        """Wait until the beam was told of after the end of the exposure, or was not in time: the gate will see."""
        self.beam.wait_for_news(self.analyser.counters()["frame_id"]["timestamp"])

    def _spare_detector(self, rate: float) -> None:
        """Close the shutter and stop the exposure: the detector counts faster than it may."""
        # Whichever of the two does not answer must not keep the other from being told.
        try:
            self.shutter.close_command.put(1, wait=False)
        finally:
            try_to_stop(self.analyser)
        logger.error("the detector counted %.3g counts/s: exposure stopped, shutter closed", rate)

    @property
    def over_counted(self) -> str:
        """Why the over-count guard struck in the last exposure; empty if it did not."""
        return "" if self.guard is None else self.guard.refusal

    def read(self) -> dict[str, Reading]:
        """Return the `Evidence` of the attempt under the key ``evidence``; never raises."""
        attempt, started = self._attempt, time.perf_counter()
        try:
            if self._counters_before is not None:
                attempt.frame_id_before = int(self._counters_before()["frame_id"]["value"])
            attempt.edge_time = self.analyser.acquire_edge_time()
            attempt.readings, attempt.frame = self.analyser.read_frame(self._signals())
            self._look_at_the_shutter(attempt)
            attempt.errors += self.analyser.changed_settings(attempt.readings)
            if int(attempt.value("detector_state")) != 0:
                attempt.message = str(self.analyser.state.message.get(use_monitor=False))
            if self.lost:
                attempt.errors.append("a connection to the beamline was lost during the attempt")
            if self.guard is not None and attempt.counted_fraction >= 1.0:
                # The energies of a sweep's frame were not counted at one time.
                self.guard.look_at(attempt.frame, attempt.acquire_time)
            if self.over_counted:
                attempt.errors.append(self.over_counted)
        except Exception as error:  # noqa: BLE001 - evidence, judged by the gate
            attempt.errors.append(f"reading: {error}")
        attempt.ledger["time_read"] = time.perf_counter() - started
        return {"evidence": {"value": attempt, "timestamp": time.time()}}

    def _look_at_the_shutter(self, attempt: Evidence) -> None:
        """Read the shutter too where beam was missing: whether it was the cause decides on a partial exposure."""
        attempt.shutter_not_open = self.shutter.last_not_open
        open_fraction = attempt.readings.get("open_fraction")
        if open_fraction is not None and open_fraction["value"] < 1.0:
            attempt.readings |= read_fresh({"shutter": self.shutter.state})

    def _signals(self) -> dict[str, Any]:
        signals: dict[str, Any] = {
            **self.beam.signals(),
            "sample_temperature": self.cryostat.temperature,
            "pressure": self.gauge.pressure,
            "heartbeat": self.heartbeat.beat,
            **{name: getattr(self.source, name) for name in SOURCE_SETTINGS if hasattr(self.source, name)},
        }
        if self.beam.check == "delayed":
            signals["shutter"] = self.shutter.state
        if self.top_up is not None:
            signals["countdown"] = self.top_up.countdown
        for name in AXES:
            axis = getattr(self.manipulator, name)
            signals[f"{name} readback"] = axis.readback
            signals[f"{name} done"] = axis.done
        return signals

    def forget_arrivals(self) -> None:
        """Have the next attempt move every axis again, whatever was confirmed before."""
        self._arrived.clear()
        self._approach = None

    def describe(self) -> dict[str, Any]:
        """Return nothing: evidence never goes into an event."""
        return {}

    def stop_exposure(self) -> None:
        """Stop a void exposure; what was under way ends as evidence."""
        try_to_stop(self.analyser)

    def pause(self) -> None:
        """Close the shutter where it is to be closed in a pause; the plan opens it before the next exposure."""
        if self.close_when_paused:
            self.kept_shutter.close_now()

    def resume(self) -> None:
        """Nothing to restore; part of bluesky's Pausable protocol."""

    def stop(self, *, success: bool = False) -> None:
        """Stop all axes and the exposure; what was under way ends as evidence."""
        self.approach_stopped = self._approach is not None
        self.forget_arrivals()
        for device in (*self.manipulator.axes.values(), self.analyser):
            try_to_stop(device, success=success)
