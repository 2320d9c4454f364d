"""A corpus of EDCs that are not measurements of a gap, and what must be said of each."""

import numpy as np
import pytest

from microarpes.analysis import Calibration, GapFitter
from microarpes.analysis.event_fit import EventFitter, RunLayout


def good(edc, energy, **truth):
    return np.random.default_rng(77).poisson(edc(energy, **truth)).astype(float)


def changed(counts, index, value):
    counts = counts.copy()
    counts[index] = value
    return counts


def two_lines(energy, edc):
    return sum(good(edc, energy, peak=3000.0, delta=delta, gamma1=4.0) for delta in (35.0, 70.0))


def saw_tooth(energy, edc):
    return good(edc, energy, peak=300.0) * np.where(np.arange(energy.size) % 12 < 6, 1.6, 0.4)


def wrapped(energy, edc, bits):
    """Counts as an accumulator of so many bits leaves them."""
    return np.mod(good(edc, energy, peak=1.6 * 2**bits), 2**bits)


def twice(energy, edc):
    """Two edges: the window of one pass and, 150 meV above it, what is left of the one before."""
    return good(edc, energy) + good(edc, energy - 60.0)


def hot_pair(energy, edc):
    return changed(good(edc, energy, peak=50.0), [250, 262], [700.0, 650.0])


CORPUS = [
    ("all zero", "empty", lambda e, edc: np.zeros(e.size)),
    ("one NaN", "bad-input", lambda e, edc: changed(good(edc, e), 100, np.nan)),
    ("all NaN", "bad-input", lambda e, edc: np.full(e.size, np.nan)),
    ("one inf", "bad-input", lambda e, edc: changed(good(edc, e), 300, np.inf)),
    ("minus inf", "bad-input", lambda e, edc: changed(good(edc, e), 300, -np.inf)),
    ("negative counts", "bad-input", lambda e, edc: changed(good(edc, e), 310, -3.0)),
    ("too short", "bad-input", lambda e, edc: good(edc, e)[:-1]),
    ("too long", "bad-input", lambda e, edc: np.append(good(edc, e), 1.0)),
    ("two-dimensional", "bad-input", lambda e, edc: good(edc, e)[None]),
    ("a scalar", "bad-input", lambda e, edc: 3.0),
    ("beyond any detector", "bad-input", lambda e, edc: good(edc, e) * 1e200),
    ("nothing", "bad-input", lambda e, edc: None),
    ("text", "bad-input", lambda e, edc: "counts"),
    ("complex", "bad-input", lambda e, edc: "1+2j"),
    ("empty list", "bad-input", lambda e, edc: []),
    ("ragged", "bad-input", lambda e, edc: [[1.0], [1.0, 2.0]]),
    ("saturated channel", "saturated", lambda e, edc: changed(good(edc, e), 290, 60_000.0)),
    ("saturated and empty elsewhere", "saturated", lambda e, edc: changed(np.zeros(e.size), 290, 60_000.0)),
    ("flat light", "no-edge", lambda e, edc: np.full(e.size, 200.0)),
    ("flat noise", "no-edge", lambda e, edc: np.random.default_rng(1).poisson(30.0, e.size)),
    ("rising through E_F", "no-edge", lambda e, edc: np.linspace(10.0, 500.0, e.size)),
    ("gentle fall through E_F", "no-edge", lambda e, edc: np.linspace(500.0, 200.0, e.size)),
    ("core level above E_F", "no-edge", lambda e, edc: 20 + 400 * np.exp(-0.5 * ((e - 60) / 40) ** 2)),
    ("slope of a core level", "no-edge", lambda e, edc: 5 + 4000 / (1 + np.exp((e + 60) / 40))),
    ("edge 200 meV too low", "no-edge", lambda e, edc: good(edc, e + 200.0, background=1.0)),
    ("reversed counts", "no-edge", lambda e, edc: good(edc, e)[::-1]),
    ("only dark counts", "low-counts", lambda e, edc: np.random.default_rng(4).poisson(0.03, e.size)),
    ("a few electrons", "low-counts", lambda e, edc: good(edc, e, peak=0.7)),
    ("a single count", "low-counts", lambda e, edc: changed(np.zeros(e.size), 280, 1.0)),
    ("hot channel in the window", "bad-fit", lambda e, edc: changed(good(edc, e), 300, 5_000.0)),
    ("dead channels at the peak", "bad-fit", lambda e, edc: changed(good(edc, e, peak=400.0), slice(280, 290), 0.0)),
    ("two lines", "bad-fit", two_lines),
    ("saw-tooth electronics", "bad-fit", saw_tooth),
    ("an accumulator of 16 bits that wrapped", "saturated", lambda e, edc: wrapped(e, edc, 16)),
    ("an accumulator of 8 bits that wrapped", "bad-fit", lambda e, edc: wrapped(e, edc, 8)),
    ("minus one where an integer has no NaN", "bad-input", lambda e, edc: changed(good(edc, e), 5, -1.0)),
    ("the most negative integer", "bad-input", lambda e, edc: changed(good(edc, e), 5, float(-(2**63)))),
    ("a date", "bad-input", lambda e, edc: np.datetime64("2024-11-05")),
    ("a dictionary", "bad-input", lambda e, edc: {"counts": good(edc, e)}),
    ("objects", "bad-input", lambda e, edc: np.array([object()] * e.size)),
    ("full scale of 16 bits", "saturated", lambda e, edc: np.minimum(good(edc, e, peak=2e5), 65_535.0)),
    ("all channels at full scale", "saturated", lambda e, edc: np.full(e.size, 65_535.0)),
    ("edge 60 meV too high as well", "no-edge", twice),
    ("edge 200 meV too high", "no-edge", lambda e, edc: 300.0 / (1 + np.exp((e - 200.0) / 3.0)) + 0.0 * e),
    ("light through the whole window, peak on top", "no-edge", lambda e, edc: good(edc, e, peak=30.0) + 60.0),
    ("nothing but zeros and a spike above E_F", "no-edge", lambda e, edc: changed(np.zeros(e.size), 345, 900.0)),
    ("a hot channel at the peak", "bad-fit", lambda e, edc: changed(good(edc, e), 285, 900.0)),
    ("two hot channels", "bad-fit", hot_pair),
    ("every third channel dead", "bad-fit", lambda e, edc: changed(good(edc, e), slice(None, None, 3), 0.0)),
    ("gapless metal", "no-gap", lambda e, edc: good(edc, e, coherent=0.0, background=1.0)),
    ("normal-state peak at E_F", "no-gap", lambda e, edc: good(edc, e, delta=0.0, gamma1=20.0)),
]  # fmt: skip


