"""Paths: pure functions on text. Every ``VPath`` in the library is made here.

A path is absolute, its separator is ``/``, and ``.``, ``..``, empty segments and a
trailing slash are resolved lexically, with ``..`` stopping at the root.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from stratavfs import errors
from stratavfs.records import VPath

if TYPE_CHECKING:
    from collections.abc import Iterator

StrPath = str | os.PathLike[str]
"""What a public method takes as a path."""

ROOT: Final = VPath("/")

NAME_LIMIT: Final = 255
"""Bytes of UTF-8 in one name: NAME_MAX of Linux, so that every tree can be exported."""

PATH_LIMIT: Final = 4095
"""Bytes of UTF-8 in one path: PATH_MAX of Linux without its closing NUL."""

# UTF-8 takes at most four bytes a character, so a shorter path cannot break a limit.
_SURELY_SHORT: Final = NAME_LIMIT // 4


def normalize(path: StrPath) -> VPath:
    """Return *path* as a normalised absolute path.

    >>> normalize("/a/b"), normalize("a//b/"), normalize("/a/./../../b"), normalize("/")
    ('/a/b', '/a/b', '/b', '/')

    Raises:
        InvalidType: *path* is neither a ``str`` nor an ``os.PathLike`` of one.
        InvalidArgument: it is empty, holds NUL, or cannot be encoded as UTF-8.
        OSError: (ENAMETOOLONG) a name or the path is too long.
    """
    # Nearly every path comes in normal form; these tests cost less than one split.
    if (
        type(path) is str
        and path[:1] == "/"
        and path[-1:] != "/"
        and len(path) <= NAME_LIMIT  # so no name in it is too long either
        and "//" not in path
        and "/." not in path
        and "\0" not in path
        and path.isascii()
    ):
        return VPath(path)
    return _normalize(checked_text(path))


def checked_text(path: StrPath) -> str:
    """Return *path* as text that may be stored, unchanged but for its type."""
    text = _as_text(path)
    if not text:
        message = "the path is empty; the root is '/'"
        raise errors.InvalidArgument(message)
    if "\0" in text:
        message = f"embedded null character in path {text!r}"
        raise errors.InvalidArgument(message)
    try:
        text.encode()
    except UnicodeEncodeError:
        message = f"path {text!r} cannot be encoded as UTF-8 (it holds a surrogate)"
        raise errors.InvalidArgument(message) from None
    return text


def _as_text(path: object) -> str:
    if isinstance(path, str):
        return str(path)  # a subclass of str must not reach sqlite3
    if isinstance(path, os.PathLike):
        # Who has a path of pathlib's has loaded it, which takes 5 ms.
        pathlib = sys.modules.get("pathlib")
        if pathlib is not None and isinstance(path, pathlib.PurePath):
            posix: str = path.as_posix()  # on Windows str() would give backslashes
            return posix
        text = os.fspath(path)
        if isinstance(text, str):
            return str(text)
    message = (
        f"path should be str or os.PathLike[str], not {type(path).__name__}"
        "; decode bytes with os.fsdecode()"
    )
    raise errors.InvalidType(message)


def _normalize(text: str) -> VPath:
    names: list[str] = []
    for name in text.split("/"):
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    path = VPath("/" + "/".join(names))
    check_length(path)
    return path


def check_length(path: str, asked: str | None = None) -> None:
    """Refuse a path that, or a name of which, is longer than a host's may be.

    The error names the path that was *asked* for, if another one led there.
    """
    if len(path) <= _SURELY_SHORT:
        return
    encoded = path.encode()
    if len(encoded) > PATH_LIMIT or any(
        len(name) > NAME_LIMIT for name in encoded.split(b"/")
    ):
        raise errors.name_too_long(asked or path)


def split(path: VPath) -> tuple[str, str]:
    """Return the key of *path* in ``entries``: its parent, slash included, and name.

    >>> split(VPath("/a/b")), split(VPath("/a")), split(ROOT)
    (('/a/', 'b'), ('/', 'a'), ('', '/'))
    """
    cut = path.rfind("/") + 1
    if cut == len(path):
        return "", "/"
    return path[:cut], path[cut:]


def join(directory: VPath, name: str) -> VPath:
    """Return the path of *name* in *directory*.

    >>> join(ROOT, "a"), join(VPath("/a"), "b")
    ('/a', '/a/b')
    """
    return VPath(inside(directory) + name)


def inside(directory: VPath) -> str:
    """Return the parent key of what lies in *directory*: its path with one slash.

    >>> inside(VPath("/a")), inside(ROOT)
    ('/a/', '/')
    """
    return directory if directory == "/" else directory + "/"


def below(directory: VPath) -> tuple[str, str]:
    """Return the half-open range of the parent keys below *directory*.

    ``0`` is the character after ``/``, so the range holds the whole subtree and no
    neighbour such as ``/a-b`` or ``/ab``.

    >>> below(VPath("/a")), below(ROOT)
    (('/a/', '/a0'), ('/', '0'))
    """
    first = inside(directory)
    return first, first[:-1] + "0"


def parent_of(path: VPath) -> VPath:
    """Return the directory that holds *path*; the root's is the root.

    >>> parent_of(VPath("/a/b")), parent_of(VPath("/a")), parent_of(ROOT)
    ('/a', '/', '/')
    """
    return VPath(path[: path.rfind("/")] or "/")


def name_of(path: VPath) -> str:
    """Return the last name of *path*; the root's is empty.

    >>> name_of(VPath("/a/b")), name_of(ROOT)
    ('b', '')
    """
    return path[path.rfind("/") + 1 :]


def is_within(path: VPath, directory: VPath) -> bool:
    """Tell whether *path* is *directory* or lies below it.

    >>> is_within(VPath("/a/b"), VPath("/a")), is_within(VPath("/ab"), VPath("/a"))
    (True, False)
    """
    return path == directory or path.startswith(inside(directory))


def ancestors(path: VPath, top: VPath) -> Iterator[VPath]:
    """Yield the directories from *top* down to the parent of *path*.

    >>> list(ancestors(VPath("/a/b/c"), VPath("/a")))
    ['/a', '/a/b']
    """
    cut = len(top)
    while 0 < cut < len(path):
        yield VPath(path[:cut])
        cut = path.find("/", cut + 1)
