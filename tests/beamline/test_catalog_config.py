"""A Tiled server beside the embedded catalog: named in the configuration, its key only ever in the environment."""

import pytest

from microarpes.beamline import followers
from microarpes.beamline.config import ConfigError, simulated_config
from microarpes.beamline.followers import Followers
from microarpes.beamline.journal import JournalWriter
from microarpes.beamline.journal_lock import is_being_written

URI = "https://tiled.example.org/api/v1"


def test_without_a_word_there_is_no_server_and_one_is_named_by_its_address():
    assert simulated_config().catalog.server() is None
    server = simulated_config().changed(catalog={"uri": URI, "api_key_variable": "MY_KEY"}).catalog.server()
    assert server.arguments() == ["--server", URI, "--key-variable", "MY_KEY"]


@pytest.mark.parametrize("uri", [f"{URI}?api_key=5ec7e7", "https://me:5ec7e7@tiled.example.org", "ftp://5ec7e7"])
def test_an_address_that_holds_a_key_or_is_none_is_refused_and_not_repeated(uri):
    with pytest.raises(ConfigError, match=r"catalog\.uri") as refused:
        simulated_config().changed(catalog={"uri": uri})
    assert "5ec7e7" not in str(refused.value)


class Process:
    """A process that was started and has ended."""

    def __init__(self, command, **options):
        self.command, self.pid, self.returncode = [str(word) for word in command], 1, 0
        STARTED.append(self.command)

    def wait(self, timeout=None):
        return 3 if "--server" in self.command and "--run" in self.command else 0

    def terminate(self):
        pass


STARTED: list[list[str]] = []


def test_a_run_gets_a_follower_to_the_server_too_and_one_that_is_behind_fails_no_run(tmp_path, monkeypatch):
    monkeypatch.setattr(followers.subprocess, "Popen", Process)
    monkeypatch.setattr(followers.os, "setpriority", lambda *_: None)
    monkeypatch.setenv("TILED_API_KEY", "5ec7e7")
    STARTED.clear()
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "raw.journal").touch()
    started = Followers(tmp_path, server=simulated_config().changed(catalog={"uri": URI}).catalog.server())
    started("start", {"uid": "abcdefgh", "grid": {}})
    started("event", {"data": {"pixel": 0}})
    started("event", {"data": {"pixel": 1}})
    modules = [command[2].rpartition(".")[2] for command in STARTED]
    assert modules == ["follow_fit", "follow_catalog", "follow_catalog", "reconcile_catalog"]
    assert [URI in command for command in STARTED] == [False, False, True, True]
    assert "5ec7e7" not in str(STARTED)
    assert started.wait() == []
    assert started.remarks == ["the server of run abcdefgh ended with status 3; see its log in its folder"]


def test_who_looks_whether_a_journal_is_written_keeps_no_run_from_beginning(tmp_path):
    for number in range(20):
        path = tmp_path / f"{number}.journal"
        path.touch()
        assert not is_being_written(path)
        writer = JournalWriter(path)
        assert is_being_written(path)
        writer.close()
