"""SQLite fails at every statement in turn: an OSError, and all or nothing is done."""

from __future__ import annotations

import errno
import itertools
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests.ground import dump

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stratavfs import VirtualFileSystem

pytestmark = pytest.mark.no_slow_contracts("single")

BIG = bytes(range(256)) * 4


class Fault(NamedTuple):
    """What SQLite does at the n-th statement."""

    code: int
    errno: int
    rolls_back: bool
    """Whether it has ended the whole transaction before it reports."""


FAULTS = {
    "I/O error": Fault(sqlite3.SQLITE_IOERR_WRITE, errno.EIO, rolls_back=False),
    "I/O error, rolled back": Fault(sqlite3.SQLITE_IOERR, errno.EIO, rolls_back=True),
    "disk full": Fault(sqlite3.SQLITE_FULL, errno.ENOSPC, rolls_back=False),
    "disk full, rolled back": Fault(sqlite3.SQLITE_FULL, errno.ENOSPC, rolls_back=True),
    "busy": Fault(sqlite3.SQLITE_BUSY, errno.EBUSY, rolls_back=False),
}


class FaultyConnection:
    """A connection that fails once, at its n-th statement."""

    def __init__(self, cx: sqlite3.Connection, fault: Fault, n: int) -> None:
        self._cx = cx
        self._fault = fault
        self.left = n

    @property
    def in_transaction(self) -> bool:
        return self._cx.in_transaction

    @property
    def total_changes(self) -> int:
        return self._cx.total_changes

    def execute(self, *args: Any) -> sqlite3.Cursor:
        self._count()
        return self._cx.execute(*args)

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        self._count()
        return self._cx.executemany(*args)

    def blobopen(self, *args: Any) -> sqlite3.Blob:
        self._count()
        return self._cx.blobopen(*args)

    def set_progress_handler(self, *args: Any) -> None:
        self._cx.set_progress_handler(*args)

    def close(self) -> None:
        self._cx.close()

    def _count(self) -> None:
        self.left -= 1
        if self.left:
            return
        if self._fault.rolls_back and self._cx.in_transaction:
            self._cx.execute("ROLLBACK")
        error = sqlite3.OperationalError("made up")
        error.sqlite_errorcode = self._fault.code
        raise error


@contextmanager
def failing(vfs: VirtualFileSystem, fault: Fault, n: int) -> Iterator[FaultyConnection]:
    """Let the *n*-th statement from now on fail."""
    real = vfs._store._cx
    faulty = FaultyConnection(real, fault, n)
    vfs._store._cx = faulty  # type: ignore[assignment]
    try:
        yield faulty
    finally:
        vfs._store._cx = real


def batch(vfs: VirtualFileSystem) -> None:
    with vfs.atomic_batch():
        vfs.write_text("/new", "1")
        vfs.rename("/tree", "/x/tree")
        with vfs.atomic_batch():
            vfs.remove("/big")


def write_by_handle(vfs: VirtualFileSystem) -> None:
    with vfs.open("/big", "r+b", buffering=0) as raw:
        raw.seek(100)
        raw.write(b"y" * 10)


def append_by_handle(vfs: VirtualFileSystem) -> None:
    with vfs.open("/big", "ab", buffering=0) as raw:
        raw.write(b"y" * 100)


def truncate_by_handle(vfs: VirtualFileSystem) -> None:
    with vfs.open("/big", "r+b", buffering=0) as raw:
        raw.truncate(100)


MUTATORS: dict[str, Callable[[VirtualFileSystem], object]] = {
    "write_bytes new": lambda vfs: vfs.write_bytes("/x/y", BIG),
    "write_bytes over": lambda vfs: vfs.write_bytes("/big", b"s"),
    "write_text": lambda vfs: vfs.write_text("/small", "other"),
    "copy": lambda vfs: vfs.copy("/big", "/x/y"),
    "copy2": lambda vfs: vfs.copy2("/small", "/big"),
    "touch": lambda vfs: vfs.touch("/x/y"),
    "truncate": lambda vfs: vfs.truncate("/big", 100),
    "remove": lambda vfs: vfs.remove("/big"),
    "open w": lambda vfs: vfs.open("/big", "wb").close(),
    "open x": lambda vfs: vfs.open("/x/y", "xb").close(),
    "open a": lambda vfs: vfs.open("/x/y", "ab").close(),
    "symlink": lambda vfs: vfs.symlink("a", "/x/y"),
    "link": lambda vfs: vfs.link("/big", "/x/y"),
    "chmod": lambda vfs: vfs.chmod("/big", 0o600),
    "chown": lambda vfs: vfs.chown("/big", 1, 2),
    "utime": lambda vfs: vfs.utime("/big", ns=(1, 2)),
    "setxattr": lambda vfs: vfs.setxattr("/big", "user.b", b"2"),
    "removexattr": lambda vfs: vfs.removexattr("/small", "user.a"),
    "mkdir": lambda vfs: vfs.mkdir("/x/y", parents=True),
    "makedirs": lambda vfs: vfs.makedirs("/x/y"),
    "rmdir": lambda vfs: vfs.rmdir("/empty"),
    "rmtree": lambda vfs: vfs.rmtree("/tree"),
    "copytree": lambda vfs: vfs.copytree("/tree", "/x/copy"),
    "rename": lambda vfs: vfs.rename("/tree", "/x/y"),
    "replace": lambda vfs: vfs.replace("/small", "/big"),
    "move": lambda vfs: vfs.move("/tree", "/empty"),
    "handle write": write_by_handle,
    "handle append": append_by_handle,
    "handle truncate": truncate_by_handle,
    "batch": batch,
}
ASKERS: dict[str, Callable[[VirtualFileSystem], object]] = {
    "read_bytes": lambda vfs: vfs.read_bytes("/big"),
    "read_text": lambda vfs: vfs.read_text("/link"),
    "stat": lambda vfs: vfs.stat("/link"),
    "exists": lambda vfs: vfs.exists("/link"),
    "listdir": lambda vfs: vfs.listdir("/empty"),
    "scandir": lambda vfs: list(vfs.scandir("/tree")),
    "walk": lambda vfs: list(vfs.walk("/", onerror=_raise)),
    "glob": lambda vfs: vfs.glob("/**/s*"),
    "getxattr": lambda vfs: vfs.getxattr("/small", "user.a"),
    "readlink": lambda vfs: vfs.readlink("/link"),
    "check": lambda vfs: vfs.check(),
}


