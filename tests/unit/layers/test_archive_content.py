"""Zip archives: members read in place, in bounds, and damage told."""

from __future__ import annotations

import errno
import io
import os
import random
import threading
import tracemalloc
import zipfile
import zlib
from binascii import crc32
from typing import TYPE_CHECKING

import pytest
from tests.unit.layers.archives import (
    DATA,
    DEFLATED,
    STORED,
    archive_of,
    every_compression,
    every_packing,
    layer_of,
    member,
    refusal,
    tree,
    zipped,
)

from stratavfs.layers import ZipLayer, _members

if TYPE_CHECKING:
    from pathlib import Path


class Watched(io.BytesIO):
    """A file that tells how many bytes were read from it."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def declared(path: Path, data: bytes, compression: int, **fields: int) -> ZipLayer:
    """Return an archive of *data* whose directory says something else of it."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a", data)
        for name, value in fields.items():
            setattr(archive.filelist[0], name, value)
    return ZipLayer(path)


# --- reading --------------------------------------------------------------------------


@every_compression
def test_open_reads_at_any_place(compression: int) -> None:
    chance = random.Random(2)

    with layer_of(member("a", DATA, compress_type=compression)).open("/a") as file:
        for _ in range(30):
            begin, size = chance.randrange(len(DATA)), chance.randrange(50_000)

            assert file.seek(begin) == begin
            assert file.read(size) == DATA[begin : begin + size]
        assert file.seek(-3, io.SEEK_END) == len(DATA) - 3
        assert file.read() == DATA[-3:]
        assert file.read() == b""


@every_compression
def test_open_reads_like_any_buffered_reader(compression: int) -> None:
    lines = b"one\ntwo\n\nfour"

    with layer_of(member("a", lines, compress_type=compression)).open("/a") as file:
        assert isinstance(file, io.BufferedReader)
        assert file.name == "a"
        assert file.readable()
        assert file.seekable()
        assert not file.writable()
        assert list(file) == lines.splitlines(keepends=True)
        assert (file.seek(4), file.peek(1)[:3], file.tell()) == (4, b"two", 4)
        buffer = bytearray(3)
        assert file.readinto(buffer) == 3
        assert buffer == b"two"
        assert (file.seek(100), file.read(1), file.tell()) == (100, b"", 100)
        with pytest.raises(OSError):
            file.seek(-1)
    with pytest.raises(ValueError, match="closed"):
        file.read()


def test_open_of_a_stored_member_reads_no_more_than_is_asked_for() -> None:
    archive = Watched(zipped(bytes(10_000_000)))
    layer = ZipLayer(archive)
    archive.taken = 0

    with layer.open("/a") as file:
        file.seek(9_000_000)
        file.read(10)

    assert archive.taken <= 30 + io.DEFAULT_BUFFER_SIZE


@every_packing
def test_open_of_a_packed_member_does_not_start_again_for_a_small_step_back(
    compression: int,
) -> None:
    archive = Watched(zipped(DATA, compression))
    layer = ZipLayer(archive)
    archive.taken = 0

    with layer.open("/a") as file:
        for begin in range(0, 90_000, 1000):
            assert file.seek(0, io.SEEK_END) == len(DATA)  # as a stack asks for sizes
            file.seek(begin)
            assert file.read(1000) == DATA[begin : begin + 1000]

    assert archive.taken < 200_000


@every_packing
@pytest.mark.slow
def test_open_of_a_packed_member_holds_little_however_far_it_expands(
    compression: int,
) -> None:
    layer = ZipLayer(io.BytesIO(zipped(bytes(20_000_000), compression)))
    tracemalloc.start()
    try:
        with layer.open("/a") as file:
            file.seek(-10, io.SEEK_END)
            assert file.read(20) == bytes(10)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 10_000_000  # LZMA's dictionary alone takes eight


@every_compression
def test_open_never_reads_more_than_was_declared(
    tmp_path: Path, compression: int
) -> None:
    crc = crc32(DATA[:1000])
    layer = declared(tmp_path / "a", DATA, compression, file_size=1000, CRC=crc)

    assert tree(layer) == {"/a": DATA[:1000]}


@every_compression
def test_open_compares_the_checksum_of_as_much_as_was_declared(
    tmp_path: Path, compression: int
) -> None:
    layer = declared(tmp_path / "a", DATA, compression, file_size=1000)

    with layer.open("/a") as file:
        assert "checksum" in str(refusal(file.read))


