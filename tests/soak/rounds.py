"""Rounds: workers are started, waited for, and what they have left is looked at."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from random import Random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.soak import worker
from tests.soak.below import ALL_WORKS, Below, Editions
from tests.soak.faults import looks
from tests.soak.instance import SHARED, open_stack
from tests.soak.plan import plans
from tests.soak.works import Counter

from stratavfs import VirtualFileSystem as Vfs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

    from tests.soak.plan import Plan

HUNG: Final = 180  # seconds that a worker may take


class Outcome(NamedTuple):
    """What came of a round, or of many."""

    rounds: int = 0
    steps: int = 0
    looks: int = 0
    refused: int = 0
    """Calls that were refused, as they may be: busy, full, lost, closed."""
    workers: int = 0
    killed: int = 0
    faults: dict[str, int] = {}  # noqa: RUF012 - never changed
    findings: tuple[str, ...] = ()

    def __add__(self, other: tuple[Any, ...]) -> Outcome:
        one, two = self._asdict(), Outcome(*other)._asdict()
        faults = {
            kind: self.faults.get(kind, 0) + two["faults"].get(kind, 0)
            for kind in [*dict.fromkeys([*self.faults, *two["faults"]])]
        }
        added = {name: one[name] + two[name] for name in one if name != "faults"}
        return Outcome(**added, faults=faults)

    def __str__(self) -> str:
        faults = ", ".join(f"{n} {kind}" for kind, n in sorted(self.faults.items()))
        return (
            f"{self.rounds:,} rounds, {self.workers:,} processes ({self.killed:,} "
            f"killed), {self.steps:,} steps, {self.looks:,} looks, {self.refused:,} "
            f"refused; faults: {faults or 'none'}; {len(self.findings)} findings"
        )


class Process:
    """One worker, seen from its parent."""

    def __init__(self, context: Any, plan: Plan) -> None:
        self.plan = plan
        self._numbers = context.RawArray("q", plan.threads * worker.ALONE)
        self._talk, there = context.Pipe(duplex=False)
        self._child = context.Process(
            target=worker.run, args=(plan, there, self._numbers), daemon=True
        )
        self._child.start()
        there.close()

    def finish(self) -> Iterator[str]:
        """Wait for it; yield what it has found, and what is wrong with its end."""
        yield from _words(self._talk)
        self._child.join(HUNG)
        code = self._child.exitcode
        if code is None:
            os.kill(self._child.pid, signal.SIGABRT)  # prints where its threads are
            self._child.join()
            yield f"{self.plan.name}: it hung for {HUNG} s"
        elif code and not (code == -9 and self.plan.may_be_killed):
            yield f"{self.plan.name}: it ended with {code}"

    @property
    def was_killed(self) -> bool:
        return bool(self._child.exitcode == -9)

    def counted(self, thread: int, what: int) -> int:
        return int(self._numbers[thread * worker.ALONE + what])

    def sum(self, what: int) -> int:
        return sum(self.counted(nth, what) for nth in range(self.plan.threads))

    def lost_steps(self, vfs: Vfs) -> Iterator[str]:
        """Yield what it has counted and what is not there, or the other way round."""
        for nth in range(self.plan.threads):
            who, counted = self.plan.who(nth), self.counted(nth, worker.COUNTED)
            path = f"/counter/by/{who}"
            there = int(vfs.read_text(path)) if vfs.exists(path) else 0
            # A killed one may have been about to say so.
            if not counted <= there <= counted + self.was_killed:
                yield f"counter: {who} has committed {counted}, {there} are there"


def _words(talk: Connection) -> Iterator[str]:
    """Yield what is said until the other end is closed."""
    deadline = time.monotonic() + HUNG
    while talk.poll(max(0, deadline - time.monotonic())):
        try:
            yield talk.recv()
        except (EOFError, OSError):
            return


class Soak:
    """Round after round in one directory."""

    def __init__(
        self, directory: Path, seed: int, faults: tuple[str, ...], size: int
    ) -> None:
        self._directory = directory
        self._seed = seed
        self._faults = faults
        self._size = size
        methods = multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("spawn")
        if "forkserver" in methods:  # a hundred times as fast, and as clean
            self._context = multiprocessing.get_context("forkserver")
            self._context.set_forkserver_preload(["tests.soak.worker"])

    def lay_out(self) -> None:
        """Make the container, and the layers below it."""
        Below(self._directory).lay_out()
        with Vfs(self._directory / SHARED, 64) as vfs:
            for kind in ALL_WORKS:
                kind.lay_out(vfs)

    def round(self, number: int) -> Outcome:
        """Let workers work together, and look at what they have left."""
        planned = plans(
            str(self._directory), self._seed, number, self._faults, self._size
        )
        processes = [Process(self._context, plan) for plan in planned]
        findings = [found for process in processes for found in process.finish()]
        findings += self._left_behind(processes)
        faults: dict[str, int] = {}
        for plan in planned:
            for fault in plan.faults:
                faults[fault.kind] = faults.get(fault.kind, 0) + 1
        return Outcome(
            rounds=1,
            steps=sum(process.sum(worker.STEPS) for process in processes),
            looks=sum(process.sum(worker.LOOKS) for process in processes),
            refused=sum(process.sum(worker.REFUSED) for process in processes),
            workers=len(processes),
            killed=sum(process.was_killed for process in processes),
            faults=faults,
            findings=tuple(f"round {number}: {finding}" for finding in findings),
        )

    # --- afterwards ------------------------------------------------------------------

    def _left_behind(self, processes: list[Process]) -> Iterator[str]:
        """Yield what is wrong now that nobody is there any more."""
        with open_stack(self._directory, 30) as vfs:
            yield from looks(vfs, "parent")
            for process in processes:
                if not process.plan.owner:
                    yield from process.lost_steps(vfs)
            if vfs.stats().orphans:
                yield f"orphans: {vfs.stats().orphans} were left"
            self._tidy(vfs)
        with Vfs(Below(self._directory).base) as base:
            yield from Editions("parent", Random(0)).look(base)
            yield from (f"base: {finding}" for finding in base.check(deep=True))
        left = {it.name for it in self._directory.iterdir() if not it.is_dir()}
        if left != {"base.db", "layer.zip", SHARED}:
            yield f"files: {sorted(left)} are there when all is closed"

    def _tidy(self, vfs: Vfs) -> None:
        """Remove what belongs to those who are no more, so that nothing grows."""
        with vfs.atomic_batch():
            for path in ("/own", "/left", "/held", "/int"):
                if vfs.exists(path):
                    vfs.revert(path)
            vfs.rmtree("/counter")
            Counter.lay_out(vfs)
        for copy in self._directory.glob("copy*"):
            shutil.rmtree(copy)
