"""Errors: made in one place, with errno, path and remedy; their tree is as drawn."""

from __future__ import annotations

import errno
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

import icontract
import pytest

import stratavfs
from stratavfs import errors

if TYPE_CHECKING:
    from collections.abc import Callable

# What the local file system says of one path.
OF_ONE_PATH: dict[str, tuple[int, type[OSError]]] = {
    "not_found": (errno.ENOENT, FileNotFoundError),
    "already_exists": (errno.EEXIST, FileExistsError),
    "is_a_directory": (errno.EISDIR, IsADirectoryError),
    "not_a_directory": (errno.ENOTDIR, NotADirectoryError),
    "not_empty": (errno.ENOTEMPTY, OSError),
    "not_a_link": (errno.EINVAL, OSError),
    "name_too_long": (errno.ENAMETOOLONG, OSError),
    "no_attribute": (errno.ENODATA, OSError),
    "into_itself": (errno.EINVAL, OSError),
    "not_permitted": (errno.EPERM, PermissionError),
    "too_large": (errno.EFBIG, OSError),
    "bad_offset": (errno.EINVAL, OSError),
    "symlink_loop": (errno.ELOOP, OSError),
    "read_only": (errno.EROFS, errors.ReadOnlyError),
    "stale": (errno.ESTALE, OSError),
    "no_access": (errno.EACCES, PermissionError),
    "batch_lost": (errno.ECANCELED, errors.BatchLost),
    "batch_given_up": (errno.ECANCELED, errors.BatchLost),
    "needs_recovery": (errno.EROFS, OSError),
    "root_busy": (errno.EBUSY, errors.RootRefused),
    "root_is_a_directory": (errno.EISDIR, errors.RootIsADirectory),
    "root_exists": (errno.EEXIST, errors.RootExists),
}

OF_TWO_PATHS: dict[str, tuple[int, type[OSError]]] = {
    "moved_into_itself": (errno.EINVAL, shutil.Error),
    "destination_exists": (errno.EEXIST, shutil.Error),
    "same_file": (errno.EINVAL, shutil.SameFileError),
}

# The factories whose error tells what to do about it, with a word of the remedy.
REMEDIES: list[tuple[str, tuple[Any, ...], int, str]] = [
    ("batch_lost", ("x.db",), errno.ECANCELED, "start it again"),
    ("busy", ("x.db", 2.5), errno.EBUSY, "2.5 s; try again"),
    ("foreign", ("x.db", "why"), errno.EINVAL, r"\(why\); it was left as it is"),
    ("strange_journal", ("x.db",), errno.EINVAL, "journal"),
    ("too_new", ("x.db", 7, 1), errno.EINVAL, "format 7, .* up to 1; update"),
    ("corrupt", ("x.db", "why"), errno.EIO, r"\(why\); restore it"),
    ("needs_recovery", ("x.db",), errno.EROFS, "open it once for writing"),
    ("batch_given_up", ("x.db",), errno.ECANCELED, "rollback.*; leave it and start"),
    ("in_batch", ("x.db", "it"), errno.EINVAL, "it is not .*; leave the batch first"),
    ("in_savepoint", ("x.db", "it"), errno.EINVAL, "it is not .*; release it first"),
    ("stale", ("x.db",), errno.ESTALE, "open it again"),
    ("busy_handle", ("x.db",), errno.EBUSY, "a handle of its own"),
    ("busy_below", ("x.db", 2.5), errno.EBUSY, "2.5 s .* leave one of the batches"),
    ("changed_meanwhile", ("x.db",), errno.EBUSY, "changed .* try again"),
    ("bad_archive", ("x.db", "why"), errno.EINVAL, "why; nothing of it"),
    ("bad_member", ("x.db", "a", "is b"), errno.EINVAL, "'a' is b; nothing"),
    ("special_member", ("x.db", "a", "0o10000"), errno.EINVAL, "'a' .* exclude="),
    ("bomb", ("x.db", "a", 1 << 28, 9.5), errno.EINVAL, "'a' .*256 .* 9.5 .* max_"),
    ("special_file", ("x.db",), errno.EINVAL, "exclude= or errors='skip'"),
    ("is_open_container", ("x.db",), errno.EBUSY, "has open"),
    ("conflict", ("x.db", "a file"), errno.EEXIST, "a file is there .* on_conflict="),
    ("directory_in_the_way", ("x.db",), errno.EISDIR, "remove it first"),
    ("differs_in_case", ("x.db", "/A"), errno.EEXIST, "'/A' .* rename one of them"),
    ("bad_metadata", ("x.db", "a", "why"), errno.EINVAL, "'a' .*why.*; mend it with"),
    ("out_of_time", ("x.db",), errno.EOVERFLOW, "set them with touch"),
    ("name_refused", ("x.db", "why"), errno.EINVAL, "why.*; rename it, .* exclude="),
    ("replaced_meanwhile", ("x.db",), errno.ESTALE, "during the export"),
    ("time_refused", ("x.db", 9), errno.EOVERFLOW, "9 ns .* utime.* preserve="),
    ("too_large_for_sqlar", ("x.db", 1000), errno.EFBIG, "1,000 bytes .* export_arch"),
    ("not_utf8", ("x.db",), errno.EILSEQ, "rename it on the host"),
]

