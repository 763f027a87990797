"""Batches: all or nothing, nested, with every way to leave one."""

from __future__ import annotations

import asyncio
import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs import InvalidArgument, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stop(BaseException):
    """No Exception, as KeyboardInterrupt is none."""


def everything(vfs: VirtualFileSystem) -> dict[str, object]:
    """Return all that can be seen: names, bytes, targets, metadata, attributes."""
    tree: dict[str, object] = {}
    for path in ["/", *vfs.glob("**/*")]:
        content: object = None
        if vfs.islink(path):
            content = vfs.readlink(path)
        elif vfs.isfile(path):
            content = vfs.read_bytes(path)
        names = vfs.listxattr(path, follow_symlinks=False)
        tree[path] = (vfs.lstat(path), content, names)
    return tree


@contextmanager
def failing(vfs: VirtualFileSystem) -> Iterator[None]:
    """A batch whose body goes well, and which fails at its end."""
    with pytest.raises(KeyError), vfs.atomic_batch():  # noqa: PT012 - its own error
        yield
        raise KeyError


@pytest.fixture
def tree(vfs: VirtualFileSystem) -> VirtualFileSystem:
    vfs.write_bytes("/d/small", b"1")
    vfs.write_bytes("/d/large", b"x" * 500)
    vfs.write_bytes("/d/sub/f", b"2")
    vfs.link("/d/small", "/second")
    vfs.symlink("d", "/link")
    vfs.setxattr("/d/small", "user.x", b"1")
    return vfs


def change_everything(vfs: VirtualFileSystem) -> None:
    """Call every verb that changes something."""
    vfs.write_bytes("/d/large", b"y" * 300)
    vfs.write_text("/new/deep/f", "new")
    vfs.truncate("/d/small", 100)
    vfs.chmod("/d", 0o700)
    vfs.chown("/d/large", "ann", 5)
    vfs.utime("/d/sub", (1, 2))
    vfs.setxattr("/d", "user.y", b"2")
    vfs.removexattr("/d/small", "user.x")
    vfs.rename("/d", "/e")
    vfs.copytree("/e", "/f")
    vfs.rmtree("/e/sub")
    vfs.remove("/second")
    vfs.replace("/e/small", "/f/large")
    vfs.link("/f/small", "/third")
    vfs.symlink("nowhere", "/broken")
    with vfs.open("/f/large", "ab") as f:
        f.write(b"appended")


def test_batch_left_in_peace_keeps_everything(tree: VirtualFileSystem) -> None:
    with tree.atomic_batch():
        change_everything(tree)
        inside = everything(tree)

    assert everything(tree) == inside


@pytest.mark.parametrize(
    "kind", [ValueError, OSError, KeyboardInterrupt, SystemExit, GeneratorExit, Stop]
)
def test_batch_left_by_an_exception_takes_everything_back(
    tree: VirtualFileSystem, kind: type[BaseException]
) -> None:
    before = everything(tree)

    with pytest.raises(kind), tree.atomic_batch():  # noqa: PT012 - its own error
        change_everything(tree)
        raise kind

    assert everything(tree) == before


def test_batch_in_a_generator_that_is_closed_takes_everything_back(
    tree: VirtualFileSystem,
) -> None:
    before = everything(tree)

    def steps() -> Iterator[None]:
        with tree.atomic_batch():
            change_everything(tree)
            yield

    running = steps()
    next(running)
    running.close()  # type: ignore[attr-defined]  # it is a generator

    assert everything(tree) == before


def test_batch_in_a_cancelled_task_takes_everything_back(
    mem: VirtualFileSystem,
) -> None:
    async def work() -> None:
        with mem.atomic_batch():
            mem.touch("/f")
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())

    assert mem.listdir() == []


def test_batch_sees_its_own_changes(mem: VirtualFileSystem) -> None:
    with mem.atomic_batch():
        mem.write_text("/f", "inside")

        assert mem.read_text("/f") == "inside"
        assert mem.glob("*") == ["/f"]


def test_batch_of_nothing_changes_nothing(tree: VirtualFileSystem) -> None:
    before = everything(tree)

    with tree.atomic_batch():
        pass

    assert everything(tree) == before


def test_refused_call_in_a_batch_takes_back_itself_alone(
    mem: VirtualFileSystem,
) -> None:
    mem.touch("/taken")

    with mem.atomic_batch():
        mem.touch("/one")
        with pytest.raises(FileExistsError):
            mem.rename("/one", "/taken")
        with pytest.raises(NotADirectoryError):
            mem.write_text("/one/x", "x")
        mem.touch("/two")

    assert mem.listdir() == ["one", "taken", "two"]


def test_batch_is_seen_from_outside_when_it_is_left(tmp_path: Any) -> None:
    location = str(tmp_path / "c.db")
    with VirtualFileSystem(location) as vfs, VirtualFileSystem(location) as other:
        with vfs.atomic_batch():
            vfs.touch("/f")
            assert other.listdir() == []

        assert other.listdir() == ["f"]


# --- nesting --------------------------------------------------------------------------


def test_inner_batch_that_fails_takes_back_its_part(vfs: VirtualFileSystem) -> None:
    with vfs.atomic_batch():
        vfs.write_text("/f", "outer")
        with failing(vfs):
            vfs.write_text("/f", "inner")
            vfs.touch("/g")
        vfs.touch("/h")

    assert vfs.listdir() == ["f", "h"]
    assert vfs.read_text("/f") == "outer"


