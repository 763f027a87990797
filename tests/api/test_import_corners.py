"""Imports where something is unusual: the archive, the host, the container, the time.

What an archive of no known format may say is said by one that a test makes up.
"""

from __future__ import annotations

import errno
import io
import tarfile
from contextlib import contextmanager
from stat import S_IFDIR, S_IFLNK, S_IMODE
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from tests import ground
from tests.api.test_import_archive import MTIME, add, made, require_all
from tests.api.test_round_trips import difference, host_tree, vfs_tree

from stratavfs import VirtualFileSystem, _arrivals, _bulk, _encounters
from stratavfs.archives import ArchiveMember
from stratavfs.errors import BadArchive, LayerFailed
from stratavfs.records import Inode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Vfs = VirtualFileSystem
Content = BinaryIO | None

DIRECTORY = S_IFDIR | 0o755
LONG = bytes(range(251)) * 4300  # more than is read at once


def rows(vfs: Vfs) -> ground.Dump:
    return ground.dump(vfs._store._cx)


class Told:
    """A format of which the archives have the members that a test says."""

    name = "told"
    extensions = (".told",)

    def __init__(self, *members: tuple[ArchiveMember, Content]) -> None:
        self.members = members

    def recognizes(self, head: bytes) -> bool:
        return False

    @contextmanager
    def read(self, stream: BinaryIO) -> Iterator[Iterator[Any]]:
        for _, content in self.members:
            if isinstance(content, io.BytesIO):
                content.seek(0)
        yield iter(self.members)

    def write(self, stream: BinaryIO) -> Any:
        raise NotImplementedError


def told(vfs: Vfs, *members: tuple[ArchiveMember, Content], **options: Any) -> Any:
    return vfs.import_archive(io.BytesIO(), format=Told(*members), **options)


def file(path: str, content: bytes, **fields: Any) -> tuple[ArchiveMember, BinaryIO]:
    fields = {"size": len(content), "mtime_ns": MTIME * 10**9, **fields}
    return ArchiveMember(path, **fields), io.BytesIO(content)


def tar_of(*members: tuple[str, bytes, dict[str, Any]]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, content, fields in members:
            add(archive, path, content, **fields)
    stream.seek(0)
    return stream


def linked(first: bytes = b"1", second: bytes | None = None) -> io.BytesIO:
    """Return a tar of the file a, maybe the file b, and b as one more name of a."""
    between: list[tuple[str, bytes, dict[str, Any]]] = (
        [] if second is None else [("b", second, {})]
    )
    link = ("b", b"", {"type": tarfile.LNKTYPE, "linkname": "a"})
    return tar_of(("a", first, {}), *between, link)


# --- members that no format of the library has ----------------------------------------


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (ArchiveMember("a", mode=1 << 16), "a mode that is out of range"),
        (ArchiveMember("a\udcff"), "no UTF-8"),
        (ArchiveMember("a", mtime_ns=1 << 63), "a time that is out of range"),
        (ArchiveMember("a", atime_ns=1 << 63), "a time that is out of range"),
        (ArchiveMember("a", uid=-1), "an owner that is out of range"),
        (ArchiveMember("a", gid=1 << 32), "an owner that is out of range"),
        (ArchiveMember("a", owner="\udcff"), "no UTF-8"),
        (ArchiveMember("a", xattrs={"": b""}), "empty or holds a NUL"),
        (ArchiveMember("a", S_IFLNK, target="\udcff"), "no UTF-8"),
        (ArchiveMember("a", size=3), "another size"),
        (ArchiveMember("a", size=2 << 20), "cut short"),
    ],
)
def test_import_of_a_member_that_says_the_impossible_is_refused(
    mem: Vfs, member: ArchiveMember, said: str
) -> None:
    before = rows(mem)

    with pytest.raises(BadArchive, match=said) as caught:
        told(mem, file("before", b"1"), (member, None))

    assert caught.value.filename == "<stream>"
    assert rows(mem) == before


@pytest.mark.parametrize("content", [b"12", b"1234"])
def test_import_by_checksum_of_a_member_of_another_size_than_it_says_is_refused(
    mem: Vfs, content: bytes
) -> None:
    mem.write_bytes("/a", b"old")
    before = rows(mem)

    with pytest.raises(BadArchive, match="another size"):
        told(mem, file("a", content, size=3), checksum=True, on_conflict="replace")

    assert rows(mem) == before


