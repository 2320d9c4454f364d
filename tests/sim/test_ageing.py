"""A sample that ages: everywhere with time, on a spot with the beam it has had, and not at all unasked."""

from dataclasses import replace

import numpy as np
import pytest

from microarpes.sim.ageing import Ageing, AgeingSample
from microarpes.sim.band import antinodal_polar
from microarpes.sim.command_line import main
from microarpes.sim.frame_source import Conditions, Pose, Window
from microarpes.sim.incident_flux import Dose
from microarpes.sim.ioc import Beamline, Options
from microarpes.sim.sample import BEAM_SPOT, Sample
from microarpes.sim.sample_source import CENTRE_ENERGY, SampleSource
from microarpes.sim.storage_ring import FULL_CURRENT

POSE = Pose(-20.0, -50.0, 0.0, antinodal_polar(100.0), 0.0, 0.0, -20.0, -50.0)
SPOT = np.array([POSE.x]), np.array([POSE.y])


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def lost(sample, x=POSE.x, y=POSE.y):
    """By how much the gap under a beam has shrunk, mean over the beam."""
    before = Sample(7).truth(x, y).gap
    return float((before - sample.truth(x, y).gap)[0])


def test_the_gap_shrinks_everywhere_alike_with_time():
    clock = Clock()
    sample = AgeingSample(7, Ageing(per_hour=2.0), clock)
    assert lost(sample) == 0.0
    clock.now = 1800.0
    assert lost(sample) == pytest.approx(1.0)
    assert lost(sample, 30.0, -40.0) == pytest.approx(1.0)


def test_a_beam_that_comes_back_finds_the_dose_it_has_left_and_its_neighbours_a_share_of_it():
    sample = AgeingSample(7, Ageing(per_minute=6.0), Clock())
    sample.expose(1, [POSE], 20.0)
    assert lost(sample) == 0.0  # an exposure shows the sample as it finds it
    sample.expose(2, [POSE], 0.0)
    # 20 s at 6 meV/min. The truth's quadrature cuts the beam at 2.25 sigma: a percent or two more of its middle.
    assert lost(sample) == pytest.approx(2.0, rel=0.03)
    # Two Gaussian spots one FWHM apart overlap by exp(-2 ln 2) = 1/4.
    assert lost(sample, POSE.x + BEAM_SPOT[0]) == pytest.approx(0.5, rel=0.06)
    assert lost(sample, POSE.x, POSE.y + BEAM_SPOT[1]) == pytest.approx(0.5, rel=0.06)
    assert lost(sample, POSE.x + 50.0) == pytest.approx(0.0, abs=1e-3)


def test_an_exposure_that_is_reckoned_twice_counts_once_as_it_ended():
    sample = AgeingSample(7, Ageing(per_minute=6.0), Clock())
    sample.expose(1, [POSE], 20.0)
    sample.expose(1, [POSE, replace(POSE, x=POSE.x + 100.0)], 10.0)  # the shutter fell, and it moved
    sample.expose(2, [POSE], 0.0)
    assert lost(sample) == pytest.approx(0.5, rel=0.03)


def test_emission_falls_by_a_percent_a_mev_and_the_holder_does_not_age():
    clock = Clock()
    sample = AgeingSample(7, Ageing(per_hour=3.0), clock)
    clock.now = 3600.0
    assert sample.brightness_at(POSE.x, POSE.y) == pytest.approx(0.97)
    assert sample.brightness_at(1000.0, 0.0) == 1.0


def test_a_sample_that_did_not_age_yet_gives_the_frames_of_one_that_never_does_and_then_others():
    clock = Clock()
    window, conditions, dose = Window(CENTRE_ENERGY, 1e-3, 60, 15.0, 0.1), Conditions(100.0, 10.0), Dose(0.1, 30.0, 1.0)
    young, still = (SampleSource(s, seed=7, rate=2e5) for s in (AgeingSample(7, Ageing(1.0), clock), Sample(7)))
    first = young.frame(window, conditions, [POSE], dose, 1).counts
    assert (first == still.frame(window, conditions, [POSE], dose, 1).counts).all()
    clock.now = 5 * 3600.0
    aged, new = (s.expected(window, conditions, [POSE], dose) for s in (young, still))
    # 5 meV lost: a twentieth less light, and the peak at k_F, 1.7 deg, with its edge comes nearer to E_F by some of it.
    assert aged.sum() == pytest.approx(0.95 * new.sum(), rel=0.01)
    at_k_f = slice(36, 38)
    peak, was = (int(image[at_k_f].sum(axis=0).argmax()) for image in (aged, new))
    assert peak - was in range(3, 7)  # channels of 1 meV


def test_the_beam_of_each_frame_ages_the_next():
    window, conditions = Window(CENTRE_ENERGY, 1e-3, 60, 15.0, 0.1), Conditions(100.0, 10.0)
    sample = AgeingSample(7, Ageing(per_minute=6.0), Clock())
    source = SampleSource(sample, seed=7, rate=2e5)
    lit, dark = Dose(10.0, 10.0 * FULL_CURRENT, 1.0), Dose(10.0, 0.0, 0.0)
    for attempt, dose in enumerate((lit, dark, lit, dark), start=1):
        source.frame(window, conditions, [POSE], dose, attempt)
    assert lost(sample) == pytest.approx(2.0, rel=0.03)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (Options(), Sample),
        (Options(ageing=Ageing(per_hour=1.0)), AgeingSample),
        (Options(ageing=Ageing(per_hour=1.0), noise="pixel"), Sample),
    ],
)
def test_a_beamline_has_a_sample_that_ages_only_where_it_is_asked_for(options, kind):
    assert type(Beamline(options).analyser._source._sample) is kind


def test_an_ageing_that_cannot_be_is_refused_in_a_line(capsys):
    assert main(["--ageing-dose", "-1"]) == 2
    assert capsys.readouterr().err.startswith("python -m microarpes.sim: argument --ageing-dose: '-1' is not a loss")
