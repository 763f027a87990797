"""Commands that carry files: put, get, cp, mv, between containers and the host."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from tests import ground
from tests.cli.running import FILES, lstat, ok, refused, run, tree, with_

HOST = not hasattr(os, "chmod") or os.name != "posix"
posix = pytest.mark.skipif(HOST, reason="modes of the host are POSIX's")

ODD = (
    "a b",
    "-n",
    "ünï",
    "e\u0301",
    "*",
    "[x]",
    "a:b",
    "%41",
    "'\"",
    "back\\slash",
    "\U0001f600",
)
"""Names that a command may mistake for something else."""


# --- put and get ----------------------------------------------------------------------


def test_put_a_file_at_a_new_path_gives_it_that_name(game: Path) -> None:
    Path("host.txt").write_bytes(b"1")

    ok("put", "host.txt", "game.db:/new.txt")

    assert tree() == with_(**{"/new.txt": b"1"})


def test_put_files_into_a_directory_keeps_their_names(game: Path) -> None:
    Path("one.txt").write_bytes(b"1")
    Path("two.txt").write_bytes(b"2")

    ok("put", "one.txt", "two.txt", "game.db:/empty")

    assert tree() == with_(**{"/empty/one.txt": b"1", "/empty/two.txt": b"2"})


def test_put_a_directory_needs_r(game: Path) -> None:
    Path("tree/sub").mkdir(parents=True)
    Path("tree/sub/f").write_bytes(b"f")
    before = ground.dump_of(game)

    refused("put", "tree", "game.db:/empty")
    unchanged = ground.dump_of(game)
    ok("put", "-r", "tree", "game.db:/empty")

    assert unchanged == before
    assert tree() == with_(
        **{"/empty/tree": None, "/empty/tree/sub": None, "/empty/tree/sub/f": b"f"}
    )


@posix
def test_put_with_p_keeps_mode_and_times(game: Path) -> None:
    Path("host.sh").write_bytes(b"1")
    os.chmod("host.sh", 0o750)
    os.utime("host.sh", ns=(1_111_111_111_000_000_000, 1_222_222_222_123_456_000))

    ok("put", "-p", "host.sh", "game.db:/host.sh")

    found = lstat("/host.sh")
    assert stat.S_IMODE(found.st_mode) == 0o750
    assert found.st_mtime_ns == 1_222_222_222_123_456_000


def test_put_what_is_missing_names_the_host_path(game: Path) -> None:
    before = ground.dump_of(game)

    line = refused("put", "none.txt", "game.db:/new.txt")

    assert line.startswith("stratavfs: none.txt: No such file or directory")
    assert ground.dump_of(game) == before


def test_get_a_file_writes_its_bytes(game: Path) -> None:
    ok("get", "game.db:/all.bin", "out.bin")

    assert Path("out.bin").read_bytes() == bytes(range(256))


def test_get_files_into_a_directory_keeps_their_names(game: Path) -> None:
    Path("out").mkdir()

    ok("get", "game.db:/readme.txt", "game.db:/docs/a.md", "out")

    assert sorted(os.listdir("out")) == ["a.md", "readme.txt"]
    assert Path("out/a.md").read_bytes() == FILES["/docs/a.md"]


def test_get_a_directory_needs_r(game: Path) -> None:
    refused("get", "game.db:/docs", "out")
    missing = not Path("out").exists()
    ok("get", "-r", "game.db:/docs", "out")

    assert missing
    assert sorted(os.listdir("out")) == ["a.md", "b.md", "deep", "up"]
    assert os.readlink("out/up") == "../readme.txt"


@posix
def test_get_with_p_keeps_mode_and_times(game: Path) -> None:
    ok("get", "-p", "game.db:/bin/run.sh", "run.sh")

    found = os.stat("run.sh")
    assert stat.S_IMODE(found.st_mode) == 0o755
    assert found.st_mtime_ns // 1000 == lstat("/bin/run.sh").st_mtime_ns // 1000


def test_get_what_is_missing_names_the_place(game: Path) -> None:
    line = refused("get", "game.db:/none", "out")

    assert line.startswith("stratavfs: game.db:/none: No such file or directory")
    assert not Path("out").exists()


# --- cp -------------------------------------------------------------------------------


def test_cp_within_a_container_copies_the_bytes(game: Path) -> None:
    ok("cp", "game.db:/all.bin", "game.db:/empty/copy.bin")

    assert tree() == with_(**{"/empty/copy.bin": bytes(range(256))})


def test_cp_between_containers_copies_the_bytes(game: Path, empty: Path) -> None:
    ok("cp", "game.db:/all.bin", "empty.db:/")

    assert ground.tree_of(empty) == {"/all.bin": bytes(range(256))}


def test_cp_from_and_to_the_host_copies_the_bytes(game: Path) -> None:
    ok("cp", "game.db:/all.bin", "out.bin")
    ok("cp", "out.bin", "game.db:/back.bin")

    assert tree() == with_(**{"/back.bin": bytes(range(256))})


def test_cp_a_directory_needs_r(game: Path) -> None:
    before = ground.dump_of(game)

    line = refused("cp", "game.db:/docs", "game.db:/empty")

    assert "game.db:/docs" in line
    assert "-r" in line
    assert ground.dump_of(game) == before


def test_cp_r_between_containers_copies_all_below(game: Path, empty: Path) -> None:
    ok("cp", "-r", "game.db:/docs", "empty.db:/papers")

    assert ground.tree_of(empty) == {
        path.replace("/docs", "/papers"): content
        for path, content in FILES.items()
        if path.startswith("/docs")
    }


def test_cp_r_into_itself_refuses_and_changes_nothing(game: Path) -> None:
    before = ground.dump_of(game)

    line = refused("cp", "-r", "game.db:/docs", "game.db:/docs/deep/again")

    assert "game.db:/docs" in line
    assert ground.dump_of(game) == before


def test_cp_with_n_leaves_what_is_there(game: Path) -> None:
    before = ground.dump_of(game)

    run("cp", "-n", "game.db:/all.bin", "game.db:/readme.txt")

    assert ground.dump_of(game) == before


def test_cp_onto_a_file_replaces_it(game: Path) -> None:
    ok("cp", "game.db:/all.bin", "game.db:/readme.txt")

    assert tree() == with_(**{"/readme.txt": bytes(range(256))})


def test_cp_with_v_says_what_it_does(game: Path) -> None:
    ran = ok("cp", "-v", "game.db:/readme.txt", "game.db:/new.txt")

    assert ran.text == "'game.db:/readme.txt' -> 'game.db:/new.txt'\n"


def test_cp_several_onto_a_file_is_refused(game: Path) -> None:
    before = ground.dump_of(game)

    ran = run("cp", "game.db:/readme.txt", "game.db:/all.bin", "game.db:/docs/a.md")

    assert ran.code in (1, 2)
    assert "docs/a.md" in ran.err
    assert ground.dump_of(game) == before


@pytest.mark.parametrize("name", ODD)
def test_cp_keeps_odd_names(game: Path, name: str) -> None:
    Path("host", name).parent.mkdir()
    Path("host", name).write_bytes(name.encode())

    ok("cp", f"./host/{name}", f"game.db:/empty/{name}")
    ok("cp", f"game.db:/empty/{name}", "./out")

    assert tree() == with_(**{f"/empty/{name}": name.encode()})
    assert Path("out").read_bytes() == name.encode()


def test_cp_of_a_host_path_with_a_colon_begins_with_a_dot(game: Path) -> None:
    Path("a:b").write_bytes(b"host")

    ok("cp", "./a:b", "game.db:/new")

    assert tree() == with_(**{"/new": b"host"})


# --- mv -------------------------------------------------------------------------------


def test_mv_within_a_container_keeps_the_inode(game: Path) -> None:
    inode = lstat("/readme.txt").st_ino

    ok("mv", "game.db:/readme.txt", "game.db:/empty/")

    assert "/readme.txt" not in tree()
    assert lstat("/empty/readme.txt").st_ino == inode


def test_mv_between_containers_moves_the_tree(game: Path, empty: Path) -> None:
    ok("mv", "game.db:/docs", "empty.db:/docs")

    assert not [path for path in tree() if path.startswith("/docs")]
    assert ground.tree_of(empty) == {
        path: content for path, content in FILES.items() if path.startswith("/docs")
    }


def test_mv_to_and_from_the_host_moves_the_file(game: Path) -> None:
    ok("mv", "game.db:/all.bin", "out.bin")
    gone = "/all.bin" not in tree()
    ok("mv", "out.bin", "game.db:/all.bin")

    assert gone
    assert tree() == FILES
    assert not Path("out.bin").exists()


def test_mv_with_n_leaves_what_is_there(game: Path) -> None:
    before = ground.dump_of(game)

    run("mv", "-n", "game.db:/all.bin", "game.db:/readme.txt")

    assert ground.dump_of(game) == before


def test_mv_into_itself_refuses_and_changes_nothing(game: Path) -> None:
    before = ground.dump_of(game)

    refused("mv", "game.db:/docs", "game.db:/docs/deep/docs")

    assert ground.dump_of(game) == before


def test_mv_of_a_directory_onto_a_file_refuses_and_changes_nothing(game: Path) -> None:
    before = ground.dump_of(game)

    refused("mv", "-f", "game.db:/docs", "game.db:/readme.txt")

    assert ground.dump_of(game) == before


# --- all or nothing -------------------------------------------------------------------


@pytest.mark.parametrize("command", ["get", "cp", "mv"])
def test_copying_out_of_which_a_part_fails_tells_the_truth(
    game: Path, command: str
) -> None:
    Path("out").mkdir()
    before = ground.dump_of(game)

    line = refused(command, "game.db:/readme.txt", "game.db:/none", "out")

    assert "game.db:/none: No such file or directory" in line
    assert ground.dump_of(game) == before
    assert os.listdir("out") == [] or "nothing was changed" not in line
