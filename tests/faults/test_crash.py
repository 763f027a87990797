"""Killed at every statement: afterwards all of a call is there, or nothing of it.

A child process opens a copy of a container, runs a scenario and kills itself before its
n-th statement, for n = 1, 2, ... until it survives. What it leaves behind is read by
raw SQL first, so that nothing the library does at opening can hide it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sqlite3
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from tests.ground import dump_of, integrity_of

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.ground import Dump

    Step = Callable[[VirtualFileSystem], object]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked"),
]

BIG = bytes(range(256)) * 1200  # 300 KiB: five chunks


def moment() -> int:
    """Return one moment for all, so that states can be compared to the last row."""
    return 1_500_000_000_000_000_000


def build(path: Path) -> None:
    """Make the container that every scenario starts from."""
    with VirtualFileSystem(path, clock=moment) as vfs:
        vfs.write_text("/small", "small")
        vfs.write_bytes("/big", BIG)
        vfs.setxattr("/small", "user.a", b"1")
        vfs.symlink("small", "/link")
        vfs.mkdir("/empty")
        vfs.write_bytes("/tree/deep/big", BIG[:100_000])
        vfs.write_text("/tree/deep/small", "s")
        vfs.symlink("deep", "/tree/link")
        vfs.link("/small", "/tree/hard")


def batch_of_five(vfs: VirtualFileSystem) -> None:
    with vfs.atomic_batch():
        vfs.write_text("/new/a", "a")
        vfs.write_bytes("/small", BIG)
        vfs.rename("/tree", "/new/tree")
        vfs.remove("/big")
        vfs.chmod("/new/a", 0o600)


def nested_batch(vfs: VirtualFileSystem) -> None:
    with vfs.atomic_batch():
        vfs.write_text("/a", "a")
        with suppress(KeyError), vfs.atomic_batch():
            vfs.rmtree("/tree")
            raise KeyError
        with vfs.atomic_batch():
            vfs.write_text("/b", "b")


class Writing:
    """Steps that write through one handle: each flush is a state of its own."""

    def __init__(self) -> None:
        self.handle: Any = None

    def steps(self) -> list[Step]:
        return [self.open, self.flush, self.patch, self.cut, self.close]

    def open(self, vfs: VirtualFileSystem) -> None:
        self.handle = vfs.open("/handle", "w+b")

    def flush(self, vfs: VirtualFileSystem) -> None:
        self.handle.write(b"x" * 5000)
        self.handle.flush()

    def patch(self, vfs: VirtualFileSystem) -> None:
        self.handle.seek(1000)
        self.handle.write(b"y" * 70_000)
        self.handle.flush()

    def cut(self, vfs: VirtualFileSystem) -> None:
        self.handle.truncate(66_000)

    def close(self, vfs: VirtualFileSystem) -> None:
        self.handle.seek(0)
        self.handle.write(b"z")
        self.handle.close()


class Orphan:
    """Steps that remove a file while it is open, and close it then."""

    def __init__(self, remove: Step) -> None:
        self.handle: Any = None
        self.remove = remove

    def steps(self) -> list[Step]:
        return [self.open, self.remove, self.write, self.close]

    def open(self, vfs: VirtualFileSystem) -> None:
        self.handle = vfs.open("/tree/deep/big", "r+b")

    def write(self, vfs: VirtualFileSystem) -> None:
        self.handle.write(b"late")
        self.handle.flush()

    def close(self, vfs: VirtualFileSystem) -> None:
        self.handle.close()


CALLS: dict[str, Step] = {
    "write_bytes new": lambda vfs: vfs.write_bytes("/x/y/new", b"new"),
    "write_bytes 300 KiB": lambda vfs: vfs.write_bytes("/new", BIG),
    "write_bytes over": lambda vfs: vfs.write_bytes("/big", b"short"),
    "write_bytes over by 300 KiB": lambda vfs: vfs.write_bytes("/small", BIG),
    "write_text": lambda vfs: vfs.write_text("/small", "other"),
    "copy": lambda vfs: vfs.copy("/big", "/copy"),
    "copy over": lambda vfs: vfs.copy("/small", "/big"),
    "copy2": lambda vfs: vfs.copy2("/small", "/empty"),
    "touch new": lambda vfs: vfs.touch("/a/b/c"),
    "truncate": lambda vfs: vfs.truncate("/big", 70_000),
    "truncate longer": lambda vfs: vfs.truncate("/small", 70_000),
    "remove": lambda vfs: vfs.remove("/big"),
    "remove one name of two": lambda vfs: vfs.remove("/small"),
    "open w": lambda vfs: vfs.open("/big", "w").close(),
    "symlink": lambda vfs: vfs.symlink("/small", "/a/b"),
    "link": lambda vfs: vfs.link("/big", "/a/b"),
    "chmod": lambda vfs: vfs.chmod("/small", 0o600),
    "chown": lambda vfs: vfs.chown("/small", "ann", 5),
    "utime": lambda vfs: vfs.utime("/small", ns=(1, 2)),
    "setxattr": lambda vfs: vfs.setxattr("/small", "user.b", b"2"),
    "removexattr": lambda vfs: vfs.removexattr("/small", "user.a"),
    "mkdir": lambda vfs: vfs.mkdir("/a/b/c", parents=True),
    "makedirs": lambda vfs: vfs.makedirs("/a/b/c"),
    "rmdir": lambda vfs: vfs.rmdir("/empty"),
    "rmtree": lambda vfs: vfs.rmtree("/tree"),
    "copytree": lambda vfs: vfs.copytree("/tree", "/x/copy", symlinks=True),
    "rename": lambda vfs: vfs.rename("/small", "/x/y"),
    "rename tree": lambda vfs: vfs.rename("/tree", "/x/y"),
    "replace": lambda vfs: vfs.replace("/small", "/big"),
    "replace directory": lambda vfs: vfs.replace("/tree", "/empty"),
    "move": lambda vfs: vfs.move("/tree", "/empty"),
    "sync": lambda vfs: vfs.sync(),
    "batch of five": batch_of_five,
    "nested batch": nested_batch,
    "close": lambda vfs: vfs.close(),
}
SCENARIOS: dict[str, Callable[[], list[Step]]] = {
    **{name: lambda call=call: [call] for name, call in CALLS.items()},  # type: ignore[misc]
    "handle": lambda: Writing().steps(),
    "orphan": lambda: Orphan(lambda vfs: vfs.remove("/tree/deep/big")).steps(),
    "orphan of a tree": lambda: Orphan(lambda vfs: vfs.rmtree("/tree")).steps(),
}


class Killer:
    """Counts statements and kills this process before the n-th."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self, statement: str) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def survives(work: Callable[[Killer], object], n: int) -> bool:
    """Run *work* in a child that is killed at statement *n*; tell whether it ended."""
    child = os.fork()
    if child == 0:
        # Nothing of pytest's may run in here: neither its fixtures nor its exit.
        try:
            work(Killer(n))
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - a child has nobody to raise to
            os.write(2, repr(error).encode())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


