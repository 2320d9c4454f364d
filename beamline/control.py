"""The control channel of an engine: JSON lines over a Unix socket that only this user can reach.

One request a line, one reply a line, in the order of the requests; `microarpes.beamline.engine_control` says which
there are. ``engine.json`` in the directory of the runs names process and socket while the engine lives. Each client
has a thread of its own, a bounded line and deadlines, so that none can stall another or the engine.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import selectors
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microarpes.beamline.control_client import ENGINE_FILE, ControlClient, ControlError, EngineGone
from microarpes.beamline.engine_control import EngineControl

if TYPE_CHECKING:
    from bluesky import RunEngine

logger = logging.getLogger(__name__)

#: Bytes of a request; the longest honest one is an abort with its reason.
MAX_LINE = 4096
#: Clients at once.
MAX_CLIENTS = 16
#: Seconds a client may take over a line, and to take its reply.
LINE_TIMEOUT = 60.0
REPLY_TIMEOUT = 5.0
#: Bytes of a socket's path that every system takes.
MAX_PATH = 100


class LineTooLong(Exception):
    """A client sent more than a request can be."""


class ControlServer:
    """Listen for requests to a RunEngine.

    Parameters
    ----------
    engine : RunEngine
    row_stop : threading.Event
        Asked by the raster after each row.
    at_prompt : bool
        A prompt owns the run when it is paused.
    """

    def __init__(self, engine: RunEngine, row_stop: threading.Event, *, at_prompt: bool = False) -> None:
        self.control = EngineControl(engine, row_stop, at_prompt=at_prompt)
        self._clients: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._closed = False

    @contextlib.contextmanager
    def listening(self, directory: Path) -> Iterator[bool]:
        """Listen until the context is left; yield whether it can be: a run needs no channel to be measured.

        Parameters
        ----------
        directory : Path
            Of the runs; gets ``engine.json`` for as long.
        """
        with contextlib.ExitStack() as stack:
            try:
                self._listen(Path(directory), stack)
                there = True
            except (OSError, ControlError) as error:
                logger.warning("this engine cannot be controlled from outside: %s", error)
                there = False
            yield there

    def _listen(self, directory: Path, stack: contextlib.ExitStack) -> None:
        with contextlib.suppress(EngineGone):
            ControlClient(directory, REPLY_TIMEOUT).ask("state")
            raise FileExistsError(f"another engine is controlled in {directory}; keep the runs of this one elsewhere")
        folder = _short_folder()
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        path = folder / "control"
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(str(path))
        path.chmod(0o600)  # within a folder of 0700: a second bar
        listener.listen(MAX_CLIENTS)
        mine, theirs = (stack.enter_context(end) for end in socket.socketpair())
        thread = threading.Thread(target=self._accept, args=(listener, theirs), name="control", daemon=True)
        thread.start()
        stack.callback(self._close, mine, thread)
        _write_engine_file(directory / ENGINE_FILE, path)
        stack.callback(_remove_engine_file, directory / ENGINE_FILE, path)

    def _close(self, bell: socket.socket, thread: threading.Thread) -> None:
        bell.send(b"x")
        thread.join(REPLY_TIMEOUT)
        with self._lock:
            self._closed = True
            clients = dict(self._clients)
        # Whoever asked for this end is still to be told that it came.
        deadline = time.monotonic() + REPLY_TIMEOUT
        for how in (socket.SHUT_RD, socket.SHUT_RDWR):
            for client in clients:
                with contextlib.suppress(OSError):
                    client.shutdown(how)
            for served in clients.values():
                served.join(max(deadline - time.monotonic(), 0.0))

    def _accept(self, listener: socket.socket, bell: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(bell, selectors.EVENT_READ)
            while not any(key.fileobj is bell for key, _ in selector.select()):
                try:
                    self._welcome(listener.accept()[0])
                except OSError as error:
                    logger.warning("a client of the control channel was lost: %s", error)

    def _welcome(self, client: socket.socket) -> None:
        with self._lock:
            if not self._closed and len(self._clients) < MAX_CLIENTS:
                thread = threading.Thread(target=self._serve, args=(client,), name="control client", daemon=True)
                self._clients[client] = thread
                thread.start()
                return
        with client, contextlib.suppress(OSError):
            client.setblocking(False)
            _send(client, _error(f"{MAX_CLIENTS} clients are connected, no more are served; close one"))

    def _serve(self, client: socket.socket) -> None:
        try:
            for line in _lines(client):
                reply = self._reply(line)
                client.settimeout(REPLY_TIMEOUT)
                _send(client, reply)
        except LineTooLong:
            with contextlib.suppress(OSError):
                client.settimeout(REPLY_TIMEOUT)
                _send(
                    client, _error(f"more than {MAX_LINE} bytes came without an end of line; send one request a line")
                )
        except OSError:
            pass  # it went away, or was too slow
        finally:
            with self._lock:
                self._clients.pop(client, None)
            client.close()

    def _reply(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return _error(f'{len(line)} bytes came that are no JSON; send one object a line, such as {{"do": "state"}}')
        try:
            return self.control.do(request)
        except Exception as error:  # the border: a request that fails is told so, and the channel stays
            logger.exception("a request to the engine failed")
            return _error(f"the request failed: {type(error).__name__}: {error}")


def _error(text: str) -> dict[str, Any]:
    return {"ok": False, "error": text}


def _send(client: socket.socket, reply: dict[str, Any]) -> None:
    client.sendall(json.dumps(reply).encode() + b"\n")


def _lines(client: socket.socket) -> Iterator[bytes]:
    """Yield lines, each within its time and length, until the client closes; half a line at the end is nothing."""
    pending, deadline = b"", time.monotonic() + LINE_TIMEOUT
    while True:
        line, end, rest = pending.partition(b"\n")
        if len(line) > MAX_LINE:
            raise LineTooLong
        if end:
            yield line
            pending, deadline = rest, time.monotonic() + LINE_TIMEOUT
            continue
        client.settimeout(max(deadline - time.monotonic(), 1e-3))
        if not (chunk := client.recv(MAX_LINE)):
            return
        pending += chunk


def _short_folder() -> Path:
    """Make a folder for this user alone, whose path leaves room for a socket's."""
    folder = Path(tempfile.mkdtemp(prefix="microarpes-"))
    if len(os.fsencode(folder / "control")) <= MAX_PATH:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="microarpes-", dir="/tmp"))  # made 0700, by a name nobody knows


def _write_engine_file(file: Path, path: Path) -> None:
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    content = {"pid": os.getpid(), "socket": str(path), "started": time.time()}
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(json.dumps(content) + "\n")
        os.replace(fresh, file)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _remove_engine_file(file: Path, path: Path) -> None:
    """Remove ``engine.json`` if it still is of this engine."""
    with contextlib.suppress(OSError, ValueError):
        if json.loads(file.read_text()).get("socket") == str(path):
            file.unlink()
