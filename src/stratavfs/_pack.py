"""Packs: a container written anew to be shipped and read, files in reading order.

Rows are written in the order of their keys, so that every page is full and lies where
the next reader comes by: inodes and chunks by new numbers, names by their paths. Two
ways lead there: what one container holds goes from row to row within SQLite; the merged
view of several layers is walked.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from errno import EIO, ENOSPC
from itertools import chain, islice
from stat import S_ISREG
from typing import TYPE_CHECKING, Final

from stratavfs import _sql, errors
from stratavfs._arguments import checked_file
from stratavfs._files import made_whole, sync_file, sync_name, uri_of
from stratavfs._fresh import FreshStore
from stratavfs._options import MEMORY
from stratavfs._packing import Packing, steps, view_of
from stratavfs._progress import Meter
from stratavfs._stack import LOCAL
from stratavfs._store import Store
from stratavfs._trace import order_of
from stratavfs.records import TransferReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stratavfs._layers import LayerStack
    from stratavfs._paths import StrPath
    from stratavfs.records import InodeId, Progress, VPath

INLINE_MOST: Final = 1 << 16
"""Bytes of the largest file in its inode's row: one SELECT reads it. Reading files of a
median of 4 KiB takes 5.7 us instead of 9.4, of 16 KiB 14 instead of 19."""

_SAMPLE: Final = 1000  # files whose sizes choose the size of pages
_STEP: Final = 256  # files written at a time
_PIECE: Final = 1 << 22  # bytes of a large file copied at a time
_WHITEOUT: Final = 14
_NOTHING: Final = 0  # no kind of an entry


def pack(
    layers: LayerStack,
    target: StrPath,
    layer: str | None,
    order: Iterable[StrPath] | StrPath | None,
    page_size: int | None,
    progress: Callable[[Progress], object] | None,
) -> TransferReport:
    """Write the merged view, or one *layer* alone, to the new container *target*.

    Raises:
        FileExistsError: there is something at *target*.
        OSError: of the host, with its path, or of a layer.
        InvalidArgument, InvalidType: there is no such layer, or no such page.
    """
    to, size = checked_file(target, "target"), checked_page_size(page_size)
    first, meter = order_of(order), Meter(progress)
    with made_whole(to) as part, _named(part, to, layers.rooms[0]):
        report = _write(layers, part, layer, first, size, meter)
        sync_file(part)
    sync_name(to)
    return report


def _write(
    layers: LayerStack,
    part: str,
    layer: str | None,
    order: Iterable[VPath],
    page_size: int | None,
    meter: Meter,
) -> TransferReport:
    store, view = layers.rooms[0], view_of(layers, layer)
    alone = layer == LOCAL or (layer is None and layers.stack.resolver is None)
    with store.lock:  # what a batch has made is in no file yet
        to_others = not store.scopes.in_batch and not store.options.exclusive
    if alone and to_others:
        return _Copying(layers, part, meter, shown=layer is None).run(order, page_size)
    with layers.look:
        found = steps(view)
        sample = [*islice(found, _SAMPLE)]
        sizes = [step.inode.size for step in sample if step.inode.is_file]
        size = page_size or page_size_for(sizes)
        inline = min(store.chunk_size, INLINE_MOST)
        with closing(FreshStore(part, store.chunk_size, size, inline)) as fresh:
            packing = Packing(layers, view, fresh, inline, meter)
            return packing.run(order, chain(sample, found))


def checked_page_size(size: int | None) -> int | None:
    """Return *size*, which SQLite has to know.

    Raises:
        InvalidArgument, InvalidType: it does not.
    """
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int):
        message = f"page_size should be a number of bytes, not {size!r}"
        raise errors.InvalidType(message)
    if size not in _sql.PAGE_SIZES:
        message = f"page_size should be a power of two, 512 to 65536, not {size!r}"
        raise errors.InvalidArgument(message)
    return size


@contextmanager
def _named(part: str, target: str, source: Store) -> Iterator[None]:
    """Let errors of the file *part*, which nobody knows, name the *target*.

    What is copied within SQLite fails with the name of the source. That is read; where
    there is no room, it was to write.
    """
    try:
        yield
    except OSError as error:
        if error.filename == part:
            error.filename = target
        elif error.filename in (source.file, source.location):
            writing = error.errno in (ENOSPC, EIO) and not isinstance(
                error, errors.CorruptDatabase
            )
            error.filename = target if writing else source.location
        raise


def page_size_for(sizes: list[int]) -> int:
    """Return the bytes a page should have for files of these *sizes*.

    Small pages are read sooner, large ones are written sooner and stream better.

    >>> page_size_for([100, 200]), page_size_for([20_000]), page_size_for([1 << 20])
    (4096, 8192, 16384)
    """
    mean = sum(sizes) / max(1, len(sizes))
    return 4096 if mean <= 4096 else 8192 if mean <= 65536 else 16384  # noqa: PLR2004


class _Copying:
    """One container with nothing below it, copied from row to row within SQLite.

    It is read through a connection of its own: others go on writing meanwhile.
    """

    def __init__(
        self, layers: LayerStack, part: str, meter: Meter, *, shown: bool
    ) -> None:
        self._layers = layers
        self._part = part
        self._meter = meter
        self._shown = shown  # as the merged view, in which whiteouts hide nothing
        self._inline = 0
        self._has_xattrs = False

    def run(self, order: Iterable[VPath], page_size: int | None) -> TransferReport:
        store = self._layers.rooms[0]
        first = [*self._numbers_of(order)]
        self._inline = max(store.inline_limit, min(store.chunk_size, INLINE_MOST))
        with closing(self._connected(store)) as source:
            source.run(_sql.TEMP_IN_FILE)
            sizes = source.rows(_sql.SAMPLE_SIZES, (_SAMPLE,))
            size = page_size or page_size_for([it for (it,) in sizes])
            FreshStore(self._part, store.chunk_size, size, self._inline).close()
            source.row(_sql.ATTACH_PACK, (uri_of(self._part, "mode=rw"),))
            for statement in _sql.PACK_IN_HASTE:
                source.row(statement)
            source.run(_sql.BEGIN_READ)
            source.run(_sql.NUMBERS)
            source.write(_sql.Pack.NUMBER_ROOT)
            source.write_many(_sql.Pack.NUMBER_FILE, ((it,) for it in first))
            report = self._copy(source)
            source.run(_sql.COMMIT)
        return report

    def _numbers_of(self, order: Iterable[VPath]) -> Iterator[InodeId]:
        """Yield the numbers of the files that *order* names; others are passed over."""
        tree = self._layers.rooms[1]
        with self._layers.look:
            for path in order:
                found = tree.find_entry(path)  # a third of the price of locating it
                if found is not None and S_ISREG(found[0]):
                    yield found[1]
                    continue
                entry = self._layers.locate(path)
                if entry.inode is not None and entry.member is None:
                    yield entry.inode.id

    def _connected(self, store: Store) -> Store:
        """Return another connection to the container, to a copy of one in memory."""
        options = store.options._replace(read_only=True)
        if store.location == MEMORY:
            return Store(MEMORY, options, store)
        return Store(store.file, options)

    def _copy(self, source: Store) -> TransferReport:
        texts, meter = _sql.Pack, self._meter
        source.write(texts.NUMBER_REST)
        (last,) = source.row(texts.COUNT)
        (self._has_xattrs,) = source.row(_sql.HAS_XATTRS)
        meter.total, length = last, 0
        for begin in range(1, last + 1, _STEP):
            length += self._copy_span(source, begin, min(begin + _STEP - 1, last))
        hidden = _WHITEOUT if self._shown else _NOTHING
        source.write(texts.COPY_ENTRIES, (hidden,))
        files, directories, links = map(int, source.row(texts.COUNT_KINDS))
        meter.finish()
        return TransferReport(files, directories - 1, links, length)

    def _copy_span(self, source: Store, begin: int, end: int) -> int:
        """Copy all inodes that get these numbers; return the bytes in them."""
        texts, span = _sql.Pack, (begin, end)
        args = (not self._shown, self._inline, *span)
        if source.write(texts.COPY_INODES, args).rowcount != end - begin + 1:
            why = "an entry leads to no inode"
            raise errors.corrupt(source.location, why)
        length, chunked = map(int, source.row(texts.SUM, (self._inline, *span)))
        told = 0
        if chunked <= _PIECE:
            source.write(texts.COPY_CHUNKS, span)
        else:
            for new, old, size in source.rows(texts.LIST_CHUNKED, span):
                told += self._copy_chunks(source, new, old, size)
        if self._has_xattrs:
            source.write(texts.COPY_XATTRS, span)
        if self._meter.listener is not None:
            self._meter.bytes(source.location, max(0, length - told))
            for _ in range(begin, end + 1):
                self._meter.count(source.location)
        return length

    def _copy_chunks(self, source: Store, new: int, old: int, size: int) -> int:
        """Copy the chunks of one file, in pieces; return the bytes told of."""
        texts = _sql.Pack
        if source.row(texts.IS_CHUNKED, (new,)) != (1,):  # it went into its row
            return 0
        count = max(1, _PIECE // source.chunk_size)
        last, copied = -1, count
        while copied == count:
            args = (new, old, last, count)
            copied = source.write(texts.COPY_PIECE, args).rowcount
            if copied:
                (last,) = source.row(texts.LAST_PIECE, (new,))
                self._meter.bytes(source.location, copied * source.chunk_size)
        return size
