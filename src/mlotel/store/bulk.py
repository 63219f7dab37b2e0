"""Many questions of one kind, answered together: a walk asks for a whole level, and the index is gone through once.

What the index finds by a number is compared with the line afterwards: numbers are not unique. Where answers have an
order, it is that of each question by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from typing import TypeVar

from mlotel.model import Artifact, Run
from mlotel.store.assembly import Assembly
from mlotel.store.index import Index, marks
from mlotel.store.rows import IoRow, begins, digest_number, digest_range, flags_of, ids_of, span_number, trace_numbers

__all__ = [
    "Span",
    "dependents_of",
    "digests_written_often",
    "is_written_by_others",
    "latest_of_each_digest",
    "latest_write",
    "reads_of",
    "reads_of_runs",
    "runs_of_spans",
    "runs_with_ids",
    "writes_of",
]

Span = tuple[str, str]
"""Trace id and span id, in hex digits."""

_CHUNK = 500
K = TypeVar("K")


def runs_with_ids(index: Index, assembly: Assembly, run_ids: Iterable[str]) -> dict[str, Run]:
    """The runs of whole run ids, by id; what is no id, or no run's, is left out."""
    asked = _by_number(run_ids, lambda run_id: trace_numbers(run_id.lower())[0])
    found: dict[str, Run] = {}
    for chunk in _chunks(asked):
        for run in assembly.runs(index, index.run_rows(f"run_hi IN {marks(chunk)}", chunk)):
            found[run.run_id] = run
    return {key: found[key.lower()] for keys in asked.values() for key in keys if key.lower() in found}


def runs_of_spans(index: Index, assembly: Assembly, spans: Iterable[Span]) -> dict[Span, Run]:
    """The runs to which spans belong, by span: the run span itself or one of its I/O spans."""
    asked = _by_number(spans, lambda span: span_number(span[1].lower()))
    found: dict[Span, Run] = {}
    for chunk in _chunks(asked):
        numbers: defaultdict[int, list[int]] = defaultdict(list)
        spans_in = f"span IN {marks(chunk)}"
        sql = f"SELECT span, id FROM run WHERE {spans_in} UNION SELECT span, run FROM io WHERE {spans_in}"
        for number, row_id in index.rows(sql, (*chunk, *chunk)):
            numbers[row_id].append(number)
        rows = index.run_rows(f"id IN {marks(numbers)}", (*numbers,))
        runs = {run.run_id: run for run in assembly.runs(index, rows)}
        for row in rows:
            run_id, trace_id, _ = ids_of(row)
            for span in (span for number in numbers[row.id] for span in asked[number]):
                if span[0].lower() == trace_id and run_id in runs:
                    found.setdefault(span, runs[run_id])
    return found


def writes_of(index: Index, assembly: Assembly, digests: Iterable[str]) -> Iterator[Artifact]:
    """The writes of whole digests, of each digest the latest first."""
    wanted = set(digests)
    for chunk in _chunks(_by_number(wanted, digest_number)):
        rows = index.io_rows_by_number(f"digest IN {marks(chunk)} AND flags IN (?, ?)", (*chunk, *flags_of("output")))
        yield from (each for each in _latest_first(assembly, rows) if each.digest in wanted)


def digests_written_often(index: Index, digests: Iterable[str], more_than: int) -> set[str]:
    """Those of whole digests of which there are more writes than that; they are counted, and none is read."""
    asked, often = _by_number(set(digests), digest_number), set[str]()
    for chunk in _chunks(asked):
        writes = f"SELECT digest FROM io WHERE digest IN {marks(chunk)} AND flags IN (?, ?)"
        parameters = (*chunk, *flags_of("output"), more_than)
        for (number,) in index.rows(f"{writes} GROUP BY digest HAVING count(*) > ?", parameters):
            often.update(asked[number])
    return often


def latest_write(index: Index, assembly: Assembly, digest: str, until_ns: int | None) -> Artifact | None:
    """The latest write of a whole digest that began no later than `until_ns`; the latest of all where that is None."""
    where, parameters = "digest = ? AND flags = ?", [digest_number(digest)]
    if until_ns is not None:
        where, parameters = f"time <= ? AND {where}", [until_ns, *parameters]
    found = [
        write
        for flags in flags_of("output")
        # Of those at one time the first, as where all are read
        for rows in [index.io_rows(where, (*parameters, flags), "time DESC, id")]
        for write in islice((each for each in assembly.artifacts(rows) if each.digest == digest), 1)
    ]
    return max(found, key=lambda each: each.time_ns, default=None)


def is_written_by_others(index: Index, assembly: Assembly, digest: str, run_id: str) -> bool:
    """Whether any run but this one wrote a whole digest."""
    own = index.rows("SELECT id FROM run WHERE run_hi = ? AND run_lo = ?", trace_numbers(run_id))
    parameters = (digest_number(digest), *flags_of("output"), own[0][0] if own else 0)
    rows = index.io_rows("digest = ? AND flags IN (?, ?) AND run <> ?", parameters, "time DESC")
    return any(each.digest == digest for each in assembly.artifacts(rows))


