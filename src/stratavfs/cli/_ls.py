"""What ``ls`` prints: lines as coreutils' with LC_ALL=C, columns on a terminal.

Pure functions over records, and the colours.
"""

from __future__ import annotations

import shutil
import time
from stat import S_ISDIR, S_ISLNK, filemode
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stratavfs.cli import _output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stratavfs import VirtualFileSystem
    from stratavfs.records import StatResult

_HALF_YEAR: Final = 31556952 // 2  # seconds, as coreutils counts
_MONTHS: Final = [
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
]


class Item(NamedTuple):
    """One thing to be listed."""

    name: str
    path: str
    """Absolute path in its container."""
    status: StatResult
    target: str | None = None
    """Where a symbolic link leads, if that is shown."""


def look(
    vfs: VirtualFileSystem, path: str, name: str = "", *, follow: bool = False
) -> Item:
    """Return what is at *path* as an item to be listed, called *name*."""
    status = vfs.stat(path, follow_symlinks=follow)
    target = vfs.readlink(path) if S_ISLNK(status.st_mode) else None
    return Item(name, path, status, target)


def type_of(mode: int) -> str:
    """Return the word for the type of a file of *mode*.

    >>> type_of(0o100644), type_of(0o40755), type_of(0o120777)
    ('file', 'directory', 'symlink')
    """
    if S_ISDIR(mode):
        return "directory"
    return "symlink" if S_ISLNK(mode) else "file"


def record(item: Item) -> dict[str, Any]:
    """Return *item* for JSON."""
    status = item.status
    found = {
        "path": item.path,
        "type": type_of(status.st_mode),
        "mode": f"{status.st_mode & 0o7777:04o}",
        "links": status.st_nlink,
        "uid": status.st_uid,
        "gid": status.st_gid,
        "owner": status.owner,
        "group": status.group,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "modified": status.modified_at.isoformat(),
        "layer": status.source_layer,
    }
    if item.target is not None:
        found["target"] = item.target
    return found


def full_record(item: Item) -> dict[str, Any]:
    """Return all that is known of *item*, for JSON."""
    status = item.status
    return record(item) | {
        "inode": status.st_ino,
        "generation": status.generation,
        "atime_ns": status.st_atime_ns,
        "ctime_ns": status.st_ctime_ns,
        "birthtime_ns": status.st_birthtime_ns,
        "accessed": status.accessed_at.isoformat(),
        "created": status.created_at.isoformat(),
    }


def stat_lines(item: Item) -> list[str]:
    """Return the lines of ``stat``: coreutils', with the layer and the generation."""
    status = item.status
    mode = status.st_mode
    kind = {"file": "regular file", "symlink": "symbolic link"}
    what = kind.get(type_of(mode), "directory")
    if what == "regular file" and not status.st_size:
        what = "regular empty file"
    target = "" if item.target is None else f" -> {_output.shown(item.target)}"
    layer = _output.shown(status.source_layer)
    uid = f"({status.st_uid:5}/{_output.shown(status.owner):>8})"
    gid = f"({status.st_gid:5}/{_output.shown(status.group):>8})"
    times = {
        "Access": status.st_atime_ns,
        "Modify": status.st_mtime_ns,
        "Change": status.st_ctime_ns,
        " Birth": status.st_birthtime_ns,
    }
    return [
        f"  File: {_output.shown(item.name)}{target}",
        f"  Size: {status.st_size:<10}\tGeneration: {status.generation:<10} {what}",
        f" Layer: {layer:<10}\tInode: {status.st_ino:<11} Links: {status.st_nlink}",
        f"Access: ({mode & 0o7777:04o}/{filemode(mode)})  Uid: {uid}   Gid: {gid}",
        *(f"{name}: {_exact(ns)}" for name, ns in times.items()),
    ]


def _exact(ns: int) -> str:
    seconds, rest = divmod(ns, 1_000_000_000)
    then = time.localtime(seconds)
    return time.strftime(f"%Y-%m-%d %H:%M:%S.{rest:09} %z", then)


