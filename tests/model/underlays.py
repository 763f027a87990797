"""Underlays of every kind: made of a drawn layer, read, changed by their owner.

What they hold is read by raw SQL or from the disk, never through the stack above.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st
from tests import ground
from tests import strategies as draw
from tests.model.compare import outcome
from tests.model.layered import Layer, layers, mounted
from tests.model.places import (
    Disk,
    Step,
    do,
    layer_of_host,
    layer_of_rows,
    make_host,
    make_rows,
)

from stratavfs import VirtualFileSystem
from stratavfs.layers import DirectoryLayer

if TYPE_CHECKING:
    from collections.abc import Callable

# Where they are mounted; the root twice, since there most of them meet.
POINTS = ("/", "/", "/", "/a", "/b", "/a/b")


class Drawn(NamedTuple):
    """What an underlay is made of, and where it is put."""

    kind: str
    layer: Layer
    chunk_size: int
    inner: Layer
    """Of a nested one: its own underlay, mounted at *inner_at*."""
    inner_at: str
    priority: int
    at: str


class Underlay:
    """One underlay; subclasses say where it is kept."""

    given: Any
    """What ``add_underlay`` is given."""

    def layers(self) -> dict[str, Layer]:
        """Return what it holds, its own local layer first."""
        raise NotImplementedError

    def traces(self) -> object:
        """Return the bytes on the disk, or the rows in memory."""
        raise NotImplementedError

    def change(self, step: Step) -> None:
        """Let the owner do one thing; what it comes to is no matter here."""

    def take_back(self, step: Step, look: Callable[[], object]) -> None:
        """Let the owner do one thing in a batch that fails; *look* at it meanwhile."""

    def rearrange(self) -> None:
        """Let the owner change the layers of which it is made, if there are any."""

    def close(self) -> None:
        """Let go of what the stack does not own."""


class InMemory(Underlay):
    """A container in memory."""

    def __init__(self, drawn: Drawn, _: str) -> None:
        self.given = VirtualFileSystem(chunk_size=drawn.chunk_size)
        make_rows(drawn.layer, self.given)

    def layers(self) -> dict[str, Layer]:
        return {"": layer_of_rows(self.given._store._cx)}

    def traces(self) -> object:
        return ground.dump(self.given._store._cx)

    def change(self, step: Step) -> None:
        do(self.given, step)

    def take_back(self, step: Step, look: Callable[[], object]) -> None:
        with suppress(KeyError), self.given.atomic_batch():
            do(self.given, step)
            look()
            raise KeyError

    def close(self) -> None:
        self.given.close()


class Nested(InMemory):
    """A container in memory with an underlay of its own."""

    def __init__(self, drawn: Drawn, place: str) -> None:
        super().__init__(drawn, place)
        self.inner = InMemory(drawn._replace(layer=drawn.inner), place)
        self.inner_at = drawn.inner_at
        self.is_nested = False
        self.rearrange()

    def rearrange(self) -> None:
        self.is_nested = not self.is_nested
        if self.is_nested:
            self.given.add_underlay(self.inner.given, name="inner", at=self.inner_at)
        else:
            self.given.remove_underlay("inner")

    def layers(self) -> dict[str, Layer]:
        inner = mounted(self.inner.layers()[""], self.inner_at)
        return super().layers() | ({"/inner": inner} if self.is_nested else {})

    def traces(self) -> object:
        return super().traces(), self.inner.traces()

    def close(self) -> None:
        super().close()
        self.inner.close()


class InFile(Underlay):
    """A container in a file, opened by its owner."""

    options: dict[str, Any] = {}  # noqa: RUF012 - never changed

    def __init__(self, drawn: Drawn, place: str) -> None:
        self.place = place
        self.location = f"{place}/container.db"
        with VirtualFileSystem(self.location, drawn.chunk_size) as vfs:
            make_rows(drawn.layer, vfs)
        self.open()

    def open(self) -> None:
        self.given = VirtualFileSystem(self.location, **self.options)

    def layers(self) -> dict[str, Layer]:
        """Read a copy: looking at the file itself may leave something beside it."""
        with tempfile.TemporaryDirectory() as room:
            copy = f"{room}/container.db"
            shutil.copyfile(self.location, copy)
            if os.path.exists(f"{self.location}-wal"):
                shutil.copyfile(f"{self.location}-wal", f"{copy}-wal")
            with closing(ground.connect(copy)) as cx:
                return {"": layer_of_rows(cx)}

    def traces(self) -> object:
        """Return the names beside the file, and all bytes but those of the index."""
        names = sorted(os.listdir(self.place))
        read = [name for name in names if not name.endswith("-shm")]
        return names, [_bytes_of(f"{self.place}/{name}") for name in read]

    def change(self, step: Step) -> None:
        do(self.given, step)

    def close(self) -> None:
        self.given.close()


class ReadOnly(InFile):
    """A container in a file, opened for reading; its owner has another instance."""

    options = {"read_only": True}  # noqa: RUF012

    def change(self, step: Step) -> None:
        with VirtualFileSystem(self.location) as owner:
            do(owner, step)


class Immutable(InFile):
    """A container of which is promised that nobody changes it."""

    options = {"immutable": True}  # noqa: RUF012

    def change(self, step: Step) -> None:
        """Keep the promise."""


class AtPath(ReadOnly):
    """A container given by its path: the stack opens and closes it."""

    def open(self) -> None:
        self.given = self.location

    def close(self) -> None:
        """Left to the stack."""


class InDirectory(Underlay):
    """A directory of the host, which its owner changes as any program does."""

    def __init__(self, drawn: Drawn, place: str) -> None:
        self.top = f"{place}/stratavfs-oracle-x/up/root"
        os.makedirs(self.top)
        make_host(drawn.layer, self.top)
        self.open()

    def open(self) -> None:
        self.given = DirectoryLayer(self.top)

    def layers(self) -> dict[str, Layer]:
        return {"": layer_of_host(self.top)}

    def traces(self) -> object:
        return self.layers()

    def change(self, step: Step) -> None:
        if step[0] != "symlink":  # an absolute target would lead out
            outcome(do, Rooted(self.top), step)


class DirectoryAtPath(InDirectory):
    """A directory of the host given by its path."""

    def open(self) -> None:
        self.given = self.top


class Rooted(Disk):
    """The verbs on a directory that is there already."""

    def __init__(self, root: str) -> None:
        self.create_parents = True
        self.root = root


def _bytes_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


KINDS: dict[str, Callable[[Drawn, str], Underlay]] = {
    "memory": InMemory,
    "nested": Nested,
    "file": InFile,
    "read-only": ReadOnly,
    "immutable": Immutable,
    "path": AtPath,
    "directory": InDirectory,
    "directory at path": DirectoryAtPath,
}
DIRECTORIES = ("directory", "directory at path")


def make(drawn: Drawn, above: str) -> Underlay:
    """Make what was *drawn*, in a new directory in the directory *above*."""
    return KINDS[drawn.kind](drawn, tempfile.mkdtemp(dir=above))


def underlays() -> st.SearchStrategy[Drawn]:
    """Return underlays of every kind; a directory of the host deletes nothing."""
    others = [kind for kind in KINDS if kind not in DIRECTORIES]
    return _drawn(others, plain=False) | _drawn(DIRECTORIES, plain=True)


def _drawn(kinds: Any, *, plain: bool) -> st.SearchStrategy[Drawn]:
    return st.builds(
        Drawn,
        st.sampled_from(kinds),
        layers(plain=plain),
        draw.chunk_sizes,
        layers(),
        st.sampled_from(POINTS),
        st.integers(-1, 1),
        st.sampled_from(POINTS),
    )
