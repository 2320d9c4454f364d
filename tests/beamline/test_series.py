"""The steps of a series: what each is measured with, and what is refused before anything is set."""

from __future__ import annotations

import math
import tomllib
from types import SimpleNamespace

import pytest

from microarpes.beamline.config import ConfigError, parse_config, simulated_config, simulated_text
from microarpes.beamline.journal import JournalWriter
from microarpes.beamline.resume import find_unfinished
from microarpes.beamline.series import configured_series
from microarpes.beamline.series_step import SeriesStep, at_step_of, plan_steps, read_steps

CONFIG = simulated_config()
E_F = CONFIG.calibration.fermi_energy


def config_with(**sections):
    return parse_config({**tomllib.loads(simulated_text()), **sections}, "test.toml")


def planned(*steps, config=CONFIG):
    return plan_steps(config, read_steps(steps), 100.0)


def test_a_step_keeps_what_it_does_not_name():
    cold, warm, other = planned({"temperature": 10}, {"temperature": 120.0, "region": {"pass_energy": 20.0}},
                                {"polarisation": "LV"})  # fmt: skip
    assert [step.problems for step in (cold, warm, other)] == [[], [], []]
    assert cold.settings == {"temperature": 10.0}
    assert other.settings == {"temperature": 120.0, "polarisation": "LV"}
    assert [step.step.settings for step in (warm, other)] == [{"temperature": 120.0}, {"polarisation": "LV"}]
    assert [step.config.region.pass_energy for step in (cold, warm, other)] == [10.0, 20.0, 20.0]
    assert [step.config.calibration.temperature for step in (cold, warm, other)] == [10.0, 120.0, 120.0]


def test_the_fermi_energy_and_the_window_go_with_the_photon_energy_and_the_error_says_so():
    there, back = planned({"photon_energy": 70.0}, {"photon_energy": 100.0})
    assert there.config.calibration.fermi_energy == pytest.approx(E_F - 30.0)
    assert there.config.region.centre_energy == pytest.approx(CONFIG.region.centre_energy - 30.0)
    # 5 meV of the monochromator beside 0.2 meV of the edge; also on the way back, and no more than once
    error = math.hypot(0.0002, 0.005)
    assert [step.config.calibration.fermi_energy_error for step in (there, back)] == pytest.approx([error, error])
    assert back.config.region == CONFIG.region
    (named,) = planned({"photon_energy": 70.0, "region": {"centre_energy": 65.0}})
    assert named.config.region.centre_energy == 65.0
    swept = config_with(region={"acquisition_mode": "Swept", "low_energy": 95.2, "high_energy": 95.7,
                                "acquire_time": 0.05, "excitation_energy": 100.0})  # fmt: skip
    (step,) = planned({"photon_energy": 101.0}, config=swept)
    assert (step.config.region.low_energy, step.config.region.high_energy) == (96.2, 96.7)
    assert step.config.region.excitation_energy == 101.0


def test_the_guard_of_the_temperature_goes_with_it_and_no_other():
    config = config_with(guards={"temperature": {"low": 9.5, "high": 10.5, "resume_high": 10.2, "delay": 1.0},
                                 "shield": {"pv": "SIM:LS336:IN3", "high": 80.0}})  # fmt: skip
    (step,) = planned({"temperature": 120.0}, config=config)
    moved = step.config.guards["temperature"]
    assert (moved.low, moved.high, moved.resume_low, moved.resume_high) == (119.5, 120.5, None, 120.2)
    assert step.config.guards["shield"] == config.guards["shield"]
    # a run of that step which is resumed is held by the same window
    start = {"series": {"group": "g", "number": 2, "of": 2, "settings": {"temperature": 120.0}}}
    assert at_step_of(config, start).guards == step.config.guards
    assert at_step_of(config, {}) is config
    assert at_step_of(config, {"series": "what a user calls so"}) is config
    off = config_with(guards={"temperature": {"low": 15.0, "high": 20.0}})
    (step,) = planned({"temperature": 120.0}, config=off)
    assert "guards.temperature, moved by 110 K" in step.problems[0]
    assert "is 120, at least 125 is asked for" in step.problems[0]


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"temperature": 2.0}, "temperature = 2 K is outside series.temperatures, 5 to 320 K"),
        ({"photon_energy": 10.0}, "photon_energy = 10 eV is outside series.photon_energies, 20 to 300 eV"),
        ({"polarisation": "LX"}, "polarisation = 'LX' is not one of series.polarisations: LH, LV, CR, CL"),
        ({"region": {"pass_energy": -1.0}}, "region: pass_energy"),
        ({"region": {"colour": 1}}, "region: unknown key colour"),
    ],
)
def test_a_step_beyond_the_beamline_is_refused_with_its_number(step, told):
    _, second = planned({"temperature": 10.0}, step)
    (problem,) = second.problems
    assert problem.startswith("step 2: ")
    assert told in problem