def layer_record(layer: dict[str, object]) -> dict[str, object]:
    """Return what is known of one layer, for JSON, which has no infinity."""
    return {
        key: None if value == float("inf") else value for key, value in layer.items()
    }


def about_lines(record: dict[str, object], *, human: bool) -> list[str]:
    """Return the lines of ``info``."""
    rows = []
    for key, value in record.items():
        text = _output.shown(str(value))
        if human and isinstance(value, int) and key.endswith(("bytes", "size")):
            text = _output.human(value)
        if key == "layers" and isinstance(value, list):
            text = ", ".join(_output.shown(str(layer["name"])) for layer in value)
        rows.append((key.replace("_", " "), text))
    return _output.table(rows)


def word(item: Item) -> str:
    """Return the name of *item* as it is shown, in its colour."""
    mode = item.status.st_mode
    name = _output.shown_as_word(item.name)
    if S_ISDIR(mode):
        return _output.coloured(name, "blue", bold=True)
    if S_ISLNK(mode):
        return _output.coloured(name, "cyan", bold=True)
    if mode & 0o111:
        return _output.coloured(name, "green", bold=True)
    return name


def moment(ns: int, now: float) -> str:
    """Return a time as ``ls -l`` does: without the year if it is of this half-year.

    >>> moment(0, now=10**9)[-5:], len(moment(10**18, now=10**9))
    (' 1970', 12)
    """
    seconds = ns // 1_000_000_000
    then = time.localtime(seconds)
    day = f"{_MONTHS[then.tm_mon - 1]} {then.tm_mday:2}"
    if now - _HALF_YEAR < seconds <= now:
        return f"{day} {then.tm_hour:02}:{then.tm_min:02}"
    return f"{day} {then.tm_year:5}"


def minute(ns: int) -> str:
    """Return a time as ``tar -tv`` does."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(ns // 1_000_000_000))


def long_lines(items: Sequence[Item], *, human: bool, now: float) -> list[str]:
    """Return the lines of ``ls -l``."""
    rows = [
        (
            filemode(item.status.st_mode),
            str(item.status.st_nlink),
            item.status.owner or str(item.status.st_uid),
            item.status.group or str(item.status.st_gid),
            size(item.status.st_size, human=human),
            moment(item.status.st_mtime_ns, now),
        )
        for item in items
    ]
    if not rows:
        return []
    columns = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"{mode} {links:>{columns[1]}} {_output.shown(owner):{columns[2]}} "
        f"{_output.shown(group):{columns[3]}} {bytes_:>{columns[4]}} {date} "
        f"{word(item)}{_arrow(item)}"
        for (mode, links, owner, group, bytes_, date), item in zip(
            rows, items, strict=True
        )
    ]


def _arrow(item: Item) -> str:
    if item.target is None:
        return ""
    return f" -> {_output.shown_as_word(item.target)}"


def total(items: Sequence[Item], *, human: bool) -> str:
    """Return the line before those of a directory: what its files take, in KiB."""
    kib = sum(-(-item.status.st_size // 1024) for item in items)
    return f"total {_output.human(kib * 1024) if human else kib}"


def size(count: int, *, human: bool) -> str:
    """Return *count* bytes as a number, or for humans."""
    return _output.human(count) if human else str(count)


def columns(items: Sequence[Item]) -> list[str]:
    """Return the names of *items* in as many columns as the terminal has room for."""
    widths = [len(_output.shown_as_word(item.name)) for item in items]
    words = [word(item) for item in items]
    room = shutil.get_terminal_size().columns
    for rows in range(1, len(items) + 1):
        starts = range(0, len(items), rows)
        taken = [max(widths[start : start + rows]) + 2 for start in starts]
        if sum(taken) - 2 <= room or rows == len(items):
            return [
                "".join(
                    words[at]
                    + " " * (width - widths[at] if at + rows < len(items) else 0)
                    for at, width in zip(
                        range(row, len(items), rows), taken, strict=False
                    )
                )
                for row in range(rows)
            ]
    return []
