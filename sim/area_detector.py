"""Records every areaDetector driver and array plugin has, which this one has nothing to do with: stock clients ask."""

from __future__ import annotations

from microarpes.sim.signals import Signals, choice, count, number, text

_COLOURS = ("Mono", "Bayer", "RGB1", "RGB2", "RGB3", "YUV444", "YUV422", "YUV421")
_BAYER = ("RGGB", "GBRG", "GRBG", "BGGR")


def _both_ends() -> Signals:
    """Return the pools of buffers and the asyn record, which driver and plugin both have."""
    pools = {f"Pool{name}": count(0) for name in ("MaxBuffers", "AllocBuffers", "FreeBuffers", "UsedBuffers")}
    sizes = {f"Pool{name}": number(0.0, "MB") for name in ("MaxMem", "UsedMem")}
    return pools | sizes | {"AsynIO": count(0)}


def _shutter() -> Signals:
    """Return the shutter a driver may have of its own; this one has none: ShutterMode is None."""
    modes, control, status = ("None", "EPICS PV", "Detector output"), ("Close", "Open"), ("Closed", "Open")
    return {
        "ShutterMode": choice(modes, "None"), "ShutterMode_RBV": choice(modes, "None"),
        "ShutterControl": choice(control, "Close"), "ShutterControl_RBV": choice(control, "Close"),
        "ShutterOpenDelay": number(0.0, "s"), "ShutterOpenDelay_RBV": number(0.0, "s"),
        "ShutterCloseDelay": number(0.0, "s"), "ShutterCloseDelay_RBV": number(0.0, "s"),
        "ShutterStatus_RBV": choice(status, "Closed"), "ShutterStatusEPICS_RBV": choice(status, "Closed"),
        "ShutterControlEPICS": choice(control, "Close"), "ShutterOpenEPICS": number(1.0),
        "ShutterCloseEPICS": number(0.0), "ShutterFanout": count(0),
    }  # fmt: skip


def driver_records() -> Signals:
    """Return the rest of ADBase.template, by suffix."""
    frames = ("Normal", "Background", "FlatField", "DblCorrelation")
    return (
        _both_ends()
        | _shutter()
        | {
            "FrameType": choice(frames, "Normal"),
            "FrameType_RBV": choice(frames, "Normal"),
            "DataType_RBV.DISA": count(0),
            "ReadStatus": count(0),
            "StringFromServer_RBV": text(""),
            "StringToServer_RBV": text(""),
            "Temperature": number(25.0, "C"),
            "Temperature_RBV": number(25.0, "C"),
            "TemperatureActual": number(25.0, "C"),
        }
    )


def plugin_records() -> Signals:
    """Return the rest of NDPluginBase.template and NDStdArrays.template, by suffix."""
    return _both_ends() | {
        "PortName_RBV": text("IMAGE1", long=False),
        "NDAttributesFile": text(""),
        "BayerPattern_RBV": choice(_BAYER, "RGGB"),
        "ColorMode_RBV": choice(_COLOURS, "Mono"),
        "QueueFreeLow": count(0),
        "QueueUse": count(0),
        "QueueUseHIGH": count(1),
        "QueueUseHIHI": count(1),
    }
