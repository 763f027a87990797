"""Bytes changed in every page header, and pages that lead back to themselves."""

from __future__ import annotations

import errno
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.faults.hostile import (
    WAYS,
    Tour,
    bounds,
    make_sample,
    sample_bytes,
    tour_above,
    tour_of,
)
from tests.ground import query

from stratavfs import CorruptDatabase, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stratavfs.records import Finding

pytestmark = pytest.mark.damaged

PAGE = 4096


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with bounds():
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stranger.db"


class Field(NamedTuple):
    """Some bytes of a header."""

    at: int
    size: int

    def changes(
        self, content: bytes, start: int, *, few: bool = False
    ) -> Iterator[bytes]:
        """Yield *content* with other values here, in the page from *start* on."""
        begin, end = start + self.at, start + self.at + self.size
        value = int.from_bytes(content[begin:end], "big")
        most = (1 << 8 * self.size) - 1
        others = {0, most}
        if not few:
            others |= {1, most >> 1, value + 1, value - 1, value ^ 0x10, value * 2}
        for other in sorted(others - {value}):
            if 0 <= other <= most:
                changed = other.to_bytes(self.size, "big")
                yield content[:begin] + changed + content[end:]


# sqlite.org/fileformat2.html: the header of the file, and that of each b-tree page.
FILE_HEADER = {
    "magic": Field(0, 4),
    "page size": Field(16, 2),
    "write version": Field(18, 1),
    "read version": Field(19, 1),
    "reserved space": Field(20, 1),
    "largest payload": Field(21, 1),
    "smallest payload": Field(22, 1),
    "leaf payload": Field(23, 1),
    "change counter": Field(24, 4),
    "pages": Field(28, 4),
    "first free page": Field(32, 4),
    "free pages": Field(36, 4),
    "schema cookie": Field(40, 4),
    "schema format": Field(44, 4),
    "cache size": Field(48, 4),
    "largest root page": Field(52, 4),
    "encoding": Field(56, 4),
    "format": Field(60, 4),
    "vacuum mode": Field(64, 4),
    "application": Field(68, 4),
    "reserved": Field(72, 4),
    "valid for": Field(92, 4),
    "version of SQLite": Field(96, 4),
}
PAGE_HEADER = {
    "type": Field(0, 1),
    "first free place": Field(1, 2),
    "cells": Field(3, 2),
    "cell area": Field(5, 2),
    "fragments": Field(7, 1),
    "right child or first cell": Field(8, 4),
    "more cells": Field(12, 4),
}
# Behind the pointers, where the cells begin: lengths, keys, types of columns.
CELL_PLACES = range(0, 40, 3)


def tour_each(path: Path, contents: Iterator[bytes], way: str) -> Counter[str]:
    """Take the tour of each of *contents*; return how often it ended in what way."""
    ends: Counter[str] = Counter()
    for content in contents:
        path.write_bytes(content)
        outcomes = tour_of(path, WAYS[way], exact=False)
        if "refused" in outcomes:
            ends["refused"] += 1
        elif {"CorruptDatabase", "ForeignDatabase"} & {*outcomes}:
            ends["failed later"] += 1
        else:
            ends["answered"] += 1
    return ends


@pytest.mark.parametrize("field", FILE_HEADER)
def test_use_with_file_header_changed_is_answered_or_refused(
    path: Path, field: str
) -> None:
    content = sample_bytes()

    ends = tour_each(path, FILE_HEADER[field].changes(content, 0), "immutable")

    if field in ("magic", "application", "format"):
        assert set(ends) == {"refused"}


def header_at(page: int) -> int:
    return 100 if page == 0 else page * PAGE


