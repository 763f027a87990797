"""Checking a container against the rules of its format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stratavfs import _sql
from stratavfs.records import Finding

if TYPE_CHECKING:
    from stratavfs._store import Store


def check(store: Store) -> list[Finding]:
    """Return every violation of the format's rules, by their numbers; [] is health."""
    with store.snapshot():
        return [
            Finding(rule.number, str(subject), rule.message)
            for rule in _sql.RULES
            for (subject,) in store.rows(rule.statement)
        ]
