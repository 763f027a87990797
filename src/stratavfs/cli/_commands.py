"""Commands: the options that all have, and how one is run to its exit code.

A command is a function of the desk and its arguments; ``@command`` makes it one of
click's. Places are taken as texts and read by the desk, so that ``ls`` in a shell and
on a command line are the same function. :func:`run` is the one place that turns
exceptions into lines on standard error and exit codes.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from stratavfs.cli import _output, _stacks
from stratavfs.cli._containers import Desk, named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from click.shell_completion import CompletionItem

    from stratavfs import VirtualFileSystem
    from stratavfs.cli._places import Place

EPILOG: Final = "More options, of every command: stratavfs --help"


if TYPE_CHECKING:
    _Text = click.ParamType[str]
else:  # no generic class before click 8.5
    _Text = click.ParamType


class PlaceType(_Text):
    """A place, as a text: here it only brings completion.

    Args:
        host: Whether it may be a file of the host as well.
    """

    name = "place"

    def __init__(self, *, host: bool) -> None:
        self.host = host

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what *incomplete* may become."""
        from stratavfs.cli import _completion  # noqa: PLC0415 - asked by a shell alone

        return _completion.complete(ctx, param, incomplete, host=self.host)


PLACE: Final = PlaceType(host=False)
"""A place in a container."""

ANY_PLACE: Final = PlaceType(host=True)
"""A place in a container or on the host."""

HOST_PATH: Final = click.Path(readable=False)
"""A file or a directory of the host."""


def _add_underlays(
    ctx: click.Context, _: click.Parameter, texts: tuple[str, ...]
) -> None:
    if not ctx.resilient_parsing:
        _desk(ctx).underlays += [_stacks.parse(text) for text in texts]


def _add_stack(ctx: click.Context, _: click.Parameter, files: tuple[str, ...]) -> None:
    if not ctx.resilient_parsing:
        for file in files:
            _desk(ctx).underlays += _stacks.load(file)


def _set_traceback(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        _desk(ctx).traceback = True


def _desk(ctx: click.Context) -> Desk:
    return ctx.ensure_object(Desk)


def common_options(*, hidden: bool) -> list[click.Parameter]:
    """Return the options that every command has."""
    return [
        click.Option(
            ["--underlay"],
            multiple=True,
            metavar="PATH[:PRIORITY[:NAME]]",
            callback=_add_underlays,
            expose_value=False,
            hidden=hidden,
            help="Read from PATH what the container does not have: a directory, a "
            "zip archive, a container. Repeatable.",
        ),
        click.Option(
            ["--stack"],
            multiple=True,
            metavar="FILE.toml",
            type=HOST_PATH,
            callback=_add_stack,
            expose_value=False,
            hidden=hidden,
            help="Read the underlays from a stack file.",
        ),
        click.Option(
            ["--traceback"],
            is_flag=True,
            callback=_set_traceback,
            expose_value=False,
            hidden=hidden,
            help="Show where an error comes from.",
        ),
    ]


def command(
    name: str, example: str, **settings: Any
) -> Callable[[Callable[..., Any]], click.Command]:
    """Return a decorator that makes a function the command *name*.

    The function gets the :class:`Desk` first; its docstring is the help.

    Args:
        name: What is typed.
        example: A line that the help shows as it is.
        settings: More of ``click.command``.
    """

    def decorated(function: Callable[..., Any]) -> click.Command:
        said = inspect.cleandoc(function.__doc__ or "")
        function.__doc__ = f"{said}\n\n\b\nExample: {example}\n"
        decorate = click.command(name, click.Command, epilog=EPILOG, **settings)
        made = decorate(click.pass_obj(function))
        made.params += common_options(hidden=True)
        made.context_settings.setdefault("help_option_names", ["--help"])
        made.context_settings.setdefault("max_content_width", 80)
        return made

    return decorated


def each(desk: Desk, texts: Iterable[str]) -> Iterator[tuple[Place, VirtualFileSystem]]:
    """Yield the places that *texts* name, with their containers.

    A pattern becomes what matches it. For commands that only read: as coreutils they
    go on after what cannot be opened. See :func:`reading`.
    """
    for place in [desk.place(text) for text in texts]:
        with noting(desk):
            vfs = desk.open(place)
            for found in desk.expand([place]):
                yield found, vfs


@contextmanager
def reading(desk: Desk, place: Place) -> Iterator[None]:
    """Return a context whose errors, those of *place*, are printed.

    The exit code is 1 after one.
    """
    with noting(desk), named(place):
        yield


@contextmanager
def noting(desk: Desk) -> Iterator[None]:
    """Return a context whose errors are printed and make the exit code 1."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, _output.Failure) as error:
        if desk.traceback:
            raise
        _output.flush()
        _output.complain(_output.words_of(error))
        desk.status = _output.FAILED


def run(command: click.Command, arguments: Sequence[str], desk: Desk) -> int:
    """Run one command line; return its exit code.

    Errors are printed, one line each. The desk stays open: the shell goes on with it.
    """
    desk.begin()
    try:
        with command.make_context(
            _output.PROGRAM, list(arguments), obj=desk
        ) as context:
            command.invoke(context)
        _output.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except BaseException as error:  # noqa: BLE001 - each becomes a line
        if desk.traceback:
            traceback.print_exc()
        return _ended_by(error, desk)
    return desk.status


def _ended_by(error: BaseException, desk: Desk) -> int:
    """Say what *error* was; return the exit code that belongs to it."""
    if isinstance(error, KeyboardInterrupt | click.Abort):
        _let_go_of_output()  # which may be what it waited for
        _output.complain(_interruption(desk))
        return _output.INTERRUPTED
    if isinstance(error, BrokenPipeError) and error.filename is None:
        _let_go_of_output()
        return _output.BROKEN_PIPE
    if isinstance(error, click.ClickException):
        _output.complain(_usage(error))
        return error.exit_code
    if not isinstance(error, Exception):
        raise error
    try:
        _output.flush()
    except OSError:
        _let_go_of_output()
    message = _spoken(_output.words_of(error))
    if not isinstance(error, _EXPECTED):
        message = f"{type(error).__name__}: {message} (more with --traceback)"
    if desk.undone and desk.several and desk.writes:
        message += f"; {_unchanged(desk)}"
    _output.complain(message)
    return _output.FAILED


_EXPECTED: Final = (_output.Failure, OSError, ValueError, TypeError)


# What the library calls a remedy, and what the command calls it.
_SPOKEN: Final = {
    "on_conflict=": "--on-conflict",
    "exclude=": "--exclude",
    "errors='skip'": "--skip-errors",
    "give format= one": "give --format one",
}


def _spoken(message: str) -> str:
    for argument, option in _SPOKEN.items():
        message = message.replace(argument, option)
    return message


def _interruption(desk: Desk) -> str:
    if desk.settled:
        return "interrupted; the changes are kept"
    if desk.writes or desk.outside:
        return f"interrupted; {_unchanged(desk)}"
    return "interrupted"


def _unchanged(desk: Desk) -> str:
    return "no container was changed" if desk.outside else "nothing was changed"


def _usage(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None:
        return message
    path = context.command_path
    name = path.removeprefix(_output.PROGRAM).strip()
    subject = f"{name}: " if name else ""
    return f"{subject}{message[:1].lower()}{message[1:]}; see: {path} --help"


def _let_go_of_output() -> None:
    """Let what is still buffered go nowhere: its reader is gone."""
    try:
        output = sys.stdout.fileno()
    except (OSError, AttributeError):  # it is none of the system's, or closed
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, output)
    os.close(nowhere)
