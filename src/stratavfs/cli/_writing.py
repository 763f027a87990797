"""Commands that change files in containers, each all or nothing."""

from __future__ import annotations

import os
import posixpath
from contextlib import suppress
from errno import EEXIST, EISDIR, ENOTDIR
from stat import S_ISDIR, S_ISLNK
from typing import TYPE_CHECKING, Final

import click

from stratavfs import VirtualFileSystem
from stratavfs.cli import _output, _words
from stratavfs.cli._commands import HOST_PATH, PLACE, command
from stratavfs.cli._containers import Desk, named
from stratavfs.cli._output import Failure
from stratavfs.cli._streams import PIECE, Pipe, Readable, carry, standard_input

if TYPE_CHECKING:
    from stratavfs.cli._places import Place

PLACES: Final = "PLACE..."

_AHEAD: Final = 8 << 20
"""Bytes of a pipe that are read before the container is locked: what comes slowly
should not keep others from writing."""


# --- init, write ----------------------------------------------------------------------


@command("init", "stratavfs init game.db")
@click.argument("containers", nargs=-1, required=True, metavar="DB...")
@click.option(
    "--chunk-size", metavar="N", default="64K", help="Of large files: 64K unless given."
)
def init_command(desk: Desk, containers: tuple[str, ...], chunk_size: str) -> None:
    """Make empty containers."""
    size = _words.size(chunk_size)
    desk.writes, desk.several = True, len(containers) > 1
    made: list[str] = []
    try:
        for text in containers:
            location = text.removesuffix(":/").removesuffix(":")
            _refuse_existing(location)
            with VirtualFileSystem(location, size):
                made.append(location)
    except BaseException:
        desk.undone = True
        for location in made:
            with suppress(FileNotFoundError):
                os.unlink(location)
        raise


def _refuse_existing(location: str) -> None:
    if os.path.lexists(location):
        raise Failure(location, os.strerror(EEXIST))


@command("write", "sort names | stratavfs write game.db:/names.txt -")
@click.argument("place", type=PLACE)
@click.argument("source", type=HOST_PATH, default="-", metavar="[-|FILE]")
@click.option("-a", "append", is_flag=True, help="Append to what is there.")
def write_command(desk: Desk, place: str, source: str, append: bool) -> None:
    """Write standard input, or a FILE of the host, to one file.

    A reader sees the old content until all of the new is there.
    """
    target = desk.place(place)
    desk.writes = True
    desk.open(target)  # refused before anything is read
    if source == "-":
        _write(desk, target, Pipe(standard_input()), append=append)
        return
    desk.refuse_container(source)
    with open(source, "rb", buffering=0) as stream:
        _write(desk, target, stream, append=append)


def _write(desk: Desk, target: Place, stream: Readable, *, append: bool) -> None:
    ahead, size = [], 0
    while size < _AHEAD and (piece := stream.read(PIECE)):
        ahead.append(piece)
        size += len(piece)
    with desk.changing([target], several=False):
        vfs = desk.open(target)
        with named(target):
            if target.asks_directory:
                raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), target.path)
            with vfs.open(target.path, "ab" if append else "wb") as file:
                file.writelines(ahead)
                carry(stream, file)


# --- mkdir, touch, rm -----------------------------------------------------------------


@command("mkdir", "stratavfs mkdir -p game.db:/saves/slot1")
@click.argument("texts", nargs=-1, required=True, type=PLACE, metavar=PLACES)
@click.option("-p", "parents", is_flag=True, help="Missing parents too; it may exist.")
@click.option("-m", "mode", metavar="MODE", default="755", help="As chmod takes it.")
def mkdir_command(desk: Desk, texts: tuple[str, ...], parents: bool, mode: str) -> None:
    """Make directories."""
    bits = _words.mode(mode, 0o777, directory=True)
    places = [desk.place(text) for text in texts]
    with desk.changing(places, several=len(places) > 1):
        for place in places:
            vfs = desk.open(place)
            with named(place):
                if not (parents and vfs.isdir(place.path)):
                    vfs.mkdir(place.path, parents=parents, mode=bits)


@command("touch", "stratavfs touch game.db:/saves/lock")
@click.argument("texts", nargs=-1, required=True, type=PLACE, metavar=PLACES)
@click.option("-c", "no_create", is_flag=True, help="Make no file.")
def touch_command(desk: Desk, texts: tuple[str, ...], no_create: bool) -> None:
    """Set the times of files to now; make those that are missing."""
    places = [desk.place(text) for text in texts]
    with desk.changing(places, several=len(places) > 1):
        for place in desk.expand(places):
            vfs = desk.open(place)
            with named(place):
                if not no_create or vfs.exists(place.path):
                    vfs.touch(place.path)


