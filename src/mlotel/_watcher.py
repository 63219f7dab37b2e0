"""What reads a table along with its digest. Nothing that goes wrong in it reaches the digest or the user's code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanContext

from mlotel._runtime import guard
from mlotel.errors import ArtifactError

if TYPE_CHECKING:
    import pyarrow as pa

    from mlotel._run import ActiveRun

__all__ = ["Watcher"]


class Watcher(ABC):
    """Is handed a table's batches one by one, and tells what it found in them.

    Args:
        run: the run that reads or writes the table.
        name: what the table is called.
        what: what is done with it, for warnings.
    """

    def __init__(self, run: ActiveRun, name: str, what: str) -> None:
        self._run = run
        self._name = name
        self._what = what
        self._read_any = False
        self._failed: Exception | None = None

    def read(self, batch: pa.RecordBatch) -> None:
        """Take in a batch of the table; what goes wrong is told at the end."""
        if self._failed is None:
            try:
                self._add(batch)
                self._read_any = True
            except Exception as error:
                self._failed = error

    def attributes(self) -> Mapping[str, Any]:
        """Return what the table's span is to say: nothing, and a warning, where nothing could be found."""
        try:
            if self._failed is not None:
                raise self._failed
            if not self._read_any:
                raise ArtifactError("no rows of a table were read: give a table, or the path of one")
            return self._found()
        except Exception as error:
            guard(f"{self._what} {self._name!r} of component {self._run.name!r}", error)
            return {}

    @abstractmethod
    def tell(self, context: SpanContext, labels: Mapping[str, str]) -> None:
        """Emit events, correlated with the table's span, and metrics with these labels."""

    @abstractmethod
    def _add(self, batch: pa.RecordBatch) -> None:
        """Take in a batch."""

    @abstractmethod
    def _found(self) -> Mapping[str, Any]:
        """Return what was found, as attributes of a span."""
