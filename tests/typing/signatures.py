"""What type checkers see: mypy reads this file, nobody runs it.

``tests/test_public_api.py`` proves that every public method is named here.
"""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, BinaryIO, assert_type

from stratavfs import (
    Change,
    Conflict,
    DirEntry,
    Explanation,
    Finding,
    GrepMatch,
    StatResult,
    TransferReport,
    Usage,
    VirtualFileSystem,
)
from stratavfs._batch import Batch, Savepoint
from stratavfs._handle import ChunkFile
from stratavfs._search import ScandirIterator
from stratavfs._trace import AccessTrace
from stratavfs.archives import formats
from stratavfs.records import Progress, Repair, Stats

if TYPE_CHECKING:
    from pathlib import Path


def opening_and_closing(path: Path) -> None:
    assert_type(VirtualFileSystem(), VirtualFileSystem)
    assert_type(VirtualFileSystem(path, 4096, True, immutable=True), VirtualFileSystem)
    VirtualFileSystem(timeout=1, synchronous="full", clock=lambda: 0)
    VirtualFileSystem(synchronous="never")  # type: ignore[arg-type]
    VirtualFileSystem(chunk_size="4096")  # type: ignore[arg-type]
    with VirtualFileSystem() as vfs:
        assert_type(vfs, VirtualFileSystem)
        assert_type(vfs.db_path, str)
        assert_type(vfs.chunk_size, int)
        assert_type(vfs.read_only, bool)
        assert_type(vfs.closed, bool)
        assert_type(vfs.flush(), None)
        assert_type(vfs.sync(), None)
        assert_type(vfs.close(), None)


def upkeep(vfs: VirtualFileSystem, path: Path) -> None:
    def tell(progress: Progress) -> bool:
        assert_type(progress.done / progress.total, float)
        return progress.bytes > 0

    assert_type(vfs.check(), list[Finding])
    assert_type(vfs.check(deep=True), list[Finding])
    assert_type(vfs.repair(), list[Repair])
    assert_type(vfs.backup("copy.db"), None)
    assert_type(vfs.backup(path, tell), None)
    assert_type(vfs.backup(path, progress=print), None)
    assert_type(vfs.compact(), int)
    assert_type(vfs.stats(), Stats)
    assert_type(vfs.stats().logical_bytes, int)
    assert_type(vfs.fork(), VirtualFileSystem)
    vfs.backup(b"copy.db")  # type: ignore[arg-type]
    vfs.backup(path, lambda: None)  # type: ignore[arg-type,misc]


def whole_files(vfs: VirtualFileSystem, path: Path) -> None:
    assert_type(vfs.read_bytes("/a"), bytes)
    assert_type(vfs.read_bytes(path), bytes)
    assert_type(vfs.read_text("/a", "utf-8", "strict", ""), str)
    assert_type(vfs.write_bytes("/a", b""), int)
    assert_type(vfs.write_bytes("/a", bytearray()), int)
    assert_type(vfs.write_bytes("/a", memoryview(b"")), int)
    assert_type(vfs.write_text("/a", "", newline="\n"), int)
    assert_type(vfs.copy("/a", "/b", follow_symlinks=False), str)
    assert_type(vfs.copy2("/a", path), str)
    assert_type(vfs.touch("/a", 0o600, exist_ok=False), None)
    assert_type(vfs.truncate("/a", 0), None)
    assert_type(vfs.remove("/a"), None)
    assert_type(vfs.unlink(path), None)
    vfs.read_bytes(b"/a")  # type: ignore[arg-type]
    vfs.write_bytes("/a", "text")  # type: ignore[arg-type]
    vfs.write_text("/a", b"bytes")  # type: ignore[arg-type]


