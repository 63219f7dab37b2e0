"""The likeliest explanation of a difference between two runs, in words.

What seldom changes from one run to the next explains more than what changes each time. So the schema of an input comes
first, then parameters, the component's code, its packages, the content of inputs, where it ran, and last a commit that
left the component's own file as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from mlotel.inspection._pairs import Pair
from mlotel.model import Run
from mlotel.semconv import attributes as A

__all__ = ["Cause", "Verdict", "verdict"]

_SHOWN = 3
_PLACES = {
    "Python version": A.PROCESS_RUNTIME_VERSION,
    "architecture": A.HOST_ARCH,
    "environment": A.DEPLOYMENT_ENVIRONMENT_NAME,
    "region": A.CLOUD_REGION,
    "host": A.HOST_NAME,
}
# singular and plural
_INPUTS = {
    "content": ("{} differs", "{} differ"),
    "removed": ("{} is not read any more", "{} are not read any more"),
    "added": ("{} is read in addition", "{} are read in addition"),
}


class _Rank(IntEnum):
    SCHEMA = 0
    PARAMETERS = 1
    CODE = 2
    PACKAGES = 3
    INPUTS = 4
    PLACE = 5
    COMMIT = 6


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that makes a run what it is: whether it is the ``same`` in both, ``differs``, or is ``unknown``.

    `text` says what about it differs, or why it cannot be compared; it is empty where nothing was recorded. The lower
    the `rank` of what differs, the likelier an explanation it is.
    """

    name: str
    state: str
    text: str = ""
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What two runs have in common and what not: `text` is a sentence, `causes` begins with the likeliest one."""

    text: str
    causes: tuple[Cause, ...]


def verdict(before: Run, after: Run, inputs: Sequence[Pair]) -> Verdict:
    """Return what may explain that two runs, whose inputs are paired, came out differently."""
    causes = (
        _inputs(inputs),
        _code(before, after),
        _params(before, after),
        _packages(before, after),
        _place(before, after),
    )
    differing = sorted((each for each in causes if each.state == "differs"), key=lambda each: each.rank)
    rest = [each for state in ("unknown", "same") for each in causes if each.state == state]
    return Verdict(_sentence(before, after, differing, rest), (*differing, *rest))


def _sentence(before: Run, after: Run, differing: Sequence[Cause], rest: Sequence[Cause]) -> str:
    if before.run_id == after.run_id:
        return "both are the same run"
    parts = [] if before.component == after.component else ["these are runs of two components"]
    same = [each.name for each in rest if each.state == "same"]
    if same:
        parts.append(f"same {_listed(same, most=len(same))}")
    if len(differing) > 1:
        others = _listed([each.text for each in differing[1:]])
        parts += [f"{differing[0].text}, the likeliest explanation", f"also {others}"]
    elif differing:
        parts.append(differing[0].text)
    unknown = [each for each in rest if each.state == "unknown"]
    parts += [each.text for each in unknown if each.text]
    if unrecorded := [each.name for each in unknown if not each.text]:
        parts.append(f"not recorded: {_listed(unrecorded)}")
    if not differing:
        parts.append("nothing that was recorded explains a difference")
    return "; ".join(parts)


def _inputs(found: Sequence[Pair]) -> Cause:
    names = {kind: [repr(pair.name) for pair in found if pair.kind == kind] for kind in (*_INPUTS, "unknown")}
    told = [
        (many if len(names[kind]) > 1 else one).format(_named("input", names[kind]))
        for kind, (one, many) in _INPUTS.items()
        if names[kind]
    ]
    if told:
        schemas = [repr(pair.name) for pair in found if _schema_differs(pair)]
        if schemas:
            told.append(f"the schema of {_listed(schemas)} does too")
        return Cause("inputs", "differs", _listed(told), _Rank.SCHEMA if schemas else _Rank.INPUTS)
    if names["unknown"]:
        return Cause("inputs", "unknown", f"{_named('input', names['unknown'])} cannot be compared")
    return Cause("inputs", "same" if found else "unknown")


def _schema_differs(pair: Pair) -> bool:
    sides = [None if each is None else each.schema_digest for each in (pair.before, pair.after)]
    return None not in sides and sides[0] != sides[1]


def _params(before: Run, after: Run) -> Cause:
    one, other = before.params, after.params
    changed = [repr(key) for key in dict.fromkeys((*one, *other)) if not _equal(one, other, key)]
    if changed:
        text = f"{_named('parameter', changed)} {'differ' if len(changed) > 1 else 'differs'}"
        return Cause("parameters", "differs", text, _Rank.PARAMETERS)
    if _compared(before, after, A.MLOTEL_PARAMS_DIGEST) == "differs":
        return Cause("parameters", "differs", "parameters past the first 32 differ", _Rank.PARAMETERS)
    return Cause("parameters", "same" if one else "unknown")


def _code(before: Run, after: Run) -> Cause:
    own = _compared(before, after, A.MLOTEL_CODE_DIGEST)
    commit = _compared(before, after, A.VCS_REF_HEAD_REVISION)
    if own == "differs":
        return Cause("code", "differs", "the component's code differs", _Rank.CODE)
    if before.version != after.version:
        return Cause("code", "differs", "the component's version differs", _Rank.CODE)
    if commit == "differs" and own == "same":
        return Cause("code", "differs", "the commit differs, though not the component's own file", _Rank.COMMIT)
    if commit == "differs":
        return Cause("code", "differs", "the commit differs", _Rank.CODE)
    if commit == "same" and any(run.attributes.get(A.MLOTEL_VCS_DIRTY) for run in (before, after)):
        return Cause("code", "unknown", "uncommitted changes to the code may differ")
    return Cause("code", "same" if "same" in (commit, own) else "unknown")


def _packages(before: Run, after: Run) -> Cause:
    state = _compared(before, after, A.MLOTEL_ENVIRONMENT_DIGEST)
    return Cause("packages", state, "the installed packages differ" if state == "differs" else "", _Rank.PACKAGES)


def _place(before: Run, after: Run) -> Cause:
    states = {name: _compared(before, after, attribute) for name, attribute in _PLACES.items()}
    differing = [name for name, state in states.items() if state == "differs"]
    if differing:
        text = f"the {_listed(differing)} {'differ' if len(differing) > 1 else 'differs'}"
        return Cause("environment", "differs", text, _Rank.PLACE)
    return Cause("environment", "same" if "same" in states.values() else "unknown")


def _compared(before: Run, after: Run, attribute: str) -> str:
    one, other = before.attributes.get(attribute), after.attributes.get(attribute)
    if one is None or other is None:
        return "unknown"
    return "same" if one == other else "differs"


def _equal(one: Mapping[str, object], other: Mapping[str, object], key: str) -> bool:
    left, right = one.get(key), other.get(key)
    same_kind = isinstance(left, bool) is isinstance(right, bool)
    return same_kind and (left == right or (left != left and right != right))


def _named(noun: str, names: Sequence[str]) -> str:
    return f"{noun}{'s' if len(names) > 1 else ''} {_listed(names)}"


def _listed(names: Iterable[str], most: int = _SHOWN) -> str:
    """Return names as a sentence lists them, the first few of many."""
    known = list(names)
    shown = known if len(known) <= most + 1 else [*known[:most], f"{len(known) - most} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
