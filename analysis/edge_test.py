"""Is there a Fermi edge where the calibration says it is? Decided from the counts, before any fit.

Nothing but darkness and higher orders lies above E_F, and just below it there is intensity that does not fade towards
E_F. A spectrum is refused (`no-edge`) when it contradicts that beyond doubt:

- *axis*: the energy axis does not reach far enough to both sides of E_F;
- *step*: somewhere above E_F, or on the mean above it, there is more than half of what lies just below;
- *dark*: above E_F it is not dark (more than a tenth of what lies below) and less follows further up: what falls there
  is the tail of something broad;
- *fade*: the intensity between 70 and 10 meV below E_F is far weaker than that 100-200 meV below: a wide slope (a
  core level, the rim of the detector) falls through the claimed E_F;
- *field*: the low end of the axis is dark, so the axis is longer than the illuminated part of the detector. That part
  is centred on the detector, hence the high end is dark too, and a fall near there is the detector's rim, not an edge.

Too few counts to tell are not `no-edge`; they become `empty` or `low-counts`.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.forward import Instrument
from microarpes.analysis.line_shape import Array

__all__ = ["axis_has_edge", "edge_regions", "refuse_edge"]

#: Intensity above E_F over that below: a metal gives the dark share, a smooth spectrum gives 1.
MAX_ABOVE_OVER_BELOW = 0.5
#: Share of the intensity below E_F that may remain above it without further question.
MAX_DARK_OVER_BELOW = 0.1
#: By how much the intensity may still fall once E_F is well passed; the tail of an edge there is below 1 %.
MAX_FALL_IN_THE_DARK = 1.2
#: Intensity just below E_F over that deeper down. At k_F the peak is near E_F; a flat metal gives 1.
MIN_NEAR_OVER_DEEP = 0.6
#: Part of the intensity near the maximum under which the low end of the axis counts as dark.
DARK_SHARE = 0.02
#: Part of the axis by which the centre of the illuminated field may be off.
FIELD_MARGIN = 0.05
#: Standard deviations (counting) beyond which a contradiction is believed.
BEYOND_DOUBT = 3.0


def axis_has_edge(energy: Array, instrument: Instrument) -> bool:
    """Tell whether the axis reaches far enough below and above E_F to see an edge and the dark above it."""
    reach = max(instrument.resolution, 4.0 * instrument.thermal)
    return bool(energy[0] <= -5.0 * reach and energy[-1] >= 1.5 * reach)


def refuse_edge(
    energy: Array, counts: Array, instrument: Instrument, flat_field: Array | None = None
) -> NDArray[np.bool_]:
    """Find the spectra that have no Fermi edge at zero.

    Parameters
    ----------
    energy : ndarray, shape (n_energy,), meV
        Channel centres, ascending, claimed Fermi energy at 0.
    counts : ndarray, shape (n, n_energy), photoelectrons
        Finite and not negative.
    instrument : Instrument
    flat_field : ndarray, shape (n_energy,), optional
        What each channel counts of what it is given: means are over that, and dead channels are left out.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    seen = np.ones(energy.size) if flat_field is None else flat_field
    axis, live = energy, seen > 0.0
    if flat_field is not None:
        energy, counts, seen = energy[live], np.ascontiguousarray(counts[:, live]), flat_field[live]
    if energy.size < 2 or not axis_has_edge(energy, instrument):
        return np.ones(counts.shape[0], dtype=np.bool_)
    reach = max(instrument.resolution, 4.0 * instrument.thermal)
    above, below = _above(axis, reach), _below(energy, reach)
    if not below.any():
        return np.ones(counts.shape[0], dtype=np.bool_)
    # blocks are those of the axis, whichever of its channels are dead
    blocks = [block[live] for block in _blocks(axis, above, max(5.0 * reach, 60.0) - 1.5 * reach)]
    above = above[live]
    step = _exceeds(counts, seen, above, below, MAX_ABOVE_OVER_BELOW)
    for block in (block for block in blocks if block.any()):
        step |= _exceeds(counts, seen, block, below, MAX_ABOVE_OVER_BELOW)
        further = energy > energy[block][-1]
        if further.any():
            lit = _exceeds(counts, seen, block, below, MAX_DARK_OVER_BELOW)
            step |= lit & _exceeds(counts, seen, block, further, MAX_FALL_IN_THE_DARK)
    near = (energy >= -70.0) & (energy <= -10.0)
    deep = (energy >= -200.0) & (energy <= -100.0)
    fade = np.zeros_like(step)
    if near.any() and deep.any():
        fade = _exceeds(counts, seen, deep, near, 1.0 / MIN_NEAR_OVER_DEEP)
    return step | fade | _rim_near_edge(energy, counts, seen, reach)


