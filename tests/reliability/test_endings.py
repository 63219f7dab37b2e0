"""How a process may end, and what is kept of the run that was open then: the rows of docs/reliability.md."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from collected_runs import collector
from killed_children import run_program
from otlp_sink import Sink

from mlotel.semconv import attributes as A
from mlotel.semconv import events as E
from mlotel.store.files import FileStore


@dataclass(frozen=True)
class Ending:
    """Code that ends its process, how that process ends (exit code, or minus the signal), and what its run becomes."""

    code: str
    status: int
    state: str
    error: str | None = None


RUN = """
with mlotel.component(NAME) as run:
    run.log_input(b"input", "in")
    {}
"""
OPEN = """
run = mlotel.start_component(NAME)
run.log_input(b"input", "in")
"""
THREAD = """
import threading
def work():
    with mlotel.component(NAME) as run:
        run.log_input(b"input", "in")
        begun.set()
        {}
begun = threading.Event()
thread = threading.Thread(target=work, daemon={})
thread.start()
begun.wait()
"""
# Until the address space is full: there is little left for anybody, until the list is let go of.
FULL = (
    "import faulthandler, resource; faulthandler.enable()\n"
    "resource.setrlimit(resource.RLIMIT_AS, (in_use() + 2**28,) * 2)" + RUN.format("full = []\n    while True: {}")
)
ENDINGS = {
    "return": Ending(RUN.format("pass"), 0, "ok"),
    "exception": Ending(RUN.format("raise ValueError('x')"), 1, "failed", "ValueError"),
    "sys.exit(0)": Ending(RUN.format("sys.exit(0)"), 0, "ok"),
    "sys.exit(3)": Ending(RUN.format("sys.exit(3)"), 3, "failed", "SystemExit"),
    "sys.exit in a thread": Ending(THREAD.format("sys.exit(3)", False), 0, "failed", "SystemExit"),
    "SIGINT": Ending(
        "signal.signal(signal.SIGINT, signal.default_int_handler)"  # it is ignored where tests run in the background
        + RUN.format("signal.raise_signal(signal.SIGINT)"),
        -2,
        "cancelled",
        "KeyboardInterrupt",
    ),
    "SIGTERM": Ending(RUN.format("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)"), -15, "lost"),
    "SIGTERM with a handler that exits": Ending(
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))"
        + RUN.format("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)"),
        143,
        "failed",
        "SystemExit",
    ),
    "SIGKILL": Ending(RUN.format("os.kill(os.getpid(), signal.SIGKILL)"), -9, "lost"),
    "os._exit": Ending(RUN.format("os._exit(0)"), 0, "lost"),
    "os.abort": Ending(RUN.format("os.abort()"), -6, "lost"),
    "segmentation fault": Ending("import ctypes" + RUN.format("ctypes.string_at(0)"), -11, "lost"),
    "segmentation fault, told by faulthandler": Ending(
        "import ctypes, faulthandler; faulthandler.enable()" + RUN.format("ctypes.string_at(0)"), -11, "lost"
    ),
    "out of memory, refused": Ending(
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))" + RUN.format("bytearray(2**33)"),
        1,
        "failed",
        "MemoryError",
    ),
    "out of memory, little by little": Ending(FULL.format("full.append(bytearray(2**16))"), 1, "failed", "MemoryError"),
    "out of memory, to the last thousand bytes": Ending(
        FULL.format("full.append(bytearray(2**10))"), 1, "failed", "MemoryError"
    ),
    "out of memory, to the last bytes": Ending(FULL.format("full = full, bytearray(2**5)"), 1, "failed", "MemoryError"),
    "out of memory, killed by the kernel": Ending(
        "confine(in_use() + 2**27)\n"
        + RUN.format("full = []\n    for _ in range(2**9): full.append(b'x' * 2**20)\n    os.kill(os.getpid(), 9)"),
        -9,
        "lost",
    ),
    "end of the interpreter with an open run": Ending(OPEN, 0, "lost"),
    "end of the interpreter with an open run in a daemon thread": Ending(
        THREAD.format("time.sleep(60)", True), 0, "lost"
    ),
    "os.execv": Ending(RUN.format("os.execv(sys.executable, [sys.executable, '-c', ''])"), 0, "lost"),
}

# Children of one process that has loaded everything; each goes on to the end of an interpreter, as a program does.
PROGRAM = r"""
import json, os, signal, sys, time
import mlotel
from mlotel import hashing, provenance, sdk
if "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ:
    from mlotel.sdk import _providers
    import requests
    from opentelemetry.exporter.otlp.proto.http import _log_exporter, metric_exporter, trace_exporter