@pytest.mark.parametrize("engine", [None, "numpy-2"], ids=["default engine", "numpy"])
@pytest.mark.parametrize(("status", "make"), [row[1:] for row in CORPUS], ids=[row[0] for row in CORPUS])
def test_a_bad_edc_gets_its_verdict_and_no_number(energy, edc, status, make, engine):
    fit = GapFitter(energy, saturation=50_000.0, engine=engine).fit(make(energy, edc))
    assert fit.status == status
    for name in ("delta", "delta_stderr", "delta_systematic", "gamma1", "gamma1_stderr", "gamma0", "gamma0_stderr"):
        assert np.isnan(getattr(fit, name)), name
    assert np.isfinite(fit.upper_limit) == (status == "no-gap")
    fitted = status in ("bad-fit", "no-gap")
    assert np.isfinite(fit.deviance) == fitted
    assert np.isfinite(fit.dof) == fitted
    assert np.isfinite(fit.model_counts).all() == fitted


def test_a_pixel_without_a_dispersing_band_is_off_the_sample(energy, edc):
    # a polycrystal shows a sharp edge but no angular contrast
    fitter = GapFitter(energy)
    assert fitter.fit(good(edc, energy), angular_contrast=0.01).status == "off-sample"
    assert fitter.fit(good(edc, energy), angular_contrast=0.6).status == "ok"
    assert fitter.fit(np.full(energy.size, np.nan), angular_contrast=0.01).status == "bad-input"
    assert fitter.fit(np.zeros(energy.size), angular_contrast=0.01).status == "off-sample"


@pytest.mark.parametrize("engine", [None, "numpy-2"])
def test_electrons_lost_evenly_leave_a_measurement(energy, edc, engine):
    # Every second channel dead: a bin of two keeps one, so half the electrons are left, half a channel off the centre.
    fit = GapFitter(energy, engine=engine).fit(changed(good(edc, energy), slice(None, None, 2), 0.0))
    assert fit.status == "ok"
    assert abs(fit.delta - 35.0) < 0.5 + 3 * fit.delta_stderr
    assert fit.delta_stderr > GapFitter(energy, engine=engine).fit(good(edc, energy)).delta_stderr


