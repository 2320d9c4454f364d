"""What the start document says of the beam on the sample and of the windows' momenta, at the angles of the run."""

import pytest

from microarpes.beamline.at_angles import at_angles, beam
from microarpes.beamline.config import simulated_config


def test_it_holds_the_footprint_at_the_angles_of_the_run():
    found = beam(simulated_config(), (15.0, 0.0, 0.0))
    assert (found["incidence"], found["spot_size"]) == (45.0, [10.0, 12.0])
    # 45 + 15 = 60 deg to the normal stretches the horizontal 10 um to 20.
    assert found["incidence_on_sample"] == pytest.approx(60.0)
    assert found["footprint"] == pytest.approx([20.0, 12.0])
    assert found["footprint_axes"] == pytest.approx({"major": 20.0, "minor": 12.0, "orientation": 0.0})


def test_a_motor_that_counts_the_other_way_turns_the_face_the_other_way():
    config = simulated_config().changed(manipulator={"rotation_senses": (-1, 1, 1)})
    assert beam(config, (-15.0, 0.0, 0.0))["footprint"] == pytest.approx([20.0, 12.0])


def test_a_footprint_that_cannot_be_is_unknown_and_no_reason_not_to_measure(caplog):
    assert beam(simulated_config(), (60.0, 0.0, 0.0))["footprint"] is None
    assert "does not strike the face" in caplog.text


def test_the_windows_of_the_simulated_beamline_lie_at_the_antinode():
    momentum = at_angles(simulated_config(), (9.425, 0.0, 0.0))["momentum"]
    assert momentum["phi"] == pytest.approx([0.0, 0.0], abs=0.1)
    # 0.18 of the way from (pi, 0) to (pi, pi)
    assert momentum["ky"] == pytest.approx([-0.18 * 0.8203, 0.18 * 0.8203], rel=0.02)
    assert momentum["d_wave_factor"] == pytest.approx([0.92, 0.92], abs=0.01)


def test_a_sample_that_was_mounted_askew_has_its_momenta_where_its_normal_is():
    straight = at_angles(simulated_config(), (9.425, 0.0, 0.0))["momentum"]
    askew = simulated_config().changed(sample={"normal_emission": (2.0, 0.0, 0.0)})
    found = at_angles(askew, (11.425, 0.0, 0.0))["momentum"]
    assert found["kx"] == pytest.approx(straight["kx"])
    assert found["ky"] == pytest.approx(straight["ky"])


def test_without_a_lattice_no_momentum_is_claimed():
    unknown = simulated_config().changed(sample={"lattice_constant": None})
    assert "momentum" not in at_angles(unknown, (9.425, 0.0, 0.0))
