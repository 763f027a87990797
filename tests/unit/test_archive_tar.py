"""Tar archives of every kind of writer, read; and ours, read by others."""

from __future__ import annotations

import io
import tarfile
from stat import (
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    S_IMODE,
)

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.faults.archives import (
    END,
    MOMENT,
    Members,
    block,
    entry,
    filled,
    named,
    octal,
    outcome,
    pax,
    read,
    refusal,
    written,
)

from stratavfs.archives import ArchiveMember

HUGE = 1 << 40


def only(archive: bytes) -> ArchiveMember:
    ((member, _),) = read("tar", archive)
    return member


def one(member: ArchiveMember, data: bytes | None = None) -> ArchiveMember:
    """Return *member* as it comes back."""
    return only(written("tar", [(member, data)]))


def by_tarfile(tar_format: int, *members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tar_format) as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


# --- there and back -------------------------------------------------------------------

names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1
).filter(lambda name: name not in (".", ".."))
paths = st.lists(names, min_size=1, max_size=9).map("/".join)
times = st.integers(-(1 << 63), (1 << 63) - 1)
numbers = st.integers(0, (1 << 32) - 2)
attributes = st.dictionaries(names, st.binary(max_size=40), max_size=3)


@settings(max_examples=30)
@given(
    path=paths,
    mode=st.integers(0, 0o7777),
    data=st.binary(max_size=1100),
    time=times,
    uid=numbers,
    gid=numbers,
    owner=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    xattrs=attributes,
    atime=times | st.none(),
)
def test_file_comes_back_as_it_was(
    path: str,
    mode: int,
    data: bytes,
    time: int,
    uid: int,
    gid: int,
    owner: str,
    xattrs: dict[str, bytes],
    atime: int | None,
) -> None:
    member = ArchiveMember(
        path, S_IFREG | mode, len(data), time, None, None, uid, gid, owner, owner
    )._replace(xattrs=xattrs, atime_ns=atime)

    assert read("tar", written("tar", [(member, data)])) == [(member, data)]


@settings(max_examples=30)
@given(path=paths, target=paths)
def test_links_and_directories_come_back_as_they_were(path: str, target: str) -> None:
    members: Members = [
        (ArchiveMember(path, S_IFDIR | 0o1777, mtime_ns=MOMENT), None),
        (ArchiveMember(path, S_IFLNK | 0o777, target="../" + target), None),
        (ArchiveMember(path, S_IFREG | 0o600, first=target), None),
    ]

    assert read("tar", written("tar", members)) == members


def test_add_of_one_more_name_reads_no_content() -> None:
    content = io.BytesIO(b"hello")
    file = io.BytesIO()

    with named("tar").write(file) as archive:
        archive.add(ArchiveMember("b", size=5, first="a"), content)

    assert content.tell() == 0
    assert only(file.getvalue()) == ArchiveMember("b", first="a")


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 65_536, 200_001])
def test_size_of_every_kind_comes_back(size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)

    found = read("tar", written("tar", [(ArchiveMember("a", size=size), data)]))

    assert found[0][1] == data[:size]


@pytest.mark.parametrize("length", [99, 100, 101, 254, 255])
def test_name_and_target_of_every_length_come_back(length: int) -> None:
    member = ArchiveMember("x" * length, S_IFLNK, target="y" * length)

    assert one(member) == member


def test_name_that_is_not_utf8_comes_with_surrogates() -> None:
    archive = entry(name=b"caf\xe9") + END

    member = only(archive)

    assert member.path == "caf\udce9"
    assert one(member).path == member.path


def test_directory_with_or_without_a_slash_is_written_the_same() -> None:
    plain, slashed = (ArchiveMember(path, S_IFDIR) for path in ("d", "d/"))

    assert written("tar", [(plain, None)]) == written("tar", [(slashed, None)])


