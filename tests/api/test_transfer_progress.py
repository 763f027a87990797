"""progress=: what a long call tells, how often, and what comes of raising in it."""

from __future__ import annotations

import io
import itertools
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.faults.test_transfer_faults import (
    IMPORTS,
    LARGE,
    fill,
    make_archives,
    make_source,
)

from stratavfs import InvalidType, VirtualFileSystem, _progress
from stratavfs.records import Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Vfs = VirtualFileSystem

FILES = 40


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Forty files of ten bytes in two directories."""
    top = tmp_path / "source"
    for name in ("one", "two"):
        (top / name).mkdir(parents=True)
        for number in range(FILES // 2):
            (top / name / f"{number:02}").write_bytes(bytes(10))
    return top


@pytest.fixture
def filled(mem: Vfs, source: Path) -> Vfs:
    """The same forty files in a container."""
    mem.import_tree(source)
    return mem


@pytest.fixture
def at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every step be told, and not ten a second."""
    monkeypatch.setattr(_progress, "INTERVAL", 0)


def import_tree(vfs: Vfs, source: Path, tell: Any) -> object:
    return vfs.import_tree(source, "/again", progress=tell)


def export_tree(vfs: Vfs, source: Path, tell: Any) -> object:
    return vfs.export_tree("/", source.parent / "out", progress=tell)


def export_tar(vfs: Vfs, source: Path, tell: Any) -> object:
    return vfs.export_archive("/", io.BytesIO(), "tar", progress=tell)


def import_zip(vfs: Vfs, source: Path, tell: Any) -> object:
    archive = source.parent / "all.zip"
    if not archive.exists():
        vfs.export_archive("/", archive)
    return vfs.import_archive(archive, "/again", progress=tell)


def export_sqlar(vfs: Vfs, source: Path, tell: Any) -> object:
    return vfs.export_sqlar(source.parent / "all.sqlar", progress=tell)


CALLS: dict[str, Callable[[Vfs, Path, Any], object]] = {
    "import_tree": import_tree,
    "export_tree": export_tree,
    "export_archive": export_tar,
    "import_archive": import_zip,
    "export_sqlar": export_sqlar,
}


@pytest.mark.usefixtures("at_each_step")
@pytest.mark.parametrize("name", CALLS)
def test_progress_rises_to_the_end(filled: Vfs, source: Path, name: str) -> None:
    told: list[Progress] = []

    CALLS[name](filled, source, told.append)

    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert [p.bytes for p in told] == sorted(p.bytes for p in told)
    assert all(0 <= p.done <= p.total for p in told)
    assert all(isinstance(p, Progress) for p in told)
    assert told[-1].done == told[-1].total >= FILES
    assert told[-1].bytes == FILES * 10
    assert len(told) > FILES


@pytest.mark.parametrize("name", CALLS)
def test_progress_is_told_at_the_first_step_and_at_the_end_and_seldom_between(
    filled: Vfs, source: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(10**6))  # each look at the clock is a hundredth of a second
    clock = SimpleNamespace(monotonic=lambda: next(now) / 100)
    monkeypatch.setattr(_progress, "time", clock)
    told: list[Progress] = []

    CALLS[name](filled, source, told.append)

    looks = next(now)
    assert 3 <= len(told) <= looks / 10 + 2
    assert told[0].done <= 1
    assert told[-1].done == told[-1].total


@pytest.mark.parametrize("name", CALLS)
def test_progress_of_a_container_without_anything_is_told_once_at_least(
    mem: Vfs, tmp_path: Path, name: str
) -> None:
    (tmp_path / "source").mkdir()
    told: list[Progress] = []

    CALLS[name](mem, tmp_path / "source", told.append)

    assert told
    assert told[-1].bytes == 0


