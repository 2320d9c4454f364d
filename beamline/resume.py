"""Take up a raster where an earlier run ended: what it measured, what is left, and what has changed since."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microarpes.beamline.journal import RAW_JOURNAL, stream_events
from microarpes.beamline.journal_lock import is_being_written
from microarpes.beamline.repeats import series_of
from microarpes.beamline.run_chain import read_chain
from microarpes.beamline.stored_run import StoredRun
from microarpes.devices.end_station import EndStation
from microarpes.devices.environment import is_kept
from microarpes.devices.region import AngleWindow, Region
from microarpes.plans.control_looks import STREAM as CONTROL
from microarpes.plans.control_looks import LooksBefore
from microarpes.plans.landmark_imaging import LookBefore
from microarpes.plans.limits import GateLimits
from microarpes.plans.shapes import Shape, shape_of

if TYPE_CHECKING:
    from microarpes.beamline.config import Config

Document = Mapping[str, Any]
#: Axes that a raster leaves where they are.
HELD = ("z", "polar", "tilt", "azimuth")


class ResumeError(ValueError):
    """A run cannot be taken up again; the message says why and what to do."""


@dataclass(frozen=True)
class Unfinished:
    """A raster that was cut off, stopped or aborted.

    Attributes
    ----------
    uid : str
        Of the last run of the raster.
    start : mapping
        Its start document.
    done : frozenset of int
        Pixels that it, and the runs it resumes, acknowledged.
    calibration : mapping
        The last calibration record.
    held : mapping
        Axis that the raster does not move to where it was at the newest pixel, um or deg.
    landmark : LookBefore, optional
        The first look of the raster at its landmark, and the last shift.
    looked_at : LooksBefore, optional
        What it and the runs it resumes did to the sample, where they had control pixels.
    """

    uid: str
    start: Document
    done: frozenset[int]
    calibration: Document
    held: Mapping[str, float]
    landmark: LookBefore | None = None
    looked_at: LooksBefore | None = None

    @property
    def described(self) -> dict[str, Any]:
        """What the start document says of sample, seed, angles and the other maps of a series."""
        kept = ("sample", "seed", "undulation", "truth", "repeat", "series", "turned")
        return {name: self.start[name] for name in kept if name in self.start}

    @property
    def shape(self) -> Shape:
        """The whole raster."""
        return shape_of(self.start)

    @property
    def region(self) -> Region:
        """The region that was asked for."""
        described = {name: value for name, value in self.start["region"].items() if name in Region.model_fields}
        swept = described["acquisition_mode"] == "Swept"
        for follows in ("centre_energy",) if swept else ("low_energy", "high_energy"):
            described[follows] = None
        return Region(**described | {"excitation_energy": None})

    @property
    def windows(self) -> tuple[AngleWindow, ...]:
        """The windows that were summed."""
        return tuple(AngleWindow(**window) for window in self.start["windows"])

    @property
    def limits(self) -> GateLimits:
        """The gate's limits."""
        return GateLimits(**self.start["gate"])

    def as_begun(self, config: Config) -> Config:
        """Return a configuration with region, windows and E_F of the raster: momenta are said of these."""
        edge = float(np.mean(self.calibration["ef"]))
        calibration = config.calibration.model_copy(update={"fermi_energy": edge})
        begun = {"region": self.region, "windows": self.windows, "calibration": calibration}
        return config.model_copy(update=begun)


def find_unfinished(folder: Path) -> Unfinished:
    """Read what there is of a raster, from the journals of the run and of those it resumes.

    Raises
    ------
    ResumeError
        It is still being taken, it is complete, or it is no raster.
    microarpes.beamline.stored_run.NoSuchRun
        There is no such run.
    """
    folder = Path(folder)
    chain = read_chain(folder, lean=True)
    uid = str(chain[-1].start["uid"])
    if is_being_written(folder / RAW_JOURNAL):
        raise ResumeError(f"run {uid} is still being taken; stop or abort it first")
    found = raster_so_far(chain)
    left = int(found.start["num_points"]) - len(chain[-1].events)
    if left <= 0:
        raise ResumeError(f"run {uid} is complete: all its {found.start['num_points']} pixels are measured")
    return found


def raster_so_far(chain: Sequence[StoredRun]) -> Unfinished:
    """Return what the runs of a raster, the oldest first, say of it, whether anything is left of it or not.

    Raises
    ------
    ResumeError
        It is no raster.
    """
    start, folder = chain[-1].start, chain[-1].folder
    uid = str(start["uid"])
    if missing := [key for key in ("grid", "region", "windows", "calibration", "gate") if key not in start]:
        raise ResumeError(
            f"run {uid} is no raster that can be gone on with: its start document has no {', '.join(missing)}"
        )
    done = frozenset(pixel for run in chain for pixel in run.events)
    return Unfinished(
        uid, start, done, _last_calibration(folder, start), _held(chain), _landmark(chain), _looked_at(chain)
    )