def test_attributes_that_take_too_much_are_refused_where_they_are_written() -> None:
    member = ArchiveMember("a", xattrs={"user.a": bytes(1 << 20)})

    with pytest.raises(OSError, match="leave 'xattr' out") as caught:
        written("tar", [(member, b"")])

    assert caught.value.filename == "a"


def test_attributes_that_just_fit_come_back() -> None:
    member = ArchiveMember("a", xattrs={"user.a": bytes((1 << 20) - 600)})

    assert one(member, b"") == member


# --- what others write ----------------------------------------------------------------

FORMATS = {
    "ustar": tarfile.USTAR_FORMAT,
    "gnu": tarfile.GNU_FORMAT,
    "pax": tarfile.PAX_FORMAT,
}


@pytest.mark.parametrize("tar_format", FORMATS.values(), ids=FORMATS)
def test_tarfiles_archives_are_read(tar_format: int) -> None:
    long = "d/" + "x" * 90 + "/" + "y" * 90
    record = tarfile.TarInfo(long)
    record.mode, record.mtime, record.uid, record.gid = 0o4751, 12345, 77, 88
    record.uname, record.gname = "somebody", "some"
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "t" * 99
    hard = tarfile.TarInfo("hard")
    hard.type, hard.linkname = tarfile.LNKTYPE, "h" * 99
    directory = tarfile.TarInfo("dir")
    directory.type = tarfile.DIRTYPE

    archive = by_tarfile(
        tar_format, (record, b"hello"), (link, b""), (hard, b""), (directory, b"")
    )

    file, symlink, name, made = (member for member, _ in read("tar", archive))
    assert file == ArchiveMember(
        long, S_IFREG | 0o4751, 5, 12345 * 10**9, None, None, 77, 88, "somebody", "some"
    )
    assert symlink == ArchiveMember("link", S_IFLNK | 0o644, target="t" * 99)
    assert name == ArchiveMember("hard", S_IFREG | 0o644, first="h" * 99)
    assert made == ArchiveMember("dir", S_IFDIR | 0o644)


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tarfiles_large_numbers_and_long_links_are_read(tar_format: int) -> None:
    record = tarfile.TarInfo("ü" * 100)
    record.type, record.linkname = tarfile.SYMTYPE, "ß" * 100
    record.mtime, record.uid = -5, 1 << 31

    member = only(by_tarfile(tar_format, (record, b"")))

    assert (member.path, member.target) == ("ü" * 100, "ß" * 100)
    assert (member.mtime_ns, member.uid) == (-5 * 10**9, 1 << 31)


@pytest.mark.parametrize(
    ("kind", "bits"),
    [(b"3", S_IFCHR), (b"4", S_IFBLK), (b"6", S_IFIFO), (b"Q", 0), (b"M", 0)],
)
def test_special_member_is_told_by_its_type(kind: bytes, bits: int) -> None:
    archive = entry(b"", kind=kind, name=b"special") + entry(b"x") + END

    (special, content), (after, data) = read("tar", archive)

    assert (special.path, S_IFMT(special.mode)) == ("special", bits)
    assert (content, after.path, data) == (None, "a", b"x")


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_member_without_content_may_tell_a_size(kind: bytes) -> None:
    archive = block(kind=kind, size=octal(99), target=b"t") + entry(b"x") + END

    assert [member.path for member, _ in read("tar", archive)] == ["a", "a"]


@pytest.mark.parametrize("kind", [b"Q", b"D"])
def test_member_of_another_kind_has_its_content_passed(kind: bytes) -> None:
    archive = entry(b"y" * 700, kind=kind) + entry(b"x") + END

    assert [data for _, data in read("tar", archive)] == [None, b"x"]


@pytest.mark.parametrize("kind", [b"0", b"\0", b"7"])
def test_file_of_every_kind_is_read(kind: bytes) -> None:
    assert read("tar", entry(b"x", kind=kind) + END)[0][1] == b"x"


