"""Disks that are full, read-only, slow, removed, forbidden or without locks: the user's code does not notice.

Each program computes squares within runs and prints their sum. What it recorded is read back by the numbers.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import NOBODY, fill, needs_root, recording, small_disk, talking
from programs import run_program

from mlotel.store.files import FileStore
from mlotel.store.journal import Journal


def numbers(store: Path) -> list[int]:
    """The numbers of the runs that are on record as ended, in order."""
    with FileStore(store) as opened:
        return sorted(int(run.params["number"]) for run in opened.runs() if run.state == "ok")


def whole_lines(store: Path) -> int:
    """How many lines the standard library's parser takes, those left out that are torn."""
    count = 0
    for path in (store / "segments").iterdir():
        for line in path.read_bytes().splitlines():
            try:
                count += isinstance(json.loads(line), dict)
            except ValueError:
                continue
    return count


def dropped(said: str) -> int:
    """How many lines are said, at the end, not to have been written; before that there is one warning."""
    warning, summary = said.splitlines()
    assert "runs are not recorded" in warning
    assert summary.startswith("mlotel: dropped in all: ")
    return sum(int(number) for number in re.findall(r"(\d+) (?:spans|log records)", summary))


def test_a_full_disk_costs_records_and_nothing_else(tmp_path: Path) -> None:
    """A real file system runs full: one warning, the store can be read, and what comes after is recorded again."""
    with small_disk(tmp_path / "disk", "512k") as disk:
        done = recording(
            f"""
            filler = {str(disk / "filler")!r}
            runs(0, 5)
            with open(filler, "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError:
                    pass
            runs(5, 300)
            os.unlink(filler)
            runs(300, 320)
            print(sum(done))
            """,
            disk / "store",
        )
        assert done.stdout == f"{sum(n * n for n in range(320))}\n"
        assert "No space left on device" in done.stderr.splitlines()[0]
        found = numbers(disk / "store")
        assert set(found) >= {*range(5), *range(300, 320)}
        assert len(found) < 320  # it was full
        with FileStore(disk / "store") as store:
            status = store.status()
        assert status.skipped <= 2  # the line that did not fit, tried twice
        assert whole_lines(disk / "store") == 3 * 320 - dropped(done.stderr)


def test_a_store_on_a_full_disk_can_be_read(tmp_path: Path) -> None:
    """Without room for an index questions are answered all the same."""
    with small_disk(tmp_path / "disk", "512k") as disk:
        recording("runs(0, 20)", disk / "store")
        fill(disk / "filler")

        assert numbers(disk / "store") == list(range(20))


