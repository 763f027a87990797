"""Names that lead elsewhere, entries that lead nowhere, links that lead out."""

from __future__ import annotations

import errno
import os
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from tests.faults.hostile import (
    WAYS,
    bounds,
    every_way,
    make_sample,
    make_spoilt,
    take_tour,
)

from stratavfs import CorruptDatabase, LayerFailed, VirtualFileSystem

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
    return tmp_path / "stranger.db"


def raised(call: Callable[..., Any], *args: Any) -> OSError:
    with pytest.raises(OSError) as caught:
        call(*args)
    return caught.value


# --- names ----------------------------------------------------------------------------

NAMES = {
    "empty": "",
    "dot": ".",
    "dot dot": "..",
    "absolute": "/x",
    "with a slash": "a/b",
    "upwards": "../../x",
    "NUL": "a\0b",
    "256 bytes": "n" * 256,
    "256 bytes of UTF-8": "é" * 128,
    "a million": "n" * 1_000_000,
    "no UTF-8": b"a\xffb",
    "bytes": b"abc",
    "number": 7,
}
KINDS = {"directory": 4, "file": 8, "link": 10, "whiteout": 14}
ADD_NAME = (
    "INSERT INTO entries SELECT '/d/', iif(typeof(?1) = 'blob' AND ?1 <> x'616263', "
    "CAST(?1 AS TEXT), ?1), ?2, iif(?2 = 14, NULL, inode) FROM entries "
    "WHERE parent || name = CASE ?2 WHEN 4 THEN '/empty' WHEN 8 THEN '/d/small' "
    "ELSE '/link' END"
)


def make_named(path: Path, name: object, kind: int) -> None:
    """Make a sample with one more entry in the directory ``/d``."""
    statement = ADD_NAME.replace("?1", ":name").replace("?2", ":kind")
    make_spoilt(path, statement, args={"name": name, "kind": kind})


@pytest.mark.parametrize(("name", "kind"), [*product(NAMES, KINDS)])
def test_list_of_hostile_name_is_refused(path: Path, name: str, kind: str) -> None:
    make_named(path, NAMES[name], KINDS[kind])
    before = path.read_bytes()
    with VirtualFileSystem(path, immutable=True) as vfs:
        asked: list[Callable[[], object]] = [
            lambda: vfs.listdir("/d"),
            lambda: [*vfs.scandir("/d")],
            lambda: [*vfs.walk("/d", onerror=reraised)],
            lambda: vfs.glob("/d/*"),
        ]
        if name != "bytes":  # which match nothing
            asked.append(lambda: vfs.glob("/**"))

        for ask in asked if kind != "whiteout" else []:
            error = raised(ask)

            assert isinstance(error, CorruptDatabase)
            assert (error.errno, error.filename) == (errno.EIO, str(path))
            assert len(str(error)) < 1000
        assert vfs.check() != []

    assert path.read_bytes() == before


@pytest.mark.parametrize(("name", "kind"), [*product(NAMES, KINDS)])
def test_list_of_hostile_name_below_names_the_layer(
    path: Path, name: str, kind: str
) -> None:
    make_named(path, NAMES[name], KINDS[kind])
    with VirtualFileSystem() as top:
        top.write_bytes("/d/mine", b"mine")
        top.add_underlay(str(path), name="stranger")

        error = raised(top.listdir, "/d")

        assert isinstance(error, LayerFailed)
        assert (error.errno, error.filename) == (errno.EIO, "/d")
        assert "stranger" in str(error)
        assert top.read_bytes("/d/mine") == b"mine"


@every_way
@pytest.mark.parametrize("name", NAMES)
def test_use_of_hostile_name_is_answered_or_refused(
    path: Path, name: str, way: str
) -> None:
    for kind in KINDS.values():
        make_named(path, NAMES[name], kind)
        take_tour(path, way)


def reraised(error: OSError) -> None:
    raise error


# --- keys of directories --------------------------------------------------------------

KEYS = {
    "upwards": "/d/../../etc/",
    "upwards from the root": "/../",
    "dot": "/d/./",
    "double": "//",
    "double inside": "/d//e/",
    "without its first slash": "d/",
    "without its last": "/d",
    "empty": "",
    "NUL": "/d\0/",
    "of a file": "/d/small/",
    "of nothing": "/missing/",
    "of a whiteout": "/d/gone/",
    "a million": "/" + "n" * 1_000_000 + "/",
    "deep": "/d/" + "n/" * 5000,
    "no UTF-8": b"/d\xff/",
    "number": 7,
}


