"""Lines that no encoder would write: whatever they hold, a store answers."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from otlp_lines import RunLines, digest, link_to, span_line

from mlotel.semconv import attributes as A
from mlotel.store.memory import MemoryStore

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def good_lines() -> list[bytes]:
    run = RunLines(1, **{A.MLOTEL_PARAM + ".k": 3})
    read = run.read("x", digest("a"), links=[link_to(run.span(), **{A.MLOTEL_LINK_TYPE: "consumes"})])
    manifest = run.manifest([{"name": "p", "digest": digest("b")}], read["spanId"])
    return [run.start(), run.heartbeat(30), span_line(read), manifest, run.end_record("ok", 5), run.end()]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value of a JSON document."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *[deeper for key, child in children for deeper in places(child, (*path, key))]]


def replaced(document: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = replaced(document[path[0]], path[1:], by)
    return copy


def ask_everything(store: MemoryStore) -> int:
    run = RunLines(1)
    found = len(store.runs())
    store.find_runs(run.run_id[:6])
    store.run_of_span(run.trace_id, run.span_id)
    store.find_artifacts(digest=digest("a"))
    store.find_artifacts(name="p")
    store.find_artifacts(uri="u")
    store.writer_of(digest("a"))
    store.readers_of(run.trace_id, run.span_id)
    store.status()
    return found


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_value_in_any_place(data: st.DataObject) -> None:
    """With any one value of a line replaced by anything, each question is answered and other runs are there."""
    lines = good_lines()
    number = data.draw(st.integers(0, len(lines) - 1))
    document = json.loads(lines[number])
    path = data.draw(st.sampled_from(places(document)))
    lines[number] = json.dumps(replaced(document, path, data.draw(anything))).encode()
    store = MemoryStore([*lines, RunLines(2).end()])

    assert ask_everything(store) >= 1
    assert [run.run_id for run in store.find_runs(RunLines(2).run_id)] == [RunLines(2).run_id]
    store.close()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=60).filter(lambda line: b"\n" not in line), max_size=5), st.integers(0, 2000))
def test_any_bytes(lines: list[bytes], cut: int) -> None:
    """Any bytes, and any beginning of a good line, are skipped: the good lines around them are read."""
    store = MemoryStore([*lines, RunLines(1).end()[:cut], RunLines(2).end()])

    assert RunLines(2).run_id in [run.run_id for run in store.runs()]
    store.close()
