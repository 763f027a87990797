"""The resolver: who answers, what is remembered of it, and for how long."""

from __future__ import annotations

import itertools
import stat
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from tests.concurrency.test_processes import Peer
from tests.test_complexity import counted

from stratavfs import LayerFailed, VirtualFileSystem, _resolver
from stratavfs.layers import Layer
from stratavfs.records import Inode

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator
    from pathlib import Path

DIRECTORY = stat.S_IFDIR | 0o755
FILE = stat.S_IFREG | 0o644

counting = pytest.mark.no_slow_contracts("single")

Vfs = VirtualFileSystem


@pytest.fixture(scope="module")
def other() -> Iterator[Peer]:
    """Another process."""
    peer = Peer()
    yield peer
    peer.finish()


class Told(Layer):
    """A layer that keeps a list of what it is asked, and tells when it changes."""

    def __init__(self, *names: str, immutable: bool = False) -> None:
        self.names = {*names}
        self.immutable = immutable
        self.now: Hashable = 1
        self.asked: list[str] = []
        self.broken: Exception | None = None

    def find(self, path: str) -> Inode | None:
        self.asked.append(f"find {path}")
        if path == "/":
            return Inode(DIRECTORY)
        return Inode(FILE) if path[1:] in self.names else None

    def kinds(self, path: str) -> Iterable[tuple[str, int]]:
        self.asked.append(f"kinds {path}")
        return [(name, FILE) for name in self.names if path == "/"]

    def open(self, path: str) -> BinaryIO:
        raise FileNotFoundError

    def version(self) -> Hashable:
        self.asked.append("version")
        if self.broken is not None:
            raise self.broken
        return self.now


@contextmanager
def counted_all(*systems: Vfs) -> Iterator[list[list[str]]]:
    """Give, for each of *systems*, the list of the statements that run inside."""
    with ExitStack() as stack:
        yield [stack.enter_context(counted(vfs)) for vfs in systems]


def stacked(make_vfs: Any, *layers: Any) -> Vfs:
    """Return a stack of *layers*, the first one on top."""
    vfs: Vfs = make_vfs()
    for nth, layer in enumerate(layers):
        vfs.add_underlay(layer, -nth, f"layer{nth}")
    return vfs


def containers(make_vfs: Any, number: int) -> list[Vfs]:
    return [make_vfs() for _ in range(number)]


# --- what it costs --------------------------------------------------------------------

CALLS: dict[str, Callable[[Vfs, str], object]] = {
    "exists": lambda vfs, path: vfs.exists(path),
    "stat": lambda vfs, path: vfs.stat(path) if vfs.exists(path) else None,
    "read": lambda vfs, path: vfs.read_bytes(path) if vfs.exists(path) else None,
    "which_layer": lambda vfs, path: vfs.which_layer(path),
}


@counting
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("path", ["/d/hit", "/d/miss", "/nowhere/miss"])
def test_ask_of_many_layers_takes_as_many_statements_as_of_two(
    make_vfs: Any, call: str, path: str
) -> None:
    counts = []
    for number in (2, 64):
        layers = containers(make_vfs, number)
        layers[-1].write_bytes("/d/hit", b"x")
        vfs = stacked(make_vfs, *layers)
        for _ in range(3):
            CALLS[call](vfs, path)  # it has learnt who has what by now

        with counted_all(vfs, *layers) as ran:
            CALLS[call](vfs, path)

        counts.append(sum(map(len, ran)))
    assert counts[0] == counts[1] <= 3


@counting
def test_hit_in_the_bottom_asks_none_of_the_layers_between(make_vfs: Any) -> None:
    layers = containers(make_vfs, 5)
    layers[-1].write_bytes("/d/hit", b"x")
    vfs = stacked(make_vfs, *layers)
    assert vfs.read_bytes("/d/hit") == b"x"

    with counted_all(*layers) as ran:
        assert vfs.read_bytes("/d/hit") == b"x"

    assert list(map(len, ran)) == [0, 0, 0, 0, 1]


@counting
def test_polled_layers_are_asked_once_a_call(make_vfs: Any) -> None:
    layers = [Told(), Told("f")]
    vfs = stacked(make_vfs, *layers)
    vfs.exists("/f")
    for path, answer in (("/f", True), ("/g", False), ("/f", True)):
        for layer in layers:
            layer.asked.clear()

        assert vfs.exists(path) is answer

        assert [layer.asked for layer in layers] == [["version"], ["version"]]


@counting
def test_immutable_layers_are_never_asked_whether_they_changed(make_vfs: Any) -> None:
    layers = [Told(immutable=True), Told("f", immutable=True)]
    vfs = stacked(make_vfs, *layers)
    vfs.exists("/f")
    for layer in layers:
        layer.asked.clear()

    assert [vfs.exists(path) for path in ("/f", "/g", "/f")] == [True, False, True]

    assert [layer.asked for layer in layers] == [[], []]


