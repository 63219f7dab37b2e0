"""JSON as msgspec reads it: what may be raised of a text that is none."""

from __future__ import annotations

from msgspec import DecodeError

__all__ = ["UNDECODABLE"]

UNDECODABLE = (DecodeError, ValueError, RecursionError)
"""What decoding may raise, by any release of msgspec: not JSON, not of the type asked for, too deep in itself."""
