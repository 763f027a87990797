"""One instance, many threads: whole calls, whole batches, and no thread left hanging.

Barriers and events decide who goes when; where the order is left to chance, what is
asserted holds in every order.
"""

from __future__ import annotations

import random
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

THREADS = 8
ROUNDS = 25
LONG = 60  # seconds: nothing waits this long, unless it waits for ever


@pytest.fixture(params=["memory", "disk"])
def shared(
    request: pytest.FixtureRequest,
    make_vfs: Callable[..., VirtualFileSystem],
    tmp_path: Path,
) -> Any:
    return make_vfs(":memory:" if request.param == "memory" else tmp_path / "c.db", 64)


def together(*works: Callable[[], object]) -> list[BaseException]:
    """Run *works* at once, each in a thread; return what they raised."""
    barrier = threading.Barrier(len(works))
    raised: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        barrier.wait(LONG)
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the main thread looks at them
            raised.append(error)

    threads = [
        threading.Thread(target=run, args=(work,), daemon=True) for work in works
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    return raised


# --- one instance ---------------------------------------------------------------------


def test_counters_raised_by_all_threads_lose_no_step(shared: VirtualFileSystem) -> None:
    for name in "abc":
        shared.write_text(f"/{name}", "0")

    def count(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(ROUNDS):
            path = f"/{chance.choice('abc')}"
            with shared.atomic_batch():
                shared.write_text(path, str(int(shared.read_text(path)) + 1))

    raised = together(*(lambda seed=seed: count(seed) for seed in range(THREADS)))

    assert raised == []
    assert sum(int(shared.read_text(f"/{name}")) for name in "abc") == THREADS * ROUNDS


def test_sum_moved_between_files_is_the_same_at_every_look(
    shared: VirtualFileSystem,
) -> None:
    names = [f"/account/{number}" for number in range(4)]
    for name in names:
        shared.write_text(name, "100")
    sums: list[int] = []

    def move(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(ROUNDS):
            src, dst = chance.sample(names, 2)
            amount = chance.randrange(50)
            with shared.atomic_batch():
                shared.write_text(src, str(int(shared.read_text(src)) - amount))
                shared.write_text(dst, str(int(shared.read_text(dst)) + amount))

    def look() -> None:
        for _ in range(ROUNDS):
            with shared.atomic_batch():
                sums.append(sum(int(shared.read_text(name)) for name in names))

    works = [lambda seed=seed: move(seed) for seed in range(THREADS // 2)]
    raised = together(*works, *[look] * (THREADS // 2))

    assert raised == []
    assert set(sums) == {400}


@pytest.mark.no_slow_contracts("threads")
def test_random_calls_from_all_threads_raise_only_what_files_raise(
    shared: VirtualFileSystem,
) -> None:
    def work(seed: int) -> None:
        chance = random.Random(seed)
        calls: list[Callable[[str, str], object]] = [
            lambda a, b: shared.write_bytes(a, bytes(chance.randrange(200))),
            lambda a, b: shared.read_bytes(a),
            lambda a, b: shared.remove(a),
            shared.rename,
            shared.replace,
            shared.copy,
            shared.link,
            lambda a, b: shared.truncate(a, 100),
            lambda a, b: shared.rmtree("/d"),
            lambda a, b: list(shared.walk("/")),
            lambda a, b: shared.glob("**/*"),
            lambda a, b: append(shared, a),
        ]
        names = ["/a", "/b", "/d/a", "/d/b", "/d/e/a"]
        for _ in range(ROUNDS * 2):
            try:
                chance.choice(calls)(chance.choice(names), chance.choice(names))
            except OSError:
                continue

    raised = together(*(lambda seed=seed: work(seed) for seed in range(THREADS)))

    assert raised == []
    assert shared.check() == []


def append(vfs: VirtualFileSystem, path: str) -> None:
    with vfs.open(path, "ab") as handle:
        handle.write(b"x" * 70)


@pytest.mark.no_slow_contracts("threads")
def test_readers_see_whole_contents_while_they_are_replaced(
    shared: VirtualFileSystem,
) -> None:
    versions = [bytes([number]) * 500 for number in range(4)]
    shared.write_bytes("/f", versions[0])
    seen: list[bytes] = []

    def write() -> None:
        for number in range(ROUNDS * 2):
            shared.write_bytes("/f", versions[number % 4])

    def read() -> None:
        seen.extend(shared.read_bytes("/f") for _ in range(ROUNDS * 2))

    assert together(write, write, *[read] * 4) == []
    assert set(seen) <= set(versions)


def test_one_name_made_by_all_threads_is_made_once(shared: VirtualFileSystem) -> None:
    made: list[str] = []

    def make() -> None:
        shared.open("/dir/lock", "x").close()
        made.append("here")

    raised = together(*[make] * THREADS)

    assert made == ["here"]
    assert [type(error) for error in raised] == [FileExistsError] * (THREADS - 1)


def test_one_file_renamed_by_all_threads_goes_one_way(
    shared: VirtualFileSystem,
) -> None:
    shared.write_text("/src", "x")
    works = [lambda n=n: shared.rename("/src", f"/dst{n}") for n in range(THREADS)]

    raised = together(*works)

    assert [type(error) for error in raised] == [FileNotFoundError] * (THREADS - 1)
    assert len(shared.listdir("/")) == 1


# --- handles --------------------------------------------------------------------------


def test_handle_per_thread_writes_its_own_part(shared: VirtualFileSystem) -> None:
    shared.write_bytes("/f", bytes(THREADS * 100))

    def write(number: int) -> None:
        with shared.open("/f", "r+b") as handle:
            for at in range(100):
                handle.seek(number * 100 + at)
                handle.write(bytes([number]))
                handle.flush()

    raised = together(*(lambda n=n: write(n) for n in range(THREADS)))

    assert raised == []
    expected = b"".join(bytes([number]) * 100 for number in range(THREADS))
    assert shared.read_bytes("/f") == expected


def test_appenders_of_one_file_lose_no_line(shared: VirtualFileSystem) -> None:
    def log(number: int) -> None:
        with shared.open("/log", "ab", buffering=0) as raw:
            for line in range(ROUNDS):
                raw.write(b"%d:%d\n" % (number, line))

    raised = together(*(lambda n=n: log(n) for n in range(THREADS)))

    lines = shared.read_bytes("/log").splitlines()
    assert raised == []
    assert sorted(lines) == sorted(
        b"%d:%d" % (number, line) for number in range(THREADS) for line in range(ROUNDS)
    )


def test_one_buffered_handle_shared_by_threads_loses_no_line(
    shared: VirtualFileSystem,
) -> None:
    """The standard buffer has a lock of its own; the raw file must not undo it."""
    with shared.open("/log", "wb", buffering=16) as handle:

        def log(number: int) -> None:
            for line in range(ROUNDS):
                handle.write(b"%d:%03d\n" % (number, line))

        raised = together(*(lambda n=n: log(n) for n in range(THREADS)))

    assert raised == []
    assert len(set(shared.read_bytes("/log").splitlines())) == THREADS * ROUNDS


def test_handle_of_file_removed_by_another_thread_keeps_its_bytes(
    shared: VirtualFileSystem,
) -> None:
    shared.write_bytes("/f", b"x" * 500)
    contents: list[bytes] = []

    def read() -> None:
        for _ in range(ROUNDS):
            try:
                handle = shared.open("/f", "rb")
            except FileNotFoundError:
                continue
            with handle:
                contents.append(handle.read())

    def replace() -> None:
        for _ in range(ROUNDS):
            shared.remove("/f")
            shared.write_bytes("/f", b"x" * 500)

    assert together(replace, *[read] * 3) == []
    assert set(contents) <= {b"x" * 500}


# --- batches --------------------------------------------------------------------------


def test_batch_is_invisible_to_another_thread_until_it_is_left(
    shared: VirtualFileSystem,
) -> None:
    shared.write_text("/a", "old")
    half_done = threading.Event()
    seen: list[tuple[str, bool]] = []

    def batch() -> None:
        with shared.atomic_batch():
            shared.write_text("/a", "new")
            half_done.set()
            shared.write_text("/b", "too")

    def look() -> None:
        assert half_done.wait(LONG)
        # Waits for the batch; a look into it would find no /b.
        seen.append((shared.read_text("/a"), shared.exists("/b")))

    assert together(batch, look) == []
    assert seen == [("new", True)]


def test_batch_that_fails_was_never_seen_by_another_thread(
    shared: VirtualFileSystem,
) -> None:
    half_done = threading.Event()
    seen: list[list[str]] = []

    def batch() -> None:
        with shared.atomic_batch():
            shared.write_text("/a", "never")
            half_done.set()
            raise KeyError

    def look() -> None:
        assert half_done.wait(LONG)
        seen.append(shared.listdir("/"))

    raised = together(batch, look)

    assert [type(error) for error in raised] == [KeyError]
    assert seen == [[]]


def test_batch_of_one_thread_takes_back_nothing_of_another(
    shared: VirtualFileSystem,
) -> None:
    def fail() -> None:
        for _ in range(ROUNDS):
            with pytest.raises(KeyError), shared.atomic_batch():  # noqa: PT012
                shared.write_text("/never", "x")
                raise KeyError

    def write(number: int) -> None:
        for line in range(ROUNDS):
            shared.write_text(f"/{number}/{line}", "x")

    raised = together(fail, fail, *(lambda n=n: write(n) for n in range(3)))

    assert raised == []
    assert shared.listdir("/") == ["0", "1", "2"]
    assert all(len(shared.listdir(f"/{number}")) == ROUNDS for number in range(3))


def test_search_left_half_way_keeps_nobody_waiting(shared: VirtualFileSystem) -> None:
    for number in range(10):
        shared.touch(f"/d{number}/f")
    steps = [shared.walk("/"), shared.iglob("**/*")]
    for step in steps:
        next(step)

    raised = together(lambda: shared.write_text("/new", "x"))

    assert raised == []
    assert len([*steps[0]]) == 10


# --- closing --------------------------------------------------------------------------


def test_close_while_others_work_gives_them_value_error(
    shared: VirtualFileSystem,
) -> None:
    shared.write_text("/f", "x")
    working = threading.Barrier(THREADS + 1)

    def work(call: Callable[[], object]) -> None:
        call()
        working.wait(LONG)
        while True:  # until the file system is closed under it
            call()

    def close() -> None:
        working.wait(LONG)
        shared.close()

    calls: list[Callable[[], object]] = [
        lambda: shared.read_bytes("/f"),
        lambda: shared.write_text("/f", "y"),
        lambda: shared.listdir("/"),
        lambda: shared.stat("/f"),
        lambda: list(shared.walk("/")),
        lambda: shared.glob("*"),
        shared.check,
        lambda: in_batch(shared),
    ]
    raised = together(close, *(lambda call=call: work(call) for call in calls))

    assert [type(error) for error in raised] == [ValueError] * THREADS
    assert shared.closed


def in_batch(vfs: VirtualFileSystem) -> None:
    with vfs.atomic_batch():
        vfs.write_text("/g", "1")
        vfs.write_text("/g", "2")


def test_close_while_a_batch_runs_waits_for_it(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path
) -> None:
    vfs = make_vfs(tmp_path / "c.db")
    half_done = threading.Event()

    def batch() -> None:
        with vfs.atomic_batch():
            vfs.write_text("/a", "1")
            half_done.set()
            vfs.write_text("/b", "2")

    def close() -> None:
        assert half_done.wait(LONG)
        vfs.close()

    raised = together(batch, close)

    assert raised == []
    assert make_vfs(tmp_path / "c.db").listdir("/") == ["a", "b"]


@pytest.mark.damaged  # the check before each close would find it closed by another
def test_close_by_all_threads_closes_once(shared: VirtualFileSystem) -> None:
    assert together(*[shared.close] * THREADS) == []
    assert shared.closed


def test_handles_used_while_the_file_system_closes_raise_value_error(
    shared: VirtualFileSystem,
) -> None:
    working = threading.Barrier(5)
    handles = [shared.open(f"/{number}", "w+b", buffering=0) for number in range(4)]

    def work(handle: Any) -> None:
        handle.write(b"x")
        working.wait(LONG)
        while True:
            handle.write(b"x")

    def close() -> None:
        working.wait(LONG)
        with pytest.warns(ResourceWarning, match="closed with its file system"):
            shared.close()

    raised = together(close, *(lambda handle=h: work(handle) for h in handles))

    assert [type(error) for error in raised] == [ValueError] * 4
    assert all(handle.closed for handle in handles)


# --- an instance per thread -----------------------------------------------------------


def test_instance_per_thread_on_one_file_loses_no_step(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path
) -> None:
    path = tmp_path / "c.db"
    instances = [make_vfs(path, timeout=LONG) for _ in range(4)]
    instances[0].write_text("/count", "0")

    def count(vfs: VirtualFileSystem) -> None:
        for _ in range(ROUNDS):
            with vfs.atomic_batch():
                vfs.write_text("/count", str(int(vfs.read_text("/count")) + 1))

    raised = together(*(lambda vfs=vfs: count(vfs) for vfs in instances))

    assert raised == []
    assert instances[0].read_text("/count") == str(4 * ROUNDS)


@pytest.mark.slow
@pytest.mark.parametrize("nth", range(30))
def test_one_file_created_by_all_threads_is_one_container(
    tmp_path: Path, eager_switches: None, nth: int
) -> None:
    """Thirty times, since who looks at a file half made is a matter of luck."""
    path = tmp_path / "c.db"
    made: list[VirtualFileSystem] = []

    def create(number: int) -> None:
        vfs = VirtualFileSystem(path, 1000 + number, timeout=LONG)
        made.append(vfs)
        vfs.write_text(f"/{number}", "x")

    raised = together(*(lambda n=n: create(n) for n in range(THREADS)))

    names = made[0].listdir("/")
    chunk_sizes = {vfs.chunk_size for vfs in made}
    for vfs in made:
        vfs.close()
    assert raised == []
    assert len(chunk_sizes) == 1
    assert names == [str(number) for number in range(THREADS)]


@pytest.fixture
def eager_switches() -> Iterator[None]:
    """Let threads take turns far more often than they do by themselves."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)
