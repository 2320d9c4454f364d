"""The drivers of four vendors over Channel Access: names, enum orders, axes, and what each wants before it acquires."""

from dataclasses import replace

import numpy as np
import pytest

from microarpes.sim.frame_source import Conditions, Pose, Window
from microarpes.sim.ioc import list_pvs
from microarpes.sim.sample_source import cut_for
from microarpes.sim.vendors import VENDORS

CAM, IMAGE = "ARPES:cam1:", "ARPES:image1:"

SPECS = """ACQ_MODE LENS_MODE PASS_ENERGY LOW_ENERGY HIGH_ENERGY KINETIC_ENERGY ENERGY_WIDTH_RBV STEP_SIZE AcquireTime
    NumExposures SLICES SCAN_RANGE Y_MIN_RBV Y_MAX_RBV Y_UNITS_RBV INT_SPECTRUM IMAGE PROGRESS_RBV CURRENT_POINT_RBV
    TOTAL_POINTS_ITERATION_RBV REGION_TIME_LEFT_RBV TOTAL_TIME_LEFT_RBV PAUSE SAFE_STATE DEFINE_SPECTRUM
    VALIDATE_SPECTRUM CONNECTED_RBV DATA_DELAY_MAX SAMPLES VALUES RETARDING_RATIO SERVER_NAME_RBV"""
PEAK = """ACQ_MODE ENERGY_MODE LENS_MODE PASS_ENERGY LOW_ENERGY HIGH_ENERGY CENTRE_ENERGY ENERGY_WIDTH_RBV STEP_SIZE
    AcquireTime NumExposures SLICES CHANNELS ELEMENT_SET_RBV EXCITATION_ENERGY WORK_FUNCTION SLIT CENTRE_THETA_Y
    THETA_Y_STEP_SIZE WITH_THETA_Y_RBV ENERGY_SCALE_RBV SLICE_SCALE_RBV SPECTRUM PROGRESS STEPS_RBV STEPS_COUNTER_RBV
    ETA ZERO_SUPPLIES FOCAL_POS_X FOCAL_POS_Y FOCAL_POS_Z"""
MBS = """AcqMode LensMode PassEnergy StartKE EndKE CentreKE StepSize AcquireTime AcquirePeriod NumExposures NumSlice
    PsuMode_RBV DeflX EScale_RBV LensScale_RBV INT_SPECTRUM IMAGE NumSteps"""
SES = """ACQ_MODE ENERGY_MODE LENS_MODE PASS_ENERGY LOW_ENERGY HIGH_ENERGY CENTRE_ENERGY ENERGY_WIDTH_RBV STEP_SIZE
    STEP_TIME FRAMES MAX_FRAMES_RBV NumExposures SLICES ELEMENT_SET DETECTOR_MODE EXCITATION_ENERGY X_SCALE_RBV
    X_UNITS_RBV Y_SCALE_RBV Y_UNITS_RBV INT_SPECTRUM INT_SPECTRUM_LAST IMAGE IMAGE_LAST EXTIO PROGRESS_RBV
    REGION_PROGRESS_RBV CURRENT_CHANNEL_RBV CURRENT_POINT_RBV CURRENT_DATA_POINT_RBV TOTAL_DATA_POINTS_RBV
    LEADING_IN_RBV CURRENT_LEAD_POINT_RBV TOTAL_LEAD_POINTS_RBV TOTAL_POINTS_ITERATION_RBV TOTAL_TIME_RBV
    REGION_TIME_LEFT_RBV TOTAL_TIME_LEFT_RBV TOTAL_ACQ_TIME_RBV PAUSE STOP_NEXT_ITERATION ZERO_SUPPLIES ALWAYS_DELAY
    NEXPOSURES_LAST_RBV REGION_NAME"""


@pytest.mark.parametrize(("vendor", "names"), [("ses", SES), ("specs", SPECS), ("peak", PEAK), ("mbs", MBS)])
def test_each_driver_serves_its_own_names(vendor, names):
    served = set(list_pvs("", vendor))
    assert {CAM + name for name in names.split()} <= served
    # areaDetector itself is the same under all of them.
    common = "Acquire Acquire_RBV AcquireBusy DetectorState_RBV ArrayCounter_RBV ImageMode NumImages UniqueId_RBV"
    assert {CAM + name for name in common.split()} <= served


@pytest.mark.parametrize(
    ("vendor", "absent"),
    [
        ("ses", "CENTRE_THETA_Y DeflX DEFLECTION DEFINE_SPECTRUM Y_MIN_RBV CONNECTED_RBV"),
        ("specs", "ENERGY_MODE X_SCALE_RBV CENTRE_ENERGY EXCITATION_ENERGY STEP_TIME DETECTOR_MODE"),
        ("peak", "X_SCALE_RBV Y_SCALE_RBV INT_SPECTRUM IMAGE STEP_TIME ELEMENT_SET DEFINE_SPECTRUM"),
        ("mbs", "ACQ_MODE ENERGY_MODE PASS_ENERGY X_SCALE_RBV SLICES CENTRE_ENERGY"),
    ],
)
def test_no_driver_serves_what_only_another_has(vendor, absent):
    assert not {CAM + name for name in absent.split()} & set(list_pvs("", vendor))


def test_the_order_of_the_energy_modes_differs_between_ses_and_peak():
    assert VENDORS["ses"].energy_modes == ("Binding", "Kinetic")
    assert VENDORS["peak"].energy_modes == ("Kinetic", "Binding")


