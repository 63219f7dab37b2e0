"""Where runs are kept and read back: the embedded store of OTLP/JSON lines, and memory for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from mlotel.model import Annotation, Artifact, Prediction, Run

if TYPE_CHECKING:
    from mlotel.store.conditions import Condition

__all__ = ["Store"]


@runtime_checkable
class Store(Protocol):
    """What lineage and the command line need from any store; newest first wherever there is an order.

    Implementations share one contract suite (`tests/store/contract.py`).
    """

    def runs(
        self,
        *,
        component: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        where: Sequence[Condition] = (),
        limit: int | None = None,
    ) -> Sequence[Run]:
        """Runs, latest start first, for which all of `where` holds.

        Args:
            component: runs of this component alone.
            since_ns: runs that began at or after this time, nanoseconds since the epoch.
            until_ns: runs that began at or before this time.
            where: conditions that a run has to meet, each of them.
            limit: the latest so many.
        """
        ...

    def translates(self, condition: Condition) -> bool:
        """Whether this store selects runs by the condition itself; for others, runs are read and looked at."""
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
        limit: int | None = None,
    ) -> Sequence[Artifact]:
        """Artifacts by digest (whole, or a prefix of its hex), exact name or exact URI; latest first.

        Args:
            digest: of this digest, or of those that begin so.
            name: of exactly this name.
            uri: at exactly this place.
            direction: what was read (``input``) or written (``output``) alone.
            limit: the latest so many.
        """
        ...

    def readers_of(self, trace_id: str, span_id: str) -> Sequence[Artifact]:
        """The artifacts that were read with a link to this span as their producer's, latest first."""
        ...

    def dependents_of(self, trace_id: str, span_id: str) -> Sequence[Run]:
        """The runs that were said to depend on the run of this span, latest first."""
        ...

    def children_of(self, trace_id: str, span_id: str) -> Sequence[Run]:
        """The runs that were started within the run of this span, latest first."""
        ...

    def annotations(self, *, kind: str | None = None, target: str | None = None) -> Sequence[Annotation]:
        """What was said of runs, artifacts and predictions, of one kind or all, of one target or all; latest first."""
        ...

    def predictions(
        self, key: str, *, secret: bytes | None = None, since_ns: int | None = None, until_ns: int | None = None
    ) -> Sequence[Prediction]:
        """The predictions that were logged with this key, latest first.

        Args:
            key: the key as it was logged.
            secret: what keys were hashed with, where the user said so; those hashed without are found as well.
            since_ns: predictions made at or after this time, nanoseconds since the epoch.
            until_ns: predictions made at or before this time.
        """
        ...
