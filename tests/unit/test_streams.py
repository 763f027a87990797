"""What archives are read from, and their members: streams that give little, or fail."""

from __future__ import annotations

import errno
import io
import os
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from tests.api.test_import_corners import LONG, Told, file, rows, tar_of, told
from tests.faults.archives import block, octal

from stratavfs import VirtualFileSystem, _import_archive
from stratavfs._streams import Counted, Sequential
from stratavfs.archives import ArchiveMember, _blocks, _tar_reader
from stratavfs.errors import BadArchive

if TYPE_CHECKING:
    from collections.abc import Iterator

Vfs = VirtualFileSystem


# --- streams --------------------------------------------------------------------------


class Pipe(io.RawIOBase):
    """Bytes that come two at a time, and never again."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._content.read(min(2, len(buffer)))
        buffer[: len(piece)] = piece
        return len(piece)


def test_counted_pipe_can_be_looked_at_and_is_read_from_its_beginning() -> None:
    stream = Counted(Pipe(b"0123456789"))  # type: ignore[arg-type]

    assert stream.peek(5) == b"01234"
    assert (stream.tell(), stream.length()) == (0, 0)
    assert io.BufferedReader(stream, 3).read(7) == b"0123456"
    assert stream.tell() == stream.length() >= 7


def test_counted_pipe_refuses_to_seek_and_loses_nothing() -> None:
    stream = Counted(Pipe(b"0123"))  # type: ignore[arg-type]
    stream.read(1)

    with pytest.raises(io.UnsupportedOperation):
        stream.seek(0)

    assert (stream.seekable(), stream.tell()) == (False, 1)
    assert stream.readall() == b"123"


def test_counted_file_counts_from_where_it_stands() -> None:
    under = io.BytesIO(b"before0123")
    under.seek(6)
    stream = Counted(under)

    assert (stream.peek(20), stream.length()) == (b"0123", 4)
    assert (stream.readable(), stream.tell()) == (True, 6)
    assert stream.seek(-1, os.SEEK_END) == 9
    assert stream.read() == b"3"


@pytest.mark.parametrize("offset", [0, 3, 6])
def test_sequential_reads_on_from_where_it_is(offset: int) -> None:
    source = Sequential(Pipe(b"012345"), 6)
    skipped = bytearray(offset)

    assert source.read_into(0, memoryview(skipped)) == offset
    assert source.read(offset) == b"012345"[offset:]


def test_sequential_that_is_cut_short_gives_what_there_is() -> None:
    source = Sequential(Pipe(b"012"), 6)
    buffer = bytearray(6)

    assert source.read_into(0, memoryview(buffer)) == 3
    assert bytes(buffer) == b"012\0\0\0"
    assert source.failure is None


# --- members --------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"short", LONG])
def test_import_of_a_member_of_unknown_size_brings_all_of_it(
    mem: Vfs, content: bytes
) -> None:
    report = told(mem, file("a", content, size=-1))

    assert (report.files, report.bytes) == (1, len(content))
    assert mem.read_bytes("/a") == content


@pytest.mark.parametrize("content", [b"same", b"else", b"longer"])
def test_import_of_unknown_size_by_checksum_compares_the_bytes(
    mem: Vfs, content: bytes
) -> None:
    mem.write_bytes("/a", b"same")

    report = told(
        mem, file("a", content, size=-1), checksum=True, on_conflict="replace"
    )

    changed = content != b"same"
    assert (report.files, report.unchanged) == (changed, not changed)
    assert mem.read_bytes("/a") == content


def test_import_of_unknown_size_that_is_a_bomb_is_refused(
    mem: Vfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_import_archive, "HARMLESS", 1 << 20)
    before = rows(mem)

    with pytest.raises(BadArchive, match="max_ratio"):
        told(mem, file("a", LONG, size=-1))

    assert rows(mem) == before


class Failing(io.RawIOBase):
    """A file that cannot be read to its end."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        raise self.error


