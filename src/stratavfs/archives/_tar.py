"""The formats of tar: bare, or packed by one of four programs."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from stratavfs.archives import _blocks as blocks
from stratavfs.archives._packed import STEP, Given, Packing, Unpacked, name_of
from stratavfs.archives._tar_reader import TarReader
from stratavfs.archives._tar_writer import TarWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stratavfs.archives._packed import Packer, Unpacker
    from stratavfs.archives.protocol import ArchiveMember, ArchiveWriter


class TarFormat:
    """Tar archives, packed by *packer* and unpacked by *unpacker*, if there are any."""

    def __init__(
        self,
        name: str,
        extensions: tuple[str, ...],
        magic: bytes = b"",
        unpacker: Callable[[], Unpacker] | None = None,
        packer: Callable[[], Packer] | None = None,
    ) -> None:
        self.name = name
        self.extensions = extensions
        self._magic = magic
        self._unpacker = unpacker
        self._packer = packer

    def __repr__(self) -> str:
        return f"<archive format {self.name}>"

    def recognizes(self, head: bytes) -> bool:
        """Tell whether a file that begins with *head* is one, or packed as one is."""
        if self._magic:
            return head.startswith(self._magic)
        first = head[: blocks.UNIT]
        return blocks.is_header(first) or head == bytes(2 * blocks.UNIT)

    @contextmanager
    def read(
        self, stream: BinaryIO
    ) -> Iterator[Iterator[tuple[ArchiveMember, BinaryIO | None]]]:
        """Read *stream* to its end."""
        raw: io.RawIOBase = Given(stream)
        if self._unpacker is not None:
            self._unpacker()  # what is missing is missed before anything is read
            raw = Unpacked(stream, self._unpacker)
        with io.BufferedReader(raw, STEP) as file:
            yield TarReader(file, name_of(stream)).members()

    @contextmanager
    def write(self, stream: BinaryIO) -> Iterator[ArchiveWriter]:
        """Write to *stream*; the archive's end is left out where there is an error."""
        out = Packing(stream, self._packer() if self._packer is not None else None)
        writer = TarWriter(out)
        yield writer
        writer.finish()
