"""Archives cut short, with other bytes in them, and made to do harm.

Whatever a reader makes of one: it is what was written, or it is refused as a bad one.
"""

from __future__ import annotations

import io
import random
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from tests.faults.archives import (
    END,
    MIB,
    NAMES,
    SAMPLE,
    TARS,
    Members,
    Pipe,
    block,
    bounded_memory,
    directory_at,
    entry,
    info,
    named,
    octal,
    outcome,
    patched,
    read,
    read_in_pieces,
    refusal,
    sample,
    written,
    zipped,
)

from stratavfs import BadArchive
from stratavfs.archives import ArchiveMember, _zip_writer

if TYPE_CHECKING:
    from pathlib import Path

every_format = pytest.mark.parametrize("name", NAMES)
every_tar = pytest.mark.parametrize("name", TARS)
CONTENTS = {b"motd", *(data for _, data in SAMPLE)}  # a link may become a file


# --- cut short ------------------------------------------------------------------------

WHOLE_AT = len(sample("tar").rstrip(b"\0")) // 512 * 512 + 1024
"""From here on the bytes of the sample are zeros that nobody misses."""


def check_cut(name: str, archive: bytes, at: int) -> None:
    found = outcome(name, archive[:at])

    if name == "tar" and at >= WHOLE_AT:
        assert found == SAMPLE, at
    else:
        assert found is None, at


@every_format
def test_archive_cut_short_somewhere_is_refused(name: str) -> None:
    archive = sample(name)
    stride = 1 + len(archive) // 40

    for at in [*range(0, len(archive), stride), len(archive) - 1]:
        check_cut(name, archive, at)


@pytest.mark.slow
@every_format
def test_archive_cut_short_anywhere_is_refused(name: str) -> None:
    archive = sample(name)

    for at in range(len(archive)):
        check_cut(name, archive, at)


@every_tar
def test_archive_cut_short_gives_what_came_before(name: str) -> None:
    found: Members = []
    archive = written(name, [(ArchiveMember("a", size=5), b"hello")] * 2)

    def read_half() -> None:
        cut: Any = Pipe(archive[: -1 - 9000 * (name == "tar")])
        with named(name).read(cut) as members:
            for member, content in members:
                assert content is not None
                found.append((member, content.read()))

    error = refusal(read_half)

    assert "cut short" in str(error)
    assert [data for _, data in found][:1] == [b"hello"]


@pytest.mark.parametrize(
    ("end", "whole"),
    [(0, False), (511, False), (512, True), (700, True), (1024, True), (10240, True)],
)
def test_archive_without_its_end_is_cut_short(end: int, whole: bool) -> None:
    assert (outcome("tar", entry(b"x") + bytes(end)) is not None) is whole


def test_member_cut_short_is_named() -> None:
    error = refusal(read, "tar", block(size=octal(600)) + bytes(512))

    assert "cut short in member 'a'" in str(error)


def test_padding_cut_short_is_refused() -> None:
    assert outcome("tar", (block(size=octal(100)) + bytes(512) + END)[:1023]) is None


# --- other bytes ----------------------------------------------------------------------


def check_mutation(name: str, archive: bytes, at: int, new: int) -> None:
    """Read the sample with another byte in it."""
    found = outcome(name, patched(archive, at, bytes([new])))

    if found is None or found == SAMPLE:
        return
    if name == "zip":  # what its directory says has no checksum, the bytes have
        assert {data for _, data in found} <= CONTENTS, (at, new)
    else:
        # A checksum in the program's format, or the block's; bytes have none in tar.
        assert name == "tar", (at, new)
        assert not is_in_block(at), (at, new)


def is_in_block(at: int) -> bool:
    start = at // 512 * 512
    return sample("tar")[start + 257 : start + 262] == b"ustar"


@every_format
def test_archive_with_another_byte_is_refused_or_the_same(name: str) -> None:
    archive = sample(name)
    chance = random.Random(name)

    for _ in range(60):
        at = chance.randrange(len(archive))
        check_mutation(name, archive, at, chance.randrange(256))


