"""The context of an artifact in message or request headers: ``traceparent`` and ``mlotel-digest``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Protocol

from mlotel.carriers import artifact_context
from mlotel.model import ArtifactContext

__all__ = ["DIGEST", "TRACEPARENT", "Headers", "WritableHeaders", "read", "write"]

TRACEPARENT = "traceparent"
DIGEST = "mlotel-digest"
_OURS = (TRACEPARENT, DIGEST)


class HasItems(Protocol):
    """What has names and values as a mapping does, such as the messages of the standard library's `http`."""

    def items(self) -> Iterable[tuple[str, str | bytes]]: ...


Headers = Mapping[str, str | bytes] | HasItems | Iterable[tuple[str | bytes, str | bytes | None]]
WritableHeaders = MutableMapping[str, str] | list[tuple[str, bytes]]


def write(headers: WritableHeaders, context: ArtifactContext) -> None:
    """Put `context` into `headers`, in the place of one that is there.

    `headers` is a mapping, or a list of pairs of a name and bytes, as Kafka clients send them.
    """
    ours = {TRACEPARENT: context.traceparent}
    if context.digest is not None:
        ours[DIGEST] = context.digest
    if isinstance(headers, list):
        headers[:] = [pair for pair in headers if _name(pair[0]) not in _OURS]
        headers.extend((name, value.encode("ascii")) for name, value in ours.items())
        return
    for name in [name for name in headers if _name(name) in _OURS]:
        del headers[name]
    for name, value in ours.items():
        headers[name] = value


def read(headers: Headers | None) -> ArtifactContext | None:
    """Return the context that `headers` hold, or None.

    `headers` is a mapping or a sequence of pairs (as Kafka clients and ASGI give them); names in any case, names and
    values as text or bytes. None, as Kafka clients give it for a message without headers, holds nothing.
    """
    if headers is None:
        return None
    items = getattr(headers, "items", None)
    pairs: Any = items() if callable(items) else headers
    found: dict[str, object] = {}
    for pair in pairs:
        if isinstance(pair, (tuple, list)) and len(pair) == 2 and _name(pair[0]) in _OURS:
            found[_name(pair[0])] = pair[1].decode("latin-1") if isinstance(pair[1], bytes) else pair[1]
    return artifact_context(found.get(TRACEPARENT), found.get(DIGEST))


def _name(name: Any) -> str:
    if isinstance(name, bytes):
        name = name.decode("latin-1")
    return name.lower() if isinstance(name, str) else ""
