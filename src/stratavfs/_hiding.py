"""What one container hides of the layers below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stratavfs import _sql
from stratavfs._paths import ROOT, parent_of, split

if TYPE_CHECKING:
    from stratavfs._store import Store
    from stratavfs.records import VPath


_ABSENT, _PRESENT, _HIDES = range(3)

_LIMIT: Final = 100_000  # directories remembered: some 15 MB


class Hiding:
    """Remembers of each directory asked for whether something hides what is below it.

    A whiteout, a file or an opaque directory does, at its path or above it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[VPath, int] = {}
        self._as_of = 0

    def hides(self, directory: VPath) -> bool:
        """Tell whether the container hides what lower layers have in *directory*."""
        if self._store.shared:
            as_of = self._store.foreign_changes()
            if as_of != self._as_of:
                self._as_of = as_of
                self._known.clear()
        found = self._known.get(directory)
        return (self._find(directory) if found is None else found) == _HIDES

    def is_out_of(self, directory: VPath) -> bool:
        """Tell whether the container is known to have nothing to do with *directory*.

        False as long as nobody has asked whether it hides anything there, or where
        another process may have changed that.
        """
        return self._known.get(directory) == _ABSENT and not self._store.shared

    def _find(self, directory: VPath) -> int:
        """Ask from *directory* upwards until something is known; remember all of it."""
        if len(self._known) > _LIMIT:
            self._known.clear()
        asked = []
        at, known = directory, None
        while known is None:
            row = self._store.row(_sql.FIND_HIDING, split(at))
            here = _ABSENT if row is None else _HIDES if row[0] else _PRESENT
            asked.append((at, here))
            known = _PRESENT if at == ROOT else self._known.get(parent_of(at))
            at = parent_of(at)
        state = known
        for path, here in reversed(asked):
            state = self._known[path] = _HIDES if state == _HIDES else here
        return state

    def moved_on(self, path: VPath) -> None:
        """Forget what is known of *path*, which changes, and with it of all below."""
        if path in self._known:
            self._known.clear()

    def forget(self) -> None:
        """Forget everything."""
        self._known.clear()
