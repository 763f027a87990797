"""Other ways out: files one by one, a stream in memory, an SQLite archive."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sqlite3
import subprocess
import zlib
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.api.exporting import LARGE, NANO, fill

from stratavfs import VirtualFileSystem, _sqlar

if TYPE_CHECKING:
    from pathlib import Path

    from stratavfs.records import Progress

Vfs = VirtualFileSystem


@pytest.fixture
def full(mem: Vfs) -> Vfs:
    fill(mem)
    return mem


# --- iter_export_tree -----------------------------------------------------------------

FILES = {
    "/top/a.txt": b"hello",
    "/top/empty": b"",
    "/top/large": LARGE,
    "/top/run": b"#!/bin/sh\n",
    "/top/same": b"one file",
    "/top/shut/in.txt": b"inside",
    "/top/sub/deep/b.txt": b"b",
    "/top/sub/same": b"one file",
}


def test_iter_export_tree_yields_all_files_in_order(full: Vfs) -> None:
    found = list(full.iter_export_tree("/top"))

    assert found == list(FILES.items())


def test_iter_export_tree_with_handles_closes_each_at_the_next(full: Vfs) -> None:
    found: dict[str, bytes] = {}
    opened: list[io.BufferedReader] = []
    for path, file in full.iter_export_tree("/top", handles=True):
        assert isinstance(file, io.BufferedReader)
        assert [earlier for earlier in opened if not earlier.closed] == []
        found[path] = file.read()
        opened.append(file)

    assert found == FILES
    assert opened[-1].closed


def test_iter_export_tree_that_is_left_closes_its_handle(full: Vfs) -> None:
    steps = full.iter_export_tree("/top", handles=True)
    _, file = next(steps)

    steps.close()  # type: ignore[attr-defined]

    assert file.closed


def test_iter_export_tree_of_a_choice_yields_nothing_else(full: Vfs) -> None:
    found = dict(full.iter_export_tree("/top", include="*.txt", exclude="shut/"))

    assert [*found] == ["/top/a.txt", "/top/sub/deep/b.txt"]


@pytest.mark.parametrize("path", ["/top/a.txt", "/top/link"])
def test_iter_export_tree_of_one_file_yields_that(full: Vfs, path: str) -> None:
    assert list(full.iter_export_tree(path)) == [(path, b"hello")]


def test_iter_export_tree_through_a_link_names_what_was_asked(full: Vfs) -> None:
    full.symlink("top/sub", "/to")

    assert dict(full.iter_export_tree("/to")) == {
        "/to/deep/b.txt": b"b",
        "/to/same": b"one file",
    }


def test_iter_export_tree_of_nothing_is_an_error_that_names_it(full: Vfs) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        list(full.iter_export_tree("/none"))

    assert caught.value.filename == "/none"


LATER = ["run", "same", "shut/in.txt"]


@pytest.mark.parametrize("handles", [False, True])
def test_iter_export_tree_leaves_out_what_goes_meanwhile(
    full: Vfs, *, handles: bool
) -> None:
    found = []
    for path, _ in full.iter_export_tree("/top", handles=handles):
        found.append(path)
        if path == "/top/a.txt":
            full.remove("/top/large")
            full.rmtree("/top/sub")

    assert found == [f"/top/{name}" for name in ("a.txt", "empty", *LATER)]


def test_iter_export_tree_lets_others_write_between_two_steps(full: Vfs) -> None:
    for path, content in full.iter_export_tree("/top"):
        full.write_bytes(f"/copy{path}", content)

    copies = {f"/copy{path}": content for path, content in FILES.items()}
    assert dict(full.iter_export_tree("/copy")) == copies


def test_iter_export_tree_of_layers_yields_the_merged_view(make_vfs: Any) -> None:
    below, vfs = make_vfs(), make_vfs()
    for name in ("kept", "gone", "changed"):
        below.write_text(f"/d/{name}", name)
    vfs.add_underlay(below)
    vfs.remove("/d/gone")
    vfs.write_text("/d/changed", "new")

    for handles in (False, True):
        steps = vfs.iter_export_tree(handles=handles)
        found = {path: file.read() if handles else file for path, file in steps}

        assert found == {"/d/changed": b"new", "/d/kept": b"kept"}


# --- export_bytesio -------------------------------------------------------------------


def test_export_bytesio_gives_a_stream_of_its_own(full: Vfs) -> None:
    stream = full.export_bytesio("/top/link")
    stream.write(b"HE")

    assert (type(stream), stream.getvalue()) == (io.BytesIO, b"HEllo")
    assert full.read_text("/top/a.txt") == "hello"


@pytest.mark.parametrize(
    ("path", "code"), [("/none", errno.ENOENT), ("/top", errno.EISDIR)]
)
def test_export_bytesio_of_no_file_is_an_error_that_names_it(
    full: Vfs, path: str, code: int
) -> None:
    with pytest.raises(OSError, match=path) as caught:
        full.export_bytesio(path)

    assert (caught.value.errno, caught.value.filename) == (code, path)


# --- export_sqlar ---------------------------------------------------------------------

Row = tuple[int, int, int, bytes | str | None]


def rows(path: Path) -> dict[str, Row]:
    """Return the rows of an archive by name, as SQL shows them."""
    with closing(sqlite3.connect(path)) as cx:
        assert cx.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {
            name: (mode, mtime, size, data)
            for name, mode, mtime, size, data in cx.execute(
                "SELECT name, mode, mtime, sz, data FROM sqlar"
            )
        }


def unpacked(row: Row) -> bytes:
    _, _, size, data = row
    assert isinstance(data, bytes)
    return data if len(data) == size else zlib.decompress(data)


def test_export_sqlar_has_all_of_a_tree(full: Vfs, tmp_path: Path) -> None:
    report = full.export_sqlar(tmp_path / "a.sqlar", "/top")

    found = rows(tmp_path / "a.sqlar")
    files = {f"/top/{name}": row for name, row in found.items() if row[0] >> 12 == 8}
    assert {path: unpacked(row) for path, row in files.items()} == FILES
    assert found["a.txt"] == (0o100644, NANO // 10**9, 5, b"hello")
    assert len(found["large"][3] or b"") < len(LARGE)
    assert found["link"][::2] == (0o120777, -1)
    assert found["link"][3] == "a.txt"
    assert found["shut"] == (0o040555, NANO // 10**9, 0, None)
    assert [*found] == sorted(found)
    assert report[:3] == (8, 4, 2)
    assert report.bytes == sum(map(len, FILES.values()))
    assert os.listdir(tmp_path) == ["a.sqlar"]


@pytest.mark.parametrize("kind", ["text", "noise", "holes"])
def test_export_sqlar_of_large_files_is_compressed_where_that_helps(
    mem: Vfs, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sqlar, "_WHOLE", 1 << 10)
    monkeypatch.setattr(_sqlar, "_STEP", 1 << 12)
    content = {
        "text": LARGE,
        "noise": os.urandom(100_000),
        "holes": bytes(70_000) + b"x" + bytes(70_000),
    }[kind]
    with mem.open("/a", "wb") as file:
        file.seek(70_000 if kind == "holes" else 0)
        file.write(b"x" if kind == "holes" else content)
        file.truncate(len(content))

    mem.export_sqlar(tmp_path / "a.sqlar")

    row = rows(tmp_path / "a.sqlar")["a"]
    assert unpacked(row) == content
    assert len(row[3] or b"") <= len(content)
    assert (len(row[3] or b"") == len(content)) == (kind == "noise")


def test_export_sqlar_of_one_file_has_its_name(full: Vfs, tmp_path: Path) -> None:
    full.export_sqlar(tmp_path / "a.sqlar", "/top/link")

    assert {n: r[3] for n, r in rows(tmp_path / "a.sqlar").items()} == {
        "link": b"hello"
    }


def test_export_sqlar_is_read_by_the_shell_of_sqlite(full: Vfs, tmp_path: Path) -> None:
    shell = shutil.which("sqlite3")
    if shell is None:
        pytest.skip("there is no sqlite3 on the PATH")
    for link in ("link", "nowhere"):
        full.remove(f"/top/{link}")  # which that of 3.40 cannot unpack, its own neither
    full.chmod("/top/shut", 0o755)  # or it can put nothing into it
    full.export_sqlar(tmp_path / "a.sqlar", "/top")
    (tmp_path / "to").mkdir()

    def run(*arguments: str) -> str:
        command = [shell, str(tmp_path / "a.sqlar"), *arguments]
        done = subprocess.run(
            command, cwd=tmp_path / "to", capture_output=True, check=False
        )
        if b"nknown option" in done.stderr:
            pytest.skip("this sqlite3 was made without archives")
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    names = run("-A", "-t").split()
    run("-A", "-x")

    assert "sub/deep/b.txt" in names
    for path, content in FILES.items():
        assert (tmp_path / "to" / path.removeprefix("/top/")).read_bytes() == content
    assert (tmp_path / "to/a.txt").stat().st_mtime == NANO // 10**9


def test_export_sqlar_of_a_file_too_large_for_sqlite_is_refused(
    mem: Vfs, tmp_path: Path
) -> None:
    mem.touch("/d/huge")
    mem.truncate("/d/huge", 10**9)

    with pytest.raises(OSError, match="export_archive") as caught:
        mem.export_sqlar(tmp_path / "a.sqlar")

    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, "/d/huge")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("now", [LARGE[:70_000], None])
def test_export_sqlar_of_a_file_that_changes_meanwhile_is_refused(
    mem: Vfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: bytes | None
) -> None:
    monkeypatch.setattr("stratavfs._progress.INTERVAL", 0)
    monkeypatch.setattr(_sqlar, "_WHOLE", 1 << 10)
    (tmp_path / "base").mkdir()
    (tmp_path / "base/a").write_text("a")
    (tmp_path / "base/b").write_bytes(LARGE)
    mem.add_underlay(tmp_path / "base")

    def change(step: Progress) -> None:
        if step.path == "/a":
            (tmp_path / "base/b").unlink()
            if now is not None:
                (tmp_path / "base/b").write_bytes(now)

    with pytest.raises(OSError, match="/b") as caught:
        mem.export_sqlar(tmp_path / "a.sqlar", progress=change)

    assert caught.value.errno == (errno.ENOENT if now is None else errno.EBUSY)
    assert caught.value.filename == "/b"
    assert os.listdir(tmp_path) == ["base"]


def test_export_sqlar_of_a_file_that_is_cut_while_it_is_read_is_refused(
    mem: Vfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stratavfs._progress.INTERVAL", 0)
    monkeypatch.setattr(_sqlar, "_WHOLE", 1 << 10)
    monkeypatch.setattr(_sqlar, "_STEP", 1 << 10)
    (tmp_path / "base").mkdir()
    (tmp_path / "base/b").write_bytes(LARGE)
    mem.add_underlay(tmp_path / "base")

    def cut(step: Progress) -> None:
        if step.path == "/b":
            os.truncate(tmp_path / "base/b", 0)

    with pytest.raises(OSError, match="changed") as caught:
        mem.export_sqlar(tmp_path / "a.sqlar", progress=cut)

    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, "/b")
    assert os.listdir(tmp_path) == ["base"]


def test_export_sqlar_that_cannot_begin_leaves_nothing(
    full: Vfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sqlar, "_HASTY", ("no statement",))

    with pytest.raises(OSError, match="syntax") as caught:
        full.export_sqlar(tmp_path / "a")

    assert caught.value.filename == str(tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_export_sqlar_onto_something_is_refused_and_changes_nothing(
    full: Vfs, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("mine")

    with pytest.raises(FileExistsError) as caught:
        full.export_sqlar(tmp_path / "a")

    assert caught.value.filename == str(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "mine"


def test_export_sqlar_that_is_interrupted_leaves_nothing(
    full: Vfs, tmp_path: Path
) -> None:
    def interrupt(step: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        full.export_sqlar(tmp_path / "a", progress=interrupt)

    assert os.listdir(tmp_path) == []


def test_export_sqlar_to_a_full_disk_names_its_target(
    full: Vfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = (*_sqlar._HASTY, "PRAGMA max_page_count = 2")
    monkeypatch.setattr(_sqlar, "_HASTY", limited)

    with pytest.raises(OSError, match="full") as caught:
        full.export_sqlar(tmp_path / "a")

    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_export_sqlar_tells_of_its_progress(full: Vfs, tmp_path: Path) -> None:
    steps: list[Progress] = []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stratavfs._progress.INTERVAL", 0)
        full.export_sqlar(tmp_path / "a", "/top", progress=steps.append)

    assert steps[-1].done == steps[-1].total == 15
    assert steps[-1].bytes == sum(map(len, FILES.values()))
