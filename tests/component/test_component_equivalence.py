"""With and without mlotel, a function does the same: results, exceptions, objects, tracebacks."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlotel
from mlotel.testing import capture

KINDS = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.KEYWORD_ONLY,
    inspect.Parameter.VAR_KEYWORD,
)
NAMES = ("self", "cls", "run", "args", "kwargs", "function", "name", "value", "größe", "_")


class Odd:
    """An object that lets nobody look at it."""

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise RuntimeError("bool")

    def __len__(self) -> int:
        raise RuntimeError("len")

    def __iter__(self) -> Any:
        raise RuntimeError("iter")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __array__(self, *_: object) -> Any:
        raise RuntimeError("array")

    def __float__(self) -> float:
        raise RuntimeError("float")


@st.composite
def signatures(draw: st.DrawFn) -> inspect.Signature:
    """Parameters of every kind, some of which have defaults."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=5))
    kinds = sorted(draw(st.lists(st.sampled_from(KINDS), min_size=len(names), max_size=len(names))))
    parameters = []
    default = False
    for name, kind in zip(names, kinds, strict=True):
        if kind in (KINDS[2], KINDS[4]):
            if any(parameter.kind is kind for parameter in parameters):
                continue
            parameters.append(inspect.Parameter(name, kind))
            continue
        default = draw(st.booleans()) or (default and kind is not KINDS[3])
        parameters.append(inspect.Parameter(name, kind, default="default" if default else inspect.Parameter.empty))
    return inspect.Signature(parameters)


OUTCOMES = (
    "return locals",
    "return odd",
    "return many",
    "mutate",
    "raise",
    "raise from",
    "raise odd",
    "interrupt",
)


class OddError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message")


def body(outcome: str, seen: dict[str, Any], odd: Odd, error: BaseException) -> Any:
    """What the generated function does."""
    if outcome == "return locals":
        return dict(seen)
    if outcome == "return odd":
        return odd
    if outcome == "return many":
        return odd, None, [1], {"a": odd}
    if outcome == "mutate":
        for value in seen.values():
            if isinstance(value, list):
                value.append("mutated")
        return seen
    if outcome == "raise from":
        raise error from KeyError("cause")
    raise error


SHAPES = {
    "plain": "def function{signature}:\n    return body(locals())",
    "async": "async def function{signature}:\n    await sleep(0)\n    return body(locals())",
    "generator": "def function{signature}:\n    yield 1\n    yield body(locals())\n    return 2",
    "async generator": "async def function{signature}:\n    yield 1\n    await sleep(0)\n    yield body(locals())",
}


def call(shape: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Everything the function gives its caller."""
    if shape == "plain":
        return function(*args, **kwargs)
    if shape == "async":
        return asyncio.run(function(*args, **kwargs))
    if shape == "generator":
        generator = function(*args, **kwargs)
        items = []
        while True:
            try:
                items.append(next(generator))
            except StopIteration as stop:
                return items, stop.value

    async def collect() -> list[Any]:
        return [item async for item in function(*args, **kwargs)]

    return asyncio.run(collect())


def frames(error: BaseException) -> list[str]:
    names = []
    trace = error.__traceback__
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_filename + ":" + trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return names


def observe(shape: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> tuple[str, Any]:
    try:
        return "returned", call(shape, function, args, kwargs)
    except BaseException as error:
        return "raised", error


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in what can be compared and identical in what cannot."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return one is other or (not isinstance(one, Odd) and one == other)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    signature=signatures(),
    shape=st.sampled_from(list(SHAPES)),
    outcome=st.sampled_from(OUTCOMES),
    params=st.booleans(),
    data=st.data(),
)
def test_decorated_functions_do_what_undecorated_ones_do(
    signature: inspect.Signature, shape: str, outcome: str, params: bool, data: st.DataObject
) -> None:
    """Same values, same objects, same exceptions with one frame more at most, for odd signatures and objects."""
    odd, shared = Odd(), [1]
    error: BaseException = OddError("odd") if outcome == "raise odd" else ValueError("bad")
    if outcome == "interrupt":
        error = KeyboardInterrupt()
    sleep = asyncio.sleep
    namespace: dict[str, Any] = {"body": lambda seen: body(outcome, seen, odd, error), "sleep": sleep}
    exec(SHAPES[shape].format(signature=signature), namespace)
    function = namespace["function"]

    values = st.sampled_from([odd, shared, "text", None, 3])
    args = data.draw(st.lists(values, max_size=len(signature.parameters) + 1))
    kwargs = data.draw(st.dictionaries(st.sampled_from([*NAMES, "other"]), values, max_size=2))

    plain = observe(shape, function, list(args), dict(kwargs))
    plain_frames = frames(plain[1]) if plain[0] == "raised" else []
    error.__traceback__ = None
    error.__context__ = None
    del shared[1:]
    with capture() as captured:
        decorated = observe(shape, mlotel.component("c", params=params)(function), list(args), dict(kwargs))
        assert mlotel.current_run() is None
        runs = captured.runs
    assert decorated[0] == plain[0]
    if plain[0] == "returned":
        assert same(decorated[1], plain[1])
        assert [run.state for run in runs] == ["ok"]
        return
    if plain[1] is error:
        assert decorated[1] is error
        assert error.__context__ is None or isinstance(error.__context__, KeyError)
        extra = [frame for frame in frames(error) if "mlotel" in frame and "_component.py" in frame]
        assert len(extra) <= 1
        assert len(frames(error)) <= len(plain_frames) + 1
    else:  # a call that the function refuses
        assert (type(decorated[1]), decorated[1].args) == (type(plain[1]), plain[1].args) == (TypeError, plain[1].args)
    assert [run.state for run in runs] == ["cancelled" if isinstance(plain[1], KeyboardInterrupt) else "failed"]
