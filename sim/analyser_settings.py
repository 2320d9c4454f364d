"""Settings of the simulated analyser: what a client writes or reads of a vendor's driver and of areaDetector."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from microarpes.sim.frame_source import N_ENERGY, SWEPT_CHANNELS, FrameRefusedError, FrameSource, Window
from microarpes.sim.setting_pairs import Blocked, Notice, SettingPairs
from microarpes.sim.signals import OnPut, Signals, choice, count, doubles, number, text
from microarpes.sim.vendors import Vendor

#: Most energy channels, and most channels of a frame: the driver's arrays have no room for more.
MOST_ENERGIES, MOST_CHANNELS = 1000, 1_000_000
#: Settings that decide the axes of a frame.
_AXES = ("CENTRE_ENERGY", "LOW_ENERGY", "HIGH_ENERGY", "STEP_SIZE", "SLICES", "LENS_MODE", "ACQ_MODE", "DEFLECTION")
_TYPES = ("Int8", "UInt8", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float32", "Float64")


class AnalyserSettings:
    """What is set, and the window it makes.

    Parameters
    ----------
    cam : str
        Prefix of the driver's PVs.
    vendor : Vendor
    source : FrameSource
        Gives the axes.
    notice : callable
        Shows a message to the operator.
    blocked : callable
        Why settings must not change now; empty when they may.
    on_window : callable
        Called when the axes have changed.
    """

    def __init__(
        self,
        cam: str,
        vendor: Vendor,
        source: FrameSource,
        *,
        notice: Notice,
        blocked: Blocked,
        on_window: Callable[[], None],
    ) -> None:
        self._vendor, self._source, self._defaults = vendor, source, source.defaults
        self._on_window, self._notice = on_window, notice
        self._pairs = SettingPairs(notice, blocked, self._changed)
        self._defined = self._validated = not vendor.needs_definition
        self._numbers()
        self._choices()
        self._geometry()
        self._described_signals = self._pairs.signals
        energy, angle = source.axes(self.window)
        for name, value in self._described().items():
            self._described_signals[name]._data["value"] = value  # noqa: SLF001 - nobody is connected yet
        self._described_signals["X_SCALE_RBV"] = doubles(energy, "eV", room=max(4000, energy.size))
        self._described_signals["Y_SCALE_RBV"] = doubles(angle, "deg", room=max(1000, angle.size))
        inner = {"DEFLECTION", "DEFLECTION_RBV"} | (set() if vendor.slice_edges else {"Y_MIN_RBV", "Y_MAX_RBV"})
        served = {name: signal for name, signal in self._pairs.signals.items() if name not in inner}
        named = ((vendor.suffix(name), signal) for name, signal in served.items())
        self.signals: Signals = {cam + name: signal for name, signal in named if name is not None}
        self.signals |= {cam + name: signal for name, signal in self._vendor_only().items()}

    def value(self, name: str) -> Any:
        """Return the present value of a setting, by the SES driver's name."""
        return self._pairs.value(name)

    @property
    def swept(self) -> bool:
        """Whether the energies are swept."""
        return bool(self.value("ACQ_MODE") == self._vendor.swept)

    @property
    def window(self) -> Window:
        """What decides the frame."""
        mode = str(self.value("LENS_MODE"))
        step, iterations = float(self.value("STEP_SIZE")), int(self.value("NumExposures"))
        n, centre = N_ENERGY, float(self.value("CENTRE_ENERGY"))
        if self.swept:
            low = float(self.value("LOW_ENERGY"))
            n = round((float(self.value("HIGH_ENERGY")) - low) / step) + 1
            centre = low + (n // 2) * step
        points = n + SWEPT_CHANNELS if self.swept else 1
        return Window(
            centre_energy=centre,
            step=step,
            slices=int(self.value("SLICES")),
            angle_span=self._defaults.lens_modes[mode],
            exposure=float(self.value("AcquireTime")) * iterations * points,
            n_energy=n,
            iterations=iterations,
            swept=self.swept,
            angular=not mode.startswith("Transmission"),
            deflection=float(self.value("DEFLECTION")),
        )

    def checked_window(self) -> Window:
        """Return the window of an exposure that begins.

        Raises
        ------
        FrameRefusedError
            The settings do not make a spectrum, or the driver has not been told that they do.
        """
        window = self.window
        room = min(MOST_ENERGIES, MOST_CHANNELS // window.slices)
        if not 2 <= window.n_energy <= room:
            raise FrameRefusedError(
                f"a sweep from {self.value('LOW_ENERGY'):g} to {self.value('HIGH_ENERGY'):g} eV in steps of "
                f"{window.step:g} eV has {window.n_energy} energies; 2 to {room} can be taken with these slices"
            )
        self._check_lens(window)
        if not self._validated:
            raise FrameRefusedError("no valid spectrum: put DEFINE_SPECTRUM and VALIDATE_SPECTRUM before Acquire")
        return window

    def _check_lens(self, window: Window) -> None:
        """Refuse kinetic energies the lens table does not cover at this pass energy."""
        mode, pass_energy = str(self.value("LENS_MODE")), float(self.value("PASS_ENERGY"))
        ends = ("LOW_ENERGY", "HIGH_ENERGY") if window.swept else ("CENTRE_ENERGY",)
        low, high = self._defaults.energy_ratios.get(mode, (0.0, np.inf))
        for energy in (float(self.value(name)) for name in ends):
            if not low <= energy / pass_energy <= high:
                raise FrameRefusedError(
                    f"{energy:g} eV is {energy / pass_energy:.3g} times the pass energy of {pass_energy:g} eV; "
                    f"lens mode {mode} takes {low:g} to {high:g} times"
                )

    def _numbers(self) -> None:
        boot, pairs = self._defaults, self._pairs
        pairs.number("AcquireTime", boot.acquire_time, 1e-3, 3600.0, "s")
        pairs.number("AcquirePeriod", 0.0, 0.0, 3600.0, "s")
        # The SES driver's name of the same record.
        for end in ("", "_RBV"):
            pairs.signals[f"STEP_TIME{end}"] = pairs.signals[f"AcquireTime{end}"]
        centre, step, slices = (1.0, 1500.0), (1e-4, 0.02), (1, 1000)
        if boot.fixed_axes:
            centre = (boot.centre_energy - boot.step, boot.centre_energy + boot.step)
            step, slices = (0.99 * boot.step, 1.01 * boot.step), (boot.slices, boot.slices)
        pairs.number("CENTRE_ENERGY", boot.centre_energy, *centre, "eV")
        pairs.number("STEP_SIZE", boot.step, *step, "eV")
        pairs.number("EXCITATION_ENERGY", boot.photon_energy, 1.0, 1500.0, "eV")
        pairs.number("Gain", 1.0, 1.0, 1.0)
        pairs.number("DEFLECTION", 0.0, -15.0, 15.0, "deg")
        pairs.count("SLICES", boot.slices, *slices)
        pairs.count("NumExposures", 1, 1, 10_000)
        pairs.count("NumImages", 1, 1, 1_000_000)
        pairs.count("FRAMES", 1, 1, 10_000)
        for name, low, high in (("BinX", 1, 1), ("BinY", 1, 1), ("MinX", 0, 0), ("MinY", 0, 0)):
            pairs.count(name, low, low, high)
        for name, edge in (("LOW_ENERGY", "low"), ("HIGH_ENERGY", "high")):
            pairs.number(name, 0.0, 0.0, 1500.0, "eV", fixed=self._why_fixed(edge))

    def _why_fixed(self, edge: str) -> Callable[[], str]:
        return lambda: "" if self.swept else f"the {edge} end follows CENTRE_ENERGY in {self._vendor.fixed} mode"

    def _choices(self) -> None:
        boot, vendor, choose = self._defaults, self._vendor, self._pairs.choice
        modes = (vendor.fixed,) if boot.fixed_axes else (vendor.fixed, vendor.swept)
        choose("ACQ_MODE", vendor.modes, vendor.fixed, only=modes)
        choose("ENERGY_MODE", vendor.energy_modes, "Kinetic", only=("Kinetic",))
        choose("LENS_MODE", tuple(boot.lens_modes), boot.lens_mode)
        if vendor.pass_energy_number:
            self._pairs.number("PASS_ENERGY", float(boot.pass_energy), 1.0, 660.0, "eV")
        else:
            choose("PASS_ENERGY", boot.pass_energies, boot.pass_energy)
        choose("ELEMENT_SET", ("Low Pass", "High Pass"), "Low Pass")
        choose("DETECTOR_MODE", ("Pulse Counting", "ADC"), "Pulse Counting", only=("Pulse Counting",))
        choose("ImageMode", ("Single", "Multiple", "Continuous"), "Single")
        choose("TriggerMode", ("Internal", "External"), "Internal", only=("Internal",))
        served = "Int32" if self._source.dtype == "int32" else "Float64"
        choose("DataType", _TYPES, served, only=(served,))
        choose("ColorMode", ("Mono", "Bayer", "RGB1", "RGB2", "RGB3"), "Mono", only=("Mono",))
        for name in ("ReverseX", "ReverseY", "WaitForPlugins", "ALWAYS_DELAY"):
            choose(name, ("No", "Yes"), "No", only=("No",) if name.startswith("Reverse") else ())
        choose("ArrayCallbacks", ("Disable", "Enable"), "Enable", only=("Enable",))
        for name in ("REGION_NAME", "EXTIO", "NDAttributesFile"):
            self._pairs.signals[name] = text("", writable=True, long=name == "NDAttributesFile")

    def _geometry(self) -> None:
        signals = self._pairs.signals
        whole = ("ArraySizeX", "ArraySizeY", "ArraySizeZ", "ArraySize", "MaxSizeX", "MaxSizeY", "SizeX", "SizeY")
        for name in (*whole, "TOTAL_POINTS_ITERATION", "TOTAL_DATA_POINTS", "TOTAL_LEAD_POINTS"):
            signals[f"{name}_RBV"] = count(0)
        for name in ("SizeX", "SizeY"):
            signals[name] = signals[f"{name}_RBV"]
        for name, units in (("ENERGY_WIDTH", "eV"), ("Y_MIN", "deg"), ("Y_MAX", "deg")):
            signals[f"{name}_RBV"] = number(0.0, units)
        signals["X_UNITS_RBV"], signals["Y_UNITS_RBV"] = text("eV", long=False), text("deg", long=False)
        signals["MAX_FRAMES_RBV"] = count(10_000)

    def _vendor_only(self) -> Signals:
        """Return what this driver alone has."""
        vendor, pairs = self._vendor, self._pairs.signals
        made: dict[type, Callable[[Any], Any]] = {float: number, int: count, str: lambda v: text(v, long=False)}
        found: Signals = {name: made[type(value)](value) for name, value in vendor.extra.items()}
        if vendor.deflector:
            found |= {vendor.deflector + end: pairs[f"DEFLECTION{end}"] for end in ("", "_RBV")}
        if vendor.needs_definition:
            for name, put in (("DEFINE_SPECTRUM", self._put_define), ("VALIDATE_SPECTRUM", self._put_validate)):
                found[name] = choice(("Done", "Start"), "Done", on_put=_when_started(put))
        return found

    async def _put_define(self) -> None:
        self._defined = True

    async def _put_validate(self) -> None:
        if not self._defined:
            await self._notice("no spectrum to validate: put DEFINE_SPECTRUM first")
            return
        try:
            self._check_lens(self.window)
        except FrameRefusedError as error:
            await self._notice(str(error))
        else:
            self._validated = True

    def _described(self) -> dict[str, float | int | str]:
        window = self.window
        energy, angle = self._source.axes(window)
        low, high = float(energy[0]), float(energy[-1])
        nx, ny = energy.size, angle.size
        half = 0.5 * window.angle_span / max(ny, 1)
        found: dict[str, float | int | str] = {
            "ENERGY_WIDTH_RBV": high - low, "ArraySizeX_RBV": nx, "ArraySizeY_RBV": ny, "ArraySizeZ_RBV": 0,
            "ArraySize_RBV": nx * ny * (4 if self._source.dtype == "int32" else 8), "MaxSizeX_RBV": nx,
            "MaxSizeY_RBV": max(1000, ny), "SizeX_RBV": nx, "SizeY_RBV": ny,
            "Y_MIN_RBV": float(angle[0]) - half, "Y_MAX_RBV": float(angle[-1]) + half,
            "Y_UNITS_RBV": "deg" if window.angular else "mm", "TOTAL_DATA_POINTS_RBV": nx,
            "TOTAL_POINTS_ITERATION_RBV": nx if self._vendor.slice_edges or not window.swept else window.points,
            "TOTAL_LEAD_POINTS_RBV": window.points - nx if window.swept else 0,
        }  # fmt: skip
        if window.swept:
            return found | {"CENTRE_ENERGY": (low + high) / 2, "CENTRE_ENERGY_RBV": (low + high) / 2}
        return found | {"LOW_ENERGY": low, "LOW_ENERGY_RBV": low, "HIGH_ENERGY": high, "HIGH_ENERGY_RBV": high}

    async def _changed(self, name: str) -> None:
        """Let everything follow a setting; a sweep that makes no spectrum leaves the axes until it does."""
        if self._vendor.needs_definition:
            self._defined = self._validated = False
        if name not in _AXES:
            return
        if self.swept and name == "CENTRE_ENERGY":
            await self._centre_sweep()
        window = self.window
        if not 2 <= window.n_energy <= MOST_ENERGIES:
            return
        energy, angle = self._source.axes(window)
        await self._described_signals["X_SCALE_RBV"].post(energy)
        await self._described_signals["Y_SCALE_RBV"].post(angle)
        for described, value in self._described().items():
            await self._described_signals[described].post(value)
        self._on_window()

    async def _centre_sweep(self) -> None:
        low, high = float(self.value("LOW_ENERGY")), float(self.value("HIGH_ENERGY"))
        moved = float(self.value("CENTRE_ENERGY")) - (low + high) / 2
        await self._pairs.show("LOW_ENERGY", low + moved)
        await self._pairs.show("HIGH_ENERGY", high + moved)


def _when_started(command: Callable[[], Awaitable[None]]) -> OnPut:
    """Return an `on_put` of a command that clears itself."""

    async def on_put(value: str) -> str:
        if value == "Start":
            await command()
        return "Done"

    return on_put
