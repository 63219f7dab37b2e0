"""What runs are found by: the keys of conditions, their operators, and the values that a run has for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mlotel.errors import QueryError
from mlotel.model import Artifact, Run
from mlotel.semconv import attributes as A
from mlotel.store import comparing

__all__ = ["Key", "key_named"]

_TEXT_OPS = ("=", "!=", "~", "exists")
_NUMBER_OPS = ("=", "!=", "<", "<=", ">", ">=", "exists")
_ORDER_OPS = ("<", "<=", ">", ">=", "exists")
_ALL_OPS = ("=", "!=", "<", "<=", ">", ">=", "~", "exists")


@dataclass(frozen=True, slots=True)
class Key:
    """How a key is asked about: by which operators, and what a run has for it.

    `kind` is ``text``, ``scalar``, ``number``, ``time`` or ``artifact``. `attribute` is that of the run's span, or of
    its resource, which holds the value, None if there is none.
    """

    ops: tuple[str, ...]
    kind: str
    attribute: str | None
    values: Callable[[Run], Iterable[object]]


def _one(value: object) -> Iterable[object]:
    return () if value is None else (value,)


def _error(run: Run, part: str) -> Iterable[object]:
    return _one((run.error or {}).get(part))


def _artifacts(run: Run) -> tuple[Artifact, ...]:
    return (*run.inputs, *run.outputs)


_KEYS = {
    "component": Key(_TEXT_OPS, "text", A.MLOTEL_COMPONENT_NAME, lambda run: _one(run.component)),
    "pipeline": Key(_TEXT_OPS, "text", A.CICD_PIPELINE_NAME, lambda run: _one(run.pipeline)),
    "version": Key(_TEXT_OPS, "text", A.MLOTEL_COMPONENT_VERSION, lambda run: _one(run.version)),
    "service": Key(_TEXT_OPS, "text", A.SERVICE_NAME, lambda run: _one(run.service)),
    "state": Key(_TEXT_OPS, "text", A.MLOTEL_RUN_STATE, lambda run: (run.state,)),
    "error.type": Key(_TEXT_OPS, "text", A.ERROR_TYPE, lambda run: _error(run, "type")),
    "error.message": Key(_TEXT_OPS, "text", None, lambda run: _error(run, "message")),
    "time": Key(_ORDER_OPS, "time", None, lambda run: (run.start_ns,)),
    "duration": Key(_ORDER_OPS, "number", None, lambda run: _one(run.duration_s)),
    "artifact": Key(_TEXT_OPS, "artifact", None, _artifacts),
    "input": Key(_TEXT_OPS, "artifact", None, lambda run: run.inputs),
    "output": Key(_TEXT_OPS, "artifact", None, lambda run: run.outputs),
}
# Of each of these there are as many keys as users made up: param.depth, tag.team.
_FAMILIES = ("param", "metric", "tag", "attribute")


def key_named(name: str) -> Key:
    """Return the key of a name; QueryError, which says the nearest, if there is none."""
    known = _KEYS.get(name)
    if known is not None:
        return known
    family, _, rest = name.partition(".")
    if rest and family == "param":
        return Key(_ALL_OPS, "scalar", f"{A.MLOTEL_PARAM}.{rest}", lambda run: _one(run.params.get(rest)))
    if rest and family == "metric":
        return Key(_NUMBER_OPS, "number", f"{A.MLOTEL_METRIC}.{rest}", lambda run: _one(run.metrics.get(rest)))
    if rest and family == "tag":
        return Key(_ALL_OPS, "scalar", f"{A.MLOTEL_TAG}.{rest}", lambda run: _one(run.tags.get(rest)))
    if rest and family == "attribute":
        return Key(_ALL_OPS, "scalar", rest, lambda run: comparing.elements(run.attributes.get(rest)))
    raise QueryError(f"{name!r} is nothing that runs are found by: {_fix(name)}")


def _fix(name: str) -> str:
    from difflib import get_close_matches

    family, _, rest = name.partition(".")
    if family in _FAMILIES:
        return f"say which one, as in {family}.NAME"
    near = [f"{each}.{rest or 'NAME'}" for each in get_close_matches(family.lower(), _FAMILIES)]
    near += get_close_matches(name.lower(), _KEYS)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there are {', '.join([*_KEYS, *(f'{each}.NAME' for each in _FAMILIES)])}"
