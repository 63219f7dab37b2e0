"""What is recorded of a decorated function's arguments and return values without being asked for."""

from __future__ import annotations

import datetime
import decimal
import enum
import os
from collections import namedtuple
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression
from test_component_equivalence import Odd

import mlotel
from mlotel import _capture, hashing
from mlotel.testing import CapturedRuns, capture

TABLE = pa.table({"x": [1, 2, 3]})
OTHER = pa.table({"y": ["a"]})


def recorded(
    function: Callable[..., Any], *args: Any, inputs: Any = True, outputs: Any = True, **kwargs: Any
) -> tuple[list[str], list[str]]:
    """The names of the inputs and outputs of one call."""
    with capture() as captured:
        mlotel.component("c", inputs=inputs, outputs=outputs)(function)(*args, **kwargs)
    (run,) = captured.runs
    assert run.state == "ok"
    return [a.name for a in run.inputs], [a.name for a in run.outputs]


def params_of(function: Callable[..., Any], *args: Any, params: Any = True, **kwargs: Any) -> dict[str, Any]:
    """The parameters of one call."""
    with capture() as captured:
        mlotel.component("c", params=params)(function)(*args, **kwargs)
    return dict(captured.runs[0].params)


@pytest.mark.parametrize(
    "artifact",
    [
        TABLE,
        TABLE.to_batches()[0],
        TABLE["x"],
        pd.DataFrame({"x": [1]}),
        pd.Series([1]),
        pl.DataFrame({"x": [1]}),
        pl.Series([1]),
        np.arange(3),
        np.zeros((0, 2)),
        LinearRegression().fit([[1], [2]], [1, 2]),
    ],
    ids=lambda value: f"{type(value).__module__}.{type(value).__name__}",
)
def test_artifacts_are_recorded_by_parameter_name(artifact: Any) -> None:
    """Tables, arrays and models, by position and by keyword, with the digest that they have alone."""

    def function(one: Any, *, two: Any) -> Any:
        return one

    with capture() as captured:
        assert mlotel.component("c")(function)(artifact, two=artifact) is artifact
    (run,) = captured.runs
    assert [a.name for a in run.inputs] == ["one", "two"]
    assert [a.name for a in run.outputs] == ["output"]
    digest = hashing.fingerprint(artifact).digest
    assert digest is not None
    assert {a.digest for a in (*run.inputs, *run.outputs)} == {digest}


class Colour(enum.Enum):
    RED = "secret"


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        2.5,
        True,
        "text",
        __file__,
        b"bytes",
        bytearray(b"x"),
        1 + 2j,
        np.float64(1.5),
        np.int8(3),
        np.bool_(True),
        np.str_("x"),
        np.array(5),
        decimal.Decimal("1.5"),
        datetime.date(2024, 1, 2),
        Colour.RED,
        [1],
        (1, 2),
        {"a": 1},
        {1},
        object(),
        int,
        len,
        pa.scalar(3),
        pa.schema([]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_scalars_strings_and_other_objects_are_never_artifacts(value: Any) -> None:
    """Not even a string that is a file's name."""
    assert recorded(lambda x: x, value) == ([], [])


def test_scalars_are_parameters_and_other_objects_their_types_names() -> None:
    """`params=True` records what is no artifact; nobody's ``repr`` is asked."""

    def function(a: Any, b: Any = 2, *c: Any, d: Any, table: Any, **e: Any) -> None: ...

    odd = Odd()
    assert params_of(function, 1, odd, "x", odd, d=None, table=TABLE, path=Path("p"), f=[1, 2], g=Colour.RED) == {
        "a": 1,
        "b": "Odd",
        "c.0": "x",
        "c.1": "Odd",
        "d": "None",
        "f": "list",
        "g": "RED",
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(False), False),
        (np.array(3), 3),
        (np.datetime64("2024-01-02"), "2024-01-02"),
        (datetime.date(2024, 1, 2), "2024-01-02"),
        (datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.UTC), "2024-01-02 03:00:00+00:00"),
        (datetime.timedelta(days=1), "1 day, 0:00:00"),
        (decimal.Decimal("1.50"), "1.50"),
        (2**70, hex(2**70)),
        (float("inf"), float("inf")),
        ("x" * 5000, "x" * 1000),
        ("\ud800", "?"),
        (dict, "dict"),
        ("postgres://user:pa@ss@host/db", "postgres://host/db"),
        ("host=h;password=hunter2;db=x", "host=h;db=x"),
        ("max_tokens=512, token_type=bert", "max_tokens=512, token_type=bert"),
        ("select * from users where year=2024", "select * from users where year=2024"),
    ],
    ids=repr,
)
def test_parameters_as_they_are_shown(value: Any, shown: Any) -> None:
    """Numbers stay numbers, text is cut at 1,000 characters, credentials in it are left out."""
    assert params_of(lambda x: None, value) == {"x": shown}


