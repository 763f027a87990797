"""Zip archives: which members are shown, under what names, with what attributes."""

from __future__ import annotations

import calendar
import errno
import io
import pickle
import stat
import struct
import subprocess
import sys
import zipfile
from stat import S_IFDIR, S_IFLNK, S_IFREG
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.layers.archives import archive_of, layer_of, member, tree

from stratavfs.layers import ZipLayer

if TYPE_CHECKING:
    from pathlib import Path

LINK = (S_IFLNK | 0o777) << 16


def reasons(layer: ZipLayer) -> dict[str, str]:
    return dict(layer.skipped)


# --- names ----------------------------------------------------------------------------

NAMES = {
    "a": ["/a"],
    "/a": ["/a"],
    "//a///b": ["/a", "/a/b"],
    "./a/./b": ["/a", "/a/b"],
    "a/": ["/a"],
    "a/b/": ["/a", "/a/b"],
    "..a/b..": ["/..a", "/..a/b.."],
    "...": ["/..."],
    "a\\b": ["/a\\b"],
    "C:/a": ["/C:", "/C:/a"],
    "new\nline": ["/new\nline"],
    "caf\xe9/\u65e5": ["/caf\xe9", "/caf\xe9/\u65e5"],
    "x" * 255: ["/" + "x" * 255],
    "/": [],
    "./": [],
}


@pytest.mark.parametrize(("name", "paths"), NAMES.items(), ids=ascii)
def test_name_of_a_member_becomes_a_path(name: str, paths: list[str]) -> None:
    layer = layer_of(member(name))

    assert sorted(tree(layer)) == paths
    assert layer.skipped == []


@pytest.mark.parametrize(
    ("system", "paths"),
    [
        (0, ["/a", "/a/b"]),
        (10, ["/a", "/a/b"]),
        (14, ["/a", "/a/b"]),
        (3, ["/a\\b"]),
        (19, ["/a\\b"]),
    ],
)
def test_backslash_separates_in_archives_of_dos(system: int, paths: list[str]) -> None:
    layer = layer_of(member("a\\b", create_system=system))

    assert sorted(tree(layer)) == paths


def test_backslash_at_the_end_makes_a_directory_in_archives_of_dos() -> None:
    found = layer_of(member("a\\", create_system=0)).find("/a")

    assert found is not None
    assert found.is_directory


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../a", "its name leads up"),
        ("a/../b", "its name leads up"),
        ("/..", "its name leads up"),
        ("a\0b", "null"),
        ("x" * 256, "name too long"),
        ("x/" * 2048 + "x", "name too long"),
        ("", "a directory has its name"),
        (".", "a directory has its name"),
    ],
    ids=lambda text: ascii(text[:9]),
)
def test_name_that_is_no_path_is_skipped(name: str, why: str) -> None:
    layer = layer_of(member(name, b"bad"), member("good", b"good"))

    assert tree(layer) == {"/good": b"good"}
    assert list(reasons(layer)) == [name]
    assert why in reasons(layer)[name].lower()


def test_name_that_leads_up_by_backslashes_is_skipped() -> None:
    layer = layer_of(member("a\\..\\..\\b", create_system=0))

    assert tree(layer) == {}
    assert reasons(layer) == {"a\\..\\..\\b": "its name leads up"}


