"""Glob patterns: pure functions that turn one into tests on names and paths.

The rules are those of ``pathlib.Path.glob``: ``*`` and ``?`` stay within one segment,
``**`` as a whole segment crosses any number of directories, ``[a-z]`` and ``[!a]`` (or
``[^a]``) are sets, and names that begin with a dot match like any other.
"""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from stratavfs import _paths

if TYPE_CHECKING:
    from collections.abc import Callable

RECURSIVE: Final = "**"
_WILD: Final = re.compile(r"[*?[]")
# A set: a bracket right at its start is a member. Possessive, so that "[^]" is none.
_SET: Final = re.compile(r"\[[!^]?+\]?+[^\]]*+\]")


class Pattern(NamedTuple):
    """A parsed pattern: its segments below the root, and what may match."""

    segments: tuple[str, ...]
    directories_only: bool
    """The pattern ends with a slash."""


def parse(pattern: _paths.StrPath) -> Pattern:
    """Parse *pattern*; a relative one starts at the root.

    >>> parse("/a//*.py")
    Pattern(segments=('a', '*.py'), directories_only=False)
    >>> parse("**/")
    Pattern(segments=('**',), directories_only=True)

    Raises:
        InvalidType, InvalidArgument: as for a path.
    """
    text = _paths.checked_text(pattern)
    segments: list[str] = []
    for name in text.split("/"):
        if name == "..":
            del segments[-1:]
        elif name == RECURSIVE and segments[-1:] == [RECURSIVE]:
            continue  # twice crosses no more than once
        elif name not in ("", "."):
            segments.append(name)
    return Pattern(tuple(segments), directories_only=text.endswith("/"))


def is_wild(segment: str) -> bool:
    """Tell whether *segment* can match more than its own text.

    >>> is_wild("a*"), is_wild("a")
    (True, False)
    """
    return _WILD.search(segment) is not None


@lru_cache(maxsize=256)
def matcher(segment: str) -> Callable[[str], object]:
    """Return a test of one name against one segment.

    >>> bool(matcher("[!a]?.txt")("bc.txt")), bool(matcher("*.[^c]")("x.c"))
    (True, False)
    """
    return re.compile(fnmatch.translate(_SET.sub(_with_bang, segment))).match


def _with_bang(found: re.Match[str]) -> str:
    """Spell the set ``[^a]`` as ``[!a]``, the only negation that fnmatch knows."""
    text = found[0]
    return "[!" + text[2:] if text[1] == "^" else text


def name_filter(segment: str) -> str:
    """Return a pattern for SQLite's GLOB that lets through all that *segment* matches.

    SQLite tests names three times faster than Python sees them. Its sets differ in
    detail from ours, so a segment with one is let through whole and left to
    :func:`matcher`.

    >>> name_filter("*.py"), name_filter("[!a]*"), name_filter("**")
    ('*.py', '*', '*')
    """
    return segment.replace(RECURSIVE, "*") if is_filter_exact(segment) else "*"


def is_filter_exact(segment: str) -> bool:
    """Tell whether :func:`name_filter` lets through nothing that does not match.

    >>> is_filter_exact("*.py"), is_filter_exact("[!a]*")
    (True, False)
    """
    return "[" not in segment and len(segment) <= _paths.NAME_LIMIT
