"""Words of arguments, and what a shell makes of half a line: seldom cases of both."""

from __future__ import annotations

import os
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from tests import ground
from tests.cli.running import FILES, ok, refused, run

from stratavfs import VirtualFileSystem
from stratavfs.cli import (
    _app,
    _completion,
    _output,
    _quoting,
    _shell,
    _shell_prompt,
    _shell_words,
    _words,
)
from stratavfs.cli._shell_desk import ShellDesk

if TYPE_CHECKING:
    from collections.abc import Callable


def change(make: Callable[[VirtualFileSystem], object]) -> None:
    """Let *make* change ``game.db``."""
    with VirtualFileSystem("game.db") as vfs:
        make(vfs)


# --- words ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "remedy"),
    [
        ("--min-size=big", "'big' is no size: write bytes, or 4K, 10M, 1G"),
        ("--newer=soon", "'soon' is no moment: write 2026-01-31"),
        ("--older=@x", "'@x' is no moment"),
        ("--meta=author", "'author' should be KEY=VALUE"),
        ("--meta==x", "'=x' should be KEY=VALUE"),
    ],
)
def test_word_that_is_none_is_a_usage_error(
    game: Path, option: str, remedy: str
) -> None:
    line = refused("find", "game.db:/", option, code=2)

    assert remedy in line


def test_moment_may_be_an_age_or_seconds(game: Path) -> None:
    before = time.time() - 7 * 86400

    age = _words.moment("7d")

    assert before <= age <= time.time() - 7 * 86400
    assert ok("find", "game.db:/", "--newer", "@99999999999").out == b""
    assert len(ok("find", "game.db:/", "--older", "0s").lines) == len(FILES)


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("", "''"),
        ("{", "'{'"),
        ("#a", "'#a'"),
        ("a'$b", "'a'\\''$b'"),
        ("a\u202e\udcff", "'a'$'\\342\\200\\256\\377'"),
    ],
)
def test_quoted_is_a_word_of_a_shell(name: str, quoted: str) -> None:
    assert _quoting.quoted(name) == quoted


@pytest.mark.parametrize(
    ("size", "shown"),
    [(9 << 10, "9.0K"), (1 << 20, "1.0M"), ((1 << 20) - 1, "1.0M"), (1 << 70, "1024E")],
)
def test_human_rounds_up_to_the_next_unit(size: int, shown: str) -> None:
    assert _output.human(size) == shown


# --- completion -----------------------------------------------------------------------


def values(line: str) -> list[str]:
    found = _completion.answers(_app.app, _shell_words.scan(line))
    return [item.value for item in found.items]


def in_shell(line: str) -> list[str]:
    """Return what a line in the shell of ``game.db`` may become."""
    script = _shell.Script("-c", [])
    with VirtualFileSystem("game.db") as vfs:
        desk = ShellDesk("game.db", vfs, script)
        shell = _shell.Shell(_app.app, desk, keep_going=False)
        return [item.value for item in shell.answer(_shell_words.scan(line)).items]


def test_complete_in_the_shell_knows_directories_of_both_sides(game: Path) -> None:
    Path("here").mkdir()
    Path("hero").touch()

    assert in_shell("cd ") == ["bin/", "docs/", "empty/"]
    assert in_shell("lcd he") == ["here/"]
    assert in_shell("cd nowhere/") == in_shell("lcd nowhere/") == []


def test_complete_in_the_shell_knows_other_containers(game: Path, empty: Path) -> None:
    with VirtualFileSystem("empty.db") as vfs:
        vfs.touch("/one")

    assert in_shell("cat empty.db:/o") == ["empty.db:/one"]


def test_shell_has_no_shell_in_it(game: Path) -> None:
    group = _shell.Group(_app.app)
    context = click.Context(group)

    assert [group.get_command(context, name) for name in _shell.LEFT_OUT] == [None] * 3
    assert "shell" not in group.list_commands(context)
    ran = run("shell", "game.db", "-c", "shell game.db")
    assert (ran.code, ran.out) == (1, b"")
    assert "shell: no such command" in ran.err


