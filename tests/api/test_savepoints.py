"""Savepoints of a file system in memory: back to the mark, any number of times."""

# ruff: noqa: PT012 - what happens after the mark is the test

from __future__ import annotations

import errno
from typing import Any

import pytest
from tests import ground
from tests.api import grafting
from tests.api.batches import use
from tests.api.test_batches import change_everything, everything, failing

from stratavfs import BatchLost, InvalidArgument, VirtualFileSystem


@pytest.fixture(params=[3, 65536])
def tree(request: pytest.FixtureRequest, make_vfs: Any) -> VirtualFileSystem:
    """A file system in memory with a little of everything."""
    vfs: VirtualFileSystem = make_vfs(":memory:", request.param)
    vfs.write_bytes("/d/small", b"1")
    vfs.write_bytes("/d/large", b"x" * 500)
    vfs.write_bytes("/d/sub/f", b"2")
    vfs.link("/d/small", "/second")
    vfs.symlink("d", "/link")
    vfs.setxattr("/d/small", "user.x", b"1")
    return vfs


def rows(vfs: VirtualFileSystem) -> ground.Dump:
    return ground.dump(vfs._store._cx)


# --- going back -----------------------------------------------------------------------


def test_reset_any_number_of_times_goes_back_to_the_mark(
    tree: VirtualFileSystem,
) -> None:
    before = rows(tree)
    mark = tree.savepoint()

    for _ in range(20):
        change_everything(tree)
        assert rows(tree) != before
        mark.reset()
        assert rows(tree) == before

    assert tree.check(deep=True) == []


def test_reset_of_nothing_changes_nothing(tree: VirtualFileSystem) -> None:
    before = everything(tree)
    mark = tree.savepoint()

    mark.reset()
    mark.reset()

    assert everything(tree) == before


def test_calls_after_the_mark_are_done_as_ever(mem: VirtualFileSystem) -> None:
    mem.savepoint()

    mem.write_text("/f", "x")
    with pytest.raises(FileExistsError):
        mem.mkdir("/f")
    mem.flush()
    mem.sync()

    assert mem.read_text("/f") == "x"
    assert mem.stats().files == 1
    assert (mem.check(deep=True), mem.repair()) == ([], [])


@pytest.mark.parametrize("end", ["keep", "fail", "rollback"])
def test_batch_after_the_mark_ends_as_ever_and_is_reset(
    mem: VirtualFileSystem, end: str
) -> None:
    mark = mem.savepoint()
    mem.touch("/before")

    with mem.atomic_batch():
        with failing(mem) if end == "fail" else mem.atomic_batch() as inner:
            mem.touch("/inside")
            if inner is not None and end == "rollback":
                inner.rollback()
        mem.touch("/outer")
    found = mem.listdir()
    with failing(mem):
        mem.touch("/lost")

    assert (
        found
        == mem.listdir()
        == (["before", "inside", "outer"] if end == "keep" else ["before", "outer"])
    )
    mark.reset()
    assert mem.listdir() == []


def test_rollback_of_the_whole_batch_after_the_mark_keeps_what_was_before_it(
    mem: VirtualFileSystem,
) -> None:
    mark = mem.savepoint()
    mem.touch("/before")

    with mem.atomic_batch() as batch:
        mem.touch("/inside")
        batch.rollback()
        with pytest.raises(BatchLost):
            mem.touch("/after")

    assert mem.listdir() == ["before"]
    mark.reset()
    assert mem.listdir() == []


# --- forgetting the mark --------------------------------------------------------------


def test_release_keeps_what_was_done_and_forgets_the_mark(
    mem: VirtualFileSystem,
) -> None:
    mark = mem.savepoint()
    mem.touch("/f")

    mark.release()

    assert mem.listdir() == ["f"]
    assert not mem._store._cx.in_transaction
    for verb in (mark.reset, mark.release):
        with pytest.raises(InvalidArgument, match="make another"):
            verb()
    assert mem.listdir() == ["f"]


def test_context_goes_back_when_it_is_left(mem: VirtualFileSystem) -> None:
    with mem.savepoint() as mark:
        mem.touch("/f")
        mark.reset()
        mem.touch("/g")

    assert mem.listdir() == []
    assert not mem._store._cx.in_transaction
    with pytest.raises(InvalidArgument):
        mark.reset()


