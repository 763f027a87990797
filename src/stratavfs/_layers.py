"""The view: what a path means, symbolic links and layers considered.

Everything above asks here and nowhere else. The local layer is asked first; where it
has nothing and hides nothing, the resolver tells what the underlays have.
"""

from __future__ import annotations

from contextlib import nullcontext
from errno import ELOOP, ENOENT, ENOTDIR
from stat import S_IFDIR, S_IFMT, S_ISDIR, S_ISLNK, S_ISREG
from typing import TYPE_CHECKING, Final, TypeVar

from stratavfs import _patterns, errors
from stratavfs._entry import Entry
from stratavfs._openfile import ATTEMPTS, InodeFile
from stratavfs._paths import ROOT, inside, join, parent_of
from stratavfs._stack import LOCAL, Stack
from stratavfs._underlays import ContainerLayer
from stratavfs.records import S_IFWHT, InodeId, StatResult, VPath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from stratavfs._openfile import Rooms, StreamFile
    from stratavfs._resolver import Resolver
    from stratavfs._underlays import Member
    from stratavfs.records import Inode

T = TypeVar("T")

LINK_LIMIT: Final = 40
"""Symbolic links followed for one path: MAXSYMLINKS of Linux."""

_UNLOCKED: Final = nullcontext()


class LayerStack:
    """Answers questions about paths in the merged view; never changes anything."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self._store, self._tree, self._content = rooms
        self._lock = self._store.lock
        self.stack = Stack(ContainerLayer(rooms))
        # st_dev and source_layer: the number tells two containers' inodes apart
        self._local = (self.stack.local.device, LOCAL)

    @property
    def gate(self) -> AbstractContextManager[object]:
        """The scope of a call that only asks: with one layer, one look at all of it.

        With underlays each statement takes its layer's lock alone: nobody may wait for
        one layer while keeping others waiting for another.
        """
        return _UNLOCKED if self.stack.resolver else self._lock

    @property
    def look(self) -> AbstractContextManager[object]:
        """The gate of a call that asks several questions: with one layer, one state."""
        return _UNLOCKED if self.stack.resolver else self._store.snapshot()

    # --- the layers, one after the other ---------------------------------------------

    def _find(self, path: VPath) -> tuple[Inode | None, Member | None]:
        """Return what is at *path*, taken literally, and the underlay that has it."""
        resolver = self.stack.resolver
        if resolver is None:
            return self._tree.find(path), None
        directory = parent_of(path)
        with self._lock:
            if not self._tree.is_out_of(directory):
                inode = self._tree.look(path)
                if inode is not None:
                    return (None if inode.is_whiteout else inode), None
                if self._tree.hides(directory):
                    return None, None
        found = resolver.find(path)
        return (None, None) if found is None else (found[1], found[0])

    def answer(self, path: VPath, *, again: bool = False) -> tuple[int, Member | None]:
        """Return the type bits of what is at *path*, 0 if nothing, and the underlay."""
        resolver = self.stack.resolver
        if resolver is None:
            with self._lock:
                kind = self._tree.look_type(path)
            return (0 if kind == S_IFWHT else kind), None
        directory = parent_of(path)
        with self._lock:
            if not self._tree.is_out_of(directory):
                kind = self._tree.look_type(path)
                if kind:
                    return (0 if kind == S_IFWHT else kind), None
                if self._tree.hides(directory):
                    return 0, None
        found = resolver.kind(path, again=again)
        return (0, None) if found is None else (found[1], found[0])

    def find_below(self, path: VPath) -> tuple[Member, Inode] | None:
        """Return what the underlays have at *path*, whatever the local layer says."""
        resolver = self.stack.resolver
        return None if resolver is None else resolver.find(path)

    def names_below(self, path: VPath) -> set[str]:
        """Return the names that the underlays have in *path*, hidden or not."""
        resolver = self.stack.resolver
        return set() if resolver is None else resolver.names(path)

    def shines_through(self, path: VPath) -> bool:
        """Tell whether *path* would still be there without the local layer's entry."""
        resolver = self.stack.resolver
        if resolver is None or self._tree.hides(parent_of(path)):
            return False
        return resolver.kind(path) is not None

    # --- what a path leads to --------------------------------------------------------

    def locate(self, path: VPath, *, follow: bool = True) -> Entry:
        """Return the entry that *path* leads to, which may be absent.

        Nearly every path leads through no symbolic link, and then the path itself is
        the key: one probe finds it, a second one on its parent decides that it is
        missing. Only then is it walked name by name.
        """
        inode, member = self._find(path)
        if inode is not None and not (follow and inode.is_link):
            return Entry(path, path, inode, member=member)
        if inode is None and S_ISDIR(self.answer(parent_of(path), again=True)[0]):
            return Entry(path, path, None, ENOENT, path)
        with _UNLOCKED if self.stack.resolver else self._store.snapshot():
            return self._walk(path, follow=follow)

    def _walk(self, asked: VPath, *, follow: bool) -> Entry:
        """Resolve *asked* name by name, as ``path_resolution(7)`` has it.

        ``..`` can only come out of a link's target here, and then means the directory
        above the one the link leads to.
        """
        todo = asked.split("/")[:0:-1]
        at = ROOT
        links = 0
        asked_for = len(todo)  # names left in *todo* that come from no link
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                at = parent_of(at)
                continue
            step = join(at, name)
            inode, _ = self._find(step)
            if inode is None:
                dangling = len(todo) >= asked_for
                return self._missing(asked, step, todo, dangling=dangling)
            if inode.target is not None and (todo or follow):
                links += 1
                if links > LINK_LIMIT:
                    return Entry(asked, asked, None, ELOOP)
                asked_for = min(asked_for, len(todo))
                at = ROOT if inode.target.startswith("/") else at
                todo.extend(reversed(inode.target.split("/")))
                continue
            if todo and not inode.is_directory:
                return Entry(asked, asked, None, ENOTDIR)
            at = step
        inode, member = self._find(at)
        return Entry(at, asked, inode, member=member)

    def _missing(
        self, asked: VPath, step: VPath, todo: list[str], *, dangling: bool
    ) -> Entry:
        """Return the absent entry *todo* below the missing *step*.

        What a dangling link leads to can be made by its own name; nothing can be made
        below that, nor beside it (``..``).
        """
        if dangling and todo:
            return Entry(asked, asked, None, ENOENT)
        return Entry(
            VPath("/".join([step, *reversed(todo)])), asked, None, ENOENT, step
        )

    def type_of(self, path: VPath, *, follow: bool = True) -> int:
        """Return the type bits of the mode of what *path* leads to, 0 if nothing."""
        if self.stack.resolver is None:  # written out: 3 % of the shortest call
            with self._lock:
                kind = self._tree.look_type(path)
            kind = 0 if kind == S_IFWHT else kind
        else:
            kind, _ = self.answer(path)
        if kind and not (follow and S_ISLNK(kind)):
            return kind
        if not kind and S_ISDIR(self.answer(parent_of(path), again=True)[0]):
            return 0
        with self.gate:
            inode = self.locate(path, follow=follow).inode
        return 0 if inode is None else S_IFMT(inode.mode)

    def stat(self, path: VPath, *, follow: bool = True) -> StatResult:
        """Return what is known of what *path* leads to."""
        resolver = self.stack.resolver
        if resolver is None:
            with self._lock:
                found = self._tree.find_stat(path, *self._local)
        else:
            found = self._stat_merged(path, resolver)
        if found is not None and not (follow and S_ISLNK(found.st_mode)):
            return found
        with self.gate:
            entry = self.locate(path, follow=follow)
            return self.stat_of(entry.require(), entry.member)

    def _stat_merged(self, path: VPath, resolver: Resolver) -> StatResult | None:
        directory = parent_of(path)
        with self._lock:
            if not self._tree.is_out_of(directory):
                inode = self._tree.look(path)
                if inode is not None:
                    return None if inode.is_whiteout else self.stat_of(inode, None)
                if self._tree.hides(directory):
                    return None
        return resolver.stat(path)

    def stat_of(self, inode: Inode, member: Member | None) -> StatResult:
        """Return *inode*, which *member* has, as ``stat()`` shows it."""
        layer = self._local
        if member is not None:
            layer = (member.layer.device, member.name)
        return StatResult._make(inode[:13] + layer)

    # --- content ---------------------------------------------------------------------

    def read(self, path: VPath) -> bytes:
        """Return all bytes of the file at *path*: one statement for a small one."""
        resolver = self.stack.resolver
        if resolver is not None:
            content = self.merged_content(path, resolver)
            return self._read_located(path) if content is None else content
        with self._lock:
            content = self._tree.find_content(path)
            if content is not None:
                return content
            with self._store.snapshot():
                number = self.local_file(path)
                if number is not None:
                    return self._read_local(number, path)
        return self._read_located(path)

    def _read_local(self, number: InodeId, path: VPath) -> bytes:
        try:
            data = self._content.read(number)
        except OSError as error:
            raise errors.naming(error, path) from error.__cause__
        if data is None:  # found just now, in the same snapshot
            why = f"{path!r} leads to no file"
            raise errors.corrupt(self._store.location, why)
        return data

    def merged_content(self, path: VPath, resolver: Resolver) -> bytes | None:
        """Return the content of a small file that no link leads to, or None."""
        directory = parent_of(path)
        with self._lock:
            if not self._tree.is_out_of(directory):
                found = self._tree.look_content(path)
                if found is not None:
                    return found[1]
                if self._tree.hides(directory):
                    return None
        return resolver.content(path)

    def _read_located(self, path: VPath) -> bytes:
        for _ in range(ATTEMPTS):
            entry = self.locate(path)
            file = self.open_source(entry)
            if file is not None:
                try:
                    data = file.read(0)
                finally:
                    file.close()
                if data is not None:
                    return data
        raise errors.not_found(path)

    def local_file(self, path: VPath) -> InodeId | None:
        """Return the number of the file *path* leads to, None if it lies below."""
        found = self._tree.find_entry(path)
        if found is not None and S_ISREG(found[0]):
            return found[1]
        entry = self.locate(path)
        return entry.require_file().id if entry.member is None else None

    def open_local(self, path: VPath) -> InodeFile | None:
        """Open the file at *path* to be read, with one layer; None if it takes more."""
        found = None if self.stack.resolver else self._tree.find_file(path)
        return None if found is None else InodeFile(self.rooms, *found)

    def open_source(self, entry: Entry) -> InodeFile | StreamFile | None:
        """Open the file at *entry* where it is; None if it has gone meanwhile."""
        inode = entry.require_file()
        if entry.member is not None:
            return entry.member.open_file(entry.path)
        with self._lock:
            # With one layer the gate is held since the entry was found.
            if self.stack.resolver is not None and self._tree.read(inode.id) is None:
                return None
            return InodeFile(self.rooms, inode.id)

    # --- directories -----------------------------------------------------------------

    def names(self, path: VPath) -> list[str]:
        """Return the names in the directory at *path* in code point order."""
        if self.stack.resolver is not None:
            return [name for name, _ in self.kinds(path)]
        return self._tree.names(path) or self._through(path, self._tree.names)

    def kinds(self, path: VPath) -> list[tuple[str, int]]:
        """Return (name, type bits) of all in the directory at *path*, links as such."""
        if self.stack.resolver is not None:
            return self._merged_kinds(self._directory(path))
        return self._tree.kinds(path) or self._through(path, self._tree.kinds)

    def _through(self, path: VPath, ask: Callable[[VPath], list[T]]) -> list[T]:
        with self._store.snapshot():
            return ask(self._directory(path))

    def _merged_kinds(self, directory: VPath) -> list[tuple[str, int]]:
        with self._lock:
            mine = self._tree.look_kinds(directory)
        names = dict(mine)
        for member in self.merging(directory):
            names = dict(member.kinds(directory)) | names
        return sorted((name, kind) for name, kind in names.items() if kind != S_IFWHT)

    def merging(self, directory: VPath) -> list[Member]:
        """Return the underlays that show in the merged directory, from the top."""
        resolver = self.stack.resolver
        if resolver is None:
            return []
        with self._lock:
            if self._tree.hides(directory):
                return []
        return resolver.merging(directory)

    def children(self, path: VPath) -> list[tuple[str, Inode, Member | None]]:
        """Return (name, inode, underlay) of all in the directory at *path*."""
        directory = self._directory(path)
        if self.stack.resolver is None:
            return [(*child, None) for child in self._tree.children(directory)]
        with self._lock:
            mine = self._tree.look_children(directory)
        found: dict[str, tuple[Inode, Member | None]]
        found = {name: (inode, None) for name, inode in mine}
        for member in self.merging(directory):
            for name, inode in member.children(directory):
                found.setdefault(name, (inode, member))
        return [
            (name, *found[name])
            for name in sorted(found)
            if not found[name][0].is_whiteout
        ]

    def below(self, path: VPath, name_glob: str) -> Iterator[tuple[str, str]]:
        """Yield (parent key, name) of all below the directory *path*, links as such."""
        top = self._directory(path)
        found = self._below(top, name_glob)
        if top == path:
            return found
        cut = len(inside(top))  # a link led there: the caller's path stays
        return ((inside(path) + parent[cut:], name) for parent, name in found)

    def _below(self, top: VPath, name_glob: str) -> Iterator[tuple[str, str]]:
        if self.stack.resolver is None:
            yield from self._tree.below(top, name_glob)
            return
        matches, todo = _patterns.matcher(name_glob), [top]
        while todo:
            directory = todo.pop()
            parent = inside(directory)
            for name, kind in self._merged_kinds(directory):
                if matches(name):
                    yield parent, name
                if kind == S_IFDIR:
                    todo.append(join(directory, name))

    def _directory(self, path: VPath) -> VPath:
        if S_ISDIR(self.answer(path)[0]):
            return path
        entry = self.locate(path)
        entry.require_directory()
        return entry.path

    # --- extended attributes ---------------------------------------------------------

    def xattrs(self, entry: Entry) -> Mapping[str, bytes]:
        """Return the extended attributes of what is at *entry*."""
        if entry.member is not None:
            return entry.member.xattrs(entry.path)
        with self._lock:
            return self._tree.xattrs(entry.require().id)
