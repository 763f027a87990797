"""Searching what is parted, layered, or vanishes while it is searched."""

from __future__ import annotations

import errno
import io
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs import InvalidArgument, InvalidType, VirtualFileSystem, _grep
from stratavfs.records import Inode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Vfs = VirtualFileSystem


@pytest.fixture
def layered(make_vfs: Callable[..., Vfs], tmp_path: Path) -> Vfs:
    """A file system over an empty directory, so that files are read in pieces."""
    (tmp_path / "base").mkdir()
    vfs: Vfs = make_vfs()
    vfs.add_underlay(tmp_path / "base")
    return vfs


# --- pieces ---------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 3, 7, 64])
@pytest.mark.parametrize("end", ["\r\nlast", "\r\n", ""])
def test_grep_parts_an_unending_line_and_no_character(
    layered: Vfs, monkeypatch: pytest.MonkeyPatch, piece: int, end: str
) -> None:
    for name, size in (("_PIECE", piece), ("_SMALL", 0), ("_TOLD_BY", 2)):
        monkeypatch.setattr(_grep, name, size)
    monkeypatch.setattr(_grep, "LONGEST_LINE", 8)
    text = "é☃𝄞x" * 20
    layered.write_text("/f", "first\n" + text + end, newline="")

    found = list(layered.grep(""))
    parts = [str(match.line) for match in found if match.line_number == 2]

    assert "".join(parts) == text
    assert len(parts) > 10
    assert all(4 < len(part.encode()) < 8 + piece for part in parts[:-1])
    rest = [match for match in found if match.line_number != 2]
    last = [("/f", 3, "last")] if "last" in end else []
    assert rest == [("/f", 1, "first"), *last]


@pytest.mark.parametrize("piece", [1, 3, 64])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("length", [7, 8, 9])
def test_grep_never_finds_an_empty_line_behind_one_that_is_as_long_as_may_be(
    layered: Vfs, monkeypatch: pytest.MonkeyPatch, length: int, end: str, piece: int
) -> None:
    for name, size in (("_PIECE", piece), ("_SMALL", 0), ("_TOLD_BY", 2)):
        monkeypatch.setattr(_grep, name, size)
    monkeypatch.setattr(_grep, "LONGEST_LINE", 8)
    line = "123456789"[:length]
    layered.write_text("/f", f"{line}{end}last{end}", newline="")

    found = [(match.line_number, str(match.line)) for match in layered.grep("")]

    assert all(part for _, part in found)
    assert "".join(part for number, part in found if number == 1) == line
    assert len(found) == 2 or length == 9
    assert found[-1] == (2, "last")


@pytest.mark.parametrize("size", [100, 1 << 17])
def test_grep_over_layers_leaves_binary_files_out_unless_told(
    layered: Vfs, size: int
) -> None:
    layered.write_bytes("/f", b"one\n\0\n".ljust(size, b"."))

    assert list(layered.grep("one")) == []
    assert list(layered.grep("one", binary=True)) == [("/f", 1, b"one")]


def test_grep_over_layers_of_an_empty_file_finds_nothing(layered: Vfs) -> None:
    layered.touch("/f")
    layered.write_text("/g", "x")

    assert [match.path for match in layered.grep("")] == ["/g"]


# --- what goes on meanwhile -----------------------------------------------------------


@pytest.mark.parametrize("where", ["mem", "layered"])
@pytest.mark.parametrize("instead", ["nothing", "directory", "link"])
def test_grep_passes_over_a_file_that_has_gone(
    request: pytest.FixtureRequest, where: str, instead: str
) -> None:
    vfs = request.getfixturevalue(where)
    for name in "abc":
        vfs.write_text(f"/{name}", "x")
    found = vfs.grep("x")
    first = next(found).path

    vfs.remove("/b")
    if instead == "directory":
        vfs.mkdir("/b")
    elif instead == "link":
        vfs.symlink("a", "/b")

    assert [first, *(match.path for match in found)] == ["/a", "/c"]


@pytest.mark.parametrize("where", ["mem", "layered"])
@pytest.mark.parametrize("instead", ["nothing", "file"])
def test_grep_passes_over_a_directory_that_has_gone(
    request: pytest.FixtureRequest, where: str, instead: str
) -> None:
    vfs = request.getfixturevalue(where)
    for name in ("/a", "/d/b", "/e/c"):
        vfs.write_text(name, "x")
    found = vfs.grep("x")
    first = next(found).path

    vfs.rmtree("/d")
    if instead == "file":
        vfs.write_text("/d", "x")

    assert [first, *(match.path for match in found)] == ["/a", "/e/c"]


def test_grep_passes_over_a_file_that_has_gone_from_its_layer(mem: Vfs) -> None:
    class Fickle:
        """Lists a file that is gone when it is opened."""

        def find(self, path: str) -> Inode | None:
            kinds = {"/": 0o40755, "/gone": 0o100644, "/there": 0o100644}
            return Inode(kinds[path], size=1) if path in kinds else None

        def kinds(self, path: str) -> list[tuple[str, int]]:
            return [("gone", 0o100000), ("there", 0o100000)]

        def open(self, path: str) -> Any:
            if path == "/gone":
                raise FileNotFoundError(errno.ENOENT, "gone", path)
            return io.BytesIO(b"x")

    mem.add_underlay(Fickle(), name="fickle")

    assert list(mem.grep("x")) == [("/there", 1, "x")]


# --- what is asked --------------------------------------------------------------------


@pytest.mark.parametrize("which", ["newer", "older"])
def test_find_by_a_time_that_no_zone_knows_is_refused(mem: Vfs, which: str) -> None:
    moment: Any = {which: datetime.min}  # noqa: DTZ901 - of no zone

    with pytest.raises(InvalidArgument, match=f"{which} is .* time zone"):
        list(mem.find(**moment))


@pytest.mark.parametrize("glob", [[b"*.txt"], ["*.txt", 3], 7])
def test_grep_of_a_glob_that_is_none_is_refused_at_once(mem: Vfs, glob: Any) -> None:
    with pytest.raises(InvalidType):
        mem.grep("x", glob=glob)
