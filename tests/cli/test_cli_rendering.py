"""Tables and trees on terminals of every kind, and with data that would rather be a command."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipelines import Io
from rich.cells import cell_len

from mlotel.cli.text import bytes_, clean, duration, number, short_digest, timestamp, when

ESCAPE = "\x1b"
HOSTILE = "e\x1b[31mvil\x07 [red]x[/red] :smile: \u202egnp.exe\x9b31m\nline"
SHOWN = "e[31mvil [red]x[/red] :smile: gnp.exe31m line"


@pytest.fixture
def hostile(book, store):
    """A run whose every text tries to write to the terminal."""
    book.run(
        HOSTILE,
        [Io("raw", name=HOSTILE, uri=f"file:///{HOSTILE}", note=HOSTILE, type=HOSTILE)],
        [Io("result", name=HOSTILE)],
        pipeline=HOSTILE,
        version=HOSTILE,
        state="failed",
        error={"type": "ValueError", "message": HOSTILE},
        params={HOSTILE: HOSTILE},
        metrics={HOSTILE: 1.0},
        tags={HOSTILE: HOSTILE},
        git={"commit": HOSTILE, "branch": HOSTILE},
        attributes={"mlotel.component.tags": [HOSTILE], "host.name": HOSTILE},
    )
    return store()


@pytest.mark.parametrize(
    "command",
    [
        ["runs"],
        ["show"],
        ["history", HOSTILE],
        ["lineage", HOSTILE],
        ["lineage", "-f", "table", HOSTILE],
        ["find", "--where", f"param.{HOSTILE}", "=", HOSTILE],
        ["components"],
        ["tags"],
    ],
)
def test_text_of_the_data_reaches_a_terminal_as_text_alone(mlotel, hostile, book, command):
    """Escape sequences lose what makes them so; markup and emoji codes stay as they were written."""
    if command == ["show"]:
        command = ["show", book.made[0].run_id]

    answer = mlotel(*command, "--store", hostile)

    assert answer.code == 0
    assert SHOWN in answer.out
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", answer.out)


@pytest.mark.parametrize("command", [["runs", "-f", "json"], ["lineage", "-f", "json", HOSTILE]])
def test_json_holds_no_raw_control_characters_and_loses_none(mlotel, hostile, command):
    """What a terminal might obey is escaped as JSON does; a parser gets the text back as it was."""
    answer = mlotel(*command, "--store", hostile)

    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", answer.out)
    run = answer.json[0] if isinstance(answer.json, list) else answer.json["runs"][0]
    assert run["component"] == HOSTILE


def test_a_complaint_is_one_line_without_escapes(mlotel, hostile):
    """What was asked for is repeated without its control characters."""
    answer = mlotel("lineage", "no\x1b[31msuch\nthing", "--store", hostile)

    assert answer.err.count("\n") == 1
    assert ESCAPE not in answer.err


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
def test_tables_fit_the_terminal(mlotel, book, store, monkeypatch, width):
    """Columns are left out, the least important first; the run's id and component stay."""
    book.run(
        "a component of some length",
        ["x"],
        ["y"],
        pipeline="pipeline",
        version="1.2.3",
        metrics={"rmse": 1.5},
        tags={"stage of its life": "production"},
        attributes={"mlotel.component.tags": ["nightly", "weekly"], "mlotel.component.owner": "a team of some size"},
    )
    path = store()
    monkeypatch.setenv("COLUMNS", str(width))

    for command in (
        ["runs"],
        ["history", "a component of some length"],
        ["lineage", "-f", "table", "y"],
        ["find", "--where", "metric.rmse", "gt", "1"],
        ["components"],
        ["tags"],
        ["show", book.made[0].run_id],
    ):
        table = [line for line in mlotel(*command, "--store", path).out.splitlines() if not line.startswith("store: ")]
        assert max(map(cell_len, table)) <= width
    assert book.made[0].run_id[:8] in mlotel("runs", "--store", path).out


def test_where_there_is_no_terminal_lines_are_not_cut(mlotel, book, store):
    """A pipe has no width: a program that reads the table gets every name whole."""
    name = "component " + "x" * 240
    book.run(name)

    assert name in mlotel("runs", "--store", store()).out


def test_a_pipe_gets_no_colours(mlotel, book, store):
    """Not a single escape sequence where standard output is no terminal."""
    book.run("train", ["x"], ["y"])

    assert ESCAPE not in mlotel("lineage", "y", "--store", store()).out


def test_a_terminal_gets_colours_unless_they_are_refused(mlotel, book, store, monkeypatch):
    """NO_COLOR is respected."""
    book.run("train", ["x"], ["y"])
    path = store()
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")

    assert f"{ESCAPE}[32m✓ ok" in mlotel("runs", "--store", path).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert f"{ESCAPE}[32m" not in mlotel("runs", "--store", path).out


