"""JaegerStore over the real Jaeger: what it answers is what the embedded store answers to the same spans."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from backends import eventually, get

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "store"))

from otlp_lines import SECOND, T0, RunLines
from remote_contract import DAY, RemoteContract

from mlotel.cli import main
from mlotel.lineage import around, downstream, resolve, upstream
from mlotel.store.files import FileStore
from mlotel.store.jaeger import JaegerStore
from mlotel_stack import Settings, Stack

pytestmark = pytest.mark.stack
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# Two processes that share files alone; the second fails once and then runs again.
MAKE = """
import mlotel
with mlotel.component("make", pipeline="p", version="2", params={"rate": 0.5, "deep": 7, "on": True}) as run:
    made = run.log_output(b"content", name="made", uri="made.bin")
    run.log_metrics({"auc": 0.75})
"""
USE = """
import mlotel
try:
    with mlotel.component("use", pipeline="p") as run:
        run.log_input(b"content", name="made")
        raise ValueError("no")
except ValueError:
    pass
with mlotel.component("use", pipeline="p", tags={"try": "2"}) as run:
    read = run.log_input(b"content", name="renamed")
    run.log_input(b"other", name="raw")
    run.log_output(b"result", name="result")
"""


@pytest.fixture(scope="module")
def own_jaeger(tmp_path_factory: pytest.TempPathFactory, programs: Any) -> Iterator[Stack]:
    """A stack whose Jaeger is emptied between tests."""
    with Stack.start(tmp_path_factory.mktemp("jaeger-store"), Settings(die_with_parent=True)) as running:
        yield running


def send(stack: Stack, lines: Sequence[bytes]) -> None:
    """Post the lines that hold spans to the collector, and wait until Jaeger has every span and the collector knows.

    A Jaeger that ended before it could acknowledge spans would get them again after its restart, in another test.
    """
    before, posted = acknowledged(stack), 0
    expected: defaultdict[str, set[str]] = defaultdict(set)
    for line in lines:
        if not line.startswith(b'{"resourceSpans"'):
            continue
        url = f"{stack.endpoints['otlp_http']}/v1/traces"
        request = urllib.request.Request(url, line, {"Content-Type": "application/json"})
        direct.open(request, timeout=30).close()
        for group in json.loads(line)["resourceSpans"]:
            for scope in group["scopeSpans"]:
                for span in scope["spans"]:
                    posted += 1
                    expected[span["traceId"]].add(span["spanId"])
    eventually(lambda: acknowledged(stack) >= before + posted)
    for trace_id, ids in expected.items():
        eventually(lambda trace_id=trace_id, ids=ids: ids <= span_ids(stack, trace_id))


def acknowledged(stack: Stack) -> int:
    """How many spans the collector has sent to Jaeger, by its own metrics."""
    with direct.open(stack.endpoints["collector_self"], timeout=30) as answer:
        found = re.search(rb"^otelcol_exporter_sent_spans_total{[^}]*jaeger[^}]*} (\S+)$", answer.read(), re.MULTILINE)
    return int(float(found[1])) if found else 0


def span_ids(stack: Stack, trace_id: str) -> set[str]:
    try:
        found = get(f"{stack.endpoints['jaeger_ui']}/api/traces/{trace_id}", raw="true")
    except urllib.error.HTTPError as error:
        error.close()
        return set()
    return {span["spanID"] for trace in found["data"] for span in trace["spans"]}


class TestJaegerStore(RemoteContract):
    """The contract of stores, as far as it is about spans, over a real Jaeger."""

    @pytest.fixture
    def store_of(self, own_jaeger: Stack) -> Iterator[Callable[..., JaegerStore]]:
        own_jaeger.restart("jaeger")
        made = []

        def make(*lines: bytes, now_s: float = 0.0, **arguments: Any) -> JaegerStore:
            send(own_jaeger, lines)
            clock = T0 + round(now_s * SECOND)
            url = own_jaeger.endpoints["jaeger_query_grpc"]
            given = {"since_ns": T0 - DAY, "until_ns": T0 + DAY, **arguments}
            made.append(JaegerStore(url, clock=lambda: clock, **given))
            return made[-1]

        yield make
        for store in made:
            store.close()

    # Jaeger finds values alone, so all runs are searched for by the state that they ended in: one whose span says none
    # is found by its component.
    def test_the_state_of_an_ended_run(self, store_of: Callable[..., JaegerStore]) -> None:
        """An ended run is what its span says, or else what the span's status says."""
        said = [("ok", 0), ("failed", 2), ("cancelled", 2), (None, 0), (None, 1), (None, 2), ("running", 2)]
        store = store_of(*[RunLines(n, start_s=-n).end(s, status={"code": c}) for n, (s, c) in enumerate(said)])

        assert [run.state for run in store.runs()] == ["ok", "failed", "cancelled"]
        assert [run.state for run in store.runs(component="train")] == [
            "ok",
            "failed",
            "cancelled",
            "ok",
            "ok",
            "failed",
            "failed",
        ]


