"""The words of arguments: sizes, moments, modes. Pure functions of texts.

Each raises :class:`click.UsageError` for a text that is none, naming what is possible.
"""

from __future__ import annotations

import json
import os
import re
import time
from datetime import datetime
from typing import Any, Final

import click

_SIZE: Final = re.compile(r"(\d+)([KMGT]?)(?:iB|B)?", re.IGNORECASE)
_AGE: Final = re.compile(r"(\d+)([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_CLAUSE: Final = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION: Final = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_BITS: Final = {"r": 0o444, "w": 0o222, "x": 0o111, "s": 0o6000, "t": 0o1000}
_WHO: Final = {"u": 0o4700, "g": 0o2070, "o": 0o1007, "a": 0o7777}
_FULL: Final = 5  # digits of a mode that says all
_SHIFTS: Final = {"u": 6, "g": 3, "o": 0}


def size(text: str) -> int:
    """Return the bytes that *text* means.

    >>> size("12"), size("4K"), size("1M")
    (12, 4096, 1048576)
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        message = f"{text!r} is no size: write bytes, or 4K, 10M, 1G"
        raise click.UsageError(message)
    power = " KMGT".index(found[2].upper() or " ")
    return int(found[1]) << 10 * power


def moment(text: str) -> float:
    """Return the moment that *text* means: seconds since 1970.

    >>> moment("@12.5"), moment("1970-01-02T00:00:00+00:00")
    (12.5, 86400.0)
    """
    age = _AGE.fullmatch(text)
    if age is not None:
        return time.time() - int(age[1]) * _SECONDS[age[2]]
    try:
        if text.startswith("@"):
            return float(text[1:])
        return datetime.fromisoformat(
            text
        ).timestamp()  # of this place, if it says none
    except (ValueError, OverflowError):
        message = (
            f"{text!r} is no moment: write 2026-01-31, '2026-01-31 12:00', an age "
            "as 7d or 12h, or @SECONDS"
        )
        raise click.UsageError(message) from None


def metadata(texts: tuple[str, ...]) -> dict[str, Any] | None:
    """Return what ``KEY=VALUE`` texts mean, values as JSON or else as texts.

    >>> metadata(("author=Ada", "level=3")), metadata(())
    ({'author': 'Ada', 'level': 3}, None)
    """
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            message = f"{text!r} should be KEY=VALUE"
            raise click.UsageError(message)
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found or None


def mode(text: str, old: int = 0, *, directory: bool = False) -> int:
    """Return the permission bits that *text* makes of *old*: octal, or as ``u+x,g=r``.

    >>> f"{mode('755'):o} {mode('u+x,go-r', 0o644):o} {mode('a+X', 0o644):o}"
    '755 700 644'
    """
    if re.fullmatch("0*[0-7]{1,4}", text):
        # As chmod: a short number leaves these bits of a directory alone.
        kept = old & 0o6000 if directory and len(text) < _FULL else 0
        return int(text, 8) | kept
    for clause in text.split(","):
        found = _CLAUSE.fullmatch(clause)
        if found is None:
            message = f"{text!r} is no mode: write it as 644, u+x, go-w or a=rX"
            raise click.UsageError(message)
        for sign, what in _ACTION.findall(found[2]):
            old = _changed(old, found[1], sign, what, directory=directory)
    return old


def umask() -> int:
    """Return the mask of this process: what ``+w`` of nobody leaves out."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _changed(old: int, who: str, sign: str, what: str, *, directory: bool) -> int:
    """Return what one action makes of *old*, by the rules of gnulib's modechange."""
    affected = 0
    for letter in who:
        affected |= _WHO[letter]
    bits = 0
    for letter in what:
        bits |= _bits(letter, old, directory=directory)
    kept = 0o6000 if directory else 0
    kept &= ~(bits & (affected or bits))  # unless they are mentioned
    bits &= (affected or ~umask()) & ~kept & 0o7777
    if sign == "+":
        return old | bits
    if sign == "-":
        return old & ~bits
    return old & ((~affected if affected else 0) | kept) | bits


def _bits(letter: str, old: int, *, directory: bool) -> int:
    """Return what *letter* means of the bits of everybody."""
    if letter == "X":
        return 0o111 if directory or old & 0o111 else 0
    if letter in _SHIFTS:
        return (old >> _SHIFTS[letter] & 7) * 0o111
    return _BITS[letter]
