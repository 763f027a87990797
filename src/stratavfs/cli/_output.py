"""What the command prints: bytes to standard output, one line for each error.

Texts are UTF-8 wherever they go but to a terminal of another encoding. Names go to a
terminal quoted, to a pipe as they are. With ``--json`` there is one document, or one
line for each record where a command streams (``find`` and ``grep``); JSON is ASCII, so
that it is safe anywhere.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from typing import IO, TYPE_CHECKING, Final

import click

from stratavfs.cli import _quoting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PROGRAM: Final = "stratavfs"
FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 128 + 2
BROKEN_PIPE: Final = 128 + 13

_KIB: Final = 1024
_SIGNS: Final = "KMGTPE"


class Failure(Exception):  # noqa: N818 - it is none of the program
    """What the command itself finds wrong, in one line that tells the remedy.

    >>> print(Failure("game.db", "no such container"))
    game.db: no such container
    """

    def __str__(self) -> str:
        return ": ".join(map(str, self.args))


def is_terminal(stream: IO[str] | None = None) -> bool:
    """Tell whether *stream*, standard output if left out, is a terminal."""
    stream = sys.stdout if stream is None else stream
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def has_colours() -> bool:
    """Tell whether standard output shows colours, and its user wants them."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and is_terminal()


def coloured(text: str, colour: str | None, *, bold: bool = False) -> str:
    """Return *text* in *colour* where colours are shown."""
    return click.style(text, fg=colour, bold=bold) if has_colours() else text


def write(data: bytes) -> None:
    """Write *data* to standard output as it is.

    Raises:
        OSError: (EBADF) it is closed.
    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "standard output")
    sys.stdout.buffer.write(data)


def line(text: str, end: str = "\n") -> None:
    """Write one line of *text*; names in it have been through :func:`shown`."""
    encoding, errors = "utf-8", "surrogateescape"
    if is_terminal():
        encoding, errors = sys.stdout.encoding or encoding, "backslashreplace"
    write((text + end).encode(encoding, errors))


def lines(texts: Iterable[str]) -> None:
    """Write *texts*, each in a line."""
    for text in texts:
        line(text)


def flush() -> None:
    """Write out what is buffered."""
    if sys.stdout is not None:
        sys.stdout.flush()
        sys.stdout.buffer.flush()


def shown(name: str) -> str:
    """Return *name* for a listing: safe on a terminal, as it is in a pipe."""
    return _quoting.harmless(name) if is_terminal() else name


def shown_in_line(text: str) -> str:
    """Return *text*, in which names stand, for a listing: safe on a terminal."""
    return _quoting.one_line(text) if is_terminal() else text


def in_quotes(name: str) -> str:
    """Return *name* in quotes, as ``cp -v`` does."""
    if is_terminal() and not _quoting.is_safe(name):
        return _quoting.quoted(name)
    return f"'{name}'"


def shown_as_word(name: str) -> str:
    """Return *name* as ``ls`` does: on a terminal as a word of the shell."""
    return _quoting.quoted(name) if is_terminal() else name


def document(value: object) -> None:
    """Write *value* as a JSON document."""
    line(json.dumps(value, indent=2))


def json_line(value: object) -> None:
    """Write *value* as a line of JSON, one of many."""
    line(json.dumps(value))


def human(size: int) -> str:
    """Return *size* in bytes as ``ls -h`` writes it: rounded up.

    >>> human(1023), human(1024), human(1025), human(10 * 1024 + 1), human(5 << 30)
    ('1023', '1.0K', '1.1K', '11K', '5.0G')
    """
    if size < _KIB:
        return str(size)
    unit = _KIB
    for sign in _SIGNS:
        tenths, whole = -(-size * 10 // unit), -(-size // unit)
        if tenths < 10 * 10:
            return f"{tenths // 10}.{tenths % 10}{sign}"
        if whole < _KIB:
            break
        unit *= _KIB
    return f"{whole}{sign}"


def table(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """Return *rows* as lines with aligned columns, those of *right* to the right.

    >>> table([("a", "1"), ("long", "10")], right=[1])
    ['a      1', 'long  10']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    to_right = {*right}
    return [
        "  ".join(
            cell.rjust(width) if at in to_right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


class Complaints:
    """What was said on standard error."""

    origin = ""
    """What a line begins with: of a script, which one and where."""
    count = 0
    """How many lines there were."""


COMPLAINTS: Final = Complaints()


def complain(message: str) -> None:
    """Write *message* to standard error, in one line."""
    COMPLAINTS.count += 1
    text = f"{PROGRAM}: {_quoting.one_line(COMPLAINTS.origin + message)}"
    try:
        click.echo(text, err=True)
    except OSError as error:  # nobody is there to read it
        if error.errno not in (errno.EPIPE, errno.EIO):
            raise


def words_of(error: BaseException) -> str:
    """Return what *error* says, in the words of coreutils.

    >>> words_of(FileNotFoundError(2, "No such file or directory", "a.db:/x"))
    'a.db:/x: No such file or directory'
    """
    if isinstance(error, OSError) and error.strerror:
        names = [name for name in (error.filename, error.filename2) if name]
        subject = " -> ".join(
            os.fsdecode(name) if isinstance(name, bytes) else str(name)
            for name in names
        )
        return f"{subject}: {error.strerror}" if subject else error.strerror
    return str(error) or type(error).__name__
