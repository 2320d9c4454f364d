"""A raster of the simulated sample without a beamline: the frames of the simulation, through the functions that fit
them live, with everything in it that can fool a map, one thing at a time or all of it.

What the IOC would do is done here in order of time: references on the holder and looks at control pixels between the
rows, one pixel after the other. Times are told, not waited for. Every analysis of a map is of the same frames.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from microarpes.analysis import CalibrationTrack, LiveGapMap
from microarpes.analysis.ageing import ageing_of
from microarpes.analysis.ageing_correction import NothingToCorrectError, ageing_correction
from microarpes.analysis.gap_documents import CONTROL
from microarpes.analysis.k_f_centre import find_k_f_centre
from microarpes.beamline.config import simulated_config
from microarpes.beamline.control_fits import look_of
from microarpes.beamline.followed_windows import FollowedWindows
from microarpes.beamline.raster_run import calibration_record
from microarpes.beamline.reference_fit import fit_edges
from microarpes.devices.flat_field import window_factors
from microarpes.devices.spectra import angular_contrast, sum_windows
from microarpes.plans.control_looks import SpotDoses
from microarpes.plans.control_pixels import spread
from microarpes.plans.grid import RasterGrid
from microarpes.sim.ageing import Ageing, AgeingSample
from microarpes.sim.band import antinodal_polar
from microarpes.sim.flat_field import flat_field
from microarpes.sim.frame_source import Conditions, Pose, Window
from microarpes.sim.incident_flux import Dose
from microarpes.sim.sample import BEAM_SPOT
from microarpes.sim.sample_source import CENTRE_ENERGY, SampleSource
from microarpes.sim.storage_ring import FULL_CURRENT
from microarpes.sim.truth import parse_truth

#: When the raster begins; how long a pixel takes with all that is between two, s.
BEGAN, PIXEL_S = 1.8e9, 10.0
#: Where the holder is, um.
HOLDER = (180.0, 0.0)
WINDOW = Window(CENTRE_ENERGY, 1e-3, 300, 15.0, 1.0)
#: One second at full ring current; a reference is ten exposures.
DOSE, REFERENCE_DOSE = Dose(1.0, FULL_CURRENT, 1.0), Dose(10.0, 10.0 * FULL_CURRENT, 1.0)


@dataclass(frozen=True)
class Effects:
    """What is wrong with a map.

    Attributes
    ----------
    undulation : float, deg
        Of the face, to either side.
    drift, ageing : float, meV over the map
        By how much E_F rises and the gap shrinks.
    homogeneous : bool
        One gap and one rate everywhere.
    centre : tuple of float, um
        Middle of the raster; the holder begins some 80 um to the right of the origin.
    points : int
        Pixels of a row, and rows.
    step : float, um
    counts : float
        Of a frame on live flake.
    rims : float
        Part of the electrons that the analyser loses at the rims of the slit.
    every_rows : int
        Rows between references, and looks.
    truth : str
        What the simulation emits, by the name of its ``--truth``.
    """

    undulation: float = 0.0
    drift: float = 0.0
    ageing: float = 0.0
    homogeneous: bool = False
    centre: tuple[float, float] = (-10.0, -40.0)
    points: int = 10
    step: float = 10.0
    counts: float = 6e5
    rims: float = 0.0
    every_rows: int = 2
    truth: str = "standard"


class EvenSample(AgeingSample):
    """A sample with one gap and one rate everywhere: those that others have on the mean."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self._gap = self._other = lambda x, y: np.zeros(np.broadcast(x, y).shape)