@counting
def test_huge_directory_is_not_listed_for_a_few_questions(make_vfs: Any) -> None:
    layers = containers(make_vfs, 2)
    with layers[1].atomic_batch():
        for number in range(2000):
            layers[1].touch(f"/{number}")
    vfs = stacked(make_vfs, *layers)
    rows: list[int] = []

    for _ in range(20):
        with counted_all(*layers) as ran:
            assert vfs.exists("/1999")
        rows.append(largest_limit(ran))

    # A name listed costs an eighth of a question to one of the layers.
    asked = [limit for limit in rows if limit]
    assert asked == sorted(asked)
    assert len(asked) <= 5  # tried again when the questions have doubled
    assert sum(asked) <= 2 * 2 * 8 * 2 * len(rows)


def largest_limit(ran: list[list[str]]) -> int:
    """Return how many names were asked for at most."""
    listings = [text for text in itertools.chain(*ran) if " LIMIT " in text]
    return max((int(text.rpartition(" LIMIT ")[2]) for text in listings), default=0)


@counting
def test_huge_directory_is_listed_once_the_questions_cost_as_much(
    make_vfs: Any,
) -> None:
    layers = containers(make_vfs, 2)
    with layers[1].atomic_batch():
        for number in range(100):
            layers[1].touch(f"/{number}")
    vfs = stacked(make_vfs, *layers)
    counts = []

    for number in range(12):
        with counted_all(*layers) as ran:
            assert vfs.exists(f"/{number}")
        counts.append(sum(map(len, ran)))

    assert counts[0] > 0
    assert counts[8:] == [0] * 4  # 8 questions to 2 layers are worth 128 names


# --- how much is remembered -----------------------------------------------------------


def test_names_remembered_are_bounded(
    make_vfs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_resolver, "NAMES_LIMIT", 30)
    layers = containers(make_vfs, 2)
    for directory, name in itertools.product(range(8), range(5)):
        layers[name % 2].touch(f"/{directory}/{name}")
    vfs = stacked(make_vfs, *layers)
    group = the_group(vfs)
    most = 0

    for directory in [*range(8), *range(8)]:
        assert vfs.exists(f"/{directory}/4")
        assert not vfs.exists(f"/{directory}/5")
        assert not vfs.exists(f"/nowhere/{directory}/5")
        known = group._scopes.values()
        most = max(most, len(known) + sum(len(it.names or ()) for it in known))
        assert len(group._asked) <= 30

    assert 0 < most <= 30


def test_directory_with_more_names_than_are_remembered_is_asked_name_by_name(
    make_vfs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_resolver, "NAMES_LIMIT", 10)
    layers = containers(make_vfs, 2)
    for number in range(12):
        layers[number % 2].write_bytes(f"/{number}", b"%d" % number)
    vfs = stacked(make_vfs, *layers)

    for number in [*range(12), *range(12)]:
        assert vfs.read_bytes(f"/{number}") == b"%d" % number
        assert not vfs.exists(f"/{number}x")

    scope = the_group(vfs)._scopes.get("/")  # type: ignore[call-overload]
    assert scope is None or scope.names is None


def the_group(vfs: Vfs) -> _resolver.Group:
    resolver = vfs._layers.stack.resolver
    assert resolver is not None
    (group,) = resolver._segments
    assert isinstance(group, _resolver.Group)
    return group


# --- when it is forgotten -------------------------------------------------------------


def knowing(make_vfs: Any, *layers: Any) -> Vfs:
    """Return a stack that has been asked for all that is about to change."""
    vfs = stacked(make_vfs, *layers)
    for _ in range(3):
        for path in ("/d/f", "/d/g", "/e/f"):
            vfs.exists(path)
        vfs.listdir("/d")
    return vfs


def answers(vfs: Vfs) -> tuple[object, ...]:
    """Return what it says of the names that change."""
    paths = ("/d/f", "/d/g", "/e/f")
    return (*map(vfs.exists, paths), vfs.listdir("/d"), vfs.which_layer("/d/g"))


BEFORE = (True, False, False, ["f"], None)
AFTER = (False, True, True, ["g"], "layer1")


def change(owner: Vfs) -> None:
    owner.rename("/d/f", "/d/g")
    owner.touch("/e/f")


@pytest.fixture(params=["memory", "file"])
def base(request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path) -> Vfs:
    where = ":memory:" if request.param == "memory" else tmp_path / "base.db"
    base: Vfs = make_vfs(where)
    base.touch("/d/f")
    return base


def test_change_by_the_owner_drops_what_was_remembered(
    make_vfs: Any, base: Vfs
) -> None:
    vfs = knowing(make_vfs, make_vfs(), base)
    before = answers(vfs)

    change(base)

    assert (before, answers(vfs)) == (BEFORE, AFTER)


def test_change_in_a_batch_is_seen_within_it_and_gone_after_a_rollback(
    make_vfs: Any, base: Vfs
) -> None:
    vfs = knowing(make_vfs, make_vfs(), base)

    with pytest.raises(KeyError), base.atomic_batch():  # noqa: PT012
        change(base)
        within = answers(vfs)
        raise KeyError

    assert (within, answers(vfs)) == (AFTER, BEFORE)


