"""`LiveGapMap`: from the documents of a raster to a gap map and a derived run, event by event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from event_model import DocumentRouter

from microarpes.analysis.calibration_track import CalibrationTrack, RunCalibrations
from microarpes.analysis.event_fit import EventFitter, RunLayout
from microarpes.analysis.gap_documents import DerivedRun, Emit
from microarpes.analysis.gap_map import GapMap
from microarpes.analysis.models import line_shape

__all__ = ["LiveGapMap"]


class LiveGapMap(DocumentRouter):
    """Fit every event of a raster as it arrives.

    Subscribe it to a RunEngine or feed it the documents of a journal: the same documents give the same map and the same
    derived run, bit for bit, in whatever order the events come (a calibration record must come before the events
    that it precedes in time). What an event lacks or gets wrong makes it ``bad-input``; nothing raises. Runs that
    are no rasters (no grid, windows or energy axis in their start document) are let pass. Windows that follow k_F need
    the frames: what reads them puts what it found into the events; an event without it keeps the windows as planned.

    Parameters
    ----------
    emit : callable, optional
        ``emit(name, document)`` receives the derived run.
    model : str
        Line shape.
    gamma0 : str or float
        Policy for gamma0; see `GapFitter`.
    track : CalibrationTrack, optional
        All records of the run: each event is fitted with what they say of its time, whatever came before it, instead of
        the last record before it.

    Attributes
    ----------
    gap_map : GapMap or None
        Map of the present or last run.
    problem : str
        Why the present run is not fitted, or empty.
    """

    def __init__(
        self,
        emit: Emit | None = None,
        model: str = "norman",
        gamma0: str | float = "prior",
        track: CalibrationTrack | None = None,
    ) -> None:
        super().__init__()
        line_shape(model)
        self.model = model
        self.gamma0 = gamma0
        self.track = track
        self.gap_map: GapMap | None = None
        self.problem = ""
        self._emit: Emit = emit if emit is not None else _nowhere
        self._fitter = EventFitter(model, gamma0)
        self._layout: RunLayout | None = None
        self._derived: DerivedRun | None = None
        self._streams: dict[str, str] = {}
        self._calibrations = RunCalibrations(0, None)
        self._run = (0.0, "")

    def start(self, doc: Mapping[str, Any]) -> None:
        """Begin a derived run when the raw run is a raster."""
        self._streams, self._derived, self.problem = {}, None, ""
        self._run = (float(doc["time"]), str(doc["uid"]))
        try:
            self._layout = RunLayout.from_start(doc)
        except (KeyError, TypeError, ValueError) as error:
            self._layout, self.problem = None, f"run {doc['uid']} is not fitted: {error}"
            return
        self._calibrations = RunCalibrations(len(self._layout.windows), doc.get("calibration"), self.track)
        self.problem = self._calibrations.problem
        self.gap_map = GapMap(self._layout.shape, self._layout.windows)
        metadata = {
            "original_run_uid": doc["uid"],
            "original_run_time": doc["time"],
            "plan_name": "gap_fit",
            "model": self.model,
            "gamma0": self.gamma0,
            "engine": self._fitter.engine(self._layout),
            "shape": list(self._layout.shape),
            "windows": [dict(window) for window in doc["windows"]],
            "grid": dict(doc["grid"]),
            **({"follow_k_f": True} if self._layout.follow_k_f else {}),
            **({} if self._layout.fit_depth is None else {"fit_depth": doc["fit_depth"]}),
        }
        self._derived = DerivedRun(self._emit, metadata, len(self._layout.windows), self.model)

    def descriptor(self, doc: Mapping[str, Any]) -> None:
        """Remember which stream a descriptor is about."""
        self._streams[doc["uid"]] = doc.get("name", "primary")

    def event(self, doc: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fit an event of stream ``primary`` or ``control``; take a calibration from stream ``calibration``."""
        if self._layout is None or self._derived is None or self.gap_map is None:
            return doc
        stream = self._streams.get(doc["descriptor"])
        if stream == "calibration":
            self._calibrations.add(float(doc["time"]), doc["data"])
            self.problem = self._calibrations.problem
        elif stream == "primary":
            record = self._fitter.fit(self._layout, self._calibrations.of(doc), doc["data"])
            record["raw_seq_num"] = int(doc["seq_num"])
            self.gap_map.update(self._run, doc["seq_num"], float(doc["time"]), record)
            self._derived.event(record, float(doc["time"]))
        elif stream == "control":
            look = self._fitter.fit_look(self._layout, self._calibrations.of(doc), doc["data"])
            self._derived.look({**look, "raw_seq_num": int(doc["seq_num"])}, float(doc["time"]))
        return doc

    def stop(self, doc: Mapping[str, Any]) -> None:
        """End the derived run as the raw one ended."""
        if self._derived is not None:
            self._derived.stop(str(doc.get("exit_status", "fail")), str(doc.get("reason", "")))
        self._derived = None


def _nowhere(name: str, doc: dict[str, Any]) -> None:
    """Take a document and keep nothing of it."""
