"""The shell as a person uses it: at a terminal, with Tab, arrows, Ctrl-C and Ctrl-D."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests import ground
from tests.cli.running import COMMAND, FILES, LONG, environment, spawn
from tests.cli.terminal import Terminal, until_asleep

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="terminals and signals"),
]

PROMPT = "game.db:/> "
OPEN = "game.db*:/> "
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "shell.md"


@pytest.fixture
def shell(game: Path, work: Path) -> Iterator[Terminal]:
    """The shell of ``game.db`` at its first prompt."""
    with Terminal(
        [*COMMAND, "shell", "game.db"], XDG_STATE_HOME=str(work / "state")
    ) as shell:
        shell.until(PROMPT)
        yield shell


def leave(shell: Terminal) -> int:
    """Type Ctrl-D; return the exit code."""
    shell.type("\x04")
    return shell.end()


# --- keys -----------------------------------------------------------------------------


def test_tab_completes_and_lists(shell: Terminal) -> None:
    shell.type("cat /rea\t")
    assert shell.until("/readme.txt ") == "cat "
    shell.type("docs/\t\t")  # the second one lists
    assert shell.until("a.md   b.md   deep/  up\n").endswith("docs/\n")
    assert shell.until("docs/") == PROMPT + "cat /readme.txt "
    shell.type("d\t")
    shell.until("eep/")
    shell.type("\t\n")

    assert shell.until(PROMPT).startswith("long.txt \nhello\nline 1\n")
    assert leave(shell) == 0


def test_arrows_go_through_a_history_that_stays(shell: Terminal, work: Path) -> None:
    shell.ask("pwd", PROMPT)
    shell.ask("cat readme.txt", PROMPT)
    shell.ask(" ls", PROMPT)  # begins with a blank: not kept
    shell.ask("cat readme.txt", PROMPT)
    assert leave(shell) == 0

    history = work / "state" / "stratavfs" / "history"
    assert history.read_text("utf-8") == "pwd\ncat readme.txt\n"
    assert history.stat().st_mode & 0o777 == 0o600

    command = [*COMMAND, "shell", "game.db"]
    with Terminal(command, XDG_STATE_HOME=str(work / "state")) as again:
        again.until(PROMPT)
        again.type("\x10\x10")  # Ctrl-P twice, as the arrow up
        again.until("pwd")
        again.type("\n")
        assert again.until(PROMPT).endswith("/\n")
        assert leave(again) == 0


def test_interrupt_at_the_prompt_gives_the_line_up(shell: Terminal, game: Path) -> None:
    shell.type("rm -r docs")
    shell.until("rm -r docs")
    shell.interrupt()
    shell.until(PROMPT)

    assert shell.ask("cat readme.txt", PROMPT) == "hello\n"
    assert leave(shell) == 0
    assert ground.tree_of(game) == FILES


def test_interrupt_of_a_command_takes_back_what_it_did(
    shell: Terminal, game: Path, work: Path
) -> None:
    (work / "first").write_text("1")
    os.mkfifo(work / "slow")
    shell.ask("begin", OPEN)
    shell.ask("write /kept 1", OPEN)
    shell.ask("write -n /x y", OPEN)
    shell.type("put first slow /docs\n")
    with open(work / "slow", "wb") as writer:  # opened by both: it has begun
        writer.write(b"half")
        writer.flush()
        shell.interrupt()
        shown = shell.until(OPEN)
    assert "stratavfs: interrupted; nothing was changed\n" in shown
    assert "first" not in shell.ask("ls docs", OPEN)
    shell.ask("commit", PROMPT)

    assert leave(shell) == 0
    assert ground.tree_of(game) == FILES | {"/kept": b"1\n", "/x": b"y"}


def test_leaving_with_an_open_batch_says_so(shell: Terminal, game: Path) -> None:
    shell.ask("begin", OPEN)
    shell.ask("rm -r docs", OPEN)

    assert leave(shell) == 0
    assert "the batch was not committed: its changes are taken back" in shell.unread
    assert ground.tree_of(game) == FILES


def test_names_obey_no_terminal(shell: Terminal) -> None:
    shell.ask(r"mkdir $'/\e[31mred\n'", PROMPT)
    shell.ask(r"cd $'/\e[31mred\n'", r"game.db:/\x1b[31mred\n> ")

    assert leave(shell) == 0
    assert "\x1b" not in shell.shown


# --- pipes and signals ----------------------------------------------------------------


def test_script_moves_bytes_through_pipes(game: Path) -> None:
    ran = spawn("shell", "game.db", "-", stdin=b"cat all.bin\ncat all.bin")

    assert ran == (0, bytes(range(256)) * 2, "")


def test_script_whose_reader_goes_ends_quietly(game: Path) -> None:
    lines = b"write /a 1\n" + b"cat all.bin\n" * 2000 + b"write /b 2\n"
    with subprocess.Popen(
        [*COMMAND, "shell", "game.db", "-k"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as child:
        assert child.stdin
        assert child.stdout
        assert child.stderr
        child.stdout.close()
        try:
            child.stdin.write(lines)
            child.stdin.close()
        except BrokenPipeError:
            pass
        assert child.stderr.read() == b""
        assert child.wait(LONG) == 141

    assert ground.tree_of(game) == FILES | {"/a": b"1\n"}


def test_script_that_is_interrupted_ends_there(game: Path, work: Path) -> None:
    os.mkfifo(work / "slow")
    with subprocess.Popen(
        [*COMMAND, "shell", "game.db", "-k", "-c", "touch /a\nput slow /b\ntouch /c"],
        stderr=subprocess.PIPE,
        env=environment(),
    ) as child:
        with open(work / "slow", "wb"):
            until_asleep(child.pid)
            child.send_signal(signal.SIGINT)
            assert child.stderr
            said = child.stderr.read().decode()
        assert child.wait(LONG) == 130

    assert said == "stratavfs: -c:2: interrupted; nothing was changed\n"
    assert ground.tree_of(game) == FILES | {"/a": b""}


def test_killed_shell_leaves_its_batch_undone(shell: Terminal, game: Path) -> None:
    shell.ask("begin", OPEN)
    shell.ask("rm -r docs", OPEN)
    shell.child.kill()
    shell.child.wait(LONG)

    assert spawn("ls", "-1", "game.db:/docs").lines == ["a.md", "b.md", "deep", "up"]
    assert spawn("check", "game.db").code == 0


# --- the page -------------------------------------------------------------------------

FILE = re.compile(r"^```text\n# ([\w.-]+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
INPUT = re.compile(r"^(\$ |> |game\.db\*?:\S+> )(.*)$", re.MULTILINE)


def test_page_shows_what_a_terminal_does(work: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    text = PAGE.read_text("utf-8")
    for name, content in FILE.findall(text):
        (work / name).write_text(f"# {name}\n{content}", "utf-8")

    shown = []
    with Terminal(
        ["bash", "--norc", "-i"],
        PS1="$ ",
        PYTHON=sys.executable,
        XDG_STATE_HOME=str(work / "state"),
    ) as bash:
        bash.until("$ ")
        bash.ask('stratavfs() { "$PYTHON" -m stratavfs "$@"; }', "$ ")
        for console in CONSOLE.findall(text):
            seen = "$ "
            for (_, line), after in zip(
                INPUT.findall(console), prompts_after(console), strict=True
            ):
                seen += f"{line}\n{bash.ask(line, after)}{after}"
            shown.append(seen.removesuffix("$ "))

    assert shown == CONSOLE.findall(text)
    assert len(shown) > 4


def prompts_after(console: str) -> list[str]:
    """Return the prompt that each line of *console* leads to."""
    prompts = [prompt for prompt, _ in INPUT.findall(console)]
    return [*prompts[1:], "$ "]
