"""Zip archives made to harm: bombs, overlaps, names that lead out, endless lists."""

from __future__ import annotations

import errno
import io
import math
import pickle
import struct
import tracemalloc
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.layers.archives import (
    DEFLATED,
    STORED,
    archive_of,
    layer_of,
    member,
    refusal,
    tree,
)

from stratavfs import VirtualFileSystem
from stratavfs.layers import ZipLayer, _members

if TYPE_CHECKING:
    from pathlib import Path

LARGE = 300 << 20  # more than a member may unpack to, whatever its ratio


# --- members that unpack to much ------------------------------------------------------


def bomb(size: int, compression: int = DEFLATED) -> bytes:
    """Return an archive of one member, ``bomb``, of *size* zeros."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        with archive.open("bomb", "w") as opened:
            for _ in range(size >> 20):
                opened.write(bytes(1 << 20))
        archive.writestr("small", b"small")
    return file.getvalue()


@pytest.fixture(scope="module")
def bombed() -> bytes:
    return bomb(LARGE)


@pytest.mark.slow
def test_open_of_bomb_is_refused_and_names_the_remedy(
    bombed: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "bomb.zip"
    path.write_bytes(bombed)
    layer = ZipLayer(path)

    error = refusal(lambda: layer.open("/bomb"))

    assert (error.errno, error.filename) == (errno.EFBIG, str(path))
    assert "'bomb'" in str(error)
    assert "max_ratio" in str(error)
    assert layer.find("/bomb").size == LARGE  # type: ignore[union-attr]
    assert layer.open("/small").read() == b"small"


@pytest.mark.slow
@pytest.mark.parametrize("max_ratio", [1031, 1e9, math.inf])
def test_open_of_bomb_is_granted_by_a_larger_ratio(
    bombed: bytes, max_ratio: float
) -> None:
    layer = ZipLayer(io.BytesIO(bombed), max_ratio=max_ratio)

    with layer.open("/bomb") as file:
        assert file.read(1000) == bytes(1000)
        assert file.seek(LARGE - 10) == LARGE - 10
        assert file.read() == bytes(10)


@pytest.mark.slow
def test_open_of_what_grows_little_is_granted_at_any_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_members, "_HARMLESS", 1000)
    data = bytes(range(256)) * 40

    assert layer_of(member("a", data, compress_type=DEFLATED)).open("/a").read() == data
    layer = layer_of(member("a", bytes(150_000), compress_type=DEFLATED))
    assert refusal(lambda: layer.open("/a")).errno == errno.EFBIG


def test_open_of_small_bomb_is_granted_whatever_its_ratio() -> None:
    layer = layer_of(member("a", bytes(20 << 20), compress_type=DEFLATED))

    with layer.open("/a") as file:
        assert file.read(10) == bytes(10)


@pytest.mark.slow
def test_copy_up_of_bomb_is_refused_and_changes_nothing(bombed: bytes) -> None:
    with VirtualFileSystem() as vfs:
        vfs.add_underlay(ZipLayer(io.BytesIO(bombed)), name="stranger")

        error = refusal(lambda: vfs.chmod("/bomb", 0o600))

        assert (error.errno, error.filename) == (errno.EFBIG, "/bomb")
        assert "stranger" in str(error)
        assert vfs.which_layer("/bomb") == "stranger"
        assert vfs.check() == []


def claiming(data: bytes, compression: int, **claims: int) -> ZipLayer:
    """Return an archive of *data* that claims something else of it everywhere."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("a", data)
        for name, value in claims.items():
            setattr(archive.filelist[0], name, value)
    return ZipLayer(file)


@pytest.mark.parametrize(
    ("compression", "most"),
    [
        (STORED, 1),
        (DEFLATED, 1032),
        (zipfile.ZIP_BZIP2, 1 << 21),
        (zipfile.ZIP_LZMA, 1 << 13),
    ],
    ids=["stored", "deflated", "bzip2", "lzma"],
)
def test_open_of_member_that_claims_more_than_it_can_give_fails(
    compression: int, most: int
) -> None:
    layer = claiming(bytes(3000), compression, file_size=most * 3100 + (1 << 17))

    error = refusal(lambda: layer.open("/a"))

    assert error.errno == errno.EIO
    assert "'a' is damaged" in str(error)
    assert "cannot be packed" in str(error)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_open_of_member_that_gives_as_much_as_it_can_is_granted(
    compression: int,
) -> None:
    layer = layer_of(member("a", bytes(8 << 20), compress_type=compression))

    with layer.open("/a") as file:
        assert file.seek((8 << 20) - 5) == (8 << 20) - 5
        assert file.read() == bytes(5)


