"""A sample container, ways to break it by raw SQL, and what is left of it.

Nothing here asks the package what is right: :mod:`tests.unit.damages_names` and
:mod:`tests.unit.damages_inodes` say what must be found, and what repairs it.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.ground import connect, run_unchecked

from stratavfs._paths import normalize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stratavfs import VirtualFileSystem

FIFO = 0o010644
FILE = 0o100644
LAST = (1 << 63) - 1
NOW = 1_500_000_000_000_000_000


class Damage(NamedTuple):
    """SQL that breaks the sample."""

    name: str
    found: list[tuple[int, str]]
    """What ``check()`` finds: number of the rule and subject."""
    repaired: list[str]
    """What ``repair()`` reports, without the word MUST."""
    statements: tuple[str, ...]


def damage(
    name: str, found: list[tuple[int, str]], repaired: list[str], *statements: str
) -> Damage:
    return Damage(name, found, repaired, statements)


def make_sample(make_vfs: Callable[..., Any], where: object = ":memory:") -> Any:
    """Return a healthy file system with one of everything, in chunks of four bytes."""
    vfs = make_vfs(where, 4, clock=lambda: NOW, synchronous="off")
    vfs.mkdir("/d")
    vfs.write_bytes("/d/f", b"abcdefghij")
    vfs.write_bytes("/s", b"abc")
    vfs.symlink("s", "/l")
    vfs.setxattr("/s", "user.a", b"value")
    return vfs


def break_it(vfs: VirtualFileSystem, *statements: str) -> None:
    run_unchecked(vfs._store._cx, *statements)


def break_as_far_as_possible(
    vfs: VirtualFileSystem, statements: Sequence[str]
) -> list[str]:
    """Run those of *statements* that leave a key unique; return them."""
    done = []
    for statement in statements:
        with suppress(sqlite3.IntegrityError):
            break_it(vfs, statement)
            done.append(statement)
    return done


def findings(vfs: VirtualFileSystem) -> list[tuple[int, str]]:
    return sorted((finding.rule, finding.subject) for finding in vfs.check())


def repairs(vfs: VirtualFileSystem) -> list[str]:
    return [str(line).removeprefix("MUST ") for line in vfs.repair()]


def is_healthy(vfs: VirtualFileSystem) -> bool:
    """Tell whether nothing is found, and nothing left to be repaired."""
    return not vfs.check(deep=True) and not vfs.repair()


def contents(vfs: VirtualFileSystem) -> dict[str, bytes]:
    """Return the bytes of every file whose entry leads to it, and can be read."""
    return dict(_readable(vfs))


def _readable(vfs: VirtualFileSystem) -> Iterator[tuple[str, bytes]]:
    rows = vfs._store._cx.execute(
        "SELECT CAST(parent AS BLOB), CAST(name AS BLOB) FROM entries"
    ).fetchall()
    for parent, name in rows:
        with suppress(OSError, ValueError, TypeError):
            path = (parent + name).decode()
            is_file = normalize(path) == path and vfs.lstat(path).st_mode >> 12 == 8
            if is_file and vfs.getsize(path) < 1 << 20:
                yield path, vfs.read_bytes(path)


def is_kept(path: str, data: bytes, after: dict[str, bytes]) -> bool:
    """Tell whether *data* is where it was, or saved."""
    saved = [found for at, found in after.items() if at.startswith("/lost+found")]
    return after.get(path) == data or data in saved


# --- past STRICT ----------------------------------------------------------------------


def break_types(path: Any, *statements: tuple[Any, ...]) -> None:
    """Run *statements*, each with its arguments, in tables that take any value.

    The schema says so for as long as that takes, and is then as it was.
    """
    with closing(connect(path)) as cx:
        schema = cx.execute(
            "SELECT name, sql FROM sqlite_schema WHERE sql LIKE '%STRICT%'"
        ).fetchall()
        _set_schema(cx, [(name, _loosened(sql)) for name, sql in schema])
    try:
        with closing(connect(path)) as cx:
            cx.execute("PRAGMA synchronous = OFF")
            cx.execute("PRAGMA ignore_check_constraints = ON")
            for statement, *args in statements:
                with suppress(sqlite3.IntegrityError, UnicodeEncodeError):
                    cx.execute(statement, args)
    finally:
        with closing(connect(path)) as cx:
            _set_schema(cx, schema)


def _set_schema(cx: sqlite3.Connection, schema: list[tuple[str, str]]) -> None:
    cx.execute("PRAGMA synchronous = OFF")
    cx.execute("PRAGMA writable_schema = ON")
    cx.executemany(
        "UPDATE sqlite_schema SET sql = ? WHERE name = ?",
        [(sql, name) for name, sql in schema],
    )
    (version,) = cx.execute("PRAGMA schema_version").fetchone()
    cx.execute(f"PRAGMA schema_version = {version + 1}")
    cx.execute("PRAGMA writable_schema = OFF")


def _loosened(sql: str) -> str:
    """Return the statement of a table with columns of no type."""
    sql = re.sub(r"\b(TEXT|BLOB|INTEGER)( NOT NULL)?(?! PRIMARY KEY AUTO)", "", sql)
    return sql.replace(" STRICT, WITHOUT ROWID", " WITHOUT ROWID").replace(
        " STRICT", ""
    )
