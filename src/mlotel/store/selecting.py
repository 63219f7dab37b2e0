"""What of a condition the index can tell, as SQL: what it may hold for, nothing of that left out.

Whoever selects so looks at the runs and artifacts themselves afterwards: the index has numbers for names, places and
digests, and different ones may have the same number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from mlotel import uris
from mlotel.store.conditions import Condition
from mlotel.store.index import NOT_OK, Index
from mlotel.store.rows import OUTPUT, STATES, digest_range, flags_of, uri_number

__all__ = [
    "Selection",
    "component_names",
    "is_selected",
    "latest_names",
    "select",
    "select_artifacts",
    "states_of_components",
]

_SIDES = {"artifact": "", "input": f" AND (flags & {OUTPUT}) = 0", "output": f" AND (flags & {OUTPUT}) = {OUTPUT}"}
# From one component to the next by the index: there are few of them among a million runs.
_COMPONENTS = """
WITH RECURSIVE known(id) AS (
    SELECT (SELECT min(component) FROM run WHERE component IS NOT NULL)
    UNION ALL
    SELECT (SELECT min(component) FROM run WHERE component > known.id) FROM known WHERE known.id IS NOT NULL
)
SELECT name.text, name.id FROM known JOIN name ON name.id = known.id
"""


class Selection(NamedTuple):
    """A condition of SQL on the table of runs, or of I/O, with its parameters."""

    sql: str
    parameters: tuple[Any, ...] = ()


_NOTHING = Selection("FALSE")
# So many reads and writes of one artifact are not gathered before the latest runs are looked for.
_FREQUENT = 5000


def is_selected(condition: Condition) -> bool:
    """Whether the index can tell which runs a condition holds for."""
    return condition.key in ("component", "state", "time") or (condition.needs_artifacts and condition.op == "=")


def select(
    index: Index,
    *,
    component: str | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
    where: Sequence[Condition] = (),
) -> Selection:
    """What selects the runs of a component, of a time, and for which all of `where` may hold."""
    parts = [_of_condition(index, condition) for condition in where if is_selected(condition)]
    if component is not None:
        name = index.name_id(component)
        parts.append(_NOTHING if name is None else Selection("component = ?", (name,)))
    if since_ns is not None:
        parts.append(Selection("start >= ?", (since_ns,)))
    if until_ns is not None:
        parts.append(Selection("start <= ?", (until_ns,)))
    return _all_of(parts)


def select_artifacts(
    index: Index,
    *,
    digest: str | None = None,
    name: str | None = None,
    uri: str | None = None,
    direction: str | None = None,
) -> Selection:
    """What selects the reads and writes for which all that is given may hold; a digest may be the beginning of one."""
    parts = []
    if digest is not None:
        parts.append(Selection("digest BETWEEN ? AND ?", digest_range(digest)))
    # A unary plus keeps SQLite from taking the index of a condition that selects less than another one does.
    if uri is not None:
        parts.append(Selection("+uri = ?" if parts else "uri = ?", (uri_number(uri),)))
    if name is not None:
        number = index.name_id(name)
        parts.append(_NOTHING if number is None else Selection("+name = ?" if parts else "name = ?", (number,)))
    if direction is not None:
        parts.append(Selection("flags IN (?, ?)", flags_of(direction)))
    return _all_of(parts)


def component_names(index: Index) -> dict[str, int]:
    """The components that have runs, with the numbers of their names."""
    return dict(index.rows(_COMPONENTS))


def latest_names(index: Index, limit: int) -> list[str]:
    """Names of what was read and written lately, of the latest `limit` reads and writes, each once."""
    latest = f"SELECT name FROM io ORDER BY id DESC LIMIT {int(limit)}"
    return [text for (text,) in index.rows(f"SELECT text FROM name WHERE id IN ({latest}) ORDER BY text")]


def states_of_components(index: Index, chosen: Selection) -> list[tuple[str, str, int]]:
    """How many of the chosen runs there are: a component's name, a state (``open`` where they did not end), a count."""
    counted = "SELECT component, count(*) FROM run WHERE component IS NOT NULL AND"
    runs = dict(index.rows(f"{counted} {chosen.sql} GROUP BY component", chosen.parameters))
    found: list[tuple[int, int, int]] = []
    for state in range(len(STATES)):
        if STATES[state] != "ok":
            sql = f"{counted} {NOT_OK} AND state = {state} AND {chosen.sql} GROUP BY component"
            found += ((component, state, count) for component, count in index.rows(sql, chosen.parameters))
    for component, _, count in found:
        runs[component] -= count
    found += ((component, STATES.index("ok"), count) for component, count in runs.items() if count)
    names = {number: name for name, number in component_names(index).items()}
    return [(names[component], STATES[state], count) for component, state, count in found]


def _all_of(parts: Sequence[Selection]) -> Selection:
    sql = " AND ".join(["TRUE", *(part.sql for part in parts)])
    return Selection(sql, tuple(parameter for part in parts for parameter in part.parameters))


def _of_condition(index: Index, condition: Condition) -> Selection:
    if condition.key == "component":
        if condition.op == "=":
            number = index.name_id(str(condition.value))
            return _NOTHING if number is None else Selection("component = ?", (number,))
        known = component_names(index)
        meant = [number for name, number in known.items() if condition.meets((name,))]
        # A unary plus keeps SQLite from gathering the runs of many components only to sort them by time.
        return _among("+component" if 4 * len(meant) > len(known) else "component", meant)
    if condition.key == "state":
        shown = [("running", "lost") if state == "open" else (state,) for state in STATES]
        meant = [n for n, states in enumerate(shown) if any(condition.meets((state,)) for state in states)]
        some = _among("state", meant)
        return some if STATES.index("ok") in meant else Selection(f"{NOT_OK} AND {some.sql}")
    if condition.key == "time":
        if condition.op == "exists":
            return Selection("TRUE" if condition.value else "FALSE")
        return Selection(f"start {condition.op} ?", (condition.value,))
    return _of_artifact(index, str(condition.value), _SIDES[condition.key])


def _among(column: str, numbers: Sequence[int]) -> Selection:
    return Selection(f"{column} IN ({', '.join(map(str, numbers))})") if numbers else _NOTHING


def _of_artifact(index: Index, text: str, side: str) -> Selection:
    """The runs that read or wrote what is called so: by its name, its place or its digest."""
    searches = [Selection("digest BETWEEN ? AND ?", digest_range(text))]
    searches += [Selection("uri = ?", (uri_number(each),)) for each in dict.fromkeys((text, uris.clean(text)))]
    name = index.name_id(text)
    if name is not None:
        searches.append(Selection("name = ?", (name,)))
    parameters = tuple(parameter for each in searches for parameter in each.parameters)
    found = " UNION ALL ".join(f"SELECT run FROM io WHERE {each.sql} AND entry = 0{side}" for each in searches)
    counted = index.rows(f"SELECT count(*) FROM ({found} LIMIT {_FREQUENT})", parameters)
    if counted[0][0] < _FREQUENT:
        return Selection(f"id IN ({found})", parameters)
    # What many runs read or wrote is soon met on the way back in time.
    any_of = " OR ".join(each.sql for each in searches)
    its = "SELECT 1 FROM io INDEXED BY io_by_run WHERE io.run = run.id"
    return Selection(f"EXISTS ({its} AND ({any_of}) AND entry = 0{side})", parameters)
