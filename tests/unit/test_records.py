"""Records: made from a row, read in the words of ``os``."""

from __future__ import annotations

import errno
import os
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs._entry import Entry
from stratavfs.records import Finding, Inode, InodeId, StatResult, VPath

if TYPE_CHECKING:
    from pathlib import Path

    from stratavfs import VirtualFileSystem

FILE, DIRECTORY, LINK = 0o100644, 0o40755, 0o120777


def inode(mode: int) -> Inode:
    target = "t" if mode == LINK else None
    return Inode(
        id=InodeId(7),
        mode=mode,
        nlink=1,
        uid=0,
        gid=0,
        owner="",
        group="",
        size=3,
        atime_ns=1,
        mtime_ns=2,
        ctime_ns=3,
        birthtime_ns=4,
        generation=1,
        opaque=0,
        target=target,
    )


def entry(mode: int | None, error: int = errno.ENOENT) -> Entry:
    found = None if mode is None else inode(mode)
    return Entry(VPath("/real"), VPath("/asked"), found, error)


def stat_result(**changes: Any) -> StatResult:
    found = StatResult(
        st_mode=FILE,
        st_ino=7,
        st_dev=1,
        st_nlink=2,
        st_uid=10,
        st_gid=11,
        st_size=5,
        st_atime_ns=1,
        st_mtime_ns=2,
        st_ctime_ns=3,
        st_birthtime_ns=4,
        owner="ann",
        group="staff",
        generation=9,
        source_layer="local",
    )
    return found._replace(**changes)


# --- Inode and Entry ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "kind"), [(FILE, "file"), (DIRECTORY, "directory"), (LINK, "link")]
)
def test_inode_mode_is_of_one_kind(mode: int, kind: str) -> None:
    found = inode(mode)

    kinds = {
        "file": found.is_file,
        "directory": found.is_directory,
        "link": found.is_link,
    }

    assert [name for name, yes in kinds.items() if yes] == [kind]


@pytest.mark.parametrize("mode", [FILE, DIRECTORY, LINK])
def test_require_present_entry_gives_inode(mode: int) -> None:
    assert entry(mode).require() == inode(mode)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR, errno.ELOOP])
@pytest.mark.parametrize("verb", ["require", "require_file", "require_directory"])
def test_require_absent_entry_raises_its_errno_with_the_asked_path(
    verb: str, number: int
) -> None:
    with pytest.raises(OSError) as caught:
        getattr(entry(None, number), verb)()

    assert (caught.value.errno, caught.value.filename) == (number, "/asked")


def test_require_file_directory_raises_is_a_directory() -> None:
    with pytest.raises(IsADirectoryError) as caught:
        entry(DIRECTORY).require_file()

    assert (caught.value.errno, caught.value.filename) == (errno.EISDIR, "/asked")
    assert entry(FILE).require_file() == inode(FILE)


def test_require_directory_file_raises_not_a_directory() -> None:
    with pytest.raises(NotADirectoryError) as caught:
        entry(FILE).require_directory()

    assert (caught.value.errno, caught.value.filename) == (errno.ENOTDIR, "/asked")
    assert entry(DIRECTORY).require_directory() == inode(DIRECTORY)


def test_require_absent_present_raises_exists() -> None:
    with pytest.raises(FileExistsError) as caught:
        entry(FILE).require_absent()

    entry(None).require_absent()
    assert (caught.value.errno, caught.value.filename) == (errno.EEXIST, "/asked")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(FILE, False), (DIRECTORY, True), (LINK, False), (None, False)],
)
def test_is_directory_entry_tells(mode: int | None, expected: bool) -> None:
    assert entry(mode).is_directory is expected


# --- StatResult -----------------------------------------------------------------------


def test_stat_result_has_the_fields_of_os(tmp_path: Path) -> None:
    assert set(dir(tmp_path.stat())) >= POSIX_FIELDS
    assert set(dir(stat_result())) >= POSIX_FIELDS


def test_stat_result_begins_with_the_fields_of_inode() -> None:
    # The view makes one from the other by cutting the tuple.
    shared = [name.removeprefix("st_") for name in StatResult._fields[:13]]

    assert [name.replace("ino", "id") for name in shared] == list(Inode._fields[:13])


POSIX_FIELDS = {
    "st_mode",
    "st_ino",
    "st_dev",
    "st_nlink",
    "st_uid",
    "st_gid",
    "st_size",
    "st_atime",
    "st_mtime",
    "st_ctime",
    "st_atime_ns",
    "st_mtime_ns",
    "st_ctime_ns",
}


def test_stat_result_times_are_seconds_and_aware_datetimes() -> None:
    second = 1_000_000_000

    found = stat_result(
        st_atime_ns=second // 2,
        st_mtime_ns=second * 3 // 2,
        st_ctime_ns=second * 5 // 2,
        st_birthtime_ns=second * 7 // 2,
    )

    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    times = (found.st_atime, found.st_mtime, found.st_ctime, found.st_birthtime)
    assert times == (0.5, 1.5, 2.5, 3.5)
    assert found.accessed_at == epoch + timedelta(seconds=0.5)
    assert found.modified_at == epoch + timedelta(seconds=1.5)
    assert found.created_at == epoch + timedelta(seconds=3.5)


def test_stat_result_moment_before_1970_is_before_the_epoch() -> None:
    found = stat_result(st_mtime_ns=-1_500_000_000)

    assert found.st_mtime == -1.5
    assert found.modified_at == datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(("mode", "expected"), [(FILE, False), (DIRECTORY, True)])
def test_stat_result_is_directory_tells(mode: int, expected: bool) -> None:
    assert stat_result(st_mode=mode).is_directory is expected


def test_stat_result_works_with_the_standard_library() -> None:
    found = stat_result()
    other: Any = stat_result(st_ino=8)
    same: Any = found

    assert stat.filemode(found.st_mode) == "-rw-r--r--"
    assert os.path.samestat(same, same)
    assert not os.path.samestat(same, other)


def test_stat_result_of_the_view_is_that_of_the_row(mem: VirtualFileSystem) -> None:
    mem.write_text("/a", "text")
    mem.chown("/a", 7, "staff")

    row = mem._layers.locate(VPath("/a")).require()

    assert mem._layers.stat_of(row, None) == mem.stat("/a")


# --- Finding --------------------------------------------------------------------------


def test_finding_as_text_names_rule_subject_and_message() -> None:
    assert str(Finding(4, "/", "is missing")) == "MUST 4: /: is missing"