def handles(vfs: VirtualFileSystem, mode: str, size: int, binary: bool) -> None:
    assert_type(vfs.open("/a"), io.TextIOWrapper)
    assert_type(vfs.open("/a", "r"), io.TextIOWrapper)
    assert_type(vfs.open("/a", "w+", encoding="utf-8", newline=""), io.TextIOWrapper)
    assert_type(vfs.open("/a", "at", 1), io.TextIOWrapper)
    assert_type(vfs.open("/a", "rb"), io.BufferedReader)
    assert_type(vfs.open("/a", "wb"), io.BufferedWriter)
    assert_type(vfs.open("/a", "ab"), io.BufferedWriter)
    assert_type(vfs.open("/a", "xb"), io.BufferedWriter)
    assert_type(vfs.open("/a", "r+b"), io.BufferedRandom)
    assert_type(vfs.open("/a", "w+b", -1), io.BufferedRandom)
    assert_type(vfs.open("/a", "rb", 0), ChunkFile)
    assert_type(vfs.open("/a", "r+b", buffering=0), ChunkFile)
    assert_type(vfs.open("/a", "rb", size), BinaryIO)
    assert_type(vfs.open("/a", mode), IO[Any])
    assert_type(vfs.open("/a", mode, size), IO[Any])
    assert_type(vfs.open("/a", "rb" if binary else "wb"), BinaryIO)
    with vfs.open("/a") as text:
        assert_type(text.read(), str)
    with vfs.open("/a", "rb") as data:
        assert_type(data.read(), bytes)
    with vfs.open("/a", "rb", 0) as raw:
        assert_type(raw.readall(), bytes)
    vfs.open("/a", buffering="big")  # type: ignore[call-overload]


def as_standard_objects(raw: ChunkFile) -> tuple[io.RawIOBase, BinaryIO, io.IOBase]:
    return raw, raw, raw


def asking(vfs: VirtualFileSystem) -> None:
    assert_type(vfs.exists("/a"), bool)
    assert_type(vfs.lexists("/a"), bool)
    assert_type(vfs.isfile("/a"), bool)
    assert_type(vfs.isdir("/a"), bool)
    assert_type(vfs.islink("/a"), bool)
    assert_type(vfs.stat("/a", follow_symlinks=False), StatResult)
    assert_type(vfs.lstat("/a"), StatResult)
    assert_type(vfs.getsize("/a"), int)
    assert_type(vfs.samefile("/a", "/b"), bool)


def links_and_attributes(vfs: VirtualFileSystem) -> None:
    assert_type(vfs.symlink("a", "/b", target_is_directory=True), None)
    assert_type(vfs.readlink("/b"), str)
    assert_type(vfs.link("/a", "/c", follow_symlinks=False), None)
    assert_type(vfs.chmod("/a", 0o600), None)
    assert_type(vfs.chown("/a", 0, "staff"), None)
    assert_type(vfs.utime("/a"), None)
    assert_type(vfs.utime("/a", (1.5, 2)), None)
    assert_type(vfs.utime("/a", ns=(1, 2)), None)
    assert_type(vfs.getxattr("/a", "k"), bytes)
    assert_type(vfs.setxattr("/a", "k", b"v", 1), None)
    assert_type(vfs.listxattr("/a"), list[str])
    assert_type(vfs.removexattr("/a", "k"), None)
    vfs.utime("/a", ns=(1.5, 2))  # type: ignore[arg-type]


def directories(vfs: VirtualFileSystem) -> None:
    assert_type(vfs.mkdir("/d", True, True, mode=0o700), None)
    assert_type(vfs.makedirs("/d", exist_ok=True), None)
    assert_type(vfs.listdir(), list[str])
    assert_type(vfs.scandir(), ScandirIterator)
    with vfs.scandir("/d") as entries:
        for entry in entries:
            assert_type(entry, DirEntry)
            assert_type(entry.name, str)
            assert_type(entry.path, str)
            assert_type(entry.is_dir(), bool)
            assert_type(entry.stat(), StatResult)
            assert_type(os.fspath(entry), str)
            vfs.read_bytes(entry)
    assert_type(vfs.rmdir("/d"), None)
    assert_type(vfs.rmtree("/d"), None)
    assert_type(vfs.copytree("/d", "/e", ignore=lambda _, names: names), str)
    assert_type(vfs.copytree("/d", "/e", progress=print), str)


def moving(vfs: VirtualFileSystem) -> None:
    assert_type(vfs.rename("/a", "/b"), None)
    assert_type(vfs.replace("/a", "/b"), None)
    assert_type(vfs.move("/a", "/b"), str)


def searching(vfs: VirtualFileSystem) -> None:
    assert_type(vfs.walk(), Iterator[tuple[str, list[str], list[str]]])
    assert_type(vfs.glob("*"), list[str])
    assert_type(vfs.iglob("*"), Iterator[str])


