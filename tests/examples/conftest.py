from __future__ import annotations

import os
import sys

import pytest
from desk import SOURCES, Desk


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    programs = tmp_path_factory.mktemp("bin")
    program = programs / "mlotel"
    program.write_text(f"#!{sys.executable}\nfrom mlotel.cli import main\n\nmain()\n")
    program.chmod(0o755)
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "MLOTEL_", "TRACE")) and name not in ("COLUMNS", "FORCE_COLOR")
    }
    return Desk(
        folder,
        inherited
        | {
            "PATH": f"{programs}{os.pathsep}{inherited['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(SOURCES), inherited.get("PYTHONPATH")))),
        },
    )
