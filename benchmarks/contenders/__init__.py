"""Everybody whom stratavfs is compared with, each by its own quickest documented way.

One module for each library, which imports it when one is made: a library that is not
installed is left out. ``protocol.py`` says what each must be able to do.
"""

from __future__ import annotations

import itertools
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from benchmarks.contenders import (
    agentfs,
    dmemfs,
    fsspecs,
    handwritten,
    host,
    memfs,
    pyfakes,
    pyfilesystem,
    stella,
    strata,
    zips,
)

if TYPE_CHECKING:
    from benchmarks.contenders.protocol import Kind

OURS: Final = "stratavfs"
"""The name of what all others are divided by, in each family."""

KINDS: Final[tuple[Kind, ...]] = tuple(
    itertools.chain.from_iterable(
        module.KINDS
        for module in (
            strata,
            handwritten,
            host,
            zips,
            stella,
            agentfs,
            dmemfs,
            pyfilesystem,
            fsspecs,
            pyfakes,
            memfs,
        )
    )
)
"""In the order of the columns."""


def version_of(kind: Kind) -> str | None:
    """Return the version of its package; "" if it has none, None if it is missing."""
    if kind.package is None:
        return ""
    try:
        return version(kind.package)
    except PackageNotFoundError:
        return None
