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


CHUNK_LIMIT: Final = 1 << 28
"""Bytes in the largest chunk: ``records.CHUNK_LIMIT``, of which words know nothing."""

NUMBER_LIMIT: Final = 1 << 62
"""The largest size, generation and inode number: with room for every sum."""

USUAL_NUMBER: Final = NUMBER_LIMIT >> 1
"""The largest inode number that others follow in a repair: there is room behind it."""

_SUBJECT: Final = "e.parent || e.name"
_NUMBER: Final = "'inode ' || i.id"
_CHUNK_SIZE: Final = "(SELECT value FROM settings WHERE key = 'chunk_size')"
_INLINE_LIMIT: Final = "(SELECT value FROM settings WHERE key = 'inline_limit')"

# --- conditions -----------------------------------------------------------------------


def _typed(alias: str, **columns: str) -> str:
    """Return the condition that values are of their columns' types.

    SQLite looks at types when it writes, and ``typeof`` at what is really there.

    >>> _typed("c", idx="integer", data="blob null")
    "typeof(c.idx) IN ('integer') AND typeof(c.data) IN ('blob', 'null')"
    """
    return " AND ".join(
        f"typeof({alias}.{column}) IN ({', '.join(map(repr, types.split()))})"
        for column, types in columns.items()
    )


_INTEGERS: Final = (
    "mode nlink uid gid size atime_ns mtime_ns ctime_ns birthtime_ns generation opaque"
)
_TYPED_INODE: Final = _typed(
    "i",
    **dict.fromkeys(_INTEGERS.split(), "integer"),
    **dict.fromkeys(("owner", "group_name"), "text"),
    target="text null",
    content="blob null",
)
_TYPED_SETTING: Final = _typed("s", key="text", value="integer")
_TYPED_ENTRY: Final = _typed(
    "e", parent="text", name="text", kind="integer", inode="integer null"
)
_TYPED_CHUNK: Final = _typed("c", inode="integer", idx="integer", data="blob")
_TYPED_XATTR: Final = _typed("x", inode="integer", name="text", value="blob")

_LEGAL_SETTING: Final = (
    f"CASE s.key WHEN 'chunk_size' THEN s.value BETWEEN 1 AND {CHUNK_LIMIT} "
    f"WHEN 'inline_limit' THEN s.value BETWEEN 0 AND {_CHUNK_SIZE} ELSE 0 END"
)
_NO_SETTING: Final = (
    "FROM (VALUES ('chunk_size'), ('inline_limit')) s "
    "WHERE NOT EXISTS (SELECT 1 FROM settings WHERE key = s.column1)"
)
_NO_INODE: Final = "NOT EXISTS (SELECT 1 FROM inodes i WHERE i.id = {}.inode)"
_NO_TYPE: Final = "i.mode >> 12 NOT IN (4, 8, 10)"
_BAD_TARGET: Final = (
    "(i.target = '' OR instr(CAST(i.target AS BLOB), x'00') > 0 "
    "OR length(CAST(i.target AS BLOB)) > 4095)"
)
_TARGET_OR_NOT: Final = "(i.target IS NOT NULL) <> (i.mode >> 12 = 10)"
_LENGTH_OF_TARGET: Final = "length(CAST(i.target AS BLOB)) <> i.size"
_BAD_CONTENT: Final = (
    "i.content IS NOT NULL AND (i.mode >> 12 <> 8 OR length(i.content) <> i.size "
    f"OR i.size > {_INLINE_LIMIT})"
)
_BAD_SIZE: Final = (
    f"i.size NOT BETWEEN 0 AND {NUMBER_LIMIT} OR i.mode >> 12 = 4 AND i.size <> 0"
)
_BAD_GENERATION: Final = f"i.generation NOT BETWEEN 1 AND {NUMBER_LIMIT}"
_BAD_OPAQUE: Final = "i.opaque NOT IN (0, i.mode >> 12 = 4)"
_BAD_NUMBER: Final = f"i.id NOT BETWEEN 1 AND {NUMBER_LIMIT}"
_BAD_CHUNK: Final = (
    "c.idx < 0 OR length(c.data) = 0 "
    f"OR length(c.data) > {_CHUNK_SIZE} OR c.idx > i.size / {_CHUNK_SIZE} "
    f"OR c.idx * {_CHUNK_SIZE} + length(c.data) > i.size"
)
_BAD_ATTRIBUTE: Final = "(x.name = '' OR instr(CAST(x.name AS BLOB), x'00') > 0)"
# "/a/b/" is held by the entry ("/a/", "b"): trimming all characters but the slash from
# the right cuts the key in two. Longer ones are another rule's, and would take long.
_HOMELESS: Final = (
    "FROM (SELECT parent AS key, rtrim(parent, '/') AS path, "
    "rtrim(rtrim(parent, '/'), replace(parent, '/', '')) AS above FROM entries "
    "WHERE parent NOT IN ('', '/') AND length(CAST(parent AS BLOB)) <= 4096 {} "
    "GROUP BY parent) d "
    "WHERE NOT EXISTS (SELECT 1 FROM entries p WHERE p.parent = d.above "
    "AND p.name = substr(d.path, length(d.above) + 1) AND p.kind = 4)"
)
# Of a range of inodes at a time, since SQLite keeps what it counts in memory.
_COUNTED: Final = (
    "FROM inodes i LEFT JOIN (SELECT inode, count(*) AS names FROM entries "
    "WHERE inode BETWEEN ? AND ? GROUP BY inode) e ON e.inode = i.id "
    "WHERE i.id BETWEEN ? AND ?"
)
_SEQUENCE: Final = "FROM sqlite_sequence WHERE name = 'inodes'"
_MOST: Final = "coalesce((SELECT max(id) FROM inodes), 0)"

