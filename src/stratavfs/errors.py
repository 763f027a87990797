"""Every error this library raises, and the one place where they are made.

Errors are the standard ones, with ``errno`` and ``filename``, wherever the standard
library has one; the classes below exist only where it has none, or where a caller
should be able to tell a cause apart::

    OSError
     +-- FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError,
     |   OSError(ENOTEMPTY, EINVAL, ELOOP, ESTALE, ...)      as the local disk raises
     +-- PermissionError
     |    +-- ReadOnlyError        writing through a read-only instance (EROFS)
     +-- BatchLost                 SQLite has rolled the whole batch back (ECANCELED)
     +-- ForeignDatabase           the file is not a container of ours (EINVAL)
     +-- SchemaTooNew              the container was made by a newer version (EINVAL)
     +-- CorruptDatabase           the container is damaged (EIO)
     +-- LayerFailed               a layer below cannot be read (EIO, or the cause's)
     +-- BadArchive                an archive is damaged, unsafe or none (EINVAL)
     +-- RootRefused               acting on the root; also a ViolationError
          +-- RootIsADirectory     ... where IsADirectoryError is expected
          +-- RootExists           ... where FileExistsError is expected
    icontract.ViolationError
     +-- InvalidArgument           also a ValueError
     +-- InvalidType               also a TypeError

``InvalidArgument`` and ``InvalidType`` are raised by plain code, so they hold under
``python -O`` too; that they are violations of a contract is what callers of
stella-sqlite-vfs rely on.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from errno import (
    EACCES,
    EBUSY,
    ECANCELED,
    EEXIST,
    EFBIG,
    EILSEQ,
    EINVAL,
    EIO,
    EISDIR,
    ELOOP,
    ENAMETOOLONG,
    ENODATA,
    ENOENT,
    ENOTDIR,
    ENOTEMPTY,
    EOVERFLOW,
    EROFS,
    ESTALE,
)
from typing import TYPE_CHECKING

from icontract import ViolationError

if TYPE_CHECKING:
    from collections.abc import Iterator


# --- the classes that are ours ------------------------------------------------------


class InvalidArgument(ViolationError, ValueError):
    """An argument has the right type and an impossible value."""


class InvalidType(ViolationError, TypeError):
    """An argument has the wrong type."""


class ReadOnlyError(PermissionError):
    """Something was to be written through a read-only instance (``EROFS``)."""


class BatchLost(OSError):
    """SQLite rolled the whole batch back; nothing of it is or will be stored."""


class ForeignDatabase(OSError):
    """The file is no SQLite database, or belongs to another application."""


class SchemaTooNew(OSError):
    """The container's format is newer than this version of the library reads."""


class CorruptDatabase(OSError):
    """The container is damaged: truncated, malformed, or with another schema."""


class LayerFailed(OSError):
    """A layer below could not be read; the others are not concerned."""


class BadArchive(OSError):
    """What should be an archive is none, is damaged, or holds what no tree may hold."""


class RootRefused(OSError, ViolationError):
    """The root directory can be neither removed, renamed, replaced nor made."""


class RootIsADirectory(RootRefused, IsADirectoryError):
    """The root was named where a file is needed."""


class RootExists(RootRefused, FileExistsError):
    """The root was to be created, and it is always there."""


# --- factories: what the local file system says --------------------------------------


def from_errno(code: int, path: str) -> OSError:
    """Return the error that the local file system gives for *code* at *path*."""
    return OSError(code, os.strerror(code), path)


def not_found(path: str) -> OSError:
    return from_errno(ENOENT, path)


def already_exists(path: str) -> OSError:
    return from_errno(EEXIST, path)


def is_a_directory(path: str) -> OSError:
    return from_errno(EISDIR, path)


def not_a_directory(path: str) -> OSError:
    return from_errno(ENOTDIR, path)


def not_empty(path: str) -> OSError:
    return from_errno(ENOTEMPTY, path)


def not_a_link(path: str) -> OSError:
    return from_errno(EINVAL, path)


def name_too_long(path: str) -> OSError:
    return from_errno(ENAMETOOLONG, path)


