"""What one viewer has chosen: pixel, regions of interest, levels, thresholds; the panels look here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from microarpes.beamline.kept_mask import KeptMask
from microarpes.beamline.page_run import RunFeed

Mask = NDArray[np.bool_]
LEVELS = ("robust", "min-max", "manual")


@dataclass
class Choices:
    """The choices of one viewer of one run.

    Attributes
    ----------
    feed : RunFeed
    follow : bool
        Show the newest pixel.
    chosen : int
        The pixel shown while `follow` is off.
    regions : dict of str to ndarray of bool, shape (ny, nx)
        Regions of interest ``A`` and ``B``.
    chosen_by_gap : set of str
        Regions whose pixels were chosen by their gap, so that their mean is no finding.
    region_drawn : str
        The region that is drawn next, on the map, the scatter or the histogram.
    max_error, max_goodness : float
        Pixels with a larger error (meV) or deviance per degree of freedom are masked, never deleted.
    kept : KeptMask or None
        What is kept with the run, and was begun with.
    """

    feed: RunFeed
    follow: bool = True
    chosen: int = 0
    regions: dict[str, Mask] = field(default_factory=dict)
    chosen_by_gap: set[str] = field(default_factory=set)
    region_drawn: str = "A"
    max_error: float = np.inf
    max_goodness: float = np.inf
    kept: KeptMask | None = None
    version: int = 0
    _newest: int | None = None
    _watchers: list[Callable[[], None]] = field(default_factory=list)

    @property
    def pixel(self) -> int | None:
        """The pixel to show, None before the first one; the same for all panels until `keep_up` is called."""
        return self._newest if self.follow else self.chosen

    def keep_up(self) -> None:
        """Let the newest pixel be the one that is the newest now."""
        self._newest = self.feed.newest

    def choose(self, pixel: int) -> None:
        """Show a pixel and stay on it."""
        if 0 <= pixel < self.feed.status.size:
            self.follow, self.chosen = False, int(pixel)
            self._tell()

    def go(self, columns: int, rows: int) -> None:
        """Step to a neighbour: columns to larger pixel numbers, rows to later rows; the border stops."""
        ny, nx = self.feed.shape
        if self.pixel is None or not nx:
            return
        row, column = divmod(self.pixel, nx)
        self.choose(int(np.clip(row + rows, 0, ny - 1)) * nx + int(np.clip(column + columns, 0, nx - 1)))

    def follow_newest(self) -> None:
        """Show the newest pixel from now on."""
        self.follow = True
        self.keep_up()
        self._tell()

    def set_region(self, name: str, mask: Mask | None, *, by_gap: bool = False) -> None:
        """Keep a region of interest, or forget it; `by_gap` where its pixels were chosen by their gap."""
        self.chosen_by_gap.discard(name)
        if by_gap:
            self.chosen_by_gap.add(name)
        if mask is None or not mask.any():
            self.regions.pop(name, None)
        else:
            self.regions[name] = mask
        self._tell()

    def begin_with(self, kept: KeptMask | None) -> None:
        """Begin with the thresholds that were kept with the run, if any were."""
        self.kept = kept
        if kept is not None:
            self.set_thresholds(kept.max_error, kept.max_goodness)

    def set_thresholds(self, max_error: float, max_goodness: float) -> None:
        """Mask pixels beyond these."""
        self.max_error, self.max_goodness = max_error, max_goodness
        self._tell()

    def good(self) -> Mask:
        """Return the pixels with a gap that the thresholds let through, shape (ny, nx)."""
        planes = self.feed.planes
        good: Mask = self.feed.status == "ok"
        if np.isfinite(self.max_error):
            good = good & (planes["delta_stderr"] <= self.max_error)
        if np.isfinite(self.max_goodness):
            with np.errstate(invalid="ignore", divide="ignore"):
                good = good & (planes["deviance"] / planes["dof"] <= self.max_goodness)
        return good

    def masked(self) -> Mask:
        """Return the pixels with a gap that the thresholds hide, shape (ny, nx)."""
        masked: Mask = (self.feed.status == "ok") & ~self.good()
        return masked

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` when a choice has changed."""
        self._watchers.append(watcher)

    def _tell(self) -> None:
        self.version += 1
        for watcher in self._watchers:
            watcher()
