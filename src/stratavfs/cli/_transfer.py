"""Commands that move whole trees: import, export, archive."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from stat import filemode
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, cast

import click

from stratavfs import errors
from stratavfs._streams import Counted
from stratavfs.archives import _formats
from stratavfs.cli import _ls, _output
from stratavfs.cli._commands import HOST_PATH, PLACE, command
from stratavfs.cli._containers import Desk, named
from stratavfs.cli._output import Failure
from stratavfs.cli._progress import bar
from stratavfs.cli._streams import Pipe, standard_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from stratavfs.archives import ArchiveMember
    from stratavfs.cli._places import Place
    from stratavfs.records import TransferReport

    Decorator = Callable[[Callable[..., None]], Callable[..., None]]

_CONFLICTS: Final = ("error", "skip", "replace", "newer")


def _choices(*, trees: bool) -> Decorator:
    """Return the options that importing and exporting have."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        options = [
            click.option(
                "--include", multiple=True, metavar="GLOB", help="Only these."
            ),
            click.option("--exclude", multiple=True, metavar="GLOB", help="Not these."),
            click.option(
                "--on-conflict",
                type=click.Choice(_CONFLICTS),
                metavar="WHAT",
                help="Where something is: error, skip, replace or newer.",
            ),
            click.option("--checksum", is_flag=True, help="Compare bytes, not times."),
            click.option(
                "--preserve",
                metavar="WHAT,...",
                help="mode, timestamps, ownership, links, xattr; or all.",
            ),
        ]
        if trees:
            options += [
                click.option("-L", "follow", is_flag=True, help="Follow links."),
                click.option(
                    "--skip-errors", is_flag=True, help="Go on without what fails."
                ),
            ]
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _given(
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    on_conflict: str | None,
    checksum: bool,
    preserve: str | None,
) -> dict[str, Any]:
    """Return what the library's transfers take, of the options that were given."""
    found: dict[str, Any] = {
        "include": include or None,
        "exclude": exclude or None,
        "on_conflict": on_conflict or "error",
        "checksum": checksum,
    }
    if preserve is not None:
        words = [word for word in preserve.split(",") if word]
        found["preserve"] = "all" if words == ["all"] else words
    return found


def _report(
    desk: Desk, report: TransferReport, *, verbose: bool, as_json: bool
) -> None:
    """Say what was transferred, and what was not."""
    for path, error in report.failures:
        message = _output.words_of(error)
        _output.complain(message if path in message else f"{path}: {message}")
        desk.status = _output.FAILED
    if as_json:
        failures = [
            {"path": path, "error": _output.words_of(error)}
            for path, error in report.failures
        ]
        _output.document(report._asdict() | {"failures": failures})
    elif verbose:
        size = _output.human(report.bytes)
        counted = (
            (report.files, "file", "files"),
            (report.directories, "directory", "directories"),
            (report.symlinks, "symlink", "symlinks"),
            (report.unchanged, "unchanged", "unchanged"),
            (report.skipped, "skipped", "skipped"),
            (len(report.failures), "failed", "failed"),
        )
        parts = [
            f"{count} {one if count == 1 else several}"
            for count, one, several in counted
            if count
        ]
        _output.line(f"{', '.join(parts) or 'nothing'}; {size} bytes")


# --- import, export -------------------------------------------------------------------


