"""Files that are no container, or a damaged one: refused by name, left as they are."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.ground import (
    APPLICATION_ID,
    connect,
    copy_as_killed,
    execute,
    files_beside,
    make_foreign,
    run_unchecked,
)

from stratavfs import (
    CorruptDatabase,
    ForeignDatabase,
    SchemaTooNew,
    VirtualFileSystem,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.damaged

WAYS: dict[str, dict[str, bool]] = {
    "writable": {},
    "read-only": {"read_only": True},
    "immutable": {"immutable": True},
}
BIG = bytes(range(256)) * 100
CONTENT = {"/small": b"small", "/tree/big": BIG}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Any:
    """The options of each way to open a container."""
    return WAYS[request.param]


@pytest.fixture
def container(tmp_path: Path) -> Path:
    path = tmp_path / "container.db"
    make_container(path)
    return path


def make_container(path: Path) -> None:
    with VirtualFileSystem(path, 1024) as vfs:
        for name, content in CONTENT.items():
            vfs.write_bytes(name, content)
        vfs.symlink("small", "/link")
        vfs.setxattr("/small", "user.a", b"1")


def assert_refused(
    path: Path, way: dict[str, bool], *expected: type[OSError]
) -> OSError:
    """Opening *path* raises one of *expected*, naming it and touching nothing."""
    before, beside = files_beside(path), sorted(os.listdir(path.parent))

    with pytest.raises(expected or OSError) as caught:
        VirtualFileSystem(path, **way).close()  # type: ignore[arg-type]

    assert caught.value.filename == str(path)
    assert caught.value.errno
    assert files_beside(path) == before
    assert sorted(os.listdir(path.parent)) == beside
    return caught.value


# --- files of others ------------------------------------------------------------------

STRANGERS = {
    "text": b"Dear diary,\n" * 100,
    "one byte": b"S",
    "short text": b"SQLite format 3",
    "random": random.Random(1).randbytes(10_000),
    "zeros": bytes(8192),
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + random.Random(2).randbytes(5000),
    "zip": b"PK\x03\x04" + random.Random(3).randbytes(5000),
    "magic alone": b"SQLite format 3\0" + random.Random(4).randbytes(5000),
    "magic and zeros": b"SQLite format 3\0" + bytes(5000),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_open_of_stranger_raises_foreign_and_changes_nothing(
    tmp_path: Path, way: dict[str, bool], stranger: str
) -> None:
    path = tmp_path / "stranger"
    path.write_bytes(STRANGERS[stranger])

    assert_refused(path, way, ForeignDatabase, CorruptDatabase)


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
@pytest.mark.parametrize("application_id", [0, 1, APPLICATION_ID + 1])
def test_open_of_other_application_raises_foreign_and_changes_nothing(
    tmp_path: Path, way: dict[str, bool], application_id: int, journal_mode: str
) -> None:
    path = tmp_path / "notes.db"
    make_foreign(path, application_id, journal_mode)

    assert_refused(path, way, ForeignDatabase)


def test_open_of_other_application_with_log_changes_nothing(
    tmp_path: Path, way: dict[str, bool]
) -> None:
    source, path = tmp_path / "open.db", tmp_path / "killed.db"
    make_foreign(source, journal_mode="wal")
    with closing(connect(source)) as cx:
        cx.execute("INSERT INTO notes VALUES ('in the log')")
        copy_as_killed(source, path)

    assert_refused(path, way, ForeignDatabase)

    with closing(connect(path)) as cx:
        assert len(cx.execute("SELECT * FROM notes").fetchall()) == 2


def test_open_of_other_application_in_use_takes_no_lock_from_it(
    tmp_path: Path, way: dict[str, bool]
) -> None:
    path = tmp_path / "notes.db"
    make_foreign(path)
    with closing(connect(path)) as cx:
        cx.execute("BEGIN EXCLUSIVE")

        with pytest.raises(ForeignDatabase):
            VirtualFileSystem(path, **way)  # type: ignore[arg-type]

        with closing(connect(path)) as other:
            other.execute("PRAGMA busy_timeout = 0")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("SELECT * FROM notes")
        cx.execute("COMMIT")


@pytest.mark.parametrize("options", [{"read_only": True}, {"immutable": True}])
def test_open_of_empty_file_for_reading_raises_and_leaves_it_empty(
    tmp_path: Path, options: dict[str, bool]
) -> None:
    path = tmp_path / "empty.db"
    path.touch(0o444)

    assert_refused(path, options, ForeignDatabase, CorruptDatabase)


# --- our format, and not ours ---------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3, 2**31 - 1])
def test_open_of_newer_format_raises_too_new_and_changes_nothing(
    container: Path, way: dict[str, bool], version: int
) -> None:
    execute(container, f"PRAGMA user_version = {version}", "DROP TABLE xattrs")

    error = assert_refused(container, way, SchemaTooNew)

    assert str(version) in str(error)


def test_open_of_newer_format_with_log_changes_nothing(
    container: Path, tmp_path: Path
) -> None:
    execute(container, "PRAGMA user_version = 2")
    killed = tmp_path / "killed.db"
    with closing(connect(container)) as cx:
        cx.execute("INSERT INTO settings VALUES ('in the log', 1)")
        copy_as_killed(container, killed)

    assert_refused(killed, {}, SchemaTooNew)


@pytest.mark.parametrize("version", [0, -1])
def test_open_of_impossible_version_raises_and_changes_nothing(
    container: Path, way: dict[str, bool], version: int
) -> None:
    execute(container, f"PRAGMA user_version = {version}")

    assert_refused(container, way, CorruptDatabase, ForeignDatabase)


SCHEMA_DAMAGE = {
    "extra table": ["CREATE TABLE extra (x)"],
    "extra index": ["CREATE INDEX extra ON inodes (size)"],
    "trigger": [
        "CREATE TRIGGER extra AFTER INSERT ON entries BEGIN DELETE FROM entries; END"
    ],
    "extra view": ["CREATE VIEW extra AS SELECT * FROM inodes"],
    "changed view": ["DROP VIEW files", "CREATE VIEW files AS SELECT 1 AS path"],
    "missing view": ["DROP VIEW files"],
    "missing table": ["DROP TABLE xattrs"],
    "missing index": ["DROP INDEX orphans"],
    "extra column": ["ALTER TABLE inodes ADD COLUMN extra TEXT"],
    "renamed table": ["ALTER TABLE xattrs RENAME TO attributes"],
    "only the stamp": [
        "DROP VIEW files",
        *(f"DROP TABLE {name}" for name in ("xattrs", "chunks", "entries", "inodes")),
    ],
}


@pytest.mark.parametrize("damage", SCHEMA_DAMAGE)
def test_open_of_other_schema_raises_corrupt_and_changes_nothing(
    container: Path, way: dict[str, bool], damage: str
) -> None:
    execute(container, *SCHEMA_DAMAGE[damage])

    assert_refused(container, way, CorruptDatabase)


SETTINGS_DAMAGE = {
    "no chunk size": "DELETE FROM settings WHERE key = 'chunk_size'",
    "no inline limit": "DELETE FROM settings WHERE key = 'inline_limit'",
    "chunk size 0": "UPDATE settings SET value = 0 WHERE key = 'chunk_size'",
    "chunk size below 0": "UPDATE settings SET value = -4 WHERE key = 'chunk_size'",
    "chunk size of no memory": (
        f"UPDATE settings SET value = {1 << 62} WHERE key = 'chunk_size'"
    ),
    "inline limit below 0": (
        "UPDATE settings SET value = -1 WHERE key = 'inline_limit'"
    ),
    "inline limit above": (
        "UPDATE settings SET value = 2000 WHERE key = 'inline_limit'"
    ),
}


@pytest.mark.parametrize("damage", SETTINGS_DAMAGE)
def test_open_with_impossible_settings_raises_corrupt_and_changes_nothing(
    container: Path, way: dict[str, bool], damage: str
) -> None:
    execute(container, SETTINGS_DAMAGE[damage])

    assert_refused(container, way, CorruptDatabase)


# --- damaged pages --------------------------------------------------------------------


def survey(vfs: VirtualFileSystem) -> None:
    """Read everything; what can be read is right, the rest is an OSError."""
    vfs.check()
    list(vfs.walk("/", onerror=_raise))
    vfs.glob("/**")
    for name, content in CONTENT.items():
        assert vfs.stat(name).size == len(content)
        assert vfs.read_bytes(name) == content
        with vfs.open(name, "rb", buffering=0) as raw:
            assert raw.read() == content
    assert vfs.readlink("/link") == "small"
    assert vfs.getxattr("/small", "user.a") == b"1"


def change(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/new", BIG)
    vfs.copytree("/tree", "/copy")
    vfs.rename("/tree", "/moved")
    vfs.rmtree("/moved")


def _raise(error: OSError) -> None:
    raise error


def outcome_of(path: Path, way: dict[str, bool]) -> str:
    """Return "refused", "failed later" or "fine"; any other error fails the test."""
    before = files_beside(path)
    try:
        vfs = VirtualFileSystem(path, **way)  # type: ignore[arg-type]
    except OSError as error:
        refusal = error
    else:
        with vfs:
            outcome = run_steps(vfs, [survey, *([] if way else [change])])
        assert way == {} or path.read_bytes() == before[str(path)]
        return outcome
    assert refusal.filename == str(path)
    assert files_beside(path) == before
    return "refused"


def run_steps(
    vfs: VirtualFileSystem, steps: list[Callable[[VirtualFileSystem], object]]
) -> str:
    outcome = "fine"
    for step in steps:
        try:
            step(vfs)
        except OSError:
            outcome = "failed later"
    return outcome


@pytest.mark.slow
def test_open_of_truncated_container_raises_os_error_at_once_or_later(
    container: Path, tmp_path: Path, way: dict[str, bool]
) -> None:
    whole = container.read_bytes()
    path = tmp_path / "cut.db"
    outcomes = {}

    for size in range(512, len(whole), 512):
        path.write_bytes(whole[:size])
        outcomes[size] = outcome_of(path, way)
        clear_beside(path)

    assert outcomes[512] == "refused"
    assert "fine" not in outcomes.values()


def test_open_of_container_cut_to_nothing_makes_a_new_one(container: Path) -> None:
    os.truncate(container, 0)

    with VirtualFileSystem(container) as vfs:
        assert vfs.listdir() == []
        assert vfs.check() == []


@pytest.mark.slow
@pytest.mark.parametrize("stuff", [b"\0", b"\xff"], ids=["zeros", "ones"])
def test_open_with_page_header_overwritten_raises_os_error_at_once_or_later(
    container: Path, tmp_path: Path, way: dict[str, bool], stuff: bytes
) -> None:
    whole = container.read_bytes()
    path = tmp_path / "damaged.db"
    outcomes = []

    for start in range(0, len(whole), 4096):
        header = start or 100  # the first page's lies behind the file's own
        path.write_bytes(whole[:header] + stuff * 12 + whole[header + 12 :])
        outcomes.append(outcome_of(path, way))
        clear_beside(path)

    assert outcomes[0] == "refused"
    assert outcomes.count("fine") <= len(outcomes) // 2


@pytest.mark.slow
def test_open_with_bytes_changed_at_random_raises_only_os_errors(
    container: Path, tmp_path: Path
) -> None:
    """Flipped bytes may change content, which no checksum guards; never the class."""
    whole = container.read_bytes()
    path = tmp_path / "damaged.db"
    chance = random.Random(5)

    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(20):
            damaged[chance.randrange(100, len(whole))] = chance.randrange(256)
        path.write_bytes(damaged)
        read_or_refuse(path)
        clear_beside(path)


def read_or_refuse(path: Path) -> None:
    try:
        vfs = VirtualFileSystem(path, read_only=True)
    except OSError:
        return
    with vfs:
        run_steps(
            vfs,
            [
                lambda vfs: vfs.check(),
                lambda vfs: list(vfs.walk("/")),
                lambda vfs: vfs.read_bytes("/small"),
                lambda vfs: vfs.read_bytes("/tree/big"),
            ],
        )


def clear_beside(path: Path) -> None:
    for end in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + end).unlink(missing_ok=True)


# --- a stranger's rows ----------------------------------------------------------------

ROW_DAMAGE = {
    "name not UTF-8": (
        "UPDATE entries SET name = CAST(x'61ff' AS TEXT) WHERE name = 'small'"
    ),
    "target not UTF-8": (
        "UPDATE inodes SET target = CAST(x'61ff' AS TEXT) WHERE target IS NOT NULL"
    ),
    "owner not UTF-8": "UPDATE inodes SET owner = CAST(x'61ff' AS TEXT)",
    "attribute not UTF-8": "UPDATE xattrs SET name = CAST(x'61ff' AS TEXT)",
    "entry without inode": "DELETE FROM inodes WHERE size = 5 AND target IS NULL",
    "root without inode": "DELETE FROM inodes WHERE id = 1",
    "no root": "DELETE FROM entries WHERE parent = ''",
    "size below zero": "UPDATE inodes SET size = -1, content = NULL WHERE size > 5",
    "content and no file": (
        "UPDATE inodes SET content = x'61' WHERE target IS NOT NULL"
    ),
    "target empty": "UPDATE inodes SET target = '' WHERE target IS NOT NULL",
    "chunk index below zero": "UPDATE chunks SET idx = -1 WHERE idx = 0",
    "chunk too long": "UPDATE chunks SET data = zeroblob(100000) WHERE idx = 0",
}


@pytest.mark.parametrize("damage", ROW_DAMAGE)
def test_read_of_strangers_rows_raises_only_os_errors(
    container: Path, way: dict[str, bool], damage: str
) -> None:
    with closing(connect(container)) as cx:
        run_unchecked(cx, ROW_DAMAGE[damage])

    steps: list[Callable[[VirtualFileSystem], object]] = [
        lambda vfs: vfs.check(),
        lambda vfs: list(vfs.walk("/", onerror=_raise)),
        lambda vfs: vfs.glob("/**"),
        lambda vfs: list(vfs.scandir("/")),
        lambda vfs: vfs.stat("/link"),
        lambda vfs: vfs.listxattr("/small"),
        lambda vfs: vfs.read_bytes("/small"),
        lambda vfs: vfs.read_bytes("/tree/big"),
        lambda vfs: vfs.open("/tree/big", "rb").close(),
    ]

    with VirtualFileSystem(container, **way) as vfs:  # type: ignore[arg-type]
        run_steps(vfs, steps)