def test_import_of_a_member_without_content_makes_an_empty_file(mem: Vfs) -> None:
    report = told(mem, (ArchiveMember("a"), None))

    assert (report.files, report.bytes) == (1, 0)
    assert mem.read_bytes("/a") == b""


def test_import_of_a_container_that_is_open_as_an_archive_is_refused(
    make_vfs: Callable[..., Vfs], tmp_path: Path
) -> None:
    vfs = make_vfs(tmp_path / "c.db")
    before = rows(vfs)

    with pytest.raises(OSError) as caught:
        vfs.import_archive(vfs.db_path)

    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, vfs.db_path)
    assert rows(vfs) == before


# --- what is selected -----------------------------------------------------------------


def test_import_of_what_is_included_gives_its_directory_what_the_archive_says(
    mem: Vfs,
) -> None:
    folders: list[tuple[str, bytes, dict[str, Any]]] = [
        ("d", b"", {"type": tarfile.DIRTYPE, "mode": 0o700}),
        ("d/e", b"", {"type": tarfile.DIRTYPE, "mode": 0o711}),
        ("none", b"", {"type": tarfile.DIRTYPE}),
    ]
    archive = tar_of(*folders, ("d/e/a.txt", b"1", {}), ("d/b", b"2", {}))

    mem.import_archive(archive, include="*.txt")

    assert [*mem.find()] == ["/d", "/d/e", "/d/e/a.txt"]
    modes = [S_IMODE(mem.stat(path).st_mode) for path in ("/d", "/d/e")]
    assert modes == [0o700, 0o711]


def test_import_leaves_out_an_excluded_directory_with_all_in_it(mem: Vfs) -> None:
    directory = {"type": tarfile.DIRTYPE}
    archive = tar_of(
        ("skip", b"", directory),
        ("skip/sub", b"", directory),
        ("skip/sub/a", b"1", {}),
        ("keep/skip", b"a file of that name", {}),
    )

    report = mem.import_archive(archive, exclude="skip/")

    assert [*mem.find()] == ["/keep", "/keep/skip"]
    assert report.files == 1


