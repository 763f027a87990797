"""Turns: the same work by every contender in every round, and who gives up.

The first round warms caches and is not counted, and it is played with patience: who
would take longer than that gives up there, with a figure of what it took so far, and so
does who fails. Only peers may: a failure of the library or of a yardstick ends the run.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from benchmarks.timing import clocked, interleaved, require_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks.contenders.protocol import Contender, Kind
    from benchmarks.scenes.scene import Cast, Figures

A = TypeVar("A")
R = TypeVar("R")
S = TypeVar("S")

BLOCK: Final = 32
"""Calls that are timed as one, before their results are compared and dropped."""
FEW: Final = 0.3
"""Seconds after which the rest of a work is extrapolated."""


class Haste(NamedTuple):
    """How much time there is."""

    rounds: int
    """At most."""
    fewest: int
    seconds: float
    """For all rounds of all contenders, the first one not counted."""
    patience: float
    """Seconds, for one contender in its first round."""
    filling: float
    """Seconds, to fill what several scenes share."""


QUICK: Final = Haste(rounds=3, fewest=2, seconds=0.8, patience=1.0, filling=2.0)
FULL: Final = Haste(rounds=7, fewest=3, seconds=8.0, patience=8.0, filling=90.0)


class GivesUpError(Exception):
    """A contender would take longer than anybody waits."""


class Turn(NamedTuple):
    """One round of one contender."""

    nth: int
    deadline: float = math.inf

    def clocked(
        self, call: Callable[[A], R], arguments: Sequence[A]
    ) -> tuple[float, list[R]]:
        """Return the microseconds of one call, and the results."""
        if not arguments:
            return 0.0, []
        if self.deadline == math.inf:
            return clocked(call, arguments)
        return self._patiently(call, arguments)

    def checked(
        self,
        call: Callable[[A], R],
        arguments: Sequence[A],
        expected: Sequence[object],
        size: int = BLOCK,
    ) -> float:
        """Time the calls in blocks, and compare the results of each in between."""
        spent = 0.0
        for start in range(0, len(arguments), size):
            block = arguments[start : start + size]
            each, results = self.clocked(call, block)
            spent += each * len(block)
            require_equal(results == [*expected[start : start + size]], True)
            self.watch(spent / 1e6, start + len(block), len(arguments))
        return spent / len(arguments)

    def watch(self, seconds: float, done: int, total: int) -> None:
        """Give up when the rest, at this pace, would be too much."""
        if self.deadline == math.inf:
            return
        left = (total - done) * seconds / done
        if seconds > FEW and perf_counter() + left > self.deadline:
            message = (
                f"given up after {done:,} of {total:,}: {seconds / done * 1e6:,.0f} us"
            )
            raise GivesUpError(message)

    def _patiently(
        self, call: Callable[[A], R], arguments: Sequence[A]
    ) -> tuple[float, list[R]]:
        start = perf_counter()
        results = []
        for argument in arguments:
            results.append(call(argument))
            self.watch(perf_counter() - start, len(results), len(arguments))
        return (perf_counter() - start) * 1e6 / len(arguments), results


def haste(cast: Cast) -> Haste:
    return FULL if cast.full else QUICK


def filling(cast: Cast, kind: Kind) -> Turn:
    """Return a turn that may last as long as filling may."""
    return first_turn(haste(cast).filling if may_give_up(kind) else math.inf)


def first_turn(seconds: float) -> Turn:
    """Return a first turn that may last so long."""
    return Turn(0, perf_counter() + seconds)


# --- contenders, made and closed ------------------------------------------------------


@contextmanager
def fresh(cast: Cast, kind: Kind) -> Iterator[Contender]:
    """Give an empty contender; close it and remove its files at the end."""
    directory = cast.home(kind)
    contender = kind.make(directory)
    try:
        yield contender
    finally:
        close(kind, contender)
        shutil.rmtree(directory, ignore_errors=True)


def close(kind: Kind, contender: Contender) -> None:
    """Close it; what a peer has to say against that is no matter of ours."""
    try:
        contender.close()
    except Exception:
        if not may_give_up(kind):
            raise


def may_give_up(kind: Kind) -> bool:
    return kind.role == "peer"


@contextmanager
def excused(cast: Cast, name: str) -> Iterator[None]:
    """Put down a failure of this contender as its excuse, if it is a peer."""
    try:
        yield
    except Exception as error:
        if name in _bound_to_play(cast):
            raise
        said = str(error).partition("\n")[0]
        named = "" if isinstance(error, GivesUpError) else f"{type(error).__name__}: "
        cast.excuses[name] = f"{named}{said:.120}"


def _bound_to_play(cast: Cast) -> set[str]:
    return {kind.name for kind in cast.kinds if not may_give_up(kind)}


# --- rounds ---------------------------------------------------------------------------


def play(
    cast: Cast,
    prepare: Callable[[Cast, Kind], S],
    sample: Callable[[S, Turn], float],
) -> Figures:
    """Prepare what each contender plays with, and have them play in turns."""
    samples: dict[str, Callable[[Turn], float]] = {}
    for kind in cast.kinds:
        with excused(cast, kind.name):
            samples[kind.name] = partial(sample, prepare(cast, kind))
    return in_turns(cast, samples)


def in_turns(cast: Cast, samples: Mapping[str, Callable[[Turn], float]]) -> Figures:
    """Return the figures of all who neither failed nor gave up."""
    pace = haste(cast)
    first: dict[str, float] = {}
    started = perf_counter()
    for name, sample in samples.items():
        with excused(cast, name):
            patience = math.inf if name in _bound_to_play(cast) else pace.patience
            recall(cast, name)
            first[name] = sample(first_turn(patience))
    if not first:
        return {}

    def turn(name: str, nth: int) -> float:
        if nth == 0:
            return first[name]
        if name not in cast.excuses:
            with excused(cast, name):
                recall(cast, name)
                return samples[name](Turn(nth))
        return math.nan

    each = max(perf_counter() - started, 1e-6)
    rounds = max(pace.fewest, min(pace.rounds, int(pace.seconds / each)))
    figures = interleaved({name: partial(turn, name) for name in first}, rounds)
    return {name: spent for name, spent in figures.items() if name not in cast.excuses}


def recall(cast: Cast, name: str) -> None:
    """Read all files of this contender, so that the system has them in memory.

    Some systems (the one that our figures are from) take pages away from who has not
    asked for them for seconds. Whoever was filled first would read from the disk, at
    five to ten times the price, and whoever was filled last would not. Another process
    reads, since closing a file drops the locks that SQLite has on it in this one.
    """
    homes = cast.props.homes.get(name, [])
    homes[:] = filter(os.path.exists, homes)
    if homes and os.name == "posix":
        command = ["find", *homes, "-type", "f", "-exec", "cat", "{}", "+"]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def once(cast: Cast, what: Any, kind: Kind, make: Callable[[], R]) -> R:
    """Make something for this contender that the scenes of the group share."""
    made: R = cast.props.once((what, kind.name), make)
    return made
