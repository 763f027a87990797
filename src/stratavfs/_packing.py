"""Packing a tree that is walked: the merged view, or one of several layers alone.

Directories come in the order of their keys, each with all its names, so that entries
are only ever added at the end of their table.
"""

from __future__ import annotations

from contextlib import closing
from stat import S_IFDIR
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from stratavfs import _sql, errors
from stratavfs._entry import Entry
from stratavfs._merged import opened
from stratavfs._paths import ROOT, inside
from stratavfs._stack import LOCAL
from stratavfs._underlays import ContainerLayer
from stratavfs.records import TransferReport, VPath

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stratavfs._fresh import FreshStore
    from stratavfs._layers import LayerStack
    from stratavfs._progress import Meter
    from stratavfs._underlays import Member
    from stratavfs.records import Buffer, Inode

    Child = tuple[str, Inode, Member | None]

_ROWS: Final = 256  # files that wait at most
_BYTES: Final = 1 << 20  # bytes of content that wait at most, and that are held
_WHITEOUT: Final = 14


class View(Protocol):
    """A tree to be walked."""

    top: VPath
    """Its root; it becomes the root of the pack."""

    def find(self, path: VPath) -> Entry:
        """Return what *path*, below the root of the pack, leads to."""

    def children(self, directory: VPath) -> list[Child]:
        """Return name, inode and layer of all in *directory*, in code point order."""

    def hides(self, directory: VPath, inode: Inode) -> bool:
        """Tell whether *directory* is to hide what lies below the pack."""


def view_of(layers: LayerStack, layer: str | None) -> View:
    """Return the merged view, or the *layer* of that name alone.

    Raises:
        InvalidArgument: there is none.
    """
    if layer is None:
        return _Merged(layers)
    if layer == LOCAL:
        return _Alone(layers.stack.everybody()[:1], ROOT)
    for underlay in layers.stack.underlays:
        if underlay.name == layer:
            members = underlay.members(ROOT, None, underlay)
            return _Alone([*members], underlay.at)
    raise errors.no_such_layer(layer)


class _Merged:
    """All layers, as the one tree that a reader sees."""

    top = ROOT

    def __init__(self, layers: LayerStack) -> None:
        self._layers = layers
        self.find = layers.locate
        self.children = layers.children

    def hides(self, directory: VPath, inode: Inode) -> bool:  # noqa: ARG002
        return False  # all there was to hide is left out


class _Alone:
    """What was added as one layer, with what it hides in others."""

    def __init__(self, members: list[Member], top: VPath) -> None:
        self._members = members
        self.top = top
        self._cut = len(inside(top)) - 1

    def find(self, path: VPath) -> Entry:
        path = VPath(self.top[: self._cut] + path)
        for member in self._members:
            inode = member.find(path)
            if inode is not None:
                found = None if inode.is_whiteout else inode
                return Entry(path, path, found, member=member)
            if member.hides(path[: path.rindex("/")] or ROOT):  # type: ignore[arg-type]
                break
        return Entry(path, path, None)

    def children(self, directory: VPath) -> list[Child]:
        found: dict[str, tuple[Inode, Member | None]] = {}
        for member in self._members:
            if member.type_of(directory) == S_IFDIR:
                for name, inode in member.children(directory):
                    found.setdefault(name, (inode, member))
            if member.hides(directory):
                break
        return [(name, *found[name]) for name in sorted(found)]

    def hides(self, directory: VPath, inode: Inode) -> bool:
        if len(self._members) == 1:
            return inode.opaque == 1
        return any(member.hides(directory) for member in self._members)


class Step(NamedTuple):
    """One name on a walk."""

    key: str
    """The directory that it is in, in the pack, with a slash at its end."""
    name: str
    path: VPath
    inode: Inode
    member: Member | None

    @property
    def entry(self) -> Entry:
        return Entry(self.path, self.path, self.inode, member=self.member)


