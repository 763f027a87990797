"""The hot changes: which statements each of them runs, by name, and their plans."""

from __future__ import annotations

import re
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs import VirtualFileSystem, _sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stratavfs._store import Store

    Call = Callable[[VirtualFileSystem], object]

pytestmark = pytest.mark.no_slow_contracts("single")

SMALL, LARGE = b"s" * 4096, b"l" * 200_000  # in a row; in four chunks
CHUNK = 65_536


def patterns() -> dict[str, re.Pattern[str]]:
    """Return each statement as SQLite tells of it, with values for its parameters."""
    value = r"(?:-?\d+|NULL|x?'[^']*')"
    texts = {k: v for k, v in vars(_sql).items() if isinstance(v, str) and k.isupper()}
    return {
        name: re.compile(value.join(map(re.escape, text.split("?"))))
        for name, text in texts.items()
    }


PATTERNS = patterns()


def name_of(text: str) -> str:
    """Return the name that ``_sql`` has for the statement *text*."""
    if re.match(r"(SAVEPOINT|RELEASE|ROLLBACK TO) ", text):
        return text
    (name,) = [name for name, known in PATTERNS.items() if known.fullmatch(text)][:1]
    return name


@contextmanager
def traced(vfs: VirtualFileSystem) -> Iterator[list[str]]:
    """Give the list of the statements that run inside, by their names."""
    found: list[str] = []
    vfs._store._cx.set_trace_callback(lambda text: found.append(name_of(text)))
    try:
        yield found
    finally:
        vfs._store._cx.set_trace_callback(None)


def filled(vfs: VirtualFileSystem) -> VirtualFileSystem:
    vfs.write_bytes("/d/small", SMALL)
    vfs.write_bytes("/d/large", LARGE)
    vfs.mkdir("/d/empty")
    vfs.symlink("small", "/d/link")
    vfs.symlink("/d", "/l")
    vfs.write_bytes("/d/small", SMALL)  # it begins with what it did last
    return vfs


