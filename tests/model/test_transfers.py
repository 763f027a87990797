"""Trees drawn by hypothesis go in and out: nothing is lost on the way, nothing gained.

Names are what has gone wrong in file systems; the same maker fills a directory of the
host and a container. What becomes of conflicts is compared with a merge of two dicts.
"""

from __future__ import annotations

import errno
import io
import os
import tempfile
from contextlib import closing, contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import ground
from tests.api.test_round_trips import (
    Seen,
    Tree,
    difference,
    host_tree,
    takes_xattrs,
    vfs_tree,
)
from tests.strategies import content_of

from stratavfs import VirtualFileSystem
from stratavfs.archives import ArchiveMember

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Vfs = VirtualFileSystem

pytestmark = pytest.mark.slow

# --- what is drawn --------------------------------------------------------------------

ODD = (
    "a|A|a.txt|new\nline|*?[]|[!a]|'\"`|\u00e9|e\u0301| | a |-rf|\\|a\\b|C:|...|..a|"
    "con|.hidden|~|$HOME|%41|a:b|\x01\x7f|\u202e|\ufeff|\ufffe|\U0001f600|tab\t|a.tar"
)
NAMES = (*ODD.split("|"), "n" * 255, "\u00e9" * 127)
names = st.one_of(
    st.sampled_from(NAMES),
    st.text(
        st.characters(exclude_characters="/\0", exclude_categories=["Cs"]),
        min_size=1,
        max_size=8,
    ).filter(lambda name: name not in (".", "..")),
)
paths = st.one_of(
    st.lists(names, min_size=1, max_size=4).map("/".join),
    st.sampled_from(["d/" * 50 + "e", ("n" * 255 + "/") * 3 + "f"]),
)
targets = st.one_of(
    st.sampled_from(
        ["a", "..", "../..", ".", "/", "/no such", "../a", "x" * 255, "self", "a//b/./"]
    ),
    names,
)
# What the host keeps: 1901 to 2446 on ext4. A container keeps 64 bits.
MOMENTS = (0, 1, -1, 999_999_999, 1_500_000_000_123_456_789, -2_000_000_000_987_654_321)
FAR = (2**62, -(2**62) - 1, 2**63 - 1, -(2**63))
LENGTHS = (0, 1, 63, 64, 65, 4096, 70_000)
contents = st.one_of(st.binary(max_size=6), st.sampled_from(LENGTHS).map(content_of))
xattrs = st.dictionaries(
    st.sampled_from(["user.a", "user.b.c", "user.\u00e9", "user.a=b", "user. "]),
    st.sampled_from([b"", b"1", b"\0\xff\n", b"x" * 300]),
    max_size=2,
)


class Thing(NamedTuple):
    """What is made at one path."""

    kind: str
    content: bytes = b""
    target: str = ""
    mode: int = 0
    mtime: int = 0
    xattrs: Mapping[str, bytes] = MappingProxyType({})
    """Attributes, none of a link."""


def things(moments: tuple[int, ...]) -> st.SearchStrategy[Thing]:
    mtimes = st.sampled_from(moments)
    files = st.sampled_from([0o644, 0o755, 0o600, 0o400, 0o777])
    directories = st.sampled_from([0o755, 0o700, 0o777])
    return st.one_of(
        st.builds(Thing, st.just("f"), contents, st.just(""), files, mtimes, xattrs),
        st.builds(
            Thing, st.just("d"), st.just(b""), st.just(""), directories, mtimes, xattrs
        ),
        st.builds(Thing, st.just("l"), st.just(b""), targets, st.just(0), mtimes),
        st.just(Thing("h")),
    )


def plans(moments: tuple[int, ...]) -> st.SearchStrategy[list[tuple[str, Thing]]]:
    return st.lists(st.tuples(paths, things(moments)), max_size=10)


class Host:
    """The verbs of the host that a container has too."""

    mkdir, symlink, link, chmod, utime = (
        os.mkdir,
        os.symlink,
        os.link,
        os.chmod,
        os.utime,
    )
    lexists, isdir, islink = os.path.lexists, os.path.isdir, os.path.islink

    @staticmethod
    def setxattr(path: str, name: str, value: bytes) -> None:
        os.setxattr(path, name, value)

    @staticmethod
    def write_bytes(path: str, content: bytes) -> None:
        with open(path, "wb") as file:
            file.write(content)


