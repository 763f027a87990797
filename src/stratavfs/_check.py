"""Checking a container against the rules of its format.

The rows may be anybody's: whatever they hold is a finding, and what SQLite cannot read
is a ``CorruptDatabase``. Rows are asked for one by one, and of those that break a rule
no more are kept than somebody would read.
"""

from __future__ import annotations

from contextlib import contextmanager
from errno import EFBIG
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from stratavfs import _rules, _sql, errors
from stratavfs.records import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stratavfs._store import Store

NAMED_LIMIT: Final = 1000
"""Findings of one kind; how many more there are is told in one line."""

SHOWN_LIMIT: Final = 4200
"""Characters of a subject: a path may have 4,095, a damaged one a million."""

RANGE: Final = 1 << 19
"""Inodes whose names are counted at a time, in some 25 MB."""

SOUND: Final = 15
"""Number of the rule that SQLite looks after."""

_LEAST_ROW: Final = 6  # bytes of a page that a row takes: SQLite's MX_CELL
_PAGES: Final = "***"  # begins what SQLite says of pages rather than of rows

# How many changes a store had seen when its last check found nothing.
_healthy_at: WeakKeyDictionary[Store, int] = WeakKeyDictionary()


def check(store: Store, *, deep: bool = False) -> list[Finding]:
    """Return every violation of the format's rules, by their numbers; [] is health.

    With *deep* SQLite looks at each page of the file, too. Where those are damaged its
    findings are all that is returned, since no row can be believed.
    """
    with store.snapshot(), store.lenient_text(), _unreadable_is_damage(store):
        unsound = [*unsound_parts(store)] if deep else []
        if any(is_of_pages(line) for line in unsound):
            return [_unsound(line) for line in unsound]
        _refuse_circles(store)
        return [
            *_broken_rules(store),
            *_broken_counts(store),
            *_broken_texts(store),
            *(_unsound(line) for line in unsound),
        ]


def is_healthy(store: Store) -> bool:
    """Tell whether a check finds nothing; free while nothing has been written since."""
    changes = store.changes
    if _healthy_at.get(store) == changes:
        return True
    if check(store):
        return False
    _healthy_at[store] = changes
    return True


# --- what SQLite says -----------------------------------------------------------------


def unsound_parts(store: Store) -> list[str]:
    """Return what SQLite itself finds wrong, in its words."""
    # Keys of other tables are no news after this: rules 5 and 13 say the same.
    statement = _rules.FIRST_UNSOUND
    for _ in range(2):
        lines = [str(line) for (line,) in store.rows(statement)]
        if lines == ["ok"]:
            return []
        if is_of_pages(lines[0]):
            break
        statement = _rules.ALL_UNSOUND
    return lines


def is_of_pages(line: str) -> bool:
    """Tell whether SQLite says *line* of the file's pages, not of rows or indexes."""
    return line.startswith(_PAGES)


def _unsound(line: str) -> Finding:
    said = line.rpartition("\n")[2] if is_of_pages(line) else line
    return Finding(SOUND, "the database", said)


@contextmanager
def _unreadable_is_damage(store: Store) -> Iterator[None]:
    """Let a value that is larger than any may be count as damage."""
    try:
        yield
    except OSError as error:
        if error.errno != EFBIG:
            raise
        raise errors.corrupt(store.location, "a value in it is too large") from error


def _refuse_circles(store: Store) -> None:
    """Refuse a file with more rows than its bytes can hold.

    Its pages lead back to themselves, and reading them would hardly ever end.
    """
    (pages,), (page_size,) = store.row(_sql.COUNT_PAGES), store.row(_sql.PAGE_SIZE)
    most = pages * page_size // _LEAST_ROW
    for statement in _rules.COUNT_ROWS:
        (rows,) = store.row(statement, (most + 1,))
        if rows > most:
            raise errors.corrupt(store.location, "its pages lead back to themselves")


# --- what the rules say ---------------------------------------------------------------


def _broken_rules(store: Store) -> Iterator[Finding]:
    for rule in (*_rules.RULES, *_rules.ABSENCE_RULES):
        rows = store.each(rule.statement)
        yield from _named(rule, (subject for (subject,) in rows))


def _broken_counts(store: Store) -> Iterator[Finding]:
    for rule in _rules.RANGE_RULES:
        rows = (
            row
            for span in ranges(store)
            for row in store.each(rule.statement, (*span, *span))
        )
        yield from _named(rule, (subject for (subject,) in rows))


def _broken_texts(store: Store) -> Iterator[Finding]:
    for rule in _rules.TEXT_RULES:
        rows = store.each(rule.statement)
        broken = (subject for subject, text in rows if not is_utf8(text or b""))
        yield from _named(rule, broken)


def _named(rule: _rules.Rule, subjects: Iterable[object]) -> Iterator[Finding]:
    """Yield a finding for each subject; in one, how many more there are than many."""
    more = 0
    for number, subject in enumerate(subjects):
        if number < NAMED_LIMIT:
            yield Finding(rule.number, shown(subject), rule.message)
        else:
            more += 1
    if more:
        yield Finding(rule.number, f"{more:,} more", rule.message)


def ranges(store: Store) -> Iterator[tuple[int, int]]:
    """Yield the first and the last number of so many inodes at a time.

    An inode that is made meanwhile is behind the last one.
    """
    first, last = store.row(_rules.ALL_NUMBERS)
    while first is not None:
        (after,) = store.row(_rules.NEXT_RANGE, (first, RANGE)) or (None,)
        if after is not None and after <= first:
            raise errors.corrupt(store.location, "its inodes are out of order")
        yield first, last if after is None else after - 1
        first = after


def shown(subject: object) -> str:
    r"""Return *subject* as text that is not too long, whatever it is.

    >>> shown(b"/a\xff"), shown(None), len(shown("x" * 10_000))
    ('/a\ufffd', 'a row without a key', 4203)
    """
    if subject is None:
        return "a row without a key"
    text = subject.decode(errors="replace") if isinstance(subject, bytes) else subject
    text = str(text)
    return text if len(text) <= SHOWN_LIMIT else text[:SHOWN_LIMIT] + "..."


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
