"""A store of as many runs as are asked for, the same for the same number: lines as mlotel itself encodes them.

``python benchmarks/generated.py ROOT RUNS`` writes one. Six runs make a pipeline, with twelve I/O spans: two sources,
one of them cleaned, both joined, a model trained on that, and a score that reads the model and what was joined. Twenty
pipelines take turns, each with components of its own. In the middle stand two lattices: ten levels of ten runs, each
of which reads what all ten of the level before wrote. The reads of one name their producers by links, as embedded
context does; those of the other are joined by digest alone.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry.trace import SpanKind, Status

from mlotel.semconv import attributes as A
from mlotel.semconv import events
from mlotel.store.encoding import LineEncoder
from mlotel.store.journal import Journal

__all__ = ["AFTER_ALL", "DEPTH", "PIPELINES", "T0", "WIDTH", "Generated", "Written", "generate", "lines_of_a_day"]

DEPTH, WIDTH, PIPELINES = 10, 10, 20
T0 = 1_790_000_000_000_000_000
AFTER_ALL = 10**7  # runs, one second apart
_BYTES_A_RUN = 7_200
_RESOURCE = {
    "service.name": "delays",
    "process.runtime.name": "cpython",
    "process.runtime.version": "3.11.7",
    "host.name": "worker-17",
    "host.arch": "x86_64",
    "os.type": "linux",
}


class _Context(NamedTuple):
    trace_id: int
    span_id: int
    is_remote: bool = False
    trace_state: None = None


class _Link(NamedTuple):
    context: _Context
    attributes: Mapping[str, Any]
    dropped_attributes: int = 0


@dataclass(slots=True)
class _Span:
    """What the encoder needs of a span."""

    name: str
    context: _Context
    parent: _Context | None
    start_time: int
    end_time: int
    attributes: dict[str, Any]
    links: Sequence[_Link] = ()
    kind = SpanKind.INTERNAL
    status = Status()
    events = ()
    dropped_attributes = dropped_events = dropped_links = 0


@dataclass(frozen=True, slots=True)
class Written:
    """An artifact that a run wrote: enough to read it, and to ask for it."""

    name: str
    digest: str
    span: _Context


@dataclass(frozen=True, slots=True)
class Generated:
    """What there is to ask for: an output at the end of each lattice, one at its beginning, and one of a pipeline."""

    linked: tuple[str, str]
    by_digest: tuple[str, str]
    score: str
    component: str
    runs: int
    spans: int
    lines: int


class Generator:
    """Makes runs, one second apart, and the lines that they leave in the store."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._encoder = LineEncoder(_RESOURCE, "mlotel", "0.1.0")
        self.runs = self.spans = 0

    def run(
        self, component: str, pipeline: str, reads: Sequence[Written], writes: Sequence[str], *, linked: bool = True
    ) -> tuple[list[bytes], list[Written]]:
        """The lines of one run, in the order in which they are written, and what it wrote."""
        bits = self._random.getrandbits
        context = _Context(bits(128), bits(64))
        run_id = f"{bits(128):032x}"
        start = T0 + self.runs * 10**9
        said = {
            A.MLOTEL_COMPONENT_NAME: component,
            A.MLOTEL_RUN_ID: run_id,
            A.MLOTEL_ENVIRONMENT_DIGEST: "blake3:" + "e" * 64,
            A.PROCESS_PID: 4242,
            A.CICD_PIPELINE_NAME: pipeline,
            A.MLOTEL_CODE_DIGEST: "blake3:" + "c" * 64,
            A.VCS_REF_HEAD_REVISION: "5" * 40,
            A.VCS_REF_HEAD_NAME: "main",
            A.MLOTEL_VCS_DIRTY: False,
            A.MLOTEL_PARAM + ".depth": self.runs % 12,
            A.MLOTEL_PARAM + ".rate": 0.1,
        }
        process = {
            A.PROCESS_CREATION_TIME: "2026-11-21T12:08:31.540Z",
            A.MLOTEL_PROCESS_BOOT_ID: "07525ac5-947c-4bb8-a4f9-26a086398c6b",
            A.MLOTEL_PROCESS_PID_NAMESPACE: "pid:[4026531836]",
            A.HOST_NAME: "worker-17",
        }
        lines = [
            self._encoder.event(
                events.MLOTEL_RUN_START,
                time_ns=start,
                trace_id=context.trace_id,
                span_id=context.span_id,
                attributes={**said, **process},
            )
        ]
        number = 0
        for read in reads:
            link = _Link(read.span, {A.MLOTEL_LINK_TYPE: "consumes", A.MLOTEL_LINK_RESOLVED_BY: "embedded"})
            span = self._io(context, run_id, "input", read.name, read.digest, start, number)
            span.links = (link,) if linked else ()
            lines.append(self._encoder.span(span))
            number += 1
        written = []
        for name in writes:
            digest = f"blake3:{bits(256):064x}"
            span = self._io(context, run_id, "output", name, digest, start, number)
            lines.append(self._encoder.span(span))
            written.append(Written(name, digest, span.context))
            number += 1
        ended = {
            **said,
            A.MLOTEL_METRIC + ".auc": 0.7,
            A.MLOTEL_RUN_STATE: "ok",
            A.MLOTEL_RUN_CPU_TIME: 0.25,
            A.MLOTEL_RUN_MEMORY_PEAK: 126_930_944,
        }
        lines.append(self._encoder.span(_Span(component, context, None, start, start + 9 * 10**8, ended)))
        self.runs += 1
        self.spans += number + 1
        return lines, written

    def _io(self, run: _Context, run_id: str, direction: str, name: str, digest: str, start: int, number: int) -> _Span:
        attributes = {
            A.MLOTEL_IO_DIRECTION: direction,
            A.MLOTEL_RUN_ID: run_id,
            A.MLOTEL_ARTIFACT_NAME: name,
            A.MLOTEL_ARTIFACT_TYPE: "dataset",
            A.MLOTEL_ARTIFACT_DIGEST: digest,
            A.MLOTEL_ARTIFACT_DIGEST_SCOPE: "logical",
            A.MLOTEL_ARTIFACT_URI: f"s3://lake/{digest[7:19]}/{name}.parquet",
            A.MLOTEL_ARTIFACT_SIZE: 123_456,
            A.MLOTEL_ARTIFACT_ROWS: 1000,
            A.MLOTEL_ARTIFACT_COLUMNS: 20,
            A.MLOTEL_ARTIFACT_SCHEMA_DIGEST: "blake3:" + "5" * 64,
        }
        begins = start + (number + 1) * 10**6
        context = _Context(run.trace_id, self._random.getrandbits(64))
        return _Span(f"{direction} {name}", context, run, begins, begins + 500_000, attributes)

    def pipeline(self, number: int) -> tuple[list[bytes], Written]:
        """The lines of the six runs of one pipeline, and its score."""
        team = f"team-{number % PIPELINES:02d}"
        lines: list[bytes] = []

        def run(component: str, reads: Sequence[Written], write: str) -> Written:
            more, (written,) = self.run(f"{team}-{component}", team, reads, [write])
            lines.extend(more)
            return written

        flights = run("flights", (), "flights")
        weather = run("weather", (), "weather")
        cleaned = run("clean", (flights,), "cleaned")
        joined = run("join", (cleaned, weather), "joined")
        model = run("train", (joined,), "model")
        return lines, run("score", (model, joined), "scores")

    def lattice(self, *, linked: bool) -> tuple[list[bytes], str, str]:
        """The lines of ten levels of ten runs, and the digests of an output at its end and at its beginning."""
        lines: list[bytes] = []
        level: list[Written] = []
        first = ""
        for depth in range(DEPTH):
            before, level = level, []
            for place in range(WIDTH):
                more, written = self.run(f"level-{depth}", "lattice", before, [f"part-{depth}-{place}"], linked=linked)
                lines.extend(more)
                level.extend(written)
            first = first or level[0].digest
        return lines, level[0].digest, first


