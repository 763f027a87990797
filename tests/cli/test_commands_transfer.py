"""Commands that move trees and archives: import, export, archive."""

from __future__ import annotations

import io
import os
import stat
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests import ground
from tests.cli.running import FILES, ok, refused, run

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

TREE: ground.Tree = {
    "/bin": None,
    "/bin/run.sh": b"#!/bin/sh\n",
    "/bin/tool": "run.sh",
    "/doc": None,
    "/doc/a b.txt": b"spaces",
    "/doc/ünï.txt": b"umlauts",
    "/void": None,
    "/x.bin": bytes(range(256)),
}

posix = pytest.mark.skipif(os.name != "posix", reason="links and modes are POSIX's")
pytestmark = posix


@pytest.fixture
def host(work: Path) -> Path:
    """The directory ``host``, with TREE in it."""
    top = work / "host"
    top.mkdir()
    for path, content in TREE.items():
        if content is None:
            (top / path[1:]).mkdir()
        elif isinstance(content, bytes):
            (top / path[1:]).write_bytes(content)
        else:
            (top / path[1:]).symlink_to(content)
        if not isinstance(content, str):
            os.utime(top / path[1:], ns=(10**18, 1_234_567_890_000_000_000))
    (top / "bin/run.sh").chmod(0o755)
    return top


def host_tree(top: str | Path) -> ground.Tree:
    """Return what is on the host below *top*, in the words of ``ground.tree_of``."""
    found: ground.Tree = {}
    for path in Path(top).rglob("*"):
        name = f"/{path.relative_to(top).as_posix()}"
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


def below(prefix: str, tree: ground.Tree) -> ground.Tree:
    return {prefix + path: content for path, content in tree.items()}


# --- import ---------------------------------------------------------------------------


def test_import_brings_the_tree_with_modes_times_and_links(
    host: Path, empty: Path
) -> None:
    ok("import", "host", "empty.db:/")

    assert ground.tree_of(empty) == TREE
    with VirtualFileSystem(empty, read_only=True) as vfs:
        assert stat.S_IMODE(vfs.stat("/bin/run.sh").st_mode) == 0o755
        assert vfs.stat("/x.bin").st_mtime_ns == 1_234_567_890_000_000_000


def test_import_below_a_path_makes_it(host: Path, game: Path) -> None:
    ok("import", "host", "game.db:/mods/new")

    assert ground.tree_of(game) == {
        **FILES,
        "/mods": None,
        "/mods/new": None,
        **below("/mods/new", TREE),
    }


@pytest.mark.parametrize("flag", ["--create", "-c"])
def test_import_with_create_makes_the_container(host: Path, flag: str) -> None:
    ok("import", flag, "host", "new.db:/")

    assert ground.tree_of("new.db") == TREE


def test_import_that_fails_leaves_no_container_it_created(work: Path) -> None:
    line = refused("import", "--create", "none", "new.db:/")

    assert line.startswith("stratavfs: none: No such file or directory")
    assert not Path("new.db").exists()


def test_import_onto_another_file_refuses_and_changes_nothing(
    host: Path, game: Path
) -> None:
    (host / "readme.txt").write_bytes(b"theirs")
    before = ground.dump_of(game)

    line = refused("import", "host", "game.db:/")

    assert line.startswith("stratavfs: game.db:/readme.txt: ")
    assert "--on-conflict" in line
    assert ground.dump_of(game) == before


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("skip", b"hello\n"), ("replace", b"theirs"), ("newer", b"hello\n")],
)
def test_import_with_on_conflict_does_as_it_says(
    host: Path, game: Path, choice: str, expected: bytes
) -> None:
    (host / "readme.txt").write_bytes(b"theirs")
    os.utime(host / "readme.txt", (1, 1))

    ok("import", "--on-conflict", choice, "host", "game.db:/")

    found = ground.tree_of(game)
    assert found["/readme.txt"] == expected
    assert found["/doc/a b.txt"] == b"spaces"


def test_import_with_an_unknown_choice_is_a_usage_error(host: Path, game: Path) -> None:
    line = refused("import", "--on-conflict", "ask", "host", "game.db:/", code=2)

    assert "'ask'" in line


def test_import_again_finds_everything_unchanged(host: Path, empty: Path) -> None:
    ok("import", "host", "empty.db:/")
    before = ground.dump_of(empty)

    ok("import", "host", "empty.db:/")

    assert ground.dump_of(empty) == before


def test_import_with_checksum_sees_what_times_hide(host: Path, empty: Path) -> None:
    ok("import", "host", "empty.db:/")
    kept = os.stat(host / "x.bin")
    (host / "x.bin").write_bytes(bytes(256))
    os.utime(host / "x.bin", ns=(kept.st_atime_ns, kept.st_mtime_ns))

    ok("import", "--on-conflict", "replace", "host", "empty.db:/")
    unseen = ground.tree_of(empty)["/x.bin"]
    ok("import", "--checksum", "--on-conflict", "replace", "host", "empty.db:/")

    assert unseen == bytes(range(256))
    assert ground.tree_of(empty)["/x.bin"] == bytes(256)


