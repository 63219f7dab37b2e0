"""How a run ends that does not end well, and what becomes of mlotel's own faults."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import mlotel
from mlotel import _runtime, hashing
from mlotel.testing import CapturedRuns

PACKAGE = Path(mlotel.__file__).parent


class OddError(Exception):
    """An exception that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


ENDINGS = [
    (ValueError("bad"), "failed", "ValueError", "ValueError: bad"),
    (OddError(), "failed", f"{OddError.__module__}.OddError", "OddError: (its message cannot be shown)"),
    (MemoryError(), "failed", "MemoryError", None),
    (StopIteration(3), "failed", "StopIteration", "StopIteration: 3"),
    (ExceptionGroup("many", [ValueError("x")]), "failed", "ExceptionGroup", "ExceptionGroup: many (1 sub-exception)"),
    (SystemExit(1), "failed", "SystemExit", "SystemExit: 1"),
    (SystemExit("msg"), "failed", "SystemExit", "SystemExit: msg"),
    (SystemExit(0), "ok", None, None),
    (SystemExit(), "ok", None, None),
    (GeneratorExit(), "ok", None, None),
    (KeyboardInterrupt(), "cancelled", "KeyboardInterrupt", None),
    (asyncio.CancelledError(), "cancelled", "asyncio.exceptions.CancelledError", None),
    (BaseExceptionGroup("g", [KeyboardInterrupt()]), "cancelled", "BaseExceptionGroup", None),
]


@pytest.mark.parametrize(
    ("error", "state", "kind", "description"),
    ENDINGS,
    ids=[f"{type(e[0]).__name__}-{i}" for i, e in enumerate(ENDINGS)],
)
@pytest.mark.parametrize("how", ["block", "function"])
def test_every_exception_is_what_it_is(
    mlotel_runs: CapturedRuns, error: BaseException, state: str, kind: str | None, description: str | None, how: str
) -> None:
    """Failures fail, interruptions cancel, exits say how; the same object comes out, with one frame more at most."""

    def raises() -> None:
        raise error

    def in_block() -> None:
        with mlotel.component("a"):
            raise error

    function = mlotel.component("a")(raises) if how == "function" else in_block
    with pytest.raises(BaseException) as raised:
        function()
    assert raised.value is error
    assert error.__context__ is None
    assert error.__cause__ is None
    ours = [entry for entry in raised.traceback if Path(str(entry.path)).is_relative_to(PACKAGE)]
    assert len(ours) <= (how == "function")
    error.__traceback__ = None
    (run,) = mlotel_runs.runs
    assert run.state == state
    assert run.attributes.get("error.type") == kind
    events = [event for event in mlotel_runs.events if event.get("eventName") == "exception"]
    assert len(events) == (kind is not None)
    if description is not None:
        assert run.error is not None
        assert f"{type(error).__name__}: {run.error['message']}" == description


def _attributes(event: Any) -> dict[str, Any]:
    return {item["key"]: next(iter(item["value"].values())) for item in event["attributes"]}


def test_an_exception_is_told_as_a_log_record(mlotel_runs: CapturedRuns) -> None:
    """The record stands in the run's trace and holds type, message and stack trace."""
    with pytest.raises(KeyError), mlotel.component("a") as run:
        {}["missing"]
    (event,) = [event for event in mlotel_runs.events if event.get("eventName") == "exception"]
    assert (event["traceId"], event["spanId"]) == (run.trace_id, run.span_id)
    found = _attributes(event)
    assert found["exception.type"] == "KeyError"
    assert found["exception.message"] == "'missing'"
    assert 'in test_an_exception_is_told_as_a_log_record\n    {}["missing"]' in found["exception.stacktrace"]


