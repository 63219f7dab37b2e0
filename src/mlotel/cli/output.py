"""Where answers and complaints go: a console that takes data literally, and JSON."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mlotel.cli.text import REORDERING, clean

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["complain", "make_console", "plain_errors", "print_json", "print_json_lines", "print_trimmed"]

_PIPE_WIDTH = 1000
_LONGEST_COMPLAINT = 2000
_PLAIN = str.maketrans(
    {"×": "x", "·": "-", "–": "-", "−": "-", "…": "...", "→": "->", "↑": "^", "↓": "v", "▸": ">", "∞": "inf", "µ": "u"}
)
_RAW_CONTROL = re.compile(f"[\x7f-\x9f\u2028\u2029{REORDERING}]")


def make_console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Return a console on which markup in the data stays text.

    Its width is the terminal's (or COLUMNS); where there is no terminal, lines are not cut.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    if width is None and not stream.isatty() and not os.environ.get("COLUMNS"):
        width = _PIPE_WIDTH
    return Console(file=stream, markup=False, highlight=False, emoji=False, width=width)


def print_trimmed(console: Console, renderable: RenderableType) -> None:
    """Print a table or a tree without the blanks that fill its lines up."""
    from rich.segment import Segment, Segments

    trimmed: list[Segment] = []
    for line in console.render_lines(renderable, pad=False):
        while line and line[-1].text.isspace():
            line.pop()
        if line:
            line[-1] = line[-1]._replace(text=line[-1].text.rstrip())
        trimmed += [*line, Segment.line()]
    console.print(Segments(trimmed), end="")


def print_json(document: object) -> None:
    """Write a JSON document, indented, as one UTF-8 text without raw control characters."""
    sys.stdout.write(_printable(msgspec.json.format(msgspec.json.encode(document))) + "\n")
    sys.stdout.flush()


def print_json_lines(documents: Iterable[object]) -> None:
    """Write JSON documents as lines, one each, without raw control characters."""
    for document in documents:
        sys.stdout.write(_printable(msgspec.json.encode(document)) + "\n")
    sys.stdout.flush()


def _printable(text: bytes) -> str:
    # JSON allows DEL, the C1 controls and marks that reorder text in strings; terminals may obey them
    return _RAW_CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text.decode())


def plain_errors() -> str:
    """Return the name of what becomes of characters that a stream's encoding lacks: plain signs, or else escapes."""

    def plain(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        lacking = error.object[error.start : error.end].translate(_PLAIN)
        return lacking.encode("ascii", "backslashreplace").decode(), error.end

    codecs.register_error("mlotel.plain", plain)
    return "mlotel.plain"


def complain(message: str) -> None:
    """Write one line to standard error; of a very long one (what was asked may be any text) the middle is left out."""
    line = clean(message)
    if len(line) > _LONGEST_COMPLAINT:
        half = _LONGEST_COMPLAINT // 2
        line = f"{line[:half]} … {line[-half:]}"
    if sys.stderr is not None:  # closed by who started the process
        sys.stderr.write(f"mlotel: {line}\n")