def test_read_of_packed_member_with_huge_dictionary_takes_little_memory() -> None:
    content = bytearray(archive_of([member("a", b"x" * 500, compress_type=14)]))
    header = content.index(b"\x09\x04\x05\x00")  # the settings of LZMA follow
    struct.pack_into("<I", content, header + 5, 0xFFFFFFFF)
    layer = ZipLayer(io.BytesIO(content))

    tracemalloc.start()
    try:
        with layer.open("/a") as file:
            assert file.read() == b"x" * 500
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


# --- members that overlap -------------------------------------------------------------


def local(name: bytes, packed: bytes, size: int, crc: int, method: int = 0) -> bytes:
    header = struct.pack(
        "<4s5H3I2H",
        b"PK\3\4",
        20,
        0,
        method,
        0,
        0,
        crc,
        len(packed),
        size,
        len(name),
        0,
    )
    return header + name + packed


def central(
    name: bytes, offset: int, packed: int, size: int, crc: int, method: int = 0
) -> bytes:
    head = struct.pack("<4s6H", b"PK\1\2", 20, 20, 0, method, 0, 0)
    body = struct.pack("<3I5H2I", crc, packed, size, len(name), 0, 0, 0, 0, 0, offset)
    return head + body + name


def archive_at(members: bytes, *records: bytes) -> bytes:
    """Return an archive of these bytes, and what its directory says of them."""
    directory = b"".join(records)
    sizes = (len(records), len(records), len(directory), len(members))
    return members + directory + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, *sizes, 0)


def test_open_of_members_that_share_their_bytes_fails() -> None:
    data = b"shared" * 100
    crc = zlib.crc32(data)
    one = local(b"a", data, len(data), crc)
    names = (b"a", b"b", b"c")
    layer = ZipLayer(
        io.BytesIO(
            archive_at(
                one, *(central(name, 0, len(data), len(data), crc) for name in names)
            )
        )
    )

    for name in "abc":
        error = refusal(lambda name=name: layer.open(f"/{name}"))  # type: ignore[misc]

        assert error.errno == errno.EIO
        assert f"'{name}' is damaged" in str(error)
        assert "goes on into what follows" in str(error)


def test_open_of_member_that_holds_others_fails() -> None:
    """As in Fifield's bomb: each member quotes the headers of those that follow."""
    kernel = b"kernel" * 100
    crc = zlib.crc32(kernel)
    inner = local(b"b", kernel, len(kernel), crc)
    outer = local(b"a", inner, len(inner), zlib.crc32(inner))
    start = len(outer) - len(inner)
    layer = ZipLayer(
        io.BytesIO(
            archive_at(
                outer,
                central(b"a", 0, len(inner), len(inner), zlib.crc32(inner)),
                central(b"b", start, len(kernel), len(kernel), crc),
            )
        )
    )

    assert refusal(lambda: layer.open("/a")).errno == errno.EIO
    assert layer.open("/b").read() == kernel


def test_open_of_member_that_goes_on_into_the_directory_fails() -> None:
    data = b"data" * 10
    crc = zlib.crc32(data)
    content = local(b"a", data, len(data), crc)
    layer = ZipLayer(
        io.BytesIO(
            archive_at(content, central(b"a", 0, len(data) + 9, len(data) + 9, crc))
        )
    )

    assert refusal(lambda: layer.open("/a")).errno == errno.EIO


@pytest.mark.parametrize("size", [1 << 31, (1 << 32) - 2])
def test_open_of_member_that_goes_on_behind_the_file_fails(size: int) -> None:
    data = b"data" * 10
    content = local(b"a", data, len(data), zlib.crc32(data))
    layer = ZipLayer(io.BytesIO(archive_at(content, central(b"a", 0, size, size, 0))))

    error = refusal(lambda: layer.open("/a"))

    assert error.errno == errno.EIO


def test_open_of_two_members_of_one_name_and_place_is_granted() -> None:
    data = b"once"
    crc = zlib.crc32(data)
    record = central(b"a", 0, len(data), len(data), crc)
    content = archive_at(local(b"a", data, len(data), crc), record, record)

    assert tree(ZipLayer(io.BytesIO(content))) == {"/a": data}


def test_open_of_members_one_after_another_is_granted() -> None:
    members = [member(f"{number}", b"x" * number) for number in range(30)]

    found = tree(ZipLayer(io.BytesIO(b"before" * 100 + archive_of(members))))

    assert found == {f"/{number}": b"x" * number for number in range(30)}


def test_link_that_overlaps_is_skipped() -> None:
    target = b"target" * 3
    crc = zlib.crc32(target)
    link = struct.pack("<I", 0o120777 << 16)
    records = []
    for name in (b"a", b"b"):
        record = bytearray(central(name, 0, len(target), len(target), crc))
        record[5] = 3  # made on Unix
        record[38:42] = link
        records.append(bytes(record))
    content = archive_at(local(b"a", target, len(target), crc), *records)

    layer = ZipLayer(io.BytesIO(content))

    assert tree(layer) == {}
    assert [name for name, _ in layer.skipped] == ["a", "b"]


# --- archives of many members ---------------------------------------------------------


