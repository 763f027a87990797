"""The shell: the commands of ``stratavfs`` over one container that stays open.

Lines come from a terminal or from a script; both are the same words. A command that
fails or is interrupted leaves the container as it was; a script ends there, somebody at
a terminal goes on. Nothing of the host is run from here.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from glob import glob
from typing import TYPE_CHECKING, Final, Self, cast

import click

from stratavfs.cli import (
    _commands,
    _completion,
    _output,
    _quoting,
    _shell_commands,
    _shell_prompt,
    _shell_words,
)
from stratavfs.cli._commands import HOST_PATH, command
from stratavfs.cli._output import Failure
from stratavfs.cli._shell_desk import Lines, ShellDesk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stratavfs import VirtualFileSystem
    from stratavfs.cli._containers import Desk
    from stratavfs.cli._shell_words import Line, Word

LEFT_OUT: Final = frozenset(("init", "shell", "completion"))
"""Commands that make no sense in a shell."""


class Group(click.Group):
    """The commands of a shell: its own, then those of the command line.

    Args:
        app: The command line's.
    """

    def __init__(self, app: click.Group) -> None:
        super().__init__(add_help_option=False)
        self._app = app

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        names = {*self._app.list_commands(ctx)} - LEFT_OUT
        return sorted(names | {*_shell_commands.COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command *cmd_name*."""
        if cmd_name in LEFT_OUT:
            return None
        own = _shell_commands.COMMANDS.get(cmd_name)
        return own or self._app.get_command(ctx, cmd_name)

    def make_context(  # type: ignore[override]
        self, _: str | None, args: list[str], *rest: object, **extra: object
    ) -> click.Context:
        """Return a context in which a command is called by its own name alone."""
        return super().make_context("", args, *rest, **extra)  # type: ignore[arg-type]


class Script:
    """Lines of a script.

    Args:
        name: What errors call it.
        lines: Its lines; text is UTF-8, what is none of it stays as it is.
    """

    interactive = False

    def __init__(self, name: str, lines: Iterable[bytes]) -> None:
        self.name = name
        self.number = 0  # of the line that was read last
        self._lines = iter(lines)

    def read(self, prompt: str) -> str | None:  # noqa: ARG002 - nobody is prompted
        """Return the next line without its end."""
        line = next(self._lines, None)
        if line is None:
            return None
        self.number += 1
        text = line.decode("utf-8", "surrogateescape")
        if self.number == 1:
            text = text.removeprefix("\ufeff")
        return text.rstrip("\r\n")

    def origin(self) -> str:
        """Return the script and the line."""
        return f"{self.name}:{self.number}: "


class Output:
    """Standard output, to be put back: what ends by Ctrl-C sends its own nowhere."""

    def __enter__(self) -> Self:
        self._kept = -1
        with suppress(OSError, ValueError):  # it may be none of the system's
            self._kept = os.dup(sys.stdout.fileno())
        return self

    def __exit__(self, *_: object) -> None:
        if self._kept >= 0:
            os.close(self._kept)

    def put_back(self) -> None:
        """Let output go where it went at the start."""
        if self._kept >= 0:
            _output.flush()  # to nowhere, still
            os.dup2(self._kept, sys.stdout.fileno())


class Shell:
    """The running of lines, one after the other, until their end.

    Args:
        app: The commands of the command line.
        desk: What they work on.
        keep_going: Whether a script goes on after an error.
    """

    def __init__(self, app: click.Group, desk: ShellDesk, *, keep_going: bool) -> None:
        self.group = Group(app)
        self.desk = desk
        self.lines = desk.lines
        self.output = Output()
        self.keep_going = keep_going

    @property
    def prompt(self) -> str:
        """What stands before a line: container, batch, directory."""
        star = "*" if self.desk.batch is not None else ""
        where = f"{self.desk.location}{star}:{self.desk.directory}"
        return f"{_quoting.one_line(where)}> "

    def run(self) -> int:
        """Run all lines; return the exit code."""
        with self.output:
            return self._run()

    def _run(self) -> int:
        worst = 0
        try:
            while self.desk.leaving is None:
                try:
                    code = self._next()
                except KeyboardInterrupt:
                    code = self._interrupted()
                if code is None:
                    break
                worst = worst or code
                if self._ends_by(code):
                    break
        finally:
            left_open = self._leave_batch()
        if self.desk.leaving:
            return self.desk.leaving
        if self.lines.interactive:
            return 0
        return worst or left_open

    def _ends_by(self, code: int) -> bool:
        """Tell whether a command that ended with *code* is the last one."""
        if code == _output.BROKEN_PIPE:
            return True
        if self.lines.interactive or not code:
            return False
        return code == _output.INTERRUPTED or not self.keep_going

    def _next(self) -> int | None:
        """Run the next line; return its exit code, None after the last one."""
        line = self.lines.read(self.prompt)
        if line is None:
            return None
        if isinstance(self.lines, _shell_prompt.Prompt):
            self.lines.keep(line)
        _output.COMPLAINTS.origin = self.lines.origin()
        try:
            code = self.run_line(line)
        finally:
            _output.COMPLAINTS.origin = ""
            self.desk.close()
        if code == _output.INTERRUPTED and self.lines.interactive:
            self.output.put_back()
        _output.flush()
        special = (0, _output.INTERRUPTED, _output.BROKEN_PIPE)
        return code if code in special else _output.FAILED

    def run_line(self, line: str) -> int:
        """Run one line; return its exit code."""
        try:
            words = self._with_body(_shell_words.split(line))
        except (ValueError, Failure) as error:
            _output.complain(str(error))
            return _output.USAGE
        if not words:
            return 0
        if words[0] not in self.group.list_commands(click.Context(self.group)):
            _output.complain(f"{words[0]}: no such command; see: help")
            return _output.USAGE
        told = _output.COMPLAINTS.count
        code = _commands.run(self.group, _with_hosts(words), self.desk)
        silent = told == _output.COMPLAINTS.count and code != _output.BROKEN_PIPE
        if code and silent and not self.lines.interactive:
            _output.complain(f"{words[0]}: ended with exit code {code}")
        return code

    def _with_body(self, words: list[Word]) -> list[Word]:
        """Return *words* without a ``<<END`` at their end, whose lines are read."""
        self.desk.body = None
        at = next((at for at, word in enumerate(words) if is_body(word)), None)
        if at is None:
            return words
        end = "".join(words[at:])[2:]
        lines = []
        while (line := self.lines.read("> ")) != end:
            if line is None:
                message = f"there is no line {end} to end what began with <<{end}"
                raise Failure(message)
            lines.append(f"{line}\n")
        if words[0] != "write" or not end or len(words) > at + 2:
            message = "<<END is for write: write PLACE <<END"
            raise Failure(message)
        self.desk.body = "".join(lines)
        return words[:at]

    def _interrupted(self) -> int:
        """Say that a line was given up before its command had begun."""
        if self.lines.interactive:
            print()  # noqa: T201 - the prompt comes on a line of its own
        else:
            _output.complain("interrupted; nothing was changed")
        return _output.INTERRUPTED

    def _leave_batch(self) -> int:
        """Take a batch that is open back; return the exit code."""
        if self.desk.batch is None:
            return 0
        with suppress(OSError):
            self.desk.roll_back()
        _output.complain("the batch was not committed: its changes are taken back")
        return _output.FAILED

    def answer(self, line: Line) -> _completion.Answers:
        """Return what *line* may become."""
        return _completion.answers(self.group, line, self.desk)


