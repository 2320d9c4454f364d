"""A publisher of journals as it is asked over ZMQ: one question at a time, and no answer is an answer too."""

from __future__ import annotations

from typing import Any

from microarpes.beamline.journal_record import HEADER, MAX_RECORD
from microarpes.beamline.remote import Keys, RemoteError, checked_address, load_zmq

#: Seconds for an answer; then the question is asked again.
TIMEOUT = 10.0


class NoAnswer(RemoteError):
    """The publisher is not there now."""


class Publisher:
    """A publisher as it is asked over ZMQ, one question at a time.

    Parameters
    ----------
    address : str
        ``tcp://HOST:PORT``.
    keys : Keys, optional
        Needed where the address is not loopback.
    timeout : float, s

    Raises
    ------
    RemoteError
        The address or the keys are none.
    """

    def __init__(self, address: str, keys: Keys | None = None, *, timeout: float = TIMEOUT) -> None:
        self.address = checked_address(address, to_listen=False, has_keys=keys is not None)
        self._keys, self._timeout, self._zmq = keys, timeout, load_zmq()
        self._context = self._zmq.Context()
        self._socket: Any = None
        try:
            self._socket = self._connected()
        except BaseException:
            self._context.term()
            raise

    def _connected(self) -> Any:
        socket = self._context.socket(self._zmq.REQ)
        try:
            socket.linger, socket.maxmsgsize = 0, HEADER.size + MAX_RECORD
            socket.ipv6 = "[" in self.address
            if self._keys is not None:
                self._keys.guard_asking(socket)
            socket.connect(self.address)
        except self._zmq.ZMQError as error:
            socket.close()
            raise RemoteError(f"cannot ask at {self.address}: {error}") from None
        except BaseException:
            socket.close()
            raise
        return socket

    def __call__(self, question: bytes) -> list[bytes]:
        """Ask.

        Raises
        ------
        NoAnswer
            Nothing came in time.
        """
        if self._socket is None:
            self._socket = self._connected()
        self._socket.send(question)
        if self._socket.poll(1e3 * self._timeout):
            answer: list[bytes] = self._socket.recv_multipart()
            return answer
        # A socket that waits for an answer can ask nothing else.
        self._socket.close()
        self._socket = None
        known = "" if self._keys is None else ", or not to who has this key"
        raise NoAnswer(f"nobody answers at {self.address}{known}")

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
        self._context.term()
