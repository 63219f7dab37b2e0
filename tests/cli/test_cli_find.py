"""`mlotel find`, `components`, `tags`, and the choice of runs by time and place."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pipelines import SECOND, START, Io, digest

import mlotel as package
from mlotel.cli.where import conditions_of
from mlotel.store.conditions import Condition

SOURCES = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parent.parent)}


def instant(time_ns):
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat()


@pytest.fixture
def trials(book, store):
    """Five runs of `train` with deeper and deeper trees, each behind a run of `load`."""
    for depth in range(1, 6):
        book.run(
            "load",
            [Io("raw", uri="file:///data/raw.csv")],
            [f"day {depth}"],
            attributes={"mlotel.component.owner": "data-team", "mlotel.component.tags": ["nightly"]},
        )
        book.run(
            "train",
            [f"day {depth}"],
            [Io(f"model {depth}", name="model")],
            state="failed" if depth == 4 else "ok",
            error={"type": "ValueError", "message": "no rows"} if depth == 4 else None,
            params={"depth": depth},
            metrics={"rmse": 10.0 - depth},
            tags={"stage": "trial" if depth < 5 else "production"},
            attributes={"mlotel.component.owner": "ml-team", "mlotel.component.tags": ["nightly", "model"]},
        )
    return store()


def depths(answer):
    return [run["params"].get("depth") for run in answer.json]


# --- find


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (["--where", "param.depth", ">", "3"], [5, 4]),
        (["--where", "param.depth>3"], [5, 4]),
        (["-w", "param.depth", "gt", "3", "-w", "metric.rmse", "ge", "6"], [4]),
        (["--where", "param.depth", ">", "3", "--where", "state=ok"], [5]),
        (["--where", "error.type", "exists"], [4]),
        (["--where", "tag.stage", "exists", "--where", "error.type", "exists", "no"], [5, 3, 2, 1]),
        (["--where", "input", "=", "day 2"], [2]),
        (["--where", "output", "=", digest("model 3")], [3]),
        (["--where", "metric.rmse", "gt", "-5", "--limit", "2"], [5, 4]),
        (["--where", "component", "~", "^tr", "--where=param.depth<2"], [1]),
    ],
)
def test_find_prints_the_runs_that_meet_all_conditions(mlotel, trials, where, expected):
    """In three words or in one, repeated and with other options between and behind."""
    assert depths(mlotel("find", *where, "--store", trials, "--format", "json")) == expected


def test_find_shows_what_was_asked_about_and_what_was_filtered_locally(mlotel, trials, book):
    """The values stand beside the runs; the index knows components, and parameters not."""
    answer = mlotel(
        "find", "--where", "component", "=", "train", "--where", "param.depth", "ge", "4", "--store", trials
    )

    head, first, second, store, filtered = answer.out.splitlines()
    assert (answer.code, answer.err) == (0, "")
    assert head.endswith("  param.depth")
    assert first.split()[0] == book.made[-1].run_id[:8]
    assert [first.split()[-1], second.split()[-1]] == ["5", "4"]
    assert store == f"store: {trials} · 2 runs"
    assert filtered == "filtered locally, run by run: param.depth >= 4"


def test_find_in_a_time(mlotel, trials, book):
    """Since and until, beside conditions or alone."""
    times = ["--since", instant(book.made[2].start_ns), "--until", instant(book.made[5].start_ns)]

    found = mlotel("find", *times, "--store", trials, "--format", "json").json

    assert [run["run_id"] for run in found] == [run.run_id for run in book.made[5:1:-1]]
    assert depths(mlotel("find", *times, "-w", "component=train", "--store", trials, "-f", "json")) == [3, 2]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (["component", "=", "trian"], "no runs of component 'trian': did you mean 'train'?"),
        (["component", "=", "zzz"], "no runs of component 'zzz': `mlotel components` lists those that ran"),
        (["param.dept", "=", "3"], "none of the latest 10 runs has param.dept: did you mean 'depth'?"),
        (["metric.mse", "gt", "3"], "did you mean 'rmse'?"),
        (["param.depth", "gt", "7"], "no run for which param.depth > 7 holds"),
    ],
)
def test_where_no_run_is_found_the_likeliest_reason_is_told(mlotel, trials, where, message):
    """Exit code 1, a line on standard error; programs get an empty list."""
    answer = mlotel("find", "--where", *where, "--store", trials)
    document = mlotel("find", "--where", *where, "--store", trials, "--format", "json")

    assert (answer.code, answer.out, document.code, document.json) == (1, "", 1, [])
    assert message in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--where", "compnent", "=", "a"], "did you mean component?"),
        (["--where", "component"], "KEY OP VALUE"),
        (["--where", "param.depth", ">"], "needs"),
        (["--where"], "--where"),
        (["--where", "metric.rmse", ">", "low"], "is a number"),
        (["--where", "component", "~", "("], "no regular expression"),
        (["--since", "soon"], "is no time"),
        (["--since", "1h", "--until", "2h"], "later than --until"),
        (["--traceql", "{}"], "--tempo URL"),
    ],
)
def test_bad_questions_end_with_2(mlotel, trials, arguments, message):
    """Nothing on standard output, and on standard error what would be right."""
    answer = mlotel("find", "--store", trials, *arguments)

    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_the_words_of_a_condition_may_look_like_options(mlotel, trials):
    """What stands where a value is expected is the value."""
    answer = mlotel("find", "--where", "param.depth", "=", "--limit", "--store", trials)

    assert (answer.code, "param.depth = --limit" in answer.err) == (1, True)


def test_conditions_of_nothing_are_none():
    """No option, no condition."""
    assert conditions_of(None) == ()
    assert conditions_of(["param.x=1"]) == (Condition("param.x", "=", "1"),)


def test_without_conditions_find_lists_what_there_is(mlotel, trials):
    """As `runs` does."""
    assert len(mlotel("find", "--store", trials, "--format", "json").json) == 10


def test_in_an_empty_store_nothing_is_found(mlotel):
    """With the advice of an empty store."""
    answer = mlotel("find", "--where", "component", "=", "train")

    assert (answer.code, answer.out) == (1, "")
    assert "record one with" in answer.err


# --- components and tags


def test_components_are_listed_with_their_counts(mlotel, trials):
    """The one that ran last first, with states by their symbols."""
    answer = mlotel("components", "--store", trials)

    head, train, load, store = answer.out.splitlines()
    assert answer.code == 0
    assert head.split() == ["COMPONENT", "RUNS", "STATES", "LAST", "RUN", "LAST", "STATE", "MEDIAN", "OWNER", "TAGS"]
    assert train.startswith("train         5  4 ✓ ok, 1 ✗ failed")
    assert train.endswith("ml-team    nightly, model")
    assert load.startswith("load          5  5 ✓ ok ")
    assert store == f"store: {trials} · 2 components, 10 runs"


def test_components_by_owner_tag_and_time(mlotel, trials, book):
    """As JSON, with the runs of that time."""
    found = [
        {each["component"]: each["runs"] for each in mlotel("components", *how, "--store", trials, "-f", "json").json}
        for how in (
            ["--owner", "data-team"],
            ["--tag", "model"],
            ["--tag", "nightly", "--since", instant(book.made[7].start_ns)],
            ["--until", instant(book.made[0].start_ns)],
        )
    ]

    assert found == [{"load": 5}, {"train": 5}, {"train": 2, "load": 1}, {"load": 1}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--owner", "data-taem"], "did you mean 'data-team'?"),
        (["--owner", "nobody"], "there are owners 'data-team', 'ml-team'"),
        (["--tag", "nighly"], "did you mean 'nightly'?"),
        (["--tag", "model", "--owner", "data-team"], "no component of owner 'data-team' has tag 'model'"),
    ],
)
def test_no_such_components(mlotel, trials, arguments, message):
    """The nearest names are told."""
    answer = mlotel("components", *arguments, "--store", trials)

    assert (answer.code, answer.out) == (1, "")
    assert message in answer.err


def test_tags_are_counted(mlotel, trials):
    """Those of components, and those of runs by value."""
    answer = mlotel("tags", "--store", trials)

    assert (answer.code, answer.out.splitlines()) == (
        0,
        [
            "Components",
            "  TAG      COUNT  COMPONENTS",
            "  model        1  train",
            "  nightly      2  load, train",
            "Runs",
            "  TAG                 COUNT  COMPONENTS",
            "  stage = production      1  train",
            "  stage = trial           4  train",
            f"store: {trials} · 10 runs",
        ],
    )


def test_the_tags_of_the_latest_runs(mlotel, trials):
    """`--limit` says of how many."""
    found = mlotel("tags", "--limit", "3", "--store", trials, "--format", "json").json

    assert ([tag["value"] for tag in found["run_tags"]], found["runs_read"]) == (["production", "trial"], 3)
    assert "3 runs, the latest; --limit for more" in mlotel("tags", "--limit", "3", "--store", trials).out


@pytest.mark.parametrize("command", ["components", "tags"])
def test_an_empty_store_has_none(mlotel, command):
    """That is an answer, with what to do about it."""
    answer = mlotel(command)

    assert (answer.code, "record one with" in answer.out) == (0, True)


def test_runs_without_tags(mlotel, book, store):
    """It says how to give them."""
    book.run("train")

    assert "run.set_tag" in mlotel("tags", "--store", store()).out


# --- history and runs


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ("-1", [5]),
        ("0", [1]),
        ("1", [2]),
        ("-3:", [5, 4, 3]),
        (":2", [2, 1]),
        ("1:4", [4, 3, 2]),
        ("::2", [5, 3, 1]),
        ("[-2:]", [5, 4]),
        ("-3:-1", [4, 3]),
        ("::-1", [5, 4, 3, 2, 1]),
    ],
)
def test_history_by_index(mlotel, trials, index, expected):
    """As Python counts, from the earliest; printed latest first as ever."""
    assert depths(mlotel("history", "train", "--index", index, "--store", trials, "--format", "json")) == expected


@pytest.mark.parametrize("index", ["5", "-6", "9:"])
def test_an_index_without_a_run_finds_nothing(mlotel, trials, index):
    """Exit code 1, as the component is known."""
    answer = mlotel("history", "train", "--index", index, "--store", trials)

    assert (answer.code, answer.out) == (1, "")
    assert "no runs of component 'train' there" in answer.err


@pytest.mark.parametrize("index", ["a", "", "1:2:3:4", "::0", "1.5", "--1", "9" * 19])
def test_what_is_no_index_is_told(mlotel, trials, index):
    """With what would be one."""
    answer = mlotel("history", "train", "--index", index, "--store", trials)

    assert (answer.code, answer.out) == (2, "")
    assert "as in Python" in answer.err


@pytest.mark.parametrize("command", [["history", "train"], ["runs", "--component", "train"], ["recent", "-c", "train"]])
def test_runs_of_a_time(mlotel, trials, book, command):
    """Both ends belong to it."""
    times = ["--since", instant(book.made[3].start_ns), "--until", instant(book.made[7].start_ns)]

    assert depths(mlotel(*command, *times, "--store", trials, "--format", "json")) == [4, 3, 2]


def test_a_time_without_runs(mlotel, trials):
    """Runs answers that there are none; of one component's history there is nothing to show."""
    since = ["--since", instant(START + 10**6 * SECOND)]

    assert "no runs in this time" in mlotel("runs", *since, "--store", trials).out
    assert "no runs of component 'train' in this time" in mlotel("runs", "-c", "train", *since, "--store", trials).out
    assert mlotel("history", "train", *since, "--store", trials).code == 1


