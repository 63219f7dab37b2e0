"""Disks that fail for real: a small file system, a user without rights, and a program that records on them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import dedent

import pytest
from programs import run_program, start_program

NOBODY = 65_534

PROGRAM = """
    import logging, os, sys, time

    logging.basicConfig(format="%(message)s")
    import mlotel

    component = mlotel.component("work")
    done = []

    def run(number):
        # what the user's code computes, whatever becomes of the record
        with component as current:
            current.log_params({"number": number})
            current.log_input(b"input %d" % number, "in")
            done.append(number * number)

    def runs(first, last):
        for number in range(first, last):
            run(number)
"""


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own with so much room, at `folder`; without the right to mount one the test is skipped."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def talking(source: str, store: Path) -> Iterator[tuple[Callable[[], str], Callable[[], None], list[str]]]:
    """The same, of a program that says something and waits for an answer.

    Gives what hears it, what answers it, and a list that holds what it wrote to standard error when it has ended.
    """
    talk = """
        def say(text):
            print(text, flush=True)
            sys.stdin.readline()
    """
    source = dedent(PROGRAM) + dedent(talk) + dedent(source)
    with start_program(source, store=store, interactive=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        heard, told = process.stdout, process.stdin

        def answer() -> None:
            told.write("\n")
            told.flush()

        complaints: list[str] = []
        yield lambda: heard.readline().rstrip("\n"), answer, complaints
        complaints.append(process.stderr.read())
    assert process.returncode == 0, complaints


def recording(source: str, store: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run PROGRAM and then `source` in a process whose store is `store`."""
    return run_program(dedent(PROGRAM) + dedent(source), store=store, **variables)


def fill(path: Path) -> None:
    """Write to `path` until its disk is full."""
    with open(path, "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def needs_root() -> None:
    """Skip a test that changes the user it runs as, where it may not."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
