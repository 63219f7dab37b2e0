"""Each test that the documentation of reliability and security names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = {name for path in (ROOT / "tests").rglob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}
FILES = {path.name for path in (ROOT / "tests").rglob("test_*.py")}


@pytest.mark.parametrize("page", ["docs/reliability.md", "SECURITY.md", "docs/privacy.md", "docs/sampling.md"])
def test_every_test_that_is_named_exists(page):
    """Files by their path or name, with or without the suffix; functions by theirs."""
    text = (ROOT / page).read_text()
    paths = re.findall(r"`((?:tests|benchmarks|docs|collector-config)/[\w/.-]+?)(?:::\w+)?`", text)
    assert [path for path in paths if not (ROOT / path.split("#")[0]).exists()] == []

    words = set(re.findall(r"\b(test_\w+(?:\.py)?)", text))
    assert {word for word in words if word not in NAMES and f"{word.removesuffix('.py')}.py" not in FILES} == set()
