"""Who wrote what one run read, for questions that are asked of many runs."""

from __future__ import annotations

from collections.abc import Iterable

from mlotel.lineage._directions import Backward, Far
from mlotel.lineage._records import Records
from mlotel.model import Artifact, Run
from mlotel.store import Store

__all__ = ["Producers"]


class Producers:
    """Finds producers as `upstream` does. Nothing is asked of the store twice.

    Args:
        store: where to look.
        known: runs that were read from it already.
    """

    def __init__(self, store: Store, known: Iterable[Run] = ()) -> None:
        self._records = Records(store)
        for run in known:
            self._records.remember(run)

    def of(self, read: Artifact) -> Far | None:
        """Return the run that wrote an input, with the artifact as it wrote it; None where none is known."""
        crossing = Backward(self._records).across(read)
        return crossing.far[0] if crossing.far else None
