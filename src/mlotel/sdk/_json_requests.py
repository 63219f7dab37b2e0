"""Requests in OTLP/JSON made ones in protobuf, for collectors that are spoken to over gRPC."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mlotel._json import UNDECODABLE
from mlotel.sdk._settings import Signal

__all__ = ["to_protobuf"]

_IDS = frozenset({"traceId", "spanId", "parentSpanId"})


def to_protobuf(signal: Signal, body: bytes) -> bytes:
    """Return the same request in protobuf.

    Args:
        signal: whose request it is, ``traces`` or ``logs``.
        body: the request in OTLP/JSON.

    Raises:
        ValueError: it is none.
    """
    request: Any = ExportTraceServiceRequest() if signal == "traces" else ExportLogsServiceRequest()
    try:
        document = msgspec.json.decode(body)
        _spell_ids(document)
        json_format.ParseDict(document, request, ignore_unknown_fields=True)
    except (json_format.ParseError, *UNDECODABLE) as error:
        raise ValueError(f"no request of OTLP: {error}") from error
    said: bytes = request.SerializeToString()
    return said


def _spell_ids(value: Any) -> None:
    """Spell ids in base64, as protobuf's own JSON does: OTLP has them in hex."""
    if isinstance(value, list):
        for each in value:
            _spell_ids(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key in _IDS and isinstance(each, str):
                value[key] = base64.b64encode(bytes.fromhex(each)).decode("ascii")
            elif isinstance(each, list | dict):
                _spell_ids(each)
