"""What goes wrong in a worker, or is done besides its work, as its plan says."""

from __future__ import annotations

import errno
import os
import signal
import tempfile
import time
import traceback
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

from tests.soak.below import ALL_WORKS
from tests.soak.works import WORKS, is_page

from stratavfs import VirtualFileSystem as Vfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.soak.instance import Instance
    from tests.soak.plan import Fault, Plan

HUNG: Final = 60  # seconds that a forked child may take

# Others may be writing; what another thread held at the fork is refused to the child.
ALLOWED_IN_CHILD: Final = {errno.EBUSY, errno.ESTALE, errno.ECANCELED}


def is_allowed_in_child(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in ALLOWED_IN_CHILD
    # Just then another thread had closed it, to open it again.
    return isinstance(error, ValueError) and "closed" in str(error)


def looks(vfs: Vfs, who: str) -> Iterator[str]:
    """Yield what is wrong in a container that nobody else is using."""
    for kind in ALL_WORKS:
        yield from kind(who, Random(0)).look(vfs)
    yield from (str(finding) for finding in vfs.check(deep=True))


def interrupt() -> None:
    """Be interrupted, as by the key."""
    raise KeyboardInterrupt


class Faults:
    """The faults of one thread."""

    def __init__(
        self,
        plan: Plan,
        thread: int,
        instance: Instance,
        find: Callable[[list[str]], None],
    ) -> None:
        self._who = plan.who(thread)
        self._directory = plan.directory
        self._instance = instance
        self._find = find
        self._planned = [fault for fault in plan.faults if fault.thread == thread]
        self._full_until: int | None = None
        self._kept: list[Any] = []
        self._children = 0
        self._forked: list[tuple[int, int, bool]] = []

    def __call__(self, step: int) -> int:
        """Do what is planned for *step*; return how much that was."""
        if self._full_until is not None and step >= self._full_until:
            self._full_until = None
            self._instance.empty_disk()
        count = 0
        for fault in self._planned:
            if fault.step == step:
                getattr(self, "_" + fault.kind)(fault)
                count += 1
        return count

    def leave(self) -> None:
        """Make room again, at the end."""
        if self._full_until is not None:
            self._full_until = None
            self._instance.empty_disk()

    # --- what goes wrong -------------------------------------------------------------

    def _kill(self, fault: Fault) -> None:
        self._instance.die_after(fault.amount + 1)

    def _full(self, fault: Fault) -> None:
        self._full_until = fault.step + 10
        self._instance.fill_disk(fault.amount % 20)

    def _hold(self, fault: Fault) -> None:
        vfs = self._instance.vfs
        with vfs.atomic_batch() as batch:
            vfs.touch("/held")
            time.sleep(fault.amount % 300 / 1000)
            batch.rollback()

    def _interrupt(self, _: Fault) -> None:
        vfs = self._instance.vfs
        try:
            with vfs.atomic_batch(), vfs.open(f"/int/{self._who}", "ab") as file:
                vfs.rename("/pages", "/moved")
                file.write(b"never")
                interrupt()
        except KeyboardInterrupt:
            if vfs.exists("/moved") or vfs.exists("/int"):
                self._find(["interrupt: something of the batch was kept"])

    def _reopen(self, _: Fault) -> None:
        self._instance.reopen()

    def _abandon(self, _: Fault) -> None:
        """Keep files open, with and without a name, to the end and beyond."""
        vfs = self._instance.vfs
        for number in range(3):
            path = f"/left/{self._who}.{number}"
            file = vfs.open(path, "w+b")
            self._kept.append(file)
            file.write(b"x" * 500)
            file.flush()
            if number:
                vfs.remove(path)

    # --- forks -----------------------------------------------------------------------

    def _fork(self, fault: Fault) -> None:
        reading, writing = os.pipe()
        self._children += 1
        child = os.fork()
        if child == 0:
            self._be_a_child(fault, writing)
        os.close(writing)
        self._forked.append((child, reading, fault.amount % 3 == 0))

    def wait_for_children(self) -> None:
        """Wait for all that were forked; what they have said is a finding."""
        for child, reading, may_be_killed in self._forked:
            with os.fdopen(reading, encoding="utf-8") as pipe:
                said = pipe.read()
            status = os.waitpid(child, 0)[1]
            killed = may_be_killed and os.WTERMSIG(status) == signal.SIGKILL
            if said or (status and not killed):
                self._find([f"fork: the child ended with {status} and said: {said}"])

    def _be_a_child(self, fault: Fault, writing: int) -> None:
        """Work on, beside the parent and longer than the instance it has there."""
        signal.alarm(HUNG)
        said = ""
        vfs = self._instance.vfs
        who = f"{self._who}c{self._children}"
        works = [kind(who, Random(fault.amount)) for kind in ALL_WORKS]
        chance = Random(fault.amount)
        if fault.amount % 3 == 0:
            self._instance.die_after(fault.amount % 500 + 1)
        for _ in range(100):
            work = chance.choice(works)
            call = chance.choice([work.step, work.look])
            try:
                said += "".join(call(vfs) or [])
            except BaseException as error:  # noqa: BLE001 - the parent is told
                if not is_allowed_in_child(error):
                    said += traceback.format_exc()
        os.write(writing, said.encode()[:60_000])
        os._exit(0)

    # --- what is done besides --------------------------------------------------------

    def _target(self) -> Path:
        directory = tempfile.mkdtemp(dir=self._directory, prefix="copy")
        return Path(directory) / "copy.db"

    def _backup(self, _: Fault) -> None:
        target = self._target()
        self._instance.vfs.backup(target)
        with Vfs(target) as copy:
            self._find([f"backup: {finding}" for finding in looks(copy, self._who)])

    def _flatten(self, _: Fault) -> None:
        target = self._target()
        self._instance.vfs.flatten(target)
        with Vfs(target) as flat:
            self._find([f"flatten: {finding}" for finding in looks(flat, self._who)])
            torn = [
                f"flatten: {path} is torn"
                for path in flat.glob("/editions/*")
                if not is_page(flat.read_bytes(path))
            ]
            self._find(torn)

    def _copy(self, _: Fault) -> None:
        self._children += 1
        with self._instance.vfs.fork() as copy:
            for kind in WORKS:
                kind(f"{self._who}m{self._children}", Random(1)).step(copy)
            self._find([f"copy: {finding}" for finding in looks(copy, self._who)])

    def _compact(self, _: Fault) -> None:
        self._instance.vfs.compact()

    def _check(self, _: Fault) -> None:
        vfs = self._instance.vfs
        findings = [*vfs.check(deep=True), *vfs.repair()]
        self._find([f"check: {finding}" for finding in findings])
        if vfs.stats().files == 0:
            self._find(["check: stats() counts no files"])
