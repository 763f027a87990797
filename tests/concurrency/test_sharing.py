"""Several processes on one container: waiting has an end, and nobody loses anything.

The other process does what it is told, line by line; where it makes no difference, it
is a second connection in this one, which SQLite tells from another process in nothing.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.test_one_look import turn
from tests.concurrency.test_processes import LONG, Peer
from tests.ground import dump_of, integrity_of, query

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Vfs = VirtualFileSystem
    MakeVfs = Callable[..., VirtualFileSystem]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "c.db"
    with VirtualFileSystem(path, 64) as vfs:
        turn(vfs, 0)
    return path


@pytest.fixture
def new_peer() -> Iterator[Callable[[], Peer]]:
    with ExitStack() as stack:

        def make() -> Peer:
            peer = Peer()
            stack.callback(peer.finish)
            return peer

        yield make


# --- waiting --------------------------------------------------------------------------


CHANGES: dict[str, Callable[[Vfs], object]] = {
    "write": lambda vfs: vfs.write_bytes("/f", b"new"),
    "open": lambda vfs: vfs.open("/f", "w"),
    "create": lambda vfs: vfs.open("/new", "x"),
    "touch": lambda vfs: vfs.touch("/f"),
    "truncate": lambda vfs: vfs.truncate("/f", 1),
    "mkdir": lambda vfs: vfs.mkdir("/new"),
    "rename": lambda vfs: vfs.rename("/d", "/new"),
    "replace": lambda vfs: vfs.replace("/f", "/small"),
    "remove": lambda vfs: vfs.remove("/f"),
    "rmtree": lambda vfs: vfs.rmtree("/d"),
    "copytree": lambda vfs: vfs.copytree("/d", "/new"),
    "link": lambda vfs: vfs.link("/f", "/new"),
    "symlink": lambda vfs: vfs.symlink("f", "/new"),
    "chmod": lambda vfs: vfs.chmod("/f", 0o600),
    "utime": lambda vfs: vfs.utime("/f"),
    "setxattr": lambda vfs: vfs.setxattr("/f", "new", b"1"),
    "revert": lambda vfs: vfs.revert("/f"),
    "batch": lambda vfs: vfs.atomic_batch().__enter__(),
    "repair": lambda vfs: vfs.repair(),
    "compact": lambda vfs: vfs.compact(),
    "sync": lambda vfs: vfs.sync(),
}


@pytest.mark.parametrize("timeout", [0, 0.005])
def test_every_change_during_a_batch_of_another_process_is_refused_after_the_timeout(
    path: Path, make_vfs: MakeVfs, timeout: float
) -> None:
    """Naming the container and what to do; nothing is half done."""
    vfs, other = make_vfs(path, timeout=timeout), make_vfs(path)
    before = dump_of(path)
    refused: dict[str, OSError] = {}

    with other.atomic_batch() as batch:
        other.touch("/held")
        for name, change in CHANGES.items():
            with pytest.raises(OSError) as caught:
                change(vfs)
            refused[name] = caught.value
        batch.rollback()

    assert {name: error.errno for name, error in refused.items()} == dict.fromkeys(
        CHANGES, errno.EBUSY
    )
    assert {error.filename for error in refused.values()} == {str(path)}
    assert all("timeout" in str(error) for error in refused.values())
    assert dump_of(path) == before
    for name in ("write", "rename", "sync"):
        CHANGES[name](vfs)


@pytest.mark.parametrize("call", ["backup", "fork", "check", "stats", "flatten"])
def test_upkeep_during_a_batch_of_another_process_sees_the_old_state(
    path: Path, tmp_path: Path, make_vfs: MakeVfs, call: str
) -> None:
    vfs, other = make_vfs(path, timeout=0), make_vfs(path)
    target = tmp_path / "target.db"

    with other.atomic_batch():
        other.rmtree("/d")
        other.write_bytes("/new", bytes(100_000))
        if call in ("backup", "flatten"):
            getattr(vfs, call)(target)
            seen = make_vfs(target)
        elif call == "fork":
            seen = vfs.fork()
        else:
            assert not getattr(vfs, call)() if call == "check" else vfs.stats()
            seen = vfs
        names = seen.listdir("/")

    assert names == ["d", "f", "other", "small", "to-dir", "to-file"]
    assert seen.check(deep=True) == []
    if seen is not vfs:
        seen.close()


def test_compact_while_another_process_has_it_open_loses_nothing(
    path: Path, new_peer: Callable[[], Peer], make_vfs: MakeVfs
) -> None:
    peer = new_peer()
    peer.open(path)
    vfs = make_vfs(path)
    vfs.write_bytes("/big", b"x" * 500_000)
    peer("globals().update(h=vfs.open('/big', 'rb', 0))")
    vfs.write_bytes("/gone", bytes(500_000))
    vfs.remove("/gone")

    assert vfs.compact() > 400_000

    assert peer("h.read()") == b"x" * 500_000
    assert peer("vfs.write_text('/by-peer', 'x')") == 1
    assert peer("h.close()") is None
    assert vfs.listdir("/")[:2] == ["big", "by-peer"]
    assert vfs.check(deep=True) == []


# --- handles --------------------------------------------------------------------------


def test_handle_follows_what_another_process_does_to_its_file(
    path: Path, new_peer: Callable[[], Peer], make_vfs: MakeVfs
) -> None:
    peer = new_peer()
    peer.open(path)
    with make_vfs(path).open("/small", "r+b", 0) as file:
        found = [file.read(4)]
        peer("vfs.rename('/small', '/dir/moved')")
        peer("vfs.link('/dir/moved', '/second')")
        peer("vfs.remove('/dir/moved')")
        peer("globals().update(h=vfs.open('/second', 'r+b', 0))")
        peer("(h.seek(4), h.write(b'from there'))[1]")
        found.append(file.read())
        file.write(b" and here")
        peer("h.truncate(6)")
        size = file.seek(0, os.SEEK_END)
        peer("h.truncate(0)")
        file.seek(0)
        found.append(file.read())
        peer("h.close()")

    assert found == [b"aaaa", b"from there", b""]
    assert size == 6
    assert peer("vfs.read_bytes('/second')") == b""


def test_reader_at_the_end_reads_on_as_another_process_appends(
    path: Path, new_peer: Callable[[], Peer], make_vfs: MakeVfs
) -> None:
    """Through every buffer there is: as ``tail -f`` does."""
    vfs = make_vfs(path)
    vfs.write_bytes("/log", b"")
    peer = new_peer()
    peer.open(path)
    peer("globals().update(log=vfs.open('/log', 'ab', 0))")
    openers = [("rb", 0), ("rb", -1), ("rb", 16), ("r", -1)]
    readers: list[Any] = [vfs.open("/log", *how) for how in openers]

    for number in range(5):
        line = f"line {number}\n"
        peer(f"log.write({line.encode()!r})")
        found = [reader.readline() for reader in readers]
        assert found == [line.encode(), line.encode(), line.encode(), line]
        assert [reader.readline() for reader in readers] == [b"", b"", b"", ""]
    peer("log.close()")
    for reader in readers:
        reader.close()


def test_file_replaced_by_another_process_is_stale_for_its_handle(
    path: Path, new_peer: Callable[[], Peer], make_vfs: MakeVfs
) -> None:
    vfs = make_vfs(path)
    file = vfs.open("/d/x/b", "rb", 0)
    peer = new_peer()
    peer.open(path)

    peer("vfs.replace('/small', '/d/x/b')")

    for use in (file.read, lambda: file.seek(0, os.SEEK_END)):
        with pytest.raises(OSError) as caught:
            use()
        assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, "/d/x/b")
    file.close()
    assert vfs.read_bytes("/d/x/b") == b"a" * 10


# --- orphans --------------------------------------------------------------------------


def orphans(path: Path) -> list[Any]:
    return query(path, "SELECT id FROM inodes WHERE nlink = 0")


@pytest.mark.parametrize("remove", ["remove", "replace", "rmtree", "open w"])
def test_unlinked_file_of_one_process_outlives_the_opening_by_others(
    path: Path, new_peer: Callable[[], Peer], make_vfs: MakeVfs, remove: str
) -> None:
    """Whoever opens the container, and closes it: it is not theirs to collect."""
    peer = new_peer()
    peer.open(path)
    peer("globals().update(h=vfs.open('/d/x/b', 'r+b', 0))")
    removals = {
        "remove": "vfs.remove('/d/x/b')",
        "replace": "vfs.replace('/f', '/d/x/b')",
        "rmtree": "vfs.rmtree('/d')",
        "open w": "(vfs.remove('/d/x/b'), vfs.open('/d/x/b', 'w').close())[1]",
    }
    peer(removals[remove])

    for _ in range(2):
        with VirtualFileSystem(path) as vfs:
            vfs.write_bytes("/new", b"secret" * 100)
        with VirtualFileSystem(path, read_only=True) as vfs:
            assert vfs.read_bytes("/new") == b"secret" * 100
    other = make_vfs(path)

    assert peer("h.read()") == b"22"
    assert peer("h.write(b'more')") == 4
    assert peer("(h.seek(0), h.read())[1]") == b"22more"
    assert len(orphans(path)) == 1
    assert other.check() == []
    peer("h.close()")
    assert orphans(path) == []


def test_unlinked_file_of_a_killed_process_goes_when_nobody_else_is_there(
    path: Path, new_peer: Callable[[], Peer]
) -> None:
    peer = new_peer()
    peer.open(path)
    peer("globals().update(h=vfs.open('/f', 'rb', 0))")
    peer("vfs.remove('/f')")
    peer("vfs.remove('/other')")
    witness = VirtualFileSystem(path)

    peer.kill()
    VirtualFileSystem(path).close()
    kept = orphans(path)
    witness.close()
    VirtualFileSystem(path).close()

    assert len(kept) == 1
    assert orphans(path) == []
    assert integrity_of(path) == "ok"


def test_opening_for_writing_raced_with_unlinking_never_takes_an_open_file(
    path: Path, new_peer: Callable[[], Peer]
) -> None:
    peer = new_peer()
    peer.open(path)
    done = threading.Event()

    def reopen() -> None:
        while not done.is_set():
            VirtualFileSystem(path, timeout=LONG).close()

    thread = threading.Thread(target=reopen)
    thread.start()
    try:
        for number in range(30):
            peer(f"globals().update(h=vfs.open('/u{number}', 'w+b', 0))")
            peer(f"(h.write(b'{number}'), vfs.remove('/u{number}'))[1]")
            assert peer("(h.seek(0), h.read())[1]") == b"%d" % number
            peer("h.close()")
    finally:
        done.set()
        thread.join(LONG)

    assert orphans(path) == []


# --- searching ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["walk", "walk up", "iglob", "iglob deep"])
def test_search_goes_on_while_another_process_changes_everything(
    tmp_path: Path, new_peer: Callable[[], Peer], make_vfs: MakeVfs, how: str
) -> None:
    """What stays is found once, what goes is passed over, and it comes to an end."""
    path = tmp_path / "tree.db"
    vfs = make_vfs(path)
    with vfs.atomic_batch():
        for number in range(60):
            vfs.write_text(f"/d{number:02}/stays", "x")
            vfs.write_text(f"/d{number:02}/goes/f", "x")
    peer = new_peer()
    peer.open(path)
    searches: dict[str, Callable[[], Iterator[Any]]] = {
        "walk": lambda: vfs.walk("/"),
        "walk up": lambda: vfs.walk("/", topdown=False),
        "iglob": lambda: vfs.iglob("/*/*"),
        "iglob deep": lambda: vfs.iglob("/**/stays"),
    }
    steps = searches[how]()

    found = [next(steps)]
    for number in range(0, 60, 5):
        peer(f"vfs.rmtree('/d{number:02}/goes')")
        peer(f"vfs.write_text('/a{number:02}/comes', 'x')")
        peer(f"vfs.rename('/a{number:02}', '/z{number:02}')")
        found += itertools.islice(steps, 1)
    found += steps

    if how.startswith("walk"):
        found = [f"{top}/{name}" for top, _, names in found for name in names]
    stayed = [it for it in found if it.endswith("stays")]
    assert sorted(stayed) == [f"/d{number:02}/stays" for number in range(60)]


@pytest.mark.slow
def test_search_across_pages_while_another_process_removes_finds_the_rest_once(
    tmp_path: Path, make_vfs: MakeVfs
) -> None:
    path = tmp_path / "tree.db"
    vfs, other = make_vfs(path), make_vfs(path)
    names = [f"/{number // 100:03}/{number % 100:02}" for number in range(9000)]
    with vfs.atomic_batch():
        for name in names:
            vfs.touch(name)
    steps = vfs.iglob("**/[0-9][0-9]")

    found = [next(steps)]
    with other.atomic_batch():
        for name in names[1::2]:
            other.remove(name)
    found += steps

    assert len(found) == len({*found})
    assert {*found} >= {*names[::2]}


# --- counting -------------------------------------------------------------------------

COUNT = """
for n in range({rounds}):
    with vfs.atomic_batch():
        vfs.write_text('/count', str(int(vfs.read_text('/count')) + 1))
        with vfs.open('/log', 'a') as log:
            log.write('{name} %d\\n' % n)
