"""Whole files: read, write, copy, touch, truncate, remove."""

from __future__ import annotations

import errno
import shutil
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs import InvalidArgument, InvalidType, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = [0, 1, 2, 3, 4, 63, 64, 65, 4095, 4096, 4097]


def payload(size: int) -> bytes:
    return bytes(n % 251 for n in range(size))


@pytest.mark.parametrize("size", SIZES)
def test_write_bytes_then_read_bytes_gives_them_back(
    vfs: VirtualFileSystem, size: int
) -> None:
    data = payload(size)

    count = vfs.write_bytes("/f", data)

    assert count == size
    assert vfs.read_bytes("/f") == data
    assert vfs.getsize("/f") == size


@pytest.mark.parametrize("old", [0, 3, 5000])
@pytest.mark.parametrize("new", [0, 2, 4097])
def test_write_bytes_over_a_file_replaces_all_of_it(
    vfs: VirtualFileSystem, old: int, new: int
) -> None:
    vfs.write_bytes("/f", b"x" * old)

    vfs.write_bytes("/f", payload(new))

    assert vfs.read_bytes("/f") == payload(new)


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 200_000])
def test_write_bytes_around_the_default_chunk_size_reads_back(
    mem: VirtualFileSystem, size: int
) -> None:
    mem.write_bytes("/f", payload(size))

    assert mem.read_bytes("/f") == payload(size)


@pytest.mark.parametrize(
    "content",
    [
        bytearray(b"array"),
        memoryview(b"0123456789")[2:7],
        memoryview(b"0123456789")[::2],
        array("H", [1, 2, 3]),
        memoryview(bytes(12)).cast("B", (3, 4)),
        b"",
        array("i"),
    ],
    ids=["bytearray", "slice", "strided", "array", "2d", "empty", "empty array"],
)
def test_write_bytes_of_any_buffer_stores_its_bytes(
    vfs: VirtualFileSystem, content: Any
) -> None:
    count = vfs.write_bytes("/f", content)

    assert vfs.read_bytes("/f") == memoryview(content).tobytes()
    assert count == memoryview(content).nbytes


@pytest.mark.parametrize("content", [None, "text", 3, [1, 2], object()], ids=repr)
def test_write_bytes_of_no_buffer_is_refused_and_changes_nothing(
    mem: VirtualFileSystem, content: Any
) -> None:
    mem.write_bytes("/f", b"kept")
    before = mem.stat("/f")

    with pytest.raises(InvalidType):
        mem.write_bytes("/f", content)

    assert mem.read_bytes("/f") == b"kept"
    assert mem.stat("/f") == before


def test_write_text_returns_characters_and_stores_utf8(mem: VirtualFileSystem) -> None:
    count = mem.write_text("/f", "één 😀")

    assert count == 5
    assert mem.read_bytes("/f") == "één 😀".encode()
    assert mem.read_text("/f") == "één 😀"


def test_write_text_in_another_encoding_reads_back_in_it(
    mem: VirtualFileSystem,
) -> None:
    mem.write_text("/f", "één", encoding="latin-1")

    assert mem.read_bytes("/f") == b"\xe9\xe9n"
    assert mem.read_text("/f", encoding="latin-1") == "één"


