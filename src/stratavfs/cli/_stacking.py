"""Commands about layers: what each has and changes, and what becomes of it.

The layers are those of ``--underlay`` and ``--stack``: a container keeps none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stratavfs.cli import _ls, _output
from stratavfs.cli._commands import HOST_PATH, PLACE, command, each, reading
from stratavfs.cli._containers import Desk, named
from stratavfs.cli._output import Failure

if TYPE_CHECKING:
    from stratavfs.records import Explanation

_json = click.option("--json", "as_json", is_flag=True, help="A JSON document.")


def _one(place: str | None, desk: Desk) -> str:
    """Return the operand *place*, or what stands for it if it was left out."""
    return place if place is not None else desk.named_or_here(())[0]


# --- asking ---------------------------------------------------------------------------


@command("layers", "stratavfs --stack mods.toml layers game.db")
@click.argument("place", type=PLACE, required=False)
@_json
def layers_command(desk: Desk, place: str | None, as_json: bool) -> None:
    """List the layers of a container, from the top."""
    for where, vfs in each(desk, [_one(place, desk)]):
        with reading(desk, where):
            layers = [_ls.layer_record(layer) for layer in vfs.list_layers()]
            if as_json:
                _output.document(layers)
                continue
            keys = ("name", "priority", "kind", "at", "db_path")
            rows: list[tuple[str, ...]] = [("NAME", "PRIORITY", "KIND", "AT", "FILE")]
            for layer in layers:
                texts = (layer.get(key) for key in keys)
                name, rank, *rest = (
                    "-" if text is None else _output.shown(str(text)) for text in texts
                )
                rows.append((name, rank, *rest))
            _output.lines(_output.table(rows, right=[1]))


@command("which", "stratavfs --underlay base.zip which game.db:/a.png")
@click.argument("places", nargs=-1, required=True, type=PLACE, metavar="PLACE...")
@click.option("-a", "all_", is_flag=True, help="All layers that have it.")
@_json
def which_command(
    desk: Desk, places: tuple[str, ...], all_: bool, as_json: bool
) -> None:
    """Print the name of the layer that answers for a path.

    The exit code is 1 if none does.
    """
    records: list[dict[str, object]] = []
    for place, vfs in each(desk, places):
        with reading(desk, place):
            found = vfs.which_layer_detailed(place.path)
            winner, layers = found["resolved_from"], found["layers"]
            records.append(found)
            if as_json:
                continue
            if winner is None:
                raise Failure(desk.spell(place), "no layer has it")
            assert isinstance(layers, list)  # noqa: S101 - for type checkers
            names = [layer["name"] for layer in layers if layer["has_file"]]
            head = f"{_output.shown(desk.spell(place))}: " if len(places) > 1 else ""
            shown = names if all_ else [str(winner)]
            _output.lines(head + _output.shown(name) for name in shown)
    if as_json:
        _output.document(records)
        if any(found["resolved_from"] is None for found in records):
            desk.status = _output.FAILED


@command("explain", "stratavfs --stack mods.toml explain game.db:/a.png")
@click.argument("places", nargs=-1, required=True, type=PLACE, metavar="PLACE...")
@_json
def explain_command(desk: Desk, places: tuple[str, ...], as_json: bool) -> None:
    """Print what each layer says of a path, and the rule that decides."""
    records: list[dict[str, object]] = []
    for place, vfs in each(desk, places):
        with reading(desk, place):
            found = vfs.explain(place.path)
            if as_json:
                layers = [say._asdict() for say in found.layers]
                records.append(found._asdict() | {"layers": layers})
            else:
                _output.lines(map(_output.shown_in_line, _explained(found)))
    if as_json:
        _output.document(records)


def _explained(found: Explanation) -> list[str]:
    """Return the lines of *found*, whose path is a stranger's and may hold some."""
    return [found.path, *str(found._replace(path="")).split("\n")[1:]]


@command("conflicts", "stratavfs --stack mods.toml conflicts game.db:/textures")
@click.argument("place", type=PLACE, required=False)
@_json
def conflicts_command(desk: Desk, place: str | None, as_json: bool) -> None:
    """List the files whose content differs between layers, and who wins."""
    for where, vfs in each(desk, [_one(place, desk)]):
        with reading(desk, where):
            found = vfs.conflicts(where.path)
            if as_json:
                _output.document([conflict._asdict() for conflict in found])
            else:
                _output.lines(
                    _output.shown_in_line(str(conflict)) for conflict in found
                )


@command("diff", "stratavfs --underlay base.zip diff game.db:/")
@click.argument("place", type=PLACE, required=False)
@_json
def diff_command(desk: Desk, place: str | None, as_json: bool) -> None:
    """List what a container changes of its underlays."""
    for where, vfs in each(desk, [_one(place, desk)]):
        with reading(desk, where):
            found = vfs.diff(where.path)
            if as_json:
                _output.document([change._asdict() for change in found])
            else:
                _output.lines(_output.shown_in_line(str(change)) for change in found)


# --- changing -------------------------------------------------------------------------


@command("revert", "stratavfs --underlay base.zip revert game.db:/textures")
@click.argument("texts", nargs=-1, required=True, type=PLACE, metavar="PLACE...")
def revert_command(desk: Desk, texts: tuple[str, ...]) -> None:
    """Drop the changes at and below a path: the underlays show again.

    Without underlays that have it, what is there is gone.
    """
    places = [desk.place(text) for text in texts]
    with desk.changing(places, several=len(places) > 1):
        for place in desk.expand(places):
            with named(place):
                desk.open(place).revert(place.path)


@command("apply", "stratavfs --underlay base.db apply patch.db base.db")
@click.argument("source", type=PLACE, metavar="DB")
@click.argument("target", type=PLACE, metavar="TARGET")
def apply_command(desk: Desk, source: str, target: str) -> None:
    """Make the changes of one container, deletions included, in another one."""
    here, there = desk.place(source), desk.place(target)
    for place in (here, there):
        if place.path != "/":
            message = f"{place}: name a whole container, as {place.container}:"
            raise click.UsageError(message)
    with desk.alone(there) as other:
        desk.open(here).apply_to(other)


@command("flatten", "stratavfs --stack mods.toml flatten game.db whole.db")
@click.argument("source", type=PLACE, metavar="DB")
@click.argument("target", type=HOST_PATH, metavar="NEW")
def flatten_command(desk: Desk, source: str, target: str) -> None:
    """Write the merged view of all layers to a NEW container."""
    here = desk.place(source)
    vfs = desk.open(here)
    desk.writes = True
    with named(here, target):
        vfs.flatten(target)
