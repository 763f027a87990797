"""The same scenarios over the kernel's own overlayfs: same outcomes, same merged tree.

What is compared with the kernel is our stack, and the oracle of the model tests too.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from tests import strategies as draw
from tests.conformance.overlay import Overlay, in_room, mount, refusal, unmount
from tests.model.layered import (
    DIRECTORY,
    Layer,
    file,
    flatten,
    layer,
    layers,
    view_of,
    view_of_merged,
)
from tests.model.places import (
    Disk,
    Step,
    append,
    do,
    follow_host,
    make_rows,
    patch,
)
from tests.model.test_single import SingleLayer

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator

# --- scenarios ------------------------------------------------------------------------

BASE = layer(
    f=file(b"of the base", 0o640, 1_000_000_000),
    d__f=file(b"1", 0o600, 2_000_000_000),
    d__g=b"2",
    d__sub__h=b"3",
    e=DIRECTORY._replace(mode=0o40711, mtime=3_000_000_000),
    x=DIRECTORY._replace(xattrs=(("user.note", b"kept"),)),
    to_f="f",
    to_d="d",
    dangling="nowhere",
)

# The topmost layer first; below each of them lies BASE.
ARRANGEMENTS: dict[str, list[Layer]] = {
    "one layer": [],
    "another file above": [layer(f=b"above", d__f=b"above", d__new=b"n")],
    "deleted by a patch": [layer(f=None, d__g=None, e=None, to_d=None)],
    "tree deleted by a patch": [layer(d=None)],
    "deleted twice": [layer(f=None, d=None), layer(f=None, d__f=None)],
    "deleted and there again": [layer(f=b"again", d__n=b"n"), layer(f=None, d=None)],
    "opaque": [layer(d=DIRECTORY._replace(opaque=True), d__own=b"own", d__sub=None)],
    "opaque in between": [
        layer(d__top=b"top"),
        layer(d=DIRECTORY._replace(opaque=True, mode=0o40700), d__g=b"own"),
    ],
    "file above a directory": [layer(d=b"a file", e=b"a file")],
    "directory above a file": [layer(f__inner=b"1", to_f__inner=b"2", dangling__i=b"")],
    "file between directories": [layer(d__new=b"n"), layer(d=b"a file")],
    "link above a directory": [layer(d="e", e="f")],
    "whiteouts over nothing": [layer(no=None, n__m=None, d__no=None, e__no=None)],
}

# What is done, one after the other, on both sides; errors are outcomes as well.
SEQUENCES: dict[str, list[Step]] = {
    "append": [(append, "/f", b"+"), (append, "/d/g", b"+"), (append, "/to_f", b"+")],
    "update": [(patch, "/f", 3, b"XX"), (patch, "/d/f", 5, b"end")],
    "truncate": [("truncate", "/f", 4), ("truncate", "/d/g", 9), ("truncate", "/d", 0)],
    "overwrite": [("write_bytes", "/f", b"n"), ("write_bytes", "/d/sub/h", b"")],
    "write below": [("write_bytes", "/d/new/deep", b"n"), ("write_bytes", "/f/x", b"")],
    "write over nothing": [("write_bytes", "/no", b"1"), ("write_bytes", "/n/m", b"2")],
    "touch": [("touch", "/d/sub/h"), ("touch", "/no"), ("touch", "/d", 0o600, False)],
    "chmod": [
        ("chmod", "/f", 0o600),
        ("chmod", "/d", 0o700),
        ("chmod", "/to_d", 0o711),
    ],
    "utime": [
        ("utime", "/f", {"ns": (1, 2)}),
        ("utime", "/d", {"ns": (3, 4)}),
        ("utime", "/to_d", {"ns": (5, 6), "follow_symlinks": False}),
    ],
    "xattrs": [
        ("setxattr", "/f", "user.x", b"1"),
        ("removexattr", "/x", "user.note"),
        ("setxattr", "/d", "user.x", b"2"),
        ("removexattr", "/f", "user.none"),
    ],
    "remove": [
        ("remove", "/f"),
        ("remove", "/d/f"),
        ("remove", "/d"),
        ("remove", "/f"),
    ],
    "remove links": [("remove", "/to_f"), ("remove", "/to_d"), ("remove", "/dangling")],
    "remove and write": [("remove", "/f"), ("write_bytes", "/f", b"new")],
    "remove and make": [
        ("remove", "/f"),
        ("mkdir", "/f"),
        ("write_bytes", "/f/g", b""),
    ],
    "remove and link": [("remove", "/f"), ("symlink", "d", "/f"), ("listdir", "/f")],
    "remove twice": [
        ("remove", "/d/g"),
        ("write_bytes", "/d/g", b"n"),
        ("remove", "/d/g"),
    ],
    "write and remove": [(append, "/f", b"+"), ("remove", "/f"), ("exists", "/f")],
    "rmdir": [("rmdir", "/e"), ("rmdir", "/d"), ("rmdir", "/f"), ("rmdir", "/to_d")],
    "empty and rmdir": [
        ("remove", "/d/f"),
        ("remove", "/d/g"),
        ("remove", "/d/sub/h"),
        ("rmdir", "/d/sub"),
        ("rmdir", "/d"),
        ("listdir", "/"),
    ],
    "rmdir and make": [("rmdir", "/e"), ("mkdir", "/e"), ("listdir", "/e")],
    "rmtree": [
        ("rmtree", "/d"),
        ("exists", "/d/f"),
        ("rmtree", "/to_d"),
        ("rmtree", "/f"),
    ],
    "rmtree and make": [("rmtree", "/d"), ("mkdir", "/d"), ("listdir", "/d")],
    "rmtree and write": [("rmtree", "/d"), ("write_bytes", "/d/sub/new", b"n")],
    "rmtree and rmtree": [
        ("rmtree", "/d"),
        ("write_bytes", "/d/f", b"n"),
        ("rmtree", "/d"),
        ("lexists", "/d"),
    ],
    "rmtree in rmtree": [("rmtree", "/d/sub"), ("mkdir", "/d/sub"), ("rmtree", "/d")],
    "rename a file": [("rename", "/f", "/g"), ("rename", "/d/g", "/d/sub/i")],
    "rename and back": [("rename", "/f", "/g"), ("rename", "/g", "/f")],
    "rename onto": [("rename", "/f", "/d/f"), ("rename", "/f", "/f")],
    "rename into a gap": [("remove", "/d/f"), ("rename", "/f", "/d/f")],
    "rename a link": [("rename", "/to_f", "/d/l"), ("readlink", "/d/l")],
    "rename a directory": [("rename", "/d", "/r"), ("listdir", "/r/sub")],
    "rename a directory back": [("rename", "/d", "/r"), ("rename", "/r", "/d")],
    "rename a changed directory": [
        ("remove", "/d/f"),
        (append, "/d/sub/h", b"+"),
        ("write_bytes", "/d/new", b"n"),
        ("rename", "/d", "/e/r"),
    ],
    "rename into itself": [("rename", "/d", "/d/sub/x"), ("replace", "/d", "/d/sub")],
    "rename a directory to a gap": [
        ("rmtree", "/d"),
        ("rename", "/e", "/d"),
        ("listdir", "/d"),
    ],
    "rename twice": [("rename", "/d", "/r"), ("mkdir", "/d"), ("rename", "/r", "/d/r")],
    "rename a part": [("rename", "/d/sub", "/sub"), ("rename", "/d", "/sub/d")],
    "replace a file": [("replace", "/f", "/d/f"), ("replace", "/d/g", "/f")],
    "replace a link": [("replace", "/f", "/to_f"), ("replace", "/d/g", "/to_d")],
    "replace an empty directory": [
        ("replace", "/d", "/e"),
        ("replace", "/x", "/e/sub"),
    ],
    "replace an emptied directory": [
        ("remove", "/d/sub/h"),
        ("replace", "/x", "/d/sub"),
        ("listdir", "/d/sub"),
    ],
    "replace of the wrong kind": [("replace", "/f", "/e"), ("replace", "/e", "/f")],
    "move": [("move", "/f", "/d"), ("move", "/d/g", "/e"), ("move", "/e", "/d")],
    "move onto": [("move", "/f", "/d"), ("move", "/d/f", "/d/sub/h")],
    "copy": [("copy", "/f", "/c"), ("copy", "/d/g", "/f"), ("copy", "/f", "/e")],
    "copy2": [("copy2", "/f", "/d/sub/h"), ("copy2", "/to_f", "/l")],
    "copytree": [
        ("copytree", "/d", "/c", {"symlinks": True, "dirs_exist_ok": False}),
        ("copytree", "/c", "/e", {"symlinks": True, "dirs_exist_ok": True}),
    ],
    "link": [("link", "/f", "/h"), (append, "/h", b"+"), ("remove", "/f")],
    "link into a gap": [
        ("remove", "/d/f"),
        ("link", "/f", "/d/f"),
        (patch, "/f", 0, b"X"),
    ],
    "symlink": [("symlink", "d/sub", "/s"), ("write_bytes", "/s/n", b"n")],
    "write through links": [
        ("write_bytes", "/to_f", b"n"),
        ("write_bytes", "/to_d/n", b""),
    ],
    "write what a link lacks": [
        ("write_bytes", "/dangling", b"n"),
        ("remove", "/nowhere"),
    ],
    "mkdir": [("mkdir", "/d"), ("mkdir", "/no"), ("mkdir", "/n/m"), ("mkdir", "/f/x")],
    "makedirs": [
        ("makedirs", "/d/sub/x/y"),
        ("makedirs", "/e", True),
        ("listdir", "/d"),
    ],
}


def stack_of(lowers: list[Layer], vfs: VirtualFileSystem) -> list[VirtualFileSystem]:
    """Lay *lowers* below *vfs*; return what is to be closed."""
    made = [VirtualFileSystem() for _ in lowers]
    for lower, underlay in zip(lowers, made, strict=True):
        make_rows(lower, underlay)
        vfs.add_underlay(underlay)
    return made


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A directory that overlayfs takes as a place of an upper layer."""
    if not sys.platform.startswith("linux"):
        pytest.skip("overlayfs is Linux's")
    if os.geteuid() != 0:
        pytest.skip("only root may mount overlayfs")
    place = str(tmp_path_factory.mktemp("overlay"))
    on_tmpfs = refusal(place) is not None
    if on_tmpfs:  # it lies on an overlay itself
        with suppress(OSError, subprocess.CalledProcessError):
            mount("tmpfs", place, "size=64m")
    try:
        why = refusal(place)
        if why is not None:
            pytest.skip(f"overlayfs cannot be mounted here: {why}")
        yield place
    finally:
        if os.path.ismount(place):
            unmount(place)


