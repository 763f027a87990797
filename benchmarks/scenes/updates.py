"""Small changes of a large file: 4 KiB at random places of 256 MiB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.scenes.large import MIB, PAGE, updates
from benchmarks.scenes.scene import Scene

if TYPE_CHECKING:
    from benchmarks.scenes.scene import Cast, Figures


def update(cast: Cast) -> Figures:
    """Change 4 KiB at 200 places, each flushed before the next."""
    return updates(cast, (256 if cast.full else 16) * MIB, PAGE, 200)


SCENES: Final = (
    Scene(
        "changes of a large file",
        "4 KiB at random in 256 MiB (quick: 16)",
        "",
        ("memory", "disk"),
        frozenset({"open", "update"}),
        update,
    ),
)
