"""What tests that kill share beside the tools of ``test_crash``.

A child is killed before its n-th statement (``test_crash.survives``) or, here, in the
middle of its n-th write: past RLIMIT_FSIZE the kernel sends SIGXFSZ, and what was below
the limit stands in the file, a torn page included. What either leaves behind is read by
raw SQL before the library sees it.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.faults.test_crash import moment, survives

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Act = Callable[[VirtualFileSystem, Any], object]
"""A step, and what traces its statements: a killer, or None."""

FRAME = 24 + 4096  # bytes of the log that hold one page

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")


def survives_writing(work: Callable[[], object], limit: int) -> bool:
    """Run *work* in a child whose files end at *limit*; tell whether it ended.

    A write that crosses the limit is done as far as it goes; the next one kills.
    """
    import resource  # noqa: PLC0415 - not on Windows

    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - a child has nobody to raise to
            os.write(2, repr(error).encode())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        require(os.WTERMSIG(status) == signal.SIGXFSZ, "killed by something else")
        return False
    require(os.WEXITSTATUS(status) == 0, "the child failed")
    return True


def require(condition: object, otherwise: str) -> None:
    """Assert, also under ``python -O``, which leaves asserts of this module out."""
    if not condition:
        pytest.fail(otherwise)


def assert_sound(path: Path) -> None:
    """The library opens what is left, finds no fault and no orphan, and can go on."""
    with VirtualFileSystem(path, clock=moment, synchronous="off") as vfs:
        require(vfs.check(deep=True) == [], "the check finds something")
        with vfs.atomic_batch():
            vfs.write_text("/after", "the crash")
            vfs.remove("/after")
    orphans = [inode for inode in ground.dump_of(path)["inodes"] if inode[2] == 0]
    require(orphans == [], "orphans are left")
    require(ground.integrity_of(path) == "ok", "SQLite finds something")


def names_beside(path: Path) -> set[str]:
    """Return the names in the directory of *path* that are not the container's."""
    own = {path.name + end for end in ("", *ground.SIDE_FILES)}
    return {*os.listdir(path.parent)} - own


def in_batch(call: Callable[[VirtualFileSystem], object]) -> Act:
    """Return a step that makes *call* in the middle of a batch.

    Statements count from *call* on: what comes before is the same for all.
    """

    def act(vfs: VirtualFileSystem, killer: Any) -> None:
        with vfs.atomic_batch():
            work_before(vfs)
            trace(vfs, killer)
            call(vfs)
            vfs.touch("/last")

    return act


def from_the_start(call: Callable[[VirtualFileSystem], object]) -> Act:
    """Return a step that makes *call*, all its statements counted."""

    def act(vfs: VirtualFileSystem, killer: Any) -> None:
        trace(vfs, killer)
        call(vfs)

    return act


def work_before(vfs: VirtualFileSystem) -> None:
    vfs.write_text("/first/of/the", "batch")
    vfs.setxattr("/first", "user.first", b"1")


def trace(vfs: VirtualFileSystem, killer: Any) -> None:
    """Let *killer* count the statements of *vfs* from now on."""
    vfs._store._cx.set_trace_callback(killer)


class Images:
    """What was left behind, read once for each state of the files, byte for byte."""

    def __init__(self, states: Sequence[ground.Dump]) -> None:
        self.states = states
        self.reached = 0
        self.seen: dict[bytes, int] = {}

    def check(self, path: Path) -> None:
        """The files at *path* show one of the states, none that is over already."""
        image = image_of(path)
        if image not in self.seen:
            # Of a copy: who reads these files writes their log back into the database.
            left = ground.dump_of(copied(path, path.with_name("read.db")))
            require(left in self.states, "half a step")
            # Of two steps that show the same, as sync() does, the later one.
            last = self.states[::-1].index(left)
            self.seen[image] = len(self.states) - 1 - last
            assert_sound(path)
        require(self.seen[image] >= self.reached, "a step that was over is gone")
        self.reached = self.seen[image]

    def check_copy(self, path: Path) -> None:
        """Check a copy of the files at *path*, which are in use."""
        if image_of(path) not in self.seen:
            self.check(copied(path, path.with_name("copy.db")))
            self.seen[image_of(path)] = self.reached

    @property
    def finished(self) -> bool:
        return self.reached == len(self.states) - 1