@pytest.fixture
def in_the_room(room: str) -> Iterator[None]:
    with in_room(room):
        yield


@pytest.fixture
def kernel(room: str, lowers: list[Layer]) -> Iterator[Overlay]:
    with in_room(room):
        overlay = Overlay(lowers)
        try:
            yield overlay
        finally:
            overlay.close()


# Each sequence over the base alone and over one more arrangement, in turn.
ALL = list(itertools.product(ARRANGEMENTS, SEQUENCES))
SOME = [
    (name, sequence)
    for number, sequence in enumerate(SEQUENCES)
    for name in ("one layer", [*ARRANGEMENTS][1 + number % (len(ARRANGEMENTS) - 1)])
]
REST = [scenario for scenario in ALL if scenario not in SOME]


@pytest.fixture
def lowers(arrangement: str) -> list[Layer]:
    return [*ARRANGEMENTS[arrangement], BASE]


@pytest.mark.slow
@pytest.mark.parametrize(("arrangement", "sequence"), SOME)
def test_kernel_over_lower_layers_does_what_the_oracle_says(
    kernel: Overlay, sequence: str
) -> None:
    disk = Disk(create_parents=True)
    try:
        follow_host({"/": ("", DIRECTORY)}, flatten(kernel.layers()), disk.root)
        assert view_of(kernel) == view_of(disk)

        for step in SEQUENCES[sequence]:
            assert do(kernel, step) == do(disk, step), step
            assert view_of(kernel) == view_of(disk), step
            if not kernel.has_redirects():
                kernel.remount()
                assert view_of_merged(flatten(kernel.layers())) == view_of(kernel)
    finally:
        disk.close()


