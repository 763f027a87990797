"""What a read-only layer has to answer to lie below a file system."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from stratavfs.records import Inode


class LeastLayer(Protocol):
    """The least that a layer answers; :class:`Layer` has the rest, and the rules."""

    def find(self, path: str) -> Inode | None:
        """Return what is at *path*, None if there is nothing."""

    def kinds(self, path: str) -> Iterable[tuple[str, int]]:
        """Return (name, type bits of the mode) of all in the directory at *path*.

        Raises:
            FileNotFoundError, NotADirectoryError: there is no directory at *path*.
        """

    def open(self, path: str) -> BinaryIO:
        """Open the file at *path* for reading bytes; the object must be seekable.

        Raises:
            FileNotFoundError: there is no file at *path*, be it a directory.
        """


class Layer(LeastLayer, Protocol):
    """A read-only tree that can lie below a file system.

    ``find``, ``kinds`` and ``open`` are asked of every layer; the rest has the answers
    given here for whoever inherits from this class, or leaves them out.

    Paths are absolute and normalised, seen from the layer's own root, which is a
    directory. A layer takes them literally: a symbolic link is answered as such, and
    nothing is found below it; the file system follows it through the merged view. A
    layer may delete as well: an inode of the type ``S_IFWHT`` hides its name in the
    layers below, a directory with ``opaque=1`` hides all they have in it.

    Several threads may ask at once. What is asked in vain is None or FileNotFoundError;
    any other exception says that the layer has failed.
    """

    immutable: bool = False
    """Promises that nothing in it ever changes, so that it is never asked twice which
    names it has."""

    location: str = ""
    """Where it is kept, for people: ``list_layers()`` shows it."""

    kind: str = ""
    """What kind of layer it is, for people; the name of the class if empty."""

    def xattrs(self, path: str) -> Mapping[str, bytes]:  # noqa: ARG002 - for others
        """Return the extended attributes of what is at *path*, which was found."""
        return {}

    def version(self) -> Hashable:
        """Return a value that changes whenever anything in the layer may have changed.

        Names are remembered while it stays the same. None: they never are.
        """
        return None

    def close(self) -> None:
        """Give up what is held; called once, by a stack that owns the layer."""
        return
