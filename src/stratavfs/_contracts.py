"""The contracts that the public class states, each with its own words and its error.

They state and cross-check; plain code below enforces the same rules, because contracts
vanish under ``python -O`` and icontract skips one while the same function is already
running in the same context. One ``require`` a method: each costs three microseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from icontract import SLOW, ensure, require

from stratavfs import errors
from stratavfs._paths import ROOT, is_within, normalize
from stratavfs.records import CHUNK_LIMIT

if TYPE_CHECKING:
    from stratavfs._paths import StrPath

__all__ = [
    "SLOW",
    "bad_chunk_size",
    "chunk_size_fits",
    "is_chunk_size",
    "layer_is_another",
    "path_is_gone",
    "path_is_not_root",
    "source_has_moved",
    "source_is_not_root",
    "target_is_there",
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


class Looking(Protocol):
    """What a postcondition asks: a file system."""

    def lexists(self, path: StrPath) -> bool:
        """Tell whether there is anything at *path*."""


def is_gone(self: Looking, path: StrPath) -> bool:
    return not self.lexists(path)


def has_moved(self: Looking, src: StrPath) -> bool:
    return not self.lexists(src)


def has_arrived(self: Looking, src: StrPath, dst: StrPath) -> bool:
    """Tell whether *dst* is there, unless its way there led through *src*, a link."""
    return self.lexists(dst) or is_within(normalize(dst), normalize(src))


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
layer_is_another = require(
    lambda self, layer: layer is not self,
    "a file system is not its own underlay",
    error=errors.layer_cycle,
)
path_is_gone = ensure(is_gone, "it is gone", enabled=SLOW)
source_has_moved = ensure(has_moved, "it has moved", enabled=SLOW)
target_is_there = ensure(has_arrived, "it is there", enabled=SLOW)
