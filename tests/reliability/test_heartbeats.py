"""Running or lost: by the process where its number means something, by its signs of life everywhere else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from killed_children import environment_of

from mlotel import _heartbeat
from mlotel.semconv import attributes as A
from mlotel.semconv import events as E
from mlotel.store.files import FileStore

HOUR_S = 3600
# A process with an open run, whose clock is wrong by as many seconds as it is told, and which takes itself for one of
# another host, boot and namespace. Its heart beats when it is told so, after its clock was set to what it is told.
ELSEWHERE = """
import sys, time
wrong = float(sys.argv[1])
right = time.time_ns
time.time_ns = lambda: right() + int(wrong * 1e9)
time_s = time.time
time.time = lambda: time_s() + wrong
from mlotel import provenance
from msgspec.structs import replace
me = replace(provenance.identity(), host="elsewhere", boot_id="another", pid_namespace="pid:[1]")
provenance.identity = lambda: me
import mlotel
from mlotel import _heartbeat
run = mlotel.start_component("long")
run.log_input(b"x", "in")
print("begun", flush=True)
for line in sys.stdin:
    if line.strip():  # the clock is set
        wrong = float(line)
    _heartbeat.beat()
    print("beaten", flush=True)
"""


@contextmanager
def elsewhere(folder: Path, wrong_s: float) -> Iterator[subprocess.Popen[str]]:
    program = folder / "program.py"
    program.write_text(ELSEWHERE, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(program), str(wrong_s)],
        cwd=folder,
        env=environment_of(folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "begun\n"
        yield process
        process.kill()


def beat(process: subprocess.Popen[str], wrong_s: str = "") -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{wrong_s}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "beaten\n"


def state(folder: Path, later_s: float = 0.0) -> str:
    """Return the state of the run as a reader of this host sees it, `later_s` from now."""
    with FileStore(folder / "store", clock=lambda: time.time_ns() + int(later_s * 1e9)) as store:
        (run,) = store.runs()
        assert [artifact.name for artifact in run.inputs] == ["in"]
        return run.state


def age_files(folder: Path, seconds: float) -> None:
    """Let what was written until now have been written so long ago."""
    for segment in (folder / "store" / "segments").iterdir():
        then = time.time() - seconds
        os.utime(segment, (then, then))


@pytest.mark.parametrize("wrong_s", [0, -HOUR_S, HOUR_S, -40 * 365 * 86_400], ids=["right", "behind", "ahead", "1986"])
def test_a_run_elsewhere_lives_as_long_as_its_process_is_heard_from(tmp_path: Path, wrong_s: float) -> None:
    """Three heartbeats missed make it lost, and another one makes it run, whatever its own clock says."""
    with elsewhere(tmp_path, wrong_s) as process:
        assert state(tmp_path) == "running"
        assert state(tmp_path, later_s=85) == "running"
        assert state(tmp_path, later_s=95) == "lost"
        age_files(tmp_path, 95)
        assert state(tmp_path) == "lost"
        beat(process)
        assert state(tmp_path) == "running"
    assert state(tmp_path) == "running"  # nobody here can know better yet
    assert state(tmp_path, later_s=95) == "lost"


def test_a_run_here_is_lost_as_soon_as_its_process_is(tmp_path: Path) -> None:
    """Within a host nobody waits for heartbeats: a stopped process runs, a killed one does not."""
    program = ELSEWHERE.replace("provenance.identity = lambda: me", "")
    (tmp_path / "here.py").write_text(program, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "here.py"), "0"],
        cwd=tmp_path,
        env=environment_of(tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        age_files(tmp_path, HOUR_S)
        process.send_signal(signal.SIGSTOP)
        assert state(tmp_path, later_s=HOUR_S) == "running"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie keeps its number and runs nothing
        assert state(tmp_path) == "lost"
    assert state(tmp_path) == "lost"


BECOMES = """
import os, sys, mlotel
mlotel.start_component("before").log_input(b"x", "in")
os.execv(sys.executable, [sys.executable, "-c", "print('another', flush=True); input()"])
"""


def test_a_process_that_becomes_another_program_is_still_the_same(tmp_path: Path) -> None:
    """Number and start stay when a process executes another program: its run is lost when that has ended."""
    (tmp_path / "becomes.py").write_text(BECOMES, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "becomes.py")],
        cwd=tmp_path,
        env=environment_of(tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "another\n"
        assert state(tmp_path) == "running"
        process.kill()
    assert state(tmp_path) == "lost"


REUSED = """
import os, sys, time
import mlotel
# until a child has the number of one that has gone: the kernel is told which comes next
def child(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid
def run():
    mlotel.start_component("gone").log_input(b"x", "in")
def again(pid):
    try:
        with open("/proc/sys/kernel/ns_last_pid", "w") as file:
            file.write(str(pid - 1))
    except OSError:
        pass
    return child(lambda: time.sleep(600))
first = child(run)
os.waitpid(first, 0)
for _ in range(100):
    second = again(first)
    if second == first:
        break
    os.kill(second, 9), os.waitpid(second, 0)
print(first, second, flush=True)
sys.stdin.read()
os.kill(second, 9)
"""


def test_another_process_of_the_same_number_does_not_keep_a_run_alive(tmp_path: Path) -> None:
    """The number of a process that has gone is given to another one; its start, in clock ticks, tells them apart."""
    (tmp_path / "reused.py").write_text(REUSED, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "reused.py")],
        cwd=tmp_path,
        env=environment_of(tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first, second = process.stdout.readline().split()
        if first != second:
            pytest.skip("the kernel lets nobody but root choose the number of a process")
        assert state(tmp_path) == "lost"


def test_a_heartbeat_tells_the_time_of_the_wall_clock(tmp_path: Path) -> None:
    """It is compared with a clock that was perhaps set since the run began, and the run's own stands still in sleep."""
    with elsewhere(tmp_path, HOUR_S) as process:
        before = time.time_ns()
        beat(process, "0")
        after = time.time_ns()
    lines = [line for path in (tmp_path / "store" / "segments").iterdir() for line in path.read_bytes().splitlines()]
    (line,) = [line for line in lines if E.MLOTEL_RUN_HEARTBEAT.encode() in line]
    told = int(line.split(b'"timeUnixNano":"')[1].split(b'"')[0])
    assert before <= told <= after
    assert A.MLOTEL_RUN_ID.encode() in line


def test_the_heart_of_a_forked_child_beats(tmp_path: Path) -> None:
    """Though its parent's thread is not copied; and what is the parent's is left to it."""
    source = """
import os, mlotel
from mlotel import _heartbeat
_heartbeat.SECONDS = 0.01
with mlotel.component("parent"):
    if os.fork() == 0:
        import time
        with mlotel.component("child"):
            time.sleep(0.5)
        os._exit(0)
    os.wait()
"""
    (tmp_path / "fork.py").write_text(source, encoding="utf-8")
    subprocess.run([sys.executable, str(tmp_path / "fork.py")], cwd=tmp_path, env=environment_of(tmp_path), check=True)
    segments = {path.name.split("-")[4]: path.read_bytes() for path in (tmp_path / "store" / "segments").iterdir()}
    assert len(segments) == 2
    with FileStore(tmp_path / "store") as store:
        runs = {run.component: run.run_id.encode() for run in store.runs()}
    for content in segments.values():
        beats = [line for line in content.splitlines() if E.MLOTEL_RUN_HEARTBEAT.encode() in line]
        own, other = ("child", "parent") if b'"name":"child"' in content else ("parent", "child")
        assert beats
        assert all(runs[own] in line and runs[other] not in line for line in beats)


def test_a_fork_waits_for_the_heart_no_longer_than_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat that hangs in a lock of the thread that forks does not hold that fork for ever."""
    import threading

    held = threading.Lock()
    started = threading.Event()

    def hang() -> None:
        started.set()
        with held:
            return

    monkeypatch.setattr(_heartbeat, "_STANDS_ASIDE_S", 0.05)
    with held:
        thread = threading.Thread(target=hang, daemon=True)
        thread.start()
        started.wait()
        monkeypatch.setattr(_heartbeat, "_thread", thread)
        _heartbeat._pause()
        assert thread.is_alive()
    thread.join()
