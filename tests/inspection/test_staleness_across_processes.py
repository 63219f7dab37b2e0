"""What one process knows of the runs of others when it reads what they wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlotel.inspection import staleness
from mlotel.store.files import FileStore

MAKE = """
import sys
import mlotel
import pyarrow as pa

with mlotel.component("make") as run:
    mlotel.io.write_table(pa.table({"a": [int(sys.argv[1])]}), sys.argv[2])
"""
USE = """
import sys
from pathlib import Path
import mlotel

with mlotel.component("use") as run:
    if sys.argv[2] == "embedded":
        mlotel.io.read_table(sys.argv[1])
    else:
        run.log_input(Path(sys.argv[1]).read_bytes(), "data")
"""
WRITE_BYTES = """
import sys
from pathlib import Path
import mlotel

with mlotel.component("make") as run:
    Path(sys.argv[2]).write_bytes(sys.argv[1].encode())
    run.log_output(Path(sys.argv[2]).read_bytes(), "data")
"""


def events(store: Path) -> int:
    lines = (line for segment in (store / "segments").iterdir() for line in segment.read_text().splitlines())
    return sum('"eventName":"mlotel.artifact.stale"' in line for line in lines)


@pytest.mark.parametrize(("way", "program"), [("embedded", MAKE), ("digest", WRITE_BYTES)])
def test_a_run_knows_the_fresher_run_of_another_process(
    script: Callable[..., Any], tmp_path: Path, way: str, program: str
) -> None:
    """Whether the writer is known by a context in the file or by the digest: the reader tells, and the store agrees."""
    script(program, "1", "old.parquet")
    script(program, "2", "new.parquet")
    script(USE, "new.parquet", way)
    told_of_new = events(tmp_path / "store")
    script(USE, "old.parquet", way)

    assert (told_of_new, events(tmp_path / "store")) == (0, 1)
    with FileStore(tmp_path / "store") as store:
        answers = [[(each.reason, each.when) for each in staleness(store, run)] for run in store.runs(component="use")]
    assert answers == [[("fresher_run", "ran")], []]


def test_without_a_store_nothing_is_known_of_others(script: Callable[..., Any], tmp_path: Path) -> None:
    """A process that writes to a collector alone reads a file of an unknown run: it is linked, and not judged."""
    script(MAKE, "1", "old.parquet")
    script(MAKE, "2", "new.parquet")
    before = events(tmp_path / "store")
    script(USE, "old.parquet", "embedded", MLOTEL_STORE=None, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")

    assert (before, events(tmp_path / "store")) == (0, 0)
