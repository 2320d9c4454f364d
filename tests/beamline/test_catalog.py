"""What a run is in its journals it must be, bit for bit, in the catalog: in process, over a server, after a kill."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import zarr
from small_run import (
    ANGLES,
    ENERGIES,
    POINTS,
    STATUSES,
    WINDOWS,
    derived_documents,
    event,
    raw_documents,
    write_frames,
    write_journal,
)

from microarpes.beamline.catalog import find_run, list_runs, open_catalog, show_run
from microarpes.beamline.catalog_folder import CatalogError, create_catalog
from microarpes.beamline.catalog_writer import RunWriter
from microarpes.beamline.cli import main as main_of_cli
from microarpes.beamline.follow_catalog import follow_run, main
from microarpes.beamline.journal import JournalWriter


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A run and its derived run, written into a catalog by a follower process of its own."""
    # A blank in the path: home directories of beamline accounts have them.
    directory = tmp_path_factory.mktemp("runs of today")
    run, derived = str(uuid.uuid4()), str(uuid.uuid4())
    folder = directory / run
    folder.mkdir()
    rng = np.random.default_rng(2)
    edc = rng.poisson(30.0, (POINTS, WINDOWS, ENERGIES)).astype(float)
    delta = np.where(rng.random((POINTS, WINDOWS)) < 0.3, np.nan, rng.normal(35, 3, (POINTS, WINDOWS)))
    frames = write_frames(folder, POINTS)
    write_journal(folder / "raw.journal", raw_documents(run, folder, edc))
    write_journal(folder / "gap.journal", derived_documents(derived, run, delta))
    follower = [sys.executable, "-m", "microarpes.beamline.follow_catalog", "--directory", directory, "--run", run]
    # Three writes a stream, so that the second and third extend what the first made.
    ended = subprocess.run([*follower, "--batch", "25"], capture_output=True, text=True, timeout=240)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    return directory, run, derived, {"edc": edc, "delta": delta, "frames": frames}


def assert_as_written(client, run, derived, truth):
    raw = client[run]["primary"].read()
    np.testing.assert_array_equal(raw["edc"].values, truth["edc"])
    np.testing.assert_array_equal(raw["analyser_frame"].values, truth["frames"])
    np.testing.assert_array_equal(raw["frame_id"].values, 100 + np.arange(POINTS))
    assert raw["edc"].dtype == "<f8"
    assert raw["total_counts"].dtype == "<f8"
    np.testing.assert_array_equal(client[run]["calibration"].read()["row_shift"].values, [np.arange(ANGLES)])
    fits = client[derived]["primary"].read()
    np.testing.assert_array_equal(fits["delta"].values, truth["delta"])
    np.testing.assert_array_equal(fits["joint_delta"].values, truth["delta"][:, 0])
    expected = np.array([np.roll(STATUSES, i)[:WINDOWS] for i in range(POINTS)])
    np.testing.assert_array_equal(fits["status"].values, expected)


def test_an_in_process_client_reads_every_number_text_and_frame_as_they_were_written(stored):
    directory, run, derived, truth = stored
    with open_catalog(directory) as client:
        assert_as_written(client, run, derived, truth)
        assert client[run].start["energy_axis"] == list(np.linspace(16.2, 16.4, ENERGIES))
        assert client[run].stop["num_events"] == {"primary": POINTS, "calibration": 1}


def test_a_catalog_that_was_copied_or_moved_with_its_runs_reads_them_where_they_are(stored, tmp_path):
    directory, run, derived, truth = stored
    # of a copy, so that nothing is found where it was
    for place in (tmp_path / "copied to a disk", tmp_path / "and to another"):
        (shutil.copytree if directory == stored[0] else shutil.move)(directory, place)
        directory = place
        with open_catalog(directory) as client:
            assert_as_written(client, run, derived, truth)


