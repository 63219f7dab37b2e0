"""Each run carries a number; its process is killed at a random moment; afterwards every number is looked for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from amounts import amount
from collected_runs import collector, number_of
from killed_children import Told, kill_children
from otlp_sink import Sink

from mlotel.semconv import events as E
from mlotel.store.files import FileStore

KILLS = amount(60, 500)


def test_every_run_of_killed_processes_is_in_the_store(tmp_path: Path) -> None:
    """Each run whose code began is there once, ended or lost, with its start and all that it had read and written."""
    told = kill_children(tmp_path, KILLS, seed=6, tear=True)

    with FileStore(tmp_path / "store") as store:
        runs = [run for run in store.runs() if run.component == "numbered"]
        status = store.status()
    told.account_for(runs)
    # A line of which half was written is the last one of its process: skipped, counted, and no other is the worse. The
    # kernel tears one now and then, beside those that the children tear themselves.
    torn = sum(not is_whole(path.read_bytes()) for path in (tmp_path / "store" / "segments").iterdir())
    assert torn >= told.torn > 0
    assert (status.torn, status.skipped) == (torn, 0)


def is_whole(content: bytes) -> bool:
    """Return whether the last line is JSON, if there is one: a process may die before its first."""
    try:
        json.loads(content.splitlines()[-1] if content else b"{}")
    except ValueError:
        return False
    return True


def test_every_run_of_killed_processes_comes_to_a_collector(tmp_path: Path) -> None:
    """What a killed process had not sent yet is sent by the next replay: no number is missing, none has two spans."""
    with collector(tmp_path) as there:
        endpoint = there.sink.endpoint
        told = kill_children(tmp_path, KILLS, seed=9, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, MLOTEL_STORE="")
        there.replay()
    account_for(there.sink, told)


def account_for(sink: Sink, told: Told) -> None:
    """Compare what arrived with what the children said."""
    starts = [record for record in sink.records if record.event_name == E.MLOTEL_RUN_START]
    started = {record.span_id: number for record in starts if (number := number_of(record)) is not None}
    ended = [number for span in sink.spans if (number := number_of(span)) is not None]
    touched = Counter(
        (started[span.parent_span_id], span.name) for span in sink.spans if span.parent_span_id in started
    )
    assert sink.malformed == 0
    assert told["began"] <= set(started.values()) <= told["begins"]
    assert told["ended"] <= set(ended) <= told["wrote"]
    assert len(started) == len(set(started.values()))
    assert {n for n in told["read"] if not touched[n, "read in"]} == set()
    assert {n for n in told["wrote"] if not touched[n, "write out"]} == set()
    # what was on its way when the process died may arrive twice: the same span, which backends show once
    assert len({span.span_id for span in sink.spans}) == len(set(ended)) + len(touched) + 1
