"""Names that the host cannot hold, though a file system here does: pure functions."""

from __future__ import annotations

import os
import sys
from typing import Final

from stratavfs import errors

WINDOWS: bool = os.name == "nt"

PARTICULAR: bool = WINDOWS or sys.getfilesystemencoding().lower() != "utf-8"
"""Whether the host has no files of some names that others have."""

_FORBIDDEN: Final = frozenset('<>:"/\\|?*')
_PORTS: Final = "123456789¹²³"
_DEVICES: Final = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + ["COM" + port for port in _PORTS]
    + ["LPT" + port for port in _PORTS]
)


def why_refused(name: str) -> str | None:
    r"""Return what keeps Windows from having a file called *name*; None: nothing.

    >>> why_refused("a:b"), why_refused("nul.txt"), why_refused("a.")
    ("it holds ':'", "'nul' is a device", 'it ends in a dot or a space')
    >>> why_refused("null"), why_refused("a\tb")
    (None, "it holds '\\t'")
    """
    for character in name:
        if character in _FORBIDDEN or character < " ":
            return f"it holds {character!r}"
    stem = name.partition(".")[0].rstrip(" ")
    if stem.upper() in _DEVICES:
        return f"{stem!r} is a device"
    if name.endswith((".", " ")):
        return "it ends in a dot or a space"
    return None


def check_name(name: str, path: str) -> None:
    """Refuse a *name* that the host cannot have, or would take for another."""
    why = why_refused(name) if WINDOWS else None
    if why is not None:
        raise errors.name_refused(path, why)
    check_encoding(name, path)


def check_encoding(name: str, path: str) -> None:
    """Refuse a *name* that the host's encoding cannot say."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        why = f"it is not in {sys.getfilesystemencoding()}"
        raise errors.name_refused(path, why) from None
