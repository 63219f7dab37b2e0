"""Where runs are kept and read back: the embedded store of OTLP/JSON lines, and memory for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from mlotel.model import Artifact, Run

__all__ = ["Store"]


@runtime_checkable
class Store(Protocol):
    """What lineage and the command line need from any store; newest first wherever there is an order.

    Implementations share one contract suite (`tests/store/contract.py`).
    """

    def runs(self, *, component: str | None = None, limit: int | None = None) -> Sequence[Run]:
        """Runs, latest start first, of one component or of all."""
        ...

    def find_runs(self, reference: str) -> Sequence[Run]:
        """Runs whose run id, trace id or span id equals or begins with `reference` (hex, at least 4 characters)."""
        ...

    def run_of_span(self, trace_id: str, span_id: str) -> Run | None:
        """The run to which a span belongs: the run span itself or one of its I/O spans."""
        ...

    def find_artifacts(
        self,
        *,
        digest: str | None = None,
        name: str | None = None,
        uri: str | None = None,
        direction: str | None = None,
    ) -> Sequence[Artifact]:
        """Artifacts by digest (whole, or a prefix of its hex), exact name or exact URI; latest first."""
        ...

    def readers_of(self, trace_id: str, span_id: str) -> Sequence[Artifact]:
        """The artifacts that were read with a link to this span as their producer's, latest first."""
        ...
