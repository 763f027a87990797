"""Sent to other processes: by every start method, in a pool, and by an executor.

With fork a child has the very instance of its parent, with the others one that was
pickled: its path, its options and its underlays. What is pickled, and what is not, is
in ``tests/api/test_pickling.py``.
"""

from __future__ import annotations

import multiprocessing
import zipfile
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.children import LONG, assert_sound, count, make_container

from stratavfs import VirtualFileSystem
from stratavfs.layers import DirectoryLayer

if TYPE_CHECKING:
    from pathlib import Path

METHODS = multiprocessing.get_all_start_methods()

pytestmark = [
    pytest.mark.slow,
    # From Python 3.12 on where threads are alive, as an executor's are.
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

inherited: list[VirtualFileSystem] = []


def keep(vfs: VirtualFileSystem) -> None:
    """Have *vfs* in this worker, as the initializer of a pool."""
    inherited.append(vfs)


def use(vfs: VirtualFileSystem, name: str) -> None:
    """Do in the child what leaves a trace of each kind."""
    vfs.write_text(f"/{name}", vfs.read_text("/old"))
    with vfs.open(f"/{name}", "a") as file:
        file.write(" and new")
    count(vfs, 20)


def count_kept(name: str) -> str:
    (vfs,) = inherited
    count(vfs, 5)
    return vfs.read_text("/old") + name


def describe(vfs: VirtualFileSystem) -> dict[str, Any]:
    """Return what must be the same in the child."""
    layers = [
        {key: it[key] for key in ("name", "priority", "kind", "at", "db_path")}
        for it in vfs.list_layers()
    ]
    return {
        "layers": layers,
        "chunk size": vfs.chunk_size,
        "read-only": vfs.read_only,
        "options": vfs._store.options._replace(clock=None),  # type: ignore[arg-type]
        "tree": vfs.glob("/**/*"),
        "contents": [vfs.read_bytes(it) for it in vfs.glob("/**/*") if vfs.isfile(it)],
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_container(tmp_path / "c.db")


@pytest.mark.parametrize("method", METHODS)
def test_processes_use_the_file_system_they_are_given(
    path: Path, make_vfs: Any, method: str
) -> None:
    vfs = make_vfs(path, timeout=LONG)
    context: Any = multiprocessing.get_context(method)
    children = [context.Process(target=use, args=(vfs, name)) for name in ("a", "b")]

    for child in children:
        child.start()
    count(vfs, 20)
    for child in children:
        child.join(LONG)

    assert [child.exitcode for child in children] == [0, 0]
    assert vfs.read_text("/count") == "60"
    assert vfs.read_text("/a") == vfs.read_text("/b") == "old and new"
    assert_sound(path, "a", "b")


@pytest.mark.parametrize("method", METHODS)
def test_workers_of_a_pool_share_a_file_system(
    path: Path, make_vfs: Any, method: str
) -> None:
    vfs = make_vfs(path, timeout=LONG)
    context = multiprocessing.get_context(method)

    with context.Pool(2, keep, (vfs,)) as pool:
        found = pool.map(count_kept, "abcdefgh")
        pool.close()
        pool.join()

    assert found == [f"old{name}" for name in "abcdefgh"]
    assert vfs.read_text("/count") == "40"
    assert_sound(path)


@pytest.mark.parametrize("method", METHODS)
def test_tasks_of_an_executor_use_the_file_system_they_are_given(
    path: Path, make_vfs: Any, method: str
) -> None:
    vfs = make_vfs(path, timeout=LONG)
    context = multiprocessing.get_context(method)
    names = ["a", "b", "c", "d"]

    with ProcessPoolExecutor(2, mp_context=context) as executor:
        tasks = [executor.submit(use, vfs, name) for name in names]
        count(vfs, 20)
        for task in tasks:
            task.result(LONG)

    assert vfs.read_text("/count") == "100"
    assert_sound(path, *names)


@pytest.mark.parametrize("method", METHODS)
def test_options_and_layers_are_the_same_in_the_child(
    path: Path, tmp_path: Path, make_vfs: Any, method: str
) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "file").write_text("of the host")
    with zipfile.ZipFile(tmp_path / "layer.zip", "w") as archive:
        archive.writestr("member", "of the archive")
    for name in ("base", "patch"):
        with VirtualFileSystem(tmp_path / f"{name}.db", 100) as layer:
            layer.write_text("/both", name)
            layer.write_text(f"/of-{name}", name)
    patch = make_vfs(tmp_path / "patch.db", immutable=True)
    vfs = make_vfs(path, 64, True, timeout=1.5, create_parents=False)
    vfs.add_underlay(tmp_path / "base.db", 1, "base")
    vfs.add_underlay(patch, 1, "patch")
    vfs.add_underlay(tmp_path / "layer.zip", -2, "zip", at="/in/zip")
    vfs.add_underlay(DirectoryLayer(tmp_path / "host"), name="host", at="/in/host")
    vfs.set_priority("patch", 7)
    context = multiprocessing.get_context(method)

    with context.Pool(1) as pool:
        found = pool.apply(describe, (vfs,))

    assert found == describe(vfs)
    assert found["layers"][1]["name"] == "patch"
    assert b"of the archive" in found["contents"]
