"""Every verb of one layer, good and bad arguments alike, does what the disk does."""

from __future__ import annotations

import itertools
import os
from stat import S_ISLNK
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)
from tests import strategies as draw
from tests.model.compare import (
    explicit,
    fields,
    outcome,
    tree_of,
    virtual_name,
)
from tests.model.real import Real

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

flags = st.booleans()
paths = draw.any_paths

# Asked of every path that a step draws.
QUESTIONS = ("exists", "lexists", "isfile", "isdir", "islink", "getsize", "readlink")


class SingleLayer(RuleBasedStateMachine):
    """A container and a directory that everything happens to at once."""

    create_parents = True

    def __init__(self) -> None:
        super().__init__()
        self.umask = os.umask(0o022)
        self.real = Real(create_parents=self.create_parents)

    @initialize(chunk_size=draw.chunk_sizes, on_disk=flags, furnished=flags)
    def open(self, chunk_size: int, on_disk: bool, furnished: bool) -> None:
        location = f"{self.real.base}/container.db" if on_disk else ":memory:"
        self.vfs = VirtualFileSystem(
            location, chunk_size, create_parents=self.create_parents
        )
        if furnished:
            self.furnish()

    def furnish(self) -> None:
        """Begin with one of each kind: most steps then meet something."""
        self.same("mkdir", "/a", mode=0o755)
        self.same("mkdir", "/a/b", mode=0o755)
        self.same("write_bytes", "/a/a", b"hello")
        self.same("write_bytes", "/b", b"x" * 70)
        self.same("link", "/b", "/a/ab")
        self.same("symlink", "a", "/ab")
        self.same("symlink", "../b", "/a/b/a")
        self.same("symlink", "nowhere", "/_")

    def teardown(self) -> None:
        os.umask(self.umask)
        if hasattr(self, "vfs"):
            self.vfs.close()
        self.real.close()

    def same(
        self,
        verb: str,
        *args: Any,
        view: Callable[[Any], object] = lambda value: value,
        **options: Any,
    ) -> Any:
        """Do the same on both sides, and see the same; return what was seen."""
        mine, theirs = (
            outcome(lambda fs: view(getattr(fs, verb)(*args, **options)), side)
            for side in (self.vfs, self.real)
        )
        assert mine == theirs, f"{verb}{args}: {mine}, and on the disk {theirs}"
        return mine

    @invariant()
    def trees_are_the_same(self) -> None:
        if hasattr(self, "vfs"):
            assert tree_of(self.vfs) == tree_of(self.real)
            assert self.vfs.check() == []

    # --- whole files ------------------------------------------------------------------

    @rule(path=paths, content=draw.contents)
    def write_bytes(self, path: Any, content: bytes) -> None:
        self.same("write_bytes", path, content)

    @rule(path=paths, text=draw.texts, newline=draw.newlines)
    def write_text(self, path: Any, text: str, newline: str | None) -> None:
        self.same("write_text", path, text, newline=newline)

    @rule(path=paths, newline=draw.newlines)
    def read(self, path: Any, newline: str | None) -> None:
        self.same("read_bytes", path)
        self.same("read_text", path, newline=newline)

    @rule(path=paths, mode=draw.permissions, exist_ok=flags)
    def touch(self, path: Any, mode: int, exist_ok: bool) -> None:
        self.same("touch", path, mode, exist_ok)

    @rule(path=paths, length=draw.truncations)
    def truncate(self, path: Any, length: int) -> None:
        self.same("truncate", path, length)

    @rule(path=paths)
    def remove(self, path: Any) -> None:
        self.same("remove", path)

    @rule(verb=st.sampled_from(("copy", "copy2")), src=paths, dst=paths, follow=flags)
    def copy(self, verb: str, src: Any, dst: Any, follow: bool) -> None:
        self.same(verb, src, dst, follow_symlinks=follow)

    # --- asking -----------------------------------------------------------------------

    @rule(path=paths, other=paths)
    def ask(self, path: Any, other: Any) -> None:
        for verb in QUESTIONS:
            self.same(verb, path)
        for follow in (True, False):
            self.same("stat", path, follow_symlinks=follow, view=fields)
        self.same("lstat", path, view=fields)
        self.same("samefile", path, other)

    # --- links and attributes ---------------------------------------------------------

    @rule(src=draw.targets, dst=paths)
    def symlink(self, src: str, dst: Any) -> None:
        self.same("symlink", src, dst)

    @rule(src=paths, dst=paths, follow=flags)
    def link(self, src: Any, dst: Any, follow: bool) -> None:
        self.same("link", src, dst, follow_symlinks=follow)

    @rule(path=paths, mode=draw.permissions)
    def chmod(self, path: Any, mode: int) -> None:
        self.same("chmod", path, mode)

    @rule(path=paths, atime=draw.moments, mtime=draw.moments, follow=flags)
    def utime(self, path: Any, atime: int, mtime: int, follow: bool) -> None:
        self.same("utime", path, ns=(atime, mtime), follow_symlinks=follow)
        self.same("stat", path, follow_symlinks=follow, view=times)

    @rule(path=paths, times_=st.none() | st.tuples(draw.seconds, draw.seconds))
    def utime_in_seconds(self, path: Any, times_: tuple[float, float] | None) -> None:
        self.same("utime", path, times=times_)
        self.same("stat", path, view=times)

    # --- directories ------------------------------------------------------------------

    @rule(path=paths, parents=flags, exist_ok=flags, mode=draw.permissions)
    def mkdir(self, path: Any, parents: bool, exist_ok: bool, mode: int) -> None:
        self.same("mkdir", path, parents, exist_ok, mode=mode)

    @rule(path=paths, exist_ok=flags, mode=draw.permissions)
    def makedirs(self, path: Any, exist_ok: bool, mode: int) -> None:
        self.same("makedirs", path, exist_ok, mode=mode)

    @rule(path=paths)
    def list(self, path: Any) -> None:
        self.same("listdir", path)
        self.same("scandir", path, view=entries)

    @rule(path=paths)
    def rmdir(self, path: Any) -> None:
        self.same("rmdir", path)

    @rule(path=paths)
    def rmtree(self, path: Any) -> None:
        self.same("rmtree", path)

    @rule(src=paths, dst=paths, symlinks=flags, exist_ok=flags)
    def copytree(self, src: Any, dst: Any, symlinks: bool, exist_ok: bool) -> None:
        # Two links that lead upwards would make 2 ** 40 directories of one; and over
        # hard links, what is there at the end depends on the order of copying.
        options = {
            "symlinks": symlinks or self.has_links_to_directories(),
            "dirs_exist_ok": exist_ok and not self.has_hard_links(),
        }
        self.same_copy(src, dst, **options)

    def same_copy(self, src: Any, dst: Any, **options: bool) -> None:
        # Which of the directories on the way is named is os.makedirs' own affair.
        mine = outcome(self.vfs.copytree, src, dst, **options)[:3]
        theirs = outcome(self.real.copytree, src, dst, **options)[:3]
        # shutil goes on after an error and collects them; here the first one ends it.
        same = mine[0] == "error" if theirs == ("error", "Error") else mine == theirs
        assert same, f"copytree {src} {dst} {options}: {mine}, on the disk {theirs}"

    def has_links_to_directories(self) -> bool:
        found = tree_of(self.real)
        return any(self.real.islink(path) and self.real.isdir(path) for path in found)

    def has_hard_links(self) -> bool:
        return any(len(node.beside) > 1 for node in tree_of(self.real).values())

    # --- moving -----------------------------------------------------------------------

    @rule(verb=st.sampled_from(("rename", "replace", "move")), src=paths, dst=paths)
    def move(self, verb: str, src: Any, dst: Any) -> None:
        self.same(verb, src, dst)

    # --- searching --------------------------------------------------------------------

    @rule(top=paths, topdown=flags)
    def walk(self, top: Any, topdown: bool) -> None:
        view = steps if topdown else lambda found: sorted(steps(found))
        self.same("walk", top, topdown=topdown, view=view)

    @rule(top=paths)
    def walk_through_links(self, top: Any) -> None:
        """Walk a while: links may lead round and round."""
        self.same(
            "walk", top, followlinks=True, view=lambda found: steps(found, limit=15)
        )

    @rule(top=paths)
    def walk_what_may_be_missing(self, top: Any) -> None:
        def errors(fs: Any) -> list[Any]:
            seen: list[OSError] = []
            for _ in fs.walk(top, seen.append):
                pass
            return [(e.errno, virtual_name(e.filename)) for e in seen]

        assert outcome(errors, self.vfs) == outcome(errors, self.real)

    @rule(pattern=draw.patterns)
    def glob(self, pattern: Any) -> None:
        self.same("glob", pattern)
        if isinstance(pattern, str) and pattern.isprintable() and pattern:
            assert sorted(self.vfs.iglob(pattern)) == self.vfs.glob(pattern)