def test_an_output_that_cannot_show_a_character_does_not_fail(mlotel, book, store, capsys, monkeypatch):
    """With an ASCII terminal states have plain symbols, and names are written with escapes."""
    book.run("größe", ["x"], ["y"])
    path = store()
    monkeypatch.setattr(sys.stdout, "_encoding", "ascii", raising=False)
    sys.stdout.reconfigure(encoding="ascii")

    out = mlotel("runs", "--store", path).out

    assert "gr\\xf6\\xdfe" in out
    assert "+ ok" in out


def test_a_chain_of_a_thousand_runs_is_printed(mlotel, book, store, monkeypatch):
    """Deeper than the terminal is wide and than Python recurses: it goes on in further trees, each of which fits."""
    for step in range(1000):
        book.run(f"step {step}", [f"data {step}"], [f"data {step + 1}"])
    path = store()
    monkeypatch.setenv("COLUMNS", "80")

    out = mlotel("lineage", "data 1000", "--store", path).out

    assert len(re.findall(r"by step \d+ ", out)) == 1000
    assert out.count("no run wrote it") == 1
    assert out.count("↓ continued below") == 99
    assert max(cell_len(line) for line in out.splitlines() if not line.startswith("store: ")) <= 80


def test_a_tree_of_diamonds_grows_linearly(mlotel, book, store):
    """14 chained diamonds are 42 runs on a hundred lines, not on 2^14."""
    last = "raw"
    for step in range(14):
        book.run("left", [last], [f"l {step}"])
        book.run("right", [last], [f"r {step}"])
        book.run("join", [f"l {step}", f"r {step}"], [f"j {step}"])
        last = f"j {step}"
    path = store()

    out = mlotel("lineage", last, "--store", path).out

    assert len(re.findall(r"by (left|right|join)", out)) == 42
    assert out.count("↑ shown above") == 14
    assert out.endswith("42 runs, 43 artifacts\n")


def test_a_second_output_of_a_run_refers_to_it(mlotel, book, store):
    """A run behind two artifacts is shown with its inputs once."""
    book.run("split", ["raw"], ["one", "two"])
    book.run("join", ["one", "two"], ["joined"])

    out = mlotel("lineage", "joined", "--store", store()).out

    assert out.count("by split") == 2
    assert out.count("↑ shown above") == 1
    assert out.count("raw") == 1


def test_content_that_was_copied_is_named_as_it_was_read(mlotel, book, store):
    """One content under several names: the tree says under which name each run read it."""
    book.run("write", [], [Io("content", name="original")])
    book.run("copy", [Io("content", name="original")], [Io("content", name="copy")])
    book.run("use", [Io("content", name="copy")], ["result"])

    out = mlotel("lineage", "result", "--store", store()).out

    assert "the same content as" in out


# --- values


@given(st.text())
def test_clean_text_is_one_printable_line(text):
    """Whatever goes in, no control character, line separator or mark that reorders text comes out."""
    cleaned = clean(text)

    assert len(cleaned.splitlines()) <= 1
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", cleaned)
    assert cleaned.encode().decode() == cleaned


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_ordinary_text_stays_as_it_is(text):
    """Letters, digits, punctuation, symbols and blanks of any language."""
    assert clean(text) == text


@given(st.datetimes(), st.integers(0, 999))
def test_a_timestamp_is_rfc_3339_in_utc_cut_to_microseconds(moment, nanoseconds):
    """The standard library reads it back as the moment that it was made of."""
    moment = moment.replace(tzinfo=UTC)
    time_ns = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000 + nanoseconds
    written = timestamp(time_ns)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", written)
    assert datetime.fromisoformat(written) == moment
    assert when(time_ns) == f"{moment.isoformat(' ', 'seconds')[:19]}Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.0, "0 ms"),
        (0.000123, "0.123 ms"),
        (0.25, "250 ms"),
        (1.0, "1 s"),
        (59.94, "59.9 s"),
        (0.9999, "1 s"),
        (60.0, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (93_784.0, "26 h 03 min"),
    ],
)
def test_durations_come_in_the_unit_that_suits_them(seconds, text):
    """Milliseconds to hours."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_999, "1 MB"),
        (30_000_000, "30 MB"),
        (1_234_567_890, "1.23 GB"),
        (5 * 10**15, "5,000 TB"),
    ],
)
def test_sizes_come_in_decimal_units(size, text):
    """Bytes to terabytes."""
    assert bytes_(size) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (336_776, "336,776"), (12.345678, "12.3457"), (20.0, "20"), (float("nan"), "nan"), ("x\x1b", "x")],
)
def test_numbers_are_short_and_text_is_clean(value, text):
    """Six significant digits; integers in full."""
    assert number(value) == text


def test_a_short_digest_keeps_its_algorithm():
    """So that it can be typed as it is shown."""
    assert short_digest("blake3:" + "ab" * 32) == "blake3:abababababab"


def test_json_of_values_that_json_lacks_is_null(mlotel, book, store):
    """NaN and infinities have no form in JSON."""
    book.run("train", metrics={"nan": float("nan"), "inf": float("inf"), "ok": 1.0})
    path = store()

    (run,) = json.loads(mlotel("runs", "--store", path, "-f", "json").out)

    assert {key: value for key, value in run["metrics"].items() if value is not None} == {"ok": 1.0}
