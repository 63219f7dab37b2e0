"""What is private stays where it is: packages of mlotel know of each other what is public."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlotel

ROOT = Path(mlotel.__file__).parent


def imported(module: str, text: str) -> Iterator[tuple[int, str]]:
    """The private names of other packages that a module imports, each with its line.

    A name that begins with an underscore belongs to the package that it stands in and to what is below that.
    """
    package = module.rpartition(".")[0]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            for place, part in enumerate(parts):
                owner = ".".join(parts[:place])
                private = part.startswith("_") and not part.endswith("__")
                if parts[0] == "mlotel" and private and not f"{package}.".startswith(f"{owner}."):
                    yield node.lineno, name


def test_no_package_imports_what_is_private_to_another() -> None:
    """What several packages need has a public name in the one that it belongs to."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(("mlotel", *path.relative_to(ROOT).with_suffix("").parts))
        found += [f"{module}:{line} {name}" for line, name in imported(module, path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("module", "text", "expected"),
    [
        ("mlotel.rules._alerts", "from mlotel.drift._bins import Bins", ["mlotel.drift._bins.Bins"]),
        ("mlotel.scrape", "import mlotel.serving._export", ["mlotel.serving._export"]),
        ("mlotel.testing", "def f():\n    from mlotel.sdk import _sinks", ["mlotel.sdk._sinks"]),
        ("mlotel.drift._compare", "from mlotel.drift._bins import Bins", []),
        ("mlotel.store.predictions.rows", "from mlotel._runtime import guard", []),
        ("mlotel.drifting.other", "from mlotel.drift._bins import Bins", ["mlotel.drift._bins.Bins"]),
        ("mlotel.scrape", "from mlotel._version import __version__", []),
    ],
)
def test_an_import_of_a_private_name_is_seen(module: str, text: str, expected: list[str]) -> None:
    """At the top of a module or within a function, of a module or of a name in it."""
    assert [name for _, name in imported(module, text)] == expected