def test_databroker_reads_start_table_and_frames(stored):
    from databroker import Broker

    directory, run, _, truth = stored
    with open_catalog(directory) as client:
        header = Broker(client)[run]
        assert header.start["plan_name"] == "gap_raster"
        assert list(header.table()["pixel"]) == list(range(POINTS))
        np.testing.assert_array_equal(np.stack(list(header.data("analyser_frame"))), truth["frames"])
        np.testing.assert_array_equal(client.v2[run].primary.read()["edc"].values, truth["edc"])


def answers(address):
    import httpx

    with contextlib.suppress(httpx.TransportError):
        return httpx.get(address).status_code == 200


def test_a_stock_server_and_client_read_the_same_and_want_a_key(stored):
    import httpx
    from tiled.client import from_uri

    directory, run, derived, truth = stored
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    key = secrets.token_hex(8)
    command = [sys.executable, "-m", "tiled", "serve", "config", directory / "catalog" / "config.yml",
               "--host", "127.0.0.1", "--port", str(port)]  # fmt: skip
    environment = {**os.environ, "TILED_SINGLE_USER_API_KEY": key}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}/api/v1/"
        wait_until(lambda: answers(address))
        assert httpx.get(f"{address}search/").status_code == 401
        client = from_uri(address, api_key=key)
        assert_as_written(client, run, derived, truth)
        # The run as a stream of documents needs an exporter that config.yml registers.
        assert [name for name, _ in client[run].documents()].count("stop") == 1
        client.context.close()
    finally:
        server.terminate()
        server.wait(60)


def test_runs_and_show_say_what_was_measured(stored):
    directory, run, derived, _ = stored
    with open_catalog(directory) as client:
        (line,) = list_runs(client)
        assert (line.uid, line.sample, line.planned, line.points) == (run, "Bi2212-7", POINTS, POINTS)
        assert (line.exit_status, line.derived_runs, line.plan) == ("success", (derived,), "gap_raster")
        assert [one.uid for one in list_runs(client, derived=True)] == [run, derived]
        details = show_run(client, run[:8])
        assert details.summary == line
        assert details.streams["primary"]["manipulator_x"] == ("<f8", (), "um")
        assert details.streams["primary"]["edc"] == ("<f8", (WINDOWS, ENERGIES), "counts")
        assert find_run(client, "-1").start["uid"] == run
        for wrong in ("", "zz", "-2"):
            with pytest.raises(CatalogError, match="microarpes runs"):
                find_run(client, wrong)


def test_runs_are_listed_by_what_is_looked_for(stored, capsys):
    directory, run, _, _ = stored
    for options, found in (
        (["--sample", "bi2212", "--status", "success"], True),
        (["--text", "gap_raster", "--since", "2027-01-01", "--until", "2027-01-31"], True),  # TIME is of January 2027
        (["--sample", "LSCO"], False),
        (["--temperature", "10"], False),  # this run does not say its temperature
    ):
        assert main_of_cli(["runs", "--directory", str(directory), *options]) == 0
        assert (run[:8] in capsys.readouterr().out) is found
    assert main_of_cli(["runs", "--directory", str(directory), "--since", "yesterday"]) == 2
    assert "write 2026-11-26" in capsys.readouterr().err


def test_a_folder_without_a_catalog_is_named_and_not_given_one(tmp_path):
    with pytest.raises(CatalogError, match="no catalog in"), open_catalog(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CatalogError, match="another directory"):
        create_catalog(tmp_path / "50% done")


def wait_until(happened, seconds=150):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def small_run(directory, edc):
    run = str(uuid.uuid4())
    folder = directory / run
    folder.mkdir()
    write_frames(folder, len(edc))
    return run, folder, list(raw_documents(run, folder, edc))


