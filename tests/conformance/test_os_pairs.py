"""Each call with two paths, in each pair of states, does what os or shutil does.

``is_allowed`` holds every reason for which the outcome may be another one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.conformance.lab import STATES, Lab, Operation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stratavfs import VirtualFileSystem

pytestmark = [
    pytest.mark.slow,  # nine seconds in all
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="renameat2 is the oracle of rename"
    ),
]

# Too long a name is test_refused_names' business; the others have a twin in the table.
LEFT_OUT = (
    "name too long",
    "path too long",
    "grandparent is a file",
    "link into nowhere",
    "link to a full directory",
)
PAIRS = {state: path for state, path in STATES.items() if state not in LEFT_OUT}
DIRECTORIES = ("empty directory", "full directory")
LINKED = ("link to a directory",)
# Where a source cannot be found, and where a name can be made.
UNFINDABLE = (
    "missing",
    "parent missing",
    "parent is a file",
    "new in a directory",
    "new below an empty directory",
    "new through a link",
    "through a link to a file",
    "dangling link",
    "through a dangling link",
    "loop",
    "through a loop",
)
MAKEABLE = (
    "missing",
    "new in a directory",
    "new below an empty directory",
    "new through a link",
)

AT_FDCWD = -100
RENAME_NOREPLACE = 1
AT_SYMLINK_FOLLOW = 0x400


def checked(result: int, src: str, dst: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), src, None, dst)


def rename_on_disk(src: str, dst: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    names = (AT_FDCWD, os.fsencode(src), AT_FDCWD, os.fsencode(dst))
    checked(libc.renameat2(*names, RENAME_NOREPLACE), src, dst)


def link_on_disk(src: str, dst: str) -> None:
    """Follow *src*, which os.link promises and does not do on Linux (gh-81793)."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = (AT_FDCWD, os.fsencode(src), AT_FDCWD, os.fsencode(dst))
    checked(libc.linkat(*names, AT_SYMLINK_FOLLOW), src, dst)


def moved_on_disk(src: str, dst: str) -> Any:
    """Do as Python 3.13 does, and say where it went where both are one.

    Before, a link was not moved into the directory it leads to.
    """
    if os.path.islink(src) and os.path.isdir(dst) and src != dst:
        place = os.path.join(dst, os.path.basename(src))
        if os.path.lexists(place):
            raise shutil.Error(errno.EEXIST, "Destination path already exists")
        os.rename(src, place)
        return place
    return dst if src == dst and os.path.lexists(src) else shutil.move(src, dst) or dst


TWO_PATHS: dict[str, Operation] = {
    "rename": (rename_on_disk, lambda v, s, d: v.rename(s, d)),
    "replace": (os.replace, lambda v, s, d: v.replace(s, d)),
    "link": (link_on_disk, lambda v, s, d: v.link(s, d)),
    "link nofollow": (
        lambda s, d: os.link(s, d, follow_symlinks=False),
        lambda v, s, d: v.link(s, d, follow_symlinks=False),
    ),
    "samefile": (os.path.samefile, lambda v, s, d: v.samefile(s, d)),
    "copy": (shutil.copy, lambda v, s, d: v.copy(s, d)),
    "copy2": (shutil.copy2, lambda v, s, d: v.copy2(s, d)),
    "copy nofollow": (
        lambda s, d: shutil.copy(s, d, follow_symlinks=False),
        lambda v, s, d: v.copy(s, d, follow_symlinks=False),
    ),
    "move": (moved_on_disk, lambda v, s, d: v.move(s, d)),
    "copytree": (shutil.copytree, lambda v, s, d: v.copytree(s, d)),
    "copytree onto": (
        lambda s, d: shutil.copytree(s, d, dirs_exist_ok=True),
        lambda v, s, d: v.copytree(s, d, dirs_exist_ok=True),
    ),
}


SHUTIL = ("copy", "copy2", "copy nofollow", "move", "copytree", "copytree onto")


def is_into_itself(source: str, target: str) -> bool:
    """Tell whether the target lies in the source directory, links resolved."""
    places = {
        "empty directory": "dir",
        "link to a directory": "dir",
        "full directory": "full",
    }
    inside = PAIRS[target].replace("to-", "") + "/"
    return source in places and inside.startswith(places[source] + "/")


Outcome = tuple[Any, ...]


def refused(found: Outcome, *kind: str) -> bool:
    """Tell whether it was refused so, or somehow, and nothing changed."""
    return bool(found[0][0] == "error" and found[1] is True and found[0][1:3] == kind)


def is_allowed(
    name: str, source: str, target: str, found: Outcome, disk: Outcome
) -> bool:
    """Tell whether an outcome that is not the disk's has one of these reasons."""
    both_fail = found[0][0] == disk[0][0] == "error" and found[1] is True
    # Where both paths are wrong, POSIX leaves open which is refused first.
    wrong = {"link": (*DIRECTORIES, *LINKED), "link nofollow": DIRECTORIES}
    both_wrong = source in (*UNFINDABLE, *wrong.get(name, ()))
    both_wrong = both_wrong and target not in MAKEABLE
    if both_fail and both_wrong and (name not in SHUTIL or name == "move"):
        return True
    # shutil takes several steps, and names the file of the one that failed.
    if name in SHUTIL and both_fail and found[0][1:3] == disk[0][1:3]:
        paths = {"/" + PAIRS[source], "/" + PAIRS[target], None}
        return name.startswith("copytree") or set(found[0][3:]) <= paths
    # Copying into itself is refused; shutil does so as deep as the disk allows.
    if name.startswith("copytree") and is_into_itself(source, target):
        return refused(found, "OSError", "EINVAL")
    if name == "move" and source in DIRECTORIES:
        return is_allowed_move(source, target, found, disk)
    return False


def is_allowed_move(source: str, target: str, found: Outcome, disk: Outcome) -> bool:
    """Tell the same of moving a directory: one rename here, else a copy in shutil."""
    if target == "parent missing":  # create_parents=False, and shutil's copy makes them
        return refused(found, "FileNotFoundError", "ENOENT")
    if is_into_itself(source, target) and PAIRS[source] != PAIRS[target]:
        return refused(found, "Error")  # through a link, shutil copies into itself
    own = refused(found, "NotADirectoryError", "ENOTDIR")
    return bool(own and disk[0][1] == "FileExistsError")  # the error of its copy


@pytest.fixture
def lab(tmp_path: Path, make_vfs: Callable[..., VirtualFileSystem]) -> Lab:
    return Lab(tmp_path, make_vfs)


@pytest.mark.parametrize("source", PAIRS)
@pytest.mark.parametrize("name", TWO_PATHS)
def test_call_with_two_paths_in_any_states_does_what_os_does(
    lab: Lab, name: str, source: str
) -> None:
    parents = name.startswith("copytree")  # shutil.copytree makes them too
    wrong: dict[str, object] = {}

    for target, path in PAIRS.items():
        names = PAIRS[source], path
        found, disk = lab.run(TWO_PATHS[name], names, parents=parents)
        if found != disk and not is_allowed(name, source, target, found, disk):
            wrong[target] = found[0], disk[0]

    assert wrong == {}
