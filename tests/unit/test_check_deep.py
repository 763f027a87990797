"""``check(deep=True)`` and ``repair()`` of what SQLite itself finds: rule 15.

The bytes of a closed container are changed, or its schema for a moment.
"""

from __future__ import annotations

import random
import struct
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.ground import connect, files_beside, integrity_of, query
from tests.unit.damages import contents, is_healthy, make_sample, repairs

from stratavfs import CorruptDatabase, _check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stratavfs import VirtualFileSystem

pytestmark = pytest.mark.damaged

INTERIOR, LEAF = 2, 10  # pages of a table without rowid, by their first byte
HEADERS = {INTERIOR: 12, LEAF: 8}


@pytest.fixture
def path(make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path) -> Path:
    """A sample on the disk, closed."""
    path = tmp_path / "c.db"
    make_sample(make_vfs, path).close()
    return path


def root_of(path: Path, name: str) -> int:
    ((page,),) = query(path, "SELECT rootpage FROM sqlite_schema WHERE name = ?", name)
    return int(page)


def change(path: Path, old: bytes, new: bytes) -> None:
    """Replace the only place in the file where *old* is."""
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))


# --- indexes --------------------------------------------------------------------------


@pytest.fixture
def wrong_index(path: Path) -> Path:
    """A sample that has lost a file's last chunk in the index of chunks."""
    # A record: bytes of its header, the types of three small numbers, the numbers.
    record = bytes([4, 1, 1, 1, 3, 2, 3])  # inode 3, chunk 2, rowid 3
    change(path, record, bytes([4, 1, 1, 1, 3, 7, 3]))
    return path


def test_check_deep_of_wrong_index_says_so(
    make_vfs: Callable[..., VirtualFileSystem], wrong_index: Path
) -> None:
    vfs = make_vfs(wrong_index)

    found = [finding for finding in vfs.check(deep=True) if finding.rule == 15]

    assert found
    assert all("index" in finding.message for finding in found)
    assert {finding.subject for finding in found} == {"the database"}
    assert str(found[0]).startswith("MUST 15: the database: ")


def test_repair_of_wrong_index_makes_it_again(
    make_vfs: Callable[..., VirtualFileSystem], wrong_index: Path
) -> None:
    vfs = make_vfs(wrong_index)

    assert repairs(vfs)[0] == "15: the indexes: made again"

    assert is_healthy(vfs)
    assert contents(vfs) == {"/d/f": b"abcdefghij", "/s": b"abc"}
    vfs.close()
    assert integrity_of(wrong_index) == "ok"


def test_repair_of_orphan_that_is_in_no_index_makes_it_again(
    make_vfs: Callable[..., VirtualFileSystem], path: Path
) -> None:
    with closing(connect(path)) as cx:
        (row,) = cx.execute(
            "SELECT rowid, * FROM sqlite_schema WHERE name = 'orphans'"
        ).fetchall()
        cx.execute("PRAGMA writable_schema = ON")
        cx.execute("DELETE FROM sqlite_schema WHERE name = 'orphans'")
    with closing(connect(path)) as cx:
        cx.execute("DELETE FROM entries WHERE name = 's'")
        cx.execute("UPDATE inodes SET nlink = 0 WHERE id = 4")
        cx.execute("PRAGMA writable_schema = ON")
        insert = (
            "INSERT INTO sqlite_schema (rowid, type, name, tbl_name, rootpage, sql)"
        )
        cx.execute(f"{insert} VALUES (?, ?, ?, ?, ?, ?)", row)
    vfs = make_vfs(path)
    assert vfs.check() == []
    assert {finding.rule for finding in vfs.check(deep=True)} == {15}

    assert repairs(vfs) == ["15: the indexes: made again"]

    assert vfs.check(deep=True) == []
    vfs.close()
    make_vfs(path).close()  # which looks for orphans in the index
    assert query(path, "SELECT id FROM inodes WHERE id = 4") == []


# --- pages ----------------------------------------------------------------------------


