"""The mesh of the simulated detector dims and brightens channels, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from microarpes.sim.band import antinodal_polar
from microarpes.sim.command_line import main
from microarpes.sim.flat_field import PERIOD, mesh_shadow
from microarpes.sim.frame_source import Conditions, Pose, Window
from microarpes.sim.incident_flux import Dose
from microarpes.sim.sample import Sample
from microarpes.sim.sample_source import CENTRE_ENERGY, SampleSource
from microarpes.sim.storage_ring import FULL_CURRENT

WINDOW = Window(CENTRE_ENERGY, 1e-3, 300, 15.0, 0.1)
CONDITIONS = Conditions(100.0, 10.0)
POSE = Pose(-20.0, -50.0, 0.0, antinodal_polar(100.0), 0.0, 0.0, -20.0, -50.0)
DOSE = Dose(0.1, 0.1 * FULL_CURRENT, 1.0)


@pytest.fixture(scope="module")
def sources():
    return SampleSource(Sample(7), seed=7, rate=1e6), SampleSource(Sample(7), seed=7, rate=1e6, mesh=0.1)


def test_the_shadow_has_a_mean_of_one_and_the_depth_and_period_asked_for():
    shadow = mesh_shadow(300, 400, 0.1)
    assert shadow.mean() == pytest.approx(1.0)
    # cosines of amplitude 0.1 and 0.05 at right angles: variances add
    assert shadow.std() == pytest.approx(np.sqrt((0.1**2 + 0.05**2) / 2), rel=0.02)
    power = np.abs(np.fft.rfft(shadow - 1.0, axis=1)).sum(axis=0)
    assert 400 / power.argmax() == pytest.approx(PERIOD, rel=0.03)


def test_a_frame_in_fixed_mode_is_the_spectrum_behind_the_mesh(sources):
    bare, meshed = (source.expected(WINDOW, CONDITIONS, (POSE,), DOSE) for source in sources)
    # 2 dark counts over the whole detector do not pass the mesh
    np.testing.assert_allclose(meshed, bare * mesh_shadow(300, 400, 0.1), atol=1e-4)


def test_a_sweep_averages_the_mesh_out_along_the_energy(sources):
    swept = replace(WINDOW, swept=True, n_energy=100, exposure=12.0)
    bare, meshed = (source.expected(swept, CONDITIONS, (POSE,), DOSE) for source in sources)
    ratio = meshed / bare
    # the same for all energies of a slice, up to the dark counts
    assert np.ptp(ratio, axis=1).max() < 1e-3


def test_the_flat_field_can_be_written_for_a_configuration(tmp_path, capsys):
    assert main(["--flat-field-mesh", "0.2", "--write-flat-field", str(tmp_path / "flat.npy")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "flat.npy"), mesh_shadow(300, 400, 0.2))
    assert main(["--write-flat-field", str(tmp_path)]) == 2
    assert "--write-flat-field" in capsys.readouterr().err


@pytest.mark.parametrize("depth", ["-0.1", "0.6", "nan", "deep"])
def test_a_depth_that_is_none_is_refused(capsys, depth):
    assert main([f"--flat-field-mesh={depth}"]) == 2
    assert "0 to 0.5" in capsys.readouterr().err
