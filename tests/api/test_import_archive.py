"""import_archive(): what is in an archive goes into the container, all or nothing.

Archives are made by ``tarfile`` and ``zipfile``, never by the library: those that are
hostile are in tests/faults/test_hostile_imports.py.
"""

from __future__ import annotations

import errno
import io
import os
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from stat import S_IFDIR, S_IFLNK, S_IFREG, S_IMODE
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from tests import ground

from stratavfs import InvalidArgument, InvalidType, ReadOnlyError, VirtualFileSystem
from stratavfs.errors import BadArchive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Vfs = VirtualFileSystem

SECOND = 10**9
MTIME = 1_500_000_000  # even, as the times of zip are
LARGE = bytes(range(251)) * 300  # two chunks
FILES = {
    "a.txt": b"hello",
    "empty": b"",
    "large": LARGE,
    "sub/b.txt": b"b",
    "sub/deep/c": b"c",
}
BELOW = ["/a.txt", "/empty", "/large", "/link", "/run", "/sub", "/void"]
MODES = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}
FORMATS = [*MODES, "tar.zst", "zip"]


def rows(vfs: Vfs) -> ground.Dump:
    return ground.dump(vfs._store._cx)


def made(name: str) -> bytes:
    """Return an archive of that format with some of everything in it."""
    return made_zip() if name == "zip" else made_tar(name)


def made_tar(name: str) -> bytes:
    if name == "tar.zst":
        zstd = pytest.importorskip("backports.zstd")
        compressed: bytes = zstd.compress(made_tar("tar"))
        return compressed
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=MODES[name]) as archive:  # type: ignore[call-overload]
        for path, content in FILES.items():
            add(archive, path, content)
        add(archive, "run", b"#!/bin/sh\n", mode=0o755)
        add(archive, "sub/same", type=tarfile.LNKTYPE, linkname="a.txt")
        add(archive, "link", type=tarfile.SYMTYPE, linkname="sub/b.txt")
        add(archive, "void/", type=tarfile.DIRTYPE, mode=0o700)
    return stream.getvalue()


def add(
    archive: tarfile.TarFile, path: str, content: bytes = b"", **fields: Any
) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mtime, member.mode = len(content), MTIME, 0o644
    for name, value in fields.items():
        setattr(member, name, value)
    archive.addfile(member, io.BytesIO(content))


def made_zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in FILES.items():
            add_zipped(archive, path, content)
        add_zipped(archive, "run", b"#!/bin/sh\n", S_IFREG | 0o755)
        add_zipped(archive, "sub/same", b"hello")
        add_zipped(archive, "link", b"sub/b.txt", S_IFLNK | 0o777)
        add_zipped(archive, "void/", b"", S_IFDIR | 0o700)
    return stream.getvalue()


def add_zipped(
    archive: zipfile.ZipFile, path: str, content: bytes, mode: int = S_IFREG | 0o644
) -> None:
    member = zipfile.ZipInfo(path, (2017, 7, 14, 2, 40, 0))
    member.external_attr = mode << 16
    member.create_system = 3  # Unix
    member.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(member, content)


def require_all(vfs: Vfs, top: str = "") -> None:
    """Require what every format keeps."""
    for path, content in FILES.items():
        assert vfs.read_bytes(f"{top}/{path}") == content
    assert vfs.glob(f"{top}/*") == [top + path for path in BELOW]
    assert vfs.listdir(f"{top}/sub") == ["b.txt", "deep", "same"]
    assert vfs.read_bytes(f"{top}/sub/same") == b"hello"
    assert vfs.readlink(f"{top}/link") == "sub/b.txt"
    assert vfs.listdir(f"{top}/void") == []
    modes = {
        name: S_IMODE(vfs.stat(f"{top}/{name}").st_mode) for name in ("run", "void")
    }
    assert modes == {"run": 0o755, "void": 0o700}


