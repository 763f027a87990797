"""Arguments other than paths and modes, checked by plain code before anything begins.

Under ``python -O`` contracts are gone and these checks are not.
"""

from __future__ import annotations

import io
import math
import operator
import os
from typing import TYPE_CHECKING, Any, Final

from stratavfs import errors
from stratavfs._modes import check_newline
from stratavfs._options import MEMORY
from stratavfs._paths import check_length, checked_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from stratavfs._paths import StrPath

MAX_TIMEOUT: Final = 2_000_000
"""Seconds: SQLite counts milliseconds in a C int."""


def checked_location(path: StrPath, what: str) -> str:
    """Return the file that the argument *what* names: a path of the host, not ours."""
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        message = f"{what} should be str or os.PathLike[str], not {type(path).__name__}"
        if what == "db_path":
            message += "; ':memory:' keeps everything in memory"
        raise errors.InvalidType(message)
    if not text or "\0" in text:
        message = f"{what} is {text!r}, which names no file"
        raise errors.InvalidArgument(message)
    return text


def checked_file(path: StrPath, what: str) -> str:
    """Return the file that the argument *what* names, which cannot be memory."""
    location = checked_location(path, what)
    if location == MEMORY:
        message = f"{what} is {MEMORY!r}, which is no file; give a VirtualFileSystem"
        raise errors.InvalidArgument(message)
    return location


def checked_stream(file: Any, what: str, verb: str) -> Any:
    """Return a path of the host, or a stream to *verb*, which the argument *what* is.

    >>> import io
    >>> checked_stream("a.zip", "source", "read")
    'a.zip'
    """
    if isinstance(file, str | os.PathLike):
        return checked_location(file, what)
    if isinstance(file, io.TextIOBase) or not hasattr(file, verb):
        message = (
            f"{what} should be a path of the host or a stream of bytes to {verb}, not "
            f"{type(file).__name__}"
        )
        raise errors.InvalidType(message)
    return file


def checked_ratio(ratio: float) -> float:
    """Return how many times its size an archive may unpack to."""
    if isinstance(ratio, bool) or not isinstance(ratio, int | float):
        message = f"max_ratio should be a number, not {ratio!r}"
        raise errors.InvalidType(message)
    if not ratio >= 1:
        message = f"max_ratio should be at least 1, not {ratio!r}"
        raise errors.InvalidArgument(message)
    return ratio


