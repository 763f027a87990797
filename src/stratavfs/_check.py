"""Checking a container against the rules of its format."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from stratavfs import _rules
from stratavfs.records import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stratavfs._store import Store


# How many changes a store had seen when its last check found nothing.
_healthy_at: WeakKeyDictionary[Store, int] = WeakKeyDictionary()


def check(store: Store) -> list[Finding]:
    """Return every violation of the format's rules, by their numbers; [] is health."""
    with store.snapshot(), store.lenient_text():
        return [*_broken_rules(store), *_broken_texts(store)]


def is_healthy(store: Store) -> bool:
    """Tell whether a check finds nothing; free while nothing has been written since."""
    changes = store.changes
    if _healthy_at.get(store) == changes:
        return True
    if check(store):
        return False
    _healthy_at[store] = changes
    return True


def _broken_rules(store: Store) -> Iterator[Finding]:
    for rule in _rules.RULES:
        for (subject,) in store.each(rule.statement):
            yield Finding(rule.number, str(subject), rule.message)


def _broken_texts(store: Store) -> Iterator[Finding]:
    for rule in _rules.TEXT_RULES:
        for subject, text in store.each(rule.statement):
            if not is_utf8(text or b""):
                yield Finding(rule.number, subject, rule.message)


def is_utf8(text: bytes) -> bool:
    r"""Tell whether *text* is well-formed UTF-8.

    >>> is_utf8("é".encode()), is_utf8(b"\xff")
    (True, False)
    """
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
