"""`@component(...)` on every kind of function: a run a call, and otherwise nothing that a caller could notice."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import gc
import inspect
import pickle
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from decorated_functions import Model, double
from opentelemetry import context as context_api

import mlotel
from mlotel import hashing
from mlotel.errors import ConfigurationError
from mlotel.testing import CapturedRuns

step = mlotel.component("step")


def states(captured: CapturedRuns) -> list[tuple[str, str]]:
    return [(run.component, run.state) for run in captured.runs]


# -- plain functions


def test_each_call_is_a_run(mlotel_runs: CapturedRuns) -> None:
    """One decorator decorates many functions, and each of their calls is a run."""

    @step
    def one(x: int) -> int:
        run = mlotel.current_run()
        assert run is not None
        assert not run.ended
        return x + 1

    @step
    def two() -> int:
        return one(1) + one(2)

    assert two() == 5
    assert mlotel.current_run() is None
    assert states(mlotel_runs) == [("step", "ok")] * 3
    assert mlotel_runs.runs[1].parent_span_id == mlotel_runs.runs[0].span_id


def test_recursion_nests(mlotel_runs: CapturedRuns) -> None:
    """A function that calls itself makes runs within runs."""

    @step
    def down(n: int) -> int:
        return 0 if n == 0 else 1 + down(n - 1)

    assert down(5) == 5
    runs = mlotel_runs.runs
    assert [run.parent_span_id for run in runs] == [None, *[run.span_id for run in runs[:-1]]]


def test_a_decorated_function_looks_like_itself() -> None:
    """Name, docstring, signature, annotations and module are the function's own; so is what `__wrapped__` leads to."""

    def original(a: int, /, b: str = "x", *c: float, d: bool, **e: Any) -> list[int]:
        """Does it."""
        return [a]

    decorated = step(original)
    for name in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__"):
        assert getattr(decorated, name) == getattr(original, name)
    assert inspect.signature(decorated) == inspect.signature(original)
    assert decorated.__wrapped__ is original  # type: ignore[attr-defined]


def test_what_a_function_is_can_still_be_asked() -> None:
    """`inspect` gives the same answers about the decorated function as about the plain one."""

    def plain() -> None: ...

    async def coroutine() -> None: ...

    def generator() -> Generator[int, None, None]:
        yield 1

    async def async_generator() -> AsyncGenerator[int, None]:
        yield 1

    questions = (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.isfunction,
        callable,
    )
    for function in (plain, coroutine, generator, async_generator):
        assert [ask(step(function)) for ask in questions] == [ask(function) for ask in questions]


def test_decorated_functions_are_pickled_by_name(mlotel_runs: CapturedRuns) -> None:
    """A pickle of a top-level function is its name, decorated or not; copies are the function itself."""
    assert pickle.loads(pickle.dumps(double)) is double
    assert copy.deepcopy(double) is double
    assert pickle.loads(pickle.dumps(Model().method))(3)[1] == 3
    assert mlotel_runs.runs[-1].component == "method"


def test_decorated_functions_work_in_spawned_workers(script: Callable[..., Any]) -> None:
    """A process pool finds the decorated function by its name, and the call there is a run."""
    done = script(
        """
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        import mlotel

        @mlotel.component("work")
        def work(n):
            return n, mlotel.current_run().name

        if __name__ == "__main__":
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                print(list(pool.map(work, range(2))))
        """
    )
    assert done.stdout.strip() == "[(0, 'work'), (1, 'work')]"


