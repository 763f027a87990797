"""Every SQL text of the library but the rules: the schema, and one for each question.

Nothing here runs anything. The page of the format in ``docs/`` shows ``SCHEMA`` as it
stands, and a test asks SQLite for the query plan of every statement.
"""

from __future__ import annotations

from typing import Final

# "STRA" in ASCII: what `file` and `PRAGMA application_id` tell a stranger's tool.
APPLICATION_ID: Final = 0x53545241

# 1: the first format.
FORMAT_VERSION: Final = 1

# One text a table, in the order of creation; a container must hold exactly these. The
# checks spell out what could be lists: for a list of three or more SQLite makes a table
# at each INSERT, which cost a new file 3 us.
SCHEMA: Final = (
    """\
CREATE TABLE settings (          -- chosen at creation, read back at every open
  key   TEXT NOT NULL PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID""",
    """\
CREATE TABLE inodes (            -- a file, a directory or a symbolic link
  id           INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice; 1 is the root
  mode         INTEGER NOT NULL  -- st_mode: directory, file or link, and permissions
               CHECK (mode >> 12 = 4 OR mode >> 12 = 8 OR mode >> 12 = 10),
  nlink        INTEGER NOT NULL CHECK (nlink >= 0),  -- entries; 0: an orphan
  uid          INTEGER NOT NULL,
  gid          INTEGER NOT NULL,
  owner        TEXT NOT NULL,
  group_name   TEXT NOT NULL,
  size         INTEGER NOT NULL CHECK (size >= 0),   -- bytes
  atime_ns     INTEGER NOT NULL, -- times: nanoseconds since 1970, UTC
  mtime_ns     INTEGER NOT NULL,
  ctime_ns     INTEGER NOT NULL,
  birthtime_ns INTEGER NOT NULL,
  generation   INTEGER NOT NULL CHECK (generation >= 1),  -- raised by every change
  opaque       INTEGER NOT NULL CHECK (opaque IN (0, mode >> 12 = 4)),
  target       TEXT CHECK ((target IS NOT NULL) = (mode >> 12 = 10)),
  content      BLOB              -- the whole of a small file; NULL: see chunks
               CHECK (content IS NULL OR mode >> 12 = 8 AND length(content) = size)
) STRICT""",
    """\
CREATE INDEX orphans ON inodes (id) WHERE nlink = 0  -- found without a scan""",
    """\
CREATE TABLE entries (           -- a name in a directory
  parent TEXT NOT NULL,          -- path of the directory with a slash at its end
  name   TEXT NOT NULL,
  kind   INTEGER NOT NULL        -- type bits of the inode's mode; 14: a whiteout
         CHECK (kind = 4 OR kind = 8 OR kind = 10 OR kind = 14),
  inode  INTEGER REFERENCES inodes (id),
  PRIMARY KEY (parent, name),
  CHECK ((kind = 14) = (inode IS NULL)),
  CHECK (parent = '' AND name = '/' AND inode = 1  -- the root's own entry
         OR substr(parent, 1, 1) = '/' AND substr(parent, -1) = '/'
            AND name <> '' AND name <> '.' AND name <> '..' AND instr(name, '/') = 0)
) STRICT, WITHOUT ROWID""",
    """\
CREATE TABLE chunks (            -- bytes idx * chunk_size and on of a file
  inode INTEGER NOT NULL REFERENCES inodes (id),
  idx   INTEGER NOT NULL CHECK (idx >= 0),
  data  BLOB NOT NULL,           -- a short or a missing chunk reads on as zeros
  PRIMARY KEY (inode, idx)
) STRICT""",
    """\
CREATE TABLE xattrs (            -- extended attributes
  inode INTEGER NOT NULL REFERENCES inodes (id),
  name  TEXT NOT NULL CHECK (name <> ''),
  value BLOB NOT NULL,
  PRIMARY KEY (inode, name)
) STRICT, WITHOUT ROWID""",
    """\
CREATE VIEW files AS             -- for people with a sqlite3 shell; never read here
SELECT e.parent || e.name AS path,
       CASE e.kind WHEN 4 THEN 'directory' WHEN 8 THEN 'file'
                   WHEN 10 THEN 'symlink' ELSE 'whiteout' END AS type,
       i.size AS size,
       datetime(i.mtime_ns / 1000000000, 'unixepoch') AS mtime,
       CASE WHEN i.mode THEN printf('%o', i.mode & 4095) END AS mode,
       i.nlink AS nlink,
       i.target AS target
  FROM entries e LEFT JOIN inodes i ON i.id = e.inode""",
)


