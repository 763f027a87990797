"""Every name that is allowed goes through every call, and no neighbour is touched."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.conformance.calls import tree_of

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = [
    "a*",
    "*",
    "**",
    "?",
    "[x]",
    "[!x]",
    "[",
    "]",
    "[[]",
    "%",
    "a%b",
    "_",
    "a_b",
    "'",
    '"',
    "''; DROP TABLE entries; --",
    "\\",
    "a\\b",
    "\n",
    "a\nb",
    "\t",
    "\r\n",
    unicodedata.normalize("NFC", "é"),
    unicodedata.normalize("NFD", "é"),
    "😀",
    "👩‍👩‍👧",
    "שלום",
    "\u202eabc",
    ".hidden",
    "...",
    "..a",
    "a.",
    "~",
    "\x7f",
    "\x01",
    "\ufeff",
    "\uffff",
    "\U0010ffff",
    " ",
    " leading",
    "trailing ",
    "0",
    "-",
    "a-b",
    "CON",
    "a:b",
    "a|b",
    "x" * 255,
    "é" * 127 + "x",
    "😀" * 63 + "abc",
]


def is_allowed(name: str) -> bool:
    return name not in {".", "..", "\x02"} and len(name.encode()) <= 255


names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1
).filter(is_allowed)
either = st.one_of(names, st.sampled_from(NAMES))


def literal(name: str) -> str:
    """Return a pattern that matches *name* alone, as glob.escape makes it."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def go_through_every_call(vfs: VirtualFileSystem, name: str) -> None:
    """Make, look at, copy, move and remove something called *name*."""
    directory, file, link = f"/{name}", f"/{name}/{name}", f"/{name}/\x02"
    vfs.mkdir(directory)
    assert vfs.write_bytes(file, b"data") == 4
    assert vfs.listdir("/") == [name]
    assert vfs.listdir(directory) == [name]
    assert [entry.name for entry in vfs.scandir(directory)] == [name]
    assert vfs.read_bytes(file) == b"data"
    with vfs.open(file, "ab") as f:
        assert f.name == file
    assert (vfs.isfile(file), vfs.isdir(directory), vfs.islink(file)) == (1, 1, 0)
    assert vfs.stat(file).st_size == vfs.getsize(file) == 4
    assert vfs.glob(f"/{literal(name)}") == [directory]
    assert vfs.glob(f"/*/{literal(name)}") == [file]
    assert vfs.glob(f"**/{literal(name)}") == [directory, file]
    assert list(vfs.walk("/")) == [("/", [name], []), (directory, [], [name])]
    vfs.symlink(name, link)
    assert vfs.readlink(link) == name
    assert vfs.read_bytes(link) == b"data"
    vfs.remove(link)
    vfs.setxattr(file, name, b"value")
    assert (vfs.listxattr(file), vfs.getxattr(file, name)) == ([name], b"value")
    vfs.rename(directory, "/!moved")
    assert vfs.read_bytes(f"/!moved/{name}") == b"data"
    vfs.rename("/!moved", directory)
    assert vfs.copytree(directory, "/!copied") == "/!copied"
    vfs.rmtree(directory)
    assert not vfs.exists(directory)
    assert vfs.copy(f"/!copied/{name}", directory) == directory
    vfs.replace(directory, f"/!copied/{name}")
    vfs.link(f"/!copied/{name}", directory)
    assert vfs.samefile(f"/!copied/{name}", directory)
    vfs.unlink(directory)
    vfs.rmtree("/!copied")
    assert vfs.listdir("/") == []


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_use_an_odd_name_in_every_call_works(mem: VirtualFileSystem, name: str) -> None:
    go_through_every_call(mem, name)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=names)
def test_use_any_name_in_every_call_works(mem: VirtualFileSystem, name: str) -> None:
    go_through_every_call(mem, name)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.sets(either, min_size=2, max_size=12))
@example(chosen=set(NAMES))
def test_many_odd_names_side_by_side_stay_apart(
    make_vfs: Callable[..., VirtualFileSystem], chosen: set[str]
) -> None:
    with make_vfs() as vfs, vfs.atomic_batch():
        for name in chosen:
            vfs.write_text(f"/{name}", name)

        assert vfs.listdir() == sorted(chosen)
        for name in chosen:
            assert vfs.read_text(f"/{name}", newline="") == name
            assert vfs.glob(literal(f"/{name}")) == [f"/{name}"]
        assert vfs.glob("/*") == sorted(f"/{name}" for name in chosen)


def test_names_survive_in_a_file(tmp_path: Path) -> None:
    location = tmp_path / "names.db"
    with VirtualFileSystem(location) as vfs, vfs.atomic_batch():
        for name in NAMES:
            vfs.touch(f"/{name}/{name}")

    with VirtualFileSystem(location, read_only=True) as vfs:
        assert vfs.listdir() == sorted(NAMES)
        assert [vfs.listdir(f"/{name}") for name in NAMES] == [[n] for n in NAMES]


def test_composed_and_decomposed_names_are_two(mem: VirtualFileSystem) -> None:
    mem.write_text("/\u00e9", "composed")
    mem.write_text("/e\u0301", "decomposed")

    assert mem.read_text("/\u00e9") == "composed"
    assert mem.listdir() == ["e\u0301", "\u00e9"]


def test_names_that_differ_in_case_are_two(mem: VirtualFileSystem) -> None:
    mem.write_text("/a", "small")
    mem.write_text("/A", "large")

    assert mem.listdir() == ["A", "a"]
    assert mem.glob("/a") == ["/a"]
    assert mem.glob("/[A-Z]") == ["/A"]
    assert mem.glob("**/A*") == ["/A"]


