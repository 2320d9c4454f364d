"""Frames go only where the policy lets them and their copy is equal to the last byte; any doubt keeps them."""

import fcntl
import os
import shutil
import time
from contextlib import ExitStack

import h5py
import numpy as np
import pytest

from microarpes.beamline import retention
from microarpes.beamline.config_sections import RetentionSection
from microarpes.beamline.doctor import doctor_of
from microarpes.beamline.journal import JournalWriter, read_documents
from microarpes.beamline.moved_windows import WindowError, frame_path
from microarpes.beamline.removed_frames import RECORD, RemovedFrames, read_removed, write_removed
from microarpes.beamline.retention import remove_frames, retain
from microarpes.beamline.verified_copy import Doubt

#: The run ended in 2023; three years later a year has passed for certain.
ENDED = 1.7e9
YEAR = RetentionSection(keep_days=365)


@pytest.fixture(scope="module")
def finished(make_raster, tmp_path_factory):
    """A run that ended long ago, whole and fitted."""
    raster = make_raster(tmp_path_factory.mktemp("finished"), time=ENDED)
    for _ in raster.grow():
        pass
    return raster.folder


class Kept:
    """A run in a directory, and its copy in another."""

    def __init__(self, finished, tmp_path):
        self.runs, self.copies = tmp_path / "runs", tmp_path / "copies"
        self.folder, self.copy = self.runs / finished.name, self.copies / finished.name
        shutil.copytree(finished, self.folder)
        shutil.copytree(finished, self.copy)
        self.opened = ExitStack()

    def retain(self, policy=YEAR, **how):
        return retain(self.runs, policy, **{"copies": self.copies, "remove": True, **how})

    def contents(self):
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


@pytest.fixture
def kept(finished, tmp_path):
    run = Kept(finished, tmp_path)
    with run.opened:
        yield run


def test_a_listing_comes_first_and_changes_nothing(kept):
    before = kept.contents()
    said, doubts = kept.retain(remove=False)
    assert doubts == 0
    size = (kept.folder / "frames.h5").stat().st_size
    assert f"{kept.folder.name[:8]}  2023-11-1" in said
    assert f"{size / 1e9:.3f} GB  could go: the copy has the same sizes" in said
    assert "frames of 1 of 1 runs could go; --yes" in said
    assert kept.contents() == before


def test_frames_go_alone_and_their_folder_says_where_they_are(kept):
    before = kept.contents()
    said, doubts = kept.retain()
    assert doubts == 0
    assert f"removed; a copy is {kept.copy / 'frames.h5'}" in said
    after = kept.contents()
    assert set(before) - set(after) == {"frames.h5"}
    assert all(after[name] == data for name, data in before.items() if name != "frames.h5")
    assert (kept.copy / "frames.h5").read_bytes() == before["frames.h5"]
    removed = read_removed(kept.folder)
    assert (removed.bytes, removed.copied_to) == (len(before["frames.h5"]), str(kept.copy / "frames.h5"))
    assert set(removed.journals) == {"raw.journal", "gap.journal"}
    # Nobody calls it a loss, and what needs frames says where they are.
    said, left = doctor_of(kept.runs, [], frames=True, repair=False)
    assert left == 0
    assert "journals and fit agree; frames.h5 was removed on " in said
    with pytest.raises(WindowError, match=rf"frames.h5 was removed on .*{kept.copies}.*copy it back"):
        frame_path(kept.folder, {"uid": kept.folder.name, "frame_file": "frames.h5"})
    assert "frames.h5 was removed on" in kept.retain()[0]


def test_frames_that_were_copied_back_are_a_run_as_any_other(kept):
    kept.retain()
    shutil.copy(kept.copy / "frames.h5", kept.folder)
    said, left = doctor_of(kept.runs, [], frames=True, repair=False)
    assert (left, "frames.h5 is there again" in said) == (1, True)
    assert kept.retain()[1] == 1  # what the folder says is not so: a doubt
    assert doctor_of(kept.runs, [], frames=True, repair=True)[1] == 0
    assert read_removed(kept.folder) is None
    assert kept.retain()[1] == 0
    assert not (kept.folder / "frames.h5").exists()


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (RetentionSection(), "no policy lets them go"),
        (RetentionSection(keep_runs=3), "nothing is ever removed"),
        (RetentionSection(keep_days=36500), "36500 are kept"),
        (RetentionSection(keep_days=365, keep_runs=1), "one of the last 1 runs"),
    ],
)
def test_what_the_policy_keeps_stays_and_is_no_doubt(kept, policy, words):
    before = kept.contents()
    said, doubts = kept.retain(policy)
    assert (doubts, words in said) == (0, True), said
    assert kept.contents() == before


def flip(path, seed):
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def rewrite(run, change):
    """Write the journal anew, here and in the copy, with other documents."""
    documents = [each for each in map(change, read_documents(run.folder / "raw.journal")) if each is not None]
    (run.folder / "raw.journal").unlink()
    journal = JournalWriter(run.folder / "raw.journal")
    for name, doc in documents:
        journal(name, doc)
    journal.close()
    shutil.copy(run.folder / "raw.journal", run.copy)


def changed(kind, **entries):
    return lambda each: (kind, each[1] | entries) if each[0] == kind else each


def lock(run):
    file = run.opened.enter_context(open(run.folder / "raw.journal", "rb"))
    fcntl.flock(file, fcntl.LOCK_EX)


def lose_a_frame(run):
    for folder in (run.folder, run.copy):
        with h5py.File(folder / "frames.h5", "r+") as file:
            file["entry/data/frame_id"][8] = 99


