"""Who may look at the page: loopback by default; Host, Origin and token checked on every route, websocket included."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.routing import Router
from tornado.web import Application, RequestHandler

COOKIE = "microarpes-view"
#: Shorter tokens can be guessed.
LEAST_TOKEN = 16


@dataclass(frozen=True)
class Access:
    """What a request must bring.

    Attributes
    ----------
    hosts : frozenset of str
        ``host:port`` by which the page may be asked for.
    token : str
        What viewers need; empty on loopback, where the machine's users are trusted to look.
    """

    hosts: frozenset[str] = field(default_factory=frozenset)
    token: str = ""

    @classmethod
    def checked(cls, address: str, hosts: Sequence[str], token_file: Path | None) -> Access:
        """Refuse a page that is open to a network without a token and without the names it is reached by.

        Raises
        ------
        ValueError
            The message says what is missing.
        OSError
            The token's file cannot be read.
        """
        try:
            loopback = ipaddress.ip_address(address).is_loopback
        except ValueError:
            raise ValueError(
                f"address {address!r} is no IP address; write 127.0.0.1 or one of this machine's"
            ) from None
        token = read_token(token_file) if token_file is not None else ""
        if not loopback and (not token or not hosts):
            raise ValueError(
                f"address {address} opens the page to a network; that needs a view token (--view-token FILE) and the "
                "names by which it is reached (--host NAME:PORT)"
            )
        return cls(frozenset(hosts), token)

    def serving(self, address: str, port: int) -> Access:
        """Add the names of the address that is served, now that the port is known."""
        own = {f"{address}:{port}"} | ({f"localhost:{port}"} if ipaddress.ip_address(address).is_loopback else set())
        return replace(self, hosts=self.hosts | own)

    def refusal(self, request: HTTPServerRequest) -> str:
        """Return why a request is refused, or nothing."""
        if request.headers.get("Host", "") not in self.hosts:
            return "this page is not served under that name"
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] not in self.hosts:
            return "requests from other pages are not answered"
        return ""

    def knows(self, given: str) -> bool:
        """Tell whether a token is the right one, in constant time."""
        return not self.token or hmac.compare_digest(given.encode(), self.token.encode())


def read_token(file: Path) -> str:
    """Return the token in a file.

    Raises
    ------
    ValueError
        It is too short to be safe.
    OSError
        The file cannot be read.
    """
    token = file.read_text().strip()
    if len(token) < LEAST_TOKEN:
        raise ValueError(f"the token in {file} has {len(token)} letters; at least {LEAST_TOKEN} are needed")
    return token


class Refused(RequestHandler):
    """Answers 403."""

    def initialize(self, reason: str) -> None:
        """Take the reason."""
        self.reason = reason

    def prepare(self) -> None:
        """Refuse every method."""
        self.set_status(403)
        self.set_header("Content-Type", "text/plain")
        self.finish(self.reason + "\n")


class TokenTaken(RequestHandler):
    """Keeps the token that came with the address in a cookie and takes it out of the address."""

    def initialize(self, token: str) -> None:
        """Take the token."""
        self.token = token

    def get(self) -> None:
        """Set the cookie and go to the page."""
        self.set_cookie(COOKIE, self.token, httponly=True, samesite="Strict")
        self.redirect("/")


class GuardedRouter(Router):
    """Lets a request through to the application only when it may."""

    def __init__(self, application: Application, access: Access) -> None:
        self._application, self._access = application, access
        self._gate = Application()

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Return what answers a request."""
        reason = self._access.refusal(request)
        if reason:
            return self._gate.get_handler_delegate(request, Refused, {"reason": reason})
        if self._access.token:
            given = request.arguments.get("token", [b""])[0].decode("utf-8", "replace")
            if given and self._access.knows(given):
                return self._gate.get_handler_delegate(request, TokenTaken, {"token": given})
            cookie = request.cookies.get(COOKIE)
            if cookie is None or not self._access.knows(cookie.value):
                return self._gate.get_handler_delegate(request, Refused, {"reason": "this page needs its view token"})
        return self._application.find_handler(request, **kwargs)