# --- where it comes from --------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_import_of_a_file_brings_everything(
    mem: Vfs, tmp_path: Path, name: str
) -> None:
    (tmp_path / "archive.unknown").write_bytes(made(name))

    report = mem.import_archive(tmp_path / "archive.unknown")

    require_all(mem)
    assert (report.files, report.symlinks) == (7, 1)
    assert (report.unchanged, report.skipped, report.failures) == (0, 0, ())


@pytest.mark.parametrize("name", FORMATS)
def test_import_of_a_stream_reads_from_where_it_stands_and_leaves_it_open(
    mem: Vfs, name: str
) -> None:
    stream = io.BytesIO(b"in front" + made(name))
    stream.seek(len(b"in front"))

    mem.import_archive(stream, "/in")

    require_all(mem, "/in")
    assert not stream.closed


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("named", [True, False], ids=["named", "recognised"])
def test_import_of_a_pipe_works(mem: Vfs, name: str, named: bool) -> None:
    with piped(made(name)) as pipe:
        mem.import_archive(pipe, "/in", format=name if named else None)

    require_all(mem, "/in")


@contextmanager
def piped(content: bytes) -> Iterator[BinaryIO]:
    """Yield the end of a pipe into which *content* goes."""
    end, start = os.pipe()

    def fill() -> None:
        with open(start, "wb") as file:
            file.write(content)

    filling = threading.Thread(target=fill)
    filling.start()
    try:
        with open(end, "rb") as file:
            yield file
            file.read()
    finally:
        filling.join()


@pytest.mark.parametrize("name", FORMATS)
def test_import_of_a_stream_that_gives_little_at_a_time_works(
    mem: Vfs, name: str
) -> None:
    class Trickle(io.RawIOBase):
        content = io.BytesIO(made(name))

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            with memoryview(buffer) as view:
                return self.content.readinto(view[:7])

    mem.import_archive(Trickle())  # type: ignore[arg-type]  # raw, and that on purpose

    require_all(mem)


@pytest.mark.parametrize("name", ["tar.gz", "zip"])
@pytest.mark.parametrize("chunk_size", [1000, 65536])
def test_import_of_a_large_member_goes_piece_by_piece(
    make_vfs: Callable[..., Vfs], name: str, chunk_size: int
) -> None:
    vfs = make_vfs(":memory:", chunk_size)
    content = bytes(range(256)) * 12_000  # 3 MB
    stream = io.BytesIO()
    if name == "zip":
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as zipped:
            add_zipped(zipped, "large", content)
    else:
        with tarfile.open(fileobj=stream, mode="w:gz") as archive:
            add(archive, "large", content)
    stream.seek(0)

    report = vfs.import_archive(stream)

    assert vfs.read_bytes("/large") == content
    assert report.bytes == len(content)


def test_import_of_a_file_of_the_file_system_itself_works(mem: Vfs) -> None:
    mem.write_bytes("/archives/all.zip", made("zip"))

    with mem.open("/archives/all.zip", "rb") as archive:
        mem.import_archive(archive, "/in")

    require_all(mem, "/in")


@pytest.mark.parametrize("atomic", [True, False])
def test_import_in_a_batch_is_part_of_it(mem: Vfs, atomic: bool) -> None:
    before = rows(mem)

    with mem.atomic_batch() as batch:
        mem.import_archive(io.BytesIO(made("zip")), atomic=atomic)
        require_all(mem)
        batch.rollback()

    assert rows(mem) == before


def test_import_without_atomic_brings_everything(mem: Vfs) -> None:
    report = mem.import_archive(io.BytesIO(made("tar")), "/in", atomic=False)

    require_all(mem, "/in")
    assert report.files == 7


