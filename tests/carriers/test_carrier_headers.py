"""Trace context in headers, environment and sidecars: what is written, and what is not believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import mlotel
from mlotel import carriers
from mlotel.carriers import environment, headers, sidecar
from mlotel.model import ArtifactContext
from mlotel.testing import CapturedRuns, capture

TRACEPARENT = f"00-{7:032x}-{9:016x}-01"
DIGEST = "blake3:" + "ab" * 32
CONTEXT = ArtifactContext(TRACEPARENT, DIGEST)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)
NEAR = st.sampled_from(
    [
        TRACEPARENT,
        TRACEPARENT.upper(),
        TRACEPARENT + "-extra",
        "cc" + TRACEPARENT[2:] + "-what-comes-later",
        "ff" + TRACEPARENT[2:],
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
        TRACEPARENT[:-1],
        TRACEPARENT + "\n",
        " " + TRACEPARENT,
        TRACEPARENT.replace("-", "_"),
        TRACEPARENT.replace("7", "\u0667"),  # a digit, but none of these
        "x" * 100_000,
    ]
)


ASCII = st.characters(min_codepoint=32, max_codepoint=126)
SHAPED = st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", fullmatch=True, alphabet=ASCII)


@given(text=NEAR | SHAPED)
@example(TRACEPARENT)
def test_traceparents_are_those_of_opentelemetry(text: str) -> None:
    """What OpenTelemetry's own propagator takes for a context is one, and nothing else."""
    assume(len(text) <= 200)  # ours has a bound
    propagator = TraceContextTextMapPropagator()
    context_found = propagator.extract({"traceparent": text}, context.Context())
    official = trace.get_current_span(context_found).get_span_context()
    found = carriers.parse_traceparent(text)
    assert (found is not None) == official.is_valid
    if found is not None:
        assert (found.trace_id, found.span_id) == (official.trace_id, official.span_id)
        assert found.is_remote
        assert carriers.format_traceparent(found)[2:53] == text.strip()[2:53]


