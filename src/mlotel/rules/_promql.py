"""Pieces of PromQL: quoting, matchers, and the labels that rules keep."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from mlotel.exposition import label_name
from mlotel.semconv import attributes as A

__all__ = [
    "BIN",
    "BY_BIN",
    "BY_FEATURE",
    "BY_MODEL",
    "BY_REFERENCE",
    "FEATURE",
    "MODEL",
    "REFERENCE",
    "VERSION",
    "any_of",
    "number",
    "quoted",
]

MODEL, VERSION = label_name(A.MLOTEL_MODEL_NAME), label_name(A.MLOTEL_MODEL_VERSION)
FEATURE, BIN = label_name(A.MLOTEL_FEATURE_NAME), label_name(A.MLOTEL_FEATURE_BIN)
REFERENCE = label_name(A.MLOTEL_DRIFT_REFERENCE_DIGEST)

BY_MODEL = f"({MODEL}, {VERSION})"
BY_REFERENCE = f"({MODEL}, {VERSION}, {REFERENCE})"
BY_FEATURE = f"({MODEL}, {VERSION}, {FEATURE})"
BY_BIN = f"({MODEL}, {VERSION}, {FEATURE}, {BIN})"


def quoted(text: str) -> str:
    """Return a text as a PromQL string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def any_of(label: str, values: Iterable[str]) -> str:
    """Return the matcher of a label that has one of some values."""
    listed = list(values)
    if len(listed) == 1:
        return f"{label}={quoted(listed[0])}"
    return f"{label}=~{quoted('|'.join(map(re.escape, listed)))}"


def number(value: float) -> str:
    """Return a number so that Prometheus reads the same one."""
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else repr(float(value))
