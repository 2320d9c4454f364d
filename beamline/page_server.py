"""The server of the page: who may look, what is served, and which run is shown.

``python -m microarpes.beamline.page_server --directory DIR`` is a process of its own; the scan does not know of it. It
can be killed and started again at any time: all it knows it reads from the journals.
"""

from __future__ import annotations

import argparse
import json
import logging
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document as BokehDocument
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from jinja2 import Environment, PackageLoader
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.netutil import bind_sockets
from tornado.web import RequestHandler, StaticFileHandler

from microarpes.beamline.followers import is_alive
from microarpes.beamline.journal import RAW_JOURNAL
from microarpes.beamline.page import Page
from microarpes.beamline.page_access import Access, GuardedRouter, read_token
from microarpes.beamline.page_findings import FindingsThread
from microarpes.beamline.page_operator import EngineWatch, OperatorPanel
from microarpes.beamline.page_run import RunFeed
from microarpes.beamline.page_spectrum import SpectrumFits
from microarpes.beamline.page_style import STYLES

logger = logging.getLogger(__name__)

ASSETS = Path(__file__).parent / "page_assets"
#: Seconds between two looks for a newer run.
LOOK = 1.0


class Runs:
    """The runs of a directory, and a feed for each that somebody looks at.

    Parameters
    ----------
    directory : Path
    pinned : str
        uid of the run to show; the newest if empty.
    """

    def __init__(self, directory: Path, pinned: str = "") -> None:
        self.directory, self.pinned = Path(directory), pinned
        self.engine = EngineWatch(self.directory)
        self.viewers = 0
        self._feeds: dict[str, RunFeed] = {}
        self._findings: dict[str, FindingsThread] = {}
        self._newest, self._looked = "", float("-inf")

    def newest(self) -> str:
        """Return the uid of the run to show, empty if there is none yet."""
        if self.pinned:
            return self.pinned
        if time.monotonic() - self._looked > LOOK:
            self._looked = time.monotonic()
            journals = self.directory.glob(f"*/{RAW_JOURNAL}")
            born = [(path.parent.stat().st_mtime, path.parent.name) for path in journals if path.stat().st_size > 8]
            known = self.feed(self._newest) if self._newest else None
            if born and (known is None or max(born)[1] != self._newest):
                self._newest = self._latest([name for _, name in born])
        return self._newest

    def _latest(self, names: list[str]) -> str:
        feeds = [feed for name in names if (feed := self.feed(name)) is not None and feed.start is not None]
        return max(feeds, key=lambda feed: float((feed.start or {})["time"])).uid if feeds else ""

    def feed(self, uid: str) -> RunFeed | None:
        """Return the feed of a run, None where there is no such run in the directory."""
        if not uid or Path(uid).name != uid or not (self.directory / uid / RAW_JOURNAL).is_file():
            return None
        if uid not in self._feeds:
            self._feeds[uid] = RunFeed(self.directory / uid)
        feed = self._feeds[uid]
        if feed.start is None:
            feed.advance(0.0)
        return feed

    def count(self, viewers: int) -> None:
        """Count viewers that came, or, below 0, went."""
        self.viewers += viewers

    def findings(self, feed: RunFeed) -> FindingsThread:
        """Return what reckons the statistics of a run, one for all viewers."""
        return self._findings.setdefault(feed.uid, FindingsThread(feed))


class Alive(RequestHandler):
    """Tells the page that its server is there, which start of it, and which run is the newest."""

    def initialize(self, epoch: str, runs: Runs) -> None:
        """Take what every answer needs."""
        self.epoch, self.runs = epoch, runs

    def get(self) -> None:
        """Answer."""
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps({"epoch": self.epoch, "run": self.runs.newest()}))


def make_server(
    directory: Path,
    access: Access,
    *,
    port: int = 0,
    address: str = "127.0.0.1",
    run: str = "",
    operator_token: str = "",
) -> tuple[BaseServer, int]:
    """Return a server that is bound and not yet started, and its port.

    Raises
    ------
    OSError
        The port is taken.
    """
    runs, fits, epoch = Runs(directory, run), SpectrumFits(), secrets.token_hex(8)
    template = Environment(loader=PackageLoader("microarpes.beamline", "page_assets"), autoescape=True).get_template(
        "page.html"
    )

    def open_page(doc: BokehDocument) -> None:
        show(doc, runs, fits, template, epoch, operator_token)

    sockets = bind_sockets(port, address, family=socket.AF_INET)
    port = int(sockets[0].getsockname()[1])
    access = access.serving(address, port)
    tornado = BokehTornado(
        {"/": Application(FunctionHandler(open_page))},
        extra_websocket_origins=sorted(access.hosts),
        extra_patterns=[
            (r"/alive", Alive, {"epoch": epoch, "runs": runs}),
            (r"/assets/(.*)", StaticFileHandler, {"path": str(ASSETS)}),
            (r"/(favicon\.svg)", StaticFileHandler, {"path": str(ASSETS)}),
        ],
        keep_alive_milliseconds=10_000,
        unused_session_lifetime_milliseconds=10_000,
        check_unused_sessions_milliseconds=5_000,
    )
    server = HTTPServer(GuardedRouter(tornado, access))
    server.add_sockets(sockets)
    return BaseServer(IOLoop.current(), tornado, server), port


