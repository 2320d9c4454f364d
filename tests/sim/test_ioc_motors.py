"""Motor records over Channel Access: what a client may rely on."""

import pytest

from microarpes.sim.band import antinodal_polar


@pytest.fixture(autouse=True)
def _at_zero(client):
    client.put("MANIP:X", 0.0)
    yield
    client.put("MANIP:X.HLM", 5000.0)
    client.put("MANIP:X.LLM", -5000.0)


def test_the_manipulator_starts_at_the_antinode_in_um_and_deg(client):
    assert client.get("MANIP:POLAR") == pytest.approx(antinodal_polar(100.0), abs=1e-3)
    assert client.string("MANIP:X.EGU") == "um"
    assert client.string("MANIP:POLAR.EGU") == "deg"
    assert (client.get("MANIP:X.VELO"), client.get("MANIP:X.ACCL"), client.get("MANIP:X.DLY")) == (2000.0, 0.01, 0.005)
    assert client.get("MANIP:X.LVIO") == 0


def test_a_put_completes_at_the_end_of_the_move(client):
    client.put("MANIP:X", 25.0)
    assert client.get("MANIP:X.DMOV") == 1
    assert client.get("MANIP:X") == 25.0
    # Encoder noise is 0.05 um (sigma).
    assert client.get("MANIP:X.RBV") == pytest.approx(25.0, abs=0.4)


def test_dmov_falls_first_and_rises_after_the_last_readback(client):
    with client.monitor("MANIP:X.DMOV", "MANIP:X.RBV", "MANIP:X.MOVN") as events:
        client.put("MANIP:X", -30.0)
        seen = events.until("MANIP:X.DMOV", 1)
    names = [name for name, _ in seen]
    assert seen[0] == ("MANIP:X.DMOV", 0)
    assert seen[-1] == ("MANIP:X.DMOV", 1)
    last = len(names) - 1 - names[::-1].index("MANIP:X.RBV")
    assert seen[last][1] == pytest.approx(-30.0, abs=0.4)
    assert ("MANIP:X.MOVN", 0) in seen[last:-1]


def test_a_move_over_no_distance_still_makes_an_edge(client):
    with client.monitor("MANIP:X.DMOV") as events:
        client.put("MANIP:X", 0.0)
        assert events.until("MANIP:X.DMOV", 1) == [("MANIP:X.DMOV", 0), ("MANIP:X.DMOV", 1)]


def test_a_long_move_posts_readbacks_under_way(client):
    with client.monitor("MANIP:X.DMOV", "MANIP:X.RBV") as events:
        client.put("MANIP:X", 1000.0)
        seen = events.until("MANIP:X.DMOV", 1)
    under_way = [value for name, value in seen if name == "MANIP:X.RBV" and 1.0 < value < 999.0]
    # 0.51 s at one readback every 50 ms; a busy machine may skip some, but they never go back.
    assert len(under_way) >= 3
    assert under_way == sorted(under_way)


def test_stop_ends_the_move_short_clears_itself_and_takes_val_along(client):
    with client.monitor("MANIP:X.DMOV", "MANIP:X.RBV") as events:
        client.put("MANIP:X", 4000.0, wait=False)
        events.until("MANIP:X.DMOV", 0)
        client.put("MANIP:X.STOP", 1)
        events.until("MANIP:X.DMOV", 1)
    readback = client.get("MANIP:X.RBV")
    assert readback < 3900.0
    assert client.get("MANIP:X") == pytest.approx(readback, abs=1e-9)
    assert client.get("MANIP:X.STOP") == 0
    client.put("MANIP:X.STOP", 1)
    client.put("MANIP:X", 5.0)
    assert client.get("MANIP:X.RBV") == pytest.approx(5.0, abs=0.4)


def test_a_new_target_under_way_redirects_the_move(client):
    with client.monitor("MANIP:X.DMOV") as events:
        client.put("MANIP:X", 4000.0, wait=False)
        events.until("MANIP:X.DMOV", 0)
        client.put("MANIP:X", 10.0)
        events.until("MANIP:X.DMOV", 1)
    assert client.get("MANIP:X.RBV") == pytest.approx(10.0, abs=0.4)


def test_the_limits_of_val_follow_hlm_and_llm(client):
    def limits():
        found = client.pv("MANIP:X").read(data_type="control").metadata
        return found.lower_ctrl_limit, found.upper_ctrl_limit

    assert limits() == (-5000.0, 5000.0)
    client.put("MANIP:X.HLM", 100.0)
    client.put("MANIP:X.LLM", -50.0)
    assert limits() == (-50.0, 100.0)


def test_a_target_beyond_the_limits_is_refused(client):
    client.put("MANIP:X.HLM", 100.0)
    with client.monitor("MANIP:X.DMOV") as events:
        client.put("MANIP:X", 101.0)
        assert client.get("MANIP:X") == 0.0
        assert client.get("MANIP:X.LVIO") == 1
        # Only the next, permitted move makes an edge.
        client.put("MANIP:X", 99.0)
        assert events.until("MANIP:X.DMOV", 1) == [("MANIP:X.DMOV", 0), ("MANIP:X.DMOV", 1)]
    assert client.get("MANIP:X.LVIO") == 0


def test_what_is_not_a_number_moves_nothing(client):
    client.put("MANIP:X", float("nan"))
    assert client.get("MANIP:X") == 0.0
    assert client.get("MANIP:X.DMOV") == 1


def test_two_axes_move_at_the_same_time(client):
    with client.monitor("MANIP:X.DMOV", "MANIP:Y.DMOV") as events:
        client.put("MANIP:X", 600.0, wait=False)
        client.put("MANIP:Y", 600.0)
        client.put("MANIP:Y", 0.0, wait=False)
        seen = events.until("MANIP:X.DMOV", 1)
    assert seen.index(("MANIP:Y.DMOV", 0)) < seen.index(("MANIP:X.DMOV", 1))
