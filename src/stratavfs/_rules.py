"""The format's rules in SQL: what breaks each of them, and what mends it.

Nothing here runs anything. The page of the format in ``docs/`` has the rules in words,
by the same numbers.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Rule(NamedTuple):
    """One way to break a rule of the format, and how to find what does."""

    number: int
    """Number of the MUST on the page of the format."""
    message: str
    statement: str
    """Names each offender in a row of its own."""


_SUBJECT: Final = "e.parent || e.name"
_NUMBER: Final = "'inode ' || i.id"
RULES: Final = (
    Rule(
        3,
        "is no setting of this format, or has an impossible value",
        "SELECT 'setting ' || key FROM settings WHERE NOT CASE key "
        "WHEN 'chunk_size' THEN value >= 1 "
        "WHEN 'inline_limit' THEN value BETWEEN 0 AND "
        "(SELECT value FROM settings WHERE key = 'chunk_size') ELSE 0 END",
    ),
    Rule(
        4,
        "the root is not the directory with inode 1",
        "SELECT '/' WHERE NOT EXISTS (SELECT 1 FROM entries e JOIN inodes i "
        "ON i.id = e.inode WHERE e.parent = '' AND e.name = '/' AND i.id = 1 "
        "AND i.mode >> 12 = 4)",
    ),
    Rule(
        5,
        "its inode does not exist",
        f"SELECT {_SUBJECT} FROM entries e WHERE e.inode IS NOT NULL "
        "AND NOT EXISTS (SELECT 1 FROM inodes i WHERE i.id = e.inode)",
    ),
    Rule(
        5,
        "its kind is not that of its inode",
        f"SELECT {_SUBJECT} FROM entries e LEFT JOIN inodes i ON i.id = e.inode "
        "WHERE e.kind <> coalesce(i.mode >> 12, 14) "
        "AND (i.id IS NOT NULL OR e.inode IS NULL)",
    ),
    Rule(
        6,
        "there are names in it, and it is no directory",
        # "/a/b/" is held by the entry ("/a/", "b"): trimming all characters but the
        # slash from the right cuts the key in two.
        "SELECT d.key FROM (SELECT parent AS key, rtrim(parent, '/') AS path, "
        "rtrim(rtrim(parent, '/'), replace(parent, '/', '')) AS above "
        "FROM entries WHERE parent NOT IN ('', '/') GROUP BY parent) d "
        "WHERE NOT EXISTS (SELECT 1 FROM entries p WHERE p.parent = d.above "
        "AND p.name = substr(d.path, length(d.above) + 1) AND p.kind = 4)",
    ),
    Rule(
        7,
        "its name or path is too long, or holds NUL",
        f"SELECT {_SUBJECT} FROM entries e WHERE length(CAST(e.name AS BLOB)) > 255 "
        "OR length(CAST(e.parent || e.name AS BLOB)) > 4095 "
        "OR instr(CAST(e.parent || e.name AS BLOB), x'00') > 0",
    ),
    Rule(
        7,
        "its path is not in normal form",
        f"SELECT {_SUBJECT} FROM entries e WHERE e.parent LIKE '%//%' "
        "OR e.parent LIKE '%/./%' OR e.parent LIKE '%/../%' "
        "OR NOT (e.parent = '' AND e.name = '/') AND (e.name IN ('', '.', '..') "
        "OR instr(e.name, '/') OR e.parent NOT LIKE '/%' OR e.parent NOT LIKE '%/')",
    ),
    Rule(
        8,
        "its count of names is not the number of its entries",
        f"SELECT {_NUMBER} FROM inodes i LEFT JOIN (SELECT inode, count(*) AS names "
        "FROM entries GROUP BY inode) e ON e.inode = i.id "
        "WHERE i.nlink <> coalesce(e.names, 0)",
    ),
    Rule(
        8,
        "a directory has another number of names than one",
        f"SELECT {_NUMBER} FROM inodes i WHERE i.mode >> 12 = 4 AND i.nlink <> 1",
    ),
    Rule(
        9,
        "its mode has other bits than a type and permissions",
        f"SELECT {_NUMBER} FROM inodes i WHERE i.mode >> 12 NOT IN (4, 8, 10)",
    ),
    Rule(
        10,
        "its target is empty, holds NUL, or has another length than its size",
        f"SELECT {_NUMBER} FROM inodes i WHERE i.mode >> 12 = 10 AND "
        "(i.target = '' OR instr(CAST(i.target AS BLOB), x'00') > 0 "
        "OR length(CAST(i.target AS BLOB)) <> i.size)",
    ),
    Rule(
        10,
        "it has a target and is no symbolic link, or the reverse",
        f"SELECT {_NUMBER} FROM inodes i "
        "WHERE (i.target IS NOT NULL) <> (i.mode >> 12 = 10)",
    ),
    Rule(
        11,
        "it has content in its row and is no file, or it is of another length",
        f"SELECT {_NUMBER} FROM inodes i WHERE i.content IS NOT NULL "
        "AND (i.mode >> 12 <> 8 OR length(i.content) <> i.size OR i.size > "
        "(SELECT value FROM settings WHERE key = 'inline_limit'))",
    ),
    Rule(
        11,
        "it has content in its row and in chunks",
        f"SELECT {_NUMBER} FROM inodes i WHERE i.content IS NOT NULL "
        "AND EXISTS (SELECT 1 FROM chunks c WHERE c.inode = i.id)",
    ),
    Rule(
        11,
        "its size is negative, or it is a directory and has one",
        f"SELECT {_NUMBER} FROM inodes i "
        "WHERE i.size < 0 OR i.mode >> 12 = 4 AND i.size <> 0",
    ),
    Rule(
        12,
        "it is empty, longer than a chunk, or reaches behind the end of its file",
        "SELECT 'chunk ' || c.idx || ' of inode ' || c.inode FROM chunks c "
        "JOIN inodes i ON i.id = c.inode, (SELECT value AS chunk_size FROM settings "
        "WHERE key = 'chunk_size') WHERE c.idx < 0 OR length(c.data) = 0 "
        "OR length(c.data) > chunk_size OR c.idx > i.size / chunk_size "
        "OR c.idx * chunk_size + length(c.data) > i.size",
    ),
    Rule(
        13,
        "its inode is no file",
        "SELECT 'chunk ' || c.idx || ' of inode ' || c.inode FROM chunks c WHERE "
        "NOT EXISTS (SELECT 1 FROM inodes i WHERE i.id = c.inode AND i.mode >> 12 = 8)",
    ),
    Rule(
        13,
        "its inode does not exist",
        "SELECT 'attribute ' || x.name || ' of inode ' || x.inode FROM xattrs x "
        "WHERE NOT EXISTS (SELECT 1 FROM inodes i WHERE i.id = x.inode)",
    ),
    Rule(
        13,
        "an attribute of it has no name",
        "SELECT DISTINCT 'inode ' || inode FROM xattrs WHERE name = ''",
    ),
    Rule(
        14,
        "its generation is less than 1",
        f"SELECT {_NUMBER} FROM inodes i WHERE i.generation < 1",
    ),
    Rule(
        14,
        "it is opaque and no directory",
        f"SELECT {_NUMBER} FROM inodes i WHERE i.opaque NOT IN (0, i.mode >> 12 = 4)",
    ),
)
# The same for text, which SQLite stores without looking at it: each row has the subject
# and a text's bytes, and offends where they are no UTF-8.
TEXT_RULES: Final = (
    Rule(
        7,
        "its name is no UTF-8",
        f"SELECT {_SUBJECT}, CAST(e.parent || e.name AS BLOB) FROM entries e",
    ),
    Rule(
        10,
        "its target is no UTF-8",
        f"SELECT {_NUMBER}, CAST(i.target AS BLOB) FROM inodes i "
        "WHERE i.target IS NOT NULL",
    ),
    Rule(
        13,
        "the name of an attribute of it is no UTF-8",
        "SELECT 'inode ' || inode, CAST(name AS BLOB) FROM xattrs",
    ),
    Rule(
        14,
        "the name of its owner or its group is no UTF-8",
        f"SELECT {_NUMBER}, CAST(i.owner || i.group_name AS BLOB) FROM inodes i "
        "WHERE i.owner || i.group_name <> ''",
    ),
)
