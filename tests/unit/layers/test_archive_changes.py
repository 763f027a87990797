"""Zip archives whose file changes, goes or comes back under the layer."""

from __future__ import annotations

import errno
import os
import random
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.unit.layers.archives import (
    DATA,
    archive_of,
    every_compression,
    member,
    refusal,
    tree,
    zipped,
)

from stratavfs.layers import ZipLayer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.zip"
    path.write_bytes(archive_of([member("old", DATA)]))
    return path


NEW = archive_of([member("new", b"new")])


def test_layer_sees_that_its_file_is_replaced(path: Path) -> None:
    layer = ZipLayer(path)
    before = layer.version()
    path.with_name("b").write_bytes(NEW)
    os.replace(path.with_name("b"), path)

    assert layer.find("/old") is None
    assert layer.kinds("/") == [("new", 0o100000)]
    assert tree(layer) == {"/new": b"new"}
    assert layer.version() != before


def test_open_sees_that_its_file_is_replaced(path: Path) -> None:
    layer = ZipLayer(path)
    path.with_name("b").write_bytes(NEW)
    os.replace(path.with_name("b"), path)

    with layer.open("/new") as file:
        assert file.read() == b"new"
    with pytest.raises(FileNotFoundError):
        layer.open("/old")


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell such a change")
def test_layer_sees_a_change_of_the_same_size_whose_time_is_set_back(
    path: Path,
) -> None:
    layer = ZipLayer(path)
    before = os.stat(path)
    path.write_bytes(path.read_bytes().replace(b"old", b"new"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert tree(layer) == {"/new": DATA}


def test_layer_reads_its_directory_once_while_nothing_changes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = ZipLayer(path)
    monkeypatch.setattr(zipfile, "ZipFile", None)

    assert [layer.version() for _ in range(2)] == [layer.version()] * 2
    assert tree(layer) == {"/old": DATA}


@pytest.mark.parametrize("question", ["find", "kinds", "open", "version", "skipped"])
def test_question_fails_when_the_file_is_gone(path: Path, question: str) -> None:
    layer = ZipLayer(path)
    path.unlink()
    ask: dict[str, Callable[[], object]] = {
        "version": layer.version,
        "skipped": lambda: layer.skipped,
    }

    error = refusal(ask.get(question, lambda: getattr(layer, question)("/old")))

    # FileNotFoundError would say that the layer has no such file.
    assert type(error) is OSError
    assert (error.errno, error.filename) == (errno.ESTALE, str(path))


def test_layer_recovers_when_its_file_is_whole_again(
    path: Path, nothing_leaks: None
) -> None:
    layer = ZipLayer(path)
    path.write_bytes(NEW[:50])
    for _ in range(2):
        assert refusal(lambda: layer.find("/old")).errno == errno.EINVAL
        assert refusal(lambda: layer.open("/old")).errno == errno.EINVAL

    path.write_bytes(NEW)

    assert tree(layer) == {"/new": b"new"}


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps open files")
@every_compression
def test_open_file_outlives_its_archive(path: Path, compression: int) -> None:
    path.write_bytes(zipped(DATA, compression))
    layer = ZipLayer(path)

    with layer.open("/a") as file:
        assert file.read(10) == DATA[:10]
        path.with_name("b").write_bytes(NEW)
        os.replace(path.with_name("b"), path)
        assert tree(layer) == {"/new": b"new"}
        assert file.read() == DATA[10:]


@every_compression
def test_open_file_fails_when_its_archive_is_written_to(
    path: Path, compression: int, nothing_leaks: None
) -> None:
    size = 1_000_000 if compression == zipfile.ZIP_BZIP2 else 100_000  # its step
    data = random.Random(3).randbytes(size)
    path.write_bytes(zipped(data, compression))
    layer = ZipLayer(path)

    with layer.open("/a") as file:
        assert file.read(10) == data[:10]
        with path.open("r+b") as rewritten:
            rewritten.write(NEW)
        os.utime(path, ns=(0, 0))
        error = refusal(file.read)

    assert (error.errno, error.filename) == (errno.ESTALE, str(path))


def test_immutable_layer_does_not_look_at_its_file(path: Path) -> None:
    layer = ZipLayer(path, immutable=True)
    before = layer.version()
    path.unlink()

    assert layer.version() == before
    assert layer.find("/old") is not None
    assert layer.kinds("/") == [("old", 0o100000)]
    assert refusal(lambda: layer.open("/old")).errno == errno.ESTALE
