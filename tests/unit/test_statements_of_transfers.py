"""What transfers cost, in statements: a few for many files, or one for each."""

from __future__ import annotations

import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from tests.test_complexity import count

from stratavfs import VirtualFileSystem, _sql

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOME, MORE = 64, 192
"""Files; both fill whole statements."""

counting = pytest.mark.no_slow_contracts("single")


def tree_of(files: int, top: Path) -> Path:
    """Make a directory of the host with so many small files in another one."""
    directory = top / f"tree{files}" / "d"
    directory.mkdir(parents=True)
    for n in range(files):
        (directory / f"f{n:04}").write_bytes(b"%d" % n)
    return directory.parent


def tar_of(files: int, top: Path) -> Path:
    path = top / f"{files}.tar"
    with tarfile.open(path, "w") as packed:
        packed.add(tree_of(files, top), ".")
    return path


def zip_of(files: int, top: Path) -> Path:
    path = top / f"{files}.zip"
    tree = tree_of(files, top)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(tree.rglob("f*")):
            packed.write(file, file.relative_to(tree))
    return path


IMPORTS: dict[str, tuple[Callable[[int, Path], Path], Callable[..., object]]] = {
    "tree": (tree_of, VirtualFileSystem.import_tree),
    "tar": (tar_of, VirtualFileSystem.import_archive),
    "zip": (zip_of, VirtualFileSystem.import_archive),
}


@counting
@pytest.mark.parametrize("kind", IMPORTS)
def test_import_of_more_files_takes_two_statements_for_many(
    make_vfs: Any, tmp_path: Path, kind: str
) -> None:
    make, take = IMPORTS[kind]
    sources = [make(files, tmp_path) for files in (SOME, MORE)]
    found: list[VirtualFileSystem] = [make_vfs(), make_vfs()]

    counts = [
        count(vfs, lambda vfs, source=source: take(vfs, source))  # type: ignore[misc]
        for vfs, source in zip(found, sources, strict=True)
    ]

    assert counts[1] - counts[0] == 2 * (MORE - SOME) // _sql.TOGETHER
    assert counts[0] < SOME // 2
    assert len(found[1].listdir("/d")) == MORE
    assert found[1].read_bytes("/d/f0191") == b"191"


@counting
@pytest.mark.parametrize("kind", IMPORTS)
def test_import_again_takes_as_many_statements_for_more_files(
    make_vfs: Any, tmp_path: Path, kind: str
) -> None:
    make, take = IMPORTS[kind]
    counts = []
    for files in (SOME, MORE):
        source = make(files, tmp_path)
        vfs: VirtualFileSystem = make_vfs()
        take(vfs, source)

        counts.append(count(vfs, lambda vfs, source=source: take(vfs, source)))  # type: ignore[misc]

    assert counts[0] == counts[1] < 20


EXPORTS: dict[str, Callable[[VirtualFileSystem, Path], object]] = {
    "tree": lambda vfs, top: vfs.export_tree("/", top / "out"),
    "tar": lambda vfs, top: vfs.export_archive("/", top / "out.tar"),
    "zip": lambda vfs, top: vfs.export_archive("/", top / "out.zip"),
}


@counting
@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("attributes", [0, 1])
def test_export_takes_one_statement_a_file_and_one_for_attributes_if_there_are_any(
    make_vfs: Any, tmp_path: Path, kind: str, attributes: int
) -> None:
    counts = []
    for files in (SOME, MORE):
        vfs: VirtualFileSystem = make_vfs()
        vfs.import_tree(tree_of(files, tmp_path))
        if attributes:
            vfs.setxattr("/d", "user.a", b"1")
        top = tmp_path / f"{files}"
        top.mkdir()

        counts.append(count(vfs, lambda vfs, top=top: EXPORTS[kind](vfs, top)))  # type: ignore[misc]

    assert counts[1] - counts[0] == (MORE - SOME) * (1 + attributes)


@counting
def test_copytree_takes_two_statements_a_file_and_two_for_many(
    make_vfs: Any, tmp_path: Path
) -> None:
    counts = []
    for files in (SOME, MORE):
        vfs: VirtualFileSystem = make_vfs()
        vfs.import_tree(tree_of(files, tmp_path))

        counts.append(count(vfs, lambda vfs: vfs.copytree("/d", "/copy")))

    more = MORE - SOME
    assert counts[1] - counts[0] == 2 * more + 2 * more // _sql.TOGETHER


def test_copytree_by_a_link_out_of_an_underlay_keeps_all_that_copystat_keeps(
    make_vfs: Any,
) -> None:
    below: VirtualFileSystem = make_vfs()
    below.write_text("/real/sub/file", "text")
    below.setxattr("/real/sub/file", "user.k", b"1")
    below.chmod("/real/sub/file", 0o640)
    below.utime("/real/sub/file", (5, 6))
    below.symlink("/real", "/link")
    vfs: VirtualFileSystem = make_vfs()
    vfs.add_underlay(below)

    vfs.copytree("/link", "/copy")

    found = vfs.stat("/copy/sub/file")
    assert vfs.read_text("/copy/sub/file") == "text"
    assert vfs.getxattr("/copy/sub/file", "user.k") == b"1"
    assert (found.st_mode & 0o777, found.st_atime, found.st_mtime) == (0o640, 5, 6)


def test_grep_in_a_stack_opens_no_small_file(make_vfs: Any) -> None:
    below: VirtualFileSystem = make_vfs()
    for n in range(SOME):
        below.write_text(f"/d/f{n:03}", f"line {n}\n")
    vfs: VirtualFileSystem = make_vfs()
    vfs.add_underlay(below)

    statements = count(below, lambda _: [*vfs.grep("no such line")])

    assert statements < SOME + 20
