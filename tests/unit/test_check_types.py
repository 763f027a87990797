"""``check()`` and ``repair()`` of values of other types than their columns.

SQLite refuses them where it writes; a flipped bit, or a stranger with the schema
rewritten for a moment, leaves them behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.damages import (
    break_types,
    contents,
    findings,
    is_healthy,
    is_kept,
    make_sample,
    repairs,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stratavfs import VirtualFileSystem

pytestmark = pytest.mark.damaged

NUMBERS = (
    "mode nlink uid gid size atime_ns mtime_ns ctime_ns birthtime_ns generation opaque"
)
KEYS = {
    "inodes": "id = 4",
    "entries": "name = 's'",
    "chunks": "inode = 3 AND idx = 1",
    "xattrs": "inode = 4",
}
COLUMNS = [
    *(("inodes", column) for column in NUMBERS.split()),
    *(("inodes", column) for column in ("owner", "group_name", "target", "content")),
    *(("entries", column) for column in ("parent", "name", "kind", "inode")),
    *(("chunks", column) for column in ("inode", "idx", "data")),
    *(("xattrs", column) for column in ("inode", "name", "value")),
]
VALUES: dict[str, Any] = {
    "NULL": None,
    "a fraction": 1.5,
    "bytes": b"abc",
    "bytes that are no text": b"\xff\0",
    "text": "abc",
    "no text": "",
    "a number": 3,
}
TYPES: dict[str, dict[str, set[Any]]] = {
    "inodes": {
        **{column: {int} for column in NUMBERS.split()},
        "owner": {str},
        "group_name": {str},
        "target": {str, type(None)},
        "content": {bytes, type(None)},
    },
    "entries": {"parent": {str}, "name": {str}, "kind": {int}, "inode": {int}},
    "chunks": {"inode": {int}, "idx": {int}, "data": {bytes}},
    "xattrs": {"inode": {int}, "name": {str}, "value": {bytes}},
}
SORTED_BY = {"entries": ("parent", "name"), "xattrs": ("inode", "name")}
WRONG = [
    (table, column, name)
    for table, column in COLUMNS
    for name, value in VALUES.items()
    if type(value) not in TYPES[table][column]
    # These are what their tables are sorted by, whatever the schema says.
    and not (value is None and column in SORTED_BY.get(table, ()))
]


@pytest.fixture
def path(make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path) -> Path:
    """A sample on the disk, closed."""
    path = tmp_path / "c.db"
    make_sample(make_vfs, path).close()
    return path


def put(path: Path, table: str, column: str, value: object) -> None:
    statement = f"UPDATE {table} SET {column} = ? WHERE {KEYS[table]}"
    break_types(path, (statement, value))


@pytest.mark.parametrize(("table", "column", "name"), WRONG)
def test_check_of_value_of_another_type_finds_and_repair_mends_it(
    make_vfs: Callable[..., VirtualFileSystem],
    path: Path,
    table: str,
    column: str,
    name: str,
) -> None:
    put(path, table, column, VALUES[name])
    vfs = make_vfs(path, synchronous="off")
    before = contents(vfs)

    found = [finding for finding in vfs.check() if finding.rule == 2]

    if (table, column, name) == ("entries", "inode", "NULL"):
        assert findings(vfs)[0] == (5, "/s")  # it may be NULL, but then is a whiteout
    else:
        assert f"{table} has another type than its column" in found[0].message
    assert vfs.check(deep=True)[-1].rule == 15 or table == "entries"
    assert repairs(vfs) != []
    assert is_healthy(vfs)
    after = contents(vfs)
    assert all(is_kept(at, data, after) for at, data in before.items())


def test_check_of_setting_of_another_type_finds_and_repair_restores_it(
    make_vfs: Callable[..., VirtualFileSystem], path: Path
) -> None:
    vfs = make_vfs(path, synchronous="off")
    break_types(
        path, ("UPDATE settings SET value = 'four' WHERE key = 'inline_limit'",)
    )
    break_types(path, ("INSERT INTO settings VALUES (?, ?)", b"colour", None))

    assert {rule for rule, _ in findings(vfs)} == {2, 3}
    assert repairs(vfs) == [
        "3: setting inline_limit: set to 4",
        "3: setting colour: removed",
    ]
    assert vfs.check(deep=True) == []


def test_check_of_key_without_text_names_the_row_as_it_can(
    make_vfs: Callable[..., VirtualFileSystem], path: Path
) -> None:
    put(path, "chunks", "inode", None)

    found = findings(make_vfs(path))

    assert (2, "a row without a key") in found


# --- what becomes of it ---------------------------------------------------------------


def test_repair_of_name_in_bytes_makes_it_text(
    make_vfs: Callable[..., VirtualFileSystem], path: Path
) -> None:
    break_types(path, ("UPDATE entries SET name = CAST(name AS BLOB)",))
    vfs = make_vfs(path, synchronous="off")

    assert repairs(vfs) == [
        f"2: {at}: given the types of the columns" for at in ("/", "/d", "/l", "/s")
    ] + ["2: /d/f: given the types of the columns"]
    assert contents(vfs) == {"/d/f": b"abcdefghij", "/s": b"abc"}
    assert vfs.readlink("/l") == "s"


def test_repair_of_name_in_bytes_beside_the_same_in_text_keeps_both_files(
    make_vfs: Callable[..., VirtualFileSystem], path: Path
) -> None:
    with make_vfs(path) as vfs:
        vfs.write_bytes("/t", b"other")
    break_types(path, ("UPDATE entries SET name = CAST('s' AS BLOB) WHERE name = 't'",))
    vfs = make_vfs(path, synchronous="off")

    assert repairs(vfs) == [
        "2: /s: given the types of the columns",
        "2: /s: removed",
        "8: inode 6: named /lost+found/inode-6",
    ]
    assert contents(vfs)["/s"] == b"abc"
    assert contents(vfs)["/lost+found/inode-6"] == b"other"


def test_repair_of_mode_of_another_type_takes_it_from_the_name(
    make_vfs: Callable[..., VirtualFileSystem], path: Path
) -> None:
    break_types(path, ("UPDATE inodes SET mode = 'lost'",))
    vfs = make_vfs(path, synchronous="off")

    assert [line for line in repairs(vfs) if line[0] == "9"] == [
        "9: inode 1: made a directory",
        "9: inode 2: made a directory",
        "9: inode 5: made a symbolic link",
        "9: inode 4: made a file",
        "9: inode 3: made a file",
    ]
    assert oct(vfs.stat("/d").st_mode) == "0o40755"
    assert oct(vfs.stat("/s").st_mode) == "0o100644"
    assert vfs.readlink("/l") == "s"
    assert contents(vfs) == {"/d/f": b"abcdefghij", "/s": b"abc"}


def test_repair_of_content_in_text_makes_it_bytes(
    make_vfs: Callable[..., VirtualFileSystem], path: Path
) -> None:
    break_types(
        path,
        ("UPDATE inodes SET content = CAST(content AS TEXT) WHERE id = 4",),
        ("UPDATE chunks SET data = CAST(data AS TEXT)",),
    )
    vfs = make_vfs(path, synchronous="off")

    assert {line.partition(": ")[0] for line in repairs(vfs)} == {"2"}
    assert contents(vfs) == {"/d/f": b"abcdefghij", "/s": b"abc"}


def test_repair_of_chunk_that_cannot_be_placed_saves_it(
    make_vfs: Callable[..., VirtualFileSystem], path: Path
) -> None:
    put(path, "chunks", "idx", "one")
    vfs = make_vfs(path, synchronous="off")

    assert repairs(vfs) == [
        "2: chunk one of inode 3: moved to /lost+found/chunk-2",
    ]
    assert contents(vfs) == {
        "/d/f": b"abcd\0\0\0\0ij",
        "/s": b"abc",
        "/lost+found/chunk-2": b"efgh",
    }


def test_repair_of_attribute_that_cannot_be_placed_saves_its_value(
    make_vfs: Callable[..., VirtualFileSystem], path: Path
) -> None:
    put(path, "xattrs", "inode", "four")
    vfs = make_vfs(path, synchronous="off")

    assert repairs(vfs) == [
        "2: attribute user.a of inode None: moved to /lost+found/attribute"
    ]
    assert contents(vfs)["/lost+found/attribute"] == b"value"


def test_repair_of_attribute_in_bytes_keeps_its_name_and_value(
    make_vfs: Callable[..., VirtualFileSystem], path: Path
) -> None:
    break_types(
        path,
        ("UPDATE xattrs SET name = CAST(name AS BLOB)",),
        ("INSERT INTO xattrs VALUES (4, 'user.b', 'text')",),
        ("INSERT INTO xattrs VALUES (4, CAST('user.b' AS BLOB), x'01')",),
    )
    vfs = make_vfs(path, synchronous="off")

    repairs(vfs)

    assert {name: vfs.getxattr("/s", name) for name in vfs.listxattr("/s")} == {
        "user.a": b"value",
        "user.b": b"text",
        "user.b-2": b"\1",
    }
