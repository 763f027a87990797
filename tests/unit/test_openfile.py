"""Handles over underlays: valid bytes, whatever happens to the file and its layers."""

from __future__ import annotations

import errno
import gc
import os
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground

from stratavfs import VirtualFileSystem
from stratavfs._underlays import Member
from stratavfs.layers import DirectoryLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BASE = bytes(range(250)) * 40
OTHER = b"other" * 2000
Vfs = VirtualFileSystem


@pytest.fixture(params=["memory", "container", "directory"])
def layer(request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path) -> Any:
    """An underlay with one large file and one small file."""
    if request.param == "directory":
        (tmp_path / "host" / "d").mkdir(parents=True)
        (tmp_path / "host" / "d" / "f").write_bytes(BASE)
        (tmp_path / "host" / "small").write_bytes(b"small")
        return DirectoryLayer(tmp_path / "host")
    memory = request.param == "memory"
    base = make_vfs(":memory:" if memory else tmp_path / "base.db", 100)
    base.write_bytes("/d/f", BASE)
    base.write_bytes("/small", b"small")
    if memory:
        return base
    base.close()
    return str(tmp_path / "base.db")


@pytest.fixture
def vfs(make_vfs: Any, layer: Any) -> Vfs:
    vfs: Vfs = make_vfs(chunk_size=64)
    vfs.add_underlay(layer, name="base")
    return vfs


@pytest.fixture
def untouched(layer: Any) -> Iterator[None]:
    """Check that the layer has what it had."""
    yield
    check = VirtualFileSystem()
    check.add_underlay(layer)
    assert check.read_bytes("/d/f") == BASE
    assert check.read_bytes("/small") == b"small"
    check.close()


pytestmark = pytest.mark.usefixtures("untouched")


def rows_of(vfs: Vfs) -> ground.Dump:
    return ground.dump(vfs._store._cx)


def count(vfs: Vfs, table: str) -> int:
    return int(vfs._store.row(f"SELECT count(*) FROM {table}")[0])


# --- readers, writers, appenders ------------------------------------------------------


def test_reader_opened_before_copy_up_sees_the_same_and_then_what_is_written(
    vfs: Vfs,
) -> None:
    with vfs.open("/d/f", "rb", 0) as reader, vfs.open("/d/f", "r+b", 0) as writer:
        start = reader.read(100)
        writer.seek(5000)
        writer.write(b"HERE")

        assert (start, reader.read(100)) == (BASE[:100], BASE[100:200])
        reader.seek(4999)
        assert reader.read(6) == BASE[4999:5000] + b"HERE" + BASE[5004:5005]
        reader.seek(0)
        assert reader.readall() == BASE[:5000] + b"HERE" + BASE[5004:]


@pytest.mark.parametrize(
    "change",
    [
        lambda vfs: vfs.chmod("/d/f", 0o600),
        lambda vfs: vfs.rename("/d/f", "/x"),
        lambda vfs: vfs.remove("/d/f"),
        lambda vfs: vfs.rmtree("/d"),
        lambda vfs: vfs.rename("/d", "/x"),
        lambda vfs: vfs.link("/d/f", "/x"),
        lambda vfs: vfs.replace("/small", "/d/f"),
        lambda vfs: vfs.setxattr("/d/f", "user.a", b"1"),
    ],
)
def test_reader_reads_on_whatever_becomes_of_the_name(
    vfs: Vfs, change: Callable[[Vfs], object]
) -> None:
    with vfs.open("/d/f", "rb", 0) as reader, vfs.open("/d/f", "rb") as buffered:
        start = reader.read(100), buffered.read(1)

        change(vfs)

        assert start == (BASE[:100], BASE[:1])
        assert reader.readall() == BASE[100:]
        assert buffered.read() == BASE[1:]
        assert reader.seek(0, 2) == len(BASE)
        assert reader.seek(0, os.SEEK_DATA) == 0
        assert reader.seek(1, os.SEEK_HOLE) == len(BASE)


def test_two_writers_write_to_one_file(vfs: Vfs) -> None:
    with vfs.open("/d/f", "r+b", 0) as first, vfs.open("/d/f", "r+b", 0) as second:
        first.write(b"1" * 10)
        second.seek(10)
        second.write(b"2" * 10)

        assert first.read(10) == b"2" * 10
        assert second.read(5) == BASE[20:25]
        first.truncate(30)
        assert second.seek(0, 2) == 30

    assert vfs.read_bytes("/d/f") == b"1" * 10 + b"2" * 10 + BASE[20:30]
    assert count(vfs, "inodes") == 3


