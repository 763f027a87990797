"""All scenes of the comparison, in the order of its tables."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from benchmarks.scenes import (
    game,
    growth,
    memory,
    published,
    saves,
    stacks,
    startup,
    updates,
)

if TYPE_CHECKING:
    from benchmarks.scenes.scene import Scene

SCENES: Final[tuple[Scene, ...]] = tuple(
    itertools.chain.from_iterable(
        module.SCENES
        for module in (
            published,
            game,
            growth,
            stacks,
            saves,
            updates,
            memory,
            startup,
        )
    )
)
