"""``microarpes subscribe``: the journals of another machine as journals of this one, byte by byte, as they grow.

What a copy has is what it asks beyond, so that a late start, a death of either side and a slow line all are the same
case: the next question. Every command that reads the journals of a run reads those of a copy.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from microarpes.beamline.asked_publisher import TIMEOUT, NoAnswer, Publisher
from microarpes.beamline.copied_journal import CopiedJournal
from microarpes.beamline.journal import RAW_JOURNAL, JournalError
from microarpes.beamline.remote import (
    MAX_ANSWER,
    VERSION,
    Key,
    Keys,
    RemoteError,
    as_message,
    is_key,
    of_message,
)

logger = logging.getLogger(__name__)

#: Seconds between two questions about a journal that grows, and between two lists of what there is.
POLL, LOOK = 0.1, 2.0
#: Journals that are caught up with at a time.
AT_ONCE = 4
#: Seconds for which one is left alone after something was wrong with it.
REST = 30.0


class Subscriber:
    """Keeps the copies of a publisher's journals.

    Parameters
    ----------
    directory : Path
        Where they are kept.
    ask : callable
        Takes a question, returns the parts of the answer; raises `NoAnswer`.
    raw_only : bool
        Leave out the fits, as where this machine fits by itself.

    Attributes
    ----------
    problems : dict of (str, str) to str
        Run and journal to what is wrong with it.
    """

    def __init__(self, directory: Path, ask: Callable[[bytes], list[bytes]], *, raw_only: bool = False) -> None:
        self.directory, self._ask, self._raw_only = Path(directory), ask, raw_only
        self.directory.mkdir(parents=True, exist_ok=True)
        self._open: dict[Key, CopiedJournal] = {}
        self._lacking: list[Key] = []
        self._looked = float("-inf")
        self._sizes: dict[Key, int] = {}
        #: At which size a journal has nothing to be had, and until when that is believed.
        self._left: dict[Key, tuple[int, float]] = {}
        self.problems: dict[Key, str] = {}

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for key in list(self._open):
            self._close(key)

    def turn(self) -> bool:
        """Take over a piece of each journal that grows and of a few that lack something; False if there was none.

        Raises
        ------
        NoAnswer
            The publisher is not there now.
        RemoteError
            Its list is none.
        """
        if time.monotonic() - self._looked >= LOOK:
            self._look()
        taken = sum([self._take_over(key) for key in list(self._open)])
        for _ in range(AT_ONCE - taken):
            if self._lacking:
                taken += self._take_over(self._lacking.pop(0))
        return taken > 0 or bool(self._lacking)

    def _look(self) -> None:
        match self._answer(as_message(VERSION, "list")):
            case [["list", list(found)], b""]:
                pass
            case [["refused", str(why)], _]:
                raise RemoteError(f"the publisher refuses: {why[:200]!r}")
            case _:
                raise RemoteError("what answers there is no publisher of journals")
        self._looked = time.monotonic()
        self._sizes = {}
        for each in found:
            match each:
                case [str(run), str(journal), int(size)] if is_key(run, journal):
                    if journal == RAW_JOURNAL or not self._raw_only:
                        self._sizes[run, journal] = size
        self._lacking = [key for key, size in self._sizes.items() if key not in self._open and self._lacks(key, size)]

    def _lacks(self, key: Key, size: int) -> bool:
        left, until = self._left.get(key, (0, 0.0))
        if left == size and time.monotonic() < until:
            return False
        with contextlib.suppress(OSError):
            return (self.directory / key[0] / key[1]).stat().st_size != size
        return True

    def _take_over(self, key: Key) -> bool:
        """Copy a piece of a journal; what is wrong with one keeps nothing from the others."""
        try:
            if key not in self._open:
                self._open[key] = CopiedJournal(self.directory, key)
            copy = self._open[key]
            match self._answer(copy.question()):
                case [["records", bool(growing)], records]:
                    copy.append(records)
                    self.problems.pop(key, None)
                    if not growing:  # a torn end of the original is no record, and nothing to ask for again
                        self._close(key, until=float("inf"))
                    return bool(records)
                case [["other"], _]:
                    copy.begin_anew()
                    return True
                case [["refused", str(why)], _]:
                    raise RemoteError(f"{copy.path}: the publisher refuses: {why[:200]!r}")
            raise RemoteError(f"{copy.path}: the answer of the publisher is none")
        except NoAnswer:
            raise
        except (RemoteError, JournalError, OSError) as error:
            self._complain(key, str(error))
            self._close(key, until=time.monotonic() + REST)
        return False

    def _answer(self, question: bytes) -> tuple[list[Any], bytes]:
        first, *rest = self._ask(question)
        return of_message(first, MAX_ANSWER), rest[0] if rest else b""

    def _close(self, key: Key, until: float = 0.0) -> None:
        self._left[key] = self._sizes.get(key, 0), until
        copy = self._open.pop(key, None)
        if copy is not None:
            try:
                copy.close()
            except JournalError as error:
                self._complain(key, str(error))

    def _complain(self, key: Key, what: str) -> None:
        if self.problems.get(key) != what:  # tried again and again, told once
            self.problems[key] = what
            logger.warning("%s", what)


def subscribe(
    address: str,
    directory: Path,
    keys: Keys | None = None,
    *,
    raw_only: bool = False,
    once: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    timeout: float = TIMEOUT,
) -> None:
    """Keep copies of a publisher's journals until told to stop.

    Parameters
    ----------
    address : str
        ``tcp://HOST:PORT`` of the publisher.
    directory : Path
        Where the copies are kept, ``DIRECTORY/<run uid>/raw.journal`` and so on.
    keys : Keys, optional
        Needed where the address is not loopback.
    raw_only : bool
        Leave out the fits, as where this machine fits by itself.
    once : bool
        Return when nothing is lacking, and do not wait for a publisher that is not there.
    stopped : callable
        Asked between two questions.
    timeout : float, s
        For an answer.

    Raises
    ------
    RemoteError
        The address or the keys are none; with `once` also where nobody answers, or not all could be copied.
    """
    with contextlib.closing(Publisher(address, keys, timeout=timeout)) as publisher:
        with Subscriber(directory, publisher, raw_only=raw_only) as subscriber:
            problem = ""
            while not stopped():
                try:
                    more = subscriber.turn()
                except RemoteError as error:
                    if once:
                        raise
                    if str(error) != problem:
                        logger.warning("%s; it is asked again until it answers", error)
                    problem, more = str(error), False
                else:
                    if problem:
                        logger.warning("%s answers again", address)
                    problem = ""
                if once and not more:
                    break
                if not more:
                    time.sleep(POLL)
            if once and subscriber.problems:
                raise RemoteError(f"{len(subscriber.problems)} journals were not copied to their ends")
