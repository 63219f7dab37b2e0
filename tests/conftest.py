from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]

pytest_plugins = ["chromium"]
# run from a checkout that is not installed, the plugin has no entry point
if not any(point.value == "mlotel.testing" for point in entry_points(group="pytest11")):
    pytest_plugins.append("mlotel.testing")


@pytest.hookimpl(optionalhook=True)  # pytest-xdist may not be there
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let a process of pytest-xdist take whole files, and one all tests on the stack or Spark, to start these once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return next((folder for folder in ("tests/stack/", "tests/spark/") if file.startswith(folder)), file)

    return ByFile(config, log)


# how long an example takes, says how loaded the machine is
settings.register_profile("mlotel", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mlotel")


@pytest.fixture(autouse=True)
def runtime_of_the_process() -> Iterator[None]:
    """Let go of the store that a test recorded to and of what it configured: both hold for the process."""
    yield
    runtime = sys.modules.get("mlotel.sdk._runtime")
    if runtime is None:
        return
    if runtime._state is not None:
        runtime.shutdown()
    if runtime._settings != runtime.Settings():
        runtime._settings = runtime.Settings()


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program in a process of its own, its store in `tmp_path / "store"`; None removes a variable."""

    def run(source: str, *arguments: str, check: bool = True, **variables: Any) -> subprocess.CompletedProcess[str]:
        ours = ("OTEL_", "MLOTEL_", "TRACEPARENT")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        environment.update(
            {
                "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
                "MLOTEL_STORE": str(tmp_path / "store"),
            }
        )
        for key, value in variables.items():
            if value is None:
                environment.pop(key, None)
            else:
                environment[key] = str(value)
        program = tmp_path / "program.py"
        program.write_text(dedent(source), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-W", "error", str(program), *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    return run
