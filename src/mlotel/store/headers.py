"""Headers that are sent to a backend with each question: credentials, a tenant. Their values are never shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from mlotel.errors import ConfigurationError

__all__ = ["QUERY_HEADERS", "query_headers"]

QUERY_HEADERS = "MLOTEL_QUERY_HEADERS"
"""The variable in which headers for questions are given, in the form of OTEL_EXPORTER_OTLP_HEADERS."""

# https://www.rfc-editor.org/rfc/rfc9110#name-tokens
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_FIX = (
    f"write {QUERY_HEADERS} as NAME=VALUE,NAME=VALUE with %-escapes where a value has commas, as in X-Scope-OrgID=team"
)


def query_headers(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers to send with questions: pairs ``name=value`` between commas, with %-escapes in the values.

    Args:
        environment: variables of the process.

    Raises:
        ConfigurationError: it has another form; the message names no value.
    """
    headers: dict[str, str] = {}
    for number, part in enumerate(environment.get(QUERY_HEADERS, "").split(","), 1):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        name, value = unquote(name.strip()), unquote(value.strip())
        if not equals or not _NAME.fullmatch(name):
            raise ConfigurationError(f"pair {number} of {QUERY_HEADERS} has no name that a header may have: {_FIX}")
        if not _VALUE.fullmatch(value):
            raise ConfigurationError(f"the value of {name} in {QUERY_HEADERS} is not printable ASCII: {_FIX}")
        headers[name] = value
    return headers
