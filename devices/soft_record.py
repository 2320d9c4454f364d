"""The soft device that carries values into an event of a stream: one read, no I/O in a bundle."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from microarpes.devices.outcome import Outcome


class SoftRecord:
    """Values that were found elsewhere, to be read into an event.

    Parameters
    ----------
    name : str
    example : mapping
        A record with the keys, types and shapes that all will have.
    units : mapping
        Key to unit; what is not in it has none.
    source : str, optional
        Where the descriptor says that they come from; by default the name.
    """

    parent = None

    def __init__(
        self, name: str, example: Mapping[str, Any], units: Mapping[str, str], source: str | None = None
    ) -> None:
        self.name = name
        told = {"source": source or name}
        self._keys = {key: {**_described(value), **told, "units": units.get(key, "")} for key, value in example.items()}
        self._readings: dict[str, dict[str, Any]] = {}

    def set(self, values: Mapping[str, Any]) -> Outcome:
        """Keep a record for `read`.

        Raises
        ------
        KeyError
            The values are not exactly the data keys; the message names the difference.
        """
        self.check(values)
        now = time.time()
        self._readings = {key: {"value": value, "timestamp": now} for key, value in values.items()}
        return Outcome.reached()

    def check(self, values: Mapping[str, Any]) -> None:
        """Raise KeyError unless the values are exactly the data keys; the message names the difference."""
        if difference := set(values) ^ set(self._keys):
            raise KeyError(f"{self.name}: values and data keys differ in {', '.join(sorted(difference))}")

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the last record."""
        return self._readings

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the data keys."""
        return self._keys

    def describe_configuration(self) -> dict[str, Any]:
        """Return nothing: the settings are in the start document."""
        return {}

    def read_configuration(self) -> dict[str, Any]:
        """Return nothing: the settings are in the start document."""
        return {}


def _described(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"dtype": "string", "dtype_numpy": "<U200", "shape": []}
    array = np.asarray(value)
    numpy, scalar = ("<i8", "integer") if array.dtype.kind in "iu" else ("<f8", "number")
    return {"dtype": "array" if array.ndim else scalar, "dtype_numpy": numpy, "shape": list(array.shape)}
