"""Looking into a stack, and what makes one layer of many, against the oracle.

The machine is that of ``test_layered``, so that every step of its kind comes before.
"""

from __future__ import annotations

import posixpath
import tempfile
from stat import S_IFMT, S_ISDIR
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from tests import strategies as draw
from tests.model.compare import outcome
from tests.model.layered import (
    S_IFWHT,
    Layer,
    Merged,
    children_of,
    flatten,
    parents_of,
    view_of,
    view_of_merged,
)
from tests.model.places import layer_of_rows, make_rows
from tests.model.test_layered import Layered

from stratavfs import VirtualFileSystem


class Looking(Layered):
    """All that happens to a stack, and all that can be asked of it."""

    def merged_below(self) -> Merged:
        """Return what the underlays show without the local layer."""
        layers = self.layers()
        del layers["local"]
        return flatten(layers)

    @invariant()
    def difference_is_that_of_two_trees(self) -> None:
        if hasattr(self, "vfs"):
            expected = differences(self.merged_below(), self.merged())
            assert dict(self.vfs.diff()) == expected

    @invariant()
    def conflicts_are_the_oracles(self) -> None:
        if hasattr(self, "vfs"):
            found = {path: names for path, _, names in self.vfs.conflicts()}
            assert found == conflicts(self.layers())

    @rule(path=draw.paths)
    def explain(self, path: str) -> None:
        """Whoever answers is who answered."""
        seen = outcome(self.vfs.explain, path)
        if seen[0] == "value":
            assert seen[1].winner == self.vfs.which_layer(path)
            assert str(seen[1])

    @rule(on_disk=st.booleans(), chunk_size=draw.chunk_sizes)
    def flatten(self, on_disk: bool, chunk_size: int) -> None:
        shown = view_of(self.vfs)
        if on_disk:
            location = f"{tempfile.mkdtemp(dir=self.real.base)}/flat.db"
            self.vfs.flatten(location)
            flat = VirtualFileSystem(location)
        else:
            flat = VirtualFileSystem(chunk_size=chunk_size)
            self.vfs.flatten(flat)
        with flat:
            assert view_of(flat) == shown
            assert flat.check() == []

    @rule()
    def apply(self) -> None:
        """Changes applied to what the underlays show make what the stack shows."""
        shown = view_of(self.vfs)
        below: Layer = {
            path: node._replace(opaque=False, identity=None)
            for path, (_, node) in self.merged_below().items()
        }
        with VirtualFileSystem() as target:
            make_rows(below, target)

            self.vfs.apply_to(target)

            assert view_of(target) | {"/": shown["/"]} == shown
            assert target.check() == []

    @rule(path=draw.paths)
    def revert(self, path: str) -> None:
        merged, below = self.merged(), self.merged_below()
        through = [parent for parent in parents_of(path) if parent in merged]
        if any(not S_ISDIR(merged[parent][1].mode) for parent in through):
            return  # a link, or nothing can be there
        local = layer_of_rows(self.vfs._store._cx)
        known = view_of(self.vfs)

        seen = outcome(self.vfs.revert, path)

        if path not in merged and path not in below and path not in local:
            assert seen[:3] == ("error", "FileNotFoundError", 2)
            assert view_of(self.vfs) == known
        else:
            assert seen == ("value", None)
            assert aside(view_of(self.vfs)) == aside(reverted(path, merged, below))
        self.resettle(merged)


def aside(view: Any) -> Any:
    """Return *view* without what tells of other names: one of them may have gone."""
    return {path: seen._replace(names=1, beside=()) for path, seen in view.items()}


def reverted(path: str, merged: Merged, below: Merged) -> Any:
    """Return what is shown where *path* is as it is *below*, and all else as before."""
    inside = path.rstrip("/") + "/"
    root = {"/": merged["/"]}
    kept = {
        other: found
        for other, found in merged.items()
        if other != path and not other.startswith(inside)
    }
    back = {
        other: found
        for other, found in below.items()
        if other == path or other.startswith(inside)
    }
    above = {other: below[other] for other in parents_of(path) if other in below}
    return view_of_merged((above if back else {}) | back | kept | root)


def differences(below: Merged, merged: Merged) -> dict[str, str]:
    """Return what kind of change was made at each path that differs."""
    found = {}
    for path in sorted({*below, *merged} - {"/"}):
        kind = difference(path, below, merged)
        if kind is not None:
            found[path] = kind
    return found


def difference(path: str, below: Merged, merged: Merged) -> str | None:
    if path not in below:
        return "added"
    _, old = below[path]
    if path not in merged:
        above = merged.get(posixpath.dirname(path))
        there = above is not None and S_ISDIR(above[1].mode)
        return "deleted" if there else None  # with the directory it was in
    _, new = merged[path]
    if S_IFMT(old.mode) != S_IFMT(new.mode):
        return "type changed"
    if old.content != new.content:
        return "modified"
    same = (old.mode, old.xattrs) == (new.mode, new.xattrs)
    if same and (S_ISDIR(new.mode) or old.mtime == new.mtime):
        return None
    return "metadata"


def conflicts(layers: dict[str, Layer]) -> dict[str, list[str]]:
    """Return the paths that underlays, and the local layer, see differently, and who.

    Each has something there that no layer above it has deleted.
    """
    found = {}
    inside = {name: children_of(layer) for name, layer in layers.items()}
    todo = [("/", [*layers])]
    while todo:
        path, merging = todo.pop()
        below = {child for name in merging for child in inside[name].get(path, ())}
        for child in below:
            holders = holders_of(child, layers, merging)
            rivals: dict[str, tuple[Any, ...]] = {}
            for name in holders:
                node = layers[name][child]
                what = S_IFMT(node.mode), node.content
                rivals.setdefault(name.split("/", maxsplit=1)[0], what)
            if len(set(rivals.values())) > 1:
                found[child] = [*rivals]
            todo.append((child, directories_first(child, layers, holders)))
    return found


def holders_of(path: str, layers: dict[str, Layer], merging: list[str]) -> list[str]:
    holders = []
    for name in merging:
        node = layers[name].get(path)
        if node is not None and node.mode == S_IFWHT:
            break
        if node is not None:
            holders.append(name)
            if node.opaque:
                break
    return holders


def directories_first(
    path: str, layers: dict[str, Layer], holders: list[str]
) -> list[str]:
    """Return the layers whose directories merge: down to the first that has none."""
    merging: list[str] = []
    for name in holders:
        if not S_ISDIR(layers[name][path].mode):
            break
        merging.append(name)
    return merging


TestLooking = pytest.mark.slow(Looking.TestCase)
TestLooking.settings = draw.effort(examples=80, steps=25)
