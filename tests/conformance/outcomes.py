"""Runs one script on the local disk and in a container, so that they can be compared.

A script is a function of a :class:`World`; it returns what it saw. Both worlds must
have shown the same: values, positions, bytes, or the type and errno of an error.
"""

from __future__ import annotations

import builtins
import io
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stratavfs import VirtualFileSystem

Outcome = tuple[object, ...]

# From special to general: InvalidArgument counts as the ValueError that it is.
KINDS: tuple[type[BaseException], ...] = (
    shutil.SameFileError,
    shutil.Error,
    io.UnsupportedOperation,
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    OSError,
    UnicodeDecodeError,
    UnicodeEncodeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    StopIteration,
    EOFError,
    BufferError,
)


def kind_of(error: BaseException) -> str:
    """Return the name of the standard class that *error* is one of."""
    return next(kind.__name__ for kind in KINDS if isinstance(error, kind))


def outcome(call: Callable[[], object]) -> Outcome:
    """Return what *call* returned, or the type and errno of what it raised."""
    try:
        return ("value", call())
    except KINDS as error:
        return ("error", kind_of(error), getattr(error, "errno", None))


def outcomes(steps: list[Callable[[], object]]) -> list[Outcome]:
    """Run *steps* one after the other, whatever the ones before did."""
    return [outcome(step) for step in steps]


class World:
    """A place with files: the local disk below a directory, or a container."""

    def __init__(self, system: Any, open_: Callable[..., Any], root: str) -> None:
        self.system = system
        self._open = open_
        self.root = root

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def open(self, name: str, mode: Any = "r", *args: Any, **options: Any) -> Any:
        return self._open(self.path(name), mode, *args, **options)

    def put(self, name: str, data: bytes) -> None:
        with self.open(name, "wb") as handle:
            handle.write(data)

    def get(self, name: str) -> bytes:
        with self.open(name, "rb") as handle:
            data: bytes = handle.read()
        return data


def open_on_disk(path: str, mode: Any = "r", *args: Any, **options: Any) -> Any:
    """Open as the builtin does, with the container's default encoding."""
    is_text = isinstance(mode, str) and "b" not in mode
    if is_text and len(args) < 2 and options.get("encoding") is None:
        options["encoding"] = "utf-8"
    return builtins.open(path, mode, *args, **options)


def disk(tmp_path: Path) -> World:
    root = tmp_path / "disk"
    root.mkdir(exist_ok=True)
    return World(os, open_on_disk, str(root))


def container(vfs: VirtualFileSystem) -> World:
    vfs.makedirs("/disk", exist_ok=True)
    return World(vfs, vfs.open, "/disk")


def assert_same(
    vfs: VirtualFileSystem, tmp_path: Path, script: Callable[[World], object]
) -> None:
    """Run *script* in both worlds, and compare what it returned."""
    expected = script(disk(tmp_path))

    found = script(container(vfs))

    if found != expected:  # no assert: this module is not rewritten, and -O drops it
        pytest.fail(f"container: {found!r}\n     disk: {expected!r}")