@every_way
@pytest.mark.parametrize("key", KEYS)
def test_use_of_hostile_key_is_answered_or_refused(
    path: Path, key: str, way: str
) -> None:
    statement = "INSERT INTO entries SELECT ?, 'x', 8, max(id) FROM inodes"
    value = KEYS[key]
    if isinstance(value, bytes):
        statement = statement.replace("?", "CAST(? AS TEXT)")

    make_spoilt(path, statement, args=(value,))
    take_tour(path, way)


@pytest.mark.parametrize("key", ["upwards", "dot", "double inside", "deep", "NUL"])
def test_glob_of_hostile_key_is_refused(path: Path, key: str) -> None:
    make_spoilt(
        path,
        "INSERT INTO entries SELECT ?, 'x', 8, max(id) FROM inodes",
        args=(KEYS[key],),
    )
    with VirtualFileSystem(path, immutable=True) as vfs:
        error = raised(vfs.glob, "/d/**" if key != "NUL" else "/**")

        assert isinstance(error, CorruptDatabase)
        assert error.filename == str(path)


# --- entries that lead nowhere, or in circles -----------------------------------------

MOVES = {
    "no inode": "UPDATE entries SET inode = 999 WHERE name = 'small'",
    "NULL": "UPDATE entries SET inode = NULL WHERE name = 'small'",
    "directory without inode": "UPDATE entries SET inode = 999 WHERE name = 'd'",
    "whiteout with an inode": "UPDATE entries SET inode = 3 WHERE name = 'gone'",
    "directory in itself": "INSERT INTO entries SELECT '/d/', 'd', 4, inode "
    "FROM entries WHERE parent || name = '/d'",
    "root in itself": "INSERT INTO entries VALUES ('/', 'root', 4, 1)",
    "root below": "UPDATE entries SET inode = 1 WHERE name = 'e'",
    "two names of a directory": "INSERT INTO entries SELECT '/', 'again', 4, inode "
    "FROM entries WHERE parent || name = '/d'",
    "a hundred names of a file": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
    "SELECT i + 1 FROM n WHERE i < 100) INSERT INTO entries SELECT '/d/', "
    "'name' || i, 8, inode FROM n, entries WHERE name = 'small'",
    "no root": "DELETE FROM entries WHERE parent = ''",
    "root is a file": "UPDATE entries SET kind = 8 WHERE parent = ''",
    "root is a link": "UPDATE entries SET kind = 10 WHERE parent = ''",
    "root is a whiteout": "UPDATE entries SET kind = 14, inode = NULL "
    "WHERE parent = ''",
    "root has no inode": "DELETE FROM inodes WHERE id = 1",
    "root is another": "UPDATE entries SET inode = 2 WHERE parent = ''",
    "two roots": "INSERT INTO entries VALUES ('', 'x', 4, 1)",
    "no entries": "DELETE FROM entries",
    "no inodes": "DELETE FROM inodes",
    "the directory is no directory": "UPDATE entries SET kind = 8 WHERE name = 'd'",
    "no number is left": "UPDATE sqlite_sequence SET seq = 9223372036854775807",
    "the number is text": "UPDATE sqlite_sequence SET seq = 'many'",
}


@every_way
@pytest.mark.parametrize("move", MOVES)
def test_use_of_entry_that_leads_nowhere_is_answered_or_refused(
    path: Path, move: str, way: str
) -> None:
    make_spoilt(path, MOVES[move])
    take_tour(path, way)


@every_way
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("name", ["/d", "/d/small", "/d/big", "/link", "/d/gone"])
def test_use_of_entry_of_another_kind_is_answered_or_refused(
    path: Path, name: str, kind: int, way: str
) -> None:
    statement = "UPDATE entries SET kind = ? WHERE parent || name = ?"

    make_spoilt(path, statement, args=(kind, name))
    take_tour(path, way)


@pytest.mark.parametrize("way", WAYS)
def test_read_of_entry_without_inode_is_refused(path: Path, way: str) -> None:
    make_spoilt(path, MOVES["no inode"])
    with VirtualFileSystem(path, **WAYS[way]) as vfs:
        for ask in (vfs.read_bytes, vfs.read_text, vfs.stat, vfs.lstat, vfs.getsize):
            error = raised(ask, "/d/small")

            assert error.errno in (errno.EIO, errno.ENOENT)
        assert vfs.read_bytes("/hard") == b"small"


def test_write_over_entry_without_inode_changes_nothing(path: Path) -> None:
    make_spoilt(path, MOVES["no inode"])
    with VirtualFileSystem(path) as vfs:
        before = vfs.check()

        error = raised(vfs.write_bytes, "/d/small", b"would be lost")

        assert error.errno == errno.EIO
        assert vfs.check() == before


