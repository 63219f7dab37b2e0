"""A small HTTP client for questions to a backend: bounded in time and size, and it goes nowhere else.

The standard library's `http.client` follows no redirects, so that neither headers nor questions reach another place.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from mlotel.errors import ConfigurationError, StoreError
from mlotel.store.headers import QUERY_HEADERS

__all__ = ["HttpAnswer", "HttpClient"]

_CHUNK = 2**16
_KEPT = 8


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A status and a body; `too_large` where the body was longer than what is taken, and is left out."""

    status: int
    body: bytes
    too_large: bool = False

    @property
    def text(self) -> str:
        """The beginning of the body on one line, without control characters."""
        said = self.body[:1000].decode("utf-8", "replace")
        return " ".join("".join(each if each.isprintable() else " " for each in said).split())[:200]


class HttpClient:
    """Asks one server, by several threads at once if they like; connections are kept for the next request.

    Args:
        backend: what the server is, for people.
        url: ``http://host[:port][/path]`` (or without ``http://``), or ``https://…`` for TLS.
        default_port: for ``http`` where none is said.
        headers: sent with each request; their values are told to nobody else.
        timeout_s: seconds after which a request is given up.
        largest: bytes of an answer that are taken.
        clock: seconds of a clock that goes on evenly.

    Raises:
        ConfigurationError: `url` is no such address.
    """

    def __init__(
        self,
        backend: str,
        url: str,
        *,
        default_port: int,
        headers: Mapping[str, str],
        timeout_s: float,
        largest: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend, self._default_port = backend, default_port
        self._secure, self._host, self._port, self._path = _address(backend, url, default_port)
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.name = f"{backend} at {'https' if self._secure else 'http'}://{host}:{self._port}{self._path}"
        self._headers = {"Accept": "application/json", "User-Agent": "mlotel", **headers}
        self._timeout_s, self._largest, self._clock = timeout_s, largest, clock
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []

    def close(self) -> None:
        """End the connections; the next request makes others."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def get(self, target: str) -> HttpAnswer:
        """Return the answer to a GET, whatever its status.

        Args:
            target: path and query, below the path of the address.

        Raises:
            StoreError: the server cannot be reached, takes too long, or speaks no HTTP.
        """
        deadline = self._clock() + self._timeout_s
        connection = self._take()
        # A server may have ended a connection that was idle: then, and only then, it is asked again.
        again = connection.sock is not None
        while True:
            try:
                answer, reusable = self._ask(connection, target, deadline)
            except (OSError, http.client.HTTPException, ValueError) as error:
                connection.close()
                if again and isinstance(error, ConnectionError | http.client.BadStatusLine):
                    again = False
                    continue
                raise StoreError(self._describe(error)) from error
            self._give_back(connection, reusable)
            return answer

    def _ask(self, connection: http.client.HTTPConnection, target: str, deadline: float) -> tuple[HttpAnswer, bool]:
        self._bound(connection, deadline)
        connection.request("GET", self._path + target, headers=self._headers)
        response = connection.getresponse()
        body = bytearray()
        while chunk := response.read1(_CHUNK):
            body += chunk
            if len(body) > self._largest:
                return HttpAnswer(response.status, b"", too_large=True), False
            self._bound(connection, deadline)
        if response.length:  # what was said to come
            raise http.client.IncompleteRead(b"", response.length)
        response.close()
        return HttpAnswer(response.status, bytes(body)), not response.will_close

    def _bound(self, connection: http.client.HTTPConnection, deadline: float) -> None:
        left = deadline - self._clock()
        if left <= 0:
            raise TimeoutError
        connection.timeout = left
        if connection.sock is not None:
            connection.sock.settimeout(left)

    def _take(self) -> http.client.HTTPConnection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        made = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return made(self._host, self._port, timeout=self._timeout_s)

    def _give_back(self, connection: http.client.HTTPConnection, reusable: bool) -> None:
        with self._lock:
            if reusable and len(self._idle) < _KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def _describe(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"{self.name} did not answer within {self._timeout_s:g} s: ask again, or for a shorter time"
        if isinstance(error, ssl.SSLCertVerificationError):
            said = error.verify_message
            return f"{self.name} has a certificate that is not trusted ({said}): name its authority in SSL_CERT_FILE"
        if isinstance(error, OSError):
            return (
                f"{self.name} cannot be reached: give the address of its HTTP API "
                f"(port {self._default_port} unless configured otherwise), and see that it runs ({error})"
            )
        if isinstance(error, http.client.IncompleteRead):
            return f"{self.name} ended in the middle of an answer: ask again"
        return f"{self.name} speaks no HTTP ({type(error).__name__}): give the address of its HTTP API"


def _address(backend: str, url: str, default_port: int) -> tuple[bool, str, int, str]:
    """Return whether to use TLS, the host, the port, and the path without a slash at its end."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        secure, host = parts.scheme == "https", parts.hostname
        port = parts.port or (443 if secure else default_port)
    except ValueError:
        host = None
    if "@" in url:
        raise ConfigurationError(
            f"the address of {backend} has a user or a password in it: give credentials in {QUERY_HEADERS}"
        )
    if not host or parts.scheme not in ("http", "https") or parts.query or parts.fragment or not url.isprintable():
        raise ConfigurationError(
            f"{url!r} is no address of {backend}'s HTTP API: say http://HOST:{default_port} (TLS: https://)"
        )
    return secure, host, port, parts.path.rstrip("/")
