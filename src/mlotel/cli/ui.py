"""`mlotel ui`: runs, histories and lineage in a browser."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from urllib.parse import urlsplit

import click

from mlotel.cli.options import StoreSource, open_store, store_options
from mlotel.cli.text import clean
from mlotel.errors import MissingExtraError, RunNotFoundError

__all__ = ["command"]

_JAEGER_QUERY, _JAEGER_PAGES = 16685, 16686


@click.command()
@click.option(
    "--port", "-p", type=click.IntRange(min=0, max=65535), default=0, help="Port of loopback; 0 takes a free one."
)
@click.option("--no-open", is_flag=True, help="Print the address and open no browser.")
@click.option(
    "--jaeger-ui",
    metavar="URL",
    help="Where Jaeger shows its pages, for links to traces. Default: with --jaeger, port 16686 of its host.",
)
@store_options
def command(port: int, no_open: bool, jaeger_ui: str | None, source: StoreSource) -> None:
    """Serve the web view on this machine alone, until Ctrl-C: runs, histories, lineage, flags and notes.

    Whoever opens it has to have the token that stands in the printed address.

    Example: mlotel ui --port 8080 --no-open
    """
    try:
        from mlotel.ui import Reading, Running, open_browser, serve
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise MissingExtraError(error.name.partition(".")[0], "ui") from error

    pages = _address(jaeger_ui) if jaeger_ui is not None else _pages_of(source.jaeger)
    with open_store(source) as opened, ExitStack() as while_served:
        if not opened.exists:
            raise RunNotFoundError(opened.advice)

        def started(running: Running) -> None:
            url = running.session.url
            sys.stdout.write(f"mlotel ui reads {clean(opened.path)}\n\n    {url}\n\nCtrl-C ends it.\n")
            sys.stdout.flush()
            if not no_open:
                while_served.enter_context(open_browser(url))

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does, with everything put away
        serve(Reading(opened.store, clean(opened.path), opened.unread, pages), port=port, started=started)


def _address(url: str) -> str:
    """Return where Jaeger's pages begin, without a slash at the end.

    Raises:
        click.BadParameter: it is no address of pages.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
    except ValueError:
        valid = False
    if not valid:
        raise click.BadParameter(f"--jaeger-ui {url!r} is no address: write it as http://localhost:{_JAEGER_PAGES}")
    return url.rstrip("/")


def _pages_of(jaeger: str | None) -> str | None:
    """Return where a Jaeger shows its pages that answers queries at its usual port; None where that is not known."""
    if jaeger is None:
        return None
    parts = urlsplit(jaeger)
    if parts.port != _JAEGER_QUERY or parts.hostname is None:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{_JAEGER_PAGES}"
