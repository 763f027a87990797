"""Damages to settings, names and numbers: rules 3 to 8, and 16.

Each with its findings and with what ``repair()`` does about it.
"""

from __future__ import annotations

from tests.unit.damages import FILE, LAST, damage

LONG = "\xe4" * 128
"""A name of 256 bytes."""

ADD_DIRECTORY = (
    "INSERT INTO inodes (id, mode, nlink, uid, gid, owner, group_name, size, atime_ns, "
    "mtime_ns, ctime_ns, birthtime_ns, generation, opaque)"
)
SOME = "16877, 1, 0, 0, '', '', 0, 0, 0, 0, 0, 2, 0"

# The sample's inodes: 2 the directory /d, 3 the file /d/f in chunks, 4 the file /s
# in its row, 5 the symbolic link /l.
NAMES = (
    damage(
        "unknown setting",
        [(3, "setting colour")],
        ["3: setting colour: removed"],
        "INSERT INTO settings VALUES ('colour', 1)",
    ),
    damage(
        "inline limit above the chunk size",
        [(3, "setting inline_limit")],
        ["3: setting inline_limit: set to 4"],
        "UPDATE settings SET value = 5 WHERE key = 'inline_limit'",
    ),
    damage(
        "root is a file",
        [(4, "/")],
        ["4: inode 1: made a directory", "4: /: made again"],
        f"UPDATE inodes SET mode = {FILE} WHERE id = 1",
        "UPDATE entries SET kind = 8 WHERE parent = ''",
    ),
    damage(
        "root without an entry",
        [(4, "/"), (8, "inode 1")],
        ["4: /: made again"],
        "DELETE FROM entries WHERE parent = ''",
    ),
    damage(
        "entry without an inode",
        [(5, "/ghost")],
        ["5: /ghost: removed: nothing is behind it"],
        "INSERT INTO entries VALUES ('/', 'ghost', 8, 99)",
    ),
    damage(
        "entry of another kind than its inode",
        [(5, "/s")],
        ["5: /s: its kind was set to its inode's"],
        "UPDATE entries SET kind = 10 WHERE name = 's'",
    ),
    damage(
        "whiteout with an inode",
        [(5, "/s")],
        ["5: /s: its kind was set to its inode's"],
        "UPDATE entries SET kind = 14 WHERE name = 's'",
    ),
    damage(
        "entry of no inode that is no whiteout",
        [(5, "/ghost")],
        ["5: /ghost: removed: nothing is behind it"],
        "INSERT INTO entries VALUES ('/', 'ghost', 8, NULL)",
    ),
    damage(
        "name in a directory that is missing",
        [(6, "/nowhere/")],
        ["6: /nowhere/: made again"],
        "INSERT INTO entries VALUES ('/nowhere/', 'f', 8, 4)",
        "UPDATE inodes SET nlink = 2 WHERE id = 4",
    ),
    damage(
        "name in a file",
        [(6, "/s/")],
        ["6: /s/: what is in it was moved to /lost+found/s"],
        "INSERT INTO entries VALUES ('/s/', 'f', 8, 4)",
        "UPDATE inodes SET nlink = 2 WHERE id = 4",
    ),
    damage(
        "whiteout in a directory that is missing",
        [(6, "/nowhere/")],
        ["6: /nowhere/: made again"],
        "INSERT INTO entries VALUES ('/nowhere/', 'f', 14, NULL)",
    ),
    damage(
        "name of 256 bytes",
        [(7, f"/{LONG}")],
        [f"7: /{LONG}: moved to /lost+found/inode-4"],
        f"UPDATE entries SET name = '{LONG}' WHERE name = 's'",
    ),
    damage(
        "name with NUL",
        [(7, "/a\x00b")],
        ["7: /a\x00b: moved to /lost+found/inode-4"],
        "UPDATE entries SET name = 'a' || char(0) || 'b' WHERE name = 's'",
    ),
    damage(
        "two slashes in a row",
        [(7, "/d//f")],
        ["7: /d//f: moved to /lost+found/inode-3"],
        "UPDATE entries SET parent = '/d//' WHERE name = 'f'",
    ),
    damage(
        "dot in the middle",
        [(6, "/d/./"), (7, "/d/./f")],
        ["7: /d/./f: moved to /lost+found/inode-3"],
        "UPDATE entries SET parent = '/d/./' WHERE name = 'f'",
    ),
    damage(
        "dot dot in the middle",
        [(6, "/d/../"), (7, "/d/../f")],
        ["7: /d/../f: moved to /lost+found/inode-3"],
        "UPDATE entries SET parent = '/d/../' WHERE name = 'f'",
    ),
    damage(
        "too many names counted",
        [(8, "inode 4")],
        ["8: inode 4: its names were counted: 1"],
        "UPDATE inodes SET nlink = 2 WHERE id = 4",
    ),
    damage(
        "a name not counted",
        [(8, "inode 4")],
        ["8: inode 4: its names were counted: 2"],
        "INSERT INTO entries VALUES ('/', 'again', 8, 4)",
    ),
    damage(
        "less than no names",
        [(8, "inode 4")],
        [
            "8: inode 4: its names are counted anew",
            "8: inode 4: named /lost+found/inode-4",
        ],
        "DELETE FROM entries WHERE inode = 4",
        "UPDATE inodes SET nlink = -1 WHERE id = 4",
    ),
    damage(
        "directory with two names",
        [(8, "inode 2")],
        ["8: /d: given an inode of its own"],
        "INSERT INTO entries VALUES ('/', 'again', 4, 2)",
        "UPDATE inodes SET nlink = 2 WHERE id = 2",
    ),
    damage(
        "directory without a name",
        [(6, "/d/"), (8, "inode 2")],
        ["6: /d/: made again", "8: inode 2: named /lost+found/inode-2"],
        "DELETE FROM entries WHERE inode = 2",
        "UPDATE inodes SET nlink = 0 WHERE id = 2",
    ),
    damage(
        "name in bytes",
        [(7, "/a�b")],
        ["7: /a�b: moved to /lost+found/inode-4"],
        "UPDATE entries SET name = CAST(x'61ff62' AS TEXT) WHERE name = 's'",
    ),
    damage(
        "name dot",
        [(7, "/.")],
        ["7: /.: moved to /lost+found/inode-4"],
        "UPDATE entries SET name = '.' WHERE name = 's'",
    ),
    damage(
        "name dot dot",
        [(7, "/..")],
        ["7: /..: moved to /lost+found/inode-4"],
        "UPDATE entries SET name = '..' WHERE name = 's'",
    ),
    damage(
        "name empty",
        [(7, "/")],
        ["7: /: moved to /lost+found/inode-4"],
        "UPDATE entries SET name = '' WHERE name = 's'",
    ),
    damage(
        "name with a slash",
        [(7, "/d/s")],
        ["7: /d/s: moved to /lost+found/inode-4"],
        "UPDATE entries SET name = 'd/s' WHERE name = 's'",
    ),
    damage(
        "key without its last slash",
        [(7, "/df")],
        ["7: /df: moved to /lost+found/inode-3"],
        "UPDATE entries SET parent = '/d' WHERE name = 'f'",
    ),
    damage(
        "key without its first",
        [(6, "d/"), (7, "d/f")],
        ["7: d/f: moved to /lost+found/inode-3"],
        "UPDATE entries SET parent = 'd/' WHERE name = 'f'",
    ),
    damage(
        "key empty",
        [(7, "s")],
        ["7: s: moved to /lost+found/inode-4"],
        "UPDATE entries SET parent = '' WHERE name = 's'",
    ),
    damage(
        "setting missing",
        [(3, "setting chunk_size")],
        ["3: setting chunk_size: set to 4"],
        "DELETE FROM settings WHERE key = 'chunk_size'",
    ),
    damage(
        "other setting missing",
        [(3, "setting inline_limit")],
        ["3: setting inline_limit: set to 4"],
        "DELETE FROM settings WHERE key = 'inline_limit'",
    ),
    damage(
        "chunk size zero",
        [
            (3, "setting chunk_size"),
            (3, "setting inline_limit"),
            (12, "chunk 0 of inode 3"),
            (12, "chunk 1 of inode 3"),
            (12, "chunk 2 of inode 3"),
        ],
        ["3: setting chunk_size: set to 4", "3: setting inline_limit: set to 4"],
        "UPDATE settings SET value = 0 WHERE key = 'chunk_size'",
    ),
    damage(
        "chunk size too large",
        [
            (3, "setting chunk_size"),
            (12, "chunk 1 of inode 3"),
            (12, "chunk 2 of inode 3"),
        ],
        ["3: setting chunk_size: set to 4"],
        "UPDATE settings SET value = (1 << 28) + 1 WHERE key = 'chunk_size'",
    ),
    damage(
        "inline limit negative",
        [(3, "setting inline_limit"), (11, "inode 4")],
        ["3: setting inline_limit: set to 4"],
        "UPDATE settings SET value = -1 WHERE key = 'inline_limit'",
    ),
    damage(
        "root leads to a file",
        [(4, "/"), (5, "/"), (8, "inode 1")],
        ["4: /: made again"],
        "UPDATE entries SET inode = 4 WHERE parent = ''",
        "UPDATE inodes SET nlink = 2 WHERE id = 4",
    ),
    damage(
        "root without an inode",
        [(4, "/"), (5, "/")],
        ["4: /: made again"],
        "DELETE FROM inodes WHERE id = 1",
    ),
    damage(
        "root a file with bytes",
        [(4, "/")],
        [
            "4: inode 1: made a directory",
            "11: inode 1: its content was taken from it",
            "11: inode 1: its size was set to 0",
            "11: inode 1: what was taken from it is /lost+found/inode-1",
            "4: /: made again",
        ],
        f"UPDATE inodes SET mode = {FILE}, content = x'6162', size = 2 WHERE id = 1",
        "UPDATE entries SET kind = 8 WHERE parent = ''",
    ),
    damage(
        "name beside the root",
        [(6, "/d/"), (7, "d")],
        ["7: d: moved to /lost+found/inode-2", "6: /d/: made again"],
        "UPDATE entries SET parent = '' WHERE name = 'd'",
    ),
    damage(
        "root has another name",
        [(8, "inode 1")],
        ["8: /again: given an inode of its own"],
        "INSERT INTO entries VALUES ('/', 'again', 4, 1)",
        "UPDATE inodes SET nlink = 2 WHERE id = 1",
    ),
    damage(
        "whiteout of an inode that is gone",
        [(5, "/ghost")],
        ["5: /ghost: made a whiteout"],
        "INSERT INTO entries VALUES ('/', 'ghost', 14, 99)",
    ),
    damage(
        "directory whose inode is gone",
        [(5, "/d")],
        ["5: /d: removed: nothing is behind it", "6: /d/: made again"],
        "DELETE FROM inodes WHERE id = 2",
    ),
    damage(
        "name in a link",
        [(6, "/l/")],
        ["6: /l/: what is in it was moved to /lost+found/l"],
        "INSERT INTO entries VALUES ('/l/', 'f', 8, 4)",
        "UPDATE inodes SET nlink = 2 WHERE id = 4",
    ),
    damage(
        "whiteout in a file",
        [(6, "/s/")],
        ["6: /s/: what is in it was removed: only whiteouts"],
        "INSERT INTO entries VALUES ('/s/', 'f', 14, NULL)",
    ),
    damage(
        "name in a whiteout",
        [(6, "/w/")],
        ["6: /w/: made again"],
        "INSERT INTO entries VALUES ('/', 'w', 14, NULL)",
        "UPDATE entries SET parent = '/w/' WHERE name = 'f'",
    ),
    damage(
        "name in two directories that are missing",
        [(6, "/d/x/y/")],
        ["6: /d/x/: made again", "6: /d/x/y/: made again"],
        "UPDATE entries SET parent = '/d/x/y/' WHERE name = 'f'",
    ),
    damage(
        "NUL in the key",
        [(6, "/d\x00/"), (7, "/d\x00/f"), (7, "/d\x00/f")],
        ["7: /d\x00/f: moved to /lost+found/inode-3"],
        "UPDATE entries SET parent = '/d' || char(0) || '/' WHERE name = 'f'",
    ),
    damage(
        "directory by the name of dot dot",
        [(7, "/.."), (7, "/../f")],
        ["7: /..: moved to /lost+found/inode-2"],
        "UPDATE entries SET name = '..' WHERE name = 'd'",
        "UPDATE entries SET parent = '/../' WHERE name = 'f'",
    ),
    damage(
        "directory in bytes",
        [(7, "/�"), (7, "/�/f")],
        ["7: /�: moved to /lost+found/inode-2"],
        "UPDATE entries SET name = CAST(x'ff' AS TEXT) WHERE name = 'd'",
        "UPDATE entries SET parent = CAST(x'2fff2f' AS TEXT) WHERE name = 'f'",
    ),
    damage(
        "impossible whiteout",
        [(7, "/..")],
        ["7: /..: removed: there is nothing to hide"],
        "INSERT INTO entries VALUES ('/', '..', 14, NULL)",
    ),
    damage(
        "two names of the same words",
        [(7, "/d/e")],
        ["7: /d/e: moved to /lost+found/inode-2"],
        f"{ADD_DIRECTORY} VALUES (6, {SOME})",
        "INSERT INTO entries VALUES ('/d/', 'e', 4, 6)",
        "UPDATE entries SET parent = '/d/e/' WHERE name = 'f'",
        f"{ADD_DIRECTORY} VALUES (7, {SOME})",
        "UPDATE entries SET inode = 7 WHERE name = 'd'",
        "INSERT INTO entries VALUES ('/', 'd/e', 4, 2)",
    ),
    damage(
        "file without a name",
        [(8, "inode 4")],
        ["8: inode 4: named /lost+found/inode-4"],
        "DELETE FROM entries WHERE name = 's'",
    ),
    damage(
        "named orphan",
        [(8, "inode 4")],
        ["8: inode 4: its names were counted: 1"],
        "UPDATE inodes SET nlink = 0 WHERE id = 4",
    ),
    damage(
        "directory counted twice",
        [(8, "inode 2"), (8, "inode 2")],
        ["8: inode 2: its names were counted: 1"],
        "UPDATE inodes SET nlink = 2 WHERE id = 2",
    ),
    damage(
        "number zero",
        [(16, "inode 0")],
        ["16: inode 0: numbered 6"],
        "UPDATE inodes SET id = 0 WHERE id = 4",
        "UPDATE entries SET inode = 0 WHERE inode = 4",
        "UPDATE xattrs SET inode = 0",
    ),
    damage(
        "number too large",
        [(16, f"inode {LAST}"), (16, "sqlite_sequence")],
        [
            "16: sqlite_sequence: set anew",
            f"16: inode {LAST}: numbered 7",
        ],
        f"UPDATE inodes SET id = {LAST} WHERE id = 3",
        f"UPDATE entries SET inode = {LAST} WHERE inode = 3",
        f"UPDATE chunks SET inode = {LAST}",
    ),
    damage(
        "sequence missing",
        [(16, "sqlite_sequence")],
        ["16: sqlite_sequence: set anew"],
        "DELETE FROM sqlite_sequence",
    ),
    damage(
        "sequence twice",
        [(16, "sqlite_sequence")],
        ["16: sqlite_sequence: set anew"],
        "INSERT INTO sqlite_sequence VALUES ('inodes', 7)",
    ),
    damage(
        "sequence behind",
        [(16, "sqlite_sequence")],
        ["16: sqlite_sequence: set anew"],
        "UPDATE sqlite_sequence SET seq = 2",
    ),
    damage(
        "sequence at its end",
        [(16, "sqlite_sequence")],
        ["16: sqlite_sequence: set anew"],
        f"UPDATE sqlite_sequence SET seq = {LAST}",
    ),
    damage(
        "sequence of text",
        [(16, "sqlite_sequence")],
        ["16: sqlite_sequence: set anew"],
        "UPDATE sqlite_sequence SET seq = 'many'",
    ),
)
