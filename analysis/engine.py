"""Which engine makes the numbers: compiled by numba, or numpy where numba is absent.

Equal engines give equal bits on one machine; the two agree to 1e-6 in the parameters. Only the two entry points of the
compiled engine are cached: numba looks at one file when it asks whether what it cached is still true, so what the
entries call must be compiled with them (`fingerprint` makes an entry's cache depend on all of its files).
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterator
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
#: Seconds for which a process waits for another that compiles, and then compiles too: that one may be suspended.
PATIENCE = 120.0
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
    """Compile an entry point and cache it; where no folder can be written it is compiled anew in each process.

    Processes that call it at the same time before it is cached, as follower and page do, wait for the one that
    compiles: half a minute of one core, not of each.
    """
    if numba is None:
        return function
    options = {"nogil": True, "error_model": "numpy"}
    try:
        made: F = numba.njit(cache=True, **options)(function)
    except RuntimeError as error:  # numba finds neither the package's folder nor the user's cache writable
        log.warning("the fit engine cannot be cached and is compiled anew in each process: %s", error)
        return numba.njit(**options)(function)  # type: ignore[no-any-return]
    return _one_at_a_time(made, Path(made.stats.cache_path) / f"{function.__name__}.compiling")  # type: ignore[attr-defined]


def _one_at_a_time(made: F, lock: Path) -> F:
    """Have the first call in this process, which compiles or loads, wait for that of another."""
    first, called = threading.Lock(), False

    @functools.wraps(made)
    def call(*arguments: Any) -> Any:
        nonlocal called
        if called:
            return made(*arguments)
        with first, _held(lock):
            result = made(*arguments)
            called = True
        return result

    return call  # type: ignore[return-value]


@contextlib.contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Hold a lock of the system, which ends with its process; without one where that cannot be."""
    try:
        import fcntl

        lock.parent.mkdir(parents=True, exist_ok=True)
        opened = lock.open("w")
    except (ImportError, OSError):
        yield
        return
    with opened:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.1)
        yield


def fingerprint() -> int:
    """Checksum of the room's source, for the entries to depend on: their constants come from all over it."""
    value = 0
    for path in sorted(Path(__file__).parent.glob("*.py")):
        value = zlib.crc32(path.read_bytes(), value)
    return value
