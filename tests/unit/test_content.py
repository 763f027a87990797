"""Content at tiny chunk sizes: a ``bytearray`` is the judge of every byte."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratavfs import VirtualFileSystem, _content
from stratavfs._content import SIZE_LIMIT, Content, check_size
from stratavfs._spans import place, spliced
from stratavfs._tree import FILE_MODE, Tree
from stratavfs.records import InodeId, VPath

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK_SIZES = (1, 2, 3, 4, 64)
AT = 1_000_000_000
GONE = InodeId(999)


class Room(NamedTuple):
    """The content of one container, with one empty file in it."""

    vfs: VirtualFileSystem
    content: Content
    inode: InodeId

    def write(self, verb: str, *args: Any) -> Any:
        """Call a changing verb of the content, in a transaction as it needs."""
        with self.vfs._store.transaction:
            return getattr(self.content, verb)(*args)

    def file(self, name: str) -> InodeId:
        tree: Tree = self.vfs._layers.rooms[1]
        with self.vfs._store.transaction:
            return tree.add(VPath(f"/{name}"), FILE_MODE, AT, content=b"")

    def stored(self, inode: InodeId) -> set[int]:
        """Return the indexes of the chunks that are stored."""
        statement = "SELECT idx FROM chunks WHERE inode = ?"
        return {idx for (idx,) in self.vfs._store.rows(statement, (inode,))}

    def is_inline(self) -> bool:
        row = self.vfs._store.row(
            "SELECT content IS NOT NULL FROM inodes WHERE id = ?", (self.inode,)
        )
        return bool(row[0])


def room_of(vfs: VirtualFileSystem, inline_limit: int | None = None) -> Room:
    if inline_limit is not None:
        vfs._store.inline_limit = inline_limit
    room = Room(vfs, Content(vfs._store), InodeId(0))
    return room._replace(inode=room.file("a"))


@pytest.fixture(params=CHUNK_SIZES)
def room(request: pytest.FixtureRequest, make_vfs: Callable[..., Any]) -> Room:
    return room_of(make_vfs(":memory:", request.param))


# --- against a bytearray --------------------------------------------------------------

# Few offsets around the borders of one to a few chunks.
OFFSETS = st.integers(0, 20) | st.sampled_from([63, 64, 65, 128, 200])
BYTES = st.binary(max_size=12) | st.sampled_from([b"x" * 63, b"y" * 64, b"z" * 130])
STEPS = st.lists(
    st.tuples(st.just("write"), OFFSETS, BYTES.filter(len))
    | st.tuples(st.just("append"), BYTES.filter(len))
    | st.tuples(st.just("resize"), OFFSETS)
    | st.tuples(st.just("replace"), BYTES)
    | st.tuples(st.just("copy"))
    | st.tuples(st.just("read"), OFFSETS, OFFSETS),
    max_size=12,
)
# (chunk size, inline limit): a limit of the whole chunk is what the library chooses.
SHAPES = st.sampled_from(
    [(1, 0), (1, 1), (2, 1), (2, 2), (3, 0), (3, 3), (4, 2), (4, 4), (64, 0), (64, 64)]
)


class Oracle:
    """A file that is a ``bytearray`` with a second one to copy to."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.expected = bytearray()
        self.copied_to = room.file("copy")

    def step(self, name: str, *args: Any) -> None:
        getattr(self, name)(*args)
        assert self.room.content.size(self.room.inode) == len(self.expected)

    def write(self, offset: int, data: bytes) -> None:
        self.expected.extend(bytes(max(0, offset - len(self.expected))))
        self.expected[offset : offset + len(data)] = data
        args = (self.room.inode, offset, memoryview(data), AT)
        assert self.room.write("write", *args) is True

    def append(self, data: bytes) -> None:
        self.write(len(self.expected), data)

    def resize(self, size: int) -> None:
        self.expected[size:] = b""
        self.expected.extend(bytes(size - len(self.expected)))
        assert self.room.write("resize", self.room.inode, size, AT) is True

    def replace(self, data: bytes) -> None:
        self.expected[:] = data
        self.room.write("replace", self.room.inode, memoryview(data), AT)

    def copy(self) -> None:
        self.room.write("copy", self.room.inode, self.copied_to, AT)
        assert self.room.content.read(self.copied_to) == bytes(self.expected)
        stored = self.room.stored(self.room.inode)
        assert self.room.stored(self.copied_to) == stored  # holes stay holes

    def read(self, offset: int, length: int) -> None:
        buffer = bytearray(b"?" * length)
        view = memoryview(buffer)
        count = self.room.content.read_into(self.room.inode, offset, view)
        found = self.expected[offset : offset + length]
        assert count == len(found)
        assert buffer == found + b"?" * (length - len(found))  # the rest is untouched


