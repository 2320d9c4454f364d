"""The verbs of the command line by which other machines follow runs."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from microarpes.beamline.cli_options import Directory

_OwnKey = Annotated[Path | None, typer.Option("--key", help="File with the secret key of this side.")]
#: How far the publisher stands back behind the scan.
_NICENESS = 15


def publish(
    directory: Directory = Path("microarpes-data"),
    address: Annotated[
        str, typer.Option(help="Where to listen; port 0: any free one. Other than loopback needs keys.")
    ] = "tcp://127.0.0.1:5577",
    key: _OwnKey = None,
    subscribers: Annotated[
        Path | None, typer.Option(help="Folder with the public keys of those who may subscribe.")
    ] = None,
) -> None:
    """Let other machines have the journals of runs, as they are written; beside the scan, which does not know of it."""
    from microarpes.beamline.publish import publish as serve
    from microarpes.beamline.remote import Keys

    def told(where: str) -> None:
        sys.stdout.write(f"journals of {directory} at {where}\nCtrl-C ends it; a scan goes on\n")
        sys.stdout.flush()

    keys = Keys.given(key, subscribers, "--key and --subscribers")
    os.nice(_NICENESS)
    with contextlib.suppress(KeyboardInterrupt):
        serve(directory, address, keys, told=told)


def subscribe(
    address: Annotated[str, typer.Argument(help="tcp://HOST:PORT of the publisher.")],
    directory: Annotated[Path, typer.Option(help="Where the copies of runs are kept; made if missing.")],
    raw_only: Annotated[bool, typer.Option("--raw-only", help="Without fits: this machine fits by itself.")] = False,
    once: Annotated[bool, typer.Option("--once", help="End when all that is there has been copied.")] = False,
    key: _OwnKey = None,
    publisher: Annotated[Path | None, typer.Option(help="File with the public key of the publisher.")] = None,
) -> None:
    """Copy the journals of another machine as they are written, so that every command here can read them."""
    from microarpes.beamline.remote import Keys
    from microarpes.beamline.subscribe import subscribe as follow

    keys = Keys.given(key, publisher, "--key and --publisher")
    with contextlib.suppress(KeyboardInterrupt):
        follow(address, directory, keys, raw_only=raw_only, once=once)
