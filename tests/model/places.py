"""Layers in places: read from and made in rows and directories of the host.

Nothing in this module imports ``stratavfs``; what is read here is what is on the disk.
"""

from __future__ import annotations

import os
import posixpath
import stat
from typing import TYPE_CHECKING, Any

from tests import ground
from tests.model.compare import outcome
from tests.model.layered import S_IFWHT, WHITEOUT, Layer, Merged, Node
from tests.model.real import Real

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

Step = tuple[Any, ...]
"""Name of a verb, or a function of the file system, and its arguments."""

OPAQUE = "trusted.overlay.opaque"

# --- layers in rows -------------------------------------------------------------------

_ROWS = """
SELECT e.parent || e.name, e.kind, i.id, i.mode, i.size, i.mtime_ns, i.opaque, i.target,
       i.content
  FROM entries e LEFT JOIN inodes i ON i.id = e.inode ORDER BY 1
"""
_WHITEOUT = "INSERT INTO entries (parent, name, kind, inode) VALUES (?, ?, 14, NULL)"
_OPAQUE = "UPDATE inodes SET opaque = 1 WHERE id = ?"


def layer_of_rows(cx: sqlite3.Connection) -> Layer:
    """Return what a container holds, by raw SQL."""
    found: Layer = {}
    for path, kind, inode, mode, size, mtime, opaque, target, content in cx.execute(
        _ROWS
    ).fetchall():
        if kind == 14:
            found[path] = WHITEOUT
            continue
        if kind == 8 and content is None:
            content = ground._joined(cx, inode, size)  # noqa: PLW2901
        xattrs = cx.execute(
            "SELECT name, value FROM xattrs WHERE inode = ? ORDER BY name", (inode,)
        ).fetchall()
        found[path] = Node(
            mode,
            target if kind == 10 else content,
            mtime,
            tuple(xattrs),
            bool(opaque),
            inode,
        )
    return found


def first_name(layer: Layer, path: str) -> str:
    """Return the name that *path* is made a hard link to, *path* itself for most."""
    identity = layer[path].identity
    same = (name for name, node in layer.items() if node.identity == identity)
    return path if identity is None else next(same)


def make_rows(layer: Layer, vfs: Any) -> None:
    """Make *layer* in the empty *vfs*; what deletes by raw SQL."""
    cx = vfs._store._cx
    for path, node in layer.items():
        if stat.S_ISDIR(node.mode):
            vfs.makedirs(path, exist_ok=True)
        elif first_name(layer, path) != path:
            vfs.link(first_name(layer, path), path)
        elif isinstance(node.content, bytes):
            vfs.write_bytes(path, node.content)
        elif node.content is not None:
            vfs.symlink(node.content, path)
    for path, node in sorted(layer.items(), reverse=True):
        if node.mode == S_IFWHT:
            parent, name = posixpath.split(path)
            cx.execute(_WHITEOUT, (parent.rstrip("/") + "/", name))
            continue
        for attribute, value in node.xattrs:
            vfs.setxattr(path, attribute, value, follow_symlinks=False)
        if not stat.S_ISLNK(node.mode):
            vfs.chmod(path, stat.S_IMODE(node.mode))
        vfs.utime(path, ns=(node.mtime, node.mtime), follow_symlinks=False)
        if node.opaque:
            cx.execute(_OPAQUE, (vfs.lstat(path).st_ino,))


# --- layers on the host ---------------------------------------------------------------


def layer_of_host(top: str, link_root: str = "") -> Layer:
    """Return what lies in the directory *top*, kept as overlayfs keeps its layers.

    Absolute targets of links on the disk begin with *link_root*.
    """
    found: Layer = {}
    for host in _walk(top):
        path = host.removeprefix(top) or "/"
        status = os.lstat(host)
        content: bytes | str | None = None
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            found[path] = WHITEOUT
            continue
        if stat.S_ISLNK(status.st_mode):
            content = os.readlink(host).removeprefix(link_root) or "/"
        elif stat.S_ISREG(status.st_mode):
            content = read_host(host)
        identity = status.st_dev, status.st_ino
        xattrs = xattrs_of_host(host)
        opaque = xattrs.pop(OPAQUE, b"") == b"y"
        ours = tuple(item for item in xattrs.items() if item[0].startswith("user."))
        found[path] = Node(
            status.st_mode, content, status.st_mtime_ns, ours, opaque, identity
        )
    return found


def _walk(top: str) -> Iterator[str]:
    yield top
    for above, directories, others in os.walk(top):
        yield from (os.path.join(above, name) for name in directories + others)


def read_host(host: str) -> bytes:
    with open(host, "rb") as opened:
        return opened.read()


