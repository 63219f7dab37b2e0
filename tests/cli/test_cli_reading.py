"""What the reading commands answer, and how they end."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pipelines import Io, digest

import mlotel as package
from mlotel.cli.options import StoreSource, open_store
from mlotel.errors import QueryError
from mlotel.store.files import FileStore

SOURCES = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parent.parent)}

GIT = {"commit": "3f9a12c4" + "0" * 32, "branch": "main", "dirty": True, "repository": "https://example.org/delays.git"}


@pytest.fixture
def delays(book, store):
    """A pipeline from a raw file to predictions, with a model in between."""
    book.run(
        "ingest",
        [Io("raw", name="flights.csv", uri="file:///data/flights.csv", rows=None, size=30_000_000)],
        [Io("flights", rows=336_776)],
        pipeline="delays",
    )
    book.run("featurize", ["flights"], [Io("features", type="features")], pipeline="delays")
    train = book.run(
        "train",
        ["features"],
        [Io("model", type="model", rows=None, size=812_000)],
        pipeline="delays",
        version="2.1",
        params={"alpha": 0.1, "fit": True},
        metrics={"rmse": 12.345678},
        tags={"stage": "test"},
        git=GIT,
    )
    book.run("evaluate", state="failed", error={"type": "ValueError", "message": "no rows"})
    book.run(
        "predict",
        ["features", Io("model", link=train.outputs[0])],
        [Io("december", name="predictions", type="predictions")],
        pipeline="delays",
        attributes={
            "mlotel.prediction.count": 28_135,
            "mlotel.prediction.mean": 12.5,
            "mlotel.prediction.class.names": ["late", "on time"],
            "mlotel.prediction.class.counts": [10, 28_125],
        },
    )
    return store()


def run_ids(book):
    return {run.component: run.run_id for run in book.made}


# --- runs


def test_runs_lists_the_latest_first_and_names_the_store(mlotel, delays):
    """One line a run with the columns that are filled, and a last line that says where they were read."""
    answer = mlotel("runs", "--store", delays)

    lines = answer.out.splitlines()
    assert lines[0].split() == ["RUN", "COMPONENT", "VERSION", "PIPELINE", "STATE", "STARTED", "DURATION", "IN", "OUT"]
    assert [line.split()[1] for line in lines[1:-1]] == ["predict", "evaluate", "train", "featurize", "ingest"]
    assert lines[-1] == f"store: {delays} · 5 runs"
    assert (answer.code, answer.err) == (0, "")


def test_runs_shows_short_id_state_start_and_duration(mlotel, delays, book):
    """A failed run is seen as such at a glance."""
    line = mlotel("runs", "--store", delays, "-c", "evaluate").out.splitlines()[1]

    assert line.split() == [
        run_ids(book)["evaluate"][:8],
        "evaluate",
        "✗",
        "failed",
        "2023-11-14",
        "22:13:33Z",
        "1",
        "s",
        "0",
        "0",
    ]


def test_runs_as_json_is_a_list_of_runs(mlotel, delays, book):
    """Every field of a run, as the model holds it."""
    (train,) = mlotel("runs", "--store", delays, "--component", "train", "--format", "json").json

    run = next(each for each in book.made if each.component == "train")
    assert train == {
        "run_id": run.run_id,
        "component": "train",
        "pipeline": "delays",
        "version": "2.1",
        "state": "ok",
        "start": "2023-11-14T22:13:29.000000Z",
        "end": "2023-11-14T22:13:32.000000Z",
        "duration_s": 3.0,
        "trace_id": run.trace_id,
        "span_id": run.span_id,
        "service": "tests",
        "inputs": [
            {
                "name": "features",
                "type": "dataset",
                "digest": digest("features"),
                "scope": "logical",
                "uri": None,
                "rows": 10,
                "columns": None,
                "missing": None,
                "size": None,
                "schema_digest": None,
                "note": None,
                "drift": None,
                "profile": None,
                "link": None,
            }
        ],
        "outputs": [
            {
                "name": "model",
                "type": "model",
                "digest": digest("model"),
                "scope": "logical",
                "uri": None,
                "rows": None,
                "columns": None,
                "missing": None,
                "size": 812_000,
                "schema_digest": None,
                "note": None,
                "drift": None,
                "profile": None,
                "link": None,
            }
        ],
        "params": {"alpha": 0.1, "fit": True},
        "metrics": {"rmse": 12.345678},
        "tags": {"stage": "test"},
        "predictions": None,
        "drift": None,
        "git": GIT,
        "error": None,
        "stale": None,
    }


def test_the_link_of_an_input_is_in_the_json(mlotel, delays, book):
    """Which span wrote what was read, and how it was found."""
    (predict,) = mlotel("runs", "--store", delays, "-c", "predict", "--format", "json").json

    train = next(each for each in book.made if each.component == "train")
    assert predict["inputs"][1]["link"] == {
        "trace_id": train.trace_id,
        "span_id": train.outputs[0].span_id,
        "type": "consumes",
        "resolved_by": "embedded",
    }


def test_statistics_of_predictions_are_in_the_json(mlotel, delays):
    """As far as the run's span carries them."""
    (predict,) = mlotel("runs", "--store", delays, "-c", "predict", "--format", "json").json

    assert predict["predictions"] == {"count": 28_135, "mean": 12.5, "classes": {"late": 10, "on time": 28_125}}


