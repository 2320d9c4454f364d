"""Opening an HDF5 file that comes from elsewhere: nothing outside the file is followed, nothing absurd is read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from microarpes.beamline.recording_format import MAX_EXPANSION, RecordingError, check_size
from microarpes.sim.global_heap import DamagedHeapError, check_heaps

#: The filters that come with HDF5 and h5py; any other would load code from a plugin folder.
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
_FILTERS |= {h5py.h5z.FILTER_SCALEOFFSET, h5py.h5z.FILTER_NBIT, h5py.h5z.FILTER_SZIP}
_MAX_OBJECTS = 10_000
#: What an attribute may be: a number, a truth value or a text; h5py may crash on damaged ones of other types.
_ATTRIBUTES = {h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM, h5py.h5t.STRING}
#: Classes of the types of a run's own datasets: numbers, and texts of fixed length.
NUMBERS, TEXTS = frozenset({h5py.h5t.INTEGER, h5py.h5t.FLOAT}), frozenset({h5py.h5t.STRING})
#: Attributes of HDF5's dimension scales, which nothing here reads.
_NOT_READ = {b"DIMENSION_LIST", b"REFERENCE_LIST"}


@contextlib.contextmanager
def open_guarded(path: Path) -> Iterator[Any]:
    """Open `path` for reading after every link and dataset in it was looked at.

    Yields
    ------
    h5py.File

    Raises
    ------
    RecordingError
        The file is not HDF5 or truncated, holds an external or soft link, external storage, a virtual dataset or a
        filter that is not HDF5's own, or declares more data than a file of its size can hold.
    """
    try:
        check_heaps(path)
    except DamagedHeapError as error:
        raise RecordingError(str(error)) from None
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise RecordingError(f"{path} is not a whole HDF5 file: {error}; it may be truncated, copy it again") from error
    with file:
        _walk(file, path)
        yield file


def _walk(file: Any, path: Path) -> None:
    seen: set[int] = set()
    groups = [("", file)]
    _check_attributes(file, "/", path)
    while groups:
        prefix, group = groups.pop()
        for name in group:
            where = f"{prefix}/{name}"
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise RecordingError(
                    f"{path} holds the {_kind(link)} {where}; links are not followed, copy the data in"
                )
            item = group.get(name)
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > _MAX_OBJECTS:
                raise RecordingError(f"{path} holds more than {_MAX_OBJECTS} objects; a recording has a few tens")
            _check_attributes(item, where, path)
            if isinstance(item, h5py.Group):
                groups.append((where, item))
            elif isinstance(item, h5py.Dataset):
                _check_dataset(item, where, path)


def _check_attributes(item: Any, where: str, path: Path) -> None:
    for index in range(h5py.h5a.get_num_attrs(item.id)):
        attribute = h5py.h5a.open(item.id, index=index)
        if attribute.name not in _NOT_READ and attribute.get_type().get_class() not in _ATTRIBUTES:
            raise RecordingError(
                f"attribute {attribute.name.decode(errors='replace')!r} of {where} in {path} is no number and no text; "
                "it is not read"
            )


def read_setting(file: Any, place: str) -> Any:
    """Return what dataset `place` tells: a number, the mean of many; a text, the first of many; None for all else."""
    dataset = file.get(place)
    if not isinstance(dataset, h5py.Dataset) or not dataset.size:
        return None
    if dataset.dtype.kind in "iuf":
        return float(np.mean(dataset[()], dtype=np.float64))
    if h5py.check_string_dtype(dataset.dtype) is None:
        return None
    value = np.ravel(dataset[()])[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _kind(link: object) -> str:
    return "external link" if isinstance(link, h5py.ExternalLink) else "soft link"


def _check_dataset(dataset: Any, where: str, path: Path) -> None:
    _check_storage(dataset, where, path)
    check_size(where, dataset.size * dataset.dtype.itemsize if dataset.size else 0, path)


def _check_storage(dataset: Any, where: str, path: Path) -> None:
    creation = dataset.id.get_create_plist()
    if creation.get_external_count() or dataset.is_virtual:
        raise RecordingError(
            f"{where} in {path} keeps its data in other files; they are not followed, copy the data in"
        )
    unknown = {creation.get_filter(i)[0] for i in range(creation.get_nfilters())} - _FILTERS
    if unknown:
        raise RecordingError(f"{where} in {path} uses filter {sorted(unknown)}, which is not HDF5's own; rewrite it")


def has_writer(path: Path) -> bool:
    """Tell from the superblock whether a run's frame file is being written, or its writer died.

    Who reads beside a writer tries for minutes what it cannot read. In a closed file that is damage, and told at once.
    Layout: HDF5 File Format Specification 3.0, II.A, version 3.
    """
    with open(path, "rb") as file:
        head = file.read(12)
    return head.startswith(b"\x89HDF\r\n\x1a\n\x03") and any(head[11:])


def own_dataset(file: Any, name: str, path: Path, kinds: frozenset[int] = NUMBERS) -> Any:
    """Return a dataset of a run's own file, which may be being written, looked at before anything of it is read.

    What our files hold has a fixed length and no attribute is read, so that nothing leads into a global heap unless
    the type of a dataset was damaged. That can be seen without reading the file through, as `open_guarded` has to.

    Parameters
    ----------
    file : h5py.File
        Open.
    name : str
    path : Path
        Of the file, for the message.
    kinds : frozenset of int
        Classes of types it may have, `NUMBERS` or `TEXTS`.

    Raises
    ------
    RecordingError
        It is not there, a link, of another type, or data in other files, behind an unknown filter, or of a size that
        the file cannot hold.
    """
    parts = name.split("/")
    for depth in range(len(parts)):
        if not isinstance(file.get("/".join(parts[: depth + 1]), getlink=True), h5py.HardLink):
            raise RecordingError(f"{path} has no {name} of its own; links are not followed")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise RecordingError(f"{name} in {path} is no dataset; copy the file again")
    kind = dataset.id.get_type()
    if kind.get_class() not in kinds or (isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()):
        raise RecordingError(f"{name} in {path} is not of the type it was written with; copy the file again")
    _check_storage(dataset, name, path)
    # Of any size that a file of ours may have, which is not compressed and leaves little out.
    if dataset.size and dataset.size * dataset.dtype.itemsize > MAX_EXPANSION * path.stat().st_size:
        raise RecordingError(f"{name} in {path} claims shape {dataset.shape}, too much for it; copy the file again")
    return dataset


def read_numbers(file: Any, name: str, path: Path, dimensions: int) -> Any:
    """Return dataset `name` of an open file after looking that it holds real numbers in so many dimensions."""
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise RecordingError(f"{path} has no dataset {name!r}; see the recording format")
    if dataset.dtype.kind not in "iuf" or dataset.ndim != dimensions:
        raise RecordingError(
            f"{name!r} in {path} is {dataset.dtype} of shape {dataset.shape}; "
            f"real numbers in {dimensions} dimensions are needed"
        )
    return dataset
