"""The view: what a path leads to, links walked as ``path_resolution(7)`` says."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratavfs import VirtualFileSystem, _compare
from stratavfs._layers import LINK_LIMIT, LayerStack
from stratavfs._paths import normalize
from stratavfs._stack import LOCAL
from stratavfs.records import VPath

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stratavfs._entry import Entry


@pytest.fixture
def view(mem: VirtualFileSystem) -> LayerStack:
    """A tree with links of every kind; each line says why it is there."""
    mem.makedirs("/d/sub")
    mem.write_text("/d/file", "content")
    mem.symlink("d", "/to_d")  # a directory, relative
    mem.symlink("/d/file", "/to_file")  # a file, absolute
    mem.symlink("../file", "/d/sub/up")  # .. in a target
    mem.symlink("sub/../../d/./sub//", "/d/odd")  # every spelling in one target
    mem.symlink("../../../../d", "/d/above")  # .. stops at the root
    mem.symlink("to_file", "/twice")  # a link to a link
    mem.symlink("nowhere", "/broken")  # leads to what can be made
    mem.symlink("no/where", "/broken_deep")  # ... but its directory cannot
    mem.symlink("no/../d", "/dead")  # through what is not there: never
    mem.symlink("d/file/../x", "/through_file")
    mem.symlink("loop", "/loop")
    mem.symlink("pong", "/ping")
    mem.symlink("ping", "/pong")
    mem.symlink("/", "/d/root")
    mem.symlink(".", "/d/here")
    stack: LayerStack = mem._layers
    return stack


# --- what is there --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/", "/"),
        ("/d", "/d"),
        ("/d/file", "/d/file"),
        ("/to_d", "/d"),
        ("/to_d/file", "/d/file"),
        ("/to_file", "/d/file"),
        ("/twice", "/d/file"),
        ("/d/sub/up", "/d/file"),
        ("/to_d/sub/up", "/d/file"),
        ("/d/odd", "/d/sub"),
        ("/d/odd/up", "/d/file"),
        ("/d/above/file", "/d/file"),
        ("/d/root", "/"),
        ("/d/root/d/root/d/file", "/d/file"),
        ("/d/here/here/here/file", "/d/file"),
    ],
)
def test_locate_through_links_finds_where_they_lead(
    view: LayerStack, path: str, leads_to: str
) -> None:
    entry = view.locate(VPath(path))

    assert (entry.path, entry.asked) == (leads_to, path)
    assert entry.require() == view.locate(VPath(leads_to)).require()


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [("/to_d", "/to_d"), ("/loop", "/loop"), ("/to_d/odd", "/d/odd")],
)
def test_locate_not_following_finds_the_link_itself(
    view: LayerStack, path: str, leads_to: str
) -> None:
    entry = view.locate(VPath(path), follow=False)

    assert entry.path == leads_to
    assert entry.require().is_link


# --- what is not there ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "would_be", "missing"),
    [
        ("/x", "/x", "/x"),
        ("/d/x", "/d/x", "/d/x"),
        ("/x/y/z", "/x/y/z", "/x"),
        ("/d/x/y", "/d/x/y", "/d/x"),
        ("/to_d/x", "/d/x", "/d/x"),
        ("/to_d/x/y", "/d/x/y", "/d/x"),
        ("/broken", "/nowhere", "/nowhere"),
    ],
)
def test_locate_missing_tells_what_to_make(
    view: LayerStack, path: str, would_be: str, missing: str
) -> None:
    entry = view.locate(VPath(path))

    assert (entry.inode, entry.error) == (None, errno.ENOENT)
    assert (entry.path, entry.asked, entry.missing) == (would_be, path, missing)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/dead", errno.ENOENT),
        ("/dead/x", errno.ENOENT),
        ("/broken/y", errno.ENOENT),
        ("/broken_deep", errno.ENOENT),
        ("/d/file/x", errno.ENOTDIR),
        ("/d/file/x/y", errno.ENOTDIR),
        ("/to_file/x", errno.ENOTDIR),
        ("/through_file", errno.ENOTDIR),
        ("/loop", errno.ELOOP),
        ("/loop/x", errno.ELOOP),
        ("/ping", errno.ELOOP),
    ],
)
def test_locate_dead_end_tells_why_nothing_can_be_made(
    view: LayerStack, path: str, error: int
) -> None:
    entry = view.locate(VPath(path))

    assert (entry.inode, entry.error, entry.missing) == (None, error, None)
    with pytest.raises(OSError) as caught:
        entry.require()
    assert (caught.value.errno, caught.value.filename) == (error, path)


def test_make_so_far_down_a_link_that_the_path_gets_too_long_is_refused(
    mem: VirtualFileSystem,
) -> None:
    deep = "/" + "/".join(["d" * 250] * 16)  # 4,016 bytes
    mem.makedirs(deep)
    mem.symlink(deep, "/l")
    before = mem.glob("/**")

    with pytest.raises(OSError) as caught:
        mem.touch("/l/" + "n" * 100)

    assert caught.value.errno == errno.ENAMETOOLONG
    assert caught.value.filename == "/l/" + "n" * 100
    assert mem.glob("/**") == before


# --- how many links -------------------------------------------------------------------


def chain(vfs: VirtualFileSystem, links: int) -> VPath:
    """Make a file behind so many links; return the first of them."""
    vfs.touch("/end")
    with vfs.atomic_batch():
        for n in range(1, links + 1):
            vfs.symlink("end" if n == 1 else f"l{n - 1}", f"/l{n}")
    return VPath(f"/l{links}")


def test_locate_as_many_links_as_allowed_finds_the_end(mem: VirtualFileSystem) -> None:
    start = chain(mem, LINK_LIMIT)

    assert LINK_LIMIT == 40
    assert mem._layers.locate(start).path == "/end"


def test_locate_one_link_more_is_a_loop(mem: VirtualFileSystem) -> None:
    start = chain(mem, LINK_LIMIT + 1)

    entry = mem._layers.locate(start)

    assert (entry.inode, entry.error, entry.missing) == (None, errno.ELOOP, None)
    assert mem._layers.locate(start, follow=False).require().is_link


def test_locate_limit_counts_the_whole_path(mem: VirtualFileSystem) -> None:
    mem.mkdir("/d")
    mem.symlink(".", "/d/here")

    view = mem._layers

    assert view.locate(VPath("/d" + "/here" * 40)).path == "/d"
    assert view.locate(VPath("/d" + "/here" * 41)).error == errno.ELOOP


# --- the kernel is the judge ----------------------------------------------------------

NAMES = ["a", "b", "c"]
TARGETS = st.lists(
    st.sampled_from([*NAMES, "..", ".", ""]), min_size=1, max_size=4
).map("/".join)
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
TREES = st.dictionaries(PATHS, st.sampled_from(["file", "dir"]) | TARGETS, max_size=7)


def build(root: Path, vfs: VirtualFileSystem, tree: dict[str, str]) -> None:
    """Make *tree* on the disk and in *vfs*, passing over what has no place."""
    for path, what in sorted(tree.items()):
        place = root / path
        if not os.path.isdir(place.parent) or os.path.lexists(place):
            continue
        if "/" in path and os.path.realpath(place.parent) != str(place.parent):
            continue  # below a link; found through it, made elsewhere
        if what == "dir":
            place.mkdir()
            vfs.mkdir(path)
        elif what == "file":
            place.touch()
            vfs.touch(path)
        elif what and not what.startswith("/"):
            place.symlink_to(what)
            vfs.symlink(what, path)


def kernel_says(root: Path, path: str) -> tuple[int, str | None]:
    try:
        os.stat(root / path)
    except OSError as error:
        return error.errno or 0, None
    return 0, "/" + os.path.relpath(os.path.realpath(root / path), root)


def escapes(tree: dict[str, str]) -> bool:
    """Tell whether a link climbs above the root, where the disk goes on."""
    return any(what.count("..") > path.count("/") for path, what in tree.items())


@given(tree=TREES.filter(lambda tree: not escapes(tree)), path=PATHS)
def test_locate_any_tree_agrees_with_the_kernel(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, str], path: str
) -> None:
    root = tmp_path_factory.mktemp("tree")
    with VirtualFileSystem() as vfs:
        build(root, vfs, tree)

        entry = vfs._layers.locate(normalize(path))

        error, leads_to = kernel_says(root, path)
        if error:
            assert (entry.inode, entry.error) == (None, error)
        else:
            assert entry.inode is not None
            assert entry.path == normalize(leads_to or "")


# --- the other questions --------------------------------------------------------------


@pytest.mark.parametrize("path", ["/d", "/d/file", "/to_d", "/to_file", "/twice", "/"])
@pytest.mark.parametrize("follow", [True, False])
def test_type_of_and_stat_agree_with_locate(
    view: LayerStack, path: str, follow: bool
) -> None:
    inode = view.locate(VPath(path), follow=follow).require()

    assert view.type_of(VPath(path), follow=follow) == inode.mode & ~0o7777
    assert view.stat(VPath(path), follow=follow) == view.stat_of(inode, None)


@pytest.mark.parametrize("path", ["/x", "/d/file/x", "/loop", "/broken", "/dead"])
def test_type_of_what_leads_nowhere_is_zero(view: LayerStack, path: str) -> None:
    assert view.type_of(VPath(path)) == 0


QUESTIONS: list[Callable[[LayerStack, VPath], object]] = [
    LayerStack.stat,
    LayerStack.read,
    LayerStack.names,
    LayerStack.kinds,
    LayerStack.children,
]


@pytest.mark.parametrize("ask", QUESTIONS, ids=lambda ask: ask.__name__)
@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/x", errno.ENOENT),
        ("/x/y", errno.ENOENT),
        ("/d/file/x", errno.ENOTDIR),
        ("/loop", errno.ELOOP),
        ("/broken", errno.ENOENT),
    ],
)
def test_ask_about_nothing_raises_with_the_asked_path(
    view: LayerStack,
    ask: Callable[[LayerStack, VPath], object],
    path: str,
    error: int,
) -> None:
    with pytest.raises(OSError) as caught:
        ask(view, VPath(path))

    assert (caught.value.errno, caught.value.filename) == (error, path)


@pytest.mark.parametrize(
    "ask", [LayerStack.names, LayerStack.kinds, LayerStack.children]
)
@pytest.mark.parametrize("path", ["/d/file", "/to_file"])
def test_list_of_file_is_not_a_directory(
    view: LayerStack, ask: Callable[[LayerStack, VPath], object], path: str
) -> None:
    with pytest.raises(NotADirectoryError) as caught:
        ask(view, VPath(path))

    assert caught.value.filename == path


@pytest.mark.parametrize("ask", [LayerStack.read])
@pytest.mark.parametrize("path", ["/", "/d", "/to_d"])
def test_read_of_directory_is_a_directory(
    view: LayerStack, ask: Callable[[LayerStack, VPath], object], path: str
) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        ask(view, VPath(path))

    assert caught.value.filename == path


@pytest.mark.parametrize("path", ["/d", "/to_d", "/d/here/here"])
def test_list_through_link_lists_the_directory(view: LayerStack, path: str) -> None:
    expected = ["above", "file", "here", "odd", "root", "sub"]

    assert view.names(VPath(path)) == expected
    assert [name for name, _ in view.kinds(VPath(path))] == expected
    assert [child[0] for child in view.children(VPath(path))] == expected


def test_read_through_links_gives_content(view: LayerStack) -> None:
    assert view.read(VPath("/twice")) == b"content"
    assert view.read(VPath("/d/odd/up")) == b"content"


def test_which_layer_answers_for_the_name_itself(view: LayerStack) -> None:
    entries: list[Entry] = [view.locate(VPath("/loop"), follow=False)]

    assert entries[0].require().is_link
    assert _compare.which_layer(view, VPath("/loop")) == LOCAL
    assert _compare.which_layer(view, VPath("/x")) is None


def test_stat_of_two_containers_tells_them_apart(
    make_vfs: Callable[[], VirtualFileSystem],
) -> None:
    first, second = make_vfs()._layers, make_vfs()._layers

    root = VPath("/")
    assert first.stat(root).st_ino == second.stat(root).st_ino
    assert first.stat(root).st_dev != second.stat(root).st_dev
