"""access_trace(): which files are read, in the order of the first time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.api.packing import inodes_of

from stratavfs import InvalidArgument, InvalidType, VirtualFileSystem
from stratavfs._trace import AccessTrace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Vfs = VirtualFileSystem


@pytest.fixture(params=["alone", "stack"])
def vfs(request: pytest.FixtureRequest, make_vfs: Any) -> Vfs:
    """Some files: in the local layer, or below it."""
    base: Vfs = make_vfs()
    for name in "abcdef":
        base.write_text(f"/{name}", name)
    base.symlink("b", "/link")
    if request.param == "alone":
        return base
    made: Vfs = make_vfs()
    made.add_underlay(base)
    return made


READS: dict[str, Callable[[Vfs, str], object]] = {
    "read_bytes": lambda vfs, path: vfs.read_bytes(path),
    "read_text": lambda vfs, path: vfs.read_text(path),
    "export_bytesio": lambda vfs, path: vfs.export_bytesio(path),
    "open": lambda vfs, path: vfs.open(path).close(),
    "open raw": lambda vfs, path: vfs.open(path, "rb", buffering=0).close(),
    "open r+": lambda vfs, path: vfs.open(path, "r+b").close(),
    "iter_export_tree": lambda vfs, path: dict(vfs.iter_export_tree(path)),
}


@pytest.mark.no_slow_contracts("single")
@pytest.mark.parametrize("how", READS)
def test_trace_has_what_is_read_in_the_order_of_the_first_time(
    vfs: Vfs, how: str
) -> None:
    read = READS[how]
    read(vfs, "/e")

    with vfs.access_trace() as trace:
        for path in ("/c", "a", "/c", "//b", "/a"):
            read(vfs, path)
    read(vfs, "/f")

    assert [*trace] == ["/c", "/a", "/b"]


@pytest.mark.no_slow_contracts("single")
def test_trace_has_nothing_of_what_is_not_read(vfs: Vfs) -> None:
    with vfs.access_trace() as trace:
        vfs.stat("/a")
        vfs.exists("/b")
        vfs.listdir("/")
        vfs.write_text("/c", "new")
        vfs.open("/d", "w").close()
        for call in (vfs.read_bytes, vfs.open):
            with pytest.raises(FileNotFoundError):
                call("/nowhere")

    assert len(trace) == 0


@pytest.mark.no_slow_contracts("single")
def test_trace_has_a_link_by_the_path_that_was_asked_for(vfs: Vfs) -> None:
    with vfs.access_trace() as trace:
        vfs.read_bytes("/link")
        with vfs.open("/link"):
            pass

    assert [*trace] == ["/link"]


@pytest.mark.no_slow_contracts("single")
def test_traces_nest_and_end_in_any_order(vfs: Vfs) -> None:
    outer, inner = vfs.access_trace(), vfs.access_trace()
    first = outer.__enter__()
    vfs.read_bytes("/a")
    second = inner.__enter__()
    vfs.read_bytes("/b")
    outer.__exit__(None, None, None)
    vfs.read_bytes("/c")
    inner.__exit__(None, None, None)
    vfs.read_bytes("/d")

    assert ([*first], [*second]) == (["/a", "/b"], ["/b", "/c"])


def test_trace_ends_with_an_error(vfs: Vfs) -> None:
    layers, copy_up = vfs._layers, vfs._copy_up

    with pytest.raises(KeyError), vfs.access_trace():
        raise KeyError

    # While nothing is recorded, nothing of it is on the way.
    assert vfs._layers is layers
    assert vfs._copy_up is copy_up


@pytest.mark.no_slow_contracts("single")
def test_trace_leaves_what_was_opened_in_it_usable(vfs: Vfs) -> None:
    with vfs.access_trace():
        file = vfs.open("/a", "r+b")

    with file:
        file.write(b"changed")
    assert vfs.read_text("/a") == "changed"


@pytest.mark.no_slow_contracts("threads")
def test_trace_has_what_other_threads_read(vfs: Vfs) -> None:
    with vfs.access_trace() as trace:
        threads = [
            threading.Thread(target=vfs.read_bytes, args=(f"/{name}",))
            for name in "abcdef" * 3
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(trace) == ["/a", "/b", "/c", "/d", "/e", "/f"]


def test_trace_of_a_stack_is_not_that_of_its_underlays(make_vfs: Any) -> None:
    base, vfs = make_vfs(), make_vfs()
    base.write_text("/a", "a")
    vfs.add_underlay(base)

    with vfs.access_trace() as above, base.access_trace() as below:
        vfs.read_bytes("/a")

    assert ([*above], [*below]) == (["/a"], [])


def test_trace_orders_a_pack(vfs: Vfs, tmp_path: Path) -> None:
    with vfs.access_trace() as trace:
        for path in ("/f", "/c", "/link"):
            vfs.read_bytes(path)
    trace.save(tmp_path / "start.trace")

    vfs.pack(tmp_path / "given.db", order=trace)
    vfs.pack(tmp_path / "saved.db", order=tmp_path / "start.trace")

    assert inodes_of(tmp_path / "given.db")[:3] == ["/f", "/c", "/b"]
    assert inodes_of(tmp_path / "saved.db")[:3] == ["/f", "/c", "/b"]


# --- as a sequence, and in a file -----------------------------------------------------


def test_trace_is_a_sequence_of_paths() -> None:
    trace = AccessTrace(["/b", "a", "/b", "/c/../d"])

    assert (len(trace), trace[0], trace[-1]) == (3, "/b", "/d")
    assert trace[:2] == ["/b", "/a"]
    assert "/a" in trace
    assert "/c" not in trace
    assert trace == AccessTrace(["/b", "/a", "/d"])
    assert trace != AccessTrace(["/a", "/b", "/d"])
    assert trace != ["/b", "/a", "/d"]
    assert repr(trace) == "AccessTrace(['/b', '/a', '/d'])"


def test_trace_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    trace = AccessTrace(["/a", "/é\n\u2028", '/"', "/\\", "/ "])

    trace.save(tmp_path / "some.trace")

    assert AccessTrace.load(tmp_path / "some.trace") == trace


def test_trace_may_be_written_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "hand.trace"
    file.write_bytes('/a b\r\n\nsounds/é.ogg\n"/\\u00e9"\n/last'.encode())

    assert [*AccessTrace.load(file)] == ["/a b", "/sounds/é.ogg", "/é", "/last"]


@pytest.mark.parametrize("text", ['"/a', '"/a" 7', "a\0b", '"a\\u0000"'])
def test_trace_of_a_line_that_is_no_path_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.trace"
    file.write_text(text)

    with pytest.raises(InvalidArgument):
        AccessTrace.load(file)


def test_trace_of_a_single_text_is_refused() -> None:
    paths: Any = "/a"

    with pytest.raises(InvalidType):
        AccessTrace(paths)
