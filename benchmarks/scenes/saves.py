"""Small saves: a game that writes 2 KiB a thousand times, each kept when it returns.

That is what a killed process leaves; what a power cut leaves is another question, and
the budgets' group "what durability costs" asks it.
"""

from __future__ import annotations

import random
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.scenes.scene import Scene
from benchmarks.scenes.turns import fresh, play
from benchmarks.timing import clocked_once, require_equal

if TYPE_CHECKING:
    from benchmarks.contenders.protocol import Kind
    from benchmarks.scenes.scene import Cast, Figures
    from benchmarks.scenes.turns import Turn

SIZE: Final = 2048
SLOTS: Final = 50
"""Files that take turns: the first save to each makes it, later ones replace it."""


def save(cast: Cast, *, batch: bool) -> Figures:
    """Save again and again, each by itself or all in one batch."""
    source = random.Random(SIZE)
    saves = [
        (f"/saves/slot{nth % SLOTS:02}.sav", source.randbytes(SIZE))
        for nth in range(1_000 if cast.full else 200)
    ]

    def sample(kind: Kind, turn: Turn) -> float:
        with fresh(cast, kind) as contender:
            contender.makedirs(contender.key("/saves"))
            pairs = [(contender.key(path), data) for path, data in saves]

            def work() -> None:
                with contender.batch() if batch else nullcontext():
                    turn.clocked(lambda pair: contender.write(*pair), pairs)

            spent = clocked_once(work, len(pairs))
            for path, data in dict(saves).items():
                require_equal(contender.read(contender.key(path)) == data, True)
            return spent

    return play(cast, lambda _, kind: kind, sample)


SCENES: Final = tuple(
    Scene(
        "small saves",
        f"1,000 saves of 2 KiB (quick: 200), {name}",
        "a save",
        ("disk",),
        frozenset({"write", "read"}),
        partial(save, batch=batch),
    )
    for name, batch in (("each by itself", False), ("in one batch", True))
)