def test_methods_of_every_kind(mlotel_runs: CapturedRuns) -> None:
    """Methods, static and class methods are decorated inside and outside of their own decorators."""
    model = Model()
    assert model.method(1) == (model, 1)
    assert Model.method(model, 2) == (model, 2)
    assert model.outer_static(3) == Model.outer_static(3) == 3
    assert model.inner_static(4) == Model.inner_static(4) == 4
    assert model.outer_class(5) == Model.outer_class(5) == (Model, 5)
    assert model.inner_class(6) == Model.inner_class(6) == (Model, 6)
    assert model.value == 7
    assert model(8) == 8
    assert [name for name, _ in states(mlotel_runs)] == [
        *["method"] * 2,
        *["outer static"] * 2,
        *["inner static"] * 2,
        *["outer class"] * 2,
        *["inner class"] * 2,
        "property",
        "call",
    ]
    assert {state for _, state in states(mlotel_runs)} == {"ok"}


def test_partials_builtins_and_callable_objects(mlotel_runs: CapturedRuns) -> None:
    """Whatever can be called can be decorated, also where it has no signature or an async ``__call__``."""

    class Worker:
        async def __call__(self, x: int) -> int:
            await asyncio.sleep(0)
            run = mlotel.current_run()
            assert run is not None
            return x

    assert step(functools.partial(pow, 2))(5) == 32
    assert step(max)(1, 2) == 2
    assert asyncio.run(step(Worker())(4)) == 4  # type: ignore[arg-type]
    assert asyncio.run(step(functools.partial(Worker().__call__, 5))()) == 5
    assert states(mlotel_runs) == [("step", "ok")] * 4


@pytest.mark.parametrize("thing", [int, 3, "f", None, property(lambda self: 1)])
def test_what_is_no_function_is_refused(thing: object) -> None:
    """Classes and other objects are told apart from functions where they are decorated."""
    with pytest.raises(ConfigurationError, match="decorates functions and methods"):
        step(thing)  # type: ignore[call-overload]


def test_unknown_inputs_are_refused_with_the_parameters_there_are() -> None:
    """A misspelt name is told when the function is decorated, not when the pipeline runs."""
    with pytest.raises(ConfigurationError, match=r"'tabel', which is no parameter of .*function: it has table"):

        @mlotel.component("a", inputs=["tabel"])
        def function(table: object) -> None: ...


def test_wrong_arguments_raise_the_functions_own_error(mlotel_runs: CapturedRuns) -> None:
    """A call that the function refuses is a failed run, and Python's TypeError."""

    @mlotel.component("a", params=True)
    def function(a: int, *, b: int = 2) -> None: ...

    for arguments, keywords in [((), {}), ((1, 2), {}), ((1,), {"a": 1}), ((1,), {"c": 1})]:
        with pytest.raises(TypeError) as undecorated:
            function.__wrapped__(*arguments, **keywords)  # type: ignore[attr-defined]
        with pytest.raises(TypeError) as decorated:
            function(*arguments, **keywords)  # type: ignore[arg-type]
        assert str(decorated.value) == str(undecorated.value)
    assert states(mlotel_runs) == [("a", "failed")] * 4


# -- coroutines


def test_a_coroutine_function_is_one_run_from_its_first_step_to_its_last(mlotel_runs: CapturedRuns) -> None:
    """The run begins when the coroutine does, and is current within it alone."""

    @step
    async def work(n: int) -> int:
        before = mlotel.current_run()
        await asyncio.sleep(0)
        assert mlotel.current_run() is before is not None
        return n

    async def main() -> list[int]:
        waiting = work(0)
        assert mlotel_runs.runs == []
        first = await waiting
        assert mlotel.current_run() is None
        return [first, *await asyncio.gather(*(work(n) for n in range(1, 20)))]

    assert asyncio.run(main()) == list(range(20))
    assert states(mlotel_runs) == [("step", "ok")] * 20
    assert {run.parent_span_id for run in mlotel_runs.runs} == {None}


def test_a_cancelled_task_is_a_cancelled_run(mlotel_runs: CapturedRuns) -> None:
    """CancelledError asks a run to stop: it did not fail."""

    @step
    async def work() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert states(mlotel_runs) == [("step", "cancelled")]
    assert mlotel_runs.runs[0].attributes["error.type"] == "asyncio.exceptions.CancelledError"


