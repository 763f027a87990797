"""A stack of two to four layers, whatever is done to it, is the tree of its layers.

Each step is done to the stack and to a real directory that begins as the oracle's
``flatten`` of the layers. After it, three trees are the same: what the stack shows, the
directory, and the ``flatten`` of what raw SQL finds in the local container and of what
the underlays hold; and of the underlays no byte is changed.
"""

from __future__ import annotations

import os
from stat import S_ISDIR
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from tests import ground
from tests import strategies as draw
from tests.model.compare import outcome
from tests.model.layered import (
    DIRECTORY,
    Layer,
    Merged,
    flatten,
    layers,
    mounted,
    view_of,
    view_of_merged,
)
from tests.model.places import (
    Disk,
    Step,
    do,
    follow_host,
    layer_of_rows,
    make_rows,
)
from tests.model.test_single import SingleLayer
from tests.model.underlays import Drawn, Underlay, make, underlays

from stratavfs import VirtualFileSystem

MOST_LAYERS = 4
MOST_HANDLES = 3

paths = draw.any_paths
places = draw.paths
slots = st.integers(0, MOST_HANDLES - 1)
offsets = st.sampled_from((0, 1, 3, 5, 64, 70))
attributes = st.sampled_from(("user.a", "user.b"))
modes = st.sampled_from(("rb", "rb", "r+b", "r+b", "r+b", "ab", "a+b", "wb", "xb"))

steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("write_bytes"), places, draw.contents),
    st.tuples(st.sampled_from(("remove", "rmtree", "rmdir", "mkdir")), places),
    st.tuples(st.sampled_from(("rename", "replace", "copy2")), places, places),
    st.tuples(st.just("chmod"), places, draw.permissions),
    st.tuples(st.just("truncate"), places, offsets),
    st.tuples(st.just("symlink"), draw.targets, places),
    st.tuples(st.just("setxattr"), places, attributes, st.binary(max_size=3)),
)


class Placed(NamedTuple):
    """An underlay, and where it is in the stack."""

    underlay: Underlay
    priority: int
    at: str


class Pair(NamedTuple):
    """The same file, opened without a buffer in both worlds."""

    mine: Any
    theirs: Any