@pytest.mark.parametrize("kind", [b"0", b"\0"])
def test_file_with_a_slash_at_its_end_is_a_directory(kind: bytes) -> None:
    member = only(entry(name=b"d/", kind=kind) + END)

    assert (member.path, S_IFMT(member.mode)) == ("d", S_IFDIR)


def test_label_of_a_tape_is_no_member() -> None:
    assert read("tar", entry(kind=b"V", name=b"backup") + END) == []


@pytest.mark.parametrize(
    ("magic", "path"), [(b"ustar\x0000", "p/a"), (b"ustar  \0", "a"), (b"", "a")]
)
def test_prefix_counts_where_the_format_has_one(magic: bytes, path: str) -> None:
    assert only(entry(prefix=b"p", magic=magic) + END).path == path


def test_prefix_of_star_ends_before_its_times() -> None:
    archive = entry(at_345=b"p", at_476=b"00000000000 00000000000 ", at_508=b"tar\0")

    assert only(archive + END).path == "p/a"


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "./a", "a//b", "."])
def test_name_is_left_as_the_archive_has_it(name: str) -> None:
    assert only(entry(name=name.encode()) + END).path == name


def test_mode_with_type_bits_loses_them() -> None:
    member = only(entry(mode=b"0100755\0") + END)

    assert (S_IFMT(member.mode), S_IMODE(member.mode)) == (S_IFREG, 0o755)


@pytest.mark.parametrize(
    "field", [b"   1750\0", b"1750 \0  ", b"0001750 ", b"01750\0xx"]
)
def test_number_of_old_writers_is_read(field: bytes) -> None:
    assert only(entry(uid=field) + END).uid == 0o1750


def test_number_in_binary_is_read() -> None:
    time = b"\xff" * 11 + b"\xfe"

    member = only(entry(uid=b"\x80" + bytes(4) + b"\1\2\3", mtime=time) + END)

    assert (member.uid, member.mtime_ns) == (0x010203, -2_000_000_000)


@pytest.mark.parametrize("uid", [b"\xff" * 8, b"\x80\0\0\xff\xff\xff\xff\xff"])
def test_owner_that_no_number_can_be_is_nobody(uid: bytes) -> None:
    assert only(entry(uid=uid, gid=uid) + END)[6:8] == (65534, 65534)


def test_checksum_of_signed_bytes_is_taken() -> None:
    plain = block(name=b"\xe4")
    signed = int(plain[148:154], 8) - 256

    assert (
        only(block(name=b"\xe4", checksum=b"%06o\0 " % signed) + END).path == "\udce4"
    )


# --- the words of pax -----------------------------------------------------------------


def test_word_of_all_holds_until_a_member_says_otherwise() -> None:
    everywhere = pax((b"uname", b"all"), (b"gname", b"all"), kind=b"g")
    own = pax((b"uname", b"own"), (b"gname", b""))

    archive = everywhere + entry() + own + entry(group=b"field") + entry() + END

    owners = [(member.owner, member.group) for member, _ in read("tar", archive)]
    assert owners == [("all", "all"), ("own", "field"), ("all", "all")]


def test_words_of_all_alone_are_an_empty_archive() -> None:
    assert read("tar", pax((b"comment", b"c" * 40), kind=b"g") + END) == []


@pytest.mark.parametrize(
    ("text", "time"),
    [
        (b"1350244992.023960108", 1350244992023960108),
        (b"1.5", 1_500_000_000),
        (b"-1.5", -1_500_000_000),
        (b"-0.000000001", -1),
        (b"1.0000000019", 1_000_000_001),
        (b"7.", 7_000_000_000),
        (b"1e-07", 100),
    ],
)
def test_time_in_words_is_exact(text: bytes, time: int) -> None:
    assert only(pax((b"mtime", text)) + entry() + END).mtime_ns == time


