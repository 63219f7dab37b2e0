"""The one door for tables: whatever library made them, they come in as Arrow record batches.

Tables are recognised by the Arrow PyCapsule protocol or by the class of a library that is already imported; nothing is
imported to recognise them. Schema metadata takes no part in anything here, mlotel's own (``mlotel.``) included.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from mlotel.errors import ArtifactError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "TABLE_SUFFIXES",
    "TableSource",
    "is_dataset",
    "is_table",
    "open_dataset",
    "open_folder",
    "open_path",
    "open_table",
    "table_suffix",
]

TABLE_SUFFIXES = (".parquet", ".feather", ".arrow", ".ipc")
_LONGEST_SUFFIX = max(map(len, TABLE_SUFFIXES))
"""Suffixes of the files that `open_path` reads, in lower case; `.pq` and `.arrows` are not claimed."""

_BLOCK_ROWS = 131_072
_BLOCK_BYTES = 8 << 20
# A small file must not cost any amount of memory and time. Writers begin a page after some 20,000 rows, and each has a
# header; zstd makes a page of one byte 10,000 times smaller, where pages of data become 3 to 100 times smaller.
_MOST_ROWS_A_BYTE = 10_000
_MOST_TIMES = 1_000
_MOST_UNPACKED = 256 << 20
_ONE_SHOT_NAMES = ("Reader", "Stream", "Cursor", "Iterator", "Scanner")


class TableSource:
    """A table that can be read as record batches, bounded in rows.

    Attributes:
        schema: its Arrow schema.
        num_rows: how many rows, or None if only reading tells.
        one_shot: whether reading consumes the user's object; `batches` then works once, and a digest is not worth it.
        table: the whole table in Arrow's memory, or None if it comes as a stream.
        nbytes: bytes of its values in memory, or None if not known.
    """

    __slots__ = ("_batches", "nbytes", "num_rows", "one_shot", "schema", "table")

    def __init__(
        self,
        schema: pa.Schema,
        batches: Callable[[], Iterator[pa.RecordBatch]],
        *,
        num_rows: int | None = None,
        one_shot: bool = False,
        table: pa.Table | None = None,
        nbytes: int | None = None,
    ) -> None:
        self.schema = schema
        self.num_rows = num_rows
        self.one_shot = one_shot
        self.table = table
        self.nbytes = nbytes
        self._batches = batches

    def watched(self, *readers: Callable[[pa.RecordBatch], None]) -> TableSource:
        """Return the same table, each batch of which others read too while it is in the processor's cache.

        It comes as a stream of batches, also where the whole of it is in memory.

        Args:
            readers: called with each batch before it is yielded.
        """

        def batches() -> Iterator[pa.RecordBatch]:
            for batch in self.batches():
                for read in readers:
                    read(batch)
                yield batch

        return TableSource(self.schema, batches, num_rows=self.num_rows, one_shot=self.one_shot, nbytes=self.nbytes)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, at most 131,072 a batch.

        Raises:
            ArtifactError: if the source fails on the way: a damaged file, a query that breaks off.
        """
        batches = self._batches()
        while True:
            try:
                batch = next(batches, None)
            except Exception as error:
                # Whatever its library raises: OSError for damaged pages, ArrowInvalid, errors of a query's own.
                raise ArtifactError(f"the table cannot be read to its end: {_first_line(error)}") from error
            if batch is None:
                return
            if batch.num_rows <= _BLOCK_ROWS:
                yield batch
            else:
                for start in range(0, batch.num_rows, _BLOCK_ROWS):
                    yield batch.slice(start, _BLOCK_ROWS)


def is_table(obj: object) -> bool:
    """Whether `obj` is a table, a batch, a stream of batches, or one column (a series is a table of one column)."""
    cls = type(obj)
    if hasattr(cls, "__arrow_c_stream__"):
        return True
    # A schema or a type has only `__arrow_c_schema__`; a scalar's array form would be one of its elements.
    if hasattr(cls, "__arrow_c_array__"):
        return not cls.__name__.endswith("Scalar")
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return False
    known = tuple(k for k in (getattr(pandas, "DataFrame", None), getattr(pandas, "Series", None)) if k is not None)
    return isinstance(obj, known)


