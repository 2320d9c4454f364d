"""From "sample in" to "start map" with a configuration: focus, antinode, Fermi surface, and windows for the map."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.knife_edge import best_focus, knife_edge
from microarpes.analysis.mirror_centre import mirror_centre
from microarpes.beamline.detector import make_detector
from microarpes.beamline.instrument import make_sample_frame
from microarpes.beamline.raster_run import surroundings
from microarpes.beamline.run_metadata import calibration_record
from microarpes.beamline.window_file import save_windows, windows_toml
from microarpes.devices.region import AngleWindow
from microarpes.plans.antinode import Alignment, Mirror, align_antinode
from microarpes.plans.fermi_surface import fs_map
from microarpes.plans.focus import BestFocus, FocusLines, SpotSize, focus_scan

if TYPE_CHECKING:
    from microarpes.beamline.config import Config
    from microarpes.beamline.control import ControlServer
    from microarpes.beamline.engine import RunJournals
    from microarpes.devices.end_station import EndStation
    from microarpes.plans.take_point import MsgGenerator

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

#: Why a line gives no spot size.
NO_EDGE = {
    "no-edge": "the counts are level along the line: no edge",
    "outside": "the edge is not within the line; move the line or make it longer",
    "misfit": "the counts are not those of one straight edge",
    "unresolved": "the spot is narrower than the step of the line tells; take smaller steps",
    "bad-input": "there is something that is no count",
}
#: Why sizes give no focus.
NO_FOCUS = {
    "too-few": "fewer than 4 spot sizes are known",
    "no-minimum": "the size does not grow on both sides; take places further apart",
    "outside": "the focus is not between the places that were tried; move them",
}
#: Why a frame gives no mirror centre.
NO_MIRROR = {
    "flat": "the frame is the same at all angles: holder, dead patch, or too few counts",
    "lost": "the frame is its own mirror image about no angle near 0: no antinodal cut, or a turned azimuth",
    "bad-input": "the frame holds something that is no count",
}


def fit_edge(focus: float, places: Array, counts: Array, beam: Array) -> SpotSize:
    """Return the spot at one place of the focus axis; see `microarpes.plans.focus.FitEdge`."""
    if not beam.min() > 0:
        return SpotSize(focus, np.nan, np.nan, np.nan, np.nan, "there was no beam")
    found = knife_edge(places, counts, beam / beam.mean())
    known = found.position, found.position_error, found.width, found.width_error
    return SpotSize(focus, *known, NO_EDGE.get(found.status, ""))


def fit_focus(spots: Sequence[SpotSize]) -> BestFocus:
    """Return the best focus of those spots whose size is known; see `microarpes.plans.focus.FitFocus`."""
    good = [spot for spot in spots if not spot.problem]
    found = best_focus(*([getattr(spot, name) for spot in good] for name in ("focus", "width", "width_error")))
    known = found.position, found.position_error, found.width, found.width_error
    return BestFocus(*known, NO_FOCUS.get(found.status, ""))


def mirror_finder(config: Config) -> Callable[..., Mirror]:
    """Return what finds mirror centres in the counts of a detector; see `microarpes.plans.antinode.FindMirror`."""
    flat = None if config.region.swept else make_detector(config.analyser.detector).flat_field
    gain, factors = config.calibration.gain, None if flat is None else flat.factors

    def find(frame: NDArray[Any], energy: Array, angle: Array, fermi_energy: float, row_shift: Any) -> Mirror:
        try:
            found = mirror_centre(
                frame, energy, angle, fermi_energy,
                gain=gain, row_shift=row_shift, uneven=True, flat_field=factors,
            )  # fmt: skip
        except ValueError as error:
            return Mirror(np.nan, np.nan, str(error))
        return Mirror(found.centre, found.error, NO_MIRROR.get(found.status, ""))

    return find


def windows_about(windows: Sequence[AngleWindow], centre: float) -> tuple[AngleWindow, ...]:
    """Return windows as far apart and as wide as they are, with their common middle at a mirror centre, deg."""
    middle = float(np.mean([(window.angle_low + window.angle_high) / 2 for window in windows]))
    return tuple(
        AngleWindow(
            name=window.name,
            angle_low=round(window.angle_low + centre - middle, 4),
            angle_high=round(window.angle_high + centre - middle, 4),
        )
        for window in windows
    )


def configured_focus(
    config: Config,
    station: EndStation,
    lines: FocusLines,
    journals: RunJournals,
    md: Mapping[str, Any] | None = None,
    server: ControlServer | None = None,
    *,
    go: bool = False,
) -> MsgGenerator:
    """Return the plan of a focus scan with region and gate of a configuration; see `focus_scan`."""
    return focus_scan(
        station,
        lines,
        config.region,
        config.windows,
        calibration_record(config),
        fit_edge=fit_edge,
        fit_focus=fit_focus,
        go=go,
        limits=config.gate,
        **surroundings(config, station, journals, md or {}, server),
    )


def configured_alignment(
    config: Config,
    station: EndStation,
    journals: RunJournals,
    md: Mapping[str, Any] | None = None,
    server: ControlServer | None = None,
    *,
    polar: float | None = None,
    go: bool = False,
    save: str = "",
) -> MsgGenerator:
    """Return the plan that finds the mirror centre, tilts if asked to, and saves windows about it.

    Parameters
    ----------
    config, station, journals, md, server
        As of `microarpes.beamline.raster_run.configured_raster`.
    polar : float, optional
        Of the antinodal cut, deg; by default that of now.
    go : bool
        Tilt until the cut is symmetric about slit angle 0.
    save : str
        Name of a file of windows, ``windows-NAME.toml`` in the directory of the runs; none is written where it is
        empty or no centre was found.

    Raises
    ------
    ValueError
        The slit is not along the polar axis, or the alignment cannot be done.
    microarpes.beamline.window_file.SaveRefused
        The windows could not be saved; the run is complete.
    """
    if config.analyser.slit_axis != "y":
        raise ValueError("analyser.slit_axis = 'x': tilt does not move the cut along this slit; align it with polar")
    around = surroundings(config, station, journals, md or {}, server)
    around.pop("row_stop", None)
    plan = align_antinode(
        station,
        keeping_spot(config, station),
        config.region,
        config.windows,
        calibration_record(config),
        find=mirror_finder(config),
        polar=polar,
        sense=config.manipulator.rotation_senses[1],
        go=go,
        limits=config.gate,
        **around,
    )
    return _saving(plan, config, journals, save)


def _saving(plan: MsgGenerator, config: Config, journals: RunJournals, save: str) -> MsgGenerator:
    found: Alignment
    uid, found = yield from plan
    if save and not found.problem:
        comments = [
            f"k_F windows about the mirror centre of run {uid}",
            f"slit angle {found.centre:.4f} +- {found.centre_error:.4f} deg at tilt {found.tilt:.4f} deg",
        ]
        text = windows_toml(windows_about(config.windows, found.centre), comments)
        logger.info("windows are in %s", save_windows(journals.directory, save, text))
    return uid, found


def configured_fs_map(
    config: Config,
    station: EndStation,
    polars: Sequence[float],
    journals: RunJournals,
    md: Mapping[str, Any] | None = None,
    server: ControlServer | None = None,
) -> MsgGenerator:
    """Return the plan of a map of the Fermi surface on the spot of now; see `fs_map`."""
    return fs_map(
        station,
        polars,
        keeping_spot(config, station),
        config.region,
        config.windows,
        calibration_record(config),
        limits=config.gate,
        **surroundings(config, station, journals, md or {}, server),
    )


def keeping_spot(config: Config, station: EndStation) -> Callable[[Mapping[str, float]], Mapping[str, float]]:
    """Return what says where all axes go so that the spot in the beam stays in it; see `plans.antinode.Turn`."""
    frame = make_sample_frame(config, station)

    def turn(angles: Mapping[str, float]) -> Mapping[str, float]:
        targets = frame.targets(angles or {"polar": round(station.manipulator.angles()[0], 3)})
        return {name: round(place, 4) for name, place in targets.items()}

    return turn
