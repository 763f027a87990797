"""How a container is opened; the public constructor documents each option."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY: Final = ":memory:"


class Options(NamedTuple):
    chunk_size: int
    read_only: bool
    immutable: bool
    timeout: float
    synchronous: str
    clock: Callable[[], int]
