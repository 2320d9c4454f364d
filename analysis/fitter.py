"""`GapFitter`: spectral gap and scattering rate from EDCs at k_F, one or many, with an honest verdict."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from microarpes.analysis.background import BackgroundTerm, background_terms
from microarpes.analysis.compiled_setup import CompiledFits, choose_engine
from microarpes.analysis.engine import COMPILED_ENGINE
from microarpes.analysis.fit_core import GAMMA0_PRIOR, fit_counts
from microarpes.analysis.fit_windows import FitWindows
from microarpes.analysis.flat_field import check_flat_field, flat_field_on
from microarpes.analysis.forward import Instrument
from microarpes.analysis.likelihood import Likelihood
from microarpes.analysis.line_shape import Array
from microarpes.analysis.models import has_parameter, line_shape, refuse_foreign_arguments
from microarpes.analysis.report import report
from microarpes.analysis.results import STATUS_NAMES, GapFit, GapFits, Status
from microarpes.analysis.settings import FIT_DEPTHS, FitSettings, check_number
from microarpes.analysis.verdict import (
    MOST_COUNTS,
    OFF_SAMPLE_CONTRAST,
    contrasts,
    counts_array,
    is_plain,
    judge_counts,
    read_counts,
    worst,
)

__all__ = ["GapFitter"]


class GapFitter:
    r"""Fit the gap in energy distribution curves taken at k_F.

    The model is {[a A(w) + b0 + b1 w] f(w, T)} convolved with a Gaussian, plus a constant; the likelihood is Poisson on
    counts over gain. A fit depends on its own EDC only: `fit`, `fit_many` and any order give the same bits.

    Parameters
    ----------
    energy : array_like, shape (n_energy,), meV
        Channel centres, ascending, E_F = 0. Shape (n_window, n_energy) gives each window of `fit_joint` its own axis.
    resolution : float, meV
        FWHM of the energy resolution.
    temperature : float, K
        Temperature of the sample.
    model : str
        Line shape; see `microarpes.analysis.models`.
    gain : float
        Detector units per photoelectron.
    ef_error, resolution_error, temperature_error, eps_k_error : float, meV, meV, K, meV
        One standard deviation each; they make `delta_systematic`.
    gamma0 : str or float
        ``"prior"``: half-normal of 5 meV; ``"zero"``; or a fixed value in meV.
    eps_k : float, meV
        Bare band energy at the window, relative to E_F; 0 at k_F.
    saturation : float, optional
        Detector units in one channel from which on an EDC is ``saturated``.
    min_angular_contrast : float
        Pixels with less are ``off-sample``.
    engine : str, optional
        ``"numba-2"`` or ``"numpy-2"``; by default the compiled one, numpy where numba is absent or the line shape
        has no compiled form. They agree to 1e-6 in the parameters.
    likelihood, read_noise : str and float, detector units
        ``"poisson"``, or ``"gaussian"`` for a detector with readout noise; see `microarpes.analysis.likelihood`.
    background : str or terms
        ``"linear"``, ``"hump"``, ``"step"``, ``"hump+step"``; see `microarpes.analysis.background`.
    flat_field : array_like, shape (n_energy,) or (n_window, n_energy), optional
        Factor of each channel, 0 for a dead one; see `microarpes.analysis.flat_field`.
    fit_depth : float, meV, optional
        How far below the gap the fit looks; by default 60 or five FWHM of the resolution, the larger. Less keeps dip,
        hump and other bands out.

    Raises
    ------
    ValueError
        When an argument is not what it must be; it names the argument, its value, unit and limit.
    """

    def __init__(
        self,
        energy: ArrayLike,
        resolution: float = 12.0,
        temperature: float = 10.0,
        model: str = "norman",
        gain: float = 1.0,
        ef_error: float = 0.0,
        gamma0: str | float = "prior",
        eps_k: float = 0.0,
        *,
        saturation: float | None = None,
        resolution_error: float = 0.0,
        temperature_error: float = 0.0,
        eps_k_error: float = 0.0,
        min_angular_contrast: float = OFF_SAMPLE_CONTRAST,
        engine: str | None = None,
        likelihood: str = "poisson",
        read_noise: float = 0.0,
        background: str | BackgroundTerm | Sequence[BackgroundTerm] = "linear",
        flat_field: ArrayLike | None = None,
        fit_depth: float | None = None,
    ) -> None:
        shape = line_shape(model)
        refuse_foreign_arguments(shape, gamma0, eps_k, eps_k_error)
        self.settings = FitSettings.checked(
            energy=energy,
            resolution=resolution,
            temperature=temperature,
            gain=gain,
            gamma0=gamma0 if has_parameter(shape, "gamma0") else "zero",
            eps_k=eps_k,
            saturation=saturation,
            min_angular_contrast=min_angular_contrast,
            errors={
                "ef": ef_error,
                "resolution": resolution_error,
                "temperature": temperature_error,
                "eps_k": eps_k_error,
            },
        )
        self.model = model
        self.background = background_terms(background)
        self.fit_depth = None if fit_depth is None else check_number("fit_depth", fit_depth, "meV", *FIT_DEPTHS)
        self.likelihood = Likelihood.checked(likelihood, gain, read_noise)
        self.energy: Array = self.settings.energy
        self.flat_field = check_flat_field(flat_field, self.energy, signed=self.likelihood.signed)
        fixed = self.settings.gamma0
        self._shape = shape
        self._instrument = Instrument(
            self.settings.resolution,
            self.settings.temperature,
            gamma0_floor=shape.lower[2] if fixed is None else fixed,
        )
        self._prior = GAMMA0_PRIOR if fixed is None else np.inf
        plain = not self.background and not self.likelihood.signed
        self.engine = choose_engine(engine, model, self.energy, plain=plain)
        self._windows: dict[int, FitWindows] = {}
        self._compiled: dict[tuple[int, bool], CompiledFits] = {}

    def through(self, flat_field: ArrayLike) -> GapFitter:
        """Return a fitter that differs in the flat field alone; they share what does not depend on it.

        Parameters
        ----------
        flat_field : array_like, shape (n_energy,) or (n_window, n_energy)

        Raises
        ------
        ValueError
            When it is no flat field of these axes.
        """
        other = copy.copy(self)
        other.flat_field = check_flat_field(flat_field, self.energy, signed=self.likelihood.signed)
        other._windows = {}  # noqa: SLF001 - it is one of us
        return other

    def fit(self, counts: ArrayLike, angular_contrast: float | None = None) -> GapFit:
        """Fit one EDC.

        Parameters
        ----------
        counts : array_like, shape (n_energy,), detector units
            Anything else than finite counts >= 0 on the axis is ``bad-input``; it never raises.
        angular_contrast : float, optional
            The event's figure; below the threshold the pixel is ``off-sample``.
        """
        if self.engine == COMPILED_ENGINE and is_plain(counts, self.energy.shape):
            return self._fit_one(counts[None, None], angular_contrast, self._axes(None))
        return self._judge([[counts]], angular_contrast, self._axes(None))[0]

    def fit_many(self, counts: ArrayLike, angular_contrast: ArrayLike | None = None) -> GapFits:
        """Fit many EDCs.

        Parameters
        ----------
        counts : array_like, shape (n, n_energy), detector units
        angular_contrast : array_like, shape (n,), optional

        Raises
        ------
        ValueError
            When `counts` is not two-dimensional.
        """
        rows, axes = counts_array(counts, 2, "(n, n_energy)"), self._axes(None)
        if self.engine == COMPILED_ENGINE and rows.shape[1] == axes.shape[1]:
            return self._fit_array(rows[:, None], contrasts(angular_contrast, len(rows)), axes)
        return self._judge([[row] for row in rows], angular_contrast, axes)

    def fit_joint(self, counts: ArrayLike, angular_contrast: float | None = None) -> GapFit:
        """Fit several windows with one gap and one pair of rates; amplitudes and backgrounds are free per window.

        Parameters
        ----------
        counts : array_like, shape (n_window, n_energy), detector units
            What is not that is ``bad-input``.
        angular_contrast : float, optional
        """
        if self.engine == COMPILED_ENGINE and self.energy.ndim == 2 and is_plain(counts, self.energy.shape):
            return self._fit_one(counts[None], angular_contrast, self.energy)
        try:
            windows = list(counts)  # type: ignore[arg-type]
        except TypeError:
            windows = []
        n_window = self.energy.shape[0] if self.energy.ndim == 2 else max(1, len(windows))
        if len(windows) != n_window:
            windows = [np.empty(0)] * n_window  # not a measurement
        return self._judge([windows], angular_contrast, self._axes(n_window))[0]

    def fit_joint_many(self, counts: ArrayLike, angular_contrast: ArrayLike | None = None) -> GapFits:
        """Fit many pixels jointly over their windows.

        Parameters
        ----------
        counts : array_like, shape (n, n_window, n_energy), detector units
        angular_contrast : array_like, shape (n,), optional

        Raises
        ------
        ValueError
            When `counts` is not three-dimensional.
        """
        rows = counts_array(counts, 3, "(n, n_window, n_energy)")
        axes = self._axes(rows.shape[1])
        if axes.shape[0] != rows.shape[1]:
            raise ValueError(f"counts hold {rows.shape[1]} windows, energy has axes for {axes.shape[0]}")
        if self.engine == COMPILED_ENGINE and rows.shape[1:] == axes.shape:
            return self._fit_array(rows, contrasts(angular_contrast, len(rows)), axes)
        return self._judge([list(row) for row in rows], angular_contrast, axes)

    def _axes(self, n_window: int | None) -> Array:
        """Energy axes, one per window; None asks for the single axis of separate fits."""
        if self.energy.ndim == 2:
            if n_window is None:
                raise ValueError(
                    f"energy has {self.energy.shape[0]} axes, which is for fit_joint; give fit and fit_many one axis"
                )
            return self.energy
        return self.energy[None] if n_window in (None, 1) else np.repeat(self.energy[None], n_window or 1, axis=0)

    def windows(self, n_window: int) -> FitWindows:
        """Return the fit windows of a joint fit of so many EDCs, or of one."""
        return self._windows_on(self._axes(n_window))

    def _windows_on(self, axes: Array) -> FitWindows:
        """Fit windows for so many axes, made once."""
        if axes.shape[0] not in self._windows:
            known = (self._shape, self.settings.eps_k, self._prior, self.background)
            windows = FitWindows(axes, self._instrument, *known, self._flat_on(axes), self.fit_depth)
            self._windows[axes.shape[0]] = windows
        return self._windows[axes.shape[0]]

    def _flat_on(self, axes: Array) -> Array | None:
        """Factors for so many axes."""
        return flat_field_on(self.flat_field, axes.shape[0])

    def _compiled_on(self, axes: Array) -> CompiledFits:
        """Compiled fits for so many axes, made once for all flat fields."""
        seen = self.flat_field is not None
        if (axes.shape[0], seen) not in self._compiled:
            windows = replace(self._windows_on(axes), flat_field=None) if seen else self._windows_on(axes)
            self._compiled[axes.shape[0], seen] = CompiledFits(windows, self.settings, seen=seen)
        return self._compiled[axes.shape[0], seen]

    def _fit_one(self, counts: Array, angular_contrast: float | None, axes: Array) -> GapFit:
        """Fit one pixel by the compiled engine without detours; counts of shape (1, n_window, n_energy)."""
        contrast = np.full(1, np.nan if angular_contrast is None else angular_contrast, dtype=np.float64)
        values, status, model = self._compiled_on(axes).fit(counts, contrast, self._flat_on(axes))
        shown = model[0, 0] if self.energy.ndim == 1 else model[0]
        make: Callable[..., GapFit] = GapFit
        return make(*values[0].tolist(), STATUS_NAMES[status[0]], shown)

    def _judge(self, rows: Sequence[Sequence[Any]], angular_contrast: ArrayLike | None, axes: Array) -> GapFits:
        """Give every pixel the verdicts that need no fit, then fit the rest."""
        n, shape = len(rows), axes.shape
        counts = np.empty((n, *shape))
        for i, row in enumerate(rows):
            read = [read_counts(window, shape[1:], signed=self.likelihood.signed) for window in row]
            counts[i] = np.nan if any(window is None for window in read) else read
        return self._fit_array(counts, contrasts(angular_contrast, n), axes)

    def _fit_array(self, counts: Array, contrast: Array, axes: Array) -> GapFits:
        """Fit counts of shape (n, n_window, n_energy), NaN where there is no measurement."""
        single = axes.shape[0] == 1 and self.energy.ndim == 1
        if self.engine == COMPILED_ENGINE:
            values, codes, model = self._compiled_on(axes).fit(counts, contrast, self._flat_on(axes))
            make: Callable[..., GapFits] = GapFits
            return make(*values.T.copy(), np.array(STATUS_NAMES)[codes], model[:, 0] if single else model)
        n = counts.shape[0]
        missing = np.logical_not((counts >= self.likelihood.least) & (counts <= MOST_COUNTS)).any(axis=(1, 2))
        status = np.where(missing, int(Status.BAD_INPUT), int(Status.OK))
        counts = np.where(np.reshape(missing, (n, 1, 1)), 0.0, counts)
        windows = self._windows_on(axes)
        if windows.flat_field is not None:  # what a dead channel says is no count
            counts = np.where(windows.flat_field > 0.0, counts, 0.0)
        if self.settings.saturation is not None:
            worst(status, np.asarray((counts >= self.settings.saturation).any(axis=(1, 2))), Status.SATURATED)
        electrons = self.likelihood.photoelectrons(counts)
        plain = np.maximum(counts / self.settings.gain, 0.0)
        judge_counts(windows, plain, contrast, self.settings.min_angular_contrast, status)
        fits = GapFits.unfitted(status, axes.shape[1:] if single else axes.shape)
        chosen = np.flatnonzero(status == Status.OK)
        if chosen.size:
            fitted = fit_counts(windows, electrons[chosen], self.settings.gamma0, self.settings.errors["ef"])
            report(fits, chosen, windows, fitted, electrons[chosen], self.settings)
            fits.model_counts[chosen] -= self.likelihood.offset * self.settings.gain
        return fits