def test_open_reads_archives_with_something_before_and_after_them() -> None:
    with io.BytesIO() as file:
        file.write(b"#!/bin/sh\n" * 9 + zipped(b"hello"))
        with zipfile.ZipFile(file, "a") as archive:
            archive.comment = b"PK" * 30
        layer = ZipLayer(file)

        assert tree(layer) == {"/a": b"hello"}


def test_open_files_of_one_file_object_do_not_move_each_other() -> None:
    names = [str(number) for number in range(8)]
    layer = layer_of(
        *(member(name, name.encode() * 50_000, compress_type=8) for name in names)
    )
    found: dict[str, bytes] = {}
    start = threading.Barrier(len(names))

    def read(name: str) -> None:
        with layer.open("/" + name) as file:
            start.wait()
            found[name] = b"".join(iter(lambda: file.read(999), b""))

    threads = [threading.Thread(target=read, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {name: name.encode() * 50_000 for name in names}


def test_read_of_a_shared_file_object_is_done_by_one_thread_at_a_time() -> None:
    free: list[bool] = []

    class Shared(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            asking = threading.Thread(
                target=lambda: free.append(layer._lock.acquire(blocking=False))
            )
            asking.start()
            asking.join()
            return super().read(size)

    archive = Shared(zipped(b"hello"))
    layer = ZipLayer(io.BytesIO(zipped(b"hello")))
    layer._shared = archive

    assert tree(layer) == {"/a": b"hello"}
    assert free
    assert not any(free)


def test_close_leaves_a_file_object_open() -> None:
    archive = io.BytesIO(zipped(b"hello"))
    layer = ZipLayer(archive)

    layer.open("/a").close()
    layer.close()

    assert not archive.closed
    assert tree(layer) == {"/a": b"hello"}


def test_layer_holds_no_file_open(tmp_path: Path, nothing_leaks: None) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(DATA, DEFLATED))

    layer = ZipLayer(tmp_path / "a.zip")
    assert tree(layer) == {"/a": DATA}
    for path in ("/b", "/"):
        with pytest.raises(FileNotFoundError):
            layer.open(path)

    assert (tmp_path / "a.zip").read_bytes() == zipped(DATA, DEFLATED)


def test_inflate_gives_what_it_holds_after_all_was_taken() -> None:
    packed = zlib.compress(bytes(375), wbits=-15)  # 115 follow its last byte
    stream = _members._Inflate()

    pieces = [stream.decompress(packed, 1)]
    while not stream.eof and not stream.needs_input:
        pieces.append(stream.decompress(b"", 1))

    assert b"".join(pieces) == bytes(375)


# --- damage ---------------------------------------------------------------------------


@every_compression
def test_read_of_a_damaged_member_names_it(
    tmp_path: Path, compression: int, nothing_leaks: None
) -> None:
    damaged = bytearray(zipped(DATA, compression))
    damaged[1000:1100] = bytes(100)
    (tmp_path / "a.zip").write_bytes(damaged)
    layer = ZipLayer(tmp_path / "a.zip")

    with layer.open("/a") as file:
        error = refusal(file.read)
        again = [refusal(file.read) for _ in range(2) if file.seek(0) == 0]

    assert (error.errno, error.filename) == (errno.EIO, str(tmp_path / "a.zip"))
    assert "'a' is damaged" in str(error)
    assert [str(each) for each in again] == [str(error)] * 2
    assert layer.find("/a") is not None


def test_read_of_a_part_of_a_damaged_stored_member_is_not_checked() -> None:
    layer = ZipLayer(io.BytesIO(zipped(b"x" * 20_000).replace(b"xx", b"yy", 1)))

    with layer.open("/a") as file:
        assert file.seek(10_000) == 10_000
        assert file.read() == b"x" * 10_000
        assert file.seek(0) == 0
        assert "checksum" in str(refusal(file.read))


@every_compression
def test_read_of_a_member_shorter_than_declared_fails(
    tmp_path: Path, compression: int
) -> None:
    layer = declared(tmp_path / "a", DATA, compression, file_size=len(DATA) + 1)

    with layer.open("/a") as file:
        assert file.read(1000) == DATA[:1000]
        assert refusal(file.read).errno == errno.EIO


@every_packing
def test_read_after_a_failed_one_does_not_give_other_bytes(
    tmp_path: Path, compression: int
) -> None:
    layer = declared(tmp_path / "a", DATA, compression, CRC=1)

    with layer.open("/a") as file:
        assert file.seek(len(DATA) - 10) == len(DATA) - 10
        errors = [refusal(file.read) for _ in range(3)]

    assert {error.errno for error in errors} == {errno.EIO}
    assert all("checksum" in str(error) for error in errors)


@every_packing
def test_read_of_a_member_with_less_packed_than_it_needs_fails(
    tmp_path: Path, compression: int
) -> None:
    layer = declared(tmp_path / "a", DATA, compression, compress_size=50_000)

    with layer.open("/a") as file:
        assert "ends too early" in str(refusal(file.read))


@pytest.mark.parametrize("compression", [1, 9, 99])
def test_read_of_an_unknown_compression_names_it(
    tmp_path: Path, compression: int
) -> None:
    layer = declared(tmp_path / "a", b"hello", STORED, compress_type=compression)

    with layer.open("/a") as file:
        error = refusal(file.read)

    assert error.errno == errno.EIO
    assert f"compression {compression} is not known" in str(error)


@pytest.mark.parametrize("offset", [1, 10_000, 1 << 62, (1 << 64) - 2])
def test_open_of_a_member_that_is_not_at_its_place_fails(
    tmp_path: Path, offset: int, nothing_leaks: None
) -> None:
    layer = declared(tmp_path / "a", b"hello", STORED, header_offset=offset)

    error = refusal(lambda: layer.open("/a"))

    assert error.errno == errno.EIO
    assert "'a' is damaged" in str(error)


def test_open_of_a_member_that_would_begin_before_the_file_fails() -> None:
    layer = ZipLayer(io.BytesIO(zipped(b"hello")[20:]))

    assert refusal(lambda: layer.open("/a")).errno == errno.EIO


def test_open_of_an_encrypted_member_is_refused(
    tmp_path: Path, nothing_leaks: None
) -> None:
    layer = declared(tmp_path / "a.zip", b"hello", STORED, flag_bits=1)

    error = refusal(lambda: layer.open("/a"))

    assert isinstance(error, PermissionError)
    assert (error.errno, error.filename) == (errno.EACCES, str(tmp_path / "a.zip"))
    assert "'a' is encrypted" in str(error)
    found = layer.find("/a")
    assert found is not None
    assert found.size == 5


NO_ARCHIVES = {
    "empty": b"",
    "text": b"no archive" * 100,
    "truncated": zipped(DATA)[:-10],
    "end alone": b"PK\5\6" + b"\xff" * 18,
    "name": archive_of([member("caf\xe9")]).replace(b"\xc3", b"\xff"),
}


@pytest.mark.parametrize("data", NO_ARCHIVES.values(), ids=NO_ARCHIVES)
def test_make_of_no_archive_raises_and_names_it(
    tmp_path: Path, data: bytes, nothing_leaks: None
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(data)

    error = refusal(lambda: ZipLayer(path))

    assert (error.errno, error.filename) == (errno.EINVAL, str(path))
    assert "zip archive" in str(error)
    assert path.read_bytes() == data


def test_make_of_no_archive_in_a_file_object_raises() -> None:
    error = refusal(lambda: ZipLayer(io.BytesIO(b"no archive")))

    assert (error.errno, error.filename) == (errno.EINVAL, None)


def test_make_of_a_missing_file_raises(tmp_path: Path) -> None:
    error = refusal(lambda: ZipLayer(tmp_path / "missing.zip"))

    assert isinstance(error, FileNotFoundError)
    assert error.filename == str(tmp_path / "missing.zip")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows says permission denied")
def test_make_of_a_directory_raises(tmp_path: Path) -> None:
    assert isinstance(refusal(lambda: ZipLayer(tmp_path)), IsADirectoryError)


@every_compression
@pytest.mark.slow
def test_damage_of_any_kind_is_an_oserror(compression: int) -> None:
    good = archive_of(
        member(name, DATA[99_000:101_000], compress_type=compression)
        for name in ("a", "b/c", "d/")
    )
    directory = good.index(b"PK\1\2")
    chance = random.Random(compression)

    for _ in range(300):
        damaged = bytearray(good)
        begin = chance.choice([0, directory])
        damaged[chance.randrange(begin, len(good))] = chance.randrange(256)
        try:
            tree(ZipLayer(io.BytesIO(damaged)))
        except OSError as error:
            assert error.errno in (errno.EIO, errno.EINVAL, errno.EACCES)  # noqa: PT017
