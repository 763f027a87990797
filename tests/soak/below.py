"""What lies below the shared container: layers that never change, and one that does.

The owner of the base rewrites all its editions in one batch, again and again. A reader
through the stack sees each file whole and never an edition older than one it has seen.
"""

from __future__ import annotations

import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tests.soak.works import WORKS, Work, is_page, page

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

EDITIONS: Final = 4
PATCHED: Final = 4
BASE: Final = b"base " * 40
STILL: Final = ("still/a", "still/sub/b", "still/sub/deep/c")
"""What nobody touches: every search finds it, whatever moves beside it."""

Vfs = VirtualFileSystem


class Editions(Work):
    """The owner's work: all files of an edition, at once."""

    @staticmethod
    def lay_out(vfs: Vfs) -> None:
        for number in range(EDITIONS):
            vfs.write_bytes(f"/editions/{number}", page(0, 100))
        for number in range(PATCHED):
            vfs.write_bytes(f"/patched/{number}", BASE)
        for name in STILL:
            vfs.write_text(f"/base/{name}", name)

    def step(self, vfs: Vfs) -> None:
        with vfs.atomic_batch():
            edition = edition_of(vfs.read_bytes("/editions/0")) + 1
            size = self.chance.choice([0, 60, 64, 1000, 20_000])
            for number in range(EDITIONS):
                vfs.write_bytes(f"/editions/{number}", page(edition, size))

    def look(self, vfs: Vfs) -> list[str]:
        with vfs.atomic_batch():
            found = {
                edition_of(vfs.read_bytes(path)) for path in vfs.glob("/editions/*")
            }
        return [] if len(found) == 1 else [f"editions: {found} at once"]

    glance = look


def edition_of(content: bytes) -> int:
    return int(content.split(b" ", 2)[1])


class Reading(Work):
    """Read through the stack what its owner changes."""

    def __init__(self, who: str, chance: Random) -> None:
        super().__init__(who, chance)
        self._seen = dict.fromkeys(range(EDITIONS), 0)

    def step(self, vfs: Vfs) -> None:
        """Change nothing below: bring a file up, and drop it again."""
        path = f"/patched/{self.chance.randrange(PATCHED)}"
        if self.chance.random() < 0.3:
            vfs.revert(path)
        else:
            with vfs.open(path, "ab", 0) as file:
                file.write(b"<%s>" % self.who.encode())

    def look(self, vfs: Vfs) -> list[str]:
        return self.glance(vfs)

    def glance(self, vfs: Vfs) -> list[str]:
        names = vfs.listdir("/editions")
        found = [] if len(names) == EDITIONS else [f"editions: only {names}"]
        number = self.chance.randrange(EDITIONS)
        content = vfs.read_bytes(f"/editions/{number}")
        if not is_page(content):
            return [*found, f"editions: {number} is torn: {content[:40]!r}"]
        edition, before = edition_of(content), self._seen[number]
        self._seen[number] = edition
        if edition < before:
            found.append(f"editions: {edition} of {number} after {before}")
        return found + self._patched(vfs)

    def _patched(self, vfs: Vfs) -> list[str]:
        path = f"/patched/{self.chance.randrange(PATCHED)}"
        content = vfs.read_bytes(path)
        added = content[len(BASE) :]
        whole = not added or (added[:1] + added[-1:] == b"<>" and b"<<" not in added)
        if content.startswith(BASE) and whole:
            return []
        return [f"patched: {path} has {content[-60:]!r}"]


class Searching(Work):
    """Search everywhere while everything moves: what stays is found each time."""

    @staticmethod
    def lay_out(vfs: Vfs) -> None:
        for name in STILL:
            vfs.write_text(f"/{name}", name)

    def step(self, vfs: Vfs) -> None:
        """Come and go beside what is searched for."""
        beside = f"/still/sub/{self.who}"
        if vfs.exists(beside):
            vfs.rmtree(beside)
        else:
            vfs.write_text(f"{beside}/x/y", "passing")

    def look(self, vfs: Vfs) -> list[str]:
        return self.glance(vfs)

    def glance(self, vfs: Vfs) -> list[str]:
        how = self.chance.randrange(4)
        if how == 0:
            steps = vfs.walk("/", onerror=pass_over_missing)
            found = [f"{top}/{name}" for top, _, names in steps for name in names]
        elif how == 1:
            found = [*vfs.iglob("**/*")]
        elif how == 2:
            found = vfs.glob("/still/**/*")
        else:
            found = [*tree(vfs, "/still")]
        missed = {f"/{name}" for name in STILL} - {
            path.replace("//", "/") for path in found
        }
        twice = [name for name in STILL if found.count(f"/{name}") > 1]
        return (
            [f"search {how}: missed {missed}, twice {twice}"] if missed or twice else []
        )


def pass_over_missing(error: OSError) -> None:
    """Pass over what has just gone, and nothing else: that would be missed."""
    if not isinstance(error, FileNotFoundError):
        raise error


ALL_WORKS: Final[tuple[type[Work], ...]] = (*WORKS, Searching)
"""Those on the shared container that all threads do together."""


def tree(vfs: Vfs, top: str) -> list[str]:
    """Return the files below *top* by one listing after the other."""
    found: list[str] = []
    with suppress(FileNotFoundError):  # one that comes and goes
        for entry in vfs.scandir(top):
            found += tree(vfs, entry.path) if entry.is_dir() else [entry.path]
    return found


class Below:
    """The layers below, in a directory of the host."""

    def __init__(self, directory: Path) -> None:
        self.base = directory / "base.db"
        self.host = directory / "host"
        self.archive = directory / "layer.zip"

    def lay_out(self) -> None:
        with Vfs(self.base) as base:
            Editions.lay_out(base)
        for name in STILL:
            path = self.host / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        with zipfile.ZipFile(self.archive, "w") as archive:
            for name in STILL:
                archive.writestr(name, name)

    def put_under(self, vfs: Vfs) -> None:
        vfs.add_underlay(self.base, 1, "base")
        vfs.add_underlay(self.host, name="host", at="/host")
        vfs.add_underlay(self.archive, name="archive", at="/archive")
