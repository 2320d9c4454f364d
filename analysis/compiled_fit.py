"""The compiled engine's way through one pixel, from counts to numbers: what `fit_core` and `report` do in numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from microarpes.analysis.compiled_ascent import climb, covariance, keep, without_bounds
from microarpes.analysis.compiled_log import logarithms
from microarpes.analysis.compiled_model import N_LOCAL, Model, Problems, predict_counts, unpack
from microarpes.analysis.compiled_start import Starts, make_start
from microarpes.analysis.compiled_step import Rules, Work
from microarpes.analysis.compiled_verdict import noise_of
from microarpes.analysis.engine import Flags, Ints, compiled
from microarpes.analysis.fit_core import (
    EF_DOUBTS,
    GAP_EVIDENCE,
    GAP_SIGMAS,
    GOODNESS_LIMIT,
    MIN_PEAK_OVER_BACKGROUND,
    OVERWHELMING,
    SURE_AMPLITUDE,
    SURE_DELTA,
    SURE_SIGMAS,
)
from microarpes.analysis.line_shape import Array
from microarpes.analysis.poisson import MOMENT_STEP, MOMENTS_FROM, MOMENTS_TO
from microarpes.analysis.results import Status
from microarpes.analysis.upper_limit import BISECTIONS, LADDER, LIMIT_RISE

__all__ = ["N_VARIANT", "Point", "Verdict", "fit_pixel", "make_point", "systematic", "upper_limit"]

#: Problems of one window: as calibrated; E_F off by each of `EF_DOUBTS`; E_F, resolution, temperature, eps_k probed.
N_VARIANT = 1 + len(EF_DOUBTS) + 4
#: Logarithm at which the table of the deviance's moments begins.
FIRST_MOMENT = float(np.log(MOMENTS_FROM))
OK, NO_GAP, BAD_FIT = int(Status.OK), int(Status.NO_GAP), int(Status.BAD_FIT)


class Point(NamedTuple):
    """A point of the likelihood; scalars in one array: objective, deviance, converged, goodness."""

    theta: Array
    stderr: Array
    inverse: Array
    measured: Array
    expected: Array
    jacobian: Array
    numbers: Array


class Verdict(NamedTuple):
    """Outcome for a pixel."""

    status: int
    likelihood_ratio: float
    dof: float


@compiled
def make_point(n_window: int, n_bins: int) -> Point:
    """Allocate for the largest problem of a call."""
    p = 3 + 4 * n_window
    vector = np.empty((4, max(p, 4)))
    return Point(
        vector[0, :p], vector[1, :p], np.empty((p, p)), vector[2, :2], np.empty((n_window, n_bins)),
        np.empty((n_window, N_LOCAL, n_bins)), vector[3, :4],
    )  # fmt: skip


@compiled
def goodness(expected: Array, n_bins: int, n_dead: int, deviance: float, n_free: int, moments: Array,
             work: Work) -> float:  # fmt: skip
    """`fit_core.goodness` of one fit."""
    mean, variance, last, spare = 0.0, 0.0, moments.shape[1] - 1, work.weight[0]
    for w in range(expected.shape[0]):
        mu = expected[w]
        for b in range(n_bins):
            spare[b] = min(max(mu[b], MOMENTS_FROM), MOMENTS_TO)
        logarithms(spare, n_bins, work.bits, work.logs)
        for b in range(n_bins):
            at = (work.logs[b] - FIRST_MOMENT) / MOMENT_STEP
            i = min(max(int(at), 0), last - 1)
            part = at - i
            mean += moments[0, i] + part * (moments[0, i + 1] - moments[0, i])
            variance += moments[1, i] + part * (moments[1, i + 1] - moments[1, i])
    n = expected.shape[0] * n_bins - n_dead
    mean *= max(n - n_free, 1) / n
    spread = variance / (9.0 * mean * mean)
    return float(((deviance / mean) ** (1.0 / 3.0) - (1.0 - spread)) / np.sqrt(spread))


@compiled
def ascend(model: Model, rules: Rules, counts: Array, free: Flags, moments: Array, work: Work, point: Point) -> None:
    """Climb from the point's theta and judge where it ends."""
    objective, deviance, converged = climb(
        model, rules, counts, point.theta, free, work, point.expected, point.jacobian
    )
    n_free = 0
    for i in range(free.size):
        n_free += free[i]
    point.numbers[0] = objective
    point.numbers[1] = deviance
    point.numbers[2] = 1.0 if converged else 0.0
    point.numbers[3] = goodness(point.expected, model.linear.shape[2], model.n_dead, deviance, n_free, moments, work)


