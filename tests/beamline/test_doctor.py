"""``microarpes doctor``: what does not agree is found and named, and mending loses nothing that was measured."""

import uuid

import h5py
import numpy as np
import pytest
from small_run import ENERGIES, WINDOWS, raw_documents, write_frames, write_journal

from microarpes.beamline import journal
from microarpes.beamline.catalog import open_catalog
from microarpes.beamline.doctor import doctor_of, examine
from microarpes.beamline.follow_catalog import follow_run
from microarpes.beamline.journal import JournalWriter, end_of_records, read_documents


@pytest.fixture
def whole(own_raster):
    for _ in own_raster.grow():
        pass
    return own_raster


def told(run, **how):
    return doctor_of(run.directory, [], **{"frames": False, "repair": False, **how})


def test_a_whole_run_agrees_to_its_last_frame(whole):
    said, left = told(whole, frames=True)
    assert left == 0
    assert said == f"{whole.uid[:8]}  15 of 16 pixels: journals, frames and fit agree, and every frame has its counts\n"


def test_a_torn_journal_is_cut_where_its_last_whole_record_ends(whole):
    journal = whole.folder / "raw.journal"
    documents, size = list(read_documents(journal)), journal.stat().st_size
    with open(journal, "ab") as file:
        file.write(b"\x10\x00\x00\x00half a record")
    said, left = told(whole)
    assert left == 1
    assert "raw.journal ends in 17 bytes that are no whole record" in said
    assert "microarpes doctor --repair" in said
    said, left = told(whole, repair=True)
    assert (left, journal.stat().st_size) == (0, size)
    assert str(list(read_documents(journal))) == str(documents)
    assert end_of_records(journal) == size


def test_a_journal_that_grows_while_it_is_looked_at_is_not_taken_for_torn(whole):
    path = whole.folder / "gap.journal"
    writer = JournalWriter(path)
    with open(path, "ab") as file:
        file.write(b"\x10\x00\x00\x00half a record")
    assert told(whole)[1] == 0
    writer.close()
    assert told(whole)[1] == 1


def test_what_a_dead_process_left_is_removed_only_when_asked(whole):
    part = whole.folder / "refit-1.gap.journal.part"
    part.write_bytes(b"")
    assert told(whole)[1] == 1
    assert part.exists()
    assert told(whole, repair=True)[1] == 0
    assert not part.exists()


def test_a_frame_that_is_gone_or_was_changed_is_named(whole):
    with h5py.File(whole.folder / "frames.h5", "r+") as file:
        file["entry/data/data"][4, 0, 0] += 1
        file["entry/data/frame_id"][8] = 99
    said, left = told(whole)
    assert (left, "no frame of pixel 8;" in said) == (1, True)
    said, left = told(whole, frames=True)
    assert (left, "at pixel 4: the file was changed" in said) == (2, True)


def test_pixels_without_a_fit_are_counted_and_a_refit_is_advised(whole):
    (whole.folder / "gap.journal").unlink()
    said, left = told(whole)
    assert (left, f"microarpes refit {whole.uid[:8]}" in said) == (1, True)


def test_a_run_that_cannot_be_read_is_told_of_and_the_others_are_looked_at(whole, make_raster):
    other = make_raster(whole.directory)
    (other.folder / "raw.journal").write_bytes(b"no journal at all")
    said, left = told(whole)
    assert left == 1
    assert "is not a journal" in said
    assert "journals, frames and fit agree" in said
    assert examine(other.folder).summary == "cannot be read"


def test_a_run_that_the_catalog_lost_is_put_back_from_its_journal(tmp_path, monkeypatch):
    run = str(uuid.uuid4())
    folder = tmp_path / run
    folder.mkdir()
    write_frames(folder, 30)
    write_journal(folder / "raw.journal", raw_documents(run, folder, np.ones((30, WINDOWS, ENERGIES))))
    with open_catalog(tmp_path, create=True) as client:
        assert follow_run(client, folder, raw_only=True)
        assert doctor_of(tmp_path, [], frames=False, repair=False)[1] == 0
        client.delete_contents(run, recursive=True, external_only=False)
    said, left = doctor_of(tmp_path, [], frames=False, repair=False)
    assert (left, f"run {run} is not there; {run[:8]}/raw.journal holds it" in said) == (1, True)
    assert doctor_of(tmp_path, [], frames=False, repair=True)[1] == 0
    readings, records = [], journal._Records
    monkeypatch.setattr(journal, "_Records", lambda path: readings.append(path) or records(path))
    said, left = doctor_of(tmp_path, [], frames=False, repair=False)
    assert (left, "holds what 1 journals hold" in said) == (0, True)
    # for what it holds, its torn end and the catalog alike: of thousands of runs that is what takes the time
    assert readings == [folder / "raw.journal"]
