"""``microarpes compare RUN_A RUN_B``: two maps of one place, or two fits of one run, as differences in sigmas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from microarpes.analysis.map_difference import GapDifference, gap_difference
from microarpes.beamline.open_run import OpenRun, open_run
from microarpes.beamline.same_place import partner_pixels

#: Differences beyond so many sigmas are told one by one, the largest first, at most so many.
FAR, TOLD = 4.0, 5


class NotComparable(Exception):
    """Two maps have nothing in common that can be compared; the message says what was found."""


@dataclass(frozen=True)
class Compared:
    """Two maps and their difference on the pixels of the first.

    Attributes
    ----------
    first, second : OpenRun
    x, y : ndarray, um
        Nominal places of the first.
    found : GapDifference
        Of shape (ny, nx).
    systematic : float, meV
        Median of the two systematic errors, added in quadrature.
    """

    first: OpenRun
    second: OpenRun
    x: Any
    y: Any
    found: GapDifference
    systematic: float

    @property
    def same_counts(self) -> bool:
        """Whether they are two fits of one measurement."""
        return self.first.folders == self.second.folders


def compare_runs(
    directory: Path, first: str, second: str, output: Path, *, fit: str = "live", second_fit: str = "live"
) -> str:
    """Compare two maps; write a picture and return what is to be told.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    first, second : str
        uid, the beginning of one, ``-1`` for the newest, or a folder. The same twice compares two fits of it.
    output : Path
        PNG file to write.
    fit, second_fit : str
        ``live``, or the uid of a refit, or the beginning of it.

    Raises
    ------
    NotComparable
        They have no place in common, or it is one fit of one run.
    microarpes.beamline.stored_run.NoSuchRun
        A run is not there, or has no map.
    """
    compared = compared_maps(open_run(first, directory, fit), open_run(second, directory, second_fit))
    from microarpes.beamline.compare_picture import write_picture

    output = output if output.suffix else output.with_suffix(".png")
    write_picture(output, compared)
    return "\n".join([*told(compared), f"picture     {output}"]) + "\n"


def compared_maps(first: OpenRun, second: OpenRun) -> Compared:
    """Compare two maps where their pixels are of one place.

    Raises
    ------
    NotComparable
        See `compare_runs`.
    """
    if first.fits == second.fits:
        raise NotComparable(f"run {first.uid} is compared with itself; name another run, or another fit with --fit-b")
    a, b = (run.to_xarray(edcs=False) for run in (first, second))
    partner = partners(first, second, a, b)
    gap, error, systematic, status = (
        b[name].values.ravel()[partner] for name in ("gap", "gap_error", "gap_systematic", "status")
    )
    both = (partner >= 0) & (a["status"].values == "ok") & (status == "ok")
    found = gap_difference(
        np.where(both, a["gap"].values, np.nan), a["gap_error"].values, gap, error,
        same_counts=first.folders == second.folders,
    )  # fmt: skip
    if not found.number:
        raise NotComparable(
            f"runs {first.uid} and {second.uid} have {int((partner >= 0).sum())} places in common and a gap at both "
            "in none of them"
        )
    return Compared(
        first, second, a["x"].values, a["y"].values, found,
        float(np.nanmedian(np.hypot(a["gap_systematic"].values, systematic)[both])),
    )  # fmt: skip


def partners(first: OpenRun, second: OpenRun, a: xr.Dataset, b: xr.Dataset) -> Any:
    """Return the pixel of `b` at the place of each pixel of `a`, -1 where there is none; shape (ny, nx)."""
    found = partner_pixels((a["x"].values, a["y"].values), (b["x"].values, b["y"].values))
    if found.nearest > found.limit:
        raise NotComparable(
            f"runs {first.uid} and {second.uid} have no place in common: the nearest pixels are {found.nearest:.3g} "
            f"um apart, at most {found.limit:.3g} um is one place"
        )
    return found.pixel


def told(compared: Compared) -> list[str]:
    """Say what a comparison found."""
    found, same = compared.found, compared.same_counts
    runs = compared.first, compared.second
    names = [f"{run.uid[:8]} ({run.fits[-1].stem})" if same else run.uid[:8] for run in runs]
    lines = [f"gaps of {names[1]} less those of {names[0]}, at {found.number} pixels where both have one"]
    if same:
        lines += [
            f"mean        {found.mean:+.2f} meV; the same counts: a sigma is the larger of two errors, no chi2 is told",
            f"spread      {np.nanstd(found.difference):.2f} meV, {np.nanstd(found.sigmas):.2f} sigma",
        ]
    else:
        lines += [
            f"mean        {found.mean:+.2f} ± {found.mean_error:.2f} meV by counting, ± {compared.systematic:.2f} meV "
            "systematic of a pixel",
            f"no change   chi2 {found.chi2_equal:.1f} for {found.number}, p = {found.p_equal:.2g}",
            f"one shift   chi2 {found.chi2_shifted:.1f} for {found.number - 1}, p = {found.p_shifted:.2g}",
        ]
    return lines + _farthest(compared)


def _farthest(compared: Compared) -> list[str]:
    sigmas = np.nan_to_num(compared.found.sigmas)
    order = np.argsort(-np.abs(sigmas), axis=None, kind="stable")
    far = [divmod(int(place), sigmas.shape[1]) for place in order[: int((np.abs(sigmas) > FAR).sum())]]
    lines = [
        f"far         x {compared.x[column]:g}, y {compared.y[row]:g} um: "
        f"{compared.found.difference[row, column]:+.2f} meV, {sigmas[row, column]:+.1f} sigma"
        for row, column in far[:TOLD]
    ]
    return lines + ([f"            and {len(far) - TOLD} more beyond {FAR:g} sigma"] if len(far) > TOLD else [])
