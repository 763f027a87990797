"""What the layers brought, killed, failing and full: all of a call, or nothing of it.

The harness is that of one layer: a child that kills itself before its n-th statement, a
connection that fails at its n-th, a disk with no room. The file system that is changed
is before or after, healthy and usable; no byte of an underlay ever changes. The last
part is about underlays that are broken while they lie in a stack.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import sqlite3
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api.test_grafts import seen
from tests.faults.test_crash import (
    Killer,
    assert_healthy,
    moment,
    survives,
    trace_from_the_start,
)
from tests.faults.test_nth_statement import FAULTS, Fault, failing, outcome

from stratavfs import BatchLost, LayerFailed, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Call = Callable[[VirtualFileSystem], object]

BIG = bytes(range(256)) * 600  # 150 KiB: chunks, and more than a full disk has room for


def fill_base(vfs: VirtualFileSystem) -> None:
    with vfs.atomic_batch():
        vfs.write_text("/small", "small")
        vfs.write_bytes("/big", BIG)
        vfs.setxattr("/small", "user.a", b"1")
        vfs.symlink("small", "/link")
        vfs.write_bytes("/tree/deep/big", BIG[:70_000])
        vfs.write_text("/tree/deep/small", "s")
        vfs.link("/small", "/tree/hard")
        vfs.write_text("/gone/a", "a")
        vfs.write_text("/gone/sub/b", "b")
        vfs.write_text("/old/a", "a")
        vfs.write_text("/old/b", "b")


def edit_local(vfs: VirtualFileSystem) -> None:
    """Change what revert, flatten and apply_to are then about."""
    with vfs.atomic_batch():
        vfs.write_text("/mine/a", "mine")
        vfs.link("/mine/a", "/mine/b")
        vfs.rmtree("/gone")
        vfs.rmtree("/old")
        vfs.write_text("/old/new", "in an opaque directory")
        vfs.chmod("/small", 0o600)


def append(vfs: VirtualFileSystem) -> None:
    with vfs.open("/big", "ab") as file:
        file.write(b"more")


def patch(vfs: VirtualFileSystem) -> None:
    with vfs.open("/tree/deep/big", "r+b") as file:
        file.seek(1000)
        file.write(b"patched")


CALLS: dict[str, Call] = {
    "append": append,
    "patch": patch,
    "write": lambda vfs: vfs.write_bytes("/tree/deep/small", b"other"),
    "open w": lambda vfs: vfs.open("/big", "w").close(),
    "truncate": lambda vfs: vfs.truncate("/big", 70_000),
    "chmod": lambda vfs: vfs.chmod("/tree/deep/big", 0o600),
    "setxattr": lambda vfs: vfs.setxattr("/tree/hard", "user.b", b"2"),
    "rename": lambda vfs: vfs.rename("/big", "/x/y"),
    "rename tree": lambda vfs: vfs.rename("/tree", "/x/y"),
    "replace": lambda vfs: vfs.replace("/big", "/mine/a"),
    "remove": lambda vfs: vfs.remove("/tree/deep/big"),
    "rmtree": lambda vfs: vfs.rmtree("/tree"),
    "mkdir over a whiteout": lambda vfs: vfs.mkdir("/gone"),
    "link": lambda vfs: vfs.link("/big", "/x/y"),
    "copy": lambda vfs: vfs.copy("/big", "/x/y"),
    "copytree": lambda vfs: vfs.copytree("/tree", "/x/y"),
    "revert": lambda vfs: vfs.revert("/mine"),
    "revert deleted": lambda vfs: vfs.revert("/gone/sub/b"),
    "revert in an opaque directory": lambda vfs: vfs.revert("/old/a"),
    "revert all": lambda vfs: vfs.revert("/"),
}


# --- killed ---------------------------------------------------------------------------

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")


class Room:
    """A directory with a base, a local container over it, and a target."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.base, self.local = path / "base.db", path / "local.db"
        self.target, self.flat = path / "target.db", path / "flat.db"

    def build(self) -> Room:
        self.path.mkdir()
        for location in (self.base, self.target):
            with VirtualFileSystem(location, clock=moment) as vfs:
                fill_base(vfs)
        with self.opened() as vfs:
            edit_local(vfs)
        return self

    def copied(self, path: Path) -> Room:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.path, path)
        return Room(path)

    def opened(self) -> VirtualFileSystem:
        vfs = VirtualFileSystem(self.local, clock=moment)
        vfs.add_underlay(self.base, name="base")
        return vfs

    def change(self, call: Call, killer: Killer | None) -> None:
        """Change the local layer."""
        vfs = self.opened()
        vfs._store._cx.set_trace_callback(killer)
        call(vfs)
        if killer is None:
            vfs.close()

    def graft(self, verb: str, killer: Killer | None) -> None:
        """Change the target, which has the base's files or, to flatten, nothing."""
        vfs, target = self.opened(), VirtualFileSystem(self.target, clock=moment)
        target._store._cx.set_trace_callback(killer)
        getattr(vfs, verb)(target)
        if killer is None:
            target.close()
            vfs.close()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return Room(tmp_path_factory.mktemp("layers") / "built").build()


