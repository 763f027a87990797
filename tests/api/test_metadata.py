"""Metadata of applications: JSON values beside a file's content."""

from __future__ import annotations

import errno
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratavfs import InvalidArgument, InvalidType, ReadOnlyError, VirtualFileSystem
from stratavfs._metadata import canonical

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def vfs(mem: VirtualFileSystem) -> VirtualFileSystem:
    mem.touch("/f")
    mem.mkdir("/d")
    mem.symlink("f", "/link")
    return mem


# --- setting and getting --------------------------------------------------------------


def test_set_metadata_keeps_each_key_as_json(vfs: VirtualFileSystem) -> None:
    vfs.set_metadata("/f", {"b": {"y": 1, "x": [None, True, 1.5]}, "ä b": ("é", "\0")})

    assert {name: vfs.getxattr("/f", name) for name in vfs.listxattr("/f")} == {
        "user.metadata.b": b'{"x":[null,true,1.5],"y":1}',
        "user.metadata.ä b": '["é","\\u0000"]'.encode(),
    }
    assert vfs.get_metadata("/f") == {
        "b": {"x": [None, True, 1.5], "y": 1},
        "ä b": ["é", "\0"],
    }
    assert list(vfs.get_metadata("/f")) == ["b", "ä b"]


def test_set_metadata_again_replaces_all_and_no_other_attribute(
    vfs: VirtualFileSystem,
) -> None:
    vfs.setxattr("/f", "user.metadata", b"of another name")
    vfs.setxattr("/f", "user.comment", b"x")
    vfs.set_metadata("/f", {"a": 1, "b": 2})

    vfs.set_metadata("/f", {"b": 3, "c": 4})
    known = vfs.get_metadata("/f")
    vfs.set_metadata("/f", {})

    assert known == {"b": 3, "c": 4}
    assert vfs.get_metadata("/f") == {}
    assert vfs.listxattr("/f") == ["user.comment", "user.metadata"]


@pytest.mark.parametrize("path", ["/", "/d", "/f"])
def test_set_metadata_goes_to_whatever_is_there(
    vfs: VirtualFileSystem, path: str
) -> None:
    before = vfs.get_metadata(path)

    vfs.set_metadata(path, {"k": path})

    assert (before, vfs.get_metadata(path)) == ({}, {"k": path})


def test_metadata_of_link_is_its_targets_unless_told(vfs: VirtualFileSystem) -> None:
    vfs.set_metadata("/link", {"of": "file"})
    vfs.set_metadata("/link", {"of": "link"}, follow_symlinks=False)

    assert vfs.get_metadata("/f") == {"of": "file"}
    assert vfs.get_metadata("/link") == {"of": "file"}
    assert vfs.get_metadata("/link", follow_symlinks=False) == {"of": "link"}


def test_metadata_goes_with_the_file(vfs: VirtualFileSystem) -> None:
    vfs.set_metadata("/f", {"k": 1})
    vfs.link("/f", "/hard")
    vfs.rename("/f", "/renamed")
    vfs.copy2("/renamed", "/copy")
    vfs.write_text("/renamed", "new content")

    found = [vfs.get_metadata(path) for path in ("/hard", "/renamed", "/copy")]

    assert found == [{"k": 1}] * 3


def test_set_metadata_over_a_base_leaves_the_base_alone(make_vfs: Any) -> None:
    base, vfs = make_vfs(), make_vfs()
    base.write_text("/f", "content")
    base.set_metadata("/f", {"old": 1, "both": 1})
    vfs.add_underlay(base, name="base")
    below = vfs.get_metadata("/f")

    vfs.set_metadata("/f", {"both": 2})

    assert below == base.get_metadata("/f") == {"old": 1, "both": 1}
    assert vfs.get_metadata("/f") == {"both": 2}
    assert (vfs.which_layer("/f"), vfs.read_text("/f")) == ("local", "content")


def test_set_metadata_in_a_batch_goes_back_with_it(vfs: VirtualFileSystem) -> None:
    vfs.set_metadata("/f", {"k": 1})

    with pytest.raises(KeyError), vfs.atomic_batch():  # noqa: PT012 - its own error
        vfs.set_metadata("/f", {"other": 2})
        raise KeyError

    assert vfs.get_metadata("/f") == {"k": 1}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_set_metadata_holds_as_much_depth_as_it_says(vfs: VirtualFileSystem) -> None:
    vfs.set_metadata("/f", {"deep": nested(200)})

    assert vfs.get_metadata("/f") == {"deep": nested(200)}


# --- refusals -------------------------------------------------------------------------

CIRCLE: list[Any] = []
CIRCLE.append({"again": CIRCLE})


