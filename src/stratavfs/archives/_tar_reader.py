"""Tar archives, read from end to end as they come through a pipe.

``tarfile`` is not used: it reads a header of any length at once, takes an archive that
was cut short for a whole one, and leaves out where one is damaged. An archive ends
here with a block of zeros, which only zeros follow, or it is cut short. A name that is
not UTF-8 comes with surrogate escapes, which no tree takes.
"""

from __future__ import annotations

import io
from stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_ISREG
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, NoReturn

from stratavfs import errors
from stratavfs.archives import _blocks as blocks
from stratavfs.archives._packed import STEP
from stratavfs.archives.protocol import ArchiveMember

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stratavfs.records import Buffer

_SECOND: Final = 1_000_000_000
_BEHIND: Final = 1 << 24  # bytes of zeros after the end, at most
_NOBODY, _NOBODY_FROM = 65534, 0xFFFFFFFF  # Linux's word for an owner without a number
_FILES: Final = (blocks.FILE, blocks.OLD_FILE, blocks.CONTIGUOUS, blocks.SPARSE)
_TYPES: Final = {
    **dict.fromkeys(_FILES, S_IFREG),
    blocks.HARD_LINK: S_IFREG,
    blocks.SYMLINK: S_IFLNK,
    blocks.CHARACTERS: S_IFCHR,
    blocks.DEVICE: S_IFBLK,
    blocks.DIRECTORY: S_IFDIR,
    blocks.DUMPED: S_IFDIR,
    blocks.PIPE: S_IFIFO,
}
# Whatever size these tell; of all other types it is that of the bytes behind them.
_WITHOUT_CONTENT: Final = {
    blocks.HARD_LINK,
    blocks.SYMLINK,
    blocks.CHARACTERS,
    blocks.DEVICE,
    blocks.DIRECTORY,
    blocks.PIPE,
}
_LONG: Final = {blocks.LONG_NAME: "path", blocks.LONG_LINK: "linkpath"}
_EXTENDING: Final = {*_LONG, blocks.PAX, blocks.SOLARIS, blocks.GLOBAL}


class _Words(NamedTuple):
    """The block of a member, and what the headers before it say."""

    header: blocks.Header
    head: bytes
    said: dict[str, bytes]

    def text(self, word: str, otherwise: bytes) -> str:
        return blocks.decoded(self.said.get(word, otherwise))

    def number(self, word: str, otherwise: int) -> int:
        return blocks.whole(self.said[word]) if word in self.said else otherwise

    def owner(self, word: str, otherwise: int) -> int:
        number = self.number(word, otherwise)
        return number if 0 <= number < _NOBODY_FROM else _NOBODY

    def mtime_ns(self) -> int:
        if "mtime" in self.said:
            return blocks.nanoseconds(self.said["mtime"])
        return self.header.mtime * _SECOND

    def atime_ns(self) -> int | None:
        said = self.said.get("atime")
        return None if said is None else blocks.nanoseconds(said)

    def path(self) -> str:
        otherwise = self.said.get("path", self.header.path)
        path = self.text("GNU.sparse.name", otherwise)
        return path.rstrip("/") or path[:1]

    def type_bits(self) -> int:
        kind = self.header.kind
        if kind in _FILES and self.said.get("path", self.header.path).endswith(b"/"):
            return S_IFDIR  # as it was told before there was a type for it
        return _TYPES.get(kind, 0)

    def xattrs(self) -> dict[str, bytes]:
        return {
            blocks.attribute_of(word): value
            for word, value in self.said.items()
            if word.startswith(blocks.ATTRIBUTE)
        }