def test_messages_and_stack_traces_are_bounded(mlotel_runs: CapturedRuns) -> None:
    """A message of megabytes and a recursion without end make records of some kilobytes."""

    def deep(n: int) -> None:
        if n == 0:
            raise ValueError("x" * 10_000_000)
        deep(n - 1)

    with pytest.raises(ValueError), mlotel.component("a"):
        deep(300)
    assert max(len(line) for line in mlotel_runs.store.lines) < 40_000


def test_a_failed_run_fails_its_outer_runs_too(mlotel_runs: CapturedRuns) -> None:
    """An exception that passes through runs ends each of them as failed."""
    with pytest.raises(ValueError), mlotel.component("a"), mlotel.component("b"):
        raise ValueError("x")
    with mlotel.component("c"):
        try:
            with mlotel.component("d"):
                raise ValueError("x")
        except ValueError:
            pass
    assert [(run.component, run.state) for run in mlotel_runs.runs] == [
        ("a", "failed"),
        ("b", "failed"),
        ("c", "ok"),
        ("d", "failed"),
    ]


@pytest.mark.parametrize(
    ("error", "state", "kind"),
    [
        ("a sentence", "failed", "_OTHER"),
        (ValueError("x"), "failed", "ValueError"),
        (ValueError, "failed", "ValueError"),
        (None, "ok", None),
    ],
)
def test_end_takes_exceptions_and_sentences(
    mlotel_runs: CapturedRuns, error: Any, state: str, kind: str | None
) -> None:
    """Hooks hand over what they have."""
    mlotel.start_component("a").end(error=error)
    (run,) = mlotel_runs.runs
    assert (run.state, run.attributes.get("error.type")) == (state, kind)


# -- faults of mlotel's own


class FaultError(RuntimeError):
    pass


def _broken(*_: object, **__: object) -> Any:
    raise FaultError("mlotel is broken here")


def test_hashing_that_raises_is_told_once_and_the_rest_is_kept(
    mlotel_runs: CapturedRuns, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]], tmp_path: Path
) -> None:
    """The artifact is on record without a digest, the run is, and the user's code runs as ever."""
    monkeypatch.setattr(hashing, "fingerprint", _broken)
    path = tmp_path / "a.txt"
    path.write_text("x")

    @mlotel.component("a")
    def work(file: Path) -> Path:
        return file

    for _ in range(3):
        assert work(path) is path
    assert [run.state for run in mlotel_runs.runs] == ["ok"] * 3
    assert [(a.name, a.digest, a.note) for a in mlotel_runs.runs[0].inputs] == [("file", None, "mlotel is broken here")]
    assert warnings() == [
        "mlotel: artifact 'file' of component 'a': FaultError: mlotel is broken here",
        "mlotel: artifact 'output' of component 'a': FaultError: mlotel is broken here",
    ]


@pytest.mark.parametrize(
    "part", ["tracer", "events", "instruments", "producers", "fingerprint", "clock", "new_run_id", "start_attributes"]
)
def test_no_part_of_the_runtime_can_break_a_pipeline(
    mlotel_runs: CapturedRuns, part: str, warnings: Callable[[], list[str]], tmp_path: Path
) -> None:
    """Whatever raises (store, tracer, metrics, clock, ids), the user's code gets its value and its own exceptions."""

    class Broken:
        def __getattr__(self, name: str) -> Any:
            return _broken

        __call__ = _broken

        def __iter__(self) -> Iterator[Any]:
            raise FaultError("mlotel is broken here")

        def keys(self) -> Any:
            raise FaultError("mlotel is broken here")

    runtime = structs.replace(_runtime.current(), **{part: Broken()})
    path = tmp_path / "a.txt"
    path.write_text("x")
    error = ValueError("the user's own")

    @mlotel.component("a", params=True)
    def work(file: Path, fail: bool) -> Path:
        run = mlotel.current_run()
        assert run is not None
        run.log_metrics({"m": 1})
        run.log_params({"p": 1})
        run.set_tag("t", "v")
        run.log_predictions([1.0, 2.0])
        assert run.log_output(file, "again") is file
        run.inject({})
        assert isinstance(run.environment(), dict)
        assert len(run.trace_id) == 32
        assert run.wrap(len)([1, 2]) == 2
        if fail:
            raise error
        return file

    before = _runtime.install(lambda: runtime)
    try:
        assert work(path, False) is path
        with pytest.raises(ValueError) as raised:
            work(path, True)
        with mlotel.component("b") as run:
            assert mlotel.current_run() is run
    finally:
        _runtime.install(before)
    assert raised.value is error
    assert mlotel.current_run() is None
    assert all("mlotel is broken here" in message for message in warnings())
    assert len(warnings()) == len(set(warnings()))


