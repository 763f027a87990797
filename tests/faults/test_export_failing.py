"""Exports to a host that fails, lacks what others have, or is coarse."""

from __future__ import annotations

import errno
import os
import stat
from hashlib import sha256
from stat import S_IFDIR, S_IFREG
from typing import TYPE_CHECKING, Any

import pytest
from tests.api.exporting import LARGE, texts

from stratavfs import VirtualFileSystem, _host_target
from stratavfs._layers import LayerStack
from stratavfs.records import Inode

if TYPE_CHECKING:
    import io
    from collections.abc import Callable
    from pathlib import Path

    from stratavfs.records import Progress

Vfs = VirtualFileSystem


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A directory to export to."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


class Failing:
    """An ``os`` of which the nth *call* fails, having been done or not."""

    def __init__(
        self, call: str, error: BaseException, *, nth: int = 1, done: bool = False
    ) -> None:
        self._call = call
        self._error = error
        self._left = nth
        self._done = done

    @property
    def failed(self) -> bool:
        return self._left <= 0

    def __getattr__(self, name: str) -> Any:
        return self._counted if name == self._call else getattr(os, name)

    def _counted(self, *args: Any, **options: Any) -> Any:
        self._left -= 1
        if self._left:
            return getattr(os, self._call)(*args, **options)
        if self._done:
            getattr(os, self._call)(*args, **options)
        raise self._error


def seen(top: Path) -> dict[str, bytes | str | None]:
    """Return what is below *top*, in short."""
    found = texts(top)
    return {path: "large" if found[path] == SUM else found[path] for path in found}


