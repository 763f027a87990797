"""Streams that are packed: in several pieces, with garbage behind, cut short."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
from typing import TYPE_CHECKING

import pytest
from tests.faults.archives import TARS, Pipe, named, read, refusal, sample, written

from stratavfs import InvalidArgument
from stratavfs.archives import _packed

if TYPE_CHECKING:
    from collections.abc import Callable

every_packing = pytest.mark.parametrize("name", TARS[1:])


def pack(name: str, data: bytes) -> bytes:
    if name == "tar.zst":
        packer = _packed.zstd()
        return packer.compress(data) + packer.flush()
    packers: dict[str, Callable[[bytes], bytes]] = {
        "tar.gz": gzip.compress,
        "tar.bz2": bz2.compress,
        "tar.xz": lzma.compress,
    }
    return packers[name](data)


@every_packing
@pytest.mark.parametrize("most", [1, 777, 1 << 20])
def test_packed_in_several_streams_is_read(name: str, most: int) -> None:
    tar = sample("tar")
    archive = b"".join(
        pack(name, tar[at : at + 4000]) for at in range(0, len(tar), 4000)
    )

    assert read(name, Pipe(archive + pack(name, b""), most)) == read("tar", tar)


@every_packing
def test_packed_with_zeros_behind_is_read(name: str) -> None:
    archive = pack(name, sample("tar")[:700]) + bytes(100)
    archive += pack(name, sample("tar")[700:]) + bytes(100_000)

    assert read(name, archive) == read("tar", sample("tar"))


@every_packing
@pytest.mark.parametrize("garbage", [b"x", b"\0x", bytes(20_000) + b"garbage" * 99])
def test_packed_with_garbage_behind_is_refused(name: str, garbage: bytes) -> None:
    error = refusal(read, name, pack(name, sample("tar")) + garbage)

    assert "what it is packed in is damaged" in str(error) or "cut short" in str(error)
    assert error.filename == "<stream>"


@every_packing
def test_packed_with_a_stream_behind_that_is_cut_short_is_refused(name: str) -> None:
    again = pack(name, bytes(1000))

    assert "cut short" in str(refusal(read, name, sample(name) + again[:-1]))


@every_packing
@pytest.mark.parametrize("data", [b"", b"hello", b"x" * 600, b"\0" * 512 + b"x" * 512])
def test_packed_without_an_archive_in_it_is_refused(name: str, data: bytes) -> None:
    refusal(read, name, pack(name, data))


@every_packing
@pytest.mark.parametrize("data", [b"", b"\0\0", b"hello" * 100])
def test_packed_that_is_not_is_refused(name: str, data: bytes) -> None:
    refusal(read, name, data)


@every_packing
def test_read_names_the_file(name: str) -> None:
    assert refusal(read, name, Pipe(sample(name)[:-1])).filename == "a pipe"


def test_packed_so_that_unpacking_takes_much_memory_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 28}]
    archive = lzma.compress(sample("tar")[:0], filters=filters)
    archive += lzma.compress(sample("tar"), filters=filters)

    error = refusal(read, "tar.xz", archive)

    assert "Memory usage limit" in str(error)


def test_memory_that_runs_out_is_no_fault_of_the_archive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Starved:
        eof, needs_input, unused_data = False, True, b""

        def decompress(self, data: bytes, max_length: int) -> bytes:
            raise MemoryError

    monkeypatch.setattr(named("tar.gz"), "_unpacker", Starved)

    with pytest.raises(MemoryError):
        read("tar.gz", sample("tar.gz"))


def test_zstd_that_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "stratavfs.archives._zstd", raising=False)
    stream = io.BytesIO(b"\x28\xb5\x2f\xfd")

    with pytest.raises(InvalidArgument, match=r"pip install 'stratavfs\[zstd\]'"):
        read("tar.zst", stream)
    with pytest.raises(InvalidArgument, match=r"pip install 'stratavfs\[zstd\]'"):
        written("tar.zst", [])

    assert stream.tell() == 0
