"""Commands that look at what is there: ls, tree, du, stat, info."""

from __future__ import annotations

import time
from stat import S_ISDIR
from typing import TYPE_CHECKING, NamedTuple

import click

from stratavfs.cli import _ls, _output
from stratavfs.cli._commands import PLACE, command, each, reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stratavfs import DirEntry, VirtualFileSystem
    from stratavfs.cli._containers import Desk
    from stratavfs.cli._places import Place


# --- ls -------------------------------------------------------------------------------


class Look(NamedTuple):
    """How ``ls`` shows what it finds."""

    long: bool
    human: bool
    recursive: bool
    single: bool
    as_json: bool
    order: str
    reverse: bool

    def sorted(self, items: list[_ls.Item]) -> list[_ls.Item]:
        """Return *items* in the order that was asked for."""
        keys = {
            "name": lambda item: (0, item.name),
            "time": lambda item: (-item.status.st_mtime_ns, item.name),
            "size": lambda item: (-item.status.st_size, item.name),
        }
        return sorted(items, key=keys[self.order], reverse=self.reverse)

    def show(self, items: list[_ls.Item], *, directory: bool = False) -> None:
        """Print *items*; those of a *directory* with their total."""
        if self.as_json:
            return
        if self.long:
            if directory:
                _output.line(_ls.total(items, human=self.human))
            now = time.time()
            _output.lines(_ls.long_lines(items, human=self.human, now=now))
        elif self.single or not _output.is_terminal():
            _output.lines(map(_ls.word, items))
        else:
            _output.lines(_ls.columns(items))


@command("ls", "stratavfs ls -lh game.db:/textures")
@click.argument("places", nargs=-1, type=PLACE, metavar="[PLACE]...")
@click.option("-l", "long", is_flag=True, help="Mode, links, owner, size, date, name.")
@click.option("-a", "-A", "_all", is_flag=True, help="Ignored: no name is ever hidden.")
@click.option("-R", "recursive", is_flag=True, help="Directories below as well.")
@click.option("-h", "human", is_flag=True, help="Sizes as 1.5K, with -l.")
@click.option("-1", "single", is_flag=True, help="One name in a line.")
@click.option("-d", "itself", is_flag=True, help="Directories themselves.")
@click.option("-t", "by_time", is_flag=True, help="Newest first.")
@click.option("-S", "by_size", is_flag=True, help="Largest first.")
@click.option("-r", "reverse", is_flag=True, help="The other way round.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def ls_command(
    desk: Desk,
    places: tuple[str, ...],
    long: bool,
    _all: bool,
    recursive: bool,
    human: bool,
    single: bool,
    itself: bool,
    by_time: bool,
    by_size: bool,
    reverse: bool,
    as_json: bool,
) -> None:
    """List directories and files."""
    order = "time" if by_time else "size" if by_size else "name"
    look = Look(long, human, recursive, single, as_json, order, reverse)
    files: list[_ls.Item] = []
    directories: list[Place] = []
    for place, vfs in each(desk, desk.named_or_here(places)):
        with reading(desk, place):
            item = _ls.look(vfs, place.path, desk.spell(place))
            if item.target is not None and not long and vfs.isdir(place.path):
                item = _ls.look(vfs, place.path, item.name, follow=True)
            if S_ISDIR(item.status.st_mode) and not itself:
                directories.append(place)
            else:
                files.append(item)
    listed = files = look.sorted(files)
    if files:
        look.show(files)
    headed = recursive or len(directories) + len(files) > 1 or len(places) > 1
    first = not files
    for place in directories:
        for found in _directories(desk, place, look, headed=headed, first=first):
            listed += found
        first = False
    if as_json:
        _output.document([_ls.record(item) for item in listed])


def _directories(
    desk: Desk, place: Place, look: Look, *, headed: bool, first: bool
) -> Iterator[list[_ls.Item]]:
    """Print the directory at *place*, and those below it if it is asked for."""
    vfs = desk.open(place)
    items: list[_ls.Item] = []
    with reading(desk, place):
        items = look.sorted(_entries(vfs, place.path))
    if headed and not look.as_json:
        _output.line(
            f"{'' if first else chr(10)}{_output.shown_as_word(desk.spell(place))}:"
        )
    look.show(items, directory=True)
    yield items
    if look.recursive:
        for item in items:
            if S_ISDIR(item.status.st_mode):
                below = place.below(item.name)
                yield from _directories(desk, below, look, headed=True, first=False)


def _entries(vfs: VirtualFileSystem, path: str) -> list[_ls.Item]:
    with vfs.scandir(path) as found:
        return [
            _ls.Item(
                entry.name,
                entry.path,
                entry.stat(follow_symlinks=False),
                vfs.readlink(entry.path) if entry.is_symlink() else None,
            )
            for entry in found
        ]


# --- tree -----------------------------------------------------------------------------


