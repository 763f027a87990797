"""Several handles at once do what the builtin's do, also on files that are gone."""

from __future__ import annotations

import io
import os
import warnings
from typing import IO, Any, NamedTuple

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
from tests.model.compare import outcome, tree_of
from tests.model.real import Real

from stratavfs import VirtualFileSystem

FILES = ("/f", "/g", "/d/h")
MOST = 4

MODES = (
    *("rb", "r+b", "wb", "w+b", "ab", "a+b", "xb", "x+b"),
    *("r", "r+", "w", "w+", "a", "a+", "x"),
)
BAD_MODES = ("", "rw", "rbt", "z", "+", "rr")
BUFFERINGS = (-1, 0, 1, 2, 7, 100)

files = st.sampled_from(FILES)
slots = st.integers(0, MOST - 1)
counts = st.sampled_from((-1, None, 0, 1, 2, 3, 7, 65, 5000))
offsets = st.integers(-3, 9) | st.sampled_from((63, 64, 65, 4095, 4097))
whences = st.sampled_from((0, 0, 1, 2, 2, 5, -1))
texts = st.sampled_from(("", "a", "one\ntwo\r\n", "\u00e9\u20ac", "\ud800", b"bytes"))
data = st.one_of(draw.contents, st.just(b"line\nline\r\nend"), texts)


class Pair(NamedTuple):
    """The same file, opened in both worlds."""

    mine: IO[Any]
    theirs: IO[Any]


def open_real(
    real: Real, path: str, mode: str, buffering: int, default: int, newline: str | None
) -> Any:
    """Open as the builtin does, with *default* instead of its own buffer size.

    Both sides must flush at the same moments for every look to show the same.
    """
    host = real.host(path)
    if mode not in MODES:
        return open(host, mode)
    text = "b" not in mode
    if text and (buffering == 0 or newline == "x"):
        raise ValueError  # promised: before anything is made or truncated
    size = buffering if buffering > 1 or buffering == 0 else default
    if not text:
        return open(host, mode, size)
    with open(host, mode, newline=newline):
        pass  # refused, made and truncated as the builtin does it
    again = mode.replace("x", "r+" if "+" not in mode else "r").replace("w", "r+")
    raw = io.FileIO(host, again.replace("t", "").replace("++", "+"))
    raw.seek(0, os.SEEK_END if "a" in mode else os.SEEK_SET)
    line_buffering = buffering == 1
    buffered = buffer_for(mode)(raw, size)
    return io.TextIOWrapper(buffered, "utf-8", None, newline, line_buffering)


def buffer_for(mode: str) -> Any:
    if "+" in mode:
        return io.BufferedRandom
    return io.BufferedReader if "r" in mode else io.BufferedWriter