def test_a_follower_killed_in_mid_run_catches_up_without_a_duplicate(tmp_path):
    edc = np.random.default_rng(3).poisson(9.0, (40, WINDOWS, ENERGIES)).astype(float)
    run, folder, documents = small_run(tmp_path, edc)
    journal = JournalWriter(folder / "raw.journal")
    for name, doc in documents[:70]:
        journal(name, doc)
    command = [sys.executable, "-m", "microarpes.beamline.follow_catalog", "--directory", tmp_path, "--run", run,
               "--raw-only", "--batch", "25"]  # fmt: skip
    follower = subprocess.Popen(command)
    with open_catalog(tmp_path, create=True) as client:
        wait_until(lambda: run in client.keys() and "primary" in client[run].keys())
        follower.send_signal(signal.SIGKILL)
        follower.wait()
        assert (list_runs(client)[0].exit_status, list_runs(client)[0].points) == ("open", None)
        for name, doc in documents[70:]:
            journal(name, doc)
        journal.close()
        assert follow_run(client, folder, raw_only=True)
        assert (folder / "frames.h5").exists()  # taking a run out of the catalog must leave its frames alone
        np.testing.assert_array_equal(client[run]["primary"].read()["edc"].values, edc)
        assert follow_run(client, folder, raw_only=True)  # and once more: nothing to do
        assert len(client[run]["primary"].read()["pixel"]) == 40


def test_an_array_that_a_killed_follower_left_without_the_catalog_knowing_is_in_nobodys_way(tmp_path):
    edc = np.random.default_rng(3).poisson(9.0, (30, WINDOWS, ENERGIES)).astype(float)
    run, folder, documents = small_run(tmp_path, edc)
    write_journal(folder / "raw.journal", documents)
    with open_catalog(tmp_path, create=True) as client:
        left = tmp_path / "catalog" / "data" / run / "primary" / "edc"
        zarr.open_array(left, mode="w", shape=(25, WINDOWS, ENERGIES), dtype="f8")
        assert follow_run(client, folder, raw_only=True)
        np.testing.assert_array_equal(client[run]["primary"].read()["edc"].values, edc)


def test_a_run_whose_engine_is_gone_is_stored_as_far_as_it_came_and_stays_open(tmp_path):
    run, folder, documents = small_run(tmp_path, np.ones((5, WINDOWS, ENERGIES)))
    write_journal(folder / "raw.journal", documents[:-1])
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert main(["--directory", str(tmp_path), "--run", run, "--raw-writer", str(gone.pid)]) == 3
    with open_catalog(tmp_path) as client:
        assert list_runs(client)[0].exit_status == "open"
        # Five points are far from a full batch; every one that was acknowledged is there all the same.
        points = client[run]["primary"].read()
        np.testing.assert_array_equal(points["analyser_frame"], write_frames(folder, 5))
        np.testing.assert_array_equal(points["pixel"], np.arange(5))


def test_where_two_events_have_one_number_the_catalog_keeps_the_later(tmp_path):
    edc = np.random.default_rng(4).poisson(9.0, (6, WINDOWS, ENERGIES)).astype(float)
    run, folder, documents = small_run(tmp_path, edc)
    primary = [doc for name, doc in documents if name == "event"][-1]["descriptor"]
    again = event(primary, 3, {**documents[10][1]["data"], "pixel": 2, "manipulator_x": -7.0})
    write_journal(folder / "raw.journal", [*documents[:-1], ("event", again), documents[-1]])
    with open_catalog(tmp_path, create=True) as client:
        assert follow_run(client, folder, raw_only=True)
        table = client[run]["primary"].read()
        assert sorted(table["pixel"].values) == list(range(6))
        assert table["manipulator_x"].values[list(table["pixel"].values).index(2)] == -7.0


def test_a_journal_that_is_none_is_one_line_and_status_1(tmp_path, capsys):
    folder = tmp_path / "abc"
    folder.mkdir()
    Path(folder / "raw.journal").write_bytes(b"not a journal at all")
    assert main(["--directory", str(tmp_path), "--run", "abc", "--raw-only"]) == 1
    error = capsys.readouterr().err
    assert (error.count("\n"), "is not a journal" in error) == (1, True)
    with pytest.raises(ValueError, match="batch is 3 events, the limit is 25"):
        RunWriter(None, folder, batch=3)
