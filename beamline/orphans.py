"""Runs that what took them left without a stop document: found, counted, and closed."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

from microarpes.beamline.journal import RAW_JOURNAL, JournalWriter, read_documents
from microarpes.beamline.run_search import INTERRUPTED

Document = dict[str, Any]
GONE = f"{INTERRUPTED}: what took it was gone"
#: Entry of a stop document that the catalog made and no journal holds: bytes of the journal it was counted from.
CLOSED_FROM = "closed_from_bytes"


def interrupted_stop(journal: Path, reason: str = GONE) -> Document | None:
    """Return the stop document of a run that has none, with its true number of events; None where it has one.

    Its time is that of the last document. It is ``abort`` to the event model, which has no word for this.
    """
    start, last = "", 0.0
    streams: dict[str, str] = {}
    counts: dict[str, int] = {}
    for name, doc in read_documents(journal):
        last = max(last, float(doc.get("time", 0.0)))
        if name == "stop":
            return None
        if name == "start":
            start = doc["uid"]
        elif name == "descriptor":
            streams[doc["uid"]] = doc["name"]
        elif name == "event":
            stream = streams.get(doc["descriptor"], "primary")
            counts[stream] = max(counts.get(stream, 0), int(doc["seq_num"]))
    return {"uid": str(uuid.uuid4()), "run_start": start, "time": last, "exit_status": "abort", "reason": reason,
            "num_events": counts}  # fmt: skip


def close_orphan(folder: Path, reason: str = GONE) -> None:
    """Write the stop document of a run that was cut off into its journal; a run that has one is left as it is.

    Raises
    ------
    microarpes.beamline.journal.JournalError
        Somebody is writing it.
    """
    journal = Path(folder) / RAW_JOURNAL
    writer = JournalWriter(journal)
    try:
        stop = interrupted_stop(journal, reason)
        if stop is not None:
            writer("stop", {**stop, "time": time.time()})
    finally:
        writer.close()
