"""The types that users' type checkers see."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

USAGE = Path(__file__).with_name("typed_usage.py")
ROOT = Path(__file__).parents[2]


@pytest.mark.tools
def test_mypy_sees_the_types_that_users_expect() -> None:
    """Decorated functions keep theirs, mistakes are found where they are made, and nowhere else."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file", "pyproject.toml", str(USAGE)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"typed_usage\.py:(\d+): error: .*\[([a-z-]+)\]$", done.stdout, re.MULTILINE)
    lines = USAGE.read_text(encoding="utf-8").splitlines()
    expected = [
        (str(number), line.partition("# error: ")[2]) for number, line in enumerate(lines, 1) if "# error: " in line
    ]
    assert found == expected, done.stdout + done.stderr
