"""Cost without a clock: statements are counted, and their plans are read."""

from __future__ import annotations

import re
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs import VirtualFileSystem, _sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FEW, MANY = 10, 1000

counting = pytest.mark.no_slow_contracts("single")


@contextmanager
def counted(vfs: VirtualFileSystem) -> Iterator[list[str]]:
    """Give the list of the statements that run inside."""
    statements: list[str] = []
    vfs._store._cx.set_trace_callback(statements.append)
    try:
        yield statements
    finally:
        vfs._store._cx.set_trace_callback(None)


def count(vfs: VirtualFileSystem, call: Callable[[VirtualFileSystem], object]) -> int:
    with counted(vfs) as statements:
        call(vfs)
    return len(statements)


def without_gate(statements: list[str]) -> list[str]:
    """Leave out what begins and ends the transaction; there must be just one."""
    assert statements[0] == _sql.BEGIN_WRITE
    assert statements[-1] == _sql.COMMIT
    return statements[1:-1]


@pytest.fixture(params=["memory", "file"])
def vfs(request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Any) -> Any:
    """A file system in memory, and one on the disk, where snapshots cost statements."""
    if request.param == "memory":
        return make_vfs()
    return make_vfs(str(tmp_path / "container.db"))


def filled(vfs: VirtualFileSystem, entries: int) -> VirtualFileSystem:
    """Make ``/d`` with so many files, one of them larger than a row holds."""
    with vfs.atomic_batch():
        vfs.makedirs("/d/sub")
        for n in range(entries):
            vfs.write_bytes(f"/d/sub/{n}", b"x")
        vfs.write_bytes("/d/large", b"x" * 10_000)
        vfs.setxattr("/d/large", "k", b"v")
    return vfs


# --- reading --------------------------------------------------------------------------