def test_import_with_include_and_exclude_takes_those(host: Path, empty: Path) -> None:
    ok(
        *("import", "--include", "*.txt", "--include", "*.bin"),
        *("--exclude", "ü*", "host", "empty.db:/"),
    )

    assert ground.tree_of(empty) == {
        path: TREE[path] for path in ("/doc", "/doc/a b.txt", "/x.bin")
    }


def test_import_with_l_follows_links(host: Path, empty: Path) -> None:
    ok("import", "-L", "host", "empty.db:/")

    assert ground.tree_of(empty)["/bin/tool"] == b"#!/bin/sh\n"


def test_import_of_a_special_file_refuses_unless_skipped(
    host: Path, empty: Path
) -> None:
    os.mkfifo(host / "pipe")
    before = ground.dump_of(empty)

    line = refused("import", "host", "empty.db:/")
    unchanged = ground.dump_of(empty)
    ran = run("import", "--skip-errors", "host", "empty.db:/")

    assert "host/pipe" in line
    assert unchanged == before
    assert ran.code == 1
    assert "host/pipe" in ran.err
    assert ground.tree_of(empty) == TREE


def test_import_without_preserved_modes_sets_the_usual_ones(
    host: Path, empty: Path
) -> None:
    ok("import", "--preserve", "timestamps", "host", "empty.db:/")

    with VirtualFileSystem(empty, read_only=True) as vfs:
        found = vfs.stat("/bin/run.sh")
    assert stat.S_IMODE(found.st_mode) == 0o644
    assert found.st_mtime_ns == 1_234_567_890_000_000_000


def test_import_of_a_file_in_place_of_a_tree_is_refused(game: Path) -> None:
    Path("file").touch()
    before = ground.dump_of(game)

    line = refused("import", "file", "game.db:/")

    assert line.startswith("stratavfs: file: ")
    assert "no directory" in line
    assert ground.dump_of(game) == before


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_import_of_a_name_that_is_no_text_names_it(host: Path, empty: Path) -> None:
    before = ground.dump_of(empty)
    with open(os.fsencode(host) + b"/\xff", "wb"):
        pass

    line = refused("import", "host", "empty.db:/")

    assert line.startswith("stratavfs: host/\\udcff: ")
    assert ground.dump_of(empty) == before


# --- export ---------------------------------------------------------------------------


def test_export_writes_the_tree(game: Path) -> None:
    ok("export", "game.db:/", "out")

    assert host_tree("out") == FILES
    assert stat.S_IMODE(os.stat("out/bin/run.sh").st_mode) == 0o755


def test_export_of_a_part_writes_what_is_below(game: Path) -> None:
    ok("export", "game.db:/docs", "out")

    assert host_tree("out") == {
        path.removeprefix("/docs"): content
        for path, content in FILES.items()
        if path.startswith("/docs/")
    }


def test_export_of_a_stack_writes_the_merged_view(host: Path, game: Path) -> None:
    ok("export", "--underlay", "host", "game.db:/", "out")

    assert host_tree("out") == {**TREE, **FILES}


def test_export_onto_another_file_refuses(game: Path) -> None:
    Path("out").mkdir()
    Path("out/readme.txt").write_bytes(b"mine")

    line = refused("export", "game.db:/", "out")

    assert line.startswith("stratavfs: out/readme.txt: ")
    assert "--on-conflict" in line
    assert Path("out/readme.txt").read_bytes() == b"mine"


def test_export_never_leaves_its_directory(game: Path) -> None:
    Path("elsewhere").mkdir()
    Path("out").mkdir()
    Path("out/docs").symlink_to("../elsewhere")

    ran = run("export", "--on-conflict", "replace", "game.db:/", "out")

    assert ran.code == 0
    assert os.listdir("elsewhere") == []
    assert host_tree("out") == FILES


def test_export_with_exclude_leaves_out(game: Path) -> None:
    ok("export", "--exclude", "docs/", "game.db:/", "out")

    assert host_tree("out") == {
        path: content for path, content in FILES.items() if not path.startswith("/docs")
    }


def test_export_and_import_again_is_equal(game: Path, empty: Path) -> None:
    ok("export", "game.db:/", "out")
    ok("import", "out", "empty.db:/")

    assert ground.tree_of(empty) == FILES


# --- archive --------------------------------------------------------------------------


def names_in(path: str) -> list[str]:
    if path.endswith(".zip"):
        with zipfile.ZipFile(path) as file:
            return sorted(name.rstrip("/") for name in file.namelist())
    with tarfile.open(path) as file:
        return sorted(file.getnames())


@pytest.mark.parametrize(
    "name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz"]
)
def test_archive_goes_out_and_comes_back(game: Path, empty: Path, name: str) -> None:
    ok("archive", "-c", "-f", name, "game.db:/")
    ok("archive", "-x", "-f", name, "empty.db:/")

    assert names_in(name) == sorted(path[1:] for path in FILES)
    assert ground.tree_of(empty) == FILES