@command("tree", "stratavfs tree -L 2 game.db:/")
@click.argument("places", nargs=-1, type=PLACE, metavar="[PLACE]...")
@click.option("-L", "depth", type=click.IntRange(1), metavar="N", help="N levels deep.")
def tree_command(desk: Desk, places: tuple[str, ...], depth: int | None) -> None:
    """Draw what lies below directories."""
    for place, vfs in each(desk, desk.named_or_here(places)):
        with reading(desk, place):
            _output.line(vfs.tree(place.path, max_depth=depth))  # safe, as it says


# --- du -------------------------------------------------------------------------------


@command("du", "stratavfs du -h game.db:/textures")
@click.argument("places", nargs=-1, type=PLACE, metavar="[PLACE]...")
@click.option("-h", "human", is_flag=True, help="Sizes as 1.5K.")
@click.option("-b", "exact", is_flag=True, help="Bytes, not KiB.")
@click.option("-s", "summary", is_flag=True, help="Only the sum of each PLACE.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def du_command(
    desk: Desk,
    places: tuple[str, ...],
    human: bool,
    exact: bool,
    summary: bool,
    as_json: bool,
) -> None:
    """Sum up the sizes of files, below each directory.

    A file with several names counts once.
    """
    records: list[dict[str, object]] = []
    for place, vfs in each(desk, desk.named_or_here(places)):
        with reading(desk, place):
            sums = _sums(vfs, place.path)
            for path, size in sums if not summary else [*sums][-1:]:
                if as_json:
                    records.append({"path": path, "bytes": size})
                    continue
                shown = _output.human(size) if human else str(size)
                if not human and not exact:
                    shown = str(-(-size // 1024))
                name = place if path == place.path else place.at(path)
                _output.line(f"{shown}\t{_output.shown(desk.spell(name))}")
    if as_json:
        _output.document(records)


def _sums(vfs: VirtualFileSystem, top: str) -> Iterator[tuple[str, int]]:
    """Yield (path, bytes) of each directory from *top* on, after those in it."""
    status = vfs.lstat(top)
    if not S_ISDIR(status.st_mode):
        yield top, status.st_size
        return
    seen: set[tuple[int, int]] = set()
    open_: list[_Sum] = [_Sum(top, vfs.scandir(top))]
    while open_:
        here = open_[-1]
        for entry in here.entries:
            status = entry.stat(follow_symlinks=False)
            if S_ISDIR(status.st_mode):
                open_.append(_Sum(entry.path, vfs.scandir(entry.path)))
                break
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            here.bytes += status.st_size
        else:
            open_.pop()
            yield here.path, here.bytes
            if open_:
                open_[-1].bytes += here.bytes


class _Sum:
    """A directory that is being summed up."""

    def __init__(self, path: str, entries: Iterator[DirEntry]) -> None:
        self.path, self.entries, self.bytes = path, entries, 0


# --- stat -----------------------------------------------------------------------------


@command("stat", "stratavfs stat game.db:/motd.txt")
@click.argument("places", nargs=-1, required=True, type=PLACE, metavar="PLACE...")
@click.option("-L", "follow", is_flag=True, help="Of what a symbolic link leads to.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def stat_command(
    desk: Desk, places: tuple[str, ...], follow: bool, as_json: bool
) -> None:
    """Print what is known of files and directories."""
    records: list[dict[str, object]] = []
    for place, vfs in each(desk, places):
        with reading(desk, place):
            item = _ls.look(vfs, place.path, desk.spell(place), follow=follow)
            if as_json:
                records.append(_ls.full_record(item) | _attributes(vfs, place.path))
            else:
                _output.lines(_ls.stat_lines(item))
    if as_json:
        _output.document(records)


def _attributes(vfs: VirtualFileSystem, path: str) -> dict[str, object]:
    if vfs.islink(path):
        return {"metadata": {}, "xattrs": []}
    names = vfs.listxattr(path, follow_symlinks=False)
    return {"metadata": vfs.get_metadata(path), "xattrs": names}


# --- info -----------------------------------------------------------------------------


@command("info", "stratavfs info game.db")
@click.argument("places", nargs=-1, type=PLACE, metavar="[DB]...")
@click.option("-h", "human", is_flag=True, help="Sizes as 1.5K.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def about_command(
    desk: Desk, places: tuple[str, ...], human: bool, as_json: bool
) -> None:
    """Print what is in containers and how much room it takes."""
    records: list[dict[str, object]] = []
    for place, vfs in each(desk, desk.named_or_here(places)):
        with reading(desk, place):
            record = {
                "container": place.container,
                "chunk_size": vfs.chunk_size,
                **vfs.stats()._asdict(),
                "layers": [_ls.layer_record(layer) for layer in vfs.list_layers()],
            }
            if not as_json:
                _output.lines([""] if records else [])
                _output.lines(_ls.about_lines(record, human=human))
            records.append(record)
    if as_json:
        _output.document(records)
