"""A stand-in for Tempo, for the tests that read one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tempo_standin import StandInTempo

TempoOf = Callable[..., StandInTempo]


@pytest.fixture
def tempo_of() -> Iterator[TempoOf]:
    """Starts a stand-in for Tempo with the spans of some lines: ``tempo_of(*lines, **arguments)``."""
    started: list[StandInTempo] = []

    def start(*lines: bytes, **arguments: object) -> StandInTempo:
        started.append(StandInTempo(**arguments))  # type: ignore[arg-type] # those of StandInTempo
        started[-1].add(lines)
        return started[-1]

    yield start
    for tempo in started:
        tempo.stop()