@pytest.mark.slow
@every_format
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_archive_with_another_byte_anywhere_is_refused_or_the_same(
    name: str, seed: int
) -> None:
    archive = sample(name)
    chance = random.Random(seed)

    for at in range(min(len(archive), WHOLE_AT if name == "tar" else MIB)):
        check_mutation(name, archive, at, archive[at] ^ 1 << chance.randrange(8))


@pytest.mark.slow
@every_format
def test_archive_of_pieces_of_itself_is_refused_or_holds_members_of_it(
    name: str,
) -> None:
    archive = sample(name)
    chance = random.Random(7)

    def piece() -> bytes:
        at = chance.randrange(len(archive))
        return archive[at : at + chance.choice((1, 7, 512, 1024, 100_000))]

    with bounded_memory():
        for _ in range(400):
            begin = archive[: chance.randrange(2000)]
            mixed = begin + b"".join(piece() for _ in range(chance.randrange(6)))
            for found in outcome(name, mixed) or ():
                assert name == "tar" or found in SAMPLE


@every_format
@pytest.mark.parametrize("seed", range(5))
def test_noise_is_refused(name: str, seed: int) -> None:
    noise = random.Random(seed).randbytes(3000)
    magic = sample(name)[:4]

    assert outcome(name, noise) is None
    assert outcome(name, magic + noise) is None


# --- bombs ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", TARS[1:])
def test_content_of_a_bomb_takes_no_memory(name: str) -> None:
    size = 64 * MIB
    archive = written(name, [(ArchiveMember("a", size=size), bytes(size))])

    with bounded_memory(16 * MIB):
        total = read_in_pieces(name, archive)

    assert total == size


@pytest.mark.slow
@pytest.mark.parametrize("name", TARS[1:])
def test_zeros_without_an_end_behind_the_archive_are_refused(name: str) -> None:
    tar = written("tar", []) + bytes(20 * MIB)
    format_: Any = named(name)
    packer = format_._packer()
    archive = packer.compress(tar) + packer.flush()

    with bounded_memory(16 * MIB):
        error = refusal(read, name, archive)

    assert "follow its end" in str(error)


@pytest.mark.parametrize("behind", [b"x", entry(b"x") + END, bytes(700) + b"x"])
def test_something_behind_the_end_is_refused(behind: bytes) -> None:
    error = refusal(read, "tar", entry(b"x") + END + behind)

    assert "something follows its end" in str(error)


@every_tar
def test_archive_within_an_archive_is_only_bytes(name: str) -> None:
    inner = sample(name)

    outer = written(name, [(ArchiveMember("a", size=len(inner)), inner)])

    assert read(name, outer)[0][1] == inner


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zip", "tar"])
def test_members_without_number_take_no_memory(name: str, tmp_path: Path) -> None:
    content = io.BytesIO()
    file = tmp_path / "archive"

    with bounded_memory(3 * MIB):
        with open(file, "wb") as out, named(name).write(out) as archive:
            for at in range(10_000):
                archive.add(ArchiveMember(f"directory/{at}"), content)
        with open(file, "rb") as stream, named(name).read(stream) as members:
            count = sum(1 for _ in members)

    assert count == 10_000


# --- zip ------------------------------------------------------------------------------


def test_bomb_in_a_zip_is_refused_before_it_is_unpacked() -> None:
    archive = zipped([("a", b"hello")])
    at = directory_at(archive)
    archive = patched(archive, at + 24, struct.pack("<I", 1 << 30))

    with bounded_memory(MIB):
        error = refusal(read, "zip", archive)

    assert "cannot be packed into" in str(error)


@pytest.mark.slow
def test_content_of_a_bomb_in_a_zip_takes_no_memory() -> None:
    size = 64 * MIB
    archive = written("zip", [(ArchiveMember("a", size=size), bytes(size))])

    with bounded_memory(16 * MIB):
        total = read_in_pieces("zip", archive)

    assert total == size


