"""What a line shape must bring along to be fitted: formula, source, derivatives, bounds and a start bank.

One model lives in one file; `LINE_SHAPES` in `microarpes.analysis.models` is the list users choose from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHAPE_PARAMETERS", "Array", "CheckValues", "LineShape"]

Array = NDArray[np.float64]

#: Pairs of (omega, delta, gamma1, gamma0, eps_k), meV, and the value there.
CheckValues = tuple[tuple[tuple[float, float, float, float, float], float], ...]

#: Every line shape takes these three, meV, in this order; one that lacks the last ignores it.
SHAPE_PARAMETERS = ("delta", "gamma1", "gamma0")


@dataclass(frozen=True)
class LineShape:
    """A spectral function with all that a fit needs to know about it.

    Attributes
    ----------
    name : str
        What users write in ``GapFitter(model=...)``.
    equation : str
        The formula, in plain text.
    doi : str
        Where it comes from.
    evaluate : callable
        ``evaluate(energy, delta, gamma1, gamma0, eps_k)`` gives the spectral function and its derivatives with
        respect to delta, gamma1 and gamma0, four arrays (1/meV and 1/meV^2); all arguments broadcast, meV.
    bank : ndarray, shape (n_start, 3), meV
        Starts (delta, gamma1, gamma0) that cover what can be met.
    lower, upper : tuple of 3 floats, meV
        Bounds of delta, gamma1, gamma0. The lower bound of delta is a mirror, not a wall.
    parameters : tuple of str
        Those of `SHAPE_PARAMETERS` that the formula has; a result is NaN for the others.
    k_resolved : bool
        True for a spectral function at one k, which may be told how far from k_F it is (``eps_k``); False for a
        density of states.
    check_values : tuple
        Values from arithmetic that shares nothing with `evaluate`, which one test runs over all line shapes.
    """

    name: str
    equation: str
    doi: str
    evaluate: Callable[[Array, Array, Array, Array, float], tuple[Array, Array, Array, Array]]
    bank: Array
    lower: tuple[float, float, float]
    upper: tuple[float, float, float]
    parameters: tuple[str, ...] = SHAPE_PARAMETERS
    k_resolved: bool = True
    check_values: CheckValues = ()