def test_specs_wants_a_validated_spectrum_and_gives_edges(start_beamline):
    with start_beamline("V:", ["--analyser", "specs"]) as client:
        client.put("SHUTTER:Cmd:Opn-Cmd", 1)
        client.put(CAM + "AcquireTime", 0.05)
        client.put(CAM + "PASS_ENERGY", 12.5)
        assert client.get(CAM + "PASS_ENERGY_RBV") == 12.5
        client.put(CAM + "Acquire", 1)
        assert client.label(CAM + "DetectorState_RBV") == "Error"
        assert "DEFINE_SPECTRUM" in client.text(CAM + "StatusMessage_RBV")
        # Validation alone does not do.
        client.put(CAM + "VALIDATE_SPECTRUM", 1)
        client.put(CAM + "Acquire", 1)
        assert client.label(CAM + "DetectorState_RBV") == "Error"
        client.put(CAM + "DEFINE_SPECTRUM", 1)
        client.put(CAM + "VALIDATE_SPECTRUM", 1)
        client.put(CAM + "Acquire", 1)
        assert client.label(CAM + "DetectorState_RBV") == "Idle"
        counts = np.array(client.get(IMAGE + "ArrayData")).reshape(300, 400)
        n = client.get(CAM + "TOTAL_POINTS_ITERATION_RBV")
        energy = np.linspace(client.get(CAM + "LOW_ENERGY"), client.get(CAM + "HIGH_ENERGY"), n)
        assert np.diff(energy) == pytest.approx(client.get(CAM + "STEP_SIZE"))
        # Half-way down from the plateau the spectrum is at E_F = 95.6 eV, give or take the gap of 35 meV.
        spectrum = counts.sum(axis=0)
        last = energy[np.flatnonzero(spectrum > 0.25 * spectrum.max())[-1]]
        assert last == pytest.approx(95.6, abs=0.05)
        # The edges of a slit of 15 deg; the first channel's centre is half a channel inside.
        assert (client.get(CAM + "Y_MIN_RBV"), client.get(CAM + "Y_MAX_RBV")) == pytest.approx((-7.5, 7.5))
        # A setting changed after validation asks for another.
        client.put(CAM + "STEP_SIZE", 0.002)
        client.put(CAM + "Acquire", 1)
        assert client.label(CAM + "DetectorState_RBV") == "Error"
        with client.monitor(CAM + "CONNECTED_RBV") as events:
            client.put("FAULT:DETECTOR_DISCONNECTED:AMOUNT", 0.3)
            client.put("FAULT:DETECTOR_DISCONNECTED:ENABLE", 1)
            client.put(CAM + "DEFINE_SPECTRUM", 1)
            client.put(CAM + "VALIDATE_SPECTRUM", 1)
            client.put(CAM + "Acquire", 1)
            events.until(CAM + "CONNECTED_RBV", 0)
            events.until(CAM + "CONNECTED_RBV", 1)


def test_peak_gives_scales_and_deflects(start_beamline):
    with start_beamline("V:", ["--analyser", "peak"]) as client:
        client.put("SHUTTER:Cmd:Opn-Cmd", 1)
        client.put(CAM + "AcquireTime", 0.1)
        assert client.label(CAM + "ACQ_MODE") == "Fixed"
        assert client.label(CAM + "ENERGY_MODE") == "Kinetic"
        assert client.get(CAM + "ENERGY_MODE") == 0
        frames = []
        for deflection in (0.0, 8.0):
            client.put(CAM + "CENTRE_THETA_Y", deflection)
            client.put(CAM + "Acquire", 1)
            assert client.label(CAM + "DetectorState_RBV") == "Idle"
            frames.append(np.array(client.get(IMAGE + "ArrayData")).reshape(300, 400).sum(axis=0))
        assert client.get(CAM + "ENERGY_SCALE_RBV").size == 400
        assert client.get(CAM + "SLICE_SCALE_RBV").size == 300
        assert client.get(CAM + "SPECTRUM") == pytest.approx(frames[1])
        # 8 deg from the antinode the band is elsewhere: the spectra differ by far more than their noise.
        assert np.abs(frames[1] - frames[0]).sum() > 10 * np.sqrt(frames[0].sum() + frames[1].sum())


def test_mbs_sweeps_under_its_own_names(start_beamline):
    with start_beamline("V:", ["--analyser", "mbs"]) as client:
        client.put("SHUTTER:Cmd:Opn-Cmd", 1)
        client.put(CAM + "AcqMode", 1)
        assert client.label(CAM + "AcqMode_RBV") == "Swept"
        for name, value in (("StartKE", 95.50), ("EndKE", 95.51), ("AcquireTime", 0.005), ("NumSlice", 50)):
            client.put(CAM + name, value)
        client.put(CAM + "Acquire", 1)
        assert client.label(CAM + "DetectorState_RBV") == "Idle"
        assert client.get(CAM + "EScale_RBV") == pytest.approx(np.linspace(95.50, 95.51, 11))
        assert client.get(CAM + "LensScale_RBV").size == 50
        assert np.array(client.get(IMAGE + "ArrayData")).size == 550
        assert client.get(CAM + "CentreKE_RBV") == pytest.approx(95.505)


def test_a_deflection_is_a_turn_of_the_polar_angle():
    window = Window(95.48, 1e-3, 300, 15.0, 0.1)
    pose = Pose(0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 0.0)
    conditions = Conditions(100.0, 10.0)
    turned = cut_for(window, conditions, replace(pose, polar=10.5))
    assert cut_for(replace(window, deflection=1.5), conditions, pose) == turned
