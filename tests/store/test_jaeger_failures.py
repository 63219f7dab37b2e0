"""JaegerStore where Jaeger is away, slow or something else: one clear error, or a partial answer that says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import grpc
import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData
from otlp_lines import T0

from mlotel.cli import main
from mlotel.errors import ConfigurationError, StoreError
from mlotel.semconv import attributes as A
from mlotel.store import Store
from mlotel.store.headers import QUERY_HEADERS
from mlotel.store.jaeger import JaegerStore

SECRET = "s3cr3t-token"
Answer = Callable[[bytes, grpc.ServicerContext], Iterator[bytes]]
Serve = Callable[[Answer], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server whose every method answers as told, in bytes; returns its address."""
    servers = []

    class Handler(grpc.GenericRpcHandler):
        def __init__(self, answer: Answer) -> None:
            self._answer = answer

        def service(self, handler_call_details: Any) -> Any:
            return grpc.unary_stream_rpc_method_handler(self._answer)

    def start(answer: Answer) -> str:
        server = grpc.server(ThreadPoolExecutor(2))
        server.add_generic_rpc_handlers([Handler(answer)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"http://127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(None).wait()


def traces(count: int, start_ns: int) -> Iterator[bytes]:
    """Traces of one run each, all in one service."""
    for number in range(1, count + 1):
        said = {A.MLOTEL_RUN_ID: f"{number:032x}", A.MLOTEL_COMPONENT_NAME: "train", A.MLOTEL_RUN_STATE: "ok"}
        span = Span(
            trace_id=number.to_bytes(16, "big"),
            span_id=number.to_bytes(8, "big"),
            start_time_unix_nano=start_ns,
            end_time_unix_nano=start_ns,
            attributes=[KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in said.items()],
        )
        yield TracesData(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])]).SerializeToString()


def exit_code(*arguments: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code or 0


def test_it_is_a_store() -> None:
    """A JaegerStore is a Store, and connects to nothing before it is asked."""
    assert isinstance(JaegerStore("http://localhost:1"), Store)


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    """A password does not belong into an address; the error says where it does, and does not show it."""
    with pytest.raises(ConfigurationError, match=QUERY_HEADERS) as raised:
        JaegerStore(f"https://user:{SECRET}@host")
    assert SECRET not in str(raised.value)


def test_headers_are_sent_and_told_to_nobody(serve: Serve) -> None:
    """Credentials go with each request, and stand in no error and no representation."""
    sent = []

    def refuse(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        sent.append(dict(context.invocation_metadata()))
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "who?")
        yield b""

    store = JaegerStore(serve(refuse), headers={"Authorization": f"Bearer {SECRET}"})
    with store, pytest.raises(StoreError, match=QUERY_HEADERS) as raised:
        store.runs()
    assert sent[0]["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in str(raised.value) + repr(store) + repr(store._query)


@pytest.mark.parametrize("url", ["", "http://", "ftp://host", "http://host:port", "http://host:1/search", "a b://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """An address that cannot be one is told at once, with what to say instead."""
    with pytest.raises(ConfigurationError, match="16685"):
        JaegerStore(url)


def test_nobody_there() -> None:
    """Where nothing listens, the error names the address and the port that it takes."""
    with JaegerStore("http://127.0.0.1:9") as store, pytest.raises(StoreError, match=r"127\.0\.0\.1:9 .*16685"):
        store.runs()


def test_a_jaeger_that_does_not_answer(serve: Serve) -> None:
    """A request has a deadline, and the error says which."""
    ended = Event()

    def silent(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(ended.set)
        ended.wait(30)
        yield b""

    with JaegerStore(serve(silent), timeout_s=0.2) as store, pytest.raises(StoreError, match=r"within 0\.2 s"):
        store.find_artifacts(name="x")
    assert ended.wait(30)


@pytest.mark.parametrize(
    "method",
    [
        lambda store: store.runs(),
        lambda store: store.find_runs("ab" * 16),
        lambda store: store.find_runs("abcd"),
        lambda store: store.run_of_span("ab" * 16, "ab" * 8),
        lambda store: store.find_artifacts(name="x"),
        lambda store: store.readers_of("ab" * 16, "ab" * 8),
    ],
    ids=["runs", "id", "prefix", "span", "artifacts", "readers"],
)
def test_an_answer_that_is_no_trace(serve: Serve, method: Callable[[JaegerStore], object]) -> None:
    """Bytes that are no trace are an error of the store, whatever was asked."""
    with (
        JaegerStore(serve(lambda request, context: iter([b"\xff\xfe junk"]))) as store,
        pytest.raises(StoreError, match="no trace"),
    ):
        method(store)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (grpc.StatusCode.UNIMPLEMENTED, "api_v3"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "shorter time"),
        (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED: not today.*MLOTEL_QUERY_HEADERS"),
        (grpc.StatusCode.DATA_LOSS, "DATA_LOSS: not today"),
    ],
)
def test_a_jaeger_that_refuses(serve: Serve, code: grpc.StatusCode, said: str) -> None:
    """What Jaeger says is passed on in one line."""

    def refuse(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.abort(code, "not\ntoday")
        yield b""

    with JaegerStore(serve(refuse)) as store, pytest.raises(StoreError, match=said) as raised:
        store.runs()
    assert "\n" not in str(raised.value)
    assert not store.partial


def test_a_jaeger_that_fails_midway_gives_a_partial_answer(serve: Serve) -> None:
    """What was read before a request failed is the answer, and it says that it is partial, and why."""
    asked = []

    def once(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        asked.append(request)
        if len(asked) > 1:
            context.abort(grpc.StatusCode.INTERNAL, "disk full")
        return traces(2, T0)

    with JaegerStore(serve(once), since_ns=T0 - 10**9, until_ns=T0 + 10**9, page=2) as store:
        assert [run.component for run in store.runs()] == ["train", "train"]
        assert store.partial
        assert "disk full" in store.problems[0]


def test_a_server_without_end_is_left(serve: Serve) -> None:
    """More traces than were asked for are not waited for, and the requests of a question are counted."""
    asked = []

    def endless(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        asked.append(request)
        while context.is_active():
            yield from traces(50, T0)

    url = serve(endless)
    with JaegerStore(url, since_ns=T0 - 10**9, until_ns=T0 + 10**9, page=10, max_requests=5) as store:
        assert store.runs(component="train")
        assert store.partial
    assert len(asked) == 5


def test_the_command_line_says_it_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback: one line on standard error, and exit code 2."""
    for arguments in (["runs", "--jaeger", "127.0.0.1:9"], ["lineage", "x", "--jaeger", "http://"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        told = capsys.readouterr()
        assert (ended.value.code, told.out, told.err.count("\n")) == (2, "", 1)


def test_the_command_line_says_that_an_answer_is_partial(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard error says so, where something was found and where nothing was."""
    asked = []

    def every_other(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        asked.append(request)
        if len(asked) % 2 == 0:
            context.abort(grpc.StatusCode.INTERNAL, "disk full")
        return traces(200, T0)

    url = serve(every_other)

    assert exit_code("history", "nobody", "--jaeger", url) == 1
    assert "the answer is partial" in capsys.readouterr().err
    assert exit_code("runs", "--jaeger", url, "--format", "json") == 0
    assert "the answer is partial" in capsys.readouterr().err


def test_a_store_and_a_jaeger_are_one_too_many(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """--store and --jaeger exclude each other."""
    with pytest.raises(SystemExit) as ended:
        main(["runs", "--jaeger", "127.0.0.1:9", "--store", str(tmp_path)])
    assert ended.value.code == 2
    assert "give one of them" in capsys.readouterr().err
