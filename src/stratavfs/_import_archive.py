"""Importing an archive: its members, none of which is believed, put here one by one.

A member goes below the destination or nowhere: what is absolute or leads up is refused,
and nothing is written through a link. What unpacks to far more than the archive is long
is refused as it comes to light, before it is read.
"""

from __future__ import annotations

import io
import operator
import os
import tempfile
from contextlib import ExitStack, contextmanager
from stat import S_IFMT, S_ISDIR, S_ISLNK, S_ISREG
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from stratavfs import errors
from stratavfs._host import WHOLE, open_containers
from stratavfs._paths import ancestors, check_length, join, parent_of
from stratavfs._streams import Counted, Sequential, name_of, whole
from stratavfs.archives import _formats
from stratavfs.records import VPath

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from stratavfs._arrivals import Arrivals
    from stratavfs._progress import Meter
    from stratavfs._selection import Selection
    from stratavfs.archives.protocol import ArchiveFormat, ArchiveMember

HARMLESS: Final = 256 << 20
"""Bytes that any archive may unpack to."""

_HEAD: Final = 1024  # bytes by which a format is recognised
_OVERHEAD: Final = 512  # bytes that a member counts for beside its content
_MEMORY: Final = 4 << 20  # bytes of a member that wait in memory, more in a file
_TIMES: Final = range(-(1 << 63), 1 << 63)
_MODES: Final = range(1 << 16)
_IDS: Final = range(1 << 32)


