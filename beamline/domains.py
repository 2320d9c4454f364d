"""Domains of a stored run: pixels whose EDCs are alike, spectrum and gap of each, masks to measure them again."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.domains import Domains, find_domains
from microarpes.analysis.event_fit import EventFitter, RunLayout
from microarpes.analysis.results import GapFit
from microarpes.beamline.report_material import Material, gather
from microarpes.beamline.run_chain import read_map
from microarpes.beamline.run_names import run_folder
from microarpes.beamline.stored_run import StoredRun
from microarpes.plans.grid import RasterGrid
from microarpes.plans.shapes import SHAPES, Mask

Floats = NDArray[np.float64]


class NoDomains(ValueError):
    """A run has nothing to be grouped; the message says why."""


@dataclass(frozen=True)
class RunDomains:
    """Domains of a run.

    Attributes
    ----------
    run : StoredRun
    found : Domains
        A label for each pixel of the run, ``labels[pixel]``.
    energy : ndarray, shape (n_window, n_energy), meV from E_F of the first pixel
    fits : list of GapFit or None
        Joint fit of the summed EDCs of each domain; a sum over many gaps is no single gap, and may be a bad fit.
    """

    run: StoredRun
    found: Domains
    energy: Floats
    fits: list[GapFit | None]

    @property
    def map(self) -> NDArray[np.int64]:
        """Domain of each pixel, shape (ny, nx); -1 where there is none."""
        return self.found.labels.reshape(self.run.shape)


def domains_of(run: StoredRun, number: int | None = None) -> RunDomains:
    """Group the pixels of a run by their EDCs.

    Raises
    ------
    NoDomains
        Too few pixels have an EDC, or no calibration can be read.
    """
    material = gather(run, {})
    try:
        layout = RunLayout.from_start(run.start)
        begun = material.calibration_at(float(run.start["time"]))
        found = find_domains(_spectra(material, layout, begun.ef[0]), gain=begun.gain, number=number)
    except (KeyError, TypeError, ValueError) as error:
        raise NoDomains(f"run {str(run.start['uid'])[:8]} has no domains: {error}") from None
    fitter = EventFitter("norman", "prior").fitter(layout, begun, tuple(range(len(layout.windows))))
    fits = [None if fitter is None else fitter.fit_joint(spectrum) for spectrum in found.spectra]
    energy = 1e3 * (layout.energy_axis - np.array(begun.ef)[:, None])
    return RunDomains(run, found, energy, fits)


def _spectra(material: Material, layout: RunLayout, ef: float) -> Floats:
    """EDCs of all pixels, NaN where there is none; E_F that moved during the run is put back by whole channels."""
    spectra = np.full((int(np.prod(layout.shape)), len(layout.windows), layout.energy_axis.size), np.nan)
    step = float(np.diff(layout.energy_axis).mean())
    for pixel, event in material.run.events.items():
        moved = round((material.calibration_at(float(event["time"])).ef[0] - ef) / step)
        spectra[pixel] = _shifted(np.asarray(event["data"]["edc"], dtype=np.float64), moved)
    return spectra


def _shifted(edc: Floats, channels: int) -> Floats:
    if not channels:
        return edc
    at = np.clip(np.arange(edc.shape[-1]) + channels, 0, edc.shape[-1] - 1)
    return edc[..., at]


def told(domains: RunDomains) -> str:
    """Return how many domains there are, on what evidence, and what each is."""
    found = domains.found
    lines = [f"{found.number} domains of {(found.labels >= 0).sum()} pixels of run {domains.run.start['uid'][:8]}"]
    for one in found.evidence[1:]:
        verdict = "told" if one.told else "not told"
        lines.append(
            f"  {one.number} instead of {one.number - 1}: deviance of the other half of the counts less by "
            f"{one.gain:.0f} ± {one.gain_error:.0f}, {verdict}"
        )
    for number, fit in enumerate(domains.fits):
        size = (found.labels == number).sum()
        gap = "not fitted" if fit is None else fit.status
        if fit is not None and np.isfinite(fit.delta):
            gap = (
                f"gap {fit.delta:.2f} ± {fit.delta_stderr:.2f} meV, scattering rate {fit.gamma1:.1f} meV, {fit.status}"
            )
        lines.append(f"  domain {number + 1}: {size} pixels, {gap}")
    return "\n".join(lines) + "\n"


def write_masks(folder: Path, domains: RunDomains) -> list[Path]:
    """Write the pixels of each domain as a shape that `microarpes map --shape` takes."""
    told_shape = domains.run.start.get("raster_shape")
    grid: Any = RasterGrid.model_validate(domains.run.start["grid"])
    if told_shape is not None:
        grid = SHAPES.validate_python(told_shape).lattice()
    paths = []
    for number in range(domains.found.number):
        mask = Mask(grid=grid, pixels=tuple(np.flatnonzero(domains.found.labels == number).tolist()))
        path = folder / f"domain-{number + 1}.json"
        path.write_text(json.dumps(mask.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def write_table(path: Path, domains: RunDomains) -> None:
    """Write a line a pixel: number, place (um) and domain, from 1."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["pixel", "x_um", "y_um", "domain"])
        for pixel, event in sorted(domains.run.events.items()):
            data, label = event["data"], int(domains.found.labels[pixel])
            place = (f"{data['manipulator_x']:.6g}", f"{data['manipulator_y']:.6g}")
            writer.writerow([pixel, *place, label + 1 if label >= 0 else ""])


def report_domains(directory: Path, name: str, folder: Path, number: int | None) -> str:
    """Write picture, table and masks of the domains of a run; return what is to be told.

    Raises
    ------
    NoDomains, NoSuchRun
        See `domains_of` and `microarpes.beamline.run_names.run_folder`.
    """
    from microarpes.beamline.domains_picture import write_picture

    domains = domains_of(read_map(run_folder(directory, name)), number)
    folder.mkdir(parents=True, exist_ok=True)
    write_picture(folder / "domains.png", domains)
    write_table(folder / "domains.csv", domains)
    write_masks(folder, domains)
    return f"{told(domains)}stored in {folder}\n"
