"""What stands before every page and every answer: nobody without the token, no other host, no other site.

Loopback is reached by every user of the machine, by every page that a browser shows, and by every name that resolves
to it (DNS rebinding). So a request proves three things before anything is looked at: that it knows the token, that it
means this host, and, where a browser tells, that a page of this server made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlotel.ui.problems import problem
from mlotel.ui.session import Session

__all__ = ["Guard"]

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}
_READS = ("GET", "HEAD")
_FROM_HERE = ("same-origin", "none")  # "none": the user typed the address or opened it from elsewhere than a page


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, session: Session) -> None:
        self._app = app
        self._session = session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what must not go further, and hand on the rest."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        sealed = _with_headers(send)
        token, query = _token(scope["query_string"])
        # An address with the token is a way in, not a way to call the API: it is exchanged for a cookie, once.
        enters = token is not None and scope["method"] == "GET" and self._session.opens(token)
        by_program = self._session.knows_bearer(headers)
        if not (enters or by_program or self._session.knows_cookie(headers)):
            answer = problem(401, "open the address that `mlotel ui` printed, with its token")
        elif not self._session.is_own_host(headers.get("host", "")):
            answer = problem(403, "this is not the host that is being served")
        elif enters:
            await _let_in(self._session, scope, headers, query, sealed)
            return
        elif not self._comes_from_here(scope["method"], headers, by_program=by_program):
            answer = problem(403, "another site asked for this")
        else:
            await self._app(scope, receive, sealed)
            return
        await answer(scope, receive, sealed)

    def _comes_from_here(self, method: str, headers: Mapping[str, str], *, by_program: bool) -> bool:
        """Whether no other site made the request, as far as the browser tells; of a write it has to."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and not self._session.is_own_origin(origin):
            return False
        if method in _READS:
            # A link on another page may lead here; a script or a picture there may not read what is here.
            return site is None or site in _FROM_HERE or headers.get("sec-fetch-mode") == "navigate"
        if by_program:
            return site is None or site in _FROM_HERE
        return site == "same-origin" or (site is None and origin is not None)


def _token(query_string: bytes) -> tuple[str | None, str]:
    """Split a query into the token, if there is one, and the rest."""
    pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    token = next((value for key, value in pairs if key == "token"), None)
    return token, urlencode([(key, value) for key, value in pairs if key != "token"])


async def _let_in(session: Session, scope: Scope, headers: Mapping[str, str], query: str, send: Send) -> None:
    """Give the browser its cookie and send it to the same address without the token."""
    # Only the shape of a path: "//host" would lead away
    path = "/" + scope["raw_path"].decode("latin-1").lstrip("/\\") if scope.get("raw_path") else "/"
    target = f"{path}?{query}" if query else path
    sent = {"set-cookie": session.set_cookie(), "cache-control": "no-store"}
    if headers.get("sec-fetch-site", "none") == "none":
        await _send(send, 303, {**sent, "location": target}, b"")
        return
    # Through a redirect the request would still count as made by the page that held the link, and browsers keep
    # SameSite=Strict cookies from those (RFC 6265bis, 5.2). From a page of ours it is our own.
    await _send(send, 200, {**sent, "content-type": "text/html; charset=utf-8", "refresh": f"0; url={target}"}, b"")


async def _send(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send) -> Send:
    """A `send` that adds what every answer carries, refusals and errors included."""

    async def sealed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*_without(message["headers"], _HEADERS), *_encoded(_HEADERS)]}
        await send(message)

    return sealed


def _without(headers: Iterable[tuple[bytes, bytes]], names: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name.decode("latin-1").lower() not in names]


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
