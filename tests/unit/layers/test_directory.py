"""Directories of the host: shown as they are now, links never followed."""

from __future__ import annotations

import errno
import os
import pickle
import socket
import stat
import sys
from stat import S_IFDIR, S_IFLNK, S_IFREG
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs.layers import DirectoryLayer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

needs_posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX files")
needs_bytes = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux keeps names as bytes"
)


def read(layer: DirectoryLayer, path: str) -> bytes:
    with layer.open(path) as file:
        return file.read()


def refusal(call: Callable[[], object]) -> tuple[type[OSError], int | None, object]:
    with pytest.raises(OSError) as caught:
        call()
    return type(caught.value), caught.value.errno, caught.value.filename


# --- making one -----------------------------------------------------------------------


def test_make_of_a_missing_directory_raises(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")

    found = refusal(lambda: DirectoryLayer(missing))

    assert found == (FileNotFoundError, errno.ENOENT, missing)
    assert not os.path.exists(missing)


def test_make_of_a_file_raises(host: Path) -> None:
    file = str(host / "file")

    assert refusal(lambda: DirectoryLayer(file)) == (
        NotADirectoryError,
        errno.ENOTDIR,
        file,
    )


@pytest.mark.parametrize("wrong", [b".", 0, None])
def test_make_of_no_path_raises_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError):
        DirectoryLayer(wrong)


def test_make_of_an_empty_path_is_not_the_current_directory() -> None:
    with pytest.raises(FileNotFoundError):
        DirectoryLayer("")


