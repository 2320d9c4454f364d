"""``microarpes publish``: the journals below a directory for other machines, which ask for what they lack.

A process of its own that reads and never writes: it knows nothing of who asks, and the scan nothing of it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from microarpes.beamline.journal import RAW_JOURNAL
from microarpes.beamline.journal_lock import is_being_written
from microarpes.beamline.journal_record import HEADER, MAGIC, is_length, whole_records
from microarpes.beamline.remote import (
    JOURNAL,
    MAX_ANSWER,
    MAX_QUESTION,
    RUN,
    VERSION,
    Key,
    Keys,
    RemoteError,
    as_message,
    checked_address,
    is_key,
    load_zmq,
    of_message,
)

#: Bytes that one answer holds at most, but for a record that is longer.
PIECE = 1 << 20
#: Seconds for which a list of the directory is told again: many may ask.
LIST_AGE = 0.5
#: Answers that wait for one who does not take them.
WAITING = 4


class PublishedRuns:
    """What there is below a directory, and what is answered to a question.

    Only regular files that have the name of a journal, in folders that have the name of a run, are ever read; symbolic
    links are not followed.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory).resolve()
        self._list: dict[Key, int] = {}
        self._listed = float("-inf")

    def answer(self, question: bytes) -> list[bytes]:
        """Return the parts of the answer, whatever the question is."""
        try:
            match of_message(question, MAX_QUESTION):
                case [int(version), *_] if version != VERSION:
                    return _refused(f"this publisher speaks version {VERSION}, the question has {version}")
                case [int(), "list"]:
                    return self._answer_list()
                case [int(), "read", str(run), str(journal), int(offset), bytes(last)]:
                    return self._answer_read(run, journal, offset, last)
        except OSError as error:
            return _refused(f"cannot be read now: {error.strerror}")
        return _refused("this is no question")

    def journals(self) -> dict[Key, int]:
        """Return the journals and their sizes, bytes: newest run first, the raw journal before its fits."""
        if time.monotonic() - self._listed > LIST_AGE:
            runs = sorted(self._runs(), key=lambda found: found[0], reverse=True)
            self._list = {key: size for _, journals in runs for key, size in journals}
            self._listed = time.monotonic()
        return self._list

    def _runs(self) -> Iterator[tuple[int, list[tuple[Key, int]]]]:
        with os.scandir(self.directory) as folders:
            for folder in folders:
                if RUN.fullmatch(folder.name) and folder.is_dir(follow_symlinks=False):
                    changed, journals = 0, []
                    # A folder may be removed while it is looked into.
                    with contextlib.suppress(OSError), os.scandir(folder.path) as files:
                        for file in files:
                            if JOURNAL.fullmatch(file.name) and file.is_file(follow_symlinks=False):
                                status = file.stat(follow_symlinks=False)
                                changed = max(changed, status.st_mtime_ns)
                                journals.append(((folder.name, file.name), status.st_size))
                    yield changed, sorted(journals, key=lambda found: (found[0][1] != RAW_JOURNAL, found[0]))

    def _answer_list(self) -> list[bytes]:
        answer = as_message("list", [[*key, size] for key, size in self.journals().items()])
        return [answer] if len(answer) <= MAX_ANSWER else _refused("there are more journals than an answer can hold")

    def _answer_read(self, run: str, journal: str, offset: int, last: bytes) -> list[bytes]:
        key = run, journal
        # What was there once is looked for below; the directory is gone through for what is new only.
        if not is_key(*key) or (key not in self._list and key not in self.journals()):
            return _refused("there is no such journal")
        with self._opened(run, journal) as file:
            size = os.fstat(file).st_size
            if not _has(file, size, offset, last):
                return [as_message("other")]
            records = _records(file, size, offset)
        growing = bool(records) and offset + len(records) < size
        return [as_message("records", growing or is_being_written(self.directory / run / journal)), records]

    @contextlib.contextmanager
    def _opened(self, run: str, journal: str) -> Iterator[int]:
        # Step by step, so that a link that was put there since the list was made is not followed either.
        with contextlib.ExitStack() as opened:
            place: int | None = None
            for name, kind in ((str(self.directory), os.O_DIRECTORY), (run, os.O_DIRECTORY), (journal, os.O_NONBLOCK)):
                place = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | kind, dir_fd=place)
                opened.callback(os.close, place)
            if place is None or not stat.S_ISREG(os.fstat(place).st_mode):
                raise OSError(0, "no regular file")
            yield place


def _has(file: int, size: int, offset: int, last: bytes) -> bool:
    """Tell whether a journal has the record a copy ends with where the copy has it."""
    if offset == len(MAGIC):
        return size < len(MAGIC) or os.pread(file, len(MAGIC), 0) == MAGIC
    if not len(MAGIC) < offset <= size or len(last) != HEADER.size:
        return False
    begin = offset - HEADER.size - HEADER.unpack(last)[0]
    return begin >= len(MAGIC) and os.pread(file, HEADER.size, begin) == last


def _records(file: int, size: int, offset: int) -> bytes:
    """Return whole records from an offset: as many as a piece holds, or one that is longer."""
    data = os.pread(file, PIECE, offset)
    if len(data) >= HEADER.size:
        whole = HEADER.size + (length := HEADER.unpack_from(data)[0])
        if PIECE < whole <= size - offset and is_length(length):
            data = os.pread(file, whole, offset)
    return data[: max((end for end, _ in whole_records(data)), default=0)]


def _refused(why: str) -> list[bytes]:
    return [as_message("refused", why)]


def publish(
    directory: Path,
    address: str,
    keys: Keys | None = None,
    *,
    told: Callable[[str], None] = lambda address: None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Answer until told to stop.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    address : str
        ``tcp://IP:PORT``; port 0 is any free one.
    keys : Keys, optional
        Needed where the address is not loopback.
    told : callable
        Called with the address when it is listened to.
    stopped : callable
        Asked several times a second.

    Raises
    ------
    RemoteError
        Nothing can be served there; the message says why.
    """
    address = checked_address(address, to_listen=True, has_keys=keys is not None)
    runs = PublishedRuns(directory)
    if not runs.directory.is_dir():
        raise RemoteError(f"there is no directory {directory}")
    zmq = load_zmq()
    with contextlib.ExitStack() as opened:
        context = opened.enter_context(zmq.Context())
        # A REP socket would answer nobody any more after what is no message of ZMQ at all (libzmq 4.3.5).
        socket = opened.enter_context(context.socket(zmq.ROUTER))
        socket.linger, socket.maxmsgsize, socket.sndhwm = 0, 4 * MAX_QUESTION, WAITING  # keys need more than a question
        socket.ipv6 = "[" in address
        if keys is not None:
            opened.enter_context(keys.guard_answering(context, socket))
        try:
            socket.bind(address)
        except zmq.ZMQError as error:
            raise RemoteError(f"cannot listen at {address}: {error}; another port, or 0 for any free one") from None
        told(socket.last_endpoint.decode().rstrip("\0"))
        while not stopped():
            if socket.poll(200):
                asker, *question = socket.recv_multipart()
                if len(question) == 2 and not question[0]:
                    socket.send_multipart([asker, b"", *runs.answer(question[1])])