def show(
    doc: BokehDocument, runs: Runs, fits: SpectrumFits, template: Any, epoch: str, operator_token: str = ""
) -> None:
    """Fill a viewer's document: the run asked for, or the newest, or that there is none yet."""
    arguments = doc.session_context.request.arguments if doc.session_context else {}
    wanted = _argument(arguments, "run")
    theme = _argument(arguments, "theme")
    theme = theme if theme in STYLES else ""
    uid = wanted or runs.newest()
    feed = runs.feed(uid)
    doc.template = template
    # page.js says that the server is lost, and begins anew: one of the two must.
    doc.config.update(reconnect_session=False, notify_connection_status=False)
    title = f"run {uid[:8]}" if uid else "no run yet"
    doc.title = f"{title} \N{EN DASH} gap map \N{EN DASH} microarpes"
    page = feed is not None and feed.start is not None and "grid" in feed.start
    doc.template_variables.update(
        epoch=epoch, run=uid if page else "", wanted=wanted, theme=theme or "light", chosen=bool(theme), page=page,
        operator=bool(operator_token), message=None if page else missing(runs, wanted, feed),
        follows_k_f=feed is not None and feed.follows_k_f,
    )  # fmt: skip
    if feed is not None and page:
        operator = OperatorPanel(runs.directory, operator_token, theme or "light") if operator_token else None
        runs.count(1)
        shown = Page(
            doc, feed, fits, runs.findings(feed), runs.engine, operator, theme or "light", lambda: runs.viewers
        )

        def gone(context: Any) -> None:
            runs.count(-1)
            shown.close()

        doc.on_session_destroyed(gone)


def missing(runs: Runs, wanted: str, feed: RunFeed | None) -> tuple[str, str]:
    """Return that no run can be shown, and why."""
    if feed is not None:
        return "No map to show", f"run {feed.uid[:8]} is no raster, or has not begun yet"
    if wanted:
        return "No such run", f"there is no run of the name {wanted} in {runs.directory}"
    return "No run yet", f"the first in {runs.directory} is shown as soon as it begins"


def _argument(arguments: dict[str, list[bytes]], name: str) -> str:
    return arguments.get(name, [b""])[0].decode("utf-8", "replace")


def serve(
    directory: Path,
    *,
    run: str = "",
    port: int = 0,
    address: str = "127.0.0.1",
    hosts: Sequence[str] = (),
    view_token: Path | None = None,
    operator_token: Path | None = None,
    told: Callable[[str], None] = lambda page: None,
    parent: int | None = None,
) -> None:
    """Serve until the process is told to end, or until its parent is gone.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    run : str
        uid of the run to show; the newest if empty.
    port, address : int and str
        Where to listen; port 0 is any free one.
    hosts : sequence of str
        NAME:PORT by which the page is reached besides its address.
    view_token : Path, optional
        File with the token that viewers need.
    operator_token : Path, optional
        File with the token that who controls the run needs; without it nothing can be controlled.
    told : callable
        Called with the page's address when it is up.
    parent : int, optional
        Process id.

    Raises
    ------
    ValueError
        The page would be open to a network unguarded.
    OSError
        The port is taken, or the token's file cannot be read.
    """
    access = Access.checked(address, hosts, view_token)
    token = "" if operator_token is None else read_token(operator_token)
    server, port = make_server(directory.resolve(), access, port=port, address=address, run=run, operator_token=token)
    server.start()
    told(f"http://{'localhost' if address == '127.0.0.1' else address}:{port}/")
    loop = IOLoop.current()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.add_callback_from_signal(loop.stop))
    if parent is not None:
        PeriodicCallback(lambda: None if is_alive(parent) else loop.stop(), 1000).start()
    loop.start()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the page beside a scan; return the exit status."""
    parser = argparse.ArgumentParser(description="Serve the page of the runs in a directory.")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--address-file", type=Path, required=True, help="write the page's address here when it is up")
    parser.add_argument(
        "--operator-token", type=Path, help="file with the operator's token; else nothing is controlled"
    )
    parser.add_argument("--parent", type=int, metavar="PID", help="end when this process is gone")
    options = parser.parse_args(arguments)

    def told(page: str) -> None:
        part = options.address_file.with_suffix(".part")
        part.write_text(page)
        part.replace(options.address_file)

    try:
        serve(
            options.directory,
            port=options.port,
            operator_token=options.operator_token,
            told=told,
            parent=options.parent,
        )
    except (OSError, ValueError) as error:
        sys.stderr.write(f"page: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
