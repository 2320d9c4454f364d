"""The compiled engine's entry: pixels one after the other, each by itself, from detector counts to results."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from microarpes.analysis.compiled_fit import (
    N_VARIANT,
    NO_GAP,
    OK,
    Point,
    fit_pixel,
    make_point,
    systematic,
    upper_limit,
)
from microarpes.analysis.compiled_flat_field import Sight, look_through, see_counts, starts_behind
from microarpes.analysis.compiled_model import HEAD, Problems, predict_counts, unpack
from microarpes.analysis.compiled_start import Starts, rank, unpack_starts, unpack_templates
from microarpes.analysis.compiled_step import Rules, Work, make_work
from microarpes.analysis.compiled_verdict import is_data, refuse
from microarpes.analysis.engine import Ints, compiled, entry, fingerprint
from microarpes.analysis.line_shape import Array
from microarpes.analysis.results import Status
from microarpes.analysis.verdict import LOW_COUNTS

__all__ = ["FIRST_GAP_ROW", "WHOLE_ROW", "WIDEST_ROW", "Numbers", "fit_pixels"]

#: Rows of the table of problems: what the bank looks at, all channels, then `N_VARIANT` for each gap of the bank.
WIDEST_ROW, WHOLE_ROW, FIRST_GAP_ROW = 0, 1, 2
BAD_INPUT, SATURATED, NO_EDGE = int(Status.BAD_INPUT), int(Status.SATURATED), int(Status.NO_EDGE)
OFF_SAMPLE, EMPTY, FEW = int(Status.OFF_SAMPLE), int(Status.EMPTY), int(Status.LOW_COUNTS)


class Numbers(NamedTuple):
    """Settings in one array of float64, in this order: `errors` and `probes` of E_F, resolution, temperature, eps_k."""

    gain: float
    saturation: float
    min_contrast: float
    reach: float
    gamma0: float
    eps_k: float
    prior: float
    lower: Array
    upper: Array
    errors: Array
    probes: Array


@compiled
def read_numbers(values: Array) -> Numbers:
    """Name the settings."""
    return Numbers(
        values[0], values[1], values[2], values[3], values[4], values[5], values[6],
        values[7:10], values[10:13], values[13:17], values[17:21],
    )  # fmt: skip


@compiled
def judge(counts: Array, electrons: Array, contrast: float, sight: Sight, factors: Array, numbers: Numbers) -> int:
    """Verdict on the counts of a pixel before any fit, and the photoelectrons; OK where none is needed."""
    saturated, per_unit, plain = False, 1.0 / numbers.gain, factors.shape[1] == 0
    for w in range(counts.shape[0]):
        source, converted = counts[w], electrons[w]
        if not is_data(source):
            return BAD_INPUT
        for i in range(source.size):
            converted[i] = source[i] * per_unit
            saturated |= (source[i] >= numbers.saturation) & (plain or factors[w, i] > 0.0)
        if not plain:
            see_counts(sight, factors, w, converted)
    if saturated:
        return SATURATED
    for w in range(counts.shape[0]):
        n, regions = sight.n_live[w], sight.regions[w, 2:]
        if regions[0] < 0:
            return NO_EDGE
        counts_seen, rates, upto = sight.counts[w][:n], sight.rates[w][:n], sight.upto[w][: n + 1]
        if refuse(counts_seen, rates, upto, sight.energy[w][:n], regions, numbers.reach):
            return NO_EDGE
    return OFF_SAMPLE if contrast < numbers.min_contrast else OK


@compiled
def bin_counts(electrons: Array, row: Ints, binned: Array) -> float:
    """Sum the channels of each window to bins; return the sum of all."""
    n_bins, size, total = row[4], row[5], 0.0
    for w in range(electrons.shape[0]):
        source = electrons[w]
        for b in range(n_bins):
            value, at = 0.0, row[HEAD + w] + b * size
            for i in range(at, at + size):
                value += source[i]
            binned[w, b] = value
            total += value
    return total


@compiled
def bank_of(problems: Problems, n_start: int, n_gap: int) -> Starts:
    """Find the bank, or make it behind the flat field."""
    n_window, n_widest = problems.factors.shape[0], problems.table[WIDEST_ROW, 4]
    if problems.factors.shape[1] == 0 or n_start == 0:  # 0: an axis without an edge has no bank
        return unpack_starts(problems.store, n_window, n_widest, n_start, n_gap)
    n_cell = n_widest * problems.table[WIDEST_ROW, 5]
    starts, cells, lower = unpack_templates(problems.store, n_window, n_cell, n_start, n_gap)
    return starts_behind(starts, cells, lower, unpack(problems, WIDEST_ROW))


@compiled
def write(out: Array, best: Point, shown: Point, ok: bool, ratio: float, dof: float, limit: float,
          shift: float) -> None:  # fmt: skip
    """Results in the order of `results.FLOAT_FIELDS`."""
    if ok:
        out[0], out[1], out[2] = best.measured[0], best.stderr[0], shift
        out[3], out[4], out[5], out[6] = best.measured[1], best.stderr[1], best.theta[2], best.stderr[2]
        amplitude = 0.0
        for k in range(3, best.theta.size, 4):
            amplitude += best.theta[k]
        out[7] = amplitude
    out[8], out[9], out[10], out[11] = shown.numbers[1], dof, ratio, limit


@compiled
def draw(problems: Problems, shown: Point, lower: float, eps_k: float, gain: float, work: Work,
         model_counts: Array) -> None:  # fmt: skip
    """Model on the axis of the input, as `report.model_on_axis`."""
    theta = work.trial
    for i in range(theta.size):
        theta[i] = shown.theta[i]
    for w in range(model_counts.shape[0]):
        at_ef = theta[5 + 4 * w]
        # the background's first parameter is its value at the lower end of the fit window; here that end is -1 meV
        theta[4 + 4 * w] = at_ef + (theta[4 + 4 * w] - at_ef) / -lower
    predict_counts(unpack(problems, WHOLE_ROW), theta, eps_k, work.lines, work.binned, model_counts)
    for w in range(model_counts.shape[0]):
        row = model_counts[w]
        for b in range(row.size):
            row[b] *= gain


def _make_entry(source: int) -> Any:
    """Entry point whose cache depends on all of the engine's source: `source` is part of its closure."""

    def fit_pixels(counts: Array, contrast: Array, factors: Array, first: int, axes: Array, regions: Ints,
                   store: Array, table: Ints, sizes: Ints, values: Array, moments: Array, out: Array, status: Ints,
                   model_counts: Array) -> tuple[int, int]:  # fmt: skip
        """Fit pixels ``first ...``; return where it stopped and the gap of the bank whose problems it needs, or -1.

        Parameters
        ----------
        counts : ndarray, shape (n, n_window, n_energy), detector units
        contrast : ndarray, shape (n,)
        factors : ndarray, shape (n_window, n_energy) or (n_window, 0)
            Flat field of all these pixels, none where there is none.
        first : int
        axes : ndarray, shape (n_window, n_energy), meV
        regions : ndarray of int, shape (n_window, n_region)
            Width and number of the bins that tell the noise, then what `compiled_verdict.refuse` takes.
        store, table : ndarray
            Problems; rows of the table say where they are.
        sizes : ndarray of int, shape (5,)
            n_start, n_gap, and the largest numbers of fine points, of bins, and of what the resolution carries to.
        values : ndarray
            `Numbers`.
        moments : ndarray, shape (2, n)
        out, status, model_counts : ndarray
            Written in place; `out` has shape (n, 12).
        """
        if source < 0:
            return -1, -1
        n, n_window, n_energy = counts.shape
        numbers = read_numbers(values)
        n_start, n_gap, problems = sizes[0], sizes[1], Problems(store, table, factors)
        bank = bank_of(problems, n_start, n_gap)
        p = 3 + 4 * n_window
        lower, upper, free = np.zeros(p), np.full(p, np.inf), np.ones(p, dtype=np.bool_)
        lower[:3] = numbers.lower
        upper[:3] = numbers.upper
        free[2] = np.isnan(numbers.gamma0)
        rules = Rules(numbers.eps_k, numbers.prior, lower, upper)
        work = make_work(n_window, sizes[2], sizes[3], sizes[4])
        best, null, other = (
            make_point(n_window, sizes[3]), make_point(n_window, sizes[3]), make_point(n_window, sizes[3])
        )  # fmt: skip
        electrons, binned = np.empty((n_window, n_energy)), np.empty((n_window, sizes[3]))
        sight = look_through(factors, axes, regions, electrons, numbers.reach)
        common, own = np.empty((n_window, 3)), np.empty((n_window, n_start))
        score, choice = np.empty(n_start), np.empty(3, dtype=np.int64)
        for i in range(first, n):
            out[i, :] = np.nan
            status[i] = judge(counts[i], electrons, contrast[i], sight, factors, numbers)
            if status[i] == OK:
                total = bin_counts(electrons, table[WIDEST_ROW], binned)
                if total < LOW_COUNTS:
                    status[i] = EMPTY if total <= 0.0 else FEW
            if status[i] != OK:
                model_counts[i] = np.nan
                continue
            rank(bank, binned, common, own, score, choice)
            gap = choice[0] // (n_start // n_gap)
            row = FIRST_GAP_ROW + gap * N_VARIANT
            if table[row, 0] < 0:
                return i, gap
            bin_counts(electrons, table[row], binned)
            verdict = fit_pixel(
                problems, row, bank, common, own, choice, bank.lower[gap] / bank.lower[n_gap], rules, free,
                numbers.gamma0, numbers.errors[0], electrons, regions, binned, moments, work, best, null, other,
            )  # fmt: skip
            status[i] = verdict.status
            limit, shift = np.nan, np.nan
            shown = null if verdict.status == NO_GAP else best
            if verdict.status == OK:
                shift = systematic(problems, row, numbers.eps_k, numbers.errors, numbers.probes, work, best)
            elif verdict.status == NO_GAP:
                model = unpack(problems, row)
                limit = upper_limit(model, rules, binned, free, work, best, other)
                # a gap may hide behind an error of E_F, which moves it by at most as much (one-sided 95 %)
                limit = min(limit + 1.645 * numbers.errors[0], upper[0])
            write(out[i], best, shown, verdict.status == OK, verdict.likelihood_ratio, verdict.dof, limit, shift)
            draw(problems, shown, bank.lower[gap], numbers.eps_k, numbers.gain, work, model_counts[i])
        return n, -1

    return entry(fit_pixels)


fit_pixels = _make_entry(fingerprint())
