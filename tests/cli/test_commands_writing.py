"""Commands that change a container: init, write, cp, mv, rm and the like."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests import ground
from tests.cli.running import FILES, lstat, mode_of, ok, refused, run, tree, with_

HOST = not hasattr(os, "chmod") or os.name != "posix"
posix = pytest.mark.skipif(HOST, reason="modes of the host are POSIX's")


# --- init -----------------------------------------------------------------------------


def test_init_makes_an_empty_container(work: Path) -> None:
    ok("init", "new.db")

    assert ground.tree_of("new.db") == {}
    assert ok("ls", "new.db").out == b""


def test_init_where_something_is_refuses_and_changes_nothing(game: Path) -> None:
    before = game.read_bytes()

    line = refused("init", "game.db")

    assert line == "stratavfs: game.db: File exists"
    assert game.read_bytes() == before


def test_init_in_a_missing_directory_names_it(work: Path) -> None:
    line = refused("init", "no/new.db")

    assert line.startswith("stratavfs: no/new.db: No such file or directory")
    assert not Path("no").exists()


@pytest.mark.parametrize(
    "args",
    [
        ("write", "no.db:/x", "-"),
        ("mkdir", "no.db:/x"),
        ("touch", "no.db:/x"),
        ("put", "host.txt", "no.db:/x"),
        ("cp", "host.txt", "no.db:/x"),
        ("import", "tree", "no.db:/"),
        ("ls", "no.db:/"),
        ("check", "no.db"),
    ],
    ids=lambda args: args[0],
)
def test_any_command_without_a_container_names_the_remedy(
    work: Path, args: tuple[str, ...]
) -> None:
    Path("host.txt").touch()
    Path("tree").mkdir()

    line = refused(*args)

    assert line.startswith("stratavfs: no.db: ")
    assert "stratavfs init no.db" in line
    assert not Path("no.db").exists()


# --- write ----------------------------------------------------------------------------


def test_write_from_stdin_keeps_every_byte(game: Path) -> None:
    content = bytes(range(256)) * 3 + b"\r\n\x1a\x00"

    ok("write", "game.db:/new.bin", "-", stdin=content)

    assert tree() == with_(**{"/new.bin": content})


def test_write_without_source_reads_stdin(game: Path) -> None:
    ok("write", "game.db:/readme.txt", stdin=b"other")

    assert tree() == with_(**{"/readme.txt": b"other"})


def test_write_from_a_host_file_takes_its_bytes(game: Path) -> None:
    Path("host.txt").write_bytes(b"of the host")

    ok("write", "game.db:/a/b/new.txt", "host.txt")

    assert tree()["/a/b/new.txt"] == b"of the host"


def test_write_appending_adds_at_the_end(game: Path) -> None:
    ok("write", "-a", "game.db:/readme.txt", "-", stdin=b"again\n")

    assert tree() == with_(**{"/readme.txt": b"hello\nagain\n"})


def test_write_onto_a_directory_refuses_and_changes_nothing(game: Path) -> None:
    before = ground.dump_of(game)

    line = refused("write", "game.db:/docs", "-", stdin=b"x")

    assert line == "stratavfs: game.db:/docs: Is a directory"
    assert ground.dump_of(game) == before


# --- rm -------------------------------------------------------------------------------


def test_rm_removes_files_and_links(game: Path) -> None:
    ok("rm", "game.db:/link", "game.db:/all.bin")

    gone = ("/link", "/all.bin")
    assert tree() == {p: content for p, content in FILES.items() if p not in gone}


def test_rm_of_a_directory_needs_r(game: Path) -> None:
    before = ground.dump_of(game)

    line = refused("rm", "game.db:/docs")
    unchanged = ground.dump_of(game)
    ok("rm", "-r", "game.db:/docs")

    assert line.startswith("stratavfs: game.db:/docs: Is a directory")
    assert unchanged == before
    assert not [path for path in tree() if path.startswith("/docs")]


def test_rm_of_what_is_missing_fails_unless_forced(game: Path) -> None:
    line = refused("rm", "game.db:/none")
    ok("rm", "-f", "game.db:/none")

    assert line == "stratavfs: game.db:/none: No such file or directory"
    assert tree() == FILES


def test_rm_of_the_root_is_refused(game: Path) -> None:
    before = ground.dump_of(game)

    line = refused("rm", "-rf", "game.db:/")

    assert line.startswith("stratavfs: game.db:/: ")
    assert ground.dump_of(game) == before


# --- mkdir, touch, ln -----------------------------------------------------------------


def test_mkdir_makes_directories(game: Path) -> None:
    ok("mkdir", "game.db:/one", "game.db:/empty/two")

    assert tree() == with_(**{"/one": None, "/empty/two": None})


def test_mkdir_without_parent_needs_p(game: Path) -> None:
    line = refused("mkdir", "game.db:/x/y")
    ok("mkdir", "-p", "game.db:/x/y", "game.db:/docs")

    assert line == "stratavfs: game.db:/x/y: No such file or directory"
    assert tree() == with_(**{"/x": None, "/x/y": None})


def test_mkdir_where_something_is_refuses(game: Path) -> None:
    line = refused("mkdir", "game.db:/docs")

    assert line == "stratavfs: game.db:/docs: File exists"
    assert tree() == FILES


def test_mkdir_with_m_sets_the_mode(game: Path) -> None:
    ok("mkdir", "-m", "700", "game.db:/one")

    assert mode_of("/one") == 0o700


def test_touch_makes_a_file_and_renews_the_time(game: Path) -> None:
    before = lstat("/readme.txt").st_mtime_ns

    ok("touch", "game.db:/new", "game.db:/readme.txt")

    assert tree() == with_(**{"/new": b""})
    assert lstat("/readme.txt").st_mtime_ns > before


def test_touch_with_c_makes_nothing(game: Path) -> None:
    ok("touch", "-c", "game.db:/new")

    assert tree() == FILES


def test_ln_makes_another_name(game: Path) -> None:
    ok("ln", "game.db:/readme.txt", "game.db:/empty/second.txt")

    assert tree() == with_(**{"/empty/second.txt": b"hello\n"})
    assert lstat("/readme.txt").st_nlink == 2


def test_ln_s_keeps_the_target_as_it_is_written(game: Path) -> None:
    ok("ln", "-s", "../docs/a.md", "game.db:/empty/link")

    assert tree() == with_(**{"/empty/link": "../docs/a.md"})


def test_ln_where_something_is_needs_f(game: Path) -> None:
    line = refused("ln", "-s", "a", "game.db:/readme.txt")
    unchanged = tree()
    ok("ln", "-s", "-f", "a", "game.db:/readme.txt")

    assert line.endswith("game.db:/readme.txt: File exists")
    assert unchanged == FILES
    assert tree() == with_(**{"/readme.txt": "a"})


# --- chmod ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("600", 0o600), ("u+x", 0o744), ("go-r", 0o600), ("a=rw,u+s", 0o4666)],
)
def test_chmod_sets_the_mode(game: Path, mode: str, expected: int) -> None:
    ok("chmod", mode, "game.db:/readme.txt")

    assert mode_of("/readme.txt") == expected


def test_chmod_with_a_minus_first_is_a_mode(game: Path) -> None:
    ok("chmod", "-x", "game.db:/bin/run.sh")

    assert mode_of("/bin/run.sh") == 0o644


@pytest.mark.parametrize("mode", ["888", "u+y", "", "z=r", "77777", "u"])
def test_chmod_of_what_is_no_mode_is_a_usage_error(game: Path, mode: str) -> None:
    before = ground.dump_of(game)

    line = refused("chmod", mode, "game.db:/readme.txt", code=2)

    assert "mode" in line
    assert ground.dump_of(game) == before


# --- all or nothing -------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        ("rm", "game.db:/readme.txt", "game.db:/none"),
        ("mkdir", "game.db:/one", "game.db:/docs"),
        ("chmod", "600", "game.db:/readme.txt", "game.db:/none"),
        ("put", "host.txt", "none.txt", "game.db:/empty"),
        ("mv", "game.db:/readme.txt", "game.db:/none", "game.db:/empty"),
        ("cp", "game.db:/readme.txt", "game.db:/none", "game.db:/empty"),
    ],
    ids=lambda args: args[0],
)
def test_a_command_of_which_a_part_fails_says_which(
    game: Path, args: tuple[str, ...]
) -> None:
    Path("host.txt").write_bytes(b"1")

    ran = run(*args)

    assert ran.code == 1
    [line] = ran.err.splitlines()
    assert "none" in line or "/docs" in line
