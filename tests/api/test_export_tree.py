"""export_tree(): what is in a directory comes out to the host, as the view shows it."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
from tests.api.exporting import LARGE, NANO, fill, opened_up, texts
from tests.api.test_round_trips import difference, host_tree, takes_xattrs, vfs_tree

from stratavfs import InvalidArgument, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stratavfs.records import Progress

Vfs = VirtualFileSystem


@pytest.fixture
def full(mem: Vfs) -> Vfs:
    fill(mem)
    return mem


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """A directory to export to, which is not there yet."""
    yield tmp_path / "out"
    opened_up(tmp_path)


# --- what comes out -------------------------------------------------------------------


def test_export_tree_of_one_of_everything_makes_an_equal_tree(
    full: Vfs, out: Path
) -> None:
    report = full.export_tree("/top", out)

    assert difference(host_tree(out), vfs_tree(full, "/top")) == {}
    assert out.stat().st_mtime_ns == full.stat("/top").st_mtime_ns
    assert (report.files, report.directories, report.symlinks) == (8, 4, 2)
    assert report.bytes == sum((5, len(LARGE), 10, 8, 6, 1))
    assert (report.unchanged, report.skipped, report.failures) == (0, 0, ())


def test_export_tree_at_every_chunk_size_gives_the_bytes(vfs: Vfs, out: Path) -> None:
    for size in (0, 1, 2, 63, 64, 65, 9000, 66_000):
        if size > 4000 * vfs.chunk_size:
            continue
        vfs.write_bytes(f"/{size}", bytes(range(250)) * (size // 250 + 1))
        vfs.truncate(f"/{size}", size)

    vfs.export_tree("/", out)

    assert difference(host_tree(out), vfs_tree(vfs)) == {}


def test_export_tree_of_layers_gives_the_merged_view(
    make_vfs: Any, tmp_path: Path, out: Path
) -> None:
    host = tmp_path / "base"
    (host / "dir").mkdir(parents=True)
    (host / "dir/kept").write_bytes(LARGE)
    (host / "dir/gone").write_text("gone")
    below, vfs = make_vfs(), make_vfs()
    below.write_text("/dir/changed", "old")
    below.write_text("/dir/small", "small")
    vfs.add_underlay(host)
    vfs.add_underlay(below, 1)
    vfs.remove("/dir/gone")
    vfs.write_text("/dir/changed", "new")

    vfs.export_tree("/", out)

    assert difference(host_tree(out), vfs_tree(vfs)) == {}
    assert {*texts(out)} == {"dir", "dir/kept", "dir/changed", "dir/small"}


def test_export_tree_of_holes_takes_no_room(mem: Vfs, out: Path) -> None:
    with mem.open("/sparse", "wb") as file:
        file.seek(40 << 20)
        file.write(b"x")
        file.truncate(80 << 20)

    mem.export_tree("/", out)

    status = (out / "sparse").stat()
    assert status.st_size == 80 << 20
    assert status.st_blocks * 512 < 1 << 20
    with open(out / "sparse", "rb") as exported:
        exported.seek(40 << 20)
        assert exported.read(2) == b"x\0"


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="the host has none")
def test_export_tree_gives_own_attributes_alone(
    mem: Vfs, tmp_path: Path, out: Path
) -> None:
    if not takes_xattrs(tmp_path):
        pytest.skip("this file system of the host has none")
    mem.mkdir("/dir")
    mem.write_text("/dir/a", "a")
    for path in ("/dir", "/dir/a"):
        mem.setxattr(path, "user.mine", path.encode())
        mem.setxattr(path, "trusted.not", b"1")

    mem.export_tree("/", out)

    assert [os.listxattr(out / path) for path in ("dir", "dir/a")] == [
        ["user.mine"]
    ] * 2
    assert os.getxattr(out / "dir/a", "user.mine") == b"/dir/a"


def test_export_tree_of_a_deep_tree_needs_few_descriptors(mem: Vfs, out: Path) -> None:
    deep = "/d" * 300
    mem.makedirs(deep)
    mem.write_text(f"{deep}/leaf", "leaf")
    for above in (100, 200):  # what comes after what is deeper
        mem.write_text("/d" * above + "/z", "z")
    opened = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self") else 0
    most = 0

    def look(_: Progress) -> None:
        nonlocal most
        most = max(most, len(os.listdir("/proc/self/fd")) - opened if opened else 0)

    report = mem.export_tree("/", out, progress=look)

    assert (report.files, report.directories) == (3, 300)
    assert (out / ("d/" * 300 + "leaf")).read_text() == "leaf"
    assert (out / ("d/" * 200 + "z")).read_text() == "z"
    assert most < 80
    if opened:
        assert len(os.listdir("/proc/self/fd")) == opened


# --- what is chosen -------------------------------------------------------------------


def test_export_tree_of_included_makes_only_directories_that_hold_some(
    full: Vfs, out: Path
) -> None:
    report = full.export_tree("/top", out, include="*.txt", exclude=["shut/", "v*"])

    assert texts(out) == {
        "a.txt": b"hello",
        "sub": None,
        "sub/deep": None,
        "sub/deep/b.txt": b"b",
    }
    assert (report.files, report.directories) == (2, 2)


def test_export_tree_follows_links_when_asked(full: Vfs, out: Path) -> None:
    full.remove("/top/nowhere")
    full.symlink("sub/deep", "/top/to")

    report = full.export_tree("/top", out, follow_symlinks=True)

    assert texts(out)["link"] == b"hello"
    assert texts(out)["to/b.txt"] == b"b"
    assert report.symlinks == 0


@pytest.mark.parametrize(
    ("target", "code"),
    [("nowhere", errno.ENOENT), ("self", errno.ELOOP), ("../d", errno.ELOOP)],
)
def test_export_tree_following_a_link_that_leads_nowhere_names_it(
    mem: Vfs, out: Path, target: str, code: int
) -> None:
    mem.write_text("/d/z", "z")
    mem.symlink(target, "/d/self")

    with pytest.raises(OSError, match="self") as caught:
        mem.export_tree("/", out, follow_symlinks=True)
    report = mem.export_tree(
        "/", out, follow_symlinks=True, errors="skip", on_conflict="skip"
    )

    assert (caught.value.errno, caught.value.filename) == (code, "/d/self")
    assert texts(out) == {"d": None, "d/z": b"z"}
    (failure,) = report.failures
    assert (failure[0], failure[1].errno) == ("/d/self", code)


@pytest.mark.parametrize(
    ("path", "code"), [("/none", errno.ENOENT), ("/top/a.txt", errno.ENOTDIR)]
)
def test_export_tree_of_no_directory_is_refused_and_makes_nothing(
    full: Vfs, out: Path, path: str, code: int
) -> None:
    with pytest.raises(OSError, match=path) as caught:
        full.export_tree(path, out)

    assert (caught.value.errno, caught.value.filename) == (code, path)
    assert not os.path.lexists(out)


# --- where it goes --------------------------------------------------------------------


def test_export_tree_makes_the_parents_of_its_target(full: Vfs, out: Path) -> None:
    full.export_tree("/top/sub", out / "a/b")

    assert (out / "a/b/deep/b.txt").read_text() == "b"


def test_export_tree_into_what_a_link_leads_to(full: Vfs, out: Path) -> None:
    (out.parent / "real").mkdir(mode=0o711)
    before = (out.parent / "real").stat().st_mode
    out.symlink_to("real")

    full.export_tree("/top/sub", out)

    assert (out.parent / "real/deep/b.txt").read_text() == "b"
    assert out.is_symlink()
    assert (out.parent / "real").stat().st_mode == before


def test_export_tree_into_a_file_is_refused(full: Vfs, out: Path) -> None:
    out.write_text("a file")

    with pytest.raises(NotADirectoryError) as caught:
        full.export_tree("/top", out)

    assert caught.value.filename == str(out)
    assert out.read_text() == "a file"


# --- what is kept ---------------------------------------------------------------------


@pytest.fixture
def strict_umask() -> Iterator[int]:
    before = os.umask(0o077)
    yield 0o077
    os.umask(before)


def modes(top: Path) -> dict[str, str]:
    return {name: f"{stat.S_IMODE(os.lstat(top / name).st_mode):o}" for name in "df"}


@pytest.mark.parametrize(
    ("preserve", "expected"),
    [
        ((), {"d": "700", "f": "600"}),
        (("mode",), {"d": "775", "f": "755"}),
        (("mode", "ownership"), {"d": "3775", "f": "6755"}),
    ],
)
@pytest.mark.usefixtures("strict_umask")
def test_export_tree_keeps_the_mode_that_is_preserved(
    mem: Vfs, out: Path, preserve: tuple[str, ...], expected: dict[str, str]
) -> None:
    mem.mkdir("/d")
    mem.touch("/f")
    mem.chmod("/d", 0o3775)
    mem.chmod("/f", 0o6755)
    for path in ("/d", "/f"):
        mem.chown(path, os.getuid(), os.getgid())

    mem.export_tree("/", out, preserve=preserve)

    assert modes(out) == expected


def test_export_tree_keeps_owners_that_are_preserved_where_it_may(
    mem: Vfs, out: Path, tmp_path: Path
) -> None:
    try:
        os.chown(tmp_path, 12345, -1)
    except (AttributeError, PermissionError):
        pytest.skip("this user of the host may not give files away")
    for name in ("a", "b"):
        mem.write_text(f"/{name}", name)
        mem.chown(f"/{name}", 12345, 54321)
    mem.symlink("a", "/l")
    mem.chown("/b", "root", "root")

    mem.export_tree("/", out, preserve="all")

    owners = {name: os.lstat(out / name)[4:6] for name in "abl"}
    assert owners == {"a": (12345, 54321), "b": (0, 0), "l": (0, 0)}


def test_export_tree_without_times_makes_new_files(mem: Vfs, out: Path) -> None:
    mem.write_text("/a", "a")
    mem.utime("/a", ns=(0, 0))
    out.mkdir()

    mem.export_tree("/", out, preserve=())

    assert (out / "a").stat().st_mtime_ns >= out.stat().st_ctime_ns - 10**9


def test_export_tree_without_links_makes_copies(full: Vfs, out: Path) -> None:
    report = full.export_tree("/top", out, preserve=["mode"])

    assert not os.path.samefile(out / "same", out / "sub/same")
    assert (out / "sub/same").read_text() == "one file"
    assert report.files == 8


def test_export_tree_of_a_time_the_host_cannot_hold_is_refused(
    mem: Vfs, out: Path
) -> None:
    mem.write_text("/a", "a")
    year_1700 = -8_520_336_000_000_000_000
    mem.utime("/a", ns=(0, year_1700))
    probe = out.parent / "probe"
    probe.touch()
    os.utime(probe, ns=(0, year_1700))
    if probe.stat().st_mtime_ns == year_1700:
        pytest.skip("this file system of the host holds it")

    with pytest.raises(OSError, match="preserve=") as caught:
        mem.export_tree("/", out)

    assert caught.value.errno == errno.EOVERFLOW
    assert caught.value.filename == str(out / "a")
    assert texts(out) == {}


@pytest.mark.parametrize("ns", [-1, -NANO // 10, 3_000_000_000_000_000_000])
def test_export_tree_keeps_times_before_1970_and_after_2038(
    mem: Vfs, out: Path, ns: int
) -> None:
    mem.write_text("/a", "a")
    mem.utime("/a", ns=(ns, ns))

    mem.export_tree("/", out)

    assert (out / "a").stat().st_mtime_ns == ns


# --- what goes wrong ------------------------------------------------------------------


def test_export_tree_tells_how_much_was_exported_before_an_error(
    mem: Vfs, out: Path
) -> None:
    for name in "abc":
        mem.write_text(f"/d/{name}", name)
    (out / "d").mkdir(parents=True)
    (out / "d/c").write_text("other")

    with pytest.raises(FileExistsError) as caught:
        mem.export_tree("/", out)

    assert caught.value.__notes__ == [
        "exported before it: 2 files, 0 directories, 0 symbolic links"
    ]
    assert texts(out) == {"d": None, "d/a": b"a", "d/b": b"b", "d/c": b"other"}


def test_export_tree_skipping_failures_lists_them_and_goes_on(
    mem: Vfs, out: Path
) -> None:
    mem.write_text("/a", "a")
    mem.touch("/b")
    mem.truncate("/b", 1 << 61)  # larger than any file of the host
    mem.write_text("/c", "c")

    report = mem.export_tree("/", out, errors="skip")

    assert texts(out) == {"a": b"a", "c": b"c"}
    assert report.files == 2
    ((path, error),) = report.failures
    assert (path, error.errno) == ("/b", errno.EFBIG)
    assert error.filename == str(out / "b")


@pytest.mark.parametrize("half", ["new", "old"])
def test_export_tree_that_is_interrupted_leaves_nothing_half(
    mem: Vfs, out: Path, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    monkeypatch.setattr("stratavfs._progress.INTERVAL", 0)
    mem.write_bytes("/a", b"a")
    mem.write_bytes(f"/{half}", bytes(range(256)) * (3 << 12))
    (out / "shut").mkdir(parents=True)
    (out / "old").write_text("old")

    def interrupt(step: Progress) -> None:
        if step.path == f"/{half}":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        mem.export_tree("/", out, on_conflict="replace", progress=interrupt)

    assert texts(out) == {"a": b"a", "old": b"old", "shut": None}
    assert caught.value.__notes__ == [
        "exported before it: 1 files, 0 directories, 0 symbolic links"
    ]


def test_export_tree_tells_of_its_progress(full: Vfs, out: Path) -> None:
    steps: list[Progress] = []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stratavfs._progress.INTERVAL", 0)
        full.export_tree("/top", out, progress=steps.append)

    done = [step.done for step in steps]
    assert done == sorted(done)
    assert steps[-1].done == steps[-1].total == 15
    assert steps[-1].bytes == sum((5, len(LARGE), 10, 8, 6, 1))
    assert {"/top/a.txt", "/top/sub/deep"} <= {step.path for step in steps}


@pytest.mark.parametrize(
    "wrong",
    [{"on_conflict": "x"}, {"preserve": ["x"]}, {"errors": "x"}, {"include": ""}],
)
def test_export_tree_with_a_wrong_argument_is_refused_and_makes_nothing(
    full: Vfs, out: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument):
        full.export_tree("/top", out, **wrong)

    assert not out.exists()


@pytest.mark.slow
def test_export_tree_of_many_files_is_complete(mem: Vfs, out: Path) -> None:
    with mem.atomic_batch():
        for number in range(3000):
            mem.write_text(f"/{number % 7}/{number % 11}/{number}", str(number))

    report = mem.export_tree("/", out)

    assert report.files == 3000
    assert difference(host_tree(out), vfs_tree(mem)) == {}