# --- the rules ------------------------------------------------------------------------

_OTHER_TYPE: Final = "a value in its row of {} has another type than its column"

RULES: Final = (
    Rule(
        2,
        _OTHER_TYPE.format("settings"),
        f"SELECT 'setting ' || s.key FROM settings s WHERE NOT ({_TYPED_SETTING})",
    ),
    Rule(
        2,
        _OTHER_TYPE.format("inodes"),
        f"SELECT {_NUMBER} FROM inodes i WHERE NOT ({_TYPED_INODE})",
    ),
    Rule(
        2,
        _OTHER_TYPE.format("entries"),
        f"SELECT {_SUBJECT} FROM entries e WHERE NOT ({_TYPED_ENTRY})",
    ),
    Rule(
        2,
        _OTHER_TYPE.format("chunks"),
        "SELECT 'chunk ' || c.idx || ' of inode ' || c.inode FROM chunks c "
        f"WHERE NOT ({_TYPED_CHUNK})",
    ),
    Rule(
        2,
        _OTHER_TYPE.format("xattrs"),
        "SELECT 'attribute ' || x.name || ' of inode ' || x.inode FROM xattrs x "
        f"WHERE NOT ({_TYPED_XATTR})",
    ),
    Rule(
        3,
        "is no setting of this format, or has an impossible value",
        f"SELECT 'setting ' || s.key FROM settings s WHERE NOT {_LEGAL_SETTING}",
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
        f"AND {_NO_INODE.format('e')}",
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
        f"SELECT d.key {_HOMELESS.format('')}",
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
        "a directory has another number of names than one",
        f"SELECT {_NUMBER} FROM inodes i WHERE i.mode >> 12 = 4 AND i.nlink <> 1",
    ),
    Rule(
        9,
        "its mode has other bits than a type and permissions",
        f"SELECT {_NUMBER} FROM inodes i WHERE {_NO_TYPE}",
    ),
    Rule(
        10,
        "its target is empty or too long, holds NUL, or its size is another",
        f"SELECT {_NUMBER} FROM inodes i WHERE i.mode >> 12 = 10 "
        f"AND ({_BAD_TARGET} OR {_LENGTH_OF_TARGET})",
    ),
    Rule(
        10,
        "it has a target and is no symbolic link, or the reverse",
        f"SELECT {_NUMBER} FROM inodes i WHERE {_TARGET_OR_NOT}",
    ),
    Rule(
        11,
        "it has content in its row and is no file, or it is of another length",
        f"SELECT {_NUMBER} FROM inodes i WHERE {_BAD_CONTENT}",
    ),
    Rule(
        11,
        "it has content in its row and in chunks",
        f"SELECT {_NUMBER} FROM inodes i WHERE i.content IS NOT NULL "
        "AND EXISTS (SELECT 1 FROM chunks c WHERE c.inode = i.id)",
    ),
    Rule(
        11,
        "its size is negative or too large, or it is a directory and has one",
        f"SELECT {_NUMBER} FROM inodes i WHERE {_BAD_SIZE}",
    ),
    Rule(
        12,
        "it is empty, longer than a chunk, or reaches behind the end of its file",
        "SELECT 'chunk ' || c.idx || ' of inode ' || c.inode FROM chunks c "
        f"JOIN inodes i ON i.id = c.inode WHERE {_BAD_CHUNK}",
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
        f"WHERE {_NO_INODE.format('x')}",
    ),
    Rule(
        13,
        "an attribute of it has no name, or one with NUL",
        f"SELECT DISTINCT 'inode ' || x.inode FROM xattrs x WHERE {_BAD_ATTRIBUTE}",
    ),
    Rule(
        14,
        "its generation is less than 1 or too large",
        f"SELECT {_NUMBER} FROM inodes i WHERE {_BAD_GENERATION}",
    ),
    Rule(
        14,
        "it is opaque and no directory",
        f"SELECT {_NUMBER} FROM inodes i WHERE {_BAD_OPAQUE}",
    ),
    Rule(
        16,
        "its number is less than 1 or too large",
        f"SELECT {_NUMBER} FROM inodes i WHERE {_BAD_NUMBER}",
    ),
    Rule(
        16,
        "it is not what the next inode's number follows from",
        f"SELECT 'sqlite_sequence' WHERE (SELECT count(*) {_SEQUENCE}) <> 1 "
        f"OR NOT EXISTS (SELECT 1 {_SEQUENCE} AND typeof(seq) = 'integer' "
        f"AND seq BETWEEN {_MOST} AND {NUMBER_LIMIT})",
    ),
)
# The same for what is not there, in a container that has been made to the end.
ABSENCE_RULES: Final = (
    Rule(
        3,
        "the setting is missing",
        f"SELECT 'setting ' || s.column1 {_NO_SETTING}",
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
        f"SELECT {_NUMBER}, CAST(i.owner || '/' || i.group_name AS BLOB) "
        "FROM inodes i WHERE i.owner || i.group_name <> ''",
    ),
)
# The same for a range of inodes, its first and its last number given twice.
RANGE_RULES: Final = (
    Rule(
        8,
        "its count of names is not the number of its entries",
        f"SELECT {_NUMBER} {_COUNTED} AND i.nlink <> coalesce(e.names, 0)",
    ),
)

