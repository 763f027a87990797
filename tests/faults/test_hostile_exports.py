"""Exports where somebody means harm, or the host is strange: nothing gets out.

Links planted in the directory, before and while it is filled; names that this host
cannot have or takes for one; containers in the way.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.api.exporting import fill, texts
from tests.api.test_round_trips import difference, host_tree, vfs_tree
from tests.faults.hostile import make_sample
from tests.ground import execute

from stratavfs import VirtualFileSystem, _host_names, _host_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stratavfs.records import Progress

Vfs = VirtualFileSystem


@pytest.fixture(params=["by directory", "by path"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the host names things: as POSIX does, or as Windows."""
    if request.param == "by path":
        monkeypatch.setattr(_host_target, "BY_DIRECTORY", False)
        monkeypatch.setattr(_host_target, "BY_HANDLE", False)
    elif not _host_target.BY_DIRECTORY:
        pytest.skip("this host cannot")
    return str(request.param)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A directory to export to."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory that is as it was at the end."""
    top = tmp_path / "outside"
    (top / "d").mkdir(parents=True)
    (top / "d/secret").write_text("secret")
    before = host_tree(top)
    yield top
    assert host_tree(top) == before


# --- links that are planted -----------------------------------------------------------


@pytest.mark.usefixtures("way")
def test_export_tree_of_one_of_everything_is_equal_however_it_is_named(
    mem: Vfs, out: Path
) -> None:
    fill(mem)
    mem.chmod("/top/shut", 0o755)

    mem.export_tree("/top", out)
    again = mem.export_tree("/top", out, on_conflict="replace")

    assert difference(host_tree(out), vfs_tree(mem, "/top")) == {}
    assert again.unchanged == 14


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("choice", ["error", "skip", "replace", "newer"])
def test_export_tree_follows_no_link_in_the_place_of_a_directory(
    mem: Vfs, out: Path, outside: Path, choice: Any
) -> None:
    mem.write_text("/d/secret", "mine!!")
    mem.write_text("/d/new", "new")
    (out / "d").symlink_to(outside / "d")
    os.utime(out / "d", ns=(0, 0), follow_symlinks=False)

    mem.export_tree("/", out, on_conflict=choice, errors="skip")

    assert (out / "d").is_symlink() == (choice in ("error", "skip"))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("checksum", [False, True])
def test_export_tree_writes_through_no_link_in_the_place_of_a_file(
    mem: Vfs, out: Path, outside: Path, *, checksum: bool
) -> None:
    mem.write_text("/a", "secret")
    (out / "a").symlink_to(outside / "d/secret")

    mem.export_tree("/", out, on_conflict="replace", checksum=checksum)

    assert texts(out) == {"a": b"secret"}
    assert not (out / "a").is_symlink()


