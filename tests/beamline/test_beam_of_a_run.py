"""What the start document says of the beam on the sample."""

import pytest

from microarpes.beamline.config import simulated_config
from microarpes.beamline.raster_run import beam_at


def test_it_holds_the_footprint_at_the_angles_of_the_run():
    beam = beam_at(simulated_config(), (15.0, 0.0, 0.0))
    assert (beam["incidence"], beam["spot_size"]) == (45.0, [10.0, 12.0])
    # 45 + 15 = 60 deg to the normal stretches the horizontal 10 um to 20.
    assert beam["incidence_on_sample"] == pytest.approx(60.0)
    assert beam["footprint"] == pytest.approx([20.0, 12.0])
    assert beam["footprint_axes"] == pytest.approx({"major": 20.0, "minor": 12.0, "orientation": 0.0})


def test_a_motor_that_counts_the_other_way_turns_the_face_the_other_way():
    config = simulated_config().changed(manipulator={"rotation_senses": (-1, 1, 1)})
    assert beam_at(config, (-15.0, 0.0, 0.0))["footprint"] == pytest.approx([20.0, 12.0])


def test_a_footprint_that_cannot_be_is_unknown_and_no_reason_not_to_measure(caplog):
    assert beam_at(simulated_config(), (60.0, 0.0, 0.0))["footprint"] is None
    assert "does not strike the face" in caplog.text
