"""A game that saves, killed at random moments: no step that it had finished is lost.

The child plays a seeded game and tells the parent of each finished step; the parent
kills it after some number of these and a moment more. Reopened, the container shows
what a model in a dictionary says: every step that was told of, and the one that was
just being made as a whole or not at all. The next round goes on from there.
"""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from tests import ground
from tests.faults.killed import forks

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    View = dict[str, bytes]
    Step = tuple[Callable[["Game"], object], View]
    """What a step does, and the files that are there after it."""

STEPS = 40  # in one round, at most
FEW, MANY = 5, 40  # files, so that there is always one, and no round takes long

ASSETS: View = {
    f"/assets/{kind}/{number}": bytes([number]) * size
    for kind, size in (("sounds", 300), ("maps", 70_000))
    for number in range(4)
}


class Game:
    """A container with the game's saves and changes, over its read-only assets."""

    def __init__(self, path: Path, base: Path) -> None:
        self.path, self.base = path, base
        self.open()

    def open(self) -> None:
        self.vfs = VirtualFileSystem(self.path)
        self.vfs.add_underlay(self.base, name="assets")

    def view(self) -> View:
        """Return every file that the merged view shows."""
        paths = [path for path in self.vfs.glob("**/*") if self.vfs.isfile(path)]
        return {path: self.vfs.read_bytes(path) for path in paths}

    # --- what a step does, in one transaction ----------------------------------------

    def write(self, path: str, content: bytes) -> None:
        self.vfs.write_bytes(path, content)

    def save_safely(self, path: str, content: bytes) -> None:
        with self.vfs.atomic_batch():
            self.vfs.write_bytes(path + ".new", content)
            self.vfs.replace(path + ".new", path)

    def save_all(self, files: View) -> None:
        with self.vfs.atomic_batch():
            for path, content in files.items():
                self.vfs.write_bytes(path, content)

    def stream(self, path: str, content: bytes) -> None:
        with self.vfs.atomic_batch(), self.vfs.open(path, "wb") as file:
            for at in range(0, len(content), 50_000):
                file.write(content[at : at + 50_000])

    def patch(self, path: str, at: int, content: bytes) -> None:
        with self.vfs.open(path, "r+b") as file:
            file.seek(at)
            file.write(content)

    def append(self, path: str, content: bytes) -> None:
        with self.vfs.open(path, "ab") as file:
            file.write(content)

    def give_up(self, path: str) -> None:
        with suppress(KeyError), self.vfs.atomic_batch():
            self.vfs.remove(path)
            self.vfs.write_bytes("/given/up", b"x" * 9000)
            raise KeyError

    def reopen(self) -> None:
        self.vfs.close()
        self.open()