def _landmark(chain: Sequence[StoredRun]) -> LookBefore | None:
    """Return the look that later ones are compared with: the first one, in a series that of its first map."""
    looks = [doc["data"] for run in chain for doc in stream_events(run.folder / RAW_JOURNAL, "drift")
             if doc["data"]["status"] == "ok"]  # fmt: skip
    if not looks:
        return None
    first = str(series_of(chain[-1].start).get("first", ""))
    if first and first not in {str(run.start["uid"]) for run in chain}:
        before = _landmark(read_chain(chain[-1].folder.resolve().parent / first, lean=True))
        if before is not None:
            return LookBefore(before.image, before.image_error, _shift(looks[-1]))
    image, errors = (np.asarray(looks[0][key], dtype=np.float64) for key in ("image", "image_error"))
    return LookBefore(image, errors, _shift(looks[-1]))


def _looked_at(chain: Sequence[StoredRun]) -> LooksBefore | None:
    """Return all exposures that are events, and how often the control pixels were looked at."""
    if not any("control_pixels" in run.start for run in chain):
        return None
    looks = [doc["data"] for run in chain for doc in stream_events(run.folder / RAW_JOURNAL, CONTROL)]
    points = [event["data"] for run in chain for event in run.events.values()]
    exposures = [(*_on_sample(data), float(data["acquire_time"])) for data in (*points, *looks)]
    return LooksBefore(exposures, max((int(look["look"]) for look in looks), default=0))


def _on_sample(data: Document) -> tuple[float, float]:
    x, y = (float(data[f"manipulator_{axis}"]) - float(data.get(f"shift_{axis}", 0.0)) for axis in "xy")
    return x, y


def _shift(look: Document) -> tuple[float, float]:
    return float(look["shift_x"]), float(look["shift_y"])


def _held(chain: Sequence[StoredRun]) -> dict[str, float]:
    events = [event for run in chain for event in run.events.values()]
    if not events:
        return {}
    newest = max(events, key=lambda event: float(event["time"]))["data"]
    return {name: float(newest[f"manipulator_{name}"]) for name in HELD}


def moved_away(unfinished: Unfinished, station: EndStation) -> dict[str, float]:
    """Return the axes that are no longer where they were held, with where that was: the resumed raster moves them back.

    An angle that somebody turned, or a focus that was left at a reference when the run was cut off.
    """
    return {
        name: round(position, 6)
        for name, position in unfinished.held.items()
        if abs(getattr(station.manipulator, name).position - position) > getattr(station.manipulator, name).tolerance
    }


def _last_calibration(folder: Path, start: Document) -> Document:
    record = dict(start["calibration"])
    for doc in stream_events(folder / RAW_JOURNAL, "calibration"):
        data = dict(doc["data"])
        for key in ("temperature", "temperature_error"):  # the edge tells its own anew
            data[key] = data.get(f"sensor_{key}", data.get(key, record.get(key)))
        record |= {key: value for key, value in data.items() if key in record}
    # Made anew for the run, from the detector's factors.
    return {key: value for key, value in record.items() if key != "flat_field"}


def differences(before: Document, now: Document) -> list[str]:
    """Return what is not as it was when the earlier run began, from the start documents of both; one line each.

    Where the axes stand does not matter, for they are moved; that their zero and their limits are the same does.
    """
    found = [line for name, axis in before.get("axes", {}).items() for line in _axis(name, axis, now["axes"][name])]
    for name, value in before["source"].items():
        is_now = now["source"].get(name)
        if is_now is None or not is_kept(name, value, is_now):
            found.append(f"{name} was {value}, is {is_now}")
    for name in ("energy_axis", "angle_axis"):
        if list(before[name]) != list(now[name]):
            found.append(
                f"the {name.replace('_', ' ')} was {_ends(before[name])}, is {_ends(now[name])}: the frames cannot be "
                "one map"
            )
    return found


def _axis(name: str, was: Document, is_now: Document) -> list[str]:
    found = [f"{name} {key} was {was[key]:g}, is {is_now[key]:g}" for key in ("offset", "direction", "low_limit",
             "high_limit") if was[key] != is_now[key]]  # fmt: skip
    if was["units"] != is_now["units"]:
        found.append(f"{name} was in {was['units']}, is in {is_now['units']}")
    return found


def _ends(axis: Sequence[float]) -> str:
    return f"{len(axis)} channels from {axis[0]:g} to {axis[-1]:g}"


@dataclass
class Objections:
    """What `gap_raster` is told about a start document: the differences, unless an operator accepts them.

    Attributes
    ----------
    found : list of str
        The differences, once it was asked.
    """

    before: Document
    accepted: bool
    tell: Callable[[str], None]
    found: list[str] = field(default_factory=list)

    def __call__(self, start: Document) -> list[str]:
        """Tell every difference; return what forbids the run."""
        self.found = differences(self.before, start)
        for line in self.found:
            self.tell(f"since run {str(self.before['uid'])[:8]}: {line}")
        if not self.found or self.accepted:
            return []
        return [f"{line}; set it back, or accept it with --accept-differences" for line in self.found]
