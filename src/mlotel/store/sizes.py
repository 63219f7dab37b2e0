"""Amounts of data as people write them: ``5GB``, ``500MB``, ``1.5GiB``."""

from __future__ import annotations

import re

from mlotel.errors import QueryError

__all__ = ["parse_size"]

_UNITS = {
    "": 1, "B": 1,
    "K": 10**3, "KB": 10**3, "KIB": 2**10,
    "M": 10**6, "MB": 10**6, "MIB": 2**20,
    "G": 10**9, "GB": 10**9, "GIB": 2**30,
    "T": 10**12, "TB": 10**12, "TIB": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,9}))?\s*([a-zA-Z]{0,3})")


def parse_size(text: str) -> int:
    """Return an amount of data in bytes; a number alone counts bytes.

    Raises:
        QueryError: it is none.
    """
    match = _SIZE.fullmatch(text.strip())
    unit = None if match is None else _UNITS.get(match[3].upper())
    if match is None or unit is None:
        raise QueryError(f"{text!r} is no amount of data: write it as 5GB, 500MB or 1.5GiB")
    whole, part = match[1], match[2] or ""
    return int(whole + part) * unit // int("1" + "0" * len(part))
