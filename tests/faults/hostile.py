"""What a stranger may hand over: containers made by code, and a tour of all readers.

Every container begins as a healthy small one. What is then written into it goes past
the format's constraints, as a file made by other means would; the schema's text is the
format's again at the end, unless the text itself is what is hostile.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections import Counter
from contextlib import closing, contextmanager
from functools import cache
from itertools import islice
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from tests.ground import connect, execute, files_beside, query

from stratavfs import InvalidArgument, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

CHUNK = 1024
BIG = bytes(range(256)) * 20  # five chunks
CONTENT = {"/d/small": b"small", "/d/big": BIG, "/hard": b"small", "/d/e/x.txt": b"x"}
PATHS = ["/", "/d", "/d/e", "/empty", "/link", "/d/gone", *CONTENT]
WAYS: dict[str, dict[str, Any]] = {
    "writable": {"synchronous": "off"},
    "read-only": {"read_only": True},
    "immutable": {"immutable": True},
}
MANY = 2000
"""More answers than any of these containers has; whoever gives more never ends."""


def make_sample(path: Path) -> None:
    """Make a small container with one of everything at *path*."""
    path.write_bytes(sample_bytes())


@cache
def sample_bytes() -> bytes:
    with TemporaryDirectory() as directory:
        path = os.path.join(directory, "sample.db")
        with VirtualFileSystem(path, CHUNK, clock=lambda: 10**18) as vfs:
            for name in ("/d/small", "/d/big", "/d/e/x.txt"):
                vfs.write_bytes(name, CONTENT[name])
            vfs.link("/d/small", "/hard")
            vfs.symlink("d/small", "/link")
            vfs.setxattr("/d/small", "user.a", b"1")
            vfs.mkdir("/empty")
        # Without a log, so that what is written later goes into the one file.
        execute(
            path,
            "INSERT INTO entries VALUES ('/d/', 'gone', 14, NULL)",
            "PRAGMA journal_mode = DELETE",
        )
        with open(path, "rb") as file:
            return file.read()


# --- going past the constraints -------------------------------------------------------

# The same columns without a type, a constraint or a check: what SQLite stores as it is.
LOOSE = {
    "settings": "CREATE TABLE settings (key PRIMARY KEY, value) WITHOUT ROWID",
    "inodes": "CREATE TABLE inodes (id INTEGER PRIMARY KEY AUTOINCREMENT, mode, nlink, "
    "uid, gid, owner, group_name, size, atime_ns, mtime_ns, ctime_ns, birthtime_ns, "
    "generation, opaque, target, content)",
    "entries": "CREATE TABLE entries (parent, name, kind, inode, "
    "PRIMARY KEY (parent, name)) WITHOUT ROWID",
    "chunks": "CREATE TABLE chunks (inode, idx, data, PRIMARY KEY (inode, idx))",
    "xattrs": "CREATE TABLE xattrs (inode, name, value, PRIMARY KEY (inode, name)) "
    "WITHOUT ROWID",
}


@cache
def loose_bytes() -> tuple[bytes, dict[str, str]]:
    """Return the sample with a schema that takes anything, and the true texts."""
    with TemporaryDirectory() as directory:
        path = os.path.join(directory, "loose.db")
        with open(path, "wb") as file:
            file.write(sample_bytes())
        tables = "SELECT name, sql FROM sqlite_schema WHERE type = 'table'"
        texts = dict(query(path, tables))
        rewrite_schema(path, LOOSE)
        with open(path, "rb") as file:
            return file.read(), {name: texts[name] for name in LOOSE}


def make_spoilt(
    path: Path, *statements: str, args: Sequence[object] | dict[str, object] = ()
) -> None:
    """Make a sample at *path* after *statements* that no constraint holds up."""
    content, texts = loose_bytes()
    path.write_bytes(content)
    with closing(connect(path)) as cx:
        cx.execute("PRAGMA synchronous = OFF")
        for statement in statements:
            cx.execute(statement, args)
    rewrite_schema(path, texts)


def rewrite_schema(path: str | Path, texts: dict[str, str]) -> None:
    """Give the tables and views named other texts, whatever SQLite thinks of them."""
    with closing(connect(path)) as cx:
        cx.execute("PRAGMA synchronous = OFF")
        cx.execute("PRAGMA writable_schema = ON")
        for name, text in texts.items():
            cx.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (text, name))


WRONG: tuple[object, ...] = (
    *(None, "text", "12", b"bytes", 1.5),
    *(0, -1, 3, 1 << 62, -(1 << 63)),
)

_SMALL = "id = (SELECT inode FROM entries WHERE name = 'small')"
_LARGE = "id = (SELECT inode FROM entries WHERE name = 'big')"
_LINK = "id = (SELECT inode FROM entries WHERE name = 'link')"
_DIRECTORY = "id = (SELECT inode FROM entries WHERE name = 'd')"
# Each column of each table, and the row that gets a wrong value there.
COLUMNS = [
    ("settings", "value", "key = 'chunk_size'"),
    ("settings", "value", "key = 'inline_limit'"),
    ("settings", "key", "key = 'chunk_size'"),
    *(
        ("inodes", column, _SMALL)
        for column in (
            *("mode", "nlink", "uid", "gid", "owner", "group_name", "size"),
            *("atime_ns", "mtime_ns", "ctime_ns", "birthtime_ns", "generation"),
            *("opaque", "target", "content"),
        )
    ),
    *(("inodes", column, _LARGE) for column in ("mode", "size", "content", "id")),
    *(("inodes", column, _LINK) for column in ("mode", "size", "target", "content")),
    *(("inodes", column, _DIRECTORY) for column in ("mode", "size", "opaque", "nlink")),
    *(("inodes", column, "id = 1") for column in ("mode", "id", "opaque")),
    *(
        ("entries", column, where)
        for column in ("parent", "name", "kind", "inode")
        for where in ("name = 'small'", "name = 'd'", "name = 'gone'", "name = '/'")
    ),
    ("chunks", "inode", "idx = 1"),
    ("chunks", "idx", "idx = 1"),
    ("chunks", "data", "idx = 1"),
    ("xattrs", "inode", "1"),
    ("xattrs", "name", "1"),
    ("xattrs", "value", "1"),
]


# --- the tour -------------------------------------------------------------------------


class Tour:
    """Asks everything that can be asked; whatever comes is an answer or a refusal.

    Any other exception than an ``OSError`` that names something, or an
    ``InvalidArgument``, fails the test; so does an answer that cannot be.
    """

    def __init__(self, vfs: VirtualFileSystem, *, exact: bool = True) -> None:
        self.vfs = vfs
        self.exact = exact  # False: nobody can tell what the bytes of a file should be
        self.outcomes: Counter[str] = Counter()

    def ask(self, call: Callable[..., Any], *args: Any) -> Any:
        """Return what *call* answers, None if it refuses."""
        try:
            found = call(*args)
        except (OSError, InvalidArgument) as error:
            self.outcomes[type(error).__name__] += 1
            require_named(error)
            return None
        self.outcomes["answered"] += 1
        return found

    def everything(self) -> Counter[str]:
        """Ask it all; return how often each outcome came."""
        vfs = self.vfs
        paths = dict.fromkeys(PATHS)
        for top, directories, files in self.ask(self._walked) or ():
            for name in (*directories, *files):
                assert_name(name)
                paths[top.rstrip("/") + "/" + name] = None
        for pattern in ("/**", "/**/*.txt", "/*/?", "/d/*"):
            for path in self.ask(self._globbed, pattern) or ():
                assert_path(path)
                paths[path] = None
        for path in paths:
            self.look_at(path)
        self.ask(vfs.conflicts)
        self.ask(vfs.diff)
        self.ask(vfs.check)
        return self.outcomes

    def change(self) -> None:
        """Try to change what is there; each call does all of it or nothing."""
        vfs = self.vfs
        for name in CONTENT:
            self.ask(vfs.chmod, name, 0o600)
            self.ask(patched, vfs, name)
            self.ask(vfs.setxattr, name, "user.b", b"2")
        self.ask(vfs.write_bytes, "/d/new", BIG)
        self.ask(vfs.write_bytes, "/d/gone", b"back")
        self.ask(vfs.truncate, "/d/big", 100)
        self.ask(vfs.remove, "/hard")
        self.ask(vfs.copytree, "/d", "/copy")
        self.ask(vfs.rename, "/d", "/moved")
        self.ask(vfs.rmtree, "/moved")

    def _walked(self) -> list[Any]:
        return bounded(self.vfs.walk("/", onerror=_raise))

    def _globbed(self, pattern: str) -> list[str]:
        return bounded(self.vfs.iglob(pattern))

    def look_at(self, path: str) -> None:
        """Ask everything about one path."""
        vfs = self.vfs
        lstat = self.ask(vfs.lstat, path)
        if lstat is not None:
            assert_stat(lstat)
        self.ask(vfs.stat, path)
        for question in ("exists", "isdir", "isfile", "islink", "explain"):
            self.ask(getattr(vfs, question), path)
        self.ask(vfs.which_layer_detailed, path)
        target = self.ask(vfs.readlink, path)
        assert target is None or 0 < len(target.encode()) <= 4095
        for name in self.ask(vfs.listxattr, path) or ():
            assert isinstance(self.ask(vfs.getxattr, path, name) or b"", bytes)
        self.list_it(path)
        self.read_it(path, lstat)

    def list_it(self, path: str) -> None:
        """List a directory in each way; what is listed is what is found."""
        names = self.ask(self.vfs.listdir, path) or []
        assert len(names) < MANY
        for name in names:
            assert_name(name)
        for entry in self.ask(self._scanned, path) or ():
            assert_name(entry.name)
            assert_stat(entry.stat(follow_symlinks=False))

    def _scanned(self, path: str) -> list[Any]:
        with self.vfs.scandir(path) as entries:
            return bounded(entries)

    def read_it(self, path: str, lstat: Any) -> None:
        """Read a file as a whole, and through handles in pieces of each size."""
        data = self.ask(self.vfs.read_bytes, path)
        if data is not None:
            assert isinstance(data, bytes)
            if self.exact and lstat is not None and stat.S_ISREG(lstat.st_mode):
                assert len(data) == lstat.st_size
        for size in (7, CHUNK, 3000):
            found = self.ask(self._pieces, path, size)
            if self.exact and found is not None and data is not None:
                assert found == data[: len(found)]
        self.ask(self._edges, path)

    def _pieces(self, path: str, size: int) -> bytes:
        with self.vfs.open(path, "rb", buffering=0) as file:
            return b"".join(islice(iter(lambda: file.read(size), b""), 40))

    def _edges(self, path: str) -> None:
        with self.vfs.open(path, "rb", buffering=0) as file:
            end = file.seek(0, 2)
            assert 0 <= end <= 1 << 62
            file.seek(max(0, end - 3))
            assert len(file.read(10)) == min(3, end) or not self.exact
            file.seek(1)
            self.ask(file.read)  # all the rest
            at = 0
            for _ in range(10):
                data = file.seek(at, os.SEEK_DATA)
                hole = file.seek(data, os.SEEK_HOLE)
                assert at <= data < hole <= end
                at = hole


def require_named(error: Exception, location: str | None = None) -> None:
    """Require that *error* tells what it is about."""
    if isinstance(error, OSError):
        assert error.errno, error
        assert error.filename, error
        assert location in (None, error.filename)


def bounded(answers: Iterator[Any]) -> list[Any]:
    found = [*islice(answers, MANY)]
    assert len(found) < MANY
    return found


def assert_name(name: object) -> None:
    assert isinstance(name, str)
    assert name not in ("", ".", "..")
    assert not {"/", "\0"} & set(name)
    assert len(name.encode()) <= 255


def assert_path(path: str) -> None:
    assert path[:1] == "/"
    assert len(path.encode()) <= 4095
    for name in path[1:].split("/") if path != "/" else ():
        assert_name(name)


def assert_stat(found: Any) -> None:
    numbers = (*found[:10], found.generation)
    assert all(type(value) is int for value in numbers)
    kind = stat.S_IFMT(found.st_mode)
    assert kind in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
    assert found.st_mode & ~0o7777 == kind
    assert 0 <= found.st_size <= 1 << 62
    assert found.st_nlink >= 0
    assert isinstance(found.owner, str)
    assert isinstance(found.group, str)


def _raise(error: OSError) -> None:
    raise error


# --- every way to open ----------------------------------------------------------------


def tour_of(path: Path, way: dict[str, Any], *, exact: bool = True) -> Counter[str]:
    """Open the container at *path* and take the tour, or be refused.

    A refusal names the file and leaves it as it is; reading leaves it as it is too.
    """
    before = kept_by(path)
    try:
        vfs = VirtualFileSystem(path, **way)
    except OSError as error:
        require_named(error, str(path))
        # Of a container that is ours the journal may be set up before damage shows.
        assert way == WAYS["writable"] or kept_by(path) == before
        return Counter({"refused": 1})
    with vfs:
        tour = Tour(vfs, exact=exact)
        tour.everything()
        if not vfs.read_only:
            tour.change()
    if vfs.read_only:
        assert kept_by(path) == before
    return tour.outcomes


def kept_by(path: Path) -> dict[str, bytes]:
    """Return the bytes of a container and its log, without what SQLite needs to read.

    That is an index of the log, and a log without content.
    """
    found = files_beside(path)
    return {name: data for name, data in found.items() if data and name[-4:] != "-shm"}


def tour_above(path: Path, *, exact: bool = True) -> Counter[str]:
    """Take the tour of an empty file system with *path* below, and change all of it."""
    before = path.read_bytes()
    with VirtualFileSystem() as top:
        try:
            top.add_underlay(str(path), name="stranger")
        except OSError as error:
            require_named(error)
            return Counter({"refused": 1})
        tour = Tour(top, exact=exact)
        tour.everything()
        tour.ask(flattened, top)
        tour.change()
        assert top.check() == []
    assert path.read_bytes() == before
    return tour.outcomes


every_way = pytest.mark.parametrize(
    "way",
    [
        "immutable",
        "above",
        *(
            pytest.param(way, marks=pytest.mark.slow)
            for way in ("writable", "read-only")
        ),
    ],
)


def take_tour(path: Path, way: str) -> Counter[str]:
    """Take the tour of the container at *path* alone, or of a stack above it."""
    return tour_above(path) if way == "above" else tour_of(path, WAYS[way])


def patched(vfs: VirtualFileSystem, path: str) -> None:
    with vfs.open(path, "r+b") as file:
        file.seek(2)
        file.write(b"patched")


def flattened(vfs: VirtualFileSystem) -> None:
    with VirtualFileSystem() as target:
        vfs.flatten(target)
        assert target.check() == []


# --- bounds ---------------------------------------------------------------------------


@contextmanager
def bounds(room: int = 1 << 30, seconds: float = 30) -> Iterator[None]:
    """On Linux, give *room* bytes of memory and *seconds* of the processor, no more.

    What never ends fails there, instead of keeping the machine busy.
    """
    if sys.platform != "linux":
        yield
        return
    import resource  # noqa: PLC0415 - there is none on Windows

    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGPROF, _out_of_time)
    resource.setrlimit(resource.RLIMIT_AS, (used + room, hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGPROF, handler)


def _out_of_time(*_: object) -> None:
    message = "it does not end"
    raise AssertionError(message)
