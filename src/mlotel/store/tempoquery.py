"""Tempo's HTTP API: searches in TraceQL and traces by id, as OTLP/JSON lines.

https://grafana.com/docs/tempo/latest/api_docs/
"""

from __future__ import annotations

import functools
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from msgspec.json import decode, encode

from mlotel.errors import StoreError
from mlotel.semconv import attributes as A
from mlotel.store.fetching import RemoteSpan, UnreadableError, WindowTooLongError
from mlotel.store.headers import QUERY_HEADERS
from mlotel.store.http import HttpAnswer, HttpClient
from mlotel.store.parsing import BAD_SHAPE

__all__ = ["SPANS_PER_TRACE", "TempoMatch", "TempoQuery", "TempoTrace"]

SPANS_PER_TRACE = 100
"""How many of a trace's spans a search names; more is refused by default."""

_DEFAULT_PORT = 3200
_SEARCH, _TRACE_V2, _TRACE_V1 = "/api/search", "/api/v2/traces/", "/api/traces/"
_TOO_LONG = re.compile(r"range specified by start and end exceeds", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-fA-F]*")


@dataclass(frozen=True, slots=True)
class TempoMatch:
    """A trace in which spans are what was searched for.

    `spans` are the ids (hex), starts (nanoseconds since the epoch) and texts of some of these spans; `whole` tells
    whether they are all of them.
    """

    trace_id: str
    spans: Sequence[tuple[str, int, Mapping[str, str]]]
    whole: bool


@dataclass(frozen=True, slots=True)
class TempoTrace:
    """The spans of a trace that are mlotel's; `lacks` says what else there is, and why it is not here."""

    spans: Sequence[RemoteSpan] = ()
    lacks: str = ""


