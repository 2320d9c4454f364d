"""The RunEngine of a beamline."""

import gc

import pytest
from bluesky import Msg

from microarpes.beamline.engine import make_engine


@pytest.fixture
def beamline_engine(tmp_path):
    run_engine, _ = make_engine(tmp_path)
    yield run_engine
    run_engine.loop.call_soon_threadsafe(run_engine.loop.stop)
    run_engine._th.join(5.0)
    run_engine.loop.close()


def test_what_was_there_before_a_run_is_no_matter_of_the_garbage_collector_until_its_end(beamline_engine):
    """Hundreds of thousands of objects are looked at in a full round, at 0.4 us each: 0.15 s of some point."""
    kept = []

    def plan():
        kept.append(gc.get_freeze_count())
        yield Msg("open_run")
        kept.append(gc.get_freeze_count())
        yield Msg("close_run")

    beamline_engine(plan())
    assert kept[0] == 0
    assert kept[1] > 100_000
    assert gc.get_freeze_count() == 0
