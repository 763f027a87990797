"""The streams that somebody else's layer opens: short, failing, and changing."""

from __future__ import annotations

import errno
import io
from typing import Any

import pytest
from tests import ground
from tests.unit.test_foreign import FILE, Least

from stratavfs import LayerFailed, VirtualFileSystem
from stratavfs._openfile import Failing, StreamFile
from stratavfs.records import Inode, VPath

Vfs = VirtualFileSystem


@pytest.fixture
def vfs(make_vfs: Any) -> Vfs:
    made: Vfs = make_vfs(chunk_size=64)
    return made


# --- a stream that is odd -------------------------------------------------------------


class Short(io.RawIOBase):
    """Gives a byte at a time, and fails when it is told to."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0
        self.cause: Exception | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        if self.cause is not None:
            raise self.cause
        self.at = offset + (len(self.content) if whence == 2 else 0)
        return self.at

    def readinto(self, buffer: Any) -> int:
        data = self.content[self.at : self.at + 1]
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)


@pytest.fixture
def stream() -> Short:
    return Short(bytes(range(200)))


@pytest.fixture
def over(vfs: Vfs, stream: Short) -> Vfs:
    layer = Least(f=Inode(FILE, size=200))
    layer.open = lambda path: stream
    vfs.add_underlay(layer, name="odd")
    return vfs


def test_stream_that_gives_less_than_asked_is_read_whole(
    over: Vfs, stream: Short
) -> None:
    with over.open("/f", "rb", 0) as file:
        assert (file.read(3), file.seek(-3, 2), file.read(9)) == (
            *(b"\0\1\2", 197),
            bytes([197, 198, 199]),
        )
        assert file.read(1) == b""


def test_stream_that_gives_less_than_asked_comes_up_whole(
    over: Vfs, stream: Short
) -> None:
    over.chmod("/f", 0o600)

    assert over.read_bytes("/f") == bytes(range(200))
    assert stream.closed


def test_stream_that_fails_names_layer_and_path(over: Vfs, stream: Short) -> None:
    with over.open("/f", "rb", 0) as file:
        stream.cause = OSError(errno.ESTALE, "disk pulled out")
        for call in (file.read, lambda: file.read(3), lambda: file.seek(0, 2)):
            with pytest.raises(LayerFailed, match=r"odd.*pulled") as caught:
                call()
            assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, "/f")
        stream.cause = None
        assert file.read(2) == b"\0\1"


def test_stream_that_fails_while_a_file_comes_up_changes_nothing(
    over: Vfs, stream: Short
) -> None:
    before = ground.dump(over._store._cx)
    stream.cause = OSError(errno.ESTALE, "disk pulled out")

    with pytest.raises(LayerFailed, match="odd"):
        over.chmod("/f", 0o600)

    assert ground.dump(over._store._cx) == before
    assert over.which_layer("/f") == "odd"


@pytest.mark.parametrize("mode", ["ab", "a+", "rb", "r+b"])
def test_stream_that_fails_while_it_is_opened_keeps_nothing_open(
    over: Vfs, stream: Short, mode: str
) -> None:
    stream.cause = OSError(errno.ESTALE, "disk pulled out")
    (top, *_) = over._layers.stack.underlays

    try:
        over.open("/f", mode, 0 if "b" in mode else -1).close()
    except LayerFailed:
        assert mode != "rb"

    assert top._handles == 0


@pytest.mark.parametrize("size", [3, 100, 100_000])
@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_stream_that_changes_its_size_comes_up_whole_or_is_refused(
    vfs: Vfs, size: int, change: int
) -> None:
    """A log that somebody goes on writing, or cuts."""

    class Moving(io.BytesIO):
        looks = 0

        def seek(self, offset: int, whence: int = 0) -> int:
            if whence == 2:
                self.looks += 1
                if self.looks == 2:
                    content = self.getvalue()
                    super().seek(0)
                    self.write((content + b"y" * change) if change > 0 else b"")
                    self.truncate(size + change)
            return super().seek(offset, whence)

    layer = Least(f=Inode(FILE, size=size))
    layer.open = lambda path: Moving(b"x" * size)
    vfs.add_underlay(layer, name="odd")

    try:
        vfs.chmod("/f", 0o600)
    except OSError as error:
        assert error.errno == errno.EBUSY  # noqa: PT017 - one of two ends
        assert vfs.which_layer("/f") == "odd"
    else:
        content = vfs.read_bytes("/f")
        assert content in (b"x" * size, b"x" * size + b"y" * change, b"x" * (size - 1))
    assert vfs.check() == []


# --- the file behind a handle ---------------------------------------------------------


def test_stream_file_answers_from_any_position() -> None:
    file = StreamFile(io.BytesIO(b"0123456789"), Failing("odd", VPath("/f")))
    view = memoryview(bytearray(4))

    assert (file.size(), file.read(7), file.read(20)) == (10, b"789", b"")
    assert (file.read_into(2, view), bytes(view)) == (4, b"2345")
    assert (file.read_into(8, view), bytes(view[:2])) == (2, b"89")
    assert [file.next_data(at) for at in (0, 9, 10, 11)] == [0, 9, None, None]
    assert [file.next_hole(at) for at in (0, 9, 10, 11)] == [10, 10, None, None]
    file.close()


def test_stream_file_of_nothing_has_no_data() -> None:
    file = StreamFile(io.BytesIO(), Failing("odd", VPath("/f")))

    assert (file.size(), file.read(0), file.next_data(0)) == (0, b"", None)
    assert file.next_hole(0) is None
