"""FileStore over what a collector's file exporter wrote: a file or a folder, no index beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract import StoreContract, StoreOf
from otlp_lines import SECOND, T0, RunLines, digest, key_values, span_line

from mlotel.errors import StoreError
from mlotel.store.files import FileStore


class TestStoreOfOneFile(StoreContract):
    @pytest.fixture
    def store_of(self, tmp_path: Path) -> Iterator[StoreOf]:
        made: list[FileStore] = []

        def make(*lines: bytes, now_s: float = 0.0) -> FileStore:
            path = tmp_path / f"traces-{len(made)}.json"
            path.write_bytes(b"".join(line + b"\n" for line in lines))
            made.append(FileStore(path, clock=lambda: T0 + round(now_s * SECOND)))
            return made[-1]

        yield make
        for store in made:
            store.close()


def exported(*runs: RunLines) -> bytes:
    """One line as the file exporter 0.155 writes a batch of two resources: foreign spans between mlotel's."""
    http = {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "parentSpanId": "",
        "name": "GET /",
        "kind": 2,
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": "1544712661000000000",
        "attributes": key_values({"http.request.method": "GET", "codes": [200, 304]}),
        "status": {},
    }
    document = {
        "resourceSpans": [
            {
                "resource": {"attributes": key_values({"service.name": "web"})},
                "scopeSpans": [{"scope": {"name": "web.server"}, "spans": [http]}],
                "schemaUrl": "https://opentelemetry.io/schemas/1.27.0",
            },
            {
                "resource": {"attributes": key_values({"service.name": "shop"})},
                "scopeSpans": [
                    {"scope": {}, "spans": [http]},
                    {"scope": {"name": "mlotel"}, "spans": [{**run.span(), "parentSpanId": ""} for run in runs]},
                ],
            },
        ]
    }
    return json.dumps(document).encode() + b"\n"


def test_a_batch_of_several_resources(tmp_path: Path) -> None:
    """The runs of a batch are found among the spans of others, each with the service of its own resource."""
    path = tmp_path / "traces.json"
    path.write_bytes(exported(RunLines(1), RunLines(2, start_s=1)))

    with FileStore(path) as store:
        found = [(run.run_id, run.service, run.parent_span_id) for run in store.runs()]

    assert found == [(RunLines(2).run_id, "shop", None), (RunLines(1).run_id, "shop", None)]


def test_a_folder_of_rotated_files(tmp_path: Path) -> None:
    """All .json and .jsonl files of a folder are one store; others are left alone."""
    for number, name in enumerate(("traces.json", "traces-2026-09-21T10-00-00.000.json", "logs.jsonl", "notes.txt")):
        (tmp_path / name).write_bytes(exported(RunLines(number)))

    with FileStore(tmp_path) as store:
        assert {run.run_id for run in store.runs()} == {RunLines(number).run_id for number in range(3)}


def test_a_folder_that_the_collector_has_only_made(tmp_path: Path) -> None:
    """A reader that was there before the collector's first file sees what it writes."""
    with FileStore(tmp_path) as store:
        assert store.runs() == ()
        (tmp_path / "traces.jsonl").write_bytes(exported(RunLines(1)))

        assert len(store.runs()) == 1
    assert os.listdir(tmp_path) == ["traces.jsonl"]


def test_nothing_is_written_beside_the_files(tmp_path: Path) -> None:
    """Reading a collector's files leaves their folder as it was."""
    (tmp_path / "traces.json").write_bytes(exported(RunLines(1)))
    for path in (tmp_path, tmp_path / "traces.json"):
        with FileStore(path) as store:
            store.runs()

    assert os.listdir(tmp_path) == ["traces.json"]


def test_a_file_that_is_still_written(tmp_path: Path) -> None:
    """Lines that the collector appends are seen by the next question; an unfinished one is waited for."""
    path = tmp_path / "traces.json"
    line = exported(RunLines(2, start_s=1))
    path.write_bytes(exported(RunLines(1)) + line[:500])
    with FileStore(path) as store:
        counts = [len(store.runs())]
        with open(path, "ab") as file:
            file.write(line[500:])
        counts.append(len(store.runs()))

        assert counts == [1, 2]
        assert (store.status().skipped, store.status().torn) == (0, 0)


def test_a_line_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    """A batch may be larger than the pieces in which files are read."""
    runs = [RunLines(number, start_s=number) for number in range(10)]
    padding = {"note": "x" * 2**20}
    path = tmp_path / "traces.json"
    spans = [{**run.span(), "attributes": key_values({**run.attributes, **padding})} for run in runs]
    path.write_bytes(exported(RunLines(77)) + span_line(*spans) + b"\n" + exported(RunLines(78)))
    assert path.stat().st_size > 10 * 2**20

    with FileStore(path) as store:
        assert len(store.runs()) == 12
        assert len(store.find_runs(runs[7].run_id)[0].attributes["note"]) == 2**20  # type: ignore[arg-type] # a string


def test_traces_and_logs_in_files_of_their_own(tmp_path: Path) -> None:
    """Starts and manifests come by logs, spans by traces: together they make the runs."""
    ended, open_run = RunLines(1), RunLines(2, start_s=5)
    read = open_run.read("x", digest("a"))
    (tmp_path / "logs.json").write_bytes(b"\n".join([ended.start(), open_run.start()]) + b"\n")
    (tmp_path / "traces.json").write_bytes(b"\n".join([ended.end(), span_line(read)]) + b"\n")

    with FileStore(tmp_path, clock=lambda: T0 + 10 * SECOND) as store:
        assert [(run.state, len(run.inputs)) for run in store.runs()] == [("running", 1), ("ok", 0)]


def test_a_file_that_is_removed_while_it_is_read(tmp_path: Path) -> None:
    """A single file that goes away leaves an empty store, not an exception."""
    path = tmp_path / "traces.json"
    path.write_bytes(exported(RunLines(1)))
    with FileStore(path) as store:
        assert len(store.runs()) == 1
        path.unlink()

        assert store.runs() == ()


def test_what_is_no_file_of_lines(tmp_path: Path) -> None:
    """A file of anything else is read as lines that are no OTLP: nothing found, all counted."""
    path = tmp_path / "notes.txt"
    path.write_text("not\nOTLP\n")

    with FileStore(path) as store:
        assert (store.runs(), store.status().skipped) == ((), 2)


def test_a_store_that_is_not_there_is_a_store_error(tmp_path: Path) -> None:
    """A path where nothing is raises mlotel's own error, whatever ending it has."""
    with pytest.raises(StoreError):
        FileStore(tmp_path / "traces.json")