def test_recent_is_runs(mlotel, delays):
    """The alias gives the same answer."""
    for form in ("table", "json"):
        assert mlotel("recent", "--store", delays, "-f", form) == mlotel("runs", "--store", delays, "-f", form)


def test_runs_shows_twenty_unless_told(mlotel, book, store):
    """The default limit is 20, and the caption says how to see more."""
    for number in range(30):
        book.run(f"component {number}")
    path = store()

    assert [run["component"] for run in mlotel("runs", "--store", path, "--format", "json").json] == [
        f"component {number}" for number in range(29, 9, -1)
    ]
    assert len(mlotel("runs", "--store", path, "--limit", "3", "--format", "json").json) == 3
    assert mlotel("runs", "--store", path).out.endswith("20 runs, latest first; --limit 100 for more\n")


def test_a_run_that_was_lost_reads_as_lost(mlotel, book, store):
    """A start without an end, long ago: no end, no duration."""
    book.run("crashed", ["raw"], state="lost")
    path = store()

    (run,) = mlotel("runs", "--store", path, "--format", "json").json
    assert (run["state"], run["end"], run["duration_s"]) == ("lost", None, None)
    assert "? lost" in mlotel("runs", "--store", path).out


def test_an_empty_store_says_so_and_what_to_do(mlotel, tmp_path):
    """No runs are an answer: exit code 0, an empty list for programs, a way on for people."""
    (tmp_path / ".mlotel").mkdir()

    answer = mlotel("runs")
    assert answer.code == 0
    assert answer.out.startswith(f"no runs in {tmp_path / '.mlotel'}: record one with")
    answer = mlotel("runs", "--format", "json")
    assert (answer.code, answer.json, answer.err) == (0, [], "")


def test_where_nothing_was_ever_recorded_runs_says_so(mlotel, tmp_path):
    """No store yet: exit code 0, and the JSON is an empty list with the reason on standard error."""
    answer = mlotel("runs")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"no runs in {tmp_path / '.mlotel'}: record one with")
    answer = mlotel("runs", "--format", "json")
    assert (answer.code, answer.json) == (0, [])
    assert "no runs in" in answer.err
    assert not (tmp_path / ".mlotel").exists()


def test_a_component_without_runs_is_told_apart_from_an_empty_store(mlotel, delays):
    """The filter, not the store, is why there is nothing."""
    answer = mlotel("runs", "--store", delays, "--component", "nobody")

    assert (answer.code, answer.out.splitlines()) == (
        0,
        ["no runs of component 'nobody': `mlotel components` lists those that ran", f"store: {delays}"],
    )


@pytest.mark.parametrize("command", [["runs"], ["history", "train"], ["show", "abcd"], ["lineage", "x"]])
def test_a_store_that_is_not_there_is_an_error(mlotel, tmp_path, command):
    """--store names a place: nothing there is bad input, in one line on standard error."""
    answer = mlotel(*command, "--store", tmp_path / "nowhere")

    assert (answer.code, answer.out) == (2, "")
    assert (
        answer.err
        == f"mlotel: no store at {tmp_path / 'nowhere'}: give the path of a .mlotel folder, or leave --store out\n"
    )


