"""Damages to inodes and what belongs to them: rules 9 to 14.

Each with its findings and with what ``repair()`` does about it.
"""

from __future__ import annotations

from tests.unit.damages import FIFO, FILE, LAST, damage

CUT = (
    "12: chunks of inode 3: what has no place in its file was moved to "
    "/lost+found/inode-3"
)

# The sample's inodes: 2 the directory /d, 3 the file /d/f in chunks, 4 the file /s
# in its row, 5 the symbolic link /l.
INODES = (
    damage(
        "a fifo",
        [(5, "/s"), (9, "inode 4")],
        ["9: inode 4: made a file"],
        f"UPDATE inodes SET mode = {FIFO}, content = NULL WHERE id = 4",
    ),
    damage(
        "a mode with more bits",
        [(5, "/s"), (9, "inode 4")],
        ["9: inode 4: made a file"],
        f"UPDATE inodes SET mode = {FILE | 1 << 20}, content = NULL WHERE id = 4",
    ),
    damage(
        "empty target",
        [(10, "inode 5")],
        [
            "10: /l: moved to /lost+found/inode-5",
            "10: inode 5: made a file",
            "10: inode 5: its target is its content now",
        ],
        "UPDATE inodes SET target = '', size = 0 WHERE id = 5",
    ),
    damage(
        "target with NUL",
        [(10, "inode 5")],
        [
            "10: /l: moved to /lost+found/inode-5",
            "10: inode 5: made a file",
            "10: inode 5: its target is its content now",
        ],
        "UPDATE inodes SET target = 'a' || char(0), size = 2 WHERE id = 5",
    ),
    damage(
        "target of another length",
        [(10, "inode 5")],
        ["10: inode 5: its size was set to 1"],
        "UPDATE inodes SET size = 7 WHERE id = 5",
    ),
    damage(
        "file with a target",
        [(10, "inode 4")],
        [
            "10: inode 4: its target was taken from it",
            "10: inode 4: what was taken from it is /lost+found/inode-4",
        ],
        "UPDATE inodes SET target = 'x' WHERE id = 4",
    ),
    damage(
        "link without a target",
        [(10, "inode 5")],
        ["10: /l: moved to /lost+found/inode-5", "10: inode 5: made a file"],
        "UPDATE inodes SET target = NULL WHERE id = 5",
    ),
    damage(
        "content shorter than the size",
        [(11, "inode 4")],
        ["11: inode 4: its size was set to 1"],
        "UPDATE inodes SET content = x'61' WHERE id = 4",
    ),
    damage(
        "content over the inline limit",
        [(11, "inode 4")],
        ["11: inode 4: its content was moved into chunks"],
        "UPDATE inodes SET content = x'6162636465', size = 5 WHERE id = 4",
    ),
    damage(
        "directory with content",
        [(11, "inode 2")],
        ["11: inode 2: its content was taken from it"],
        "UPDATE inodes SET content = x'' WHERE id = 2",
    ),
    damage(
        "content twice",
        [(11, "inode 4")],
        ["11: inode 4: its chunks were moved to /lost+found/inode-4"],
        "INSERT INTO chunks VALUES (4, 0, x'61')",
    ),
    damage(
        "directory with a size",
        [(11, "inode 2")],
        ["11: inode 2: its size was set to 0"],
        "UPDATE inodes SET size = 1 WHERE id = 2",
    ),
    damage(
        "chunk too long",
        [(12, "chunk 0 of inode 3")],
        [CUT],
        "UPDATE chunks SET data = x'6161616161' WHERE inode = 3 AND idx = 0",
    ),
    damage(
        "chunk empty",
        [(12, "chunk 1 of inode 3")],
        ["12: chunks of inode 3: empty ones were removed"],
        "UPDATE chunks SET data = x'' WHERE inode = 3 AND idx = 1",
    ),
    damage(
        "chunk longer than the rest of its file",
        [(12, "chunk 2 of inode 3")],
        [CUT],
        "UPDATE chunks SET data = x'616161' WHERE inode = 3 AND idx = 2",
    ),
    damage(
        "chunk far behind the end",
        [(12, f"chunk {1 << 62} of inode 3")],
        [CUT],
        f"UPDATE chunks SET idx = {1 << 62} WHERE inode = 3 AND idx = 2",
    ),
    damage(
        "chunk before the start",
        [(12, "chunk -1 of inode 3")],
        [CUT],
        "UPDATE chunks SET idx = -1 WHERE inode = 3 AND idx = 2",
    ),
    damage(
        "chunk without an inode",
        [(13, "chunk 0 of inode 99")],
        [
            "13: inode 99: made again for its chunks",
            "8: inode 99: named /lost+found/inode-99",
        ],
        "INSERT INTO chunks VALUES (99, 0, x'61')",
    ),
    damage(
        "chunk of a symbolic link",
        [(13, "chunk 0 of inode 5")],
        ["13: inode 5: its chunks were moved to /lost+found/inode-5"],
        "INSERT INTO chunks VALUES (5, 0, x'61')",
    ),
    damage(
        "attribute without an inode",
        [(13, "attribute user.a of inode 99")],
        [
            "13: inode 99: made again for its attributes",
            "8: inode 99: named /lost+found/inode-99",
        ],
        "INSERT INTO xattrs VALUES (99, 'user.a', x'')",
    ),
    damage(
        "opaque file",
        [(14, "inode 4")],
        ["14: inode 4: made not opaque"],
        "UPDATE inodes SET opaque = 1 WHERE id = 4",
    ),
    damage(
        "opaque by another number",
        [(14, "inode 2")],
        ["14: inode 2: made opaque"],
        "UPDATE inodes SET opaque = 2 WHERE id = 2",
    ),
    damage(
        "generation",
        [(14, "inode 4")],
        ["14: inode 4: its generation begins anew"],
        "UPDATE inodes SET generation = 0 WHERE id = 4",
    ),
    damage(
        "attribute without a name",
        [(13, "inode 4")],
        ["13: inode 4: an attribute was named user.lost"],
        "UPDATE xattrs SET name = ''",
    ),
    damage(
        "target in bytes",
        [(10, "inode 5")],
        [
            "10: /l: moved to /lost+found/inode-5",
            "10: inode 5: made a file",
            "10: inode 5: its target is its content now",
        ],
        "UPDATE inodes SET target = CAST(x'ff' AS TEXT), size = 1 WHERE id = 5",
    ),
    damage(
        "attribute in bytes",
        [(13, "inode 4")],
        ["13: inode 4: an attribute was named �"],
        "INSERT INTO xattrs VALUES (4, CAST(x'ff' AS TEXT), x'')",
    ),
    damage(
        "owner in bytes",
        [(14, "inode 4")],
        ["14: inode 4: what is no UTF-8 in its owner or group was replaced"],
        "UPDATE inodes SET owner = CAST(x'ff' AS TEXT) WHERE id = 4",
    ),
    damage(
        "size below zero",
        [(11, "inode 4")],
        ["11: inode 4: its size was set to 0"],
        "UPDATE inodes SET size = -1, content = NULL WHERE id = 4",
    ),
    damage(
        "entry whose inode is gone but for its chunks",
        [
            (5, "/d/f"),
            (13, "chunk 0 of inode 3"),
            (13, "chunk 1 of inode 3"),
            (13, "chunk 2 of inode 3"),
        ],
        ["13: inode 3: made again for its chunks"],
        "DELETE FROM inodes WHERE id = 3",
    ),
    damage(
        "link of no type",
        [(5, "/l"), (9, "inode 5"), (10, "inode 5")],
        ["9: inode 5: made a symbolic link"],
        "UPDATE inodes SET mode = 0 WHERE id = 5",
    ),
    damage(
        "directory of no type",
        [(5, "/d"), (9, "inode 2")],
        ["9: inode 2: made a directory"],
        "UPDATE inodes SET mode = 0 WHERE id = 2",
    ),
    damage(
        "target too long",
        [(10, "inode 5")],
        [
            "10: /l: moved to /lost+found/inode-5",
            "10: inode 5: made a file",
            "10: inode 5: its target is its content now",
            "11: inode 5: its content was moved into chunks",
        ],
        "UPDATE inodes SET size = 4096 WHERE id = 5",
        "UPDATE inodes SET target = printf('%.*c', size, 'x') WHERE id = 5",
    ),
    damage(
        "file that was a link",
        [(5, "/l"), (10, "inode 5")],
        ["10: inode 5: made a symbolic link"],
        f"UPDATE inodes SET mode = {FILE} WHERE id = 5",
    ),
    damage(
        "link with content",
        [(11, "inode 5")],
        [
            "11: inode 5: its content was taken from it",
            "11: inode 5: what was taken from it is /lost+found/inode-5",
        ],
        "UPDATE inodes SET content = x'6162' WHERE id = 5",
    ),
    damage(
        "directory with bytes",
        [(11, "inode 2")],
        [
            "11: inode 2: its content was taken from it",
            "11: inode 2: what was taken from it is /lost+found/inode-2",
        ],
        "UPDATE inodes SET content = x'6162' WHERE id = 2",
    ),
    damage(
        "size too large",
        [(11, "inode 3")],
        ["11: inode 3: its size was set to 10"],
        "UPDATE inodes SET size = (1 << 62) + 1 WHERE id = 3",
    ),
    damage(
        "size negative, in chunks",
        [
            (11, "inode 3"),
            (12, "chunk 0 of inode 3"),
            (12, "chunk 1 of inode 3"),
            (12, "chunk 2 of inode 3"),
        ],
        ["11: inode 3: its size was set to 10"],
        "UPDATE inodes SET size = -5 WHERE id = 3",
    ),
    damage(
        "content too long, and chunks",
        [(11, "inode 4"), (11, "inode 4")],
        [
            "11: inode 4: its content was moved into chunks",
            "11: inode 4: its chunks were moved to /lost+found/inode-4",
        ],
        "UPDATE inodes SET content = x'6162636465', size = 5 WHERE id = 4",
        "INSERT INTO chunks VALUES (4, 0, x'7879')",
    ),
    damage(
        "chunk too long in the middle",
        [(12, "chunk 1 of inode 3")],
        [CUT],
        "UPDATE chunks SET data = x'41424344454647' WHERE inode = 3 AND idx = 1",
    ),
    damage(
        "all chunks too long, with a hole",
        [(12, "chunk 0 of inode 3"), (12, "chunk 2 of inode 3")],
        [CUT],
        "DELETE FROM chunks WHERE inode = 3 AND idx = 1",
        "UPDATE chunks SET data = x'4142434445464748494a' WHERE inode = 3",
    ),
    damage(
        "chunks behind the end",
        [
            (12, "chunk 0 of inode 3"),
            (12, "chunk 1 of inode 3"),
            (12, "chunk 2 of inode 3"),
        ],
        [CUT],
        "UPDATE inodes SET size = 3 WHERE id = 3",
    ),
    damage(
        "file cut to nothing",
        [
            (12, "chunk 0 of inode 3"),
            (12, "chunk 1 of inode 3"),
            (12, "chunk 2 of inode 3"),
        ],
        [CUT],
        "UPDATE inodes SET size = 0 WHERE id = 3",
    ),
    damage(
        "chunks without an inode",
        [(13, "chunk 0 of inode 99"), (13, "chunk 2 of inode 99")],
        [
            "13: inode 99: made again for its chunks",
            "8: inode 99: named /lost+found/inode-99",
        ],
        "INSERT INTO chunks VALUES (99, 0, x'61626364'), (99, 2, x'6566')",
    ),
    damage(
        "chunk without a possible inode",
        [(13, "chunk 0 of inode -5")],
        [
            "13: inode -5: made again for its chunks",
            "8: inode 6: named /lost+found/inode-6",
        ],
        "INSERT INTO chunks VALUES (-5, 0, x'61')",
    ),
    damage(
        "chunk of a directory",
        [(12, "chunk 0 of inode 2"), (13, "chunk 0 of inode 2")],
        ["13: inode 2: its chunks were moved to /lost+found/inode-2"],
        "INSERT INTO chunks VALUES (2, 0, x'61')",
    ),
    damage(
        "attribute with NUL",
        [(13, "inode 4")],
        ["13: inode 4: an attribute was named user.a-2"],
        "INSERT INTO xattrs VALUES (4, 'user.' || char(0) || 'a', x'62')",
    ),
    damage(
        "attribute without a possible inode",
        [(13, "attribute user.a of inode -5")],
        [
            "13: inode -5: made again for its attributes",
            "8: inode 6: named /lost+found/inode-6",
        ],
        "INSERT INTO xattrs VALUES (-5, 'user.a', x'')",
    ),
    damage(
        "generation too large",
        [(14, "inode 4")],
        ["14: inode 4: its generation begins anew"],
        f"UPDATE inodes SET generation = {LAST} WHERE id = 4",
    ),
    damage(
        "opaque link",
        [(14, "inode 5")],
        ["14: inode 5: made not opaque"],
        "UPDATE inodes SET opaque = 1 WHERE id = 5",
    ),
    damage(
        "opaque below zero",
        [(14, "inode 2")],
        ["14: inode 2: made opaque"],
        "UPDATE inodes SET opaque = -1 WHERE id = 2",
    ),
    damage(
        "owner and group in halves of a character",
        [(14, "inode 4")],
        ["14: inode 4: what is no UTF-8 in its owner or group was replaced"],
        "UPDATE inodes SET owner = CAST(x'c3' AS TEXT) WHERE id = 4",
        "UPDATE inodes SET group_name = CAST(x'a9' AS TEXT) WHERE id = 4",
    ),
)