def kill_at_every_statement(
    built: Room, tmp_path: Path, name: str, act: Callable[[Room, Killer | None], None]
) -> None:
    """Run *act* killed at each statement; of the file *name* all or nothing changes."""
    done = built.copied(tmp_path / "done")
    before = ground.dump_of(done.path / name)
    act(done, None)
    after = ground.dump_of(done.path / name)
    assert after != before

    for n in itertools.count(1):
        room = built.copied(tmp_path / "killed")
        survived = survives(lambda killer: act(room, killer), n)  # noqa: B023
        left = ground.dump_of(room.path / name)
        assert left in (before, after), f"half a call after statement {n}"
        assert_healthy(room.path / name)
        assert room.base.read_bytes() == built.base.read_bytes()
        if survived:
            break

    assert left == after
    assert n > 3


@forks
@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_kill_at_any_statement_of_a_change_over_a_base_is_all_or_nothing(
    name: str, built: Room, tmp_path: Path
) -> None:
    kill_at_every_statement(
        built, tmp_path, "local.db", lambda room, kill: room.change(CALLS[name], kill)
    )


@forks
@pytest.mark.slow
@pytest.mark.parametrize("verb", ["apply_to", "flatten"])
def test_kill_at_any_statement_of_a_graft_is_all_or_nothing(
    verb: str, built: Room, tmp_path: Path
) -> None:
    if verb == "flatten":
        built = built.copied(tmp_path / "empty")
        built.target.unlink()
        VirtualFileSystem(built.target, clock=moment).close()

    kill_at_every_statement(
        built, tmp_path, "target.db", lambda room, kill: room.graft(verb, kill)
    )


@forks
@pytest.mark.slow
def test_kill_while_flattening_to_a_path_leaves_all_there_or_nothing(
    built: Room, tmp_path: Path
) -> None:
    with built.opened() as vfs:
        view = seen(vfs)

    def flatten(killer: Killer) -> None:
        vfs = room.opened()
        trace_from_the_start(killer)
        vfs.flatten(room.flat)

    made = False
    for n in itertools.count(1, 5):
        room = built.copied(tmp_path / "killed")
        survived = survives(flatten, n)
        assert made or not room.flat.exists() or survived or n > 100
        made = room.flat.exists()
        if not made:  # what is left of the one killed is in nobody's way
            with room.opened() as vfs:
                vfs.flatten(room.flat)
        with VirtualFileSystem(room.flat) as flat:
            assert seen(flat) == view
        assert_healthy(room.flat)
        if survived:
            break

    assert made
    assert n > 50


# --- failing at a statement -----------------------------------------------------------


@pytest.fixture(params=["memory", "disk"])
def sample(request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path) -> Any:
    """Return a maker of (file system, its base, a copy of the base)."""
    numbers = itertools.count()

    def make() -> tuple[VirtualFileSystem, VirtualFileSystem, VirtualFileSystem]:
        made = []
        for name in ("local", "base", "copy"):
            where = tmp_path / f"{name}{next(numbers)}.db"
            location = ":memory:" if request.param == "memory" else where
            made.append(make_vfs(location, 4096, clock=moment))
        vfs, base, copy = made
        fill_base(base)
        fill_base(copy)
        vfs.add_underlay(base, name="base")
        edit_local(vfs)
        return vfs, base, copy

    return make


def rows_of(vfs: VirtualFileSystem) -> ground.Dump:
    return ground.dump(vfs._store._cx)


quick_faults = {"chmod", "rmtree", "revert deleted"}
some_faults = [
    pytest.param(name, marks=[] if name in quick_faults else pytest.mark.slow)
    for name in CALLS
]