# --- looking at all of it -------------------------------------------------------------

# The first number of the range that begins so many inodes after another.
NEXT_RANGE: Final = "SELECT id FROM inodes WHERE id >= ? ORDER BY id LIMIT 1 OFFSET ?"
ALL_NUMBERS: Final = "SELECT min(id), max(id) FROM inodes"

# Each b-tree of the container, up to so many rows: there are more where pages of a
# stranger's file lead back to themselves.
COUNT_ROWS: Final = tuple(
    f"SELECT count(*) FROM (SELECT 1 FROM {tree} LIMIT ?)"
    for tree in (
        "settings",
        "sqlite_sequence",
        "inodes NOT INDEXED",
        "inodes INDEXED BY orphans WHERE nlink = 0",
        "entries",
        "chunks NOT INDEXED",
        "chunks INDEXED BY sqlite_autoindex_chunks_1",
        "xattrs",
    )
)

# What SQLite says itself: its first finding, and all. The first one tells of pages that
# lead back to themselves; reading on through them might take for ever.
FIRST_UNSOUND: Final = "PRAGMA integrity_check(1)"
ALL_UNSOUND: Final = "PRAGMA integrity_check"
REBUILD_INDEXES: Final = "REINDEX"

# --- repair: texts in bytes, since they may be no UTF-8 -------------------------------

