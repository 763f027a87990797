"""Every contender that is installed does what the scenes ask of it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.contenders import KINDS, OURS, version_of
from benchmarks.contenders.bare import fill

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from benchmarks.contenders.protocol import Contender, Kind, Verb

SMALL = random.Random(1).randbytes(4096)
LARGE = random.Random(2).randbytes(200_001)
FILES = {
    "/top/a/one.png": SMALL,
    "/top/a/two.txt": LARGE,
    "/top/b/deep/er/three.png": b"3",
    "/top/four.png": b"4",
    "/other/five.png": b"5",
}
CHANGES: set[Verb] = {"write", "update", "rename", "rmtree"}


pytestmark = [
    pytest.mark.slow,  # hundreds of short ones
    # Some libraries leave it to the garbage collector to close what they opened.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

INSTALLED = [kind for kind in KINDS if version_of(kind) is not None]


def able(*verbs: Verb) -> pytest.MarkDecorator:
    """Run the test with each kind that is installed and can do this."""
    kinds = [
        kind
        for kind in INSTALLED
        if kind.lack(verbs) is None
        and not (kind.family == "shipped" and CHANGES.intersection(verbs))
    ]
    return pytest.mark.parametrize(
        "kind", kinds, ids=[f"{kind.family}-{kind.name}" for kind in kinds]
    )


@pytest.fixture
def contender(kind: Kind, tmp_path: Path) -> Iterator[Contender]:
    """A contender with FILES in it, closed after the test."""
    try:
        if kind.family == "shipped":
            assert kind.ship is not None
            made = kind.ship(str(tmp_path), FILES)()
        else:
            made = kind.make(str(tmp_path))
            fill(made, FILES)
    except ImportError as error:  # no tmpfs here
        pytest.skip(str(error))
    yield made
    made.close()


def basenames(listing: Iterable[Any]) -> list[str]:
    return sorted(str(name).rstrip("/").rpartition("/")[2] for name in listing)


@able("read")
def test_read_of_each_file_returns_its_bytes(contender: Contender) -> None:
    found = {path: contender.read(contender.key(path)) for path in FILES}

    assert found == FILES


@able("listdir")
def test_ask_what_there_is_gets_the_truth(contender: Contender) -> None:
    found = basenames(contender.listdir(contender.key("/top")))

    assert found == ["a", "b", "four.png"]
    assert basenames(contender.listdir(contender.key("/top/a"))) == [
        "one.png",
        "two.txt",
    ]
    assert contender.exists(contender.key("/top/a/one.png"))
    assert not contender.exists(contender.key("/top/a/none.png"))


@able("size")
def test_size_of_a_large_file_is_its_bytes(contender: Contender) -> None:
    assert contender.size(contender.key("/top/a/two.txt")) == len(LARGE)


@able("walk")
def test_walk_from_a_directory_counts_the_files_below(contender: Contender) -> None:
    assert contender.walk(contender.key("/top")) == 4


@able("glob")
def test_glob_of_one_and_of_many_directories_counts_files(contender: Contender) -> None:
    assert contender.glob("/top/**/*.png") == 3
    assert contender.glob("/top/a/*.txt") == 1


@able("open")
def test_read_of_an_open_file_in_pieces_returns_them(contender: Contender) -> None:
    file = contender.open(contender.key("/top/a/two.txt"), "rb")
    file.seek(65_000)
    found = file.read(1000), file.read(70_000), file.read()
    file.close()

    assert found == (LARGE[65_000:66_000], LARGE[66_000:136_000], LARGE[136_000:])


@able("open", "write")
def test_write_of_an_open_file_in_pieces_keeps_them(contender: Contender) -> None:
    key = contender.key("/top/a/one.png")

    file = contender.open(key, "wb")
    for at in range(0, len(LARGE), 65_536):
        file.write(LARGE[at : at + 65_536])
    file.close()

    found = contender.read(key)
    assert found == LARGE


@able("update")
def test_update_within_files_changes_these_bytes_alone(contender: Contender) -> None:
    keys = [contender.key("/top/a/one.png"), contender.key("/top/a/two.txt")]

    for key, offset in zip(keys, (100, 65_000), strict=True):
        file = contender.open(key, "r+b")
        file.seek(offset)
        file.write(b"x" * 1000)
        file.close()

    small, large = map(contender.read, keys)
    assert small == SMALL[:100] + b"x" * 1000 + SMALL[1100:]
    assert large == LARGE[:65_000] + b"x" * 1000 + LARGE[66_000:]


@able("write")
def test_write_over_a_file_replaces_its_bytes(contender: Contender) -> None:
    keys = [contender.key("/top/a/one.png"), contender.key("/top/a/two.txt")]

    for key, data in zip(keys, (LARGE[::-1], b"small"), strict=True):
        contender.write(key, data)

    found = [contender.read(key) for key in keys]
    assert found == [LARGE[::-1], b"small"]


@able("rename")
def test_rename_of_a_tree_and_of_a_file_moves_all_in_it(contender: Contender) -> None:
    contender.rename(contender.key("/top/b"), contender.key("/top/c"))
    contender.rename(contender.key("/other/five.png"), contender.key("/other/six.png"))

    assert contender.read(contender.key("/top/c/deep/er/three.png")) == b"3"
    assert contender.read(contender.key("/other/six.png")) == b"5"
    assert not contender.exists(contender.key("/top/b/deep/er/three.png"))
    assert not contender.exists(contender.key("/other/five.png"))


@able("rmtree")
def test_rmtree_removes_all_below_and_nothing_beside(contender: Contender) -> None:
    contender.rmtree(contender.key("/top"))

    assert not contender.exists(contender.key("/top/b/deep/er/three.png"))
    assert not contender.exists(contender.key("/top"))
    assert contender.read(contender.key("/other/five.png")) == b"5"


@able("write", "rmtree")
def test_again_gives_the_file_system_as_it_was(contender: Contender) -> None:
    again = contender.again()
    if again is None:
        return  # it can only be filled again

    for _ in range(2):
        fresh = again()
        found = {path: fresh.read(fresh.key(path)) for path in FILES}
        fresh.write(fresh.key("/top/a/one.png"), b"spoiled")
        fresh.rmtree(fresh.key("/other"))
        if fresh is not contender:
            fresh.close()
        assert found == FILES


@able("reopen")
def test_open_what_was_shipped_twice_reads_it_again(kind: Kind, tmp_path: Path) -> None:
    assert kind.ship is not None
    opened = kind.ship(str(tmp_path), FILES)

    found = []
    for _ in range(2):
        contender = opened()
        found.append(contender.read(contender.key("/top/a/two.txt")))
        contender.close()

    assert found == [LARGE, LARGE]


@able("layers")
def test_stack_of_layers_answers_from_the_first_that_has_it(
    kind: Kind, tmp_path: Path
) -> None:
    layers = [
        {"/d/own": b"top"},
        {"/d/own": b"middle", "/d/both": b"2"},
        {"/d/low": b"3"},
    ]
    assert kind.stack is not None
    contender = kind.stack(str(tmp_path), layers)

    found = [
        contender.read(contender.key(f"/d/{name}")) for name in ("own", "both", "low")
    ]
    names = basenames(contender.listdir(contender.key("/d")))
    contender.close()

    assert found == [b"top", b"2", b"3"]
    assert names == ["both", "low", "own"]


def test_kinds_of_each_family_have_different_names_and_one_is_ours() -> None:
    names = {
        family: [kind.name for kind in KINDS if kind.family == family]
        for family in ("memory", "disk", "shipped")
    }

    for found in names.values():
        assert len(set(found)) == len(found)
        assert OURS in found