@counting
def test_read_bytes_of_small_file_is_one_select(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/d/a", b"x" * 4096)

    with counted(vfs) as statements:
        vfs.read_bytes("/d/a")

    assert len(statements) == 1
    assert statements[0].startswith("SELECT ")


ONE_STATEMENT: dict[str, Callable[[VirtualFileSystem], object]] = {
    "read_text": lambda vfs: vfs.read_text("/d/sub/1"),
    "stat": lambda vfs: vfs.stat("/d/sub/1"),
    "stat of a directory": lambda vfs: vfs.stat("/d/sub"),
    "lstat": lambda vfs: vfs.lstat("/d/sub/1"),
    "getsize": lambda vfs: vfs.getsize("/d/sub/1"),
    "exists": lambda vfs: vfs.exists("/d/sub/1"),
    "lexists": lambda vfs: vfs.lexists("/d/sub/1"),
    "isfile": lambda vfs: vfs.isfile("/d/sub/1"),
    "isdir": lambda vfs: vfs.isdir("/d/sub"),
    "listdir": lambda vfs: vfs.listdir("/d/sub"),
}


@counting
@pytest.mark.parametrize("name", ONE_STATEMENT)
@pytest.mark.parametrize("entries", [FEW, MANY])
def test_ask_is_one_statement_whatever_the_size(
    make_vfs: Any, name: str, entries: int
) -> None:
    vfs = filled(make_vfs(), entries)

    assert count(vfs, ONE_STATEMENT[name]) == 1


FLAT: dict[str, tuple[Callable[[VirtualFileSystem], object], int]] = {
    "exists of nothing": (lambda vfs: vfs.exists("/d/sub/nothing"), 3),
    "scandir": (lambda vfs: [e.stat() for e in vfs.scandir("/d/sub")], 2),
    "glob of one directory": (lambda vfs: vfs.glob("/d/sub/*"), 3),
    "recursive glob": (
        lambda vfs: vfs.glob("/d/**/1*"),
        5,
    ),  # two of them ask how large the file is
    "walk": (lambda vfs: list(vfs.walk("/d")), 4),
    "rmtree": (lambda vfs: vfs.rmtree("/d"), 18),
    "rename": (lambda vfs: vfs.rename("/d", "/e"), 16),
    "replace": (lambda vfs: vfs.replace("/d", "/e"), 16),
    "move": (lambda vfs: vfs.move("/d", "/e"), 20),
}


@counting
@pytest.mark.parametrize("name", FLAT)
def test_call_on_directory_takes_as_many_statements_for_many_entries(
    make_vfs: Any, name: str
) -> None:
    call, most = FLAT[name]

    counts = [count(filled(make_vfs(), entries), call) for entries in (FEW, MANY)]

    assert counts[0] == counts[1] <= most


@counting
def test_listdir_reads_no_other_directory(make_vfs: Any) -> None:
    vfs: VirtualFileSystem = make_vfs()
    with vfs.atomic_batch():
        for n in range(MANY):
            vfs.touch(f"/other/{n}")
        vfs.touch("/d/a")
    steps: list[int] = []
    vfs._store._cx.set_progress_handler(lambda: steps.append(1), 1)

    vfs.listdir("/d")

    vfs._store._cx.set_progress_handler(None, 0)
    assert len(steps) < 40  # of SQLite's virtual machine; one row takes about 5


# --- handles --------------------------------------------------------------------------


@counting
def test_open_and_read_small_file_is_two_selects(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/a", b"x" * 4096)

    with counted(vfs) as statements, vfs.open("/a", "rb") as file:
        assert len(file.read()) == 4096

    assert len(statements) <= 2
    assert all(statement.startswith("SELECT ") for statement in statements)


def read_all(vfs: VirtualFileSystem, size: int) -> None:
    with vfs.open("/a", "rb", 0) as raw:
        assert raw.readinto(bytearray(size)) == size


def write_all(vfs: VirtualFileSystem, size: int) -> None:
    with vfs.open("/a", "r+b", 0) as raw:
        assert raw.write(bytes(size)) == size


@counting
@pytest.mark.parametrize("chunks", [2, 20, 200])
def test_read_of_many_chunks_is_one_statement_a_call(
    make_vfs: Any, chunks: int
) -> None:
    vfs = make_vfs(":memory:", 64)
    vfs.write_bytes("/a", b"x" * 64 * chunks)

    statements = count(vfs, lambda vfs: read_all(vfs, 64 * chunks))

    assert statements == 2  # finding the file, and one for the whole span


@counting
@pytest.mark.parametrize("chunks", [2, 20, 200])
def test_write_of_many_chunks_is_one_statement_a_chunk(
    make_vfs: Any, chunks: int
) -> None:
    vfs = make_vfs(":memory:", 64)
    vfs.write_bytes("/a", b"x" * 64 * chunks)

    statements = count(vfs, lambda vfs: write_all(vfs, 64 * chunks))

    assert statements - chunks <= 8  # a constant number besides the chunks themselves


@counting
def test_write_inside_large_file_is_flat(make_vfs: Any) -> None:
    def change(vfs: VirtualFileSystem) -> None:
        with vfs.open("/a", "r+b", 0) as raw:
            raw.seek(70)
            raw.write(b"y")

    counts = []
    for chunks in (4, 400):
        vfs = make_vfs(":memory:", 64)
        vfs.write_bytes("/a", b"x" * 64 * chunks)
        counts.append(count(vfs, change))

    assert counts[0] == counts[1] <= 8


# --- writing --------------------------------------------------------------------------


@counting
@pytest.mark.parametrize("size", [0, 1, 4096])
def test_write_bytes_is_few_statements(vfs: VirtualFileSystem, size: int) -> None:
    vfs.mkdir("/d")

    for content in (b"n" * size, b"o" * size):  # a new file, then over it
        with counted(vfs) as statements:
            vfs.write_bytes("/d/a", content)
        assert len(without_gate(statements)) <= 5


@counting
def test_write_bytes_in_batch_adds_only_a_savepoint(vfs: VirtualFileSystem) -> None:
    vfs.mkdir("/d")

    with vfs.atomic_batch(), counted(vfs) as statements:
        vfs.write_bytes("/d/a", b"x")

    assert (statements[0], statements[-1]) == ("SAVEPOINT batch1", "RELEASE batch1")
    assert len(statements) <= 7


READS: dict[str, Callable[[VirtualFileSystem], object]] = {
    **ONE_STATEMENT,
    "scandir": lambda vfs: list(vfs.scandir("/d")),
    "walk": lambda vfs: list(vfs.walk("/")),
    "glob": lambda vfs: vfs.glob("/**/*"),
    "open": lambda vfs: vfs.open("/d/large", "rb").close(),
    "read a large file": lambda vfs: vfs.read_bytes("/d/large"),
    "listxattr": lambda vfs: vfs.listxattr("/d/large"),
    "check": lambda vfs: vfs.check(),
    "deep check": lambda vfs: vfs.check(deep=True),
    "stats": lambda vfs: vfs.stats(),
}


# What SQLite answers by a PRAGMA alone; none of these changes anything.
ASKING_PRAGMAS = (
    "PRAGMA integrity_check(",
    _sql.COUNT_FREE,
    _sql.COUNT_PAGES,
    _sql.PAGE_SIZE,
)


@counting
@pytest.mark.parametrize("name", READS)
def test_reading_never_writes(vfs: VirtualFileSystem, name: str) -> None:
    filled(vfs, FEW)

    with counted(vfs) as statements:
        READS[name](vfs)

    allowed = ("SELECT ", _sql.BEGIN_READ, _sql.COMMIT, *ASKING_PRAGMAS)
    assert statements
    assert [text for text in statements if not text.startswith(allowed)] == []
    assert _sql.BEGIN_WRITE not in statements


# --- plans ----------------------------------------------------------------------------

STATEMENTS = {
    name: text
    for name, text in vars(_sql).items()
    if isinstance(text, str) and re.match(r"(SELECT|INSERT|UPDATE|DELETE) ", text)
}
BELOW = sorted(name for name in STATEMENTS if name.endswith("_BELOW"))

# The statements that read a table from end to end, and why they may. The rules of
# check() are no statements of these: they look at everything by their nature.
ALLOWED = {
    "COUNT_OBJECTS": "the schema's own table has a dozen rows",
    "READ_SCHEMA": "the schema's own table has a dozen rows",
    "READ_SETTINGS": "the settings are two rows",
    "LIST_ORPHANS": "scans the partial index that holds nothing but orphans",
    "COUNT_ORPHANS": "scans the partial index that holds nothing but orphans",
    "COUNT_KINDS": "stats() counts every file; nothing else asks it",
    "COUNT_WHITEOUTS": "stats() counts every name that is hidden",
    "SUM_INLINE": "stats() sums what is stored, file by file",
    "SUM_CHUNKS": "stats() sums what is stored, chunk by chunk",
    "PUT_INODES": "scans nothing but the rows that it brings itself",
    "ADD_ENTRIES": "scans nothing but the rows that it brings itself",
    "LAST_NUMBER": "SQLite keeps one row for each table that counts",
    "SAMPLE_SIZES": "pack() looks at the first thousand files",
    "HAS_XATTRS": "it ends at the first row",
}


@pytest.fixture(scope="module")
def container() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    for text in _sql.SCHEMA:
        connection.execute(text)
    yield connection
    connection.close()


def plan(container: sqlite3.Connection, name: str) -> list[str]:
    text = STATEMENTS[name]
    rows = container.execute(f"EXPLAIN QUERY PLAN {text}", ("",) * text.count("?"))
    return [row[3] for row in rows]


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_plan_scans_no_table(container: sqlite3.Connection, name: str) -> None:
    scans = [step for step in plan(container, name) if step.startswith("SCAN")]

    assert bool(scans) == (name in ALLOWED), scans


@pytest.mark.parametrize("name", ["LIST_ORPHANS", "COUNT_ORPHANS"])
def test_plan_of_orphans_scans_their_index_only(
    container: sqlite3.Connection, name: str
) -> None:
    (step,) = plan(container, name)

    assert re.fullmatch(r"SCAN inodes USING (COVERING )?INDEX orphans", step)


@pytest.mark.parametrize("name", BELOW)
def test_plan_of_subtree_is_a_range_of_the_primary_key(
    container: sqlite3.Connection, name: str
) -> None:
    steps = [
        step
        for step in plan(container, name)
        if re.match(r"SEARCH (e|entries) USING PRIMARY KEY \(", step)
    ]

    assert steps
    # Bounded on both sides: what lies behind the subtree is not read.
    assert all(re.search(r"parent.*>.*AND parent<\?", step) for step in steps)


def test_plans_of_subtrees_are_looked_at() -> None:
    assert {"LIST_BELOW", "MOVE_ENTRIES_BELOW", "REMOVE_ENTRIES_BELOW"} <= set(BELOW)


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_plan_sorts_nothing(container: sqlite3.Connection, name: str) -> None:
    sorts = [step for step in plan(container, name) if "TEMP B-TREE" in step]

    # Hard links below a tree are few, and grouping them is what is asked; the kinds
    # that stats() counts are three.
    assert sorts == [] or name in ("SHARED_BELOW", "COUNT_KINDS")
