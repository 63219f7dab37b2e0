"""What users may rely on."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import mlotel

PUBLIC = [
    "ActiveRun",
    "ArtifactContext",
    "Reference",
    "RetractedError",
    "__version__",
    "annotations",
    "component",
    "configure",
    "current_run",
    "drift",
    "extract",
    "flush",
    "inject",
    "io",
    "profile",
    "register_fingerprint",
    "scrape",
    "serving",
    "shutdown",
    "start_component",
]


def test_the_public_names_are_these() -> None:
    """A name more or less is a decision, told in the changelog."""
    assert mlotel.__all__ == PUBLIC
    assert dir(mlotel) == sorted(PUBLIC)


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    """They load when asked for, and each has a docstring."""
    for name in PUBLIC:
        value = getattr(mlotel, name)
        assert name == "__version__" or inspect.getdoc(value), name
    with pytest.raises(AttributeError, match="module 'mlotel' has no attribute 'nothing'"):
        mlotel.nothing  # type: ignore[attr-defined] # noqa: B018


def test_the_stub_declares_the_public_names() -> None:
    """Type checkers see what there is."""
    stub = ast.parse(Path(mlotel.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imported = [alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    (declared,) = [
        ast.literal_eval(node.value)
        for node in stub.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"
    ]
    assert declared == PUBLIC
    assert sorted(name for name in imported if name is not None) == sorted(PUBLIC)


def test_every_public_name_of_the_submodules_is_there() -> None:
    """`__all__` of the modules that users import names what they define."""
    from mlotel import carriers, drift, errors, hashing, io, model, profiling, testing

    for module in (carriers, drift, errors, hashing, io, model, profiling, testing):
        for name in module.__all__:
            assert getattr(module, name) is not None


def test_importing_mlotel_loads_no_opentelemetry() -> None:
    """Nor NumPy, nor pyarrow: whoever imports mlotel for nothing pays nothing."""
    program = "import sys, mlotel; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert not {"numpy", "opentelemetry", "pyarrow", "pytest"} & set(done.stdout.split())


def test_a_run_without_tables_loads_neither_arrow_nor_the_sdk(tmp_path: Path) -> None:
    """On the embedded store bytes and scalars need neither."""
    program = (
        "import sys, mlotel\n"
        "with mlotel.component('a', params={'x': 1}) as run:\n"
        "    run.log_input(b'x'); run.log_metrics({'m': 1})\n"
        "print(*(n for n in ('numpy', 'pyarrow', 'opentelemetry.sdk', 'opentelemetry.exporter') if n in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path), "MLOTEL_STORE": str(tmp_path / "store")},
    )
    assert done.stdout.split() == []
