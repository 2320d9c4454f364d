"""Followers of many runs write into one catalog: each waits for its turn, and begins anew where the catalog failed."""

from __future__ import annotations

import threading

import pytest

from microarpes.beamline import follow_catalog
from microarpes.beamline.catalog_folder import FOLDER
from microarpes.beamline.catalog_turn import turn_to_write
from microarpes.beamline.catalog_writer import RunWriter


class Catalog:
    """A catalog that says when it is written."""

    def __init__(self):
        self.written = threading.Event()

    def include_data_sources(self):
        return self

    def keys(self):
        self.written.set()
        return []


def test_a_writer_waits_while_another_one_writes(tmp_path):
    (tmp_path / FOLDER).mkdir()
    catalog = Catalog()
    writer = RunWriter(catalog, tmp_path / "run")
    writer._write = lambda name, doc: None
    thread = threading.Thread(target=writer, args=("start", {"uid": "run"}), daemon=True)
    with turn_to_write(tmp_path):
        thread.start()
        # a write of nothing takes microseconds: a tenth of a second is long
        assert not catalog.written.wait(0.1)
    assert catalog.written.wait(10.0)
    thread.join(10.0)


def test_where_there_is_no_embedded_catalog_nobody_is_waited_for(tmp_path):
    with turn_to_write(tmp_path), turn_to_write(tmp_path):
        assert list(tmp_path.iterdir()) == []


def failing(times, calls):
    def follow_run(client, folder, **options):
        calls.append(folder)
        if len(calls) <= times:
            raise RuntimeError("database is locked")
        return True

    return follow_run


def test_a_run_is_written_again_from_the_beginning_where_the_catalog_failed(tmp_path, monkeypatch, caplog):
    calls = []
    monkeypatch.setattr(follow_catalog, "follow_run", failing(2, calls))
    assert follow_catalog.main(["--directory", str(tmp_path), "--run", "uid"]) == 0
    assert calls == [tmp_path / "uid"] * 3
    assert caplog.text.count("RuntimeError: database is locked") == 2


def test_a_catalog_that_goes_on_failing_is_told(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(follow_catalog, "follow_run", failing(9, calls))
    with pytest.raises(RuntimeError, match="locked"):
        follow_catalog.main(["--directory", str(tmp_path), "--run", "uid"])
    assert len(calls) == follow_catalog.ATTEMPTS
