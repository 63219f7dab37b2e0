"""How much a test does: little in an ordinary run, what is promised under ``make soak`` (MLOTEL_SOAK=1)."""

from __future__ import annotations

import os

__all__ = ["amount"]


def amount(usual: int, soak: int) -> int:
    """Return how many of something a test makes."""
    return soak if os.environ.get("MLOTEL_SOAK") == "1" else usual
