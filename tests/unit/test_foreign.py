"""Layers of somebody else's: looked at before they are believed, or named."""

from __future__ import annotations

import errno
import io
import stat
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground

from stratavfs import LayerFailed, VirtualFileSystem
from stratavfs._foreign import ForeignLayer, checked, checked_name
from stratavfs._paths import ROOT
from stratavfs.records import S_IFWHT, Inode, InodeId, VPath

if TYPE_CHECKING:
    from collections.abc import Callable

DIRECTORY = stat.S_IFDIR | 0o755
FILE = stat.S_IFREG | 0o644
LINK = stat.S_IFLNK | 0o777

Vfs = VirtualFileSystem


class LeastLayer:
    """The least that a layer is: three methods and nothing else."""

    def __init__(self, **found: Any) -> None:
        self.found: dict[str, Any] = {"/": Inode(DIRECTORY)}
        self.found |= {f"/{name}": inode for name, inode in found.items()}

    def find(self, path: str) -> Any:
        return self.found.get(path)

    def kinds(self, path: str) -> Any:
        if path not in self.found:
            raise FileNotFoundError(path)
        start = path.rstrip("/") + "/"
        return [
            (name[len(start) :], stat.S_IFMT(inode.mode))
            for name, inode in self.found.items()
            if name.startswith(start) and "/" not in name[len(start) :] != ""
        ]

    def open(self, path: str) -> Any:
        return io.BytesIO(b"x" * self.found[path].size)


Least: Any = LeastLayer  # to type checkers a layer has all of the protocol


@pytest.fixture
def vfs(make_vfs: Any) -> Vfs:
    """A file system over a good layer, ``/good`` in it."""
    made: Vfs = make_vfs(chunk_size=64)
    made.add_underlay(Least(good=Inode(FILE, size=4)), 1, "good")
    return made


def refused(vfs: Vfs, call: Callable[..., object], path: str, *args: Any) -> None:
    """Check that *call* says which layer failed, where, and changes nothing."""
    before = ground.dump(vfs._store._cx)

    with pytest.raises(LayerFailed, match="odd") as caught:
        call(path, *args)

    assert caught.value.filename == path
    assert caught.value.errno == errno.EIO
    assert isinstance(caught.value.__cause__, Exception)
    assert ground.dump(vfs._store._cx) == before
    assert vfs.read_bytes("/good") == b"xxxx"


# --- the least ------------------------------------------------------------------------


def test_layer_with_three_methods_is_enough(make_vfs: Any) -> None:
    layer = Least(
        d=Inode(DIRECTORY), f=Inode(FILE, size=3), l=Inode(LINK, size=1, target="f")
    )
    layer.found["/d/g"] = Inode(FILE, size=100)
    vfs = make_vfs()

    vfs.add_underlay(layer, name="least")

    assert [*vfs.walk("/")] == [("/", ["d"], ["f", "l"]), ("/d", [], ["g"])]
    assert (vfs.read_bytes("/l"), vfs.readlink("/l")) == (b"xxx", "f")
    assert vfs.listxattr("/f") == []
    assert vfs.list_layers()[1] == {
        "name": "least",
        "priority": 0,
        "db_path": "",
        "writable": False,
        "kind": "least",
        "at": "/",
    }
    vfs.chmod("/l", 0o600)
    vfs.rename("/d", "/e")
    assert vfs.read_bytes("/e/g") == b"x" * 100
    assert vfs.stat("/f").st_mode == stat.S_IFREG | 0o600
    vfs.close()  # a layer without close() is not closed


def test_layer_without_numbers_has_files_that_differ(make_vfs: Any) -> None:
    vfs = make_vfs()
    vfs.add_underlay(Least(a=Inode(FILE), b=Inode(FILE)))

    assert vfs.samefile("/a", "/a")
    assert not vfs.samefile("/a", "/b")
    assert vfs.stat("/a").st_ino != 0


def test_layer_with_numbers_has_hard_links(make_vfs: Any) -> None:
    vfs = make_vfs()
    same = Inode(FILE, id=InodeId(7), nlink=2)
    vfs.add_underlay(Least(a=same, b=same))

    assert vfs.samefile("/a", "/b")
    assert vfs.stat("/a").st_nlink == 2


