"""Zip archives of other writers, read; and ours, read by others."""

from __future__ import annotations

import io
import operator
import os
import random
import shutil
import struct
import subprocess
import tempfile
import zipfile
from errno import EIO, ENAMETOOLONG
from stat import S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IMODE
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.faults.archives import (
    MOMENT,
    SAMPLE,
    Members,
    Pipe,
    Sink,
    directory_at,
    info,
    named,
    patched,
    read,
    refusal,
    sample,
    written,
    zipped,
)

from stratavfs import BadArchive
from stratavfs.archives import ArchiveMember, _zip_writer

if TYPE_CHECKING:
    from pathlib import Path

UNIX, DOS, DARWIN = 3, 0, 19
SECOND = 1_000_000_000


def only(archive: bytes) -> ArchiveMember:
    ((member, _),) = read("zip", archive)
    return member


# --- there and back -------------------------------------------------------------------

names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1
)
paths = st.lists(names, min_size=1, max_size=9).map("/".join)


@settings(max_examples=30)
@given(
    path=paths,
    mode=st.integers(0, 0o7777),
    data=st.binary(max_size=1100),
    time=st.integers(-(1 << 31), (1 << 31) - 1),
)
def test_file_comes_back_as_it_was(
    path: str, mode: int, data: bytes, time: int
) -> None:
    member = ArchiveMember(path, S_IFREG | mode, len(data), time * SECOND)

    assert read("zip", written("zip", [(member, data)])) == [(member, data)]


@settings(max_examples=30)
@given(path=paths, target=paths)
def test_links_and_directories_come_back_as_they_were(path: str, target: str) -> None:
    members: Members = [
        (ArchiveMember(path + "d", S_IFDIR | 0o1777, mtime_ns=MOMENT), None),
        (ArchiveMember(path, S_IFLNK | 0o777, 0, MOMENT, "../" + target), None),
    ]

    assert read("zip", written("zip", members)) == members


def test_one_more_name_of_a_file_is_one_more_file() -> None:
    members: Members = [
        (ArchiveMember("a", size=5), b"hello"),
        (ArchiveMember("b", size=5, first="a"), b"hello"),
    ]

    found = read("zip", written("zip", members))

    assert [(each.path, each.first, data) for each, data in found] == [
        ("a", None, b"hello"),
        ("b", None, b"hello"),
    ]


def test_time_is_kept_to_the_second() -> None:
    member = ArchiveMember("a", mtime_ns=MOMENT + 999_999_999, xattrs={"user.a": b"1"})

    found = only(written("zip", [(member, b"")]))

    assert found == ArchiveMember("a", mtime_ns=MOMENT)


@pytest.mark.parametrize(
    ("year", "seconds", "kept"),
    [
        (1980, -(1 << 31), -(1 << 31)),
        (1980, -(1 << 31) - 1, 315_532_800),
        (1980, 315_532_799, 315_532_799),
        (2038, (1 << 31) - 1, (1 << 31) - 1),
        (2038, 1 << 31, 1 << 31),
        (2107, 4_354_819_198, 4_354_819_198),
        (2107, 1 << 33, 4_354_819_198),
    ],
)
def test_time_that_a_field_cannot_tell_is_the_nearest(
    year: int, seconds: int, kept: int
) -> None:
    archive = written("zip", [(ArchiveMember("a", mtime_ns=seconds * SECOND), b"")])

    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        (record,) = opened.infolist()
    assert record.date_time[0] == year
    assert only(archive).mtime_ns == kept * SECOND


def test_name_that_is_too_long_for_the_format_is_refused() -> None:
    with pytest.raises(OSError) as caught:
        written("zip", [(ArchiveMember("x" * 65_536), b"")])

    assert caught.value.errno == ENAMETOOLONG
    assert (
        only(written("zip", [(ArchiveMember("x" * 65_535), b"")])).path[65_534:] == "x"
    )


def test_iterator_tells_how_many_members_are_left() -> None:
    with named("zip").read(io.BytesIO(sample("zip"))) as members:
        before = operator.length_hint(members)
        next(members)
        after = operator.length_hint(members)

    assert (before, after) == (4, 3)


