"""`mlotel lineage` forward, both ways, within a time, and as a Mermaid flowchart."""

from __future__ import annotations

import contextlib
import html
import re

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from pipelines import Book, Io, digest

from mlotel.cli.mermaid import mermaid
from mlotel.cli.options import time_option
from mlotel.cli.text import clean
from mlotel.lineage import node_id
from mlotel.model import Artifact, Edge, Lineage, Run

SECOND = 1_000_000_000


@pytest.fixture
def delays(book, store):
    """From a raw file to predictions and a report that failed, with a model in between."""
    book.run("ingest", [Io("raw", name="flights.csv")], ["flights"])
    book.run("featurize", [Io("flights", name="input")], ["features", "log"])
    train = book.run("train", ["features"], ["model"])
    book.run("predict", ["features", Io("model", link=train.outputs[0])], ["predictions"])
    return store()


def short(content: str) -> str:
    return digest(content)[:19]


def line_of(run: Run) -> str:
    start = 20 + (run.start_ns // SECOND) % 100  # the book begins at 22:13:20
    return f"{run.component}  {run.run_id[:8]}  ✓ ok  2023-11-14 22:13:{start}Z  {run.duration_s:g} s"


def test_the_tree_forward_goes_on_to_what_was_not_read(mlotel, delays, book):
    """The root on top, below it who read it, below them what they wrote; shared nodes once."""
    _, featurize, train, predict = book.made

    assert (
        mlotel("lineage", "flights", "--forward", "--store", delays).out
        == f"""flights  dataset  10 rows  {short("flights")}
└── {line_of(featurize)}  read as input  (found by digest)
    ├── features  dataset  10 rows  {short("features")}
    │   ├── {line_of(train)}  (found by digest)
    │   │   └── model  dataset  10 rows  {short("model")}
    │   │       └── {line_of(predict)}  (found by embedded context)
    │   │           └── predictions  dataset  10 rows  {short("predictions")}  not read by any run
    │   └── predict  {predict.run_id[:8]}  ↑ shown above
    └── log  dataset  10 rows  {short("log")}  not read by any run
store: {delays} · 3 runs, 5 artifacts
"""
    )


def test_both_ways_are_two_trees_and_one_count(mlotel, delays, book):
    """What the root was made from, then what it touched; a run of both counts once."""
    train = book.made[2]
    lines = mlotel("lineage", train.run_id, "--both", "--store", delays).out.splitlines()

    roots = [index for index, line in enumerate(lines) if line == line_of(train)]
    assert [lines[index - 1] for index in roots] == ["made from", "touched"]
    assert any("flights.csv" in line for line in lines[: roots[1]])
    assert any("predictions" in line for line in lines[roots[1] :])
    assert lines[-1] == f"store: {delays} · 4 runs, 5 artifacts"


def test_forward_and_both_as_json_and_table(mlotel, delays):
    """The same document and the same columns as going back."""
    forward = mlotel("lineage", "model", "--forward", "--store", delays, "--format", "json").json
    both = mlotel("lineage", "model", "--both", "--store", delays, "--format", "json").json
    table = mlotel("lineage", "model", "--forward", "--store", delays, "--format", "table").out.splitlines()

    assert (forward["root"], [run["component"] for run in forward["runs"]]) == (digest("model"), ["predict"])
    assert {edge["resolved_by"] for edge in forward["edges"]} == {"embedded", None}
    assert [run["component"] for run in both["runs"]] == ["ingest", "featurize", "train", "predict"]
    assert table[0].split() == ["RUN", "COMPONENT", "STATE", "STARTED", "DURATION", "READ", "WROTE"]
    assert table[1].endswith("model  predictions")


def test_a_long_chain_forward_goes_on_in_further_trees(mlotel, book, store, monkeypatch):
    """What is deeper than the terminal is wide is continued below, every run once."""
    monkeypatch.setenv("COLUMNS", "100")
    for number in range(40):
        book.run(f"step {number}", [f"data {number}"], [f"data {number + 1}"])

    out = mlotel("lineage", "data 0", "--forward", "--store", store()).out

    assert "continued below" in out
    assert [
        out.count(f"step {number}  ") - out.count(f"step {number}  {book.made[number].run_id[:8]}  ↓")
        for number in range(40)
    ] == [1] * 40


def test_a_trace_forward_begins_with_its_first_runs(mlotel, book, store):
    """Of several runs in a trace the trees begin with those that were made from nothing else in it."""
    trace = "ab" * 16
    book.run("a", [], ["data"], trace=trace)
    book.run("b", ["data"], [], trace=trace)
    book.run("c", [], [], trace=trace)

    lines = mlotel("lineage", trace, "--forward", "--store", store()).out.splitlines()

    assert [line.split()[0] for line in lines if line[0].isalpha()] == ["a", "c", "store:"]


def test_since_and_until_cut_the_walk(mlotel, delays, book):
    """Runs that began outside the range are not followed; what was cut off is not called raw, nor unread."""
    train = book.made[2]
    at = f"2023-11-14T22:13:{20 + (train.start_ns // SECOND) % 100}Z"

    back = mlotel("lineage", "predictions", "--since", at, "--store", delays)
    on = mlotel("lineage", "flights.csv", "--forward", "--until", at, "--store", delays)

    assert ("by train" in back.out, "by featurize" in back.out, "no run wrote it" in back.out) == (True, False, False)
    assert ("train" in on.out, "predict" in on.out, "not read" in on.out) == (True, False, False)
    everything = mlotel("lineage", "predictions", "--since", "99999d", "--store", delays, "-f", "json").json
    assert len(everything["runs"]) == 4
    assert len(mlotel("lineage", "predictions", "--since", "12h", "--store", delays, "-f", "json").json["runs"]) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--forward", "--both"],
        ["--since", "yesterday"],
        ["--until", "7 parsecs"],
        ["--since", "99999999999d"],
        ["--since", "1h", "--until", "2h"],
    ],
)
def test_bad_usage_of_lineage_ends_with_2(mlotel, delays, arguments):
    """Nothing on standard output, and on standard error what is wrong."""
    answer = mlotel("lineage", "model", *arguments, "--store", delays)

    assert (answer.code, answer.out) == (2, "")
    assert "Invalid value" in answer.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:01:00Z", 60),
        ("1970-01-01T00:01:00.5Z", 60.5),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-02", 86400),
        ("1970-01-01T00:01:00", 60),
        ("0s", 1e9),
        ("90m", 1e9 - 5400),
        ("12h", 1e9 - 43200),
        ("7d", 1e9 - 604800),
        ("2w", 1e9 - 1209600),
        (" 1.5h ", 1e9 - 5400),
    ],
)
def test_times_are_moments_or_how_long_ago(text, expected):
    """RFC 3339, in UTC where no offset stands, or a number with its unit before now."""
    assert time_option(text, clock=lambda: 10**9 * SECOND) == int(expected * SECOND)


