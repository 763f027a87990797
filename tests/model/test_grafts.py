"""Whatever lies in the layers: what is said of them, and what moves whole trees.

Layers are drawn as for the state machines of layers, and a few steps are done on top.
The oracles are those of the layers, read by raw SQL and from the disk; and the view of
the underlays alone, against which the local changes are told.
"""

from __future__ import annotations

import stat
import tempfile
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests import strategies as draw
from tests.api.grafting import below_root, rows_of, seen, shown
from tests.model.compare import outcome
from tests.model.layered import (
    DIRECTORY,
    S_IFWHT,
    Layer,
    Node,
    layer,
    layers,
    mounted,
    parents_of,
)
from tests.model.places import Step, do, layer_of_rows, make_rows
from tests.model.test_layered import steps
from tests.model.underlays import Drawn, Underlay, make, underlays

from stratavfs import Change, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.slow

quick = draw.effort(examples=120, steps=1)


def renew(fs: VirtualFileSystem, path: str) -> None:
    """Make a directory that hides what was there, and has some of it again."""
    fs.rmtree(path)
    fs.write_bytes(f"{path}/a/b", b"renewed")
    fs.write_bytes(f"{path}/ab", b"renewed")


tops = st.sampled_from(("/a", "/a", "/b", "/a/a", "/ab"))
changes = st.one_of(steps, steps, st.tuples(st.just(renew), tops))


class Plan(NamedTuple):
    """What a stack is made of."""

    local: Layer
    below: list[Drawn]
    steps: list[Step]
    chunk_size: int


class Made(NamedTuple):
    """A stack, and the same without its local layer."""

    vfs: VirtualFileSystem
    alone: VirtualFileSystem
    below: list[tuple[Drawn, Underlay]]


plans = st.builds(
    Plan,
    layers(),
    st.lists(underlays(), min_size=1, max_size=3),
    st.lists(changes, max_size=6),
    draw.chunk_sizes,
)


@contextmanager
def stack_of(plan: Plan) -> Iterator[Made]:
    """Make the stack and do the steps; see that no underlay changes by anything."""
    with ExitStack() as todo:
        room = todo.enter_context(tempfile.TemporaryDirectory())
        below = [(drawn, make(drawn, room)) for drawn in plan.below]
        for _, underlay in below:
            todo.callback(underlay.close)
        vfs = todo.enter_context(VirtualFileSystem(chunk_size=plan.chunk_size))
        alone = todo.enter_context(VirtualFileSystem())
        make_rows(plan.local, vfs)
        for drawn, underlay in below:
            for fs in (vfs, alone):
                fs.add_underlay(underlay.given, drawn.priority, at=drawn.at)
        for step in plan.steps:
            do(vfs, step)
        seen(vfs)  # the host notes that its files were read, once
        seen(alone)
        before = [underlay.traces() for _, underlay in below]
        yield Made(vfs, alone, below)
        assert [underlay.traces() for _, underlay in below] == before
        assert vfs.check() == []


def layers_of(made: Made) -> dict[str, Layer]:
    """Return what the layers hold, by raw SQL and from the disk, the top one first."""
    found = {"local": layer_of_rows(made.vfs._store._cx)}
    named = [(f"underlay_{nth}", *pair) for nth, pair in enumerate(made.below)]
    for name, drawn, underlay in sorted(named, key=lambda item: -item[1].priority):
        for inner, held in underlay.layers().items():
            found[name + inner] = mounted(held, drawn.at)
    return found


# --- looking --------------------------------------------------------------------------


@quick
@given(plan=plans)
def test_explain_names_the_layer_that_answers(plan: Plan) -> None:
    with stack_of(plan) as made:
        for path in (*draw.PATHS, *seen(made.vfs), "/a/a/a/a", "/nowhere"):
            told = made.vfs.explain(path)

            assert told.winner == made.vfs.which_layer(path)
            answering = [say for say in told.layers if say.rule == "answers"]
            assert [say.name for say in answering] == [told.winner] * len(answering)
            assert len(answering) == (told.winner is not None)
            assert str(told).startswith(told.path)


def conflicts_in(layers: Mapping[str, Layer]) -> dict[str, list[str]]:
    """Return all paths of which several have something different, and who does."""
    found: dict[str, list[str]] = {}
    todo = [("/", [*layers])]
    while todo:
        path, names = todo.pop()
        there: list[tuple[str, Node]] = []
        for name in names:
            node = layers[name].get(path)
            if node is not None and node.mode == S_IFWHT:
                break
            there += [] if node is None else [(name, node)]
            if node is not None and node.opaque:
                break
        rivals: dict[str, tuple[int, Any]] = {}
        for name, node in there:
            told = stat.S_IFMT(node.mode), node.content
            rivals.setdefault(name.split("/")[0], told)
        if len({*rivals.values()}) > 1:
            found[path] = [*rivals]
        merging = merging_of(there)
        inside = {below for name in merging for below in layers[name]} - {"/"}
        todo += [(p, merging) for p in inside if parents_of(p)[-1] == path]
    return found


