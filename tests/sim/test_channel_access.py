"""How the IOC speaks Channel Access: fast, and to this machine only."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from microarpes.sim.channel_access import FastContext, interfaces_from_environment, set_server_environment


def test_accepted_connections_do_not_wait_for_nagle():
    async def accepted_without_delay():
        context = FastContext({}, ["127.0.0.1"])
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setblocking(False)
        listening.bind(("127.0.0.1", 0))
        try:
            await context.server_accept_loop(listening)
            return listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        finally:
            listening.close()

    # Accepted sockets inherit the option from the listening one.
    assert asyncio.run(accepted_without_delay()) != 0


def test_what_the_caller_set_in_the_environment_stays(monkeypatch):
    monkeypatch.setenv("EPICS_CAS_BEACON_ADDR_LIST", "127.0.0.2")
    monkeypatch.delenv("EPICS_CAS_AUTO_BEACON_ADDR_LIST", raising=False)
    set_server_environment()
    assert os.environ["EPICS_CAS_BEACON_ADDR_LIST"] == "127.0.0.2"
    assert os.environ["EPICS_CAS_AUTO_BEACON_ADDR_LIST"] == "no"


def test_without_a_word_it_binds_loopback(monkeypatch):
    monkeypatch.delenv("EPICS_CAS_INTF_ADDR_LIST", raising=False)
    assert interfaces_from_environment() == ["127.0.0.1"]
    monkeypatch.setenv("EPICS_CAS_INTF_ADDR_LIST", "127.0.0.1 127.0.0.3")
    assert interfaces_from_environment() == ["127.0.0.1", "127.0.0.3"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's table of sockets")
def test_every_socket_of_the_process_is_on_loopback(client):
    assert client.get("HEARTBEAT") >= 0
    process = Path("/proc") / str(client.process.pid)
    inodes = {os.readlink(fd) for fd in (process / "fd").iterdir() if fd.is_symlink()}
    # 127.0.0.1 in the kernel's byte order; 0.0.0.0 as the remote address of what listens.
    loopback, nowhere = "0100007F", "00000000"
    found = []
    for table in ("tcp", "udp"):
        for line in (process / "net" / table).read_text().splitlines()[1:]:
            columns = line.split()
            if f"socket:[{columns[9]}]" in inodes:
                found.append((columns[1].split(":")[0], columns[2].split(":")[0]))
    # One listens, one answers searches, one sends beacons, one serves this client.
    assert len(found) >= 4
    assert all(local == loopback and remote in (loopback, nowhere) for local, remote in found)