@given(st.text())
def test_any_text_is_a_time_or_bad_usage(text):
    """No text makes it fail otherwise."""
    with contextlib.suppress(click.BadParameter):
        assert isinstance(time_option(text), int)


def test_a_lineage_as_mermaid(mlotel, delays, book):
    """Nodes in order of time, arrows as the data flows with how the producer was found, the root drawn thicker."""
    train, predict = (run.run_id[:8] for run in book.made[2:])
    hexes = {each: digest(each)[7:19] for each in ("model", "predictions")}

    assert (
        mlotel("lineage", "model", "--forward", "--store", delays, "--format", "mermaid").out
        == f"""flowchart LR
  a0[("model<br/>blake3#58;{hexes["model"]}")]
  a1[("predictions<br/>blake3#58;{hexes["predictions"]}")]
  r2(["predict<br/>{predict} ok"])
  a0 -->|"embedded"| r2
  r2 --> a1
  style a0 stroke-width:3px
"""
    )
    assert train not in mlotel("lineage", "model", "--forward", "--store", delays, "--format", "mermaid").out


# All that a flowchart of ours may consist of. Nothing but letters, digits, blanks and entity codes is in a label.
LABEL = r"(?:[^\W_]|[ ]|#\d+;)*"
LINE = re.compile(
    rf"  (?:(?P<artifact>a\d+)\[\(\"(?P<name>{LABEL})(?:<br/>{LABEL})?\"\)\]"
    rf"|(?P<run>r\d+)\(\[\"(?P<component>{LABEL})<br/>{LABEL}\"\]\)"
    rf"|(?P<source>[ar]\d+) -->(?:\|\"(?P<found_by>{LABEL})\"\|)? (?P<target>[ar]\d+)"
    r"|style [ar]\d+ stroke-width:3px"
    r"|%% partial: some of it could not be read)"
)
HOSTILE = [
    '"]; click a0 "javascript:alert(1)"',
    '"]) end',
    "end",
    "click",
    "a\nb --> c\r\nsubgraph x",
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "%%{init: {'securityLevel': 'loose'}}%%",
    "#35;#quot;&lt;",
    "`**bold**` __x__ [a](http://example.org)",
    '"`markdown`"',
    "1. list",
    "    code",
    "- item",
    "\u2028\u202e\x1b]0;title\x07",
    "\ud800",
]
names = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(), max_size=60))