def make(world: Any, top: str, plan: list[tuple[str, Thing]], *, xattrs: bool) -> None:
    """Make in *world*, below *top*, what can be made of *plan*."""
    directories: dict[str, Thing] = {}
    files: list[str] = []
    for path, thing in plan:
        full = f"{top}/{path}"
        if world.lexists(full) or not make_above(world, top, path, directories):
            continue
        if thing.kind == "d":
            world.mkdir(full)
            directories[full] = thing
        elif thing.kind == "h":
            if files:
                world.link(files[len(path) % len(files)], full)
        elif thing.kind == "l":
            world.symlink(thing.target, full)
            world.utime(full, ns=(5, thing.mtime), follow_symlinks=False)
        else:
            world.write_bytes(full, thing.content)
            files.append(full)
            stamp(world, full, thing, xattrs=xattrs)
    for full in sorted(directories, key=len, reverse=True):
        stamp(world, full, directories[full], xattrs=xattrs)


def make_above(world: Any, top: str, path: str, directories: dict[str, Thing]) -> bool:
    """Make the directories above *path*; False: something else is in the way."""
    at = top
    for name in path.split("/")[:-1]:
        at = f"{at}/{name}"
        if not world.lexists(at):
            world.mkdir(at)
            directories[at] = Thing("d", mode=0o755, mtime=7)
        elif world.islink(at) or not world.isdir(at):
            return False
    return True


def stamp(world: Any, path: str, thing: Thing, *, xattrs: bool) -> None:
    for name, value in thing.xattrs.items() if xattrs else ():
        world.setxattr(path, name, value)
    world.chmod(path, thing.mode)
    world.utime(path, ns=(5, thing.mtime))


@contextmanager
def directory(name: str = "in") -> Iterator[str]:
    """Yield an empty directory of the host."""
    with tempfile.TemporaryDirectory(prefix="stratavfs-") as above:
        os.mkdir(f"{above}/{name}")
        yield f"{above}/{name}"


@pytest.fixture(scope="module")
def xattrs_are_there(tmp_path_factory: pytest.TempPathFactory) -> bool:
    return takes_xattrs(tmp_path_factory.mktemp("probe"))


def few(examples: int) -> settings:
    more = settings().max_examples / settings.get_profile("default").max_examples
    return settings(
        max_examples=round(examples * more), suppress_health_check=[*HealthCheck]
    )


# --- in and out -----------------------------------------------------------------------


@few(20)
@given(plan=plans(MOMENTS))
def test_tree_of_the_host_comes_out_as_it_went_in(
    plan: list[tuple[str, Thing]], xattrs_are_there: bool
) -> None:
    with directory() as top, closing(Vfs()) as vfs, closing(Vfs()) as other:
        make(Host, top, plan, xattrs=xattrs_are_there)
        expected = host_tree(top)

        vfs.import_tree(top, "/in")
        assert difference(vfs_tree(vfs, "/in"), expected) == {}

        vfs.export_tree("/in", f"{top}-out")
        assert difference(host_tree(f"{top}-out"), expected) == {}

        vfs.export_archive("/in", f"{top}.tar")
        other.import_archive(f"{top}.tar", "/again")
        other.export_tree("/again", f"{top}-again")
        assert difference(host_tree(f"{top}-again"), expected) == {}

        again = vfs.import_tree(f"{top}-again", "/in", checksum=True)
        assert again[:4] == (0, 0, 0, 0)


@few(25)
@given(plan=plans((*MOMENTS, *FAR)), chunk_size=st.sampled_from([3, 64, 65536]))
def test_tree_of_a_container_comes_back_from_tar_as_it_was(
    plan: list[tuple[str, Thing]], chunk_size: int
) -> None:
    with closing(Vfs(chunk_size=chunk_size)) as vfs:
        vfs.mkdir("/in")
        make(vfs, "/in", plan, xattrs=True)
        stream = io.BytesIO()

        vfs.export_archive("/in", stream, "tar")
        stream.seek(0)
        vfs.import_archive(stream, "/again")

        assert difference(vfs_tree(vfs, "/again"), vfs_tree(vfs, "/in")) == {}


def kept_by_zip(tree: Tree) -> Tree:
    """Return what a zip keeps: seconds that have 32 bits, no attributes, no names."""
    return {
        path: seen._replace(
            mtime_ns=seen.mtime_ns // 10**9
            if 0 <= seen.mtime_ns < 2**31 * 10**9
            else 0,
            names=(),
            xattrs=(),
        )
        for path, seen in tree.items()
    }


