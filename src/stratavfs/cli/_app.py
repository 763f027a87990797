"""The command ``stratavfs``: all its commands by name, each loaded when it is used."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Final

import click

from stratavfs import __version__
from stratavfs.cli import _commands, _output
from stratavfs.cli._containers import Desk, uninterrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

# By kind, in the order of the help: (title, modules with their commands).
KINDS: Final = (
    (
        "Look",
        {
            "_looking": ("ls", "tree", "du", "stat", "info"),
            "_reading": ("cat", "head", "find", "grep"),
        },
    ),
    (
        "Change",
        {
            "_writing": ("init", "write", "mkdir", "touch", "rm", "ln", "chmod"),
            "_copying": ("cp", "mv", "put", "get"),
        },
    ),
    ("Trees", {"_transfer": ("import", "export", "archive")}),
    (
        "Layers",
        {
            "_stacking": (
                *("layers", "which", "explain", "conflicts"),
                *("diff", "revert", "apply", "flatten"),
            )
        },
    ),
    ("Upkeep", {"_upkeep": ("check", "repair", "backup", "compact", "pack")}),
    ("More", {"_shell": ("shell", "completion")}),
)
MODULES: Final = {
    name: module
    for _, modules in KINDS
    for module, names in modules.items()
    for name in names
}

HELP: Final = """\
A file system in one SQLite file.

DB:/path is a place in the container DB, DB: its root; :/path is in the one that
STRATAVFS_DB names.
"""


class Commands(click.Group):
    """A group that imports the module of a command when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        del ctx
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command *cmd_name*."""
        del ctx
        module = MODULES.get(cmd_name)
        if module is None:
            return None
        loaded = importlib.import_module(f"stratavfs.cli.{module}")
        return next(
            found
            for found in vars(loaded).values()
            if isinstance(found, click.Command) and found.name == cmd_name
        )

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """List the commands by their kinds: one screen has no room for a line each."""
        del ctx
        rows = [
            (title, " ".join(name for names in modules.values() for name in names))
            for title, modules in KINDS
        ]
        with formatter.section("Commands (more: stratavfs COMMAND --help)"):
            formatter.write_dl(rows)


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        _output.line(f"{_output.PROGRAM} {__version__}")
        ctx.exit()


@click.pass_context
def _start(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(_output.USAGE)


app: Final = Commands(
    name=_output.PROGRAM,
    callback=_start,
    invoke_without_command=True,
    subcommand_metavar="COMMAND ...",
    params=[
        *_commands.common_options(hidden=False),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Show the version.",
        ),
    ],
    help=HELP,
    context_settings={"max_content_width": 80},
)
"""The group of all commands."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line *arguments*, those of the program if left out."""
    if "_STRATAVFS_COMPLETE" in os.environ:
        from stratavfs.cli import _completion  # noqa: PLC0415 - asked by a shell alone

        _completion.answer(app)
        return 0
    desk = Desk()
    try:
        given = sys.argv[1:] if arguments is None else arguments
        return _commands.run(app, given, desk)
    finally:
        with uninterrupted():
            desk.close()
