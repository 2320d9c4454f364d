"""Plans run as in a session, and what their journals say."""

from __future__ import annotations

from microarpes.beamline.journal import read_documents, stream_events


def run(engine, plan):
    """Run a plan; return what it returns, which the engine does not."""
    results = []

    def kept():
        results.append((yield from plan))

    engine(kept())
    return results[0]


def events(journals, uid, stream):
    return [doc["data"] for doc in stream_events(journals.directory / uid / "raw.journal", stream)]


def start_of(journals, uid):
    return next(doc for name, doc in read_documents(journals.directory / uid / "raw.journal") if name == "start")
