"""The fingerprint of a scikit-learn estimator: its class, parameters and all that fitting left in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlotel.hashing._algorithms import new_hasher, written
from mlotel.hashing._registry import FingerprintFunction
from mlotel.hashing._values import UnstableValueError, ValueHasher
from mlotel.model import Fingerprint

__all__ = ["fingerprint_estimator"]


def fingerprint_estimator(
    estimator: Any, *, algorithm: str, find: Callable[[type], FingerprintFunction | None]
) -> Fingerprint:
    """Return an estimator's fingerprint: the same for the same parameters and fitted values, in any process.

    The version of scikit-learn does not count; every parameter does, also one that does not change what is predicted.

    Args:
        estimator: the estimator, nested ones included.
        algorithm: ``blake3`` or ``sha256``.
        find: returns the registered fingerprint function for a class, or None.
    """
    hasher = ValueHasher(new_hasher(algorithm), algorithm, find)
    try:
        digest = hasher.digest(estimator, "")
    except UnstableValueError as error:
        return Fingerprint(scope="logical", type="model", note=f"no digest: {error}")
    except RecursionError:
        return Fingerprint(scope="logical", type="model", note="no digest: the model is nested too deeply")
    return Fingerprint(digest=written(algorithm, digest), scope="logical", type="model")
