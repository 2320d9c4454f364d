"""The compiled engine against the numpy one, which shares its formulas and none of its code."""

import fcntl
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from microarpes.analysis import GapFitter, engine
from microarpes.analysis.results import FLOAT_FIELDS
from microarpes.analysis.warm_up import warm_up

pytest.importorskip("numba", reason="numba is absent: there is one engine only")

ANALYSIS = Path(engine.__file__).parent


def hard_and_easy(edc, energy, n, seed):
    """EDCs over the whole range of doses, gaps, rates, resolutions of the peak and backgrounds, gapless ones too."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        truth = {
            "peak": float(np.exp(rng.uniform(np.log(8.0), np.log(3000.0)))),
            "delta": float(rng.choice([0.0, rng.uniform(1.0, 10.0), rng.uniform(10.0, 65.0)])),
            "gamma1": float(rng.uniform(5.0, 40.0)),
            "gamma0": float(rng.uniform(0.5, 8.0)),
            "background": float(rng.uniform(0.02, 0.4)),
            "coherent": float(rng.choice([1.0, 1.0, 1.0, 0.1, 0.0])),
        }
        rows.append(rng.poisson(edc(energy, **truth)))
    return np.array(rows, dtype=np.float64)


#: The limit is bisected to 1/64 of 10 meV or less. A ratio far below the evidence that makes a gap (10) may hang on the
#: rounding of the processor: with gamma0 = 0 the dip of a gap of 0.04 meV falls between two points of the fine grid.
#: The compiled engine takes the response to a wrong calibration one step, 1e-4 standard errors, before the end.
TOLERANCES = {"upper_limit": 10.0 / 64, "likelihood_ratio": 0.05, "delta_systematic": 1e-4}


def assert_same_numbers(compiled, reference):
    assert compiled.status.tolist() == reference.status.tolist()
    for name in FLOAT_FIELDS:
        left, right = getattr(compiled, name), getattr(reference, name)
        assert (np.isnan(left) == np.isnan(right)).all(), name
        # the resolution function is cut at 6 sigma: 2e-9 of its weight
        np.testing.assert_allclose(left, right, rtol=1e-6, atol=TOLERANCES.get(name, 1e-6), err_msg=name)
    scale = np.maximum(1.0, np.nan_to_num(reference.model_counts).max())
    # 250 meV below the window the straight line is drawn on: the 1e-5 standard errors at which ascents end make 4e-6
    np.testing.assert_allclose(compiled.model_counts, reference.model_counts, rtol=1e-5, atol=1e-7 * scale)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gamma0": "zero"},
        {"gamma0": 2.0, "eps_k": -8.0},
        {"resolution": 7.0, "temperature": 25.0, "gain": 3.5},
        {"ef_error": 0.7, "resolution_error": 0.5, "temperature_error": 2.0, "eps_k_error": 4.0},
        {"saturation": 900.0},
    ],
    ids=str,
)
def test_the_compiled_engine_gives_the_numbers_of_the_numpy_engine(energy, edc, settings):
    rows = hard_and_easy(edc, energy, 60, 7)
    compiled, reference = (
        GapFitter(energy, **settings, engine=name).fit_many(rows)
        for name in (engine.COMPILED_ENGINE, engine.NUMPY_ENGINE)
    )
    assert {"ok", "no-gap"} <= set(reference.status)
    assert_same_numbers(compiled, reference)


def test_joint_fits_agree_too_on_axes_of_their_own(energy, edc):
    axes = np.stack([energy, energy - 0.43])
    rows = np.stack([hard_and_easy(edc, axis, 40, 3) for axis in axes], axis=1)
    compiled, reference = (
        GapFitter(axes, ef_error=0.4, engine=name).fit_joint_many(rows)
        for name in (engine.COMPILED_ENGINE, engine.NUMPY_ENGINE)
    )
    assert "ok" in reference.status
    assert_same_numbers(compiled, reference)


def a_mesh(energy, seed):
    """Factors up and down by a tenth, and dead channels: some alone, a block deep down, three at E_F, both ends."""
    factors = 1.0 + 0.1 * np.cos(2.0 * np.pi * energy / 9.3 + seed)
    dead = np.random.default_rng(seed).random(energy.size) < 0.03
    return np.where(dead | (np.abs(energy) < 1.1) | (np.abs(energy + 290.0) < 8.0) | (energy > 77.0), 0.0, factors)


def behind(factors, rows):
    """Leave of counts what such a detector would count, and a hot pixel where it is dead."""
    thinned = np.random.default_rng(17).binomial(rows.astype(np.int64), factors / 1.1).astype(np.float64)
    return np.where(factors > 0.0, thinned, 5000.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"ef_error": 0.7, "resolution_error": 0.5, "temperature_error": 2.0, "eps_k_error": 4.0},
        {"resolution": 7.0, "temperature": 25.0, "gain": 3.5, "saturation": 900.0, "gamma0": 2.0, "fit_depth": 40.0},
    ],
    ids=str,
)
def test_they_agree_behind_a_mesh_with_dead_channels(energy, edc, settings):
    factors = a_mesh(energy, 1)
    rows = behind(factors, hard_and_easy(edc, energy, 20, 7))
    compiled, reference = (
        GapFitter(energy, **settings, flat_field=factors, engine=name).fit_many(rows)
        for name in (engine.COMPILED_ENGINE, engine.NUMPY_ENGINE)
    )
    assert {"ok", "no-gap"} <= set(reference.status)
    assert_same_numbers(compiled, reference)


def test_joint_fits_agree_where_each_window_has_a_mesh_of_its_own(energy, edc):
    axes = np.stack([energy, energy - 0.43])
    factors = np.stack([a_mesh(axis, seed) for seed, axis in enumerate(axes)])
    rows = np.stack([hard_and_easy(edc, axis, 12, 3) for axis in axes], axis=1)
    compiled, reference = (
        GapFitter(axes, ef_error=0.4, flat_field=factors, engine=name).fit_joint_many(behind(factors, rows))
        for name in (engine.COMPILED_ENGINE, engine.NUMPY_ENGINE)
    )
    assert "ok" in reference.status
    assert_same_numbers(compiled, reference)


def test_they_agree_on_sums_of_many_channels_behind_a_mesh(edc):
    # four channels a bin of the fit, twelve a bin of the bank
    energy = np.arange(-320.0, 80.0, 0.5)
    factors = a_mesh(energy, 2)
    rows = behind(factors, hard_and_easy(edc, energy, 8, 13))
    compiled, reference = (
        GapFitter(energy, flat_field=factors, engine=name).fit_many(rows)
        for name in (engine.COMPILED_ENGINE, engine.NUMPY_ENGINE)
    )
    assert_same_numbers(compiled, reference)


@pytest.mark.parametrize("lost", ["axis", "above", "below", "most", "rim"])
def test_they_agree_that_there_is_no_edge_behind_dead_channels(energy, edc, lost):
    axis = energy[energy < 10.0] if lost == "axis" else energy
    dead = {"above": axis > 12.0, "below": (axis > -150.0) & (axis < -5.0), "most": axis < 20.0}
    factors = np.where(dead.get(lost, False), 0.0, a_mesh(axis, 3))
    # dark below -120 meV: as the lit part of a detector lies in its middle, it ends before E_F
    lit = np.where((lost == "rim") & (axis < -120.0), 0.01, 1.0)
    rows = behind(factors, np.random.default_rng(5).poisson(edc(axis, peak=3000.0) * lit, (4, axis.size)))
    told = [
        GapFitter(axis, flat_field=factors, engine=name).fit_many(rows).status.tolist()
        for name in (engine.COMPILED_ENGINE, engine.NUMPY_ENGINE)
    ]
    assert told == [["no-edge"] * 4] * 2


@pytest.mark.parametrize("step", [0.5, 1.7, 4.0])
def test_they_agree_whatever_the_width_of_the_channels(edc, step):
    energy = np.arange(-320.0, 80.0, step)
    rows = hard_and_easy(edc, energy, 24, 13)
    compiled, reference = (
        GapFitter(energy, engine=name).fit_many(rows) for name in (engine.COMPILED_ENGINE, engine.NUMPY_ENGINE)
    )
    assert_same_numbers(compiled, reference)


def test_an_uneven_axis_is_fitted_by_numpy_and_the_fitter_says_so(edc):
    energy = np.arange(-320.0, 80.0) + 0.1 * np.sin(np.arange(400))
    fitter = GapFitter(energy)
    assert fitter.engine == engine.NUMPY_ENGINE
    fit = fitter.fit(edc(energy, peak=500.0, delta=33.0))
    assert fit.delta == pytest.approx(33.0, abs=0.3)
    with pytest.raises(ValueError, match="numba-2"):
        GapFitter(energy, engine=engine.COMPILED_ENGINE)


def test_counts_that_may_not_be_written_to_make_the_same_bits(energy, edc):
    counts = np.random.default_rng(5).poisson(edc(energy, peak=100.0)).astype(np.float64)
    locked = counts.copy()
    locked.flags.writeable = False
    fitter = GapFitter(energy)
    first = fitter.fit(counts)
    for other in (locked, counts.tolist(), counts.astype(np.int32), counts.astype(">f8"), np.repeat(counts, 2)[::2]):
        assert fitter.fit(other).delta == first.delta
    assert fitter.fit_many(locked[None]).delta[0] == first.delta


def test_warming_up_names_the_engine_that_fitters_will_use(energy):
    assert warm_up() == GapFitter(energy).engine == engine.COMPILED_ENGINE


def test_without_numba_numpy_serves_and_it_is_said_once(monkeypatch, energy, caplog):
    monkeypatch.setattr(engine, "numba", None)
    monkeypatch.setattr(engine, "_said", set())
    with caplog.at_level(logging.WARNING):
        assert GapFitter(energy).engine == engine.NUMPY_ENGINE
        assert warm_up() == engine.NUMPY_ENGINE
    assert [record.message for record in caplog.records if "numba is not installed" in record.message] != []
    assert len(caplog.records) == 1


SMALL = """
import numpy as np
from microarpes.analysis.engine import entry, compiled
@compiled
def twice(x): return 2.0 * x
@entry
def total(a):
    s = 0.0
    for x in a: s += twice(x)
    return s