@pytest.mark.usefixtures("way")
def test_export_tree_stays_inside_when_its_directory_becomes_a_link(
    mem: Vfs, out: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stratavfs._progress.INTERVAL", 0)
    for name in ("a", "b", "secret"):
        mem.write_text(f"/d/{name}", name)
    mem.write_text("/d/e/f", "f")

    def swap(step: Progress) -> None:
        if step.path == "/d/a":
            (out / "d").rename(out / "was")
            (out / "d").symlink_to(outside / "d")

    mem.export_tree("/", out, on_conflict="replace", errors="skip", progress=swap)

    assert (out / "d").is_symlink()
    assert (out / "was/a").read_text() == "a"


@pytest.mark.usefixtures("way")
def test_export_tree_whose_top_becomes_a_link_stays_inside(
    mem: Vfs, out: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stratavfs._progress.INTERVAL", 0)
    for name in ("a", "d/secret", "e"):
        mem.write_text(f"/{name}", name)

    def swap(step: Progress) -> None:
        if step.path == "/a":
            out.rename(out.parent / "was")
            out.symlink_to(outside)

    mem.export_tree("/", out, on_conflict="replace", errors="skip", progress=swap)

    assert (out.parent / "was/a").read_text() == "a"


def test_export_tree_links_nothing_that_was_put_in_the_place_of_its_file(
    mem: Vfs, out: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stratavfs._progress.INTERVAL", 0)
    mem.write_text("/a", "mine")
    mem.link("/a", "/b")

    def swap(step: Progress) -> None:
        if step.path == "/a":
            (out / "a").unlink()
            (out / "a").symlink_to(outside / "d/secret")

    mem.export_tree("/", out, progress=swap)

    assert (out / "b").read_text() == "mine"
    assert not (out / "b").is_symlink()


def test_export_tree_whose_files_somebody_moves_meets_what_is_there(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stratavfs._progress.INTERVAL", 0)
    mem.write_text("/a", "a")
    mem.write_text("/b", "mine")

    def move(step: Progress) -> None:
        if step.path == "/a":
            (out / "a").rename(out / "c")
            (out / "b").write_text("theirs")

    with pytest.raises(FileExistsError, match="on_conflict=") as caught:
        mem.export_tree("/", out, progress=move)

    assert caught.value.filename == str(out / "b")
    assert texts(out) == {"b": b"theirs", "c": b"a"}


def test_export_tree_to_another_directory_in_a_deep_place_is_noticed(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stratavfs._progress.INTERVAL", 0)
    monkeypatch.setattr(_host_target, "_OPEN_LIMIT", 4)
    mem.write_text("/d" * 9 + "/a", "a")
    mem.write_text("/d/z", "z")

    def swap(step: Progress) -> None:
        if step.path.endswith("/a"):
            (out / "d").rename(out / "was")
            (out / "d/d/d/d").mkdir(parents=True)

    with pytest.raises(OSError, match="during the export") as caught:
        mem.export_tree("/", out, progress=swap)

    assert caught.value.errno == errno.ESTALE
    assert not (out / "d/z").exists()


@pytest.mark.parametrize("at", ["out", "out/d"])
def test_export_tree_by_path_into_what_is_no_directory_by_now_is_refused(
    mem: Vfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setattr(_host_target, "BY_DIRECTORY", False)
    make = os.mkdir

    def swap(path: str, *args: Any, **options: Any) -> None:
        make(path, *args, **options)
        if path == str(tmp_path / at):
            os.rmdir(path)
            (tmp_path / at).write_text("mine")

    mem.write_text("/d/a", "a")
    monkeypatch.setattr(os, "mkdir", swap)
    with pytest.raises(NotADirectoryError) as caught:
        mem.export_tree("/", tmp_path / "out")

    assert caught.value.filename == str(tmp_path / at)
    assert (tmp_path / at).read_text() == "mine"


@pytest.mark.usefixtures("way")
def test_export_tree_does_not_wait_for_a_pipe_in_the_place_of_a_file(
    mem: Vfs, out: Path
) -> None:
    mem.write_text("/a", "")
    os.mkfifo(out / "a")

    mem.export_tree("/", out, on_conflict="replace", checksum=True)

    assert texts(out) == {"a": b""}


def test_export_tree_links_only_as_told_and_writes_behind_none_of_its_own(
    mem: Vfs, out: Path, outside: Path
) -> None:
    mem.symlink(str(outside), "/to")
    mem.export_tree("/", out)
    mem.remove("/to")
    mem.write_text("/to/d/secret", "mine")

    with pytest.raises(FileExistsError):
        mem.export_tree("/", out)
    mem.export_tree("/", out, on_conflict="replace")

    assert (out / "to/d/secret").read_text() == "mine"


# --- containers -----------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"on_conflict": "replace"}, {"checksum": True}])
def test_export_tree_onto_a_container_that_is_open_is_refused(
    make_vfs: Any, mem: Vfs, out: Path, how: dict[str, Any]
) -> None:
    victim = make_vfs(out / "a.db")
    victim.write_text("/kept", "kept")
    size = (out / "a.db").stat().st_size
    mem.write_bytes("/a.db", bytes(size))

    with pytest.raises(OSError, match="container") as caught:
        mem.export_tree("/", out, **how)

    assert (caught.value.errno, caught.value.filename) == (
        errno.EBUSY,
        str(out / "a.db"),
    )
    victim.write_text("/more", "more")
    assert victim.read_text("/kept") == "kept"


@pytest.mark.damaged
def test_export_tree_of_a_damaged_container_gives_what_can_be_read(
    tmp_path: Path, out: Path
) -> None:
    path = tmp_path / "c.db"
    make_sample(path)
    execute(path, "UPDATE inodes SET size = 5 WHERE size = 1")

    with Vfs(path, read_only=True) as vfs:
        report = vfs.export_tree("/", out, errors="skip")

    assert [path for path, _ in report.failures] == ["/d/e/x.txt"]
    assert (out / "d/small").read_bytes() == b"small"
    assert not (out / "d/e/x.txt").exists()


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_export_tree_puts_no_log_beside_a_container_that_is_open(
    make_vfs: Any, mem: Vfs, out: Path, end: str
) -> None:
    victim = make_vfs(out / "a.db")
    victim.write_text("/kept", "kept")
    mem.write_text(f"/a.db{end}", "evil")
    mem.write_text(f"/b.db{end}", "of nobody")

    report = mem.export_tree("/", out, on_conflict="replace", errors="skip")

    ((path, error),) = report.failures
    assert (path, error.errno) == (f"/a.db{end}", errno.EBUSY)
    assert error.filename == str(out / f"a.db{end}")
    assert (out / f"b.db{end}").read_text() == "of nobody"
    assert victim.read_text("/kept") == "kept"


# --- names ----------------------------------------------------------------------------


class Folding:
    """An ``os`` whose host takes names for one that differ in case."""

    def __init__(self) -> None:
        self.open = self._folded(os.open)
        self.mkdir = self._folded(os.mkdir)
        self.stat = self._folded(os.stat)
        self.unlink = self._folded(os.unlink)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def symlink(self, target: str, name: str, *args: Any, dir_fd: int) -> None:
        os.symlink(target, self._known(name, dir_fd), *args, dir_fd=dir_fd)

    def link(self, first: str, name: str, **options: Any) -> None:
        first = self._known(first, options["src_dir_fd"])
        os.link(first, self._known(name, options["dst_dir_fd"]), **options)

    def replace(self, part: str, name: str, **options: Any) -> None:
        os.replace(part, self._known(name, options["dst_dir_fd"]), **options)

    def _folded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def folded(name: Any, *args: Any, **options: Any) -> Any:
            if options.get("dir_fd") is not None:
                name = self._known(name, options["dir_fd"])
            return call(name, *args, **options)

        return folded

    @staticmethod
    def _known(name: str, directory: int) -> str:
        for known in os.listdir(directory):
            if known.casefold() == name.casefold():
                return known
        return name


@pytest.fixture
def folding(monkeypatch: pytest.MonkeyPatch) -> None:
    if not _host_target.BY_DIRECTORY:
        pytest.skip("the host folds case by itself")
    monkeypatch.setattr(_host_target, "os", Folding())


@pytest.mark.usefixtures("folding")
@pytest.mark.parametrize("choice", ["error", "skip", "replace", "newer"])
@pytest.mark.parametrize("kind", ["file", "directory", "link", "name"])
def test_export_tree_of_names_that_differ_in_case_reports_the_second(
    mem: Vfs, out: Path, kind: str, choice: Any
) -> None:
    mem.write_text("/top/A", "A")
    for name in ("README", "readme"):
        if kind == "directory":
            mem.write_text(f"/top/{name}/in", name)
        elif kind == "link":
            mem.symlink(name, f"/top/{name}")
        elif kind == "name":
            mem.link("/top/A", f"/top/{name}")
        else:
            mem.write_text(f"/top/{name}", name)

    for _ in range(2):  # into what is made now, and what was there
        with pytest.raises(FileExistsError, match="'README'") as caught:
            mem.export_tree("/", out, on_conflict=choice)
        report = mem.export_tree("/", out, on_conflict=choice, errors="skip")

        assert caught.value.filename == str(out / "top/readme")
        assert [path for path, _ in report.failures] == ["/top/readme"]
        names = {path.removesuffix("/in") for path in texts(out)}
        assert names == {"top", "top/A", "top/README"}


@pytest.mark.usefixtures("folding")
def test_export_tree_onto_a_name_in_another_case_is_a_conflict_as_any(
    mem: Vfs, out: Path
) -> None:
    (out / "readme").write_text("theirs")
    mem.write_text("/README", "mine")

    with pytest.raises(FileExistsError, match="on_conflict="):
        mem.export_tree("/", out)
    mem.export_tree("/", out, on_conflict="replace")

    assert texts(out) == {"readme": b"mine"}


def test_export_tree_onto_hard_links_that_are_the_same_takes_none_for_another(
    mem: Vfs, out: Path
) -> None:
    for name in ("a", "b", "c"):
        mem.write_text(f"/{name}", "text")
        mem.utime(f"/{name}", ns=(0, 0))
    (out / "a").write_text("text")
    os.utime(out / "a", ns=(0, 0))
    os.link(out / "a", out / "c")

    report = mem.export_tree("/", out)

    assert (report.files, report.unchanged) == (1, 2)
    assert texts(out) == dict.fromkeys("abc", b"text")


def test_export_tree_onto_hard_links_takes_none_for_another(
    mem: Vfs, out: Path
) -> None:
    for name in ("a", "b"):
        mem.write_text(f"/{name}", name)
    (out / "a").write_text("old")
    os.link(out / "a", out / "b")

    report = mem.export_tree("/", out, on_conflict="replace")

    assert report.files == 2
    assert texts(out) == {"a": b"a", "b": b"b"}


FORBIDDEN = ["a:b", "a\\b", "..\\..\\evil", "a|b", "?", "<", '"', "\n"]
DEVICES = ["con", "NUL.txt", "com¹", "conin$"]


@pytest.mark.parametrize("name", [*FORBIDDEN, *DEVICES, "a.", "a "])
def test_export_tree_to_windows_refuses_names_it_cannot_have(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(_host_names, "WINDOWS", True)
    monkeypatch.setattr(_host_names, "PARTICULAR", True)
    mem.write_text("/b", "b")
    mem.write_text(f"/{name}", "a")
    mem.mkdir("/d")
    mem.mkdir(f"/d/{name}")

    report = mem.export_tree("/", out, errors="skip")

    assert texts(out) == {"b": b"b", "d": None}
    assert [path for path, _ in report.failures] == sorted([f"/{name}", f"/d/{name}"])
    for path, error in report.failures:
        assert error.errno == errno.EINVAL
        assert error.filename == os.path.join(out, path[1:])
        assert "rename it" in str(error)


@pytest.mark.parametrize("name", ["a.b", "console", "com", "COM10", ".a", "a b", "é"])
def test_export_tree_to_windows_takes_names_it_can_have(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(_host_names, "WINDOWS", True)
    monkeypatch.setattr(_host_names, "PARTICULAR", True)
    mem.write_text(f"/{name}", "a")
    mem.symlink(name, "/~link")

    mem.export_tree("/", out)

    assert texts(out) == {name: b"a", "~link": name}


@pytest.mark.parametrize("kind", ["name", "target"])
def test_export_tree_to_a_host_that_is_no_utf8_names_what_it_cannot_say(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(_host_names, "PARTICULAR", True)
    monkeypatch.setattr("os.fsencode", lambda name: name.encode("ascii"))
    name = "é" if kind == "name" else "e"
    mem.symlink("é" if kind == "target" else "e", f"/{name}")

    with pytest.raises(OSError, match="it is not in") as caught:
        mem.export_tree("/", out)

    assert (caught.value.errno, caught.value.filename) == (
        errno.EINVAL,
        str(out / name),
    )
    assert os.listdir(out) == []


def test_export_tree_of_every_odd_name_is_equal(mem: Vfs, out: Path) -> None:
    names = ["\n", "*", "?", "\\", " ", "...", "-rf", "a\tb", "é", "e\u0301", "\u202e"]
    for name in [*names, "x" * 255, "\U0001f600" * 63, "~", ".hidden", "%2e%2e"]:
        mem.write_text(f"/{name}", name)
        mem.write_text(f"/dir/{name}/{name}", name)

    mem.export_tree("/", out)

    assert difference(host_tree(out), vfs_tree(mem)) == {}
