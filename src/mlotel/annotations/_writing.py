"""Saying something of a run, an artifact or a prediction: a log record, correlated with its span."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext

from mlotel import sdk
from mlotel._names import check_name
from mlotel._run import ActiveRun
from mlotel.annotations._targets import Target, targets_in
from mlotel.errors import ConfigurationError, StoreNotFoundError
from mlotel.model import Annotation
from mlotel.sdk import Lines
from mlotel.semconv import attributes as A
from mlotel.store import Store
from mlotel.store.files import FileStore
from mlotel.store.memory import MemoryStore

__all__ = ["AUTHOR_VARIABLE", "StoreOrPath", "Writing", "about", "writing"]

AUTHOR_VARIABLE = "MLOTEL_AUTHOR"
"""The environment variable that says who writes notes, flags and labels."""

StoreOrPath = Store | str | os.PathLike[str] | None


class _Takes(Protocol):
    """What a record is written to."""

    def record(
        self, name: str, *, time_ns: int, context: SpanContext, attributes: Mapping[str, Any], body: str | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Writing:
    """A store to look into, and what takes records about it."""

    store: Store
    _recorder: _Takes
    _author: str | None
    _clock: Callable[[], int] = time.time_ns

    def say(
        self,
        kind: str,
        target: Target | str,
        text: str = "",
        *,
        label: str | None = None,
        deadline_ns: int | None = None,
    ) -> Annotation:
        """Write one record about a target, or about a label, and return what will be read back."""
        name = target if isinstance(target, str) else target.name
        attributes: dict[str, Any] = {} if isinstance(target, str) else target.attributes()
        more = {
            A.MLOTEL_LABEL: label,
            A.MLOTEL_RETRACT_DEADLINE: deadline_ns,
            A.MLOTEL_ANNOTATION_AUTHOR: self._author,
        }
        attributes |= {key: value for key, value in more.items() if value is not None}
        time_ns = self._next_time(name)
        context = INVALID_SPAN_CONTEXT if isinstance(target, str) else _context(target)
        self._recorder.record(
            f"mlotel.{kind}", time_ns=time_ns, context=context, attributes=attributes, body=text or None
        )
        return Annotation(
            kind=kind,
            target=name,
            time_ns=time_ns,
            text=text,
            label=label,
            author=self._author,
            deadline_ns=deadline_ns,
            run_id=attributes.get(A.MLOTEL_RUN_ID),
            artifact_name=attributes.get(A.MLOTEL_ARTIFACT_NAME),
        )

    def now(self) -> int:
        """The present time, nanoseconds since the epoch."""
        return self._clock()

    def _next_time(self, target: str) -> int:
        # The latest word counts, also where the clock of another machine, which wrote the one before, is ahead.
        before = self.store.annotations(target=target)
        return max(self._clock(), before[0].time_ns + 1 if before else 0)


@contextmanager
def writing(store: StoreOrPath, *, author: str | None) -> Iterator[Writing]:
    """Open what is to be annotated, and what takes the records.

    Args:
        store: an open store, the path of one, or None for the one that runs of this process go to. What is said of the
            runs of a backend is kept in that one too.
        author: who says it; by default what `MLOTEL_AUTHOR` says, and else nobody is named.

    Raises:
        ConfigurationError: it cannot be written to.
        StoreNotFoundError: there is nothing at this path.
    """
    who = _author(author)
    with ExitStack() as opened:
        found: Store
        if store is None:
            root = sdk.default_store()
            found = opened.enter_context(FileStore(root)) if root is not None and root.exists() else MemoryStore()
            lines = _lines_of(found) if isinstance(found, FileStore) else _default_lines()
        elif isinstance(store, (str, os.PathLike)):
            if not Path(store).exists():
                raise StoreNotFoundError(f"no store at {Path(store)}: give the path of a .mlotel folder, or none")
            found = opened.enter_context(FileStore(Path(store)))
            lines = _lines_of(found)
        else:
            found, lines = store, _lines_of(store)
        yield Writing(found, sdk.recorder(lines), who)


@contextmanager
def about(what: object, store: StoreOrPath, *, author: str | None) -> Iterator[tuple[Writing, list[Target]]]:
    """As `writing`, with what `what` stands for; what is said of a run that is still going goes where the run goes."""
    if isinstance(what, ActiveRun) and store is None:
        nothing = MemoryStore()
        yield Writing(nothing, _OfRun(what), _author(author), what._now), targets_in(nothing, what)
        return
    with writing(store, author=author) as opened:
        yield opened, targets_in(opened.store, what)


def _author(said: str | None) -> str | None:
    who = said or os.environ.get(AUTHOR_VARIABLE, "").strip()
    return check_name(who, "an author") if who else None


class _OfRun:
    """Where the records of a run that is still going are written to."""

    def __init__(self, run: ActiveRun) -> None:
        self._events = run._runtime.events

    def record(self, name: str, **record: Any) -> None:
        self._events.emit(name, **record)


def _lines_of(store: Store) -> Lines | None:
    """What takes lines that `store` reads; for a backend, the store that runs of this process go to."""
    if isinstance(store, MemoryStore):
        return store
    if isinstance(store, FileStore):
        if store.journal_root is None:
            raise ConfigurationError(
                f"{store.root} holds files that another program writes: name a .mlotel folder to annotate its runs"
            )
        return sdk.journal(store.journal_root)
    return _default_lines()


def _default_lines() -> Lines | None:
    root = sdk.default_store()
    return None if root is None else sdk.journal(root)


def _context(target: Target) -> SpanContext:
    try:
        return SpanContext(int(target.trace_id, 16), int(target.span_id, 16), is_remote=True)
    except ValueError:
        return INVALID_SPAN_CONTEXT