@pytest.fixture
def wrong_page(path: Path) -> Path:
    """A sample in which the page of the entries is none."""
    page = root_of(path, "entries")
    data = bytearray(path.read_bytes())
    data[(page - 1) * 4096] = 0xEE
    path.write_bytes(data)
    return path


def test_check_of_wrong_page_is_corrupt(
    make_vfs: Callable[..., VirtualFileSystem], wrong_page: Path
) -> None:
    vfs = make_vfs(wrong_page)

    with pytest.raises(CorruptDatabase) as caught:
        vfs.check()

    assert caught.value.filename == str(wrong_page)


def test_check_deep_of_wrong_page_names_it(
    make_vfs: Callable[..., VirtualFileSystem], wrong_page: Path
) -> None:
    vfs = make_vfs(wrong_page)

    (finding,) = vfs.check(deep=True)

    assert (finding.rule, finding.subject) == (15, "the database")
    assert "page" in finding.message.lower()
    assert "\n" not in finding.message


def test_repair_of_wrong_page_is_refused_and_changes_nothing(
    make_vfs: Callable[..., VirtualFileSystem], wrong_page: Path
) -> None:
    vfs = make_vfs(wrong_page)
    before = wrong_page.read_bytes()

    with pytest.raises(CorruptDatabase) as caught:
        vfs.repair()

    assert caught.value.filename == str(wrong_page)
    assert "`sqlite3 FILE .recover`" in str(caught.value)
    assert "restore it from a backup" in str(caught.value)
    vfs.close()
    assert files_beside(wrong_page) == {str(wrong_page): before}


def test_repair_of_two_chunks_in_one_place_is_refused_and_changes_nothing(
    make_vfs: Callable[..., VirtualFileSystem], path: Path
) -> None:
    # A record of the table: bytes of its header, three types, inode, number, bytes.
    old = bytes([4, 1, 1, 16, 3, 2]) + b"ij"
    change(path, old, bytes([4, 1, 1, 16, 3, 0]) + b"ij")
    vfs = make_vfs(path)
    before = path.read_bytes()
    assert vfs.check(deep=True) != []

    with pytest.raises(CorruptDatabase) as caught:
        vfs.repair()

    assert "UNIQUE" in str(caught.value)
    vfs.close()
    assert path.read_bytes() == before


# --- pages that lead back to themselves -----------------------------------------------


@pytest.fixture
def circle(make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path) -> Path:
    """A container whose entries are more than all the atoms there are, in 1 MB."""
    path = tmp_path / "circle.db"
    with make_vfs(path) as vfs, vfs.atomic_batch():
        for number in range(1500):
            vfs.touch(f"/{number:0200d}")
    with closing(connect(path)) as cx:
        cx.execute("PRAGMA journal_mode = DELETE")
    make_circle(path)
    return path