def test_runs_of_an_unknown_component_name_the_nearest(mlotel, trials):
    """The store has runs, so a slip is likely."""
    assert "did you mean 'train'?" in mlotel("runs", "--component", "trane", "--store", trials).out


# --- completion


def test_the_shell_is_offered_commands_options_and_components(trials, tmp_path):
    """By bash itself, told by the script that `mlotel completion bash` prints."""
    from mlotel import component, shutdown

    for name in ("train", "tree", "load"):
        with component(name):
            pass
    shutdown()
    program = [sys.executable, "-c", "from mlotel.cli import main; main()"]
    # The index knows what was asked for once.
    subprocess.run([*program, "runs"], env=SOURCES, check=True, capture_output=True)
    shell = subprocess.check_output([*program, "completion", "bash"], env=SOURCES, text=True)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "mlotel"
    command.write_text(f"#!{sys.executable}\nfrom mlotel.cli import main\nmain()\n")
    command.chmod(0o755)
    environment = {**SOURCES, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"}

    def offered(line, number):
        words = " ".join(f"'{word}'" for word in line.split(" "))
        asked = f"COMP_WORDS=({words}); COMP_CWORD={number}; _mlotel_completion mlotel"
        script = f"{shell}\n{asked}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.split()

    assert {"history", "find", "components"} <= set(offered("mlotel ", 1))
    assert offered("mlotel hist", 1) == ["history"]
    assert "--index" in offered("mlotel history --i", 2)
    assert offered("mlotel history tr", 2) == ["train", "tree"]
    assert offered("mlotel diff tr", 2) == ["train", "tree"]
    assert offered("mlotel runs --component l", 3) == ["load"]
    assert offered(f"mlotel history --store {tmp_path / 'nothing'} tr", 4) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["runs", "-c"],
        ["history"],
        ["show"],
        ["lineage"],
        ["components", "--owner"],
        ["components", "--tag"],
        ["find", "-w", "component", "="],
        ["find", "-w", "component", "~"],
        ["find", "-w", "artifact", "="],
        ["find", "-w", "param.depth", "="],
        ["find", "-w", "param.\udcff", "="],
    ],
)
def test_arguments_that_are_no_utf_8_are_names_like_any_other(mlotel, trials, arguments):
    """The system hands over any bytes: nothing has such a name, and that is told."""
    answer = mlotel(*arguments, "\udcff\ud800", "--store", trials)

    assert answer.code == (0 if arguments[0] == "runs" else 1)
    assert "Traceback" not in answer.err
