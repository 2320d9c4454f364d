"""One map after the other, as runs that name each other: the same again, or a series of settings."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from bluesky.utils import Msg

from microarpes.plans.take_point import MsgGenerator

#: More maps than a beamtime has seconds for.
MOST = 10_000


def numbered(kind: str, number: int) -> Iterator[dict[str, Any]]:
    """Yield of each map what its start document says of its series: ``{kind: {"group", "number" (from 1), "of"}}``.

    Raises
    ------
    ValueError
        `number` is no number of maps.
    """
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MOST:
        raise ValueError(f"{kind} = {number!r} maps; give a whole number from 1 to {MOST}")
    group = str(uuid.uuid4())
    return ({kind: {"group": group, "number": i + 1, "of": number}} for i in range(number))


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
    told = numbered("repeat", number)
    return ((md, md["repeat"]["number"] % 2 == 0) for md in told)


def series_of(start: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the ``series`` of a start document; empty for a run of none, whatever a user may have called so."""
    found = start.get("series")
    return found if isinstance(found, Mapping) and "group" in found else {}


def one_after_another(
    maps: Iterable[Callable[[Sequence[str]], MsgGenerator]], enough: Callable[[], bool] = lambda: False
) -> Generator[Msg, Any, list[str]]:
    """Return the plan of maps; it returns their uids.

    Parameters
    ----------
    maps : iterable of callable
        ``(uids of those before) ->`` the plan of one map, which returns its uid.
    enough : callable
        Asked after each map whether no other is wanted, as when the operator had this one end after a row.
    """
    uids: list[str] = []
    for one in maps:
        uids.append((yield from one(tuple(uids))))
        if enough():
            break
    return uids


def repeated(
    number: int, one: Callable[[dict[str, Any], bool], MsgGenerator], enough: Callable[[], bool] = lambda: False
) -> Generator[Msg, Any, list[str]]:
    """Return the plan of the same map again and again, every other time backwards; it returns their uids.

    Parameters
    ----------
    number : int
        Of maps.
    one : callable
        ``(metadata, backwards) ->`` the plan of one map, which returns its uid.
    enough : callable
        As of `one_after_another`.
    """
    maps = (functools.partial(lambda md, back, before: one(md, back), md, back) for md, back in repeats(number))
    return one_after_another(maps, enough)