def write_one(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/d/new", SMALL)


def write_two(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/d/new", SMALL)
    vfs.write_bytes("/d/newer", SMALL)


MAKE = ["FIND_ROOM", "STAMP_INODE", "ADD_INODE", "ADD_ENTRY"]
MOVE = ["FIND_ROOM", "FIND", "STAMP_INODE", "MOVE_ENTRY", "SET_CHANGED"]
REMOVE = ["REMOVE_XATTRS", "REMOVE_INODE", "STAMP_DIRECTORY"]

CHANGES: dict[str, tuple[Call, list[str]]] = {
    "overwrite": (lambda vfs: vfs.write_bytes("/d/small", b"other"), ["OVERWRITE"]),
    "overwrite with text": (lambda vfs: vfs.write_text("/d/small", ""), ["OVERWRITE"]),
    "write a new file": (write_one, ["OVERWRITE", *MAKE]),
    "write a large new file": (
        lambda vfs: vfs.write_bytes("/d/new", LARGE),
        [*MAKE, *["PUT_CHUNK"] * 4],
    ),
    "write over a large file": (
        lambda vfs: vfs.write_bytes("/d/large", LARGE),
        ["FIND_ROOM", "FIND", "REMOVE_CHUNKS", "SET_CONTENT", *["PUT_CHUNK"] * 4],
    ),
    "mkdir": (lambda vfs: vfs.mkdir("/d/new"), MAKE),
    "remove": (
        lambda vfs: vfs.remove("/d/small"),
        ["FIND_SOLE", "REMOVE_ENTRY", *REMOVE],
    ),
    "remove a large file": (
        lambda vfs: vfs.remove("/d/large"),
        ["FIND_SOLE", "FIND", "REMOVE_ENTRY", "REMOVE_CHUNKS", *REMOVE],
    ),
    "rename within a directory": (lambda vfs: vfs.rename("/d/small", "/d/new"), MOVE),
    "rename to another directory": (
        lambda vfs: vfs.rename("/d/small", "/d/empty/new"),
        [*MOVE, "STAMP_DIRECTORY"],
    ),
    "rename a large file": (lambda vfs: vfs.rename("/d/large", "/d/new"), MOVE),
    "rename a link": (lambda vfs: vfs.rename("/d/link", "/d/new"), MOVE),
}


@pytest.mark.parametrize("name", CHANGES)
def test_change_in_its_own_transaction_runs_these_statements(
    mem: VirtualFileSystem, name: str
) -> None:
    call, statements = CHANGES[name]
    filled(mem)

    with traced(mem) as found:
        call(mem)

    assert found == ["BEGIN_WRITE", *statements, "COMMIT"]


def test_write_of_new_files_asks_first_what_the_last_one_was(
    mem: VirtualFileSystem,
) -> None:
    filled(mem)

    with traced(mem) as found:
        write_two(mem)

    assert found.count("OVERWRITE") == 1
    assert found[-6:] == ["BEGIN_WRITE", *MAKE, "COMMIT"]


# --- in a batch -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["overwrite", "overwrite with text"])
def test_overwrite_in_a_batch_is_one_statement(
    mem: VirtualFileSystem, name: str
) -> None:
    call, statements = CHANGES[name]
    filled(mem)

    with mem.atomic_batch(), traced(mem) as found:
        call(mem)

    assert found == statements


def test_question_that_begins_a_change_in_a_batch_makes_no_savepoint(
    mem: VirtualFileSystem,
) -> None:
    filled(mem)

    with mem.atomic_batch(), traced(mem) as found:
        with suppress(FileNotFoundError):
            mem.remove("/d/missing")
        with mem.atomic_batch():
            pass

    assert found == ["FIND_SOLE", "FIND", "FIND_ENTRY"]


def test_batch_within_a_batch_secures_itself_and_not_the_one_call_in_it(
    mem: VirtualFileSystem,
) -> None:
    filled(mem)

    with mem.atomic_batch(), traced(mem) as found, mem.atomic_batch():
        mem.write_bytes("/d/small", b"other")

    assert found == ["SAVEPOINT batch1", "OVERWRITE", "RELEASE batch1"]


def test_change_of_several_statements_in_two_batches_makes_both_savepoints(
    mem: VirtualFileSystem,
) -> None:
    filled(mem)

    with mem.atomic_batch(), traced(mem) as found, mem.atomic_batch():
        mem.remove("/d/small")

    assert found[:3] == ["FIND_SOLE", "SAVEPOINT batch1", "SAVEPOINT batch2"]
    assert found[-2:] == ["RELEASE batch2", "RELEASE batch1"]


def test_overwrite_that_a_failing_batch_within_a_batch_takes_back_is_taken_back(
    mem: VirtualFileSystem,
) -> None:
    filled(mem)

    with mem.atomic_batch():
        mem.write_bytes("/d/small", b"kept")
        with suppress(KeyError), mem.atomic_batch():
            mem.write_bytes("/d/small", b"taken back")
            raise KeyError
        assert mem.read_bytes("/d/small") == b"kept"

    assert mem.read_bytes("/d/small") == b"kept"


def test_batch_that_is_given_up_before_it_changed_anything_keeps_the_outer_one(
    mem: VirtualFileSystem,
) -> None:
    filled(mem)

    with mem.atomic_batch():
        mem.write_bytes("/d/small", b"kept")
        with mem.atomic_batch() as inner:
            inner.rollback()
        mem.write_bytes("/d/large", b"kept too")

    assert mem.read_bytes("/d/small") == b"kept"
    assert mem.read_bytes("/d/large") == b"kept too"


class Interrupting:
    """Raises KeyboardInterrupt at one *statement*, before or after it runs, once."""

    def __init__(self, store: Store, statement: str, *, after: bool) -> None:
        self.run, self.statement, self.after = store.run, statement, after

    def __call__(self, statement: str) -> None:
        if statement != self.statement:
            self.run(statement)
            return
        self.statement = ""
        if self.after:
            self.run(statement)
        raise KeyboardInterrupt


def interrupted(vfs: VirtualFileSystem, name: str, statement: str, after: bool) -> None:
    """Make the directory *name*, interrupted at *statement*."""
    store = vfs._store
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "run", Interrupting(store, statement, after=after))
        with pytest.raises(KeyboardInterrupt):
            vfs.mkdir(name)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_interrupt_while_a_savepoint_is_made_leaves_the_calls_around_it_whole(
    mem: VirtualFileSystem, after: bool
) -> None:
    """One that was made and never used must not be what a later call goes back to."""
    filled(mem)

    with mem.atomic_batch():
        mem.write_bytes("/d/first", b"1")
        interrupted(mem, "/d/never", "SAVEPOINT batch1", after)
        mem.write_bytes("/d/second", b"2")
        interrupted(mem, "/d/kept", "RELEASE batch1", after=True)
        mem.write_bytes("/d/third", b"3")

    assert not mem.exists("/d/never")
    assert mem.isdir("/d/kept")  # it was done when the interrupt came
    files = [f"/d/{name}" for name in ("first", "second", "third")]
    assert [mem.read_bytes(path) for path in files] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_interrupt_while_a_batch_within_a_batch_is_secured_leaves_it_to_be_taken_back(
    mem: VirtualFileSystem, after: bool
) -> None:
    filled(mem)

    with mem.atomic_batch():
        mem.write_bytes("/d/first", b"1")
        with suppress(KeyError), mem.atomic_batch():
            interrupted(mem, "/d/never", "SAVEPOINT batch1", after)
            mem.write_bytes("/d/second", b"2")
            interrupted(mem, "/d/never", "SAVEPOINT batch2", after)
            mem.write_bytes("/d/first", b"other")
            raise KeyError

    assert mem.read_bytes("/d/first") == b"1"
    assert not mem.exists("/d/second")
    assert not mem.exists("/d/never")


# --- handles --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "size", "statements"),
    [
        (0, CHUNK, ["GROW", "PUT_CHUNK"]),
        (3 * CHUNK, CHUNK, ["GROW", "PUT_CHUNK"]),
        (4 * CHUNK, 2 * CHUNK, ["GROW", "PUT_CHUNK", "PUT_CHUNK"]),
        (CHUNK + 4096, 4096, ["GROW", "FIND_CHUNK"]),  # and a blob, which is none
        (0, 10, ["READ_EXTENT", "FIND_CHUNK", "SET_SIZE"]),  # it might be in its row
    ],
    ids=["first chunk", "chunk within", "chunks behind", "4 KiB", "first bytes"],
)
@pytest.mark.parametrize("batch", [False, True], ids=["alone", "in a batch"])
def test_write_in_a_large_file_runs_these_statements(
    mem: VirtualFileSystem,
    batch: bool,
    offset: int,
    size: int,
    statements: list[str],
) -> None:
    mem.write_bytes("/a", b"x" * 5 * CHUNK)
    around = ["SAVEPOINT batch1", "RELEASE batch1"]

    with mem.open("/a", "r+b", 0) as file:
        file.seek(offset)
        if batch:
            with mem.atomic_batch(), traced(mem) as found:
                file.write(b"y" * size)
        else:
            around = ["BEGIN_WRITE", "COMMIT"]
            with traced(mem) as found:
                file.write(b"y" * size)

    assert [name for name in found if name not in around] == statements
    assert len(found) == len(statements) + 2
    assert mem.read_bytes("/a")[offset : offset + size] == b"y" * size


