"""What the package offers: literal, complete, and the same everywhere it is written."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import types
from importlib.metadata import version
from pathlib import Path

import pytest

import stratavfs
from stratavfs import VirtualFileSystem, records

PACKAGE = Path(stratavfs.__file__).parent
TYPED = Path(__file__).parent / "typing" / "signatures.py"

# Collected before the fixtures put a checking close() in the place of the real one.
MEMBERS = {
    name: value
    for name, value in sorted(vars(VirtualFileSystem).items())
    if not name.startswith("_")
}
METHODS = [name for name, value in MEMBERS.items() if inspect.isfunction(value)]


def literal_all(path: Path) -> list[str] | None:
    """Return ``__all__`` as it is written, None without one; fail if it is computed."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.AugAssign) and "__all__" in ast.unparse(node.target):
            raise AssertionError(ast.unparse(node))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            found: list[str] = ast.literal_eval(node.value)
            return found
    return None


# --- __all__ --------------------------------------------------------------------------


def test_all_is_literal_and_sorted() -> None:
    names = literal_all(PACKAGE / "__init__.py")

    assert names is not None
    assert names == sorted(names) == stratavfs.__all__


def test_all_names_everything_that_is_imported() -> None:
    imported = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse((PACKAGE / "__init__.py").read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    }

    assert imported | {"__version__"} == set(stratavfs.__all__)


@pytest.mark.parametrize("name", stratavfs.__all__)
def test_all_names_what_is_there(name: str) -> None:
    assert hasattr(stratavfs, name)


def test_all_leaves_no_public_name_out() -> None:
    public = {
        name
        for name, value in vars(stratavfs).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }

    assert public - {"annotations"} == set(stratavfs.__all__) - {"__version__"}


def test_all_names_each_record_that_a_method_takes_or_returns() -> None:
    known = {name for name, value in vars(records).items() if is_record(value)}
    annotations = " ".join(
        str(annotation)
        for value in MEMBERS.values()
        if inspect.isfunction(value)
        for annotation in inspect.get_annotations(value).values()
    )
    spoken = {name for name in known if re.search(rf"\b{name}\b", annotations)}

    assert {"Finding", "StatResult"} <= spoken
    assert spoken <= set(stratavfs.__all__)


def is_record(value: object) -> bool:
    return isinstance(value, type) and hasattr(value, "_fields")


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PACKAGE.glob("_[a-z]*.py")) if literal_all(path)],
    ids=lambda path: path.stem,
)
def test_all_of_a_module_names_what_others_import(path: Path) -> None:
    module = f"stratavfs.{path.stem}"
    imported = {
        alias.name
        for other in PACKAGE.glob("*.py")
        for node in ast.walk(ast.parse(other.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == module
        for alias in node.names
    }

    assert imported - set(literal_all(path) or ()) == set()


# --- the class ------------------------------------------------------------------------


def test_class_is_final_and_says_where_it_lives() -> None:
    assert VirtualFileSystem.__final__ is True  # type: ignore[attr-defined]
    assert VirtualFileSystem.__bases__ == (object,)
    assert (
        importlib.import_module("stratavfs.vfs").VirtualFileSystem is VirtualFileSystem
    )


def test_class_unlink_is_remove() -> None:
    unlink, remove = (inspect.unwrap(MEMBERS[name]) for name in ("unlink", "remove"))

    assert unlink is remove


@pytest.mark.parametrize("name", METHODS)
def test_method_is_annotated(name: str) -> None:
    signature = inspect.signature(MEMBERS[name])

    assert signature.return_annotation is not inspect.Signature.empty
    unannotated = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.annotation is parameter.empty and parameter.name != "self"
    ]
    assert unannotated == []


@pytest.mark.parametrize("name", MEMBERS)
def test_method_docstring_begins_with_a_summary_line(name: str) -> None:
    docstring = inspect.getdoc(MEMBERS[name])

    assert docstring
    first, *rest = docstring.splitlines()
    assert first.endswith(".")
    assert first[0].isupper()
    assert len(first) <= 79
    assert rest[:1] in ([], [""])


# --- types ----------------------------------------------------------------------------


def test_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.parametrize("name", METHODS)
def test_method_has_its_types_asserted(name: str) -> None:
    asserted = [
        ast.unparse(node.args[0])
        for node in ast.walk(ast.parse(TYPED.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "assert_type"
    ]

    assert any(text.startswith(f"vfs.{name}(") for text in asserted)


# --- the version ----------------------------------------------------------------------


def test_version_is_that_of_the_distribution() -> None:
    assert stratavfs.__version__ == version("stratavfs")
