"""Interleaved rounds and medians: how a ratio is measured on a machine with neighbours.

Every contestant runs in every round, one right after the other, and the order rotates,
so that a slow second of the machine falls on all of them. Figures are microseconds a
unit of work; it knows nothing of files.
"""

from __future__ import annotations

import gc
import statistics
from contextlib import contextmanager
from time import perf_counter_ns
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

A = TypeVar("A")
R = TypeVar("R")


class WrongAnswerError(AssertionError):
    """A contestant returned something else than what is in the file."""


def interleaved(
    samples: Mapping[str, Callable[[int], float]], rounds: int
) -> dict[str, list[float]]:
    """Run every sample once a round; return the figures of each by its name.

    A sample takes the number of the round. The first round, number 0, warms the caches
    and is not counted.
    """
    names = [*samples]
    figures: dict[str, list[float]] = {name: [] for name in names}
    with _without_collection():
        for nth in range(rounds + 1):
            turn = nth % len(names)
            for name in names[turn:] + names[:turn]:
                figure = samples[name](nth)
                if nth > 0:
                    figures[name].append(figure)
    return figures


def clocked(call: Callable[[A], R], arguments: Sequence[A]) -> tuple[float, list[R]]:
    """Call with each argument; return the microseconds of one call, and the results.

    The block is timed as a whole, and its results are left for the caller to check when
    the clock has stopped.
    """
    start = perf_counter_ns()
    results = [call(argument) for argument in arguments]
    return _each(perf_counter_ns() - start, len(arguments)), results


def clocked_apart(
    call: Callable[[A], R], arguments: Sequence[A], check: Callable[[A, R], object]
) -> float:
    """Time each call by itself and check its result in between; for large results."""
    spent = 0
    for argument in arguments:
        start = perf_counter_ns()
        result = call(argument)
        spent += perf_counter_ns() - start
        check(argument, result)
    return _each(spent, len(arguments))


def clocked_once(call: Callable[[], object], units: int = 1) -> float:
    """Return the microseconds a unit of one call that does *units* of work."""
    start = perf_counter_ns()
    call()
    return _each(perf_counter_ns() - start, units)


def require_equal(found: object, expected: object) -> None:
    """Stop the run when an answer is wrong: a fast wrong answer is no figure."""
    if found != expected:
        message = f"wrong answer: {found!r:.80} instead of {expected!r:.80}"
        raise WrongAnswerError(message)


def median(figures: Sequence[float]) -> float:
    return statistics.median(figures)


def ratio(figures: Sequence[float], yardstick: Sequence[float]) -> float:
    """Return the median over the rounds of one divided by the other."""
    return statistics.median(
        ours / theirs for ours, theirs in zip(figures, yardstick, strict=True)
    )


def _each(nanoseconds: int, count: int) -> float:
    return nanoseconds / 1000 / count


@contextmanager
def _without_collection() -> Iterator[None]:
    """Keep the garbage collector from falling on one contestant by chance."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
