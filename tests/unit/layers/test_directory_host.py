"""Directories of the host: what is listed and read, and what a host can do wrong."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
from stat import S_IFDIR, S_IFLNK, S_IFREG
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs.layers import DirectoryLayer, directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

needs_posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX files")
needs_bytes = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux keeps names as bytes"
)

QUESTIONS = ["find", "kinds", "open", "xattrs"]


def refusal(call: Callable[[], object]) -> tuple[type[OSError], int | None, object]:
    with pytest.raises(OSError) as caught:
        call()
    return type(caught.value), caught.value.errno, caught.value.filename


def failing(code: int) -> Callable[..., Any]:
    """Return what the host does when it fails with *code*."""

    def fail(path: object, *_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), path)

    return fail


# --- kinds ----------------------------------------------------------------------------


@needs_posix
def test_kinds_tells_type_bits_of_all_that_is_shown(
    layer: DirectoryLayer, host: Path, nothing_leaks: None
) -> None:
    (host / "link").symlink_to("nowhere")
    os.mkfifo(host / "fifo")

    found = layer.kinds("/")

    assert sorted(found) == [("file", S_IFREG), ("link", S_IFLNK), ("sub", S_IFDIR)]


def test_kinds_of_the_deepest_directory_lists_it(layer: DirectoryLayer) -> None:
    assert layer.kinds("/sub/deep") == [("note", S_IFREG)]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/no", errno.ENOENT),
        ("/no/no", errno.ENOENT),
        ("/file", errno.ENOTDIR),
        ("/file/no", errno.ENOTDIR),
    ],
)
def test_kinds_of_no_directory_raises(
    layer: DirectoryLayer, path: str, code: int, nothing_leaks: None
) -> None:
    found = refusal(lambda: layer.kinds(path))

    assert found == (type(OSError(code, "")), code, path)


@needs_bytes
def test_kinds_leaves_out_names_that_are_no_text(
    layer: DirectoryLayer, host: Path
) -> None:
    os.close(os.open(os.fsencode(host) + b"/sub/caf\xe9", os.O_CREAT))
    (host / "sub" / "caf\xe9").write_bytes(b"")

    assert sorted(layer.kinds("/sub")) == [("caf\xe9", S_IFREG), ("deep", S_IFDIR)]


@needs_posix
@pytest.mark.parametrize("way", [True], indirect=True)  # it has no name on the host
def test_kinds_leaves_out_paths_that_are_too_long(
    layer: DirectoryLayer, host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(host)
    depth = 4096 // 251
    for _ in range(depth):
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    os.mkdir("e" * (4095 - depth * 251 - 1))
    os.mkdir("e" * (4095 - depth * 251))

    found = layer.kinds(("/" + "d" * 250) * depth)

    assert [len(name) for name, _ in found] == [4095 - depth * 251 - 1]
    monkeypatch.undo()
    shutil.rmtree(host)


# --- open -----------------------------------------------------------------------------


def test_open_reads_what_the_host_has(layer: DirectoryLayer, host: Path) -> None:
    with layer.open("/sub/deep/note") as file:
        assert isinstance(file, io.BufferedReader)
        assert file.name == str(host / "sub" / "deep" / "note")
        assert file.read(2) == b"a "
        assert file.seek(-4, io.SEEK_END) == 2
        assert file.read() == b"note"
        assert not file.writable()
        assert not os.get_inheritable(file.fileno())


@pytest.mark.parametrize(
    "path", ["/", "/sub", "/no", "/no/no", "/file/no", "/fifo", "/link", "/fifo/no"]
)
@needs_posix
def test_open_of_no_file_raises_file_not_found(
    layer: DirectoryLayer, host: Path, path: str, nothing_leaks: None
) -> None:
    os.mkfifo(host / "fifo")
    (host / "link").symlink_to("file")

    found = refusal(lambda: layer.open(path))

    assert found == (FileNotFoundError, errno.ENOENT, path)


def test_open_file_stays_readable_when_it_is_removed(
    layer: DirectoryLayer, host: Path
) -> None:
    with layer.open("/file") as file:
        if os.name != "nt":
            (host / "file").unlink()

        assert file.read() == b"hello"


# --- a host that fails ----------------------------------------------------------------


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("path", ["/", "/file", "/sub/deep/note", "/no"])
def test_question_fails_when_the_directory_is_gone(
    layer: DirectoryLayer, host: Path, question: str, path: str, nothing_leaks: None
) -> None:
    shutil.rmtree(host)

    kind, code, name = refusal(lambda: getattr(layer, question)(path))

    # FileNotFoundError would say that the layer has no such file.
    assert kind is OSError
    assert (code, name) == (errno.ESTALE, str(host))


@pytest.mark.parametrize("question", QUESTIONS)
def test_question_fails_when_the_directory_becomes_a_file(
    layer: DirectoryLayer, host: Path, question: str
) -> None:
    shutil.rmtree(host)
    host.write_bytes(b"")

    found = refusal(lambda: getattr(layer, question)("/file"))

    assert found == (OSError, errno.ESTALE, str(host))


def test_question_is_answered_when_the_directory_is_back(
    layer: DirectoryLayer, host: Path
) -> None:
    host.rename(host.parent / "away")
    assert refusal(lambda: layer.find("/file"))[1] == errno.ESTALE

    (host.parent / "away").rename(host)

    assert layer.find("/file") is not None


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EMFILE])
@pytest.mark.parametrize("question", ["find", "open"])
def test_question_passes_on_what_the_host_refuses(
    layer: DirectoryLayer,
    host: Path,
    code: int,
    question: str,
    monkeypatch: pytest.MonkeyPatch,
    nothing_leaks: None,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", failing(code))
        patch.setattr(os.path, "isdir", lambda _: True)

        found = refusal(lambda: getattr(layer, question)("/sub/deep/note"))

    assert found[1:] == (code, str(host / "sub" / "deep" / "note"))


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_kinds_passes_on_what_the_host_refuses(
    layer: DirectoryLayer,
    host: Path,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    nothing_leaks: None,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", failing(code))

        found = refusal(lambda: layer.kinds("/sub"))

    assert found[1:] == (code, str(host / "sub"))


@pytest.mark.parametrize("way", [True], indirect=True)
def test_question_passes_on_what_the_host_refuses_of_the_directory_itself(
    layer: DirectoryLayer, host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing(errno.EACCES))

        found = refusal(lambda: layer.find("/file"))

    assert found == (PermissionError, errno.EACCES, str(host))


# --- attributes -----------------------------------------------------------------------


@pytest.fixture
def with_attributes(layer: DirectoryLayer, host: Path) -> DirectoryLayer:
    if not hasattr(os, "setxattr"):
        pytest.skip("the host has no extended attributes")
    try:
        for path in ("file", "sub"):
            os.setxattr(host / path, "user.note", path.encode())
            os.setxattr(host / path, "user.empty", b"")
    except OSError as error:
        pytest.skip(f"the host keeps no extended attributes here ({error})")
    return layer


def test_xattrs_are_those_of_the_user(
    with_attributes: DirectoryLayer, host: Path, nothing_leaks: None
) -> None:
    (host / "link").symlink_to("file")

    found = {
        path: with_attributes.xattrs(path)
        for path in ("/file", "/sub", "/sub/deep", "/link", "/")
    }

    assert found == {
        "/file": {"user.note": b"file", "user.empty": b""},
        "/sub": {"user.note": b"sub", "user.empty": b""},
        "/sub/deep": {},
        "/link": {},
        "/": {},
    }


def test_xattrs_leave_out_what_is_not_the_users(
    with_attributes: DirectoryLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["user.note", "security.selinux", "user.\udce9", "trusted.overlay.opaque"]
    monkeypatch.setattr(os, "listxattr", lambda _: names)

    assert with_attributes.xattrs("/file") == {"user.note": b"file"}


def test_xattrs_of_a_host_without_them_are_none(
    layer: DirectoryLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "listxattr", raising=False)

    assert layer.xattrs("/file") == {}


@needs_posix
@pytest.mark.parametrize(("code", "fails"), [(errno.ENOTSUP, False), (errno.EIO, True)])
def test_xattrs_fail_unless_there_cannot_be_any(
    layer: DirectoryLayer,
    host: Path,
    code: int,
    fails: bool,
    monkeypatch: pytest.MonkeyPatch,
    nothing_leaks: None,
) -> None:
    monkeypatch.setattr(os, "listxattr", failing(code), raising=False)

    if fails:
        found = refusal(lambda: layer.xattrs("/file"))
        assert found == (OSError, code, str(host / "file"))
    else:
        assert layer.xattrs("/file") == {}


@pytest.mark.parametrize("path", ["/no", "/file/no"])
def test_xattrs_of_what_is_absent_raise(
    layer: DirectoryLayer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "listxattr", failing(errno.EIO), raising=False)

    assert refusal(lambda: layer.xattrs(path))[2] == path


# --- other hosts ----------------------------------------------------------------------


def test_find_takes_no_separator_of_the_host_in_a_name(
    layer: DirectoryLayer, host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.name != "nt":
        (host / "C:secret").write_bytes(b"")
        (host / "sub\\file").write_bytes(b"")
    monkeypatch.setattr(directory, "_OF_THE_HOST", "\\:")

    assert [layer.find(path) for path in ("/C:secret", "/sub\\file")] == [None, None]
    assert layer.find("/file") is not None


def test_kind_of_a_junction_is_not_shown() -> None:
    junction = SimpleNamespace(st_mode=S_IFDIR, st_reparse_tag=0xA0000003)
    cloud = SimpleNamespace(st_mode=S_IFDIR, st_reparse_tag=0x9000001A)

    kinds = [directory._kind(found) for found in (junction, cloud)]  # type: ignore[arg-type]

    assert kinds == [0, S_IFDIR]


def test_kind_of_entry_asks_windows_for_junctions(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    junction = SimpleNamespace(
        is_file=lambda **_: False,
        is_symlink=lambda: False,
        stat=lambda **_: SimpleNamespace(st_mode=S_IFDIR, st_reparse_tag=0xA0000003),
    )
    monkeypatch.setattr(os, "name", "nt")

    assert directory._kind_of_entry(junction) == 0  # type: ignore[arg-type]


def test_slashed_takes_the_paths_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sep", "\\")

    found = [directory._slashed(path) for path in ("\\\\?\\C:\\a\\b", "..\\a", "a")]

    assert found == ["C:/a/b", "../a", "a"]


@pytest.mark.parametrize(
    ("said", "birthtime"),
    [
        ({"st_birthtime_ns": 5, "st_birthtime": 9.0}, 5),
        ({"st_birthtime": 1.5}, 1_500_000_000),
        ({}, 3),
    ],
)
def test_birthtime_is_what_the_host_says_or_the_earliest_time(
    said: dict[str, float], birthtime: int
) -> None:
    found: Any = SimpleNamespace(st_mtime_ns=3, st_ctime_ns=4, **said)

    assert directory._birthtime_ns(found) == birthtime
