"""The parts of a report about how it was measured: settings, the gate, interruptions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from microarpes.beamline.guarded_hdf5 import TEXTS, own_dataset
from microarpes.beamline.journal import FRAME_FILE
from microarpes.beamline.moved_windows import open_frames
from microarpes.beamline.recording_format import RecordingError
from microarpes.beamline.report_material import (
    NOTHING,
    Material,
    Section,
    Table,
    as_float,
    clock,
    count,
    mean_and_range,
    number,
    part,
    significant,
    told,
)
from microarpes.plans.surface_temperature import surface_alarm, surface_told

#: Of the region: its key, what it is called, its unit.
REGION = (
    ("name", "name", ""), ("acquisition_mode", "mode", ""), ("lens_mode", "lens mode", ""),
    ("pass_energy", "pass energy", "eV"), ("low_energy", "lowest kinetic energy", "eV"),
    ("centre_energy", "centre of kinetic energy", "eV"), ("high_energy", "highest kinetic energy", "eV"),
    ("energy_step", "energy step", "eV"), ("slices", "slices", ""), ("iterations", "iterations", ""),
    ("acquire_time", "exposure", "s"), ("deflector_angle", "deflector", "deg"), ("driver", "driver", ""),
)  # fmt: skip
#: What events say of the surroundings: key, name, unit, digits that count.
SURROUNDINGS = (
    ("sample_temperature", "sample temperature", "K", 4),
    ("pressure", "pressure", "mbar", 3),
    ("ring_current", "ring current", "mA", 4),
    ("i0", "I0 over an exposure", "nA s", 4),
)
#: Reasons named one by one.
_NAMED = 12
#: A pause between two points that is told: so many times the median, and so many seconds at the least.
_LONG, _LEAST = 10.0, 10.0


def settings(material: Material) -> Section:
    """Tell region, windows, calibration, source and surroundings."""
    start = material.start
    tables = [
        Table("Region", ("setting", "value"), _region_rows(part(start, "region"))),
        Table("Raster", ("setting", "value"), _raster_rows(material)),
        Table("Windows at k_F", ("window", "from (deg)", "to (deg)"), _window_rows(material)),
        Table("Photon source", ("setting", "value"), _source_rows(material)),
        *_calibration_tables(material),
        Table("Over the run", ("quantity", "mean", "least", "greatest", "unit"), _surroundings(material)),
    ]
    return Section("Settings", _surface_sentences(material), [table for table in tables if table.rows])


def _region_rows(region: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return told((name, _with_unit(region.get(key), unit)) for key, name, unit in REGION)


def _with_unit(value: Any, unit: str) -> str:
    if value is None or value == "":
        return ""
    text = significant(value, 8) if isinstance(value, float) else str(value)
    return f"{text} {unit}".rstrip()


def _raster_rows(material: Material) -> list[tuple[str, ...]]:
    grid = part(material.start, "grid")
    rows = [(f"{axis}", _line(part(grid, axis))) for axis in ("x", "y")]
    frames = part(material.start, "sub_frames")
    parts = as_float(frames.get("number"))
    summed = f"{parts:.0f} of {_with_unit(frames.get('acquire_time'), 's')}" if parts > 1 else ""
    shape, order = part(material.start, "raster_shape"), "snake" if grid.get("snake") else "row by row"
    if (kind := shape.get("kind", "grid")) != "grid":
        rows.append(("shape", f"{kind}, {material.start.get('num_points')} of these pixels"))
        order = order if "snake" in shape or kind == "mask" else "as the shape says"
    return told([*rows, ("order", order), ("sub-frames a pixel", summed)])


def _line(line: Mapping[str, Any]) -> str:
    if not line:
        return ""
    return f"{significant(line.get('start'))} to {significant(line.get('stop'))} µm in {line.get('num')} pixels"


def _window_rows(material: Material) -> list[tuple[str, ...]]:
    windows = material.derived.get("windows") or material.start.get("windows") or []
    return [(str(w.get("name")), significant(w.get("angle_low")), significant(w.get("angle_high"))) for w in windows]


def _source_rows(material: Material) -> list[tuple[str, ...]]:
    source, beam = part(material.start, "source"), part(material.start, "beam")
    spot = beam.get("footprint") or beam.get("spot_size") or ()
    size = " × ".join(significant(value, 3) for value in spot)
    return told(
        [
            ("photon energy", _with_unit(source.get("photon_energy"), "eV")),
            ("polarisation", source.get("polarisation")),
            ("entrance slit", _with_unit(source.get("entrance_slit"), "µm")),
            ("exit slit", _with_unit(source.get("exit_slit"), "µm")),
            ("attenuator's transmission", significant(source.get("transmission"))),
            ("incidence", _with_unit(beam.get("incidence"), "deg from the lens axis")),
            ("footprint" if beam.get("footprint") else "spot", f"{size} µm FWHM" if size else ""),
        ]
    )


def _surface_sentences(material: Material) -> list[str]:
    """Tell of each reference whose edge told a temperature what it told, and whether surface and sensor differ."""
    records = [record for _, record in material.calibrations]
    alarms = [f"{alarm[0].upper()}{alarm[1:]}." for record in records if (alarm := surface_alarm(record))]
    told = [text for record in records if (text := surface_told(record))]
    return alarms or ([f"Last reference: {told[-1]}."] if told else [])


def _calibration_tables(material: Material) -> list[Table]:
    tables = []
    for i, (since, record) in enumerate(material.calibrations):
        when = "" if i == 0 else f", from {clock(since)} on"
        rows: list[tuple[str, ...]] = []
        windows = [str(window.get("name")) for window in material.start.get("windows") or []]
        edges = np.atleast_1d(np.asarray(record.get("ef", ()), dtype=np.float64))
        errors = np.atleast_1d(np.asarray(record.get("ef_error", np.full(edges.shape, np.nan)), dtype=np.float64))
        for name, edge, error in zip(windows, edges, errors, strict=False):
            rows.append((f"E_F of window {name}", number(edge, 4), number(error, 4), "eV kinetic"))
        for key, name, scale, digits, unit in (
            ("resolution", "energy resolution (FWHM)", 1000.0, 2, "meV"),
            ("temperature", "temperature in the fit", 1.0, 2, "K"),
            ("sensor_temperature", "temperature of the sensor", 1.0, 2, "K"),
            ("edge_temperature", "temperature of the surface, by the edge", 1.0, 2, "K"),
            ("gain", "gain", 1.0, 3, "detector units per photoelectron"),
        ):
            error = scale * as_float(record.get(f"{key}_error"))
            rows.append((name, number(scale * as_float(record.get(key)), digits), number(error, digits), unit))
        if assumed := record.get("edge_assumed"):
            rows.append(("assumed in the fit of the edge", str(assumed), NOTHING, ""))
        known = [row for row in rows if row[1] != NOTHING]
        tables.append(Table(f"Calibration{when}", ("quantity", "value", "error (one sigma)", "unit"), known))
    return tables


def _surroundings(material: Material) -> list[tuple[str, ...]]:
    data = [event["data"] for event in material.run.events.values()]
    rows: list[tuple[str, ...]] = []
    for key, name, unit, digits in SURROUNDINGS:
        mean, least, greatest = mean_and_range((point.get(key) for point in data), digits)
        if mean != NOTHING:
            rows.append((name, mean, least, greatest, unit))
    return rows


def gate(material: Material) -> Section:
    """Tell how many points were taken again, and what was refused and why."""
    attempts = [as_float(event["data"].get("attempt")) for event in material.run.events.values()]
    known = [value for value in attempts if math.isfinite(value)]
    again = [value for value in known if value > 1]
    said = []
    if known:
        most = f", one of them {max(again):.0f} times" if again else ""
        said.append(f"{len(again)} of {count(len(known), 'point')} needed more than one attempt{most}.")
    partial = sum(event["data"].get("gate") == "partial" for event in material.run.events.values())
    if partial:
        said.append(f"{count(partial, 'point')} lost a small part of the exposure and were kept with their I0.")
    refused = rejections(material)
    if refused is None:
        said.append("What was refused is not known: no frame file is there that says it.")
        return Section("Gate", said)
    said.append(f"{count(len(refused), 'frame')} {'was' if len(refused) == 1 else 'were'} refused.")
    reasons = Counter(reason for _, reason in refused).most_common()
    rows: list[tuple[str, ...]] = [
        (reason, str(times), _pixels([pixel for pixel, why in refused if why == reason]))
        for reason, times in reasons[:_NAMED]
    ]
    if len(reasons) > _NAMED:
        rows.append((f"{len(reasons) - _NAMED} more reasons", str(sum(n for _, n in reasons[_NAMED:])), ""))
    return Section("Gate", said, [Table("Refused frames", ("reason", "frames", "pixels"), rows)] if rows else [])


def rejections(material: Material) -> list[tuple[int, str]] | None:
    """Return pixel and reason of each refused frame; None where there is no frame file that says it."""
    path = material.run.folder / FRAME_FILE
    try:
        with open_frames(path) as file:
            pixels = own_dataset(file, "entry/rejected/pixel", path)[:]
            reasons = own_dataset(file, "entry/rejected/reason", path, TEXTS)[:]
    except (OSError, KeyError, RuntimeError, ValueError, RecordingError):
        return None
    return [(int(pixel), _text(reason)) for pixel, reason in zip(pixels, reasons, strict=False)]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _pixels(pixels: list[int]) -> str:
    shown = ", ".join(str(pixel) for pixel in pixels[:8])
    return shown + (", …" if len(pixels) > 8 else "")


def interruptions(material: Material) -> Section:
    """Tell what the run was interrupted by, and where it stood still."""
    said = []
    if material.run.stop is None:
        said.append("The run has no stop document: it was cut off, or it is still being taken.")
    elif material.run.stop.get("exit_status") != "success":
        said.append(f"The run ended as {material.run.stop.get('exit_status')}: {material.run.stop.get('reason')}")
    rows: list[tuple[str, ...]] = []
    for event in material.interruptions:
        held = event["data"]
        length = as_float(held.get("duration"))
        rows.append((clock(held.get("began")), f"{held.get('guard')}: {held.get('reason')}", f"for {length:.1f} s"))
    for began, waited, pixel in pauses(material):
        rows.append((clock(began), f"no point for {waited:.0f} s", f"before pixel {pixel}"))
    rows += [(clock(since), "new calibration record", "") for since, _ in material.calibrations[1:]]
    if not rows and not said:
        said.append("None: no pause, no long wait between two points, one calibration throughout.")
    table = Table("Interruptions and changes", ("when", "what", "where"), sorted(rows))
    return Section("Interruptions", said, [table] if rows else [])


def pauses(material: Material) -> list[tuple[float, float, int]]:
    """Return begin (s), length (s) and following pixel of each wait that is long beside the others."""
    ordered = sorted((float(event["time"]), pixel) for pixel, event in material.run.events.items())
    waits = material.run.intervals()
    if not waits.size:
        return []
    longest = max(_LONG * float(np.median(waits)), _LEAST)
    return [
        (before, float(wait), pixel)
        for wait, (before, _), (_, pixel) in zip(waits, ordered[:-1], ordered[1:], strict=True)
        if wait > longest
    ]
