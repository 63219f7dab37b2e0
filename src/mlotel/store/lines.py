"""Lines of files that anybody may have written, read in memory that is bounded however long a line is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, NamedTuple

__all__ = ["LONGEST_LINE", "Block", "blocks"]

LONGEST_LINE = 64 * 2**20
"""Bytes of the longest line that is read.

A line of mlotel's own has some kilobytes and never more than this (`mlotel.store.encoding`). A collector's file
exporter writes a batch a line: 8,192 spans, as its batch processor has them, are some 10 MB.
"""

_NEWLINE = ord("\n")


class Block(NamedTuple):
    """Lines that follow each other in a file, and `passed` bytes after them of a line that is too long to be read.

    `inside` says whether the block ends within such a line. Only the last line of a file may be without its newline.
    """

    lines: list[bytes]
    passed: int
    inside: bool


def blocks(file: BinaryIO, size: int = 2**18, *, inside: bool = False, longest: int | None = None) -> Iterator[Block]:
    """Yield what stands in a file from its position on. Raises OSError where it cannot be read.

    Args:
        file: a buffered file, positioned where a line begins, or `inside` one that is too long.
        size: bytes that a block has, about; longer by a line at most.
        inside: whether the position is within a line that was passed over so far.
        longest: bytes that a line may have without its newline; `LONGEST_LINE` unless given.
    """
    longest = LONGEST_LINE if longest is None else longest
    size = max(1, min(size, longest))
    readline = partial(file.readline, longest + 1)
    finished = True
    while finished:
        lines: list[bytes] = []
        passed = 0
        if inside:
            piece = file.readline(size)
            passed, inside = len(piece), not piece.endswith(b"\n")
        else:
            left = size
            for line in iter(readline, b""):
                lines.append(line)
                left -= len(line)
                if left <= 0 or line[-1] != _NEWLINE:
                    break
            finished = not lines or lines[-1].endswith(b"\n")  # if not, what is appended meanwhile belongs to it
            if not finished and len(lines[-1]) > longest:
                finished = inside = True
                passed = len(lines.pop())
        if not lines and not passed:
            return
        yield Block(lines, passed, inside)
