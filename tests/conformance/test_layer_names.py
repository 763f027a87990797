"""Names of any alphabet go through every kind of underlay, up, away and elsewhere."""

from __future__ import annotations

import errno
import sys
import unicodedata
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.grafting import below_root, seen
from tests.conformance.test_names import NAMES as ODD
from tests.conformance.test_names import literal, names

from stratavfs import VirtualFileSystem
from stratavfs.layers import DirectoryLayer, ZipLayer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[[list[str], Path], Any]

NFC, NFD = (unicodedata.normalize(form, "Å é") for form in ("NFC", "NFD"))

NAMES = [
    *ODD,
    NFC,
    NFD,
    "日本語",
    "Ελληνικά",
    "кириллица",
    "हिन्दी",
    "العربية",
    "İıßẞ",
    "%s%d%%",
    "a%00b",
    "__",
    "*[]?",
    "entry'--\"",
    "日" * 85,
]


BESIDE = "\x02"  # what no name drawn is called


def content_of(path: str) -> bytes:
    return path.encode() * 20


def paths_of(chosen: list[str]) -> list[str]:
    """Return a file called by each name, in a directory called so, and one beside."""
    return [
        path for name in chosen for path in (f"/{name}/{name}", f"/{name}/{BESIDE}")
    ]


def in_container(chosen: list[str], _: Path) -> VirtualFileSystem:
    vfs = VirtualFileSystem(chunk_size=64)
    for path in paths_of(chosen):
        vfs.write_bytes(path, content_of(path))
    return vfs


def at_path(chosen: list[str], place: Path) -> str:
    location = place / "base ?#%.db"
    with VirtualFileSystem(location) as vfs:
        for path in paths_of(chosen):
            vfs.write_bytes(path, content_of(path))
    return str(location)


def in_directory(chosen: list[str], place: Path) -> DirectoryLayer:
    for path in paths_of(chosen):
        (place / "host" / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (place / "host" / path[1:]).write_bytes(content_of(path))
    return DirectoryLayer(place / "host")


def in_zip(chosen: list[str], place: Path) -> ZipLayer:
    with zipfile.ZipFile(place / "mod.zip", "w") as archive:
        for path in paths_of(chosen):
            archive.writestr(path[1:], content_of(path))
    return ZipLayer(place / "mod.zip")


KINDS: dict[str, Make] = {
    "container": in_container,
    "path": at_path,
    "directory": in_directory,
    "zip": in_zip,
}

hosts_any_name = pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="the host refuses or changes names"
)
kinds = [
    pytest.param(kind, marks=[hosts_any_name] if kind == "directory" else [])
    for kind in KINDS
]


def close(layer: Any) -> None:
    if hasattr(layer, "close"):
        layer.close()


def assert_all_there(
    vfs: VirtualFileSystem, chosen: list[str], above: str = ""
) -> None:
    """All files are there with their bytes, and nothing else is."""
    there = {path for path in vfs.glob("/**/*") if vfs.isfile(path)}
    assert there == {above + path for path in paths_of(chosen)}
    for path in paths_of(chosen):
        assert vfs.read_bytes(above + path) == content_of(path)


def go_through_the_stack(vfs: VirtualFileSystem, chosen: list[str], name: str) -> None:
    """Look at, change, remove and move what is called *name*; the rest stays."""
    others = [other for other in chosen if other != name]
    directory, file, beside = f"/{name}", f"/{name}/{name}", f"/{name}/{BESIDE}"

    assert vfs.which_layer(file) == vfs.stat(file).source_layer == "base"
    assert vfs.explain(file).path == file
    assert vfs.listdir(directory) == sorted([name, BESIDE])
    assert vfs.glob(f"/{literal(name)}/{literal(name)}") == [file]

    with vfs.open(file, "ab") as opened:  # copy-up
        opened.write(b"+")
    assert vfs.read_bytes(file) == content_of(file) + b"+"
    assert (vfs.which_layer(file), vfs.which_layer(beside)) == ("local", "base")
    assert [*map(str, vfs.diff())] == [f"modified {file}"]
    assert [conflict.path for conflict in vfs.conflicts()] == [file]

    vfs.remove(file)  # a whiteout
    assert vfs.listdir(directory) == [BESIDE]
    assert vfs.which_layer(file) is None
    vfs.revert(file)
    assert vfs.read_bytes(file) == content_of(file)

    vfs.rename(directory, "/!")
    assert vfs.read_bytes(f"/!/{name}") == content_of(file)
    assert vfs.read_bytes(f"/!/{BESIDE}") == content_of(beside)
    vfs.rename("/!", directory)
    assert_all_there(vfs, chosen)

    vfs.rmtree(directory)
    assert_all_there(vfs, others)
    vfs.mkdir(directory)  # an opaque directory
    assert vfs.listdir(directory) == []
    vfs.revert(directory)
    assert_all_there(vfs, chosen)
    vfs.revert("/")
    assert vfs.diff() == []


