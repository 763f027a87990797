"""The view: what a path means, symbolic links and layers considered.

Everything above asks here and nowhere else. There is one layer so far, the local one;
the stack of read-only underlays finds its place behind the same questions.
"""

from __future__ import annotations

import itertools
import math
from errno import ELOOP, ENOENT, ENOTDIR
from stat import S_IFMT, S_ISDIR, S_ISLNK, S_ISREG
from typing import TYPE_CHECKING, Final

from stratavfs._paths import ROOT, inside, join, parent_of
from stratavfs.records import Entry, InodeId, StatResult, VPath

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stratavfs._content import Content
    from stratavfs._store import Store
    from stratavfs._tree import Tree
    from stratavfs.records import Inode

LOCAL: Final = "local"
"""Name of the one layer that can be written."""

LINK_LIMIT: Final = 40
"""Symbolic links followed for one path: MAXSYMLINKS of Linux."""

_devices = itertools.count(1)


class LayerStack:
    """Answers questions about paths; never changes anything."""

    def __init__(self, store: Store, tree: Tree, content: Content) -> None:
        self._store = store
        self._tree = tree
        self._content = content
        # st_dev and source_layer: the number tells two containers' inodes apart
        self._layer = (next(_devices), LOCAL)

    # --- what a path leads to --------------------------------------------------------

    def locate(self, path: VPath, *, follow: bool = True) -> Entry:
        """Return the entry that *path* leads to, which may be absent.

        Nearly every path leads through no symbolic link, and then the path itself is
        the key: one probe finds it, a second one on its parent decides that it is
        missing. Only then is it walked name by name.
        """
        inode = self._tree.find(path)
        if inode is not None and not (follow and inode.is_link):
            return Entry(path, path, inode)
        if inode is None:
            parent = self._tree.find_entry(parent_of(path))
            if parent is not None and S_ISDIR(parent[0]):
                return Entry(path, path, None, ENOENT, path)
        with self._store.snapshot():
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
            inode = self._tree.find(step)
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
        return Entry(at, asked, self._tree.find(at))

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
        found = self._tree.find_entry(path)
        if found is not None and not (follow and S_ISLNK(found[0])):
            return found[0]
        inode = self.locate(path, follow=follow).inode
        return 0 if inode is None else S_IFMT(inode.mode)

    def file(self, path: VPath) -> InodeId:
        """Return the number of the file that *path* leads to."""
        found = self._tree.find_entry(path)
        if found is not None and S_ISREG(found[0]):
            return found[1]
        return self.locate(path).require_file().id

    def stat(self, path: VPath, *, follow: bool = True) -> StatResult:
        """Return what is known of what *path* leads to."""
        found = self._tree.find_stat(path, *self._layer)
        if found is not None and not (follow and S_ISLNK(found.st_mode)):
            return found
        entry = self.locate(path, follow=follow)
        return self.stat_of(entry.require())

    def stat_of(self, inode: Inode) -> StatResult:
        """Return *inode* as ``stat()`` shows it."""
        return StatResult._make(inode[:13] + self._layer)

    # --- the layers themselves -------------------------------------------------------

    def which_layer(self, path: VPath) -> str | None:
        """Return the name of the layer that answers for *path*, None if none has it."""
        return LOCAL if self.type_of(path, follow=False) else None

    def list_layers(self) -> list[dict[str, object]]:
        """Return what is known of each layer, the local one first."""
        local = {
            "name": LOCAL,
            "priority": math.inf,
            "db_path": self._store.location,
            "writable": not self._store.read_only,
        }
        return [local]

    # --- content ---------------------------------------------------------------------

    def read(self, path: VPath) -> bytes:
        """Return all bytes of the file at *path*: one statement for a small one."""
        content = self._tree.find_content(path)
        if isinstance(content, bytes):  # damage may have made something else of it
            return content
        with self._store.snapshot():
            return self._content.read(self.file(path)) or b""

    def size(self, inode: InodeId) -> int:
        """Return the size of the file numbered *inode*."""
        return self._content.size(inode) or 0

    # --- directories -----------------------------------------------------------------

    def names(self, path: VPath) -> list[str]:
        """Return the names in the directory at *path* in code point order."""
        found = self._tree.names(path)
        return found or self._tree.names(self._directory(path))

    def kinds(self, path: VPath) -> list[tuple[str, int]]:
        """Return (name, type bits) of all in the directory at *path*, links as such."""
        found = self._tree.kinds(path)
        return found or self._tree.kinds(self._directory(path))

    def children(self, path: VPath) -> list[tuple[str, Inode]]:
        """Return (name, inode) of all in the directory at *path*."""
        return self._tree.children(self._directory(path))

    def below(self, path: VPath, name_glob: str) -> Iterator[tuple[str, str]]:
        """Yield (parent key, name) of all below the directory *path*, links as such."""
        top = self._directory(path)
        found = self._tree.below(top, name_glob)
        if top == path:
            return found
        cut = len(inside(top))  # a link led there: the caller's path stays
        return ((inside(path) + parent[cut:], name) for parent, name in found)

    def _directory(self, path: VPath) -> VPath:
        entry = self.locate(path)
        entry.require_directory()
        return entry.path

    # --- extended attributes ---------------------------------------------------------

    def xattr(self, inode: InodeId, name: str) -> bytes | None:
        return self._tree.xattr(inode, name)

    def xattr_names(self, inode: InodeId) -> list[str]:
        return self._tree.xattr_names(inode)
