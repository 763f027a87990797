"""Zstandard, from Python itself (3.14) or from the package that brings it to others.

Nobody imports this module before there is something to pack or unpack: where the
package is missing that is an ``ImportError``.
"""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):  # pragma: no cover - one of the two
    from compression.zstd import (
        CompressionParameter,
        ZstdCompressor,
        ZstdDecompressor,
    )
else:  # pragma: no cover
    from backports.zstd import (
        CompressionParameter,
        ZstdCompressor,
        ZstdDecompressor,
    )


def decompressor() -> ZstdDecompressor:
    return ZstdDecompressor()


def compressor() -> ZstdCompressor:
    """Return one that adds a checksum, as the program ``zstd`` does."""
    return ZstdCompressor(options={CompressionParameter.checksum_flag: 1})