def test_pipe_is_kept_in_a_file_that_is_gone_after_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = []
    made = tempfile.TemporaryFile

    def make() -> Any:
        kept.append(made(dir=tmp_path))
        return kept[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", make)
    pipe: Any = Pipe(sample("zip"))
    with named("zip").read(pipe) as members:
        next(members)
        was_closed = [file.closed for file in kept]

    assert (was_closed, kept[0].closed) == ([False], True)
    assert not pipe.closed


def test_file_on_disk_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(sample("zip"))

    with (
        open(tmp_path / "a.zip", "rb") as file,
        open(tmp_path / "a.zip", "rb", 0) as raw,
    ):
        found = read("zip", file), read("zip", raw)

    assert found == (SAMPLE, SAMPLE)


def test_names_and_content_go_to_the_appended_end_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"#!/bin/sh\n" * 9)

    with open(tmp_path / "a", "ab") as file, named("zip").write(file) as archive:
        archive.add(ArchiveMember("a", size=5), io.BytesIO(b"hello"))

    assert read("zip", (tmp_path / "a").read_bytes())[0][1] == b"hello"


# --- what others write ----------------------------------------------------------------


@pytest.mark.parametrize("system", [UNIX, DARWIN])
def test_mode_of_unix_is_taken(system: int) -> None:
    pipe = info("pipe", create_system=system, external_attr=(S_IFIFO | 0o600) << 16)
    plain = info("plain", create_system=system, external_attr=0o751 << 16)
    none = info("none", create_system=system, external_attr=1)

    found = read("zip", zipped([(pipe, b""), (plain, b""), (none, b"")]))

    modes = [member.mode for member, _ in found]
    assert modes == [S_IFIFO | 0o600, S_IFREG | 0o751, S_IFREG | 0o644]
    assert found[0][1] is None


def test_mode_of_dos_is_none() -> None:
    file = info("d\\a", create_system=DOS, external_attr=0o777 << 16 | 0x20)
    directory = info("d\\e/", create_system=DOS, external_attr=0x10)

    found = read("zip", zipped([(file, b"x"), (directory, b"")]))

    assert [(member.path, member.mode) for member, _ in found] == [
        ("d/a", S_IFREG | 0o644),
        ("d/e", S_IFDIR | 0o755),
    ]


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a\\b", "ü", "a//b"])
def test_name_is_left_as_the_archive_has_it(name: str) -> None:
    assert only(zipped([(info(name), b"")])).path == name


def test_time_of_dos_is_taken_for_utc() -> None:
    assert only(zipped([(info(), b"")])).mtime_ns == 1_580_702_706 * SECOND


def test_time_of_unix_comes_first() -> None:
    extra = struct.pack("<HHBi", 0x5455, 5, 1, -5)

    assert only(zipped([(info(extra=extra), b"")])).mtime_ns == -5 * SECOND


@pytest.mark.parametrize(
    "method", [0, 8, 12, 14], ids=["stored", "deflated", "bzip2", "lzma"]
)
def test_every_way_of_packing_is_read(method: int) -> None:
    data = bytes(100_000) + b"x"

    found = read("zip", zipped([(info(compress_type=method), data)]))

    assert found[0][1] == data


def test_link_that_leads_on_and_on_is_refused() -> None:
    link = info(external_attr=S_IFLNK << 16)

    error = refusal(read, "zip", zipped([(link, b"x" * 4096)]))

    assert "member 'a' is a link that leads to more than a path can be" in str(error)


def test_link_to_bytes_that_are_not_utf8_comes_with_surrogates() -> None:
    link = info(external_attr=S_IFLNK << 16)

    assert only(zipped([(link, b"caf\xe9")])).target == "caf\udce9"


# --- what is refused ------------------------------------------------------------------


def directory_patched(at: int, new: bytes, name: str = "zip") -> bytes:
    """Return an archive of "a" and "b" with another first entry in its directory."""
    archive = zipped([("a", b"hello"), ("b", b"x")])
    return patched(archive, directory_at(archive) + at, new)


@pytest.mark.parametrize(
    ("archive", "why"),
    [
        (directory_patched(8, b"\1"), "is encrypted"),
        (directory_patched(10, b"\x63"), "compression 99 is not known"),
        (directory_patched(16, b"\0"), "its checksum differs"),
        (directory_patched(24, b"\xff"), "it ends too early"),
        (directory_patched(27, b"\x10"), "cannot be packed into"),
        (directory_patched(20, b"\xff"), "it goes on into what follows it"),
        (directory_patched(42, b"\1"), "it is not at its place"),
    ],
    ids=["encrypted", "unknown", "checksum", "short", "bomb", "overlap", "place"],
)
def test_damaged_member_is_named_and_does_no_harm_to_others(
    archive: bytes, why: str
) -> None:
    stream = io.BytesIO(archive)

    error = refusal(read, "zip", archive)
    with named("zip").read(stream) as members:
        next(members)
        last, content = next(members)
        assert content is not None
        data = content.read()

    assert "member 'a' " in str(error)
    assert why in str(error)
    assert error.filename == "<stream>"
    assert (last.path, data) == ("b", b"x")
    assert "encrypted" in why or error.__cause__ is not None


