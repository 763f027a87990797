"""Commands that read: ls tree cat head find grep du stat, and how places are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests import ground
from tests.cli.running import FILES, numbered, ok, refused, run

from stratavfs import VirtualFileSystem

TOP = ["all.bin", "bin", "docs", "empty", "link", "readme.txt"]


def json_of(*args: str) -> Any:
    return json.loads(ok(*args, "--json").text)


# --- places ---------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["game.db:/", "game.db:", "game.db", "./game.db:/."])
def test_place_of_the_root_may_be_short(game: Path, place: str) -> None:
    assert ok("ls", place).lines == TOP


@pytest.mark.parametrize(
    "place", ["game.db:/docs", "game.db:docs", "game.db:/bin/../docs/"]
)
def test_place_is_a_path_in_the_container(game: Path, place: str) -> None:
    assert ok("ls", place).lines == ["a.md", "b.md", "deep", "up"]


@pytest.mark.parametrize("place", [":/docs", "/docs", ":docs"])
def test_place_in_the_named_container_needs_no_file(
    game: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("STRATAVFS_DB", str(game))

    assert ok("ls", place).lines == ["a.md", "b.md", "deep", "up"]


def test_place_may_be_left_out_with_a_named_container(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRATAVFS_DB", str(game))

    assert ok("ls").lines == TOP


def test_place_with_a_container_wins_over_the_named_one(
    game: Path, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRATAVFS_DB", str(empty))

    assert ok("ls", "game.db:/").lines == TOP


@pytest.mark.parametrize("args", [("ls",), ("cat", ":/readme.txt")])
def test_place_without_any_container_names_the_remedy(
    game: Path, args: tuple[str, ...]
) -> None:
    line = refused(*args, code=2)

    assert "STRATAVFS_DB" in line


def test_place_of_a_directory_of_the_host_is_no_container(work: Path) -> None:
    Path("host").mkdir()

    line = refused("ls", "host:/")

    assert line.startswith("stratavfs: host: ")


def test_place_may_hold_colons(game: Path) -> None:
    ok("write", "game.db:/a:b", "-", stdin=b"colon")

    assert ok("cat", "game.db:/a:b").out == b"colon"


def test_container_file_may_have_an_odd_name(game: Path) -> None:
    for name in ("a b.db", "100%.db", "q?.db", "ünï"):
        game.rename(name)

        assert ok("ls", f"{name}:/").lines == TOP

        game = Path(name)


# --- errors, usage --------------------------------------------------------------------


@pytest.mark.parametrize("command", ["cat", "head", "ls", "stat", "du", "find", "tree"])
def test_any_command_on_what_is_missing_says_so(game: Path, command: str) -> None:
    line = refused(command, "game.db:/none")

    assert line == "stratavfs: game.db:/none: No such file or directory"


@pytest.mark.parametrize("command", ["cat", "head"])
def test_reading_a_directory_says_so(game: Path, command: str) -> None:
    line = refused(command, "game.db:/docs")

    assert line == "stratavfs: game.db:/docs: Is a directory"


@pytest.mark.parametrize(
    "args", [("fetch",), ("ls", "--no-such-flag", "game.db"), ("cat",), ("head", "-n")]
)
def test_usage_that_is_wrong_exits_with_two(game: Path, args: tuple[str, ...]) -> None:
    ran = run(*args)

    assert ran.code == 2
    assert ran.out == b""
    assert ran.err


def test_command_without_arguments_shows_its_help() -> None:
    ran = run()

    assert "layers" in ran.text + ran.err
    assert ran.code in (0, 2)


def test_version_is_shown() -> None:
    import stratavfs  # noqa: PLC0415 - for this alone

    assert stratavfs.__version__ in ok("--version").text


def test_reading_leaves_the_container_as_it_is(game: Path) -> None:
    before = ground.files_beside(game)

    for command in ("ls", "tree", "find", "du", "info", "stat", "layers", "check"):
        ok(command, "game.db:/" if command not in ("info", "check") else "game.db")

    assert ground.files_beside(game) == before


# --- ls -------------------------------------------------------------------------------


def test_ls_of_a_file_shows_it(game: Path) -> None:
    [line] = ok("ls", "game.db:/readme.txt").lines

    assert line.endswith("/readme.txt")


def test_ls_long_shows_mode_size_and_target(game: Path) -> None:
    lines = [
        line.split()
        for line in ok("ls", "-l", "game.db:/").lines
        if not line.startswith("total")
    ]

    assert [line[0] for line in lines] == [
        "-rw-r--r--",
        "drwxr-xr-x",
        "drwxr-xr-x",
        "drwxr-xr-x",
        "lrwxrwxrwx",
        "-rw-r--r--",
    ]
    assert "256" in lines[0]
    assert lines[4][-3:] == ["link", "->", "readme.txt"]


def test_ls_long_with_h_shows_sizes_for_people(game: Path) -> None:
    with VirtualFileSystem(game) as vfs:
        vfs.truncate("/readme.txt", 3 * 1024 * 1024 // 2)

    assert "1.5M" in ok("ls", "-l", "-h", "game.db:/").lines[-1].split()
    assert "1572864" in ok("ls", "-l", "game.db:/").lines[-1].split()


def test_ls_json_has_a_record_for_each(game: Path) -> None:
    found = json_of("ls", "game.db:/")

    assert [record["path"] for record in found] == [f"/{name}" for name in TOP]
    assert (found[0]["type"], found[0]["size"]) == ("file", 256)


def test_ls_in_a_pipe_leaves_names_as_they_are(game: Path) -> None:
    with VirtualFileSystem(game) as vfs:
        vfs.touch("/empty/\x1b[31mred\a")

    assert ok("ls", "game.db:/empty").out == b"\x1b[31mred\a\n"


# --- tree -----------------------------------------------------------------------------


def test_tree_draws_what_is_below(game: Path) -> None:
    lines = ok("tree", "game.db:/docs").lines

    assert lines[1:5] == ["├── a.md", "├── b.md", "├── deep", "│   └── long.txt"]
    assert lines[5] == "└── up -> ../readme.txt"
    assert lines[-1].startswith("1 directory, ")


def test_tree_with_depth_stops_there(game: Path) -> None:
    lines = ok("tree", "-L", "1", "game.db:/docs").lines

    assert "└── long.txt" not in "".join(lines)
    assert "├── deep" in lines


# --- cat, head ------------------------------------------------------------------------


def test_cat_writes_every_byte(game: Path) -> None:
    assert ok("cat", "game.db:/all.bin").out == bytes(range(256))


def test_cat_joins_files(game: Path) -> None:
    found = ok("cat", "game.db:/docs/a.md", "game.db:/docs/b.md").out

    assert found == b"# A\nalpha\nBeta\n# B\nbeta\ngamma\n"


def test_cat_of_several_goes_on_after_a_missing_one(game: Path) -> None:
    ran = run("cat", "game.db:/none", "game.db:/readme.txt")

    assert ran.code == 1
    assert ran.out == b"hello\n"
    assert ran.err == "stratavfs: game.db:/none: No such file or directory\n"


def test_cat_follows_links(game: Path) -> None:
    assert ok("cat", "game.db:/docs/up").out == b"hello\n"


def test_head_shows_ten_lines(game: Path) -> None:
    assert ok("head", "game.db:/docs/deep/long.txt").text == numbered(10)


@pytest.mark.parametrize(("flag", "count"), [("-n3", 3), ("-n0", 0), ("-n1000", 100)])
def test_head_with_n_shows_so_many_lines(game: Path, flag: str, count: int) -> None:
    assert ok("head", flag, "game.db:/docs/deep/long.txt").text == numbered(count)


def test_head_with_c_shows_so_many_bytes(game: Path) -> None:
    assert ok("head", "-c", "200", "game.db:/all.bin").out == bytes(range(200))


# --- find -----------------------------------------------------------------------------


def found(*args: str) -> list[str]:
    """Return the lines of a command without the container that stands before each."""
    lines = ok(*args).lines
    assert [line for line in lines if not line.startswith("game.db:/")] == []
    return [line.removeprefix("game.db:") for line in lines]


def test_find_lists_all_below(game: Path) -> None:
    assert sorted(found("find", "game.db:/")) == sorted(FILES)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("*.md",), ["/docs/a.md", "/docs/b.md"]),
        (("--name", "*.txt"), ["/docs/deep/long.txt", "/readme.txt"]),
        (("--type", "d"), ["/bin", "/docs", "/docs/deep", "/empty"]),
        (("--type", "l"), ["/docs/up", "/link"]),
        (("--min-size", "200"), ["/all.bin", "/docs/deep/long.txt"]),
        (("--type", "f", "--max-size", "6"), ["/readme.txt"]),
        (("docs/*.md",), ["/docs/a.md", "/docs/b.md"]),
    ],
)
def test_find_with_tests_lists_what_passes(
    game: Path, args: tuple[str, ...], expected: list[str]
) -> None:
    assert sorted(found("find", "game.db:/", *args)) == expected


def test_find_in_the_named_container_shows_places_of_it(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRATAVFS_DB", str(game))

    [line] = ok("find", ":/docs", "a.md").lines

    assert ok("cat", line).out == FILES["/docs/a.md"]


def test_find_of_nothing_is_no_failure(game: Path) -> None:
    assert ok("find", "game.db:/", "*.none").out == b""


def test_find_with_meta_lists_what_has_it(game: Path) -> None:
    with VirtualFileSystem(game) as vfs:
        vfs.set_metadata("/readme.txt", {"author": "Ada", "rating": 5})
        vfs.set_metadata("/all.bin", {"author": "Bob", "rating": 5})

    assert found("find", "game.db:/", "--meta", "author=Ada") == ["/readme.txt"]
    assert found("find", "game.db:/", "--meta", "rating=5") == [
        "/all.bin",
        "/readme.txt",
    ]


def test_find_newer_and_older_divide_the_files(game: Path) -> None:
    with VirtualFileSystem(game) as vfs:
        vfs.utime("/readme.txt", (0, 86400 * 365))

    older = found("find", "game.db:/", "--older", "2000-01-01")
    newer = found("find", "game.db:/", "--newer", "2000-01-01")

    assert older == ["/readme.txt"]
    assert sorted([*older, *newer]) == sorted(FILES)


# --- grep -----------------------------------------------------------------------------


def test_grep_shows_path_and_line(game: Path) -> None:
    assert found("grep", "alpha", "game.db:/") == ["/docs/a.md:alpha"]


def test_grep_with_n_counts_lines_from_one(game: Path) -> None:
    assert found("grep", "-n", "gamma", "game.db:/") == ["/docs/b.md:3:gamma"]


def test_grep_with_i_ignores_case(game: Path) -> None:
    assert found("grep", "-i", "beta", "game.db:/") == [
        "/docs/a.md:Beta",
        "/docs/b.md:beta",
    ]


def test_grep_with_l_names_the_files(game: Path) -> None:
    assert found("grep", "-l", "-i", "a", "game.db:/docs") == [
        "/docs/a.md",
        "/docs/b.md",
    ]


def test_grep_with_glob_looks_into_those(game: Path) -> None:
    assert found("grep", "--glob", "*.txt", "e", "game.db:/docs", "-c") == [
        "/docs/deep/long.txt:100"
    ]


def test_grep_of_nothing_exits_with_one(game: Path) -> None:
    ran = run("grep", "never", "game.db:/")

    assert (ran.code, ran.out, ran.err) == (1, b"", "")


def test_grep_of_one_file_shows_lines_alone(game: Path) -> None:
    assert ok("grep", "-n", "hell", "game.db:/readme.txt").lines[0].endswith("1:hello")


def test_grep_of_a_broken_pattern_is_a_usage_error(game: Path) -> None:
    line = refused("grep", "(", "game.db:/", code=2)

    assert "(" in line


def test_grep_leaves_binary_files_out_unless_told(game: Path) -> None:
    assert run("grep", "ABC", "game.db:/all.bin").code == 1
    assert found("grep", "-b", "-l", "ABC", "game.db:/") == ["/all.bin"]


# --- du, stat -------------------------------------------------------------------------


def test_du_s_sums_the_bytes(game: Path) -> None:
    total = sum(len(found) for found in FILES.values() if found is not None)

    [line] = ok("du", "-s", "-b", "game.db:/").lines

    assert line.split()[0] == str(total)


def test_stat_shows_what_is_known(game: Path) -> None:
    text = ok("stat", "game.db:/bin/run.sh").text

    assert "/bin/run.sh" in text
    assert "0755" in text


def test_stat_json_has_the_fields(game: Path) -> None:
    found = json_of("stat", "game.db:/bin/run.sh")

    found = found[0] if isinstance(found, list) else found
    assert found["size"] == 19
