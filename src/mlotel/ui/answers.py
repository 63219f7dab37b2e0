"""What the API answers about runs and their lineage: the documents that the command line prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlotel._version import __version__
from mlotel.annotation_documents import annotation_document
from mlotel.documents import component_document, lineage_document, record_document, run_document
from mlotel.errors import QueryError, RunNotFoundError, unknown_component
from mlotel.inspection import staleness, staleness_of_all
from mlotel.lineage import (
    RECORD,
    around,
    component_names,
    downstream,
    resolve,
    resolve_record,
    resolve_run,
    sub_workflows,
    upstream,
)
from mlotel.lineage import components as all_components
from mlotel.model import Run
from mlotel.standing import said_of
from mlotel.store import Store
from mlotel.store.conditions import Condition
from mlotel.ui.paging import RunQuery, run_page
from mlotel.ui.problems import TooManyNodesError
from mlotel.ui.reading import Answering, Reading

__all__ = ["DIRECTIONS", "about", "components", "history", "lineage", "run", "run_of_span", "runs", "time_range"]

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
    since_ns, until_ns = time_range(values)
    where: tuple[Condition, ...] = values["where"]
    if values["state"] is not None:
        where = (*where, Condition("state", "=", values["state"]))
    query = RunQuery(values["component"], since_ns, until_ns, where, values["text"])
    return _page(answering, query, values)


def history(_: Reading, answering: Answering, values: Values) -> object:
    """Return a page of the runs of one component, latest start first."""
    since_ns, until_ns = time_range(values)
    component = values["component"]
    page = _page(answering, RunQuery(component, since_ns, until_ns), values)
    if not page["runs"] and not answering.store.runs(component=component, limit=1):
        known = component_names(answering.store)
        raise RunNotFoundError(unknown_component(component, known))
    return page


def components(_: Reading, answering: Answering, values: Values) -> object:
    """Return the components that ran, the one with the latest run first."""
    since_ns, until_ns = time_range(values)
    found = all_components(
        answering.store, owner=values["owner"], tag=values["tag"], since_ns=since_ns, until_ns=until_ns
    )
    return [component_document(each) for each in found]


def run(_: Reading, answering: Answering, values: Values) -> object:
    """Return one run in full, with what was said of it."""
    reference = values["run"]
    if reference.startswith(RECORD):
        record = resolve_record(answering.store, reference)
        return {"record": record_document(record), **_in_full(answering.store, record.run)}
    return _in_full(answering.store, resolve_run(answering.store, reference))


def run_of_span(_: Reading, answering: Answering, values: Values) -> object:
    """Return the run that a span belongs to: its own span, or that of something it read or wrote."""
    found = answering.store.run_of_span(values["trace_id"], values["span_id"])
    if found is None:
        raise RunNotFoundError(f"no run has the span {values['span_id']!r} of the trace {values['trace_id']!r}")
    return _in_full(answering.store, found)


def lineage(_: Reading, answering: Answering, values: Values) -> object:
    """Return what something was made from, what it touched, or both."""
    since_ns, until_ns = time_range(values)
    what, store = values["what"], answering.store
    record = None
    if what.startswith(RECORD):
        record = resolve_record(store, what, since_ns=since_ns, until_ns=until_ns)
        since_ns = until_ns = None  # they said which prediction: what lies behind it may be older
    root = resolve(store, what) if record is None else record.run
    walk = _WALKS[values["direction"]]
    with answering.searching(since_ns):
        found = walk(store, root, depth=values["depth"], since_ns=since_ns, until_ns=until_ns)
    nodes, most = len(found.runs) + len(found.artifacts), values["most"]
    if most is not None and nodes > most:
        raise TooManyNodesError(
            f"{len(found.runs):,} runs and {len(found.artifacts):,} artifacts are more than {most:,} nodes: ask for "
            "one way, for fewer runs deep, or for a shorter time"
        )
    started = sub_workflows(store, found.runs).values()
    stale = staleness_of_all(store, found.runs)
    document = lineage_document(found, (each for workflows in started for each in workflows), stale)
    return document if record is None else {"record": record_document(record), **document}


def time_range(values: Values) -> tuple[int | None, int | None]:
    """Return the parameters `since` and `until`.

    Raises:
        QueryError: nothing lies between them.
    """
    since_ns, until_ns = values["since"], values["until"]
    if since_ns is not None and until_ns is not None and since_ns > until_ns:
        raise QueryError("since is later than until: nothing lies between them")
    return since_ns, until_ns


def _in_full(store: Store, found: Run) -> dict[str, Any]:
    document = run_document(found, staleness(store, found))
    document["annotations"] = [annotation_document(each) for each in said_of(store, found)]
    return document


def _page(answering: Answering, query: RunQuery, values: Values) -> dict[str, Any]:
    page = run_page(answering.store, query, limit=values["limit"], cursor=values["cursor"])
    return {
        "runs": [run_document(each) for each in page.runs],
        "next": None if page.next is None else str(page.next),
    }
