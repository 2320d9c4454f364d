"""The gap function of each pixel, from maps of the same pixels at several cuts: Delta_0, node, what is no d-wave."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.d_wave import LEAST_FACTOR, DWaveFit, fit_d_wave
from microarpes.analysis.k_f_verdict import NO_K_F
from microarpes.analysis.map_statistics import IntrinsicSpread, intrinsic_spread
from microarpes.beamline.journal import RAW_JOURNAL, start_of
from microarpes.beamline.repeats import series_of
from microarpes.beamline.run_chain import read_map
from microarpes.beamline.run_names import run_folder
from microarpes.beamline.stored_run import NoSuchRun, StoredRun

Floats = NDArray[np.float64]

#: What every map of a gap function must have in common.
SAME = ("shape", "grid")
#: Chance below which a pixel is told as none of a d-wave's.
UNLIKELY = 0.01


class NoGapFunction(ValueError):
    """Runs do not make a gap function; the message says why."""


@dataclass(frozen=True)
class Anisotropy:
    """Gaps at several momenta, and what was fitted to them.

    Attributes
    ----------
    runs : tuple of str
        uids, a window each.
    windows : tuple of str
    phi : ndarray, shape (n_k,), deg
        Fermi-surface angle, 0 to 45.
    factor : ndarray, shape (n_k,)
        d-wave factor.
    gap, gap_stderr : ndarray, shape (n_k, ny, nx), meV
    fit : DWaveFit
        Each of shape (ny, nx).
    first : StoredRun
        Whose pixels, places and intensities are drawn.
    """

    runs: tuple[str, ...]
    windows: tuple[str, ...]
    phi: Floats
    factor: Floats
    gap: Floats
    gap_stderr: Floats
    fit: DWaveFit
    first: StoredRun


def folders_of(directory: Path, names: Sequence[str]) -> list[Path]:
    """Return the folders of runs; of a single one that is of a series, those of all its maps.

    Raises
    ------
    NoSuchRun
        One is not there.
    """
    found = [run_folder(directory, name) for name in names]
    if len(found) > 1:
        return found
    group = series_of(start_of(found[0] / RAW_JOURNAL)).get("group")
    if group is None:
        return found
    beside = {path.parent: start_of(path) for path in sorted(found[0].parent.glob(f"*/{RAW_JOURNAL}"))}
    maps = {folder: start for folder, start in beside.items() if series_of(start).get("group") == group}
    resumed = {str(start["resumes"]) for start in maps.values() if "resumes" in start}
    # Of a map that was taken in several runs the last one stands for all.
    return sorted((folder for folder in maps if folder.name not in resumed), key=lambda folder: maps[folder]["time"])


def read_anisotropy(folders: Sequence[Path]) -> Anisotropy:
    """Read maps and fit the gap function of each pixel.

    Raises
    ------
    NoGapFunction
        The maps do not belong together, or their windows have no momentum; the message lists every reason.
    NoSuchRun
        A run, or one that it resumes, is not there.
    """
    runs = [read_map(folder) for folder in folders]
    if problems := _refusals(runs):
        raise NoGapFunction("; ".join(problems))
    lattice = float(runs[0].start["momentum"]["lattice_constant"])
    named = [(run, number, str(window["name"])) for run in runs for number, window in enumerate(run.start["windows"])]

    def stacked(name: str) -> Floats:
        planes = [[getattr(run.gap_map, part)[number] for part in ("status", name)] for run, number, _ in named]
        return np.array([np.where(status == NO_K_F, np.nan, plane) for status, plane in planes])

    kx, ky, phi, factor = (
        np.array([run.start["momentum"][key][number] for run, number, _ in named])
        for key in ("kx", "ky", "phi", "d_wave_factor")
    )
    if np.sum(factor >= LEAST_FACTOR) < 2 or np.ptp(factor[factor >= LEAST_FACTOR]) < 1e-3:
        raise NoGapFunction(
            f"the windows have d-wave factors of {', '.join(f'{f:.2f}' for f in factor)}; two different ones of "
            f"{LEAST_FACTOR:g} or more are needed: add maps at other angles"
        )
    gap, stderr = stacked("delta"), stacked("delta_stderr")
    fit = fit_d_wave(
        gap, stderr, kx, ky, lattice, upper_limit=stacked("upper_limit"), systematic=stacked("delta_systematic")
    )
    uids = tuple(str(run.start["uid"]) for run, _, _ in named)
    return Anisotropy(uids, tuple(name for _, _, name in named), phi, factor, gap, stderr, fit, runs[0])


def _refusals(runs: Sequence[StoredRun]) -> list[str]:
    first, problems = runs[0].start, []
    for run in runs:
        uid = str(run.start["uid"])[:8]
        if different := [key for key in SAME if run.start.get(key) != first.get(key)]:
            other = str(first["uid"])[:8]
            problems.append(f"run {uid} has not the pixels of run {other}: {', '.join(different)} differ")
        if not run.start.get("momentum"):
            problems.append(f"run {uid} says no momentum of its windows: its configuration has no lattice_constant")
        elif run.start["momentum"]["lattice_constant"] != (first.get("momentum") or {}).get("lattice_constant"):
            problems.append(f"run {uid} has another lattice constant than run {str(first['uid'])[:8]}")
        if run.gap_map is None:
            problems.append(f"run {uid} is not fitted; refit it")
    return problems


def write_csv(path: Path, found: Anisotropy) -> None:
    """Write a line a pixel: number, place (um), and all that was fitted."""
    names = [each.name for each in fields(found.fit)]
    x, y = np.meshgrid(*(np.linspace(line["start"], line["stop"], line["num"]) for line in _lines(found.first)))
    columns = [x.ravel(), y.ravel(), *(getattr(found.fit, name).ravel() for name in names)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["pixel", "x_um", "y_um", *names])
        for pixel, row in enumerate(zip(*columns, strict=True)):
            writer.writerow([pixel, *(f"{value:.6g}" for value in row)])


def _lines(run: StoredRun) -> tuple[dict[str, Any], dict[str, Any]]:
    return run.start["grid"]["x"], run.start["grid"]["y"]


def told(found: Anisotropy) -> str:
    """Return the gap function of the whole map in a few lines."""
    fit = found.fit
    known = np.isfinite(fit.delta0)
    if not known.any():
        return "no pixel has gaps in enough windows for a gap function\n"
    delta0, node = intrinsic_spread(fit.delta0, fit.delta0_stderr), intrinsic_spread(fit.node, fit.node_stderr)
    harmonic = intrinsic_spread(fit.harmonic, fit.harmonic_stderr)
    unlikely = np.mean(fit.p_value[np.isfinite(fit.p_value)] < UNLIKELY) if np.isfinite(fit.p_value).any() else np.nan
    used = found.factor >= LEAST_FACTOR
    return (
        f"gap function of {known.sum()} of {known.size} pixels, {used.sum()} of {used.size} windows, "
        f"phi = {found.phi.min():.1f} to {found.phi.max():.1f} deg\n"
        f"Delta_0   {delta0.mean:.2f} ± {delta0.mean_stderr:.2f} meV, intrinsic spread {_spread(delta0, 'meV')}; "
        f"systematic ± {np.nanmedian(fit.delta0_systematic):.2f} meV\n"
        f"node      {node.mean:.2f} ± {node.mean_stderr:.2f} deg, intrinsic spread {_spread(node, 'deg')}; "
        f"systematic ± {np.nanmedian(fit.node_systematic):.2f} deg\n"
        f"harmonic  {harmonic.mean:+.3f} ± {harmonic.mean_stderr:.3f} of Delta_0 (0 for a d-wave), intrinsic spread "
        f"{_spread(harmonic, '')}\n"
        f"d-wave    {unlikely:.1%} of the pixels at p < {UNLIKELY:g} (of a d-wave everywhere: {UNLIKELY:.0%})\n"
    )


def _spread(found: IntrinsicSpread, unit: str) -> str:
    text = f"{found.intrinsic:.3g}" if found.resolved else f"not resolved, below {found.upper_limit:.3g}"
    return f"{text} {unit}".strip()


def anisotropy_of(directory: Path, names: Sequence[str], output: Path) -> str:
    """Write picture and table of the gap function of runs; return what is to be told.

    Raises
    ------
    NoGapFunction, NoSuchRun
        See `read_anisotropy`.
    """
    from microarpes.beamline.anisotropy_picture import write_picture

    if not names:
        raise NoSuchRun("no run was named; give the maps of the cuts, or one map of a series")
    found = read_anisotropy(folders_of(directory, names))
    picture, table = (output.with_name(f"{output.name}.{kind}") for kind in ("png", "csv"))
    write_picture(picture, found)
    write_csv(table, found)
    return f"{told(found)}stored in {picture} and {table}\n"
