"""What importing mlotel costs."""

import subprocess
import sys

import pytest

HEAVY = ("numpy", "opentelemetry.sdk", "opentelemetry.exporter", "pandas", "prometheus_client", "pyarrow")
HEAVY += ("rich", "sklearn", "sqlite3", "click")


@pytest.mark.parametrize("module", ["mlotel", "mlotel.errors", "mlotel.model", "mlotel.semconv"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    """A fresh interpreter that imports mlotel has loaded neither the SDK nor any data library."""
    program = f"import sys, {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [(["--help"], []), (["rnus"], []), (["--version"], []), (["version"], ["version"]), (["tags", "--help"], ["tags"])],
)
def test_the_command_line_loads_the_command_that_was_asked_for(arguments: list[str], loaded: list[str]) -> None:
    """And neither another one nor Arrow and pandas, which take longer to load than most answers take."""
    program = f"""
import atexit, sys
from mlotel.cli.app import COMMANDS, main
modules = {{each.module for each in COMMANDS.values()}}
told = lambda: [name for name in sorted(modules) if f"mlotel.cli.{{name}}" in sys.modules]
heavy = lambda: [name for name in ("numpy", "pandas", "pyarrow") if name in sys.modules]
before = told()  # the version is told without a command as well
atexit.register(lambda: print(*set(told()) - set(before) - set({loaded!r}), *heavy(), file=sys.stderr))
main({arguments!r})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == ""
