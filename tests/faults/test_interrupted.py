"""Interrupted anywhere: Ctrl-C, or what a signal's handler raises, at every moment.

Afterwards the state is before or after, no lock is held, no transaction is open, and
the next call works, in another thread too.
"""

from __future__ import annotations

import gc
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.faults import layered, test_nth_statement
from tests.faults.interrupted import (
    Case,
    Interrupting,
    Moments,
    Stop,
    assert_unbroken,
    place_of,
    raising,
    rows_of,
    write_and_take_back,
)
from tests.faults.test_crash import moment

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.interrupted import Call

pytestmark = pytest.mark.no_slow_contracts("single")


# --- changes in one layer -------------------------------------------------------------


def filled() -> VirtualFileSystem:
    vfs = empty()
    test_nth_statement.fill(vfs)
    return vfs


def empty() -> VirtualFileSystem:
    # Who waits for a lock that was left held gives up soon.
    return VirtualFileSystem(":memory:", 64, timeout=0.05, clock=moment)


def in_batch(call: Call) -> Call:
    def act(vfs: VirtualFileSystem) -> None:
        with vfs.atomic_batch():
            vfs.write_text("/first", "of the batch")
            call(vfs)
            vfs.touch("/last")

    return act


def nested(vfs: VirtualFileSystem) -> None:
    with vfs.atomic_batch():
        vfs.write_text("/first", "of the batch")
        with suppress(KeyError), vfs.atomic_batch():
            vfs.rmtree("/tree")
            raise KeyError
        with vfs.atomic_batch() as batch:
            vfs.remove("/big")
            batch.rollback()
        with vfs.atomic_batch(), vfs.open("/small", "ab") as file:
            file.write(b"more")


CHANGES: dict[str, Call] = {
    **test_nth_statement.MUTATORS,
    "nested": nested,
}


def append(vfs: VirtualFileSystem, path: str) -> None:
    with vfs.open(path, "a") as file:
        print("one more line", file=file)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_interrupt_anywhere_in_a_change_leaves_all_or_nothing(name: str) -> None:
    case = Case(filled, CHANGES[name])

    assert_unbroken(case.broken())
    assert len(case.moments) > 20


@pytest.mark.slow
@pytest.mark.parametrize("name", test_nth_statement.MUTATORS)
def test_interrupt_anywhere_in_a_batch_leaves_all_or_nothing(name: str) -> None:
    case = Case(filled, in_batch(CHANGES[name]))

    assert_unbroken(case.broken(stride=5))
    assert len(case.moments) > 100


@pytest.mark.parametrize("name", ["write_bytes over", "rename", "batch"])
def test_interrupt_at_some_moments_of_a_change_leaves_all_or_nothing(name: str) -> None:
    case = Case(filled, CHANGES[name])

    assert_unbroken(case.broken(stride=4))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["write_bytes new", "copytree", "nested"])
@pytest.mark.parametrize("kind", [TimeoutError, Stop])
def test_signal_that_raises_anything_anywhere_leaves_all_or_nothing(
    name: str, kind: type[BaseException]
) -> None:
    """TimeoutError is an OSError: what catches these must not take it for SQLite's."""
    case = Case(filled, CHANGES[name])

    assert_unbroken(case.broken(kind))


@pytest.mark.slow
@pytest.mark.parametrize("name", test_nth_statement.ASKERS)
def test_interrupt_anywhere_in_a_question_leaves_everything_as_it_was(
    name: str,
) -> None:
    case = Case(filled, test_nth_statement.ASKERS[name])

    assert_unbroken(case.broken())
    assert case.before == case.after


# --- the error kept, as a prompt keeps the last one -----------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["write_bytes over", "rename", "batch", "nested"])
def test_interrupt_whose_traceback_is_kept_leaves_the_next_call_working(
    name: str,
) -> None:
    """The frames left behind hold what they held; the next call gets over it."""
    case = Case(filled, CHANGES[name])
    before, after = shown(filled()), shown(done := filled(), CHANGES[name])
    assert rows_of(done) == case.after
    found: dict[str, str] = {}

    with raising(KeyboardInterrupt), ThreadPoolExecutor(1) as others:
        for n in case.moments:
            vfs = filled()
            try:
                with Interrupting(n):
                    case.call(vfs)
            except KeyboardInterrupt as error:
                kept = error
                if shown(vfs) not in (before, after):
                    found[place_of(kept.__traceback__)] = "showed half a call"
                elif wrong := case.wrong_with(vfs, others):
                    found[place_of(kept.__traceback__)] = wrong

    assert_unbroken(found)