def test_write_in_a_small_file_in_a_batch_makes_no_savepoint(
    mem: VirtualFileSystem,
) -> None:
    mem.write_bytes("/a", SMALL)

    with mem.open("/a", "r+b", 0) as file, mem.atomic_batch(), traced(mem) as found:
        file.write(b"y")

    assert found == ["READ_EXTENT", "SET_CONTENT"]


def test_write_beyond_what_a_row_holds_moves_a_small_file_into_chunks(
    mem: VirtualFileSystem,
) -> None:
    mem.write_bytes("/a", SMALL)

    with mem.open("/a", "r+b", 0) as file:
        file.seek(9000)
        file.write(b"y")

    assert mem.read_bytes("/a") == SMALL.ljust(9000, b"\0") + b"y"


def test_write_to_a_file_that_is_gone_says_stale_and_changes_nothing(
    mem: VirtualFileSystem,
) -> None:
    """Of a number that is no file's any more GROW finds nothing to change."""
    store, content = mem._store, mem._copy_up._content
    mem.mkdir("/d")
    (number,) = store.row("SELECT id FROM inodes WHERE id > 1")

    with store.transaction:
        assert not content.write(number, 0, memoryview(LARGE), 1)
        assert not content.write(number + 1, 0, memoryview(LARGE), 1)

    assert mem.stat("/d").size == 0


# --- copy-up --------------------------------------------------------------------------


def test_copy_up_of_a_small_file_is_few_statements(make_vfs: Any) -> None:
    base, vfs = filled(make_vfs()), make_vfs()
    vfs.add_underlay(base, name="base")
    vfs.chmod("/d/large", 0o600)  # the directory is there now

    with traced(vfs) as found:
        vfs.chmod("/d/small", 0o600)

    changing = [name for name in found if re.match("ADD|COPY|SET|PUT|STAMP", name)]
    assert changing == ["COPY_INODE", "ADD_ENTRY", "SET_MODE"]
    assert len(found) <= 9


# --- what the short ways leave to the long one ----------------------------------------

