"""The statements: named, compiled, used; and a schema that keeps its own rules.

Their query plans are looked at in ``tests/test_complexity.py``.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import stratavfs
from stratavfs import _rules, _sql

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(stratavfs.__file__).parent
PUBLIC = [name for name in vars(_sql) if name.isupper() and not name.startswith("_")]
STATEMENTS = {
    name: text
    for name, text in vars(_sql).items()
    if isinstance(text, str) and re.match(r"(SELECT|INSERT|UPDATE|DELETE) ", text)
}


@pytest.fixture
def container() -> Iterator[sqlite3.Connection]:
    """A container made by hand, without the store."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for text in (*_sql.STAMP, *_sql.SCHEMA):
        connection.execute(text)
    connection.execute(_sql.ADD_ROOT_INODE, (0, 0, 0, 0))
    connection.execute(_sql.ADD_ENTRY, ("", "/", 4, 1))
    yield connection
    connection.close()


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_statement_compiles(container: sqlite3.Connection, name: str) -> None:
    text = STATEMENTS[name]

    program = container.execute(f"EXPLAIN {text}", ("",) * text.count("?")).fetchall()

    assert program


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_statement_is_used_by_somebody(name: str) -> None:
    texts = [
        path.read_text("utf-8") for path in PACKAGE.glob("*.py") if path.stem != "_sql"
    ]

    assert any(f"_sql.{name}" in text for text in texts)


def test_statements_are_no_two_alike() -> None:
    texts = list(STATEMENTS.values())

    assert [text for text in texts if texts.count(text) > 1] == []


def test_schema_read_back_is_the_text_that_made_it(
    container: sqlite3.Connection,
) -> None:
    rows = container.execute(_sql.READ_SCHEMA).fetchall()

    made = [text for _, name, _, text in rows if not name.startswith("sqlite_")]
    assert made == [*_sql.SCHEMA]
    # What SQLite adds by itself: for AUTOINCREMENT, and for a PRIMARY KEY of two.
    assert {name for _, name, *_ in rows if name.startswith("sqlite_")} == {
        "sqlite_sequence",
        "sqlite_autoindex_chunks_1",
    }


def test_stamp_identifies_the_format(container: sqlite3.Connection) -> None:
    (application,) = container.execute(_sql.READ_APPLICATION_ID).fetchone()
    (version,) = container.execute(_sql.READ_VERSION).fetchone()

    assert application.to_bytes(4, "big") == b"STRA"
    assert version == _sql.FORMAT_VERSION == 1


def test_schema_tables_are_strict(container: sqlite3.Connection) -> None:
    rows = container.execute("PRAGMA table_list").fetchall()

    tables = {
        row[1]: row[5] for row in rows if row[2] == "table" and row[1][:6] != "sqlite"
    }
    assert tables == dict.fromkeys(
        ["settings", "inodes", "entries", "chunks", "xattrs"], 1
    )


# --- the constraints: what no writer may store ----------------------------------------

INODE = {
    "mode": 0o100644,
    "nlink": 1,
    "uid": 0,
    "gid": 0,
    "owner": "",
    "group_name": "",
    "size": 0,
    "atime_ns": 0,
    "mtime_ns": 0,
    "ctime_ns": 0,
    "birthtime_ns": 0,
    "generation": 1,
    "opaque": 0,
    "target": None,
    "content": None,
}
ENTRY = {"parent": "/", "name": "n", "kind": 8, "inode": 2}
CHUNK = {"inode": 2, "idx": 0, "data": b"x"}
XATTR = {"inode": 2, "name": "k", "value": b"v"}

GOOD: list[tuple[str, dict[str, Any]]] = [
    ("inodes", INODE),
    ("inodes", INODE | {"mode": 0o120777, "target": "t", "size": 1}),
    ("inodes", INODE | {"mode": 0o40755, "opaque": 1}),
    ("inodes", INODE | {"content": b"abc", "size": 3}),
    ("inodes", INODE | {"mtime_ns": -1, "nlink": 0}),
    ("entries", ENTRY),
    ("entries", ENTRY | {"parent": "/a/b/"}),
    ("entries", ENTRY | {"kind": 14, "inode": None}),
    ("chunks", CHUNK),
    ("xattrs", XATTR),
]

