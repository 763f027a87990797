"""Read-only layers to lie below a file system, and the protocol for one's own.

>>> from stratavfs import VirtualFileSystem
>>> from stratavfs.layers import DirectoryLayer
>>> with VirtualFileSystem() as vfs:
...     vfs.add_underlay(DirectoryLayer("."), at="/host")
'underlay_0'
"""

from __future__ import annotations

from stratavfs.layers.archive import ZipLayer
from stratavfs.layers.directory import DirectoryLayer
from stratavfs.layers.protocol import Layer, LeastLayer
from stratavfs.records import S_IFWHT, Inode

__all__ = ["S_IFWHT", "DirectoryLayer", "Inode", "Layer", "LeastLayer", "ZipLayer"]
