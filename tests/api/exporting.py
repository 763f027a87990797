"""What is exported in these tests, and how one sees what came out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.api.test_round_trips import host_tree

if TYPE_CHECKING:
    from pathlib import Path

    from stratavfs import VirtualFileSystem

NANO = 1_500_000_000_123_456_789
LARGE = bytes(range(251)) * 1000  # some chunks


def fill(vfs: VirtualFileSystem) -> None:
    """Make one of everything.

    /top
      a.txt           times of its own
      empty           no bytes
      large           longer than a chunk
      run             a program
      same, sub/same  two names of one file
      link, nowhere   links: to a file, to nothing
      shut            a directory that nothing can be put into
        in.txt
      sub/deep/b.txt
      void            an empty directory
    """
    for path, content in {
        "a.txt": b"hello",
        "empty": b"",
        "large": LARGE,
        "run": b"#!/bin/sh\n",
        "same": b"one file",
        "shut/in.txt": b"inside",
        "sub/deep/b.txt": b"b",
    }.items():
        vfs.write_bytes(f"/top/{path}", content)
    vfs.mkdir("/top/void")
    vfs.link("/top/same", "/top/sub/same")
    vfs.symlink("a.txt", "/top/link")
    vfs.symlink("/not/../there", "/top/nowhere")
    vfs.chmod("/top/run", 0o755)
    vfs.chmod("/top/void", 0o750)
    vfs.chmod("/top/shut", 0o555)
    vfs.utime("/top/a.txt", ns=(NANO - 1, NANO))
    vfs.utime("/top/shut", ns=(NANO, NANO + 7))


def texts(top: Path) -> dict[str, bytes | str | None]:
    """Return what is below *top*: bytes, targets of links, None of directories."""
    return {
        path: None if seen.kind == "d" else seen.content
        for path, seen in host_tree(top).items()
    }


def identities(top: Path) -> dict[str, tuple[int, int]]:
    """Return what no rewriting keeps."""
    return {
        path: (os.lstat(top / path).st_ino, os.lstat(top / path).st_ctime_ns)
        for path in host_tree(top)
    }


def opened_up(top: Path) -> None:
    """Let anybody remove what is in *top*."""
    for directory, _, _ in os.walk(top):
        os.chmod(directory, 0o700)
