"""Keyed predictions on their way to the data set, as a table or as lines, and back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Struct

from mlotel._json import UNDECODABLE
from mlotel.model import Prediction
from mlotel.store.predictions.keys import MOST_CHARACTERS

__all__ = [
    "BAD_LINE",
    "SCHEMA",
    "KeyedRows",
    "day_of",
    "fits",
    "hashes_of",
    "needle",
    "prediction_of",
    "predictions_of",
    "row_of_line",
    "tables_of_lines",
]

SCHEMA = pa.schema(
    [
        pa.field("key_hash", pa.uint64(), nullable=False),
        pa.field("key", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("value_text", pa.string()),
        pa.field("probability", pa.float64()),
        pa.field("variant", pa.string()),
        pa.field("model_version", pa.string()),
        pa.field("model_digest", pa.string()),
        pa.field("trace_id", pa.binary(16)),
        pa.field("span_id", pa.binary(8)),
        pa.field("time", pa.timestamp("ns", tz="UTC"), nullable=False),
    ]
)
"""The columns of each file; the model and the day are its folders."""

BAD_LINE = (*UNDECODABLE, KeyError, TypeError, AttributeError, OverflowError)
"""What reading a line that tells of no prediction may raise."""


class KeyedRows(Struct, frozen=True):
    """n predictions that one call logged: what differs between them in columns, what they share once.

    `hashes` are unsigned 64-bit integers; `keys` is None where keys must not be kept. `values` are doubles (null where
    missing or no number), `texts` strings (null where the number says it all), or None.
    """

    hashes: Sequence[int]
    keys: Sequence[str] | None
    values: pa.Array
    texts: pa.Array | None
    probabilities: pa.Array | None
    variant: str | None
    model: str | None
    model_version: str | None
    model_digest: str | None
    trace_id: str
    span_id: str
    time_ns: int

    def __len__(self) -> int:
        return len(self.hashes)

    def table(self) -> pa.Table:
        """The rows as `SCHEMA` says, in the order in which they were logged."""
        count = len(self)
        shared = {
            "variant": self.variant,
            "model_version": self.model_version,
            "model_digest": self.model_digest,
            "trace_id": bytes.fromhex(self.trace_id),
            "span_id": bytes.fromhex(self.span_id),
            "time": self.time_ns,
        }
        columns = {
            "key_hash": pa.array(self.hashes, pa.uint64()),
            "key": pa.nulls(count, pa.string())
            if self.keys is None
            else pa.array([key[:MOST_CHARACTERS] for key in self.keys], pa.string()),
            "value": self.values,
            "value_text": pa.nulls(count, pa.string()) if self.texts is None else self.texts,
            "probability": pa.nulls(count, pa.float64()) if self.probabilities is None else self.probabilities,
            **{name: pa.repeat(pa.scalar(value, SCHEMA.field(name).type), count) for name, value in shared.items()},
        }
        return pa.table(columns, schema=SCHEMA)

    def lines(self) -> bytes:
        """The rows as JSON, one a line; what is not known is left out."""
        shared = {
            "variant": self.variant,
            "model": self.model,
            "model_version": self.model_version,
            "model_digest": self.model_digest,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "time": self.time_ns,
        }
        known = {name: value for name, value in shared.items() if value is not None}
        lines: list[bytes] = []
        columns = {"value": self.values, "value_text": self.texts, "probability": self.probabilities}
        told = {name: column.to_pylist() for name, column in columns.items() if column is not None}
        for number, key_hash in enumerate(self.hashes):
            row: dict[str, Any] = {"key_hash": f"{key_hash:016x}"}
            if self.keys is not None:
                row["key"] = self.keys[number][:MOST_CHARACTERS]
            for name, values in told.items():
                if values[number] is not None:
                    row[name] = values[number]
            lines.append(msgspec.json.encode({**row, **known}) + b"\n")
        return b"".join(lines)


def needle(key_hash: int) -> bytes:
    """Return how a line with this hash begins."""
    return b'{"key_hash":"%016x"' % key_hash


def day_of(time_ns: int) -> str:
    """Return the day (UTC) of a time, as the folders of the data set are named."""
    return time.strftime("%Y-%m-%d", time.gmtime(time_ns // 10**9))


def fits(schema: pa.Schema) -> bool:
    """Whether a file of this schema holds keyed predictions; columns beside those of `SCHEMA` do no harm."""
    return all(name in schema.names and schema.field(name).type == SCHEMA.field(name).type for name in SCHEMA.names)


def hashes_of(table: pa.Table) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """The key hashes of a table's rows."""
    # Arrow's own conversion loads pandas, wherever there is one, to see whether it is needed.
    chunks = [chunk for chunk in table.column("key_hash").chunks if len(chunk)]
    arrays = [np.frombuffer(chunk.buffers()[1], np.uint64, len(chunk), chunk.offset * 8) for chunk in chunks]
    return np.concatenate(arrays) if arrays else np.array([], dtype=np.uint64)


