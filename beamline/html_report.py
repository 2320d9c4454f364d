"""``report.html``: one run as a page of a logbook, in one file that needs neither network nor JavaScript.

Sample id, reasons and settings come from documents that anybody may have written; the template escapes them all. A part
that a run does not have is left out, one that cannot be read says so: a report never makes a good run fail.
"""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from microarpes.beamline.report import write_gap_map
from microarpes.beamline.report_k_f import k_f_centres
from microarpes.beamline.report_material import Figure, Material, Section, Table, gather, part, told
from microarpes.beamline.report_results import ageing, heading, results
from microarpes.beamline.report_settings import gate, interruptions, settings
from microarpes.beamline.report_spectra import embedded, spectra
from microarpes.beamline.run_names import run_folder
from microarpes.beamline.stored_figures import (
    documented_time,
    gap_figures,
    map_picture,
    run_times,
    sample_id,
    title,
    truth_of_run,
)
from microarpes.beamline.stored_run import StoredRun, read_run, simulated_seed
from microarpes.beamline.summary import summarise

logger = logging.getLogger(__name__)

REPORT = "report.html"
_TEMPLATES = Path(__file__).with_name("page_assets")


def report_run(directory: Path, name: str, output: Path | None = None) -> Path:
    """Write the report of a stored run, or of one that is still being taken, again.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    name : str
        As `run_folder` takes it.
    output : Path, optional
        File to write; by default ``report.html`` in the run's folder.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    microarpes.beamline.stored_run.NoSuchRun
        There is no such run.
    OSError
        The file cannot be written.
    """
    run = read_run(run_folder(directory, name))
    return write_report(output or run.folder / REPORT, gather(run, stored_numbers(run)))


def stored_numbers(run: StoredRun) -> dict[str, Any]:
    """Return the summary of a run as its documents give it; the time it took is that from start to stop document."""
    seed = simulated_seed(run.start)
    truth, live = truth_of_run(run, seed)
    times = run_times(run, documented_time(run))
    return summarise(gap_figures(run, truth, live), times, run_uid=str(run.start["uid"]), seed=seed)


def try_report(path: Path, make: Callable[[], Material], picture: Path) -> Path | None:
    """Write the report of a run that has just ended; one line of warning, and None, where that cannot be done.

    Parameters
    ----------
    path : Path
        File to write.
    make : callable
        Gathers what it is made from.
    picture : Path
        PNG file that was drawn of the run.
    """
    try:
        return write_report(path, make(), picture.read_bytes())
    except Exception as error:  # noqa: BLE001 - whatever it is, the run is good and stored
        logger.warning("%s was not written: %s; the run is whole", path, " ".join(str(error).split()))
        return None


def write_report(path: Path, material: Material, picture: bytes | None = None) -> Path:
    """Write a report; the file appears only when it is whole.

    Parameters
    ----------
    path : Path
    material : Material
    picture : bytes, optional
        PNG of the maps; drawn where it is not given.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    path = Path(path)
    text = report_html(material, picture, name=path.name)
    fresh = path.with_name(path.name + ".part")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)
    return path


def report_html(material: Material, picture: bytes | None = None, name: str = REPORT) -> str:
    """Return the report as HTML."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    sections = [
        _safely("Map", lambda: _map(material, picture)),
        _safely("Results", lambda: results(material)),
        _safely("k_F in every pixel", lambda: k_f_centres(material)),
        _safely("Ageing", lambda: ageing(material)),
        _safely("Settings", lambda: settings(material)),
        _safely("Gate", lambda: gate(material)),
        _safely("Interruptions", lambda: interruptions(material)),
        _safely("Best, median and worst fit", lambda: spectra(material)),
        _safely("Open it in Python", lambda: _opening(material)),
        _safely("Versions and files", lambda: _versions(material, name)),
    ]
    return environment.get_template(REPORT).render(
        title=f"{sample_id(material.start) or 'Run'}, run {material.run.folder.name[:8]}",
        sample=sample_id(material.start) or "Gap map",
        heading=heading(material),
        sections=[section for section in sections if section is not None],
        written=time.strftime("%Y-%m-%d %H:%M:%S %z"),
    )


def _safely(name: str, make: Callable[[], Section | None]) -> Section | None:
    """Return a section, or what kept it from being made."""
    try:
        return make()
    except Exception as error:  # one odd document must not take the other parts away
        logger.debug("section %s of the report could not be made", name, exc_info=True)
        return Section(name, [f"This part could not be made: {type(error).__name__}: {error}"])


def _map(material: Material, picture: bytes | None) -> Section:
    if picture is None:
        seed = simulated_seed(material.start)
        drawn = io.BytesIO()
        truth, _ = truth_of_run(material.run, seed)
        write_gap_map(drawn, map_picture(material.run, truth), title=title(material.run))
        picture = drawn.getvalue()
    numbers = material.numbers
    alt = (
        f"Maps of the spectral gap at k_F, its statistical error, the scattering rate and the intensity, "
        f"{numbers['n_acquired']} of {numbers['n_points']} pixels measured; histogram of the gap; gap against "
        "scattering rate."
    )
    caption = "Gap at k_F and what belongs to it. Pixels without a gap are hatched, as the legend says."
    return Section("Map", figures=[Figure(embedded(picture, "image/png"), alt, caption)])


def _opening(material: Material) -> Section:
    folder = str(material.run.folder)
    last = "gap, error = map_.gap, map_.gap_error  # meV, [y, x]"
    if material.run.gap_map is None:
        last = "edcs = map_.edc  # counts, [y, x, window, energy]"
    code = f"from microarpes.beamline.open_run import open_run\nmap_ = open_run({folder!r}).to_xarray()\n{last}"
    return Section("Open it in Python", code=code)


def _versions(material: Material, name: str) -> Section:
    start = material.start
    rows = told(
        [
            ("run", start.get("uid")),
            ("fit", material.derived.get("uid")),
            ("engine of the fit", material.derived.get("engine")),
            *sorted((str(key), value) for key, value in part(start, "versions").items()),
        ]
    )
    tables = [Table("Versions", ("what", "is"), rows), Table("Files", ("file", "size"), _files(material, name))]
    return Section("Versions and files", [f"Folder: {material.run.folder}"], tables)


def _files(material: Material, name: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for file in sorted(material.run.folder.iterdir()):
        if file.is_file() and file.name != name and not file.name.endswith(".part"):
            rows.append((file.name, size(file.stat().st_size)))
    return rows


def size(n_bytes: int) -> str:
    """Write a size.

    Examples
    --------
    >>> size(512), size(2_400_000)
    ('512 B', '2.4 MB')
    """
    value, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000.0:
            break
        value, unit = value / 1000.0, larger
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