class TarReader:
    """The members of the archive in *file*, which is called *source*."""

    def __init__(self, file: io.BufferedReader[Any], source: str) -> None:
        self._file = file
        self._source = source
        self._global: dict[str, bytes] = {}
        self._begun = False
        self._path = ""  # of the member that is read just now

    def members(self) -> Iterator[tuple[ArchiveMember, BinaryIO | None]]:
        """Yield each with its bytes; who has read less of them goes on all the same."""
        while words := self._next():
            self._path = words.path()
            try:
                content, raw, size = self._content_of(words)
                member = _member(words, size)
            except ValueError as error:
                why = f"has a header that is damaged ({error})"
                raise errors.bad_member(self._source, self._path, why) from error
            if type(raw) is _Stored and S_ISREG(member.mode) and 0 < size <= STEP:
                # As it has to be read anyway: a stream for it would cost 10 us more.
                with io.BytesIO(content.rest()) as opened:
                    yield member, opened
            elif S_ISREG(member.mode) and member.first is None:
                with io.BufferedReader(raw) as streamed:
                    yield member, streamed
            elif words.header.kind != blocks.LABEL:
                yield member, None
            content.skip()
        self._end()

    def _cut_short(self) -> NoReturn:
        where = f" in member {self._path!r}" if self._path else ""
        raise errors.bad_archive(self._source, f"it is cut short{where}")

    def _damaged(self, why: str, cause: Exception | None = None) -> NoReturn:
        if not self._begun:
            why = f"it is no tar archive ({why})"
        raise errors.bad_archive(self._source, why) from cause

    # --- what stands before a member ---

    def _next(self) -> _Words | None:
        """Return what stands before the next member, None at the archive's end."""
        said: dict[str, bytes] = {}
        length = 0
        while any(head := self._head()):
            try:
                header = blocks.parse(head)
            except ValueError as error:
                self._damaged(f"a header is damaged: {error}", error)
            self._begun = True
            if header.kind not in _EXTENDING:
                return _Words(header, head, self._with_global(said))
            length += blocks.UNIT + header.size
            if length > blocks.MOST:
                self._damaged(f"the headers of a member take over {blocks.MOST} bytes")
            self._extend(said, header.kind, self._take(header.size))
        if said:
            self._damaged("a member is missing behind its name")
        return None

    def _head(self) -> bytes:
        head = self._file.read(blocks.UNIT)
        if len(head) < blocks.UNIT:
            if not self._begun:
                self._damaged("it is too short" if head else "it is empty")
            self._cut_short()
        return head

    def _take(self, size: int) -> bytes:
        """Return the *size* bytes that follow, and pass what fills their block."""
        data = self._file.read(size + blocks.padding(size))
        if len(data) < size + blocks.padding(size):
            self._cut_short()
        return data[:size]

    def _extend(self, said: dict[str, bytes], kind: bytes, data: bytes) -> None:
        """Add to *said* what a header in front of a member's says."""
        if kind in _LONG:
            said[_LONG[kind]] = data.partition(b"\0")[0]
            return
        try:
            found = blocks.records(data)
        except ValueError as error:
            self._damaged(str(error), error)
        if kind != blocks.GLOBAL:
            said |= found
            return
        self._global |= found
        if sum(map(len, self._global.values())) > blocks.MOST:
            self._damaged(f"the headers of all take over {blocks.MOST} bytes")

    def _with_global(self, said: dict[str, bytes]) -> dict[str, bytes]:
        if not (said or self._global):
            return said
        # No value takes back what was said before; that of an attribute may be empty.
        return {
            word: value
            for word, value in (self._global | said).items()
            if value or word.startswith(blocks.ATTRIBUTE)
        }

    # --- its bytes ---

    def _content_of(self, words: _Words) -> tuple[_Stored, io.RawIOBase, int]:
        """Return what is stored of a member, its bytes, and how many they are."""
        kind, said = words.header.kind, words.said
        stored = blocks.checked_size(words.number("size", words.header.size))
        content = _Stored(self._file, stored, self._cut_short)
        if kind in _WITHOUT_CONTENT:
            content = _Stored(self._file, 0, self._cut_short)
            return content, content, 0
        if kind == blocks.SPARSE:
            found, size = blocks.old_map(words.head, self._head)
        elif said.get("GNU.sparse.major") == b"1":
            found = blocks.map_before(content.unit)
            size = blocks.whole(said.get("GNU.sparse.realsize", b""))
        elif "GNU.sparse.map" in said:
            found = [blocks.whole(word) for word in said["GNU.sparse.map"].split(b",")]
            size = blocks.whole(said.get("GNU.sparse.size", b""))
        else:
            return content, content, stored
        size = blocks.checked_size(size)
        return (
            content,
            _Holed(content, blocks.extents(found, size, content.left), size),
            size,
        )

    def _end(self) -> None:
        """Read on to the end of the stream: what is packed is compared there."""
        behind = 0
        while piece := self._file.read(STEP):
            behind += len(piece)
            if piece.strip(b"\0"):
                self._damaged("something follows its end")
            if behind > _BEHIND:
                self._damaged(f"more than {_BEHIND} bytes follow its end")


