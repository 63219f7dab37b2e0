"""The exceptions mlotel raises where a user configures it or asks it something.

A running pipeline never sees one of these, the last one apart: there mlotel logs a warning instead.

* MlotelError
  x ConfigurationError (ValueError)
    + InvalidNameError
  x QueryError (ValueError)
  x ArtifactError (ValueError)
    + InvalidReferenceError
  x MissingExtraError (ImportError)
  x DeliveryError
  x StoreError
    + StoreNotFoundError
    + RunNotFoundError (LookupError)
    + AmbiguousReferenceError (LookupError)

One is raised in a running pipeline, and only where a component asks for it with ``on_retracted="block"``:

* MlotelError
  x RetractedError
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "AmbiguousReferenceError",
    "ArtifactError",
    "ConfigurationError",
    "DeliveryError",
    "InvalidNameError",
    "InvalidReferenceError",
    "MissingExtraError",
    "MlotelError",
    "QueryError",
    "RetractedError",
    "RunNotFoundError",
    "StoreError",
    "StoreNotFoundError",
    "nearest",
    "unknown_component",
]


class MlotelError(Exception):
    """Base of every exception that mlotel raises on purpose."""


class ConfigurationError(MlotelError, ValueError):
    """A setting (argument or environment variable) has a value mlotel cannot use."""


class InvalidNameError(ConfigurationError):
    """A component's or artifact's name is not 1 to 255 characters of text without control characters."""


class QueryError(MlotelError, ValueError):
    """A question is not one that can be answered: an unknown key, no time, no number."""


class ArtifactError(MlotelError, ValueError):
    """An artifact cannot be read or understood; the message says which and why."""


class InvalidReferenceError(ArtifactError):
    """A reference for drift is not one: of an unknown version, changed since it was written, or of another model."""


class MissingExtraError(MlotelError, ImportError):
    """An optional package is needed; the message ends in the exact install command."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'mlotel[{extra}]'")
        self.package = package
        self.extra = extra


class DeliveryError(MlotelError):
    """A collector did not take what it was sent."""


class StoreError(MlotelError):
    """A store cannot be read or written."""


class StoreNotFoundError(StoreError):
    """There is no store at the place asked for."""


class RunNotFoundError(StoreError, LookupError):
    """No run or artifact answers to the reference asked for."""


class AmbiguousReferenceError(StoreError, LookupError):
    """A prefix stands for more than one run or artifact; `candidates` lists them."""

    def __init__(self, message: str, candidates: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.candidates = candidates


class RetractedError(MlotelError):
    """An input bears a label that was retracted, and the deadline has passed; the component asked to be stopped.

    `artifact` is the input's name, `label` the label, and `deadline_ns` when its time was up (nanoseconds since the
    epoch).
    """

    def __init__(self, message: str, *, artifact: str, label: str, deadline_ns: int | None) -> None:
        super().__init__(message)
        self.artifact = artifact
        self.label = label
        self.deadline_ns = deadline_ns


def nearest(name: str, known: Sequence[str], *, cutoff: float = 0.6) -> str:
    """Return the known names that `name` may be a slip of, as the end of a sentence, or nothing.

    Args:
        name: what was asked for.
        known: what there is.
        cutoff: how much alike they must be at least, from 0 to 1, as `difflib` measures it.
    """
    from difflib import get_close_matches

    close = get_close_matches(name[:255], known, n=3, cutoff=cutoff)
    return f": did you mean {' or '.join(repr(each) for each in close)}?" if close else ""


def unknown_component(name: str, known: Sequence[str]) -> str:
    """Return the sentence that there are no runs of this component, with the names it may be a slip of.

    Args:
        name: what was asked for.
        known: the components that there are.
    """
    return f"no runs of component {name!r}{nearest(name, known) or ': `mlotel components` lists those that ran'}"