@given(shape=SHAPES, steps=STEPS)
def test_content_any_steps_agree_with_bytearray(
    shape: tuple[int, int], steps: list[tuple[Any, ...]]
) -> None:
    chunk_size, inline_limit = shape
    with VirtualFileSystem(":memory:", chunk_size) as vfs:
        oracle = Oracle(room_of(vfs, inline_limit))

        for step in steps:
            oracle.step(*step)

        for offset in range(0, len(oracle.expected) + 2, max(1, chunk_size - 1)):
            oracle.read(offset, chunk_size)
        assert oracle.room.content.read(oracle.room.inode) == bytes(oracle.expected)
        assert vfs.check() == []


@given(shape=SHAPES, steps=STEPS)
def test_seek_any_steps_agrees_with_stored_chunks(
    shape: tuple[int, int], steps: list[tuple[Any, ...]]
) -> None:
    chunk_size, inline_limit = shape
    with VirtualFileSystem(":memory:", chunk_size) as vfs:
        room = room_of(vfs, inline_limit)
        oracle = Oracle(room)
        for step in steps:
            oracle.step(*step)

        size = len(oracle.expected)
        stored = room.stored(room.inode)
        is_data = [room.is_inline() or at // chunk_size in stored for at in range(size)]
        for at in range(size + 2):
            data = next((n for n in range(at, size) if is_data[n]), None)
            hole = next((n for n in range(at, size) if not is_data[n]), size)
            assert room.content.next_data(room.inode, at) == data
            expected = None if at >= size else hole
            assert room.content.next_hole(room.inode, at) == expected
        # What lies in a hole is zeros, so skipping it loses nothing.
        assert not any(oracle.expected[at] for at in range(size) if not is_data[at])


# --- particular cases -----------------------------------------------------------------


def test_write_far_behind_the_end_stores_nothing_in_between(room: Room) -> None:
    chunk = room.content._chunk_size

    room.write("write", room.inode, 1000 * chunk, memoryview(b"x"), AT)

    assert room.stored(room.inode) == {1000}
    assert room.content.size(room.inode) == 1000 * chunk + 1
    assert room.content.read(room.inode) == bytes(1000 * chunk) + b"x"


def test_write_that_outgrows_the_row_moves_content_to_chunks(room: Room) -> None:
    chunk = room.content._chunk_size
    small = b"s" * chunk

    room.write("write", room.inode, 0, memoryview(small), AT)
    inline_before = room.is_inline()
    room.write("write", room.inode, chunk, memoryview(b"L"), AT)

    assert (inline_before, room.is_inline()) == (True, False)
    assert room.stored(room.inode) == {0, 1}
    assert room.content.read(room.inode) == small + b"L"


def test_resize_to_nothing_moves_content_back_into_the_row(room: Room) -> None:
    room.write("replace", room.inode, memoryview(b"x" * 200), AT)

    room.write("resize", room.inode, 0, AT)

    assert room.is_inline()
    assert room.stored(room.inode) == set()


def test_resize_up_and_down_brings_no_old_byte_back(room: Room) -> None:
    room.write("replace", room.inode, memoryview(b"x" * 200), AT)

    room.write("resize", room.inode, 5, AT)
    room.write("resize", room.inode, 200, AT)

    assert room.content.read(room.inode) == b"x" * 5 + bytes(195)


def test_resize_of_inline_content_to_large_stores_only_it(room: Room) -> None:
    room.write("write", room.inode, 0, memoryview(b"x"), AT)

    room.write("resize", room.inode, 100_000, AT)

    assert room.stored(room.inode) == {0}
    assert room.content.read(room.inode) == b"x" + bytes(99_999)


@pytest.mark.parametrize("step", [1, 2, 100])
def test_copy_in_several_steps_copies_every_chunk(
    room: Room, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk = room.content._chunk_size
    monkeypatch.setattr(_content, "_COPY_STEP", step * chunk)
    data = bytes(range(256)) * 2
    room.write("write", room.inode, 3 * chunk, memoryview(data), AT)
    target = room.file("copy")

    room.write("copy", room.inode, target, AT)

    assert room.content.read(target) == bytes(3 * chunk) + data
    assert room.stored(target) == room.stored(room.inode)


def test_copy_over_longer_file_leaves_nothing_of_it(room: Room) -> None:
    target = room.file("copy")
    room.write("replace", target, memoryview(b"old" * 100), AT)
    room.write("replace", room.inode, memoryview(b"n"), AT)

    room.write("copy", room.inode, target, AT)

    assert room.content.read(target) == b"n"
    assert room.stored(target) == set()


def test_read_whole_hole_gives_zeros(room: Room) -> None:
    for size in (1, room.content._chunk_size, 300):
        room.write("resize", room.inode, 0, AT)
        room.write("resize", room.inode, size, AT)

        assert room.content.read(room.inode) == bytes(size)


@pytest.mark.parametrize("length", [0, 1, 500])
def test_read_into_at_and_behind_the_end_reads_nothing(room: Room, length: int) -> None:
    room.write("replace", room.inode, memoryview(b"abc"), AT)

    for offset in (3, 4, 10_000, SIZE_LIMIT - 500):
        buffer = bytearray(b"?" * length)
        count = room.content.read_into(room.inode, offset, memoryview(buffer))
        assert (count, bytes(buffer)) == (0, b"?" * length)


def test_every_verb_on_missing_inode_says_so_and_changes_nothing(room: Room) -> None:
    content = room.content

    asked = [
        content.size(GONE),
        content.read(GONE),
        content.read_into(GONE, 0, memoryview(bytearray(1))),
        content.read_into(GONE, 0, memoryview(bytearray(500))),
        content.next_data(GONE, 0),
        content.next_hole(GONE, 0),
    ]
    written = [
        room.write("write", GONE, 0, memoryview(b"x" * 200), AT),
        room.write("resize", GONE, 200, AT),
    ]

    assert asked == [None] * 6
    assert written == [False, False]
    assert room.stored(GONE) == set()


@pytest.mark.parametrize("verb", ["write", "resize", "replace"])
@pytest.mark.parametrize("size", [1, 500])
def test_change_stamps_times_and_generation(room: Room, verb: str, size: int) -> None:
    tree: Tree = room.vfs._layers.rooms[1]
    before = tree.read(room.inode)
    assert before is not None
    data = memoryview(b"x" * size)
    args = {"write": (0, data), "resize": (size,), "replace": (data,)}[verb]

    room.write(verb, room.inode, *args, 2 * AT)

    after = tree.read(room.inode)
    assert after is not None
    assert (after.mtime_ns, after.ctime_ns) == (2 * AT, 2 * AT)
    assert (after.atime_ns, after.birthtime_ns) == (AT, AT)
    assert after.generation > before.generation
    assert after.size == size


# --- pure functions -------------------------------------------------------------------


@given(
    data=st.binary(max_size=8),
    at=st.integers(-8, 12),
    length=st.integers(0, 10),
    filled=st.integers(0, 10),
)
def test_place_any_piece_agrees_with_slices(
    data: bytes, at: int, length: int, filled: int
) -> None:
    filled = min(filled, length)
    buffer = bytearray(b"?" * length)

    done = place(data, at, memoryview(buffer), filled)

    begin, end = max(at, filled), min(at + len(data), length)
    if begin >= end:
        assert (done, bytes(buffer)) == (filled, b"?" * length)
        return
    assert done == end
    assert buffer[:filled] == b"?" * filled
    assert buffer[filled:begin] == bytes(begin - filled)
    assert buffer[begin:end] == data[begin - at : end - at]
    assert buffer[end:] == b"?" * (length - end)


@given(old=st.binary(max_size=8), start=st.integers(0, 12), data=st.binary(max_size=8))
def test_spliced_any_piece_agrees_with_bytearray(
    old: bytes, start: int, data: bytes
) -> None:
    expected = bytearray(old.ljust(start, b"\0"))
    expected[start : start + len(data)] = data

    assert spliced(old, start, memoryview(data)) == expected


@pytest.mark.parametrize("size", [0, 1, SIZE_LIMIT])
def test_check_size_possible_passes(size: int) -> None:
    check_size(size, "/a")


@pytest.mark.parametrize(("size", "name"), [(-1, "EINVAL"), (SIZE_LIMIT + 1, "EFBIG")])
def test_check_size_impossible_raises_with_path(size: int, name: str) -> None:
    with pytest.raises(OSError) as caught:
        check_size(size, "/a")

    assert (caught.value.errno, caught.value.filename) == (getattr(errno, name), "/a")
