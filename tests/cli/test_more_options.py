"""Options and words that are seldom given, each by what comes of it."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests import ground
from tests.cli.running import FILES, lstat, mode_of, ok, refused, run, tree, with_

from stratavfs import VirtualFileSystem
from stratavfs.cli import (
    _streams,
)
from stratavfs.cli import _transfer as transfer
from stratavfs.cli import _writing as writing
from stratavfs.cli._containers import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Callable


def change(make: Callable[[VirtualFileSystem], object]) -> None:
    """Let *make* change ``game.db``."""
    with VirtualFileSystem("game.db") as vfs:
        make(vfs)


def fail_when_written(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Let importing fail at the file *path*, when others have been imported."""
    whole = VirtualFileSystem.import_tree

    def broken(vfs: VirtualFileSystem, *args: str, **choices: object) -> object:
        whole(vfs, *args, **choices)  # type: ignore[arg-type]
        raise OSError(5, os.strerror(5), path)

    monkeypatch.setattr(VirtualFileSystem, "import_tree", broken)


# --- import, export, archive ----------------------------------------------------------


def test_import_with_v_counts_what_was_done(game: Path) -> None:
    Path("tree/sub").mkdir(parents=True)
    Path("tree/one").write_bytes(bytes(2000))
    Path("tree/two").write_bytes(b"2")

    first = ok("import", "-v", "tree", "game.db:/new")
    again = ok("import", "-v", "tree", "game.db:/new")
    Path("tree/two").write_bytes(b"other")
    skipped = ok("import", "-v", "--on-conflict", "skip", "tree", "game.db:/new")
    nothing = ok("import", "-v", "--include", "none", "tree", "game.db:/new")

    assert re.fullmatch(r"2 files, \d director(y|ies); 2.0K bytes\n", first.text)
    assert re.fullmatch(r"\d unchanged; 0 bytes\n", again.text)
    assert "1 skipped; 0 bytes" in skipped.text
    assert nothing.text.endswith("; 0 bytes\n")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have no names here")
def test_import_with_v_counts_and_names_what_failed(game: Path) -> None:
    Path("tree").mkdir()
    os.mkfifo("tree/pipe")

    ran = run("import", "-v", "--skip-errors", "tree", "game.db:/new")

    assert ran.code == 1
    assert "1 failed; 0 bytes" in ran.text
    assert len(ran.err.splitlines()) == 1
    assert "tree/pipe" in ran.err