# The factories for a layer that is refused; all name it.
OF_A_LAYER: dict[str, type[Exception]] = {
    "layer_cycle": errors.InvalidArgument,
    "layer_closed": errors.InvalidArgument,
    "name_taken": errors.InvalidArgument,
    "no_root": errors.InvalidArgument,
    "no_such_layer": errors.InvalidArgument,
    "not_a_layer": errors.InvalidType,
    "not_a_file_system": errors.InvalidType,
}

# The factories for a call that makes no sense just now, and what to do instead.
OF_A_CALL: list[tuple[str, tuple[object, ...], type[Exception], str]] = [
    ("batch_is_open", (), errors.InvalidArgument, "one `with` at a time"),
    ("batch_not_open", (), errors.InvalidArgument, "not open"),
    ("batch_of_another_thread", (), errors.InvalidArgument, "another thread"),
    ("savepoint_is_gone", (), errors.InvalidArgument, "make another"),
    ("savepoint_of_file", ("x.db",), errors.InvalidArgument, r"'x\.db' .*fork\(\) of"),
    ("exclusive_to_read", (), errors.InvalidArgument, "to read alone, leave it out"),
    ("not_picklable", (), errors.InvalidType, r"use one in a file, or backup\(\) it"),
    ("not_a_format", (5,), errors.InvalidType, "read.. and write.., not int"),
    (
        "unknown_format",
        ("x.rar", "a, b"),
        errors.InvalidArgument,
        "give .* one of a, b",
    ),
]

FACTORIES = {
    name
    for name, value in vars(errors).items()
    if callable(value)
    and not isinstance(value, type)
    and getattr(value, "__module__", "") == errors.__name__
}


def factory(name: str) -> Callable[..., OSError]:
    found: Callable[..., OSError] = getattr(errors, name)
    return found


def test_factories_all_are_tested_here() -> None:
    tested = {*OF_ONE_PATH, *OF_TWO_PATHS, *(name for name, *_ in REMEDIES)}
    tested |= OF_A_LAYER.keys() | {"layer_failed", "forked_in_use"}
    tested |= {name for name, *_ in OF_A_CALL}

    assert FACTORIES - tested == {
        "onto_itself",
        "naming",
        "from_errno",
        "closed",
        "both_named",
    }
    assert tested <= FACTORIES


@pytest.mark.parametrize(("name", "expected"), OF_ONE_PATH.items())
def test_factory_of_one_path_gives_errno_and_filename(
    name: str, expected: tuple[int, type[OSError]]
) -> None:
    number, kind = expected

    error = factory(name)("/a b")

    assert type(error) is kind
    assert (error.errno, error.filename, error.filename2) == (number, "/a b", None)
    assert error.strerror
    assert "/a b" in str(error)


@pytest.mark.parametrize(("name", "expected"), OF_TWO_PATHS.items())
def test_factory_of_two_paths_gives_both(
    name: str, expected: tuple[int, type[OSError]]
) -> None:
    number, kind = expected

    error = factory(name)("/a", "/b")

    assert type(error) is kind
    assert (error.errno, error.filename, error.filename2) == (number, "/a", "/b")
    assert error.strerror


@pytest.mark.parametrize(("name", "args", "number", "remedy"), REMEDIES)
def test_factory_of_container_says_what_to_do(
    name: str, args: tuple[Any, ...], number: int, remedy: str
) -> None:
    error = factory(name)(*args)

    assert (error.errno, error.filename) == (number, "x.db")
    assert re.search(remedy, str(error))


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR, errno.ELOOP])
def test_from_errno_number_gives_what_the_system_says(number: int) -> None:
    error = errors.from_errno(number, "/a")

    assert type(error) is type(OSError(number, ""))
    assert error.args == (number, os.strerror(number))
    assert error.filename == "/a"


@pytest.mark.parametrize("name", OF_A_LAYER)
def test_refused_layer_is_named(name: str) -> None:
    error = factory(name)("base")

    assert type(error) is OF_A_LAYER[name]
    assert ("'base'" in str(error)) != name.startswith("not_a_")


@pytest.mark.parametrize(("name", "args", "kind", "remedy"), OF_A_CALL)
def test_refused_call_says_what_to_do(
    name: str, args: tuple[str, ...], kind: type[Exception], remedy: str
) -> None:
    error = factory(name)(*args)

    assert type(error) is kind
    assert re.search(remedy, str(error))


