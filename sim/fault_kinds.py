"""What can be made to go wrong: a table, one line a kind. docs/explanation/faults.md explains each."""

from __future__ import annotations

from dataclasses import dataclass

#: When the die is cast: at the start of an exposure, of a move of an axis, at the post that a client waits for, or
#: never (what lasts as long as the fault is on).
EXPOSURE, MOVE, POST, LASTING = "exposure", "move", "post", "lasting"


@dataclass(frozen=True)
class FaultKind:
    """A way to fail.

    Parameters
    ----------
    name : str
        Part of its PVs, ``FAULT:<name>:ENABLE`` and so on.
    decided : {"exposure", "move", "post", "lasting"}
        When it may strike.
    effect : str
        One line for the operator; `amount` is its AMOUNT.
    amount : float
        AMOUNT at boot; 0 where it has none.
    units : str
        Of AMOUNT.
    highest : float
        Limit of AMOUNT; the lowest is 0, or minus this where `signed`.
    signed : bool
    """

    name: str
    decided: str
    effect: str
    amount: float = 0.0
    units: str = ""
    highest: float = 0.0
    signed: bool = False


KINDS: tuple[FaultKind, ...] = (
    FaultKind("STALE_FRAME", EXPOSURE, "the previous frame is posted again and no counter advances"),
    FaultKind("DUPLICATED_FRAME", EXPOSURE, "the content of the previous frame comes under a new id"),
    FaultKind("DROPPED_FRAME", EXPOSURE, "counter and id advance by two: a frame was lost on the way"),
    FaultKind(
        "LATE_FRAME", EXPOSURE, "Acquire is done and the put completes before the frame is posted", 0.1, "s", 60.0
    ),
    FaultKind("WRONG_SHAPE", EXPOSURE, "the frame lacks AMOUNT slices", 1.0, "slices", 999.0),
    FaultKind("NAN_FRAME", EXPOSURE, "a part AMOUNT of the pixels is not a number", 0.01, "1", 1.0),
    FaultKind(
        "SATURATED_FRAME", EXPOSURE, "every pixel is at full scale, AMOUNT", 2147483647.0, "counts", 2147483647.0
    ),
    FaultKind("OVER_COUNT", EXPOSURE, "the detector counts AMOUNT times as much: a bright spot", 50.0, "1", 1e6),
    FaultKind("ACQUIRE_TIMEOUT", EXPOSURE, "the driver gives up: Error, Acquire 0, no frame, no counter advances"),
    FaultKind("BUSY_LIES", EXPOSURE, "the put of Acquire completes and AcquireBusy is Done while the exposure goes on"),
    FaultKind("DETECTOR_DISCONNECTED", EXPOSURE, "the driver loses the detector for AMOUNT", 2.0, "s", 3600.0),
    FaultKind("BEAM_DUMP", EXPOSURE, "at any phase the ring loses its beam for AMOUNT", 2.0, "s", 36000.0),
    FaultKind(
        "TOPUP_GLITCH", EXPOSURE, "at any phase an injection keeps the beam off the sample for AMOUNT", 0.05, "s", 60.0
    ),
    FaultKind("SHUTTER_DROP", EXPOSURE, "at any phase the shutter closes, and stays closed until it is opened"),
    FaultKind(
        "DEAD_BEAM_PV", EXPOSURE, "RING:CURRENT is not updated for AMOUNT: old value, old time stamp", 5.0, "s", 36000.0
    ),
    FaultKind("BEAM_INVALID", EXPOSURE, "RING:CURRENT has severity INVALID for AMOUNT", 2.0, "s", 36000.0),
    FaultKind(
        "FROZEN_IOC", EXPOSURE, "at any phase the process answers nothing for AMOUNT, connections open", 3.0, "s", 600.0
    ),
    FaultKind(
        "REBOOT",
        EXPOSURE,
        "at any phase the IOC restarts on its port with values at boot, down for AMOUNT or more",
        0.0,
        "s",
        600.0,
    ),
    FaultKind("MOTOR_STALL", MOVE, "the axis sticks under way and DMOV stays 0 until STOP or another put"),
    FaultKind("MOTOR_STOP", MOVE, "somebody stops the axis under way: DMOV 1, VAL taken to the readback"),
    FaultKind(
        "WRONG_READBACK", MOVE, "RBV is off by AMOUNT at DMOV 1, until the next move", 5.0, "EGU", 1e4, signed=True
    ),
    FaultKind(
        "MOTOR_MISS", MOVE, "the axis ends AMOUNT off and its retries do not help: MISS 1", 5.0, "EGU", 1e4, signed=True
    ),
    FaultKind("LIMIT_SWITCH", MOVE, "under way the axis runs into a limit switch: HLS or LLS 1, severity MAJOR"),
    FaultKind(
        "LIMIT_CHANGE", MOVE, "under way somebody sets the soft limit AMOUNT short of the target", 1.0, "EGU", 1e4
    ),
    FaultKind(
        "MOTOR_OFFLINE",
        MOVE,
        "under way the controller is lost for AMOUNT: RBV INVALID and no longer updated",
        2.0,
        "s",
        3600.0,
    ),
    FaultKind("DROPPED_MONITOR", POST, "the monitor of DMOV = 1 or of Acquire_RBV = Done is not sent"),
    FaultKind(
        "CRYOSTAT_RAMP", LASTING, "the sample warms at AMOUNT whatever the loop does", 1.0, "K/min", 1000.0, signed=True
    ),
    FaultKind(
        "EF_DRIFT", LASTING, "the spectrum moves along the energy axis at AMOUNT", 10.0, "meV/h", 1e6, signed=True
    ),
    FaultKind(
        "SAMPLE_DRIFT", LASTING, "the sample moves along x under the beam at AMOUNT", 10.0, "um/h", 1e6, signed=True
    ),
)

#: Fault by name.
BY_NAME: dict[str, FaultKind] = {kind.name: kind for kind in KINDS}
