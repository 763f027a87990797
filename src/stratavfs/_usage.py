"""A tree as a whole: how much is in it, and what it looks like.

Links below its top are not followed, and what vanishes meanwhile is passed over. A name
may be a stranger's: in a drawing it is shown so that it cannot play with the terminal.
"""

from __future__ import annotations

import operator
import unicodedata
from stat import S_ISDIR, S_ISLNK
from typing import TYPE_CHECKING, Final, NamedTuple

from stratavfs import errors
from stratavfs._paths import join
from stratavfs.records import Usage, VPath

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stratavfs._layers import LayerStack
    from stratavfs._underlays import Member
    from stratavfs.records import Inode

    Child = tuple[str, Inode, Member | None]


# --- how much -------------------------------------------------------------------------


def disk_usage(layers: LayerStack, path: VPath) -> Usage:
    """Return what is at *path* and below; of a file with several names, once.

    Raises:
        FileNotFoundError: there is nothing.
    """
    entry = layers.locate(path)
    inode = entry.require()
    if not inode.is_directory:
        return Usage(files=1, directories=0, symlinks=0, bytes=inode.size)
    files = directories = symlinks = size = 0
    seen: set[tuple[int, int]] = set()
    todo = [entry.path]
    while todo:
        at = todo.pop()
        directories += 1
        for name, child, member in _children(layers, at, entry.path):
            if child.is_directory:
                todo.append(join(at, name))
            elif child.is_link:
                symlinks += 1
            elif child.nlink == 1 or _is_new(seen, child, member):
                files += 1
                size += child.size
    return Usage(files, directories, symlinks, size)


def _is_new(seen: set[tuple[int, int]], inode: Inode, member: Member | None) -> bool:
    number = (0 if member is None else member.layer.device), inode.id
    if number in seen:
        return False
    seen.add(number)
    return True


def _children(layers: LayerStack, at: VPath, top: VPath) -> list[Child]:
    """Return what is in the directory *at*; nothing if it has gone, *top* apart."""
    try:
        return layers.children(at)
    except (FileNotFoundError, NotADirectoryError):
        if at == top:
            raise
        return []


# --- what it looks like ---------------------------------------------------------------


class _Open(NamedTuple):
    """A directory that is being drawn."""

    at: VPath
    left: list[Child]
    """What is still to be drawn, the first one last."""
    indent: str


def tree(layers: LayerStack, path: VPath, max_depth: int | None = None) -> str:
    """Return the tree at *path* as text, as the command ``tree`` draws it.

    Raises:
        FileNotFoundError, NotADirectoryError: *path* is no directory.
        InvalidType, InvalidArgument: *max_depth* is no positive number.
    """
    deepest = _checked_depth(max_depth)
    directories = files = 0
    lines = [shown(path)]
    for line, is_directory in _drawn(layers, path, deepest):
        lines.append(line)
        directories += is_directory
        files += not is_directory
    some = "directory" if directories == 1 else "directories"
    others = "file" if files == 1 else "files"
    return "\n".join([*lines, "", f"{directories} {some}, {files} {others}"])


def _drawn(
    layers: LayerStack, top: VPath, deepest: int | None
) -> Iterator[tuple[str, bool]]:
    """Yield each line below the first, and whether it is a directory's.

    A link counts as what it leads to, and shows where that is.
    """
    steps = [_opened(layers, top, top, "")]
    while steps:  # a loop, since a tree may be deeper than Python's stack
        at, left, indent = steps[-1]
        if not left:
            steps.pop()
            continue
        name, inode, _ = left.pop()
        path = join(at, name)
        line = indent + ("├── " if left else "└── ") + shown(name)
        if S_ISLNK(inode.mode):
            line += f" -> {shown(inode.target or '')}"
            yield line, S_ISDIR(layers.type_of(path))
            continue
        yield line, inode.is_directory
        if inode.is_directory and (deepest is None or len(steps) < deepest):
            steps.append(
                _opened(layers, path, top, indent + ("│   " if left else "    "))
            )


def _opened(layers: LayerStack, at: VPath, top: VPath, indent: str) -> _Open:
    return _Open(at, _children(layers, at, top)[::-1], indent)


def _checked_depth(depth: int | None) -> int | None:
    if depth is None:
        return None
    try:
        number = operator.index(depth)
    except TypeError:
        message = f"max_depth should be an int or None, not {type(depth).__name__}"
        raise errors.InvalidType(message) from None
    if number < 1:
        message = f"max_depth should be 1 or more, not {depth!r}; None draws all of it"
        raise errors.InvalidArgument(message)
    return number


_ESCAPES: Final = {
    **{chr(code): f"\\{code:03o}" for code in (*range(32), 127)},
    **dict(zip("\a\b\t\n\v\f\r\\", [rf"\{c}" for c in "abtnvfr\\"], strict=True)),
}
# Controls, ends of lines, and what turns the direction of a text: bidirectional
# embeddings, overrides, isolates and marks. Other format characters join letters.
_TURNING: Final = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
_MARKS: Final = "\u200e\u200f\u061c"


def shown(name: str) -> str:
    r"""Return *name* in one line that does nothing to a terminal, as ``ls -b`` does.

    >>> print(shown("a\nb\x1b[2J"), shown("é ☃"), shown("\u202egpj.exe"))
    a\nb\033[2J é ☃ \u202egpj.exe
    """
    if name.isprintable() and "\\" not in name:
        return name
    return "".join(map(_escaped, name))


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if (
        unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs")
        or unicodedata.bidirectional(character) in _TURNING
        or character in _MARKS
    ):
        return f"\\u{ord(character):04x}"
    return character
