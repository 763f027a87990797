"""import_tree(): a directory of the host goes into the container, as it is."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api.test_round_trips import (
    Seen,
    difference,
    host_tree,
    takes_xattrs,
    vfs_tree,
)

from stratavfs import (
    InvalidArgument,
    InvalidType,
    ReadOnlyError,
    VirtualFileSystem,
    _arrivals,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Vfs = VirtualFileSystem

NANO = 1_500_000_000_123_456_789
LARGE = bytes(range(251)) * 300  # two chunks


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with one of everything.

    source
      a.txt           times of their own, an attribute
      empty, run, large
      same, sub/same  two names of one file
      link, nowhere   links: to a file, to nothing
      sub/deep/b.txt, sub/up
      void            an empty directory
    """
    top = tmp_path / "source"
    (top / "sub/deep").mkdir(parents=True)
    (top / "void").mkdir(0o700)
    (top / "a.txt").write_text("hello")
    (top / "empty").touch()
    (top / "run").write_text("#!/bin/sh\n")
    (top / "run").chmod(0o755)
    (top / "large").write_bytes(LARGE)
    (top / "same").write_bytes(b"one file")
    (top / "sub/same").hardlink_to(top / "same")
    (top / "link").symlink_to("a.txt")
    (top / "nowhere").symlink_to("/not/../there")
    (top / "sub/up").symlink_to("..")
    (top / "sub/deep/b.txt").write_text("b")
    if takes_xattrs(top):
        os.setxattr(top / "a.txt", "user.note", b"\0kept\xff")
        os.setxattr(top / "sub", "user.of directory", b"")
    os.utime(top / "a.txt", ns=(NANO - 1, NANO))
    os.utime(top / "link", ns=(NANO, -NANO), follow_symlinks=False)
    os.utime(top / "void", ns=(1, 2))
    os.utime(top / "sub", ns=(3, 4))
    return top


def rows(vfs: Vfs) -> ground.Dump:
    return ground.dump(vfs._store._cx)


# --- what arrives ---------------------------------------------------------------------


def test_import_into_a_new_container_brings_everything(vfs: Vfs, source: Path) -> None:
    report = vfs.import_tree(source)

    assert difference(vfs_tree(vfs), host_tree(source)) == {}
    assert (report.files, report.symlinks) == (7, 3)
    assert (report.unchanged, report.skipped, report.failures) == (0, 0, ())
    assert report.directories >= 3
    assert report.bytes >= len(b"hello#!/bin/sh\none file" + LARGE + b"b")


def test_import_leaves_the_host_as_it_was(mem: Vfs, source: Path) -> None:
    before = host_tree(source)

    mem.import_tree(source, "/in")

    assert difference(host_tree(source), before) == {}


def test_import_below_a_directory_makes_it_and_touches_nothing_beside(
    mem: Vfs, source: Path
) -> None:
    mem.write_text("/beside", "x")

    mem.import_tree(str(source), PurePosixPath("/a/b/in"))

    assert difference(vfs_tree(mem, "/a/b/in"), host_tree(source)) == {}
    assert mem.listdir("/") == ["a", "beside"]
    assert mem.listdir("/a") == ["b"]


def test_import_keeps_the_time_of_the_last_access(mem: Vfs, source: Path) -> None:
    os.utime(source / "a.txt", ns=(NANO + 7, NANO))

    mem.import_tree(source)

    assert mem.stat("/a.txt").st_atime_ns == NANO + 7


def test_import_gives_owners_only_if_asked(mem: Vfs, source: Path) -> None:
    status = os.stat(source / "a.txt")

    mem.import_tree(source, "/usual")
    mem.import_tree(source, "/all", preserve="all")

    found = [mem.stat(f"{top}/a.txt") for top in ("/usual", "/all")]
    assert [(at.st_uid, at.st_gid) for at in found] == [
        (0, 0),
        (status.st_uid, status.st_gid),
    ]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root gives files away"
)
def test_import_with_ownership_keeps_numbers(mem: Vfs, source: Path) -> None:
    os.chown(source / "a.txt", 12345, 54321)

    mem.import_tree(source, preserve=["ownership"])

    found = mem.stat("/a.txt")
    assert (found.st_uid, found.st_gid) == (12345, 54321)


def test_import_that_preserves_nothing_brings_bytes_and_targets(
    make_vfs: Callable[..., Vfs], source: Path
) -> None:
    vfs = make_vfs(clock=lambda: 5)

    vfs.import_tree(source, preserve=())

    expected = {
        path: Seen(
            seen.kind,
            {"f": 0o644, "d": 0o755, "l": 0}[seen.kind],
            5,
            seen.content,
        )
        for path, seen in host_tree(source).items()
    }
    assert difference(vfs_tree(vfs), expected) == {}


