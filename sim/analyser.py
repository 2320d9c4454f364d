"""The simulated hemispherical analyser: real-time exposures, and the driver's order of posting at their end."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.sim.analyser_progress import AnalyserProgress
from microarpes.sim.analyser_pvs import AnalyserPVs
from microarpes.sim.analyser_settings import AnalyserSettings
from microarpes.sim.exposure import DetectorLostError, Exposure, Surroundings, spoiled
from microarpes.sim.fault_kinds import EXPOSURE
from microarpes.sim.frame_source import Frame, FrameRefusedError, FrameSource, Pose
from microarpes.sim.incident_flux import Dose
from microarpes.sim.signals import Signals, SkipWrite
from microarpes.sim.vendors import VENDORS, Vendor

#: Seconds after the last change of the window before its images are prepared.
PREPARE_DELAY = 0.2
#: Most seconds between two posts of TimeRemaining_RBV.
PROGRESS_PERIOD = 0.5
#: Seconds between two looks whether what struck an exposure, as it was recorded, is over.
STRUCK_LOOK = 0.02

log = logging.getLogger(__name__)


class Analyser:
    """The driver ``cam1:`` and its array plugin ``image1:``.

    Parameters
    ----------
    prefix : str
        For example ``SIM:ARPES:``.
    source : FrameSource
    surroundings : Surroundings
    vendor : Vendor
    """

    def __init__(
        self, prefix: str, source: FrameSource, surroundings: Surroundings, vendor: Vendor = VENDORS["ses"]
    ) -> None:
        self._source, self._around = source, surroundings
        self._abort, self._lied = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._late: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._attempt = 0
        self._lost_until = 0.0
        # One thread takes frames, another works ahead, so that a first frame never waits for a whole cache.
        self._frames = ThreadPoolExecutor(1, thread_name_prefix="frame")
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self.settings = AnalyserSettings(
            f"{prefix}cam1:",
            vendor,
            source,
            notice=self._notice,
            blocked=lambda: "an acquisition is under way" if self.acquiring else "",
            on_window=self._prepare_soon,
        )
        sizes = [axis.size for axis in source.axes(self.settings.window)]
        # What is served before the first frame.
        self._previous: NDArray[Any] = np.zeros(sizes[::-1], dtype=source.dtype)
        self.pvs = AnalyserPVs(prefix, vendor, surroundings.faults, source.dtype, *sizes)
        self.pvs.acquire.on_put = self._put_acquire
        self.progress = AnalyserProgress(f"{prefix}cam1:", vendor, self._notice)
        self.signals: Signals = {**self.settings.signals, **self.pvs.signals, **self.progress.signals}

    @property
    def acquiring(self) -> bool:
        """Whether an acquisition is under way."""
        return self._task is not None and not self._task.done()

    async def _notice(self, message: str) -> None:
        await self.pvs.message.post(message)

    def start(self) -> None:
        """Begin to prepare the default window; call it in the event loop."""
        self._prepare_soon()

    def stop(self) -> None:
        """Let the worker threads end."""
        self._source.stop()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._late:
            task.cancel()
        for executor in (self._frames, self._ahead):
            executor.shutdown(wait=False, cancel_futures=True)

    def _prepare_soon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(PREPARE_DELAY, self._prepare)

    def _prepare(self) -> None:
        around = self._around
        self._ahead.submit(self._source.prepare, self.settings.window, around.conditions(), around.pose())

    async def _put_acquire(self, value: str) -> None:
        if value == "Done":
            await self._cancel()
        elif time.monotonic() < self._lost_until:
            await self._notice("Acquire refused: the detector is disconnected")
        else:
            await self._begin_or_join()
        # Acquire is posted by the acquisition itself, in the driver's order.
        raise SkipWrite

    async def _begin_or_join(self) -> None:
        """Wait for the end of an acquisition, or until the driver lies about it."""
        if not self.acquiring:
            self._abort.clear()
            self._lied.clear()
            await self.pvs.begin(time.time())
            self._task = asyncio.get_running_loop().create_task(self._acquire())
        if self._task is not None:
            lied = asyncio.ensure_future(self._lied.wait())
            await asyncio.wait([self._task, lied], return_when=asyncio.FIRST_COMPLETED)
            lied.cancel()

    async def _cancel(self) -> None:
        task = self._task
        if task is not None and not task.done():
            self._abort.set()
            await asyncio.wait([task])

    async def _acquire(self) -> None:
        try:
            finished = await self._images()
        except DetectorLostError as error:
            await self._lose(error)
        except FrameRefusedError as error:
            await self.pvs.finish("Error", str(error))
        except Exception as error:
            log.error("acquisition failed", exc_info=error)
            await self.pvs.finish("Error", f"{type(error).__name__}: {error}"[:250])
        else:
            await self.progress.finish()
            if not finished:
                await self.pvs.state.post("Aborted")
            await self.pvs.finish("Idle", "" if finished else "Acquisition aborted")

    async def _lose(self, error: DetectorLostError) -> None:
        """Be without a detector for a while; then the driver is idle again."""
        self._lost_until = time.monotonic() + error.seconds
        await self.pvs.connected.post("Disconnected")
        await self.pvs.finish("Disconnected", str(error))
        self._later(error.seconds, self._found())

    async def _found(self) -> None:
        await self.pvs.connected.post("Connected")
        if self.pvs.state.value == "Disconnected":
            await self.pvs.state.post("Idle")

    def _later(self, seconds: float, coroutine: Any) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            await coroutine

        task = asyncio.get_running_loop().create_task(wait())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _images(self) -> bool:
        """Take the images ImageMode asks for; False when aborted."""
        mode = self.settings.value("ImageMode")
        wanted = {"Single": 1, "Multiple": int(self.settings.value("NumImages"))}.get(mode)
        taken = 0
        while wanted is None or taken < wanted:
            if not await self._image():
                return False
            taken += 1
            if self.progress.stop_asked:
                break
        return True

    async def _image(self) -> bool:
        around = self._around
        window, pose = self.settings.checked_window(), around.pose()
        self._source.check(pose)
        await around.recorded.expose(pose)
        self._attempt += 1
        struck = await around.faults.strikes(EXPOSURE, f"frame {int(self.pvs.array_counter.value) + 1}")
        exposure = Exposure(window, around.conditions(), time.monotonic(), pose, self._attempt, struck)
        if "OVER_COUNT" in struck:
            exposure.brighten(struck["OVER_COUNT"].amount)
        around.flux.forget(exposure.began)
        await self.progress.begin(window)
        if "DETECTOR_DISCONNECTED" in struck:
            raise DetectorLostError(struck["DETECTOR_DISCONNECTED"].amount)
        if "BUSY_LIES" in struck:
            await self.pvs.busy.post("Done")
            self._lied.set()
        incidents = exposure.schedule(around.incidents)
        try:
            frame, dose, stamp = await self._taken(exposure)
        finally:
            for incident in incidents:
                incident.cancel()
        if frame is None:
            return False
        if "ACQUIRE_TIMEOUT" in struck:
            raise FrameRefusedError("Acquisition timed out")
        if "LATE_FRAME" in struck:
            self._later(struck["LATE_FRAME"].amount, self._publish(exposure, frame, dose, stamp))
        else:
            await self._publish(exposure, frame, dose, stamp)
        return True

    async def _taken(self, exposure: Exposure) -> tuple[Frame | None, Dose, float]:
        """Expose; return the frame (None when aborted), what it was given, and the time of its end."""
        loop, around = asyncio.get_running_loop(), self._around
        expected = exposure.dose(around.flux)
        # Computed while the exposure runs; done again at its end if shutter or manipulator did not hold still.
        early = loop.run_in_executor(self._frames, self._take, exposure, (exposure.first_pose,), expected)
        try:
            if not await self._expose(exposure, early):
                return None, expected, time.time()
            await self.pvs.state.post("Readout")
            stamp = time.time()
            dose, poses = exposure.dose(around.flux), exposure.path_to(around.pose())
            self._source.check(poses[-1])
            frame = await early
            if dose != expected or len(poses) > 1:
                frame = await loop.run_in_executor(self._frames, self._take, exposure, poses, dose)
        finally:
            early.cancel()
        return frame, dose, stamp

    def _take(self, exposure: Exposure, poses: tuple[Pose, ...], dose: Dose) -> Frame:
        return self._source.frame(exposure.window, exposure.conditions, poses, dose, exposure.attempt)

    async def _expose(self, exposure: Exposure, early: asyncio.Future[Frame]) -> bool:
        """Wait for the end of the exposure, showing what there is of it after every point; False when aborted."""
        window = exposure.window
        shown = 0
        while (left := exposure.end - time.monotonic()) > 0.0:
            passed = window.exposure - left
            done = int(passed / window.dwell)
            if done > shown:
                shown = done
                await self._show_part(exposure, early, passed)
            step = min(left, max(window.dwell * (done + 1) - passed, 1e-3), PROGRESS_PERIOD)
            if left > step:
                await self.progress.update(window, passed)
                await self._show_rate(exposure, early)
            if await self._aborted(step):
                return False
        while self._around.recorded.busy:
            if await self._aborted(STRUCK_LOOK):
                return False
        await self.pvs.exposures.post(window.iterations)
        return not self._abort.is_set()

    async def _show_part(self, exposure: Exposure, early: asyncio.Future[Frame], passed: float) -> None:
        """Post exposures done, and the sums so far: a client that takes them for the frame takes a part of it."""
        window = exposure.window
        await self.pvs.exposures.post(min(window.iterations, int(passed / (window.points * window.dwell))))
        if early.done() and (window.swept or window.iterations > 1):
            counts = early.result().counts
            part = np.floor(counts * window.collected(passed)).astype(counts.dtype)
            await self.pvs.post_last_data(part, time.time())

    async def _show_rate(self, exposure: Exposure, early: asyncio.Future[Frame]) -> None:
        """Post what the whole detector counts a second."""
        if early.done():
            await self.pvs.rate.post(exposure.rate(early.result().counts))

    async def _aborted(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._abort.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _publish(self, exposure: Exposure, frame: Frame, dose: Dose, stamp: float) -> None:
        struck, counter, around = exposure.struck, int(self.pvs.array_counter.value), self._around
        counts, stale = np.ascontiguousarray(frame.counts), "STALE_FRAME" in struck
        await self.progress.update(exposure.window, exposure.window.exposure)
        await self.pvs.rate.post(exposure.rate(counts))
        counts = self._previous if stale else spoiled(counts, struck, self._previous)
        frame_id = counter + (0 if stale else 2 if "DROPPED_FRAME" in struck else 1)
        await self.pvs.post_last_data(counts, stamp)
        await around.flux.post_integral(dose, frame_id, recorded=frame.i0)
        if around.recorded_time is not None and frame.recorded_time is not None:
            await around.recorded_time(frame.recorded_time)
        if not stale:
            await self.pvs.post_counters(frame_id, counts, stamp, exposure.window.iterations)
        await self.pvs.post_array(frame_id, counts, stamp)
        self._previous = counts
