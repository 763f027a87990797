"""What is no path is refused by every method, in every place, and changes nothing."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import icontract
import pytest
from tests.conformance.calls import CALLS, tree_of

from stratavfs import InvalidArgument, InvalidType

if TYPE_CHECKING:
    from stratavfs import VirtualFileSystem


class FromBytes:
    """An os.PathLike of bytes."""

    def __fspath__(self) -> bytes:
        return b"/x"


IMPOSSIBLE = ["", "/a\0b", "/a/\udcff/b"]
WRONG_TYPES = [None, b"/x", 1, ["/x"], FromBytes(), str]
TOO_LONG = [
    "/" + "x" * 256,
    "/" + "é" * 128,
    "/" + "😀" * 64 + "/y",
    "/" + "y/" * 2048,
]


PATTERNS = {"glob.pattern", "iglob.pattern"}
# As those of os.path, these say no instead of raising.
PREDICATES = {f"{name}.path" for name in ("exists", "lexists", "isfile", "isdir")}
PREDICATES.add("islink.path")


@pytest.fixture
def furnished(mem: VirtualFileSystem) -> VirtualFileSystem:
    mem.write_bytes("/other", b"other")
    mem.makedirs("/dir/sub")
    return mem


@pytest.mark.parametrize("bad", IMPOSSIBLE, ids=ascii)
@pytest.mark.parametrize("place", sorted(CALLS))
def test_impossible_path_is_refused_everywhere(
    furnished: VirtualFileSystem, place: str, bad: str
) -> None:
    before = tree_of(furnished)

    with pytest.raises(InvalidArgument) as caught:
        CALLS[place](furnished, bad)

    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, icontract.ViolationError)
    assert tree_of(furnished) == before


@pytest.mark.parametrize("bad", WRONG_TYPES, ids=repr)
@pytest.mark.parametrize("place", sorted(CALLS))
def test_path_of_a_wrong_type_is_refused_everywhere(
    furnished: VirtualFileSystem, place: str, bad: Any
) -> None:
    before = tree_of(furnished)

    with pytest.raises(InvalidType) as caught:
        CALLS[place](furnished, bad)

    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, icontract.ViolationError)
    assert tree_of(furnished) == before


@pytest.mark.parametrize("bad", TOO_LONG, ids=lambda bad: f"{bad[1]}{len(bad)}")
@pytest.mark.parametrize("place", sorted(set(CALLS) - PATTERNS - PREDICATES))
def test_path_too_long_is_refused_everywhere(
    furnished: VirtualFileSystem, place: str, bad: str
) -> None:
    before = tree_of(furnished)

    with pytest.raises(OSError, match="too long") as caught:
        CALLS[place](furnished, bad)

    assert caught.value.errno == errno.ENAMETOOLONG
    assert caught.value.filename in {bad, bad.rstrip("/")}
    assert tree_of(furnished) == before


@pytest.mark.parametrize("bad", TOO_LONG, ids=lambda bad: f"{bad[1]}{len(bad)}")
@pytest.mark.parametrize("place", sorted(PREDICATES))
def test_path_too_long_is_nothing_to_a_predicate(
    furnished: VirtualFileSystem, place: str, bad: str
) -> None:
    assert CALLS[place](furnished, bad) is False


@pytest.mark.parametrize("bad", TOO_LONG, ids=lambda bad: f"{bad[1]}{len(bad)}")
def test_pattern_too_long_for_any_path_matches_nothing(
    furnished: VirtualFileSystem, bad: str
) -> None:
    assert furnished.glob(bad) == []
    assert list(furnished.iglob(bad)) == []


def test_path_at_the_limit_of_4095_bytes_is_taken(mem: VirtualFileSystem) -> None:
    path = "/" + "/".join(["y" * 255] * 15) + "/" + "z" * 254
    assert len(path) == 4095

    mem.write_text(path, "deep")

    assert mem.read_text(path) == "deep"
    assert mem.glob("**/z*") == [path]


def test_rename_that_would_make_a_path_below_too_long_is_refused(
    mem: VirtualFileSystem,
) -> None:
    path = "/a/" + "/".join(["y" * 255] * 15) + "/" + "z" * 250
    mem.write_text(path, "deep")
    before = tree_of(mem)

    with pytest.raises(OSError, match="too long") as caught:
        mem.rename("/a", "/" + "b" * 10)

    assert caught.value.errno == errno.ENAMETOOLONG
    assert (caught.value.filename, caught.value.filename2) == ("/a", "/bbbbbbbbbb")
    assert tree_of(mem) == before


def test_copytree_that_would_make_a_path_too_long_is_refused(
    mem: VirtualFileSystem,
) -> None:
    path = "/a/" + "/".join(["y" * 255] * 15) + "/" + "z" * 250
    mem.write_text(path, "deep")
    before = tree_of(mem)

    with pytest.raises(OSError, match="too long") as caught:
        mem.copytree("/a", "/" + "b" * 10)

    assert caught.value.errno == errno.ENAMETOOLONG
    assert tree_of(mem) == before


def test_copy_into_a_directory_that_makes_the_path_too_long_is_refused(
    mem: VirtualFileSystem,
) -> None:
    deep = "/" + "/".join(["y" * 255] * 15)
    mem.makedirs(deep)
    mem.write_text("/" + "z" * 255, "x")
    before = tree_of(mem)

    for verb in (mem.copy, mem.copy2, mem.move):
        with pytest.raises(OSError, match="too long") as caught:
            verb("/" + "z" * 255, deep)

        assert caught.value.errno == errno.ENAMETOOLONG
    assert tree_of(mem) == before
