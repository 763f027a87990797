"""Round trips of real trees; and how a test sees one, on the host and in a container.

What is compared is everything that a transfer keeps: kind, permission bits, times to
the nanosecond, bytes, targets, attributes, and which names are of one file.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import subprocess
import sysconfig
from collections import defaultdict
from contextlib import contextmanager
from stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import pytest

from stratavfs.archives import ArchiveMember
from stratavfs.errors import BadArchive

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from stratavfs import VirtualFileSystem

# --- how a tree is seen ---------------------------------------------------------------


class Seen(NamedTuple):
    """What is known of one name in a tree; two trees are equal if all of it is."""

    kind: str
    """"f" of a file, "d" of a directory, "l" of a link."""
    mode: int = 0
    """Permission bits; 0 of a link, whose bits no host keeps."""
    mtime_ns: int = 0
    content: bytes | str = b""
    """Bytes of a file, target of a link; of a long file their sum."""
    names: tuple[str, ...] = ()
    """All names of a file, if it has several in this tree."""
    xattrs: tuple[tuple[str, bytes], ...] = ()


Tree = dict[str, Seen]
"""Path from the top, without a slash first, to what is there; the top left out."""


def host_tree(top: str | os.PathLike[str]) -> Tree:
    """Return what is below the directory *top* of the host."""
    found: Tree = {}
    inodes: dict[int, list[str]] = defaultdict(list)
    for path, entry in _host_entries(os.fspath(top), ""):
        status = os.lstat(entry)
        if S_ISLNK(status.st_mode):
            target = os.readlink(entry)
            found[path] = Seen("l", 0, status.st_mtime_ns, target)
            continue
        mode, attributes = S_IMODE(status.st_mode), _host_xattrs(entry)
        if S_ISDIR(status.st_mode):
            found[path] = Seen("d", mode, status.st_mtime_ns, xattrs=attributes)
        elif S_ISREG(status.st_mode):
            with open(entry, "rb") as file:
                content = short(file.read())
            found[path] = Seen("f", mode, status.st_mtime_ns, content, (), attributes)
            inodes[status.st_ino].append(path)
        else:
            found[path] = Seen("?", mode)
    return with_names(found, inodes.values())


def _host_entries(top: str, above: str) -> Iterator[tuple[str, str]]:
    with os.scandir(top) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        path, entry = above + name, f"{top}/{name}"
        yield path, entry
        if os.path.isdir(entry) and not os.path.islink(entry):
            yield from _host_entries(entry, f"{path}/")


def _host_xattrs(path: str) -> tuple[tuple[str, bytes], ...]:
    if not hasattr(os, "listxattr"):
        return ()
    names = sorted(name for name in os.listxattr(path) if name.startswith("user."))
    return tuple((name, os.getxattr(path, name)) for name in names)


def vfs_tree(vfs: VirtualFileSystem, top: str = "/") -> Tree:
    """Return what is below *top* in the merged view of *vfs*."""
    found: Tree = {}
    inodes: dict[object, list[str]] = defaultdict(list)
    for path, full in _vfs_entries(vfs, top, ""):
        status = vfs.lstat(full)
        mode, mtime = S_IMODE(status.st_mode), status.st_mtime_ns
        if S_ISLNK(status.st_mode):
            found[path] = Seen("l", 0, mtime, vfs.readlink(full))
            continue
        attributes = tuple(
            (name, vfs.getxattr(full, name)) for name in sorted(vfs.listxattr(full))
        )
        if S_ISDIR(status.st_mode):
            found[path] = Seen("d", mode, mtime, xattrs=attributes)
        else:
            content = short(vfs.read_bytes(full))
            found[path] = Seen("f", mode, mtime, content, (), attributes)
            inodes[status.st_dev, status.st_ino].append(path)
    return with_names(found, inodes.values())


def _vfs_entries(
    vfs: VirtualFileSystem, top: str, above: str
) -> Iterator[tuple[str, str]]:
    for name in vfs.listdir(top):
        path, entry = above + name, f"{top.rstrip('/')}/{name}"
        yield path, entry
        if vfs.isdir(entry) and not vfs.islink(entry):
            yield from _vfs_entries(vfs, entry, f"{path}/")


def short(content: bytes) -> bytes:
    """Return *content*, or of a long one its sum, so that a failure can be read."""
    return content if len(content) <= 64 else hashlib.sha256(content).digest()


def with_names(found: Tree, groups: Iterable[list[str]]) -> Tree:
    """Enter in *found* which names are of one file."""
    for paths in groups:
        if len(paths) > 1:
            for path in paths:
                found[path] = found[path]._replace(names=tuple(sorted(paths)))
    return found


def difference(found: Tree, expected: Tree) -> dict[str, tuple[object, object]]:
    """Return what differs, {} for nothing: two whole trees make no message."""
    return {
        path: (found.get(path), expected.get(path))
        for path in sorted({*found, *expected})
        if found.get(path) != expected.get(path)
    }


def takes_xattrs(directory: Path) -> bool:
    """Tell whether the host has extended attributes there."""
    try:
        os.setxattr(directory, "user.probe", b"1")
        os.removexattr(directory, "user.probe")
    except (AttributeError, OSError) as error:
        unknown = {errno.ENOTSUP, errno.EOPNOTSUPP}
        if isinstance(error, OSError) and error.errno not in unknown:
            raise
        return False
    return True


def as_zip(tree: Tree) -> Tree:
    """Return what a zip archive keeps of *tree*.

    Neither which names are of one file, nor attributes; times to the second.
    """
    return {
        path: seen._replace(
            mtime_ns=seen.mtime_ns // 10**9 * 10**9, names=(), xattrs=()
        )
        for path, seen in tree.items()
    }


# --- real trees -----------------------------------------------------------------------

STDLIB = sysconfig.get_paths()["stdlib"]
CACHES = ["__pycache__/", "site-packages/", "dist-packages/"]


def copy_of(source: str, target: Path) -> Path:
    """Copy a tree of this machine to where nothing else changes it."""
    shutil.copytree(
        source,
        target,
        symlinks=True,
        ignore=shutil.ignore_patterns(*(name.rstrip("/") for name in CACHES)),
    )
    return target


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of the standard library."""
    top = tmp_path_factory.mktemp("package") / "json"
    return copy_of(os.path.join(STDLIB, "json"), top)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of the standard library, caches and what is installed left out."""
    return copy_of(STDLIB, tmp_path_factory.mktemp("library") / "lib")


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a Debian package: documents, links, programs."""
    top: Path = tmp_path_factory.mktemp("debian") / "tzdata"
    listed = _output("dpkg", "-L", "tzdata") or _output("dpkg", "-L", "perl-base")
    if not listed:
        pytest.skip("no Debian")
    for path in listed.splitlines():
        target = f"{top}{path}"
        if os.path.islink(path) or os.path.isfile(path):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(path, target, follow_symlinks=False)
    return top


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with its objects: programs, links, a branch, what is ignored."""
    if shutil.which("git") is None:
        pytest.skip("no git")
    top: Path = tmp_path_factory.mktemp("checkout") / "repository"
    (top / "src/deep").mkdir(parents=True)
    (top / "src/main.py").write_text("print('hello')\n")
    (top / "src/deep/data.bin").write_bytes(bytes(range(256)) * 1000)
    (top / "run.sh").write_text("#!/bin/sh\nexec python3 src/main.py\n")
    (top / "run.sh").chmod(0o755)
    (top / "latest").symlink_to("src/deep")
    (top / "src/back").symlink_to("../run.sh")
    (top / "nowhere").symlink_to("not/yet/there")
    _git(top, "init", "-q")
    _git(top, "add", ".")
    _git(top, "commit", "-q", "-m", "all of it")
    return top


def _git(top: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(top), *who, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout


def _output(*command: str) -> str:
    """Return what *command* prints, "" where it is not or fails."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout


