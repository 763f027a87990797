"""Glob patterns: parsed into segments, matched by name."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratavfs import InvalidArgument, InvalidType, _patterns

if TYPE_CHECKING:
    from collections.abc import Iterator

SEGMENTS = st.text(alphabet="ab*?[]!^-.", min_size=1, max_size=7)
NAMES = st.text(alphabet="abc*?[]!^-.\n", min_size=1, max_size=4)


# --- parsing --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "segments", "directories_only"),
    [
        ("/", (), True),
        (".", (), False),
        ("*", ("*",), False),
        ("/a/./b", ("a", "b"), False),
        ("a//b/", ("a", "b"), True),
        ("/a/../b", ("b",), False),
        ("../a", ("a",), False),
        ("*/../b", ("b",), False),
        ("**", ("**",), False),
        ("**/**/a", ("**", "a"), False),
        ("**/a/**/**", ("**", "a", "**"), False),
        ("a**/b", ("a**", "b"), False),
    ],
)
def test_parse_pattern_gives_segments(
    pattern: str, segments: tuple[str, ...], directories_only: bool
) -> None:
    assert _patterns.parse(pattern) == (segments, directories_only)


@pytest.mark.parametrize("pattern", ["", "a\0", "\ud800"], ids=ascii)
def test_parse_impossible_text_is_invalid_argument(pattern: str) -> None:
    with pytest.raises(InvalidArgument):
        _patterns.parse(pattern)


@pytest.mark.parametrize("pattern", [b"*", None])
def test_parse_wrong_type_is_invalid_type(pattern: Any) -> None:
    with pytest.raises(InvalidType):
        _patterns.parse(pattern)


@pytest.mark.parametrize(
    ("segment", "wild"),
    [
        ("a", False),
        ("*", True),
        ("a?", True),
        ("[a]", True),
        ("]", False),
        ("!", False),
    ],
)
def test_is_wild_segment_tells_whether_it_has_a_sign(segment: str, wild: bool) -> None:
    assert _patterns.is_wild(segment) == wild


# --- matching: a second matcher, written from the rules and not with fnmatch ----------


def matches(segment: str, name: str) -> bool:
    """Match by trying everything: slow, and plain enough to believe."""
    if not segment:
        return not name
    head, rest = segment[0], segment[1:]
    if head == "*":
        return any(matches(rest, name[at:]) for at in range(len(name) + 1))
    if not name:
        return False
    if head == "?":
        return matches(rest, name[1:])
    if head == "[" and (parts := set_of(segment)) is not None:
        negated, members, rest = parts
        return (name[0] in members) != negated and matches(rest, name[1:])
    return head == name[0] and matches(rest, name[1:])


def set_of(segment: str) -> tuple[bool, set[str], str] | None:
    """Return (negated, members, what follows) of a set, None if it is never closed."""
    # Where nothing closes a "[^...]", pathlib's own reading is left: ^ is a member.
    for start in (2, 1) if segment[1:2] == "^" else (1 + (segment[1:2] == "!"),):
        end = segment.find("]", start + 1)  # a bracket right at the start is a member
        if end > 0:
            return start == 2, set(members_of(segment[start:end])), segment[end + 1 :]
    return None


def members_of(text: str) -> Iterator[str]:
    while text:
        if text[1:2] == "-" and len(text) > 2:
            yield from (chr(code) for code in range(ord(text[0]), ord(text[2]) + 1))
            text = text[3:]
        else:
            yield text[0]
            text = text[1:]


@given(segment=SEGMENTS, name=NAMES)
def test_matcher_any_name_agrees_with_the_rules(segment: str, name: str) -> None:
    assert bool(_patterns.matcher(segment)(name)) == matches(segment, name)


@pytest.mark.parametrize(
    ("segment", "name", "expected"),
    [
        ("*", ".hidden", True),
        ("*", "two\nlines", True),
        ("?", "\U0001f600", True),
        ("[a-c]x", "bx", True),
        ("[^a]", "a", False),
        ("[^a]", "b", True),
        ("[!a]", "a", False),
        ("[]]", "]", True),
        ("[^]]", "]", False),
        ("[^]", "^", True),
        ("[a", "[a", True),
        ("A", "a", False),
        ("*.PY", "x.py", False),
        ("a.c", "abc", False),
    ],
)
def test_matcher_special_sign_matches_by_the_rules(
    segment: str, name: str, expected: bool
) -> None:
    assert bool(_patterns.matcher(segment)(name)) == expected


# --- the filter in SQLite -------------------------------------------------------------


@pytest.fixture(scope="module")
def sqlite() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


@given(segment=SEGMENTS, name=NAMES)
def test_name_filter_never_hides_a_match(
    sqlite: sqlite3.Connection, segment: str, name: str
) -> None:
    args = (name, _patterns.name_filter(segment))

    (passes,) = sqlite.execute("SELECT ? GLOB ?", args).fetchone()

    assert passes or not matches(segment, name)


@pytest.mark.parametrize(
    ("segment", "expected"),
    [("*.py", "*.py"), ("a?", "a?"), ("[!a]", "*"), ("a" * 300, "*"), ("a**b", "a*b")],
)
def test_name_filter_segment_gives_what_sqlite_may_test(
    segment: str, expected: str
) -> None:
    assert _patterns.name_filter(segment) == expected
