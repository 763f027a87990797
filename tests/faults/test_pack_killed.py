"""Killed, interrupted or out of room while a pack is written: all of it, or no file.

What a killed one leaves is called ``*.part``, and is in nobody's way. Both ways of
packing: from row to row within SQLite, and by a walk, which is that of a batch.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.faults import test_crash
from tests.faults.interrupted import Case, assert_unbroken
from tests.faults.killed import (
    assert_sound,
    forks,
    image_of,
    limited,
    names_beside,
    survives_writing,
)
from tests.faults.test_crash import copy_of, moment, survives, trace_from_the_start
from tests.faults.test_interrupted import filled
from tests.faults.test_io_errors import FULL

from stratavfs import VirtualFileSystem
from stratavfs._copyup import CopyUp
from stratavfs._layers import LayerStack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.damaged]


def copied(vfs: VirtualFileSystem, target: Path) -> None:
    vfs.pack(target, order=["/big"])


def walked(vfs: VirtualFileSystem, target: Path) -> None:
    with vfs.atomic_batch():
        vfs.pack(target, order=["/big"])


both = pytest.mark.parametrize("pack", [copied, walked])


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("packs") / "baseline.db"
    test_crash.build(path)
    return path


@pytest.fixture
def source(baseline: Path, tmp_path: Path) -> Callable[[], Path]:
    """Return a maker of directories with a copy of the container in them."""
    numbers = itertools.count()

    def make() -> Path:
        directory = tmp_path / f"source{next(numbers)}"
        directory.mkdir()
        return copy_of(baseline, directory / "source.db")

    return make


def assert_packed_or_not(path: Path, before: bytes) -> bool:
    """The source is as it was; the target is whole, or is not there."""
    target = path.with_name("target.db")
    whole = target.exists()
    assert image_of(path) == before
    assert all(".part" in name for name in names_beside(path) - {target.name})
    if not whole:  # what is left of the one killed is in nobody's way
        with VirtualFileSystem(path, clock=moment) as vfs:
            vfs.pack(target)
    assert ground.tree_of(target) == ground.tree_of(path)
    assert_sound(target)
    return whole


@forks
@both
def test_kill_at_any_statement_of_a_pack_leaves_a_whole_target_or_none(
    source: Callable[[], Path], pack: Callable[..., object]
) -> None:
    made = False

    def work(killer: Any) -> None:
        vfs = VirtualFileSystem(path, clock=moment)
        trace_from_the_start(killer)
        pack(vfs, path.with_name("target.db"))

    for n in itertools.count(1):
        path = source()
        before = image_of(path)
        survived = survives(work, n)
        whole = assert_packed_or_not(path, before)
        assert whole >= made
        made = whole
        if survived:
            break

    assert made
    assert n > 20


@forks
@both
def test_kill_in_any_write_of_a_pack_leaves_a_whole_target_or_none(
    source: Callable[[], Path], pack: Callable[..., object]
) -> None:
    made = []

    def work() -> None:
        vfs = VirtualFileSystem(path, clock=moment)
        pack(vfs, path.with_name("target.db"))

    for limit in itertools.count(0, 30_011):
        path = source()
        before = image_of(path)
        survived = survives_writing(work, limit)
        made.append(assert_packed_or_not(path, before))
        if survived:
            break

    assert made[-1]
    assert not any(made[:-1])
    assert len(made) > 3


@both
def test_interrupt_anywhere_in_a_pack_leaves_a_whole_target_or_none(
    tmp_path: Path, pack: Callable[..., object]
) -> None:
    target = tmp_path / "new.db"

    def look(vfs: VirtualFileSystem) -> None:
        if target.exists():
            assert shape_of(target) == shape
            target.unlink()
        assert os.listdir(tmp_path) == []

    case = Case(filled, lambda vfs: pack(vfs, target))
    shape = shape_of(target)
    target.unlink()

    assert_unbroken(case.broken(then=look))


def shape_of(target: Path) -> object:
    """Return what is in a pack, whatever its numbers."""
    return ground.tree_of(target), len(ground.dump_of(target)["xattrs"])


@both
def test_pack_with_any_write_failing_leaves_nothing_and_works_later(
    tmp_path: Path, pack: Callable[..., object]
) -> None:
    vfs = filled()
    target = tmp_path / "new.db"

    for n in itertools.count():
        error = None
        with limited(n * 3 * 2060):
            try:
                pack(vfs, target)
            except OSError as found:
                error = found
        if error is None:
            break
        assert error.errno in FULL
        assert error.filename == str(target)
        assert os.listdir(tmp_path) == []

    assert n > 3
    assert_sound(target)
    vfs.close()


def test_interrupt_anywhere_around_a_trace_leaves_nothing_recorded() -> None:
    def record(vfs: VirtualFileSystem) -> None:
        with vfs.access_trace():
            pass

    def look(vfs: VirtualFileSystem) -> None:
        assert type(vfs._layers) is LayerStack
        assert type(vfs._copy_up) is CopyUp

    assert_unbroken(Case(filled, record).broken(then=look))
