"""Data by path: what `mlotel.columnar` reads, CSV files, and folders of such files as one table."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from mlotel.columnar import TABLE_SUFFIXES, TableSource, open_path, open_table
from mlotel.errors import ArtifactError

__all__ = ["as_source", "is_reference", "open_data"]

_CSV = {".csv": ",", ".tsv": "\t"}
_SUFFIXES = (*TABLE_SUFFIXES, *_CSV, *(f"{suffix}.gz" for suffix in _CSV))
_REFERENCE = ".json"
_MOST_UNPACKED = 128 << 20
"""Bytes of a gzipped file that are unpacked however small it is itself."""
_MOST_TIMES = 100
"""How many times its own size a gzipped file may be past that: tables are 3 to 30 times, a bomb is 1,000 times."""


def is_reference(data: object) -> bool:
    """Whether `data` is the path of a saved reference, by its suffix."""
    return isinstance(data, str | os.PathLike) and os.fspath(data).lower().endswith(_REFERENCE)


def as_source(table: object) -> TableSource:
    """Return a table, or the data at a path, as a source of batches.

    Raises:
        ArtifactError: it is neither, or cannot be read.
    """
    if isinstance(table, TableSource):
        return table
    return open_data(table) if isinstance(table, str | os.PathLike) else open_table(table)


def open_data(path: str | os.PathLike[str]) -> TableSource:
    """Return a file or a folder as a source of batches.

    Parquet, Feather and Arrow files are read batch by batch. CSV (and tab-separated) files, also gzipped, are read
    whole, with types inferred over all rows and empty cells as missing. A folder is one table of all the files below it
    in the order of their paths, those that begin with a dot or an underscore left out; a column that some lack is
    missing there.

    Raises:
        ArtifactError: there is nothing of these, or it cannot be read.
    """
    place = Path(path)
    if place.is_dir():
        return _from_folder(place)
    if not place.exists():
        raise ArtifactError(f"{place}: no such file: give a file, or a folder of files, of {', '.join(_SUFFIXES)}")
    return _from_file(place)


def _from_file(path: Path) -> TableSource:
    suffix = _suffix(path)
    if suffix is None:
        raise ArtifactError(f"{path}: not a table: give a file, or a folder of files, of {', '.join(_SUFFIXES)}")
    delimiter = _CSV.get(suffix.removesuffix(".gz"))
    if delimiter is None:
        return open_path(path, texts=True)
    return _from_csv(path, delimiter)


def _suffix(path: Path) -> str | None:
    return next((suffix for suffix in _SUFFIXES if path.name.lower().endswith(suffix)), None)


class _Unpacked(gzip.GzipFile):
    """A gzipped file that may be so large and no larger. Raises ArtifactError."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self._left = max(_MOST_UNPACKED, _MOST_TIMES * path.stat().st_size)

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes."""
        data = super().read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ArtifactError(f"{self.name}: too large unpacked: unpack it, or give it as Parquet")
        return data


def _from_csv(path: Path, delimiter: str) -> TableSource:
    try:
        with _Unpacked(path) if path.name.lower().endswith(".gz") else nullcontext(path) as file:
            table = csv.read_csv(
                file,
                read_options=csv.ReadOptions(use_threads=False),
                parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False),
            )
    except (pa.ArrowException, OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        # Arrow quotes the row that it could not parse: data has no place in a message
        reason = f"{error}".partition(":")[0][:100]
        raise ArtifactError(f"{path}: cannot be read as CSV ({type(error).__name__}: {reason})") from error
    return open_table(table)


def _from_folder(folder: Path) -> TableSource:
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if _suffix(file) is not None
        and file.is_file()
        and not any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
    ]
    if not files:
        raise ArtifactError(f"{folder}: no tables in this folder: it needs files of {', '.join(_SUFFIXES)}")
    sources = [_from_file(file) for file in files]
    if len(sources) == 1:
        return sources[0]
    try:
        schema = pa.unify_schemas([each.schema.remove_metadata() for each in sources], promote_options="permissive")
    except (pa.ArrowException, ValueError) as error:
        raise ArtifactError(
            f"{folder}: its files are not one table ({error}): give files with the same columns"
        ) from error
    rows = [each.num_rows for each in sources]
    known = None if None in rows else sum(each or 0 for each in rows)
    return TableSource(schema, _batches(sources, schema), num_rows=known)


def _batches(sources: Sequence[TableSource], schema: pa.Schema) -> Callable[[], Iterator[pa.RecordBatch]]:
    def batches() -> Iterator[pa.RecordBatch]:
        for source in sources:
            for batch in source.batches():
                yield pa.RecordBatch.from_arrays([_column(batch, field) for field in schema], schema=schema)

    return batches


def _column(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    place = batch.schema.get_field_index(field.name)
    if place < 0:
        return pa.nulls(batch.num_rows, field.type)
    column = batch.column(place)
    return column if column.type == field.type else column.cast(field.type, safe=False)
