"""fork() over layers: each has them as its own, and the last to go closes them."""

from __future__ import annotations

import gc
import shutil
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api import grafting
from tests.unit.test_stack_closing import stores

from stratavfs import InvalidArgument, VirtualFileSystem

if TYPE_CHECKING:
    from pathlib import Path

Vfs = VirtualFileSystem


def rows(vfs: Vfs) -> ground.Dump:
    return ground.dump(vfs._store._cx)


# --- over layers ----------------------------------------------------------------------


@pytest.fixture
def over(make_vfs: Any) -> Vfs:
    """Some changes of a base with some of everything."""
    vfs = make_vfs(chunk_size=5)
    vfs.add_underlay(grafting.filled(make_vfs), priority=3, name="base")
    grafting.edit(vfs)
    return vfs  # type: ignore[no-any-return]


def test_fork_shows_the_same_over_the_same_layers(over: Vfs) -> None:
    with over.fork() as forked:
        assert grafting.seen(forked) == grafting.seen(over)
        assert rows(forked) == rows(over)
        assert forked.diff() == over.diff()
        assert forked.list_layers() == over.list_layers()
        for path in ("/d/y", "/e/x", "/f"):
            assert forked.explain(path) == over.explain(path)


@pytest.mark.parametrize("who", ["fork", "original"])
def test_change_over_layers_stays_in_the_one_it_was_made_in(
    over: Vfs, who: str
) -> None:
    base = over.list_layers()[1]
    with over.fork() as forked:
        mine, other = (forked, over) if who == "fork" else (over, forked)
        before, view = rows(other), grafting.seen(other)

        mine.revert("/")
        mine.rmtree("/d")
        mine.write_text("/f", "mine")

        assert (rows(other), grafting.seen(other)) == (before, view)
        assert other.list_layers()[1] == base


def test_change_of_the_base_is_seen_in_both(make_vfs: Any) -> None:
    base, vfs = make_vfs(), make_vfs()
    base.write_text("/f", "old")
    vfs.add_underlay(base)
    with vfs.fork() as forked:
        assert forked.read_text("/f") == "old"

        base.write_text("/f", "new")
        base.touch("/g")

        for one in (vfs, forked):
            assert (one.read_text("/f"), one.listdir()) == ("new", ["f", "g"])


@pytest.mark.parametrize("who", ["fork", "original"])
def test_stack_changed_in_one_stays_in_the_other(make_vfs: Any, who: str) -> None:
    bases = [make_vfs() for _ in range(3)]
    for number, base in enumerate(bases):
        base.write_text("/f", str(number))
    vfs = make_vfs()
    vfs.add_underlay(bases[0], 2, "zero")
    vfs.add_underlay(bases[1], 1, "one")
    with vfs.fork() as forked:
        mine, other = (forked, vfs) if who == "fork" else (vfs, forked)
        before = other.list_layers()

        mine.set_priority("one", 9)
        mine.remove_underlay("zero")
        mine.add_underlay(bases[2], 10, "two", at="/two")

        assert other.list_layers() == before
        assert [layer["name"] for layer in mine.list_layers()] == [
            "local",
            "two",
            "one",
        ]
        assert (mine.read_text("/f"), other.read_text("/f")) == ("1", "0")
        assert mine.read_text("/two/f") == "2"


def test_fork_keeps_equal_priorities_in_their_order(make_vfs: Any) -> None:
    vfs = make_vfs()
    for name in ("first", "second", "third"):
        base = make_vfs()
        base.write_text("/f", name)
        vfs.add_underlay(base, name=name)
    vfs.set_priority("third", 1)
    vfs.set_priority("third", 0)

    with vfs.fork() as forked, forked.fork() as again:
        for one in (forked, again):
            assert one.list_layers() == vfs.list_layers()
            assert one.read_text("/f") == "first"


def test_fork_below_its_own_base_is_a_cycle(make_vfs: Any) -> None:
    base, vfs = make_vfs(), make_vfs()
    vfs.add_underlay(base, name="base")
    with vfs.fork() as forked:
        with pytest.raises(InvalidArgument, match="itself"):
            base.add_underlay(forked)

        forked.add_underlay(vfs, name="original")
        with pytest.raises(InvalidArgument, match="itself"):
            vfs.add_underlay(forked)
        assert [layer["name"] for layer in vfs.list_layers()] == ["local", "base"]