# --- what is kept ---------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_import_keeps_times_of_members(mem: Vfs, name: str) -> None:
    mem.import_archive(io.BytesIO(made(name)))

    found = {mem.lstat(path).st_mtime_ns for path in ("/a.txt", "/link", "/void")}
    if name == "zip":  # local times: whoever wrote it tells no zone
        assert {mtime // (86400 * SECOND) for mtime in found} <= {17360, 17361}
    else:
        assert found == {MTIME * SECOND}


def test_import_of_tar_keeps_which_names_are_of_one_file(mem: Vfs) -> None:
    mem.import_archive(io.BytesIO(made("tar")), "/in")

    assert mem.samefile("/in/a.txt", "/in/sub/same")
    assert mem.stat("/in/a.txt").st_nlink == 2


def test_import_of_tar_without_links_makes_files_of_their_own(mem: Vfs) -> None:
    mem.import_archive(io.BytesIO(made("tar")), preserve=["mode"])

    assert not mem.samefile("/a.txt", "/sub/same")
    assert mem.read_bytes("/sub/same") == b"hello"


def test_import_of_tar_keeps_attributes_nanoseconds_and_owners(mem: Vfs) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        pax = {"mtime": "1500000000.123456789", "SCHILY.xattr.user.note": "kept"}
        who = {"uid": 12, "gid": 34, "uname": "ann", "gname": "staff"}
        add(archive, "a", b"1", pax_headers=pax, **who)
        add(archive, "early", b"2", mtime=-5, pax_headers={"mtime": "-4.75"})
    stream.seek(0)

    mem.import_archive(stream, preserve="all")

    found = mem.stat("/a")
    assert found.st_mtime_ns == 1_500_000_000_123_456_789
    assert (found.st_uid, found.st_gid) == (12, 34)
    assert (found.owner, found.group) == ("ann", "staff")
    assert mem.getxattr("/a", "user.note") == b"kept"
    assert mem.stat("/early").st_mtime_ns == -4_750_000_000


def test_import_preserves_no_more_than_asked(make_vfs: Callable[..., Vfs]) -> None:
    vfs = make_vfs(clock=lambda: 7)

    vfs.import_archive(io.BytesIO(made("tar")), preserve=())

    found = vfs.stat("/run")
    assert (S_IMODE(found.st_mode), found.st_mtime_ns) == (0o644, 7)


def test_import_makes_directories_that_no_member_names(mem: Vfs) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/b/c.txt", "c")
        archive.writestr("a/b/d/", "")
    stream.seek(0)

    report = mem.import_archive(stream, "/in")

    assert mem.read_text("/in/a/b/c.txt") == "c"
    assert mem.isdir("/in/a/b/d")
    assert mem.stat("/in/a").st_mode == S_IFDIR | 0o755
    assert report.directories >= 3


def test_import_gives_a_directory_its_time_when_its_members_are_there(
    mem: Vfs,
) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        add(archive, "top", type=tarfile.DIRTYPE, mode=0o755, mtime=1)
        add(archive, "top/sub", type=tarfile.DIRTYPE, mode=0o755, mtime=2)
        add(archive, "top/sub/file", b"x", mtime=3)
        add(archive, "top/late", b"y", mtime=4)
    stream.seek(0)

    mem.import_archive(stream, "/in")

    paths = ("top", "top/sub", "top/sub/file", "top/late")
    found = [mem.stat(f"/in/{path}").st_mtime_ns for path in paths]
    assert found == [SECOND, 2 * SECOND, 3 * SECOND, 4 * SECOND]


def test_import_of_member_paths_with_dots_and_slashes_goes_where_they_lead(
    mem: Vfs,
) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        add(archive, "./", type=tarfile.DIRTYPE, mode=0o755)
        add(archive, "./a//b/./c", b"c")
    stream.seek(0)

    mem.import_archive(stream, "/in")

    assert mem.read_bytes("/in/a/b/c") == b"c"


# --- choosing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"include": "*.txt"}, ["/a.txt", "/sub", "/sub/b.txt"]),
        ({"include": "sub/deep/"}, ["/sub", "/sub/deep", "/sub/deep/c"]),
        ({"exclude": ["sub/", "*e*"]}, ["/a.txt", "/link", "/run", "/void"]),
        ({"include": []}, []),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["zip", "tar"])
def test_import_takes_what_is_selected(
    mem: Vfs, name: str, options: dict[str, Any], expected: list[str]
) -> None:
    mem.import_archive(io.BytesIO(made(name)), **options)

    assert mem.glob("/**") == ["/", *expected]