class Player:
    """Makes up steps, and knows what is there after each."""

    def __init__(self, rng: random.Random, view: View) -> None:
        self.rng = rng
        self.view = view

    def steps(self) -> Iterator[Step]:
        made = [
            getattr(self, name)
            for name in sorted(vars(Player))
            if name.startswith("may_")
        ]
        for _ in range(STEPS):
            make = self.rng.choice(made)
            if len(self.view) > MANY:
                make = self.may_remove_slot
            elif len(self.view) < FEW:
                make = self.may_save_all
            act, after = make()
            yield act, after
            self.view = after

    # --- one step each ---------------------------------------------------------------

    def may_write(self) -> Step:
        path, content = self.any_path(), self.content()
        return lambda game: game.write(path, content), self.view | {path: content}

    def may_save_safely(self) -> Step:
        path, content = f"/saves/{self.rng.randrange(4)}/state", self.content()
        after = self.view | {path: content}
        return lambda game: game.save_safely(path, content), after

    def may_save_all(self) -> Step:
        slot = f"/saves/{self.rng.randrange(4)}"
        files = {f"{slot}/{name}": self.content() for name in ("a", "b", "c/d", "e")}
        return lambda game: game.save_all(files), self.view | files

    def may_stream(self) -> Step:
        path = self.any_path()
        content = self.rng.randbytes(self.rng.randrange(100_000, 300_000))
        return lambda game: game.stream(path, content), self.view | {path: content}

    def may_patch(self) -> Step:
        path, new = self.existing(), self.rng.randbytes(self.rng.randrange(1, 3000))
        old = self.view[path]
        at = self.rng.randrange(len(old) + 1)
        content = old[:at] + new + old[at + len(new) :]
        return lambda game: game.patch(path, at, new), self.view | {path: content}

    def may_append(self) -> Step:
        path, new = self.existing(), self.rng.randbytes(self.rng.randrange(1, 3000))
        content = self.view[path] + new
        return lambda game: game.append(path, new), self.view | {path: content}

    def may_truncate(self) -> Step:
        path = self.existing()
        content = self.view[path][: self.rng.randrange(len(self.view[path]) + 1)]
        size = len(content)
        after = self.view | {path: content}
        return lambda game: game.vfs.truncate(path, size), after

    def may_remove(self) -> Step:
        path = self.existing()
        after = {name: self.view[name] for name in self.view if name != path}
        return lambda game: game.vfs.remove(path), after

    def may_rename(self) -> Step:
        path, new = self.existing(), f"/renamed/{self.rng.randrange(1000)}"
        after = {name: self.view[name] for name in self.view if name != path}
        after[new] = self.view[path]
        return lambda game: game.vfs.replace(path, new), after

    def may_move_slot(self) -> Step:
        slot, new = self.slot(), f"/saves/{self.rng.randrange(1000, 10**9)}"
        after = {
            new + name[len(slot) :] if name.startswith(slot + "/") else name: content
            for name, content in self.view.items()
        }
        return lambda game: game.vfs.rename(slot, new), after

    def may_copy_slot(self) -> Step:
        slot, new = self.slot(), f"/saves/{self.rng.randrange(1000, 10**9)}"
        copies = {
            new + name[len(slot) :]: content
            for name, content in self.view.items()
            if name.startswith(slot + "/")
        }
        return lambda game: game.vfs.copytree(slot, new), self.view | copies

    def may_remove_slot(self) -> Step:
        slot = self.slot()
        after = {
            name: content
            for name, content in self.view.items()
            if not name.startswith(slot + "/")
        }
        return lambda game: game.vfs.rmtree(slot), after

    def may_give_up(self) -> Step:
        path = self.existing()
        return lambda game: game.give_up(path), self.view

    def may_sync(self) -> Step:
        return lambda game: game.vfs.sync(), self.view

    def may_reopen(self) -> Step:
        return Game.reopen, self.view

    def may_compact(self) -> Step:
        return lambda game: game.vfs.compact(), self.view

    # --- what it is about ------------------------------------------------------------

    def content(self) -> bytes:
        return self.rng.randbytes(self.rng.choice((0, 10, 1000, 9000, 80_000)))

    def any_path(self) -> str:
        return self.rng.choice((f"/log/{self.rng.randrange(5)}", self.existing()))

    def existing(self) -> str:
        return self.rng.choice(sorted(self.view))

    def slot(self) -> str:
        """Return a directory with files in it: a slot, or one of the assets."""
        above = {path.rpartition("/")[0] for path in self.view} - {""}
        return self.rng.choice(sorted(above - {"/saves", "/log", "/assets"}))


def play(path: Path, base: Path, player: Player, told: int) -> None:
    game = Game(path, base)
    for act, _ in player.steps():
        act(game)
        os.write(told, b".")
    signal.pause()


def killed_round(path: Path, base: Path, seed: int, view: View) -> View:
    """Play from *view* on, kill, look; return the files that are there then."""
    rng = random.Random(seed)
    patience, moments = rng.randrange(STEPS), rng.randrange(30_000)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            play(path, base, Player(random.Random(seed), view), writing)
        except BaseException as error:  # noqa: BLE001 - a child has nobody to raise to
            os.write(2, repr(error).encode())
            os._exit(1)
    os.close(writing)
    finished = 0
    while finished < patience:
        finished += len(os.read(reading, 1)) or STEPS
    for _ in range(moments):
        pass
    os.kill(child, signal.SIGKILL)
    finished += len(os.read(reading, STEPS))
    os.close(reading)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    views = [view, *(after for _, after in Player(random.Random(seed), view).steps())]
    return reopened(path, base, views[finished : finished + 2])


def reopened(path: Path, base: Path, allowed: list[View]) -> View:
    """Return what the library finds, which is one of the *allowed* views."""
    game = Game(path, base)
    with game.vfs:
        found = game.view()
        assert game.vfs.check(deep=True) == []
    assert ground.integrity_of(path) == "ok"
    if found not in allowed:
        explain(found, allowed)
    return found


def explain(found: View, allowed: list[View]) -> None:
    differences = [
        sorted(
            name
            for name in found.keys() | view.keys()
            if found.get(name) != view.get(name)
        )
        for view in allowed
    ]
    pytest.fail(f"neither the last finished step nor the next one: {differences}")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "assets.db"
    with VirtualFileSystem(path) as vfs, vfs.atomic_batch():
        for name, content in ASSETS.items():
            vfs.write_bytes(name, content)
    return path


def play_killed(tmp_path: Path, base: Path, seed: int, rounds: int) -> None:
    before = base.read_bytes()
    view = ASSETS
    for number in range(rounds):
        view = killed_round(tmp_path / "game.db", base, seed * 1000 + number, view)

    assert view != ASSETS
    assert base.read_bytes() == before


@forks
def test_kill_at_random_moments_loses_no_finished_step(
    base: Path, tmp_path: Path
) -> None:
    play_killed(tmp_path, base, 1, 15)


@forks
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_kill_at_many_random_moments_loses_no_finished_step(
    base: Path, tmp_path: Path, seed: int
) -> None:
    play_killed(tmp_path, base, seed, 50)
