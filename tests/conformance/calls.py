"""Every public method that takes a path, called with one in each place for a path.

``CALLS`` is read by the tests of names, of closed and of read-only file systems. A
method that is forgotten in it fails one test instead of slipping through three.
"""

from __future__ import annotations

import inspect
import io
import tarfile
import tempfile
from collections.abc import Callable
from typing import Any, TypeAlias

from stratavfs import VirtualFileSystem

PATH_PARAMETERS = (
    "path",
    "src",
    "dst",
    "top",
    "pattern",
    "path1",
    "path2",
    "dest",
)
# Their patterns are no paths.
NO_PATHS = {"find.pattern", "grep.pattern"}
OTHER = "/other"  # an ordinary file, for the place that is not looked at
NEW = "/new"  # a name that does not exist

Call: TypeAlias = Callable[[VirtualFileSystem, Any], object]


def opened(mode: str) -> Call:
    def call(vfs: VirtualFileSystem, path: Any) -> object:
        return vfs.open(path, mode).close()

    return call


def exported(export: Callable[..., object], path: Any, *, to: int) -> object:
    """Export *path*; *to* is the place of the target among the arguments."""
    with tempfile.TemporaryDirectory() as host:
        target = f"{host}/target"
        return export(path, target) if to == 2 else export(target, path)


def an_archive() -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("in-archive"))
    file.seek(0)
    return file


def imported(vfs: VirtualFileSystem, path: Any) -> object:
    with tempfile.TemporaryDirectory() as host:
        return vfs.import_tree(host, path)


# Method and parameter -> a call with the path in that place. These change nothing.
READERS: dict[str, Call] = {
    "conflicts.path": lambda v, p: v.conflicts(p),
    "diff.path": lambda v, p: v.diff(p),
    "disk_usage.path": lambda v, p: v.disk_usage(p),
    "exists.path": lambda v, p: v.exists(p),
    "explain.path": lambda v, p: v.explain(p),
    "export_archive.path": lambda v, p: v.export_archive(p, io.BytesIO(), "tar"),
    "export_bytesio.path": lambda v, p: v.export_bytesio(p).read(),
    "export_sqlar.path": lambda v, p: exported(v.export_sqlar, p, to=1),
    "export_tree.path": lambda v, p: exported(v.export_tree, p, to=2),
    "find.path": lambda v, p: list(v.find("*", p)),
    "get_metadata.path": lambda v, p: v.get_metadata(p),
    "getsize.path": lambda v, p: v.getsize(p),
    "getxattr.path": lambda v, p: v.getxattr(p, "user.x"),
    "glob.pattern": lambda v, p: v.glob(p),
    "grep.path": lambda v, p: list(v.grep("x", p)),
    "iglob.pattern": lambda v, p: list(v.iglob(p)),
    "iter_export_tree.path": lambda v, p: list(v.iter_export_tree(p)),
    "isdir.path": lambda v, p: v.isdir(p),
    "isfile.path": lambda v, p: v.isfile(p),
    "islink.path": lambda v, p: v.islink(p),
    "lexists.path": lambda v, p: v.lexists(p),
    "listdir.path": lambda v, p: v.listdir(p),
    "listxattr.path": lambda v, p: v.listxattr(p),
    "lstat.path": lambda v, p: v.lstat(p),
    "open.path": opened("r"),
    "read_bytes.path": lambda v, p: v.read_bytes(p),
    "read_text.path": lambda v, p: v.read_text(p),
    "readlink.path": lambda v, p: v.readlink(p),
    "samefile.path1": lambda v, p: v.samefile(p, OTHER),
    "samefile.path2": lambda v, p: v.samefile(OTHER, p),
    "scandir.path": lambda v, p: list(v.scandir(p)),
    "stat.path": lambda v, p: v.stat(p),
    "tree.path": lambda v, p: v.tree(p),
    "walk.top": lambda v, p: list(v.walk(p)),
    "which_layer.path": lambda v, p: v.which_layer(p),
    "which_layer_detailed.path": lambda v, p: v.which_layer_detailed(p),
}

