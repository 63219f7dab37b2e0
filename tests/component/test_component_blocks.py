"""`with component(...)`, `start_component` and what carries a run into threads, tasks and processes."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import Context
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from opentelemetry import context as context_api
from opentelemetry import trace
from starlette.background import BackgroundTask

import mlotel
from mlotel.errors import ConfigurationError
from mlotel.store.files import FileStore
from mlotel.testing import CapturedRuns


def parents(captured: CapturedRuns) -> list[tuple[str, str | None]]:
    """Each run's component with its parent's component, in order of start."""
    names = {run.span_id: run.component for run in captured.runs}
    return [(run.component, names.get(run.parent_span_id or "")) for run in captured.runs]


def test_a_block_is_a_run_that_ends_with_it(mlotel_runs: CapturedRuns) -> None:
    """A run is current and running inside its block, and neither after it."""
    with mlotel.component("train", version="2", pipeline="delays", owner="ada", tags=["nightly"]) as run:
        assert mlotel.current_run() is run
        assert [r.state for r in mlotel_runs.runs] == ["running"]
    assert mlotel.current_run() is None
    (read,) = mlotel_runs.runs
    assert (read.component, read.version, read.pipeline, read.state) == ("train", "2", "delays", "ok")
    assert (read.run_id, read.trace_id, read.span_id) == (run.run_id, run.trace_id, run.span_id)
    assert read.attributes["mlotel.component.owner"] == "ada"
    assert read.attributes["mlotel.component.tags"] in (["nightly"], ("nightly",))


def test_the_extent_of_a_table_is_read_back(mlotel_runs: CapturedRuns) -> None:
    """Rows, columns and null cells as pandas counts them."""
    table = pa.table({"a": [1, None, 3], "b": ["x", None, None]})
    with mlotel.component("clean") as run:
        run.log_input(table, "flights")
    (read,) = mlotel_runs.runs[0].inputs
    frame = table.to_pandas()
    assert (read.rows, read.columns, read.missing) == (*frame.shape, int(frame.isna().sum().sum()))


def test_one_object_makes_many_runs(mlotel_runs: CapturedRuns) -> None:
    """The same object can be entered again, and again while it is entered."""
    step = mlotel.component("step")
    with step as first:
        with step as second:
            assert mlotel.current_run() is second
        assert mlotel.current_run() is first
    with step:
        pass
    assert parents(mlotel_runs) == [("step", None), ("step", "step"), ("step", None)]
    assert [run.state for run in mlotel_runs.runs] == ["ok", "ok", "ok"]


def test_blocks_left_in_the_order_in_which_they_were_entered(mlotel_runs: CapturedRuns) -> None:
    """Two blocks that overlap instead of nesting each end the run that they began."""
    one, two = mlotel.component("one"), mlotel.component("two")
    first = one.__enter__()
    second = two.__enter__()
    one.__exit__(None, None, None)
    assert (first.ended, second.ended) == (True, False)
    two.__exit__(None, None, None)
    assert second.ended
    assert mlotel.current_run() is None


def test_leaving_what_was_not_entered_says_so() -> None:
    """A mistake in the use of the object is named."""
    with pytest.raises(RuntimeError, match="'one' was left without having been entered"):
        mlotel.component("one").__exit__(None, None, None)


def test_a_run_ended_early_ends_once(mlotel_runs: CapturedRuns) -> None:
    """What `end` said first stays."""
    with mlotel.component("a") as run:
        run.end(error="gave up")
    assert [(r.state, r.error) for r in mlotel_runs.runs] == [("failed", {"type": "_OTHER", "message": "gave up"})]


def test_threads_share_one_object(mlotel_runs: CapturedRuns) -> None:
    """In 8 threads that are all inside one object at once, each leaves its own run."""
    step = mlotel.component("step")
    barrier = threading.Barrier(8)

    def work(_: int) -> bool:
        with step as run:
            barrier.wait(10)
            mine = mlotel.current_run() is run
            barrier.wait(10)
        return mine and run.ended and mlotel.current_run() is None

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert len({run.run_id for run in mlotel_runs.runs}) == 8
    assert {run.parent_span_id for run in mlotel_runs.runs} == {None}


def test_tasks_share_one_object(mlotel_runs: CapturedRuns) -> None:
    """300 tasks inside one object at once keep their runs apart, whatever the order in which they leave."""
    step = mlotel.component("step")

    async def work(number: int, gate: asyncio.Event) -> bool:
        async with step as run:
            run.log_params({"number": number})
            await gate.wait()
            for _ in range(number % 7):
                await asyncio.sleep(0)
            mine = mlotel.current_run() is run
            with step as inner:
                assert mlotel.current_run() is inner
        return mine and run.ended

    async def main() -> None:
        gate = asyncio.Event()
        tasks = [asyncio.create_task(work(number, gate)) for number in range(300)]
        await asyncio.sleep(0)
        gate.set()
        assert all(await asyncio.gather(*tasks))

    asyncio.run(main())
    outer = [run for run in mlotel_runs.runs if run.parent_span_id is None]
    assert sorted(run.params["number"] for run in outer) == list(range(300))
    assert len(mlotel_runs.runs) == 600


def test_leaving_in_a_foreign_context_ends_the_run(mlotel_runs: CapturedRuns, caplog: pytest.LogCaptureFixture) -> None:
    """A block closed from another context (an event loop's clean-up) ends its run and leaves that context alone."""
    step = mlotel.component("step")
    Context().run(step.__enter__)
    other = context_api.get_current()
    step.__exit__(None, None, None)
    assert context_api.get_current() is other
    assert [run.state for run in mlotel_runs.runs] == ["ok"]
    assert caplog.records == []


def test_start_component_is_current_where_it_is_activated(mlotel_runs: CapturedRuns) -> None:
    """For hooks: started in one place, current in another, ended in a third."""
    run = mlotel.start_component("hook", params={"day": 3}, pipeline="p")
    assert mlotel.current_run() is None
    with run.activate() as active, mlotel.component("inner"):
        assert active is run
    run.end()
    run.end(error=ValueError("too late"))
    assert parents(mlotel_runs) == [("hook", None), ("inner", "hook")]
    assert [r.state for r in mlotel_runs.runs] == ["ok", "ok"]
    assert [r.pipeline for r in mlotel_runs.runs] == ["p", "p"]
    assert mlotel_runs.runs[0].params == {"day": 3}


def test_an_exit_stack_can_hold_runs(mlotel_runs: CapturedRuns) -> None:
    """Components are plain context managers."""
    with ExitStack() as stack:
        stack.enter_context(mlotel.component("a"))
        stack.enter_context(mlotel.component("b"))
    assert parents(mlotel_runs) == [("a", None), ("b", "a")]


def test_the_parent_of_a_run_is_the_span_around_it(mlotel_runs: CapturedRuns) -> None:
    """Parent means control: any span of the application around the block is it."""
    span = trace.NonRecordingSpan(trace.SpanContext(0xABC, 0xDEF, True, trace.TraceFlags(1)))
    with trace.use_span(span), mlotel.component("a"):
        pass
    (run,) = mlotel_runs.runs
    assert (run.trace_id, run.parent_span_id) == (f"{0xABC:032x}", f"{0xDEF:016x}")


def test_a_parent_from_headers(mlotel_runs: CapturedRuns) -> None:
    """`parent=extract(headers)` joins a caller elsewhere, whatever is current here."""
    headers = {"traceparent": f"00-{7:032x}-{9:016x}-01"}
    with mlotel.component("here"), mlotel.component("there", parent=mlotel.extract(headers)):
        pass
    assert mlotel_runs.runs[1].trace_id == f"{7:032x}"
    assert mlotel_runs.runs[1].parent_span_id == f"{9:016x}"


@pytest.mark.parametrize("parent", ["00-1-2-01", 5, mlotel.ArtifactContext("nonsense")])
def test_a_wrong_parent_is_told_where_the_component_is_made(parent: object) -> None:
    """What cannot be a parent is refused by the constructor, not inside the pipeline."""
    with pytest.raises(ConfigurationError, match=r"mlotel\.extract"):
        mlotel.component("a", parent=parent)  # type: ignore[arg-type]


def _in_a_pool(_: int) -> tuple[str, int]:
    with mlotel.component("child") as run:
        return run.trace_id, os.getpid()


def test_wrap_takes_the_run_into_a_thread_pool(mlotel_runs: CapturedRuns) -> None:
    """A pool's threads know nothing of the caller's context: `wrap` brings it to them."""
    with mlotel.component("parent", pipeline="p") as run, ThreadPoolExecutor(2) as pool:
        list(pool.map(run.wrap(_in_a_pool), range(3)))
        list(pool.map(_in_a_pool, range(1)))
    assert parents(mlotel_runs) == [("parent", None), *[("child", "parent")] * 3, ("child", None)]


def test_wrap_of_a_coroutine_function_makes_children_in_tasks(mlotel_runs: CapturedRuns) -> None:
    """What is wrapped may be async: its body runs in the run's context, in a task of its own too."""

    async def work() -> str:
        await asyncio.sleep(0)
        with mlotel.component("child"):
            return "done"

    async def main() -> str:
        run = mlotel.start_component("parent")
        value = await asyncio.create_task(run.wrap(work)())
        assert mlotel.current_run() is None
        run.end()
        return value

    assert asyncio.run(main()) == "done"
    assert parents(mlotel_runs) == [("parent", None), ("child", "parent")]


class _Asynchronous:
    async def __call__(self) -> None:
        with mlotel.component("child"):
            await asyncio.sleep(0)


@pytest.mark.parametrize("copied", [False, True])
def test_frameworks_await_what_wraps_a_coroutine_function(mlotel_runs: CapturedRuns, copied: bool) -> None:
    """Starlette runs what it does not take for one in a thread, where nobody would await what that returns."""
    with mlotel.component("parent") as run:
        for work in (_Asynchronous(), _Asynchronous().__call__, partial(_Asynchronous().__call__)):
            wrapped = run.wrap(work)
            task = BackgroundTask(pickle.loads(pickle.dumps(wrapped)) if copied else wrapped)
            assert task.is_async
            asyncio.run(task())
    assert parents(mlotel_runs) == [("parent", None), *[("child", "parent")] * 3]


def test_wrap_keeps_the_functions_name(mlotel_runs: CapturedRuns) -> None:
    """Executors and schedulers show what they run."""
    with mlotel.component("parent") as run:
        wrapped = run.wrap(_in_a_pool)
    assert wrapped.__name__ == "_in_a_pool"


def test_wrap_takes_the_run_into_another_process(script: object, tmp_path: Path) -> None:
    """A spawned worker's runs are children of the run that wrapped their function."""
    script(  # type: ignore[operator]
        """
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        import mlotel

        def work(n):
            with mlotel.component("child") as run:
                return n

        if __name__ == "__main__":
            with mlotel.component("parent") as run:
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                    assert list(pool.map(run.wrap(work), range(2))) == [0, 1]
        """
    )
    with FileStore(tmp_path / "store") as store:
        child, other, parent = store.runs()
        assert [child.component, other.component, parent.component] == ["child", "child", "parent"]
        assert child.parent_span_id == other.parent_span_id == parent.span_id
        assert {run.state for run in (child, other, parent)} == {"ok"}


def test_environment_makes_a_child_process_a_child_run(script: object, tmp_path: Path) -> None:
    """A child started with `run.environment()` belongs to the run, and knows what it wrote."""
    script(  # type: ignore[operator]
        """
        import os, pathlib, subprocess, sys
        import mlotel

        if len(sys.argv) > 1:
            with mlotel.component("child") as run:
                run.log_input(pathlib.Path("data.txt"))
        else:
            with mlotel.component("parent", pipeline="delays") as run:
                pathlib.Path("data.txt").write_text("content")
                run.log_output(pathlib.Path("data.txt"))
                environment = {**os.environ, **run.environment(), "MLOTEL_STORE": "elsewhere"}
                subprocess.run([sys.executable, __file__, "child"], env=environment, check=True)
        """
    )
    with FileStore(tmp_path / "store") as store, FileStore(tmp_path / "elsewhere") as elsewhere:
        (parent,), (child,) = store.runs(), elsewhere.runs()
        assert (child.trace_id, child.parent_span_id) == (parent.trace_id, parent.span_id)
        assert child.pipeline == "delays"
        link = child.inputs[0].link
        assert link is not None
        assert (link.span_id, link.resolved_by) == (parent.outputs[0].span_id, "env")


def test_a_disabled_run_can_be_used_like_any_other(script: object, tmp_path: Path) -> None:
    """With OTEL_SDK_DISABLED user code that asks for the current run still gets one; nothing is written."""
    done = script(  # type: ignore[operator]
        """
        import pathlib, mlotel

        @mlotel.component("a", params=True)
        def work(x):
            run = mlotel.current_run()
            run.log_params({"a": 1}); run.log_metrics({"b": 2}); run.set_tag("c", "d")
            run.log_predictions([1]); run.set_attributes({"e": 1})
            assert run.log_input(x) is x and run.log_output(x, sidecar=True) is x
            assert run.environment() == {} and run.trace_id == "0" * 32
            headers = {}
            run.inject(headers)
            assert headers == {}
            assert run.wrap(len)([1]) == 1
            with run.activate():
                return mlotel.current_run() is run

        assert work(pathlib.Path(__file__))
        with mlotel.component("b") as run:
            assert mlotel.current_run() is run
        """,
        OTEL_SDK_DISABLED="true",
    )
    assert done.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["program.py"]


def test_a_fork_inside_a_run_leaves_it_to_the_parent(script: object, tmp_path: Path) -> None:
    """The child of a fork neither ends its parent's run nor loses runs of its own."""
    script(  # type: ignore[operator]
        """
        import os, warnings
        import mlotel
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: fork with threads
        with mlotel.component("parent"):
            pid = os.fork()
            if pid == 0:
                with mlotel.component("child"):
                    pass
        if pid == 0:
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        """
    )
    with FileStore(tmp_path / "store") as store:
        child, parent = store.runs()
        assert (child.component, child.state, child.parent_span_id) == ("child", "ok", parent.span_id)
        assert (parent.component, parent.state) == ("parent", "ok")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"params": 3}, "params must be True, False or a mapping"),
        ({"params": None}, "params must be True, False or a mapping"),
        ({"inputs": 3}, "inputs must be"),
        ({"outputs": b"x"}, "outputs must be"),
        ({"inputs": {"x": 3}}, "must be text"),
        ({"inputs": [""]}, "1 to 255"),
        ({"tags": "nightly"}, "tags=\\["),
        ({"tags": 3}, "tags must be"),
        ({"pipeline": 3}, "pipeline's name must be text"),
        ({"pipeline": ""}, "1 to 255"),
    ],
)
def test_arguments_of_a_wrong_type_are_refused_with_the_fix(arguments: dict[str, object], message: str) -> None:
    """Configuration raises at once, used as a decorator or not."""
    with pytest.raises(ConfigurationError, match=message):
        mlotel.component("a", **arguments)  # type: ignore[arg-type]


