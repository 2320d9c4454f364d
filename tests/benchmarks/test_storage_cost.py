"""What storing a point costs: one synced event in the journal, one synced frame in the file.

`make test` runs each once; `pytest tests/benchmarks --benchmark-enable` measures.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from microarpes.beamline.journal import JournalWriter, encode_record
from microarpes.devices.frame_file import FrameFile

EVENT = {"data": {"edc": np.random.default_rng(0).poisson(5.0, (2, 400)).astype(float), "pixel": 1}, "seq_num": 1}


@pytest.mark.benchmark(group="journal")
def test_an_event_without_sync(benchmark, tmp_path):
    record = encode_record("event", EVENT)
    with open(tmp_path / "plain", "ab", buffering=0) as file:
        assert benchmark(file.write, record) == len(record)


@pytest.mark.benchmark(group="journal")
def test_an_event_with_its_fdatasync(benchmark, tmp_path):
    writer = JournalWriter(tmp_path / "journal")
    benchmark(writer, "event", EVENT)
    assert writer.error is None
    writer.close()


@pytest.mark.benchmark(group="frame")
def test_a_frame_of_400_by_300_with_its_fdatasync(benchmark, tmp_path):
    frames = FrameFile(tmp_path / "frames.h5", np.arange(400.0), np.arange(300.0))
    frame = np.random.default_rng(0).poisson(1.0, (300, 400)).astype(np.int32)
    ids = itertools.count(1)
    benchmark(lambda: frames.append(frame, next(ids)))
    assert frames.rows >= 1
    frames.close()
