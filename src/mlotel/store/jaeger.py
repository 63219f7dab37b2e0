"""A store over Jaeger: the traces that answer a question are fetched and read as the embedded store reads its lines."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence

from mlotel import uris
from mlotel.semconv import attributes as A
from mlotel.store.conditions import Condition
from mlotel.store.fetching import Found, RemoteSpan
from mlotel.store.jaegerquery import JaegerQuery
from mlotel.store.remote import RemoteStore

__all__ = ["JaegerStore"]

_ENDED = ("ok", "failed", "cancelled")
_ALGORITHMS = ("blake3", "sha256")
_HEX_DIGEST = re.compile(r"(?:([a-z0-9]+):)?([0-9a-f]+)")
_WHOLE_DIGEST = 64
# Texts that Jaeger has alike for attributes of any type: others may be written in several ways (7, 7.0, 7e0).
_PLAIN = re.compile(r"0|-?[1-9][0-9]{0,14}|(?![0-9.+-])(?!inf)(?!nan)(?!true$)(?!false$).*", re.IGNORECASE | re.DOTALL)

_Attributes = Mapping[str, str]


class JaegerStore(RemoteStore[_Attributes]):
    """The Store protocol over Jaeger's gRPC query service, over all services at once.

    What log records tell, Jaeger does not hold: runs that have not ended, the entries of manifests, flags, notes and
    labels.

    Args:
        url: of the gRPC query service: ``http://host:16685``, ``https://…`` for TLS.
        headers: sent with each request: credentials.
        since_ns: searches find what began at or after this time, nanoseconds since the epoch; 30 days before
            `until_ns` unless said.
        until_ns: searches find what began until this time; now unless said. What a link or an id names is found
            whenever it was.
        page: traces per request.
        max_requests: requests per question.
        timeout_s: seconds after which a request is given up.
        clock: nanoseconds since the epoch.

    Raises:
        ConfigurationError: `url` is no such address.
        StoreError: from every question, if Jaeger cannot be asked.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        page: int = 200,
        max_requests: int = 100,
        timeout_s: float = 10.0,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        super().__init__(
            "Jaeger", since_ns=since_ns, until_ns=until_ns, page=page, max_requests=max_requests, clock=clock
        )
        self._query = JaegerQuery(url, headers=headers or {}, timeout_s=timeout_s)

    def translates(self, condition: Condition) -> bool:
        """Whether this store selects runs by the condition itself; for others, runs are read and looked at.

        Jaeger looks for spans that have certain values: it knows equality alone.
        """
        return condition.key == "time" or _attribute(condition) is not None

    def _disconnect(self) -> None:
        self._query.close()

    def _find(self, search: _Attributes, start_ns: int, end_ns: int) -> Found:
        found = self._query.find(search, start_ns, end_ns, self._page)
        return Found(len(found.trace_ids) >= self._page, found.spans)

    def _trace(self, trace_id: str) -> Sequence[RemoteSpan]:
        return self._query.trace(trace_id).spans

    def _runs_like(self, component: str | None, where: Sequence[Condition]) -> Sequence[_Attributes]:
        wanted = {} if component is None else {A.MLOTEL_COMPONENT_NAME: component}
        for condition in where:
            pair = _attribute(condition)
            if pair is not None:
                wanted.setdefault(*pair)
        if wanted:
            return [wanted]
        for condition in where:
            searches = _alternatives(condition)
            if searches is not None:
                return searches
        # Jaeger looks for values, so all runs are those that ended in one way or another.
        return [{A.MLOTEL_RUN_STATE: state} for state in _ENDED]

    def _runs_named(self, prefix: str) -> Sequence[_Attributes]:
        return self._runs_like(None, ())

    def _spans_with(self, attributes: Mapping[str, str]) -> _Attributes:
        return attributes

    def _artifacts_of_digest(self, digest: str, attributes: Mapping[str, str]) -> Sequence[_Attributes]:
        searches = [{**attributes, A.MLOTEL_ARTIFACT_DIGEST: each} for each in _spellings(digest)] or [dict(attributes)]
        if searches == [{}]:
            return [{A.MLOTEL_IO_DIRECTION: each} for each in ("output", "input")]
        return searches

    def _links_to(self, trace_id: str, span_id: str, kind: str) -> Sequence[_Attributes]:
        # Jaeger cannot search by link: dependents say that they are some, readers have the digest that was written.
        if kind == "depends_on":
            return [{A.MLOTEL_LINK_TYPE: kind}]
        run = self.run_of_span(trace_id, span_id)
        searches: list[_Attributes] = []
        for written in run.outputs if run else ():
            if written.span_id == span_id:
                digest, name = written.digest, written.name
                wanted = {A.MLOTEL_ARTIFACT_DIGEST: digest} if digest else {A.MLOTEL_ARTIFACT_NAME: name}
                searches.append({A.MLOTEL_IO_DIRECTION: "input", **wanted})
        return searches


def _attribute(condition: Condition) -> tuple[str, str] | None:
    """The attribute that the span of a run has to have, and its text, if that is all that a condition asks for."""
    key, value = condition.attribute, str(condition.value)
    if key is None or key == A.SERVICE_NAME or condition.op != "=" or isinstance(condition.value, bool):
        return None
    if condition.key.startswith("attribute."):
        return None  # may be a list, which Jaeger compares as a whole
    text_alone = not condition.key.startswith(("param.", "metric.", "tag."))
    return (key, value) if text_alone or _PLAIN.fullmatch(value) else None


def _alternatives(condition: Condition) -> Sequence[_Attributes] | None:
    """The I/O spans of which a run has to have one, if that is all that a condition asks for."""
    if not condition.needs_artifacts or condition.op != "=":
        return None
    value = str(condition.value)
    if _HEX_DIGEST.fullmatch(value.lower()) and not _spellings(value):
        return None  # perhaps the beginning of a digest
    side = {} if condition.key == "artifact" else {A.MLOTEL_IO_DIRECTION: condition.key}
    places = [(A.MLOTEL_ARTIFACT_URI, each) for each in dict.fromkeys((value, uris.clean(value)))]
    digests = [(A.MLOTEL_ARTIFACT_DIGEST, each) for each in _spellings(value)]
    return [{**side, key: text} for key, text in ((A.MLOTEL_ARTIFACT_NAME, value), *places, *digests)]


def _spellings(digest: str) -> Sequence[str]:
    """The whole digests that `digest` may stand for; none where it is the beginning of many."""
    match = _HEX_DIGEST.fullmatch(digest.lower())
    if match is None:  # another system's
        return (digest,)
    if len(match[2]) < _WHOLE_DIGEST:
        return ()
    return [f"{algorithm}:{match[2]}" for algorithm in ((match[1],) if match[1] else _ALGORITHMS)]
