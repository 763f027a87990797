"""The house as it is drawn: imports go down, and every room keeps its own law."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import stratavfs
from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(stratavfs.__file__).parent
REPOSITORY = Path(__file__).parent.parent

# The floor of each module; imports, those for type checkers included, go down only.
FLOOR = {
    # words
    "errors": 0,
    "_sql": 0,
    "_rules": 0,
    "records": 1,
    # rules
    "_paths": 2,
    "_modes": 2,
    "_options": 2,
    "_spans": 2,
    "_patterns": 3,
    "_contracts": 3,
    "_arguments": 3,
    "_choices": 4,
    "_progress": 2,
    "_selection": 4,
    # engine
    "_faults": 3,
    "_bounds": 3,
    "_files": 3,
    "_forking": 3,
    "_gates": 3,
    "_scopes": 4,
    "_ticks": 3,
    "_format": 4,
    "_rows": 4,
    "_defence": 2,
    "_empty": 3,
    "_connection": 5,
    "_store": 6,
    "_quiet": 7,
    # rooms
    "_content": 7,
    "_hiding": 7,
    "_pins": 7,
    "_tree": 8,
    "_cached_tree": 9,
    "_building": 7,
    "_bulk": 9,
    "_openfile": 9,
    # view: layers of other kinds, one layer, all of them, the merged tree
    "layers.protocol": 2,
    "layers._members": 2,
    "layers.directory": 3,
    "layers.archive": 3,
    "layers.__init__": 4,
    "_underlays": 10,
    "_foreign": 11,
    "_resolver": 11,
    "_stack": 12,
    "_entry": 11,
    "_layers": 13,
    # changes
    "_copyup": 14,
    "_shortcuts": 14,
    "_edits": 15,
    "_copies": 16,
    "_compare": 14,
    "_grafts": 16,
    # archives: formats, which know no file system
    "archives.protocol": 2,
    "archives._zstd": 2,
    "archives._packed": 3,
    "archives._blocks": 3,
    "archives._tar_reader": 4,
    "archives._tar_writer": 4,
    "archives._tar": 5,
    "archives._zip_reader": 4,
    "archives._zip_writer": 4,
    "archives._zip": 5,
    "archives._formats": 6,
    "archives.__init__": 7,
    # doors
    "_host": 4,
    "_streams": 4,
    "_encounters": 17,
    "_arrivals": 18,
    "_import_tree": 19,
    "_import_archive": 19,
    "_merged": 17,
    "_host_names": 3,
    "_host_target": 16,
    "_host_attributes": 17,
    "_export_conflicts": 18,
    "_export_tree": 19,
    "_export_archive": 18,
    "_sqlar": 18,
    "_find": 18,
    "_grep": 18,
    "_usage": 18,
    "_metadata": 3,
    "_handle": 17,
    "_open_handles": 18,
    "_batch": 19,
    "_search": 17,
    "_check": 17,
    "_lost": 18,
    "_mended": 18,
    "_names": 19,
    "_scraps": 19,
    "_repair": 20,
    "_upkeep": 17,
    "_fresh": 7,
    "_packing": 18,
    "_pack": 19,
    "_trace": 15,
    # roof
    "vfs": 21,
    "__init__": 22,
    # apart: users of the public class
    "testing": 23,
    "cli._places": 24,
    "cli._quoting": 24,
    "cli._streams": 24,
    "cli._shell_words": 24,
    "cli._shell_commands": 35,
    "cli._shell_desk": 34,
    "cli._shell_prompt": 34,
    "cli._output": 25,
    "cli._stacks": 26,
    "cli._progress": 26,
    "cli._ls": 26,
    "cli._words": 26,
    "cli._containers": 27,
    "cli._completion": 28,
    "cli._commands": 29,
    "cli._looking": 30,
    "cli._reading": 30,
    "cli._writing": 30,
    "cli._transfer": 30,
    "cli._stacking": 30,
    "cli._upkeep": 30,
    "cli._copier": 30,
    "cli._copying": 31,
    "cli._shell": 36,
    "cli._app": 38,
    "cli.__init__": 40,
    "__main__": 41,
}

SOURCES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path.read_text("utf-8")
    for path in PACKAGE.rglob("*.py")
}
TREES = {name: ast.parse(text) for name, text in SOURCES.items()}
MODULES = sorted(SOURCES)
SHORTER = 400  # lines in a module
LONGER = {"_sql": 1000, "_rules": 1000, "errors": 600}  # texts, one after the other
STATED = {"vfs": 880}  # lines of code without docstrings and overloads
FUNCTION = 40  # lines of code in a function

# What imports more than icontract, which an extra installs.
EXTRAS = {
    *(name for name in MODULES if name.startswith("cli.")),
    "__main__",
    "archives._zstd",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


# --- imports --------------------------------------------------------------------------


def imported_by(module: str) -> set[str]:
    """Return the names of all modules that *module* imports, wherever it does."""
    found: set[str] = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the floor"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            inside = {name for name in names if name.partition(".")[2] in SOURCES}
            if node.module == "stratavfs":
                found |= names
            elif inside:  # modules of a package
                found |= inside
            else:
                found.add(node.module or "")
    return found


def ours(module: str) -> set[str]:
    """Return the modules of the package that *module* imports."""
    return {
        module_of(name.partition(".")[2])
        for name in imported_by(module)
        if name.partition(".")[0] == "stratavfs"
    }


def module_of(name: str) -> str:
    """Return the module that *name*, a module or what one exports, comes from."""
    while name and name not in SOURCES:
        if f"{name}.__init__" in SOURCES:
            return f"{name}.__init__"
        name = name.rpartition(".")[0]
    return name or "__init__"


def test_floors_name_every_module() -> None:
    assert set(FLOOR) == set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module: str) -> None:
    assert {name for name in ours(module) if FLOOR[name] >= FLOOR[module]} == set()


def test_imports_of_sqlite3_are_the_connections_alone() -> None:
    # Two of them name its type to type checkers alone.
    found = [name for name in MODULES if "sqlite3" in imported_by(name)]

    # An SQLite archive is another database.
    assert found == ["_connection", "_defence", "_empty", "_sqlar", "_store"]


def test_imports_from_outside_are_icontract_alone() -> None:
    outside = {
        name.partition(".")[0]
        for module in MODULES
        if module not in EXTRAS
        for name in imported_by(module)
    } - {*sys.stdlib_module_names, "stratavfs"}

    assert outside == {"icontract", "_typeshed"}  # the latter for type checkers


def test_imports_of_extras_are_loaded_by_their_users_alone() -> None:
    script = "import sys, stratavfs, stratavfs.archives; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert {"click", "rich", "zipfile", "tarfile"} & {*run.stdout.split()} == set()


def test_words_import_nothing_of_ours_but_words() -> None:
    assert {name: ours(name) for name in ("errors", "_sql", "_rules")} == {
        "errors": set(),
        "_sql": set(),
        "_rules": set(),
    }


@pytest.mark.parametrize(
    "module", [name for name in MODULES if FLOOR[name] < FLOOR["vfs"]]
)
def test_below_the_roof_nobody_knows_the_facade(module: str) -> None:
    names = {
        node.id for node in ast.walk(TREES[module]) if isinstance(node, ast.Name)
    } | {
        node.attr for node in ast.walk(TREES[module]) if isinstance(node, ast.Attribute)
    }

    assert "VirtualFileSystem" not in names


# --- SQL ------------------------------------------------------------------------------

# A string is SQL when it begins with a keyword of SQLite in capitals, as all ours do.
KEYWORDS = (
    "SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|CREATE|DROP|ALTER|PRAGMA|BEGIN|COMMIT|"
    "END|ROLLBACK|SAVEPOINT|RELEASE|ATTACH|DETACH|VACUUM|ANALYZE|REINDEX|EXPLAIN"
)
SQL = re.compile(rf"\s*({KEYWORDS})\b(?![a-z.,:)'])")


def docstrings(tree: ast.AST) -> set[int]:
    """Return the ids of the string nodes that stand alone as a statement."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def sql_literals(module: str) -> list[str]:
    skipped = docstrings(TREES[module])
    return [
        f"{module}:{node.lineno}: {node.value}"
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in skipped
        and SQL.match(node.value)
    ]


