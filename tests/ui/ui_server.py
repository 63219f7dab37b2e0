"""A server of the web view for tests, and a client that sends exactly what it is told to."""

from __future__ import annotations

import http.client
import json
import queue
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mlotel.store import Store
from mlotel.ui import Reading, Running, serve


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """Speaks to a server as it is told to: nothing is added to a request but what HTTP/1.1 needs."""

    running: Running

    @property
    def session(self):
        return self.running.session

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.session.port}"

    def ask(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.session.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            sent = {"Host": self.host, **(headers or {})}
            if body is not None:
                sent["Content-Length"] = str(len(body))
            for name, value in sent.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            # Several headers of one name would hide each other
            assert len({name.lower() for name, _ in answer.getheaders()}) == len(answer.getheaders())
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        """Send bytes and return all that comes back."""
        with socket.create_connection(("127.0.0.1", self.session.port), timeout=30) as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65_536), b""))

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.session.token}"}

    @property
    def cookie(self) -> dict[str, str]:
        return {"Cookie": f"{self.session.cookie_name}={self.session.cookie}"}

    def get(self, path: str) -> Answer:
        return self.ask(path, headers=self.bearer)

    def post(self, path: str, members: object) -> Answer:
        headers = {**self.bearer, "Content-Type": "application/json"}
        return self.ask(path, "POST", headers, json.dumps(members).encode())


@contextmanager
def serving(store: Store, **reading: Any) -> Iterator[Client]:
    """A server in a thread of its own, as `mlotel ui` runs it, until the block ends."""
    started: queue.Queue[Running] = queue.Queue()
    thread = threading.Thread(
        target=serve, args=(Reading(store, **{"name": "made up", **reading}),), kwargs={"started": started.put}
    )
    thread.start()
    running = started.get(timeout=30)
    try:
        yield Client(running)
    finally:
        running.stop()
        thread.join()
