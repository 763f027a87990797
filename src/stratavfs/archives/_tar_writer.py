"""Tar archives, written from end to end as a pipe takes them.

The format is pax: what does not fit into a member's block stands before it as a word,
times to the nanosecond and extended attributes too. The same members give the same
bytes.
"""

from __future__ import annotations

from errno import E2BIG
from itertools import starmap
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_IMODE
from typing import TYPE_CHECKING, BinaryIO, Final

from stratavfs import errors
from stratavfs.archives import _blocks as blocks
from stratavfs.archives._packed import check_content, check_whole, copied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stratavfs.archives._packed import Packing
    from stratavfs.archives.protocol import ArchiveMember

_RECORD: Final = 20 * blocks.UNIT  # what is written to a tape at once
_FLAGS: Final = {
    S_IFREG: blocks.FILE,
    S_IFDIR: blocks.DIRECTORY,
    S_IFLNK: blocks.SYMLINK,
}


class TarWriter:
    """Writes members to *out*, each after the words of pax that it needs."""

    def __init__(self, out: Packing) -> None:
        self._out = out
        self._written = 0
        self._member = ""  # that is being written

    def add(self, member: ArchiveMember, content: BinaryIO | None = None) -> None:
        """Add *member*; the bytes of one more name of a file are not looked at."""
        check_whole(self._member)
        kind = _kind_of(member)
        size = member.size if kind == blocks.FILE else 0
        if kind == blocks.FILE:
            check_content(member, content)
        words = b"".join(starmap(blocks.record, _words_of(member, kind, size)))
        if len(words) > blocks.MOST - blocks.UNIT:
            message = (
                f"its attributes take over {blocks.MOST} bytes, which no reader takes; "
                "leave 'xattr' out of preserve="
            )
            raise OSError(E2BIG, message, member.path)
        self._member = member.path
        if words:
            name = b"PaxHeaders/" + member.path.encode("ascii", "replace")
            self._write(blocks.build(name, blocks.PAX, mode=0o644, size=len(words)))
            self._write(words)
            self._pad(len(words))
        self._write(_head_of(member, kind, size))
        if size and content is not None:
            for piece in copied(content, size, member.path):
                self._write(piece)
            self._pad(size)
        self._member = ""

    def finish(self) -> None:
        check_whole(self._member)
        self._write(bytes(2 * blocks.UNIT))
        self._write(bytes(-self._written % _RECORD))
        self._out.finish()

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._written += len(data)

    def _pad(self, size: int) -> None:
        self._write(bytes(blocks.padding(size)))


def _kind_of(member: ArchiveMember) -> bytes:
    kind = S_IFMT(member.mode)
    if kind not in _FLAGS:
        raise errors.special_file(member.path)
    return blocks.HARD_LINK if member.first is not None else _FLAGS[kind]


def _names_of(member: ArchiveMember, kind: bytes) -> tuple[bytes, bytes]:
    """Return the name of *member* and where it leads, as they are written."""
    path = member.path.rstrip("/") + "/" * (kind == blocks.DIRECTORY)
    leads = member.first if kind == blocks.HARD_LINK else member.target
    return blocks.encoded(path), blocks.encoded(leads or "")


def _words_of(
    member: ArchiveMember, kind: bytes, size: int
) -> Iterator[tuple[str, bytes]]:
    """Yield the words of pax for what does not fit into the block of *member*."""
    path, leads = _names_of(member, kind)
    owner, group = blocks.encoded(member.owner), blocks.encoded(member.group)
    for word, text, most in (
        ("path", path, 100),
        ("linkpath", leads, 100),
        ("uname", owner, 31),
        ("gname", group, 31),
    ):
        if len(text) > most or not text.isascii():
            yield word, text
    for word, number, width in (
        ("uid", member.uid, 8),
        ("gid", member.gid, 8),
        ("size", size, 12),
    ):
        if not blocks.fits(number, width):
            yield word, b"%d" % number
    second, rest = divmod(member.mtime_ns, 1_000_000_000)
    if rest or not blocks.fits(second, 12):
        yield "mtime", blocks.seconds(member.mtime_ns)
    if member.atime_ns is not None:
        yield "atime", blocks.seconds(member.atime_ns)
    for name, value in sorted(member.xattrs.items()):
        yield blocks.attribute_key(name), value


def _head_of(member: ArchiveMember, kind: bytes, size: int) -> bytes:
    path, leads = _names_of(member, kind)
    return blocks.build(
        path,
        kind,
        mode=S_IMODE(member.mode),
        uid=member.uid,
        gid=member.gid,
        size=size,
        mtime=member.mtime_ns // 1_000_000_000,
        target=leads,
        owner=blocks.encoded(member.owner),
        group=blocks.encoded(member.group),
    )