class SimulatedMap:
    """The frames of one raster, and what any of the ways to fit them makes of it.

    Parameters
    ----------
    seed : int
        Of the sample and of all noise.
    effects : Effects
    images : dict, optional
        Expected images that maps share, for the time they take.
    """

    def __init__(self, seed, effects, images=None):
        self.effects, self.seed, self.now = effects, seed, 0.0
        self.grid = RasterGrid.centred(effects.points, effects.points, effects.step, effects.centre)
        self.config = simulated_config()
        self.windows = [(window.angle_low, window.angle_high) for window in self.config.windows]
        self.seconds = effects.points**2 * PIXEL_S
        make = EvenSample if effects.homogeneous else AgeingSample
        ageing = Ageing(per_hour=effects.ageing / self.seconds * 3600.0)
        self.sample = make(seed, ageing, lambda: self.now, undulation=effects.undulation)
        self.source = SampleSource(self.sample, seed=seed, rate=effects.counts, truth=parse_truth(effects.truth))
        pattern = parse_truth(effects.truth).gain_pattern
        #: Share of the electrons that each channel counts, where they differ.
        self.shares = flat_field(WINDOW.slices, WINDOW.n_energy, 0.0, pattern) if pattern else None
        if images is not None:
            self.source._expected._cuts = images.setdefault(effects.truth, OrderedDict())
        self.energy, self.angle = self.source.axes(WINDOW)
        self.channels = [window.channels(self.angle) for window in self.config.windows]
        self.attempts = 0
        self._take()

    def frame(self, x, y, dose=DOSE):
        """Return the counts of an exposure at a place, now."""
        self.attempts += 1
        drifted = self.effects.drift * self.now / self.seconds
        pose = Pose(x, y, 0.0, antinodal_polar(100.0), 0.0, 0.0, x, y)
        counts = self.source.frame(WINDOW, Conditions(100.0, 10.0, drifted), [pose], dose, self.attempts).counts
        if not self.effects.rims:
            return counts
        kept = 1.0 - self.effects.rims * (self.angle / self.angle[-1]) ** 2
        return np.random.default_rng([self.seed, self.attempts]).binomial(counts, kept[:, None]).astype(counts.dtype)

    def _take(self):
        """Take all frames in order of time."""
        points = list(self.grid.points())
        live = self.truth_at([point.x for point in points], [point.y for point in points]).live_fraction > 0.99
        on_flake = [point for point, on in zip(points, live, strict=True) if on]
        controls = spread(on_flake, 3) if on_flake else []
        self.pixels, self.looks, self.references = [], [], []
        doses = SpotDoses(controls, BEAM_SPOT)
        for row in range(self.effects.points + 1):
            if row % self.effects.every_rows == 0 or row == self.effects.points:
                self.references.append(self._reference())
                for point in controls:
                    frame = self.frame(point.x, point.y)
                    self.looks.append((self.now, doses.seconds[point.pixel], point, frame))
                    doses.add(point.x, point.y, DOSE.exposure)
            for point in points[row * self.effects.points : (row + 1) * self.effects.points]:
                self.now += PIXEL_S
                self.pixels.append((self.now, point, self.frame(point.x, point.y)))
                doses.add(point.x, point.y, DOSE.exposure)

    def _reference(self):
        """Return when, and the EDCs of, a reference on the holder."""
        return self.now, sum_windows(self.frame(*HOLDER, REFERENCE_DOSE), self.channels)

    def track(self, flat):
        """Return the records of the references, as the plan that measures them writes them, interpolated in time."""
        begun, records = self.begun_with(flat), []
        for when, edcs in self.references:
            edge = fit_edges(self.energy, edcs, begun["temperature"], begun)
            found = {"time": BEGAN + when, "ef": list(edge.ef), "ef_error": list(edge.ef_error)}
            records.append({**begun, **found})
        return CalibrationTrack.from_records(records, len(self.windows))

    def begun_with(self, flat=False):
        """Return the record a run of the simulated beamline begins with; `flat` declares the detector's flat field."""
        record = calibration_record(self.config)
        n = len(self.windows)
        edges = {"ef": [record["ef"]] * n, "ef_error": [record["ef_error"]] * n}
        known = flat and self.shares is not None
        declared = {"flat_field": window_factors(self.shares, self.channels).tolist()} if known else {}
        return {**record, **edges, **declared, "row_shift": [0] * self.angle.size, "time": BEGAN}

    def truth_at(self, x, y, shift=0.0):
        """Return the truth of the sample as it was when the map began."""
        now, self.now = self.now, 0.0
        truth = self.sample.truth(x, y, windows=self.windows, window_shift=shift)
        self.now = now
        return truth

    def documents(self, follow, contrast=True, flat=False):
        """Yield the documents of the run; with `follow` it asks for windows that follow k_F.

        With `flat` the detector's flat field is declared. Without `contrast` nobody looks at how the frames vary with
        the angle.
        """
        grid = {axis: {"num": self.effects.points} for axis in ("x", "y")}
        yield "start", {
            "uid": "raw", "time": BEGAN, "grid": grid, "windows": [w.model_dump() for w in self.config.windows],
            "energy_axis": self.energy, "angle_axis": self.angle, "calibration": self.begun_with(flat),
            "follow_k_f": follow,
        }  # fmt: skip
        for name in ("primary", "control"):
            yield "descriptor", {"uid": name, "name": name}
        events = [(when, "primary", point, frame, {}) for when, point, frame in self.pixels]
        for when, dose, point, frame in self.looks:
            edge = self.config.calibration.fermi_energy
            factors = self.shares if flat else None
            centre = find_k_f_centre(frame, self.energy, self.angle, edge, 0.0, flat_field=factors)
            told = {"dose": dose, "i0": 1.0, "k_f_centre": centre.centre, "k_f_centre_error": centre.error}
            events.append((when, "control", point, frame, told))
        numbers = dict.fromkeys(("primary", "control"), 0)
        for when, stream, point, frame, told in sorted(events, key=lambda event: event[0]):
            numbers[stream] += 1
            varies = angular_contrast(frame, self.energy, self.config.calibration.fermi_energy)
            data = {
                "pixel": point.pixel, "manipulator_x": point.x, "manipulator_y": point.y, **told,
                "angular_contrast": varies if contrast else np.nan,
                "total_counts": float(frame.sum()), "edc": sum_windows(frame, self.channels), "frame": frame,
            }  # fmt: skip
            yield "event", {"descriptor": stream, "seq_num": numbers[stream], "time": BEGAN + when, "data": data,
                            "timestamps": {}}  # fmt: skip
        yield "stop", {"exit_status": "success"}

    def fitted(self, *, follow=False, interpolated=False, contrast=True, flat=False):
        """Fit the map as the follower, or a refit with interpolated references, does; return it and the looks."""
        track = self.track(flat) if interpolated else None
        derived = []
        router = LiveGapMap(lambda name, doc: derived.append((name, doc)), track=track)
        followed = FramesAtHand(self.shares) if follow else lambda name, doc: doc
        for name, doc in self.documents(follow, contrast, flat):
            router(name, followed(name, doc))
        streams = {doc["uid"]: doc["name"] for name, doc in derived if name == "descriptor"}
        events = [doc for name, doc in derived if name == "event"]
        return router.gap_map, [look_of(doc) for doc in events if streams[doc["descriptor"]] == CONTROL]

    def corrected(self):
        """Fit the map with all that is known against being fooled, and correct it for ageing where it shows.

        Returns
        -------
        gap_map : GapMap
        ageing : Ageing
        correction : AgeingCorrection or None
        """
        gap_map, looks = self.fitted(follow=True, interpolated=True, flat=True)
        ageing = ageing_of(looks)
        try:
            correction = ageing_correction(ageing, BEGAN)
        except NothingToCorrectError:
            return gap_map, ageing, None
        for when, point, _ in self.pixels:
            place = divmod(point.pixel, self.effects.points)
            names = ("delta", "delta_systematic", "joint_delta", "joint_delta_systematic")
            record = {name: getattr(gap_map, name)[(..., *place)] for name in names}
            for name, value in correction.corrected(record, BEGAN + when).items():
                getattr(gap_map, name)[(..., *place)] = value
        return gap_map, ageing, correction

    def error_of(self, gap_map, status="ok"):
        """Return fitted minus true gap of the pixels of a verdict, the windows where they lay, meV."""
        shift = np.nan_to_num(gap_map.window_shift.ravel())
        truth = self.truth_at(gap_map.manipulator_x.ravel(), gap_map.manipulator_y.ravel(), shift)
        ok = (gap_map.joint_status.ravel() == status) & np.isfinite(truth.gap)
        return (gap_map.joint_delta.ravel() - truth.gap)[ok]


class FramesAtHand(FollowedWindows):
    """Windows that follow k_F in frames that come with their events, through a detector of such shares."""

    def __init__(self, shares=None):
        super().__init__("")
        self._flat_field = shares

    def _frame(self, doc):
        return doc["data"]["frame"]
