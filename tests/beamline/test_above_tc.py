"""``microarpes compare COLD WARM --tc``: only a pair across T_c says superconducting, and only of pixels that close."""

import numpy as np
import pytest

from microarpes.beamline.above_tc import NotAcrossTc, across_tc, closing_of
from microarpes.beamline.open_run import open_run

N = 14
#: The first half closes above T_c, the other keeps a pseudogap as large as it was; pixel 3 has no counts.
STAYS = np.arange(N) >= N // 2


@pytest.fixture(scope="module")
def pair(tmp_path_factory, make_raster):
    directory = tmp_path_factory.mktemp("across")
    made = [
        make_raster(directory, n=N, gaps=np.full(N, 35.0)),
        make_raster(directory, n=N, gaps=np.where(STAYS, 35.0, 0.0), temperature=50.0, gamma1=20.0, time=1.8e9 + 1000),
    ]
    for run in made:
        fit(run)
    return made


def fit(run):
    # This raster's later record is 2 meV off its spectra, which another test needs; here E_F is as it is said.
    run.records[1] = run.records[0] | {"time": run.records[1]["time"]}
    for _ in run.grow():
        pass


def test_pixels_whose_gap_closes_are_called_superconducting_and_no_others(pair, tmp_path):
    cold, warm = pair
    output = tmp_path / "across.png"
    told = closing_of(cold.directory, cold.uid, warm.uid, 40.0, output)
    across = across_tc(open_run(cold.folder), open_run(warm.folder), 40.0)
    verdict = across.found.verdict.ravel()[:N]
    assert set(verdict[STAYS]) == {"stays"}
    assert verdict[3] == "undecided"
    closed = np.delete(verdict[~STAYS], 3)
    # a 3 sigma fluctuation in six is one chance in 400
    assert (closed == "closes").sum() >= 5
    number = across.found.number("closes")
    assert told.startswith(f"superconducting gap at {number} of {N} pixels: run {cold.uid[:8]} at 10.0 K")
    assert output.read_bytes().startswith(b"\x89PNG")
    lines = output.with_suffix(".csv").read_text().splitlines()
    assert len(lines) == 2 + N
    assert lines[2].startswith("0,0,closes,3")


def test_a_pair_in_which_nothing_closes_has_a_spectral_gap_still(pair, make_raster):
    again = make_raster(pair[0].directory, n=N, temperature=50.0, gamma1=20.0, time=1.8e9 + 2000)
    fit(again)
    across = across_tc(open_run(pair[0].folder), open_run(again.folder), 40.0)
    assert (across.found.number("closes"), across.quantity) == (0, "spectral gap")


@pytest.mark.parametrize(
    ("first", "second", "tc", "found"),
    [
        (1, 0, 40.0, "is to be below T_c = 40 K; the temperature of the fit is 50.0"),
        (0, 1, 60.0, "is to be above T_c = 60 K; the temperature of the fit is 50.0"),
        # 0.5 K of error: 1 K is two of them
        (0, 1, 49.0, "is to be above T_c = 49 K"),
        (0, 1, float("nan"), "is no transition temperature"),
    ],
)
def test_maps_that_are_not_across_t_c_are_refused(pair, first, second, tc, found):
    runs = [open_run(run.folder) for run in pair]
    with pytest.raises(NotAcrossTc, match=found):
        across_tc(runs[first], runs[second], tc)


def test_a_warm_map_that_was_fitted_as_cold_is_refused(pair, make_raster, tmp_path):
    warm = make_raster(tmp_path, n=N, temperature=50.0)
    warm.records[0]["temperature"] = 10.0
    fit(warm)
    with pytest.raises(NotAcrossTc, match="the temperature of the fit is 10"):
        across_tc(open_run(pair[0].folder), open_run(warm.folder), 40.0)