def test_the_corpus_is_large_and_has_no_two_cases_of_one_name():
    assert len({row[0] for row in CORPUS}) == len(CORPUS) >= 30


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [
        (-320.0, 5.0, "no-edge"),  # nothing of the dark above E_F
        (-320.0, -40.0, "no-edge"),
        (-40.0, 80.0, "no-edge"),  # less than five times the resolution below
        (10.0, 80.0, "no-edge"),
        (-62.0, 30.0, "ok"),  # short, but it holds peak, edge and dark
    ],
)
@pytest.mark.parametrize("engine", [None, "numpy-2"])
def test_a_truncated_axis_is_fitted_only_where_it_holds_an_edge(energy, edc, low, high, status, engine):
    part = (energy >= low) & (energy <= high)
    fit = GapFitter(energy[part], engine=engine).fit(good(edc, energy)[part])
    assert fit.status == status
    assert status != "ok" or abs(fit.delta - 35.0) < 4 * fit.delta_stderr


@pytest.mark.parametrize(
    "spoil",
    [
        lambda axis: axis[::-1],
        lambda axis: np.where(np.arange(axis.size) == 200, axis[199], axis),
        lambda axis: np.where(np.arange(axis.size) == 7, np.nan, axis),
        lambda axis: np.where(np.arange(axis.size) == 399, np.inf, axis),
        lambda axis: np.zeros(axis.size),
        lambda axis: axis[:5],
    ],
    ids=["reversed", "duplicate energies", "NaN", "infinite", "all zero", "five channels"],
)
def test_an_axis_that_is_none_is_a_wrong_argument_and_in_a_stream_bad_input(energy, edc, spoil):
    with pytest.raises(ValueError, match="energy"):
        GapFitter(spoil(energy))
    kinetic = spoil(energy) / 1000.0 + 95.0
    layout = RunLayout((1, 1), ("k_F",), kinetic)
    record = {"time": 0.0, "ef": [95.0], "resolution": 0.012, "temperature": 10.0}
    data = {"pixel": 0, "edc": good(edc, energy)[None, : kinetic.size], "angular_contrast": 0.6}
    event = EventFitter("norman", "prior").fit(layout, Calibration.from_record(record, 1), data)
    assert event["status"] == ["bad-input"]
    assert event["joint_status"] == "bad-input"
    assert np.isnan(event["delta"]).all()


@pytest.mark.parametrize("shift", [150.0, 400.0, -300.0])
def test_an_axis_that_misses_the_fermi_energy_has_no_edge(energy, edc, shift):
    assert GapFitter(energy + shift).fit(good(edc, energy)).status == "no-edge"


def test_the_rim_of_the_detector_is_not_an_edge():
    # fixed mode: both ends of the axis are dark, the spectrum is flat between; E_F claimed at the upper rim
    axis = np.arange(670) * 11.3
    flat = np.where((axis > 300) & (axis < axis[-1] - 300), 900.0, 3.0)
    counts = np.random.default_rng(6).poisson(flat)
    rim = axis[-1] - 300
    for claimed in (rim - 60, rim, rim + 40):
        assert GapFitter(axis - claimed, resolution=25.0, temperature=20.0).fit(counts).status == "no-edge"


def test_fill_of_the_slit_correction_does_not_pass_for_a_rim(energy, edc):
    counts = good(edc, energy)
    counts[:3] = 0.0
    counts[-3:] = 0.0
    assert GapFitter(energy).fit(counts).status == "ok"


def test_one_bad_row_of_a_map_harms_no_other(energy, edc):
    rows = np.stack([good(edc, energy)] * 5)
    alone = GapFitter(energy).fit(rows[0])
    rows[2, 5] = np.nan
    rows[3] = 0.0
    fits = GapFitter(energy).fit_many(rows)
    assert list(fits.status) == ["ok", "ok", "bad-input", "empty", "ok"]
    assert fits.delta[4] == alone.delta


def test_noise_that_is_not_counting_noise_needs_more_evidence(energy, edc):
    # a flat metal whose noise is 5 x Poisson and correlated over 12 meV makes bumps; none may become a gap
    rng = np.random.default_rng(9)
    metal = edc(energy, peak=100.0, coherent=0.0, background=1.0, slope=0.0)
    rough = np.repeat(rng.normal(1.0, 0.06, (200, energy.size // 8)), 8, axis=1) * metal
    fits = GapFitter(energy).fit_many(np.maximum(rng.poisson(np.maximum(rough, 0.0)), 0.0))
    assert (fits.status == "ok").sum() <= 4