@pytest.mark.parametrize("kind", [KeyError, KeyboardInterrupt, GeneratorExit])
def test_context_left_by_an_error_goes_back_and_lets_it_pass(
    mem: VirtualFileSystem, kind: type[BaseException]
) -> None:
    with pytest.raises(kind), mem.savepoint():
        mem.touch("/f")
        raise kind

    assert mem.listdir() == []


def test_context_released_inside_keeps_and_leaves_quietly(
    mem: VirtualFileSystem,
) -> None:
    with mem.savepoint() as mark:
        mem.touch("/f")
        mark.release()
        mem.touch("/g")

    assert mem.listdir() == ["f", "g"]


def test_context_closed_inside_leaves_quietly() -> None:
    vfs = VirtualFileSystem()
    with vfs.savepoint():
        vfs.touch("/f")
        vfs.close()

    assert vfs.closed


# --- one within another ---------------------------------------------------------------


def test_nested_marks_reset_each_to_its_own_state(tree: VirtualFileSystem) -> None:
    states = [rows(tree)]
    outer = tree.savepoint()
    tree.write_text("/one", "1")
    states.append(rows(tree))
    inner = tree.savepoint()

    for _ in range(3):
        change_everything(tree)
        inner.reset()
        assert rows(tree) == states[1]
    outer.reset()

    assert rows(tree) == states[0]


def test_reset_of_an_outer_mark_forgets_the_inner_ones(mem: VirtualFileSystem) -> None:
    outer, middle, inner = (mem.savepoint() for _ in range(3))
    mem.touch("/f")

    outer.reset()

    for verb in (middle.reset, middle.release, inner.reset, inner.release):
        with pytest.raises(ValueError, match="savepoint"):
            verb()
    mem.touch("/g")
    outer.reset()
    assert mem.listdir() == []


def test_release_of_an_outer_mark_keeps_all_and_forgets_the_inner_ones(
    mem: VirtualFileSystem,
) -> None:
    outer, inner = mem.savepoint(), mem.savepoint()
    mem.touch("/f")

    outer.release()

    with pytest.raises(InvalidArgument):
        inner.reset()
    assert mem.listdir() == ["f"]
    assert not mem._store._cx.in_transaction


def test_release_of_an_inner_mark_leaves_it_to_the_outer(
    mem: VirtualFileSystem,
) -> None:
    outer, inner = mem.savepoint(), mem.savepoint()
    mem.touch("/f")

    inner.release()
    kept = mem.listdir()
    outer.reset()

    assert (kept, mem.listdir()) == (["f"], [])


def test_nested_contexts_each_go_back(mem: VirtualFileSystem) -> None:
    with mem.savepoint():
        mem.touch("/1")
        with mem.savepoint() as inner:
            mem.touch("/2")
            inner.reset()
            mem.touch("/3")
        assert mem.listdir() == ["1"]

    assert mem.listdir() == []


def test_inner_context_forgotten_by_the_outer_leaves_quietly(
    mem: VirtualFileSystem,
) -> None:
    with mem.savepoint() as outer, mem.savepoint():
        mem.touch("/f")
        outer.reset()
        mem.touch("/g")

    assert mem.listdir() == []


def test_marks_nest_deep_and_are_used_long(mem: VirtualFileSystem) -> None:
    marks = []
    for number in range(30):
        marks.append(mem.savepoint())
        mem.touch(f"/{number:02}")

    for number in reversed(range(0, 30, 3)):
        marks[number].reset()
        assert len(mem.listdir()) == number
    for _ in range(200):
        mem.touch("/again")
        marks[0].reset()

    assert mem.listdir() == []
    marks[0].release()
    assert not mem._store._cx.in_transaction


# --- handles --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["rb", "r+b", "wb", "ab", "a+b", "r", "r+", "w", "a+"])
def test_handle_is_back_where_it_was_at_the_mark(tree: Any, mode: str) -> None:
    with tree.open("/d/large", mode, 16) as f:
        use(f, "before")
        mark = tree.savepoint()
        at, content = f.tell(), tree.read_bytes("/d/large")
        for _ in range(3):
            use(f, "lost, and more than a buffer takes")

            mark.reset()

            assert f.tell() == at
            assert tree.read_bytes("/d/large") == content
    assert tree.read_bytes("/d/large") == content


