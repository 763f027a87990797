"""The format zip.

It knows neither hard links nor extended attributes nor owners: each name of a file is
one more file, and the others are left out. Times are kept to the second.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

from stratavfs.archives._packed import STEP, Packing, name_of
from stratavfs.archives._zip_reader import ZipReader
from stratavfs.archives._zip_writer import ZipWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stratavfs.archives.protocol import ArchiveMember, ArchiveWriter

_STARTS: Final = (b"PK\3\4", b"PK\5\6")  # a member's, the end's of one without any


class ZipFormat:
    """Zip archives."""

    name = "zip"
    extensions: tuple[str, ...] = (".zip",)

    def __repr__(self) -> str:
        return f"<archive format {self.name}>"

    def recognizes(self, head: bytes) -> bool:
        """Tell whether a file that begins with *head* is one."""
        return head.startswith(_STARTS)

    @contextmanager
    def read(
        self, stream: BinaryIO
    ) -> Iterator[Iterator[tuple[ArchiveMember, BinaryIO | None]]]:
        """Read *stream*; a pipe is kept in a temporary file meanwhile."""
        if _can_seek(stream):
            yield ZipReader(stream, name_of(stream))
            return
        import tempfile  # noqa: PLC0415 - it loads every compressor

        with tempfile.TemporaryFile() as kept:
            while piece := stream.read(STEP):
                kept.write(piece)
            yield ZipReader(kept, name_of(stream))

    @contextmanager
    def write(self, stream: BinaryIO) -> Iterator[ArchiveWriter]:
        """Write to *stream*, which is never sought in: to any the same bytes."""
        out = Packing(stream, None)
        with closing(ZipWriter(out)) as writer:
            yield writer
            writer.finish()
        out.finish()


def _can_seek(stream: BinaryIO) -> bool:
    seekable = getattr(stream, "seekable", None)
    return seekable is not None and bool(seekable())
