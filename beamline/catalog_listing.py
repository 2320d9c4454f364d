"""The runs of a catalog, only what is asked of each: whole start documents of thousands of runs take many seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlparse

from tiled.client.utils import handle_error

#: Runs of one answer, the most that a server gives.
PAGE = 300


def list_entries(client: Any, selection: str = "", since: float | None = None) -> Iterator[dict[str, Any]]:
    """Yield what is selected of the metadata of each run.

    Parameters
    ----------
    client : CatalogOfBlueskyRuns
        Any Tiled client of such a catalog.
    selection : str
        A JMESPath expression, evaluated where the catalog is; empty for all of it.
    since : float, optional
        Only runs that started then or later, unix time in s.

    Notes
    -----
    The search route of Tiled's HTTP interface, which its Python client asks for more than is needed here: the sizes and
    data sources of all runs, each of them a query of its own.
    """
    parameters: dict[str, Any] = {"fields": "metadata", "omit_links": True, "page[limit]": PAGE}
    if selection:
        parameters["select_metadata"] = selection
    if since is not None:
        from tiled.queries import Comparison

        for name, value in Comparison("ge", "start.time", since).encode().items():
            parameters[f"filter[comparison][condition][{name}]"] = value
    address: str | None = client.item["links"]["search"]
    while address:
        page = parse_qs(urlparse(address).query)
        answer = handle_error(client.context.http_client.get(address, params={**parameters, **page})).json()
        for entry in answer["data"]:
            metadata = entry["attributes"]["metadata"]
            yield metadata["selected"] if selection else metadata
        address = answer["links"]["next"]
