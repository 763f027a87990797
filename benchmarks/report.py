"""What comes of a run: tables as text and as Markdown, and all figures as JSON."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchmarks.contenders import OURS
from stratavfs import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.contenders.protocol import Role
    from benchmarks.contest import Result

LEVEL: Final = 0.95
"""Below that part of our time another is ahead; what is between is noise."""

TITLES: Final = {
    "memory": "in memory",
    "disk": "on the disk",
    "shipped": "built once, opened and read",
}
UNITS: Final = ((1e6, "s"), (1e3, "ms"), (1.0, "us"))


def machine() -> str:
    return (
        f"stratavfs {__version__}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {platform.platform()}, "
        f"{os.cpu_count()} cores"
    )


# --- the budgets ----------------------------------------------------------------------


class Line(NamedTuple):
    """One measured row of the budgets."""

    group: str
    work: str
    subject: str
    us: float
    yardstick: str | None
    yardstick_us: float | None
    ratio: float | None
    budget: float | None
    rounds: int

    @property
    def verdict(self) -> str:
        if self.budget is None:
            return ""
        cost = self.us if self.ratio is None else self.ratio
        return "ok" if cost <= self.budget else "over"


FORMAT: Final = "{:<34} {:<10} {:>10}  {:<8} {:>10} {:>7} {:>8}  {}"
HEADER: Final = FORMAT.format(
    "work", "subject", "us", "against", "us", "ratio", "budget", "verdict"
)


def rendered(line: Line) -> str:
    return FORMAT.format(
        line.work,
        line.subject,
        number(line.us),
        line.yardstick or "",
        number(line.yardstick_us),
        number(line.ratio),
        number(line.budget),
        line.verdict,
    ).rstrip()


def number(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"


# --- the comparison -------------------------------------------------------------------


class Table(NamedTuple):
    """One group as one family played it, in words."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str]
    """Why somebody is missing."""


def table_of(results: Sequence[Result]) -> Table:
    """Return the table of one group and family; who has no figure has no column."""
    first = results[0]
    names = dict.fromkeys(name for result in results for name in result.roles)
    there = [
        name for name in names if any(name in result.figures for result in results)
    ]
    return Table(
        f"{first.scene.group}, {TITLES[first.family]}",
        ["work", "unit", *there],
        [row_of(result, there) for result in results],
        notes_of(results),
    )


def row_of(result: Result, names: Sequence[str]) -> list[str]:
    """Return a row; its unit is such that the smallest figure is easily read."""
    medians = {name: result.median_of(name) for name in names}
    smallest = min((figure for figure in medians.values() if figure), default=1.0)
    divisor, unit = 1.0, "MiB"
    if result.scene.measure == "us":
        divisor, unit = next(
            (each for each in UNITS if smallest >= each[0] * 10), UNITS[-1]
        )
    roles = result.roles
    cells = [
        cell(figure, divisor, result.times_ours(name), roles.get(name, "yardstick"))
        for name, figure in medians.items()
    ]
    return [result.scene.work, f"{unit} {result.scene.unit}".rstrip(), *cells]


def cell(figure: float | None, divisor: float, times: float | None, role: Role) -> str:
    if figure is None:
        return "-"
    if times is None:
        return significant(figure / divisor)
    mark = "<" if times < LEVEL and role != "ours" else ""
    return f"{mark}{significant(figure / divisor)} ({significant(times, 2)})"


def significant(value: float, digits: int = 3) -> str:
    """Return *value* with so many digits that mean something, and no exponent.

    >>> [significant(value) for value in (0.0012, 0.123, 1.234, 12.34, 123.4, 12345)]
    ['0.001', '0.12', '1.23', '12.3', '123', '12,345']
    >>> [significant(value, 2) for value in (0.123, 1.234, 12.34)]
    ['0.12', '1.2', '12']
    """
    if value < 1:
        return f"{value:.{2 if value >= 0.01 else 3}f}"
    return f"{value:,.{max(digits - len(str(int(value))), 0)}f}"


