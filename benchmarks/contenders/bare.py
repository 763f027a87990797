"""What most contenders have in common: paths for keys, nothing to batch or to close."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.contenders.protocol import Contender

PATIENCE: Final = 3500.0
"""Microseconds a file for who commits each file by itself, batch or not: twice what
that takes on a quiet disk."""
FOR_ONE: Final = "it is not made for several threads"


def peer(module: str) -> Any:
    """Import a library that may not be installed, and has no types to check."""
    return import_module(module)


class Bare:
    """A contender without verbs; a subclass binds or defines those that it has."""

    write: Any
    read: Any
    open: Any
    size: Any
    exists: Any
    listdir: Any
    walk: Any
    glob: Any
    makedirs: Any
    rename: Any
    rmtree: Any

    def key(self, path: str) -> Any:
        return path

    def batch(self) -> AbstractContextManager[object]:
        return nullcontext()

    def again(self) -> Callable[[], Contender] | None:
        return None

    def close(self) -> object:
        """Nothing is held."""


class TooSlowError(Exception):
    """It would take longer to build than anybody waits."""


def fill(
    contender: Contender, files: Mapping[str, bytes], patience: float = math.inf
) -> None:
    """Write *files*, with their directories, in one batch.

    Args:
        contender: Who is empty.
        files: Contents by path.
        patience: Microseconds a file, on average, of which at least a second's worth
            is waited for.

    Raises:
        TooSlowError: It took longer.
    """
    started = time.perf_counter()
    with contender.batch():
        made = {""}
        for path in files:
            directory = path.rpartition("/")[0]
            if directory not in made:
                contender.makedirs(contender.key(directory))
                while directory not in made:
                    made.add(directory)
                    directory = directory.rpartition("/")[0]
        for nth, (path, data) in enumerate(files.items(), 1):
            contender.write(contender.key(path), data)
            spent = time.perf_counter() - started
            if spent > 1 and spent * 1e6 > nth * patience:
                each = f"{spent / nth * 1e6:,.0f} us"
                message = f"given up after {nth:,} of {len(files):,}: {each}"
                raise TooSlowError(message)
