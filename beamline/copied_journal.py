"""The copy of a journal of another machine: checked before a byte is written, and never shorter than it was."""

from __future__ import annotations

from pathlib import Path

from microarpes.beamline.journal import RAW_JOURNAL, JournalWriter
from microarpes.beamline.journal_record import HEADER, MAGIC, unpacked, whole_records
from microarpes.beamline.remote import VERSION, Key, RemoteError, as_message


class CopiedJournal:
    """The copy of one journal, which nobody else may write meanwhile.

    Parameters
    ----------
    directory : Path
        Where the copies of runs are kept.
    key : (str, str)
        Run and journal.

    Raises
    ------
    RemoteError
        The place is a link to another one.
    JournalError, OSError
        It cannot be written.
    """

    def __init__(self, directory: Path, key: Key) -> None:
        self.run, journal = key
        folder = directory / self.run
        self.path = folder / journal
        if folder.is_symlink() or self.path.is_symlink():
            raise RemoteError(f"{self.path} is a link, and a copy is written to no other place; move it away")
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = JournalWriter(self.path)
        self._last = _last_head(self.path, self._writer.end)

    def question(self) -> bytes:
        """Return what to ask for: what comes after the end of the copy."""
        return as_message(VERSION, "read", self.run, self.path.name, self._writer.end, self._last)

    def append(self, records: bytes) -> None:
        """Write whole records, of which each was looked at before.

        Raises
        ------
        RemoteError
            They are not, or not of this run; nothing was written then.
        OSError
            The disk refuses them; a copy that is opened anew goes on after the last whole record.
        """
        begin, head = 0, self._last
        for end, payload in whole_records(records):
            self._check(payload, first=not head)
            begin, head = end, records[begin : begin + HEADER.size]
        if begin != len(records):
            raise RemoteError(f"{self.path}: what was sent for it is damaged")
        self._last = head
        self._writer.append(records)
        if self._writer.error is not None:
            raise self._writer.error

    def _check(self, payload: bytes, *, first: bool) -> None:
        try:
            name, doc = unpacked(payload)
        except Exception as error:  # noqa: BLE001 - what comes over the wire may fail in any way a library knows
            raise RemoteError(f"{self.path}: what was sent for it is no document ({type(error).__name__})") from None
        if not isinstance(name, str) or not isinstance(doc, dict):
            raise RemoteError(f"{self.path}: what was sent for it is no document")
        of_run = doc.get("uid" if self.path.name == RAW_JOURNAL else "original_run_uid")
        if first and (name != "start" or of_run != self.run):
            raise RemoteError(f"{self.path}: what was sent for it begins another run")

    def begin_anew(self) -> None:
        """Give up what was copied of a fit that was begun anew.

        Raises
        ------
        RemoteError
            It is of a raw run, and what was measured is not given up; or the other file is no journal.
        """
        if not self._last:
            raise RemoteError(f"{self.path}: the publisher has no journal there")
        if self.path.name == RAW_JOURNAL:
            raise RemoteError(
                f"{self.path} is not a beginning of what the publisher has; it is left as it is: move its folder away "
                "to have it copied again"
            )
        # The old file stays open until the new one is there: who reads it tells them apart by their inodes.
        old = self._writer
        self.path.unlink()
        self._writer, self._last = JournalWriter(self.path), b""
        old.close()

    def close(self) -> None:
        """Let others write."""
        self._writer.close()


def _last_head(path: Path, end: int) -> bytes:
    """Return length and CRC of the last record of a journal of whole records; nothing where it has none."""
    at, head = len(MAGIC), b""
    with path.open("rb") as file:
        while at < end:
            file.seek(at)
            head = file.read(HEADER.size)
            at += HEADER.size + int(HEADER.unpack(head)[0])
    return head
