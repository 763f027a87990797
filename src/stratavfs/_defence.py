"""What a connection does for no file, whoever made it."""

from __future__ import annotations

import sqlite3
from typing import Final

from stratavfs.records import CHUNK_LIMIT

_VALUE_LIMIT: Final = CHUNK_LIMIT + (1 << 20)
"""Bytes in the largest row: a chunk, and room for what stands beside it."""

# What a stranger's schema could make SQLite do, switched off. Python has had a verb for
# these since 3.12; before that `trusted_schema` and the exact schema have to do.
_SWITCHES: Final = {
    "SQLITE_DBCONFIG_DEFENSIVE": True,
    "SQLITE_DBCONFIG_ENABLE_TRIGGER": False,
    "SQLITE_DBCONFIG_ENABLE_VIEW": False,
    "SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION": False,
    "SQLITE_DBCONFIG_TRUSTED_SCHEMA": False,
}


def defend(cx: sqlite3.Connection) -> None:
    """Let nothing in the file run, and no value be larger than the format's largest."""
    cx.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _VALUE_LIMIT)
    cx.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 1)  # VACUUM attaches its copy
    configure = getattr(cx, "setconfig", None)
    if configure is not None:
        for switch, on in _SWITCHES.items():
            configure(getattr(sqlite3, switch), on)
