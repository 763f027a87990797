"""The headers of a tar archive: blocks of 512 bytes, and the words that pax adds.

Pure functions on bytes. A ``ValueError`` says what is wrong with them; who reads the
archive says where. No number is taken that is larger than a file can be, and no list
grows but with the bytes that it stands in.
"""

from __future__ import annotations

import math
import re
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

UNIT: Final = 512
"""Bytes of a block, of which there is a whole number of everything."""
MOST: Final = 1 << 20
"""Bytes of what a member has besides its block: names, attributes, a map of holes."""
ATTRIBUTE: Final = "SCHILY.xattr."
"""Begins the key of an extended attribute."""

# Type flags.
FILE, HARD_LINK, SYMLINK, DIRECTORY = b"0", b"1", b"2", b"5"
CHARACTERS, DEVICE, PIPE = b"3", b"4", b"6"
OLD_FILE, CONTIGUOUS, SPARSE = b"\0", b"7", b"S"
DUMPED, LABEL = b"D", b"V"  # GNU's: a directory with what was in it, a tape's name
LONG_NAME, LONG_LINK = b"L", b"K"
PAX, GLOBAL, SOLARIS = b"x", b"g", b"X"

_FIELDS: Final = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12s")
_CHECKSUM: Final = slice(148, 156)
_OCTAL: Final = b"%07o\0%07o\0%07o\0%011o\0%011o\0"  # what stands before it
_BEHIND: Final = struct.Struct("c100s8s32s32s8s8s167s")
_USTAR: Final = b"ustar\0"  # GNU's has a space there, and other things in the prefix
_STAR: Final = b"tar\0"  # ends the block of one that has two times behind the prefix
# Mode, owner, group, size, time and checksum as nearly all write them, and the type.
_NUMBERS: Final = re.compile(
    rb"([0-7]{7})[\0 ]([0-7]{7})[\0 ]([0-7]{7})[\0 ]"
    rb"([0-7]{11})[\0 ]([0-7]{11})[\0 ]([0-7]{6})(?:\0|  | \0)"
)
_FIRST_NUMBER: Final = 100  # where they begin
_LARGEST: Final = (1 << 63) - 1
_SECOND: Final = 1_000_000_000
_RECORD: Final = re.compile(rb"([0-9]{1,7}) ")
_TIME: Final = re.compile(r"(-?)([0-9]{1,20})(?:\.([0-9]*))?")
_HOLES: Final = ("GNU.sparse.offset", "GNU.sparse.numbytes")
_MAP: Final = "GNU.sparse.map"


class Header(NamedTuple):
    """What one block says."""

    path: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    kind: bytes
    target: bytes
    owner: bytes
    group: bytes


# --- reading a block ------------------------------------------------------------------


def parse(head: bytes) -> Header:
    """Return what *head*, the block of a header, says.

    >>> header = parse(build(b"a", FILE, mode=0o644, size=5))
    >>> header.path, header.size, header.kind
    (b'a', 5, b'0')
    """
    fields = _FIELDS.unpack(head)
    name, _, _, _, _, _, _, kind, target, magic = fields[:10]
    owner, group, _, _, prefix, rest = fields[10:]
    mode, uid, gid, size, mtime, checksum = _numbers(head, fields)
    if not _is_sum(checksum, head):
        message = "its checksum differs"
        raise ValueError(message)
    path = _text(name)
    if magic.startswith(_USTAR):
        before = _text(prefix[:131] if rest.endswith(_STAR) else prefix)
        path = before + b"/" + path if before else path
    return Header(
        path,
        mode & 0o7777,
        uid,
        gid,
        checked_size(size),
        mtime,
        kind,
        _text(target),
        _text(owner),
        _text(group),
    )


def _numbers(head: bytes, fields: tuple[bytes, ...]) -> list[int]:
    """Return mode, owner, group, size, time and checksum.

    At one look where they are as usual: a third of what they cost one by one.
    """
    usual = _NUMBERS.match(head, _FIRST_NUMBER)
    if usual:
        return [int(digits, 8) for digits in usual.groups()]
    checksum = number(fields[6])
    if not _is_sum(checksum, head):  # what else is wrong with it is no matter then
        return [0, 0, 0, 0, 0, checksum]
    return [*map(number, fields[1:6]), checksum]


