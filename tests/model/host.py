"""What the oracle needs of the host beyond the verbs of the standard library."""

from __future__ import annotations

import os
import posixpath
import shutil
from contextlib import contextmanager
from errno import EISDIR, ENAMETOOLONG
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def normalised(path: Any) -> str:
    """Return *path* as design says: checked before anything else, ``..`` lexical."""
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError
    if not text or "\0" in text or "\ud800" in text:
        raise ValueError
    text = posixpath.normpath("/" + text.lstrip("/"))
    if any(len(name.encode()) > 255 for name in text.split("/")):
        raise OSError(ENAMETOOLONG, "", text)
    return text


def is_through_broken_link(host: str) -> bool:
    """Tell whether *host*, or a directory above it, is a link that leads nowhere."""
    while host != "/":
        if os.path.islink(host) and not os.path.exists(host):
            return True
        host = os.path.dirname(host)
    return False


def missing_above(host: str) -> list[str]:
    """Return the directories that have to be made above *host*, topmost first.

    There are none where the way there leads through a broken link.
    """
    if is_through_broken_link(host):
        return []
    missing: list[str] = []
    at = os.path.realpath(os.path.dirname(host))
    while not os.path.lexists(at):
        missing.insert(0, at)
        at = os.path.dirname(at)
    return missing if os.path.isdir(at) else []


def clone(src: str, dst: str, known: dict[int, str]) -> None:
    """Copy a tree with its times and its hard links, which shutil does not keep."""
    os.mkdir(dst)
    for entry in [*os.scandir(src)]:
        target = f"{dst}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            clone(entry.path, target, known)
        elif entry.inode() in known:
            os.link(known[entry.inode()], target, follow_symlinks=False)
        else:
            shutil.copy2(entry.path, target, follow_symlinks=False)
            known[entry.inode()] = target
    shutil.copystat(src, dst)


def same_file(first: str, second: str) -> bool:
    return os.path.lexists(first) and os.path.samefile(first, second)


def copy_beside(src: str, dst: str) -> str:
    """Copy as copytree does by default, but never into a directory in the way."""
    if os.path.isdir(dst):
        raise IsADirectoryError(EISDIR, "", dst)
    return str(shutil.copy2(src, dst))


@contextmanager
def naming(host: str, other: str | None = None) -> Iterator[None]:
    """Let an error name what was asked for, not a directory above it."""
    try:
        yield
    except shutil.Error:
        raise
    except OSError as error:
        raise OSError(error.errno, "", host, None, other) from error