@pytest.mark.parametrize("command", [["history", "train"], ["show", "abcd"], ["lineage", "x"]])
def test_where_nothing_was_recorded_there_is_nothing_to_find(mlotel, command):
    """A question about something, with no store yet, ends as not found and says what to do."""
    answer = mlotel(*command)

    assert (answer.code, answer.out) == (1, "")
    assert "record one with" in answer.err


def test_a_store_that_is_switched_off_is_told(mlotel, monkeypatch):
    """MLOTEL_STORE=off leaves nothing to read."""
    monkeypatch.setenv("MLOTEL_STORE", "off")

    answer = mlotel("runs")
    assert (answer.code, answer.out) == (2, "")
    assert "switched off" in answer.err


def test_the_store_of_the_environment_is_read(mlotel, delays, monkeypatch):
    """MLOTEL_STORE names the store where --store does not."""
    monkeypatch.setenv("MLOTEL_STORE", str(delays))

    assert mlotel("runs").out.endswith(f"store: {delays} · 5 runs\n")


@pytest.mark.parametrize("output_format", ["table", "json"])
def test_lines_that_cannot_be_read_are_told(mlotel, delays, output_format):
    """What is no OTLP is left out, and standard error says how much that was, whatever the format."""
    whole = mlotel("runs", "--store", delays, "--format", output_format)
    with delays.open("a") as file:
        file.write('{"resourceSpans": [\nnonsense\n')

    answer = mlotel("runs", "--store", delays, "--format", output_format)

    assert (answer.code, answer.out) == (0, whole.out)
    assert answer.err == "mlotel: 2 lines of the store could not be read and were left out\n"


@pytest.mark.parametrize("asked", [["runs"], ["components"], ["tags"], ["show", "abcd"], ["lineage", "model"]])
def test_unread_lines_are_told_where_nothing_else_is_there(mlotel, tmp_path, asked):
    """An empty answer, or an error, may be wrong because of them."""
    store = tmp_path / "other.jsonl"
    store.write_text("no OTLP\n")

    answer = mlotel(*asked, "--store", store)

    assert "mlotel: 1 line of the store could not be read and was left out\n" in answer.err


# --- show


def test_show_answers_what_when_where_and_how(mlotel, delays, book):
    """One run in full, in sections; what is not known is not there."""
    train = run_ids(book)["train"]
    run = next(each for each in book.made if each.run_id == train)

    assert (
        mlotel("show", train[:8], "--store", delays).out
        == f"""What
  component  train
  version    2.1
  pipeline   delays
  state      ✓ ok
  run id     {train}
When
  started  2023-11-14T22:13:29.000000Z
  ended    2023-11-14T22:13:32.000000Z
  took     3 s
Where
  service   tests
  trace id  {run.trace_id}
  span id   {run.span_id}
How
  commit      {GIT["commit"]} (uncommitted changes)
  branch      main
  repository  https://example.org/delays.git
Parameters
  alpha  0.1
  fit    true
Inputs
  NAME      TYPE     EXTENT   DIGEST
  features  dataset  10 rows  {digest("features")[:19]}
Outputs
  NAME   TYPE   EXTENT  DIGEST
  model  model  812 kB  {digest("model")[:19]}
Metrics
  rmse  12.3457
Tags
  stage  test
store: {delays}
"""
    )


def test_show_tells_the_error_of_a_failed_run(mlotel, delays, book):
    """Type and message on one line."""
    assert "  error      ValueError: no rows\n" in mlotel("show", run_ids(book)["evaluate"], "--store", delays).out


def test_show_tells_the_statistics_of_predictions(mlotel, delays, book):
    """Numbers and classes, each on a line."""
    shown = mlotel("show", run_ids(book)["predict"], "--store", delays).out

    assert (
        "Predictions\n  count          28,135\n  mean           12.5\n  class late     10\n  class on time  28,125\n"
        in shown
    )


def test_show_as_json_is_the_run_as_runs_prints_it(mlotel, delays, book):
    """One object, the same as in the list, and what lists do not look for: stale inputs, and what was said of it."""
    (listed,) = mlotel("runs", "--store", delays, "-c", "train", "--format", "json").json

    shown = mlotel("show", run_ids(book)["train"], "--store", delays, "--format", "json").json
    assert (listed["stale"], shown) == (None, {**listed, "stale": [], "annotations": []})