def test_layer_that_deletes_hides_what_is_below_it(vfs: Vfs, make_vfs: Any) -> None:
    base = make_vfs()
    base.write_text("/d/old", "1")
    base.write_text("/e/old", "1")
    vfs.add_underlay(base, -2)
    patch = Least(good=Inode(S_IFWHT), d=Inode(DIRECTORY, opaque=1), e=Inode(DIRECTORY))
    patch.found["/e/new"] = Inode(FILE)

    vfs.add_underlay(patch, 2, "patch")

    assert vfs.listdir("/") == ["d", "e"]
    assert (vfs.listdir("/d"), vfs.listdir("/e")) == ([], ["new", "old"])
    assert not vfs.exists("/good")
    assert not vfs.exists("/d/old")
    assert vfs.which_layer("/e/old") is not None


# --- what cannot be -------------------------------------------------------------------

IMPOSSIBLE: dict[str, Any] = {
    "pipe": Inode(stat.S_IFIFO | 0o644),
    "no type": Inode(0o644),
    "negative size": Inode(FILE, size=-1),
    "target of a file": Inode(FILE, target="x"),
    "target of a directory": Inode(DIRECTORY, target="x"),
    "link to nothing": Inode(LINK, target=None),
    "link to the empty": Inode(LINK, target=""),
    "NUL in a target": Inode(LINK, target="a\0b", size=3),
    "surrogate in a target": Inode(LINK, target="\udcff", size=1),
    "no inode": (FILE, 1, 2),
    "text": "file",
    "size that is text": Inode(FILE, size="3"),  # type: ignore[arg-type]
    "mode that is text": Inode("rw"),  # type: ignore[arg-type]
}
# What a container cannot hold: it was believed, and failed when the file came up.
TOO_MUCH: dict[str, Any] = {
    "mode of 20 bits": Inode(FILE | 1 << 20),
    "time of 70 bits": Inode(FILE, mtime_ns=1 << 70),
    "size of 70 bits": Inode(FILE, size=1 << 70),
    "uid of 70 bits": Inode(FILE, uid=1 << 70),
    "surrogate in the owner": Inode(FILE, owner="\udcff"),
    "time that is text": Inode(FILE, mtime_ns="3"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_impossible_inode_is_refused_by_layer_and_path(vfs: Vfs, what: str) -> None:
    layer = Least(odd=IMPOSSIBLE[what])
    layer.kinds = lambda path: [("odd", FILE)]
    vfs.add_underlay(layer, name="odd")

    for call in (vfs.lstat, vfs.read_bytes, vfs.remove, vfs.readlink):
        refused(vfs, call, "/odd")
    refused(vfs, lambda path: vfs.chmod(path, 0o600), "/odd")
    assert vfs.remove_underlay("odd")
    assert vfs.listdir("/") == ["good"]


@pytest.mark.parametrize("what", TOO_MUCH)
def test_inode_that_no_container_holds_is_refused_at_the_latest_when_it_comes_up(
    vfs: Vfs, what: str
) -> None:
    vfs.add_underlay(Least(odd=TOO_MUCH[what]), name="odd")

    refused(vfs, lambda path: vfs.chmod(path, 0o600), "/odd")
    refused(vfs, lambda path: vfs.link(path, path + "2"), "/odd")


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "a/b", "/", "\0", "a\0", "\udcff"),
        "x" * 256,
        "é" * 128,
        3,
        b"x",
    ],
)
def test_impossible_name_is_refused_by_layer_and_path(vfs: Vfs, name: Any) -> None:
    layer = Least(fine=Inode(FILE))
    layer.kinds = lambda path: [("fine", FILE), (name, FILE)]
    vfs.add_underlay(layer, name="odd")

    refused(vfs, vfs.listdir, "/")
    refused(vfs, lambda path: [*vfs.scandir(path)], "/")
    refused(vfs, lambda path: vfs.flatten(Vfs()), "/")
    assert vfs.stat("/fine").size == 0
    vfs.remove_underlay("odd")
    assert vfs.listdir("/") == ["good"]


@pytest.mark.parametrize("kind", [0, 0o644, stat.S_IFIFO, 1 << 20, -1, "file"])
def test_impossible_kind_in_a_listing_is_refused(vfs: Vfs, kind: Any) -> None:
    layer = Least(odd=Inode(FILE))
    layer.kinds = lambda path: [("odd", kind)]
    vfs.add_underlay(layer, name="odd")

    refused(vfs, vfs.listdir, "/")


@pytest.mark.parametrize("listing", [None, 3, [("a", "b")], [("a",)], ["name"]])
def test_impossible_listing_is_refused(vfs: Vfs, listing: Any) -> None:
    layer = Least()
    layer.kinds = lambda path: listing
    vfs.add_underlay(layer, name="odd")

    refused(vfs, vfs.listdir, "/")


