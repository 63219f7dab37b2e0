"""TempoStore where Tempo is away, slow or something else: one clear error, or a partial answer that says so."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import pytest
from otlp_lines import SECOND, T0, RunLines, digest, span_line
from tempo_standin import Answer, Fault, StandInTempo

from mlotel.cli import main
from mlotel.errors import ConfigurationError, StoreError
from mlotel.semconv import attributes as A
from mlotel.store import Store
from mlotel.store.headers import QUERY_HEADERS
from mlotel.store.tempo import TempoStore

TempoOf = Callable[..., StandInTempo]
SECRET = "s3cr3t-token"


def open_store(url: str, **arguments: object) -> TempoStore:
    given = {"since_ns": T0 - 3600 * SECOND, "until_ns": T0 + 3600 * SECOND, **arguments}
    return TempoStore(url, **given)  # type: ignore[arg-type] # those of TempoStore


def on(path: str, answer: Answer, *, after: int = 0) -> Fault:
    """Answers the requests for a path, once it has been asked for `after` times."""
    asked = []

    def fault(target: str) -> Answer | None:
        if path not in target:
            return None
        asked.append(target)
        return answer if len(asked) > after else None

    return fault


def exit_code(*arguments: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code or 0


@pytest.fixture
def raw_server() -> Iterator[Callable[..., str]]:
    """Starts a server that answers every connection with the same bytes and closes it; returns its address.

    With `drip`, byte by byte follows until the client has had enough.
    """
    listening = []
    never = Event()

    def start(content: bytes, *, drip: bool = False) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        listening.append(server)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(content)
                    while drip and not never.wait(0.01):
                        connection.sendall(b"x")

        Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}"

    yield start
    for server in listening:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def test_it_is_a_store() -> None:
    """A TempoStore is a Store, and connects to nothing before it is asked."""
    assert isinstance(TempoStore("http://localhost:1"), Store)


@pytest.mark.parametrize(
    "url",
    ["", "http://", "ftp://host", "file:///etc/passwd", "http://host:port", "http://host/?a=b", "a b://", "h\nst"],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """An address that cannot be one is told at once, with what to say instead."""
    with pytest.raises(ConfigurationError, match="3200"):
        TempoStore(url)


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    """A password does not belong into an address; the error says where it does, and does not show it."""
    with pytest.raises(ConfigurationError, match=QUERY_HEADERS) as raised:
        TempoStore(f"https://user:{SECRET}@host")
    assert SECRET not in str(raised.value)


def test_an_address_may_have_a_path(tempo_of: TempoOf) -> None:
    """Behind a proxy the API is found below a path."""
    tempo = tempo_of()
    with open_store(f"{tempo.url}/tempo/") as store, pytest.raises(StoreError, match="has no /api/search"):
        store.runs()
    assert tempo.asked[0].startswith("/tempo/api/search?")


def test_nobody_there() -> None:
    """Where nothing listens, the error names the address and the port that it takes."""
    with open_store("http://127.0.0.1:9") as store, pytest.raises(StoreError, match=r"127\.0\.0\.1:9 .*3200"):
        store.runs()


@pytest.mark.parametrize("path", ["/api/search", "/traces/"])
def test_a_tempo_that_does_not_answer(tempo_of: TempoOf, path: str) -> None:
    """A request has a deadline, and the error says which."""
    ended = Event()
    tempo = tempo_of(RunLines(1).end(), fault=on(path, Answer(wait=ended)))
    try:
        with open_store(tempo.url, timeout_s=0.2) as store, pytest.raises(StoreError, match=r"within 0\.2 s"):
            store.runs()
    finally:
        ended.set()


METHODS = [
    pytest.param(lambda store: store.runs(), id="runs"),
    pytest.param(lambda store: store.find_runs("0b" + "0" * 29 + "1"), id="id"),
    pytest.param(lambda store: store.find_runs("0a00"), id="prefix"),
    pytest.param(lambda store: store.run_of_span("ab" * 16, "ab" * 8), id="span"),
    pytest.param(lambda store: store.find_artifacts(name="x"), id="artifacts"),
    pytest.param(lambda store: store.readers_of("ab" * 16, "ab" * 8), id="readers"),
    pytest.param(lambda store: store.dependents_of("ab" * 16, "ab" * 8), id="dependents"),
    pytest.param(lambda store: store.children_of("ab" * 16, "ab" * 8), id="children"),
    pytest.param(lambda store: store.predictions("key"), id="predictions"),
    pytest.param(lambda store: store.search("{ }"), id="search"),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"\xff\xfe junk"),
        Answer(body=b""),
        Answer(body=b'{"traces": [{"traceID": "xyz"}], "trace": 7}'),
        Answer(body=b'{"traces": 7, "trace": {"resourceSpans": [7]}}'),
        Answer(body=b"[" * 100_000),
        Answer(body=b'{"traces": [', cut=100),
        Answer(500, b"disk\nfull"),
        Answer(503),
        Answer(429, b"slow down"),
        Answer(401, b"no org id"),
        Answer(302, headers={"Location": "file:///etc/passwd"}),
    ],
    ids=["junk", "nothing", "no trace", "no list", "deep", "torn", "500", "503", "429", "401", "redirect"],
)
def test_an_answer_that_is_none(tempo_of: TempoOf, method: Callable[[TempoStore], object], answer: Answer) -> None:
    """Whatever is asked and whatever comes back: an error of the store, in one line, and nothing followed."""
    tempo = tempo_of(fault=lambda path: answer)
    with open_store(tempo.url) as store, pytest.raises(StoreError) as raised:
        method(store)
    assert "\n" not in str(raised.value)
    assert f"Tempo at {tempo.url}" in str(raised.value)
    assert len(tempo.asked) <= 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(503, b"disk\x1b[31m\nfull"), "status 503 .disk .31m full"),
        (Answer(429, b"rate limited"), "asked too much.*rate limited"),
        (Answer(403), f"status 403.*{QUERY_HEADERS}"),
        (Answer(400, b"parse error"), "does not take the query .parse error"),
        (Answer(301, headers={"Location": "http://elsewhere"}), "not followed"),
        (Answer(404), "has no /api/search"),
    ],
)
def test_a_tempo_that_refuses(tempo_of: TempoOf, answer: Answer, said: str) -> None:
    """What Tempo says is passed on, without control characters, and with what to do."""
    with open_store(tempo_of(fault=lambda path: answer).url) as store, pytest.raises(StoreError, match=said):
        store.runs()
    assert not store.partial


def test_an_answer_that_is_too_large(tempo_of: TempoOf) -> None:
    """Of an answer without end no more is taken than is allowed; a trace that is too large costs no other."""
    run, large = RunLines(1), RunLines(2, start_s=1, **{A.MLOTEL_TAG + ".long": "x" * 5000})
    tempo = tempo_of(run.end(), large.end())
    with open_store(tempo.url, max_bytes=100) as store, pytest.raises(StoreError, match="more than can be taken"):
        store.runs()
    with open_store(tempo.url, max_bytes=4000) as store:
        assert [each.run_id for each in store.runs()] == [run.run_id]
        assert large.trace_id in store.problems[0]


def test_something_else_that_listens(raw_server: Callable[[bytes], str]) -> None:
    """What speaks no HTTP is told as such."""
    with open_store(raw_server(b"SSH-2.0-OpenSSH\r\n")) as store, pytest.raises(StoreError, match="speaks no HTTP"):
        store.runs()


def test_an_answer_that_drips(raw_server: Callable[..., str]) -> None:
    """The deadline is that of the whole answer, however often a little of it comes."""
    beginning = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    with (
        open_store(raw_server(beginning, drip=True), timeout_s=0.3) as store,
        pytest.raises(StoreError, match=r"within 0\.3 s"),
    ):
        store.runs()


def test_a_connection_that_was_ended_meanwhile(raw_server: Callable[[bytes], str]) -> None:
    """A server may end an idle connection: the question is asked again on another one."""
    body = b'{"metrics":{}}'
    url = raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    with open_store(url) as store:
        assert store.runs() == store.runs() == ()


def test_a_tempo_that_fails_midway_gives_a_partial_answer(tempo_of: TempoOf) -> None:
    """What was read before a request failed is the answer, and it says that it is partial, and why."""
    runs = [RunLines(n, start_s=n).end() for n in range(30)]
    tempo = tempo_of(*runs, fault=on("/traces/", Answer(503, b"disk full"), after=12))
    with open_store(tempo.url) as store:
        assert 8 <= len(store.runs()) < 30
        assert store.partial
        assert "disk full" in store.problems[0]


def test_one_trace_that_cannot_be_read_costs_no_other(tempo_of: TempoOf) -> None:
    """A trace too large for Tempo, or torn on its way, is told of; all others are there."""
    runs = [RunLines(n, start_s=n) for n in range(5)]
    bad = runs[3].trace_id
    tempo = tempo_of(*[run.end() for run in runs], fault=on(bad, Answer(500, b"trace exceeds max size")))
    with open_store(tempo.url) as store:
        assert [run.run_id for run in store.runs()] == [runs[n].run_id for n in (4, 2, 1, 0)]
        assert bad in store.problems[0]
        assert "exceeds max size" in store.problems[0]


def test_a_trace_that_tempo_has_only_in_part(tempo_of: TempoOf) -> None:
    """Where Tempo says that it leaves spans out, the answer is partial."""
    run = RunLines(1)
    lines = [run.end(), *(span_line(run.write(str(n), digest("a"))) for n in range(5))]
    with open_store(tempo_of(*lines, max_trace_spans=3).url) as store:
        assert [len(each.outputs) for each in store.runs()] == [2]
        assert "Trace exceeds maximum size" in store.problems[0]


def test_a_span_that_is_none_costs_no_other(tempo_of: TempoOf) -> None:
    """In a trace of several spans, the good ones are read though one is bad, and that is told."""
    run = RunLines(1)
    tempo = tempo_of(run.end(), span_line(run.write("x", digest("a"))))
    spans = tempo._traces[run.trace_id]
    io = next(span for span in spans.values() if span.span_id != run.span_id)
    io.raw["spanId"] = "00"  # type: ignore[index] # a dictionary of this test's
    with open_store(tempo.url) as store:
        assert [len(each.outputs) for each in store.runs()] == [0]
        assert "no span" in store.problems[0]


def test_problems_are_told_up_to_a_number(tempo_of: TempoOf) -> None:
    """A backend in which much is broken does not flood who asks."""
    runs = [RunLines(n, start_s=n) for n in range(80)]
    odd = [run.trace_id for run in runs[::2]]
    torn = Answer(body=b"{")
    tempo = tempo_of(*[run.end() for run in runs], fault=lambda path: torn if path[-32:] in odd else None)
    with open_store(tempo.url) as store:
        assert len(store.runs()) == 40
        assert 0 < len(store.problems) <= 20


def test_headers_are_sent_and_told_to_nobody(tempo_of: TempoOf) -> None:
    """Credentials and the tenant go with each request, and stand in no error and no representation."""
    tempo = tempo_of(RunLines(1).end(), tenants=True)
    headers = {"X-Scope-OrgID": "team", "Authorization": f"Bearer {SECRET}"}
    with open_store(tempo.url) as store, pytest.raises(StoreError, match=QUERY_HEADERS):
        store.runs()
    tempo.headers.clear()
    with open_store(tempo.url, headers=headers) as store:
        assert len(store.runs()) == 1
        assert SECRET not in repr(store) + repr(vars(store)) + repr(store._query) + repr(store._query._http)
    assert len(tempo.headers) == 2
    assert all(headers.items() <= sent.items() for sent in tempo.headers)


def test_the_command_line_sends_headers(
    tempo_of: TempoOf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """MLOTEL_QUERY_HEADERS is read by the commands, and its values are printed in no case."""
    tempo = tempo_of(RunLines(1).end(), tenants=True)
    monkeypatch.setenv(QUERY_HEADERS, f"X-Scope-OrgID=team,authorization=Bearer%20{SECRET}")
    span = ("--since", "2026-01-01", "--until", "2027-01-01")

    assert exit_code("runs", "--tempo", tempo.url, *span) == 0
    assert "train" in capsys.readouterr().out
    assert tempo.headers[-1]["authorization"] == f"Bearer {SECRET}"
    for wrong in (f"{SECRET}", f"a b={SECRET}", f"ok={SECRET}%0d%0aHost:x", f"ok={SECRET}ä"):
        monkeypatch.setenv(QUERY_HEADERS, wrong)
        assert exit_code("runs", "--tempo", tempo.url) == 2
        told = capsys.readouterr()
        assert QUERY_HEADERS in told.err
        assert SECRET not in told.err + told.out


def test_the_command_line_says_it_in_one_line(tempo_of: TempoOf, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback: one line on standard error, and exit code 2."""
    refusing = tempo_of(fault=lambda path: Answer(500, b"oh\n\x1b[2Jno")).url
    for arguments in (
        ["runs", "--tempo", "127.0.0.1:9"],
        ["lineage", "x", "--tempo", "http://"],
        ["show", "abcd", "--tempo", refusing],
    ):
        assert exit_code(*arguments) == 2
        told = capsys.readouterr()
        assert (told.out, told.err.count("\n"), "\x1b" in told.err) == ("", 1, False)


