"""What the API answers about runs and their lineage: the documents that the command line prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlotel._version import __version__
from mlotel.documents import component_document, lineage_document, run_document
from mlotel.errors import QueryError, RunNotFoundError, nearest
from mlotel.lineage import around, component_names, downstream, resolve, resolve_run, sub_workflows, upstream
from mlotel.lineage import components as all_components
from mlotel.store.conditions import Condition
from mlotel.ui.paging import RunQuery, run_page
from mlotel.ui.reading import Answering, Reading

__all__ = ["DIRECTIONS", "about", "components", "history", "lineage", "run", "runs"]

Values = Mapping[str, Any]

DIRECTIONS = ("upstream", "downstream", "both")
_WALKS = {"upstream": upstream, "downstream": downstream, "both": around}


def about(reading: Reading, _: Answering, __: Values) -> object:
    """Return what is being read."""
    return {
        "version": __version__,
        "store": reading.name,
        "unread_lines": reading.unread(),
        "jaeger_ui": reading.jaeger_ui,
    }


def runs(_: Reading, answering: Answering, values: Values) -> object:
    """Return a page of runs, latest start first."""
    since_ns, until_ns = _range(values)
    where: tuple[Condition, ...] = values["where"]
    if values["state"] is not None:
        where = (*where, Condition("state", "=", values["state"]))
    query = RunQuery(values["component"], since_ns, until_ns, where, values["text"])
    return _page(answering, query, values)


def history(_: Reading, answering: Answering, values: Values) -> object:
    """Return a page of the runs of one component, latest start first."""
    since_ns, until_ns = _range(values)
    component = values["component"]
    page = _page(answering, RunQuery(component, since_ns, until_ns), values)
    if not page["runs"] and not answering.store.runs(component=component, limit=1):
        known = component_names(answering.store)
        raise RunNotFoundError(f"no runs of component {component!r}{nearest(component, known)}")
    return page


def components(_: Reading, answering: Answering, values: Values) -> object:
    """Return the components that ran, the one with the latest run first."""
    since_ns, until_ns = _range(values)
    found = all_components(
        answering.store, owner=values["owner"], tag=values["tag"], since_ns=since_ns, until_ns=until_ns
    )
    return [component_document(each) for each in found]


def run(_: Reading, answering: Answering, values: Values) -> object:
    """Return one run in full."""
    return run_document(resolve_run(answering.store, values["run"]))


def lineage(_: Reading, answering: Answering, values: Values) -> object:
    """Return what something was made from, what it touched, or both."""
    since_ns, until_ns = _range(values)
    root = resolve(answering.store, values["what"])
    walk = _WALKS[values["direction"]]
    found = walk(answering.store, root, depth=values["depth"], since_ns=since_ns, until_ns=until_ns)
    started = sub_workflows(answering.store, found.runs).values()
    return lineage_document(found, (each for workflows in started for each in workflows))


def _page(answering: Answering, query: RunQuery, values: Values) -> dict[str, Any]:
    page = run_page(answering.store, query, limit=values["limit"], cursor=values["cursor"])
    return {
        "runs": [run_document(each) for each in page.runs],
        "next": None if page.next is None else str(page.next),
    }


def _range(values: Values) -> tuple[int | None, int | None]:
    since_ns, until_ns = values["since"], values["until"]
    if since_ns is not None and until_ns is not None and since_ns > until_ns:
        raise QueryError("since is later than until: nothing lies between them")
    return since_ns, until_ns