def copied(path: Path, copy: Path) -> Path:
    """Copy a container as it is on the disk, with its log, index and journal."""
    files = ground.files_beside(path)
    for end in ("", *ground.SIDE_FILES):
        beside = copy.with_name(copy.name + end)
        beside.unlink(missing_ok=True)
        if f"{path}{end}" in files:
            beside.write_bytes(files[f"{path}{end}"])
    return copy


def image_of(path: Path) -> bytes:
    """Return what tells two states of the files at *path* apart."""
    files = ground.files_beside(path)
    files.pop(f"{path}-shm", None)  # an index of the log, made anew
    held = {name: content for name, content in files.items() if content}
    return hashlib.sha256(repr(held).encode()).digest()


Work = Callable[["Path", Any], object]
"""What runs in the child: with the path, and what its statements are traced by."""


def kill_everywhere(fresh: Callable[[], Path], work: Work, images: Images) -> int:
    """Kill *work* on fresh files at each statement in turn; return their number."""
    for n in itertools.count(1):
        path = fresh()
        survived = survives(lambda killer: work(path, killer), n)  # noqa: B023
        images.check(path)
        if survived:
            break
    return n - 1


def stop_everywhere(fresh: Callable[[], Path], work: Work, images: Images) -> int:
    """Let one *work* stop at each statement, and check what a kill would leave."""
    path = fresh()
    return stopped_at_each_statement(
        lambda stop: work(path, stop), lambda: images.check_copy(path)
    )


def stopped_at_each_statement(
    work: Callable[[Any], object], look: Callable[[], object]
) -> int:
    """Run *work* in a child that stops before each of its statements.

    *look* is called then: the files it finds are what a kill would leave. It runs out
    here, since who opens and closes the file in there drops SQLite's locks. At the end
    the child is killed. Return the number of statements.
    """
    told, asks = os.pipe()
    goes, go = os.pipe()

    def stop(_: str) -> None:
        os.write(asks, b"?")
        os.read(goes, 1)

    child = os.fork()
    if child == 0:
        try:
            work(stop)
            os.write(asks, b".")
            signal.pause()
        except BaseException as error:  # noqa: BLE001 - a child has nobody to raise to
            os.write(2, repr(error).encode())
            os._exit(1)
    os.close(asks)
    count, last = 0, b"?"
    try:
        while (last := os.read(told, 1)) == b"?":
            count += 1
            look()
            os.write(go, b"!")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for end in (told, goes, go):
            os.close(end)
    require(last == b".", "the child failed")
    look()
    return count


# --- no room --------------------------------------------------------------------------


@contextmanager
def limited(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond *size* bytes; Python ignores SIGXFSZ."""
    import resource  # noqa: PLC0415 - not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class SmallDisk:
    """A tmpfs of two megabytes, and a file that fills it."""

    SIZE = 2 << 20
    PAGE = 4096

    def __init__(self, path: Path) -> None:
        self.path = path
        self.filler = path / "filler"

    @contextmanager
    def with_room(self, pages: int) -> Iterator[None]:
        """Have so many pages free, and all of them afterwards."""
        free = os.statvfs(self.path).f_bavail - pages
        if free > 0:
            with self.filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, free * self.PAGE)
        try:
            yield
        finally:
            self.filler.unlink(missing_ok=True)

    @classmethod
    @contextmanager
    def mounted(cls, path: Path) -> Iterator[SmallDisk | None]:
        """Mount it at *path* meanwhile; None where this may not be done."""
        how = ["mount", "-t", "tmpfs", "-o", f"size={cls.SIZE}", "tmpfs", str(path)]
        try:
            subprocess.run(how, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            yield None
            return
        try:
            yield cls(path)
        finally:
            subprocess.run(["umount", "-l", str(path)], check=True)
