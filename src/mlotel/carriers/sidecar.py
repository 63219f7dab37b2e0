"""The context of a file in a small JSON file beside it, for formats that have no room for metadata."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from mlotel.carriers import artifact_context
from mlotel.model import ArtifactContext

__all__ = ["SUFFIX", "path_of", "read", "write"]

SUFFIX = ".mlotel.json"
_LIMIT = 4096  # bytes; ours have 200


def path_of(path: Path) -> Path:
    """Return where the sidecar of `path` is."""
    return path.with_name(path.name + SUFFIX)


def read(path: str) -> ArtifactContext | None:
    """Return the context that stands beside `path`, or None where there is none or it is not one of ours."""
    beside = path + SUFFIX
    if not os.path.isfile(beside):
        return None
    try:
        with open(beside, "rb") as file:
            text = file.read(_LIMIT + 1)
        fields = json.loads(text) if len(text) <= _LIMIT else None
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    return artifact_context(fields.get("traceparent"), fields.get("digest"))


def write(path: Path, context: ArtifactContext) -> None:
    """Put `context` beside `path`, whole or not at all, for those to read who can read `path`. Raises OSError."""
    import tempfile  # loaded by need: it brings all compressors along

    target = path_of(path)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            json.dump({"traceparent": context.traceparent, "digest": context.digest}, file)
            with suppress(FileNotFoundError):  # a draft is its owner's alone
                os.fchmod(handle, path.stat().st_mode & 0o666)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
