"""Fit problems laid out for the compiled engine, made when the first EDC needs them, and the call of the engine.

Behind a flat field they are laid out by channel instead of by bin, and know nothing of the factors, which are given
with the counts.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from microarpes.analysis.bank import template_counts
from microarpes.analysis.compiled_entry import FIRST_GAP_ROW, WHOLE_ROW, WIDEST_ROW, fit_pixels
from microarpes.analysis.compiled_fit import N_VARIANT
from microarpes.analysis.compiled_model import HEAD
from microarpes.analysis.edge_test import axis_has_edge, edge_regions
from microarpes.analysis.engine import NUMPY_ENGINE, engine_name
from microarpes.analysis.fit_core import EF_DOUBTS
from microarpes.analysis.fit_windows import FitWindows
from microarpes.analysis.forward import Instrument, Window
from microarpes.analysis.line_shape import Array
from microarpes.analysis.overdispersion import noise_bins
from microarpes.analysis.poisson import moment_table
from microarpes.analysis.results import FLOAT_FIELDS
from microarpes.analysis.scoring import Problem
from microarpes.analysis.settings import FitSettings
from microarpes.analysis.systematics import PROBES

__all__ = ["COMPILED_FORMS", "CompiledFits", "choose_engine", "is_even", "pack"]

#: Line shapes that the compiled engine knows.
COMPILED_FORMS = ("norman",)

#: Parts of the resolution function that are left out, relative to its largest: beyond 6 standard deviations.
NEGLIGIBLE = 1e-8
#: Largest difference between the steps of an even axis, in steps.
EVEN = 1e-6
ERRORS = ("ef", "resolution", "temperature", "eps_k")


def pack(problem: Problem, instrument: Instrument) -> tuple[Array, list[int]]:
    """Lay out a problem as `compiled_model.Model` reads it.

    Parameters
    ----------
    problem : Problem
        On an even axis.
    instrument : Instrument
        Its temperature is that of the problem's kernel.

    Returns
    -------
    values : ndarray, shape (n,)
        Fine grid, Fermi function, taps and linear parts, one after the other.
    shape : list of int
        n_phase, n_lattice, n_tap, n_bins.
    """
    _, n_fine, n_bins = problem.kernel.shape
    step = (problem.fine[:, -1:] - problem.fine[:, :1]) / (n_fine - 1)
    deep = n_bins // 8  # a bin that the Fermi function does not touch, and whose resolution function is on the grid
    pair = (
        problem.kernel[0, :, deep : deep + 2] / np.maximum(expit(-problem.fine[0] / instrument.thermal), 1e-30)[:, None]
    )
    centre = np.arange(n_fine) @ pair / pair.sum(axis=0)
    n_phase, column = round(float(centre[1] - centre[0])), pair[:, 0]
    seen = np.flatnonzero(column > NEGLIGIBLE * column.max())
    low, n_tap = int(seen[0]), int(seen[-1]) + 1 - int(seen[0])
    per_phase = 8 * -(-n_tap // (8 * n_phase))
    taps = np.zeros(n_phase * per_phase)
    taps[:n_tap] = column[low : low + n_tap]
    n_lattice = n_bins + per_phase
    points = low + n_phase * (np.arange(n_lattice)[None, :] - deep) + np.arange(n_phase)[:, None]
    fine = problem.fine[:, :1] + step * points.ravel()
    values = (fine, expit(-fine / instrument.thermal), taps.reshape(per_phase, n_phase).T, problem.linear)
    return np.concatenate([np.ravel(part) for part in values]), [n_phase, n_lattice, per_phase, n_bins]


def is_even(energy: Array) -> bool:
    """Tell whether the channels of all axes are equally wide, to a millionth, as the compiled engine needs them."""
    steps = np.diff(energy, axis=-1)
    return bool(np.ptp(steps) <= EVEN * steps.mean())


def choose_engine(engine: str | None, model: str, energy: Array, *, plain: bool = True) -> str:
    """Engine for a line shape on an axis, or ValueError; `plain`: Poisson, on a straight-line background."""
    best = engine_name(has_compiled_form=plain and model in COMPILED_FORMS and is_even(energy))
    if engine not in (None, best, NUMPY_ENGINE):
        raise ValueError(f"engine = {engine!r} cannot fit model {model!r} here: give {best!r} or {NUMPY_ENGINE!r}")
    return engine or best


class CompiledFits:
    """Fits under one calibration by the compiled engine.

    Parameters
    ----------
    windows : FitWindows
        Without a flat field.
    settings : FitSettings
    seen : bool
        Whether the counts are counted behind flat fields.
    """

    def __init__(self, windows: FitWindows, settings: FitSettings, *, seen: bool) -> None:
        self._windows, self._settings, self._seen = windows, settings, seen
        self._made = replace(windows, by_channel=True) if seen else windows
        self._axes = np.ascontiguousarray(windows.energy)
        self._regions = self._find_regions()
        self._moments = np.array(moment_table()[1:])
        self._values = self._collect_values()
        self._sizes = np.zeros(5, dtype=np.int64)
        self._table = np.full((FIRST_GAP_ROW, HEAD + self._axes.shape[0]), -1, dtype=np.int64)
        self._store = np.zeros(0)
        if self._regions[0, 2] >= 0:
            self._add_bank()

    def fit(self, counts: Array, contrast: Array, flat_field: Array | None) -> tuple[Array, NDArray[np.int64], Array]:
        """Fit pixels.

        Parameters
        ----------
        counts : ndarray, shape (n, n_window, n_energy), detector units, C order
            Anything, NaN included.
        contrast : ndarray, shape (n,)
            Angular contrast, NaN where it is not known.
        flat_field : ndarray, shape (n_window, n_energy), or None
            Factors of all these pixels.

        Returns
        -------
        values : ndarray, shape (n, 12)
            In the order of `results.FLOAT_FIELDS`.
        status : ndarray of int, shape (n,)
        model_counts : ndarray, shape (n, n_window, n_energy), detector units
        """
        n = counts.shape[0]
        out, status = np.empty((n, len(FLOAT_FIELDS))), np.empty(n, dtype=np.int64)
        model_counts, at = np.empty(counts.shape), 0
        factors = np.empty((len(self._axes), 0)) if flat_field is None else flat_field
        while at < n:
            at, gap = fit_pixels(
                counts, contrast, factors, at, self._axes, self._regions, self._store, self._table, self._sizes,
                self._values, self._moments, out, status, model_counts,
            )  # fmt: skip
            if gap >= 0:
                self._add_gap(gap)
        return out, status, model_counts

    def _find_regions(self) -> NDArray[np.int64]:
        """Regions of the verdicts for each window; all but the first two -1 where an axis has no edge."""
        has_edge = all(axis_has_edge(axis, self._windows.instrument) for axis in self._axes)
        depth = -self._windows.widest.lower if has_edge else 0.0
        rows = []
        for axis in self._axes:
            noise = noise_bins(axis, self._windows.instrument.resolution, depth)
            rows.append([*noise, *(edge_regions(axis, self._windows.instrument) if has_edge else [-1] * 9)])
        width = max(len(row) for row in rows)
        regions = np.full((len(rows), width), -1, dtype=np.int64)
        for i, row in enumerate(rows):
            regions[i, : len(row)] = row
        return regions

    def _collect_values(self) -> Array:
        """Put the settings in the order of `compiled_entry.Numbers`."""
        s, instrument = self._settings, self._windows.instrument
        errors = [s.errors[name] for name in ERRORS]
        probes = [PROBES.get(name, s.errors[name]) for name in ERRORS]
        return np.array(
            [
                s.gain,
                np.inf if s.saturation is None else s.saturation,
                s.min_angular_contrast,
                max(instrument.resolution, 4.0 * instrument.thermal),
                np.nan if s.gamma0 is None else s.gamma0,
                self._windows.eps_k,
                self._windows.gamma0_prior**-2,
                *self._windows.shape.lower,
                *self._windows.shape.upper,
                *errors,
                *probes,
            ]
        )

    def _add_bank(self) -> None:
        """Put the bank at the head of the store, and the problems of the widest window and of all channels behind."""
        widest, problem = self._windows.widest, self._made.widest.problem
        if self._seen:
            starts, counts = template_counts(problem)
            parts = [starts, counts.transpose(0, 2, 1)]
        else:
            bank = self._windows.bank
            parts = [bank.starts, bank.background, bank.templates, bank.unmix, bank.root_weight]
        self._gaps = np.unique(parts[0][:, 0])
        lower = [*(self._windows.depth(float(gap)) for gap in self._gaps), widest.lower]
        self._store = np.concatenate([*(np.ravel(part) for part in parts), lower])
        self._sizes[:2] = len(parts[0]), self._gaps.size
        rows = FIRST_GAP_ROW + N_VARIANT * self._gaps.size
        self._table = np.full((rows, self._table.shape[1]), -1, dtype=np.int64)
        self._add(WIDEST_ROW, problem, widest.windows)
        self._add(WHOLE_ROW, self._made.whole, widest.windows)

    def _add_gap(self, gap: int) -> None:
        """Add the problems of one gap of the bank: as calibrated, and with the calibration changed."""
        lower = self._windows.depth(float(self._gaps[gap]))
        within, row, errors = self._windows.problem(lower), FIRST_GAP_ROW + N_VARIANT * gap, self._settings.errors
        changes: list[dict[str, float]] = []
        if errors["ef"] > 0:
            changes = [{"ef": k * errors["ef"]} for k in EF_DOUBTS]
        for i, change in enumerate(changes):
            self._add(row + 1 + i, self._made.perturbed(within.lower, **change), within.windows)
        for i, name in enumerate(ERRORS):
            if errors[name] > 0:
                probe = {name: PROBES.get(name, errors[name])}
                problem = self._made.perturbed(within.lower, **probe)
                changed = probe.get("temperature", 0.0)
                self._add(row + 1 + len(EF_DOUBTS) + i, problem, within.windows, changed)
        self._add(row, self._made.problem(lower).problem, within.windows)

    def _add(self, row: int, problem: Problem, windows: tuple[Window, ...], temperature: float = 0.0) -> None:
        """Append a problem to the store and say in the table where it is; `temperature` (K) is its change."""
        instrument = self._windows.instrument
        values, shape = pack(problem, replace(instrument, temperature=instrument.temperature + temperature))
        whole, n_cell = row == WHOLE_ROW, shape[3]
        size = 1 if whole else windows[0].bin_size
        shape[3] = n_cell if whole or not self._seen else windows[0].n_bins
        firsts = [0 if whole else window.first for window in windows]
        self._table[row] = [self._store.size, *shape, size, *firsts]
        self._store = np.concatenate([self._store, values])
        n_bins = 0 if whole else shape[3]
        largest = shape[0] * shape[1], n_bins, n_cell
        self._sizes[2:] = np.maximum(self._sizes[2:], largest)
