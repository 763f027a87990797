"""One large file: streamed in and out, read and changed at random places.

It is made of seven pieces of random bytes that take turns, so that what lies at any
place is known without a copy of the file.
"""

from __future__ import annotations

import random
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from benchmarks.scenes.turns import filling, fresh, once, play
from benchmarks.timing import clocked_once, require_equal

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contenders.protocol import Contender, Handle, Kind
    from benchmarks.scenes.scene import Cast, Figures
    from benchmarks.scenes.turns import Turn

MIB: Final = 1 << 20
PAGE: Final = 4096


class Large(NamedTuple):
    """A large file in a contender."""

    contender: Contender
    key: Any
    total: int
    piece: int
    """Bytes that are read and written at a time."""

    @property
    def pieces(self) -> list[bytes]:
        """All of its pieces, in order."""
        different = _random_pieces(self.piece)
        return [different[nth % len(different)] for nth in range(self._count)]

    @property
    def _count(self) -> int:
        return self.total // self.piece

    def opened(
        self, mode: Literal["rb", "wb", "r+b"], work: Callable[[Handle], float | None]
    ) -> float:
        """Open, work, close; return what the work does."""
        file = self.contender.open(self.key, mode)
        try:
            return work(file) or 0.0
        finally:
            file.close()

    def write(self, turn: Turn) -> float:
        """Write the file where an empty one is; return the microseconds a MiB."""
        pieces = self.pieces
        self.opened("wb", lambda _: None)

        def work(file: Handle) -> None:
            turn.clocked(file.write, pieces)

        return clocked_once(partial(self.opened, "wb", work)) * MIB / self.total

    def read(self, turn: Turn) -> float:
        """Read all of it; return the microseconds a MiB."""
        arguments, block = [self.piece] * self._count, max(1, MIB // self.piece)

        def work(file: Handle) -> float:
            return turn.checked(file.read, arguments, self.pieces, block)

        return self.opened("rb", work) * self._count * MIB / self.total

    def read_at_random(self, turn: Turn, size: int, times: int) -> float:
        """Read *size* bytes at random places; return the microseconds for one."""
        source = random.Random(turn.nth)
        offsets = [source.randrange(self.total - size) for _ in range(times)]

        def work(file: Handle) -> float:
            def read(offset: int) -> bytes:
                file.seek(offset)
                return file.read(size)

            expected = [self.bytes_at(offset, size) for offset in offsets]
            return turn.checked(read, offsets, expected)

        return self.opened("rb", work)

    def bytes_at(self, offset: int, size: int) -> bytes:
        """Return what lies there, in a file that was never changed."""
        different = _random_pieces(self.piece)
        first, skipped = divmod(offset, self.piece)
        last = (offset + size - 1) // self.piece
        around = [different[nth % len(different)] for nth in range(first, last + 1)]
        return b"".join(around)[skipped : skipped + size]

    def update(self, turn: Turn, size: int, times: int) -> float:
        """Overwrite *size* bytes at random places, no two of which touch.

        Opening is part of it, and closing, with which the last of it is written.
        """
        source = random.Random(turn.nth)
        slots = source.sample(range(self.total // (2 * size)), times)
        offsets = [slot * 2 * size + source.randrange(size) for slot in slots]
        data = source.randbytes(size)

        def work(file: Handle) -> None:
            def update(offset: int) -> None:
                file.seek(offset)
                file.write(data)

            turn.clocked(update, offsets)

        def check(file: Handle) -> None:
            for offset in offsets:
                file.seek(offset)
                require_equal(file.read(size) == data, True)

        spent = clocked_once(partial(self.opened, "r+b", work), times)
        self.opened("rb", check)
        return spent


@lru_cache(maxsize=4)
def _random_pieces(size: int) -> list[bytes]:
    source = random.Random(size)
    return [source.randbytes(size) for _ in range(7)]


def large(cast: Cast, kind: Kind, name: str, total: int, piece: int) -> Large:
    """Return a large file in a contender of its own, which scenes share by its name."""

    def make() -> Large:
        contender = cast.props.enter_context(fresh(cast, kind))
        made = Large(contender, contender.key("/large.bin"), total, piece)
        made.write(filling(cast, kind))
        return made

    return once(cast, (name, total), kind, make)


# --- what scenes are made of ----------------------------------------------------------


def stream_in(cast: Cast, total: int, piece: int) -> Figures:
    return play(cast, partial(_streamed, total, piece), Large.write)


def stream_out(cast: Cast, total: int, piece: int) -> Figures:
    return play(cast, partial(_streamed, total, piece), Large.read)


def reads_at_random(cast: Cast, total: int, piece: int, times: int) -> Figures:
    def sample(file: Large, turn: Turn) -> float:
        return file.read_at_random(turn, PAGE, times)

    return play(cast, partial(_streamed, total, piece), sample)


def updates(cast: Cast, total: int, size: int, times: int) -> Figures:
    def prepare(cast: Cast, kind: Kind) -> Large:
        return large(cast, kind, "changed", total, min(MIB, total // 16))

    def sample(file: Large, turn: Turn) -> float:
        return file.update(turn, size, times)

    return play(cast, prepare, sample)


def _streamed(total: int, piece: int, cast: Cast, kind: Kind) -> Large:
    return large(cast, kind, "streamed", total, piece)
