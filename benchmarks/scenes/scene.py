"""What a scene is: one piece of work, played by every contender that can.

It makes the contenders it needs, has them do the same work in turns (``timing.py``),
checks every byte they give, and returns their figures: microseconds a unit of work.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from benchmarks.contenders.protocol import Family, Kind, Verb

Figures = dict[str, list[float]]
"""Microseconds a unit of work, one figure a round, by the name of the contender."""


class Props(ExitStack):
    """What the scenes of one group share: filled trees, built containers.

    Each is made when the first scene needs it, which is never timed. Leaving it closes
    what was made: one for each group and family, around all scenes of that group.
    """

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[Hashable, Any] = {}
        self._failed: dict[Hashable, Exception] = {}
        self.homes: dict[str, list[str]] = {}
        """Where each contender, by its name, keeps its files."""

    def once(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """Return what *make* made, or raise what it raised, when first asked for."""
        if name in self._failed:
            raise self._failed[name]
        if name not in self._made:
            try:
                self._made[name] = make()
            except Exception as error:
                self._failed[name] = error
                raise
        return self._made[name]


class Cast(NamedTuple):
    """Who plays, where, and how much."""

    kinds: Sequence[Kind]
    """Contenders of one family that lack nothing the scene needs."""
    directory: str
    """On the disk that is measured; everything goes below it."""
    full: bool
    """The sizes of ``--full``; else those of ``--quick``."""
    excuses: dict[str, str]
    """The scene adds who gave up in the middle, and why; empty when it begins."""
    props: Props
    """The same for all scenes of a group (and family)."""

    def new(self) -> str:
        """Return a fresh directory."""
        return tempfile.mkdtemp(dir=self.directory)

    def home(self, kind: Kind) -> str:
        """Return a fresh directory for the files that this contender plays with."""
        home = self.new()
        self.props.homes.setdefault(kind.name, []).append(home)
        return home

    def place(self, name: str) -> str:
        """Return the name of something in a fresh directory that is not there yet."""
        return os.path.join(self.new(), name)


class Scene(NamedTuple):
    """One line of the comparison for each family."""

    group: str
    """"a game's load": a heading of the table."""
    work: str
    """"read all assets": the first column."""
    unit: str
    """"an asset", "a MiB", "": what the microseconds are for."""
    families: tuple[Family, ...]
    needs: frozenset[Verb]
    play: Callable[[Cast], Figures]
    """A contender that gives up in the middle (too slow, a failure of its own) is left
    out of the figures and named in the cast's ``excuses``."""
    excuses: Mapping[str, str] = {}
    """Contenders that are left out, and why: measured once, and hopeless at this."""
    only_full: bool = False
    """Left out of ``--quick``: a size that takes minutes."""
    measure: Literal["us", "MiB"] = "us"
    """What the figures are in; of memory, none of the ratios is of speed."""
