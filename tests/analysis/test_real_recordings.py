"""What real detectors give; found through MICROARPES_REALDATA, never part of the project."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from microarpes.analysis import GapFitter, fit_fermi_edge

FOLDER = Path(os.environ.get("MICROARPES_REALDATA", "/nonexistent"))


def recording(name):
    path = FOLDER / name
    if not path.exists():
        pytest.skip("MICROARPES_REALDATA does not hold this recording")
    return path


@pytest.fixture(scope="module")
def core_level():
    """225 EDCs without E_F: axis (eV kinetic) and counts."""
    fits = pytest.importorskip("astropy.io.fits")
    with fits.open(recording("MAESTRO_13.fits")) as file:
        header, counts = file[1].header, np.array(file[1].data["Fixed_Spectra254"], dtype=float)
    return header["TRVAL13"] + header["TDELT13"] * np.arange(counts.shape[1]), counts


@pytest.fixture(scope="module")
def metal():
    """9 pixels of angle-integrated EDCs of a metal with E_F inside: axis (eV kinetic) and intensities."""
    with h5py.File(recording("bloch_raster.h5")) as file:
        return file["kinetic_energy"][...], file["counts"][...].astype(float).sum(axis=2).reshape(9, -1)


def measured_gain(counts):
    """Variance over mean of a smooth spectrum in bins far wider than the detector's correlation length (48 meV)."""
    bins = counts[: counts.size // 8 * 8].reshape(-1, 8).sum(axis=1)
    return np.mean(np.diff(bins, 2) ** 2) / 6 / bins.mean()


@pytest.mark.parametrize(("resolution", "temperature", "gain"), [(12.0, 10.0, 1.0), (25.0, 20.0, 30.0)])
def test_a_core_level_window_has_no_edge_wherever_e_f_is_claimed(core_level, resolution, temperature, gain):
    # Neighbouring pixels differ by little but their noise: each fourth of them, in turn, at each claimed E_F.
    axis, counts = core_level
    for number, channel in enumerate((*range(0, axis.size, 45), *range(606, axis.size, 9))):
        energy = (axis - axis[channel]) * 1000
        fitter = GapFitter(energy, resolution=resolution, temperature=temperature, gain=gain)
        status = fitter.fit_many(counts[number % 4 :: 4]).status
        assert (status == "no-edge").all(), channel
    assert (GapFitter((axis - 66.0) * 1000).fit_many(counts).status == "no-edge").all()
    assert {fit_fermi_edge(axis, row, temperature, gain=gain).status for row in counts[::40]} == {"no-edge"}


def test_the_edge_of_each_pixel_agrees_with_that_of_the_sum(metal):
    axis, counts = metal
    below = axis < 119.5
    gain = float(np.median([measured_gain(row[below]) for row in counts]))
    whole = fit_fermi_edge(axis, counts.sum(axis=0), 20.0, gain=gain)
    assert whole.status == "ok"
    assert whole.ef == pytest.approx(119.582, abs=0.002)
    fits = [fit_fermi_edge(axis, row, 20.0, gain=gain) for row in counts]
    edges = [fit for fit in fits if fit.status == "ok"]
    assert len(edges) >= 5  # the others hold too few electrons
    for fit in edges:
        assert abs(fit.ef - whole.ef) < 3 * np.hypot(fit.ef_error, whole.ef_error)


@pytest.mark.parametrize("gain", [1.0, 1.9])
def test_a_metal_whose_counts_are_not_poisson_has_no_gap(metal, gain):
    axis, counts = metal
    whole = fit_fermi_edge(axis, counts.sum(axis=0), 20.0)
    for resolution in (12.0, 20.0, 1000 * whole.resolution, 40.0):
        fitter = GapFitter((axis - whole.ef) * 1000, resolution=resolution, temperature=20.0, gain=gain, ef_error=0.7)
        assert "ok" not in fitter.fit_many(counts).status