_AT: Final = "parent = CAST(? AS TEXT) AND name = CAST(? AS TEXT)"
_BELOW: Final = "parent >= CAST(? AS TEXT) AND parent < CAST(? AS TEXT)"
_REFERRED: Final = " ".join(
    f", coalesce((SELECT max(inode) FROM {table} WHERE typeof(inode) = 'integer' "
    f"AND inode <= {USUAL_NUMBER}), 1)"
    for table in ("entries", "chunks", "xattrs")
)
_COLUMNS: Final = (
    "mode, nlink, uid, gid, owner, group_name, size, atime_ns, mtime_ns, ctime_ns, "
    "birthtime_ns, generation, opaque, target, content"
)

# A number that nothing has, and that nothing refers to which is gone.
NEXT_NUMBER: Final = (
    f"SELECT 1 + max(coalesce((SELECT max(id) FROM inodes WHERE id <= {USUAL_NUMBER}), "
    f"1), coalesce((SELECT max(seq) {_SEQUENCE} AND typeof(seq) = 'integer' "
    f"AND seq <= {USUAL_NUMBER}), 1) {_REFERRED})"
)
ADD_INODE: Final = (
    f"INSERT INTO inodes (id, {_COLUMNS}) "
    "VALUES (?, ?, 1, 0, 0, '', '', ?, ?, ?, ?, ?, 2, ?, NULL, ?)"
)
ADD_ENTRY: Final = "INSERT INTO entries (parent, name, kind, inode) VALUES (?, ?, ?, ?)"
# What an entry says it is, and what its inode is.
LOOK_TWICE: Final = (
    "SELECT e.kind, e.inode, i.mode >> 12 FROM entries e LEFT JOIN inodes i "
    "ON i.id = e.inode WHERE e.parent = CAST(? AS TEXT) AND e.name = CAST(? AS TEXT)"
)
ANY_BELOW: Final = f"SELECT 1 FROM entries WHERE {_BELOW} LIMIT 1"
REMOVE_ENTRY: Final = f"DELETE FROM entries WHERE {_AT}"
REMOVE_WHITEOUTS_BELOW: Final = f"DELETE FROM entries WHERE {_BELOW} AND kind = 14"
# What breaks a CHECK stays where it is, to be looked at one by one, and so does what is
# below it.
_REST: Final = "CAST('/' || substr(CAST(parent AS BLOB), ?) AS TEXT)"
MOVE_BELOW: Final = (
    "UPDATE OR IGNORE entries SET parent = CAST(? || substr(CAST(parent AS BLOB), ?) "
    f"AS TEXT) WHERE {_BELOW} AND {_REST} NOT LIKE '%/./%' "
    f"AND {_REST} NOT LIKE '%/../%' AND {_REST} NOT LIKE '%//%'"
)

# --- repair: settings, numbers --------------------------------------------------------

_BAD_SETTING: Final = f"NOT ({_TYPED_SETTING}) OR NOT {_LEGAL_SETTING}"
LIST_BAD_SETTINGS: Final = (
    f"SELECT CAST(s.key AS BLOB) FROM settings s WHERE {_BAD_SETTING} "
    f"UNION ALL SELECT s.column1 {_NO_SETTING}"
)
REMOVE_SETTINGS: Final = f"DELETE FROM settings AS s WHERE {_BAD_SETTING}"
PUT_SETTING: Final = "INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)"

LIST_BAD_NUMBERS: Final = (
    f"SELECT i.id FROM inodes i WHERE i.id NOT BETWEEN 1 AND {USUAL_NUMBER}"
)
RENUMBER: Final = tuple(
    f"UPDATE {table} SET {column} = ? WHERE {column} = ?"
    for table, column in (
        ("inodes", "id"),
        ("entries", "inode"),
        ("chunks", "inode"),
        ("xattrs", "inode"),
    )
)
RENUMBER_CHUNKS, RENUMBER_XATTRS = RENUMBER[2:]
LIST_BAD_SEQUENCE: Final = RULES[-1].statement
REMOVE_SEQUENCE: Final = f"DELETE {_SEQUENCE}"
PUT_SEQUENCE: Final = (
    "INSERT INTO sqlite_sequence (name, seq) SELECT 'inodes', max(?, coalesce((SELECT "
    f"max(id) FROM inodes WHERE id <= {NUMBER_LIMIT}), 0))"
)

