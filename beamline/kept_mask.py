"""``mask.json``: the pixels that somebody chose to leave out of a run, beside its data and never in their place."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

MASK_FILE = "mask.json"


class KeptMaskError(Exception):
    """A kept mask cannot be read; the message says which and what to do."""


@dataclass(frozen=True)
class KeptMask:
    """Thresholds, and the pixels that they masked when they were kept.

    Attributes
    ----------
    uid : str
        Of the raw run.
    max_error : float, meV
        Pixels whose gap has a larger error are masked; infinite where there is no such threshold.
    max_goodness : float
        The same for the deviance per degree of freedom.
    pixels : tuple of int
        Pixels with a gap that were masked.
    n_pixels : int
        Pixels that had a gap when the mask was kept, masked or not.
    kept_by : str
        As who kept it calls himself.
    time : float, s
        Unix time.
    """

    uid: str
    max_error: float
    max_goodness: float
    pixels: tuple[int, ...]
    n_pixels: int
    kept_by: str
    time: float

    @property
    def limits(self) -> str:
        """The thresholds in words."""
        return limits_text(self.max_error, self.max_goodness) or "no threshold"

    @property
    def kept_on(self) -> str:
        """Day and time at which it was kept."""
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(self.time))


def limits_text(max_error: float, max_goodness: float) -> str:
    """Return thresholds in words, empty where there is none.

    Examples
    --------
    >>> limits_text(1.5, math.inf)
    'error above 1.5 meV'
    """
    limits = [(f"error above {max_error:g} meV", max_error), (f"deviance/dof above {max_goodness:g}", max_goodness)]
    return ", ".join(text for text, limit in limits if math.isfinite(limit))


def write_mask(folder: Path, mask: KeptMask) -> Path:
    """Keep a mask in the folder of a run, in the place of one that is there; the file is whole or not there.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    path = Path(folder) / MASK_FILE
    thresholds = {"max_error_meV": mask.max_error, "max_deviance_per_dof": mask.max_goodness}
    content = {
        "uid": mask.uid,
        "thresholds": {name: limit if math.isfinite(limit) else None for name, limit in thresholds.items()},
        "masked_pixels": list(mask.pixels), "pixels_with_a_gap": mask.n_pixels, "kept_by": mask.kept_by,
        "time": mask.time,
    }  # fmt: skip
    fresh = path.with_name(path.name + ".part")
    with open(fresh, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
    return path


def read_mask(folder: Path) -> KeptMask | None:
    """Return the mask that is kept in the folder of a run, None where there is none.

    Raises
    ------
    KeptMaskError
        The file is there and is no mask.
    """
    path = Path(folder) / MASK_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        thresholds = content["thresholds"]
        return KeptMask(
            uid=str(content["uid"]),
            max_error=_limit(thresholds["max_error_meV"]),
            max_goodness=_limit(thresholds["max_deviance_per_dof"]),
            pixels=tuple(int(pixel) for pixel in content["masked_pixels"]),
            n_pixels=int(content["pixels_with_a_gap"]),
            kept_by=str(content["kept_by"]),
            time=float(content["time"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise KeptMaskError(
            f"{path.name} is no mask that can be read ({type(error).__name__}: {error}); keep one anew or remove it"
        ) from error


def starting_mask(folder: Path) -> KeptMask | None:
    """Return the mask that a page begins with; one that cannot be read is told in the log and masks nothing."""
    try:
        return read_mask(folder)
    except KeptMaskError as error:
        logger.warning("run %s: %s", Path(folder).name, error)
        return None


def _limit(value: Any) -> float:
    limit = math.inf if value is None else float(value)
    if math.isnan(limit):
        raise ValueError("a threshold is NaN")
    return limit
