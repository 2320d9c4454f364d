"""The mirror centre of the antinodal cut, against the tilt that the simulation gave it."""

from dataclasses import replace

import numpy as np
import pytest

from microarpes.analysis.mirror_centre import mirror_centre
from microarpes.sim.band import antinodal_polar
from microarpes.sim.flat_field import gain_pattern
from microarpes.sim.frame_source import Conditions, Pose, Window
from microarpes.sim.incident_flux import Dose
from microarpes.sim.photoemission import live_image
from microarpes.sim.sample import DEAD, Sample
from microarpes.sim.sample_source import CENTRE_ENERGY, REFERENCE, SampleSource
from microarpes.sim.storage_ring import FULL_CURRENT
from microarpes.sim.truth import Truth, parse_truth

WINDOW = Window(CENTRE_ENERGY, 1e-3, 300, 15.0, 1.5)
DOSE = Dose(1.5, 1.5 * FULL_CURRENT, 1.0)
ON_FLAKE = Pose(-20.0, -50.0, 0.0, antinodal_polar(100.0), 0.0, 0.0, -20.0, -50.0)
SAMPLE = Sample(7)
SOURCE = SampleSource(SAMPLE, seed=7, rate=2e5)
ENERGY, ANGLE = SOURCE.axes(WINDOW)
FERMI_ENERGY = 95.6


def mean_frame(counts=3e5, **pose):
    """Expected counts of a frame; `counts` on live flake."""
    return SOURCE.expected(WINDOW, Conditions(100.0, 10.0), (replace(ON_FLAKE, **pose),), DOSE) * (counts / 3e5)


def centre_of(frame, **options):
    return mirror_centre(frame, ENERGY, ANGLE, FERMI_ENERGY, **options)


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.mark.parametrize(("counts", "error"), [(3e5, 0.006), (3e4, 0.030), (3e3, 0.095)])
def test_the_error_is_that_of_repeated_frames(counts, error):
    rng = np.random.default_rng(3)
    pulls, errors = [], []
    for tilt in (0.0, 0.31, -1.013):
        mean = mean_frame(counts, tilt=tilt)
        # Tilt and face turn what the slit angle is measured from: the mirror lies at minus their sum.
        truth = -(tilt + float(SAMPLE.face_tilt_at(-20.0, -50.0)))
        found = [centre_of(rng.poisson(mean).astype(np.int32)) for _ in range(30)]
        assert {one.status for one in found} == {"ok"}
        pulls += [(one.centre - truth) / one.error for one in found]
        errors += [one.error for one in found]
    assert np.mean(errors) == pytest.approx(error, rel=0.1)
    # 90 pulls: their spread is known to 1 / sqrt(180) = 0.075, their mean to 0.11.
    assert np.std(pulls) == pytest.approx(1.0, abs=0.25)
    assert abs(np.mean(pulls)) < 0.4


def test_the_tilt_of_the_cleaved_face_is_read_from_the_frames():
    rng = np.random.default_rng(4)
    for x, y in ((-100.0, -80.0), (-20.0, -50.0), (50.0, 60.0)):
        found = centre_of(rng.poisson(mean_frame(3e7, x=x, y=y)))
        assert found.status == "ok"
        # 3e7 counts: a tenth of the error of 3e5; the faces differ by up to 0.02 deg.
        assert found.error < 0.0008
        assert found.centre == pytest.approx(-float(SAMPLE.face_tilt_at(x, y)), abs=4 * found.error)


def test_metal_and_a_dead_patch_are_flat_however_bright():
    rng = np.random.default_rng(5)
    around = np.linspace(0.0, 2 * np.pi, 40)
    grid = np.arange(-70.0, 1.0, 5.0)
    dead = next(
        (x, y)
        for x in grid
        for y in -grid
        if (SAMPLE.surface_at(x + 12.0 * np.cos(around), y + 12.0 * np.sin(around)) == DEAD).all()
    )
    for x, y in ((1000.0, -50.0), dead):
        for counts in (3e6, 3e5, 3e4, 3e3):
            mean = mean_frame(counts, x=x, y=y, x_setpoint=x)
            found = [centre_of(rng.poisson(mean)) for _ in range(10)]
            assert {one.status for one in found} == {"flat"}, (x, y, counts)
            assert np.isnan([one.centre for one in found]).all()
    assert centre_of(np.zeros((300, 400), dtype=np.int32)).status == "flat"


