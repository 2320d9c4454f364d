"""The lines copied from the page, on a run of the demo: stored by the engine, catalogued by its follower."""

from __future__ import annotations

import numpy as np

from microarpes.beamline.page_python import stored_lines, tiled_lines
from microarpes.beamline.page_run import RunFeed


def test_the_lines_copied_from_the_page_open_a_pixel_of_the_demo_bit_for_bit(demo_run, pasted):
    directory, summary, _ = demo_run
    feed = RunFeed(directory.resolve() / summary["run_uid"])
    while feed.advance():
        pass
    for pixel in (0, 77):
        event = feed.event(pixel)
        for lines in (stored_lines, tiled_lines):
            edc, frame = pasted(lines(feed, pixel))
            assert edc.dims == ("window", "energy")
            assert edc.values.tobytes() == np.asarray(event["data"]["edc"]).tobytes()
            assert frame.dims == ("angle", "energy")
            assert frame.values.sum() == event["data"]["total_counts"]
