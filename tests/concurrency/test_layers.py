"""Stacks, and the owners of what lies below them, in many threads.

A thread that hangs fails its test with the stacks of all of them.
"""

from __future__ import annotations

import errno
import faulthandler
import itertools
import random
import sys
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs import VirtualFileSystem
from stratavfs.layers import DirectoryLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Vfs = VirtualFileSystem

ROUNDS = 30
LONG = 20  # seconds: nothing waits this long, unless it waits for ever
SHORT = 0.1

threads_only = pytest.mark.no_slow_contracts("threads")


@pytest.fixture(autouse=True)
def eager() -> Iterator[None]:
    """Let threads take turns a hundred times as often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 100)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(params=["memory", "file"])
def make(request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path) -> Any:
    """Return a maker of file systems, all in memory or all on the disk."""
    numbers = itertools.count()

    def made(**options: Any) -> Vfs:
        file = tmp_path / f"{next(numbers)}.db"
        where = ":memory:" if request.param == "memory" else file
        vfs: Vfs = make_vfs(where, 64, synchronous="off", **options)
        return vfs

    return made


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
        if thread.is_alive():
            faulthandler.dump_traceback(all_threads=True)
            pytest.fail("a thread hangs; the stacks of all are in stderr")
    return raised


def filled(vfs: Vfs, names: str = "ab", size: int = 5000) -> Vfs:
    for name in names:
        vfs.write_bytes(f"/d/{name}", b"0" * size)
    return vfs


def is_whole(content: bytes) -> bool:
    """Tell whether nothing is torn: each file is one byte, again and again."""
    return len({*content}) <= 1


# --- readers above, owners below ------------------------------------------------------


@threads_only
@pytest.mark.parametrize("size", [50, 5000])
def test_readers_see_whole_files_while_the_owners_write(make: Any, size: int) -> None:
    layers = [filled(make(), "ab", size), filled(make(), "bc", size)]
    vfs = make()
    for layer in layers:
        vfs.add_underlay(layer)
    seen: list[bytes] = []

    def read() -> None:
        for _ in range(ROUNDS):
            for name in "abc":
                seen.append(vfs.read_bytes(f"/d/{name}"))
                with vfs.open(f"/d/{name}", "rb") as file:
                    assert len(file.read(40)) == 40
            assert vfs.listdir("/d") == ["a", "b", "c"]
            assert vfs.stat("/d/a").size == size

    def own(layer: Vfs, names: str) -> None:
        for number in range(ROUNDS):
            with layer.atomic_batch():
                for name in names:
                    layer.write_bytes(f"/d/{name}", b"%d" % (number % 10) * size)

    raised = together(
        *(read, read, lambda: own(layers[0], "ab"), lambda: own(layers[1], "bc"))
    )

    assert raised == []
    assert all(map(is_whole, seen))
    assert {*map(len, seen)} == {size}


@threads_only
def test_names_that_come_and_go_below_are_never_half_there(make: Any) -> None:
    base, other, vfs = filled(make()), filled(make(), "c"), make()
    vfs.add_underlay(base)
    vfs.add_underlay(other)
    names: list[tuple[str, ...]] = []

    def own() -> None:
        for _ in range(ROUNDS):
            base.rename("/d/a", "/d/z")
            base.rename("/d/z", "/d/a")
            with pytest.raises(KeyError), base.atomic_batch():  # noqa: PT012
                base.rmtree("/d")
                raise KeyError

    def read() -> None:
        for _ in range(ROUNDS * 3):
            names.append(tuple(vfs.listdir("/d")))
            try:
                assert is_whole(vfs.read_bytes("/d/a"))
            except FileNotFoundError as error:
                assert error.filename == "/d/a"  # noqa: PT017 - one of two ends
            assert vfs.read_bytes("/d/b")[:1] == b"0"

    assert together(own, read, read) == []
    assert {*names} <= {("a", "b", "c"), ("b", "c", "z")}


@threads_only
def test_writers_above_bring_up_whole_files_while_the_owner_writes(make: Any) -> None:
    base, vfs = filled(make(), "abcdefgh"), make()
    vfs.add_underlay(base)

    def own() -> None:
        for number in range(ROUNDS):
            for name in "abcdefgh":
                base.write_bytes(f"/d/{name}", b"%d" % (number % 10) * 5000)

    def write(names: str) -> None:
        for name in names:
            vfs.chmod(f"/d/{name}", 0o600)
            assert is_whole(vfs.read_bytes(f"/d/{name}"))

    assert together(own, lambda: write("abcd"), lambda: write("hgfe")) == []
    for name in "abcdefgh":
        assert is_whole(vfs.read_bytes(f"/d/{name}"))
        assert vfs.stat(f"/d/{name}").size == 5000
        assert vfs.which_layer(f"/d/{name}") == "local"


@threads_only
def test_handles_of_threads_on_one_base_file_write_to_one_copy(make: Any) -> None:
    base, vfs = filled(make(), "a", 800), make()
    vfs.add_underlay(base)

    def write(number: int) -> None:
        with vfs.open("/d/a", "r+b", 0) as file:
            for at in range(100):
                file.seek(number * 100 + at)
                file.write(b"%d" % number)

    assert together(*(lambda n=n: write(n) for n in range(8))) == []
    assert vfs.read_bytes("/d/a") == b"".join(b"%d" % n * 100 for n in range(8))
    assert base.read_bytes("/d/a") == b"0" * 800


@threads_only
def test_underlay_that_comes_and_goes_is_there_or_not(make: Any) -> None:
    base, vfs = filled(make(), "a", 50), make()
    stop = threading.Event()

    def change() -> None:
        try:
            for _ in range(ROUNDS * 5):
                vfs.add_underlay(base, name="base")
                vfs.remove_underlay("base")
        finally:
            stop.set()

    def read() -> None:
        while not stop.is_set():
            assert vfs.listdir("/") in ([], ["d"])
            try:
                assert vfs.read_bytes("/d/a") == b"0" * 50
            except FileNotFoundError as error:
                assert error.filename == "/d/a"  # noqa: PT017 - one of two ends

    assert together(change, read, read) == []
    assert not vfs.exists("/d/a")


@threads_only
def test_two_threads_making_a_cycle_make_none(make: Any) -> None:
    for _ in range(ROUNDS):
        one, two = make(), make()

        add = [one.add_underlay, two.add_underlay]

        raised = together(partial(add[0], two), partial(add[1], one))

        assert [type(error).__name__ for error in raised] == ["InvalidArgument"]
        assert one.exists("/") is two.exists("/") is True


# --- locks ----------------------------------------------------------------------------


def crossed(make: Any) -> tuple[list[Vfs], list[Vfs]]:
    layers = [filled(make()), filled(make())]
    stacks = [make(), make()]
    for stack, order in zip(stacks, (layers, layers[::-1]), strict=True):
        for layer in order:
            stack.add_underlay(layer)
    return layers, stacks


def ask(vfs: Vfs) -> None:
    assert is_whole(vfs.read_bytes("/d/a"))
    assert vfs.listdir("/d") == ["a", "b"]
    assert [entry.stat().size for entry in vfs.scandir("/d")] == [5000, 5000]
    assert not vfs.exists("/nothing/at/all")
    assert vfs.glob("/**/b") == ["/d/b"]
    assert vfs.which_layer("/d/a") == "underlay_0"
    with vfs.open("/d/b", "rb") as file:
        file.read(10)


@threads_only
def test_stacks_in_opposite_orders_never_wait_for_each_other(make: Any) -> None:
    layers, stacks = crossed(make)

    def own(layer: Vfs) -> None:
        for number in range(ROUNDS):
            with layer.atomic_batch():
                layer.write_bytes("/d/a", b"%d" % (number % 10) * 5000)
                layer.write_bytes("/d/b", b"%d" % (number % 10) * 5000)

    def read(stack: Vfs) -> None:
        for _ in range(ROUNDS // 3):
            ask(stack)

    works = [lambda it=it: own(it) for it in layers]
    works += [lambda it=it: read(it) for it in stacks * 2]

    assert together(*works) == []


@pytest.mark.slow
@threads_only
def test_batch_on_an_underlay_while_reading_through_the_stack_hangs_nowhere(
    make: Any,
) -> None:
    """In the same thread, and two of them the opposite way round: one may be busy."""
    layers, stacks = crossed(lambda: make(timeout=SHORT))
    refused: list[OSError] = []

    def work(layer: Vfs, stack: Vfs, seed: int) -> None:
        chance = random.Random(seed)
        for number in range(ROUNDS // 3):
            try:
                with layer.atomic_batch():
                    layer.write_bytes("/d/a", b"%d" % (number % 10) * 5000)
                    ask(stack)
                    layer.write_bytes("/d/b", b"%d" % (number % 10) * 5000)
            except OSError as error:
                refused.append(error)
            if chance.random() < 0.5:
                ask(stack)

    pairs = itertools.product(layers, stacks)
    works = [partial(work, *pair, n) for n, pair in enumerate(pairs)]

    assert together(*works) == []
    assert {error.errno for error in refused} <= {errno.EBUSY}
    for vfs in (*layers, *stacks):
        ask(vfs) if vfs in stacks else vfs.touch("/still/usable")


def test_batch_on_an_underlay_is_read_by_its_own_thread_through_the_stack(
    make: Any,
) -> None:
    layers, stacks = crossed(make)

    with layers[0].atomic_batch(), layers[1].atomic_batch():
        layers[0].write_bytes("/d/a", b"1" * 5000)
        layers[1].write_bytes("/d/a", b"2" * 5000)
        seen = [stack.read_bytes("/d/a")[:1] for stack in stacks]
        with stacks[0].atomic_batch():
            stacks[0].chmod("/d/a", 0o600)
        for stack in stacks:
            ask(stack) if stack is stacks[1] else stack.listdir("/d")

    assert seen == [b"1", b"2"]
    assert stacks[0].read_bytes("/d/a") == b"1" * 5000


def test_reader_outside_a_batch_waits_for_the_owner_of_the_layer(make: Any) -> None:
    base, vfs = filled(make(timeout=SHORT)), make(timeout=SHORT)
    vfs.add_underlay(base)
    reading, seen = threading.Event(), []

    def read() -> None:
        reading.set()
        seen.append(vfs.read_bytes("/d/a")[:1])

    thread = threading.Thread(target=read, daemon=True)
    with base.atomic_batch():
        base.write_bytes("/d/a", b"1" * 5000)
        thread.start()
        assert reading.wait(LONG)
        thread.join(SHORT * 2)  # longer than anybody in a batch would wait
        waiting = thread.is_alive()
    thread.join(LONG)

    assert (waiting, seen) == (True, [b"1"])


@pytest.mark.slow
def test_two_batches_each_reading_what_the_other_writes_are_refused_not_hung(
    make: Any,
) -> None:
    layers = [filled(make(timeout=SHORT)) for _ in range(2)]
    stacks = [make(timeout=SHORT) for _ in range(2)]
    for stack, layer in zip(stacks, layers[::-1], strict=True):
        stack.add_underlay(layer, name="other")
    held = threading.Barrier(2)
    refused: list[OSError] = []

    def work(nth: int) -> None:
        try:
            with layers[nth].atomic_batch():
                layers[nth].write_bytes("/d/a", b"mine" * 10)
                held.wait(LONG)
                stacks[nth].read_bytes("/d/a")
        except OSError as error:
            refused.append(error)

    assert together(lambda: work(0), lambda: work(1)) == []

    assert 1 <= len(refused) <= 2
    for error in refused:
        assert (error.errno, error.filename) == (errno.EBUSY, "/d/a")
        assert "other" in str(error)
        assert "another thread" in str(error)
    done = [layer.read_bytes("/d/a") == b"mine" * 10 for layer in layers]
    assert done.count(False) == len(refused)
    for stack in stacks:
        assert stack.read_bytes("/d/b") == b"0" * 5000


@contextmanager
def held(layer: Vfs) -> Iterator[None]:
    """Another thread has a batch open on *layer* meanwhile."""
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with layer.atomic_batch():
            holding.set()
            done.wait(LONG)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert holding.wait(LONG)
    try:
        yield
    finally:
        done.set()
        thread.join(LONG)
    assert not thread.is_alive()


@pytest.mark.slow
def test_batch_above_a_layer_that_is_held_is_refused_and_taken_back(make: Any) -> None:
    base, vfs = filled(make(timeout=SHORT)), make(timeout=SHORT)
    vfs.add_underlay(base, name="base")
    calls: list[Callable[[], object]] = [
        lambda: vfs.chmod("/d/a", 0o600),
        lambda: vfs.rename("/d", "/e"),
        lambda: vfs.write_bytes("/d/a", b"1"),
        lambda: vfs.open("/d/a", "w"),
    ]

    with held(base):
        for call in calls:
            with pytest.raises(OSError, match="base") as caught:
                call()
            assert caught.value.errno == errno.EBUSY

    assert vfs.which_layer("/d/a") == "base"
    vfs.chmod("/d/a", 0o600)
    assert vfs.read_bytes("/d/a") == b"0" * 5000


def test_handle_closed_while_the_layer_is_held_is_closed(make: Any) -> None:
    base, vfs = filled(make(timeout=SHORT)), make(timeout=SHORT)
    vfs.add_underlay(base, name="base")
    (top,) = vfs._layers.stack.underlays
    file = vfs.open("/d/a", "rb", 0)

    with held(base), vfs.atomic_batch():
        try:
            file.close()
        except OSError as error:
            assert error.errno == errno.EBUSY  # noqa: PT017 - one of two ends

    assert file.closed
    assert top._handles == 0
    base.remove("/d/a")
    assert base._store.row("SELECT count(*) FROM inodes WHERE nlink = 0") == (0,)


# --- all at once ----------------------------------------------------------------------


@pytest.mark.slow
@threads_only
def test_random_calls_on_stacks_and_layers_hang_nowhere_and_tear_nothing(
    make: Any, tmp_path: Path
) -> None:
    (tmp_path / "host" / "d").mkdir(parents=True)
    (tmp_path / "host" / "d" / "c").write_bytes(b"0" * 5000)
    layers, stacks = crossed(lambda: make(timeout=SHORT))
    nested = make(timeout=SHORT)
    for stack in stacks:
        stack.add_underlay(DirectoryLayer(tmp_path / "host"), -1)
        nested.add_underlay(stack)
    systems = [*layers, *stacks, nested]
    torn: list[bytes] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)

        def write(vfs: Vfs, path: str) -> None:
            vfs.write_bytes(path, bytes([chance.randrange(256)]) * 5000)

        def read(vfs: Vfs, path: str) -> None:
            content = vfs.read_bytes(path)
            if not is_whole(content):
                torn.append(content)

        def batch(vfs: Vfs, path: str) -> None:
            with vfs.atomic_batch():
                write(vfs, path)
                read(chance.choice(systems), path)
                vfs.remove(path)

        calls: list[Callable[[Vfs, str], object]] = [
            *(write, read, read, batch),
            lambda vfs, path: vfs.remove(path),
            lambda vfs, path: vfs.chmod(path, 0o600),
            lambda vfs, path: vfs.rename("/d", "/e"),
            lambda vfs, path: vfs.rename("/e", "/d"),
            lambda vfs, path: vfs.copy(path, path + "2"),
            lambda vfs, path: [*vfs.walk("/")],
            lambda vfs, path: vfs.revert("/"),
        ]
        for _ in range(ROUNDS):
            path = "/d/" + chance.choice("abc")
            try:
                chance.choice(calls)(chance.choice(systems), path)
            except OSError:
                continue

    raised = together(*(lambda seed=seed: work(seed) for seed in range(6)))

    assert raised == []
    assert torn == []
    for vfs in systems:
        vfs.touch("/still/usable")
        assert vfs.check() == []
