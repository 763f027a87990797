"""Places: which container, or which file of the host, an argument names.

``DB:/path`` is in the container file *DB*, ``DB:`` its root; ``:/path`` is in the
container that STRATAVFS_DB names. Pure functions: nothing here opens anything, and
whether a file exists is asked of the caller.
"""

from __future__ import annotations

import os
import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_DRIVE = re.compile(r"[A-Za-z]:(?=[\\/]|$)")
_SEPARATORS = re.compile(r"[\\/]")


class Place(NamedTuple):
    """What one argument names.

    >>> str(Place("game.db", "/a/b")), str(Place(None, "dir/b"))
    ('game.db:/a/b', 'dir/b')
    """

    container: str | None
    """File of the container as it was named; None: *path* is of the host."""
    path: str
    """Path in the container, absolute but not normalised; or a path of the host."""

    def __str__(self) -> str:
        return self.path if self.container is None else f"{self.container}:{self.path}"

    @property
    def is_host(self) -> bool:
        """Whether it is a file of the host."""
        return self.container is None

    @property
    def name(self) -> str:
        """Its last component; empty for a root, ``.`` and ``..``.

        >>> Place("game.db", "/a/b/").name, Place("game.db", "/a/..").name
        ('b', '')
        """
        path = self.path if self.container is not None else _slashed(self.path)
        name = posixpath.basename(path.rstrip("/"))
        return "" if name in (".", "..") else name

    @property
    def asks_directory(self) -> bool:
        """Whether it ends in a slash, as a directory's name may."""
        return self.path.endswith(("/", "/."))

    def at(self, path: str) -> Place:
        """Return *path* in the same container, or on the host."""
        return self._replace(path=path)

    def below(self, name: str) -> Place:
        """Return the place of *name* in this directory.

        >>> str(Place("game.db", "/a").below("b"))
        'game.db:/a/b'
        """
        return self._replace(path=posixpath.join(self.path, name))


def _slashed(path: str) -> str:
    """Return *path*, of the host, with ``/`` where its separators are."""
    drive, rest = os.path.splitdrive(path)
    return rest.replace(os.sep, "/") if drive or os.sep != "/" else path


class NoContainer(ValueError):  # noqa: N818 - says what it means
    """A place in the default container, where none is set."""


class Reader(NamedTuple):
    """What a place without a container's name means.

    In a command it is a file of the host, or what STRATAVFS_DB names; in the shell it
    is in the shell's container, from its directory on.
    """

    default: str | None = None
    """The container of ``:/path``."""
    directory: str = "/"
    """Where a relative path in the default container starts."""
    inside: bool = False
    """Whether a path alone is in the default container always."""
    windows: bool = False
    """Whether ``C:`` names a drive."""

    def container_place(self, text: str, is_file: Callable[[str], bool]) -> Place:
        r"""Return the place in a container that *text* names, host paths being none.

        >>> def exists(path): return path == "game.db"
        >>> Reader().container_place("game.db:/a:b", exists)
        Place(container='game.db', path='/a:b')
        >>> Reader().container_place("game.db", exists)
        Place(container='game.db', path='/')
        >>> Reader("mine.db").container_place("/a", exists)
        Place(container='mine.db', path='/a')
        >>> Reader(windows=True).container_place(r"C:\x.db:/a", exists)
        Place(container='C:\\x.db', path='/a')

        Raises:
            NoContainer: it is in the default container, and there is none.
        """
        if self.inside and self._is_path_alone(text):
            return self._in_default(text)
        found = self._split(text)
        if found is not None:
            return self._place(*found)
        if self.default is None or (not self.inside and is_file(text)):
            if not text:
                raise NoContainer(text)
            return Place(text, "/")
        return self._in_default(text)

    def any_place(self, text: str, is_file: Callable[[str], bool]) -> Place:
        """Return the place that *text* names, in a container or on the host.

        As in scp, what has a slash before its first colon is a file of the host; but
        ``dir/game.db:/path`` is in a container, and ``./dir/game.db:/path`` if there
        is that file.

        >>> def exists(path): return path == "./game.db"
        >>> [Reader().any_place(text, exists).is_host
        ...  for text in ("a", "a/b:c", "./a:/b", "./game.db:/b", "x/game.db:/b")]
        [True, True, True, False, False]
        """
        if self.inside and self._is_path_alone(text):
            return self._in_default(text)
        found = self._split(text)
        if found is None:
            return self._in_default(text) if self.inside else Place(None, text)
        container, path = found
        if self.inside or not container:
            return self._place(container, path)
        nested = _SEPARATORS.search(container, self._start(text))
        if (container.startswith(".") and not is_file(container)) or (
            nested and path and not path.startswith("/")
        ):
            return Place(None, text)
        return self._place(container, path)

    def _place(self, container: str, path: str) -> Place:
        if not container:
            return self._in_default(path)
        return Place(container, posixpath.join("/", path))

    def _in_default(self, path: str) -> Place:
        if self.default is None:
            raise NoContainer(path)
        return Place(self.default, posixpath.join(self.directory, path))

    @staticmethod
    def _is_path_alone(text: str) -> bool:
        """Tell whether *text* cannot begin with a container, in the shell."""
        return text.startswith(("/", "./", "../")) or text in ("", ".", "..")

    def _start(self, text: str) -> int:
        """Return where in *text* a colon may end the name of a container."""
        drive = _DRIVE.match(text) if self.windows else None
        return drive.end() if drive else 0

    def _split(self, text: str) -> tuple[str, str] | None:
        """Return (container, path) of *text*, None for a text that names no container.

        >>> Reader()._split("a:b.db:/c"), Reader()._split("a:b"), Reader()._split("a:")
        (('a:b.db', '/c'), ('a', 'b'), ('a', ''))
        """
        start = self._start(text)
        at = text.find(":/", start)
        if at < 0 and text.endswith(":") and len(text) > start:
            at = len(text) - 1
        if at < 0:
            at = text.find(":", start)
        if at < 0:
            return None
        return text[:at], text[at + 1 :]
