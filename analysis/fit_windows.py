"""The fit windows of one calibration: problems made once per depth of the window, and kept.

A window reaches from about ``-(delta + 60)`` meV, where the hump that the model lacks begins to matter, or from where
it is told to, to +36 meV. The depth follows from the data alone: the bank's best start gives delta, on the bank's
lattice of gaps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from microarpes.analysis.background import BackgroundTerm
from microarpes.analysis.bank import Bank, make_bank
from microarpes.analysis.forward import BINS_PER_FWHM, Instrument, Window, fit_window, make_window
from microarpes.analysis.line_shape import Array, LineShape
from microarpes.analysis.scoring import Problem

__all__ = ["FitWindows", "WindowProblem"]

#: Depth below the gap, meV, and in FWHM of the resolution: the larger counts.
BELOW_GAP = 60.0
BELOW_GAP_FWHM = 5.0
#: Reach above E_F, meV and in FWHM: enough dark to know the constant.
ABOVE_EF = 36.0
ABOVE_EF_FWHM = 3.0
#: The bank looks at everything down to here, meV; it must see the largest gap.
BANK_DEPTH = 150.0
#: The bank only chooses a start: half the resolution is fine enough for it.
BANK_BINS_PER_FWHM = 2.0


@dataclass(frozen=True)
class WindowProblem:
    """A problem and the channels it is about, one window per energy axis."""

    problem: Problem
    windows: tuple[Window, ...]
    lower: float

    def bin(self, counts: Array) -> Array:
        """Sum counts of shape (n, n_window, n_energy) to bins, shape (n, n_window, n_bins)."""
        binned = []
        for i, window in enumerate(self.windows):
            stop = window.first + window.bin_size * window.n_bins
            used = counts[:, i, window.first : stop].reshape(counts.shape[0], window.n_bins, window.bin_size)
            binned.append(used.sum(axis=-1))
        return np.ascontiguousarray(np.stack(binned, axis=1))


@dataclass
class FitWindows:
    """Problems for EDCs on given axes under one calibration.

    Attributes
    ----------
    energy : ndarray, shape (n_window, n_energy), meV
        Channel centres, Fermi energy at 0; one axis per window that shares the line shape.
    instrument : Instrument
    shape : LineShape
    eps_k : float, meV
    gamma0_prior : float, meV
    terms : tuple of BackgroundTerm
        Background beyond the straight line.
    flat_field : ndarray, shape (n_window, n_energy), or None
        Factor of each channel.
    below_gap : float or None, meV
        Depth of the windows below the gap.
    by_channel : bool
        Whether the problems count by channel; the windows are those of the bins.
    """

    energy: Array
    instrument: Instrument
    shape: LineShape
    eps_k: float
    gamma0_prior: float
    terms: tuple[BackgroundTerm, ...] = ()
    flat_field: Array | None = None
    below_gap: float | None = None
    by_channel: bool = False
    _problems: dict[float, WindowProblem] = field(default_factory=dict, init=False)
    _perturbed: dict[tuple[float, ...], Problem] = field(default_factory=dict, init=False)
    _widest: WindowProblem | None = field(default=None, init=False)
    _bank: Bank | None = field(default=None, init=False)
    _whole: Problem | None = field(default=None, init=False)

    @property
    def upper(self) -> float:
        """Upper end of every window, meV."""
        return max(ABOVE_EF, ABOVE_EF_FWHM * self.instrument.resolution)

    def depth(self, delta: float) -> float:
        """Lower end (< 0) of the window for a gap, meV."""
        usual = max(BELOW_GAP, BELOW_GAP_FWHM * self.instrument.resolution)
        return -(delta + (usual if self.below_gap is None else self.below_gap))

    @property
    def widest(self) -> WindowProblem:
        """The window the bank looks at, in bins of its own."""
        if self._widest is None:
            lower = -max(BANK_DEPTH, -self.depth(0.5 * self.shape.upper[0]))
            self._widest = self._make(lower, self._cut(lower, BANK_BINS_PER_FWHM))
        return self._widest

    @property
    def bank(self) -> Bank:
        """The templates, computed at first use."""
        if self._bank is None:
            # starts are chosen with the straight line alone
            plain = replace(self, terms=())
            self._bank = make_bank((plain if self.terms else self).widest.problem)
        return self._bank

    def problem(self, lower: float) -> WindowProblem:
        """Return the problem with its window reaching down to `lower`, made at first use."""
        if lower not in self._problems:
            self._problems[lower] = self._make(lower, self._cut(lower, BINS_PER_FWHM))
        return self._problems[lower]

    def perturbed(
        self, lower: float, *, ef: float = 0.0, resolution: float = 0.0, temperature: float = 0.0, eps_k: float = 0.0
    ) -> Problem:
        """Return the same problem with E_F (meV), FWHM (meV), temperature (K) or eps_k (meV) changed a little."""
        key = (lower, ef, resolution, temperature, eps_k)
        if key in self._perturbed:
            return self._perturbed[key]
        instrument = replace(
            self.instrument,
            ef_offset=self.instrument.ef_offset + ef,
            resolution=self.instrument.resolution + resolution,
            temperature=self.instrument.temperature + temperature,
        )
        changed = replace(self, instrument=instrument, eps_k=self.eps_k + eps_k)
        self._perturbed[key] = changed._make(
            lower, [(w.first, w.bin_size, w.n_bins) for w in self.problem(lower).windows]
        ).problem
        return self._perturbed[key]

    @property
    def whole(self) -> Problem:
        """Every channel by itself, for the model on the input axis; backgrounds are per meV of -1 and at E_F."""
        if self._whole is None:
            cuts = [(0, 1, axis.size) for axis in self.energy]
            self._whole = self._make(-1.0, cuts).problem
        return self._whole

    def _cut(self, lower: float, bins_per_fwhm: float) -> list[tuple[int, int, int]]:
        """First channel, channels per bin and number of bins on each axis, for a window down to `lower`."""
        cuts = [fit_window(e, lower, self.upper, self.instrument.resolution / bins_per_fwhm) for e in self.energy]
        # axes of the windows differ by less than a bin: all keep as many bins as the shortest, from the top
        n_bins = min(cut[2] for cut in cuts)
        return [(first + size * (n - n_bins), size, n_bins) for first, size, n in cuts]

    def _make(self, lower: float, cuts: list[tuple[int, int, int]]) -> WindowProblem:
        flats = [None] * len(cuts) if self.flat_field is None else list(self.flat_field)
        if self.by_channel:
            cuts = [(first, 1, size * n) for first, size, n in cuts]
        windows = tuple(
            make_window(axis, *cut, lower, self.instrument, flat)
            for axis, cut, flat in zip(self.energy, cuts, flats, strict=True)
        )
        return WindowProblem(self._collect(list(windows)), windows, lower)

    def _collect(self, windows: list[Window]) -> Problem:
        n_fine = max(w.fine.size for w in windows)
        # grids of slightly different length: the spare points have no weight
        fine = np.stack([np.pad(w.fine, (0, n_fine - w.fine.size), mode="edge") for w in windows])
        kernel = np.stack([np.pad(w.kernel, ((0, n_fine - w.fine.size), (0, 0))) for w in windows])
        linear = np.stack([w.linear for w in windows])
        if any(term.instead_of_slope for term in self.terms):
            linear[:, 1] += linear[:, 0]  # what is left of the straight line is level
            linear[:, 0] = 0.0
        thermal = self.instrument.thermal
        return Problem(self.shape, fine, kernel, linear, self.eps_k, self.gamma0_prior, self.terms, thermal)