BAD: list[tuple[str, dict[str, Any]]] = [
    ("inodes", INODE | {"mode": 0o010644}),  # a FIFO
    ("inodes", INODE | {"mode": 0o644}),
    ("inodes", INODE | {"mode": None}),
    ("inodes", INODE | {"nlink": -1}),
    ("inodes", INODE | {"size": -1}),
    ("inodes", INODE | {"size": 1.5}),
    ("inodes", INODE | {"generation": 0}),
    ("inodes", INODE | {"opaque": 1}),  # a file
    ("inodes", INODE | {"mode": 0o40755, "opaque": 2}),
    ("inodes", INODE | {"target": "t"}),  # a file
    ("inodes", INODE | {"mode": 0o120777}),  # a link without a target
    ("inodes", INODE | {"content": b"abc", "size": 2}),
    ("inodes", INODE | {"content": "abc", "size": 3}),
    ("inodes", INODE | {"mode": 0o40755, "content": b""}),
    ("inodes", INODE | {"owner": None}),
    ("entries", ENTRY | {"parent": "/a"}),
    ("entries", ENTRY | {"parent": "a/"}),
    ("entries", ENTRY | {"parent": ""}),
    ("entries", ENTRY | {"name": ""}),
    ("entries", ENTRY | {"name": "."}),
    ("entries", ENTRY | {"name": ".."}),
    ("entries", ENTRY | {"name": "a/b"}),
    ("entries", ENTRY | {"name": None}),
    ("entries", ENTRY | {"kind": 1}),
    ("entries", ENTRY | {"kind": 14}),
    ("entries", ENTRY | {"inode": None}),
    ("entries", ENTRY | {"parent": "", "name": "/"}),  # the root is inode 1
    ("chunks", CHUNK | {"idx": -1}),
    ("chunks", CHUNK | {"data": None}),
    ("chunks", CHUNK | {"data": "text"}),
    ("xattrs", XATTR | {"name": ""}),
    ("xattrs", XATTR | {"value": None}),
]


def insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(
        f"INSERT INTO {table} ({columns}) VALUES ({marks})", [*row.values()]
    )


@pytest.mark.parametrize(("table", "row"), GOOD)
def test_insert_good_row_is_stored(
    container: sqlite3.Connection, table: str, row: dict[str, Any]
) -> None:
    before = container.total_changes

    insert(container, table, row)

    assert container.total_changes == before + 1


@pytest.mark.parametrize(("table", "row"), BAD)
def test_insert_bad_row_is_refused(
    container: sqlite3.Connection, table: str, row: dict[str, Any]
) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        insert(container, table, row)


@pytest.mark.parametrize(
    ("table", "row"), [("entries", ENTRY), ("chunks", CHUNK), ("xattrs", XATTR)]
)
def test_insert_twice_is_refused(
    container: sqlite3.Connection, table: str, row: dict[str, Any]
) -> None:
    insert(container, table, row)

    with pytest.raises(sqlite3.IntegrityError):
        insert(container, table, row)


def test_add_entry_over_a_file_changes_nothing(container: sqlite3.Connection) -> None:
    insert(container, "inodes", INODE)
    insert(container, "entries", ENTRY)
    before = container.execute("SELECT * FROM entries").fetchall()

    container.execute(_sql.ADD_ENTRY, ("/", "n", 4, 1))

    assert container.execute("SELECT * FROM entries").fetchall() == before


# --- the rules ------------------------------------------------------------------------


def test_rules_are_numbered_upwards_and_say_different_things() -> None:
    numbers = [rule.number for rule in _rules.RULES]

    assert numbers == sorted(numbers)
    assert len({(rule.number, rule.message) for rule in _rules.RULES}) == len(
        _rules.RULES
    )


@pytest.mark.parametrize("rule", _rules.RULES, ids=lambda rule: rule.message)
def test_rule_names_its_offenders_in_one_column(
    container: sqlite3.Connection, rule: _rules.Rule
) -> None:
    found = container.execute(rule.statement)

    assert len(found.description) == 1
    assert found.fetchall() == []


# --- the view for people --------------------------------------------------------------


def test_files_view_shows_every_kind(container: sqlite3.Connection) -> None:
    second = 10**9
    insert(
        container, "inodes", INODE | {"content": b"abc", "size": 3, "mtime_ns": second}
    )
    insert(container, "inodes", INODE | {"mode": 0o120777, "target": "f", "size": 1})
    insert(container, "entries", ENTRY | {"name": "f"})
    insert(container, "entries", ENTRY | {"name": "l", "inode": 3, "kind": 10})
    insert(container, "entries", ENTRY | {"name": "w", "inode": None, "kind": 14})

    rows = container.execute(
        "SELECT path, type, size, mtime, nlink, target FROM files ORDER BY path"
    ).fetchall()

    epoch, later = "1970-01-01 00:00:00", "1970-01-01 00:00:01"
    assert rows == [
        ("/", "directory", 0, epoch, 1, None),
        ("/f", "file", 3, later, 1, None),
        ("/l", "symlink", 1, epoch, 1, "f"),
        ("/w", "whiteout", None, None, None, None),
    ]