def no_attribute(path: str) -> OSError:
    return from_errno(ENODATA, path)


def into_itself(path: str) -> OSError:
    return from_errno(EINVAL, path)


def not_permitted(path: str) -> OSError:
    """Return what ``link(2)`` says of a directory."""
    return PermissionError(1, os.strerror(1), path)


def moved_into_itself(src: str, dst: str) -> OSError:
    import shutil  # noqa: PLC0415 - it loads every compressor

    message = "Cannot move a directory into itself"
    return shutil.Error(EINVAL, message, src, None, dst)


def destination_exists(src: str, dst: str) -> OSError:
    import shutil  # noqa: PLC0415

    return shutil.Error(EEXIST, "Destination path already exists", src, None, dst)


def same_file(src: str, dst: str) -> OSError:
    import shutil  # noqa: PLC0415

    return shutil.SameFileError(
        EINVAL, "Source and target are the same", src, None, dst
    )


def too_large(path: str) -> OSError:
    return from_errno(EFBIG, path)


def naming(error: OSError, path: str) -> OSError:
    """Return *error* with *path* in it, if it is of a file that is too large."""
    if error.errno == EFBIG:
        error.filename = path
    return error


def bad_offset(path: str) -> OSError:
    return from_errno(EINVAL, path)


# --- factories: what only a container can say ----------------------------------------


def read_only(path: str) -> ReadOnlyError:
    return ReadOnlyError(EROFS, os.strerror(EROFS), path)


def stale(path: str) -> OSError:
    message = "the file behind this handle is gone; open it again"
    return OSError(ESTALE, f"{os.strerror(ESTALE)}: {message}", path)


def batch_lost(location: str) -> BatchLost:
    message = (
        "SQLite rolled the batch back; leave it and start it again, or reset the "
        "savepoint"
    )
    return BatchLost(ECANCELED, message, location)


def busy(location: str, timeout: float) -> OSError:
    message = (
        f"another writer held the container for more than {timeout:g} s; "
        "try again, or open it with a larger timeout"
    )
    return OSError(EBUSY, message, location)


def busy_below(location: str, timeout: float) -> OSError:
    message = (
        f"another thread held this layer for more than {timeout:g} s while this one "
        "holds a transaction above it; leave one of the batches and try again"
    )
    return OSError(EBUSY, message, location)


def busy_handle(path: str) -> OSError:
    message = (
        "several threads use this handle, and one of them keeps a batch open for too "
        "long; give each thread a handle of its own"
    )
    return OSError(EBUSY, message, path)


def layer_failed(name: str, path: str, cause: Exception) -> LayerFailed:
    """Return the error for *path*, which the layer *name* could not answer.

    Its number is the cause's, but never one by which a caller would take the path for
    absent.
    """
    code = getattr(cause, "errno", None) or EIO
    if code in (ENOENT, ENOTDIR, EISDIR, EEXIST):
        code = EIO
    return LayerFailed(code, f"layer {name!r} failed: {cause}", path)


def changed_meanwhile(path: str) -> OSError:
    message = "the file changed while it was read; try again"
    return OSError(EBUSY, message, path)


def layer_cycle(name: str | None) -> InvalidArgument:
    layer = "the layer" if name is None else f"layer {name!r}"
    return InvalidArgument(f"{layer} is this file system itself or lies above it")


def layer_closed(name: str) -> InvalidArgument:
    return InvalidArgument(f"layer {name!r} is closed")


def not_a_layer(layer: object) -> InvalidType:
    message = (
        "an underlay should be a VirtualFileSystem, a path or an object with find(), "
        f"kinds() and open(), not {type(layer).__name__}"
    )
    return InvalidType(message)


def onto_itself() -> InvalidArgument:
    return InvalidArgument("the target is this file system itself")


def not_a_file_system(target: object) -> InvalidType:
    message = f"target should be a VirtualFileSystem, not {type(target).__name__}"
    return InvalidType(message)


def no_root(name: str) -> InvalidArgument:
    return InvalidArgument(f"layer {name!r} has no directory at its root '/'")


