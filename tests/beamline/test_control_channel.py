"""The control channel itself: clients that are no clients, and ``engine.json`` of engines that are gone."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading

import pytest

from microarpes.beamline import control as control_module
from microarpes.beamline.control import MAX_CLIENTS, MAX_LINE, ControlServer
from microarpes.beamline.control_client import ControlClient, ControlError, EngineGone, find_engine, read_engine_state


def answer(connection):
    with connection.makefile("rb") as stream:
        return json.loads(stream.readline())


def test_two_clients_are_served_side_by_side(bench):
    bench.begin()
    with bench.connect() as one, bench.connect() as other:
        for _ in range(2):
            one.sendall(b'{"do": "state"}\n')
            other.sendall(b'{"do": "stop-after-"}\n{"do": "state"}\n')
            assert answer(one)["state"] == "running"
            with other.makefile("rb") as stream:
                replies = [json.loads(stream.readline()) for _ in range(2)]
            assert [reply["ok"] for reply in replies] == [False, True]


GARBAGE = [
    b"\x00\xff\xfe garbage\n", b"\n", b"[" * 4000 + b"\n", b"null\n", b"[1, 2]\n", b'{"do": null}\n',
    b'{"do": ["state"]}\n',    b'{"do": "halt"}\n', b'{"does": "state"}\n', b'"state"\n', b"1e999\n",
]  # fmt: skip


def test_a_client_that_sends_garbage_is_told_so_on_one_line_and_may_go_on(bench):
    with bench.connect() as client:
        for garbage in GARBAGE:
            client.sendall(garbage)
            reply = answer(client)
            assert not reply["ok"], garbage
            assert "\n" not in reply["error"]
            assert len(reply["error"]) < 300
        client.sendall(b'{"do": "state"}\n')
        assert answer(client)["ok"]


@pytest.mark.parametrize("reason", [7, "x" * 301, {"a": 1}])
def test_an_abort_with_a_reason_that_is_none_is_refused_and_the_run_goes_on(bench, reason):
    bench.begin()
    assert "no text of up to 300 characters" in bench.refusal("abort", reason=reason)
    assert bench.client.state()["state"] == "running"


def test_a_client_that_sends_half_a_line_holds_up_nobody_and_has_its_answer_when_the_other_half_comes(bench):
    with bench.connect() as slow:
        slow.sendall(b'{"do": "st')
        assert bench.client.state()["state"] == "idle"
        slow.sendall(b'ate"}\n')
        assert answer(slow)["state"] == "idle"
        slow.sendall(b'{"do": "abort"')
    assert bench.client.state()["state"] == "idle"


def test_a_client_that_never_ends_its_line_is_left_alone_in_the_end(bench, monkeypatch):
    monkeypatch.setattr(control_module, "LINE_TIMEOUT", 0.2)
    with bench.connect() as slow:
        slow.sendall(b'{"do"')
        assert slow.recv(100) == b""


def test_a_megabyte_without_an_end_of_line_is_refused_unread(bench, wait_for):
    with bench.connect() as loud:
        try:
            loud.sendall(b"x" * (1 << 20))
            reply = answer(loud)
        except (BrokenPipeError, ConnectionResetError):
            reply = None  # it had hung up before all was sent
        assert reply is None or f"more than {MAX_LINE} bytes" in reply["error"]
    assert bench.client.state()["state"] == "idle"
    wait_for(lambda: not bench.server._clients, "the client being forgotten")


def test_more_clients_than_are_served_are_told_so_and_places_become_free(bench, wait_for):
    connections = [bench.connect() for _ in range(MAX_CLIENTS)]
    for connection in connections:
        connection.sendall(b'{"do": "state"}\n')
        assert answer(connection)["ok"]
    with bench.connect() as one_more:
        assert "no more are served" in answer(one_more)["error"]
    for connection in connections:
        connection.close()
    wait_for(lambda: not bench.server._clients, "all clients being forgotten")
    assert bench.client.state()["state"] == "idle"


def test_a_request_that_fails_within_is_answered_and_the_channel_stays(bench, monkeypatch):
    monkeypatch.setattr(type(bench.server.control), "found", lambda self: 1 / 0)
    assert "ZeroDivisionError" in bench.refusal("state")
    assert "there is no run" in bench.refusal("pause")


def test_only_this_user_can_reach_the_socket_and_nothing_is_left_behind(engine, tmp_path):
    file = tmp_path / "engine.json"
    with ControlServer(engine, threading.Event()).listening(tmp_path):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        content = json.loads(file.read_text())
        assert content.keys() == {"pid", "socket", "started"}
        assert content["pid"] == os.getpid()
        path = find_engine(tmp_path).socket
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [entry.name for entry in tmp_path.iterdir()] == ["engine.json"]
    assert not path.parent.exists()
    assert not any(tmp_path.iterdir())
    with pytest.raises(EngineGone, match="none runs there"):
        read_engine_state(tmp_path)


def test_a_second_engine_of_a_directory_runs_without_a_channel_and_leaves_the_first_its_own(bench, engine, caplog):
    second = ControlServer(engine, threading.Event())
    with second.listening(bench.directory) as there:
        assert not there
        assert "another engine is controlled in" in caplog.text
    assert bench.client.state()["state"] == "idle"


def test_a_long_path_for_temporary_files_is_no_reason_for_no_channel(engine, tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with ControlServer(engine, threading.Event()).listening(tmp_path) as there:
        assert there
        assert read_engine_state(tmp_path)["state"] == "idle"
    assert not any(deep.iterdir())


def gone_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def write_engine_file(directory, **content):
    text = json.dumps({"pid": os.getpid(), "socket": str(directory / "nothing"), "started": 0.0, **content})
    (directory / "engine.json").write_text(text)


def test_the_file_of_an_engine_that_died_is_told_from_a_living_one_and_taken_over(engine, tmp_path):
    write_engine_file(tmp_path, pid=gone_pid())
    with pytest.raises(EngineGone, match=r"its process \d+ is gone"):
        read_engine_state(tmp_path)
    # its process id is another's by now
    write_engine_file(tmp_path)
    with pytest.raises(EngineGone, match="its socket is gone"):
        read_engine_state(tmp_path)
    # its folder was left behind
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    write_engine_file(tmp_path, socket=str(tmp_path / "s"))
    with pytest.raises(EngineGone, match="has gone"):
        read_engine_state(tmp_path)
    with ControlServer(engine, threading.Event()).listening(tmp_path) as there:
        assert there
        assert read_engine_state(tmp_path)["state"] == "idle"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"pid": 1}', '{"pid": "x", "socket": "s", "started": 0}',
     '{"pid": -1, "socket": "s", "started": 0}', '{"pid": 1e400, "socket": "s", "started": 0}'],
)  # fmt: skip
def test_a_file_that_names_no_engine_is_refused_with_what_to_do(tmp_path, text):
    (tmp_path / "engine.json").write_text(text)
    with pytest.raises(ControlError, match="remove it if no"):
        read_engine_state(tmp_path)


def test_what_is_no_socket_of_this_user_is_refused_and_a_link_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "nothing").write_text("no socket")
    write_engine_file(tmp_path)
    with pytest.raises(ControlError, match="which is no socket of this user"):
        read_engine_state(tmp_path)
    (tmp_path / "engine.json").rename(tmp_path / "elsewhere.json")
    (tmp_path / "engine.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ControlError, match="cannot be read"):
        read_engine_state(tmp_path)


def test_the_files_and_sockets_of_another_user_are_refused(bench, monkeypatch):
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    with pytest.raises(ControlError, match="is no file of this user"):
        bench.client.state()


def test_an_engine_that_does_not_answer_is_told_from_one_that_is_gone(tmp_path):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen(1)
        write_engine_file(tmp_path, socket=str(tmp_path / "s"))
        with pytest.raises(ControlError, match=r"did not answer within 0\.05 s") as refused:
            ControlClient(tmp_path, timeout=0.05).state()
    assert not isinstance(refused.value, EngineGone)
