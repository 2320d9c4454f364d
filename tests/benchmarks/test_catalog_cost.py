"""What a point costs on its way into the catalogs, how fast they catch up, and how long a search among 2000 runs takes.

Opt-in, for its minutes: ``MICROARPES_CATALOG=1 pytest tests/benchmarks/test_catalog_cost.py`` writes
docs/measured/catalog.json. The points are of a map of the simulated beamline: two EDCs of 300 energies, 60 settings.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from small_run import array, descriptor, event, number, stop
from tiled_server import WRITER, TiledServer, postgres

from microarpes.beamline.catalog import list_runs, open_catalog
from microarpes.beamline.catalog_server import CatalogServer
from microarpes.beamline.catalog_writer import RunWriter
from microarpes.beamline.run_search import RunSearch

MEASURED = Path(__file__).parents[2] / "docs" / "measured" / "catalog.json"
POINTS, RUNS = 3000, 2000
#: Scalars of an event, and channels of an EDC, as a map of the simulated beamline has them.
SETTINGS, CHANNELS = 60, 300
#: Longest search, s.
AT_MOST = 2.0


def documents(run):
    yield "start", start(run, 0)
    keys = {f"reading_{i}": number() for i in range(SETTINGS)} | {"edc": array([2, CHANNELS]), "pixel": number()}
    stream, doc = descriptor(run, "primary", keys)
    yield "descriptor", doc
    edc = np.random.default_rng(1).poisson(9.0, (2, CHANNELS)).astype(float)
    for i in range(POINTS):
        yield (
            "event",
            event(stream, i + 1, {f"reading_{k}": 0.1 * i for k in range(SETTINGS)} | {"edc": edc, "pixel": i}),
        )
    yield "stop", stop(run, primary=POINTS)


def start(run, number):
    # As long as a real one, which its axes make 13 kB of JSON.
    axes = {"energy_axis": list(np.linspace(95.3, 95.6, 300)), "angle_axis": list(np.linspace(-7.0, 7.0, 300))}
    told = {"sample": {"id": f"Bi2212-{number % 40}"}, "calibration": {"temperature": 10.0 + number % 3}}
    plan = {"uid": run, "time": 1.79e9 + 600 * number, "plan_name": "gap_raster", "num_points": 900}
    return plan | told | axes


def cost(client, folder, **how):
    """Write a run; return what each thousand points cost."""
    run, write = str(uuid.uuid4()), RunWriter(client, folder, **how)
    costs, points = [], 0
    began, cpu, written = time.perf_counter(), time.process_time(), bytes_written()
    for name, doc in documents(run):
        write(name, doc)
        points += name == "event"
        if name == "event" and points % 1000 == 0:
            now = time.perf_counter(), time.process_time(), bytes_written()
            costs.append({"points": points, "points_per_s": round(1000 / (now[0] - began)),
                          "cpu_ms_per_point": round(now[1] - cpu, 2),
                          "kB_written_per_point": round((now[2] - written) / 1e6, 2)})  # fmt: skip
            began, cpu, written = now
    return costs


def bytes_written():
    return int(dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())["write_bytes"])


def searches(client):
    """Fill a catalog with runs; return how long each way to search it takes, s."""
    from tiled.structures.core import Spec

    for i in range(RUNS):
        run = str(uuid.uuid4())
        ended = stop(run, primary=900)
        client.create_container(
            key=run, metadata={"start": start(run, i), "stop": ended}, specs=[Spec("BlueskyRun", version="3.0")]
        )
    took = {}
    for name, search, expected in (
        ("all", RunSearch(), RUNS), ("sample", RunSearch(sample="Bi2212-7"), RUNS // 40),
        ("the newest hundred", RunSearch(since=1.79e9 + 600 * (RUNS - 100)), 100),
        ("text", RunSearch(text="gap_raster"), RUNS),
    ):  # fmt: skip
        began = time.perf_counter()
        assert len([run for run in list_runs(client, search=search) if run.planned == 900]) >= expected
        took[name] = round(time.perf_counter() - began, 2)
    return took


@pytest.mark.skipif("MICROARPES_CATALOG" not in os.environ, reason="set MICROARPES_CATALOG=1 to measure")
@pytest.mark.timeout(2400)
def test_the_cost_of_a_point_does_not_grow_and_a_search_among_2000_runs_is_quick(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    with open_catalog(tmp_path, create=True) as client:
        embedded, embedded_search = cost(client, tmp_path / "run"), searches(client)
    with postgres() as (database, environment):
        server = TiledServer(database, environment, tmp_path / "server", tmp_path)
        server.start()
        try:
            monkeypatch.setenv("TILED_API_KEY", server.new_key(*WRITER))
            with CatalogServer(server.uri, "TILED_API_KEY").opened() as client:
                served = cost(client, tmp_path / "run", turn=contextlib.nullcontext)
                served_search = searches(client)
        finally:
            server.kill()
    report = {
        "what": f"a run of {POINTS} points written into a catalog as fast as it goes, in batches of 100, by thousands "
        "of points; CPU and bytes are the writer's, which with SQLite is the catalog too; seconds of `microarpes runs` "
        f"among {RUNS} runs, once the catalog is open",
        "command": "MICROARPES_CATALOG=1 pytest tests/benchmarks/test_catalog_cost.py",
        "sqlite": {"cost": embedded, "search_s": embedded_search},
        "postgresql": {"cost": served, "search_s": served_search},
        "load_average": os.getloadavg(),
    }
    MEASURED.write_text(json.dumps(report, indent=1) + "\n")
    assert max(embedded_search[name] for name in ("all", "sample", "the newest hundred")) < AT_MOST
