"""``check()``: every rule of the format is broken once, and found by its number."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.ground import run_unchecked

from stratavfs import _rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from stratavfs import VirtualFileSystem

pytestmark = pytest.mark.damaged

FIFO = 0o010644
FILE = 0o100644


class Damage(NamedTuple):
    """SQL that breaks the sample, and the findings that it must give."""

    name: str
    message: str
    """Of the rule that is meant; further findings follow from the same damage."""
    found: list[tuple[int, str]]
    statements: tuple[str, ...]


def damage(
    name: str, message: str, found: list[tuple[int, str]], *statements: str
) -> Damage:
    return Damage(name, message, found, statements)


UNKNOWN_SETTING = "is no setting of this format, or has an impossible value"
NO_ROOT = "the root is not the directory with inode 1"
NO_INODE = "its inode does not exist"
WRONG_KIND = "its kind is not that of its inode"
NO_DIRECTORY = "there are names in it, and it is no directory"
TOO_LONG = "its name or path is too long, or holds NUL"
NOT_NORMAL = "its path is not in normal form"
MISCOUNTED = "its count of names is not the number of its entries"
DIRECTORY_NAMES = "a directory has another number of names than one"
NO_TYPE = "its mode has other bits than a type and permissions"
BAD_TARGET = "its target is empty, holds NUL, or has another length than its size"
TARGET_OR_NOT = "it has a target and is no symbolic link, or the reverse"
BAD_CONTENT = "it has content in its row and is no file, or it is of another length"
TWO_CONTENTS = "it has content in its row and in chunks"
DIRECTORY_SIZE = "its size is negative, or it is a directory and has one"
BAD_CHUNK = "it is empty, longer than a chunk, or reaches behind the end of its file"
CHUNK_OF_NOTHING = "its inode is no file"
OPAQUE_FILE = "it is opaque and no directory"
NO_ATTRIBUTE_NAME = "an attribute of it has no name"
NO_GENERATION = "its generation is less than 1"
NAME_TEXT = "its name is no UTF-8"
TARGET_TEXT = "its target is no UTF-8"
ATTRIBUTE_TEXT = "the name of an attribute of it is no UTF-8"
OWNER_TEXT = "the name of its owner or its group is no UTF-8"

# The sample's inodes: 2 the directory /d, 3 the file /d/f in chunks, 4 the file /s
# in its row, 5 the symbolic link /l.
DAMAGES = (
    damage(
        "unknown setting",
        UNKNOWN_SETTING,
        [(3, "setting colour")],
        "INSERT INTO settings VALUES ('colour', 1)",
    ),
    damage(
        "inline limit above the chunk size",
        UNKNOWN_SETTING,
        [(3, "setting inline_limit")],
        "UPDATE settings SET value = 5 WHERE key = 'inline_limit'",
    ),
    damage(
        "root is a file",
        NO_ROOT,
        [(4, "/")],
        f"UPDATE inodes SET mode = {FILE} WHERE id = 1",
        "UPDATE entries SET kind = 8 WHERE parent = ''",
    ),
    damage(
        "root without an entry",
        NO_ROOT,
        [(4, "/"), (8, "inode 1")],
        "DELETE FROM entries WHERE parent = ''",
    ),
    damage(
        "entry without an inode",
        NO_INODE,
        [(5, "/ghost")],
        "INSERT INTO entries VALUES ('/', 'ghost', 8, 99)",
    ),
    damage(
        "entry of another kind than its inode",
        WRONG_KIND,
        [(5, "/s")],
        "UPDATE entries SET kind = 10 WHERE name = 's'",
    ),
    damage(
        "whiteout with an inode",
        WRONG_KIND,
        [(5, "/s")],
        "UPDATE entries SET kind = 14 WHERE name = 's'",
    ),
    damage(
        "entry of no inode that is no whiteout",
        WRONG_KIND,
        [(5, "/ghost")],
        "INSERT INTO entries VALUES ('/', 'ghost', 8, NULL)",
    ),
    damage(
        "name in a directory that is missing",
        NO_DIRECTORY,
        [(6, "/nowhere/")],
        "INSERT INTO entries VALUES ('/nowhere/', 'f', 8, 4)",
        "UPDATE inodes SET nlink = 2 WHERE id = 4",
    ),
    damage(
        "name in a file",
        NO_DIRECTORY,
        [(6, "/s/")],
        "INSERT INTO entries VALUES ('/s/', 'f', 8, 4)",
        "UPDATE inodes SET nlink = 2 WHERE id = 4",
    ),
    damage(
        "whiteout in a directory that is missing",
        NO_DIRECTORY,
        [(6, "/nowhere/")],
        "INSERT INTO entries VALUES ('/nowhere/', 'f', 14, NULL)",
    ),
    damage(
        "name of 256 bytes",
        TOO_LONG,
        [(7, "/" + "\xe4" * 128)],
        f"UPDATE entries SET name = '{chr(0xE4) * 128}' WHERE name = 's'",
    ),
    damage(
        "name with NUL",
        TOO_LONG,
        [(7, "/a\0b")],
        "UPDATE entries SET name = 'a' || char(0) || 'b' WHERE name = 's'",
    ),
    damage(
        "two slashes in a row",
        NOT_NORMAL,
        [(7, "/d//f")],
        "UPDATE entries SET parent = '/d//' WHERE name = 'f'",
    ),
    damage(
        "dot in the middle",
        NOT_NORMAL,
        [(6, "/d/./"), (7, "/d/./f")],
        "UPDATE entries SET parent = '/d/./' WHERE name = 'f'",
    ),
    damage(
        "dot dot in the middle",
        NOT_NORMAL,
        [(6, "/d/../"), (7, "/d/../f")],
        "UPDATE entries SET parent = '/d/../' WHERE name = 'f'",
    ),
    damage(
        "too many names counted",
        MISCOUNTED,
        [(8, "inode 4")],
        "UPDATE inodes SET nlink = 2 WHERE id = 4",
    ),
    damage(
        "a name not counted",
        MISCOUNTED,
        [(8, "inode 4")],
        "INSERT INTO entries VALUES ('/', 'again', 8, 4)",
    ),
    damage(
        "less than no names",
        MISCOUNTED,
        [(8, "inode 4")],
        "DELETE FROM entries WHERE inode = 4",
        "UPDATE inodes SET nlink = -1 WHERE id = 4",
    ),
    damage(
        "directory with two names",
        DIRECTORY_NAMES,
        [(8, "inode 2")],
        "INSERT INTO entries VALUES ('/', 'again', 4, 2)",
        "UPDATE inodes SET nlink = 2 WHERE id = 2",
    ),
    damage(
        "directory without a name",
        DIRECTORY_NAMES,
        [(6, "/d/"), (8, "inode 2")],
        "DELETE FROM entries WHERE inode = 2",
        "UPDATE inodes SET nlink = 0 WHERE id = 2",
    ),
    damage(
        "a fifo",
        NO_TYPE,
        [(5, "/s"), (9, "inode 4")],
        f"UPDATE inodes SET mode = {FIFO}, content = NULL WHERE id = 4",
    ),
    damage(
        "a mode with more bits",
        NO_TYPE,
        [(5, "/s"), (9, "inode 4")],
        f"UPDATE inodes SET mode = {FILE | 1 << 20}, content = NULL WHERE id = 4",
    ),
    damage(
        "empty target",
        BAD_TARGET,
        [(10, "inode 5")],
        "UPDATE inodes SET target = '', size = 0 WHERE id = 5",
    ),
    damage(
        "target with NUL",
        BAD_TARGET,
        [(10, "inode 5")],
        "UPDATE inodes SET target = 'a' || char(0), size = 2 WHERE id = 5",
    ),
    damage(
        "target of another length",
        BAD_TARGET,
        [(10, "inode 5")],
        "UPDATE inodes SET size = 7 WHERE id = 5",
    ),
    damage(
        "file with a target",
        TARGET_OR_NOT,
        [(10, "inode 4")],
        "UPDATE inodes SET target = 'x' WHERE id = 4",
    ),
    damage(
        "link without a target",
        TARGET_OR_NOT,
        [(10, "inode 5")],
        "UPDATE inodes SET target = NULL WHERE id = 5",
    ),
    damage(
        "content shorter than the size",
        BAD_CONTENT,
        [(11, "inode 4")],
        "UPDATE inodes SET content = x'61' WHERE id = 4",
    ),
    damage(
        "content over the inline limit",
        BAD_CONTENT,
        [(11, "inode 4")],
        "UPDATE inodes SET content = x'6162636465', size = 5 WHERE id = 4",
    ),
    damage(
        "directory with content",
        BAD_CONTENT,
        [(11, "inode 2")],
        "UPDATE inodes SET content = x'' WHERE id = 2",
    ),
    damage(
        "content twice",
        TWO_CONTENTS,
        [(11, "inode 4")],
        "INSERT INTO chunks VALUES (4, 0, x'61')",
    ),
    damage(
        "directory with a size",
        DIRECTORY_SIZE,
        [(11, "inode 2")],
        "UPDATE inodes SET size = 1 WHERE id = 2",
    ),
    damage(
        "chunk too long",
        BAD_CHUNK,
        [(12, "chunk 0 of inode 3")],
        "UPDATE chunks SET data = x'6161616161' WHERE inode = 3 AND idx = 0",
    ),
    damage(
        "chunk empty",
        BAD_CHUNK,
        [(12, "chunk 1 of inode 3")],
        "UPDATE chunks SET data = x'' WHERE inode = 3 AND idx = 1",
    ),
    damage(
        "chunk longer than the rest of its file",
        BAD_CHUNK,
        [(12, "chunk 2 of inode 3")],
        "UPDATE chunks SET data = x'616161' WHERE inode = 3 AND idx = 2",
    ),
    damage(
        "chunk far behind the end",
        BAD_CHUNK,
        [(12, f"chunk {1 << 62} of inode 3")],
        f"UPDATE chunks SET idx = {1 << 62} WHERE inode = 3 AND idx = 2",
    ),
    damage(
        "chunk before the start",
        BAD_CHUNK,
        [(12, "chunk -1 of inode 3")],
        "UPDATE chunks SET idx = -1 WHERE inode = 3 AND idx = 2",
    ),
    damage(
        "chunk without an inode",
        CHUNK_OF_NOTHING,
        [(13, "chunk 0 of inode 99")],
        "INSERT INTO chunks VALUES (99, 0, x'61')",
    ),
    damage(
        "chunk of a symbolic link",
        CHUNK_OF_NOTHING,
        [(13, "chunk 0 of inode 5")],
        "INSERT INTO chunks VALUES (5, 0, x'61')",
    ),
    damage(
        "attribute without an inode",
        NO_INODE,
        [(13, "attribute user.a of inode 99")],
        "INSERT INTO xattrs VALUES (99, 'user.a', x'')",
    ),
    damage(
        "opaque file",
        OPAQUE_FILE,
        [(14, "inode 4")],
        "UPDATE inodes SET opaque = 1 WHERE id = 4",
    ),
    damage(
        "opaque by another number",
        OPAQUE_FILE,
        [(14, "inode 2")],
        "UPDATE inodes SET opaque = 2 WHERE id = 2",
    ),
    damage(
        "generation",
        NO_GENERATION,
        [(14, "inode 4")],
        "UPDATE inodes SET generation = 0 WHERE id = 4",
    ),
    damage(
        "attribute without a name",
        NO_ATTRIBUTE_NAME,
        [(13, "inode 4")],
        "INSERT INTO xattrs VALUES (4, '', x'')",
    ),
    damage(
        "name in bytes",
        NAME_TEXT,
        [(7, "/a\ufffdb")],
        "UPDATE entries SET name = CAST(x'61ff62' AS TEXT) WHERE name = 's'",
    ),
    damage(
        "target in bytes",
        TARGET_TEXT,
        [(10, "inode 5")],
        "UPDATE inodes SET target = CAST(x'ff' AS TEXT), size = 1 WHERE id = 5",
    ),
    damage(
        "attribute in bytes",
        ATTRIBUTE_TEXT,
        [(13, "inode 4")],
        "INSERT INTO xattrs VALUES (4, CAST(x'ff' AS TEXT), x'')",
    ),
    damage(
        "owner in bytes",
        OWNER_TEXT,
        [(14, "inode 4")],
        "UPDATE inodes SET owner = CAST(x'ff' AS TEXT) WHERE id = 4",
    ),
)

# What the schema's CHECKs forbid and SQLite lets through once they are switched off.
UNCHECKED = {
    "name dot": "UPDATE entries SET name = '.' WHERE name = 's'",
    "name dot dot": "UPDATE entries SET name = '..' WHERE name = 's'",
    "name empty": "UPDATE entries SET name = '' WHERE name = 's'",
    "name with a slash": "UPDATE entries SET name = 'd/s' WHERE name = 's'",
    "key without its last slash": "UPDATE entries SET parent = '/d' WHERE name = 'f'",
    "key without its first": "UPDATE entries SET parent = 'd/' WHERE name = 'f'",
    "key empty": "UPDATE entries SET parent = '' WHERE name = 's'",
    "size below zero": "UPDATE inodes SET size = -1, content = NULL WHERE id = 4",
    "generation zero": "UPDATE inodes SET generation = 0 WHERE id = 4",
    "attribute without a name": "UPDATE xattrs SET name = ''",
}


@pytest.fixture
def sample(make_vfs: Callable[..., VirtualFileSystem]) -> VirtualFileSystem:
    """A healthy file system with one of everything, in chunks of four bytes."""
    vfs = make_vfs(":memory:", 4)
    vfs.mkdir("/d")
    vfs.write_bytes("/d/f", b"abcdefghij")
    vfs.write_bytes("/s", b"abc")
    vfs.symlink("s", "/l")
    vfs.setxattr("/s", "user.a", b"value")
    return vfs


def break_it(vfs: VirtualFileSystem, *statements: str) -> None:
    run_unchecked(vfs._store._cx, *statements)


def findings(vfs: VirtualFileSystem) -> list[tuple[int, str]]:
    return sorted((finding.rule, finding.subject) for finding in vfs.check())


def test_check_of_healthy_container_is_empty(sample: VirtualFileSystem) -> None:
    assert sample.check() == []


def test_check_of_whiteout_and_opaque_directory_is_empty(
    sample: VirtualFileSystem,
) -> None:
    break_it(
        sample,
        "INSERT INTO entries VALUES ('/d/', 'gone', 14, NULL)",
        "UPDATE inodes SET opaque = 1 WHERE id = 2",
    )

    assert sample.check() == []


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_check_of_damage_names_rule_and_subject(
    sample: VirtualFileSystem, damage: Damage
) -> None:
    break_it(sample, *damage.statements)

    assert findings(sample) == sorted(damage.found)
    assert damage.message in [finding.message for finding in sample.check()]


def test_check_damages_break_every_rule() -> None:
    broken = {(d.found[-1][0], d.message) for d in DAMAGES}
    broken |= {(d.found[0][0], d.message) for d in DAMAGES}

    rules = (*_rules.RULES, *_rules.TEXT_RULES)
    assert {(rule.number, rule.message) for rule in rules} <= broken


@pytest.mark.parametrize("circumstance", UNCHECKED)
def test_check_finds_what_a_constraint_forbids(
    sample: VirtualFileSystem, circumstance: str
) -> None:
    break_it(sample, UNCHECKED[circumstance])

    assert sample.check() != []


def test_check_of_path_of_4096_bytes_is_found(sample: VirtualFileSystem) -> None:
    deep = "/" + "/".join(["n" * 255] * 15)
    sample.write_bytes(f"{deep}/{'f' * 254}", b"")  # 4095 bytes
    longer = "f" * 255

    break_it(sample, f"UPDATE entries SET name = '{longer}' WHERE name LIKE 'ff%'")

    assert findings(sample) == [(7, f"{deep}/{longer}")]


def test_check_of_name_that_is_no_utf8_is_found(sample: VirtualFileSystem) -> None:
    break_it(
        sample, "UPDATE entries SET name = CAST(x'61ff62' AS TEXT) WHERE name = 's'"
    )

    assert [finding.rule for finding in sample.check()] == [7]


def test_check_of_several_damages_names_all(sample: VirtualFileSystem) -> None:
    break_it(
        sample,
        "UPDATE inodes SET nlink = 2 WHERE id = 4",
        "INSERT INTO chunks VALUES (99, 0, x'61')",
        "INSERT INTO chunks VALUES (99, 1, x'61')",
    )

    assert findings(sample) == [
        (8, "inode 4"),
        (13, "chunk 0 of inode 99"),
        (13, "chunk 1 of inode 99"),
    ]


def test_check_changes_nothing(sample: VirtualFileSystem) -> None:
    break_it(sample, "UPDATE inodes SET nlink = 2 WHERE id = 4")
    before = "\n".join(sample._store._cx.iterdump())

    sample.check()

    assert "\n".join(sample._store._cx.iterdump()) == before


def test_check_inside_batch_sees_the_batch(sample: VirtualFileSystem) -> None:
    with sample.atomic_batch():
        break_it(sample, "UPDATE inodes SET nlink = 2 WHERE id = 4")

        found = findings(sample)

    assert found == [(8, "inode 4")]


def test_check_of_closed_container_raises_value_error(
    sample: VirtualFileSystem,
) -> None:
    sample.close()

    with pytest.raises(ValueError, match="closed"):
        sample.check()


def test_finding_reads_as_a_sentence(sample: VirtualFileSystem) -> None:
    break_it(sample, "UPDATE inodes SET nlink = 2 WHERE id = 4")

    (finding,) = sample.check()

    assert str(finding) == f"MUST 8: inode 4: {MISCOUNTED}"
