"""A fitted EDC comes apart into a peak and a background that were put in."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.analysis import GapFitter
from microarpes.analysis.components import components

ENERGY = np.arange(-200.0, 61.0)


def edc(peak, background):
    """Counts without noise of a peak and of a level background below E_F, from a fitter's own model."""
    w = np.arange(-260.0, 121.0, 0.5)
    line = peak * -(1.0 / (w + 15j - 35.0**2 / (w + 2j))).imag / np.pi + background
    cut = line / (1.0 + np.exp(np.clip(w / (0.08617333262 * 10.0), -500, 500)))
    kernel = np.exp(-0.5 * ((ENERGY[:, None] - w) / (12.0 / 2.354820045)) ** 2)
    return (kernel * 0.5 / (12.0 / 2.354820045 * np.sqrt(2 * np.pi))) @ cut


def test_peak_and_background_add_up_to_the_model_and_are_what_was_put_in():
    fitter = GapFitter(ENERGY)
    fit = fitter.fit(edc(3e4, 20.0))
    peak, background = components(fitter, fit)
    assert fit.status == "ok"
    assert np.allclose(peak + background, fit.model_counts)
    # without noise the split is that of the model: 20 counts a channel deep below E_F, the peak's line on top
    deep = (ENERGY > -90) & (ENERGY < -60)
    assert background[deep] == pytest.approx(20.0, abs=1.0)
    assert peak[deep] == pytest.approx(edc(3e4, 0.0)[deep], rel=0.02, abs=1.0)


def test_windows_of_a_joint_fit_come_apart_each_by_itself():
    fitter = GapFitter(ENERGY)
    fit = fitter.fit_joint(np.stack([edc(3e4, 20.0), edc(1e4, 60.0)]))
    peak, background = components(fitter, fit)
    assert peak.shape == background.shape == (2, ENERGY.size)
    deep = (ENERGY > -90) & (ENERGY < -60)
    assert background[1, deep].mean() / background[0, deep].mean() == pytest.approx(3.0, rel=0.1)


def test_a_fit_that_is_no_measurement_has_no_components():
    fitter = GapFitter(ENERGY)
    peak, background = components(fitter, fitter.fit(np.zeros(ENERGY.size)))
    assert np.isnan(peak).all()
    assert np.isnan(background).all()