def open_table(obj: object, *, views: bool = False) -> TableSource:
    """Return `obj` as a TableSource; the object is not read yet, except where its library must convert it whole.

    pandas is converted whole by pyarrow, an index that is not a plain range becoming a column. A DuckDB relation is
    run again for every reading: its query is executed, the user's object is left as it was.

    Args:
        obj: the table.
        views: take polars' text as the views that it holds, which copies nothing; not every program can read files
            with views, so what is written should do without.

    Raises:
        ArtifactError: if it is not a table or its library cannot give it as Arrow data.
    """
    if not is_table(obj):
        raise ArtifactError(f"{type(obj).__module__}.{type(obj).__qualname__} is not a table")
    import pyarrow as pa

    if isinstance(obj, pa.Table):
        return _from_table(obj)
    try:
        return _opened(obj, pa, views)
    except ArtifactError:
        raise
    except Exception as error:
        # Each library raises its own kinds of errors; what the user needs is which object and why.
        name = f"{type(obj).__module__}.{type(obj).__qualname__}"
        raise ArtifactError(f"{name} cannot be read as an Arrow table: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    # Not the whole message: libraries quote the values that they could not convert, and data must not reach a log.
    where = [f"{part}" for part in error.args if f"{part}".startswith("Conversion failed for column")]
    return ": ".join([type(error).__name__, *where])


def _first_line(error: Exception) -> str:
    return f"{error}".partition("\n")[0][:200]


def _opened(obj: Any, pa: Any, views: bool) -> TableSource:
    if isinstance(obj, pa.RecordBatch):
        return _from_table(pa.Table.from_batches([obj]))
    if isinstance(obj, pa.ChunkedArray):
        return _from_table(pa.table([obj], names=[""]))
    if isinstance(obj, pa.Array):
        return _from_table(pa.table([pa.chunked_array([obj], obj.type)], names=[""]))
    if isinstance(obj, pa.RecordBatchReader):
        return TableSource(obj.schema, lambda: iter(obj), one_shot=True)
    package = type(obj).__module__.partition(".")[0]
    if package == "polars":
        return _from_polars(obj, pa, views)
    if package == "pandas" or not (hasattr(obj, "__arrow_c_stream__") or hasattr(obj, "__arrow_c_array__")):
        return _from_pandas(obj, pa)
    if package in ("duckdb", "_duckdb") and hasattr(obj, "project"):
        return _from_duckdb(obj, pa)
    return _from_protocol(obj, pa)


def _from_table(table: pa.Table) -> TableSource:
    return TableSource(
        table.schema,
        lambda: iter(table.to_batches(max_chunksize=_BLOCK_ROWS)),
        num_rows=table.num_rows,
        table=table,
        nbytes=_nbytes(table),
    )


def _nbytes(table: pa.Table) -> int | None:
    try:
        return int(table.nbytes)
    except (NotImplementedError, ValueError, TypeError):
        return None


def _from_polars(obj: Any, pa: Any, views: bool) -> TableSource:
    frame = obj if hasattr(obj, "columns") else obj.to_frame()
    # Not by `__arrow_c_stream__`: pyarrow cannot decode the categoricals that come through it.
    level = getattr(sys.modules.get("polars"), "CompatLevel", None)
    if not views or level is None or not _casts_views(pa):
        return _from_table(frame.to_arrow())
    return _from_table(frame.to_arrow(compat_level=level.newest()))


def _casts_views(pa: Any) -> bool:
    """Whether this pyarrow can do more with views than hold them; the first versions that had them could not."""
    try:
        pa.array([], pa.string_view()).cast(pa.string())
    except pa.ArrowNotImplementedError:
        return False
    return True


def _from_pandas(obj: Any, pa: Any) -> TableSource:
    if hasattr(obj, "columns"):
        return _from_table(pa.Table.from_pandas(obj))
    column = pa.Array.from_pandas(obj)
    chunks = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column], column.type)
    return _from_table(pa.table([chunks], names=["" if obj.name is None else f"{obj.name}"]))