def shown(vfs: VirtualFileSystem, call: Call | None = None) -> dict[str, bytes]:
    """Return what all files hold, asked of the library, after *call*."""
    if call is not None:
        call(vfs)
    return {path: vfs.read_bytes(path) for path in vfs.glob("/**") if vfs.isfile(path)}


# --- layers ---------------------------------------------------------------------------


class Layered(Case):
    """A call on a file system over another one, which must stay free too."""

    def __init__(self, call: Call) -> None:
        self.made: list[VirtualFileSystem] = []
        super().__init__(self.stack, call)
        self.layers = self.made

    def stack(self) -> VirtualFileSystem:
        base, vfs = empty(), empty()
        layered.fill_base(base)
        vfs.add_underlay(base, name="base")
        layered.edit_local(vfs)
        self.made[:] = [base]
        return vfs


@pytest.mark.slow
@pytest.mark.parametrize("name", layered.CALLS)
def test_interrupt_anywhere_in_a_change_of_a_base_leaves_all_or_nothing(
    name: str,
) -> None:
    case = Layered(layered.CALLS[name])

    assert_unbroken(case.broken(stride=6))


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["apply_to", "flatten"])
def test_interrupt_anywhere_in_a_graft_leaves_all_or_nothing(verb: str) -> None:
    source = Layered(lambda vfs: vfs.touch("/ready")).stack()

    def target() -> VirtualFileSystem:
        vfs = empty()
        if verb == "apply_to":
            layered.fill_base(vfs)
        return vfs

    case = Case(target, getattr(source, verb))
    case.layers = [source]

    assert_unbroken(case.broken(stride=11))
    assert len(case.moments) > 300


def test_interrupt_anywhere_in_adding_an_underlay_leaves_it_added_or_not() -> None:
    base = filled()
    case = Case(empty, lambda vfs: vfs.add_underlay(base, name="base"))
    case.layers = [base]

    def add_again(vfs: VirtualFileSystem) -> None:
        vfs.remove_underlay("base")
        vfs.add_underlay(base, name="base")
        assert vfs.read_text("/small") == "small"

    assert_unbroken(case.broken(then=add_again))


# --- handles --------------------------------------------------------------------------


# --- the container itself -------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["sync", "compact", "check", "repair", "stats"])
def test_interrupt_anywhere_in_upkeep_leaves_everything_as_it_was(
    verb: str, tmp_path: Path
) -> None:
    numbers = itertools.count()
    open_ones: list[VirtualFileSystem] = []

    def on_disk() -> VirtualFileSystem:
        for vfs in open_ones:
            vfs.close()
        path = tmp_path / f"{next(numbers)}.db"
        open_ones[:] = [VirtualFileSystem(path, 64, clock=moment)]
        test_nth_statement.fill(open_ones[0])
        return open_ones[0]

    case = Case(on_disk, lambda vfs: getattr(vfs, verb)())

    assert_unbroken(case.broken())
    assert case.before == case.after
    open_ones[0].close()


@pytest.mark.slow
def test_interrupt_anywhere_in_a_backup_leaves_a_whole_target_or_none(
    tmp_path: Path,
) -> None:
    target = tmp_path / "backup.db"

    def look(vfs: VirtualFileSystem) -> None:
        if target.exists():
            assert ground.dump_of(target) == rows_of(vfs)
            target.unlink()
        assert os.listdir(tmp_path) == []

    case = Case(filled, lambda vfs: vfs.backup(target))
    target.unlink()

    assert_unbroken(case.broken(then=look))


