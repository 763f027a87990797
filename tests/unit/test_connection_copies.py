"""Copies of a container, to memory and to a file: one state, or an error that tells."""

from __future__ import annotations

import errno
import sqlite3
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from tests import ground
from tests.unit.test_connection import (
    Opened,
    ask,
    container,
    is_closed,
    location,
    opened,
    options,
    watched,
)

from stratavfs import _connection, _sql
from stratavfs._connection import Connecting
from stratavfs._options import MEMORY

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["container", "location", "opened", "watched"]  # fixtures


@pytest.mark.parametrize("marked", [False, True])
def test_copy_is_independent(container: str, opened: Opened, marked: bool) -> None:
    one = Connecting(container, options())
    opened.append(one.open())
    memory = one.copy(opened[0], marked=False)
    opened.append(memory)
    if marked:
        memory.execute("BEGIN")
    memory.execute("UPDATE inodes SET mtime_ns = 7")

    copied = Connecting(MEMORY, options()).copy(memory, marked=marked)
    opened.append(copied)
    expected = ground.dump(memory)
    memory.execute("DELETE FROM entries")

    assert ground.dump(copied) == expected
    assert not copied.in_transaction
    assert ask(copied, "PRAGMA trusted_schema") == 0
    copied.execute("BEGIN IMMEDIATE")
    copied.execute("DELETE FROM inodes")
    copied.execute("ROLLBACK")
    assert ask(opened[0], "SELECT count(*) FROM entries") == 2


class Failing:
    """A connection whose backup meets what *codes* say, and an *error* at its end."""

    def __init__(self, codes: list[int], error: sqlite3.Error | None = None) -> None:
        self.codes, self.error = codes, error
        self.steps: list[int] = []

    def execute(self, text: str, args: Any = ()) -> Any:
        del args
        answers = {_sql.COUNT_PAGES: (5000,), _sql.PAGE_SIZE: (4096,)}

        class Answer:
            def fetchone(self) -> Any:
                return answers[text]

        return Answer()

    def backup(self, target: Any, *, pages: int, progress: Any) -> None:
        del target
        self.steps.append(pages)
        for code in self.codes:
            progress(code, 3, 10)
        if self.error is not None:
            raise self.error


def failure(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("made up")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize("into", ["memory", "file"])
def test_copy_that_fails_is_translated_and_closes(
    location: str, watched: Opened, into: str
) -> None:
    source: Any = Failing([], failure(sqlite3.SQLITE_IOERR_READ))
    one = Connecting("source.db", options())
    calls: dict[str, Callable[[], object]] = {
        "memory": lambda: one.copy(source, marked=False),
        "file": lambda: one.copy_to_file(source, location, fail, 1, 1),
    }

    with pytest.raises(OSError) as caught:
        calls[into]()

    assert (caught.value.errno, caught.value.filename) == (errno.EIO, "source.db")
    assert caught.value.__cause__ is source.error
    assert [is_closed(cx) for cx in watched] == [True]


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, 517])
def test_copy_that_finds_it_locked_gives_up_after_the_timeout(
    location: str, code: int
) -> None:
    source: Any = Failing([code] * 10_000)

    with pytest.raises(OSError, match="try again") as caught:
        Connecting("source.db", options()).copy_to_file(source, location, fail, 1, 1)

    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, "source.db")


def fail(*args: object) -> NoReturn:
    raise AssertionError(args)


def test_copy_that_is_locked_for_a_moment_goes_on(location: str) -> None:
    source: Any = Failing([sqlite3.SQLITE_BUSY, sqlite3.SQLITE_OK, 5, 101])
    heard: list[tuple[int, int]] = []

    Connecting("source.db", options(timeout=60.0)).copy_to_file(
        source, location, lambda *it: heard.append(it), 1, 1
    )

    assert heard == [(3, 10), (3, 10)]


def test_copy_locked_late_is_given_the_whole_timeout(
    location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes longer than the timeout may still meet a lock that is soon gone."""
    source: Any = Failing([sqlite3.SQLITE_OK, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_OK])
    now = [0.0]
    monkeypatch.setattr(_connection, "time", SimpleNamespace(monotonic=lambda: now[0]))
    heard: list[float] = []

    def tell(left: int, pages: int) -> None:
        del left, pages
        heard.append(now[0])
        now[0] += 100

    one = Connecting("source.db", options(timeout=5.0))
    one.copy_to_file(source, location, tell, 1, 1)

    assert heard == [0.0, 100.0]


@pytest.mark.parametrize(
    ("least", "steps", "expected"), [(1, 100, 50), (256, 100, 256), (1, 1, 5000)]
)
def test_copy_to_file_goes_by_steps(
    location: str, least: int, steps: int, expected: int
) -> None:
    source: Any = Failing([])

    Connecting("source.db", options()).copy_to_file(
        source, location, fail, least, steps
    )

    assert source.steps == [expected]


def test_copy_file_is_one_state_and_closes_everything(
    container: str, location: str, watched: Opened
) -> None:
    target, made = location + ".copy", Opened()
    before = ground.dump_of(container)
    watched.clear()

    def tell(left: int, pages: int) -> None:
        del left, pages
        made.extend(watched)
        ground.execute(container, "UPDATE inodes SET mtime_ns = 7")

    Connecting(container, options()).copy_file(target, tell, 1, 3)

    assert ground.dump_of(target) == before
    assert ground.dump_of(container) != before
    assert all(is_closed(cx) for cx in made)
