"""``repair()`` of several damages at once, and of any value in any place.

Whatever is broken: afterwards nothing is found, and what could be read still can.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.damages import (
    FIFO,
    FILE,
    LAST,
    break_as_far_as_possible,
    break_types,
    contents,
    is_healthy,
    is_kept,
    make_sample,
)
from tests.unit.damages_inodes import INODES
from tests.unit.damages_names import NAMES

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from tests.unit.damages import Damage

pytestmark = pytest.mark.damaged


def assert_repairs(vfs: VirtualFileSystem) -> None:
    found, before = vfs.check(), contents(vfs)

    done = vfs.repair()

    assert bool(done) == bool(found)
    assert is_healthy(vfs)
    after = contents(vfs)
    for path, data in before.items():
        # What the root's own entry led to has its bytes elsewhere.
        assert is_kept(path, data, after) or path == "/"


@given(st.lists(st.sampled_from([*NAMES, *INODES]), min_size=2, max_size=4))
def test_repair_of_several_damages_mends_them_all(damages: list[Damage]) -> None:
    with make_sample(VirtualFileSystem) as vfs:
        for damage in damages:
            break_as_far_as_possible(vfs, damage.statements)

        assert_repairs(vfs)


# --- any value anywhere ---------------------------------------------------------------

COLUMNS = {
    "inodes": [
        *("id", "mode", "nlink", "uid", "gid", "owner", "group_name", "size"),
        *("atime_ns", "mtime_ns", "ctime_ns", "birthtime_ns", "generation", "opaque"),
        *("target", "content"),
    ],
    "entries": ["parent", "name", "kind", "inode"],
    "chunks": ["inode", "idx", "data"],
    "xattrs": ["inode", "name", "value"],
}
NUMBERS = st.sampled_from(
    [
        *(0, 1, 2, 3, 4, 5, 6, 8, 10, 14, 99, 1 << 40, (1 << 62) + 1, LAST, -LAST - 1),
        *(-1, FIFO, FILE, 0o040755, 0o120777),
    ]
)
TEXTS = st.sampled_from(
    [
        *("", "/", "/d/", "/d/e/", "/x/", "/s/", "/d//", "q/", "d", "e", "f", "s", "l"),
        *("..", ".", "d/e", "a\0b", "x" * 300, "/" + "y/" * 2100),
        *("lost+found", "/lost+found/", "inode-4"),
    ]
)
BYTES = st.sampled_from([b"", b"x", b"abcd", b"abcdefgh", b"\xff", bytes(100)])
# Text that is no UTF-8 goes in as bytes, and is made text there.
BROKEN = st.sampled_from([b"\xff", b"/\xff/", b"a\xff"])
OTHERS = st.sampled_from([None, 1.5, b"s", b"/d/", "text", 7])
VALUES = st.one_of(
    NUMBERS, NUMBERS, TEXTS, TEXTS, BYTES, OTHERS, st.tuples(st.just("text"), BROKEN)
)


@st.composite
def changes(draw: st.DrawFn) -> tuple[Any, ...]:
    """Return a statement, with its arguments, that changes, adds or removes a row."""
    table = draw(st.sampled_from(["inodes", "entries", "entries", "chunks", "xattrs"]))
    columns = COLUMNS[table]
    row = draw(st.integers(0, 7))
    key = ", ".join(columns[: 1 if table == "inodes" else 2])
    where = f"({key}) IN (SELECT {key} FROM {table} LIMIT 1 OFFSET {row})"
    kind = draw(st.sampled_from(["change", "change", "change", "remove", "add"]))
    if kind == "remove":
        return (f"DELETE FROM {table} WHERE {where}",)
    if kind == "change":
        column, (mark, value) = draw(st.sampled_from(columns)), draw(marked())
        return f"UPDATE {table} SET {column} = {mark} WHERE {where}", value
    values = [draw(marked()) for _ in columns]
    marks = ", ".join(mark for mark, _ in values)
    return f"INSERT INTO {table} VALUES ({marks})", *(value for _, value in values)


@st.composite
def marked(draw: st.DrawFn) -> tuple[str, Any]:
    """Return a value and its place in a statement."""
    value = draw(VALUES)
    return ("CAST(? AS TEXT)", value[1]) if isinstance(value, tuple) else ("?", value)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.lists(changes(), min_size=1, max_size=5))
def test_repair_of_any_values_mends_them(statements: list[tuple[Any, ...]]) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "c.db"
        with make_sample(VirtualFileSystem, path) as vfs:
            vfs.makedirs("/d/e/g")
            vfs.link("/d/f", "/d/e/f")
            vfs.truncate("/d/f", 30)
        break_types(path, *statements)

        with VirtualFileSystem(path) as vfs:
            assert_repairs(vfs)
