"""The desk: the containers that one command line works on, each opened once.

What only reads opens a container read-only; what changes one does it in one batch, so
that an error or Ctrl-C leaves it as it was. The underlays of the command line lie below
the first container that it names. The shell keeps a desk of its own, with its container
open all the time; commands then work as part of its batch.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from stratavfs import VirtualFileSystem, _host, errors
from stratavfs.cli._output import Failure
from stratavfs.cli._places import NoContainer, Place, Reader
from stratavfs.cli._quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stratavfs.cli._stacks import Underlay

VARIABLE = "STRATAVFS_DB"


class Spelled(str):
    """The file of an error that tells its container already."""

    __slots__ = ()


class Desk:
    """What a command line works on, and how it ends.

    Args:
        default: The container of ``:/path``; what STRATAVFS_DB says if left out.
        inside: In the shell: whether a path alone is in the default container, also
            where a command would take it for a file of the host.
        directory: In the shell: where relative paths start; to be set by ``cd``.
    """

    def __init__(
        self,
        default: str | None = None,
        *,
        inside: bool = False,
        directory: str = "/",
    ) -> None:
        self.default = default or os.environ.get(VARIABLE) or None
        self.inside = inside
        self.directory = directory
        self.underlays: list[Underlay] = []
        """What lies below the first container that is named."""
        self.status = 0
        """Exit code of a command that ends without an exception."""
        self.traceback = False
        """Whether errors are shown as Python does."""
        self.writes = False
        """Whether the command is one that changes a container."""
        self.outside = False
        """Whether it writes files of the host, which stay."""
        self.several = False
        """Whether it makes more than one change."""
        self.undone = False
        """Whether an error took its changes back."""
        self.settled = False
        """Whether its changes are kept already."""
        self._first: str | None = None
        self._open: dict[str, VirtualFileSystem] = {}
        self._clean: set[str] = set()  # files of those that had no log beside them
        self._made: dict[str, str] = {}  # files of those that were not there before

    def begin(self) -> None:
        """Forget how the last command ended; the shell runs one after the other."""
        self.status = 0
        self.writes = self.outside = self.several = False
        self.undone = self.settled = False

    # --- places ----------------------------------------------------------------------

    def place(self, text: str) -> Place:
        """Return the place in a container that *text* names."""
        return self._read(text, host=False)

    def named_or_here(self, texts: Sequence[str]) -> Sequence[str]:
        """Return *texts*; if there are none, what means the default's directory."""
        if not texts and self.default is None:
            message = f"name a place, as game.db:/, or set {VARIABLE}"
            raise click.UsageError(message)
        return texts or (":" + self.directory,)

    def operand(self, text: str) -> Place:
        """Return the place that *text* names, in a container or on the host."""
        return self._read(text, host=True)

    def _read(self, text: str, *, host: bool) -> Place:
        reader = Reader(self.default, self.directory, self.inside, os.name == "nt")
        read = reader.any_place if host else reader.container_place
        try:
            found = read(text, os.path.isfile)
        except NoContainer:
            message = f"{text!r} names no container: write DB:/path, or set {VARIABLE}"
            raise click.UsageError(message) from None
        if found.container is not None and self._first is None:
            self._first = _identity(found.container)
        return found

    def spell(self, place: Place) -> str:
        """Return *place* as it is written: in the shell, a path alone."""
        if self.inside and place.container == self.default:
            return place.path
        return str(place)

    def expand(self, places: Iterable[Place]) -> list[Place]:
        """Return *places*, those of containers that are patterns as what matches them.

        What is there under the very name is no pattern; a pattern that matches nothing
        stays, to be missed as a file.
        """
        found: list[Place] = []
        for place in places:
            if place.is_host or not any(sign in place.path for sign in "*?["):
                found.append(place)
                continue
            vfs = self.open(place)
            with named(place):
                literal = vfs.lexists(place.path)
                matches = [] if literal else vfs.glob(place.path)
            found += [place.at(path) for path in matches] or [place]
        return found

    # --- containers ------------------------------------------------------------------

    def open(
        self, place: Place, *, writing: bool = False, create: bool = False
    ) -> VirtualFileSystem:
        """Return the container of *place*, opened read-only unless it is *writing*.

        Raises:
            Failure: there is none, and it is not to *create* one.
        """
        location = place.container or ""
        key = _identity(location)
        vfs = self._open.get(key)
        if vfs is not None and writing and vfs.read_only:
            self._open.pop(key).close()
            vfs = None
        if vfs is None:
            is_new = create and not os.path.lexists(location)
            vfs = self._opened(location, writing=writing, create=create)
            self._open[key] = vfs
            if is_new:
                self._made[key] = location
            if key == self._first:
                self._put_below(vfs)
        return vfs

    def _opened(
        self, location: str, *, writing: bool, create: bool
    ) -> VirtualFileSystem:
        if not create and not os.path.lexists(location):
            message = f"no such container; make one with: {_init(location)}"
            raise Failure(location, message)
        if os.path.isdir(location):
            message = "this is a directory, and no container; write DB:/path"
            raise Failure(location, message)
        if writing:
            return VirtualFileSystem(location)
        is_clean = not os.path.exists(os.path.realpath(location) + "-wal")
        vfs = VirtualFileSystem(location, read_only=True)
        if is_clean:
            self._clean.add(os.path.abspath(location))
        return vfs

    def _put_below(self, vfs: VirtualFileSystem) -> None:
        for layer in self.underlays:
            try:
                vfs.add_underlay(layer.path, layer.priority, layer.name, at=layer.at)
            except OSError as error:
                reason = error.strerror or error
                raise Failure(layer.source, layer.path, reason) from error
            except ValueError as error:
                raise Failure(layer.source, layer.path, error) from error

    @staticmethod
    def refuse_container(path: str) -> None:
        """Refuse to open *path*, of the host, if it is a container that is open.

        Closing it would drop the locks on it; writing to it would destroy it.

        Raises:
            OSError: (EBUSY) it is one.
        """
        try:
            status = os.stat(path)
        except OSError:  # nothing is there, or nobody may look
            return
        if (status.st_dev, status.st_ino) in _host.open_containers():
            raise errors.is_open_container(path)

    @contextmanager
    def alone(self, place: Place) -> Iterator[VirtualFileSystem]:
        """Return a context with the container of *place*, for one change of it.

        The change is a transaction of its own, or cannot be part of one.
        """
        vfs = self.open(place, writing=True)
        self.writes = True
        with named(place):
            yield vfs
        self.settled = True

    @contextmanager
    def changing(
        self, places: Sequence[Place], *, several: bool = True, create: bool = False
    ) -> Iterator[None]:
        """Return a context in which all changes of containers are kept, or none is.

        Args:
            places: Where is changed; those of the host are passed over. What is to be
                kept first, and where copies go, stands last.
            several: Whether it is more than one change, so that an error is to tell
                that nothing is left of them.
            create: Whether a missing container is made.
        """
        inside = [place for place in places if not place.is_host]
        self.writes = bool(inside)
        self.outside = places[-1].is_host if places else False
        with self._forgetting_new(), ExitStack() as stack:
            begun: list[VirtualFileSystem] = []
            for place in inside:
                vfs = self.open(place, writing=True, create=create)
                if vfs not in begun:
                    with named(place):
                        stack.enter_context(vfs.atomic_batch())
                    begun.append(vfs)
            self.several = several
            try:
                yield
            except BaseException:
                self.undone = True
                raise
            with uninterrupted():
                stack.close()
                self.settled = True

    @contextmanager
    def _forgetting_new(self) -> Iterator[None]:
        """Return a context that takes new containers away if it fails."""
        known = {*self._made}
        try:
            yield
        except BaseException:
            for key in self._made.keys() - known:
                self._open.pop(key).close()
                os.unlink(self._made.pop(key))
            raise

    def close(self) -> None:
        """Close every container."""
        while self._open:
            self._open.popitem()[1].close()
        while self._clean:
            _tidy(self._clean.pop())