def require_round_trip(vfs: VirtualFileSystem, source: Path, tmp_path: Path) -> None:
    """Take *source* into a container, out to a tree, by tar into another, and out."""
    expected = host_tree(source)

    report = vfs.import_tree(source, "/in")
    assert difference(vfs_tree(vfs, "/in"), expected) == {}
    counts = [seen.kind for seen in expected.values()]
    assert (report.files, report.symlinks) == (counts.count("f"), counts.count("l"))

    vfs.export_tree("/in", tmp_path / "out")
    assert difference(host_tree(tmp_path / "out"), expected) == {}

    vfs.export_archive("/in", tmp_path / "all.tar")
    vfs.import_archive(tmp_path / "all.tar", "/again")
    assert difference(vfs_tree(vfs, "/again"), expected) == {}

    vfs.export_tree("/again", tmp_path / "out again")
    assert difference(host_tree(tmp_path / "out again"), expected) == {}


def test_round_trip_of_a_package_keeps_everything(
    mem: VirtualFileSystem, package: Path, tmp_path: Path
) -> None:
    require_round_trip(mem, package, tmp_path)


def test_round_trip_of_a_checkout_keeps_everything(
    mem: VirtualFileSystem, checkout: Path, tmp_path: Path
) -> None:
    require_round_trip(mem, checkout, tmp_path)

    assert os.access(tmp_path / "out again/run.sh", os.X_OK)
    assert _git(tmp_path / "out again", "status", "--porcelain") == ""
    assert _git(tmp_path / "out again", "fsck", "--strict") == ""


