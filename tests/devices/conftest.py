"""Motor records that live in this process: an `Axis` on top of them needs no IOC and no time."""

from __future__ import annotations

import time

import pytest
from ophyd import Component, Signal

FIELDS = {
    ".VAL": 0.0,
    ".RBV": 0.0,
    ".DMOV": 1,
    ".STOP": 0,
    ".LLM": -100.0,
    ".HLM": 100.0,
    ".VELO": 2000.0,
    ".ACCL": 0.01,
    ".DLY": 0.0,
    ".BDST": 0.0,
    ".BVEL": 2000.0,
    ".BACC": 0.01,
    ".OFF": 0.0,
    ".DIR": 0,
    ".SPMG": 3,
    ".EGU": "um",
    ".LVIO": 0,
    ".MISS": 0,
    ".HLS": 0,
    ".LLS": 0,
    ".MSTA": 0,
}


class Unconnected:
    connected = False


class FieldSignal(Signal):
    """A field of a `FakeRecord`, as ophyd's EPICS signals behave."""

    #: Nothing is sent ahead in a batch.
    _read_pv = Unconnected

    def __init__(self, pvname, *, name, parent=None, **_):
        self.field, self.record = "." + pvname.rpartition(".")[2], parent.record
        super().__init__(name=name, parent=parent, value=FIELDS[self.field])
        self.record.signals[self.field] = self

    @property
    def connected(self):
        return self.record.connected

    @property
    def alarm_severity(self):
        return self.record.severity if self.field == ".RBV" else 0

    @property
    def timestamp(self):
        return time.time()

    def get(self, **_):
        if not self.record.answers:
            raise TimeoutError(f"{self.name} did not answer")
        self.record.reads.append(self.field)
        return self.record.fields[self.field]

    def put(self, value, *, use_complete=False, callback=None, wait=True, **_):
        self.record.puts.append((self.field, value))
        if self.field == ".VAL":
            self.record.move(value, callback or (lambda: None))
        elif self.field == ".VELO":
            self.record.fields[".VELO"] = self.record.allowed(value)


class FakeRecord:
    """A motor record; `behave` says what it does with a request, and may be replaced by a test, as may `allowed`, what
    becomes of a velocity it is asked for.

    `fields` is what an explicit get finds; `post` changes one and tells who monitors it.
    """

    def __init__(self):
        self.fields, self.signals = dict(FIELDS), {}
        self.severity, self.answers, self.connected = 0, True, True
        self.puts, self.reads = [], []
        self.behave, self.allowed = self.arrive, lambda velocity: velocity
        self.complete = lambda: None

    def move(self, value, callback):
        self.fields[".VAL"], self.complete = value, callback
        self.behave(value)

    def arrive(self, value, **fields):
        """Be done, at `value` and with the fields (without their dots) given."""
        self.fields[".RBV"] = value
        self.fields.update({f".{name}": field for name, field in fields.items()})
        self.complete()

    def post(self, field, value):
        """Change a field and send its monitor."""
        self.fields[field] = value
        signal = self.signals[field]
        Signal.put(signal, value, force=True)

    def lose(self):
        """Lose the connection."""
        signal = self.signals[".VAL"]
        signal._run_subs(sub_type=signal.SUB_META, connected=False)


@pytest.fixture
def make_axis():
    """Return a function that makes an `Axis`, um with a tolerance of 1, on a `FakeRecord` of its own."""
    from microarpes.devices.axis import Axis

    def make(name="x", units="um", tolerance=1.0, **fields):
        record = FakeRecord()
        record.fields |= {".EGU": units} | {f".{key}": value for key, value in fields.items()}
        components = {key: Component(FieldSignal, component.suffix) for key, component in Axis._sig_attrs.items()}
        axis = type("FakeAxis", (Axis,), {**components, "record": record})(
            f"M:{name.upper()}", tolerance=tolerance, units=units, name=name
        )
        return axis, record

    return make


class FakeManipulator:
    """Six axes on records of their own."""

    def __init__(self, make_axis):
        from microarpes.devices.manipulator import AXES, TOLERANCES

        wide = {"LLM": -5000.0, "HLM": 5000.0}
        made = {
            name: make_axis(name, units, TOLERANCES[name], **wide)
            for name, units in zip(AXES, ("um",) * 3 + ("deg",) * 3, strict=True)
        }
        self.axes = {name: axis for name, (axis, _) in made.items()}
        self.records = {name: record for name, (_, record) in made.items()}

    def positions(self):
        from microarpes.devices.channel_access import read_fresh

        return {name: read_fresh({"readback": axis.readback, "done": axis.done}) for name, axis in self.axes.items()}

    def where(self):
        """The true positions."""
        return {name: record.fields[".RBV"] for name, record in self.records.items()}

    def moved(self):
        """Return which axes were asked to move since the last call."""
        names = {name for name, record in self.records.items() if any(field == ".VAL" for field, _ in record.puts)}
        for record in self.records.values():
            record.puts.clear()
        return names


@pytest.fixture
def manipulator(make_axis):
    """Return a `FakeManipulator`, all axes at 0."""
    return FakeManipulator(make_axis)
