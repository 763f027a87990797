"""Buffered handles in nested batches, against a model that has no buffers at all.

The model writes at once what the handle may keep in its buffer, and copies everything,
positions included, where a batch begins. So at each end of a batch the bytes, the sizes
and the positions must be the model's without any flush of the test's own; and a handle
that a rollback has moved must have forgotten what it read ahead.
"""

from __future__ import annotations

import copy
import errno
import io
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
from tests.ground import lift_limit, limit_pages

from stratavfs import BatchLost, VirtualFileSystem

if TYPE_CHECKING:
    from stratavfs._batch import Batch

FILES = ("/f", "/g", "/d/h")
MODES = ("r", "r+", "w", "w+", "a", "a+", "x", "x+")
DEEPEST, MOST = 3, 4

files = st.sampled_from(FILES)
slots = st.integers(0, MOST - 1)
counts = st.sampled_from((0, 1, 2, 5, 30, 200))
offsets = st.sampled_from((0, 1, 3, 4, 10, 33, 70))
data = st.sampled_from(("", "a", "bc", "def" * 3, "0123456789" * 4, "x" * 150))


@dataclass
class Opened:
    """A handle, and what the model knows of it."""

    handle: Any
    file: int
    text: bool
    appends: bool
    at: int
    opened_at: int
    up: bool
    """Opened in the local layer: where a rollback takes that away, it is stale."""
    dirty: bool = False
    """It may have something in its buffer that is in the model already."""
    behind: bool = False
    """Others have changed the file since it may have read ahead, as io allows."""


@dataclass
class Model:
    """Names, and the bytes of what they lead to."""

    names: dict[str, int] = field(default_factory=dict)
    files: dict[int, bytes] = field(default_factory=dict)
    up: set[int] = field(default_factory=set)
    """Files of the local layer; the others are still on the base."""


@dataclass
class Begun:
    """A batch, and what everything was when it began."""

    batch: Batch
    model: Model
    places: dict[int, int]
    """Position of each handle, by its identity in the test."""