@pytest.mark.parametrize("command", ["show", "explain"])
def test_show_of_a_component_says_where_its_runs_are(mlotel, delays, command):
    """A component's name in the place of a run's id is told from a slip, as by `lineage`."""
    answer = mlotel(command, "train", "--store", delays)

    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "mlotel: no run 'train': it is a component, and `mlotel history train` lists its runs\n"


def test_show_of_no_run_is_not_found(mlotel, delays):
    """Exit code 1, one line on standard error, nothing on standard output."""
    answer = mlotel("show", "0123abcd", "--store", delays)

    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "mlotel: no run '0123abcd': `mlotel runs` lists the runs; an id needs 4 digits or more\n"


def test_show_of_two_runs_is_ambiguous(mlotel, book, store):
    """Exit code 2, and both are named."""
    book.run("first", run_id="abcd1" + "0" * 27)
    book.run("second", run_id="abcd2" + "0" * 27)

    answer = mlotel("show", "abcd", "--store", store())

    assert (answer.code, answer.out) == (2, "")
    assert "run:abcd1" in answer.err
    assert "run:abcd2" in answer.err


# --- history


def test_history_lists_the_runs_of_one_component_with_what_changed(mlotel, book, store):
    """Version, commit and metrics stand beside each run, latest first."""
    book.run("train", version="1", metrics={"rmse": 20.0}, git={"commit": "a" * 40, "dirty": False})
    book.run("other")
    book.run("train", version="2", metrics={"rmse": 12.5}, git={"commit": "b" * 40, "dirty": True})
    path = store()

    lines = mlotel("history", "train", "--store", path).out.splitlines()

    assert lines[0].split() == ["RUN", "STATE", "STARTED", "DURATION", "VERSION", "COMMIT", "IN", "OUT", "rmse"]
    assert [line.split()[-5:] for line in lines[1:3]] == [
        ["2", "bbbbbbbb*", "0", "0", "12.5"],
        ["1", "aaaaaaaa", "0", "0", "20"],
    ]
    assert lines[3] == f"store: {path} · 2 runs · * uncommitted changes"


def test_history_as_json_is_a_list_of_runs(mlotel, delays):
    """The same objects as `runs` prints."""
    answer = mlotel("history", "train", "--store", delays, "--format", "json")

    assert answer.json == mlotel("runs", "-c", "train", "--store", delays, "--format", "json").json


def test_history_takes_a_limit(mlotel, book, store):
    """The latest runs are kept."""
    runs = [book.run("train") for _ in range(5)]

    answer = mlotel("history", "train", "--limit", "2", "--store", store(), "--format", "json")

    assert [run["run_id"] for run in answer.json] == [runs[4].run_id, runs[3].run_id]


def test_history_of_an_unknown_component_names_the_nearest(mlotel, delays):
    """A slip of the pen is not found, and the error offers what was probably meant."""
    answer = mlotel("history", "trian", "--store", delays)

    assert (answer.code, answer.err) == (1, "mlotel: no runs of component 'trian': did you mean 'train'?\n")


# --- lineage


def test_the_lineage_tree_goes_back_to_the_raw_file_and_shows_shared_nodes_once(mlotel, delays, book):
    """The root on top, what it was made from below, and a reference where something stands above already."""
    ids = {component: run_id[:8] for component, run_id in run_ids(book).items()}
    short = {content: digest(content)[:19] for content in ("raw", "flights", "features", "model", "december")}

    assert (
        mlotel("lineage", "predictions", "--store", delays).out
        == f"""predictions  predictions  10 rows  {short["december"]}
by predict  {ids["predict"]}  ✓ ok  2023-11-14 22:13:35Z  4 s
├── features  features  10 rows  {short["features"]}
│   by featurize  {ids["featurize"]}  ✓ ok  2023-11-14 22:13:25Z  3 s  (found by digest)
│   └── flights  dataset  336,776 rows  {short["flights"]}
│       by ingest  {ids["ingest"]}  ✓ ok  2023-11-14 22:13:21Z  3 s  (found by digest)
│       └── flights.csv  dataset  30 MB  {short["raw"]}
│           no run wrote it: file:///data/flights.csv
└── model  model  812 kB  {short["model"]}
    by train  {ids["train"]}  ✓ ok  2023-11-14 22:13:29Z  3 s  (found by embedded context)
    └── features  ↑ shown above
store: {delays} · 4 runs, 5 artifacts
"""
    )