# --- neighbours -----------------------------------------------------------------------

NEIGHBOURS = [
    "A",
    "a ",
    "a!",
    "a-b",
    "a.",
    "a.b",
    "a0",
    "aa",
    "ab",
    "a~",
    "a😀",
    "`",
    "b",
]


@pytest.fixture
def street(vfs: VirtualFileSystem) -> VirtualFileSystem:
    """The directory /a between others whose names begin like its own."""
    with vfs.atomic_batch():
        for name in ["a", *NEIGHBOURS]:
            vfs.write_text(f"/{name}/in", name)
            vfs.write_text(f"/{name}/sub/deep", name)
    return vfs


def neighbours_of(vfs: VirtualFileSystem) -> dict[str, object]:
    """Return all there is in the other directories."""
    tree = tree_of(vfs)
    mine = ("/a/", "/moved/")
    return {
        path: seen
        for path, seen in tree.items()
        if path not in {"/", "/a", "/moved"} and not path.startswith(mine)
    }


def test_rmtree_touches_no_neighbour(street: VirtualFileSystem) -> None:
    before = neighbours_of(street)

    street.rmtree("/a")

    assert neighbours_of(street) == before
    assert street.listdir() == sorted(NEIGHBOURS)


@pytest.mark.parametrize("verb", ["rename", "replace", "move"])
def test_rename_touches_no_neighbour(street: VirtualFileSystem, verb: str) -> None:
    before = neighbours_of(street)

    getattr(street, verb)("/a", "/moved")

    assert neighbours_of(street) == before
    assert street.glob("/moved/**") == [
        "/moved",
        "/moved/in",
        "/moved/sub",
        "/moved/sub/deep",
    ]
    assert street.read_text("/moved/sub/deep") == "a"


def test_rename_onto_a_prefix_neighbour_keeps_both_apart(
    street: VirtualFileSystem,
) -> None:
    street.rmtree("/ab")

    street.rename("/a", "/ab")
    street.rename("/ab", "/ab0")
    street.rename("/ab0", "/a")

    assert street.read_text("/a/sub/deep") == "a"
    assert street.listdir() == sorted({"a", *NEIGHBOURS} - {"ab"})


def test_copytree_takes_no_neighbour(street: VirtualFileSystem) -> None:
    before = neighbours_of(street)

    street.copytree("/a", "/moved")

    assert neighbours_of(street) == before
    assert street.glob("/moved/**/*") == ["/moved/in", "/moved/sub", "/moved/sub/deep"]


@pytest.mark.parametrize(
    "pattern", ["/a/**", "/a/**/*", "/a/*/*", "/a/*", "/a/", "/a", "/a/**/", "/[a]/**"]
)
def test_glob_finds_no_neighbour(street: VirtualFileSystem, pattern: str) -> None:
    found = street.glob(pattern)

    assert found
    assert all(path == "/a" or path.startswith("/a/") for path in found)


def test_walk_visits_no_neighbour(street: VirtualFileSystem) -> None:
    assert [top for top, _, _ in street.walk("/a")] == ["/a", "/a/sub"]


def test_rmdir_of_an_empty_one_between_full_neighbours_works(
    mem: VirtualFileSystem,
) -> None:
    mem.mkdir("/a")
    mem.write_text("/a0/x", "x")
    mem.write_text("/a-/x", "x")

    mem.rmdir("/a")

    assert mem.listdir() == ["a-", "a0"]


# --- what is taken for a path ---------------------------------------------------------


class Named(str):
    """A str of another class."""

    __slots__ = ()


class Pathish:
    """The least an os.PathLike can be."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return self.path


KINDS = [str, Named, Pathish, PurePath, PurePosixPath, Path]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["x", "é"])
def test_every_kind_of_path_is_taken_as_its_text(
    mem: VirtualFileSystem, kind: Callable[[str], Named], name: str
) -> None:
    first, second = kind(f"/d/{name}"), kind(f"/d/{name}2")

    mem.write_text(first, "text")
    mem.copy(first, second)
    mem.symlink(kind(name), kind("/d/link"))

    assert mem.read_text(second) == "text"
    assert mem.listdir(kind("/d")) == sorted(["link", name, f"{name}2"])
    assert mem.readlink(kind("/d/link")) == name
    assert type(mem.glob(kind("/d/*"))[0]) is str
    assert type(mem.copy2(first, second)) is str
    assert type(next(mem.walk(kind("/d")))[0]) is str


def test_a_dir_entry_is_a_path(mem: VirtualFileSystem) -> None:
    mem.write_text("/d/x", "text")

    (entry,) = mem.scandir("/d")

    assert mem.read_text(entry) == "text"


@pytest.mark.parametrize(
    "spelling",
    [
        "/a/b",
        "a/b",
        "//a//b",
        "/a/b/",
        "/./a/./b/.",
        "/x/../a/b",
        "/../../a/b",
        "a/b//",
    ],
)
def test_spellings_of_one_path_lead_to_one_file(
    mem: VirtualFileSystem, spelling: str
) -> None:
    mem.write_text("/a/b", "text")

    assert mem.read_text(spelling) == "text"
    assert mem.samefile(spelling, "/a/b")
    with mem.open(spelling) as f:
        assert f.name == "/a/b"


@pytest.mark.parametrize("spelling", ["x/", "/x//", "./x", "/d/../x"])
def test_errors_name_the_normalised_path(mem: VirtualFileSystem, spelling: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        mem.read_bytes(spelling)

    assert caught.value.filename == "/x"