def test_a_branch_that_is_brighter_than_the_other_is_no_mirror_image():
    rng = np.random.default_rng(6)
    mean = mean_frame()
    shaded = mean * (1.0 + 0.1 * np.tanh(ANGLE))[:, None]
    found = centre_of(rng.poisson(shaded))
    assert found.status == "lost"
    assert found.p_value < 1e-5
    assert found.asymmetry > 0.1


@pytest.mark.parametrize(("counts", "error"), [(1.5e5, 0.015), (3e6, 0.003)])
def test_a_matrix_element_moves_no_centre_where_it_may_make_one_side_brighter(counts, error):
    # +k_F and -k_F differ by a third: 1 +- 0.3 sin(0.18 pi).
    image = live_image(replace(REFERENCE, tilt=0.31), 35.0, 15.0, parse_truth("matrix_element"))
    mean, rng = image[REFERENCE.margin : -REFERENCE.margin], np.random.default_rng(6)
    frames = [rng.poisson(mean * (counts / mean.sum())) for _ in range(20)]
    assert {centre_of(frame).status for frame in frames} == {"lost"}
    found = [centre_of(frame, uneven=True) for frame in frames]
    assert {one.status for one in found} == {"ok"}
    # One and a half times what it is where both sides are alike (0.009 and 0.002 deg).
    assert np.mean([one.error for one in found]) == pytest.approx(error, rel=0.1)
    pulls = [(one.centre + 0.31) / one.error for one in found]
    # Of 20 pulls the mean is known to 0.22, the spread to 0.16.
    assert abs(np.mean(pulls)) < 0.8
    assert np.std(pulls) == pytest.approx(1.0, abs=0.4)


def test_what_is_no_factor_of_the_bands_remains_a_reason_to_find_no_centre():
    # At 3e7 counts the unevenness of a detector of 2 % is far above the noise, and no matrix element.
    mean = mean_frame(3e7) * gain_pattern(300, 400, 0.02)
    assert centre_of(np.random.default_rng(7).poisson(mean), uneven=True).status == "lost"


def test_an_uneven_detector_moves_no_centre_where_its_flat_field_is_known():
    # 5 %, and rows that are dead but for what they count of themselves.
    flat = gain_pattern(300, 400, 0.05)
    flat[[140, 161, 162]] = 0.0
    rng, pulls, undeclared = np.random.default_rng(13), [], []
    means = {tilt: mean_frame(3e6, tilt=tilt) * flat for tilt in (0.0, 0.31, -1.013)}
    for tilt in [*means] * 5:
        frame = rng.poisson(means[tilt])
        frame[flat == 0.0] = rng.poisson(5000.0, (3, 400)).ravel()
        found = centre_of(frame, flat_field=flat)
        assert found.status == "ok"
        # Ten times the counts of the first test: an error of 0.002 deg, here of 3 rows less.
        assert found.error < 0.003
        pulls.append((found.centre + tilt + float(SAMPLE.face_tilt_at(-20.0, -50.0))) / found.error)
        undeclared.append(centre_of(np.where(flat > 0.0, frame, 0)).status)
    # Of 15 pulls the spread is known to 0.18, the mean to 0.26.
    assert rms(pulls) == pytest.approx(1.0, abs=0.5)
    assert set(undeclared) == {"lost"}


