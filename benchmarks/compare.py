"""The regression guard: ratios of an earlier run, and what has moved since.

Ratios only, of stratavfs to each whom it is measured with, so that they mean the same
on another machine; one set for each scale. It tells, and never fails: a machine with
neighbours moves a ratio by a tenth or two by itself.
"""

from __future__ import annotations

import json
import os
import platform
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.contest import Result
    from benchmarks.report import Line

BASELINE: Final = os.path.join(os.path.dirname(__file__), "baseline.json")
TOLERANCE: Final = 1.25

Ratios = dict[str, float]


def ratios_of(lines: Sequence[Line], results: Iterable[Result]) -> Ratios:
    """Return our time divided by theirs, by the name of the row: less is better."""
    found = {
        f"{line.group}: {line.work}: {line.subject} / {line.yardstick}": line.ratio
        for line in lines
        if line.ratio is not None
    }
    for result in results:
        for name, role in result.roles.items():
            times = result.times_ours(name)
            if times and role != "ours":
                scene = result.scene
                row = f"{result.family}: {scene.group}: {scene.work} / {name}"
                found[row] = 1 / times
    return {row: float(f"{ratio:.3g}") for row, ratio in found.items()}


class Move(NamedTuple):
    """A ratio that is another than it was."""

    factor: float
    row: str
    before: float
    now: float

    def __str__(self) -> str:
        values = f"{self.before:8.3g} -> {self.now:<8.3g}"
        return f"{self.factor:6.2f} x  {values} {self.row}"


def moves(
    before: Mapping[str, float], now: Mapping[str, float], tolerance: float = TOLERANCE
) -> list[Move]:
    """Return what has moved by more than *tolerance*, the worst first."""
    moved = [
        Move(now[row] / before[row], row, before[row], now[row])
        for row in now
        if before.get(row) and now[row]
    ]
    return sorted(
        (move for move in moved if not 1 / tolerance <= move.factor <= tolerance),
        reverse=True,
    )


def compared(path: str, scale: str, now: Ratios) -> str:
    """Say what has moved since the baseline at *path*, or why that cannot be said."""
    try:
        with open(path, encoding="utf-8") as file:
            kept: dict[str, Any] = json.load(file)[scale]
    except FileNotFoundError:
        return f"there is no baseline {path}; --write-baseline makes one"
    except KeyError:
        return f"the baseline {path} has nothing of the scale {scale!r}"
    before: Ratios = kept["ratios"]
    moved = moves(before, now)
    up = [move for move in moved if move.factor > 1]
    down = [move for move in reversed(moved) if move.factor < 1]
    both = len(before.keys() & now.keys())
    said = (
        f"{both} ratios compared with the baseline of scale {scale!r} (Python "
        f"{kept['python']}, here {platform.python_version()}); "
        f"{len(now) - both} are new, {len(before) - both} were not run"
    )
    much = f"by more than {TOLERANCE - 1:.0%}:"
    worse = [f"worse {much} {len(up)}", *map(str, up)]
    better = [f"better {much} {len(down)}", *map(str, down)]
    return "\n".join([said, *worse, *better])


def write_baseline(path: str, scale: str, now: Ratios) -> None:
    """Put these ratios into the baseline, beside those of the other scales."""
    kept: dict[str, Any] = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            kept = json.load(file)
    kept[scale] = {
        "python": platform.python_version(),
        "ratios": dict(sorted(now.items())),
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(dict(sorted(kept.items())), file, indent=1, sort_keys=True)
        file.write("\n")