def test_a_limit_of_the_size_of_files_begins_new_ones(tmp_path: Path) -> None:
    """Where files may not grow beyond a limit (ulimit -f) nothing is lost."""
    done = recording(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        runs(0, 200)
        print(sum(done))
        """,
        tmp_path / "store",
    )

    assert done.stdout == f"{sum(n * n for n in range(200))}\n"
    assert done.stderr == ""
    assert numbers(tmp_path / "store") == list(range(200))
    assert max(path.stat().st_size for path in (tmp_path / "store" / "segments").iterdir()) <= 40_000


def test_a_read_only_disk_is_one_warning(tmp_path: Path) -> None:
    """A store on a file system that is mounted read-only can be read, and recording to it is one warning."""
    with small_disk(tmp_path / "disk", "2m") as disk:
        recording("runs(0, 3)", disk / "store")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)

        done = recording("runs(3, 50); print(sum(done))", disk / "store")

        assert done.stdout == f"{sum(n * n for n in range(3, 50))}\n"
        assert "Read-only file system" in done.stderr.splitlines()[0]
        assert dropped(done.stderr) == 3 * 47
        assert numbers(disk / "store") == [0, 1, 2]


@pytest.mark.parametrize("secret", ["", "s3cret"], ids=["secret of the store", "secret of the user"])
def test_what_is_not_written_is_counted_in_metrics(secret: str) -> None:
    """With a meter provider of the application's own the losses are a metric, by the SDK's own reader.

    A store that cannot make the secret of its keys takes no keyed predictions either.
    """
    done = run_program(
        """
        import json
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider([reader]))
        import mlotel
        for _ in range(7):
            with mlotel.component("work") as run:
                run.log_output(b"x", "out")
                run.log_predictions([0.5, 0.25], keys=["a", "b"], model="m")
                run.log_predictions([0.5] * 1000, keys=range(1000), model="m")
        points = [
            [point.value, dict(point.attributes)]
            for resource in reader.get_metrics_data().resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "mlotel.telemetry.dropped"
            for point in metric.data.data_points
            if point.value
        ]
        print(json.dumps(points))
        """,
        store="/proc/nowhere",
        MLOTEL_RECORD_KEY_SECRET=secret,
    )

    counted = {point["mlotel.telemetry.item"]: (value, point["error.type"]) for value, point in json.loads(done.stdout)}
    assert counted == {
        "span": (14, "store_unwritable"),
        "log_record": (7, "store_unwritable"),
        "prediction": (7 * 1002, "store_unwritable"),
    }
    assert f" {7 * 1002} predictions" in done.stderr.splitlines()[-1]


def test_a_store_that_is_removed_is_made_anew(tmp_path: Path) -> None:
    """The folder is removed while runs go on, and once more while one is open: what ends afterwards is on record."""
    done = recording(
        """
        import shutil
        store = os.environ["MLOTEL_STORE"]
        runs(0, 5)
        shutil.rmtree(store)
        time.sleep(0.01)  # a segment is looked at a thousand times a second
        runs(5, 10)
        with component as current:
            current.log_params({"number": 10})
            shutil.rmtree(store)
            time.sleep(0.01)
            done.append(100)
        print(sum(done))
        """,
        tmp_path / "store",
    )

    assert done.stdout == f"{sum(n * n for n in range(11))}\n"
    assert done.stderr == ""
    assert numbers(tmp_path / "store") == [10]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_rights_that_are_lost_and_given_back(open_folder: Path, tmp_path: Path) -> None:
    """A process that may not write any more warns once, and goes on recording when it may again."""
    needs_root()
    store = open_folder / "store"
    with talking(
        """
        runs(0, 5)
        os.setuid(65_534)
        runs(5, 10)  # its segment is open: nothing is lost yet
        say("without rights")
        time.sleep(0.01)  # whether a segment is still there is looked at once a millisecond
        runs(10, 15)
        say("with them again")
        time.sleep(1.1)  # what could not be opened is tried again after a second
        runs(15, 20)
        say(sum(done))
        """,
        store,
    ) as (hear, answer, complaints):
        assert hear() == "without rights"
        for segment in (store / "segments").iterdir():  # it is taken away, as by a backup that tidies up
            shutil.copy(segment, tmp_path)
            segment.unlink()
        store.chmod(0o700)
        answer()
        assert hear() == "with them again"
        for path in (store, *store.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        answer()
        assert hear() == f"{sum(n * n for n in range(20))}"
        answer()
    assert dropped("".join(complaints)) == 3 * 5
    for segment in tmp_path.glob("*.jsonl"):
        segment.rename(store / "segments" / segment.name)

    assert numbers(store) == [*range(10), *range(15, 20)]


def test_a_slow_disk_holds_up_no_other_thread(tmp_path: Path) -> None:
    """While the disk takes its time over one thread's line, other threads write theirs: no lock is held."""
    together = threading.Barrier(8, timeout=60)

    def write(fd: int, data: bytes) -> int:
        together.wait()  # nobody's line is written before all eight are being written
        return os.write(fd, data)

    journal = Journal(tmp_path / "store", write=write)
    taken: list[bool] = []
    threads = [threading.Thread(target=lambda: taken.append(journal.append(b"{}\n"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert taken == [True] * 8
    written = b"".join(path.read_bytes() for path in (tmp_path / "store" / "segments").iterdir())
    assert written == b"{}\n" * 8


_NO_LOCKS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

static int locks(int command) {
    return command == F_SETLK || command == F_SETLKW || command == F_GETLK || command == F_OFD_SETLK
        || command == F_OFD_SETLKW || command == F_OFD_GETLK;
}
#define REFUSING(name)                                                                                       \
    int name(int fd, int command, ...) {                                                                     \
        va_list arguments;                                                                                   \
        va_start(arguments, command);                                                                        \
        void *argument = va_arg(arguments, void *);                                                          \
        va_end(arguments);                                                                                   \
        if (locks(command)) { errno = ENOLCK; return -1; }                                                   \
        int (*next)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, #name);                        \
        return next(fd, command, argument);                                                                  \
    }
REFUSING(fcntl)
REFUSING(fcntl64)
int flock(int fd, int operation) { errno = ENOLCK; return -1; }
"""


def test_a_disk_without_locks_needs_none(tmp_path: Path) -> None:
    """Where every lock is refused, as by some network file systems, runs are recorded, linked and read all the same."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("the system's locks are refused by a small library, which takes a C compiler to make")
    source, library = tmp_path / "no_locks.c", tmp_path / "no_locks.so"
    source.write_text(_NO_LOCKS, encoding="utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    store = tmp_path / "store"
    recording("runs(0, 5)", store)

    done = recording(
        """
        import fcntl
        from mlotel.store.files import FileStore
        with open(os.environ["MLOTEL_STORE"] + "/.gitignore") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_SH)
            except OSError as error:
                print(os.strerror(error.errno))
        runs(5, 10)
        with FileStore(os.environ["MLOTEL_STORE"]) as store:
            print(sorted(int(run.params["number"]) for run in store.runs()))
        """,
        store,
        LD_PRELOAD=str(library),
    )

    assert done.stdout.splitlines() == ["No locks available", str(list(range(10)))]
    assert done.stderr == ""