"""


def run(peer: Peer, source: str) -> None:
    peer.send(f"exec({source!r}, globals())")


@pytest.mark.slow
def test_counter_raised_in_batches_by_processes_loses_no_step(
    path: Path, new_peer: Callable[[], Peer], make_vfs: MakeVfs
) -> None:
    vfs = make_vfs(path)
    vfs.write_text("/count", "0")
    vfs.write_text("/log", "")
    peers = [new_peer() for _ in range(3)]
    for peer in peers:
        peer.open(path, f"timeout={LONG}")

    for name, peer in enumerate(peers):
        run(peer, COUNT.format(rounds=100, name=name))
    totals = [int(vfs.read_text("/count"))]
    while len(totals) < 2000 and totals[-1] < 300:
        totals.append(int(vfs.read_text("/count")))
    answers = [peer.answer() for peer in peers]

    assert [answer[0] for answer in answers] == ["returned"] * 3
    assert totals == sorted(totals)
    assert vfs.read_text("/count") == "300"
    lines = vfs.read_text("/log").splitlines()
    for name, _ in enumerate(peers):
        mine = [line for line in lines if line.startswith(f"{name} ")]
        assert mine == [f"{name} {number}" for number in range(100)]


# --- creating -------------------------------------------------------------------------


@pytest.mark.slow
def test_creation_raced_by_processes_again_and_again_makes_one_container(
    tmp_path: Path, new_peer: Callable[[], Peer]
) -> None:
    """Ten times by eight; the last two only look: there is nothing yet, or all."""
    peers = [new_peer() for _ in range(8)]
    nothing = {"FileNotFoundError", "ForeignDatabase", "CorruptDatabase"}

    for number in range(10):
        path = tmp_path / f"{number}.db"
        for nth, peer in enumerate(peers):
            options = f"{1000 + nth}, timeout={LONG}, read_only={nth > 5}"
            peer.send(
                f"globals().update(vfs=VirtualFileSystem({str(path)!r}, {options}))"
            )
        answers = [peer.answer() for peer in peers]
        assert [answer[0] for answer in answers[:6]] == ["returned"] * 6, answers
        for found in answers[6:]:
            assert found[0] == "returned" or found[1] in nothing, found
        for nth, peer in enumerate(peers[:6]):
            assert peer(f"vfs.write_text('/{nth}', 'x')") == 1
        assert len({peer("vfs.chunk_size") for peer in peers[:6]}) == 1
        assert peers[0]("vfs.listdir('/')") == [str(nth) for nth in range(6)]
        assert peers[0]("len(vfs.check(deep=True))") == 0
        for peer, found in zip(peers, answers, strict=True):
            if found[0] == "returned":
                peer("vfs.close()")


# --- being killed ---------------------------------------------------------------------


@pytest.mark.slow
def test_kill_in_a_large_batch_frees_the_lock_for_who_is_waiting(
    path: Path, new_peer: Callable[[], Peer], make_vfs: MakeVfs
) -> None:
    before = dump_of(path)
    victim, waiting = new_peer(), new_peer()
    victim.open(path)
    waiting.open(path, f"timeout={LONG}")
    victim("globals().update(batch=vfs.atomic_batch())")
    victim("batch.__enter__()")
    victim("[vfs.write_bytes('/%d' % n, bytes(100_000)) for n in range(40)] and 0")

    waiting.send("vfs.listdir('/')")
    seen = waiting.answer()
    waiting.send("vfs.write_text('/after', 'x')")
    victim.kill()
    written = waiting.answer()

    names = ["d", "f", "other", "small", "to-dir", "to-file"]
    assert seen == ("returned", names)
    assert written == ("returned", 1)
    with make_vfs(path) as vfs:
        assert vfs.listdir("/") == ["after", *names]
        vfs.remove("/after")
        assert vfs.check(deep=True) == []
    assert [*dump_of(path)["chunks"]] == [*before["chunks"]]