def steps(view: View) -> Iterator[Step]:
    """Yield the root, and then each name of *view* in the order of keys."""
    root = view.find(ROOT)
    yield Step("", "/", view.top, root.require_directory(), root.member)
    cut = len(inside(view.top)) - 1
    todo = [view.top]
    while todo:
        directory = todo.pop()
        at = inside(directory)
        key, below = at[cut:], []
        for name, inode, member in view.children(directory):
            yield Step(key, name, VPath(at + name), inode, member)
            if inode.is_directory:
                below.append(name + "/")
        # By their keys, in which a slash follows: "a-b/" comes before "a/".
        below.sort(reverse=True)
        todo += [VPath(at + name[:-1]) for name in below]


class Packing:
    """One pack that is being written, with what it has counted."""

    def __init__(
        self,
        layers: LayerStack,
        view: View,
        fresh: FreshStore,
        inline: int,
        meter: Meter,
    ) -> None:
        self._layers, self._view, self._meter = layers, view, meter
        self._fresh = fresh
        self._chunk_size, self._inline = fresh.chunk_size, inline
        local, _, self._content = layers.rooms
        with local.lock:
            self._has_xattrs = {0: bool(local.row(_sql.HAS_XATTRS)[0])}  # by device
        self._last = 1  # number of the newest inode; 1 is the root's
        self._known: dict[VPath, int] = {}  # numbers of those that came out of order
        self._firsts: dict[tuple[int, int], int] = {}  # of those with several names
        self._names: dict[int, int] = {}  # of which there are so many
        self._inodes: list[tuple[object, ...]] = []
        self._entries: list[tuple[str, str, int, int | None]] = []
        self._chunks: list[tuple[int, int, Buffer]] = []
        self._xattrs: list[tuple[int, str, bytes]] = []
        self._waiting = 0  # bytes
        self._files = self._directories = self._symlinks = self._bytes = 0

    def run(self, order: Iterable[VPath], found: Iterable[Step]) -> TransferReport:
        with self._fresh.transaction:
            for path in order:
                self._put_first(path)
            for step in found:
                self._put(step)
            self._flush()
            for path in self._known:  # it was there to be put first
                raise errors.changed_meanwhile(path)
            counts = [(count, number) for number, count in self._names.items()]
            self._fresh.write_many(_sql.PACK_LINKS, iter(counts))
        self._meter.finish()
        return TransferReport(
            self._files, self._directories, self._symlinks, self._bytes
        )

    # --- names -----------------------------------------------------------------------

    def _put_first(self, path: VPath) -> None:
        """Give the file that *path* leads to its number now; nothing else is one."""
        entry = self._view.find(path)
        if entry.inode is None or not entry.inode.is_file:
            return
        if entry.path not in self._known and self._first_of(entry) is None:
            self._known[entry.path] = self._put_inode(entry)

    def _put(self, step: Step) -> None:
        inode = step.inode
        if inode.is_whiteout:
            self._entries.append((step.key, step.name, _WHITEOUT, None))
            return
        entry = step.entry
        number: int | None = 1
        if not step.key:
            self._put_row(1, entry, None)
        else:
            number = self._known.pop(step.path, None)
            if number is None:
                number = self._first_of(entry) or self._put_inode(entry)
            self._directories += inode.is_directory
            self._files += inode.is_file
            self._symlinks += inode.is_link
        if number in self._names:
            self._names[number] += 1
        self._entries.append((step.key, step.name, inode.mode >> 12, number))
        self._meter.total += 1
        self._meter.count(step.path)
        if len(self._entries) >= _ROWS or self._waiting >= _BYTES:
            self._flush()

    def _key_of(self, entry: Entry) -> tuple[int, int] | None:
        """Return what tells an inode of several names from others."""
        inode = entry.require()
        if inode.nlink == 1 or inode.is_directory or not inode.id:
            return None
        return entry.device, inode.id

    def _first_of(self, entry: Entry) -> int | None:
        """Return the number that *entry* has got already under another name."""
        key = self._key_of(entry)
        return None if key is None else self._firsts.get(key)

    # --- inodes ----------------------------------------------------------------------

    def _put_inode(self, entry: Entry) -> int:
        inode = entry.require()
        number = self._last = self._last + 1
        key = self._key_of(entry)
        if key is not None:
            self._firsts[key] = number
            self._names[number] = 0
        content: Buffer | None = None
        if inode.is_file:
            self._bytes += inode.size
            if inode.size <= self._inline:
                content = self._read(entry)
                self._waiting += inode.size
                self._meter.bytes(entry.asked, inode.size)
            else:
                self._put_chunks(number, entry)
        self._put_row(number, entry, content)
        return number

    def _put_row(self, number: int, entry: Entry, content: Buffer | None) -> None:
        inode = entry.require()
        opaque = inode.is_directory and self._view.hides(entry.path, inode)
        self._inodes.append(
            (
                number,
                inode.mode,
                1 if inode.is_directory else inode.nlink,
                inode.uid,
                inode.gid,
                inode.size,
                inode.atime_ns,
                inode.mtime_ns,
                inode.ctime_ns,
                inode.birthtime_ns,
                inode.owner,
                inode.group,
                int(opaque),
                inode.target,
                content,
            )
        )
        if self._may_have_xattrs(entry):
            xattrs = self._layers.xattrs(entry)
            self._xattrs += [(number, name, xattrs[name]) for name in sorted(xattrs)]

    def _may_have_xattrs(self, entry: Entry) -> bool:
        """Tell whether asking for the attributes of *entry* may bring any.

        Asking costs 15 us a file of a container below, of which most have none at all.
        """
        found = self._has_xattrs.get(entry.device)
        if found is None:
            layer = None if entry.member is None else entry.member.layer
            found = True
            if isinstance(layer, ContainerLayer):
                found = layer.has_xattrs()
            self._has_xattrs[entry.device] = found
        return found

    def _read(self, entry: Entry) -> bytes:
        """Return the bytes of a file: by one question for most that are small."""
        inode, member = entry.require(), entry.member
        if member is None:
            with self._layers.rooms[0].lock:
                data = self._content.read(inode.id)
        else:
            data = member.content(entry.path)
            if data is None:
                with closing(opened(self._layers, entry)) as file:
                    data = file.read(0)
        if data is None:
            raise errors.not_found(entry.asked)
        if len(data) != inode.size:
            raise errors.changed_meanwhile(entry.asked)
        return data

    def _put_chunks(self, number: int, entry: Entry) -> None:
        """Write a file that is not held as a whole, chunk after chunk but for holes."""
        size, step = entry.require().size, self._chunk_size
        told = 0
        with closing(opened(self._layers, entry)) as file:
            start = file.next_data(0)
            while start is not None and start < size:
                index = start // step
                view = memoryview(bytearray(min(step, size - index * step)))
                if file.read_into(index * step, view) != len(view):
                    raise errors.changed_meanwhile(entry.asked)
                self._chunks.append((number, index, view))
                self._waiting += len(view)
                if self._waiting >= _BYTES:
                    self._flush()
                told += len(view)
                self._meter.bytes(entry.asked, len(view))
                start = file.next_data((index + 1) * step)
            if file.size() != size:
                raise errors.changed_meanwhile(entry.asked)
        self._meter.bytes(entry.asked, size - told)  # holes

    def _flush(self) -> None:
        """Write what waits."""
        for statement, rows in (
            (_sql.PACK_INODE, self._inodes),
            (_sql.PACK_CHUNK, self._chunks),
            (_sql.PUT_XATTR, self._xattrs),
            (_sql.PACK_ENTRY, self._entries),
        ):
            if rows:
                self._fresh.write_many(statement, iter(rows))
                rows.clear()
        self._waiting = 0
