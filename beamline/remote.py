"""What two machines say to each other about journals: questions, answers, names, addresses and keys.

A question is one message of msgpack, an answer one, or two where the second is bytes of a journal. Nothing that is
received is executed, and no path comes from the wire: a run is a uid, a journal one of a few names.

``[1, "list"]``
    ``["list", [[run, journal, bytes], ...]]``, the newest run first and its raw journal before those of its fits.
``[1, "read", run, journal, offset, last]``
    What comes after `offset`, where the asker's copy ends with a record whose head (length and CRC) is `last`.
    ``["records", growing]`` and whole records; growing: somebody writes the journal, or there is more than was sent.
    ``["other"]``: that journal has no such record there, as after a fit that was begun anew.
Anything else
    ``["refused", why]``.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgpack

if TYPE_CHECKING:
    import zmq
    from zmq.auth.thread import ThreadAuthenticator

VERSION = 1
DEFAULT_ADDRESS = "tcp://127.0.0.1:5577"
#: Bytes of a question, and of the first part of an answer.
MAX_QUESTION, MAX_ANSWER = 1 << 10, 1 << 24
RUN = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
JOURNAL = re.compile(r"(?:raw|gap|refit-[0-9a-f]{8}\.gap)\.journal")

#: Uid of a raw run, and the name of a journal in its folder.
Key = tuple[str, str]


class RemoteError(Exception):
    """The other machine cannot be asked, or says what is not to be believed; the message tells which and what to do."""


def is_key(run: str, journal: str) -> bool:
    """Tell whether two names from the wire are those of a run and of one of its journals."""
    return RUN.fullmatch(run) is not None and JOURNAL.fullmatch(journal) is not None


def as_message(*parts: object) -> bytes:
    """Return plain data as one message."""
    message: bytes = msgpack.packb(parts, use_bin_type=True)
    return message


def of_message(message: bytes, limit: int) -> list[Any]:
    """Return the parts of a message of at most `limit` bytes; an empty list where it is none."""
    if len(message) > limit:
        return []
    try:
        parts = msgpack.unpackb(message, raw=False, max_map_len=0, max_ext_len=0)
    except (ValueError, msgpack.exceptions.UnpackException):
        return []
    return parts if isinstance(parts, list) else []


def checked_address(address: str, *, to_listen: bool, has_keys: bool) -> str:
    """Return an address where journals may be had; loopback, or another machine's where there are keys.

    Parameters
    ----------
    address : str
        ``tcp://HOST:PORT``.
    to_listen : bool
        It is this machine's: an IP address, and port 0 is any free one.
    has_keys : bool
        Both sides know each other.

    Raises
    ------
    RemoteError
        It is none, or is open to a network unguarded.

    Examples
    --------
    >>> checked_address("tcp://localhost:5577", to_listen=False, has_keys=False)
    'tcp://localhost:5577'
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    known = re.fullmatch(r"[0-9A-Za-z_:.-]+", host) is not None and parts.username is None
    if not known or port is None or (port == 0 and not to_listen) or address != f"tcp://{parts.netloc}":
        raise RemoteError(f"address {address!r} is not tcp://HOST:PORT; write {DEFAULT_ADDRESS}")
    try:
        ip = ipaddress.ip_address(host)
        loopback = ip.is_loopback
    except ValueError:
        ip, loopback = None, host == "localhost"
    if to_listen and (ip is None or ip.is_unspecified):
        raise RemoteError(f"address {address}: say where to listen by one IP address of this machine, as 127.0.0.1")
    if not loopback and not has_keys:
        raise RemoteError(
            f"address {address} leads over a network; that needs keys on both sides, or 127.0.0.1 and a tunnel: "
            "docs/how-to/second-host.md"
        )
    return address


@dataclass(frozen=True)
class Keys:
    """CURVE keys of one side, as ``zmq.auth.create_certificates`` makes them.

    Attributes
    ----------
    own : Path
        File with the secret key of this side, ``NAME.key_secret``.
    others : Path
        Of a subscriber the publisher's public key, ``NAME.key``; of the publisher the folder with the public keys
        of those who may ask.
    """

    own: Path
    others: Path

    @classmethod
    def given(cls, own: Path | None, others: Path | None, names: str) -> Keys | None:
        """Return the keys two options name; None where neither is given.

        Raises
        ------
        RemoteError
            One is given without the other.
        """
        if own is None and others is None:
            return None
        if own is None or others is None:
            raise RemoteError(f"{names} belong together: the own secret key, and whom to know by which public one")
        return cls(own, others)

    def _load(self, path: Path, *, secret: bool) -> tuple[bytes, bytes]:
        import zmq.auth

        try:
            public, private = zmq.auth.load_certificate(path)
        except (OSError, ValueError) as error:
            raise RemoteError(f"{path} holds no key: {error}") from None
        if secret and private is None:
            raise RemoteError(f"{path} holds no secret key; name the file NAME.key_secret")
        return public, private or b""

    def _take_own(self, socket: zmq.Socket[bytes]) -> None:
        socket.curve_publickey, socket.curve_secretkey = self._load(self.own, secret=True)

    def guard_asking(self, socket: zmq.Socket[bytes]) -> None:
        """Let a socket speak to the publisher alone, before it connects."""
        self._take_own(socket)
        socket.curve_serverkey, _ = self._load(self.others, secret=False)

    @contextlib.contextmanager
    def guard_answering(self, context: zmq.Context[Any], socket: zmq.Socket[bytes]) -> Iterator[ThreadAuthenticator]:
        """Let a socket answer those alone whose public key is known, before it listens."""
        from zmq.auth.thread import ThreadAuthenticator

        known = sorted(self.others.glob("*.key"))
        if not known:
            raise RemoteError(f"{self.others} holds no public key, NAME.key, of anyone who may ask")
        for path in known:
            self._load(path, secret=False)
        self._take_own(socket)
        socket.curve_server = True
        authenticator = ThreadAuthenticator(context)
        authenticator.start()
        try:
            authenticator.configure_curve(domain="*", location=str(self.others))
            yield authenticator
        finally:
            authenticator.stop()


def load_zmq() -> Any:
    """Return the module of ZMQ.

    Raises
    ------
    RemoteError
        It is not installed.
    """
    try:
        import zmq
    except ImportError:
        raise RemoteError(
            "journals of other machines need pyzmq, which is not installed; get it with: pip install "
            "'microarpes[remote]'"
        ) from None
    return zmq
