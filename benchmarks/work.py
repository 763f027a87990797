"""The work that is measured: each function runs its subjects side by side.

It takes the stage and returns the figures of each subject by its name. What each may
cost stands in ``budgets.py``.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.stage import IN_ONE_DIRECTORY, PIECE, SIZE, plant
from benchmarks.subjects import StrataDisk
from benchmarks.timing import (
    clocked,
    clocked_apart,
    clocked_once,
    interleaved,
    require_equal,
)
from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.stage import Stage
    from benchmarks.subjects import Patchable, Subject

    Figures = dict[str, list[float]]
    Sample = Callable[[int], float]

# --- asking ---------------------------------------------------------------------------


def ask(
    stage: Stage,
    verb: str,
    names: tuple[str, ...],
    check: Callable[[Subject, str, Any], object],
) -> Figures:
    """Call *verb* on random files; *check* raises when an answer is wrong."""

    def sample(subject: Subject, nth: int) -> float:
        paths = stage.chosen(nth, stage.paths)
        keys = [subject.key(path) for path in paths]
        spent, answers = clocked(getattr(subject, verb), keys)
        for path, answer in zip(paths, answers, strict=True):
            check(subject, path, answer)
        return spent

    samples = {name: partial(sample, stage.readers[name]) for name in names}
    return interleaved(samples, stage.scale.rounds)


def read(stage: Stage, verb: str) -> Figures:
    names = ("disk", "immutable", "memory", "local", "sql")

    def check(_: Subject, path: str, answer: bytes) -> None:
        require_equal(answer, stage.content[path])

    return ask(stage, verb, names, check)


def stat(stage: Stage) -> Figures:
    names = ("disk", "immutable", "local", "sql")

    def check(subject: Subject, _: str, answer: object) -> None:
        require_equal(subject.size_of(answer), SIZE)

    return ask(stage, "stat", names, check)


def exists(stage: Stage) -> Figures:
    names = ("disk", "immutable", "local", "sql")
    return ask(stage, "exists", names, lambda *call: require_equal(call[-1], True))


def listdir(stage: Stage) -> Figures:
    def sample(subject: Subject, nth: int) -> float:
        places = stage.chosen(nth, stage.directories)[:50]
        keys = [subject.directory_key(place) for place in places]
        spent, answers = clocked(subject.listdir, keys)
        for place, answer in zip(places, answers, strict=True):
            require_equal(sorted(answer), stage.names[place])
        return spent

    names = ("disk", "immutable", "local", "sql")
    samples = {name: partial(sample, stage.readers[name]) for name in names}
    return interleaved(samples, stage.scale.rounds)


# --- writing --------------------------------------------------------------------------


def write(stage: Stage, *, create: bool, batch: bool) -> Figures:
    """Write 4 KiB files, over old ones or new, and read them back afterwards."""
    mark = f"{create}{batch}"  # new names in each run

    def sample(subject: Subject, nth: int) -> float:
        paths = random.Random(nth).sample(stage.paths, stage.scale.writes)
        if create:
            paths = [f"{path}.{mark}{nth}" for path in paths]
        data = random.Random(f"{mark}{nth}").randbytes(SIZE)
        keys = [subject.key(path) for path in paths]
        spent = clocked_once(lambda: write_all(subject, keys, data, batch), len(keys))
        require_equal({subject.read_bytes(key) for key in keys}, {data})
        return spent

    samples = {name: partial(sample, by) for name, by in stage.writers.items()}
    return interleaved(samples, stage.scale.write_rounds)


def write_all(subject: Subject, keys: list[Any], data: bytes, batch: bool) -> None:
    if batch:
        with subject.batch():
            write_all(subject, keys, data, batch=False)
    else:
        for key in keys:
            subject.write_bytes(key, data)


# --- large files ----------------------------------------------------------------------


def segment(stage: Stage, nth: int) -> range:
    """Return the numbers of the pieces in round *nth* of a stream."""
    pieces = stage.scale.stream // PIECE // stage.scale.segments
    return range(nth * pieces, (nth + 1) * pieces)


def stream_write(stage: Stage, *, batch: bool) -> Figures:
    """Write the large file piece by piece, both subjects in turns of one segment."""
    with stage.fresh() as subjects:
        with ExitStack() as stack:
            samples: dict[str, Sample] = {}
            for name, subject in subjects.items():
                if batch:
                    stack.enter_context(subject.batch())
                file = subject.open(subject.key("/large"), "wb")
                stack.callback(file.close)
                samples[name] = partial(_write_segment, stage, file)
            figures = interleaved(samples, stage.scale.segments - 1)
        _stream_read(stage, subjects)
        return figures


def _write_segment(stage: Stage, file: Any, nth: int) -> float:
    def check(number: int, written: object) -> None:
        """Read back when the whole file is there."""

    return clocked_apart(
        lambda number: file.write(stage.piece(number)), segment(stage, nth), check
    )


def stream_read(stage: Stage) -> Figures:
    return _stream_read(stage, stage.streamed)


def _stream_read(stage: Stage, subjects: dict[str, Subject]) -> Figures:
    """Read the large file piece by piece, and compare each with what was written."""
    with ExitStack() as stack:
        samples: dict[str, Sample] = {}
        for name, subject in subjects.items():
            file = subject.open(subject.key("/large"), "rb")
            stack.callback(file.close)
            samples[name] = partial(_read_segment, stage, file)
        return interleaved(samples, stage.scale.segments - 1)


def _read_segment(stage: Stage, file: Any, nth: int) -> float:
    return clocked_apart(
        lambda _: file.read(PIECE),
        segment(stage, nth),
        lambda number, got: require_equal(got, stage.piece(number)),
    )


def update(stage: Stage, *, batch: bool) -> Figures:
    """Overwrite 4 KiB at random places of the large file, each within one chunk."""
    # So few that checkpoints, the same for both, fall on one round in three and not on
    # the median: the ratio is that of the work itself.
    updates = 100

    def sample(subject: Subject, file: Patchable, nth: int) -> float:
        places = random.Random(nth).sample(range(stage.scale.stream // SIZE), updates)
        offsets = [place * SIZE for place in places]
        data = random.Random(f"{batch}{nth}").randbytes(SIZE)
        spent = clocked_once(
            lambda: update_all(subject, file, offsets, data, batch), 100
        )
        found = {file.read_at(offset, SIZE) for offset in offsets}
        require_equal(found, {data})
        return spent

    with ExitStack() as stack:
        samples: dict[str, Sample] = {}
        for name, subject in stage.streamed.items():
            file = subject.patch(subject.key("/large"))
            stack.callback(file.close)
            samples[name] = partial(sample, subject, file)
        return interleaved(samples, stage.scale.rounds)


def update_all(
    subject: Subject, file: Patchable, offsets: list[int], data: bytes, batch: bool
) -> None:
    if batch:
        with subject.batch():
            update_all(subject, file, offsets, data, batch=False)
    else:
        for offset in offsets:
            file.update(offset, data)


# --- many entries ---------------------------------------------------------------------


def among_others(stage: Stage, verb: str, argument: str) -> Figures:
    """Call *verb* for the 1,000 names in /here, among few and among many others."""

    def sample(vfs: VirtualFileSystem, _: int) -> float:
        spent, answers = clocked(getattr(vfs, verb), [argument] * 5)
        require_equal([len(answer) for answer in answers], [1000] * 5)
        return spent

    samples = {name: partial(sample, vfs) for name, vfs in stage.crowds.items()}
    return interleaved(samples, stage.scale.rounds)


def glob_all(stage: Stage, pattern: str, share: int) -> Figures:
    """Search all the others, of which one in *share* matches: the price of an entry."""
    files = stage.scale.many
    entries = files + -(-files // IN_ONE_DIRECTORY)

    def sample(_: int) -> float:
        spent, (found,) = clocked(stage.crowds["many"].glob, [pattern])
        require_equal(len(found), files // share)
        return spent / entries

    return interleaved({"disk": sample}, stage.scale.tree_rounds)


def rename(stage: Stage) -> Figures:
    """Move a tree there and back again."""
    with stage.fresh() as subjects:
        vfs = _library(subjects)
        with vfs.atomic_batch():
            entries = plant(vfs, "/tree0", stage.scale.tree, bytes(512))

        def sample(nth: int) -> float:
            src, dst = f"/tree{nth}", f"/tree{nth + 1}"
            spent = clocked_once(lambda: vfs.rename(src, dst), entries)
            require_equal(vfs.listdir("/"), [dst[1:]])
            require_equal(len(vfs.glob(f"{dst}/*/*")), stage.scale.tree)
            return spent

        return interleaved({"disk": sample}, stage.scale.tree_rounds)


def rmtree(stage: Stage) -> Figures:
    """Remove a tree that is planted anew in each round."""
    with stage.fresh() as subjects:
        vfs = _library(subjects)

        def sample(_: int) -> float:
            with vfs.atomic_batch():
                entries = plant(vfs, "/tree", stage.scale.tree, bytes(512))
            spent = clocked_once(lambda: vfs.rmtree("/tree"), entries)
            require_equal(vfs.listdir("/"), [])
            return spent

        return interleaved({"disk": sample}, stage.scale.tree_rounds)


def _library(subjects: dict[str, Subject]) -> VirtualFileSystem:
    disk = subjects["disk"]
    assert isinstance(disk, StrataDisk)
    return disk.vfs


# --- starting -------------------------------------------------------------------------


def create(stage: Stage) -> Figures:
    """Make an empty container; closing it is not counted."""

    def sample(location: Callable[[], str], _: int) -> float:
        spent, (vfs,) = clocked(VirtualFileSystem, [location()])
        require_equal(vfs.listdir("/"), [])
        vfs.close()
        return spent

    samples = {
        "disk": partial(sample, stage.new),
        "memory": partial(sample, lambda: ":memory:"),
    }
    return interleaved(samples, stage.scale.start_rounds * 3)


def import_package(stage: Stage) -> Figures:
    """Import in a new process each time, starting Python not counted.

    The first round leaves compiled modules, whatever this environment says of them.
    """
    settings = {**os.environ, "PYTHONPYCACHEPREFIX": os.path.dirname(stage.new())}
    settings.pop("PYTHONDONTWRITEBYTECODE", None)
    clock = "import time; start = time.perf_counter(); import {}; "
    clock += "print((time.perf_counter() - start) * 1e6)"

    def sample(module: str, _: int) -> float:
        command = [sys.executable, "-c", clock.format(module)]
        done = subprocess.run(command, capture_output=True, check=True, env=settings)
        return float(done.stdout)

    modules = ("stratavfs", "sqlite3", "icontract")
    samples = {module: partial(sample, module) for module in modules}
    return interleaved(samples, stage.scale.start_rounds)