def test_archive_letters_may_stand_together(game: Path, empty: Path) -> None:
    ok("archive", "-cf", "a.tar", "game.db:/docs")
    ok("archive", "-xf", "a.tar", "empty.db:/new")

    assert ground.tree_of(empty)["/new/a.md"] == FILES["/docs/a.md"]


def test_archive_t_lists_the_members(game: Path) -> None:
    ok("archive", "-cf", "a.tar", "game.db:/")

    listed = ok("archive", "-tf", "a.tar").lines

    assert sorted(line.rstrip("/") for line in listed) == names_in("a.tar")


def test_archive_onto_a_file_refuses_and_leaves_it(game: Path) -> None:
    Path("a.tar").write_bytes(b"mine")

    line = refused("archive", "-cf", "a.tar", "game.db:/")

    assert line.startswith("stratavfs: a.tar: File exists")
    assert Path("a.tar").read_bytes() == b"mine"
    assert sorted(os.listdir()) == ["a.tar", "game.db"]


def test_archive_of_no_known_name_needs_a_format(game: Path) -> None:
    line = run("archive", "-cf", "a.stuff", "game.db:/")
    made = Path("a.stuff").exists()
    ok("archive", "-cf", "a.stuff", "--format", "tar", "game.db:/")

    assert line.code in (1, 2)
    assert "a.stuff" in line.err
    assert "--format" in line.err
    assert not made
    assert names_in("a.stuff") == sorted(path[1:] for path in FILES)


def test_archive_without_a_letter_is_a_usage_error(game: Path) -> None:
    line = refused("archive", "-f", "a.tar", "game.db:/", code=2)

    assert "-c" in line
    assert not Path("a.tar").exists()


def test_archive_with_two_letters_is_a_usage_error(game: Path) -> None:
    refused("archive", "-c", "-x", "-f", "a.tar", "game.db:/", code=2)

    assert not Path("a.tar").exists()


def evil_tar(name: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as file:
        file.addfile(tarfile.TarInfo("good.txt"), io.BytesIO())
        file.addfile(tarfile.TarInfo(name), io.BytesIO())
    return made.getvalue()


def device_tar() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as file:
        member = tarfile.TarInfo("null")
        member.type = tarfile.CHRTYPE
        file.addfile(member)
    return made.getvalue()


def cut_tar() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as file:
        member = tarfile.TarInfo("long.bin")
        member.size = 100_000
        file.addfile(member, io.BytesIO(bytes(100_000)))
    return made.getvalue()[:50_000]


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: evil_tar("../up.txt"), "../up.txt"),
        (lambda: evil_tar("/etc/passwd"), "/etc/passwd"),
        (device_tar, "null"),
        (cut_tar, "bad.tar"),
        (lambda: b"this is no archive", "bad.tar"),
        (lambda: b"", "bad.tar"),
    ],
    ids=["up", "absolute", "device", "cut", "none", "empty"],
)
def test_archive_x_of_a_bad_archive_names_it_and_changes_nothing(
    game: Path, make: Callable[[], bytes], named: str
) -> None:
    Path("bad.tar").write_bytes(make())
    before = ground.dump_of(game)

    line = refused("archive", "-xf", "bad.tar", "game.db:/")

    assert line.startswith("stratavfs: bad.tar: ")
    assert named in line
    assert ground.dump_of(game) == before


def test_archive_x_of_a_missing_archive_names_it(game: Path) -> None:
    before = ground.dump_of(game)

    line = refused("archive", "-xf", "none.tar", "game.db:/")

    assert line.startswith("stratavfs: none.tar: No such file or directory")
    assert ground.dump_of(game) == before


def test_archive_x_with_create_makes_the_container(game: Path) -> None:
    ok("archive", "-cf", "a.zip", "game.db:/")

    ok("archive", "-x", "--create", "-f", "a.zip", "new.db:/")

    assert ground.tree_of("new.db") == FILES


def test_archive_x_onto_another_file_needs_on_conflict(game: Path) -> None:
    with tarfile.open("a.tar", "w") as file:
        member = tarfile.TarInfo("readme.txt")
        member.size = 3
        file.addfile(member, io.BytesIO(b"new"))
    before = ground.dump_of(game)

    line = refused("archive", "-xf", "a.tar", "game.db:/")
    unchanged = ground.dump_of(game)
    ok("archive", "-xf", "a.tar", "--on-conflict", "replace", "game.db:/")

    assert "readme.txt" in line
    assert unchanged == before
    assert ground.tree_of(game) == {**FILES, "/readme.txt": b"new"}


def test_archive_in_a_pipe_is_binary(game: Path, empty: Path) -> None:
    made = ok("archive", "-c", "-f", "-", "--format", "tar.gz", "game.db:/").out

    ok("archive", "-x", "-f", "-", "empty.db:/", stdin=made)

    assert ground.tree_of(empty) == FILES
