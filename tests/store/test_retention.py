"""Removing old days from the embedded store: what goes, what stays, and what a reader sees meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from otlp_lines import SECOND, T0, RunLines, digest, log_line, span_line

from mlotel import provenance
from mlotel.errors import ConfigurationError, StoreError
from mlotel.semconv import attributes as A
from mlotel.store.files import FileStore
from mlotel.store.retention import Removed, collect

DAY = 86_400
MIDNIGHT_S = T0 // SECOND // DAY * DAY
"""The beginning of the day that the lines' times count from."""


def day(offset: int) -> str:
    return datetime.fromtimestamp(MIDNIGHT_S + offset * DAY, UTC).strftime("%Y-%m-%d")


def run_on(offset: int, number: int, component: str = "train", **attributes: Any) -> RunLines:
    """A run that began at noon of a day."""
    start_s = MIDNIGHT_S - T0 / SECOND + offset * DAY + DAY / 2
    return RunLines(number, component, start_s=start_s, **attributes)


def write(root: Path, offset: int, *lines: bytes, process: int = 1) -> Path:
    """Append lines to a segment that a process of another host wrote on a day."""
    folder = root / "segments"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{day(offset)}-00000000-{process}-00.jsonl"
    with open(path, "ab") as file:
        file.write(b"".join(line + b"\n" for line in lines))
    os.utime(path, ns=(at(offset), at(offset)))
    return path


