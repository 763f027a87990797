"""Copying where a side is on the host: links, modes, names, and what is refused."""

from __future__ import annotations

import builtins
import errno
import os
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.cli.running import FILES, lstat, mode_of, ok, refused, run, tree, with_

from stratavfs import VirtualFileSystem
from stratavfs.cli import _copier

if TYPE_CHECKING:
    from collections.abc import Callable

posix = pytest.mark.skipif(os.name != "posix", reason="modes and links are POSIX's")


def change(make: Callable[[VirtualFileSystem], object]) -> None:
    """Let *make* change ``game.db``."""
    with VirtualFileSystem("game.db") as vfs:
        make(vfs)


def tree_of_host(top: str) -> dict[str, bytes | str | None]:
    """Return what is below *top*: bytes of files, targets of links, None."""
    return {
        path.relative_to(top).as_posix(): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in Path(top).rglob("*")
    }


def broken_after(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let copying fail with EIO when *size* bytes of a file are written."""

    def carry(source: Any, target: Any, _: object) -> None:
        target.write(source.read(size))
        raise OSError(errno.EIO, os.strerror(errno.EIO), "the source")

    monkeypatch.setattr(_copier, "carry", carry)


# --- operands -------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["cp", "mv"])
@pytest.mark.parametrize("operands", [(), ("game.db:/readme.txt",)])
def test_copying_without_a_target_is_a_usage_error(
    game: Path, command: str, operands: tuple[str, ...]
) -> None:
    before = ground.dump_of(game)

    line = refused(command, *operands, code=2)

    assert "name what is copied, and where to" in line
    assert ground.dump_of(game) == before


@pytest.mark.parametrize("command", ["cp", "mv"])
def test_copying_between_host_files_alone_is_a_usage_error(
    work: Path, command: str
) -> None:
    Path("a").write_bytes(b"a")

    line = refused(command, "a", "b", code=2)

    assert "write one as DB:/path" in line
    assert tree_of_host(".") == {"a": b"a"}


def test_get_of_one_place_writes_to_the_current_directory(game: Path) -> None:
    ok("get", "game.db:/docs/a.md")

    assert Path("a.md").read_bytes() == FILES["/docs/a.md"]


def test_cp_of_two_files_of_one_name_refuses_and_changes_nothing(game: Path) -> None:
    Path("a.md").write_bytes(b"host")
    before = ground.dump_of(game)

    line = refused("cp", "a.md", "game.db:/docs/a.md", "game.db:/empty")

    assert "game.db:/docs/a.md: another one goes to /empty/a.md" in line
    assert ground.dump_of(game) == before


def test_cp_to_a_file_as_a_directory_refuses_and_changes_nothing(game: Path) -> None:
    before = ground.dump_of(game)

    missing = refused("cp", "game.db:/readme.txt", "game.db:/new/")
    source = refused("cp", "game.db:/readme.txt/", "out")

    assert missing == "stratavfs: game.db:/new/: Not a directory"
    assert source.startswith("stratavfs: game.db:/readme.txt/: Not a directory")
    assert ground.dump_of(game) == before
    assert not Path("out").exists()


@pytest.mark.parametrize("target", ["game.db:/empty", "out"])
def test_cp_of_a_file_to_where_a_directory_is_refuses(game: Path, target: str) -> None:
    change(lambda vfs: vfs.makedirs("/empty/readme.txt"))
    Path("out/readme.txt").mkdir(parents=True)
    before = ground.dump_of(game)

    line = refused("cp", "game.db:/readme.txt", target)

    assert f"{target}/readme.txt: a directory is where a file is to come" in line
    assert ground.dump_of(game) == before
    assert tree_of_host("out") == {"readme.txt": None}


def test_cp_into_a_name_that_the_host_has_not_refuses(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(lambda vfs: vfs.write_bytes("/a:b", b"1"))
    Path("out").mkdir()
    windows = types.SimpleNamespace(**{**vars(os), "name": "nt"})
    monkeypatch.setattr(_copier, "os", windows)

    line = refused("cp", "game.db:/a:b", "out")
    ok("cp", "game.db:/readme.txt", "out")

    assert "a:b: no file of this host is called so" in line
    assert tree_of_host("out") == {"readme.txt": b"hello\n"}


# --- files ----------------------------------------------------------------------------


def test_cp_among_several_may_go_from_host_to_host(game: Path) -> None:
    Path("a").write_bytes(b"a")
    Path("out").mkdir()

    ok("cp", "a", "game.db:/readme.txt", "out")

    assert tree_of_host("out") == {"a": b"a", "readme.txt": b"hello\n"}


def test_cp_of_a_host_file_onto_itself_refuses_and_keeps_it(game: Path) -> None:
    Path("out").mkdir()
    Path("out/a").write_bytes(b"a")

    line = refused("cp", "out/a", "game.db:/readme.txt", "out")

    assert "out/a: this and out/a are the same file" in line
    assert tree_of_host("out") == {"a": b"a"}


def test_cp_within_a_container_onto_itself_refuses_and_keeps_it(game: Path) -> None:
    before = ground.dump_of(game)

    line = refused("cp", "game.db:/readme.txt", "game.db:/link")

    assert "game.db:/link are the same file" in line
    assert ground.dump_of(game) == before


def test_cp_onto_a_file_of_the_other_side_replaces_it(game: Path) -> None:
    Path("host").write_bytes(b"longer than the other one")

    ok("cp", "game.db:/readme.txt", "host")
    ok("cp", "host", "game.db:/all.bin")

    assert Path("host").read_bytes() == b"hello\n"
    assert tree() == with_(**{"/all.bin": b"hello\n"})


@posix
def test_cp_over_a_host_file_keeps_its_mode_unless_told(game: Path) -> None:
    Path("old").write_bytes(b"1")
    os.chmod("old", 0o600)
    mask = os.umask(0o027)

    try:
        ok("cp", "game.db:/bin/run.sh", "old")
        ok("cp", "game.db:/bin/run.sh", "new")
        ok("cp", "-p", "game.db:/bin/run.sh", "same")
    finally:
        os.umask(mask)

    modes = {name: os.stat(name).st_mode & 0o7777 for name in ("old", "new", "same")}
    assert modes == {"old": 0o600, "new": 0o750, "same": 0o755}


@posix
def test_cp_over_a_file_in_a_container_keeps_its_mode_unless_told(game: Path) -> None:
    ok("cp", "game.db:/bin/run.sh", "game.db:/readme.txt")
    kept = mode_of("/readme.txt")
    ok("cp", "-p", "game.db:/bin/run.sh", "game.db:/readme.txt")

    assert (kept, mode_of("/readme.txt")) == (0o644, 0o755)


def test_cp_with_p_within_a_container_keeps_times_and_attributes(game: Path) -> None:
    change(lambda vfs: vfs.set_metadata("/readme.txt", {"author": "Ada"}))

    ok("cp", "-p", "game.db:/readme.txt", "game.db:/kept")
    ok("cp", "game.db:/readme.txt", "game.db:/plain")

    with VirtualFileSystem("game.db", read_only=True) as vfs:
        assert vfs.get_metadata("/kept") == {"author": "Ada"}
        assert vfs.get_metadata("/plain") == {}
    assert lstat("/kept").st_mtime_ns == lstat("/readme.txt").st_mtime_ns
    assert lstat("/plain").st_mtime_ns > lstat("/readme.txt").st_mtime_ns


def test_cp_with_f_replaces_what_cannot_be_opened(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("locked").write_bytes(b"old")
    inode = os.stat("locked").st_ino

    def opened(path: str, mode: str = "r", **settings: Any) -> object:
        if path == "locked" and os.path.exists(path) and "w" in mode:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return builtins.open(path, mode, **settings)

    monkeypatch.setattr(_copier, "open", opened, raising=False)

    line = refused("cp", "game.db:/readme.txt", "locked")
    kept = Path("locked").read_bytes(), os.stat("locked").st_ino
    ok("cp", "-f", "game.db:/readme.txt", "locked")

    assert line.startswith("stratavfs: locked: Permission denied")
    assert kept == (b"old", inode)
    assert Path("locked").read_bytes() == b"hello\n"


def test_cp_that_fails_takes_a_new_host_file_away(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("old").write_bytes(b"old")
    broken_after(monkeypatch, 3)

    line = refused("cp", "game.db:/readme.txt", "new")
    refused("cp", "game.db:/readme.txt", "old")

    assert line == f"stratavfs: the source: {os.strerror(errno.EIO)}"
    assert not Path("new").exists()
    assert Path("old").read_bytes() == b"hel"


def test_cp_that_fails_leaves_the_container_as_it_was(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("host").write_bytes(b"longer")
    before = ground.dump_of(game)
    broken_after(monkeypatch, 3)

    refused("cp", "host", "game.db:/readme.txt")

    assert ground.dump_of(game) == before


# --- links ----------------------------------------------------------------------------


@posix
def test_cp_r_of_a_link_copies_the_link_both_ways(game: Path) -> None:
    os.symlink("elsewhere", "host-link")

    ok("cp", "-r", "game.db:/link", "out")
    ok("cp", "-r", "host-link", "game.db:/host-link")
    ok("cp", "-r", "game.db:/docs/up", "game.db:/up")

    assert os.readlink("out") == "readme.txt"
    assert tree() == with_(**{"/host-link": "elsewhere", "/up": "../readme.txt"})


@posix
def test_cp_r_of_a_link_replaces_what_is_there(game: Path) -> None:
    os.symlink("elsewhere", "host-link")
    Path("file").write_bytes(b"1")

    ok("cp", "-r", "game.db:/link", "file")
    ok("cp", "-r", "host-link", "game.db:/all.bin")

    assert os.readlink("file") == "readme.txt"
    assert tree() == with_(**{"/all.bin": "elsewhere"})


@posix
def test_cp_without_r_copies_what_a_link_leads_to(game: Path) -> None:
    ok("cp", "game.db:/link", "out")

    assert not os.path.islink("out")
    assert Path("out").read_bytes() == b"hello\n"


def test_cp_a_within_a_container_keeps_hard_links(game: Path) -> None:
    change(lambda vfs: vfs.link("/docs/a.md", "/docs/deep/a.md"))

    ok("cp", "-a", "game.db:/docs", "game.db:/linked")
    ok("cp", "-r", "game.db:/docs", "game.db:/single")

    with VirtualFileSystem("game.db", read_only=True) as vfs:
        assert vfs.samefile("/linked/a.md", "/linked/deep/a.md")
        assert not vfs.samefile("/linked/a.md", "/docs/a.md")
        assert not vfs.samefile("/single/a.md", "/single/deep/a.md")
        assert vfs.lstat("/linked/a.md").st_nlink == 2


def test_cp_a_again_over_linked_files_changes_their_bytes(game: Path) -> None:
    change(lambda vfs: vfs.link("/docs/a.md", "/docs/deep/a.md"))
    ok("cp", "-a", "game.db:/docs", "game.db:/empty")
    change(lambda vfs: vfs.write_bytes("/docs/a.md", b"new"))

    ok("cp", "-a", "game.db:/docs", "game.db:/empty")

    found = tree()
    assert found["/empty/docs/a.md"] == found["/empty/docs/deep/a.md"] == b"new"


# --- trees ----------------------------------------------------------------------------


def test_cp_r_of_a_host_tree_to_the_host_refuses(game: Path) -> None:
    Path("tree").mkdir()
    Path("out").mkdir()

    line = refused("cp", "-r", "tree", "game.db:/readme.txt", "out")

    assert line.startswith("stratavfs: tree: this goes from host to host: use cp")
    assert tree_of_host("out") == {}


def test_cp_r_onto_a_file_where_a_directory_comes_refuses(game: Path) -> None:
    change(lambda vfs: vfs.write_bytes("/empty/docs/deep", b"in the way"))
    before = ground.dump_of(game)

    below = refused("cp", "-r", "game.db:/docs", "game.db:/empty")
    itself = refused("cp", "-r", "game.db:/docs", "game.db:/readme.txt")

    assert "game.db:/empty/docs/deep: File exists" in below
    assert "game.db:/readme.txt: it is where a directory is to come" in itself
    assert ground.dump_of(game) == before


def test_cp_r_with_n_adds_what_is_missing(game: Path) -> None:
    change(lambda vfs: vfs.write_bytes("/empty/docs/a.md", b"mine"))
    Path("out/docs").mkdir(parents=True)
    Path("out/docs/a.md").write_bytes(b"mine")

    ok("cp", "-rn", "game.db:/docs", "game.db:/empty")
    ok("cp", "-rn", "game.db:/docs", "out")

    assert tree()["/empty/docs/a.md"] == b"mine"
    assert tree()["/empty/docs/b.md"] == FILES["/docs/b.md"]
    assert Path("out/docs/a.md").read_bytes() == b"mine"
    assert Path("out/docs/b.md").read_bytes() == FILES["/docs/b.md"]


# --- mv -------------------------------------------------------------------------------


def test_mv_of_a_host_tree_takes_it_away_when_it_is_kept(game: Path) -> None:
    Path("tree/sub").mkdir(parents=True)
    Path("tree/sub/f").write_bytes(b"f")
    Path("single").write_bytes(b"1")

    ran = ok("mv", "-v", "tree", "single", "game.db:/empty")

    assert ran.lines == [
        "renamed 'tree' -> 'game.db:/empty/tree'",
        "renamed 'single' -> 'game.db:/empty/single'",
    ]
    assert tree_of_host(".").keys() == {"game.db"}
    assert tree()["/empty/tree/sub/f"] == b"f"
    assert tree()["/empty/single"] == b"1"


@posix
def test_mv_of_a_host_link_to_a_directory_keeps_the_directory(game: Path) -> None:
    Path("tree").mkdir()
    Path("tree/f").write_bytes(b"f")
    os.symlink("tree", "way")

    ok("mv", "way", "game.db:/way")

    assert tree_of_host("tree") == {"f": b"f"}
    assert not os.path.lexists("way")
    assert tree() == with_(**{"/way": "tree"})


def test_mv_of_a_host_file_that_fails_keeps_it(game: Path) -> None:
    Path("one").write_bytes(b"1")
    before = ground.dump_of(game)

    line = refused("mv", "one", "missing", "game.db:/empty")

    assert line == (
        "stratavfs: missing: No such file or directory; nothing was changed"
    )
    assert Path("one").read_bytes() == b"1"
    assert ground.dump_of(game) == before


def test_mv_of_a_directory_out_of_its_container_takes_it_away(game: Path) -> None:
    ok("mv", "game.db:/docs/deep", "game.db:/readme.txt", ".")

    assert Path("deep/long.txt").read_bytes() == FILES["/docs/deep/long.txt"]
    assert Path("readme.txt").read_bytes() == b"hello\n"
    gone = ("/docs/deep", "/docs/deep/long.txt", "/readme.txt")
    assert tree() == {path: what for path, what in FILES.items() if path not in gone}


def test_mv_of_a_directory_onto_a_filled_one_refuses_both_ways(game: Path) -> None:
    for top in ("docs", "empty/docs", "out/docs"):
        Path(top).mkdir(parents=True)
    Path("out/docs/mine").touch()
    before = ground.dump_of(game)

    outward = refused("mv", "game.db:/docs", "out")
    inward = refused("mv", "docs", "game.db:/")
    ok("mv", "game.db:/docs", "empty")

    why = os.strerror(errno.ENOTEMPTY)
    assert outward == f"stratavfs: out/docs: {why}"
    assert inward.startswith(f"stratavfs: game.db:/docs: {why}")
    assert tree_of_host("out") == {"docs": None, "docs/mine": b""}
    assert Path("empty/docs/a.md").read_bytes() == FILES["/docs/a.md"]
    assert ground.dump_of(game) != before


@pytest.mark.parametrize("source", ["game.db:/", "game.db:/docs/.."])
def test_mv_of_a_root_refuses_and_changes_nothing(game: Path, source: str) -> None:
    before = ground.dump_of(game)

    line = refused("mv", source, "out")

    assert line.startswith(f"stratavfs: {source}: this stays where it is")
    assert ground.dump_of(game) == before
    assert not Path("out").exists()


def test_mv_of_one_name_of_a_file_onto_the_other_leaves_that_one(game: Path) -> None:
    change(lambda vfs: vfs.link("/readme.txt", "/other"))

    ok("mv", "game.db:/other", "game.db:/readme.txt")

    assert tree() == FILES
    assert lstat("/readme.txt").st_nlink == 1


def test_mv_onto_itself_refuses_and_keeps_it(game: Path) -> None:
    before = ground.dump_of(game)

    line = refused("mv", "game.db:/readme.txt", "game.db:/docs/../readme.txt")

    assert "are the same file" in line
    assert ground.dump_of(game) == before


def test_mv_with_n_of_a_host_file_keeps_both(game: Path) -> None:
    Path("readme.txt").write_bytes(b"mine")

    ran = run("mv", "-nv", "readme.txt", "game.db:/")

    assert (ran.code, ran.out) == (0, b"")
    assert Path("readme.txt").read_bytes() == b"mine"
    assert tree() == FILES
