"""The library's own source: nothing in it turns bytes of a file into code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import stratavfs

PACKAGE = Path(stratavfs.__file__).parent
SOURCES = {
    str(path.relative_to(PACKAGE)): path.read_text("utf-8")
    for path in PACKAGE.rglob("*.py")
}
MODULES = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "dbm", "code"}
CALLS = {"eval", "exec", "compile", "__import__", "breakpoint"}
DOTTED = {
    "import_module",  # importlib
    "load_extension",  # sqlite3
    "enable_load_extension",
    "executescript",  # what a semicolon begins would run too
    "system",  # os
    "popen",
}


# A command's module is loaded when it is used, by its name in a table there.
ALLOWED = {"cli/_app.py": {".import_module"}}


def imported(tree: ast.AST) -> set[str]:
    """Return the first part of the name of every module that is imported."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def called(tree: ast.AST) -> set[str]:
    """Return the names of all that is called or mentioned in such a way."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names | {
        f".{node.attr}" for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_source_loads_no_objects_from_bytes(module: str) -> None:
    assert imported(ast.parse(SOURCES[module])) & MODULES == set()


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_source_runs_no_text_as_code(module: str) -> None:
    found = called(ast.parse(SOURCES[module]))

    assert found & CALLS == set()
    assert found & {f".{name}" for name in DOTTED} == ALLOWED.get(module, set())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import pickle", {"pickle"}),
        ("from pickle import loads", {"pickle"}),
        ("def f():\n    import marshal.x", {"marshal"}),
        ("from a.pickle import b", set()),
    ],
)
def test_detector_finds_what_is_imported(text: str, found: set[str]) -> None:
    assert imported(ast.parse(text)) & MODULES == found


@pytest.mark.parametrize(
    "text", ["eval('1')", "f = exec", "x.executescript(y)", "builtins.compile(x)"]
)
def test_detector_finds_what_is_run(text: str) -> None:
    found = called(ast.parse(text))

    names = {*CALLS, *(f".{name}" for name in {*DOTTED, *CALLS})}
    assert found & names