def test_a_flat_field_moves_with_the_rows_that_are_straightened():
    rng, shift = np.random.default_rng(14), np.round(0.4 * (ANGLE - 1.0) ** 2).astype(int)
    flat = gain_pattern(300, 400, 0.05)
    frame = rng.poisson(mean_frame(3e6) * flat)
    curved, bent = (np.stack([np.roll(row, -n) for row, n in zip(one, shift, strict=True)]) for one in (frame, flat))
    straight, found = centre_of(frame, flat_field=flat), centre_of(curved, row_shift=shift, flat_field=bent)
    assert (found.centre, found.error) == pytest.approx((straight.centre, straight.error), rel=1e-3, abs=2e-4)


def test_a_detector_that_is_even_has_the_centre_of_none_declared():
    frame = np.random.default_rng(15).poisson(mean_frame())
    one, other = centre_of(frame), centre_of(frame, flat_field=np.full(frame.shape, 1.0))
    assert (other.centre, other.error, other.p_value) == pytest.approx((one.centre, one.error, one.p_value), rel=1e-9)


def test_too_few_counts_tell_no_centre_from_a_matrix_element():
    image = live_image(REFERENCE, 35.0, 15.0, Truth(matrix_element=0.4))[REFERENCE.margin : -REFERENCE.margin]
    frames = [np.random.default_rng(seed).poisson(image * (3e4 / image.sum())) for seed in range(20)]
    doubtful = [frame for frame in frames if centre_of(frame).status == "ok" and centre_of(frame).p_value < 0.02]
    # As if both sides were alike, these centres would be 0.15 deg off.
    assert len(doubtful) > 3
    assert {centre_of(frame, uneven=True).status for frame in doubtful} == {"lost"}


def test_even_emission_gives_the_same_centre_whether_it_may_be_uneven_or_not():
    frames = [np.random.default_rng(seed).poisson(mean_frame(1.5e5)) for seed in range(10)]
    # What is odd by chance passes for uneven in one frame of 50.
    assert sum(centre_of(frame) == centre_of(frame, uneven=True) for frame in frames) >= 9


def test_a_mirror_out_of_reach_is_lost_and_found_where_it_is_expected():
    frame = np.random.default_rng(7).poisson(mean_frame(tilt=2.0))
    assert centre_of(frame).status == "lost"
    found = centre_of(frame, expected=-1.8)
    assert found.status == "ok"
    assert found.centre == pytest.approx(-2.0, abs=0.03)


def test_counts_of_a_detector_with_gain_have_the_error_of_its_electrons():
    electrons = np.random.default_rng(8).poisson(mean_frame())
    one, other = centre_of(electrons), centre_of(electrons * 7.5, gain=7.5)
    assert (other.centre, other.error) == pytest.approx((one.centre, one.error), rel=1e-9)


def test_a_curved_slit_is_straightened_by_whole_channels():
    rng = np.random.default_rng(9)
    shift = np.round(0.4 * (ANGLE - 1.0) ** 2).astype(int)
    frame = rng.poisson(mean_frame(tilt=-0.5))
    curved = np.stack([np.roll(row, -n) for row, n in zip(frame, shift, strict=True)])
    straight = centre_of(frame)
    found = centre_of(curved, row_shift=shift)
    assert (found.centre, found.error) == pytest.approx((straight.centre, straight.error), rel=1e-9)


def test_what_is_no_count_is_bad_input():
    frame = mean_frame()
    for wrong in (np.nan, np.inf, -1e4):
        broken = frame.copy()
        broken[150, 300] = wrong
        assert centre_of(broken).status == "bad-input"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fermi_energy": 95.7}, "do not hold 4 bands"),
        ({"angle": ANGLE[::-1]}, "angle axis"),
        ({"energy": ENERGY[:-1]}, "its axes"),
        ({"half_width": 7.0}, "smaller half_width"),
        ({"gain": 0.0}, "gain"),
        ({"row_shift": [0, 1]}, "row_shift"),
        ({"flat_field": np.ones((400, 300))}, "flat field"),
    ],
)
def test_what_does_not_belong_together_is_refused(change, message):
    given = {"energy": ENERGY, "angle": ANGLE, "fermi_energy": FERMI_ENERGY} | change
    with pytest.raises(ValueError, match=message):
        mirror_centre(np.ones((300, 400)), **given)
