"""A fresh file system for each test: the same tree again, by each one's quickest way.

That is to go back, to fork, or to take in a whole tree at once, where a contender has
such a thing; else it is made and filled again.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks import fixtures
from benchmarks.scenes.filling import fill, filled
from benchmarks.scenes.scene import Scene
from benchmarks.scenes.turns import close, play
from benchmarks.timing import require_equal

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contenders.protocol import Contender, Kind
    from benchmarks.scenes.scene import Cast, Figures
    from benchmarks.scenes.turns import Turn

TREE: Final = dict.fromkeys(fixtures.PATHS, fixtures.DATA)
SPOILED: Final = sorted({os.path.dirname(path) for path in fixtures.DELETED})


class Again:
    """What gives one contender's tree again."""

    def __init__(self, cast: Cast, kind: Kind) -> None:
        self._cast = cast
        self._kind = kind
        self._filled = filled(cast, kind, "again", lambda: TREE)
        self._again = self._filled.again()

    def way(self, turn: Turn) -> Callable[[], Contender]:
        """Return what is timed."""
        if self._again is not None:
            return self._again
        return partial(self._refilled, self._cast.new(), turn)

    def _refilled(self, directory: str, turn: Turn) -> Contender:
        made = self._kind.make(directory)
        fill(made, TREE, turn)
        return made

    def done(self, used: Contender) -> None:
        """Close what was used, unless it is what the next one comes of."""
        if used is not self._filled:
            close(self._kind, used)


def same_tree(cast: Cast) -> Figures:
    """Get 2,000 files of 4 KiB as they were; then spoil them, as a test would."""

    def sample(again: Again, turn: Turn) -> float:
        way = again.way(turn)
        spent, (contender,) = turn.clocked(lambda _: way(), [turn.nth])
        keys = [contender.key(path) for path in TREE]
        require_equal({contender.read(key) for key in keys}, {fixtures.DATA})
        for path in fixtures.WRITTEN:
            contender.write(contender.key(path), b"spoiled")
        for directory in SPOILED:
            contender.rmtree(contender.key(directory))
        again.done(contender)
        return spent

    return play(cast, Again, sample)


SCENES: Final = (
    Scene(
        "for each test",
        "2,000 files of 4 KiB as they were",
        "",
        ("memory", "disk"),
        frozenset(("read", "write", "rmtree")),
        same_tree,
    ),
)
