"""Layers: what lies at the bottom of 1 to 64 of them, and what none of them has."""

from __future__ import annotations

import os
import random
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.layers import DATA, DIRECTORIES, MISSING, PROBED, overlayfs
from benchmarks.scenes.scene import Scene
from benchmarks.scenes.turns import (
    GivesUpError,
    close,
    excused,
    haste,
    in_turns,
    may_give_up,
    once,
)
from benchmarks.timing import clocked_once

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.contenders.protocol import Contender, Kind, Verb
    from benchmarks.scenes.scene import Cast, Figures
    from benchmarks.scenes.turns import Turn

HEIGHTS: Final = (1, 4, 16, 64)
CALLS: Final = 100
KERNEL: Final = "kernel overlayfs"
"""Layers on a tmpfs, where a program may mount them; among those in memory."""


def contents(nth: int, layers: int) -> dict[str, bytes]:
    """Return the files of a layer; the last one has what is asked for."""
    files = {f"/d{at}/f{nth:02}.bin": DATA for at in range(DIRECTORIES)}
    if nth == layers - 1:
        files |= dict.fromkeys(PROBED, DATA)
    return files


def stack(cast: Cast, kind: Kind, layers: int) -> Contender:
    """Return a stack so high, which the scenes of the group share."""

    def make() -> Contender:
        seconds = once(cast, "seconds", kind, lambda: seconds_for_one(cast, kind))
        if seconds * layers > haste(cast).filling and may_give_up(kind):
            message = f"given up: making one layer takes {seconds:.2f} s"
            raise GivesUpError(message)
        contender = built(cast, kind, layers)
        cast.props.callback(close, kind, contender)
        return contender

    return once(cast, layers, kind, make)


def built(cast: Cast, kind: Kind, layers: int) -> Contender:
    assert kind.stack is not None
    return kind.stack(cast.home(kind), [contents(nth, layers) for nth in range(layers)])


def seconds_for_one(cast: Cast, kind: Kind) -> float:
    made: list[Contender] = []
    spent = clocked_once(lambda: made.append(built(cast, kind, 1)))
    close(kind, made[0])
    return spent / 1e6


def mounted(cast: Cast, layers: int) -> str:
    """Return the directory in which the kernel shows its stack."""

    def make() -> str:
        directory = cast.new()
        cast.props.enter_context(overlayfs(directory, layers, ""))
        return f"{directory}/view"

    view: str = cast.props.once((layers, KERNEL), make)
    return view


def read_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def ask(cast: Cast, layers: int, *, missing: bool) -> Figures:
    """Read what only the last layer has; or ask for what none has."""
    paths, expected = (MISSING, False) if missing else (PROBED, DATA)

    def sample(
        call: Callable[..., object], keys: Sequence[object], turn: Turn
    ) -> float:
        chosen = random.Random(turn.nth).choices(keys, k=CALLS)
        return turn.checked(call, chosen, [expected] * CALLS)

    samples = {}
    for kind in cast.kinds:
        with excused(cast, kind.name):
            made = stack(cast, kind, layers)
            keys = [made.key(path) for path in paths]
            call: Callable[..., object] = made.exists if missing else made.read
            samples[kind.name] = partial(sample, call, keys)
    if "memory" in {kind.family for kind in cast.kinds}:
        with excused(cast, KERNEL):
            view = mounted(cast, layers)
            call = os.path.exists if missing else read_file
            samples[KERNEL] = partial(sample, call, [view + path for path in paths])
    return in_turns(cast, samples)


def _scene(layers: int, *, missing: bool) -> Scene:
    verb: Verb = "exists" if missing else "read"
    what = "missing, below" if missing else "4 KiB at the bottom of"
    return Scene(
        "layers",
        f"{what} {layers}",
        "",
        ("memory", "disk"),
        frozenset({"layers", verb}),
        partial(ask, layers=layers, missing=missing),
    )


SCENES: Final = tuple(
    _scene(layers, missing=missing) for missing in (False, True) for layers in HEIGHTS
)
