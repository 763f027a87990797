"""Stacks: the underlays that ``--underlay`` and a stack file name.

A stack file is TOML, its paths relative to the file::

    [[underlay]]
    path = "textures.zip"
    priority = 10        # 0 if left out; higher hides lower
    name = "textures"    # underlay_0, ... if left out
    at = "/assets"       # "/" if left out

Whether a layer is there is found out when it is opened; here texts are read.
"""

from __future__ import annotations

import os
import re
import tomllib
from typing import Any, Final, NamedTuple

import click

from stratavfs.cli._output import Failure

_FORM: Final = re.compile(r"(.+?)(?::(-?\d+|)(?::([^:]+))?)?", re.DOTALL)
_WRONG: Final = re.compile(r"(.+?):([^:]+)(?::[^:]*)?", re.DOTALL)
_KEYS: Final = {"path": str, "priority": int, "name": str, "at": str}
_NAMES: Final = {str: "a text in quotes", int: "a whole number"}


class Underlay(NamedTuple):
    """One layer below a container."""

    path: str
    """A directory, a zip archive or a container of the host."""
    priority: int = 0
    name: str | None = None
    at: str = "/"
    """Where its root appears."""
    source: str = "--underlay"
    """Where it was named, for errors."""


def parse(text: str) -> Underlay:
    """Return the underlay that ``PATH[:PRIORITY[:NAME]]`` means.

    A path that holds colons is one, if it is there or no number follows them.

    >>> parse("base.zip:10:core")[:3], parse("a:b.zip")[:3], parse("x::core")[:3]
    (('base.zip', 10, 'core'), ('a:b.zip', 0, None), ('x', 0, 'core'))
    """
    found = _FORM.fullmatch(text)
    if found is None or os.path.exists(text):
        return Underlay(text)
    path, priority, name = found.groups()
    wrong = _WRONG.fullmatch(path)
    if wrong is not None and os.path.exists(wrong[1]):
        message = f"{text!r}: {wrong[2]!r} is no priority: write PATH[:PRIORITY[:NAME]]"
        raise click.UsageError(message)
    return Underlay(path, int(priority or 0), name)


def load(file: str) -> list[Underlay]:
    """Return the underlays that the stack file *file* names.

    Raises:
        Failure: it is no TOML, or holds something else; the message names the key.
        OSError: it cannot be read.
    """
    with open(file, "rb") as stream:
        try:
            found = tomllib.load(stream)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Failure(file, "this is no TOML", error) from None
    for key in found:
        if key != "underlay":
            raise Failure(file, f"unknown key {key!r}", "write tables [[underlay]]")
    tables = found.get("underlay", [])
    if not isinstance(tables, list):
        message = "underlay: write [[underlay]], with two brackets each side"
        raise Failure(file, message)
    return [
        _underlay(file, f"{file}: underlay {number}", table)
        for number, table in enumerate(tables, 1)
    ]


def _underlay(file: str, where: str, table: Any) -> Underlay:
    if not isinstance(table, dict):
        raise Failure(where, 'write a table, as path = "base.zip"')
    for key, value in table.items():
        kind = _KEYS.get(key)
        if kind is None:
            known = ", ".join(_KEYS)
            raise Failure(where, f"unknown key {key!r}", f"the keys are {known}")
        if type(value) is not kind:  # True is an int
            raise Failure(where, key, f"write {_NAMES[kind]}, not {value!r}")
    if not table.get("path"):
        message = 'path is missing: write path = "base.zip", or what it is'
        raise Failure(where, message)
    path = os.path.join(os.path.dirname(file), table["path"])
    rest = {key: value for key, value in table.items() if key != "path"}
    return Underlay(path, source=where, **rest)
