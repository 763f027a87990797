"""The commands that only a shell has: its directory, its batch, its end.

Each is a function of the :class:`ShellDesk`, as the commands of a command line are of
their desk.
"""

from __future__ import annotations

import os
from stat import S_ISDIR
from typing import TYPE_CHECKING, Any, Final, cast

import click

from stratavfs import errors
from stratavfs.cli import _completion, _output
from stratavfs.cli._commands import PLACE
from stratavfs.cli._containers import named
from stratavfs.cli._output import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

    from stratavfs.cli._shell_desk import ShellDesk

COMMANDS: Final[dict[str, click.Command]] = {}
"""The commands by name."""


def _command(
    *names: str, **settings: Any
) -> Callable[[Callable[..., Any]], click.Command]:
    """Return a decorator that makes a function the command of several *names*."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        bound: Callable[..., Any] = click.pass_obj(function)
        make: Callable[[Callable[..., Any]], click.Command]
        make = click.command(names[0], **settings)
        made = make(bound)
        COMMANDS.update(dict.fromkeys(names, made))
        return made

    return decorate


def _directories(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    found = _completion.complete(ctx, param, incomplete)
    return [item for item in found if item.value.endswith("/")]


def _host_directories(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    found = _completion.complete_host(ctx, param, incomplete)
    return [item for item in found if item.value.endswith("/")]


# --- directories ----------------------------------------------------------------------


@_command("cd")
@click.argument("directory", default="/", shell_complete=_directories)
def cd_command(desk: ShellDesk, directory: str) -> None:
    """Go to DIRECTORY of the container: / if it is left out, the last one for -."""
    to = desk.previous if directory == "-" else directory
    place = desk.place(to)
    if place.container != desk.default:
        message = f"{directory}: the shell stays in its container"
        raise Failure(message)
    with named(place):
        if not S_ISDIR(desk.vfs.stat(place.path).st_mode):
            raise errors.not_a_directory(desk.path(to))
    desk.previous, desk.directory = desk.directory, desk.path(to)
    if directory == "-":
        _output.line(_output.shown(desk.directory))


@_command("pwd")
def pwd_command(desk: ShellDesk) -> None:
    """Print the directory of the container where relative paths start."""
    _output.line(_output.shown(desk.directory))


@_command("lcd")
@click.argument("directory", default="~", shell_complete=_host_directories)
def lcd_command(desk: ShellDesk, directory: str) -> None:
    """Go to DIRECTORY of the host: your home if it is left out."""
    del desk
    os.chdir(os.path.expanduser(directory))


@_command("lpwd")
def lpwd_command(desk: ShellDesk) -> None:
    """Print the directory of the host."""
    del desk
    _output.line(_output.shown(os.getcwd()))


# --- writing --------------------------------------------------------------------------


@_command("write", context_settings={"allow_interspersed_args": False})
@click.argument("place", type=PLACE)
@click.argument("texts", nargs=-1, type=click.UNPROCESSED, metavar="[TEXT]...")
@click.option("-a", "append", is_flag=True, help="Append to what is there.")
@click.option("-n", "unended", is_flag=True, help="No newline after TEXT.")
def write_command(
    desk: ShellDesk, place: str, texts: tuple[str, ...], append: bool, unended: bool
) -> None:
    """Write TEXT, and a newline, to one file.

    Without TEXT, lines are read up to Ctrl-D; with <<END after PLACE, up to a line that
    is END.
    """
    target = desk.place(place)
    if texts and desk.body is not None:
        message = "write: either TEXT or <<"
        raise Failure(message)
    text = " ".join(texts) + ("" if unended else "\n") if texts else _lines(desk)
    with desk.changing([target], several=False):
        vfs = desk.open(target, writing=True)
        with named(target), vfs.open(target.path, "ab" if append else "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))


def _lines(desk: ShellDesk) -> str:
    if desk.body is not None:
        body, desk.body = desk.body, None
        return body
    if not desk.lines.interactive:
        message = "write: give TEXT, or <<END and lines up to END"
        raise Failure(message)
    lines = []
    while (line := desk.lines.read("")) is not None:
        lines.append(f"{line}\n")
    return "".join(lines)


# --- batch ----------------------------------------------------------------------------


@_command("begin", "batch")
def begin_command(desk: ShellDesk) -> None:
    """Begin a batch: what follows is kept by commit, or not at all.

    Other programs can read the container meanwhile, but not change it.
    """
    desk.begin_batch()


@_command("commit")
def commit_command(desk: ShellDesk) -> None:
    """Keep what was done since begin."""
    desk.commit()


@_command("rollback")
def rollback_command(desk: ShellDesk) -> None:
    """Take back what was done since begin."""
    desk.roll_back()


@_command("status")
def status_command(desk: ShellDesk) -> None:
    """Tell where the shell is, and whether a batch is open."""
    batch = "none" if desk.batch is None else "open: commit or rollback ends it"
    layers = ", ".join(str(layer["name"]) for layer in desk.vfs.list_layers())
    rows = [
        ("container:", desk.location + (" (read-only)" * desk.vfs.read_only)),
        ("directory:", desk.directory),
        ("host directory:", os.getcwd()),
        ("layers:", layers),
        ("batch:", batch),
    ]
    _output.lines(_output.table([(key, _output.shown(text)) for key, text in rows]))


# --- help and the end -----------------------------------------------------------------


@_command("exit", "quit")
@click.argument("code", type=click.IntRange(0, 255), default=0)
def exit_command(desk: ShellDesk, code: int) -> None:
    """Leave the shell, with CODE as its exit code. A batch is taken back."""
    desk.leaving = code


def _names(
    ctx: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    group = ctx.find_root().command
    return group.shell_complete(ctx.find_root(), incomplete)


@_command("help")
@click.argument("name", required=False, shell_complete=_names)
@click.pass_context
def help_command(ctx: click.Context, _: ShellDesk, name: str | None) -> None:
    """Tell what there is, or what the command NAME does."""
    group = cast("click.Group", ctx.find_root().command)
    if name is None:
        own = sorted(COMMANDS)
        others = sorted({*group.list_commands(ctx)} - {*own})
        _output.line(_HELP.format(own=_wrapped(own), others=_wrapped(others)), end="")
        return
    command = group.get_command(ctx, name)
    if command is None:
        message = f"help: {name}: no such command"
        raise Failure(message)
    with click.Context(command, info_name=name) as about:
        _output.line(command.get_help(about))


def _wrapped(names: list[str]) -> str:
    return click.wrap_text(" ".join(names), 78, "  ", "  ")


_HELP: Final = """\
Commands of the shell:
{own}
Commands on files, as on the command line:
{others}
help NAME tells more of one. Paths are in the container, from the directory on
that pwd tells; put, get, import and export name files of the host too.
Words are quoted as in other shells: 'my file', "it's", my\\ file, $'two\\nlines'.
"""
