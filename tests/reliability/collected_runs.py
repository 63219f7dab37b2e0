"""Programs whose spans go to a collector, and what came of the numbered runs in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from killed_children import run_program
from otlp_sink import Sink, otlp_sink

from mlotel.semconv import attributes as A

REPLAY = """
import sys
from pathlib import Path
from mlotel.sdk.replay import replay
done = replay(Path(".mlotel"), sys.argv[1])
assert (done.kept, done.rejected, done.error) == (0, 0, None), done
print(done.sent)
"""


@dataclass(frozen=True)
class Collector:
    """A sink, and the folder whose spool holds what it was not sent."""

    sink: Sink
    folder: Path

    def run(self, source: str, *arguments: str) -> str:
        """Run a program that succeeds without a word on standard error; return what it wrote."""
        there = {"OTEL_EXPORTER_OTLP_ENDPOINT": self.sink.endpoint, "MLOTEL_STORE": ""}
        done = run_program(source, self.folder, *arguments, **there)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    def replay(self) -> int:
        """Send what processes left behind, which then is nowhere else; return how many lines that were."""
        done = run_program(REPLAY, self.folder, self.sink.endpoint)
        assert done.returncode == 0, done.stderr
        assert [path for path in (self.folder / ".mlotel").rglob("*") if path.suffix in (".jsonl", ".sent")] == []
        return int(done.stdout)

    def numbers(self) -> list[int]:
        """Return the numbers of the runs that arrived, each of which has one input, however often that arrived."""
        assert self.sink.malformed == 0
        runs = {span.span_id: number for span in self.sink.spans if (number := number_of(span)) is not None}
        reads = {span.span_id: span.parent_span_id for span in self.sink.spans if span.name == "read in"}
        assert Counter(runs[parent] for parent in reads.values()) == Counter(runs.values())
        return sorted(runs.values())


def number_of(item: Any) -> int | None:
    """Return the number that a run's span or start record carries."""
    return next((a.value.int_value for a in item.attributes if a.key == f"{A.MLOTEL_PARAM}.number"), None)


@contextmanager
def collector(folder: Path) -> Iterator[Collector]:
    """Serve a sink for programs that run in `folder`."""
    (folder / ".mlotel").mkdir()
    with otlp_sink() as sink:
        yield Collector(sink, folder)