@pytest.mark.no_slow_contracts("single")
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("name", some_faults)
def test_change_over_a_base_with_fault_at_any_statement_is_all_or_nothing(
    sample: Any, name: str, fault: Fault
) -> None:
    done, _, _ = sample()
    CALLS[name](done)
    after = rows_of(done)
    vfs, base, _ = sample()
    before, below = rows_of(vfs), rows_of(base)

    for n in itertools.count(1):
        caught = outcome(vfs, CALLS[name], fault, n)
        if caught is None:
            break
        assert (caught.errno, caught.filename) == (fault.errno, vfs.db_path)
        assert not isinstance(caught, LayerFailed)
        assert rows_of(base) == below
        if rows_of(vfs) != before:  # the fault came after the call's one commit
            assert rows_of(vfs) == after
            vfs, base, _ = sample()
        assert not vfs._store._cx.in_transaction
        assert vfs.check() == []

    assert n > 3
    assert rows_of(vfs) == after


@pytest.mark.no_slow_contracts("single")
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("verb", ["apply_to", "flatten"])
def test_graft_with_fault_of_the_target_at_any_statement_is_all_or_nothing(
    sample: Any, make_vfs: Any, verb: str, fault: Fault
) -> None:
    vfs, base, target = sample()
    if verb == "flatten":
        target = make_vfs(clock=moment)
    before, mine, below = rows_of(target), rows_of(vfs), rows_of(base)

    def act(_: VirtualFileSystem) -> None:
        getattr(vfs, verb)(target)

    for n in itertools.count(1, 9):
        caught = outcome(target, act, fault, n)
        if caught is None:
            break
        assert (caught.errno, caught.filename) == (fault.errno, target.db_path)
        assert rows_of(target) == before
        assert not target._store._cx.in_transaction

    assert n > 20
    assert rows_of(target) != before
    assert target.check() == []
    assert (rows_of(vfs), rows_of(base)) == (mine, below)


FROM_BASE: dict[str, Call] = {
    "append": append,
    "chmod": CALLS["chmod"],
    "rename tree": CALLS["rename tree"],
    "copytree": CALLS["copytree"],
    "revert deleted": CALLS["revert deleted"],
    "read": lambda vfs: vfs.read_bytes("/big"),
    "read by handle": lambda vfs: vfs.open("/big", "rb").read(),
    "stat": lambda vfs: vfs.stat("/link"),
    "listdir": lambda vfs: vfs.listdir("/tree"),
    "walk": lambda vfs: [*vfs.scandir("/tree/deep")],
    "getxattr": lambda vfs: vfs.getxattr("/tree/hard", "user.a"),
    "explain": lambda vfs: vfs.explain("/old/a"),
    "conflicts": lambda vfs: vfs.conflicts(),
    "diff": lambda vfs: vfs.diff(),
    "flatten": lambda vfs: vfs.flatten(VirtualFileSystem()),
}


@pytest.mark.no_slow_contracts("single")
@pytest.mark.parametrize("name", FROM_BASE)
def test_fault_of_the_underlay_at_any_statement_names_layer_and_path(
    sample: Any, name: str
) -> None:
    vfs, base, _ = sample()
    fault = FAULTS["I/O error"]
    before = rows_of(vfs)

    for n in itertools.count(1):
        with failing(base, fault, n) as faulty:
            try:
                FROM_BASE[name](vfs)
            except OSError as error:
                caught = error
            else:
                assert faulty.left > 0
                break
        assert isinstance(caught, LayerFailed), f"at statement {n}: {caught!r}"
        assert "'base'" in str(caught)
        assert caught.errno == errno.EIO
        assert caught.filename.startswith("/")
        assert caught.filename != base.db_path
        assert rows_of(vfs) == before
        assert not vfs._store._cx.in_transaction
        assert not base._store._cx.in_transaction

    assert n > 1
    assert vfs.check() == []


# --- a full disk ----------------------------------------------------------------------

TOO_MUCH: dict[str, Call] = {
    "append": append,
    "chmod": lambda vfs: vfs.chmod("/big", 0o600),
    "rename tree": CALLS["rename tree"],
    "link": CALLS["link"],
    "copytree": CALLS["copytree"],
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_copy_up_on_a_full_disk_changes_nothing_and_works_later(
    sample: Any, name: str
) -> None:
    vfs, base, _ = sample()
    before, below, view = rows_of(vfs), rows_of(base), seen(vfs)
    ground.limit_pages(vfs._store._cx, 8)

    with pytest.raises(OSError) as caught:
        TOO_MUCH[name](vfs)

    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, vfs.db_path)
    assert (rows_of(vfs), rows_of(base)) == (before, below)
    assert seen(vfs) == view
    ground.lift_limit(vfs._store._cx)
    TOO_MUCH[name](vfs)
    assert rows_of(vfs) != before