class Handles(RuleBasedStateMachine):
    """Up to four handles on three files, in two worlds."""

    def __init__(self) -> None:
        super().__init__()
        self.umask = os.umask(0o022)
        self.real = Real(create_parents=False)
        self.pairs: dict[int, Pair] = {}

    @initialize(chunk_size=draw.chunk_sizes, on_disk=st.booleans())
    def begin(self, chunk_size: int, on_disk: bool) -> None:
        location = f"{self.real.base}/container.db" if on_disk else ":memory:"
        self.vfs = VirtualFileSystem(location, chunk_size, create_parents=False)
        self.both("mkdir", "/d", mode=0o755)
        self.both("write_bytes", "/f", b"one\ntwo\r\nthree\n")

    def teardown(self) -> None:
        for slot in [*self.pairs]:
            self.close(slot)
        os.umask(self.umask)
        if hasattr(self, "vfs"):
            self.vfs.close()
        self.real.close()

    def both(self, verb: str, *args: Any, **options: Any) -> None:
        mine = outcome(getattr(self.vfs, verb), *args, **options)
        theirs = outcome(getattr(self.real, verb), *args, **options)
        assert mine == theirs, f"{verb}{args}: {mine}, and on the disk {theirs}"

    def handle(self, slot: int, verb: str, *args: Any) -> None:
        """Call the same method of both handles, if the slot is in use."""
        if slot not in self.pairs:
            return
        mine, theirs = (
            # The names of a handle's errors are ours alone: io gives none.
            outcome(lambda f: answer(getattr(f, verb)(*args)), file)[:3]
            for file in self.pairs[slot]
        )
        assert mine == theirs, f"{verb}{args}: {mine}, and on the disk {theirs}"

    @invariant()
    def files_are_the_same(self) -> None:
        if hasattr(self, "vfs"):
            assert tree_of(self.vfs) == tree_of(self.real)
            assert self.vfs.check() == []

    # --- opening and closing ----------------------------------------------------------

    @precondition(lambda self: len(self.pairs) < MOST)
    @rule(
        path=st.sampled_from((*FILES, "/d", "/no/where")),
        mode=st.sampled_from(MODES * 2 + BAD_MODES),
        buffering=st.sampled_from(BUFFERINGS),
        newline=draw.newlines,
    )
    def open(self, path: str, mode: str, buffering: int, newline: str | None) -> None:
        newline = None if "b" in mode else newline
        with warnings.catch_warnings():  # of line buffering in binary mode
            warnings.simplefilter("ignore", RuntimeWarning)
            self.open_pair(path, mode, buffering, newline)

    def open_pair(
        self, path: str, mode: str, buffering: int, newline: str | None
    ) -> None:
        opened: list[Any] = []

        def mine() -> None:
            opened.append(self.vfs.open(path, mode, buffering, newline=newline))

        def theirs() -> None:
            size = self.vfs.chunk_size
            opened.append(open_real(self.real, path, mode, buffering, size, newline))

        seen = outcome(mine), outcome(theirs)
        if len(opened) == 2:
            slot = next(slot for slot in range(MOST) if slot not in self.pairs)
            self.pairs[slot] = Pair(*opened)
        assert seen[0] == seen[1], f"open{(path, mode, buffering, newline)}: {seen}"

    @rule(slot=slots)
    def close(self, slot: int) -> None:
        self.handle(slot, "close")
        for verb in ("read", "write", "tell", "flush", "truncate", "readable"):
            self.handle(slot, verb, *([b""] if verb == "write" else []))
        self.handle(slot, "close")
        self.pairs.pop(slot, None)

    # --- reading ----------------------------------------------------------------------

    @rule(slot=slots, verb=st.sampled_from(("read", "readline", "read1")), count=counts)
    def read(self, slot: int, verb: str, count: int | None) -> None:
        if slot in self.pairs and hasattr(self.pairs[slot].mine, verb):
            self.handle(slot, verb, count)

    @rule(slot=slots, count=st.sampled_from((0, 1, 3, 70)))
    def readinto(self, slot: int, count: int) -> None:
        if slot not in self.pairs or not hasattr(self.pairs[slot].mine, "readinto"):
            return
        rooms: list[bytearray] = []

        def fill(file: Any) -> int:
            rooms.append(bytearray(count))
            found: int = file.readinto(rooms[-1])
            return found

        mine, theirs = (outcome(fill, file)[:3] for file in self.pairs[slot])
        assert (mine, rooms[0]) == (theirs, rooms[1])

    @rule(slot=slots, hint=counts)
    def readlines(self, slot: int, hint: int | None) -> None:
        self.handle(slot, "readlines", -1 if hint is None else hint)

    # --- writing ----------------------------------------------------------------------

    @rule(slot=slots, data=data, fitting=st.sampled_from((True, True, True, False)))
    def write(self, slot: int, data: Any, fitting: bool) -> None:
        if slot not in self.pairs:
            return
        mine = self.pairs[slot].mine
        # A wrong type given to a reader breaks two rules; either may be told.
        if fitting or not mine.writable():
            text = isinstance(mine, io.TextIOBase)
            data = fitted(data, text=text)
        self.handle(slot, "write", data)

    @rule(slot=slots, size=st.none() | draw.truncations)
    def truncate(self, slot: int, size: int | None) -> None:
        self.handle(slot, "truncate", size)

    @rule(slot=slots)
    def flush(self, slot: int) -> None:
        self.handle(slot, "flush")

    # --- the position -----------------------------------------------------------------

    @rule(slot=slots, offset=offsets, whence=whences)
    def seek(self, slot: int, offset: int, whence: int) -> None:
        if slot in self.pairs and isinstance(self.pairs[slot].mine, io.TextIOBase):
            # The position of text is a cookie: only 0 and the end make sense here.
            offset = min(offset, 0) if whence == 0 else offset * (offset < 2)
        self.handle(slot, "seek", offset, whence)

    @rule(slot=slots)
    def tell(self, slot: int) -> None:
        # Not seekable(): a refused first seek makes FileIO say no for good.
        for verb in ("tell", "readable", "writable"):
            self.handle(slot, verb)

    # --- what happens to the files meanwhile ------------------------------------------

    @rule(verb=st.sampled_from(("rename", "replace", "link")), src=files, dst=files)
    def rename(self, verb: str, src: str, dst: str) -> None:
        self.both(verb, src, dst)

    @rule(path=files)
    def remove(self, path: str) -> None:
        self.both("remove", path)

    @rule(path=files, content=draw.contents)
    def rewrite(self, path: str, content: bytes) -> None:
        self.both("write_bytes", path, content)

    @rule(path=files, length=draw.truncations)
    def cut(self, path: str, length: int) -> None:
        self.both("truncate", path, length)

    @rule()
    def remove_the_directory(self) -> None:
        self.both("rmtree", "/d")

    @rule()
    def make_the_directory(self) -> None:
        self.both("mkdir", "/d", mode=0o755)


def fitted(data: str | bytes, *, text: bool) -> str | bytes:
    """Return *data* as what a handle takes."""
    if text:
        return data if isinstance(data, str) else data.decode("latin-1")
    return data if isinstance(data, bytes) else data.encode("utf-8", "replace")


def answer(found: Any) -> Any:
    """Return what a handle's method returned, as both sides say it."""
    return bytes(found) if isinstance(found, bytearray) else found


TestHandles = pytest.mark.slow(Handles.TestCase)
TestHandles.settings = draw.effort(examples=150, steps=50)
