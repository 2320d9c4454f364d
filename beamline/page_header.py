"""The top of the page: which run, how far, what is wrong; as HTML."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from microarpes.analysis.ageing import ageing_of
from microarpes.beamline.control_fits import alarm_lines
from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_findings import Findings
from microarpes.beamline.page_run import WAITING
from microarpes.beamline.pixel_classes import CLASSES
from microarpes.beamline.progress import clock
from microarpes.plans.surface_temperature import surface_alarm, surface_told

#: Intervals between points that the estimate of the time left is made from.
RECENT = 50
#: A run is quiet when nothing came for this many times the usual interval, and for this many seconds.
QUIET, QUIET_S = 10.0, 15.0


def intervals(times: list[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the last intervals between points, s, without pauses: none above 5 times the median."""
    steps = np.diff(np.asarray(times[-RECENT - 1 :], dtype=np.float64))
    return steps[steps <= 5.0 * np.median(steps)] if steps.size else steps


def time_left(times: list[float], left: int) -> tuple[float, float]:
    """Return the estimate of the time left and its error, s; NaN before the second point."""
    steps = intervals(times)
    if not steps.size:
        return np.nan, np.nan
    return left * float(steps.mean()), left * float(steps.std()) / np.sqrt(steps.size) + float(steps.std()) * np.sqrt(
        left
    )


