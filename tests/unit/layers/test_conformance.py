"""The public checks: they pass what is right, and each fails what is wrong."""

from __future__ import annotations

import io
import sys
import tempfile
import threading
import unicodedata
import unittest
import zipfile
from pathlib import Path
from stat import S_IFDIR, S_IFREG
from typing import TYPE_CHECKING, BinaryIO, cast

import pytest

from stratavfs.layers import DirectoryLayer, Inode, Layer, ZipLayer, directory
from stratavfs.testing import LayerConformance

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

CHECKS = sorted(name for name in dir(LayerConformance) if name.startswith("test_"))


class PlainLayer:
    """What has to be there, without inheriting the rest."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.directories = {"/"} | {
            path[:cut]
            for path in files
            for cut in range(1, len(path))
            if path[cut] == "/"
        }

    def find(self, path: str) -> Inode | None:
        if path in self.directories:
            return Inode(S_IFDIR | 0o755)
        if path in self.files:
            return Inode(S_IFREG | 0o644, size=len(self.files[path]))
        return None

    def kinds(self, path: str) -> Iterable[tuple[str, int]]:
        if path not in self.directories:
            raise FileNotFoundError(path)
        below = path.rstrip("/") + "/"
        for kind, paths in ((S_IFREG, self.files), (S_IFDIR, self.directories)):
            for each in paths:
                name = each[len(below) :]
                if each.startswith(below) and name and "/" not in name:
                    yield name, kind

    def open(self, path: str) -> BinaryIO:
        if path not in self.files:
            raise FileNotFoundError(path)
        return io.BytesIO(self.files[path])


class DictLayer(PlainLayer, Layer):
    """The same with all that a layer may say."""


# --- what is right --------------------------------------------------------------------


class TestDictLayer(LayerConformance):
    def make_layer(self, files: Mapping[str, bytes]) -> Layer:
        return DictLayer(files)


class TestPlainLayer(LayerConformance):
    def make_layer(self, files: Mapping[str, bytes]) -> Layer:
        return cast("Layer", PlainLayer(files))  # it leaves out what it may


class TestDirectoryLayer(LayerConformance):
    if sys.platform != "linux":  # others change names or refuse some
        names = ("with space", "-dash", ".hidden", "100%", "\u65e5\u672c\u8a9e")

    @pytest.fixture(autouse=True)
    def host(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path

    def make_layer(self, files: Mapping[str, bytes]) -> Layer:
        host = Path(tempfile.mkdtemp(dir=self.tmp_path))
        for path, data in files.items():
            (host / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            (host / path[1:]).write_bytes(data)
        return DirectoryLayer(host)


class TestDirectoryLayerByName(TestDirectoryLayer):
    """As where the host cannot open a file by its directory."""

    @pytest.fixture(autouse=True)
    def by_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(directory, "_BY_DESCRIPTOR", False)


class ZipConformance(LayerConformance):
    compression = zipfile.ZIP_STORED
    if sys.platform == "win32":  # zipfile takes the backslash for a separator
        names = [name for name in LayerConformance.names if "\\" not in name]

    @pytest.fixture(autouse=True)
    def host(self, tmp_path: Path) -> None:
        self.file = tmp_path / "layer.zip"

    def make_layer(self, files: Mapping[str, bytes]) -> Layer:
        with zipfile.ZipFile(self.file, "w", self.compression) as archive:
            for path, data in files.items():
                archive.writestr(path[1:], data)
        return ZipLayer(self.file)


class TestStoredZipLayer(ZipConformance):
    compression = zipfile.ZIP_STORED


class TestDeflatedZipLayer(ZipConformance):
    compression = zipfile.ZIP_DEFLATED


class TestBzip2ZipLayer(ZipConformance):
    compression = zipfile.ZIP_BZIP2


class TestLzmaZipLayer(ZipConformance):
    compression = zipfile.ZIP_LZMA


class TestZipLayerOfAFileObject(ZipConformance):
    def make_layer(self, files: Mapping[str, bytes]) -> Layer:
        super().make_layer(files)
        return ZipLayer(io.BytesIO(self.file.read_bytes()))


# --- what is wrong: one mutant for each check -----------------------------------------


class WithoutRoot(DictLayer):
    def find(self, path: str) -> Inode | None:
        return None if path == "/" else super().find(path)


class WithoutEmptyRoot(DictLayer):
    def find(self, path: str) -> Inode | None:
        return super().find(path) if self.files else None


class WithoutSizes(DictLayer):
    def find(self, path: str) -> Inode | None:
        found = super().find(path)
        return found and found._replace(size=0)


class WithSizesOfDirectories(DictLayer):
    def find(self, path: str) -> Inode | None:
        found = super().find(path)
        return found._replace(size=4096) if found and found.is_directory else found


class WithTimesInSeconds(DictLayer):
    def find(self, path: str) -> Inode | None:
        found = super().find(path)
        return found and found._replace(mtime_ns=cast("int", 1.5))


class FindingPrefixes(DictLayer):
    def find(self, path: str) -> Inode | None:
        begins = any(each.startswith(path) for each in self.files)
        return super().find(path) or (Inode(S_IFDIR) if begins else None)


class FindingBelowFiles(DictLayer):
    def find(self, path: str) -> Inode | None:
        above = [each for each in self.files if path.startswith(each + "/")]
        return super().find(above[0] if above else path)


class ListingTwice(DictLayer):
    def kinds(self, path: str) -> Iterable[tuple[str, int]]:
        return [*super().kinds(path)] * 2


class ListingModes(DictLayer):
    def kinds(self, path: str) -> Iterable[tuple[str, int]]:
        return [(name, kind | 0o755) for name, kind in super().kinds(path)]


class ListingTheAbsent(DictLayer):
    def kinds(self, path: str) -> Iterable[tuple[str, int]]:
        return [] if self.find(path) is None else super().kinds(path)


class ListingFiles(DictLayer):
    def kinds(self, path: str) -> Iterable[tuple[str, int]]:
        return [] if path in self.files else super().kinds(path)


class WithoutLastBytes(DictLayer):
    def open(self, path: str) -> BinaryIO:
        return io.BytesIO(super().open(path).read()[:-1])


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


class OpeningPipes(DictLayer):
    def open(self, path: str) -> BinaryIO:
        return Pipe(super().open(path).read())


class FromTheStart(io.BytesIO):
    def seek(self, offset: int, whence: int = 0, /) -> int:
        return super().seek(abs(offset))


class SeekingFromTheStart(DictLayer):
    def open(self, path: str) -> BinaryIO:
        return FromTheStart(super().open(path).read())


class SharingFiles(DictLayer):
    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(files)
        self.opened = {path: io.BytesIO(data) for path, data in files.items()}

    def open(self, path: str) -> BinaryIO:
        return self.opened[path]


class WithoutBigFiles(DictLayer):
    def open(self, path: str) -> BinaryIO:
        return io.BytesIO(super().open(path).read()[: 1 << 16])


class OpeningTheAbsent(DictLayer):
    def open(self, path: str) -> BinaryIO:
        if path in self.directories:
            raise FileNotFoundError(path)
        return io.BytesIO(self.files.get(path, b""))


class FailingForDirectories(DictLayer):
    def open(self, path: str) -> BinaryIO:
        if path in self.directories:
            raise IsADirectoryError(path)
        return super().open(path)


class ComposingNames(DictLayer):
    def kinds(self, path: str) -> Iterable[tuple[str, int]]:
        for name, kind in super().kinds(path):
            yield unicodedata.normalize("NFC", name), kind


class AlwaysAnother(DictLayer):
    asked = 0

    def version(self) -> Hashable:
        self.asked += 1
        return self.asked


class WithTextForAttributes(DictLayer):
    def xattrs(self, path: str) -> Mapping[str, bytes]:
        return {"user.comment": cast("bytes", "text")}


class OfOneThread(DictLayer):
    def find(self, path: str) -> Inode | None:
        found = super().find(path)
        return found and found._replace(mtime_ns=threading.get_ident())


class ReadingTwice(DictLayer):
    def open(self, path: str) -> BinaryIO:
        return io.BytesIO(super().open(path).read() * 2)


class Ageing(DictLayer):
    asked = 0

    def find(self, path: str) -> Inode | None:
        self.asked += 1
        found = super().find(path)
        return found and found._replace(mtime_ns=self.asked)


MUTANTS = {
    "test_find_answers_with_a_directory_for_the_root": WithoutRoot,
    "test_find_answers_with_a_directory_for_the_root_of_nothing": WithoutEmptyRoot,
    "test_find_answers_with_an_inode_for_every_file": WithoutSizes,
    "test_find_answers_with_an_inode_for_every_directory": WithSizesOfDirectories,
    "test_find_answers_with_whole_numbers": WithTimesInSeconds,
    "test_find_answers_none_for_what_is_absent": FindingPrefixes,
    "test_find_answers_none_below_a_file": FindingBelowFiles,
    "test_kinds_lists_every_name_once": ListingTwice,
    "test_kinds_tells_the_type_bits": ListingModes,
    "test_kinds_refuses_what_is_absent": ListingTheAbsent,
    "test_kinds_refuses_a_file": ListingFiles,
    "test_open_reads_every_file": WithoutLastBytes,
    "test_open_gives_a_seekable_file": OpeningPipes,
    "test_open_reads_at_any_place": SeekingFromTheStart,
    "test_open_gives_each_caller_a_position": SharingFiles,
    "test_open_reads_a_big_file": WithoutBigFiles,
    "test_open_refuses_what_is_absent": OpeningTheAbsent,
    "test_open_refuses_a_directory": FailingForDirectories,
    "test_names_hold_any_character": ComposingNames,
    "test_version_stays_while_nothing_changes": AlwaysAnother,
    "test_xattrs_map_names_to_bytes": WithTextForAttributes,
    "test_threads_ask_at_once": OfOneThread,
    "test_stack_shows_the_layer": ReadingTwice,
    "test_stack_leaves_the_layer_as_it_is": Ageing,
}


def conformance_of(kind: type[DictLayer]) -> LayerConformance:
    class Conformance(LayerConformance):
        def make_layer(self, files: Mapping[str, bytes]) -> Layer:
            return kind(files)

    return Conformance()


def test_mutants_are_there_for_every_check() -> None:
    assert sorted(MUTANTS) == CHECKS


@pytest.mark.parametrize("check", CHECKS)
def test_check_fails_its_mutant(check: str) -> None:
    conformance = conformance_of(MUTANTS[check])

    with pytest.raises(AssertionError) as caught:
        getattr(conformance, check)()

    assert str(caught.value)


def test_checks_of_files_pass_a_layer_that_is_wrong_elsewhere() -> None:
    conformance = conformance_of(WithTextForAttributes)
    asked = [check for check in CHECKS if check.startswith(("test_find", "test_open"))]

    for check in asked:
        getattr(conformance, check)()

    assert len(asked) == 14


# --- the class itself -----------------------------------------------------------------


def test_conformance_without_a_layer_raises_not_implemented() -> None:
    with pytest.raises(NotImplementedError):
        LayerConformance().test_stack_shows_the_layer()


def test_conformance_closes_every_layer_it_asked_for() -> None:
    closed: list[Layer] = []

    class Closing(DictLayer):
        def close(self) -> None:
            closed.append(self)

    conformance_of(Closing).test_find_answers_none_below_a_file()

    assert len(closed) == 1


def test_conformance_runs_with_unittest() -> None:
    class OfDict(TestDictLayer, unittest.TestCase):
        pass

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(OfDict)
    result = unittest.TestResult()
    suite.run(result)

    assert (result.testsRun, result.errors, result.failures) == (len(CHECKS), [], [])
