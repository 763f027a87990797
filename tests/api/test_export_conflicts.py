"""export_tree() where something is already: what is the same, and what is not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.api.exporting import LARGE, NANO, fill, identities, opened_up, texts
from tests.api.test_round_trips import difference, host_tree, vfs_tree

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Vfs = VirtualFileSystem


@pytest.fixture
def full(mem: Vfs) -> Vfs:
    fill(mem)
    return mem


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """A directory to export to, which is not there yet."""
    yield tmp_path / "out"
    opened_up(tmp_path)


@pytest.mark.parametrize("checksum", [False, True])
def test_export_tree_again_changes_nothing(
    full: Vfs, out: Path, *, checksum: bool
) -> None:
    full.chmod("/top/shut", 0o755)
    full.export_tree("/top", out)
    files = {p: i for p, i in identities(out).items() if (out / p).is_file()}

    report = full.export_tree("/top", out, checksum=checksum)

    assert report[:4] == (0, 0, 0, 0)
    assert report.unchanged == 14
    assert files.items() <= identities(out).items()
    assert difference(host_tree(out), vfs_tree(full, "/top")) == {}


def test_export_tree_again_replaces_what_has_changed(full: Vfs, out: Path) -> None:
    full.chmod("/top/shut", 0o755)
    full.export_tree("/top", out)
    full.write_text("/top/a.txt", "hullo")
    full.remove("/top/link")
    full.symlink("run", "/top/link")
    full.write_text("/top/sub/same", "an other")
    full.write_text("/top/sub/new", "new")

    report = full.export_tree("/top", out, on_conflict="replace")

    assert (report.files, report.symlinks, report.unchanged) == (4, 1, 10)
    assert difference(host_tree(out), vfs_tree(full, "/top")) == {}


def test_export_tree_replaces_a_file_and_not_its_other_names(
    mem: Vfs, out: Path
) -> None:
    out.mkdir()
    (out / "a").write_text("old")
    os.link(out / "a", out.parent / "other")
    mem.write_text("/a", "new")

    mem.export_tree("/", out, on_conflict="replace")

    assert (out / "a").read_text() == "new"
    assert (out.parent / "other").read_text() == "old"
    assert os.listdir(out) == ["a"]


THERE = {
    "file": "another file",
    "link": "a symbolic link",
    "pipe": "something else",
}


def put(kind: str, path: Path) -> None:
    if kind == "file":
        path.write_text("other")
    elif kind == "link":
        path.symlink_to("/other")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()


@pytest.mark.parametrize("there", THERE)
@pytest.mark.parametrize("comes", ["file", "link", "directory"])
def test_export_tree_onto_another_thing_is_a_conflict(
    mem: Vfs, out: Path, comes: str, there: str
) -> None:
    make: Any = {"file": mem.touch, "directory": mem.mkdir}
    make.get(comes, lambda path: mem.symlink("x", path))("/a")
    out.mkdir()
    put(there, out / "a")
    before = os.lstat(out / "a")

    with pytest.raises(FileExistsError, match=THERE[there]) as caught:
        mem.export_tree("/", out)
    left = mem.export_tree("/", out, on_conflict="skip")
    after = os.lstat(out / "a")
    replaced = mem.export_tree("/", out, on_conflict="replace")

    assert caught.value.filename == str(out / "a")
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert (left.skipped, sum(left[:3])) == (1, 0)
    assert sum(replaced[:3]) == 1
    assert {"f": "file", "d": "directory", "l": "link"}[
        host_tree(out)["a"].kind
    ] == comes
    assert os.listdir(out) == ["a"]


@pytest.mark.parametrize("comes", ["file", "link"])
def test_export_tree_never_replaces_a_directory(
    mem: Vfs, out: Path, comes: str
) -> None:
    if comes == "file":
        mem.touch("/a")
    else:
        mem.symlink("x", "/a")
    (out / "a").mkdir(parents=True)

    for choice in ("error", "replace", "newer"):
        with pytest.raises(IsADirectoryError) as caught:
            mem.export_tree("/", out, on_conflict=choice)
        assert caught.value.filename == str(out / "a")
    report = mem.export_tree("/", out, on_conflict="skip")

    assert report.skipped == 1
    assert texts(out) == {"a": None}


def test_export_tree_leaves_out_all_of_a_directory_that_is_in_conflict(
    mem: Vfs, out: Path
) -> None:
    mem.write_text("/a/b/c", "c")
    mem.write_text("/z", "z")
    out.mkdir()
    (out / "a").write_text("a file")

    report = mem.export_tree("/", out, on_conflict="skip", include="**")

    assert texts(out) == {"a": b"a file", "z": b"z"}
    assert (report.skipped, report.files) == (1, 1)


@pytest.mark.parametrize(("ns", "replaced"), [(NANO - 1, True), (NANO + 1, False)])
def test_export_tree_of_newer_files_replaces_older_ones(
    mem: Vfs, out: Path, ns: int, *, replaced: bool
) -> None:
    mem.write_text("/a", "new")
    mem.utime("/a", ns=(NANO, NANO))
    out.mkdir()
    (out / "a").write_text("old")
    os.utime(out / "a", ns=(ns, ns))

    report = mem.export_tree("/", out, on_conflict="newer")

    assert (out / "a").read_text() == ("new" if replaced else "old")
    assert (report.files, report.skipped) == (replaced, not replaced)


def test_export_tree_by_checksum_compares_bytes_and_not_times(
    mem: Vfs, out: Path
) -> None:
    for name, ns in (("same", 1), ("other", NANO)):
        mem.write_bytes(f"/{name}", LARGE)
        mem.utime(f"/{name}", ns=(NANO, NANO))
        out.mkdir(exist_ok=True)
        (out / name).write_bytes(LARGE if name == "same" else LARGE[:-1] + b"!")
        os.utime(out / name, ns=(ns, ns))

    report = mem.export_tree("/", out, on_conflict="replace", checksum=True)

    assert (report.files, report.unchanged) == (1, 1)
    assert (out / "other").read_bytes() == LARGE
    assert (out / "same").stat().st_mtime_ns == 1


def test_export_tree_keeps_links_of_which_one_is_there(full: Vfs, out: Path) -> None:
    full.export_tree("/top", out)
    os.unlink(out / "sub/same")

    report = full.export_tree("/top", out)

    assert (report.files, report.bytes) == (1, 0)
    assert os.path.samefile(out / "same", out / "sub/same")


def test_export_tree_links_no_file_of_somebody_else(full: Vfs, out: Path) -> None:
    out.mkdir()
    (out / "same").write_text("mine")

    report = full.export_tree("/top", out, on_conflict="skip")

    assert (out / "same").read_text() == "mine"
    assert (out / "sub/same").read_text() == "one file"
    assert report.skipped == 1
