"""What explain, conflicts and diff refuse alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stratavfs import VirtualFileSystem


@pytest.mark.parametrize("verb", ["explain", "conflicts", "diff"])
def test_look_into_a_closed_file_system_raises(make_vfs: Any, verb: str) -> None:
    vfs = make_vfs()
    vfs.close()

    with pytest.raises(ValueError, match="closed"):
        getattr(vfs, verb)("/")


@pytest.mark.parametrize("verb", ["explain", "conflicts", "diff"])
def test_look_at_what_is_no_path_raises(mem: VirtualFileSystem, verb: str) -> None:
    look = getattr(mem, verb)

    with pytest.raises(ValueError):
        look("a\0b")
    with pytest.raises(TypeError):
        look(b"/a")
