"""The artifacts of a run: one short span for each that is read or written, linked to where it came from."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec.structs import replace
from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from mlotel import _retraction, _staleness, carriers, uris
from mlotel._names import check_name, clean_name
from mlotel._runtime import describe, guard, message
from mlotel._span_room import fitting
from mlotel.carriers import arrow, sidecar
from mlotel.errors import RetractedError
from mlotel.freshness import Made
from mlotel.model import ArtifactContext, Fingerprint, RetractedLabel, Staleness
from mlotel.semconv import attributes as A
from mlotel.semconv import events as E

if TYPE_CHECKING:
    from mlotel._run import ActiveRun
    from mlotel._watcher import Watcher

__all__ = ["MAX_ARTIFACTS", "Artifacts", "Direction", "Item"]

MAX_ARTIFACTS = 100
"""Artifacts of one direction that get a span of their own; the rest is told by one manifest."""

_MANIFEST_PART = 500  # entries in one event: a record of some 50 KB

Direction = Literal["input", "output"]


class Item:
    """One artifact as the user logged it: what it is, what it is called, and for a path where it is."""

    __slots__ = (
        "context",
        "derived_from",
        "direction",
        "labels",
        "name",
        "obj",
        "path",
        "profile",
        "reference",
        "scope",
        "type",
        "uri",
    )

    def __init__(
        self,
        direction: Direction,
        obj: object,
        name: str | None = None,
        type: str | None = None,
        uri: str | os.PathLike[str] | None = None,
        scope: str | None = None,
        context: ArtifactContext | None = None,
        derived_from: object = (),
        labels: Sequence[str] = (),
        reference: object = None,
        profile: bool = False,
    ) -> None:
        path = _absolute(obj) if isinstance(obj, os.PathLike) else None
        if name is None:
            name = direction if path is None else clean_name(os.path.basename(path))
        else:
            check_name(name, "an artifact's name")
        self.direction: Direction = direction
        self.obj = obj
        self.name: str = name
        self.type = type
        self.uri = uri
        self.scope = scope
        self.context = context
        self.derived_from = derived_from
        self.labels = labels
        self.reference = reference
        self.profile = profile
        self.path = path


class Artifacts:
    """Records what one run reads and writes.

    `written` holds, by name, the contexts of what it wrote, for carriers.
    """

    def __init__(self, run: ActiveRun) -> None:
        self._run = run
        self._runtime = run._runtime
        self.written: dict[str, ArtifactContext] = {}
        self._made: Made | None = None
        self._read: list[tuple[str, weakref.ref[Any] | str | None, SpanContext]] = []
        self._types_read: dict[str, str | None] = {}
        self._labelled_ns = 0
        self._counts = {"input": 0, "output": 0}
        self._rest: dict[Direction, list[tuple[str, str | None]]] = {"input": [], "output": []}

    def log(self, item: Item) -> ArtifactContext | None:
        """Record an artifact; return the context that a carrier may take along with an output."""
        start_ns = self._run._now()
        watchers = self._watchers(item)
        return self._record(item, self.fingerprint(item, watchers=watchers), start_ns, watchers)

    def _watchers(self, item: Item) -> Sequence[Watcher]:
        """Return what reads a table along while it is digested, as far as it is of use."""
        found: list[Watcher] = []
        try:
            if item.reference is not None:
                from mlotel._comparison import Comparison, reference_of  # loaded where something is compared

                found.append(Comparison(self._run, reference_of(item.reference), item.name))
        except Exception as error:  # the artifact is recorded all the same
            guard(f"reference of {item.name!r} of component {self._run.name!r}", error)
        try:
            if item.profile:
                from mlotel._statistics import Statistics  # and this where something is profiled

                found.append(Statistics(self._run, item.name, item.direction))
        except Exception as error:
            guard(f"profile of {item.name!r} of component {self._run.name!r}", error)
        return found

    def log_once(self, item: Item) -> Fingerprint:
        """Record an input unless this run has read or written its content before; return what is found about it."""
        start_ns = self._run._now()
        found = self.fingerprint(item)
        known = {*self._types_read, *(each.digest for each in self.written.values())}
        if found.digest is not None and found.digest not in known:
            self._record(item, found, start_ns)
        return found

    @property
    def only_model(self) -> str | None:
        """The digest of the one model that this run has read, None where it has read none or several."""
        models = [digest for digest, kind in self._types_read.items() if kind == "model"]
        return models[0] if len(models) == 1 else None

    def log_content(self, item: Item, content: object) -> None:
        """Record a file by the table that was read from it, so that it is not read twice."""
        start_ns = self._run._now()
        watchers = self._watchers(item)
        found = self.fingerprint(item, content, watchers=watchers)
        self._record(item, replace(found, size=os.path.getsize(item.path or "")), start_ns, watchers)

    def _record(
        self, item: Item, found: Fingerprint, start_ns: int, watchers: Sequence[Watcher] = ()
    ) -> ArtifactContext | None:
        """Record an artifact of which it is known what it is. Raises RetractedError where it must not be read."""
        span, refused = self._open(item, found, start_ns, [each.attributes() for each in watchers])
        for each in watchers:
            each.tell((self._run.span if span is None else span).get_span_context(), self._run._labels)
        written = None if span is None else self._close(span, item, found, start_ns)
        if refused is not None:
            raise refused
        if item.labels:
            try:
                self._label(item, found, (self._run.span if span is None else span).get_span_context())
            except Exception as error:  # the artifact is recorded all the same
                guard(f"labels of {item.name!r} of component {self._run.name!r}", error)
        return written

    @contextmanager
    def writing(self, item: Item, content: object) -> Iterator[ArtifactContext | None]:
        """Hold the write span of a file open while it is written with the context that this yields inside."""
        span: trace.Span | None = None
        context: ArtifactContext | None = None
        found = Fingerprint()
        start_ns = 0
        try:
            start_ns = self._run._now()
            found = self.fingerprint(item, content)
            span, _ = self._open(item, replace(found, size=None), start_ns)
            if span is not None and found.digest is not None:
                context = ArtifactContext(carriers.format_traceparent(span.get_span_context()), found.digest)
        except Exception as error:
            guard(f"write_table of component {self._run.name!r}", error)
        try:
            yield context
        except BaseException as error:
            if span is not None:  # nothing was written: no artifact that a reader could have
                span.set_status(Status(StatusCode.ERROR, describe(error)[:1000]))
                span.end(self._run._now())
            raise
        try:
            if span is not None:
                span.set_attribute(A.MLOTEL_ARTIFACT_SIZE, os.path.getsize(item.path or ""))
                self._close(span, item, found, start_ns)
        except Exception as error:
            guard(f"write_table of component {self._run.name!r}", error)

    def finish(self) -> None:
        """Tell the artifacts past the cap by one manifest for each direction."""
        for direction, entries in self._rest.items():
            if entries:
                self._manifest(direction, entries)

    def fingerprint(self, item: Item, content: object = None, *, watchers: Sequence[Watcher] = ()) -> Fingerprint:
        """Return what is found about an artifact's content, or that of a table read from it.

        A table is read by `watchers` too.

        What stands against it is a note, not an exception.
        """
        if item.scope == "none":
            note = "too large to digest unasked (1 GiB, 10,000 files): log it by hand"
            size = os.path.getsize(item.path or "")
            return Fingerprint(size=None if os.path.isdir(item.path or "") else size, note=note)
        if isinstance(item.obj, str) and content is None:
            mistake = TypeError("text is a value, not a file: wrap the path in pathlib.Path")
            guard(f"artifact {item.name!r} of component {self._run.name!r}", mistake)
        try:
            found: Fingerprint = self._runtime.fingerprint(
                item.obj if content is None else content,
                scope=item.scope,
                readers=[each.read for each in watchers],
            )
        except Exception as error:
            # what is known of it (its name, where it should be) is kept all the same
            guard(f"artifact {item.name!r} of component {self._run.name!r}", error)
            return Fingerprint(note=message(error)[:500] or type(error).__name__)
        return found

    def _open(
        self, item: Item, found: Fingerprint, start_ns: int, more: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[trace.Span | None, RetractedError | None]:
        """Return the artifact's I/O span, still open, or None past the cap; and why it must not be read, if so.

        The span says `more` than what is found.
        """
        run, direction, name = self._run, item.direction, item.name
        if found.rows is not None:
            self._runtime.instruments.artifact(
                run._labels,
                direction=direction,
                name=name,
                rows=found.rows,
                columns=found.columns,
                missing=found.missing,
            )
        self._counts[direction] += 1
        if self._counts[direction] > MAX_ARTIFACTS:
            self._rest[direction].append((name, found.digest))
            if direction == "output":
                return None, None
            told = _retraction.judged(run, name, found, None)
            return None, _retraction.tell(run, run.span.get_span_context(), name, found.digest, told)
        attributes: dict[str, Any] = {
            A.MLOTEL_IO_DIRECTION: direction,
            A.MLOTEL_RUN_ID: run.run_id,
            A.MLOTEL_ARTIFACT_NAME: name,
        }
        if isinstance(item.uri, str):
            attributes[A.MLOTEL_ARTIFACT_URI] = uris.clean(item.uri)
        elif item.uri is not None:
            attributes[A.MLOTEL_ARTIFACT_URI] = uris.of_path(item.uri)
        elif item.path is not None:
            attributes[A.MLOTEL_ARTIFACT_URI] = uris.of_absolute(item.path)
        if item.type is not None:
            attributes[A.MLOTEL_ARTIFACT_TYPE] = str(item.type)[:255]
        for key, value in zip(_DESCRIPTION, _describe(found), strict=True):
            if value is not None:
                attributes.setdefault(key, value)
        for each in more:
            attributes.update(each)
        stale: Sequence[Staleness] = ()
        borne: Sequence[RetractedLabel] = ()
        if direction == "input":
            link = self._producer(item, found, attributes)
            links = [] if link is None else [link]
            if link is not None:
                stale = _staleness.judged(run, name, found.digest, link.context)
                if stale:
                    attributes.update(_staleness.attributes_of(stale))
            borne = _retraction.judged(run, name, found, link)
            if borne:
                attributes[A.MLOTEL_ARTIFACT_RETRACTED] = borne[0].label
        else:
            links = [Link(read, {A.MLOTEL_LINK_TYPE: "derived_from"}) for read in self._sources(item.derived_from)]
            if links:
                attributes[A.MLOTEL_ARTIFACT_DERIVED_FROM] = [f"{link.context.span_id:016x}" for link in links]
        span = self._runtime.tracer.start_span(
            f"{'read' if direction == 'input' else 'write'} {name}",
            context=run._context,
            attributes=fitting(attributes, self._runtime.attributes_kept),
            links=links,
            start_time=start_ns,
        )
        if stale:
            _staleness.tell(run, span, found.digest, stale)
        return span, _retraction.tell(run, span.get_span_context(), name, found.digest, borne) if borne else None

    def _close(self, span: trace.Span, item: Item, found: Fingerprint, start_ns: int) -> ArtifactContext | None:
        """End the span; from then on its artifact is known."""
        span.end(self._run._now())
        context, name = span.get_span_context(), item.name
        if item.direction == "input":
            self._read.append((name, item.path or _reference(item.obj), context))
            if found.digest is not None:
                self._types_read[found.digest] = item.type or found.type
            return None
        written = self.written[name] = ArtifactContext(carriers.format_traceparent(context), found.digest)
        producers = self._runtime.producers
        if self._made is None:
            self._made = self._run._made()
        producers.wrote(context.span_id, self._made, start_ns)
        if found.digest is not None and not found.empty:
            producers.remember(found.digest, context.trace_id, context.span_id)
        return written

    def _label(self, item: Item, found: Fingerprint, context: SpanContext) -> None:
        """Give an artifact that was recorded its labels. Raises InvalidNameError."""
        identified = found.digest is not None and not found.empty
        for label in (item.labels,) if isinstance(item.labels, str) else item.labels:
            attributes = {
                A.MLOTEL_LABEL: check_name(label, "a label"),
                A.MLOTEL_RUN_ID: self._run.run_id,
                A.MLOTEL_ARTIFACT_NAME: item.name,
            }
            if identified:
                attributes[A.MLOTEL_ARTIFACT_DIGEST] = str(found.digest)
            # the store tells two records apart by their time
            self._labelled_ns = max(self._labelled_ns + 1, self._run._now())
            self._runtime.events.emit(E.MLOTEL_LABEL, time_ns=self._labelled_ns, context=context, attributes=attributes)
        if self._runtime.retractions.any():  # it may be one of those
            self._runtime.retractions.look_again()

    # -- where an input came from

    def _producer(self, item: Item, found: Fingerprint, attributes: dict[str, Any]) -> Link | None:
        """Return the link to the span that wrote an input, found in the order in which the ways can be trusted."""
        producer: SpanContext | None = None
        way = ""
        for candidate, name in self._carried(item, found):
            doubt = _doubt(candidate.digest, found.digest)
            # who hands over headers vouches for them unless the content says otherwise; what stands in or beside a file
            # may be older than its content
            if doubt is not None and not (name == "header" and doubt == _UNCHECKED):
                attributes.setdefault(A.MLOTEL_ARTIFACT_NOTE, f"{name} context {doubt}: not believed")
                continue
            producer, way = carriers.parse_traceparent(candidate.traceparent), name
            if producer is not None:
                break
        if producer is None and found.digest is not None and not found.empty:
            ids = self._runtime.producers.find(found.digest)
            if ids is not None:
                producer, way = SpanContext(ids[0], ids[1], is_remote=True), "digest"
        elif producer is not None and not producer.trace_flags.sampled:
            attributes.setdefault(
                A.MLOTEL_ARTIFACT_NOTE, "the span that wrote it was not sampled: its lineage ends here"
            )
        if producer is None:
            return None
        attributes[A.MLOTEL_LINK_TYPE] = "consumes"
        attributes[A.MLOTEL_LINK_RESOLVED_BY] = way
        link = {A.MLOTEL_LINK_TYPE: "consumes", A.MLOTEL_LINK_RESOLVED_BY: way}
        if found.digest is not None:
            link[A.MLOTEL_ARTIFACT_DIGEST] = found.digest
        return Link(producer, link)

    def _carried(self, item: Item, found: Fingerprint) -> Iterator[tuple[ArtifactContext, str]]:
        if item.context is not None:
            yield item.context, "header"
        path = item.path
        if path is None:
            embedded = arrow.from_table(item.obj)
        else:
            embedded = arrow.from_file(path) if found.scope == "logical" else None
        if embedded is not None:
            yield embedded, "embedded"
        beside = None if path is None else sidecar.read(path)
        if beside is not None:
            yield beside, "sidecar"
        inherited = self._runtime.inherited.get(found.digest or "")
        if inherited is not None:
            yield inherited, "env"

    def _sources(self, derived_from: object) -> list[SpanContext]:
        """Return the read spans of the inputs named, or given, in `derived_from`."""
        if derived_from is None or (isinstance(derived_from, tuple) and not derived_from):
            return []
        wanted = derived_from if isinstance(derived_from, (list, tuple, set, frozenset)) else [derived_from]
        found: list[SpanContext] = []
        for item in wanted:
            matches = [span for name, logged, span in self._read if _is_input(item, name, logged)]
            if not matches:
                what = repr(item) if isinstance(item, str) else f"a {type(item).__qualname__}"
                guard(
                    f"derived_from of component {self._run.name!r}",
                    ValueError(f"{what} is no input of this run: log it with log_input first"),
                )
            found.extend(matches)
        return found

    # -- more artifacts than spans

    def _manifest(self, direction: Direction, entries: list[tuple[str, str | None]]) -> None:
        """Emit a span with the digest of the list, and the list itself as events."""
        from mlotel.hashing import digest_manifest

        digest = digest_manifest(entries, algorithm=self._runtime.digest_algorithm)
        now = self._run._now()
        about = {
            A.MLOTEL_IO_DIRECTION: direction,
            A.MLOTEL_RUN_ID: self._run.run_id,
            A.MLOTEL_ARTIFACT_DIGEST: digest,
        }
        span = self._runtime.tracer.start_span(
            f"{'read' if direction == 'input' else 'write'} manifest",
            context=self._run._context,
            attributes={
                **about,
                A.MLOTEL_ARTIFACT_NAME: "manifest",
                A.MLOTEL_ARTIFACT_DIGEST_SCOPE: "manifest",
                A.MLOTEL_ARTIFACT_ROWS: len(entries),
            },
            start_time=now,
        )
        span.end(now)
        for first in range(0, len(entries), _MANIFEST_PART):
            part = [{"name": name, "digest": entry} for name, entry in entries[first : first + _MANIFEST_PART]]
            self._runtime.events.emit(
                E.MLOTEL_ARTIFACT_MANIFEST,
                time_ns=now,
                context=span.get_span_context(),
                attributes={**about, A.MLOTEL_ARTIFACT_MANIFEST_FIRST: first},
                body=msgspec.json.encode(part).decode(),
            )


_describe = attrgetter("type", "digest", "scope", "size", "rows", "columns", "schema_digest", "missing", "note")
_DESCRIPTION = (
    A.MLOTEL_ARTIFACT_TYPE,
    A.MLOTEL_ARTIFACT_DIGEST,
    A.MLOTEL_ARTIFACT_DIGEST_SCOPE,
    A.MLOTEL_ARTIFACT_SIZE,
    A.MLOTEL_ARTIFACT_ROWS,
    A.MLOTEL_ARTIFACT_COLUMNS,
    A.MLOTEL_ARTIFACT_SCHEMA_DIGEST,
    A.MLOTEL_ARTIFACT_MISSING,
    A.MLOTEL_ARTIFACT_NOTE,
)


_UNCHECKED = "cannot be checked"


def _doubt(told: str | None, found: str | None) -> str | None:
    """Return why a carrier's digest does not say that what was found is what its producer wrote, or None if it does."""
    if told is None or found is None or told.partition(":")[0] != found.partition(":")[0]:
        return _UNCHECKED
    return None if told == found else "is of other content"


def _absolute(path: os.PathLike[Any]) -> str:
    text = os.fspath(path)
    return os.path.abspath(text if isinstance(text, str) else os.fsdecode(text))


def _reference(obj: object) -> weakref.ref[Any] | None:
    """Return what an input is known again by without keeping it alive, or None for what takes no weak reference."""
    try:
        return weakref.ref(obj)
    except TypeError:
        return None


def _is_input(item: object, name: str, logged: weakref.ref[Any] | str | None) -> bool:
    if isinstance(item, str):
        return item == name
    if isinstance(logged, str):
        return isinstance(item, os.PathLike) and _absolute(item) == logged
    return logged is not None and logged() is item
