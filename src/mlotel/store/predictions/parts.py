"""The Parquet files of the data set: where they lie, and how one is written so that it is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3

from mlotel.store.predictions.rows import SCHEMA

__all__ = [
    "GROUP_ROWS",
    "Part",
    "model_name",
    "part_name",
    "parts",
    "remove_leftovers",
    "sorted_rows",
    "sync",
    "write_part",
    "writing",
]

GROUP_ROWS = 16_384
"""Rows of a row group: what a look-up reads of a file, once it has found which."""

_MODEL, _DAY, _SUFFIX = "model=", "day=", ".parquet"
_NAME = re.compile(r"part-[0-9a-f]{16}-(\d{1,12})\.parquet")
_UNFINISHED = "."  # readers of data sets leave out such names
_LEFTOVER_S = 3600.0
_NO_MODEL = "__HIVE_DEFAULT_PARTITION__"  # what Hive, Spark, Arrow and DuckDB read as null
_MODEL_KEY = b"mlotel.model.name"
_LONGEST_NAME = 180  # of the 255 bytes that file systems give a folder's name
_REPEATED = ["variant", "model_version", "model_digest", "trace_id", "span_id", "value_text", "time"]
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the data set. `model` is what its folder says, a long name being cut there."""

    path: Path
    model: str | None
    day: str

    @property
    def rows(self) -> int | None:
        """How many rows it has, as its name says; None where it is none of ours."""
        match = _NAME.fullmatch(self.path.name)
        return None if match is None else int(match[1])


def parts(root: Path, since_day: str = "", until_day: str = "9999-99-99") -> Iterator[Part]:
    """The files of the data set at `root`, of days from one to another, both inclusive."""
    for model_folder in _folders(root, _MODEL):
        name = unquote(model_folder.name.removeprefix(_MODEL))
        model = None if name == _NO_MODEL else name
        for day_folder in _folders(model_folder, _DAY):
            day = day_folder.name.removeprefix(_DAY)
            if since_day <= day <= until_day:
                with contextlib.suppress(OSError), os.scandir(day_folder) as entries:
                    for entry in entries:
                        if entry.name.endswith(_SUFFIX) and not entry.name.startswith((".", "_")):
                            yield Part(Path(entry.path), model, day)


def part_name(rows: int, of: str | None = None) -> str:
    """Return a name for a new file: always the same for what is made `of` the same, else one that no other has."""
    token = os.urandom(8).hex() if of is None else blake3(of.encode()).hexdigest(length=8)
    return f"part-{token}-{rows}{_SUFFIX}"


def sorted_rows(table: pa.Table) -> pa.Table:
    """Return the rows in the order in which they stand in a file."""
    return table.sort_by([("key_hash", "ascending"), ("time", "ascending")])


def write_part(root: Path, model: str | None, day: str, table: pa.Table, name: str | None = None) -> Path:
    """Write rows into a new file of the data set and return its path. Raises OSError."""
    with writing(root, model, day, name or part_name(len(table))) as (writer, path):
        writer.write_table(sorted_rows(table), row_group_size=GROUP_ROWS)
    return path


@contextmanager
def writing(root: Path, model: str | None, day: str, name: str) -> Iterator[tuple[pq.ParquetWriter, Path]]:
    """Give what writes a file of the data set, which is there under its name when the block has ended without error.

    Raises OSError.
    """
    folder = root / (_MODEL + _folder_name(model)) / (_DAY + day)
    for each in (root, folder.parent, folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, temporary = folder / name, folder / f"{_UNFINISHED}{name}.{os.urandom(4).hex()}"
    schema = SCHEMA if model is None else SCHEMA.with_metadata({_MODEL_KEY: model.encode()})
    file = os.fdopen(os.open(temporary, _CREATE, 0o600), "wb")
    try:
        with (
            file,
            pq.ParquetWriter(
                file,
                schema,
                compression="zstd",
                use_dictionary=_REPEATED,
                write_page_index=True,
                sorting_columns=[pq.SortingColumn(0)],
            ) as writer,
        ):
            yield writer, path
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def sync(path: Path) -> None:
    """Return when a file, and its name, are on the disk: what it was made of may then be removed. Raises OSError."""
    for each in (path, path.parent):
        fd = os.open(each, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def remove_leftovers(root: Path) -> None:
    """Remove what processes that died had begun to write."""
    oldest = time.time() - _LEFTOVER_S
    for model_folder in _folders(root, _MODEL):
        for day_folder in _folders(model_folder, _DAY):
            for path in day_folder.glob(f"{_UNFINISHED}*"):
                with contextlib.suppress(OSError):
                    if path.stat().st_mtime < oldest:
                        path.unlink()


def model_name(schema: pa.Schema, part: Part) -> str | None:
    """Return the name of the model that a file's rows are of."""
    said = (schema.metadata or {}).get(_MODEL_KEY)
    return part.model if said is None else str(said.decode("utf-8", "replace"))


def _folder_name(model: str | None) -> str:
    if model is None:
        return _NO_MODEL
    quoted = quote(model, safe=" ")
    if len(quoted) > _LONGEST_NAME or quoted == _NO_MODEL:
        quoted = f"{quoted[:_LONGEST_NAME]}~{blake3(model.encode()).hexdigest(length=8)}"
    return quoted


def _folders(root: Path, prefix: str) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            return [Path(each.path) for each in entries if each.name.startswith(prefix) and each.is_dir()]
    except OSError:
        return []