def test_lineage_as_a_table_lists_the_runs_with_what_joins_them(mlotel, delays):
    """One line a run, latest first."""
    lines = mlotel("lineage", "predictions", "--store", delays, "--format", "table").out.splitlines()

    assert lines[0].split() == ["RUN", "COMPONENT", "STATE", "STARTED", "DURATION", "READ", "WROTE"]
    assert [line.split("  ")[1] for line in lines[1:-1]] == ["predict", "train", "featurize", "ingest"]
    assert lines[1].endswith("features, model  predictions")


def test_lineage_as_json_is_a_graph(mlotel, delays, book):
    """Runs as `runs` prints them, artifacts and edges, by the ids that the edges name."""
    found = mlotel("lineage", "model", "--store", delays, "--format", "json").json

    ids = run_ids(book)
    assert found["root"] == digest("model")
    assert [run["component"] for run in found["runs"]] == ["ingest", "featurize", "train"]
    (train,) = mlotel("runs", "-c", "train", "--store", delays, "--format", "json").json
    assert found["runs"][2:] == [{**train, "stale": []}]
    assert [each["id"] for each in found["artifacts"]] == [
        digest(each) for each in ("raw", "flights", "features", "model")
    ]
    assert {"from": ids["train"], "to": digest("model"), "kind": "write", "resolved_by": None} in found["edges"]
    assert {"from": digest("features"), "to": ids["train"], "kind": "read", "resolved_by": "digest"} in found["edges"]
    assert len(found["edges"]) == 6
    assert found["partial"] is False


def test_lineage_takes_a_depth(mlotel, delays):
    """The number of producing runs to go back; nothing is called raw that was merely cut off."""
    answer = mlotel("lineage", "predictions", "--depth", "1", "--store", delays)

    assert "by predict" in answer.out
    assert "by train" not in answer.out
    assert "no run wrote it" not in answer.out


@pytest.mark.parametrize("what", ["run", "trace", "digest", "path", "name"])
def test_lineage_takes_each_kind_of_reference(mlotel, delays, book, what):
    """Run id, trace id, digest, path and name, with their kind in front."""
    ingest = book.made[0]
    reference = {
        "run": ingest.run_id,
        "trace": ingest.trace_id,
        "digest": digest("flights"),
        "path": "/data/flights.csv",
        "name": "flights",
    }[what]

    answer = mlotel("lineage", f"{what}:{reference}", "--store", delays)

    assert answer.code == 0
    assert "flights.csv" in answer.out


def test_the_lineage_of_a_trace_shows_its_last_runs(mlotel, book, store):
    """Of several runs in a trace the tree begins with those that nothing else in it was made from."""
    trace = "ab" * 16
    book.run("a", [], ["data"], trace=trace)
    book.run("b", ["data"], [], trace=trace)
    book.run("c", [], [], trace=trace)

    lines = mlotel("lineage", trace, "--store", store()).out.splitlines()

    assert [line.split()[0] for line in lines if line[0].isalpha()] == ["c", "b", "store:"]


def test_a_partial_lineage_says_so(mlotel, book, store):
    """A producer that is named and not there is told to people and to programs."""
    elsewhere = book.run("elsewhere", [], ["data"])
    book.run("train", [Io("data", link=elsewhere.outputs[0])], ["model"])
    book.made.remove(elsewhere)
    path = store()

    assert "partial: some producers" in mlotel("lineage", "model", "--store", path).out
    assert mlotel("lineage", "model", "--store", path, "--format", "json").json["partial"] is True


def test_lineage_of_nothing_is_not_found(mlotel, delays):
    """Exit code 1 and the way on."""
    answer = mlotel("lineage", "nothing", "--store", delays)

    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("mlotel: no run or artifact answers to 'nothing': `mlotel runs` lists what there is")


# --- the rest


@pytest.mark.parametrize("form", ["table", "json"])
def test_an_answer_that_cannot_be_written_is_told_in_one_line(delays, form):
    """A full disk, here the device that is always full, ends with 2 and without a traceback."""
    code = "from mlotel.cli import main; main()"
    command = [sys.executable, "-c", code, "runs", "--store", str(delays), "--format", form]

    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=SOURCES, text=True, check=False)

    told = "mlotel: the answer could not be read or written: [Errno 28] No space left on device\n"
    assert (done.returncode, done.stderr) == (2, told)