def test_a_declared_resolution_of_the_reference_is_that_of_one_pass_energy_and_one_photon_energy():
    config = config_with(reference={"x": 150.0, "y": 0.0, "z": 0.0, "resolution": 0.010})
    steps = planned({"temperature": 110.0}, {"region": {"pass_energy": 20.0}},
                    {"photon_energy": 90.0, "region": {"pass_energy": 10.0}}, config=config)  # fmt: skip
    assert steps[0].problems == []
    assert "step 2: reference.resolution = 0.01 eV is declared for the pass energy" in steps[1].problems[0]
    assert "is declared for the photon energy" in steps[2].problems[0]
    assert planned({"region": {"pass_energy": 20.0}})[0].problems == []


def test_what_the_configuration_does_not_name_cannot_be_set():
    bare = config_with(series={})
    problems = [step.problems[0] for step in planned({"temperature": 10.0}, {"photon_energy": 90.0},
                                                     {"polarisation": "LV"}, config=bare)]  # fmt: skip
    assert ["no series.temperatures" in problems[0], "no series.photon_energies" in problems[1]] == [True, True]
    assert "not one of series.polarisations" in problems[2]


@pytest.mark.parametrize("steps", [[], {"temperature": 10.0}, "LV", [10.0], [{"temprature": 10.0}], [{"region": 3}],
                                   [{"temperature": -1.0}], [{"temperature": float("nan")}]])  # fmt: skip
def test_what_are_no_steps_is_refused(steps):
    with pytest.raises(ValueError, match="step"):
        read_steps(steps)
    assert read_steps([SeriesStep(temperature=5.0)])[0].temperature == 5.0


@pytest.mark.parametrize(
    ("series", "told"),
    [
        ({"temperatures": [320.0, 5.0]}, "give the lower one first"),
        ({"photon_energy_pv": "A"}, "belong together"),
        ({"polarisations": ["LH"]}, "belong together"),
    ],
)
def test_a_section_that_contradicts_itself_is_refused(series, told):
    with pytest.raises(ConfigError, match=told):
        config_with(series=series)


def test_nothing_is_planned_when_one_step_cannot_be(tmp_path):
    class Silent:
        """A station that answers for its photon energy and its limits, and to which nothing may be sent."""

        source = SimpleNamespace(settings=lambda: {"photon_energy": 100.0})

        def __init__(self):
            axis = SimpleNamespace(tolerance=1.0, check_value=lambda value: None, check_units=lambda: None)
            self.manipulator = SimpleNamespace(x=axis, y=axis, axes={"x": axis, "y": axis})
            pvs = SimpleNamespace(angular=lambda mode: True)
            refused = lambda region: [f"pass_energy = {region.pass_energy:g} eV"] if region.pass_energy > 50 else []  # noqa: E731
            self.analyser = SimpleNamespace(refusals=refused, pvs=pvs)

    from microarpes.plans.grid import RasterGrid

    shape = RasterGrid.centred(2, 2, 10.0)
    steps = [{"temperature": 10.0}, {"region": {"pass_energy": 200.0}}, {"temperature": 1000.0}]
    with pytest.raises(ValueError, match=r"step 3: temperature = 1000 K is outside.*step 2: pass_energy = 200 eV"):
        configured_series(CONFIG, Silent(), shape, steps, SimpleNamespace(directory=tmp_path))


def test_a_map_that_is_resumed_still_compares_its_landmark_with_that_of_the_first_map(tmp_path):
    def write(uid, images, shifts, **start):
        folder = tmp_path / uid
        folder.mkdir()
        writer = JournalWriter(folder / "raw.journal")
        told = {key: {} for key in ("grid", "region", "windows", "calibration", "gate")}
        writer("start", {"uid": uid, "time": 1.0, "num_points": 4, **told, **start})
        writer("descriptor", {"uid": "d", "run_start": uid, "name": "drift", "data_keys": {}})
        for number, (image, shift) in enumerate(zip(images, shifts, strict=True), 1):
            data = {"image": [[image]], "image_error": [[0.1]], "shift_x": shift, "shift_y": 0.0, "status": "ok"}
            writer("event", {"uid": f"{uid}{number}", "descriptor": "d", "seq_num": number, "time": 1.0, "data": data,
                             "timestamps": {}})  # fmt: skip
        writer.close()
        return folder

    write("first", [1.0, 2.0], [0.0, 3.0])
    linked = {"series": {"group": "g", "number": 2, "of": 2, "first": "first"}}
    second = find_unfinished(write("second", [3.0, 4.0], [5.0, 6.0], **linked))
    assert (second.landmark.image.tolist(), second.landmark.shift) == ([[1.0]], (6.0, 0.0))
    assert second.described["series"] == linked["series"]
    alone = find_unfinished(write("alone", [3.0, 4.0], [5.0, 6.0], series="what a user calls so"))
    assert (alone.landmark.image.tolist(), alone.landmark.shift) == ([[3.0]], (6.0, 0.0))
