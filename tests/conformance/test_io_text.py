"""A text handle does what the builtin ``open`` does with one of the disk."""

from __future__ import annotations

import io
import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.conformance.outcomes import World, assert_same, outcome, outcomes

if TYPE_CHECKING:
    from pathlib import Path

    from stratavfs import VirtualFileSystem

MODES = [base + plus for base, plus in itertools.product("rwax", ("", "+"))]
NEWLINES = (None, "", "\n", "\r", "\r\n")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "latin-1")
MIXED = "één\ntwee\r\ndrie\rvier\n\r\n\r\rvijf"


@pytest.mark.parametrize("newline", NEWLINES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_write_and_read_text_translates_as_the_disk(
    vfs: VirtualFileSystem, tmp_path: Path, encoding: str, newline: str | None
) -> None:
    def script(world: World) -> object:
        with world.open("f", "w", encoding=encoding, newline=newline) as f:
            count = f.write(MIXED)
        with world.open("f", encoding=encoding, newline=newline) as f:
            lines, ends = list(f), f.newlines
        with world.open("f", encoding=encoding) as f:
            pieces = [f.read(1), f.readline(), f.readline(2), f.read()]
        return count, lines, ends, pieces, world.get("f")

    assert_same(vfs, tmp_path, script)


@pytest.mark.parametrize("newline", NEWLINES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_whole_file_calls_translate_as_handles_do(
    mem: VirtualFileSystem, encoding: str, newline: str | None
) -> None:
    with mem.open("/by-handle", "w", encoding=encoding, newline=newline) as f:
        f.write(MIXED)

    count = mem.write_text("/whole", MIXED, encoding, None, newline)

    assert count == len(MIXED)
    assert mem.read_bytes("/whole") == mem.read_bytes("/by-handle")
    with mem.open("/whole", encoding=encoding, newline=newline) as f:
        assert mem.read_text("/whole", encoding, None, newline) == f.read()


@pytest.mark.parametrize(
    "errors", ["strict", "ignore", "replace", "surrogateescape", "backslashreplace"]
)
@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "utf-16"])
def test_read_what_cannot_be_decoded_answers_as_the_disk(
    vfs: VirtualFileSystem, tmp_path: Path, encoding: str, errors: str
) -> None:
    def script(world: World) -> object:
        world.put("f", b"ab\xff\xfe\x80\nc\xd8")
        with world.open("f", encoding=encoding, errors=errors) as f:
            seen = outcomes([f.readline, f.read, f.tell])
            return seen, f.errors, f.encoding

    assert_same(vfs, tmp_path, script)


@pytest.mark.parametrize(
    "errors",
    ["strict", "ignore", "replace", "xmlcharrefreplace", "surrogateescape"],
)
def test_write_what_cannot_be_encoded_answers_as_the_disk(
    vfs: VirtualFileSystem, tmp_path: Path, errors: str
) -> None:
    def script(world: World) -> object:
        with world.open("f", "w", encoding="ascii", errors=errors) as f:
            seen = outcomes([lambda: f.write("a€b\udc80"), lambda: f.write("c")])
        return seen, world.get("f")

    assert_same(vfs, tmp_path, script)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("buffering", [-1, 1, 3])
def test_use_text_in_every_mode_agrees_with_the_disk(
    vfs: VirtualFileSystem, tmp_path: Path, mode: str, buffering: int
) -> None:
    def script(world: World) -> object:
        if "x" not in mode:
            world.put("f", "één\ntwee\n".encode())
        with world.open("f", mode, buffering) as f:
            seen = outcomes(
                [
                    lambda: f.read(2),
                    f.readline,
                    lambda: f.seek(0),
                    lambda: f.write("ö"),
                    f.flush,
                    lambda: f.seek(0, os.SEEK_END),
                    lambda: f.writelines(["x\n", "y"]),
                    f.tell,
                    lambda: f.seek(0),
                    f.read,
                    lambda: f.truncate(3),
                    f.readable,
                    f.writable,
                    f.seekable,
                    lambda: f.mode,
                    lambda: f.buffer.mode,
                    lambda: type(f.buffer).__name__,
                    lambda: f.line_buffering,
                    lambda: f.seek(1, os.SEEK_CUR),
                    lambda: f.seek(-1, os.SEEK_END),
                    lambda: f.seek(-1),
                ]
            )
        return seen, world.get("f")

    assert_same(vfs, tmp_path, script)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig", "shift_jis"])
