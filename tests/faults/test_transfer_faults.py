"""Imports that fail: all or nothing, or with ``atomic=False`` a report of what was.

A host tree is read while it changes under the import: what vanishes, grows, shrinks or
becomes something else is an error that names it, never half a file, never a wait.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import socket
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api.test_round_trips import host_tree, takes_xattrs, vfs_tree
from tests.faults import test_nth_statement
from tests.faults.interrupted import Case, assert_unbroken
from tests.faults.killed import Images, copied, forks, stop_everywhere, trace
from tests.faults.test_crash import moment

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Vfs = VirtualFileSystem

LARGE = bytes(range(251)) * 12_000  # 3 MB: more than what is read at once
ENTRIES = 8


@pytest.fixture(autouse=True)
def ends_in_time() -> Iterator[None]:
    """Let a test that waits for a pipe fail: nothing here takes half a minute."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def stop(*_: object) -> None:
        pytest.fail("it waits for something")

    was = signal.signal(signal.SIGALRM, stop)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, was)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small tree with one of everything, in the order in which it is read."""
    top = tmp_path / "source"
    make_source(top)
    return top


def make_source(top: Path) -> None:
    (top / "d").mkdir(parents=True)
    (top / "a").write_bytes(b"small")
    (top / "b").write_bytes(bytes(200_000))  # four chunks
    (top / "c").symlink_to("a")
    (top / "d/e").hardlink_to(top / "a")
    (top / "d/f").write_bytes(b"f")
    (top / "g").mkdir()
    (top / "h").write_bytes(b"replaces")


def fill(vfs: Vfs) -> None:
    """Put something into the way, next to it, and where it is replaced."""
    vfs.write_bytes("/in/h", bytes(100_000))
    vfs.link("/in/h", "/in/kept")
    vfs.write_text("/beside", "x")
    vfs.setxattr("/in", "user.kept", b"1")


def rows(vfs: Vfs) -> ground.Dump:
    return ground.dump(vfs._store._cx)


def import_all(vfs: Vfs, source: Path, **options: Any) -> object:
    return vfs.import_tree(source, "/in", on_conflict="replace", **options)


def make_archives(source: Path) -> None:
    """Make archives of the tree beside it."""
    with tarfile.open(source.with_suffix(".tar"), "w") as packed:
        packed.add(source, ".")
    with zipfile.ZipFile(source.with_suffix(".zip"), "w") as zipped:
        for path in ("a", "b", "d/e", "d/f", "h"):
            zipped.write(source / path, path)
        zipped.writestr("g/", b"")


def import_tar(vfs: Vfs, source: Path, **options: Any) -> object:
    archive = source.with_suffix(".tar")
    return vfs.import_archive(archive, "/in", on_conflict="replace", **options)


def import_zip(vfs: Vfs, source: Path, **options: Any) -> object:
    archive = source.with_suffix(".zip")
    return vfs.import_archive(archive, "/in", on_conflict="replace", **options)


IMPORTS: dict[str, Callable[..., object]] = {
    "tree": import_all,
    "tar": import_tar,
    "zip": import_zip,
}


@pytest.fixture
def filled(make_vfs: Callable[..., Vfs]) -> Callable[[], Vfs]:
    """Return a maker of file systems with chunks of 64 bytes that hold the same."""

    def make() -> Vfs:
        vfs = make_vfs(":memory:", 4096, clock=moment)
        fill(vfs)
        return vfs

    return make


# --- an error at each place -----------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "aa", "bb", "d/a", "d/ee", "d/z", "g/x", "z"])
def test_import_with_an_error_anywhere_changes_nothing(
    filled: Callable[[], Vfs], source: Path, name: str
) -> None:
    vfs = filled()
    (source / name).unlink(missing_ok=True)
    os.mkfifo(source / name)
    before, stats = rows(vfs), vfs.stats()

    with pytest.raises(OSError) as caught:
        import_all(vfs, source)

    assert caught.value.errno == errno.EINVAL
    assert caught.value.filename == str(source / name)
    assert rows(vfs) == before
    assert vfs.stats()[:5] == stats[:5]


@pytest.mark.slow
@pytest.mark.no_slow_contracts("single")
@pytest.mark.parametrize("fault", ["I/O error", "disk full, rolled back"])
@pytest.mark.parametrize("name", IMPORTS)
def test_import_with_a_fault_at_any_statement_is_all_or_nothing(
    filled: Callable[[], Vfs], source: Path, name: str, fault: str
) -> None:
    make_archives(source)
    done = filled()
    IMPORTS[name](done, source)
    after = rows(done)
    vfs = filled()
    before = rows(vfs)

    def call(vfs: Vfs) -> object:
        return IMPORTS[name](vfs, source)

    for n in itertools.count(1):
        how = test_nth_statement.FAULTS[fault]
        caught = test_nth_statement.outcome(vfs, call, how, n)
        if caught is None:
            break
        test_nth_statement.assert_names_container(caught, vfs, how)
        if rows(vfs) != before:
            assert rows(vfs) == after
            vfs = filled()
        test_nth_statement.assert_usable(vfs, before)

    assert n > 10
    assert rows(vfs) == after


def refusal_of(call: Callable[[], object]) -> OSError | None:
    """Return what *call* raises, None if it does not."""
    try:
        call()
    except OSError as error:
        return error
    return None


@pytest.mark.parametrize("name", IMPORTS)
def test_import_on_a_full_disk_raises_and_changes_nothing(
    make_vfs: Callable[..., Vfs], tmp_path: Path, source: Path, name: str
) -> None:
    make_archives(source)
    vfs = make_vfs(tmp_path / "c.db", 4096, clock=moment)
    fill(vfs)
    before = rows(vfs)

    for room in itertools.count(0, 7):
        ground.limit_pages(vfs._store._cx, room)
        refused = refusal_of(lambda: IMPORTS[name](vfs, source))
        if refused is None:
            break
        assert (refused.errno, refused.filename) == (errno.ENOSPC, vfs.db_path)
        assert rows(vfs) == before

    assert room > 7
    ground.lift_limit(vfs._store._cx)
    assert vfs.read_bytes("/in/h") == b"replaces"


@pytest.mark.slow
@pytest.mark.no_slow_contracts("single")
@pytest.mark.parametrize("name", IMPORTS)
def test_interrupt_anywhere_in_an_import_leaves_all_or_nothing(
    source: Path, name: str
) -> None:
    make_archives(source)

    def empty() -> Vfs:
        return Vfs(":memory:", 4096, timeout=0.05, clock=moment)

    case = Case(empty, lambda vfs: IMPORTS[name](vfs, source))

    assert_unbroken(case.broken(stride=3))
    assert len(case.moments) > 100


# --- killed ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.damaged
@forks
@pytest.mark.parametrize("name", IMPORTS)
def test_kill_at_any_statement_of_an_import_leaves_all_or_nothing(
    tmp_path: Path, source: Path, name: str
) -> None:
    make_archives(source)
    for place in ("containers", "states"):
        (tmp_path / place).mkdir()
    baseline = tmp_path / "states/baseline.db"
    with Vfs(baseline, 4096, clock=moment) as vfs:
        fill(vfs)
    after = copied(baseline, tmp_path / "states/after.db")
    with Vfs(after, clock=moment) as vfs:
        IMPORTS[name](vfs, source)

    def work(path: Path, killer: Any) -> None:
        vfs = Vfs(path, clock=moment)
        trace(vfs, killer)
        IMPORTS[name](vfs, source)

    images = Images([ground.dump_of(baseline), ground.dump_of(after)])
    count = stop_everywhere(
        lambda: copied(baseline, tmp_path / "containers/killed.db"), work, images
    )

    assert images.finished
    assert count > 10


# --- without atomic -------------------------------------------------------------------


def test_import_without_atomic_says_what_it_has_done(
    mem: Vfs, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(source / "zz")

    with pytest.raises(OSError) as caught:
        mem.import_tree(source, "/in", atomic=False)

    (note,) = caught.value.__notes__
    found = (
        [seen.kind for seen in vfs_tree(mem, "/in").values()]
        if mem.exists("/in")
        else []
    )
    assert f"{found.count('f')} files" in note
    assert f"{found.count('l')} symbolic links" in note


def test_import_without_atomic_keeps_whole_files_alone(
    mem: Vfs, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        (source / f"x{number:02}").write_bytes(LARGE)
    os.mkfifo(source / "zz")
    expected = host_tree(source)

    with pytest.raises(OSError) as caught:
        mem.import_tree(source, "/in", atomic=False)

    found = vfs_tree(mem, "/in")
    files = [path for path, seen in found.items() if seen.kind == "f"]
    assert len([path for path in files if path.startswith("x")]) >= 5
    for path in files:
        assert found[path].content == expected[path].content
    assert f"{len(files)} files" in caught.value.__notes__[0]


# --- trees that change meanwhile ------------------------------------------------------


def at_open_of(
    monkeypatch: pytest.MonkeyPatch, victim: str, change: Callable[[], object]
) -> list[str]:
    """Make *change* when *victim* is about to be opened; return when it was done."""
    real = os.open
    done: list[str] = []

    def hooked(path: Any, *args: Any, **options: Any) -> int:
        if not done and os.path.basename(os.fspath(path)) == victim:
            done.append(victim)
            change()
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", hooked)
    return done


def become(path: Path, kind: str, tmp_path: Path) -> None:
    """Put something else in the place of the file *path*."""
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        (tmp_path / "secret").write_bytes(b"f")
        path.symlink_to(tmp_path / "secret")
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        here = os.getcwd()
        os.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
        os.chdir(here)
    elif kind == "device":
        try:
            os.mknod(path, 0o20600, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("devices are made by root")


@pytest.mark.parametrize("kind", ["gone", "fifo", "link", "socket", "device"])
@pytest.mark.parametrize("errors", ["raise", "skip"])
def test_import_of_a_file_that_becomes_something_else_names_it(
    mem: Vfs,
    source: Path,
    tmp_path: Path,
    kind: str,
    errors: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change = lambda: become(source / "d/f", kind, tmp_path)  # noqa: E731
    done = at_open_of(monkeypatch, "f", change)
    before = rows(mem)

    if errors == "raise":
        with pytest.raises(OSError) as caught:
            mem.import_tree(source)
        failures = [(caught.value.filename, caught.value)]
        assert rows(mem) == before
    else:
        failures = [*mem.import_tree(source, errors="skip").failures]
        assert mem.listdir("/") == ["a", "b", "c", "d", "g", "h"]
        assert mem.listdir("/d") == ["e"]

    assert done == ["f"]
    assert [path for path, _ in failures] == [str(source / "d/f")]


def test_import_that_replaces_keeps_what_is_there_if_the_new_one_cannot_be_read(
    mem: Vfs, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mem.write_bytes("/b", b"old")
    (source / "b").write_bytes(LARGE)
    at_open_of(monkeypatch, "b", (source / "b").unlink)

    report = mem.import_tree(source, on_conflict="replace", errors="skip")

    assert [path for path, _ in report.failures] == [str(source / "b")]
    assert mem.read_bytes("/b") == b"old"


def test_import_of_a_file_that_grows_before_it_is_read_is_whole(
    mem: Vfs, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grow() -> None:
        with open(source / "d/f", "ab") as file:
            file.write(b"and more")

    at_open_of(monkeypatch, "f", grow)

    mem.import_tree(source)

    assert mem.read_bytes("/d/f") == b"fand more"


@pytest.mark.parametrize("errors", ["raise", "skip"])
def test_import_of_a_directory_that_vanishes_names_it(
    mem: Vfs, source: Path, monkeypatch: pytest.MonkeyPatch, errors: str
) -> None:
    at_open_of(monkeypatch, "b", lambda: shutil.rmtree(source / "d"))
    before = rows(mem)

    if errors == "raise":
        with pytest.raises(FileNotFoundError) as caught:
            mem.import_tree(source)
        assert caught.value.filename in (str(source / "d"), str(source / "d/e"))
        assert rows(mem) == before
    else:
        report = mem.import_tree(source, errors="skip")
        assert report.failures
        assert all(path.startswith(str(source / "d")) for path, _ in report.failures)
        assert mem.read_bytes("/h") == b"replaces"


@pytest.mark.parametrize("target", [".", "..", "../d", "loop"])
def test_import_that_follows_links_in_a_circle_stops(
    mem: Vfs, source: Path, target: str
) -> None:
    (source / "d/loop").symlink_to(target)
    before = rows(mem)

    with pytest.raises(OSError) as caught:
        mem.import_tree(source, follow_symlinks=True)

    assert caught.value.errno == errno.ELOOP
    assert caught.value.filename == str(source / "d/loop")
    assert rows(mem) == before

    report = mem.import_tree(source, follow_symlinks=True, errors="skip")
    assert [path for path, _ in report.failures] == [str(source / "d/loop")]
    assert mem.listdir("/d") == ["e", "f"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root makes devices"
)
@pytest.mark.parametrize("kind", ["device", "fifo", "socket"])
def test_import_of_what_is_no_file_never_opens_it(
    mem: Vfs, source: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(source / "d/f", kind, tmp_path)

    done = at_open_of(monkeypatch, "f", lambda: None)

    with pytest.raises(OSError) as caught:
        mem.import_tree(source)

    assert caught.value.errno == errno.EINVAL
    assert caught.value.filename == str(source / "d/f")
    assert done == []


# --- what no container can hold -------------------------------------------------------


def unholdable(source: Path, kind: str) -> Path:
    """Make at ``d/f`` what the host has and a container cannot have."""
    path = source / "d/f"
    if kind == "target":
        path.unlink()
        os.symlink(b"no \xff text", os.fsencode(path))
    elif kind == "attribute":
        if not takes_xattrs(source):
            pytest.skip("the host has no attributes")
        os.setxattr(path, b"user.no \xff text", b"1")
    elif kind == "time":
        os.utime(path, ns=(0, 2**63))  # in the year 2262
        if path.stat().st_mtime_ns < 2**63:
            pytest.skip("the host has no such time")
    return path


@pytest.mark.parametrize("kind", ["target", "attribute", "time"])
def test_import_of_what_no_container_can_hold_names_it(
    mem: Vfs, source: Path, kind: str
) -> None:
    path = unholdable(source, kind)
    before = rows(mem)

    with pytest.raises(OSError) as caught:
        mem.import_tree(source)
    assert caught.value.filename == str(path)
    assert rows(mem) == before

    report = mem.import_tree(source, errors="skip")
    assert [path for path, _ in report.failures] == [str(path)]
    assert mem.listdir("/d") == ["e"]
