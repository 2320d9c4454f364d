"""Setting out for a point."""

from __future__ import annotations

from types import SimpleNamespace

from ophyd.status import Status

from microarpes.devices.approach import set_out


class Axis:
    def __init__(self, seconds, refusal=None):
        self.seconds, self.refusal, self.distance, self.moves = seconds, refusal, 1.0, []

    def set(self, position):
        if self.refusal is not None:
            raise self.refusal
        self.moves.append(position)
        return Status()

    def kinematic_time(self, distance):
        return self.seconds * distance


def test_only_axes_not_known_to_be_there_set_out_and_are_from_then_on_known_to_be_nowhere():
    there = SimpleNamespace(x=Axis(0.1), y=Axis(0.3), z=Axis(0.9))
    arrived = {"x": 0.0, "y": 5.0, "z": 7.0}
    approach = set_out(there, {"x": 2.0, "y": 5.0}, arrived)
    assert (there.x.moves, there.y.moves, there.z.moves) == ([2.0], [], [])
    assert arrived == {"y": 5.0, "z": 7.0}
    assert approach.statuses == [approach.moves["x"]]


def test_the_slowest_axis_says_how_long_it_takes_and_one_that_cannot_set_out_keeps_no_other():
    there = SimpleNamespace(x=Axis(0.1, ValueError("beyond the limit")), y=Axis(0.3), z=Axis(0.2))
    approach = set_out(there, {"x": 2.0, "y": 3.0, "z": 4.0}, {})
    assert list(approach.moves) == ["y", "z"]
    assert approach.kinematic == 0.3
    assert approach.errors == ["move of x: beyond the limit"]
