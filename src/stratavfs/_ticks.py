"""Counters of changes: one comparison tells that nothing has moved since."""

from __future__ import annotations

import itertools
from typing import Final


class Ticks:
    """A number that becomes, with each tick, one that it never was before."""

    __slots__ = ("_next", "value")

    def __init__(self) -> None:
        self._next = itertools.count(1).__next__  # two threads never get the same one
        self.value = 0

    def tick(self) -> None:
        self.value = self._next()


devices: Final = itertools.count(1)
"""Numbers for ``st_dev``, one a layer: they tell the inodes of two layers apart."""

contents: Final = Ticks()
"""Ticks when a container of this process that lies below another one may change."""

stacks: Final = Ticks()
"""Ticks when any stack of this process changes: they may contain each other."""