def _is_sum(checksum: int, head: bytes) -> bool:
    """Tell whether *checksum* is that of *head*: of bytes, or, as some did, signed."""
    # Without the zeros, of which most are: 1 us instead of 3.
    total = sum(head.translate(None, b"\0")) - sum(head[_CHECKSUM]) + 8 * ord(" ")
    if checksum == total:
        return True
    summed = head[: _CHECKSUM.start] + head[_CHECKSUM.stop :]
    high = sum(byte > 127 for byte in summed)  # noqa: PLR2004 - the sign's bit
    return checksum == total - 256 * high


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def number(field: bytes) -> int:
    r"""Return the number in a field: octal digits, or from its second bit on binary.

    >>> number(b"0000644\0"), number(b"\x80\0\0\0\0\0\1\0"), number(b"\xff" * 8)
    (420, 256, -1)
    """
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:], "big", signed=False) - (
            1 << 8 * len(field) - 8 if field[0] == 0xFF else 0  # noqa: PLR2004
        )
    digits = _text(field).strip(b" ")
    if digits.strip(b"01234567"):
        message = f"{digits!r} is no number"
        raise ValueError(message)
    return int(digits or b"0", 8)


def checked_size(size: int) -> int:
    if not 0 <= size <= _LARGEST:
        message = f"a size of {size} bytes is impossible"
        raise ValueError(message)
    return size


def is_header(head: bytes) -> bool:
    """Tell whether *head* is one, of whatever kind of tar."""
    try:
        parse(head)
    except (ValueError, struct.error):
        return False
    return True


# --- the words of pax -----------------------------------------------------------------


def records(data: bytes) -> dict[str, bytes]:
    r"""Return the records of an extended header, each a length, a key and a value.

    >>> records(b"12 path=abc\n")
    {'path': b'abc'}
    """
    found: dict[str, bytes] = {}
    holes: list[bytes] = []
    at = 0
    while at < len(data) and data[at]:
        match = _RECORD.match(data, at)
        end = at + int(match[1]) if match else 0
        if match is None or end > len(data) or data[end - 1 : end] != b"\n":
            message = "an extended header is damaged"
            raise ValueError(message)
        key, equals, value = data[match.end() : end - 1].partition(b"=")
        if not equals:
            message = "an extended header is damaged"
            raise ValueError(message)
        word = decoded(key)
        if word in _HOLES:
            holes.append(value)
        else:
            found[word] = value
        at = end
    if holes:
        found[_MAP] = b",".join(holes)
    return found


def decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def whole(text: bytes) -> int:
    """Return the decimal number that *text* is."""
    if not text.isdigit() or len(text) > 20:  # noqa: PLR2004 - as many has 2**64
        message = f"{text[:40]!r} is no number"
        raise ValueError(message)
    return int(text)


def nanoseconds(text: bytes) -> int:
    """Return the seconds in *text* exactly, in nanoseconds.

    >>> nanoseconds(b"-1.5"), nanoseconds(b"1350244992.023960108")
    (-1500000000, 1350244992023960108)
    """
    match = _TIME.fullmatch(decoded(text))
    if match:
        sign, seconds, fraction = match.groups(default="")
        time = int(seconds) * _SECOND + int(fraction[:9].ljust(9, "0"))
        return -time if sign else time
    try:
        time_s = float(text[:40])  # tarfile writes 1e-07
    except ValueError:
        time_s = math.nan
    if not math.isfinite(time_s):
        message = f"{text[:40]!r} is no time"
        raise ValueError(message)
    return int(time_s * _SECOND)


def seconds(time: int) -> bytes:
    """Return *time*, in nanoseconds, as pax writes it.

    >>> seconds(-1_500_000_000), seconds(2_000_000_000)
    (b'-1.5', b'2')
    """
    whole_s, rest = divmod(abs(time), _SECOND)
    text = f"{'-' * (time < 0)}{whole_s}.{rest:09}"
    return text.rstrip("0").rstrip(".").encode()


def attribute_key(name: str) -> str:
    """Return the key of an extended attribute, in which there can be no ``=``.

    >>> attribute_key("user.a=b"), attribute_of("SCHILY.xattr.user.a%3Db")
    ('SCHILY.xattr.user.a%3Db', 'user.a=b')
    """
    return ATTRIBUTE + name.replace("%", "%25").replace("=", "%3D")


