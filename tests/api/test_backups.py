"""backup(): one consistent state as a new file, whoever writes meanwhile."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api import grafting

from stratavfs import InvalidArgument, InvalidType, VirtualFileSystem, _upkeep

if TYPE_CHECKING:
    from pathlib import Path

    from stratavfs.records import Progress

Vfs = VirtualFileSystem


@pytest.fixture(params=["memory", "file"])
def vfs(request: pytest.FixtureRequest, make_vfs: Any, place: Path) -> Vfs:
    """A file system with some of everything, and something large."""
    location = ":memory:" if request.param == "memory" else place / "source.db"
    made: Vfs = make_vfs(location)
    grafting.fill(made)
    grafting.edit(made)
    made.write_bytes("/large", bytes(range(250)) * 9000)  # three steps of a mebibyte
    return made


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the source is; the copies go beside it."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "copies").mkdir()
    return tmp_path / "copies" / "copy.db"


def rows(vfs: Vfs) -> ground.Dump:
    return ground.dump(vfs._store._cx)


def assert_copy(target: Path, expected: ground.Dump) -> None:
    """The file at *target*, alone in its directory, opens and has these rows."""
    assert os.listdir(target.parent) == [target.name]
    assert ground.integrity_of(target) == "ok"
    with Vfs(target, read_only=True) as copy:
        assert copy.check(deep=True) == []
        assert rows(copy) == expected
    with Vfs(target) as copy:
        copy.write_text("/usable", "x")
        assert copy.read_text("/usable") == "x"


# --- the copy -------------------------------------------------------------------------


def test_backup_is_a_container_with_everything(vfs: Vfs, target: Path) -> None:
    before, view = rows(vfs), grafting.seen(vfs)

    vfs.backup(target)

    with Vfs(target, immutable=True) as copy:
        assert grafting.seen(copy) == view
        assert copy.chunk_size == vfs.chunk_size
    assert_copy(target, before)
    assert rows(vfs) == before


def test_backup_of_an_empty_file_system_is_an_empty_one(mem: Vfs, target: Path) -> None:
    mem.backup(os.fspath(target))

    assert_copy(target, rows(mem))


def test_backup_knows_nothing_of_what_is_done_later(vfs: Vfs, target: Path) -> None:
    before = rows(vfs)
    vfs.backup(target)

    vfs.rmtree("/d")
    vfs.write_bytes("/large", b"")

    assert_copy(target, before)


def test_backup_has_what_was_buffered_and_handles_go_on(vfs: Vfs, target: Path) -> None:
    with vfs.open("/f", "w") as f, vfs.open("/large", "rb") as reader:
        f.write("buffered")
        reader.read(10)

        vfs.backup(target)

        f.write(", and later")
        assert reader.read(3) == bytes((10, 11, 12))
    with Vfs(target) as copy:
        assert copy.read_text("/f") == "buffered"
    assert vfs.read_text("/f") == "buffered, and later"


def test_backup_holds_the_local_layer_alone(make_vfs: Any, target: Path) -> None:
    base, vfs = grafting.filled(make_vfs), make_vfs()
    vfs.add_underlay(base, name="base")
    grafting.edit(vfs)

    vfs.backup(target)

    assert_copy(target, rows(vfs))
    restored = make_vfs(target)
    restored.remove("/usable")
    restored.add_underlay(base, name="base")
    assert restored.diff() == vfs.diff()


def test_backup_of_an_orphan_is_collected_in_the_copy(vfs: Vfs, target: Path) -> None:
    with vfs.open("/large", "rb", 0) as f:
        vfs.remove("/large")

        vfs.backup(target)

        assert f.read(3) == bytes((0, 1, 2))
    with Vfs(target) as copy:
        assert (copy.stats().orphans, copy.exists("/large")) == (0, False)
        assert copy.check(deep=True) == []


def test_backup_of_a_backup_is_the_same(vfs: Vfs, target: Path, place: Path) -> None:
    vfs.backup(target)
    with Vfs(target, read_only=True) as copy:
        copy.backup(place / "again.db")

    assert ground.dump_of(place / "again.db") == rows(vfs)


@pytest.mark.parametrize("option", ["read_only", "immutable"])
def test_backup_of_what_is_opened_for_reading(
    make_vfs: Any, place: Path, target: Path, option: str
) -> None:
    with Vfs(place / "source.db", 64) as maker:
        grafting.fill(maker)
        expected = rows(maker)
    vfs = make_vfs(place / "source.db", **{option: True})

    vfs.backup(target)

    assert_copy(target, expected)


def test_backup_beside_a_log_that_nobody_has_written_back(
    make_vfs: Any, place: Path, target: Path
) -> None:
    with Vfs(place / "source.db") as writer:
        grafting.fill(writer)
        ground.copy_as_killed(place / "source.db", place / "killed.db")
        expected = rows(writer)
    vfs = make_vfs(place / "killed.db", read_only=True)

    vfs.backup(target)

    assert_copy(target, expected)


def test_backup_of_a_container_without_a_log(
    make_vfs: Any, place: Path, target: Path
) -> None:
    with Vfs(place / "source.db") as maker:
        grafting.fill(maker)
    with closing(ground.connect(place / "source.db")) as cx:
        cx.execute("PRAGMA journal_mode = DELETE")
    vfs = make_vfs(place / "source.db", read_only=True)

    vfs.backup(target)

    assert_copy(target, rows(vfs))


def test_backup_after_the_directory_changed_is_of_the_same_container(
    make_vfs: Any, place: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    vfs = make_vfs("source.db")
    vfs.touch("/f")
    (place / "elsewhere").mkdir()

    monkeypatch.chdir("elsewhere")
    try:
        vfs.backup(target)
    finally:
        monkeypatch.chdir(place)

    assert_copy(target, rows(vfs))
    assert os.listdir(place / "elsewhere") == []


# --- where it goes --------------------------------------------------------------------

NAMES = [
    "50% off.db",
    "a?b=c&mode=ro.db",
    "#1.db",
    " sp ace ",
    "\u00e9\n'\".db",
    "file:x",
    ":memory: ",
    "no suffix",
    "n" * 200,
]


@pytest.mark.parametrize("name", NAMES)
def test_backup_to_a_name_with_special_characters(
    mem: Vfs, target: Path, name: str
) -> None:
    mem.write_text("/f", "x")

    mem.backup(target.with_name(name))

    assert_copy(target.with_name(name), rows(mem))


def test_backup_to_a_relative_path_goes_where_one_is(
    vfs: Vfs, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(target.parent)

    vfs.backup("copy.db")

    assert_copy(target, rows(vfs))


def there(kind: str, target: Path) -> None:
    if kind == "directory":
        target.mkdir()
    elif kind == "dangling link":
        target.symlink_to("nowhere")
    elif kind == "link to a directory":
        target.symlink_to(".")
    else:
        target.write_bytes({"empty file": b"", "file": b"theirs"}[kind])


@pytest.mark.parametrize(
    "kind", ["file", "empty file", "directory", "dangling link", "link to a directory"]
)
def test_backup_where_something_is_is_refused_and_changes_nothing(
    vfs: Vfs, target: Path, kind: str
) -> None:
    there(kind, target)
    before = target.lstat()
    heard: list[Progress] = []

    with pytest.raises(FileExistsError) as caught:
        vfs.backup(target, heard.append)

    assert (caught.value.errno, caught.value.filename) == (errno.EEXIST, str(target))
    assert heard == []
    assert os.listdir(target.parent) == [target.name]
    assert (target.lstat().st_mtime_ns, target.lstat().st_ino) == (
        before.st_mtime_ns,
        before.st_ino,
    )


def test_backup_onto_its_own_container_is_refused(make_vfs: Any, place: Path) -> None:
    vfs = make_vfs(place / "source.db")
    vfs.write_text("/f", "x")

    with pytest.raises(FileExistsError) as caught:
        vfs.backup(place / "." / "source.db")

    assert caught.value.filename == str(place / "source.db")
    assert vfs.read_text("/f") == "x"
    assert sorted(os.listdir(place)) == ["source.db", "source.db-shm", "source.db-wal"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("missing/copy.db", FileNotFoundError),
        ("file/copy.db", NotADirectoryError),
        ("nowhere/copy.db", FileNotFoundError),
    ],
)
def test_backup_where_no_file_can_be_raises_what_open_does(
    vfs: Vfs, tmp_path: Path, name: str, kind: type[OSError]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to("gone")

    with pytest.raises(kind) as caught:
        vfs.backup(tmp_path / name)

    assert caught.value.filename == str(tmp_path / name)
    with pytest.raises(kind), open(tmp_path / name, "xb"):
        pass


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no file can be made there")
def test_backup_where_nothing_can_be_written_leaves_nothing(vfs: Vfs) -> None:
    with pytest.raises(OSError) as caught:
        vfs.backup("/proc/self/copy.db")

    assert caught.value.errno in (errno.EACCES, errno.ENOENT, errno.EPERM)
    assert str(caught.value.filename).startswith("/proc/self/copy.db")
    assert vfs.exists("/large")


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (b"copy.db", InvalidType),
        (None, InvalidType),
        (3, InvalidType),
        ("", InvalidArgument),
        ("a\0b", InvalidArgument),
        (":memory:", InvalidArgument),
    ],
)
def test_backup_to_what_is_no_path_is_refused(
    vfs: Vfs, target: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="target"):
        vfs.backup(target)


def test_backup_inside_a_batch_is_refused_and_the_batch_goes_on(
    vfs: Vfs, target: Path
) -> None:
    with vfs.atomic_batch():
        vfs.touch("/inside")
        with pytest.raises(OSError, match="leave the batch") as caught:
            vfs.backup(target)
        vfs.touch("/after")

    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, vfs.db_path)
    assert os.listdir(target.parent) == []
    assert vfs.exists("/inside")
    assert vfs.exists("/after")


# --- progress -------------------------------------------------------------------------


def test_progress_rises_and_ends_with_everything(vfs: Vfs, target: Path) -> None:
    heard: list[Progress] = []

    vfs.backup(target, heard.append)

    size = os.path.getsize(target)
    assert len(heard) > 2
    assert {progress.total for progress in heard} == {heard[-1].done}
    assert [progress.done for progress in heard] == sorted(
        {progress.done for progress in heard}
    )
    assert all(it.bytes * it.total == it.done * size for it in heard)
    assert {progress.path for progress in heard} == {vfs.db_path}


def test_progress_of_something_small_is_told_once(mem: Vfs, target: Path) -> None:
    heard: list[Progress] = []

    mem.backup(target, progress=heard.append)

    (progress,) = heard
    assert progress.done == progress.total > 0
    assert progress.bytes == os.path.getsize(target)


def test_progress_of_something_large_is_told_about_a_hundred_times(
    vfs: Vfs, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_upkeep, "_STEP", 4096)  # as if pages were mebibytes
    heard: list[Progress] = []

    vfs.backup(target, heard.append)

    assert heard[-1].total > 500
    assert 90 < len(heard) < 130


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("when", [1, 2, -1])
def test_progress_that_raises_stops_and_leaves_no_file(
    vfs: Vfs, target: Path, kind: type[BaseException], when: int
) -> None:
    before, heard = rows(vfs), 0
    error = kind("stop")

    def tell(progress: Progress) -> None:
        nonlocal heard
        heard += 1
        if heard == when or (when < 0 and progress.done == progress.total):
            raise error

    with pytest.raises(kind) as caught:
        vfs.backup(target, tell)

    assert caught.value is error
    assert os.listdir(target.parent) == []
    assert rows(vfs) == before
    vfs.backup(target)
    assert_copy(target, before)


def test_progress_that_cannot_be_called_leaves_no_file(vfs: Vfs, target: Path) -> None:
    progress: Any = "no function"

    with pytest.raises(TypeError):
        vfs.backup(target, progress)

    assert os.listdir(target.parent) == []


def test_target_that_appears_meanwhile_is_left_as_it_is(vfs: Vfs, target: Path) -> None:
    def tell(progress: Progress) -> None:
        if progress.done == progress.total:
            target.write_text("theirs")

    with pytest.raises(FileExistsError) as caught:
        vfs.backup(target, tell)

    assert caught.value.filename == str(target)
    assert target.read_text() == "theirs"
    assert os.listdir(target.parent) == [target.name]


def test_copy_has_its_name_only_when_it_is_complete(vfs: Vfs, target: Path) -> None:
    names: list[bool] = []

    vfs.backup(target, lambda _: names.append(target.exists()))

    assert set(names) == {False}
    assert target.exists()
