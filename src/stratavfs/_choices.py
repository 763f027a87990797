"""The choices a transfer of a tree offers, checked before anything begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from stratavfs import errors
from stratavfs._arguments import checked_choice

if TYPE_CHECKING:
    from collections.abc import Iterable

CONFLICTS: Final = ("error", "skip", "replace", "newer")
"""What becomes of a file where there is another one already."""

ATTRIBUTES: Final = ("mode", "timestamps", "ownership", "links", "xattr")
"""What can be kept of a file besides its content: the words of ``cp --preserve``."""

PRESERVED: Final = ("mode", "timestamps", "links", "xattr")
"""What is kept unless the caller says otherwise: owners are another machine's."""

FAILURES: Final = ("raise", "skip")


class Choices(NamedTuple):
    """How a tree is transferred."""

    on_conflict: str = "error"
    preserve: frozenset[str] = frozenset(PRESERVED)
    checksum: bool = False
    """Compare the bytes of files whose size is the same, whatever their times say."""
    skip_failures: bool = False
    """Note what cannot be transferred and go on, instead of raising."""


def checked_choices(
    on_conflict: str, preserve: str | Iterable[str], errors_: str, *, checksum: bool
) -> Choices:
    """Return the choices that these arguments make.

    >>> sorted(checked_choices("skip", ["mode"], "raise", checksum=False).preserve)
    ['mode']

    Raises:
        InvalidArgument: one is none of the possible ones; the message lists those.
    """
    return Choices(
        checked_choice("on_conflict", on_conflict, CONFLICTS),
        _attributes(preserve),
        bool(checksum),
        checked_choice("errors", errors_, FAILURES) == "skip",
    )


def _attributes(preserve: str | Iterable[str]) -> frozenset[str]:
    """Return what *preserve* names: ``"all"``, one attribute or several."""
    if isinstance(preserve, str):
        preserve = ATTRIBUTES if preserve == "all" else [preserve]
    try:
        found = frozenset(preserve)
    except TypeError:
        message = f"preserve should be several names, not {type(preserve).__name__}"
        raise errors.InvalidType(message) from None
    for name in sorted(found, key=str):
        checked_choice("preserve", name, ATTRIBUTES)
    return found
