"""Walking, globbing and scanning, over a small protocol instead of a file system.

Everything is lazy and works on a symbolic link as such unless told to follow it.
"""

from __future__ import annotations

from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import TYPE_CHECKING, Protocol, TypeVar, cast, final

from stratavfs import _patterns
from stratavfs._paths import ROOT, inside, join
from stratavfs.records import VPath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from stratavfs._patterns import Pattern
    from stratavfs.records import StatResult

T = TypeVar("T")


class Reader(Protocol):
    """What searching needs to ask; each answer is one consistent look."""

    def kinds(self, path: VPath) -> list[tuple[str, int]]:
        """Return (name, type bits) of all in a directory, sorted; links as such."""

    def type_of(self, path: VPath, *, follow: bool = True) -> int:
        """Return the type bits of the mode of what *path* leads to, 0 if nothing."""

    def below(self, path: VPath, name_glob: str) -> Iterator[tuple[str, str]]:
        """Yield (parent key, name) of all below a directory, links not followed."""


class Gated(Protocol):
    """What has a gate for those who ask."""

    @property
    def gate(self) -> AbstractContextManager[object]:
        """The scope of one look."""


Step = tuple["VPath", list[str], list[str]]


def walk(
    reader: Reader,
    top: VPath,
    *,
    topdown: bool,
    onerror: Callable[[OSError], object] | None,
    followlinks: bool,
) -> Iterator[Step]:
    """Yield (directory, names of directories, names of others), as ``os.walk`` does."""
    todo: list[VPath | Step] = [top]
    while todo:  # a loop, since a tree may be deeper than Python's stack
        at = todo.pop()
        if isinstance(at, tuple):
            yield at
            continue
        try:
            found = reader.kinds(at)
        except OSError as error:
            if onerror is not None:
                onerror(error)
            continue
        links = {name for name, mode in found if S_ISLNK(mode)}
        directories, others = sort_out(reader, at, found)
        if topdown:
            yield at, directories, others  # the caller may prune the directories
        else:
            todo.append((at, directories, others))
        todo.extend(
            join(at, name)
            for name in reversed(directories)
            if followlinks or name not in links
        )


def sort_out(
    reader: Reader, at: VPath, found: list[tuple[str, int]]
) -> tuple[list[str], list[str]]:
    """Part names into those of directories, links to one included, and the others."""
    directories: list[str] = []
    others: list[str] = []
    for name, mode in found:
        kind = reader.type_of(join(at, name)) if S_ISLNK(mode) else mode
        (directories if S_ISDIR(kind) else others).append(name)
    return directories, others


def glob(reader: Reader, pattern: Pattern) -> Iterator[VPath]:
    """Yield the paths that match *pattern*, each once, in no particular order."""
    found = _matching(reader, pattern.segments)
    if pattern.segments.count(_patterns.RECURSIVE) > 1:
        found = iter(dict.fromkeys(found))  # two ways may lead to one path
    if not pattern.directories_only:
        return found
    return (path for path in found if S_ISDIR(reader.type_of(path)))


Match = tuple[VPath, tuple[str, ...]]  # a path, and the segments still to be matched


def _matching(reader: Reader, segments: tuple[str, ...]) -> Iterator[VPath]:
    steps: list[Iterator[Match]] = [iter([(ROOT, segments)])]
    while steps:  # a stack, since a pattern may be longer than Python's own
        found = next(steps[-1], None)
        if found is None:
            steps.pop()
            continue
        at, rest = found
        if not rest:
            yield at
        elif len(rest) > 1 or rest[0] == _patterns.RECURSIVE:
            steps.append(_step(reader, at, rest))
        else:
            yield from _in_one(reader, at, rest[0])


