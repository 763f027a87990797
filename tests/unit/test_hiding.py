"""What a container hides of the layers below it, and how long that is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.test_processes import Peer
from tests.test_complexity import counted

from stratavfs import VirtualFileSystem, _hiding
from stratavfs._paths import ROOT
from stratavfs.records import VPath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stratavfs._hiding import Hiding

counting = pytest.mark.no_slow_contracts("single")

Vfs = VirtualFileSystem


@pytest.fixture(scope="module")
def other() -> Iterator[Peer]:
    """Another process."""
    peer = Peer()
    yield peer
    peer.finish()


@pytest.fixture
def base(make_vfs: Any) -> Vfs:
    base: Vfs = make_vfs()
    for path in ("/d/e/f", "/d/f", "/x/y/z/f"):
        base.write_text(path, "base")
    return base


@pytest.fixture(params=["memory", "file"])
def vfs(
    request: pytest.FixtureRequest, make_vfs: Any, base: Vfs, tmp_path: Path
) -> Vfs:
    where = ":memory:" if request.param == "memory" else tmp_path / "local.db"
    vfs: Vfs = make_vfs(where)
    vfs.add_underlay(base, name="base")
    for path in ("/d/e/f", "/d/f", "/x/y/z/f"):
        assert vfs.exists(path)  # so that something is known
    return vfs


def hiding(vfs: Vfs) -> Hiding:
    return vfs._layers._tree._hiding


def hides(vfs: Vfs, *paths: str) -> list[bool]:
    return [hiding(vfs).hides(VPath(path)) for path in paths]


PATHS = ("/", "/d", "/d/e", "/d/e/deep/er", "/x")


# --- what hides -----------------------------------------------------------------------


def test_nothing_is_hidden_by_an_empty_container(vfs: Vfs) -> None:
    assert hides(vfs, *PATHS, "/nowhere/at/all") == [False] * 6


def test_directory_that_merges_hides_nothing(vfs: Vfs) -> None:
    vfs.write_text("/d/e/mine", "1")

    assert hides(vfs, *PATHS) == [False] * 5


@pytest.mark.parametrize("how", ["whiteout", "opaque", "file", "link"])
def test_what_hides_hides_all_below_it_and_nothing_else(vfs: Vfs, how: str) -> None:
    vfs.rmtree("/d")
    if how == "opaque":
        vfs.mkdir("/d")
    elif how == "file":
        vfs.write_text("/d", "a file")
    elif how == "link":
        vfs.symlink("x", "/d")

    assert hides(vfs, *PATHS) == [False, True, True, True, False]
    assert not hiding(vfs).is_out_of(VPath("/d/e"))


def test_whiteout_of_a_file_hides_what_would_be_below_it(vfs: Vfs) -> None:
    vfs.remove("/d/e/f")

    assert hides(vfs, "/d", "/d/e", "/d/e/f", "/d/e/f/g") == [False, False, True, True]


def test_directory_in_an_opaque_one_hides_too(vfs: Vfs) -> None:
    vfs.rmtree("/d")
    vfs.makedirs("/d/e/deep")

    assert hides(vfs, "/d", "/d/e", "/d/e/deep", "/d/e/deep/er") == [True] * 4
    assert vfs.listdir("/d/e") == ["deep"]


# --- how long -------------------------------------------------------------------------


def steps(vfs: Vfs) -> list[tuple[object, ...]]:
    """Change what is hidden, again and again; return what is seen after each step."""
    seen: list[tuple[object, ...]] = []

    def look() -> None:
        exists = [vfs.exists(path) for path in ("/d/e/f", "/d/f", "/x/y/z/f")]
        seen.append((*exists, *hides(vfs, "/d", "/d/e", "/x/y")))

    changes: list[Callable[[], object]] = [
        lambda: vfs.remove("/d/e/f"),
        lambda: vfs.rmdir("/d/e"),
        lambda: vfs.mkdir("/d/e"),
        lambda: vfs.rmtree("/d"),
        lambda: vfs.revert("/d"),
        lambda: vfs.rename("/x/y", "/x/w"),
        lambda: vfs.rename("/x/w", "/x/y"),
        lambda: vfs.revert("/"),
    ]
    for change in changes:
        change()
        look()
    return seen


STEPS = [
    (False, True, True, False, False, False),
    (False, True, True, False, True, False),
    (False, True, True, False, True, False),
    (False, False, True, True, True, False),
    (True, True, True, False, False, False),
    (True, True, False, False, False, True),
    (True, True, True, False, False, True),  # what comes back is all its own
    (True, True, True, False, False, False),
]


def test_each_change_of_what_is_hidden_is_seen_at_once(vfs: Vfs) -> None:
    assert steps(vfs) == STEPS


def test_revert_of_one_name_shows_that_name_alone(vfs: Vfs) -> None:
    vfs.rmtree("/d")

    vfs.revert("/d/f")

    assert vfs.listdir("/d") == ["f"]
    assert hides(vfs, "/d", "/d/e") == [False, True]
    vfs.revert("/d/e")
    assert vfs.listdir("/d") == ["e", "f"]


def test_rollback_shows_again_what_was_hidden(vfs: Vfs) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), vfs.atomic_batch():  # noqa: PT012
            assert steps(vfs) == STEPS
            vfs.rmtree("/x")
            assert not vfs.exists("/x/y/z/f")
            raise KeyError

        assert hides(vfs, *PATHS) == [False] * 5
        assert vfs.exists("/x/y/z/f")


def test_rollback_of_a_savepoint_hides_again_what_was_hidden(vfs: Vfs) -> None:
    with vfs.atomic_batch():
        vfs.rmtree("/d")
        assert not vfs.exists("/d/f")
        with pytest.raises(KeyError), vfs.atomic_batch():  # noqa: PT012
            vfs.revert("/d")
            assert vfs.exists("/d/f")
            raise KeyError

        assert not vfs.exists("/d/f")
    assert hides(vfs, "/d", "/x") == [True, False]


def test_whiteouts_of_another_process_are_seen_by_the_next_call(
    make_vfs: Any, base: Vfs, tmp_path: Path, other: Peer
) -> None:
    with VirtualFileSystem(tmp_path / "below.db") as maker:
        maker.write_text("/d/f", "base")
    local = tmp_path / "local.db"
    vfs = make_vfs(local)
    vfs.add_underlay(tmp_path / "below.db")
    assert vfs.listdir("/d") == ["f"]
    other.open(local)
    other(f"vfs.add_underlay({str(tmp_path / 'below.db')!r})")

    seen = []
    for line in ("vfs.remove('/d/f')", "vfs.rmtree('/d')", "vfs.revert('/d')"):
        other(line)
        seen.append((vfs.exists("/d"), vfs.exists("/d/f"), *hides(vfs, "/d")))

    other("vfs.close()")
    assert seen == [(True, False, False), (False, False, True), (True, True, False)]


def test_container_used_alone_and_again_hides_as_before(
    make_vfs: Any, base: Vfs, tmp_path: Path
) -> None:
    with VirtualFileSystem(tmp_path / "local.db") as vfs:
        vfs.add_underlay(base)
        vfs.rmtree("/d")
    with VirtualFileSystem(tmp_path / "local.db") as vfs:
        assert vfs.listdir("/") == []  # what hides is no name
        vfs.write_text("/mine", "1")

    vfs = make_vfs(tmp_path / "local.db")
    vfs.add_underlay(base)

    assert vfs.listdir("/") == ["mine", "x"]


# --- what it costs --------------------------------------------------------------------


@counting
def test_directory_in_which_the_container_has_nothing_costs_it_no_statement(
    make_vfs: Any, base: Vfs
) -> None:
    vfs = make_vfs()
    vfs.add_underlay(base)
    assert vfs.read_text("/x/y/z/f") == "base"

    with counted(vfs) as statements:
        assert vfs.read_text("/x/y/z/f") == "base"
        assert vfs.stat("/x/y/z/f").size == 4
        assert vfs.exists("/x/y/z/f")
        assert not vfs.exists("/x/y/z/g")

    assert statements == []
    assert hiding(vfs).is_out_of(VPath("/x/y/z"))


@counting
def test_container_that_another_process_may_change_is_asked_each_time(
    make_vfs: Any, base: Vfs, tmp_path: Path
) -> None:
    vfs = make_vfs(tmp_path / "local.db")
    vfs.add_underlay(base)
    assert vfs.read_text("/x/y/z/f") == "base"

    with counted(vfs) as statements:
        assert vfs.read_text("/x/y/z/f") == "base"

    assert 1 <= len(statements) <= 2
    assert not hiding(vfs).is_out_of(VPath("/x/y/z"))


def test_name_made_where_nothing_was_is_seen_at_once(make_vfs: Any, base: Vfs) -> None:
    vfs = make_vfs()
    vfs.add_underlay(base)
    assert not vfs.exists("/x/y/z/g")
    assert vfs.exists("/x/y/z/f")

    vfs.write_text("/x/y/z/g", "mine")
    made = vfs.read_text("/x/y/z/g")
    vfs.remove("/x/y/z/f")

    assert (made, vfs.listdir("/x/y/z")) == ("mine", ["g"])
    assert not hiding(vfs).is_out_of(VPath("/x/y/z"))


def test_directories_remembered_are_bounded(
    make_vfs: Any, base: Vfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_hiding, "_LIMIT", 10)
    vfs = make_vfs()
    vfs.add_underlay(base)
    vfs.rmtree("/d")
    most = 0

    for number in range(50):
        assert not vfs.exists(f"/a{number}/b/c/f")
        assert not vfs.exists("/d/f")
        most = max(most, len(hiding(vfs)._known))

    assert 0 < most <= 10 + 5


def test_root_is_never_hidden(vfs: Vfs) -> None:
    for name in vfs.listdir("/"):
        vfs.rmtree(f"/{name}")

    assert vfs.listdir("/") == []
    assert not hiding(vfs).hides(ROOT)
