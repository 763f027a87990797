"""A container that is being made, in a file that nobody else knows yet.

It needs neither locks nor a log: who is killed leaves a file that never gets its name.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from stratavfs import _format, _sql
from stratavfs._files import uri_of
from stratavfs._options import Options
from stratavfs._store import Store

if TYPE_CHECKING:
    from typing import Final

_ROOT: Final = (_sql.ADD_ROOT_INODE, _sql.ADD_ENTRY)


class FreshStore(Store):
    """The connection to a container in which there is nothing yet, not even a root."""

    def __init__(
        self, file: str, chunk_size: int, page_size: int, inline_limit: int
    ) -> None:
        self._page_size = page_size
        self._inline = inline_limit
        options = Options(
            chunk_size=chunk_size,
            read_only=False,
            immutable=False,
            timeout=5.0,
            synchronous="off",
            clock=time.time_ns,
        )
        super().__init__(file, options)

    def _open(self) -> Any:  # a connection, which only the store knows
        self._cx = self._connecting.connect(uri_of(self.file, "mode=rwc"))
        try:
            self._run(_sql.PAGE_SIZES[self._page_size])
            self._run(_sql.JOURNAL_IN_MEMORY)
            self._run(_sql.SYNCHRONOUS["off"])
            self._run(_sql.BEGIN_EXCLUSIVE)
            for text, args in _format.new(self.options.chunk_size, 0):
                if text not in _ROOT:
                    self._run(text, args)
            self._run(_sql.SET_INLINE_LIMIT, (self._inline,))
            self._run(_sql.COMMIT)
        except BaseException:
            self._cx.close()
            raise
        return self._cx