def many(count: int) -> bytes:
    return archive_of(member(f"{number}") for number in range(count))


@pytest.mark.parametrize("immutable", [False, True])
def test_make_of_archive_with_too_many_members_is_refused(
    tmp_path: Path, immutable: bool
) -> None:
    path = tmp_path / "many.zip"
    path.write_bytes(many(11))

    error = refusal(lambda: ZipLayer(path, immutable=immutable, max_members=10))

    assert (error.errno, error.filename) == (errno.EFBIG, str(path))
    assert "max_members" in str(error)
    assert len(tree(ZipLayer(path, max_members=11))) == 11


def test_layer_refuses_an_archive_that_has_grown_too_many_members(
    tmp_path: Path,
) -> None:
    path = tmp_path / "many.zip"
    path.write_bytes(many(10))
    layer = ZipLayer(path, max_members=10)
    path.write_bytes(many(11))

    assert refusal(lambda: layer.kinds("/")).errno == errno.EFBIG


def test_make_of_archive_with_a_huge_directory_reads_none_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_members, "_TAIL", 1 << 10)
    comment = member("a", comment=b"c" * 60_000)
    file = io.BytesIO(archive_of([comment]))

    assert refusal(lambda: ZipLayer(file, max_members=3)).errno == errno.EFBIG
    assert tree(ZipLayer(file)) == {"/a": b""}


def test_archive_inside_an_archive_is_not_counted() -> None:
    inner = many(50)

    layer = ZipLayer(
        io.BytesIO(archive_of([member("inner.zip", inner)])), max_members=1
    )

    assert tree(layer) == {"/inner.zip": inner}


@pytest.mark.parametrize("claimed", [1 << 31, (1 << 32) - 2, 100_000])
def test_make_of_archive_that_claims_a_longer_directory_is_refused(
    claimed: int,
) -> None:
    content = bytearray(many(3))
    struct.pack_into("<I", content, len(content) - 22 + 12, claimed)

    assert refusal(lambda: ZipLayer(io.BytesIO(content))).errno == errno.EINVAL


@pytest.mark.slow
def test_archive_of_many_members_takes_a_kibibyte_each() -> None:
    content = io.BytesIO(many(20_000))

    tracemalloc.start()
    try:
        layer = ZipLayer(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(layer.kinds("/")) == 20_000
    assert peak < 20_000 * 1500


# --- options --------------------------------------------------------------------------


def test_options_survive_pickling(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(many(3))
    layer = ZipLayer(path, immutable=True, max_ratio=7.5, max_members=4)

    copy = pickle.loads(pickle.dumps(layer))

    found = (copy.location, copy.immutable, copy.max_ratio, copy.max_members)
    assert found == (str(path), True, 7.5, 4)


# --- names that lead out --------------------------------------------------------------

SLIPS = [
    "../x",
    "a/../../x",
    "..",
    "../",
    "a/..",
    "/../x",
    "//../x",
    "a/b/../../../x",
    "./../x",
    "a/./../x",
]


@pytest.mark.parametrize("name", SLIPS)
@pytest.mark.parametrize("system", [0, 3])
def test_name_that_leads_up_is_skipped(name: str, system: int) -> None:
    layer = layer_of(member(name, b"slip", create_system=system), member("ok", b"ok"))

    assert tree(layer) == {"/ok": b"ok"}
    assert layer.skipped == [(name, "its name leads up")]


@pytest.mark.parametrize("name", [slip.replace("/", "\\") for slip in SLIPS])
@pytest.mark.parametrize("system", [0, 10, 14])
def test_name_that_leads_up_by_backslashes_is_skipped(name: str, system: int) -> None:
    layer = layer_of(member(name, b"slip", create_system=system), member("ok", b"ok"))

    assert tree(layer) == {"/ok": b"ok"}


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "//etc/passwd", "\\\\host\\share\\x", "C:\\x", "C:/x"]
)
@pytest.mark.parametrize("system", [0, 3])
def test_absolute_name_stays_inside(name: str, system: int) -> None:
    layer = layer_of(member(name, b"inside", create_system=system))

    with VirtualFileSystem() as vfs:
        vfs.add_underlay(layer)
        found = [path for path in vfs.glob("/**") if vfs.isfile(path)]

        assert len(found) == 1
        assert ".." not in found[0].split("/")
        assert vfs.read_bytes(found[0]) == b"inside"


def test_link_that_leads_out_stays_inside() -> None:
    fields: dict[str, Any] = {"external_attr": 0o120777 << 16}
    layer = layer_of(
        member("out", b"../../../../etc/passwd", **fields),
        member("absolute", b"/etc/passwd", **fields),
    )
    with VirtualFileSystem() as vfs:
        vfs.add_underlay(layer)
        for path in ("/out", "/absolute"):
            assert refusal(lambda path=path: vfs.read_bytes(path)).errno == errno.ENOENT  # type: ignore[misc]
