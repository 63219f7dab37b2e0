"""Programs of generated Python code, and everything of them that a caller can see."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from typing import Any

from hypothesis import strategies as st

import mlotel

__all__ = [
    "ACTIONS",
    "EXAMPLES",
    "KINDS",
    "OtherError",
    "ProgramError",
    "Tick",
    "describe",
    "drive",
    "forget",
    "identity",
    "source",
    "steps",
    "without_ours",
]

EXAMPLES = 4000 if os.environ.get("MLOTEL_SOAK") else 60

KINDS = ("generator", "coroutine", "async generator")


class ProgramError(Exception):
    """What programs raise, and what is thrown into them."""


class OtherError(Exception):
    """What programs raise in its place."""


class Tick:
    """Something to wait for: hands `value` to whoever drives the coroutine, and returns what that one sends."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __await__(self) -> Generator[object, Any, Any]:
        return (yield self._value)


# -- programs

Step = tuple[Any, ...]


def _blocks(inner: st.SearchStrategy[list[Step]]) -> st.SearchStrategy[Step]:
    caught = st.sampled_from(
        ["ProgramError", "Exception", "BaseException", "GeneratorExit", "(ProgramError, GeneratorExit)"]
    )
    then = st.sampled_from(["swallow", "again", "itself", "from", "instead", "from nothing", "note", "return"])
    return st.one_of(
        st.tuples(st.just("except"), inner, caught, then, inner),
        st.tuples(st.just("finally"), inner, inner),
    )


_simple: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("pause"), st.integers(0, 9)),
    st.tuples(st.just("pause"), st.integers(0, 9)),
    st.tuples(st.just("wait"), st.integers(0, 9)),
    st.tuples(st.just("delegate")),
    st.tuples(
        st.just("raise"), st.sampled_from(["error", "StopIteration(1)", "StopAsyncIteration()", "OtherError('new')"])
    ),
    st.tuples(st.just("return"), st.integers(0, 9)),
)
steps: st.SearchStrategy[list[Step]] = st.recursive(
    st.lists(_simple, min_size=1, max_size=3),
    lambda inner: st.lists(st.one_of(_simple, _blocks(inner)), min_size=1, max_size=3),
    max_leaves=8,
)

_AFTER = {
    "swallow": "pass",
    "again": "raise",
    "itself": "raise caught",
    "from": "raise OtherError('from') from caught",
    "instead": "raise OtherError('instead')",
    "from nothing": "raise OtherError('from nothing') from None",
    "note": "caught.add_note('seen'); raise",
}


def lines(program: list[Step], kind: str, indent: str = "    ") -> list[str]:
    """Return the lines of a program's body for functions of this kind."""
    found = []
    for step in program:
        match step:
            case ("pause", value) if kind == "coroutine":
                found.append(f"seen.append(await Tick({value}))")
            case ("pause", value):
                found.append(f"seen.append((yield {value}))")
            case ("wait", value):
                found.append("pass" if kind == "generator" else f"seen.append(await Tick({value}))")
            case ("delegate",):
                found.append(f"seen.append({_DELEGATED[kind]})")
            case ("raise", what):
                found.append(f"raise {what}")
            case ("return", value):
                found.append("return" if kind == "async generator" else f"return {value}")
            case ("except", body, caught, then, handler):
                found += ["try:", *lines(body, kind), f"except {caught} as caught:", "    seen.append(type(caught))"]
                found += lines(handler, kind)
                found.append("    " + (_AFTER.get(then) or "return"))
            case ("finally", body, last):
                found += ["try:", *lines(body, kind), "finally:", "    seen.append('finally')", *lines(last, kind)]
    return [indent + line for line in found]


_DELEGATED = {
    "generator": "(yield from inner())",
    "coroutine": "await inner()",
    "async generator": "[item async for item in inner()]",
}
_INNER = {
    "generator": ["def inner():", "    try:", "        yield 'inner'", "    finally:", "        seen.append('inner')"],
    "coroutine": [
        "async def inner():",
        "    try:",
        "        await Tick('inner')",
        "    finally:",
        "        seen.append(1)",
    ],
    "async generator": ["async def inner():", "    yield await Tick('inner')"],
}


