"""Which calibration a refit uses: the records as they held, or E_F and resolution interpolated between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from event_model import unpack_event_page

from microarpes.analysis import CalibrationTrack
from microarpes.beamline.journal import read_documents
from microarpes.beamline.moved_windows import fermi_edge_sources
from microarpes.devices.region import AngleWindow

LIVE, INTERPOLATED = "live", "interpolated"

Document = dict[str, Any]


class RefitRefused(ValueError):
    """What was asked for cannot be done with any run; the message says what can."""


def track_of_run(journal: Path, start: Mapping[str, Any], windows: Sequence[AngleWindow] = ()) -> CalibrationTrack:
    """Return the references of a run to interpolate between.

    The record a run begins with is none of them: it says what the configuration said, not what was measured then.

    Parameters
    ----------
    journal : Path
        Of the raw run.
    start : mapping
        Its start document.
    windows : sequence of AngleWindow
        Those that replace the run's; each takes the Fermi edge of one of them.

    Raises
    ------
    RefitRefused
        The run has no record, or one that cannot be read.
    """
    records = list(_records(journal))
    if not records:
        raise RefitRefused(
            f"run {start.get('uid')} holds no calibration record but the one it began with: nothing to interpolate; "
            f"refit with --calibration {LIVE}"
        )
    try:
        sources = fermi_edge_sources(start, windows) if windows else range(len(start["windows"]))
        return CalibrationTrack.from_records((_of_windows(record, sources) for record in records), len(sources))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RefitRefused(f"the calibration records of run {start.get('uid')} cannot be used: {error}") from None


def told_of(track: CalibrationTrack | None) -> Document:
    """Return what the derived run says of its calibration."""
    if track is None:
        return {"calibration": LIVE}
    drift = track.drift()
    line = {"rate": drift.rate, "error": drift.error, "chi2": drift.chi2}
    return {
        "calibration": INTERPOLATED,
        "calibration_records": [
            {
                "time": record.time,
                "ef": list(record.ef),
                "ef_error": list(record.ef_error),
                "resolution": record.resolution,
                "resolution_error": record.resolution_error,
                "temperature": record.temperature,
                "flux_shift": record.flux_shift,
                "flux_shift_error": record.flux_shift_error,
            }
            for record in track.records
        ],
        "ef_drift": {name: value if np.isfinite(value) else None for name, value in line.items()} | {"dof": drift.dof},
    }


def _of_windows(record: Mapping[str, Any], sources: Sequence[int]) -> Document:
    """Return a record with the Fermi edges of some windows, and without what is not of them."""
    edges = {key: np.asarray(record[key])[list(sources)] for key in ("ef", "ef_error") if key in record}
    return {key: value for key, value in record.items() if key != "flat_field"} | edges


def _records(journal: Path) -> Any:
    streams: dict[str, str] = {}
    for name, doc in read_documents(journal):
        if name == "descriptor":
            streams[doc["uid"]] = doc.get("name", "primary")
        elif name.startswith("event") and streams.get(doc["descriptor"]) == "calibration":
            events = unpack_event_page(doc) if name == "event_page" else [doc]
            yield from (event["data"] for event in events)
