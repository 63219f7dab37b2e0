"""The server of the web view: on loopback alone, for as long as it is not interrupted."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from threading import Thread

import uvicorn

from mlotel.errors import ConfigurationError
from mlotel.ui.app import create_app
from mlotel.ui.reading import Reading
from mlotel.ui.session import LOOPBACK, Session

__all__ = ["Running", "open_browser", "serve"]


@dataclass(frozen=True, slots=True)
class Running:
    """A server that takes connections: what they have to prove, and how it is ended from another thread."""

    session: Session
    stop: Callable[[], None]


def serve(reading: Reading, *, port: int = 0, started: Callable[[Running], None] = lambda _: None) -> None:
    """Serve the web view until it is stopped, or the process interrupted (SIGINT).

    Args:
        reading: what is shown.
        port: of loopback; 0 takes a free one.
        started: is called once connections are taken.

    Raises:
        ConfigurationError: the port is taken, or may not be used.
    """
    with _listen(port) as listening:
        session = Session(listening.getsockname()[1])
        config = uvicorn.Config(
            create_app(reading, session),
            http="h11",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,  # it would hold the token, and what was asked for
            proxy_headers=False,  # nobody but this machine is there to be believed
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        server = _Server(config, lambda: started(Running(session, stop)))

        def stop() -> None:
            server.should_exit = True

        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again once everything is closed
            server.run(sockets=[listening])


class _Server(uvicorn.Server):
    """uvicorn's, which tells when it takes connections."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        await super().startup(sockets)
        self._ready()


@contextmanager
def _listen(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        # A port whose last connections are still being forgotten can be used again; one that is served cannot.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((LOOPBACK, port))
            listening.listen(128)
        except OSError as error:
            raise ConfigurationError(
                f"port {port} cannot be used ({error.strerror}): name another with --port"
            ) from error
        yield listening


@contextmanager
def open_browser(url: str) -> Iterator[bool]:
    """Open `url` in the user's browser, if there is one with windows; it is in no process's arguments meanwhile.

    Everybody on a machine can read the arguments of every process, and this URL is a secret. So the browser is given
    the path of a file that leads there, which no other user can read and which is removed in the end.
    """
    if not _has_windows():
        yield False
        return
    with tempfile.TemporaryDirectory(prefix="mlotel-ui-") as folder:
        page = Path(folder) / "open.html"
        page.write_text(
            f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={escape(url)}">'
            "<title>mlotel</title><p>Opening mlotel …",
            encoding="utf-8",
        )
        # Some wait until their browser is closed.
        Thread(target=webbrowser.open, args=(page.as_uri(),), daemon=True).start()
        yield True


def _has_windows() -> bool:
    """Whether a browser would open beside the terminal, and not in it."""
    if os.environ.get("BROWSER") or sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