def test_forked_in_use_names_the_memory_and_what_to_do() -> None:
    error = errors.forked_in_use(":memory:")

    assert type(error) is OSError
    assert (error.errno, error.filename) == (errno.ESTALE, ":memory:")
    assert "fork while no thread uses it" in str(error)


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (PermissionError(errno.EACCES, "no"), errno.EACCES),
        (FileNotFoundError(errno.ENOENT, "gone"), errno.EIO),
        (IsADirectoryError(errno.EISDIR, "is"), errno.EIO),
        (KeyError("x"), errno.EIO),
        (ValueError("closed"), errno.EIO),
    ],
)
def test_layer_failed_never_says_that_a_path_is_absent(
    cause: Exception, expected: int
) -> None:
    error = errors.layer_failed("base", "/a", cause)

    assert type(error) is errors.LayerFailed
    assert (error.errno, error.filename) == (expected, "/a")
    assert "'base'" in str(error)
    assert str(cause) in str(error)


def test_closed_is_the_value_error_of_files() -> None:
    error = errors.closed()

    assert type(error) is ValueError
    assert "closed" in str(error)


# --- the tree -------------------------------------------------------------------------

BASES: dict[str, tuple[type[BaseException], ...]] = {
    "InvalidArgument": (icontract.ViolationError, ValueError),
    "InvalidType": (icontract.ViolationError, TypeError),
    "ReadOnlyError": (PermissionError,),
    "BatchLost": (OSError,),
    "LayerFailed": (OSError,),
    "BadArchive": (OSError,),
    "ForeignDatabase": (OSError,),
    "SchemaTooNew": (OSError,),
    "CorruptDatabase": (OSError,),
    "RootRefused": (OSError, icontract.ViolationError),
    "RootIsADirectory": (errors.RootRefused, IsADirectoryError),
    "RootExists": (errors.RootRefused, FileExistsError),
}

OURS: dict[str, type[BaseException]] = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and value.__module__ == errors.__name__
}


def test_classes_have_the_bases_that_callers_catch() -> None:
    assert {name: kind.__bases__ for name, kind in OURS.items()} == BASES


def drawn_parents() -> dict[str, str]:
    """Return {class: the class it hangs from} of the drawing in the docstring."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(
            r"^( {4}[ |]*)(\+-- )?(?:icontract\.)?([A-Z]\w+)(?=$|  |,)", line
        )
        if found is None or (found[2] is None and len(found[1]) > 4):
            continue
        depth, name = len(found[1]), found[3]
        above = [(at, node) for at, node in above if at < depth]
        if above:
            parents[name] = above[-1][1]
        above.append((depth, name))
    return parents


@pytest.mark.parametrize("name", sorted(OURS))
def test_drawing_shows_each_class_below_a_base(name: str) -> None:
    parent = drawn_parents()[name]

    assert parent in {base.__name__ for base in OURS[name].__mro__[1:]}


def test_drawing_shows_no_class_that_is_not_there() -> None:
    names = {*drawn_parents(), *drawn_parents().values()}
    standard = {"OSError", "FileNotFoundError", "PermissionError", "ViolationError"}

    assert names - set(OURS) == standard


def test_classes_with_a_name_of_their_own_are_public() -> None:
    # The two refinements of RootRefused are caught by their standard bases.
    expected = set(OURS) - {"RootIsADirectory", "RootExists"}

    assert {name for name in expected if hasattr(stratavfs, name)} == expected


@pytest.mark.parametrize("kind", [errors.InvalidArgument, errors.InvalidType])
def test_violation_raised_by_plain_code_keeps_its_message(
    kind: type[Exception],
) -> None:
    assert str(kind("what is wrong")) == "what is wrong"


# --- two paths ------------------------------------------------------------------------


def test_both_named_error_of_one_path_gets_both() -> None:
    error = errors.not_found("/b")

    with pytest.raises(FileNotFoundError) as caught, errors.both_named("/a", "/b"):
        raise error

    assert (caught.value.filename, caught.value.filename2) == ("/a", "/b")
    assert caught.value.errno == errno.ENOENT
    assert str(caught.value).endswith("'/a' -> '/b'")


def test_both_named_error_of_two_paths_keeps_its_own() -> None:
    error = errors.destination_exists("/a", "/b/a")

    with pytest.raises(shutil.Error) as caught, errors.both_named("/a", "/b"):
        raise error

    assert (caught.value.filename, caught.value.filename2) == ("/a", "/b/a")


def test_both_named_other_error_passes_unchanged() -> None:
    error = ValueError("closed")

    with pytest.raises(ValueError) as caught, errors.both_named("/a", "/b"):
        raise error

    assert caught.value is error


def test_both_named_without_error_does_nothing() -> None:
    with errors.both_named("/a", "/b"):
        done = True

    assert done
