"""One column out of whatever holds one: lists, arrays, series, tables of one column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from mlotel.parameters import is_scalar

__all__ = ["column_of", "same_length"]


def column_of(values: Any, what: str = "predictions") -> Any:
    """Return `values` as one Arrow array that Arrow can filter and count: no dictionary, no views.

    Args:
        values: an array, Arrow array, column, table of one column, or list.
        what: what they are, for the message.

    Raises:
        ValueError: they are no column.
    """
    return _decoded(_column(values, what))


def same_length(what: str, values: Any, count: int) -> None:
    """Check that there is one of `values` for each of `count` predictions. Raises ValueError."""
    if values is None:
        return
    try:
        number = len(values)
    except TypeError:
        raise ValueError(f"{what} have no length: give a list or an array with one for each prediction") from None
    if number != count:
        raise ValueError(f"{number} {what} for {count} predictions: give one for each")


def _column(values: Any, what: str) -> Any:
    if isinstance(values, (bytes, Mapping)) or is_scalar(values):
        raise ValueError(
            f"{what} must be a column, not a {type(values).__name__}: write [{what.removesuffix('s')}] for one alone"
        )
    if hasattr(values, "__next__") or hasattr(values, "read_next_batch"):
        raise ValueError(
            f"a {type(values).__name__} can be read only once, and you will want to: make a list or a table of it first"
        )
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise ValueError(f"{what} must be one column, not of shape {values.shape}: log one output at a time")
        if values.dtype.kind == "O":
            values = values.tolist()
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        column = values
    elif hasattr(values, "__arrow_c_stream__"):
        column = pa.chunked_array(values)
    elif hasattr(values, "__arrow_c_array__"):
        column = pa.array(values)
    else:
        if not hasattr(values, "__array__") and not isinstance(values, (list, tuple)):
            values = list(values)
        column = pa.array(values, from_pandas=True)
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    # a table's stream is one of structs; a table of one column will do
    return column.field(0) if pa.types.is_struct(column.type) and column.type.num_fields == 1 else column


def _decoded(column: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        column = _decoded(column.dictionary).take(column.indices)
    if pa.types.is_string_view(column.type):
        return column.cast(pa.large_string())
    if pa.types.is_binary_view(column.type):
        return column.cast(pa.large_binary())
    return column
