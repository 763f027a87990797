"""What tests of batches with open handles share: the ways to leave one.

All but the first of them take back what was done inside.
"""

# ruff: noqa: PT012 - the steps of a batch before its end are what is shared

from __future__ import annotations

import errno
import io
import threading
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import pytest
from tests.api.test_batches import failing
from tests.ground import lift_limit, limit_pages

from stratavfs import BatchLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stratavfs import VirtualFileSystem


@contextmanager
def kept(vfs: VirtualFileSystem) -> Iterator[None]:
    with vfs.atomic_batch():
        yield


@contextmanager
def rolled_back(vfs: VirtualFileSystem) -> Iterator[None]:
    with vfs.atomic_batch() as batch:
        yield
        batch.rollback()


@contextmanager
def failing_outside(vfs: VirtualFileSystem) -> Iterator[None]:
    """An inner batch that is kept, in an outer one that is not."""
    with failing(vfs), vfs.atomic_batch():
        yield


@contextmanager
def given_up_from_inside(vfs: VirtualFileSystem) -> Iterator[None]:
    """The outer batch is rolled back while an inner one is open."""
    with vfs.atomic_batch() as outer, vfs.atomic_batch():
        yield
        outer.rollback()


@contextmanager
def lost(vfs: VirtualFileSystem) -> Iterator[None]:
    """SQLite rolls everything back, and nobody cares until the end."""
    with pytest.raises(BatchLost), vfs.atomic_batch():
        yield
        fill_up(vfs)
    lift_limit(vfs._store._cx)


def fill_up(vfs: VirtualFileSystem) -> None:
    limit_pages(vfs._store._cx, 2)
    with pytest.raises(OSError) as caught:
        vfs.write_bytes("/too/big", bytes(100_000))
    assert caught.value.errno == errno.ENOSPC
    assert not vfs._store._cx.in_transaction


TAKEN_BACK = {
    "error": failing,
    "rollback": rolled_back,
    "outer error": failing_outside,
    "outer rollback": given_up_from_inside,
    "lost": lost,
}
WAYS = {"kept": kept, **TAKEN_BACK}

taken_back = pytest.mark.parametrize("way", TAKEN_BACK.values(), ids=TAKEN_BACK)


# --- what happens inside --------------------------------------------------------------


def put(file: Any, word: str) -> None:
    """Write *word* as the handle takes it."""
    file.write(word if isinstance(file, io.TextIOBase) else word.encode())


def use(file: IO[Any], word: str) -> Any:
    """Read a little, then write *word*, as the mode lets one; leave that in a buffer.

    Between writing and reading one has to seek, as in C; and where UTF-16 was written,
    the decoder would look for another BOM.
    """
    both = file.readable() and file.writable()
    found = None
    if file.readable() and not (both and getattr(file, "encoding", "") == "utf-16"):
        file.seek(file.tell())
        found = file.read(3)
    if file.writable():
        if both:
            file.seek(file.tell())
        put(file, word)
    return found


def in_thread(call: Callable[[], object]) -> None:
    """Run *call* in another thread, to its end."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert failures == []
