"""The exceptions mlotel raises where a user configures it or asks it something.

A running pipeline never sees one of these: there mlotel logs a warning instead.

* MlotelError
  x ConfigurationError (ValueError)
    + InvalidNameError
  x QueryError (ValueError)
  x ArtifactError (ValueError)
  x MissingExtraError (ImportError)
  x StoreError
    + StoreNotFoundError
    + RunNotFoundError (LookupError)
    + AmbiguousReferenceError (LookupError)
"""

from __future__ import annotations

__all__ = [
    "AmbiguousReferenceError",
    "ArtifactError",
    "ConfigurationError",
    "InvalidNameError",
    "MissingExtraError",
    "MlotelError",
    "QueryError",
    "RunNotFoundError",
    "StoreError",
    "StoreNotFoundError",
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


class MissingExtraError(MlotelError, ImportError):
    """An optional package is needed; the message ends in the exact install command."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'mlotel[{extra}]'")
        self.package = package
        self.extra = extra


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