def _from_duckdb(relation: Any, pa: Any) -> TableSource:
    # `project("*")` is a relation of its own: versions before 2.0 keep a half-read result in the relation itself.
    def reader() -> pa.RecordBatchReader:
        fresh = relation.project("*")
        # The second is what versions before 2.0 call it; an attribute that is none is looked up as a column.
        return fresh.to_arrow_reader() if hasattr(type(fresh), "to_arrow_reader") else fresh.fetch_arrow_reader()

    return TableSource(reader().schema, lambda: iter(reader()))


def _from_protocol(obj: Any, pa: Any) -> TableSource:
    if hasattr(obj, "__arrow_c_stream__"):
        name = type(obj).__name__
        one_shot = hasattr(obj, "__next__") or name.endswith(_ONE_SHOT_NAMES)
        if one_shot:
            return TableSource(pa.schema([]), lambda: iter(pa.RecordBatchReader.from_stream(obj)), one_shot=True)
        if hasattr(obj, "columns") or hasattr(obj, "schema") or hasattr(obj, "column_names"):
            return TableSource(
                pa.RecordBatchReader.from_stream(obj).schema, lambda: iter(pa.RecordBatchReader.from_stream(obj))
            )
        column = pa.chunked_array(obj)
    else:
        array = pa.array(obj)
        if pa.types.is_struct(array.type) and (hasattr(obj, "schema") or hasattr(obj, "columns")):
            return _from_table(pa.Table.from_batches([pa.RecordBatch.from_struct_array(array)]))
        column = pa.chunked_array([array], array.type)
    return _from_table(pa.table([column], names=[f"{getattr(obj, 'name', None) or ''}"]))


def table_suffix(path: str) -> str | None:
    """Return the suffix, in lower case, by which `open_path` would read the file, or None if it would not."""
    if not path[-_LONGEST_SUFFIX:].lower().endswith(TABLE_SUFFIXES):  # most files: asked for each artifact of each run
        return None
    suffix = os.path.splitext(path)[1].lower()
    return suffix if suffix in TABLE_SUFFIXES else None


def open_path(path: str | os.PathLike[str], *, texts: bool = False) -> TableSource:
    """Return a Parquet, Feather or Arrow IPC file as a TableSource whose batches are read one by one.

    Args:
        path: the file.
        texts: whether texts will be read, and not only their bytes: those that are no UTF-8 then raise ArtifactError on
            the way, in Parquet files too.

    Raises:
        ArtifactError: if the suffix is another one, or the file is missing or damaged.
    """
    name = os.fspath(path)
    suffix = table_suffix(name)
    if suffix is None:
        raise ArtifactError(f"{name}: not a table file (known suffixes: {', '.join(TABLE_SUFFIXES)})")
    try:
        source = _from_parquet(name, texts) if suffix == ".parquet" else _from_ipc(name)
        _names(source.schema)  # of a damaged file they may be no text
    except Exception as error:
        raise ArtifactError(f"{name}: cannot be read as a table: {_first_line(error)}") from error
    return source


def _names(fields: Iterable[pa.Field]) -> list[str]:
    """Return the names of fields, and of those in them. Raises UnicodeDecodeError."""
    found: list[str] = []
    for each in fields:
        found.append(each.name)
        if each.type.num_fields:
            found += _names(each.type.field(index) for index in range(each.type.num_fields))
    return found


