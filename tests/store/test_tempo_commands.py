"""The commands over Tempo: what they print of the embedded store, and how far back they look."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from otlp_lines import SECOND, T0, RunLines, digest, link_to, span_line
from tempo_standin import StandInTempo

from mlotel.cli import main
from mlotel.semconv import attributes as A

TempoOf = Callable[..., StandInTempo]
DAY = 24 * 3600


def pipeline(days_ago: float) -> list[bytes]:
    """Two runs, one reading what the other wrote a minute before."""
    now_s = (time.time_ns() - T0) / SECOND
    make = RunLines(1, "make", start_s=now_s - days_ago * DAY - 60)
    use = RunLines(2, "use", start_s=now_s - days_ago * DAY)
    made = make.write("made", digest("a"), **{A.MLOTEL_ARTIFACT_DIGEST_SCOPE: "bytes"})
    read = use.read("made", digest("a"), links=[link_to(made, **{A.MLOTEL_LINK_TYPE: "consumes"})])
    return [*map(span_line, (made, read, use.write("result", digest("b")))), make.end(), use.end()]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[object, str, str]]:
    """Runs a command; returns its exit code and what it wrote to standard output and standard error."""

    def run(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        told = capsys.readouterr()
        return ended.value.code or 0, told.out, told.err

    return run


@pytest.mark.parametrize(
    "command",
    [
        ["runs"],
        ["recent", "--limit", "1"],
        ["show", RunLines(2).run_id],
        ["history", "use"],
        ["lineage", "result"],
        ["lineage", "--forward", "name:made"],
        ["lineage", "--both", RunLines(1).run_id],
        ["find", "--where", "output", "=", "result"],
    ],
    ids=" ".join,
)
def test_tempo_answers_what_the_embedded_store_answers(
    tempo_of: TempoOf, ask: Callable[..., tuple[object, str, str]], tmp_path: Path, command: list[str]
) -> None:
    """With --tempo the commands print what they print of the same spans in a file."""
    lines = pipeline(days_ago=1)
    file = tmp_path / "spans.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")

    told = ask(*command, "--tempo", tempo_of(*lines).url, "--format", "json")

    assert told == ask(*command, "--store", str(file), "--format", "json")
    assert (told[0], told[2]) == (0, "")
    assert json.loads(told[1])


def test_the_place_is_named(tempo_of: TempoOf, ask: Callable[..., tuple[object, str, str]]) -> None:
    """Below a table stands where the runs come from."""
    url = tempo_of(*pipeline(days_ago=1)).url

    assert f"store: Tempo at {url} · 2 runs" in ask("runs", "--tempo", url)[1]
    assert "no runs in Tempo" in ask("runs", "--tempo", tempo_of().url)[1]


def test_a_lineage_of_long_ago_is_found_with_since(
    tempo_of: TempoOf, ask: Callable[..., tuple[object, str, str]]
) -> None:
    """Searches go back 30 days unless --since or --until says more."""
    url = tempo_of(*pipeline(days_ago=50)).url

    code, _, told = ask("lineage", "result", "--tempo", url)
    assert code == 1
    assert f"Tempo at {url} was searched for what began since 2" in told
    for times in (["--since", "60d"], ["--until", "40d"], ["--since", "60d", "--until", "40d"]):
        code, out, _ = ask("lineage", "result", "--tempo", url, "--format", "json", *times)
        assert code == 0
        assert [run["component"] for run in json.loads(out)["runs"]] == ["make", "use"]


def test_a_lineage_does_not_look_further_back_than_since(
    tempo_of: TempoOf, ask: Callable[..., tuple[object, str, str]]
) -> None:
    """What was asked for is found as ever; what is not to be followed is not looked for."""
    tempo = tempo_of(*pipeline(days_ago=2))

    code, out, _ = ask("lineage", "--both", RunLines(2).run_id, "--tempo", tempo.url, "-f", "json", "--since", "1d")

    assert code == 0
    assert [(run["component"], len(run["inputs"])) for run in json.loads(out)["runs"]] == [("use", 1)]
    digest_searches = [
        given
        for given in (parse_qs(urlsplit(path).query) for path in tempo.asked)
        if given and A.MLOTEL_ARTIFACT_DIGEST in given["q"][0]
    ]
    assert digest_searches
    # An hour for the tests of a slow day.
    assert all(int(given["start"][0]) > time.time() - DAY - 3600 for given in digest_searches)
