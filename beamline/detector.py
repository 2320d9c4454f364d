"""What a configuration says of the detector: how it counts, its flat field, and up to which rate it is linear.

None of it is ever applied to counts. The flat field becomes a factor of the model, the linearity table a limit on the
rate of a pixel; both are saved with the run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

if TYPE_CHECKING:
    from microarpes.devices.flat_field import FlatField

#: Larger than any table of rates; such a file is not read.
_MAX_BYTES = 2**20
_FEWEST_RATES = 3


class DetectorError(ValueError):
    """What is declared of the detector cannot be used; the message says what is wrong with it."""


class DetectorSection(BaseModel):
    """How the detector counts; files relative to the configuration's folder.

    ``flat_field`` is a ``.npy`` or HDF5 file, see `FlatField.read`; ``linearity`` a text of two columns, see
    `Linearity.read`; ``max_nonlinearity`` the share by which the ratio of the two columns may vary in a spectrum.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    counting: Literal["pulse", "adc"] | None = None
    flat_field: str | None = None
    linearity: str | None = None
    max_nonlinearity: Annotated[float, Field(gt=0, le=0.5, allow_inf_nan=False)] = 0.01

    @field_validator("flat_field", "linearity")
    @classmethod
    def _in_the_folder_of_the_configuration(cls, value: str | None, info: ValidationInfo) -> str | None:
        folder = (info.context or {}).get("folder")
        return value if value is None or folder is None else str(Path(folder) / value)


@dataclass(frozen=True)
class Linearity:
    """A measured table of rates.

    Attributes
    ----------
    true, measured : ndarray, shape (n,), photoelectrons/s in one detector channel
        Ascending.
    path, sha256 : str
        File, and its checksum.
    """

    true: NDArray[np.float64]
    measured: NDArray[np.float64]
    path: str
    sha256: str

    @classmethod
    def read(cls, path: Path) -> Linearity:
        """Read a text of two columns, true and measured rate, ``#`` before comments.

        Raises
        ------
        DetectorError
            No such file, or no such table.
        """
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise DetectorError(f"linearity table {path} is larger than {_MAX_BYTES} bytes; it is not read")
            content = path.read_bytes()
        except OSError as error:
            raise DetectorError(f"linearity table {path} cannot be read: {error.strerror or error}") from None
        wanted = f"two columns, true and measured rate (1/s a channel), ascending, {_FEWEST_RATES} rows or more"
        try:
            lines = [line.split("#")[0].replace(",", " ").split() for line in content.decode().splitlines()]
            table = np.array([[float(word) for word in words] for words in lines if words])
        except ValueError as error:
            raise DetectorError(f"linearity table {path} is not {wanted}: {error}") from None
        if table.ndim != 2 or table.shape[1] != 2 or len(table) < _FEWEST_RATES:
            raise DetectorError(f"linearity table {path} has shape {table.shape}; give {wanted}")
        if not (np.isfinite(table).all() and (table > 0).all() and (np.diff(table, axis=0) > 0).all()):
            raise DetectorError(f"linearity table {path} is not {wanted}, all above 0")
        return cls(table[:, 0], table[:, 1], str(path), hashlib.sha256(content).hexdigest())

    def linear_up_to(self, tolerance: float) -> float:
        """Return the highest measured rate up to which measured over true varies by no more than `tolerance`.

        A spectrum holds all rates from the dark to its peak, so it is the whole variation below that counts; a constant
        ratio is in the gain. 0 where the lowest two rates differ by more: then no spectrum is linear. Never beyond the
        table.
        """
        ratio = self.measured / self.true
        varies = np.maximum.accumulate(ratio) / np.minimum.accumulate(ratio) - 1.0
        within = np.flatnonzero(varies <= tolerance)
        last = int(within[-1])
        return float(self.measured[last]) if last > 0 else 0.0


@dataclass(frozen=True)
class Detector:
    """The detector of a run; made by `make_detector`."""

    section: DetectorSection
    flat_field: FlatField | None
    linearity: Linearity | None

    @property
    def linear_up_to(self) -> float | None:
        """Photoelectrons/s in one detector channel; None where nothing is declared."""
        return None if self.linearity is None else self.linearity.linear_up_to(self.section.max_nonlinearity)

    def document(self) -> dict[str, Any]:
        """Return what the start document says under ``detector``."""
        table = self.linearity
        linear = None
        if table is not None:
            linear = {"path": table.path, "sha256": table.sha256, "true": table.true.tolist()}
            linear |= {"measured": table.measured.tolist(), "max_nonlinearity": self.section.max_nonlinearity}
            linear |= {"linear_up_to": self.linear_up_to}
        flat = None if self.flat_field is None else self.flat_field.document()
        return {"counting": self.section.counting, "flat_field": flat, "linearity": linear}

    def findings(self) -> Iterator[str]:
        """Yield what a user should know before beamtime."""
        if self.section.counting is None:
            yield 'analyser.detector.counting is not declared; say "pulse" or "adc": error bars rest on it'
        if self.section.counting == "adc" and self.linearity is None:
            yield (
                "analyser.detector.linearity is missing: an ADC detector is rarely linear at low rates, which sharpens "
                "edges and moves them; count pulses, or measure its table"
            )
        if self.linearity is not None and not self.linear_up_to:
            yield (
                f"linearity table {self.linearity.path}: measured over true rate varies by more than "
                f"{self.section.max_nonlinearity:.1%} at the lowest rates already; every pixel would be refused as "
                "saturated: count pulses"
            )


def make_detector(section: DetectorSection) -> Detector:
    """Read the files that are declared of a detector.

    Raises
    ------
    DetectorError
        Every problem, joined.
    """
    from microarpes.devices.flat_field import FlatField, FlatFieldError

    problems: list[str] = []
    flat: FlatField | None = None
    table: Linearity | None = None
    try:
        flat = None if section.flat_field is None else FlatField.read(Path(section.flat_field))
    except FlatFieldError as error:
        problems.append(str(error))
    try:
        table = None if section.linearity is None else Linearity.read(Path(section.linearity))
    except DetectorError as error:
        problems.append(str(error))
    if problems:
        raise DetectorError("; ".join(problems))
    return Detector(section, flat, table)
