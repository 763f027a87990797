"""Where a container can be, and what the constructor refuses to begin with."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from tests.ground import tree_of

from stratavfs import InvalidArgument, InvalidType, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeVfs = Callable[..., VirtualFileSystem]


@pytest.fixture
def container(tmp_path: Path) -> Path:
    path = tmp_path / "container.db"
    with VirtualFileSystem(path, 1000) as vfs:
        vfs.write_text("/small", "small")
    return path


# --- where a container can be ---------------------------------------------------------

NAMES = [
    "with space.db",
    "what?mode=memory",
    "a#b.db",
    "50%25.db",
    "a&b=c.db",
    "ünï-文-🎲.db",
    'it\'s "quoted".db',
    "back\\slash.db",
    "semi;colon:and:more",
    "file:x.db",
    ":memory:.db",
    "-dash",
    "new\nline.db",
    "no-ending",
]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", NAMES)
def test_open_under_odd_name_makes_just_that_file(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)

    with VirtualFileSystem(path) as vfs:
        vfs.write_text("/f", "x")
    with VirtualFileSystem(path, read_only=True, immutable=True) as vfs:
        assert vfs.read_text("/f") == "x"
        assert vfs.db_path == path
    with VirtualFileSystem(path, read_only=True) as vfs:
        assert vfs.read_text("/f") == "x"

    assert {entry for entry in os.listdir(tmp_path) if not _beside(entry)} == {name}


def _beside(name: str) -> bool:
    return name.endswith(("-wal", "-shm"))


@pytest.mark.parametrize("name", ["plain.db", "sub/plain.db", "./plain.db", "%41 b?"])
def test_open_at_relative_path_is_relative_to_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)

    with VirtualFileSystem(name) as vfs:
        vfs.write_text("/f", "x")

    assert tree_of(tmp_path / name) == {"/f": b"x"}


def test_open_at_relative_path_stays_there_when_the_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    with VirtualFileSystem("plain.db") as vfs:
        monkeypatch.chdir(tmp_path / "elsewhere")
        vfs.write_text("/f", "x")
        vfs.sync()

    assert tree_of(tmp_path / "plain.db") == {"/f": b"x"}
    assert os.listdir(tmp_path / "elsewhere") == []


def test_open_through_symbolic_link_opens_what_it_leads_to(
    container: Path, make_vfs: MakeVfs
) -> None:
    link = container.with_name("link.db")
    link.symlink_to(container)

    make_vfs(link).write_text("/f", "x")

    assert make_vfs(container).read_text("/f") == "x"
    assert link.is_symlink()


@pytest.mark.parametrize("options", [{}, {"read_only": True}, {"immutable": True}])
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("", errno.EISDIR),
        ("missing/new.db", errno.ENOENT),
        ("file/new.db", errno.ENOTDIR),
        ("dangling/new.db", errno.ENOENT),
    ],
)
def test_open_where_no_file_can_be_raises_what_open_does(
    tmp_path: Path, options: dict[str, bool], name: str, number: int
) -> None:
    (tmp_path / "file").write_text("not a directory")
    (tmp_path / "dangling").symlink_to("nowhere")
    path = str(tmp_path / name) if name else str(tmp_path)
    before = sorted(os.listdir(tmp_path))

    with pytest.raises(OSError) as caught:
        VirtualFileSystem(path, **options)  # type: ignore[arg-type]

    assert caught.value.errno == number
    assert caught.value.filename == path
    assert sorted(os.listdir(tmp_path)) == before


def test_open_of_fifo_raises_and_does_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)

    with pytest.raises(OSError) as caught:
        VirtualFileSystem(path)

    assert caught.value.filename == str(path)
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.parametrize("kind", [str, Path], ids=["str", "Path"])
def test_open_at_str_or_path_tells_the_path_as_str(
    tmp_path: Path, make_vfs: MakeVfs, kind: type[Any]
) -> None:
    path = str(tmp_path / "c.db")

    assert make_vfs(kind(path)).db_path == path


# --- arguments ------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_size", [0, -1, True, "4", 1.5, None, 2**40, 4.0])
@pytest.mark.parametrize("exists", [False, True], ids=["new", "existing"])
def test_open_with_impossible_chunk_size_raises_and_makes_nothing(
    tmp_path: Path, container: Path, chunk_size: Any, exists: bool
) -> None:
    path = container if exists else tmp_path / "new.db"

    with pytest.raises(InvalidArgument, match="chunk_size"):
        VirtualFileSystem(path, chunk_size)

    assert os.listdir(tmp_path) == ["container.db"]


BAD_OPTIONS: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"timeout": -1}, InvalidArgument),
    ({"timeout": -0.001}, InvalidArgument),
    ({"timeout": float("nan")}, InvalidArgument),
    ({"timeout": float("inf")}, InvalidArgument),
    ({"timeout": 1e300}, InvalidArgument),
    ({"timeout": None}, InvalidType),
    ({"timeout": "5"}, InvalidType),
    ({"timeout": True}, InvalidType),
    ({"synchronous": "extra"}, InvalidArgument),
    ({"synchronous": "NORMAL; DROP TABLE inodes"}, InvalidArgument),
    ({"synchronous": ""}, InvalidArgument),
    ({"synchronous": None}, InvalidArgument),
    ({"synchronous": 1}, InvalidArgument),
]


@pytest.mark.parametrize(("options", "expected"), BAD_OPTIONS, ids=repr)
def test_open_with_impossible_option_raises_and_makes_nothing(
    tmp_path: Path, options: dict[str, Any], expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        VirtualFileSystem(tmp_path / "new.db", **options)

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("timeout", [0, 0.5, 5, 2_000_000])
@pytest.mark.parametrize("synchronous", ["off", "normal", "full"])
def test_open_with_possible_options_works(
    tmp_path: Path, make_vfs: MakeVfs, timeout: float, synchronous: str
) -> None:
    vfs = make_vfs(tmp_path / "c.db", timeout=timeout, synchronous=synchronous)

    vfs.write_text("/f", "x")

    levels = {"off": 0, "normal": 1, "full": 2}
    assert vfs._store.row("PRAGMA synchronous") == (levels[synchronous],)
    assert vfs._store.row("PRAGMA busy_timeout") == (round(timeout * 1000),)


@pytest.mark.parametrize("db_path", [b"bytes.db", None, 5, 1.5, ["a"]])
def test_open_at_no_path_raises_invalid_type(db_path: Any) -> None:
    with pytest.raises(InvalidType):
        VirtualFileSystem(db_path)


@pytest.mark.parametrize("db_path", ["", "a\0b"])
def test_open_at_impossible_path_raises_invalid_argument(db_path: str) -> None:
    with pytest.raises(InvalidArgument):
        VirtualFileSystem(db_path)


def test_open_at_path_that_is_no_utf8_works_or_raises_os_error(
    tmp_path: Path,
) -> None:
    """A name that the host has as bytes; SQLite takes UTF-8 from us."""
    path = str(tmp_path / "latin-\udce4.db")

    try:
        VirtualFileSystem(path).close()
    except (OSError, ValueError):
        assert os.listdir(tmp_path) == []
    else:
        assert os.listdir(tmp_path) == ["latin-\udce4.db"]


def test_open_at_pure_path_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_vfs: MakeVfs
) -> None:
    monkeypatch.chdir(tmp_path)

    make_vfs(PurePosixPath("pure.db")).write_text("/f", "x")

    assert tree_of(tmp_path / "pure.db") == {"/f": b"x"}