def test_a_closed_standard_output_is_told_in_one_line(delays):
    """As with `>&-`: exit code 2 and no traceback."""
    code = "from mlotel.cli import main; main()"
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", code, "runs", "--store", str(delays)]

    done = subprocess.run(command, capture_output=True, env=SOURCES, text=True, check=False)

    told = "mlotel: standard output is closed: give the answer a place to be written to\n"
    assert (done.returncode, done.stderr) == (2, told)


def test_a_terminal_that_knows_ascii_alone_is_shown_plain_signs(delays):
    """The dot before the counts becomes a dash, the tree is drawn with bars: no escapes."""
    code = "from mlotel.cli import main; main()"
    command = [sys.executable, "-c", code, "lineage", "predictions", "--store", str(delays)]

    done = subprocess.run(
        command, capture_output=True, env={**SOURCES, "PYTHONIOENCODING": "ascii"}, text=True, check=False
    )

    assert done.returncode == 0
    assert "\\x" not in done.stdout
    assert done.stdout.endswith(" - 4 runs, 5 artifacts\n")


def test_a_very_long_question_is_not_repeated_in_full(mlotel, delays):
    """The middle of the complaint is left out; what to do still ends it."""
    answer = mlotel("show", "x" * 5000, "--store", delays)

    assert answer.code == 1
    assert len(answer.err) < 2100
    assert answer.err.endswith("`mlotel runs` lists the runs; an id needs 4 digits or more\n")


def test_a_reader_that_has_read_enough_ends_it_quietly(delays):
    """As with `| head -1`: no traceback, no complaint."""
    code = "from mlotel.cli import main; main()"
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [sys.executable, "-c", code, "runs", "--store", str(delays), "--format", "json"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=SOURCES,
        text=True,
        check=False,
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (1, "")


def test_reading_loads_nothing_that_it_does_not_need(delays):
    """Neither OpenTelemetry nor Arrow or NumPy is imported to answer a question; nor rich for JSON."""
    code = (
        "import sys\nfrom mlotel.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & set(WATCHED)), file=sys.stderr)"
    ).replace("WATCHED", repr(["opentelemetry", "pyarrow", "numpy", "pandas", "rich"]))

    for arguments, loaded in ((["runs", "-f", "json"], []), (["lineage", "model"], ["rich"])):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments, "--store", str(delays)],
            capture_output=True,
            env=SOURCES,
            text=True,
            check=True,
        )
        assert done.stderr == f"{loaded}\n"


def test_version_names_what_is_installed(mlotel):
    """The command and the option print the same."""
    answer = mlotel("version")

    assert [line.split()[0] for line in answer.out.splitlines()] == ["mlotel", "opentelemetry-api", "python"]
    assert mlotel("--version") == answer


@pytest.mark.parametrize(
    "arguments",
    [
        ["runs", "--limit", "0"],
        ["runs", "--format", "xml"],
        ["lineage"],
        ["lineage", "x", "--depth", "-1"],
        ["nothing"],
    ],
)
def test_bad_usage_ends_with_2(mlotel, arguments):
    """Standard error says what is wrong, standard output stays empty."""
    answer = mlotel(*arguments)

    assert (answer.code, answer.out) == (2, "")
    assert "Error" in answer.err


@pytest.mark.parametrize(("ending", "told"), [(KeyboardInterrupt, 0), (QueryError, 1), (None, 1)])
def test_an_interrupt_asks_nothing_more(delays, monkeypatch, capsys, ending, told):
    """To tell what could not be read, the store would read the rest of its lines first, which may take a minute."""
    monkeypatch.setattr(FileStore, "unread", lambda self: 3)
    with contextlib.suppress(KeyboardInterrupt, QueryError), open_store(StoreSource(delays, None, None)):
        if ending is not None:
            raise ending

    assert capsys.readouterr().err.count("3 lines of the store could not be read") == told


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_terminal_is_told_why_the_first_answer_takes_long(delays, monkeypatch, stream):
    monkeypatch.setattr("mlotel.cli.options._SOON_READ", 1)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stderr := stream())
    size = delays.stat().st_size
    with open_store(StoreSource(delays, None, None)) as opened:
        opened.store.runs()
        told = stderr.getvalue()
        opened.store.runs()

    shown = f"reading {size / 1000:.3g} kB of runs" in told
    assert shown == stderr.isatty()
    assert stderr.getvalue() == told  # there is no more to read