def test_a_coroutine_that_is_thrown_away_says_nothing(
    mlotel_runs: CapturedRuns, caplog: pytest.LogCaptureFixture
) -> None:
    """A coroutine closed in the middle, in another context, ends its run without a word and without a trace."""

    class Pause:
        def __await__(self) -> Generator[None, None, None]:
            yield

    @step
    async def work() -> None:
        await Pause()

    import contextvars

    coroutine = work()
    contextvars.Context().run(coroutine.send, None)
    before = context_api.get_current()
    coroutine.close()
    assert context_api.get_current() is before
    assert [run.state for run in mlotel_runs.runs] != ["running"]
    assert caplog.records == []


# -- generators


def test_a_generators_run_lasts_from_its_first_item_to_its_end(mlotel_runs: CapturedRuns) -> None:
    """The run is current while the body runs, and not while its consumer does."""

    @step
    def numbers() -> Generator[str, None, None]:
        for _ in range(2):
            run = mlotel.current_run()
            assert run is not None
            yield run.name

    with mlotel.component("consumer") as consumer:
        for name in numbers():
            assert name == "step"
            assert mlotel.current_run() is consumer
    assert states(mlotel_runs) == [("consumer", "ok"), ("step", "ok")]
    assert mlotel_runs.runs[1].parent_span_id == consumer.span_id


def test_a_span_around_a_yield_is_current_again_after_it(mlotel_runs: CapturedRuns) -> None:
    """What a generator's body made current stays so within the body, and never reaches its consumer."""
    seen = []

    @step
    def items() -> Generator[int, None, None]:
        with mlotel.component("inner"):
            yield 1
            seen.append(getattr(mlotel.current_run(), "name", None))
        seen.append(getattr(mlotel.current_run(), "name", None))
        yield 2

    for _ in items():
        assert mlotel.current_run() is None
    assert seen == ["inner", "step"]
    assert states(mlotel_runs) == [("step", "ok"), ("inner", "ok")]


def _echo(log: list[object]) -> Generator[object, object, str]:
    """Everything that can happen to a generator, noted."""
    try:
        while True:
            try:
                log.append((yield len(log)))
                if log[-1] == "stop":
                    return "returned"
            except KeyError as error:
                log.append(error)
    finally:
        log.append("closed")


def _stubborn(log: list[object]) -> Generator[object, object, str]:
    """Does not let itself be closed at once."""
    for _ in range(2):
        try:
            yield "more"
        except GeneratorExit:
            log.append("no")
    return "at last"


def _actions(generator: Generator[Any, Any, Any], actions: list[tuple[str, Any]]) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in actions:
        try:
            if name == "next":
                found.append(("item", next(generator)))
            elif name == "close":
                found.append(("closed", generator.close()))  # type: ignore[func-returns-value]
            else:
                found.append(("item", getattr(generator, name)(value)))
        except BaseException as error:
            found.append((type(error).__name__, getattr(error, "value", None) or error.args))
    return found


@pytest.mark.parametrize("function", [_echo, _stubborn])
@pytest.mark.parametrize(
    "actions",
    [
        [("next", None), ("send", "a"), ("send", "b"), ("close", None), ("next", None)],
        [("next", None), ("send", "stop"), ("next", None)],
        [("next", None), ("throw", KeyError("k")), ("send", "a"), ("throw", ValueError("v")), ("next", None)],
        [("close", None), ("next", None)],
        [("send", "too early"), ("next", None), ("next", None), ("send", "stop"), ("next", None)],
        [("throw", KeyError("early")), ("next", None)],
        [("next", None), ("throw", GeneratorExit()), ("next", None), ("next", None)],
        [("next", None), ("throw", StopIteration("s")), ("next", None)],
        [("next", None), ("close", None), ("close", None)],
    ],
)
def test_generators_answer_as_if_undecorated(
    mlotel_runs: CapturedRuns, function: Callable[[list[object]], Generator[Any, Any, Any]], actions: list[Any]
) -> None:
    """send, throw, close and the return value reach the body and come back unchanged."""
    plain_log: list[object] = []
    decorated_log: list[object] = []
    expected = _actions(function(plain_log), actions)
    assert _actions(step(function)(decorated_log), actions) == expected
    assert decorated_log == plain_log
    assert "running" not in [run.state for run in mlotel_runs.runs]


