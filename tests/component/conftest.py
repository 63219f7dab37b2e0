from __future__ import annotations

from collections.abc import Callable

import pytest

from mlotel import _runtime


@pytest.fixture(autouse=True)
def _nothing_told_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    # a warning that another test has seen would not come again
    monkeypatch.setattr(_runtime, "_told", set())


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The warnings that mlotel logged so far."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
