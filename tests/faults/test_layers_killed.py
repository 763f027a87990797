"""What layers brought, killed at every statement: all of a call, or nothing of it."""

from __future__ import annotations

import itertools
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from tests import ground
from tests.api.grafting import seen
from tests.faults.layered import CALLS, edit_local, fill_base
from tests.faults.test_crash import (
    Killer,
    assert_healthy,
    moment,
    survives,
    trace_from_the_start,
)

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.layered import Call

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")


class Room:
    """A directory with a base, a local container over it, and a target."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.base, self.local = path / "base.db", path / "local.db"
        self.target, self.flat = path / "target.db", path / "flat.db"

    def build(self) -> Room:
        self.path.mkdir()
        for location in (self.base, self.target):
            with VirtualFileSystem(location, clock=moment) as vfs:
                fill_base(vfs)
        with self.opened() as vfs:
            edit_local(vfs)
        return self

    def copied(self, path: Path) -> Room:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.path, path)
        return Room(path)

    def opened(self) -> VirtualFileSystem:
        vfs = VirtualFileSystem(self.local, clock=moment)
        vfs.add_underlay(self.base, name="base")
        return vfs

    def change(self, call: Call, killer: Killer | None) -> None:
        """Change the local layer."""
        vfs = self.opened()
        vfs._store._cx.set_trace_callback(killer)
        call(vfs)
        if killer is None:
            vfs.close()

    def graft(self, verb: str, killer: Killer | None) -> None:
        """Change the target, which has the base's files or, to flatten, nothing."""
        vfs, target = self.opened(), VirtualFileSystem(self.target, clock=moment)
        target._store._cx.set_trace_callback(killer)
        getattr(vfs, verb)(target)
        if killer is None:
            target.close()
            vfs.close()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return Room(tmp_path_factory.mktemp("layers") / "built").build()


def kill_at_every_statement(
    built: Room, tmp_path: Path, name: str, act: Callable[[Room, Killer | None], None]
) -> None:
    """Run *act* killed at each statement; of the file *name* all or nothing changes."""
    done = built.copied(tmp_path / "done")
    before = ground.dump_of(done.path / name)
    act(done, None)
    after = ground.dump_of(done.path / name)
    assert after != before

    for n in itertools.count(1):
        room = built.copied(tmp_path / "killed")
        survived = survives(lambda killer: act(room, killer), n)  # noqa: B023
        left = ground.dump_of(room.path / name)
        assert left in (before, after), f"half a call after statement {n}"
        assert_healthy(room.path / name)
        assert room.base.read_bytes() == built.base.read_bytes()
        if survived:
            break

    assert left == after
    assert n > 3


@forks
@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_kill_at_any_statement_of_a_change_over_a_base_is_all_or_nothing(
    name: str, built: Room, tmp_path: Path
) -> None:
    kill_at_every_statement(
        built, tmp_path, "local.db", lambda room, kill: room.change(CALLS[name], kill)
    )


@forks
@pytest.mark.slow
@pytest.mark.parametrize("verb", ["apply_to", "flatten"])
def test_kill_at_any_statement_of_a_graft_is_all_or_nothing(
    verb: str, built: Room, tmp_path: Path
) -> None:
    if verb == "flatten":
        built = built.copied(tmp_path / "empty")
        built.target.unlink()
        VirtualFileSystem(built.target, clock=moment).close()

    kill_at_every_statement(
        built, tmp_path, "target.db", lambda room, kill: room.graft(verb, kill)
    )


@forks
@pytest.mark.slow
def test_kill_while_flattening_to_a_path_leaves_all_there_or_nothing(
    built: Room, tmp_path: Path
) -> None:
    with built.opened() as vfs:
        view = seen(vfs)

    def flatten(killer: Killer) -> None:
        vfs = room.opened()
        trace_from_the_start(killer)
        vfs.flatten(room.flat)

    made = False
    for n in itertools.count(1, 5):
        room = built.copied(tmp_path / "killed")
        survived = survives(flatten, n)
        assert made or not room.flat.exists() or survived or n > 100
        made = room.flat.exists()
        if not made:  # what is left of the one killed is in nobody's way
            with room.opened() as vfs:
                vfs.flatten(room.flat)
        with VirtualFileSystem(room.flat) as flat:
            assert seen(flat) == view
        assert_healthy(room.flat)
        if survived:
            break

    assert made
    assert n > 50