def attribute_of(key: str) -> str:
    return key.removeprefix(ATTRIBUTE).replace("%3D", "=").replace("%25", "%")


# --- maps of holes --------------------------------------------------------------------


def extents(numbers: Iterable[int], size: int, stored: int) -> list[int]:
    """Return offsets and lengths of what is stored of a file of *size* bytes.

    They rise, do not overlap, and need no more than the *stored* bytes.
    """
    found = [*numbers]
    end = total = 0
    if len(found) % 2:
        message = "its map of holes is damaged"
        raise ValueError(message)
    for offset, length in zip(found[::2], found[1::2], strict=True):
        if not (end <= offset <= size and 0 <= length <= size - offset):
            message = "its map of holes is damaged"
            raise ValueError(message)
        end = offset + length
        total += length
    if total > stored:
        message = "its map of holes is damaged"
        raise ValueError(message)
    return found


def old_map(head: bytes, take: Callable[[], bytes]) -> tuple[list[int], int]:
    """Return the map of GNU's old format and the file's size; *take* gives blocks."""
    found = _pairs(head[386:482])
    more = head[482]
    while more:
        if len(found) > MOST >> 4:
            message = "its map of holes is too long"
            raise ValueError(message)
        further = take()
        found += _pairs(further[:504])
        more = further[504]
    return found, checked_size(number(head[483:495]))


def map_before(take: Callable[[], bytes]) -> list[int]:
    """Return the map that stands before the bytes, in blocks which *take* gives."""
    text = bytearray(take())
    count = whole(bytes(text.partition(b"\n")[0]))
    if count > MOST:
        message = "its map of holes is damaged"
        raise ValueError(message)
    missing = 2 * count + 1 - text.count(b"\n")
    while missing > 0:
        if len(text) > MOST:
            message = "its map of holes is too long"
            raise ValueError(message)
        part = take()
        text += part
        missing -= part.count(b"\n")
    return [whole(word) for word in bytes(text).split(b"\n")[1 : 2 * count + 1]]


def _pairs(fields: bytes) -> list[int]:
    starts = range(0, len(fields), 24)
    used = [at for at in starts if fields[at] and fields[at + 12]]
    return [number(fields[at : at + 12]) for at in used for at in (at, at + 12)]


# --- writing --------------------------------------------------------------------------


def build(
    path: bytes,
    kind: bytes,
    *,
    mode: int = 0,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    mtime: int = 0,
    target: bytes = b"",
    owner: bytes = b"",
    group: bytes = b"",
) -> bytes:
    """Return a block; whatever does not fit into its field has to stand before it."""
    numbers = _OCTAL % (
        mode if fits(mode, 8) else 0,
        uid if fits(uid, 8) else 0,
        gid if fits(gid, 8) else 0,
        size if fits(size, 12) else 0,
        mtime if fits(mtime, 12) else 0,
    )
    before = path[:100].ljust(100, b"\0") + numbers
    behind = _BEHIND.pack(
        kind,
        target[:100],
        _USTAR + b"00",
        owner[:31],
        group[:31],
        b"0000000\0",
        b"0000000\0",
        b"",
    )
    total = sum(before.translate(None, b"\0")) + sum(behind.translate(None, b"\0"))
    return before + b"%06o\0 " % (total + 8 * ord(" ")) + behind


def fits(value: int, width: int) -> bool:
    """Tell whether *value* goes into a field of so many bytes."""
    return 0 <= value < 1 << 3 * (width - 1)


def record(key: str, value: bytes) -> bytes:
    r"""Return a record of pax.

    >>> record("path", b"abc")
    b'12 path=abc\n'
    """
    rest = b" " + encoded(key) + b"=" + value + b"\n"
    size = len(rest)
    while size != len(rest) + len(str(size)):
        size = len(rest) + len(str(size))
    return b"%d" % size + rest


def padding(size: int) -> int:
    """Return how many zeros follow *size* bytes, to the end of their block.

    >>> padding(0), padding(1), padding(512)
    (0, 511, 0)
    """
    return -size % UNIT