# --- repair: the rows of inodes -------------------------------------------------------


def _integer(column: str) -> str:
    """Return the value of *column* if it is a number."""
    return f"iif(typeof({column}) = 'integer', {column}, NULL)"


_BROKEN_INODE: Final = " OR ".join(
    f"({condition})"
    for condition in (
        f"NOT ({_TYPED_INODE})",
        "i.id = 1 AND i.mode >> 12 <> 4",
        _NO_TYPE,
        "i.nlink < 0",
        f"i.mode >> 12 = 10 AND ({_BAD_TARGET} OR {_LENGTH_OF_TARGET})",
        _TARGET_OR_NOT,
        _BAD_CONTENT,
        _BAD_SIZE,
        _BAD_GENERATION,
        _BAD_OPAQUE,
    )
)
LIST_BROKEN_INODES: Final = f"SELECT i.id FROM inodes i WHERE {_BROKEN_INODE}"
LIST_TEXTS: Final = (
    "SELECT i.id, CAST(i.target AS BLOB), CAST(i.owner AS BLOB), "
    "CAST(i.group_name AS BLOB) FROM inodes i "
    "WHERE i.target IS NOT NULL OR i.owner || i.group_name <> ''"
)
# By the names, whatever SQLite would rather begin with: it has no index by inode.
LIST_LINKS: Final = (
    "SELECT CAST(e.parent AS BLOB), CAST(e.name AS BLOB), i.id, "
    "CAST(i.target AS BLOB) FROM entries e CROSS JOIN inodes i ON i.id = e.inode "
    "WHERE i.mode >> 12 = 10 AND e.parent <> '' AND typeof(e.parent) = 'text' "
    "AND typeof(e.name) = 'text'"
)
# Where the entry may tell what its inode was.
LIST_DOUBTFUL: Final = (
    "SELECT e.inode, e.kind FROM entries e CROSS JOIN inodes i ON i.id = e.inode "
    f"WHERE e.kind IN (4, 8, 10) AND (typeof(i.mode) <> 'integer' OR {_NO_TYPE} "
    f"OR {_TARGET_OR_NOT})"
)
READ_ROW: Final = (
    "SELECT "
    + ", ".join(
        f"CAST({column} AS BLOB)"
        if column in ("owner", "group_name", "target", "content")
        else _integer(column)
        for column in _COLUMNS.split(", ")
    )
    + f", {_TYPED_INODE} FROM inodes i WHERE id = ?"
)
PUT_ROW: Final = (
    "UPDATE inodes SET "
    + ", ".join(f"{column} = ?" for column in _COLUMNS.split(", "))
    + " WHERE id = ?"
)
SET_SIZE: Final = "UPDATE inodes SET size = ? WHERE id = ?"

# --- repair: entries ------------------------------------------------------------------

_UNTYPED: Final = f"NOT ({_TYPED_ENTRY})"
TYPE_ENTRIES: Final = (
    "UPDATE OR IGNORE entries AS e SET parent = CAST(e.parent AS TEXT), "
    "name = CAST(e.name AS TEXT), kind = iif(typeof(e.kind) = 'integer', e.kind, "
    "coalesce((SELECT i.mode >> 12 FROM inodes i WHERE i.id = e.inode), 14)) "
    f"WHERE {_UNTYPED} AND typeof(e.inode) IN ('integer', 'null')"
)
LIST_UNTYPED_ENTRIES: Final = f"SELECT {_SUBJECT} FROM entries e WHERE {_UNTYPED}"
REMOVE_UNTYPED_ENTRIES: Final = f"DELETE FROM entries AS e WHERE {_UNTYPED}"

REMOVE_WRONG_ROOT: Final = (
    "DELETE FROM entries WHERE parent = '' AND name = '/' "
    "AND (inode IS NOT 1 OR kind IS NOT 4)"
)