class ArchiveImport:
    """Puts the members of the archive *source* into *arrivals*, step by step."""

    def __init__(
        self,
        source: str | BinaryIO,
        arrivals: Arrivals,
        chosen: Selection,
        meter: Meter,
        *,
        archive_format: str | ArchiveFormat | None,
        max_ratio: float,
    ) -> None:
        self._source = source
        self._name = name_of(source)
        self._reading = _Reading(self._name)
        self._arrivals = arrivals
        self._chosen = chosen
        self._meter = meter
        self._max_ratio = max_ratio
        self._format = archive_format
        if isinstance(archive_format, str):
            self._format = _formats.format_named(archive_format)
        elif archive_format is not None and not hasattr(archive_format, "read"):
            raise errors.not_a_format(archive_format)
        arrivals.expected = self._glance
        self._unpacked = 0
        self._later: dict[VPath, ArchiveMember] = {}  # directories not needed yet

    def steps(self, dest: VPath) -> Generator[None, None, None]:
        """Import all, below *dest*; each step is one member."""
        with ExitStack() as stack:
            stream = self._stream = stack.enter_context(self._opened())
            reader = self._recognized(stream)
            with self._reading:
                members = stack.enter_context(reader.read(stream))  # type: ignore[arg-type]
            self._top = self._arrivals.make_top(dest)
            self._meter.total = operator.length_hint(members)
            while True:
                with self._reading:
                    found = next(members, None)
                if found is None:
                    break
                self._take(*found)
                yield
        self._meter.finish()

    def _glance(self) -> int:
        """Return how many bytes a file has, which is packed or not."""
        try:
            return os.stat(self._source).st_size if isinstance(self._source, str) else 0
        except OSError:  # said when it is opened
            return 0

    # --- the archive -----------------------------------------------------------------

    @contextmanager
    def _opened(self) -> Iterator[Counted]:
        if not isinstance(self._source, str):
            yield Counted(self._source)
            return
        status = os.stat(self._source)
        if (status.st_dev, status.st_ino) in open_containers():
            raise errors.is_open_container(self._source)
        with open(self._source, "rb") as file:
            yield Counted(file)

    def _recognized(self, stream: Counted) -> ArchiveFormat:
        if self._format is not None and not isinstance(self._format, str):
            return self._format
        head = stream.peek(_HEAD)
        found = _formats.recognized(head)
        if found is None:
            why = "it is no archive of a format that is known"
            raise errors.bad_archive(self._name, why)
        return found

    def _count(self, member: str, size: int) -> None:
        """Count *size* bytes more that *member* unpacks to, and refuse a bomb."""
        self._unpacked += size
        if self._unpacked <= HARMLESS:
            return
        if self._unpacked > self._max_ratio * self._stream.length():
            raise errors.bomb(self._name, member, HARMLESS, self._max_ratio)

    # --- members ---------------------------------------------------------------------

    def _take(self, member: ArchiveMember, content: BinaryIO | None) -> None:
        self._count(member.path, _OVERHEAD + max(0, member.size))
        relative = self._relative(member.path, member.path)
        if member.mode not in _MODES:
            raise self._bad(member, "has a mode that is out of range")
        path = join(self._top, relative) if relative else self._top
        if S_ISDIR(member.mode) and member.first is None:
            self._check(member, path)
            self._take_directory(path, relative, member)
        elif not relative:
            raise self._bad(member, "names no file")
        elif self._is_chosen(relative):
            self._check(member, path)
            self._take_other(path, member, content)
        self._meter.count(member.path, max(0, member.size))

    def _take_other(
        self, path: VPath, member: ArchiveMember, content: BinaryIO | None
    ) -> None:
        if not self._make_above(path):
            return  # the directory that is left out counts for all in it
        if member.first is not None:
            self._take_link(path, member)
        elif not S_ISLNK(member.mode):
            self._take_file(path, member, content)
        elif self._arrivals.met.wants(path, member):
            self._arrivals.put_symlink(path, member)

    def _bad(self, member: ArchiveMember, why: str) -> OSError:
        return errors.bad_member(self._name, member.path, why)

    def _relative(self, path: str, named: str) -> str:
        """Return *path* below the top; *named* is the member that says so."""
        why = ""
        if "\0" in path:
            why = "has a NUL in it"
        elif path.startswith("/"):
            why = "is absolute"
        names = [name for name in path.split("/") if name not in ("", ".")]
        if ".." in names:
            why = "leads out of the archive (..)"
        try:
            path.encode()
        except UnicodeEncodeError:
            why = "has a name that is no UTF-8"
        if why:
            raise errors.bad_member(self._name, named, why)
        return "/".join(names)

    def _check(self, member: ArchiveMember, path: VPath) -> None:
        """Refuse what no container can hold."""
        check_length(path)
        if member.first is None and not (
            S_ISREG(member.mode) or S_ISDIR(member.mode) or S_ISLNK(member.mode)
        ):
            kind = oct(S_IFMT(member.mode))
            raise errors.special_member(self._name, member.path, kind)
        if member.mtime_ns not in _TIMES or (member.atime_ns or 0) not in _TIMES:
            raise self._bad(member, "has a time that is out of range")
        if member.uid not in _IDS or member.gid not in _IDS:
            raise self._bad(member, "has an owner that is out of range")
        self._check_texts(member, path)

    def _check_texts(self, member: ArchiveMember, path: VPath) -> None:
        texts = [member.owner, member.group, *member.xattrs]
        if S_ISLNK(member.mode) and member.first is None:
            if not member.target:
                raise self._bad(member, "is a link to nothing")
            texts.append(member.target)
        if "" in member.xattrs or any("\0" in text for text in texts):
            raise self._bad(member, "has a name in it that is empty or holds a NUL")
        try:
            for text in texts:
                text.encode()
        except UnicodeEncodeError as error:
            raise self._bad(member, "has a name in it that is no UTF-8") from error
        check_length(member.target or "", path)

    def _is_chosen(self, relative: str) -> bool:
        if self._chosen.is_all:
            return True
        return self._chosen.takes(relative) and not self._is_excluded(relative)

    def _is_excluded(self, relative: str) -> bool:
        """Tell whether a directory above *relative* is left out, or it is one."""
        cut = relative.find("/")
        while cut >= 0:
            if self._chosen.leaves_out(relative[:cut], directory=True):
                return True
            cut = relative.find("/", cut + 1)
        return False

    def _take_directory(
        self, path: VPath, relative: str, member: ArchiveMember
    ) -> None:
        if relative and not self._chosen.is_all:
            if self._is_excluded(relative + "/"):
                return
            if self._chosen.included is not None and not self._chosen.takes(relative):
                self._later[path] = member
                return
        if self._make_above(path):
            self._arrivals.put_directory(path, member)

    def _make_above(self, path: VPath) -> bool:
        """Make the directories above *path*; False: they are left out."""
        if path == self._top:
            return True
        if not self._later and self._arrivals.met.has_seen(parent_of(path)):
            return True  # a directory stays: 3 us less for all but the first in it
        first = path.find("/", len(self._top.rstrip("/")) + 1)
        if first < 0:
            return True
        for directory in ancestors(path, VPath(path[:first])):
            member = self._later.pop(directory, None)
            if member is None:
                made = self._arrivals.put_directory(directory)
            else:
                made = self._arrivals.put_directory(directory, member)
            if not made:
                return False
        return True

    # --- files -----------------------------------------------------------------------

    def _take_link(self, path: VPath, member: ArchiveMember) -> None:
        first = join(self._top, self._relative(member.first or "", member.path))
        met = self._arrivals.met
        if first == path or not met.find_file(first):
            why = f"is a hard link to {member.first!r}, which is no file before it"
            raise self._bad(member, why)
        if met.wants_link(path, first):
            self._arrivals.put_link(path, first)

    def _take_file(
        self, path: VPath, member: ArchiveMember, content: BinaryIO | None
    ) -> None:
        if content is None:
            content = io.BytesIO()
        wanted = self._arrivals.met.wants(path, member)
        if wanted is False:
            return
        if wanted is None or member.size < 0:
            self._take_spooled(path, member, content, compare=wanted is None)
        elif member.size <= WHOLE:
            with self._reading.of(member.path):
                data = whole(content, member.size)
            if len(data) != member.size:
                raise self._bad(member, "has another size than it says")
            self._arrivals.put_file(path, member, data, member.size)
        else:
            self._put(path, member, content, member.size)

    def _take_spooled(
        self, path: VPath, member: ArchiveMember, content: BinaryIO, *, compare: bool
    ) -> None:
        """Take a file that has to be read twice, or whose size nobody knows yet."""
        with tempfile.SpooledTemporaryFile(_MEMORY) as spooled:
            size = 0
            while True:
                with self._reading.of(member.path):
                    piece = content.read(WHOLE)
                if not piece:
                    break
                size += len(piece)
                if member.size < 0:
                    self._count(member.path, len(piece))
                elif size > member.size:
                    break
                spooled.write(piece)
            if 0 <= member.size != size:
                raise self._bad(member, "has another size than it says")
            member = member._replace(size=size)
            source = Sequential(spooled, size)
            if compare and not self._arrivals.met.wants_other(path, member, source):
                return
            self._put(path, member, spooled, size)

    def _put(self, path: VPath, member: ArchiveMember, content: Any, size: int) -> None:
        source = Sequential(content, size)
        try:
            self._arrivals.put_file(path, member, source, size)
        except EOFError as error:
            raise self._bad(member, "is cut short") from error
        except Exception as error:
            if source.failure is not error or isinstance(error, OSError):
                raise
            raise self._bad(member, f"is damaged: {error}") from error


class _Reading:
    """A scope in which what is raised is the archive's *name*, which is damaged.

    One for all members: a scope from ``contextlib`` costs a small one 5 % each time.
    """

    __slots__ = ("_member", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._member: str | None = None

    def of(self, member: str) -> _Reading:
        """Return it for the next time, which is about *member*."""
        self._member = member
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        member, self._member = self._member, None
        if not isinstance(error, Exception) or isinstance(
            error, OSError | errors.InvalidArgument
        ):
            return
        said = str(error) or type(error).__name__
        why = f"it is damaged: {said}"
        if member is not None:
            why = f"member {member!r} is damaged: {said}"
        raise errors.bad_archive(self._name, why) from error
