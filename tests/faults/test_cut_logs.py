"""Logs and databases cut short, torn and mixed up: a state that was committed, or no.

A container with a log that a killed writer left is copied, and the copy is cut at every
frame, in the middle of every frame, and with a byte of every frame changed. How many
commits are whole then is read from the frames; the library shows just these. Then the
same with a checkpoint that was killed half way, and with side files of others.
"""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests import ground
from tests.faults.test_crash import moment

from stratavfs import CorruptDatabase, ForeignDatabase, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Change = Callable[[VirtualFileSystem], object]

pytestmark = pytest.mark.damaged

PAGE = 4096
HEADER = 32  # bytes before the first frame of a log
FRAME = 24 + PAGE


def batch(vfs: VirtualFileSystem) -> None:
    with vfs.atomic_batch():
        vfs.copytree("/d", "/copy")
        vfs.rmtree("/d")
        vfs.write_bytes("/large", b"3" * 9000)


COMMITS: list[Change] = [
    lambda vfs: vfs.mkdir("/d"),
    lambda vfs: vfs.write_text("/d/small", "1"),
    lambda vfs: vfs.write_bytes("/large", bytes(range(256)) * 150),
    lambda vfs: vfs.symlink("small", "/d/link"),
    lambda vfs: vfs.setxattr("/d/small", "user.a", b"1" * 5000),
    lambda vfs: vfs.write_text("/d/small", "2"),
    batch,
    lambda vfs: vfs.rename("/copy", "/d/moved"),
    lambda vfs: vfs.truncate("/large", 20_000),
    lambda vfs: vfs.remove("/d/moved/link"),
]


class Frame(NamedTuple):
    """A page in a log."""

    at: int
    page: int
    commits: int
    """Pages of the database with this commit; 0: the commit goes on."""
    data: bytes


def frames_of(log: bytes) -> list[Frame]:
    """Return the frames of the log's present generation, which share its salt."""
    assert len(log) % FRAME == HEADER
    frames = []
    for at in range(HEADER, len(log), FRAME):
        page, commits = struct.unpack(">II", log[at : at + 8])
        if log[at + 8 : at + 16] == log[16:24]:
            frames.append(Frame(at, page, commits, log[at + 24 : at + FRAME]))
    return frames


class Left(NamedTuple):
    """What a killed writer left: the files, and the states it committed to the log."""

    database: bytes
    log: bytes
    states: list[ground.Dump]
    older: bytes
    """The log of before a checkpoint, which is written over from its start."""

    @property
    def frames(self) -> list[Frame]:
        return frames_of(self.log)

    def state_of(self, frames: int) -> ground.Dump:
        """Return the state after the commits that are whole in so many frames."""
        return self.states[sum(frame.commits > 0 for frame in self.frames[:frames])]

    def put(
        self, path: Path, database: bytes | None = None, log: bytes | None = None
    ) -> Path:
        for end in ground.SIDE_FILES:
            path.with_name(path.name + end).unlink(missing_ok=True)
        path.write_bytes(self.database if database is None else database)
        beside = path.with_name(path.name + "-wal")
        beside.write_bytes(self.log if log is None else log)
        return path


def left_by(
    directory: Path, commits: list[Change], first: list[Change], chunk_size: int = 1024
) -> Left:
    """Make *first*, carry it into the database, make *commits*, and copy the files."""
    path = directory / "open.db"
    with VirtualFileSystem(path, chunk_size, clock=moment) as vfs:
        for change in first:
            change(vfs)
        older = path.with_name("open.db-wal").read_bytes()
        vfs._store._cx.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        states = [ground.dump_of(path)]
        for change in commits:
            change(vfs)
            states.append(ground.dump_of(path))
        ground.copy_as_killed(path, directory / "left.db")
    database = (directory / "left.db").read_bytes()
    return Left(database, (directory / "left.db-wal").read_bytes(), states, older)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    made = left_by(tmp_path_factory.mktemp("left"), COMMITS, [])
    assert sum(frame.commits > 0 for frame in made.frames) == len(COMMITS)
    return made


