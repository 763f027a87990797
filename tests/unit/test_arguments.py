"""Arguments other than paths and modes."""

from __future__ import annotations

import array
import errno
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratavfs import InvalidArgument, InvalidType
from stratavfs import _arguments as arguments

# --- the constructor's ----------------------------------------------------------------


@pytest.mark.parametrize("location", ["a.db", ":memory:", "/tmp/50% ?#.db"])
def test_checked_location_text_is_kept(location: str) -> None:
    assert arguments.checked_location(location, "db_path") == location


def test_checked_location_pathlike_gives_its_text() -> None:
    assert arguments.checked_location(Path("x") / "a.db", "x") == os.path.join(
        "x", "a.db"
    )


@pytest.mark.parametrize("location", [None, 3, b"a.db", [":memory:"]])
def test_checked_location_wrong_type_is_invalid_type(location: Any) -> None:
    with pytest.raises(InvalidType, match=":memory:"):
        arguments.checked_location(location, "db_path")


@pytest.mark.parametrize("location", ["", "a\0b"])
def test_checked_location_nameless_is_invalid_argument(location: str) -> None:
    with pytest.raises(InvalidArgument, match="names no file"):
        arguments.checked_location(location, "db_path")


@pytest.mark.parametrize("timeout", [0, 0.5, 5, 2_000_000])
def test_checked_timeout_seconds_are_kept(timeout: float) -> None:
    assert arguments.checked_timeout(timeout) == timeout


@pytest.mark.parametrize("timeout", [-1, -0.1, 2_000_001, math.inf, math.nan])
def test_checked_timeout_impossible_is_invalid_argument(timeout: float) -> None:
    with pytest.raises(InvalidArgument, match="timeout"):
        arguments.checked_timeout(timeout)


@pytest.mark.parametrize("timeout", [None, "5", True, 1j])
def test_checked_timeout_wrong_type_is_invalid_type(timeout: Any) -> None:
    with pytest.raises(InvalidType, match="timeout"):
        arguments.checked_timeout(timeout)


def test_checked_choice_known_word_is_kept() -> None:
    assert arguments.checked_choice("what", "b", ("a", "b")) == "b"


@pytest.mark.parametrize("word", ["c", "A", "", None, 1])
def test_checked_choice_unknown_word_names_the_known(word: Any) -> None:
    with pytest.raises(InvalidArgument, match="what should be one of a, b"):
        arguments.checked_choice("what", word, ("a", "b"))


# --- bytes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"abc",
        bytearray(b"abc"),
        memoryview(b"abc"),
        memoryview(b"xaxbxc")[1::2],
        memoryview(b"abcdef").cast("B", (2, 3)),
        array.array("H", [1, 2, 3]),
        memoryview(array.array("H", [1, 2, 3, 4]))[::2],
        b"",
        array.array("H"),
        memoryview(b"abc")[::-1],
    ],
    ids=repr,
)
def test_as_view_any_buffer_gives_flat_bytes(content: Any) -> None:
    view = arguments.as_view(content)

    assert (view.format, view.ndim, view.c_contiguous) == ("B", 1, True)
    assert bytes(view) == memoryview(content).tobytes()
    assert len(view) == memoryview(content).nbytes


def test_as_view_plain_bytes_are_not_copied() -> None:
    content = bytearray(b"abc")

    view = arguments.as_view(content)
    content[0] = ord("X")

    assert bytes(view) == b"Xbc"


@pytest.mark.parametrize("content", ["abc", None, 3, [1, 2]])
def test_as_view_other_type_is_invalid_type(content: Any) -> None:
    with pytest.raises(InvalidType, match=f"not {type(content).__name__!r}"):
        arguments.as_view(content)


# --- text: open() on the disk is the judge --------------------------------------------

TEXTS = st.text(alphabet="aä\r\n", max_size=8)
NEWLINES = st.sampled_from([None, "", "\n", "\r", "\r\n"])


@pytest.fixture(scope="module")
def disk_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text") / "file"


@given(text=TEXTS, newline=NEWLINES)
def test_encoded_any_text_is_what_open_writes(
    disk_file: Path, text: str, newline: str | None
) -> None:
    with open(disk_file, "w", encoding="utf-8", newline=newline) as file:
        file.write(text)

    assert arguments.encoded(text, None, None, newline) == disk_file.read_bytes()


@given(text=TEXTS, newline=NEWLINES)
def test_decoded_any_bytes_are_what_open_reads(
    disk_file: Path, text: str, newline: str | None
) -> None:
    disk_file.write_bytes(text.encode())
    with open(disk_file, encoding="utf-8", newline=newline) as file:
        expected = file.read()

    assert arguments.decoded(text.encode(), None, None, newline) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encoded_and_decoded_other_encoding_gives_text_back(encoding: str) -> None:
    data = arguments.encoded("zwölf\n", encoding, None, "\n")

    assert data == "zwölf\n".encode(encoding)
    assert arguments.decoded(data, encoding, None, None) == "zwölf\n"


