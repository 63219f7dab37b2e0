"""The context of an artifact in message or request headers: ``traceparent`` and ``mlotel-digest``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping

from mlotel.carriers import artifact_context
from mlotel.model import ArtifactContext

__all__ = ["DIGEST", "TRACEPARENT", "read", "write"]

TRACEPARENT = "traceparent"
DIGEST = "mlotel-digest"

Headers = Mapping[str, str | bytes] | Iterable[tuple[str | bytes, str | bytes | None]]


def write(headers: MutableMapping[str, str], context: ArtifactContext) -> None:
    """Put `context` into `headers`, in the place of one that is there."""
    headers[TRACEPARENT] = context.traceparent
    if context.digest is None:
        headers.pop(DIGEST, None)
    else:
        headers[DIGEST] = context.digest


def read(headers: Headers) -> ArtifactContext | None:
    """Return the context that `headers` hold, or None.

    `headers` is a mapping or a sequence of pairs (as Kafka clients and ASGI give them); names in any case, names and
    values as text or bytes.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found = {_text(name).lower(): _text(value) for name, value in pairs if value is not None}
    return artifact_context(found.get(TRACEPARENT), found.get(DIGEST))


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
