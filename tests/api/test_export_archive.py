"""export_archive(): what is in a directory becomes an archive, or one file does."""

from __future__ import annotations

import errno
import io
import os
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from tests.api.exporting import LARGE, NANO, fill

from stratavfs import InvalidArgument, InvalidType, VirtualFileSystem
from stratavfs.archives import ArchiveMember

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stratavfs.archives import ArchiveWriter
    from stratavfs.records import Progress

Vfs = VirtualFileSystem

FORMATS = ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"]
ALL = ["a.txt", "empty", "large", "link", "nowhere", "run", "same", "shut"]
ALL += ["shut/in.txt", "sub", "sub/deep", "sub/deep/b.txt", "sub/same", "void"]


class Listing:
    """A format that notes the members it is given, with their bytes."""

    name = "listing"
    extensions = (".listing",)

    def __init__(self) -> None:
        self.found: list[tuple[ArchiveMember, bytes | None]] = []

    def recognizes(self, head: bytes) -> bool:
        return head.startswith(b"listing")

    def read(self, stream: BinaryIO) -> Any:
        raise NotImplementedError

    @contextmanager
    def write(self, stream: BinaryIO) -> Iterator[ArchiveWriter]:
        stream.write(b"listing")
        yield self

    def add(self, member: ArchiveMember, content: BinaryIO | None = None) -> None:
        self.found.append((member, None if content is None else content.read()))

    @property
    def members(self) -> dict[str, ArchiveMember]:
        return {member.path: member for member, _ in self.found}

    @property
    def contents(self) -> dict[str, bytes | None]:
        return {member.path: content for member, content in self.found}


@pytest.fixture
def full(mem: Vfs) -> Vfs:
    fill(mem)
    return mem


def packed(vfs: Vfs, path: str = "/top", **options: Any) -> Listing:
    """Return what a format is given."""
    listing = Listing()
    vfs.export_archive(path, io.BytesIO(), listing, **options)
    return listing


# --- what is in it --------------------------------------------------------------------


@pytest.mark.parametrize("format_", FORMATS)
def test_export_archive_is_read_by_the_standard_library(
    full: Vfs, tmp_path: Path, format_: str
) -> None:
    target = tmp_path / f"a.{format_}"

    report = full.export_archive("/top", target)

    names: list[str]
    if format_ == "zip":
        with zipfile.ZipFile(target) as archive:
            assert archive.testzip() is None
            names = [name.rstrip("/") for name in archive.namelist()]
            large = archive.read("large")
    else:
        with tarfile.open(target) as tar:
            names = tar.getnames()
            member = tar.extractfile("large")
            assert member is not None
            large = member.read()
            assert tar.getmember("sub/same").linkname == "same"
    assert names == ALL
    assert large == LARGE
    assert report[:3] == (8, 4, 2)
    assert report[4:] == (0, 0, ())
    assert os.listdir(tmp_path) == [target.name]


def test_export_archive_of_a_tree_gives_members_as_they_are(full: Vfs) -> None:
    full.setxattr("/top/a.txt", "user.a", b"1")

    found = packed(full)

    assert [*found.members] == ALL
    stat = full.stat("/top/a.txt")
    assert found.members["a.txt"] == ArchiveMember(
        "a.txt",
        0o100644,
        5,
        NANO,
        xattrs={"user.a": b"1"},
        atime_ns=stat.st_atime_ns,
    )
    assert found.members["link"].target == "a.txt"
    assert found.members["shut"].mode == 0o040555
    assert found.members["sub/same"].first == "same"
    assert found.contents["sub/same"] == b"one file"
    assert found.contents["large"] == LARGE
    assert found.contents["sub"] is found.contents["link"] is None


def test_export_archive_without_attributes_gives_the_usual_ones(full: Vfs) -> None:
    full.setxattr("/top/run", "user.a", b"1")
    full.chown("/top/run", 5, 6)

    members = packed(full, preserve=()).members

    assert members["run"] == ArchiveMember("run", 0o100644, 10, 0)
    assert members["shut"] == ArchiveMember("shut", 0o040755)
    assert members["link"] == ArchiveMember("link", 0o120777, target="a.txt")
    assert members["sub/same"].first is None


