"""Journals on a second machine: the same bytes as on the first, whoever is killed, and no other file than those."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import uuid

import numpy as np
import pytest
import zmq
import zmq.auth
from bluesky.callbacks.zmq import Publisher as BlueskyPublisher
from conftest import Raster, derived_records, poll_for
from small_run import derived_documents, raw_documents, write_journal

from microarpes.beamline import journal, publish, subscribe
from microarpes.beamline.asked_publisher import NoAnswer, Publisher
from microarpes.beamline.follow_fit import follow_fit
from microarpes.beamline.journal import JournalWriter, read_documents
from microarpes.beamline.journal_lock import is_being_written
from microarpes.beamline.journal_record import HEADER, MAGIC, encode_record, packed, unpacked
from microarpes.beamline.publish import PublishedRuns
from microarpes.beamline.remote import Keys, RemoteError, as_message, checked_address, of_message
from microarpes.beamline.stored_run import read_run
from microarpes.beamline.subscribe import Subscriber

LIST = as_message(1, "list")


@pytest.fixture(autouse=True)
def _lists_are_never_old(monkeypatch):
    monkeypatch.setattr(publish, "LIST_AGE", 0.0)
    monkeypatch.setattr(subscribe, "LOOK", 0.0)


@pytest.fixture
def raster(tmp_path_factory):
    return Raster(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def runs(tmp_path):
    """A directory with a run and its fit."""
    return tmp_path / "runs", stored_run(tmp_path / "runs")


def stored_run(directory, points=12):
    uid = str(uuid.uuid4())
    folder = directory / uid
    folder.mkdir(parents=True)
    write_journal(folder / "raw.journal", raw_documents(uid, folder, np.ones((points, 2, 40))))
    write_journal(folder / "gap.journal", derived_documents("fit", uid, np.full((points, 2), 30.0)))
    return uid


def bytes_of(directory):
    return {path.relative_to(directory): path.read_bytes() for path in sorted(directory.glob("*/*.journal"))}


def caught_up(copy, ask, **options):
    """Copy until there is nothing left; return what was wrong."""
    with Subscriber(copy, ask, **options) as subscriber:
        while subscriber.turn():
            pass
        return list(subscriber.problems.values())


def test_a_copy_grows_with_its_run_and_ends_as_the_same_bytes_and_the_same_gaps(raster, tmp_path):
    copy, answer = tmp_path / "copy", PublishedRuns(raster.directory).answer
    raw = copy / raster.uid / "raw.journal"
    growing = raster.grow()
    next(growing)
    with contextlib.ExitStack() as first:
        subscriber = first.enter_context(Subscriber(copy, answer))
        for steps, name in enumerate(growing):
            subscriber.turn()
            assert bytes_of(copy) == bytes_of(raster.directory)
            # Who looks at the copy sees a run that is being taken, as beside the scan.
            assert is_being_written(raw) == (name != "stop")
            if steps == 12:
                break
    # Killed while it wrote, a subscriber leaves a part of a record, and starts anew when there is more to be had.
    raw.write_bytes(raw.read_bytes()[:-7])
    for _ in zip(range(5), growing, strict=False):
        pass
    with Subscriber(copy, answer) as second:
        for _ in growing:
            second.turn()
        while second.turn():
            pass
        assert second.problems == {}
        assert not is_being_written(raw)
    assert bytes_of(copy) == bytes_of(raster.directory)
    gaps = [read_run(folder / raster.uid).gap_map for folder in (copy, raster.directory)]
    np.testing.assert_array_equal(gaps[0].delta, gaps[1].delta)
    np.testing.assert_array_equal(gaps[0].status, gaps[1].status)


def test_a_run_is_fitted_on_the_second_machine_to_the_same_bits(raster, tmp_path):
    for _ in raster.grow():
        pass
    assert caught_up(tmp_path, PublishedRuns(raster.directory).answer, raw_only=True) == []
    assert [path.name for path in bytes_of(tmp_path)] == ["raw.journal"]
    follow_fit(tmp_path, raster.uid)
    fits = [derived_records(folder / raster.uid / "gap.journal") for folder in (tmp_path, raster.directory)]
    assert fits[0] == fits[1] != []


def test_a_fit_that_is_begun_anew_is_copied_anew(runs, tmp_path):
    directory, uid = runs
    copy, answer = tmp_path / "copy", PublishedRuns(directory).answer
    fit = directory / uid / "gap.journal"
    whole = fit.read_bytes()
    begun = whole[: len(whole) // 2]
    fit.write_bytes(begun)
    with Subscriber(copy, answer) as subscriber:
        while subscriber.turn():
            pass
        fit.unlink()
        # As long as the first and with other uids, and then shorter than the copy.
        for points in (12, 3):
            fit.unlink(missing_ok=True)
            write_journal(fit, derived_documents("anew", uid, np.full((points, 2), 31.0)))
            while subscriber.turn():
                pass
            assert bytes_of(copy) == bytes_of(directory)
        assert subscriber.problems == {}


def test_what_was_measured_is_never_given_up_for_another_file_of_its_name(runs, tmp_path):
    directory, uid = runs
    copy, answer = tmp_path / "copy", PublishedRuns(directory).answer
    caught_up(copy, answer)
    kept = bytes_of(copy)
    other = directory / uid / "other"
    write_journal(other, raw_documents(uid, directory, np.zeros((3, 2, 40))))
    other.rename(directory / uid / "raw.journal")
    (problem,) = caught_up(copy, answer)
    assert "left as it is" in problem
    assert bytes_of(copy) == kept


def test_a_torn_record_is_not_carried_and_a_full_disk_loses_none(runs, tmp_path, monkeypatch):
    directory, uid = runs
    copy, raw = tmp_path / "copy", directory / uid / "raw.journal"
    whole = raw.read_bytes()
    raw.write_bytes(whole[:-5])
    write_all, refusals = journal._write_all, iter([True, True])

    def full(descriptor, data):
        if next(refusals, False):
            os.write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        write_all(descriptor, data)

    monkeypatch.setattr(journal, "_write_all", full)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subscribe, "REST", 0.0)
        with Subscriber(copy, PublishedRuns(directory).answer) as subscriber:
            subscriber.turn()
            assert any("No space left" in problem for problem in subscriber.problems.values())
            poll_for(lambda: not subscriber.turn() and not subscriber.problems, "a copy of all")
            assert len(list(read_documents(copy / uid / "raw.journal"))) == len(list(read_documents(raw)))
            assert (copy / uid / "raw.journal").stat().st_size < raw.stat().st_size
            # The writer that is started again cuts the torn record off, and goes on.
            writer = JournalWriter(raw)
            writer("stop", {"exit_status": "abort"})
            subscriber.turn()
            writer.close()
            while subscriber.turn():
                pass
    assert bytes_of(copy) == bytes_of(directory)


class Processes:
    """Publisher and subscriber as the command line starts them, to be killed."""

    def __init__(self, directory, copy):
        self.directory, self.copy, self.address = directory, copy, "tcp://127.0.0.1:0"
        self.running = {}

    def publish(self):
        command = ("publish", "--address", self.address, "--directory", str(self.directory))
        process = self._start("publisher", *command)
        self.address = process.stdout.readline().split()[-1]

    def subscribe(self):
        self._start("subscriber", "subscribe", self.address, "--directory", str(self.copy))

    def _start(self, what, *arguments):
        command = [sys.executable, "-m", "microarpes.beamline.cli", *arguments]
        self.running[what] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        return self.running[what]

    def kill(self, what, number=signal.SIGKILL):
        process = self.running.pop(what)
        process.send_signal(number)
        process.communicate(timeout=30.0)
        return process.returncode

    def copied(self, uid):
        path = self.copy / uid / "raw.journal"
        return path.stat().st_size if path.exists() else 0


def test_killed_in_turn_publisher_and_subscriber_leave_neither_hole_nor_duplicate(tmp_path):
    directory, copy, uid = tmp_path / "runs", tmp_path / "copy", str(uuid.uuid4())
    (directory / uid).mkdir(parents=True)
    processes = Processes(directory, copy)
    writer = JournalWriter(directory / uid / "raw.journal")
    documents = raw_documents(uid, directory / uid, np.ones((60, 2, 40)))
    with contextlib.ExitStack() as at_end:
        at_end.callback(writer.close)
        at_end.callback(lambda: [processes.kill(what) for what in list(processes.running)])

        def measure(n):
            for _, (name, doc) in zip(range(n), documents, strict=False):
                writer(name, doc)

        def arrived():
            poll_for(lambda: processes.copied(uid) == writer.end, "the copy of what was measured")

        measure(20)
        processes.publish()
        processes.subscribe()
        arrived()
        processes.kill("subscriber")
        measure(20)
        processes.subscribe()
        measure(20)
        arrived()
        processes.kill("publisher")
        measure(20)
        processes.publish()  # at the same address; the subscriber asks again by itself
        measure(1000)
        arrived()
        assert processes.kill("publisher", signal.SIGINT) == processes.kill("subscriber", signal.SIGINT) == 0
    assert bytes_of(copy) == bytes_of(directory)
    assert len(list(read_documents(copy / uid / "raw.journal"))) == 5 + 2 * 60 + 1  # datum and event a point


@contextlib.contextmanager
def published(directory, keys=None):
    """A publisher in a thread; yields its address."""
    told, end = [], threading.Event()
    options = {"told": told.append, "stopped": end.is_set}
    thread = threading.Thread(
        target=publish.publish, args=(directory, "tcp://127.0.0.1:0", keys), kwargs=options, daemon=True
    )
    thread.start()
    try:
        yield poll_for(lambda: told and told[0], "a publisher")
    finally:
        end.set()
        thread.join(30.0)
        assert not thread.is_alive()


def test_with_keys_only_who_is_known_gets_anything_and_only_from_whom_it_knows(runs, tmp_path):
    folder, known = tmp_path / "keys", tmp_path / "known"
    folder.mkdir()
    known.mkdir()
    for name in ("publisher", "friend", "stranger"):
        zmq.auth.create_certificates(folder, name)
    (folder / "friend.key").rename(known / "friend.key")
    directory, uid = runs

    def ask(address, name, publisher, timeout):
        keys = name and Keys(folder / f"{name}.key_secret", folder / f"{publisher}.key")
        with contextlib.closing(Publisher(address, keys, timeout=timeout)) as line:
            return line(LIST)

    with published(directory, Keys(folder / "publisher.key_secret", known)) as address:
        for name, publisher in [("stranger", "publisher"), ("friend", "stranger"), (None, None)]:
            with pytest.raises(NoAnswer):
                ask(address, name, publisher, 0.2)
        (answer,) = ask(address, "friend", "publisher", 30.0)
    assert {run for run, _, _ in of_message(answer, 1000)[1]} == {uid}


def test_noise_on_the_line_stops_no_publisher(runs, tmp_path):
    directory, uid = runs
    noise = random.Random(4)
    with published(directory) as address:
        host, port = address.removeprefix("tcp://").split(":")
        for size in (1, 64, 100_000):  # no ZMQ at all
            with socket.create_connection((host, int(port))) as line, contextlib.suppress(OSError):
                line.sendall(noise.randbytes(size))
        with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            dealer.connect(address)
            for parts in ([b""], [b"", b""], [b"", *[b"x"] * 50], [b"no envelope"], [b"", b"\xff" * 900]):
                dealer.send_multipart(parts)
            for _ in range(2):  # two have the form of a question, and are refused
                assert dealer.poll(30_000)
                assert of_message(dealer.recv_multipart()[1], 1000)[0] == "refused"
            dealer.send_multipart([b"", bytes(1 << 20)])  # the line of who sends so much is closed
        subscribe.subscribe(address, tmp_path / "copy", once=True)
        assert bytes_of(tmp_path / "copy") == bytes_of(directory)
        # And who asks to have it all is told when that is not so.
        raw = tmp_path / "copy" / uid / "raw.journal"
        write_journal(raw, [("event", {"of": "somebody else"})])
        with pytest.raises(RemoteError, match="1 journals were not copied"):
            subscribe.subscribe(address, tmp_path / "copy", once=True)


def test_an_answer_without_the_form_of_one_is_waited_for_no_longer_than_any():
    with zmq.Context() as context, context.socket(zmq.ROUTER) as other:
        other.linger = 0
        port = other.bind_to_random_port("tcp://127.0.0.1")

        def answer():
            asker, *_ = other.recv_multipart()
            other.send_multipart([asker, b"no envelope", b"x"])

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with contextlib.closing(Publisher(f"tcp://127.0.0.1:{port}", timeout=0.2)) as line, pytest.raises(NoAnswer):
            line(LIST)
        thread.join(30.0)


def test_no_question_gets_another_file_or_an_exception(runs, tmp_path):
    directory, uid = runs
    secret = b"MAJRNL1\n" + encode_record("start", {"secret": 1})
    (tmp_path / "raw.journal").write_bytes(secret)
    (directory / uid / "mask.json").write_bytes(secret)
    linked, there = str(uuid.uuid4()), str(uuid.uuid4())
    (directory / linked).symlink_to(tmp_path)
    (directory / there).mkdir()
    (directory / there / "raw.journal").symlink_to(tmp_path / "raw.journal")
    os.mkfifo(directory / there / "gap.journal")
    answer = PublishedRuns(directory).answer
    assert {(run, journal) for run, journal, _ in of_message(answer(LIST)[0], 1000)[1]} == {
        (uid, "raw.journal"), (uid, "gap.journal")
    }  # fmt: skip
    start = len(MAGIC)
    for run, name in [
        (linked, "raw.journal"), (there, "raw.journal"), (there, "gap.journal"), ("..", "raw.journal"),
        (uid, "mask.json"), (uid, "../../raw.journal"), (f"{uid}/../..", "raw.journal"), ("", ""), (uid, "frames.h5"),
        (uid, "raw.journal\0"), (uid, "/etc/passwd"), (uid.upper(), "raw.journal"),
    ]:  # fmt: skip
        (refusal,) = answer(as_message(1, "read", run, name, start, b""))
        assert of_message(refusal, 1000)[0] == "refused"
    fit = directory / uid / "gap.journal"
    fit.rename(tmp_path / "gap.journal")  # listed, and then a link is put in its place
    fit.symlink_to(tmp_path / "raw.journal")
    (refusal,) = answer(as_message(1, "read", uid, "gap.journal", start, b""))
    assert of_message(refusal, 1000)[0] == "refused"
    for offset in (-1, 0, start + 1, 10**6, 2**63, 2**64 - 1):
        for last in (b"", bytes(8), b"\xff" * 8, bytes(500)):
            (other,) = answer(as_message(1, "read", uid, "raw.journal", offset, last))
            assert of_message(other, 1000) == ["other"]
    good = as_message(1, "read", uid, "raw.journal", start, b"")
    noise = random.Random(5)
    mutants = [noise.randbytes(noise.randrange(200)) for _ in range(1000)]
    for _ in range(1000):
        mutant = bytearray(good)
        mutant[noise.randrange(len(good))] = noise.randrange(256)
        mutants.append(bytes(mutant))
    mutants += [b"\x91" * 1000, b"\xdd\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01", as_message(2, "list"), good * 9]
    for mutant in mutants:
        parts = answer(mutant)
        assert secret[8:] not in b"".join(parts)
        assert of_message(parts[0], 1 << 20)[0] in ("refused", "other", "list", "records")


def refuses_all_but_the_list(journals, *answer):
    """What a publisher that lies answers: a list, and then the same again and again."""

    def ask(question):
        return [as_message("list", journals)] if question == LIST else list(answer)

    return ask


RUN = "0d3e9a51-6d55-4d1c-9a54-1f3ad1a9a7ce"
START = encode_record("start", {"uid": RUN})
RECORDS = as_message("records", False)


@pytest.mark.parametrize(
    "records",
    [
        START[:-1],
        START + b"\0",
        START[:8] + b"\0" + START[9:],
        bytes(64),
        HEADER.pack(2**32 - 1, 0) + bytes(20),
        encode_record("start", {"uid": "of another run"}),
        encode_record("event", {"uid": RUN}),
        encode_record(7, {"uid": RUN}),
        encode_record("start", [RUN]),
        START + encode_record("event", {"__ndarray__": True, "dtype": "O", "shape": [1], "data": bytes(8)}),
        START + encode_record("event", {"__ndarray__": True, "dtype": "f8", "shape": [-7, 2**62], "data": bytes(8)}),
    ],
)
def test_what_is_no_record_of_its_run_is_not_written(records, tmp_path):
    ask = refuses_all_but_the_list([[RUN, "raw.journal", 10**12]], RECORDS, records)
    (problem,) = caught_up(tmp_path, ask)
    assert "raw.journal: what was sent for it" in problem
    assert (tmp_path / RUN / "raw.journal").read_bytes() == MAGIC


@pytest.mark.parametrize(
    "answer",
    [[b""], [b"\xc1"], [RECORDS[:-1], START], [as_message("records"), START], [as_message("refused", "no")],
     [as_message("other")], [as_message({"a": 1})] * 2, [b"\x91" * 5000], [b"\xdd\xff\xff\xff\xff"]],
)  # fmt: skip
def test_an_answer_that_is_none_is_a_line_in_the_log(answer, tmp_path, caplog):
    (problem,) = caught_up(tmp_path, refuses_all_but_the_list([[RUN, "raw.journal", 10]], *answer))
    assert RUN in problem
    assert problem in caplog.text
    with pytest.raises(RemoteError):
        caught_up(tmp_path, lambda question: answer)


def test_a_subscriber_writes_nothing_outside_its_directory(tmp_path):
    copy, outside, linked = tmp_path / "copy", tmp_path / "outside", str(uuid.uuid4())
    outside.mkdir()
    copy.mkdir()
    (copy / linked).symlink_to(outside)
    names = [("..", "raw.journal"), (RUN, "../raw.journal"), (f"../{RUN}", "raw.journal"), ("/tmp", "gap.journal"),
             (RUN, "frames.h5"), (RUN, "raw.journal\n"), (RUN, ".journal"), ("", "")]  # fmt: skip
    journals = [[*name, 100] for name in names] + [[linked, "raw.journal", 100], [RUN], 7, "raw.journal", [1, 2, 3]]
    (problem,) = caught_up(copy, refuses_all_but_the_list(journals, RECORDS, START))
    assert "is a link" in problem
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["copy", "outside", linked])


@pytest.mark.parametrize(
    ("address", "to_listen", "has_keys"),
    [("tcp://127.0.0.1:0", True, False), ("tcp://[::1]:5577", True, False), ("tcp://10.0.0.5:5577", True, True),
     ("tcp://localhost:5577", False, False), ("tcp://beamline.example.org:5577", False, True)],
)  # fmt: skip
def test_an_address_is_loopback_or_has_keys(address, to_listen, has_keys):
    assert checked_address(address, to_listen=to_listen, has_keys=has_keys) == address


@pytest.mark.parametrize(
    ("address", "to_listen", "has_keys"),
    [("tcp://10.0.0.5:5577", True, False), ("tcp://beamline.example.org:5577", False, False),
     ("tcp://0.0.0.0:5577", True, True), ("tcp://[::]:5577", True, True), ("tcp://*:5577", True, True),
     ("tcp://eth0:5577", True, True), ("ipc:///tmp/socket", True, False), ("tcp://127.0.0.1", True, False),
     ("tcp://127.0.0.1:0", False, False), ("127.0.0.1:5577", True, False), ("tcp://127.0.0.1:99999", True, False),
     ("tcp://127.0.0.1:5577/x", True, False), ("tcp://a;b@127.0.0.1:5577", False, True),
     ("tcp://[::1:5577", True, True), ("", True, False)],
)  # fmt: skip
def test_an_address_that_is_open_to_a_network_or_is_none_is_refused(address, to_listen, has_keys):
    with pytest.raises(RemoteError, match="address"):
        checked_address(address, to_listen=to_listen, has_keys=has_keys)


def test_documents_go_without_pickle_through_the_publisher_of_bluesky_where_a_site_has_it():
    event = {"data": {"edc": np.arange(6.0).reshape(2, 3), "pixel": 4}, "seq_num": 1}
    with zmq.Context() as context, context.socket(zmq.SUB) as subscribed:
        port = subscribed.bind_to_random_port("tcp://127.0.0.1")
        subscribed.subscribe(b"")
        publisher = BlueskyPublisher(f"127.0.0.1:{port}", prefix=b"raster", serializer=packed)
        try:
            # What is sent before the line is up is lost: hence our own questions and answers.
            def heard():
                publisher("event", event)
                return subscribed.poll(10) and subscribed.recv()

            prefix, name, doc = poll_for(heard, "a document").split(b" ", 2)
        finally:
            publisher.close()
    assert (prefix, name) == (b"raster", b"event")
    np.testing.assert_array_equal(unpacked(doc)["data"]["edc"], event["data"]["edc"])
