"""What did not arrive, and what may have arrived twice: counted in metrics, and said."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from opentelemetry.metrics import Counter as Instrument
from opentelemetry.metrics import Meter

from mlotel._forks import Lock, after_in_child
from mlotel._log import logger
from mlotel.semconv import attributes as A
from mlotel.semconv import metrics as M

__all__ = ["Item", "Losses"]

Item = Literal["span", "log_record", "metric", "prediction"]

_NAMES: dict[Item, str] = {
    "span": "spans",
    "log_record": "log records",
    "metric": "points of metrics",
    "prediction": "predictions",
}


class Losses:
    """Counts items that were dropped, and items that were sent again because nobody answered the first time.

    The first loss for each reason is said at once, the sums by `say`. A meter is told what was counted before, too.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._dropped: Counter[tuple[Item, str]] = Counter()
        self._resent: Counter[Item] = Counter()
        self._said: set[str] = set()
        self._instruments: tuple[Instrument, Instrument] | None = None
        after_in_child(self._begin_anew)

    def count_with(self, meter: Meter, *, sends: bool = True) -> None:
        """Count with instruments of `meter` from now on, and what was counted before.

        Args:
            meter: makes the instruments.
            sends: whether there is something that may be sent again.
        """
        made = (
            meter.create_counter(*M.MLOTEL_TELEMETRY_DROPPED[:3]),
            meter.create_counter(*M.MLOTEL_TELEMETRY_RESENT[:3]),
        )
        with self._lock:
            self._instruments = made
            dropped, resent = dict(self._dropped), dict(self._resent)
        for item in _NAMES:
            made[0].add(0, {A.MLOTEL_TELEMETRY_ITEM: item})  # a counter that begins at 1 has no rise to be seen
            if sends:
                made[1].add(resent.get(item, 0), {A.MLOTEL_TELEMETRY_ITEM: item})
        for (item, reason), number in dropped.items():
            made[0].add(number, {A.MLOTEL_TELEMETRY_ITEM: item, A.ERROR_TYPE: reason})

    def dropped(self, item: Item, number: int, reason: str, why: str | None) -> None:
        """Count items that will never arrive.

        Args:
            item: what they are.
            number: how many.
            reason: why, in one word of few, for the metric.
            why: why, for people; None where they have been told.
        """
        if number <= 0:
            return
        with self._lock:
            self._dropped[item, reason] += number
            first = reason not in self._said
            self._said.add(reason)
            instruments = self._instruments
        if instruments is not None:
            instruments[0].add(number, {A.MLOTEL_TELEMETRY_ITEM: item, A.ERROR_TYPE: reason})
        if first and why is not None:
            logger.warning("mlotel: %s are dropped: %s", _NAMES[item], why)

    def resent(self, item: Item, number: int) -> None:
        """Count items that were sent again although they may have arrived before."""
        with self._lock:
            self._resent[item] += number
            instruments = self._instruments
        if instruments is not None:
            instruments[1].add(number, {A.MLOTEL_TELEMETRY_ITEM: item})

    def _begin_anew(self) -> None:
        """In a forked child: forget what the parent counted, and what it counted with."""
        self._dropped.clear()
        self._resent.clear()
        self._instruments = None

    def say(self) -> None:
        """Say once how much was dropped, if anything was."""
        with self._lock:
            sums: Counter[Item] = Counter()
            for (item, _), number in self._dropped.items():
                sums[item] += number
            self._dropped.clear()
        if sums:
            told = ", ".join(f"{number} {_NAMES[item]}" for item, number in sums.items())
            logger.warning("mlotel: dropped in all: %s", told)
