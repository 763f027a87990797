"""Completion: what half a command line may become, in Python and in a real bash."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from tests.cli.running import ok, run
from tests.cli.terminal import Terminal

from stratavfs import VirtualFileSystem
from stratavfs.cli import _completion, _shell_words
from stratavfs.cli._app import app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Ask = Callable[[str, str], list[str]]

ODD = ("my file", "it's", 'say "hi"', "two\nlines", "a:b", "$HOME", "-x", "é*", "#1")


def values(line: str) -> list[str]:
    """Return the words that the last one of *line* may become."""
    found = _completion.answers(app, _shell_words.scan(line))
    return [item.value for item in found.items]


def files_below(path: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file()}


# --- commands, options, places --------------------------------------------------------


def test_complete_of_a_command_is_its_name() -> None:
    assert values("ca") == ["cat"]
    assert {"ls", "shell", "completion"} <= {*values("")}


def test_complete_of_an_option_is_its_name(game: Path) -> None:
    assert values("ls --js") == ["--json"]
    assert values("cat game.db:/readme.txt --tr") == []  # it is hidden


def test_complete_of_a_place_is_a_container_first(game: Path, work: Path) -> None:
    (work / "games").mkdir()
    (work / "gallery.txt").write_text("SQLite format 3\0 or so")
    shutil.copyfile(game, work / "games" / "old.sav")

    assert values("ls g") == ["game.db:", "games/"]
    assert values("ls games/") == ["games/old.sav:"]
    assert values("ls ./games/o") == ["./games/old.sav:"]


def test_complete_of_a_place_is_a_path_in_the_container(game: Path) -> None:
    assert values("ls game.db:") == [
        *("game.db:/all.bin", "game.db:/bin/", "game.db:/docs/", "game.db:/empty/"),
        *("game.db:/link", "game.db:/readme.txt"),
    ]
    assert values("ls -l game.db:/docs/") == [
        *("game.db:/docs/a.md", "game.db:/docs/b.md"),
        *("game.db:/docs/deep/", "game.db:/docs/up"),
    ]
    assert values("cat game.db:/bin/run.sh game.db:/docs/../re") == [
        "game.db:/docs/../readme.txt"
    ]


def test_complete_of_either_side_knows_the_host_too(game: Path, work: Path) -> None:
    (work / "gold.txt").touch()

    assert values("cp g") == ["game.db", "game.db:", "gold.txt"]
    assert values("ls g") == ["game.db:"]
    assert values("cp ./gold") == ["./gold.txt"]
    assert values("put go") == values("import go") == ["gold.txt"]
    assert values("cp gold.txt game.db:/do") == ["game.db:/docs/"]


def test_complete_of_a_bare_path_is_of_the_named_container(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRATAVFS_DB", str(game))

    assert values("cat /re") == ["/readme.txt"]
    assert values("cat :/re") == [":/readme.txt"]


def test_complete_of_a_container_names_files_and_directories(
    game: Path, work: Path
) -> None:
    (work / "gone").mkdir()
    (work / "gun").touch()

    assert values("shell g") == ["game.db", "gone/"]


def test_complete_of_an_options_value_keeps_the_option(game: Path, work: Path) -> None:
    (work / "mods.toml").touch()

    assert values("ls --stack=mo") == ["--stack=mods.toml"]
    assert values("ls --stack mo") == ["mods.toml"]


@pytest.mark.parametrize(
    "line",
    [
        "ls nosuch.db:/",
        "ls text.txt:/",
        "ls game.db:/nosuch/",
        "ls game.db:/readme.txt/",
        "nosuch game.db:/",
        "ls # game.db:/",
        "ls :/",
        "ls pipe",
        "put nosuch/",
    ],
)
def test_complete_of_nonsense_is_nothing(line: str, game: Path, work: Path) -> None:
    (work / "text.txt").write_text("no container")
    if hasattr(os, "mkfifo"):
        os.mkfifo(work / "pipe")  # nobody writes to it
    before = files_below(work)

    assert values(line) == []
    assert files_below(work) == before


def test_complete_makes_no_file_and_sees_an_open_log(game: Path, work: Path) -> None:
    before = files_below(work)
    assert values("cat game.db:/re") == ["game.db:/readme.txt"]
    assert files_below(work) == before

    with VirtualFileSystem(game) as vfs:
        vfs.touch("/recent")
        names = sorted(os.listdir(work))

        assert values("cat game.db:/re") == ["game.db:/readme.txt", "game.db:/recent"]
        assert sorted(os.listdir(work)) == names


# --- what a shell is handed -----------------------------------------------------------


@pytest.fixture
def asked(game: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """A function that asks as the scripts do."""

    def ask(shell: str, line: str) -> list[str]:
        monkeypatch.setenv("_STRATAVFS_COMPLETE", shell)
        monkeypatch.setenv("_STRATAVFS_LINE", line)
        monkeypatch.setenv("_STRATAVFS_BREAKS", " \t\n\"'@><=;|&(:")
        ran = run()
        assert (ran.code, ran.err) == (0, "")
        return ran.text.rstrip("\0\n").replace("\0", "\n").split("\n")

    return ask


def test_answer_to_bash_begins_where_bash_breaks(asked: Ask) -> None:
    assert asked("bash", "stratavfs cat game.db:/read") == ["/readme.txt "]
    assert asked("bash", "stratavfs cat game.d") == ["game.db:"]
    assert asked("bash", "stratavfs ls --js") == ["--json "]
    assert asked("bash", 'stratavfs cat "game.db:/rea') == ["game.db:/readme.txt"]


def test_answer_to_zsh_and_fish_is_whole_words(asked: Ask) -> None:
    assert asked("zsh", "stratavfs cat game.db:/read") == ["game.db:/readme.txt"]
    assert asked("fish", "stratavfs cat game.db:/em") == ["game.db:/empty/\t"]
    assert asked("fish", "stratavfs ls --js") == ["--json\tOne JSON list."]
    assert asked("tcsh", "stratavfs ls --js") == [""]
    assert asked("bash", "strata") == [""]


def test_answer_in_quotes_escapes_what_ends_them(asked: Ask, game: Path) -> None:
    ok("touch", *(f"game.db:/odd/{name}" for name in ODD))

    assert asked("bash", 'stratavfs cat "game.db:/odd/s') == [
        'game.db:/odd/say \\"hi\\"'
    ]
    assert asked("bash", "stratavfs cat 'game.db:/odd/i") == ["game.db:/odd/it'\\''s"]
    assert asked("bash", "stratavfs cat game.db:/odd/t") == ["/odd/two$'\\n'lines "]


@pytest.mark.parametrize("name", ODD)
def test_quoted_name_is_read_back_as_it_was(name: str) -> None:
    for line in (
        f"cat {_shell_words.quoted(name)}",
        f'cat "{_shell_words.quoted(name, chr(34))}"',
        f"cat '{_shell_words.quoted(name, chr(39))}'",
    ):
        word = _shell_words.split(line)[1]

        assert word == name
        assert not word.is_pattern


def test_scripts_are_printed_for_each_shell() -> None:
    assert "complete -o nospace -F" in ok("completion", "bash").text
    assert "compdef" in ok("completion", "zsh").text
    assert "complete -c stratavfs" in ok("completion", "fish").text
    assert run("completion", "tcsh").code == 2


# --- a real bash ----------------------------------------------------------------------


@pytest.fixture
def bash(game: Path) -> Iterator[Terminal]:
    """An interactive bash that has read our script."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    with Terminal(["bash", "--norc", "-i"], PS1="$ ", PYTHON=sys.executable) as bash:
        bash.until("$ ")
        bash.ask('stratavfs() { "$PYTHON" -m stratavfs "$@"; }', "$ ")
        bash.ask('eval "$(stratavfs completion bash)"', "$ ")
        yield bash