def test_file_that_lost_its_bytes_is_refused() -> None:
    assert "member 'a' has lost" in str(
        refusal(read, "zip", directory_patched(24, b"\0"))
    )


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"hello" * 99, b"PK\5\6" + bytes(17)])
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    error = refusal(read, "zip", data)

    assert error.filename == "<stream>"
    assert "no zip archive" in str(error)
    assert error.__cause__ is not None


def test_stream_that_fails_later_raises_its_error() -> None:
    class Failing(io.BytesIO):
        fails = False

        def read(self, size: int | None = -1) -> bytes:
            if self.fails:
                raise OSError(EIO, "the disk is gone", "x")
            return super().read(size)

    stream = Failing(sample("zip"))
    with named("zip").read(stream) as members:
        next(members)
        _, content = next(members)
        assert content is not None
        stream.fails = True
        with pytest.raises(OSError) as caught:
            content.read()

    assert (caught.value.errno, caught.value.filename) == (EIO, "x")
    assert not isinstance(caught.value, BadArchive)


# --- other programs, and sizes --------------------------------------------------------

needs_unzip = pytest.mark.skipif(
    not (shutil.which("zip") and shutil.which("unzip")), reason="no zip or unzip here"
)


def run(*args: str, cwd: Path) -> str:
    env = {**os.environ, "LC_ALL": "C.UTF-8"}  # or zip writes a letter's number
    return subprocess.run(
        args, cwd=cwd, check=True, capture_output=True, text=True, env=env
    ).stdout


def test_ours_is_whole_for_zipfile() -> None:
    with zipfile.ZipFile(io.BytesIO(sample("zip"))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["docs/", "docs/motd", "docs/now", "x" * 120]
        assert archive.read("docs/motd") == b"hello\n" * 100
        made = {record.create_system for record in archive.infolist()}

    assert made == {UNIX}


@needs_unzip
def test_ours_is_unpacked_by_unzip(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(sample("zip"))

    run("unzip", "-q", "a.zip", cwd=tmp_path)

    assert (tmp_path / "docs/now").read_bytes() == b"hello\n" * 100
    assert (tmp_path / "docs/now").is_symlink()
    status = (tmp_path / "docs/motd").stat()
    assert (S_IMODE(status.st_mode), status.st_mtime_ns) == (0o640, MOMENT)
    assert S_IMODE((tmp_path / "docs").stat().st_mode) == 0o750


@needs_unzip
@pytest.mark.parametrize("option", ["-0", "-9", "-fz"])
def test_what_zip_writes_is_read(option: str, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/ü").write_bytes(b"hello" * 1000)
    (tmp_path / "d/ü").chmod(0o751)
    os.utime(tmp_path / "d/ü", ns=(MOMENT, MOMENT))
    (tmp_path / "d/link").symlink_to("ü")
    run("zip", "-qry", option, "a.zip", "d", cwd=tmp_path)

    found = {
        each[0].path: each for each in read("zip", (tmp_path / "a.zip").read_bytes())
    }

    file, data = found["d/ü"]
    assert (file.mode, file.size, file.mtime_ns) == (S_IFREG | 0o751, 5000, MOMENT)
    assert data == b"hello" * 1000
    assert found["d/link"][0].target == "ü"
    assert S_IFMT(found["d"][0].mode) == S_IFDIR


@needs_unzip
def test_what_zip_writes_to_a_pipe_or_encrypts_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    piped = subprocess.run(
        ["zip", "-q", "-", "a"], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    run("zip", "-q", "-P", "secret", "b.zip", "a", cwd=tmp_path)

    error = refusal(read, "zip", (tmp_path / "b.zip").read_bytes())

    assert read("zip", Pipe(piped))[0][1] == b"hello"
    assert "member 'a' is encrypted" in str(error)


def test_file_that_needs_64_bits_is_written_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_zip_writer, "_MOST", 100_000)

    data = random.Random(1).randbytes(110_000)
    members: Members = [(ArchiveMember(n, size=110_000), data) for n in "abc"]

    archive = written("zip", members)

    assert read("zip", archive) == members
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        assert opened.infolist()[0].extract_version == 45


@pytest.mark.slow
def test_more_members_than_16_bits_count_are_kept() -> None:
    sink: Any = Sink(1 << 20)
    with named("zip").write(sink) as archive:
        for number in range(70_000):
            archive.add(ArchiveMember(f"{number}", S_IFDIR))

    with named("zip").read(io.BytesIO(bytes(sink.taken))) as members:
        found = [member.path for member, _ in members]

    assert found == [f"{number}" for number in range(70_000)]
