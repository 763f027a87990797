"""What the model tests draw: names, paths, contents, modes, patterns, times.

The universe is small, so that one step often meets what another has made; and it holds
what has gone wrong in file systems: names that begin like another, that are patterns or
SQL wildcards, two spellings of one letter, and arguments that are refused.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st


def effort(examples: int, steps: int) -> settings:
    """Return how long a state machine runs: as given, and as much longer by night."""
    usual = settings.get_profile("default").max_examples
    return settings(
        max_examples=examples * settings().max_examples // usual,
        stateful_step_count=steps,
    )


CHUNK_SIZES = (2, 3, 64, 65536)

NAMES = ("a", "ab", "b", "a-b", "a0", "a*", "[x]", "%", "_", "\u00e9", "e\u0301")

PATHS = (
    *(f"/{name}" for name in NAMES),
    *(f"/a/{name}" for name in ("a", "ab", "b", "%", "\u00e9")),
    *(f"/{name}/a" for name in ("ab", "b", "a-b", "a0")),
    "/b/ab",
    "/b/b",
    "/a/a/a",
    "/a/a/b",
    "/a/b/a",
    "/",
)

# Other spellings of some of them, and what is no path.
ODD_PATHS: tuple[Any, ...] = (
    "a",
    "//a//b/",
    "/a/../b",
    "/../a/./",
    PurePosixPath("/a/b"),
    "/" + "n" * 256,
    "",
    "a\0b",
    "/\ud800",
    b"/a",
    None,
)

# Targets of symbolic links, broken and looping ones included.
TARGETS = (
    "a",
    "b",
    "a/b",
    "/a",
    "/b/a",
    "/",
    "../a",
    "../../b/a",
    "./a//b",
    "a/../b",
    ".",
    "\u00e9",
)

paths = st.sampled_from(PATHS)
any_paths: st.SearchStrategy[Any] = st.sampled_from(PATHS * 3 + ODD_PATHS)
targets = st.sampled_from(TARGETS)
chunk_sizes = st.sampled_from(CHUNK_SIZES)

# Around every chunk size, the limit of inline content, and io's own buffer; the longest
# are rare, since two bytes a chunk make many chunks of them.
LENGTHS = (0, 1, 2, 3, 4, 5, 63, 64, 65)
lengths = st.sampled_from(LENGTHS * 4 + (4096, 4097, 8193))


def content_of(length: int) -> bytes:
    r"""Return *length* bytes of which no two near each other are the same.

    >>> content_of(3)
    b'\x00\x01\x02'
    """
    return (bytes(range(251)) * (length // 251 + 1))[:length]


contents = st.one_of(
    st.binary(max_size=6),
    lengths.map(content_of),
)
texts = st.sampled_from(
    ("", "a", "one\ntwo\r\nthree\rfour", "\u00e9\u20ac\U0001f600\n", "\ud800")
)
newlines = st.sampled_from((None, "", "\n", "\r", "\r\n", "x"))
truncations = st.sampled_from((*LENGTHS, 4096, 4097, -1))

# A host that enforces modes must still let its owner in, and has a umask of 0o022.
permissions = st.sampled_from((0o700, 0o755, 0o711, 0o750))

# All before the tests were written: a time that nobody set is later than these.
moments = st.sampled_from((0, 1, 999_999_999, 1_500_000_000_123_456_789))
seconds = st.sampled_from((0, 1.1, 1.5, 1234567.891, 1_500_000_000.3))

SEGMENTS = ("*", "**", "a", "a*", "?", "[!a]*", "[^a]", "[x]", "[[]x]", "b", "%", "a?b")
patterns = st.one_of(
    st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3).map("/".join),
    st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=2).map(
        lambda names: "/" + "/".join(names) + "/"
    ),
    st.sampled_from(("/", "", "a\0", b"*", "*/../a", ".", "**/..")),
)
