"""The sample of the simulated beamline: a seeded Bi2212 flake on silver epoxy, and the truth a map is scored against.

Definitions. `gap` is the superconducting gap at the antinodal k_F, the point of the Fermi surface on the zone
boundary (pi/a, 0.18 pi/a); elsewhere the gap is ``gap * d(k) / d(k_F)`` with ``d = |cos kx a - cos ky a| / 2``.
Gap and scattering rate `gamma1` are Gaussian random fields; their correlation coefficient is +0.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, spline_filter

from microarpes.sim.band import antinodal_factor, antinodal_k_f, antinodal_polar, momentum, vacuum_wave_number
from microarpes.sim.band import d_wave_factor as d_wave
from microarpes.sim.photoemission import emission_profile

Array = NDArray[np.float64]

#: Beam spot, um FWHM of a Gaussian, horizontal and vertical.
BEAM_SPOT = (10.0, 12.0)
#: Correlation length of the fields, um: the covariance is exp(-r^2 / (2 length^2)).
CORRELATION_LENGTH = 10.0
#: Mean and spread (sigma) of the beam-averaged fields, meV.
GAP_MEAN, GAP_SPREAD = 35.0, 2.1
GAMMA1_MEAN, GAMMA1_SPREAD = 15.0, 1.7
#: Correlation coefficient of gap and gamma1.
GAP_GAMMA1_CORRELATION = 0.4
#: Correlation length of an undulating face, um, and the largest tilt of one that does not undulate, deg.
UNDULATION_LENGTH, FLATTEST = 30.0, 0.1
#: What a spot of the surface is.
HOLDER, LIVE, DEAD = 0, 1, 2

_FWHM_TO_SIGMA = 1.0 / (2.0 * math.sqrt(2.0 * math.log(2.0)))
#: Positions whose truth is reckoned at a time: a beam and the momenta in its windows are 0.3 MB of numbers at each.
AT_ONCE = 256
_GRID_STEP = 2.0
_GRID_POINTS = 440
_LOWEST_GAP, _LOWEST_GAMMA1 = 15.0, 6.0


@dataclass(frozen=True)
class PixelTruth:
    """Truth of pixels, n positions and n_window angle windows; NaN where no live flake is in the beam.

    Parameters
    ----------
    gap, gamma1 : ndarray, shape (n,), meV
        Mean over the beam's live part and over all windows, weighted by photoemission intensity; the gap is that of
        the momenta in the windows (d-wave factor included), at k_F itself when no window was asked for.
    live_fraction : ndarray, shape (n,)
        Part of the beam on live flake, 0 to 1.
    window_gap, window_gamma1 : ndarray, shape (n, n_window), meV
        The same for each window by itself.
    """

    gap: Array
    gamma1: Array
    live_fraction: Array
    window_gap: Array
    window_gamma1: Array


PIXEL_TRUTHS = tuple(field.name for field in fields(PixelTruth))


def beam_quadrature() -> tuple[Array, Array, Array]:
    """Return offsets (um) and weights of the fixed 9 x 9 quadrature that stands for the Gaussian beam.

    Returns
    -------
    dx, dy, weight : ndarray, shape (81,)
        Equidistant out to 2.25 sigma; the weights sum to one.
    """
    nodes = np.linspace(-2.25, 2.25, 9)
    weight = np.exp(-0.5 * nodes**2)
    sx, sy = (_FWHM_TO_SIGMA * width for width in BEAM_SPOT)
    dx, dy = np.meshgrid(nodes * sx, nodes * sy)
    product = np.outer(weight, weight)
    return dx.ravel(), dy.ravel(), (product / product.sum()).ravel()


class _Field:
    """A periodic Gaussian random field of unit beam-averaged variance and zero mean over the central 200 x 200 um."""

    def __init__(self, rng: np.random.Generator, length: float = CORRELATION_LENGTH) -> None:
        white = rng.standard_normal((_GRID_POINTS, _GRID_POINTS))
        # A white field smoothed with sigma s has the covariance exp(-r^2 / (4 s^2)).
        smooth = gaussian_filter(white, length / math.sqrt(2.0) / _GRID_STEP, mode="wrap")
        self._spline = spline_filter(smooth, order=3, mode="grid-wrap")
        axis = np.arange(-100.0, 101.0, 5.0)
        self._mean, self._sigma = 0.0, 1.0
        averaged = self.beam_averaged(*np.meshgrid(axis, axis))
        self._mean, self._sigma = float(averaged.mean()), float(averaged.std())

    def __call__(self, x: Array, y: Array) -> Array:
        half = _GRID_POINTS / 2
        rows, columns = y / _GRID_STEP + half, x / _GRID_STEP + half
        raw = map_coordinates(self._spline, [rows, columns], order=3, mode="grid-wrap", prefilter=False)
        return np.asarray((raw - self._mean) / self._sigma, dtype=np.float64)

    def beam_averaged(self, x: Array, y: Array) -> Array:
        dx, dy, weight = beam_quadrature()
        return np.asarray(self(x[..., None] + dx, y[..., None] + dy) @ weight, dtype=np.float64)


class Sample:
    """A flake of about 400 um on its holder; the same seed gives the same flake.

    The flake's right-hand edge lies at x of about 70 to 95 um, so that a raster of 190 um about the origin goes over
    it; a dead patch of about 45 um lies at upper left of the origin.

    Parameters
    ----------
    seed : int
    undulation : float, deg
        The cleaved face waves by so much at most to either side, along the slit: by exactly so much somewhere within
        100 um of the origin along x and y. Gap and rate are those of the flat flake.
    """

    def __init__(self, seed: int, *, undulation: float = 0.0) -> None:
        rng = np.random.default_rng([seed, 0x5A])
        self._gap, other = _Field(rng), _Field(rng)
        self._other = other
        self._outline = rng.normal(0.0, 0.012, 5), rng.uniform(0.0, 2 * math.pi, 5)
        self._patch = (-40.0 + rng.uniform(-8, 8), 35.0 + rng.uniform(-8, 8))
        self._patch_phase = float(rng.uniform(0.0, 2 * math.pi))
        self._tilt_direction = float(rng.uniform(0.0, 2 * math.pi))
        self.undulation = undulation
        self._waves = _waves(seed) if undulation else None

    @property
    def largest_tilt(self) -> float:
        """No face within 100 um of the origin tilts by more than this, deg."""
        return FLATTEST + self.undulation

    def gap_at(self, x: Array, y: Array) -> Array:
        """Return the gap at the antinodal k_F, meV, at points (um) of the flake."""
        return np.maximum(GAP_MEAN + GAP_SPREAD * self._gap(x, y), _LOWEST_GAP)

    def gamma1_at(self, x: Array, y: Array) -> Array:
        """Return the single-particle scattering rate, meV, at points (um) of the flake."""
        r = GAP_GAMMA1_CORRELATION
        mixed = r * self._gap(x, y) + math.sqrt(1 - r * r) * self._other(x, y)
        return np.maximum(GAMMA1_MEAN + GAMMA1_SPREAD * mixed, _LOWEST_GAMMA1)

    def surface_at(self, x: Array, y: Array) -> NDArray[np.int8]:
        """Return what lies at points (um): `HOLDER`, `LIVE` or `DEAD`."""
        along, across = x + 110.0, y
        phi = np.arctan2(across, along)
        amplitude, phase = self._outline
        wave = sum(a * np.cos(n * phi + p) for n, (a, p) in enumerate(zip(amplitude, phase, strict=True), start=2))
        inside = np.hypot(along, across) < 203.0 * (1.0 + wave)
        px, py = x - self._patch[0], y - self._patch[1]
        radius = 22.5 * (1.0 + 0.12 * np.cos(3 * np.arctan2(py, px) + self._patch_phase))
        dead = np.hypot(px, py) < radius
        return np.where(inside, np.where(dead, DEAD, LIVE), HOLDER).astype(np.int8)

    def face_tilt_at(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Return by how much (deg) the cleaved face turns the angle axis.

        Without an undulation below 0.05 deg over a 190 um raster. The beam sees the one face in its middle.
        """
        c, s = math.cos(self._tilt_direction), math.sin(self._tilt_direction)
        px, py = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        u = (c * px + s * py) / 100.0
        tilt = 0.015 * u + 0.004 * u * u
        return tilt if self._waves is None else tilt + self.undulation * self._waves(px, py)

    def truth(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        polar: float | None = None,
        windows: Sequence[tuple[float, float]] = (),
        photon_energy: float = 100.0,
        tilt: float = 0.0,
        azimuth: float = 0.0,
        window_shift: ArrayLike = 0.0,
    ) -> PixelTruth:
        """Return what a perfect measurement with this beam would find.

        Parameters
        ----------
        x, y : array_like, shape (n,), um
            True positions of the beam's centre.
        polar, tilt, azimuth : float, deg
            Manipulator angles; by default the antinodal cut.
        windows : sequence of (low, high), deg
            Slit angles; empty: the momenta of the antinodal k_F.
        photon_energy : float, eV
        window_shift : array_like, shape (n,), deg
            By how much the windows of each position lie higher than `windows`.

        Returns
        -------
        PixelTruth
        """
        xs, ys = (np.atleast_1d(np.asarray(v, dtype=np.float64)).ravel() for v in (x, y))
        shift = np.broadcast_to(np.asarray(window_shift, dtype=np.float64), xs.shape)
        polar = antinodal_polar(photon_energy) if polar is None else polar
        geometry = {"polar": polar, "azimuth": azimuth, "wave_number": vacuum_wave_number(photon_energy)}
        parts = [slice(first, first + AT_ONCE) for first in range(0, max(xs.size, 1), AT_ONCE)]
        found = [self._truth(xs[part], ys[part], tilt + shift[part], windows, geometry) for part in parts]
        return PixelTruth(**{name: np.concatenate([getattr(one, name) for one in found]) for name in PIXEL_TRUTHS})

    def _truth(
        self, xs: Array, ys: Array, turned: Array, windows: Sequence[tuple[float, float]], geometry: dict[str, float]
    ) -> PixelTruth:
        dx, dy, weight = beam_quadrature()
        px, py = xs[:, None] + dx, ys[:, None] + dy
        live = np.where(self.surface_at(px, py) == LIVE, weight, 0.0)
        fraction = live.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(fraction[:, None] > 0, live / fraction[:, None], np.nan)
        gap = (share * self.gap_at(px, py)).sum(axis=1)
        gamma1 = (share * self.gamma1_at(px, py)).sum(axis=1)
        # Tilt of the sample and of its face turn the angle axis; a window that is moved sees what lies there.
        factor, emitted = self._window_factors(turned + self.face_tilt_at(xs, ys), windows, geometry)
        window_gap = gap[:, None] * factor
        overall = (window_gap * emitted).sum(axis=1) / emitted.sum(axis=1) if windows else gap
        return PixelTruth(overall, gamma1, fraction, window_gap, np.repeat(gamma1[:, None], len(windows), axis=1))

    def _window_factors(
        self, turned: Array, windows: Sequence[tuple[float, float]], geometry: dict[str, float]
    ) -> tuple[Array, Array]:
        """Return the mean of d(k) / d(k_F) and the emission of each window, both of shape (n, n_window).

        `turned` (n,) is what is added to the slit angles at each position, deg.

        The weight of a slit angle is its emission at the mean gap and rate; their spread changes it by far less than
        it changes the gap.
        """
        angles = [np.linspace(low, high, 33)[:-1] + (high - low) / 64 for low, high in windows]
        if not angles:
            return np.zeros((turned.size, 0)), np.zeros((turned.size, 0))
        kx, ky = momentum(np.stack(angles)[None] + turned[:, None, None], tilt=0.0, **geometry)
        factor = d_wave(kx, ky) / antinodal_factor()
        weight = emission_profile(kx, ky, GAP_MEAN, GAMMA1_MEAN)
        width = np.array([high - low for low, high in windows])
        return (factor * weight).sum(axis=-1) / weight.sum(axis=-1), weight.mean(axis=-1) * width


def _waves(seed: int) -> Callable[[Array, Array], Array]:
    """Return a smooth field that reaches +-1 within 100 um of the origin along x and y and never goes beyond."""
    # A stream of its own: gap, rate and outline of a seed are the same with and without waves.
    field = _Field(np.random.default_rng([seed, 0x7A]), UNDULATION_LENGTH)
    axis = np.arange(-100.0, 101.0, 2.0)
    highest = float(np.abs(field(*np.meshgrid(axis, axis))).max())

    def waves(x: Array, y: Array) -> Array:
        value = field(*np.atleast_1d(x, y)).reshape(np.broadcast(x, y).shape)
        return np.asarray(np.clip(value / highest, -1.0, 1.0), dtype=np.float64)

    return waves


def k_f_slit_angle(photon_energy: float = 100.0) -> float:
    """Return the slit angle (deg) of k_F on the antinodal cut; about 1.69 deg at 100 eV."""
    return math.degrees(math.asin(antinodal_k_f() / vacuum_wave_number(photon_energy)))
