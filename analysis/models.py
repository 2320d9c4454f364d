"""The line shapes a user can ask for by name.

What to use when: ``norman`` for an EDC at k_F, the default and what the literature quotes; ``bcs`` for the same with
two plain peaks, to see how much of a gap is the model's; ``dynes`` for k-integrated spectra, and only there.
"""

from __future__ import annotations

from microarpes.analysis.bcs import BCS
from microarpes.analysis.dynes import DYNES
from microarpes.analysis.line_shape import LineShape
from microarpes.analysis.norman import NORMAN

__all__ = ["LINE_SHAPES", "has_parameter", "line_shape", "refuse_foreign_arguments"]

LINE_SHAPES: dict[str, LineShape] = {shape.name: shape for shape in (NORMAN, BCS, DYNES)}


def line_shape(name: str) -> LineShape:
    """Find a line shape by its name.

    Parameters
    ----------
    name : str
        One of the keys of `LINE_SHAPES`.

    Raises
    ------
    ValueError
        When there is no such line shape.
    """
    try:
        return LINE_SHAPES[name]
    except (KeyError, TypeError):
        known = ", ".join(sorted(LINE_SHAPES))
        raise ValueError(f"model = {name!r} is not known; choose one of: {known}") from None


def has_parameter(shape: LineShape, parameter: str) -> bool:
    """Tell whether a result of `shape` has a number for ``delta``, ``gamma1`` or ``gamma0``; it is NaN where not."""
    return parameter in shape.parameters


def refuse_foreign_arguments(shape: LineShape, gamma0: str | float, eps_k: float, eps_k_error: float) -> None:
    """Raise ValueError when a fit is asked for something that its line shape does not have.

    Parameters
    ----------
    shape : LineShape
    gamma0 : str or float, meV
        Policy or value; only ``"prior"`` and ``"zero"`` say nothing about a rate that is not there.
    eps_k, eps_k_error : float, meV
    """
    if not has_parameter(shape, "gamma0") and gamma0 not in ("prior", "zero", 0, 0.0):
        raise ValueError(
            f"gamma0 = {gamma0!r} meV, but model {shape.name!r} has no pair-breaking rate (limit 0 meV); "
            "leave gamma0 out, or choose model 'norman'"
        )
    if not shape.k_resolved and (eps_k != 0 or eps_k_error != 0):
        raise ValueError(
            f"eps_k = {eps_k!r} meV with error {eps_k_error!r} meV, but model {shape.name!r} is a density of states "
            "and knows no k (limit 0 meV); leave both out, or choose a model of one k: 'norman' or 'bcs'"
        )