SECRET_NAMES = ["password", "db_passwd", "pwd", "API_KEY", "api-key", "token", "hf_token", "secret", "authorization"]
SECRET_NAMES += ["aws_secret_access_key", "private_key", "connection_string", "dsn", "db_dsn", "access_tokens"]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_parameters_named_like_secrets_are_redacted(name: str) -> None:
    """By name, whatever the value is."""
    assert params_of(lambda **values: None, **{name: "hunter2"}) == {name: "[redacted]"}


@pytest.mark.parametrize(
    "name", ["max_tokens", "tokenizer", "token_count", "n_tokens", "author", "keys", "key_column", "monkey", "tokenize"]
)
def test_parameters_of_language_models_are_not_taken_for_secrets(name: str) -> None:
    """What tells how many tokens there are is no token."""
    assert params_of(lambda **values: None, **{name: 512}) == {name: 512}


def test_a_mapping_of_params_is_recorded_as_it_is() -> None:
    """Given parameters replace the arguments."""
    assert params_of(lambda x: None, 1, params={"given": 2}) == {"given": 2}
    assert params_of(lambda x: None, 1, params=False) == {}


def test_an_object_that_lets_nobody_look_is_safe_everywhere(caplog: pytest.LogCaptureFixture) -> None:
    """Its attributes, comparisons and texts raise; nothing of them is touched, nothing is told."""
    odd = Odd()

    class Hidden(Odd):
        @property
        def __class__(self) -> Any:
            raise RuntimeError("class")

    with capture() as captured:
        function = mlotel.component("c", params=True)(lambda x, *y, **z: (x, {"a": x}))
        assert function(odd, odd, z=odd)[0] is odd
        hidden = Hidden()
        assert function(hidden)[0] is hidden
        with mlotel.component("d") as run:
            assert run.log_input(odd, "in") is odd
            assert run.log_output(odd, "out") is odd
            run.log_params({"p": odd})
            run.set_attributes({"a": odd})
            run.set_tag("t", odd)  # type: ignore[arg-type]
            run.log_predictions([1, 2], model=odd)
    assert [run.state for run in captured.runs] == ["ok"] * 3
    assert captured.runs[0].params == {"x": "Odd", "y.0": "Odd", "z": "Odd"}
    assert [a.note is not None for a in (*captured.runs[2].inputs, *captured.runs[2].outputs)] == [True, True]
    assert captured.runs[2].params == {"p": "Odd"}


# -- names and choices


def test_variable_arguments_are_named_by_place_and_keyword() -> None:
    """``*tables`` as tables.0, tables.1; ``**more`` by their own names, also where a positional one has the same."""

    def function(first: Any, /, *tables: Any, **more: Any) -> None: ...

    assert recorded(function, TABLE, TABLE, TABLE, extra=TABLE, first=TABLE) == (
        ["first", "tables.0", "tables.1", "extra", "more.first"],
        [],
    )


def test_defaults_are_arguments_too() -> None:
    """An artifact that is a parameter's default was read as well."""

    def function(table: Any = TABLE) -> None: ...

    assert recorded(function) == (["table"], [])


def test_self_and_cls_are_no_inputs() -> None:
    """A method of an estimator does not read itself."""

    class Model(LinearRegression):  # type: ignore[misc]
        @mlotel.component("c")
        def train(self, table: Any) -> None: ...

    with capture() as captured:
        Model().train(TABLE)
    assert [a.name for a in captured.runs[0].inputs] == ["table"]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (True, ["a", "b"]),
        (False, []),
        ([], []),
        ({}, []),
        ("a", ["a"]),
        (["b"], ["b"]),
        (("a", "b"), ["a", "b"]),
        ({"a": "raw flights"}, ["raw flights"]),
    ],
    ids=repr,
)
def test_inputs_can_be_chosen_renamed_and_switched_off(selection: Any, expected: list[str]) -> None:
    """All, none, some, or some under other names."""
    assert recorded(lambda a, b: None, TABLE, OTHER, inputs=selection) == (expected, [])


class Both(NamedTuple):
    train: Any
    test: Any