def test_seek_to_a_text_cookie_returns_to_that_character(
    vfs: VirtualFileSystem, tmp_path: Path, encoding: str
) -> None:
    text = "あいう\nabc\nえお\n" * 3

    def script(world: World) -> object:
        with world.open("f", "w", encoding=encoding) as f:
            f.write(text)
        with world.open("f", encoding=encoding) as f:
            cookies = []
            while True:
                cookies.append(f.tell())
                if not f.read(2):
                    break
            seen = []
            for cookie in reversed(cookies):
                f.seek(cookie)
                seen.append(f.read(3))
        return cookies, seen

    assert_same(vfs, tmp_path, script)


def test_tell_while_iterating_text_is_refused_as_on_disk(
    mem: VirtualFileSystem, tmp_path: Path
) -> None:
    def script(world: World) -> object:
        world.put("f", b"a\nb\n")
        with world.open("f") as f:
            return next(f), outcome(f.tell), f.readline(), outcome(f.tell)

    assert_same(mem, tmp_path, script)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_append_text_with_a_byte_order_mark_writes_it_once(
    vfs: VirtualFileSystem, tmp_path: Path, encoding: str
) -> None:
    def script(world: World) -> object:
        for word in ("een", "twee", "drie"):
            with world.open("f", "a", encoding=encoding) as f:
                f.write(word)
        with world.open("f", encoding=encoding) as f:
            return f.read(), world.get("f")

    assert_same(vfs, tmp_path, script)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_rewrite_text_from_its_start_writes_the_mark_again(
    vfs: VirtualFileSystem, tmp_path: Path, encoding: str
) -> None:
    def script(world: World) -> object:
        with world.open("f", "w+", encoding=encoding) as f:
            f.write("abc")
            f.seek(0)
            f.write("d")
            f.seek(0)
            return f.read(), world.get("f")

    assert_same(vfs, tmp_path, script)


def test_write_line_buffered_text_is_stored_at_each_newline(
    vfs: VirtualFileSystem, tmp_path: Path
) -> None:
    def script(world: World) -> object:
        seen = []
        with world.open("f", "w", 1) as f:
            for word in ("a", "b\n", "c\nd", "\r", "e"):
                f.write(word)
                seen.append(world.get("f"))
        return seen, world.get("f")

    assert_same(vfs, tmp_path, script)


def test_reconfigure_text_changes_it_as_on_disk(
    mem: VirtualFileSystem, tmp_path: Path
) -> None:
    def script(world: World) -> object:
        with world.open("f", "w") as f:
            f.write("é\n")
            f.reconfigure(encoding="latin-1", newline="\r\n", line_buffering=True)
            f.write("é\n")
            now = world.get("f")
        return now, f.encoding, f.line_buffering

    assert_same(mem, tmp_path, script)


def test_detach_text_leaves_its_buffer_usable(
    mem: VirtualFileSystem, tmp_path: Path
) -> None:
    def script(world: World) -> object:
        f = world.open("f", "w")
        f.write("text")
        buffer = f.detach()
        raw = buffer.detach()
        seen = [
            outcome(f.read),
            outcome(f.detach),
            outcome(lambda: buffer.write(b"")),
            raw.write(b"!"),
            raw.close(),
        ]
        return seen, world.get("f")

    assert_same(mem, tmp_path, script)


@pytest.mark.parametrize("data", [b"bytes", None, 1, bytearray(b"x")], ids=str)
def test_write_of_what_is_no_text_is_refused(
    mem: VirtualFileSystem, tmp_path: Path, data: Any
) -> None:
    def script(world: World) -> object:
        with world.open("f", "w") as f:
            refused = outcome(lambda: f.write(data))
        return refused, world.get("f")

    assert_same(mem, tmp_path, script)


def test_wrap_a_binary_handle_by_hand_reads_and_writes_text(
    vfs: VirtualFileSystem, tmp_path: Path
) -> None:
    def script(world: World) -> object:
        with io.TextIOWrapper(world.open("f", "wb"), "latin-1", newline="") as f:
            f.write("é\r\n")
        with io.TextIOWrapper(world.open("f", "rb", 0), "latin-1") as f:  # the raw one
            return f.read(), world.get("f")

    assert_same(vfs, tmp_path, script)
