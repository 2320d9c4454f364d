"""``microarpes compare``: maps are compared place by place, however their pixels are counted."""

import numpy as np
import pytest

from microarpes.beamline.compare import NotComparable, compare_runs, compared_maps
from microarpes.beamline.open_run import open_run


@pytest.fixture(scope="module")
def pair(tmp_path_factory, make_raster):
    """Two maps of one sample whose gap is 35 meV; in the second that of pixel 6 is 5 meV larger."""
    directory = tmp_path_factory.mktemp("compared")
    gaps = np.full(11, 35.0)
    made = []
    for more in (0.0, 5.0):
        gaps[6] += more
        made.append(make_raster(directory, n=len(gaps), gaps=gaps.copy(), time=1.8e9 + 1000 * len(made)))
        for _ in made[-1].grow():
            pass
    return made


def test_the_pixel_that_changed_is_told_with_its_place_and_the_picture_is_drawn(pair, tmp_path):
    first, second = pair
    output = tmp_path / "comparison.png"
    told = compare_runs(first.directory, first.uid[:8], str(second.folder), output)
    far = [line for line in told.splitlines() if line.startswith("far")]
    assert far[0].startswith("far         x 20, y 10 um: +")
    assert output.read_bytes().startswith(b"\x89PNG")
    assert f"gaps of {second.uid[:8]} less those of {first.uid[:8]}" in told


def test_a_map_and_itself_are_not_two_maps(pair):
    run = open_run(pair[0].folder)
    with pytest.raises(NotComparable, match="compared with itself"):
        compared_maps(run, run)


def test_maps_of_other_places_are_refused(pair, make_raster, tmp_path):
    elsewhere = make_raster(tmp_path)

    def moved():
        for name, doc in elsewhere.documents():
            if name == "start":
                grid = {axis: doc["grid"][axis] | {"start": 500.0, "stop": 530.0} for axis in ("x", "y")}
                doc = doc | {"grid": doc["grid"] | grid}
            yield name, doc

    elsewhere.write(moved())
    with pytest.raises(NotComparable, match="no place in common"):
        compared_maps(open_run(pair[0].folder), open_run(elsewhere.folder))