@pytest.mark.parametrize(
    ("value", "selection", "expected"),
    [
        (TABLE, True, ["output"]),
        (TABLE, False, []),
        (TABLE, "clean", ["clean"]),
        ((TABLE, OTHER), True, ["output.0", "output.1"]),
        ((TABLE, 3, OTHER), True, ["output.0", "output.2"]),
        ((TABLE, OTHER), ["train", "test"], ["train", "test"]),
        ((TABLE, OTHER), ["train"], ["train"]),
        (Both(TABLE, OTHER), True, ["train", "test"]),
        (Both(TABLE, OTHER), ["a", "b"], ["a", "b"]),
        ({"train": TABLE, "n": 3, 4: OTHER}, True, ["train"]),
        ({"train": TABLE, "test": OTHER}, "test", ["test"]),
        ({"train": TABLE, "test": OTHER}, {"test": "held out"}, ["held out"]),
        ([TABLE, OTHER], True, []),
        ([TABLE, OTHER], ["train", "test"], ["train", "test"]),
        (object(), True, []),
        (object(), "model", ["model"]),
        (b"bytes", "model", ["model"]),
        (0.9, "accuracy", []),
        ({"model": object(), "loss": 0.5}, ["model", "loss"], ["model"]),
        (None, "clean", []),
        (Odd(), True, []),
    ],
    ids=lambda value: type(value).__name__,
)
def test_outputs_can_be_chosen_renamed_and_switched_off(value: Any, selection: Any, expected: list[str]) -> None:
    """A tuple's or dict's items stand for themselves, a named tuple's under their fields' names."""
    assert recorded(lambda: value, outputs=selection) == ([], expected)


def test_what_is_asked_for_by_name_is_recorded_whatever_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """An object that nobody can digest stands there with a note; text does not, and the fix is told."""

    def function(model: Any, path: str, n: int) -> None: ...

    assert recorded(function, object(), "data.csv", 3, inputs=["model", "path", "n"]) == (["model"], [])
    (record,) = caplog.records
    assert "'path' of component 'c': TypeError: text is a value" in record.getMessage()
    assert "wrap the path in pathlib.Path" in record.getMessage()


def test_large_containers_are_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dict or tuple of a million items is data: looking at each would take longer than the function."""
    looked = []
    find = hashing.is_artifact
    monkeypatch.setattr(hashing, "is_artifact", lambda value: looked.append(value) or find(value))
    assert recorded(lambda *args: (TABLE,) * 1001, *[object()] * 10_000) == ([], [])
    assert recorded(lambda: {str(i): TABLE for i in range(1001)}) == ([], [])
    assert len(looked) < 3000


def test_mappings_other_than_dicts_are_not_read() -> None:
    """Their items may lie on a disk or beyond a network."""

    class Shelf(Mapping[str, Any]):
        def __getitem__(self, key: str) -> Any:
            raise AssertionError("was read")

        def __iter__(self) -> Any:
            raise AssertionError("was read")

        def __len__(self) -> int:
            raise AssertionError("was asked")

    shelf = Shelf()
    assert recorded(lambda x: x, shelf) == ([], [])


def test_a_registered_mapping_is_one_artifact(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has a fingerprint of its own is not taken apart."""

    class Weights(dict[str, Any]):
        pass

    mlotel.register_fingerprint(Weights, lambda weights: b"weights")
    assert recorded(lambda weights: weights, Weights(a=TABLE)) == (["weights"], ["output"])


def test_named_tuples_of_the_old_kind() -> None:
    """collections.namedtuple has fields as well."""
    pair = namedtuple("pair", "left right")
    assert recorded(lambda: pair(TABLE, OTHER)) == ([], ["left", "right"])


# -- paths


def test_a_path_that_is_there_is_an_input_and_one_that_was_made_an_output(tmp_path: Path) -> None:
    """Which of the two a path is, is seen by looking before and after."""
    source, target, missing = tmp_path / "source.txt", tmp_path / "target.txt", tmp_path / "missing"
    source.write_text("in")

    def copy(source: Path, target: Path, missing: Path) -> None:
        target.write_text(source.read_text())

    assert recorded(copy, source, target, missing) == (["source"], ["target"])


def test_a_path_that_was_rewritten_is_both(tmp_path: Path) -> None:
    """Its content before is the input's digest, the content after the output's."""
    path = tmp_path / "state.txt"
    path.write_text("before")

    @mlotel.component("c")
    def update(state: Path) -> None:
        state.write_text("afterwards")

    with capture() as captured:
        update(path)
    (run,) = captured.runs
    assert [(a.name, a.digest) for a in (*run.inputs, *run.outputs)] == [
        ("state", hashing.fingerprint(b"before").digest),
        ("state", hashing.fingerprint(b"afterwards").digest),
    ]


