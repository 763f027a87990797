"""Selections: which paths of a tree a pattern, or several, mean.

The rules are those of ``rsync`` and ``.gitignore``: a pattern without a slash is of a
name, wherever it is; one with a slash is of the whole path from the top of the tree, by
the rules of ``glob``; one with a slash at its end is of directories with all in them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from stratavfs import _paths, _patterns, errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Patterns = str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None
    Test = Callable[[str], object]


class Selection(NamedTuple):
    """What is taken of a tree, path by path; each is relative, without a slash first.

    >>> chosen = selection(include=["*.png", "doc/"], exclude=["/build/", "**/old/*"])
    >>> [chosen.takes(path) for path in ("art/a.png", "doc/a/b", "b.txt", "old/a.png")]
    [True, True, False, False]
    >>> chosen.leaves_out("build", directory=True), chosen.leaves_out("build")
    (True, False)
    """

    included: tuple[Test, ...] | None
    """Tests of which one has to hold; None: everything is included."""
    excluded: tuple[Test, ...]
    excluded_directories: tuple[Test, ...]
    """More tests, of directories alone."""

    @property
    def is_all(self) -> bool:
        """Whether it takes everything there is."""
        return self.included is None and not (
            self.excluded or self.excluded_directories
        )

    def takes(self, path: str) -> bool:
        """Tell whether it takes the file or link at *path*, its directory being so."""
        if self.included is not None and not _any(self.included, path):
            return False
        return not _any(self.excluded, path)

    def leaves_out(self, path: str, *, directory: bool = False) -> bool:
        """Tell whether *path* is excluded, a *directory* with all in it."""
        if directory and _any(self.excluded_directories, path):
            return True
        return _any(self.excluded, path)


def _any(tests: tuple[Test, ...], path: str) -> bool:
    return any(test(path) for test in tests)


def selection(include: Patterns = None, exclude: Patterns = None) -> Selection:
    """Return the selection of what matches *include* and does not match *exclude*.

    Raises:
        InvalidType, InvalidArgument: one is no pattern.
    """
    included = None
    if include is not None:
        texts = texts_of("include", include)
        included = tuple(_test(_all_in(text)) for text in texts)
    everywhere: list[Test] = []
    directories: list[Test] = []
    for text in texts_of("exclude", exclude):
        (directories if text.endswith("/") else everywhere).append(_test(text))
    return Selection(included, tuple(everywhere), tuple(directories))


def texts_of(what: str, patterns: Patterns) -> list[str]:
    """Return the texts of one pattern or several.

    >>> texts_of("exclude", "*.py"), texts_of("exclude", ("a", "b"))
    (['*.py'], ['a', 'b'])
    """
    if patterns is None:
        return []
    if isinstance(patterns, str | os.PathLike):
        patterns = [patterns]
    try:
        return [_paths.checked_text(pattern) for pattern in patterns]
    except TypeError as error:
        if isinstance(error, errors.InvalidType):
            raise
        message = f"{what} should be a pattern or several, not {patterns!r}"
        raise errors.InvalidType(message) from None


def _all_in(pattern: str) -> str:
    """Return the pattern of what lies in the directories that *pattern* means.

    >>> _all_in("*.py"), _all_in("doc/"), _all_in("a/doc/")
    ('*.py', '**/doc/**/*', 'a/doc/**/*')
    """
    if not pattern.endswith("/"):
        return pattern
    return pattern + "**/*" if "/" in pattern.rstrip("/") else f"**/{pattern}**/*"


def _test(pattern: str) -> Test:
    """Return a test of relative paths for one *pattern*."""
    segments = _patterns.parse(pattern).segments
    if not segments:
        return _always
    if "/" in pattern.rstrip("/"):
        return _WholePath(segments).matches
    matches = _patterns.matcher(segments[0])
    return lambda path: matches(path[path.rfind("/") + 1 :])


def _always(_: str) -> bool:
    return True


class _WholePath:
    """A test of every name of a path against the segments of a pattern."""

    def __init__(self, segments: tuple[str, ...]) -> None:
        self._tests = [
            None if segment == _patterns.RECURSIVE else _patterns.matcher(segment)
            for segment in segments
        ]

    def matches(self, path: str) -> bool:
        """Tell whether all of *path* matches.

        Where the pattern may stand after each name is a set of places, so that no
        pattern takes longer than its length times the path's.
        """
        places = self._closed({0})
        for name in path.split("/"):
            found = set()
            for place in places:
                if place == len(self._tests):
                    continue
                test = self._tests[place]
                if test is None:
                    found.add(place)
                elif test(name):
                    found.add(place + 1)
            places = self._closed(found)
            if not places:
                return False
        return len(self._tests) in places

    def _closed(self, places: set[int]) -> set[int]:
        """Return *places* with those behind a ``**``, which may match nothing."""
        for place in [*places]:
            at = place
            while at < len(self._tests) and self._tests[at] is None:
                at += 1
                places.add(at)
        return places