class Layered(SingleLayer):
    """All that one layer can do, handles, and changes of the stack below them."""

    real: Disk

    def __init__(self) -> None:
        super().__init__()
        self.real.close()
        self.real = Disk(create_parents=self.create_parents)
        self.below: dict[str, Placed] = {}
        self.traces: dict[str, object] = {}
        self.pairs: dict[int, Pair] = {}

    def open(self, *_: object) -> None:
        """Left out: the next one begins."""

    @initialize(
        local=layers(),
        drawn=st.lists(underlays(), min_size=1, max_size=MOST_LAYERS - 1),
        chunk_size=draw.chunk_sizes,
        on_disk=st.booleans(),
    )
    def open_stack(
        self, local: Layer, drawn: list[Drawn], chunk_size: int, on_disk: bool
    ) -> None:
        self.location = f"{self.real.base}/local.db" if on_disk else ":memory:"
        vfs = VirtualFileSystem(
            self.location, chunk_size, create_parents=self.create_parents
        )
        make_rows(local, vfs)
        self.vfs = vfs
        for each in drawn:
            self.put_below(each)
        follow_host({"/": ("", DIRECTORY)}, self.merged(), self.real.root)
        self.look_from_above()

    def look_from_above(self) -> None:
        """Let the whole stack be an underlay itself, of one that stays."""
        self.above = VirtualFileSystem()
        self.above.add_underlay(self.vfs)

    def put_below(self, drawn: Drawn) -> None:
        underlay = make(drawn, self.real.base)
        name = self.vfs.add_underlay(underlay.given, drawn.priority, at=drawn.at)
        self.below[name] = Placed(underlay, drawn.priority, drawn.at)
        self.traces[name] = underlay.traces()

    def teardown(self) -> None:
        for slot in [*self.pairs]:
            self.close_handle(slot)
        super().teardown()
        if hasattr(self, "above"):
            self.above.close()
        for placed in self.below.values():
            placed.underlay.close()

    # --- the oracle -------------------------------------------------------------------

    def merged(self) -> Merged:
        """Return what the layers show by the rules."""
        return flatten(self.layers())

    def layers(self) -> dict[str, Layer]:
        """Return the layers from the top, read without the library."""
        found = {"local": layer_of_rows(self.vfs._store._cx)}
        for name, placed in self.in_order():
            for below, layer in placed.underlay.layers().items():
                found[name + below] = mounted(layer, placed.at)
        return found

    def in_order(self) -> list[tuple[str, Placed]]:
        return sorted(self.below.items(), key=lambda item: -item[1].priority)

    @invariant()
    def trees_are_the_same(self) -> None:
        if not hasattr(self, "vfs"):
            return
        merged = self.merged()
        shown = view_of(self.vfs)
        assert shown == view_of_merged(merged)
        assert shown == view_of(self.real)
        assert shown == view_of(self.above) | {"/": shown["/"]}
        assert self.vfs.check() == []
        for path, (name, node) in merged.items():
            answering = name.split("/", maxsplit=1)[0]
            assert self.vfs.which_layer(path) == answering
            assert self.vfs.lstat(path).source_layer == answering
            if S_ISDIR(node.mode):
                for entry in self.vfs.scandir(path):
                    found = entry.stat(follow_symlinks=False)
                    assert found == self.vfs.lstat(entry.path)

    @invariant()
    def underlays_are_untouched(self) -> None:
        for name, placed in self.below.items():
            assert placed.underlay.traces() == self.traces[name], name

    def same_copy(self, src: Any, dst: Any, **options: bool) -> None:
        # What fails halfway is put back on the disk as copies; no handle knows them.
        for slot in [*self.pairs]:
            self.close_handle(slot)
        super().same_copy(src, dst, **options)

    # --- changes of the stack ---------------------------------------------------------

    def resettle(self, before: Merged) -> None:
        """Let the real directory follow what has changed below, and give up handles.

        What a handle shows whose file has gone from the stack is nobody's promise; but
        reading it gives bytes or an error of the standard library.
        """
        follow_host(before, self.merged(), self.real.root)
        for slot, pair in [*self.pairs.items()]:
            if os.fstat(pair.theirs.fileno()).st_nlink == 0:
                outcome(pair.mine.seek, 0)
                outcome(pair.mine.read)
                self.close_handle(slot)

    @precondition(lambda self: len(self.below) < MOST_LAYERS - 1)
    @rule(drawn=underlays())
    def add_underlay(self, drawn: Drawn) -> None:
        before = self.merged()
        self.put_below(drawn)
        self.resettle(before)

    @precondition(lambda self: self.below)
    @rule(data=st.data())
    def remove_underlay(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([*self.below]))
        before = self.merged()

        assert self.vfs.remove_underlay(name)

        assert not self.vfs.remove_underlay(name)
        placed = self.below.pop(name)
        self.resettle(before)
        assert placed.underlay.traces() == self.traces.pop(name)
        placed.underlay.close()

    @precondition(lambda self: self.below)
    @rule(data=st.data(), priority=st.integers(-1, 1))
    def set_priority(self, data: st.DataObject, priority: int) -> None:
        name = data.draw(st.sampled_from([*self.below]))
        before = self.merged()

        self.vfs.set_priority(name, priority)

        self.below[name] = self.below[name]._replace(priority=priority)
        self.resettle(before)

    @precondition(lambda self: self.below)
    @rule(data=st.data(), step=steps)
    def owner_changes(self, data: st.DataObject, step: Step) -> None:
        name = data.draw(st.sampled_from([*self.below]))
        before = self.merged()

        self.below[name].underlay.change(step)

        self.traces[name] = self.below[name].underlay.traces()
        self.resettle(before)

    @precondition(lambda self: self.below)
    @rule(data=st.data())
    def owner_changes_its_layers(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([*self.below]))
        before = self.merged()
        self.below[name].underlay.rearrange()
        self.resettle(before)

    @precondition(lambda self: self.below)
    @rule(data=st.data(), step=steps)
    def owner_takes_back(self, data: st.DataObject, step: Step) -> None:
        name = data.draw(st.sampled_from([*self.below]))
        self.below[name].underlay.take_back(step, self.look)
        # Numbers of inodes are not given back.
        self.traces[name] = self.below[name].underlay.traces()

    def look(self) -> None:
        """Let all that remembers anything remember what there is now."""
        view_of(self.vfs)
        view_of(self.above)

    @rule()
    def ask_which(self) -> None:
        names = ["local", *(name for name, _ in self.in_order())]
        listed = self.vfs.list_layers()
        assert [layer["name"] for layer in listed] == names
        assert [layer["at"] for layer in listed[1:]] == [
            placed.at for _, placed in self.in_order()
        ]

    # --- extended attributes ----------------------------------------------------------

    @rule(path=paths, name=attributes, flags=st.sampled_from((0, 0, 0, 1, 2)))
    def setxattr(self, path: Any, name: str, flags: int) -> None:
        self.same("setxattr", path, name, b"value", flags)

    @rule(path=paths, name=attributes)
    def removexattr(self, path: Any, name: str) -> None:
        self.same("getxattr", path, name)
        self.same("removexattr", path, name)

    # --- handles ----------------------------------------------------------------------

    @precondition(lambda self: len(self.pairs) < MOST_HANDLES)
    @rule(path=places, mode=modes)
    def open_handle(self, path: str, mode: str) -> None:
        opened: list[Any] = []

        def act(fs: Any) -> None:
            opened.append(fs.open(path, mode, 0))

        mine, theirs = outcome(act, self.vfs), outcome(act, self.real)
        if len(opened) == 2:
            slot = next(slot for slot in range(MOST_HANDLES) if slot not in self.pairs)
            self.pairs[slot] = Pair(*opened)
        assert mine == theirs, f"open{(path, mode)}: {mine}, and on the disk {theirs}"

    def handle(self, slot: int, verb: str, *args: Any, at: int = 0) -> None:
        """Do the same from the same position through both handles."""
        if slot not in self.pairs:
            return

        def act(handle: Any) -> Any:
            handle.seek(at)
            return getattr(handle, verb)(*args)

        mine, theirs = (outcome(act, handle)[:3] for handle in self.pairs[slot])
        assert mine == theirs, f"{verb}{args}: {mine}, and on the disk {theirs}"

    @rule(slot=slots, offset=offsets, count=st.sampled_from((-1, 0, 3, 70)))
    def read_handle(self, slot: int, offset: int, count: int) -> None:
        self.handle(slot, "read", count, at=offset)

    @rule(slot=slots, offset=offsets, content=draw.contents)
    def write_handle(self, slot: int, offset: int, content: bytes) -> None:
        self.handle(slot, "write", content, at=offset)

    @rule(slot=slots, size=draw.truncations)
    def truncate_handle(self, slot: int, size: int) -> None:
        self.handle(slot, "truncate", size)

    @rule(slot=slots)
    def close_handle(self, slot: int) -> None:
        pair = self.pairs.pop(slot, None)
        if pair is not None:
            pair.mine.close()
            pair.theirs.close()

    @invariant()
    def handles_see_their_files(self) -> None:
        for slot, pair in self.pairs.items():
            if pair.theirs.readable():
                self.handle(slot, "read")

    # --- batches ----------------------------------------------------------------------

    @rule(batch=st.lists(steps, min_size=1, max_size=4))
    def keep_batch(self, batch: list[Step]) -> None:
        with self.vfs.atomic_batch():
            for step in batch:
                mine, theirs = do(self.vfs, step), do(self.real, step)
                assert mine == theirs, f"{step}: {mine}, and on the disk {theirs}"

    @rule(batch=st.lists(steps, max_size=4), slot=slots, content=draw.contents)
    def take_back_batch(self, batch: list[Step], slot: int, content: bytes) -> None:
        known = ground.dump(self.vfs._store._cx)

        with pytest.raises(KeyError), self.vfs.atomic_batch():  # noqa: PT012
            for step in batch:
                do(self.vfs, step)
            if slot in self.pairs:
                outcome(self.pairs[slot].mine.write, content)
            self.look()
            raise KeyError

        assert ground.dump(self.vfs._store._cx) == known

    # --- closed and opened again ------------------------------------------------------

    @precondition(lambda self: self.location != ":memory:")
    @rule(chunk_size=draw.chunk_sizes)
    def reopen(self, chunk_size: int) -> None:
        for slot in [*self.pairs]:
            self.close_handle(slot)
        shown = view_of(self.vfs)
        self.above.close()
        self.vfs.close()

        with VirtualFileSystem(self.location, read_only=True) as patch:
            self.assert_shown_below_another(patch, shown)
        self.vfs = VirtualFileSystem(
            self.location, chunk_size, create_parents=self.create_parents
        )
        self.put_below_again(self.vfs)
        self.look_from_above()

    def assert_shown_below_another(self, patch: VirtualFileSystem, shown: Any) -> None:
        """What was the local layer deletes and changes as an underlay as well."""
        with VirtualFileSystem() as above:
            above.add_underlay(patch, 2, "patch")
            self.put_below_again(above)
            # The root is the new local layer's own.
            assert view_of(above) | {"/": shown["/"]} == shown

    def put_below_again(self, vfs: VirtualFileSystem) -> None:
        for name, (underlay, priority, at) in self.below.items():
            assert vfs.add_underlay(underlay.given, priority, name, at=at) == name


class LayeredWithoutParents(Layered):
    """The same where nothing is made unasked."""

    create_parents = False


def test_flatten_of_one_layer_is_the_layer() -> None:
    layer: Layer = {"/": DIRECTORY, "/d": DIRECTORY._replace(mode=0o40700)}

    merged = flatten({"local": layer})

    assert all(S_ISDIR(node.mode) for _, node in merged.values())
    assert {path: node for path, (_, node) in merged.items()} == layer


TestLayered = pytest.mark.slow(Layered.TestCase)
TestLayered.settings = draw.effort(examples=120, steps=30)
TestLayeredWithoutParents = pytest.mark.slow(LayeredWithoutParents.TestCase)
TestLayeredWithoutParents.settings = draw.effort(examples=40, steps=30)
