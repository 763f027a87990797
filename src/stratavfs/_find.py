"""Finding: the paths below a directory that are as somebody wants them.

No more is asked than the question needs: names alone come from the names' own table, a
type costs one statement a directory, and attributes are read of what all other tests
have let through. Every look at a directory has a gate of its own; between two paths
nothing is held.

The order is that of the keys: directory by directory, each before those in it, and in
each the names in code point order.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stratavfs import _metadata, _patterns, _selection, errors
from stratavfs._arguments import checked_choice
from stratavfs._entry import Entry
from stratavfs._paths import checked_text, inside
from stratavfs.records import VPath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stratavfs._layers import LayerStack
    from stratavfs._paths import StrPath
    from stratavfs._selection import Test
    from stratavfs._underlays import Member
    from stratavfs.records import Inode

    Moment = float | datetime

_TYPES: Final = {
    **dict.fromkeys(("f", "file"), S_IFREG),
    **dict.fromkeys(("d", "directory"), S_IFDIR),
    **dict.fromkeys(("l", "symlink"), S_IFLNK),
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = 1_000_000_000


class Criteria(NamedTuple):
    """What is wanted of a path."""

    pattern: str
    matches: Test
    """A test of the path, relative to where the search begins."""
    with_all_in: bool
    """Whether that is of directories, and lets through all that is in them."""
    named: Test | None
    """One more test, of the name."""
    kind: int | None
    """The type bits."""
    looks: tuple[Callable[[Inode], bool], ...]
    """Tests of size and time."""
    metadata: dict[str, bytes | None] | None
    """Names of attributes, and the canonical JSON that each has to hold."""

    @property
    def of_names(self) -> bool:
        """Whether the names tell."""
        others = (self.kind, self.metadata)
        return others == (None, None) and not (self.looks or self.with_all_in)


# --- arguments ------------------------------------------------------------------------


def criteria(
    pattern: StrPath = "*",
    *,
    type_: str | None = None,
    name: str | None = None,
    min_size: int | None = None,
    max_size: int | None = None,
    newer: Moment | None = None,
    older: Moment | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Criteria:
    """Return what these arguments ask for.

    Raises:
        InvalidType, InvalidArgument: one of them cannot be.
    """
    text = checked_text(pattern)
    with_all_in = text.endswith("/") and bool(text.strip("/"))
    included = _selection.selection(text.rstrip("/") if with_all_in else text).included
    assert included is not None  # noqa: S101 - there is a pattern
    looks: list[Callable[[Inode], bool]] = []
    if min_size is not None or max_size is not None:
        looks.append(_sized(min_size, max_size))
    if newer is not None:
        looks.append(_newer(newer))
    if older is not None:
        looks.append(_older(older))
    return Criteria(
        text,
        included[0],
        with_all_in,
        None if name is None else _name_test(name),
        None if type_ is None else _TYPES[checked_choice("type", type_, _TYPES)],
        tuple(looks),
        None if metadata is None else _wanted(metadata),
    )


def _name_test(name: str) -> Test:
    text = checked_text(name)
    if "/" in text:
        message = f"name is {text!r}, but no name holds '/'; give it as the pattern"
        raise errors.InvalidArgument(message)
    return _patterns.matcher(text)


def _wanted(metadata: Mapping[str, Any]) -> dict[str, bytes | None]:
    encoded = _metadata.encoded(metadata)
    return {key: _metadata.canonical(value) for key, value in encoded.items()}


def _sized(least: int | None, most: int | None) -> Callable[[Inode], bool]:
    for what, size in (("min_size", least), ("max_size", most)):
        if size is not None:
            _check_size(what, size)
    low = 0 if least is None else least
    high = math.inf if most is None else most
    return lambda inode: inode.is_file and low <= inode.size <= high


def _check_size(what: str, size: int) -> None:
    if isinstance(size, bool) or not isinstance(size, int):
        message = f"{what} should be a number of bytes, not {size!r}"
        raise errors.InvalidType(message)
    if size < 0:
        message = f"{what} should be 0 bytes or more, not {size}"
        raise errors.InvalidArgument(message)


def _newer(moment: Moment) -> Callable[[Inode], bool]:
    limit, rounded = _limit("newer", moment)
    return lambda inode: rounded(inode.mtime_ns) > limit


def _older(moment: Moment) -> Callable[[Inode], bool]:
    limit, rounded = _limit("older", moment)
    return lambda inode: rounded(inode.mtime_ns) < limit


def _limit(what: str, moment: Moment) -> tuple[float, Callable[[int], float]]:
    """Return *moment* as a number, and what makes such a number of nanoseconds.

    Times are compared as exactly as *moment* says them, so that no file is newer than
    what its own ``stat()`` says, be it ``st_mtime`` or ``modified_at``.
    """
    if isinstance(moment, datetime):
        return _microseconds(what, moment), lambda ns: ns // 1000
    if isinstance(moment, bool) or not isinstance(moment, int | float):
        message = (
            f"{what} should be a number of seconds since 1970 or a datetime, "
            f"not {moment!r}"
        )
        raise errors.InvalidType(message)
    if isinstance(moment, int):
        return moment * _SECOND, lambda ns: ns
    if math.isnan(moment):
        message = f"{what} is {moment!r}, which is no time"
        raise errors.InvalidArgument(message)
    return moment, lambda ns: ns / _SECOND


def _microseconds(what: str, moment: datetime) -> int:
    try:
        aware = moment if moment.tzinfo is not None else moment.astimezone()
        return (aware - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError, OSError) as error:
        message = f"{what} is {moment!r}, of which the time zone is not known: {error}"
        raise errors.InvalidArgument(message) from error


# --- searching ------------------------------------------------------------------------


def find(layers: LayerStack, top: VPath, wanted: Criteria) -> Iterator[VPath]:
    """Yield the paths below the directory *top* that are as *wanted*.

    A link is not followed, but *top* may be one. What vanishes meanwhile is passed
    over.

    Raises:
        FileNotFoundError, NotADirectoryError: *top* is no directory.
    """
    if wanted.of_names and layers.stack.resolver is None:
        return _by_names(layers, top, wanted)
    return _by_directories(layers, top, wanted)


def _by_names(layers: LayerStack, top: VPath, wanted: Criteria) -> Iterator[VPath]:
    """Find by the names alone, most of which SQLite tests itself, page by page."""
    segments = _patterns.parse(wanted.pattern).segments
    last = segments[-1] if segments else _patterns.RECURSIVE
    tests = [] if _patterns.is_filter_exact(last) else [_patterns.matcher(last)]
    if wanted.named is not None:
        tests.append(wanted.named)
    is_whole, prefix = "/" in wanted.pattern, len(inside(top))
    known, is_taken = "", True
    with layers.gate:  # to look what *top* is; each page has its own
        found = layers.below(top, _patterns.name_filter(last))
    for parent, name in found:
        if tests and not all(test(name) for test in tests):
            continue
        if is_whole and (parent != known or last == _patterns.RECURSIVE):
            # Where the last segment is the name, a directory is taken as a whole.
            known = parent
            is_taken = bool(wanted.matches((parent + name)[prefix:]))
        if is_taken:
            yield VPath(parent + name)


def _by_directories(
    layers: LayerStack, top: VPath, wanted: Criteria
) -> Iterator[VPath]:
    prefix = len(inside(top))
    todo = [(inside(top), False)]  # keys of directories, and whether all in it is taken
    while todo:
        key, taken = heappop(todo)
        try:
            with layers.gate:
                found = _Look(layers, wanted, key, prefix)
                found.look(taken=taken)
        except (FileNotFoundError, NotADirectoryError):
            if len(key) == prefix:
                raise
            continue
        for step in found.directories:
            heappush(todo, step)
        yield from found.paths


class _Look:
    """One look at one directory: what is found there, and where to go from it."""

    def __init__(
        self, layers: LayerStack, wanted: Criteria, key: str, prefix: int
    ) -> None:
        self._layers = layers
        self._wanted = wanted
        self._key = key
        self._prefix = prefix
        self.paths: list[VPath] = []
        self.directories: list[tuple[str, bool]] = []

    def look(self, *, taken: bool) -> None:
        """Look at all that is there; it may all be *taken*, or what matches."""
        directory = VPath(self._key[:-1] or "/")
        wanted = self._wanted
        if not wanted.looks and wanted.metadata is None:
            for name, kind in self._layers.kinds(directory):
                if self._takes(name, kind, taken=taken):
                    self.paths.append(VPath(self._key + name))
            return
        for name, inode, member in self._layers.children(directory):
            if (
                self._takes(name, S_IFMT(inode.mode), taken=taken)
                and all(look(inode) for look in wanted.looks)
                and self._has_metadata(name, inode, member)
            ):
                self.paths.append(VPath(self._key + name))

    def _takes(self, name: str, kind: int, *, taken: bool) -> bool:
        """Tell whether name and type are as wanted; note a directory to go on to."""
        wanted = self._wanted
        path = self._key + name
        if not taken and not (wanted.with_all_in and kind != S_IFDIR):
            taken = bool(wanted.matches(path[self._prefix :]))
        if kind == S_IFDIR:
            self.directories.append((path + "/", taken and wanted.with_all_in))
        return (
            taken
            and wanted.kind in (None, kind)
            and (wanted.named is None or bool(wanted.named(name)))
        )

    def _has_metadata(self, name: str, inode: Inode, member: Member | None) -> bool:
        """Tell whether the attributes are as wanted; what is no JSON equals none."""
        wanted = self._wanted.metadata
        if not wanted:
            return True
        path = VPath(self._key + name)
        xattrs = self._layers.xattrs(Entry(path, path, inode, member=member))
        return all(
            key in xattrs and _metadata.canonical(xattrs[key]) == value
            for key, value in wanted.items()
        )