def test_change_in_a_savepoint_is_gone_after_its_rollback(
    make_vfs: Any, base: Vfs
) -> None:
    vfs = knowing(make_vfs, make_vfs(), base)

    with base.atomic_batch():
        with pytest.raises(KeyError), base.atomic_batch():  # noqa: PT012
            change(base)
            within = answers(vfs)
            raise KeyError
        after = answers(vfs)

    assert (within, after, answers(vfs)) == (AFTER, BEFORE, BEFORE)


def test_change_through_a_handle_is_seen_by_the_next_call(
    make_vfs: Any, base: Vfs
) -> None:
    base.write_bytes("/d/f", b"1")
    vfs = knowing(make_vfs, make_vfs(), base)
    sizes = [vfs.stat("/d/f").size]

    with base.open("/d/f", "ab", 0) as file:
        for _ in range(3):
            file.write(b"1")
            sizes.append(vfs.stat("/d/f").size)
            assert vfs.read_bytes("/d/f") == b"1" * sizes[-1]

    assert sizes == [1, 2, 3, 4]


def test_file_made_by_a_handle_is_seen_by_the_next_call(
    make_vfs: Any, base: Vfs
) -> None:
    vfs = knowing(make_vfs, make_vfs(), base)

    with base.open("/d/g", "x"):
        assert vfs.which_layer("/d/g") == "layer1"


def test_change_in_another_process_drops_what_was_remembered(
    make_vfs: Any, tmp_path: Path, other: Peer
) -> None:
    base = make_vfs(tmp_path / "base.db")
    base.touch("/d/f")
    vfs = knowing(make_vfs, make_vfs(), base)
    before = answers(vfs)

    other.open(tmp_path / "base.db")
    other("[vfs.rename('/d/f', '/d/g'), vfs.touch('/e/f')]")

    assert (before, answers(vfs)) == (BEFORE, AFTER)
    other("vfs.close()")
    assert answers(vfs) == AFTER


@pytest.mark.parametrize("which", [0, 1])
def test_change_of_a_layer_with_a_version_is_seen_when_that_moves(
    make_vfs: Any, which: int
) -> None:
    layers = [Told("f"), Told()]
    vfs = stacked(make_vfs, *layers)
    assert not vfs.exists("/g")

    layers[which].names.add("g")
    layers[which].now = "another"

    assert vfs.exists("/g")
    assert vfs.listdir("/") == ["f", "g"]


def test_version_that_becomes_none_lets_nothing_be_remembered(make_vfs: Any) -> None:
    layers = [Told("f"), Told()]
    vfs = stacked(make_vfs, *layers)
    layers[1].now = None
    assert not vfs.exists("/g")

    layers[1].names.add("g")

    assert vfs.exists("/g")


def test_version_that_fails_lets_each_layer_be_asked(make_vfs: Any) -> None:
    layers = [Told("f"), Told("g")]
    vfs = stacked(make_vfs, *layers)
    vfs.write_bytes("/mine", b"1")
    layers[1].broken = RuntimeError("boom")

    assert (vfs.exists("/f"), vfs.exists("/g"), vfs.exists("/h")) == (True, True, False)

    assert vfs.read_bytes("/mine") == b"1"
    layers[1].broken = None
    assert (vfs.exists("/f"), vfs.exists("/g")) == (True, True)


def test_names_that_cannot_be_listed_are_asked_for_one_by_one(
    make_vfs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [Told("f"), Told("g")]
    vfs = stacked(make_vfs, *layers)

    def fail(path: str) -> Iterable[tuple[str, int]]:
        raise RuntimeError("boom")  # noqa: EM101

    monkeypatch.setattr(layers[0], "kinds", fail)

    assert (vfs.exists("/f"), vfs.exists("/g"), vfs.exists("/h")) == (True, True, False)
    with pytest.raises(LayerFailed, match="layer0") as caught:
        vfs.listdir("/")

    assert caught.value.filename == "/"
    monkeypatch.undo()
    assert vfs.listdir("/") == ["f", "g"]


def test_underlay_that_is_added_or_removed_is_seen_by_the_next_call(
    make_vfs: Any, base: Vfs
) -> None:
    patch = make_vfs()
    patch.touch("/d/g")
    vfs = knowing(make_vfs, make_vfs(), base)

    vfs.add_underlay(patch, name="patch")
    with_it = vfs.listdir("/d"), vfs.which_layer("/d/g")
    vfs.remove_underlay("patch")

    assert with_it == (["f", "g"], "patch")
    assert answers(vfs) == BEFORE


def test_underlay_of_an_underlay_of_an_underlay_is_seen_by_the_next_call(
    make_vfs: Any, base: Vfs
) -> None:
    top, middle = make_vfs(), make_vfs()
    middle.add_underlay(make_vfs())
    top.add_underlay(middle)
    assert not top.exists("/d/f")

    middle.add_underlay(base, name="base")
    added = top.exists("/d/f")
    change(base)
    changed = top.exists("/d/g")
    middle.remove_underlay("base")

    assert (added, changed, top.exists("/d/g")) == (True, True, False)
