"""Which engine makes the numbers: compiled by numba, or numpy where numba is absent.

Equal engines give equal bits on one machine; the two agree to 1e-6 in the parameters. Only the two entry points of the
compiled engine are cached: numba looks at one file when it asks whether what it cached is still true, so what the
entries call must be compiled with them (`fingerprint` makes an entry's cache depend on all of its files).
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

try:
    import numba
except ImportError:  # numpy serves, more slowly
    numba = None

__all__ = [
    "COMPILED_ENGINE",
    "NUMPY_ENGINE",
    "Flags",
    "Ints",
    "compiled",
    "engine_name",
    "entry",
    "fingerprint",
    "summing",
]

#: Engines, and the version of their arithmetic.
COMPILED_ENGINE, NUMPY_ENGINE = "numba-2", "numpy-2"

Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]
F = TypeVar("F", bound=Callable[..., Any])
log = logging.getLogger(__name__)
#: Whether it has been said that numba is absent.
_said: set[bool] = set()


def engine_name(*, has_compiled_form: bool = True) -> str:
    """Name the engine that fits a line shape; says once, in the log, when it is not the compiled one.

    Parameters
    ----------
    has_compiled_form : bool
        Whether the line shape has one.
    """
    if numba is not None:
        return COMPILED_ENGINE if has_compiled_form else NUMPY_ENGINE
    if not _said:
        _said.add(True)
        log.warning("numba is not installed: gap fits run on numpy, about 10 times slower (pip install numba)")
    return NUMPY_ENGINE


def compiled(function: F) -> F:
    """Compile what an entry calls: no fastmath, so that the order of every sum is the one written down."""
    if numba is None:
        return function
    made: F = numba.njit(nogil=True, error_model="numpy")(function)
    return made


def summing(function: F) -> F:
    """Compile a function whose sums may be taken in an order of the compiler's choice, the same at every call."""
    if numba is None:
        return function
    made: F = numba.njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})(function)
    return made


def entry(function: F) -> F:
    """Compile an entry point and cache it; where no folder can be written it is compiled anew in each process."""
    if numba is None:
        return function
    options = {"nogil": True, "error_model": "numpy"}
    try:
        made: F = numba.njit(cache=True, **options)(function)
    except RuntimeError as error:  # numba finds neither the package's folder nor the user's cache writable
        log.warning("the fit engine cannot be cached and is compiled anew in each process: %s", error)
        made = numba.njit(**options)(function)
    return made


def fingerprint() -> int:
    """Checksum of the room's source, for the entries to depend on: their constants come from all over it."""
    value = 0
    for path in sorted(Path(__file__).parent.glob("*.py")):
        value = zlib.crc32(path.read_bytes(), value)
    return value