def test_members_of_a_zip_that_share_their_bytes_are_refused() -> None:
    # As of the bomb that unpacks 42 MB to 4 PB: one kernel, many names.
    data = bytes(1000)
    archive = zipped([(info("a", compress_type=8), data), (info("b"), b"x")])
    at = directory_at(archive)
    second = archive.index(b"PK\1\2", at + 4)
    first = archive[at:second].replace(b"a", b"c")
    forged = archive[:at] + archive[at:second] + first + archive[second:]
    end = forged.rindex(b"PK\5\6")
    total, size = 3, end - at
    forged = patched(forged, end + 8, struct.pack("<HHI", total, total, size))

    with zipfile.ZipFile(io.BytesIO(forged)) as opened:
        assert opened.namelist() == ["a", "c", "b"]
    assert "goes on into what follows it" in str(refusal(read, "zip", forged))


def test_counts_of_a_zip_that_are_wrong_are_refused_or_harmless() -> None:
    archive = sample("zip")
    end = archive.rindex(b"PK\5\6")

    with bounded_memory():
        for field in range(end, end + 22):
            for new in (0, 1, 0x7F, 0xFF):
                found = outcome("zip", patched(archive, field, bytes([new])))
                assert found in (None, SAMPLE), (field, new)


def wide_sample(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return the sample as if it was of many members that take many gigabytes."""
    for limit in ("_MOST", "_MANY"):
        monkeypatch.setattr(_zip_writer, limit, 1)
    return written("zip", SAMPLE)


@pytest.mark.slow
def test_zip_in_64_bits_with_another_byte_is_refused_or_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = wide_sample(monkeypatch)
    at = archive.index(b"PK\1\2")

    assert read("zip", archive) == SAMPLE
    with bounded_memory():
        for byte in range(at, len(archive)):
            for bit in (1, 0x80):
                check_mutation("zip", archive, byte, archive[byte] ^ bit)


def test_zip_in_64_bits_cut_short_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = wide_sample(monkeypatch)

    for at in range(len(archive)):
        assert outcome("zip", archive[:at]) is None, at


def test_zip_in_64_bits_without_its_end_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = wide_sample(monkeypatch).replace(b"PK\6\6", b"PK\0\0")

    assert "its end in 64 bits is missing" in str(refusal(read, "zip", archive))


def test_zip_whose_size_in_64_bits_is_missing_is_refused() -> None:
    archive = zipped([("a", b"hello")])
    wide = patched(archive, directory_at(archive) + 24, b"\xff" * 4)

    assert "a size in 64 bits is missing" in str(refusal(read, "zip", wide))


@pytest.mark.parametrize("field", [28, 30, 32], ids=["name", "extra", "comment"])
def test_zip_whose_directory_goes_on_behind_its_end_is_refused(field: int) -> None:
    archive = zipped([("a", b"hello")])
    longer = patched(archive, directory_at(archive) + field, b"\xff")

    assert "its directory is damaged" in str(refusal(read, "zip", longer))


def test_zip_that_changes_while_it_is_read_is_refused() -> None:
    archive = zipped([(info(name * 60_000), b"") for name in "abcd"])
    stream = io.BytesIO(archive)

    def read_changing() -> None:
        with named("zip").read(stream) as found:
            next(found)
            stream.getbuffer()[:] = bytes(len(archive))
            assert not [*found]

    assert "its directory is damaged" in str(refusal(read_changing))


def test_zip_that_counts_other_members_is_refused() -> None:
    archive = sample("zip")
    counts = archive.rindex(b"PK\5\6") + 8

    error = refusal(read, "zip", patched(archive, counts, b"\5\0\5\0"))

    assert "it has 4 members instead of 5" in str(error)


def test_sum_of_a_zip_is_compared_for_every_byte() -> None:
    data = random.Random(5).randbytes(300)
    archive = zipped([("a", data)])
    at = archive.index(data)

    for offset in range(at, at + len(data), 7):
        assert outcome("zip", patched(archive, offset, b"\0\0\0")) is None


@every_format
def test_refusal_is_an_error_of_an_archive(name: str) -> None:
    with pytest.raises(BadArchive, match="nothing of it can be trusted") as caught:
        read(name, Pipe(sample(name)[:-20] + b"x" * 20))

    assert caught.value.filename == "a pipe"