def test_reader_forgets_what_it_read_ahead_since_the_mark(
    mem: VirtualFileSystem,
) -> None:
    mem.write_text("/f", "old " * 20)
    with mem.open("/f", "rb", 32) as f:
        f.read(4)
        mark = mem.savepoint()
        mem.write_text("/f", "NEW " * 20)
        f.seek(0, 2)
        f.seek(8)
        since = f.read(4)

        mark.reset()

        assert (since, f.read()) == (b"NEW ", b"old " * 19)


def test_handle_opened_since_the_mark_is_back_at_its_begin(
    mem: VirtualFileSystem,
) -> None:
    mem.write_bytes("/f", b"0123456789")
    mark = mem.savepoint()
    with mem.open("/f", "rb") as reader, mem.open("/f", "ab") as writer:
        reader.read(4)
        writer.write(b"lost")

        mark.reset()

        assert (reader.tell(), writer.tell()) == (0, 10)
        assert reader.read() == b"0123456789"


def test_handle_opened_since_has_nothing_of_one_that_was_closed(
    mem: VirtualFileSystem,
) -> None:
    mem.write_bytes("/f", b"0123456789")
    f = mem.open("/f", "rb", 0)
    f.seek(5)
    mark = mem.savepoint()
    f.close()
    del f
    opened = [mem.open("/f", "rb", 0) for _ in range(3)]

    mark.reset()

    assert [file.tell() for file in opened] == [0, 0, 0]
    for file in opened:
        file.close()


def test_handle_of_a_file_made_since_the_mark_is_stale(mem: VirtualFileSystem) -> None:
    mark = mem.savepoint()
    f = mem.open("/f", "w+b", 0)

    mark.reset()

    for call in (f.read, lambda: f.write(b"x")):
        with pytest.raises(OSError) as caught:
            call()
        assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, "/f")
    f.close()


def test_file_that_was_open_without_a_name_at_the_mark_is_gone_with_its_handle(
    mem: VirtualFileSystem,
) -> None:
    f = mem.open("/f", "w+b", 0)
    f.write(b"x")
    mem.remove("/f")
    mark = mem.savepoint()

    f.close()
    mark.reset()

    assert mem.listdir() == []
    assert mem.check() == []
    mem.touch("/next")
    assert mem.stats().orphans == 0


def test_file_removed_since_the_mark_is_back_for_its_handle(
    mem: VirtualFileSystem,
) -> None:
    mem.write_bytes("/f", b"0123456789")
    mark = mem.savepoint()
    f = mem.open("/f", "r+b", 0)
    mem.remove("/f")

    mark.reset()

    assert f.read() == b"0123456789"
    f.close()
    assert mem.read_bytes("/f") == b"0123456789"
    assert mem.stats().orphans == 0


def test_release_flushes_what_is_buffered(mem: VirtualFileSystem) -> None:
    with mem.open("/f", "w") as f:
        mark = mem.savepoint()
        f.write("kept")

        mark.release()

        assert mem.read_text("/f") == "kept"


# --- over layers ----------------------------------------------------------------------


def test_reset_takes_what_came_up_and_every_whiteout_back(make_vfs: Any) -> None:
    base = grafting.filled(make_vfs)
    vfs = make_vfs()
    vfs.add_underlay(base, name="base")
    view, below = grafting.seen(vfs), rows(base)
    mark = vfs.savepoint()

    for _ in range(3):
        grafting.edit(vfs)
        assert vfs.diff()
        mark.reset()
        assert (vfs.diff(), grafting.seen(vfs)) == ([], view)

    assert rows(base) == below


def test_reset_keeps_the_stack_as_it_is(make_vfs: Any) -> None:
    base = make_vfs()
    base.touch("/below")
    vfs = make_vfs()
    mark = vfs.savepoint()
    vfs.add_underlay(base, name="base")
    vfs.remove("/below")

    mark.reset()

    assert [layer["name"] for layer in vfs.list_layers()] == ["local", "base"]
    assert vfs.listdir() == ["below"]


def test_reset_of_an_underlay_is_seen_above(make_vfs: Any) -> None:
    base, vfs = make_vfs(), make_vfs()
    base.write_text("/f", "old")
    vfs.add_underlay(base)
    mark = base.savepoint()
    base.write_text("/f", "new")
    base.touch("/g")
    seen = vfs.read_text("/f"), vfs.listdir()

    mark.reset()

    assert seen == ("new", ["f", "g"])
    assert (vfs.read_text("/f"), vfs.listdir()) == ("old", ["f"])
