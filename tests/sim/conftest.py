"""A simulated beamline in a process of its own and a small Channel Access client."""

import queue
from contextlib import contextmanager

import numpy as np
import pytest
from caproto.threading.client import Context

from microarpes.sim.process import running_ioc

#: Seconds after which something that was waited for is missing.
DEADLINE = 60.0


class Events:
    """Monitored changes in the order of their arrival."""

    def __init__(self):
        self._queue = queue.Queue()

    def add(self, name, value):
        self._queue.put((name, value))

    def until(self, name, value):
        """Return all events up to and including one, or fail at the deadline."""
        seen = []
        while True:
            try:
                event = self._queue.get(timeout=DEADLINE)
            except queue.Empty:
                pytest.fail(f"{name} = {value} was not posted; seen: {seen}")
            seen.append(event)
            if event == (name, value):
                return seen

    def next(self):
        """Return one event, or fail at the deadline."""
        try:
            return self._queue.get(timeout=DEADLINE)
        except queue.Empty:
            pytest.fail("nothing more was posted")

    def drain(self):
        while not self._queue.empty():
            self._queue.get_nowait()


class Client:
    """Reads by explicit get; puts with completion."""

    def __init__(self, prefix):
        self.prefix = prefix
        self._context = Context()
        self._pvs = {}

    def pv(self, name):
        if name not in self._pvs:
            (self._pvs[name],) = self._context.get_pvs(self.prefix + name)
            self._pvs[name].wait_for_connection(timeout=DEADLINE)
        return self._pvs[name]

    def get(self, name, **kwargs):
        data = self.pv(name).read(timeout=DEADLINE, **kwargs).data
        return data if len(data) != 1 else data[0].item()

    def string(self, name):
        return self.pv(name).read(timeout=DEADLINE).data[0].decode()

    def text(self, name):
        return bytes(np.asarray(self.pv(name).read(timeout=DEADLINE).data, dtype=np.uint8)).decode().rstrip("\0")

    def label(self, name):
        reading = self.pv(name).read(timeout=DEADLINE, data_type="control")
        return reading.metadata.enum_strings[reading.data[0]].decode()

    def put(self, name, value, wait=True):
        data = (value,) if isinstance(value, str | bytes) else [value]
        if isinstance(value, str):
            self.pv(name).write(data, wait=wait, timeout=DEADLINE, data_type="native")
        else:
            self.pv(name).write(data, wait=wait, timeout=DEADLINE)

    @contextmanager
    def monitor(self, *names):
        events, kept = Events(), []
        for name in names:
            subscription = self.pv(name).subscribe()

            def callback(_sub, response, name=name):
                events.add(name, response.data[0].item() if len(response.data) == 1 else response.data.size)

            subscription.add_callback(callback)
            kept.append((subscription, callback))
        for name in names:
            # The first update of each is its value now.
            first = events._queue.get(timeout=DEADLINE)
            assert first[0] in names, name
        events.drain()
        yield events
        for subscription, _ in kept:
            subscription.clear()

    @contextmanager
    def disconnection(self, name):
        """Wait, at the end of the context, until a PV has been lost and found again."""
        states = queue.Queue()
        pv = self.pv(name)

        def changed(_pv, state):
            states.put(state)

        pv.connection_state_callback.add_callback(changed)
        yield
        for wanted in ("disconnected", "connected"):
            while states.get(timeout=DEADLINE) != wanted:
                pass

    def close(self):
        self._context.disconnect(wait=False)


@contextmanager
def beamline(prefix, arguments=()):
    with running_ioc(prefix, arguments) as ioc, pytest.MonkeyPatch.context() as patch:
        for name, value in ioc.environment.items():
            patch.setenv(name, value)
        client = Client(prefix)
        client.process = ioc.process
        try:
            yield client
        finally:
            client.close()


@pytest.fixture(scope="module")
def client():
    """A simulated beamline with its defaults."""
    with beamline("T:") as found:
        yield found


@pytest.fixture(scope="session")
def start_beamline():
    """Start a beamline with arguments of its own."""
    return beamline