def interrupted(interruptions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how often a run was interrupted and for how long altogether; nothing where it was not.

    Examples
    --------
    >>> interrupted([{"duration": 40.0}, {"duration": 25.5}])
    ['2 interruptions, 00:01:06']
    """
    if not interruptions:
        return []
    number = f"{len(interruptions)} interruption" + ("s" if len(interruptions) > 1 else "")
    return [f"{number}, {clock(sum(float(one['duration']) for one in interruptions))}"]


class Header:
    """Text of the top of the page."""

    def __init__(self, choices: Choices, engine_state: Callable[[str], str] = lambda uid: "") -> None:
        self.choices, self.feed, self._engine_state = choices, choices.feed, engine_state
        self._ageing: tuple[int, list[str]] = (0, [])

    def title(self) -> str:
        """Return what the map is of."""
        start = self.feed.start or {}
        sample = str((start.get("sample") or {}).get("id", ""))
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(start.get("time", 0.0)))
        return f"{sample}, run {self.feed.uid[:8]}, begun {began}"

    def state(self, now: float) -> str:
        """Return what the run does: running, quiet since, ended as."""
        if self.feed.stop is not None:
            reason = str(self.feed.stop.get("reason", ""))
            return f"ended: {self.feed.stop['exit_status']}" + (f", {reason}" if reason else "")
        if told := self._engine_state(self.feed.uid):
            return told
        times = self.feed.history["time"]
        if not times:
            return "begun, no point yet"
        steps, since = intervals(times), now - times[-1]
        if since > QUIET_S and (not steps.size or since > QUIET * float(np.median(steps))):
            return f"quiet for {clock(since)}"
        return "running"

    def alarms(self, now: float) -> list[str]:
        """Return what somebody must know."""
        found = []
        attempts = np.asarray(self.feed.history["attempt"][-20:])
        if (attempts > 1).sum() >= 5:
            found.append(f"{int((attempts > 1).sum())} of the last {attempts.size} points were refused and taken again")
        if self.feed.stop is not None and self.feed.stop["exit_status"] != "success":
            found.append(f"the run ended as {self.feed.stop['exit_status']}: {self.feed.stop.get('reason', '')}")
        if not self.feed.within_reach:
            found.append(f"the files of the run are away: {self.feed.folder} cannot be read; what was read is shown")
        found += self._of_ageing()
        if alarm := surface_alarm(self._calibration()):
            found.append(alarm)
        waiting = int((self.feed.status == WAITING).sum())
        if waiting > 100:
            found.append(f"the fit is {waiting} pixels behind")
        state = self.state(now)
        if state.startswith("paused"):
            found.append(f"the run is {state}")
        if state.startswith("quiet"):
            found.append(f"no point for {clock(now - self.feed.history['time'][-1])}")
        return found

    def _calibration(self) -> Mapping[str, Any]:
        """Return the newest calibration record."""
        return self.feed.calibrations[-1] if self.feed.calibrations else {}

    def _of_ageing(self) -> list[str]:
        """Return what the control pixels alarm about; reckoned again when there is another look."""
        looks = self.feed.looks
        if len(looks) != self._ageing[0]:
            self._ageing = len(looks), alarm_lines(ageing_of(looks))
        return self._ageing[1]

    def html(self, now: float) -> str:
        """Return the whole."""
        done = self.feed.n_measured
        total = int((self.feed.start or {}).get("num_points") or self.feed.status.size)
        state = self.state(now)
        if state.startswith("paused"):
            state = state.partition(":")[0]  # the alarm says why
        parts = [f"<b class='state'>{html.escape(state)}</b>", f"{done} of {total} pixels"]
        parts += interrupted(self.feed.interruptions)
        if self.feed.stop is None and done < total:
            left, error = time_left(self.feed.history["time"], total - done)
            steps = intervals(self.feed.history["time"])
            if steps.size:
                parts.append(f"{1.0 / steps.mean():.1f} pixels/s")
                parts.append(f"left {clock(left)} \N{PLUS-MINUS SIGN} {error:.0f} s")
        parts += self._readings()
        if told := surface_told(self._calibration()):
            parts.append(html.escape(told))
        bar = f"<progress max='{total}' value='{done}' aria-label='pixels measured'></progress>"
        alarms = "".join(
            f"<p class='alarm' role='alert'>\N{WARNING SIGN} {html.escape(text)}</p>" for text in self.alarms(now)
        )
        items = "".join(f"<span>{part}</span>" for part in parts)
        return f"{alarms}<p class='title'>{html.escape(self.title())}</p><p class='facts'>{bar}{items}</p>"

    def _readings(self) -> list[str]:
        history = self.feed.history
        if not history["time"]:
            return []
        return [
            f"{history['sample_temperature'][-1]:.1f} K",
            f"ring {history['ring_current'][-1]:.1f} mA",
            f"{history['pressure'][-1]:.1e} mbar",
            f"retaken {int(np.nansum(np.asarray(history['attempt']) - 1))}",
        ]

    def legend(self) -> str:
        """Return the classes of pixels with their hatches and how many there are, as HTML."""
        status = self.feed.status
        rows = [f"<li>ok: {int((status == 'ok').sum())}</li>"]
        for kind in CLASSES:
            found = [(verdict, int((status == verdict).sum())) for verdict in kind.verdicts]
            number = sum(count for _, count in found)
            named = ", ".join(verdict for verdict, count in found if count) if len(found) > 1 and number else ""
            told = f" ({named})" if named else ""
            rows.append(f"<li><i class='swatch {kind.pattern}'></i>{kind.label}{told}: {number}</li>")
        rows.append(f"<li><i class='swatch'></i>not measured: {int((status == '').sum())}</li>")
        masked = int((status == "ok").sum() - self.choices.good().sum()) if status.size else 0
        if masked:
            rows.append(f"<li>masked by thresholds: {masked}</li>")
        return f"<ul class='legend'>{''.join(rows)}</ul>"


def pixel_html(choices: Choices, text: str) -> str:
    """Return what the chosen pixel is, as HTML."""
    pixel = choices.pixel
    if pixel is None:
        return "no pixel yet"
    verdict = str(choices.feed.status.flat[pixel]) or "not measured"
    following = "newest pixel" if choices.follow else "chosen pixel"
    x, y = (float(choices.feed.planes[f"manipulator_{axis}"].flat[pixel]) for axis in "xy")
    place = f"x, y = {x:.1f}, {y:.1f} \N{MICRO SIGN}m" if np.isfinite(x) else ""
    numbers = html.escape(text) if text and text != verdict else "&nbsp;"
    return f"<b>{following} {pixel}</b>, {place}: {html.escape(verdict)}<br>{numbers}"


def findings_html(found: Findings | None, start: Mapping[str, Any]) -> str:
    """Return what the numbers say of the map as a whole, warnings first, as HTML."""
    if found is None:
        return ""
    spot = (start.get("beam") or {}).get("spot_size")
    warnings = "".join(f"<p class='warning'>\N{WARNING SIGN} {html.escape(text)}</p>" for text in found.warnings())
    return warnings + f"<p class='findings'>{html.escape('; '.join(found.lines(spot)))}</p>"