@command("rm", "stratavfs rm -r game.db:/cache 'game.db:/logs/*.old'")
@click.argument("texts", nargs=-1, type=PLACE, metavar=PLACES)
@click.option("-r", "-R", "recursive", is_flag=True, help="Directories with all in it.")
@click.option("-f", "force", is_flag=True, help="Nothing is said of what is missing.")
@click.option("-v", "verbose", is_flag=True, help="Say what is removed.")
def rm_command(
    desk: Desk, texts: tuple[str, ...], recursive: bool, force: bool, verbose: bool
) -> None:
    """Remove files."""
    if not texts and not force:
        message = "missing argument 'PLACE...'"
        raise click.UsageError(message)
    places = [desk.place(text) for text in texts]
    removed: list[str] = []
    with desk.changing(places, several=len(places) > 1):
        for place in desk.expand(places):
            try:
                with named(place):
                    _remove(desk.open(place), place.path, recursive=recursive)
            except (FileNotFoundError, NotADirectoryError):
                if not force:
                    raise
            else:
                removed.append(desk.spell(place))
    if verbose:
        _output.lines(f"removed {_output.in_quotes(name)}" for name in removed)


def _remove(vfs: VirtualFileSystem, path: str, *, recursive: bool) -> None:
    if S_ISDIR(vfs.lstat(path).st_mode):
        if not recursive:
            message = f"{os.strerror(EISDIR)}; remove it with -r"
            raise IsADirectoryError(EISDIR, message, path)
        vfs.rmtree(path)
    else:
        vfs.remove(path)


# --- ln, chmod ------------------------------------------------------------------------


@command("ln", "stratavfs ln -s ../lib/core.py game.db:/bin/core")
@click.argument("target", type=PLACE)
@click.argument("link", type=PLACE)
@click.option("-s", "symbolic", is_flag=True, help="A link that names TARGET.")
@click.option("-f", "force", is_flag=True, help="Replace what is at LINK.")
def ln_command(desk: Desk, target: str, link: str, symbolic: bool, force: bool) -> None:
    """Make LINK one more name of the file TARGET, or with -s a symbolic link to it.

    With -s TARGET is a path as it stands; a relative one starts at LINK's directory.
    """
    place = desk.place(link)
    source = None if symbolic else desk.place(target)
    with desk.changing([place], several=False):
        vfs = desk.open(place)
        if source is not None and desk.open(source) is not vfs:
            raise Failure(source, "a link has to be in the container of its target")
        text = _as_target(desk, target, place) if symbolic else target
        name = posixpath.basename(text.rstrip("/")) if source is None else source.name
        with named(place):
            if vfs.isdir(place.path) and name:
                place = place.below(name)
            if force and vfs.lexists(place.path) and not _is_same(vfs, source, place):
                _remove(vfs, place.path, recursive=False)
            if source is None:
                vfs.symlink(text, place.path)
            else:
                vfs.link(source.path, place.path, follow_symlinks=False)


def _as_target(desk: Desk, text: str, link: Place) -> str:
    """Return what a symbolic link to *text* holds: no link leads out of a container."""
    prefixes = [f"{link.container}:", ":"] if link.container == desk.default else []
    for prefix in prefixes or [f"{link.container}:"]:
        if text.startswith(f"{prefix}/"):
            return text.removeprefix(prefix)
    return text


def _is_same(vfs: VirtualFileSystem, source: Place | None, place: Place) -> bool:
    """Tell whether both are one name: it is not removed to be made again."""
    return source is not None and (
        vfs.exists(place.path) and vfs.samefile(source.path, place.path)
    )


@command(
    "chmod",
    "stratavfs chmod -R u+x game.db:/bin",
    context_settings={"ignore_unknown_options": True},  # -x is a mode
)
@click.argument("mode")
@click.argument("texts", nargs=-1, required=True, type=PLACE, metavar=PLACES)
@click.option("-R", "recursive", is_flag=True, help="With all that is below.")
def chmod_command(
    desk: Desk, mode: str, texts: tuple[str, ...], recursive: bool
) -> None:
    """Set permissions, which are kept and not enforced: 644, u+x, go-w, a=rX."""
    _words.mode(mode)
    places = [desk.place(text) for text in texts]
    with desk.changing(places, several=recursive or len(places) > 1):
        for place in desk.expand(places):
            vfs = desk.open(place)
            with named(place):
                _change_mode(vfs, place.path, mode)
                if recursive and vfs.isdir(place.path):
                    for top, directories, files in vfs.walk(place.path):
                        for name in (*directories, *files):
                            path = posixpath.join(top, name)
                            if not vfs.islink(path):
                                _change_mode(vfs, path, mode)


def _change_mode(vfs: VirtualFileSystem, path: str, text: str) -> None:
    old = vfs.stat(path).st_mode
    directory = S_ISDIR(old)
    assert not S_ISLNK(old)  # noqa: S101 - it was followed
    vfs.chmod(path, _words.mode(text, old & 0o7777, directory=directory))
