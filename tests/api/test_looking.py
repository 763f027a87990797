"""Looking into the layers: what explain, conflicts and diff say, and what they do not.

In most tests a local layer lies over *mod*, and that over *base*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests import ground

from stratavfs.records import Change, Conflict, Explanation, LayerSay

if TYPE_CHECKING:
    from collections.abc import Callable

    from stratavfs import VirtualFileSystem

BIG = bytes(range(256)) * 1024  # more than is compared at once


class Stack(NamedTuple):
    local: VirtualFileSystem
    mod: VirtualFileSystem
    base: VirtualFileSystem


@pytest.fixture
def stack(make_vfs: Any) -> Any:
    """A local layer over two, all of them empty."""
    local, mod, base = (make_vfs(chunk_size=64) for _ in range(3))
    local.add_underlay(base, priority=0, name="base")
    local.add_underlay(mod, priority=1, name="mod")
    return Stack(local, mod, base)


def put(vfs: VirtualFileSystem, *paths: str) -> object:
    """Make files that hold bytes which no other layer has."""
    return [vfs.write_bytes(path, b"%d" % id(vfs)) for path in paths]


def delete(vfs: VirtualFileSystem, *paths: str) -> None:
    """Leave a whiteout at each of *paths*, as if something had been below."""
    with vfs.atomic_batch():
        for path in paths:
            parent, _, name = path.rpartition("/")
            if parent:
                vfs.makedirs(parent, exist_ok=True)
            vfs._store.write(
                "INSERT INTO entries (parent, name, kind) VALUES (?, ?, 14)",
                (parent + "/", name),
            )


def rows_of(stack: Stack) -> list[ground.Dump]:
    return [ground.dump(vfs._store._cx) for vfs in stack]


# --- explain: the rules ---------------------------------------------------------------


def file_everywhere(stack: Stack) -> None:
    for vfs, size in zip(stack, (3, 2, 1), strict=True):
        vfs.write_bytes("/p", bytes(size))


def directory_everywhere(stack: Stack) -> None:
    for vfs in stack:
        vfs.mkdir("/p")


def file_below_directory(stack: Stack) -> None:
    put(stack.local, "/p/x")
    stack.mod.write_bytes("/p", b"1")
    put(stack.base, "/p/y")


def whiteout_on_top(stack: Stack) -> None:
    stack.base.write_bytes("/p", b"1")
    stack.local.remove("/p")


def whiteout_between(stack: Stack) -> None:
    stack.local.mkdir("/p")
    delete(stack.mod, "/p")
    put(stack.base, "/p/y")


def opaque_on_top(stack: Stack) -> None:
    put(stack.base, "/p/y")
    stack.local.rmtree("/p")
    stack.local.mkdir("/p")


def file_above(stack: Stack) -> None:
    stack.base.write_bytes("/d/p", b"1")
    stack.mod.write_bytes("/d", b"1")


def below_whiteout(stack: Stack) -> None:
    stack.base.write_bytes("/d/p", b"1")
    stack.local.rmtree("/d")


def below_opaque(stack: Stack) -> None:
    below_whiteout(stack)
    stack.local.mkdir("/d")


def whiteout_at_the_bottom(stack: Stack) -> None:
    delete(stack.base, "/p")


def link_itself(stack: Stack) -> None:
    stack.mod.symlink("elsewhere", "/p")
    stack.base.write_bytes("/p", b"1")


HIDES = "hides the layers below"
NOTHING = ("nothing", "")
FILE = "file of 1 bytes"
CUTS = "hidden: nothing merges with a directory but a directory"

# What local, mod and base say, the rule for each, and who answers.
RULES: dict[str, tuple[Any, str, list[tuple[str, str]], str | None]] = {
    "answers": (
        file_everywhere,
        "/p",
        [
            ("file of 3 bytes", "answers"),
            ("file of 2 bytes", "hidden by local"),
            (FILE, "hidden by local"),
        ],
        "local",
    ),
    "merges": (
        directory_everywhere,
        "/p",
        [("directory", "answers"), ("directory", "merges"), ("directory", "merges")],
        "local",
    ),
    "a file cuts off": (
        file_below_directory,
        "/p",
        [("directory", "answers"), (FILE, CUTS), ("directory", "hidden by mod")],
        "local",
    ),
    "whiteout on top": (
        whiteout_on_top,
        "/p",
        [("whiteout", HIDES), NOTHING, (FILE, "hidden by local")],
        None,
    ),
    "whiteout between": (
        whiteout_between,
        "/p",
        [("directory", "answers"), ("whiteout", HIDES), ("directory", "hidden by mod")],
        "local",
    ),
    "whiteout at the bottom": (
        whiteout_at_the_bottom,
        "/p",
        [NOTHING, NOTHING, ("whiteout", HIDES)],
        None,
    ),
    "opaque": (
        opaque_on_top,
        "/p",
        [
            ("directory, opaque", "answers"),
            NOTHING,
            ("directory", "hidden by local"),
        ],
        "local",
    ),
    "non-directory above": (
        file_above,
        "/d/p",
        [NOTHING, ("nothing: /d is no directory", HIDES), (FILE, "hidden by mod")],
        None,
    ),
    "below a whiteout": (
        below_whiteout,
        "/d/p",
        [("nothing: /d is a whiteout", HIDES), NOTHING, (FILE, "hidden by local")],
        None,
    ),
    "below an opaque directory": (
        below_opaque,
        "/d/p",
        [("nothing: /d is opaque", HIDES), NOTHING, (FILE, "hidden by local")],
        None,
    ),
    "link": (
        link_itself,
        "/p",
        [NOTHING, ("link to elsewhere", "answers"), (FILE, "hidden by mod")],
        "mod",
    ),
    "root": (
        directory_everywhere,
        "/",
        [("directory", "answers"), ("directory", "merges"), ("directory", "merges")],
        "local",
    ),
    "missing": (directory_everywhere, "/p/q/r", [NOTHING, NOTHING, NOTHING], None),
}


@pytest.mark.parametrize("case", RULES)
def test_explain_tells_each_layers_say_and_the_rule(stack: Stack, case: str) -> None:
    arrange, path, says, winner = RULES[case]
    arrange(stack)
    before = rows_of(stack)

    told = stack.local.explain(path)

    assert told == Explanation(
        path,
        [
            LayerSay(name, *say)
            for name, say in zip(("local", "mod", "base"), says, strict=True)
        ],
        winner,
    )
    assert told.winner == stack.local.which_layer(path)
    assert rows_of(stack) == before


def test_explain_prints_a_table(stack: Stack) -> None:
    whiteout_on_top(stack)

    found, missing = (str(stack.local.explain(path)) for path in ("/p", "/q"))

    assert found == (
        "/p\n"
        "  local  whiteout         hides the layers below\n"
        "  mod    nothing\n"
        "  base   file of 1 bytes  hidden by local\n"
        "=> nothing is there"
    )
    assert missing == (
        "/q\n  local  nothing\n  mod    nothing\n  base   nothing\n=> nothing is there"
    )


def test_explain_names_the_normalised_path(stack: Stack) -> None:
    put(stack.base, "/p/x")

    told = stack.local.explain("p/../p//x/")

    assert (told.path, told.winner) == ("/p/x", "base")


def test_explain_through_a_link_tells_of_what_it_leads_to(stack: Stack) -> None:
    stack.base.symlink("real", "/link")
    stack.mod.write_bytes("/real/p", b"12")

    told = stack.local.explain("/link/p")

    assert told.path == "/real/p"
    assert told.winner == "mod"
    assert told.layers == stack.local.explain("/real/p").layers


@pytest.mark.parametrize("path", ["/loop/x", "/dangling/x", "/file/x", "/loop"])
def test_explain_what_cannot_be_reached_tells_that_nothing_is_there(
    stack: Stack, path: str
) -> None:
    stack.base.symlink("loop", "/loop")
    stack.base.symlink("nowhere", "/dangling")
    put(stack.base, "/file")

    told = stack.local.explain(path)

    assert told.winner == ("base" if path == "/loop" else None)
    assert [say.name for say in told.layers] == ["local", "mod", "base"]


def test_explain_of_a_mounted_layer_tells_of_it_below_its_prefix(
    make_vfs: Any,
) -> None:
    vfs, dlc = make_vfs(), make_vfs()
    dlc.write_bytes("/maps/one", b"123")
    vfs.add_underlay(dlc, name="dlc", at="/dlc/first")

    told = {
        path: vfs.explain(path).layers[1]
        for path in ("/dlc", "/dlc/first", "/dlc/first/maps/one", "/maps/one", "/dlcx")
    }

    assert told == {
        "/dlc": LayerSay("dlc", "directory", "answers"),
        "/dlc/first": LayerSay("dlc", "directory", "answers"),
        "/dlc/first/maps/one": LayerSay("dlc", "file of 3 bytes", "answers"),
        "/maps/one": LayerSay("dlc", "nothing", ""),
        "/dlcx": LayerSay("dlc", "nothing", ""),
    }


def test_explain_of_a_nested_file_system_tells_of_each_of_its_layers(
    make_vfs: Any,
) -> None:
    vfs, patch, base = make_vfs(), make_vfs(), make_vfs()
    base.write_bytes("/p", b"1")
    patch.add_underlay(base, name="its own")
    patch.remove("/p")
    vfs.add_underlay(patch, name="patch")

    told = vfs.explain("/p")

    assert told.layers == [
        LayerSay("local", "nothing", ""),
        LayerSay("patch", "whiteout", "hides the layers below"),
        LayerSay("patch", "file of 1 bytes", "hidden by patch"),
    ]
    assert told.winner is None


def test_explain_without_underlays_tells_of_the_local_layer(
    mem: VirtualFileSystem,
) -> None:
    put(mem, "/p")

    told = mem.explain("/p")

    assert [say.rule for say in told.layers] == ["answers"]
    assert told.winner == "local"


# --- conflicts ------------------------------------------------------------------------


def paths_in_conflict(vfs: VirtualFileSystem, path: str = "/") -> list[str]:
    return [conflict.path for conflict in vfs.conflicts(path)]


def test_conflicts_tells_who_wins_over_whom(stack: Stack) -> None:
    put(stack.local, "/both", "/all")
    put(stack.mod, "/all", "/mod alone")
    put(stack.base, "/both", "/all", "/base alone")

    found = stack.local.conflicts()

    assert found == [
        Conflict("/all", "local", ["local", "mod", "base"]),
        Conflict("/both", "local", ["local", "base"]),
    ]
    assert str(found[0]) == "/all: local over mod, base"


def test_conflicts_of_equal_bytes_are_none(stack: Stack) -> None:
    for vfs in stack:
        vfs.write_bytes("/small", b"same")
        vfs.write_bytes("/big", BIG)
        vfs.write_bytes("/empty", b"")
        vfs.symlink("same", "/link")
    stack.local.chmod("/small", 0o600)
    stack.mod.utime("/big", ns=(1, 2))
    stack.base.setxattr("/small", "user.a", b"1")

    assert stack.local.conflicts() == []


@pytest.mark.parametrize("chunk_size", [1000, 65536])
def test_conflicts_finds_big_files_that_differ_in_the_last_byte(
    make_vfs: Any, chunk_size: int
) -> None:
    vfs, base = make_vfs(chunk_size=65536), make_vfs(chunk_size=chunk_size)
    vfs.write_bytes("/big", BIG)
    base.write_bytes("/big", BIG[:-1] + b"\0")
    vfs.write_bytes("/longer", BIG)
    base.write_bytes("/longer", BIG[:-1])
    vfs.write_bytes("/hole", bytes(200_000))
    with base.open("/hole", "wb") as file:
        file.truncate(200_000)
    vfs.add_underlay(base, name="base")

    assert paths_in_conflict(vfs) == ["/big", "/longer"]


def test_conflicts_among_three_finds_the_one_that_differs(stack: Stack) -> None:
    stack.local.write_bytes("/p", b"same")
    stack.mod.write_bytes("/p", b"same")
    stack.base.write_bytes("/p", b"else")

    assert stack.local.conflicts() == [
        Conflict("/p", "local", ["local", "mod", "base"])
    ]


def test_conflicts_of_link_targets_are_found(stack: Stack) -> None:
    stack.mod.symlink("here", "/link")
    stack.base.symlink("there", "/link")

    assert stack.local.conflicts() == [Conflict("/link", "mod", ["mod", "base"])]


def test_conflicts_of_a_link_that_leads_nowhere_are_found(stack: Stack) -> None:
    stack.mod.symlink("nowhere", "/link")
    put(stack.base, "/link")

    assert paths_in_conflict(stack.local, "/link") == ["/link"]


def test_conflicts_of_types_are_found_and_nothing_below_them(stack: Stack) -> None:
    put(stack.mod, "/file over directory", "/directory over file/x")
    put(stack.base, "/file over directory/x", "/directory over file")
    stack.mod.symlink("x", "/link over file")
    put(stack.base, "/link over file")

    assert paths_in_conflict(stack.local) == [
        "/directory over file",
        "/file over directory",
        "/link over file",
    ]


def test_conflicts_behind_what_cuts_a_directory_off_are_none(stack: Stack) -> None:
    put(stack.local, "/d/x")
    put(stack.mod, "/d")
    put(stack.base, "/d/x")

    assert paths_in_conflict(stack.local) == ["/d"]


def test_conflicts_below_a_whiteout_or_an_opaque_directory_are_none(
    stack: Stack,
) -> None:
    for vfs in (stack.mod, stack.base):
        put(vfs, "/file", "/deleted/x", "/opaque/x", "/shown/x")
    stack.local.remove("/file")
    stack.local.rmtree("/deleted")
    stack.local.rmtree("/opaque")
    put(stack.local, "/opaque/x")

    assert paths_in_conflict(stack.local) == ["/shown/x"]


def test_conflicts_with_what_the_layer_between_has_deleted_are_none(
    stack: Stack,
) -> None:
    put(stack.local, "/file", "/d/x")
    delete(stack.mod, "/file", "/d/x")
    put(stack.base, "/file", "/d/x")

    assert stack.local.conflicts() == []


def test_conflicts_in_merged_directories_are_found_at_any_depth(stack: Stack) -> None:
    put(stack.mod, "/a/b/c/x", "/a-b", "/a/y")
    put(stack.base, "/a/b/c/x", "/a-b", "/a/z")

    assert paths_in_conflict(stack.local) == ["/a-b", "/a/b/c/x"]


def test_conflicts_of_a_path_finds_those_at_and_below_it(stack: Stack) -> None:
    for vfs in (stack.mod, stack.base):
        put(vfs, "/a/x", "/a/b/y", "/ab", "/b")

    assert paths_in_conflict(stack.local, "/a") == ["/a/b/y", "/a/x"]
    assert paths_in_conflict(stack.local, "/a/x") == ["/a/x"]
    assert paths_in_conflict(stack.local, "a//b/..//x/") == ["/a/x"]


def test_conflicts_of_a_path_through_a_link_finds_those_behind_it(
    stack: Stack,
) -> None:
    for vfs in (stack.mod, stack.base):
        put(vfs, "/real/d/x")
    stack.base.symlink("real", "/link")

    assert paths_in_conflict(stack.local, "/link/d") == ["/real/d/x"]


@pytest.mark.parametrize("path", ["/missing", "/a/missing", "/deleted"])
def test_conflicts_of_a_missing_path_raises(stack: Stack, path: str) -> None:
    put(stack.base, "/a/x", "/deleted")
    stack.local.remove("/deleted")

    with pytest.raises(FileNotFoundError) as caught:
        stack.local.conflicts(path)

    assert caught.value.filename == path


def test_conflicts_within_a_nested_file_system_are_its_own(make_vfs: Any) -> None:
    vfs, patch, base = make_vfs(), make_vfs(), make_vfs()
    put(base, "/inner", "/outer")
    put(patch, "/inner")
    put(vfs, "/outer")
    patch.add_underlay(base, name="base")
    vfs.add_underlay(patch, name="patch")

    assert vfs.conflicts() == [Conflict("/outer", "local", ["local", "patch"])]
    assert paths_in_conflict(patch) == ["/inner"]


def test_conflicts_of_mounted_layers_meet_below_the_prefix(make_vfs: Any) -> None:
    vfs, dlc, base = make_vfs(), make_vfs(), make_vfs()
    put(dlc, "/x", "/y")
    put(base, "/dlc/x", "/y")
    vfs.add_underlay(base, name="base")
    vfs.add_underlay(dlc, 1, "dlc", at="/dlc")

    assert vfs.conflicts() == [Conflict("/dlc/x", "dlc", ["dlc", "base"])]


def test_conflicts_of_one_layer_are_none(mem: VirtualFileSystem) -> None:
    put(mem, "/a/x")

    assert mem.conflicts() == []


# --- diff -----------------------------------------------------------------------------


@pytest.fixture
def over(make_vfs: Any) -> Any:
    """A file system over a base with some of everything; nothing below is changed."""
    base, vfs = make_vfs(chunk_size=64), make_vfs(chunk_size=3)
    for path in ("/f", "/g", "/d/x", "/d/y", "/d/sub/z", "/d/sub/deep/w"):
        base.write_bytes(path, b"base " + path.encode())
    base.setxattr("/f", "user.a", b"1")
    base.symlink("f", "/link")
    before = ground.dump(base._store._cx)
    vfs.add_underlay(base, name="base")
    yield vfs
    assert ground.dump(base._store._cx) == before


def renew(vfs: VirtualFileSystem, path: str) -> object:
    """Remove what is at *path* and make an opaque directory of it."""
    (vfs.rmtree if vfs.isdir(path) else vfs.remove)(path)
    vfs.mkdir(path)
    return path


def become_link(vfs: VirtualFileSystem) -> None:
    vfs.remove("/f")
    vfs.symlink("g", "/f")


def lead_elsewhere(vfs: VirtualFileSystem) -> None:
    vfs.remove("/link")
    vfs.symlink("g", "/link")


def touch_and_take_back(vfs: VirtualFileSystem) -> None:
    found = vfs.stat("/f")
    vfs.touch("/f")
    vfs.utime("/f", ns=(found.st_atime_ns, found.st_mtime_ns))


def change_and_take_back(vfs: VirtualFileSystem) -> None:
    found = vfs.stat("/f")
    vfs.write_bytes("/f", b"other")
    vfs.write_bytes("/f", b"base /f")
    vfs.utime("/f", ns=(found.st_atime_ns, found.st_mtime_ns))


def make_again(vfs: VirtualFileSystem) -> None:
    """Make a directory opaque that holds what there was, and hides nothing more."""
    kept = vfs.read_bytes("/d/sub/deep/w")
    renew(vfs, "/d/sub/deep")
    vfs.write_bytes("/d/sub/deep/w", kept)


def remove_what_was_added(vfs: VirtualFileSystem) -> None:
    put(vfs, "/new/x")
    vfs.rmtree("/new")


CHANGES: dict[str, tuple[Callable[[VirtualFileSystem], object], list[str]]] = {
    "nothing": (lambda vfs: vfs.read_bytes("/f"), []),
    "added": (lambda vfs: put(vfs, "/n/x"), ["added /n", "added /n/x"]),
    "link added": (lambda vfs: vfs.symlink("f", "/n"), ["added /n"]),
    "modified": (lambda vfs: vfs.write_bytes("/f", b"x"), ["modified /f"]),
    "cut": (lambda vfs: vfs.truncate("/f", 3), ["modified /f"]),
    "link elsewhere": (lead_elsewhere, ["modified /link"]),
    "deleted": (lambda vfs: vfs.remove("/f"), ["deleted /f"]),
    "directory deleted": (lambda vfs: vfs.rmtree("/d"), ["deleted /d"]),
    "type changed": (become_link, ["type changed /f"]),
    "file to directory": (
        lambda vfs: (renew(vfs, "/f"), put(vfs, "/f/x")),
        ["type changed /f", "added /f/x"],
    ),
    "directory to file": (
        lambda vfs: (vfs.rmtree("/d"), put(vfs, "/d")),
        ["type changed /d"],
    ),
    "renamed": (lambda vfs: vfs.rename("/f", "/n"), ["deleted /f", "added /n"]),
    "hard link": (lambda vfs: vfs.link("/f", "/n"), ["added /n"]),
    "chmod": (lambda vfs: vfs.chmod("/f", 0o600), ["metadata /f"]),
    "chmod of a directory": (lambda vfs: vfs.chmod("/d", 0o700), ["metadata /d"]),
    "chown": (lambda vfs: vfs.chown("/f", 5, 6), ["metadata /f"]),
    "chown by name": (lambda vfs: vfs.chown("/f", "ann"), ["metadata /f"]),
    "setxattr": (lambda vfs: vfs.setxattr("/f", "user.b", b""), ["metadata /f"]),
    "xattr replaced": (lambda vfs: vfs.setxattr("/f", "user.a", b"2"), ["metadata /f"]),
    "removexattr": (lambda vfs: vfs.removexattr("/f", "user.a"), ["metadata /f"]),
    "mtime": (lambda vfs: vfs.utime("/f", ns=(1, 2)), ["metadata /f"]),
    "touched": (lambda vfs: vfs.touch("/f"), ["metadata /f"]),
    "touched and taken back": (touch_and_take_back, []),
    "changed and taken back": (change_and_take_back, []),
    "the same mode": (lambda vfs: vfs.chmod("/f", 0o644), []),
    "opened for update": (lambda vfs: vfs.open("/f", "r+b").close(), []),
    "only the directory came up": (
        lambda vfs: vfs.remove("/d/x"),
        ["deleted /d/x"],
    ),
    "opaque directory": (
        lambda vfs: (renew(vfs, "/d"), put(vfs, "/d/n", "/d/y")),
        ["added /d/n", "deleted /d/sub", "deleted /d/x", "modified /d/y"],
    ),
    "directory in an opaque one": (
        lambda vfs: (renew(vfs, "/d"), put(vfs, "/d/sub/n")),
        [
            "deleted /d/sub/deep",
            "added /d/sub/n",
            "deleted /d/sub/z",
            "deleted /d/x",
            "deleted /d/y",
        ],
    ),
    "opaque and the same": (make_again, ["metadata /d/sub/deep/w"]),
    "whiteout over nothing": (remove_what_was_added, []),
    "sorted": (
        lambda vfs: put(vfs, "/n/x", "/n-n", "/n0"),
        ["added /n", "added /n-n", "added /n/x", "added /n0"],
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_diff_tells_what_is_changed(over: VirtualFileSystem, case: str) -> None:
    act, expected = CHANGES[case]
    act(over)
    before = ground.dump(over._store._cx)

    found = over.diff()

    assert [str(change) for change in found] == expected
    assert ground.dump(over._store._cx) == before


def test_diff_of_a_whiteout_that_hides_nothing_any_more_is_none(stack: Stack) -> None:
    put(stack.base, "/p", "/d/x")
    stack.local.remove("/p")
    stack.local.rmtree("/d")
    assert stack.local.diff() == [Change("/d", "deleted"), Change("/p", "deleted")]

    stack.local.remove_underlay("base")

    assert stack.local.diff() == []


def test_diff_without_underlays_says_that_all_is_added(mem: VirtualFileSystem) -> None:
    put(mem, "/a/x")
    mem.symlink("a", "/l")

    assert [*map(str, mem.diff())] == ["added /a", "added /a/x", "added /l"]


def test_diff_is_relative_to_what_the_underlays_show_together(stack: Stack) -> None:
    stack.base.write_bytes("/p", b"base")
    stack.mod.write_bytes("/p", b"mod")
    stack.local.write_bytes("/p", b"base")
    put(stack.base, "/q")
    delete(stack.mod, "/q")
    put(stack.local, "/q")

    assert [*map(str, stack.local.diff())] == ["modified /p", "added /q"]


def test_diff_with_a_mounted_layer_is_relative_to_it(make_vfs: Any) -> None:
    vfs, dlc = make_vfs(), make_vfs()
    put(dlc, "/x", "/y")
    vfs.add_underlay(dlc, at="/dlc")
    put(vfs, "/dlc/x", "/x")
    vfs.remove("/dlc/y")

    assert [*map(str, vfs.diff())] == ["modified /dlc/x", "deleted /dlc/y", "added /x"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/d", ["metadata /d", "deleted /d/x", "modified /d/y"]),
        ("d//x/..", ["metadata /d", "deleted /d/x", "modified /d/y"]),
        ("/d/x", ["deleted /d/x"]),
        ("/d/y", ["modified /d/y"]),
        ("/opaque/hidden", ["deleted /opaque/hidden"]),
        ("/way/x", ["deleted /d/x"]),
        ("/d/sub", []),
        ("/missing", []),
    ],
)
def test_diff_of_a_path_tells_of_it_and_what_is_below(
    make_vfs: Any, path: str, expected: list[str]
) -> None:
    vfs, base = make_vfs(), make_vfs()
    put(base, "/d/x", "/d/y", "/d/sub/z", "/opaque/hidden", "/dd")
    base.symlink("d", "/way")
    vfs.add_underlay(base)
    put(vfs, "/d/y", "/dd")
    vfs.remove("/d/x")
    vfs.chmod("/d", 0o700)
    renew(vfs, "/opaque")

    assert [*map(str, vfs.diff(path))] == expected


# --- the records ----------------------------------------------------------------------


def test_change_prints_kind_and_path() -> None:
    assert str(Change("/p", "type changed")) == "type changed /p"


@pytest.mark.parametrize("verb", ["explain", "conflicts", "diff"])
def test_look_into_a_closed_file_system_raises(make_vfs: Any, verb: str) -> None:
    vfs = make_vfs()
    vfs.close()

    with pytest.raises(ValueError, match="closed"):
        getattr(vfs, verb)("/")


@pytest.mark.parametrize("verb", ["explain", "conflicts", "diff"])
def test_look_at_what_is_no_path_raises(mem: VirtualFileSystem, verb: str) -> None:
    look = getattr(mem, verb)

    with pytest.raises(ValueError):
        look("a\0b")
    with pytest.raises(TypeError):
        look(b"/a")
