"""A layered virtual file system in one SQLite file.

>>> from stratavfs import VirtualFileSystem
>>> with VirtualFileSystem() as vfs:
...     with vfs.atomic_batch():
...         vfs.write_text("/saves/player.json", '{"level": 3}')
...         vfs.write_text("/saves/world.json", '{"seed": 42}')
...     vfs.glob("/saves/*.json")
12
12
['/saves/player.json', '/saves/world.json']
"""

from __future__ import annotations

from stratavfs._batch import Batch, Savepoint
from stratavfs._search import DirEntry
from stratavfs._trace import AccessTrace
from stratavfs.errors import (
    BadArchive,
    BatchLost,
    CorruptDatabase,
    ForeignDatabase,
    InvalidArgument,
    InvalidType,
    LayerFailed,
    ReadOnlyError,
    RootRefused,
    SchemaTooNew,
)
from stratavfs.records import (
    Change,
    Conflict,
    Explanation,
    Finding,
    GrepMatch,
    LayerSay,
    Progress,
    Repair,
    StatResult,
    Stats,
    TransferReport,
    Usage,
)
from stratavfs.vfs import VirtualFileSystem

__all__ = [
    "AccessTrace",
    "BadArchive",
    "Batch",
    "BatchLost",
    "Change",
    "Conflict",
    "CorruptDatabase",
    "DirEntry",
    "Explanation",
    "Finding",
    "ForeignDatabase",
    "GrepMatch",
    "InvalidArgument",
    "InvalidType",
    "LayerFailed",
    "LayerSay",
    "Progress",
    "ReadOnlyError",
    "Repair",
    "RootRefused",
    "Savepoint",
    "SchemaTooNew",
    "StatResult",
    "Stats",
    "TransferReport",
    "Usage",
    "VirtualFileSystem",
    "__version__",
]

__version__ = "0.1.0"
