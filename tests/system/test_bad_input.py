"""Bad input: one clear line, an exit status that is not 0, and nothing moved."""

from __future__ import annotations

import tomllib

import pytest

from microarpes.beamline.config import simulated_text


@pytest.fixture
def positions(station):
    """Requests of all axes before and after a test must be the same."""
    before = {name: axis.setpoint.get(use_monitor=False) for name, axis in station.manipulator.axes.items()}
    yield
    after = {name: axis.setpoint.get(use_monitor=False) for name, axis in station.manipulator.axes.items()}
    assert before == after


def refused(done, *words, lines=1):
    assert done.returncode != 0
    assert "Traceback" not in done.stderr + done.stdout
    message = done.stderr.strip().splitlines()
    assert len(message) == lines, done.stderr
    assert message[0].startswith("microarpes: ")
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dmeo"], ["dmeo"]),
        (["demo", "--pionts", "3x3"], ["--pionts"]),
        (["demo", "--points", "3"], ["--points", "'3'", "20x20"]),
        (["demo", "--points", "0x5"], ["--points"]),
        (["demo", "--points", "-3x3"], ["--points"]),
        (["demo", "--points", "2.5x2"], ["--points"]),
        (["demo", "--points", "9999999x9999999"], ["at most"]),
        (["demo", "--step", "0"], ["step", "above 0"]),
        (["demo", "--step", "-1"], ["step", "above 0"]),
        (["demo", "--step", "nan"], ["step", "finite"]),
        (["demo", "--step", "inf"], ["step", "finite"]),
        (["demo", "--step", "ten"], ["--step", "number"]),
        (["demo", "--exposure", "0"], ["acquire_time", "greater than 0"]),
        (["demo", "--exposure", "nan"], ["acquire_time", "finite"]),
        (["demo", "--exposure", "1e9"], ["acquire_time", "3600"]),
        (["demo", "--rate", "0"], ["--rate"]),
        (["demo", "--rate", "nan"], ["--rate"]),
        (["demo", "--seed", "-1"], ["--seed"]),
        (["demo", "--points", "2000x1", "--step", "100"], ["soft limits", "um"]),
        (["map", "--points", "3x3", "--step", "10"], ["--config"]),
        (["map", "--config", "none.toml", "--points", "3x3", "--step", "10"], ["none.toml", "No such file"]),
        (["check", "--config", "."], ["cannot be read"]),
        (["session", "--config", "none.toml"], ["none.toml"]),
        (["runs", "--directory", "nowhere"], ["nowhere"]),
        (["show", "abc", "--directory", "nowhere"], ["nowhere"]),
        (["replay", "none.fits"], ["none.fits"]),
        (["replay", "none.fits", "--speed", "0"], ["--speed"]),
        (["sim", "--rate", "x"], []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_is_refused_in_one_line(microarpes, arguments, words):
    done = microarpes(*arguments)
    if arguments[0] == "sim":
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
    else:
        refused(done, *words)


def beyond(text, old, new):
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[manipulator]", "[manipulator]\nspeed = 3", ["unknown key manipulator.speed"]),
        ('prefix = "SIM:MANIP:"', "", ["manipulator.prefix is missing"]),
        ('prefix = "SIM:MANIP:"', 'prefix = "SIM:MANIP:; rm -rf"', ["manipulator.prefix"]),
        ('prefix = "SIM:MANIP:"', 'prefix = "SIM\\nMANIP:"', ["manipulator.prefix"]),
        ("x = 1.0", "x = -1.0", ["manipulator.tolerances.x"]),
        ("x = 1.0", "w = 1.0", ["unknown axis w"]),
        ("rotation_centre = [0.0, 0.0, 0.0]", "rotation_centre = [0.0, 0.0]", ["manipulator.rotation_centre"]),
        ("rotation_senses = [1, 1, 1]", "rotation_senses = [1, 2, 1]", ["manipulator.rotation_senses"]),
        ('driver = "ses"', 'driver = "VG"', ["analyser.driver", "ses", "specs", "peak", "mbs"]),
        ('driver = "ses" ', 'driver = "ses"\npvs = { center_energy = "KE" } #', ["center_energy", "no such entry"]),
        ('driver = "ses" ', 'driver = "ses"\npvs = { energy_unit = "meV" } #', ["energy_unit = 'meV'", "keV"]),
        ("Angular14 = [1.5, 60.0]", "Angular14 = [60.0, 1.5]", ["energy_ratio of Angular14", "not below"]),
        ('acquisition_mode = "Fixed"', 'acquisition_mode = "Swept"', ["low_energy is missing"]),
        ('control_layer = "pyepics"', 'control_layer = "tango"', ["channel_access.control_layer"]),
        ("resolution = 0.010", "resolution = -0.010", ["calibration.resolution"]),
        ("temperature = 10.0", "temperature = 0.0", ["calibration.temperature"]),
        ("fermi_energy = 95.6", 'fermi_energy = "95.6 eV"', ["calibration.fermi_energy"]),
        ("acquire_time = 0.05", "acquire_time = nan", ["region.acquire_time"]),
        ("slices = 300", "slices = 0", ["region.slices"]),
        ("angle_low = 1.59", "angle_low = 1.89", ["angle_low"]),
        ('name = "+k_F"', 'name = "-k_F"', ["same name"]),
        ('id = "simulated Bi2212"', 'id = "simulated Bi2212"\nid = "twice"', ["not TOML"]),
        ("[sample]", "\t[sample", ["not TOML"]),
        ("spot_size = [10.0, 12.0]", "spot_size = [10.0]", ["spot_size"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_configuration_is_refused_by_key_and_nothing_moves(microarpes, positions, old, new, words):
    path = microarpes.folder / "beamline.toml"
    path.write_text(beyond(simulated_text(), old, new))
    done = microarpes("map", "--config", path, "--points", "3x3", "--step", "10")
    refused(done, *words)
    assert not (microarpes.folder / "microarpes-data").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        # what only the connected hardware can refuse
        ("angle_low = 1.59\nangle_high = 1.79", "angle_low = 20.0\nangle_high = 21.0", ["holds no angle channel"]),
        ("pass_energy = 10.0", "pass_energy = 11.0", ["pass_energy = 11 eV", "not offered", "2, 5, 10, 20"]),
        ('lens_mode = "Angular14"', 'lens_mode = "Angular99"', ["Angular99", "not offered"]),
        ("centre_energy = 95.4795", "centre_energy = 9000.0", ["centre_energy = 9000 eV", "[1, 1500] eV", "60 times"]),
        ('lens_mode = "Angular14"', 'lens_mode = "Transmission"', ["Transmission images places", "no window at k_F"]),
        ("slices = 300\niterations", "slices = 2000\niterations", ["slices = 2000", "[1, 1000]"]),
    ],
)
def test_what_the_hardware_cannot_do_is_refused_before_motion(microarpes, positions, old, new, words):
    path = microarpes.folder / "beamline.toml"
    path.write_text(beyond(simulated_text(), old, new))
    refused(microarpes("map", "--config", path, "--points", "3x3", "--step", "10"), *words)


def test_a_raster_beyond_the_soft_limits_is_refused_before_motion(microarpes, positions):
    path = microarpes.folder / "beamline.toml"
    path.write_text(simulated_text())
    done = microarpes("map", "--config", path, "--points", "3x3", "--step", "10", "--centre", "4999,0")
    refused(done, "5009", "um", "soft limits [-5000, 5000]")


def test_a_centre_that_is_no_pair_is_refused(microarpes):
    path = microarpes.folder / "beamline.toml"
    path.write_text(simulated_text())
    refused(microarpes("map", "--config", path, "--points", "3x3", "--step", "10", "--centre", "1;2"), "--centre")


def test_missing_process_variables_are_all_listed(microarpes, ioc):
    path = microarpes.folder / "beamline.toml"
    path.write_text(beyond(simulated_text(), '"SIM:LS336:"', '"SIM:LS999:"'))
    done = microarpes("map", "--config", path, "--points", "3x3", "--step", "10")
    assert done.returncode != 0
    missing = [line.split()[0] for line in done.stderr.splitlines() if line.startswith("  SIM:")]
    assert missing == ["SIM:LS999:IN1", "SIM:LS999:OUT1:SP", "SIM:LS999:OUT1:SP_RBV"]


#: What a beamline may have beside its devices.
BESIDE = """
[reference]
x = {x}
y = 0.0
z = 0.0
every_rows = 4
[landmark]
name = "patch"
x = -45.0
y = 35.0
every_rows = 2
[control_pixels]
pixels = [44, 12]
every_minutes = 20.0
[guards]
ring_current = {{ low = 1.0 }}
temperature = {{ low = 200.0 }}
shutter = {{ value = "{state}" }}
count_rate = {{ high = 1e12 }}
disk = {{ low = 1e-6 }}
"""


def test_check_lists_all_findings_not_the_first(microarpes, ioc):
    text = beyond(simulated_text(), 'hardware_interlock = "none needed: simulated detector"', "")
    text = beyond(text, "fermi_energy = 95.6 ", "fermi_energy = 90.0 ")
    text = beyond(text, "angle_low = 1.59\nangle_high = 1.79", "angle_low = 20.0\nangle_high = 21.0")
    text += BESIDE.format(x=6000.0, state="Opne") + '[catalog]\nuri = "http://127.0.0.1:9/api/v1"\n'
    (microarpes.folder / "beamline.toml").write_text(text)
    done = microarpes("check", "--config", "beamline.toml", TILED_API_KEY="")
    assert done.returncode == 1
    for word in (
        "hardware_interlock", "fermi_energy = 90 eV", "holds no angle channel", "TILED_API_KEY is not set",
        "reference gold: manipulator_x = 6000.0 um is outside the soft limits [-5000, 5000] um of SIM:MANIP:X",
        "guards.shutter watches SIM:SHUTTER:Pos-Sts: it never shows 'Opne' but ", "6 findings",
    ):  # fmt: skip
        assert word in done.stderr, done.stderr
    assert "landmark patch at x = -45 um, y = 35 um" in done.stdout


def test_check_lists_every_reason_against_a_region(microarpes, ioc):
    text = beyond(simulated_text(), "slices = 300\niterations", "slices = 2000\niterations")
    text = beyond(text, "pass_energy = 10.0", "pass_energy = 11.0")
    (microarpes.folder / "beamline.toml").write_text(text)
    done = microarpes("check", "--config", "beamline.toml")
    assert done.returncode == 1
    for word in ("slices = 2000 is outside", "pass_energy = 11 eV is not offered", "2 findings"):
        assert word in done.stderr, done.stderr


def test_check_of_a_sound_beamline_finds_nothing_and_tells_of_each_section_that_it_may_have(microarpes, ioc, positions):
    (microarpes.folder / "beamline.toml").write_text(simulated_text() + BESIDE.format(x=150.0, state="Open"))
    done = microarpes("check", "--config", "beamline.toml")
    assert (done.returncode, done.stderr) == (0, "")
    told = done.stdout.splitlines()
    assert [line.split(":")[0].split(" ")[0] for line in told[:-1]] == [
        "control_pixels", "reference", "landmark", "guards.ring_current", "guards.temperature", "guards.shutter",
        "guards.count_rate", "guards.disk",
    ]  # fmt: skip
    assert "pixels 44, 12, before the first row, each 20 min, after the last" in told[0]
    assert "at x = 150 um, y = 0 um, z = 0 um, before the first row, before each 4 rows, after the last" in told[1]
    # the sample is at 10 K, but for the noise of its sensor: that guard answers, and would hold a run now
    held = told[4].partition("from 200; now it would be held: temperature is ")[2]
    assert float(held.split(",")[0]) == pytest.approx(10.0, abs=0.5)
    assert "at 'Open'" in told[5]


def test_the_example_configuration_is_valid_toml_with_every_section_explained():
    assert set(tomllib.loads(simulated_text())) >= {"beamline", "manipulator", "analyser", "calibration", "region"}