@pytest.mark.parametrize("text", [b"nan", b"inf", b"-", b"1.2.3", b"x", b"1e999"])
def test_time_that_is_none_is_refused(text: bytes) -> None:
    error = refusal(read, "tar", pax((b"mtime", text)) + entry() + END)

    assert "member 'a' has a header that is damaged" in str(error)


def test_size_in_words_counts() -> None:
    archive = pax((b"size", b"3")) + block() + filled(b"abc") + END

    assert read("tar", archive)[0][1] == b"abc"


def test_attribute_with_an_odd_name_comes_back() -> None:
    xattrs = {"user.a=b": b"\0\n=", "user.%3D": b"", "user.ü": b"12 x=y\n"}
    member = ArchiveMember("a", xattrs=xattrs)

    assert one(member, b"") == member


def test_header_of_solaris_is_read_as_one_of_pax() -> None:
    archive = pax((b"path", b"long"), kind=b"X") + entry() + END

    assert only(archive).path == "long"


# --- files with holes -----------------------------------------------------------------

HOLED = bytes(1000) + b"one" * 100 + bytes(3000) + b"two" * 100 + bytes(400)
MAP = [1000, 300, 4300, 300]
STORED = b"one" * 100 + b"two" * 100


def pairs(numbers: list[int]) -> bytes:
    return b"".join(map(octal, numbers))


def test_holes_in_gnus_old_way_are_zeros() -> None:
    size = octal(len(HOLED))
    archive = entry(STORED, kind=b"S", at_386=pairs(MAP), at_483=size) + END

    assert read("tar", archive) == [
        (ArchiveMember("a", S_IFREG | 0o644, len(HOLED)), HOLED)
    ]


def test_holes_in_gnus_old_way_may_go_on_in_more_blocks() -> None:
    extents = [(at, 1) for at in range(0, 100, 2)]
    flat = [number for extent in extents for number in extent]
    first = block(
        kind=b"S",
        size=octal(50),
        at_386=pairs(flat[:8]),
        at_482=b"\1",
        at_483=octal(101),
    )
    more = [pairs(flat[8:50]) + b"\1", pairs(flat[50:92]) + b"\1", pairs(flat[92:])]
    blocks = b"".join(part.ljust(512, b"\0") for part in more)

    ((member, data),) = read("tar", first + blocks + filled(b"x" * 50) + END)

    assert (member.size, data) == (101, b"x\0" * 50 + b"\0")


def test_holes_in_the_words_of_pax_are_zeros() -> None:
    size = b"%d" % len(HOLED)
    zero = [(b"GNU.sparse.offset", b"GNU.sparse.numbytes")[at % 2] for at in range(4)]
    numbers = [b"%d" % number for number in MAP]
    oldest = pax((b"GNU.sparse.size", size), *zip(zero, numbers, strict=True))
    older = pax((b"GNU.sparse.size", size), (b"GNU.sparse.map", b",".join(numbers)))
    major = pax(
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", b"a"),
        (b"GNU.sparse.realsize", size),
    )
    before = filled(b"\n".join([b"2", *numbers, b""]))

    archive = oldest + entry(STORED) + older + entry(STORED)
    archive += major + entry(before + STORED, name=b"GNUSparseFile.1/a") + END

    expected = ArchiveMember("a", S_IFREG | 0o644, len(HOLED))
    assert read("tar", archive) == [(expected, HOLED)] * 3


def test_hole_of_any_size_takes_no_memory() -> None:
    archive = pax((b"GNU.sparse.size", b"%d" % HUGE), (b"GNU.sparse.map", b"0,1"))
    archive += entry(b"x") + END

    with named("tar").read(io.BytesIO(archive)) as members:
        member, content = next(members)
        assert content is not None
        start = content.read(1 << 17)

    assert (member.size, start) == (HUGE, b"x" + bytes((1 << 17) - 1))


def test_archive_ends_with_a_whole_record() -> None:
    assert len(written("tar", [])) == 10240
    assert outcome("tar", END) == []
