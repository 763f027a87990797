"""Bounds: what a sound file can answer, so that a stranger's does not answer for ever.

Pages that lead back to themselves hold any number of rows. A statement is given as many
as the file's bytes can hold, and time in proportion to them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from stratavfs import _sql, errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MANY: Final = 1 << 16  # rows fetched before anybody asks whether there can be more
_LEAST_ROW: Final = 6  # bytes of a page that a row takes: SQLite's MX_CELL
STEPS: Final = 1_000_000  # of SQLite's machine, between two looks at a statement
_CIRCLE: Final = "its pages lead back to themselves"


class Answering(Protocol):
    """What answers: a store."""

    location: str

    def row(self, statement: str) -> Any:
        """Return the first row of *statement*, or None."""

    def interrupt(self, when: Callable[[], bool] | None, steps: int) -> None:
        """End a statement *when* that says so, asked after so many *steps*."""


def fetched(store: Answering, cursor: Any) -> list[Any]:
    """Return all rows of *cursor*, if the pages can hold so many."""
    found: list[Any] = cursor.fetchmany(_MANY)
    if len(found) < _MANY:
        return found
    most = _size(store) // _LEAST_ROW
    while more := cursor.fetchmany(_MANY):
        found += more
        if len(found) > most:
            cursor.close()
            raise errors.corrupt(store.location, _CIRCLE)
    return found


def _size(store: Answering) -> int:
    (pages,), (size,) = store.row(_sql.COUNT_PAGES), store.row(_sql.PAGE_SIZE)
    return int(pages * size)


def patience(store: Answering) -> int:
    """Return for how many steps, in millions, one look at everything may go on."""
    return 100 + 20 * _size(store) // STEPS


@contextmanager
def bounded(store: Answering, patience: int) -> Iterator[None]:
    """Within this scope a statement that would go on for ever is damage."""
    left = patience

    def is_endless() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    store.interrupt(is_endless, STEPS)
    try:
        yield
    except OSError as error:
        if left < 0:
            raise errors.corrupt(store.location, _CIRCLE) from error
        raise
    finally:
        store.interrupt(None, 0)
