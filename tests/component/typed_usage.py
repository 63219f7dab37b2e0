"""What a user writes, and the types that it must have: checked by mypy in test_component_typing.py, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any, assert_type

import mlotel
from mlotel import ActiveRun, ArtifactContext
from mlotel.testing import CapturedRuns, capture

step = mlotel.component("step", version="1", pipeline="p", params=True, inputs=["x"], outputs={"y": "z"}, tags=("a",))


@step
def plain(x: int, *, y: str = "") -> float:
    return x


@step
async def coroutine(x: int) -> str:
    return str(x)


@step
def generator(x: int) -> Generator[int, str, float]:
    yield x
    return 1.0


@step
def iterator(x: int) -> Iterator[int]:
    yield x


@step
async def async_generator(x: int) -> AsyncGenerator[int, str]:
    yield x


@step
async def async_iterator(x: int) -> AsyncIterator[int]:
    yield x


class Model:
    @step
    def method(self, x: int) -> Model:
        return self

    @step
    @staticmethod
    def outer_static(x: int) -> int:
        return x

    @staticmethod
    @step
    def inner_static(x: int) -> int:
        return x

    @step
    @classmethod
    def outer_class(cls, x: int) -> Model:
        return cls()

    @classmethod
    @step
    def inner_class(cls, x: int) -> Model:
        return cls()


assert_type(plain(1, y="a"), float)
print(assert_type(coroutine(1), Coroutine[Any, Any, str]))
assert_type(generator(1), Generator[int, str, float])
assert_type(iterator(1), Iterator[int])
assert_type(async_generator(1), AsyncGenerator[int, str])
assert_type(async_iterator(1), AsyncIterator[int])
assert_type(Model().method(1), Model)
assert_type(Model.outer_static(1), int)
assert_type(Model.inner_static(1), int)
assert_type(Model().outer_static(1), int)
assert_type(Model.outer_class(1), Model)
assert_type(Model.inner_class(1), Model)

plain("1")  # error: arg-type
plain(1, z=2)  # error: call-arg
print(coroutine())  # error: call-arg
Model().method("x")  # error: arg-type
step(3)  # error: call-overload
mlotel.component(3)  # error: arg-type
mlotel.component("a", unknown=1)  # error: call-arg
mlotel.configure(protocol="udp")  # error: arg-type
print(mlotel.nothing)  # error: attr-defined

with step as run:
    assert_type(run, ActiveRun)
    assert_type(run.log_input(Path("a"), "a"), Path)
    assert_type(run.log_output([1], uri=Path("a"), derived_from="a", sidecar=True), list[int])
    run.log_params({"a": 1, "b": None})
    run.log_metrics({"loss": 1})
    run.log_predictions([1.0], keys=["k"], model="m")
    assert_type(run.environment(), dict[str, str])
    assert_type(run.wrap(plain)(1), float)
    run.wrap(plain)("1")  # error: arg-type
    with run.activate() as active:
        assert_type(active, ActiveRun)


async def tasks() -> None:
    async with step as run:
        assert_type(run, ActiveRun)
    assert_type(await coroutine(1), str)
    async for item in async_iterator(1):
        assert_type(item, int)


assert_type(mlotel.current_run(), ActiveRun | None)
started = mlotel.start_component("a", params={"x": 1}, parent=mlotel.extract({}))
started.end(error=ValueError("x"))
started.end(error="sentence")
assert_type(mlotel.extract([(b"a", b"b")]), ArtifactContext | None)
assert_type(mlotel.extract({"a": "b"}), ArtifactContext | None)
assert_type(mlotel.flush(), bool)
mlotel.inject({})
mlotel.inject([("a", b"b")], "artifact")
mlotel.register_fingerprint(Model, lambda model: b"")
with capture() as captured:
    assert_type(captured, CapturedRuns)
    assert_type([run.component for run in captured.runs], list[str])


def reached() -> int:
    with step:
        return 1


def raised() -> int:
    with step:
        raise ValueError