_NOTHING_BEHIND: Final = (
    f"e.inode IS NOT NULL AND {_NO_INODE.format('e')} "
    "AND NOT EXISTS (SELECT 1 FROM chunks c WHERE c.inode = e.inode)"
)
_DANGLING: Final = f"{_NOTHING_BEHIND} AND e.kind <> 14"
LIST_DANGLING: Final = f"SELECT {_SUBJECT} FROM entries e WHERE {_DANGLING}"
REMOVE_DANGLING: Final = f"DELETE FROM entries AS e WHERE {_DANGLING}"
_HALF_WHITEOUT: Final = f"{_NOTHING_BEHIND} AND e.kind = 14"
LIST_HALF_WHITEOUTS: Final = f"SELECT {_SUBJECT} FROM entries e WHERE {_HALF_WHITEOUT}"
MAKE_WHITEOUTS: Final = (
    f"UPDATE OR IGNORE entries AS e SET inode = NULL WHERE {_HALF_WHITEOUT}"
)

LIST_KEYS: Final = (
    "SELECT CAST(e.parent AS BLOB), CAST(e.name AS BLOB), e.inode, i.mode >> 12 "
    "FROM entries e LEFT JOIN inodes i ON i.id = e.inode ORDER BY e.parent, e.name"
)
_EMPTY_ENTRY: Final = "e.inode IS NULL AND e.kind <> 14"
LIST_EMPTY_ENTRIES: Final = f"SELECT {_SUBJECT} FROM entries e WHERE {_EMPTY_ENTRY}"
REMOVE_EMPTY_ENTRIES: Final = f"DELETE FROM entries AS e WHERE {_EMPTY_ENTRY}"
_KIND: Final = "(SELECT i.mode >> 12 FROM inodes i WHERE i.id = e.inode)"
LIST_WRONG_KINDS: Final = (
    f"SELECT {_SUBJECT} FROM entries e WHERE e.parent <> '' AND e.kind <> {_KIND}"
)
SET_KINDS: Final = (
    f"UPDATE entries AS e SET kind = {_KIND} WHERE e.parent <> '' AND e.kind <> {_KIND}"
)
# A few at a time: SQLite loses its place in a group whose rows are moved meanwhile.
LIST_HOMELESS: Final = f"SELECT d.key {_HOMELESS.format('AND parent > ?')} LIMIT 100"

# --- repair: counts of names ----------------------------------------------------------

LIST_MISCOUNTED: Final = (
    "SELECT i.id, coalesce(e.names, 0), i.mode >> 12 "
    f"{_COUNTED} AND (i.nlink <> coalesce(e.names, 0) "
    "OR i.mode >> 12 = 4 AND e.names IS NULL)"
)
SET_NAMES: Final = (
    "UPDATE inodes SET nlink = ?, ctime_ns = ?, generation = generation + 1 "
    "WHERE id = ?"
)
_DIRECTORIES: Final = "kind = 4 AND inode BETWEEN ? AND ?"
LIST_SEVERAL_NAMES: Final = (
    "SELECT e.parent, e.name, e.inode FROM entries e WHERE e.kind = 4 "
    f"AND e.inode IN (SELECT inode FROM entries WHERE {_DIRECTORIES} "
    "GROUP BY inode HAVING count(*) > 1) ORDER BY e.parent, e.name"
)
COPY_DIRECTORY: Final = (
    f"INSERT INTO inodes (id, {_COLUMNS}) SELECT ?, "
    f"{_COLUMNS.replace('nlink', '1')} FROM inodes WHERE id = ?"
)
SET_INODE: Final = "UPDATE entries SET inode = ? WHERE parent = ? AND name = ?"

# --- repair: chunks -------------------------------------------------------------------