@pytest.mark.parametrize(("pattern", "left"), [("/", ["/a"]), (".", [])])
def test_import_that_excludes_the_top_leaves_out_what_is_in_it(
    mem: Vfs, tmp_path: Path, pattern: str, left: list[str]
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b").write_bytes(b"2")
    (tmp_path / "a").write_bytes(b"1")

    mem.import_tree(tmp_path, exclude=pattern)

    assert [*mem.find()] == left


# --- what is there already ------------------------------------------------------------


def test_import_of_a_hard_link_over_a_file_of_the_archive_is_what_came_last(
    mem: Vfs,
) -> None:
    mem.import_archive(linked(b"1", b"other"))

    assert mem.samefile("/a", "/b")
    assert mem.read_bytes("/b") == b"1"


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("preserve", [["timestamps"], ["timestamps", "links"]])
def test_import_of_a_hard_link_over_an_equal_file_finds_it_unchanged(
    mem: Vfs, checksum: bool, preserve: list[str]
) -> None:
    mem.import_archive(linked(LONG), preserve=["timestamps"])
    before = rows(mem)

    report = mem.import_archive(linked(LONG), preserve=preserve, checksum=checksum)

    assert (report.files, report.unchanged) == (0, 2)
    assert rows(mem) == before


@pytest.mark.parametrize("checksum", [False, True])
def test_import_of_a_hard_link_over_another_file_is_a_conflict(
    mem: Vfs, checksum: bool
) -> None:
    mem.write_bytes("/b", b"2")
    before = rows(mem)

    with pytest.raises(FileExistsError) as caught:
        mem.import_archive(linked(b"1"), checksum=checksum)
    assert caught.value.filename == "/b"
    assert rows(mem) == before

    mem.import_archive(linked(b"1"), checksum=checksum, on_conflict="replace")
    assert mem.samefile("/a", "/b")


def test_import_without_links_gives_each_name_all_that_the_file_has(mem: Vfs) -> None:
    fields = {"owner": "ann", "uid": 7, "gid": 8, "xattrs": {"user.note": b"kept"}}
    link = ArchiveMember("b", first="a")

    told(mem, file("a", b"1", **fields), (link, None), preserve=["ownership", "xattr"])

    found = mem.stat("/b")
    assert not mem.samefile("/a", "/b")
    assert (found.st_uid, found.st_gid, found.owner) == (7, 8, "ann")
    assert mem.getxattr("/b", "user.note") == b"kept"


class Fickle:
    """A layer of one file, which is gone when it is opened, or fails."""

    def __init__(self, error: OSError) -> None:
        self.error = error

    def find(self, path: str) -> Inode | None:
        kinds = {"/": 0o40755, "/a": 0o100644}
        return Inode(kinds[path], size=1) if path in kinds else None

    def kinds(self, path: str) -> list[tuple[str, int]]:
        return [("a", 0o100000)]

    def open(self, path: str) -> Any:
        raise self.error


@pytest.mark.parametrize("preserve", [[], ["links"]])
def test_import_of_a_hard_link_to_a_file_that_has_gone_below_names_it(
    mem: Vfs, preserve: list[str]
) -> None:
    mem.add_underlay(Fickle(FileNotFoundError(errno.ENOENT, "gone")), name="fickle")
    mem.write_bytes("/old", b"2")
    before = rows(mem)

    for path, checksum in (("new", False), ("old", True)):
        link = ArchiveMember(path, first="a")
        with pytest.raises(FileNotFoundError) as caught:
            told(mem, (link, None), preserve=preserve, checksum=checksum)
        assert caught.value.filename == "/a"

    assert rows(mem) == before


def test_import_over_a_file_that_has_gone_below_is_a_conflict(mem: Vfs) -> None:
    mem.add_underlay(Fickle(FileNotFoundError(errno.ENOENT, "gone")), name="fickle")
    before = rows(mem)

    with pytest.raises(FileExistsError) as caught:
        told(mem, file("a", b"1"), checksum=True)

    assert caught.value.filename == "/a"
    assert rows(mem) == before


def test_import_over_a_layer_that_fails_ends_even_if_errors_are_skipped(
    mem: Vfs, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"1")
    mem.add_underlay(Fickle(OSError(errno.EIO, "bad sector")), name="fickle")
    before = rows(mem)

    with pytest.raises(LayerFailed, match="bad sector") as caught:
        mem.import_tree(tmp_path, checksum=True, errors="skip")

    assert caught.value.filename == "/a"
    assert rows(mem) == before


@pytest.mark.parametrize("name", ["tar", "zip"])
@pytest.mark.parametrize("checksum", [False, True])
def test_import_again_that_forgets_what_it_saw_is_the_same(
    mem: Vfs, monkeypatch: pytest.MonkeyPatch, name: str, checksum: bool
) -> None:
    mem.import_archive(io.BytesIO(made(name)))
    before, first = rows(mem), vfs_tree(mem)
    monkeypatch.setattr(_encounters, "_KNOWN", 2)

    again = mem.import_archive(io.BytesIO(made(name)), checksum=checksum)
    assert (again.files, again.skipped, rows(mem)) == (0, 0, before)

    mem.import_archive(io.BytesIO(made(name)), "/in")
    assert vfs_tree(mem, "/in").keys() == first.keys()
    for path, seen in vfs_tree(mem, "/in").items():
        assert (seen.kind, seen.content) == (first[path].kind, first[path].content)


def test_import_of_a_directory_gives_it_the_attributes_it_lacks(mem: Vfs) -> None:
    mem.mkdir("/d")
    mem.setxattr("/d", "user.old", b"kept")
    attributes = {"user.a": b"1", "user.b": b"2"}
    member = ArchiveMember("d", DIRECTORY, mtime_ns=5, xattrs=attributes)

    told(mem, (member, None), preserve=["xattr"])
    first = rows(mem)
    told(mem, (member, None), preserve=["xattr"])

    found = {name: mem.getxattr("/d", name) for name in mem.listxattr("/d")}
    assert found == {"user.old": b"kept", **attributes}
    assert mem.stat("/d").st_mtime_ns != 5
    assert rows(mem) == first


@pytest.mark.parametrize("late", [False, True])
def test_import_leaves_a_directory_out_with_all_in_it(mem: Vfs, late: bool) -> None:
    mem.write_bytes("/d", b"a file, newer than nothing")
    before = mem.stat("/d")
    after = ArchiveMember("d", DIRECTORY, mtime_ns=1 << 62)
    members = [
        file("d/a", b"1"),
        file("d/e/b", b"2"),
        (ArchiveMember("d/f", DIRECTORY), None),
    ]

    report = told(mem, *members, *[(after, None)] * late, on_conflict="newer")

    assert mem.read_bytes("/d") == b"a file, newer than nothing"
    assert mem.stat("/d") == before
    assert (report.files, report.directories, report.skipped) == (0, 0, 1)


def test_import_of_a_tree_leaves_a_directory_out_with_all_in_it(
    mem: Vfs, tmp_path: Path
) -> None:
    (tmp_path / "d/0").mkdir(parents=True)
    for name in ("d/a.txt", "d/b.txt", "d/0/c.txt", "z.txt"):
        (tmp_path / name).write_bytes(b"1")
    mem.write_bytes("/d", b"old")

    report = mem.import_tree(tmp_path, include="*.txt", on_conflict="skip")

    assert [*mem.find()] == ["/d", "/z.txt"]
    assert mem.read_bytes("/d") == b"old"
    assert (report.files, report.skipped) == (1, 1)


@pytest.mark.parametrize(("name", "limit"), [("_ROWS", 2), ("_BYTES", 9)])
def test_import_that_writes_a_few_at_a_time_brings_everything(
    mem: Vfs, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    monkeypatch.setattr(_bulk, name, limit)

    mem.import_archive(io.BytesIO(made("tar")))

    require_all(mem)
    assert mem.samefile("/a.txt", "/sub/same")


# --- what others do between two groups ------------------------------------------------


def between_groups(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[], object], after: int
) -> None:
    """Let a group be one step, and make *change* when so many of them are done."""
    real = _arrivals.Arrivals._take_group
    taken: list[bool] = []

    def hooked(self: Any, *args: Any) -> bool:
        more = real(self, *args)
        taken.append(more)
        if len(taken) == after:
            change()
        return more

    monkeypatch.setattr(_arrivals, "_STEPS", 0)
    monkeypatch.setattr(_arrivals.Arrivals, "_take_group", hooked)


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A directory with /d/e/1 and /d/e/2."""
    (tmp_path / "pair/d/e").mkdir(parents=True)
    (tmp_path / "pair/d/e/1").write_bytes(b"1")
    (tmp_path / "pair/d/e/2").write_bytes(b"2")
    return tmp_path / "pair"


@pytest.mark.parametrize("instead", ["link", "nothing"])
def test_import_in_groups_never_goes_through_a_link_that_others_made(
    mem: Vfs, pair: Path, monkeypatch: pytest.MonkeyPatch, instead: str
) -> None:
    def change() -> None:
        mem.rename("/d", "/moved")
        if instead == "link":
            mem.symlink("moved", "/d")

    between_groups(monkeypatch, change, 3)

    with pytest.raises(OSError) as caught:
        mem.import_tree(pair, atomic=False)

    number = errno.ENOTDIR if instead == "link" else errno.ENOENT
    assert (caught.value.errno, caught.value.filename) == (number, "/d/e")
    assert "1 files" in caught.value.__notes__[0]
    assert mem.listdir("/moved/e") == ["1"]


def test_import_of_an_archive_in_groups_makes_a_directory_again_that_others_removed(
    mem: Vfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tar_of(("d/1", b"1", {}), ("d/2", b"2", {}))
    between_groups(monkeypatch, lambda: mem.rmtree("/d"), 1)

    mem.import_archive(archive, atomic=False)

    assert [*mem.find()] == ["/d", "/d/2"]


def test_import_in_groups_of_names_of_a_file_that_others_removed_brings_it_again(
    mem: Vfs, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pair / "d/e/3").hardlink_to(pair / "d/e/1")
    between_groups(monkeypatch, lambda: mem.remove("/d/e/1"), 3)

    mem.import_tree(pair, atomic=False)

    assert mem.listdir("/d/e") == ["2", "3"]
    assert mem.read_bytes("/d/e/3") == b"1"


def test_import_again_of_links_in_groups_finds_them_unchanged(
    mem: Vfs, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pair / "d/e/3").hardlink_to(pair / "d/e/1")
    (pair / "d/link").symlink_to("e")
    mem.import_tree(pair)
    monkeypatch.setattr(_arrivals, "_STEPS", 0)

    report = mem.import_tree(pair, atomic=False)

    assert (report.files, report.symlinks) == (0, 0)
    assert difference(vfs_tree(mem), host_tree(pair)) == {}
