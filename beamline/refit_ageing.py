"""``microarpes refit --correct-ageing``: a derived run whose gaps are brought back to the time the map began at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from microarpes.analysis.ageing import ageing_of
from microarpes.analysis.ageing_correction import AgeingCorrection, NothingToCorrectError, ageing_correction
from microarpes.analysis.gap_documents import DerivedRun, Emit
from microarpes.beamline.control_fits import read_looks
from microarpes.beamline.journal import GAP_JOURNAL
from microarpes.beamline.refit_calibration import RefitRefused
from microarpes.beamline.run_chain import chain_folders, read_start

Document = dict[str, Any]


class AgedRun:
    """A `DerivedRun` that keeps what it is given until its end, when the slope of the looks is known.

    Parameters
    ----------
    emit, metadata, n_window, model
        As of `DerivedRun`.
    before : list of dict
        Looks of the runs that this one resumes.
    began : float, s
        When the first of these runs began: the time the gaps are brought to.

    Attributes
    ----------
    correction : AgeingCorrection or None
        None until the end.
    """

    def __init__(
        self, emit: Emit, metadata: Mapping[str, Any], n_window: int, model: str, before: list[Document], began: float
    ) -> None:
        self._emit, self._metadata, self._n_window, self._model = emit, metadata, n_window, model
        self._before, self._began = before, began
        self._events: list[tuple[Document, float]] = []
        self._looks: list[tuple[Document, float]] = []
        self._written: DerivedRun | None = None
        self.correction: AgeingCorrection | None = None

    @property
    def uid(self) -> str:
        """Uid of the derived run; empty until its end."""
        return "" if self._written is None else self._written.uid

    def event(self, data: Mapping[str, Any], raw_time: float) -> None:
        """Keep one event."""
        self._events.append((dict(data), raw_time))

    def look(self, data: Mapping[str, Any], raw_time: float) -> None:
        """Keep the fit of a look."""
        self._looks.append((dict(data), raw_time))

    def stop(self, exit_status: str, reason: str) -> None:
        """Write all of it, the events corrected and the looks as they were fitted.

        Raises
        ------
        RefitRefused
            The looks show nothing to correct; nothing was written.
        """
        looks = [*self._before, *({**look, "time": when} for look, when in self._looks)]
        try:
            self.correction = correction = ageing_correction(ageing_of(looks), self._began)
        except NothingToCorrectError as error:
            raise RefitRefused(f"--correct-ageing: {error}; refit without it") from None
        metadata = {**self._metadata, "ageing_correction": asdict(correction)}
        self._written = derived = DerivedRun(self._emit, metadata, self._n_window, self._model)
        for data, when in self._events:
            derived.event(correction.corrected(data, when), when)
        for look, when in self._looks:
            derived.look({**look, "ageing_shift": 0.0}, when)
        derived.stop(exit_status, reason)


def aged_run(folder: Path, start: Mapping[str, Any], *, other_windows: bool) -> Callable[..., AgedRun]:
    """Return what makes the corrected derived run of a raw run.

    Raises
    ------
    RefitRefused
        The run has no control pixels, or they cannot be fitted so.
    microarpes.beamline.stored_run.NoSuchRun
        A run that it resumes is not there.
    """
    if not start.get("control_pixels"):
        raise RefitRefused(
            f"--correct-ageing needs control pixels, and run {start.get('uid')} has none: nobody knows how it aged"
        )
    if other_windows:
        raise RefitRefused("--correct-ageing with --window: the frames of the looks are not kept; leave one out")
    folders = chain_folders(folder)
    before = [look for earlier in folders[:-1] for look in read_looks(earlier / GAP_JOURNAL)]
    began = float(read_start(folders[0])["time"])
    return lambda emit, metadata, n_window, model: AgedRun(emit, metadata, n_window, model, before, began)


def correction_lines(derived: Mapping[str, Any]) -> list[str]:
    """Return what a derived run says of its correction, for a terminal; nothing where there is none."""
    told = derived.get("ageing_correction")
    if not told:
        return []
    beside = " beside its change with dose" if told["beside_dose"] else ""
    lines = [
        f"ageing      gaps brought back to the start of the map by {told['slope']:.2f} +- {told['error']:.2f} meV/h"
        f"{beside}, from {told['looks']} looks at {told['places']} places; the error is in delta_systematic"
    ]
    if not told["told_apart"]:
        lines.append(
            "            time and dose are not told apart by these looks: right if the sample ages with time, "
            "which a dose test tells"
        )
    return lines