def test_read_text_translates_newlines_as_open_does(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/f", b"a\r\nb\rc\n")

    assert mem.read_text("/f") == "a\nb\nc\n"
    assert mem.read_text("/f", newline="") == "a\r\nb\rc\n"
    assert mem.read_text("/f", newline="\r") == "a\r\nb\rc\n"


@pytest.mark.parametrize(
    ("newline", "stored"), [("\n", b"a\nb"), ("\r\n", b"a\r\nb"), ("", b"a\nb")]
)
def test_write_text_with_newline_ends_lines_so(
    mem: VirtualFileSystem, newline: str, stored: bytes
) -> None:
    mem.write_text("/f", "a\nb", newline=newline)

    assert mem.read_bytes("/f") == stored


def test_read_text_that_cannot_be_decoded_says_so(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/f", b"\xff")

    with pytest.raises(UnicodeDecodeError):
        mem.read_text("/f")

    assert mem.read_text("/f", errors="replace") == "\ufffd"


def test_write_text_that_cannot_be_encoded_changes_nothing(
    mem: VirtualFileSystem,
) -> None:
    mem.write_text("/f", "kept")

    with pytest.raises(UnicodeEncodeError):
        mem.write_text("/f", "é", encoding="ascii")

    assert mem.read_text("/f") == "kept"


@pytest.mark.parametrize("content", [None, b"bytes", 3])
def test_write_text_of_no_text_is_refused(mem: VirtualFileSystem, content: Any) -> None:
    with pytest.raises(InvalidType):
        mem.write_text("/f", content)

    assert mem.listdir() == []


@pytest.mark.parametrize("newline", ["x", "\n\r"])
def test_text_with_an_impossible_newline_is_refused(
    mem: VirtualFileSystem, newline: str
) -> None:
    mem.write_text("/f", "kept")

    with pytest.raises(InvalidArgument):
        mem.write_text("/f", "new", newline=newline)
    with pytest.raises(InvalidArgument):
        mem.read_text("/f", newline=newline)

    assert mem.read_text("/f") == "kept"


@pytest.mark.parametrize("encoding", ["no-such", "base64"])
def test_text_in_an_encoding_that_is_none_is_refused(
    mem: VirtualFileSystem, encoding: str
) -> None:
    mem.write_text("/f", "kept")

    with pytest.raises(LookupError):
        mem.write_text("/f", "new", encoding)
    with pytest.raises(LookupError):
        mem.read_text("/f", encoding)

    assert mem.read_text("/f") == "kept"


def test_write_makes_missing_parents(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/a/b/c", b"x")

    assert mem.isdir("/a/b")
    assert mem.stat("/a").st_mode == 0o40755


def test_write_keeps_mode_and_other_attributes(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/f", b"old")
    mem.chmod("/f", 0o600)
    mem.setxattr("/f", "user.x", b"1")
    inode = mem.stat("/f").st_ino

    mem.write_bytes("/f", b"new")

    assert mem.stat("/f").st_mode == 0o100600
    assert mem.stat("/f").st_ino == inode
    assert mem.getxattr("/f", "user.x") == b"1"


# --- copy -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_copy_gives_equal_bytes_that_change_apart(
    vfs: VirtualFileSystem, size: int
) -> None:
    vfs.write_bytes("/a", payload(size))

    vfs.copy("/a", "/b")
    vfs.write_bytes("/a", b"changed")

    assert vfs.read_bytes("/b") == payload(size)


def test_copy_returns_the_path_of_the_copy(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/a", b"x")
    mem.mkdir("/d")

    assert mem.copy("a", "b/") == "/b"
    assert mem.copy("/a", "/d") == "/d/a"
    assert mem.copy2("/a", "/d/new") == "/d/new"


def dressed(make_vfs: Callable[..., VirtualFileSystem], clock: Any) -> Any:
    vfs = make_vfs(clock=clock)
    vfs.write_bytes("/a", b"x")
    vfs.chmod("/a", 0o640)
    vfs.utime("/a", ns=(111, 222))
    vfs.setxattr("/a", "user.x", b"1")
    vfs.chown("/a", "ann", "staff")
    return vfs


def test_copy_takes_permission_bits_alone(
    make_vfs: Callable[..., VirtualFileSystem], clock: Any
) -> None:
    vfs = dressed(make_vfs, clock)

    vfs.copy("/a", "/b")

    found = vfs.stat("/b")
    assert found.st_mode == 0o100640
    assert found.st_mtime_ns == found.st_birthtime_ns > 1_000_000
    assert vfs.listxattr("/b") == []
    assert found.owner == ""


def test_copy2_takes_times_and_attributes_too(
    make_vfs: Callable[..., VirtualFileSystem], clock: Any
) -> None:
    vfs = dressed(make_vfs, clock)

    vfs.copy2("/a", "/b")

    found = vfs.stat("/b")
    assert found.st_mode == 0o100640
    assert (found.st_atime_ns, found.st_mtime_ns) == (111, 222)
    assert vfs.getxattr("/b", "user.x") == b"1"
    assert found.owner == ""  # as shutil: a copy belongs to whoever copies


def test_copy_over_a_file_keeps_its_inode(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/a", b"new")
    mem.write_bytes("/b", b"old and longer")
    mem.link("/b", "/c")

    mem.copy("/a", "/b")

    assert mem.read_bytes("/c") == b"new"
    assert mem.samefile("/b", "/c")


@pytest.mark.parametrize("verb", ["copy", "copy2"])
def test_copy_of_a_link_follows_it_or_not(mem: VirtualFileSystem, verb: str) -> None:
    mem.write_bytes("/a", b"x")
    mem.symlink("a", "/link")

    getattr(mem, verb)("/link", "/file")
    getattr(mem, verb)("/link", "/other", follow_symlinks=False)

    assert not mem.islink("/file")
    assert mem.readlink("/other") == "a"


@pytest.mark.parametrize("verb", ["copy", "copy2"])
def test_copy_onto_itself_is_refused(mem: VirtualFileSystem, verb: str) -> None:
    mem.write_bytes("/a", b"x")
    mem.link("/a", "/b")
    before = mem.stat("/a")

    for other in ("/a", "/b"):
        with pytest.raises(shutil.SameFileError) as caught:
            getattr(mem, verb)("/a", other)
        assert (caught.value.filename, caught.value.filename2) == ("/a", other)

    assert mem.stat("/a") == before


def test_copy_of_a_directory_is_refused(mem: VirtualFileSystem) -> None:
    mem.mkdir("/d")

    with pytest.raises(IsADirectoryError) as caught:
        mem.copy("/d", "/e")

    assert caught.value.filename == "/d"
    assert mem.listdir() == ["d"]


def test_copy_of_a_hole_stays_one(make_vfs: Callable[..., VirtualFileSystem]) -> None:
    vfs = make_vfs(":memory:", 4)
    with vfs.open("/a", "wb") as f:
        f.seek(1 << 40)
        f.write(b"x")

    vfs.copy("/a", "/b")

    assert vfs.getsize("/b") == (1 << 40) + 1
    with vfs.open("/b", "rb") as f:
        f.seek(-2, 2)
        assert f.read() == b"\0x"


# --- touch and truncate ---------------------------------------------------------------


def test_touch_makes_an_empty_file_with_a_mode(mem: VirtualFileSystem) -> None:
    mem.touch("/d/f", 0o600)

    assert mem.read_bytes("/d/f") == b""
    assert mem.stat("/d/f").st_mode == 0o100600


def test_touch_sets_the_times_of_what_is_there(
    make_vfs: Callable[..., VirtualFileSystem], clock: Any
) -> None:
    vfs = make_vfs(clock=clock)
    vfs.write_bytes("/f", b"kept")
    before = vfs.stat("/f")

    vfs.touch("/f")

    after = vfs.stat("/f")
    assert after.st_mtime_ns > before.st_mtime_ns
    assert after.st_atime_ns == after.st_mtime_ns
    assert after.st_birthtime_ns == before.st_birthtime_ns
    assert vfs.read_bytes("/f") == b"kept"


def test_touch_of_an_existing_file_without_exist_ok_is_refused(
    mem: VirtualFileSystem,
) -> None:
    mem.touch("/f")
    before = mem.stat("/f")

    with pytest.raises(FileExistsError) as caught:
        mem.touch("/f", exist_ok=False)

    assert (caught.value.errno, caught.value.filename) == (errno.EEXIST, "/f")
    assert mem.stat("/f") == before


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 64, 100, 5000])
def test_truncate_cuts_or_fills_with_zeros(vfs: VirtualFileSystem, size: int) -> None:
    vfs.write_bytes("/f", b"12345")

    vfs.truncate("/f", size)

    assert vfs.read_bytes("/f") == b"12345"[:size].ljust(size, b"\0")


def test_truncate_up_after_down_shows_no_old_bytes(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/f", b"secret" * 20)

    vfs.truncate("/f", 2)
    vfs.truncate("/f", 120)

    assert vfs.read_bytes("/f") == b"se" + bytes(118)


@pytest.mark.parametrize("length", [None, 1.5, "1"])
def test_truncate_to_no_number_is_refused(mem: VirtualFileSystem, length: Any) -> None:
    mem.write_bytes("/f", b"kept")

    with pytest.raises(TypeError):
        mem.truncate("/f", length)

    assert mem.read_bytes("/f") == b"kept"


# --- remove ---------------------------------------------------------------------------


def test_remove_takes_the_file_away(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/f", payload(100))

    vfs.remove("/f")

    assert vfs.listdir() == []
    assert not vfs.exists("/f")


@pytest.mark.no_slow_contracts("single")
def test_unlink_is_remove() -> None:
    assert VirtualFileSystem.unlink is VirtualFileSystem.remove


def test_remove_of_a_link_keeps_its_target(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/f", b"kept")
    mem.symlink("f", "/link")

    mem.remove("/link")

    assert mem.read_bytes("/f") == b"kept"
    assert not mem.lexists("/link")
