"""``microarpes combine``: the counts of repeat maps tell one gap a pixel, each run with an E_F of its own."""

import io
import json

import numpy as np
import pytest
from repeat_maps import ENERGY, FWHM, STEP, WINDOWS, RepeatMap, patches
from waving_face import HOLDER, TILTS, WavingRun, frames_of_the_run

from microarpes.analysis import GapFitter
from microarpes.beamline.combine import combine_runs
from microarpes.beamline.combined_run import CombineRefused, combined_lines
from microarpes.beamline.combined_settings import differences, record_differences
from microarpes.beamline.compare import compared_maps
from microarpes.beamline.export import export_run
from microarpes.beamline.journal import read_documents, start_of
from microarpes.beamline.open_run import open_run

NX, NY = 12, 10
#: meV that E_F of the second run is above that of the first.
APART = 3.0


def gaps_of(nx=NX, ny=NY):
    """Gaps from 25 to 45 meV, another in each pixel."""
    return np.linspace(25.0, 45.0, nx * ny).reshape(ny, nx)


def only_told(folder, chunks, outcome, summary, stream):
    """Leave out picture, report and catalog: `together` has them."""
    stream.write("\n".join(combined_lines(start_of(outcome.journal))))


@pytest.fixture(autouse=True)
def quickly(monkeypatch, here):
    monkeypatch.setattr("microarpes.beamline.refit.LocalWorkers", lambda processes: here())
    monkeypatch.setattr("microarpes.beamline.combine.finish", only_told)


def combined(*runs, **options):
    stream = io.StringIO()
    outcome = combine_runs(runs[0].folder.parent, [run.uid for run in runs], stream=stream, **options)
    return outcome, stream.getvalue()


