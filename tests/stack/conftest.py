"""The real stack, got and started once for all tests here. What it cannot start it reports as a failure."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from backends import Jaeger, Prometheus

from mlotel_stack import Programs, Settings, Stack, builds, cache_dir

FAST = Settings(scrape_interval="1s", span_metrics_interval="2s", die_with_parent=True)


@pytest.fixture(scope="session")
def programs(pytestconfig: pytest.Config) -> Programs:
    """The stack's programs; those that are lacking are got first, which takes minutes once and says so."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\nstack: {line}", end="", flush=True)

    return builds.ensure(cache_dir(), say)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, programs: Programs) -> Iterator[Stack]:
    """The stack that tests share: look for what is your own in it, and stop nothing."""
    with Stack.start(tmp_path_factory.mktemp("stack"), FAST) as running:
        yield running


@pytest.fixture
def own_stack(tmp_path: Path, programs: Programs) -> Iterator[Callable[..., Stack]]:
    """Start a stack for one test that stops, kills or configures it: `own_stack(rules=(path,))`, see `Settings`."""
    started: list[Stack] = []

    def start(**changes: Any) -> Stack:
        started.append(Stack.start(tmp_path / f"stack-{len(started)}", replace(FAST, **changes)))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture(scope="session")
def jaeger(stack: Stack) -> Jaeger:
    return Jaeger(stack.endpoints["jaeger_ui"])


@pytest.fixture(scope="session")
def prometheus(stack: Stack) -> Prometheus:
    return Prometheus(stack.endpoints["prometheus"])
