"""Read and write tables so that the next reader, anywhere, knows which run wrote them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

from mlotel import columnar, uris
from mlotel._artifacts import Item
from mlotel._current import current_run
from mlotel._run import ActiveRun
from mlotel._runtime import guard
from mlotel.carriers import arrow
from mlotel.errors import ArtifactError, RetractedError
from mlotel.model import ArtifactContext

if TYPE_CHECKING:
    from mlotel.drift import Reference

__all__ = ["read_table", "write_table"]

_FEATHER = (".feather", ".arrow", ".ipc")


def read_table(
    path: str | os.PathLike[str],
    name: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    type: str | None = None,
    reference: Reference | str | os.PathLike[str] | None = None,
) -> pa.Table:
    """Return the table in a Parquet, Feather or Arrow IPC file, and record it as an input of the current run.

    The table comes without mlotel's metadata, so that what is made of it does not claim the file's producer as its own.

    Args:
        path: The file; its ending says which format it is.
        name: What the artifact is called; the file's name by default.
        columns: The columns to read; all by default. What is recorded is the whole file.
        type: dataset, features, predictions, …; dataset by default.
        reference: What the table is compared with, as for `ActiveRun.log_input`.

    Raises:
        ArtifactError: the ending is not known, the file is not what its ending says, or `path` is a URI.
        OSError: the file cannot be read.
    """
    path = _local(path)
    kind = _format(path)
    run = current_run()
    if run is not None and columns is not None:
        run.log_input(path, name, type=type, reference=reference)
    try:
        if kind == "parquet":
            table = pq.read_table(path, columns=None if columns is None else list(columns))
        else:
            table = feather.read_table(path, columns=None if columns is None else list(columns))
    except pa.ArrowException as error:
        raise ArtifactError(f"{path} cannot be read as {kind}: {error}") from error
    if run is not None and columns is None:
        _record_read(run, path, table, name, type, reference)
    return arrow.strip(table)


def write_table(
    table: Any,
    path: str | os.PathLike[str],
    name: str | None = None,
    *,
    type: str | None = None,
    derived_from: object = (),
    **options: Any,
) -> None:
    """Write a table to a Parquet, Feather or Arrow IPC file, recorded as an output of the current run.

    The file's schema metadata tells which span wrote it and the digest of its rows; a context that the table
    inherited from another file is replaced.

    Args:
        table: Anything with ``__arrow_c_stream__`` (pyarrow, pandas, polars, duckdb).
        path: The file; its ending says which format it gets.
        name: What the artifact is called; the file's name by default.
        type: dataset, features, predictions, …; dataset by default.
        derived_from: As for `ActiveRun.log_output`.
        options: Passed on to `pyarrow.parquet.write_table` or `pyarrow.feather.write_feather`.

    Raises:
        ArtifactError: the ending is not known, `table` is no table or of types that the format lacks, or `path` is
            a URI.
        OSError: the file cannot be written.
    """
    path = _local(path)
    kind = _format(path)
    source = columnar.open_table(table)
    data = arrow.strip(pa.Table.from_batches(source.batches(), schema=source.schema))
    write = pq.write_table if kind == "parquet" else feather.write_feather
    run = current_run()
    try:
        if run is None or not run._recording:
            write(data, path, **options)
            return
        with _writing(run, data, path, name, type, derived_from) as context:
            write(data if context is None else arrow.embed(data, context), path, **options)
    except pa.ArrowException as error:
        raise ArtifactError(f"{path} cannot be written as {kind}: {error}") from error


def _record_read(
    run: ActiveRun, path: Path, table: pa.Table, name: str | None, type: str | None, reference: object
) -> None:
    """Record a file as an input by the table that was read from it. Raises RetractedError if the run asked for it."""
    try:
        if run._recording:
            run._artifacts.log_content(Item("input", path, name, type, reference=reference), table)
    except RetractedError:
        raise
    except Exception as error:
        guard(f"read_table of component {run.name!r}", error)


@contextmanager
def _writing(
    run: ActiveRun, table: pa.Table, path: Path, name: str | None, type: str | None, derived_from: object
) -> Iterator[ArtifactContext | None]:
    """Hold the write span of a file open while it is written with the context that this yields inside."""
    try:
        item = Item("output", path, name, type, derived_from=derived_from)
    except Exception as error:
        guard(f"write_table of component {run.name!r}", error)
        item = Item("output", path, None, type, derived_from=derived_from)
    with run._artifacts.writing(item, table) as context:
        yield context


def _local(path: str | os.PathLike[str]) -> Path:
    text = os.fsdecode(path)
    if "://" in text:
        raise ArtifactError(
            f"{uris.clean(text)} is no local file: read or write it with pyarrow, and log the table with uri=…"
        )
    return Path(text)


def _format(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return "parquet"
    if suffix in _FEATHER:
        return "feather"
    raise ArtifactError(f"{path.name!r} is of no known table format: end it in .parquet, .feather or .arrow")
