"""Headers of tar archives that say the impossible, go on for ever, or lie."""

from __future__ import annotations

from typing import Any

import pytest
from tests.faults.archives import (
    END,
    MIB,
    Pipe,
    block,
    bounded_memory,
    entry,
    filled,
    octal,
    outcome,
    pax,
    read,
    read_in_pieces,
    record,
    refusal,
)

BAD_FIELDS = {
    "checksum": block(checksum=b"0000001\0"),
    "no checksum": block(checksum=b" "),
    "size below zero": block(size=b"\xff" * 12),
    "size beyond files": block(size=b"\x80" + b"\xff" * 11),
    "size of a bit more": block(size=b"\x80\0\0\0\x80" + bytes(7)),
    "size in no number": block(size=b"00000000009\0"),
    "size with a sign": block(size=b"-0000000001\0"),
    "mode in no number": block(mode=b"rwxr-xr\0"),
    "time in no number": block(mtime=b"now\0"),
}


@pytest.mark.parametrize("header", BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_header_that_says_the_impossible_is_refused(header: bytes) -> None:
    first = refusal(read, "tar", header + END)
    later = refusal(read, "tar", entry(b"x") + header + END)

    assert "no tar archive" in str(first)
    assert "a header is damaged" in str(later)


@pytest.mark.parametrize("size", [1 << 20, 1 << 40, (1 << 63) - 1])
def test_size_that_is_not_there_takes_no_memory(size: int) -> None:
    archive = block(size=b"\x80" + size.to_bytes(11, "big")) + bytes(1000)

    with bounded_memory(MIB):
        error = refusal(read_in_pieces, "tar", archive)

    assert "cut short" in str(error)


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g", b"X"])
@pytest.mark.parametrize("size", [MIB + 1, 1 << 40, (1 << 63) - 1])
def test_long_header_is_refused_before_it_is_read(kind: bytes, size: int) -> None:
    class Counted(Pipe):
        given = 0

        def readinto(self, buffer: Any) -> int:
            size = super().readinto(buffer)
            self.given += size
            return size

    header = block(kind=kind, size=b"\x80" + size.to_bytes(11, "big"))
    pipe = Counted(entry(b"x") + header + bytes(3 * MIB))

    with bounded_memory(MIB):
        error = refusal(read, "tar", pipe)

    assert "headers of a member take over" in str(error)
    assert pipe.given < 100_000


@pytest.mark.parametrize("kind", [b"L", b"x", b"g"])
def test_endless_headers_are_refused(kind: bytes) -> None:
    archive = entry(b"x") + entry(kind=kind) * 4000 + entry() + END

    with bounded_memory(8 * MIB):
        error = refusal(read, "tar", archive)

    assert "headers of a member take over" in str(error)


def test_words_for_all_do_not_pile_up() -> None:
    words = [pax((b"k%d" % at, bytes(100_000)), kind=b"g") for at in range(20)]
    archive = b"".join(word + entry() for word in words) + END

    with bounded_memory(16 * MIB):
        error = refusal(read, "tar", archive)

    assert "headers of all take over" in str(error)


BAD_RECORDS = {
    "no length": b"path=x\n",
    "length of nothing": b"0 path=x\n",
    "too short": b"5 path=x\n",
    "in the middle": b"9 path=xx\n",
    "too long": b"99 path=x\n",
    "negative": b"-9 path=x\n",
    "huge": b"99999999999999999999999 path=x\n",
    "no equals": b"8 path!\n",
    "no end": b"10 path=x ",
    "no space": b"10path=xx\n",
    "garbage behind": record(b"path", b"x") + b"x",
}


@pytest.mark.parametrize("kind", [b"x", b"g"])
@pytest.mark.parametrize("records", BAD_RECORDS.values(), ids=BAD_RECORDS)
def test_words_that_are_damaged_are_refused(records: bytes, kind: bytes) -> None:
    error = refusal(read, "tar", entry(records, kind=kind) + entry() + END)

    assert "an extended header is damaged" in str(error)


@pytest.mark.parametrize("word", [b"size", b"uid", b"gid"])
@pytest.mark.parametrize("value", [b"-1", b"x", b"1.5", b"9" * 21, b"9" * 5000, b"+1"])
def test_word_that_is_no_number_is_refused(word: bytes, value: bytes) -> None:
    error = refusal(read, "tar", pax((word, value)) + entry() + END)

    assert "member 'a' has a header that is damaged" in str(error)


def test_word_of_a_size_beyond_files_is_refused() -> None:
    refusal(read, "tar", pax((b"size", b"%d" % (1 << 63))) + entry() + END)


def test_words_without_a_member_are_refused() -> None:
    error = refusal(read, "tar", pax((b"path", b"x")) + END)

    assert "a member is missing" in str(error)


@pytest.mark.parametrize("kind", [b"L", b"x"])
def test_words_cut_short_are_refused(kind: bytes) -> None:
    archive = pax((b"path", b"x"), kind=kind)

    assert outcome("tar", archive[:600]) is None
    assert outcome("tar", archive) is None


# --- maps of holes --------------------------------------------------------------------


def holed(numbers: bytes, size: bytes = b"100", data: bytes = b"x" * 50) -> bytes:
    words = pax((b"GNU.sparse.map", numbers), (b"GNU.sparse.size", size))
    return words + entry(data) + END


BAD_MAPS = {
    "odd": holed(b"1"),
    "no numbers": holed(b"x,y"),
    "empty places": holed(b",,"),
    "below zero": holed(b"-1,5"),
    "overlapping": holed(b"0,10,5,10"),
    "backwards": holed(b"50,10,0,10"),
    "behind the end": holed(b"90,20"),
    "more than is stored": holed(b"0,60"),
    "no size": holed(b"0,1", b"x"),
    "size beyond files": holed(b"0,1", b"%d" % (1 << 63)),
    "huge numbers": holed(b"0,%d" % (1 << 66)),
    "old, backwards": block(
        kind=b"S", at_386=octal(50) + octal(1) + octal(0) + octal(1), at_483=octal(99)
    ),
    "old, no number": block(kind=b"S", at_386=b"x" * 24, at_483=octal(99)),
}


@pytest.mark.parametrize("archive", BAD_MAPS.values(), ids=BAD_MAPS)
def test_map_of_holes_that_is_damaged_is_refused(archive: bytes) -> None:
    error = refusal(read, "tar", archive)

    assert "member 'a' has a header that is damaged" in str(error)


BAD_MAPS_BEFORE = {
    "no count": b"x\n",
    "endless count": b"9" * 512,
    "huge count": b"99999999999\n",
    "too few": b"5\n0\n1\n",
    "no numbers": b"1\nx\ny\n",
}


@pytest.mark.parametrize("numbers", BAD_MAPS_BEFORE.values(), ids=BAD_MAPS_BEFORE)
def test_map_before_the_bytes_that_is_damaged_is_refused(numbers: bytes) -> None:
    words = pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.realsize", b"100"))

    assert outcome("tar", words + entry(filled(numbers)) + END) is None
    assert outcome("tar", words + entry(numbers[:100]) + END) is None
    assert outcome("tar", words + entry() + END) is None


@pytest.mark.slow
def test_map_without_an_end_takes_no_memory() -> None:
    more = b"".join(map(octal, range(42))) + b"\1"
    old = block(kind=b"S", at_482=b"\1", at_483=octal(99)) + more.ljust(512) * 9000
    words = pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.realsize", b"%d" % MIB))
    new = words + entry(filled(b"%d\n" % MIB + b"0\n" * (2 * MIB))) + END

    with bounded_memory():
        errors = [refusal(read, "tar", archive) for archive in (old, new)]

    assert all("map of holes is too long" in str(error) for error in errors)