def test_yield_from_a_decorated_generator_returns_its_value(mlotel_runs: CapturedRuns) -> None:
    """A generator's return value is the value of `yield from`."""

    @step
    def inner() -> Generator[int, None, str]:
        yield 1
        return "value"

    def outer() -> Generator[int, None, str]:
        return (yield from inner())

    generator = outer()
    assert next(generator) == 1
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "value"


def test_a_generator_that_nobody_finishes_ends_its_run(mlotel_runs: CapturedRuns) -> None:
    """A consumer that breaks off closes the generator: it did what it was asked."""

    @step
    def numbers() -> Generator[int, None, None]:
        yield from range(10)

    for _ in numbers():
        break
    gc.collect()
    assert states(mlotel_runs) == [("step", "ok")]


def test_a_generator_that_raises_fails_its_run(mlotel_runs: CapturedRuns) -> None:
    """The exception is the body's own."""
    error = ValueError("no")

    @step
    def numbers() -> Generator[int, None, None]:
        yield 1
        raise error

    with pytest.raises(ValueError) as raised:
        list(numbers())
    assert raised.value is error
    assert states(mlotel_runs) == [("step", "failed")]


# -- async generators


def test_async_generators_answer_as_if_undecorated(mlotel_runs: CapturedRuns) -> None:
    """asend, athrow and aclose reach the body and come back unchanged."""

    async def echo(log: list[object]) -> AsyncGenerator[object, object]:
        try:
            while True:
                try:
                    log.append((yield len(log)))
                    await asyncio.sleep(0)
                    if log[-1] == "stop":
                        return
                except KeyError as error:
                    log.append(error)
        finally:
            await asyncio.sleep(0)
            log.append("closed")

    async def act(generator: AsyncGenerator[Any, Any], actions: list[tuple[str, Any]]) -> list[tuple[str, object]]:
        found: list[tuple[str, object]] = []
        for name, value in actions:
            try:
                found.append(("item", await getattr(generator, name)(*([] if name == "aclose" else [value]))))
            except BaseException as error:
                found.append((type(error).__name__, error.args))
        return found

    async def main() -> None:
        error, other = KeyError("k"), ValueError("v")
        for actions in [
            [("asend", None), ("asend", "a"), ("aclose", None), ("asend", None)],
            [("asend", None), ("asend", "stop"), ("asend", None)],
            [("asend", None), ("athrow", error), ("asend", "b"), ("athrow", other), ("asend", None)],
            [("asend", None), ("athrow", GeneratorExit()), ("asend", None)],
            [("aclose", None), ("asend", None)],
            [("asend", "early"), ("aclose", None)],
        ]:
            plain_log: list[object] = []
            decorated_log: list[object] = []
            expected = await act(echo(plain_log), actions)
            assert await act(step(echo)(decorated_log), actions) == expected
            assert decorated_log == plain_log
            assert mlotel.current_run() is None

    asyncio.run(main())
    assert "running" not in [run.state for run in mlotel_runs.runs]


def test_an_async_generators_run_is_current_in_its_body_alone(mlotel_runs: CapturedRuns) -> None:
    """As for generators, also across tasks that take turns."""

    @step
    async def numbers(n: int) -> AsyncGenerator[int, None]:
        for _ in range(3):
            mine = mlotel.current_run()
            await asyncio.sleep(0)
            assert mlotel.current_run() is mine is not None
            yield n

    async def consume(n: int) -> list[int]:
        found = []
        async for item in numbers(n):
            assert mlotel.current_run() is None
            found.append(item)
        return found

    async def main() -> None:
        assert await asyncio.gather(*(consume(n) for n in range(10))) == [[n] * 3 for n in range(10)]

    asyncio.run(main())
    assert states(mlotel_runs) == [("step", "ok")] * 10


