"""Functions that a pickle names, decorated; imported by tests and their workers."""

from __future__ import annotations

import mlotel


@mlotel.component("double", params=True)
def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


class Model:
    """Every kind of method."""

    @mlotel.component("method")
    def method(self, x: int) -> tuple[Model, int]:
        return self, x

    @mlotel.component("outer static")
    @staticmethod
    def outer_static(x: int) -> int:
        return x

    @staticmethod
    @mlotel.component("inner static")
    def inner_static(x: int) -> int:
        return x

    @mlotel.component("outer class")
    @classmethod
    def outer_class(cls, x: int) -> tuple[type, int]:
        return cls, x

    @classmethod
    @mlotel.component("inner class")
    def inner_class(cls, x: int) -> tuple[type, int]:
        return cls, x

    @property
    @mlotel.component("property")
    def value(self) -> int:
        return 7

    @mlotel.component("call")
    def __call__(self, x: int) -> int:
        return x
