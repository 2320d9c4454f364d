"""The folder of the embedded catalog: made ready, configured, and followed where it is moved with its runs."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import sqlite3
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

FOLDER = "catalog"
CONFIG = "config.yml"
DATABASE = "catalog.db"
#: Folder of the arrays that Tiled writes.
ARRAYS = "data"
INITIALISED = "initialised"
#: Addresses of what a catalog holds begin so, before the absolute path.
_ADDRESSES = ("file://localhost", "sqlite://localhost/", "sqlite://")


class CatalogError(Exception):
    """The catalog cannot be opened or has no such run; the message says what was asked and what to do."""


def catalog_config(directory: Path) -> str:
    """Return the text of ``config.yml`` for the catalog of `directory`, as a stock Tiled server reads it.

    Tables go to SQLite and not to DuckDB: a second process cannot open a DuckDB file that is being written.
    """
    root = Path(directory).resolve()
    folder = root / FOLDER
    place = {
        "uri": f"sqlite:///{folder / DATABASE}",
        "specs": [{"name": "CatalogOfBlueskyRuns", "version": "3.0"}],
        "writable_storage": [f"file://localhost{folder / ARRAYS}", f"sqlite:///{folder / 'tables.db'}"],
        "readable_storage": [f"file://localhost{root}"],
        "init_if_not_exists": False,
    }
    exporter = {"application/json-seq": "bluesky_tiled_plugins.exporters:json_seq_exporter"}
    lines = [
        "# Written by microarpes; `tiled serve config` of this file serves the runs to other programs.",
        f"catalog: {json.dumps(place, ensure_ascii=False)}",
        f"media_types: {json.dumps({'BlueskyRun': exporter})}",
        "uvicorn: {host: 127.0.0.1}",
        "",
    ]
    return "\n".join(lines)


def create_catalog(directory: Path) -> Path:
    """Make ``DIR/catalog`` ready if it is not, and return the path of its ``config.yml``.

    One that was moved or copied with its runs looks for them where they are now. Two processes may do so at once: the
    second waits for the first.

    Raises
    ------
    CatalogError
        The path holds a character that Tiled's addresses cannot carry.
    """
    folder = Path(directory).resolve() / FOLDER
    if set("?#%") & set(str(folder)):
        raise CatalogError(f"{folder} holds one of ? # %, which a file address cannot; choose another directory")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / ARRAYS).mkdir(exist_ok=True)
        if not (folder / INITIALISED).exists():
            with ThreadPoolExecutor(1) as thread:  # it runs an event loop, and the caller may have one already
                thread.submit(_initialise, f"sqlite:///{folder / DATABASE}").result()
            (folder / INITIALISED).touch()
        before = _written_for(folder / CONFIG)
        if before not in (None, str(folder.parent)):
            _follow_move(folder / DATABASE, before, str(folder.parent))
        _write_config(folder / CONFIG, catalog_config(folder.parent))
    return folder / CONFIG


def _initialise(uri: str) -> None:
    from tiled.commandline._catalog import init

    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # alembic's advice about a configuration file that is Tiled's
        init(uri, if_not_exists=True)


def _write_config(path: Path, text: str) -> None:
    if path.exists() and path.read_text() == text:
        return
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, path)


def _written_for(config: Path) -> str | None:
    """Return the folder of runs that a ``config.yml`` was written for; None where there is none yet."""
    if not config.exists():
        return None
    (line,) = (line for line in config.read_text().splitlines() if line.startswith("catalog: "))
    (storage,) = json.loads(line.removeprefix("catalog: "))["readable_storage"]
    return str(storage).removeprefix(_ADDRESSES[0])


def _follow_move(database: Path, before: str, now: str) -> None:
    """Have a catalog look for its arrays, tables and frames below another folder.

    Tiled knows each by its whole address and has no word for a folder that is elsewhere. The database is changed in one
    transaction; what lies outside the folder stays.
    """
    with contextlib.closing(sqlite3.connect(database, timeout=60.0)) as connection, connection:
        for address in _ADDRESSES:
            for old, new in {(before, now), (quote(before), quote(now))}:
                start = f"{address}{old}/"
                connection.execute(
                    "UPDATE assets SET data_uri = ? || substr(data_uri, ?) WHERE substr(data_uri, 1, ?) = ?",
                    (f"{address}{new}/", len(start) + 1, len(start), start),
                )
