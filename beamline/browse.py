"""``microarpes runs`` and ``microarpes show``: what the catalog holds, as text."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from microarpes.beamline.catalog import RunDetails, RunSummary, list_runs, open_catalog, show_run
from microarpes.beamline.journal import RAW_JOURNAL, stream_events
from microarpes.beamline.removed_frames import read_removed
from microarpes.beamline.run_search import RunSearch, run_status
from microarpes.plans.surface_temperature import surface_alarm, surface_told

#: Entries of the start document that are long lists; shown by their length.
_LONG = 6


def print_runs(directory: Path, search: RunSearch | None = None) -> None:
    """Print one line a run, oldest first.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    search : RunSearch, optional
        Only those that it finds.

    Raises
    ------
    microarpes.beamline.catalog.CatalogError
        There is no catalog in `directory`.
    """
    with open_catalog(directory) as client:
        found = list_runs(client, search=search)
    table = Table(box=None, pad_edge=False)
    for heading in ("run", "started", "plan", "sample", "K", "pixels", "status", "derived"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "sample")
    for run in found:
        points = "?" if run.points is None else str(run.points)
        table.add_row(
            run.uid[:8],
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.time)),
            run.plan,
            run.sample,
            "" if run.temperature is None else f"{run.temperature:.1f}",
            f"{points}/{run.planned}" if run.planned else points,
            _status(run),
            " ".join(uid[:8] for uid in run.derived_runs),
        )
    _print(table)


def print_run(directory: Path, name: str) -> None:
    """Print what is known of one run.

    Raises
    ------
    microarpes.beamline.catalog.CatalogError
        There is no catalog, or no such run in it.
    """
    with open_catalog(directory) as client:
        details = show_run(client, name)
    run = details.summary
    lines = [f"run {run.uid}"]
    lines.append(f"  {run.plan}, started {time.ctime(run.time)}, {run.exit_status} {run.reason}".rstrip())
    lines.append(f"  {run.points} events of {run.planned} pixels" if run.planned else f"  {run.points} events")
    if run.original_run:
        lines.append(f"  derived from {run.original_run}")
    lines += [f"  derived run {uid}" for uid in run.derived_runs]
    if (removed := read_removed(Path(directory) / run.uid)) is not None:
        lines.append(f"  frames: {removed}")
    lines += [f"  {key}: {_short(value)}" for key, value in sorted(details.start.items()) if key not in ("uid", "time")]
    if (details.start.get("reference") or {}).get("resolution") is not None:
        lines += _surface(directory / run.uid / RAW_JOURNAL)
    lines += _streams(details)
    sys.stdout.write("\n".join(lines) + "\n")


def _status(run: RunSummary) -> str:
    return run_status({"exit_status": run.exit_status, "reason": run.reason})


def _surface(journal: Path) -> list[str]:
    """Return what the last edge of declared resolution told of the temperature of the surface."""
    records = [doc["data"] for doc in stream_events(journal, "calibration")] if journal.exists() else []
    record = records[-1] if records else {}
    return [f"  {text}" for text in (surface_told(record), surface_alarm(record)) if text]


def _streams(details: RunDetails) -> list[str]:
    lines = []
    for stream, keys in details.streams.items():
        lines.append(f"  stream {stream}")
        for key, (dtype, shape, units) in keys.items():
            size = "x".join(str(length) for length in shape)
            lines.append(f"    {key:<28} {dtype:<8} {size:<10} {units}".rstrip())
    return lines


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_short(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple) and len(value) > _LONG:
        return f"[{value[0]} ... {value[-1]}] ({len(value)})"
    return str(value)


def _print(table: Table) -> None:
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200)
    console.print(table)
