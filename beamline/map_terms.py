"""What the quantities of a map are called, in words and units, wherever a run leaves as a file for others."""

from __future__ import annotations

import time

#: Readings of an event: unit and name. The descriptors of a run have the last word on the unit.
READINGS: dict[str, tuple[str, str]] = {
    "manipulator_x": ("um", "measured x"),
    "manipulator_y": ("um", "measured y"),
    "manipulator_z": ("um", "measured z"),
    "manipulator_polar": ("deg", "measured polar angle"),
    "manipulator_tilt": ("deg", "measured tilt angle"),
    "manipulator_azimuth": ("deg", "measured azimuth"),
    "manipulator_x_setpoint": ("um", "x that was asked for"),
    "manipulator_y_setpoint": ("um", "y that was asked for"),
    "manipulator_z_setpoint": ("um", "z that was asked for"),
    "manipulator_polar_setpoint": ("deg", "polar angle that was asked for"),
    "manipulator_tilt_setpoint": ("deg", "tilt angle that was asked for"),
    "manipulator_azimuth_setpoint": ("deg", "azimuth that was asked for"),
    "blur_x": ("um", "full width of the way along x during the exposure"),
    "blur_y": ("um", "full width of the way along y during the exposure"),
    "shift_x": ("um", "shift with which the target followed the sample along x"),
    "shift_y": ("um", "shift with which the target followed the sample along y"),
    "total_counts": ("counts", "counts in the frame"),
    "angular_contrast": ("1", "spread of the angle profile near E_F over its mean"),
    "frame_id": ("1", "number of the frame"),
    "attempt": ("1", "exposures until one was accepted"),
    "acquire_time": ("s", "time of the exposure"),
    "live_time": ("s", "time with beam on the sample for one energy"),
    "i0": ("nA s", "I0 integrated over the exposure"),
    "ring_current": ("mA", "ring current"),
    "sample_temperature": ("K", "sample temperature"),
    "pressure": ("mbar", "pressure"),
    "gate": ("", "verdict of the acceptance gate"),
    "beam_check": ("", "how the beam was judged"),
}

#: Quantities of the fit: what `GapMap` calls it, what it is called here, unit, name in words.
FITTED: tuple[tuple[str, str, str, str], ...] = (
    ("delta", "gap", "meV", "spectral gap at k_F"),
    ("delta_stderr", "gap_error", "meV", "statistical error of the gap, one sigma"),
    ("delta_systematic", "gap_systematic", "meV", "systematic error of the gap"),
    ("upper_limit", "gap_upper_limit", "meV", "upper limit of a gap that was not resolved, 95 %"),
    ("gamma1", "gamma1", "meV", "scattering rate"),
    ("gamma1_stderr", "gamma1_error", "meV", "statistical error of the scattering rate, one sigma"),
    ("gamma0", "gamma0", "meV", "pair-breaking rate"),
    ("deviance", "deviance", "1", "deviance of the fit"),
    ("dof", "dof", "1", "degrees of freedom of the fit"),
)

#: The same of a fit whose windows follow k_F, under the same names.
FOLLOWED: dict[str, tuple[str, str]] = {
    "k_f_centre": ("deg", "middle between +k_F and -k_F in the frame"),
    "k_f_centre_error": ("deg", "statistical error of the k_F centre, one sigma"),
    "window_shift": ("deg", "by which the windows of the fit lay higher than those of the EDC"),
    "k_f_status": ("", "whether the k_F centre was found"),
}

#: The same of a refit that corrects for ageing.
AGED: dict[str, tuple[str, str]] = {"ageing_shift": ("meV", "what was added to the gaps for the ageing of the sample")}

#: The same of several runs that were fitted together.
COMBINED: dict[str, tuple[str, str]] = {"runs_combined": ("1", "runs whose counts were fitted together")}

#: Kept as whole numbers, -1 where there is none.
WHOLE = ("frame_id", "attempt", "seq_num", "run", "frame_row")


def reading_terms(key: str, units: str = "") -> tuple[str, str]:
    """Return unit and name of a reading.

    Examples
    --------
    >>> reading_terms("ring_current")
    ('mA', 'ring current')
    >>> reading_terms("time_move", "s")
    ('s', 'time move')
    """
    known, words = READINGS.get(key, ("", key.replace("_", " ")))
    return units or known, words


def iso_time(moment: float) -> str:
    """Return a Unix time, s, as ISO 8601 with the offset of this place.

    Examples
    --------
    >>> len(iso_time(1.8e9))
    24
    """
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(moment))
