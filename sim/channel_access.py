"""Channel Access as this IOC speaks it: loopback only, and without the delays of the stock server."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

#: Set where the caller has not; must be in the environment before caproto and numpy are imported.
SERVER_ENVIRONMENT = {
    "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "no",
    "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
    # Threads of BLAS that wait for work in a loop take the core the client needs: frames took 0.6 s instead of 5 ms.
    "OPENBLAS_NUM_THREADS": "1",
}


def set_server_environment() -> None:
    """Put `SERVER_ENVIRONMENT` into this process's environment, without overriding what is set."""
    for name, value in SERVER_ENVIRONMENT.items():
        os.environ.setdefault(name, value)


set_server_environment()

from caproto.asyncio.server import Context  # noqa: E402 - it reads the environment when imported

from microarpes.sim.circuit import FastCircuit  # noqa: E402


class FastContext(Context):
    """A caproto server whose answers are not held back by Nagle's algorithm, queues or locks."""

    CircuitClass = FastCircuit

    async def server_accept_loop(self, sock: socket.socket) -> None:
        """Listen on a bound socket; accepted connections inherit TCP_NODELAY.

        asyncio would set the option itself, but only on sockets made with an explicit protocol number.
        """
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await super().server_accept_loop(sock)


def fast_event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes uvloop's event loop, where it is installed (with uvicorn); None is asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return new_event_loop


#: What caproto logs when a request fails by the server's fault, and not by the client's.
_OWN_MISTAKES = ("Server failed to process command", "Client disconnected in unexpected way")


def quiet_logs() -> None:
    """Keep caproto's log to the server's own mistakes: a client's bad put is answered to the client."""

    def is_own(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.CRITICAL or str(record.msg).startswith(_OWN_MISTAKES)

    for name in ("caproto", "caproto.ctx", "caproto.circ", "caproto.bcast", "caproto.ch"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.ERROR)
        logger.addFilter(is_own)


def interfaces_from_environment() -> list[str]:
    """Return the addresses to bind: EPICS_CAS_INTF_ADDR_LIST, else 127.0.0.1."""
    asked: Any = os.environ.get("EPICS_CAS_INTF_ADDR_LIST", "").split()
    return list(asked) or ["127.0.0.1"]
