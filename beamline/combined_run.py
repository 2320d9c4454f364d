"""The derived run of several runs: written when all pixels are fitted, if the gaps of the runs agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from microarpes.analysis.gap_documents import DerivedRun, Emit
from microarpes.analysis.repeat_consistency import UNLIKELY, RepeatConsistency, repeat_consistency

Document = dict[str, Any]


class CombineRefused(ValueError):
    """Runs cannot be combined; the message says why, and what to do."""


class CombinedRun:
    """A `DerivedRun` that keeps what it is given until its end, when it is known whether the runs agree.

    Parameters
    ----------
    emit, metadata, n_window, model
        As of `DerivedRun`; `metadata` has ``original_run_uids`` and ``combined``.
    shift_errors : sequence of float, meV
        Error of E_F of each run.
    force : bool
        Write it even where they do not agree.
    """

    def __init__(
        self,
        emit: Emit,
        metadata: Mapping[str, Any],
        n_window: int,
        model: str,
        shift_errors: Sequence[float],
        *,
        force: bool,
    ) -> None:
        self._emit, self._metadata, self._n_window, self._model = emit, metadata, n_window, model
        self._shift_errors, self._force = shift_errors, force
        self._events: list[tuple[Document, float]] = []
        self._alone: list[Sequence[tuple[int, float, float]]] = []
        self._written: DerivedRun | None = None

    @property
    def uid(self) -> str:
        """Uid of the derived run; empty until its end."""
        return "" if self._written is None else self._written.uid

    def event(self, data: Mapping[str, Any], raw_time: float) -> None:
        """Keep one event; its ``alone`` is what each run by itself has."""
        self._alone.append(data["alone"])
        self._events.append(({key: value for key, value in data.items() if key != "alone"}, raw_time))

    def look(self, data: Mapping[str, Any], raw_time: float) -> None:
        """Leave out a look at a control pixel: it is on no map."""

    def stop(self, exit_status: str, reason: str) -> None:
        """Write all of it.

        Raises
        ------
        CombineRefused
            The gaps differ beyond statistics, or too little for it; nothing was written.
        """
        uids = self._metadata["original_run_uids"]
        found = self._consistency(len(uids))
        combined = {**self._metadata["combined"], "consistency": consistency_document(found)}
        if not found.agree:
            if not self._force:
                raise CombineRefused(disagreement(uids, found))
            combined["forced"] = [*combined["forced"], *verdict(uids, found)]
        metadata = {**self._metadata, "combined": combined}
        self._written = derived = DerivedRun(self._emit, metadata, self._n_window, self._model)
        for data, when in self._events:
            derived.event(data, when)
        derived.stop(exit_status, reason)

    def _consistency(self, n_run: int) -> RepeatConsistency:
        gaps, errors = np.full((2, n_run, len(self._alone)), np.nan)
        for pixel, alone in enumerate(self._alone):
            for run, gap, error in alone:
                gaps[run, pixel], errors[run, pixel] = gap, error
        return repeat_consistency(gaps, errors, self._shift_errors)


def consistency_document(found: RepeatConsistency) -> Document:
    """Return how well the runs agree, for a start document: None for what is not known."""

    def plain(value: float) -> float | None:
        return None if np.isnan(value) else float(value)

    return {
        "pixels": found.number,
        "offset": [plain(value) for value in found.offset],
        "offset_error": [plain(value) for value in found.offset_error],
        **{f"{name}_{of}": plain(getattr(found, f"{name}_{of}")) for of in ("pixels", "offsets")
           for name in ("chi2", "dof", "p")},
        "p_alike": plain(found.p_alike),
    }  # fmt: skip


def verdict(uids: Sequence[str], found: RepeatConsistency) -> list[str]:
    """Say in what the gaps of the runs are not those of repeats."""
    told = []
    if found.p_pixels < UNLIKELY:
        told.append(
            f"about one gap a pixel chi2 is {found.chi2_pixels:.1f} for {found.dof_pixels}, p = {found.p_pixels:.2g}"
        )
    if found.p_offsets < UNLIKELY:
        offsets = ", ".join(
            f"{uid[:8]} by {offset:+.2f} ± {error:.2f} meV"
            for uid, offset, error in zip(uids, found.offset, found.offset_error, strict=True)
            if uid != uids[0] and np.isfinite(offset)
        )
        told.append(f"against run {uids[0][:8]} the whole map is shifted, {offsets}, p = {found.p_offsets:.2g}")
    if found.same_counts:
        told.append(
            f"the gaps agree better than measurements of their own can, chi2 {found.chi2_pixels:.1f} for "
            f"{found.dof_pixels}, p = {found.p_alike:.2g}: the runs seem to be of the same counts"
        )
    return told


def disagreement(uids: Sequence[str], found: RepeatConsistency) -> str:
    """Say that runs were not combined, why, and what to do."""
    remedies = (
        (
            "pixels that differ are of another place, or changed: microarpes compare shows which",
            found.p_pixels < UNLIKELY,
        ),
        (
            "a whole map is shifted by E_F, temperature or ageing: look at references, or --calibration interpolated",
            found.p_offsets < UNLIKELY,
        ),
        ("name a recording that was replayed, or a simulation of one seed, once", found.same_counts),
    )
    return (
        f"the gaps of the runs, at {found.number} pixels, are not those of repeats: {'; '.join(verdict(uids, found))}. "
        f"{'; '.join(text for text, holds in remedies if holds)}. Combined all the same with --force, which the "
        "derived run says"
    )


def combined_lines(derived: Mapping[str, Any]) -> list[str]:
    """Return what a derived run says of the runs it is of, for a terminal; nothing where it is of one."""
    if "combined" not in derived:
        return []
    uids, told = derived["original_run_uids"], derived["combined"]
    agreed = told["consistency"]
    lines = [f"combined    {len(uids)} runs, {told['shared']} of {told['pixels']} pixels in two or more"]
    for uid, aligned, offset, error in zip(
        uids[1:], told["alignment"], agreed["offset"][1:], agreed["offset_error"][1:], strict=True
    ):
        moved = ", moved by {} x {} pixels".format(*aligned["whole_pixels"]) if any(aligned["whole_pixels"]) else ""
        gaps = "no gap in common" if offset is None else f"gaps {offset:+.2f} ± {error:.2f} meV against the first"
        lines.append(f"            {uid[:8]}: {aligned['pixels']} places in common{moved}, {gaps}")
    if agreed["p_pixels"] is not None:
        pixels = "chi2 {chi2_pixels:.1f} for {dof_pixels}, p = {p_pixels:.2g}".format_map(agreed)
        maps = "" if agreed["p_offsets"] is None else f"; of whole maps p = {agreed['p_offsets']:.2g}"
        lines.append(f"agreement   {pixels}{maps}")
    return lines + [f"forced      {text}" for text in told["forced"]]
