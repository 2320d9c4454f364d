"""What the environment did between two points is done again there, once, and no exposure ends in it."""

import asyncio

import numpy as np
import pytest

from microarpes.sim.frame_source import Pose
from microarpes.sim.recorded_environment import Change, RecordedEnvironment, read_changes

DUMP = Change("ring_current", after=2, begin=0.0, value=0.0, seconds=0.01)
WARM = Change("temperature", after=2, begin=0.02, value=30.0, seconds=0.01)


def at(index):
    return Pose(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, float(index), 0.0)


def test_a_change_begins_with_the_exposure_it_struck_and_is_over_after_its_time():
    told = []

    async def act(change, begins):
        told.append((change, begins, environment.value(change.signal)))

    async def passes():
        await environment.expose(at(1))
        assert not environment.busy
        await environment.expose(at(2))
        # It is seen before the exposure can end, and what comes later keeps the exposure from ending too.
        assert (environment.value("ring_current"), environment.value("temperature")) == (0.0, None)
        async with asyncio.timeout(20):
            while environment.busy:
                await asyncio.sleep(0.001)
        assert environment.value("ring_current") is None
        # The point is taken again, and nothing strikes it.
        await environment.expose(at(2))
        assert not environment.busy

    environment = RecordedEnvironment([DUMP, WARM], lambda x, y: int(x), act)
    asyncio.run(passes())
    assert told == [(DUMP, True, 0.0), (DUMP, False, None), (WARM, True, 30.0), (WARM, False, None)]


@pytest.mark.parametrize(
    ("signal", "rows", "message"),
    [
        ("door", [[2, 0, 0, 1]], "known are ring_current"),
        ("pressure", [[2, 0, 1e-9]], "4 numbers"),
        ("pressure", [[12, 0, 1e-9, 1]], "point below 12"),
        ("pressure", [[1.5, 0, 1e-9, 1]], "point below 12"),
        ("pressure", [[np.nan, 0, 1e-9, 1]], "point below 12"),
        ("pressure", [[2, -1, 1e-9, 1]], "times within"),
        ("pressure", [[2, 0, 1e-9, np.inf]], "times within"),
        ("pressure", np.ones((10_001, 4)), "up to 10000 rows"),
    ],
)
def test_a_table_that_cannot_be_is_refused(signal, rows, message):
    with pytest.raises(ValueError, match=message):
        read_changes(signal, np.array(rows, dtype=float), 12)