def unflagged(name: bytes) -> ZipLayer:
    """Return a layer with one member, of whose *name* nothing is said."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x" * len(name), b"")
    return ZipLayer(io.BytesIO(file.getvalue().replace(b"x" * len(name), name)))


def test_name_of_unix_that_is_utf8_and_does_not_say_so_is_read_as_that() -> None:
    layer = unflagged("müller".encode())

    assert [name for name, _ in layer.kinds("/")] == ["müller"]


def test_name_of_unix_that_is_no_utf8_is_read_as_zip_says() -> None:
    layer = unflagged("ü".encode("cp437"))

    assert [name for name, _ in layer.kinds("/")] == ["ü"]


def test_last_of_equal_names_is_shown() -> None:
    layer = layer_of(
        member("a", b"1"), member("b", b"2"), member("./a", b"3"), member("/a", b"4")
    )

    assert tree(layer) == {"/a": b"4", "/b": b"2"}
    assert layer.skipped == [
        ("a", "a later member has its name"),
        ("./a", "a later member has its name"),
    ]


@pytest.mark.parametrize("turned", [False, True])
def test_file_gives_way_to_a_directory_with_something_in_it(turned: bool) -> None:
    members = [member("a", b"file"), member("a-b", b"1"), member("a/b", b"2")]

    layer = layer_of(*(members[::-1] if turned else members))

    assert tree(layer) == {"/a": None, "/a-b": b"1", "/a/b": b"2"}
    assert reasons(layer) == {"a": "a directory has its name"}


def test_link_gives_way_to_a_directory_with_something_in_it() -> None:
    layer = layer_of(member("a", b"/etc", external_attr=LINK), member("a/passwd", b"1"))

    assert tree(layer) == {"/a": None, "/a/passwd": b"1"}


@pytest.mark.parametrize("name", ["a", "a/"])
def test_last_of_a_file_and_an_empty_directory_is_shown(name: str) -> None:
    layer = layer_of(member("a/"), member("a", b"1"), member(name, b""))

    found = layer.find("/a")

    assert found is not None
    assert found.is_directory == name.endswith("/")


# --- directories ----------------------------------------------------------------------


def test_directories_without_members_are_there() -> None:
    layer = layer_of(member("a/b/c", b"1"), member("a-b/c", b"2"), member("a0", b"3"))

    assert sorted(layer.kinds("/")) == [
        ("a", S_IFDIR),
        ("a-b", S_IFDIR),
        ("a0", S_IFREG),
    ]
    assert layer.kinds("/a") == [("b", S_IFDIR)]
    assert layer.kinds("/a/b") == [("c", S_IFREG)]


def test_kinds_does_not_look_at_all_that_lies_below() -> None:
    layer = layer_of(*(member(f"{n % 3}/{n}") for n in range(300)))

    looked_at = list(layer._index().kinds("/"))

    assert looked_at == [("0", S_IFDIR), ("1", S_IFDIR), ("2", S_IFDIR)]


def test_directories_without_members_have_the_time_of_the_newest_member() -> None:
    layer = layer_of(
        member("a/b", date_time=(2001, 1, 1, 0, 0, 0)),
        member("c", date_time=(2020, 1, 1, 0, 0, 0)),
    )

    found = [layer.find(path) for path in ("/", "/a")]

    newest = calendar.timegm((2020, 1, 1, 0, 0, 0)) * 1_000_000_000
    assert [inode and inode.mtime_ns for inode in found] == [newest, newest]
    assert [inode and inode.mode for inode in found] == [S_IFDIR | 0o755] * 2


def test_members_for_directories_give_their_attributes() -> None:
    layer = layer_of(
        member("./", external_attr=(S_IFDIR | 0o700) << 16),
        member("a/", b"ignored", external_attr=(S_IFDIR | 0o750) << 16),
        member("a/b"),
    )

    found = [layer.find(path) for path in ("/", "/a")]

    assert [inode and inode.mode for inode in found] == [
        S_IFDIR | 0o700,
        S_IFDIR | 0o750,
    ]
    assert [inode and inode.size for inode in found] == [0, 0]
    assert tree(layer) == {"/a": None, "/a/b": b""}


def test_numbers_tell_all_files_and_directories_apart() -> None:
    layer = layer_of(member("a/b/c/d"), member("e/f"), member("e/g/"), member("h"))

    paths = ["/", *tree(layer)]
    numbers = {inode.id for path in paths if (inode := layer.find(path))}

    assert len(paths) == len(numbers) == 9
    assert all(0 < number < 1 << 63 for number in numbers)


@pytest.mark.parametrize("path", ["/b", "/a/x", "/a/b/x", "/a/b/", "a", "/a/.."])
def test_find_of_what_is_absent_is_none(path: str) -> None:
    layer = layer_of(member("a/b"))

    assert layer.find(path) is None
    with pytest.raises(FileNotFoundError) as caught:
        layer.open(path)
    assert caught.value.filename == path


@pytest.mark.parametrize(
    ("path", "code"),
    [("/b", errno.ENOENT), ("/a/b", errno.ENOTDIR), ("/a/b/c", errno.ENOENT)],
)
def test_kinds_of_no_directory_raises(path: str, code: int) -> None:
    layer = layer_of(member("a/b"))

    with pytest.raises(OSError) as caught:
        layer.kinds(path)

    assert (caught.value.errno, caught.value.filename) == (code, path)


@pytest.mark.parametrize("names", [[], ["."]])
def test_archive_without_members_is_an_empty_directory(names: list[str]) -> None:
    layer = layer_of(*map(member, names))

    found = layer.find("/")

    assert found is not None
    assert found.is_directory
    assert layer.kinds("/") == []


# --- attributes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "system", "mode", "shown"),
    [
        ("a", 3, S_IFREG | 0o4751, S_IFREG | 0o4751),
        ("a", 19, S_IFREG | 0o600, S_IFREG | 0o600),
        ("a", 3, 0o600, S_IFREG | 0o600),
        ("a", 3, 0, S_IFREG | 0o644),
        ("a", 3, S_IFREG, S_IFREG),
        ("a", 0, S_IFREG | 0o600, S_IFREG | 0o644),
        ("a/", 3, 0, S_IFDIR | 0o755),
        ("a/", 0, 0, S_IFDIR | 0o755),
        ("a", 3, S_IFDIR | 0o700, S_IFDIR | 0o700),
        ("a/", 3, S_IFLNK | 0o777, S_IFDIR | 0o777),
    ],
)
def test_mode_is_the_one_of_unix_or_the_usual(
    name: str, system: int, mode: int, shown: int
) -> None:
    found = layer_of(member(name, create_system=system, external_attr=mode << 16)).find(
        "/a"
    )

    assert found is not None
    assert oct(found.mode) == oct(shown)
    assert (found.uid, found.gid, found.nlink) == (0, 0, 1)


@pytest.mark.parametrize(
    "kind", [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK, 0o160000]
)
def test_special_files_are_skipped(kind: int) -> None:
    layer = layer_of(member("a/b", external_attr=(kind | 0o600) << 16))

    assert tree(layer) == {}
    assert reasons(layer) == {"a/b": "it is neither file, directory nor link"}


@pytest.mark.parametrize(
    ("date_time", "moment"),
    [
        ((2024, 2, 29, 12, 30, 58), (2024, 2, 29, 12, 30, 58)),
        ((1980, 1, 1, 0, 0, 0), (1980, 1, 1, 0, 0, 0)),
        ((1980, 0, 0, 0, 0, 0), (1970, 1, 1, 0, 0, 0)),
        ((2001, 2, 30, 0, 0, 0), (1970, 1, 1, 0, 0, 0)),
        ((2001, 2, 3, 31, 63, 62), (1970, 1, 1, 0, 0, 0)),
    ],
)
def test_times_are_read_as_utc(
    date_time: tuple[int, ...], moment: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")

    found = layer_of(member("a", date_time=date_time)).find("/a")

    assert found is not None
    times = {found.mtime_ns, found.atime_ns, found.ctime_ns, found.birthtime_ns}
    assert times == {calendar.timegm(moment) * 1_000_000_000}


def field(number: int, data: bytes) -> bytes:
    return struct.pack("<HH", number, len(data)) + data


@pytest.mark.parametrize(
    ("extra", "seconds"),
    [
        (field(0x5455, b"\1" + struct.pack("<i", 1_700_000_001)), 1_700_000_001),
        (field(0x5455, b"\7" + struct.pack("<iii", -5, 1, 2)), -5),
        (field(0xCAFE, b"??") + field(0x5455, b"\3\7\0\0\0"), 7),
        (field(0x5455, b"\2" + struct.pack("<i", 1)), None),  # of access alone
        (field(0x5455, b"\1") + field(0xCAFE, b"??"), None),
        (field(0xCAFE, b"??"), None),
    ],
)
def test_exact_time_is_preferred(extra: bytes, seconds: int | None) -> None:
    made = (2001, 1, 1, 0, 0, 0)

    found = layer_of(member("a", extra=extra, date_time=made)).find("/a")

    assert found is not None
    expected = calendar.timegm(made) if seconds is None else seconds
    assert found.mtime_ns == expected * 1_000_000_000


def test_size_of_a_large_member_is_found(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        with archive.open("a", "w", force_zip64=True) as file:
            file.write(b"12345")
        archive.filelist[0].file_size = 1 << 40  # in the directory alone

    found = ZipLayer(tmp_path / "a.zip").find("/a")

    assert found is not None
    assert found.size == 1 << 40


def test_impossible_size_is_skipped(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", b"12345")
        archive.filelist[0].file_size = 1 << 63

    assert reasons(ZipLayer(tmp_path / "a.zip")) == {"a": "its size is impossible"}


# --- symbolic links -------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["a", "../../up", "/etc/passwd", "caf\xe9", "x/" * 2047 + "x"]
)
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_link_leads_where_it_is_written(target: str, compression: int) -> None:
    data = target.encode()
    layer = layer_of(
        member("a/link", data, external_attr=LINK, compress_type=compression)
    )

    found = layer.find("/a/link")

    assert found is not None
    assert (found.mode, found.target) == (S_IFLNK | 0o777, target)
    assert found.size == len(data)
    assert layer.kinds("/a") == [("link", S_IFLNK)]
    assert layer.find("/a/link/x") is None
    with pytest.raises(FileNotFoundError):
        layer.open("/a/link")


@pytest.mark.parametrize(
    "data", [b"", b"a\0b", b"caf\xe9", b"x" * 4096], ids=["", "NUL", "bytes", "long"]
)
def test_link_that_leads_nowhere_is_skipped(data: bytes) -> None:
    layer = layer_of(member("link", data, external_attr=LINK), member("a", b"1"))

    assert tree(layer) == {"/a": b"1"}
    assert list(reasons(layer)) == ["link"]


def test_link_of_dos_is_a_file() -> None:
    layer = layer_of(member("link", b"a", external_attr=LINK, create_system=0))

    assert tree(layer) == {"/link": b"a"}


def test_damaged_link_is_skipped() -> None:
    good = archive_of([member("link", b"target", external_attr=LINK)])

    layer = ZipLayer(io.BytesIO(good.replace(b"target", b"tarmac")))

    assert "checksum" in reasons(layer)["link"]


# --- the layer itself -----------------------------------------------------------------


def test_layer_of_a_path_tells_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive_of([member("a")]))

    layer = ZipLayer(tmp_path / "a.zip")
    promised = ZipLayer(str(tmp_path / "a.zip"), immutable=True)

    assert (layer.kind, layer.location) == ("zip", str(tmp_path / "a.zip"))
    assert (layer.immutable, promised.immutable) == (False, True)
    assert layer.xattrs("/a") == {}


def test_layer_of_a_file_object_has_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive_of([member("a")]))

    with open(tmp_path / "a.zip", "rb") as file:
        assert ZipLayer(file).location == str(tmp_path / "a.zip")
    assert layer_of().location == ""


@pytest.mark.parametrize("immutable", [False, True])
def test_layer_of_a_path_survives_pickling(tmp_path: Path, immutable: bool) -> None:
    (tmp_path / "a.zip").write_bytes(archive_of([member("a", b"1")]))
    layer = ZipLayer(tmp_path / "a.zip", immutable=immutable)

    twin: ZipLayer = pickle.loads(pickle.dumps(layer))

    assert tree(twin) == {"/a": b"1"}
    assert twin.immutable is immutable


def test_layer_of_an_open_file_is_not_pickled(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive_of([member("a", b"1")]))

    with open(tmp_path / "a.zip", "rb") as file, pytest.raises(TypeError):
        pickle.dumps(ZipLayer(file))


@pytest.mark.parametrize("wrong", [5, None, io.StringIO("PK"), [b""]], ids=repr)
def test_make_of_no_file_raises_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="path or a binary file object"):
        ZipLayer(wrong)


def test_import_of_layers_does_not_load_zipfile() -> None:
    code = "import sys, stratavfs.layers; print('zipfile' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )

    assert found.stdout.strip() == "False"