@pytest.mark.parametrize("left_out", ["mode", "timestamps", "links", "xattr"])
def test_import_leaves_out_what_is_not_preserved(
    make_vfs: Callable[..., Vfs], source: Path, left_out: str
) -> None:
    vfs = make_vfs(clock=lambda: 5)
    kept = {"mode", "timestamps", "links", "xattr"} - {left_out}

    vfs.import_tree(source, preserve=kept)

    without: dict[str, Callable[[Seen], Seen]] = {
        "mode": lambda seen: seen._replace(
            mode={"f": 0o644, "d": 0o755, "l": 0}[seen.kind]
        ),
        "timestamps": lambda seen: seen._replace(mtime_ns=5),
        "links": lambda seen: seen._replace(names=()),
        "xattr": lambda seen: seen._replace(xattrs=()),
    }
    expected = {
        path: without[left_out](seen) for path, seen in host_tree(source).items()
    }
    assert difference(vfs_tree(vfs), expected) == {}


def test_import_of_a_directory_by_a_link_follows_that_one(
    mem: Vfs, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "alias").symlink_to(source)

    mem.import_tree(tmp_path / "alias")

    assert difference(vfs_tree(mem), host_tree(source)) == {}


def test_import_by_a_relative_path_and_with_a_slash_at_its_end_works(
    mem: Vfs, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)

    mem.import_tree("source/", "/in")
    monkeypatch.chdir(source)
    mem.import_tree(".", "/here")

    assert difference(vfs_tree(mem, "/in"), host_tree(source)) == {}
    assert difference(vfs_tree(mem, "/here"), host_tree(source)) == {}


def test_import_of_a_sparse_file_keeps_its_bytes(mem: Vfs, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with open(tmp_path / "in/sparse", "wb") as file:
        file.truncate(1_000_000)
        file.seek(500_000)
        file.write(b"middle")

    mem.import_tree(tmp_path / "in")

    assert mem.read_bytes("/sparse") == (tmp_path / "in/sparse").read_bytes()


def test_import_through_a_link_in_dest_goes_where_it_leads(
    mem: Vfs, source: Path
) -> None:
    mem.mkdir("/real")
    mem.symlink("/real", "/alias")

    mem.import_tree(source, "/alias")
    mem.import_tree(source, "/alias/sub dir")

    assert mem.islink("/alias")
    assert mem.read_text("/real/a.txt") == "hello"
    assert mem.read_text("/real/sub dir/a.txt") == "hello"


@pytest.mark.parametrize("steps", [1, 3])
def test_import_in_steps_keeps_the_same(
    mem: Vfs, source: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(_arrivals, "_STEPS", steps)

    mem.import_tree(source, "/in", atomic=False)

    assert difference(vfs_tree(mem, "/in"), host_tree(source)) == {}


# --- following links ------------------------------------------------------------------


def test_import_that_follows_links_brings_what_they_lead_to(
    mem: Vfs, source: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "far.txt").write_text("far")
    (source / "to").symlink_to(outside)
    (source / "nowhere").unlink()
    (source / "sub/up").unlink()

    mem.import_tree(source, follow_symlinks=True)

    assert not mem.islink("/link")
    assert mem.read_text("/link") == "hello"
    assert mem.read_text("/to/far.txt") == "far"
    assert not mem.islink("/to")


def test_import_that_follows_a_link_to_nowhere_raises_and_names_it(
    mem: Vfs, source: Path
) -> None:
    (source / "sub/up").unlink()
    before = rows(mem)

    with pytest.raises(FileNotFoundError) as caught:
        mem.import_tree(source, follow_symlinks=True)

    assert caught.value.errno == errno.ENOENT
    assert caught.value.filename == str(source / "nowhere")
    assert rows(mem) == before


# --- choosing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"include": "*.txt"}, "a.txt sub sub/deep sub/deep/b.txt"),
        (
            {"include": ["sub/"], "exclude": ["up"]},
            "sub sub/deep sub/deep/b.txt sub/same",
        ),
        ({"include": "sub/*"}, "sub sub/same sub/up"),
        ({"include": "no such"}, ""),
        ({"include": []}, ""),
        ({"exclude": ["sub/", "*e*", PurePosixPath("run")]}, "a.txt link void"),
        ({"exclude": "**"}, ""),
    ],
    ids=str,
)
def test_import_takes_what_is_selected(
    mem: Vfs, source: Path, options: dict[str, Any], expected: str
) -> None:
    mem.import_tree(source, **options)

    found, of_host = vfs_tree(mem), host_tree(source)
    assert sorted(found) == expected.split()
    kept = {path: of_host[path]._replace(names=()) for path in found}
    found = {path: seen._replace(names=()) for path, seen in found.items()}
    assert difference(found, kept) == {}