def test_several_places_are_too_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--store, --jaeger and --tempo exclude each other."""
    assert exit_code("runs", "--jaeger", "127.0.0.1:9", "--tempo", "127.0.0.1:9", "--store", str(tmp_path)) == 2
    assert "give one of them" in capsys.readouterr().err


def test_the_command_line_says_that_an_answer_is_partial(tempo_of: TempoOf, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard error says so, and standard output holds what there is."""
    runs = [RunLines(n, start_s=n).end() for n in range(30)]
    tempo = tempo_of(*runs, fault=on("/traces/", Answer(503, b"disk full"), after=12))

    span = ("--since", "2026-01-01", "--until", "2027-01-01")
    assert exit_code("runs", "--tempo", tempo.url, "--format", "json", "--limit", "30", *span) == 0
    assert "the answer is partial" in capsys.readouterr().err


def test_nothing_is_left_open(tempo_of: TempoOf) -> None:
    """A closed store has no connection and no thread left, and may be closed twice."""
    tempo = tempo_of(*[RunLines(n, start_s=n).end() for n in range(20)])
    store = open_store(tempo.url)
    assert len(store.runs()) == 20

    store.close()
    store.close()

    assert store._query._http._idle == []
    assert store._workers is None
    del store
    gc.collect()  # a socket left open would warn, and warnings are errors