@pytest.mark.parametrize(
    ("arrangement", "sequence"),
    SOME + [pytest.param(*scenario, marks=pytest.mark.slow) for scenario in REST],
)
def test_stack_does_what_the_kernel_does(
    kernel: Overlay, lowers: list[Layer], sequence: str
) -> None:
    with VirtualFileSystem() as vfs:
        underlays = stack_of(lowers, vfs)

        for step in SEQUENCES[sequence]:
            assert do(vfs, step) == do(kernel, step), step
            assert view_of(vfs) == view_of(kernel), step

    for underlay in underlays:
        underlay.close()


HARD = file(b"three names")._replace(identity="one file")

# What is done to one name; the others are a file of their own after that. (A directory
# renamed is copied up with all that is in it; the kernel leaves a redirect instead.)
TO_ONE_NAME: dict[str, list[Step]] = {
    "append": [(append, "/one", b"+"), (append, "/two", b"-")],
    "chmod": [("chmod", "/d/three", 0o600)],
    "remove": [("remove", "/one"), ("remove", "/two")],
    "rename": [("rename", "/one", "/d/one"), ("rename", "/d/three", "/two2")],
    "link": [("link", "/one", "/four"), (append, "/four", b"+"), ("remove", "/one")],
    "replace": [("write_bytes", "/new", b"new"), ("replace", "/new", "/two")],
    "remove all": [("remove", "/one"), ("rmtree", "/d"), (append, "/two", b"+")],
}


