"""Random damage to the bytes of containers and archives: an answer, or a refusal.

The long runs are children of their own, so that a crash of the process is a test that
fails. ``python -m tests.faults.test_fuzz_opener containers 10000`` runs on for longer.
"""

from __future__ import annotations

import io
import random
import subprocess
import sys
import zipfile
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.faults.hostile import (
    WAYS,
    bounds,
    make_sample,
    sample_bytes,
    tour_above,
    tour_of,
)
from tests.ground import connect, copy_as_killed, execute

from stratavfs import VirtualFileSystem
from stratavfs.layers import ZipLayer

pytestmark = pytest.mark.damaged

PAGE = 4096
ROOT = Path(__file__).parent.parent.parent

# --- damage ---------------------------------------------------------------------------

PLACE = st.integers(0, 1 << 20)
STUFF = st.one_of(
    st.binary(min_size=1, max_size=16),
    st.sampled_from([b"\0", b"\xff", b"\x7f", b"\0" * 16, b"\xff" * 16, b"../../x"]),
)
# Where it hurts: in a header, that of the file or of a page, or anywhere.
AT = st.one_of(
    st.tuples(st.integers(0, 64), st.integers(0, 40)).map(
        lambda at: at[0] * PAGE + at[1]
    ),
    st.integers(0, 120),
    PLACE,
)
DAMAGE = st.one_of(
    st.tuples(st.just("flip"), AT, st.integers(0, 7)),
    st.tuples(st.just("overwrite"), AT, STUFF),
    st.tuples(st.just("cut"), PLACE, st.none()),
    st.tuples(st.just("splice"), AT, st.tuples(AT, st.integers(1, 5000))),
    st.tuples(st.just("insert"), st.integers(0, 64), st.integers(0, 64)),
    st.tuples(st.just("drop"), st.integers(0, 64), st.integers(1, 3)),
    st.tuples(st.just("swap"), st.integers(0, 64), st.integers(0, 64)),
)
DAMAGES = st.lists(DAMAGE, min_size=1, max_size=4)


def damaged(content: bytes, damages: list[tuple[str, int, Any]]) -> bytes:
    """Return *content* after *damages*, whose places count from its beginning again."""
    found = bytearray(content)
    for verb, place, what in damages:
        size = max(1, len(found))
        at, page = place % size, place * PAGE % size
        if verb == "flip":
            found[at : at + 1] = bytes(byte ^ 1 << what for byte in found[at : at + 1])
        elif verb == "overwrite":
            found[at : at + len(what)] = what
        elif verb == "cut":
            del found[at:]
        elif verb == "splice":
            begin = what[0] % size
            piece = found[begin : begin + what[1]]
            found[at : at + len(piece)] = piece
        elif verb == "drop":
            del found[page : page + what * PAGE]
        else:
            other = what * PAGE % size
            pages = found[page : page + PAGE], found[other : other + PAGE]
            if verb == "insert":
                found[page:page] = pages[1]
            else:
                found[page : page + PAGE], found[other : other + PAGE] = pages[::-1]
    return bytes(found)


# --- containers -----------------------------------------------------------------------


