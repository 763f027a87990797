"""A layer's SQLite fails at every statement: all of a call, or nothing of it."""

from __future__ import annotations

import errno
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from tests.faults.layered import CALLS, append, rows_of, sampler
from tests.faults.test_crash import moment
from tests.faults.test_nth_statement import FAULTS, Fault, failing, outcome

from stratavfs import LayerFailed, VirtualFileSystem

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.layered import Call


@pytest.fixture(params=["memory", "disk"])
def sample(request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path) -> Any:
    """Return a maker of (file system, its base, a copy of the base)."""
    return sampler(request.param, make_vfs, tmp_path)


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