@pytest.mark.parametrize("sequence", TO_ONE_NAME)
def test_change_of_a_hard_linked_file_is_the_kernels(room: str, sequence: str) -> None:
    lowers = [layer(one=HARD, two=HARD, d__three=HARD)]
    with in_room(room), closing(Overlay(lowers)) as kernel, VirtualFileSystem() as vfs:
        [underlay] = stack_of(lowers, vfs)
        assert view_of(vfs) == view_of(kernel)

        for step in TO_ONE_NAME[sequence]:
            assert do(vfs, step) == do(kernel, step), step
            assert view_of(vfs) == view_of(kernel), step

    underlay.close()


# --- at random ------------------------------------------------------------------------


class OnOverlayfs(SingleLayer):
    """Every verb, good and bad arguments alike, over the kernel's layers and ours."""

    def open(self, *_: object) -> None:
        """Left out, for the next one."""

    @initialize(
        lowers=st.lists(layers(), min_size=1, max_size=3),
        chunk_size=draw.chunk_sizes,
    )
    def open_stack(self, lowers: list[Layer], chunk_size: int) -> None:
        self.real.close()
        self.real = Overlay([*lowers, BASE])
        self.location = f"{self.real.base}/container.db"
        self.vfs = VirtualFileSystem(self.location, chunk_size)
        self.underlays = stack_of([*lowers, BASE], self.vfs)

    def teardown(self) -> None:
        super().teardown()
        for underlay in getattr(self, "underlays", []):
            underlay.close()

    @rule()
    def reopen(self) -> None:
        self.vfs.close()
        self.vfs = VirtualFileSystem(self.location)
        for underlay in self.underlays:
            self.vfs.add_underlay(underlay)
        assert isinstance(self.real, Overlay)
        self.real.remount()

    @invariant()
    def trees_are_the_same(self) -> None:
        if hasattr(self, "vfs"):
            assert view_of(self.vfs) == view_of(self.real)
            assert self.vfs.check() == []


TestOnOverlayfs = pytest.mark.slow(
    pytest.mark.usefixtures("in_the_room")(OnOverlayfs.TestCase)
)
TestOnOverlayfs.settings = draw.effort(examples=100, steps=15)
