"""The kernel's overlayfs under the verbs of ``VirtualFileSystem``.

The kernel is told to rename directories of lower layers (redirect_dir=on), which it
else refuses with EXDEV; to copy a file up whole (metacopy=off); and to break hard links
between files of a lower layer when one is copied up (index=off). ``rename`` is
RENAME_NOREPLACE, done by a look.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.model.layered import WHITEOUT, Layer, flatten, layer
from tests.model.places import (
    Disk,
    follow_host,
    layer_of_host,
    make_host,
    xattrs_of_host,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def mount(kind: str, where: str, options: str) -> None:
    command = ["mount", "-t", kind, "-o", options, kind, where]
    subprocess.run(command, check=True, capture_output=True)


def unmount(where: str) -> None:
    subprocess.run(["umount", where], check=True, capture_output=True)


class Overlay(Disk):
    """The kernel's overlayfs under the verbs of ``VirtualFileSystem``."""

    def __init__(self, lowers: list[Layer]) -> None:
        super().__init__(create_parents=True)
        self.lowers = [f"{self.base}/lower{number}" for number in range(len(lowers))]
        for number, lower in enumerate(self.lowers):
            os.mkdir(lower)
            make_host(without_idle_whiteouts(lowers[number:]), lower, self.root)
        os.mkdir(f"{self.base}/upper", 0o755)
        os.mkdir(f"{self.base}/work")
        self.mounted = False
        try:
            self.mount()
        except BaseException:
            self.close()
            raise

    def mount(self) -> None:
        mount(
            "overlay",
            self.root,
            f"lowerdir={':'.join(self.lowers)},upperdir={self.base}/upper,"
            f"workdir={self.base}/work,"
            "redirect_dir=on,index=off,metacopy=off,xino=off",
        )
        self.mounted = True

    def remount(self) -> None:
        """Forget all that the kernel remembers of the merged tree."""
        self.unmount()
        self.mount()

    def unmount(self) -> None:
        if self.mounted:
            unmount(self.root)
            self.mounted = False

    def close(self) -> None:
        self.unmount()
        super().close()

    def layers(self) -> dict[str, Layer]:
        """Return what the layers hold, the topmost one first."""
        tops = {"upper": f"{self.base}/upper"} | {top: top for top in self.lowers}
        return {name: layer_of_host(top, self.root) for name, top in tops.items()}

    def has_redirects(self) -> bool:
        """Tell whether a directory was renamed: ``flatten`` knows no redirects."""
        return any(
            "trusted.overlay.redirect" in xattrs_of_host(os.path.join(above, name))
            for above, names, _ in os.walk(f"{self.base}/upper")
            for name in names
        )

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Take back what fails halfway; the root is mounted and stays."""
        before = flatten({"": layer_of_host(self.root, self.root)})
        try:
            yield
        except BaseException:
            for name in os.listdir(self.root):
                path = f"{self.root}/{name}"
                gone = os.path.isdir(path) and not os.path.islink(path)
                (shutil.rmtree if gone else os.remove)(path)
            follow_host({"/": before["/"]}, before, self.root)
            raise


def without_idle_whiteouts(stack: list[Layer]) -> Layer:
    """Return the topmost layer of *stack* without the whiteouts that hide nothing.

    The kernel lists their names, which then lead to nothing, in a directory that is
    merged with no other: it makes no such whiteouts, and does not look for them there.
    """
    top, *below = stack
    lower = {str(number): other for number, other in enumerate(below)}
    kept = top
    for path in [path for path, node in top.items() if node == WHITEOUT]:
        without = {name: node for name, node in kept.items() if name != path}
        if flatten({"top": without} | lower) == flatten({"top": kept} | lower):
            kept = without
    return kept


def refusal(place: str) -> str | None:
    """Return why overlayfs, whiteouts included, does not work in *place*."""
    with in_room(place):
        try:
            Overlay([layer(f=b"1"), layer(f=None)]).close()
        except (OSError, subprocess.CalledProcessError) as error:
            return str(getattr(error, "stderr", None) or error)
    return None


@contextmanager
def in_room(place: str) -> Iterator[None]:
    """Let temporary directories be made in *place*."""
    usual, tempfile.tempdir = tempfile.tempdir, place
    umask = os.umask(0o022)
    try:
        yield
    finally:
        tempfile.tempdir = usual
        os.umask(umask)
