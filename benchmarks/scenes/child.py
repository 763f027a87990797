"""What is measured in a process of its own: ``python -m benchmarks.scenes.child``.

It streams a large file into one contender and out again, and prints the most memory
that each way took beyond what there was before: anonymous memory, since pages of mapped
files are the operating system's to take back.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.scenes.large import MIB, Large
from benchmarks.timing import require_equal

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contenders.protocol import Contender, Handle

STATUS = "/proc/self/status"
INTERVAL = 0.001
"""Seconds between two looks."""


def anonymous() -> float:
    """Return the MiB of anonymous memory of this process."""
    with open(STATUS, encoding="ascii") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
    message = "this system does not tell anonymous memory"
    raise OSError(message)


def peak(work: Callable[[], object]) -> float:
    """Return the most MiB that there were during *work*, above those before it."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # what is free would hide what is taken
    start = most = anonymous()
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(INTERVAL):
            most = max(most, anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return max(most, anonymous()) - start


def stream(contender: Contender, mebibytes: int) -> dict[str, float]:
    """Return the peaks of streaming so much in and out, a MiB at a time."""
    file = Large(contender, contender.key("/large.bin"), mebibytes * MIB, MIB)
    pieces = file.pieces
    file.opened("wb", lambda _: None)  # what the first use takes is not for the stream

    def write(opened: Handle) -> None:
        for piece in pieces:
            opened.write(piece)

    def read(opened: Handle) -> None:
        for piece in pieces:
            require_equal(opened.read(MIB) == piece, True)

    return {
        "in": peak(partial(file.opened, "wb", write)),
        "out": peak(partial(file.opened, "rb", read)),
    }


def main() -> None:
    from benchmarks.contenders import KINDS  # noqa: PLC0415 - of the one asked for

    name, family, directory, mebibytes = sys.argv[1:]
    (kind,) = [one for one in KINDS if (one.name, one.family) == (name, family)]
    print(json.dumps(stream(kind.make(directory), int(mebibytes))))


if __name__ == "__main__":
    main()