def xattrs_of_host(host: str) -> dict[str, bytes]:
    names = os.listxattr(host, follow_symlinks=False)
    return {x: os.getxattr(host, x, follow_symlinks=False) for x in sorted(names)}


def make_host(layer: Layer, top: str, link_root: str = "") -> None:
    """Make *layer* in the empty directory *top*, as overlayfs keeps its layers."""
    for path, node in layer.items():
        if first_name(layer, path) == path:
            _make(path, node, top, link_root)
        else:
            os.link(_on_host(top, first_name(layer, path)), _on_host(top, path))
    for path, node in sorted(layer.items(), reverse=True):
        if node.mode != S_IFWHT:
            _dress(_on_host(top, path), node)


def _on_host(top: str, path: str) -> str:
    return (top + path).rstrip("/")


def _make(path: str, node: Node, top: str, link_root: str) -> None:
    host = _on_host(top, path)
    if node.mode == S_IFWHT:
        os.mknod(host, stat.S_IFCHR, os.makedev(0, 0))
    elif isinstance(node.content, str):
        absolute = node.content.startswith("/")
        os.symlink(
            _on_host(link_root, node.content) if absolute else node.content, host
        )
    elif isinstance(node.content, bytes):
        with open(host, "wb") as opened:
            opened.write(node.content)
    else:
        os.makedirs(host, exist_ok=True)
        if node.opaque:
            os.setxattr(host, OPAQUE, b"y")


def _dress(host: str, node: Node) -> None:
    """Give what is at *host* the attributes of *node*."""
    if not stat.S_ISLNK(node.mode):
        os.chmod(host, stat.S_IMODE(node.mode))
        for name in xattrs_of_host(host):
            if name.startswith("user."):
                os.removexattr(host, name)
    for name, value in node.xattrs:
        os.setxattr(host, name, value, follow_symlinks=False)
    os.utime(host, ns=(node.mtime, node.mtime), follow_symlinks=False)


def follow_host(old: Merged, new: Merged, root: str) -> None:
    """Make of the plain tree *old* in the directory *root* the plain tree *new*.

    What is the same file of the same layer in both stays the same file.
    """
    for path, (name, node) in sorted(old.items(), reverse=True):
        host = _on_host(root, path)
        if stat.S_ISDIR(node.mode):
            if path not in new or not stat.S_ISDIR(new[path][1].mode):
                os.rmdir(host)
        elif new.get(path) != (name, node):
            os.unlink(host)
    for path, (_, node) in sorted(new.items()):
        if not os.path.lexists(_on_host(root, path)):
            _make(path, node._replace(opaque=False), root, root)
    for path, (_, node) in sorted(new.items(), reverse=True):
        _dress(_on_host(root, path), node)


class Disk(Real):
    """The oracle of plain trees, with the verbs that one layer's tests did not need."""

    def open(self, path: Any, mode: str, buffering: int = -1) -> Any:
        host = self.host(path)
        if "r" in mode:
            return open(host, mode, buffering)
        return self._with_parents(host, lambda: open(host, mode, buffering))

    def _status(self, host: str, *, follow: bool) -> Any:
        found = super()._status(host, follow=follow)
        if not hasattr(found, "st_dev"):
            found.st_dev = os.lstat(host).st_dev
        return found

    def setxattr(self, path: Any, attribute: str, value: bytes, flags: int = 0) -> None:
        os.setxattr(self.host(path), attribute, value, flags)

    def removexattr(self, path: Any, attribute: str) -> None:
        os.removexattr(self.host(path), attribute)

    def getxattr(
        self, path: Any, attribute: str, *, follow_symlinks: bool = True
    ) -> bytes:
        host = self.host(path)
        return os.getxattr(host, attribute, follow_symlinks=follow_symlinks)

    def listxattr(self, path: Any, *, follow_symlinks: bool = True) -> list[str]:
        found = os.listxattr(self.host(path), follow_symlinks=follow_symlinks)
        return sorted(name for name in found if name.startswith("user."))


def append(fs: Any, path: Any, content: bytes) -> int:
    with fs.open(path, "ab") as opened:
        return int(opened.write(content))


def patch(fs: Any, path: Any, offset: int, content: bytes) -> int:
    with fs.open(path, "r+b") as opened:
        opened.seek(offset)
        return int(opened.write(content))


def do(fs: Any, step: Step) -> tuple[Any, ...]:
    """Return the outcome of one step."""
    verb, *args = step
    options = args.pop() if args and isinstance(args[-1], dict) else {}
    if verb in {"mkdir", "makedirs"}:
        options = {"mode": 0o755}
    call: Callable[..., Any] = getattr(fs, verb) if isinstance(verb, str) else verb
    if not isinstance(verb, str):
        args.insert(0, fs)
    return outcome(call, *args, **options)
