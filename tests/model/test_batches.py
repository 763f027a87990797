"""Nested batches keep all or nothing, against a model that copies itself at each begin.

Handles are open across: one whose file a rollback has taken away is stale for good, all
others go on with the bytes there were. A stale one says so, and hinders no batch, also
where something is left in its buffer.
"""

from __future__ import annotations

import copy
import errno
import posixpath
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from tests import strategies as draw
from tests.model.compare import outcome

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

FILES = ("/f", "/g", "/d/h", "/d/i")
DEEPEST = 4
MOST = 4

files = st.sampled_from(FILES)
slots = st.integers(0, MOST - 1)
contents = draw.contents
offsets = st.sampled_from((0, 1, 3, 5, 64, 70))


@dataclass
class Model:
    """Names, and the bytes of what they lead to; ``/d`` comes with what is in it."""

    names: dict[str, int] = field(default_factory=dict)
    files: dict[int, bytes] = field(default_factory=dict)
    count: int = 0

    def write(self, path: str, content: bytes) -> None:
        if path not in self.names:
            self.count += 1
            self.names[path] = self.count
        self.files[self.names[path]] = content

    def tree(self) -> dict[str, bytes]:
        return {path: self.files[number] for path, number in self.names.items()}


@dataclass
class Opened:
    """A handle, and the file it leads to in the model."""

    handle: Any
    file: int
    room: int
    """Bytes that its buffer holds."""
    stale: bool = False
    owing: bool = False
    """It is stale, and has something in its buffer that no batch takes back."""


@dataclass
class Begun:
    """A batch, and what everything was when it began."""

    scope: AbstractContextManager[object]
    model: Model
    known: dict[str, Any]
    stale: list[Opened]
    """Handles that were stale already."""


