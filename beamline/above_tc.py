"""``microarpes compare COLD WARM --tc K``: in which pixels the gap of the map below T_c is closed in the one above.

This alone lets a map speak of a superconducting gap, and only of the pixels in which it closes; who asks has to say
what T_c is, and both maps have to be on their sides of it by every temperature that their documents hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from microarpes.analysis.gap_closing import CLOSES, LEFT, STAYS, UNDECIDED, GapClosing, gap_closing
from microarpes.beamline.compare import partners
from microarpes.beamline.journal import RAW_JOURNAL
from microarpes.beamline.open_run import OpenRun, open_run
from microarpes.beamline.pixel_events import calibration_records

Floats = NDArray[np.float64]

#: A map is below or above T_c when it is so by so many errors of its temperature.
CLEAR = 3.0
#: Where the windows follow k_F: of pixels in which it was found.
K_F_FOUND = ("ok", "far")
#: Chance that a limit is too low.
LIMIT_CHANCE = 0.05
VERDICTS = (CLOSES, STAYS, UNDECIDED)


class NotAcrossTc(Exception):
    """Two maps are not below and above a transition temperature; the message says what was found."""


@dataclass(frozen=True)
class AcrossTc:
    """Two maps of one place, below and above T_c, on the pixels of the first.

    Attributes
    ----------
    cold, warm : OpenRun
    tc : float, K
    temperatures : (float, float), K
        Of the two maps, by the sensor.
    x, y : ndarray, um
        Nominal places of the pixels.
    gaps : (ndarray, ndarray), meV
        Of shape (ny, nx); NaN where the status is not ``ok``.
    errors, systematics : (ndarray, ndarray), meV
        Of counting, one sigma, and of the calibration.
    limits : ndarray, meV
        Upper limits of the warm gaps that are ``no-gap``, 95 %.
    status : (ndarray, ndarray) of str
        Verdicts of the fits; empty where there is no pixel.
    found : GapClosing
    """

    cold: OpenRun
    warm: OpenRun
    tc: float
    temperatures: tuple[float, float]
    x: Floats
    y: Floats
    gaps: tuple[Floats, Floats]
    errors: tuple[Floats, Floats]
    systematics: tuple[Floats, Floats]
    limits: Floats
    status: tuple[NDArray[np.str_], NDArray[np.str_]]
    found: GapClosing

    @property
    def quantity(self) -> str:
        """What the gap is called: superconducting only where it closes, and only of these pixels."""
        number = self.found.number(CLOSES)
        total = int((self.found.verdict != "").sum())
        return f"superconducting gap at {number} of {total} pixels" if number else "spectral gap"


def closing_of(
    directory: Path, cold: str, warm: str, tc: float, output: Path, *, fit: str = "live", second_fit: str = "live"
) -> str:
    """Compare a map below T_c with one above it; write a picture and a table, return what is to be told.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    cold, warm : str
        uid, the beginning of one, ``-1`` for the newest, or a folder.
    tc : float, K
    output : Path
        PNG file to write; the table of pixels gets its name with ``.csv``.
    fit, second_fit : str
        ``live``, or the uid of a refit, or the beginning of it.

    Raises
    ------
    NotAcrossTc
        The maps are not clearly below and above, or one has no fit.
    microarpes.beamline.compare.NotComparable
        They have no place in common.
    microarpes.beamline.stored_run.NoSuchRun
        A run is not there, or has no map.
    """
    across = across_tc(open_run(cold, directory, fit), open_run(warm, directory, second_fit), tc)
    from microarpes.beamline.above_tc_picture import write_picture

    output = output if output.suffix else output.with_suffix(".png")
    write_picture(output, across)
    table = output.with_suffix(".csv")
    table.write_text("\n".join(_table(across)) + "\n")
    return "\n".join([*told(across), f"picture     {output}", f"pixels      {table}"]) + "\n"


def across_tc(cold: OpenRun, warm: OpenRun, tc: float) -> AcrossTc:
    """Class the pixels of two maps of one place; see `closing_of`."""
    if not (math.isfinite(tc) and tc > 0):
        raise NotAcrossTc(f"T_c = {tc!r} K is no transition temperature; give one above 0 K")
    a, b = (run.to_xarray(edcs=False) for run in (cold, warm))
    for run, dataset in ((cold, a), (warm, b)):
        if "gap" not in dataset:
            raise NotAcrossTc(f"run {run.uid} has no fit; microarpes refit makes one")
    temperatures = _on_its_side(cold, a, tc, below=True), _on_its_side(warm, b, tc, below=False)
    partner = partners(cold, warm, a, b)

    def of_partner(name: str) -> Any:
        return b[name].values.ravel()[partner]

    status = _status(a), np.where(partner >= 0, _status(b).ravel()[partner], "")
    gaps = a["gap"].values, np.where(status[1] == "ok", of_partner("gap"), np.nan)
    errors, systematics = ((a[name].values, of_partner(name)) for name in ("gap_error", "gap_systematic"))
    both = [np.hypot(*each) for each in zip(errors, systematics, strict=True)]
    limits = np.where(status[1] == "no-gap", of_partner("gap_upper_limit"), np.nan)
    found = gap_closing(gaps[0], both[0], status[0], gaps[1], both[1], limits, status[1])
    places = a["x"].values, a["y"].values
    return AcrossTc(cold, warm, tc, temperatures, *places, gaps, errors, systematics, limits, status, found)


def _status(dataset: xr.Dataset) -> NDArray[np.str_]:
    """Return the verdicts; of a pixel whose windows did not find k_F, that: its gap is that of wherever they lay."""
    status = np.asarray(dataset["status"].values, dtype="<U16")
    if "k_f_status" in dataset:
        centre = np.asarray(dataset["k_f_status"].values, dtype="<U16")
        status = np.where(np.isin(status, ("ok", "no-gap")) & ~np.isin(centre, K_F_FOUND), "k_F not found", status)
    return status


def _on_its_side(run: OpenRun, dataset: xr.Dataset, tc: float, *, below: bool) -> float:
    """Return the temperature of a map by its sensor, K; refuse one that any of its temperatures has elsewhere."""
    known = _temperatures(run, dataset)
    where = "below" if below else "above"
    for name, (value, error) in known.items():
        margin = tc - value if below else value - tc
        if not margin > CLEAR * error:
            raise NotAcrossTc(
                f"run {run.uid} is to be {where} T_c = {tc:g} K; {name} is {value:.1f} ± {error:.1f} K, which is not "
                f"by {CLEAR:g} errors; give the map below T_c first, or see what is wrong with that temperature"
            )
    return known["the sensor" if "the sensor" in known else "the temperature of the fit"][0]


def _temperatures(run: OpenRun, dataset: xr.Dataset) -> dict[str, tuple[float, float]]:
    """Return the temperatures that a run has, with their errors, K; of the fit the last record's."""
    records = [record for folder in run.folders for record in calibration_records(folder / RAW_JOURNAL)]
    if not records:
        raise NotAcrossTc(f"run {run.uid} has no calibration record and so no temperature")
    last: Mapping[str, Any] = records[-1]
    error = float(last.get("temperature_error", 0.0))
    found = {"the temperature of the fit": (float(last["temperature"]), error)}
    if "sample_temperature" in dataset:
        sensor = dataset["sample_temperature"].values
        if np.isfinite(sensor).any():
            found["the sensor"] = float(np.nanmean(sensor)), float(last.get("sensor_temperature_error", error))
    edge = float(last.get("edge_temperature", math.nan))
    if math.isfinite(edge):
        found["the surface by the edge of the reference"] = edge, float(last["edge_temperature_error"])
    return found


