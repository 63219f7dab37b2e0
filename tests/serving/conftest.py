from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pytest
from collected import Exported
from msgspec.structs import replace

from mlotel import _runtime
from mlotel.drift import Reference
from mlotel.serving import _export

ROWS = 2_000


@pytest.fixture(autouse=True)
def _a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    # a warning that another test has seen would not come again, nor would its counts go
    monkeypatch.setattr(_runtime, "_told", set())
    fresh = _export.Exports()
    monkeypatch.setattr(_export, "exports", fresh)
    monkeypatch.setattr("mlotel.serving._monitor.exports", fresh)


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exported]:
    """What is exported, by a provider that is this process's alone."""
    found = Exported()
    runtime = replace(_runtime.nothing(), serving_meters=found.meters)
    before = _runtime.install(lambda: runtime)
    yield found
    _runtime.install(before)
    found.provider.shutdown()


@pytest.fixture(scope="session")
def table() -> pa.Table:
    """Features of all kinds with missing values, and predictions that are classes."""
    rng = np.random.default_rng(5)
    amount = rng.lognormal(size=ROWS)
    amount[rng.random(ROWS) < 0.03] = np.nan
    return pa.table(
        {
            "amount": pa.array(amount, from_pandas=True),
            "count": rng.poisson(2.0, ROWS),
            "colour": rng.choice(["red", "green", "blue"], ROWS, p=[0.6, 0.3, 0.1]),
            "member": rng.random(ROWS) < 0.3,
            "prediction": rng.choice(["late", "on-time"], ROWS, p=[0.2, 0.8]),
        }
    )


@pytest.fixture(scope="session")
def reference(table: pa.Table) -> Reference:
    return Reference.fit(table, model="delay", version="7")


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The warnings that mlotel logged so far."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
