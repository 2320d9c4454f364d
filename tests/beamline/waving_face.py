"""A face that waves: frames of it, windows that follow k_F in them, and a run on disk, written point by point."""

import dataclasses

import numpy as np

from microarpes.beamline.followed_windows import FollowedWindows
from microarpes.beamline.journal import JournalWriter, encode_record, read_documents
from microarpes.devices.flat_field import window_factors
from microarpes.devices.frame_file import FrameFile
from microarpes.devices.spectra import sum_windows
from microarpes.sim.image_cache import CutImages
from microarpes.sim.photoemission import live_image
from microarpes.sim.sample_source import REFERENCE

FERMI_ENERGY = 95.6
ANGLE = (np.arange(300) + 0.5) * 0.05 - 7.5
ENERGY = FERMI_ENERGY + 1e-3 * (np.arange(400) - 320.0)
WINDOWS = [{"name": n, "angle_low": a, "angle_high": round(a + 0.2, 2)} for n, a in (("-k_F", -1.79), ("+k_F", 1.59))]
EDGES = [(w["angle_low"], w["angle_high"]) for w in WINDOWS]
CHANNELS = [np.flatnonzero((low <= ANGLE) & (high > ANGLE)) for low, high in EDGES]


def record(shift=None):
    return {
        "time": 1.8e9, "row_shift": [0] * 300 if shift is None else shift, "ef": [FERMI_ENERGY] * 2,
        "ef_error": [0.0003] * 2, "resolution": 0.010, "resolution_error": 0.0, "temperature": 10.0,
        "temperature_error": 0.0, "gain": 1.0,
    }  # fmt: skip


def start_of(calibration, **more):
    lines = {axis: {"start": 0.0, "stop": 30.0, "num": n} for axis, n in (("x", 3), ("y", 2))}
    return {
        "uid": "waving", "time": 1.8e9, "plan_name": "gap_raster", "num_points": 6, "shape": [2, 3],
        "grid": lines | {"snake": True, "fast_axis": "x", "units": "um"}, "windows": WINDOWS,
        "energy_axis": ENERGY.tolist(), "angle_axis": ANGLE.tolist(), "calibration": calibration,
        "sample": {"id": "test"}, "frame_file": "frames.h5", "follow_k_f": True, **more,
    }  # fmt: skip


class FramesAtHand(FollowedWindows):
    """Windows that follow k_F in frames that no file holds, nor their flat field."""

    def __init__(self, start, factors=None):
        super().__init__("")
        self.frame, self._flat_field = None, factors
        self("start", start)
        self("descriptor", {"uid": "p", "name": "primary"})

    def _frame(self, doc):
        return self.frame

    def look(self, frame):
        """Return what an event with this frame says of its windows."""
        self.frame = frame
        data = {"pixel": 0, "angular_contrast": 0.4}
        return self("event", {"descriptor": "p", "time": 1.9e9, "seq_num": 1, "data": data})["data"]


#: Counts of a frame: some 100 at the peak of a window's EDC, a gap to half a meV.
COUNTS = 6e5

#: Tilt of the face in each pixel, deg; the last one is on the holder.
TILTS = (0.0, 0.15, -0.42, 0.3, -0.05)
HOLDER = len(TILTS)
#: The slit's curvature, energy channels.
CURVE = np.round(0.2 * ANGLE**2).astype(int)


def frames_of_the_run(factors=1.0, counts=COUNTS):
    """Frames of a detector that counts shares of what it is given, which it has on straightened rows."""
    margin, rng = REFERENCE.margin, np.random.default_rng(5)
    means = [live_image(dataclasses.replace(REFERENCE, tilt=tilt), 35.0, 15.0)[margin:-margin] for tilt in TILTS]
    means.append(np.broadcast_to(CutImages(REFERENCE).holder, means[0].shape))
    straight = rng.poisson([factors * mean * (counts / mean.sum()) for mean in means]).astype(np.int32)
    return np.stack([curved(frame) for frame in straight])


def curved(straight):
    """Return a frame, or a flat field, as the curved slit shows it."""
    return np.stack([np.roll(row, -shift) for row, shift in zip(straight, CURVE, strict=True)])


class WavingRun:
    """A run on disk whose face waves, written point by point."""

    def __init__(self, directory, frames, factors=None, **more):
        self.directory, self.folder = directory, directory / "waving"
        self.folder.mkdir()
        told = {} if factors is None else {"flat_field": window_factors(factors, CHANNELS, CURVE).tolist()}
        self.frames, self.start = frames, start_of(record(CURVE.tolist()) | told, **more)
        self.factors = factors

    def documents(self):
        yield "start", self.start
        yield "descriptor", {"uid": "p", "run_start": "waving", "name": "primary", "data_keys": {}}
        for i, frame in enumerate(self.frames):
            yield "stream_datum", {
                "uid": f"f/{i}", "descriptor": "p", "indices": {"start": i, "stop": i + 1},
                "seq_nums": {"start": i + 1, "stop": i + 2},
            }  # fmt: skip
            data = {
                "pixel": i, "manipulator_x": 10.0 * (i % 3), "manipulator_y": 10.0 * (i // 3), "frame_id": 7 + i,
                "angular_contrast": 0.4, "total_counts": float(frame.sum()), "edc": sum_windows(frame, CHANNELS, CURVE),
                "attempt": 1, "ring_current": 300.0, "sample_temperature": 10.0, "pressure": 5e-11,
            }  # fmt: skip
            yield "event", {"uid": f"e/{i}", "descriptor": "p", "seq_num": i + 1, "time": 1.8e9 + i, "data": data,
                            "timestamps": {}, "filled": {}}  # fmt: skip
        yield "stop", {"uid": "s", "run_start": "waving", "time": 1.9e9, "exit_status": "success"}

    def write(self, ids=None):
        """Write frames and journal, and yield after each event; the frame lies there before its event."""
        journal, frames = JournalWriter(self.folder / "raw.journal"), None
        for name, doc in self.documents():
            if name == "event":
                # As in the engine: the start document is there before the file.
                frames = frames or FrameFile(self.folder / "frames.h5", ENERGY, ANGLE, flat_field=self.factors)
                i = doc["data"]["pixel"]
                frames.append(self.frames[i], doc["data"]["frame_id"] if ids is None else ids[i])
            journal(name, doc)
            if name == "event":
                yield i
        journal.close()
        frames.close()

    def fitted(self):
        """Return the data of the derived events, as bytes: NaN and all."""
        path = self.folder / "gap.journal"
        documents = read_documents(path) if path.exists() else ()
        return [encode_record("event", doc["data"]) for name, doc in documents if name == "event"]
