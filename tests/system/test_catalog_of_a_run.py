"""A run of the demo through a stock tiled client and through databroker."""

from __future__ import annotations

import numpy as np
import pytest

from microarpes.analysis import GapMap
from microarpes.beamline.catalog import open_catalog
from microarpes.beamline.journal import read_documents
from microarpes.beamline.stored_run import read_run


@pytest.fixture(scope="module")
def client(demo_run):
    directory, _, _ = demo_run
    with open_catalog(directory) as catalog:
        yield catalog


@pytest.fixture(scope="module")
def run(demo_run):
    directory, summary, _ = demo_run
    return read_run(directory / summary["run_uid"])


def test_events_in_the_catalog_are_those_of_the_journal_bit_for_bit(client, run):
    primary = client[run.start["uid"]]["primary"].read()
    events = sorted(run.events.values(), key=lambda event: event["seq_num"])
    for key in ("pixel", "frame_id", "manipulator_x", "i0", "total_counts", "angular_contrast", "time_read"):
        stored = np.asarray(primary[key])
        assert stored.tolist() == [event["data"][key] for event in events], key
    assert np.asarray(primary["edc"]).tobytes() == np.stack([event["data"]["edc"] for event in events]).tobytes()


def test_the_frame_of_every_event_carries_the_id_the_event_names(client, run):
    import h5py

    primary = client[run.start["uid"]]["primary"].read()
    frames = np.asarray(primary["analyser_frame"])
    with h5py.File(run.folder / "frames.h5") as file:
        rows = {int(frame_id): row for row, frame_id in enumerate(file["entry/data/frame_id"][:])}
        for index, frame_id in enumerate(np.asarray(primary["frame_id"])):
            assert np.array_equal(frames[index], file["entry/data/data"][rows[int(frame_id)]])


def test_the_map_from_the_catalog_is_the_live_map_bit_for_bit(client, run):
    live = GapMap.from_documents(read_documents(run.folder / "gap.journal"))
    derived_start = next(doc for name, doc in read_documents(run.folder / "gap.journal") if name == "start")
    derived = client[derived_start["uid"]]
    assert derived.metadata["start"]["original_run_uid"] == run.start["uid"]
    data = derived["primary"].read()
    pixels = np.asarray(data["pixel"])
    for name in ("joint_delta", "joint_delta_stderr", "joint_gamma1", "joint_upper_limit"):
        plane = np.full(run.shape, np.nan)
        plane.flat[pixels] = np.asarray(data[name])
        assert plane.tobytes() == getattr(live, name).tobytes(), name
    status = np.asarray(data["joint_status"]).astype(str)
    assert (status == live.joint_status.flat[pixels]).all()


def test_databroker_reads_the_run(client, run):
    from databroker import Broker

    header = Broker(client)[run.start["uid"]]
    assert header.start["plan_name"] == "gap_raster"
    table = header.table()
    assert len(table) == 144
    frames = [np.asarray(frame) for frame in header.data("analyser_frame")]
    assert len(frames) == 144
    assert frames[0].shape[-2:] == (300, 400)
