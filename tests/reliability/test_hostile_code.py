"""Nothing that is read is run: the source has no call that could."""

from __future__ import annotations

import ast
import functools
from collections.abc import Sequence
from pathlib import Path

import mlotel

SOURCE = Path(mlotel.__file__).parent
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "code", "codeop", "runpy", "yaml"}
CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
METHODS = {
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "numpy.load", "np.load"),
    *("torch.load", "pandas.read_pickle", "pa.deserialize", "pyarrow.deserialize", "pickle.loads", "pickle.load"),
}
IMPORTED_BY_NAME = {
    "__init__.py": "the public names, each from its module",
    "_runtime.py": "mlotel.sdk, by this name alone",
    "cli/app.py": "the commands, from a table",
    "sdk/_transport.py": "what sending takes, from a table",
}
STARTS_PROGRAMS = {
    "provenance.py": "git",
    "cli/exec.py": "the user's own command",
    "store/parts.py": "Python, with the modules that this process has",
}


@functools.cache
def trees() -> Sequence[tuple[str, ast.Module]]:
    paths = sorted(SOURCE.rglob("*.py"))
    return [(path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def called(node: ast.Call) -> str:
    return ast.unparse(node.func)


@functools.cache
def calls() -> Sequence[tuple[str, ast.Call]]:
    return [(name, node) for name, tree in trees() for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_nothing_that_unpickles_is_imported() -> None:
    """Nor what reads YAML, compiles, or runs modules."""
    found = set()
    for name, tree in trees():
        for node in ast.walk(tree):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                imported = [node.module]
            found |= {(name, each) for each in imported if each.partition(".")[0] in MODULES}
    assert found == set()


def test_nothing_is_evaluated() -> None:
    """No text becomes code, and no array or model file is loaded by a library that would make it so."""
    found = {(name, called(node)) for name, node in calls() if called(node) in CALLS | METHODS}
    assert found == set()
    keywords = {(name, each.arg) for name, node in calls() for each in node.keywords}
    assert not {pair for pair in keywords if pair[1] in ("allow_pickle", "shell")}


def test_modules_are_imported_by_names_of_our_own() -> None:
    """Entry points of installed packages apart, which the user installed to have them loaded."""
    found = {name for name, node in calls() if called(node).rpartition(".")[2] == "import_module"}
    assert found == IMPORTED_BY_NAME.keys()


def test_programs_are_started_by_argument_lists_in_three_places() -> None:
    """No shell reads a command line that holds what somebody else wrote."""
    starting = ("subprocess.Popen", "subprocess.run", "subprocess.call", "subprocess.check_call", "os.exec", "os.spawn")
    found = {name for name, node in calls() if called(node).startswith(starting)}
    assert found == STARTS_PROGRAMS.keys()


def test_nothing_is_mapped_but_what_the_caller_asks_for() -> None:
    """A mapped file that somebody truncates kills its reader."""
    found = {name for name, node in calls() if called(node).rpartition(".")[2] in ("mmap", "memory_map", "memmap")}
    assert found == {"hashing/_files.py"}
    assert not {name for name, node in calls() for each in node.keywords if each.arg in ("memory_map", "mmap_mode")}
