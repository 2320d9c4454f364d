"""The derived run of a gap fit: its documents, composed and validated by event_model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import event_model

from microarpes.analysis.gap_map import AGEING, COMBINED, FITTED, JOINT, K_F_CENTRE, POSITIONS

__all__ = ["CONTROL", "DerivedRun", "gap_data_keys"]

#: Stream of the fits of looks at control pixels, which are on no map.
CONTROL = "control"
#: What these have beside the keys of stream ``primary``.
LOOK = {"dose": "s", "beam": "nA s, or mA s without I0", "k_f_centre": "deg", "k_f_centre_error": "deg"}

Emit = Callable[[str, dict[str, Any]], Any]


def _key(dtype: str, numpy: str, shape: list[int], units: str, model: str) -> dict[str, Any]:
    """One entry of a descriptor."""
    return {"dtype": dtype, "dtype_numpy": numpy, "shape": shape, "units": units, "source": f"gap_fit:{model}"}


def gap_data_keys(
    n_window: int, model: str, *, follow_k_f: bool = False, aged: bool = False, combined: bool = False
) -> dict[str, dict[str, Any]]:
    """Describe the data keys of the primary stream; ``"1"`` is the unit of what has none.

    There is more to tell where the windows follow k_F, where the gaps are corrected for ageing, and where the counts
    are of several runs.
    """
    keys = {
        "pixel": _key("integer", "<i8", [], "1", model),
        "raw_seq_num": _key("integer", "<i8", [], "1", model),
        "status": _key("array", "<U10", [n_window], "1", model),
        "joint_status": _key("string", "<U10", [], "1", model),
    }
    keys.update({name: _key("array", "<f8", [n_window], unit, model) for name, unit in FITTED.items()})
    keys.update({name: _key("number", "<f8", [], unit, model) for name, unit in (*JOINT.items(), *POSITIONS.items())})
    if follow_k_f:
        keys["k_f_status"] = _key("string", "<U10", [], "1", model)
        keys.update({name: _key("number", "<f8", [], unit, model) for name, unit in K_F_CENTRE.items()})
    if aged:
        keys.update({name: _key("number", "<f8", [], unit, model) for name, unit in AGEING.items()})
    if combined:
        keys.update({name: _key("integer", "<i8", [], unit, model) for name, unit in COMBINED.items()})
    return keys


class DerivedRun:
    """Composes start, descriptor, events and stop of one derived run and hands them on.

    Parameters
    ----------
    emit : callable
        ``emit(name, document)``.
    metadata : mapping
        What the start document says besides uid and time; ``follow_k_f`` where the windows follow k_F,
        ``ageing_correction`` where the gaps are corrected for ageing, ``combined`` where they are of several runs.
    n_window : int
    model : str
    """

    def __init__(self, emit: Emit, metadata: Mapping[str, Any], n_window: int, model: str) -> None:
        self._emit = emit
        self._bundle = event_model.compose_run(metadata=dict(metadata))
        emit("start", dict(self._bundle.start_doc))
        told = {
            "follow_k_f": bool(metadata.get("follow_k_f")),
            "aged": "ageing_correction" in metadata,
            "combined": "combined" in metadata,
        }
        keys = gap_data_keys(n_window, model, **told)
        self._model, self._keys = model, keys
        self._stream = self._bundle.compose_descriptor(
            name="primary", data_keys=self._keys, object_keys={"gap_fit": list(self._keys)}
        )
        self._looks: event_model.ComposeDescriptorBundle | None = None
        emit("descriptor", dict(self._stream.descriptor_doc))

    @property
    def uid(self) -> str:
        """Uid of the derived run."""
        return str(self._bundle.start_doc["uid"])

    def event(self, data: Mapping[str, Any], raw_time: float) -> None:
        """Emit one event; its time stamps are those of the raw event."""
        self._emit("event", dict(self._stream.compose_event(data=dict(data), timestamps=dict.fromkeys(data, raw_time))))

    def look(self, data: Mapping[str, Any], raw_time: float) -> None:
        """Emit the fit of a look at a control pixel; a run without any has no such stream."""
        if self._looks is None:
            keys = {**self._keys, **{name: _key("number", "<f8", [], unit, self._model) for name, unit in LOOK.items()}}
            self._looks = self._bundle.compose_descriptor(
                name=CONTROL, data_keys=keys, object_keys={"gap_fit": list(keys)}
            )
            self._emit("descriptor", dict(self._looks.descriptor_doc))
        self._emit("event", dict(self._looks.compose_event(data=dict(data), timestamps=dict.fromkeys(data, raw_time))))

    def stop(self, exit_status: str, reason: str) -> None:
        """Emit the stop document."""
        status = exit_status if exit_status in ("success", "abort", "fail") else "fail"
        self._emit("stop", dict(self._bundle.compose_stop(exit_status=status, reason=reason)))