def run_python(code: str, folder: Path, **environment: str) -> None:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MLOTEL_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**inherited, **environment},
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


@pytest.fixture(scope="module")
def both(own_jaeger: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FileStore, JaegerStore]]:
    """A pipeline in the embedded store of the folder `kept`, and the same spans in Jaeger."""
    own_jaeger.restart("jaeger")
    folder = tmp_path_factory.getbasetemp() / "kept"
    folder.mkdir()
    for code in (MAKE, USE):
        run_python(code, folder, MLOTEL_STORE=str(folder / "store"), OTEL_SERVICE_NAME="both")
    segments = (folder / "store" / "segments").iterdir()
    send(own_jaeger, [line for path in segments for line in path.read_bytes().splitlines()])
    with FileStore(folder / "store") as kept, JaegerStore(own_jaeger.endpoints["jaeger_query_grpc"]) as jaeger:
        yield kept, jaeger


def test_runs_are_those_of_the_embedded_store(both: tuple[FileStore, JaegerStore]) -> None:
    """A real pipeline's runs have every field in Jaeger that they have in the embedded store."""
    kept, jaeger = both

    assert [(run.component, run.state) for run in kept.runs()] == [("use", "ok"), ("use", "failed"), ("make", "ok")]
    assert jaeger.runs() == kept.runs()
    assert jaeger.runs(component="use", limit=1) == kept.runs(component="use", limit=1)
    for run in kept.runs():
        for reference in (run.run_id, run.trace_id, run.span_id, run.run_id[:8]):
            assert jaeger.find_runs(reference) == kept.find_runs(reference)
        for artifact in (*run.inputs, *run.outputs):
            assert jaeger.run_of_span(run.trace_id, artifact.span_id) == run


def test_artifacts_are_those_of_the_embedded_store(both: tuple[FileStore, JaegerStore]) -> None:
    """Artifacts are found by digest, its beginning, name and URI alike."""
    kept, jaeger = both
    made = kept.find_artifacts(name="made", direction="output")[0]
    assert made.digest

    for keys in (
        {"digest": made.digest},
        {"digest": made.digest.partition(":")[2]},
        {"digest": made.digest[:15]},
        {"name": "renamed"},
        {"uri": made.uri},
        {"direction": "input"},
        {},
    ):
        assert kept.find_artifacts(**keys)
        assert jaeger.find_artifacts(**keys) == kept.find_artifacts(**keys), keys
    run = kept.find_runs(made.run_id)[0]
    assert jaeger.readers_of(run.trace_id, made.span_id) == kept.readers_of(run.trace_id, made.span_id)


@pytest.mark.parametrize("what", ["result", "made", "name:renamed", "raw"])
def test_lineage_is_that_of_the_embedded_store(both: tuple[FileStore, JaegerStore], what: str) -> None:
    """Backwards and forwards, whole: the same runs, artifacts and edges."""
    kept, jaeger = both

    for way in (upstream, downstream, around):
        assert way(jaeger, resolve(jaeger, what)) == way(kept, resolve(kept, what))


def test_the_command_line_reads_jaeger(
    both: tuple[FileStore, JaegerStore],
    own_jaeger: Stack,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With --jaeger, the commands print what they print of the embedded store, which is not needed then."""
    kept, _ = both
    (run,) = kept.runs(component="make")
    place = ("--jaeger", f"http://{own_jaeger.endpoints['jaeger_query_grpc']}")
    for command in (["runs"], ["show", run.run_id[:8]], ["history", "use"], ["lineage", "result"]):
        answers = []
        for where in (place, ("--store", str(tmp_path_factory.getbasetemp() / "kept" / "store"))):
            with pytest.raises(SystemExit) as ended:
                main([*command, *where, "--format", "json"])
            assert not ended.value.code
            answers.append(capsys.readouterr())
        assert answers[0] == answers[1], command

    with pytest.raises(SystemExit):
        main(["runs", *place])
    assert f"store: Jaeger at {place[1]} · 3 runs" in capsys.readouterr().out
