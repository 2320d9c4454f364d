"""How wrong the gap of the antinodal pair becomes by each ingredient of ``--truth realistic``.

``python tests/benchmarks/truth_ingredients.py`` gives the numbers of docs/explanation/what-can-fool-a-gap-map.md: of
the usual depth of the fit and of others, then the root mean square error for the standard truth with as many electrons
in the peak, and last by how much the gaps move to the last depth.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis import GapFitter
from microarpes.analysis.depth_shift import DepthShift, depth_shift
from microarpes.analysis.k_f_centre import find_k_f_centre
from microarpes.sim.flat_field import flat_field
from microarpes.sim.image_cache import ExpectedImages
from microarpes.sim.photoemission import live_image
from microarpes.sim.sample import GAMMA1_MEAN, GAP_MEAN, Sample
from microarpes.sim.sample_source import REFERENCE
from microarpes.sim.truth import INGREDIENTS, STANDARD, Truth, parse_truth

Array = NDArray[np.float64]

#: Where all of the beam is on live flake.
PLACES = np.array([(x, y) for x in (-75.0, -50.0, -25.0, 0.0, 25.0, 45.0) for y in (-75.0, -50.0, -25.0, 0.0)])
#: The windows of the simulated beamline, deg, and counts a frame of ``microarpes demo``.
EDGES, COUNTS = ((-1.79, -1.59), (1.59, 1.79)), 1.5e5
ENERGY = REFERENCE.lowest + np.arange(REFERENCE.n_energy) * REFERENCE.step
ANGLE = (np.arange(REFERENCE.n_angle) + 0.5) * REFERENCE.angle_step - REFERENCE.angle_span / 2
WINDOWS = [(low <= ANGLE) & (high > ANGLE) for low, high in EDGES]
FERMI_ENERGY = 95.6
#: What ``microarpes demo`` knows of its instrument.
KNOWN: dict[str, Any] = {"resolution": 10.0, "resolution_error": 0.3, "temperature": 10.0, "temperature_error": 0.5}


@dataclass(frozen=True)
class Spectra:
    """Expected EDCs of the pair of windows at `PLACES` for one frame of `COUNTS`, and the true gap.

    Parameters
    ----------
    edc : ndarray, shape (n_place, 2, n_energy)
    gap : ndarray, shape (n_place,), meV
    flat : ndarray, shape (2, n_energy)
        Flat field of the windows.
    """

    edc: Array
    gap: Array
    flat: Array


def spectra(truth: Truth, seed: int = 9) -> Spectra:
    """Return what a detector counts on average of a sample, as the simulated beamline makes it."""
    sample = Sample(seed)
    images = ExpectedImages(sample, truth)
    field = flat_field(REFERENCE.n_angle, REFERENCE.n_energy, 0.0, truth.gain_pattern)
    edc = []
    for place in PLACES:
        image = images.expected(REFERENCE, *place)
        image = image * field * (COUNTS / image.sum())
        edc.append([image[window].sum(axis=0) for window in WINDOWS])
    gap = sample.truth(*PLACES.T, windows=EDGES).gap
    return Spectra(np.array(edc), gap, np.array([field[window].mean(axis=0) for window in WINDOWS]))


@dataclass(frozen=True)
class Error:
    """Errors of the joint gap, meV; of those fits that are ``ok``.

    Parameters
    ----------
    bias, rms, claimed : float
        Mean and root mean square of fitted minus true; root mean square of the errors claimed, systematic included.
    ok : float
        Part of the fits that are.
    gamma1 : float
        Mean scattering rate found; that put in is 15 on the mean.
    """

    bias: float
    rms: float
    claimed: float
    ok: float
    gamma1: float


def errors(seen: Spectra, *, frames: int = 20, dose: float = 1.0, seed: int = 12, **fit: Any) -> Error:
    """Fit so many frames at each place, `dose` times as long."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(np.repeat(seen.edc * dose, frames, axis=0)).astype(np.float64)
    fits = GapFitter(ENERGY, **KNOWN, **fit).fit_joint_many(counts)
    ok = fits.status == "ok"
    wrong = (fits.delta - np.repeat(seen.gap, frames))[ok]
    claimed = np.hypot(fits.delta_stderr, fits.delta_systematic)[ok]
    rms = [float(np.sqrt(np.mean(np.square(x)))) if ok.any() else np.nan for x in (wrong, claimed)]
    bias, gamma1 = (float(x.mean()) if ok.any() else np.nan for x in (wrong, fits.gamma1[ok]))
    return Error(bias, *rms, float(ok.mean()), gamma1)


@dataclass(frozen=True)
class Followed:
    """What windows that follow k_F make of a face that waves by 0.5 deg.

    Parameters
    ----------
    found : float
        Part of the frames with a centre.
    centre_rms, centre_claimed : float, deg
        Root mean square error of the centres, and what they claim.
    rms, rms_found, planned : float, meV
        Root mean square error of the joint gap where the windows lay, the same of frames with a centre, and with
        windows as planned.
    """

    found: float
    centre_rms: float
    centre_claimed: float
    rms: float
    rms_found: float
    planned: float


