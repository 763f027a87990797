"""One layer at its place in a stack: its paths, and the names in what it raises."""

from __future__ import annotations

import errno
from stat import S_IFDIR, S_IFREG
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs import LayerFailed, VirtualFileSystem
from stratavfs._foreign import ForeignLayer
from stratavfs._paths import join
from stratavfs._stack import Underlay
from stratavfs._underlays import ContainerLayer, Member
from stratavfs.records import S_IFWHT, Inode, VPath

if TYPE_CHECKING:
    from collections.abc import Callable

Vfs = VirtualFileSystem
CONTENT = b"x" * 10_000


class Top:
    """What counts the handles."""

    is_closed = False

    handles = 0

    def hold(self) -> None:
        self.handles += 1

    def release(self) -> None:
        self.handles -= 1


@pytest.fixture
def base(make_vfs: Any) -> Vfs:
    base: Vfs = make_vfs(chunk_size=64)
    base.write_bytes("/d/f", b"small")
    base.write_bytes("/d/large", CONTENT)
    base.setxattr("/d/f", "user.a", b"1")
    base.add_underlay(make_with(make_vfs, "/gone", "/o/gone"), name="below")
    base.remove("/gone")
    base.rmtree("/o")
    base.mkdir("/o")
    base.remove_underlay("below")
    return base


def make_with(make_vfs: Any, *paths: str) -> Vfs:
    vfs: Vfs = make_vfs()
    for path in paths:
        vfs.touch(path)
    return vfs


def member(layer: Any, at: str = "/") -> Member:
    return Member("mod", layer, VPath(at), Top())


@pytest.fixture
def container(base: Vfs) -> ContainerLayer:
    layer = base._layers.stack.local
    assert isinstance(layer, ContainerLayer)
    return layer


# --- one container --------------------------------------------------------------------


def test_container_tells_what_it_says_of_a_path(container: ContainerLayer) -> None:
    paths = [VPath(path) for path in ("/d", "/d/f", "/gone", "/o", "/nothing")]

    assert [container.type_of(path) for path in paths] == [
        *(S_IFDIR, S_IFREG, S_IFWHT, S_IFDIR, 0)
    ]
    found = [container.find(path) for path in paths]
    assert [inode and inode.is_whiteout for inode in found] == [
        *(False, False, True, False, None)
    ]
    assert [container.hides(path) for path in paths] == [
        *(False, True, True, True, False)
    ]


def test_container_lists_whiteouts_too(container: ContainerLayer) -> None:
    root = VPath("/")

    assert container.kinds(root, -1) == [
        *(("d", S_IFDIR), ("gone", S_IFWHT), ("o", S_IFDIR))
    ]
    assert container.kinds(root, 2) == [("d", S_IFDIR), ("gone", S_IFWHT)]
    assert [name for name, _ in container.children(root)] == ["d", "gone", "o"]
    assert dict(container.children(root))["gone"] == Inode(S_IFWHT)


def test_container_gives_small_content_with_one_question(
    container: ContainerLayer,
) -> None:
    paths = ("/d/f", "/d/large", "/d", "/gone", "/nothing")

    got = [container.content(VPath(path)) for path in paths]

    assert got == [b"small", None, None, None, None]


def test_container_names_the_layer_in_its_stat(container: ContainerLayer) -> None:
    found = container.stat(VPath("/d/f"), "mod")

    assert found is not None
    assert (found.source_layer, found.st_dev) == ("mod", container.device)
    assert container.stat(VPath("/gone"), "mod") is None
    assert container.xattrs(VPath("/d/f")) == {"user.a": b"1"}
    assert container.xattrs(VPath("/nothing")) == {}


@pytest.mark.parametrize("path", ["/d", "/gone", "/nothing"])
def test_container_opens_nothing_but_files(
    container: ContainerLayer, path: str
) -> None:
    failing = member(container).failing(VPath(path))

    assert container.open_file(VPath(path), failing) is None


def test_container_that_nobody_else_can_change_is_not_polled(
    make_vfs: Any, tmp_path: Any
) -> None:
    file = make_vfs(tmp_path / "c.db")
    with VirtualFileSystem(tmp_path / "i.db") as maker:
        maker.touch("/f")
    frozen = make_vfs(tmp_path / "i.db", immutable=True)

    layers = [vfs._layers.stack.local for vfs in (make_vfs(), file, frozen)]

    assert [layer.polled for layer in layers] == [False, True, False]
    assert [layer.kind for layer in layers] == ["memory", "container", "container"]
    assert len({layer.device for layer in layers}) == 3


