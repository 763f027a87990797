"""Other schemas than the format's: refused before any of a stranger's SQL could run.

What hides in a schema is a call of ``mark()``, a function that every connection of the
library has while these tests run, as an application's or an extension's might be there.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.faults.hostile import (
    WAYS,
    bounds,
    make_sample,
    rewrite_schema,
    sample_bytes,
    tour_of,
)
from tests.ground import connect, execute, files_beside

from stratavfs import (
    CorruptDatabase,
    ForeignDatabase,
    LayerFailed,
    SchemaTooNew,
    VirtualFileSystem,
    _sql,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.damaged


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with bounds():
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "stranger.db"
    make_sample(path)
    return path


class Trap:
    """What a stranger's SQL would set off, and what was run instead."""

    def __init__(self) -> None:
        self.marks = 0
        self.statements: list[str] = []

    def set_on(self, cx: sqlite3.Connection) -> sqlite3.Connection:
        cx.create_function("mark", -1, self.mark, deterministic=True)
        cx.create_collation("marking", lambda first, second: self.mark() or 0)
        cx.set_trace_callback(self.statements.append)
        return cx

    def mark(self, *_: object) -> int:
        self.marks += 1
        return 1


@pytest.fixture
def trap(monkeypatch: pytest.MonkeyPatch) -> Trap:
    """Set the trap on every connection that the library makes from now on."""
    trap = Trap()
    connect = sqlite3.connect

    def connect_trapped(*args: Any, **options: Any) -> sqlite3.Connection:
        return trap.set_on(connect(*args, **options))

    monkeypatch.setattr(sqlite3, "connect", connect_trapped)
    return trap


def text_of(table: str) -> str:
    (text,) = [text for text in _sql.SCHEMA if text.split()[2] == table]
    return text


def altered(table: str, old: str, new: str) -> dict[str, str]:
    """Return the text of *table* with something else in one place."""
    text = text_of(table)
    assert text.count(old) == 1
    return {table: text.replace(old, new)}


# Texts that SQLite takes for the same tables and views, put into the schema by hand.
TEXTS = {
    "generated column": altered(
        "inodes", "  content ", "  trap INT GENERATED ALWAYS AS (mark()),\n  content "
    ),
    "collation of a name": altered(
        "entries", "name   TEXT NOT NULL,", "name TEXT NOT NULL COLLATE marking,"
    ),
    "collation of an attribute": altered(
        "xattrs", "  name  TEXT NOT NULL", "  name TEXT COLLATE marking NOT NULL"
    ),
    "function in a CHECK": altered(
        "inodes", "CHECK (nlink >= 0)", "CHECK (mark(nlink))"
    ),
    "function in a DEFAULT": altered(
        "inodes", "uid          INTEGER NOT NULL", "uid INTEGER DEFAULT (mark())"
    ),
    "function in the index": altered("orphans", "nlink = 0", "mark(nlink) = 0"),
    "index by a function": altered("orphans", "(id)", "(mark(id))"),
    "function in the view": altered("files", "i.size AS size", "mark() AS size"),
    "view of another table": {
        "files": "CREATE VIEW files AS SELECT * FROM sqlite_schema"
    },
    "no STRICT": altered("chunks", ") STRICT", ")"),
    "no CHECK": altered("chunks", " CHECK (idx >= 0)", ""),
    "another comment": altered("chunks", "and on of a file", "and off of a file"),
    "one blank more": altered("settings", "CREATE TABLE ", "CREATE TABLE  "),
    "small letters": altered("settings", "CREATE TABLE", "create table"),
    "NUL in a text": {"xattrs": text_of("xattrs") + "\0, trap"},
    "a million comments": {"xattrs": text_of("xattrs") + "/* */" * 200_000},
}

CREATE_TRIGGER = "CREATE TRIGGER {} AFTER INSERT ON entries BEGIN SELECT mark(); END"
# Statements that change the schema as anybody may.
STATEMENTS = {
    "trigger": CREATE_TRIGGER.format("trap"),
    "trigger instead of the view": CREATE_TRIGGER.format("trap")
    .replace("AFTER", "INSTEAD OF")
    .replace("ON entries", "ON files"),
    "view": "CREATE VIEW trap AS SELECT mark()",
    "table": "CREATE TABLE trap (x)",
    "index": "CREATE INDEX trap ON inodes (mark(size))",
    "virtual table": "CREATE VIRTUAL TABLE trap USING fts5(x)",
    "statistics": "ANALYZE",
    "column": "ALTER TABLE inodes ADD COLUMN trap TEXT",
    "other name of a table": "ALTER TABLE xattrs RENAME TO trap",
    "other name of a column": "ALTER TABLE xattrs RENAME COLUMN value TO trap",
    "no table": "DROP TABLE xattrs",
    "no index": "DROP INDEX orphans",
    "no view": "DROP VIEW files",
}

