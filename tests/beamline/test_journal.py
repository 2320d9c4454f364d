"""The journal: nothing acknowledged is lost, whatever the file looks like."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from microarpes.beamline import journal
from microarpes.beamline.journal import (
    JournalError,
    JournalReader,
    JournalWriter,
    encode_record,
    end_of_records,
    follow,
    read_documents,
)

START = ("start", {"uid": "a", "time": 1.0})
EVENT = ("event", {"data": {"edc": np.arange(6.0).reshape(2, 3), "pixel": 4}, "seq_num": 1})
STOP = ("stop", {"exit_status": "success"})


def write(path, *documents):
    writer = JournalWriter(path)
    for name, doc in documents:
        writer(name, doc)
    writer.close()


def test_documents_come_back_as_they_went_in_arrays_bit_for_bit(tmp_path):
    rng = np.random.default_rng(1)
    arrays = {
        "f8": rng.normal(size=(2, 400)),
        "big endian": rng.normal(size=3).astype(">f8"),
        "i4": rng.integers(0, 9, (3, 4), dtype=np.int32),
        "text": np.array(["ok", "no-gap"]),
        "empty": np.zeros((0, 3)),
    }
    write(tmp_path / "j", ("event", {"data": {**arrays, "nan": float("nan"), "none": None}}))
    ((name, doc),) = read_documents(tmp_path / "j")
    assert name == "event"
    for key, array in arrays.items():
        found = doc["data"][key]
        assert found.shape == array.shape
        assert found.tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()
    assert np.isnan(doc["data"]["nan"])


def test_a_tail_torn_at_any_byte_loses_only_the_record_it_tore(tmp_path):
    # kill -9 or a power cut may leave any prefix of the last record.
    path = tmp_path / "j"
    write(path, START, EVENT)
    whole = path.read_bytes()
    tail = len(encode_record(*EVENT))
    for cut in range(1, tail + 1):
        path.write_bytes(whole[:-cut])
        assert [name for name, _ in read_documents(path)] == ["start"]
        JournalWriter(path).close()
        assert path.stat().st_size == len(whole) - tail


def test_zeros_that_a_power_cut_left_behind_the_records_are_no_record(tmp_path):
    # A file system may have made the file longer before it wrote what belongs there; CRC-32 of nothing is 0.
    path = tmp_path / "j"
    write(path, START, EVENT)
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(4096))
    assert [name for name, _ in read_documents(path)] == ["start", "event"]
    JournalWriter(path).close()
    assert path.read_bytes() == whole


def test_a_flipped_bit_ends_the_reading_before_the_damage(tmp_path):
    path = tmp_path / "j"
    write(path, START, EVENT, STOP)
    data = bytearray(path.read_bytes())
    data[len(journal.MAGIC) + len(encode_record(*START)) + 20] ^= 1
    path.write_bytes(data)
    assert [name for name, _ in read_documents(path)] == ["start"]


def test_a_reopened_journal_goes_on_after_the_last_whole_record(tmp_path):
    path = tmp_path / "j"
    write(path, START, EVENT)
    with path.open("ab") as file:
        file.write(b"\x99\x00\x00\x00half")
    write(path, STOP)
    assert [name for name, _ in read_documents(path)] == ["start", "event", "stop"]
    assert end_of_records(path) == path.stat().st_size


def test_a_full_disk_raises_nothing_keeps_the_order_and_recovers(tmp_path, monkeypatch):
    # The engine must not die of ENOSPC; the plan asks `error` and waits for the operator.
    path = tmp_path / "j"
    writer = JournalWriter(path)
    writer(*START)
    real, full = os.write, True

    def write_or_refuse(descriptor, data):
        if full:
            real(descriptor, bytes(data)[:3])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(journal.os, "write", write_or_refuse)
    writer(*EVENT)
    assert writer.error.errno == errno.ENOSPC
    assert [name for name, _ in read_documents(path)] == ["start"]
    full = False
    writer(*STOP)
    assert writer.error is None
    writer.close()
    assert [name for name, _ in read_documents(path)] == ["start", "event", "stop"]


def test_closing_with_documents_that_were_never_written_says_so(tmp_path, monkeypatch):
    writer = JournalWriter(tmp_path / "j")

    def refuse(descriptor, data):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(journal.os, "write", refuse)
    writer(*START)
    with pytest.raises(JournalError, match="1 documents could not be written"):
        writer.close()


def test_another_file_is_refused_not_read(tmp_path):
    (tmp_path / "j").write_bytes(b"\x89HDF\r\n\x1a\nsomething")
    with pytest.raises(JournalError, match="not a journal"):
        list(read_documents(tmp_path / "j"))


def test_following_sees_records_as_they_come_and_ends_with_the_stop_document(tmp_path):
    path = tmp_path / "j"
    writer = JournalWriter(path)
    reader = JournalReader(path)
    seen = []
    for document in (START, EVENT, STOP):
        assert list(reader.new_documents()) == []
        writer(*document)
        seen += [name for name, _ in reader.new_documents()]
    assert seen == ["start", "event", "stop"]
    assert [name for name, _ in follow(path)] == seen
    writer.close()
    reader.close()


def test_following_a_run_that_never_came_can_be_called_off(tmp_path):
    assert list(follow(tmp_path / "none", stopped=lambda: True)) == []


def test_an_object_that_is_no_data_is_refused_by_name(tmp_path):
    writer = JournalWriter(tmp_path / "j")
    with pytest.raises(TypeError, match="set"):
        writer("start", {"metadata": {1, 2}})
    writer.close()
