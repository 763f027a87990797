"""Each call with one path, in each wrong state, is refused as ``os`` refuses it.

The same small tree is built on the disk and in a container, the same call is made in
both, and the type, errno and names of the error are compared; where the call succeeds,
both trees. ``DEVIATIONS`` lists every case that differs on purpose, with its reason.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.conformance.lab import STATES, Lab, Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from stratavfs import VirtualFileSystem


def using(mode: str) -> Operation:
    def on_disk(path: str) -> None:
        with open(path, mode):
            pass

    def here(vfs: VirtualFileSystem, path: str) -> None:
        with vfs.open(path, mode):
            pass

    return on_disk, here


def scanned(entries: Any) -> list[str]:
    with entries as found:
        return [entry.name for entry in found]


# Name -> the call on the disk, and the same in a container.
ONE_PATH: dict[str, Operation] = {
    "open r": using("r"),
    "open w": using("w"),
    "open a": using("a"),
    "open x": using("x"),
    "open r+": using("r+b"),
    "open w+": using("w+b"),
    "read_bytes": (lambda p: Path(p).read_bytes(), lambda v, p: v.read_bytes(p)),
    "read_text": (lambda p: Path(p).read_text("utf-8"), lambda v, p: v.read_text(p)),
    "write_bytes": (
        lambda p: Path(p).write_bytes(b"new"),
        lambda v, p: v.write_bytes(p, b"new"),
    ),
    "write_text": (
        lambda p: Path(p).write_text("new", "utf-8"),
        lambda v, p: v.write_text(p, "new"),
    ),
    "touch": (lambda p: Path(p).touch(), lambda v, p: v.touch(p)),
    "touch new": (
        lambda p: Path(p).touch(exist_ok=False),
        lambda v, p: v.touch(p, exist_ok=False),
    ),
    "truncate": (lambda p: os.truncate(p, 2), lambda v, p: v.truncate(p, 2)),
    "truncate -1": (lambda p: os.truncate(p, -1), lambda v, p: v.truncate(p, -1)),
    "remove": (os.remove, lambda v, p: v.remove(p)),
    "unlink": (os.unlink, lambda v, p: v.unlink(p)),
    "exists": (os.path.exists, lambda v, p: v.exists(p)),
    "lexists": (os.path.lexists, lambda v, p: v.lexists(p)),
    "isfile": (os.path.isfile, lambda v, p: v.isfile(p)),
    "isdir": (os.path.isdir, lambda v, p: v.isdir(p)),
    "islink": (os.path.islink, lambda v, p: v.islink(p)),
    "stat": (os.stat, lambda v, p: v.stat(p)),
    "stat nofollow": (
        lambda p: os.stat(p, follow_symlinks=False),
        lambda v, p: v.stat(p, follow_symlinks=False),
    ),
    "lstat": (os.lstat, lambda v, p: v.lstat(p)),
    "getsize": (
        lambda p: 0 if os.path.isdir(p) else os.path.getsize(p),
        lambda v, p: v.getsize(p),
    ),
    "readlink": (os.readlink, lambda v, p: v.readlink(p)),
    "chmod": (lambda p: os.chmod(p, 0o700), lambda v, p: v.chmod(p, 0o700)),
    "chown": (lambda p: os.chown(p, -1, -1), lambda v, p: v.chown(p, -1, -1)),
    "chown nofollow": (
        lambda p: os.lchown(p, -1, -1),
        lambda v, p: v.chown(p, follow_symlinks=False),
    ),
    "utime": (lambda p: os.utime(p, (1, 2)), lambda v, p: v.utime(p, (1, 2))),
    "utime nofollow": (
        lambda p: os.utime(p, (1, 2), follow_symlinks=False),
        lambda v, p: v.utime(p, (1, 2), follow_symlinks=False),
    ),
    "mkdir": (os.mkdir, lambda v, p: v.mkdir(p)),
    "mkdir exist_ok": (
        lambda p: Path(p).mkdir(exist_ok=True),
        lambda v, p: v.mkdir(p, exist_ok=True),
    ),
    "mkdir parents": (
        lambda p: Path(p).mkdir(parents=True),
        lambda v, p: v.mkdir(p, parents=True),
    ),
    "makedirs": (os.makedirs, lambda v, p: v.makedirs(p)),
    "makedirs exist_ok": (
        lambda p: os.makedirs(p, exist_ok=True),
        lambda v, p: v.makedirs(p, exist_ok=True),
    ),
    "rmdir": (os.rmdir, lambda v, p: v.rmdir(p)),
    "rmtree": (shutil.rmtree, lambda v, p: v.rmtree(p)),
    "listdir": (os.listdir, lambda v, p: v.listdir(p)),
    "scandir": (
        lambda p: scanned(os.scandir(p)),
        lambda v, p: scanned(v.scandir(p)),
    ),
    "symlink": (lambda p: os.symlink("t", p), lambda v, p: v.symlink("t", p)),
}


LONG = ("name too long", "path too long")
LINKS = [state for state in STATES if "link" in state and "through" not in state]

Deviation = tuple[tuple[str, ...], tuple[str, ...], tuple[object, ...]]
# Reason -> operations, states, and what happens instead.
DEVIATIONS: dict[str, Deviation] = {
    "a path is looked at before the other arguments": (
        ("truncate -1",),
        LONG,
        ("error", "OSError", "ENAMETOOLONG", "{path}", None),
    ),
    "a path too long is refused before the call begins, so it alone is named": (
        ("symlink",),
        LONG,
        ("error", "OSError", "ENAMETOOLONG", "{path}", None),
    ),
    "the path that was asked for is named, not the parent that could not be made": (
        ("makedirs", "makedirs exist_ok"),
        ("grandparent is a file",),
        ("error", "NotADirectoryError", "ENOTDIR", "{path}", None),
    ),
    "the same of one too long": (
        ("makedirs", "makedirs exist_ok"),
        ("path too long",),
        ("error", "OSError", "ENAMETOOLONG", "{path}", None),
    ),
    "mkdir(parents=True) says what makedirs says; pathlib names the link": (
        ("mkdir parents",),
        ("through a dangling link",),
        ("error", "FileNotFoundError", "ENOENT", "{path}", None),
    ),
    "rmtree says NotADirectoryError of a link; shutil has a text without errno": (
        ("rmtree",),
        (*LINKS, "loop"),
        ("error", "NotADirectoryError", "ENOTDIR", "{path}", None),
    ),
}


def deviation(name: str, state: str) -> tuple[object, ...] | None:
    """Return what happens instead of what os does, or None."""
    for operations, states, instead in DEVIATIONS.values():
        if name in operations and state in states:
            path = "/" + STATES[state]
            return tuple(path if part == "{path}" else part for part in instead)
    return None


@pytest.fixture
def lab(tmp_path: Path, make_vfs: Callable[..., VirtualFileSystem]) -> Lab:
    return Lab(tmp_path, make_vfs)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", ONE_PATH)
def test_call_with_one_path_in_any_state_does_what_os_does(
    lab: Lab, name: str, state: str
) -> None:
    instead = deviation(name, state)

    found, expected = lab.run(ONE_PATH[name], (STATES[state],))

    assert found == (expected if instead is None else (instead, True))


@pytest.mark.parametrize("name", ONE_PATH)
def test_every_deviation_is_one(lab: Lab, name: str) -> None:
    for state in STATES:
        if deviation(name, state) is not None:
            found, expected = lab.run(ONE_PATH[name], (STATES[state],))

            assert found != expected
