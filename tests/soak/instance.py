"""The file system that the threads of one worker share: opened, reopened, killed."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.ground import lift_limit, limit_pages
from tests.soak.below import Below

from stratavfs import VirtualFileSystem as Vfs

if TYPE_CHECKING:
    from tests.soak.plan import Plan

SHARED: Final = "shared.db"
PATIENCE: Final = 3000  # times that opening is tried, 10 ms apart


def open_stack(directory: Path, timeout: float) -> Vfs:
    """Open the shared container over its layers, however busy the others are."""
    for attempt in range(PATIENCE):
        try:
            vfs = Vfs(directory / SHARED, 64, timeout=timeout)
            try:
                Below(directory).put_under(vfs)
            except BaseException:
                vfs.close()
                raise
        except OSError as error:
            if error.errno != errno.EBUSY or attempt == PATIENCE - 1:
                raise
            time.sleep(0.01)
        else:
            return vfs
    raise AssertionError


class Instance:
    """One file system, and what a fault needs of its inside."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._opening = threading.Lock()
        self._left: int | None = None  # statements until the process is killed
        self.was_full = False
        self.vfs = self._opened()

    def _opened(self) -> Vfs:
        directory = Path(self._plan.directory)
        if self._plan.owner:
            vfs = Vfs(Below(directory).base, timeout=self._plan.timeout)
        else:
            vfs = open_stack(directory, self._plan.timeout)
        self._watch(vfs)
        return vfs

    def reopen(self) -> None:
        """Close it while others use it, and open it again."""
        with self._opening:
            self.vfs.close()
            self.vfs = self._opened()

    def close(self) -> None:
        with self._opening:
            self.vfs.close()

    # --- faults ----------------------------------------------------------------------

    def die_after(self, statements: int) -> None:
        """Let the process be killed before one of the next SQL statements."""
        self._left = statements
        self._watch(self.vfs)

    def _watch(self, vfs: Vfs) -> None:
        if self._left is not None:
            with vfs._store.lock:
                if not vfs.closed:
                    vfs._store._cx.set_trace_callback(self._count)

    def _count(self, _: str) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def fill_disk(self, pages: int) -> None:
        """Let this connection find the disk full after *pages* more."""
        self.was_full = True
        vfs = self.vfs
        with vfs._store.lock:
            vfs._store.require_open()
            limit_pages(vfs._store._cx, pages)

    def empty_disk(self) -> None:
        vfs = self.vfs
        with vfs._store.lock:
            vfs._store.require_open()
            lift_limit(vfs._store._cx)