@pytest.mark.parametrize(("error", "state"), [(None, "ok"), (ValueError("no"), "failed"), ("no", "failed")])
def test_a_failed_run_is_failed_whatever_goes_wrong_at_its_end(
    error: BaseException | str | None, state: str, mlotel_runs: CapturedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of mlotel's own at the end of a run, as at the end of the stack, makes no success of a failure."""

    def fault(*_: object) -> None:
        raise RecursionError

    run = mlotel.start_component("c")
    monkeypatch.setattr("mlotel._run.outcome", fault)
    run.end(error)
    assert [each.state for each in mlotel_runs.runs] == [state]


def test_an_end_that_cannot_be_recorded_leaves_the_users_exception_as_it_is(
    mlotel_runs: CapturedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no memory for the end of the run, there may be none for that of its span either."""

    def fault(*_: object) -> None:
        raise MemoryError("mlotel's own")

    error = MemoryError("the user's own")

    def work() -> None:
        with mlotel.component("c") as run:
            monkeypatch.setattr("mlotel._run.outcome", fault)
            monkeypatch.setattr(type(run.span), "end", fault)
            raise error

    with pytest.raises(MemoryError) as raised:
        work()
    assert raised.value is error
    assert mlotel.current_run() is None


def test_a_fault_whose_message_cannot_be_made_is_told_as_well(
    mlotel_runs: CapturedRuns, warnings: Callable[[], list[str]]
) -> None:
    """A fingerprint function of the user's may raise anything."""

    class Thing:
        pass

    def fingerprint(_: Thing) -> bytes:
        raise OddError

    mlotel.register_fingerprint(Thing, fingerprint)
    thing = Thing()
    with mlotel.component("a") as run:
        assert run.log_input(thing, "thing") is thing
    assert [a.name for a in mlotel_runs.runs[0].inputs] == ["thing"]
    assert len(warnings()) == 1


def test_a_runtime_that_cannot_be_made_does_not_stop_the_pipeline(script: Callable[..., Any]) -> None:
    """Settings that lead nowhere leave a warning behind, and the user's program runs to its end."""
    done = script(
        """
        import mlotel
        from mlotel.sdk import _runtime

        def broken(*_):
            raise OSError("no such thing")

        _runtime.build = broken
        with mlotel.component("a") as run:
            print("worked", mlotel.current_run() is run)
        """
    )
    assert done.stdout == "worked True\n"
    assert done.stderr.count("no such thing") == 1


def test_an_unwritable_store_costs_one_warning(script: Callable[..., Any], tmp_path: Path) -> None:
    """A store that turns out to be no folder is told once, for any number of runs, and at exit what that cost."""
    (tmp_path / "file").write_text("in the way")
    done = script(
        """
        import logging, mlotel
        logging.basicConfig(format="%(message)s")
        for _ in range(5):
            with mlotel.component("a"):
                pass
        print("done")
        """,
        MLOTEL_STORE=os.fspath(tmp_path / "file"),
    )
    assert done.stdout == "done\n"
    assert done.stderr.count("cannot write to the store") == 1
    assert done.stderr.splitlines()[1:] == ["mlotel: dropped in all: 5 log records, 5 spans"]


# -- what a pipeline hands over by mistake


BAD_CALLS: list[tuple[str, Callable[[Any], object]]] = [
    ("log_params", lambda run: run.log_params(None)),
    ("log_params", lambda run: run.log_params([1])),
    ("log_metrics", lambda run: run.log_metrics(3)),
    ("log_metrics", lambda run: run.log_metrics({"a": "text"})),
    ("log_metrics", lambda run: run.log_metrics({"a": None})),
    ("log_metrics", lambda run: run.log_metrics({"a": [1, 2]})),
    ("set_tag", lambda run: run.set_tag([], "x")),
    ("set_attributes", lambda run: run.set_attributes(4)),
    ("log_predictions", lambda run: run.log_predictions(None)),
    ("log_predictions", lambda run: run.log_predictions("text")),
    ("log_predictions", lambda run: run.log_predictions({"a": 1})),
    ("log_predictions", lambda run: run.log_predictions([[1, 2], [3, 4]])),
    ("log_predictions", lambda run: run.log_predictions(iter([1, 2]))),
    ("log_predictions", lambda run: run.log_predictions([1, 2], keys=[1])),
    ("log_predictions", lambda run: run.log_predictions([1, 2], keys=iter([1, 2]))),
    ("log_predictions", lambda run: run.log_predictions([1, 2], probabilities=[[0.5]])),
    ("log_input", lambda run: run.log_input(Path("not there"))),
    ("log_input", lambda run: run.log_input(b"x", "bad\nname")),
    ("log_input", lambda run: run.log_input(b"x", "")),
    ("log_input", lambda run: run.log_input(b"x", 5)),
    ("log_input", lambda run: run.log_input(Path(__file__), scope="nonsense")),
    ("log_input", lambda run: run.log_input(b"x", uri=5)),
    ("log_output", lambda run: run.log_output(b"x", derived_from="not logged")),
    ("log_output", lambda run: run.log_output(b"x", derived_from=5)),
    ("inject", lambda run: run.inject(5)),
    ("inject", lambda run: run.inject({}, artifact="not written")),
]


@pytest.mark.parametrize(("method", "call"), BAD_CALLS)
def test_bad_arguments_are_warnings_where_the_pipeline_runs(
    mlotel_runs: CapturedRuns, method: str, call: Callable[[Any], object], warnings: Callable[[], list[str]]
) -> None:
    """A mistake in a call on the run is told in one warning and costs nothing else."""
    with mlotel.component("a") as run:
        call(run)
        run.log_metrics({"after": 1})
    (read,) = mlotel_runs.runs
    assert read.state == "ok"
    assert read.metrics == {"after": 1.0}
    assert len(warnings()) == 1, warnings()


def test_one_bad_metric_costs_no_other(mlotel_runs: CapturedRuns, warnings: Callable[[], list[str]]) -> None:
    """What can be kept of a call is kept."""

    class Odd:
        def __float__(self) -> float:
            raise RuntimeError("no")

    with mlotel.component("a") as run:
        run.log_metrics({"a": 1, "b": None, "c": Odd(), "d": 10**400, "e": 2})  # type: ignore[dict-item]
    assert mlotel_runs.runs[0].metrics == {"a": 1.0, "e": 2.0}
    assert warnings() == ["mlotel: log_metrics of component 'a': TypeError: metric 'b' is a NoneType, not a number"]


def test_warnings_do_not_become_errors_of_the_users(script: Callable[..., Any]) -> None:
    """With ``-W error`` nothing of mlotel's stops a program: it logs, it does not warn."""
    done = script(
        """
        import mlotel
        @mlotel.component("a")
        def work(path):
            mlotel.current_run().log_metrics({"a": None})
            return path
        import pathlib
        work(pathlib.Path("not there"))
        print("done")
        """
    )
    assert done.stdout == "done\n"
    assert logging.getLogger("mlotel").handlers == []