def checked_timeout(timeout: float) -> float:
    """Return a number of seconds."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        message = f"timeout should be a number of seconds, not {timeout!r}"
        raise errors.InvalidType(message)
    if not 0 <= timeout <= MAX_TIMEOUT:
        message = f"timeout should be 0 to {MAX_TIMEOUT} seconds, not {timeout!r}"
        raise errors.InvalidArgument(message)
    return timeout


def checked_choice(name: str, value: str, choices: Collection[str]) -> str:
    """Return *value* if it is one of *choices*."""
    if value not in choices:
        message = f"{name} should be one of {', '.join(choices)}, not {value!r}"
        raise errors.InvalidArgument(message)
    return value


def as_view(content: Any) -> memoryview:
    """Return the bytes of *content* without copying them.

    >>> as_view(b"ab").nbytes
    2
    """
    try:
        view = memoryview(content)
    except TypeError:
        message = f"a bytes-like object is required, not {type(content).__name__!r}"
        raise errors.InvalidType(message) from None
    if view.format == "B" and view.ndim == 1 and view.c_contiguous:
        return view
    if view.c_contiguous and view.nbytes:  # an array of other items
        return view.cast("B")
    return memoryview(view.tobytes())  # an array with gaps


def encoded(
    content: str, encoding: str | None, errors_: str | None, newline: str | None
) -> bytes:
    r"""Return *content* as ``open(..., "w")`` would write it.

    >>> encoded("a\nb", None, None, "\r\n")
    b'a\r\nb'
    """
    if not isinstance(content, str):
        message = f"content should be str, not {type(content).__name__}"
        raise errors.InvalidType(message)
    check_newline(newline)
    ending = os.linesep if newline is None else newline or "\n"
    if ending != "\n":
        content = content.replace("\n", ending)
    return content.encode(encoding or "utf-8", errors_ or "strict")


def decoded(
    data: bytes, encoding: str | None, errors_: str | None, newline: str | None
) -> str:
    r"""Return *data* as ``open(..., "r")`` would read it.

    >>> decoded(b"a\r\nb\r", None, None, None), decoded(b"a\r\n", None, None, "")
    ('a\nb\n', 'a\r\n')
    """
    check_newline(newline)
    text = data.decode(encoding or "utf-8", errors_ or "strict")
    if newline is None and "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text


def checked_target(target: StrPath) -> str:
    """Return the target of a symbolic link, kept as it is."""
    text = checked_text(target)
    check_length(text)
    return text


def checked_attribute(name: str) -> str:
    """Return the name of an extended attribute."""
    if not isinstance(name, str):
        message = f"an attribute's name should be str, not {type(name).__name__}"
        raise errors.InvalidType(message)
    return checked_text(name)


def checked_name(name: str) -> str:
    """Return the name of a layer."""
    if not isinstance(name, str):
        message = f"a layer's name should be str, not {type(name).__name__}"
        raise errors.InvalidType(message)
    if not name:
        message = "a layer's name is not empty"
        raise errors.InvalidArgument(message)
    return str(name)


def checked_priority(priority: int) -> int:
    """Return the priority of a layer.

    >>> checked_priority(-3)
    -3
    """
    try:
        return operator.index(priority)
    except TypeError:
        message = f"priority should be an int, not {type(priority).__name__}"
        raise errors.InvalidType(message) from None


def checked_owner(what: str, value: int | str) -> int | str:
    """Return the number or the name of an owner or a group."""
    if isinstance(value, str):
        return checked_text(value)
    number = operator.index(value)
    if not -1 <= number < 1 << 32:
        message = f"{what} should be -1 or an unsigned 32-bit number, not {number}"
        raise errors.InvalidArgument(message)
    return number


def changed_owner(value: int | str, number: int, name: str) -> tuple[int, str]:
    """Return number and name after setting one of them: a number clears the name.

    >>> changed_owner(-1, 5, "ann"), changed_owner(7, 5, "ann")
    ((5, 'ann'), (7, ''))
    >>> changed_owner("bo", 5, "ann")
    (5, 'bo')
    """
    if isinstance(value, str):
        return number, value
    return (number, name) if value == -1 else (value, "")


def checked_times(
    times: tuple[float, float] | None, ns: tuple[int, int] | None
) -> tuple[int, int] | None:
    """Return the times of access and modification in nanoseconds.

    >>> checked_times((1.5, 2), None), checked_times(None, (3, 4))
    ((1500000000, 2000000000), (3, 4))
    """
    if times is not None and ns is not None:
        message = "utime takes times or ns, not both"
        raise errors.InvalidArgument(message)
    given = times if ns is None else ns
    if given is None:
        return None
    if len(given) != 2:  # noqa: PLR2004
        message = f"utime takes a tuple of two times, not {given!r}"
        raise errors.InvalidType(message)
    convert: Callable[[Any], int] = nanoseconds if ns is None else operator.index
    atime, mtime = convert(given[0]), convert(given[1])
    if not all(-(1 << 63) <= time < 1 << 63 for time in (atime, mtime)):
        message = f"timestamp out of range: {given!r}"
        raise OverflowError(message)
    return atime, mtime


def nanoseconds(seconds: float) -> int:
    """Return *seconds* in nanoseconds, rounded down as ``os.utime`` does.

    >>> nanoseconds(1), nanoseconds(-0.5)
    (1000000000, -500000000)
    """
    if isinstance(seconds, int):
        return seconds * 1_000_000_000
    part, whole = math.modf(seconds)
    return int(whole) * 1_000_000_000 + math.floor(part * 1_000_000_000)
