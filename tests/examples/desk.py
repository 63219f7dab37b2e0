from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlotel

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SOURCES = Path(mlotel.__file__).resolve().parents[1]


@dataclass(frozen=True)
class Desk:
    """A folder with a terminal in it: what is typed there finds this Python, this mlotel and no other telemetry."""

    folder: Path
    environment: dict[str, str]

    def type(self, *command: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; `more` are environment variables."""
        line = [str(each) for each in command]
        return subprocess.run(
            line, cwd=self.folder, env=self.environment | more, capture_output=True, text=True, timeout=600
        )

    def python(self, script: str, *arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the examples."""
        return self.type(sys.executable, EXAMPLES / script, *arguments, **more)

    def json(self, *arguments: str | Path, **more: str) -> Any:
        """Return what `mlotel` answers with ``--format json``."""
        done = self.type("mlotel", *arguments, "--format", "json", **more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
