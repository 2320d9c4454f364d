"""The embedded catalog: Tiled on SQLite and plain files under ``DIR/catalog``, opened inside the process that asks.

No server runs and no port is open: `open_catalog` builds Tiled's own application from ``DIR/catalog/config.yml`` and
talks to it in memory. The same file serves the same data to other machines: ``tiled serve config
DIR/catalog/config.yml`` (loopback and an API key unless told otherwise).
"""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from microarpes.beamline.catalog_folder import CONFIG, DATABASE, FOLDER, INITIALISED, CatalogError, create_catalog
from microarpes.beamline.run_search import INTERRUPTED, RunSearch, run_status, run_temperature, sample_name

#: What is listed of a run, and searched but for a text; the axes of a raster make its start document long.
_LISTED = (
    "{start: start.{uid: uid, time: time, plan_name: plan_name, sample: sample, num_points: num_points,"
    " original_run_uid: original_run_uid, original_run_uids: original_run_uids,"
    " calibration: calibration.{temperature: temperature},"
    " series: series.{settings: settings.{temperature: temperature}}}, stop: stop}"
)


@dataclass(frozen=True)
class RunSummary:
    """One line of ``microarpes runs``.

    Attributes
    ----------
    uid : str
        Unique id of the run; its first eight letters are enough to find it again.
    time : float
        Start, seconds since the epoch.
    plan : str
        Name of the plan.
    sample : str
        Sample id; empty if the run names none.
    planned : int or None
        Pixels asked for.
    points : int or None
        Events of the stream `primary`; None while the run is open.
    exit_status : str
        ``success``, ``fail``, ``abort``, ``interrupted`` where what took it was gone, or ``open`` while there is no
        stop document.
    reason : str
        Why it ended early; empty otherwise.
    original_run : str or None
        Uid of the run this one was derived from.
    derived_runs : tuple of str
        Uids of the runs derived from this one, oldest first.
    temperature : float or None, K
        Of the sample as the run began.
    """

    uid: str
    time: float
    plan: str
    sample: str
    planned: int | None
    points: int | None
    exit_status: str
    reason: str = ""
    original_run: str | None = None
    derived_runs: tuple[str, ...] = ()
    temperature: float | None = None


@dataclass(frozen=True)
class RunDetails:
    """What ``microarpes show`` prints.

    Attributes
    ----------
    summary : RunSummary
        The line of the run in the list.
    start, stop : mapping
        The documents as stored; `stop` is empty while the run is open.
    streams : mapping of str to mapping
        For each stream its data keys: ``{stream: {key: (dtype, shape, units)}}``.
    """

    summary: RunSummary
    start: Mapping[str, Any]
    stop: Mapping[str, Any]
    streams: Mapping[str, Mapping[str, tuple[str, tuple[int, ...], str]]] = field(default_factory=dict)


@contextlib.contextmanager
def open_catalog(directory: Path, *, create: bool = False) -> Iterator[Any]:
    """Open the embedded catalog of `directory` and yield a Tiled client of it.

    Parameters
    ----------
    directory : Path
        The folder of the runs; the catalog is ``DIR/catalog``.
    create : bool
        Make an empty catalog where there is none.

    Yields
    ------
    bluesky_tiled_plugins.CatalogOfBlueskyRuns
        The stock client, as ``tiled.client.from_uri`` would return it: ``client[uid]["primary"].read()``. Give it to
        ``databroker.Broker`` for the older interface. It is closed on leaving the ``with`` block.

    Raises
    ------
    CatalogError
        There is no catalog in `directory`, or it was written by another version of Tiled.
    """
    folder = Path(directory) / FOLDER
    if not create and not (folder / INITIALISED).exists():
        raise CatalogError(f"no catalog in {directory}: {folder / CONFIG} is missing; name a folder that holds runs")
    context = _open_application(create_catalog(Path(directory)))
    try:
        from tiled.client import from_context

        yield from_context(context)
    finally:
        context.close()


def _open_application(config: Path) -> Any:
    quiet_zarr()
    from tiled.client.context import Context
    from tiled.config import construct_build_app_kwargs, parse_configs
    from tiled.server.app import build_app

    app = build_app(**construct_build_app_kwargs(parse_configs(config)))
    logging.getLogger("tiled.server.app").setLevel(logging.WARNING)  # its import sets INFO and prints to stderr
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # starlette prefers a successor of httpx that tiled does not use
        try:
            return Context.from_app(app)
        except Exception as error:  # whatever its database layer raises
            raise CatalogError(
                f"{config.parent / DATABASE} cannot be opened: {error}; if Tiled was upgraded, run "
                f"`tiled catalog upgrade-database sqlite:///{config.parent / DATABASE}`"
            ) from error