def told(across: AcrossTc) -> list[str]:
    """Say what became of the gaps."""
    found, verdict = across.found, across.found.verdict
    cold, warm = across.temperatures
    total = int((verdict != "").sum())
    lines = [
        f"{across.quantity}: run {across.cold.uid[:8]} at {cold:.1f} K, run {across.warm.uid[:8]} at {warm:.1f} K, "
        f"T_c {across.tc:g} K",
        f"closes      {found.number(CLOSES)} of {total} pixels{_of_closed(across)}",
        f"stays       {found.number(STAYS)} (pseudogap){_of_those_that_stay(across)}",
        f"undecided   {found.number(UNDECIDED)}",
    ]
    if found.number(CLOSES):
        lines.append(
            "            of pixels whose gap above T_c is half of that below, or more, at most "
            f"{100 * LIMIT_CHANCE:g} % pass for closed, by counting; a gap that fills may too"
        )
    return lines


def _of_closed(across: AcrossTc) -> str:
    closed = across.found.verdict == CLOSES
    if not closed.any():
        return ""
    above = float(np.median(across.limits[closed]))
    return f": {_mean(across, 0, closed)} meV below, less than {above:.1f} above (95 %, median)"


def _of_those_that_stay(across: AcrossTc) -> str:
    stay = across.found.verdict == STAYS
    return f": {_mean(across, 0, stay)} meV below, {_mean(across, 1, stay)} above" if stay.any() else ""


def _mean(across: AcrossTc, which: int, chosen: NDArray[np.bool_]) -> str:
    """Write the mean of gaps, weighted by counting, its error, and the systematic one of a pixel, which stays."""
    gap, error, systematic = (each[which][chosen] for each in (across.gaps, across.errors, across.systematics))
    weight = error**-2.0
    mean = float((weight * gap).sum() / weight.sum())
    return f"{mean:.2f} ± {float(weight.sum() ** -0.5):.2f} (systematic {float(np.median(systematic)):.2f})"


def _table(across: AcrossTc) -> list[str]:
    """Return a line of numbers for each pixel of both maps."""
    gap = "gap {0} (meV),error {0} (meV),systematic {0} (meV)"
    head = (
        f"x (um),y (um),verdict,{gap.format('below')},status below,{gap.format('above')},upper limit above (meV),"
        "status above,gap left,error of it,gap left at most"
    )
    lines = [f"# {across.quantity}, T_c = {across.tc:g} K; a gap is closed where at most {LEFT:g} of it is left", head]
    found = across.found
    for row, column in np.argwhere(found.verdict != ""):
        at = row, column
        gaps = [[each[i][at] for each in (across.gaps, across.errors, across.systematics)] for i in (0, 1)]
        left = found.left[at], found.left_error[at], found.left_limit[at]
        numbers = [*gaps[0], across.status[0][at], *gaps[1], across.limits[at], across.status[1][at], *left]
        cells = [value if isinstance(value, str) else f"{value:.4g}" if np.isfinite(value) else "" for value in numbers]
        lines.append(",".join([f"{across.x[column]:g}", f"{across.y[row]:g}", str(found.verdict[at]), *cells]))
    return lines
