"""Forked: a child uses the file system that it inherited, and its parent goes on.

SQLite keeps books of the locks that a process has; a child inherits the books without
the locks. So whatever parent and child do, in whatever order they end, is looked at by
a third: nothing is lost, nothing is damaged.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.children import (
    BIG,
    LONG,
    Child,
    assert_sound,
    count,
    forks,
    in_child,
    make_container,
)
from tests.ground import query, tree_of

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

pytestmark = forks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_container(tmp_path / "c.db")


@pytest.fixture
def vfs(path: Path, make_vfs: Any) -> Any:
    """In use: with a log that is not written back, and with its connection warm."""
    vfs = make_vfs(path, timeout=LONG)
    vfs.touch("/parent")
    return vfs


# --- the child's use ------------------------------------------------------------------


def test_child_reads_and_writes_by_the_instance_it_inherited(
    vfs: VirtualFileSystem, path: Path
) -> None:
    def work() -> list[Any]:
        with vfs.atomic_batch():
            vfs.write_text("/child", "here")
            vfs.rename("/old", "/older")
        with vfs.open("/child", "a") as file:
            file.write(" and there")
        found = [vfs.read_bytes("/big") == BIG, vfs.read_text("/child")]
        return [*found, vfs.listdir("/"), vfs.check(deep=True)]

    found = in_child(work)

    names = ["big", "child", "count", "older", "parent"]
    assert found == [True, "here and there", names, []]
    assert vfs.listdir("/") == names
    vfs.rename("/older", "/old")
    assert_sound(path, "child")


def test_parent_and_child_count_together_and_lose_no_step(
    vfs: VirtualFileSystem, path: Path
) -> None:
    children = [Child(lambda _: count(vfs, 50)) for _ in range(2)]

    count(vfs, 50)
    for child in children:
        child.answer()

    assert vfs.read_text("/count") == "150"
    assert_sound(path)


def test_child_of_a_child_uses_it_too(vfs: VirtualFileSystem, path: Path) -> None:
    def work() -> str:
        vfs.write_text("/child", "x")
        return in_child(lambda: (vfs.write_text("/grandchild", "y"), "ended")[1])

    assert in_child(work) == "ended"
    assert_sound(path, "child", "grandchild")


def test_child_reads_on_by_a_handle_of_its_parent(vfs: VirtualFileSystem) -> None:
    """Each has a place of its own in the file from then on."""
    openers = [("rb", 0), ("rb", -1), ("r+b", -1)]
    handles: list[Any] = [vfs.open("/big", *how) for how in openers]
    for handle in handles:
        handle.read(100)

    found = in_child(lambda: [handle.read(1000) for handle in handles])

    assert found == [BIG[100:1100]] * 3
    assert [handle.tell() for handle in handles] == [100] * 3
    assert [handle.read(1000) for handle in handles] == [BIG[100:1100]] * 3
    for handle in handles:
        handle.close()


def test_child_closes_what_it_inherited_and_leaves_the_parents_alone(
    vfs: VirtualFileSystem, path: Path
) -> None:
    file = vfs.open("/big", "rb", 0)

    def work() -> bool:
        warnings.simplefilter("ignore", ResourceWarning)
        vfs.close()
        return vfs.closed and file.closed

    assert in_child(work)
    assert file.read() == BIG
    file.close()
    assert_sound(path)


def test_unlinked_file_of_the_parent_outlives_the_child(
    vfs: VirtualFileSystem, path: Path
) -> None:
    file = vfs.open("/unlinked", "w+b", 0)
    file.write(BIG)
    vfs.remove("/unlinked")

    def work() -> bytes:
        file.seek(0)
        found = bytes(file.read())
        file.close()
        VirtualFileSystem(path).close()
        return found

    assert in_child(work) == BIG
    file.seek(0)
    assert file.read() == BIG
    file.close()
    assert query(path, "SELECT id FROM inodes WHERE nlink = 0") == []
    assert_sound(path)


def test_file_unlinked_by_the_child_is_whole_or_stale_for_the_parent(
    vfs: VirtualFileSystem, path: Path
) -> None:
    """The child has the handle too, and keeps the file as long as it lives."""
    vfs.write_text("/gone", "x")
    with vfs.open("/gone", "rb", 0) as file:
        in_child(lambda: vfs.remove("/gone"))

        try:
            found = file.read()
        except OSError as error:
            assert error.errno == errno.ESTALE  # noqa: PT017 - one of two ends
            found = b"x"

    vfs.close()
    VirtualFileSystem(path).close()
    assert found == b"x"
    assert query(path, "SELECT id FROM inodes WHERE nlink = 0") == []
    assert_sound(path)


def test_child_of_a_process_that_has_changed_its_directory_finds_the_container(
    path: Path, monkeypatch: pytest.MonkeyPatch, make_vfs: Any, tmp_path: Path
) -> None:
    """It is opened by the name it had when its relative path was given."""
    monkeypatch.chdir(path.parent)
    vfs = make_vfs(path.name)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert in_child(lambda: vfs.read_text("/old")) == "old"
    assert os.listdir(tmp_path / "elsewhere") == []


def test_child_makes_no_container_where_the_file_has_gone(
    path: Path, make_vfs: Any
) -> None:
    vfs = make_vfs(path)
    os.rename(path, path.with_name("moved.db"))

    def work() -> str:
        with pytest.raises(OSError) as caught:
            vfs.write_text("/lost", "x")
        return str(caught.value.filename)

    try:
        assert in_child(work) == str(path)
        assert not path.exists()
    finally:
        os.rename(path.with_name("moved.db"), path)


def test_read_only_child_stays_read_only(path: Path, make_vfs: Any) -> None:
    vfs = make_vfs(path, read_only=True)

    def work() -> str:
        with pytest.raises(PermissionError):
            vfs.write_text("/child", "x")
        return str(vfs.read_text("/old"))

    assert in_child(work) == "old"


def test_memory_that_is_inherited_is_a_copy_of_its_own(make_vfs: Any) -> None:
    vfs = make_vfs(":memory:", 64)
    vfs.write_bytes("/big", BIG)

    def work(talk: Connection) -> list[str]:
        vfs.write_text("/child", "x")
        talk.send("written")
        talk.recv()
        return list(vfs.listdir("/"))

    child = Child(work)
    child.receive()
    vfs.write_text("/parent", "x")
    child.send()

    assert child.answer() == ["big", "child"]
    assert vfs.listdir("/") == ["big", "parent"]
    assert in_child(lambda: vfs.check(deep=True)) == []


# --- who ends when --------------------------------------------------------------------


@pytest.mark.parametrize("first", ["open", "used", "written"])
def test_child_goes_on_when_its_parent_has_closed_and_others_have_written(
    vfs: VirtualFileSystem, path: Path, first: str
) -> None:
    """The last one to close a log removes it; the child is one more to count."""

    def work(talk: Connection) -> list[str]:
        if first != "open":
            vfs.read_text("/old")
        if first == "written":
            vfs.write_text("/child", "x")
        talk.send("ready")
        talk.recv()
        vfs.write_bytes("/child", BIG)
        with vfs.atomic_batch():
            names = list(vfs.listdir("/"))
            vfs.write_text("/child2", "x")
        assert vfs.check(deep=True) == []
        vfs.close()
        return names

    child = Child(work)
    child.receive()
    vfs.write_text("/parent", "after")
    vfs.close()
    with VirtualFileSystem(path) as third:
        third.write_bytes("/third", BIG)
    child.send()

    names = ["big", "child", "count", "old", "parent", "third"]
    assert child.answer() == names
    assert_sound(path, "child", "child2", "third")
    assert tree_of(path)["/third"] == tree_of(path)["/child"] == BIG


def test_parent_goes_on_when_its_child_has_ended_and_others_have_written(
    vfs: VirtualFileSystem, path: Path
) -> None:
    in_child(lambda: vfs.write_text("/child", "x"))
    with VirtualFileSystem(path) as third:
        third.write_bytes("/third", BIG)

    vfs.write_text("/again", "x")

    assert vfs.read_bytes("/third") == BIG
    assert_sound(path, "again", "child", "third")
    vfs.close()
    assert_sound(path, "again", "child", "third")
    assert os.listdir(path.parent) == ["c.db"]


@pytest.mark.parametrize("how", ["idle", "writing", "in a batch"])
def test_child_that_is_killed_leaves_the_parent_and_its_log_alone(
    vfs: VirtualFileSystem, path: Path, how: str
) -> None:
    def work(talk: Connection) -> None:
        if how != "idle":
            vfs.write_text("/child", "kept")
        if how == "in a batch":
            batch = vfs.atomic_batch()
            batch.__enter__()
            for number in range(60):
                vfs.write_bytes(f"/never/{number}", BIG)
        talk.send("ready")
        talk.recv()

    child = Child(work)
    child.receive()
    child.kill()

    vfs.write_text("/after", "x")

    assert vfs.read_text("/parent") == "before"
    assert_sound(path, "after", *([] if how == "idle" else ["child"]))


EXITING = """
import os, sys, threading
from stratavfs import VirtualFileSystem
vfs = VirtualFileSystem(sys.argv[1])
vfs.write_text("/parent", "before")
keep = [vfs.open("/big", "rb"), vfs.open("/old", "rb", 0)]
vfs.remove("/old")
pid = os.fork()
if pid == 0:
    keep[0].read(10)
    if "write" in sys.argv[2]:
        vfs.write_text("/child", "x")
    if "close" in sys.argv[2]:
        vfs.close()
    if "raise" in sys.argv[2]:
        raise SystemExit(3)
    sys.exit(3)  # through all of the interpreter's end
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
assert keep[1].read() == b"old"
vfs.write_text("/old", "again")
print(vfs.listdir("/"), vfs.check(deep=True), flush=True)
os.kill(os.getpid(), 9)  # what is in the log must be all there
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["nothing", "read", "write", "write, close", "raise"])
def test_child_that_exits_leaves_the_parents_log_alone(path: Path, what: str) -> None:
    """The interpreter's end finalises all that the child has inherited."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EXITING, path, what],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG,
    )

    child = ["child"] if "write" in what else []
    expected = sorted(["big", "count", "old", "parent", *child])
    assert run.stdout.strip() == f"{expected} []", run.stderr
    assert run.returncode == -signal.SIGKILL
    assert_sound(path, *child)
