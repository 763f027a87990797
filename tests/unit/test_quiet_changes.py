"""Containers opened by their path that change while a question is answered."""

from __future__ import annotations

import errno
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.test_quiet import LARGE, made

from stratavfs import CorruptDatabase, VirtualFileSystem, _sql
from stratavfs._quiet import _ATTEMPTS, QuietStore
from stratavfs._store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def base(tmp_path: Path) -> str:
    return made(tmp_path / "base.db")


@pytest.fixture
def vfs(make_vfs: Any, base: str) -> VirtualFileSystem:
    vfs: VirtualFileSystem = make_vfs()
    vfs.add_underlay(base, name="base")
    return vfs


# --- while a statement runs -----------------------------------------------------------


@pytest.fixture
def meddle(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what lets *change* happen right after a row of *statements* was read."""

    def install(change: Callable[[], None], times: int, *statements: str) -> None:
        left = iter(range(times))

        def row(self: Any, statement: str, args: Any = ()) -> Any:
            answer = real(self, statement, args)
            asked = isinstance(self, QuietStore) and statement in (statements or all_of)
            if asked and next(left, None) is not None:
                change()
            return answer

        monkeypatch.setattr(Store, "row", row)

    real = Store.row
    all_of = {text for text in vars(_sql).values() if isinstance(text, str)}
    return install


def rewrite(base: str) -> Callable[[], None]:
    """Return what changes the content of the file ``/f``, never to the same again."""
    numbers = iter(range(100, 1000))

    def change() -> None:
        with VirtualFileSystem(base) as writer:
            writer.write_bytes("/f", b"%d" % next(numbers))

    return change


@pytest.mark.parametrize("times", [1, _ATTEMPTS - 1])
def test_statement_during_which_the_file_changes_is_run_again(
    base: str, meddle: Callable[..., None], times: int
) -> None:
    with closing(QuietStore(base)) as store:
        meddle(rewrite(base), times, _sql.FIND_CONTENT)

        row = store.row(_sql.FIND_CONTENT, ("/", "f"))

        assert row == (b"%d" % (100 + times - 1),)


@pytest.mark.parametrize("statements", [(_sql.FIND_CONTENT,), ()])
def test_statement_during_which_the_file_never_rests_is_busy(
    base: str, meddle: Callable[..., None], statements: tuple[str, ...]
) -> None:
    """With no statement named, also while the container is opened once more."""
    with closing(QuietStore(base)) as store:
        meddle(rewrite(base), 60, *statements)

        with pytest.raises(OSError, match="again") as caught:
            store.row(_sql.FIND_CONTENT, ("/", "f"))

        assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, base)


def test_statement_that_fails_because_the_file_changes_is_run_again(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, real = rewrite(base), Store.row
    with closing(QuietStore(base)) as store:
        asked: list[str] = []

        def row(self: Any, statement: str, args: Any = ()) -> Any:
            if statement == _sql.FIND_CONTENT and not asked:
                asked.append(statement)
                change()
                raise CorruptDatabase(errno.EIO, "half written", base)
            return real(self, statement, args)

        monkeypatch.setattr(Store, "row", row)

        assert store.row(_sql.FIND_CONTENT, ("/", "f")) == (b"100",)


def test_each_gives_the_rows_of_one_moment(base: str) -> None:
    with closing(QuietStore(base)) as store:
        rows = store.each(_sql.LOOK_KINDS, ("/", -1))
        with VirtualFileSystem(base) as writer:
            writer.rmtree("/d")

        assert [name for name, _ in rows] == ["d", "f"]
        assert [name for name, _ in store.each(_sql.LOOK_KINDS, ("/", -1))] == ["f"]


@pytest.mark.parametrize("size", [1000, 3000])
def test_read_while_another_process_writes_is_old_or_new(
    vfs: VirtualFileSystem, base: str, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Size and bytes are two questions; a writer may come in between."""
    writes = iter([b"n" * size])

    def meddling(ask: Any) -> Any:
        def asked(self: Any, statement: str, args: Any = ()) -> Any:
            if statement == _sql.READ_CHUNKS:
                for content in writes:
                    with VirtualFileSystem(base) as writer:
                        writer.write_bytes("/d/large", content)
            return ask(self, statement, args)

        return asked

    monkeypatch.setattr(QuietStore, "rows", meddling(QuietStore.rows))
    monkeypatch.setattr(QuietStore, "each", meddling(QuietStore.each))

    content = vfs.read_bytes("/d/large")

    assert list(writes) == []
    assert content in (LARGE, b"n" * size)


@pytest.mark.slow
def test_copy_up_while_another_process_writes_is_old_or_new_or_refused(
    vfs: VirtualFileSystem, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large file comes up in several questions; a writer may come in between."""
    before, after = b"o" * 2_500_000, b"n" * 2_500_000
    with VirtualFileSystem(base) as writer:
        writer.write_bytes("/d/large", before)
    real = QuietStore.each
    asked: list[Any] = []

    def each(self: Any, statement: str, args: Any = ()) -> Any:
        if statement == _sql.READ_SPAN:
            asked.append(args)
            if len(asked) == 2:
                with VirtualFileSystem(base) as writer:
                    writer.write_bytes("/d/large", after)
        return real(self, statement, args)

    monkeypatch.setattr(QuietStore, "each", each)

    try:
        vfs.chmod("/d/large", 0o600)
    except OSError as error:
        assert error.errno == errno.EBUSY  # noqa: PT017 - one of three ends
        assert vfs.which_layer("/d/large") == "base"

    assert len(asked) >= 2
    assert vfs.read_bytes("/d/large") in (before, after)
