"""Frames of the simulated sample: expected image, dose, Poisson noise."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from microarpes.sim.ageing import AgeingSample
from microarpes.sim.band import WORK_FUNCTION, antinodal_polar, vacuum_wave_number
from microarpes.sim.flat_field import flat_field, swept_flat_field
from microarpes.sim.frame_source import N_ENERGY, SWEPT_CHANNELS, Conditions, Defaults, Frame, Pose, Window
from microarpes.sim.image_cache import GAMMA1_STEP, GAP_STEP, ExpectedImages, lagrange_weights
from microarpes.sim.incident_flux import Dose
from microarpes.sim.photoemission import Cut, live_image
from microarpes.sim.sample import FLATTEST, GAMMA1_MEAN, GAP_MEAN, LIVE, Sample
from microarpes.sim.storage_ring import FULL_CURRENT
from microarpes.sim.truth import STANDARD, Truth

Array = NDArray[np.float64]

#: Dark counts of the whole detector, 1/s.
DARK_RATE = 20.0
#: A transmission mode accepts this angle, deg full width.
TRANSMITTED = 15.0
#: Centre of the window at boot, eV kinetic: E_F (95.6 eV at 100 eV photons) lies 80 channels of 1 meV below the top.
CENTRE_ENERGY = 95.48
#: The window for which the detector rate is quoted: 300 slices over 15 deg about the antinode at 100 eV and 10 K,
#: 400 channels of 1 meV of which the 320th is E_F.
REFERENCE = Cut(-320.0, 1.0, N_ENERGY, 300, 15.0, antinodal_polar(100.0), 0.0, 0.0, vacuum_wave_number(100.0), 10.0)


def cut_for(window: Window, conditions: Conditions, pose: Pose, largest_tilt: float = FLATTEST) -> Cut:
    """Return what the analyser looks at; rounded where a finer distinction would only defeat the cache.

    `largest_tilt` is that of the faces of the sample, deg.
    """
    edge = conditions.photon_energy - WORK_FUNCTION
    lowest = 1e3 * (window.centre_energy - edge - (window.n_energy // 2) * window.step)
    return Cut(
        lowest=round(lowest, 6),
        step=round(1e3 * window.step, 6),
        n_energy=window.n_energy,
        n_angle=window.slices,
        angle_span=window.angle_span if window.angular else TRANSMITTED,
        polar=round(pose.polar + window.deflection, 3),
        tilt=round(pose.tilt, 3),
        azimuth=round(pose.azimuth, 3),
        wave_number=vacuum_wave_number(conditions.photon_energy),
        temperature=round(5.0 * conditions.temperature) / 5.0,
        largest_tilt=largest_tilt,
    )


def shifted(image: Array, channels: float) -> Array:
    """Return an image moved up along its energy axis by a number of channels; the ends are continued."""
    whole = int(np.floor(channels))
    weights = lagrange_weights(np.array(channels - whole))
    last = image.shape[1] - 1
    source = np.arange(image.shape[1]) - whole
    # At a fraction f above the whole shift, channel i shows what was f below i: nodes count downwards.
    nodes = (image[:, np.clip(source - k, 0, last)] for k in range(-1, 3))
    return np.asarray(sum(w * node for w, node in zip(weights, nodes, strict=True)), dtype=np.float64)


class SampleSource:
    """The detector looking at a `Sample`.

    Parameters
    ----------
    sample : Sample
    seed : int
    rate : float
        Counts per second on the whole frame (`REFERENCE`) with the beam on live flake at full ring current.
    noise : {"frame", "pixel"}
        Whether counting noise is seeded by the attempt, so that retakes are independent, or by the requested
        position and the region, so that they are equal, but for the first channel: it has a count more in every other
        exposure, or a retake would be taken for a frame that was sent twice.
    mesh : float
        Depth of the shadow that a mesh throws on the detector; 0 for none.
    space_charge : float
        By how much what the electrons do to one another raises all energies at full ring current without attenuation,
        meV; in proportion to the flux.
    truth : Truth
        What photoemission has beyond one band, and the detector beyond the mesh.
    """

    dtype = "int32"
    defaults = Defaults(
        centre_energy=CENTRE_ENERGY,
        step=1e-3,
        slices=300,
        acquire_time=0.1,
        lens_modes={"Angular7": 7.5, "Angular14": 15.0, "Angular30": 30.0, "Transmission": 2.0},
        lens_mode="Angular14",
        pass_energies=("2", "5", "10", "20", "50", "100"),
        pass_energy="10",  # noqa: S106 - an energy
        photon_energy=100.0,
        # The wider the angle, the less the lens can retard.
        energy_ratios={"Angular7": (2.0, 100.0), "Angular14": (1.5, 60.0), "Angular30": (1.0, 30.0),
                       "Transmission": (0.5, 100.0)},
    )  # fmt: skip

    def __init__(
        self,
        sample: Sample,
        *,
        seed: int,
        rate: float,
        noise: str = "frame",
        mesh: float = 0.0,
        space_charge: float = 0.0,
        truth: Truth = STANDARD,
    ) -> None:
        self._expected, self._truth = ExpectedImages(sample, truth), truth
        self._sample, self._seed, self._noise, self._mesh = sample, seed, noise, mesh
        self._space_charge = space_charge
        self._ageing = sample if isinstance(sample, AgeingSample) else None
        margin = REFERENCE.margin
        total = live_image(REFERENCE, GAP_MEAN, GAMMA1_MEAN, truth)[margin:-margin].sum() * REFERENCE.angle_step
        self._scale = rate / float(total)
        self._stopped = threading.Event()

    def axes(self, window: Window) -> tuple[Array, Array]:
        """Return channel centres: energy, eV kinetic, and angle, deg (mm along the slit in a transmission mode)."""
        n = window.n_energy
        energy = np.asarray(window.centre_energy + (np.arange(n) - n // 2) * window.step, np.float64)
        width = window.angle_span / window.slices
        angle = np.asarray((np.arange(window.slices) + 0.5) * width - window.angle_span / 2, dtype=np.float64)
        return energy, angle

    def check(self, pose: Pose) -> None:
        """Accept any pose: beside the flake lies the holder."""

    def stop(self) -> None:
        """Make `prepare` return."""
        self._stopped.set()

    def prepare(self, window: Window, conditions: Conditions, pose: Pose) -> None:
        """Compute the images a raster within 100 um of the origin will need, the tails of its beam included."""
        axis = np.arange(-120.0, 121.0, 4.0)
        x, y = (v.ravel() for v in np.meshgrid(axis, axis))
        live = self._sample.surface_at(x, y) == LIVE
        i = np.floor(self._sample.gap_at(x[live], y[live]) / GAP_STEP).astype(int)
        j = np.floor(self._sample.gamma1_at(x[live], y[live]) / GAMMA1_STEP).astype(int)
        images = self._expected.images(cut_for(window, conditions, pose, self._sample.largest_tilt))
        around = range(-1, 3)  # the nodes of a cubic interpolation
        for a, b in sorted({(m + p, n + q) for m, n in zip(i, j, strict=True) for p in around for q in around}):
            if self._stopped.is_set():
                return
            images.node(int(a), int(b))

    def expected(self, window: Window, conditions: Conditions, poses: Sequence[Pose], dose: Dose) -> Array:
        """Return mean counts, shape (n_angle, n_energy)."""
        mean = np.zeros((window.slices, window.n_energy))
        counted = SWEPT_CHANNELS / window.points if window.swept else 1.0
        if dose.charge > 0.0:
            for pose in poses:
                cut = cut_for(window, conditions, pose, self._sample.largest_tilt)
                image = self._expected.expected(cut, pose.x, pose.y)
                mean += image if self._ageing is None else image * self._ageing.brightness_at(pose.x, pose.y)
            if shift := conditions.edge_shift + self._space_charge * dose.flux:
                mean = shifted(mean, shift / (1e3 * window.step))
            if not window.angular:
                mean[:] = mean.mean(axis=0)
            per_degree = (window.angle_span if window.angular else TRANSMITTED) / window.slices
            charge = np.array(dose.channel_charge) if dose.channel_charge else dose.charge
            mean *= self._scale * per_degree * conditions.brightness / len(poses) * charge / FULL_CURRENT
            if self._mesh or self._truth.gain_pattern:
                mean *= self._flat_field(window)
        return mean + DARK_RATE * counted * dose.exposure / mean.size

    def _flat_field(self, window: Window) -> Array:
        """Return the share that each channel of a frame counts."""
        uneven = self._mesh, self._truth.gain_pattern
        if window.swept:
            return swept_flat_field(window.slices, window.n_energy, SWEPT_CHANNELS, *uneven)
        return flat_field(window.slices, window.n_energy, *uneven)

    def frame(self, window: Window, conditions: Conditions, poses: Sequence[Pose], dose: Dose, attempt: int) -> Frame:
        """Return Poisson counts."""
        if self._ageing is not None:
            self._ageing.expose(attempt, poses, dose.nominal_seconds)
        mean = self.expected(window, conditions, poses, dose)
        entropy = [self._seed, attempt] if self._noise == "frame" else self._pixel_entropy(window, poses[-1])
        rng = np.random.Generator(np.random.SFC64(entropy))
        counts = rng.poisson(mean).astype(np.int32)
        if self._noise == "pixel":
            counts[0, 0] += attempt % 2
        return Frame(counts)

    def _pixel_entropy(self, window: Window, pose: Pose) -> list[int]:
        lengths = (pose.x_setpoint, pose.y_setpoint, pose.z, pose.polar, pose.tilt, pose.azimuth)
        region = (
            *(window.centre_energy, window.step, window.slices, window.angle_span, window.exposure),
            *(window.n_energy, float(window.swept), window.deflection),
        )
        nanometres = [round(1e3 * v) & 0xFFFFFFFF for v in lengths]
        return [self._seed, 0x9E, *nanometres, *(round(1e6 * v) & 0xFFFFFFFF for v in region)]
