"""Jaeger's gRPC query service (`jaeger.api_v3.QueryService`): traces by id and by attributes, as OTLP/JSON lines.

The messages are described here, as far as they are used: nothing of OpenTelemetry needs to be there to read a store.
"""

from __future__ import annotations

import functools
import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from mlotel.errors import ConfigurationError, StoreError
from mlotel.semconv import attributes as A
from mlotel.store.fetching import RemoteSpan
from mlotel.store.headers import QUERY_HEADERS

__all__ = ["JaegerQuery", "JaegerTraces"]

_SERVICE = "/jaeger.api_v3.QueryService/"
_DEFAULT_PORT = 16685
_LARGEST_TRACE = 256 * 2**20
_SECOND = 10**9

# Each field: its number, its name, its type ("*" in front: repeated; a capital: a message). Enumerations are read as
# the numbers they are, and timestamps as what they consist of; a field that is left out here is skipped.
_MESSAGES: Mapping[str, tuple[tuple[int, str, str], ...]] = {
    "Timestamp": ((1, "seconds", "int64"), (2, "nanos", "int32")),
    "Attribute": ((1, "key", "string"), (2, "value", "string")),
    "TraceQueryParameters": (
        (3, "attributes", "*Attribute"),
        (4, "start_time_min", "Timestamp"),
        (5, "start_time_max", "Timestamp"),
        (8, "search_depth", "int32"),
        (9, "raw_traces", "bool"),
    ),
    "FindTracesRequest": ((1, "query", "TraceQueryParameters"),),
    "GetTraceRequest": ((1, "trace_id", "string"), (4, "raw_traces", "bool")),
    "ArrayValue": ((1, "values", "*AnyValue"),),
    "KeyValueList": ((1, "values", "*KeyValue"),),
    "AnyValue": (
        (1, "string_value", "string"),
        (2, "bool_value", "bool"),
        (3, "int_value", "int64"),
        (4, "double_value", "double"),
        (5, "array_value", "ArrayValue"),
        (6, "kvlist_value", "KeyValueList"),
        (7, "bytes_value", "bytes"),
    ),
    "KeyValue": ((1, "key", "string"), (2, "value", "AnyValue")),
    "Link": ((1, "trace_id", "bytes"), (2, "span_id", "bytes"), (4, "attributes", "*KeyValue")),
    "Status": ((2, "message", "string"), (3, "code", "int32")),
    "Span": (
        (1, "trace_id", "bytes"),
        (2, "span_id", "bytes"),
        (4, "parent_span_id", "bytes"),
        (5, "name", "string"),
        (6, "kind", "int32"),
        (7, "start_time_unix_nano", "fixed64"),
        (8, "end_time_unix_nano", "fixed64"),
        (9, "attributes", "*KeyValue"),
        (13, "links", "*Link"),
        (15, "status", "Status"),
    ),
    "ScopeSpans": ((2, "spans", "*Span"),),
    "Resource": ((1, "attributes", "*KeyValue"),),
    "ResourceSpans": ((1, "resource", "Resource"), (2, "scope_spans", "*ScopeSpans")),
    "TracesData": ((1, "resource_spans", "*ResourceSpans"),),
}


@dataclass(slots=True)
class JaegerTraces:
    """What one request brought: the ids of the traces, and those of their spans that are mlotel's."""

    trace_ids: set[str] = field(default_factory=set)
    spans: list[RemoteSpan] = field(default_factory=list)


