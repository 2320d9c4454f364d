"""Instrument, sample and geometry of a run as NXmpes_arpes has them.

The rotations of the definition are right-handed about x, y and z with z along the lens axis towards the analyser, as in
docs/explanation/sample-frame.md, where a positive polar angle is a rotation by the negative angle about y.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from microarpes.beamline.map_terms import iso_time
from microarpes.beamline.nexus_tree import add_field, add_group, add_rotation, number

Document = Mapping[str, Any]

GEOMETRY = "/entry/arpes_geometry/transformations/beam_incidence"
_ANALYSER = "/entry/instrument/electronanalyzer"
_AXES = ("x", "y", "z", "polar", "tilt", "azimuth")


def write_geometry(entry: Any, start: Document) -> None:
    """Write where the lens axis is, seen from the beam."""
    geometry = add_group(entry, "arpes_geometry", "NXcoordinate_system")
    add_field(geometry, "depends_on", GEOMETRY)
    incidence = number(_part(start, "beam").get("incidence"))
    comment = "from the direction of the beam to the lens axis; NaN where the run does not say the incidence"
    transformations = add_group(geometry, "transformations", "NXtransformations")
    add_rotation(transformations, "beam_incidence", 180.0 - incidence, (0, 1, 0), ".", comment)


def write_instrument(entry: Any, start: Document, dataset: xr.Dataset) -> Any:
    """Write beamline, analyser and manipulator; return the group of the detector, for the frames."""
    instrument = add_group(entry, "instrument", "NXinstrument", default="electronanalyzer")
    add_field(instrument, "name", start.get("beamline") or "not stated")
    record = _part(start, "calibration")
    _resolution(instrument, record)
    _light(instrument, start, dataset)
    _manipulator(instrument, dataset)
    if "pressure" in dataset:
        gauge = add_group(instrument, "pressure_gauge", "NXsensor")
        add_field(gauge, "name", "pressure")
        add_field(gauge, "measurement", "pressure")
        add_field(gauge, "value", _mean(dataset, "pressure"), "mbar")
    return _analyser(instrument, start, record, dataset)


def _resolution(parent: Any, record: Document) -> None:
    if "resolution" not in record:
        return
    group = add_group(parent, "energy_resolution", "NXresolution")
    add_field(group, "physical_quantity", "energy")
    add_field(group, "type", "measured")
    add_field(group, "resolution", number(record["resolution"]), "eV", comment="FWHM, total, of the Fermi edge")
    add_field(group, "resolution_errors", number(record.get("resolution_error")), "eV")


def _light(instrument: Any, start: Document, dataset: xr.Dataset) -> None:
    source, beam = _part(start, "source"), _part(start, "beam")
    stored = "ring_current" in dataset
    probe = add_group(instrument, "source_probe", "NXsource")
    add_field(probe, "type", "Synchrotron X-ray Source" if stored else "other")
    add_field(probe, "name", start.get("beamline") or "not stated")
    add_field(probe, "probe", "x-ray" if stored else "photon")
    add_field(probe, "associated_beam", "/entry/instrument/beam_probe")
    if stored:
        add_field(probe, "current", _mean(dataset, "ring_current"), "mA")
    light = add_group(instrument, "beam_probe", "NXbeam")
    add_field(light, "incident_energy", number(source.get("photon_energy")), "eV")
    add_field(light, "associated_source", "/entry/instrument/source_probe")
    add_field(light, "polarisation", _text(source.get("polarisation")), comment="as the beamline calls it")
    add_field(light, "distance", 0.0, "um", comment="on the sample")
    extent = [number(each) for each in beam.get("footprint") or ()]
    add_field(light, "extent", extent or None, "um", comment="FWHM of the footprint on the sample")
    monochromator = add_group(instrument, "monochromator", "NXmonochromator")
    add_field(monochromator, "energy", number(source.get("photon_energy")), "eV")
    for slit in ("entrance_slit", "exit_slit"):
        if source.get(slit) is not None:
            group = add_group(monochromator, slit, "NXslit")
            add_field(group, "y_gap", number(source[slit]), "um")


def _manipulator(instrument: Any, dataset: xr.Dataset) -> None:
    manipulator = add_group(instrument, "manipulator", "NXmanipulator")
    pixels = instrument["/entry/pixels"]
    for axis in _AXES:
        if f"manipulator_{axis}" in pixels:
            positioner = add_group(manipulator, axis, "NXpositioner")
            add_field(positioner, "name", axis)
            positioner["value"] = pixels[f"manipulator_{axis}"]
    if "temperature" in dataset.attrs:
        sensor = add_group(manipulator, "temperature_sensor", "NXsensor")
        add_field(sensor, "name", "sample temperature")
        add_field(sensor, "measurement", "temperature")
        add_field(sensor, "value", float(dataset.attrs["temperature"]), "K")


def _analyser(instrument: Any, start: Document, record: Document, dataset: xr.Dataset) -> Any:
    region = _part(start, "region")
    analyser = add_group(instrument, "electronanalyzer", "NXelectronanalyzer", default="electron_detector")
    add_field(analyser, "description", _text(region.get("driver")) or "hemispherical analyser")
    add_field(analyser, "fast_axes", ["angular0", "energy"])
    add_field(analyser, "slow_axes", ["x", "y"])
    _resolution(analyser, record)
    column = add_group(analyser, "collectioncolumn", "NXcollectioncolumn")
    add_field(column, "scheme", "angular dispersive")
    add_field(column, "lens_mode", _text(region.get("lens_mode")))
    dispersion = add_group(analyser, "energydispersion", "NXenergydispersion")
    add_field(dispersion, "scheme", "hemispherical")
    add_field(dispersion, "pass_energy", number(region.get("pass_energy")), "eV")
    add_field(dispersion, "energy_scan_mode", _text(region.get("acquisition_mode")))
    add_field(analyser, "depends_on", f"{_ANALYSER}/transformations/analyzer_elevation")
    angle = np.asarray(start.get("angle_axis", dataset["angle_low"].values), dtype=np.float64)
    chain = add_group(analyser, "transformations", "NXtransformations")
    add_rotation(chain, "analyzer_rotation", 0.0, (0, 0, 1), GEOMETRY, "slit along y; a run does not record its turn")
    add_rotation(chain, "analyzer_dispersion", angle, (1, 0, 0), "analyzer_rotation", "along the slit")
    add_rotation(chain, "analyzer_elevation", deflector_angle(start), (0, 1, 0), "analyzer_dispersion", "deflectors")
    settings = add_group(analyser, "region", "NXcollection")
    for key, value in region.items():
        if isinstance(value, str | int | float):
            add_field(settings, key, value, _REGION_UNITS.get(key, ""))
    return add_group(analyser, "electron_detector", "NXelectron_detector", default="raw_data")


_REGION_UNITS = {
    **dict.fromkeys(
        ("pass_energy", "low_energy", "centre_energy", "high_energy", "energy_step", "excitation_energy"), "eV"
    ),
    "acquire_time": "s",
    "deflector_angle": "deg",
}


def write_sample(entry: Any, start: Document, dataset: xr.Dataset) -> None:
    """Write what is known of the sample and how it stood."""
    told = _part(start, "sample")
    sample = add_group(entry, "sample", "NXsample")
    add_field(sample, "name", dataset.attrs.get("sample") or "not stated")
    add_field(sample, "identifier", dataset.attrs.get("sample") or None)
    add_field(sample, "situation", "vacuum")
    if told.get("cleave_time") is not None and np.isfinite(number(told["cleave_time"])):
        history = add_group(sample, "history", "NXhistory")
        cleave = add_group(history, "sample_preparation", "NXphysical_process")
        add_field(cleave, "start_time", iso_time(number(told["cleave_time"])))
        add_field(cleave, "method", "in-situ cleave")
        add_field(cleave, "temperature", told.get("cleave_temperature"), "K")
        add_field(cleave, "base_pressure", told.get("base_pressure"), "mbar")
    environment = add_group(sample, "temperature_env", "NXenvironment")
    if "temperature_sensor" in entry["instrument/manipulator"]:
        environment["temperature_sensor"] = entry["instrument/manipulator/temperature_sensor"]
    add_field(sample, "depends_on", "/entry/sample/transformations/sample_azimuth")
    chain = add_group(sample, "transformations", "NXtransformations")
    none = "readbacks have it in them already"
    steps = (
        ("azimuth", 1.0, (0, 0, 1), "sample_tilt"),
        ("tilt", 1.0, (1, 0, 0), "sample_polar"),
        ("polar", -1.0, (0, 1, 0), GEOMETRY),
    )
    for axis, sign, vector, below in steps:
        angle = sign * _mean(dataset, f"manipulator_{axis}")
        comment = f"{'negative of the ' if sign < 0 else ''}mean readback; NaN where the run has none"
        add_rotation(chain, f"sample_{axis}", angle, vector, f"offset_{axis}", comment)
        add_rotation(chain, f"offset_{axis}", 0.0, vector, below, none)


def deflector_angle(start: Document) -> float:
    """Return the angle across the slit to which the lens looked, deg; 0 without deflectors."""
    return float(_part(start, "region").get("deflector_angle") or 0.0)


def _mean(dataset: xr.Dataset, name: str) -> float:
    values = dataset[name].values if name in dataset else np.empty(0)
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _part(document: Document, key: str) -> Document:
    found = document.get(key)
    return found if isinstance(found, Mapping) else {}


def _text(value: Any) -> str | None:
    return None if value in (None, "") else str(value)