def test_a_path_named_among_the_outputs_is_no_input(tmp_path: Path) -> None:
    """`outputs` may name a parameter: what is there before is only what will be overwritten."""
    path = tmp_path / "out.txt"
    path.write_text("old")
    assert recorded(lambda out: out.write_text("new!"), path, outputs={"out": "features"}) == ([], ["features"])
    assert recorded(lambda out: None, path, outputs=["out"]) == ([], [])


def test_a_returned_path_is_recorded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is written in another way than the argument."""
    monkeypatch.chdir(tmp_path)

    def write(path: Path) -> Path:
        path.write_text("x")
        return path.absolute()

    assert recorded(write, Path("a.txt")) == ([], ["output"])
    assert recorded(write, Path("b.txt"), outputs="made") == ([], ["made"])


def test_outputs_of_a_failed_call_are_not_recorded(tmp_path: Path) -> None:
    """What a function was writing when it failed is no artifact that anybody should read."""

    @mlotel.component("c")
    def write(path: Path) -> None:
        path.write_text("half")
        raise ValueError("no")

    with capture() as captured, pytest.raises(ValueError):
        write(tmp_path / "a.txt")
    assert captured.runs[0].outputs == ()


def test_a_folder_is_one_artifact(tmp_path: Path) -> None:
    """Its digest is that of its tree."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "part-0").write_text("0")

    def split(data: Path, out: Path) -> None:
        out.mkdir()
        (out / "part-1").write_text("1")

    with capture() as captured:
        mlotel.component("c")(split)(tmp_path / "data", tmp_path / "out")
    (run,) = captured.runs
    assert [(a.name, a.scope) for a in (*run.inputs, *run.outputs)] == [("data", "tree"), ("out", "tree")]


def test_paths_of_odd_kinds(tmp_path: Path) -> None:
    """A path that cannot be a path, a broken link, a loop and any other PathLike do no harm."""

    class Mine(os.PathLike[str]):
        def __fspath__(self) -> str:
            return str(tmp_path / "a.txt")

    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    assert recorded(lambda p: None, Mine()) == (["p"], [])
    assert recorded(lambda p: None, Path("\0")) == ([], [])
    assert recorded(lambda p: None, Path("x" * 5000)) == ([], [])
    assert recorded(lambda p: None, tmp_path / "link") == ([], [])
    assert recorded(lambda p: None, tmp_path / "loop") == ([], [])
    assert recorded(lambda p: None, tmp_path / "fifo") == (["p"], [])


def test_files_past_a_gibibyte_are_digested_only_when_asked(tmp_path: Path) -> None:
    """An argument that large is on record with its size and a note; `log_input` digests it."""
    exact, large = tmp_path / "exact", tmp_path / "large"
    for path, size in ((exact, 0), (large, _capture.LARGEST + 1)):
        with path.open("wb") as file:
            file.truncate(size)  # sparse: takes no room
    assert _capture.LARGEST == 2**30

    @mlotel.component("c")
    def read(exact: Path, large: Path) -> None: ...

    with capture() as captured:
        read(exact, large)
    small, big = captured.runs[0].inputs
    assert small.digest is not None
    assert (big.digest, big.size, big.note) == (
        None,
        2**30 + 1,
        "too large to digest unasked (1 GiB, 10,000 files): log it by hand",
    )


def test_folders_past_a_gibibyte_are_digested_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder counts by all that is in it, and by how many files those are."""
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    for number in range(2):
        with (folder / "deep" / f"part-{number}").open("wb") as file:
            file.truncate(2**29 + 1)

    def read(data: Path) -> None: ...

    with capture() as captured:
        mlotel.component("c")(read)(folder)
        for path in (folder / "deep").iterdir():
            path.write_text("small")
        mlotel.component("c")(read)(folder)
        monkeypatch.setattr(_capture, "MOST_FILES", 1)
        mlotel.component("c")(read)(folder)
    assert [run.inputs[0].digest is None for run in captured.runs] == [True, False, True]


def test_nothing_is_looked_at_where_everything_is_switched_off(
    mlotel_runs: CapturedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """inputs=False and outputs=False: arguments are passed on, no more."""
    monkeypatch.setattr(hashing, "is_artifact", lambda value: pytest.fail("looked at"))
    assert mlotel.component("c", inputs=False, outputs=False)(lambda x: x)(TABLE) is TABLE
    assert mlotel_runs.runs[0].inputs == mlotel_runs.runs[0].outputs == ()
