"""A run that was cut off is closed in the catalog with the points it has; its journal is not touched and it resumes."""

import uuid

import numpy as np
import pytest
from small_run import derived_documents, raw_documents, write_frames, write_journal

from microarpes.beamline.catalog import list_runs, open_catalog
from microarpes.beamline.catalog_writer import RunWriter
from microarpes.beamline.cli import main as main_of_cli
from microarpes.beamline.follow_catalog import follow_run
from microarpes.beamline.journal import JournalWriter, read_documents
from microarpes.beamline.orphans import close_orphan, interrupted_stop
from microarpes.beamline.reconcile_catalog import reconcile

#: Points of the run that was cut off, and of it what the live fit had done: neither is a full batch.
TAKEN, FITTED = 7, 5


class CutOff:
    """A run of ten points whose machine lost its power after seven."""

    def __init__(self, directory):
        self.run, self.fit = str(uuid.uuid4()), str(uuid.uuid4())
        self.folder = directory / self.run
        self.folder.mkdir()
        self.raw, self.gap = self.folder / "raw.journal", self.folder / "gap.journal"
        write_frames(self.folder, 10)
        self.documents = list(raw_documents(self.run, self.folder, np.full((10, 2, 40), 3.0)))
        write_journal(self.raw, self.documents[: 5 + 2 * TAKEN])
        write_journal(self.gap, list(derived_documents(self.fit, self.run, np.ones((10, 2))))[: 2 + FITTED])


@pytest.fixture
def cut_off(tmp_path):
    return CutOff(tmp_path)


def test_it_is_closed_as_interrupted_with_its_true_number_of_points_and_its_journal_stays(cut_off, capsys):
    directory = cut_off.folder.parent
    before = cut_off.raw.read_bytes()
    with open_catalog(directory, create=True) as client:
        # As the follower left it that died with the scan: not one full batch was written.
        write = RunWriter(client, cut_off.folder)
        for name, doc in read_documents(cut_off.raw):
            write(name, doc)
        assert [(run.exit_status, run.points) for run in list_runs(client)] == [("open", None)]
        assert sorted(reconcile(client, directory)) == sorted([cut_off.run, cut_off.fit])
        found = {run.uid: (run.exit_status, run.points) for run in list_runs(client, derived=True)}
        assert found == {cut_off.run: ("interrupted", TAKEN), cut_off.fit: ("interrupted", FITTED)}
        assert len(client[cut_off.run]["primary"].read()["pixel"]) == TAKEN
        assert len(client[cut_off.run]["calibration"].read()["ef"]) == 1
        assert reconcile(client, directory) == []  # there is nothing left to do
    assert cut_off.raw.read_bytes() == before
    assert main_of_cli(["reconcile", "--directory", str(directory)]) == 0
    assert "as the journals are" in capsys.readouterr().out
    assert main_of_cli(["runs", "--directory", str(directory), "--status", "interrupted"]) == 0
    assert ["7/10", "interrupted"] == capsys.readouterr().out.split()[-3:-1]


def test_a_run_that_is_being_taken_is_left_alone(cut_off):
    directory = cut_off.folder.parent
    scan = JournalWriter(cut_off.raw)
    with open_catalog(directory, create=True) as client:
        assert reconcile(client, directory) == []
        assert list_runs(client, derived=True) == []
        scan.close()
        assert reconcile(client, directory, but=cut_off.run) == []
        assert len(reconcile(client, directory)) == 2


def test_once_it_is_resumed_the_catalog_gets_its_true_end_and_the_fit_that_was_begun_anew(cut_off):
    directory = cut_off.folder.parent
    again = str(uuid.uuid4())
    with open_catalog(directory, create=True) as client:
        reconcile(client, directory)
        close_orphan(cut_off.folder)
        stop = [doc for name, doc in read_documents(cut_off.raw) if name == "stop"]
        assert interrupted_stop(cut_off.raw) is None
        write_journal(cut_off.gap.with_name("new"), derived_documents(again, cut_off.run, np.ones((TAKEN, 2))))
        cut_off.gap.with_name("new").replace(cut_off.gap)
        assert follow_run(client, cut_off.folder)
        assert client[cut_off.run].stop["uid"] == stop[0]["uid"]
        assert client[cut_off.run].stop["num_events"] == {"primary": TAKEN, "calibration": 1}
        # Of the fit that was cut off there is no journal any more, and nothing in the catalog.
        assert [run.uid for run in list_runs(client, derived=True)] == [cut_off.run, again]


def test_a_run_that_the_catalog_never_saw_is_written_and_one_that_is_no_journal_does_not_hold_it_up(cut_off):
    directory = cut_off.folder.parent
    (directory / "broken").mkdir()
    (directory / "broken" / "raw.journal").write_bytes(b"not a journal at all")
    write_journal(cut_off.folder / "new", cut_off.documents)
    (cut_off.folder / "new").replace(cut_off.raw)
    with open_catalog(directory, create=True) as client:
        reconcile(client, directory)
        assert {run.uid: run.exit_status for run in list_runs(client)} == {cut_off.run: "success"}
