"""Searching contents: the lines that a regular expression matches.

A line is searched as if it were alone. Most expressions have some text in them without
which they match nothing; then only lines that hold its bytes are looked at, and a piece
of a file without them is not even parted into lines. The others go line by line.

No lock is held between two lines that are found: a file is read piece by piece, each
with the lock that it needs, and one longer than a piece is kept alive till its end.
"""

from __future__ import annotations

import re
from contextlib import closing
from heapq import heappop, heappush
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any, Final

from stratavfs import _selection, errors
from stratavfs._paths import inside
from stratavfs.records import GrepMatch, VPath

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from stratavfs._layers import LayerStack
    from stratavfs._openfile import InodeFile, StreamFile
    from stratavfs._selection import Patterns, Selection

    Piece = bytes | bytearray
    Expression = str | bytes | re.Pattern[str] | re.Pattern[bytes]
    Found = Iterator[tuple[int, Any]]
    Finder = Callable[[Piece], Found]
    Search = Callable[[Any], object]

LONGEST_LINE: Final = 16 << 20
"""Bytes of a line that are searched at once; a longer one is taken for several."""

_PIECE: Final = 1 << 20
_SMALL: Final = 1 << 16  # bytes of a file that are read without asking what it is
_TOLD_BY: Final = 8192  # bytes at the beginning that tell whether a file is text


# --- files ----------------------------------------------------------------------------


def grep(
    layers: LayerStack,
    path: VPath,
    pattern: Expression,
    *,
    glob: Patterns = "**",
    ignore_case: bool = False,
    binary: bool = False,
) -> Iterator[GrepMatch]:
    """Return the lines of the file at *path*, or of those below it, that match.

    Raises:
        InvalidType, InvalidArgument: *pattern* or *glob* is none.
        OSError: at the first step, what is wrong with *path*.
    """
    find = finder(pattern, ignore_case=ignore_case, binary=binary)
    chosen = _selection.selection(include=None if glob == "**" else glob)
    return _all_lines(layers, path, find, chosen, binary=binary)


def _all_lines(
    layers: LayerStack, path: VPath, find: Finder, chosen: Selection, *, binary: bool
) -> Iterator[GrepMatch]:
    with layers.gate:
        entry = layers.locate(path)
        is_directory = entry.require().is_directory
    if not is_directory:
        yield from _lines(layers, entry.path, path, find, binary=binary)
        return
    prefix = len(inside(path))
    for file in _files(layers, path):
        if chosen.is_all or chosen.takes(file[prefix:]):
            yield from _lines(layers, file, file, find, binary=binary)


def _files(layers: LayerStack, top: VPath) -> Iterator[VPath]:
    """Yield the files below *top*, links not followed, directory by directory."""
    todo = [inside(top)]
    while todo:
        key = heappop(todo)
        try:
            with layers.gate:
                found = layers.kinds(VPath(key[:-1] or "/"))
        except (FileNotFoundError, NotADirectoryError):  # it has gone meanwhile
            continue
        for name, kind in found:
            if S_ISDIR(kind):
                heappush(todo, f"{key}{name}/")
        for name, kind in found:
            if S_ISREG(kind):
                yield VPath(key + name)


def _lines(
    layers: LayerStack, at: VPath, shown: VPath, find: Finder, *, binary: bool
) -> Iterator[GrepMatch]:
    """Yield what matches in the file *at*, if it is still there."""
    with layers.gate:
        small = _small(layers, at)
    if small is not None:
        if binary or not _is_binary(small):
            for index, line in find(small):
                yield GrepMatch(shown, 1 + index, line)
        return
    number = 1
    with closing(_pieces(layers, at, binary=binary)) as pieces:
        for piece in pieces:
            for index, line in find(piece):
                yield GrepMatch(shown, number + index, line)
            number += piece.count(b"\n")
            del piece  # which may be long, before the next one is read


def _small(layers: LayerStack, at: VPath) -> bytes | None:
    """Return the content of the file *at* if one question brings it, else None."""
    resolver = layers.stack.resolver
    if resolver is not None:  # 22 us a file of 2 KiB; opened and read it takes 51
        merged = layers.merged_content(at, resolver)
        return None if merged is None or len(merged) >= _SMALL else merged
    content = layers.rooms[1].find_content(at)
    return content if isinstance(content, bytes) else None


