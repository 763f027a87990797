"""Commands that keep containers in order, and write them anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stratavfs.cli import _output
from stratavfs.cli._commands import HOST_PATH, PLACE, command, each, reading
from stratavfs.cli._containers import Desk, named
from stratavfs.cli._progress import bar

if TYPE_CHECKING:
    from stratavfs.cli._places import Place

_json = click.option("--json", "as_json", is_flag=True, help="A JSON document.")


@command("check", "stratavfs check --deep game.db")
@click.argument("texts", nargs=-1, type=PLACE, metavar="[DB]...")
@click.option("--deep", is_flag=True, help="Look at each page, too; this takes longer.")
@_json
def check_command(
    desk: Desk, texts: tuple[str, ...], deep: bool, as_json: bool
) -> None:
    """List what breaks the rules of the format; the exit code is 1 then."""
    records: list[dict[str, object]] = []
    for place, vfs in each(desk, desk.named_or_here(texts)):
        with reading(desk, place):
            findings = vfs.check(deep=deep)
            if findings:
                desk.status = _output.FAILED
            if as_json:
                records += [
                    {"container": place.container, **finding._asdict()}
                    for finding in findings
                ]
            else:
                _say(place, [str(finding) for finding in findings] or ["no findings"])
    if as_json:
        _output.document(records)


def _say(place: Place, texts: list[str]) -> None:
    """Print *texts*, each with the container they are about."""
    _output.lines(_output.shown_in_line(f"{place.container}: {text}") for text in texts)


@command("repair", "stratavfs repair game.db")
@click.argument("text", type=PLACE, metavar="DB")
@_json
def repair_command(desk: Desk, text: str, as_json: bool) -> None:
    """Mend what breaks the rules of the format, and list it.

    What has lost its place goes to /lost+found.
    """
    place = desk.place(text)
    with desk.alone(place) as vfs:
        repairs = vfs.repair()
    if as_json:
        _output.document([repair._asdict() for repair in repairs])
    else:
        _say(place, [str(repair) for repair in repairs] or ["nothing to repair"])


@command("backup", "stratavfs backup game.db game-backup.db")
@click.argument("text", type=PLACE, metavar="DB")
@click.argument("target", type=HOST_PATH, metavar="NEW")
def backup_command(desk: Desk, text: str, target: str) -> None:
    """Copy a container as it is now to a NEW file, while others use it.

    The copy has the container's own layer, without underlays.
    """
    place = desk.place(text)
    vfs = desk.open(place)
    with bar("copying") as listener, named(place, target):
        vfs.backup(target, progress=listener)


@command("compact", "stratavfs compact game.db")
@click.argument("texts", nargs=-1, required=True, type=PLACE, metavar="DB...")
@_json
def compact_command(desk: Desk, texts: tuple[str, ...], as_json: bool) -> None:
    """Give the room of what was removed back to the disk; print how much."""
    records: list[dict[str, object]] = []
    for place in [desk.place(text) for text in texts]:
        with desk.alone(place) as vfs:
            freed = vfs.compact()
        records.append({"container": place.container, "bytes": freed})
        if not as_json:
            _say(place, [f"{_output.human(freed)} bytes freed"])
    if as_json:
        _output.document(records)


@command("pack", "stratavfs pack --order start.trace game.db shipped.db")
@click.argument("text", type=PLACE, metavar="DB")
@click.argument("target", type=HOST_PATH, metavar="NEW")
@click.option(
    "--order", type=HOST_PATH, metavar="TRACE", help="A list of what is read first."
)
@click.option("--layer", metavar="NAME", help="This layer alone, with its whiteouts.")
@click.option("--page-size", type=int, metavar="BYTES", help="512 to 65536.")
@click.option("-v", "verbose", is_flag=True, help="Say what was packed.")
def pack_command(
    desk: Desk,
    text: str,
    target: str,
    order: str | None,
    layer: str | None,
    page_size: int | None,
    verbose: bool,
) -> None:
    """Write the merged view to a NEW container that is made to be read.

    TRACE has one path a line, as access_trace() saves it.
    """
    place = desk.place(text)
    vfs = desk.open(place)
    desk.outside = True
    hosts = (target,) if order is None else (target, order)
    with bar("packing") as listener, named(place, *hosts):
        report = vfs.pack(
            target, layer=layer, order=order, page_size=page_size, progress=listener
        )
    if verbose:
        size = _output.human(report.bytes)
        _say(place, [f"{report.files} files of {size} bytes packed into {target}"])
