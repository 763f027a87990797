"""Upkeep and durability: copies, compacting, counting, checking, and fsync."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from benchmarks.floor import SqlFloor
from benchmarks.stage import SIZE
from benchmarks.subjects import (
    LocalDisk,
    StrataDisk,
    StrataSynced,
    SyncedDisk,
    sync,
)
from benchmarks.timing import clocked, clocked_once, interleaved, require_equal
from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.stage import Stage
    from benchmarks.subjects import Subject
    from benchmarks.work import Figures

MIB: Final = 1 << 20

# --- the whole container --------------------------------------------------------------


def backup(stage: Stage) -> Figures:
    """Copy a container that is open: by its own means, and as any other file."""
    vfs = _library(stage.readers["disk"])
    location = vfs.db_path
    size = os.path.getsize(location) / MIB

    def copy_and_sync(target: str) -> None:
        shutil.copyfile(location, target)
        sync(target)
        sync(os.path.dirname(target))

    def by_hand(target: str) -> None:
        with (
            closing(sqlite3.connect(location)) as source,
            closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)

    def sample(copy: Callable[[str], object], _: int) -> float:
        target = stage.new()
        spent = clocked_once(partial(copy, target)) / size
        with VirtualFileSystem(target, read_only=True) as copied:
            require_equal(len(copied.glob("/*/*.bin")), len(stage.paths))
        shutil.rmtree(os.path.dirname(target))
        return spent

    copies: dict[str, Callable[[str], object]] = {
        "disk": vfs.backup,
        "copyfile": partial(shutil.copyfile, location),
        "fsync": copy_and_sync,
        "sql": by_hand,
    }
    samples = {name: partial(sample, copy) for name, copy in copies.items()}
    return interleaved(samples, stage.scale.write_rounds)


def compact(stage: Stage) -> Figures:
    """Give back the room of every second file, in a fresh copy each time."""

    def half(kind: Any) -> str:
        location = stage.new()
        with closing(kind(location)) as subject:
            stage.fill(subject)
            with subject.batch():
                for path in stage.paths[1::2]:
                    subject.remove(subject.key(path))
        return location

    def sample(kind: Any, template: str, _: int) -> float:
        location = shutil.copyfile(template, stage.new())
        with closing(kind(location)) as subject:
            spent = clocked_once(subject.compact)
            for path in stage.paths[::100]:
                content = subject.read_bytes(subject.key(path))
                require_equal(content, stage.content[path])
        kept = os.path.getsize(location)
        require_equal(kept < 0.6 * os.path.getsize(template), True)
        shutil.rmtree(os.path.dirname(location))
        return spent / (kept / MIB)

    kinds = {"disk": StrataDisk, "sql": SqlFloor}
    samples = {name: partial(sample, kind, half(kind)) for name, kind in kinds.items()}
    return interleaved(samples, stage.scale.write_rounds)


# --- every entry ----------------------------------------------------------------------


def stats(stage: Stage) -> Figures:
    """Count what is there, as the library does and by one statement."""
    files = len(stage.paths)

    def disk(_: int) -> float:
        vfs = _library(stage.readers["disk"])
        spent, (found,) = clocked(lambda _: vfs.stats(), [None])
        require_equal((found.files, found.logical_bytes), (files, files * SIZE))
        return spent / (files + found.directories)

    def sql(_: int) -> float:
        floor = stage.readers["sql"]
        assert isinstance(floor, SqlFloor)
        spent, (found,) = clocked(lambda _: floor.count(), [None])
        require_equal(found, (files, files * SIZE, files * SIZE))
        return spent / files

    return interleaved({"disk": disk, "sql": sql}, stage.scale.tree_rounds)


def check(stage: Stage, *, deep: bool) -> Figures:
    """Check containers of few and of many entries; SQLite's own check beside them."""

    def sample(vfs: VirtualFileSystem, entries: int, _: int) -> float:
        spent, (found,) = clocked(lambda _: vfs.check(deep=deep), [None])
        require_equal(found, [])
        return spent / entries

    def sql(cx: sqlite3.Connection, entries: int, _: int) -> float:
        text = "PRAGMA integrity_check"
        spent, (found,) = clocked(lambda _: cx.execute(text).fetchall(), [None])
        require_equal(found, [("ok",)])
        return spent / entries

    crowds = stage.crowds
    entries = {name: sum(vfs.stats()[:2]) for name, vfs in crowds.items()}
    samples: dict[str, Any] = {
        name: partial(sample, vfs, entries[name]) for name, vfs in crowds.items()
    }
    with closing(sqlite3.connect(crowds["many"].db_path)) as cx:
        if deep:
            samples["sql"] = partial(sql, cx, entries["many"])
        return interleaved(samples, stage.scale.check_rounds)


# --- what durability costs ------------------------------------------------------------


def commit(stage: Stage, *, batch: bool) -> Figures:
    """Make new files of 4 KiB, each its own commit or all in one."""
    writes = stage.scale.commits

    def sample(subject: Subject, nth: int) -> float:
        paths = [f"/d{i % 10}/f{nth:02}_{i:03}.bin" for i in range(writes)]
        keys = [subject.key(path) for path in paths]
        data = stage.content[stage.paths[nth]]

        def each() -> None:
            for key in keys:
                subject.write_bytes(key, data)

        def together() -> None:
            with subject.batch():
                each()

        spent = clocked_once(together if batch else each, writes)
        require_equal({subject.read_bytes(key) for key in keys}, {data})
        return spent

    with ExitStack() as stack:
        subjects: dict[str, Subject] = {
            "off": StrataDisk(stage.new(), "off"),
            "normal": StrataDisk(stage.new()),
            "full": StrataDisk(stage.new(), "full"),
            "sync()": StrataSynced(stage.new()),
            "local": LocalDisk(stage.new()),
            "fsync": SyncedDisk(stage.new()),
        }
        for subject in subjects.values():
            stack.enter_context(closing(subject))
        samples = {name: partial(sample, by) for name, by in subjects.items()}
        return interleaved(samples, stage.scale.write_rounds)


def _library(subject: Subject) -> VirtualFileSystem:
    assert isinstance(subject, StrataDisk)
    return subject.vfs