def name_taken(name: str) -> InvalidArgument:
    return InvalidArgument(f"a layer named {name!r} already exists")


def no_such_layer(name: str) -> InvalidArgument:
    return InvalidArgument(f"there is no underlay named {name!r}")


def foreign(location: str, why: str) -> ForeignDatabase:
    message = f"not a stratavfs container ({why}); it was left as it is"
    return ForeignDatabase(EINVAL, message, location)


def too_new(location: str, found: int, known: int) -> SchemaTooNew:
    message = (
        f"the container has format {found}, this version of stratavfs reads up to "
        f"{known}; update stratavfs"
    )
    return SchemaTooNew(EINVAL, message, location)


def corrupt(location: str, why: str) -> CorruptDatabase:
    message = f"the container is damaged ({why}); restore it from a backup"
    return CorruptDatabase(EIO, message, location)


def batch_given_up(location: str) -> BatchLost:
    message = "the batch was given up by rollback(); leave it and start another"
    return BatchLost(ECANCELED, message, location)


def batch_is_open() -> InvalidArgument:
    return InvalidArgument("the batch is open already; each has one `with` at a time")


def batch_not_open() -> InvalidArgument:
    return InvalidArgument("the batch is not open")


def batch_of_another_thread() -> InvalidArgument:
    return InvalidArgument("the batch is another thread's, which has to leave it")


def savepoint_is_gone() -> InvalidArgument:
    return InvalidArgument("the savepoint was released or reset away; make another")


def savepoint_of_file(location: str) -> InvalidArgument:
    message = (
        f"a savepoint holds a transaction open, which {location!r} would lose in a "
        "crash; make one of a fork() of it"
    )
    return InvalidArgument(message)


def in_batch(location: str, what: str) -> OSError:
    message = (
        f"{what} is not possible inside a batch, of which nothing is stored yet; "
        "leave the batch first"
    )
    return OSError(EINVAL, message, location)


def in_savepoint(location: str, what: str) -> OSError:
    message = f"{what} is not possible while there is a savepoint; release it first"
    return OSError(EINVAL, message, location)


def exclusive_to_read() -> InvalidArgument:
    message = (
        "exclusive=True keeps others away from what is written; to read alone, "
        "leave it out"
    )
    return InvalidArgument(message)


def not_picklable() -> InvalidType:
    message = (
        "a file system in memory cannot be pickled; use one in a file, or backup() it "
        "to one"
    )
    return InvalidType(message)


def forked_in_use(location: str) -> OSError:
    message = (
        "this file system was in use when the process forked, and is lost in the "
        "child; fork while no thread uses it, and outside batches"
    )
    return OSError(ESTALE, message, location)


def strange_journal(location: str) -> ForeignDatabase:
    message = (
        "the -journal beside it is none of a container: it names another file, which "
        "SQLite would delete; remove the journal if you trust the container"
    )
    return ForeignDatabase(EINVAL, message, location)


def needs_recovery(location: str) -> OSError:
    message = (
        "changes in the log or the journal beside the container cannot be read here; "
        "open it once for writing, in a directory that can be written"
    )
    return OSError(EROFS, message, location)


def no_access(location: str) -> OSError:
    return from_errno(EACCES, location)


def root_busy(path: str, other: str | None = None) -> RootRefused:
    message = "the root directory stays where it is"
    return RootRefused(EBUSY, message, path, None, other)


def root_is_a_directory(path: str) -> RootIsADirectory:
    return RootIsADirectory(EISDIR, os.strerror(EISDIR), path)


def root_exists(path: str) -> RootExists:
    return RootExists(EEXIST, "the root directory is always there", path)


def closed() -> ValueError:
    """Return the error of every call on a closed file system, as for files."""
    return ValueError("I/O operation on closed file system")


# --- factories: moving trees in and out ----------------------------------------------


def bad_archive(source: str, why: str) -> BadArchive:
    return BadArchive(EINVAL, f"{why}; nothing of it can be trusted", source)


