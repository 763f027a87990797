"""The bytes of one inode: inline in its row while it is small, in chunks beyond that.

It knows offsets and lengths; it does not know paths, handles or layers. A chunk that is
missing or shorter than the chunk size reads on as zeros up to the file's size, so
writing far behind the end stores nothing in between.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final, Protocol

from stratavfs import _rows, _sql, errors
from stratavfs._spans import place, spliced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stratavfs._store import Store
    from stratavfs.records import Buffer, InodeId

SIZE_LIMIT: Final = _rows.SIZE_LIMIT
_COPY_STEP: Final = 1 << 22  # bytes copied by one statement
_STEP: Final = 1 << 20  # bytes held at a time that come from another layer


class Source(Protocol):
    """A file to read from, of whatever layer; None says that it is gone."""

    def size(self) -> int | None:
        """Return the size in bytes."""

    def read(self, offset: int) -> bytes | None:
        """Return all bytes from *offset* on."""

    def read_into(self, offset: int, view: memoryview) -> int | None:
        """Fill *view* from *offset*; return the bytes read."""

    def next_data(self, offset: int) -> int | None:
        """Return the first offset from *offset* on that is stored, or None."""

    def next_hole(self, offset: int) -> int | None:
        """Return the first offset from *offset* on that is a hole, or the end."""


class Content:
    """Reads and writes the bytes of inodes in one container."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sound = _rows.Sound(store.location)
        self._chunk_size = store.chunk_size
        self._inline_limit = store.inline_limit
        self._step = max(1, _STEP // self._chunk_size) * self._chunk_size  # whole ones

    # --- reading ---------------------------------------------------------------------

    def size(self, inode: InodeId) -> int | None:
        """Return the size of *inode* in bytes, or None if it is gone."""
        row = self._store.row(_sql.READ_SIZE, (inode,))
        return None if row is None else self._sound.size(row[0], inode)

    def _extent(self, inode: InodeId) -> tuple[int, bytes | None] | None:
        """Return the size of *inode* and its inline content; None if it is gone."""
        row = self._store.row(_sql.READ_EXTENT, (inode,))
        return None if row is None else self._sound.extent(row, inode)

    def read(self, inode: InodeId, offset: int = 0) -> bytes | None:
        """Return all bytes of *inode* from *offset* on, or None if it is gone.

        Raises:
            OSError: (EFBIG) they are more than can be held in memory.
        """
        row = self._store.row(_sql.READ_WHOLE, (inode,))
        if row is None:
            return None
        if row[1].__class__ is bytes and len(row[1]) <= self._chunk_size:
            data = self._sound.extent(row, inode)[1] or b""
            return data[offset:] if offset else data
        with self._store.snapshot():
            extent = self._extent(inode)  # it may have become another meanwhile
            if extent is None:
                return None
            size, content = extent
            if content is not None:
                return content[offset:]
            if size - offset > _rows.MEMORY_LIMIT:
                raise self._sound.unheld(size - offset, inode)
            try:
                return self._read_chunks(inode, offset, size)
            except (MemoryError, OverflowError) as error:
                raise self._sound.unheld(size - offset, inode) from error

    def _read_chunks(self, inode: InodeId, offset: int, size: int) -> bytes:
        if offset:
            rest = bytearray(max(0, size - offset))
            self.read_into(inode, offset, memoryview(rest))
            return bytes(rest)
        if size <= self._chunk_size:
            found = self._store.row(_sql.READ_CHUNK, (inode, 0))
            data = self._chunk(found[0], inode) if found is not None else b""
            return data[:size].ljust(size, b"\0")
        return self._read_large(inode, size)

    def _read_large(self, inode: InodeId, size: int) -> bytes:
        # It fills holes with zeros, and gives its bytes away without copying them.
        whole = io.BytesIO()
        last, least = (size - 1) // self._chunk_size, 0
        for idx, data in self._store.each(_sql.READ_CHUNKS, (inode, last)):
            least = self._sound.index(idx, least, inode) + 1
            whole.seek(idx * self._chunk_size)
            whole.write(self._chunk(data, inode))
        if whole.tell() < size:
            whole.seek(size - 1)
            whole.write(b"\0")
        whole.truncate(size)
        return whole.getvalue()

    def read_into(self, inode: InodeId, offset: int, view: memoryview) -> int | None:
        """Fill *view* from *offset*; return the bytes read, None if *inode* is gone."""
        index, start = divmod(offset, self._chunk_size)
        if len(view) < self._chunk_size and start + len(view) <= self._chunk_size:
            return self._read_piece(inode, index, start, view)
        last = (offset + len(view) - 1) // self._chunk_size
        count: int | None = None
        filled = 0
        for size, content, idx, data in self._store.each(
            _sql.READ_SPAN, (index, last, inode)
        ):
            if count is None:
                self._sound.extent((size, content), inode)
                count = max(0, min(len(view), size - offset))
            if content is not None:
                filled = place(content, -offset, view[:count], filled)
            elif idx is not None:
                index = self._sound.index(idx, index, inode)
                at = index * self._chunk_size - offset
                filled = place(self._chunk(data, inode), at, view[:count], filled)
                index += 1
        if count is not None:
            view[filled:count] = bytes(count - filled)
        return count

    def _read_piece(
        self, inode: InodeId, index: int, start: int, view: memoryview
    ) -> int | None:
        """Read within one chunk: SQLite hands over no more than is asked for.

        That is one byte more than is needed, which tells of what goes on too long.
        """
        offset, length = index * self._chunk_size + start, len(view)
        args = (offset + 1, length + 1, start + 1, length + 1, index, inode)
        row = self._store.row(_sql.READ_PIECE, args)
        if row is None:
            return None
        size, inline, data = row
        left = self._sound.size(size, inode) - offset
        count = max(0, min(length, left))
        if inline is not None:
            found = self._sound.piece(inline, max(0, left), inode)[:count]
        elif data is not None:
            found = self._sound.piece(data, self._chunk_size - start, inode)[:count]
        else:
            found = b""
        view[: len(found)] = found
        view[len(found) : count] = bytes(count - len(found))
        return count

    def _chunk(self, data: Any, inode: InodeId) -> bytes:
        return self._sound.piece(data, self._chunk_size, inode)

    def next_data(self, inode: InodeId, offset: int) -> int | None:
        """Return the first offset from *offset* on that is stored, not a hole."""
        return self._seek(inode, offset, hole=False)

    def next_hole(self, inode: InodeId, offset: int) -> int | None:
        """Return the first offset from *offset* on that is a hole, or the end."""
        return self._seek(inode, offset, hole=True)

    def _seek(self, inode: InodeId, offset: int, *, hole: bool) -> int | None:
        extent = self._extent(inode)
        if extent is None or offset >= extent[0]:
            return None
        size, content = extent
        if content is not None:
            return size if hole else offset
        index, last = offset // self._chunk_size, (size - 1) // self._chunk_size
        for idx, _ in self._store.each(_sql.LIST_CHUNKS_FROM, (inode, index)):
            self._sound.index(idx, index, inode)
            if not hole:
                return max(offset, idx * self._chunk_size) if idx <= last else None
            if idx != index:
                break
            index += 1
        if not hole:
            return None
        return min(size, max(offset, index * self._chunk_size))

    # --- writing ---------------------------------------------------------------------

    def write(self, inode: InodeId, offset: int, view: memoryview, at: int) -> bool:
        """Write *view* at *offset*; False if *inode* is gone."""
        end = offset + len(view)
        # Most likely it is in chunks already, if it reaches so far.
        if end > self._inline_limit and self._grow(inode, end, at):
            self._write_chunks(inode, offset, view)
            return True
        extent = self._extent(inode)
        if extent is None:
            return False
        size, content = extent
        new_size = max(size, end)
        if content is not None and new_size <= self._inline_limit:
            content = spliced(content, offset, view)
            args = (new_size, content, at, at, inode)
            self._store.write_last(_sql.SET_CONTENT, args)
            return True
        if content is not None:
            self._spill(inode, content, at)
        self._write_chunks(inode, offset, view)
        self._store.write(_sql.SET_SIZE, (new_size, at, at, inode))
        return True

    def _grow(self, inode: InodeId, size: int, at: int) -> bool:
        args = (size, at, at, inode)
        return self._store.write(_sql.GROW, args).rowcount == 1

    def is_inline(self, size: int) -> bool:
        """Tell whether a new file of *size* bytes is kept in its inode's row."""
        return size <= self._inline_limit

    def fill(self, inode: InodeId, data: memoryview) -> None:
        """Store the content of *inode*, which has its size already and no chunks."""
        step = self._chunk_size
        pieces = (
            (at // step, data[at : at + step]) for at in range(0, len(data), step)
        )
        self._store.write_many(_sql.PUT_CHUNK, ((inode, *piece) for piece in pieces))

    def put_many(self, chunks: list[tuple[int, int, Buffer]]) -> None:
        """Store whole chunks of inodes that are new: (inode, index, bytes)."""
        self._store.write_many(_sql.PUT_CHUNK, iter(chunks))

    def replace(self, inode: InodeId, data: memoryview, at: int) -> None:
        """Make *data* all the content of *inode*."""
        self._store.write(_sql.REMOVE_CHUNKS, (inode,))
        content = data if self.is_inline(len(data)) else None
        self._store.write(_sql.SET_CONTENT, (len(data), content, at, at, inode))
        if content is None:
            self.fill(inode, data)

    def resize(self, inode: InodeId, size: int, at: int) -> bool:
        """Cut *inode* to *size* bytes, or let it end in a hole; False if it is gone."""
        extent = self._extent(inode)
        if extent is None:
            return False
        old_size, content = extent
        if content is not None and size <= self._inline_limit:
            content = content[:size].ljust(size, b"\0")
            self._store.write_last(_sql.SET_CONTENT, (size, content, at, at, inode))
        elif size == 0:
            self.replace(inode, memoryview(b""), at)
        else:
            if content is not None:
                self._spill(inode, content, at)
            if size < old_size:
                self._cut(inode, size)
            self._store.write(_sql.SET_SIZE, (size, at, at, inode))
        return True

    def copy(self, source: InodeId, target: InodeId, at: int) -> None:
        """Make the content of *source* that of *target*, holes included."""
        extent = self._extent(source)
        if extent is None:
            raise self._sound.damage(source)
        size, content = extent
        self._store.write(_sql.REMOVE_CHUNKS, (target,))
        self._store.write(_sql.SET_CONTENT, (size, content, at, at, target))
        if content is None:
            self._copy_chunks(source, target)

    def small(self, source: Source, size: int) -> bytes | None:
        """Return the bytes of a file of about *size* if they go into its row."""
        if not self.is_inline(size):
            return None
        content = source.read(0)
        return content if content is not None and self.is_inline(len(content)) else None

    def fill_from(self, inode: InodeId, source: Source, size: int) -> None:
        """Store *size* bytes of *source* as those of *inode*, which has that size.

        Raises:
            EOFError: its size changed meanwhile.
        """
        for offset, view in extents(source, size, self._step):
            self._write_chunks(inode, offset, view)

    def replace_from(self, inode: InodeId, source: Source, at: int) -> None:
        """Make the bytes of *source* all the content of *inode*, holes included."""
        size = source.size() or 0
        content = self.small(source, size)
        self._store.write(_sql.REMOVE_CHUNKS, (inode,))
        size = size if content is None else len(content)
        self._store.write(_sql.SET_CONTENT, (size, content, at, at, inode))
        if content is None:
            self.fill_from(inode, source, size)

    def _copy_chunks(self, source: InodeId, target: InodeId) -> None:
        """Copy from row to row within SQLite, in steps of bounded memory."""
        step = max(1, _COPY_STEP // self._chunk_size)
        last, copied = -1, step
        while copied == step:
            args = (target, source, last, step)
            copied = self._store.write(_sql.COPY_CHUNKS, args).rowcount
            (last,) = self._store.row(_sql.LAST_CHUNK, (target,))

    def _spill(self, inode: InodeId, content: bytes, at: int) -> None:
        """Move inline content into the first chunk, which holds all of it."""
        if content:
            self._store.write(_sql.PUT_CHUNK, (inode, 0, content))
        self._store.write(_sql.SET_CONTENT, (len(content), None, at, at, inode))

    def _cut(self, inode: InodeId, size: int) -> None:
        index, stop = divmod(size, self._chunk_size)
        first = index + (stop > 0)
        self._store.write(_sql.REMOVE_CHUNKS_FROM, (inode, first))
        if stop:
            self._store.write(_sql.CUT_CHUNK, (stop, inode, index, stop))

    def _write_chunks(self, inode: InodeId, offset: int, view: memoryview) -> None:
        """Write the rest of one chunk, then whole ones, then the start of another."""
        chunk = self._chunk_size
        if len(view) == chunk and offset % chunk == 0:  # as a buffer hands them over
            self._store.write(_sql.PUT_CHUNK, (inode, offset // chunk, view))
            return
        head = min(-offset % chunk, len(view))
        tail = head + (len(view) - head) // chunk * chunk
        if head:
            self._patch(inode, *divmod(offset, chunk), view[:head])
        first = (offset + head) // chunk
        self._store.write_many(
            _sql.PUT_CHUNK,
            (
                (inode, first + nth, view[at : at + chunk])
                for nth, at in enumerate(range(head, tail, chunk))
            ),
        )
        if tail < len(view):
            self._patch(inode, (offset + tail) // chunk, 0, view[tail:])

    def _patch(self, inode: InodeId, index: int, start: int, data: memoryview) -> None:
        """Write *data*, which does not fill its chunk, from byte *start* of it on."""
        row = self._store.row(_sql.FIND_CHUNK, (inode, index))
        length = 0 if row is None else self._sound.size(row[1], inode)
        if start + len(data) <= length:
            # In place: 2 us, where reading, splicing and storing 64 KiB takes 16.
            self._store.patch("chunks", "data", row[0], start, data)
            return
        old = b""
        if row is not None:
            (old,) = self._store.row(_sql.READ_CHUNK, (inode, index))
            old = self._chunk(old, inode)
        self._store.write(_sql.PUT_CHUNK, (inode, index, spliced(old, start, data)))


def check_size(size: int, path: str) -> None:
    """Refuse a size or an offset that no file can have."""
    if size < 0:
        raise errors.bad_offset(path)
    if size > SIZE_LIMIT:
        raise errors.too_large(path)


def extents(file: Source, size: int, step: int) -> Iterator[tuple[int, memoryview]]:
    """Yield (offset, bytes) of all that is stored of *size* bytes of *file*.

    At most *step* bytes at once; each view is good until the next one is asked for.

    Raises:
        EOFError: the size changed meanwhile.
    """
    buffer = memoryview(bytearray(min(step, size)))
    start = file.next_data(0)
    while start is not None and start < size:
        end = min(file.next_hole(start) or 0, size)
        if end <= start:  # what was stored has become a hole
            raise EOFError
        while start < end:
            view = buffer[: end - start]
            if file.read_into(start, view) != len(view):
                raise EOFError
            yield start, view
            start += len(view)
        start = file.next_data(end)
    if file.size() != size:
        raise EOFError
