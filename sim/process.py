"""A simulated beamline in a process of its own, on a free port of the loopback interface."""

from __future__ import annotations

import os
import secrets
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

#: Seconds an IOC may take to serve; seconds it may take to end when asked, before it is killed.
START_TIMEOUT, END_TIMEOUT = 60.0, 3.0


@dataclass(frozen=True)
class RunningIOC:
    """A simulated beamline that answers.

    Parameters
    ----------
    prefix : str
        Of every PV.
    environment : mapping
        What a client must set before it imports a Channel Access library to reach this IOC and no other.
    process : subprocess.Popen
    errors : file
        What it writes to its stderr.
    """

    prefix: str
    environment: Mapping[str, str]
    process: subprocess.Popen[str]
    errors: IO[str]

    def said(self) -> str:
        """Return what the process wrote to its stderr so far: its own mistakes, for clients are told of theirs."""
        # Not by seek and read: the process writes where this descriptor stands.
        size = os.fstat(self.errors.fileno()).st_size
        return os.pread(self.errors.fileno(), size, 0).decode(errors="replace")


def free_port() -> int:
    """Return a port that is free on 127.0.0.1 for both TCP and UDP, as is its repeater's.

    None that a system gives to clients, which begin at 32768 at the lowest: until the IOC has bound it, no socket of
    another process gets it by chance. Nor one near 5064 to 5076, where EPICS is at home.
    """
    for _ in range(100):
        port = 10000 + secrets.randbelow(22000)
        with (
            suppress(OSError),
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as repeater,
        ):
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            repeater.bind(("127.0.0.1", port + 1))
            return port
    raise OSError("no port of 127.0.0.1 is free for both TCP and UDP after 100 tries")


def private_environment(port: int) -> dict[str, str]:
    """Return the variables that confine Channel Access, client and server, to a port of 127.0.0.1."""
    return {
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CA_REPEATER_PORT": str(port + 1 if port < 65535 else port - 1),
        "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "no",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
    }


@contextmanager
def running_ioc(
    prefix: str = "SIM:",
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    *,
    port: int | None = None,
    timeout: float = START_TIMEOUT,
) -> Iterator[RunningIOC]:
    """Start a simulated beamline, wait until it serves, and end it on leaving.

    Parameters
    ----------
    prefix : str
    arguments : sequence of str
        Further ones of ``python -m microarpes.sim``.
    environment : mapping, optional
        Variables for the process, over this process's own; the port and address lists are set here.
    port : int, optional
        Of 127.0.0.1; by default one that is free. A client whose Channel Access library is loaded already reaches
        only the port it was loaded with.
    timeout : float, s
        For the start.

    Yields
    ------
    RunningIOC

    Raises
    ------
    RuntimeError
        The process ended before it served, or did not serve in time; the message carries its stderr.
    """
    private = private_environment(free_port() if port is None else port)
    command = [sys.executable, "-m", "microarpes.sim", "--prefix", prefix, *arguments]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own program, no shell
            command,
            env={**os.environ, **(environment or {}), **private},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            _wait_until_ready(process, errors, timeout)
            yield RunningIOC(prefix, private, process, errors)
        finally:
            _end(process)


def _wait_until_ready(process: subprocess.Popen[str], errors: IO[str], timeout: float) -> None:
    """Wait for the line the IOC prints once its sockets are bound."""
    out = process.stdout
    if out is None:
        raise RuntimeError("the simulated IOC was started without a pipe to hear from it")
    deadline = time.monotonic() + timeout
    while True:
        ready, _, _ = select.select([out], [], [], max(0.0, deadline - time.monotonic()))
        line = out.readline() if ready else None
        if line == "ready\n":
            return
        if not line:
            _end(process)
            errors.seek(0)
            why = "did not serve" if line is None else f"ended with status {process.returncode}"
            raise RuntimeError(
                f"the simulated IOC {why} within {timeout:g} s of its start: {errors.read().strip() or 'no message'}"
            )


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
