"""The rotation centre of a manipulator, from where landmarks of the sample were found at several angles; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microarpes.devices.sample_geometry import SampleGeometry, Triple

Array = NDArray[np.float64]
#: Singular values below this part of the largest stand for what the measured angles leave open.
OPEN = 1e-9
#: Place of w of landmark 0 among the unknowns: centre x, y, z, then u, v, w of each landmark.
FIRST_HEIGHT = 5


@dataclass(frozen=True)
class RotationCentre:
    """A fitted rotation centre.

    Parameters
    ----------
    centre, centre_stderr : tuple of float, um
        x, y, z and their standard errors. A coordinate the angles leave open is 0 with an infinite error: no turn that
        was measured depends on it.
    landmarks : ndarray, shape (n_landmark, 3), um
        u, v, w of the landmarks.
    residual : float, um
        Root of the mean square of what is left, a degree of freedom.
    dof : int
        Degrees of freedom.
    """

    centre: Triple
    centre_stderr: Triple
    landmarks: Array
    residual: float
    dof: int


def fit_rotation_centre(
    positions: ArrayLike,
    angles: ArrayLike,
    landmarks: Sequence[int] | None = None,
    *,
    reference: Triple = (0.0, 0.0, 0.0),
    senses: tuple[int, int, int] = (1, 1, 1),
    position_error: float | None = None,
    incidence: float | None = None,
) -> RotationCentre:
    """Fit a rotation centre by linear least squares.

    A landmark s found at motor positions p after a turn R obeys p = c + R (s - c), which is linear in the centre c and
    in s.

    Parameters
    ----------
    positions : array_like, shape (n, 3), um
        x, y, z at which a landmark was in the beam.
    angles : array_like, shape (n, 3), deg
        Polar, tilt, azimuth at which it was found there.
    landmarks : sequence of int, shape (n,), optional
        Which landmark, counted from 0; by default there is one.
    reference : tuple of float, deg
        Of the sample's coordinates.
    senses : tuple of int
        How the motors count, see `SampleGeometry`.
    position_error : float, um, optional
        Standard deviation of each coordinate; by default it is taken from the residuals.
    incidence : float, deg, optional
        Angle of the beam from the lens axis. Give it when z was not brought into focus: then only the two coordinates
        across the beam are used, and landmark 0 is taken to lie at w = 0, for nothing else tells how far along the
        beam the sample is.

    Raises
    ------
    ValueError
        Shapes do not match, something is not finite, or there are no more data than unknowns.
    """
    p, turns = np.asarray(positions, dtype=np.float64), np.asarray(angles, dtype=np.float64)
    which = np.zeros(len(p), dtype=int) if landmarks is None else np.asarray(landmarks, dtype=int)
    if p.ndim != 2 or p.shape[1] != 3 or turns.shape != p.shape or which.shape != p.shape[:1]:
        raise ValueError(f"positions {p.shape} and angles {turns.shape} must be (n, 3), landmarks {which.shape} (n,)")
    if not (np.isfinite(p).all() and np.isfinite(turns).all()):
        raise ValueError("positions and angles must be finite; leave out what was not found")
    geometry = SampleGeometry(reference=reference, senses=senses)
    design, data = _equations(p, [geometry.turned(angle) for angle in turns], which, _across(incidence))
    if incidence is not None:
        design[:, FIRST_HEIGHT] = 0.0
    solution, inverse, rank, dissolved = _least_squares(design, data)
    dof = len(data) - rank
    if dof < 1:
        raise ValueError(
            f"{len(data)} coordinates leave nothing to judge {rank} unknowns by; find the landmark at more angles"
        )
    residual = float(np.sqrt(np.sum((data - design @ solution) ** 2) / dof))
    errors = (residual if position_error is None else position_error) * np.sqrt(np.diag(inverse)[:3])
    centre = np.where(dissolved[:3], 0.0, solution[:3])
    errors = np.where(dissolved[:3], np.inf, errors)
    return RotationCentre(_triple(centre), _triple(errors), solution[3:].reshape(-1, 3), residual, dof)


def _across(incidence: float | None) -> Array:
    """Return the directions in which a position counts, shape (2 or 3, 3)."""
    if incidence is None:
        return np.eye(3)
    away = np.radians(incidence)
    return np.array([[np.cos(away), 0.0, -np.sin(away)], [0.0, 1.0, 0.0]])


def _equations(p: Array, turns: Sequence[Array], which: NDArray[np.int_], across: Array) -> tuple[Array, Array]:
    n_landmark = int(which.max()) + 1
    rows = []
    for turn, landmark in zip(turns, which, strict=True):
        row = np.zeros((3, 3 + 3 * n_landmark))
        row[:, :3] = np.eye(3) - turn
        row[:, 3 + 3 * landmark : 6 + 3 * landmark] = turn
        rows.append(across @ row)
    return np.vstack(rows), (p @ across.T).ravel()


def _least_squares(design: Array, data: Array) -> tuple[Array, Array, int, NDArray[np.bool_]]:
    """Return the shortest solution, its inverse normal matrix, the rank, and which unknowns stay open."""
    left, size, right = np.linalg.svd(design)
    rank = int(np.sum(size > OPEN * size[0]))
    scaled = right[:rank] / size[:rank, None]
    solution = scaled.T @ (left[:, :rank].T @ data)
    dissolved = np.sum(right[rank:] ** 2, axis=0) > 1e-6
    return solution, scaled.T @ scaled, rank, dissolved


def _triple(values: Array) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z