# --- layers that were opened by their path --------------------------------------------


@pytest.fixture
def by_path(make_vfs: Any, tmp_path: Path) -> Vfs:
    with Vfs(tmp_path / "base.db", 64) as maker:
        maker.write_bytes("/f", b"0123456789" * 50)
    vfs: Vfs = make_vfs()
    vfs.add_underlay(tmp_path / "base.db", name="base")
    return vfs


def works(vfs: Vfs) -> bool:
    return vfs.read_bytes("/f") == b"0123456789" * 50


@pytest.mark.parametrize("verb", ["close", "remove"])
@pytest.mark.parametrize("order", ["original first", "fork first"])
def test_layer_opened_by_path_is_closed_with_the_last_that_has_it(
    by_path: Vfs, order: str, verb: str
) -> None:
    def leave(vfs: Vfs) -> None:
        if verb == "close":
            vfs.close()
        else:
            assert vfs.remove_underlay("base")

    (store,) = stores(by_path)
    forked = by_path.fork()
    assert stores(forked) == [store]
    first, last = (by_path, forked)[:: 1 if order == "original first" else -1]

    leave(first)
    assert (store.closed, works(last)) == (False, True)
    leave(last)

    assert store.closed
    forked.close()


def test_layer_opened_by_path_goes_with_the_last_of_many_forks(by_path: Vfs) -> None:
    (store,) = stores(by_path)
    one = by_path.fork()
    two, three = one.fork(), by_path.fork()

    for vfs, last in ((one, two), (by_path, three), (three, two)):
        vfs.close()
        assert (store.closed, works(last)) == (False, True)
    two.close()

    assert store.closed


def test_layer_that_is_removed_waits_for_fork_and_handle(by_path: Vfs) -> None:
    (store,) = stores(by_path)
    with by_path.open("/f", "rb", 0) as mine:
        forked = by_path.fork()
        with forked.open("/f", "rb", 0) as theirs:
            by_path.remove_underlay("base")
            forked.remove_underlay("base")
            assert (mine.read(3), theirs.read(3)) == (b"012", b"012")
        assert (store.closed, mine.read(3)) == (False, b"345")

    assert store.closed
    assert forked.listdir() == by_path.listdir() == []
    forked.close()


def test_fork_that_is_forgotten_lets_go_of_its_layers(by_path: Vfs) -> None:
    (store,) = stores(by_path)
    forked = by_path.fork()
    by_path.remove_underlay("base")
    reference = weakref.ref(forked)

    del forked
    gc.collect()

    assert reference() is None
    assert store.closed


def test_fork_keeps_the_layers_of_an_original_that_is_forgotten() -> None:
    def forked_of_forgotten() -> Vfs:
        base, vfs = Vfs(), Vfs()
        base.write_text("/f", "below")
        vfs.add_underlay(base)
        vfs.touch("/local")
        return vfs.fork()

    forked = forked_of_forgotten()
    gc.collect()

    with forked:
        assert (forked.listdir(), forked.read_text("/f")) == (["f", "local"], "below")


def test_closed_fork_gives_no_layer_back_twice(by_path: Vfs) -> None:
    forked = by_path.fork()
    forked.close()
    forked.close()

    assert works(by_path)
    with by_path.fork() as another:
        assert works(another)


@pytest.mark.parametrize("kind", ["directory", "zip"])
def test_fork_reads_layers_of_other_kinds(
    make_vfs: Any, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "sub" / "f").write_text("host")
    layer: Any = tmp_path / "d"
    if kind == "zip":
        layer = shutil.make_archive(str(tmp_path / "z"), "zip", tmp_path / "d")
    vfs = make_vfs()
    vfs.add_underlay(layer, at="/mods")

    forked = vfs.fork()
    vfs.close()

    with forked:
        assert forked.read_text("/mods/sub/f") == "host"
        forked.write_text("/mods/sub/f", "forked")
        forked.remove("/mods/sub/f")
        assert forked.listdir("/mods/sub") == []
    assert (tmp_path / "d" / "sub" / "f").read_text() == "host"