def run_scenario(path: Path, steps: list[Step], killer: Killer) -> None:
    vfs = VirtualFileSystem(path, clock=moment)
    vfs._store._cx.set_trace_callback(killer)
    for step in steps:
        step(vfs)


def states_of(path: Path, steps: list[Step]) -> list[Dump]:
    """Return the state before the first step and after each."""
    states = [dump_of(path)]
    vfs = VirtualFileSystem(path, clock=moment)
    for step in steps:
        step(vfs)
        states.append(dump_of(path))
    vfs.close()
    return states


def copy_of(baseline: Path, path: Path) -> Path:
    shutil.copyfile(baseline, path)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    return path


def assert_healthy(path: Path) -> None:
    """The library opens what is left, finds no fault in it, and can go on."""
    with VirtualFileSystem(path, clock=moment) as vfs:
        assert vfs.check() == []
        vfs.write_text("/after", "the crash")
        vfs.remove("/after")
    assert not any(inode[2] == 0 for inode in dump_of(path)["inodes"])  # orphans
    assert integrity_of(path) == "ok"


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("crash") / "baseline.db"
    build(path)
    return path


@pytest.mark.parametrize("name", SCENARIOS)
def test_kill_at_any_statement_leaves_all_or_nothing(
    name: str, baseline: Path, tmp_path: Path
) -> None:
    states = states_of(copy_of(baseline, tmp_path / "states.db"), SCENARIOS[name]())
    reached = 0

    for n in itertools.count(1):
        path = copy_of(baseline, tmp_path / "killed.db")
        steps = SCENARIOS[name]()
        survived = survives(lambda killer: run_scenario(path, steps, killer), n)  # noqa: B023
        left = dump_of(path)
        assert left in states[reached:], f"half a call after statement {n}"
        reached += states[reached:].index(left)
        assert_healthy(path)
        if survived:
            break

    assert left == states[-1]
    assert n > 1


