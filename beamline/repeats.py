"""The same map again and again, every other time backwards, as runs that name each other."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterator
from typing import Any

from bluesky.utils import Msg

from microarpes.plans.take_point import MsgGenerator

#: More maps than a beamtime has seconds for.
MOST = 10_000


def repeats(number: int) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield of each map what its start document says of the series, and whether it is taken backwards.

    Examples
    --------
    >>> [(md["repeat"]["number"], md["repeat"]["of"], backwards) for md, backwards in repeats(3)]
    [(1, 3, False), (2, 3, True), (3, 3, False)]

    Raises
    ------
    ValueError
        `number` is no number of maps.
    """
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MOST:
        raise ValueError(f"repeat = {number!r} maps; give a whole number from 1 to {MOST}")
    group = str(uuid.uuid4())
    return (({"repeat": {"group": group, "number": i + 1, "of": number}}, i % 2 == 1) for i in range(number))


def repeated(
    number: int, one: Callable[[dict[str, Any], bool], MsgGenerator], enough: Callable[[], bool] = lambda: False
) -> Generator[Msg, Any, list[str]]:
    """Return the plan of a series of maps; it returns their uids.

    Parameters
    ----------
    number : int
        Of maps.
    one : callable
        ``(metadata, backwards) ->`` the plan of one map, which returns its uid.
    enough : callable
        Asked after each map whether no other is wanted, as when the operator had this one end after a row.
    """
    uids = []
    for md, backwards in repeats(number):
        uids.append((yield from one(md, backwards)))
        if enough():
            break
    return uids
