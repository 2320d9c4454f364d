"""Rasters in the layout of ALS MAESTRO: a FITS table with one row a pixel, angle-integrated spectra in one column.

The energy axis of the column number n stands in the header as ``TRVALn`` (first channel, eV kinetic), ``TDELTn`` (step)
and ``TRPIXn`` (the channel the first refers to, counted from 1), as in FITS Standard 4.0, section 7.3.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.beamline.recording_format import (
    Frames,
    Recording,
    RecordingError,
    check_size,
    micrometres,
    one_clear_error,
)

SIGNATURE = b"SIMPLE  ="
#: Seconds from 1904-01-01 UTC, LabVIEW's zero, to 1970-01-01 UTC.
_LABVIEW_ZERO = 2_082_844_800.0
#: Which of the four sensors sits at the sample the file does not say; the cold head's is taken.
_TEMPERATURE = "Cryostat_A"
_OPTIONAL = {"i0": "I0_NEXAFS", "temperature": _TEMPERATURE}


@contextlib.contextmanager
def open_maestro(path: Path) -> Iterator[tuple[Recording, Frames]]:
    """Yield the recording and its frames from a FITS file of this layout.

    Raises
    ------
    RecordingError
        The file is truncated or damaged, or holds no raster of angle-integrated spectra.
    """
    from astropy.io import fits

    with contextlib.ExitStack() as opened:
        with one_clear_error(path, "FITS"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # headers repeat keywords; what matters is checked below
            file = opened.enter_context(open(path, "rb"))  # astropy leaves its own open where a header is damaged
            hdus = opened.enter_context(fits.open(file, memmap=True, lazy_load_hdus=False))
            recording, frames = _read(hdus[0].header, _raster(hdus, path), path)
        yield recording, frames


def _raster(hdus: Any, path: Path) -> Any:
    size = path.stat().st_size
    for hdu in hdus:
        end = hdu.fileinfo()["datLoc"] + hdu.header.get("NAXIS1", 0) * hdu.header.get("NAXIS2", 1)
        if hdu.header.get("NAXIS", 0) == 2 and end > size:
            check_size(f"table {hdu.name!r}", end, path)
            raise RecordingError(f"{path} is truncated: its header claims {end} bytes, it has {size}; copy it again")
    for hdu in hdus:
        names = getattr(getattr(hdu, "columns", None), "names", [])
        if {"X", "Y"} <= set(names) and len(_spectra(hdu)) == 1:
            return hdu
    raise RecordingError(f"{path} has no table with columns X, Y and one column of spectra; it holds no raster")


def _spectra(hdu: Any) -> list[int]:
    """Numbers, from 1, of the columns that hold a spectrum with an energy axis in every row."""
    shapes = {i: hdu.columns[i - 1].format for i in range(1, len(hdu.columns) + 1)}
    return [i for i, kind in shapes.items() if kind[:-1].isdigit() and int(kind[:-1]) > 1 and f"TRVAL{i}" in hdu.header]


def _read(header: Any, table: Any, path: Path) -> tuple[Recording, NDArray[Any]]:
    (number,) = _spectra(table)
    spectra = table.data.field(number - 1)
    if spectra.ndim != 2:
        raise RecordingError(
            f"spectra in {path} have {spectra.ndim - 1} dimensions; only angle-integrated ones are read"
        )
    channel = np.arange(1, spectra.shape[1] + 1) - table.header.get(f"TRPIX{number}", 1)
    time = np.asarray(table.data["time"], dtype=np.float64) if "time" in table.columns.names else np.empty(0)
    points = {axis: _positions(table, axis.upper(), path) for axis in ("x", "y")}
    if len(time) and "START_TS" in header:
        points["time"] = time + float(header["START_TS"]) - _LABVIEW_ZERO
    for name, column in _OPTIONAL.items():
        if column in table.columns.names:
            points[name] = np.asarray(table.data[column], dtype=np.float64)
    temperature, acquire_time = points.get("temperature"), np.median(np.diff(time)) if len(time) > 1 else 1.0
    recording = Recording(
        title=f"{header.get('LWLVNM', 'raster')} of {header.get('START_T', 'unknown date')}",
        source=path.name,
        photon_energy=_keyword(header, "BL_E", path),
        pass_energy=_keyword(header, "SFPE_0", path),
        lens_mode=str(header.get("SFLNM0", "unknown")),
        # The header gives the exposure in detector frames of unknown length; a row's share of the clock bounds it.
        acquire_time=float(acquire_time),
        temperature=float(temperature.mean()) if temperature is not None else 20.0,
        points=points,
        energy=float(table.header[f"TRVAL{number}"]) + float(table.header[f"TDELT{number}"]) * channel,
        angle=np.zeros(1),
        assumed=("acquire_time", "temperature"),
    )
    return recording, spectra[:, np.newaxis, :]


def _positions(table: Any, name: str, path: Path) -> NDArray[np.float64]:
    column = table.columns[name]
    return micrometres(np.asarray(table.data[name], dtype=np.float64), str(column.unit or "no unit"), name, str(path))


def _keyword(header: Any, name: str, path: Path) -> float:
    if name not in header:
        raise RecordingError(f"{path} has no keyword {name!r} in its first header; it is not a MAESTRO raster")
    return float(header[name])