def generate(root: Path, runs: int) -> Generated:
    """Write a store of about `runs` runs (whole pipelines, and the two lattices) at `root`.

    Raises OSError where the disk has not twice the room that it takes.
    """
    free = shutil.disk_usage(root.parent).free
    if free < 2 * runs * _BYTES_A_RUN:
        raise OSError(f"{root.parent} has {free / 1e9:.1f} GB free: {runs:,} runs take {runs * _BYTES_A_RUN / 1e9:.1f}")
    journal = Journal(root)
    lines = 0

    def append(those: list[bytes]) -> None:
        nonlocal lines
        # The journal takes one line at a time; for it a whole run is one, and the file is the same.
        journal.append(b"".join(those))
        lines += len(those)

    generator = Generator()
    pipelines = max(0, runs - 2 * DEPTH * WIDTH) // 6
    lattices: list[tuple[str, str]] = []
    score = ""
    for number in range(pipelines):
        if number == pipelines // 2:
            for linked in (True, False):
                those, last, first = generator.lattice(linked=linked)
                append(those)
                lattices.append((last, first))
        those, written = generator.pipeline(number)
        append(those)
        if number == pipelines // 3:
            score = written.digest
    journal.close()
    if journal.dropped:
        raise OSError(f"{journal.dropped} lines could not be written to {root}")
    return Generated(lattices[0], lattices[1], score, "team-07-train", generator.runs, generator.spans, lines)


def lines_of_a_day(seed: int, spans: int) -> Iterator[bytes]:
    """Lines of further pipelines, until there are `spans` spans or a few more: what a day may add to a store."""
    generator = Generator(seed)
    generator.runs = AFTER_ALL
    while generator.spans < spans:
        lines, _ = generator.pipeline(generator.spans)
        yield from lines


def main() -> int:
    """Write a store and print what there is to ask for."""
    parser = argparse.ArgumentParser(description="Write a store of very many runs.")
    parser.add_argument("root", type=Path)
    parser.add_argument("runs", type=int)
    options = parser.parse_args()
    print(generate(options.root, options.runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