def test_version_moves_with_every_change(base: Vfs, container: ContainerLayer) -> None:
    container.watch()
    seen = [container.version()]

    for change in (
        lambda: base.touch("/n"),
        lambda: base.write_bytes("/n", b"1"),
        lambda: base.remove("/n"),
    ):
        change()
        seen.append(container.version())

    assert len({*seen}) == 4
    assert container.version() == seen[-1]


def test_steady_keeps_others_out(base: Vfs, container: ContainerLayer) -> None:
    with container.steady():
        assert base._store.lock._is_owned()  # type: ignore[attr-defined]
        assert container.type_of(VPath("/d")) == S_IFDIR

    assert not base._store.lock._is_owned()  # type: ignore[attr-defined]


def test_closed_container_is_closed(make_vfs: Any) -> None:
    vfs = VirtualFileSystem()
    vfs._layers.stack.local.close()

    assert vfs.closed


# --- a member: paths ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "path", "inner"),
    [
        ("/", "/", "/"),
        ("/", "/d/f", "/d/f"),
        ("/m", "/m", "/"),
        ("/m", "/m/d", "/d"),
        ("/m/n", "/m/n/d/f", "/d/f"),
        ("/m", "/", None),
        ("/m", "/mm", None),
        ("/m", "/mm/d", None),
        ("/m/n", "/m", None),
        ("/m/n", "/m/nn", None),
    ],
)
def test_inner_is_the_path_as_the_layer_calls_it(
    container: ContainerLayer, at: str, path: str, inner: str | None
) -> None:
    assert member(container, at).inner(VPath(path)) == inner


@pytest.mark.parametrize("path", ["/", "/m", "/m/n"])
def test_directory_above_a_mount_is_a_directory_with_one_name(
    container: ContainerLayer, path: str
) -> None:
    mounted, path = member(container, "/m/n/o"), VPath(path)
    name = {"/": "m", "/m": "n", "/m/n": "o"}[path]

    found = mounted.find(path)
    assert found is not None
    assert found.is_directory
    assert mounted.type_of(path) == S_IFDIR
    assert mounted.kinds(path) == [(name, S_IFDIR)]
    child = mounted.find(join(path, name))
    assert mounted.children(path) == [(name, child)]
    assert (mounted.content(path), mounted.stat(path)) == (None, None)
    assert (mounted.open_file(path), mounted.xattrs(path)) == (None, {})
    assert not mounted.hides(path)


@pytest.mark.parametrize("path", ["/x", "/m/x", "/mm", "/m/n/oo", "/m/n/oo/d"])
def test_path_beside_a_mount_is_none_of_its_business(
    container: ContainerLayer, path: str
) -> None:
    mounted, path = member(container, "/m/n/o"), VPath(path)

    assert mounted.find(path) is None
    assert mounted.type_of(path) == 0
    assert (mounted.kinds(path), mounted.children(path)) == ([], [])
    assert (mounted.content(path), mounted.stat(path)) == (None, None)
    assert (mounted.open_file(path), mounted.xattrs(path)) == (None, {})
    assert not mounted.hides(path)


def test_path_in_a_mount_is_answered_by_the_layer(container: ContainerLayer) -> None:
    mounted = member(container, "/m/n")

    found = mounted.find(VPath("/m/n/d/f"))
    assert found is not None
    assert found.size == 5
    assert mounted.content(VPath("/m/n/d/f")) == b"small"
    assert mounted.xattrs(VPath("/m/n/d/f")) == {"user.a": b"1"}
    assert mounted.hides(VPath("/m/n/o"))
    s = mounted.stat(VPath("/m/n/d/f"))
    assert s is not None
    assert s.source_layer == "mod"
    file = mounted.open_file(VPath("/m/n/d/large"))
    assert file is not None
    assert file.read(0) == CONTENT
    file.close()


def test_members_of_one_layer_in_one_place_are_the_same(
    container: ContainerLayer, make_vfs: Any
) -> None:
    here, there = member(container, "/m"), member(container, "/n")

    assert here.is_same_as(member(container, "/m"))
    assert not here.is_same_as(there)
    assert not here.is_same_as(member(make_vfs()._layers.stack.local, "/m"))
    assert not here.is_same_as(None)


# --- a member: failures ---------------------------------------------------------------

QUESTIONS: dict[str, Callable[[Member, VPath], object]] = {
    "find": Member.find,
    "type_of": Member.type_of,
    "kinds": Member.kinds,
    "children": Member.children,
    "hides": Member.hides,
    "content": Member.content,
    "stat": Member.stat,
    "open_file": Member.open_file,
    "xattrs": Member.xattrs,
}