@pytest.mark.parametrize(
    "module", [name for name in MODULES if name not in ("_sql", "_rules", "_sqlar")]
)
def test_sql_stands_in_sql_alone(module: str) -> None:
    assert sql_literals(module) == []


def test_sql_detector_finds_what_is_there() -> None:
    assert len(sql_literals("_sql")) > 50


# --- the facade -----------------------------------------------------------------------

PROPERTIES = {"db_path", "chunk_size", "read_only", "closed"}
PUBLIC = {name for name in dir(VirtualFileSystem) if not name.startswith("_")}


def facade() -> ast.ClassDef:
    (found,) = (
        node
        for node in TREES["vfs"].body
        if isinstance(node, ast.ClassDef) and node.name == "VirtualFileSystem"
    )
    return found


def methods() -> list[Function]:
    return [node for node in facade().body if isinstance(node, Function)]


def of_self(method: Function) -> set[str]:
    """Return the attributes of ``self`` in the body; decorators are no part of it."""
    return {
        node.attr
        for statement in method.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def test_facade_methods_call_no_public_method() -> None:
    calls = {
        method.name: found
        for method in methods()
        if (found := (of_self(method) & PUBLIC) - PROPERTIES)
    }

    # Leaving the context is closing; two gates cost nothing there.
    assert calls == {"__exit__": {"close"}}


def test_facade_has_one_class_without_bases() -> None:
    classes = [node for node in TREES["vfs"].body if isinstance(node, ast.ClassDef)]

    assert classes == [facade()]
    assert facade().bases == []


def test_facade_methods_begin_and_lock_through_the_gates_only() -> None:
    verbs = {"acquire", "release", "begin", "end", "execute", "write", "row", "rows"}
    calls = {
        f"{method.name}: {node.func.attr}"
        for method in methods()
        for node in ast.walk(method)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in verbs
    }

    assert calls == set()


def test_facade_loops_live_below() -> None:
    loops = {
        method.name
        for method in methods()
        for node in ast.walk(method)
        if isinstance(node, ast.While)
    }

    assert loops == set()


def test_facade_instance_has_as_many_attributes_as_its_comments_say() -> None:
    with VirtualFileSystem() as vfs:
        attributes = set(vars(vfs))

    assert attributes == {
        "_store",
        "_lock",
        "_copy_up",
        "_grafts",
        "_layers",
        "_edits",
        "_copies",
        "_handles",
        "_clock",
    }


# --- sizes ----------------------------------------------------------------------------


def code_lines(text: str) -> set[int]:
    """Return the numbers of the lines that hold code: no comments, no blank ones."""
    skipped = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    return {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in skipped
        for line in range(token.start[0], token.end[0] + 1)
    }


def functions(module: str) -> Iterator[tuple[str, int]]:
    """Yield (name, lines of code without the docstring) of each, overloads left out."""
    lines = code_lines(SOURCES[module])
    for node in ast.walk(TREES[module]):
        if not isinstance(node, Function) or is_overload(node):
            continue
        span = set(range(node.lineno, (node.end_lineno or 0) + 1))
        if ast.get_docstring(node) is not None:
            first = node.body[0]
            span -= set(range(first.lineno, (first.end_lineno or 0) + 1))
        yield node.name, len(span & lines)


def is_overload(node: Function) -> bool:
    return any(
        isinstance(mark, ast.Name) and mark.id == "overload"
        for mark in node.decorator_list
    )


@pytest.mark.parametrize("module", MODULES)
def test_functions_are_short(module: str) -> None:
    long = {name: lines for name, lines in functions(module) if lines > FUNCTION}

    assert long == {}


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short(module: str) -> None:
    if module in STATED:  # most of the public class is what its users read
        assert sum(lines for _, lines in functions(module)) <= STATED[module]
    else:
        assert len(SOURCES[module].splitlines()) <= LONGER.get(module, SHORTER)


# --- words ----------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_module_opens_with_its_law(module: str) -> None:
    docstring = ast.get_docstring(TREES[module])

    assert docstring
    assert docstring.splitlines()[0].endswith(".")


# What nothing is called here, and what it is called instead.
BANNED = {
    "manager": "its noun",
    "helper": "its verb",
    "util": "its noun",
    "utils": "its noun",
    "info": "stat, record",
    "process": "its verb",
    "perform": "its verb",
    "simply": "nothing",
    "robust": "nothing",
    "seamless": "nothing",
    "level": "layer",
    "tier": "layer",
    "mod": "layer",
    "dispatch": "resolve",
    "tombstone": "whiteout",
    "promote": "copy-up",
    "clone": "copy-up",
    "node": "inode",
    "dirent": "entry",
    "block": "chunk",
    "blocks": "chunk",
    "gap": "hole",
    "fd": "handle",
    "folder": "directory",
    "session": "batch",
    "backend": "store",
    "driver": "store",
    "revision": "generation",
    "etag": "generation",
    "warning": "finding",
    "issue": "finding",
    "zombie": "orphan",
    "leak": "orphan",
    "timer": "clock",
}


def defined(tree: ast.AST) -> Iterator[str]:
    """Yield every name that the module gives to something."""
    for node in ast.walk(tree):
        if isinstance(node, Function | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(
            node.ctx, ast.Store
        ):
            yield node.id if isinstance(node, ast.Name) else node.attr


def words(name: str) -> set[str]:
    """Return the words of an identifier.

    >>> sorted(words("SchemaTooNew")), sorted(words("_read_only"))
    (['new', 'schema', 'too'], ['only', 'read'])
    """
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


@pytest.mark.parametrize("module", MODULES)
def test_names_use_the_words_of_the_house(module: str) -> None:
    wrong = {
        name: BANNED[word]
        for name in defined(TREES[module])
        for word in words(name) & set(BANNED)
    }

    assert wrong == {}


@pytest.mark.parametrize("module", MODULES)
def test_names_use_handle_as_a_noun(module: str) -> None:
    verbs = {
        node.name
        for node in ast.walk(TREES[module])
        if isinstance(node, Function) and node.name.lstrip("_").startswith("handle_")
    }

    assert verbs == set()


# --- the repository -------------------------------------------------------------------

SKIPPED = {"build", "dist", "work", "__pycache__"}
TEXTS = {".py", ".md", ".toml", ".cfg", ".ini", ".txt", ".json", ".yml", ".yaml", ""}


def repository_files() -> Iterator[Path]:
    """Yield the text files of the checkout, caches and version control left out."""
    for path in REPOSITORY.rglob("*"):
        parts = path.relative_to(REPOSITORY).parts
        hidden = any(part.startswith(".") and part != ".ci" for part in parts[:-1])
        if path.is_file() and not hidden and not SKIPPED & set(parts):
            yield path


def test_repository_names_nothing_that_is_not_in_it() -> None:
    beside = re.compile(r"(?<![\w-])(\.\./)?sha" + "red/")
    naming = [
        str(path.relative_to(REPOSITORY))
        for path in repository_files()
        if path.suffix in TEXTS and beside.search(path.read_text("utf-8", "replace"))
    ]

    assert naming == []
