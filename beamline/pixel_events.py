"""The events of a run that count, one at a time: what is made of them need never hold a whole run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microarpes.beamline.journal import read_documents

Document = dict[str, Any]


@dataclass(frozen=True)
class PixelEvent:
    """The event of stream ``primary`` that counts for a pixel.

    Attributes
    ----------
    pixel : int
    seq_num : int
    time : float, s
        Unix time.
    data : dict
        Readings, with the EDCs.
    frame_row : int
        Row of its frame in the run's frame file, as the stream says; -1 where it does not.
    calibration : dict or None
        The record that held.
    """

    pixel: int
    seq_num: int
    time: float
    data: Document
    frame_row: int
    calibration: Document | None


def pixel_events(journal: Path) -> Iterator[PixelEvent]:
    """Yield the events of a raw journal that count, in the order of the measurement.

    Where two events name the same seq_num the later one counts, and of a pixel the one with the largest seq_num. The
    journal is read twice: what is found the first time is a few numbers an event.
    """
    counting, rows = _which_count(journal)
    calibration: Document | None = None
    for place, (stream, doc) in enumerate(_stream_events(journal)):
        if stream == "start":
            calibration = doc.get("calibration")
        elif stream == "calibration":
            calibration = doc["data"]
        elif place in counting:
            number = int(doc["seq_num"])
            yield PixelEvent(
                int(doc["data"]["pixel"]), number, float(doc["time"]), doc["data"], rows.get(number, -1), calibration
            )


def data_units(journal: Path) -> dict[str, str]:
    """Return the unit of each reading in a raw journal, as its descriptors have it."""
    units: dict[str, str] = {}
    primary: set[str] = set()
    for name, doc in read_documents(journal):
        if name == "descriptor" and doc.get("name", "primary") == "primary":
            primary.add(doc["uid"])
            units |= {key: str(spec.get("units") or "") for key, spec in doc["data_keys"].items()}
        elif name == "event" and doc["descriptor"] in primary:
            break
    return units


def calibration_records(journal: Path) -> list[Document]:
    """Return the calibration records of a run in the order they held, that of the start document first."""
    records = [
        doc.get("calibration") if stream == "start" else doc["data"]
        for stream, doc in _stream_events(journal)
        if stream in ("start", "calibration")
    ]
    return [record for record in records if isinstance(record, dict)]


def _which_count(journal: Path) -> tuple[set[int], dict[int, int]]:
    """Return the places of the events that count, and the frame row of each seq_num."""
    by_number: dict[int, tuple[int, int]] = {}
    rows: dict[int, int] = {}
    for place, (stream, doc) in enumerate(_stream_events(journal)):
        if stream == "primary":
            by_number[int(doc["seq_num"])] = place, int(doc["data"]["pixel"])
        elif stream == "frames":
            numbers, indices = (range(doc[key]["start"], doc[key]["stop"]) for key in ("seq_nums", "indices"))
            rows |= zip(numbers, indices, strict=False)
    by_pixel = {pixel: place for _, (place, pixel) in sorted(by_number.items())}
    return set(by_pixel.values()), rows


def _stream_events(journal: Path) -> Iterator[tuple[str, Document]]:
    """Yield the start document, events of `primary` and `calibration`, and where frames are; each with what it is."""
    streams: dict[str, str] = {}
    for name, doc in read_documents(journal):
        if name == "start":
            yield "start", doc
        elif name == "descriptor":
            streams[doc["uid"]] = doc.get("name", "primary")
        elif name == "event" and (stream := streams.get(doc["descriptor"])) in ("primary", "calibration"):
            yield str(stream), doc
        elif name == "stream_datum" and streams.get(doc["descriptor"]) == "primary":
            yield "frames", doc