OTHERWISE: dict[str, tuple[Call, Call]] = {
    "over a large file": (
        lambda vfs: vfs.write_bytes("/d/large", b"now small"),
        lambda vfs: vfs.read_bytes("/d/large") == b"now small",
    ),
    "through a link": (
        lambda vfs: vfs.write_bytes("/d/link", b"through"),
        lambda vfs: vfs.read_bytes("/d/small") == b"through" and vfs.islink("/d/link"),
    ),
    "through a link to a directory": (
        lambda vfs: vfs.write_bytes("/l/new", b"through"),
        lambda vfs: vfs.read_bytes("/d/new") == b"through",
    ),
    "in directories that are missing": (
        lambda vfs: vfs.write_bytes("/d/e/f/new", b"below"),
        lambda vfs: vfs.read_bytes("/d/e/f/new") == b"below",
    ),
    "rename through a link to a directory": (
        lambda vfs: vfs.rename("/l/small", "/l/new"),
        lambda vfs: vfs.read_bytes("/d/new") == SMALL and not vfs.exists("/d/small"),
    ),
    "rename of a directory": (
        lambda vfs: vfs.rename("/d", "/e"),
        lambda vfs: vfs.read_bytes("/e/small") == SMALL and not vfs.exists("/d"),
    ),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_change_that_no_short_way_can_make_is_made(
    mem: VirtualFileSystem, name: str
) -> None:
    call, is_done = OTHERWISE[name]
    filled(mem)

    call(mem)

    assert is_done(mem)


@pytest.mark.parametrize("verb", ["write_bytes", "mkdir"])
def test_new_name_over_a_whiteout_is_seen_above_the_underlay(
    make_vfs: Any, verb: str
) -> None:
    """With the underlay gone for a while the whiteout is still there, and decides."""
    base, vfs = make_vfs(), make_vfs()
    base.write_bytes("/d/x/old", b"old")
    vfs.add_underlay(base, name="base")
    vfs.rmtree("/d/x")
    vfs.remove_underlay("base")

    getattr(vfs, verb)("/d/x", *([b"new"] if verb == "write_bytes" else []))
    vfs.add_underlay(base, name="base")

    assert not vfs.exists("/d/x/old")
    assert vfs.isdir("/d/x") == (verb == "mkdir")


REFUSED: dict[str, tuple[Call, type[OSError]]] = {
    "write to a directory": (lambda vfs: vfs.write_bytes("/d", b""), IsADirectoryError),
    "write to the root": (lambda vfs: vfs.write_bytes("/", b""), IsADirectoryError),
    "write below a file": (
        lambda vfs: vfs.write_bytes("/d/small/x", b""),
        NotADirectoryError,
    ),
    "mkdir over a file": (lambda vfs: vfs.mkdir("/d/small"), FileExistsError),
    "mkdir below nothing": (lambda vfs: vfs.mkdir("/x/y"), FileNotFoundError),
    "rename over a file": (
        lambda vfs: vfs.rename("/d/small", "/d/large"),
        FileExistsError,
    ),
    "rename of nothing": (lambda vfs: vfs.rename("/d/no", "/d/new"), FileNotFoundError),
    "rename of the root": (lambda vfs: vfs.rename("/", "/d/new"), OSError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_change_that_is_refused_changes_nothing(
    mem: VirtualFileSystem, name: str
) -> None:
    call, error = REFUSED[name]
    filled(mem)
    before = list(mem._store._cx.iterdump())

    with mem.atomic_batch(), pytest.raises(error):
        call(mem)

    assert list(mem._store._cx.iterdump()) == before


# --- plans ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def container() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    for text in _sql.SCHEMA:
        connection.execute(text)
    yield connection
    connection.close()


ENTRIES = "USING PRIMARY KEY (parent=? AND name=?)"
PLANS = {
    "OVERWRITE": [
        "SEARCH inodes USING INTEGER PRIMARY KEY",
        f"SEARCH entries {ENTRIES}",
    ],
    "FIND_SOLE": [
        f"SEARCH e {ENTRIES}",
        "SEARCH i USING INTEGER PRIMARY KEY",
    ],
    "FIND_ROOM": [f"SEARCH entries {ENTRIES}"] * 2,
    "STAMP_INODE": ["SEARCH inodes USING INTEGER PRIMARY KEY"],
    "GROW": ["SEARCH inodes USING INTEGER PRIMARY KEY"],
    "FIND_CHUNK": [
        "SEARCH chunks USING INDEX sqlite_autoindex_chunks_1 (inode=? AND idx=?)"
    ],
}


@pytest.mark.parametrize("name", PLANS)
def test_plan_of_a_hot_change_goes_by_keys_alone(
    container: sqlite3.Connection, name: str
) -> None:
    text = getattr(_sql, name)

    rows = container.execute(f"EXPLAIN QUERY PLAN {text}", ("",) * text.count("?"))
    steps = [row[3] for row in rows]

    searches = [step for step in steps if step.startswith(("SEARCH", "SCAN"))]
    assert [step.replace(" (rowid=?)", "") for step in searches] == PLANS[name]
