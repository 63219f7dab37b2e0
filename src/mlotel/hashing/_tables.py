"""The logical digest of a table: the same rows, columns and types give the same digest, whatever holds them."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from mlotel.columnar import TableSource
from mlotel.hashing._algorithms import NewHasher, framed, new_hasher, written
from mlotel.hashing._columns import node_for
from mlotel.hashing._node import Node
from mlotel.hashing._types import logical_type
from mlotel.model import Fingerprint

__all__ = ["fingerprint_table"]


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
    try:
        nodes = [node_for(kind, new) for kind in schema.types]
        rows = _fill(nodes, source, threads)
    except (NotImplementedError, ValueError, TypeError, pa.ArrowException) as error:
        return Fingerprint(
            type="dataset",
            scope="logical",
            size=source.nbytes,
            rows=source.num_rows,
            columns=len(schema),
            schema_digest=_schema_digest(schema, algorithm, new),
            note=f"no digest: {error}",
        )
    hasher = new()
    hasher.update(b"mlotel.table.v1\0" + struct.pack("<QQ", rows, len(nodes)))
    for field, node in zip(schema, nodes, strict=True):
        hasher.update(_column(field, exact=False) + node.digest())
    return Fingerprint(
        digest=written(algorithm, hasher.digest()),
        scope="logical",
        type="dataset",
        size=source.nbytes,
        rows=rows,
        columns=len(nodes),
        schema_digest=_schema_digest(schema, algorithm, new),
        missing=sum(node.nulls for node in nodes),
        empty=rows == 0,
    )


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
    for chunk in column.chunks:
        node.update(chunk)


def _column(field: pa.Field, *, exact: bool) -> bytes:
    # Arrow's names are UTF-8; a name that is not comes through as surrogates.
    name = field.name.encode(errors="surrogatepass")
    return framed(name) + framed(logical_type(field, exact=exact).encode(errors="surrogatepass"))


def _schema_digest(schema: pa.Schema, algorithm: str, new: NewHasher) -> str:
    hasher = new()
    columns = b"".join([_column(field, exact=True) for field in schema])
    hasher.update(b"mlotel.schema.v1\0" + struct.pack("<Q", len(schema)) + columns)
    return written(algorithm, hasher.digest())
