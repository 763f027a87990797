"""Several processes on one container: they wait for each other, and see each other.

The other process is a Python that evaluates the lines it is sent and answers with what
came out, so that each test decides who does what next; nothing depends on time.
"""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any

import pytest
from tests.ground import integrity_of, query, tree_of

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    MakeVfs = Callable[..., VirtualFileSystem]

LONG = 60  # seconds: nothing waits this long, unless it waits for ever

SERVE = """
import sys
from stratavfs import VirtualFileSystem
scope = {"VirtualFileSystem": VirtualFileSystem}
for line in sys.stdin:
    try:
        answer = eval(line, scope)
        answer = ("returned", answer if answer.__class__ in OK else None)
    except Exception as error:
        number, name = getattr(error, "errno", None), getattr(error, "filename", None)
        answer = ("raised", type(error).__name__, number, name, str(error))
    print(ascii(answer), flush=True)
""".replace("OK", "(bool, bytes, int, list, str)")


class Peer:
    """Another process, which does what it is told."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="ascii",
        )
        self._in: IO[str] = self._process.stdin  # type: ignore[assignment]
        self._out: IO[str] = self._process.stdout  # type: ignore[assignment]

    def send(self, line: str) -> None:
        """Have *line* evaluated, and go on meanwhile."""
        self._in.write(line + "\n")
        self._in.flush()

    def answer(self) -> Any:
        """Return ("returned", value) or ("raised", type, errno, filename, text)."""
        return ast.literal_eval(self._out.readline())

    def __call__(self, line: str) -> Any:
        """Return what *line* evaluates to in there."""
        self.send(line)
        kind, *rest = self.answer()
        assert kind == "returned", rest
        return rest[0]

    def error(self, line: str) -> Any:
        """Return (type, errno, filename, text) of what *line* raises in there."""
        self.send(line)
        kind, *rest = self.answer()
        assert kind == "raised", rest
        return rest

    def open(self, path: Path, options: str = "") -> None:
        """Open the container at *path* as ``vfs``."""
        self(f"globals().update(vfs=VirtualFileSystem({str(path)!r}, {options}))")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(LONG)

    def finish(self) -> None:
        """Let it end; the end of its input is what it waits for."""
        self._in.close()
        self._out.close()
        self._process.wait(LONG)


@pytest.fixture
def new_peer() -> Iterator[Callable[[], Peer]]:
    with ExitStack() as stack:

        def make() -> Peer:
            peer = Peer()
            stack.callback(peer.finish)
            return peer

        yield make


@pytest.fixture(scope="module")
def shared_peer() -> Iterator[Peer]:
    """One process for all the tests that do not kill it: starting one takes 0.1 s."""
    peer = Peer()
    yield peer
    peer.finish()


@pytest.fixture
def peer(shared_peer: Peer, path: Path) -> Iterator[Peer]:
    shared_peer.open(path)
    yield shared_peer
    shared_peer("vfs.close()")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "c.db"
    with VirtualFileSystem(path, 64) as vfs:
        vfs.write_text("/f", "old")
        vfs.write_bytes("/big", b"x" * 1000)
    return path


# --- creation -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("exists", [False, True], ids=["no file", "empty file"])
def test_create_raced_by_processes_makes_one_container(
    tmp_path: Path, new_peer: Callable[[], Peer], exists: bool
) -> None:
    peers = [new_peer() for _ in range(8)]
    path = tmp_path / "raced.db"
    if exists:
        path.touch()
    for peer in peers:  # all are started and waiting before the first is let go
        assert peer("1 + 1") == 2

    for number, peer in enumerate(peers):
        options = f"{1000 + number}, timeout={LONG}"
        peer.send(f"globals().update(vfs=VirtualFileSystem({str(path)!r}, {options}))")
    answers = [peer.answer() for peer in peers]
    for number, peer in enumerate(peers):
        peer.send(f"vfs.write_text('/by/{number}', 'x')")
    answers += [peer.answer() for peer in peers]

    assert [answer[0] for answer in answers] == ["returned"] * 16
    assert len({peer("vfs.chunk_size") for peer in peers}) == 1
    names = [str(number) for number in range(8)]
    assert all(peer("vfs.listdir('/by')") == names for peer in peers)
    assert all(peer("len(vfs.check())") == 0 for peer in peers)
    assert [peer("vfs.close()") for peer in peers] == [None] * 8
    assert integrity_of(path) == "ok"
    assert os.listdir(tmp_path) == ["raced.db"]


# --- waiting --------------------------------------------------------------------------


def test_read_during_batch_of_another_process_sees_the_old_state(
    path: Path, peer: Peer, make_vfs: MakeVfs
) -> None:
    vfs = make_vfs(path, timeout=0)
    peer("globals().update(batch=vfs.atomic_batch())")
    peer("batch.__enter__()")
    peer("vfs.write_text('/f', 'new')")
    peer("vfs.rename('/big', '/moved')")

    during = vfs.read_text("/f"), vfs.listdir("/"), vfs.read_bytes("/big")
    peer("batch.__exit__(None, None, None)")
    after = vfs.read_text("/f"), vfs.listdir("/"), vfs.read_bytes("/moved")

    assert during == ("old", ["big", "f"], b"x" * 1000)
    assert after == ("new", ["f", "moved"], b"x" * 1000)


def test_write_during_batch_of_another_process_waits_for_its_end(
    path: Path, peer: Peer, make_vfs: MakeVfs
) -> None:
    vfs = make_vfs(path, timeout=LONG)
    peer("globals().update(batch=vfs.atomic_batch())")
    peer("batch.__enter__()")
    peer("vfs.write_text('/f', 'by the other')")
    seen: list[str] = []

    def append() -> None:
        with vfs.atomic_batch():
            seen.append(vfs.read_text("/f"))
            vfs.write_text("/f", seen[0] + ", then here")

    thread = threading.Thread(target=append)
    thread.start()
    peer("batch.__exit__(None, None, None)")
    thread.join(LONG)

    assert seen == ["by the other"]
    assert peer("vfs.read_text('/f')") == "by the other, then here"


@pytest.mark.parametrize("timeout", [0, 0.02])
def test_write_during_batch_of_another_process_fails_after_the_timeout(
    path: Path, peer: Peer, make_vfs: MakeVfs, timeout: float
) -> None:
    vfs = make_vfs(path, timeout=timeout)
    peer("globals().update(batch=vfs.atomic_batch())")
    peer("batch.__enter__()")

    with pytest.raises(OSError) as caught:
        vfs.write_text("/f", "new")
    peer("batch.__exit__(None, None, None)")

    assert caught.value.errno == errno.EBUSY
    assert caught.value.filename == str(path)
    assert "timeout" in str(caught.value)
    assert vfs.read_text("/f") == "old"
    vfs.write_text("/f", "now")


def test_write_during_batch_here_fails_in_the_other_process(
    path: Path, shared_peer: Peer, make_vfs: MakeVfs
) -> None:
    vfs = make_vfs(path)
    shared_peer.open(path, "timeout=0")

    with vfs.atomic_batch():
        vfs.write_text("/f", "new")
        kind, number, filename, _ = shared_peer.error("vfs.touch('/g')")
        seen = shared_peer("vfs.read_text('/f')")
    shared_peer("vfs.close()")

    assert (kind, number, filename) == ("OSError", errno.EBUSY, str(path))
    assert seen == "old"
    assert vfs.listdir("/") == ["big", "f"]


def test_flush_of_handle_during_batch_of_another_process_can_be_tried_again(
    path: Path, peer: Peer, make_vfs: MakeVfs
) -> None:
    vfs = make_vfs(path, timeout=0)
    with vfs.open("/f", "wb") as handle:
        handle.write(b"kept")
        peer("globals().update(batch=vfs.atomic_batch())")
        peer("batch.__enter__()")
        with pytest.raises(OSError) as caught:
            handle.flush()
        peer("batch.__exit__(None, None, None)")

        handle.flush()

    assert caught.value.errno == errno.EBUSY
    assert peer("vfs.read_bytes('/f')") == b"kept"


# --- seeing ---------------------------------------------------------------------------


def test_changes_of_another_process_are_seen_by_open_instance(
    path: Path, peer: Peer, make_vfs: MakeVfs
) -> None:
    vfs = make_vfs(path)
    assert vfs.listdir("/") == ["big", "f"]

    peer("vfs.write_text('/f', 'changed')")
    peer("vfs.makedirs('/d/e')")
    peer("vfs.rename('/big', '/d/big')")

    assert vfs.read_text("/f") == "changed"
    assert vfs.glob("/**/*") == ["/d", "/d/big", "/d/e", "/f"]
    assert not vfs.exists("/big")


def test_changes_of_another_process_are_seen_by_open_handle(
    path: Path, peer: Peer, make_vfs: MakeVfs
) -> None:
    vfs = make_vfs(path)
    with vfs.open("/big", "rb", buffering=0) as raw:
        assert raw.read(2) == b"xx"

        peer("vfs.write_bytes('/big', b'0123456789')")
        peer("vfs.rename('/big', '/moved')")

        assert raw.read() == b"23456789"
        assert raw.seek(0, os.SEEK_END) == 10


def test_append_after_another_process_goes_to_the_new_end(
    path: Path, peer: Peer, make_vfs: MakeVfs
) -> None:
    vfs = make_vfs(path)
    with vfs.open("/f", "ab", buffering=0) as raw:
        raw.write(b"+here")
        peer("globals().update(h=vfs.open('/f', 'ab', 0))")
        peer("h.write(b'+there')")
        raw.write(b"+here")
        peer("h.close()")

    assert vfs.read_bytes("/f") == b"old+here+there+here"


@pytest.mark.parametrize("mode", ["rb", "r+b", "ab"])
def test_handle_of_file_removed_by_another_process_is_stale(
    path: Path, peer: Peer, make_vfs: MakeVfs, mode: str
) -> None:
    vfs = make_vfs(path)
    raw = vfs.open("/big", mode, buffering=0)
    peer("vfs.remove('/big')")
    peer("vfs.write_bytes('/other', b'secret' * 100)")
    peer("vfs.write_bytes('/big', b'secret' * 100)")

    uses: list[Callable[[], object]] = [
        lambda: raw.seek(0, os.SEEK_END),
        lambda: raw.read(1) if mode == "rb" else raw.write(b"!"),
        lambda: raw.read() if mode == "rb" else raw.truncate(1),
    ]
    for use in uses:
        with pytest.raises(OSError) as caught:
            use()
        assert caught.value.errno == errno.ESTALE
        assert caught.value.filename == "/big"
    raw.close()

    assert tree_of(path) == {
        "/f": b"old",
        "/other": b"secret" * 100,
        "/big": b"secret" * 100,
    }


def test_orphan_of_a_living_process_outlives_the_opening_of_another(
    path: Path, peer: Peer, make_vfs: MakeVfs
) -> None:
    """Only who has the container for himself knows that an orphan is nobody's."""
    peer("globals().update(h=vfs.open('/big', 'rb', 0))")
    peer("vfs.remove('/big')")

    make_vfs(path).write_bytes("/new", b"secret" * 100)
    read = peer("h.read()")
    peer("h.close()")

    assert read
    assert b"secret" not in read
    assert query(path, "SELECT id FROM inodes WHERE nlink = 0") == []


