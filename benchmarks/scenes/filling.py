"""Filling: a tree of files in an empty contender, in one batch where it has batches."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.scenes.assets import directories
from benchmarks.scenes.turns import filling, fresh, once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.contenders.protocol import Contender, Kind
    from benchmarks.scenes.scene import Cast
    from benchmarks.scenes.turns import Turn


def fill(contender: Contender, files: Mapping[str, bytes], turn: Turn) -> float:
    """Make directories and files; return the microseconds a file."""
    places = [contender.key(path) for path in directories(files)]
    pairs = [(contender.key(path), data) for path, data in files.items()]

    with contender.batch():
        making, _ = turn.clocked(contender.makedirs, places)
        writing, _ = turn.clocked(lambda pair: contender.write(*pair), pairs)
    return (making * len(places)) / len(pairs) + writing


def filled(
    cast: Cast, kind: Kind, what: object, files: Callable[[], Mapping[str, bytes]]
) -> Contender:
    """Return a contender with *files* in it, which the scenes of the group share."""

    def make() -> Contender:
        contender = cast.props.enter_context(fresh(cast, kind))
        fill(contender, files(), filling(cast, kind))
        return contender

    return once(cast, what, kind, make)


class Watched(Mapping[str, bytes]):
    """Files for somebody else to write, which end with patience for the writer."""

    def __init__(self, files: Mapping[str, bytes], turn: Turn) -> None:
        self._files = files
        self._turn = turn

    def __getitem__(self, path: str) -> bytes:
        return self._files[path]

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[str]:
        start = perf_counter()
        for done, path in enumerate(self._files):
            if done > 0:
                self._turn.watch(perf_counter() - start, done, len(self))
            yield path
