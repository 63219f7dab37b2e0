"""What ran: the components of a store, and the tags that they and their runs carry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mlotel.model import Run
from mlotel.semconv import attributes as A
from mlotel.store import Store

__all__ = ["ComponentSummary", "RunTag", "component_names", "component_tags", "components", "run_tags"]

# How many runs of a component are looked at, and how many of all components at most (one of each, if they are more).
_LATEST, _LATEST_OF_ALL = 20, 2000
_NAMES_FROM = 1000


@runtime_checkable
class _CountsComponents(Protocol):
    """A store that knows its components without reading their runs."""

    def component_names(self) -> Sequence[str]: ...

    def component_states(
        self, *, since_ns: int | None = None, until_ns: int | None = None
    ) -> Mapping[str, Mapping[str, int]]: ...


@dataclass(frozen=True, slots=True)
class ComponentSummary:
    """A component and its runs.

    `states` counts its runs by state. `latest` is its latest run, which says its `owner`, `tags` and `description`.
    `median_duration_s` is that of its latest runs, 20 or less, in seconds; None where none of them has ended.
    """

    name: str
    states: Mapping[str, int]
    latest: Run
    median_duration_s: float | None = None

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return sum(self.states.values())

    @property
    def owner(self) -> str | None:
        """Who answers for it."""
        return _text(self.latest.attributes.get(A.MLOTEL_COMPONENT_OWNER))

    @property
    def description(self) -> str | None:
        """What it is for."""
        return _text(self.latest.attributes.get(A.MLOTEL_COMPONENT_DESCRIPTION))

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that it was registered with."""
        said = self.latest.attributes.get(A.MLOTEL_COMPONENT_TAGS, ())
        return tuple(map(str, said)) if isinstance(said, list | tuple) else (str(said),)


@dataclass(frozen=True, slots=True)
class RunTag:
    """A tag of runs with one of its values: how many runs carry it, and of which components."""

    key: str
    value: str
    runs: int
    components: tuple[str, ...]


def components(
    store: Store,
    *,
    owner: str | None = None,
    tag: str | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
) -> tuple[ComponentSummary, ...]:
    """Return the components that ran, the one with the latest run first.

    The embedded store counts in its index and reads the latest runs of each component; of any other store all runs of
    the time are read.

    Args:
        store: where the runs are read.
        owner: components of this owner alone.
        tag: components with this tag alone.
        since_ns: runs that began at or after this time, nanoseconds since the epoch.
        until_ns: runs that began at or before this time.
    """
    if isinstance(store, _CountsComponents):
        counted = store.component_states(since_ns=since_ns, until_ns=until_ns)
        limit = max(1, min(_LATEST, _LATEST_OF_ALL // max(1, len(counted))))
        latest: Mapping[str, Sequence[Run]] = {
            name: store.runs(component=name, since_ns=since_ns, until_ns=until_ns, limit=limit) for name in counted
        }
    else:
        by_name: dict[str, list[Run]] = {}
        for run in store.runs(since_ns=since_ns, until_ns=until_ns):
            by_name.setdefault(run.component, []).append(run)
        counted = {name: Counter(run.state for run in runs) for name, runs in by_name.items()}
        latest = by_name
    found = [
        ComponentSummary(name, states, latest[name][0], _median(latest[name][:_LATEST]))
        for name, states in counted.items()
        if latest[name]
    ]
    chosen = (each for each in found if owner in (None, each.owner) and (tag is None or tag in each.tags))
    return tuple(sorted(chosen, key=lambda each: (-each.latest.start_ns, each.name)))


def component_names(store: Store) -> Sequence[str]:
    """Return the names of the components that ran, in order; of a store without an index those of its latest runs."""
    if isinstance(store, _CountsComponents):
        return store.component_names()
    return sorted({run.component for run in store.runs(limit=_NAMES_FROM)})


def component_tags(found: Iterable[ComponentSummary]) -> dict[str, tuple[str, ...]]:
    """Return the tags of components, in order, each with the names of those that carry it."""
    carriers: dict[str, list[str]] = {}
    for each in found:
        for tag in dict.fromkeys(each.tags):
            carriers.setdefault(tag, []).append(each.name)
    return {tag: tuple(sorted(carriers[tag])) for tag in sorted(carriers)}


def run_tags(runs: Iterable[Run]) -> tuple[RunTag, ...]:
    """Return the tags of runs, in order, each with each of its values."""
    carriers: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for tag in run.tags.items():
            carriers.setdefault(tag, []).append(run.component)
    return tuple(RunTag(*tag, len(carriers[tag]), tuple(sorted(set(carriers[tag])))) for tag in sorted(carriers))


def _median(runs: Sequence[Run]) -> float | None:
    from statistics import median  # it loads decimal and random, which most commands do without

    durations = [run.duration_s for run in runs if run.duration_s is not None]
    return median(durations) if durations else None


def _text(value: object) -> str | None:
    return None if value is None else str(value)