def latest_of_each_digest(index: Index, assembly: Assembly, beginning: str) -> Iterator[Artifact]:
    """For each digest that begins so, its latest write, or its latest read where no run wrote it.

    The index leads to them in order, so that content that was read a million times is looked at once.
    """
    low, high = digest_range(beginning)
    smallest = "SELECT min(digest) FROM io WHERE digest BETWEEN ? AND ?"
    while (number := index.rows(smallest, (low, high))[0][0]) is not None:
        for direction in ("output", "input"):
            latest = [
                artifact
                for flags in flags_of(direction)
                for artifact in islice(_matching(index, assembly, number, flags, beginning), 1)
            ]
            if latest:
                yield max(latest, key=lambda each: each.time_ns)
                break
        if number == high:
            return
        low = number + 1


def _matching(index: Index, assembly: Assembly, number: int, flags: int, beginning: str) -> Iterator[Artifact]:
    found = assembly.artifacts(index.io_rows("digest = ? AND flags = ?", (number, flags)))
    return (artifact for artifact in found if begins(artifact.digest, beginning))


def reads_of(
    index: Index, assembly: Assembly, spans: Iterable[Span], digests: Iterable[str] = ()
) -> Sequence[Artifact]:
    """The artifacts that were read with a link to one of these spans, or that are of one of these whole digests.

    The latest is the first; each stands once.
    """
    linked = {(trace_id.lower(), span_id.lower()) for trace_id, span_id in spans}
    wanted = set(digests)
    numbers = _chunks(_by_number(linked, lambda span: span_number(span[1])))
    rows: dict[int, IoRow] = {}
    for of_spans, of_digests in zip_longest(numbers, _chunks(_by_number(wanted, digest_number)), fillvalue=()):
        where = f"link IN {marks(of_spans)} OR (digest IN {marks(of_digests)} AND flags IN (?, ?))"
        found = index.io_rows_by_number(where, (*of_spans, *of_digests, *flags_of("input")))
        rows.update((row.id, row) for row in found)
    return [
        each
        for each in _latest_first(assembly, sorted(rows.values()))
        if each.digest in wanted or (each.link is not None and (each.link.trace_id, each.link.span_id) in linked)
    ]


def reads_of_runs(index: Index, assembly: Assembly, run_ids: Iterable[str]) -> Iterator[Artifact]:
    """The artifacts that were read with a link to a run of whole ids: to its own span, or to that of one of its reads.

    Found by the first halves of run ids, and by the span that a link names, whatever the trace: whoever asks compares.
    """
    for chunk in _chunks(_by_number(run_ids, lambda run_id: trace_numbers(run_id.lower())[0])):
        runs = f"run_hi IN {marks(chunk)}"
        own = f"SELECT span FROM run WHERE {runs}"
        reads = f"SELECT io.span FROM run JOIN io ON io.run = run.id WHERE {runs} AND flags IN (?, ?)"
        where = f"link IN ({own} UNION ALL {reads})"
        rows = index.io_rows_by_number(where, (*chunk, *chunk, *flags_of("input")))
        yield from _latest_first(assembly, rows)


def dependents_of(index: Index, assembly: Assembly, spans: Iterable[Span]) -> Iterator[Run]:
    """The runs that were said to depend on a run of one of these spans, of each span the latest first."""
    wanted = {(trace_id.lower(), span_id.lower()) for trace_id, span_id in spans}
    for chunk in _chunks(_by_number(wanted, lambda span: span_number(span[1]))):
        where = f"id IN (SELECT run FROM dependency WHERE link IN {marks(chunk)})"
        for run in assembly.runs(index, index.run_rows(where, chunk)):
            if any((link.trace_id, link.span_id) in wanted for link in run.dependencies):
                yield run


def _latest_first(assembly: Assembly, rows: Iterable[IoRow]) -> list[Artifact]:
    """The artifacts of rows in the order of their numbers; of those at one time, the one last read into the index."""
    found = list(assembly.artifacts(rows))
    found.reverse()
    found.sort(key=lambda each: each.time_ns, reverse=True)
    return found


def _by_number(keys: Iterable[K], number_of: Callable[[K], int]) -> dict[int, list[K]]:
    """What is asked for, by its number in the index; what can have none is in no line either."""
    asked: dict[int, list[K]] = {}
    for key in keys:
        try:
            asked.setdefault(number_of(key), []).append(key)
        except ValueError:
            continue
    return asked


def _chunks(numbers: Iterable[int]) -> Iterator[Sequence[int]]:
    """Numbers, so many at a time."""
    rest = iter(numbers)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