@pytest.mark.slow
@pytest.mark.no_slow_contracts("single")
def test_round_trip_of_a_debian_package_keeps_everything(
    mem: VirtualFileSystem, debian: Path, tmp_path: Path
) -> None:
    require_round_trip(mem, debian, tmp_path)


@pytest.mark.slow
@pytest.mark.no_slow_contracts("single")
def test_round_trip_of_the_standard_library_keeps_everything(
    make_vfs: type[VirtualFileSystem], library: Path, tmp_path: Path
) -> None:
    require_round_trip(make_vfs(tmp_path / "c.db"), library, tmp_path)


@pytest.mark.slow
@pytest.mark.no_slow_contracts("single")
def test_import_of_the_standard_library_again_finds_all_unchanged(
    mem: VirtualFileSystem, library: Path
) -> None:
    first = mem.import_tree(library)
    before = vfs_tree(mem)

    again = mem.import_tree(library)
    by_bytes = mem.import_tree(library, checksum=True)

    assert first.unchanged == 0
    for report in (again, by_bytes):
        assert report[:4] == (0, 0, 0, 0)
        assert (report.skipped, report.failures) == (0, ())
        assert report.unchanged >= first.files + first.directories + first.symlinks
    assert difference(vfs_tree(mem), before) == {}


# --- every format ---------------------------------------------------------------------

TARS = ["tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"]


@pytest.mark.parametrize("name", TARS)
def test_round_trip_by_tar_keeps_everything(
    mem: VirtualFileSystem, checkout: Path, tmp_path: Path, name: str
) -> None:
    if name == "tar.zst":
        pytest.importorskip("backports.zstd")
    mem.import_tree(checkout, "/in")
    mem.link("/in/run.sh", "/in/src/same")
    mem.setxattr("/in/run.sh", "user.note", b"\0\xff")
    expected = vfs_tree(mem, "/in")
    stream = io.BytesIO()

    mem.export_archive("/in", stream, name)
    stream.seek(0)
    mem.import_archive(stream, "/again")

    assert difference(vfs_tree(mem, "/again"), expected) == {}


def test_round_trip_by_zip_keeps_what_zip_can(
    mem: VirtualFileSystem, checkout: Path, tmp_path: Path
) -> None:
    mem.import_tree(checkout, "/in")
    mem.link("/in/run.sh", "/in/src/same")

    mem.export_archive("/in", tmp_path / "all.zip")
    mem.import_archive(tmp_path / "all.zip", "/again")

    found = as_zip(vfs_tree(mem, "/again"))
    assert difference(found, as_zip(vfs_tree(mem, "/in"))) == {}


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar")
def test_tar_of_the_host_makes_what_is_imported_and_takes_what_is_exported(
    mem: VirtualFileSystem, checkout: Path, tmp_path: Path
) -> None:
    expected = host_tree(checkout)
    theirs, ours = tmp_path / "theirs.tar", tmp_path / "ours.tar"
    format_ = "--format=posix"  # pax: times to the nanosecond
    subprocess.run(["tar", "-C", checkout, format_, "-cf", theirs, "."], check=True)

    mem.import_archive(theirs, "/in")
    mem.export_archive("/in", ours)
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-C", tmp_path / "out", "-xpf", ours], check=True)

    assert difference(vfs_tree(mem, "/in"), expected) == {}
    assert difference(host_tree(tmp_path / "out"), expected) == {}