def test_an_async_generator_left_open_is_closed_with_its_event_loop(
    mlotel_runs: CapturedRuns, caplog: pytest.LogCaptureFixture
) -> None:
    """The loop closes what is left open once, in order, with nothing to complain of."""
    log = []

    @step
    async def numbers() -> AsyncGenerator[int, None]:
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            log.append("closed")

    async def main() -> None:
        generators = [numbers() for _ in range(5)]
        for generator in generators:
            await anext(generator)
        kept.extend(generators)

    kept: list[object] = []
    asyncio.run(main())
    kept.clear()
    gc.collect()
    assert log == ["closed"] * 5
    assert caplog.records == []
    assert states(mlotel_runs) == [("step", "ok")] * 5


def test_decorating_warns_of_nothing() -> None:
    """No deprecation of Python's is met, whatever is decorated."""

    async def work() -> None: ...

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decorated: Callable[[], Awaitable[None]] = step(work)
        asyncio.run(decorated())  # type: ignore[arg-type]


@pytest.mark.parametrize("when", ["entering", "leaving"])
@pytest.mark.parametrize("kind", ["plain", "coroutine", "generator", "async generator"])
def test_an_interruption_of_mlotels_own_work_ends_the_run(
    mlotel_runs: CapturedRuns, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, when: str, kind: str
) -> None:
    """Ctrl-C while a large artifact is digested reaches the user, and the run reads as cancelled."""
    path = tmp_path / "large"
    if when == "entering":
        path.write_text("x")

    def plain(path: Path) -> None:
        path.write_text("y")

    async def coroutine(path: Path) -> None:
        path.write_text("y")

    def generator(path: Path) -> Generator[int, None, None]:
        yield 1
        path.write_text("y")

    async def async_generator(path: Path) -> AsyncGenerator[int, None]:
        yield 1
        path.write_text("y")

    async def consume() -> None:
        async for _ in step(async_generator)(path):
            pass

    calls = {
        "plain": lambda: step(plain)(path),
        "coroutine": lambda: asyncio.run(step(coroutine)(path)),
        "generator": lambda: list(step(generator)(path)),
        "async generator": lambda: asyncio.run(consume()),
    }

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(hashing, "fingerprint", interrupt)
    with pytest.raises(KeyboardInterrupt):
        calls[kind]()
    assert states(mlotel_runs) == [("step", "cancelled")]
    assert mlotel.current_run() is None


def test_a_decorated_generator_makes_a_context_manager(mlotel_runs: CapturedRuns) -> None:
    """`contextlib.contextmanager` over a decorated generator: the run lasts as long as the block."""

    @contextlib.contextmanager
    @step
    def resource() -> Generator[str, None, None]:
        try:
            yield "value"
        finally:
            run = mlotel.current_run()
            assert run is not None
            run.set_tag("closed", "yes")

    with resource() as value:
        assert value == "value"
        assert states(mlotel_runs) == [("step", "running")]
    with pytest.raises(KeyError), resource():
        raise KeyError("x")
    assert states(mlotel_runs) == [("step", "ok"), ("step", "failed")]
    assert [run.tags for run in mlotel_runs.runs] == [{"closed": "yes"}] * 2


def test_a_thread_that_asyncio_starts_knows_the_run(mlotel_runs: CapturedRuns) -> None:
    """`asyncio.to_thread` takes the context along by itself."""

    async def main() -> bool:
        with step as run:
            return await asyncio.to_thread(lambda: mlotel.current_run() is run)

    assert asyncio.run(main())