@few(20)
@given(plan=plans(MOMENTS))
def test_tree_of_a_container_comes_back_from_zip_as_far_as_zip_keeps_it(
    plan: list[tuple[str, Thing]],
) -> None:
    with closing(Vfs()) as vfs:
        vfs.mkdir("/in")
        make(vfs, "/in", plan, xattrs=True)
        stream = io.BytesIO()

        vfs.export_archive("/in", stream, "zip")
        stream.seek(0)
        vfs.import_archive(stream, "/again")

        expected = kept_by_zip(vfs_tree(vfs, "/in"))
        early = {p for p, seen in vfs_tree(vfs, "/in").items() if seen.mtime_ns < 0}
        found = {
            path: seen._replace(mtime_ns=0) if path in early else seen
            for path, seen in kept_by_zip(vfs_tree(vfs, "/again")).items()
        }
        assert difference(found, expected) == {}


@few(15)
@given(plan=plans(MOMENTS))
def test_tree_over_layers_is_exported_as_it_is_seen(
    plan: list[tuple[str, Thing]], xattrs_are_there: bool
) -> None:
    with directory() as top, closing(Vfs()) as base, closing(Vfs()) as vfs:
        base.mkdir("/in")
        make(base, "/in", plan[::2], xattrs=xattrs_are_there)
        vfs.add_underlay(base)
        make(vfs, "/in", plan[1::2], xattrs=xattrs_are_there)
        expected = {
            path: seen._replace(names=()) for path, seen in vfs_tree(vfs, "/in").items()
        }

        vfs.export_tree("/in", f"{top}-out", preserve=("mode", "timestamps", "xattr"))

        assert difference(host_tree(f"{top}-out"), expected) == {}


# --- conflicts ------------------------------------------------------------------------

TWICE = tuple(second * 10**9 for second in (5, 6, 7))
small_paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
small_things = st.one_of(
    st.builds(
        Thing,
        st.just("f"),
        st.sampled_from([b"", b"1", b"2", b"longer"]),
        st.just(""),
        st.sampled_from([0o644, 0o600]),
        st.sampled_from(TWICE),
    ),
    st.builds(
        Thing,
        st.just("l"),
        st.just(b""),
        st.sampled_from(["a", "..", "/a/b"]),
        st.just(0),
        st.sampled_from(TWICE),
    ),
    st.builds(Thing, st.just("d"), mode=st.just(0o755), mtime=st.sampled_from(TWICE)),
)
small_plans = st.lists(st.tuples(small_paths, small_things), max_size=8)
choices = st.sampled_from(["error", "skip", "replace", "newer"])


class Refused(Exception):  # noqa: N818 - what the model says
    """The first conflict that is not settled: its path."""


def is_same(old: Seen, new: Seen, *, checksum: bool) -> bool:
    if old.kind != new.kind:
        return False
    if new.kind == "l" or checksum:
        return old.content == new.content
    return len(old.content) == len(new.content) and old.mtime_ns == new.mtime_ns


def merged(old: Tree, new: Tree, choice: str, *, checksum: bool) -> Tree:
    """Return what is there when *new* has come into *old*."""
    result, left_out = dict(old), set[str]()
    for path in sorted(new, key=lambda path: path.split("/")):
        coming, there = new[path], result.get(path)
        above = path.rpartition("/")[0]
        if above in left_out:
            left_out.add(path)
        elif there is None or (coming.kind == there.kind == "d"):
            result[path] = coming
        elif coming.kind != "d" and is_same(there, coming, checksum=checksum):
            pass
        elif not settles(path, there, coming, choice):
            left_out.add(path)
        else:
            result[path] = coming
    return result


def settles(path: str, there: Seen, coming: Seen, choice: str) -> bool:
    """Tell whether *coming* replaces what is *there*."""
    if choice == "skip":
        return False
    if there.kind == "d" or choice == "error":  # a directory never gives way
        raise Refused(path)
    return choice == "replace" or coming.mtime_ns > there.mtime_ns


def compared(tree: Tree) -> Tree:
    """Return *tree* without times of directories, which a change in them moves."""
    return {
        path: seen._replace(mtime_ns=0) if seen.kind == "d" else seen
        for path, seen in tree.items()
    }


def expected_of(old: Tree, new: Tree, choice: str, *, checksum: bool) -> Tree | None:
    try:
        return compared(merged(old, new, choice, checksum=checksum))
    except Refused:
        return None


def refusal_of(call: Callable[[], object]) -> int | None:
    try:
        call()
    except OSError as error:
        return error.errno
    return None