@pytest.mark.parametrize(
    ("mapping", "error", "message"),
    [
        ([("k", 1)], InvalidType, "mapping, not list"),
        ({1: "x"}, InvalidType, "str, not int"),
        ({"": 1}, InvalidArgument, "empty"),
        ({"a\0": 1}, InvalidArgument, "null"),
        ({"\ud800": 1}, InvalidArgument, "surrogate"),
        ({"k": "\ud800"}, InvalidArgument, "'k'.*surrogate"),
        ({"k": {"\udfff": 1}}, InvalidArgument, "'k'.*surrogate"),
        ({"k": math.nan}, InvalidArgument, "'k'"),
        ({"k": [-math.inf]}, InvalidArgument, "'k'"),
        ({"k": {1: "x"}}, InvalidType, "str, not 1"),
        ({"k": [{"x": {None: 1}}]}, InvalidType, "str, not None"),
        ({"k": b"bytes"}, InvalidType, "'k'.*bytes"),
        ({"k": {1, 2}}, InvalidType, "'k'.*set"),
        ({"k": CIRCLE}, InvalidArgument, "'k'.*[Cc]ircular"),
        ({"k": nested(201)}, InvalidArgument, "'k'.*deep"),
        ({"k": nested(100_000)}, InvalidArgument, "'k'.*deep"),
        ({"k": 10**5000}, InvalidArgument, "'k'.*digits"),
    ],
)
def test_set_metadata_of_what_is_no_json_is_refused_and_changes_nothing(
    vfs: VirtualFileSystem, mapping: Any, error: type[Exception], message: str
) -> None:
    vfs.set_metadata("/f", {"k": "old"})
    before = vfs.stat("/f")

    with pytest.raises(error, match=message):
        vfs.set_metadata("/f", mapping)

    assert vfs.get_metadata("/f") == {"k": "old"}
    assert vfs.stat("/f") == before


def test_metadata_of_missing_path_is_not_found(vfs: VirtualFileSystem) -> None:
    for call in (vfs.get_metadata, lambda path: vfs.set_metadata(path, {"k": 1})):
        with pytest.raises(FileNotFoundError) as caught:
            call("/missing")
        assert caught.value.filename == "/missing"
    assert not vfs.exists("/missing")


def test_set_metadata_through_a_read_only_instance_is_refused(
    make_vfs: Any, tmp_path: Path
) -> None:
    with VirtualFileSystem(tmp_path / "c.db") as vfs:
        vfs.touch("/f")
        vfs.set_metadata("/f", {"k": 1})
    read_only = make_vfs(tmp_path / "c.db", read_only=True)

    with pytest.raises(ReadOnlyError) as caught:
        read_only.set_metadata("/f", {})

    assert (caught.value.errno, caught.value.filename) == (errno.EROFS, "/f")
    assert read_only.get_metadata("/f") == {"k": 1}


@pytest.mark.parametrize(
    "stored",
    [
        *(b"", b"{", b"1 2", b"'x'", b"\xff", b'"\\ud800"', b'{"\\udfff": 1}'),
        *(b"NaN", b"-Infinity", b"1e999", b"\xef\xbb\xbf1", '"x"'.encode("utf-16")),
        *(b"[" * 100_000 + b"]" * 100_000, b"1" * 5000),
    ],
    ids=lambda stored: repr(stored[:15]),
)
def test_get_metadata_of_what_is_no_json_names_path_and_key(
    vfs: VirtualFileSystem, stored: bytes
) -> None:
    vfs.setxattr("/f", "user.metadata.key", stored)

    with pytest.raises(OSError, match=r"user\.metadata\.key.*setxattr") as caught:
        vfs.get_metadata("/f")

    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, "/f")


# --- equality -------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.dictionaries(st.text("ab.ü", min_size=1), JSON, max_size=3))
def test_metadata_of_any_json_comes_back_and_is_found(mapping: dict[str, Any]) -> None:
    with VirtualFileSystem() as vfs:
        vfs.touch("/f")
        vfs.set_metadata("/f", mapping)

        assert vfs.get_metadata("/f") == mapping
        assert list(vfs.find(metadata=mapping)) == ["/f"]


@pytest.mark.slow
@given(JSON, JSON)
def test_canonical_json_is_equal_where_the_values_are(one: Any, other: Any) -> None:
    def written(value: Any) -> bytes | None:
        return canonical(json.dumps(value).encode())

    assert written(one) is not None
    assert (written(one) == written(other)) == equal(one, other)


def equal(one: Any, other: Any) -> bool:
    """Tell whether two values are equal in JSON, where True is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    return bool(one == other)