def test_layer_of_a_relative_path_stays_when_the_process_moves(
    way: bool, host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(host.parent)
    layer = DirectoryLayer("host")
    monkeypatch.chdir(host / "sub")

    assert read(layer, "/file") == b"hello"
    assert layer.location == str(host)


def test_layer_tells_what_it_is(host: Path) -> None:
    layer = DirectoryLayer(host)
    promised = DirectoryLayer(host, immutable=True)

    assert (layer.immutable, layer.version(), layer.kind) == (False, None, "directory")
    assert (promised.immutable, promised.version()) == (True, 0)


@pytest.mark.parametrize("immutable", [False, True])
def test_layer_survives_pickling(host: Path, immutable: bool) -> None:
    layer = pickle.loads(pickle.dumps(DirectoryLayer(host, immutable=immutable)))

    assert read(layer, "/file") == b"hello"
    assert layer.immutable is immutable


# --- find -----------------------------------------------------------------------------


def test_find_of_a_file_tells_what_the_host_says(
    layer: DirectoryLayer, host: Path
) -> None:
    os.chmod(host / "file", 0o640)
    os.utime(host / "file", ns=(1_000_000_007, 2_000_000_009))
    on_host = os.stat(host / "file")

    found = layer.find("/file")

    assert found is not None
    assert (found.mode, found.size, found.nlink) == (on_host.st_mode, 5, 1)
    assert (found.atime_ns, found.mtime_ns) == (1_000_000_007, 2_000_000_009)
    assert (found.ctime_ns, found.id) == (on_host.st_ctime_ns, on_host.st_ino)
    assert found.birthtime_ns <= found.ctime_ns
    assert (found.uid, found.gid, found.owner, found.group) == (0, 0, "", "")


@pytest.mark.parametrize("path", ["/", "/sub", "/sub/deep"])
def test_find_of_a_directory_has_no_size_and_one_link(
    layer: DirectoryLayer, path: str
) -> None:
    found = layer.find(path)

    assert found is not None
    assert (stat.S_IFMT(found.mode), found.size, found.nlink) == (S_IFDIR, 0, 1)
    assert not found.opaque


def test_find_of_hard_links_tells_that_they_are_one_file(
    layer: DirectoryLayer, host: Path
) -> None:
    os.link(host / "file", host / "sub" / "twin")

    one, other = layer.find("/file"), layer.find("/sub/twin")

    assert one == other
    assert one is not None
    assert one.nlink == 2


def test_find_numbers_files_of_other_devices_apart(host: Path) -> None:
    layer = DirectoryLayer(host)
    here = os.stat(host / "file")
    there = SimpleNamespace(
        **{name: getattr(here, name) for name in dir(here) if name.startswith("st_")}
    )
    there.st_dev += 1
    there.st_ino |= 1 << 63  # and no number is too large for SQLite

    numbers = {layer._inode(found, None).id for found in (here, there)}  # type: ignore[arg-type]

    assert len(numbers) == 2
    assert all(0 <= number < 1 << 63 for number in numbers)


@pytest.mark.parametrize("path", ["/no", "/sub/no", "/no/no", "/file/no", "/file/n/o"])
def test_find_of_what_is_absent_is_none(layer: DirectoryLayer, path: str) -> None:
    assert layer.find(path) is None


@pytest.mark.parametrize("path", ["/../outside/secret", "/sub/../../outside/secret"])
def test_find_never_leads_out_of_the_directory(
    layer: DirectoryLayer, path: str
) -> None:
    assert layer.find(path) is None
    with pytest.raises(FileNotFoundError):
        layer.open(path)


def test_find_of_a_path_too_long_for_the_host_is_none(layer: DirectoryLayer) -> None:
    assert layer.find("/x" * 2047) is None


def test_find_sees_what_changes_under_it(layer: DirectoryLayer, host: Path) -> None:
    before = layer.find("/new"), layer.kinds("/sub/deep")
    (host / "new").write_bytes(b"1")
    (host / "sub" / "deep" / "note").unlink()

    after = layer.find("/new"), layer.kinds("/sub/deep")

    assert before == (None, [("note", S_IFREG)])
    assert after[0] is not None
    assert after[1] == []


@needs_posix
def test_find_shows_no_special_files(
    layer: DirectoryLayer, host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(host / "fifo")
    monkeypatch.chdir(host)  # the path of a socket may not be long
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")

        found = [layer.find(path) for path in ("/fifo", "/socket")]
        names = [name for name, _ in layer.kinds("/")]

    assert found == [None, None]
    assert sorted(names) == ["file", "sub"]


# --- symbolic links -------------------------------------------------------------------

LINKS = {
    "file": "file",
    "../up": "../up",
    "no/where": "no/where",
    "{host}/file": "../../file",
    "{host}/sub/deep/": "../../sub/deep/",
    "{host}": "../../",
    "{host}/": "../../",
    "{real}/file": "../../file",
    "{host}-twin/file": "{host}-twin/file",
    "/": "/",
    "/etc/passwd": "/etc/passwd",
}


@needs_posix
@pytest.mark.parametrize(("written", "shown"), LINKS.items(), ids=LINKS)
def test_find_of_a_link_tells_where_it_leads(
    way: bool, host: Path, written: str, shown: str
) -> None:
    reached = host.parent / "reached"
    reached.symlink_to(host)
    words = {"host": str(reached), "real": os.path.realpath(host)}
    os.symlink(written.format(**words), host / "sub" / "deep" / "link")

    found = DirectoryLayer(reached).find("/sub/deep/link")

    assert found is not None
    assert found.is_link
    assert found.target == shown.format(**words)
    assert found.size == len(found.target)


@needs_posix
def test_find_of_a_link_to_the_directory_itself_is_a_dot(layer: DirectoryLayer) -> None:
    os.symlink(layer.location, layer.location + "/self")

    found = layer.find("/self")

    assert found is not None
    assert found.target == "."


@needs_posix
def test_find_in_the_root_of_the_host_has_no_targets_outside(tmp_path: Path) -> None:
    os.symlink(tmp_path / "absent", tmp_path / "link")

    found = DirectoryLayer("/").find(os.path.realpath(tmp_path) + "/link")

    assert found is not None
    assert found.target is not None
    depth = os.path.realpath(tmp_path).count("/")
    assert found.target == "../" * depth + f"{tmp_path}/absent"[1:]


@needs_bytes
def test_find_of_a_link_to_no_text_leads_nowhere(
    layer: DirectoryLayer, host: Path
) -> None:
    os.symlink(b"caf\xe9", os.fsencode(host / "link"))

    found = layer.find("/link")

    assert found is not None
    assert found.target == "caf\ufffd"
    assert found.size == len("caf\ufffd".encode())


@needs_posix
@pytest.mark.parametrize("target", ["sub", "{outside}", "file"])
def test_links_are_never_followed(
    layer: DirectoryLayer, host: Path, target: str, nothing_leaks: None
) -> None:
    os.symlink(target.format(outside=host.parent / "outside"), host / "link")

    found = layer.find("/link")

    assert found is not None
    assert found.is_link
    assert ("link", S_IFLNK) in layer.kinds("/")
    assert layer.find("/link/secret") is layer.find("/link/deep") is None
    for call in (layer.open, layer.kinds):
        for path in ("/link", "/link/secret", "/link/deep", "/link/deep/note"):
            with pytest.raises((FileNotFoundError, NotADirectoryError)):
                call(path)


# --- what is replaced between two steps -----------------------------------------------


@pytest.fixture
def swap(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return how to have something done as soon as a file was looked at."""

    def swap(seen: str, act: Callable[[], object], function: str = "stat") -> None:
        ask = getattr(os, function)

        def asked(path: Any, *args: Any, **options: Any) -> Any:
            found = ask(path, *args, **options)
            if os.path.basename(path) == seen:
                monkeypatch.setattr(os, function, ask)
                act()
            return found

        monkeypatch.setattr(os, function, asked)

    return swap


@needs_posix
def test_open_of_a_file_that_becomes_a_link_opens_nothing(
    layer: DirectoryLayer, host: Path, swap: Callable[..., None], nothing_leaks: None
) -> None:
    def replace() -> None:
        (host / "file").unlink()
        (host / "file").symlink_to(host.parent / "outside" / "secret")

    swap("file", replace)

    with pytest.raises(FileNotFoundError):
        layer.open("/file")
    assert (host / "file").is_symlink()


@needs_posix
def test_open_of_a_file_that_becomes_a_pipe_does_not_wait(
    layer: DirectoryLayer, host: Path, swap: Callable[..., None], nothing_leaks: None
) -> None:
    def replace() -> None:
        (host / "file").unlink()
        os.mkfifo(host / "file")

    swap("file", replace)

    assert refusal(lambda: layer.open("/file"))[0] is FileNotFoundError
    assert (host / "file").is_fifo()


def test_open_of_a_file_that_becomes_a_directory_opens_nothing(
    layer: DirectoryLayer, host: Path, swap: Callable[..., None], nothing_leaks: None
) -> None:
    def replace() -> None:
        (host / "file").unlink()
        (host / "file").mkdir()

    swap("file", replace)

    assert refusal(lambda: layer.open("/file"))[0] is FileNotFoundError


@needs_posix
@pytest.mark.parametrize("way", [True], indirect=True)
def test_open_below_a_directory_that_becomes_a_link_stays_inside(
    layer: DirectoryLayer, host: Path, swap: Callable[..., None], nothing_leaks: None
) -> None:
    (host.parent / "outside" / "note").write_bytes(b"secret")

    def replace() -> None:
        (host / "sub" / "deep").rename(host / "sub" / "moved")
        (host / "sub" / "deep").symlink_to(host.parent / "outside")

    swap("deep", replace, "open")

    assert read(layer, "/sub/deep/note") == b"a note"
    assert (host / "sub" / "deep").is_symlink()
    assert layer.find("/sub/deep/note") is None


@needs_posix
def test_find_of_a_link_that_goes_is_none(
    layer: DirectoryLayer, host: Path, swap: Callable[..., None], nothing_leaks: None
) -> None:
    (host / "link").symlink_to("file")

    def replace() -> None:
        (host / "link").unlink()
        (host / "link").write_bytes(b"")

    swap("link", replace)

    assert layer.find("/link") is None