@few(50)
@given(small_plans, small_plans, choices, st.booleans())
def test_import_over_layers_is_the_merge_of_both(
    before: list[tuple[str, Thing]],
    coming: list[tuple[str, Thing]],
    choice: Any,
    checksum: bool,
) -> None:
    with directory() as top, closing(Vfs()) as base, closing(Vfs()) as vfs:
        make(Host, top, coming, xattrs=False)
        base.mkdir("/in")
        make(base, "/in", before[::2], xattrs=False)
        vfs.add_underlay(base)
        make(vfs, "/in", before[1::2], xattrs=False)
        old, rows = vfs_tree(vfs, "/in"), ground.dump(vfs._store._cx)
        expected = expected_of(old, host_tree(top), choice, checksum=checksum)

        refused = refusal_of(
            lambda: vfs.import_tree(top, "/in", on_conflict=choice, checksum=checksum)
        )

        if expected is None:
            assert refused in (errno.EEXIST, errno.EISDIR)
            assert ground.dump(vfs._store._cx) == rows
        else:
            assert refused is None
            assert difference(compared(vfs_tree(vfs, "/in")), expected) == {}


@few(50)
@given(small_plans, small_plans, choices, st.booleans())
def test_export_over_a_tree_is_the_merge_of_both(
    before: list[tuple[str, Thing]],
    coming: list[tuple[str, Thing]],
    choice: Any,
    checksum: bool,
) -> None:
    with directory() as top, closing(Vfs()) as vfs:
        make(Host, top, before, xattrs=False)
        vfs.mkdir("/out")
        make(vfs, "/out", coming, xattrs=False)
        old = host_tree(top)
        new = vfs_tree(vfs, "/out")
        expected = expected_of(old, new, choice, checksum=checksum)

        refused = refusal_of(
            lambda: vfs.export_tree("/out", top, on_conflict=choice, checksum=checksum)
        )

        if expected is None:
            assert refused in (errno.EEXIST, errno.EISDIR)
        else:
            assert refused is None
            assert difference(compared(host_tree(top)), expected) == {}


# --- members that lie -----------------------------------------------------------------

numbers = st.sampled_from([0, -1, 2**31, 2**32, 2**63 - 1, 2**63, 2**70])
odd_texts = st.sampled_from(["", "a", "\0", "a\0b", "\ud800", "n" * 256, "/", ".."])
lies = st.builds(
    ArchiveMember,
    path=st.sampled_from(["a", "b", "a/b", "n" * 256, "\ud800", "\0", "", "/", "./c"]),
    mode=st.sampled_from([0o100644, 0o40755, 0o120777, 0, -1, 0o20666, 2**40, 0o644]),
    size=st.sampled_from([3, 0, -1, 2, 4, -2, 2**20 + 1, 2**62]),
    mtime_ns=numbers,
    target=st.one_of(st.none(), odd_texts),
    first=st.one_of(st.none(), st.none(), odd_texts),
    uid=numbers,
    gid=numbers,
    owner=odd_texts,
    group=odd_texts,
    xattrs=st.dictionaries(odd_texts, st.just(b"1"), max_size=1),
)


class Liar:
    """A format whose members are what it was given, each with three bytes."""

    name = "lies"
    extensions = (".lies",)

    def __init__(self, members: list[ArchiveMember]) -> None:
        self.members = members

    def recognizes(self, head: bytes) -> bool:
        return False

    @contextmanager
    def read(self, stream: BinaryIO) -> Iterator[Iterator[Any]]:
        yield ((member, io.BytesIO(b"abc")) for member in self.members)

    def write(self, stream: BinaryIO) -> Any:
        raise NotImplementedError


@few(200)
@given(st.lists(lies, min_size=1, max_size=3), st.booleans())
def test_import_of_members_that_lie_is_refused_or_sound(
    members: list[ArchiveMember], owners: bool
) -> None:
    preserve = "all" if owners else ["mode", "timestamps", "links", "xattr"]
    with closing(Vfs()) as vfs:
        before = ground.dump(vfs._store._cx)

        refused = refusal_of(
            lambda: vfs.import_archive(
                io.BytesIO(), format=Liar(members), preserve=preserve
            )
        )

        assert vfs.check() == []
        vfs_tree(vfs)
        if refused is not None:
            assert refused in (errno.EINVAL, errno.ENAMETOOLONG, errno.EISDIR)
            assert ground.dump(vfs._store._cx) == before