def _member(words: _Words, size: int) -> ArchiveMember:
    header = words.header
    kind = words.type_bits()
    path = words.path()
    if not words.said and kind == S_IFREG and header.kind != blocks.HARD_LINK:
        # As most are: there is nothing to choose between, which halves it.
        nobody = max(header.uid, header.gid) >= _NOBODY_FROM
        if not nobody and min(header.uid, header.gid) >= 0:
            return ArchiveMember(
                path,
                kind | header.mode,
                size,
                header.mtime * _SECOND,
                None,
                None,
                header.uid,
                header.gid,
                blocks.decoded(header.owner),
                blocks.decoded(header.group),
            )
    target = words.text("linkpath", header.target)
    return ArchiveMember(
        path,
        kind | header.mode,
        size if kind == S_IFREG else 0,
        words.mtime_ns(),
        target=target if kind == S_IFLNK else None,
        first=target if header.kind == blocks.HARD_LINK else None,
        uid=words.owner("uid", header.uid),
        gid=words.owner("gid", header.gid),
        owner=words.text("uname", header.owner),
        group=words.text("gname", header.group),
        xattrs=words.xattrs(),
        atime_ns=words.atime_ns(),
    )


class _Stored(io.RawIOBase):
    """The *left* bytes that follow in *file*, and what fills their last block."""

    def __init__(
        self, file: io.BufferedReader[Any], left: int, cut_short: Callable[[], NoReturn]
    ) -> None:
        self._file = file
        self.left = left
        self._padding = blocks.padding(left)
        self._cut_short = cut_short

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self.left)
        size = self._file.readinto(memoryview(buffer)[:wanted]) if wanted else 0
        if wanted and not size:
            self._cut_short()
        self.left -= size
        return size

    def rest(self) -> bytes:
        """Return all that are left, and pass what fills their last block."""
        left, whole = self.left, self.left + self._padding
        data = self._file.read(whole)
        if len(data) < whole:
            self._cut_short()
        self.left = self._padding = 0
        return data[:left]

    def unit(self) -> bytes:
        """Return the next block of them."""
        data = self._file.read(min(self.left, blocks.UNIT))
        if len(data) < blocks.UNIT:
            self._cut_short()
        self.left -= len(data)
        return data

    def skip(self) -> None:
        """Pass all that is left, also after closing."""
        self.left += self._padding
        self._padding = 0
        while self.left:
            passed = len(self._file.read(min(self.left, STEP)))
            if not passed:
                self._cut_short()
            self.left -= passed


class _Holed(io.RawIOBase):
    """A file of *size* bytes, of which some are stored, and the others are zeros."""

    def __init__(self, stored: _Stored, extents: list[int], size: int) -> None:
        self._stored = stored
        self._size = size
        self._at = 0
        ends = zip(extents[::2], extents[1::2], strict=True)
        self._extents = iter([*ends, (size, 0)])
        self._begin = self._end = 0  # of what is stored next

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:  # type: ignore[override]
        view = memoryview(buffer)
        while self._at >= self._end and self._at < self._size:
            self._begin, length = next(self._extents)
            self._end = self._begin + length
            if self._begin > self._at:
                break
        if self._at < self._begin:
            size = min(len(view), self._begin - self._at)
            view[:size] = bytes(size)
        else:
            size = self._stored.readinto(view[: self._end - self._at])
        self._at += size
        return size
