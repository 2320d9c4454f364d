"""A client's connection, byte by byte: answers in the order of requests, nothing lost when they arrive in pieces."""

import asyncio
import struct

import numpy as np
import pytest

from microarpes.sim.channel_access import FastContext
from microarpes.sim.process import free_port
from microarpes.sim.signals import choice, integers, number, text

HEADER = struct.Struct(">HHHHII")
TIME_DOUBLE, DOUBLE, LONG, ENUM, STRING = 20, 6, 5, 3, 0
READ_NOTIFY, ERROR = 15, 11


@pytest.fixture(autouse=True)
def port_of_its_own(monkeypatch):
    # At a port that an IOC of other tests holds, caproto leaves the socket that found it taken to the collector.
    monkeypatch.setenv("EPICS_CA_SERVER_PORT", str(free_port()))


class Wire:
    """A Channel Access client that decides which bytes travel together."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.sids = {}

    async def connect(self, *names):
        self.writer.write(HEADER.pack(0, 0, 0, 13, 0, 0))
        for cid, name in enumerate(names):
            padded = name.encode() + b"\0" * (8 - len(name) % 8)
            self.writer.write(HEADER.pack(18, len(padded), 0, 0, cid, 13) + padded)
        while len(self.sids) < len(names):
            command, _, _, cid, sid, _ = await self.receive()
            if command == 18:
                self.sids[names[cid]] = sid

    async def receive(self):
        """Return command, data type, data count, parameters and payload."""
        command, size, data_type, count, first, second = HEADER.unpack(await self.reader.readexactly(16))
        if size == 0xFFFF and count == 0:
            size, count = struct.unpack(">II", await self.reader.readexactly(8))
        return command, data_type, count, first, second, await self.reader.readexactly(size)

    def read(self, name, data_type, ioid, count=0):
        return HEADER.pack(15, 0, data_type, count, self.sids[name], ioid)

    def put(self, name, value, ioid):
        return HEADER.pack(19, 8, DOUBLE, 1, self.sids[name], ioid) + struct.pack(">d", value)


def on_the_wire(pvdb, conversation):
    """Serve `pvdb` to one `Wire` and return what the conversation returns."""

    async def run():
        context = FastContext({"heartbeat": number(0.0), **pvdb}, ["127.0.0.1"])
        listening = asyncio.Event()

        async def startup(_library):
            listening.set()

        server = asyncio.create_task(context.run(startup_hook=startup))
        await listening.wait()
        wire = Wire(*await asyncio.open_connection("127.0.0.1", context.port))
        try:
            await wire.connect(*pvdb)
            return await asyncio.wait_for(conversation(wire), 20)
        finally:
            wire.writer.close()
            async with asyncio.timeout(20):
                while context.circuits:
                    await asyncio.sleep(0.001)
            server.cancel()
            await asyncio.gather(server, return_exceptions=True)

    return asyncio.run(run())


def test_a_read_sent_with_a_put_sees_what_was_put():
    async def conversation(wire):
        wire.writer.write(wire.read("x", DOUBLE, 1) + wire.put("x", 5.0, 2) + wire.read("x", DOUBLE, 3))
        answers = [await wire.receive() for _ in range(3)]
        reads = {answer[4]: struct.unpack(">d", answer[5])[0] for answer in answers if answer[0] == 15}
        return reads, sorted(answer[4] for answer in answers)

    assert on_the_wire({"x": number(1.0, writable=True)}, conversation) == ({1: 1.0, 3: 5.0}, [1, 2, 3])


def test_reads_are_answered_while_a_put_is_pending():
    released = asyncio.Event()

    async def hold(value):
        await released.wait()
        return value

    async def conversation(wire):
        wire.writer.write(wire.put("slow", 2.0, 1))
        wire.writer.write(b"".join(wire.read("x", DOUBLE, 10 + i) for i in range(22)))
        before = [(await wire.receive())[4] for _ in range(22)]
        released.set()
        return before, (await wire.receive())[4]

    pvdb = {"slow": number(1.0, on_put=hold), "x": number(3.0)}
    assert on_the_wire(pvdb, conversation) == (list(range(10, 32)), 1)


def test_a_request_may_arrive_in_single_bytes():
    async def conversation(wire):
        requests = wire.read("x", DOUBLE, 1) + wire.put("x", 2.5, 2) + wire.read("x", DOUBLE, 3)
        for byte in requests:
            wire.writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        answers = [await wire.receive() for _ in range(3)]
        return {answer[4]: struct.unpack(">d", answer[5])[0] for answer in answers if answer[0] == 15}

    assert on_the_wire({"x": number(1.0, writable=True)}, conversation) == {1: 1.0, 3: 2.5}


def test_an_answer_is_not_that_of_an_older_value():
    signal = number(1.0)

    async def conversation(wire):
        found = []
        for value in (1.0, 7.0, 8.0):
            await signal.post(value, timestamp=1e9 + value)
            wire.writer.write(wire.read("x", TIME_DOUBLE, 1))
            payload = (await wire.receive())[5]
            found.append((struct.unpack(">d", payload[-8:])[0], struct.unpack(">I", payload[4:8])[0]))
        return found

    # Seconds are counted from 1990 on the wire.
    assert on_the_wire({"x": signal}, conversation) == [(v, 1_000_000_000 + int(v) - 631152000) for v in (1, 7, 8)]


def test_a_frame_arrives_whole_and_in_part():
    frame = np.arange(120_000, dtype=np.int32)

    async def conversation(wire):
        wire.writer.write(wire.read("f", LONG, 1) + wire.read("f", LONG, 2, count=10) + wire.read("e", ENUM, 3))
        return [await wire.receive() for _ in range(3)]

    whole, part, enum = on_the_wire({"f": integers(frame, room=400_000), "e": choice(("a", "b"), "b")}, conversation)
    assert np.array_equal(np.frombuffer(whole[5], ">i4"), frame)
    assert (whole[2], part[2]) == (120_000, 10)
    assert np.array_equal(np.frombuffer(part[5], ">i4")[:10], frame[:10])
    assert struct.unpack(">H", enum[5][:2]) == (1,)


def test_a_client_that_sends_nonsense_is_cut_off_and_the_others_are_served():
    async def conversation(wire):
        port = wire.writer.get_extra_info("peername")[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEADER.pack(999, 0, 0, 0, 0, 0))
        rest = await reader.read()
        writer.close()
        wire.writer.write(wire.read("x", DOUBLE, 1))
        return rest, struct.unpack(">d", (await wire.receive())[5])[0]

    assert on_the_wire({"x": number(4.0)}, conversation) == (b"", 4.0)


def test_a_client_that_sends_a_hundred_requests_and_leaves_stops_nobody():
    async def conversation(wire):
        port = wire.writer.get_extra_info("peername")[1]
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            other = Wire(reader, writer)
            await other.connect("x")
            writer.write(b"".join(other.read("x", DOUBLE, i) for i in range(100)))
            writer.transport.abort()
        wire.writer.write(wire.read("x", DOUBLE, 1))
        return struct.unpack(">d", (await wire.receive())[5])[0]

    assert on_the_wire({"x": number(4.0)}, conversation) == pytest.approx(4.0)


def test_a_channel_that_cannot_be_read_is_told_so_and_costs_nobody_the_connection():
    broken = text("A")

    async def conversation(wire):
        # a letter that the strings of Channel Access do not have, put there past every check
        broken._data["value"] = "\N{GREEK CAPITAL LETTER GAMMA}"
        wire.writer.write(wire.read("x", DOUBLE, 1) + wire.read("t", STRING, 2) + wire.read("x", DOUBLE, 3))
        return [(await wire.receive())[0] for _ in range(3)]

    assert on_the_wire({"x": number(4.0), "t": broken}, conversation) == [READ_NOTIFY, ERROR, READ_NOTIFY]