def test_kill_while_opening_orphans_changes_no_name(
    baseline: Path, tmp_path: Path
) -> None:
    """The collection of what a first crash left is cut short by a second one."""
    crashed = copy_of(baseline, tmp_path / "crashed.db")
    steps = Orphan(lambda vfs: vfs.remove("/tree/deep/big")).steps()[:2]
    survives(lambda killer: run_scenario(crashed, steps, killer), 10_000)
    before = dump_of(crashed)
    assert any(inode[2] == 0 for inode in before["inodes"])

    def reopen(killer: Killer) -> None:
        trace_from_the_start(killer)
        VirtualFileSystem(path, clock=moment)

    for n in itertools.count(1):
        path = copy_of(crashed, tmp_path / "killed.db")
        survived = survives(reopen, n)
        left = dump_of(path)
        assert left["entries"] == before["entries"]
        assert left == before or not any(row[2] == 0 for row in left["inodes"])
        assert_healthy(path)
        if survived:
            break

    assert left != before


def trace_from_the_start(killer: Killer) -> None:
    """Have every connection of this process traced from its first statement on."""
    connect = sqlite3.connect

    def traced(*args: Any, **options: Any) -> sqlite3.Connection:
        cx: sqlite3.Connection = connect(*args, **options)
        cx.set_trace_callback(killer)
        return cx

    sqlite3.connect = traced  # type: ignore[assignment]


@pytest.mark.parametrize("exists", [False, True], ids=["no file", "empty file"])
def test_kill_while_creating_leaves_a_file_that_opens(
    exists: bool, tmp_path: Path
) -> None:
    def create(killer: Killer) -> None:
        trace_from_the_start(killer)
        vfs = VirtualFileSystem(path, 4096, clock=moment)
        vfs.write_text("/first", "1")
        vfs.close()

    for n in itertools.count(1):
        path = tmp_path / f"{n}.db"
        if exists:
            path.touch()
        survived = survives(create, n)
        with VirtualFileSystem(path, 512, clock=moment) as vfs:
            assert vfs.check() == []
            assert vfs.chunk_size in (512, 4096)
            assert vfs.listdir() in ([], ["first"])
        assert integrity_of(path) == "ok"
        if survived:
            break

    assert n > len(sys.modules["stratavfs._sql"].SCHEMA)


def test_kill_leaves_nothing_that_a_reader_cannot_read(
    baseline: Path, tmp_path: Path
) -> None:
    path = copy_of(baseline, tmp_path / "killed.db")
    survives(lambda killer: run_scenario(path, [CALLS["rename tree"]], killer), 10_000)

    with VirtualFileSystem(path, read_only=True) as vfs:
        seen = vfs.read_bytes("/x/y/deep/big")

    assert seen == BIG[:100_000]
