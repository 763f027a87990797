"""Over base layers, everything is as it is on the disk, where there are no layers.

The machines are those of one layer; what they find and make lies in underlays here, and
what is local goes down there, too, while they run.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from tests import strategies as draw
from tests.model.layered import WHITEOUT, flatten, view_of
from tests.model.places import Disk, layer_of_rows
from tests.model.test_handles import Handles
from tests.model.test_single import SingleLayer

from stratavfs import VirtualFileSystem

DEEPEST = 4


class LayeredAsDisk(SingleLayer):
    """Every verb, good and bad arguments alike, over one to four layers."""

    def __init__(self) -> None:
        super().__init__()
        self.real.close()
        self.real = Disk(create_parents=self.create_parents)
        self.below: list[VirtualFileSystem] = []

    def open(self, *_: object) -> None:
        """Left out: the next one begins."""

    @initialize(chunk_size=draw.chunk_sizes, base_size=draw.chunk_sizes)
    def open_over_base(self, chunk_size: int, base_size: int) -> None:
        self.vfs = VirtualFileSystem(
            chunk_size=base_size, create_parents=self.create_parents
        )
        self.furnish()
        self.lower(chunk_size)
        self.same("link", "/b", "/a/ab")  # one of a base file: that is copied up

    def furnish(self) -> None:
        """Make what begins in the base: all but a hard link, which copy-up breaks."""
        self.same("mkdir", "/a", mode=0o755)
        self.same("mkdir", "/a/b", mode=0o755)
        self.same("write_bytes", "/a/a", b"hello")
        self.same("write_bytes", "/b", b"x" * 70)
        self.same("symlink", "a", "/ab")
        self.same("symlink", "../b", "/a/b/a")
        self.same("symlink", "nowhere", "/_")

    def lower(self, chunk_size: int) -> None:
        """Lay all there is below a new local layer.

        The root is the new one's own, made now, and so it is on the disk.
        """
        self.below.append(self.vfs)
        self.vfs = VirtualFileSystem(
            chunk_size=chunk_size, create_parents=self.create_parents
        )
        self.vfs.add_underlay(self.below[-1])
        for fs in (self.vfs, self.real):
            fs.chmod("/", 0o755)
            fs.utime("/", ns=(1, 1))

    @precondition(lambda self: len(self.below) < DEEPEST)
    @rule(chunk_size=draw.chunk_sizes)
    def lower_what_is_local(self, chunk_size: int) -> None:
        if not self.has_hard_links():
            self.lower(chunk_size)

    def teardown(self) -> None:
        super().teardown()
        for vfs in reversed(self.below):
            vfs.close()

    @invariant()
    def trees_are_the_same(self) -> None:
        if hasattr(self, "vfs"):
            assert view_of(self.vfs) == view_of(self.real)
            assert self.vfs.check() == []

    @invariant()
    def every_whiteout_hides_something(self) -> None:
        if not hasattr(self, "vfs"):
            return
        local, *below = (
            layer_of_rows(vfs._store._cx) for vfs in (self.vfs, *reversed(self.below))
        )
        lower = {str(number): layer for number, layer in enumerate(below)}
        shown = flatten({"local": local} | lower)
        for path in [path for path, node in local.items() if node == WHITEOUT]:
            without = {other: node for other, node in local.items() if other != path}
            assert flatten({"local": without} | lower) != shown, path


class LayeredAsDiskWithoutParents(LayeredAsDisk):
    """The same where nothing is made unasked."""

    create_parents = False


class LayeredHandles(Handles):
    """Several handles at once, on files that begin in a base layer."""

    def __init__(self) -> None:
        super().__init__()
        self.real.close()
        self.real = Disk(create_parents=False)

    def begin(self, *_: Any) -> None:
        """Left out: the next one begins."""

    @initialize(
        chunk_size=draw.chunk_sizes, base_size=draw.chunk_sizes, on_disk=st.booleans()
    )
    def begin_over_base(self, chunk_size: int, base_size: int, on_disk: bool) -> None:
        location = f"{self.real.base}/container.db" if on_disk else ":memory:"
        self.base = VirtualFileSystem(location, base_size, create_parents=False)
        self.vfs = self.base
        self.both("mkdir", "/d", mode=0o755)
        self.both("write_bytes", "/f", b"one\ntwo\r\nthree\n")
        self.both("write_bytes", "/d/h", bytes(range(200)))
        self.before = view_of(self.base)
        self.vfs = VirtualFileSystem(chunk_size=chunk_size, create_parents=False)
        self.vfs.add_underlay(self.base)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "base"):
            self.base.close()

    @invariant()
    def files_are_the_same(self) -> None:
        if hasattr(self, "vfs"):
            assert view_of(self.vfs) == view_of(self.real)
            assert view_of(self.base) == self.before
            assert self.vfs.check() == []


TestLayeredAsDisk = pytest.mark.slow(LayeredAsDisk.TestCase)
TestLayeredAsDisk.settings = draw.effort(examples=150, steps=40)
TestLayeredAsDiskWithoutParents = pytest.mark.slow(LayeredAsDiskWithoutParents.TestCase)
TestLayeredAsDiskWithoutParents.settings = draw.effort(examples=80, steps=40)
TestLayeredHandles = pytest.mark.slow(LayeredHandles.TestCase)
TestLayeredHandles.settings = draw.effort(examples=150, steps=50)