@compiled
def prominence(model: Model, point: Point) -> float:
    """`fit_core._prominence` of one fit: height of the peak over the background at E_F."""
    peak, background, n_bins = 0.0, 0.0, model.linear.shape[2]
    for w in range(point.expected.shape[0]):
        highest, width = 0.0, 0.0
        for b in range(n_bins):
            highest = max(highest, point.jacobian[w, 3, b])
            width += model.linear[w, 2, b]
        peak += point.theta[3 + 4 * w] * highest
        background += point.theta[5 + 4 * w] * (width / n_bins)
    return peak / (background + 1e-12)


@compiled
def is_doubtful(point: Point, height: float) -> bool:
    """Whether a gap is not beyond doubt from the first fit alone."""
    if point.numbers[3] > GOODNESS_LIMIT or point.numbers[2] == 0.0 or height < 2.0 * MIN_PEAK_OVER_BACKGROUND:
        return True
    for k in range(3, point.theta.size, 4):
        if point.theta[k] < SURE_AMPLITUDE * point.stderr[k]:
            return True
    return point.theta[0] < SURE_DELTA or not point.theta[0] > SURE_SIGMAS * point.stderr[0]


@compiled
def fit_pixel(problems: Problems, first: int, bank: Starts, common: Array, own: Array, choice: Ints,
              depth: float, rules: Rules, free: Flags, fixed_gamma0: float, ef_error: float, electrons: Array,
              regions: Ints, counts: Array, moments: Array, work: Work, best: Point, null: Point,
              other: Point) -> Verdict:  # fmt: skip
    """Fit one pixel; `best` is left with the fit, `null` with the one without a gap where that was needed.

    Parameters
    ----------
    problems, first
        Rows ``first ...`` of their table are those of this pixel's window.
    common, own, choice, depth
        Of the start bank.
    electrons : ndarray, shape (n_window, n_energy)
        For their noise, which is judged where there is doubt; `regions` says by which bins.
    counts : ndarray, shape (n_window, n_bins), photoelectrons
    """
    n_window = counts.shape[0]
    model = unpack(problems, first)
    n_bins, n_free = model.linear.shape[2], 0
    for i in range(free.size):
        n_free += free[i]
    start(bank, common, own, choice[0], depth, fixed_gamma0, best.theta)
    ascend(model, rules, counts, free, moments, work, best)
    covariance(rules, best.theta, best.expected, best.jacobian, n_bins, free, work, best.stderr, best.inverse)
    height = prominence(model, best)
    ratio, null_good, noise = np.nan, False, 1.0
    if is_doubtful(best, height):
        for i in range(1, 3):
            start(bank, common, own, choice[i], depth, fixed_gamma0, other.theta)
            ascend(model, rules, counts, free, moments, work, other)
            if other.numbers[0] < best.numbers[0] - 1e-7:
                replace(other, best, n_bins)
        covariance(rules, best.theta, best.expected, best.jacobian, n_bins, free, work, best.stderr, best.inverse)
        height = prominence(model, best)
        least, good = without_gap(problems, first, rules, free, ef_error, counts, moments, work, best, null, other)
        ratio, null_good = max(least - best.numbers[0], 0.0), good
        noise = noise_of(electrons, problems.factors, regions[:, 0], regions[:, 1])
    theta = best.theta
    gap = not ratio < GAP_EVIDENCE * noise  # NaN: beyond doubt
    clear = theta[0] > GAP_SIGMAS * best.stderr[0] or ratio >= OVERWHELMING * GAP_EVIDENCE * noise
    gap = gap and clear and height >= MIN_PEAK_OVER_BACKGROUND
    # a rate at its lower bound is a spike of noise, one at its upper bound no peak
    inside = theta[0] < rules.upper[0] and rules.lower[1] < theta[1] < rules.upper[1]
    dof = float(n_window * n_bins - model.n_dead - n_free)
    if gap:
        without_bounds(
            rules, counts, theta, best.expected, best.jacobian, n_bins, best.inverse, best.stderr, free, best.measured
        )
        good = best.numbers[3] <= GOODNESS_LIMIT and best.numbers[2] == 1.0 and inside
        return Verdict(OK if good else BAD_FIT, ratio, dof)
    if not null_good:
        return Verdict(BAD_FIT, ratio, dof)
    return Verdict(NO_GAP, ratio, dof + (2 if free[2] else 1))


