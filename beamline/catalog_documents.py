"""What a document needs before it can be stored in the catalog: declared types kept, frame files inside the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np

from microarpes.beamline.catalog_folder import CatalogError

Document = dict[str, Any]

_SCALARS: dict[str, Callable[[Any], Any]] = {"number": float, "integer": int, "boolean": bool, "string": str}


class CatalogDocuments:
    """Holds every event to what its descriptor declares, and every frame file to the run's folder.

    A table in the catalog takes its column types from the first rows: an integer 2 in a column of floats, or a string
    longer than the width declared, would be refused or cut much later, without a word. Here it is converted if that
    loses nothing and refused, by name, if not.

    Parameters
    ----------
    folder : Path
        The run's folder.

    Attributes
    ----------
    patches : dict
        For ``TiledWriter(..., patches=...)``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._keys: dict[str, Document] = {}
        self.patches = {
            "descriptor": self._descriptor,
            "event": self._event,
            "stream_resource": self._stream_resource,
        }

    def _descriptor(self, doc: Document) -> Document:
        for key, spec in doc["data_keys"].items():
            if spec["dtype"] == "array" and "external" not in spec and not spec.get("dtype_numpy"):
                raise CatalogError(
                    f"array {key!r} in stream {doc['name']!r} declares no dtype_numpy; give one such as '<f8' or '<U12'"
                )
        # A copy: Tiled renames `time` and `seq_num` in the original, and sees the events only after this.
        self._keys[doc["uid"]] = dict(doc["data_keys"])
        return doc

    def _event(self, doc: Document) -> Document:
        keys = self._keys[doc["descriptor"]]
        for key, value in doc["data"].items():
            if "external" not in keys[key]:
                doc["data"][key] = _as_declared(key, keys[key], value)
        return doc

    def _stream_resource(self, doc: Document) -> Document:
        address = urlparse(doc["uri"])
        if address.scheme not in {"", "file"} or address.netloc not in {"", "localhost"}:
            raise CatalogError(
                f"frames of {doc['data_key']!r} are at {doc['uri']}; only files of this machine are read"
            )
        path = (self._folder / unquote(address.path)).resolve()
        if path.parent.name == self._folder.name:
            # The folder of the run as it was called where it was measured: it may have been moved since.
            path = (self._folder / path.name).resolve()
        if not path.is_relative_to(self._folder):
            raise CatalogError(f"frame file {path} lies outside the run's folder {self._folder}; it is not followed")
        doc["uri"] = f"file://localhost{path}"
        return doc


def _as_declared(key: str, spec: Document, value: Any) -> Any:
    if spec["dtype"] != "array":
        return _SCALARS[spec["dtype"]](value)
    declared = np.dtype(spec["dtype_numpy"])
    array = np.asarray(value)
    if list(array.shape) != list(spec["shape"]):
        raise CatalogError(f"array {key!r} has shape {list(array.shape)}; its descriptor says {list(spec['shape'])}")
    converted = array.astype(declared)
    same = np.array_equal(array, converted, equal_nan=declared.kind == "f")
    if not same:
        raise CatalogError(f"array {key!r} of type {array.dtype} does not fit the declared {declared.str}")
    return converted


def latest_only(documents: Callable[[], Iterable[tuple[str, Document]]]) -> Iterator[tuple[str, Document]]:
    """Yield the documents of a run without the events that a later one of the same stream and number replaces.

    Parameters
    ----------
    documents : callable
        Returns the documents from the beginning, each time it is called; they are read twice and never held.
    """
    streams: dict[str, str] = {}
    last: dict[tuple[str, int], int] = {}
    for place, (name, doc) in enumerate(documents()):
        if name == "descriptor":
            streams[doc["uid"]] = doc["name"]
        elif name == "event":
            last[streams[doc["descriptor"]], doc["seq_num"]] = place
    for place, (name, doc) in enumerate(documents()):
        if name != "event" or last[streams[doc["descriptor"]], doc["seq_num"]] == place:
            yield name, doc
