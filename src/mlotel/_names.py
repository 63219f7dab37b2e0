"""What a component or artifact may be called."""

from __future__ import annotations

from functools import lru_cache

from mlotel.errors import InvalidNameError

__all__ = ["check_name", "clean_name"]

_LONGEST = 255


def check_name(name: object, what: str) -> str:
    """Return `name` if it can name a component or artifact, else raise InvalidNameError."""
    if not isinstance(name, str):
        raise InvalidNameError(f"{what} must be text, not {type(name).__name__}: give a name such as 'train'")
    fault = _fault(name)
    if fault is not None:
        raise InvalidNameError(f"{what} {fault}")
    return name


@lru_cache(maxsize=1024)  # the same few names come again with each run
def _fault(name: str) -> str | None:
    if not 1 <= len(name) <= _LONGEST:
        return f"must have 1 to 255 characters, this one has {len(name)}"
    if not (name.isascii() and name.isprintable()) and not all(map(_is_allowed, name)):
        return f"{name!r} holds a control character or half a surrogate pair: remove it"
    return None


def clean_name(file: str) -> str:
    """Return a file's name as an artifact's: what a name may not hold is replaced, not refused."""
    return "".join(c if _is_allowed(c) else "\ufffd" for c in file)[:_LONGEST] or "root"


def _is_allowed(character: str) -> bool:
    code = ord(character)
    return not (code < 32 or 127 <= code < 160 or 0xD800 <= code < 0xE000)