class BatchedHandles(RuleBasedStateMachine):
    """One thread's handles, and its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.count = 0
        self.begun: list[Begun] = []
        self.opened: dict[int, Opened] = {}
        self.serial: dict[int, int] = {}  # slot -> number of the handle in it

    @initialize(chunk_size=draw.chunk_sizes, layered=st.booleans())
    def begin(self, chunk_size: int, layered: bool) -> None:
        self.vfs = VirtualFileSystem(chunk_size=chunk_size)
        self.base = VirtualFileSystem(chunk_size=3)
        if layered:
            self.vfs.add_underlay(self.base)
        for path in FILES[1:]:
            content = b"as it was before " * 5
            (self.base if layered else self.vfs).write_bytes(path, content)
            self.put(path, content)
            self.model.up -= {self.model.names[path]} if layered else set()

    def teardown(self) -> None:
        if not hasattr(self, "vfs"):
            return
        while self.begun:
            self.keep()
        for slot in [*self.opened]:
            self.close(slot)
        assert self.vfs.check() == []
        self.vfs.close()
        self.base.close()

    # --- the model --------------------------------------------------------------------

    def put(self, path: str, content: bytes) -> None:
        if path not in self.model.names:
            self.count += 1  # never used twice
            self.model.names[path] = self.count
        self.change(self.model.names[path], content)

    def change(self, file: int, content: bytes, by: Opened | None = None) -> None:
        self.model.files[file] = content
        self.model.up.add(file)
        for other in self.opened.values():
            if other.file == file and (other is not by or other.text):
                other.behind = True

    def settle(self, file: int | None, but: Opened | None = None) -> None:
        """Flush what others have buffered for *file*, so that theirs comes first."""
        for opened in self.opened.values():
            if opened.dirty and opened.file == file and opened is not but:
                opened.handle.flush()
                opened.dirty = False

    def refresh(self, opened: Opened) -> None:
        """Have the handle read anew what others have changed."""
        if opened.behind:
            opened.handle.seek(0, io.SEEK_END)
            opened.handle.seek(opened.at)
            opened.behind = opened.dirty = False

    # --- handles ----------------------------------------------------------------------

    @precondition(lambda self: len(self.opened) < MOST)
    @rule(
        path=files,
        mode=st.sampled_from(MODES * 2 + ("r+", "r")),
        buffering=st.sampled_from((0, 3, 20, -1)),
        text=st.sampled_from((False, False, True)),
    )
    def open(self, path: str, mode: str, buffering: int, text: bool) -> None:
        self.settle(self.model.names.get(path))
        missing = path not in self.model.names
        if missing if mode[0] == "r" else mode[0] == "x" and not missing:
            with pytest.raises(FileNotFoundError if missing else FileExistsError):
                self.vfs.open(path, mode)
            return
        if text:
            args: dict[str, Any] = {"buffering": buffering or 1, "newline": ""}
        else:
            args = {"buffering": buffering}
        handle: Any = self.vfs.open(path, mode if text else mode + "b", **args)
        if missing:
            self.put(path, b"")
        elif mode[0] == "w":
            self.change(self.model.names[path], b"")
        file = self.model.names[path]
        at = len(self.model.files[file]) if mode[0] == "a" else 0
        up, appends = file in self.model.up, mode[0] == "a"
        slot = next(slot for slot in range(MOST) if slot not in self.opened)
        self.opened[slot] = Opened(handle, file, text, appends, at, at, up)
        self.count += 1
        self.serial[slot] = self.count

    @rule(slot=slots)
    def close(self, slot: int) -> None:
        opened = self.opened.pop(slot, None)
        if opened is not None:
            self.settle(opened.file, but=opened)
            opened.handle.close()

    @rule(slot=slots)
    def flush(self, slot: int) -> None:
        if slot in self.opened:
            self.opened[slot].handle.flush()
            self.opened[slot].dirty = False

    @rule(slot=slots)
    def tell(self, slot: int) -> None:
        if slot in self.opened:
            self.compare_place(self.opened[slot])

    def compare_place(self, opened: Opened) -> None:
        if opened.appends and opened.dirty:
            opened.handle.flush()  # only then it knows where the end is
            opened.dirty = False
        assert opened.handle.tell() == opened.at

    @rule(slot=slots, count=counts)
    def read(self, slot: int, count: int) -> None:
        opened = self.opened.get(slot)
        if opened is None or not opened.handle.readable():
            return
        self.settle(opened.file)
        self.refresh(opened)
        if opened.text and opened.handle.writable():
            opened.handle.seek(opened.at)
        expected = self.model.files[opened.file][opened.at :][:count]

        found = opened.handle.read(count)

        assert (found.encode() if opened.text else found) == expected
        opened.at += len(expected)

    @rule(slot=slots, words=data)
    def write(self, slot: int, words: str) -> None:
        opened = self.opened.get(slot)
        if opened is None or not opened.handle.writable():
            return
        self.settle(opened.file, but=opened)
        if opened.handle.readable():
            self.refresh(opened)
            if opened.text:
                opened.handle.seek(opened.at)

        opened.handle.write(words if opened.text else words.encode())

        if words:
            old = self.model.files[opened.file]
            start = len(old) if opened.appends else opened.at
            new = old[:start].ljust(start, b"\0") + words.encode()
            opened.at = len(new)
            self.change(opened.file, new + old[len(new) :], by=opened)
            opened.behind = False
            opened.dirty = True

    @rule(slot=slots, offset=offsets, whence=st.sampled_from((0, 0, 1, 2)))
    def seek(self, slot: int, offset: int, whence: int) -> None:
        opened = self.opened.get(slot)
        if opened is None:
            return
        self.settle(opened.file, but=None if opened.appends else opened)
        if whence and opened.text:
            offset = 0
        size = len(self.model.files[opened.file])

        opened.handle.seek(offset, whence)

        opened.at = (0, opened.at, size)[whence] + offset
        opened.dirty = False

    @rule(slot=slots, size=offsets | st.none())
    def truncate(self, slot: int, size: int | None) -> None:
        opened = self.opened.get(slot)
        if opened is None or not opened.handle.writable():
            return
        self.settle(opened.file)
        self.refresh(opened)
        if size is None and opened.text:
            return  # where the buffer below is: nobody's position
        to = opened.at if size is None else size

        assert opened.handle.truncate(size) == to

        opened.dirty = False
        self.change(opened.file, resized(self.model.files[opened.file], to), by=opened)

    # --- names and whole files --------------------------------------------------------

    @rule(path=files, words=data)
    def write_bytes(self, path: str, words: str) -> None:
        self.settle(self.model.names.get(path))
        self.vfs.write_bytes(path, words.encode())
        self.put(path, words.encode())

    @rule(path=files)
    def remove(self, path: str) -> None:
        if path in self.model.names:
            self.vfs.remove(path)
            del self.model.names[path]

    @rule(src=files, dst=files)
    def replace(self, src: str, dst: str) -> None:
        if src in self.model.names:
            self.vfs.replace(src, dst)
            self.model.names[dst] = self.model.names.pop(src)
            if src != dst:
                self.model.up.add(self.model.names[dst])

    # --- batches ----------------------------------------------------------------------

    @precondition(lambda self: len(self.begun) < DEEPEST)
    @rule()
    def begin_batch(self) -> None:
        batch = self.vfs.atomic_batch().__enter__()

        self.nothing_is_buffered()
        places = {self.serial[slot]: it.at for slot, it in self.opened.items()}
        self.begun.append(Begun(batch, copy.deepcopy(self.model), places))

    @precondition(lambda self: self.begun)
    @rule()
    def keep(self) -> None:
        self.begun.pop().batch.__exit__(None, None, None)

        self.nothing_is_buffered()

    @precondition(lambda self: self.begun)
    @rule(kind=st.sampled_from((KeyError, KeyboardInterrupt, GeneratorExit)))
    def fail(self, kind: type[BaseException]) -> None:
        begun = self.begun.pop()

        begun.batch.__exit__(kind, kind(), None)

        self.take_back(begun)

    @precondition(lambda self: self.begun)
    @rule(which=st.integers(0, DEEPEST - 1), words=data, slot=slots)
    def roll_back(self, which: int, words: str, slot: int) -> None:
        """Give any of them up, go on in vain, and leave all that are within it."""
        which %= len(self.begun)

        self.begun[which].batch.rollback()

        with pytest.raises(BatchLost):
            self.vfs.write_bytes("/f", b"never")
        opened = self.opened.get(slot)
        if opened is not None and opened.handle.writable() and len(words) < 3:
            self.write_in_vain(opened, words)
        for begun in reversed(self.begun[which:]):
            begun.batch.__exit__(None, None, None)
        begun = self.begun[which]
        del self.begun[which:]
        self.take_back(begun)

    def write_in_vain(self, opened: Opened, words: str) -> None:
        try:
            opened.handle.write(words if opened.text else words.encode())
        except (BatchLost, OSError) as error:  # no buffer, or it made the file
            assert error.errno in (errno.ECANCELED, errno.ESTALE)  # noqa: PT017

    @precondition(lambda self: self.begun)
    @rule()
    def lose(self) -> None:
        """The disk is full, SQLite rolls everything back, and nobody cares."""
        connection: Any = self.vfs._store._cx
        limit_pages(connection, 1)
        with pytest.raises(OSError) as caught:
            self.vfs.write_bytes("/too/big", bytes(70_000))
        assert caught.value.errno == errno.ENOSPC
        assert not connection.in_transaction

        for begun in reversed(self.begun):
            with pytest.raises(BatchLost):
                begun.batch.__exit__(None, None, None)

        lift_limit(connection)
        begun = self.begun[0]
        self.begun.clear()
        self.take_back(begun)

    def take_back(self, begun: Begun) -> None:
        """Everything is as it was when the batch began, but for what was closed."""
        self.model = begun.model
        for slot, opened in [*self.opened.items()]:
            opened.at = begun.places.get(self.serial[slot], opened.opened_at)
            opened.behind = False
            gone = opened.up and opened.file not in self.model.up
            if gone or opened.file not in self.model.files:
                self.opened.pop(slot)
                refused_as_stale(opened)
        self.nothing_is_buffered()

    def nothing_is_buffered(self) -> None:
        """The library has flushed, or thrown away, all there was."""
        for opened in self.opened.values():
            opened.dirty = False
        self.bytes_and_sizes_are_the_models()
        for opened in self.opened.values():
            self.compare_place(opened)
        assert self.vfs.check() == []

    # --- what holds after each step ---------------------------------------------------

    @invariant()
    def bytes_and_sizes_are_the_models(self) -> None:
        if not hasattr(self, "vfs"):
            return
        buffered = {it.file for it in self.opened.values() if it.dirty}
        found = {path for path in self.vfs.glob("/**") if self.vfs.isfile(path)}
        assert found == set(self.model.names)
        for path, file in self.model.names.items():
            if file not in buffered:
                content = self.model.files[file]
                assert self.vfs.read_bytes(path) == content
                assert self.vfs.getsize(path) == len(content)


def refused_as_stale(opened: Opened) -> None:
    """Everything that asks for the file of this handle says that it is gone."""
    handle = opened.handle
    if handle.readable():
        with pytest.raises(OSError) as caught:
            handle.read(1)
        assert caught.value.errno == errno.ESTALE
    if handle.writable():
        with pytest.raises(OSError) as caught:  # noqa: PT012 - if not at once, then now
            handle.write("x" if opened.text else b"x")
            handle.flush()
        assert caught.value.errno == errno.ESTALE
    try:
        handle.close()
    except OSError as error:  # of what is still in its buffer
        assert error.errno == errno.ESTALE  # noqa: PT017
    assert handle.closed


def resized(content: bytes, length: int) -> bytes:
    return content[:length].ljust(length, b"\0")


TestBatchedHandles = pytest.mark.slow(BatchedHandles.TestCase)
TestBatchedHandles.settings = draw.effort(examples=150, steps=60)