def quiet_zarr() -> None:
    """Silence a warning about fixed-width strings."""
    # Fixed-width strings (`status` of the fits) have no entry in the Zarr v3 standard yet; zarr-python reads and
    # writes them, the same at every version so far, and a test compares them bit for bit.
    from zarr.errors import UnstableSpecificationWarning

    warnings.filterwarnings("ignore", category=UnstableSpecificationWarning)


def list_runs(client: Any, *, derived: bool = False, search: RunSearch | None = None) -> list[RunSummary]:
    """Return the runs in the catalog, oldest first.

    Parameters
    ----------
    client : CatalogOfBlueskyRuns
        From `open_catalog`, or any Tiled client of such a catalog.
    derived : bool
        List runs derived from others too; otherwise they are only named in `derived_runs` of their original.
    search : RunSearch, optional
        List only what it finds.
    """
    from microarpes.beamline.catalog_listing import list_entries

    since = search.since if search is not None and math.isfinite(search.since) else None
    starts: list[tuple[dict[str, Any], dict[str, Any]]] = []
    children: dict[str, list[tuple[float, str]]] = {}
    # What is derived from a run is younger than the run. A text is looked for in all that is known of it.
    for entry in list_entries(client, "" if search is not None and search.text else _LISTED, since):
        start, stop = dict(entry.get("start") or {}), dict(entry.get("stop") or {})
        starts.append((start, stop))
        for original in start.get("original_run_uids") or [start.get("original_run_uid")]:
            children.setdefault(original, []).append((float(start["time"]), start["uid"]))
    wanted = [each for each in starts if search is None or search.finds(*each)]
    summaries = [_summary(start, stop, children) for start, stop in wanted]
    shown = [run for run in summaries if derived or run.original_run is None]
    return sorted(shown, key=lambda run: run.time)


def _summary(start: dict[str, Any], stop: dict[str, Any], children: dict[str, list[tuple[float, str]]]) -> RunSummary:
    uid = str(start["uid"])
    return RunSummary(
        uid=uid,
        time=float(start.get("time", 0.0)),
        plan=str(start.get("plan_name", "")),
        sample=sample_name(start),
        planned=start.get("num_points"),
        points=(stop.get("num_events") or {}).get("primary", 0) if stop else None,
        exit_status=INTERRUPTED if run_status(stop) == INTERRUPTED else str(stop.get("exit_status", "open")),
        reason=str(stop.get("reason", "")),
        original_run=start.get("original_run_uid"),
        derived_runs=tuple(child for _, child in sorted(children.get(uid, []))),
        temperature=run_temperature(start),
    )


def find_run(client: Any, name: str) -> Any:
    """Return the run called `name`: its uid, the first letters of it, or ``-1`` for the last, ``-2`` before that.

    Raises
    ------
    CatalogError
        No run, or more than one, has that name.
    """
    if name.startswith("-") and name[1:].isdigit():
        runs = list_runs(client)
        if not 1 <= int(name[1:]) <= len(runs):
            raise CatalogError(f"run {name} was asked for, but the catalog holds {len(runs)}; see `microarpes runs`")
        return client[runs[int(name)].uid]
    found = [uid for uid in client if uid.startswith(name)] if name else []
    if len(found) == 1:
        return client[found[0]]
    what = "no run" if not found else f"{len(found)} runs ({', '.join(uid[:8] for uid in found[:5])})"
    raise CatalogError(f"{what} in the catalog has a uid that starts with {name!r}; see `microarpes runs`")


def show_run(client: Any, name: str) -> RunDetails:
    """Return everything ``microarpes show`` prints of the run called `name` (see `find_run`)."""
    run = find_run(client, name)
    start = dict(run.metadata["start"])
    derived = {one.uid: one for one in list_runs(client, derived=True)}
    streams = {}
    for stream in run:
        keys = run[stream].metadata.get("data_keys", {})
        streams[stream] = {
            key: (
                str(spec.get("dtype_numpy") or spec["dtype"]),
                tuple(spec.get("shape") or ()),
                spec.get("units") or "",
            )
            for key, spec in sorted(keys.items())
        }
    return RunDetails(derived[start["uid"]], start, dict(run.metadata.get("stop") or {}), streams)
