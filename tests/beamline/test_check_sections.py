"""What `check` says of sections that a beamline may have or not: each in a line, a failure of each a finding."""

from __future__ import annotations

import contextlib
import re
import tomllib
from types import SimpleNamespace

import pytest

from microarpes.beamline import check_sections
from microarpes.beamline.catalog_folder import CatalogError
from microarpes.beamline.catalog_server import SCOPES, CatalogServer
from microarpes.beamline.check_sections import look_at_guards, look_at_server
from microarpes.beamline.config import parse_config, simulated_config, simulated_text

URI = "https://tiled.example.org/api/v1"


def looked(look, *arguments):
    """Return what was found, and what was told."""
    told = []
    return list(look(*arguments, told.append)), told


def answering(**of_key):
    """A stock client as far as it is asked what its key may do."""
    links = SimpleNamespace(apikey=f"{URI}/auth/apikey") if of_key else None
    server = SimpleNamespace(authentication=SimpleNamespace(links=links))
    return SimpleNamespace(context=SimpleNamespace(server_info=server, which_api_key=lambda: of_key))


@pytest.mark.parametrize(
    ("client", "finding"),
    [
        (answering(), None),  # of one user, whose key may do everything
        (answering(scopes=["inherit"]), None),
        (answering(scopes=[*SCOPES, "metrics"]), None),
        (answering(scopes=["read:metadata", "read:data"]), "may not write:metadata, write:data, create:node, register"),
        (CatalogError(f"{URI} refuses the key in TILED_API_KEY; make a new one"), "catalog: .* refuses the key"),
        (ConnectionRefusedError("[Errno 111] Connection refused"), "does not answer: .* refused; start the server"),
    ],
)
def test_a_server_that_does_not_answer_or_a_key_that_may_not_write_is_a_finding(monkeypatch, client, finding):
    @contextlib.contextmanager
    def opened(server):
        if isinstance(client, Exception):
            raise client
        yield client

    monkeypatch.setattr(CatalogServer, "opened", opened)
    found, told = looked(look_at_server, simulated_config().changed(catalog={"uri": URI}))
    if finding is None:
        assert (found, told) == ([], [f"catalog: the Tiled server {URI} answers and takes the key in TILED_API_KEY"])
    else:
        assert (told, len(found)) == ([], 1)
        assert re.search(finding, found[0]), found


def test_where_no_server_and_no_guard_is_named_nothing_is_asked_and_nothing_told(tmp_path):
    assert looked(look_at_server, simulated_config()) == ([], [])
    assert looked(look_at_guards, simulated_config(), None, tmp_path) == ([], [])


def reading(value, severity=0, timestamp=1.0):
    return {"value": value, "timestamp": timestamp, "alarm_severity": severity}


def test_guards_that_could_never_let_a_run_go_on_are_findings_and_those_that_would_hold_it_now_are_told(
    monkeypatch, tmp_path
):
    guards = {
        "gone": {"pv": "A", "low": 1.0},
        "invalid": {"pv": "B", "low": 1.0},
        "nan": {"pv": "C", "low": 1.0},
        "text": {"pv": "D", "low": 1.0},
        "still": {"pv": "E", "low": 1.0, "max_age": 0.05},
        "low": {"pv": "F", "low": 1.0, "high": 9.0},
        "well": {"pv": "G", "high": 9.0},
        "alive": {"pv": "H", "high": 9.0, "max_age": 5.0},
    }
    config = parse_config({**tomllib.loads(simulated_text()), "guards": guards}, "test.toml")
    stamps = iter(range(10_000))

    def read():
        return {
            "gone": ConnectionError("A is not connected"),
            "invalid": reading(5.0, severity=3),
            "nan": reading(float("nan")),
            "text": reading("high"),
            "still": reading(5.0),  # the same time stamp however often it is asked
            "low": reading(0.5),
            "well": reading(5.0),
            "alive": reading(5.0, timestamp=next(stamps)),
        }

    monkeypatch.setattr(check_sections, "guard_reader", lambda *_: read)
    monkeypatch.setattr(check_sections, "LOOK_AGAIN", 0.01)
    found, told = looked(look_at_guards, config, None, tmp_path)
    assert [line.partition(";")[0] for line in found[:4]] == [
        "guards.gone watches A: gone cannot be read: A is not connected",
        "guards.invalid watches B: invalid is INVALID",
        "guards.nan watches C: nan is nan, at least 1 is asked for",
        "guards.text watches D: text is 'high', not a number",
    ]
    assert "guards.still watches E: still was not updated for" in found[4]
    assert told == [
        "guards.low watches F, which answers; a run goes on from 1 and up to 9; now it would be held: "
        "low is 0.5, at least 1 is asked for",
        "guards.well watches G, which answers; a run goes on up to 9",
        "guards.alive watches H, which answers; a run goes on up to 9",
    ]