# --- formats --------------------------------------------------------------------------


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"x", b"no archive at all\n" * 100])
def test_import_of_what_is_no_archive_raises_and_names_it(
    mem: Vfs, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "file").write_bytes(content)
    before = rows(mem)

    with pytest.raises((BadArchive, InvalidArgument)) as caught:
        mem.import_archive(tmp_path / "file", "/in")

    assert str(tmp_path / "file") in str(caught.value)
    assert rows(mem) == before


@pytest.mark.parametrize("name", FORMATS)
def test_import_of_what_is_named_otherwise_raises(
    mem: Vfs, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_bytes(b"no archive at all\n" * 100)
    before = rows(mem)

    with pytest.raises(BadArchive) as caught:
        mem.import_archive(tmp_path / "file", "/in", format=name)

    assert caught.value.errno == errno.EINVAL
    assert caught.value.filename == str(tmp_path / "file")
    assert rows(mem) == before


def test_import_of_an_unknown_format_lists_the_known_ones(
    mem: Vfs, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgument, match=r"zip.*") as caught:
        mem.import_archive(tmp_path / "no such", format="rar")

    assert "rar" in str(caught.value)
    assert "tar.gz" in str(caught.value)


def test_import_of_an_archive_that_is_not_there_raises(
    mem: Vfs, tmp_path: Path
) -> None:
    before = rows(mem)

    with pytest.raises(FileNotFoundError) as caught:
        mem.import_archive(tmp_path / "no.zip", "/in")

    assert caught.value.errno == errno.ENOENT
    assert caught.value.filename == str(tmp_path / "no.zip")
    assert rows(mem) == before


def test_import_of_a_directory_as_an_archive_raises(mem: Vfs, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        mem.import_archive(tmp_path)

    assert caught.value.errno == errno.EISDIR
    assert caught.value.filename == str(tmp_path)


@pytest.mark.parametrize("name", FORMATS)
def test_import_of_an_archive_cut_short_raises_and_imports_nothing(
    mem: Vfs, name: str
) -> None:
    whole = made(name)
    before = rows(mem)

    # Not the last bytes: those of a tar are padding, of a gzip a length.
    for length in range(len(whole) // 30, len(whole) * 9 // 10, len(whole) // 10):
        with pytest.raises(BadArchive) as caught:
            mem.import_archive(io.BytesIO(whole[:length]), "/in", format=name)
        assert caught.value.errno == errno.EINVAL
        assert rows(mem) == before


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"on_conflict": "maybe"}, InvalidArgument),
        ({"preserve": ["colour"]}, InvalidArgument),
        ({"include": 5}, InvalidType),
        ({"progress": 5}, InvalidType),
        ({"dest": ""}, InvalidArgument),
        ({"max_ratio": 0}, InvalidArgument),
        ({"max_ratio": "much"}, InvalidType),
        ({"format": 5}, InvalidType),
    ],
    ids=str,
)
def test_import_with_senseless_arguments_raises_and_changes_nothing(
    mem: Vfs, options: dict[str, Any], kind: type[Exception]
) -> None:
    before = rows(mem)

    with pytest.raises(kind):
        mem.import_archive(io.BytesIO(made("zip")), **options)

    assert rows(mem) == before


@pytest.mark.parametrize("source", [5, None, io.StringIO("text")], ids=str)
def test_import_of_what_is_no_source_raises(mem: Vfs, source: Any) -> None:
    with pytest.raises((InvalidType, TypeError)):
        mem.import_archive(source)


def test_import_on_a_read_only_instance_is_refused_before_anything(
    make_vfs: Callable[..., Vfs], tmp_path: Path
) -> None:
    make_vfs(tmp_path / "c.db").close()
    vfs = make_vfs(tmp_path / "c.db", read_only=True)

    with pytest.raises(ReadOnlyError) as caught:
        vfs.import_archive(tmp_path / "no such", "/in")

    assert caught.value.errno == errno.EROFS
    assert caught.value.filename == "/in"
