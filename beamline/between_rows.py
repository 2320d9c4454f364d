"""What a configuration has measured between the rows of a raster: reference, landmark, control pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from microarpes.beamline.reference_fit import fit_edges, tell_surface
from microarpes.plans.antinode import FindMirror
from microarpes.plans.control_looks import ControlLooks, LooksBefore
from microarpes.plans.landmark_imaging import LandmarkImaging, LookBefore, Shift
from microarpes.plans.reference_measurement import ReferenceMeasurement
from microarpes.plans.targets import ANGLES, DriftingTargets, Target, TurnedTargets, planned_position

if TYPE_CHECKING:
    from microarpes.beamline.config import Config
    from microarpes.devices.end_station import EndStation
    from microarpes.devices.region import AngleWindow
    from microarpes.plans.rows import Interleaved
    from microarpes.plans.shapes import Shape

Array = NDArray[np.float64]

#: Why an image gives no shift.
TOLD = {
    "flat": "nothing in its image tells where it is along both directions; choose a corner or a patch, or count longer",
    "lost": "the image is not that of the first look, moved; it may have gone too far, or something else is seen",
    "bad-input": "its image holds something that is no count",
}


def between_rows(
    config: Config,
    station: EndStation,
    shape: Shape,
    windows: Sequence[AngleWindow],
    target: Target = planned_position,
    seen_before: LookBefore | None = None,
    looked_at: LooksBefore | None = None,
    *,
    turned: TurnedTargets | None = None,
) -> dict[str, Any]:
    """Return what `gap_raster` is told of reference, landmark and control pixels, and where it is to take its pixels.

    With `turned` the pixels, and the places of the landmark, are the spots of the sample that it says; the reference is
    where it is configured.

    Raises
    ------
    ValueError
        One of them cannot be measured with this raster; the message lists every reason.
    """
    problems: list[str] = []
    interleaved: list[Interleaved] = []
    told: dict[str, Any] = {}
    shift = unmoved
    if turned is not None:
        target = turned
    if config.reference is not None:
        problems += config.reference.refusals(station, shape.lattice(), max(config.source.spot_size))
        if turned is not None and (missing := set(ANGLES) - set(config.reference.position)):
            problems.append(
                f"reference {config.reference.name} is elsewhere when the sample is turned; say at which "
                f"{', '.join(name for name in ANGLES if name in missing)} it is measured"
            )
        measurement = ReferenceMeasurement(config.reference, windows, fit_edges, tell_surface=tell_surface)
        target = measurement.returning(target)
        interleaved.append(measurement)
    if config.landmark is not None:
        problems += config.landmark.refusals(station)
        imaging = LandmarkImaging(config.landmark, target, find_shift, seen_before)
        shift = imaging.shift
        interleaved.append(imaging)
    still = target
    if shift is not unmoved or turned is not None:
        targets = DriftingTargets(target, shift)
        target, told["shift_of"] = targets, targets.shift_of
    if (control := config.control_pixels) is not None:
        problems += control.refusals(shape)
    if problems:
        raise ValueError("; ".join(problems))
    if control is not None:
        points, spot = control.chosen(shape), config.source.spot_size
        find = centre_finder(config)
        interleaved.append(ControlLooks(control, points, target, spot, shift, looked_at, find, still))
    return {"interleaved": interleaved, "target": target, **told}


def unmoved() -> tuple[float, float]:
    """Return the shift, um, of a sample that nobody looks after."""
    return 0.0, 0.0


def centre_finder(config: Config) -> FindMirror:
    """Return what finds the middle between +k_F and -k_F; see `microarpes.plans.antinode.FindMirror`."""
    from microarpes.beamline.before_map import mirror_finder  # scipy, for the runs alone that have control pixels

    return mirror_finder(config)


def find_shift(before: Array, before_error: Array, after: Array, after_error: Array, step: float) -> Shift:
    """Return by how much an image has moved; see `microarpes.plans.landmark_imaging.FindShift`."""
    from microarpes.analysis.registration import register  # scipy, for the runs alone that have a landmark

    found = register(before, after, step, before_error=before_error, after_error=after_error)
    return Shift(found.x, found.y, found.x_error, found.y_error, TOLD.get(found.status, ""))
