"""backup() while others write: the copy is one committed state, and they go on."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api.batches import in_thread
from tests.api.test_backups import assert_copy, place, rows, target, vfs
from tests.concurrency.test_processes import Peer

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stratavfs.records import Progress

__all__ = ["place", "target", "vfs"]  # fixtures

Vfs = VirtualFileSystem


# --- while others write ---------------------------------------------------------------


def test_change_between_the_steps_is_not_in_the_copy(vfs: Vfs, target: Path) -> None:
    before = rows(vfs)
    heard: list[Progress] = []

    def tell(progress: Progress) -> None:
        heard.append(progress)
        assert len(heard) < 200, "it begins anew with each change"
        vfs.write_bytes("/large", b"%d" % progress.done * 200_000)
        vfs.write_bytes("/f", b"%d" % progress.done)

    vfs.backup(target, tell)

    assert_copy(target, before)
    assert vfs.read_bytes("/f") == b"%d" % heard[-1].total


def test_change_of_another_instance_between_the_steps_is_not_in_the_copy(
    make_vfs: Any, place: Path, target: Path
) -> None:
    vfs, other = make_vfs(place / "source.db"), make_vfs(place / "source.db")
    vfs.write_bytes("/large", bytes(5_000_000))
    before = rows(vfs)

    vfs.backup(target, lambda it: other.write_bytes("/large", b"%d" % it.done * 9999))

    assert_copy(target, before)


def test_batch_of_another_instance_is_not_in_the_copy(
    make_vfs: Any, place: Path, target: Path
) -> None:
    vfs, other = make_vfs(place / "source.db"), make_vfs(place / "source.db")
    vfs.touch("/f")
    before = rows(vfs)

    with other.atomic_batch():
        other.touch("/inside")
        vfs.backup(target)

    assert_copy(target, before)
    assert vfs.listdir() == ["f", "inside"]


@pytest.fixture
def peer() -> Iterator[Peer]:
    other = Peer()
    yield other
    other.finish()


@pytest.mark.slow
def test_batch_of_another_process_is_not_in_the_copy(
    make_vfs: Any, place: Path, target: Path, peer: Peer
) -> None:
    vfs = make_vfs(place / "source.db")
    vfs.touch("/f")
    before = rows(vfs)
    peer.open(place / "source.db")
    peer("globals().update(batch=vfs.atomic_batch()) or batch.__enter__() and 0")
    peer("vfs.touch('/inside')")

    vfs.backup(target)

    peer("batch.__exit__(None, None, None)")
    peer("vfs.close()")
    assert_copy(target, before)
    assert vfs.listdir() == ["f", "inside"]


@pytest.mark.no_slow_contracts("threads")
def test_batch_of_another_thread_is_waited_for_and_whole(
    vfs: Vfs, target: Path
) -> None:
    thread = threading.Thread(target=vfs.backup, args=(target,))
    with vfs.atomic_batch():
        vfs.touch("/one")
        thread.start()
        vfs.touch("/two")
    thread.join(20)

    with Vfs(target) as copy:
        assert (copy.exists("/one"), copy.exists("/two")) == (True, True)


@pytest.mark.slow
@pytest.mark.no_slow_contracts("threads")
def test_copy_made_while_threads_write_is_one_committed_state(
    vfs: Vfs, target: Path
) -> None:
    stop = threading.Event()
    vfs.write_bytes("/1", b"-1")
    vfs.write_bytes("/2", b"-1" * 40_000)

    def write() -> None:
        number = 0
        while not stop.is_set():
            with vfs.atomic_batch():
                vfs.write_bytes("/1", b"%d" % number)
                vfs.write_bytes("/2", b"%d" % number * 40_000)
            number += 1

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    copies = [target.with_name(f"{number}.db") for number in range(5)]
    for copy in copies:
        vfs.backup(copy)
    stop.set()
    for thread in threads:
        thread.join(20)

    for copy in copies:
        assert ground.integrity_of(copy) == "ok"
        with Vfs(copy) as made:
            assert made.read_bytes("/2") == made.read_bytes("/1") * 40_000


def test_two_backups_at_once_are_both_complete(vfs: Vfs, target: Path) -> None:
    other = target.with_name("other.db")
    calls: list[Callable[[], object]] = [lambda: vfs.backup(other)]

    def tell(_: Progress) -> None:
        if calls:
            calls.pop()()

    vfs.backup(target, tell)

    assert ground.dump_of(target) == ground.dump_of(other) == rows(vfs)


def test_backup_from_another_thread_is_one_as_well(vfs: Vfs, target: Path) -> None:
    in_thread(lambda: vfs.backup(target))

    assert_copy(target, rows(vfs))


@pytest.mark.damaged
def test_container_that_was_deleted_has_no_backup(
    make_vfs: Any, place: Path, target: Path
) -> None:
    vfs = make_vfs(place / "source.db")
    vfs.touch("/f")
    for name in os.listdir(place):
        Path(place, name).unlink()

    with pytest.raises(FileNotFoundError) as caught:
        vfs.backup(target)

    assert caught.value.filename == str(place / "source.db")
    assert os.listdir(target.parent) == []
    assert os.listdir(place) == []