@pytest.mark.slow
@pytest.mark.parametrize("exists", [False, True], ids=["no file", "container"])
def test_interrupt_anywhere_in_opening_leaves_what_opens_again(
    exists: bool, tmp_path: Path
) -> None:
    path = tmp_path / "c.db"

    def fresh() -> None:
        for end in ("", *ground.SIDE_FILES):
            path.with_name(path.name + end).unlink(missing_ok=True)
        if exists:
            with VirtualFileSystem(path, 64, clock=moment) as vfs:
                test_nth_statement.fill(vfs)

    moments = Moments()
    fresh()
    with moments:
        VirtualFileSystem(path, 64).close()

    with raising(KeyboardInterrupt) as lost:
        for n in sorted(moments.first.values())[::3]:
            fresh()
            with suppress(KeyboardInterrupt), Interrupting(n):
                VirtualFileSystem(path, 64).close()
            with VirtualFileSystem(path, 64, timeout=0.1) as vfs:
                assert vfs.listdir() in ([], ["big", "empty", "link", "small", "tree"])
                assert vfs.exists("/big") == exists
                vfs.touch("/works")
            assert ground.integrity_of(path) == "ok"
    assert lost == []


# --- what callbacks raise, and what is closed half way --------------------------------


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ValueError, OSError])
def test_exception_of_a_callback_of_copytree_leaves_nothing_copied(
    kind: type[BaseException], make_vfs: Any
) -> None:
    vfs = make_vfs(chunk_size=64)
    test_nth_statement.fill(vfs)
    before = rows_of(vfs)

    def ignore(directory: str, names: list[str]) -> list[str]:
        if directory == "/tree/deep":
            raise kind
        return []

    with pytest.raises(kind):
        vfs.copytree("/tree", "/copy", ignore=ignore)

    assert rows_of(vfs) == before
    with ThreadPoolExecutor(1) as others:
        others.submit(write_and_take_back, vfs).result(10)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ValueError, OSError])
@pytest.mark.parametrize("name", ["write_bytes new", "rename", "copytree", "batch"])
def test_exception_of_the_clock_leaves_all_as_it_was(
    kind: type[BaseException], name: str, make_vfs: Any
) -> None:
    def clock() -> int:
        if broken:
            raise kind
        return moment()

    broken: list[bool] = []
    vfs = make_vfs(":memory:", 64, clock=clock)
    test_nth_statement.fill(vfs)
    before = rows_of(vfs)
    broken.append(True)

    with pytest.raises(kind):
        CHANGES[name](vfs)

    assert rows_of(vfs) == before
    broken.clear()
    with ThreadPoolExecutor(1) as others:
        others.submit(write_and_take_back, vfs).result(10)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ValueError, OSError])
def test_exception_of_walks_onerror_ends_the_walk_and_holds_nothing(
    kind: type[BaseException], make_vfs: Any
) -> None:
    vfs = make_vfs()
    test_nth_statement.fill(vfs)

    def onerror(_: OSError) -> None:
        raise kind

    with pytest.raises(kind):
        list(vfs.walk("/missing", onerror=onerror))

    with ThreadPoolExecutor(1) as others:
        others.submit(write_and_take_back, vfs).result(10)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ValueError])
def test_exception_of_progress_leaves_no_backup(
    kind: type[BaseException], make_vfs: Any, tmp_path: Path
) -> None:
    vfs = make_vfs()
    test_nth_statement.fill(vfs)

    def progress(_: object) -> None:
        raise kind

    with pytest.raises(kind):
        vfs.backup(tmp_path / "backup.db", progress)

    assert os.listdir(tmp_path) == []
    write_and_take_back(vfs)


def steps(vfs: VirtualFileSystem) -> Iterator[None]:
    with vfs.atomic_batch():
        vfs.rmtree("/tree")
        yield
        vfs.touch("/after")


def test_batch_of_a_generator_that_is_forgotten_is_taken_back(make_vfs: Any) -> None:
    """Nobody closes it: its finalizer raises GeneratorExit in it."""
    vfs = make_vfs()
    test_nth_statement.fill(vfs)
    before = rows_of(vfs)
    running = steps(vfs)
    next(running)
    assert rows_of(vfs) != before

    del running
    gc.collect()

    assert rows_of(vfs) == before
    with ThreadPoolExecutor(1) as others:
        others.submit(write_and_take_back, vfs).result(10)


def test_walk_and_scandir_left_half_way_hold_nothing(make_vfs: Any) -> None:
    vfs = make_vfs()
    test_nth_statement.fill(vfs)
    walk, found, listing = vfs.walk("/"), vfs.iglob("**/*"), vfs.scandir("/")
    for iterator in (walk, found, listing):
        next(iterator)

    with ThreadPoolExecutor(1) as others:
        others.submit(write_and_take_back, vfs).result(10)

    for iterator in (walk, found, listing):
        iterator.close()
    assert not vfs._store._cx.in_transaction