def _in_one(reader: Reader, at: VPath, segment: str) -> list[VPath]:
    """Return what the last *segment* matches in the directory *at*.

    All at once, since the names are at hand: 100 of them in 50 us less than one by one.
    """
    if not _patterns.is_wild(segment):
        path = join(at, segment)
        return [path] if reader.type_of(path, follow=False) else []
    if not S_ISDIR(reader.type_of(at)):
        return []
    matches, key = _patterns.matcher(segment), inside(at)
    found = [key + name for name, _ in reader.kinds(at) if matches(name)]
    return cast("list[VPath]", found)


def _step(reader: Reader, at: VPath, segments: tuple[str, ...]) -> Iterator[Match]:
    """Yield what the first of *segments* matches in the directory *at*."""
    head, rest = segments[0], segments[1:]
    if not _patterns.is_wild(head):
        yield join(at, head), rest
    elif not S_ISDIR(reader.type_of(at)):
        return
    elif head == _patterns.RECURSIVE:
        yield from _step_below(reader, at, rest)
    else:
        matches = _patterns.matcher(head)
        for name, mode in reader.kinds(at):
            if matches(name) and not S_ISREG(mode):
                yield join(at, name), rest


def _step_below(reader: Reader, at: VPath, rest: tuple[str, ...]) -> Iterator[Match]:
    """Yield what ``**`` matches; the segment after it, if last, in the same pass."""
    if len(rest) > 1:
        for directory in directories_below(reader, at):
            yield directory, rest
        return
    if not rest:
        yield at, ()
    last = rest[0] if rest else "*"
    found = reader.below(at, _patterns.name_filter(last))
    if not _patterns.is_filter_exact(last):
        matches = _patterns.matcher(last)
        found = (entry for entry in found if matches(entry[1]))
    for parent, name in found:
        yield VPath(parent + name), ()


def directories_below(reader: Reader, top: VPath) -> Iterator[VPath]:
    """Yield *top* and the directories below it, links to one not followed."""
    todo = [top]
    while todo:
        at = todo.pop()
        yield at
        todo.extend(join(at, name) for name, mode in reader.kinds(at) if S_ISDIR(mode))


def locked(reader: Gated, steps: Iterator[T]) -> Iterator[T]:
    """Yield *steps*, each found within the gate of *reader*, open in between."""
    while True:
        with reader.gate:
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step


@final
class DirEntry:
    """One name in a directory, in the words of ``os.DirEntry``."""

    __slots__ = ("_follow", "_lstat", "name", "path")

    def __init__(
        self,
        directory: VPath,
        name: str,
        lstat: StatResult,
        follow: Callable[[VPath], StatResult],
    ) -> None:
        self._lstat = lstat
        self._follow = follow
        self.name = name
        self.path: str = join(directory, name)

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def __fspath__(self) -> str:
        return self.path

    def inode(self) -> int:
        """Return the inode number of the entry itself."""
        return self._lstat.st_ino

    def is_symlink(self) -> bool:
        """Tell whether the entry is a symbolic link."""
        return S_ISLNK(self._lstat.st_mode)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether the entry is a directory, or a link to one."""
        return S_ISDIR(self._mode(follow_symlinks))

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether the entry is a file, or a link to one."""
        return S_ISREG(self._mode(follow_symlinks))

    def stat(self, *, follow_symlinks: bool = True) -> StatResult:
        """Return what is known of the entry, as it was when the scan began.

        Raises:
            OSError: it is a link that leads nowhere.
        """
        if follow_symlinks and self.is_symlink():
            return self._follow(VPath(self.path))
        return self._lstat

    def _mode(self, follow_symlinks: bool) -> int:
        try:
            return self.stat(follow_symlinks=follow_symlinks).st_mode
        except FileNotFoundError:
            return 0


@final
class ScandirIterator:
    """What ``scandir`` returns: an iterator that is a context manager too."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterator[DirEntry]) -> None:
        self._entries = entries

    def __iter__(self) -> ScandirIterator:
        return self

    def __next__(self) -> DirEntry:
        return next(self._entries)

    def __enter__(self) -> ScandirIterator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the iteration."""
        self._entries = iter(())