def test_read_only_process_sees_changes_and_changes_nothing(
    path: Path, shared_peer: Peer, make_vfs: MakeVfs
) -> None:
    vfs = make_vfs(path)
    shared_peer.open(path, "read_only=True")

    vfs.write_text("/f", "new")
    seen = shared_peer("vfs.read_text('/f')")
    kind, number, filename, _ = shared_peer.error("vfs.remove('/f')")
    shared_peer("vfs.close()")

    assert seen == "new"
    assert (kind, number, filename) == ("ReadOnlyError", errno.EROFS, "/f")


# --- being killed ---------------------------------------------------------------------


@pytest.mark.slow
def test_kill_of_another_process_in_its_batch_frees_the_container(
    path: Path, new_peer: Callable[[], Peer], make_vfs: MakeVfs
) -> None:
    other = new_peer()
    other.open(path)
    other("globals().update(batch=vfs.atomic_batch())")  # forgotten, it would be left
    other("batch.__enter__() and None")
    other("vfs.write_text('/f', 'half')")

    other.kill()

    vfs = make_vfs(path, timeout=0)
    assert vfs.read_text("/f") == "old"
    vfs.write_text("/f", "new")
    assert vfs.check() == []


@pytest.mark.slow
def test_kill_of_another_process_after_its_write_loses_nothing(
    path: Path, new_peer: Callable[[], Peer], make_vfs: MakeVfs
) -> None:
    other = new_peer()
    other.open(path)
    other("vfs.write_text('/f', 'committed')")

    other.kill()

    assert make_vfs(path).read_text("/f") == "committed"
