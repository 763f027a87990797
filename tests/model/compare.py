"""Seeing the same in both worlds: outcomes of calls, and whole trees."""

from __future__ import annotations

import posixpath
import re
import shutil
from stat import S_ISDIR, S_ISLNK
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.model.real import Real

    from stratavfs import VirtualFileSystem

_ROOT = re.compile(r"^.*/stratavfs-oracle-[^/]*/up/root")

# Any time that a test sets is before this one, 2020 in nanoseconds.
_EARLY = 1_600_000_000_000_000_000

# What the two sides may raise; anything else ends the test with its own traceback.
EXPECTED = (OSError, ValueError, TypeError, EOFError)


def outcome(call: Callable[..., object], *args: Any, **options: Any) -> tuple[Any, ...]:
    """Return the value of a call, or what the standard library calls its error."""
    try:
        return ("value", call(*args, **options))
    except EXPECTED as error:
        kind = kind_of(error)
        if not isinstance(error, OSError) or isinstance(error, shutil.Error):
            return ("error", kind)  # shutil gives neither number nor names
        names = virtual_name(error.filename), virtual_name(error.filename2)
        return ("error", kind, error.errno, *names)


def kind_of(error: BaseException) -> str:
    """Return the name of the standard class that *error* is an instance of."""
    return next(
        kind.__name__
        for kind in type(error).__mro__
        if kind.__module__ in {"builtins", "io", "shutil"}
        and kind is not AssertionError  # every broken contract is one, too
    )


def virtual_name(name: Any) -> Any:
    """Return the virtual path of *name*, which may be a path of the host."""
    return (_ROOT.sub("", name) or "/") if isinstance(name, str) else name


def explicit(ns: int) -> int | str:
    """Return a time that somebody set, and one word for all others."""
    return ns if ns < _EARLY else "now"


class Fields(NamedTuple):
    """What both worlds say about a file in the same words."""

    mode: int
    size: int
    names: int
    mtime: int | str


def fields(found: Any) -> Fields:
    """Return what is compared of a ``stat``; a directory's links and size are not."""
    directory = S_ISDIR(found.st_mode)
    return Fields(
        found.st_mode,
        0 if directory else found.st_size,
        1 if directory else found.st_nlink,
        explicit(found.st_mtime_ns),
    )


class Node(NamedTuple):
    """One name in a whole tree."""

    fields: Fields
    content: bytes | str | None
    beside: tuple[str, ...]
    """All names of the same file."""


Tree = dict[str, Node]


def tree_of(fs: Real | VirtualFileSystem) -> Tree:
    """Return everything below the root of *fs*, times and hard links included."""
    found: dict[str, tuple[int, Fields, bytes | str | None]] = {}
    names: dict[int, list[str]] = {}
    todo = ["/"]
    while todo:
        path = todo.pop()
        status = fs.lstat(path)
        content: bytes | str | None = None
        if S_ISDIR(status.st_mode):
            todo.extend(posixpath.join(path, name) for name in fs.listdir(path))
        elif S_ISLNK(status.st_mode):
            content = fs.readlink(path)
        else:
            content = fs.read_bytes(path)
        found[path] = status.st_ino, fields(status), content
        names.setdefault(status.st_ino, []).append(path)
    return {
        path: Node(known, content, tuple(sorted(names[inode])))
        for path, (inode, known, content) in sorted(found.items())
    }
