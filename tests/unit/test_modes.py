"""Mode strings and arguments of ``open()``: the builtin is the judge."""

from __future__ import annotations

import itertools
import os
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from stratavfs import InvalidArgument, InvalidType, _modes

if TYPE_CHECKING:
    from pathlib import Path

LETTERS = "rwaxbt+U"
MODES = [
    "".join(letters)
    for length in range(5)
    for letters in itertools.product(LETTERS, repeat=length)
]


class ModeIsGoodError(Exception):
    """The builtin came as far as opening the file."""


def refuse(path: str, flags: int) -> NoReturn:
    raise ModeIsGoodError


def builtin_verdict(mode: str) -> str | None:
    """Return the builtin's message about *mode*, or None if it takes it."""
    try:
        open("name", mode, opener=refuse)  # noqa: SIM115 - never opens
    except ModeIsGoodError:
        return None
    except ValueError as error:
        return str(error)
    raise AssertionError(mode)


def our_verdict(mode: str) -> str | None:
    try:
        _modes.parse(mode)
    except InvalidArgument as error:
        return str(error)
    return None


VALID = [mode for mode in MODES if builtin_verdict(mode) is None]


def test_parse_every_short_mode_agrees_with_builtin() -> None:
    disagreeing = [
        mode
        for mode in MODES
        if (our_verdict(mode) is None) != (builtin_verdict(mode) is None)
    ]

    assert len(VALID) > 30
    assert disagreeing == []


@pytest.mark.parametrize("mode", ["rr", "z", "rbt", "U", "rU", "r++"])
def test_parse_bad_mode_has_builtin_message(mode: str) -> None:
    assert our_verdict(mode) == builtin_verdict(mode)


@pytest.mark.parametrize("mode", ["", "b", "+", "rw", "ax"])
def test_parse_no_or_two_actions_names_the_four(mode: str) -> None:
    with pytest.raises(InvalidArgument, match="exactly one of"):
        _modes.parse(mode)


@pytest.mark.parametrize("mode", [None, b"r", 7])
def test_parse_wrong_type_is_invalid_type(mode: Any) -> None:
    with pytest.raises(InvalidType, match=type(mode).__name__):
        _modes.parse(mode)


def what_it_does(path: Path, mode: str) -> dict[str, bool]:
    """Return what the builtin does with an existing and a missing file."""
    path.write_bytes(b"old")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        try:
            with open(path, mode) as file:
                found = {
                    "reading": file.readable(),
                    "writing": file.writable(),
                    "creating": False,
                    "binary": "b" in mode,
                    "appending": file.writable() and file.tell() == 3,
                    "truncating": os.path.getsize(path) == 0,
                }
        except FileExistsError:
            path.unlink()
            with open(path, mode) as file:
                found = {
                    "reading": file.readable(),
                    "writing": file.writable(),
                    "creating": True,
                    "binary": "b" in mode,
                    "appending": False,
                    "truncating": False,
                }
    return found


@pytest.mark.parametrize("mode", sorted(VALID))
def test_parse_valid_mode_does_what_the_builtin_does(mode: str, tmp_path: Path) -> None:
    assert _modes.parse(mode)._asdict() == what_it_does(tmp_path / "file", mode)


@pytest.mark.parametrize("mode", sorted(VALID))
def test_makes_valid_mode_says_whether_the_builtin_makes(
    mode: str, tmp_path: Path
) -> None:
    path = tmp_path / "missing"

    try:
        open(path, mode).close()
        made = True
    except FileNotFoundError:
        made = False

    assert _modes.parse(mode).makes == made


@pytest.mark.parametrize("mode", [mode for mode in sorted(VALID) if "b" in mode])
def test_raw_name_binary_mode_is_that_of_file_io(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if "x" not in mode:
        path.touch()

    with open(path, mode, buffering=0) as raw:
        assert _modes.parse(mode).raw_name == raw.mode


# --- the other arguments --------------------------------------------------------------

ARGUMENTS = list(
    itertools.product(
        ["r", "rb", "r+", "r+b"],
        [-1, 0, 1, 16, "8", 1.0],
        [None, "utf-8", 5],
        [None, "strict", b"strict"],
        [None, "", "\n", "\r", "\r\n", "x", "\n\n", b"\n"],
    )
)


def builtin_error(path: Path, arguments: tuple[Any, ...]) -> type[Exception] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            open(path, *arguments).close()
    except (TypeError, ValueError) as error:
        return TypeError if isinstance(error, TypeError) else ValueError
    return None


def our_error(arguments: tuple[Any, ...]) -> type[Exception] | None:
    mode, *rest = arguments
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _modes.check_arguments(_modes.parse(mode), *rest)
    except InvalidType:
        return TypeError
    except InvalidArgument:
        return ValueError
    return None


@pytest.mark.slow
def test_check_arguments_every_combination_agrees_with_builtin(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()

    disagreeing = [
        arguments
        for arguments in ARGUMENTS
        if (our_error(arguments) is None) != (builtin_error(path, arguments) is None)
    ]

    assert disagreeing == []


@pytest.mark.parametrize(
    "arguments",
    [
        arguments
        for arguments in ARGUMENTS  # of two mistakes either may be named
        if sum(value not in (None, -1) for value in arguments[1:]) == 1
    ],
    ids=repr,
)
def test_check_arguments_one_given_is_refused_by_type_as_the_builtin(
    arguments: tuple[Any, ...], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.touch()

    assert our_error(arguments) == builtin_error(path, arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rb", -1, "utf-8", None, None), "doesn't take an encoding argument"),
        (("rb", -1, None, "strict", None), "doesn't take an errors argument"),
        (("rb", -1, None, None, "\n"), "doesn't take a newline argument"),
        (("r", 0, None, None, None), "can't have unbuffered text I/O"),
        (("r", -1, None, None, "x"), "illegal newline value: 'x'"),
        (("r", "8", None, None, None), "buffering should be int, not str"),
    ],
)
def test_check_arguments_bad_one_is_named(
    arguments: tuple[Any, ...], message: str
) -> None:
    mode, *rest = arguments

    with pytest.raises((TypeError, ValueError), match=message):
        _modes.check_arguments(_modes.parse(mode), *rest)


def test_check_arguments_binary_line_buffering_warns_as_the_builtin(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    path.touch()

    with pytest.warns(RuntimeWarning) as theirs:
        open(path, "rb", 1).close()
    with pytest.warns(RuntimeWarning) as ours:
        _modes.check_arguments(_modes.parse("rb"), 1, None, None, None)

    assert [str(w.message) for w in ours] == [str(w.message) for w in theirs]