def test_two_appenders_append_to_one_file(vfs: Vfs) -> None:
    with vfs.open("/d/f", "ab", 0) as first, vfs.open("/d/f", "ab", 0) as second:
        assert first.tell() == second.tell() == len(BASE)
        first.write(b"1")
        second.write(b"2")
        first.write(b"3")

        assert (first.tell(), second.tell()) == (len(BASE) + 3, len(BASE) + 2)

    assert vfs.read_bytes("/d/f") == BASE + b"123"


def test_reader_sees_the_file_opened_anew_for_writing_as_empty(vfs: Vfs) -> None:
    """One file on a local disk: ``w`` cuts it under the reader."""
    with vfs.open("/d/f", "rb", 0) as reader:
        reader.read(3)
        with vfs.open("/d/f", "wb", 0) as writer:
            empty = reader.read(3), reader.seek(0, 2)
            writer.write(b"new")
        reader.seek(0)

        assert (empty, reader.read()) == ((b"", 0), b"new")


def test_handle_that_never_writes_brings_nothing_up(vfs: Vfs) -> None:
    before = rows_of(vfs)

    for mode in ("rb", "r+b", "ab", "a+b"):
        with vfs.open("/d/f", mode) as file:
            file.seek(0, 2)
            file.write(b"") if mode != "rb" else file.read(1)
            file.flush()
        with vfs.open("/small", mode, 0) as file:
            file.seek(0)

    assert rows_of(vfs) == before
    assert vfs.which_layer("/d/f") == "base"


def test_truncate_through_a_handle_brings_the_file_up(vfs: Vfs) -> None:
    with vfs.open("/d/f", "r+b") as file:
        assert file.truncate(100) == 100
        assert file.read() == BASE[:100]

    assert vfs.read_bytes("/d/f") == BASE[:100]