@pytest.mark.parametrize("xattrs", [None, 3, {"a": "text"}, {"\udcff": b""}])
def test_impossible_attributes_are_refused_when_the_file_comes_up(
    vfs: Vfs, xattrs: Any
) -> None:
    layer = Least(f=Inode(FILE))
    layer.xattrs = lambda path: xattrs
    vfs.add_underlay(layer, name="odd")

    refused(vfs, lambda path: vfs.chmod(path, 0o600), "/f")


def test_attributes_come_up_with_the_file(vfs: Vfs) -> None:
    layer = Least(f=Inode(FILE))
    layer.xattrs = lambda path: {"user.a": b"1", "user.b": b""}
    vfs.add_underlay(layer, name="odd")

    vfs.chmod("/f", 0o600)

    assert vfs.listxattr("/f") == ["user.a", "user.b"]
    assert vfs.getxattr("/f", "user.a") == b"1"


def test_checked_gives_what_can_be() -> None:
    for inode in (
        *(Inode(DIRECTORY), Inode(FILE, size=1 << 40), Inode(S_IFWHT)),
        Inode(LINK, target="é", size=2),
    ):
        assert checked(inode) is inode
    for name in ("a", "...", " ", "é" * 127, "\\", "*?[x]", "\n"):
        assert checked_name(name) == name


# --- what fails -----------------------------------------------------------------------

CAUSES = [
    *(OSError(errno.EIO, "bad sector"), OSError("no number"), PermissionError()),
    *(FileNotFoundError(errno.ENOENT, "gone"), NotADirectoryError(errno.ENOTDIR, "no")),
    *(RuntimeError("boom"), KeyError("x"), ValueError(), AssertionError("why")),
    *(RecursionError("deep"), MemoryError(), StopIteration("stop"), EOFError("short")),
]


_ABSENT = (FileNotFoundError, NotADirectoryError)
GONE = {"find": _ABSENT, "kinds": _ABSENT}


@pytest.mark.parametrize(
    ("verb", "cause"),
    [
        (verb, cause)
        for verb in ("find", "kinds", "open", "xattrs")
        for cause in CAUSES
        if not isinstance(cause, GONE.get(verb, FileNotFoundError))
    ],
)
def test_layer_that_raises_anything_is_named(
    vfs: Vfs, verb: str, cause: Exception
) -> None:
    layer = Least(f=Inode(FILE, size=3))
    vfs.add_underlay(layer, name="odd")

    def fail(path: str) -> Any:
        raise cause

    setattr(layer, verb, fail)
    calls: dict[str, Callable[[], object]] = {
        "find": lambda: vfs.stat("/f"),
        "kinds": lambda: vfs.listdir("/"),
        "open": lambda: vfs.read_bytes("/f"),
        "xattrs": lambda: vfs.chmod("/f", 0o600),
    }

    with pytest.raises(LayerFailed, match="odd") as caught:
        calls[verb]()

    known = (None, errno.ENOENT, errno.ENOTDIR)
    number = getattr(cause, "errno", None)
    assert caught.value.errno == (errno.EIO if number in known else number)
    assert caught.value.filename == ("/" if verb == "kinds" else "/f")
    assert caught.value.__cause__ is cause
    assert vfs.read_bytes("/good") == b"xxxx"
    assert vfs.which_layer("/good") == "good"


