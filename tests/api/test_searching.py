"""Searching: walk, glob and iglob."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from stratavfs import VirtualFileSystem

FILES = [
    "a.py",
    "b.txt",
    ".hidden",
    "lib/c.py",
    "lib/deep/d.py",
    "lib/deep/er/e.txt",
    "lib/.secret/f.py",
    "test/a.py",
    "x1",
    "x2",
    "xa",
    "x-",
    "x]",
    "x^",
    "x!",
    "X1",
]


@pytest.fixture
def tree(mem: VirtualFileSystem) -> VirtualFileSystem:
    for name in FILES:
        mem.touch(f"/{name}")
    mem.mkdir("/empty")
    mem.symlink("lib", "/to-lib")
    mem.symlink("nowhere", "/broken")
    mem.symlink("..", "/lib/up")
    return mem


# --- walk -----------------------------------------------------------------------------


@pytest.fixture
def small(mem: VirtualFileSystem) -> VirtualFileSystem:
    for name in ("a/b/1", "a/c/2", "a/3", "d/4"):
        mem.touch(f"/{name}")
    return mem


def test_walk_goes_top_down_in_order(small: VirtualFileSystem) -> None:
    assert list(small.walk()) == [
        ("/", ["a", "d"], []),
        ("/a", ["b", "c"], ["3"]),
        ("/a/b", [], ["1"]),
        ("/a/c", [], ["2"]),
        ("/d", [], ["4"]),
    ]


def test_walk_bottom_up_comes_to_a_directory_last(small: VirtualFileSystem) -> None:
    tops = [top for top, _, _ in small.walk(topdown=False)]

    assert tops == ["/a/b", "/a/c", "/a", "/d", "/"]


def test_walk_pruned_leaves_those_out(small: VirtualFileSystem) -> None:
    seen = []
    for top, directories, _ in small.walk():
        seen.append(top)
        if "b" in directories:
            directories.remove("b")

    assert seen == ["/", "/a", "/a/c", "/d"]


def test_walk_reordered_goes_in_that_order(small: VirtualFileSystem) -> None:
    seen = []
    for top, directories, _ in small.walk():
        seen.append(top)
        directories.sort(reverse=True)

    assert seen == ["/", "/d", "/a", "/a/c", "/a/b"]


def test_walk_of_what_cannot_be_listed_tells_onerror(mem: VirtualFileSystem) -> None:
    mem.touch("/f")
    errors: list[OSError] = []

    for top in ("/f", "/missing"):
        assert list(mem.walk(top, errors.append)) == []
        assert list(mem.walk(top)) == []

    assert [type(error) for error in errors] == [NotADirectoryError, FileNotFoundError]
    assert [error.filename for error in errors] == ["/f", "/missing"]


def test_walk_whose_onerror_raises_stops(mem: VirtualFileSystem) -> None:
    def stop(error: OSError) -> None:
        raise error

    with pytest.raises(FileNotFoundError):
        list(mem.walk("/missing", stop))


def test_walk_that_loses_a_directory_on_the_way_goes_on(
    small: VirtualFileSystem,
) -> None:
    errors: list[OSError] = []
    seen = []
    for top, _, _ in small.walk("/", errors.append):
        seen.append(top)
        if top == "/a":
            small.rmtree("/a/b")

    assert seen == ["/", "/a", "/a/c", "/d"]
    assert [error.filename for error in errors] == ["/a/b"]


def test_walk_lists_links_to_directories_and_follows_on_demand(
    mem: VirtualFileSystem,
) -> None:
    mem.touch("/d/f")
    mem.symlink("d", "/link")
    mem.symlink("nowhere", "/broken")

    assert list(mem.walk()) == [
        ("/", ["d", "link"], ["broken"]),
        ("/d", [], ["f"]),
    ]
    assert [top for top, _, _ in mem.walk(followlinks=True)] == ["/", "/d", "/link"]


def test_walk_abandoned_leaves_the_file_system_usable(small: VirtualFileSystem) -> None:
    steps = small.walk()
    next(steps)
    del steps

    small.write_text("/new", "x")

    assert small.exists("/new")


def test_walk_that_writes_on_its_way_works(small: VirtualFileSystem) -> None:
    for top, _, files in small.walk():
        for name in files:
            small.write_text(f"{top}/{name}", "seen")

    assert small.read_text("/a/b/1") == "seen"


def test_walk_of_a_deep_tree_needs_no_deep_stack(mem: VirtualFileSystem) -> None:
    mem.makedirs("/d" * 2000)

    assert sum(1 for _ in mem.walk()) == 2001
    assert sum(1 for _ in mem.walk(topdown=False)) == 2001
    assert len(mem.glob("**")) == 2001


# --- glob -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.py", ["/a.py"]),
        ("/*.py", ["/a.py"]),
        ("*/*.py", ["/lib/c.py", "/test/a.py", "/to-lib/c.py"]),
        ("?.*", ["/a.py", "/b.txt"]),
        (".*", ["/.hidden"]),
        ("lib/*", ["/lib/.secret", "/lib/c.py", "/lib/deep", "/lib/up"]),
        ("lib/c.py", ["/lib/c.py"]),
        ("lib/missing", []),
        ("a.py/*", []),
        ("a.py/x", []),
        ("x[12]", ["/x1", "/x2"]),
        ("x[0-9]", ["/x1", "/x2"]),
        ("x[!0-9]", ["/x!", "/x-", "/x]", "/x^", "/xa"]),
        ("x[^0-9]", ["/x!", "/x-", "/x]", "/x^", "/xa"]),
        ("x[]]", ["/x]"]),
        ("x[]1]", ["/x1", "/x]"]),
        ("x[!]]", ["/x!", "/x-", "/x1", "/x2", "/x^", "/xa"]),
        ("x[-1]", ["/x-", "/x1"]),
        ("x[1-]", ["/x-", "/x1"]),
        ("[xX]1", ["/X1", "/x1"]),
        ("x[", []),
        ("x1/", []),
        ("x1", ["/x1"]),
        ("empty/", ["/empty"]),
        ("*/", ["/empty", "/lib", "/test", "/to-lib"]),
        ("broken", ["/broken"]),
        ("brok*", ["/broken"]),
        ("broken/", []),
        ("to-*", ["/to-lib"]),
        ("to-lib/", ["/to-lib"]),
        ("to-lib/c.py", ["/to-lib/c.py"]),
        ("lib/../*.py", ["/a.py"]),
        ("./a.*", ["/a.py"]),
        ("//lib//c.*", ["/lib/c.py"]),
        ("/", ["/"]),
        ("nothing*", []),
        ("*/nothing", []),
    ],
)
def test_glob_finds_what_pathlib_would(
    tree: VirtualFileSystem, pattern: str, names: list[str]
) -> None:
    assert tree.glob(pattern) == names


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        (
            "**/*.py",
            ["/a.py", "/lib/.secret/f.py", "/lib/c.py", "/lib/deep/d.py", "/test/a.py"],
        ),
        ("**/a.py", ["/a.py", "/test/a.py"]),
        ("lib/**/*.txt", ["/lib/deep/er/e.txt"]),
        ("**/deep/**/*.txt", ["/lib/deep/er/e.txt"]),
        ("**/deep/*", ["/lib/deep/d.py", "/lib/deep/er"]),
        ("**/.*", ["/.hidden", "/lib/.secret"]),
        ("**/er", ["/lib/deep/er"]),
        ("**/up", ["/lib/up"]),
        (
            "lib/**/",
            ["/lib", "/lib/.secret", "/lib/deep", "/lib/deep/er"],
        ),
        ("**/**/a.py", ["/a.py", "/test/a.py"]),
        ("**/d*/**/e.*", ["/lib/deep/er/e.txt"]),
        ("a.py/**", []),
        ("missing/**", []),
    ],
)
def test_glob_recursive_crosses_directories_and_no_links(
    tree: VirtualFileSystem, pattern: str, names: list[str]
) -> None:
    found = tree.glob(pattern)

    if pattern.endswith("/"):  # a link to a directory matches; it is not gone through
        found = [path for path in found if not tree.islink(path)]
    assert found == names


def test_glob_of_two_stars_alone_finds_all_and_the_top(
    small: VirtualFileSystem,
) -> None:
    assert small.glob("a/**") == ["/a", "/a/3", "/a/b", "/a/b/1", "/a/c", "/a/c/2"]
    assert small.glob("a/**/") == ["/a", "/a/b", "/a/c"]


@pytest.mark.parametrize("pattern", ["**/**", "**/*/**", "**/a/**/*", "**/**/*"])
def test_glob_gives_each_path_once(small: VirtualFileSystem, pattern: str) -> None:
    found = small.glob(pattern)

    assert found == sorted(set(found))
    assert sorted(small.iglob(pattern)) == found


def test_glob_is_case_sensitive(tree: VirtualFileSystem) -> None:
    assert tree.glob("X*") == ["/X1"]
    assert tree.glob("**/A.PY") == []


def test_iglob_is_lazy_and_finds_the_same(tree: VirtualFileSystem) -> None:
    steps = tree.iglob("**/*.py")

    assert sorted([next(steps), *steps]) == tree.glob("**/*.py")


def test_iglob_abandoned_leaves_the_file_system_usable(
    tree: VirtualFileSystem,
) -> None:
    next(tree.iglob("**/*"))

    tree.write_text("/new", "x")

    assert tree.exists("/new")


def test_iglob_while_removing_what_it_finds_comes_to_an_end(
    tree: VirtualFileSystem,
) -> None:
    for path in tree.iglob("**/*.py"):
        tree.remove(path)

    assert tree.glob("**/*.py") == []


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "*.py",
        "*/*",
        "?*",
        "[xX]*",
        "x[!a-z]",
        "lib/*",
        "lib/*/*",
        ".*",
        "**/*.py",
        "**/*",
        "lib/**/*",
        "**/deep/*",
        "*/",
        "[]-a]*",
        "x[!]^]",
        "**/[a-d].*",
    ],
)
def test_glob_agrees_with_pathlib_on_the_disk(
    mem: VirtualFileSystem, tmp_path: Path, pattern: str
) -> None:
    root = tmp_path / "disk"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
        mem.touch(f"/{name}")
    expected = {f"/{p.relative_to(root).as_posix()}" for p in root.glob(pattern)}
    if pattern.endswith("/"):  # pathlib has ignored it until 3.11
        expected = {path for path in expected if pathlib.Path(f"{root}{path}").is_dir()}

    assert mem.glob(pattern) == sorted(expected)
