"""What a fit makes of spectra that its model does not describe: biases of the gap without any noise.

Spectra are computed on a grid of 0.2 meV by direct quadrature, with the base case of the fitting theory: gamma1 15,
gamma0 2, resolution 12 meV FWHM, 10 K, 1000 counts per meV at the peak, background 10 % of the peak and 6 % more per
100 meV. ``python -m microarpes.analysis.misspecification`` writes the table of the page
docs/explanation/what-can-fool-a-gap-map.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import expit

from microarpes.analysis.fitter import GapFitter
from microarpes.analysis.line_shape import Array
from microarpes.analysis.norman import norman
from microarpes.analysis.units import BOLTZMANN, FWHM_PER_SIGMA

__all__ = ["CASES", "GAPS", "Bias", "Case", "Sample", "as_markdown", "bias_table"]

#: True gaps of the table, meV.
GAPS = (35.0, 20.0, 10.0)
#: Channels of the table, meV.
ENERGY = np.arange(-320.0, 80.0)
#: Grid of the quadrature, meV, and how far it reaches beyond the axis.
STEP, BEYOND = 0.2, 80.0


@dataclass(frozen=True)
class Sample:
    """What the fit does not know; everything else is the base case.

    Attributes
    ----------
    hump, hump_offset, hump_width : float, shares of the peak, meV, meV FWHM
        Gaussian at -(delta + hump_offset).
    step : float, shares of the peak
        Height of a Shirley step that stands instead of the linear background.
    dark : float, shares of the peak
        Constant above and below E_F.
    ef, resolution, temperature, eps_k : float, meV, meV FWHM, K, meV
    eps_spread : float, meV
        The window's k spread: eps_k evenly between -eps_spread and +eps_spread.
    mesh, mesh_period : float, shares and meV
        Depth and period of an uneven flat field, see `mesh_factor`.
    """

    hump: float = 0.0
    hump_offset: float = 70.0
    hump_width: float = 82.0
    step: float = 0.0
    dark: float = 0.0
    ef: float = 0.0
    resolution: float = 12.0
    temperature: float = 10.0
    eps_k: float = 0.0
    eps_spread: float = 0.0
    mesh: float = 0.0
    mesh_period: float = 45.0

    def expected(self, energy: Array, delta: float, peak: float = 1000.0) -> Array:
        """Expect so many counts per channel of 1 meV, shape (n_energy,)."""
        w = np.arange(energy[0] - BEYOND, energy[-1] + BEYOND, STEP)
        cut = expit(-w / (BOLTZMANN * self.temperature))
        sigma = self.resolution / FWHM_PER_SIGMA
        blur = np.exp(-0.5 * ((energy[:, None] - self.ef - w) / sigma) ** 2) * STEP / (sigma * np.sqrt(2.0 * np.pi))
        spread = np.linspace(-self.eps_spread, self.eps_spread, 21 if self.eps_spread else 1)
        line = np.mean([norman(w, delta, 15.0, 2.0, self.eps_k + eps) for eps in spread], axis=0) * cut
        height = float((blur @ line).max())
        background = (0.1 - 0.06 * w / 100.0) * cut
        if self.step:
            lost = np.cumsum(line[::-1])[::-1]
            background = self.step * lost / lost.max() * cut
        sigma_hump = self.hump_width / FWHM_PER_SIGMA
        background = background + self.hump * np.exp(-0.5 * ((w + delta + self.hump_offset) / sigma_hump) ** 2) * cut
        counted = blur @ (line / height + background) + self.dark
        return np.asarray(peak * counted * mesh_factor(energy, self.mesh, self.mesh_period))


def mesh_factor(energy: Array, depth: float, period: float) -> Array:
    """Return what channels count behind a mesh of that depth and period (meV), shape (n_energy,); most at E_F."""
    return np.asarray(1.0 + depth * np.cos(2.0 * np.pi * energy / period))


@dataclass(frozen=True)
class Case:
    """A way to be fooled.

    Attributes
    ----------
    name : str
    sample : Sample
    fit : dict
        Arguments of `GapFitter` other than those of the base case.
    remedy : dict or None
        Arguments with which the fit knows what it did not.
    reference : tuple of 3 floats or None, meV
        Bias at `GAPS` of a fit of the plain model in the window [-90, 30] meV without a constant.
    """

    name: str
    sample: Sample = field(default_factory=Sample)
    fit: dict[str, Any] = field(default_factory=dict)
    remedy: dict[str, Any] | None = None
    reference: tuple[float, float, float] | None = None


CASES: tuple[Case, ...] = (
    Case("nothing wrong", reference=(0.0, 0.0, 0.0)),
    Case("hump of 35 % at -(gap + 70)", Sample(hump=0.35), {}, {"background": "hump"}, (0.17, -0.01, 0.85)),
    Case("Shirley step of 22 %, no slope", Sample(step=0.22), {}, {"background": "step"}, (0.71, 0.54, 0.51)),
    Case("3 % of the peak above E_F", Sample(dark=0.03), reference=(0.31, 1.3, 4.1)),
    Case("E_F 1 meV too low on the axis", Sample(ef=1.0), reference=(-1.0, -0.76, -0.68)),
    Case("resolution 10 % less than assumed", Sample(), {"resolution": 13.2}, {}, (0.0, -0.14, -0.55)),
    Case("sample at 20 K, not 10", Sample(temperature=20.0), {}, {"temperature": 20.0}),
    Case("k_F missed by +5 meV", Sample(eps_k=5.0), {}, {"eps_k": 5.0}),
    Case("k_F missed by +10 meV", Sample(eps_k=10.0), {}, {"eps_k": 10.0}),
    Case("k_F missed by -10 meV", Sample(eps_k=-10.0), {}, {"eps_k": -10.0}),
    Case("window spreads over +-5 meV", Sample(eps_spread=5.0)),
    Case("window spreads over +-10 meV", Sample(eps_spread=10.0)),
    Case("window spreads over +-20 meV", Sample(eps_spread=20.0)),
    *(
        Case(
            f"flat field of +-{depth:.0%} every {period:g} meV".replace("%", " %"),
            Sample(mesh=depth, mesh_period=period),
            {},
            {"flat_field": mesh_factor(ENERGY, depth, period)},
        )
        for depth, period in ((0.1, 9.0), (0.03, 45.0), (0.1, 45.0))
    ),
)


@dataclass(frozen=True)
class Bias:
    """A row of the table.

    Attributes
    ----------
    case : Case
    bias : tuple of 3 floats, meV
        Fitted minus true gap at `GAPS`; NaN where the fit refuses to give a number.
    stderr : tuple of 3 floats, meV
        Statistical error at 1000 counts per meV.
    remedied : tuple of 3 floats or None, meV
        The bias once the fit is told.
    """

    case: Case
    bias: tuple[float, ...]
    stderr: tuple[float, ...]
    remedied: tuple[float, ...] | None


def bias_table(cases: Sequence[Case] = CASES) -> list[Bias]:
    """Fit every case at every gap with the fitter as it is shipped; one row per case."""
    energy, rows = ENERGY, []
    for case in cases:
        counts = np.stack([case.sample.expected(energy, delta) for delta in GAPS])
        fits = GapFitter(energy, **case.fit).fit_many(counts)
        told = None if case.remedy is None else GapFitter(energy, **case.remedy).fit_many(counts).delta - GAPS
        rows.append(
            Bias(
                case,
                tuple(float(x) for x in fits.delta - GAPS),
                tuple(float(x) for x in fits.delta_stderr),
                None if told is None else tuple(float(x) for x in told),
            )
        )
    return rows


def as_markdown(rows: Sequence[Bias]) -> str:
    """Write the table: bias at each gap, and in the last column with the remedy; meV."""
    gaps = " / ".join(f"{gap:g}" for gap in GAPS)
    lines = [f"| what is wrong | bias at a gap of {gaps} | when the fit is told |", "|---|---|---|"]
    for row in rows:
        told = "" if row.remedied is None else _signed(row.remedied)
        lines.append(f"| {row.case.name} | {_signed(row.bias)} | {told} |")
    return "\n".join(lines) + "\n"


def _signed(values: Sequence[float]) -> str:
    """Format with sign and two digits; a dash where there is no number."""
    return " / ".join("refused" if np.isnan(value) else f"{value + 0.0:+.2f}" for value in values)


if __name__ == "__main__":
    sys.stdout.write(as_markdown(bias_table()))
