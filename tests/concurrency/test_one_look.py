"""A look at a container that another process changes: the state before, or after.

The other process is a second connection in this one, which SQLite tells from another
process in nothing. It changes everything before the n-th statement of a question, for
every n; the answer must be one that was right at some moment.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.test_processes import Peer

from stratavfs import VirtualFileSystem
from stratavfs._quiet import QuietStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Vfs = VirtualFileSystem
    MakeVfs = Callable[..., VirtualFileSystem]
    Question = Callable[[VirtualFileSystem], object]

BIG = b"A" * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "c.db"
    with VirtualFileSystem(path, 64) as vfs:
        turn(vfs, 0)
    return path


def turn(vfs: Vfs, to: int) -> None:
    """Make one of two worlds, which have nothing in common but some names."""
    with vfs.atomic_batch():
        vfs.revert("/")
        (_first, _second)[to](vfs)


def _first(vfs: Vfs) -> None:
    vfs.write_bytes("/f", BIG)
    vfs.write_bytes("/small", b"a" * 10)
    vfs.setxattr("/f", "key", b"A")
    vfs.setxattr("/f", "only", b"A")
    vfs.link("/f", "/other")
    vfs.write_text("/d/x/a", "1")
    vfs.write_text("/d/x/b", "22")
    vfs.symlink("d", "/to-dir")
    vfs.symlink("/other", "/to-file")


def _second(vfs: Vfs) -> None:
    vfs.write_bytes("/f", b"B" * 10)
    vfs.write_bytes("/small", b"b" * 500)
    vfs.setxattr("/f", "key", b"BB")
    vfs.write_bytes("/other", b"other")
    vfs.write_text("/e/x/a", "333")
    vfs.write_text("/e/x/c", "4444")
    vfs.write_text("/d/y/a", "5")
    vfs.symlink("e", "/to-dir")
    vfs.symlink("/e/x/c", "/to-file")


QUESTIONS: dict[str, Question] = {
    "read of chunks": lambda vfs: vfs.read_bytes("/f"),
    "read inline": lambda vfs: vfs.read_bytes("/small"),
    "read by a link": lambda vfs: vfs.read_text("/to-dir/x/a"),
    "read of a link": lambda vfs: vfs.read_bytes("/to-file"),
    "stat": lambda vfs: vfs.stat("/to-file").size,
    "exists": lambda vfs: (vfs.exists("/to-dir/x/a"), vfs.isfile("/to-file")),
    "samefile": lambda vfs: vfs.samefile("/f", "/other"),
    "readlink": lambda vfs: vfs.readlink("/to-dir"),
    "getxattr": lambda vfs: vfs.getxattr("/f", "key"),
    "listxattr": lambda vfs: vfs.listxattr("/f"),
    "listdir": lambda vfs: vfs.listdir("/"),
    "listdir by a link": lambda vfs: vfs.listdir("/to-dir/x"),
    "listdir of a link": lambda vfs: vfs.listdir("/to-dir"),
    "scandir": lambda vfs: sizes(vfs, "/to-dir/x"),
    "glob": lambda vfs: vfs.glob("/*/x/*"),
    "glob of all": lambda vfs: vfs.glob("**/*"),
    "glob below all": lambda vfs: vfs.glob("/**/x/*"),
    "explain": lambda vfs: str(vfs.explain("/to-dir/x/a")),
    "diff": lambda vfs: [(it.kind, it.path) for it in vfs.diff()],
    "which layers": lambda vfs: vfs.which_layer_detailed("/to-dir/x/b")["layers"],
    "stats": lambda vfs: vfs.stats()[:6],
    "check": lambda vfs: vfs.check(),
    "flatten": lambda vfs: tree_of_copy(vfs, "flatten"),
    "apply": lambda vfs: tree_of_copy(vfs, "apply_to"),
    "fork": lambda vfs: tree_of_copy(vfs, "fork"),
}


def tree_of_copy(vfs: Vfs, how: str) -> dict[str, object]:
    """Return all that is in a copy made in memory, small and large."""
    copy = vfs.fork() if how == "fork" else VirtualFileSystem()
    with copy:
        if how != "fork":
            getattr(vfs, how)(copy)
        return {
            path: copy.read_bytes(path)
            if copy.isfile(path)
            else copy.stat(path).st_mode
            for path in copy.glob("/**/*")
        }


def sizes(vfs: Vfs, path: str) -> list[tuple[str, int]]:
    return [(entry.name, entry.stat().st_size) for entry in vfs.scandir(path)]


def answer(vfs: Vfs, question: Question) -> object:
    try:
        return question(vfs)
    except (OSError, ValueError) as error:
        return (type(error).__name__, getattr(error, "errno", None), str(error))


def at_every_statement(
    store: Any, put: Callable[[int], object], ask: Callable[[], object]
) -> Iterator[tuple[int, object]]:
    """Yield what *ask* returns where a change is made before its n-th statement."""
    for before, after in ((0, 1), (1, 0)):
        for nth in itertools.count(1):
            put(before)
            found, met = _ask_with_change(store, nth, partial(put, after), ask)
            yield nth, found
            if met < nth:
                break


def _ask_with_change(
    store: Any, nth: int, change: Callable[[], object], ask: Callable[[], object]
) -> tuple[object, int]:
    """Return what *ask* returns, and how many statements it took."""
    met = 0

    def look(_: str) -> None:
        nonlocal met
        met += 1
        if met == nth:
            change()

    store._cx.set_trace_callback(look)
    found = ask()
    store._cx.set_trace_callback(None)
    return found, met


@pytest.mark.parametrize("name", QUESTIONS)
def test_question_sees_one_state_whenever_another_process_changes_all(
    path: Path, make_vfs: MakeVfs, name: str
) -> None:
    vfs, other = make_vfs(path), make_vfs(path, synchronous="off")
    states = []
    for world in (0, 1):
        turn(other, world)
        states.append(answer(vfs, QUESTIONS[name]))

    for nth, found in at_every_statement(
        vfs._store, lambda to: turn(other, to), lambda: answer(vfs, QUESTIONS[name])
    ):
        assert found in states, f"with a change before statement {nth}"


@pytest.mark.parametrize("how", ["flatten", "apply_to", "fork"])
def test_copy_of_a_stack_has_one_state_of_the_local_layer(
    path: Path, make_vfs: MakeVfs, how: str
) -> None:
    """Whoever writes to it meanwhile; the base stays as it is."""
    vfs, other, base = make_vfs(path), make_vfs(path, synchronous="off"), make_vfs()
    base.write_text("/d/x/of-base", "base")
    base.write_text("/f", "hidden")
    vfs.add_underlay(base)
    states = []
    for world in (0, 1):
        turn(other, world)
        states.append(tree_of_copy(vfs, how))

    for nth, found in at_every_statement(
        vfs._store, lambda to: turn(other, to), lambda: tree_of_copy(vfs, how)
    ):
        assert found in states, f"with a change before statement {nth}"


@pytest.mark.parametrize("how", ["alone", "below"])
@pytest.mark.parametrize("at", [0, 7])
@pytest.mark.parametrize("ask", ["read", "readinto", "read_bytes"])
def test_read_is_whole_whenever_another_process_replaces_the_content(
    path: Path, make_vfs: MakeVfs, ask: str, at: int, how: str
) -> None:
    """From chunks to the row and back, by a handle that is open all the time."""
    contents = [BIG, b"B" * 10]
    other = make_vfs(path, synchronous="off")
    other.write_bytes("/same", BIG)
    vfs = make_vfs(path if how == "alone" else ":memory:")
    if how == "below":
        vfs.add_underlay(path)
    layer: Any = vfs._layers.stack.everybody()[-1].layer

    def read() -> bytes:
        if ask == "read_bytes":
            return bytes(vfs.read_bytes("/same")[at:])
        file.seek(at)
        if ask == "read":
            return bytes(file.read())
        buffer = bytearray(2000)
        return bytes(buffer[: file.readinto(buffer)])

    with vfs.open("/same", "rb", 0) as file:
        for nth, found in at_every_statement(
            layer._store, lambda to: other.write_bytes("/same", contents[to]), read
        ):
            assert found in [content[at:] for content in contents], nth


# --- batches of others ----------------------------------------------------------------


@pytest.mark.parametrize("below", [False, True], ids=["alone", "below"])
def test_every_question_during_a_batch_of_another_process_sees_the_old_state(
    path: Path, make_vfs: MakeVfs, below: bool
) -> None:
    """The batch is so large that it is written to the log before its end."""
    vfs = make_vfs(":memory:" if below else path, timeout=0)
    if below:
        vfs.add_underlay(path)
    before = {name: answer(vfs, ask) for name, ask in QUESTIONS.items()}
    peer = Peer()
    peer.open(path)

    peer("globals().update(batch=vfs.atomic_batch())")
    peer("batch.__enter__()")
    peer("[vfs.write_bytes('/big/%d' % n, bytes(100_000)) for n in range(40)] and 0")
    peer("[vfs.remove(p) for p in ('/f', '/small', '/to-dir', '/to-file')] and 0")
    peer("[vfs.rename(p, '/moved' + p) for p in ('/d', '/other')] and 0")
    during = {name: answer(vfs, ask) for name, ask in QUESTIONS.items()}
    peer("batch.__exit__(None, None, None)")
    peer.finish()

    assert during == before
    assert vfs.listdir("/") == ["big", "moved"]


# --- layers that are just being written -----------------------------------------------


def test_layer_opened_just_as_its_owner_begins_to_write_is_opened(
    path: Path, make_vfs: MakeVfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for a log and the opening without one, found by the soak."""
    owner, vfs = make_vfs(path), make_vfs()
    has_log = QuietStore._has_log
    looks: list[bool] = []

    def look(self: QuietStore) -> bool:
        found = has_log(self)
        looks.append(found)
        if len(looks) == 1:
            owner.write_text("/new", "x")
        return found

    monkeypatch.setattr(QuietStore, "_has_log", look)
    vfs.add_underlay(path)

    assert looks[0] is False
    assert vfs.read_text("/new") == "x"