def _from_parquet(path: str, texts: bool) -> TableSource:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pa.OSFile(path) as source:
        file = pq.ParquetFile(source)
        metadata = file.metadata
        schema = file.schema_arrow
        rows = metadata.num_rows
    bytes_ = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    size = os.path.getsize(path)
    if rows > _MOST_ROWS_A_BYTE * size or bytes_ > max(_MOST_UNPACKED, _MOST_TIMES * size):
        raise ArtifactError(f"{rows:,} rows, {bytes_:,} bytes unpacked, in a file of {size:,} bytes: this is no table")
    # Decoded text may be many times larger than its dictionary-encoded pages; still, an estimate keeps wide rows few.
    step = max(64, min(_BLOCK_ROWS, _BLOCK_BYTES * max(rows, 1) // max(bytes_, 1)))

    def batches() -> Iterator[pa.RecordBatch]:
        with pa.OSFile(path) as again:
            # No prefetching and no threads: both hold whole column chunks in memory.
            file = pq.ParquetFile(again, metadata=metadata, pre_buffer=False, buffer_size=1 << 16)
            found = file.iter_batches(batch_size=step, use_threads=False)
            yield from _checked(found) if texts else found

    return TableSource(schema, batches, num_rows=rows)


def _from_ipc(path: str) -> TableSource:
    import pyarrow as pa

    options = pa.ipc.IpcReadOptions(use_threads=False)
    with pa.OSFile(path) as source:
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        opened = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        schema = opened.schema

    def batches() -> Iterator[pa.RecordBatch]:
        with pa.OSFile(path) as again:
            if is_file:
                file = pa.ipc.open_file(again, options=options)
                yield from _checked(file.get_batch(index) for index in range(file.num_record_batches))
            else:
                yield from _checked(pa.ipc.open_stream(again, options=options))

    return TableSource(schema, batches)


def _checked(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield batches of which every offset and index stays within its buffers, and every text is UTF-8.

    In an Arrow file they are as they will be in memory: one that leads elsewhere would have the process read there, and
    die (https://arrow.apache.org/docs/format/Security.html). Parquet's are made anew, but not its texts.
    """
    for batch in batches:
        batch.validate(full=True)
        yield batch


def is_dataset(obj: object) -> bool:
    """Whether `obj` is a `pyarrow.dataset.Dataset`: files, or tables, that are read as one and bit by bit."""
    dataset = sys.modules.get("pyarrow.dataset")
    return dataset is not None and isinstance(obj, dataset.Dataset)


def open_dataset(dataset: Any) -> TableSource:
    """Return a `pyarrow.dataset.Dataset` as a TableSource that holds a few batches at a time."""
    import pyarrow.dataset as ds

    def batches() -> Iterator[pa.RecordBatch]:
        # What is read ahead is held in memory: columns of whole row groups, batches, and those of the next files.
        options = {"batch_size": _BLOCK_ROWS, "batch_readahead": 1, "fragment_readahead": 1, "use_threads": False}
        if isinstance(getattr(dataset, "format", None), ds.ParquetFileFormat):
            options["fragment_scan_options"] = ds.ParquetFragmentScanOptions(
                use_buffered_stream=True, buffer_size=1 << 16, pre_buffer=False
            )
        yield from _checked(dataset.scanner(**options).to_batches())

    return TableSource(dataset.schema, batches)


def open_folder(path: str | os.PathLike[str]) -> TableSource:
    """Return the Parquet, Feather or Arrow IPC files in a folder, and in folders in it, as one table.

    Folders called ``name=value`` make a column. A column that some files lack is null there; of types that differ the
    wider one is taken. Files that begin with ``.`` or ``_`` are left out, and those of other formats.

    Raises:
        ArtifactError: there are no such files, or those of several formats, or they do not make one table.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyarrow.fs import LocalFileSystem

    name = os.fspath(path)
    names = sorted(os.path.join(folder, file) for folder, _, files in os.walk(name) for file in files)
    found = [each for each in names if table_suffix(each) and not _is_hidden(each, name)]
    formats = {"parquet" if table_suffix(each) == ".parquet" else "ipc" for each in found}
    if len(formats) != 1:
        what = "no table files" if not formats else "Parquet and Arrow files side by side"
        raise ArtifactError(
            f"{name}: {what} in this folder (known suffixes: {', '.join(TABLE_SUFFIXES)}): name one file"
        )
    format = ds.IpcFileFormat() if formats == {"ipc"} else ds.ParquetFileFormat()
    options = ds.FileSystemFactoryOptions(name, ds.HivePartitioning.discover())
    try:
        factory = ds.FileSystemDatasetFactory(LocalFileSystem(), found, format, options)
        first = factory.finish()  # with the columns of the first file, and those that folders stand for
        schemas = [*(each.physical_schema for each in first.get_fragments()), first.schema]
        return open_dataset(factory.finish(pa.unify_schemas(schemas, promote_options="permissive")))
    except Exception as error:
        raise ArtifactError(f"{name}: its files cannot be read as one table: {_first_line(error)}") from error


def _is_hidden(path: str, folder: str) -> bool:
    return any(part.startswith((".", "_")) for part in os.path.relpath(path, folder).split(os.sep))