@pytest.mark.parametrize("move", ["no root", "root is a whiteout", "no entries"])
def test_copy_up_without_a_root_is_refused(path: Path, move: str) -> None:
    make_spoilt(path, MOVES[move])
    with VirtualFileSystem() as base, VirtualFileSystem(path) as vfs:
        base.write_bytes("/new/file", b"base")
        vfs.add_underlay(base)

        error = raised(vfs.chmod, "/new/file", 0o600)

        # A root that is a whiteout hides everything below.
        assert error.errno in (errno.EIO, errno.ENOENT)


def test_copy_up_out_of_no_directory_is_refused(path: Path) -> None:
    make_spoilt(path, "UPDATE entries SET name = 'other' WHERE parent || name = '/d'")
    with VirtualFileSystem() as top:
        top.add_underlay(str(path), name="stranger")

        for change in (top.chmod, top.truncate):
            raised(change, "/d/small", 0)

        assert top.check() == []
        assert top.lexists("/d") is False


# --- links ----------------------------------------------------------------------------

TARGETS = {
    "out": "../../../../../../etc/passwd",
    "absolute": "/etc/passwd",
    "itself": "link",
    "by way of itself": "link/../link",
    "the root": "/",
    "its directory": ".",
    "windows": "C:\\Windows\\win.ini",
    "a name too long": "n" * 300,
    "4,095 bytes": "a/" * 2047 + "a",
    "4,096 bytes": "a/" * 2048,
    "4,096 bytes of UTF-8": "é" * 2048,
    "a million": "n/" * 500_000,
    "empty": "",
    "NUL": "d\0small",
}
SET_TARGET = "UPDATE inodes SET target = ?1, size = length(CAST(?1 AS BLOB)) "


@every_way
@pytest.mark.parametrize("target", TARGETS)
def test_use_of_hostile_link_stays_inside(path: Path, target: str, way: str) -> None:
    statement = SET_TARGET.replace("?1", ":target") + "WHERE target IS NOT NULL"

    make_spoilt(path, statement, args={"target": TARGETS[target]})
    take_tour(path, way)


@pytest.mark.skipif(not os.path.exists("/etc/passwd"), reason="there is none to find")
@pytest.mark.parametrize("target", ["out", "absolute"])
def test_read_through_link_out_finds_nothing_of_the_host(
    path: Path, target: str
) -> None:
    make_sample(path)
    with VirtualFileSystem(path) as vfs:
        vfs.symlink(TARGETS[target], "/d/out")

        assert raised(vfs.read_bytes, "/d/out").errno == errno.ENOENT
        vfs.write_bytes("/etc/passwd", b"inside")
        assert vfs.read_bytes("/d/out") == b"inside"


@pytest.mark.parametrize(
    "target", ["empty", "NUL", "4,096 bytes", "4,096 bytes of UTF-8", "a million"]
)
def test_follow_of_impossible_link_is_refused(path: Path, target: str) -> None:
    statement = SET_TARGET.replace("?1", ":target") + "WHERE target IS NOT NULL"
    make_spoilt(path, statement, args={"target": TARGETS[target]})
    with VirtualFileSystem(path, immutable=True) as vfs:
        for ask in (vfs.readlink, vfs.stat, vfs.read_bytes):
            error = raised(ask, "/link")

            assert isinstance(error, CorruptDatabase)
            assert "'/link'" in str(error)


# --- depth ----------------------------------------------------------------------------

DEEP = (
    "WITH RECURSIVE n(key, i) AS (SELECT '/', 1 UNION ALL "
    "SELECT key || 'a/', i + 1 FROM n WHERE i < ?) "
    "INSERT INTO entries SELECT key, 'a', 4, 1 FROM n"
)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [2100, 10_000])
def test_use_of_very_deep_tree_is_answered_or_refused(path: Path, depth: int) -> None:
    make_spoilt(path, DEEP, args=(depth,))
    seen = 0
    with VirtualFileSystem(path, immutable=True) as vfs:
        for at, _, _ in vfs.walk("/"):
            assert len(at) <= 4095
            seen += 1
        assert seen > 2000
        assert isinstance(raised(vfs.glob, "/**"), CorruptDatabase)
        assert raised(vfs.listdir, "/a" * 2048).errno == errno.ENAMETOOLONG

    with VirtualFileSystem() as top, VirtualFileSystem() as target:
        top.add_underlay(str(path), name="stranger")
        raised(top.flatten, target)
        assert top.check() == target.check() == []