# Those of one inode together, in the order of the index.
LIST_LOST_CHUNKS: Final = (
    "SELECT DISTINCT c.inode FROM chunks c WHERE typeof(c.inode) = 'integer' "
    f"AND {_NO_INODE.format('c')}"
)
LIST_UNTYPED_CHUNKS: Final = (
    "SELECT c.rowid, typeof(c.inode) = 'integer' AND typeof(c.idx) = 'integer' "
    "AND c.idx >= 0, CAST(c.data AS BLOB), "
    "CAST('chunk ' || c.idx || ' of inode ' || c.inode AS BLOB) "
    f"FROM chunks c WHERE NOT ({_TYPED_CHUNK})"
)
TYPE_CHUNK: Final = "UPDATE chunks SET data = CAST(data AS BLOB) WHERE rowid = ?"
REMOVE_CHUNK: Final = "DELETE FROM chunks WHERE rowid = ?"
LIST_DISPLACED: Final = (
    "SELECT DISTINCT c.inode, i.mode >> 12 FROM chunks c CROSS JOIN inodes i "
    "ON i.id = c.inode WHERE i.mode >> 12 <> 8 OR i.content IS NOT NULL"
)
LIST_BAD_CHUNKS: Final = (
    "SELECT DISTINCT c.inode, i.size FROM chunks c CROSS JOIN inodes i "
    f"ON i.id = c.inode WHERE {_BAD_CHUNK}"
)
ANY_CHUNK: Final = "SELECT 1 FROM chunks WHERE inode = ? LIMIT 1"
# The last chunk that is anywhere: where its file ends if nothing else tells.
LAST_STORED: Final = (
    "SELECT idx, length(data) FROM chunks WHERE inode = ? AND idx BETWEEN 0 AND ? "
    "AND length(data) > 0 ORDER BY idx DESC LIMIT 1"
)
REMOVE_EMPTY_CHUNKS: Final = "DELETE FROM chunks WHERE inode = ? AND length(data) = 0"
LIST_STRAYS: Final = (
    "SELECT rowid, data FROM chunks WHERE inode = ? AND (idx < 0 OR idx > ?)"
)
LIST_LONG_CHUNKS: Final = (
    "SELECT idx, data FROM chunks WHERE inode = ? AND length(data) > ? ORDER BY idx"
)
ANY_BEHIND: Final = (
    "SELECT 1 FROM chunks WHERE inode = ? AND idx > ? AND idx <= ? LIMIT 1"
)
TAKE_BEHIND: Final = (
    "UPDATE chunks SET inode = ? WHERE inode = ? AND idx > ? AND idx <= ?"
)

# --- repair: attributes ---------------------------------------------------------------

LIST_LOST_XATTRS: Final = (
    "SELECT DISTINCT x.inode FROM xattrs x WHERE typeof(x.inode) = 'integer' "
    f"AND {_NO_INODE.format('x')}"
)
_UNTYPED_VALUE: Final = (
    "typeof(x.inode) = 'integer' AND typeof(x.name) = 'text' "
    "AND typeof(x.value) <> 'blob'"
)
LIST_UNTYPED_VALUES: Final = (
    "SELECT 'attribute ' || x.name || ' of inode ' || x.inode FROM xattrs x "
    f"WHERE {_UNTYPED_VALUE}"
)
TYPE_XATTRS: Final = (
    "UPDATE xattrs AS x SET value = CAST(coalesce(x.value, '') AS BLOB) "
    f"WHERE {_UNTYPED_VALUE}"
)
LIST_UNTYPED_XATTRS: Final = (
    f"SELECT {_integer('x.inode')}, CAST(x.name AS BLOB), CAST(x.value AS BLOB) "
    f"FROM xattrs x WHERE NOT ({_TYPED_XATTR})"
)
REMOVE_UNTYPED_XATTRS: Final = f"DELETE FROM xattrs AS x WHERE NOT ({_TYPED_XATTR})"
LIST_XATTRS: Final = (
    f"SELECT x.inode, CAST(x.name AS BLOB), {_BAD_ATTRIBUTE} FROM xattrs x"
)
ANY_XATTR: Final = "SELECT 1 FROM xattrs WHERE inode = ? AND name = ?"
ADD_XATTR: Final = "INSERT INTO xattrs (inode, name, value) VALUES (?, ?, ?)"
RENAME_XATTR: Final = (
    "UPDATE xattrs SET name = ? WHERE inode = ? AND name = CAST(? AS TEXT)"
)