# The same of what changes something.
WRITERS: dict[str, Call] = {
    "chmod.path": lambda v, p: v.chmod(p, 0o600),
    "chown.path": lambda v, p: v.chown(p, 1, "staff"),
    "copy.src": lambda v, p: v.copy(p, NEW),
    "copy.dst": lambda v, p: v.copy(OTHER, p),
    "copy2.src": lambda v, p: v.copy2(p, NEW),
    "copy2.dst": lambda v, p: v.copy2(OTHER, p),
    "copytree.src": lambda v, p: v.copytree(p, NEW),
    "copytree.dst": lambda v, p: v.copytree("/dir", p),
    "import_archive.dest": lambda v, p: v.import_archive(an_archive(), p),
    "import_tree.dest": imported,
    "link.src": lambda v, p: v.link(p, NEW),
    "link.dst": lambda v, p: v.link(OTHER, p),
    "makedirs.path": lambda v, p: v.makedirs(p),
    "mkdir.path": lambda v, p: v.mkdir(p),
    "move.src": lambda v, p: v.move(p, NEW),
    "move.dst": lambda v, p: v.move(OTHER, p),
    "open.path (w)": opened("w"),
    "open.path (wb)": opened("wb"),
    "open.path (a)": opened("a"),
    "open.path (x)": opened("x"),
    "open.path (r+)": opened("r+"),
    "open.path (w+b)": opened("w+b"),
    "remove.path": lambda v, p: v.remove(p),
    "removexattr.path": lambda v, p: v.removexattr(p, "user.x"),
    "rename.src": lambda v, p: v.rename(p, NEW),
    "rename.dst": lambda v, p: v.rename(OTHER, p),
    "replace.src": lambda v, p: v.replace(p, NEW),
    "replace.dst": lambda v, p: v.replace(OTHER, p),
    "revert.path": lambda v, p: v.revert(p),
    "rmdir.path": lambda v, p: v.rmdir(p),
    "rmtree.path": lambda v, p: v.rmtree(p),
    "set_metadata.path": lambda v, p: v.set_metadata(p, {"a": 1}),
    "setxattr.path": lambda v, p: v.setxattr(p, "user.x", b"1"),
    "symlink.src": lambda v, p: v.symlink(p, NEW),
    "symlink.dst": lambda v, p: v.symlink(OTHER, p),
    "touch.path": lambda v, p: v.touch(p),
    "truncate.path": lambda v, p: v.truncate(p, 0),
    "unlink.path": lambda v, p: v.unlink(p),
    "utime.path": lambda v, p: v.utime(p),
    "write_bytes.path": lambda v, p: v.write_bytes(p, b"x"),
    "write_text.path": lambda v, p: v.write_text(p, "x"),
}

CALLS = READERS | WRITERS


def public_methods() -> set[str]:
    """Return the names of the public methods of the class, properties left out."""
    members = inspect.getmembers(VirtualFileSystem, inspect.isfunction)
    return {name for name, _ in members if not name.startswith("_")}


def path_places() -> set[str]:
    """Return "method.parameter" for every place of a path in the public class."""
    return {
        f"{name}.{parameter}"
        for name in public_methods()
        for parameter in inspect.signature(getattr(VirtualFileSystem, name)).parameters
        if parameter in PATH_PARAMETERS
    } - NO_PATHS


def tree_of(vfs: VirtualFileSystem) -> dict[str, object]:
    """Return all there is: every path with all that stat knows, content and links."""
    tree: dict[str, object] = {}
    for path in ["/", *vfs.glob("/**/*")]:
        stat = vfs.lstat(path)
        content: object = None
        if vfs.islink(path):
            content = vfs.readlink(path)
        elif vfs.isfile(path):
            content = vfs.read_bytes(path)
        xattrs = vfs.listxattr(path, follow_symlinks=False)
        tree[path] = (stat, content, xattrs)
    return tree
