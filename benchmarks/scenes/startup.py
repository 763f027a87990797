"""Start-up: the import of a package in a new interpreter, and what is empty.

Opening what has 20,000 assets is among the game's load.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from benchmarks.scenes.scene import Scene
from benchmarks.scenes.turns import close, in_turns, play
from benchmarks.timing import clocked_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contenders.protocol import Contender, Kind, Verb
    from benchmarks.scenes.scene import Cast, Figures
    from benchmarks.scenes.turns import Turn

GROUP: Final = "start-up"

IMPORTS: Final = {
    "stratavfs": "import stratavfs",
    "sql": "import sqlite3",
    "pathlib": "import pathlib",
    "zipfile": "import zipfile",
    "stella": "from lib.vfs import VirtualFileSystem",
    "AgentFS": "import agentfs_sdk",
    "D-MemFS": "import dmemfs",
    "PyFilesystem": "from fs.memoryfs import MemoryFS",
    "OSFS": "from fs.osfs import OSFS",
    "ZipFS": "from fs.zipfs import ZipFS",
    "fsspec": "from fsspec.implementations.memory import MemoryFileSystem",
    "fsspec zip": "from fsspec.implementations.zip import ZipFileSystem",
    "pyfakefs": "from pyfakefs import fake_filesystem",
    "memfs": "import memfs",
}
"""How a program that uses this contender begins."""
CLOCK: Final = (
    "import time; start = time.perf_counter(); {}; "
    "print((time.perf_counter() - start) * 1e6)"
)


def import_package(cast: Cast) -> Figures:
    """Import in a new process each time, starting Python not counted.

    The first round leaves compiled modules, whatever this environment says of them.
    """
    settings = {**os.environ, "PYTHONPYCACHEPREFIX": cast.new()}
    settings.pop("PYTHONDONTWRITEBYTECODE", None)

    def sample(statement: str, _: Turn) -> float:
        command = [sys.executable, "-W", "ignore", "-c", CLOCK.format(statement)]
        done = subprocess.run(command, capture_output=True, check=True, env=settings)
        return float(done.stdout)

    return in_turns(
        cast,
        {
            kind.name: partial(sample, IMPORTS[kind.name])
            for kind in cast.kinds
            if kind.name in IMPORTS
        },
    )


def make_empty(cast: Cast) -> Figures:
    """Make an empty one; closing is not counted."""

    def sample(kind: Kind, _: Turn) -> float:
        return _opened(kind, [partial(kind.make, cast.new()) for _ in range(5)])

    return play(cast, lambda _, kind: kind, sample)


def open_empty(cast: Cast) -> Figures:
    """Open what was shipped with nothing in it; closing is not counted."""

    def prepare(cast: Cast, kind: Kind) -> tuple[Kind, Callable[[], Contender]]:
        assert kind.ship is not None
        return kind, kind.ship(cast.home(kind), {})

    def sample(shipped: tuple[Kind, Callable[[], Contender]], _: Turn) -> float:
        kind, opens = shipped
        return _opened(kind, [opens] * 5)

    return play(cast, prepare, sample)


def _opened(kind: Kind, makers: list[Callable[[], Any]]) -> float:
    """Return the microseconds that each of them takes."""
    spent = 0.0
    for make in makers:
        made: list[Contender] = []
        spent += clocked_once(lambda: made.append(make()))  # noqa: B023 - called here
        close(kind, made[0])
    return spent / len(makers)


def _scene(work: str, play: Callable[[Cast], Figures], *families: Any) -> Scene:
    needs: frozenset[Verb] = frozenset({"reopen"} if families == ("shipped",) else ())
    return Scene(GROUP, work, "", families, needs, play)


SCENES: Final = (
    _scene("import the package", import_package, "memory", "disk", "shipped"),
    _scene("make an empty one", make_empty, "memory", "disk"),
    _scene("open an empty one", open_empty, "shipped"),
)