class Broken:
    """A layer that fails whatever it is asked."""

    device, location, kind, remembered, polled = 0, "", "broken", True, False

    def __init__(self, cause: Exception) -> None:
        self.cause = cause

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object) -> Any:
            raise self.cause

        return fail


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    ("cause", "number"),
    [
        (RuntimeError("boom"), errno.EIO),
        (OSError(errno.ESTALE, "boom"), errno.ESTALE),
        (OSError("boom"), errno.EIO),
        (FileNotFoundError(errno.ENOENT, "boom"), errno.EIO),
        (NotADirectoryError(errno.ENOTDIR, "boom"), errno.EIO),
        (IsADirectoryError(errno.EISDIR, "boom"), errno.EIO),
        (FileExistsError(errno.EEXIST, "boom"), errno.EIO),
    ],
)
def test_whatever_a_layer_raises_names_it_and_the_path_of_the_stack(
    question: str, cause: Exception, number: int
) -> None:
    broken = member(Broken(cause), "/m")

    with pytest.raises(LayerFailed, match=r"'mod'.*boom") as caught:
        QUESTIONS[question](broken, VPath("/m/d"))

    assert (caught.value.errno, caught.value.filename) == (number, "/m/d")
    assert caught.value.__cause__ is cause


def test_layer_closed_by_its_owner_is_named_by_every_call(
    make_vfs: Any, base: Vfs
) -> None:
    vfs = make_vfs()
    vfs.add_underlay(base, name="base")
    vfs.write_bytes("/mine", b"1")
    base.close()

    for call in (vfs.read_bytes, vfs.stat, vfs.exists, vfs.listdir, vfs.open, vfs.glob):
        with pytest.raises(LayerFailed, match=r"base.*closed") as caught:
            call("/d/f")
        assert (caught.value.errno, caught.value.filename) == (errno.EIO, "/d/f")
    assert vfs.read_bytes("/mine") == b"1"


def test_handle_on_a_layer_closed_by_its_owner_names_it(
    make_vfs: Any, base: Vfs
) -> None:
    vfs = make_vfs()
    vfs.add_underlay(base, name="base")
    with vfs.open("/d/large", "rb", 0) as file:
        base.close()

        with pytest.raises(LayerFailed, match=r"base.*closed") as caught:
            file.read(10)

        assert caught.value.filename == "/d/large"


# --- what was added -------------------------------------------------------------------


def test_underlay_is_closed_once_after_its_last_handle() -> None:
    closed: list[str] = []
    underlay = Underlay(
        *("mod", 0, VPath("/"), ForeignLayer(NoFiles())),  # type: ignore[arg-type]
        lambda: closed.append("closed"),
        None,
    )
    underlay.hold()
    underlay.hold()

    underlay.remove()
    underlay.release()
    before = [*closed]
    underlay.release()
    underlay.remove()

    assert (before, closed) == ([], ["closed"])


class NoFiles:
    def find(self, path: str) -> Inode | None:
        return Inode(S_IFDIR | 0o755) if path == "/" else None


# --- the gates ------------------------------------------------------------------------


def test_write_gate_that_cannot_be_passed_leaves_no_lock(
    make_vfs: Any, tmp_path: Any
) -> None:
    one, two = make_vfs(tmp_path / "c.db"), make_vfs(tmp_path / "c.db", timeout=0.01)

    with one.atomic_batch(), pytest.raises(OSError, match="another writer") as caught:
        two.touch("/f")

    assert caught.value.errno == errno.EBUSY
    assert not two._store.lock._is_owned()
    two.touch("/f")


def test_read_gate_that_cannot_be_passed_leaves_no_lock() -> None:
    vfs = VirtualFileSystem()
    store = vfs._store
    vfs.close()

    with pytest.raises(ValueError, match="closed"), store.snapshot():
        raise AssertionError

    assert not store.lock._is_owned()  # type: ignore[attr-defined]


def test_entry_that_is_absent_is_the_same_as_nothing(base: Vfs) -> None:
    absent, present = (base._layers.locate(VPath(path)) for path in ("/no", "/d/f"))

    assert not absent.is_same_as(present)
    assert not present.is_same_as(absent)
    assert present.is_same_as(base._layers.locate(VPath("/d/f")))
    assert not present.is_same_as(base._layers.locate(VPath("/d/large")))
    assert present.device == 0
