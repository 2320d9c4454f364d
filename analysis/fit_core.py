"""Fits of counts already found worth it: start bank, ascent, second thoughts, verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.bank import project, rank_starts, start_parameters
from microarpes.analysis.fit_errors import covariance, standard_errors, without_bounds
from microarpes.analysis.fit_windows import FitWindows, WindowProblem
from microarpes.analysis.line_shape import Array
from microarpes.analysis.overdispersion import overdispersion
from microarpes.analysis.poisson import deviance_moments
from microarpes.analysis.scoring import N_LINEAR, N_SHAPE, Problem, Solution, maximise

__all__ = ["GAMMA0_PRIOR", "Fitted", "fit_counts", "goodness", "standard_errors"]

#: Standard deviation of the half-normal prior on gamma0, meV: optimally doped Bi2212 far below T_c has 0-3 meV.
GAMMA0_PRIOR = 5.0
#: Standard deviations by which the deviance may exceed its expectation before the model is said not to describe it.
GOODNESS_LIMIT = 4.0
#: EDCs fitted in one go; bounds the memory, has no influence on any result.
BATCH = 256
#: Below these the first start is not trusted alone: gap (meV), gap and amplitude over their errors.
SURE_DELTA, SURE_SIGMAS, SURE_AMPLITUDE = 12.0, 8.0, 4.0
#: Deviance a gap must explain to be believed. Amplitude, rates and gap are all free under the alternative and a bump
#: may sit anywhere, so this is far above the 3.84 of one parameter; about 1 % of gapless spectra exceed it.
GAP_EVIDENCE = 10.0
#: A gap is a measurement only where it is so many of its errors away from zero, or the evidence so many times enough.
GAP_SIGMAS, OVERWHELMING = 2.0, 3.0
#: Shifts of E_F, in its errors, that a gapless spectrum is granted.
EF_DOUBTS = (-2.0, -1.0, 1.0, 2.0)
#: Height of the peak over the gapless background at E_F. Below, the spectrum is a metal's with a bump on it.
MIN_PEAK_OVER_BACKGROUND = 0.5


@dataclass
class Fitted:
    """Outcome of `fit_counts`; arrays of length n, energies in meV.

    Attributes
    ----------
    theta : ndarray, shape (n, n_parameters)
    stderr : ndarray, shape (n, n_parameters)
    measured : ndarray, shape (n, 2), meV
        Gap and gamma1 as reported; see `without_bounds`.
    lower : ndarray, shape (n,)
        Lower end of the fit window.
    deviance, dof, excess, likelihood_ratio : ndarray, shape (n,)
        `excess`: the deviance against its expectation, in standard deviations.
    good : ndarray of bool
        Converged, inside the bounds, and the model describes the data.
    gap : ndarray of bool
        The data ask for a gap.
    null_theta : ndarray, shape (n, n_parameters)
        Fit without a gap, where it was needed.
    null_deviance : ndarray, shape (n,)
    null_good : ndarray of bool
        That fit describes the data.
    """

    theta: Array
    stderr: Array
    measured: Array
    lower: Array
    deviance: Array
    dof: Array
    excess: Array
    likelihood_ratio: Array
    good: NDArray[np.bool_]
    gap: NDArray[np.bool_]
    null_theta: Array
    null_deviance: Array
    null_good: NDArray[np.bool_]


def goodness(solution: Solution, n_free: int, n_dead: int = 0) -> Array:
    """Deviance above its expectation under the fitted model, in standard deviations; shape (n,).

    The skew of the distribution is taken out by the cube root (Wilson and Hilferty, DOI 10.1073/pnas.17.12.684).
    """
    mean, variance = deviance_moments(solution.expected)
    n_bins = solution.expected.shape[1] - n_dead
    mean = mean * max(n_bins - n_free, 1) / n_bins  # every free parameter takes its share
    spread = variance / (9.0 * mean**2)
    return np.asarray(((solution.deviance / mean) ** (1.0 / 3.0) - (1.0 - spread)) / np.sqrt(spread))


def fit_counts(windows: FitWindows, counts: Array, gamma0: float | None, ef_error: float = 0.0) -> Fitted:
    """Fit photoelectron counts.

    Parameters
    ----------
    windows : FitWindows
    counts : ndarray, shape (n, n_window, n_energy), photoelectrons
    gamma0 : float or None, meV
        Fixed value, None for free.
    ef_error : float, meV
        Error of E_F: a gapless spectrum with its edge moved that far may not pass for a gap.
    """
    n, p = counts.shape[0], windows.widest.problem.n_parameters
    deepest, resolution = -windows.widest.lower, windows.instrument.resolution
    noise = overdispersion(windows.energy, counts, resolution, deepest, windows.flat_field)
    out = Fitted(
        theta=np.full((n, p), np.nan),
        stderr=np.full((n, p), np.nan),
        measured=np.full((n, 2), np.nan),
        **{k: np.full(n, np.nan) for k in ("lower", "deviance", "dof", "excess", "likelihood_ratio", "null_deviance")},
        good=np.zeros(n, dtype=np.bool_),
        gap=np.zeros(n, dtype=np.bool_),
        null_theta=np.full((n, p), np.nan),
        null_good=np.zeros(n, dtype=np.bool_),
    )
    for first in range(0, n, BATCH):
        rows = np.arange(first, min(first + BATCH, n))
        projected = project(windows.bank, windows.widest.bin(counts[rows]))
        ranked = rank_starts(windows.bank, projected)
        best_gap = windows.bank.starts[ranked[:, 0], 0]
        for delta in np.unique(best_gap):
            picked = best_gap == delta
            within = windows.problem(windows.depth(float(delta)))
            depth = np.full(int(picked.sum()), within.lower / windows.widest.lower)
            starts = [start_parameters(windows.bank, projected[picked], c, depth) for c in ranked[picked].T]
            starts = [start_terms(within.problem, start) for start in starts]
            out.lower[rows[picked]] = within.lower
            nulls = gapless_problems(windows, within, ef_error)
            _fit_group(
                within.problem,
                nulls,
                within.bin(counts[rows[picked]]),
                starts,
                gamma0,
                rows[picked],
                out,
                noise[rows[picked]],
            )
    return out


def gapless_problems(windows: FitWindows, within: WindowProblem, ef_error: float) -> list[tuple[Problem, float]]:
    """Problems without a gap, with E_F as given and one and two errors off, and what each costs in deviance."""
    problems = [(within.problem, 0.0)]
    if ef_error > 0:
        for k in EF_DOUBTS:
            problems.append((windows.perturbed(within.lower, ef=k * ef_error), k * k))
    return problems


def _fit_group(
    problem: Problem,
    nulls: list[tuple[Problem, float]],
    binned: Array,
    starts: list[Array],
    gamma0: float | None,
    rows: NDArray[np.intp],
    out: Fitted,
    noise: Array,
) -> None:
    """Fit EDCs that share a window and put the outcome where it belongs."""
    flat = binned.reshape(binned.shape[0], -1)
    free = problem.all_free()
    if gamma0 is not None:
        free[2] = False
        for start in starts:
            start[:, 2] = gamma0
    n_free = int(free.sum())
    solution = maximise(problem, flat, starts[0], free)
    inverse = covariance(problem, solution, free)
    stderr = standard_errors(problem, solution, free, inverse)
    n_dead = problem.n_dead
    excess = goodness(solution, n_free, n_dead)
    doubtful = (
        _doubtful(solution, stderr, _prominence(problem, solution), problem.n_window)
        | (excess > GOODNESS_LIMIT)
        | ~solution.converged
    )
    again = np.flatnonzero(doubtful)
    if again.size:
        _second_thoughts(problem, flat, starts[1:], free, solution, again)
        part = _part(solution, again)
        inverse[again], excess[again] = covariance(problem, part, free), goodness(part, n_free, n_dead)
        stderr[again] = standard_errors(problem, part, free, inverse[again])
        gapless = [maximise(null, flat[again], _gapless(part.theta), _without_gap(free)) for null, _ in nulls]
        least = np.min([fit.objective + cost for fit, (_, cost) in zip(gapless, nulls, strict=True)], axis=0)
        # towards zero gap the information on it vanishes and the ascent may stop short: then the null is the better
        out.likelihood_ratio[rows[again]] = np.maximum(least - part.objective, 0.0)
        null_free = n_free - (2 if free[2] else 1)
        null_excess = np.min([goodness(fit, null_free, n_dead) for fit in gapless], axis=0)
        out.null_good[rows[again]] = null_excess <= GOODNESS_LIMIT
        out.null_theta[rows[again]], out.null_deviance[rows[again]] = gapless[0].theta, gapless[0].deviance
    ratio = out.likelihood_ratio[rows]
    upper = np.array(problem.shape.upper)
    # a rate at its lower bound is a spike of noise, one at its upper bound no peak
    narrow = solution.theta[:, 1] <= problem.shape.lower[1]
    inside = (solution.theta[:, 0] < upper[0]) & (solution.theta[:, 1] < upper[1]) & ~narrow
    gap = ~(ratio < GAP_EVIDENCE * noise)  # NaN: beyond doubt
    # where the error is so wide that it says little, overwhelming evidence is enough
    gap &= (solution.theta[:, 0] > GAP_SIGMAS * stderr[:, 0]) | (ratio >= OVERWHELMING * GAP_EVIDENCE * noise)
    gap &= _prominence(problem, solution) >= MIN_PEAK_OVER_BACKGROUND
    out.theta[rows], out.stderr[rows] = solution.theta, stderr
    out.measured[rows] = without_bounds(problem, solution, flat, inverse, stderr, free)
    out.deviance[rows], out.excess[rows] = solution.deviance, excess
    out.dof[rows] = flat.shape[1] - n_dead - n_free
    out.gap[rows] = gap
    out.good[rows] = np.where(gap, (excess <= GOODNESS_LIMIT) & solution.converged & inside, out.null_good[rows])


def _doubtful(solution: Solution, stderr: Array, prominence: Array, n_window: int) -> NDArray[np.bool_]:
    """Where a gap is not beyond doubt from the first fit alone."""
    delta, sigma = solution.theta[:, 0], stderr[:, 0]
    at = slice(N_SHAPE, N_SHAPE + N_LINEAR * n_window, N_LINEAR)
    amplitude, amplitude_sigma = solution.theta[:, at], stderr[:, at]
    faint = (amplitude < SURE_AMPLITUDE * amplitude_sigma).any(axis=1) | (prominence < 2 * MIN_PEAK_OVER_BACKGROUND)
    return np.asarray((delta < SURE_DELTA) | ~(delta > SURE_SIGMAS * sigma) | faint)


def _prominence(problem: Problem, solution: Solution) -> Array:
    """Height of the peak over the background at E_F, summed over the windows; shape (n,)."""
    n, n_window = solution.theta.shape[0], problem.n_window
    peak, background = np.zeros(n), np.zeros(n)
    for i in range(n_window):
        k = N_SHAPE + N_LINEAR * i
        unit = solution.jacobian[:, k].reshape(n, n_window, -1)[:, i]
        peak += solution.theta[:, k] * unit.max(axis=1)
        background += solution.theta[:, k + 2] * problem.linear[i, 2].mean()
    return peak / (background + 1e-12)


def _second_thoughts(
    problem: Problem,
    flat: Array,
    starts: list[Array],
    free: NDArray[np.bool_],
    solution: Solution,
    rows: NDArray[np.intp],
) -> None:
    """Climb from the other starts too and keep what is best."""
    for start in starts:
        other = maximise(problem, flat[rows], start[rows], free)
        better = other.objective < solution.objective[rows] - 1e-7
        chosen = rows[better]
        for name in ("theta", "objective", "deviance", "expected", "jacobian", "converged"):
            getattr(solution, name)[chosen] = getattr(other, name)[better]


def _part(solution: Solution, rows: NDArray[np.intp]) -> Solution:
    """Solution of some of the EDCs."""
    names = ("theta", "objective", "deviance", "expected", "jacobian", "converged")
    return Solution(**{name: getattr(solution, name)[rows] for name in names})


def start_terms(problem: Problem, start: Array) -> Array:
    """Add the parameters of further background terms to a start: as high as the straight line is at E_F."""
    height = start[:, N_SHAPE + 2 : N_SHAPE + N_LINEAR * problem.n_window : N_LINEAR]
    return np.concatenate([start, np.repeat(height, len(problem.terms), axis=1)], axis=1)


def _gapless(theta: Array) -> Array:
    """Start of the fit without a gap: gamma0 drops out of the line shape and rests at the prior's favour."""
    start = theta.copy()
    start[:, 0] = 0.0
    start[:, 2] = 0.5
    start[:, 1] = np.clip(start[:, 1] + theta[:, 0], 5.0, 100.0)
    return start


def _without_gap(free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Parameters free when there is no gap."""
    without = free.copy()
    without[[0, 2]] = False
    return without
