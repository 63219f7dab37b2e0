"""One data point: the prediction that was logged with a key, and the run that made it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from mlotel.errors import RunNotFoundError
from mlotel.model import Prediction, Run
from mlotel.store import Store
from mlotel.store.predictions.keys import SECRET_VARIABLE, secret_of

__all__ = ["RECORD", "Record", "resolve_record"]

RECORD = "record:"
"""What stands before a key in a reference."""


@dataclass(frozen=True, slots=True)
class Record:
    """The latest prediction for the record of a key, the run that made it, and how many predictions there are."""

    key: str
    prediction: Prediction
    run: Run
    count: int


def resolve_record(
    store: Store,
    key: str,
    *,
    secret: bytes | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Record:
    """Return the latest prediction that was logged with a key.

    Args:
        store: where to look.
        key: the key as it was logged; ``record:`` may stand before it, and must before a key that begins so itself.
        secret: what keys were hashed with; by default what `MLOTEL_RECORD_KEY_SECRET` says.
        since_ns: only predictions made at or after this time, nanoseconds since the epoch.
        until_ns: only predictions made at or before this time.
        environment: the environment's variables.

    Raises:
        RunNotFoundError: there is none, or the run that made it is not in the store.
    """
    key = key.removeprefix(RECORD)
    secret = secret or secret_of(environment)
    found = store.predictions(key, secret=secret, since_ns=since_ns, until_ns=until_ns)
    if not found:
        within = "" if since_ns is None and until_ns is None else " in that time"
        hint = "" if secret else f"; if keys are hashed with a secret, set {SECRET_VARIABLE}"
        raise RunNotFoundError(
            f"no prediction for the record {key!r}{within}: log_predictions keeps those that are given keys=…, and if "
            f"a run has more than a few, in its embedded store alone{hint}"
        )
    latest = found[0]
    run = store.run_of_span(latest.trace_id, latest.span_id)
    if run is None:
        raise RunNotFoundError(
            f"the prediction for the record {key!r} was made by a run that is not in this store (trace "
            f"{latest.trace_id}, span {latest.span_id}): look where its spans go, with --jaeger or another --store"
        )
    return Record(key, latest, run, len(found))