def test_export_archive_keeps_owners_that_are_preserved(full: Vfs) -> None:
    full.chown("/top/run", 5, 6)
    full.chown("/top/a.txt", "me", "us")

    run, mine = (packed(full, preserve="all").members[n] for n in ("run", "a.txt"))

    assert (run.uid, run.gid, run.owner, run.group) == (5, 6, "", "")
    assert (mine.owner, mine.group) == ("me", "us")


def test_export_archive_of_one_file_has_its_name(full: Vfs) -> None:
    found = packed(full, "/top/link")

    assert found.contents == {"link": b"hello"}


def test_export_archive_of_a_choice_has_nothing_else(full: Vfs) -> None:
    found = packed(full, include=["*.txt", "run"], exclude="shut/")

    assert [*found.members] == ["a.txt", "run", "sub", "sub/deep", "sub/deep/b.txt"]


def test_export_archive_of_one_file_that_is_left_out_is_empty(full: Vfs) -> None:
    assert packed(full, "/top/a.txt", include="*.png").found == []
    assert packed(full, "/top/a.txt", exclude="a.*").found == []


def test_export_archive_following_links_has_none(full: Vfs) -> None:
    full.remove("/top/nowhere")

    found = packed(full, follow_symlinks=True)

    assert found.contents["link"] == b"hello"
    assert not any(member.target for member in found.members.values())


def test_export_archive_of_layers_has_the_merged_view(make_vfs: Any) -> None:
    below, vfs = make_vfs(), make_vfs()
    for name in ("kept", "gone", "changed"):
        below.write_bytes(f"/d/{name}", LARGE)
    vfs.add_underlay(below)
    vfs.remove("/d/gone")
    vfs.write_text("/d/changed", "new")

    found = packed(vfs, "/d")

    assert found.contents == {"changed": b"new", "kept": LARGE}


def test_export_archive_of_holes_has_zeros(mem: Vfs) -> None:
    with mem.open("/a", "wb") as file:
        file.seek(3 << 20)
        file.write(b"x")
        file.truncate(4 << 20)

    content = packed(mem, "/").contents["a"]

    assert content == bytes(3 << 20) + b"x" + bytes((1 << 20) - 1)


def test_export_archive_of_equal_trees_is_equal(make_vfs: Any) -> None:
    made = []
    for clock in (lambda: 1, lambda: 10**18):
        vfs = make_vfs(clock=clock)
        fill(vfs)
        file = io.BytesIO()
        vfs.export_archive("/top", file, "tar", preserve=["mode", "links"])
        made.append(file.getvalue())

    assert made[0] == made[1]


# --- where it goes --------------------------------------------------------------------


def test_export_archive_to_a_pipe_is_whole_at_the_other_end(full: Vfs) -> None:
    reading, writing = os.pipe()
    found: list[bytes] = []

    def read() -> None:
        with open(reading, "rb") as pipe:
            found.append(pipe.read())

    reader = threading.Thread(target=read)
    reader.start()
    with open(writing, "wb") as pipe:
        full.export_archive("/top", pipe, "tar.gz")
        assert not pipe.closed
    reader.join()

    with tarfile.open(fileobj=io.BytesIO(found[0])) as tar:
        assert tar.getnames() == ALL


def test_export_archive_onto_something_is_refused_and_changes_nothing(
    full: Vfs, tmp_path: Path
) -> None:
    target = tmp_path / "a.zip"
    target.write_text("mine")

    with pytest.raises(FileExistsError) as caught:
        full.export_archive("/top", target)

    assert caught.value.filename == str(target)
    assert target.read_text() == "mine"


@pytest.mark.parametrize("source", ["/none", "/top/nowhere"])
def test_export_archive_of_nothing_is_refused_and_makes_nothing(
    full: Vfs, tmp_path: Path, source: str
) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        full.export_archive(source, tmp_path / "a.zip")

    assert caught.value.filename == source
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("target", "format_"), [("a.rar", None), ("a", None), ("a.zip", "rar")]
)
def test_export_archive_of_an_unknown_format_lists_the_known_ones(
    full: Vfs, tmp_path: Path, target: str, format_: str | None
) -> None:
    with pytest.raises(InvalidArgument, match=r"zip, tar, tar\.gz"):
        full.export_archive("/top", tmp_path / target, format_)

    assert os.listdir(tmp_path) == []


