"""Growth: the same calls among 1,000 entries and among 1,000,000.

Every directory has a hundred files of 16 bytes, and only the number of directories
grows: what a call costs should not.
"""

from __future__ import annotations

import gc
import random
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.scenes.filling import fill, filled
from benchmarks.scenes.scene import Scene
from benchmarks.scenes.turns import Turn, play
from benchmarks.timing import require_equal

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contenders.protocol import Contender, Kind, Verb
    from benchmarks.scenes.scene import Cast, Figures

GROUP: Final = "growth"
SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
LARGEST_QUICK: Final = 10_000
EACH: Final = 100
CONTENT: Final = b"sixteen bytes..."
TIMES: Final = 3
"""Directories that are renamed or removed in a round."""


def place(nth: int) -> str:
    return f"/d{nth:05}"


def files_in(top: str) -> list[str]:
    return [f"{top}/f{nth:02}.txt" for nth in range(EACH)]


def grown(size: int, cast: Cast, kind: Kind) -> Contender:
    """Return a contender with so many files, which the scenes of the group share."""

    def files() -> dict[str, bytes]:
        return {
            path: CONTENT
            for nth in range(size // EACH)
            for path in files_in(place(nth))
        }

    contender = filled(cast, kind, size, files)
    # The millions of objects that some peers keep would otherwise be looked at by each
    # collection, at the cost of whoever plays then.
    gc.freeze()
    cast.props.callback(gc.unfreeze)
    return contender


def chosen(size: int, turn: Turn, times: int) -> list[str]:
    """Return directories: in each round others, as long as there are others."""
    count = size // EACH
    order = random.Random(size).sample(range(count), count)
    times = min(times, max(1, count // 8))
    return [place(order[(turn.nth * times + at) % count]) for at in range(times)]


def lookup(contender: Contender, turn: Turn, size: int) -> float:
    source = random.Random(turn.nth)
    places = [place(source.randrange(size // EACH)) for _ in range(200)]
    keys = [contender.key(source.choice(files_in(place))) for place in places]
    return turn.checked(contender.size, keys, [len(CONTENT)] * len(keys))


def listdir(contender: Contender, turn: Turn, size: int) -> float:
    keys = [contender.key(place) for place in chosen(size, turn, 10)]
    spent, answers = turn.clocked(lambda key: [*contender.listdir(key)], keys)
    require_equal({len(answer) for answer in answers}, {EACH})
    return spent


def glob(contender: Contender, turn: Turn, size: int) -> float:
    patterns = [f"{place}/*.txt" for place in chosen(size, turn, 5)]
    return turn.checked(contender.glob, patterns, [EACH] * len(patterns))


def rename(contender: Contender, turn: Turn, size: int) -> float:
    places = chosen(size, turn, TIMES)
    pairs = [
        (contender.key(place), contender.key(f"/renamed{nth}"))
        for nth, place in enumerate(places)
    ]
    spent, _ = turn.clocked(lambda pair: contender.rename(*pair), pairs)
    for nth, (old, new) in enumerate(pairs):
        moved = contender.key(files_in(f"/renamed{nth}")[-1])
        require_equal(contender.read(moved), CONTENT)
        contender.rename(new, old)
    return spent


def rmtree(contender: Contender, turn: Turn, size: int) -> float:
    places = chosen(size, turn, TIMES)
    keys = [contender.key(place) for place in places]
    spent, _ = turn.clocked(contender.rmtree, keys)
    require_equal([contender.exists(key) for key in keys], [False] * len(keys))
    files = {path: CONTENT for place in places for path in files_in(place)}
    fill(contender, files, Turn(turn.nth))
    return spent


def among(
    cast: Cast, size: int, sample: Callable[[Contender, Turn, int], float]
) -> Figures:
    return play(
        cast,
        partial(grown, size),
        lambda contender, turn: sample(contender, turn, size),
    )


WORKS: Final[tuple[tuple[str, Callable[..., float], tuple[Verb, ...]], ...]] = (
    ("size of a file", lookup, ("size",)),
    ("list 100", listdir, ("listdir",)),
    ("glob of 100", glob, ("glob",)),
    ("rename a directory of 100", rename, ("rename", "read")),
    ("remove a directory of 100", rmtree, ("rmtree", "exists")),
)

TOO_LARGE: Final = {
    "open()": "a million files take minutes to make, and to remove",
    "pathlib": "as open()",
    "OSFS": "as open()",
    "fsspec": "what it does grows with all entries: see 10,000",
}
"""Who is left out among a million."""

SCENES: Final = tuple(
    Scene(
        GROUP,
        f"{work}, among {size:,}",
        "",
        ("memory", "disk"),
        frozenset({"write", *needs}),
        partial(among, size=size, sample=sample),
        TOO_LARGE if size == SIZES[-1] else {},
        only_full=size > LARGEST_QUICK,
    )
    for work, sample, needs in WORKS
    for size in SIZES
)
