r"""Where the angle distribution of one frame near E_F is its own mirror image: the centre between +k_F and -k_F.

On the antinodal cut of a square lattice emission is even about (pi, 0), whatever the band, the gap and the background
are. The counts :math:`n_{b\alpha}` of energy bands b are therefore fitted by what is even in :math:`\alpha - c`, and no
more is assumed of it than that it is a cubic spline:

.. math::

    \chi^2(c) = \sum_b \min_a \sum_\alpha \Big(n_{b\alpha} - \sum_j a_{bj} B_j(|\alpha - c|)\Big)^2 / v_{b\alpha}

Its minimum is found by Gauss-Newton steps from the centre about which pairs of channels differ least. The spline
through noise has slopes too, which tell nothing of a centre: what they seem to tell is taken out of the information
before an error is made of it. What is odd about the centre is fitted as well, and must be no more than noise; or, where
a matrix element may make one side brighter, no more than a smooth factor of each band's even part makes. Channels that
do not count alike count shares :math:`\phi` of what was emitted: what is even is :math:`\mu` where :math:`\phi \mu` is
expected, with this for its variance, and a dead channel says nothing. In the simulation, 3e5 counts in a frame of
300 x 400 give the centre to 0.006 deg, 3e3 counts to 0.1 deg.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

from microarpes.analysis.energy_bands import band_edges, energy_bands, joined
from microarpes.analysis.even_splines import even_fit, project, smooth_odd, splines, unlike, variance_of, without_factor
from microarpes.analysis.settings import check_number

__all__ = ["MirrorCentre", "even_centre", "mirror_centre"]

Array = NDArray[np.float64]

#: A band of energies has at least so many counts, or the splines would follow the noise.
BAND_COUNTS = 8000
#: Distance of the spline's knots, deg, a peak may be as narrow as twice this; up to so many times further apart where
#: there are fewer counts than these: the sum of all bands has no narrow peaks.
KNOTS, WIDER, KNOT_COUNTS = 0.3, 3.0, 3e4
#: Relative variation over angle, beyond noise, below which a frame is flat.
LEAST_CONTRAST = 0.15
#: Probability below which an oddness or a structure is not believed to be noise.
CHANCE = 1e-5
#: Probability of the oddness below which emission may be uneven.
UNBELIEVED = 0.02
#: With how many counts in the bands the even part is then as fine as its knots, and how few tell no centre at all.
UNEVEN_COUNTS, TOO_FEW = 1.2e5, 2e4
#: Steps, and the change, deg, that ends them.
STEPS, SETTLED = 8, 5e-4


@dataclass(frozen=True)
class MirrorCentre:
    """The mirror centre of a frame.

    Attributes
    ----------
    centre : float, deg
        Slit angle; NaN unless `status` is ``ok``.
    error : float, deg
        One standard deviation, of counting.
    contrast : float
        Relative variation of the counts over angle, beyond noise.
    asymmetry : float
        Part of that variation, root mean square, that is odd about the centre, beyond noise.
    p_value : float
        Probability of so much oddness by chance.
    status : str
        ``ok``; ``flat`` without angular structure: metal, a dead patch, no counts; ``lost`` where there is a structure
        that is even about no centre within reach; ``bad-input`` when the frame holds what is no count.
    """

    centre: float
    error: float
    contrast: float
    asymmetry: float
    p_value: float
    status: str


def mirror_centre(
    frame: ArrayLike,
    energy: ArrayLike,
    angle: ArrayLike,
    fermi_energy: float,
    *,
    expected: float = 0.0,
    reach: float = 1.5,
    half_width: float = 4.0,
    gain: float = 1.0,
    row_shift: ArrayLike | None = None,
    uneven: bool = False,
    flat_field: ArrayLike | None = None,
) -> MirrorCentre:
    """Find the mirror centre of a frame's angle distribution near E_F.

    Parameters
    ----------
    frame : array_like, shape (n_angle, n_energy), counts
        Of the antinodal cut, as they were counted.
    energy : array_like, shape (n_energy,), eV kinetic
    angle : array_like, shape (n_angle,), deg
        Equally spaced and rising, as the energies.
    fermi_energy : float, eV kinetic
    expected, reach : float, deg
        The centre is looked for within `reach` of `expected`.
    half_width : float, deg
        Angles used on either side: those of +-k_F and some background. Another mirror, such as (pi, pi), must not be
        within ``half_width + reach``.
    gain : float
        Variance of a channel over its counts; 1 for counted electrons.
    row_shift : array_like of int, shape (n_angle,), optional
        Energy channels by which each row is shifted up to straighten the slit's curvature.
    uneven : bool
        Where so much is odd about the centre that noise is not believed, emission may be stronger on one side, by a
        smooth factor: a matrix element. The error is then half as large again.
    flat_field : array_like, shape (n_angle, n_energy), optional
        What each channel counts of what it is given; 0 is a dead one. Counts are never divided by it: it says what
        to expect.

    Returns
    -------
    MirrorCentre

    Raises
    ------
    ValueError
        Frame and axes do not belong together, the energies about E_F or the angles about `expected` are not in the
        frame, or a number is not above 0.
    """
    counts, channel = np.asarray(frame), np.asarray(angle, dtype=np.float64)
    energies = np.asarray(energy, dtype=np.float64)
    _check_rising("energy", energies)
    _check_rising("angle", channel)
    if counts.shape != (channel.size, energies.size):
        raise ValueError(f"the frame has shape {counts.shape}, its axes {(channel.size, energies.size)}")
    check_number("reach", reach, "deg", 0.0, 90.0, open_low=True)
    check_number("half_width", half_width, "deg", 0.0, 90.0, open_low=True)
    check_number("gain", gain, "", 0.0, np.inf, open_low=True)
    at = band_edges(counts.shape, energies, fermi_energy, row_shift)
    bands, exposure = energy_bands(counts, at, flat_field)
    if not bands.min() >= 0.0:
        return _nothing("bad-input")
    if not (bands.sum(axis=1) > 0).all():
        return _nothing("flat", 0.0)
    outermost = half_width + reach
    if channel[0] > expected - outermost or channel[-1] < expected + outermost:
        raise ValueError(
            f"angles of {channel[0]:g} to {channel[-1]:g} deg do not hold {expected:g} +- {outermost:g} deg; "
            "give a smaller half_width or reach"
        )
    look = partial(
        even_centre, bands / gain, channel, expected=expected, reach=reach, half_width=half_width, exposure=exposure
    )
    found = look()
    return look(uneven=True) if uneven and found.p_value < UNBELIEVED else found


def _check_rising(name: str, axis: Array) -> None:
    step = np.diff(axis) if axis.ndim == 1 and axis.size > 1 else np.zeros(1)
    if not (np.isfinite(step).all() and step.min() > 0 and np.ptp(step) < 0.01 * step.mean()):
        raise ValueError(f"{name} axis of shape {axis.shape} must be a row of rising, equally spaced numbers")


def even_centre(
    bands: Array,
    angle: Array,
    *,
    expected: float,
    reach: float,
    half_width: float,
    spacing: float = KNOTS,
    uneven: bool = False,
    exposure: Array | None = None,
) -> MirrorCentre:
    """Find about which angle several angle distributions are all even; see the module.

    Parameters
    ----------
    bands : ndarray, shape (n_band, n_angle), counts
    angle : ndarray, shape (n_angle,), deg
        Equally spaced and rising; ``expected +- (half_width + reach)`` lies within.
    expected, reach, half_width : float, deg
        As of `mirror_centre`.
    spacing : float, deg
        Least distance of the spline's knots; two channels or more.
    uneven : bool
        Whether emission may be stronger on one side.
    exposure : ndarray, shape (n_band, n_angle), optional
        Share of what was emitted that a channel counts; 1 by default.

    Returns
    -------
    MirrorCentre
    """
    total = float(bands.sum())
    if uneven and total < TOO_FEW:
        return _nothing("lost")
    knots = spacing * float(np.clip(((UNEVEN_COUNTS if uneven else KNOT_COUNTS) / total) ** (1 / 3), 1.0, WIDER))
    n_band = int(np.clip(total / BAND_COUNTS, 1, len(bands)))
    first = np.arange(n_band) * len(bands) // n_band
    share = np.ones((n_band, angle.size)) if exposure is None else joined(exposure, bands.sum(axis=1), first)
    bands = np.add.reduceat(bands, first, axis=0)
    start = _coarse(bands, share, angle, expected, reach, half_width, spacing)
    inside = np.abs(angle - start) <= half_width
    share, at = share[:, inside], angle[inside]
    # What is fitted is what was emitted; its weight is that of the counts, n - share * emitted.
    emitted = np.divide(bands[:, inside], share, out=np.zeros_like(share), where=share > 0.0)
    centre, variance = start, None
    for step in range(STEPS):
        even, slope, odd = splines(at - centre, half_width, knots)
        if variance is None:
            variance = variance_of(emitted, even, share)
        weight = share / variance
        smooth = smooth_odd(at - centre)
        basis = np.concatenate([even, smooth], axis=1) if uneven else even
        normal, shape, residual = even_fit(emitted, weight, basis)
        shape = shape[:, : even.shape[1]]
        slopes = -shape @ slope.T
        # Freedom of the even part makes the slopes' part that is even no information of the centre.
        free = slopes - project(normal, basis, weight, slopes)
        if uneven:
            factors = [(shape @ even.T) * power for power in smooth.T]
            factors = [one - project(normal, basis, weight, one) for one in factors]
            free, residual = (without_factor(one, factors, weight) for one in (free, residual))
        information = float((free * weight * free).sum())
        if not information > 0.0:
            return _nothing("flat", 0.0)
        moved = float((free * weight * residual).sum()) / information
        if step == STEPS - 1 or abs(moved) < SETTLED or abs(centre + moved - start) > reach:
            break
        centre += float(np.clip(moved, -knots, knots))
    found = _judged(
        emitted, float(bands[:, inside].sum()), weight, (basis, slope, odd), (normal, residual), information, centre
    )
    if found.status == "ok" and abs(centre - expected) > reach:
        return _nothing("lost", found.contrast)
    return found


def _judged(
    emitted: Array,
    total: float,
    weight: Array,
    curves: tuple[Array, Array, Array],
    fit: tuple[Array, Array],
    information: float,
    centre: float,
) -> MirrorCentre:
    """Return the centre with its error, or why what was found is none."""
    (basis, slope, odd), (normal, residual) = curves, fit
    mean = (emitted * weight).sum(axis=1) / weight.sum(axis=1)
    explained = float((weight * ((emitted - mean[:, None]) ** 2 - residual**2)).sum())
    freedom = emitted.shape[0] * (basis.shape[1] - 1)
    variation = max(explained - freedom, 0.0) / total
    # Slopes of the spline through noise alone.
    n_even = slope.shape[1]
    steep = slope if basis.shape[1] == n_even else unlike(normal, basis, weight, slope)
    noise = float((((steep @ np.linalg.inv(normal)[:, :n_even, :n_even]) * steep).sum(axis=2) * weight).sum())
    true = information - noise
    if chdtrc(freedom, max(explained, 0.0)) > CHANCE or variation < LEAST_CONTRAST**2:
        return _nothing("flat", variation**0.5)
    if not true > noise:
        return _nothing("lost", variation**0.5)
    _, _, left = even_fit(emitted, weight, np.concatenate([basis, odd], axis=1))
    oddness = float((weight * (residual**2 - left**2)).sum())
    freedom = emitted.shape[0] * odd.shape[1] - 1
    p_value = float(chdtrc(freedom, max(oddness, 0.0)))
    asymmetry = (max(oddness - freedom, 0.0) / total / variation) ** 0.5
    if p_value < CHANCE:
        return MirrorCentre(np.nan, np.nan, variation**0.5, asymmetry, p_value, "lost")
    error = (information / true**2) ** 0.5
    return MirrorCentre(centre, error, variation**0.5, asymmetry, p_value, "ok")


def _coarse(
    bands: Array, share: Array, angle: Array, expected: float, reach: float, half_width: float, spacing: float
) -> float:
    """Return the centre, to half a channel of about half a knot, about which pairs of channels differ least."""
    step = float(angle[1] - angle[0])
    width = max(1, round(spacing / 2 / step))
    n = len(angle) // width
    binned = bands[:, : n * width].reshape(len(bands), n, width).sum(axis=2)
    seen = share[:, : n * width].reshape(len(bands), n, width).mean(axis=2)
    first = float(angle[:width].mean())
    pairs = max(2, round(half_width / (width * step)))
    twice = np.arange(np.ceil(2 * (expected - reach - first) / (width * step)),
                      np.floor(2 * (expected + reach - first) / (width * step)) + 1).astype(np.intp)  # fmt: skip
    reached = np.arange(1, pairs)
    left = np.clip((twice[:, None] + 1) // 2 - reached, 0, n - 1)
    right = np.clip(twice[:, None] - left, 0, n - 1)
    one, other, of_one, of_other = binned[:, left], binned[:, right], seen[:, left], seen[:, right]
    both = of_one * of_other
    apart = (of_other * one - of_one * other) ** 2
    differ = np.divide(apart, both * (one + other + 1.0), out=np.zeros_like(apart), where=both > 0.0).sum(axis=(0, 2))
    return first + float(twice[int(np.argmin(differ))]) / 2 * width * step


def _nothing(status: str, contrast: float = float("nan")) -> MirrorCentre:
    nan = float("nan")
    return MirrorCentre(nan, nan, contrast, nan, nan, status)
