"""Reading what has not been read of a store's files into an index, file by file."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable

from msgspec import Struct

from mlotel.store.index import Index
from mlotel.store.ingest import Ingest
from mlotel.store.segments import Segments

__all__ = ["Unread", "fill"]


class Unread(Struct, frozen=True, gc=False):
    """What of a file has not been read: its bytes from `offset` on, to `size` at least.

    `inside` says whether it begins within a line that is too long, and passed over.
    """

    name: str
    inode: int
    offset: int
    size: int
    inside: bool


def fill(index: Index, segments: Segments, unread: Iterable[Unread], max_bytes: int | None = None) -> bool:
    """Read what is unread into `index`, within the caller's transaction, whose indices the caller then makes.

    Returns whether that was all: reading stops after about `max_bytes`, where they are given.
    """
    ingest: Ingest | None = None
    left = sys.maxsize if max_bytes is None else max_bytes
    for file in unread:
        if left <= 0:
            break
        ingest = ingest or Ingest(index)
        number = index.save_segment(file.name, file.inode, file.offset, inside=file.inside)
        before = ingest.skipped
        end, inside = _read_file(file, number, left, segments, ingest)
        index.save_segment(file.name, file.inode, end, ingest.skipped - before, inside=inside)
        left -= end - file.offset
    if ingest is not None:
        ingest.flush()
    return left > 0


def _read_file(file: Unread, number: int, left: int, segments: Segments, ingest: Ingest) -> tuple[int, bool]:
    """Read the complete lines in about `left` bytes.

    Returns where the first unread one begins, or how far one was passed over that is too long, and whether it was.
    """
    offset, inside = file.offset, file.inside
    enough = offset + left
    # A file that cannot be read (removed this moment, say) is tried again at the next question.
    with contextlib.suppress(OSError):
        for lines, passed, within in segments.blocks(file.name, offset, left, inside=inside):
            # A JSON object cannot be cut so that it still is one: a whole one needs no newline.
            if lines and not lines[-1].endswith(b"\n") and not ingest.complete(lines[-1]):
                lines.pop()
            for line in lines:
                content = line.rstrip(b"\n")
                ingest.line(content, (number, offset, len(content)))
                offset += len(line)
            offset += passed
            ingest.skipped += within and not inside
            inside = within
            if offset >= enough:
                break
    return offset, inside
