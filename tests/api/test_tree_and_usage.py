"""A tree as a whole: drawn, and added up."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs import InvalidArgument, InvalidType, Usage, VirtualFileSystem

if TYPE_CHECKING:
    from pathlib import Path


def one_layer(make_vfs: Any) -> VirtualFileSystem:
    vfs: VirtualFileSystem = make_vfs(chunk_size=64)
    vfs.write_bytes("/lib/b.py", bytes(300))
    vfs.write_bytes("/lib/deep/c.txt", b"12345")
    vfs.write_bytes("/a.txt", b"1")
    vfs.symlink("lib", "/to-lib")
    vfs.symlink("nowhere", "/lib/deep/broken")
    vfs.mkdir("/empty")
    vfs.link("/a.txt", "/lib/hard")
    return vfs


def two_layers(make_vfs: Any) -> VirtualFileSystem:
    """Return the same, half of it from a base of which something is hidden."""
    base: VirtualFileSystem = make_vfs(chunk_size=64)
    vfs: VirtualFileSystem = make_vfs(chunk_size=64)
    base.write_bytes("/lib/b.py", bytes(300))
    base.write_bytes("/lib/deep/c.txt", b"will be covered")
    base.write_bytes("/lib/gone", bytes(5000))
    base.write_bytes("/empty/gone", b"x")
    base.write_bytes("/a.txt", b"1")
    base.link("/a.txt", "/lib/hard")
    base.symlink("nowhere", "/lib/deep/broken")
    vfs.add_underlay(base, name="base")
    vfs.remove("/lib/gone")
    vfs.rmtree("/empty")
    vfs.mkdir("/empty")
    vfs.write_bytes("/lib/deep/c.txt", b"12345")
    vfs.symlink("lib", "/to-lib")
    return vfs


def mounted(make_vfs: Any) -> VirtualFileSystem:
    """Return the same with /lib/deep from another layer."""
    vfs = one_layer(make_vfs)
    vfs.rmtree("/lib/deep")
    base: VirtualFileSystem = make_vfs()
    base.write_bytes("/c.txt", b"12345")
    base.symlink("nowhere", "/broken")
    vfs.add_underlay(base, name="base", at="/lib/deep")
    return vfs


@pytest.fixture(params=[one_layer, two_layers, mounted])
def filled(request: pytest.FixtureRequest, make_vfs: Any) -> VirtualFileSystem:
    vfs: VirtualFileSystem = request.param(make_vfs)
    return vfs


# --- drawn ----------------------------------------------------------------------------

WHOLE = """\
/
├── a.txt
├── empty
├── lib
│   ├── b.py
│   ├── deep
│   │   ├── broken -> nowhere
│   │   └── c.txt
│   └── hard
└── to-lib -> lib

4 directories, 5 files"""

PART = """\
/to-lib
├── b.py
├── deep
└── hard