def fitted(run, outcome):
    return open_run(run.folder, fit=outcome.uid).to_xarray()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two maps of one place whose E_F are 3 meV apart, the second taken the other way round, and their combination."""
    directory = tmp_path_factory.mktemp("repeats")
    bright = patches(NX, NY)
    first = RepeatMap(directory, gaps_of(), seed=1, bright=bright)
    second = RepeatMap(directory, gaps_of(), seed=2, ef=95.6 + APART / 1000, time=1.8e9 + 5000, bright=bright)
    second.edcs = dict(reversed(second.edcs.items()))
    for run in (first, second):
        run.write(fit=True)
    return first, second


@pytest.fixture(scope="module")
def together(pair, here):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("microarpes.beamline.refit.LocalWorkers", lambda processes: here())
        # Seconds, and that a derived run gets there is tested for every refit.
        patch.setattr("microarpes.beamline.refit.store_in_catalog", lambda *run: "")
        summary = pair[0].folder.parent / "summary.json"
        outcome, told = combined(*pair, summary=summary)
    return outcome, told, json.loads(summary.read_text())


def test_twice_the_counts_give_errors_smaller_by_the_root_of_two_that_are_true(pair, together):
    alone = [open_run(run.folder).to_xarray() for run in pair]
    both = fitted(pair[0], together[0])
    assert (both["status"] == "ok").all()
    assert (both["runs_combined"] == 2).all()
    ratio = both["gap_error"] / np.mean([each["gap_error"] for each in alone], axis=0)
    assert float(ratio.median()) == pytest.approx(0.5**0.5, rel=0.02)
    # 120 pulls: their width is known to 6.5 %, their mean to 0.09
    pulls = ((both["gap"] - gaps_of()) / both["gap_error"]).values
    assert pulls.std() == pytest.approx(1.0, abs=0.2)
    assert abs(pulls.mean()) < 0.27


def test_e_f_that_moves_between_the_runs_does_not_bias_the_gap_as_it_would_in_a_naive_sum(pair, together):
    first, second = pair
    axis = 1000 * (ENERGY - first.ef)
    naive = GapFitter(np.stack([axis, axis]), resolution=FWHM, temperature=10.0).fit_joint_many(
        np.stack([first.edcs[pixel] + second.edcs[pixel] for pixel in sorted(first.edcs)])
    )
    both = fitted(first, together[0])
    error = float(both["gap_error"].median()) / np.sqrt(NX * NY)
    bias = float((both["gap"] - gaps_of()).mean())
    biased = float(np.nanmean(naive.delta - gaps_of().ravel()))
    print(f"combined {bias:+.3f}, naive sum {biased:+.3f} meV, error of the mean {error:.3f} meV")
    assert abs(bias) < 4 * error
    # The edge of the second run lies 3 meV above where the sum believes it: half of the counts are 3 meV off.
    assert biased == pytest.approx(-APART / 2, abs=0.5)


def test_the_derived_run_says_what_it_is_of(pair, together):
    outcome, told, summary = together
    documents = list(read_documents(outcome.journal))
    start = documents[0][1]
    uids = [run.uid for run in pair]
    assert start["original_run_uids"] == uids
    assert (start["original_run_uid"], start["plan_name"], start["model"]) == (uids[0], "gap_fit", "norman")
    assert [(record["run"], record["ef"][0]) for record in start["calibration_records"]] == [
        (uids[0], 95.6), (uids[1], 95.603),
    ]  # fmt: skip
    assert "microarpes_version" in start
    assert start["combined"]["forced"] == []
    assert start["combined"]["consistency"]["p_pixels"] > 1e-3
    assert start["combined"]["consistency"]["offset"][1] == pytest.approx(0.0, abs=0.3)
    assert start["combined"]["alignment"][0]["seen"]["status"] == "ok"
    assert documents[-1][1]["num_events"] == {"primary": NX * NY}
    json.dumps(start)  # plain data, which every catalog takes
    assert f"2 runs, {NX * NY} of {NX * NY} pixels in two or more" in told
    assert summary["n_ok"] == NX * NY


def test_picture_report_comparison_and_export_take_it_as_any_fit(pair, together, tmp_path):
    first, outcome = pair[0], together[0]
    picture, page = (
        outcome.journal.with_name(f"refit-{outcome.uid[:8]}.{kind}") for kind in ("gap_map.png", "report.html")
    )
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "could not be made" not in page.read_text()
    found = compared_maps(open_run(first.folder), open_run(first.folder, fit=outcome.uid)).found
    assert found.number == NX * NY
    table = export_run(first.folder.parent, first.uid, "csv", tmp_path / "both.csv", fit=outcome.uid).read_text()
    assert f"# fit_runs: {first.uid} {pair[1].uid}" in table
    assert "runs_combined" in table


SMALL = np.full((6, 7), 35.0)


def small(directory, seed=1, gaps=SMALL, **different):
    return RepeatMap(directory, gaps, seed=seed, time=1.8e9 + 5000 * seed, **different)


@pytest.fixture(scope="module")
def alike(tmp_path_factory):
    return small(tmp_path_factory.mktemp("alike"), gaps=SMALL[:1, :1])


@pytest.mark.parametrize(
    ("different", "told"),
    [
        ({"source": {"photon_energy": 100.2, "polarisation": "LH", "entrance_slit": 50.0, "exit_slit": 20.0}},
         "photon energy is 100.0 in one and 100.2"),
        ({"source": {"photon_energy": 100.0, "polarisation": "LV", "entrance_slit": 50.0, "exit_slit": 20.0}},
         "polarisation is LH in one and LV"),
        ({"source": {"photon_energy": 100.0, "polarisation": "LH", "entrance_slit": 50.0, "exit_slit": 40.0}},
         "exit slit is 20.0 in one and 40.0"),
        ({"region": {"lens_mode": "A14", "pass_energy": 20.0, "acquisition_mode": "Fixed"}}, "pass energy"),
        ({"region": {"lens_mode": "A30", "pass_energy": 10.0, "acquisition_mode": "Fixed"}}, "lens mode"),
        ({"detector": {"counting": "pulse", "flat_field": {"sha256": "abc"}}}, "flat field is None in one and abc"),
        ({"windows": [WINDOWS[0], WINDOWS[1] | {"angle_high": 0.9}]}, "the windows are"),
        ({"energy_axis": (ENERGY + 0.001).tolist()}, "the energy axis is 210 channels from 95.45 to 95.659"),
        ({"sample": {"id": "Bi2212-8"}}, "sample is Bi2212-7 in one and Bi2212-8"),
        ({"fit_depth": 0.03}, "fit_depth"),
    ],
)  # fmt: skip
def test_in_what_runs_were_not_taken_alike_is_told(alike, different, told):
    found = differences(alike.start(), alike.start() | different)
    assert any(told in line for line in found), found
    assert differences(alike.start(), alike.start()) == []


@pytest.mark.parametrize(
    ("different", "told"),
    [({"temperature": 11.5}, "temperature is 10.00 K in one and 11.50 K"), ({"resolution": 0.0106}, "resolution is"),
     ({"gain": 2.0}, "gain is 1 in one and 2")],
)  # fmt: skip
def test_in_what_records_differ_by_more_than_a_fit_may_take_for_the_same_is_told(alike, different, told):
    record = alike.start()["calibration"]
    (found,) = record_differences([record], [record | different])
    assert told in found


def test_runs_that_were_not_taken_alike_are_refused_also_if_forced(tmp_path):
    first, second = small(tmp_path), small(tmp_path, seed=2, sample={"id": "Bi2212-8"})
    second.metadata["calibration"] = second.start()["calibration"] | {"temperature": 12.0}
    second.write()
    for force in (False, True):
        with pytest.raises(CombineRefused, match=r"sample is Bi2212-7 in one and Bi2212-8 .*temperature is 10.00 K"):
            combined(first, second, force=force)
    assert list(first.folder.glob("refit-*")) == []


def test_an_exposure_of_its_own_an_order_of_its_own_and_a_kelvin_less_are_no_difference(tmp_path):
    first, second = small(tmp_path), small(tmp_path, seed=2, peak=100.0)
    second.metadata = {"calibration": second.start()["calibration"] | {"temperature": 9.5}, "backwards": True}
    second.write()
    start = open_run(first.folder, fit=combined(first, second)[0].uid).to_xarray()
    assert (start["runs_combined"] == 2).all()


def test_one_run_or_the_same_twice_is_not_combined(tmp_path):
    first = small(tmp_path)
    with pytest.raises(CombineRefused, match="two repeat maps"):
        combined(first)
    with pytest.raises(CombineRefused, match="would count twice"):
        combined(first, first)


def test_the_same_counts_in_two_runs_do_not_count_twice(tmp_path):
    # As a recording that was replayed twice, or a simulation of one seed, would have it.
    first, second = small(tmp_path), small(tmp_path, seed=2)
    second.edcs = first.edcs
    second.write()
    with pytest.raises(CombineRefused, match=r"better than measurements of their own can.*name a recording .* once"):
        combined(first, second)


def test_gaps_that_differ_are_refused_with_figures_and_combined_if_forced(tmp_path):
    # Errors of 0.4 meV a pixel: 10 meV in one pixel are beyond chance, and leave the mean of 42 where it was.
    other = SMALL.copy()
    other[2, 3] += 10.0
    first, second = small(tmp_path), small(tmp_path, seed=2, gaps=other)
    with pytest.raises(CombineRefused, match=r"about one gap a pixel chi2 is .* for 41, p = .*compare shows which"):
        combined(first, second)
    assert list(first.folder.glob("refit-*")) == []
    outcome, told = combined(first, second, force=True)
    start = start_of(outcome.journal)
    assert "about one gap a pixel" in start["combined"]["forced"][0]
    assert "forced      about one gap a pixel" in told


def test_a_whole_map_that_is_shifted_is_refused_unless_e_f_is_not_known_better(tmp_path):
    # The calibration of the second run is wrong by 1.5 meV: its gaps come out as much too small.
    first, second = (small(tmp_path, seed=seed, ef=95.6, told=told) for seed, told in ((1, 95.6), (2, 95.5985)))
    with pytest.raises(CombineRefused, match=r"the whole map is shifted, .* by -1\.\d+ ± .*look at references"):
        combined(first, second)
    for run in (first, second):
        run.ef_error = 0.001
        run.write()
    outcome, _ = combined(first, second)
    start = start_of(outcome.journal)
    assert start["combined"]["consistency"]["p_offsets"] > 0.05


def test_a_map_that_was_moved_by_whole_pixels_is_laid_on_the_first(tmp_path):
    # The sample moved by 2 pixels along x between the runs, and nobody knew: the counts do.
    wide = gaps_of(NX + 2)
    bright = patches(NX, NY)
    before = np.pad(bright, ((0, 0), (0, 2)), mode="edge")
    after = np.roll(before, 2, axis=1)
    first = RepeatMap(tmp_path, wide, seed=1, bright=before)
    moved = np.roll(wide, 2, axis=1)
    moved[:, :2] = 60.0
    second = RepeatMap(tmp_path, moved, seed=2, bright=after, time=1.8e9 + 5000)
    outcome, told = combined(first, second)
    both = fitted(first, outcome)
    assert "moved by 2 x 0 pixels" in told
    assert both["runs_combined"].values.tolist() == [[2] * NX + [1] * 2] * NY


def test_a_map_that_lies_between_the_pixels_of_the_first_or_shows_another_place_is_refused(tmp_path):
    fine = patches(2 * NX, 2 * NY)
    first = RepeatMap(tmp_path, gaps_of(), seed=1, bright=fine[::2, ::2])
    between = RepeatMap(tmp_path, gaps_of(), seed=2, bright=fine[::2, 1::2])
    other = RepeatMap(tmp_path, gaps_of(), seed=3, bright=1.4 - patches(NX, NY))
    with pytest.raises(CombineRefused, match="the pixels of one lie between those of the other"):
        combined(first, between)
    with pytest.raises(CombineRefused, match="show another place"):
        combined(first, other)
    far = RepeatMap(tmp_path, gaps_of(), seed=4, origin=(500.0, 0.0))
    with pytest.raises(ValueError, match="no place in common"):
        combined(first, far)


def test_a_landmark_says_where_the_pixels_of_a_later_run_are(tmp_path):
    # By the last look of the first run the sample had moved by one step: so the second was taken one step further on.
    first, second = small(tmp_path), small(tmp_path, seed=2, origin=(STEP, 0.0))

    def with_look():
        for name, doc in first.documents():
            if name == "stop":
                yield "descriptor", {"uid": "drift-uid", "run_start": first.uid, "name": "drift", "data_keys": {}}
                look = {"time": first.time + 900.0, "status": "ok", "shift_x": STEP, "shift_y": 0.0}
                yield "event", {"uid": "look", "descriptor": "drift-uid", "seq_num": 1, "time": look["time"],
                                "data": look, "timestamps": dict.fromkeys(look, 0.0), "filled": {}}  # fmt: skip
            yield name, doc

    first.write(documents=with_look())
    both = fitted(first, combined(first, second)[0])
    assert (both["runs_combined"] == 2).all()


def test_a_pixel_that_one_run_has_is_fitted_as_it_is_alone(tmp_path):
    first, second = small(tmp_path, left_out=(5,)), small(tmp_path, seed=2, left_out=(9,))
    for run in (first, second):
        run.write(fit=True)
    both = fitted(first, combined(first, second)[0])
    assert both["runs_combined"].values.ravel()[[4, 5, 9]].tolist() == [2, 1, 1]
    for pixel, run in ((5, second), (9, first)):
        alone = open_run(run.folder).to_xarray()
        for name in ("gap", "gap_error", "window_gap"):
            np.testing.assert_array_equal(
                both[name].values.reshape(42, -1)[pixel], alone[name].values.reshape(42, -1)[pixel]
            )


def test_a_run_stands_for_those_it_resumes(tmp_path):
    begun = small(tmp_path, left_out=range(20, 42))
    rest = small(tmp_path, seed=2, left_out=range(19), resumes=begun.uid)  # took pixel 19 again
    again = small(tmp_path, seed=3)
    outcome, _ = combined(rest, again)
    both = fitted(rest, outcome)
    assert both["runs_combined"].values.tolist() == [[2] * 7] * 6
    start = start_of(outcome.journal)
    assert start["original_run_uids"] == [rest.uid, again.uid]
    assert [record["run"] for record in start["calibration_records"]] == [rest.uid, rest.uid, again.uid]
    with pytest.raises(CombineRefused, match="would count twice"):
        combined(rest, begun)


def test_windows_that_follow_k_f_follow_it_in_each_run_by_its_own_frames(tmp_path):
    # The face waves by up to 0.42 deg; counts dealt out to two runs at random are Poisson in each of them.
    frames = frames_of_the_run()
    dealt, runs = np.random.default_rng(8).binomial(frames, 0.5).astype(np.int32), []
    for name, counts in (("one", dealt), ("two", frames - dealt)):
        (tmp_path / name).mkdir()
        runs.append(WavingRun(tmp_path / name, counts))
        runs[-1].start["uid"] = name
        assert len(list(runs[-1].write())) == len(frames)
    outcome = combine_runs(tmp_path, [str(run.folder) for run in runs], stream=io.StringIO())
    assert (start_of(outcome.journal)["edc_source"], outcome.problems) == ("frames", [])
    both = open_run(runs[0].folder, fit=outcome.uid).to_xarray(edcs=False)
    flake = np.arange(len(frames)) != HOLDER
    assert (both["k_f_status"].values.ravel()[flake] == ["ok" if abs(tilt) < 0.2 else "far" for tilt in TILTS]).all()
    np.testing.assert_allclose(both["k_f_centre"].values.ravel()[flake], -np.array(TILTS), atol=0.05)
    # Errors of some 0.3 meV; windows that stayed would be wrong by several meV.
    np.testing.assert_allclose(both["gap"].values.ravel()[flake], 35.0, atol=1.2)
    # E_F is known to 0.3 meV and moves the gap by nearly as much.
    assert (both["gap_systematic"].values.ravel()[flake] > 0.25).all()