def test_complete_of_a_container_that_is_missing_is_nothing(work: Path) -> None:
    assert values("cp ./no:") == values("ls no.db:/") == []
    assert values("shell nowhere/") == []


def test_complete_of_what_cannot_be_read_is_no_container(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, _: str) -> None:
        raise PermissionError(13, os.strerror(13), path)

    before = values("ls g")
    monkeypatch.setattr(_completion, "open", refuse, raising=False)

    assert (before, values("ls g")) == (["game.db:"], [])


def test_inserted_keeps_a_tilde_that_means_home() -> None:
    word = _shell_words.scan("cat ~/my").last

    assert word is not None
    assert _completion.inserted(["~/my file"], word) == ["~/my\\ file"]


def test_inserted_of_what_is_quoted_unalike_begins_alike() -> None:
    found = _completion.inserted(["my dir/", "my's"], _shell_words.Word("my"))

    assert found == ["my dir/", "my's"]


def test_completion_for_fish_leaves_out_names_of_two_lines(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(lambda vfs: vfs.touch("/empty/two\nlines"))
    change(lambda vfs: vfs.touch("/empty/one"))
    monkeypatch.setenv("_STRATAVFS_COMPLETE", "fish")
    monkeypatch.setenv("_STRATAVFS_LINE", "stratavfs cat game.db:/empty/")

    assert ok().out == b"game.db:/empty/one\t\n"


def test_completion_for_an_unknown_shell_is_nothing(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_STRATAVFS_COMPLETE", "csh")
    monkeypatch.setenv("_STRATAVFS_LINE", "stratavfs ca")

    assert ok().out == b""


# --- shell ----------------------------------------------------------------------------


def test_shell_of_a_container_that_cannot_be_written_only_reads(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = VirtualFileSystem.__init__

    def guarded(
        vfs: VirtualFileSystem, path: str, *, read_only: bool = False, **more: object
    ) -> None:
        if not read_only:
            raise PermissionError(13, os.strerror(13), path)
        whole(vfs, path, read_only=True, **more)  # type: ignore[arg-type]

    before = ground.dump_of(game)
    with monkeypatch.context() as patch:
        patch.setattr(VirtualFileSystem, "__init__", guarded)
        ran = run("shell", "game.db", "-c", "cat readme.txt\nrm readme.txt")

    assert (ran.code, ran.text) == (1, "hello\n")
    assert ran.err.startswith("stratavfs: -c:2: ")
    assert ground.dump_of(game) == before


def test_shell_of_a_script_and_a_text_is_a_usage_error(game: Path) -> None:
    line = refused("shell", "game.db", "script", "-c", "ls", code=2)

    assert "either a script or -c" in line


def test_shell_write_of_text_and_lines_refuses(game: Path) -> None:
    before = ground.dump_of(game)

    ran = run("shell", "game.db", "-c", "write new some <<END\nthing\nEND")

    assert ran.code == 1
    assert "either TEXT or <<" in ran.err
    assert ground.dump_of(game) == before


def test_history_on_windows_is_where_applications_keep_theirs(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("LOCALAPPDATA", str(work))
    windows = types.SimpleNamespace(**{**vars(os), "name": "nt"})
    monkeypatch.setattr(_shell_prompt, "os", windows)

    assert _shell_prompt.history_file() == str(work / "stratavfs" / "history")


def test_history_of_nothing_makes_no_file(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(work / "state"))

    _shell_prompt.save_history([])

    assert os.listdir(work) == []


@pytest.mark.parametrize("escape", ["\\", "\\n"])
def test_scan_of_half_an_escape_keeps_what_is_before(escape: str) -> None:
    word = _shell_words.scan(f"cat $'a{escape}").last

    assert word == "a" + "\n" * (len(escape) - 1)
