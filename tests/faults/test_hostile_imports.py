"""Imports of what means harm: members that lead out, links, bombs, open containers.

Each is refused with its name, nothing is imported, nothing outside of the destination
is touched, and nothing is waited for. Formats that are damaged are another test's.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import tarfile
import zipfile
from contextlib import contextmanager
from stat import S_IFBLK, S_IFCHR, S_IFIFO, S_IFREG, S_IFSOCK
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api.test_import_archive import add, add_zipped
from tests.api.test_round_trips import vfs_tree
from tests.faults.test_transfer_faults import (
    ends_in_time,
    make_source,
)

from stratavfs import VirtualFileSystem, _import_archive
from stratavfs.errors import BadArchive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Vfs = VirtualFileSystem

__all__ = ["ends_in_time"]  # a fixture: nothing here takes half a minute


def rows(vfs: Vfs) -> ground.Dump:
    return ground.dump(vfs._store._cx)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    make_source(top)
    return top


Members = list[tuple[str, dict[str, Any]]]
"""Names, and the fields of ``tarfile.TarInfo``."""

SYMLINK, HARD_LINK, DIRECTORY = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


def tar_of(*members: tuple[str, dict[str, Any]]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, fields in members:
            content = fields.pop("content", b"")
            add(archive, name, content, **fields)
    stream.seek(0)
    return stream


def zip_of(*members: tuple[str, bytes, int]) -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content, mode in members:
            add_zipped(archive, name, content, mode)
    stream.seek(0)
    return stream


def require_refused(vfs: Vfs, archive: io.BytesIO, member: str, **options: Any) -> None:
    """Require that *member* is named, and that nothing has changed."""
    before = rows(vfs)

    with pytest.raises(BadArchive) as caught:
        vfs.import_archive(archive, "/in", **options)

    assert caught.value.errno == errno.EINVAL
    assert repr(member) in str(caught.value)
    assert rows(vfs) == before


@pytest.fixture
def world(mem: Vfs) -> Vfs:
    """A container with something outside of the destination."""
    mem.write_text("/outside/secret", "kept")
    mem.write_text("/in/mine", "kept")
    return mem


# --- names ----------------------------------------------------------------------------

BAD_NAMES = [
    "../x",
    "/x",
    "a/../../x",
    "..",
    "a/..",
    "//x",
    "a/../b",
    "/../x",
    "./../x",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_import_of_tar_that_leads_out_is_refused(world: Vfs, name: str) -> None:
    archive = tar_of(("good", {"content": b"g"}), (name, {"content": b"x"}))

    require_refused(world, archive, name)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_import_of_zip_that_leads_out_is_refused(world: Vfs, name: str) -> None:
    archive = zip_of(("good", b"g", S_IFREG | 0o644), (name, b"x", S_IFREG | 0o644))

    require_refused(world, archive, name)


@pytest.mark.parametrize("name", ["a\0b", "\0"])
def test_import_of_a_name_with_a_nul_is_refused(world: Vfs, name: str) -> None:
    archive = tar_of(("x", {"content": b"x", "pax_headers": {"path": name}}))

    require_refused(world, archive, name)


@pytest.mark.parametrize("name", [".", "./."])
def test_import_of_a_file_that_is_the_top_is_refused(world: Vfs, name: str) -> None:
    archive = tar_of(("x", {"content": b"x", "pax_headers": {"path": name}}))
    before = rows(world)

    with pytest.raises(BadArchive):
        world.import_archive(archive, "/in")

    assert rows(world) == before


def test_import_of_a_file_without_a_name_is_refused(world: Vfs) -> None:
    require_refused(world, zip_of(("", b"x", S_IFREG | 0o644)), "")


@pytest.mark.parametrize("name", ["C:\\x", "C:x", "\\\\host\\share\\x", "a\\..\\..\\x"])
def test_import_of_a_name_that_means_something_elsewhere_is_a_plain_name(
    world: Vfs, name: str
) -> None:
    world.import_archive(tar_of((name, {"content": b"x"})), "/in")

    assert world.listdir("/in") == sorted(["mine", name])
    assert world.read_bytes(f"/in/{name}") == b"x"


@pytest.mark.parametrize("length", [256, 5000])
def test_import_of_a_name_that_is_too_long_raises(world: Vfs, length: int) -> None:
    before = rows(world)

    with pytest.raises(OSError) as caught:
        world.import_archive(tar_of(("n" * length, {"content": b"x"})), "/in")

    assert caught.value.errno in (errno.ENAMETOOLONG, errno.EINVAL)
    assert rows(world) == before


# --- links ----------------------------------------------------------------------------


@pytest.mark.parametrize("choice", ["error", "replace", "skip", "newer"])
@pytest.mark.parametrize("target", ["/outside", "../outside", "."])
def test_import_never_goes_through_a_link_of_the_archive(
    world: Vfs, target: str, choice: Any
) -> None:
    outside = vfs_tree(world, "/outside")
    archive = tar_of(
        ("d", {"type": SYMLINK, "linkname": target}),
        ("d/secret", {"content": b"planted"}),
        ("d/sub/new", {"content": b"planted"}),
    )

    try:
        world.import_archive(archive, "/in", on_conflict=choice)
    except OSError:
        assert world.listdir("/in") == ["mine"]
    else:
        assert world.islink("/in/d") or world.read_bytes("/in/d/secret") == b"planted"

    assert vfs_tree(world, "/outside") == outside
    assert set(world.listdir("/in")) <= {"mine", "d"}
    assert world.listdir("/") == ["in", "outside"]


@pytest.mark.parametrize("choice", ["error", "replace", "skip", "newer"])
def test_import_never_goes_through_a_link_that_was_there(
    world: Vfs, choice: Any
) -> None:
    world.symlink("/outside", "/in/d")
    world.symlink("/outside/secret", "/in/f")
    outside = vfs_tree(world, "/outside")
    archive = tar_of(("d/secret", {"content": b"1"}), ("f", {"content": b"2"}))

    try:
        world.import_archive(archive, "/in", on_conflict=choice)
    except FileExistsError as error:
        assert choice == "error"
        assert error.filename == "/in/d"  # noqa: PT017 - three of four do not raise

    assert vfs_tree(world, "/outside") == outside
    assert world.islink("/in/d") == (choice != "replace")  # it is newer


def test_import_of_links_of_links_goes_nowhere(world: Vfs) -> None:
    outside = vfs_tree(world, "/outside")
    archive = tar_of(
        ("a", {"type": SYMLINK, "linkname": "b"}),
        ("b", {"type": SYMLINK, "linkname": "../outside"}),
        ("c", {"type": HARD_LINK, "linkname": "a/secret"}),
    )

    require_refused(world, archive, "c")
    assert vfs_tree(world, "/outside") == outside


def test_import_of_a_link_that_leads_out_is_kept_as_it_is_written(world: Vfs) -> None:
    archive = tar_of(("up", {"type": SYMLINK, "linkname": "../../../etc/passwd"}))

    world.import_archive(archive, "/in")

    assert world.readlink("/in/up") == "../../../etc/passwd"
    assert not world.exists("/in/up")


@pytest.mark.parametrize("target", ["", "a\0b"])
def test_import_of_a_link_to_nothing_is_refused(world: Vfs, target: str) -> None:
    fields = {"type": SYMLINK, "linkname": target, "pax_headers": {"linkpath": target}}

    require_refused(world, tar_of(("l", fields)), "l")


@pytest.mark.parametrize(
    "first",
    [
        "../outside/secret",
        "/outside/secret",
        "/etc/passwd",
        "later",
        "l",
        "d",
        "no such",
    ],
)
def test_import_of_a_hard_link_to_no_earlier_file_is_refused(
    world: Vfs, first: str
) -> None:
    archive = tar_of(
        ("d", {"type": DIRECTORY, "mode": 0o755}),
        ("l", {"type": HARD_LINK, "linkname": first}),
        ("later", {"content": b"x"}),
    )

    require_refused(world, archive, "l")


def test_import_of_a_chain_of_hard_links_makes_names_of_one_file(world: Vfs) -> None:
    archive = tar_of(
        ("a", {"content": b"one"}),
        ("b", {"type": HARD_LINK, "linkname": "a"}),
        ("d/c", {"type": HARD_LINK, "linkname": "./b"}),
    )

    world.import_archive(archive, "/in")

    assert world.stat("/in/a").st_nlink == 3
    assert world.samefile("/in/a", "/in/d/c")


def test_import_over_a_hard_link_of_the_archive_changes_the_other_name_not(
    world: Vfs,
) -> None:
    """A file that follows the link of its name would write through it, if it could."""
    archive = tar_of(
        ("l", {"type": HARD_LINK, "linkname": "mine"}),
        ("l", {"content": b"planted"}),
    )

    try:
        world.import_archive(archive, "/in", on_conflict="replace")
    except OSError:
        assert world.listdir("/in") == ["mine"]

    assert world.read_text("/in/mine") == "kept"


# --- kinds, and one over another ------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE], ids=str
)
def test_import_of_tar_with_a_special_file_is_refused(world: Vfs, kind: bytes) -> None:
    archive = tar_of(("good", {"content": b"g"}), ("dev/null", {"type": kind}))

    require_refused(world, archive, "dev/null")


@pytest.mark.parametrize("kind", [S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK], ids=oct)
def test_import_of_zip_with_a_special_file_is_refused(world: Vfs, kind: int) -> None:
    archive = zip_of(("good", b"g", S_IFREG | 0o644), ("null", b"", kind | 0o666))

    require_refused(world, archive, "null")


def test_import_that_excludes_what_is_refused_brings_the_rest(world: Vfs) -> None:
    archive = tar_of(
        ("dev/null", {"type": tarfile.CHRTYPE}),
        ("pipe", {"type": tarfile.FIFOTYPE}),
        ("l", {"type": HARD_LINK, "linkname": "/etc/passwd"}),
        ("good", {"content": b"g"}),
    )

    world.import_archive(archive, "/in", exclude=["dev/", "pipe", "l"])

    assert world.listdir("/in") == ["good", "mine"]


@pytest.mark.parametrize("name", ["zip", "tar"])
def test_import_of_two_members_of_one_name_takes_the_last(
    world: Vfs, name: str
) -> None:
    if name == "zip":
        with pytest.warns(UserWarning, match="Duplicate"):
            archive = zip_of(
                ("f", b"first", S_IFREG | 0o644), ("f", b"last!", S_IFREG | 0o600)
            )
    else:
        archive = tar_of(("f", {"content": b"first"}), ("f", {"content": b"last!"}))

    world.import_archive(archive, "/in")

    assert world.read_bytes("/in/f") == b"last!"
    assert world.listdir("/in") == ["f", "mine"]


def test_import_of_a_member_below_a_file_of_the_archive_is_a_conflict(
    world: Vfs,
) -> None:
    archive = tar_of(("x", {"content": b"file"}), ("x/y", {"content": b"below"}))
    before = rows(world)

    with pytest.raises(FileExistsError) as caught:
        world.import_archive(archive, "/in")

    assert caught.value.filename == "/in/x"
    assert rows(world) == before


def test_import_of_a_member_below_a_file_of_the_archive_replaces_it_if_told_to(
    world: Vfs,
) -> None:
    archive = tar_of(("x", {"content": b"file"}), ("x/y", {"content": b"below"}))

    world.import_archive(archive, "/in", on_conflict="replace")

    assert world.read_bytes("/in/x/y") == b"below"


def test_import_of_a_file_over_a_directory_of_the_archive_is_refused(
    world: Vfs,
) -> None:
    archive = tar_of(("x/y", {"content": b"below"}), ("x", {"content": b"file"}))
    before = rows(world)

    with pytest.raises(OSError) as caught:
        world.import_archive(archive, "/in", on_conflict="replace")

    assert caught.value.errno == errno.EISDIR
    assert caught.value.filename == "/in/x"
    assert rows(world) == before


# --- bombs ----------------------------------------------------------------------------


@pytest.fixture
def bomb(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """A zip of ten thousand bytes for ten million; a megabyte would be harmless."""
    monkeypatch.setattr(_import_archive, "HARMLESS", 1 << 20)
    return zip_of(
        ("good", b"g", S_IFREG | 0o644), ("bomb", bytes(10**7), S_IFREG | 0o644)
    )


@pytest.mark.parametrize("atomic", [True, False])
def test_import_of_a_bomb_is_refused_and_the_way_out_is_said(
    world: Vfs, bomb: io.BytesIO, atomic: bool
) -> None:
    before = rows(world)

    with pytest.raises(BadArchive, match="max_ratio") as caught:
        world.import_archive(bomb, "/in", atomic=atomic)

    assert "bomb" in str(caught.value)
    assert not world.exists("/in/bomb")
    if atomic:
        assert rows(world) == before


def test_import_of_a_bomb_that_is_wanted_is_done(world: Vfs, bomb: io.BytesIO) -> None:
    world.import_archive(bomb, "/in", max_ratio=5000)

    assert world.getsize("/in/bomb") == 10**7


@pytest.mark.parametrize("size", [1 << 40, 1 << 62])
def test_import_of_a_member_that_claims_a_terabyte_reads_none_of_it(
    world: Vfs, size: int
) -> None:
    header = tarfile.TarInfo("huge")
    header.size = size
    archive = io.BytesIO(header.tobuf(tarfile.GNU_FORMAT) + bytes(4096))

    require_refused(world, archive, "huge")


# --- containers in the tree -----------------------------------------------------------


@contextmanager
def opened() -> Iterator[list[str]]:
    """Yield the names of the files that Python opens meanwhile.

    Not by ``sys.addaudithook``, which is for ever: while a hook is there, CPython 3.11
    raises RuntimeError in ``sys.settrace`` where two threads start under coverage.
    """
    names: list[str] = []

    def noting(opens: Callable[..., Any]) -> Callable[..., Any]:
        def note_and_open(path: Any, *arguments: Any, **options: Any) -> Any:
            if not isinstance(path, int):
                names.append(os.path.basename(os.fsdecode(path)))
            return opens(path, *arguments, **options)

        return note_and_open

    with pytest.MonkeyPatch.context() as patch:
        for where, name in ((os, "open"), (io, "open"), (builtins, "open")):
            patch.setattr(where, name, noting(getattr(where, name)))
        yield names


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
@pytest.mark.parametrize("own", [True, False], ids=["itself", "underlay"])
def test_import_of_an_open_container_is_refused_and_never_opens_it(
    make_vfs: Callable[..., Vfs], source: Path, *, follow: bool, end: str, own: bool
) -> None:
    beside = make_vfs(source / "c.db")
    beside.write_text("/x", "of the container")
    vfs = beside if own else make_vfs()
    if not own:
        vfs.add_underlay(beside)
    os.link(source / f"c.db{end}", source / "innocent")
    hidden = [name for name in os.listdir(source) if name.startswith("c.db")]
    before = rows(vfs)

    with opened() as names, pytest.raises(OSError) as caught:
        vfs.import_tree(source, "/in", exclude="c.db*", follow_symlinks=follow)

    assert caught.value.errno == errno.EBUSY
    assert caught.value.filename == str(source / "innocent")
    assert not {"innocent", *hidden} & {*names}
    assert rows(vfs) == before


def test_import_that_skips_errors_leaves_open_containers_out(
    make_vfs: Callable[..., Vfs], source: Path
) -> None:
    vfs = make_vfs(source / "c.db")
    vfs.write_text("/x", "of the container")
    (source / "alias").symlink_to("c.db")
    hidden = {name for name in os.listdir(source) if name.startswith("c.db")}

    with opened() as names:
        report = vfs.import_tree(source, "/in", errors="skip")

    assert {os.path.basename(path) for path, _ in report.failures} == hidden
    assert all(error.errno == errno.EBUSY for _, error in report.failures)
    assert not hidden & {*names}
    assert "f" in names  # who is refused is not who cannot be seen
    assert vfs.readlink("/in/alias") == "c.db"
    assert vfs.read_bytes("/in/d/f") == b"f"


def test_import_of_an_open_container_through_a_link_is_refused(
    make_vfs: Callable[..., Vfs], source: Path, tmp_path: Path
) -> None:
    vfs = make_vfs(tmp_path / "c.db")
    vfs.write_text("/x", "of the container")
    (source / "alias").symlink_to(tmp_path / "c.db")

    with opened() as names, pytest.raises(OSError) as caught:
        vfs.import_tree(source, "/in", follow_symlinks=True)

    assert caught.value.errno == errno.EBUSY
    assert caught.value.filename == str(source / "alias")
    assert not {"alias", "c.db"} & {*names}
