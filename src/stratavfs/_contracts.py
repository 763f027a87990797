"""The contracts that the public class states, each with its own words and its error.

They state and cross-check; plain code below enforces the same rules, because contracts
vanish under ``python -O`` and icontract skips one while the same function is already
running in the same context. One ``require`` a method: each costs three microseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from icontract import SLOW, require

from stratavfs import errors
from stratavfs._paths import ROOT, normalize
from stratavfs.records import CHUNK_LIMIT

if TYPE_CHECKING:
    from stratavfs._paths import StrPath

__all__ = [
    "SLOW",
    "bad_chunk_size",
    "chunk_size_fits",
    "is_chunk_size",
    "path_is_not_root",
    "source_is_not_root",
]


def is_chunk_size(value: Any) -> bool:
    """Tell whether *value* can be a chunk size.

    >>> is_chunk_size(65536), is_chunk_size(0), is_chunk_size(True), is_chunk_size("4")
    (True, False, False, False)
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and 0 < value <= CHUNK_LIMIT


def bad_chunk_size(chunk_size: object) -> errors.InvalidArgument:
    message = f"chunk_size should be an int from 1 to {CHUNK_LIMIT}, not {chunk_size!r}"
    return errors.InvalidArgument(message)


def is_not_root(path: StrPath) -> bool:
    return normalize(path) != ROOT


chunk_size_fits = require(
    lambda chunk_size: is_chunk_size(chunk_size),  # noqa: PLW0108 - arguments are bound by name
    "the chunk size is a positive int",
    error=bad_chunk_size,
)
path_is_not_root = require(
    lambda path: is_not_root(path),  # noqa: PLW0108
    "the root is never removed",
    error=lambda path: errors.root_busy(normalize(path)),
)
source_is_not_root = require(
    lambda src: is_not_root(src),  # noqa: PLW0108
    "the root is never moved",
    error=lambda src, dst: errors.root_busy(normalize(src), normalize(dst)),
)
