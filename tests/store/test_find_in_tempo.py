"""`mlotel find` over Tempo: what Tempo is asked for, and what is left to look at here."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import otlp_lines
import pytest
from otlp_lines import SECOND, RunLines
from tempo_standin import StandInTempo

from mlotel.cli import main
from mlotel.semconv import attributes as A


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def tempo(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInTempo]:
    """A stand-in that holds ten runs of the last minutes, of two components."""
    monkeypatch.setattr(otlp_lines, "T0", time.time_ns() - 600 * SECOND)
    stand_in = StandInTempo()
    for number in range(10):
        name = "train" if number % 2 else "load"
        attributes = {A.MLOTEL_PARAM + ".depth": number, A.MLOTEL_TAG + ".stage": "trial"}
        stand_in.add([RunLines(number, name, start_s=number * 10, **attributes).end()])
    yield stand_in
    stand_in.stop()


@pytest.fixture
def find(tempo: StandInTempo, capsys: pytest.CaptureFixture[str], tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Answer:
        with pytest.raises(SystemExit) as exited:
            main(["find", "--tempo", tempo.url, *arguments])
        captured = capsys.readouterr()
        return Answer(int(exited.value.code or 0), captured.out, captured.err)

    return run


def depths(answer: Answer) -> list[int]:
    return [run["params"]["depth"] for run in json.loads(answer.out)]


def queries(tempo: StandInTempo) -> str:
    return " ".join(value for path in tempo.asked for value in parse_qs(urlsplit(path).query).get("q", ()))


def test_conditions_are_translated_or_looked_at_here(tempo, find):
    """The answer is that of any store; what Tempo was not asked is said."""
    where = ["-w", "component=train", "-w", "param.depth", "gt", "4", "-w", "duration", "lt", "5s"]

    assert depths(find(*where, "--format", "json")) == [9, 7, 5]
    assert A.MLOTEL_COMPONENT_NAME in queries(tempo)
    assert "filtered locally" not in find("-w", "component=train").out
    here = find("-w", "component=train", "-w", "error.message", "exists", "no")
    assert here.out.splitlines()[-1] == "filtered locally, run by run: error.message exists no"


def test_a_query_of_ones_own_is_passed_through(tempo, find):
    """Untouched, and narrowed by conditions where there are any."""
    query = f'{{ span.{A.MLOTEL_PARAM}.depth > 5 && span.{A.MLOTEL_TAG}.stage = "trial" }}'

    assert depths(find("--traceql", query, "--format", "json")) == [9, 8, 7, 6]
    assert query in queries(tempo)
    assert depths(find("--traceql", query, "--where", "component=load", "--limit", "1", "--format", "json")) == [8]
    told = find("--traceql", query, "--where", "component=load").out
    assert told.splitlines()[-1] == "filtered locally, run by run: component = load"
    assert find("--traceql", query.replace("5", "50")).err.startswith("mlotel: no run answers to the query (Tempo at ")


def test_a_query_that_tempo_does_not_take_is_told(find):
    """Exit code 2, with what Tempo says."""
    answer = find("--traceql", "{ this is none")

    assert (answer.code, answer.out) == (2, "")
    assert "TraceQL" in answer.err


def test_nothing_found_in_tempo(find):
    """Exit code 1, as in any store."""
    answer = find("--where", "component", "=", "trian")

    assert (answer.code, answer.out) == (1, "")
    assert "did you mean 'train'?" in answer.err