@pytest.mark.usefixtures("at_each_step")
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("nth", "kind"), [(1, ZeroDivisionError), (FILES // 2, KeyboardInterrupt)]
)
def test_progress_that_raises_stops_the_call_and_changes_nothing(
    filled: Vfs, source: Path, name: str, nth: int, kind: type[BaseException]
) -> None:
    before = ground.dump(filled._store._cx)
    if name == "import_archive":
        filled.export_archive("/", source.parent / "all.zip")
    files = sorted(source.parent.iterdir())
    told: list[Progress] = []

    def stop(progress: Progress) -> None:
        told.append(progress)
        if len(told) == nth:
            raise kind

    with pytest.raises(kind):
        CALLS[name](filled, source, stop)

    assert len(told) == nth
    assert ground.dump(filled._store._cx) == before
    if name != "export_tree":  # a tree that was begun is left as cp leaves it
        assert sorted(source.parent.iterdir()) == files


@pytest.mark.usefixtures("at_each_step")
def test_progress_of_a_large_file_is_told_within_it(mem: Vfs, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/large").write_bytes(bytes(20 << 20))
    told: list[Progress] = []

    mem.import_tree(tmp_path / "in", progress=told.append)

    within = {p.bytes for p in told if 0 < p.bytes < 20 << 20}
    assert len(within) >= 2


@pytest.mark.parametrize("name", CALLS)
def test_progress_that_is_no_callable_is_refused(
    filled: Vfs, source: Path, name: str
) -> None:
    with pytest.raises(InvalidType):
        CALLS[name](filled, source, "loud")


def test_progress_fits_a_callback_of_fsspec(filled: Vfs, source: Path) -> None:
    fsspec = pytest.importorskip("fsspec.callbacks")
    callback = fsspec.Callback()

    filled.import_tree(
        source, "/again", progress=lambda at: callback.absolute_update(at.done)
    )

    assert callback.value >= FILES


@pytest.mark.filterwarnings("ignore")
def test_progress_fits_a_bar_of_tqdm(filled: Vfs, source: Path) -> None:
    tqdm = pytest.importorskip("tqdm")

    with tqdm.tqdm(file=io.StringIO()) as bar:
        filled.import_tree(
            source, "/again", progress=lambda at: bar.update(at.done - bar.n)
        )

    assert bar.n >= FILES


# --- what changes between two tellings ------------------------------------------------


@pytest.mark.usefixtures("at_each_step")
@pytest.mark.parametrize("mebibytes", [2, 3])
@pytest.mark.parametrize("errors", ["raise", "skip"])
def test_import_of_a_file_that_shrinks_while_it_is_read_invents_nothing(
    mem: Vfs, source: Path, mebibytes: int, errors: str
) -> None:
    """A mebibyte is left: at the end of what was read, or in its middle."""
    content = bytes(range(1, 252)) * (mebibytes * 5000)
    (source / "one/07").write_bytes(content)

    def cut(progress: Any) -> None:
        if progress.path == str(source / "one/07"):
            os.truncate(source / "one/07", 1000)

    before = ground.dump(mem._store._cx)

    if errors == "raise":
        with pytest.raises(OSError) as caught:
            mem.import_tree(source, progress=cut)
        assert caught.value.filename == str(source / "one/07")
        assert ground.dump(mem._store._cx) == before
    else:
        report = mem.import_tree(source, errors="skip", progress=cut)
        assert [path for path, _ in report.failures] == [str(source / "one/07")]
        assert "07" not in mem.listdir("/one")


@pytest.mark.usefixtures("at_each_step")
def test_import_of_a_file_that_grows_while_it_is_read_takes_what_there_was(
    mem: Vfs, source: Path
) -> None:
    (source / "one/07").write_bytes(LARGE)

    def grow(progress: Any) -> None:
        if progress.path == str(source / "one/07"):
            with open(source / "one/07", "ab") as file:
                file.write(bytes(100))

    mem.import_tree(source, progress=grow)

    assert mem.read_bytes("/one/07") == LARGE


class Stopping:
    """A listener that raises at the n-th telling."""

    def __init__(self, n: int, kind: type[BaseException]) -> None:
        self.left, self.kind = n, kind

    def __call__(self, _: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.kind


@pytest.mark.usefixtures("at_each_step")
@pytest.mark.parametrize("name", IMPORTS)
def test_import_stopped_at_any_step_changes_nothing(
    make_vfs: Callable[..., Vfs], tmp_path: Path, name: str
) -> None:
    make_source(tmp_path / "small")
    make_archives(tmp_path / "small")
    vfs = make_vfs(":memory:", 4096)
    fill(vfs)
    before = ground.dump(vfs._store._cx)

    for n in itertools.count(1):
        stop = Stopping(n, KeyboardInterrupt)
        try:
            IMPORTS[name](vfs, tmp_path / "small", progress=stop)
        except KeyboardInterrupt:
            assert ground.dump(vfs._store._cx) == before
        else:
            break

    assert n > 6
    assert ground.dump(vfs._store._cx) != before
