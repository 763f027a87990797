"""Paths: the one function that makes a ``VPath``, and the arithmetic on them."""

from __future__ import annotations

import errno
import posixpath
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icontract import ViolationError

from stratavfs import InvalidArgument, InvalidType, _paths
from stratavfs._paths import ROOT, normalize
from stratavfs.records import VPath

# Few letters, so that every special spelling comes up often; the last two are one and
# four bytes of UTF-8, and the space keeps a length on the quick road's border.
TEXTS = st.text(alphabet="/.aé\U0001f600 ", min_size=1, max_size=80)
PATHS = TEXTS.map(normalize)


class Text(str):
    """A subclass of ``str``, as enum members and numpy's strings are."""

    __slots__ = ()


class Location:
    """An ``os.PathLike`` of whatever it was made with."""

    def __init__(self, text: Any) -> None:
        self.text = text

    def __fspath__(self) -> Any:
        return self.text


# --- normal form ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("/", "/"),
        ("//", "/"),
        (".", "/"),
        ("..", "/"),
        ("/..", "/"),
        ("/../../a", "/a"),
        ("a", "/a"),
        ("a/b/", "/a/b"),
        ("///a//b//", "/a/b"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a"),
        ("/a/.", "/a"),
        ("/.a/..b/...", "/.a/..b/..."),
        ("/ ", "/ "),
        ("/a b", "/a b"),
        ("/%_*?['\"]\\\n", "/%_*?['\"]\\\n"),
        ("/ä", "/ä"),
        ("/a\N{COMBINING DIAERESIS}", "/a\N{COMBINING DIAERESIS}"),
    ],
)
def test_normalize_spelling_gives_normal_form(text: str, normal: str) -> None:
    assert normalize(text) == normal


@given(text=TEXTS)
def test_normalize_any_text_agrees_with_posixpath(text: str) -> None:
    # Three leading slashes, because POSIX gives exactly two a meaning of their own.
    assert normalize(text) == posixpath.normpath("///" + text)


@given(path=PATHS)
def test_normalize_normal_form_changes_nothing(path: VPath) -> None:
    assert normalize(path) == path


@pytest.mark.parametrize(
    "path",
    [
        Text("/a/../b"),
        Text("/b"),
        PurePath("/b"),
        PurePosixPath("b/"),
        PureWindowsPath("\\a\\..\\b"),
        Location("/b"),
        Location(Text("/b")),
    ],
    ids=repr,
)
def test_normalize_other_text_type_gives_plain_str(path: Any) -> None:
    if isinstance(path, PureWindowsPath):
        path = PureWindowsPath("\\b")

    found = normalize(path)

    assert found == "/b"
    assert type(found) is str


@pytest.mark.parametrize(
    "path", [b"/a", None, 1, 1.5, ["/a"], Location(b"/a"), bytearray(b"/a")], ids=repr
)
def test_normalize_wrong_type_is_invalid_type(path: Any) -> None:
    with pytest.raises(InvalidType) as caught:
        normalize(path)

    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ViolationError)
    assert type(path).__name__ in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "\0", "/a\0", "/a\0b/c", "/\ud800", "/a/\udcff", Text("")],
    ids=ascii,
)
def test_normalize_impossible_text_is_invalid_argument(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        normalize(text)

    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, ViolationError)


def test_checked_text_keeps_spelling() -> None:
    assert _paths.checked_text("../a//b/") == "../a//b/"


# --- lengths --------------------------------------------------------------------------

DEEP = "/" + "/".join(["d" * 255] * 15)  # 3,840 bytes


@pytest.mark.parametrize(
    "path",
    [
        "/" + "n" * 255,
        "/" + "é" * 127 + "n",
        "/" + "\U0001f600" * 63 + "abc",
        "/d/" + "n" * 255 + "/e",
        DEEP + "/" + "n" * (4095 - len(DEEP) - 1),
    ],
)
def test_normalize_longest_path_is_accepted(path: str) -> None:
    assert normalize(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "/" + "n" * 256,
        "/" + "é" * 128,
        "/" + "\U0001f600" * 64,
        "/d/" + "n" * 256 + "/e",
        DEEP + "/" + "n" * (4096 - len(DEEP) - 1),
        "/a" * 2048,
    ],
)
def test_normalize_longer_path_is_name_too_long(path: str) -> None:
    with pytest.raises(OSError) as caught:
        normalize(path)

    assert caught.value.errno == errno.ENAMETOOLONG
    assert caught.value.filename == path


def test_normalize_long_spelling_of_short_path_is_accepted() -> None:
    assert normalize("/" + "x/../" * 2000 + "a") == "/a"


# --- taking apart and putting together ------------------------------------------------


@given(path=PATHS)
def test_split_any_path_gives_its_parts(path: VPath) -> None:
    parent, name = _paths.split(path)

    assert parent + name == path
    if path == ROOT:
        assert (parent, name) == ("", "/")
    else:
        assert parent == _paths.inside(_paths.parent_of(path))
        assert name == _paths.name_of(path)
        assert "/" not in name


@given(path=PATHS)
def test_join_parent_and_name_gives_path_back(path: VPath) -> None:
    name = _paths.name_of(path)

    assert (name == "") == (path == ROOT)
    if name:
        assert _paths.join(_paths.parent_of(path), name) == path


@given(path=PATHS)
def test_parent_of_any_path_agrees_with_posixpath(path: VPath) -> None:
    assert _paths.parent_of(path) == posixpath.dirname(path)
    assert _paths.name_of(path) == posixpath.basename(path)


@given(path=PATHS, directory=PATHS)
def test_is_within_any_pair_agrees_with_segments(path: VPath, directory: VPath) -> None:
    above = PurePosixPath(directory)

    assert _paths.is_within(path, directory) == PurePosixPath(path).is_relative_to(
        above
    )


@given(path=PATHS, directory=PATHS)
def test_below_any_pair_holds_exactly_what_lies_below(
    path: VPath, directory: VPath
) -> None:
    first, end = _paths.below(directory)

    parent, _ = _paths.split(path)
    # SQLite compares by bytes of UTF-8, Python by code points: the same order.
    in_range = first.encode() <= parent.encode() < end.encode()

    assert in_range == (path != directory and _paths.is_within(path, directory))


@pytest.mark.parametrize("neighbour", ["/a-b/x", "/ab/x", "/a0/x", "/a.d/x", "/A/x"])
def test_below_neighbour_with_same_prefix_is_outside(neighbour: str) -> None:
    first, end = _paths.below(VPath("/a"))

    assert not first <= _paths.split(VPath(neighbour))[0] < end


@pytest.mark.parametrize(
    ("path", "top", "expected"),
    [
        ("/a/b/c", "/a", ["/a", "/a/b"]),
        ("/a/b/c", "/a/b", ["/a/b"]),
        ("/a/b/c", "/a/b/c", []),
        ("/a", "/a", []),
    ],
)
def test_ancestors_from_top_lists_directories_above(
    path: str, top: str, expected: list[str]
) -> None:
    assert list(_paths.ancestors(VPath(path), VPath(top))) == expected
