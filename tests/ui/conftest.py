from __future__ import annotations

import http.client
import json
import queue
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# The runs made up for the tests of lineage serve here as well
sys.path.insert(0, str(Path(__file__).parent.parent / "lineage"))

from pipelines import Book, otlp_lines

from mlotel.store import Store
from mlotel.store.memory import MemoryStore
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


Serve = Callable[..., Client]


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


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def served() -> Iterator[Serve]:
    """Return what serves a store, or a book, until the test is over."""
    with ExitStack() as servers:

        def begin(what: Store | Book, **reading: Any) -> Client:
            store = MemoryStore(otlp_lines(what).encode().splitlines()) if isinstance(what, Book) else what
            return servers.enter_context(serving(store, **reading))

        yield begin


@pytest.fixture(scope="module")
def empty() -> Iterator[Client]:
    """A server over a store without runs, for tests that change nothing."""
    with serving(MemoryStore()) as client:
        yield client
