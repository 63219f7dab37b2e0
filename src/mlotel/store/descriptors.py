"""Noticing that somebody closed this process's file descriptors, as libraries that make daemons do.

The numbers then become those of other files, and whoever goes on using his own writes to these or closes them.
"""

from __future__ import annotations

import os

__all__ = ["Canary"]


class Canary:
    """A descriptor of no use (a pipe, which has an inode of its own): while it lives, its neighbours do."""

    __slots__ = ("_fd", "_identity")

    def __init__(self) -> None:
        self._fd, other = os.pipe()
        os.close(other)
        self._identity = _identity_of(self._fd)

    def is_alive(self) -> bool:
        """Whether the descriptor is what it was, in the process that made it."""
        return self._identity is not None and _identity_of(self._fd) == self._identity

    def close(self) -> None:
        """Close the descriptor, if it is still what it was."""
        if self.is_alive():
            os.close(self._fd)
        self._identity = None


def _identity_of(fd: int) -> tuple[int, int, int] | None:
    """Process, device and inode behind a descriptor, None where it is closed."""
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return os.getpid(), status.st_dev, status.st_ino