class TempoQuery:
    """Questions to Tempo's query frontend. It may be asked by several threads at once.

    Args:
        url: ``http://host:port``, ``https://…`` for TLS; the port is 3200 unless said, with TLS 443. There may be a
            path, under which the API is found.
        headers: sent with each request: credentials, ``X-Scope-OrgID`` for a tenant.
        timeout_s: seconds after which a request is given up.
        max_bytes: bytes of an answer that are taken.

    Raises:
        ConfigurationError: `url` is no such address.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str], timeout_s: float, max_bytes: int) -> None:
        self._http = HttpClient(
            "Tempo", url, default_port=_DEFAULT_PORT, headers=headers, timeout_s=timeout_s, largest=max_bytes
        )
        self._version: int | None = None

    def close(self) -> None:
        """End the connections; the next request makes others."""
        self._http.close()

    def search(self, traceql: str, start_s: int, end_s: int, limit: int) -> Sequence[TempoMatch]:
        """Return traces, `limit` at most, that a query selects and that overlap a time range.

        Which ones they are where there are more is up to Tempo.

        Args:
            traceql: the query.
            start_s: seconds since the epoch, inclusive.
            end_s: seconds since the epoch, inclusive, after `start_s`.
            limit: how many traces.

        Raises:
            WindowTooLongError: Tempo searches no time range as long as this one.
            StoreError: Tempo cannot be asked, or what it answers cannot be read.
        """
        given = {"q": traceql, "start": start_s, "end": end_s, "limit": limit, "spss": SPANS_PER_TRACE}
        answer = self._http.get(f"{_SEARCH}?{urlencode(given)}")
        if answer.too_large:
            raise StoreError(self._describe(answer))
        if answer.status == 400 and _TOO_LONG.search(answer.text):
            raise WindowTooLongError(f"{self._http.name} does not search for so long a time: {answer.text}")
        if answer.status != 200:
            raise StoreError(self._describe(answer))
        try:
            return [_match(trace) for trace in decode(answer.body).get("traces") or ()]
        except BAD_SHAPE as error:
            raise StoreError(f"{self._http.name} answers what is no search result: is it Tempo's HTTP API?") from error

    def trace(self, trace_id: str) -> TempoTrace:
        """Return the trace of this id (32 hex digits), or none.

        Raises:
            UnreadableError: Tempo has no answer for this trace, or one that cannot be read.
            StoreError: Tempo cannot be asked.
        """
        version = self._version  # another thread may find it out meanwhile
        answer = self._http.get((_TRACE_V1 if version == 1 else _TRACE_V2) + trace_id)
        if answer.status == 200:
            self._version = version or 2
        elif answer.status == 404 and version is None:  # no such trace, or a Tempo before 2.7
            answer = self._http.get(_TRACE_V1 + trace_id)
            if answer.status == 200:
                self._version = 1
        if answer.status == 404:
            return TempoTrace()
        if answer.status in (400, 413, 422, 500) or answer.too_large:
            raise UnreadableError(f"trace {trace_id}: {self._describe(answer)}")
        if answer.status != 200:
            raise StoreError(self._describe(answer))
        try:
            return _trace(decode(answer.body), trace_id)
        except BAD_SHAPE as error:
            raise UnreadableError(f"{self._http.name} answers what is no trace for {trace_id}") from error

    def _describe(self, answer: HttpAnswer) -> str:
        here, said = self._http.name, f" ({answer.text})" if answer.text else ""
        if answer.too_large:
            return f"{here} answers more than can be taken: ask for a shorter time"
        if answer.status == 400:
            return f"{here} does not take the query{said}"
        if answer.status in (401, 403):
            return f"{here} refuses to answer, with status {answer.status}: give credentials in {QUERY_HEADERS}"
        if answer.status == 404:
            return f"{here} has no {_SEARCH}: give the address of its HTTP API (port {_DEFAULT_PORT} unless configured)"
        if answer.status == 429:
            return f"{here} is asked too much: ask again later, or for a shorter time{said}"
        if 300 <= answer.status < 400:
            return f"{here} sends elsewhere, which is not followed: give the address of its HTTP API itself"
        return f"{here} failed with status {answer.status}{said or ': its log may say why'}"


def _match(trace: Mapping[str, Any]) -> TempoMatch:
    sets = trace.get("spanSets") or ([trace["spanSet"]] if trace.get("spanSet") else [])
    spans: dict[str, tuple[str, int, Mapping[str, str]]] = {}
    whole = True
    for each in sets:
        found = each.get("spans") or ()
        whole &= int(each.get("matched") or 0) <= len(found)
        for span in found:
            span_id = _identity(span["spanID"], 16)
            spans[span_id] = (span_id, int(span["startTimeUnixNano"]), _texts(span))
    # Zeros at the beginning of ids are left out.
    return TempoMatch(_identity(trace["traceID"], 32), tuple(spans.values()), whole and bool(spans))


def _trace(document: Mapping[str, Any], trace_id: str) -> TempoTrace:
    trace = document.get("trace", document) or {}
    spans, bad = [], 0
    for group in trace.get("resourceSpans") or trace.get("batches") or ():
        resource = group.get("resource") or {}
        for span in _spans(group):
            try:
                if A.MLOTEL_RUN_ID not in _texts(span):
                    continue
                content = _with_hex_ids(span)
            except BAD_SHAPE:
                bad += 1
                continue
            line = functools.partial(_line, content, resource)
            spans.append(RemoteSpan(content["traceId"], content["spanId"], line))
    lacks = f"trace {trace_id} holds what is no span" if bad else ""
    if document.get("status") in ("PARTIAL", 1):
        lacks = f"Tempo has trace {trace_id} only in part: {_one_line(document.get('message') or '')}"
    return TempoTrace(spans, lacks)


def _spans(group: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for scope in group.get("scopeSpans") or group.get("instrumentationLibrarySpans") or ():
        yield from scope.get("spans") or ()


def _texts(span: Mapping[str, Any]) -> Mapping[str, str]:
    found = {each["key"]: (each.get("value") or {}).get("stringValue") for each in span.get("attributes") or ()}
    return {key: text for key, text in found.items() if text is not None}


def _with_hex_ids(span: Mapping[str, Any]) -> dict[str, Any]:
    content = {**span, "links": [dict(link) for link in span.get("links") or ()]}
    for each in (content, *content["links"]):
        for key, digits in (("traceId", 32), ("spanId", 16), ("parentSpanId", 16)):
            if each.get(key):
                each[key] = _identity(each[key], digits)
    return content


def _identity(text: str, digits: int) -> str:
    """An id in hex, however it is written: protobuf's JSON has bytes in Base64, OTLP's has ids in hex."""
    if len(text) <= digits and _HEX.fullmatch(text):
        return text.lower().zfill(digits)
    found = b64decode(text, validate=True).hex()
    if len(found) != digits:
        raise ValueError(f"no id: {text!r}")
    return found


def _line(span: Mapping[str, Any], resource: Mapping[str, Any]) -> bytes:
    return encode({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]})


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:200]
