"""The EDCs of a region of interest, summed and fitted: read from the journal beside the page, in a thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis import GapFit, GapFitter
from microarpes.analysis.calibration import Calibration
from microarpes.analysis.event_fit import EventFitter, RunLayout
from microarpes.beamline.page_choices import Choices, Mask
from microarpes.beamline.page_run import RunFeed

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Pixels = NDArray[np.intp]
#: Pixels of a region whose EDCs are read: beyond, as many of them, evenly spread.
AT_MOST = 2000


@dataclass(frozen=True)
class RegionSum:
    """The EDCs of the good pixels of a region, summed under one calibration; arrays are [n_window, n_energy].

    Attributes
    ----------
    n_good : int
        Good pixels of the region.
    n_read : int
        Of them, those whose EDCs were read, `AT_MOST` at most.
    n_summed : int
        Of them, those under the calibration that most of them have.
    energy : ndarray, meV
        Relative to each window's E_F.
    counts : ndarray, detector units
        The sum, which has the statistics of counts; a mean has not.
    fit : GapFit or None
        Joint fit of the sum; None while the fit is being compiled.
    """

    n_good: int
    n_read: int
    n_summed: int
    energy: Floats
    counts: Floats
    fit: GapFit | None

    @property
    def mean(self) -> Floats:
        """EDC of the mean pixel, which is only drawn."""
        return self.counts / self.n_summed

    @property
    def mean_model(self) -> Floats:
        """Fit of the sum on the scale of `mean`; NaN where no fit ran."""
        if self.fit is None:
            return np.full(self.counts.shape, np.nan)
        return np.asarray(self.fit.model_counts).reshape(self.counts.shape) / self.n_summed

    @property
    def gap(self) -> str:
        """The gap of the sum with its error, meV, or why there is none."""
        if self.fit is None:
            return "being compiled"
        if self.fit.status == "ok":
            return f"{self.fit.delta:.2f} \N{PLUS-MINUS SIGN} {self.fit.delta_stderr:.2f}"
        return f"below {self.fit.upper_limit:.1f}" if self.fit.status == "no-gap" else self.fit.status

    @property
    def unit(self) -> str:
        """What stands behind `gap` outside a table; empty where it is no number."""
        return " meV" if self.fit is not None and self.fit.status in ("ok", "no-gap") else ""

    def reservations(self) -> list[str]:
        """Return what was left out of the sum, and why."""
        found = []
        if self.n_read < self.n_good:
            found.append(f"{self.n_read} of {self.n_good} pixels read, evenly spread")
        if self.n_summed < self.n_read:
            found.append(
                f"the calibration (E_F) changed within it: only the {self.n_summed} of {self.n_read} pixels "
                "under the same one are summed"
            )
        return found


class RegionReader:
    """Sums and fits regions of a run; EDCs read once are kept while their pixel is asked for."""

    def __init__(self, feed: RunFeed) -> None:
        self.feed = feed
        self._fitter = EventFitter("norman", "prior")  # not the page's: threads share none
        self._edcs: dict[int, tuple[float, Floats]] = {}

    def read(self, regions: Mapping[str, Pixels], compiled: bool) -> dict[str, RegionSum]:
        """Return the sums of regions, given by their good pixels; a region without an EDC is left out."""
        chosen = {name: spread(pixels, AT_MOST) for name, pixels in regions.items()}
        wanted = {int(pixel) for pixels in chosen.values() for pixel in pixels}
        self._edcs = {pixel: kept for pixel, kept in self._edcs.items() if pixel in wanted}
        found = {}
        for name, pixels in chosen.items():
            summed = self._sum(pixels, len(regions[name]), compiled)
            if summed is not None:
                found[name] = summed
        return found

    def _edc(self, pixel: int) -> tuple[float, Floats] | None:
        """Return time (s) and EDCs of the event that counts for a pixel."""
        kept = self._edcs.get(pixel)
        if kept is None or kept[0] != float(self.feed.planes["time"].flat[pixel]):
            event = self.feed.event(pixel)
            if event is None:
                return None
            kept = float(event["time"]), np.asarray(event["data"]["edc"], dtype=np.float64)
            self._edcs[pixel] = kept
        return kept

    def _sum(self, pixels: Pixels, n_good: int, compiled: bool) -> RegionSum | None:
        edcs = [found for pixel in pixels if (found := self._edc(int(pixel))) is not None]
        if not edcs:
            return None
        layout = RunLayout.from_start(self.feed.start or {})
        groups = by_calibration(self.feed.calibrations, [time for time, _ in edcs], len(layout.windows))
        calibration, members = max(groups.items(), key=lambda group: len(group[1]))
        counts = np.sum([edcs[number][1] for number in members], axis=0)
        energy = 1000.0 * (layout.energy_axis - np.array(calibration.ef)[:, None])
        fitter = self._joint(layout, calibration) if compiled else None
        # Each pixel has passed as on the sample, so its angular contrast is not asked again.
        fit = None if fitter is None else fitter.fit_joint(counts)
        return RegionSum(n_good, len(edcs), len(members), energy, counts, fit)

    def _joint(self, layout: RunLayout, calibration: Calibration) -> GapFitter | None:
        return self._fitter.fitter(layout, calibration, tuple(range(len(layout.windows))))


def spread(pixels: Pixels, at_most: int) -> Pixels:
    """Return `at_most` of the pixels, evenly spread over them, or all.

    Examples
    --------
    >>> spread(np.arange(10), 4).tolist()
    [0, 3, 6, 9]
    """
    if len(pixels) <= at_most:
        return pixels
    return pixels[np.linspace(0, len(pixels) - 1, at_most).round().astype(np.intp)]


def by_calibration(records: list[dict[str, Any]], times: list[float], n_window: int) -> dict[Calibration, list[int]]:
    """Group events by the calibration that held at their times, s; records that only repeat one another are one.

    Returns
    -------
    dict of Calibration to list of int
        Numbers of the events; the `time` of the calibrations is 0.
    """
    since = np.array([record["since"] for record in records])
    places = np.clip(np.searchsorted(since, times, side="right") - 1, 0, len(records) - 1)
    known = {
        place: replace(Calibration.from_record(records[place], n_window), time=0.0) for place in set(places.tolist())
    }
    groups: dict[Calibration, list[int]] = {}
    for number, place in enumerate(places.tolist()):
        groups.setdefault(known[place], []).append(number)
    return groups


class RegionSums:
    """Sums of one viewer's regions, reckoned again when a region or its pixels have changed.

    Attributes
    ----------
    latest : dict of str to RegionSum
        As last reckoned; `current` tells what of it still holds.
    version : int
        How often `latest` was made anew.
    problem : str
        Why it could not be, empty where it could.
    """

    def __init__(self, choices: Choices) -> None:
        self.choices, self.feed = choices, choices.feed
        self.latest: dict[str, RegionSum] = {}
        self.version, self.problem = 0, ""
        self._reader = RegionReader(self.feed)
        self._masks: dict[str, Mask] = {}
        self._state: tuple[Any, ...] = ()
        self._thread: threading.Thread | None = None

    def reckoned(self, name: str) -> bool:
        """Tell whether `latest` is of the region as it is drawn now, and not of one that it replaced."""
        drawn, reckoned = self.choices.regions.get(name), self._masks.get(name)
        return drawn is not None and reckoned is not None and np.array_equal(drawn, reckoned)

    def current(self) -> dict[str, RegionSum]:
        """Return the sums of the regions as they are drawn now."""
        return {name: found for name, found in self.latest.items() if self.reckoned(name)}

    def refresh(self, compiled: bool) -> None:
        """Begin to reckon, if something has changed and the last reckoning is done; `compiled`: the fit is ready."""
        if self._thread is not None and self._thread.is_alive():
            return
        good = self.choices.good()
        regions = {name: np.flatnonzero(mask & good) for name, mask in self.choices.regions.items()}
        times = self.feed.planes["time"]
        contents = [(name, pixels.tobytes(), times.flat[pixels].tobytes()) for name, pixels in regions.items()]
        drawn = [mask.tobytes() for mask in self.choices.regions.values()]
        state = (contents, drawn, len(self.feed.calibrations), compiled, self.feed.resets)
        if state == self._state or not (regions or self.latest):
            return
        self._state = state
        self._thread = threading.Thread(
            target=self._reckon, args=(regions, dict(self.choices.regions), compiled), name="regions", daemon=True
        )
        self._thread.start()

    def _reckon(self, regions: dict[str, Pixels], masks: dict[str, Mask], compiled: bool) -> None:
        try:
            self.latest, self.problem = self._reader.read(regions, compiled), ""
        except Exception as error:
            logger.exception("the regions of run %s could not be summed", self.feed.uid)
            self.latest, self.problem = {}, f"the EDCs could not be summed: {error}"
        self._masks = masks
        self.version += 1
