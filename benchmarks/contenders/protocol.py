"""What a file system must be able to do to be compared: the verbs the scenes call.

A contender gives each verb as a bound method of what it measures wherever that has one
of the same meaning, so that no wrapper is measured with it. What it cannot do at all
its kind names in ``lacks``, with the reason; a scene that needs it leaves the contender
out and says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

Verb = Literal[
    "write",
    "read",
    "open",
    "update",
    "size",
    "exists",
    "listdir",
    "walk",
    "glob",
    "rename",
    "rmtree",
    "reopen",
    "layers",
    "threads",
]

Family = Literal["memory", "disk", "shipped"]
"""Who is compared with whom: what lives in memory, what is changed on a disk, and what
is built once and only read from then on."""


Role = Literal["ours", "floor", "yardstick", "peer"]
"""What it is to the comparison: this library, the least that SQLite allows, what the
operating system offers, or another library, behind which nothing should be."""


class Handle(Protocol):
    """A binary file, as the scenes use one."""

    def read(self, size: int = -1, /) -> bytes: ...
    def write(self, data: bytes, /) -> object: ...
    def seek(self, offset: int, /) -> object: ...
    def close(self) -> object: ...


class Contender(Protocol):
    """One file system, empty when it is made. Every verb takes keys, never paths."""

    def key(self, path: str, /) -> Any:
        """Return what the contender knows *path* ("/d01/f.bin") by; never timed."""

    def makedirs(self, key: Any, /) -> object:
        """Make a directory and those above it; never of a name that is there."""

    def write(self, key: Any, data: bytes, /) -> object:
        """Make a file of *data*, or replace what it holds; its directory is there."""

    def read(self, key: Any, /) -> bytes: ...
    def open(self, key: Any, mode: Literal["rb", "wb", "r+b"], /) -> Handle: ...
    def size(self, key: Any, /) -> int:
        """Return the size of a file by its way to ask for all that ``stat`` tells."""

    def exists(self, key: Any, /) -> bool: ...
    def listdir(self, key: Any, /) -> Iterable[Any]: ...
    def walk(self, key: Any, /) -> int:
        """Return the number of files below a directory, by its own walk."""

    def glob(self, pattern: str, /) -> int:
        """Return how many files the pattern ("/top/**/*.png") matches."""

    def rename(self, key: Any, to: Any, /) -> object: ...
    def rmtree(self, key: Any, /) -> object: ...
    def batch(self) -> AbstractContextManager[object]:
        """Return the scope of many changes at once; a null context if it has none."""

    def again(self) -> Callable[[], Contender] | None:
        """Return what gives the file system again as it is now, which is timed; what
        it gave before is of no use then. None: it can only be filled again."""

    def close(self) -> object: ...


class Kind(NamedTuple):
    """How a contender comes to be."""

    name: str
    family: Family
    make: Callable[[str], Contender]
    """Make it, empty, with all that it keeps below this new directory of a disk.

    Raises ImportError where its package is not installed. Of the family "shipped": not
    called, since it is only ever filled by ``ship``.
    """
    ship: Callable[[str, Mapping[str, bytes]], Callable[[], Contender]] | None = None
    """Build it in this new directory out of {path: bytes}; return what opens it anew,
    which is timed, and may be called any number of times. None: it lacks "reopen"."""
    stack: Callable[[str, Sequence[Mapping[str, bytes]]], Contender] | None = None
    """Build a layer of each of these, the topmost first; return the merged view of
    them, below an empty layer that takes the changes. None: it lacks "layers"."""
    role: Role = "peer"
    package: str | None = None
    """The distribution on PyPI of which the version is named."""
    lacks: Mapping[Verb, str] = {}
    """What it cannot do, and why."""

    def lack(self, needs: Iterable[Verb]) -> str | None:
        """Return why it cannot do all of *needs*, or None if it can."""
        for verb in needs:
            if verb in self.lacks:
                return self.lacks[verb]
            if verb == "layers" and self.stack is None:
                return "it has no layers"
            if verb == "reopen" and self.ship is None:
                return "it is not shipped"
        return None