@command("import", "stratavfs import --exclude .git assets game.db:/assets")
@click.argument("host", type=HOST_PATH)
@click.argument("place", type=PLACE)
@_choices(trees=True)
@click.option("--no-atomic", is_flag=True, help="Keep what is done before an error.")
@click.option("-c", "--create", is_flag=True, help="Make a missing container.")
@click.option("-v", "verbose", is_flag=True, help="Say what was done.")
@click.option("--json", "as_json", is_flag=True, help="Say it as a JSON document.")
def import_command(
    desk: Desk,
    host: str,
    place: str,
    follow: bool,
    skip_errors: bool,
    no_atomic: bool,
    create: bool,
    verbose: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Bring what is in the directory HOST into a container, all or nothing.

    What is there already and has the same size and time is passed over.
    """
    target = desk.place(place)
    if os.path.isfile(host):
        remedy = "put brings in a file, archive -x one that is an archive"
        raise Failure(host, f"this is no directory; {remedy}")
    with ExitStack() as stack:
        if no_atomic:
            desk.open(target, writing=True, create=create)
        else:
            stack.enter_context(desk.changing([target], create=create))
        listener = stack.enter_context(bar("importing"))
        with named(target, host):
            report = desk.open(target, writing=True).import_tree(
                host,
                target.path,
                follow_symlinks=follow,
                errors="skip" if skip_errors else "raise",
                atomic=not no_atomic,
                progress=listener,
                **_given(**chosen),
            )
    _report(desk, report, verbose=verbose, as_json=as_json)


@command("export", "stratavfs export game.db:/assets out --on-conflict newer")
@click.argument("place", type=PLACE)
@click.argument("host", type=HOST_PATH)
@_choices(trees=True)
@click.option("-v", "verbose", is_flag=True, help="Say what was done.")
@click.option("--json", "as_json", is_flag=True, help="Say it as a JSON document.")
def export_command(
    desk: Desk,
    place: str,
    host: str,
    follow: bool,
    skip_errors: bool,
    verbose: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Write what is in a directory of a container to the directory HOST.

    What is there already and has the same size and time is passed over.
    """
    source = desk.place(place)
    vfs = desk.open(source)
    desk.outside = True
    with bar("exporting") as listener, named(source, host):
        report = vfs.export_tree(
            source.path,
            host,
            follow_symlinks=follow,
            errors="skip" if skip_errors else "raise",
            progress=listener,
            **_given(**chosen),
        )
    _report(desk, report, verbose=verbose, as_json=as_json)


# --- archive --------------------------------------------------------------------------


class _Archive(NamedTuple):
    """An archive that is read or written."""

    file: str
    """Path of the host; ``-`` for standard input or output."""
    format: str | None

    @property
    def source(self) -> str | BinaryIO:
        """What the library reads."""
        if self.file != "-":
            return self.file
        stream = standard_input()
        return stream if stream.seekable() else cast("BinaryIO", Pipe(stream))

    @property
    def target(self) -> str | BinaryIO:
        """What the library writes to."""
        if self.file != "-":
            return self.file
        if _output.is_terminal():
            message = "an archive does not go to a terminal; write -f FILE, or | ..."
            raise Failure(message)
        _output.write(b"")  # refused if it is closed
        return sys.stdout.buffer


@command("archive", "stratavfs archive -c -f assets.tar.gz game.db:/assets")
@click.argument("place", type=PLACE, required=False)
@click.option("-c", "making", is_flag=True, help="Make FILE of what is in PLACE.")
@click.option("-x", "extracting", is_flag=True, help="Bring what is in FILE to PLACE.")
@click.option("-t", "listing", is_flag=True, help="List what is in FILE.")
@click.option(
    "-f", "file", required=True, type=HOST_PATH, metavar="FILE", help="- is a pipe."
)
@click.option(
    "--format", "kind", metavar="NAME", help="zip, tar, tar.gz/bz2/xz/zst, sqlar."
)
@_choices(trees=False)
@click.option("-v", "verbose", is_flag=True, help="Say more.")
@click.option(
    "--no-atomic", is_flag=True, help="-x: keep what is done before an error."
)
@click.option("--create", is_flag=True, help="-x: make a missing container.")
def archive_command(
    desk: Desk,
    place: str | None,
    making: bool,
    extracting: bool,
    listing: bool,
    file: str,
    kind: str | None,
    verbose: bool,
    no_atomic: bool,
    create: bool,
    **chosen: Any,
) -> None:
    """Make, extract or list an archive, as tar does."""
    if making + extracting + listing != 1:
        message = "give one of -c, -x and -t"
        raise click.UsageError(message)
    archive = _Archive(file, kind)
    if listing:
        _list(archive, verbose=verbose)
        return
    if place is None:
        (place,) = desk.named_or_here(())
    given = _given(**chosen)
    where = desk.place(place)
    if making:
        for name in ("on_conflict", "checksum"):
            given.pop(name)
        report = _make(desk, archive, where, given)
    else:
        report = _extract(
            desk, archive, where, given, atomic=not no_atomic, create=create
        )
    if not (making and file == "-"):
        _report(desk, report, verbose=verbose, as_json=False)


def _make(
    desk: Desk, archive: _Archive, place: Place, given: dict[str, Any]
) -> TransferReport:
    vfs = desk.open(place)
    desk.refuse_container(archive.file)
    kind = archive.format or ("tar" if archive.file == "-" else None)
    with bar("archiving") as listener, named(place, archive.file):
        if archive.format == "sqlar" or (
            archive.format is None and archive.file.endswith(".sqlar")
        ):
            return vfs.export_sqlar(archive.file, place.path, progress=listener)
        return vfs.export_archive(
            place.path, archive.target, kind, progress=listener, **given
        )


def _extract(
    desk: Desk,
    archive: _Archive,
    place: Place,
    given: dict[str, Any],
    *,
    atomic: bool,
    create: bool,
) -> TransferReport:
    desk.refuse_container(archive.file)
    with ExitStack() as stack:
        if atomic:
            stack.enter_context(desk.changing([place], create=create))
        else:
            desk.open(place, writing=True, create=create)
        listener = stack.enter_context(bar("extracting"))
        stack.enter_context(named(place, archive.file))
        return desk.open(place, writing=True).import_archive(
            archive.source,
            place.path,
            format=archive.format,
            atomic=atomic,
            progress=listener,
            **given,
        )


def _list(archive: _Archive, *, verbose: bool) -> None:
    with ExitStack() as stack:
        source = archive.source
        if isinstance(source, str):
            source = stack.enter_context(open(source, "rb"))
        stream = Counted(source)
        reader = (
            _formats.recognized(stream.peek(1024))
            if archive.format is None
            else _formats.format_named(archive.format)
        )
        if reader is None:
            why = "it is no archive of a format that is known"
            raise errors.bad_archive(archive.file, why)
        members = stack.enter_context(reader.read(stream))  # type: ignore[arg-type]
        for member, _ in members:
            _output.line(_long(member) if verbose else _output.shown(_name(member)))


def _name(member: ArchiveMember) -> str:
    return member.path + "/" * (
        _ls.type_of(member.mode) == "directory" and member.path[-1:] != "/"
    )


def _long(member: ArchiveMember) -> str:
    """Return the line of ``tar -tv``."""
    owner = member.owner or str(member.uid)
    group = member.group or str(member.gid)
    name = _output.shown(_name(member))
    if member.target is not None:
        name += f" -> {_output.shown(member.target)}"
    if member.first is not None:
        name += f" link to {_output.shown(member.first)}"
    date = _ls.minute(member.mtime_ns)
    room = max(19 - len(owner) - len(group) - 2, 1)  # 19 with the spaces
    who = _output.shown(f"{owner}/{group}")
    return f"{filemode(member.mode)} {who} {member.size:>{room}} {date} {name}"