class JaegerQuery:
    """A connection to Jaeger's gRPC query service, made with the first request.

    Args:
        url: ``http://host:port`` (or ``host:port``), ``https://…`` for TLS; the port is 16685 unless said.
        headers: sent with each request: credentials.
        timeout_s: seconds after which a request is given up.

    Raises:
        ConfigurationError: `url` is no such address.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str], timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._secure, self._target, self._local = _address(url)
        self.url = f"{'https' if self._secure else 'http'}://{self._target}"
        # gRPC takes names in lower case alone.
        self._metadata = tuple((key.lower(), value) for key, value in headers.items())
        self._channel: Any = None

    def close(self) -> None:
        """End the connection; the next request makes another."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def trace(self, trace_id: str) -> JaegerTraces:
        """Return the trace of this id (32 hex digits), or none.

        Raises:
            StoreError: Jaeger cannot be asked, or what it answers cannot be read.
        """
        return self._ask("GetTrace", _messages()["GetTraceRequest"](trace_id=trace_id, raw_traces=True), 1)

    def find(self, attributes: Mapping[str, str], start_ns: int, end_ns: int, limit: int) -> JaegerTraces:
        """Return traces, `limit` at most, in which a span that began between two times has all of `attributes`.

        The traces are whole. Which ones they are where there are more is up to Jaeger's storage.

        Args:
            attributes: of spans or resources; a value that is no text is given as its text.
            start_ns: nanoseconds since the epoch, inclusive.
            end_ns: nanoseconds since the epoch, inclusive.
            limit: how many traces.

        Raises:
            StoreError: Jaeger cannot be asked, or what it answers cannot be read.
        """
        new = _messages()
        query = new["TraceQueryParameters"](
            attributes=[new["Attribute"](key=key, value=value) for key, value in attributes.items()],
            start_time_min=new["Timestamp"](seconds=start_ns // _SECOND, nanos=start_ns % _SECOND),
            start_time_max=new["Timestamp"](seconds=end_ns // _SECOND, nanos=end_ns % _SECOND),
            search_depth=limit,
            raw_traces=True,  # otherwise Jaeger adjusts times for the skew that it suspects
        )
        return self._ask("FindTraces", new["FindTracesRequest"](query=query), limit)

    def _ask(self, method: str, request: Any, limit: int) -> JaegerTraces:
        import grpc
        from google.protobuf.message import DecodeError

        found = JaegerTraces()
        traces_data = _messages()["TracesData"]
        method_of = self._open().unary_stream(_SERVICE + method)
        call = method_of(request.SerializeToString(), timeout=self._timeout_s, metadata=self._metadata)
        try:
            for chunk in call:
                # Parsed here and not by grpc, which would log a traceback where that fails.
                for resource_spans in traces_data.FromString(chunk).resource_spans:
                    _take(resource_spans, found)
                if len(found.trace_ids) > limit:
                    break  # more than was asked for
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND or _says_not_found(error):
                return JaegerTraces()
            raise StoreError(self._describe(error)) from error
        except (DecodeError, ValueError) as error:
            raise StoreError(f"{self._here} answers what is no trace ({error}): is it Jaeger's gRPC port?") from error
        finally:
            call.cancel()
        return found

    def _open(self) -> Any:
        if self._channel is None:
            import grpc

            options: list[tuple[str, int]] = [("grpc.max_receive_message_length", _LARGEST_TRACE)]
            if self._local:
                options.append(("grpc.enable_http_proxy", 0))
            if self._secure:
                self._channel = grpc.secure_channel(self._target, grpc.ssl_channel_credentials(), options)
            else:
                self._channel = grpc.insecure_channel(self._target, options)
        return self._channel

    @property
    def _here(self) -> str:
        return f"Jaeger at {self.url}"

    def _describe(self, error: Any) -> str:
        code = error.code().name
        said = " ".join(str(error.details() or "").split())[:200]
        if code == "DEADLINE_EXCEEDED":
            return f"{self._here} did not answer within {self._timeout_s:g} s: ask again, or for a shorter time"
        if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
            return f"{self._here} refuses to answer with {code}: {said}: give credentials in {QUERY_HEADERS}"
        if code == "UNAVAILABLE":
            return (
                f"{self._here} cannot be reached: give the address of its gRPC query service "
                f"(port {_DEFAULT_PORT} unless configured otherwise), and see that it runs ({said})"
            )
        if code == "UNIMPLEMENTED":
            return f"{self._here} has no jaeger.api_v3: it takes Jaeger 2"
        if code == "RESOURCE_EXHAUSTED":
            return f"{self._here} answers more than can be taken: ask for a shorter time ({said})"
        return f"{self._here} failed with {code}: {said or 'its log may say why'}"


def _says_not_found(error: Any) -> bool:
    """Whether this is how Jaeger says that there is no such trace where it has no status code for it."""
    return error.code().name == "UNKNOWN" and "trace not found" in str(error.details())


def _address(url: str) -> tuple[bool, str, bool]:
    """Return whether to use TLS, ``host:port``, and whether that is this machine."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError:
        host, port = None, 0
    if "@" in url:
        raise ConfigurationError(
            f"the address of Jaeger has a user or a password in it: give credentials in {QUERY_HEADERS}"
        )
    if not host or parts.scheme not in ("http", "https") or parts.path.strip("/") or parts.query:
        raise ConfigurationError(
            f"{url!r} is no address of Jaeger's gRPC query service: say http://HOST:{_DEFAULT_PORT} (TLS: https://)"
        )
    local = host == "localhost" or host == "::1" or host.startswith("127.")
    return parts.scheme == "https", f"[{host}]:{port}" if ":" in host else f"{host}:{port}", local


@functools.cache
def _messages() -> Mapping[str, Any]:
    """The classes of `_MESSAGES`, in a pool of their own beside whatever else knows these messages."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="mlotel/jaeger.proto", package="mlotel", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name == "AnyValue":
            message.oneof_decl.add(name="value")
        for number, field_name, kind in fields:
            bare = kind.removeprefix("*")
            described = message.field.add(name=field_name, number=number, label=3 if kind != bare else 1)
            if bare[0].isupper():
                described.type, described.type_name = described.TYPE_MESSAGE, f".mlotel.{bare}"
            else:
                described.type = getattr(described, f"TYPE_{bare.upper()}")
            if name == "AnyValue":
                described.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"mlotel.{name}")) for name in _MESSAGES}


def _take(resource_spans: Any, found: JaegerTraces) -> None:
    for span in _spans(resource_spans):
        trace_id = span.trace_id.hex()
        found.trace_ids.add(trace_id)
        if any(each.key == A.MLOTEL_RUN_ID for each in span.attributes):
            line = functools.partial(_line, span, resource_spans.resource)
            found.spans.append(RemoteSpan(trace_id, span.span_id.hex(), line))


def _line(span: Any, resource: Any) -> bytes:
    """A span as a line of OTLP/JSON."""
    from google.protobuf.json_format import MessageToDict

    content = MessageToDict(span)
    for each in (content, *content.get("links", ())):
        for key in ("traceId", "spanId", "parentSpanId"):  # bytes are Base64 in protobuf's JSON, ids hex in OTLP's
            if key in each:
                each[key] = b64decode(each[key]).hex()
    group = {"resource": MessageToDict(resource), "scopeSpans": [{"spans": [content]}]}
    return json.dumps({"resourceSpans": [group]}, separators=(",", ":")).encode()


def _spans(resource_spans: Any) -> Iterator[Any]:
    for scope_spans in resource_spans.scope_spans:
        yield from scope_spans.spans
