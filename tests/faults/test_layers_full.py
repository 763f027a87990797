"""What the layers brought, on a full disk: nothing is changed, and it works later."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api.grafting import seen
from tests.faults.layered import BIG, CALLS, append, rows_of, sampler

from stratavfs import BatchLost

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.layered import Call


@pytest.fixture(params=["memory", "disk"])
def sample(request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path) -> Any:
    """Return a maker of (file system, its base, a copy of the base)."""
    return sampler(request.param, make_vfs, tmp_path)


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