# Rows that are put into the schema's own table: type, name, table, root page, text.
ADD_ROW = "INSERT INTO sqlite_schema VALUES (?, ?, ?, 0, ?)"
ROWS: dict[str, tuple[str, tuple[object, ...]]] = {
    "trigger called sqlite_sequence": (
        ADD_ROW,
        ("trigger", "sqlite_sequence", "entries", CREATE_TRIGGER.format("x")),
    ),
    "trigger called as an index": (
        ADD_ROW,
        (
            "trigger",
            "sqlite_autoindex_chunks_1",
            "entries",
            CREATE_TRIGGER.format("sqlite_autoindex_chunks_1"),
        ),
    ),
    "view called sqlite_sequence": (
        (
            "UPDATE sqlite_schema SET type = 'view', rootpage = 0, sql = ? "
            "WHERE name = 'sqlite_sequence'"
        ),
        ("CREATE VIEW sqlite_sequence AS SELECT mark() AS name, 1 AS seq",),
    ),
    "other sequence": (
        "UPDATE sqlite_schema SET sql = ? WHERE name = 'sqlite_sequence'",
        ("CREATE TABLE sqlite_sequence(name,seq,trap)",),
    ),
    "no sequence": ("DELETE FROM sqlite_schema WHERE name = ?", ("sqlite_sequence",)),
    "index without a text": (ADD_ROW, ("index", "trap", "inodes", None)),
    "table without a text": (ADD_ROW, ("table", "trap", "trap", None)),
    "other type": (
        "UPDATE sqlite_schema SET type = ? WHERE name = 'files'",
        ("table",),
    ),
    "other name": ("UPDATE sqlite_schema SET name = ? WHERE name = 'xattrs'", ("x",)),
    "other table": (
        "UPDATE sqlite_schema SET tbl_name = ? WHERE name = 'orphans'",
        ("chunks",),
    ),
    "text in bytes": (
        "UPDATE sqlite_schema SET sql = CAST(sql AS BLOB) WHERE name = ?",
        ("files",),
    ),
    "type of nothing": (
        "UPDATE sqlite_schema SET type = NULL WHERE name = ?",
        ("files",),
    ),
    "twice the same": (
        "INSERT INTO sqlite_schema SELECT * FROM sqlite_schema WHERE name = ?",
        ("files",),
    ),
    "one page for two tables": (
        (
            "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema "
            "WHERE name = 'inodes') WHERE name = ?"
        ),
        ("chunks",),
    ),
    "no such page": (
        "UPDATE sqlite_schema SET rootpage = 999999 WHERE name = ?",
        ("entries",),
    ),
    "the schema's own page": (
        "UPDATE sqlite_schema SET rootpage = 1 WHERE name = ?",
        ("inodes",),
    ),
    "page of the view": (
        "UPDATE sqlite_schema SET rootpage = 2 WHERE name = ?",
        ("files",),
    ),
}
LEGAL = {"one page for two tables", "no such page", "the schema's own page"}


def put_row(path: Path, row: str) -> None:
    statement, args = ROWS[row]
    with closing(connect(path)) as cx:
        cx.execute("PRAGMA writable_schema = ON")
        cx.execute(statement, args)


def put_statement(path: Path, name: str) -> None:
    trap = Trap()
    with closing(connect(path)) as cx:
        trap.set_on(cx)
        try:
            cx.execute(STATEMENTS[name])
        except sqlite3.OperationalError as error:
            if "no such module" in str(error):
                pytest.skip("this SQLite has no such virtual table")
            raise


def assert_refused(path: Path, trap: Trap, *allowed: type[OSError]) -> None:
    """Each way to open *path* is refused, changes nothing and runs nothing of it."""
    before = files_beside(path)
    trap.marks = 0
    trap.statements.clear()  # those that made it
    for way in WAYS.values():
        with pytest.raises(allowed or CorruptDatabase) as caught:
            VirtualFileSystem(path, **way)

        assert caught.value.filename == str(path)
        assert caught.value.errno
        assert len(str(caught.value)) < 1000
    with (
        VirtualFileSystem() as top,
        pytest.raises((CorruptDatabase, LayerFailed, *allowed)),
    ):
        top.add_underlay(str(path))
    assert files_beside(path) == before
    assert trap.marks == 0
    assert_ours(trap.statements)


def assert_ours(statements: list[str]) -> None:
    """All that was run is a text of the library's, with or without its arguments."""
    ours: set[str] = set()
    for value in [value for name, value in vars(_sql).items() if name.isupper()]:
        if isinstance(value, str):
            ours.add(value)
        elif isinstance(value, tuple | dict):
            ours.update(value.values() if isinstance(value, dict) else value)
    known = [re.escape(text).replace(r"\?", r"\S+") for text in ours]
    for statement in statements:
        assert any(re.fullmatch(text, statement) for text in known), statement


# --- refusals -------------------------------------------------------------------------