def bad_member(source: str, member: str, why: str) -> BadArchive:
    message = f"member {member!r} {why}; nothing of the archive can be trusted"
    return BadArchive(EINVAL, message, source)


def special_member(source: str, member: str, kind: str) -> BadArchive:
    message = (
        f"member {member!r} is neither file, directory nor link (type {kind}), which "
        "a container cannot hold; leave it out with exclude="
    )
    return BadArchive(EINVAL, message, source)


def bomb(source: str, member: str, limit: int, ratio: float) -> BadArchive:
    message = (
        f"with member {member!r} it unpacks to more than {limit >> 20} MiB and more "
        f"than {ratio:g} times its own size, as bombs do; max_ratio= takes more"
    )
    return BadArchive(EINVAL, message, source)


def not_a_format(wanted: object) -> InvalidType:
    message = (
        "format should be the name of one or an object with read() and write(), not "
        f"{type(wanted).__name__}"
    )
    return InvalidType(message)


def unknown_format(name: str, known: str) -> InvalidArgument:
    message = f"no archive format is known for {name!r}; give format= one of {known}"
    return InvalidArgument(message)


def not_utf8(path: str) -> OSError:
    message = (
        "a name of or in it is no UTF-8, which a container needs; rename it on the host"
    )
    return OSError(EILSEQ, message, path)


def out_of_time(path: str) -> OSError:
    message = "its times are out of range; set them with touch"
    return OSError(EOVERFLOW, message, path)


def bad_metadata(path: str, name: str, why: str) -> OSError:
    message = (
        f"attribute {name!r} holds no JSON ({why}); "
        "mend it with setxattr() or removexattr()"
    )
    return OSError(EINVAL, message, path)


def symlink_loop(path: str) -> OSError:
    return from_errno(ELOOP, path)


def special_file(path: str) -> OSError:
    message = (
        "neither file, directory nor symbolic link, which a container cannot hold; "
        "leave it out with exclude= or errors='skip'"
    )
    return OSError(EINVAL, message, path)


def is_open_container(path: str) -> OSError:
    message = "a container that this process has open is neither read nor written so"
    return OSError(EBUSY, message, path)


def conflict(path: str, found: str) -> OSError:
    """Return the error for a transfer to *path*, where *found* is."""
    message = f"{found} is there already; on_conflict= says what becomes of it"
    return FileExistsError(EEXIST, message, path)


def directory_in_the_way(path: str) -> OSError:
    message = "a directory is where a file or a link is to come; remove it first"
    return IsADirectoryError(EISDIR, message, path)


def name_refused(path: str, why: str) -> OSError:
    message = (
        f"the host cannot have a file of this name ({why}); rename it, or leave it out "
        "with exclude= or errors='skip'"
    )
    return OSError(EINVAL, message, path)


def replaced_meanwhile(path: str) -> OSError:
    message = "another directory or a link has taken its place during the export"
    return OSError(ESTALE, f"{os.strerror(ESTALE)}: {message}", path)


def time_refused(path: str, ns: int) -> OSError:
    message = (
        f"the host cannot hold {ns} ns since 1970 as a time; set another with utime(), "
        "or leave 'timestamps' out of preserve="
    )
    return OSError(EOVERFLOW, message, path)


def too_large_for_sqlar(path: str, limit: int) -> OSError:
    message = (
        f"an SQLite archive holds files of {limit:,} bytes at most; remove it, or use "
        "export_archive()"
    )
    return OSError(EFBIG, message, path)


def differs_in_case(path: str, other: str) -> OSError:
    message = (
        f"the host takes this name and {other!r} for one; rename one of them, or "
        "leave one out with exclude="
    )
    return FileExistsError(EEXIST, message, path)


# --- two paths ------------------------------------------------------------------------


@contextmanager
def both_named(src: str, dst: str) -> Iterator[None]:
    """Give an ``OSError`` that passes both paths, as ``os.rename`` does."""
    try:
        yield
    except OSError as error:
        # Of the container's own errors the file is the container's.
        if error.filename2 is None and error.filename in (src, dst):
            error.filename, error.filename2 = src, dst
        raise
