"""What an operation of the API is: its address, its parameters, what it answers, in a form that can be documented."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mlotel.errors import QueryError
from mlotel.ui.reading import Answering, Reading

__all__ = ["Operation", "Parameter", "read_parameters"]

_LONGEST = 4096
_MANY = 50


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: of the query, of the path where the operation's path has it in braces, or of a JSON body.

    Args:
        name: as it is written in the request.
        description: what it does, as a sentence.
        choices: the values that it may have; any text if empty.
        minimum: makes it an integer, of at least this.
        maximum: and at most this.
        default: what stands for it where it is left out.
        required: whether it must not be left out.
        repeated: whether it may be given several times; its value is then a sequence of texts.
        parse: makes a value of the text; a ValueError or MlotelError with the fix where it cannot.
    """

    name: str
    description: str
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    default: str | int | None = None
    required: bool = False
    repeated: bool = False
    parse: Callable[[str], Any] | None = None

    def read(self, texts: Sequence[str]) -> Any:
        """Return the value of what was given.

        Raises:
            QueryError: nothing was given and something must be, or it cannot be used.
        """
        if self.repeated:
            if len(texts) > _MANY:
                raise QueryError(f"{self.name} was given {len(texts)} times: {_MANY} are allowed")
            return tuple(self._value(text) for text in texts)
        if not texts or (texts[-1] == "" and not self.required):
            if self.required:
                raise QueryError(f"{self.name} is missing: {self.description}")
            return self._value(self.default) if isinstance(self.default, str) else self.default
        return self._value(texts[-1])

    def _value(self, text: str) -> Any:
        if len(text) > _LONGEST:
            raise QueryError(f"{self.name} is longer than {_LONGEST} characters")
        if self.choices and text not in self.choices:
            raise QueryError(f"{self.name} is {text!r}: give one of {', '.join(self.choices)}")
        if self.minimum is not None:
            return self._integer(text)
        if self.parse is None:
            return text
        try:
            return self.parse(text)
        except ValueError as error:
            raise QueryError(f"{self.name}: {error}") from error

    def _integer(self, text: str) -> int:
        digits = text.removeprefix("-")
        value = int(text) if digits.isascii() and digits.isdecimal() and len(digits) <= 18 else None
        low, high = self.minimum, self.maximum
        if value is None or (low is not None and value < low) or (high is not None and value > high):
            upper = f" to {high}" if high is not None else " or more"
            raise QueryError(f"{self.name} is {text!r}: give a whole number of {low}{upper}")
        return value


Handler = Callable[[Reading, Answering, Mapping[str, Any]], object]
"""Is given where it reads, the store for this one answer, and the parameters' values; returns a JSON document."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that the API does.

    Args:
        method: GET, or POST for what writes.
        path: below ``/api``, with path parameters in braces.
        name: what programs call it, in lower camel case.
        summary: what it does, as a sentence.
        handler: answers.
        answer: the JSON Schema of the answer.
        parameters: those of the query and of the path; for a POST, the members of the JSON body.
    """

    method: Literal["GET", "POST"]
    path: str
    name: str
    summary: str
    handler: Handler
    answer: Mapping[str, Any]
    parameters: tuple[Parameter, ...] = ()


def read_parameters(operation: Operation, given: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the values of an operation's parameters, with those that were left out.

    Raises:
        QueryError: one is unknown, missing or cannot be used.
    """
    known = {parameter.name for parameter in operation.parameters}
    for name, _ in given:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise QueryError(f"there is no parameter {name!r} here: those are {listed}")
    return {
        parameter.name: parameter.read([text for name, text in given if name == parameter.name])
        for parameter in operation.parameters
    }