def test_start_component_refuses_params_that_are_no_mapping() -> None:
    """It has no arguments to take parameters from."""
    with pytest.raises(ConfigurationError, match="params must be a mapping"):
        mlotel.start_component("a", params=True)  # type: ignore[arg-type]


def test_versions_and_owners_may_be_any_scalar(mlotel_runs: CapturedRuns) -> None:
    """version=2.1 is what people write; an object counts by its type's name."""
    with mlotel.component("a", version=2.1, description=object()):  # type: ignore[arg-type]
        pass
    assert mlotel_runs.runs[0].version == "2.1"
    assert mlotel_runs.runs[0].attributes["mlotel.component.description"] == "object"


def test_a_component_says_what_it_is() -> None:
    """In a debugger, a log line or a notebook."""
    assert repr(mlotel.component("train")) == "mlotel.component('train')"


def test_ten_thousand_tasks_share_one_object(mlotel_runs: CapturedRuns) -> None:
    """Leaving takes no longer the more runs are open: the last task ends like the first."""
    step = mlotel.component("step")

    async def work() -> bool:
        with step as run:
            await asyncio.sleep(0)
            return mlotel.current_run() is run

    async def main() -> list[bool]:
        return await asyncio.gather(*(work() for _ in range(10_000)))

    assert all(asyncio.run(main()))
    assert len(step._entered) == 0
    beats = sum(b"mlotel.run.heartbeat" in line for line in mlotel_runs.store.lines)  # of a busy machine
    assert len(mlotel_runs.store.lines) - beats == 20_000


