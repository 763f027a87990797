"""Contracts: they state the rules, and plain code keeps them without the contracts."""

from __future__ import annotations

import errno
import inspect
from typing import Any

import pytest
from icontract import ViolationError

from stratavfs import InvalidArgument, RootRefused, VirtualFileSystem, _contracts

GUARDED = {
    "rmdir": "the root is never removed",
    "rmtree": "the root is never removed",
    "rename": "the root is never moved",
    "replace": "the root is never moved",
    "move": "the root is never moved",
    "__init__": "the chunk size is a positive int",
    "add_underlay": "a file system is not its own underlay",
}


def plain(name: str) -> Any:
    """Return the method *name* as it is under ``python -O``: without its contracts."""
    return inspect.unwrap(getattr(VirtualFileSystem, name))


def descriptions(name: str) -> list[str]:
    groups = getattr(getattr(VirtualFileSystem, name), "__preconditions__", [])
    return [contract.description for group in groups for contract in group]


# --- what is stated -------------------------------------------------------------------


@pytest.mark.skipif(not __debug__, reason="contracts are gone under -O")
@pytest.mark.parametrize(("name", "rule"), GUARDED.items())
def test_require_cold_method_states_its_one_rule(name: str, rule: str) -> None:
    assert descriptions(name) == [rule]


def test_require_hot_method_carries_none() -> None:
    public = [name for name in vars(VirtualFileSystem) if not name.startswith("_")]

    assert [name for name in public if name not in GUARDED and descriptions(name)] == []


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (1, True),
        (65536, True),
        (1 << 28, True),
        ((1 << 28) + 1, False),
        (0, False),
        (-1, False),
        (True, False),
        (4.0, False),
        ("4", False),
        (None, False),
    ],
)
def test_is_chunk_size_value_tells_whether_it_fits(value: Any, fits: bool) -> None:
    assert _contracts.is_chunk_size(value) == fits


def test_is_not_root_any_spelling_is_seen_through() -> None:
    assert not _contracts.is_not_root("a/..//")
    assert _contracts.is_not_root("/a")


# --- with the contract and without it -------------------------------------------------

ROOT_ARGUMENTS = [
    ("rmdir", ("/",)),
    ("rmdir", ("a/..",)),
    ("rmtree", ("/",)),
    ("rename", ("/", "/b")),
    ("replace", ("/", "/b")),
    ("move", ("/", "/b")),
]


@pytest.mark.parametrize("strip", [False, True], ids=["contracts", "plain"])
@pytest.mark.parametrize(("name", "args"), ROOT_ARGUMENTS)
def test_remove_or_move_root_is_refused_and_changes_nothing(
    mem: VirtualFileSystem, name: str, args: tuple[str, ...], strip: bool
) -> None:
    mem.touch("/a")
    before = mem.stat("/")
    method = plain(name) if strip else getattr(VirtualFileSystem, name)

    with pytest.raises(RootRefused) as caught:
        method(mem, *args)

    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, ViolationError)
    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, "/")
    assert (mem.listdir("/"), mem.stat("/")) == (["a"], before)


@pytest.mark.parametrize("strip", [False, True], ids=["contracts", "plain"])
def test_add_itself_as_underlay_is_refused_and_changes_nothing(
    mem: VirtualFileSystem, strip: bool
) -> None:
    method = plain("add_underlay") if strip else VirtualFileSystem.add_underlay

    with pytest.raises(InvalidArgument, match="itself"):
        method(mem, mem)

    assert [layer["name"] for layer in mem.list_layers()] == ["local"]


@pytest.mark.parametrize(("name", "dst"), [("replace", "/"), ("rename", "/")])
def test_replace_root_as_destination_is_refused_and_changes_nothing(
    mem: VirtualFileSystem, name: str, dst: str
) -> None:
    mem.touch("/a")

    with pytest.raises(OSError) as caught:
        plain(name)(mem, "/a", dst)

    assert (caught.value.filename, caught.value.filename2) == ("/a", "/")
    assert mem.listdir("/") == ["a"]


@pytest.mark.parametrize("strip", [False, True], ids=["contracts", "plain"])
@pytest.mark.parametrize("chunk_size", [0, -1, True, 2.0, "8", None, 1 << 29])
def test_init_bad_chunk_size_is_invalid_argument(chunk_size: Any, strip: bool) -> None:
    def make() -> None:
        if strip:
            plain("__init__")(object.__new__(VirtualFileSystem), ":memory:", chunk_size)
        else:
            VirtualFileSystem(":memory:", chunk_size)

    with pytest.raises(InvalidArgument, match="chunk_size") as caught:
        make()

    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, ViolationError)


@pytest.mark.parametrize("strip", [False, True], ids=["contracts", "plain"])
@pytest.mark.parametrize("name", ["rmdir", "rmtree"])
@pytest.mark.parametrize(
    ("path", "kind"), [("", ValueError), ("a\0", ValueError), (b"/", TypeError)]
)
def test_remove_bad_path_is_violation_either_way(
    mem: VirtualFileSystem, name: str, path: Any, kind: type[Exception], strip: bool
) -> None:
    method = plain(name) if strip else getattr(VirtualFileSystem, name)

    with pytest.raises(ViolationError) as caught:
        method(mem, path)

    assert isinstance(caught.value, kind)


def test_all_names_what_other_modules_take() -> None:
    assert set(_contracts.__all__) <= set(vars(_contracts))
