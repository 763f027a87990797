"""The shell: words, scripts, batches, and a person at a terminal."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, cast

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import ground
from tests.cli.running import FILES, Ran, ok, run

from stratavfs import VirtualFileSystem
from stratavfs.cli import _app, _shell_prompt, _shell_words
from stratavfs.cli._shell import Group, Script, Shell
from stratavfs.cli._shell_desk import ShellDesk

if TYPE_CHECKING:
    from pathlib import Path


def script(*lines: str, options: tuple[str, ...] = ()) -> Ran:
    """Run *lines* in the shell of ``game.db``."""
    return run("shell", "game.db", *options, "-c", "\n".join(lines))


def refused(*lines: str, code: int = 1) -> str:
    """Run *lines*, the last of which has to fail; return its one line of error."""
    ran = script(*lines)
    assert ran.code == code, ran
    (line,) = ran.err.splitlines()
    prefix = f"stratavfs: -c:{len(lines)}: "
    assert line.startswith(prefix), line
    return line.removeprefix(prefix)


def app() -> click.Group:
    return cast("click.Group", _app.app)


class Typed:
    """What somebody types, without a terminal; None stands for Ctrl-C."""

    interactive = True

    def __init__(self, *lines: str | None) -> None:
        self._lines = iter(lines)
        self.prompts: list[str] = []

    def origin(self) -> str:
        return ""

    def read(self, prompt: str) -> str | None:
        self.prompts.append(prompt)
        line = next(self._lines, "")
        if line is None:
            raise KeyboardInterrupt
        return line or None


# --- words ----------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_split_of_quoted_words_is_the_words(words: list[str]) -> None:
    styles = [
        lambda word: _shell_words.quoted(word) or "''",
        lambda word: f'"{_shell_words.quoted(word, chr(34))}"',
        lambda word: f"'{_shell_words.quoted(word, chr(39))}'",
    ]

    for style in styles:
        assert _shell_words.split(" ".join(map(style, words))) == words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  # all of it", []),
        ("a b\tc  ", ["a", "b", "c"]),
        ("a#b 'c # d' # e", ["a#b", "c # d"]),
        (r"a\ b \# \\", ["a b", "#", "\\"]),
        (r""""a\"b\\\x$" '\n' """, ['a"b\\\\x$', "\\n"]),
        (r"$'\n\x41\u00e9\'\101'$HOME", ["\nAé'A$HOME"]),
        ("'a'b\"c\" '' \"\"", ["abc", "", ""]),
        ("'|' a|b '>'", ["|", "a|b", ">"]),
    ],
)
def test_split_follows_the_shells_rules(line: str, words: list[str]) -> None:
    assert _shell_words.split(line) == words


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cat 'a", "no closing quote for '"),
        ('cat "a\\', 'no closing quote for "'),
        ("cat $'a", "no closing quote for $'"),
        ("cat a\\", "a backslash ends the line: a command is one line"),
        ("cat a > b", "here is no >: write '>' to mean the word"),
        ("ls | cat", "here is no |: write '|' to mean the word"),
    ],
)
def test_split_of_what_makes_no_words_is_refused(
    line: str, message: str, game: Path
) -> None:
    before = ground.tree_of(game)

    assert refused(line) == message
    assert ground.tree_of(game) == before


# --- scripts --------------------------------------------------------------------------


def test_commands_work_from_the_directory_on(game: Path) -> None:
    ran = script(
        *("cd docs", "pwd", "cat a.md", "cd deep/..", "ls -1", "cd -", "ls -1 ../bin"),
        *("cd", "pwd", "cd -", "cat ../readme.txt /bin/run.sh"),
    )

    assert (ran.code, ran.err) == (0, "")
    assert ran.lines == [
        *("/docs", "# A", "alpha", "Beta"),
        *("a.md", "b.md", "deep", "up", "/docs"),
        *("run.sh", "/", "/docs", "hello", "#!/bin/sh", "echo run"),
    ]


def test_write_takes_words_or_lines(game: Path) -> None:
    ran = script(
        *("write /new/a  some  'odd  text'", "write -a /new/a more", "write -n /b"),
        options=("-k",),
    )
    more = script(
        *("write -n /c x", "write /d <<END", " # kept ", "$x 'y", "END"),
        *("write -a /d << 'E F'", "END", "E F", "write /e <<E", "E", "write /f '<<E'"),
    )

    assert ran.code == 1
    assert (
        ran.err == "stratavfs: -c:3: write: give TEXT, or <<END and lines up to END\n"
    )
    assert (more.code, more.err) == (0, "")
    assert ground.tree_of(game) == FILES | {
        "/new": None,
        "/new/a": b"some odd  text\nmore\n",
        "/c": b"x",
        "/d": b" # kept \n$x 'y\nEND\n",
        "/e": b"",
        "/f": b"<<E\n",
    }


def test_stars_mean_names_unless_they_are_quoted(game: Path) -> None:
    script("write '/docs/*.md' star", "mkdir '/d[a]'", "touch '/d[a]/x' '/d[a]/*'")

    assert script("cat docs/*.md").lines[0] == "star"
    assert script("cat 'docs/*.md'").lines == ["star"]
    assert script("cat docs/'*'.m?").lines == ["star"]
    assert script("cd 'd[a]'", "ls -1 *").lines == ["/d[a]/*", "/d[a]/x"]
    assert "/d[a]/*x: No such file" in refused("cd 'd[a]'", "rm '*'x")
    assert script("rm '/docs/*.md'").code == 0
    assert refused("rm '/docs/*.md'") == (
        "game.db:/docs/*.md: No such file or directory"
    )
    assert {"/docs/a.md", "/docs/b.md"} <= ground.tree_of(game).keys()


def test_put_and_get_know_both_sides(game: Path, work: Path) -> None:
    (work / "host").mkdir()
    for name in ("a.png", "b.png", "c*.png"):
        (work / "host" / name).write_text(name)

    ran = script(
        *("lcd host", "lpwd", "put *.png empty", "put 'c*.png' /x", "cd empty"),
        *("get a.png ../got.png", "cat game.db:/readme.txt :a.png"),
    )

    assert (ran.code, ran.err) == (0, "")
    assert ran.text == f"{work / 'host'}\nhello\na.png"
    assert (work / "got.png").read_text() == "a.png"
    assert ground.tree_of(game) == FILES | {
        f"/empty/{name}": name.encode() for name in ("a.png", "b.png", "c*.png")
    } | {"/x": b"c*.png"}


def test_colon_is_part_of_a_name_unless_a_container_has_it(game: Path) -> None:
    ok("init", "other")
    ran = script(
        "write a:b 1", "cat a:b", "cp a:b other:/c", "cat other:/c", "ls -1 a:*"
    )

    assert (ran.code, ran.err) == (0, "")
    assert ran.lines == ["1", "1", "/a:b"]
    assert ground.tree_of("other") == {"/c": b"1\n"}
    assert refused("ls no.db:/").startswith("no.db: no such container")
    assert refused("cd other:/") == "other:/: the shell stays in its container"


def test_script_stops_at_its_first_error(game: Path, work: Path) -> None:
    (work / "s.txt").write_bytes(
        b"\xef\xbb\xbf# a comment\r\n\r\nwrite /one \xff\r\n"
        b"cat nosuch\r\nwrite /two 2\r\n"
    )

    ran = run("shell", "game.db", "s.txt")

    message = "game.db:/nosuch: No such file or directory"
    assert (ran.code, ran.out) == (1, b"")
    assert ran.err == f"stratavfs: s.txt:4: {message}\n"
    assert ground.tree_of(game) == FILES | {"/one": b"\xff\n"}

    ran = run("shell", "game.db", "-k", "s.txt")
    assert ran.code == 1
    assert ran.err == f"stratavfs: s.txt:4: {message}\n"
    assert ground.tree_of(game) == FILES | {"/one": b"\xff\n", "/two": b"2\n"}


def test_script_from_standard_input_has_no_prompt(game: Path) -> None:
    for arguments in (["shell", "game.db"], ["shell", "game.db", "-"]):
        ran = run(*arguments, stdin=b"cat readme.txt\nwrite x <<E\na\nE\nnosuch\nls")

        assert (ran.code, ran.out) == (1, b"hello\n")
        assert ran.err == "stratavfs: -:5: nosuch: no such command; see: help\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("grep nosuch readme.txt", "grep: ended with exit code 1"),
        ("cd nosuch", "game.db:/nosuch: No such file or directory"),
        ("cd readme.txt", "game.db:/readme.txt: Not a directory"),
        ("lcd nosuch", "nosuch: No such file or directory"),
        ("init a.db", "init: no such command; see: help"),
        ("help nosuch", "help: nosuch: no such command"),
        ("exit many", None),
        ("ls --nosuch", None),
        ("commit", "no batch is open: begin opens one"),
        ("rollback", "no batch is open: begin opens one"),
        ("write x <<E", "there is no line E to end what began with <<E"),
        ("ls --underlay=x", "underlays are named where the shell is started"),
    ],
)
def test_line_that_fails_says_where_and_changes_nothing(
    line: str, message: str | None, game: Path, work: Path
) -> None:
    said = refused("write -n /a b", line)

    assert said == message or message is None
    assert ground.tree_of(game) == FILES | {"/a": b"b"}
    assert sorted(os.listdir(work)) == ["game.db"]


def test_body_is_read_even_where_it_makes_no_sense(game: Path) -> None:
    ran = script("cat <<E", "rm -rf /docs", "E", "write <<E", "rm -r /bin", "E")

    assert ran.code == 1
    assert ground.tree_of(game) == FILES


def test_exit_ends_a_script_with_its_code(game: Path) -> None:
    assert script("exit", "write /a b").code == 0
    assert script("quit 7", "write /a b").code == 7
    assert script("nosuch", "exit 3", options=("-k",)).code == 3
    assert script("begin", "write /a b", "exit").code == 1
    assert ground.tree_of(game) == FILES


def test_shell_refuses_what_is_no_container(work: Path) -> None:
    (work / "text").write_text("no container")

    for name in ("nosuch.db", "text"):
        ran = run("shell", name, "-c", "ls")
        assert (ran.code, len(ran.err.splitlines())) == (1, 1)
    assert run("shell", "text", "s", "-c", "ls").code == 2
    assert run("shell", "nosuch.db", "nosuch").code == 1
    assert os.listdir(work) == ["text"]


def test_underlays_of_the_shell_shine_through(game: Path, work: Path) -> None:
    (work / "base").mkdir()
    (work / "base" / "low.txt").write_text("below\n")

    ran = script("cat low.txt", "status", options=("--underlay", "base:5:core"))

    assert ran.lines[0] == "below"
    assert "local, core" in ran.text


def test_read_only_container_is_looked_at(game: Path) -> None:
    with VirtualFileSystem(game, read_only=True) as vfs:
        lines = Script("s", [b"cat readme.txt", b"cd docs", b"status", b"touch /new"])

        code = Shell(app(), ShellDesk("game.db", vfs, lines), keep_going=True).run()

    assert code == 1
    assert ground.tree_of(game) == FILES


def test_help_names_every_command(game: Path) -> None:
    text = script("help").text
    group = Group(app())
    names = group.list_commands(click.Context(group))

    assert {*names} <= {*text.split()}
    assert {"cd", "begin", "ls", "import"} <= {*names}
    assert not {"init", "shell", "completion"} & {*names}
    pages = script(*(f"help {name}" for name in names)).text.split("Usage: ")[1:]
    assert [page.split()[0] for page in pages] == names
    assert [page for page in pages if page.count("\n") > 24] == []


# --- batches --------------------------------------------------------------------------


def test_batch_is_kept_by_commit_and_undone_by_rollback(game: Path) -> None:
    ran = script(
        *("begin", "rm -r docs", "write /a 1", "rollback", "ls -1 docs/a.md"),
        *("batch", "write /b 2", "cp b c", "commit", "status"),
    )

    assert (ran.code, ran.err) == (0, "")
    assert "batch:" in ran.text
    assert re.search(r"^batch: +none$", ran.text, re.MULTILINE)
    assert ground.tree_of(game) == FILES | {"/b": b"2\n", "/c": b"2\n"}


def test_batch_left_open_is_undone_and_said(game: Path) -> None:
    ran = script("begin", "write /a 1", "status")

    assert ran.code == 1
    assert ran.err == (
        "stratavfs: the batch was not committed: its changes are taken back\n"
    )
    assert "batch:           open" in ran.text
    assert ground.tree_of(game) == FILES


def test_command_that_fails_in_a_batch_leaves_the_rest(game: Path) -> None:
    ran = script(
        *("begin", "write /a 1", "cp readme.txt nosuch /docs", "write /b 2", "commit"),
        options=("-k",),
    )

    assert ran.code == 1
    found = ground.tree_of(game)
    assert {"/a": b"1\n", "/b": b"2\n"}.items() <= found.items()


# --- somebody who types ---------------------------------------------------------------


def test_prompt_tells_container_batch_and_directory(
    game: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = Typed("cd docs", "nosuch", None, "begin", "touch /new", "begin", "exit 5")
    with VirtualFileSystem(game) as vfs:
        shell = Shell(app(), ShellDesk("game.db", vfs, lines), keep_going=False)

        code = shell.run()

    assert code == 5
    assert lines.prompts == [
        *("game.db:/> ", "game.db:/docs> ", "game.db:/docs> ", "game.db:/docs> "),
        *("game.db*:/docs> ", "game.db*:/docs> ", "game.db*:/docs> "),
    ]
    assert capfd.readouterr().err.splitlines() == [
        "stratavfs: nosuch: no such command; see: help",
        "stratavfs: a batch is open: commit or rollback ends it",
        "stratavfs: the batch was not committed: its changes are taken back",
    ]
    assert ground.tree_of(game) == FILES


def test_lines_of_write_end_with_the_input(game: Path) -> None:
    lines = Typed(
        "write /a",
        "one",
        "two",
        "",
        "write /b",
        "lost",
        None,
        "write /c <<E",
        "x",
        None,
    )
    with VirtualFileSystem(game) as vfs:
        code = Shell(app(), ShellDesk("game.db", vfs, lines), keep_going=False).run()

    assert code == 0
    assert ground.tree_of(game) == FILES | {"/a": b"one\ntwo\n"}


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        ("ca", ["cat "]),
        ("beg", ["begin "]),
        ("help beg", ["help begin "]),
        ("ls --js", ["ls --json "]),
        ("cat /rea", ["cat /readme.txt "]),
        ("cat rea", ["cat readme.txt "]),
        (
            "cat docs/",
            ["cat docs/a.md ", "cat docs/b.md ", "cat docs/deep/", "cat docs/up "],
        ),
        ("cd d", ["cd docs/"]),
        ("cd r", []),
        ("cp docs/a.md docs/d", ["cp docs/a.md docs/deep/"]),
        ("write -a rea", ["write -a readme.txt "]),
        ("cat /o/m", ["cat /o/my\\ file "]),
        ("cat '/o/m", ["cat '/o/my file' "]),
        ('cat "/o/m', ['cat "/o/my file" ']),
        ('cat "/o"/m', ["cat /o/my\\ file "]),
        ("cat /o/t", ["cat /o/two$'\\n'lines "]),
        ("cat '/o/i", ["cat '/o/it'\\''s' "]),
        ("put hos", ["put host\\ file "]),
        ("cat hos", []),
        ("cat :/rea", ["cat :/readme.txt "]),
        ("cat game.db:/rea", ["cat game.db:/readme.txt "]),
        ("ls # rea", []),
        ("nosuch rea", []),
        ("cat /nosuch/", []),
    ],
)
def test_tab_completes_the_line(
    typed: str, lines: list[str], game: Path, work: Path
) -> None:
    (work / "host file").touch()
    with VirtualFileSystem(game) as vfs:
        for name in ("my file", "it's", "two\nlines"):
            vfs.touch(f"/o/{name}")
        shell = Shell(app(), ShellDesk("game.db", vfs, Typed()), keep_going=False)

        assert [*_shell_prompt.completed(typed, shell.answer)] == lines
