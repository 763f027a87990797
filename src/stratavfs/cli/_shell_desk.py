"""The shell's desk: its one container, its directory, its batch, and its next line.

Commands find it where a command line's desk is. The container stays open, and in the
batch that ``begin`` has begun; other containers are closed after each command.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from stratavfs import _paths
from stratavfs.cli import _shell_words
from stratavfs.cli._containers import Desk, named
from stratavfs.cli._output import Failure
from stratavfs.cli._shell_words import Word

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from stratavfs import VirtualFileSystem
    from stratavfs._batch import Batch
    from stratavfs.cli._places import Place


class Lines(Protocol):
    """Where lines come from: a script or somebody at a terminal."""

    interactive: bool
    """Whether somebody is there."""

    def read(self, prompt: str) -> str | None:
        """Return the next line, None at the end."""

    def origin(self) -> str:
        """Return what errors of the line begin with."""


class Meant(str):
    """A path of which some stars are meant as they are; it knows its pattern."""

    __slots__ = ("pattern",)
    pattern: str | None
    """None if no star in it is one."""


class ShellDesk(Desk):
    """What the commands of a shell work on.

    Args:
        location: The container, as it was named.
        vfs: The same, open; it is its owner who closes it.
        lines: Where the shell's lines come from.
    """

    def __init__(self, location: str, vfs: VirtualFileSystem, lines: Lines) -> None:
        super().__init__(location, inside=True)
        self.location = location
        self.vfs = vfs
        self.lines = lines
        self.previous = "/"
        """The directory before the last ``cd``."""
        self.batch: Batch | None = None
        """What ``begin`` began."""
        self.body: str | None = None
        """The lines up to END that the command was given by ``<<END``."""
        self.leaving: int | None = None
        """The exit code, once ``exit`` was given."""
        self._file = os.path.realpath(location)

    def begin(self) -> None:
        """Forget the last command: how it ended, and what it had open."""
        super().begin()
        self.traceback = False
        self.underlays = []
        self.close()

    # --- places ----------------------------------------------------------------------

    def place(self, text: str) -> Place:
        """Return the place that *text* names; a colon may be part of a name here."""
        return self._marked(super().place(self._path_alone(text)), text)

    def operand(self, text: str) -> Place:
        """Return the place that *text* names, which is in a container too."""
        return self._marked(super().operand(self._path_alone(text)), text)

    def _path_alone(self, text: str) -> str:
        """Return *text* so that it names another container only if there is one."""
        container, colon, path = text.partition(":")
        if not colon or not container or text.startswith(("/", "./", "../")):
            return text
        if container == self.default or os.path.isfile(container):
            return text
        if path.startswith("/") and container.endswith(".db"):  # to be missed as such
            return text
        return f"./{text}"

    def _marked(self, place: Place, text: str) -> Place:
        """Return *place* with the pattern that *text*, quoted here and there, means."""
        if place.is_host or not isinstance(text, Word):
            return place
        start = text.find(":") + 1 if place.path.endswith(text.partition(":")[2]) else 0
        if place.path.endswith(text):
            start = 0
        path = Meant(place.path)
        path.pattern = None
        if text.is_pattern:
            head = place.path[: len(place.path) - len(text) + start]
            path.pattern = _shell_words.literal(head) + text.pattern_from(start)
        return place.at(path)

    def expand(self, places: Iterable[Place]) -> list[Place]:
        """Return *places*, patterns as what matches them; a quoted star is a name's."""
        found: list[Place] = []
        for place in places:
            path = place.path
            if not isinstance(path, Meant):
                found += super().expand([place])
                continue
            matches: list[str] = []
            if path.pattern is not None:
                vfs = self.open(place)
                with named(place):
                    matches = vfs.glob(path.pattern)
            found += [place.at(match) for match in matches] or [place.at(str(path))]
        return found

    def path(self, text: str) -> str:
        """Return the normalised path of *text* in the shell's container."""
        return _paths.normalize(self.place(text).path)

    # --- containers ------------------------------------------------------------------

    def open(
        self, place: Place, *, writing: bool = False, create: bool = False
    ) -> VirtualFileSystem:
        """Return the container of *place*, which stays open if it is the shell's."""
        if self.underlays:
            message = "underlays are named where the shell is started"
            raise Failure(message)
        named_so = place.container or ""
        if named_so == self.default or os.path.realpath(named_so) == self._file:
            return self.vfs
        return super().open(place, writing=writing, create=create)

    # --- batch -----------------------------------------------------------------------

    def begin_batch(self) -> None:
        """Begin a batch: what follows is kept by its commit, or not at all."""
        if self.batch is not None:
            message = "a batch is open: commit or rollback ends it"
            raise Failure(message)
        batch = self.vfs.atomic_batch()
        batch.__enter__()
        self.batch = batch

    def commit(self) -> None:
        """Keep what was done since the batch began."""
        self._ended().__exit__(None, None, None)

    def roll_back(self) -> None:
        """Take back what was done since the batch began."""
        self._ended().__exit__(Failure, Failure(), None)

    def _ended(self) -> AbstractContextManager[object]:
        batch, self.batch = self.batch, None
        if batch is None:
            message = "no batch is open: begin opens one"
            raise Failure(message)
        return batch
