from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

TableOf = Callable[..., pa.Table]


@pytest.fixture
def table_of() -> TableOf:
    """Return what makes a table of n rows of one distribution: two numbers, a category, a boolean, some missing."""

    def make(rows: int, seed: int = 1, **columns: Any) -> pa.Table:
        rng = np.random.default_rng(seed)
        made = {
            "age": pa.array(rng.gamma(4.0, 10.0, rows), mask=rng.random(rows) < 0.02),
            "score": pa.array(rng.normal(size=rows)),
            "city": pa.array(rng.choice(["Rome", "Oslo", "Bonn", "Graz"], rows, p=[0.5, 0.3, 0.15, 0.05])),
            "member": pa.array(rng.random(rows) < 0.3),
        }
        return pa.table({**made, **columns})

    return make