def notes_of(results: Sequence[Result]) -> list[str]:
    """Say why somebody is missing: once for all who have the same reason.

    Rows are named unless it is so in every row; our own need no excuse.
    """
    works: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    ours = {kind.name for kind in results[0].kinds if kind.role == "ours"}
    for result in results:
        for name, reason in result.absences.items():
            if name not in ours:
                works[name, reason].append(result.scene.work)
    names: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for (name, reason), found in sorted(works.items()):
        rows = "" if len(found) == len(results) else f" ({'; '.join(found)})"
        names[reason, rows].append(name)
    return [
        f"{', '.join(who)}: {reason}{rows}" for (reason, rows), who in names.items()
    ]


# --- who is ahead ---------------------------------------------------------------------


class Behind(NamedTuple):
    """A row in which others are ahead of stratavfs."""

    factor: float
    """Of the furthest: how many times its time is ours."""
    row: str
    ahead: str

    def __str__(self) -> str:
        return f"{self.row}: {self.ahead}"


def behind(results: Iterable[Result], roles: Sequence[Role]) -> list[Behind]:
    """Return the rows in which some of these are ahead, the furthest first."""
    found = []
    for result in results:
        ahead = {
            name: 1 / times
            for name, role in result.roles.items()
            if role in roles
            and (times := result.times_ours(name)) is not None
            and times < LEVEL
        }
        if ahead:
            scene = result.scene
            row = f"{TITLES[result.family]}: {scene.group}: {scene.work}"
            said = ", ".join(
                f"{name} {significant(factor, 2)} x"
                for name, factor in sorted(ahead.items(), key=lambda item: -item[1])
            )
            found.append(Behind(max(ahead.values()), row, said))
    return sorted(found, reverse=True)


# --- text, Markdown, JSON -------------------------------------------------------------


def as_text(table: Table) -> str:
    """Return the table with aligned columns: figures to the right."""
    rows = [table.columns, *table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            text.ljust(width) if nth < 2 else text.rjust(width)
            for nth, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    notes = [f"  - {note}" for note in table.notes]
    return "\n".join([table.title, lines[0], rule, *lines[1:], *notes])


def as_markdown(table: Table) -> str:
    rows = [table.columns, ["---", "---", *["--:"] * (len(table.columns) - 2)]]
    lines = [f"| {' | '.join(row)} |" for row in [*rows, *map(_escaped, table.rows)]]
    notes = [f"- {note}" for note in table.notes]
    return "\n".join([f"### {table.title}", "", *lines, *[""][: len(notes)], *notes])


def _escaped(row: list[str]) -> list[str]:
    return [text.replace("*", "\\*").replace("<", "&lt; ") for text in row]


LEGEND: Final = (
    f"Medians, and in brackets how many times {OURS} they are; < is ahead of it by "
    "more than 5 %. layered: stratavfs with three underlays below; exclusive: nobody "
    "else may open its file; sql: the same tables by hand, the floor; tmpfs: open() "
    "in /dev/shm; OSFS and fsspec on the disk: open() through these libraries; "
    "deflated: zipfile, compressed; AgentFS: its asynchronous calls, run on one event "
    "loop that is kept open; given up: too slow to wait for."
)


def markdown(head: Sequence[str], results: Sequence[Sequence[Result]]) -> str:
    """Return all tables, and where a peer is ahead, as a page."""
    parts = [*head, LEGEND, *[as_markdown(table_of(each)) for each in results]]
    rows = behind([one for each in results for one in each], ["peer"])
    if rows:
        listed = [f"- {row}".replace("*", "\\*") for row in rows]
        parts.append("\n".join(["### Where a peer is ahead", "", *listed]))
    return "\n\n".join(parts) + "\n"


def as_json(
    scale: str,
    lines: Sequence[Line],
    results: Iterable[Result],
    versions: Mapping[str, str],
) -> str:
    return json.dumps(
        {
            "machine": machine(),
            "python": platform.python_version(),
            "scale": scale,
            "versions": versions,
            "budgets": [{**line._asdict(), "verdict": line.verdict} for line in lines],
            "comparison": [_played(result) for result in results],
        },
        indent=1,
    )


def _played(result: Result) -> dict[str, Any]:
    scene = result.scene
    return {
        "group": scene.group,
        "work": scene.work,
        "unit": scene.unit,
        "measure": scene.measure,
        "family": result.family,
        "seconds": round(result.seconds, 2),
        "figures": {
            name: {
                "median": result.median_of(name),
                "times stratavfs": result.times_ours(name),
                "rounds": len(figures),
            }
            for name, figures in result.figures.items()
        },
        "absent": dict(result.absences),
    }
