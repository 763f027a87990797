"""Searching over a ``dict``: walk, glob and scan need three questions and no store."""

from __future__ import annotations

import fnmatch
import os
import re
import threading
from stat import S_IFDIR, S_IFLNK, S_IFREG
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratavfs import _patterns, _search
from stratavfs._paths import ROOT, is_within, join, name_of, parent_of, split
from stratavfs._search import DirEntry, ScandirIterator, walk
from stratavfs.records import StatResult, VPath

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stratavfs import VirtualFileSystem


class DictReader:
    """A tree in a ``dict``: path -> kind, or the path that a link leads to."""

    def __init__(self, tree: dict[str, str]) -> None:
        self.tree = {"/": "dir", **tree}

    def _type(self, what: str) -> int:
        return {"dir": S_IFDIR, "file": S_IFREG}.get(what, S_IFLNK)

    def kinds(self, path: VPath) -> list[tuple[str, int]]:
        path = self.real(path)
        if self.tree.get(path) != "dir":
            raise FileNotFoundError(2, "no such directory", path)
        return sorted(
            (name_of(VPath(child)), self._type(what))
            for child, what in self.tree.items()
            if child != "/" and parent_of(VPath(child)) == path
        )

    def type_of(self, path: VPath, *, follow: bool = True) -> int:
        if not follow:
            path = join(self.real(parent_of(path)), name_of(path))
        else:
            path = self.real(path)
        return self._type(self.tree[path]) if path in self.tree else 0

    def below(self, path: VPath, name_glob: str) -> Iterator[tuple[str, str]]:
        path = self.real(path)
        for child in self.tree:
            parent, name = split(VPath(child))
            below = child != path and is_within(VPath(child), path)
            if below and fnmatch.fnmatchcase(name, name_glob):
                yield parent, name

    def real(self, path: VPath) -> VPath:
        """Follow the links on the way to *path*, and the one at its end."""
        at = ROOT
        for name in path.split("/")[1:]:
            at = join(at, name) if name else at
            for _ in range(9):
                what = self.tree.get(at, "file")
                at = VPath(what) if what.startswith("/") else at
        return at


# Each branch: files of two kinds, an empty directory, hidden names, deep ones, links to
# a directory, to a file, to nothing and to itself.
TREE = {
    "/a.py": "file",
    "/b.txt": "file",
    "/empty": "dir",
    "/.hidden": "dir",
    "/.hidden/x.py": "file",
    "/lib": "dir",
    "/lib/a.py": "file",
    "/lib/deep": "dir",
    "/lib/deep/a.py": "file",
    "/lib/deep/lib": "dir",
    "/lib/deep/lib/a.py": "file",
    "/to_lib": "/lib",
    "/to_file": "/a.py",
    "/broken": "/nowhere",
    "/lib/loop": "/lib",
}


@pytest.fixture
def reader() -> DictReader:
    return DictReader(TREE)


def all_steps(reader: _search.Reader, top: str = "/", **options: Any) -> list[Any]:
    defaults = {"topdown": True, "onerror": None, "followlinks": False}
    return list(walk(reader, VPath(top), **{**defaults, **options}))


