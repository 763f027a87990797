"""Which formats there are: found by a name, by the end of a file's, or by content."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from stratavfs import errors
from stratavfs.archives import _packed as packed
from stratavfs.archives._tar import TarFormat
from stratavfs.archives._zip import ZipFormat

if TYPE_CHECKING:
    from stratavfs.archives.protocol import ArchiveFormat

_ASKED: Final = ("recognizes", "read", "write")

_lock = threading.Lock()
_formats: dict[str, ArchiveFormat] = {
    format_.name: format_
    for format_ in (
        ZipFormat(),
        TarFormat("tar", (".tar",)),
        TarFormat(
            "tar.gz", (".tar.gz", ".tgz"), b"\x1f\x8b", packed.gunzip, packed.gzip
        ),
        TarFormat(
            "tar.bz2",
            (".tar.bz2", ".tbz2", ".tbz"),
            b"BZh",
            packed.bunzip2,
            packed.bzip2,
        ),
        TarFormat("tar.xz", (".tar.xz", ".txz"), b"\xfd7zXZ\0", packed.unxz, packed.xz),
        TarFormat(
            "tar.zst",
            (".tar.zst", ".tzst"),
            b"\x28\xb5\x2f\xfd",
            packed.unzstd,
            packed.zstd,
        ),
    )
}


def formats() -> tuple[ArchiveFormat, ...]:
    """Return all formats that are known, in the order they became so.

    >>> [format.extensions for format in formats()][:2]
    [('.zip',), ('.tar',)]
    """
    with _lock:
        return tuple(_formats.values())


def register_format(format: ArchiveFormat) -> None:  # noqa: A002 - as callers say
    """Let ``import_archive`` and ``export_archive`` know *format* too.

    It is found by its name, by the ends of files' names, and by content, before those
    that were known earlier. One of the same name is replaced.

    Raises:
        InvalidType: it is no :class:`ArchiveFormat`.

    >>> register_format(formats()[0])
    """
    if not is_format(format):
        message = (
            "format should have a name, extensions, recognizes(), read() and write(), "
            f"which {type(format).__name__} has not"
        )
        raise errors.InvalidType(message)
    with _lock:
        _formats[format.name] = format


def is_format(format_: Any) -> bool:
    """Tell whether *format_* has all that is asked of a format."""
    extensions = getattr(format_, "extensions", None)
    return (
        isinstance(getattr(format_, "name", None), str)
        and isinstance(extensions, tuple | list)
        and all(isinstance(extension, str) for extension in extensions)
        and all(callable(getattr(format_, verb, None)) for verb in _ASKED)
        and not isinstance(format_, type)
    )


def format_named(name: str) -> ArchiveFormat:
    """Return the format that is called *name*.

    >>> format_named("tar.gz").extensions
    ('.tar.gz', '.tgz')
    """
    with _lock:
        found = _formats.get(name)
    if found is None:
        raise _unknown(name)
    return found


def format_of_file(name: str) -> ArchiveFormat:
    """Return the format of a file called *name*: that of the longest end of it.

    >>> format_of_file("Backup.TGZ").name
    'tar.gz'
    """
    lowered = name.lower()
    ends = [
        (len(extension), number, format_)
        for number, format_ in enumerate(formats())
        for extension in format_.extensions
        if extension and lowered.endswith(extension.lower())
    ]
    if not ends:
        raise _unknown(name)
    return max(ends, key=lambda end: end[:2])[2]


def recognized(head: bytes) -> ArchiveFormat | None:
    """Return the format of a file that begins with the 1,024 bytes *head*.

    >>> recognized(b"#!/bin/sh") is None
    True
    """
    for format_ in reversed(formats()):
        if format_.recognizes(head):
            return format_
    return None


def _unknown(name: str) -> errors.InvalidArgument:
    return errors.unknown_format(name, ", ".join(each.name for each in formats()))