def test_tour_of_sample_runs_statements_of_the_library_alone(
    path: Path, trap: Trap
) -> None:
    with VirtualFileSystem(path, immutable=True) as vfs:
        vfs.listdir("/d")
        vfs.read_bytes("/d/small")

    assert len(trap.statements) > 10
    assert trap.marks == 0
    assert_ours(trap.statements)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_open_of_changed_schema_is_refused_and_runs_nothing(
    path: Path, trap: Trap, statement: str
) -> None:
    put_statement(path, statement)

    assert_refused(path, trap)


@pytest.mark.parametrize("text", TEXTS)
def test_open_of_altered_text_is_refused_and_runs_nothing(
    path: Path, trap: Trap, text: str
) -> None:
    rewrite_schema(path, TEXTS[text])

    assert_refused(path, trap)


@pytest.mark.parametrize("row", [row for row in ROWS if row not in LEGAL])
def test_open_of_forged_schema_is_refused_and_runs_nothing(
    path: Path, trap: Trap, row: str
) -> None:
    put_row(path, row)

    assert_refused(path, trap)


@pytest.mark.parametrize("row", sorted(LEGAL))
def test_use_of_forged_root_page_is_answered_or_refused(path: Path, row: str) -> None:
    for way in WAYS.values():
        make_sample(path)
        put_row(path, row)

        tour_of(path, way)


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_open_of_other_encoding_is_refused(
    tmp_path: Path, trap: Trap, encoding: str
) -> None:
    path = tmp_path / "wide.db"
    with closing(sqlite3.connect(path)) as cx:
        cx.execute(f"PRAGMA encoding = '{encoding}'")
        for text in (*_sql.STAMP, *_sql.SCHEMA):
            cx.execute(text)
        cx.executemany(_sql.SET_SETTING, [("chunk_size", 1024), ("inline_limit", 1024)])
        cx.execute(_sql.ADD_ROOT_INODE, (1, 1, 1, 1))
        cx.execute(_sql.ADD_ENTRY, ("", "/", 4, 1))
        cx.commit()

    assert_refused(path, trap)


STAMPS: dict[str, tuple[str, type[OSError]]] = {
    "no application": ("application_id = 0", ForeignDatabase),
    "other application": (
        f"application_id = {_sql.APPLICATION_ID - 1}",
        ForeignDatabase,
    ),
    "negative application": ("application_id = -1", ForeignDatabase),
    "next format": (f"user_version = {_sql.FORMAT_VERSION + 1}", SchemaTooNew),
    "last format": (f"user_version = {(1 << 31) - 1}", SchemaTooNew),
    "no format": ("user_version = 0", CorruptDatabase),
    "negative format": ("user_version = -1", CorruptDatabase),
}


@pytest.mark.parametrize("stamp", STAMPS)
def test_open_of_other_stamp_is_refused(path: Path, trap: Trap, stamp: str) -> None:
    pragma, refusal = STAMPS[stamp]
    execute(path, f"PRAGMA {pragma}")

    assert_refused(path, trap, refusal)


# --- what is no other schema ----------------------------------------------------------


def test_open_after_vacuum_by_another_tool_is_as_before(path: Path) -> None:
    execute(path, "VACUUM")

    with VirtualFileSystem(path) as vfs:
        assert vfs.read_bytes("/d/small") == b"small"
        assert vfs.check() == []


@pytest.mark.parametrize("page_size", [512, 1024, 8192, 65536])
def test_open_of_other_page_size_is_as_before(path: Path, page_size: int) -> None:
    execute(path, f"PRAGMA page_size = {page_size}", "VACUUM")

    with VirtualFileSystem(path) as vfs:
        assert vfs.read_bytes("/d/small") == b"small"
        assert vfs.check() == []


# --- the trap itself ------------------------------------------------------------------

SPRINGS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "trigger": lambda cx: cx.execute(
        "INSERT INTO entries VALUES ('/', 'new', 14, NULL)"
    ),
    "view": lambda cx: cx.execute("SELECT * FROM trap").fetchall(),
}
TEXT_SPRINGS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "generated column": lambda cx: cx.execute("SELECT trap FROM inodes").fetchall(),
    "collation of a name": lambda cx: cx.execute(
        "SELECT * FROM entries WHERE parent = '/' AND name = 'd'"
    ).fetchall(),
    "function in a CHECK": lambda cx: cx.execute("UPDATE inodes SET nlink = nlink"),
    "function in the view": lambda cx: cx.execute("SELECT size FROM files").fetchall(),
}


@pytest.mark.parametrize("spring", [*SPRINGS, *TEXT_SPRINGS])
def test_trap_springs_where_nobody_looks_first(path: Path, spring: str) -> None:
    if spring in SPRINGS:
        put_statement(path, spring)
    else:
        rewrite_schema(path, TEXTS[spring])
    trap = Trap()
    with closing(trap.set_on(connect(path))) as cx:
        {**SPRINGS, **TEXT_SPRINGS}[spring](cx)

    assert trap.marks > 0


def test_sample_is_the_same_every_time(path: Path) -> None:
    assert path.read_bytes() == sample_bytes()
