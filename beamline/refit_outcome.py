"""What a refit leaves behind: its journal, whole or not there; picture and figures; its place in the catalog."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis import GapMap
from microarpes.analysis.gap_map import AGEING, K_F_CENTRE
from microarpes.beamline.journal import read_documents
from microarpes.beamline.journal_chunks import RunChunks
from microarpes.beamline.journal_record import MAGIC, encode_record
from microarpes.beamline.pixel_classes import OUTSIDE
from microarpes.beamline.planned import planned_mask
from microarpes.beamline.stored_run import read_run, simulated_seed, simulated_undulation
from microarpes.beamline.summary import GapFigures, RunTimes, summarise

if TYPE_CHECKING:
    from microarpes.beamline.report import MapPicture
    from microarpes.beamline.report_material import Material

Document = dict[str, Any]
Floats = NDArray[np.float64]

#: What picture, figures and report are made of; a map keeps no more than this of each event.
_SHOWN = ("joint_delta", "joint_delta_stderr", "joint_gamma1", "joint_status", "joint_deviance", "joint_dof")
_PLACED = ("pixel", "raw_seq_num", "manipulator_x", "manipulator_y", "total_counts")
#: The same of a fit whose windows follow k_F.
_FOLLOWED = (*K_F_CENTRE, *AGEING, "k_f_status")
#: Failed chunks that are named one by one.
_NAMED = 3


class RefitJournal:
    """The journal of a derived run that appears, under its name, only when it is whole.

    Until `finish` it is ``<name>.part`` and has no stop document; `discard` takes it away. It can be computed again, so
    it is synced once, at the end, and not at every event.

    Parameters
    ----------
    folder : Path
        The raw run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self._file: Any = None
        #: ``refit-<first 8 of the uid>.gap.journal``, known from the start document on.
        self.path = self._folder

    @property
    def _part(self) -> Path:
        return self.path.with_name(self.path.name + ".part")

    def __call__(self, name: str, doc: Document) -> None:
        """Append a document of the derived run."""
        if name == "start":
            self.path = self._folder / f"refit-{doc['uid'][:8]}.gap.journal"
            self._file = self._part.open("xb")
            self._file.write(MAGIC)
        self._file.write(encode_record(name, doc))

    def finish(self) -> None:
        """Sync the journal and give it its name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._part, self.path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard(self) -> None:
        """Take away what was written, unless it is whole."""
        if self._file is not None:
            self._file.close()
            self._part.unlink(missing_ok=True)


def problems_of(failed: list[str], without_frame: int) -> list[str]:
    """Return what is missing from a refit: chunks that failed, the first few by name, and frames."""
    problems = failed[:_NAMED]
    if len(failed) > _NAMED:
        problems.append(f"and {len(failed) - _NAMED} more chunks failed")
    if without_frame:
        problems.append(f"{without_frame} events have no frame of theirs in the frame file and count as bad-input")
    return problems


def ending_of(chunks: RunChunks, problems: list[str]) -> tuple[str, str]:
    """Return exit status and reason of the derived run: those of the raw one, unless the refit has its own."""
    if problems:
        return "fail", "; ".join(problems)
    if chunks.stop is None:
        return "abort", "the raw run has no stop document"
    return str(chunks.stop.get("exit_status", "fail")), str(chunks.stop.get("reason", ""))


def refitted_map(journal: Path) -> GapMap:
    """Return the map of a derived run, without what neither picture nor report show."""

    def documents() -> Iterator[tuple[str, Document]]:
        for name, doc in read_documents(journal):
            if name == "event":
                data = doc["data"]
                kept = (*_SHOWN, *_PLACED, *(key for key in _FOLLOWED if key in data))
                doc = {**doc, "data": {key: data[key] for key in kept}}
                doc["timestamps"] = {"raw_seq_num": doc["timestamps"]["raw_seq_num"]}
            yield name, doc

    return GapMap.from_documents(documents())


def truth_of(start: Document, windows: Any, gap_map: GapMap) -> tuple[Floats | None, Floats | None]:
    """Return the gap and the live share the simulation put into each pixel, (ny, nx); None for a real sample."""
    seed = simulated_seed(start)
    if seed is None:
        return None, None
    from microarpes.sim.sample import Sample

    edges = [(window["angle_low"], window["angle_high"]) for window in windows]
    sample = Sample(seed, undulation=simulated_undulation(start))
    shift, x, y = (
        np.nan_to_num(gap_map.window_shift.ravel()),
        gap_map.manipulator_x.ravel(),
        gap_map.manipulator_y.ravel(),
    )
    truth = sample.truth(x, y, windows=edges, window_shift=shift)
    return truth.gap.reshape(gap_map.shape), truth.live_fraction.reshape(gap_map.shape)


def describe(raw: Document, derived: Document, journal: Path, elapsed: float) -> dict[str, Any]:
    """Draw the picture of a derived run and write its report beside its journal; return its summary.

    Parameters
    ----------
    raw, derived : dict
        Start documents.
    journal : Path
        Of the derived run.
    elapsed : float
        Time the fits took, s.
    """
    # Not above: what is refused need not wait for matplotlib.
    from microarpes.beamline.html_report import try_report
    from microarpes.beamline.report import write_gap_map
    from microarpes.beamline.report_material import gather

    gap_map = refitted_map(journal)
    truth, live = truth_of(raw, derived["windows"], gap_map)
    planned = planned_mask(raw)
    figures = GapFigures(
        status=gap_map.joint_status[planned],
        delta=gap_map.joint_delta[planned],
        delta_stderr=gap_map.joint_delta_stderr[planned],
        truth=None if truth is None else truth[planned],
        live_fraction=None if live is None else live[planned],
    )
    picture = journal.with_name(journal.name.removesuffix(".gap.journal") + ".gap_map.png")
    write_gap_map(picture, _picture(raw, gap_map, truth), title=_title(raw, derived))
    files = {"folder": str(journal.parent), "gap_map": str(picture), "gap_journal": str(journal)}
    seed = raw["seed"] if truth is not None else None
    numbers = summarise(figures, RunTimes(elapsed), run_uid=str(raw["uid"]), seed=seed, files=files)
    told = ("model", "gamma0", "engine", "edc_source", "calibration")
    numbers |= {"derived_run_uid": derived["uid"], **{key: derived[key] for key in told}}

    def material() -> Material:
        run = dataclasses.replace(read_run(journal.parent, lean=True), gap_map=gap_map)
        return gather(run, numbers, derived, journal)

    report = try_report(picture.with_name(picture.name.replace(".gap_map.png", ".report.html")), material, picture)
    if report is not None:
        numbers["files"]["report"] = str(report)
    return numbers


def _picture(raw: Document, gap_map: GapMap, truth: Floats | None) -> MapPicture:
    from microarpes.beamline.report import MapPicture

    lines = (raw["grid"][axis] for axis in ("x", "y"))
    x, y = (np.linspace(line["start"], line["stop"], line["num"]) for line in lines)
    return MapPicture(
        x=x,
        y=y,
        delta=gap_map.joint_delta,
        delta_stderr=gap_map.joint_delta_stderr,
        gamma1=gap_map.joint_gamma1,
        intensity=gap_map.total_counts,
        status=np.where(planned_mask(raw), gap_map.joint_status, OUTSIDE),
        truth=truth,
    )


def _title(raw: Document, derived: Document) -> str:
    sample = raw.get("sample")
    name = sample.get("id", "") if isinstance(sample, dict) else ""
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(raw["time"]))
    parts = [str(name), started, f"run {raw['uid'][:8]}", f"refit {derived['uid'][:8]} ({derived['model']})"]
    parts.append("gaps corrected for ageing" if derived.get("ageing_correction") else "")
    parts.append(f"{len(derived['original_run_uids'])} runs combined" if "original_run_uids" in derived else "")
    return ", ".join(part for part in parts if part)


def store_in_catalog(directory: Path, folder: Path, journal: Path) -> str:
    """Write a derived run into the catalog of its directory; return why not, or an empty string."""
    from microarpes.beamline.catalog import open_catalog
    from microarpes.beamline.catalog_writer import RunWriter

    try:
        with open_catalog(directory, create=True) as client:
            write = RunWriter(client, folder, batch=1000)  # nobody looks on: few writes, whatever they hold
            for name, doc in read_documents(journal):
                write(name, doc)
    except Exception as error:  # noqa: BLE001 - database, disk, Tiled: the journal is whole whatever they say
        return f"the catalog of {directory} did not take it: {error}; {journal.name} is whole"
    return ""
