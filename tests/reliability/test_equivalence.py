"""With and without mlotel, what callers see of a function is the same: by generated programs and callers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from functools import partial, wraps
from typing import Any

import pytest
from equivalence import (
    ACTIONS,
    EXAMPLES,
    KINDS,
    OtherError,
    ProgramError,
    Tick,
    describe,
    drive,
    forget,
    identity,
    source,
    steps,
    without_ours,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import mlotel
from mlotel.errors import ConfigurationError
from mlotel.testing import capture


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Throw away what the test leaves behind, so that what Python says of it is said to this test."""
    yield
    gc.collect()


ENDED = {"ok", "failed", "cancelled"}


# Python itself complains of what ignores that it is closed, when the object is thrown away.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("nothing_left")
@settings(max_examples=EXAMPLES)
@given(kind=st.sampled_from(KINDS), program=steps, actions=ACTIONS)
def test_what_is_driven_step_by_step_answers_alike(
    kind: str, program: list[Any], actions: list[tuple[str, Any]]
) -> None:
    """Generators, coroutines and async generators, sent to, thrown into and closed at any step.

    Each answer is the same, each exception the same object with the same cause, context, notes and traceback but for
    one frame; the body sees the same, and the run ends whatever happens.
    """
    code = compile(source(program, kind), "<program>", "exec")
    namespace: dict[str, Any] = {"Tick": Tick, "ProgramError": ProgramError, "OtherError": OtherError}
    exec(code, namespace)
    error = ProgramError("raised")
    thrown = [ProgramError("thrown"), OtherError("thrown"), KeyboardInterrupt(), StopIteration(3), error]
    if kind != "coroutine":  # an `await` makes a `close` of it
        thrown.append(GeneratorExit())

    def observed(decorate: Any) -> tuple[list[Any], list[Any]]:
        forget(thrown)
        seen: list[Any] = []
        function = namespace["make"](decorate, seen, error)
        return drive(kind, function(), actions, thrown), seen

    plain, plain_seen = observed(identity)
    with capture() as captured:
        traced, traced_seen = observed(mlotel.component("c"))
        assert mlotel.current_run() is None
        # Python takes no more steps of an async generator that yields to being closed, and its body never ends
        left_open = "async generator ignored GeneratorExit" in str(traced)
        states = [run.state for run in captured.runs]
    forget(thrown)

    plain_answers, none = without_ours(plain)
    traced_answers, ours = without_ours(traced)
    assert none == 0
    assert traced_answers == plain_answers
    assert traced_seen == plain_seen
    assert ours <= 1
    assert len(states) <= 1
    assert set(states) <= (ENDED | {"running"} if left_open else ENDED)


# -- every way in which a function may be bound, and every option

BOUND = """
class Holder:
    @decorate
    {define} method(self, a, /, b=2, *args, c=3, **kwargs):
        "Says what it does."
        {before}{leave} body(self, a, b, args, c, kwargs)

    @decorate
    @classmethod
    {define} class_method_inside(cls, a: int, b: 'str' = 2) -> 'list[int]':
        {before}{leave} body(cls, a, b)

    @classmethod
    @decorate
    {define} class_method_outside(cls, a, b=2):
        {before}{leave} body(cls, a, b)

    @decorate
    @staticmethod
    {define} static_method_inside(a, b=2):
        {before}{leave} body(a, b)

    @staticmethod
    @decorate
    {define} static_method_outside(a, b=2):
        {before}{leave} body(a, b)

    {define} __call__(self, a, b=2):
        {before}{leave} body(a, b)

def outer(free):
    {define} closure(a, *, self=1, run=2):
        {before}{leave} body(a, self, run, free)
    return closure

{define} target(a, b=2):
    {before}{leave} body(a, b)

HOLDER = Holder()
WAYS = {{
    "method": HOLDER.method,
    "unbound method": lambda *args, **kwargs: Holder.method(HOLDER, *args, **kwargs),
    "class method inside": HOLDER.class_method_inside,
    "class method outside": Holder.class_method_outside,
    "static method inside": Holder.static_method_inside,
    "static method outside": HOLDER.static_method_outside,
    "object": decorate(HOLDER),
    "closure": decorate(outer([1])),
    "partial": decorate(partial(target, b=5)),
    "twice": decorate(decorate(target)),
    "signature of another": decorate(wraps(target)(lambda *args, **kwargs: target(*args, **kwargs))),
}}
"""
SHAPES = {
    "plain": {"define": "def", "before": "", "leave": "return"},
    "async": {"define": "async def", "before": "await sleep(0); ", "leave": "return"},
    "generator": {"define": "def", "before": "yield 1; ", "leave": "return"},
    "async generator": {"define": "async def", "before": "await sleep(0); ", "leave": "yield"},
}
WAYS = ["method", "unbound method", "class method inside", "class method outside", "static method inside"]
WAYS += ["static method outside", "object", "closure", "partial", "twice", "signature of another"]


