"""SQLite's errors in the words of the standard library: one function, by code.

The numbers are SQLite's primary result codes (sqlite.org/rescode.html), promised
never to change; so this needs no ``sqlite3``.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from stratavfs import errors

READONLY: Final = 8
CORRUPT: Final = 11
NOTADB: Final = 26

# A broken constraint is damage too: the statements of this library break none.
DAMAGE: Final = {CORRUPT, 19, 24}  # 19 CONSTRAINT, 24 FORMAT

# PROTOCOL: many processes at the locks of the write-ahead log at once.
CONTENTION: Final = {5, 6, 15}  # 5 BUSY, 6 LOCKED, 15 PROTOCOL

ERRNO: Final = {
    3: errno.EACCES,  # PERM
    7: errno.ENOMEM,  # NOMEM
    9: errno.EINTR,  # INTERRUPT
    13: errno.ENOSPC,  # FULL
    14: errno.EACCES,  # CANTOPEN
    18: errno.EFBIG,  # TOOBIG
}
"""All others are EIO."""


def translated(error: Exception, location: str, timeout: float) -> Exception:
    """Return what *error*, raised by ``sqlite3``, is to the caller."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return _translated_from_python(error, location)
    primary = code & 0xFF
    if primary == NOTADB:
        return errors.foreign(location, "it is not an SQLite database")
    if primary in DAMAGE:
        return errors.corrupt(location, str(error))
    if primary in CONTENTION:
        return errors.busy(location, timeout)
    if primary == READONLY:
        return errors.read_only(location)
    number = ERRNO.get(primary, errno.EIO)
    return OSError(number, f"{os.strerror(number)} ({error})", location)


def _translated_from_python(error: Exception, location: str) -> Exception:
    """Return what an error is that the module raises by itself, without a code."""
    name = type(error).__name__
    if name == "ProgrammingError" and "closed" in str(error):
        return errors.closed()
    if name in ("UnicodeDecodeError", "OperationalError"):  # text that is no UTF-8
        return errors.corrupt(location, str(error))
    return error