def _with_hosts(words: list[Word]) -> list[str]:
    """Return *words* with patterns of host files as what matches them, as a shell does.

    Only ``put`` takes several; its last word is a place.
    """
    if words[0] != "put":
        return [*words]
    found: list[str] = []
    for word in words[:-1]:
        matches = sorted(glob(word.pattern)) if word.is_pattern else []
        found += matches or [word]
    return [*found, words[-1]]


def is_body(word: Word) -> bool:
    """Tell whether *word* is ``<<``, with or without what ends the lines after it."""
    return word.startswith("<<") and all(word.bare[:2])


def run(
    app: click.Group,
    location: str,
    vfs: VirtualFileSystem,
    lines: Lines,
    *,
    keep_going: bool = False,
) -> int:
    """Run *lines* over the container at *location*, open as *vfs*; return the code."""
    desk = ShellDesk(location, vfs, lines)
    shell = Shell(app, desk, keep_going=keep_going)
    if not isinstance(lines, _shell_prompt.Prompt):
        return shell.run()
    lines.begin(shell.answer)
    try:
        return shell.run()
    finally:
        lines.end()


# --- the commands ---------------------------------------------------------------------


@command("shell", "stratavfs shell game.db -c 'ls -l /textures'")
@click.argument("db", metavar="DB", shell_complete=_completion.complete_container)
@click.argument("script", required=False, type=HOST_PATH, metavar="[SCRIPT|-]")
@click.option("-c", "text", metavar="TEXT", help="Run the lines of TEXT.")
@click.option("-k", "keep_going", is_flag=True, help="Go on after an error.")
@click.pass_context
def shell_command(
    ctx: click.Context,
    desk: Desk,
    db: str,
    script: str | None,
    text: str | None,
    keep_going: bool,
) -> None:
    """Run commands on one container, as typed or from a script.

    A script ends at its first error. In the shell, help tells more.
    """
    app = cast("click.Group", ctx.find_root().command)
    if script is not None and text is not None:
        message = "either a script or -c"
        raise click.UsageError(message)
    place = desk.place(db)
    try:
        vfs = desk.open(place, writing=True)
    except PermissionError:  # it is on a read-only medium, or another's
        vfs = desk.open(place)
    with _opened(script, text) as lines:
        desk.status = run(app, place.container or db, vfs, lines, keep_going=keep_going)


@contextmanager
def _opened(script: str | None, text: str | None) -> Iterator[Lines]:
    """Return a context with the lines of *script*, of *text*, or of standard input."""
    if text is not None:
        yield Script("-c", text.encode("utf-8", "surrogateescape").splitlines())
    elif script not in (None, "-"):
        with open(script, "rb") as stream:
            yield Script(script, stream)
    elif sys.stdin is None:
        message = "standard input is closed: name a script, or give -c TEXT"
        raise Failure(message)
    elif script is None and _output.is_terminal(sys.stdin):
        yield _shell_prompt.Prompt()
    else:
        yield Script("-", sys.stdin.buffer)


@command("completion", 'eval "$(stratavfs completion bash)"')
@click.argument("shell", type=click.Choice(list(_completion.SCRIPTS)))
def completion_command(desk: Desk, shell: str) -> None:
    """Print what makes the Tab key complete commands, options and places."""
    del desk
    _output.line(_completion.SCRIPTS[shell], end="")
