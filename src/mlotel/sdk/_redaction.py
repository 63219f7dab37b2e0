"""What the user keeps back of what would leave the process: texts by a hook of their own, and those of exceptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from mlotel._runtime import guard
from mlotel.errors import ConfigurationError
from mlotel.parameters import REDACTED, attribute_value
from mlotel.semconv import attributes as A
from mlotel.semconv import events as E

__all__ = ["BODY", "RECORD_KEY", "SPAN_NAME", "STATUS", "Hook", "Redaction"]

Hook = Callable[[str, Any], Any]

# What is no attribute is shown to the hook under a name of its own.
SPAN_NAME = "span.name"
STATUS = "otel.status_description"  # as OpenTelemetry calls it where a span's status has no field of its own
BODY = "body"
RECORD_KEY = "mlotel.record.key"

# A note may say why there is no digest in the words of the exception that was met.
_EXCEPTION_TEXTS = frozenset({A.EXCEPTION_MESSAGE, A.EXCEPTION_STACKTRACE, A.MLOTEL_ARTIFACT_NOTE})
# Made by mlotel, of nothing that a user named: runs, artifacts and their links are told apart by these.
_OWN = frozenset(
    {
        A.MLOTEL_RUN_ID,
        A.MLOTEL_RUN_STATE,
        A.MLOTEL_PARENT_SPAN_ID,
        A.MLOTEL_IO_DIRECTION,
        A.MLOTEL_ARTIFACT_DIGEST,
        A.MLOTEL_ARTIFACT_DIGEST_SCOPE,
        A.MLOTEL_ARTIFACT_DERIVED_FROM,
        A.MLOTEL_ARTIFACT_SCHEMA_DIGEST,
        A.MLOTEL_ARTIFACT_STALE_REASON,
        A.MLOTEL_ARTIFACT_STALE_RUN_ID,
        A.MLOTEL_CODE_DIGEST,
        A.MLOTEL_DATA_STATISTIC_NAME,
        A.MLOTEL_DRIFT_METHOD,
        A.MLOTEL_DRIFT_REASONS,
        A.MLOTEL_DRIFT_REFERENCE_DIGEST,
        A.MLOTEL_ENVIRONMENT_DIGEST,
        A.MLOTEL_LINK_RESOLVED_BY,
        A.MLOTEL_LINK_TYPE,
        A.MLOTEL_MODEL_DIGEST,
        A.MLOTEL_PARAMS_DIGEST,
        A.MLOTEL_PROCESS_BOOT_ID,
        A.MLOTEL_PROCESS_PID_NAMESPACE,
        A.MLOTEL_RECORD_KEY_HASH,
        A.MLOTEL_TELEMETRY_ITEM,
        A.PROCESS_CREATION_TIME,
        A.PROCESS_RUNTIME_NAME,
        A.PROCESS_RUNTIME_VERSION,
        A.OS_TYPE,
        A.HOST_ARCH,
        A.VCS_REF_HEAD_REVISION,
    }
)
_NAMED_BY_USERS = (f"{A.MLOTEL_PARAM}.", f"{A.MLOTEL_METRIC}.", f"{A.MLOTEL_TAG}.")
# Parameters, metrics and tags are not among them, each by its own name.
_CONVENTIONS = frozenset(value for name, value in vars(A).items() if name.isupper() and isinstance(value, str))


@dataclass(frozen=True, slots=True)
class Redaction:
    """What stands in the place of each value.

    Attributes:
        hook: takes the name of an attribute and its value, and returns what leaves in its place; None for no hook. A
            value for which it raises, or returns None, leaves as ``[redacted]``.
        exception_text: whether messages and stack traces of exceptions, descriptions of statuses and notes of artifacts
            leave at all.
    """

    hook: Hook | None = None
    exception_text: bool = True

    def __bool__(self) -> bool:
        """Whether anything is kept back."""
        return self.hook is not None or not self.exception_text

    def attributes(self, attributes: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return what leaves of attributes; the user's names of parameters, metrics and tags are values as well."""
        return {
            self._key(key): self.value(key, value)
            for key, value in (attributes or {}).items()
            if self.exception_text or key not in _EXCEPTION_TEXTS
        }

    def _key(self, key: str) -> str:
        if self.hook is not None:
            for family in _NAMED_BY_USERS:
                if key.startswith(family):
                    return family + self.text(family[:-1], key[len(family) :])
        return key

    def value(self, key: str, value: Any) -> Any:
        """Return what leaves of one value; of a list, item by item.

        The hook is shown texts, and whatever is in attributes that no convention knows; not the numbers that mlotel
        measures, nor the ids and digests that it makes.
        """
        if self.hook is None or key in _OWN:
            return value
        if isinstance(value, list | tuple):
            return [self.value(key, each) for each in value]
        if not isinstance(value, str) and key in _CONVENTIONS:
            return value
        try:
            found = self.hook(key, value)
        except Exception as error:
            # its message may be what was to be kept back
            fault = ConfigurationError(f"it raised {type(error).__name__}")
            guard("values are redacted that the hook of configure(redact=...) does not take", fault)
            return REDACTED
        return REDACTED if found is None else attribute_value(found)

    def text(self, key: str, text: str) -> str:
        """Return what leaves of a text that is no attribute."""
        return str(self.value(key, text))

    def status(self, description: str | None) -> str | None:
        """Return what leaves of a status's description, which tells of an exception."""
        return self.text(STATUS, description) if description and self.exception_text else None

    def body(self, event: str, body: str | None) -> str | None:
        """Return what leaves of an event's body; of a list of artifacts, their names one by one."""
        if body is None or self.hook is None:
            return body
        if event == E.MLOTEL_ARTIFACT_MANIFEST:
            entries = [
                {**entry, "name": self.text(A.MLOTEL_ARTIFACT_NAME, entry["name"])}
                for entry in msgspec.json.decode(body)
            ]
            return msgspec.json.encode(entries).decode()
        return self.text(BODY, body)