def test_encoded_error_handler_is_used() -> None:
    assert arguments.encoded("aé", "ascii", "replace", "\n") == b"a?"
    assert arguments.decoded(b"a\xe9", "ascii", "ignore", None) == "a"


def test_encoded_impossible_character_raises() -> None:
    with pytest.raises(UnicodeEncodeError):
        arguments.encoded("é", "ascii", None, None)
    with pytest.raises(UnicodeDecodeError):
        arguments.decoded(b"\xff", None, None, None)


@pytest.mark.parametrize("content", [b"a", None, 3])
def test_encoded_wrong_type_is_invalid_type(content: Any) -> None:
    with pytest.raises(InvalidType, match="content should be str"):
        arguments.encoded(content, None, None, None)


@pytest.mark.parametrize("newline", ["x", "\n\r"])
def test_encoded_illegal_newline_is_invalid_argument(newline: str) -> None:
    with pytest.raises(InvalidArgument, match="illegal newline"):
        arguments.encoded("a", None, None, newline)
    with pytest.raises(InvalidArgument, match="illegal newline"):
        arguments.decoded(b"a", None, None, newline)


# --- links and attributes -------------------------------------------------------------


@pytest.mark.parametrize("target", ["a", "../a//b/", "/", "." * 255, "x/" * 2047 + "x"])
def test_checked_target_text_is_kept_as_it_is(target: str) -> None:
    assert arguments.checked_target(target) == target


@pytest.mark.parametrize("target", ["", "a\0", "\udcff"], ids=ascii)
def test_checked_target_impossible_is_invalid_argument(target: str) -> None:
    with pytest.raises(InvalidArgument):
        arguments.checked_target(target)


def test_checked_target_too_long_is_name_too_long() -> None:
    with pytest.raises(OSError) as caught:
        arguments.checked_target("x/" * 2048)

    assert caught.value.errno == errno.ENAMETOOLONG


@pytest.mark.parametrize("name", ["user.comment", "a", "ä b"])
def test_checked_attribute_name_is_kept(name: str) -> None:
    assert arguments.checked_attribute(name) == name


@pytest.mark.parametrize("name", [b"user.a", None, 1, Path("a")])
def test_checked_attribute_wrong_type_is_invalid_type(name: Any) -> None:
    with pytest.raises(InvalidType):
        arguments.checked_attribute(name)


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800"], ids=ascii)
def test_checked_attribute_impossible_is_invalid_argument(name: str) -> None:
    with pytest.raises(InvalidArgument):
        arguments.checked_attribute(name)


@pytest.mark.parametrize("value", [-1, 0, 1000, (1 << 32) - 1, "ann", "Zoë"])
def test_checked_owner_number_or_name_is_kept(value: int | str) -> None:
    assert arguments.checked_owner("uid", value) == value


@pytest.mark.parametrize("value", [-2, 1 << 32, "", "a\0"])
def test_checked_owner_impossible_is_invalid_argument(value: int | str) -> None:
    with pytest.raises(InvalidArgument):
        arguments.checked_owner("uid", value)


@pytest.mark.parametrize("value", [None, 1.5, b"ann"])
def test_checked_owner_wrong_type_is_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        arguments.checked_owner("uid", value)


# --- times ----------------------------------------------------------------------------


def test_checked_times_neither_means_now() -> None:
    assert arguments.checked_times(None, None) is None


def test_checked_times_both_is_invalid_argument() -> None:
    with pytest.raises(InvalidArgument, match="not both"):
        arguments.checked_times((1, 1), (1, 1))


@pytest.mark.parametrize("times", [(1,), (1, 2, 3), ("a", "b"), 7])
def test_checked_times_no_pair_of_numbers_is_refused(times: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        arguments.checked_times(times, None)
    with pytest.raises((TypeError, ValueError)):
        arguments.checked_times(None, times)


def test_checked_times_fraction_of_nanosecond_is_type_error() -> None:
    not_whole: Any = (1.5, 2)

    with pytest.raises(TypeError):
        arguments.checked_times(None, not_whole)


@given(seconds=st.floats(-1e9, 1e10) | st.integers(-(10**9), 10**10))
def test_nanoseconds_any_moment_is_that_of_os_utime(
    disk_file: Path, seconds: float
) -> None:
    disk_file.touch()
    os.utime(disk_file, (seconds, seconds))

    assert arguments.nanoseconds(seconds) == disk_file.stat().st_mtime_ns