def edge_regions(energy: Array, instrument: Instrument) -> list[int]:
    """Regions that `refuse_edge` compares, as channels (first, stop), for an axis that has an edge.

    Returns
    -------
    list of int
        Pairs: above, below, near, deep (stop = first where empty); number of blocks above E_F; their pairs.
    """
    reach = max(instrument.resolution, 4.0 * instrument.thermal)
    above, below = _above(energy, reach), _below(energy, reach)
    blocks = _blocks(energy, above, max(5.0 * reach, 60.0) - 1.5 * reach)
    near, deep = (energy >= -70.0) & (energy <= -10.0), (energy >= -200.0) & (energy <= -100.0)
    spans = [edge for region in (above, below, near, deep) for edge in _span(region)]
    return [*spans, len(blocks), *(edge for block in blocks for edge in _span(block))]


def _above(energy: Array, reach: float) -> NDArray[np.bool_]:
    """Channels that see nothing of the edge any more."""
    return np.asarray(energy >= min(1.5 * reach, float(energy[-1])))


def _below(energy: Array, reach: float) -> NDArray[np.bool_]:
    """Channels just below E_F."""
    return (energy >= (-100.0 if reach < 50 else -5.0 * reach)) & (energy <= -reach)


def _span(region: NDArray[np.bool_]) -> list[int]:
    """First channel of a region and the one past its last."""
    inside = np.flatnonzero(region)
    return [int(inside[0]), int(inside[-1]) + 1] if inside.size else [0, 0]


def _exceeds(
    counts: Array, seen: Array, region: NDArray[np.bool_], reference: NDArray[np.bool_], factor: float
) -> NDArray[np.bool_]:
    """Where the mean of `region` is more than `factor` times that of `reference`, beyond counting noise."""
    n_region, n_reference = float(seen[region].sum()), float(seen[reference].sum())
    weight = factor * n_region / n_reference
    region_sum = np.ascontiguousarray(counts[:, region]).sum(axis=1)
    referred = np.ascontiguousarray(counts[:, reference])
    reference_sum, median = referred.sum(axis=1), np.median(referred / seen[reference], axis=1)
    # a single spike of the detector must not stand for the intensity below E_F
    reference_sum = np.where(median >= 5.0, np.minimum(reference_sum, 1.5 * n_reference * median), reference_sum)
    excess = region_sum - weight * reference_sum
    return np.asarray(excess > BEYOND_DOUBT * np.sqrt(region_sum + weight**2 * reference_sum + 1.0))


def _blocks(energy: Array, region: NDArray[np.bool_], width: float) -> list[NDArray[np.bool_]]:
    """Cut a region into blocks of a width (meV), at most 40; each holds at least one channel."""
    first, last = float(energy[region][0]), float(energy[region][-1])
    borders = np.linspace(first, last, int(np.clip(round((last - first) / width), 1, 40)) + 1)
    borders[-1] = np.inf
    blocks = [region & (energy >= low) & (energy < high) for low, high in pairwise(borders)]
    return [block for block in blocks if block.any()]


def _rim_near_edge(energy: Array, counts: Array, seen: Array, reach: float) -> NDArray[np.bool_]:
    """Where the illuminated field, seen to begin inside the axis, ends (by symmetry) before E_F is out of its reach."""
    n = energy.size
    block = max(3, n // 100)
    # exact zeros at the ends are fill of the slit-curvature correction, not the rim of the detector
    total = np.add.accumulate(counts, axis=1)
    seen_so_far = np.add.accumulate(seen)
    smooth = (total[:, block:] - total[:, :-block]) / (seen_so_far[block:] - seen_so_far[:-block])
    bright = np.quantile(smooth, 0.9, axis=1)
    lit = smooth > DARK_SHARE * bright[:, None]
    first = lit.argmax(axis=1) + block // 2 + 1
    filled = (counts > 0).argmax(axis=1)
    dark_end = (first - filled) > 2 * block
    last = n - 1 - first - int(np.ceil(FIELD_MARGIN * n))
    rim = energy[np.clip(last, 0, n - 1)]
    believable = counts.sum(axis=1) > 1000.0
    return np.asarray(dark_end & believable & (rim < 3.0 * reach))