# --- walk: os.walk is the judge -------------------------------------------------------


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``TREE`` on the disk."""
    root = tmp_path_factory.mktemp("tree")
    for path, what in TREE.items():
        place = f"{root}{path}"
        if what == "dir":
            os.mkdir(place)
        elif what == "file":
            open(place, "x").close()
        else:
            os.symlink(f"{root}{what}", place)
    return root


def steps_on_disk(disk: Path, top: str, topdown: bool) -> list[Any]:
    root = str(disk)
    return [
        (at.removeprefix(root).rstrip("/") or "/", sorted(directories), sorted(files))
        for at, directories, files in os.walk(root + top, topdown)
    ]


@pytest.mark.parametrize("top", ["/", "/lib", "/empty", "/to_lib", "/a.py", "/x"])
@pytest.mark.parametrize("topdown", [True, False])
def test_walk_any_top_yields_what_os_walk_yields(
    reader: DictReader, disk: Path, top: str, topdown: bool
) -> None:
    ours = all_steps(reader, top, topdown=topdown)

    # The disk lists in no order, so the order of brothers is not compared.
    assert sorted(ours) == sorted(steps_on_disk(disk, top, topdown))


@pytest.mark.parametrize("topdown", [True, False])
def test_walk_order_puts_parents_on_the_right_side(
    reader: DictReader, topdown: bool
) -> None:
    order = [at for at, _, _ in all_steps(reader, topdown=topdown)]

    for at in order[1:] if topdown else order[:-1]:
        parent_first = order.index(parent_of(VPath(at))) < order.index(at)
        assert parent_first == topdown


def test_walk_brothers_come_in_name_order(reader: DictReader) -> None:
    order = [at for at, _, _ in all_steps(reader)]

    assert order == ["/", "/.hidden", "/empty", "/lib", "/lib/deep", "/lib/deep/lib"]


def test_walk_following_links_enters_them() -> None:
    reader = DictReader({"/d": "dir", "/d/f": "file", "/l": "/d"})

    assert all_steps(reader, followlinks=True) == [
        ("/", ["d", "l"], []),
        ("/d", [], ["f"]),
        ("/l", [], ["f"]),
    ]


def test_walk_pruned_by_caller_skips_the_directory(reader: DictReader) -> None:
    seen = []

    for at, directories, _ in walk(
        reader, ROOT, topdown=True, onerror=None, followlinks=False
    ):
        seen.append(at)
        if "lib" in directories:
            directories.remove("lib")

    assert seen == ["/", "/.hidden", "/empty"]


def test_walk_unlistable_top_goes_to_onerror(reader: DictReader) -> None:
    errors: list[OSError] = []

    assert all_steps(reader, "/x", onerror=errors.append) == []
    assert [error.filename for error in errors] == ["/x"]


def test_walk_very_deep_tree_needs_no_recursion() -> None:
    deep = {"/d" * depth: "dir" for depth in range(1, 60)}
    reader = DictReader(deep)

    assert len(all_steps(reader)) == 60


# --- glob: every path tried against every rule ----------------------------------------


def expected_of(tree: dict[str, str], pattern: str) -> list[str]:
    """Return the paths of *tree*, which has no links, that match *pattern*."""
    segments = _patterns.parse(pattern).segments
    names = {path: [name for name in path.split("/") if name] for path in {"/", *tree}}
    return sorted(path for path in names if matches(tree, segments, names[path], 0))


def matches(
    tree: dict[str, str], segments: tuple[str, ...], names: list[str], at: int
) -> bool:
    """Try *segments* on the names from *at* on; what is above them is a directory."""
    if not segments:
        return at == len(names)
    if tree.get("/" + "/".join(names[:at]), "dir") != "dir":
        return False
    head, *tail = segments
    rest = tuple(tail)
    if head == "**":
        return any(matches(tree, rest, names, to) for to in range(at, len(names) + 1))
    fits = at < len(names) and fnmatch.fnmatchcase(names[at], head)
    return fits and matches(tree, rest, names, at + 1)


LINKLESS = {path: what for path, what in TREE.items() if not what.startswith("/")}
SEGMENTS = st.sampled_from(
    [
        "*",
        "**",
        "lib",
        "deep",
        "a.py",
        "*.py",
        "?.py",
        ".*",
        "[al]*",
        "[!a]*",
        "x",
        "**a",
    ]
)


@given(segments=st.lists(SEGMENTS, max_size=5))
def test_glob_any_pattern_yields_each_match_once(segments: list[str]) -> None:
    reader, pattern = DictReader(LINKLESS), "/" + "/".join(segments)

    found = list(_search.glob(reader, _patterns.parse(pattern.rstrip("/") or ".")))

    assert sorted(found) == expected_of(LINKLESS, pattern)


@given(segments=st.lists(SEGMENTS, max_size=4))
def test_glob_slash_at_the_end_yields_directories_only(segments: list[str]) -> None:
    reader, pattern = DictReader(LINKLESS), "/".join(["", *segments, ""])

    found = list(_search.glob(reader, _patterns.parse(pattern)))

    matching = expected_of(LINKLESS, pattern)
    directories = [path for path in matching if reader.tree[path] == "dir"]
    assert sorted(found) == directories


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("/to_lib", ["/to_lib"]),
        ("/to_lib/*.py", ["/to_lib/a.py"]),
        ("/to_*/a.py", ["/to_lib/a.py"]),
        ("/broken", ["/broken"]),
        ("/broken/*", []),
        ("/broken/", []),
        ("/to_*/", ["/to_lib/"]),
        ("/b*", ["/b.txt", "/broken"]),
        ("/a.py/*", []),
        ("/a.py/", []),
        ("/x/**", []),
        ("/a.py/**", []),
        ("/x/**/a.py", []),
        ("/**/loop", ["/lib/loop"]),
        ("/**/loop/a.py", ["/lib/loop/a.py"]),
    ],
)
def test_glob_with_links_enters_only_those_named(
    reader: DictReader, pattern: str, expected: list[str]
) -> None:
    found = sorted(_search.glob(reader, _patterns.parse(pattern)))

    assert found == [path.rstrip("/") for path in expected]


class NotingReader(DictReader):
    """Notes which directories were listed."""

    def __init__(self, tree: dict[str, str]) -> None:
        super().__init__(tree)
        self.listed: list[str] = []

    def kinds(self, path: VPath) -> list[tuple[str, int]]:
        self.listed.append(path)
        return super().kinds(path)


def test_glob_is_lazy() -> None:
    reader = NotingReader(TREE)
    steps = _search.glob(reader, _patterns.parse("/*/*.py"))

    before = list(reader.listed)
    next(steps)

    assert (before, reader.listed) == ([], ["/", "/.hidden"])


def test_directories_below_passes_links_over(reader: DictReader) -> None:
    found = sorted(_search.directories_below(reader, ROOT))

    assert found == ["/", "/.hidden", "/empty", "/lib", "/lib/deep", "/lib/deep/lib"]


def test_locked_holds_the_lock_for_each_step_only() -> None:
    lock = threading.RLock()
    held: list[bool] = []

    def is_held() -> bool:
        return re.search(r"owner=0\b", repr(lock)) is None

    def steps() -> Iterator[int]:
        for n in range(2):
            held.append(is_held())
            yield n

    reader = SimpleNamespace(gate=lock)
    between = [is_held() for _ in _search.locked(reader, steps())]

    assert (held, between) == ([True, True], [False, False])


# --- scandir --------------------------------------------------------------------------


def entries_of(vfs: VirtualFileSystem) -> dict[str, DirEntry]:
    return {entry.name: entry for entry in vfs.scandir("/")}


@pytest.fixture
def entries(mem: VirtualFileSystem) -> dict[str, DirEntry]:
    mem.mkdir("/d")
    mem.write_text("/f", "text")
    for name, target in {"ld": "d", "lf": "f", "lx": "x", "ll": "ll"}.items():
        mem.symlink(target, f"/{name}")
    return entries_of(mem)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        # is_dir, is_file, is_symlink; then the first two not following links
        ("d", (True, False, False, True, False)),
        ("f", (False, True, False, False, True)),
        ("ld", (True, False, True, False, False)),
        ("lf", (False, True, True, False, False)),
        ("lx", (False, False, True, False, False)),
    ],
)
def test_dir_entry_tells_its_kind_as_os_does(
    entries: dict[str, DirEntry], name: str, kinds: tuple[bool, ...]
) -> None:
    entry = entries[name]

    assert kinds == (
        entry.is_dir(),
        entry.is_file(),
        entry.is_symlink(),
        entry.is_dir(follow_symlinks=False),
        entry.is_file(follow_symlinks=False),
    )


def test_dir_entry_link_in_a_circle_raises_as_os_does(
    entries: dict[str, DirEntry],
) -> None:
    with pytest.raises(OSError, match="symbolic links"):
        entries["ll"].is_dir()
    with pytest.raises(OSError, match="symbolic links"):
        entries["ll"].stat()


def test_dir_entry_stat_follows_on_demand(
    mem: VirtualFileSystem, entries: dict[str, DirEntry]
) -> None:
    entry = entries["lf"]

    assert entry.stat() == mem.stat("/f")
    assert entry.stat(follow_symlinks=False) == mem.lstat("/lf")
    assert entry.inode() == mem.lstat("/lf").st_ino
    assert isinstance(entry.stat(), StatResult)
    with pytest.raises(FileNotFoundError):
        entries["lx"].stat()


def test_dir_entry_is_path_like_and_shown_by_name(entries: dict[str, DirEntry]) -> None:
    assert os.fspath(entries["f"]) == entries["f"].path == "/f"
    assert repr(entries["f"]) == "<DirEntry 'f'>"


def test_scandir_iterator_closed_yields_no_more(entries: dict[str, DirEntry]) -> None:
    with ScandirIterator(iter(entries.values())) as steps:
        first = next(steps)
        assert iter(steps) is steps

    assert first.name == "d"
    assert list(steps) == []
