"""Commands that read the content of files: cat, head, find, grep."""

from __future__ import annotations

import re
from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from stratavfs.cli import _ls, _output, _quoting, _words
from stratavfs.cli._commands import PLACE, command, each, reading
from stratavfs.cli._streams import PIECE, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from stratavfs.cli._containers import Desk
    from stratavfs.cli._places import Place
    from stratavfs.records import GrepMatch


# --- cat, head ------------------------------------------------------------------------


@command("cat", "stratavfs cat game.db:/motd.txt | wc -l")
@click.argument("places", nargs=-1, required=True, type=PLACE, metavar="PLACE...")
def cat_command(desk: Desk, places: tuple[str, ...]) -> None:
    """Write the bytes of files to standard output, one after the other."""
    for place, vfs in each(desk, places):
        with reading(desk, place), vfs.open(place.path, "rb") as stream:
            for piece in pieces(stream):
                _output.write(piece)


@command("head", "stratavfs head -n 3 game.db:/log.txt")
@click.argument("places", nargs=-1, required=True, type=PLACE, metavar="PLACE...")
@click.option("-n", "lines", type=int, metavar="N", help="Lines; -N: all but the last.")
@click.option("-c", "count", metavar="N", help="Bytes, or 4K, 1M.")
def head_command(
    desk: Desk, places: tuple[str, ...], lines: int | None, count: str | None
) -> None:
    """Write the first 10 lines of files to standard output."""
    if lines is not None and count is not None:
        message = "give one of -n and -c"
        raise click.UsageError(message)
    limit = None if count is None else _words.size(count)
    before = ""
    found = each(desk, places)
    headed = len(places) > 1 or any(sign in places[0] for sign in "*?[")
    for place, vfs in found:
        with reading(desk, place), vfs.open(place.path, "rb") as stream:
            if headed:
                _output.line(f"{before}==> {_output.shown(desk.spell(place))} <==")
                before = "\n"
            first = (
                _first_lines(stream, 10 if lines is None else lines)
                if limit is None
                else _first_bytes(stream, limit)
            )
            for piece in first:
                _output.write(piece)


def _first_bytes(stream: BinaryIO, count: int) -> Iterator[bytes]:
    while count > 0 and (piece := stream.read(min(count, PIECE))):
        count -= len(piece)
        yield piece


def _first_lines(stream: BinaryIO, count: int) -> Iterator[bytes]:
    """Yield the first *count* lines, in pieces; all but the last if it is negative."""
    if count < 0:
        held: deque[bytes] = deque()
        for line in stream:
            held.append(line)
            if len(held) > -count:
                yield held.popleft()
        return
    while count > 0 and (piece := stream.readline(PIECE)):
        yield piece
        count -= piece.endswith(b"\n")


# --- find -----------------------------------------------------------------------------


@command("find", "stratavfs find game.db:/ '*.png' --min-size 1M --newer 7d")
@click.argument("place", type=PLACE)
@click.argument("pattern", default="*", metavar="[PATTERN]")
@click.option("--type", "kind", type=click.Choice(["f", "d", "l"]), help="Type.")
@click.option("--name", metavar="GLOB", help="One more pattern, of the name.")
@click.option("--min-size", metavar="N", help="Files of N bytes (4K, 1M) or more.")
@click.option("--max-size", metavar="N", help="Files of N bytes or fewer.")
@click.option("--newer", metavar="WHEN", help="Changed later: 2026-01-31, or 7d ago.")
@click.option("--older", metavar="WHEN", help="Changed before WHEN.")
@click.option("--meta", multiple=True, metavar="K=V", help="With this metadata.")
@click.option("-0", "null", is_flag=True, help="Ends names with NUL, for xargs -0.")
@click.option("--json", "as_json", is_flag=True, help="One JSON record a line.")
def find_command(
    desk: Desk,
    place: str,
    pattern: str,
    kind: str | None,
    name: str | None,
    min_size: str | None,
    max_size: str | None,
    newer: str | None,
    older: str | None,
    meta: tuple[str, ...],
    null: bool,
    as_json: bool,
) -> None:
    """Find what lies below PLACE and matches PATTERN.

    A pattern without a slash is of names; with one, of paths below PLACE.
    """
    wanted: dict[str, Any] = {
        "type": kind,
        "name": name,
        "min_size": None if min_size is None else _words.size(min_size),
        "max_size": None if max_size is None else _words.size(max_size),
        "newer": None if newer is None else _words.moment(newer),
        "older": None if older is None else _words.moment(older),
        "metadata": _words.metadata(meta),
    }
    for start, vfs in each(desk, [place]):
        with reading(desk, start):
            for path in vfs.find(pattern, start.path, **wanted):
                if as_json:
                    _output.json_line(_ls.record(_ls.look(vfs, path)))
                elif null:
                    _output.line(desk.spell(start.at(path)), end="\0")
                else:
                    _output.line(_output.shown(desk.spell(start.at(path))))


