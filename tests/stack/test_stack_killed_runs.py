"""Processes that are killed or forked while their runs go to the real collector."""

from __future__ import annotations

import sys
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from backends import Jaeger, eventually

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reliability"))

from amounts import amount
from killed_children import kill_children, run_program

from mlotel.model import Run
from mlotel.semconv import attributes as A
from mlotel.store.files import FileStore
from mlotel_stack import Stack

pytestmark = pytest.mark.stack
PROTOCOLS = pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
KILLS = amount(20, 500)
REPLAY = """
import sys
from pathlib import Path
from mlotel.sdk.replay import replay
done = replay(Path(".mlotel"), sys.argv[1])
assert (done.kept, done.rejected, done.error) == (0, 0, None), done
"""


def environment(stack: Stack, protocol: str, service: str) -> dict[str, str]:
    return {**stack.env(protocol), "OTEL_SERVICE_NAME": service, "MLOTEL_STORE": ""}


def replay(stack: Stack, folder: Path) -> None:
    done = run_program(REPLAY, folder, stack.env()["OTEL_EXPORTER_OTLP_ENDPOINT"], MLOTEL_STORE="")
    assert done.returncode == 0, done.stderr


def collected(stack: Stack, service: str) -> list[Run]:
    """Return the runs of a service as the collector's files have them."""
    (logs,) = stack.run_dir.rglob("logs.jsonl")
    with FileStore(logs.parent) as store:
        return [run for run in store.runs() if run.service == service]


@PROTOCOLS
def test_every_run_of_killed_processes_is_with_the_collector(
    stack: Stack, jaeger: Jaeger, tmp_path: Path, protocol: str
) -> None:
    """Each run whose code began is there once, ended or lost, with what it had read and written until then."""
    service = f"killed-{uuid.uuid4().hex[:8]}"
    (tmp_path / ".mlotel").mkdir()
    told = kill_children(tmp_path, KILLS, seed=12, **environment(stack, protocol, service))
    replay(stack, tmp_path)

    def accounted() -> bool:  # the collector writes its files batch by batch
        told.account_for([run for run in collected(stack, service) if run.component == "numbered"])
        return True

    eventually(lambda: _holds(accounted))
    numbers = Counter(
        span.tags[f"{A.MLOTEL_PARAM}.number"] for span in jaeger.spans(service) if span.name == "numbered"
    )
    assert told["ended"] <= numbers.keys()
    assert set(numbers.values()) == {1}


def _holds(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except AssertionError:
        return False


FORKS = """
import os, multiprocessing as mp
import mlotel

def work(first):
    for number in range(first, first + 8):
        with mlotel.component("worker", params={"number": number}) as run:
            run.log_input(b"input %d" % number, "in")

if __name__ == "__main__":
    with mlotel.component("parent"):
        pass
    mlotel.flush()  # a connection is open now, which no child may write to
    processes = [mp.get_context("fork").Process(target=work, args=(first,)) for first in (0, 100, 200)]
    [each.start() for each in processes]
    work(300)
    [each.join(60) for each in processes]
    assert [each.exitcode for each in processes] == [0, 0, 0]
"""


@PROTOCOLS
def test_runs_of_forked_workers_are_with_the_collector(
    stack: Stack, jaeger: Jaeger, tmp_path: Path, protocol: str
) -> None:
    """A connection that is open when workers are forked is used by none of them: each run arrives once."""
    service = f"forked-{uuid.uuid4().hex[:8]}"
    (tmp_path / ".mlotel").mkdir()
    done = run_program(FORKS, tmp_path, **environment(stack, protocol, service))
    assert (done.returncode, done.stderr) == (0, "")

    spans = eventually(lambda: found if len(found := jaeger.spans(service)) >= 65 else [])
    assert len({span.span_id for span in spans}) == len(spans) == 65
    numbers = [span.tags[f"{A.MLOTEL_PARAM}.number"] for span in spans if span.name == "worker"]
    assert sorted(numbers) == [first + i for first in (0, 100, 200, 300) for i in range(8)]