def unescaped(label: str) -> str:
    return html.unescape(re.sub(r"#(\d+);", r"&#\1;", label)).replace("\u2060", "")


@given(names, names, names, st.booleans())
def test_no_name_becomes_a_part_of_the_flowchart(name, component, found_by, partial):
    """Whatever things are called, each line is a node, an arrow or ours, and the labels read as the names do."""
    book = Book()
    run = book.run(component or "c", [Io("content", name=name or "n")])
    run = replace(run, state=found_by)
    artifact: Artifact = run.inputs[0]
    edge = Edge(node_id(artifact), run.run_id, "read", found_by)

    first, *lines = mermaid(Lineage(run.run_id, (run,), (artifact,), (edge,), partial)).splitlines()

    found = [LINE.fullmatch(line) for line in lines]
    assert first == "flowchart LR"
    assert len(lines) == 4 + partial
    assert all(found), lines
    labels = {key: value for match in found if match for key, value in match.groupdict().items() if value is not None}
    assert unescaped(labels["name"]) == shown(name or "n")
    assert unescaped(labels["component"]) == shown(component or "c")
    assert unescaped(labels.get("found_by", "")) == shown(found_by)
    assert (labels["source"], labels["target"]) == (labels["artifact"], labels["run"])


def shown(text: str) -> str:
    return " ".join(clean(text).split()).replace("\u2060", "")


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("$$x$$", "$\u2060$x$\u2060$"),
        ("fa:fa-car", "fa:\u2060fa-car"),
        ("a\\nb", "a\\\u2060nb"),
        ("ﬂ°°35¶ß", "ﬂ\u2060°°35¶ß"),
    ],
)
def test_what_mermaid_acts_upon_after_decoding_is_broken_up(name, label):
    """Mathematics, icons, new lines and Mermaid's own codes stay the text that they are."""
    artifact = Artifact(name, "output", "ab" * 8, "cd" * 16)

    line = mermaid(Lineage(artifact.span_id, (), (artifact,))).splitlines()[1]

    assert html.unescape(re.sub(r"#(\d+);", r"&#\1;", line)) == f'  a0[("{label}")]'


def test_a_long_name_is_cut_in_the_flowchart():
    """80 characters are enough to tell things apart by."""
    artifact = Artifact("x" * 500, "output", "ab" * 8, "cd" * 16)

    assert "x" * 79 + "#8230;" in mermaid(Lineage(artifact.span_id, (), (artifact,)))