def tear(run):
    for folder in (run.folder, run.copy):
        with open(folder / "raw.journal", "ab") as file:
            file.write(b"\x10\x00\x00\x00half")


def move_folder_behind_a_link(run):
    elsewhere = run.runs.parent / "elsewhere"
    run.folder.rename(elsewhere)
    run.folder.symlink_to(elsewhere)


def move_frames_behind_a_link(run):
    elsewhere = run.runs.parent / "elsewhere.h5"
    (run.folder / "frames.h5").rename(elsewhere)
    (run.folder / "frames.h5").symlink_to(elsewhere)


def copy_is(make):
    """Replace the frames of the copy by another name of the run's own."""

    def change(run):
        (run.copy / "frames.h5").unlink()
        make(run.folder / "frames.h5", run.copy / "frames.h5")

    return change


def copy_folder_is_the_run(run):
    shutil.rmtree(run.copy)
    run.copy.symlink_to(run.folder)


def copy_among_the_runs(run):
    run.copies.rename(run.runs / "copies")
    run.copies = run.runs / "copies"


DOUBTS = {
    "no copy": (lambda run: shutil.rmtree(run.copy), "cannot be looked at: No such file"),
    "no copy is named": (lambda run: setattr(run, "copies", None), "no copy is named"),
    "the copy is short": (lambda run: os.truncate(run.copy / "frames.h5", 5000), "has 5000 bytes, the run's has"),
    "a journal is not in the copy": (lambda run: (run.copy / "gap.journal").unlink(), "gap.journal cannot be looked"),
    "a refit is not in the copy": (
        lambda run: shutil.copy(run.folder / "gap.journal", run.folder / "refit-1.gap.journal"), "refit-1.gap.journal"
    ),
    "the copy is a hard link": (copy_is(os.link), "is the file itself under another name"),
    "the copy is a soft link": (copy_is(os.symlink), "is a link or no regular file"),
    "the folder of the copy is a link": (copy_folder_is_the_run, "is a link"),
    "the copy lies among the runs": (copy_among_the_runs, "lies among the runs themselves"),
    "the folder of the run is a link": (move_folder_behind_a_link, "its folder is a link"),
    "the frames are a link": (move_frames_behind_a_link, "is a link or no regular file"),
    "the run is not closed": (
        lambda run: rewrite(run, lambda each: None if each[0] == "stop" else each), "it is not closed"
    ),
    "the run never ended": (lambda run: rewrite(run, changed("stop", time=float("nan"))), "it is not closed"),
    "the journal is torn": (tear, "ends in 8 bytes that are no whole record"),
    "the journal is none": (lambda run: (run.folder / "raw.journal").write_bytes(b"nothing of the kind"), "journal"),
    "the frames are of another name": (
        lambda run: rewrite(run, changed("start", frame_file="f.h5")), "names 'f.h5' as frame file"
    ),
    "the run is being written": (lock, "is being taken"),
    "a frame is not in its file": (lose_a_frame, "no frame of pixel 8"),
    "nothing was fitted": (lambda run: (run.folder / "gap.journal").unlink(), "nothing was fitted live"),
    "a process left something": (lambda run: (run.folder / "x.part").touch(), "x.part was left"),
    **{
        f"a bit of {name} differs, {seed}": (lambda run, name=name, seed=seed: flip(run.copy / name, seed), "differs")
        for name in ("frames.h5", "raw.journal", "gap.journal")
        for seed in range(3)
    },
}  # fmt: skip


@pytest.mark.parametrize("name", DOUBTS)
def test_any_doubt_keeps_the_frames_and_is_told(kept, name):
    frames = (kept.folder / "frames.h5").read_bytes()
    spoil, words = DOUBTS[name]
    spoil(kept)
    if name == "a frame is not in its file":
        frames = (kept.folder / "frames.h5").read_bytes()
    said, doubts = kept.retain()
    assert (doubts, words in said) == (1, True), said
    assert (kept.folder / "frames.h5").read_bytes() == frames
    assert not (kept.folder / RECORD).exists()


def test_frames_that_change_at_the_last_moment_stay(kept, monkeypatch):
    def write_and_touch(folder, removed):
        write_removed(folder, removed)
        os.utime(folder / "frames.h5", (time.time(), time.time()))

    monkeypatch.setattr(retention, "write_removed", write_and_touch)
    with pytest.raises(Doubt, match="changed after it was compared"):
        remove_frames(kept.folder, YEAR, kept.copies, time.time())
    assert (kept.folder / "frames.h5").exists()
    assert not (kept.folder / RECORD).exists()


def test_a_disk_that_takes_no_note_keeps_the_frames(kept, monkeypatch):
    def full(folder, removed):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(retention, "write_removed", full)
    said, doubts = kept.retain()
    assert (doubts, "No space left" in said) == (1, True)
    assert (kept.folder / "frames.h5").exists()


def test_what_is_no_note_of_ours_is_none(tmp_path):
    for text in ("", "{}", "[1]", '{"file": 3}', "\x00"):
        (tmp_path / RECORD).write_text(text)
        assert read_removed(tmp_path) is None
    told = RemovedFrames(
        file="frames.h5", bytes=7, sha256="ab" * 32, copied_to="/tape/frames.h5", time="2026-11-27T01:00:00+00:00",
        policy={"keep_days": 365.0, "keep_runs": 0}, journals={"raw.journal": "cd" * 32},
    )  # fmt: skip
    write_removed(tmp_path, told)
    assert read_removed(tmp_path) == told