def make_circle(path: Path) -> None:
    """Let each of 18 pages have only the next one below it, the last one a leaf."""
    data = bytearray(path.read_bytes())
    root = root_of(path, "entries")
    pages = range(2, len(data) // 4096 + 1)
    leaves = [page for page in pages if data[(page - 1) * 4096] == LEAF]
    chain = [root, *leaves[-17:]]
    for page in chain[1:]:
        data[(page - 1) * 4096 : page * 4096] = data[(root - 1) * 4096 : root * 4096]
    for page, below in zip(chain, [*chain[1:], leaves[0]], strict=True):
        for at in children(data, page):
            data[at : at + 4] = struct.pack(">I", below)
    path.write_bytes(data)


def children(data: bytearray, page: int) -> Iterator[int]:
    """Yield the places of the numbers of the pages below *page*."""
    start = (page - 1) * 4096
    assert data[start] == INTERIOR
    (count,) = struct.unpack_from(">H", data, start + 3)
    yield start + 8
    for cell in struct.unpack_from(f">{count}H", data, start + 12):
        yield start + cell


def test_check_of_pages_in_a_circle_is_corrupt(
    make_vfs: Callable[..., VirtualFileSystem], circle: Path
) -> None:
    vfs = make_vfs(circle)

    with pytest.raises(CorruptDatabase) as caught:
        vfs.check()

    assert caught.value.filename == str(circle)
    assert "lead back to themselves" in str(caught.value)


def test_check_deep_of_pages_in_a_circle_ends(
    make_vfs: Callable[..., VirtualFileSystem], circle: Path
) -> None:
    vfs = make_vfs(circle)

    (finding,) = vfs.check(deep=True)

    assert "2nd reference to page" in finding.message


def test_repair_of_pages_in_a_circle_is_refused_and_changes_nothing(
    make_vfs: Callable[..., VirtualFileSystem], circle: Path
) -> None:
    vfs = make_vfs(circle)

    with pytest.raises(CorruptDatabase):
        vfs.repair()

    assert not vfs._store._cx.in_transaction


def test_check_of_fork_with_pages_in_a_circle_is_corrupt(
    make_vfs: Callable[..., VirtualFileSystem], circle: Path
) -> None:
    with make_vfs(circle).fork() as copy, pytest.raises(CorruptDatabase):
        copy.check()


# --- rows out of order ----------------------------------------------------------------


def swap_first_two(path: Path, table: str) -> None:
    """Exchange the first two rows of *table*, which all fit on one page."""
    data = bytearray(path.read_bytes())
    start = (root_of(path, table) - 1) * 4096
    assert data[start] not in (2, 5)  # pages with others below them
    first, second = struct.unpack_from(">2H", data, start + 8)
    struct.pack_into(">2H", data, start + 8, second, first)
    path.write_bytes(data)


def test_check_of_inodes_out_of_order_ends(
    make_vfs: Callable[..., VirtualFileSystem],
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_check, "RANGE", 1)
    swap_first_two(path, "inodes")
    vfs = make_vfs(path)

    with pytest.raises(CorruptDatabase) as caught:
        vfs.check()

    assert caught.value.filename == str(path)
    assert "out of order" in str(caught.value)
    assert "out of order" in str(vfs.check(deep=True))


def test_repair_of_entries_out_of_order_is_refused_and_changes_nothing(
    make_vfs: Callable[..., VirtualFileSystem], path: Path
) -> None:
    with make_vfs(path) as vfs:
        vfs.makedirs("/x/1")
        vfs.makedirs("/y/2")
    with closing(connect(path)) as cx:
        cx.execute("DELETE FROM entries WHERE parent = '/'")
        cx.execute("DELETE FROM entries WHERE parent IN ('', '/d/')")
        cx.execute("VACUUM")  # what is left is on the page in its order
    swap_first_two(path, "entries")
    vfs = make_vfs(path)
    before = path.read_bytes()

    with pytest.raises(CorruptDatabase) as caught:
        vfs.repair()

    assert caught.value.filename == str(path)
    assert "out of order" in str(caught.value)
    vfs.close()
    assert path.read_bytes() == before


# --- any byte -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_check_and_repair_of_any_changed_byte_end_well(
    make_vfs: Callable[..., VirtualFileSystem], path: Path, seed: int
) -> None:
    sound = path.read_bytes()
    used = [at for at in range(100, len(sound)) if sound[at]]
    rng = random.Random(seed)

    for _ in range(60):
        data = bytearray(sound)
        for at in rng.choices(used, k=rng.choice((1, 1, 2, 5))):
            data[at] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            vfs = make_vfs(path)
        except OSError:
            continue
        with vfs:
            check_and_repair(vfs)


def check_and_repair(vfs: VirtualFileSystem) -> None:
    try:
        found = vfs.check()
        before = contents(vfs)
        done = vfs.repair()
    except CorruptDatabase:
        assert not vfs._store._cx.in_transaction
        return
    assert is_healthy(vfs)
    assert done != [] or found == []
    if not any(line.rule == 15 for line in done):  # then more can be read than before
        assert {*before.values()} <= {*contents(vfs).values()}
