"""The other side of the control channel: find the engine of a directory, ask it, see its state.

Imports nothing of the engine, for a page or a script needs none of it.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microarpes.beamline.followers import is_alive

ENGINE_FILE = "engine.json"
#: Bytes of ``engine.json`` and of a reply that are believed to be one.
MAX_FILE = 4096
MAX_REPLY = 1 << 16
#: Seconds a request may take: more than the engine gives it.
ANSWER_TIMEOUT = 30.0


class ControlError(Exception):
    """The engine cannot be asked, or refused; the message is one line."""


class EngineGone(ControlError):
    """There is no engine in this directory, or no more."""


@dataclass(frozen=True)
class EngineAddress:
    """What ``engine.json`` says: process id, path of the socket, start in seconds since the epoch."""

    pid: int
    socket: Path
    started: float


def find_engine(directory: Path) -> EngineAddress:
    """Return where the engine that keeps its runs in a directory listens.

    Raises
    ------
    EngineGone
        None runs there, or the one that did is gone.
    ControlError
        What is there cannot be trusted: not this user's, or no such file.
    """
    file = Path(directory) / ENGINE_FILE
    address = _parse(file, _own_text(file, directory))
    if not is_alive(address.pid):
        raise EngineGone(f"the engine of {directory} was asked, its process {address.pid} is gone; start a run there")
    try:
        found = os.lstat(address.socket)
    except OSError:
        raise EngineGone(f"the engine of {directory} was asked, its socket is gone; start a run there") from None
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
        raise ControlError(f"{file} names {address.socket}, which is no socket of this user; remove the file")
    return address


def _own_text(file: Path, directory: Path) -> bytes:
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise EngineGone(f"the engine of {directory} was asked, none runs there; start a run first") from None
    except OSError as error:
        raise ControlError(f"{file} cannot be read: {error.strerror}; remove it if no engine runs") from None
    with os.fdopen(handle, "rb") as stream:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
            raise ControlError(f"{file} is no file of this user; run as who started the engine")
        return stream.read(MAX_FILE)


def _parse(file: Path, text: bytes) -> EngineAddress:
    try:
        content = json.loads(text)
        address = EngineAddress(int(content["pid"]), Path(content["socket"]), float(content["started"]))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        raise ControlError(f"{file} does not say where an engine listens; remove it if none runs") from None
    if not 0 < address.pid < 1 << 31:
        raise ControlError(f"{file} names process {address.pid}, which cannot be; remove it if no engine runs")
    return address


class ControlClient:
    """Ask the engine that keeps its runs in a directory; each request finds it anew.

    Parameters
    ----------
    directory : Path
    timeout : float
        Seconds a request may take.

    Raises
    ------
    EngineGone
        From every request: there is no engine.
    ControlError
        From every request: it was refused, or the engine did not answer.
    """

    def __init__(self, directory: Path, timeout: float = ANSWER_TIMEOUT) -> None:
        self.directory = Path(directory)
        self.timeout = timeout

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Send one request; return the reply to it."""
        address = find_engine(self.directory)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self.timeout)
            try:
                connection.connect(str(address.socket))
                _refuse_strangers(connection)
                connection.sendall(json.dumps({"do": do, **more}).encode() + b"\n")
                reply = _parse_reply(connection)
            except TimeoutError:
                raise ControlError(
                    f"{do} was asked, the engine of process {address.pid} did not answer within {self.timeout:g} s; "
                    "look at its terminal"
                ) from None
            except OSError as error:
                raise EngineGone(
                    f"{do} was asked, the engine of process {address.pid} has gone ({error.strerror}); look at its log"
                ) from None
        if not reply.get("ok"):
            raise ControlError(str(reply.get("error", "refused without a reason")))
        return reply

    def state(self) -> dict[str, Any]:
        """Return ``state``, ``run_uid``, ``reason``, ``row_stop`` and ``holding``: by guard why the run is held."""
        return {name: value for name, value in self.ask("state").items() if name != "ok"}

    def pause(self) -> str:
        """Pause at the next point; return the state, as all below do."""
        return str(self.ask("pause")["state"])

    def pause_now(self) -> str:
        """Pause at once; the exposure under way is taken again."""
        return str(self.ask("pause-now")["state"])

    def resume(self) -> str:
        """Let a paused run go on."""
        return str(self.ask("resume")["state"])

    def stop_after_row(self) -> str:
        """Have the run end after the row under way."""
        return str(self.ask("stop-after-row")["state"])

    def go_on_after_row(self) -> str:
        """Take `stop_after_row` back."""
        return str(self.ask("go-on-after-row")["state"])

    def hold(self, text: str) -> str:
        """Hold the run before its next exposure, the one under way being void; `text` says why to whoever looks."""
        return str(self.ask("hold", text=text)["state"])

    def release(self) -> str:
        """Take `hold` back."""
        return str(self.ask("release")["state"])

    def abort(self, reason: str = "") -> str:
        """End the run now; all that was acknowledged is kept."""
        return str(self.ask("abort", reason=reason)["state"])


def read_engine_state(directory: Path) -> dict[str, Any]:
    """Return ``state``, ``run_uid``, ``reason`` and ``row_stop`` of the engine of a directory.

    Raises
    ------
    EngineGone, ControlError
        As `ControlClient`.
    """
    return ControlClient(directory).state()


def _refuse_strangers(connection: socket.socket) -> None:
    """Refuse another user's process behind the socket, where the system tells."""
    if hasattr(socket, "SO_PEERCRED"):
        packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if (uid := struct.unpack("3i", packed)[1]) != os.getuid():
            raise ControlError(f"user {uid} listens at the engine's socket, not this user; remove {ENGINE_FILE}")


def _parse_reply(connection: socket.socket) -> dict[str, Any]:
    received = b""
    while not received.endswith(b"\n") and len(received) < MAX_REPLY:
        if not (chunk := connection.recv(4096)):
            raise ConnectionResetError(0, "it closed the connection")
        received += chunk
    try:
        reply = json.loads(received)
    except ValueError:
        reply = None
    if not isinstance(reply, dict):
        raise ControlError("the engine's reply is no JSON object; are both of one version?")
    return reply
