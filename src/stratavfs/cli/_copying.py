"""Commands that copy and move: cp, mv, put, get.

What changes a container is one batch; where a move leaves one container for another,
or for the host, the copy is kept first.
"""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING

import click

from stratavfs.cli import _copier, _output
from stratavfs.cli._commands import ANY_PLACE, HOST_PATH, PLACE, command
from stratavfs.cli._containers import Desk, named
from stratavfs.cli._output import Failure
from stratavfs.cli._places import Place
from stratavfs.cli._progress import bar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def _flags(*, archive: bool = True) -> Decorator:
    """Return the options that copying commands have."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        options = [
            click.option(
                "-r", "-R", "recursive", is_flag=True, help="Directories too."
            ),
            click.option("-p", "preserve", is_flag=True, help="Keep times, xattrs."),
            click.option("-f", "force", is_flag=True, help="Whatever is there."),
            click.option("-n", "keep", is_flag=True, help="Not over what is there."),
            click.option("-v", "verbose", is_flag=True, help="Say what is copied."),
        ]
        if archive:
            text = "As -rp, and hard links stay links."
            options.insert(0, click.option("-a", "whole", is_flag=True, help=text))
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@command("cp", "stratavfs cp -r assets game.db:/assets")
@click.argument("texts", nargs=-1, type=ANY_PLACE, metavar="FROM... TO")
@_flags()
def cp_command(
    desk: Desk,
    texts: tuple[str, ...],
    recursive: bool,
    preserve: bool,
    force: bool,
    keep: bool,
    verbose: bool,
    whole: bool,
) -> None:
    """Copy files within, between, into and out of containers.

    DB:/path is in a container, all else is a file of the host.
    """
    *sources, target = _operands([desk.operand(text) for text in texts])
    wishes = _copier.Wishes(recursive or whole, preserve or whole, keep, force, whole)
    _copy(desk, sources, target, wishes, verbose=verbose)


@command("put", "stratavfs put -r *.png icons game.db:/textures")
@click.argument("hosts", nargs=-1, type=HOST_PATH, metavar="HOST...")
@click.argument("place", type=PLACE)
@_flags(archive=False)
def put_command(
    desk: Desk,
    hosts: tuple[str, ...],
    place: str,
    recursive: bool,
    preserve: bool,
    force: bool,
    keep: bool,
    verbose: bool,
) -> None:
    """Copy files of the host into a container."""
    target = desk.place(place)
    sources = [Place(None, host) for host in hosts]
    _operands([*sources, target])
    wishes = _copier.Wishes(recursive, preserve, keep, force)
    _copy(desk, sources, target, wishes, verbose=verbose)


@command("get", "stratavfs get 'game.db:/textures/*.png' .")
@click.argument("texts", nargs=-1, type=PLACE, metavar="PLACE...")
@click.argument("host", type=HOST_PATH, metavar="[HOST]")
@_flags(archive=False)
def get_command(
    desk: Desk,
    texts: tuple[str, ...],
    host: str,
    recursive: bool,
    preserve: bool,
    force: bool,
    keep: bool,
    verbose: bool,
) -> None:
    """Copy files out of containers to the host.

    With one operand alone, to the current directory.
    """
    if not texts:
        texts, host = (host,), "."
    sources = [desk.place(text) for text in texts]
    target = Place(None, host)
    _operands([*sources, target])
    wishes = _copier.Wishes(recursive, preserve, keep, force)
    _copy(desk, sources, target, wishes, verbose=verbose)


def _operands(places: list[Place]) -> list[Place]:
    if len(places) in (0, 1):
        message = "name what is copied, and where to"
        raise click.UsageError(message)
    if all(place.is_host for place in places):
        message = "none of these is in a container: write one as DB:/path"
        raise click.UsageError(message)
    return places


def _copy(
    desk: Desk,
    sources: Sequence[Place],
    target: Place,
    wishes: _copier.Wishes,
    *,
    verbose: bool,
) -> None:
    done: list[tuple[Place, Place]] = []
    several = wishes.recursive or len(sources) > 1
    with (
        desk.changing([target], several=several),
        bar("copying", after=0.3) as listener,
    ):
        copier = _copier.Copier(desk, wishes, listener)
        for source, to in _copier.targets(desk, desk.expand(sources), target):
            if copier.copy(source, to):
                done.append((source, to))
    if verbose:
        _say(desk, "", done)


def _say(desk: Desk, verb: str, done: list[tuple[Place, Place]]) -> None:
    for source, target in done:
        names = [_output.in_quotes(desk.spell(place)) for place in (source, target)]
        _output.line(f"{verb}{names[0]} -> {names[1]}")


# --- mv -------------------------------------------------------------------------------


@command("mv", "stratavfs mv game.db:/draft.txt game.db:/docs")
@click.argument("texts", nargs=-1, type=ANY_PLACE, metavar="FROM... TO")
@click.option(
    "-f", "force", is_flag=True, help="Over what is there, as it does anyway."
)
@click.option("-n", "keep", is_flag=True, help="Not over what is there.")
@click.option("-v", "verbose", is_flag=True, help="Say what is moved.")
def mv_command(
    desk: Desk, texts: tuple[str, ...], force: bool, keep: bool, verbose: bool
) -> None:
    """Move or rename files within, between, into and out of containers.

    DB:/path is in a container, all else is a file of the host.
    """
    places = _operands([desk.operand(text) for text in texts])
    target = places.pop()
    wishes = _copier.Wishes(True, True, keep and not force, force, True)
    done: list[tuple[Place, Place]] = []
    # The last one is kept first: the copy, before what it was made of is gone.
    several = len(places) > 1
    changed = [*places, target]
    with desk.changing(changed, several=several), bar("moving", after=0.3) as listener:
        copier = _copier.Copier(desk, wishes, listener)
        for source, to in _copier.targets(desk, desk.expand(places), target):
            if _move(desk, copier, source, to, keep=wishes.keep):
                done.append((source, to))
    for source, _ in done:
        if source.is_host:
            _copier.remove_source(desk, source)
    if verbose:
        _say(desk, "renamed ", done)


def _move(
    desk: Desk, copier: _copier.Copier, source: Place, target: Place, *, keep: bool
) -> bool:
    """Move *source*, one of the host only as far as copying it goes."""
    if keep and _copier.status_of(desk, target) is not None:
        return False
    if not source.name:
        raise Failure(desk.spell(source), "this stays where it is")
    inside = not source.is_host and not target.is_host
    if inside and desk.open(source) is desk.open(target):
        _rename(desk, source, target)
        return True
    _copier.refuse_filled(desk, target)
    copier.copy(source, target)
    if not source.is_host:
        _copier.remove_source(desk, source)
    return True


def _rename(desk: Desk, source: Place, target: Place) -> None:
    """Move within one container; of two names of one file the first goes."""
    vfs = desk.open(source)
    with named(source):
        here = vfs.lstat(source.path)
        there = _copier.status_of(desk, target)
        _copier.refuse_into_itself(desk, source, target)
        if there is None or not os.path.samestat(here, there):  # type: ignore[arg-type]
            vfs.replace(source.path, target.path)
            return
        parents = [posixpath.dirname(place.path) for place in (source, target)]
        if source.name == target.name and vfs.samefile(*parents):
            message = f"this and {desk.spell(target)} are the same file"
            raise Failure(desk.spell(source), message)
        vfs.remove(source.path)