def test_outer_batch_that_fails_takes_back_the_inner_too(
    vfs: VirtualFileSystem,
) -> None:
    with failing(vfs):
        with vfs.atomic_batch():
            vfs.touch("/inner")
        vfs.touch("/outer")

    assert vfs.listdir() == []


def test_batches_nest_deep(mem: VirtualFileSystem) -> None:
    def nest(depth: int) -> None:
        with mem.atomic_batch():
            mem.touch(f"/{depth}")
            if depth:
                nest(depth - 1)
            if depth % 2:
                raise KeyError

    with pytest.raises(KeyError):
        nest(9)
    assert mem.listdir() == []

    with mem.atomic_batch():
        for depth in range(5):
            with failing(mem):
                mem.touch(f"/{depth}")
        mem.touch("/kept")
    assert mem.listdir() == ["kept"]


def test_batch_object_may_be_used_again(mem: VirtualFileSystem) -> None:
    batch = mem.atomic_batch()

    with batch:
        mem.touch("/a")
    with batch:
        mem.touch("/b")

    assert mem.listdir() == ["a", "b"]


def test_batch_object_within_itself_is_refused_and_goes_on(
    mem: VirtualFileSystem,
) -> None:
    with mem.atomic_batch() as batch:
        mem.touch("/a")
        with pytest.raises(InvalidArgument, match="open already"), batch:
            pass
        mem.touch("/b")

    assert mem.listdir() == ["a", "b"]


# --- handles --------------------------------------------------------------------------


def test_handle_of_a_file_made_in_a_failed_batch_is_stale(
    vfs: VirtualFileSystem,
) -> None:
    with failing(vfs):
        f = vfs.open("/f", "w+b", 0)
        f.write(b"lost")

    for call in (
        f.read,
        lambda: f.write(b"x"),
        lambda: f.truncate(0),
        lambda: f.seek(0, 2),
        f.readall,
    ):
        with pytest.raises(OSError) as caught:
            call()
        assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, "/f")
    f.close()
    assert vfs.listdir() == []


def test_stale_handle_stays_stale_when_its_number_is_used_again(
    mem: VirtualFileSystem,
) -> None:
    with failing(mem):
        f = mem.open("/f", "w+b", 0)
    mem.write_bytes("/other", b"not yours")

    with f, pytest.raises(OSError) as caught:
        f.read()

    assert caught.value.errno == errno.ESTALE


def test_handle_opened_before_a_failed_batch_reads_the_old_bytes(
    vfs: VirtualFileSystem,
) -> None:
    vfs.write_bytes("/f", b"old" * 40)
    with vfs.open("/f", "r+b", 0) as f:
        with failing(vfs):
            f.write(b"NEW")
            f.truncate(1)
        f.seek(0)
        assert f.read() == b"old" * 40
        f.seek(0)
        f.write(b"O")

    assert vfs.read_bytes("/f") == b"Old" + b"old" * 39


def test_file_removed_in_a_failed_batch_is_back_for_its_handle(
    vfs: VirtualFileSystem,
) -> None:
    vfs.write_bytes("/f", b"old" * 40)
    with vfs.open("/f", "rb", 0) as f:
        with failing(vfs):
            vfs.remove("/f")
        assert f.read() == b"old" * 40

    assert vfs.read_bytes("/f") == b"old" * 40
    assert vfs.check() == []


def test_handle_closed_in_a_failed_batch_after_removal_leaves_the_file(
    vfs: VirtualFileSystem,
) -> None:
    vfs.write_bytes("/f", b"old" * 40)
    f = vfs.open("/f", "rb", 0)
    with failing(vfs):
        vfs.remove("/f")
        f.close()

    assert vfs.read_bytes("/f") == b"old" * 40
    vfs.remove("/f")
    assert vfs.check() == []


def test_tree_removed_in_a_failed_batch_is_back(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/d/e/f", b"old" * 40)
    with vfs.open("/d/e/f", "rb", 0) as f:
        before = everything(vfs)
        with failing(vfs):
            vfs.rmtree("/d")
            vfs.write_bytes("/d/e/f", b"other")
        assert everything(vfs) == before
        assert f.read() == b"old" * 40


def test_buffered_text_written_in_a_failed_batch_is_not_stored(
    mem: VirtualFileSystem,
) -> None:
    with failing(mem), mem.open("/f", "w") as f:
        f.write("lost")

    assert mem.listdir() == []


def test_error_between_handle_and_batch_is_the_one_that_is_seen(
    mem: VirtualFileSystem,
) -> None:
    def write_and_fail() -> None:
        with mem.atomic_batch(), mem.open("/f", "w") as f:
            f.write("lost")  # closing it flushes, and the batch takes that back too
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()

    assert mem.listdir() == []


def test_orphan_made_in_a_kept_batch_goes_with_its_handle(
    vfs: VirtualFileSystem,
) -> None:
    vfs.write_bytes("/f", b"x" * 200)
    with vfs.open("/f", "rb", 0) as f:
        with vfs.atomic_batch():
            vfs.remove("/f")
        assert f.read() == b"x" * 200

    assert vfs.check() == []
    assert vfs.listdir() == []


def test_batch_without_with_takes_back_what_it_changed_on_close(
    tmp_path: Any,
) -> None:
    location = str(tmp_path / "c.db")
    vfs = VirtualFileSystem(location)
    vfs.touch("/kept")
    batch = vfs.atomic_batch()
    batch.__enter__()
    vfs.touch("/lost")

    with pytest.warns(ResourceWarning, match="rolled back"):
        vfs.close()

    with VirtualFileSystem(location) as again:
        assert again.listdir() == ["kept"]