@pytest.mark.parametrize("mode", ["r+b", "ab"])
def test_handle_opened_while_another_thread_brings_the_file_up_writes_to_it(
    vfs: Vfs, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    while_opening(monkeypatch, lambda: vfs.chmod("/d/f", 0o600))

    with vfs.open("/d/f", mode, 0) as file:
        file.write(b"mine")

    expected = BASE + b"mine" if mode == "ab" else b"mine" + BASE[4:]
    assert vfs.read_bytes("/d/f") == expected


def test_handle_opened_while_another_thread_writes_sees_what_is_written(
    vfs: Vfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    while_opening(monkeypatch, lambda: vfs.write_bytes("/d/f", OTHER))

    with vfs.open("/d/f", "rb", 0) as file:
        assert file.readall() == OTHER


def while_opening(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]
) -> None:
    """Let *change* happen when the next file has been found and is being opened."""
    open_file = Member.open_file

    def opening(self: Member, path: Any) -> Any:
        source = open_file(self, path)
        monkeypatch.undo()
        change()
        return source

    monkeypatch.setattr(Member, "open_file", opening)


# --- without a name -------------------------------------------------------------------


def test_handle_on_a_removed_file_writes_to_what_nobody_else_sees(vfs: Vfs) -> None:
    with vfs.open("/d/f", "r+b", 0) as file, vfs.open("/d/f", "rb", 0) as reader:
        vfs.remove("/d/f")
        before = rows_of(vfs)
        file.write(b"mine")
        reader.seek(0)

        assert reader.read(6) == b"mine" + BASE[4:6]
        assert not vfs.exists("/d/f")
        assert count(vfs, "inodes") == len(before["inodes"]) + 1

    assert rows_of(vfs) == before  # nothing of it is left


def test_handle_on_a_removed_file_shares_it_with_those_opened_by_then(
    vfs: Vfs,
) -> None:
    with vfs.open("/d/f", "r+b", 0) as first, vfs.open("/d/f", "r+b", 0) as second:
        vfs.remove("/d/f")
        first.write(b"1")
        second.seek(1)
        second.write(b"2")
        first.seek(0)

        assert first.read(3) == b"12" + BASE[2:3]
        vfs.write_bytes("/d/f", b"another")
        second.write(b"3")
        first.seek(0)
        assert first.read(4) == b"123" + BASE[3:4]
        assert vfs.read_bytes("/d/f") == b"another"

    assert vfs.read_bytes("/d/f") == b"another"
    assert count(vfs, "chunks") == 0


def test_handle_on_a_file_that_another_has_replaced_writes_to_its_own(
    vfs: Vfs,
) -> None:
    vfs.write_bytes("/new", OTHER)
    with vfs.open("/d/f", "r+b", 0) as file:
        vfs.replace("/new", "/d/f")
        file.write(b"mine")
        file.seek(0)

        assert file.read(5) == b"mine" + BASE[4:5]
        assert vfs.read_bytes("/d/f") == OTHER

    assert vfs.read_bytes("/d/f") == OTHER


def test_handle_on_a_renamed_file_writes_to_it_under_its_new_name(vfs: Vfs) -> None:
    with vfs.open("/d/f", "r+b", 0) as file:
        vfs.rename("/d", "/e")
        file.write(b"mine")

    assert vfs.read_bytes("/e/f") == b"mine" + BASE[4:]
    assert vfs.listdir("/") == ["e", "small"]


# --- rollback -------------------------------------------------------------------------


def test_rollback_takes_all_handles_back_to_the_base(vfs: Vfs) -> None:
    with (
        vfs.open("/d/f", "r+b", 0) as writer,
        vfs.open("/d/f", "rb", 0) as reader,
        vfs.open("/d/f", "ab", 0) as appender,
    ):
        for _ in range(2):
            writer.seek(0)
            with pytest.raises(KeyError), vfs.atomic_batch():  # noqa: PT012
                writer.write(b"mine")
                appender.write(b"end")
                reader.seek(0)
                assert reader.read(5) == b"mine" + BASE[4:5]
                assert reader.seek(0, 2) == len(BASE) + 3
                raise KeyError

            assert vfs.which_layer("/d/f") == "base"
            reader.seek(0)
            assert reader.readall() == BASE
            assert reader.seek(0, 2) == len(BASE)
        writer.seek(0)
        writer.write(b"kept")

    assert vfs.read_bytes("/d/f") == b"kept" + BASE[4:]


def test_rollback_of_a_savepoint_keeps_what_came_up_before_it(vfs: Vfs) -> None:
    with vfs.open("/d/f", "r+b", 0) as file, vfs.atomic_batch():
        file.write(b"one")
        with pytest.raises(KeyError), vfs.atomic_batch():  # noqa: PT012
            file.write(b"two")
            raise KeyError
        file.seek(0)

        assert file.read(6) == b"one" + BASE[3:6]

    assert vfs.read_bytes("/d/f") == b"one" + BASE[3:]


def test_rollback_of_a_removal_lets_a_handle_write_under_the_name_again(
    vfs: Vfs,
) -> None:
    with vfs.open("/d/f", "r+b", 0) as file:
        with pytest.raises(KeyError), vfs.atomic_batch():  # noqa: PT012
            vfs.remove("/d/f")
            file.write(b"lost")
            raise KeyError
        file.seek(0)
        assert file.read(4) == BASE[:4]
        file.seek(0)
        file.write(b"kept")

    assert vfs.read_bytes("/d/f") == b"kept" + BASE[4:]


def test_rollback_of_a_rename_lets_a_handle_write_under_the_old_name(
    vfs: Vfs,
) -> None:
    with vfs.open("/d/f", "r+b", 0) as file:
        with pytest.raises(KeyError), vfs.atomic_batch():  # noqa: PT012
            vfs.rename("/d/f", "/x")
            file.write(b"lost")
            raise KeyError
        file.seek(0)
        file.write(b"kept")

    assert vfs.read_bytes("/d/f") == b"kept" + BASE[4:]
    assert not vfs.exists("/x")


def test_handle_opened_on_what_a_rollback_takes_away_is_stale(vfs: Vfs) -> None:
    with pytest.raises(KeyError), vfs.atomic_batch():  # noqa: PT012
        vfs.chmod("/d/f", 0o600)
        file = vfs.open("/d/f", "r+b", 0)
        raise KeyError

    with pytest.raises(OSError, match="gone") as caught:
        file.read(1)

    assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, "/d/f")
    file.close()
    assert vfs.read_bytes("/d/f") == BASE