def test_copies_of_what_holds_a_run_do_no_harm(script: object, tmp_path: Path) -> None:
    """`dataclasses.asdict` and `sklearn.clone` copy deeply: the run is the same one, its store goes on."""
    script(  # type: ignore[operator]
        """
        import copy, gc, pickle, mlotel
        with mlotel.component("a") as run:
            for copied in (copy.copy(run), copy.deepcopy(run), copy.deepcopy({"run": [run]})["run"][0]):
                assert copied is run
            del copied
            gc.collect()
            try:
                pickle.dumps(run)
            except TypeError as error:
                assert "run.wrap" in str(error), error
            else:
                raise AssertionError("a run was pickled")
            run.log_output(b"x", "x")
        with mlotel.component("b"):
            pass
        """
    )
    with FileStore(tmp_path / "store") as store:
        assert [(run.component, run.state, len(run.outputs)) for run in store.runs()] == [
            ("b", "ok", 0),
            ("a", "ok", 1),
        ]


def test_descriptors_that_somebody_else_closes_cost_no_run(script: object, tmp_path: Path) -> None:
    """A library that makes a daemon closes every descriptor: runs go on, and never into another's file."""
    script(  # type: ignore[operator]
        """
        import os, time, mlotel
        with mlotel.component("a"):
            pass
        os.closerange(3, 256)
        files = [open(f"mine-{i}.txt", "w") for i in range(20)]
        time.sleep(0.01)  # whose file it is, is asked a thousand times a second at most
        for _ in range(3):
            with mlotel.component("b"):
                pass
        for file in files:
            file.close()
        """
    )
    assert [path.read_text() for path in sorted(tmp_path.glob("mine-*.txt"))] == [""] * 20
    with FileStore(tmp_path / "store") as store:
        assert [(run.component, run.state) for run in store.runs()] == [("b", "ok")] * 3 + [("a", "ok")]


def test_an_ended_run_is_freed_at_once(mlotel_runs: CapturedRuns) -> None:
    """Without the garbage collector, which serving processes switch off: runs that have ended leave nothing behind."""

    @mlotel.component("function", params=True)
    def function(x: int) -> weakref.ref[object]:
        return weakref.ref(mlotel.current_run())

    gc.collect()
    gc.disable()
    try:
        with mlotel.component("block") as run:
            run.log_input(b"x", "x")
            run.log_output(b"y", "y")
        block = weakref.ref(run)
        del run
        assert (function(1)(), block()) == (None, None)
    finally:
        gc.enable()
