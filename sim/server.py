"""Serving a beamline until told to end, to freeze, or to start again."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from typing import Any

from microarpes.sim.ioc import Beamline

#: Seconds between updates of what drifts.
UPDATE_PERIOD = 0.2


async def serve(make: Callable[[], Beamline], interfaces: list[str]) -> None:
    """Serve a beamline until SIGTERM or SIGINT; prints ``ready`` once a client can connect.

    Parameters
    ----------
    make : callable
        Makes the beamline, inside the event loop.
    interfaces : list of str
        Addresses to bind.
    """
    from microarpes.sim.channel_access import FastContext

    loop = asyncio.get_running_loop()
    beamline = make()
    await beamline.update()
    server = loop.create_task(FastContext(beamline.pvdb, interfaces).run(startup_hook=_announce))
    updates = loop.create_task(_keep_updating(beamline))
    ended = asyncio.Event()
    waiting = loop.create_task(ended.wait())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    beamline.analyser.start()
    try:
        await asyncio.wait([server, updates, waiting], return_when=asyncio.FIRST_COMPLETED)
        for task in (server, updates):
            if task.done():
                task.result()
    finally:
        beamline.analyser.stop()
        for task in (server, updates, waiting):
            task.cancel()
        await asyncio.gather(server, updates, waiting, return_exceptions=True)


async def _announce(_library: Any) -> None:
    # The startup hook runs once the sockets are bound.
    print("ready", flush=True, file=sys.stdout)  # noqa: T201 - whoever started the process reads this


async def _keep_updating(beamline: Beamline) -> None:
    """Update at a steady period, without drift."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due = max(due + UPDATE_PERIOD, loop.time())
        await asyncio.sleep(due - loop.time())
        await beamline.update()
