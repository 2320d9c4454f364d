"""A Tiled server that gets every run too: its address, its key from the environment, and whether it answers.

The key is never an argument, a file or part of an address: all of these are seen by others of the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from microarpes.beamline.catalog import quiet_zarr
from microarpes.beamline.catalog_folder import CatalogError

#: Seconds a server may need for one answer; one that is frozen is then taken for gone.
ANSWER_WITHIN = 30.0
#: What a key must allow for runs to be written, and taken away again where a server died in the middle.
SCOPES = (
    "read:metadata", "read:data", "write:metadata", "write:data", "create:node", "register", "delete:node",
    "delete:revision",
)  # fmt: skip


@dataclass(frozen=True)
class CatalogServer:
    """Where the server is.

    Attributes
    ----------
    uri : str
        As a stock client takes it, ``https://tiled.example.org/api/v1``.
    key_variable : str
        Environment variable that holds the API key.
    answer_within : float, s
        Longest time for one answer.
    """

    uri: str
    key_variable: str
    answer_within: float = ANSWER_WITHIN

    def arguments(self) -> list[str]:
        """Return the options of a command line that `add_options` understands."""
        return ["--server", self.uri, "--key-variable", self.key_variable]

    @contextlib.contextmanager
    def opened(self) -> Iterator[Any]:
        """Yield the stock client of the server; it is closed on leaving the ``with`` block.

        Raises
        ------
        CatalogError
            There is no key in the environment, or the server refuses it, or it keeps no bluesky runs.
        httpx.TransportError
            It does not answer; see `does_not_answer`.
        """
        key = os.environ.get(self.key_variable, "")
        if not key:
            raise CatalogError(
                f"the environment variable {self.key_variable} is not set; it has to hold the API key of {self.uri}"
            )
        quiet_zarr()
        import httpx
        from tiled.client import from_uri

        patience = httpx.Timeout(self.answer_within, connect=5.0)
        # Asked first: a client that is refused as it is made leaves its connection open.
        address = f"{self.uri.rstrip('/').removesuffix('/api/v1')}/api/v1/metadata/"
        answer = httpx.get(address, headers={"Authorization": f"Apikey {key}"}, timeout=patience)
        if answer.status_code in (401, 403):
            raise CatalogError(f"{self.uri} refuses the key in {self.key_variable}; make a new one")
        answer.raise_for_status()
        client = from_uri(self.uri, api_key=key, timeout=patience)
        try:
            if "CatalogOfBlueskyRuns" not in {spec.name for spec in client.specs}:
                raise CatalogError(
                    f"{self.uri} is no catalog of bluesky runs; its tree needs the spec CatalogOfBlueskyRuns, see "
                    "docs/how-to/tiled-server.md"
                )
            yield client
        finally:
            client.context.close()

    def missing_scopes(self, client: Any) -> list[str]:
        """Return what the key may not do that writing a run needs.

        Parameters
        ----------
        client : tiled.client.container.Container
            Of `opened`. A server of one user has one key, which may do everything.
        """
        links = client.context.server_info.authentication.links
        if links is None or not links.apikey:
            return []
        allowed = client.context.which_api_key()["scopes"]
        return [] if "inherit" in allowed else [scope for scope in SCOPES if scope not in allowed]


def does_not_answer(error: BaseException) -> bool:
    """Tell whether a server was down, frozen or starting: to be asked again later, whatever it was asked."""
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code == 429
    return isinstance(error, httpx.TransportError)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a server."""
    parser.add_argument("--server", metavar="URI", help="write to this Tiled server, not to the embedded catalog")
    parser.add_argument("--key-variable", metavar="NAME", default="TILED_API_KEY", help="holds its API key")
    parser.add_argument(
        "--answer-within", type=float, default=ANSWER_WITHIN, metavar="S", help="longest wait for an answer of it"
    )


def server_of(options: argparse.Namespace) -> CatalogServer | None:
    """Return the server that a command line names; None where it names none."""
    if options.server is None:
        return None
    return CatalogServer(options.server, options.key_variable, options.answer_within)