@pytest.mark.parametrize("options", [(), ("--no-atomic",)])
def test_import_that_fails_keeps_what_is_done_only_if_told(
    game: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    Path("tree").mkdir()
    Path("tree/one").write_bytes(b"1")
    fail_when_written(monkeypatch, "tree/two")

    line = refused("import", *options, "tree", "game.db:/empty")

    end = "" if options else "; nothing was changed"
    assert line == f"stratavfs: tree/two: {os.strerror(5)}{end}"
    assert tree() == (with_(**{"/empty/one": b"1"}) if options else FILES)


def test_export_with_v_counts_links(game: Path) -> None:
    ran = ok("export", "-v", "game.db:/docs", "out")

    assert re.match(r"3 files, \d director(y|ies), 1 symlink; \d", ran.text)


def test_archive_of_no_place_is_of_the_named_container(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRATAVFS_DB", "game.db")

    ok("archive", "-cf", "all.tar")

    with tarfile.open("all.tar") as file:
        assert {"readme.txt", "docs/a.md"} <= {*file.getnames()}


def test_archive_of_no_place_without_a_named_container_is_refused(work: Path) -> None:
    line = refused("archive", "-cf", "all.tar", code=2)

    assert "name a place" in line
    assert not Path("all.tar").exists()


@pytest.mark.parametrize("options", [("-f", "a.sqlar"), ("-f", "a", "--format=sqlar")])
def test_archive_of_sqlar_makes_a_database(
    game: Path, options: tuple[str, ...]
) -> None:
    ran = ok("archive", "-cv", *options, "game.db:/docs")

    head = Path(options[1]).read_bytes()[:16]
    assert head == b"SQLite format 3\0"
    assert ran.text.startswith("3 files")


def test_archive_x_with_no_atomic_brings_all(game: Path, empty: Path) -> None:
    ok("archive", "-cf", "a.tar", "game.db:/docs")

    ran = ok("archive", "-xv", "--no-atomic", "-f", "a.tar", "empty.db:/new")

    found = ground.tree_of("empty.db")
    assert ran.text.startswith("3 files")
    assert found["/new/a.md"] == FILES["/docs/a.md"]


def test_archive_t_of_a_pipe_lists_it(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

    made = ok("archive", "-c", "-f", "-", "game.db:/docs").out
    monkeypatch.setattr(transfer, "standard_input", lambda: Unseekable(made))

    listed = ok("archive", "-t", "-f", "-")

    assert sorted(listed.lines)[:4] == ["a.md", "b.md", "deep/", "deep/long.txt"]


def test_archive_tv_lists_as_tar_does(work: Path) -> None:
    with tarfile.open("a.tar", "w") as file:
        for name, kind, target in (
            ("dir", tarfile.DIRTYPE, ""),
            ("dir/file", tarfile.REGTYPE, ""),
            ("link", tarfile.SYMTYPE, "dir/file"),
            ("more", tarfile.LNKTYPE, "dir/file"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = kind, target, 0o751
            member.mtime, member.uid, member.gid = 86400, 1000, 100
            if name == "link":
                member.uname, member.gname = "ada", "users"
            file.addfile(member)

    lines = ok("archive", "-tvf", "a.tar").lines

    assert lines == [
        "drwxr-x--x 1000/100          0 1970-01-02 00:00 dir/",
        "-rwxr-x--x 1000/100          0 1970-01-02 00:00 dir/file",
        "lrwxr-x--x ada/users         0 1970-01-02 00:00 link -> dir/file",
        "-rwxr-x--x 1000/100          0 1970-01-02 00:00 more link to dir/file",
    ]


@pytest.mark.parametrize("letter", ["-t", "-tv"])
def test_archive_t_of_no_archive_says_so(work: Path, letter: str) -> None:
    Path("a.tar").write_bytes(b"this is no archive")

    line = refused("archive", letter, "-f", "a.tar")

    assert line.startswith("stratavfs: a.tar: it is no archive of a format")


# --- init, write, touch, rm, ln, chmod ------------------------------------------------


def test_init_of_several_makes_all_or_none(game: Path) -> None:
    before = ground.dump_of(game)

    line = refused("init", "one.db", "two.db:", "game.db")
    left = sorted(os.listdir())
    ok("init", "one.db", "two.db:")

    assert line == "stratavfs: game.db: File exists; nothing was changed"
    assert left == ["game.db"]
    assert ground.dump_of(game) == before
    assert ground.tree_of("one.db") == ground.tree_of("two.db") == {}


def test_write_to_a_place_of_a_directory_refuses(game: Path) -> None:
    before = ground.dump_of(game)

    line = refused("write", "game.db:/new/", stdin=b"1")

    assert line.startswith("stratavfs: game.db:/new/: Not a directory")
    assert ground.dump_of(game) == before


def test_write_of_more_than_is_read_ahead_keeps_every_byte(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(256)) * 10
    monkeypatch.setattr(writing, "_AHEAD", 100)
    monkeypatch.setattr(writing, "PIECE", 64)
    monkeypatch.setattr(_streams, "PIECE", 64)

    ok("write", "game.db:/new", stdin=content)
    ok("write", "-a", "game.db:/new", stdin=content)

    assert tree() == with_(**{"/new": content * 2})


def test_pipe_without_a_size_reads_all() -> None:
    pipe = _streams.Pipe(io.BytesIO(b"abc"))

    assert (pipe.read(1), pipe.read(), pipe.read()) == (b"a", b"bc", b"")
    assert not pipe.seekable()


def test_rm_of_nothing_needs_f(game: Path) -> None:
    line = refused("rm", code=2)

    assert "missing argument 'PLACE...'" in line
    ok("rm", "-f")
    ok("rm", "-f", "game.db:/missing", "game.db:/readme.txt/below")
    assert tree() == FILES


def test_ln_into_another_container_refuses(game: Path, empty: Path) -> None:
    before = ground.dump_of(empty)

    line = refused("ln", "game.db:/readme.txt", "empty.db:/link")

    assert "a link has to be in the container of its target" in line
    assert ground.dump_of(empty) == before


@pytest.mark.parametrize("target", ["game.db:/readme.txt", ":/readme.txt"])
def test_ln_s_to_a_place_holds_its_path(
    game: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setenv("STRATAVFS_DB", "game.db")

    ok("ln", "-s", target, "game.db:/new")

    assert tree() == with_(**{"/new": "/readme.txt"})


def test_ln_s_to_a_place_needs_no_named_container(game: Path) -> None:
    ok("ln", "-s", "game.db:/readme.txt", "game.db:/new")
    ok("ln", "-s", "other.db:/x", "game.db:/odd")

    assert tree() == with_(**{"/new": "/readme.txt", "/odd": "other.db:/x"})


def test_ln_f_onto_the_same_name_keeps_it(game: Path) -> None:
    before = ground.dump_of(game)

    line = refused("ln", "-f", "game.db:/readme.txt", "game.db:/readme.txt")

    assert "File exists" in line
    assert ground.dump_of(game) == before


def test_chmod_r_changes_all_below_but_links(game: Path) -> None:
    link = lstat("/docs/up").st_mode

    ok("chmod", "-R", "go-rx", "game.db:/docs")
    ok("chmod", "-R", "600", "game.db:/readme.txt")

    paths = ("/docs", "/docs/a.md", "/docs/deep", "/docs/deep/long.txt")
    assert [mode_of(path) for path in paths] == [0o700, 0o600, 0o700, 0o600]
    assert mode_of("/readme.txt") == 0o600
    assert mode_of("/bin/run.sh") == 0o755
    assert lstat("/docs/up").st_mode == link


# --- looking and reading --------------------------------------------------------------


def test_du_of_a_file_is_its_size(game: Path) -> None:
    assert ok("du", "-b", "game.db:/all.bin").text == "256\tgame.db:/all.bin\n"


def test_du_counts_a_linked_file_once(game: Path) -> None:
    change(lambda vfs: vfs.link("/all.bin", "/empty/one"))
    change(lambda vfs: vfs.link("/all.bin", "/empty/two"))

    assert ok("du", "-b", "game.db:/empty").text == "256\tgame.db:/empty\n"


def test_stat_of_an_empty_file_and_a_link_says_so(game: Path) -> None:
    ok("touch", "game.db:/none")

    assert "regular empty file" in ok("stat", "game.db:/none").text
    assert "File: game.db:/link -> readme.txt" in ok("stat", "game.db:/link").text
    (record,) = json.loads(ok("stat", "--json", "game.db:/link").text)
    assert (record["type"], record["target"]) == ("symlink", "readme.txt")
    assert (record["metadata"], record["xattrs"]) == ({}, [])


def test_info_with_h_shows_sizes_for_people(game: Path) -> None:
    lines = ok("info", "-h", "game.db").lines

    sizes = [line for line in lines if line.startswith("chunk size")]
    assert [line.split()[-1] for line in sizes] == ["64K"]


def test_ls_l_shows_the_year_of_what_is_old(game: Path) -> None:
    long_ago = 86400 * 10**9
    change(lambda vfs: vfs.utime("/readme.txt", ns=(long_ago, long_ago)))
    ok("touch", "game.db:/new")

    old, new = ok("ls", "-l", "game.db:/readme.txt", "game.db:/new").lines[::-1]

    assert " Jan  2  1970 game.db:/readme.txt" in old
    assert re.search(r" \d\d:\d\d game.db:/new$", new)


def test_head_of_both_lines_and_bytes_is_a_usage_error(game: Path) -> None:
    line = refused("head", "-n", "1", "-c", "1", "game.db:/readme.txt", code=2)

    assert "give one of -n and -c" in line


@pytest.mark.parametrize(
    "places", [("game.db:/docs/*.md",), ("game.db:/docs/a.md", "game.db:/docs/b.md")]
)
def test_head_of_several_names_each(game: Path, places: tuple[str, ...]) -> None:
    ran = ok("head", "-n1", *places)

    assert ran.lines == [
        *("==> game.db:/docs/a.md <==", "# A", ""),
        *("==> game.db:/docs/b.md <==", "# B"),
    ]


def test_find_with_0_ends_names_with_nul(game: Path) -> None:
    ran = ok("find", "-0", "game.db:/docs", "*.md")

    assert ran.out == b"game.db:/docs/a.md\0game.db:/docs/b.md\0"


def test_grep_with_c_counts_lines(game: Path) -> None:
    below = ok("grep", "-ci", "beta", "game.db:/docs")
    none = run("grep", "-c", "nothing", "game.db:/readme.txt")

    assert below.lines == ["game.db:/docs/a.md:1", "game.db:/docs/b.md:1"]
    assert (none.code, none.text) == (1, "0\n")


def test_grep_json_of_names_and_counts_has_records(game: Path) -> None:
    names = ok("grep", "-l", "--json", "alpha", "game.db:/docs")
    counts = ok("grep", "-c", "--json", "a", "game.db:/docs/a.md")
    none = run("grep", "-c", "--json", "nothing", "game.db:/readme.txt")

    assert json.loads(names.text) == {"path": "/docs/a.md"}
    assert json.loads(counts.text) == {"path": "/docs/a.md", "count": 2}
    assert (none.code, none.out) == (1, b"")


def test_which_of_several_names_each_and_goes_on(game: Path) -> None:
    Path("base").mkdir()
    Path("base/readme.txt").touch()
    below = ("--underlay", "base:0:mod")

    ran = run(*below, "which", "game.db:/no", "game.db:/readme.txt", "game.db:/link")
    one = ok(*below, "which", "-a", "game.db:/readme.txt")
    records = run(*below, "which", "--json", "game.db:/no", "game.db:/link")

    assert ran.code == 1
    assert ran.err == "stratavfs: game.db:/no: no layer has it\n"
    heads = [line.split(": ")[0] for line in ran.lines]
    assert heads == ["game.db:/readme.txt", "game.db:/link"]
    assert (len(one.lines), one.lines[-1]) == (2, "mod")
    found = [record["resolved_from"] is None for record in json.loads(records.text)]
    assert (records.code, found) == (1, [True, False])


@pytest.mark.parametrize("places", [("a.db:/x", "b.db"), ("a.db", "b.db:/x")])
def test_apply_of_a_part_is_a_usage_error(game: Path, places: tuple[str, str]) -> None:
    line = refused("apply", *places, code=2)

    assert "name a whole container, as " in line


# --- containers -----------------------------------------------------------------------


def test_cp_of_the_container_into_itself_refuses(game: Path) -> None:
    before = ground.dump_of(game)

    line = refused("cp", "game.db", "game.db:/copy")

    assert line.startswith("stratavfs: game.db: ")
    assert ground.dump_of(game) == before


def test_reading_beside_another_leaves_its_log(game: Path) -> None:
    with VirtualFileSystem(game) as vfs:
        vfs.touch("/new")
        log = Path("game.db-wal").read_bytes()

        ran = ok("ls", "game.db:/new")

        assert ran.lines == ["game.db:/new"]
        assert Path("game.db-wal").read_bytes() == log


def test_uninterrupted_in_a_thread_leaves_signals_alone() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert done == [1]
