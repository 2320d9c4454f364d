"""Groups and fields of a NeXus file, written so that what a run does not know is left out."""

from __future__ import annotations

import math
from typing import Any

import h5py
import numpy as np


def add_group(parent: Any, name: str, nx_class: str, **attributes: Any) -> Any:
    """Make a group of a NeXus class; `attributes` whose value is None are left out."""
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    _set(group, attributes)
    return group


def add_field(group: Any, name: str, value: Any, units: str = "", **attributes: Any) -> Any:
    """Write a number, a text or an array of either; None is left out.

    Parameters
    ----------
    group : h5py.Group
    name : str
    value : object
    units : str
        As NeXus has them; none for what has no dimension.
    attributes : object
        Further attributes; None is left out.
    """
    if value is None:
        return None
    array = np.asarray(value)
    if array.dtype.kind in "UO":
        value = value if isinstance(value, str) else array.astype(object)
        field = group.create_dataset(name, data=value, dtype=h5py.string_dtype())
    else:
        field = group.create_dataset(name, data=value)
    _set(field, {"units": None if units in ("", "1") else units, **attributes})
    return field


def _set(item: Any, attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        if value is not None:
            item.attrs[name] = value


def add_rotation(
    group: Any, name: str, angle: Any, vector: tuple[int, int, int], depends_on: str, comment: str
) -> None:
    """Write one rotation of a chain of transformations, right-handed, deg."""
    add_field(
        group, name, angle, "deg", transformation_type="rotation", vector=np.array(vector), depends_on=depends_on,
        comment=comment,
    )  # fmt: skip


def number(value: Any) -> float:
    """Return a float; NaN where there is no number, for a field that the definition requires."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