def followed(
    truth: Truth, *, frames: int = 4, dose: float = 1.0, seed: int = 12, declared: bool = False, **fit: Any
) -> Followed:
    """Follow k_F in so many frames at each place, `dose` times as long, with the flat field declared or not."""
    sample, rng = Sample(9, undulation=0.5), np.random.default_rng(seed)
    images = ExpectedImages(sample, truth)
    field = flat_field(REFERENCE.n_angle, REFERENCE.n_energy, 0.0, truth.gain_pattern)
    cut = replace(REFERENCE, largest_tilt=sample.largest_tilt)
    kinetic, where, shifts, wrong, edc = FERMI_ENERGY + 1e-3 * ENERGY, [], [], [], []
    for place in PLACES:
        mean = images.expected(cut, *place)
        mean = mean * field * (COUNTS * dose / mean.sum())
        for _ in range(frames):
            frame = rng.poisson(mean)
            factors = field if declared else None
            centre = find_k_f_centre(frame, kinetic, ANGLE, FERMI_ENERGY, 0.0, flat_field=factors)
            shift = round(centre.centre / REFERENCE.angle_step) if centre.found else 0
            where.append(place)
            shifts.append(shift * REFERENCE.angle_step)
            wrong.append((centre.centre + float(sample.face_tilt_at(*place)), centre.error))
            edc.append([[frame[np.roll(window, s)].sum(axis=0) for window in WINDOWS] for s in (shift, 0)])
    counts, moved = np.array(edc, dtype=np.float64), np.array(shifts)
    found, error = np.isfinite([one[0] for one in wrong]), []
    for i, shift, chosen in ((0, moved, True), (0, moved, found), (1, np.zeros_like(moved), True)):
        gap = sample.truth(*np.array(where).T, windows=EDGES, window_shift=shift).gap
        delta = np.full(gap.size, np.nan)
        for by in np.unique(shift) if declared else (None,):  # the rows that were summed have factors of their own
            these = np.full(gap.size, True) if by is None else shift == by
            rows = [] if by is None else [np.roll(window, round(by / REFERENCE.angle_step)) for window in WINDOWS]
            flat = np.array([field[row].mean(axis=0) for row in rows]) if rows else None
            fitter = GapFitter(ENERGY, **KNOWN, **fit, flat_field=flat)
            fits = fitter.fit_joint_many(np.ascontiguousarray(counts[these, i]))
            delta[these] = np.where(fits.status == "ok", fits.delta, np.nan)
        error.append(float(np.sqrt(np.nanmean(np.square(delta - gap)[np.broadcast_to(chosen, gap.shape)]))))
    centres = np.array(wrong)[found]
    rms = np.sqrt(np.mean(np.square(centres), axis=0)) if len(centres) else (np.nan, np.nan)
    return Followed(len(centres) / len(wrong), float(rms[0]), float(rms[1]), *error)


def shift(seen: Spectra, depth: float, *, dose: float = 1.0, seed: int = 3) -> DepthShift:
    """Return by how much the gaps of five frames a place move between the usual depth and another, meV."""
    counts = np.random.default_rng(seed).poisson(np.repeat(seen.edc * dose, 5, axis=0)).astype(np.float64)
    usual, other = (GapFitter(ENERGY, **KNOWN, fit_depth=d).fit_joint_many(counts).delta for d in (None, depth))
    return depth_shift(usual, other)


def peak_share(truth: Truth) -> float:
    """Return how many electrons of a frame are in the antibonding peak, in units of those of the standard truth."""
    total, standard = (live_image(REFERENCE, GAP_MEAN, GAMMA1_MEAN, one).sum() for one in (truth, STANDARD))
    return float((1.0 - truth.hump) * standard / total)


def main() -> None:
    """Write a table for each dose."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=20, help="of each of 24 pixels, at the counts of the demo")
    parser.add_argument("--doses", type=float, nargs="*", default=[1.0, 20.0], help="frames summed")
    parser.add_argument("--depths", type=float, nargs="*", default=[40.0, 30.0], help="below the gap, meV")
    arguments = parser.parse_args()
    names = ("standard", *INGREDIENTS, "realistic")
    seen = {name: spectra(parse_truth(name)) for name in names}
    for dose in arguments.doses:
        frames = max(5, round(arguments.frames / dose))
        sys.stdout.write(f"\n{COUNTS * dose:g} counts: bias, rms, claimed, rate (meV), ok\n")
        for name in names:
            row = [name]
            for depth in (None, *arguments.depths):
                e = errors(seen[name], frames=frames, dose=dose, fit_depth=depth)
                row.append(f"{e.bias:+.2f} {e.rms:.2f} {e.claimed:.2f} {e.gamma1:.1f} {e.ok:.0%}")
            share = peak_share(parse_truth(name))
            row.append(f"{errors(seen['standard'], frames=frames, dose=dose * share).rms:.2f} (x{share:.2f})")
            moved = shift(seen[name], arguments.depths[-1], dose=dose)
            row.append(f"{moved.mean:+.2f} +- {moved.error:.2f}")
            sys.stdout.write("| " + " | ".join(row) + " |\n")
            sys.stdout.flush()
        sys.stdout.write(
            f"\n{COUNTS * dose:g} counts on a face that waves: found; centre's error, claimed (deg); rms, of those "
            "found, of windows as planned\n"
        )
        for name, declared in (*((name, False) for name in names), ("realistic", True)):
            f = followed(parse_truth(name), dose=dose, declared=declared, fit_depth=arguments.depths[-1])
            name += ", flat field declared" * declared
            centre = f"{f.found:.0%} | {f.centre_rms:.3f} {f.centre_claimed:.3f}"
            sys.stdout.write(f"| {name} | {centre} | {f.rms:.2f} | {f.rms_found:.2f} | {f.planned:.2f} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
