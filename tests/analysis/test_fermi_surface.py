"""Gamma from the symmetry of a map, against the angles that the simulation's band was given."""

import numpy as np
import pytest

from microarpes.analysis.fermi_surface import gamma_offset
from microarpes.sim.band import momentum, vacuum_wave_number
from microarpes.sim.photoemission import emission_profile

POLARS = np.arange(-12.0, 12.1, 0.75)
ANGLE = np.linspace(-7.45, 7.45, 150)


def expected_map(offset, tilt, counts=3e6):
    """Emission near E_F at each polar angle, of a sample glued on at an offset."""
    angles = {"tilt": tilt, "azimuth": 0.0, "wave_number": vacuum_wave_number(100.0)}
    rows = [emission_profile(*momentum(ANGLE, polar=float(p) - offset, **angles), 35.0, 15.0) for p in POLARS]
    return counts * np.stack(rows) / np.sum(rows)


def test_gamma_is_where_the_sample_was_glued_on():
    rng = np.random.default_rng(1)
    mean = expected_map(0.62, -0.35)
    for _ in range(10):
        found = gamma_offset(rng.poisson(mean), POLARS, ANGLE)
        for one, truth in ((found.polar, 0.62), (found.slit, 0.35)):
            assert one.status == "ok"
            # Polar angles 0.75 deg apart say nothing of what bends within 1.5 deg: a few hundredths of a degree.
            assert one.error < 0.03
            assert one.centre == pytest.approx(truth, abs=4 * one.error + 0.03)


def test_the_order_of_the_visit_does_not_matter():
    mean = expected_map(0.3, 0.0)
    one, other = gamma_offset(mean, POLARS, ANGLE), gamma_offset(mean[::-1], POLARS[::-1], ANGLE)
    assert one == other


@pytest.mark.parametrize(
    ("polars", "message"),
    [(POLARS[:8], "12 polar angles"), (POLARS + 11.0, "both sides"), (POLARS**3, "equally spaced")],
)
def test_maps_that_cannot_show_gamma_are_refused(polars, message):
    with pytest.raises(ValueError, match=message):
        gamma_offset(np.ones((len(polars), 60)), polars, np.linspace(-7.0, 7.0, 60))
