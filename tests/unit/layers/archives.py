"""Makes zip archives as no good tool would."""

from __future__ import annotations

import io
import random
import zipfile
from stat import S_IFREG
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs.layers import ZipLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

UNIX = 3

Member = tuple[zipfile.ZipInfo, bytes]

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
PACKED = {"deflated": 8, "bzip2": 12, "lzma": 14}
EVERY = {"stored": 0, **PACKED}

# Half of it cannot be packed, and the other half vanishes.
DATA = random.Random(1).randbytes(100_000) + bytes(100_000)

every_compression = pytest.mark.parametrize("compression", EVERY.values(), ids=EVERY)
every_packing = pytest.mark.parametrize("compression", PACKED.values(), ids=PACKED)


def member(name: str, data: bytes = b"", **fields: Any) -> Member:
    """Return a member; *fields* are set after the name was looked at."""
    record = zipfile.ZipInfo("x")
    record.filename = name
    record.create_system = UNIX
    record.external_attr = (S_IFREG | 0o600) << 16
    for field, value in fields.items():
        setattr(record, field, value)
    return record, data


def archive_of(members: Iterable[Member]) -> bytes:
    """Return an archive of *members* in their order, whatever their names."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for record, data in members:
            archive.NameToInfo.clear()  # or it would warn of two of one name
            attributes = record.external_attr
            archive.writestr(record, data)
            record.external_attr = attributes  # or it would make some up
    return file.getvalue()


def layer_of(*members: Member) -> ZipLayer:
    return ZipLayer(io.BytesIO(archive_of(members)))


def tree(layer: ZipLayer, top: str = "/") -> dict[str, bytes | str | None]:
    """Return bytes, targets and None for files, links and directories, by path."""
    found: dict[str, bytes | str | None] = {}
    for name, _ in layer.kinds(top):
        path = top.rstrip("/") + "/" + name
        inode = layer.find(path)
        assert inode is not None, path
        found[path] = inode.target
        if inode.is_directory:
            found |= tree(layer, path)
        elif inode.is_file:
            with layer.open(path) as file:
                found[path] = file.read()
    return found


def zipped(data: bytes, compression: int = STORED) -> bytes:
    """Return an archive of one file, ``a``."""
    return archive_of([member("a", data, compress_type=compression)])


def refusal(call: Callable[[], object]) -> OSError:
    with pytest.raises(OSError) as caught:
        call()
    return caught.value
