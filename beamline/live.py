"""``microarpes live``: the page alone, on a run that is being taken or on a stored one."""

from __future__ import annotations

import sys
from pathlib import Path

from microarpes.beamline.followers import Followers
from microarpes.beamline.page_server import serve
from microarpes.beamline.run_names import run_folder


def run_live(
    directory: Path,
    run: str | None,
    *,
    port: int,
    address: str,
    hosts: list[str],
    view_token: Path | None,
    operator_token: Path | None,
) -> None:
    """Serve the page until Ctrl-C.

    Raises
    ------
    microarpes.beamline.stored_run.NoSuchRun
        There is no run of that name.
    ValueError, OSError
        The page cannot be served there; the message says why.
    """
    uid = ""
    if run is not None:
        folder = run_folder(directory, run)
        directory, uid = folder.parent, folder.name
    directory.mkdir(parents=True, exist_ok=True)

    def told(page: str) -> None:
        sys.stdout.write(f"the page: {page}\nCtrl-C ends it; a scan goes on\n")
        sys.stdout.flush()

    followers = Followers(directory)
    followers.reconcile()
    try:
        serve(
            directory, run=uid, port=port, address=address, hosts=hosts, view_token=view_token,
            operator_token=operator_token, told=told,
        )  # fmt: skip
    finally:
        followers.end()