@pytest.mark.parametrize(
    "held",
    [
        {"traceparent": TRACEPARENT, "mlotel-digest": DIGEST},
        {"TraceParent": TRACEPARENT, "Mlotel-Digest": DIGEST, "other": "x"},
        {b"traceparent": TRACEPARENT.encode(), b"mlotel-digest": DIGEST.encode()},
        [("traceparent", TRACEPARENT), ("mlotel-digest", DIGEST)],
        [("traceparent", TRACEPARENT.encode()), ("mlotel-digest", DIGEST.encode()), ("other", None)],
        [(b"traceparent", TRACEPARENT.encode()), (b"mlotel-digest", DIGEST.encode())],
        ((name, value) for name, value in (("traceparent", TRACEPARENT), ("mlotel-digest", DIGEST))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_headers_are_read_as_every_client_gives_them(held: Any) -> None:
    """Mappings and pairs, text and bytes, names in any case."""
    assert mlotel.extract(held) == CONTEXT


ODD_HEADERS = st.one_of(
    JSON,
    st.dictionaries(
        st.sampled_from(["traceparent", "mlotel-digest", "Traceparent"]) | st.text(), NEAR | JSON, max_size=3
    ),
    st.lists(st.tuples(st.sampled_from(["traceparent", b"mlotel-digest"]), st.binary() | NEAR | st.none()), max_size=3),
    st.lists(JSON | st.tuples(JSON, JSON, JSON), max_size=3),
)


def test_messages_of_the_standard_library_are_read() -> None:
    """`http.server` and `urllib` hand over messages that have `items` and are no mappings."""
    message = Message()
    message["TraceParent"] = TRACEPARENT
    message["Mlotel-Digest"] = DIGEST

    assert mlotel.extract(message) == CONTEXT


@settings(max_examples=200)
@given(held=ODD_HEADERS)
def test_malformed_headers_never_raise(held: Any) -> None:
    """What is no context is None, whatever it is."""
    found = mlotel.extract(held)
    assert found is None or carriers.parse_traceparent(found.traceparent) is not None


def test_a_message_without_headers_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    """Kafka clients give None."""
    assert mlotel.extract(None) is None  # type: ignore[arg-type]
    assert mlotel.extract({}) is None
    assert mlotel.extract([]) is None
    assert caplog.records == []


def test_a_digest_that_is_none_makes_the_headers_worthless() -> None:
    """It could not be checked against the content."""
    assert mlotel.extract({"traceparent": TRACEPARENT, "mlotel-digest": "md5:123"}) is None
    assert mlotel.extract({"traceparent": TRACEPARENT}) == ArtifactContext(TRACEPARENT)


@pytest.mark.parametrize(
    "carrier",
    [{}, {"Traceparent": "old", "MLOTEL-DIGEST": "old", "kept": "x"}, [], [("traceparent", b"old"), ("kept", b"x")]],
)
def test_what_is_put_in_headers_can_be_read_and_stands_there_once(carrier: Any) -> None:
    """For mappings and for the lists of pairs that Kafka producers take."""
    with capture() as captured, mlotel.component("a") as run:
        run.log_output(b"content", "message")
        mlotel.inject(carrier, "message")
    output = captured.runs[0].outputs[0]
    found = mlotel.extract(carrier)
    assert found is not None
    parsed = carriers.parse_traceparent(found.traceparent)
    assert parsed is not None
    assert (f"{parsed.span_id:016x}", found.digest) == (output.span_id, output.digest)
    names = [name.lower() for name in (carrier if isinstance(carrier, dict) else [pair[0] for pair in carrier])]
    assert sorted(names) == sorted({*names})
    if isinstance(carrier, list):
        assert all(isinstance(value, bytes) for _, value in carrier)


def test_no_carrier_holds_baggage_or_tracestate(tmp_path: Path) -> None:
    """What an application keeps in its context stays there: a carrier goes wherever the data goes."""
    state = trace.TraceState([("vendor", "secret-state")])
    span = trace.NonRecordingSpan(trace.SpanContext(7, 9, True, trace.TraceFlags(1), state))
    token = context.attach(baggage.set_baggage("user", "secret-baggage", trace.set_span_in_context(span)))
    try:
        with capture(), mlotel.component("a") as run:
            path = tmp_path / "a.txt"
            path.write_text("x")
            run.log_output(path, sidecar=True)
            carrier: dict[str, str] = {}
            mlotel.inject(carrier)
            mlotel.inject(carrier, "a.txt")
            variables = run.environment()
    finally:
        context.detach(token)
    assert carrier.keys() == {"traceparent", "mlotel-digest"}
    assert variables.keys() == {"TRACEPARENT", "MLOTEL_ARTIFACTS"}
    beside = json.loads((tmp_path / "a.txt.mlotel.json").read_text())
    assert beside.keys() == {"traceparent", "digest"}
    assert "secret" not in repr((carrier, variables, beside))


# -- the order of trust


def link_of(captured: CapturedRuns) -> tuple[str, str] | None:
    link = captured.runs[-1].inputs[0].link
    return None if link is None else (link.span_id, str(link.resolved_by))


def test_headers_without_a_digest_are_vouched_for_by_who_hands_them_over() -> None:
    """A message's sender need not know the digest."""
    with capture() as captured, mlotel.component("a") as run:
        run.log_input(b"message", context=ArtifactContext(TRACEPARENT))
    assert link_of(captured) == (f"{9:016x}", "header")


def test_headers_of_other_content_are_not_believed() -> None:
    """The digest says so; a note stays."""
    with capture() as captured, mlotel.component("a") as run:
        run.log_input(b"message", context=CONTEXT)
    assert link_of(captured) is None
    assert "header context is of other content" in str(captured.runs[0].inputs[0].note)


def test_a_sidecar_is_believed_as_long_as_the_file_is_the_same(tmp_path: Path) -> None:
    """A file that was rewritten without its sidecar has no producer."""
    path = tmp_path / "model.bin"
    path.write_bytes(b"weights")
    with capture() as written, mlotel.component("train") as run:
        run.log_output(path, sidecar=True)
    with capture() as captured:  # another store: it knows of no digest
        with mlotel.component("a") as run:
            run.log_input(path)
        path.write_bytes(b"others!")
        with mlotel.component("a") as run:
            run.log_input(path)
    first, second = captured.runs
    assert first.inputs[0].link is not None
    assert (first.inputs[0].link.span_id, first.inputs[0].link.resolved_by) == (
        written.runs[0].outputs[0].span_id,
        "sidecar",
    )
    assert second.inputs[0].link is None
    assert "sidecar context is of other content" in str(second.inputs[0].note)


def test_the_producer_is_found_by_digest_where_nothing_carries_it() -> None:
    """The store knows who wrote the same content last."""
    with capture() as captured:
        for name in ("one", "two"):
            with mlotel.component(name) as run:
                run.log_output(b"content", "x")
        with mlotel.component("reader") as run:
            run.log_input(b"content", "y")
    assert link_of(captured) == (captured.runs[1].outputs[0].span_id, "digest")


def test_empty_content_has_no_producer_by_digest() -> None:
    """All empty files are alike."""
    with capture() as captured:
        with mlotel.component("writer") as run:
            run.log_output(b"", "x")
        with mlotel.component("reader") as run:
            run.log_input(b"", "x")
    assert link_of(captured) is None


def test_headers_come_before_sidecars_and_those_before_digests(tmp_path: Path) -> None:
    """Of several producers that could be, the one that is told most directly is linked."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    with capture() as captured:
        with mlotel.component("beside") as run:
            run.log_output(path, sidecar=True)
        with mlotel.component("again") as run:
            run.log_output(b"content", "x")
            digest = run.environment()["MLOTEL_ARTIFACTS"]
        with mlotel.component("by sidecar") as run:
            run.log_input(path)
        beside = link_of(captured)
        with mlotel.component("by header") as run:
            run.log_input(path, context=ArtifactContext(TRACEPARENT, next(iter(json.loads(digest)))))
        header = link_of(captured)
    assert beside == (captured.runs[0].outputs[0].span_id, "sidecar")
    assert header == (f"{9:016x}", "header")


# -- environment


@given(
    text=st.text() | JSON.map(json.dumps) | st.dictionaries(st.text() | st.just(DIGEST), NEAR | JSON).map(json.dumps)
)
def test_malformed_environments_never_raise(text: str) -> None:
    """What is no list of contexts holds none."""
    found = environment.artifacts({"MLOTEL_ARTIFACTS": text})
    assert all(context.digest == digest for digest, context in found.items())


def test_bombs_in_the_environment_are_harmless() -> None:
    """Depth, length and numbers beyond measure."""
    for text in ("[" * 100_000, '{"a":' * 50_000, "9" * 100_000, '{"a":' + "9" * 99_000 + "}", '"' + "x" * 10**7):
        assert environment.artifacts({"MLOTEL_ARTIFACTS": text}) == {}


def test_the_environment_stays_small() -> None:
    """Of many artifacts the latest 64 are told."""
    contexts = [ArtifactContext(TRACEPARENT, f"blake3:{i:064x}") for i in range(1000)]
    variables = environment.variables(TRACEPARENT, None, contexts)
    assert len(variables["MLOTEL_ARTIFACTS"]) < 10_000
    assert list(environment.artifacts(variables)) == [context.digest for context in contexts[-64:]]


# -- sidecars


@settings(max_examples=100, deadline=None)
@given(
    content=st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from(["traceparent", "digest"]), NEAR | JSON).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_malformed_sidecars_never_raise(content: bytes) -> None:
    """Nor are they believed."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        sidecar.path_of(path).write_bytes(content)
        found = sidecar.read(str(path))
    assert found is None or carriers.parse_traceparent(found.traceparent) is not None


def test_a_sidecar_is_small_or_not_read(tmp_path: Path) -> None:
    """A file of gigabytes beside an artifact is not taken into memory."""
    path = tmp_path / "a.csv"
    with sidecar.path_of(path).open("wb") as file:
        file.write(json.dumps({"traceparent": TRACEPARENT, "digest": DIGEST}).encode())
        file.truncate(10**10)
    assert sidecar.read(str(path)) is None
    assert sidecar.read(str(tmp_path / "none")) is None
    (tmp_path / "folder.mlotel.json").mkdir()
    assert sidecar.read(str(tmp_path / "folder")) is None


def test_a_sidecar_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure leaves the one that was there, and nothing beside it."""
    path = tmp_path / "a.csv"
    sidecar.write(path, CONTEXT)
    monkeypatch.setattr(json, "dump", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        sidecar.write(path, ArtifactContext(TRACEPARENT))
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv.mlotel.json"]
    assert sidecar.read(str(path)) == CONTEXT


def test_headers_round_trip() -> None:
    """Read what was written."""
    carrier: dict[str, str] = {}
    headers.write(carrier, CONTEXT)
    assert headers.read(carrier) == CONTEXT


def test_a_sidecar_that_cannot_be_written_is_a_warning(
    script: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The output is on record all the same."""
    with capture() as captured, mlotel.component("a") as run:
        path = tmp_path / ("x" * 250)
        path.write_text("x")
        run.log_output(path, "x", sidecar=True)
    assert [a.name for a in captured.runs[0].outputs] == ["x"]
    assert len(caplog.records) == 1