def looking_into(vfs: VirtualFileSystem) -> None:
    assert_type(vfs.find(), Iterator[str])
    assert_type(
        vfs.find("*.py", "/a", type="f", newer=datetime.now(UTC)), Iterator[str]
    )
    assert_type(vfs.grep("x", "/", glob=["*.py"]), Iterator[GrepMatch])
    assert_type(vfs.grep(b"x", binary=True), Iterator[GrepMatch])
    assert_type(vfs.grep(re.compile("x")), Iterator[GrepMatch])
    assert_type(vfs.tree("/a", max_depth=2), str)
    assert_type(vfs.disk_usage().bytes, int)
    assert_type(vfs.disk_usage("/a"), Usage)
    assert_type(vfs.get_metadata("/a"), dict[str, Any])
    assert_type(vfs.set_metadata("/a", {"a": [1]}), None)


def moving_in_and_out(vfs: VirtualFileSystem, path: Path, stream: BinaryIO) -> None:
    assert_type(vfs.import_tree("host", path, exclude=".git/"), TransferReport)
    assert_type(vfs.import_tree(path, preserve=["mode"], atomic=False), TransferReport)
    assert_type(vfs.export_tree("/", path, on_conflict="newer"), TransferReport)
    vfs.export_tree("/", path, on_conflict="never")  # type: ignore[arg-type]
    assert_type(vfs.iter_export_tree("/a", handles=True), Iterator[tuple[str, Any]])
    assert_type(vfs.import_archive("a.zip", max_ratio=math.inf), TransferReport)
    assert_type(vfs.import_archive(stream, format="tar.gz"), TransferReport)
    assert_type(vfs.export_archive("/", path, "zip"), TransferReport)
    assert_type(vfs.export_archive("/", stream, formats()[0]), TransferReport)
    assert_type(vfs.export_bytesio("/a"), io.BytesIO)
    assert_type(vfs.export_sqlar("a.sqlar", progress=print), TransferReport)


def layers(vfs: VirtualFileSystem) -> None:
    assert_type(vfs.add_underlay(vfs, 1, "base"), str)
    assert_type(vfs.add_underlay("base.db", at="/mods"), str)
    assert_type(vfs.remove_underlay("base"), bool)
    assert_type(vfs.set_priority("base", 2), None)
    assert_type(vfs.list_layers(), list[dict[str, object]])
    assert_type(vfs.which_layer("/a"), str | None)
    assert_type(vfs.explain("/a"), Explanation)
    assert_type(vfs.conflicts(), list[Conflict])
    assert_type(vfs.diff("/a"), list[Change])
    assert_type(vfs.revert("/a"), None)
    assert_type(vfs.flatten("flat.db"), None)
    assert_type(vfs.flatten(vfs, progress=print), None)
    assert_type(vfs.apply_to(vfs, progress=print), None)
    assert_type(vfs.which_layer_detailed("/a"), dict[str, object])


def packs(vfs: VirtualFileSystem, path: Path) -> None:
    assert_type(vfs.pack("new.db"), TransferReport)
    assert_type(vfs.pack(path, layer="local", page_size=4096), TransferReport)
    assert_type(vfs.pack(path, order=["/a", path], progress=print), TransferReport)
    assert_type(vfs.pack(path, order="start.trace"), TransferReport)
    assert_type(vfs.access_trace(), AbstractContextManager[AccessTrace])
    with vfs.access_trace() as trace:
        assert_type(trace[0], str)
        assert_type(trace[1:], list[str])
        assert_type(trace.save(path), None)
        assert_type(vfs.pack(path, order=trace), TransferReport)
    vfs.pack(b"new.db")  # type: ignore[arg-type]
    vfs.pack(path, "local")  # type: ignore[call-arg]


def batches(vfs: VirtualFileSystem) -> None:
    assert_type(vfs.atomic_batch(), Batch)
    with vfs.atomic_batch() as batch:
        assert_type(batch, Batch)
        assert_type(batch.rollback(), None)
    assert_type(vfs.savepoint(), Savepoint)
    with vfs.savepoint() as mark:
        assert_type(mark, Savepoint)
        assert_type(mark.reset(), None)
        assert_type(mark.release(), None)


def records(stat: StatResult, finding: Finding, repair: Repair) -> None:
    assert_type(stat.st_mtime, float)
    assert_type(stat.st_mtime_ns, int)
    assert_type(stat.source_layer, str)
    assert_type(stat.is_directory, bool)
    assert_type(finding.rule, int)
    assert_type(str(finding), str)
    assert_type(repair.rule, int)
    assert_type(repair.action, str)
    assert_type(str(repair), str)
