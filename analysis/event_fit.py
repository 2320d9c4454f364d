"""One raw event to one record of the derived run."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from microarpes.analysis.calibration import Calibration
from microarpes.analysis.compiled_setup import choose_engine
from microarpes.analysis.fitter import GapFitter
from microarpes.analysis.gap_map import FITTED, K_F_CENTRE, POSITIONS
from microarpes.analysis.k_f_centre import gap_error_of_centre
from microarpes.analysis.k_f_verdict import FOUND, UNKNOWN
from microarpes.analysis.line_shape import Array
from microarpes.analysis.linear_range import LinearRange
from microarpes.analysis.results import GapFit, Status
from microarpes.analysis.units import energy_from_kinetic, mev_from_ev

__all__ = ["EventFitter", "RunLayout"]

#: Fitters kept: a run has few calibrations, each with one fitter per window and one for all, and flat fields of them.
KEPT_FITTERS = 24
#: What an event says of k_F that no reader of frames has seen.
NO_FRAME = "no-frame"
OK = Status.OK.label


@dataclass(frozen=True)
class RunLayout:
    """What a raw run's start document says about its events.

    Attributes
    ----------
    shape : (int, int)
        (ny, nx).
    windows : tuple of str
    energy_axis : ndarray, shape (n_energy,), eV kinetic
    linear_range : LinearRange or None
        Rates at which the detector is linear, where the run declares them.
    follow_k_f : bool
        Whether the windows follow k_F, pixel by pixel.
    fit_depth : float or None, meV
        How far below the gap the fits look; see `GapFitter`.
    repeats : int
        How often the windows were measured: calibration and EDCs of an event are those of all windows the first time,
        then the second, and so on, and all EDCs of one window are fitted together.
    """

    shape: tuple[int, int]
    windows: tuple[str, ...]
    energy_axis: Array
    linear_range: LinearRange | None = None
    follow_k_f: bool = False
    fit_depth: float | None = None
    repeats: int = 1

    @classmethod
    def from_start(cls, doc: Mapping[str, Any]) -> RunLayout:
        """Read a start document; KeyError, TypeError or ValueError when it is not that of a raster."""
        grid = doc["grid"]
        shape = (int(grid["y"]["num"]), int(grid["x"]["num"]))
        windows = tuple(str(window["name"]) for window in doc["windows"])
        axis = np.array(doc["energy_axis"], dtype=np.float64)
        if min(shape) < 1 or not windows or axis.ndim != 1:
            raise ValueError(
                f"shape {shape}, {len(windows)} windows and energy_axis of shape {axis.shape} make no raster"
            )
        depth = None if doc.get("fit_depth") is None else float(mev_from_ev(float(doc["fit_depth"])))
        return cls(shape, windows, axis, LinearRange.from_start(doc), bool(doc.get("follow_k_f", False)), depth)


class EventFitter:
    """Fits the EDCs of events, keeping the fitters of the calibrations in use.

    Parameters
    ----------
    model : str
    gamma0 : str or float
    """

    def __init__(self, model: str, gamma0: str | float) -> None:
        self.model = model
        self.gamma0 = gamma0
        self._fitters: OrderedDict[tuple[Any, ...], GapFitter] = OrderedDict()

    def engine(self, layout: RunLayout) -> str:
        """Name the engine that fits the EDCs of a run; equal engines give equal bits."""
        return choose_engine(None, self.model, layout.energy_axis)

    def fit(self, layout: RunLayout, calibration: Calibration | None, data: Mapping[str, Any]) -> dict[str, Any]:
        """Fit one event.

        Parameters
        ----------
        layout : RunLayout
        calibration : Calibration or None
            None when there is no usable record: the event is ``bad-input``.
        data : mapping
            The event's data; anything may be missing or wrong. Its ``flat_field`` [n_window, n_energy], where its
            windows lie elsewhere than planned, stands in the place of the record's.

        Returns
        -------
        dict
            A record as `GapMap.update` takes it.
        """
        n_window = len(layout.windows)
        pixel = _pixel(data.get("pixel"), layout.shape)
        record: dict[str, Any] = {"pixel": pixel, **{name: _number(data.get(name)) for name in POSITIONS}}
        record["calibration_time"] = np.nan if calibration is None else calibration.time
        edc = _edc(data.get("edc"), n_window * layout.repeats, layout.energy_axis.size)
        contrast = record["angular_contrast"]
        if calibration is not None:
            calibration = calibration.through(data.get("flat_field"))
        if calibration is None or pixel < 0:
            edc = None
        verdict = Status.BAD_INPUT
        if edc is not None and calibration is not None and layout.linear_range is not None:
            if layout.linear_range.exceeded(edc, _number(data.get("live_time")), calibration.gain):
                edc, verdict = None, Status.SATURATED
        windows = [self._one(layout, calibration, i, edc, contrast) for i in range(n_window)]
        joint = self._joint(layout, calibration, edc, contrast)
        for name in FITTED:
            record[name] = [_value(fit, name) for fit in windows]
            record[f"joint_{name}"] = _value(joint, name)
        record["status"] = [verdict.label if fit is None else fit.status for fit in windows]
        record["joint_status"] = verdict.label if joint is None else joint.status
        if layout.follow_k_f:
            record |= {name: _number(data.get(name)) for name in K_F_CENTRE}
            record["k_f_status"] = str(data.get("k_f_status", NO_FRAME))
            edcs = _beside(data, n_window, layout.energy_axis.size)
            if calibration is not None and edcs is not None:
                flats = data.get("flat_field_beside", (None, None))
                beside = [(edc, calibration.through(flat)) for edc, flat in zip(edcs, flats, strict=True)]
                self._add_error_of_centre(layout, record, beside, _number(data.get("beside_step")))
        return record

    def _add_error_of_centre(
        self, layout: RunLayout, record: dict[str, Any], beside: list[tuple[Array, Calibration]], step: float
    ) -> None:
        """Add to the systematic errors what the error of the k_F centre means for the gaps.

        `beside` is what windows a step lower and higher have counted, (n_window, n_energy), and what it is fitted with.
        """
        contrast = record["angular_contrast"]
        error = record["k_f_centre_error"] if record["k_f_status"] in FOUND else UNKNOWN

        def total(gap: float, systematic: float, moved: list[GapFit | None]) -> float:
            lower, higher = (_value(fit, "delta") for fit in moved)
            return math.hypot(systematic, gap_error_of_centre(gap, lower, higher, step, error))

        for i, status in enumerate(record["status"]):
            if status == OK:
                moved = [self._one(layout, calibration, i, edc, contrast) for edc, calibration in beside]
                found = record["delta"][i], record["delta_systematic"][i]
                record["delta_systematic"][i] = total(*found, moved)
        if record["joint_status"] == OK:
            moved = [self._joint(layout, calibration, edc, contrast) for edc, calibration in beside]
            record["joint_delta_systematic"] = total(record["joint_delta"], record["joint_delta_systematic"], moved)

    def fit_look(self, layout: RunLayout, calibration: Calibration | None, data: Mapping[str, Any]) -> dict[str, Any]:
        """Fit a look at a control pixel: as `fit`, and what beam it had, ``dose`` and ``beam``, and its k_F centre."""
        beam = _number(data.get("i0", np.nan))
        if np.isnan(beam):
            beam = _number(data.get("ring_current")) * _number(data.get("live_time"))
        told = {name: _number(data.get(name)) for name in ("dose", "k_f_centre", "k_f_centre_error")}
        return {**self.fit(layout, calibration, data), **told, "beam": beam}

    def _one(
        self, layout: RunLayout, calibration: Calibration | None, i: int, edc: Array | None, contrast: float
    ) -> GapFit | None:
        """Fit one window, however often it was measured."""
        if edc is None or calibration is None:
            return None
        chosen = tuple(range(i, len(edc), len(layout.windows)))
        fitter = self.fitter(layout, calibration, chosen)
        if fitter is None:
            return None
        return fitter.fit(edc[i], contrast) if len(chosen) == 1 else fitter.fit_joint(edc[list(chosen)], contrast)

    def _joint(
        self, layout: RunLayout, calibration: Calibration | None, edc: Array | None, contrast: float
    ) -> GapFit | None:
        """Fit all windows together."""
        if edc is None or calibration is None:
            return None
        fitter = self.fitter(layout, calibration, tuple(range(len(edc))))
        return None if fitter is None else fitter.fit_joint(edc, contrast)

    def fitter(self, layout: RunLayout, calibration: Calibration, windows: tuple[int, ...]) -> GapFitter | None:
        """Return the fitter of some windows, by number; None when axis or calibration allow none."""
        plain = replace(calibration, flat_field=None)
        key = (layout.energy_axis.tobytes(), plain, windows, layout.fit_depth)
        try:
            fitter = self._kept(key, lambda: self._made(layout, plain, windows))
            flat = _factors(calibration, windows)
            return fitter if flat is None else self._kept((*key, flat.tobytes()), lambda: fitter.through(flat))
        except ValueError:
            return None  # an axis that is no axis, factors that are none: bad-input, for every event

    def _kept(self, key: tuple[Any, ...], make: Callable[[], GapFitter]) -> GapFitter:
        """Return the fitter of a key, made at first use."""
        if key not in self._fitters:
            self._fitters[key] = make()
        self._fitters.move_to_end(key)
        if len(self._fitters) > KEPT_FITTERS:
            self._fitters.popitem(last=False)
        return self._fitters[key]

    def _made(self, layout: RunLayout, calibration: Calibration, windows: tuple[int, ...]) -> GapFitter:
        """Make the fitter of some windows, without a flat field."""
        axes = np.stack([energy_from_kinetic(layout.energy_axis, calibration.ef[i]) for i in windows])
        return GapFitter(
            axes if len(windows) > 1 else axes[0],
            resolution=float(mev_from_ev(calibration.resolution)),
            temperature=calibration.temperature,
            model=self.model,
            gain=calibration.gain,
            # windows share the analyser, so their edges err together
            ef_error=float(mev_from_ev(max(calibration.ef_error[i] for i in windows))),
            gamma0=self.gamma0,
            resolution_error=float(mev_from_ev(calibration.resolution_error)),
            temperature_error=calibration.temperature_error,
            fit_depth=layout.fit_depth,
        )


def _edc(value: Any, n_window: int, n_energy: int) -> Array | None:
    """EDCs of an event as an array of the right shape, or None."""
    try:
        edc = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return edc if edc.shape == (n_window, n_energy) else None


def _beside(data: Mapping[str, Any], n_window: int, n_energy: int) -> Array | None:
    """EDCs of windows a step lower and a step higher, or None."""
    pair = data.get("edc_beside")
    if pair is None or len(pair) != 2:
        return None
    lower, higher = (_edc(edc, n_window, n_energy) for edc in pair)
    return None if lower is None or higher is None else np.stack([lower, higher])


def _pixel(value: Any, shape: tuple[int, int]) -> int:
    """Pixel index, -1 for what is none of the map's."""
    number = _number(value)
    inside = np.isfinite(number) and number == int(number) and 0 <= number < shape[0] * shape[1]
    return int(number) if inside else -1


def _number(value: Any) -> float:
    """Plain float, NaN for what is no number."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _value(fit: GapFit | None, name: str) -> float:
    return float("nan") if fit is None else float(getattr(fit, name))


def _factors(calibration: Calibration, windows: tuple[int, ...]) -> Array | None:
    """Flat field of some windows; of a single one, of the shape of its axis."""
    if calibration.flat_field is None:
        return None
    factors = np.array([calibration.flat_field[i] for i in windows])
    return factors if len(windows) > 1 else factors[0]
