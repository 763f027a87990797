"""zipfile: the archive that a game would ship instead, stored and deflated."""

from __future__ import annotations

import os
import re
import zipfile
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.contenders.bare import Bare
from benchmarks.contenders.protocol import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.contenders.protocol import Contender


class Zip(Bare):
    """Members by name; what a directory holds is found among all names."""

    def __init__(self, location: str) -> None:
        archive = zipfile.ZipFile(location)
        self._archive = archive
        self.read, self.close = archive.read, archive.close  # type: ignore[method-assign]

    def key(self, path: str) -> str:
        return path[1:]

    def open(self, key: str, _: str) -> Any:
        return self._archive.open(key)

    def size(self, key: str) -> int:
        return self._archive.getinfo(key).file_size

    def exists(self, key: str) -> bool:
        try:
            self._archive.getinfo(key)
        except KeyError:
            return False
        return True

    def listdir(self, key: str) -> list[str]:
        start = len(key) + 1
        names = [
            name[start:]
            for name in self._archive.namelist()
            if name.startswith(f"{key}/")
        ]
        return [*{name.partition("/")[0] for name in names}]

    def walk(self, key: str) -> int:
        names = self._archive.namelist()
        return len([name for name in names if name.startswith(f"{key}/")])

    def glob(self, pattern: str) -> int:
        matches = re.compile(expression(pattern[1:])).fullmatch
        return len([name for name in self._archive.namelist() if matches(name)])


def expression(pattern: str) -> str:
    """Return the regular expression of a glob of names, of ``*`` and of ``**/``.

    >>> expression("top/**/*.png")
    'top/(?:.+/)?[^/]*\\\\.png'
    """
    parts = re.split(r"(\*\*/|\*)", pattern)
    meant = {"**/": "(?:.+/)?", "*": "[^/]*"}
    return "".join(meant.get(part) or re.escape(part) for part in parts)


def archived(
    directory: str, files: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED
) -> str:
    """Write a zip file of *files*; return its path."""
    location = os.path.join(directory, "shipped.zip")
    with zipfile.ZipFile(location, "w", compression) as archive:
        for path, data in files.items():
            archive.writestr(path[1:], data)
    return location


def ship(
    compression: int, directory: str, files: Mapping[str, bytes]
) -> Callable[[], Contender]:
    location = archived(directory, files, compression)
    return lambda: Zip(location)


def never(_: str) -> Contender:
    message = "an archive is built, not made"
    raise NotImplementedError(message)


KINDS = (
    Kind(
        "zipfile",
        "shipped",
        never,
        partial(ship, zipfile.ZIP_STORED),
        role="yardstick",
    ),
    Kind(
        "deflated",
        "shipped",
        never,
        partial(ship, zipfile.ZIP_DEFLATED),
        role="yardstick",
    ),
)