def _is_binary(data: bytes) -> bool:
    return data.find(b"\0", 0, _TOLD_BY) >= 0


# --- pieces ---------------------------------------------------------------------------


def _pieces(
    layers: LayerStack, at: VPath, *, binary: bool
) -> Generator[Piece, None, None]:
    """Yield the content of the file *at* in pieces of whole lines."""
    with layers.gate:
        entry = layers.locate(at, follow=False)
        inode = entry.inode
        if inode is None or not inode.is_file:
            return
        file = layers.open_source(entry)
    if file is None:
        return
    try:
        count = inode.size + 1 if inode.size < _SMALL else _TOLD_BY
        first = _read(file, 0, count)
        if not binary and _is_binary(first):
            return
        if len(first) == count:  # there may be more
            yield from _whole_lines(file, first)
            return
    finally:
        file.close()
    if first:
        yield first


def _whole_lines(file: InodeFile | StreamFile, data: bytes) -> Iterator[Piece]:
    """Yield pieces that end where a line does, or are all of a line that is held."""
    rest = bytearray()  # of a line without its end
    offset = 0
    while data:
        cut = data.rfind(b"\n") + 1
        if cut:
            yield rest + data[:cut] if rest else data[:cut]
            rest = bytearray()
        rest += data[cut:]
        # A part is taken if more of the line follows, not its end alone.
        while len(rest) > LONGEST_LINE and rest[LONGEST_LINE:] != b"\r":
            end = _end_of_character(rest, LONGEST_LINE)
            beyond = rest[end:]
            del rest[end:]
            yield rest
            rest = beyond
        offset += len(data)
        data = _read(file, offset, _PIECE)
    if rest:
        yield rest


def _end_of_character(data: bytearray, end: int) -> int:
    """Return *end*, or less, so that no character is parted there."""
    last = end - 1
    while last > end - 4 and data[last] & 0xC0 == 0x80:  # noqa: PLR2004 - UTF-8's own
        last -= 1
    return last if data[last] >= 0xC0 else end  # noqa: PLR2004


def _read(file: InodeFile | StreamFile, offset: int, count: int) -> bytes:
    """Return *count* bytes from *offset*, less at the end; none if the file is gone."""
    buffer = bytearray(count)
    found = file.read_into(offset, memoryview(buffer)) or 0
    return bytes(memoryview(buffer)[:found])


# --- expressions ----------------------------------------------------------------------


def finder(pattern: Expression, *, ignore_case: bool, binary: bool) -> Finder:
    r"""Return what finds the lines of a piece that *pattern* matches.

    >>> [*finder("b$", ignore_case=False, binary=False)(b"ab\r\nbc\nb")]
    [(0, 'ab'), (2, 'b')]

    Raises:
        InvalidType, InvalidArgument: it is no expression, or none of this kind.
    """
    expression = _compiled(pattern, ignore_case=ignore_case, binary=binary)
    text = needle_of(expression)
    if _PLAIN.fullmatch(_source(expression)) and text:
        return _ByNeedle(_encoded(text, expression), None, binary=binary)
    if len(text) >= _LEAST_NEEDLE:
        needle = _encoded(text, expression)
        return _ByNeedle(needle, expression.search, binary=binary)
    return _LineByLine(expression.search, binary=binary)


def _compiled(
    pattern: Expression, *, ignore_case: bool, binary: bool
) -> re.Pattern[Any]:
    source: Any = pattern
    flags = 0
    if isinstance(pattern, re.Pattern):
        source, flags = pattern.pattern, pattern.flags & ~re.DEBUG
    elif not isinstance(pattern, str | bytes):
        message = (
            "pattern should be str, bytes or a compiled regular expression, "
            f"not {type(pattern).__name__}"
        )
        raise errors.InvalidType(message)
    if binary and isinstance(pattern, str) and pattern.isascii():
        source = pattern.encode()
    if isinstance(source, bytes) != binary:
        message = (
            f"pattern {source!r} is text, and binary=True searches bytes; give it as "
            "bytes, for instance with encode()"
            if binary
            else f"pattern {source!r} is bytes, which are searched with binary=True"
        )
        raise errors.InvalidType(message)
    try:
        return re.compile(source, flags | (re.IGNORECASE if ignore_case else 0))
    except (re.error, RecursionError, OverflowError) as error:
        message = (
            f"pattern {source!r} is no regular expression: {error}; re.escape() makes "
            "one that is taken literally"
        )
        raise errors.InvalidArgument(message) from error