def test_export_archive_to_a_stream_goes_by_its_name(full: Vfs, tmp_path: Path) -> None:
    with open(tmp_path / "a.tar.xz", "wb") as file:
        full.export_archive("/top", file)
    with tarfile.open(tmp_path / "a.tar.xz", "r:xz") as tar:
        names = tar.getnames()

    assert names == ALL
    with pytest.raises(InvalidArgument, match="format="):
        full.export_archive("/top", io.BytesIO())


@pytest.mark.parametrize("format_", [5, object(), Listing])
def test_export_archive_by_what_is_no_format_is_refused(
    full: Vfs, format_: Any
) -> None:
    with pytest.raises(InvalidType, match="format"):
        full.export_archive("/top", io.BytesIO(), format_)


# --- what goes wrong ------------------------------------------------------------------


class Full(Listing):
    """A format whose disk is full, or that is interrupted."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def add(self, member: ArchiveMember, content: BinaryIO | None = None) -> None:
        if member.path == "same":
            raise self._error
        super().add(member, content)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_export_archive_that_fails_leaves_nothing(
    full: Vfs, tmp_path: Path, error: BaseException
) -> None:
    target = tmp_path / "a.full"

    with pytest.raises(type(error)) as caught:
        full.export_archive("/top", target, Full(error))

    assert caught.value is error
    if isinstance(error, OSError):
        assert error.filename == str(target)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("now", [LARGE[:70_000], LARGE * 2, None])
def test_export_archive_of_a_file_that_changes_meanwhile_is_refused(
    make_vfs: Any, tmp_path: Path, now: bytes | None
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "a").write_text("a")
    (base / "b").write_bytes(LARGE)
    vfs, target = make_vfs(), tmp_path / "a.tar"
    vfs.add_underlay(base)

    def change(step: Progress) -> None:
        if step.path == "/a":
            (base / "b").unlink()
            if now is not None:
                (base / "b").write_bytes(now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stratavfs._progress.INTERVAL", 0)
        with pytest.raises(OSError, match="/b") as caught:
            vfs.export_archive("/", target, preserve=(), progress=change)

    assert caught.value.errno == (errno.ENOENT if now is None else errno.EBUSY)
    assert caught.value.filename == "/b"
    assert os.listdir(tmp_path) == ["base"]


def test_export_archive_of_a_file_that_is_cut_while_it_is_read_is_refused(
    mem: Vfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stratavfs._progress.INTERVAL", 0)
    monkeypatch.setattr("stratavfs._export_archive._STEP", 1 << 10)
    (tmp_path / "base").mkdir()
    (tmp_path / "base/b").write_bytes(LARGE)
    mem.add_underlay(tmp_path / "base")

    def cut(step: Progress) -> None:
        if step.path == "/b":
            os.truncate(tmp_path / "base/b", 0)

    with pytest.raises(OSError, match="changed") as caught:
        mem.export_archive("/", tmp_path / "a.tar", progress=cut)

    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, "/b")
    assert os.listdir(tmp_path) == ["base"]


def test_export_archive_of_a_file_that_goes_meanwhile_names_it(
    make_vfs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stratavfs._progress.INTERVAL", 0)
    vfs = make_vfs()
    vfs.add_underlay(make_vfs())
    vfs.write_text("/a", "a")
    vfs.write_bytes("/b", LARGE)

    def remove(step: Progress) -> None:
        if step.path == "/a":
            vfs.remove("/b")

    with pytest.raises(FileNotFoundError) as caught:
        packed(vfs, "/", progress=remove)

    assert caught.value.filename == "/b"


def test_export_archive_tells_of_its_progress(full: Vfs) -> None:
    steps: list[Progress] = []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stratavfs._progress.INTERVAL", 0)
        packed(full, progress=steps.append)

    assert steps[-1].done == steps[-1].total == 15
    assert steps[-1].bytes == sum((5, len(LARGE), 10, 8, 6, 1))
    assert [step.done for step in steps] == sorted(step.done for step in steps)
