"""pack(): a container written anew, to be read and not to be changed any more."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api import grafting
from tests.api.grafting import rows_of, seen
from tests.api.packing import assert_pack, inodes_of, view_of

from stratavfs import (
    InvalidArgument,
    InvalidType,
    TransferReport,
    VirtualFileSystem,
    _packing,
)
from stratavfs import _pack as packs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stratavfs import Progress

Vfs = VirtualFileSystem


@pytest.fixture(params=["memory", "file"])
def vfs(request: pytest.FixtureRequest, make_vfs: Any, place: Path) -> Vfs:
    """A file system with some of everything."""
    location = ":memory:" if request.param == "memory" else place / "source.db"
    made: Vfs = make_vfs(location, 64)
    grafting.fill(made)
    grafting.edit(made)
    made.write_bytes("/d-sub/large", bytes(range(250)) * 300)
    made.write_bytes("/chunk", b"c" * 64)
    made.touch("/empty")
    made.touch("/sparse")
    made.truncate("/sparse", 1000)
    with made.open("/sparse", "r+b") as file:
        file.seek(500)
        file.write(b"island")
    return made


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the source is; packs go elsewhere."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "packs").mkdir()
    return tmp_path / "packs" / "new.db"


# --- what is in it --------------------------------------------------------------------


def test_pack_keeps_all_that_is_seen_and_leaves_the_source_alone(
    vfs: Vfs, target: Path
) -> None:
    view, before = seen(vfs), rows_of(vfs)

    vfs.pack(target)

    assert_pack(target)
    assert view_of(target) == view
    assert rows_of(vfs) == before


def test_pack_in_a_batch_has_what_the_batch_has_made(vfs: Vfs, target: Path) -> None:
    with vfs.atomic_batch():
        vfs.write_bytes("/d/in the batch", b"new")
        vfs.remove("/chunk")
        view = seen(vfs)

        vfs.pack(target)

    assert_pack(target)
    assert view_of(target) == view


def test_pack_both_ways_writes_the_same_rows(vfs: Vfs, tmp_path: Path) -> None:
    copied, walked = tmp_path / "copied.db", tmp_path / "walked.db"

    vfs.pack(copied, order=["/one", "/d/x"])
    with vfs.atomic_batch():
        vfs.pack(walked, order=["/one", "/d/x"])

    found, expected = ground.dump_of(walked), ground.dump_of(copied)
    for table in ("inodes", "entries", "xattrs", "settings"):
        assert found[table] == expected[table]
    # One of them stores a short last chunk with the zeros behind it.
    assert [row[:2] for row in found["chunks"]] == [
        row[:2] for row in expected["chunks"]
    ]


def test_pack_with_what_a_handle_has_buffered_has_it(vfs: Vfs, target: Path) -> None:
    with vfs.open("/buffered", "w") as file:
        file.write("not flushed")

        vfs.pack(target)

    with Vfs(target, immutable=True) as packed:
        assert packed.read_text("/buffered") == "not flushed"


def test_pack_leaves_out_a_file_that_only_a_handle_has(
    make_vfs: Any, place: Path, target: Path
) -> None:
    vfs = make_vfs(place / "source.db")
    vfs.write_bytes("/gone", b"x" * 20_000)
    with vfs.open("/gone", "rb"):
        vfs.remove("/gone")

        vfs.pack(target)

    assert ground.query(target, "SELECT id FROM inodes") == [(1,)]


def test_pack_says_what_it_has_written(vfs: Vfs, target: Path) -> None:
    paths = [path for path in seen(vfs) if path != "/"]
    modes = [stat.S_IFMT(vfs.lstat(path).st_mode) for path in paths]
    sizes = {
        vfs.lstat(path).st_ino: vfs.lstat(path).st_size
        for path, mode in zip(paths, modes, strict=True)
        if mode == stat.S_IFREG
    }

    report = vfs.pack(target)

    assert report == TransferReport(
        files=modes.count(stat.S_IFREG),
        directories=modes.count(stat.S_IFDIR),
        symlinks=modes.count(stat.S_IFLNK),
        bytes=sum(sizes.values()),
    )


def test_pack_of_nothing_is_an_empty_container(mem: Vfs, target: Path) -> None:
    report = mem.pack(target)

    assert report == TransferReport()
    assert_pack(target)


def test_pack_keeps_holes(make_vfs: Any, target: Path) -> None:
    vfs = make_vfs()
    with vfs.open("/sparse", "wb") as file:
        file.seek(5 << 20)
        file.write(b"end")
        file.truncate(1 << 40)

    for batch in (False, True):
        to = target.with_name(f"{batch}.db")
        if batch:
            with vfs.atomic_batch():
                vfs.pack(to)
        else:
            vfs.pack(to)

        assert ground.query(to, "SELECT inode, idx FROM chunks") == [(2, 80)]
        with Vfs(to, immutable=True) as packed, packed.open("/sparse", "rb") as file:
            file.seek(5 << 20)
            assert file.read(5) == b"end\0\0"
            assert packed.getsize("/sparse") == 1 << 40


def test_pack_can_be_changed_like_any_container(vfs: Vfs, target: Path) -> None:
    vfs.pack(target)

    with Vfs(target) as packed:
        packed.write_bytes("/big", b"changed")
        packed.rmtree("/d")

        assert packed.read_bytes("/big") == b"changed"
        assert packed.check(deep=True) == []


# --- how it is laid out ---------------------------------------------------------------


def test_pack_puts_what_fills_one_row_into_it(make_vfs: Any, target: Path) -> None:
    vfs = make_vfs()
    vfs.write_bytes("/middle", b"m" * 65_536)
    vfs.write_bytes("/large", b"l" * 65_537)

    vfs.pack(target)

    rows = "SELECT e.name, length(i.content) FROM entries e JOIN inodes i"
    found = dict(ground.query(target, f"{rows} ON i.id = e.inode"))
    assert (found["middle"], found["large"]) == (65_536, None)
    with Vfs(target, immutable=True) as packed:
        assert packed.chunk_size == vfs.chunk_size


def test_pack_numbers_files_by_their_paths(mem: Vfs, target: Path) -> None:
    for name in ("/a/z", "/a-b/y", "/b", "/a/c/w", "/é", "/Z"):
        mem.touch(name)

    mem.pack(target)

    # Directory after directory, in the order of their keys, which end in a slash.
    assert inodes_of(target) == ["/Z", "/b", "/é", "/a-b/y", "/a/z", "/a/c/w"]
    # Entries went in as they stand: the last page is not the only full one.
    keys = ground.query(target, "SELECT parent, name FROM entries")
    assert keys == sorted(keys)


@pytest.mark.parametrize("batch", [False, True])
def test_pack_in_an_order_puts_those_files_first(
    vfs: Vfs, target: Path, batch: bool
) -> None:
    order = ["/moved/w", "nowhere", "/big", "/d", "/link", "/e/two", "/one", "/big"]
    view = seen(vfs)

    def pack() -> None:
        vfs.pack(target, order=order)

    if batch:
        with vfs.atomic_batch():
            pack()
    else:
        pack()

    first = inodes_of(target)[:4]
    assert first == ["/moved/w", "/big", "/d/x", "/e/two"]  # what the link leads to
    assert_pack(target)
    assert view_of(target) == view


@pytest.mark.parametrize("size", [512, 4096, 65536])
def test_pack_has_pages_of_the_size_asked_for(
    vfs: Vfs, target: Path, size: int
) -> None:
    vfs.pack(target, page_size=size)

    assert ground.query(target, "PRAGMA page_size") == [(size,)]
    assert_pack(target)


@pytest.mark.parametrize(("length", "size"), [(100, 4096), (10_000, 8192)])
@pytest.mark.parametrize("batch", [False, True])
def test_pack_chooses_pages_by_the_sizes_of_files(
    mem: Vfs, target: Path, length: int, size: int, batch: bool
) -> None:
    for name in range(3):
        mem.write_bytes(f"/{name}", b"x" * length)

    if batch:
        with mem.atomic_batch():
            mem.pack(target)
    else:
        mem.pack(target)

    assert ground.query(target, "PRAGMA page_size") == [(size,)]


# --- what is refused ------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "size 1000": ({"page_size": 1000}, InvalidArgument),
    "size 0": ({"page_size": 0}, InvalidArgument),
    "size text": ({"page_size": "4096"}, InvalidType),
    "size bool": ({"page_size": True}, InvalidType),
    "order bytes": ({"order": b"/a"}, InvalidType),
    "order number": ({"order": 7}, InvalidType),
    "order of numbers": ({"order": [7]}, InvalidType),
    "order of nothing": ({"order": [""]}, InvalidArgument),
    "no such file": ({"order": "no such trace"}, FileNotFoundError),
    "layer": ({"layer": "nobody"}, InvalidArgument),
    "progress": ({"progress": 7}, InvalidType),
}


@pytest.mark.parametrize("what", REFUSED)
def test_pack_with_wrong_arguments_is_refused_and_makes_nothing(
    mem: Vfs, target: Path, what: str
) -> None:
    arguments, kind = REFUSED[what]

    with pytest.raises(kind):
        mem.pack(target, **arguments)

    assert os.listdir(target.parent) == []


@pytest.mark.parametrize("taken", ["file", "directory", "dangling link"])
def test_pack_onto_something_is_refused_and_leaves_it(
    vfs: Vfs, target: Path, taken: str
) -> None:
    if taken == "file":
        target.write_bytes(b"mine")
    elif taken == "directory":
        target.mkdir()
    else:
        target.symlink_to("nowhere")
    before = target.lstat().st_ino

    with pytest.raises(FileExistsError) as caught:
        vfs.pack(target)

    assert caught.value.filename == str(target)
    assert (os.listdir(target.parent), target.lstat().st_ino) == (["new.db"], before)


def test_pack_where_there_is_no_directory_names_the_path(
    vfs: Vfs, tmp_path: Path
) -> None:
    target = str(tmp_path / "nowhere" / "new.db")

    with pytest.raises(FileNotFoundError) as caught:
        vfs.pack(target)

    assert caught.value.filename == target


def test_pack_of_a_closed_file_system_raises_and_makes_nothing(
    make_vfs: Any, target: Path
) -> None:
    vfs = make_vfs()
    vfs.close()

    for call in (lambda: vfs.pack(target), vfs.access_trace):
        with pytest.raises(ValueError, match="closed"):
            call()

    assert os.listdir(target.parent) == []


@pytest.mark.parametrize("how", ["read_only", "immutable"])
def test_pack_of_what_cannot_be_written_works(
    vfs: Vfs, make_vfs: Any, place: Path, target: Path, how: str
) -> None:
    vfs.backup(place / "shipped.db")
    sealed = make_vfs(place / "shipped.db", **{how: True})

    sealed.pack(target)

    assert_pack(target)
    assert view_of(target) == seen(vfs)


def test_pack_of_a_pack_is_the_same(vfs: Vfs, make_vfs: Any, target: Path) -> None:
    again = target.with_name("again.db")
    vfs.pack(target)

    make_vfs(target, immutable=True).pack(again)

    assert again.read_bytes() == target.read_bytes()


# --- who looks on, and who stops it ---------------------------------------------------


@pytest.mark.parametrize("batch", [False, True])
def test_progress_goes_up_to_the_end(vfs: Vfs, target: Path, batch: bool) -> None:
    heard: list[Progress] = []

    if batch:
        with vfs.atomic_batch():
            report = vfs.pack(target, progress=heard.append)
    else:
        report = vfs.pack(target, progress=heard.append)

    assert heard[-1].done == heard[-1].total > 0
    assert heard[-1].bytes == report.bytes
    assert [it.done for it in heard] == sorted(it.done for it in heard)


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("when", [1, -1])
@pytest.mark.parametrize("batch", [False, True])
def test_progress_that_raises_stops_and_leaves_no_file(
    vfs: Vfs, target: Path, kind: type[BaseException], when: int, batch: bool
) -> None:
    before, heard = rows_of(vfs), 0
    error = kind("stop")

    def tell(progress: Progress) -> None:
        nonlocal heard
        heard += 1
        if heard == when or (when < 0 and progress.done == progress.total):
            raise error

    def pack() -> None:
        if batch:
            with vfs.atomic_batch():
                vfs.pack(target, progress=tell)
        else:
            vfs.pack(target, progress=tell)

    with pytest.raises(kind) as caught:
        pack()

    assert caught.value is error
    assert os.listdir(target.parent) == []
    assert rows_of(vfs) == before
    vfs.pack(target)
    assert_pack(target)


def test_target_that_appears_meanwhile_is_left_as_it_is(vfs: Vfs, target: Path) -> None:
    def tell(progress: Progress) -> None:
        if progress.done == progress.total:
            target.write_text("theirs")

    with pytest.raises(FileExistsError) as caught:
        vfs.pack(target, progress=tell)

    assert caught.value.filename == str(target)
    assert target.read_text() == "theirs"
    assert os.listdir(target.parent) == [target.name]


def test_pack_of_a_file_while_another_writes_has_one_state(
    make_vfs: Any, place: Path, target: Path
) -> None:
    vfs = make_vfs(place / "source.db")
    vfs.write_bytes("/a", b"before")
    view = seen(vfs)

    def change(_: Progress) -> None:
        with Vfs(place / "source.db") as other:
            other.write_bytes("/a", b"after")
            other.write_bytes("/new", b"after")

    vfs.pack(target, progress=change)

    assert view_of(target) == view
    assert vfs.read_bytes("/new") == b"after"


def test_pack_copies_large_files_in_pieces(
    make_vfs: Any, place: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "_PIECE", 128)
    vfs = make_vfs(place / "source.db", 32)
    content = bytes(range(256)) * 5
    vfs.write_bytes("/large", content)
    vfs.write_bytes("/also", content[:160])
    vfs.write_bytes("/row", b"x" * 32)

    vfs.pack(target)

    assert_pack(target)
    with Vfs(target, immutable=True) as packed:
        assert packed.read_bytes("/large") == content
        assert packed.read_bytes("/also") == content[:160]


def test_pack_of_large_files_in_pieces_puts_those_of_one_chunk_into_rows(
    make_vfs: Any, place: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "_PIECE", 128)
    vfs = make_vfs(place / "source.db")
    vfs.write_bytes("/large", b"l" * 70_000)
    vfs.write_bytes("/middle", b"m" * 10_000)

    vfs.pack(target)

    assert ground.query(target, "SELECT inode, idx FROM chunks") == [(2, 0), (2, 1)]
    assert view_of(target) == seen(vfs)


@pytest.mark.parametrize("name", ["_ROWS", "_BYTES"])
def test_pack_of_a_batch_writes_what_waits_whenever_it_is_much(
    vfs: Vfs, target: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(_packing, name, 3)
    with vfs.atomic_batch():
        vfs.pack(target)

    assert_pack(target)
    assert view_of(target) == seen(vfs)


def test_pack_of_an_exclusive_file_system_works(
    make_vfs: Any, place: Path, target: Path
) -> None:
    vfs = make_vfs(place / "source.db", exclusive=True)
    grafting.fill(vfs)

    vfs.pack(target)

    assert_pack(target)
    assert view_of(target) == seen(vfs)


def test_pack_of_more_files_than_are_written_at_a_time_has_all(
    make_vfs: Any, place: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "_STEP", 3)
    vfs = make_vfs(place / "source.db")
    for name in range(10):
        vfs.write_bytes(f"/{name}", b"%d" % name)
        vfs.setxattr(f"/{name}", "user.n", b"%d" % name)

    vfs.pack(target)

    assert_pack(target)
    assert view_of(target) == seen(vfs)


@pytest.mark.damaged
@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM inodes WHERE id = 2",
        "UPDATE inodes SET size = 7 WHERE id = 2",
        "UPDATE entries SET name = '..' WHERE name = 'a'",
        "UPDATE inodes SET mode = 1 WHERE id = 2",
    ],
)
def test_pack_of_a_damaged_container_is_refused_and_leaves_no_file(
    make_vfs: Callable[..., Vfs], place: Path, target: Path, damage: str
) -> None:
    location = place / "source.db"
    with Vfs(location) as vfs:
        vfs.write_bytes("/a", b"bytes")
    ground.execute(location, damage)
    vfs = make_vfs(location, read_only=True)

    with pytest.raises(OSError) as caught:
        vfs.pack(target)

    assert caught.value.errno == errno.EIO
    assert caught.value.filename == str(location)
    assert os.listdir(target.parent) == []