def predictions_of(table: pa.Table, model: str | None) -> Iterator[Prediction]:
    """The rows of a table as they are asked for."""
    columns = [
        (table.column(name).cast(pa.int64()) if name == "time" else table.column(name)).to_pylist()
        for name in SCHEMA.names
    ]
    for values in zip(*columns, strict=True):
        yield prediction_of(values, model)


def prediction_of(values: Sequence[Any], model: str | None) -> Prediction:
    """Return the prediction of a row: its values in the order of `SCHEMA`."""
    row = dict(zip(SCHEMA.names, values, strict=True))
    return Prediction(
        key=row["key"],
        key_hash=f"{row['key_hash']:016x}",
        value=_value(row["value"], row["value_text"]),
        time_ns=row["time"],
        trace_id=(row["trace_id"] or b"").hex(),
        span_id=(row["span_id"] or b"").hex(),
        probability=row["probability"],
        variant=row["variant"],
        model=model,
        model_version=row["model_version"],
        model_digest=row["model_digest"],
    )


def row_of_line(line: bytes) -> tuple[str | None, list[Any]]:
    """Return the model of a line, and its values in the order of `SCHEMA`. Raises one of `BAD_LINE`."""
    row = msgspec.json.decode(line)
    values = [
        int(row["key_hash"], 16),
        _of(str, row.get("key")),
        _of(float, row.get("value")),
        _of(str, row.get("value_text")),
        _of(float, row.get("probability")),
        _of(str, row.get("variant")),
        _of(str, row.get("model_version")),
        _of(str, row.get("model_digest")),
        bytes.fromhex(row["trace_id"]),
        bytes.fromhex(row["span_id"]),
        int(row["time"]),
    ]
    lengths = len(values[8]), len(values[9])
    if lengths != (16, 8) or not 0 <= values[0] < 1 << 64 or not 0 <= values[-1] < 1 << 63:
        raise ValueError("ids or a time out of range")
    return _of(str, row.get("model")), values


def tables_of_lines(lines: Sequence[bytes]) -> dict[tuple[str | None, str], pa.Table]:
    """Return the rows of lines as tables by model and day; lines that are none are left out."""
    columns: dict[tuple[str | None, str], list[list[Any]]] = {}
    for line in lines:
        try:
            model, values = row_of_line(line)
        except BAD_LINE:
            continue
        into = columns.setdefault((model, day_of(values[-1])), [[] for _ in SCHEMA.names])
        for column, value in zip(into, values, strict=True):
            column.append(value)
    return {partition: pa.table(found, schema=SCHEMA) for partition, found in columns.items()}


def _of(kind: type[Any], value: Any) -> Any:
    if value is None or isinstance(value, kind):
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    raise ValueError(f"{value!r} is no {kind.__name__}")


def _value(number: Any, text: Any) -> float | str | None:
    if number is None or text is None:
        return text if number is None else float(number)
    try:
        return int(text)  # exact, where the double is not
    except ValueError:
        return float(number)