@cache
def containers() -> list[tuple[bytes, bytes]]:
    """Return the bytes of some containers, each with those of its log."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "container.db"
        make_sample(path)
        execute(path, "PRAGMA page_size = 512", "VACUUM")
        small = path.read_bytes()
        path.unlink()
        with (
            VirtualFileSystem(path, 4096, clock=lambda: 10**18) as vfs,
            vfs.atomic_batch(),
        ):
            for number in range(90):
                vfs.write_bytes(f"/many/{number % 7}/{number}.txt", b"x" * 40 * number)
            vfs.write_bytes("/d/big", bytes(range(256)) * 500)
            vfs.write_bytes("/d/small", b"small")
        large, killed = path.read_bytes(), Path(directory) / "killed.db"
        with closing(connect(path)) as cx:
            cx.execute("UPDATE inodes SET mtime_ns = 1")
            copy_as_killed(path, killed)
        log = Path(f"{killed}-wal").read_bytes()
        return [(sample_bytes(), b""), (small, b""), (large, b""), (large, log)]


def use_damaged(
    which: int, damages: list[tuple[str, int, Any]], way: str, part: int
) -> None:
    """Use one of the containers after *damages* to the file, or else to its log."""
    content, log = containers()[which]
    if part and log:
        log = damaged(log, damages)
    else:
        content = damaged(content, damages)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "stranger.db"
        path.write_bytes(content)
        if log:
            Path(f"{path}-wal").write_bytes(log)
        if way == "underlay":
            tour_above(path, exact=False)
        else:
            tour_of(path, WAYS[way], exact=False)


CONTAINER = {
    "which": st.integers(0, 3),
    "damages": DAMAGES,
    "way": st.sampled_from([*WAYS, "immutable", "underlay"]),
    "part": st.integers(0, 1),
}
QUIET = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@settings(QUIET, max_examples=60)
@given(**CONTAINER)
def test_use_of_damaged_bytes_is_answered_or_refused(
    which: int, damages: list[tuple[str, int, Any]], way: str, part: int
) -> None:
    with bounds():
        use_damaged(which, damages, way, part)


# --- archives -------------------------------------------------------------------------


@cache
def archive() -> bytes:
    file = io.BytesIO()
    chance = random.Random(1)
    with zipfile.ZipFile(file, "w") as opened:
        for compression in (0, 8, 12, 14):
            data = chance.randbytes(3000) + bytes(3000)
            opened.writestr(f"d/{compression}.bin", data, compression)
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        opened.writestr(link, "d/8.bin")
        opened.mkdir("empty")
    return file.getvalue()


# The directory, at the end, is what most goes through.
ZIP_AT = st.one_of(PLACE, st.integers(-600, -1))
ZIP_DAMAGES = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), ZIP_AT, st.integers(0, 7)),
        st.tuples(st.just("overwrite"), ZIP_AT, STUFF),
        st.tuples(st.just("cut"), ZIP_AT, st.none()),
        st.tuples(st.just("splice"), ZIP_AT, st.tuples(ZIP_AT, st.integers(1, 400))),
    ),
    min_size=1,
    max_size=4,
)


def use_archive(damages: list[tuple[str, int, Any]]) -> None:
    """Read all that a damaged archive has, and all of it through a stack."""
    try:
        layer = ZipLayer(io.BytesIO(damaged(archive(), damages)))
        with VirtualFileSystem() as top:
            top.add_underlay(layer, name="stranger")
            for directory, _, names in top.walk("/"):
                for name in names:
                    read_some(top, f"{directory.rstrip('/')}/{name}")
    except OSError as error:
        assert error.errno  # noqa: PT017 - that there is none is fine too


def read_some(vfs: VirtualFileSystem, path: str) -> None:
    try:
        size = vfs.stat(path).size
        with vfs.open(path, "rb") as file:
            assert len(file.read(100_000)) <= size
            file.seek(size // 2)
            file.read(100)
    except OSError as error:
        assert error.errno  # noqa: PT017
        assert error.filename  # noqa: PT017


@settings(QUIET, max_examples=150)
@given(damages=ZIP_DAMAGES)
def test_use_of_damaged_archive_is_answered_or_refused(
    damages: list[tuple[str, int, Any]],
) -> None:
    with bounds():
        use_archive(damages)


# --- for longer -----------------------------------------------------------------------


def run(what: str, examples: int) -> None:
    """Run so many examples, the same each time."""
    always = settings(QUIET, max_examples=examples, derandomize=True)
    with bounds(seconds=10_000):
        if what == "containers":
            always(given(**CONTAINER)(use_damaged))()
        else:
            always(given(damages=ZIP_DAMAGES)(use_archive))()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "examples"), [("containers", 900), ("archives", 1500)]
)
def test_use_of_much_damage_crashes_no_process(what: str, examples: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.test_fuzz_opener", what, str(examples)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-5000:]
    assert done.stdout.strip() == f"{examples} examples of {what}"


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
    print(f"{sys.argv[2]} examples of {sys.argv[1]}")  # noqa: T201