def test_copy_up_on_a_full_disk_in_a_batch_loses_the_batch(sample: Any) -> None:
    vfs, base, copy = sample()
    before, below = rows_of(vfs), rows_of(base)
    ground.limit_pages(vfs._store._cx, 8)

    with pytest.raises((BatchLost, OSError)) as caught, vfs.atomic_batch():  # noqa: PT012
        vfs.remove("/small")
        with pytest.raises(OSError) as full:
            append(vfs)
        assert full.value.errno == errno.ENOSPC
        if not vfs._store._cx.in_transaction:
            with pytest.raises(BatchLost):
                copy.apply_to(vfs)
        raise caught_later()

    assert caught.value.errno in (errno.ECANCELED, errno.EIO)
    assert (rows_of(vfs), rows_of(base)) == (before, below)


def caught_later() -> OSError:
    return OSError(errno.EIO, "the batch is given up")


@pytest.mark.parametrize("verb", ["apply_to", "flatten"])
def test_graft_on_a_full_disk_changes_nothing_and_works_later(
    sample: Any, make_vfs: Any, verb: str
) -> None:
    vfs, _, target = sample()
    vfs.write_bytes("/tree/large", BIG)
    target = make_vfs() if verb == "flatten" else target
    before, mine = rows_of(target), rows_of(vfs)
    ground.limit_pages(target._store._cx, 8)

    with pytest.raises(OSError) as caught:
        getattr(vfs, verb)(target)

    assert (caught.value.errno, caught.value.filename) == (
        errno.ENOSPC,
        target.db_path,
    )
    assert (rows_of(target), rows_of(vfs)) == (before, mine)
    ground.lift_limit(target._store._cx)
    getattr(vfs, verb)(target)
    assert target.read_bytes("/tree/large") == BIG


# --- broken underlays -----------------------------------------------------------------


def truncate_container(place: Path) -> None:
    os.truncate(place, 5000)


def overwrite_container(place: Path) -> None:
    place.write_bytes(b"no database at all " * 1000)


def replace_container(place: Path) -> None:
    ground.make_foreign(place.with_suffix(".new"))
    os.replace(place.with_suffix(".new"), place)


def remove_tables(place: Path) -> None:
    with sqlite3.connect(place) as cx:
        cx.execute("PRAGMA foreign_keys = OFF")
        cx.execute("DROP VIEW IF EXISTS files")
        cx.execute("DROP TABLE entries")
    cx.close()


def remove_place(place: Path) -> None:
    shutil.rmtree(place) if place.is_dir() else place.unlink()


def truncate_zip(place: Path) -> None:
    os.truncate(place, 100)


def make_container(place: Path) -> None:
    with VirtualFileSystem(place) as vfs:
        vfs.write_bytes("/broken/f", BIG)
        vfs.write_bytes("/d/of the broken one", b"1")


def make_directory(place: Path) -> None:
    for name in ("broken/f", "d/of the broken one"):
        (place / name).parent.mkdir(parents=True)
        (place / name).write_bytes(BIG)


def make_zip(place: Path) -> None:
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("broken/f", os.urandom(50_000))
        archive.writestr("d/of the broken one", b"1")


DAMAGE: dict[str, tuple[Callable[[Path], None], Callable[[Path], None]]] = {
    "container cut short": (make_container, truncate_container),
    "container overwritten": (make_container, overwrite_container),
    "container replaced by a foreign one": (make_container, replace_container),
    "container without tables": (make_container, remove_tables),
    "container removed": (make_container, remove_place),
    "directory removed": (make_directory, remove_place),
    "zip cut short": (make_zip, truncate_zip),
    "zip removed": (make_zip, remove_place),
    "zip overwritten": (make_zip, overwrite_container),
}


@pytest.fixture
def over_broken(request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path) -> Any:
    """A stack of two good layers and between them one that breaks after its use."""
    make, damage = DAMAGE[request.param]
    place = tmp_path / "broken"
    make(place)
    vfs, above, below = make_vfs(), make_vfs(), make_vfs()
    above.write_bytes("/above", b"above")
    above.write_bytes("/d/above", b"above")
    below.write_bytes("/below", b"below")
    vfs.add_underlay(above, 3, "above")
    vfs.add_underlay(place, 2, "the broken one")
    vfs.add_underlay(below, 1, "below")
    vfs.write_bytes("/local", b"local")
    assert len(vfs.read_bytes("/broken/f")) > 10_000
    assert vfs.read_bytes("/below") == b"below"
    damage(place)
    return vfs