@compiled
def start(bank: Starts, common: Array, own: Array, choice: int, depth: float, fixed_gamma0: float,
          theta: Array) -> None:  # fmt: skip
    """Start parameters, gamma0 at its fixed value where it has one."""
    make_start(bank, common, own, choice, depth, theta)
    if not np.isnan(fixed_gamma0):
        theta[2] = fixed_gamma0


@compiled
def replace(other: Point, best: Point, n_bins: int) -> None:
    """Let `other` be the best."""
    keep(other.theta, other.expected, other.jacobian, best.theta, best.expected, best.jacobian, n_bins)
    for i in range(4):
        best.numbers[i] = other.numbers[i]


@compiled
def without_gap(problems: Problems, first: int, rules: Rules, free: Flags, ef_error: float, counts: Array,
                moments: Array, work: Work, best: Point, null: Point, other: Point) -> tuple[float, bool]:  # fmt: skip
    """Fit without a gap, E_F as given and moved by its errors: least objective, and whether one describes the data."""
    without = free.copy()
    without[0] = False
    without[2] = False
    least, good = np.inf, False
    for v in range(1 + len(EF_DOUBTS) if ef_error > 0.0 else 1):
        point = null if v == 0 else other
        for i in range(best.theta.size):
            point.theta[i] = best.theta[i]
        point.theta[0] = 0.0
        point.theta[2] = 0.5
        point.theta[1] = min(max(best.theta[1] + best.theta[0], 5.0), 100.0)
        ascend(unpack(problems, first + v), rules, counts, without, moments, work, point)
        cost = 0.0 if v == 0 else EF_DOUBTS[v - 1] ** 2
        least = min(least, point.numbers[0] + cost)
        good = good or point.numbers[3] <= GOODNESS_LIMIT
    return least, good


@compiled
def systematic(problems: Problems, first: int, eps_k: float, errors: Array, probes: Array, work: Work,
               best: Point) -> float:  # fmt: skip
    """`systematics.delta_systematic` of one fit, meV; `errors` and `probes` of E_F, resolution, temperature, eps_k."""
    square = 0.0
    for e in range(4):
        if errors[e] <= 0.0:
            continue
        model = unpack(problems, first + 1 + len(EF_DOUBTS) + e)
        probed_eps_k = eps_k + probes[e] if e == 3 else eps_k
        predict_counts(model, best.theta, probed_eps_k, work.lines, work.binned, work.trial_expected)
        shift = 0.0
        for w in range(model.linear.shape[0]):
            for b in range(model.linear.shape[2]):
                change = (work.trial_expected[w, b] - best.expected[w, b]) / best.expected[w, b]
                for i in range(N_LOCAL):
                    shift += change * best.inverse[0, i if i < 3 else i + 4 * w] * best.jacobian[w, i, b]
        square += (shift * (errors[e] / probes[e])) ** 2
    return float(np.sqrt(square))


@compiled
def profile(model: Model, rules: Rules, counts: Array, free: Flags, delta: float, work: Work, point: Point) -> float:
    """Objective with the gap held at `delta`, everything else at its best."""
    point.theta[0] = delta
    return climb(model, rules, counts, point.theta, free, work, point.expected, point.jacobian)[0]


@compiled
def upper_limit(model: Model, rules: Rules, counts: Array, free: Flags, work: Work, best: Point,
                other: Point) -> float:  # fmt: skip
    """`upper_limit.upper_limits` of one pixel, meV."""
    held = free.copy()
    held[0] = False
    for i in range(best.theta.size):
        other.theta[i] = best.theta[i]
    at = best.theta[0]
    least = profile(model, rules, counts, held, at, work, other)
    low, high, found = at, LADDER[-1], False
    for rung in LADDER:
        value = profile(model, rules, counts, held, max(rung, at), work, other)
        least = min(least, value)
        if value > least + LIMIT_RISE and rung > at:
            high, found = rung, True
            break
        low = max(low, rung)
    if not found:
        return high
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        if profile(model, rules, counts, held, middle, work, other) > least + LIMIT_RISE:
            high = middle
        else:
            low = middle
    return high
