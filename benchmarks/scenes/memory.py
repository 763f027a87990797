"""Peak memory: what streaming a large file takes, of those who keep it on a disk.

Each contender has a process of its own (``child.py``), which streams once.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from benchmarks.scenes.child import STATUS
from benchmarks.scenes.scene import Scene
from benchmarks.scenes.turns import GivesUpError, excused, may_give_up, once

ROOT: Final = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))

if TYPE_CHECKING:
    from benchmarks.contenders.protocol import Kind
    from benchmarks.scenes.scene import Cast, Figures

Way = Literal["in", "out"]
QUICK_MIB: Final = 64
FULL_MIB: Final = 1024
QUICK_PATIENCE: Final = 8.0
FULL_PATIENCE: Final = 90.0
"""Seconds for a process."""


def peak(cast: Cast, way: Way) -> Figures:
    """Return the MiB above the start, of one process of each contender."""
    figures: Figures = {}
    for kind in cast.kinds:
        with excused(cast, kind.name):
            peaks = once(cast, "peaks", kind, partial(peaks_of, cast, kind))
            figures[kind.name] = [peaks[way]]
    return figures


def peaks_of(cast: Cast, kind: Kind) -> dict[Way, float]:
    """Stream in and out in a process of its own; return the peaks of both ways."""
    if not os.path.exists(STATUS):
        message = "this system does not tell anonymous memory"
        raise GivesUpError(message)
    directory = cast.new()
    size, patience = (
        (FULL_MIB, FULL_PATIENCE) if cast.full else (QUICK_MIB, QUICK_PATIENCE)
    )
    arguments = [kind.name, kind.family, directory, str(size)]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.scenes.child", *arguments],
            capture_output=True,
            check=True,
            cwd=ROOT,  # where the package of the benchmarks is found
            text=True,
            timeout=patience if may_give_up(kind) else None,
        )
    except subprocess.TimeoutExpired as error:
        message = f"given up after {patience:.0f} s"
        raise GivesUpError(message) from error
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().rpartition("\n")[2]
        message = f"its process failed: {last}"
        raise GivesUpError(message) from error
    finally:
        shutil.rmtree(directory)
    peaks: dict[Way, float] = json.loads(done.stdout)
    return peaks


SCENES: Final = tuple(
    Scene(
        "peak memory",
        f"1 GiB (quick: 64 MiB) streamed {way}",
        "",
        ("disk",),
        frozenset({"open"}),
        partial(peak, way=way),
        measure="MiB",
    )
    for way in ("in", "out")
)
