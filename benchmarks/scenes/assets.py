"""A game's assets: the same names, sizes and bytes in every run.

Sizes are log-normal: the median is 8 KiB, the mean three times that, and a few are
of MiBs. The bytes are random, so that nothing can be won by packing them:
each asset is a piece of one pool, at a place of its own.
"""

from __future__ import annotations

import math
import random
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MEDIAN: Final = 8 << 10
SPREAD: Final = 1.5
"""Of the logarithm of a size."""
LARGEST: Final = 8 << 20
QUICK: Final = 2_000
FULL: Final = 20_000

TOP: Final = "/game"
KINDS: Final = {
    "textures": ("png", 40),
    "models": ("glb", 20),
    "sounds": ("ogg", 15),
    "scripts": ("lua", 15),
    "maps": ("json", 10),
}
"""Directory: the ending of its files, and how many of a hundred are there."""
IN_ONE_DIRECTORY: Final = 25


def assets(*, full: bool) -> Mapping[str, bytes]:
    """Return {path: bytes}, in the order of a list of what is to be loaded."""
    return _assets(FULL if full else QUICK)


@lru_cache(maxsize=1)
def _assets(count: int) -> Mapping[str, bytes]:
    source = random.Random(count)
    pool = random.Random(8).randbytes(2 * LARGEST)
    names = paths(count)
    source.shuffle(names)
    found = {}
    for name, size in zip(names, sizes(count), strict=True):
        start = source.randrange(len(pool) - size)
        found[name] = pool[start : start + size]
    return found


def sizes(count: int) -> list[int]:
    """Return so many sizes in bytes."""
    source = random.Random(count + 1)
    return [
        min(LARGEST, round(source.lognormvariate(math.log(MEDIAN), SPREAD)))
        for _ in range(count)
    ]


def paths(count: int) -> list[str]:
    """Return so many paths, of files three to four directories down."""
    found = []
    for top, (ending, share) in KINDS.items():
        for nth in range(count * share // 100):
            directory, level = nth // IN_ONE_DIRECTORY, nth // IN_ONE_DIRECTORY // 20
            inner = "/detail" if directory % 5 == 4 else ""
            place = f"{TOP}/{top}/level{level:02}/set{directory:03}{inner}"
            found.append(f"{place}/{top[:-1]}_{nth:05}.{ending}")
    return found


def directories(files: Iterable[str]) -> list[str]:
    """Return every directory that these paths need, each after the one above it."""
    found = set()
    for path in files:
        above = path.rpartition("/")[0]
        while above and above not in found:
            found.add(above)
            above = above.rpartition("/")[0]
    return sorted(found)
