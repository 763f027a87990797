"""Finding paths by what they are."""

from __future__ import annotations

import errno
import fnmatch
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratavfs import InvalidArgument, InvalidType, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = {
    "/a.py": 1,
    "/b.txt": 20,
    "/.hidden": 3,
    "/lib/c.py": 4,
    "/lib/deep/d.py": 500,
    "/lib/deep/er/e.txt": 6,
    "/lib!/old": 7,
    "/lib.old/c.py": 8,
    "/test/a.py": 9,
    "/test/x[1]": 0,
}
ALL = [
    *("/.hidden", "/a.py", "/b.txt", "/empty", "/lib", "/lib!", "/lib.old", "/test"),
    *("/to-lib", "/lib!/old", "/lib.old/c.py", "/lib/c.py", "/lib/deep", "/lib/up"),
    *("/lib/deep/d.py", "/lib/deep/er", "/lib/deep/er/e.txt"),
    *("/test/a.py", "/test/x[1]"),
]
DIRECTORIES = [
    *("/empty", "/lib", "/lib!", "/lib.old", "/test", "/lib/deep", "/lib/deep/er")
]


def fill(vfs: VirtualFileSystem, files: dict[str, int]) -> None:
    for path, size in files.items():
        vfs.write_bytes(path, bytes(size))


def in_one_layer(make_vfs: Any) -> VirtualFileSystem:
    vfs: VirtualFileSystem = make_vfs()
    fill(vfs, FILES)
    vfs.mkdir("/empty")
    vfs.symlink("lib", "/to-lib")
    vfs.symlink("..", "/lib/up")
    return vfs


def over_a_base(make_vfs: Any) -> VirtualFileSystem:
    """Return the same of two layers, each with something that the other hides."""
    base: VirtualFileSystem = make_vfs()
    vfs: VirtualFileSystem = make_vfs()
    fill(base, dict.fromkeys([*FILES, "/gone", "/lib/gone.py", "/test/gone/x.py"], 99))
    base.symlink("nowhere", "/to-lib")
    base.write_bytes("/empty/full.py", b"x")
    vfs.add_underlay(base, name="base")
    for path in ("/gone", "/lib/gone.py", "/to-lib"):
        vfs.remove(path)
    for path in ("/test", "/empty"):
        vfs.rmtree(path)
    vfs.mkdir("/empty")
    fill(vfs, FILES)
    vfs.symlink("lib", "/to-lib")
    vfs.symlink("..", "/lib/up")
    return vfs


def mounted(make_vfs: Any) -> VirtualFileSystem:
    """Return the same with everything in /lib from a layer that is mounted there."""
    base: VirtualFileSystem = make_vfs()
    vfs: VirtualFileSystem = make_vfs()
    fill(vfs, {path: size for path, size in FILES.items() if "/lib/" not in path})
    fill(base, {path[4:]: size for path, size in FILES.items() if "/lib/" in path})
    base.symlink("..", "/up")
    vfs.add_underlay(base, name="base", at="/lib")
    vfs.mkdir("/empty")
    vfs.symlink("lib", "/to-lib")
    return vfs


@pytest.fixture(params=[in_one_layer, over_a_base, mounted])
def tree(request: pytest.FixtureRequest, make_vfs: Any) -> VirtualFileSystem:
    """The same tree, in one layer and in several."""
    vfs: VirtualFileSystem = request.param(make_vfs)
    return vfs


# --- names ----------------------------------------------------------------------------


def test_find_gives_all_directory_by_directory_each_before_what_is_in_it(
    tree: VirtualFileSystem,
) -> None:
    assert list(tree.find()) == ALL


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("a.py", "/", ["/a.py", "/test/a.py"]),
        ("[a-c].py", "/", ["/a.py", "/lib.old/c.py", "/lib/c.py", "/test/a.py"]),
        (".*", "/", ["/.hidden"]),
        ("x[[]1]", "/", ["/test/x[1]"]),
        ("*.py", "/lib", ["/lib/c.py", "/lib/deep/d.py"]),
        ("*.py", "/to-lib", ["/to-lib/c.py", "/to-lib/deep/d.py"]),
        ("/*.py", "/", ["/a.py"]),
        ("*/*.py", "/", ["/lib.old/c.py", "/lib/c.py", "/test/a.py"]),
        ("deep/*", "/", []),
        ("deep/*", "/lib", ["/lib/deep/d.py", "/lib/deep/er"]),
        ("**/deep/*", "/", ["/lib/deep/d.py", "/lib/deep/er"]),
        ("lib/**", "/lib", []),
        ("lib/deep/**", "/", [p for p in ALL if p.startswith("/lib/deep")]),
        ("**/er/**", "/", ["/lib/deep/er", "/lib/deep/er/e.txt"]),
        ("deep/", "/", [p for p in ALL if p.startswith("/lib/deep")]),
        ("a.py/", "/", []),
        ("/test/", "/", ["/test", "/test/a.py", "/test/x[1]"]),
        ("**", "/test", ["/test/a.py", "/test/x[1]"]),
        ("/", "/test", ["/test/a.py", "/test/x[1]"]),
        ("nothing", "/", []),
        ("*", "/empty", []),
    ],
)
def test_find_of_pattern_follows_the_rules_of_selections(
    tree: VirtualFileSystem, pattern: str, path: str, found: list[str]
) -> None:
    assert list(tree.find(pattern, path)) == found
    assert list(tree.find(pattern, path, newer=0)) == found