def at(offset: int) -> int:
    """Noon of a day, nanoseconds since the epoch."""
    return (MIDNIGHT_S + offset * DAY + DAY // 2) * SECOND


def gc(root: Path, offset: int = 0, **limits: Any) -> Removed:
    return collect(root, clock=lambda: at(offset), **limits)


def said(root: Path, offset: int = 0) -> dict[str, Any]:
    """All that a store answers, by a reader that builds its index anew."""
    for path in root.glob("index.sqlite*"):
        path.unlink()
    with FileStore(root, clock=lambda: at(offset)) as store:
        return answers(store)


def answers(store: FileStore) -> dict[str, Any]:
    return {
        "runs": {run.run_id: run for run in store.runs()},
        "artifacts": {(each.run_id, each.name) for each in store.find_artifacts()},
        "annotations": {(each.kind, each.target, each.text) for each in store.annotations()},
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / ".mlotel"


def test_days_that_are_too_old_go_as_a_whole(root: Path) -> None:
    """What ended longer ago than is kept goes, files and answers; the rest stays as it was."""
    runs = {offset: run_on(offset, 100 + offset) for offset in range(-5, 1)}
    for offset, run in runs.items():
        write(root, offset, run.start(), span_line(run.write(f"out{offset}", digest("a"))), run.end())
    before = said(root)

    removed = gc(root, keep=timedelta(days=3))

    # noon three days ago: the day that ended twelve hours before that is the last one to go
    assert removed.days == (day(-5), day(-4))
    assert (removed.runs, removed.segments) == (2, 2)
    stayed = {runs[offset].run_id for offset in (-3, -2, -1, 0)}
    assert said(root) == {
        "runs": {key: run for key, run in before["runs"].items() if key in stayed},
        "artifacts": {each for each in before["artifacts"] if each[0] in stayed},
        "annotations": set(),
    }
    assert sorted(path.name[:10] for path in (root / "segments").iterdir()) == [day(-3), day(-2), day(-1), day(0)]


def test_an_open_reader_sees_what_went(root: Path) -> None:
    """A store that was open all the while gives the answers of one that is opened afterwards."""
    for offset in (-9, -8, 0):
        run = run_on(offset, 100 + offset)
        write(root, offset, run.start(), span_line(run.read("in")), run.end())
    with FileStore(root, clock=lambda: at(0)) as reader:
        assert len(reader.runs()) == 3
        gc(root, keep=timedelta(days=5))
        seen = answers(reader)

    assert len(seen["runs"]) == 1
    assert seen == said(root)


def test_a_run_that_still_runs_stays_with_what_it_read(root: Path) -> None:
    """A run of this machine that has been open for a hundred days stays, with its start and its inputs."""
    me = provenance.identity()
    here = {
        A.HOST_NAME: me.host,
        A.MLOTEL_PROCESS_BOOT_ID: me.boot_id,
        A.MLOTEL_PROCESS_PID_NAMESPACE: me.pid_namespace,
        A.PROCESS_PID: os.getpid(),
    }
    service, ended = run_on(-100, 1, "service", **here), run_on(-100, 2)
    write(root, -100, ended.start(), service.start(), span_line(service.read("model", digest("a"))), ended.end())
    before = said(root)

    removed = gc(root, keep=timedelta(days=30))

    assert removed.runs == 1
    after = said(root)
    assert after["runs"] == {service.run_id: before["runs"][service.run_id]}
    assert [run.state for run in after["runs"].values()] == ["running"]
    assert after["artifacts"] == {(service.run_id, "model")}


def test_a_lost_run_goes_with_its_last_sign_of_life(root: Path) -> None:
    """Of two lost runs of old, the one whose last heartbeat is of a day that stays does so."""
    silent, beating = run_on(-50, 1), run_on(-50, 2)
    write(root, -50, silent.start(), beating.start())
    write(root, -2, beating.heartbeat(48 * DAY))

    gc(root, keep=timedelta(days=30))

    assert {run.run_id: run.state for run in said(root)["runs"].values()} == {beating.run_id: "lost"}


def test_a_run_that_ended_lately_keeps_what_it_did_before(root: Path) -> None:
    """Of a run that went on over the limit nothing is lost."""
    long = run_on(-20, 1)
    write(root, -20, long.start(), span_line(long.read("in", digest("a"))), run_on(-20, 2).end())
    write(root, -19, span_line(long.write("half", digest("b"))))
    write(root, -1, span_line(long.write("out", digest("c"))), long.end(after_s=19 * DAY))
    before = said(root)

    assert gc(root, keep=timedelta(days=10)).runs == 1

    after = said(root)
    assert after["runs"] == {long.run_id: before["runs"][long.run_id]}
    assert [each.name for each in after["runs"][long.run_id].inputs] == ["in"]
    assert {each.name for each in after["runs"][long.run_id].outputs} == {"half", "out"}


def test_a_run_that_ended_elsewhere_keeps_its_start(root: Path) -> None:
    """Where the span went to a collector, and the store has records alone, the start stays with the end."""
    long = run_on(-20, 1, **{"mlotel.component.version": "7"})
    write(root, -20, long.start(), run_on(-20, 2).end())
    write(root, 0, long.end_record("ok", 20 * DAY))
    before = said(root)

    assert gc(root, keep=timedelta(days=10)).runs == 1

    after = said(root)
    assert after["runs"] == {long.run_id: before["runs"][long.run_id]}
    assert (after["runs"][long.run_id].version, after["runs"][long.run_id].state) == ("7", "ok")


def test_what_was_said_of_what_stays_is_kept(root: Path) -> None:
    """Flags, notes and labels stay with their run or artifact, and a retraction stays whatever goes."""
    gone, stays = run_on(-40, 1), run_on(0, 2)
    data, model = digest("a"), digest("b")

    def annotation(kind: str, number: int, text: str = "", **about: Any) -> bytes:
        record = gone.record(f"mlotel.{kind}", at(-40) + number, **about)
        return log_line({**record, "body": {"stringValue": text}})

    write(
        root,
        -40,
        gone.start(),
        span_line(gone.write("data", data)),
        span_line(gone.write("model", model)),
        gone.end(),
        annotation("note", 1, "of the run that goes", **{A.MLOTEL_RUN_ID: gone.run_id}),
        annotation("flag", 2, "of the run that stays", **{A.MLOTEL_RUN_ID: stays.run_id}),
        annotation("label", 3, **{A.MLOTEL_LABEL: "private", A.MLOTEL_ARTIFACT_DIGEST: data}),
        annotation("label", 4, **{A.MLOTEL_LABEL: "private", A.MLOTEL_ARTIFACT_DIGEST: model}),
        annotation("retract", 5, "they asked for it", **{A.MLOTEL_LABEL: "private"}),
    )
    write(root, 0, stays.start(), span_line(stays.read("data", data)), stays.end())

    gc(root, keep=timedelta(days=30))

    assert said(root)["annotations"] == {
        ("flag", stays.run_id, "of the run that stays"),
        ("label", data, ""),
        ("retract", "private", "they asked for it"),
    }
    again = gc(root, keep=timedelta(days=30))
    assert again == Removed((), 0, 0, 0, 0, again.size)


def test_a_dry_run_tells_and_touches_nothing(root: Path) -> None:
    """A dry run says what the real one then does."""
    for offset in (-9, -8, 0):
        run = run_on(offset, 100 + offset)
        write(root, offset, run.start(), span_line(run.read("in")), run.end())
    files = {path: path.read_bytes() for path in (root / "segments").iterdir()}

    told = gc(root, keep=timedelta(days=5), dry_run=True)

    assert {path: path.read_bytes() for path in (root / "segments").iterdir()} == files
    done = gc(root, keep=timedelta(days=5))
    assert (told.days, told.runs, told.segments, told.removed_bytes) == (
        done.days,
        done.runs,
        done.segments,
        done.removed_bytes,
    )
    assert done.removed_bytes == sum(len(text) for path, text in files.items() if path.name[:10] != day(0))


def test_the_oldest_days_go_until_the_store_is_small_enough(root: Path) -> None:
    """A limit of size takes whole days, the oldest first, and no more than it has to."""
    for offset in range(-10, 1):
        lines = [run_on(offset, (offset + 20) * 1000 + number).end() for number in range(300)]
        write(root, offset, *lines)
    with FileStore(root) as store:
        store.status()
    full = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())

    removed = gc(root, max_bytes=full // 2)

    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    assert removed.size == size
    assert full * 0.35 < size <= full // 2
    assert removed.days == tuple(day(offset) for offset in range(-10, -10 + len(removed.days)))
    assert {run.start_ns for run in said(root)["runs"].values()} == {at(o) for o in range(-10 + len(removed.days), 1)}


def test_today_and_yesterday_stay(root: Path) -> None:
    """However small the limit, what may still be written to is not touched."""
    for offset in (-3, -2, -1, 0):
        write(root, offset, run_on(offset, 10 + offset).end())

    removed = gc(root, keep=timedelta(seconds=1), max_bytes=0)

    assert removed.days == (day(-3), day(-2))
    assert removed.size > 0


def test_keyed_predictions_go_with_their_day(root: Path) -> None:
    """Files and journals of predictions go with the days that they are of, and so do folders that are empty then."""
    write(root, 0, run_on(0, 1).end())
    for offset in (-9, -1):
        folder = root / "predictions" / "model=risk" / f"day={day(offset)}"
        folder.mkdir(parents=True)
        (folder / "part-0000000000000000-5.parquet").write_bytes(b"PAR1")
        journal = root / "predictions" / "_journal" / "segments"
        journal.mkdir(parents=True, exist_ok=True)
        (journal / f"{day(offset)}-00000000-1-00.jsonl").write_bytes(b"{}\n")

    removed = gc(root, keep=timedelta(days=5))

    assert (removed.predictions, removed.days) == (2, (day(-9),))
    assert [path.name for path in (root / "predictions" / "model=risk").iterdir()] == [f"day={day(-1)}"]
    assert [path.name[:10] for path in journal.iterdir()] == [day(-1)]


def test_files_of_somebody_else_are_left_alone(root: Path, tmp_path: Path) -> None:
    """Neither a collector's files nor others in the folder of segments are removed."""
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "traces.json").write_bytes(run_on(-90, 1).end() + b"\n")
    write(root, -90, run_on(-90, 1).end())
    other = root / "segments" / "2020-01-01-notes.jsonl"
    other.write_bytes(run_on(-90, 2).end() + b"\n")

    with pytest.raises(StoreError, match="somebody else"):
        gc(tmp_path / "exported", keep=timedelta(days=1))
    gc(root, keep=timedelta(days=1))
    assert [path.name for path in (root / "segments").iterdir()] == [other.name]


@pytest.mark.parametrize("limits", [{}, {"keep": timedelta(0)}, {"max_bytes": -1}])
def test_a_limit_has_to_be_given(root: Path, limits: dict[str, Any]) -> None:
    """Without a limit that can be used nothing is removed, and the message says what to write."""
    write(root, -90, run_on(-90, 1).end())

    with pytest.raises(ConfigurationError):
        gc(root, **limits)
    assert len(said(root)["runs"]) == 1


def test_what_was_to_be_kept_outlives_a_crash(root: Path) -> None:
    """A process that dies after it removed a segment, before what is kept is in its place, loses nothing."""
    long = run_on(-20, 1)
    write(root, -20, long.start(), span_line(long.read("in", digest("a"))), run_on(-20, 2).end())
    write(root, 0, long.end(after_s=20 * DAY))
    program = f"""
        import os, pathlib
        from datetime import timedelta
        from mlotel.store.retention import collect
        pathlib.Path.rename = lambda *_: os._exit(9)
        collect({str(root)!r}, keep=timedelta(days=10), clock=lambda: {at(0)})
    """
    died = subprocess.run([sys.executable, "-c", dedent(program)], timeout=60, check=False)
    assert died.returncode == 9
    assert said(root)["artifacts"] == set()

    gc(root, keep=timedelta(days=10))

    assert said(root)["artifacts"] == {(long.run_id, "in")}
    assert not list((root / "segments").glob("*.kept"))


def test_the_index_gives_its_room_back(root: Path) -> None:
    """Where most of a store goes, the index file becomes smaller as well."""
    for offset in (-20, 0):
        runs = [run_on(offset, (offset + 50) * 10_000 + number) for number in range(2000 if offset else 20)]
        write(root, offset, *(line for run in runs for line in (span_line(run.read("in", digest("a"))), run.end())))
    with FileStore(root) as store:
        assert store.status().runs == 2020
    before = (root / "index.sqlite").stat().st_size

    gc(root, keep=timedelta(days=10))

    assert (root / "index.sqlite").stat().st_size < before / 4
    with FileStore(root) as store:
        assert store.status().runs == 20


def test_a_question_that_finds_a_file_gone_is_asked_again(root: Path) -> None:
    """What goes between looking into the index and reading the lines costs no part of the answer that stays."""
    long = run_on(-20, 1)
    write(root, -20, long.start(), span_line(long.read("in", digest("a"))), run_on(-20, 2).end())
    write(root, 0, long.end(after_s=20 * DAY))
    with FileStore(root, clock=lambda: at(0)) as reader:
        reader.status()
        read_line = reader._assembly._line

        def taken_away(place: Any) -> bytes:
            reader._assembly._line = read_line
            gc(root, keep=timedelta(days=10))
            return read_line(place)

        reader._assembly._line = taken_away
        runs = reader.runs()

    assert [(run.run_id, [each.name for each in run.inputs]) for run in runs] == [(long.run_id, ["in"])]