def assert_shows(path: Path, state: ground.Dump, **options: bool) -> None:
    """The library opens *path*, shows *state* and finds nothing wrong.

    It looks first: whoever else reads the files writes the log back.
    """
    with VirtualFileSystem(path, clock=moment, **options) as vfs:  # type: ignore[arg-type]
        assert ground.dump(vfs._store._cx) == state
        assert vfs.check(deep=True) == []
    assert ground.integrity_of(path) == "ok"


# --- the log is cut -------------------------------------------------------------------


def test_open_with_log_cut_around_each_commit_shows_the_whole_commits(
    left: Left, tmp_path: Path
) -> None:
    ends = [n for n, frame in enumerate(left.frames, 1) if frame.commits]

    for end in ends[-4:]:
        for frames in (end - 1, end):
            path = left.put(tmp_path / "c.db", log=left.log[: HEADER + frames * FRAME])
            assert_shows(path, left.state_of(frames))


@pytest.mark.slow
@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("more", [0, 12, 24, 24 + PAGE // 2, FRAME - 1])
def test_open_with_log_cut_in_any_frame_shows_the_whole_commits(
    left: Left, tmp_path: Path, more: int, read_only: bool
) -> None:
    for n, frame in enumerate(left.frames):
        path = left.put(tmp_path / "c.db", log=left.log[: frame.at + more])
        assert_shows(path, left.state_of(n), read_only=read_only)


@pytest.mark.parametrize("size", [*range(0, HEADER, 4), HEADER - 1, HEADER])
def test_open_with_log_cut_in_its_header_shows_the_state_before_it(
    left: Left, tmp_path: Path, size: int
) -> None:
    path = left.put(tmp_path / "c.db", log=left.log[:size])

    assert_shows(path, left.states[0])


def flipped(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 0x40
    return bytes(changed)


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, 4, 8, 16, 20, 24, 1000, FRAME - 1])
def test_open_with_a_byte_of_any_frame_changed_shows_the_commits_before(
    left: Left, tmp_path: Path, at: int
) -> None:
    for n, frame in enumerate(left.frames):
        path = left.put(tmp_path / "c.db", log=flipped(left.log, frame.at + at))
        assert_shows(path, left.state_of(n))


@pytest.mark.parametrize("at", range(HEADER))
def test_open_with_a_byte_of_the_logs_header_changed_shows_the_state_before_it(
    left: Left, tmp_path: Path, at: int
) -> None:
    path = left.put(tmp_path / "c.db", log=flipped(left.log, at))

    assert_shows(path, left.states[0])


@pytest.mark.slow
@pytest.mark.parametrize("more", [0, 12, 24, 24 + PAGE // 2])
def test_open_with_log_half_written_over_shows_nothing_of_before_the_checkpoint(
    tmp_path: Path, more: int
) -> None:
    """Behind the frames of now lie older ones, which have another salt."""
    left = left_by(tmp_path, COMMITS[5:], COMMITS[:5])
    assert len(left.older) > HEADER + 3 * FRAME

    for n, frame in enumerate(left.frames):
        size = frame.at + more
        log = left.log[:size] + left.older[size:]
        assert_shows(left.put(tmp_path / "c.db", log=log), left.state_of(n))


# --- the database is cut, or torn by a checkpoint -------------------------------------


def paged(database: bytes) -> dict[int, bytes]:
    """Return the pages by their numbers."""
    return {
        at // PAGE + 1: database[at : at + PAGE] for at in range(0, len(database), PAGE)
    }


def joined(pages: dict[int, bytes]) -> bytes:
    """Return the file of *pages*; one that is missing was never written: zeros."""
    return b"".join(pages.get(n, bytes(PAGE)) for n in range(1, max(pages) + 1))


def checkpointed(left: Left) -> dict[int, bytes]:
    """Return what a checkpoint writes: the last form of each page in the log."""
    last = max(n for n, frame in enumerate(left.frames, 1) if frame.commits)
    return {frame.page: frame.data for frame in left.frames[:last]}


def half_checkpoints(left: Left) -> Iterator[bytes]:
    """Yield databases into which some of the log's pages were written, or torn."""
    old, new = paged(left.database), checkpointed(left)
    order = sorted(new)
    for n in range(len(order) + 1):  # in the order that SQLite writes them
        yield joined(old | {page: new[page] for page in order[:n]})
    for page in order:  # one page half written
        was = old.get(page, bytes(PAGE))
        yield joined(old | {page: new[page][: PAGE // 2] + was[PAGE // 2 :]})
        yield joined(old | {page: was[: PAGE // 2] + new[page][PAGE // 2 :]})
    rng = random.Random(1)
    for _ in range(2 * len(order)):  # as a power cut leaves them, in any order
        some = [page for page in order if rng.random() < 0.5]
        yield joined(old | {page: new[page] for page in some})


@pytest.mark.slow
@pytest.mark.parametrize("read_only", [False, True])
def test_open_after_any_half_checkpoint_shows_the_last_state(
    left: Left, tmp_path: Path, read_only: bool
) -> None:
    cases = [*half_checkpoints(left)]
    assert len(cases) > 50

    for database in cases:
        path = left.put(tmp_path / "c.db", database=database)
        assert_shows(path, left.states[-1], read_only=read_only)


@pytest.mark.slow
def test_open_after_any_half_checkpoint_of_compacting_shows_the_last_state(
    tmp_path: Path,
) -> None:
    """VACUUM moves every table, so that half of its pages make no database at all."""

    def compact(vfs: VirtualFileSystem) -> None:
        vfs._store._cx.execute("VACUUM")

    left = left_by(tmp_path, [compact], [*COMMITS, lambda vfs: vfs.rmtree("/d")])
    assert left.states[0] == left.states[1]

    for database in half_checkpoints(left):
        path = left.put(tmp_path / "c.db", database=database)
        assert_shows(path, left.states[1])


def shows_or_refuses(path: Path, *states: ground.Dump) -> str:
    """Return "shown", "found" or "refused": what seems in order is one of *states*."""
    try:
        with VirtualFileSystem(path, clock=moment) as vfs:
            if vfs.check(deep=True):
                return "found"
            assert ground.dump(vfs._store._cx) in states
            return "shown"
    except (CorruptDatabase, ForeignDatabase) as error:
        refusal = error
    assert refusal.filename == str(path)
    return "refused"


@pytest.mark.slow
@pytest.mark.parametrize("chunk_size", [1024, 65536])
def test_open_of_database_cut_at_any_page_with_its_log_shows_or_refuses(
    tmp_path: Path, chunk_size: int
) -> None:
    """The log hides that pages are missing: SQLite reads them as zeros.

    With large chunks the last pages are nothing but content.
    """
    first = [*COMMITS[:5], lambda vfs: vfs.write_bytes("/d/last", b"\xff" * 60_000)]
    left = left_by(tmp_path, [COMMITS[5]], first, chunk_size)
    outcomes = []

    for size in range(PAGE, len(left.database) + 1, PAGE):
        path = left.put(tmp_path / "c.db", database=left.database[:size])
        outcomes.append(shows_or_refuses(path, left.states[-1]))

    assert outcomes[-1] == "shown"
    assert "refused" in outcomes


# --- side files of others -------------------------------------------------------------

INDEXES = {
    "garbage": random.Random(2).randbytes(32768),
    "zeros": bytes(32768),
    "short": b"x",
    "long": random.Random(3).randbytes(3 * 32768),
}


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("kind", INDEXES)
def test_open_with_an_index_of_others_left_over_shows_the_last_state(
    left: Left, tmp_path: Path, kind: str, read_only: bool
) -> None:
    path = left.put(tmp_path / "c.db")
    path.with_name("c.db-shm").write_bytes(INDEXES[kind])

    assert_shows(path, left.states[-1], read_only=read_only)


@pytest.mark.parametrize("kind", INDEXES)
def test_open_with_an_index_and_no_log_left_over_shows_the_database(
    left: Left, tmp_path: Path, kind: str
) -> None:
    path = left.put(tmp_path / "c.db", log=b"")
    path.with_name("c.db-shm").write_bytes(INDEXES[kind])

    assert_shows(path, left.states[0])


def test_open_with_garbage_for_a_log_shows_the_database(
    left: Left, tmp_path: Path
) -> None:
    rng = random.Random(4)
    for size in (1, 31, 32, 33, 5000, 100_000):
        path = left.put(tmp_path / "c.db", log=rng.randbytes(size))

        assert_shows(path, left.states[0])


def fill(vfs: VirtualFileSystem) -> None:
    with vfs.atomic_batch():
        for number in range(150):
            vfs.write_bytes(f"/many/{number}", bytes([number]) * 900)


@pytest.mark.slow
@pytest.mark.parametrize("larger", [False, True], ids=["as large", "larger"])
def test_open_with_the_log_of_another_container_shows_one_of_both_or_refuses(
    left: Left, tmp_path: Path, larger: bool
) -> None:
    """Nothing in a log says whose it is; what does not fit together is found."""
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
    mine = left_by(tmp_path / "mine", [], [fill]) if larger else left
    first: list[Change] = [lambda vfs: vfs.mkdir("/other")]
    other = left_by(tmp_path / "other", COMMITS[1:], first)

    for end in range(HEADER, len(other.log) + 1, FRAME):
        path = mine.put(tmp_path / "c.db", log=other.log[:end])
        outcome = shows_or_refuses(path, mine.states[0], *other.states)
        assert outcome in ("shown", "found", "refused")


# --- the journal of creation ----------------------------------------------------------


@pytest.fixture(scope="module")
def creation(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Return what a killed creation leaves: all pages, and the journal still there."""
    path = tmp_path_factory.mktemp("creation") / "c.db"
    VirtualFileSystem(path, 4096, clock=moment).close()
    # 8 bytes of magic number, no records, a nonce, no pages before, sector, page size.
    magic = bytes.fromhex("d9d505f920a163d7")
    journal = magic + struct.pack(">IIIII", 0, 0x1234, 0, 512, PAGE)
    return path.read_bytes(), journal.ljust(512, b"\0")


@pytest.mark.slow
@pytest.mark.parametrize("journal_size", [0, 1, 8, 12, 19, 20, 28, 100, 511, 512])
def test_open_with_creation_cut_anywhere_makes_it_anew_or_refuses(
    creation: tuple[bytes, bytes], tmp_path: Path, journal_size: int
) -> None:
    database, journal = creation

    for size in range(0, len(database) + 1, PAGE // 2):
        path = tmp_path / f"{size}.db"
        path.write_bytes(database[:size])
        path.with_name(path.name + "-journal").write_bytes(journal[:journal_size])
        outcome = made_or_refused(path)
        if journal_size == 512 or size in (0, len(database)):
            assert outcome == "made"
        assert outcome in ("made", "refused")


def made_or_refused(path: Path) -> str:
    try:
        with VirtualFileSystem(path, 512, clock=moment) as vfs:
            assert vfs.check(deep=True) == []
            assert vfs.listdir() == []
            vfs.write_bytes("/works", bytes(range(256)) * 100)
            vfs.setxattr("/works", "user.too", b"1")
            assert vfs.read_bytes("/works") == bytes(range(256)) * 100
    except (CorruptDatabase, ForeignDatabase) as error:
        refusal = error
    else:
        assert ground.integrity_of(path) == "ok"
        return "made"
    assert refusal.filename == str(path)
    return "refused"