@pytest.mark.parametrize("size", [-1, 4, 2 << 20])
@pytest.mark.parametrize("error", [ValueError("wrong sum"), OSError(errno.EIO, "bad")])
def test_import_of_a_member_that_cannot_be_read_says_so(
    mem: Vfs, size: int, error: Exception
) -> None:
    before = rows(mem)
    content: Any = Failing(error)

    with pytest.raises(
        OSError, match=r"member 'a' is damaged: wrong sum|bad"
    ) as caught:
        told(mem, (ArchiveMember("a", size=size), content))

    assert isinstance(caught.value, BadArchive) is isinstance(error, ValueError)
    assert rows(mem) == before


def test_import_reads_a_format_through_a_buffer_and_a_text_wrapper(mem: Vfs) -> None:
    class Listed(Told):
        """Each line is a name and a content."""

        @contextmanager
        def read(self, stream: BinaryIO) -> Iterator[Iterator[Any]]:
            lines = io.BufferedReader(stream).read().decode().split()  # type: ignore[type-var]
            yield (file(line[0], line[2:].encode()) for line in lines)

    mem.import_archive(io.BytesIO(b"a=1\nb=22\n"), format=Listed())

    assert (mem.read_bytes("/a"), mem.read_bytes("/b")) == (b"1", b"22")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"2\n0\n3\n3\n9\n".ljust(512, b"\0") + b"123", "map of holes"),
        (b"9999999999\n".ljust(512, b"\0"), "map of holes"),
        (b"400000\n" + b"0" * 505, "damaged|cut short"),
    ],
)
def test_import_of_a_sparse_member_with_an_impossible_map_is_refused(
    mem: Vfs, content: bytes, said: str
) -> None:
    sparse = {"major": "1", "minor": "0", "realsize": "12", "name": "a"}
    pax = {f"GNU.sparse.{key}": value for key, value in sparse.items()}
    before = rows(mem)

    with pytest.raises(BadArchive, match=said):
        mem.import_archive(tar_of(("a", content, {"pax_headers": pax})))

    assert rows(mem) == before


def scattered(count: int) -> tuple[dict[str, Any], bytes, bytes]:
    """Return header, stored bytes and content of a sparse file: every other byte."""
    numbers = "".join(f"{2 * at}\n1\n" for at in range(count))
    size = -(-len(f"{count}\n{numbers}") // 512) * 512
    stored = f"{count}\n{numbers}".encode().ljust(size, b"\0") + b"x" * count
    sparse = {"major": "1", "minor": "0", "realsize": str(2 * count), "name": "a"}
    pax = {f"GNU.sparse.{key}": value for key, value in sparse.items()}
    return {"pax_headers": pax}, stored, b"x\0" * count


def test_import_of_a_sparse_member_with_a_long_map_brings_each_byte(mem: Vfs) -> None:
    header, stored, expected = scattered(1000)

    mem.import_archive(tar_of(("a", stored, header)))

    assert mem.read_bytes("/a") == expected


def test_import_of_a_sparse_member_with_too_long_a_map_is_refused(
    mem: Vfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_blocks, "MOST", 4096)
    header, stored, _ = scattered(1000)
    more = b"".join(map(octal, range(42))) + b"\1"  # GNU's old way, without an end
    old = block(kind=b"S", at_482=b"\1", at_483=octal(99)) + more.ljust(512) * 20
    before = rows(mem)

    for archive in (tar_of(("a", stored, header)), io.BytesIO(old)):
        with pytest.raises(BadArchive, match="map of holes is too long"):
            mem.import_archive(archive)

    assert rows(mem) == before


@pytest.mark.parametrize("size", [4096, 1 << 16])
def test_import_of_tar_takes_some_zeros_behind_its_end_and_refuses_many(
    mem: Vfs, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(_tar_reader, "_BEHIND", 1 << 15)
    archive = io.BytesIO(tar_of(("a", b"1", {})).getvalue() + bytes(size))
    before = rows(mem)

    if size == 4096:
        assert mem.import_archive(archive).files == 1
    else:
        with pytest.raises(BadArchive, match="follow its end"):
            mem.import_archive(archive)
        assert rows(mem) == before


def test_import_of_a_zip_that_lists_its_members_in_another_order_brings_all(
    mem: Vfs,
) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("a", "b", "c"):
            archive.writestr(name, f"of {name}")
        archive.filelist.reverse()
    stream.seek(0)

    mem.import_archive(stream)

    assert [mem.read_text(f"/{name}") for name in "abc"] == ["of a", "of b", "of c"]