@pytest.mark.parametrize("cause", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_what_is_no_failure_of_the_layer_passes(vfs: Vfs, cause: BaseException) -> None:
    layer = Least(f=Inode(FILE))
    vfs.add_underlay(layer, name="odd")

    def interrupted(path: str) -> Any:
        raise cause

    layer.find = interrupted

    with pytest.raises(type(cause)):
        vfs.stat("/f")

    assert vfs.read_bytes("/good") == b"xxxx"


@pytest.mark.parametrize("verb", ["version", "find"])
def test_layer_that_fails_while_it_is_added_is_named_and_not_added(
    vfs: Vfs, verb: str
) -> None:
    layer, cause = Least(), RuntimeError("boom")

    def fail(*path: str) -> Any:
        raise cause

    setattr(layer, verb, fail)

    with pytest.raises(OSError, match=r"odd.*boom") as caught:
        vfs.add_underlay(layer, name="odd")

    assert caught.value.__cause__ is cause
    assert [layer["name"] for layer in vfs.list_layers()] == ["local", "good"]
    assert vfs.read_bytes("/good") == b"xxxx"


def test_file_that_goes_between_finding_and_opening_is_not_found(vfs: Vfs) -> None:
    layer = Least(f=Inode(FILE, size=3))
    vfs.add_underlay(layer, name="odd")
    opened = []

    def gone(path: str) -> Any:
        opened.append(path)
        raise FileNotFoundError(errno.ENOENT, "gone", path)

    layer.open = gone

    for call in (vfs.read_bytes, vfs.open, lambda path: vfs.chmod(path, 0)):
        with pytest.raises(FileNotFoundError) as caught:
            call("/f")
        assert caught.value.filename == "/f"
    assert len(opened) >= 3
    assert vfs.which_layer("/f") == "odd"


def test_file_that_goes_while_it_is_opened_shows_what_is_below(vfs: Vfs) -> None:
    layer = Least(good=Inode(FILE, size=3))
    vfs.add_underlay(layer, 2, "odd")

    def gone(path: str) -> Any:
        layer.found.pop(path)
        raise FileNotFoundError(errno.ENOENT, "gone", path)

    layer.open = gone

    assert vfs.read_bytes("/good") == b"xxxx"
    assert vfs.which_layer("/good") == "good"


def test_file_that_goes_while_it_is_opened_shows_what_is_below_to_a_handle(
    vfs: Vfs,
) -> None:
    layer = Least(good=Inode(FILE, size=3))
    vfs.add_underlay(layer, 2, "odd")

    def gone(path: str) -> Any:
        layer.found.pop(path)
        raise FileNotFoundError(errno.ENOENT, "gone", path)

    layer.open = gone

    with vfs.open("/good", "rb") as handle:
        assert handle.read() == b"xxxx"


@pytest.mark.parametrize("error", [FileNotFoundError, NotADirectoryError])
def test_directory_that_goes_while_it_is_listed_is_empty(
    vfs: Vfs, error: type[OSError]
) -> None:
    layer = Least(d=Inode(DIRECTORY))
    vfs.add_underlay(layer, name="odd")

    def gone(path: str) -> Any:
        if path == "/d":
            raise error(errno.ENOENT, "gone", path)
        return [("d", DIRECTORY)]

    layer.kinds = gone

    assert [*vfs.walk("/")] == [("/", ["d"], ["good"]), ("/d", [], [])]


def test_name_that_goes_while_a_directory_is_listed_is_left_out(vfs: Vfs) -> None:
    layer = Least(f=Inode(FILE))
    layer.kinds = lambda path: [("f", FILE), ("g", FILE)]
    vfs.add_underlay(layer, name="odd")

    assert [entry.name for entry in vfs.scandir("/")] == ["f", "good"]


# --- the pieces -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "hides"),
    [
        ({}, False),
        ({"/d": Inode(DIRECTORY)}, False),
        ({"/d": Inode(DIRECTORY), "/d/e": Inode(DIRECTORY)}, False),
        ({"/d": Inode(FILE)}, True),
        ({"/d": Inode(LINK, target="x")}, True),
        ({"/d": Inode(S_IFWHT)}, True),
        ({"/d": Inode(DIRECTORY, opaque=1)}, True),
        ({"/d": Inode(DIRECTORY), "/d/e": Inode(S_IFWHT)}, True),
        ({"/d": Inode(DIRECTORY), "/d/e": Inode(DIRECTORY, opaque=1)}, True),
    ],
)
def test_hides_looks_at_all_directories_above(
    found: dict[str, Inode], hides: bool
) -> None:
    layer = Least()
    layer.found |= found

    foreign = ForeignLayer(layer)

    assert foreign.hides(VPath("/d/e")) is hides
    assert foreign.hides(ROOT) is False


def test_layer_that_fails_leaves_nothing_remembered(vfs: Vfs, make_vfs: Any) -> None:
    """The next question after it has recovered is answered as if nothing had been."""
    layer = Least(f=Inode(FILE, size=3))
    vfs.add_underlay(layer, name="odd")
    find = layer.find

    def fail(path: str) -> Any:
        raise OSError(errno.EIO, "x")

    layer.find = fail
    refused(vfs, vfs.stat, "/f")
    refused(vfs, lambda path: vfs.write_bytes(path, b"1"), "/f")
    layer.find = find

    assert vfs.stat("/f").size == 3
    vfs.write_bytes("/f", b"1")
    assert vfs.read_bytes("/f") == b"1"