def test_find_of_name_is_one_more_test(tree: VirtualFileSystem) -> None:
    assert list(tree.find("lib/**", name="*.py")) == ["/lib/c.py", "/lib/deep/d.py"]
    assert list(tree.find("[ab].*", name="*.txt")) == ["/b.txt"]
    assert list(tree.find("deep/", name="e?")) == ["/lib/deep/er"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("f", "file"), [p for p in ALL if p in FILES]),
        (("d", "directory"), DIRECTORIES),
        (("l", "symlink"), ["/to-lib", "/lib/up"]),
    ],
)
def test_find_of_type_takes_links_as_such(
    tree: VirtualFileSystem, words: tuple[str, ...], found: list[str]
) -> None:
    assert [list(tree.find(type=word)) for word in words] == [found, found]


# --- sizes and times ------------------------------------------------------------------


def test_find_of_size_is_of_files_and_inclusive(tree: VirtualFileSystem) -> None:
    assert list(tree.find(min_size=20)) == ["/b.txt", "/lib/deep/d.py"]
    assert list(tree.find(max_size=1)) == ["/a.py", "/test/x[1]"]
    assert list(tree.find("*.py", min_size=4, max_size=9)) == [
        *("/lib.old/c.py", "/lib/c.py", "/test/a.py")
    ]
    assert list(tree.find(min_size=2, max_size=1)) == []


AT = 1_700_000_000_123_456_789  # nanoseconds that neither float nor datetime can hold


@pytest.fixture
def timed(mem: VirtualFileSystem) -> VirtualFileSystem:
    """Files a second apart, and one from before 1970."""
    for name, at in (("a", AT), ("b", AT + 10**9), ("old", -(10**9))):
        mem.touch(f"/{name}")
        mem.utime(f"/{name}", ns=(0, at))
    return mem


