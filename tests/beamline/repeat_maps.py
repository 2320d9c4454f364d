"""Maps of one simulated place, as the engine leaves them on disk, each with its own E_F, exposure and noise."""

import functools
import uuid

import numpy as np
from scipy.special import expit

from microarpes.analysis import LiveGapMap
from microarpes.beamline.journal import JournalWriter

STEP = 10.0
ENERGY = 95.6 + np.arange(-150.0, 60.0) / 1000
WINDOWS = [
    {"name": "-k_F", "angle_low": -1.05, "angle_high": -0.5},
    {"name": "+k_F", "angle_low": 0.5, "angle_high": 1.05},
]
#: meV: energies of the line before the resolution, and its rates.
FINE = np.arange(-230.0, 140.0, 0.5)
GAMMA1, GAMMA0, THERMAL, FWHM = 15.0, 2.0, 0.8617, 10.0


@functools.lru_cache
def resolution(ef):
    kernel = np.exp(-4 * np.log(2) * ((1000 * (ENERGY - ef))[:, None] - FINE) ** 2 / FWHM**2)
    return kernel / kernel.sum(axis=1, keepdims=True)


def spectrum(delta, ef):
    """Norman's line times the Fermi function on a weak background, seen with 10 meV FWHM about an E_F in eV."""
    line = -(1.0 / (FINE + 1j * GAMMA1 - delta**2 / (FINE + 1j * GAMMA0))).imag / np.pi + 0.002
    return resolution(ef) @ (line * expit(-FINE / THERMAL))


def patches(nx, ny):
    """Intensity of a sample that has a dark patch off its middle: where a map is shows in its counts."""
    x, y = np.meshgrid(np.arange(nx), np.arange(ny))
    return 1.0 - 0.6 * np.exp(-((x - 0.6 * nx) ** 2 + (y - 0.4 * ny) ** 2) / 5.0)


class RepeatMap:
    """A map of a place.

    `gaps` (ny, nx) in meV; `ef` (eV) is where the edge is and `told` where the calibration says it is; `peak` are the
    counts in the brightest channel of a window; `metadata` is what its start document says beside.
    """

    def __init__(self, directory, gaps, *, seed, ef=95.6, told=None, peak=200.0, time=1.8e9, bright=None, ef_error=0.0,
                 left_out=(), origin=(0.0, 0.0), **metadata):  # fmt: skip
        self.uid, self.time, self.ef, self.gaps = str(uuid.uuid4()), time, ef if told is None else told, gaps
        self.folder = directory / self.uid
        self.ef_error, self.origin, self.metadata = ef_error, origin, metadata
        ny, nx = gaps.shape
        bright = np.ones((ny, nx)) if bright is None else bright
        rng = np.random.default_rng(seed)
        self.edcs = {}
        for pixel in np.flatnonzero(~np.isin(np.arange(nx * ny), left_out)).tolist():
            line = spectrum(gaps.flat[pixel], ef)
            expected = peak * bright.flat[pixel] * line / line.max()
            self.edcs[pixel] = rng.poisson(expected, (2, ENERGY.size)).astype(np.float64)
        self.folder.mkdir(parents=True)
        self.write()

    def start(self):
        ny, nx = self.gaps.shape
        x0, y0 = self.origin
        lines = {
            "x": {"start": x0, "stop": x0 + STEP * (nx - 1), "num": nx},
            "y": {"start": y0, "stop": y0 + STEP * (ny - 1), "num": ny},
        }
        record = {
            "time": self.time, "ef": [self.ef, self.ef], "ef_error": [self.ef_error] * 2, "resolution": FWHM / 1000,
            "resolution_error": 0.0, "temperature": 10.0, "temperature_error": 0.0, "gain": 1.0,
        }  # fmt: skip
        return {
            "uid": self.uid, "time": self.time, "plan_name": "gap_raster", "num_points": nx * ny, "shape": [ny, nx],
            "grid": lines | {"snake": True, "fast_axis": "x", "units": "um"}, "windows": WINDOWS,
            "energy_axis": ENERGY.tolist(), "angle_axis": np.linspace(-1.0, 1.0, 12).tolist(), "calibration": record,
            "sample": {"id": "Bi2212-7"}, "frame_file": "frames.h5",
            "region": {"lens_mode": "A14", "pass_energy": 10.0, "acquisition_mode": "Fixed", "iterations": 1},
            "source": {"photon_energy": 100.0, "polarisation": "LH", "entrance_slit": 50.0, "exit_slit": 20.0},
        } | self.metadata  # fmt: skip

    def documents(self):
        yield "start", self.start()
        yield "descriptor", {"uid": "primary-uid", "run_start": self.uid, "name": "primary", "data_keys": {}}
        nx = self.gaps.shape[1]
        for number, (pixel, edc) in enumerate(self.edcs.items()):
            row, column = divmod(pixel, nx)
            data = {
                "pixel": pixel, "manipulator_x": self.origin[0] + STEP * column, "edc": edc, "angular_contrast": 0.4,
                "manipulator_y": self.origin[1] + STEP * row, "total_counts": float(edc.sum()), "ring_current": 300.0,
                "live_time": 1.0, "sample_temperature": 10.0, "acquire_time": 1.0, "attempt": 1, "pressure": 5e-11,
            }  # fmt: skip
            yield "event", {
                "uid": f"{self.uid} {pixel}", "descriptor": "primary-uid", "seq_num": number + 1,
                "time": self.time + number, "data": data, "timestamps": dict.fromkeys(data, self.time), "filled": {},
            }  # fmt: skip
        yield "stop", {"uid": "stop", "run_start": self.uid, "time": self.time + 999, "exit_status": "success"}

    def write(self, documents=None, *, fit=False):
        """Write the raw journal anew, and with `fit` that of its live fit."""
        (self.folder / "raw.journal").unlink(missing_ok=True)
        raw = JournalWriter(self.folder / "raw.journal")
        derived = JournalWriter(self.folder / "gap.journal") if fit else None
        router = LiveGapMap(derived)
        for name, doc in documents or self.documents():
            raw(name, doc)
            if fit:
                router(name, doc)
        raw.close()
        if derived is not None:
            derived.close()
