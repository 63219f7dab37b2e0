"""Who may ask: the token of one start of the server, the cookie that takes its place, and which hosts it answers as."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest

__all__ = ["LOOPBACK", "Session"]

LOOPBACK = "127.0.0.1"
_NAMES = (LOOPBACK, "localhost")
_BEARER = "bearer "


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Session:
    """What one start of the server answers to.

    `token` stands in the address that the start prints. A browser that comes with it gets `cookie`, another secret:
    what a browser keeps and sends is then not what stands in the terminal.
    """

    port: int
    token: str = field(default_factory=_secret, repr=False)
    cookie: str = field(default_factory=_secret, repr=False)

    @property
    def cookie_name(self) -> str:
        """The cookie's name, with the port: browsers send cookies to every port of a host."""
        return f"mlotel_{self.port}"

    @property
    def origin(self) -> str:
        """The address without a path."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """The address that lets a browser in."""
        return f"{self.origin}/?token={self.token}"

    def set_cookie(self) -> str:
        """Return the header that gives a browser its cookie."""
        return f"{self.cookie_name}={self.cookie}; Path=/; HttpOnly; SameSite=Strict"

    def opens(self, token: str) -> bool:
        """Whether `token` is the token, in a time that does not tell how much of it is."""
        return _same(token, self.token)

    def knows_cookie(self, headers: Mapping[str, str]) -> bool:
        """Whether the request's headers (names in lower case) carry the cookie."""
        # Split by hand: one odd cookie of another server on this host, and http.cookies would read none of them.
        pairs = (each.strip().partition("=") for each in headers.get("cookie", "").split(";"))
        return any(name == self.cookie_name and _same(value, self.cookie) for name, _, value in pairs)

    def knows_bearer(self, headers: Mapping[str, str]) -> bool:
        """Whether they carry the token, as programs send it: ``Authorization: Bearer TOKEN``."""
        given = headers.get("authorization", "")
        return given[: len(_BEARER)].lower() == _BEARER and self.opens(given[len(_BEARER) :].strip())

    def is_own_host(self, host: str) -> bool:
        """Whether a Host header names this machine's loopback and this port, and not a name that leads here."""
        return host.lower() in {f"{name}:{self.port}" for name in _NAMES}

    def is_own_origin(self, origin: str) -> bool:
        """Whether an Origin header names a page of this server."""
        scheme, _, host = origin.partition("://")
        return scheme == "http" and self.is_own_host(host)


def _same(given: str, secret: str) -> bool:
    return compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode())
