"""Memory set aside, so that there is some left to record how a run ended that ran out of it."""

from __future__ import annotations

__all__ = ["give_up", "set_aside"]

# Address space alone: the zeros of new bytes are in no page before they are read.
_BYTES = 4 * 2**20

_aside: bytes | None = None


def set_aside() -> None:
    """Set memory aside, if none is and there is any."""
    global _aside
    if _aside is None:
        try:
            _aside = bytes(_BYTES)
        except MemoryError:
            return


def give_up() -> None:
    """Let whoever needs it have the memory, from now on until `set_aside` is called again."""
    global _aside
    _aside = None