@pytest.mark.skipif(shutil.which("unzip") is None, reason="no unzip")
@pytest.mark.skipif(shutil.which("zip") is None, reason="no zip")
def test_zip_of_the_host_makes_what_is_imported_and_takes_what_is_exported(
    mem: VirtualFileSystem, checkout: Path, tmp_path: Path
) -> None:
    expected = as_zip(host_tree(checkout))
    theirs, ours = tmp_path / "theirs.zip", tmp_path / "ours.zip"
    subprocess.run(["zip", "-qry", theirs, "."], cwd=checkout, check=True)

    mem.import_archive(theirs, "/in")
    mem.export_archive("/in", ours)
    subprocess.run(["unzip", "-q", ours, "-d", tmp_path / "out"], check=True)

    assert difference(as_zip(vfs_tree(mem, "/in")), expected) == {}
    found = without_times(host_tree(tmp_path / "out"))
    assert difference(found, without_times(expected)) == {}


def without_times(tree: Tree) -> Tree:
    """Return *tree* without times: Info-ZIP gives links none."""
    return {
        path: seen._replace(mtime_ns=0, names=(), xattrs=())
        for path, seen in tree.items()
    }


def test_iteration_over_an_imported_tree_yields_its_files(
    mem: VirtualFileSystem, package: Path
) -> None:
    mem.import_tree(package, "/in")
    expected = {
        f"/in/{path}": (package / path).read_bytes()
        for path, seen in host_tree(package).items()
        if seen.kind == "f"
    }

    assert dict(mem.iter_export_tree("/in")) == expected
    found = {path: file.read() for path, file in mem.iter_export_tree(handles=True)}
    assert found == expected


# --- a format of one's own ------------------------------------------------------------


class Lines:
    """A format of one's own: a line of name and text for each file."""

    name = "lines"
    extensions = (".lines",)

    def recognizes(self, head: bytes) -> bool:
        return head.startswith(b"LINES\n")

    @contextmanager
    def read(
        self, stream: BinaryIO
    ) -> Iterator[Iterator[tuple[ArchiveMember, BinaryIO | None]]]:
        yield self._members(stream)

    def _members(
        self, stream: BinaryIO
    ) -> Iterator[tuple[ArchiveMember, BinaryIO | None]]:
        if stream.readline() != b"LINES\n":
            message = "no lines"
            raise ValueError(message)
        for line in stream:
            path, _, text = line.rstrip(b"\n").partition(b"\t")
            member = ArchiveMember(path.decode(), size=len(text), mtime_ns=5)
            yield member, io.BytesIO(text)

    @contextmanager
    def write(self, stream: BinaryIO) -> Iterator[Lines.Writer]:
        stream.write(b"LINES\n")
        yield self.Writer(stream)

    class Writer:
        def __init__(self, stream: BinaryIO) -> None:
            self.stream = stream

        def add(self, member: ArchiveMember, content: BinaryIO | None = None) -> None:
            if content is not None:
                text = content.read()
                self.stream.write(b"%s\t%s\n" % (member.path.encode(), text))


def test_import_takes_a_format_of_ones_own(mem: VirtualFileSystem) -> None:
    stream = io.BytesIO(b"LINES\na\tone\nb/c\ttwo\n")

    report = mem.import_archive(stream, "/in", format=Lines())

    assert mem.read_text("/in/a") == "one"
    assert mem.read_text("/in/b/c") == "two"
    assert mem.stat("/in/a").st_mtime_ns == 5
    assert (report.files, report.bytes) == (2, 6)

    written = io.BytesIO()
    mem.export_archive("/in", written, Lines())
    assert written.getvalue() == stream.getvalue()


def test_import_by_a_format_that_raises_is_a_bad_archive_with_its_cause(
    mem: VirtualFileSystem,
) -> None:
    with pytest.raises(BadArchive) as caught:
        mem.import_archive(io.BytesIO(b"other"), "/in", format=Lines())

    assert isinstance(caught.value.__cause__, ValueError)
    assert mem.listdir("/") == []