READS: dict[str, Call] = {
    "read_bytes": lambda vfs: vfs.read_bytes("/broken/f"),
    "stat": lambda vfs: vfs.stat("/broken/f"),
    "listdir": lambda vfs: vfs.listdir("/broken"),
    "append": lambda vfs: _append(vfs, "/broken/f"),
    "rename": lambda vfs: vfs.rename("/broken", "/renamed"),
    "explain": lambda vfs: vfs.explain("/broken/f"),
    "flatten": lambda vfs: vfs.flatten(VirtualFileSystem()),
}


def _append(vfs: VirtualFileSystem, path: str) -> None:
    with vfs.open(path, "ab") as file:
        file.write(b"x")


@pytest.mark.damaged
@pytest.mark.parametrize("over_broken", DAMAGE, indirect=True)
def test_use_of_a_broken_underlay_names_it_and_changes_nothing(
    over_broken: VirtualFileSystem,
) -> None:
    before = rows_of(over_broken)

    for name, call in READS.items():
        with pytest.raises(LayerFailed, match="the broken one") as caught:
            call(over_broken)
        assert caught.value.filename.startswith("/"), name
        assert caught.value.errno not in (errno.ENOENT, errno.EEXIST)

    assert rows_of(over_broken) == before


@pytest.mark.damaged
@pytest.mark.parametrize("over_broken", DAMAGE, indirect=True)
def test_other_layers_over_a_broken_underlay_stay_usable(
    over_broken: VirtualFileSystem,
) -> None:
    vfs = over_broken

    assert vfs.read_bytes("/local") == b"local"
    assert vfs.read_bytes("/above") == b"above"
    assert vfs.read_bytes("/d/above") == b"above"
    vfs.write_bytes("/local", b"changed")
    vfs.chmod("/above", 0o600)
    assert vfs.which_layer("/above") == "local"


@pytest.mark.damaged
@pytest.mark.parametrize("over_broken", DAMAGE, indirect=True)
def test_stack_without_its_broken_underlay_works(
    over_broken: VirtualFileSystem,
) -> None:
    with pytest.raises(LayerFailed):
        over_broken.listdir("/")

    assert over_broken.remove_underlay("the broken one")

    assert over_broken.listdir("/") == ["above", "below", "d", "local"]
    assert over_broken.read_bytes("/below") == b"below"
    assert over_broken.check() == []


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_read_of_a_damaged_member_names_layer_and_path_and_spares_the_others(
    make_vfs: Any, tmp_path: Path, packed: int
) -> None:
    place = tmp_path / "mod.zip"
    with zipfile.ZipFile(place, "w", packed) as archive:
        archive.writestr("good", BIG[:5000])
        archive.writestr("bad", BIG[:50_000])
    data = bytearray(place.read_bytes())
    at = data.index(b"bad") + 40
    data[at : at + 60] = bytes(byte ^ 0xFF for byte in data[at : at + 60])
    place.write_bytes(data)
    vfs = make_vfs()
    vfs.add_underlay(place, name="mod")
    before = rows_of(vfs)

    calls: list[Call] = [
        lambda vfs: vfs.read_bytes("/bad"),
        lambda vfs: _append(vfs, "/bad"),
        lambda vfs: vfs.copy("/bad", "/copy"),
        lambda vfs: vfs.flatten(VirtualFileSystem()),
    ]
    for call in calls:
        with pytest.raises(LayerFailed, match="'mod'") as caught:
            call(vfs)
        assert caught.value.filename == "/bad"

    assert rows_of(vfs) == before
    assert vfs.read_bytes("/good") == BIG[:5000]
    assert vfs.listdir() == ["bad", "good"]
    vfs.write_bytes("/bad", b"new")
    assert vfs.read_bytes("/bad") == b"new"


@pytest.mark.damaged
def test_read_by_a_handle_on_an_underlay_that_breaks_names_it(
    make_vfs: Any, tmp_path: Path
) -> None:
    make_container(tmp_path / "base.db")
    vfs = make_vfs()
    vfs.add_underlay(tmp_path / "base.db", name="base")

    with vfs.open("/broken/f", "rb", buffering=0) as raw:
        assert raw.read(3) == BIG[:3]
        overwrite_container(tmp_path / "base.db")

        with pytest.raises(LayerFailed, match="'base'") as caught:
            raw.read()

    assert caught.value.filename == "/broken/f"