SUM = sha256(LARGE).digest()  # of long files the bytes are not kept
CALLS = ["open", "write", "mkdir", "symlink", "link", "replace", "stat", "lseek"]
WAYS: dict[str, tuple[Callable[[], BaseException], bool]] = {
    "full": (lambda: OSError(errno.ENOSPC, "full"), False),
    "ctrl-c before": (KeyboardInterrupt, False),
    "ctrl-c after": (KeyboardInterrupt, True),
}
WHOLE: dict[str, tuple[bytes | str | None, ...]] = {
    "d": (None,),
    "d/large": ("large",),
    "d/link": (b"old", "x"),
    "d/new": (None,),
    "d/new/link": ("x",),
    "d/new/name": (b"new",),
    "d/old": (b"old", b"new"),
    "d/z": (b"new",),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("way", WAYS)
def test_export_tree_of_which_a_call_fails_leaves_nothing_half(
    mem: Vfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, way: str
) -> None:
    make, done = WAYS[way]
    mem.write_bytes("/d/large", LARGE)
    mem.write_bytes("/d/old", b"new")
    mem.symlink("x", "/d/link")
    mem.mkdir("/d/new")
    mem.link("/d/old", "/d/new/name")
    mem.symlink("x", "/d/new/link")
    mem.link("/d/old", "/d/z")

    for nth in range(1, 100):
        out, error = tmp_path / str(nth), make()
        (out / "d").mkdir(parents=True)
        (out / "d/old").write_bytes(b"old")
        (out / "d/link").write_bytes(b"old")
        failing = Failing(call, error, nth=nth, done=done)
        monkeypatch.setattr(_host_target, "os", failing)
        try:
            report = mem.export_tree("/", out, on_conflict="replace")
        except (OSError, KeyboardInterrupt) as raised:
            assert raised is error  # noqa: PT017 - not every call that fails matters
        found = seen(out)

        assert [p for p in found if found[p] not in WHOLE.get(p, ())] == []
        if not failing.failed:
            break

    assert found == {path: states[-1] for path, states in WHOLE.items()}
    assert report[:3] == (4, 1, 2)


@pytest.mark.parametrize("code", [errno.EPERM, errno.EMLINK, errno.EXDEV])
def test_export_tree_where_the_host_has_no_links_makes_copies(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    mem.write_text("/a", "a")
    mem.link("/a", "/b")
    failing = Failing("link", OSError(code, "no"))
    monkeypatch.setattr(_host_target, "os", failing)

    report = mem.export_tree("/", out)

    assert failing.failed
    assert (report.files, report.bytes) == (2, 2)
    assert texts(out) == {"a": b"a", "b": b"a"}
    assert not os.path.samefile(out / "a", out / "b")


@pytest.mark.parametrize(
    ("call", "preserve"), [("setxattr", "xattr"), ("chown", "ownership")]
)
def test_export_tree_where_the_host_refuses_an_attribute_goes_on(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch, call: str, preserve: str
) -> None:
    if not hasattr(os, call):
        pytest.skip("this host has none")
    mem.write_text("/a", "a")
    mem.chmod("/a", 0o4755)
    mem.setxattr("/a", "user.b", b"b")
    mem.setxattr("/a", "user.c", b"c")
    code = errno.ENOTSUP if call == "setxattr" else errno.EPERM

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, refuse)
    report = mem.export_tree("/", out, preserve=["mode", preserve])

    assert report.files == 1
    assert stat.S_IMODE((out / "a").stat().st_mode) == 0o755


def test_export_tree_to_a_host_of_coarse_times_knows_what_is_the_same(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = 1_000_000_000
    set_times = os.utime

    def coarse(path: Any, *, ns: tuple[int, int], **options: Any) -> None:
        even = [time // (2 * second) * 2 * second for time in ns]
        set_times(path, ns=(even[0], even[1]), **options)

    for name, ns in (("a", 1_000 * second + 1), ("b", 1_001 * second + 123_456_789)):
        mem.write_text(f"/{name}", name)
        mem.utime(f"/{name}", ns=(ns, ns))
    monkeypatch.setattr(os, "utime", coarse)
    mem.export_tree("/", out)

    report = mem.export_tree("/", out)
    mem.utime("/b", ns=(0, 1_002 * second))

    assert report.unchanged == 2
    with pytest.raises(FileExistsError):
        mem.export_tree("/", out)
    assert {*os.listdir(out)} == {"a", "b"}


def test_export_tree_to_a_host_of_exact_times_takes_two_for_two(
    mem: Vfs, out: Path
) -> None:
    mem.write_text("/a", "a")
    mem.utime("/a", ns=(0, 1_001_000_000_000))
    (out / "a").write_text("b")
    os.utime(out / "a", ns=(0, 1_000_000_000_000))

    report = mem.export_tree("/", out, on_conflict="newer")

    assert report.files == 1
    assert texts(out) == {"a": b"a"}


# --- what cannot be read, or changes meanwhile ----------------------------------------


class Partly:
    """A layer of which one directory cannot be listed."""

    def find(self, path: str) -> Inode | None:
        kinds = {"/": S_IFDIR, "/bad": S_IFDIR, "/good": S_IFDIR, "/good/a": S_IFREG}
        return Inode(kinds[path] | 0o755) if path in kinds else None

    def kinds(self, path: str) -> list[tuple[str, int]]:
        if path == "/bad":
            raise PermissionError(errno.EACCES, "no", path)
        below = [("bad", S_IFDIR), ("good", S_IFDIR)]
        return {"/": below, "/good": [("a", S_IFREG)]}[path]

    def open(self, path: str) -> io.BytesIO:
        raise PermissionError(errno.EACCES, "no", path)


def test_export_tree_of_a_layer_that_fails_gives_the_rest(mem: Vfs, out: Path) -> None:
    mem.add_underlay(Partly(), name="partly")
    mem.write_text("/good/b", "b")

    report = mem.export_tree("/", out, errors="skip")

    assert texts(out) == {"bad": None, "good": None, "good/b": b"b"}
    assert [path for path, _ in report.failures] == ["/bad", "/good/a"]
    assert {error.errno for _, error in report.failures} == {errno.EACCES}


@pytest.mark.parametrize("size", [5, 100_000])
@pytest.mark.parametrize("layers", [1, 2])
def test_export_tree_of_a_file_that_goes_meanwhile_names_it(
    make_vfs: Any, out: Path, monkeypatch: pytest.MonkeyPatch, size: int, layers: int
) -> None:
    monkeypatch.setattr("stratavfs._progress.INTERVAL", 0)
    vfs = make_vfs()
    if layers > 1:
        vfs.add_underlay(make_vfs())
    vfs.write_text("/a", "a")
    vfs.write_bytes("/b", bytes(size))

    def remove(step: Progress) -> None:
        if step.path == "/a":
            vfs.remove("/b")

    with pytest.raises(FileNotFoundError) as caught:
        vfs.export_tree("/", out, progress=remove)

    assert caught.value.filename == "/b"
    assert texts(out) == {"a": b"a"}


@pytest.mark.parametrize("now", [LARGE[:70_000], LARGE * 2])
def test_export_tree_of_a_file_that_changes_meanwhile_is_refused(
    mem: Vfs, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, now: bytes
) -> None:
    monkeypatch.setattr("stratavfs._progress.INTERVAL", 0)
    monkeypatch.setattr("stratavfs._export_tree._STEP", 1 << 16)
    base = tmp_path / "base"
    base.mkdir()
    (base / "a").write_bytes(LARGE)
    mem.add_underlay(base)

    def change(step: Progress) -> None:
        if step.path == "/a":
            (base / "a").write_bytes(now)

    with pytest.raises(OSError, match="changed") as caught:
        mem.export_tree("/", out, progress=change)

    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, "/a")
    assert texts(out) == {}


def test_export_tree_by_checksum_of_a_file_that_goes_meanwhile_names_it(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mem.write_text("/a", "a")
    (out / "a").write_text("b")
    monkeypatch.setattr(LayerStack, "open_source", lambda *_: None)

    with pytest.raises(FileNotFoundError) as caught:
        mem.export_tree("/", out, on_conflict="replace", checksum=True)

    assert caught.value.filename == "/a"
    assert texts(out) == {"a": b"b"}


# --- attributes that the host refuses -------------------------------------------------


@pytest.mark.parametrize("error", [OverflowError("too large"), OSError(errno.EIO, "")])
@pytest.mark.parametrize("call", ["utime", "chmod", "chown", "setxattr"])
def test_export_tree_where_the_host_fails_at_an_attribute_leaves_no_file(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: Exception
) -> None:
    if not hasattr(os, call):
        pytest.skip("this host has none")
    mem.write_text("/d/a", "a")
    mem.setxattr("/d/a", "user.a", b"1")

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(os, call, refuse)
    report = mem.export_tree("/d", out, preserve="all", errors="skip")

    ((path, failure),) = report.failures
    assert path == "/d/a"
    assert failure.filename == str(out / "a")
    assert texts(out) == {}


def test_export_tree_of_a_directory_whose_time_the_host_refuses_keeps_it(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mem.write_text("/d/a", "a")
    mem.chmod("/d/a", 0o600)
    mem.chmod("/d", 0o711)
    set_mode = os.chmod

    def refuse(place: Any, mode: int) -> None:
        if mode == 0o711:
            raise PermissionError(errno.EPERM, "no")
        set_mode(place, mode)

    monkeypatch.setattr(os, "chmod", refuse)
    report = mem.export_tree("/", out, errors="skip")
    with pytest.raises(PermissionError) as caught:
        mem.export_tree("/", out)

    assert [path for path, _ in report.failures] == ["/d"]
    assert caught.value.filename == str(out / "d")
    assert texts(out) == {"d": None, "d/a": b"a"}


@pytest.mark.parametrize("refusals", [1, 2])
def test_export_tree_that_may_not_give_files_away_gives_the_group_if_it_may(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    mem.write_text("/a", "a")
    mem.chown("/a", "nobody-of-this-name", "none-either")
    mem.chmod("/a", 0o6755)
    mem.copy2("/a", "/b")
    mem.chown("/b", "nobody-of-this-name", "none-either")
    asked: list[tuple[int, int]] = []

    def refuse(_: object, uid: int, gid: int, **__: object) -> None:
        asked.append((uid, gid))
        if len(asked) <= refusals:
            raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "chown", refuse)
    mem.export_tree("/", out, preserve=["ownership", "mode"])

    assert asked[:2] == [(0, 0), (-1, 0)]
    assert stat.S_IMODE((out / "a").stat().st_mode) == 0o755


def test_export_tree_where_the_host_has_no_owners_goes_on(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mem.write_text("/a", "a")
    mem.chmod("/a", 0o6755)
    monkeypatch.delattr(os, "chown", raising=False)

    mem.export_tree("/", out, preserve=["ownership", "mode"])

    assert stat.S_IMODE((out / "a").stat().st_mode) == 0o755


def test_export_tree_where_the_host_writes_little_at_once_writes_all(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mem.write_bytes("/large", LARGE)
    mem.write_bytes("/small", LARGE[:3000])
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:1000]))

    mem.export_tree("/", out)

    assert (out / "large").read_bytes() == LARGE
    assert (out / "small").read_bytes() == LARGE[:3000]


def test_export_tree_where_a_name_comes_and_goes_names_it(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mem.write_text("/a", "a")
    failing = Failing("open", FileExistsError(errno.EEXIST, "there"), nth=2)
    monkeypatch.setattr(_host_target, "os", failing)

    with pytest.raises(FileExistsError) as caught:
        mem.export_tree("/", out)

    assert caught.value.filename == str(out / "a")
    assert texts(out) == {}


def test_export_tree_to_a_directory_that_takes_nothing_compares_times_exactly(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mem.write_text("/a", "a")
    mem.utime("/a", ns=(0, 1_000_000_001))
    (out / "a").write_text("b")
    os.utime(out / "a", ns=(0, 1_000_000_000))
    failing = Failing("open", PermissionError(errno.EACCES, "no"), nth=2)
    monkeypatch.setattr(_host_target, "os", failing)

    report = mem.export_tree("/", out, on_conflict="skip")

    assert failing.failed
    assert (report.skipped, report.unchanged) == (1, 0)
