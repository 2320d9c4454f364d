"""What a fit is asked to be: line shape, policy for gamma0, calibration and depth, checked before anything is read."""

from __future__ import annotations

import contextlib

from microarpes.analysis import GapFitter
from microarpes.beamline.refit_calibration import INTERPOLATED, LIVE, RefitRefused


def parse_gamma0(text: str) -> str | float:
    """Read a policy for gamma0: ``prior``, ``zero`` or a value in meV.

    Raises
    ------
    RefitRefused
        It is none of these.

    Examples
    --------
    >>> parse_gamma0("2.5")
    2.5
    """
    if text == "shared":
        raise RefitRefused("--gamma0 shared needs a first map: refit with prior, then give the map's value in meV")
    with contextlib.suppress(ValueError):
        return float(text)
    return text


def check_model(model: str, gamma0: str | float, fit_depth: float | None = None) -> None:
    """Refuse a model, a policy or a depth (meV) that no fitter knows.

    Raises
    ------
    RefitRefused
        The message lists what is known.
    """
    try:
        GapFitter([float(energy) for energy in range(-150, 51)], model=model, gamma0=gamma0, fit_depth=fit_depth)
    except ValueError as error:
        raise RefitRefused(str(error)) from None


def checked_policy(model: str, gamma0: str, calibration: str, fit_depth: float | None) -> str | float:
    """Return the policy for gamma0; raise RefitRefused where it, model, calibration or depth is none."""
    if calibration not in (LIVE, INTERPOLATED):
        raise RefitRefused(f"--calibration {calibration!r} is unknown; give {LIVE} or {INTERPOLATED}")
    policy = parse_gamma0(gamma0)
    check_model(model, policy, fit_depth)
    return policy
