"""Which embedded store is meant: the one that is said, else the nearest one upwards, as git finds its repository."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["STORE_NAME", "STORE_VARIABLE", "find_store"]

STORE_NAME = ".mlotel"
STORE_VARIABLE = "MLOTEL_STORE"
_OFF = frozenset({"none", "off"})


def find_store(start: Path | str | None = None, env: Mapping[str, str] = os.environ) -> Path | None:
    """Return the absolute path of the embedded store, whether it is there already or not; None if it is switched off.

    ``MLOTEL_STORE`` wins (``none`` or ``off`` switch the store off; an empty value counts as not set); else the nearest
    folder ``.mlotel`` in `start` or above it; else ``.mlotel`` in `start`.

    Args:
        start: the folder to look from, the working directory if not said.
        env: environment variables.
    """
    said = env.get(STORE_VARIABLE, "").strip()
    if said.lower() in _OFF:
        return None
    try:
        here = Path(os.path.abspath(start if start is not None else os.curdir))
    except FileNotFoundError:  # the working directory was removed
        here = Path(os.path.expanduser("~"))
    if said:
        return here / Path(said).expanduser()
    for folder in (here, *here.parents):
        if (folder / STORE_NAME).is_dir():
            return folder / STORE_NAME
    return here / STORE_NAME