# --- grep -----------------------------------------------------------------------------


@command("grep", "stratavfs grep -in 'todo|fixme' game.db:/scripts --glob '*.py'")
@click.argument("pattern")
@click.argument("places", nargs=-1, type=PLACE, metavar="[PLACE]...")
@click.option("-i", "ignore_case", is_flag=True, help="Upper and lower case are one.")
@click.option("-n", "numbers", is_flag=True, help="With the numbers of lines.")
@click.option("-l", "names", is_flag=True, help="Names of files alone.")
@click.option("-c", "counts", is_flag=True, help="How many lines of each file.")
@click.option("-b", "-a", "binary", is_flag=True, help="Binary files too, as bytes.")
@click.option("-r", "-R", "-E", "_known", is_flag=True, hidden=True)
@click.option("--glob", default="**", metavar="GLOB", help="Only files that match.")
@click.option("--json", "as_json", is_flag=True, help="One JSON record a line.")
def grep_command(
    desk: Desk,
    pattern: str,
    places: tuple[str, ...],
    ignore_case: bool,
    numbers: bool,
    names: bool,
    counts: bool,
    binary: bool,
    _known: bool,
    glob: str,
    as_json: bool,
) -> None:
    """Find lines by a regular expression of Python, in files and all below directories.

    The exit code is 1 if there are none.
    """
    regex = _compiled(pattern, ignore_case=ignore_case, binary=binary)
    show = _Show(desk, numbers, names, counts, as_json)
    found = False
    for place, vfs in each(desk, desk.named_or_here(places)):
        with reading(desk, place):
            several = len(places) > 1 or vfs.isdir(place.path)
            matches = vfs.grep(regex, place.path, glob=glob, binary=binary)
            found = show.all(place, matches, headed=several) or found
    if not found:
        desk.status = _output.FAILED


def _compiled(pattern: str, *, ignore_case: bool, binary: bool) -> Any:
    text: str | bytes = (
        pattern.encode("utf-8", "surrogateescape") if binary else pattern
    )
    try:
        return re.compile(text, re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        message = f"{pattern!r} is no regular expression: {error}"
        raise click.UsageError(message) from None


class _Show:
    """How ``grep`` shows what it finds."""

    def __init__(
        self, desk: Desk, numbers: bool, names: bool, counts: bool, as_json: bool
    ) -> None:
        self._desk = desk
        self._numbers, self._names = numbers, names
        self._counts, self._as_json = counts, as_json

    def all(self, place: Place, matches: Iterator[GrepMatch], *, headed: bool) -> bool:
        """Show *matches*, each with its file if *headed*; tell whether there are."""
        found = False
        for path, of_file in groupby(matches, key=lambda match: match.path):
            found = True
            name = _output.shown(self._desk.spell(place.at(path)))
            head = f"{_output.coloured(name, 'magenta')}:" if headed else ""
            if self._names:
                self._line(name, path=path)
            elif self._counts:
                count = sum(1 for _ in of_file)
                self._line(f"{head}{count}", path=path, count=count)
            else:
                for match in of_file:
                    self._match(head, match)
        if not found and self._counts and not headed and not self._as_json:
            _output.line("0")
        return found

    def _line(self, text: str, **record: object) -> None:
        if self._as_json:
            _output.json_line(record)
        else:
            _output.line(text)

    def _match(self, head: str, match: GrepMatch) -> None:
        line = match.line
        text = (
            line if isinstance(line, str) else line.decode("utf-8", "surrogateescape")
        )
        if self._as_json:
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            _output.json_line(
                {"path": match.path, "line_number": match.line_number, "line": text}
            )
            return
        number = ""
        if self._numbers:
            number = f"{_output.coloured(str(match.line_number), 'green')}:"
        if _output.is_terminal():
            text = "\t".join(map(_quoting.one_line, text.split("\t")))
        _output.line(f"{head}{number}{text}")
