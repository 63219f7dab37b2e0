"""Many questions that are asked together are answered as each is by itself, more of them than one query takes."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from otlp_lines import RunLines, hex_id, link_to, span_line

from mlotel.semconv import attributes as A
from mlotel.store.memory import MemoryStore

MANY = 1_200  # a query takes 500
STRANGER = ("f" * 32, "e" * 16)


class Made(NamedTuple):
    """Producers, what they wrote, and who read it: three readers of each, all at one time."""

    store: MemoryStore
    runs: list[RunLines]
    digests: list[str]
    writes: list[tuple[str, str]]
    by_link: list[str]
    by_digest: list[str]
    of_runs: list[str]


def with_early_id(run: RunLines) -> RunLines:
    """The run, with an id that differs from others' in its first digits, by which the index looks for it."""
    run.run_id = run.attributes[A.MLOTEL_RUN_ID] = run.span_id[::-1] + run.run_id[:16]
    return run


@pytest.fixture(scope="module")
def made() -> Made:
    store, runs, digests = MemoryStore(), [], []
    writes, by_link, by_digest, of_runs = [], [], [], []
    for number in range(MANY):
        run, reader = with_early_id(RunLines(number)), with_early_id(RunLines(MANY + number, "reader"))
        digest = f"blake3:{hex_id(number + 1, 16)}{'0' * 48}"
        source, write = run.read("source"), run.write("data", digest)
        at_once = {"after_s": 5.0, A.MLOTEL_LINK_TYPE: "consumes"}
        linked = reader.read("data", f"blake3:{'f' * 64}", links=[link_to(write)], **at_once)
        both = reader.read("data", digest, links=[link_to(write)], **at_once)
        alone = reader.read("data", digest, after_s=5.0)
        of_run = reader.read("data", links=[link_to((run.span(), source)[number % 2])], **at_once)
        for line in (source, write, run.span(), linked, both, alone, of_run, reader.span()):
            store.append(span_line(line))
        runs.append(run)
        digests.append(digest)
        writes.append((run.trace_id, write["spanId"]))
        by_link += [both["spanId"], linked["spanId"]]
        by_digest += [alone["spanId"], both["spanId"]]
        of_runs.append(of_run["spanId"])
    return Made(store, runs, digests, writes, by_link, by_digest, of_runs)


def test_reads_by_link_and_by_digest(made: Made) -> None:
    """Each read is told of once, though its link and its digest are both asked for."""
    found = made.store.reads_of([*made.writes, STRANGER], [*made.digests, f"blake3:{'e' * 64}"])

    assert sorted(each.span_id for each in found) == sorted({*made.by_link, *made.by_digest})


def test_reads_by_link(made: Made) -> None:
    """Of those at one time, the one read last into the index comes first, as where it is asked for by itself."""
    found = made.store.reads_of(made.writes, ())

    assert sorted(each.span_id for each in found) == sorted(made.by_link)
    for trace_id, span_id in made.writes[:: MANY // 7]:
        of_one = [each.span_id for each in found if each.link is not None and each.link.span_id == span_id]
        assert of_one == [each.span_id for each in made.store.readers_of(trace_id, span_id)]


def test_reads_by_digest(made: Made) -> None:
    """In the same order as where one digest is asked for."""
    found = made.store.reads_of((), made.digests)

    assert sorted(each.span_id for each in found) == sorted(made.by_digest)
    for digest in made.digests[:: MANY // 7]:
        alone = made.store.find_artifacts(digest=digest, direction="input")
        assert [each.span_id for each in found if each.digest == digest] == [each.span_id for each in alone]


def test_reads_of_runs(made: Made) -> None:
    """Reads with a link to the run's span, or to that of what it read; not those of what it wrote."""
    found = made.store.reads_of_runs([*(run.run_id for run in made.runs), "f" * 32, "no id"])

    assert sorted(each.span_id for each in found) == sorted(made.of_runs)


def test_writes_of_digests(made: Made) -> None:
    """Writes, and not the reads of the same."""
    found = made.store.writes_of(made.digests)

    assert sorted(each.span_id for each in found) == sorted(span_id for _, span_id in made.writes)


def test_runs_of_spans_and_ids(made: Made) -> None:
    """By each span that is some run's, and by each id; strangers are left out."""
    spans = made.store.runs_of_spans([*made.writes, STRANGER])
    runs = made.store.runs_with_ids([*(run.run_id for run in made.runs), STRANGER[0]])

    expected = {write: run.run_id for write, run in zip(made.writes, made.runs, strict=True)}
    assert {span: run.run_id for span, run in spans.items()} == expected
    assert sorted(runs) == sorted(expected.values())
