"""What a flux check visits and what it finds: values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from microarpes.devices.region import Finite


class FluxSteps(BaseModel):
    """At which parts of the transmission that is worked with the edge is measured: never at more flux than a map's.

    Parameters
    ----------
    fractions : tuple of float
        At least three, 1 among them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fractions: Annotated[tuple[Annotated[Finite, Field(gt=0, le=1)], ...], Field(min_length=3, max_length=20)] = (
        1.0,
        0.5,
        0.25,
    )

    @model_validator(mode="after")
    def _a_line(self) -> FluxSteps:
        if len(set(self.fractions)) < len(self.fractions):
            raise ValueError("fractions names a part twice; each is measured twice anyway, but for the least")
        if 1.0 not in self.fractions:
            raise ValueError("fractions must hold 1, the transmission whose shift is asked for")
        return self

    def order(self) -> list[float]:
        """Return the fractions as they are visited.

        Forth and back, so that an even drift of E_F has nothing in common with the flux; the least, which takes
        longest, once, in the middle, and the largest beside it, so that a drift that slows down has little.

        Examples
        --------
        >>> FluxSteps().order()
        [0.5, 1.0, 0.25, 1.0, 0.5]
        """
        least, *others = sorted(self.fractions)
        return [*others, least, *others[::-1]]


@dataclass(frozen=True)
class FluxEdge:
    """The edge at one flux.

    Attributes
    ----------
    fraction : float
        Of the transmission that is worked with.
    flux : float
        I0 per second, nA; where there is no gated I0 the ring current times the transmission, mA.
    time : float, s
    edge, edge_error : float, eV kinetic
        Mean of the windows.
    """

    fraction: float
    flux: float
    time: float
    edge: float
    edge_error: float


@dataclass(frozen=True)
class FluxShift:
    """By how much the flux that is worked with moves the edge, eV; `problem` says why that is not known.

    The slope is in eV per unit of the flux, the drift in eV/h.
    """

    shift: float
    shift_error: float
    slope: float
    slope_error: float
    drift: float
    drift_error: float
    chi2: float
    dof: int
    problem: str = ""


#: ``(edges, flux that is worked with) -> FluxShift``.
FitFlux = Callable[[Sequence[FluxEdge], float], FluxShift]


@dataclass(frozen=True)
class FluxFinding:
    """What a check found, at which transmission and flux."""

    shift: FluxShift
    edges: tuple[FluxEdge, ...]
    transmission: float
    flux: float