def merging_of(there: list[tuple[str, Node]]) -> list[str]:
    """Return who merges into one directory, down to the first that is none."""
    merging = []
    for name, node in there:
        if not stat.S_ISDIR(node.mode):
            break
        merging.append(name)
    return merging


@quick
@given(plan=plans)
def test_conflicts_are_those_of_the_layers(plan: Plan) -> None:
    with stack_of(plan) as made:
        found = made.vfs.conflicts()

        assert {path: names for path, _, names in found} == conflicts_in(
            layers_of(made)
        )
        assert all(winner == names[0] for _, winner, names in found)
        assert all(winner == made.vfs.which_layer(path) for path, winner, _ in found)
        assert found == sorted(found)


def changes_between(old: dict[str, Any], new: dict[str, Any]) -> dict[str, str]:
    """Return the kind of change by path that makes the view *new* of *old*."""
    found = {}
    for path in {*old, *new} - {"/"}:
        if path not in old:
            found[path] = "added"
        elif path not in new:
            above = new.get(parents_of(path)[-1])
            if above is not None and stat.S_ISDIR(above[0]):
                found[path] = "deleted"
        else:
            kind = change_of(old[path], new[path])
            found.update({path: kind} if kind else {})
    return found


def change_of(old: tuple[Any, ...], new: tuple[Any, ...]) -> str | None:
    (mode, size, owners, times, content, xattrs, _) = old
    if stat.S_IFMT(mode) != stat.S_IFMT(new[0]):
        return "type changed"
    if (size, content) != (new[1], new[4]):
        return "modified"
    mtime, new_mtime = (0, 0) if times is None else (times[1], new[3][1])
    same = (mode, owners, xattrs, mtime) == (new[0], new[2], new[5], new_mtime)
    return None if same else "metadata"


@quick
@given(plan=plans)
def test_diff_is_what_makes_the_view_of_that_of_the_underlays(plan: Plan) -> None:
    with stack_of(plan) as made:
        found = made.vfs.diff()

        told = {path: kind for path, kind in found if path != "/"}
        assert told == changes_between(shown(made.alone), shown(made.vfs))
        assert len({path for path, _ in found}) == len(found)


OPAQUE = DIRECTORY._replace(opaque=True)


def over_one(local: Layer) -> Plan:
    """Return *local* over a single layer that has a directory at ``/a``."""
    below = Drawn("memory", layer(a__a=b"x"), 2, layer(), "/", 0, "/")
    return Plan(local, [below], [], 2)


@quick
@given(plan=plans, path=draw.paths)
@example(plan=over_one(layer(a=b"")), path="/a/a")
@example(plan=over_one(layer(a=None)), path="/a/a")
@example(plan=over_one(layer(a=OPAQUE, a__a=b"y")), path="/a/a")
def test_look_at_a_path_tells_what_is_said_of_all_that_is_below_it(
    plan: Plan, path: str
) -> None:
    with stack_of(plan) as made:
        where = made.vfs.explain(path).path  # past the links on the way
        changes = [it for it in made.vfs.diff() if is_in(it.path, where)]
        conflicts = [it for it in made.vfs.conflicts() if is_in(it.path, where)]
        if where in {*shown(made.alone)} - {*shown(made.vfs)} and not changes:
            changes = [Change(where, "deleted")]  # with a directory above it

        assert made.vfs.diff(path) == sorted(changes)
        got = outcome(made.vfs.conflicts, path)
        if made.vfs.exists(path) and not made.vfs.islink(path):
            assert got == ("value", conflicts)
        elif not made.vfs.lexists(path):
            assert got[:2] in (
                ("error", "FileNotFoundError"),
                ("error", "NotADirectoryError"),
                ("error", "OSError"),  # a loop of links
            )


