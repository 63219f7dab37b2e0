"""Processes that say what they do, are killed while they do it, and are accounted for afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from amounts import amount

from mlotel.model import Run
from mlotel.semconv import attributes as A

ROOT = Path(__file__).parents[2]

# Makes children by fork, since an interpreter of its own for each would take longer than all their runs. A child says
# each step before it goes on, by one write into a pipe, which outlives it as what it recorded should.
DRIVER = r"""
import gc, json, os, random, signal, sys, time
import mlotel

kills, seed, tears = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "tear"
chance = random.Random(seed)


def work(first, say, tear_after):
    if tear_after is not None:
        with mlotel.component("warm-up"):  # now there is a journal
            pass
        tear(tear_after)
    number = first
    while True:
        say(f"begins {number}")
        with mlotel.component("numbered", params={"number": number}) as run:
            say(f"began {number}")
            run.log_input(b"input %d" % number, "in")
            say(f"read {number}")
            time.sleep(0.002)
            run.log_output(b"output %d" % number, "out")
            say(f"wrote {number}")
        say(f"ended {number}")
        number += 1


def tear(lines):
    # a process that dies within a write, as one does that the kernel kills between two pages of a long line
    from mlotel.store.journal import Journal

    left = lines

    def write(fd, record):
        nonlocal left
        left -= 1
        if left:
            return os.write(fd, record)
        os.write(fd, record[: len(record) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    for journal in [each for each in gc.get_objects() if isinstance(each, Journal)]:
        journal._write = write


with mlotel.component("parent"):  # what is found once per process is found for all
    pass
mlotel.flush()
told, torn = [], 0
for child in range(kills):
    tear_after = chance.randint(1, 8) if tears and chance.random() < 0.3 else None
    torn += tear_after is not None
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        work(child * 10_000, lambda text: os.write(writing, text.encode() + b"\n"), tear_after)
    os.close(writing)
    with open(reading, "rb") as pipe:
        lines = []
        if tear_after is None:
            step = chance.choice([b"begins", b"began", b"ended"])
            while not lines or not lines[-1].startswith(step):
                lines.append(pipe.readline())
            time.sleep(chance.uniform(0, 0.04))
            os.kill(pid, signal.SIGKILL)
        told += b"".join([*lines, pipe.read()]).decode().splitlines()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, status
print(json.dumps({"told": told, "torn": torn}))
"""


@dataclass(frozen=True)
class Told:
    """What the children said before they were killed: the numbers by step, and how many died within a write."""

    steps: Mapping[str, frozenset[int]]
    torn: int

    def __getitem__(self, step: str) -> frozenset[int]:
        return self.steps.get(step, frozenset())

    def account_for(self, runs: Sequence[Run]) -> None:
        """Look for each number: none is missing or there twice, and each run has what had been recorded by then."""
        found = {run.attributes[f"{A.MLOTEL_PARAM}.number"]: run for run in runs}
        assert len(found) == len(runs)
        assert self["began"] <= found.keys() <= self["begins"]
        assert {run.state for run in runs} == {"ok", "lost"}
        assert {n for n in self["ended"] if found[n].state != "ok"} == set()
        assert {n for n in self["read"] if [a.name for a in found[n].inputs] != ["in"]} == set()
        assert {n for n in self["wrote"] if [a.name for a in found[n].outputs] != ["out"]} == set()


def environment_of(folder: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a program that imports this checkout and records into `folder / "store"`."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MLOTEL_"))}
    return {**inherited, "PYTHONPATH": str(ROOT / "src"), "MLOTEL_STORE": str(folder / "store"), **variables}


def run_program(source: str, folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program in `folder`, and return what it wrote and how it ended."""
    program = folder / "program.py"
    program.write_text(source, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(program), *arguments],
        cwd=folder,
        env=environment_of(folder, **variables),
        timeout=amount(240, 4 * 3600),
        capture_output=True,
        text=True,
        check=False,
    )


def kill_children(folder: Path, kills: int, *, seed: int, tear: bool = False, **variables: str) -> Told:
    """Kill so many children at random moments, and return what they had said until then."""
    done = run_program(DRIVER, folder, str(kills), str(seed), "tear" if tear else "", **variables)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    return Told(_by_step(said["told"]), said["torn"])


def _by_step(lines: Iterable[str]) -> dict[str, frozenset[int]]:
    steps: dict[str, set[int]] = {}
    for line in lines:
        step, _, number = line.partition(" ")
        steps.setdefault(step, set()).add(int(number))
    return {step: frozenset(numbers) for step, numbers in steps.items()}
