"""The values mlotel's layers hand to each other: frozen, without behaviour beyond reading themselves."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

__all__ = [
    "Annotation",
    "Artifact",
    "ArtifactContext",
    "Drift",
    "Edge",
    "Fingerprint",
    "Lineage",
    "Link",
    "Prediction",
    "RetractedLabel",
    "Run",
    "RunHead",
    "Staleness",
]

Scalar = str | bool | int | float

RUN_STATES = ("running", "ok", "failed", "cancelled", "lost")
"""What the state of a run may be."""


class Fingerprint(Struct, frozen=True):
    """What hashing found out about one artifact's content.

    `digest` is ``algorithm:hex`` or None where the content has no stable identity; `note` then says why.
    `scope` is ``bytes``, ``tree``, ``logical`` or ``manifest``. `size` is in bytes, `missing` counts null cells.
    An `empty` artifact (0 bytes, 0 rows) never makes a lineage edge by its digest alone.
    """

    digest: str | None = None
    scope: str | None = None
    type: str | None = None
    size: int | None = None
    rows: int | None = None
    columns: int | None = None
    schema_digest: str | None = None
    missing: int | None = None
    empty: bool = False
    note: str | None = None


class ArtifactContext(Struct, frozen=True):
    """The trace context that travels with an artifact: W3C `traceparent` of the span that wrote it, and its digest."""

    traceparent: str
    digest: str | None = None


class Link(Struct, frozen=True, gc=False):
    """A link from one span to another: hex ids, its `type` (``consumes``, ``derived_from``, …) and how it was found."""

    trace_id: str
    span_id: str
    type: str
    resolved_by: str | None = None


class Drift(Struct, frozen=True):
    """What a comparison of data with a reference found: whether it alarms, which features do, whose digest it has."""

    alarm: bool
    features: tuple[str, ...] = ()
    reference_digest: str | None = None


class Artifact(Struct, frozen=True, gc=False):
    """One artifact as one run read or wrote it: an I/O span, read back.

    `link` is the link to the producer's span (inputs only). `derived_from` holds the span ids of the inputs that an
    output was said to come from; empty means all inputs of the run. `missing` counts null cells. `drift` is None where
    it was not compared with a reference. `profile` holds statistics of a table's columns as JSON, where there are any.
    """

    name: str
    direction: str
    span_id: str
    run_id: str
    type: str | None = None
    digest: str | None = None
    scope: str | None = None
    uri: str | None = None
    rows: int | None = None
    columns: int | None = None
    size: int | None = None
    schema_digest: str | None = None
    note: str | None = None
    time_ns: int = 0
    link: Link | None = None
    derived_from: tuple[str, ...] = ()
    missing: int | None = None
    drift: Drift | None = None
    profile: str | None = None


class Run(Struct, frozen=True):
    """One component run, read back. Times are nanoseconds since the epoch; `end_ns` is None while it has not ended.

    `state` is ``running``, ``ok``, ``failed``, ``cancelled`` or ``lost``. `git` has the keys ``commit``, ``branch``,
    ``dirty``, ``repository`` (those known). `error` has ``type``, ``message``. `dependencies` are links to the
    spans of runs that it was said to depend on. `attributes` holds every attribute of the span, the start record and
    the resource.
    """

    run_id: str
    component: str
    state: str
    start_ns: int
    trace_id: str
    span_id: str
    end_ns: int | None = None
    pipeline: str | None = None
    version: str | None = None
    parent_span_id: str | None = None
    service: str | None = None
    inputs: tuple[Artifact, ...] = ()
    outputs: tuple[Artifact, ...] = ()
    params: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    git: Mapping[str, Scalar] = field(default_factory=dict)
    error: Mapping[str, str] | None = None
    dependencies: tuple[Link, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict)

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end, or None while the run has not ended."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e9


class RunHead(Struct, frozen=True):
    """What a list shows of a run, in the terms of `Run`; it read `reads` artifacts and wrote `writes`."""

    run_id: str
    component: str
    state: str
    start_ns: int
    end_ns: int | None
    pipeline: str | None
    version: str | None
    reads: int
    writes: int

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end, or None while the run has not ended."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e9


class Edge(Struct, frozen=True, gc=False):
    """One step of lineage between two nodes: a run id or an artifact's digest (or span id where it has no digest).

    Data flows from `source` to `target`. `kind` is ``read`` (artifact → run), ``write`` (run → artifact) or
    ``depends_on`` (run → the run that was said to depend on it).
    `resolved_by` says how the producer of what was read is known: ``embedded``, ``sidecar``, ``header``, ``env``,
    ``digest``, or ``latest_write`` where several runs wrote that digest.
    """

    source: str
    target: str
    kind: str
    resolved_by: str | None = None


class Lineage(Struct, frozen=True):
    """A lineage graph around `root`: each run and artifact once, in order of time.

    It is `partial` if some of it could not be read.
    """

    root: str
    runs: tuple[Run, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    edges: tuple[Edge, ...] = ()
    partial: bool = False


class Annotation(Struct, frozen=True):
    """What somebody said of a run, an artifact or a prediction after the fact: a flag, a note, a label.

    `kind` is ``note``, ``flag``, ``unflag``, ``label``, ``unlabel``, ``retract`` or ``restore``. `target` is a run id,
    what names an artifact in a lineage graph, or ``record:`` and the hash of a prediction's key; for ``retract`` and
    ``restore`` it is the label. `text` is the note or the reason. Times are nanoseconds since the epoch.
    """

    kind: str
    target: str
    time_ns: int
    text: str = ""
    label: str | None = None
    author: str | None = None
    deadline_ns: int | None = None
    run_id: str | None = None
    artifact_name: str | None = None


class Prediction(Struct, frozen=True):
    """One prediction that was logged with a key.

    `key` is None where only its keyed hash is kept; `key_hash` has 16 hex digits. `value` is a number or a label.
    `trace_id` and `span_id` are those of the run that made it.
    """

    key: str | None
    key_hash: str
    value: float | str | None
    time_ns: int
    trace_id: str
    span_id: str
    probability: float | None = None
    variant: str | None = None
    model: str | None = None
    model_version: str | None = None
    model_digest: str | None = None


class Staleness(Struct, frozen=True):
    """Why an input of a run is stale. Times are nanoseconds since the epoch.

    `reason` is ``age`` (it was written longer ago than the component allows) or ``fresher_run`` (its producer has a
    later run that ended ok). `when` is ``ran`` where that held when the run began, ``since`` where it came to hold
    later. `artifact` and `span_id` name the input, `component` and `writer_id` the run that wrote it. `age_ns` is its
    age when the run began, or by now; `fresher_id` and `fresher_ns` are the later run's id and start.
    """

    artifact: str
    span_id: str
    component: str
    writer_id: str
    written_ns: int
    reason: str
    when: str
    age_ns: int
    stale_after_ns: int | None = None
    fresher_id: str | None = None
    fresher_ns: int | None = None


class RetractedLabel(Struct, frozen=True):
    """A retracted label that an artifact bears: `source` names the artifact or run that was given it.

    `deadline_ns` is when it may be read no longer, in nanoseconds since the epoch; None for never.
    """

    label: str
    source: str
    deadline_ns: int | None = None
