"""What becomes of what is there already when a tree comes in: on_conflict, incremental.

The rules are the same for archives.
"""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api.test_import_archive import LARGE, made
from tests.api.test_round_trips import difference, host_tree, vfs_tree

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Vfs = VirtualFileSystem

OLD, NEW = 1_400_000_000_000_000_000, 1_500_000_000_123_456_789


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three files, a link and a directory, all of one time."""
    top = tmp_path / "source"
    (top / "sub").mkdir(parents=True)
    (top / "a").write_bytes(b"new a")
    (top / "b").write_bytes(b"new b")
    (top / "sub/c").write_bytes(b"new c")
    (top / "link").symlink_to("a")
    for path in ("a", "b", "sub/c", "link", "sub", "."):
        os.utime(top / path, ns=(NEW, NEW), follow_symlinks=False)
    return top


def rows(vfs: Vfs) -> ground.Dump:
    return ground.dump(vfs._store._cx)


def put(vfs: Vfs, path: str, content: bytes, mtime: int = NEW) -> None:
    vfs.write_bytes(path, content)
    vfs.utime(path, ns=(mtime, mtime))


# --- the same again -------------------------------------------------------------------


def test_import_again_writes_nothing_and_counts_all_as_unchanged(
    vfs: Vfs, source: Path
) -> None:
    first = vfs.import_tree(source)
    before = rows(vfs)

    again = vfs.import_tree(source)

    assert (first.files, first.symlinks, first.unchanged) == (3, 1, first.unchanged)
    assert again[:4] == (0, 0, 0, 0)
    assert (again.skipped, again.failures) == (0, ())
    assert again.unchanged >= 4
    assert rows(vfs) == before


def test_import_again_reads_no_file_that_is_unchanged(
    mem: Vfs, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mem.import_tree(source)
    opened = opened_files(monkeypatch)

    mem.import_tree(source)

    assert opened == []


def opened_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which the names of regular files that are opened are added."""
    real, opened = os.open, []

    def watched(path: Any, flags: int, *args: Any, **options: Any) -> int:
        if not flags & getattr(os, "O_DIRECTORY", 0):
            opened.append(os.path.basename(os.fspath(path)))
        return real(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", watched)
    return opened


def test_import_brings_only_what_has_changed_on_the_host(
    mem: Vfs, source: Path
) -> None:
    mem.import_tree(source)
    (source / "b").write_bytes(b"longer than before")
    (source / "new").write_bytes(b"n")

    report = mem.import_tree(source, on_conflict="replace")

    assert (report.files, report.bytes) == (2, len(b"longer than beforen"))
    assert difference(vfs_tree(mem), host_tree(source)) == {}


def test_import_by_size_and_time_trusts_them_and_by_checksum_does_not(
    mem: Vfs, source: Path
) -> None:
    mem.import_tree(source)
    (source / "a").write_bytes(b"NEW A")  # as long as before
    os.utime(source / "a", ns=(NEW, NEW))

    trusting = mem.import_tree(source, on_conflict="replace")
    seen = mem.read_bytes("/a")
    comparing = mem.import_tree(source, on_conflict="replace", checksum=True)

    assert (trusting.files, seen) == (0, b"new a")
    assert (comparing.files, mem.read_bytes("/a")) == (1, b"NEW A")


def test_import_by_checksum_finds_the_same_bytes_of_another_time_unchanged(
    mem: Vfs, source: Path
) -> None:
    mem.import_tree(source)
    os.utime(source / "a", ns=(OLD, OLD))

    report = mem.import_tree(source, checksum=True)

    assert (report.files, report.skipped) == (0, 0)


@pytest.mark.parametrize("checksum", [False, True])
def test_import_again_after_a_file_of_many_chunks_changed_inside_sees_it(
    mem: Vfs, tmp_path: Path, checksum: bool
) -> None:
    (tmp_path / "in").mkdir()
    large = bytearray(bytes(range(251)) * 3000)
    (tmp_path / "in/large").write_bytes(large)
    mem.import_tree(tmp_path / "in")
    large[700_000] ^= 1
    (tmp_path / "in/large").write_bytes(large)
    os.utime(tmp_path / "in/large", ns=(NEW, NEW))

    report = mem.import_tree(tmp_path / "in", on_conflict="replace", checksum=checksum)

    assert report.files == 1
    assert mem.read_bytes("/large") == large


# --- another one is there -------------------------------------------------------------


def test_import_over_another_file_raises_names_it_and_changes_nothing(
    vfs: Vfs, source: Path
) -> None:
    put(vfs, "/in/sub/c", b"old c", OLD)
    before = rows(vfs)

    with pytest.raises(FileExistsError) as caught:
        vfs.import_tree(source, "/in")

    assert caught.value.errno == errno.EEXIST
    assert caught.value.filename == "/in/sub/c"
    assert "on_conflict" in str(caught.value)
    assert rows(vfs) == before


def test_import_that_skips_leaves_what_is_there(vfs: Vfs, source: Path) -> None:
    put(vfs, "/a", b"old a", OLD)
    vfs.chmod("/a", 0o600)
    before = vfs.stat("/a")

    report = vfs.import_tree(source, on_conflict="skip")

    assert (report.files, report.skipped) == (2, 1)
    assert vfs.read_bytes("/a") == b"old a"
    assert vfs.stat("/a") == before


def test_import_that_replaces_brings_content_and_attributes(
    vfs: Vfs, source: Path
) -> None:
    put(vfs, "/a", b"old and longer", OLD)
    vfs.chmod("/a", 0o600)
    vfs.setxattr("/a", "user.old", b"1")

    report = vfs.import_tree(source, on_conflict="replace")

    assert (report.files, report.skipped) == (3, 0)
    assert difference(vfs_tree(vfs), host_tree(source)) == {}


@pytest.mark.parametrize(
    ("mtime", "expected"),
    [(NEW - 1, b"new a"), (NEW, b"old"), (NEW + 1, b"old")],
)
def test_import_of_what_is_newer_replaces_what_is_older(
    mem: Vfs, source: Path, mtime: int, expected: bytes
) -> None:
    put(mem, "/a", b"old", mtime)

    report = mem.import_tree(source, on_conflict="newer")

    assert mem.read_bytes("/a") == expected
    assert report.skipped == (expected == b"old")


def test_import_that_replaces_a_name_leaves_the_files_other_names(
    mem: Vfs, source: Path
) -> None:
    put(mem, "/a", b"old", OLD)
    mem.link("/a", "/other")

    with mem.open("/a", "rb") as handle:
        mem.import_tree(source, on_conflict="replace")
        seen = handle.read()

    assert seen == b"old"
    assert mem.read_bytes("/other") == b"old"
    assert mem.read_bytes("/a") == b"new a"
    assert mem.stat("/other").st_nlink == 1


# --- another kind is there ------------------------------------------------------------


def test_import_over_a_link_replaces_it_and_writes_nothing_through_it(
    mem: Vfs, source: Path
) -> None:
    put(mem, "/outside", b"untouched", OLD)
    mem.symlink("/outside", "/in/a")
    before = mem.stat("/outside")

    mem.import_tree(source, "/in", on_conflict="replace")

    assert not mem.islink("/in/a")
    assert mem.read_bytes("/outside") == b"untouched"
    assert mem.stat("/outside") == before


@pytest.mark.parametrize("target", ["/outside", "/no such", "/in/sub"])
def test_import_of_a_directory_over_a_link_never_goes_through_it(
    mem: Vfs, source: Path, target: str
) -> None:
    mem.mkdir("/outside")
    mem.mkdir("/in")
    mem.symlink(target, "/in/sub")
    before = rows(mem)

    with pytest.raises(FileExistsError) as caught:
        mem.import_tree(source, "/in")

    assert caught.value.errno == errno.EEXIST
    assert caught.value.filename == "/in/sub"
    assert rows(mem) == before

    skipping = mem.import_tree(source, "/in", on_conflict="skip")
    assert (mem.islink("/in/sub"), mem.listdir("/outside")) == (True, [])
    assert skipping.skipped >= 1

    mem.import_tree(source, "/in", on_conflict="replace")
    assert (mem.islink("/in/sub"), mem.listdir("/outside")) == (False, [])
    assert mem.read_bytes("/in/sub/c") == b"new c"


def test_import_of_a_directory_over_a_file_is_a_conflict(
    mem: Vfs, source: Path
) -> None:
    put(mem, "/sub", b"a file", OLD)
    before = rows(mem)

    with pytest.raises(FileExistsError) as caught:
        mem.import_tree(source)

    assert (caught.value.errno, caught.value.filename) == (errno.EEXIST, "/sub")
    assert rows(mem) == before

    skipping = mem.import_tree(source, on_conflict="skip")
    assert mem.read_bytes("/sub") == b"a file"
    assert (skipping.files, mem.read_bytes("/a")) == (2, b"new a")

    replacing = mem.import_tree(source, on_conflict="replace")
    assert mem.read_bytes("/sub/c") == b"new c"
    assert (replacing.files, replacing.directories) == (1, 1)


@pytest.mark.parametrize("name", ["a", "link"])
@pytest.mark.parametrize("choice", ["error", "replace", "newer"])
def test_import_over_a_directory_is_refused(
    mem: Vfs, source: Path, name: str, choice: Any
) -> None:
    mem.write_bytes(f"/in/{name}/below", b"kept")
    mem.utime(f"/in/{name}", ns=(OLD, OLD))
    before = rows(mem)

    with pytest.raises(IsADirectoryError) as caught:
        mem.import_tree(source, "/in", on_conflict=choice)

    assert caught.value.errno == errno.EISDIR
    assert caught.value.filename == f"/in/{name}"
    assert rows(mem) == before


@pytest.mark.parametrize("name", ["a", "link"])
def test_import_over_a_directory_that_skips_leaves_it(
    mem: Vfs, source: Path, name: str
) -> None:
    mem.write_bytes(f"/in/{name}/below", b"kept")

    report = mem.import_tree(source, "/in", on_conflict="skip")

    assert mem.read_bytes(f"/in/{name}/below") == b"kept"
    assert report.skipped == 1
    assert mem.read_bytes("/in/sub/c") == b"new c"


def test_import_that_skips_errors_lists_conflicts_and_goes_on(
    mem: Vfs, source: Path
) -> None:
    put(mem, "/a", b"old", OLD)

    report = mem.import_tree(source, errors="skip")

    ((path, error),) = report.failures
    assert path in ("/a", str(source / "a"))
    assert isinstance(error, FileExistsError)
    assert mem.read_bytes("/a") == b"old"
    assert mem.read_bytes("/sub/c") == b"new c"


def test_import_of_two_names_of_a_file_over_one_that_is_the_same_joins_none(
    mem: Vfs, source: Path
) -> None:
    (source / "sub/a too").hardlink_to(source / "a")
    mem.import_tree(source)
    mem.remove("/sub/a too")

    report = mem.import_tree(source)

    assert report.files == 1
    assert mem.read_bytes("/sub/a too") == b"new a"
    assert difference(vfs_tree(mem), host_tree(source)) == {}


# --- over layers ----------------------------------------------------------------------


@pytest.fixture
def base(make_vfs: Callable[..., Vfs], source: Path) -> Vfs:
    """What the source has, and more."""
    vfs = make_vfs()
    vfs.write_bytes("/in/only/below", b"below")
    vfs.import_tree(source, "/in")
    return vfs


def test_import_of_what_is_below_copies_nothing_up(
    mem: Vfs, base: Vfs, source: Path
) -> None:
    mem.add_underlay(base)
    before = rows(mem)

    report = mem.import_tree(source, "/in")

    assert (report.files, report.symlinks, report.directories) == (0, 0, 0)
    assert rows(mem) == before
    assert mem.diff() == []


def test_import_over_layers_replaces_above_and_leaves_below(
    mem: Vfs, base: Vfs, source: Path
) -> None:
    mem.add_underlay(base)
    (source / "a").write_bytes(b"newer a")
    (source / "sub/d").write_bytes(b"d")
    below = rows(base)

    mem.import_tree(source, "/in", on_conflict="replace")

    assert rows(base) == below
    assert mem.read_bytes("/in/a") == b"newer a"
    assert mem.listdir("/in/sub") == ["c", "d"]
    assert mem.which_layer("/in/sub/c") != "local"
    assert mem.read_bytes("/in/only/below") == b"below"


def test_import_where_something_was_deleted_brings_it_and_nothing_else_back(
    mem: Vfs, base: Vfs, source: Path
) -> None:
    base.write_bytes("/in/sub/hidden", b"h")
    mem.add_underlay(base)
    mem.rmtree("/in/sub")
    mem.remove("/in/a")

    report = mem.import_tree(source, "/in")

    assert (report.files, report.directories) == (2, 1)
    assert mem.listdir("/in/sub") == ["c"]
    assert mem.read_bytes("/in/a") == b"new a"


def test_import_of_a_directory_over_a_file_below_hides_it(
    mem: Vfs, make_vfs: Callable[..., Vfs], source: Path
) -> None:
    base = make_vfs()
    base.write_bytes("/sub", b"a file below")
    lowest = make_vfs()
    lowest.write_bytes("/sub/lowest", b"hidden by the file")
    mem.add_underlay(base, priority=2)
    mem.add_underlay(lowest, priority=1)

    mem.import_tree(source, on_conflict="replace")

    assert mem.listdir("/sub") == ["c"]
    assert base.read_bytes("/sub") == b"a file below"


def test_import_from_a_directory_that_is_a_layer_finds_all_unchanged(
    mem: Vfs, source: Path
) -> None:
    mem.add_underlay(source, at="/in")

    report = mem.import_tree(source, "/in")

    assert (report.files, report.symlinks, report.directories) == (0, 0, 0)
    assert mem.diff() == []


# --- archives -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["zip", "tar.gz"])
def test_import_again_changes_nothing(mem: Vfs, name: str) -> None:
    mem.import_archive(io.BytesIO(made(name)))
    before = rows(mem)

    again = mem.import_archive(io.BytesIO(made(name)))
    by_bytes = mem.import_archive(io.BytesIO(made(name)), checksum=True)

    for report in (again, by_bytes):
        assert report[:4] == (0, 0, 0, 0)
        assert report.unchanged >= 8
    assert rows(mem) == before


@pytest.mark.parametrize("name", ["zip", "tar"])
@pytest.mark.parametrize("atomic", [True, False])
def test_import_over_another_file_raises_and_names_it(
    mem: Vfs, name: str, atomic: bool
) -> None:
    mem.write_bytes("/in/sub/b.txt", b"mine")
    before = rows(mem)

    with pytest.raises(FileExistsError) as caught:
        mem.import_archive(io.BytesIO(made(name)), "/in", atomic=atomic)

    assert caught.value.errno == errno.EEXIST
    assert caught.value.filename == "/in/sub/b.txt"
    assert mem.read_bytes("/in/sub/b.txt") == b"mine"
    if atomic:
        assert rows(mem) == before
    else:
        assert "imported before it" in "".join(caught.value.__notes__)


@pytest.mark.parametrize("name", ["zip", "tar"])
@pytest.mark.parametrize(
    ("choice", "expected"),
    [("skip", b"mine"), ("replace", b"b"), ("newer", b"mine")],
)
def test_import_does_as_on_conflict_says(
    mem: Vfs, name: str, choice: Any, expected: bytes
) -> None:
    mem.write_bytes("/sub/b.txt", b"mine")  # now: later than what is in the archive

    report = mem.import_archive(io.BytesIO(made(name)), on_conflict=choice)

    assert mem.read_bytes("/sub/b.txt") == expected
    assert report.skipped == (expected == b"mine")
    assert mem.read_bytes("/large") == LARGE


def test_import_over_layers_changes_none_of_them(
    mem: Vfs, make_vfs: Callable[..., Vfs]
) -> None:
    base = make_vfs()
    base.write_bytes("/sub/b.txt", b"below")
    base.write_bytes("/sub/only", b"below")
    mem.add_underlay(base)
    below = rows(base)

    mem.import_archive(io.BytesIO(made("tar")), on_conflict="replace")

    assert mem.read_bytes("/sub/b.txt") == b"b"
    assert mem.read_bytes("/sub/only") == b"below"
    assert rows(base) == below