class Batches(RuleBasedStateMachine):
    """Changes in batches within batches, kept or taken back."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.begun: list[Begun] = []
        self.opened: dict[int, Opened] = {}

    @initialize(chunk_size=draw.chunk_sizes)
    def begin(self, chunk_size: int) -> None:
        self.vfs = VirtualFileSystem(chunk_size=chunk_size)
        self.chunk_size = chunk_size
        for path in ("/f", "/d/h"):
            self.write(path, b"as it was before")

    def teardown(self) -> None:
        # Whatever fails: what stays open would fail the test that is run next.
        with ExitStack() as todo:
            if hasattr(self, "vfs"):
                todo.callback(self.vfs.close)
            for slot in [*self.opened]:
                todo.callback(self.close, slot)
            for _ in self.begun:
                todo.callback(self.keep)

    # --- batches ----------------------------------------------------------------------

    @precondition(lambda self: len(self.begun) < DEEPEST)
    @rule()
    def begin_batch(self) -> None:
        known = everything(self.vfs)
        scope = self.vfs.atomic_batch()
        scope.__enter__()
        stale = [it for it in self.opened.values() if it.stale]
        self.begun.append(Begun(scope, copy.deepcopy(self.model), known, stale))

    @precondition(lambda self: self.begun)
    @rule()
    def keep(self) -> None:
        known = everything(self.vfs)

        self.begun.pop().scope.__exit__(None, None, None)

        assert everything(self.vfs) == known

    @precondition(lambda self: self.begun)
    @rule()
    def take_back(self) -> None:
        begun = self.begun.pop()
        failure = KeyError("taken back")

        swallowed = begun.scope.__exit__(KeyError, failure, None)

        assert not swallowed
        assert everything(self.vfs) == begun.known
        # Numbers of files are never given twice, so that none is taken for another.
        begun.model.count = self.model.count
        self.model = begun.model
        for opened in self.opened.values():
            opened.stale |= opened.file not in self.model.files
            opened.owing &= opened in begun.stale

    @precondition(lambda self: len(self.begun) < DEEPEST)
    @rule(content=contents)
    def refuse_within_a_batch(self, content: bytes) -> None:
        """A call that fails takes back its own part alone."""
        below = self.a_file() + "/below"
        known = everything(self.vfs)

        with self.vfs.atomic_batch():
            with pytest.raises(NotADirectoryError):
                self.vfs.write_bytes(below, content)
            assert everything(self.vfs) == known

    def a_file(self) -> str:
        if not self.model.names:
            self.write("/f", b"")
        return min(self.model.names)

    # --- names and whole files --------------------------------------------------------

    @rule(path=files, content=contents)
    def write(self, path: str, content: bytes) -> None:
        self.vfs.write_bytes(path, content)
        self.model.write(path, content)

    @rule(path=files, length=st.sampled_from((0, 1, 4, 64, 65, 4097)))
    def truncate(self, path: str, length: int) -> None:
        missing = path not in self.model.names
        assert refused(outcome(self.vfs.truncate, path, length)) == missing
        if not missing:
            old = self.model.files[self.model.names[path]]
            self.model.write(path, resized(old, length))

    @rule(path=files)
    def remove(self, path: str) -> None:
        missing = path not in self.model.names
        assert refused(outcome(self.vfs.remove, path)) == missing
        self.model.names.pop(path, None)

    @rule(verb=st.sampled_from(("rename", "replace", "link")), src=files, dst=files)
    def move(self, verb: str, src: str, dst: str) -> None:
        names = self.model.names
        bad = src not in names or (dst in names and verb != "replace")
        assert refused(outcome(getattr(self.vfs, verb), src, dst)) == bad
        if not bad and names[src] != names.get(dst):
            names[dst] = names[src]
            if verb != "link":
                del names[src]

    @rule()
    def remove_directory(self) -> None:
        missing = not self.vfs.exists("/d")
        assert refused(outcome(self.vfs.rmtree, "/d")) == missing
        for path in [*self.model.names]:
            if path.startswith("/d/"):
                del self.model.names[path]

    @rule(path=st.sampled_from((*FILES, "/d", "/")), mode=st.sampled_from((0, 0o777)))
    def change_attributes(self, path: str, mode: int) -> None:
        if self.vfs.exists(path):
            self.vfs.chmod(path, mode)
            self.vfs.setxattr(path, "user.mode", str(mode).encode())
            self.vfs.utime(path, ns=(mode, mode))

    # --- handles ----------------------------------------------------------------------

    @precondition(lambda self: len(self.opened) < MOST)
    @rule(path=files, buffering=st.sampled_from((0, -1, 3)))
    def open(self, path: str, buffering: int) -> None:
        if path in self.model.names:
            self.keep_open(self.vfs.open(path, "r+b", buffering), path, buffering)

    @precondition(lambda self: self.begun and len(self.opened) < MOST)
    @rule(path=files, buffering=st.sampled_from((0, -1, 3)))
    def make(self, path: str, buffering: int) -> None:
        """Make a file anew: whoever takes it back makes the handle stale."""
        outcome(self.vfs.remove, path)
        self.model.names.pop(path, None)
        handle = self.vfs.open(path, "x+b", buffering)
        self.model.write(path, b"")
        self.keep_open(handle, path, buffering)

    def keep_open(self, handle: Any, path: str, buffering: int) -> None:
        slot = next(slot for slot in range(MOST) if slot not in self.opened)
        room = self.chunk_size if buffering < 0 else buffering
        self.opened[slot] = Opened(handle, self.model.names[path], room)

    @rule(slot=slots)
    def close(self, slot: int) -> None:
        opened = self.opened.pop(slot, None)
        if opened is None:
            return
        seen = outcome(opened.handle.close)
        # What a stale one still has in its buffer is lost, and it says so.
        assert is_stale(seen) or (seen == ("value", None) and not opened.owing)
        assert opened.stale or not is_stale(seen)
        assert opened.handle.closed

    @rule(slot=slots, offset=offsets, content=contents)
    def write_through_handle(self, slot: int, offset: int, content: bytes) -> None:
        def write() -> None:
            opened.handle.seek(offset)
            opened.handle.write(content)
            opened.handle.flush()

        if slot in self.opened:
            opened = self.opened[slot]
            seen = outcome(write)
            if opened.stale:
                assert is_stale(seen) or not content
                opened.owing |= 0 < len(content) <= opened.room
            else:
                assert seen == ("value", None)
                self.patch(opened.file, offset, content)

    @rule(slot=slots, length=offsets)
    def truncate_through_handle(self, slot: int, length: int) -> None:
        if slot in self.opened:
            opened = self.opened[slot]
            seen = outcome(opened.handle.truncate, length)
            if opened.stale:
                assert is_stale(seen)
            else:
                assert seen == ("value", length)
                old = self.model.files[opened.file]
                self.model.files[opened.file] = resized(old, length)

    def patch(self, number: int, offset: int, content: bytes) -> None:
        if content:
            old = resized(self.model.files[number], offset)
            rest = self.model.files[number][offset + len(content) :]
            self.model.files[number] = old + content + rest

    # --- what holds after each step ---------------------------------------------------

    @invariant()
    def names_and_bytes_are_the_models(self) -> None:
        if hasattr(self, "vfs"):
            found = [path for path in self.vfs.glob("/**") if self.vfs.isfile(path)]
            assert {path: self.vfs.read_bytes(path) for path in found} == (
                self.model.tree()
            )

    @invariant()
    def container_is_sound(self) -> None:
        if hasattr(self, "vfs"):
            assert self.vfs.check() == []

    @invariant()
    def handles_see_their_files(self) -> None:
        for opened in self.opened.values():
            # Seeking flushes what a stale handle still has in its buffer.
            seen = outcome(lambda f: f.seek(0) or f.read(), opened.handle)
            if opened.stale:
                assert is_stale(seen)
            else:
                assert seen == ("value", self.model.files[opened.file])


def everything(vfs: VirtualFileSystem) -> dict[str, Any]:
    """Return all there is to know: names, bytes, every field of ``stat``, xattrs."""
    return {
        path: (
            vfs.lstat(path),
            vfs.read_bytes(path) if vfs.isfile(path) else None,
            {name: vfs.getxattr(path, name) for name in vfs.listxattr(path)},
        )
        for path in walked(vfs)
    }


def walked(vfs: VirtualFileSystem) -> list[str]:
    return ["/"] + [
        posixpath.join(top, name)
        for top, directories, others in vfs.walk("/")
        for name in directories + others
    ]


def resized(content: bytes, length: int) -> bytes:
    return content[:length].ljust(length, b"\0")


def refused(seen: tuple[Any, ...]) -> bool:
    return bool(seen[0] == "error")


def is_stale(seen: tuple[Any, ...]) -> bool:
    return bool(seen[0] == "error" and seen[2] == errno.ESTALE)


TestBatches = pytest.mark.slow(Batches.TestCase)
TestBatches.settings = draw.effort(examples=200, steps=50)
