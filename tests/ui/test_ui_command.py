"""`mlotel ui` as a process."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pipelines import otlp_lines

import mlotel as package

SOURCES = str(Path(package.__file__).parent.parent)
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/\?token=([\w-]{43})\n")

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def store(book, tmp_path) -> Path:
    book.run("train", state="failed")
    path = tmp_path / "runs.jsonl"
    path.write_text(otlp_lines(book))
    return path


@pytest.fixture
def start(tmp_path) -> Iterator[Start]:
    """Return what starts the command, and ends it with the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
        kept = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "mlotel", "ui", *map(str, arguments)],
            env={**kept, "PYTHONPATH": SOURCES, "TMPDIR": str(tmp_path), **variables},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


def until_address(process: subprocess.Popen[str]) -> tuple[str, int, str]:
    """Read what the command prints up to its address: all of that, the port and the token."""
    printed = ""
    assert process.stdout is not None
    for line in process.stdout:
        printed += line
        if match := ADDRESS.search(printed):
            return printed, int(match[1]), match[2]
    raise AssertionError(printed + (process.stderr.read() if process.stderr else ""))


def status(port: int, token: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/api/runs?state=failed", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_address_serves_and_ends_in_peace(start, store, by):
    """The store, the address with the token, and after an interruption nothing more."""
    process = start("--store", store)
    printed, port, token = until_address(process)

    assert printed.splitlines()[0] == f"mlotel ui reads {store}"
    assert status(port, token) == 200
    process.send_signal(by)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def test_each_start_has_a_token_of_its_own(start, store):
    """And a port of its own, unless one is named."""
    first, second = (until_address(start("--store", store, "--no-open")) for _ in range(2))

    assert first[1] != second[1]
    assert first[2] != second[2]
    assert status(first[1], second[2]) == 401


def test_a_port_can_be_named_and_may_be_taken(start, store):
    """Then one line says what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start("--store", store, "--port", str(taken.getsockname()[1]))
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out) == (2, "")
    assert re.fullmatch(r"mlotel: port \d+ cannot be used \(Address already in use\): name another with --port\n", err)


def test_the_browser_is_not_given_the_token_where_others_see_it(start, store, tmp_path):
    """Its arguments name a file that only this user can read; the file is gone in the end."""
    seen = tmp_path / "seen"
    os.mkfifo(seen)
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf "%s" "$*" > {seen}\n')
    browser.chmod(0o755)
    process = start("--store", store, BROWSER=str(browser))
    _, port, token = until_address(process)

    arguments = seen.read_text()
    assert token not in arguments
    page = Path(arguments.removeprefix("file://"))
    assert f"url=http://127.0.0.1:{port}/?token={token}" in page.read_text()
    assert stat.S_IMODE(page.parent.stat().st_mode) == 0o700
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    assert not page.parent.exists()


def test_no_browser_is_opened_in_the_terminal_or_where_it_is_not_wanted(start, store, tmp_path):
    """Without a display, and with --no-open, nothing is written for one."""
    for arguments, variables in (((), {}), (("--no-open",), {"DISPLAY": ":0"})):
        until_address(start("--store", store, *arguments, **variables))

    assert list(tmp_path.glob("mlotel-ui-*")) == []


@pytest.mark.parametrize("lacking", ["starlette", "uvicorn"])
def test_without_the_extra_it_says_how_to_get_it(start, store, tmp_path, lacking):
    """The exact command, and exit code 2."""
    folder = tmp_path / "lacking"
    folder.mkdir()
    (folder / f"{lacking}.py").write_text(f"raise ModuleNotFoundError(name={lacking!r})")
    process = start("--store", store, PYTHONPATH=f"{folder}{os.pathsep}{SOURCES}")
    out, err = process.communicate(timeout=30)

    assert (process.returncode, out) == (2, "")
    assert err == f"mlotel: {lacking} is not installed: pip install 'mlotel[ui]'\n"


def test_there_has_to_be_a_store(start, tmp_path):
    """As for every question: 2 where a store was named that is not there, 1 where nothing was recorded yet."""
    named = start("--store", tmp_path / "nothing")
    _, err = named.communicate(timeout=30)
    assert (named.returncode, "no store at" in err) == (2, True)

    found = start(MLOTEL_STORE=str(tmp_path / "later"))
    _, err = found.communicate(timeout=30)
    assert (found.returncode, "no runs in" in err) == (1, True)


@pytest.mark.parametrize(
    "url", ["jaeger:16686", "javascript:alert(1)", "http://", "http://x/?a", "http://[", "ftp://x"]
)
def test_jaegers_pages_need_an_address(start, store, url):
    """No other scheme becomes a link."""
    process = start("--store", store, "--jaeger-ui", url)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "is no address" in " ".join(err.split())


@pytest.mark.parametrize(
    ("jaeger", "pages"),
    [
        (None, None),
        ("http://localhost:16685", "http://localhost:16686"),
        ("https://[::1]:16685", "https://[::1]:16686"),
        ("http://localhost:1234", None),
        ("http://localhost", None),
    ],
)
def test_jaegers_pages_are_beside_its_queries(jaeger, pages):
    """Where it uses its usual ports; elsewhere nobody can know."""
    from mlotel.cli.ui import _pages_of

    assert _pages_of(jaeger) == pages