def test_import_never_looks_into_what_is_excluded(mem: Vfs, source: Path) -> None:
    os.mkfifo(source / "void/pipe")

    mem.import_tree(source, "/one", exclude="void/")
    mem.import_tree(source, "/two", exclude="pipe")

    assert not mem.exists("/one/void")
    assert mem.listdir("/two/void") == []


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"on_conflict": "maybe"}, InvalidArgument),
        ({"preserve": ["mode", "colour"]}, InvalidArgument),
        ({"preserve": 5}, InvalidType),
        ({"errors": "ignore"}, InvalidArgument),
        ({"include": 5}, InvalidType),
        ({"exclude": ["a\0b"]}, InvalidArgument),
        ({"progress": "yes"}, InvalidType),
        ({"dest": ""}, InvalidArgument),
        ({"dest": b"/x"}, InvalidType),
    ],
    ids=str,
)
def test_import_with_senseless_arguments_raises_and_changes_nothing(
    mem: Vfs, source: Path, options: dict[str, Any], kind: type[Exception]
) -> None:
    before = rows(mem)

    with pytest.raises(kind):
        mem.import_tree(source, **options)

    assert rows(mem) == before


@pytest.mark.parametrize("atomic", [True, False])
def test_import_of_what_is_not_there_raises_and_makes_nothing(
    mem: Vfs, tmp_path: Path, atomic: bool
) -> None:
    before = rows(mem)

    with pytest.raises(FileNotFoundError) as caught:
        mem.import_tree(tmp_path / "no such", "/in", atomic=atomic)

    assert caught.value.errno == errno.ENOENT
    assert caught.value.filename == str(tmp_path / "no such")
    assert rows(mem) == before


def test_import_of_a_file_as_a_tree_raises_and_makes_nothing(
    mem: Vfs, source: Path
) -> None:
    before = rows(mem)

    with pytest.raises(NotADirectoryError) as caught:
        mem.import_tree(source / "a.txt", "/in")

    assert caught.value.errno == errno.ENOTDIR
    assert caught.value.filename == str(source / "a.txt")
    assert rows(mem) == before


@pytest.mark.parametrize("dest", ["/file", "/file/below"])
def test_import_to_a_file_raises_and_keeps_it(
    mem: Vfs, source: Path, dest: str
) -> None:
    mem.write_text("/file", "kept")
    before = rows(mem)

    with pytest.raises(NotADirectoryError) as caught:
        mem.import_tree(source, dest)

    assert caught.value.errno == errno.ENOTDIR
    assert caught.value.filename == dest
    assert rows(mem) == before


def test_import_on_a_read_only_instance_is_refused_before_anything(
    make_vfs: Callable[..., Vfs], tmp_path: Path
) -> None:
    make_vfs(tmp_path / "c.db").close()
    vfs = make_vfs(tmp_path / "c.db", read_only=True)

    with pytest.raises(ReadOnlyError) as caught:
        vfs.import_tree(tmp_path / "no such", "/in")

    assert caught.value.errno == errno.EROFS
    assert caught.value.filename == "/in"


def test_import_into_a_closed_file_system_raises(source: Path) -> None:
    vfs = Vfs()
    vfs.close()

    with pytest.raises(ValueError, match="closed"):
        vfs.import_tree(source)


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_import_of_a_special_file_raises_at_once_and_names_it(
    mem: Vfs, source: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_special(source, kind, monkeypatch)
    before = rows(mem)

    with pytest.raises(OSError) as caught:
        mem.import_tree(source)

    assert caught.value.errno == errno.EINVAL
    assert caught.value.filename == str(source / "special")
    assert rows(mem) == before


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_import_that_skips_errors_lists_a_special_file_and_brings_the_rest(
    mem: Vfs, source: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = host_tree(source)
    make_special(source, kind, monkeypatch)

    report = mem.import_tree(source, errors="skip")

    ((path, error),) = report.failures
    assert path == str(source / "special")
    assert error.errno == errno.EINVAL
    assert report.files == 7
    assert set(vfs_tree(mem)) == set(expected)


def make_special(top: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "fifo":
        os.mkfifo(top / "special")
        return
    monkeypatch.chdir(top)  # the name of a socket may have some hundred bytes
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("special")


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_import_of_a_name_that_is_no_text_raises_and_names_it(
    mem: Vfs, source: Path
) -> None:
    name = os.fsdecode(b"not \xff utf-8")
    (source / name).touch()
    before = rows(mem)

    with pytest.raises(OSError) as caught:
        mem.import_tree(source)
    report = mem.import_tree(source, "/in", errors="skip")

    assert caught.value.errno == errno.EILSEQ
    assert caught.value.filename == str(source / name)
    assert [path for path, _ in report.failures] == [str(source / name)]
    assert report.files == 7
    mem.rmtree("/in")
    assert rows(mem)["entries"] == before["entries"]


def test_import_in_a_batch_is_part_of_it(mem: Vfs, source: Path) -> None:
    before = rows(mem)

    with mem.atomic_batch() as batch:
        mem.import_tree(source)
        assert mem.exists("/sub/deep/b.txt")
        batch.rollback()

    assert rows(mem) == before


def test_import_that_fails_in_a_batch_takes_back_itself_alone(
    mem: Vfs, source: Path
) -> None:
    os.mkfifo(source / "zzz")

    with mem.atomic_batch():
        mem.write_text("/first", "1")
        with pytest.raises(OSError):
            mem.import_tree(source, "/in")
        mem.write_text("/last", "2")

    assert mem.listdir("/") == ["first", "last"]
