"""How maps of one place lie on one another: by their nominal places, their landmark, and what their counts show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.registration import MAX_CHI2, ImageShift, register
from microarpes.beamline.journal import RAW_JOURNAL, stream_events
from microarpes.beamline.pixel_index import IndexedMap
from microarpes.beamline.repeats import series_of
from microarpes.beamline.same_place import SAME_PLACE, Partners, partner_pixels

Floats = NDArray[np.float64]

#: Pixels along each direction by which the counts of a repeat may be found moved.
REACH = 5.0
#: Share of the pixels of the first map that both must have before their counts can be laid on one another.
KNOWN = 0.8
#: Share of its brightness to which an image comes out the same again, whatever its counts: I0 is not steadier.
SAME_AGAIN = 0.02
#: Least rows and columns in which a shift can be seen.
LEAST = 4


class NotAligned(ValueError):
    """Maps do not lie on one another; the message says how they lie and what to do."""


@dataclass(frozen=True)
class Alignment:
    """How a map lies on a first one.

    Attributes
    ----------
    pixel : ndarray of int, shape (ny, nx) of the first
        Pixel of the other at the same place; -1 where it has none.
    landmark : (float, float), um
        By how much the sample had moved between them, as the landmark of the earlier one says.
    whole : (int, int)
        Pixels along x and y by which the map was moved to lie on the first, as the counts say.
    seen : ImageShift
        What the counts say of the rest, in pixels of the first map.
    problem : str
        Why the maps should not be combined, or empty.
    """

    pixel: NDArray[np.intp]
    landmark: tuple[float, float]
    whole: tuple[int, int]
    seen: ImageShift
    problem: str = ""

    def document(self) -> dict[str, Any]:
        """Return this for a start document."""
        told = {name: float(getattr(self.seen, name)) for name in ("x", "y", "x_error", "y_error")}
        return {
            "pixels": int((self.pixel >= 0).sum()),
            "landmark_shift": list(self.landmark),
            "whole_pixels": list(self.whole),
            "seen": {"status": self.seen.status}
            | {name: None if np.isnan(value) else round(value, 4) for name, value in told.items()},
        }


def align(first: IndexedMap, other: IndexedMap) -> Alignment:
    """Lay a map on a first one.

    Nominal places decide, corrected by the landmark of the earlier run. Where the counts of both maps show structure
    they confirm it, or tell by how many whole pixels the map is to be moved.

    Raises
    ------
    NotAligned
        The maps have no place in common.
    """
    landmark = landmark_shift(first, other)
    x, y = first.lines
    steps = [float(line[1] - line[0]) if len(line) > 1 else 0.0 for line in (x, y)]

    def partners(whole: tuple[int, int]) -> Partners:
        by = landmark[0] + whole[0] * steps[0], landmark[1] + whole[1] * steps[1]
        return partner_pixels((x, y), other.lines, by)

    found = partners((0, 0))
    if found.nearest > found.limit:
        raise NotAligned(
            f"runs {first.uid[:8]} and {other.uid[:8]} have no place in common: the nearest pixels are "
            f"{found.nearest:.3g} um apart, at most {found.limit:.3g} um is one place"
        )
    seen, whole = _seen(first, other, found.pixel), (0, 0)
    if seen.status == "ok" and max(abs(seen.x), abs(seen.y)) > SAME_PLACE:
        whole = round(seen.x), round(seen.y)
        found = partners(whole)
        seen = _seen(first, other, found.pixel) if whole != (0, 0) else seen
    return Alignment(found.pixel, landmark, whole, seen, _problem(first, other, seen))


def landmark_shift(first: IndexedMap, other: IndexedMap) -> tuple[float, float]:
    """Return where on the other map the places of the first are, by the landmark of the earlier run, um.

    A map begins where the sample is then; by how much it had moved the last look of the run before says. The maps of a
    series all compare with the image of the first of them: their places are the same.
    """
    earlier, later = sorted((first, other), key=lambda each: float(each.start["time"]))
    group = series_of(first.start).get("group")
    if group is not None and group == series_of(other.start).get("group"):
        return 0.0, 0.0
    looks = [
        look["data"] for folder in earlier.folders for look in stream_events(folder / RAW_JOURNAL, "drift")
        if look["data"]["status"] == "ok" and float(look["data"]["time"]) <= float(later.start["time"])
    ]  # fmt: skip
    if not looks:
        return 0.0, 0.0
    sign = 1.0 if earlier is first else -1.0
    return sign * float(looks[-1]["shift_x"]), sign * float(looks[-1]["shift_y"])


def _seen(first: IndexedMap, other: IndexedMap, pixel: NDArray[np.intp]) -> ImageShift:
    """Register the counts of the other map, on the pixels of the first, with those of the first; in pixels.

    ``lost`` only where they are not the same where they lie: an image without structure may be laid anywhere.
    """
    nan = float("nan")
    nothing = ImageShift(nan, nan, nan, nan, nan, nan, "bad-input")
    if min(pixel.shape) < LEAST:
        return nothing
    paired = pixel >= 0
    after, after_error = (np.where(paired, plane.ravel()[pixel], np.nan)
                          for plane in (other.intensity, other.intensity_error))  # fmt: skip
    known = np.isfinite(first.intensity) & np.isfinite(after)
    if known.mean() < KNOWN:
        return nothing
    images, errors = [], []
    for image, error in ((first.intensity, first.intensity_error), (after, after_error)):
        mean = float(image[known].mean()) or 1.0
        images.append(np.where(known, image, mean))
        # What is not known is any value at all.
        errors.append(np.where(known, np.hypot(np.where(known, error, 0.0), SAME_AGAIN * mean), 1e3 * mean))
    found = register(
        images[0], images[1], 1.0, before_error=errors[0], after_error=errors[1], max_error=SAME_PLACE, reach=REACH
    )
    if found.status == "ok":
        return found
    chi2 = _chi2_in_place(*(plane[known] for plane in (*images, *errors)))
    return replace(found, status="lost" if chi2 > MAX_CHI2 else "flat", chi2_per_dof=chi2)


def _chi2_in_place(before: Floats, after: Floats, before_error: Floats, after_error: Floats) -> float:
    """Return chi2 per degree of freedom of two images that differ in brightness only."""
    brightness = float(after.mean() / before.mean()) if before.mean() else 1.0
    variance = (brightness * before_error) ** 2 + after_error**2
    return float(((after - brightness * before) ** 2 / variance).sum() / max(before.size - 1, 1))


def _problem(first: IndexedMap, other: IndexedMap, seen: ImageShift) -> str:
    between = f"the counts of run {other.uid[:8]} against those of run {first.uid[:8]}"
    if seen.status == "lost":
        return f"{between} show another place: chi2 is {seen.chi2_per_dof:.1f} per pixel"
    if seen.status == "ok" and max(abs(seen.x), abs(seen.y)) > SAME_PLACE:
        return (
            f"{between} are moved by {seen.x:+.2f} ± {seen.x_error:.2f} pixels along x and {seen.y:+.2f} ± "
            f"{seen.y_error:.2f} along y: the pixels of one lie between those of the other"
        )
    return ""