provenance.git(), provenance.environment_digest()

def in_use():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def confine(limit):
    # into a control group of its own, where that is allowed; elsewhere the signal comes from the process itself
    for root, file in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        group = os.path.join("/sys/fs/cgroup", root, f"mlotel-{os.getpid()}")
        try:
            os.mkdir(group)
            for path, value in ((file, limit), ("cgroup.procs", os.getpid())):
                with open(os.path.join(group, path), "w") as stream:
                    stream.write(str(value))
            return
        except OSError:
            continue


ends = {}
for name, code in json.loads(sys.argv[1]).items():
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open("stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        with mlotel.component("before", params={"ending": name}):
            pass
        exec(code, {**globals(), "NAME": name})
        sys.exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with open("stderr", errors="replace") as stderr:
        ends[name] = status, stderr.read()
    for root in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup"):
        if os.path.isdir(group := f"{root}/mlotel-{pid}"):
            os.rmdir(group)
print(json.dumps(ends), flush=True)
os._exit(0)
"""


Ends = dict[str, tuple[int, str]]


def end_all(folder: Path, **variables: str) -> Ends:
    """Let a process end in each way; return the statuses they ended with, and what they wrote to stderr."""
    codes = json.dumps({name: ending.code for name, ending in ENDINGS.items()})
    done = run_program(PROGRAM, folder, codes, **variables)
    assert done.returncode == 0, done.stderr
    return {name: (status, stderr) for name, (status, stderr) in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def in_store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ends, Path]:
    """How they ended, and the store that all have recorded to."""
    folder = tmp_path_factory.mktemp("endings")
    return end_all(folder), folder / "store"


@pytest.mark.parametrize("name", ENDINGS)
def test_what_the_store_keeps(in_store: tuple[Ends, Path], name: str) -> None:
    """The run is on record with what it had read; the one that ended before is whole."""
    ends, root = in_store
    ending = ENDINGS[name]
    status, stderr = ends[name]
    assert status == ending.status, stderr
    with FileStore(root) as store:
        (run,) = store.runs(component=name)
        before = [run for run in store.runs(component="before") if run.attributes[f"{A.MLOTEL_PARAM}.ending"] == name]
        assert (run.state, run.attributes.get(A.ERROR_TYPE), [a.name for a in run.inputs]) == (
            ending.state,
            ending.error,
            ["in"],
        )
        assert [run.state for run in before] == ["ok"]
        assert (store.status().torn, store.status().skipped) == (0, 0)


@pytest.fixture(scope="module")
def at_collector(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ends, Sink]:
    """How they ended, and what arrived by the processes themselves and by a replay afterwards."""
    folder = tmp_path_factory.mktemp("endings")
    with collector(folder) as there:
        ends = end_all(folder, OTEL_EXPORTER_OTLP_ENDPOINT=there.sink.endpoint, MLOTEL_STORE="")
        there.replay()
    return ends, there.sink


@pytest.mark.parametrize("name", ENDINGS)
def test_what_a_collector_gets(at_collector: tuple[Ends, Sink], name: str) -> None:
    """The same, from the process itself or, where it was killed, from the next replay."""
    ends, sink = at_collector
    ending = ENDINGS[name]
    status, stderr = ends[name]
    assert status == ending.status, stderr
    starts = {
        r.span_id for r in sink.records if r.event_name == E.MLOTEL_RUN_START and said(r, "component.name") == name
    }
    assert len(starts) == 1
    reads = {span.span_id for span in sink.spans if span.name == "read in" and span.parent_span_id in starts}
    assert len(reads) == 1
    runs = {span.span_id: said(span, "run.state") for span in sink.spans if span.name == name}
    assert runs == ({} if ending.state == "lost" else dict.fromkeys(starts, ending.state))
    before = {span.span_id for span in sink.spans if said(span, "param.ending") == name}
    assert len(before) == 1


def said(item: object, key: str) -> str | None:
    """Return the text of an attribute of mlotel's."""
    return next((a.value.string_value for a in item.attributes if a.key == f"mlotel.{key}"), None)  # type: ignore[attr-defined]
