"""Give every test the same 2,000 files, and have them back as they were in a moment.

The files lie in a container that nobody changes. The suite works on one fork of it in
memory: a test that only changes files borrows it, and a savepoint puts it back; a test
that wants a file system to itself gets a fork of its own.

    python examples/test_fixtures.py [DIRECTORY]
    python -m pytest -s examples/test_fixtures.py       (the same tests, by pytest)
"""

from __future__ import annotations

import inspect
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator

YEARS = range(2015, 2025)
EACH = 200  # photos of a year
ALL = "/photos/**/*.jpg"

# --- what is tested -------------------------------------------------------------------


def thin_out(vfs: VirtualFileSystem, year: int) -> None:
    """Keep one in ten photos of *year*, and leave a note: all of it, or nothing."""
    with vfs.atomic_batch():
        for number, photo in enumerate(vfs.glob(f"/photos/{year}/*.jpg")):
            if number % 10:
                vfs.remove(photo)
        vfs.write_text(f"/photos/{year}/note.txt", "one in ten\n")


# --- the files for the tests ----------------------------------------------------------


def make_golden(location: Path) -> Path:
    """Fill the container that all tests begin with, once and for all."""
    pixels = b"\xff\xd8\xff\xe0" * 1024
    with VirtualFileSystem(location) as vfs, vfs.atomic_batch():
        for year in YEARS:
            for number in range(EACH):
                vfs.write_bytes(f"/photos/{year}/{number:03}.jpg", pixels)
    return location


@contextmanager
def in_memory(golden: Path) -> Iterator[VirtualFileSystem]:
    """Fork the container into memory, where the tests may do as they like."""
    with VirtualFileSystem(golden, read_only=True) as shipped:
        began = time.perf_counter()
        with shipped.fork() as library:
            say(f"{golden.name} forked", began)
            yield library


@contextmanager
def borrowed(library: VirtualFileSystem) -> Iterator[VirtualFileSystem]:
    """Lend the file system to one test, and put it back as it was."""
    start = library.savepoint()
    try:
        yield library
        assert library.check() == []  # whatever the test has done to it
    finally:
        began = time.perf_counter()
        start.reset()
        say("reset", began)
        start.release()


@contextmanager
def forked(library: VirtualFileSystem) -> Iterator[VirtualFileSystem]:
    """Give one test a file system of its own."""
    began = time.perf_counter()
    with library.fork() as own:
        say("forked", began)
        yield own
        assert own.check() == []


def say(what: str, began: float) -> None:
    """Print how long it took."""
    print(f"{what} in {(time.perf_counter() - began) * 1e3:.2f} ms")


if find_spec("pytest"):  # in a suite of your own, these stand in conftest.py
    import pytest

    @pytest.fixture(scope="session")
    def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
        """Make all the files, once a session."""
        golden = make_golden(tmp_path_factory.mktemp("golden") / "photos.db")
        with in_memory(golden) as vfs:
            yield vfs

    @pytest.fixture
    def photos(library: VirtualFileSystem) -> Iterator[object]:
        """Lend them to a test."""
        with borrowed(library) as vfs:
            yield vfs

    @pytest.fixture
    def own_photos(library: VirtualFileSystem) -> Iterator[object]:
        """Give a test a copy."""
        with forked(library) as vfs:
            yield vfs


# --- the tests ------------------------------------------------------------------------


def test_thinning_keeps_one_in_ten(photos: VirtualFileSystem) -> None:
    thin_out(photos, 2020)

    assert len(photos.glob("/photos/2020/*.jpg")) == EACH // 10
    assert photos.read_text("/photos/2020/note.txt") == "one in ten\n"


def test_thinning_leaves_other_years_alone(photos: VirtualFileSystem) -> None:
    with photos.fork() as before:
        thin_out(photos, 2020)

        gone = set(before.glob(ALL)) - set(photos.glob(ALL))

    assert {Path(photo).parent.name for photo in gone} == {"2020"}


def test_thinning_that_fails_removes_nothing(photos: VirtualFileSystem) -> None:
    photos.mkdir("/photos/2020/note.txt")  # so that the note cannot be written

    refused = None
    try:
        thin_out(photos, 2020)
    except IsADirectoryError as error:
        refused = error.filename

    assert refused == "/photos/2020/note.txt"
    assert len(photos.glob(ALL)) == len(YEARS) * EACH


def test_thinning_gives_room_back(own_photos: VirtualFileSystem) -> None:
    for year in YEARS:
        thin_out(own_photos, year)

    given_back = own_photos.compact()  # refused while a savepoint is open

    assert given_back > 0.8 * len(YEARS) * EACH * 4096


def test_no_test_spoils_it_for_another(photos: VirtualFileSystem) -> None:
    assert len(photos.glob(ALL)) == len(YEARS) * EACH
    assert not photos.exists("/photos/2020/note.txt")


# --- without pytest -------------------------------------------------------------------

TESTS = [
    test_thinning_keeps_one_in_ten,
    test_thinning_leaves_other_years_alone,
    test_thinning_that_fails_removes_nothing,
    test_thinning_gives_room_back,
    test_no_test_spoils_it_for_another,
]
LENT = {"photos": borrowed, "own_photos": forked}


def main(directory: Path) -> None:
    """Run the tests as the functions they are; then by pytest, where it is."""
    golden = make_golden(directory / "photos.db")
    shipped = golden.read_bytes()
    with in_memory(golden) as library:
        for test in TESTS:
            (wanted,) = inspect.signature(test).parameters
            print(f"{test.__name__}: ", end="")
            with LENT[wanted](library) as vfs:
                test(vfs)
    assert golden.read_bytes() == shipped
    if find_spec("pytest"):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, __file__], capture_output=True, check=False, encoding="utf-8"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        print(f"and by pytest: {done.stdout.splitlines()[-1]}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
