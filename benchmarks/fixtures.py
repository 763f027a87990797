"""What a test suite pays for a file system as it should be: fork, reset, refill.

The tree is always the same, whatever the scale: 2,000 files of 4 KiB, 8 MB.
"""

from __future__ import annotations

import random
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from benchmarks.floor import SqlFloor
from benchmarks.stage import IN_ONE_DIRECTORY, SIZE
from benchmarks.subjects import StrataDisk, StrataMemory
from benchmarks.timing import clocked, clocked_once, interleaved, require_equal
from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from benchmarks.stage import Stage
    from benchmarks.subjects import Subject
    from benchmarks.work import Figures, Sample

FILES: Final = 2000
PATHS: Final = [f"/d{nth // IN_ONE_DIRECTORY:02}/f{nth:04}.bin" for nth in range(FILES)]
WRITTEN: Final = PATHS[:10]
DELETED: Final = PATHS[1000:]
DATA: Final = random.Random(2000).randbytes(SIZE)


def filled(subject: Subject) -> Any:
    """Return *subject* with the tree in it."""
    with subject.batch():
        for path in PATHS:
            subject.write_bytes(subject.key(path), DATA)
    return subject


def fork(stage: Stage, *, closing_too: bool) -> Figures:
    """Fork a filled file system in memory and on the disk; or fill a new one."""

    def sample(make: Any, nth: int) -> float:
        def once(_: int) -> Any:
            made = make()
            if closing_too:
                made.close()
            return made

        spent, (made,) = clocked(once, [nth])
        if not closing_too:
            _require_independent(made, nth)
            made.close()
        return spent

    with ExitStack() as stack:
        originals: dict[str, Any] = {
            "memory": StrataMemory(),
            "disk": StrataDisk(stage.new()),
            "sql": SqlFloor(":memory:"),
            "sql disk": SqlFloor(stage.new()),
        }
        samples = {"refill": partial(sample, lambda: filled(StrataMemory()))}
        for name, original in originals.items():
            stack.enter_context(closing(filled(original)))
            samples[name] = partial(sample, original.fork)
        figures = interleaved(samples, stage.scale.fork_rounds)
        for original in originals.values():
            _require_as_filled(original)
    return figures


def _require_independent(made: Any, nth: int) -> None:
    """See that all is there, and change it, which the original must not show."""
    _require_as_filled(made, PATHS[nth::97])
    made.write_bytes(_key(made, PATHS[nth]), b"changed")
    require_equal(made.read_bytes(_key(made, PATHS[nth])), b"changed")


def _require_as_filled(made: Any, paths: list[str] = PATHS) -> None:
    if isinstance(made, VirtualFileSystem):
        require_equal(len(made.glob("/*/*.bin")), FILES)
    require_equal({made.read_bytes(_key(made, path)) for path in paths}, {DATA})


def _key(made: Any, path: str) -> Any:
    return SqlFloor.key(path) if isinstance(made, SqlFloor) else path


def reset(stage: Stage) -> Figures:
    """Go back to the filled tree after ten writes and a thousand deletions."""

    def sample(subject: Any, nth: int) -> float:
        data = random.Random(nth).randbytes(SIZE)
        for path in WRITTEN:
            subject.write_bytes(subject.key(path), data)
        for path in DELETED:
            subject.remove(subject.key(path))
        require_equal(subject.read_bytes(subject.key(WRITTEN[0])), data)
        require_equal(subject.exists(subject.key(DELETED[0])), False)
        spent = clocked_once(subject.reset)
        _require_as_filled(getattr(subject, "vfs", subject))
        return spent

    def refill(_: int) -> float:
        with closing(StrataMemory()) as subject:
            return clocked_once(partial(filled, subject))

    with (
        closing(filled(StrataMemory())) as memory,
        closing(filled(SqlFloor(":memory:"))) as floor,
    ):
        memory.mark()
        floor.mark()
        samples: dict[str, Sample] = {
            "memory": partial(sample, memory),
            "sql": partial(sample, floor),
            "refill": refill,
        }
        return interleaved(samples, stage.scale.fork_rounds)


def empty_batch(stage: Stage) -> Figures:
    """Enter and leave a batch in which nothing is done, with and without handles."""

    def sample(subject: Any, _: int) -> float:
        def once(_: int) -> None:
            with subject.batch():
                pass

        return clocked(once, range(stage.scale.block))[0]

    with ExitStack() as stack:
        subjects: dict[str, Any] = {
            "disk": StrataDisk(stage.new()),
            "20 open": StrataDisk(stage.new()),
            "sql": SqlFloor(stage.new()),
        }
        for subject in subjects.values():
            stack.enter_context(closing(subject))
            subject.write_bytes(subject.key("/file"), DATA)
        for nth in range(20):
            mode = "r+b" if nth % 2 else "rb"
            file = stack.enter_context(subjects["20 open"].vfs.open("/file", mode))
            require_equal(file.read(100), DATA[:100])
        samples = {name: partial(sample, by) for name, by in subjects.items()}
        return interleaved(samples, stage.scale.rounds)
