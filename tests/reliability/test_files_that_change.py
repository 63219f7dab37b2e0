"""Files that another process truncates, replaces and removes while they are read: nothing kills the reader."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

ROUNDS = 400 if os.environ.get("MLOTEL_SOAK") else 12
ROWS = 200_000

READER = """
    import sys
    from pathlib import Path

    import mlotel
    from mlotel.errors import MlotelError

    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    print("ready", flush=True)
    for _ in range(rounds):
        with mlotel.component("reader") as run:
            for path in (folder, *(folder / name for name in ("a.bin", "a.parquet", "a.arrow", "a.csv"))):
                run.log_input(path, profile=path.suffix in (".parquet", ".arrow", ".csv"))
                run.log_output(path)
        for name in ("a.parquet", "a.arrow", "a.csv"):
            for read in (mlotel.profile, mlotel.Reference.fit):
                try:
                    read(folder / name)
                except MlotelError:
                    pass
    print("done", flush=True)
    """


def make(folder: Path) -> dict[str, bytes]:
    """Write one file of each kind; return what is in them."""
    table = pa.table({"number": range(ROWS), "text": [f"{n:020}" for n in range(ROWS)]})
    pq.write_table(table, folder / "a.parquet")
    pa.feather.write_feather(table, folder / "a.arrow", compression="uncompressed")
    pa.csv.write_csv(table, folder / "a.csv")
    (folder / "a.bin").write_bytes(os.urandom(1 << 23))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def truncate(path: Path, content: bytes) -> None:
    os.truncate(path, random.randrange(len(content)))


def replace(path: Path, content: bytes) -> None:
    draft = path.with_name("draft")
    draft.write_bytes(content)
    draft.replace(path)


def remove(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)


def overwrite(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [truncate, remove], ids=lambda harm: harm.__name__)
def test_the_reader_lives(harm: Callable[[Path, bytes], None], tmp_path: Path) -> None:
    """Neither the operating system (SIGBUS) nor an exception ends it: digests are left out, errors are mlotel's."""
    folder = tmp_path / "data"
    folder.mkdir()
    contents = make(folder)
    program = tmp_path / "reader.py"
    program.write_text(textwrap.dedent(READER))
    environment = {**os.environ, "MLOTEL_STORE": str(tmp_path / "store")}
    complaints = tmp_path / "complaints"
    with (
        open(complaints, "wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-X", "faulthandler", program, folder, str(ROUNDS)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as reader,
    ):
        assert reader.stdout is not None
        try:
            assert reader.stdout.readline() == "ready\n"
            while reader.poll() is None:
                name = random.choice(list(contents))
                for change in (overwrite, harm, replace, harm):
                    change(folder / name, contents[name])
            said = reader.stdout.read()
        finally:
            reader.kill()
    assert (reader.returncode, said) == (0, "done\n"), complaints.read_text()[-2000:]
