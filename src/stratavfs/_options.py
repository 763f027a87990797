"""How a container is opened; the public constructor documents each option."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

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
    exclusive: bool = False


class Recipe(NamedTuple):
    """What a file system is pickled as."""

    location: str
    options: Options
    create_parents: bool
    underlays: list[tuple[Any, ...]]
    """(name, priority, prefix, recipe or layer) of each."""