_LEAST_NEEDLE: Final = 3  # characters: shorter ones are in every other line
_PLAIN: Final = re.compile(
    r"(?:\\[ -/:-@\[-`{-~]|[^\\.^$*+?{}\[\]|()\r\n\ufffd\ud800-\udfff])+"
)
_TOKEN: Final = re.compile(
    r"\\(?P<itself>[^A-Za-z0-9])"
    r"|(?P<may_lack>[*?]|\{[^}]*\}|\{)"  # what is before it may be missing
    r"|(?P<opens>\()|(?P<closes>\))|(?P<either>\|)"
    r"|(?P<other>\\[A-Za-z]|\[\^?\]?(?:\\.|[^\]\\])*\]|[.^$+])"
    r"|(?P<text>.)",
    re.DOTALL,
)
_NUMBERED: Final = re.compile(r"\\[xuUN0-9]|\(\?#")  # what _TOKEN does not know
# U+FFFD stands for bytes that are no text, which may be any.
_NO_TEXT: Final = re.compile("[\ufffd\ud800-\udfff]")


def needle_of(expression: re.Pattern[Any]) -> str:
    r"""Return a text that is in all that *expression* matches, empty if none is known.

    >>> [needle_of(re.compile(text)) for text in (r"def \w+\(self", "ab+cx?", "a|b")]
    ['(self', 'ab', '']
    """
    source = _source(expression)
    if expression.flags & (re.IGNORECASE | re.VERBOSE) or _NUMBERED.search(source):
        return ""
    texts = [""]
    depth = 0
    for token in _TOKEN.finditer(source):
        depth += (token["opens"] is not None) - (token["closes"] is not None)
        if depth:
            texts.append("")
        elif token["either"]:
            return ""
        elif token["text"] or token["itself"]:
            texts[-1] += token["text"] or token["itself"]
        else:
            if token["may_lack"]:
                texts[-1] = texts[-1][:-1]
            texts.append("")
    return max((part for text in texts for part in _NO_TEXT.split(text)), key=len)


def _source(expression: re.Pattern[Any]) -> str:
    source = expression.pattern
    return source.decode("latin-1") if isinstance(source, bytes) else str(source)


def _encoded(text: str, expression: re.Pattern[Any]) -> bytes:
    return text.encode("latin-1" if isinstance(expression.pattern, bytes) else "utf-8")


# --- finders --------------------------------------------------------------------------


class _ByNeedle:
    """Finds the lines in which some bytes are, and of those the ones that match.

    Without a *search* all do.
    """

    def __init__(self, needle: bytes, search: Search | None, *, binary: bool) -> None:
        self._needle = needle
        self._search = search
        self._binary = binary

    def __call__(self, piece: Piece) -> Found:
        needle, search = self._needle, self._search
        number = start = 0  # of the line after the last one looked at
        while (at := piece.find(needle, start)) >= 0:
            first = piece.rfind(b"\n", start, at) + 1 or start
            number += piece.count(b"\n", start, first)
            end = piece.find(b"\n", at)
            start = end + 1
            if end < 0:
                end = start = len(piece)
            elif piece[end - 1 : end] == b"\r":
                end -= 1
            line: Any = piece[first:end]
            line = bytes(line) if self._binary else line.decode(errors="replace")
            if search is None or search(line):
                yield number, line
            number += 1


class _LineByLine:
    """Finds by an expression of which nothing is known."""

    def __init__(self, search: Search, *, binary: bool) -> None:
        self._search = search
        self._binary = binary
        self._newline: Any = b"\n" if binary else "\n"
        self._ending: Any = b"\r\n" if binary else "\r\n"

    def __call__(self, piece: Piece) -> Found:
        if not piece:
            return
        content: Any = bytes(piece) if self._binary else piece.decode(errors="replace")
        if self._ending in content:
            content = content.replace(self._ending, self._newline)
        lines = content.removesuffix(self._newline).split(self._newline)
        search = self._search
        for number, line in enumerate(lines):
            if search(line):
                yield number, line
