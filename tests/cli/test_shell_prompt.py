"""The shell's prompt: what it asks of readline, and the history that it keeps."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Any, cast

import pytest

from stratavfs import VirtualFileSystem
from stratavfs.cli import _app, _shell_prompt
from stratavfs.cli._shell import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import click


def app() -> click.Group:
    return cast("click.Group", _app.app)


class Readline:
    """What the prompt asks of readline, which belongs to the whole interpreter."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc
        self.history: list[str] = []
        self.bound: list[str] = []
        self.completer: Callable[[str, int], str | None] | None = None
        self.show: Callable[..., None] | None = None

    def set_auto_history(self, _: bool) -> None: ...
    def set_completer_delims(self, _: str) -> None: ...

    def add_history(self, line: str) -> None:
        self.history.append(line)

    def get_current_history_length(self) -> int:
        return len(self.history)

    def get_history_item(self, number: int) -> str:
        return self.history[number - 1]

    def get_line_buffer(self) -> str:
        return "cat "

    def parse_and_bind(self, text: str) -> None:
        self.bound.append(text)

    def set_completer(self, completer: Any) -> None:
        self.completer = completer

    def set_completion_display_matches_hook(self, hook: Any) -> None:
        self.show = hook


def test_prompt_keeps_lines_and_shows_what_they_may_become(
    game: Path,
    work: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(work / "state"))
    _shell_prompt.save_history(["old"])
    readline = Readline("GNU readline")
    monkeypatch.setattr(_shell_prompt, "readline", readline)
    typed = iter(["cat readme.txt", "cat readme.txt", " pwd", "write /a", "text"])
    found: list[str | None] = []

    def type_line(prompt: str) -> str:
        assert readline.completer is not None
        assert readline.show is not None
        found.append(readline.completer("cat rea", 0))
        found.append(readline.completer("cat rea", 1))
        if prompt:
            listed = [readline.completer("cat docs/", number) for number in range(5)]
            assert listed[1::3] == ["cat docs/b.md ", None]
            readline.show("", ["cat docs/a.md ", "cat docs/deep/"], 9)
        line = next(typed, None)
        if line is None:
            raise EOFError
        return line

    monkeypatch.setattr("builtins.input", type_line)
    with VirtualFileSystem(game) as vfs:
        code = run(app(), "game.db", vfs, _shell_prompt.Prompt())

    assert code == 0
    assert found[:2] == ["cat readme.txt ", None]
    assert found[-4:] == [None, None, "cat readme.txt ", None]  # text, then a command
    assert "\na.md   deep/\ngame.db:/> cat " in capsys.readouterr().out
    assert _shell_prompt.load_history() == ["old", "cat readme.txt", "write /a"]
    assert readline.bound == ["tab: complete"]
    assert readline.completer is None


def test_prompt_does_without_readline_or_with_another(
    game: Path, monkeypatch: pytest.MonkeyPatch, work: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(work / "state"))
    monkeypatch.setattr("builtins.input", lambda _: "exit 4")
    libedit = Readline("Importing this module enables libedit")
    with VirtualFileSystem(game) as vfs:
        for readline in (None, libedit):
            monkeypatch.setattr(_shell_prompt, "readline", readline)

            assert run(app(), "game.db", vfs, _shell_prompt.Prompt()) == 4

    assert libedit.bound == ["bind ^I rl_complete"]
    assert libedit.show is None


@pytest.mark.parametrize(
    ("platform", "variable", "path"),
    [
        ("darwin", "HOME", "Library/Application Support/stratavfs/history"),
        ("linux", "HOME", ".local/state/stratavfs/history"),
        ("linux", "XDG_STATE_HOME", "stratavfs/history"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="HOME is another name there")
def test_history_is_where_the_platform_keeps_state(
    platform: str,
    variable: str,
    path: str,
    work: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv(variable, str(work))
    monkeypatch.setattr(sys, "platform", platform)

    assert _shell_prompt.history_file() == str(work / path)


def test_history_is_private_and_bounded(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(work / "state"))
    file = work / "state" / "stratavfs" / "history"
    assert _shell_prompt.load_history() == []

    _shell_prompt.save_history([f"ls {number}" for number in range(700)])
    _shell_prompt.save_history([f"cat é{number}" for number in range(700)])

    kept = _shell_prompt.load_history()
    assert len(kept) == _shell_prompt.KEPT == len(file.read_text("utf-8").splitlines())
    assert (kept[0], kept[-1]) == ("ls 400", "cat é699")
    assert os.listdir(file.parent) == ["history"]
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_history_that_cannot_be_written_is_none(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(work / "file"))

    _shell_prompt.save_history(["ls"])

    assert _shell_prompt.load_history() == []
    assert os.listdir(work) == ["file"]