1 directory, 2 files"""


def test_tree_draws_all_and_counts(filled: VirtualFileSystem) -> None:
    assert filled.tree() == WHOLE


def test_tree_of_depth_through_a_link_ends_there(filled: VirtualFileSystem) -> None:
    assert filled.tree("/to-lib", max_depth=1) == PART
    assert filled.tree("/", max_depth=3) == filled.tree()
    assert filled.tree("empty") == "/empty\n\n0 directories, 0 files"


def test_tree_shows_strange_names_so_that_they_do_nothing(
    mem: VirtualFileSystem,
) -> None:
    mem.write_text("/a\nb\\c\t\x1b[2J\x7f\x9b", "x")
    mem.symlink("x\r\ay", "/b")
    mem.mkdir("/\u202egpj.exe\u2028")
    mem.touch("/Grüße ☃ 👩\u200d🚀 日本\u3000語")

    lines = mem.tree().splitlines()

    assert lines == [
        "/",
        "├── Grüße ☃ 👩\u200d🚀 日本\u3000語",
        r"├── a\nb\\c\t\033[2J\177\u009b",
        r"├── b -> x\r\ay",
        r"└── \u202egpj.exe\u2028",
        "",
        "1 directory, 3 files",
    ]
    assert mem.tree("/\u202egpj.exe\u2028").splitlines()[0] == r"/\u202egpj.exe\u2028"


def test_tree_and_disk_usage_of_a_deep_tree_need_no_deep_stack(
    mem: VirtualFileSystem,
) -> None:
    mem.makedirs("/d" * 1200)

    assert mem.tree().endswith("    └── d\n\n1200 directories, 0 files")
    assert mem.disk_usage() == Usage(0, 1201, 0, 0)


@pytest.mark.parametrize(
    ("path", "code"),
    [("/missing", errno.ENOENT), ("/f", errno.ENOTDIR), ("/f/x", errno.ENOTDIR)],
)
def test_tree_of_no_directory_is_refused(
    mem: VirtualFileSystem, path: str, code: int
) -> None:
    mem.touch("/f")

    with pytest.raises(OSError, match=path) as caught:
        mem.tree(path)

    assert (caught.value.errno, caught.value.filename) == (code, path)


@pytest.mark.parametrize(
    ("depth", "error"),
    [
        (0, InvalidArgument),
        (-1, InvalidArgument),
        (1.5, InvalidType),
        ("1", InvalidType),
    ],
)
def test_tree_of_impossible_depth_is_refused(
    mem: VirtualFileSystem, depth: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="max_depth"):
        mem.tree(max_depth=depth)


# --- added up -------------------------------------------------------------------------


def test_disk_usage_counts_a_file_of_several_names_once(
    filled: VirtualFileSystem,
) -> None:
    assert filled.disk_usage() == Usage(files=3, directories=4, symlinks=2, bytes=306)
    assert filled.disk_usage("/lib") == Usage(3, 2, 1, 306)
    assert filled.disk_usage("/empty") == Usage(0, 1, 0, 0)


def test_disk_usage_of_files_of_one_number_in_two_layers_counts_both(
    make_vfs: Any,
) -> None:
    base: VirtualFileSystem = make_vfs()
    vfs: VirtualFileSystem = make_vfs()
    for layer, name in ((base, "b"), (vfs, "a")):
        layer.write_bytes(f"/{name}", b"12345")
        layer.link(f"/{name}", f"/{name}2")
    vfs.add_underlay(base)
    numbers = {vfs.stat(name).st_ino for name in vfs.listdir("/")}

    assert len(numbers) == 1
    assert vfs.disk_usage() == Usage(files=2, directories=1, symlinks=0, bytes=10)


def test_disk_usage_follows_the_link_it_is_given(filled: VirtualFileSystem) -> None:
    assert filled.disk_usage("/to-lib") == filled.disk_usage("/lib")
    assert filled.disk_usage("/to-lib/b.py") == Usage(1, 0, 0, 300)


def test_disk_usage_counts_holes(mem: VirtualFileSystem) -> None:
    mem.touch("/sparse")
    mem.truncate("/sparse", 1 << 40)

    assert mem.disk_usage().bytes == 1 << 40


def test_disk_usage_within_a_batch_sees_what_is_in_it(mem: VirtualFileSystem) -> None:
    with mem.atomic_batch():
        mem.write_bytes("/d/f", b"123")

        assert mem.disk_usage("/d") == Usage(1, 1, 0, 3)


def test_disk_usage_of_nothing_is_not_found(mem: VirtualFileSystem) -> None:
    mem.symlink("nowhere", "/broken")

    for path in ("/missing", "/broken"):
        with pytest.raises(FileNotFoundError) as caught:
            mem.disk_usage(path)
        assert caught.value.filename == path


@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("du"),
    reason="compares with the command",
)
def test_disk_usage_agrees_with_du_on_the_disk(
    filled: VirtualFileSystem, tmp_path: Path
) -> None:
    filled.export_tree("/", tmp_path / "disk")
    files = [p for p in (tmp_path / "disk").rglob("*") if p.is_file()]
    total = subprocess.run(
        ["du", "--apparent-size", "-bc", "--files0-from=-"],
        input=b"\0".join(map(bytes, files)),
        capture_output=True,
        check=True,
    ).stdout.splitlines()[-1]

    assert filled.disk_usage().bytes == int(total.split()[0])


@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("tree"),
    reason="compares with the command",
)
def test_tree_agrees_with_tree_on_the_disk(
    filled: VirtualFileSystem, tmp_path: Path
) -> None:
    filled.export_tree("/", tmp_path / "disk")
    run = subprocess.run(
        ["tree", "-a", "--noreport", "--charset=utf-8", "."],
        cwd=tmp_path / "disk",
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
    )
    theirs = run.stdout.decode().replace("\xa0", " ").strip().splitlines()

    assert re.sub(r"\n\n.*", "", filled.tree()).splitlines()[1:] == theirs[1:]