def _identity(location: str) -> str:
    """Return what two names of one file have in common."""
    return os.path.normcase(os.path.realpath(location))


def _init(location: str) -> str:
    """Return the command that makes a container at *location*."""
    return f"stratavfs init {quoted(location)}"


def _tidy(location: str) -> None:
    """Take away what reading the container at *location* has left beside it.

    SQLite leaves an empty log behind a reader, and clears it up after a writer.
    """
    if os.access(location, os.W_OK) and os.path.exists(
        os.path.realpath(location) + "-wal"
    ):
        with suppress(OSError):  # another one is at work there by now
            VirtualFileSystem(location, timeout=0).close()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Return a context in which Ctrl-C does nothing: what is done is being kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def named(place: Place, *hosts: str) -> Iterator[None]:
    """Let an ``OSError`` tell in which container its file is.

    Args:
        place: Some place in the container that is asked.
        hosts: Paths of the host that are at work too: what begins with one of them is
            left as it is.
    """
    try:
        yield
    except OSError as error:
        error.filename = _spelled(error.filename, place, hosts)
        error.filename2 = _spelled(error.filename2, place, hosts)
        raise


def _spelled(name: Any, place: Place, hosts: Sequence[str]) -> Any:
    if not isinstance(name, str) or isinstance(name, Spelled):
        return name
    of_host = any(
        name == host or name.startswith(os.path.join(host, "")) for host in hosts
    )
    if of_host or name == place.container or not name.startswith("/"):
        return name
    return Spelled(place.at(name))
