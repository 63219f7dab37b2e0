"""MLOTEL_QUERY_HEADERS: what it may say, and that its values are shown to nobody."""

from __future__ import annotations

import pytest
from opentelemetry.util.re import parse_env_headers

from mlotel.errors import ConfigurationError
from mlotel.store.headers import QUERY_HEADERS, query_headers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        (" , ", {}),
        ("X-Scope-OrgID=team", {"X-Scope-OrgID": "team"}),
        ("authorization=Basic%20dXNlcjpwYXNz", {"authorization": "Basic dXNlcjpwYXNz"}),
        ("authorization=Bearer a.b==,x=1", {"authorization": "Bearer a.b==", "x": "1"}),
        ("a=1%2C2, b = 3 ", {"a": "1,2", "b": "3"}),
        ("a=", {"a": ""}),
    ],
)
def test_headers_are_pairs_between_commas(text: str, expected: dict[str, str]) -> None:
    """Names and values as the OTEL_EXPORTER_OTLP_HEADERS form has them."""
    assert query_headers({QUERY_HEADERS: text}) == expected


@pytest.mark.parametrize("text", ["a=1,b=2", "api-key=k%20k", "authorization=Basic%20dXNlcg%3D%3D"])
def test_they_are_read_as_opentelemetry_reads_its_own(text: str) -> None:
    """What OpenTelemetry's SDK reads from its variable is read alike; only it puts names in lower case."""
    assert query_headers({QUERY_HEADERS: text}) == parse_env_headers(text, liberal=True)


def test_none_are_none() -> None:
    """Without the variable nothing is sent."""
    assert query_headers({}) == {}


@pytest.mark.parametrize("text", ["secret", "=secret", "a b=secret", "a=secret%0d%0ax:y", "a=secretä", "ä=secret"])
def test_what_is_no_header_is_refused_without_its_value(text: str) -> None:
    """The error names the variable and the form, and no value."""
    with pytest.raises(ConfigurationError, match=QUERY_HEADERS) as raised:
        query_headers({QUERY_HEADERS: text})
    assert "secret" not in str(raised.value)
