"""Programs that record in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from amounts import amount

__all__ = ["DEADLINE_S", "finish", "run_program", "start_program"]

DEADLINE_S = amount(240, 4 * 3600)
"""When a program is taken for hung."""

_SOURCES = Path(__file__).parents[2] / "src"


def start_program(
    source: str, *arguments: object, store: Path | str, interactive: bool = False, **variables: object
) -> subprocess.Popen[str]:
    """Start a program whose warnings are errors, and whose store is `store`; with an `interactive` one one can talk."""
    ours = ("OTEL_", "MLOTEL_", "TRACEPARENT")
    others = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    said = {"PYTHONPATH": _SOURCES, "MLOTEL_STORE": store, **variables}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", dedent(source), *map(str, arguments)],
        env={**others, **{key: str(value) for key, value in said.items()}},
        stdin=subprocess.PIPE if interactive else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
    )


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait for a program that has to end well; return what it said."""
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
    assert process.returncode == 0, err
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run_program(
    source: str, *arguments: object, store: Path | str, **variables: object
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, which has to be a good one."""
    return finish(start_program(source, *arguments, store=store, **variables))
