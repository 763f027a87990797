"""Formats of archives, and the protocol for one's own.

>>> from stratavfs.archives import formats
>>> [format.name for format in formats()]
['zip', 'tar', 'tar.gz', 'tar.bz2', 'tar.xz', 'tar.zst']
"""

from __future__ import annotations

from stratavfs.archives._formats import formats, register_format
from stratavfs.archives.protocol import ArchiveFormat, ArchiveMember, ArchiveWriter

__all__ = [
    "ArchiveFormat",
    "ArchiveMember",
    "ArchiveWriter",
    "formats",
    "register_format",
]