def source(program: list[Step], kind: str) -> str:
    """Return the source of `make(decorate, seen, error)`, which returns the function of this kind."""
    head = "def function():" if kind == "generator" else "async def function():"
    reach = [] if kind == "coroutine" else ["    if False:", "        yield"]
    body = [*_INNER[kind], "@decorate", head, *reach, *lines(program, kind), "return function"]
    return "\n".join(["def make(decorate, seen, error):", *("    " + line for line in body)])


# -- what callers do

ACTIONS = st.lists(
    st.one_of(
        st.just(("send", None)),
        st.just(("send", None)),
        st.tuples(st.just("send"), st.integers(10, 12)),
        st.tuples(st.just("throw"), st.integers(0, 5)),
        st.just(("close", None)),
    ),
    max_size=6,
)


CLOSES = [("close", None)] * 20


def drive(kind: str, made: Any, actions: list[tuple[str, Any]], thrown: list[BaseException]) -> list[Any]:
    """Return what a generator, coroutine or async generator answers to each of `actions`, and to being closed at last.

    It is closed several times: it may yield to that.
    """
    answers: list[Any] = []
    started, over = False, False
    for name, value in [*actions, *CLOSES]:
        told = thrown[value % len(thrown)] if name == "throw" else value
        over = over or (not started and name != "send")
        started = started or (not over and value is None)
        try:
            if kind == "async generator":
                awaitable = {"send": made.asend, "throw": made.athrow}.get(name)
                answer = _awaited((made.aclose() if awaitable is None else awaitable(told)).__await__(), answers)
            else:
                answer = made.close() if name == "close" else getattr(made, name)(told)
            answers.append((name, "gave", answer))
        except StopIteration as stop:
            answers.append((name, "returned", stop.value))
        except BaseException as error:
            answers.append((name, "raised", describe(error, thrown, frames=started)))
            if kind == "coroutine" and "ignored GeneratorExit" in str(error):
                break  # a program error, after which Python lets the coroutine go on, and mlotel does not
    return answers


def _awaited(steps: Generator[Any, Any, Any], answers: list[Any]) -> Any:
    try:
        value = steps.send(None)
        while True:
            answers.append(("waits for", value))
            value = steps.send(f"after {value}")
    except StopIteration as stop:
        return stop.value


# -- what exceptions are

OURS = mlotel.__file__.removesuffix("__init__.py")


def describe(error: BaseException | None, known: list[BaseException], depth: int = 0, *, frames: bool = True) -> Any:
    """Return everything of an exception: which it is, its chain, its notes, and its frames but for mlotel's.

    The last item counts mlotel's frames in its traceback. What is thrown into a body that has not begun has the frame
    of that body without mlotel, and mlotel's with it: `frames` says whether to look at them.
    """
    if error is None or depth > 5:
        return None
    identity = next((i for i, each in enumerate(known) if each is error), None)
    found, ours, trace = [], 0, error.__traceback__ if frames else None
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename.startswith(OURS):
            ours += 1
        else:
            found.append((code.co_filename, code.co_name, trace.tb_lineno))
        trace = trace.tb_next
    text = None if identity is not None else str(error)
    return (
        identity,
        type(error),
        text,
        list(getattr(error, "__notes__", [])),
        error.__suppress_context__,
        describe(error.__cause__, known, depth + 1, frames=frames),
        describe(error.__context__, known, depth + 1, frames=frames),
        found,
        ours,
    )


def without_ours(described: Any) -> Any:
    """Return what `describe` found without the counts of mlotel's frames, and the largest of them."""
    if isinstance(described, tuple) and len(described) == 9:
        cause, most = without_ours(described[5])
        context, more = without_ours(described[6])
        return (*described[:5], cause, context, described[7]), max(described[8], most, more)
    if isinstance(described, (tuple, list)):
        parts = [without_ours(each) for each in described]
        return type(described)([part for part, _ in parts]), max((count for _, count in parts), default=0)
    return described, 0


def forget(errors: list[BaseException]) -> None:
    """Make exceptions as if nobody had raised them."""
    for error in errors:
        error.__traceback__ = error.__context__ = error.__cause__ = None
        error.__suppress_context__ = False
        if hasattr(error, "__notes__"):
            del error.__notes__


def identity(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate with nothing; one more frame would be one more difference."""
    return function
