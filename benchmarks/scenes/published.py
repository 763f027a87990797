"""The cases that D-MemFS publishes, with its sizes: ``compare_backends.py`` there.

Each step of a case has a line of its own, and what lies in the files is random.
"""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.scenes.filling import filled
from benchmarks.scenes.large import (
    MIB,
    reads_at_random,
    stream_in,
    stream_out,
    updates,
)
from benchmarks.scenes.scene import Scene
from benchmarks.scenes.turns import fresh, play
from benchmarks.timing import require_equal

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contenders.protocol import Contender, Kind, Verb
    from benchmarks.scenes.scene import Cast, Figures
    from benchmarks.scenes.turns import Turn

GROUP: Final = "D-MemFS's cases"
KIB: Final = 1 << 10
SMALL: Final = 4 * KIB
SMALL_FILES: Final = 300
DEPTH: Final = 50


def small_files(cast: Cast) -> Figures:
    """Write 300 files into an empty file system, and read them."""
    files = {
        f"/bench/f{nth:05}.bin": random.Random(nth).randbytes(SMALL)
        for nth in range(SMALL_FILES)
    }

    def sample(kind: Kind, turn: Turn) -> float:
        with fresh(cast, kind) as contender:
            contender.makedirs(contender.key("/bench"))
            pairs = [(contender.key(path), data) for path, data in files.items()]
            writing, _ = turn.clocked(lambda pair: contender.write(*pair), pairs)
            reading, found = turn.clocked(contender.read, [key for key, _ in pairs])
            require_equal(found == [*files.values()], True)
            return writing + reading

    return play(cast, lambda _, kind: kind, sample)


def many_files(cast: Cast) -> Figures:
    """Read half of the many files of one directory, chosen at random."""
    count = 10_000 if cast.full else 1_000
    contents = [random.Random(nth).randbytes(SMALL) for nth in range(100)]
    files = {f"/f{nth:06}.bin": contents[nth % 100] for nth in range(count)}

    def prepare(cast: Cast, kind: Kind) -> Contender:
        return filled(cast, kind, "many", lambda: files)

    def sample(contender: Contender, turn: Turn) -> float:
        chosen = random.Random(turn.nth).choices([*files], k=count // 2)
        keys = [contender.key(path) for path in chosen]
        return turn.checked(contender.read, keys, [files[path] for path in chosen])

    return play(cast, prepare, sample)


# --- a deep tree ----------------------------------------------------------------------

LEVELS: Final = ["/" + "/".join(f"d{n}" for n in range(at + 1)) for at in range(DEPTH)]
DEEPEST: Final = f"{LEVELS[-1]}/file.bin"
DEEP_CONTENT: Final = random.Random(DEPTH).randbytes(KIB)


def read_deep(cast: Cast) -> Figures:
    """Read a file below 50 directories, again and again."""
    times = 1_000 if cast.full else 200

    def prepare(cast: Cast, kind: Kind) -> Contender:
        return filled(cast, kind, "deep", lambda: {DEEPEST: DEEP_CONTENT})

    def sample(contender: Contender, turn: Turn) -> float:
        keys = [contender.key(DEEPEST)] * times
        return turn.checked(contender.read, keys, [DEEP_CONTENT] * times)

    return play(cast, prepare, sample)


def make_deep(cast: Cast) -> Figures:
    """Make 50 directories within each other, with a file in each; remove them all."""

    def sample(contender: Contender, turn: Turn) -> float:
        places = [contender.key(level) for level in LEVELS]
        pairs = [(contender.key(f"{level}/file.bin"), DEEP_CONTENT) for level in LEVELS]
        making, _ = turn.clocked(contender.makedirs, places)
        writing, _ = turn.clocked(lambda pair: contender.write(*pair), pairs)
        removing, _ = turn.clocked(contender.rmtree, places[:1])
        require_equal(contender.exists(places[0]), False)
        return making + writing + removing / DEPTH

    def prepare(cast: Cast, kind: Kind) -> Contender:
        return cast.props.enter_context(fresh(cast, kind))

    return play(cast, prepare, sample)


def _scene(
    work: str,
    unit: str,
    play: Callable[[Cast], Figures],
    *needs: Verb,
    only_full: bool = False,
) -> Scene:
    return Scene(
        GROUP,
        work,
        unit,
        ("memory", "disk"),
        frozenset({"write", "read", *needs}),
        play,
        only_full=only_full,
    )


def _streams(total: int, piece: int, *, only_full: bool) -> list[Scene]:
    size = f"{total // MIB} MiB by {piece // KIB} KiB"
    return [
        _scene(
            f"{size}, {way}",
            "a MiB",
            partial(stream, total=total, piece=piece),
            "open",
            only_full=only_full,
        )
        for way, stream in (("in", stream_in), ("out", stream_out))
    ]


STREAM: Final = 16 * MIB
PIECE: Final = 64 * KIB

SCENES: Final = (
    _scene("300 files of 4 KiB, write and read", "a file", small_files),
    *_streams(STREAM, PIECE, only_full=False),
    *_streams(512 * MIB, MIB, only_full=True),
    _scene(
        "4 KiB at random in 16 MiB, read",
        "",
        partial(reads_at_random, total=STREAM, piece=PIECE, times=300),
        "open",
    ),
    _scene(
        "64 KiB at random in 16 MiB, written",
        "",
        partial(updates, total=STREAM, size=PIECE, times=100),
        "open",
        "update",
    ),
    _scene("many files, read at random", "a file", many_files),
    _scene("a file 50 directories deep, read", "", read_deep),
    _scene(
        "50 deep with a file each, made and removed",
        "a level",
        make_deep,
        "exists",
        "rmtree",
    ),
)
