"""The oracle of layers: overlayfs's rules on plain dictionaries.

A layer is a dictionary from path to node, and ``flatten`` says what a stack of them
shows. Nothing in this module imports ``stratavfs``.
"""

from __future__ import annotations

import os
import posixpath
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st
from tests import strategies as draw
from tests.model.compare import explicit

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

S_IFWHT = 0o160000

# A time that nobody set is later than all that are, and only said to be "now".
NOW = 1_700_000_000_000_000_000


class Node(NamedTuple):
    """What one layer has at one path."""

    mode: int
    """Type and permission bits; ``S_IFWHT`` is a whiteout."""
    content: bytes | str | None = None
    """Bytes of a file, target of a symbolic link."""
    mtime: int = NOW
    xattrs: tuple[tuple[str, bytes], ...] = ()
    opaque: bool = False
    identity: Hashable = None
    """The same for two names of one file."""


Layer = dict[str, Node]
"""Path to node; the root and all parents are there."""

Merged = dict[str, tuple[str, Node]]
"""Path to the name of the layer that answers, and its node."""

DIRECTORY = Node(stat.S_IFDIR | 0o755)
WHITEOUT = Node(S_IFWHT)


def file(content: bytes, mode: int = 0o644, mtime: int = NOW) -> Node:
    return Node(stat.S_IFREG | mode, content, mtime)


def link(target: str) -> Node:
    return Node(stat.S_IFLNK | 0o777, target)


def layer(**nodes: Node | bytes | str | None) -> Layer:
    """Return a layer of *nodes*, in whose names ``__`` stands for a slash.

    Bytes are a file, a string is a symbolic link, None is a whiteout.

    >>> sorted(layer(a__b=b"1"))
    ['/', '/a', '/a/b']
    """
    made: Layer = {"/": DIRECTORY}
    for name, given in nodes.items():
        path = "/" + name.replace("__", "/")
        for parent in parents_of(path):
            made.setdefault(parent, DIRECTORY)
        made[path] = _as_node(given)
    return made


def _as_node(given: Node | bytes | str | None) -> Node:
    if given is None:
        return WHITEOUT
    if isinstance(given, bytes):
        return file(given)
    return link(given) if isinstance(given, str) else given


def parents_of(path: str) -> list[str]:
    """Return the directories above *path* from the root on.

    >>> parents_of("/a/b/c")
    ['/', '/a', '/a/b']
    """
    names = path.split("/")[1:-1]
    return ["/" + "/".join(names[:count]) for count in range(len(names) + 1)]


# --- the rules ------------------------------------------------------------------------


def flatten(layers: Mapping[str, Layer]) -> Merged:
    """Return what a stack of *layers* shows, the topmost one given first.

    A whiteout or anything else that is no directory hides all below it. A directory is
    merged with the directories below it, down to the first opaque one, and what lies in
    it is looked for in these layers alone; its attributes are the topmost one's.

    >>> top, base = layer(d__new=b"2", d__old=None), layer(d__old=b"1", d__kept=b"1")
    >>> {path: name for path, (name, _) in flatten({"top": top, "base": base}).items()}
    {'/': 'top', '/d': 'top', '/d/kept': 'base', '/d/new': 'top'}
    """
    merged: Merged = {}
    todo = [("/", list(layers))]
    while todo:
        path, names = todo.pop()
        merging: list[str] = []
        for name in names:
            node = layers[name].get(path)
            if node is None:
                continue
            if not stat.S_ISDIR(node.mode):
                if not merging and node.mode != S_IFWHT:
                    merged[path] = name, node
                break
            merging.append(name)
            if node.opaque:
                break
        if merging:
            merged[path] = merging[0], layers[merging[0]][path]
            below = {
                child for name in merging for child in children_of(layers[name])[path]
            }
            todo.extend((child, merging) for child in below)
    return dict(sorted(merged.items()))


def children_of(layer: Layer) -> dict[str, list[str]]:
    """Return for each path of *layer* the paths right below it."""
    found: dict[str, list[str]] = {path: [] for path in layer}
    for path in layer:
        if path != "/":
            found[posixpath.dirname(path)].append(path)
    return found


def mounted(layer: Layer, at: str) -> Layer:
    """Return *layer* with its root at *at*, below directories that nobody ever made.

    >>> sorted(mounted(layer(f=b""), "/m/n"))
    ['/', '/m', '/m/n', '/m/n/f']
    """
    if at == "/":
        return layer
    above: Layer = {path: DIRECTORY._replace(mtime=0) for path in parents_of(at)}
    return above | {(at + path).rstrip("/"): node for path, node in layer.items()}


