"""What is declared of a detector is checked where it is declared, and saved with the run."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.beamline.config import ConfigError, load_config, parse_config, simulated_config, simulated_text
from microarpes.beamline.detector import DetectorError, DetectorSection, Linearity, make_detector

TABLE = "# true measured\n100 101\n1000, 1010\n5000 5070\n10000 9800\n20000 17000\n"


@pytest.fixture
def flat(tmp_path):
    path = tmp_path / "flat.npy"
    np.save(path, np.ones((300, 400)))
    return path


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "rates.txt"
    path.write_text(TABLE)
    return path


def test_files_are_found_beside_the_configuration_wherever_the_program_runs(flat, table, tmp_path):
    text = simulated_text().replace('# flat_field = "flat.npy"', 'flat_field = "flat.npy"')
    (tmp_path / "beamline.toml").write_text(text.replace('# linearity = "rates.txt"', 'linearity = "rates.txt"'))
    config = load_config(tmp_path / "beamline.toml").changed(region={"acquire_time": 0.1})
    detector = make_detector(config.analyser.detector)
    assert detector.flat_field.path == str(flat)
    said = detector.document()
    assert said["counting"] == "pulse"
    assert said["flat_field"]["shape"] == [300, 400]
    assert len(said["flat_field"]["sha256"]) == len(said["linearity"]["sha256"]) == 64
    assert list(detector.findings()) == []


def test_an_adc_detector_needs_its_gain():
    data = simulated_config().model_dump()
    data["analyser"]["detector"]["counting"] = "adc"
    parse_config(data, "test")
    del data["calibration"]["gain"]
    with pytest.raises(ConfigError, match=r"calibration\.gain"):
        parse_config(data, "test")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("counting", "digital", "analyser.detector.counting"),
        ("flatfield", "flat.npy", "unknown key analyser.detector.flatfield"),
        ("max_nonlinearity", 0.0, "analyser.detector.max_nonlinearity"),
        ("max_nonlinearity", float("nan"), "analyser.detector.max_nonlinearity"),
    ],
)
def test_a_wrong_key_is_refused_by_its_name(key, value, words):
    data = simulated_config().model_dump()
    data["analyser"]["detector"][key] = value
    with pytest.raises(ConfigError, match=words):
        parse_config(data, "test")


def test_every_file_that_cannot_be_used_is_told(tmp_path):
    section = DetectorSection(flat_field=str(tmp_path / "a.npy"), linearity=str(tmp_path / "b.txt"))
    with pytest.raises(DetectorError, match=r"a\.npy.*No such file.*b\.txt.*No such file"):
        make_detector(section)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "shape"),
        ("1 1\n2 2\n", "shape"),
        ("1 1\n2 2\n3\n", "not two columns"),
        ("1 1\n2 x\n3 3\n", "could not convert"),
        ("1 1\n3 3\n2 2\n", "ascending"),
        ("-1 1\n2 2\n3 3\n", "above 0"),
        ("1 1\n2 2\n3 nan\n", "above 0"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, text, words):
    path = tmp_path / "rates.txt"
    path.write_text(text)
    with pytest.raises(DetectorError, match=words):
        Linearity.read(path)


def test_a_detector_is_linear_as_far_as_the_ratio_of_rates_stays(table):
    linearity = Linearity.read(table)
    # ratios 1.01, 1.01, 1.014, 0.98, 0.85: a constant 1.01 is gain, 0.4 % is within 1 %, 3.5 % is not
    assert linearity.linear_up_to(0.01) == 5070.0
    assert linearity.linear_up_to(0.05) == 9800.0
    assert linearity.linear_up_to(0.5) == 17000.0


def test_a_detector_that_is_superlinear_from_the_first_count_is_nowhere_linear(tmp_path):
    # ADC mode at low rates (Reber et al., arXiv:1505.02171): what is dim is counted as dimmer
    path = tmp_path / "rates.txt"
    path.write_text("10 7\n100 85\n1000 970\n")
    detector = make_detector(DetectorSection(counting="adc", linearity=str(path)))
    assert detector.linear_up_to == 0.0
    (finding,) = detector.findings()
    assert "count pulses" in finding


def test_what_is_not_declared_is_a_finding():
    (undeclared,) = make_detector(DetectorSection()).findings()
    assert "counting is not declared" in undeclared
    (no_table,) = make_detector(DetectorSection(counting="adc")).findings()
    assert "linearity is missing" in no_table
