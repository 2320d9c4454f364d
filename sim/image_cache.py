"""Expected images, cheap per frame: direct images on a grid of (gap, gamma1) nodes, interpolated cubically."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from microarpes.sim.photoemission import Cut, dead_spectrum, holder_spectrum, live_image
from microarpes.sim.sample import DEAD, HOLDER, LIVE, Sample, beam_quadrature
from microarpes.sim.truth import STANDARD, Truth

Array = NDArray[np.float64]

#: Spacing of the nodes, meV.
GAP_STEP, GAMMA1_STEP = 1.5, 2.0


def lagrange_weights(fraction: Array) -> Array:
    """Return the weights of the nodes -1, 0, 1, 2 for cubic interpolation at fractions in [0, 1); shape (..., 4)."""
    t = np.asarray(fraction, dtype=np.float64)
    return np.stack(
        [
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        ],
        axis=-1,
    )


class CutImages:
    """The images of one `Cut`; nodes are computed when first needed.

    Parameters
    ----------
    cut : Cut
    truth : Truth
    """

    def __init__(self, cut: Cut, truth: Truth = STANDARD) -> None:
        self.cut, self.truth = cut, truth
        self.holder = holder_spectrum(cut)
        self.dead = dead_spectrum(cut)
        self._nodes: dict[tuple[int, int], NDArray[np.float32]] = {}

    def node(self, i: int, j: int) -> NDArray[np.float32]:
        """Return the flat image of node (i, j): gap ``i * GAP_STEP``, gamma1 ``j * GAMMA1_STEP``."""
        found = self._nodes.get((i, j))
        if found is None:
            # A Norman self energy at gamma1 = 0 has no width; the extrapolating node there is never reached.
            image = live_image(self.cut, i * GAP_STEP, max(j * GAMMA1_STEP, 0.5), self.truth)
            found = self._nodes[i, j] = image.astype(np.float32).ravel()
        return found

    def live(self, gap: Array, gamma1: Array, weight: Array, face_tilt: float = 0.0) -> Array:
        """Return the weighted sum of images of live flake.

        Parameters
        ----------
        gap, gamma1, weight : ndarray, shape (n,)
            meV, meV, dimensionless.
        face_tilt : float, deg
            Turns the angle axis.

        Returns
        -------
        ndarray, shape (n_angle, n_energy)
        """
        cut = self.cut
        summed = np.zeros((cut.n_angle + 2 * cut.margin) * cut.n_energy, dtype=np.float32)
        term = np.empty_like(summed)
        # Not BLAS: for vectors this short its threads cost more than they bring.
        for (i, j), w in _node_weights(gap, gamma1, weight).items():
            np.multiply(self.node(i, j), np.float32(w), out=term)
            summed += term
        return self._turn(summed.reshape(-1, cut.n_energy), face_tilt)

    def _turn(self, image: NDArray[np.float32], face_tilt: float) -> Array:
        """Read the image at slit angle + face tilt, cubic in the angle channel."""
        cut = self.cut
        limit = cut.margin - 2
        shift = float(np.clip(face_tilt / cut.angle_step, -limit, limit))
        whole = int(np.floor(shift))
        out = np.zeros((cut.n_angle, cut.n_energy))
        for k, w in zip(range(-1, 3), lagrange_weights(np.array(shift - whole)), strict=True):
            first = cut.margin + whole + k
            out += w * image[first : first + cut.n_angle]
        return out


def _node_weights(gap: Array, gamma1: Array, weight: Array) -> dict[tuple[int, int], float]:
    u, v = gap / GAP_STEP, gamma1 / GAMMA1_STEP
    i, j = np.floor(u).astype(int), np.floor(v).astype(int)
    wu, wv = lagrange_weights(u - i), lagrange_weights(v - j)
    first_i, first_j = i.min() - 1, j.min() - 1
    table = np.zeros((i.max() - first_i + 3, j.max() - first_j + 3))
    for a in range(4):
        for b in range(4):
            np.add.at(table, (i - first_i + a - 1, j - first_j + b - 1), weight * wu[:, a] * wv[:, b])
    return {(int(m + first_i), int(n + first_j)): float(table[m, n]) for m, n in zip(*np.nonzero(table), strict=True)}


class ExpectedImages:
    """What the detector would count on average, anywhere on a sample; safe to call from several threads.

    Parameters
    ----------
    sample : Sample
    truth : Truth
    """

    #: Cuts kept; a region change or a drifting temperature makes a new one (some 60 MB each).
    KEPT = 2

    def __init__(self, sample: Sample, truth: Truth = STANDARD) -> None:
        self.sample, self.truth = sample, truth
        self._cuts: OrderedDict[Cut, CutImages] = OrderedDict()
        self._lock = threading.Lock()

    def images(self, cut: Cut) -> CutImages:
        """Return the cache of a cut."""
        with self._lock:
            found = self._cuts.get(cut)
            if found is None:
                found = self._cuts[cut] = CutImages(cut, self.truth)
                while len(self._cuts) > self.KEPT:
                    self._cuts.popitem(last=False)
            self._cuts.move_to_end(cut)
            return found

    def expected(self, cut: Cut, x: float, y: float) -> Array:
        """Return the beam-averaged emission at (x, y), um; shape (n_angle, n_energy), dimensionless."""
        images = self.images(cut)
        dx, dy, weight = beam_quadrature()
        px, py = x + dx, y + dy
        surface = self.sample.surface_at(px, py)
        flat = images.holder * weight[surface == HOLDER].sum() + images.dead * weight[surface == DEAD].sum()
        out = np.broadcast_to(flat, (cut.n_angle, cut.n_energy)).copy()
        live = surface == LIVE
        if live.any():
            gap, gamma1 = self.sample.gap_at(px[live], py[live]), self.sample.gamma1_at(px[live], py[live])
            out += images.live(gap, gamma1, weight[live], float(self.sample.face_tilt_at(x, y)))
        return np.asarray(np.maximum(out, 0.0))