# --- the layers change ----------------------------------------------------------------


def test_handle_on_a_removed_underlay_reads_on(vfs: Vfs) -> None:
    with vfs.open("/d/f", "rb", 0) as file, vfs.open("/small") as text:
        assert file.read(3) == BASE[:3]
        vfs.remove_underlay("base")
        gc.collect()

        assert file.readall() == BASE[3:]
        assert text.read() == "small"
        assert not vfs.exists("/d/f")


def test_handle_on_a_removed_underlay_writes_to_what_nobody_else_sees(
    vfs: Vfs,
) -> None:
    before = rows_of(vfs)
    with vfs.open("/d/f", "r+b", 0) as file:
        vfs.remove_underlay("base")
        file.write(b"mine")
        file.seek(0)

        assert file.read(5) == b"mine" + BASE[4:5]
        assert vfs.listdir("/") == []

    assert rows_of(vfs) == before


@pytest.mark.parametrize("verb", ["add", "set_priority"])
def test_handle_on_what_a_higher_layer_hides_keeps_to_its_file(
    vfs: Vfs, make_vfs: Any, verb: str
) -> None:
    patch = make_vfs()
    patch.write_bytes("/d/f", OTHER)
    if verb == "set_priority":
        vfs.add_underlay(patch, -1, "patch")
    with vfs.open("/d/f", "r+b", 0) as file:
        if verb == "add":
            vfs.add_underlay(patch, 1, "patch")
        else:
            vfs.set_priority("patch", 1)

        assert file.read(5) == BASE[:5]
        file.write(b"mine")
        file.seek(0)
        assert file.read(10) == BASE[:5] + b"mine" + BASE[9:10]
        assert vfs.read_bytes("/d/f") == OTHER

    assert vfs.which_layer("/d/f") == "patch"
    assert patch.read_bytes("/d/f") == OTHER


def test_handle_on_what_is_in_front_again_writes_to_it(vfs: Vfs, make_vfs: Any) -> None:
    patch = make_vfs()
    patch.write_bytes("/d/f", OTHER)
    vfs.add_underlay(patch, -1, "patch")
    with vfs.open("/d/f", "r+b", 0) as file:
        vfs.set_priority("patch", 1)
        vfs.set_priority("patch", -1)
        file.write(b"mine")

    assert vfs.read_bytes("/d/f") == b"mine" + BASE[4:]


def test_handles_of_two_stacks_on_one_layer_know_nothing_of_each_other(
    vfs: Vfs, make_vfs: Any, layer: Any
) -> None:
    second = make_vfs()
    second.add_underlay(layer, name="base")
    with vfs.open("/d/f", "r+b", 0) as one, second.open("/d/f", "r+b", 0) as two:
        one.write(b"one")
        two.write(b"two")
        one.seek(0)

        assert one.read(4) == b"one" + BASE[3:4]

    assert vfs.read_bytes("/d/f") == b"one" + BASE[3:]
    assert second.read_bytes("/d/f") == b"two" + BASE[3:]


def test_close_of_the_stack_closes_its_handles(make_vfs: Any, layer: Any) -> None:
    vfs = VirtualFileSystem()
    vfs.add_underlay(layer, name="base")
    raw, writer = vfs.open("/d/f", "rb", 0), vfs.open("/small", "r+b")
    writer.write(b"lost?")

    with pytest.warns(ResourceWarning, match="closed with its file system"):
        vfs.close()

    for handle in (raw, writer):
        with pytest.raises(ValueError, match="closed"):
            handle.read()


def test_handle_that_is_forgotten_lets_go_of_its_file(vfs: Vfs) -> None:
    (top,) = vfs._layers.stack.underlays
    handle = vfs.open("/d/f", "rb", 0)
    assert top._handles == 1

    with pytest.warns(ResourceWarning, match="unclosed file"):  # noqa: PT031
        del handle
        gc.collect()

    assert top._handles == 0


def test_copy_of_a_handle_that_a_rename_brought_up_goes_when_all_are_closed(
    vfs: Vfs,
) -> None:
    with vfs.open("/d/f", "rb", 0) as file:
        vfs.rename("/d/f", "/x")
        vfs.remove("/x")
        assert file.read(3) == BASE[:3]
        assert count(vfs, "chunks") > 0

    assert count(vfs, "chunks") == 0