def is_in(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")


# --- grafts ---------------------------------------------------------------------------


@quick
@given(plan=plans, chunk_size=draw.chunk_sizes)
def test_flatten_shows_the_merged_view(plan: Plan, chunk_size: int) -> None:
    with stack_of(plan) as made, VirtualFileSystem(chunk_size=chunk_size) as flat:
        before = rows_of(made.vfs)

        made.vfs.flatten(flat)

        assert seen(flat) == seen(made.vfs)
        assert flat.check() == []
        assert rows_of(made.vfs) == before
        everything = layer_of_rows(flat._store._cx).values()
        assert not any(node.opaque or node.mode == S_IFWHT for node in everything)


@quick
@given(plan=plans)
def test_apply_to_a_copy_of_the_underlays_makes_the_merged_view(plan: Plan) -> None:
    with stack_of(plan) as made, VirtualFileSystem(chunk_size=4) as copy:
        made.alone.flatten(copy)
        rows = rows_of(made.vfs)

        made.vfs.apply_to(copy)

        assert below_root(seen(copy)) == below_root(seen(made.vfs))
        assert copy.check() == []
        assert rows_of(made.vfs) == rows


@quick
@given(plan=plans)
def test_apply_to_another_stack_makes_the_same_view(plan: Plan) -> None:
    with stack_of(plan) as made:
        made.vfs.apply_to(made.alone)

        assert below_root(seen(made.alone)) == below_root(seen(made.vfs))
        assert made.alone.check() == []


@quick
@given(local=layers(), base=layers(), batch=st.lists(changes, max_size=6))
def test_apply_to_the_base_and_revert_keeps_the_view(
    local: Layer, base: Layer, batch: list[Step]
) -> None:
    with VirtualFileSystem(chunk_size=3) as below, VirtualFileSystem() as vfs:
        make_rows(base, below)
        make_rows(local, vfs)
        vfs.add_underlay(below)
        for step in batch:
            do(vfs, step)
        view = below_root(seen(vfs))

        vfs.apply_to(below)
        assert below_root(seen(vfs)) == view
        assert below_root(seen(below)) == view
        vfs.revert("/")

        assert below_root(seen(vfs)) == view
        assert below.check() == vfs.check() == []


@quick
@given(plan=plans, other=layers(), inner=layers())
def test_apply_to_anything_makes_what_the_local_layer_over_it_would_show(
    plan: Plan, other: Layer, inner: Layer
) -> None:
    below, target = VirtualFileSystem(chunk_size=3), VirtualFileSystem()
    with stack_of(plan) as made, below, target, VirtualFileSystem() as over:
        make_rows(other, target)
        make_rows(inner, below)
        target.add_underlay(below)
        before = rows_of(below)
        make_rows(layer_of_rows(made.vfs._store._cx), over)
        over.add_underlay(target)
        view = below_root(seen(over))

        over.apply_to(target)

        assert below_root(seen(target)) == view
        assert target.check() == []
        assert rows_of(below) == before


@quick
@given(plan=plans)
def test_revert_of_all_shows_the_underlays(plan: Plan) -> None:
    with stack_of(plan) as made:
        made.vfs.revert("/")

        assert below_root(seen(made.vfs)) == below_root(seen(made.alone))
        assert [change for change in made.vfs.diff() if change.path != "/"] == []
        assert {*layer_of_rows(made.vfs._store._cx)} == {"/"}


@quick
@given(plan=plans)
def test_revert_of_each_change_shows_the_underlays(plan: Plan) -> None:
    with stack_of(plan) as made:
        done: list[str] = []
        for path, _ in made.vfs.diff():
            if path != "/" and not {*done} & {*parents_of(path)}:
                made.vfs.revert(path)
                done.append(path)

        assert top_aside(shown(made.vfs)) == top_aside(shown(made.alone))


@quick
@given(plan=plans, path=draw.paths)
def test_revert_of_one_path_changes_nothing_beside_it(plan: Plan, path: str) -> None:
    with stack_of(plan) as made:
        path = made.vfs.explain(path).path
        old, below = shown(made.vfs), shown(made.alone)

        got = outcome(made.vfs.revert, path)

        new = shown(made.vfs)
        if got[0] == "error":
            assert new == old
        elif path != "/":
            assert {p: node for p, node in new.items() if is_in(p, path)} == {
                p: node for p, node in below.items() if is_in(p, path)
            }
            above = parents_of(path)  # they may come up again
            for view in (old, new):
                for gone in [p for p in view if p in above or is_in(p, path)]:
                    del view[gone]
            assert without_names(new) == without_names(old)


def top_aside(view: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """Return the view without the root, and of the times what diff looks at."""
    return {
        path: (*node[:3], node[3] and node[3][1], *node[4:])
        for path, node in view.items()
        if path != "/"
    }


def without_names(view: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """Return the view without the names beside each file, one of which may be gone."""
    return {path: node[:-1] for path, node in view.items()}
