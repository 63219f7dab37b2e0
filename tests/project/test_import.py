"""What importing mlotel costs."""

import subprocess
import sys

import pytest

HEAVY = ("numpy", "opentelemetry.sdk", "opentelemetry.exporter", "orjson", "pandas", "prometheus_client", "pyarrow")
HEAVY += ("rich", "sklearn", "sqlite3", "typer")


@pytest.mark.parametrize("module", ["mlotel", "mlotel.errors", "mlotel.model", "mlotel.semconv"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    """A fresh interpreter that imports mlotel has loaded neither the SDK nor any data library."""
    program = f"import sys, {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