# --- what is compared -----------------------------------------------------------------


class Seen(NamedTuple):
    """What is compared of one path of a merged view."""

    mode: int
    content: bytes | str | None
    mtime: int | str
    xattrs: tuple[tuple[str, bytes], ...]
    size: int
    names: int
    beside: tuple[str, ...]
    """All names of the same file."""


View = dict[str, Seen]


def view_of_merged(merged: Merged) -> View:
    """Return what a plain tree made of *merged* would show."""
    names: dict[Hashable, list[str]] = {}
    identities = {
        path: (name, path if node.identity is None else node.identity)
        for path, (name, node) in merged.items()
    }
    for path, identity in identities.items():
        names.setdefault(identity, []).append(path)
    return {
        path: _seen(node, names[identities[path]]) for path, (_, node) in merged.items()
    }


def _seen(node: Node, beside: list[str]) -> Seen:
    content = node.content
    size = len(os.fsencode(content)) if content is not None else 0
    return Seen(
        node.mode,
        content,
        explicit(node.mtime),
        node.xattrs,
        size,
        len(beside),
        tuple(beside),
    )


def view_of(fs: Any) -> View:
    """Return what *fs*, a ``VirtualFileSystem`` or a ``Disk``, shows of itself."""
    found: dict[str, tuple[Any, Seen]] = {}
    names: dict[Any, list[str]] = {}
    for path in paths_of(fs):
        status = fs.lstat(path)
        identity = status.st_dev, status.st_ino
        names.setdefault(identity, []).append(path)
        found[path] = identity, _look(fs, path, status)
    return {
        path: seen._replace(beside=tuple(names[identity]))
        for path, (identity, seen) in found.items()
    }


def _look(fs: Any, path: str, status: Any) -> Seen:
    content: bytes | str | None = None
    directory = stat.S_ISDIR(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        content = fs.readlink(path)
    elif not directory:
        content = fs.read_bytes(path)
    xattrs = fs.listxattr(path, follow_symlinks=False)
    return Seen(
        status.st_mode,
        content,
        explicit(status.st_mtime_ns),
        tuple((x, fs.getxattr(path, x, follow_symlinks=False)) for x in xattrs),
        0 if directory else status.st_size,
        1 if directory else status.st_nlink,
        (),
    )


def paths_of(fs: Any) -> list[str]:
    """Return the paths of all there is in *fs*, sorted."""
    found = ["/"]
    for path in found:
        if stat.S_ISDIR(fs.lstat(path).st_mode):
            found += (posixpath.join(path, name) for name in fs.listdir(path))
    return sorted(found)


# --- what is drawn --------------------------------------------------------------------

_attributes = {
    "mtime": st.just(NOW) | draw.moments,
    "xattrs": st.sampled_from(((), (), (("user.a", b"1"), ("user.b", b"")))),
}
_directories = st.builds(
    Node, draw.permissions.map(lambda mode: stat.S_IFDIR | mode), **_attributes
)
_files = st.builds(
    Node,
    draw.permissions.map(lambda mode: stat.S_IFREG | mode),
    draw.contents,
    **_attributes,
)
_relative = st.sampled_from([to for to in draw.TARGETS if not to.startswith("/")])
_plain = st.one_of(_files, _files, _directories, _relative.map(link))
_deleting = st.one_of(
    _plain,
    draw.targets.map(link),
    st.just(WHITEOUT),
    _directories.map(lambda node: node._replace(opaque=True)),
)
_places = st.sampled_from([path for path in draw.PATHS if path != "/"])


def layers(*, plain: bool = False) -> st.SearchStrategy[Layer]:
    """Return layers of a few nodes.

    *plain* ones can lie on the host: no whiteouts, and no links that lead out of them.
    """
    nodes = _plain if plain else _deleting
    return st.lists(st.tuples(_places, nodes), max_size=8).map(_consistent)


def _consistent(drawn: list[tuple[str, Node]]) -> Layer:
    """Return a layer of all that can be in it at once."""
    made: Layer = {"/": DIRECTORY}
    for path, node in drawn:
        above = parents_of(path)
        if all(stat.S_ISDIR(made.get(parent, DIRECTORY).mode) for parent in above):
            for parent in above:
                made.setdefault(parent, DIRECTORY)
            made.setdefault(path, node)
    return made
