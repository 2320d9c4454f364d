"""Where axes go for a pixel on a sample that was turned, has drifted, or both."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.devices.sample_geometry import SampleGeometry
from microarpes.plans.grid import RasterPoint
from microarpes.plans.targets import DriftingTargets, TurnedTargets, planned_position

GEOMETRY = SampleGeometry(centre=(300.0, -200.0, 150.0), reference=(9.425, 0.0, 0.0))
BEGUN = {"z": 10.0, "polar": 9.425, "tilt": 0.0, "azimuth": 0.0}
PLACES = [RasterPoint(number, x, y) for number, (x, y) in enumerate([(0.0, 0.0), (40.0, -15.0), (-30.0, 25.0)])]


def spot(target):
    return GEOMETRY.spot([target[name] for name in "xyz"], [target[name] for name in ("polar", "tilt", "azimuth")])


@pytest.mark.parametrize("angles", [{"polar": 5.0, "tilt": 0.0, "azimuth": 0.0},
                                    {"polar": -2.0, "tilt": 1.5, "azimuth": 45.0}])  # fmt: skip
def test_the_same_spots_are_in_the_beam_at_other_angles(angles):
    turned = TurnedTargets(GEOMETRY, BEGUN, angles)
    for point in PLACES:
        target = turned(point)
        assert {name: target[name] for name in angles} == angles
        before = GEOMETRY.spot([point.x, point.y, 10.0], [9.425, 0.0, 0.0])
        np.testing.assert_allclose(spot(target), before, atol=1e-5)
    # 335 um from the rotation centre, 4.4 deg and more are 10 um and more: nobody would find the spot again without
    assert abs(turned(PLACES[0])["x"]) > 9.0


def test_at_the_angles_of_before_nothing_moves():
    turned = TurnedTargets(GEOMETRY, BEGUN, BEGUN)
    assert turned(PLACES[1]) == pytest.approx({"x": 40.0, "y": -15.0, **BEGUN}, abs=1e-6)
    assert turned.document()["planned_at"] == BEGUN


def test_a_sample_that_drifts_is_followed_on_its_own_surface_when_turned():
    angles = {"polar": 9.425, "tilt": 0.0, "azimuth": 90.0}
    still = TurnedTargets(GEOMETRY, BEGUN, angles)
    drifting = DriftingTargets(still, lambda: (6.0, 0.0))
    target, before = drifting(PLACES[1]), still(PLACES[1])
    # What was 6 um along x before the azimuth turned by 90 deg is 6 um along y, but for the 9.4 deg by which x and the
    # surface are at an angle.
    assert [target[name] - before[name] for name in "xy"] == pytest.approx([0.0, 6.0], abs=0.2)
    moved = target["x"] - PLACES[1].x, target["y"] - PLACES[1].y
    assert drifting.shift_of(1) == pytest.approx(moved, abs=1e-6)


def test_a_sample_that_was_not_turned_is_followed_by_its_shift_alone():
    targets = DriftingTargets(planned_position, lambda: (1.234, -0.5))
    assert targets(PLACES[1]) == {"x": 41.23, "y": -15.5}
    assert (targets.shift_of(1), targets.shift_of(7)) == ((1.23, -0.5), (0.0, 0.0))
