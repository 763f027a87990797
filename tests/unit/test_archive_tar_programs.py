"""Tar archives of ours in the hands of other programs, and theirs in ours."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_IMODE
from typing import TYPE_CHECKING

import pytest
from tests.faults.archives import MOMENT, TARS, Members, read, written

from stratavfs.archives import ArchiveMember

if TYPE_CHECKING:
    from pathlib import Path

GNU_TAR = shutil.which("tar") or ""
needs_tar = pytest.mark.skipif(
    not GNU_TAR or os.name == "nt", reason="there is no program tar here"
)


def tar(*args: str | Path, data: bytes | None = None) -> bytes:
    return subprocess.run(
        [GNU_TAR, *args], input=data, check=True, capture_output=True
    ).stdout


def is_gnu() -> bool:
    return bool(GNU_TAR) and b"GNU" in tar("--version")


@needs_tar
@pytest.mark.parametrize("name", TARS)
def test_ours_is_listed_and_unpacked_by_tar(name: str, tmp_path: Path) -> None:
    path = "ü/" + "x" * 120
    members: Members = [
        (ArchiveMember("d", S_IFDIR | 0o750, mtime_ns=MOMENT), None),
        (ArchiveMember(path, S_IFREG | 0o640, 5, MOMENT + 123_456_789), b"hello"),
        (ArchiveMember("d/link", S_IFLNK | 0o777, target=f"../{path}"), None),
        (ArchiveMember("d/hard", S_IFREG | 0o640, first=path), None),
    ]
    file = tmp_path / f"a.{name}"
    file.write_bytes(written(name, members))

    try:
        listed = tar("-tf", file).decode("utf-8", "replace").splitlines()
    except subprocess.CalledProcessError:
        pytest.skip(f"tar cannot unpack {name} here")
    tar("-xf", file, "-C", tmp_path)

    assert len(listed) == 4
    assert (tmp_path / "d/link").read_bytes() == b"hello"
    status = (tmp_path / path).stat()
    assert (status.st_nlink, S_IMODE(status.st_mode)) == (2, 0o640)
    assert status.st_mtime_ns == MOMENT + 123_456_789
    assert S_IMODE((tmp_path / "d").stat().st_mode) == 0o750


@needs_tar
@pytest.mark.parametrize("tar_format", ["v7", "ustar", "gnu", "pax"])
def test_what_tar_writes_is_read(tar_format: str, tmp_path: Path) -> None:
    if not is_gnu():
        pytest.skip("this tar has other options")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/file").write_bytes(b"hello" * 1000)
    os.utime(tmp_path / "d/file", ns=(MOMENT, MOMENT + 123_456_789))
    (tmp_path / "d/file").chmod(0o751)
    (tmp_path / "d/link").symlink_to("file")
    os.link(tmp_path / "d/file", tmp_path / "d/hard")

    found = read(
        "tar",
        tar("-c", f"--format={tar_format}", "--sort=name", "-C", str(tmp_path), "d"),
    )

    directory, file, hard, link = (member for member, _ in found)
    exact = MOMENT + (123_456_789 if tar_format == "pax" else 0)
    assert [member.path for member, _ in found] == ["d", "d/file", "d/hard", "d/link"]
    assert (S_IFMT(directory.mode), link.target) == (S_IFDIR, "file")
    assert (file.mode, file.size, file.mtime_ns) == (S_IFREG | 0o751, 5000, exact)
    assert (hard.first, found[1][1]) == ("d/file", b"hello" * 1000)


@needs_tar
@pytest.mark.parametrize("way", ["oldgnu", "0.0", "0.1", "1.0"])
def test_what_tar_writes_of_a_file_with_holes_is_read(way: str, tmp_path: Path) -> None:
    if not is_gnu():
        pytest.skip("this tar has other options")
    with open(tmp_path / "holed", "wb") as file:
        for number in range(20):
            file.seek(number << 18)
            file.write(b"%d" % number)
        file.truncate(6 << 20)
    options = ["--format=gnu"]
    if way != "oldgnu":
        options = ["--format=pax", f"--sparse-version={way}"]

    archive = tar("-cS", *options, "-C", str(tmp_path), "holed")

    ((member, data),) = read("tar", archive)
    assert len(archive) < 1 << 20
    assert member.path == "holed"
    assert data == (tmp_path / "holed").read_bytes()


@needs_tar
def test_attributes_go_to_tar_and_back(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.touch()
    try:
        os.setxattr(file, "user.a", b"\0\n=")
    except (AttributeError, OSError):
        pytest.skip("there are no extended attributes here")
    if not is_gnu():
        pytest.skip("this tar has other options")

    ((member, _),) = read("tar", tar("-c", "--xattrs", "-C", str(tmp_path), "a"))
    file.unlink()
    tar("-x", "--xattrs", "-C", str(tmp_path), data=written("tar", [(member, b"")]))

    assert member.xattrs["user.a"] == b"\0\n="
    assert os.getxattr(file, "user.a") == b"\0\n="


@pytest.mark.parametrize("name", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_ours_is_unpacked_by_tarfile(name: str, tmp_path: Path) -> None:
    exact = MOMENT + 500_000_000
    members: Members = [
        (ArchiveMember("d", S_IFDIR | 0o755), None),
        (ArchiveMember("d/file", S_IFREG | 0o640, 5, exact), b"hello"),
        (ArchiveMember("d/hard", S_IFREG | 0o640, 0, exact, first="d/file"), None),
        (ArchiveMember("d/ü" + "x" * 99, S_IFREG | 0o640, 2), b"xx"),
    ]

    with tarfile.open(fileobj=io.BytesIO(written(name, members))) as archive:
        archive.extractall(tmp_path, filter="data")

    assert (tmp_path / "d/hard").read_bytes() == b"hello"
    assert (tmp_path / ("d/ü" + "x" * 99)).read_bytes() == b"xx"
    assert (tmp_path / "d/file").stat().st_mtime == 1_700_000_000.5
