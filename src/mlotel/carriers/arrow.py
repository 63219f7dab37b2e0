"""The context of an artifact in the schema metadata of Arrow tables, Parquet, Feather and Arrow IPC files."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from mlotel.carriers import artifact_context
from mlotel.model import ArtifactContext

__all__ = ["PREFIX", "embed", "from_file", "from_metadata", "from_table", "strip"]

PREFIX = b"mlotel."
_TRACEPARENT = b"mlotel.traceparent"
_DIGEST = b"mlotel.digest"


def from_metadata(metadata: Mapping[bytes, bytes] | None) -> ArtifactContext | None:
    """Return the context held by an Arrow schema's metadata, or None."""
    if not metadata or _TRACEPARENT not in metadata:
        return None
    try:
        digest = metadata.get(_DIGEST)
        return artifact_context(
            metadata[_TRACEPARENT].decode("ascii"), None if digest is None else digest.decode("ascii")
        )
    except UnicodeDecodeError:
        return None


def from_table(obj: object) -> ArtifactContext | None:
    """Return the context held by a pyarrow table or record batch, or None for any other object."""
    pa = sys.modules.get("pyarrow")  # not imported to recognise its objects: who has one has imported it
    if pa is None or not isinstance(obj, (pa.Table, pa.RecordBatch)):
        return None
    return from_metadata(obj.schema.metadata)


def from_file(path: str) -> ArtifactContext | None:
    """Return the context held by a Parquet, Feather or Arrow IPC file, or None where it has none or cannot be read."""
    try:
        import pyarrow as pa  # loaded only when a table comes

        if path.lower().endswith(".parquet"):
            import pyarrow.parquet as pq

            return from_metadata(pq.read_schema(path).metadata)
        with pa.OSFile(path) as source:
            return from_metadata(pa.ipc.open_file(source).schema.metadata)
    except Exception:  # whatever a damaged or hostile file makes Arrow raise: it holds no context
        return None


def embed(table: Any, context: ArtifactContext) -> Any:
    """Return `table` with `context` in its schema metadata instead of any that it inherited."""
    metadata = _without_ours(table.schema.metadata)
    metadata[_TRACEPARENT] = context.traceparent.encode("ascii")
    if context.digest is not None:
        metadata[_DIGEST] = context.digest.encode("ascii")
    return table.replace_schema_metadata(metadata)


def strip(table: Any) -> Any:
    """Return `table` without mlotel's keys, so that what is made of it does not claim its producer."""
    metadata = table.schema.metadata
    if not metadata or not any(key.startswith(PREFIX) for key in metadata):
        return table
    return table.replace_schema_metadata(_without_ours(metadata) or None)


def _without_ours(metadata: Mapping[bytes, bytes] | None) -> dict[bytes, bytes]:
    return {key: value for key, value in (metadata or {}).items() if not key.startswith(PREFIX)}