def test_find_of_times_leaves_out_what_is_of_that_very_time(
    timed: VirtualFileSystem,
) -> None:
    a, b = timed.stat("/a"), timed.stat("/b")

    assert list(timed.find(newer=a.st_mtime)) == ["/b"]
    assert list(timed.find(newer=a.modified_at)) == ["/b"]
    assert list(timed.find(older=b.st_mtime)) == ["/a", "/old"]
    assert list(timed.find(older=b.modified_at)) == ["/a", "/old"]
    assert list(timed.find(newer=-1, older=b.st_mtime)) == ["/a"]
    assert list(timed.find(newer=AT // 10**9)) == ["/a", "/b"]
    assert list(timed.find(older=0)) == ["/old"]
    assert len(list(timed.find(newer=float("-inf"), older=float("inf")))) == 3


def test_find_of_datetime_knows_its_time_zone(
    timed: VirtualFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = timed.stat("/a").modified_at
    elsewhere = moment.astimezone(timezone(timedelta(hours=-7)))
    monkeypatch.setenv("TZ", "XYZ-5")
    if hasattr(time, "tzset"):
        time.tzset()
    naive = datetime.fromtimestamp(moment.timestamp())  # noqa: DTZ006 - is tested

    assert list(timed.find(newer=elsewhere)) == ["/b"]
    assert list(timed.find(newer=naive)) == ["/b"]
    assert list(timed.find(newer=naive - timedelta(microseconds=1))) == ["/a", "/b"]
    monkeypatch.undo()
    if hasattr(time, "tzset"):
        time.tzset()


# --- metadata -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (1, "/one"),
        (1.0, "/one"),
        (True, "/true"),
        ("1", "/text"),
        (None, "/null"),
        ([1, {"b": 2}], "/list"),
        ({}, "/map"),
    ],
)
def test_find_of_metadata_compares_values_as_json(
    mem: VirtualFileSystem, value: object, name: str
) -> None:
    stored = {"/one": 1, "/true": True, "/text": "1", "/null": None, "/map": {}}
    for path, kept in stored.items():
        mem.touch(path)
        mem.set_metadata(path, {"value": kept, "other": 5})
    mem.touch("/list")
    mem.setxattr("/list", "user.metadata.value", b' [1.0, {"b":\n2e0}]')
    mem.touch("/without")

    found = list(mem.find(metadata={"value": value}))

    assert found == [name]


def test_find_of_metadata_wants_all_keys_and_keeps_other_tests(
    tree: VirtualFileSystem,
) -> None:
    for path in ("/a.py", "/lib/c.py", "/lib/deep", "/b.txt"):
        tree.set_metadata(path, {"lang": "en", "n": [1, 2]})
    tree.set_metadata("/to-lib", {"lang": "en"}, follow_symlinks=False)
    tree.set_metadata("/b.txt", {"lang": "de", "n": [1, 2]})

    assert list(tree.find(metadata={"lang": "en"})) == [
        *("/a.py", "/to-lib", "/lib/c.py", "/lib/deep")
    ]
    assert list(tree.find("*.py", "/lib", metadata={"n": (1, 2), "lang": "en"})) == [
        "/lib/c.py"
    ]
    assert list(tree.find("*.txt", metadata={"n": [1, 2]})) == ["/b.txt"]
    assert list(tree.find(metadata={"n": [1]})) == []
    assert list(tree.find(metadata={})) == ALL


def test_find_of_metadata_that_is_no_json_finds_it_equal_to_nothing(
    mem: VirtualFileSystem,
) -> None:
    for name, value in (("bad", b"{"), ("nan", b"NaN"), ("good", b"1")):
        mem.touch(f"/{name}")
        mem.setxattr(f"/{name}", "user.metadata.k", value)

    assert list(mem.find(metadata={"k": 1})) == ["/good"]


def test_find_of_metadata_in_base_sees_it_and_what_covers_it(make_vfs: Any) -> None:
    base, vfs = make_vfs(), make_vfs()
    for name in ("a", "b", "c"):
        base.touch(f"/{name}")
        base.set_metadata(f"/{name}", {"k": 1})
    vfs.add_underlay(base, name="base")

    vfs.set_metadata("/b", {"k": 2})
    vfs.write_bytes("/c", b"comes up with it")

    assert list(vfs.find(metadata={"k": 1})) == ["/a", "/c"]


# --- what goes on meanwhile -----------------------------------------------------------


def test_find_while_removing_what_it_finds_comes_to_an_end(
    tree: VirtualFileSystem,
) -> None:
    for path in tree.find(type="d"):
        tree.rmtree(path)

    assert list(tree.find(type="d")) == []


def test_find_abandoned_leaves_the_file_system_usable(tree: VirtualFileSystem) -> None:
    steps = tree.find("*.py", newer=0)
    next(steps)
    del steps

    tree.write_text("/new", "x")

    assert "/new" in tree.find()


def test_find_within_a_batch_sees_what_is_in_it(tree: VirtualFileSystem) -> None:
    with tree.atomic_batch():
        tree.touch("/lib/new.py")

        assert "/lib/new.py" in tree.find("*.py")
        assert "/lib/new.py" in tree.find(type="f", newer=0)


def test_find_through_a_read_only_instance_works(make_vfs: Any, tmp_path: Path) -> None:
    with VirtualFileSystem(tmp_path / "c.db") as vfs:
        fill(vfs, FILES)

    found = make_vfs(tmp_path / "c.db", read_only=True).find("a.py", min_size=2)

    assert list(found) == ["/test/a.py"]


def test_find_in_a_deep_tree_needs_no_deep_stack(mem: VirtualFileSystem) -> None:
    mem.makedirs("/d" * 1200)

    assert sum(1 for _ in mem.find("d")) == 1200
    assert sum(1 for _ in mem.find("d", type="d")) == 1200


@pytest.mark.no_slow_contracts("single")
def test_find_of_names_asks_once_for_thousands(mem: VirtualFileSystem) -> None:
    with mem.atomic_batch():
        for nth in range(1000):
            mem.touch(f"/d{nth % 50}/{nth}")
    statements: list[str] = []
    mem._store._cx.set_trace_callback(statements.append)

    assert len(list(mem.find("*1"))) == 105
    assert len(statements) < 10


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"type": "f"}, {"newer": 0}])
@pytest.mark.parametrize(
    ("path", "code"), [("/missing", errno.ENOENT), ("/a.py", errno.ENOTDIR)]
)
def test_find_below_what_is_no_directory_raises_at_the_first_step(
    tree: VirtualFileSystem, path: str, code: int, options: dict[str, Any]
) -> None:
    steps = tree.find("*", path, **options)

    with pytest.raises(OSError, match=path) as caught:
        next(steps)

    assert (caught.value.errno, caught.value.filename) == (code, path)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"pattern": ""}, InvalidArgument, "empty"),
        ({"pattern": b"*"}, InvalidType, "bytes"),
        ({"type": "x"}, InvalidArgument, "directory"),
        ({"name": "a/b"}, InvalidArgument, "pattern"),
        ({"name": ""}, InvalidArgument, "empty"),
        ({"min_size": -1}, InvalidArgument, "min_size"),
        ({"max_size": 1.5}, InvalidType, "max_size"),
        ({"max_size": True}, InvalidType, "max_size"),
        ({"newer": "today"}, InvalidType, "newer"),
        ({"older": True}, InvalidType, "older"),
        ({"older": float("nan")}, InvalidArgument, "older"),
        ({"metadata": [1]}, InvalidType, "mapping"),
        ({"metadata": {"k": {1}}}, InvalidType, "'k'"),
        ({"metadata": {"k": float("inf")}}, InvalidArgument, "'k'"),
    ],
)
def test_find_of_impossible_wishes_is_refused_at_once(
    mem: VirtualFileSystem,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        mem.find(**options)


# --- against others -------------------------------------------------------------------

NAMES = st.text(st.sampled_from("ab.!-é"), min_size=1, max_size=3).filter(
    lambda name: name not in (".", "..")
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda path: "/" + "/".join(path))
PATTERNS = st.text(st.sampled_from("ab.?*é"), min_size=1, max_size=3).filter(
    lambda pattern: pattern not in (".", "..")  # of no name, but the top with all in it
)


def expected(vfs: VirtualFileSystem, pattern: str, size: int) -> Iterator[str]:
    """Yield what a plain walk finds."""
    for top, directories, files in vfs.walk():
        inside = top.rstrip("/") + "/"
        for name in sorted(directories + files):
            status = vfs.lstat(inside + name)
            is_large = not status.is_directory and status.size >= size
            if fnmatch.fnmatchcase(name, pattern) and (is_large or not size):
                yield inside + name


@pytest.mark.slow
@given(
    st.lists(PATHS, max_size=12),
    st.lists(PATHS, max_size=6),
    PATTERNS,
    st.integers(0, 2),
)
def test_find_in_any_tree_is_what_a_walk_finds(
    below: list[str], above: list[str], pattern: str, size: int
) -> None:
    def put(vfs: VirtualFileSystem, paths: list[str]) -> None:
        for nth, path in enumerate(paths):
            if not vfs.lexists(path) and not any(
                vfs.isfile(path[:cut])
                for cut, char in enumerate(path)
                if char == "/" and cut
            ):
                vfs.write_bytes(path, bytes(nth % 3))

    with VirtualFileSystem() as base, VirtualFileSystem() as vfs:
        put(base, below)
        vfs.add_underlay(base)
        put(vfs, above)
        for name in vfs.listdir("/")[::3]:
            vfs.rmtree(name) if vfs.isdir(name) else vfs.remove(name)
        with VirtualFileSystem() as single:
            vfs.flatten(single)
            for either in (vfs, single):
                found = list(either.find(pattern, min_size=size or None))

                assert sorted(found) == sorted(expected(either, pattern, size))
                assert found == sorted(found, key=in_key_order)


def in_key_order(path: str) -> tuple[str, str]:
    cut = path.rfind("/") + 1
    return path[:cut], path[cut:]


@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("find"),
    reason="compares with the command",
)
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (["-name", "*.py"], {"pattern": "*.py"}),
        (["-name", ".*"], {"pattern": ".*"}),
        (["-name", "[!a]*"], {"pattern": "[!a]*"}),
        (["-type", "d"], {"type": "d"}),
        (["-type", "l"], {"type": "l"}),
        (["-type", "f", "-size", "+8c"], {"min_size": 9}),
        (
            ["-type", "f", "-size", "-4c", "-name", "*.py"],
            {"max_size": 3, "name": "*.py"},
        ),
        (["-newer", "b.txt"], {"newer": datetime(2001, 2, 3, tzinfo=UTC)}),
        (["!", "-newermt", "@981158399"], {"older": 981158400.0}),
    ],
)
def test_find_agrees_with_findutils_on_the_disk(
    make_vfs: Any, tmp_path: Path, theirs: list[str], ours: dict[str, Any]
) -> None:
    vfs = in_one_layer(make_vfs)
    at = int(datetime(2001, 2, 3, tzinfo=UTC).timestamp())
    for nth, path in enumerate(vfs.find()):
        moment = at + (0 if path == "/b.txt" else nth - 7)
        vfs.utime(path, (moment, moment), follow_symlinks=False)
    vfs.export_tree("/", tmp_path / "disk")
    command = ["find", ".", "-mindepth", "1", *theirs, "-print0"]
    run = subprocess.run(
        command, cwd=tmp_path / "disk", capture_output=True, check=True
    )
    expected = sorted(path[1:] for path in run.stdout.decode().split("\0")[:-1])

    assert sorted(vfs.find(**ours)) == expected
    assert expected
