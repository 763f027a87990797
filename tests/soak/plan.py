"""What a round decides before it begins, all of it from the seed.

Who meets whom when is left to chance, as it is in life; who does what, and what goes
wrong with whom after how many of its steps, is the same each time.
"""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

FAULTS: Final = {
    "kill": "the worker is killed before one of its SQL statements",
    "full": "the disk is full for a while",
    "hold": "a batch is held while the others wait",
    "interrupt": "a batch is left by KeyboardInterrupt",
    "reopen": "the file system is closed while threads use it, and opened again",
    "abandon": "the worker ends with files open, unlinked ones too, and closes nothing",
    "fork": "the process is forked; the child works, or is killed at it",
    "backup": "a backup is made and looked at",
    "flatten": "the merged view is written to a file and looked at",
    "copy": "a copy is made in memory, changed and looked at",
    "compact": "the container is written anew",
    "check": "the container is checked while the others work",
}

TIMEOUTS: Final = (0, 0.01, 0.3, 30)
"""Seconds that a worker waits for the others: some are refused often."""

STATEMENTS: Final = 4000
"""A killed worker has run up to so many; some have ended before."""


class Fault(NamedTuple):
    """Something that goes wrong, or is done besides, in one of a worker's threads."""

    kind: str
    thread: int
    step: int
    """After so many of the thread's steps."""
    amount: int
    """Statements until a kill, pages until a full disk."""


class Plan(NamedTuple):
    """What one worker is going to do."""

    directory: str
    name: str
    seed: str
    owner: bool
    """Whether it is the owner of the base; the others work on the stack over it."""
    threads: int
    steps: int
    """Of each thread."""
    timeout: float
    faults: list[Fault]

    def who(self, thread: int) -> str:
        return f"{self.name}t{thread}"

    def chance(self, thread: int) -> Random:
        return Random(f"{self.seed} {thread}")

    @property
    def closes_early(self) -> bool:
        """Whether it closes the file system while its children are still at work."""
        return self.steps % 2 == 0

    @property
    def may_be_killed(self) -> bool:
        return any(fault.kind == "kill" for fault in self.faults)


def plans(
    directory: str, seed: int, number: int, kinds: tuple[str, ...], size: int
) -> list[Plan]:
    """Return what the workers of round *number* do; *size* is how long it is."""
    chance = Random(f"{seed} {number}")
    made = [
        _plan(directory, f"r{number}w{nth}", chance, kinds, size, owner=False)
        for nth in range(chance.choice([1, 2, 3, 4]))
    ]
    made.append(_plan(directory, f"r{number}base", chance, kinds, size, owner=True))
    return made


def _plan(
    directory: str,
    name: str,
    chance: Random,
    kinds: tuple[str, ...],
    size: int,
    *,
    owner: bool,
) -> Plan:
    threads = chance.choice([1, 2, 3])
    steps = chance.randrange(size // 2, size)
    usable = [kind for kind in kinds if not owner or kind in ("kill", "full", "hold")]
    count = chance.choice([0, 1, 2, 3]) if usable else 0
    return Plan(
        directory=directory,
        name=name,
        seed=f"{name} {chance.random()}",
        owner=owner,
        threads=threads,
        steps=steps,
        timeout=30 if owner else chance.choice(TIMEOUTS),
        faults=[
            Fault(
                kind=chance.choice(usable),
                thread=chance.randrange(threads),
                step=chance.randrange(steps),
                amount=int(chance.expovariate(3 / STATEMENTS)),
            )
            for _ in range(count)
        ],
    )