def _raise(error: OSError) -> None:
    raise error


@pytest.fixture(params=["memory", "disk"])
def sample(
    request: pytest.FixtureRequest,
    make_vfs: Callable[..., VirtualFileSystem],
    tmp_path: Path,
) -> Callable[[], VirtualFileSystem]:
    """Return a maker of file systems that hold the same."""
    numbers = itertools.count()

    def make() -> VirtualFileSystem:
        where = tmp_path / f"{next(numbers)}.db"
        location = ":memory:" if request.param == "memory" else where
        vfs = make_vfs(location, 64, clock=lambda: 1_500_000_000_000_000_000)
        fill(vfs)
        return vfs

    return make


def fill(vfs: VirtualFileSystem) -> None:
    with vfs.atomic_batch():
        vfs.write_bytes("/big", BIG)
        vfs.write_text("/small", "small")
        vfs.setxattr("/small", "user.a", b"1")
        vfs.symlink("small", "/link")
        vfs.mkdir("/empty")
        vfs.write_bytes("/tree/deep/big", BIG)
        vfs.link("/small", "/tree/hard")


def state(vfs: VirtualFileSystem) -> object:
    return dump(vfs._store._cx)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("name", MUTATORS)
def test_change_with_fault_at_any_statement_is_all_or_nothing(
    sample: Callable[[], VirtualFileSystem], name: str, fault: Fault
) -> None:
    done = sample()
    MUTATORS[name](done)
    after = state(done)
    vfs = sample()
    before = state(vfs)

    for n in itertools.count(1):
        caught = outcome(vfs, MUTATORS[name], fault, n)
        if caught is None:
            break
        assert_names_container(caught, vfs, fault)
        if state(vfs) != before:  # the fault came after the call's one commit
            assert state(vfs) == after
            vfs = sample()
        assert_usable(vfs, before)

    assert n > 3
    assert state(vfs) == after


def outcome(
    vfs: VirtualFileSystem,
    call: Callable[[VirtualFileSystem], object],
    fault: Fault,
    n: int,
) -> OSError | None:
    """Return the error of *call* with a fault at statement *n*; None: it had fewer."""
    with failing(vfs, fault, n) as faulty:
        try:
            call(vfs)
        except OSError as error:
            return error
    # A fault that the call got over would hide behind its success.
    assert faulty.left > 0
    return None


def assert_names_container(
    error: OSError, vfs: VirtualFileSystem, fault: Fault
) -> None:
    assert error.errno == fault.errno
    assert error.filename == vfs.db_path
    assert isinstance(error.__cause__, sqlite3.OperationalError)


def assert_usable(vfs: VirtualFileSystem, before: object) -> None:
    """Something else works at once, and leaves no trace when it is taken back."""
    assert not vfs._store._cx.in_transaction
    with suppress(KeyError), vfs.atomic_batch():
        vfs.write_text("/after/the", "fault")
        assert vfs.read_text("/after/the") == "fault"
        raise KeyError
    assert state(vfs) == before


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("name", ASKERS)
def test_question_with_fault_at_any_statement_raises_and_changes_nothing(
    sample: Callable[[], VirtualFileSystem], name: str, fault: Fault
) -> None:
    vfs = sample()
    before, answer = state(vfs), repr(ASKERS[name](vfs))

    for n in itertools.count(1):
        vfs._store.changed()  # or the answer may be remembered
        caught = outcome(vfs, ASKERS[name], fault, n)
        if caught is None:
            break
        assert_names_container(caught, vfs, fault)
        assert not vfs._store._cx.in_transaction
        assert repr(ASKERS[name](vfs)) == answer

    assert n > 1
    assert state(vfs) == before


def test_close_of_orphan_with_fault_closes_the_handle(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path
) -> None:
    path = tmp_path / "c.db"
    vfs = make_vfs(path)
    vfs.write_text("/f", "x")
    raw = vfs.open("/f", "rb", buffering=0)
    vfs.remove("/f")

    with (
        failing(vfs, FAULTS["busy"], 1),
        pytest.raises(OSError) as caught,
    ):
        raw.close()

    assert caught.value.errno == errno.EBUSY
    assert raw.closed
    vfs.close()
    assert make_vfs(path)._store.rows("SELECT id FROM inodes WHERE nlink = 0") == []


def test_write_of_buffer_with_fault_can_be_flushed_again(
    mem: VirtualFileSystem,
) -> None:
    with mem.open("/f", "wb") as handle:
        handle.write(b"kept in the buffer")
        with failing(mem, FAULTS["disk full"], 1), pytest.raises(OSError) as caught:
            handle.flush()
        assert caught.value.errno == errno.ENOSPC
        handle.flush()

        assert mem.read_bytes("/f") == b"kept in the buffer"
