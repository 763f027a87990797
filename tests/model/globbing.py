"""A reference for ``glob``: pathlib's rules of Python 3.13, written for clarity alone.

pathlib itself differs between 3.11 and 3.13 (whether ``**`` finds files, whether a name
without a wildcard may be a broken link), so it cannot be the oracle for every pattern.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def glob(root: str, pattern: str) -> set[str]:
    """Return what matches *pattern* below *root*, as paths of the host."""
    segments: list[str] = []
    for name in pattern.split("/"):
        if name == "..":
            del segments[-1:]
        elif name not in ("", "."):
            segments.append(name)
    found = set(expand(root, segments))
    return {path for path in found if not pattern.endswith("/") or os.path.isdir(path)}


def expand(at: str, segments: list[str]) -> Iterator[str]:
    if not segments:
        yield at
        return
    head, *rest = segments
    if head == "**":
        for path in below(at, directories=bool(rest)):
            yield from expand(path, rest)
    elif re.search(r"[*?[]", head):
        for name in names(at):
            if re.fullmatch(translated(head), name, re.DOTALL):
                yield from expand(f"{at}/{name}", rest)
    elif os.path.lexists(f"{at}/{head}"):
        yield from expand(f"{at}/{head}", rest)


def below(top: str, *, directories: bool) -> Iterator[str]:
    """Yield *top* and what is below it; links are found and not entered."""
    if not os.path.isdir(top):
        return
    yield top
    for name in names(top):
        path = f"{top}/{name}"
        if os.path.isdir(path) and not os.path.islink(path):
            yield from below(path, directories=directories)
        elif not directories:
            yield path


def names(directory: str) -> list[str]:
    return os.listdir(directory) if os.path.isdir(directory) else []


def translated(segment: str) -> str:
    """Return *segment* as a regular expression.

    >>> translated("a*[!b]"), translated("[^]"), translated("[[]x]")
    ('a.*[^b]', '\\\\[\\\\^\\\\]', '[\\\\[]x\\\\]')
    """
    parts: list[str] = []
    tokens = re.compile(r"\[([!^]?)(\]?[^\]]*)\]|.", re.DOTALL)
    for token in tokens.finditer(segment):
        if token[2]:
            inside = token[2].replace("\\", r"\\").replace("[", r"\[")
            parts.append(f"[{'^' if token[1] else ''}{inside}]")
        else:
            parts.append({"*": ".*", "?": "."}.get(token[0], re.escape(token[0])))
    return "".join(parts)
