"""An analyser without hardware: what it writes, reads back and refuses, and how an exposure of it ends."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from microarpes.devices.analyser import READOUT_MARGIN, Analyser
from microarpes.devices.analyser_components import image_of, settings_of, state_of
from microarpes.devices.analyser_pvs import PEAK, SES, SPECS
from microarpes.devices.region import Region

REGION = Region(centre_energy=95.5, iterations=2, acquire_time=0.5)
#: 4 energies in steps of 0.1 eV, those of the axis below.
SWEEP = Region(acquisition_mode="Swept", low_energy=95.0, high_energy=95.3, energy_step=0.1, acquire_time=0.5)
#: Seconds within which a status without hardware must have ended; a mutant without it is found that late.
SOON = 5.0


class Signal:
    """A process variable of this test: an enum where it has choices, then its value is an index."""

    def __init__(self, pvname, value=0.0, write_pv=""):
        self.pvname, self.setpoint_pvname = pvname, write_pv
        self.value, self.choices, self.limits, self.unit = value, (), (0.0, 0.0), ""
        self.timestamp, self.alarm_severity = 1000.0, 0
        self.puts, self.callbacks, self.completed = [], [], []
        #: Reads until a new value shows; whether it is not taken at all; what the driver does when it is written.
        self.lag, self.refuses, self.on_set = 0, False, lambda: None
        # nothing is sent ahead in a batch
        self._read_pv = SimpleNamespace(connected=False)
        self._write_pv = SimpleNamespace(connected=True, pvname=pvname, get_all_metadata_blocking=self.metadata)

    def metadata(self, **_):
        low, high = self.limits
        return {"enum_strs": self.choices, "lower_ctrl_limit": low, "upper_ctrl_limit": high, "units": self.unit}

    def get(self, **_):
        if self.lag:
            self.lag -= 1
            return self.before
        return self.value

    def put(self, value, *, callback=None, **_):
        self.puts.append(value)
        self.completed.append(callback)

    def set(self, value):
        self.puts.append(value)
        self.on_set()
        if not self.refuses:
            self.before, self.value = self.value, self.choices.index(value) if self.choices else value
        return SimpleNamespace(wait=lambda timeout: None)

    def subscribe(self, callback, **_):
        self.callbacks.append(callback)

    def tell(self, **news):
        for callback in self.callbacks:
            callback(**news)


def signals(definition, **values):
    found = {name: Signal(pv, write_pv=options.get("write_pv", "")) for name, (_, pv, options) in definition.items()}
    for name in found.keys() & values.keys():
        found[name].value = values[name]
    return SimpleNamespace(component_names=tuple(found), **found)


def make_analyser(pvs=SES):
    """An analyser of 3 angles and 4 energies with the process variables of a vendor."""
    spanned = pvs is SPECS
    state = {"detector_state": 0, "message": "", "acquiring": 0, "data_type": "Int32", "angle_unit": "deg"}
    state |= {"sweep_points": 4, "connected": "Connected"}
    if spanned:
        state |= {"energy_axis_0": 95.0, "energy_axis_1": 95.3, "energy_axis_2": 4}
        state |= {"angle_axis_0": -1.5, "angle_axis_1": 1.5, "angle_axis_2": 3}
    else:
        state |= {"energy_axis_0": np.array([95.0, 95.1, 95.2, 95.3]), "angle_axis_0": np.arange(3.0)}
    parts = {
        "pvs": pvs,
        "settings": signals(settings_of(pvs), excitation_energy=100.0),
        "state": signals(state_of(pvs), **state),
        "image": signals(image_of(pvs), frame_id=7, n_energy=4, n_angle=3, array=np.arange(12), address=0),
    }
    settings = parts["settings"]
    # the order of the strings is not that of the map
    settings.acquisition_mode.choices = (*reversed(pvs.modes.values()), "Dither")
    settings.lens_mode.choices = ("Transmission", "Angular14")
    settings.pass_energy.choices = ("5", "10", "20")
    settings.slices.limits = (1.0, 1000.0)
    for name in ("acquisition_mode", "lens_mode", "pass_energy"):
        getattr(settings, name).value = 0
    if pvs.energy_mode:
        settings.energy_mode.choices, settings.energy_mode.value = ("Binding", "Kinetic"), 0
    return type("Hardware", (Analyser,), parts)("TEST:", name="analyser")


@pytest.fixture
def analyser():
    return make_analyser()


@pytest.fixture
def impatient(monkeypatch):
    """Readbacks that do not follow at once never will."""
    monkeypatch.setattr("microarpes.devices.analyser.SETTLING", 0.0)


def written(analyser):
    return {name: s.puts for name in analyser.settings.component_names if (s := getattr(analyser.settings, name)).puts}


def complain(analyser, words):
    """The driver says something now."""
    analyser.state.message.value, analyser.state.message.timestamp = words, 1001.0


def test_a_region_is_written_as_a_whole_and_its_axes_are_read(analyser):
    analyser.set(REGION).wait(SOON)
    found = analyser.read_settings()
    assert found["energy_mode"] == "Kinetic"
    assert {name: found[name] for name in ("acquisition_mode", "pass_energy", "iterations", "acquire_time")} == {
        "acquisition_mode": "Fixed",
        "pass_energy": "10",
        "iterations": 2,
        "acquire_time": 0.5,
    }
    assert analyser.region == REGION
    assert analyser.read_region() == REGION.model_copy(update={"excitation_energy": 100.0})
    analyser.state.energy_axis_0.value = np.arange(9.0)
    assert [axis.size for axis in analyser.axes] == [4, 3]
    analyser.set(REGION).wait(SOON)
    assert [axis.size for axis in analyser.axes] == [9, 3]
    analyser.settings.low_energy.value, analyser.settings.high_energy.value = 95.0, 96.0
    described = analyser.describe_region()
    assert (described["low_energy"], described["high_energy"], described["slices"]) == (95.0, 96.0, REGION.slices)
    assert (described["excitation_energy"], described["driver"]) == (100.0, "ses")


def test_energies_of_a_driver_in_kev_are_written_and_read_in_kev():
    analyser = make_analyser(SES.renamed({"energy_unit": "keV"}))
    analyser.state.energy_axis_0.value = np.array([0.0950, 0.0951])
    analyser.set(REGION).wait(SOON)
    assert written(analyser)["centre_energy"] == [0.0955]
    assert analyser.read_settings()["centre_energy"] == pytest.approx(95.5)
    assert analyser.axes[0] == pytest.approx([95.0, 95.1])


def test_a_setting_the_driver_does_not_take_fails_the_region_and_is_named(analyser, impatient):
    analyser.settings.slices.refuses = True
    analyser.settings.slices.on_set = lambda: complain(analyser, "more than there are")
    with pytest.raises(
        ValueError,
        match=r"^analyser: slices = 300 was asked for, the analyser has 0\.0 \(more than there are\)$",
    ):
        analyser.set(REGION).wait(SOON)
    assert analyser.region is None
    with pytest.raises(RuntimeError, match="has no region"):
        analyser.describe_region()


def test_what_the_driver_said_before_is_no_reason(analyser, impatient):
    analyser.state.message.value = "all is well"
    analyser.settings.slices.refuses = True
    with pytest.raises(ValueError, match=r"the analyser has 0\.0$"):
        analyser.set(REGION).wait(SOON)


def test_a_readback_may_follow_a_little_later(analyser):
    analyser.settings.slices.on_set = lambda: setattr(analyser.settings.slices, "lag", 3)
    analyser.set(REGION).wait(SOON)
    assert analyser.settings.slices.lag == 0


def test_a_readback_that_never_follows_is_not_waited_for_without_end(analyser, monkeypatch):
    monkeypatch.setattr("microarpes.devices.analyser.SETTLING", 0.1)
    analyser.settings.slices.refuses = True
    with pytest.raises(ValueError, match="slices"):
        analyser.set(REGION).wait(SOON)


def test_a_choice_the_driver_does_not_offer_fails_the_region_before_anything_is_written(analyser):
    analyser.settings.pass_energy.choices = ("2", "5")
    told = r"pass_energy = 10 eV is not offered by the connected analyser; it has 2, 5 eV"
    with pytest.raises(ValueError, match=told):
        analyser.set(REGION).wait(SOON)
    with pytest.raises(ValueError, match=told):
        analyser.check_region(REGION)
    assert len(analyser.refusals(REGION)) == 1
    assert written(analyser) == {}


def test_the_connected_drivers_own_limits_are_held(analyser):
    analyser.settings.slices.limits = (1.0, 299.0)
    assert analyser.refusals(REGION) == ["slices = 300 is outside the connected analyser's [1, 299]"]


def test_limits_of_a_driver_in_kev_are_in_ev():
    analyser = make_analyser(SES.renamed({"energy_unit": "keV"}))
    analyser.settings.centre_energy.limits = (0.001, 0.09)
    assert analyser.refusals(REGION) == ["centre_energy = 95.5 eV is outside the connected analyser's [1, 90] eV"]


def test_a_driver_in_another_unit_than_its_map_says_can_do_no_region(analyser):
    analyser.settings.centre_energy.unit = "eV"
    # of pass energies all drivers are in eV, whatever they call it
    analyser.settings.pass_energy.unit = "keV"
    assert analyser.refusals(REGION) == []
    analyser.settings.centre_energy.unit = "keV"
    assert analyser.refusals(REGION) == ["cam1:CENTRE_ENERGY is in keV, the analyser's map says otherwise"]


def test_a_driver_that_does_not_reach_the_analyser_can_do_no_region():
    analyser = make_analyser(SPECS)
    assert analyser.refusals(REGION) == []
    analyser.state.connected.value = "Disconnected"
    (reason,) = analyser.refusals(REGION)
    assert "CONNECTED_RBV is Disconnected: the driver does not reach the analyser" in reason


def test_an_array_whose_frames_are_not_final_is_refused(analyser):
    analyser.image.address.value = 1
    (reason,) = analyser.refusals(REGION)
    assert "NDArrayAddress_RBV is 1, where frames are not final; set it to 0" in reason


def test_a_spectrum_is_defined_and_validated_after_every_change():
    analyser = make_analyser(SPECS)
    analyser.set(SWEEP).wait(SOON)
    assert (analyser.state.define_0.puts, analyser.state.define_1.puts) == ([1], [1])
    assert analyser.axes[0] == pytest.approx([95.0, 95.1, 95.2, 95.3])
    # from the outer edges of the slit to its centres
    assert analyser.axes[1] == pytest.approx([-1.0, 0.0, 1.0])


def test_a_spectrum_the_driver_complains_of_is_not_set():
    analyser = make_analyser(SPECS)
    analyser.settings.slices.on_set = lambda: complain(analyser, "kinetic energy out of range")
    with pytest.raises(ValueError, match=r"the spectrum was not accepted \(kinetic energy out of range\)"):
        analyser.set(REGION).wait(SOON)
    assert analyser.region is None


@pytest.mark.parametrize(("pvs", "words"), [(SPECS, ""), (SES, "ready"), (PEAK, "ready")])
def test_a_message_that_is_no_complaint_keeps_no_region_from_being_set(pvs, words):
    analyser = make_analyser(pvs)
    # SPECS clears its message when a spectrum is good; the others say what they do, and refuse by their readbacks
    analyser.settings.slices.on_set = lambda: complain(analyser, words)
    analyser.set(REGION).wait(SOON)
    assert analyser.region == REGION


@pytest.mark.parametrize(
    "axis", [np.zeros(0), np.array([0.0, 1.0, 1.0]), np.array([0.0, np.nan]), np.arange(3.0)[::-1]]
)
@pytest.mark.parametrize("which", ["energy", "angle"])
def test_an_axis_that_does_not_ascend_fails_the_region(analyser, which, axis):
    getattr(analyser.state, f"{which}_axis_0").value = axis
    with pytest.raises(ValueError, match=rf"{which} axis .* not strictly ascending"):
        analyser.set(REGION).wait(SOON)


def test_a_sweep_whose_axis_does_not_reach_its_ends_fails(analyser):
    analyser.set(SWEEP).wait(SOON)
    # 0.06 eV short, more than half a step
    analyser.state.energy_axis_0.value = np.array([95.0, 95.1, 95.24])
    with pytest.raises(ValueError, match=r"to 95\.3 eV was asked for, the energy axis has 3 from 95 to 95\.24 eV"):
        analyser.set(SWEEP).wait(SOON)
    # a fixed region says nothing of ends
    analyser.set(REGION).wait(SOON)


@pytest.mark.parametrize(("mode", "words"), [("Dither", "acquisition_mode"), ("Swept", "low_energy")])
def test_a_region_that_is_none_of_ours_cannot_be_read_back(analyser, mode, words):
    analyser.set(REGION).wait(SOON)
    analyser.settings.acquisition_mode.set(mode)
    with pytest.raises(ValueError, match=words):
        analyser.read_region()


def test_an_exposure_ends_by_put_completion(analyser):
    analyser.set(REGION).wait(SOON)
    status = analyser.trigger()
    assert analyser.state.acquire.puts == [1]
    assert not status.done
    analyser.state.acquire.completed[0]()
    status.wait(SOON)


def test_an_exposure_has_its_length_and_a_margin_as_deadline(analyser, monkeypatch):
    assert READOUT_MARGIN > 0.0
    monkeypatch.setattr("microarpes.devices.analyser.READOUT_MARGIN", 0.05 - REGION.point_time)
    analyser.set(REGION).wait(SOON)
    status = analyser.trigger()
    with pytest.raises(TimeoutError, match=r"did not end within 0\.05 s"):
        status.wait(SOON)


def test_without_a_region_nothing_is_exposed(analyser):
    # it would have no deadline
    with pytest.raises(RuntimeError, match="has no region; set one first"):
        analyser.trigger()
    assert analyser.state.acquire.puts == []


def test_a_sweep_takes_its_lead_in(analyser):
    # 4 energies and 6 points of lead-in, each 0.5 s; every energy is counted for the 6
    analyser.state.sweep_points.value = 10
    analyser.set(SWEEP).wait(SOON)
    assert (analyser.exposure_time.real, analyser.exposure_time.counted) == pytest.approx((5.0, 3.0))


def test_what_the_driver_said_of_a_sweep_is_forgotten_with_the_next_region():
    analyser = make_analyser(SPECS)
    analyser.set(SWEEP).wait(SOON)
    assert analyser.exposure_time.real == 2.0
    analyser.trigger()
    analyser.state.acquiring.tell(value=1, timestamp=1000.0)
    analyser.state.time_left.tell(value=50.0)
    assert analyser.exposure_time.real == 50.0
    analyser.set(SWEEP).wait(SOON)
    assert analyser.exposure_time.real == 2.0
    analyser.state.acquire.completed[0]()


def test_only_the_start_of_this_exposure_counts_as_its_start(analyser):
    analyser.set(REGION).wait(SOON)
    analyser.trigger()
    analyser.state.acquiring.tell(value=1, timestamp=1000.0)
    assert analyser.acquire_edge_time(0.0) == 1000.0
    analyser.trigger()
    # the edge of the exposure before is forgotten, the end of an exposure is no start
    assert np.isnan(analyser.acquire_edge_time(0.0))
    analyser.state.acquiring.tell(value=0, timestamp=1001.0)
    assert np.isnan(analyser.acquire_edge_time(0.0))
    analyser.state.acquiring.tell(value="Acquire", timestamp=1002.0)
    assert analyser.acquire_edge_time(0.0) == 1002.0
    for complete in analyser.state.acquire.completed:
        complete()


def test_a_frame_comes_with_its_counters_and_whatever_else_is_asked_for(analyser):
    readings, frame = analyser.read_frame({"ring_current": Signal("RING", 299.0)})
    assert frame.tolist() == np.arange(12).reshape(3, 4).tolist()
    assert {name: reading["value"] for name, reading in readings.items()} == {
        "detector_state": 0,
        "frame_id": 7,
        "n_energy": 4,
        "n_angle": 3,
        "ring_current": 299.0,
    }
    assert readings["frame_id"]["timestamp"] == 1000.0
    assert set(analyser.counters()) == {"frame_id", "detector_state"}


def test_a_frame_that_does_not_have_the_size_it_claims_comes_flat_for_the_gate_to_refuse(analyser):
    analyser.image.array.value = np.arange(11)
    assert analyser.read_frame()[1].shape == (11,)


@pytest.mark.parametrize(("data_type", "stored"), [("Int32", "<i4"), ("Float64", "<f8")])
def test_counts_are_stored_as_counts(analyser, data_type, stored):
    analyser.state.data_type.value = data_type
    assert analyser.frame_dtype == stored


def test_an_angle_axis_is_in_degrees_as_far_as_the_driver_says(analyser):
    assert analyser.images_angles
    analyser.state.angle_unit.value = "mm"
    assert not analyser.images_angles
    assert make_analyser(PEAK).images_angles


def test_abort_and_stop_end_the_exposure(analyser):
    analyser.abort()
    analyser.stop()
    assert analyser.state.acquire.puts == [0, 0]


def test_what_somebody_changed_in_the_region_is_seen_with_the_next_frame(analyser):
    analyser.set(REGION).wait(SOON)
    readings, _ = analyser.read_frame()
    assert analyser.changed_settings(readings) == []
    # Neither changes the shape of a frame: another lens mode spreads other angles over the same channels.
    analyser.settings.pass_energy.value = analyser.settings.pass_energy.choices.index("20")
    readings, _ = analyser.read_frame()
    assert analyser.changed_settings(readings) == [
        "somebody changed the region: pass_energy = 10 eV was asked for, the analyser has 20"
    ]