def times(found: Any) -> tuple[object, object]:
    # Following a link reads it, and the kernel notes that in the link's atime.
    atime = None if S_ISLNK(found.st_mode) else explicit(found.st_atime_ns)
    return atime, explicit(found.st_mtime_ns)


def steps(found: Iterable[Any], limit: int | None = None) -> list[Any]:
    """Return what a walk yields, in an order that both sides can have."""
    seen = []
    for top, directories, others in itertools.islice(found, limit):
        directories.sort()  # top down, this is the order of the walk, too
        seen.append((virtual_name(top), directories[:], sorted(others)))
    return seen


def entries(found: Iterable[Any]) -> list[Any]:
    """Return all that the entries of a scan say."""
    return [
        (
            entry.name,
            virtual_name(os.fspath(entry)),
            entry.is_symlink(),
            *(
                outcome(question, follow_symlinks=follow)
                for question in (entry.is_dir, entry.is_file)
                for follow in (True, False)
            ),
            outcome(lambda e: fields(e.stat()), entry),
            entry.stat(follow_symlinks=False).st_mode,
        )
        for entry in found
    ]


class SingleLayerWithoutParents(SingleLayer):
    """The same where nothing is made unasked: the disk needs no help then."""

    create_parents = False


TestSingleLayer = pytest.mark.slow(SingleLayer.TestCase)
TestSingleLayer.settings = draw.effort(examples=150, steps=40)
TestSingleLayerWithoutParents = pytest.mark.slow(SingleLayerWithoutParents.TestCase)
TestSingleLayerWithoutParents.settings = draw.effort(examples=150, steps=40)