print(total(np.arange(4.0)))
"""


def run_small(folder, environment=None):
    """Start a process that compiles and caches a small entry from a file in `folder`."""
    command = [sys.executable, "-W", "error", str(folder / "small.py")]
    return subprocess.Popen(
        command, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def compilations(folder, processes):
    """Start processes at once that print their result and how often they had to compile; return how often in all."""
    started = [run_small(folder) for _ in range(processes)]
    said = [process.communicate(timeout=240) for process in started]
    assert [process.returncode for process in started] == [0] * processes, said
    assert {out.split()[0] for out, _ in said} == {"12.0"}
    return sum(int(out.split()[1]) for out, _ in said)


def test_of_two_processes_that_want_the_engine_at_once_one_compiles_and_the_other_waits(tmp_path):
    (tmp_path / "small.py").write_text(SMALL + "print(total.__wrapped__.stats.cache_misses.total())\n")
    assert compilations(tmp_path, 2) == 1
    assert compilations(tmp_path, 2) == 0
    assert list((tmp_path / "__pycache__").glob("*.nbi"))


def test_a_process_does_not_wait_for_ever_for_one_that_was_suspended(tmp_path):
    patience = "import microarpes.analysis.engine as engine\nengine.PATIENCE = 0.2\n"
    (tmp_path / "small.py").write_text(patience + SMALL + "print(total.__wrapped__.stats.cache_misses.total())\n")
    (tmp_path / "__pycache__").mkdir()
    with (tmp_path / "__pycache__" / "total.compiling").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert compilations(tmp_path, 1) == 1


def test_the_engine_compiles_where_nothing_can_be_written(tmp_path):
    (tmp_path / "small.py").write_text(SMALL)
    (tmp_path / "__pycache__").write_text("a file where numba wants its folder")
    nowhere = {"HOME": str(tmp_path / "none"), "XDG_CACHE_HOME": "/proc/none", "NUMBA_CACHE_DIR": ""}
    process = run_small(tmp_path, nowhere)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert float(out) == 12.0


def test_the_cache_depends_on_every_file_of_the_engine(tmp_path, monkeypatch):
    for path in ANALYSIS.glob("compiled_*.py"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(engine, "__file__", str(tmp_path / "engine.py"))
    before = engine.fingerprint()
    changed = tmp_path / "compiled_model.py"
    changed.write_text(changed.read_text().replace("1.0 / np.pi", "1.01 / np.pi"))
    assert engine.fingerprint() != before
