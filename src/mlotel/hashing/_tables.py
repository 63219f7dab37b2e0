"""The logical digest of a table: the same rows, columns and types give the same digest, whatever holds them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from mlotel.columnar import TableSource
from mlotel.errors import ArtifactError
from mlotel.hashing._algorithms import NewHasher, framed, new_hasher, written
from mlotel.hashing._columns import node_for
from mlotel.hashing._node import Node
from mlotel.hashing._types import field_types
from mlotel.model import Fingerprint

__all__ = ["fingerprint_table"]

_MANY_CHUNKS = 8
_SMALL_CHUNK = 4096
_JOINED_BYTES = 8 << 20


def fingerprint_table(source: TableSource, *, algorithm: str, threads: int = 1) -> Fingerprint:
    """Return a table's fingerprint, read in one pass and in bounded memory.

    Args:
        source: the table; if it is one-shot it is not read and gets no digest.
        algorithm: ``blake3`` or ``sha256``.
        threads: how many columns are hashed at a time.

    Raises:
        ArtifactError: if the source cannot be read to its end.
    """
    if source.one_shot:
        return Fingerprint(type="dataset", note="no digest: reading this stream for one would consume it")
    new = new_hasher(algorithm)
    schema = source.schema
    columns = [_described(field) for field in schema]
    schema_digest = written(
        algorithm, _digest(new, b"mlotel.schema.v1\0", len(columns), [exact for _, exact in columns])
    )
    try:
        nodes = [node_for(kind, new) for kind in schema.types]
        rows = _fill(nodes, source, threads)
        parts = [logical + node.digest() for (logical, _), node in zip(columns, nodes, strict=True)]
    except ArtifactError:
        raise
    except (NotImplementedError, ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        return Fingerprint(
            type="dataset",
            scope="logical",
            size=source.nbytes,
            rows=source.num_rows,
            columns=len(columns),
            schema_digest=schema_digest,
            note=f"no digest: {error}",
        )
    return Fingerprint(
        digest=written(algorithm, _digest(new, b"mlotel.table.v1\0" + rows.to_bytes(8, "little"), len(nodes), parts)),
        scope="logical",
        type="dataset",
        size=source.nbytes,
        rows=rows,
        columns=len(nodes),
        schema_digest=schema_digest,
        missing=sum([node.missing for node in nodes]),
        empty=rows == 0,
    )


def _described(field: pa.Field) -> tuple[bytes, bytes]:
    """A column's name and type as they go into the logical digest and into the schema digest."""
    name = framed(field.name.encode(errors="surrogatepass"))
    logical, exact = field_types(field)
    return name + logical, name + exact


def _digest(new: NewHasher, head: bytes, count: int, parts: list[bytes]) -> bytes:
    hasher = new()
    hasher.update(b"".join([head, count.to_bytes(8, "little"), *parts]))
    return hasher.digest()


def _fill(nodes: list[Node], source: TableSource, threads: int) -> int:
    table = source.table
    if table is None:
        rows = 0
        for batch in source.batches():
            rows += batch.num_rows
            for node, array in zip(nodes, batch.columns, strict=True):
                node.update(array)
        return rows
    if threads > 1 and len(nodes) > 1:
        with ThreadPoolExecutor(threads, thread_name_prefix="mlotel-digest") as pool:
            list(pool.map(_fill_column, nodes, table.columns))
    else:
        for node, column in zip(nodes, table.columns, strict=True):
            _fill_column(node, column)
    return int(table.num_rows)


def _fill_column(node: Node, column: Any) -> None:
    count = column.num_chunks
    if count == 1:
        node.update(column.chunk(0))
    elif count > _MANY_CHUNKS and len(column) < count * _SMALL_CHUNK:
        for chunk in _joined(column.chunks):
            node.update(chunk)
    else:
        for chunk in column.chunks:
            node.update(chunk)


def _joined(chunks: list[Any]) -> Iterator[Any]:
    """Join small chunks, up to 8 MiB at a time: each costs some microseconds by itself."""
    start = size = 0
    for place, chunk in enumerate(chunks, 1):
        try:
            size += chunk.nbytes
            if size < _JOINED_BYTES and place < len(chunks):
                continue
            yield pa.concat_arrays(chunks[start:place])
        except (NotImplementedError, ValueError, TypeError):
            # Some types can be neither measured nor joined, nor can dictionaries that differ in older versions.
            yield from chunks[start:place]
        start, size = place, 0
