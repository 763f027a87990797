"""One worker: a process whose threads work, until they are done or it is killed.

What it has done is counted where its parent sees it even if it is killed; what it finds
wrong is sent at once.
"""

from __future__ import annotations

import errno
import faulthandler
import os
import sys
import threading
import time
import traceback
import warnings
from typing import TYPE_CHECKING, Any, Final

from tests.soak.below import ALL_WORKS, Editions, Reading
from tests.soak.faults import Faults
from tests.soak.instance import Instance
from tests.soak.own import Own
from tests.soak.works import Counter

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from tests.soak.plan import Plan
    from tests.soak.works import Work

    from stratavfs import VirtualFileSystem as Vfs

STEPS, LOOKS, REFUSED, COUNTED, FAULTS = range(5)
"""What each thread counts, in this order."""

ALONE: Final = 5
"""Numbers that a thread has."""

# Others may be writing, whoever has a small timeout; a log may be turned over.
ALLOWED: Final = {errno.EBUSY, errno.ESTALE, errno.EDEADLK}
# While the disk is full, batches are lost too.
ALLOWED_IF_FULL: Final = {errno.ENOSPC, errno.ECANCELED}


class Told:
    """What the parent is told, by all threads."""

    def __init__(self, talk: Connection, numbers: Any) -> None:
        self._talk = talk
        self._numbers = numbers
        self._lock = threading.Lock()

    def find(self, findings: list[str]) -> None:
        with self._lock:
            for finding in findings:
                self._talk.send(finding)

    def count(self, thread: int, what: int, by: int = 1) -> None:
        self._numbers[thread * ALONE + what] += by


def run(plan: Plan, talk: Connection, numbers: Any) -> None:
    """Do all that is planned."""
    warnings.simplefilter("ignore")  # of forks with threads, of what is left open
    faulthandler.enable()
    sys.setswitchinterval(0.0005)
    told = Told(talk, numbers)
    try:
        instance = Instance(plan)
        threads = [
            Thread(plan, nth, instance, told).started() for nth in range(plan.threads)
        ]
        for thread in threads:
            thread.join()
        if plan.closes_early:
            instance.close()
        for thread in threads:
            thread.faults.wait_for_children()
        if any(fault.kind == "abandon" for fault in plan.faults):
            os._exit(0)
        instance.close()
    except BaseException:  # noqa: BLE001 - it is a finding, whatever it is
        told.find([f"{plan.name}: {traceback.format_exc()}"])
    talk.close()


def works_of(plan: Plan, thread: int) -> list[Work]:
    """Return what a thread does."""
    kinds: list[Callable[..., Work]] = [Editions]
    if not plan.owner:
        kinds = [*ALL_WORKS, Reading, Own]
    chance = plan.chance(thread)
    return [kind(plan.who(thread), chance) for kind in kinds]


class Thread(threading.Thread):
    """Steps and looks of all works, with the faults that are planned for it."""

    def __init__(self, plan: Plan, nth: int, instance: Instance, told: Told) -> None:
        super().__init__(name=plan.who(nth), daemon=True)
        self._plan = plan
        self._nth = nth
        self._instance = instance
        self._told = told
        self._chance = plan.chance(nth)
        self._works = works_of(plan, nth)
        self.faults = Faults(plan, nth, instance, self._find)
        self._calls: list[Callable[[Vfs], list[str] | None]] = []
        for work in self._works:
            self._calls += [work.step, work.step, work.look]
            if work.one_statement:
                self._calls.append(work.glance)

    def started(self) -> Thread:
        self.start()
        return self

    def run(self) -> None:
        for step in range(self._plan.steps):
            self._try(lambda: self._told.count(self._nth, FAULTS, self.faults(step)))  # noqa: B023
            call = self._chance.choice(self._calls)
            self._try(lambda: self._call(call))  # noqa: B023
        self.faults.leave()
        for work in self._works:
            self._try_until_done(lambda: self._find(work.look(self._instance.vfs)))  # noqa: B023
        if not any(fault.kind == "abandon" for fault in self._plan.faults):
            for work in self._works:
                self._try(work.close)

    def _call(self, call: Callable[[Vfs], list[str] | None]) -> None:
        found = call(self._instance.vfs)
        self._told.count(self._nth, STEPS if found is None else LOOKS)
        self._find(found or [])
        for work in self._works:
            if isinstance(work, Counter):
                counted = work.counted - self._counted
                self._told.count(self._nth, COUNTED, counted)
                self._counted += counted

    _counted = 0

    def _find(self, findings: list[str]) -> None:
        self._told.find([f"{self.name}: {finding}" for finding in findings])

    def _try(self, call: Callable[[], object]) -> bool:
        """Do it; tell whether it was done. What may not be raised is a finding."""
        try:
            call()
        except OSError as error:
            allowed = error.errno in ALLOWED
            if self._instance.was_full:
                allowed |= error.errno in ALLOWED_IF_FULL
            if not allowed:
                self._find([traceback.format_exc()])
        except ValueError as error:
            if "closed" not in str(error):
                self._find([traceback.format_exc()])
        except BaseException:  # noqa: BLE001 - it is a finding, whatever it is
            self._find([traceback.format_exc()])
        else:
            return True
        self._told.count(self._nth, REFUSED)
        return False

    def _try_until_done(self, call: Callable[[], object]) -> None:
        for _ in range(1000):
            if self._try(call):
                return
            time.sleep(0.01)
        self._find([f"gave up {call}"])
