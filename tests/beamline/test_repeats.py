"""A series of maps: linked, every other one backwards, ended when the operator has enough."""

from __future__ import annotations

import pytest
from bluesky.utils import Msg

from microarpes.beamline.cli import main
from microarpes.beamline.repeats import numbered, one_after_another, repeated, repeats


def one(taken):
    def plan(md, backwards):
        yield Msg("null")
        taken.append((md["repeat"]["number"], md["repeat"]["of"], backwards))
        return f"uid {len(taken)}"

    return plan


def finish(plan):
    while True:
        try:
            next(plan)
        except StopIteration as end:
            return end.value


def test_maps_alternate_and_have_one_group_that_no_other_series_has():
    taken = []
    assert finish(repeated(3, one(taken))) == ["uid 1", "uid 2", "uid 3"]
    assert taken == [(1, 3, False), (2, 3, True), (3, 3, False)]
    groups = [{md["repeat"]["group"] for md, _ in repeats(3)} for _ in range(2)]
    assert [len(group) for group in groups] == [1, 1]
    assert groups[0] != groups[1]


def test_no_other_map_begins_when_the_operator_had_one_end_after_a_row():
    taken = []
    assert finish(repeated(5, one(taken), lambda: len(taken) == 2)) == ["uid 1", "uid 2"]


@pytest.mark.parametrize("number", [0, -1, 2.0, True, 10**9])
def test_what_is_no_number_of_maps_is_refused(number):
    with pytest.raises(ValueError, match="give a whole number from 1"):
        repeats(number)


def test_a_resumed_map_is_not_repeated(capsys):
    assert main(["map", "--config", "nowhere.toml", "--no-page", "--resume", "-1", "--repeat", "2"]) == 2
    assert "--resume goes on as the run began" in capsys.readouterr().err


def test_maps_know_those_before_them_and_the_operator_ends_the_series():
    seen = []

    def one(before):
        seen.append(before)
        yield from ()
        return f"uid {len(seen)}"

    assert finish(one_after_another([one] * 3)) == ["uid 1", "uid 2", "uid 3"]
    assert seen == [(), ("uid 1",), ("uid 1", "uid 2")]
    assert finish(one_after_another([one] * 3, lambda: True)) == ["uid 4"]
    assert [told["series"]["number"] for told in numbered("series", 3)] == [1, 2, 3]
