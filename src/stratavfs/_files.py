"""What the store needs to know of files on the host: pure questions, nothing of SQLite.

No file that may be open as a database is opened here: closing it would drop the locks
that this process has on it. A journal may be.
"""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from stratavfs import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

JOURNAL_MAGIC: Final = bytes.fromhex("d9d505f920a163d7")
_LEAST_END: Final = 28  # bytes: a header, or a name with what stands around it


def uri_of(location: str, query: str) -> str:
    """Return SQLite's URI of a file, whatever characters its name holds.

    >>> uri_of("/tmp/50% off?#1.db", "mode=ro")
    'file:/tmp/50%25%20off%3F%231.db?mode=ro'
    """
    path = os.path.abspath(location).replace(os.sep, "/")
    if not path.startswith("/"):
        path = "/" + path  # file:/C:/...
    return f"file:{quote(path)}?{query}"


def refuse_unopenable(
    location: str, *, writing: bool, named: str | None = None
) -> None:
    """Raise what ``open()`` would for a path that no container can be at.

    SQLite says no more than "unable to open database file". The error has the path as
    it was *named*.
    """
    named = location if named is None else named
    if os.path.isdir(location):
        raise errors.is_a_directory(named)
    if os.path.exists(location):
        if not os.access(location, os.W_OK if writing else os.R_OK):
            raise errors.no_access(named)
        return
    directory = os.path.dirname(os.path.abspath(location))
    if not os.path.exists(directory):
        raise errors.not_found(named)
    if not os.path.isdir(directory):
        raise errors.not_a_directory(named)
    if not writing:
        raise errors.not_found(named)


def has_content(path: str) -> bool:
    """Tell whether there is a file at *path* that is not empty."""
    try:
        return os.path.getsize(path) > 0
    except OSError:
        return False


def is_journal_of_new_file(path: str) -> bool:
    """Tell whether *path* is the rollback journal of a database that began empty.

    Its header holds, after the magic number, a count and a nonce, the number of pages
    that the database had before (sqlite.org/fileformat2.html, "The Rollback Journal").
    """
    header = _read(path, 0, 20)
    return header.startswith(JOURNAL_MAGIC) and header[16:20] == bytes(4)


def is_hot_journal(path: str) -> bool:
    """Tell whether *path* is a rollback journal that is still to be played back."""
    return _read(path, 0, len(JOURNAL_MAGIC)) == JOURNAL_MAGIC


def names_another(path: str) -> bool:
    """Tell whether the rollback journal *path* ends in the name of another file.

    SQLite writes one where a transaction changes several databases, which none of ours
    does, and deletes the file of that name when it has rolled back.
    """
    end = _read(path, -_LEAST_END, _LEAST_END)
    return len(end) == _LEAST_END and end.endswith(JOURNAL_MAGIC)


def _read(path: str, at: int, size: int) -> bytes:
    """Return *size* bytes of a file that is no database, from its end if *at* < 0."""
    try:
        with open(path, "rb") as file:
            if at < 0:
                file.seek(max(0, file.seek(0, os.SEEK_END) + at))
            return file.read(size)
    except OSError:  # there is none
        return b""


@contextmanager
def made_whole(location: str) -> Iterator[str]:
    """Yield a name beside *location* to make a file at, which gets its name at the end.

    Raises:
        FileExistsError: there is something at *location*.
    """
    if os.path.lexists(location):
        raise errors.already_exists(location)
    refuse_unopenable(location, writing=True)
    part = f"{location}.{os.urandom(4).hex()}.part"
    try:
        yield part
        give_name(part, location)
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            with suppress(FileNotFoundError):
                os.unlink(part + end)


def give_name(part: str, location: str) -> None:
    """Let the file *part* be at *location* too, where nothing may be."""
    try:
        os.link(part, location)
    except FileExistsError:
        raise errors.already_exists(location) from None
    except OSError:  # no hard links on this file system
        os.rename(part, location)


def warn_without_log(location: str, mode: str) -> None:
    message = (
        f"{location}: this file system cannot hold a write-ahead log; the {mode} "
        "journal is used: safe, but a reader waits for a writer"
    )
    warnings.warn(message, RuntimeWarning, stacklevel=6)


def sync_file(location: str) -> None:
    """Carry a file to the disk that is no open database."""
    with open(location, "rb+") as file:
        os.fsync(file.fileno())


def sync_name(location: str) -> None:
    """Carry the name of the file at *location* to the disk."""
    sync_directory(os.path.dirname(os.path.abspath(location)))


def sync_directory(directory: str) -> None:
    """Carry the names in *directory* to the disk, where the host can (not Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