def bound(shape: str, decorate: Any, body: Any) -> dict[str, Any]:
    """Return functions of this kind, bound in each way, that return or yield what `body` returns."""
    given = {"decorate": decorate, "body": body, "partial": partial, "wraps": wraps, "sleep": asyncio.sleep}
    space: dict[str, Any] = {**given, "__name__": "somewhere"}
    exec(compile(BOUND.format(**SHAPES[shape]), "<bound>", "exec"), space)
    found: dict[str, Any] = space["WAYS"]
    return found


def called(shape: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Call it to its end. `signature of another` hides what kind of function it is, as many decorators do."""
    made = function(*args, **kwargs)
    if shape == "async":

        async def awaited() -> Any:
            return await made

        return asyncio.run(awaited())
    if shape == "generator":

        def delegate() -> Any:
            return (yield from made)

        items, delegated = [], delegate()
        while True:
            try:
                items.append(next(delegated))
            except StopIteration as stop:
                return items, stop.value
    if shape == "async generator":

        async def collected() -> list[Any]:
            return [item async for item in made]

        return asyncio.run(collected())
    return made


@settings(max_examples=2 * EXAMPLES)
@given(
    shape=st.sampled_from(list(SHAPES)),
    way=st.sampled_from(WAYS),
    args=st.lists(st.sampled_from([7, b"content", None]), max_size=3),
    kwargs=st.dictionaries(st.sampled_from(["a", "b", "c", "self", "other"]), st.integers(), max_size=2),
    failing=st.booleans(),
    params=st.sampled_from([False, True, {"own": 1}]),
    inputs=st.sampled_from([True, False, ["a"], {"a": "what a is"}]),
    outputs=st.sampled_from([True, False, "result"]),
)
def test_functions_bound_in_any_way_do_the_same(
    shape: str,
    way: str,
    args: list[Any],
    kwargs: dict[str, Any],
    failing: bool,
    params: Any,
    inputs: Any,
    outputs: Any,
) -> None:
    """Same objects in and out, same exceptions, with whatever is recorded of arguments and results."""
    error = ProgramError("raised")

    def body(*values: Any) -> Any:
        received.append([(type(value), None if isinstance(value, type) else value) for value in values[-2:]])
        if failing:
            raise error
        return result

    result = [error]

    def observed(decorate: Any) -> Any:
        forget([error])
        received.clear()
        try:
            return "returned", called(shape, bound(shape, decorate, body)[way], args, kwargs), list(received)
        except BaseException as raised:
            return "raised", describe(raised, [error]), list(received)

    def traced(function: Any) -> Any:
        try:
            return mlotel.component("c", params=params, inputs=inputs, outputs=outputs)(function)
        except ConfigurationError:  # it has no parameter `a`
            return mlotel.component("c", params=params, outputs=outputs)(function)

    received: list[Any] = []
    plain, _ = without_ours(observed(identity))
    with capture() as captured:
        found, ours = without_ours(observed(traced))
        states = [run.state for run in captured.runs]
    if shape != "plain" and plain[0] == "raised" and plain[1][0] is None:
        # arguments that are refused: without mlotel when the coroutine or generator is made, with it at its first step
        assert (found[1][:3], found[2]) == (plain[1][:3], plain[2])
    else:
        assert found == plain
    assert ours <= (2 if way == "twice" else 1)
    if shape == "plain" or way != "signature of another":  # what hides a coroutine, has done its work when it gave one
        assert set(states) <= ({"ok"} if found[0] == "returned" else {"failed"})


@pytest.mark.parametrize("shape", list(SHAPES))
def test_functions_bound_in_any_way_look_the_same(shape: str) -> None:
    """To inspect and to whatever asks for their names, documents, annotations and kinds."""
    plain, traced = (bound(shape, decorate, print) for decorate in (identity, mlotel.component("c")))
    for way in WAYS:
        one, other = plain[way], traced[way]
        assert inspect.signature(other) == inspect.signature(one), way
        for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
            if way not in ("object", "partial"):
                assert getattr(other, name) == getattr(one, name), (way, name)
        for asked in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
            if way not in ("object", "signature of another"):
                assert asked(other) == asked(one), (way, asked)
        assert inspect.ismethod(other) == inspect.ismethod(one), way
        assert (getattr(other, "__self__", None) is None) == (getattr(one, "__self__", None) is None), way


# -- the other forms


def bare(body: Callable[[], Any]) -> Any:
    return body()


def block(body: Callable[[], Any]) -> Any:
    with mlotel.component("c"):
        return body()


def block_in_itself(body: Callable[[], Any]) -> Any:
    component = mlotel.component("c")
    with component, component:
        return body()


def async_block(body: Callable[[], Any]) -> Any:
    async def run() -> Any:
        async with mlotel.component("c"):
            return body()

    coroutine = run()
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value


def exit_stack(body: Callable[[], Any]) -> Any:
    with ExitStack() as stack:
        stack.enter_context(mlotel.component("c"))
        return body()


def async_exit_stack(body: Callable[[], Any]) -> Any:
    async def run() -> Any:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(mlotel.component("c"))
            return body()

    coroutine = run()
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value


def started(body: Callable[[], Any]) -> Any:
    run = mlotel.start_component("c")
    try:
        with run.activate():
            return body()
    except BaseException as error:
        run.end(error)
        raise
    finally:
        run.end()


def wrapped(body: Callable[[], Any]) -> Any:
    with mlotel.component("c") as run:
        return run.wrap(body)()


STATES = {None: "ok", ProgramError: "failed", SystemExit: "failed", GeneratorExit: "ok"}
FORMS = (block, block_in_itself, async_block, exit_stack, async_exit_stack, started, wrapped)


def visible(error: BaseException) -> list[str]:
    """The functions in the traceback that are neither a form's own nor the standard library's."""
    own = {form.__name__ for form in (bare, *FORMS)} | {"run", "__exit__", "__aexit__", "_exit_wrapper"}
    names, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not (code.co_name in own and code.co_filename in (__file__, contextlib.__file__)):
            names.append(code.co_name)
        trace = trace.tb_next
    return names


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "kind", [None, ProgramError, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
)
@pytest.mark.parametrize("handling", [False, True])
def test_each_form_lets_through_what_comes(
    form: Callable[..., Any], kind: type[BaseException] | None, handling: bool
) -> None:
    """Values and exceptions, with what they are raised from, also while the caller handles another one."""
    value, cause, outer = object(), ValueError("cause"), LookupError("outer")
    error = kind("it") if kind is not None else None
    seen: list[Any] = []

    def body() -> Any:
        seen.append(sys.exc_info()[1])
        if error is not None:
            error.add_note("a note")
            raise error from cause
        return value

    def observed(form: Callable[..., Any]) -> Any:
        forget([error] if error is not None else [])
        seen.clear()
        try:
            if not handling:
                return form(body), None, list(seen)
            try:
                raise outer
            except LookupError:
                return form(body), None, list(seen)
        except BaseException as raised:
            chain = raised.__cause__, raised.__context__, raised.__suppress_context__, list(raised.__notes__)
            return (raised, *chain), visible(raised), list(seen)

    plain = observed(bare)
    with capture() as captured:
        traced = observed(form)
        assert mlotel.current_run() is None
        states = {run.state for run in captured.runs}
    more = ["__call__"] if form is wrapped and error is not None else []
    assert traced[0] == plain[0]
    assert traced[2] == plain[2]
    if error is None:
        assert traced[0] is value
    else:
        assert traced[0][0] is error
        assert [name for name in traced[1] if name not in more] == plain[1]
        assert len(traced[1]) == len(plain[1]) + len(more)
    assert states == {STATES.get(kind, "cancelled")}


@pytest.fixture
def little_room() -> Iterator[None]:
    """A stack that is soon at its end."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 250)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("little_room")
def test_recursion_without_an_end_leaves_everything_in_order() -> None:
    """The error reaches who began it, no run stays current, and the next one is recorded."""

    @mlotel.component("deep")
    def deep(n: int) -> int:
        return deep(n + 1)

    with capture() as captured:
        with pytest.raises(RecursionError):
            deep(0)
        assert mlotel.current_run() is None
        with mlotel.component("next"):
            pass
        states = [(run.component, run.state) for run in captured.runs]
    assert states[-1] == ("next", "ok")
    assert {state for _, state in states[:-1]} == {"failed"}
