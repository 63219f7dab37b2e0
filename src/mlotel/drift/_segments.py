"""The rows of a table by the values of one column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from mlotel.errors import ConfigurationError

__all__ = ["MOST_SEGMENTS", "split"]

MOST_SEGMENTS = 10_000
"""Values that the column of the segments may have."""


def split(table: pa.Table, name: str) -> Iterator[tuple[str, pa.Table]]:
    """Yield each value of a column as text, with the rows that have it in the order in which they came.

    Numbers come in their order, other values in that of their texts; rows where it is missing belong to no segment.

    Raises:
        ConfigurationError: there are more values than segments can be.
    """
    column = table.column(name)
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    values = pc.unique(column).drop_null()
    if len(values) > MOST_SEGMENTS:
        raise ConfigurationError(
            f"column {name!r} has {len(values):,} values, and segments can be {MOST_SEGMENTS:,}: take a coarser one"
        )
    codes = pc.fill_null(pc.index_in(column, value_set=values), -1).combine_chunks().to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(len(values) + 1))
    texts = [each.as_py() for each in values]
    for place in sorted(range(len(texts)), key=lambda each: _rank(texts[each])):
        yield f"{texts[place]}", table.take(pa.array(order[ends[place] : ends[place + 1]]))


def _rank(value: Any) -> tuple[bool, Any]:
    return (True, value) if isinstance(value, int | float) else (False, f"{value}")
