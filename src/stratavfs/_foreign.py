"""A layer that is no container, asked in the words of the stack.

It may be anybody's object: what it says is looked at before it is believed, and what
it left out of the protocol has an answer here.
"""

from __future__ import annotations

from contextlib import contextmanager
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_IMODE
from typing import TYPE_CHECKING, Final

from stratavfs._content import SIZE_LIMIT
from stratavfs._openfile import StreamFile
from stratavfs._paths import NAME_LIMIT, PATH_LIMIT, ROOT, inside, parent_of
from stratavfs._ticks import devices
from stratavfs.records import S_IFWHT, Inode, InodeId, StatResult, VPath

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from stratavfs._openfile import Failing
    from stratavfs.layers.protocol import LeastLayer

_NUMBERS: Final = (1 << 63) - 1
_KNOWN: Final = (S_IFDIR, S_IFREG, S_IFLNK, S_IFWHT)


class ForeignLayer:
    """A layer that is no container, with what it left out of the protocol."""

    is_container = False

    def __init__(self, layer: LeastLayer) -> None:
        self._layer = layer
        self.device = next(devices)
        self.location = str(getattr(layer, "location", ""))
        kind = type(layer).__name__.removesuffix("Layer").lower()
        self.kind = str(getattr(layer, "kind", "") or kind)
        self._version: Callable[[], Hashable] | None = getattr(layer, "version", None)
        immutable = bool(getattr(layer, "immutable", False))
        self.remembered = immutable or self.version() is not None
        self.polled = not immutable

    def watch(self) -> None:
        """Its own version() tells."""

    def version(self) -> Hashable:
        return None if self._version is None else self._version()

    def find(self, path: VPath) -> Inode | None:
        found = self._ask(path)
        if found is None:
            return None
        if not found.id:  # a number of its own, or samefile() takes all for one
            found = found._replace(id=InodeId(hash(path) & _NUMBERS))
        return checked(found)

    def _ask(self, path: VPath) -> Inode | None:
        try:
            return self._layer.find(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def type_of(self, path: VPath) -> int:
        found = self._ask(path)
        return 0 if found is None else checked_kind(found.mode)

    def kinds(
        self,
        path: VPath,
        limit: int,  # noqa: ARG002 - the layer gives all of them
    ) -> list[tuple[str, int]]:
        try:
            found = self._layer.kinds(path)
            return sorted(
                (checked_name(name), checked_kind(mode)) for name, mode in found
            )
        except (FileNotFoundError, NotADirectoryError):  # it has just gone
            return []

    def children(self, path: VPath) -> list[tuple[str, Inode]]:
        found = (
            (name, self.find(VPath(inside(path) + name)))
            for name, _ in self.kinds(path, -1)
        )
        return [(name, inode) for name, inode in found if inode is not None]

    def hides(self, path: VPath) -> bool:
        steps = [path]
        while steps[-1] != ROOT:
            steps.append(parent_of(steps[-1]))
        for step in reversed(steps):
            found = self._ask(step)
            if found is None:
                return False
            if not found.is_directory or found.opaque:
                return True
        return False

    def content(self, path: VPath) -> bytes | None:  # noqa: ARG002 - open it
        return None

    def stat(self, path: VPath, name: str) -> StatResult | None:  # noqa: ARG002
        return None  # find it

    def open_file(self, path: VPath, failing: Failing) -> StreamFile | None:
        try:
            return StreamFile(self._layer.open(path), failing)
        except FileNotFoundError:
            return None

    def xattrs(self, path: VPath) -> Mapping[str, bytes]:
        ask = getattr(self._layer, "xattrs", None)
        return {} if ask is None else checked_attributes(ask(path))

    @contextmanager
    def steady(self) -> Iterator[None]:
        yield

    def close(self) -> None:
        close = getattr(self._layer, "close", None)
        if close is not None:
            close()


def checked(inode: Inode) -> Inode:
    """Return what a layer said, refused where it cannot be: it may be anybody's.

    >>> checked(Inode(0o100644, size=-1))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: impossible inode: Inode(mode=33188, ..., size=-1, ...)
    """
    kind = checked_kind(inode.mode)
    texts = [inode.owner or "-", inode.group or "-"]
    if kind == S_IFLNK:
        texts.append(inode.target or "")
    if (
        inode.mode != kind | S_IMODE(inode.mode)
        or not all(is_number(value) for value in (*inode[:10], inode.generation))
        or not 1 <= inode.generation <= SIZE_LIMIT
        or len((inode.target or "").encode(errors="replace")) > PATH_LIMIT
        or not 0 <= inode.size <= SIZE_LIMIT
        or (inode.target is not None) != (kind == S_IFLNK)
        or not all(is_text(text) for text in texts)
    ):
        message = f"impossible inode: {inode}"
        raise ValueError(message)
    return inode


def checked_kind(mode: int) -> int:
    """Return the type bits of *mode*, refused where there is no such type."""
    kind = S_IFMT(mode)
    if kind not in _KNOWN:
        message = f"impossible type: {mode:#o}"
        raise ValueError(message)
    return kind


def checked_attributes(found: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return extended attributes, refused where they are none."""
    for name, value in found.items():
        if not is_text(name) or not isinstance(value, bytes):
            message = f"impossible attribute: {name!r}"
            raise ValueError(message)
    return found


def is_number(value: object) -> bool:
    """Tell whether *value* is a number that a column holds."""
    return isinstance(value, int) and -(1 << 63) <= value < 1 << 63


def is_text(text: str) -> bool:
    r"""Tell whether *text* is some, without NUL, and UTF-8.

    >>> is_text("a"), is_text("a\0"), is_text("a\udcff"), is_text("")
    (True, False, False, False)
    """
    try:
        return bool(text) and b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def checked_name(name: str) -> str:
    """Return a name that a layer said, refused where no directory can hold it."""
    if (
        not is_text(name)
        or name in (".", "..")
        or "/" in name
        or len(name.encode()) > NAME_LIMIT
    ):
        message = f"impossible name: {name!r}"
        raise ValueError(message)
    return name