@pytest.mark.parametrize("kind", kinds)
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_use_an_odd_name_of_an_underlay_works(
    mem: VirtualFileSystem, tmp_path: Path, kind: str, name: str
) -> None:
    layer = KINDS[kind]([name, "other"], tmp_path)
    mem.add_underlay(layer, name="base")

    go_through_the_stack(mem, [name, "other"], name)

    mem.remove_underlay("base")
    close(layer)


@pytest.mark.parametrize("kind", kinds)
def test_many_odd_names_of_an_underlay_stay_apart(
    mem: VirtualFileSystem, tmp_path: Path, kind: str
) -> None:
    layer = KINDS[kind](NAMES, tmp_path)
    mem.add_underlay(layer, name="base")

    assert_all_there(mem, NAMES)
    for name in (NFC, "%", "_", "*", "[", "\n"):
        go_through_the_stack(mem, NAMES, name)

    mem.remove_underlay("base")
    close(layer)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.sets(st.one_of(names, st.sampled_from(NAMES)), min_size=2, max_size=5))
def test_use_any_names_of_a_container_works(tmp_path: Path, chosen: set[str]) -> None:
    ordered = sorted(chosen - {"!"}) or ["a"]
    with in_container(ordered, tmp_path) as base, VirtualFileSystem() as vfs:
        vfs.add_underlay(base, name="base")

        for name in ordered:
            go_through_the_stack(vfs, ordered, name)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_mount_at_an_odd_name_works(mem: VirtualFileSystem, name: str) -> None:
    with in_container(["d"], mem) as base:  # type: ignore[arg-type]
        assert mem.add_underlay(base, name=name, at=f"/{name}/{name}") == name

        assert mem.list_layers()[1]["at"] == f"/{name}/{name}"
        assert_all_there(mem, ["d"], f"/{name}/{name}")
        assert mem.which_layer(f"/{name}/{name}/d/d") == name
        assert mem.listdir("/") == mem.listdir(f"/{name}") == [name]
        mem.rmtree(f"/{name}/{name}/d")
        assert mem.listdir(f"/{name}/{name}") == []
        assert mem.remove_underlay(name)


def test_two_forms_of_one_name_are_two(mem: VirtualFileSystem, make_vfs: Any) -> None:
    upper, lower = make_vfs(), make_vfs()
    upper.write_text(f"/{NFC}", "composed")
    lower.write_text(f"/{NFD}", "decomposed")
    mem.add_underlay(upper, 1)
    mem.add_underlay(lower, 0)

    assert mem.listdir() == sorted([NFC, NFD])
    assert mem.conflicts() == []
    mem.remove(f"/{NFC}")
    assert mem.read_text(f"/{NFD}") == "decomposed"
    assert not mem.exists(f"/{NFC}")


@pytest.mark.parametrize("kind", kinds)
def test_grafts_of_odd_names_keep_them(
    make_vfs: Any, tmp_path: Path, kind: str
) -> None:
    layer = KINDS[kind](NAMES, tmp_path)
    vfs, flat, copy = make_vfs(), make_vfs(chunk_size=64), make_vfs()
    vfs.add_underlay(layer, name="base")
    seen(vfs)  # the host notes that its files were read, once
    vfs.flatten(copy)
    for number, name in enumerate(NAMES):
        verb = (vfs.remove, vfs.touch, vfs.listxattr)[number % 3]
        verb(f"/{name}/{name}")
        vfs.symlink(name, f"/{name}/\x03")

    vfs.flatten(flat)
    vfs.apply_to(copy)

    assert seen(flat) == seen(vfs)
    assert below_root(seen(copy)) == below_root(seen(vfs))
    vfs.remove_underlay("base")
    close(layer)


def test_rename_a_directory_of_an_underlay_too_deep_is_refused_whole(
    mem: VirtualFileSystem, tmp_path: Path
) -> None:
    name = "é" * 127 + "x"
    layer = in_zip([name], tmp_path)
    mem.add_underlay(layer, name="base")
    deep = "/d" * 1950

    with pytest.raises(OSError) as caught:
        mem.rename(f"/{name}", deep)

    assert (caught.value.errno, caught.value.filename) == (
        errno.ENAMETOOLONG,
        f"/{name}",
    )
    assert mem.listdir("/") == [name]
    assert mem.which_layer(f"/{name}") == "base"
    mem.remove_underlay("base")
    layer.close()