class _ByDepth(dict[int, str]):
    """One text for each depth of savepoints, made once."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def __missing__(self, depth: int) -> str:
        self[depth] = text = self._text.format(depth)
        return text


# --- the connection -------------------------------------------------------------------

# Why each, in the order they run; the store adds journal_mode and synchronous.
PRAGMAS: Final = (
    "PRAGMA trusted_schema = OFF",  # a stranger's schema calls no function
    "PRAGMA foreign_keys = OFF",  # declared for readers and check(); enforcing them
    # would need an index on entries.inode, paid by every create and rename
    "PRAGMA temp_store = MEMORY",  # sub-results go to no file beside the container
    "PRAGMA cell_size_check = ON",  # a page is looked at before it is believed
    # Some systems build SQLite so that it fills all that is deleted with zeros, page by
    # page: removing 20 MiB took 88 ms, takes 11. What is written anyway is cleared.
    "PRAGMA secure_delete = FAST",
    "PRAGMA mmap_size = 0",  # a file cut short under mmap kills the process
)
# For good: from the first question on, until it is closed. The log's index then is in
# memory and takes no locks: a read of 4 KiB takes 3.6 us instead of 5.3 in SQLite.
LOCK_FOR_GOOD: Final = "PRAGMA locking_mode = EXCLUSIVE"
# Of a file that nobody changes: pages are looked at where the system has them. 4 KiB at
# random in a large file take 13 us instead of 28, a MiB in order 70 instead of 186.
MAP_FILE: Final = "PRAGMA mmap_size = 2147418112"  # SQLite's own largest
READ_APPLICATION_ID: Final = "PRAGMA application_id"
READ_VERSION: Final = "PRAGMA user_version"
# Another value whenever another connection has changed the file.
READ_DATA_VERSION: Final = "PRAGMA data_version"
STAMP: Final = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT_VERSION}",
)
USE_LOG: Final = "PRAGMA journal_mode = WAL"
# Pages in the log before it is written back: 16 MiB, where SQLite's own 4 MiB carry a
# page to the disk more often that changes all the time. An overwrite of 4 KiB takes 15
# us instead of 18, all else as long as before.
LET_LOG_GROW: Final = "PRAGMA wal_autocheckpoint = 4000"
USE_JOURNAL: Final = "PRAGMA journal_mode = DELETE"
SYNCHRONOUS: Final = {
    "off": "PRAGMA synchronous = OFF",
    "normal": "PRAGMA synchronous = NORMAL",
    "full": "PRAGMA synchronous = FULL",
}
COUNT_PAGES: Final = "PRAGMA page_count"
PAGE_SIZE: Final = "PRAGMA page_size"
# Whether the file holds anything at all: an empty one is a container to be made.
COUNT_OBJECTS: Final = "SELECT count(*) FROM sqlite_schema"
READ_SCHEMA: Final = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
READ_ENCODING: Final = "PRAGMA encoding"
# What SQLite makes for AUTOINCREMENT by itself.
SEQUENCE: Final = "CREATE TABLE sqlite_sequence(name,seq)"
READ_SETTINGS: Final = "SELECT key, value FROM settings"
SET_SETTING: Final = "INSERT INTO settings (key, value) VALUES (?, ?)"
# A write that changes nothing: its commit carries everything before it to the disk.
TOUCH_SETTINGS: Final = "UPDATE settings SET value = value WHERE key = 'chunk_size'"
CHECKPOINT: Final = "PRAGMA wal_checkpoint(FULL)"

# --- upkeep ---------------------------------------------------------------------------

# All locks at once, or none and no waiting.
ALONE: Final = ("PRAGMA busy_timeout = 0", LOCK_FOR_GOOD)
EMPTY_LOG: Final = "PRAGMA wal_checkpoint(TRUNCATE)"
VACUUM: Final = "VACUUM"
# VACUUM's copy of everything goes to a file, all else that is temporary does not.
TEMP_IN_FILE: Final = "PRAGMA temp_store = FILE"
TEMP_IN_MEMORY: Final = "PRAGMA temp_store = MEMORY"
JOURNAL_IN_MEMORY: Final = "PRAGMA journal_mode = MEMORY"
COUNT_FREE: Final = "PRAGMA freelist_count"
# In two halves, since the sizes of some sparse files are more than an integer holds.
COUNT_KINDS: Final = (
    "SELECT mode >> 12, count(*), sum(size >> 32), sum(size & 4294967295) FROM inodes "
    "WHERE nlink > 0 GROUP BY mode >> 12"
)
COUNT_WHITEOUTS: Final = "SELECT count(*) FROM entries WHERE kind = 14"
COUNT_ORPHANS: Final = "SELECT count(*) FROM inodes WHERE nlink = 0"
SUM_INLINE: Final = "SELECT coalesce(sum(length(content)), 0) FROM inodes"
SUM_CHUNKS: Final = "SELECT coalesce(sum(length(data)), 0) FROM chunks"

# --- transactions ---------------------------------------------------------------------

BEGIN_READ: Final = "BEGIN"
BEGIN_WRITE: Final = "BEGIN IMMEDIATE"  # the lock first: no upgrade can fail half way
BEGIN_EXCLUSIVE: Final = "BEGIN EXCLUSIVE"
COMMIT: Final = "COMMIT"
ROLLBACK: Final = "ROLLBACK"
# By depth: an interrupt may leave one inside another; and one text for each depth keeps
# the statement cache warm.
SAVEPOINT: Final = _ByDepth("SAVEPOINT batch{}")
RELEASE: Final = _ByDepth("RELEASE batch{}")
ROLLBACK_TO: Final = _ByDepth("ROLLBACK TO batch{}")

# --- entries and inodes ---------------------------------------------------------------

# The columns of records.StatResult, in its order, and those of records.Inode.
_STAT: Final = (
    "i.mode, i.id, i.nlink, i.uid, i.gid, i.size, i.atime_ns, i.mtime_ns, i.ctime_ns, "
    "i.birthtime_ns, i.owner, i.group_name, i.generation"
)
_INODE: Final = f"{_STAT}, i.opaque, i.target"
# An entry whose inode is missing, or of another type, gives a row of NULLs.
_JOINED: Final = (
    "FROM entries e LEFT JOIN inodes i ON i.id = e.inode AND i.mode >> 12 = e.kind"
)
_AT: Final = f"{_JOINED} WHERE e.parent = ? AND e.name = ? AND e.kind <> 14"
# A directory's parent key starts its whole subtree: ('/a/', ...) to ('/a0', ...), since
# "0" follows "/". One range of the primary key, whatever lies beside it.
_BELOW: Final = "parent >= ? AND parent < ?"

FIND: Final = f"SELECT {_INODE} {_AT}"
# The entry alone knows these two: no second probe.
FIND_ENTRY: Final = "SELECT kind, inode FROM entries WHERE parent = ? AND name = ?"
# The directory for a name that nothing has, not even a whiteout: one statement for two.
FIND_ROOM: Final = (
    "SELECT inode FROM entries WHERE parent = ? AND name = ? AND kind = 4 "
    "AND NOT EXISTS (SELECT 1 FROM entries WHERE parent = ? AND name = ?)"
)
# A file in its row alone, with this one name: no chunks are to be removed with it.
FIND_SOLE: Final = (
    "SELECT i.id FROM entries e JOIN inodes i ON i.id = e.inode "
    "WHERE e.parent = ? AND e.name = ? AND e.kind = 8 "
    "AND i.content IS NOT NULL AND i.nlink = 1 AND i.mode >> 12 = 8"
)
FIND_STAT: Final = f"SELECT {_STAT} {_AT}"
# All bytes of a file in its row, or in one chunk that holds as many as it has: one
# statement instead of four. Files of a median of 8 KiB are read in 5.9 us in memory
# instead of 10.4, on the disk in 10 instead of 15.6.
_WHOLE: Final = (
    "CASE WHEN i.content IS NULL THEN (SELECT c.data FROM chunks c "
    "WHERE c.inode = i.id AND c.idx = 0 AND length(c.data) = i.size "
    "AND i.mode >> 12 = 8) "
    "WHEN length(i.content) = i.size THEN i.content END"
)
FIND_CONTENT: Final = f"SELECT {_WHOLE} {_AT}"
# A file with all its bytes if they are no more than a chunk's: opened and read at once.
FIND_FILE: Final = (
    f"SELECT e.kind, e.inode, {_WHOLE} FROM entries e LEFT JOIN inodes i "
    "ON i.id = e.inode AND i.mode >> 12 = 8 WHERE e.parent = ? AND e.name = ?"
)
READ_INODE: Final = f"SELECT {_INODE} FROM inodes i WHERE i.id = ?"
# What a layer of a stack is asked: a whiteout is an answer, with no inode joined to it.
LOOK: Final = (
    f"SELECT e.kind, {_INODE} FROM entries e LEFT JOIN inodes i ON i.id = e.inode "
    "WHERE e.parent = ? AND e.name = ?"
)
LOOK_CONTENT: Final = (
    f"SELECT e.kind, {_WHOLE} {_JOINED} WHERE e.parent = ? AND e.name = ?"
)
# Whether an entry hides what lower layers have below its path.
FIND_HIDING: Final = (
    "SELECT e.kind <> 4 OR i.opaque FROM entries e LEFT JOIN inodes i "
    "ON i.id = e.inode WHERE e.parent = ? AND e.name = ?"
)

LIST_NAMES: Final = "SELECT name FROM entries WHERE parent = ? AND kind <> 14"
LIST_KINDS: Final = "SELECT name, kind FROM entries WHERE parent = ? AND kind <> 14"
LOOK_KINDS: Final = "SELECT name, kind FROM entries WHERE parent = ? LIMIT ?"
LOOK_INODES: Final = (
    f"SELECT e.name, e.kind, {_INODE} FROM entries e LEFT JOIN inodes i "
    "ON i.id = e.inode WHERE e.parent = ?"
)
LIST_INODES: Final = (
    f"SELECT e.name, {_INODE} {_JOINED} WHERE e.parent = ? AND e.kind <> 14"
)
# A page of the subtree in key order, after (parent, name); GLOB on the name saves
# Python from seeing what cannot match.
LIST_BELOW: Final = (
    "SELECT parent, name FROM entries WHERE (parent, name) > (?, ?) AND parent < ? "
    "AND kind <> 14 AND name GLOB ? LIMIT ?"
)

# The first generation is 2: SQLite stores 0 and 1 without a byte, so that the change
# from 1 would lengthen the row and move it, 51 us instead of 24.
ADD_ROOT_INODE: Final = (
    "INSERT INTO inodes (id, mode, nlink, uid, gid, owner, group_name, size, atime_ns, "
    "mtime_ns, ctime_ns, birthtime_ns, generation, opaque) "
    "VALUES (1, 16877, 1, 0, 0, '', '', 0, ?, ?, ?, ?, 2, 0)"  # 16877: S_IFDIR | 0o755
)
SET_ROOT_TIMES: Final = (
    "UPDATE inodes SET atime_ns = ?, mtime_ns = ?, ctime_ns = ?, birthtime_ns = ? "
    "WHERE id = 1"
)
ADD_INODE: Final = (
    "INSERT INTO inodes (mode, nlink, uid, gid, owner, group_name, size, atime_ns, "
    "mtime_ns, ctime_ns, birthtime_ns, generation, opaque, target, content) "
    "VALUES (?, 1, 0, 0, '', '', ?, ?, ?, ?, ?, 2, ?, ?, ?)"
)
# An inode that another layer has already, with all that is known of it.
COPY_INODE: Final = (
    "INSERT INTO inodes (mode, nlink, uid, gid, size, atime_ns, mtime_ns, ctime_ns, "
    "birthtime_ns, owner, group_name, generation, opaque, target, content) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)"
)
# New inodes by the hundred, whose numbers are chosen here: all that SQLite has given.
LAST_NUMBER: Final = "SELECT seq FROM sqlite_sequence WHERE name = 'inodes'"
_NEW_INODE: Final = "(?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, 2, 0, ?, ?)"
PUT_INODE: Final = (
    "INSERT INTO inodes (id, mode, nlink, uid, gid, size, atime_ns, mtime_ns, "
    "ctime_ns, birthtime_ns, owner, group_name, generation, opaque, target, content) "
    f"VALUES {_NEW_INODE}"
)
# A new name may fall on a whiteout, which it then clears.
_NEW_ENTRY: Final = "(?, ?, ?, ?)"
ADD_ENTRY: Final = (
    f"INSERT INTO entries (parent, name, kind, inode) VALUES {_NEW_ENTRY} "
    "ON CONFLICT (parent, name) DO UPDATE SET kind = excluded.kind, "
    "inode = excluded.inode WHERE entries.kind = 14"
)
# SQLite sets the CHECKs up once a statement, which costs more than to keep a row by
# them: 32 rows in one take 3.6 us a file instead of 8.2 in statements of their own.
TOGETHER: Final = 32
PUT_INODES: Final = PUT_INODE.replace(_NEW_INODE, ", ".join([_NEW_INODE] * TOGETHER))
ADD_ENTRIES: Final = ADD_ENTRY.replace(_NEW_ENTRY, ", ".join([_NEW_ENTRY] * TOGETHER))
ADD_WHITEOUT: Final = (
    "INSERT INTO entries (parent, name, kind, inode) VALUES (?, ?, 14, NULL) "
    "ON CONFLICT (parent, name) DO NOTHING"
)
REMOVE_ENTRY: Final = "DELETE FROM entries WHERE parent = ? AND name = ?"
REMOVE_ENTRIES_IN: Final = "DELETE FROM entries WHERE parent = ?"
REMOVE_WHITEOUTS_BELOW: Final = f"DELETE FROM entries WHERE {_BELOW} AND kind = 14"
MOVE_ENTRY: Final = (
    "UPDATE entries SET parent = ?, name = ? WHERE parent = ? AND name = ?"
)
MOVE_ENTRIES_BELOW: Final = (
    f"UPDATE entries SET parent = ? || substr(parent, ?) WHERE {_BELOW}"
)
LONGEST_BELOW: Final = (
    "SELECT max(length(CAST(parent AS BLOB)) + length(CAST(name AS BLOB))) "
    f"FROM entries WHERE {_BELOW}"
)

STAMP_DIRECTORY: Final = (
    "UPDATE inodes SET mtime_ns = ?, ctime_ns = ?, generation = generation + 1 "
    "WHERE id = (SELECT inode FROM entries WHERE parent = ? AND name = ?)"
)
STAMP_INODE: Final = (
    "UPDATE inodes SET mtime_ns = ?, ctime_ns = ?, generation = generation + 1 "
    "WHERE id = ?"
)
SET_LINKS: Final = (
    "UPDATE inodes SET nlink = nlink + ?, ctime_ns = ?, generation = generation + 1 "
    "WHERE id = ?"
)
SET_MODE: Final = (
    "UPDATE inodes SET mode = ?, ctime_ns = ?, generation = generation + 1 WHERE id = ?"
)
SET_OWNER: Final = (
    "UPDATE inodes SET uid = ?, gid = ?, owner = ?, group_name = ?, ctime_ns = ?, "
    "generation = generation + 1 WHERE id = ?"
)
SET_TIMES: Final = (
    "UPDATE inodes SET atime_ns = ?, mtime_ns = ?, ctime_ns = ?, "
    "generation = generation + 1 WHERE id = ?"
)
SET_OPAQUE: Final = (
    "UPDATE inodes SET opaque = ?, ctime_ns = ?, generation = generation + 1 "
    "WHERE id = ?"
)
SET_CHANGED: Final = (
    "UPDATE inodes SET ctime_ns = ?, generation = generation + 1 WHERE id = ?"
)

# Removing an inode takes three statements, its content and attributes first.
REMOVE_CHUNKS: Final = "DELETE FROM chunks WHERE inode = ?"
REMOVE_XATTRS: Final = "DELETE FROM xattrs WHERE inode = ?"
REMOVE_INODE: Final = "DELETE FROM inodes WHERE id = ?"

# Removing a subtree: hard links to elsewhere one by one, the rest by ranges.
SHARED_BELOW: Final = (
    "SELECT e.inode, count(*) FROM entries e JOIN inodes i ON i.id = e.inode "
    f"WHERE e.{_BELOW.replace('AND ', 'AND e.')} AND i.nlink > 1 GROUP BY e.inode"
)
REMOVE_SHARED_BELOW: Final = (
    f"DELETE FROM entries WHERE {_BELOW} AND EXISTS "
    "(SELECT 1 FROM inodes i WHERE i.id = entries.inode AND i.nlink > 1)"
)
_SOLE_BELOW: Final = (
    "(SELECT e.inode FROM entries e JOIN inodes i ON i.id = e.inode "
    f"WHERE e.{_BELOW.replace('AND ', 'AND e.')} AND i.nlink = 1)"
)
REMOVE_CHUNKS_BELOW: Final = f"DELETE FROM chunks WHERE inode IN {_SOLE_BELOW}"
REMOVE_XATTRS_BELOW: Final = f"DELETE FROM xattrs WHERE inode IN {_SOLE_BELOW}"
REMOVE_INODES_BELOW: Final = (
    f"DELETE FROM inodes WHERE nlink = 1 AND id IN (SELECT inode FROM entries "
    f"WHERE {_BELOW})"
)
REMOVE_ENTRIES_BELOW: Final = f"DELETE FROM entries WHERE {_BELOW}"
ORPHAN: Final = "UPDATE inodes SET nlink = 0 WHERE id = ?"
LIST_INODES_BELOW: Final = f"SELECT inode FROM entries WHERE {_BELOW}"
LIST_ORPHANS: Final = "SELECT id FROM inodes WHERE nlink = 0"

# --- content --------------------------------------------------------------------------

# The file and the chunks of one span in a single statement, hence in one snapshot:
# primary-key ranges on both sides, so chunks arrive in order without a sort.
READ_SPAN: Final = (
    "SELECT i.size, i.content, c.idx, c.data FROM inodes i LEFT JOIN chunks c "
    "ON c.inode = i.id AND c.idx BETWEEN ? AND ? "
    "WHERE i.id = ? AND i.mode >> 12 = 8 ORDER BY c.idx"
)
# The same for a span within one chunk: SQLite hands over only the bytes asked for.
READ_PIECE: Final = (
    "SELECT i.size, substr(i.content, ?, ?), substr(c.data, ?, ?) FROM inodes i "
    "LEFT JOIN chunks c ON c.inode = i.id AND c.idx = ? "
    "WHERE i.id = ? AND i.mode >> 12 = 8"
)
READ_WHOLE: Final = (
    f"SELECT i.size, {_WHOLE} FROM inodes i WHERE i.id = ? AND i.mode >> 12 = 8"
)
READ_EXTENT: Final = "SELECT size, content FROM inodes WHERE id = ? AND mode >> 12 = 8"
READ_LINKS: Final = "SELECT nlink FROM inodes WHERE id = ?"
READ_SIZE: Final = "SELECT size FROM inodes WHERE id = ?"
FIND_CHUNK: Final = "SELECT rowid, length(data) FROM chunks WHERE inode = ? AND idx = ?"
READ_CHUNK: Final = "SELECT data FROM chunks WHERE inode = ? AND idx = ?"
READ_CHUNKS: Final = (
    "SELECT idx, data FROM chunks WHERE inode = ? AND idx BETWEEN 0 AND ? ORDER BY idx"
)
PUT_CHUNK: Final = (
    "INSERT INTO chunks (inode, idx, data) VALUES (?, ?, ?) "
    "ON CONFLICT (inode, idx) DO UPDATE SET data = excluded.data"
)
CUT_CHUNK: Final = (
    "UPDATE chunks SET data = substr(data, 1, ?) "
    "WHERE inode = ? AND idx = ? AND length(data) > ?"
)
REMOVE_CHUNKS_FROM: Final = "DELETE FROM chunks WHERE inode = ? AND idx >= ?"
# A few at a time: SQLite holds all that one statement reads from the table it writes.
COPY_CHUNKS: Final = (
    "INSERT INTO chunks (inode, idx, data) SELECT ?, idx, data FROM chunks "
    "WHERE inode = ? AND idx > ? ORDER BY idx LIMIT ?"
)
LAST_CHUNK: Final = "SELECT max(idx) FROM chunks WHERE inode = ?"
LIST_CHUNKS_FROM: Final = (
    "SELECT idx, length(data) FROM chunks WHERE inode = ? AND idx >= ? ORDER BY idx"
)
# A small file by its name alone, whose content is in its row already: nothing is asked
# before, and no chunk is to be removed. An overwrite in memory takes 8 us, not 13.
OVERWRITE: Final = (
    "UPDATE inodes SET size = ?, content = ?, mtime_ns = ?, ctime_ns = ?, "
    "generation = generation + 1 WHERE id = (SELECT inode FROM entries "
    "WHERE parent = ? AND name = ? AND kind = 8) "
    "AND content IS NOT NULL AND mode >> 12 = 8"
)
SET_CONTENT: Final = (
    "UPDATE inodes SET size = ?, content = ?, mtime_ns = ?, ctime_ns = ?, "
    "generation = generation + 1 WHERE id = ?"
)
# The same in one statement with the question whether that is so: a file of chunks that
# is written up to some byte. It saves a SELECT, 2 us of a write of 4 or of 64 KiB.
GROW: Final = (
    "UPDATE inodes SET size = max(size, ?), mtime_ns = ?, ctime_ns = ?, "
    "generation = generation + 1 WHERE id = ? AND content IS NULL AND mode >> 12 = 8"
)
# For a file whose content is in chunks already: the row stays short, NULL stays NULL.
SET_SIZE: Final = (
    "UPDATE inodes SET size = ?, mtime_ns = ?, ctime_ns = ?, "
    "generation = generation + 1 WHERE id = ?"
)

# --- extended attributes --------------------------------------------------------------

READ_XATTRS: Final = "SELECT name, value FROM xattrs WHERE inode = ? ORDER BY name"
PUT_XATTR: Final = (
    "INSERT INTO xattrs (inode, name, value) VALUES (?, ?, ?) "
    "ON CONFLICT (inode, name) DO UPDATE SET value = excluded.value"
)
REMOVE_XATTR: Final = "DELETE FROM xattrs WHERE inode = ? AND name = ?"
COPY_XATTRS: Final = (
    "INSERT OR REPLACE INTO xattrs (inode, name, value) "
    "SELECT ?, name, value FROM xattrs WHERE inode = ?"
)

# --- packs ----------------------------------------------------------------------------

# A container that is being made, on a connection of its own ...
PAGE_SIZES: Final = {
    size: f"PRAGMA page_size = {size}"
    for size in (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
}
SET_INLINE_LIMIT: Final = "UPDATE settings SET value = ? WHERE key = 'inline_limit'"
PACK_INODE: Final = (
    "INSERT INTO inodes (id, mode, nlink, uid, gid, size, atime_ns, mtime_ns, "
    "ctime_ns, birthtime_ns, owner, group_name, generation, opaque, target, content) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 2, ?, ?, ?)"
)
PACK_ENTRY: Final = (
    "INSERT INTO entries (parent, name, kind, inode) VALUES (?, ?, ?, ?)"
)
PACK_CHUNK: Final = "INSERT INTO chunks (inode, idx, data) VALUES (?, ?, ?)"
PACK_LINKS: Final = "UPDATE inodes SET nlink = ? WHERE id = ?"
HAS_XATTRS: Final = "SELECT EXISTS (SELECT 1 FROM xattrs)"
SAMPLE_SIZES: Final = "SELECT size FROM inodes WHERE mode >> 12 = 8 LIMIT ?"

# ... or attached to one that reads another container. Not among the statements above,
# since they are about two databases: `main` is the source.
ATTACH_PACK: Final = "ATTACH ? AS pack"
PACK_IN_HASTE: Final = (
    "PRAGMA pack.journal_mode = MEMORY",
    "PRAGMA pack.synchronous = OFF",
)
NUMBERS: Final = (
    "CREATE TEMP TABLE numbers (new INTEGER PRIMARY KEY, old INTEGER NOT NULL UNIQUE)"
)


class Pack:
    """From the container ``main`` to the one that is made, ``pack``."""

    # The root keeps its number; files that are named come next, then all by their path.
    NUMBER_ROOT: Final = "INSERT INTO temp.numbers (new, old) VALUES (1, 1)"
    NUMBER_FILE: Final = (
        "INSERT OR IGNORE INTO temp.numbers (old) SELECT id FROM main.inodes "
        "WHERE id = ? AND mode >> 12 = 8 AND nlink > 0"
    )
    NUMBER_REST: Final = (
        "INSERT OR IGNORE INTO temp.numbers (old) SELECT inode FROM main.entries "
        "WHERE kind <> 14 ORDER BY parent, name"
    )
    COUNT: Final = "SELECT max(new) FROM temp.numbers"
    # CROSS JOIN: in the order of the new numbers, so that every table only grows.
    _SPAN: Final = (
        "FROM temp.numbers n CROSS JOIN main.inodes i ON i.id = n.old "
        "WHERE n.new BETWEEN ? AND ?"
    )
    # Bytes of some files, and of those that are in chunks and stay there.
    SUM: Final = (
        "SELECT total(i.size), total(CASE WHEN i.content IS NULL AND i.size > ? "
        f"THEN i.size END) {_SPAN} AND i.mode >> 12 = 8"
    )
    # What is in one chunk, and whole, goes into the row.
    COPY_INODES: Final = (
        "INSERT INTO pack.inodes (id, mode, nlink, uid, gid, owner, group_name, size, "
        "atime_ns, mtime_ns, ctime_ns, birthtime_ns, generation, opaque, target, "
        "content) SELECT n.new, i.mode, i.nlink, i.uid, i.gid, i.owner, i.group_name, "
        "i.size, i.atime_ns, i.mtime_ns, i.ctime_ns, i.birthtime_ns, 2, i.opaque * ?, "
        "i.target, CASE WHEN i.content IS NULL AND i.size BETWEEN 1 AND ? "
        "AND i.mode >> 12 = 8 THEN (SELECT c.data FROM main.chunks c "
        "WHERE c.inode = i.id AND c.idx = 0 AND length(c.data) = i.size) "
        f"ELSE i.content END {_SPAN} ORDER BY n.new"
    )
    COPY_CHUNKS: Final = (
        "INSERT INTO pack.chunks (inode, idx, data) SELECT n.new, c.idx, c.data "
        "FROM temp.numbers n CROSS JOIN main.chunks c ON c.inode = n.old "
        "WHERE n.new BETWEEN ? AND ? AND (SELECT p.content IS NULL FROM pack.inodes p "
        "WHERE p.id = n.new) ORDER BY n.new, c.idx"
    )
    # The same of files so large that each is copied in pieces.
    LIST_CHUNKED: Final = f"SELECT n.new, n.old, i.size {_SPAN} AND i.content IS NULL"
    IS_CHUNKED: Final = "SELECT content IS NULL FROM pack.inodes WHERE id = ?"
    COPY_PIECE: Final = (
        "INSERT INTO pack.chunks (inode, idx, data) SELECT ?, idx, data "
        "FROM main.chunks WHERE inode = ? AND idx > ? ORDER BY idx LIMIT ?"
    )
    LAST_PIECE: Final = "SELECT max(idx) FROM pack.chunks WHERE inode = ?"
    COPY_XATTRS: Final = (
        "INSERT INTO pack.xattrs (inode, name, value) SELECT n.new, x.name, x.value "
        "FROM temp.numbers n CROSS JOIN main.xattrs x ON x.inode = n.old "
        "WHERE n.new BETWEEN ? AND ? ORDER BY n.new, x.name"
    )
    COPY_ENTRIES: Final = (
        "INSERT INTO pack.entries (parent, name, kind, inode) "
        "SELECT e.parent, e.name, e.kind, n.new FROM main.entries e "
        "LEFT JOIN temp.numbers n ON n.old = e.inode WHERE e.kind <> ? "
        "ORDER BY e.parent, e.name"
    )
    COUNT_KINDS: Final = (
        "SELECT total(kind = 8), total(kind = 4), total(kind = 10) FROM pack.entries"
    )