def completed(bash: Terminal, typed: str) -> str:
    """Type *typed*, the Tab key, and a mark; return the line up to the mark.

    It is not run: it stands behind ``false``.
    """
    bash.type(f"false && {typed}\t~~~")
    line = bash.until("~~~")
    bash.type("\n")
    bash.until("$ ")
    return line.removeprefix("false && ")


@pytest.mark.slow
def test_bash_completes_paths_behind_the_colon(bash: Terminal) -> None:
    for typed, line in (
        ("stratavfs ca", "stratavfs cat "),
        ("stratavfs cat g", "stratavfs cat game.db:"),
        ("stratavfs cat game.db:/docs/de", "stratavfs cat game.db:/docs/deep/"),
        ("stratavfs cat -- game.db:/rea", "stratavfs cat -- game.db:/readme.txt "),
        ('stratavfs cat "game.db:/rea', 'stratavfs cat "game.db:/readme.txt"'),
    ):
        assert completed(bash, typed) == line


@pytest.mark.slow
def test_bash_runs_what_it_has_completed_of_odd_names(
    bash: Terminal, game: Path
) -> None:
    for number, name in enumerate(ODD):
        path = f"game.db:/odd{number}/{name}"
        ok("write", path, stdin=f"content {number}\n".encode())

    for number in range(len(ODD)):
        bash.type(f"stratavfs cat game.db:/odd{number}/\t\n")
        bash.until("\n")

        assert bash.until("$ ") == f"content {number}\n"