def pages_changed(field: Field, *, few: bool = False) -> Iterator[bytes]:
    content = sample_bytes()
    for page in range(len(content) // PAGE):
        yield from field.changes(content, header_at(page), few=few)


def cells_changed(place: int) -> Iterator[bytes]:
    content = sample_bytes()
    for page in range(len(content) // PAGE):
        header = header_at(page)
        (cells,) = struct.unpack_from(">H", content, header + 3)
        (first,) = struct.unpack_from(">H", content, header + 5)
        if cells and first + place < PAGE:
            yield from Field(first + place, 1).changes(content, page * PAGE)


@pytest.mark.parametrize("few", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("field", PAGE_HEADER)
def test_use_with_page_header_changed_is_answered_or_refused(
    path: Path, field: str, few: bool
) -> None:
    ends = tour_each(path, pages_changed(PAGE_HEADER[field], few=few), "immutable")

    if field in ("type", "cells"):  # the others are used by writers alone, or by some
        assert ends["refused"] > 0
        assert ends["failed later"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("field", PAGE_HEADER)
def test_change_with_page_header_changed_is_answered_or_refused(
    path: Path, field: str
) -> None:
    tour_each(path, pages_changed(PAGE_HEADER[field]), "writable")


@pytest.mark.slow
@pytest.mark.parametrize("field", PAGE_HEADER)
def test_use_below_with_page_header_changed_is_answered_or_refused(
    path: Path, field: str
) -> None:
    for content in pages_changed(PAGE_HEADER[field], few=True):
        path.write_bytes(content)
        tour_above(path, exact=False)


@pytest.mark.slow
@pytest.mark.parametrize("place", CELL_PLACES)
def test_use_with_cells_changed_is_answered_or_refused(path: Path, place: int) -> None:
    tour_each(path, cells_changed(place), "immutable")


# --- pages that lead back to themselves -----------------------------------------------

LEAF, INTERIOR = 10, 2  # types of pages of a table that is kept by its key


def record(parent: str, name: str, kind: int, inode: int) -> bytes:
    """Return a row of ``entries`` as a page holds it."""
    types = bytes([13 + 2 * len(parent), 13 + 2 * len(name), 1, 1])
    body = parent.encode() + name.encode() + bytes([kind, inode])
    row = bytes([1 + len(types)]) + types + body
    return bytes([len(row)]) + row


def page_of(kind: int, cells: list[bytes], right: int = 0) -> bytes:
    """Return a page of *cells*; *right* is the last child of an interior one."""
    page = bytearray(PAGE)
    end, pointers = PAGE, []
    for cell in cells:
        end -= len(cell)
        page[end : end + len(cell)] = cell
        pointers.append(end)
    header = struct.pack(">BHHHB", kind, 0, len(cells), end, 0)
    header += struct.pack(">I", right) if kind == INTERIOR else b""
    header += struct.pack(f">{len(pointers)}H", *pointers)
    page[: len(header)] = header
    return bytes(page)


def make_circle(path: Path, depth: int, children: int, name: str = "m") -> None:
    """Make a container of few pages whose directory has a name *children* ** *depth*.

    Each page of a tree says that all its children are one and the same page.
    """
    make_sample(path)
    (root,) = query(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'entries'")[
        0
    ]
    row = record("/", name, 8, 3)
    pages = [sample_bytes(), page_of(LEAF, [row])]
    child = len(pages[0]) // PAGE + 1
    for _ in range(depth - 1):
        cells = [struct.pack(">I", child) + row] * children
        pages.append(page_of(INTERIOR, cells, child))
        child += 1
    content = bytearray(b"".join(pages))
    # The root of the file system stands before all others, in a page of its own.
    first = page_of(LEAF, [record("", "/", 4, 1)])
    content += first
    cells = [struct.pack(">I", child + 1) + row]
    cells += [struct.pack(">I", child) + row] * (children - 1)
    start = (root - 1) * PAGE
    content[start : start + PAGE] = page_of(INTERIOR, cells, child)
    content[28:32] = struct.pack(">I", len(content) // PAGE)
    path.write_bytes(content)


def test_list_of_pages_in_a_circle_is_refused(path: Path) -> None:
    make_circle(path, 3, 41)  # 68,921 names in a file of 60,000 bytes
    with VirtualFileSystem(path, immutable=True) as vfs:
        asked = (
            lambda: vfs.listdir("/"),
            lambda: [*vfs.scandir("/")],
            lambda: vfs.glob("/**"),
            lambda: vfs.glob("/*"),
            lambda: [*vfs.walk("/", onerror=_raise)],
        )
        for ask in asked:
            with pytest.raises(CorruptDatabase) as caught:
                ask()

            assert caught.value.filename == str(path)


CALLS: dict[str, Callable[[VirtualFileSystem], object]] = {
    "listdir": lambda vfs: vfs.listdir("/"),
    "glob": lambda vfs: vfs.glob("/**"),
    "glob of few": lambda vfs: vfs.glob("/**/*.txt"),
    "check": lambda vfs: vfs.check(),
    "deep check": lambda vfs: refuse(vfs.check(deep=True)),
    "stats": lambda vfs: vfs.stats(),
    "compact": lambda vfs: vfs.compact(),
    "repair": lambda vfs: vfs.repair(),
    "flatten": lambda vfs: vfs.flatten(f"{vfs.db_path}.flat"),
}


def refuse(findings: list[Finding]) -> None:
    """Refuse as the other calls do, by what the check has found."""
    if findings:
        raise CorruptDatabase(errno.EIO, str(findings[0]), "found")


def run_call(path: str, call: str) -> None:
    """Make a call in a process of its own: nothing stops what does not end."""
    with bounds(), VirtualFileSystem(path) as vfs:
        try:
            CALLS[call](vfs)
        except CorruptDatabase:
            print("refused")  # noqa: T201 - the answer of a child


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
def test_use_of_circles_that_never_end_is_refused(path: Path, call: str) -> None:
    make_circle(path, 9, 150)  # 10 ** 19 names
    code = f"import {__name__} as it; it.run_call({str(path)!r}, {call!r})"

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert done.stdout.strip() == "refused", done.stderr[-3000:]
    assert path.stat().st_size < 1_000_000


@pytest.mark.slow
def test_tour_above_pages_in_a_circle_is_answered_or_refused(path: Path) -> None:
    make_circle(path, 3, 41)

    outcomes = tour_above(path)

    assert outcomes["LayerFailed"] > 0


def test_search_of_pages_in_a_circle_ends(path: Path) -> None:
    make_circle(path, 3, 41)
    with VirtualFileSystem(path, immutable=True) as vfs:
        Tour(vfs).everything()


def _raise(error: OSError) -> None:
    raise error
