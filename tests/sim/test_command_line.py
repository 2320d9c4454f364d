"""The program, its process and its PVs."""

import os
import signal
import subprocess
import sys

import pytest

from microarpes.beamline import cli
from microarpes.sim.command_line import main
from microarpes.sim.ioc import list_pvs
from microarpes.sim.process import free_port, private_environment, running_ioc


def test_the_pvs_carry_the_prefix_and_include_the_contract():
    names = list_pvs("P:")
    assert all(name.startswith("P:") for name in names)
    assert names == sorted(set(names))
    contract = """HEARTBEAT MANIP:X MANIP:Y MANIP:Z MANIP:POLAR MANIP:TILT MANIP:AZIMUTH ARPES:ACQUIRE_EDGE
        ARPES:cam1:Acquire ARPES:cam1:Acquire_RBV ARPES:cam1:AcquireBusy ARPES:cam1:DetectorState_RBV
        ARPES:cam1:ArrayCounter_RBV ARPES:cam1:X_SCALE_RBV ARPES:cam1:Y_SCALE_RBV ARPES:cam1:PASS_ENERGY
        ARPES:cam1:PASS_ENERGY_RBV ARPES:cam1:STEP_TIME ARPES:image1:ArrayData ARPES:image1:UniqueId_RBV
        RING:CURRENT RING:TOPUP_COUNTDOWN RING:TOPUP_PERIOD RING:INJECTION_TIME
        I0:CURRENT I0:INTEGRAL I0:FRAME_ID I0:OPEN_FRACTION
        SHUTTER:Cmd:Opn-Cmd SHUTTER:Cmd:Cls-Cmd SHUTTER:Pos-Sts LS336:IN1 LS336:IN4 LS336:IN1:Units_RBV
        LS336:OUT1:SP LS336:OUT1:SP_RBV LS336:HTR1 LS336:HTR1:Range VAC:P-I MONO:ENERGY MONO:ENERGY_RBV
        UND:POLARISATION SLIT:ENTRANCE SLIT:EXIT ATT:TRANSMISSION ATT:TRANSMISSION_RBV
        REPLAY:MESSAGE REPLAY:RECORDED_TIME"""
    assert {f"P:{name}" for name in contract.split()} <= set(names)


def test_list_pvs_prints_one_name_a_line(capsys):
    assert main(["--list-pvs", "--prefix", "Q:"]) == 0
    assert capsys.readouterr().out.splitlines() == list_pvs("Q:")


def test_help_and_errors_name_what_was_typed(capsys):
    for run, name in ((main, "python -m microarpes.sim"), (lambda args: cli.main(["sim", *args]), "microarpes sim")):
        assert run(["--help"]) == 0
        assert capsys.readouterr().out.startswith(f"usage: {name} [")
        assert run(["--seed", "x"]) == 2
        assert capsys.readouterr().err.startswith(f"{name}: ")


@pytest.mark.parametrize(
    "arguments",
    [["--seed", "x"], ["--seed", "-1"], ["--rate", "0"], ["--rate", "nan"], ["--noise", "loud"], ["--unknown"],
     ["--space-charge", "-1"], ["--undulation", "9"], ["--recording", "/nonexistent.h5"]],
)  # fmt: skip
def test_a_bad_argument_is_one_line_and_status_2(capsys, arguments):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number):
    process = subprocess.Popen(
        [sys.executable, "-m", "microarpes.sim"],
        env={**os.environ, **private_environment(free_port())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 0
    assert errors == ""


def test_two_beamlines_of_the_same_name_do_not_meet(start_beamline):
    with start_beamline("T:") as first:
        first.put("MANIP:X", 7.0)
        with start_beamline("T:") as second:
            assert second.get("MANIP:X") == 0.0
        assert first.get("MANIP:X") == 7.0


def test_a_process_that_cannot_start_says_why():
    with (
        pytest.raises(RuntimeError, match=r"ended with status 2.*--seed"),
        running_ioc("T:", ["--seed", "none"]),
    ):
        pass


def test_it_is_gone_after_the_context_even_when_stopped():
    with running_ioc("T:") as ioc:
        os.kill(ioc.process.pid, signal.SIGSTOP)
    assert ioc.process.poll() is not None


def test_pixel_noise_repeats_a_frame_and_a_readback(start_beamline):
    found = []
    for _ in range(2):
        with start_beamline("T:", ["--noise", "pixel", "--seed", "3"]) as client:
            client.put("SHUTTER:Cmd:Opn-Cmd", 1)
            client.put("ARPES:cam1:SLICES", 30)
            client.put("ARPES:cam1:AcquireTime", 0.02)
            # The second time there was another frame before.
            for _ in range(len(found) + 1):
                client.put("MANIP:X", 10.0)
                client.put("ARPES:cam1:Acquire", 1)
            # The first channel tells a retake from a frame that was sent twice.
            frame = client.get("ARPES:image1:ArrayData").tolist()[1:]
            found.append((frame, client.get("MANIP:X.RBV"), client.get("I0:INTEGRAL")))
    assert found[0] == found[1]
    assert sum(found[0][0]) > 1000
