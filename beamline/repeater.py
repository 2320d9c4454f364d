"""A Channel Access repeater on the loopback interface, for hosts without EPICS base's ``caRepeater``.

It passes the IOCs' beacons on to the clients of this host, so that they notice a restarted IOC soon. Without one
libca complains on the terminal. Not caproto's: that one never confirms the zero-length registration libca sends, and
libca then complains all the same. Protocol: EPICS Channel Access Protocol Specification, "CA repeater".
"""

from __future__ import annotations

import os
import socket
import struct
import threading

_HEADER = struct.Struct(">HHHHII")
_REPEATER_CONFIRM, _REPEATER_REGISTER, _BEACON = 17, 24, 13


def serve_repeater() -> bool:
    """Serve in a thread, unless somebody on this host does already; return whether this process does now."""
    address = ("127.0.0.1", int(os.environ.get("EPICS_CA_REPEATER_PORT", "5065")))
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listening.bind(address)
    except OSError:
        listening.close()
        return False
    threading.Thread(target=_serve, args=(listening,), name="CA repeater", daemon=True).start()
    return True


def _serve(listening: socket.socket) -> None:
    clients: set[tuple[str, int]] = set()
    while True:
        try:
            message, sender = listening.recvfrom(65536)
        except ConnectionError:
            continue
        except OSError:
            return
        if not message or message[:2] == struct.pack(">H", _REPEATER_REGISTER):
            clients.add(sender)
            _send(listening, _HEADER.pack(_REPEATER_CONFIRM, 0, 0, 0, 0, _as_number(sender[0])), sender, clients)
            message = message[_HEADER.size :]
        if message:
            for client in clients - {sender}:
                _send(listening, _with_origin(message, sender[0]), client, clients)


def _send(listening: socket.socket, message: bytes, client: tuple[str, int], clients: set[tuple[str, int]]) -> None:
    """Send; a client that is gone is forgotten."""
    try:
        listening.sendto(message, client)
    except OSError:
        clients.discard(client)


def _with_origin(message: bytes, host: str) -> bytes:
    """Fill in where a beacon comes from when the IOC left that to the repeater."""
    if len(message) < _HEADER.size:
        return message
    command, size, data_type, count, first, second = _HEADER.unpack_from(message)
    if command == _BEACON and second == 0:
        return _HEADER.pack(command, size, data_type, count, first, _as_number(host)) + message[_HEADER.size :]
    return message


def _as_number(host: str) -> int:
    return int.from_bytes(socket.inet_aton(host), "big")
