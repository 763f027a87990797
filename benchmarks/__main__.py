"""The command: ``python -m benchmarks [--quick] [--json FILE] [--only PATTERN]``."""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import platform
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import timing
from benchmarks.budgets import WORKLOADS, Workload
from benchmarks.stage import FULL, QUICK, Stage
from stratavfs import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator


class Line(NamedTuple):
    """One measured row of the table."""

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


FORMAT = "{:<34} {:<10} {:>10}  {:<8} {:>10} {:>7} {:>8}  {}"
HEADER = FORMAT.format(
    "work", "subject", "us", "against", "us", "ratio", "budget", "verdict"
)


def main() -> int:
    arguments = parsed_arguments()
    started = time.perf_counter()
    lines: list[Line] = []
    with (
        tempfile.TemporaryDirectory(dir=arguments.directory) as directory,
        ExitStack() as stack,
    ):
        scale = QUICK if arguments.quick else FULL
        stage = Stage(directory, scale, stack)
        print(f"{machine()}, files in {os.path.dirname(directory)}")
        for workload in chosen(arguments.only):
            if not lines or lines[-1].group != workload.group:
                print(f"\n{workload.group}\n{HEADER}\n{'-' * len(HEADER)}")
            for line in measured(stage, workload):
                lines.append(line)
                print(rendered(line), flush=True)
    over = sum(line.verdict == "over" for line in lines)
    seconds = time.perf_counter() - started
    print(f"\n{len(lines)} rows, {over} over budget, {seconds:.0f} s")
    if arguments.json:
        write_json(arguments.json, lines, quick=arguments.quick)
    return 0


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--only", metavar="PATTERN", default="*", help="work to run: a part or a glob"
    )
    parser.add_argument(
        "--directory", help="where the files go: on the disk to be measured"
    )
    return parser.parse_args()


def chosen(pattern: str) -> list[Workload]:
    """Return the workloads of which group and name together match *pattern*."""
    return [
        workload
        for workload in WORKLOADS
        if fnmatch.fnmatch(f"{workload.group}: {workload.work}", f"*{pattern}*")
    ]


def measured(stage: Stage, workload: Workload) -> Iterator[Line]:
    figures = workload.run(stage)
    for subject, yardstick, budget in workload.rows:
        ours = figures[subject]
        theirs = None if yardstick is None else figures[yardstick]
        yield Line(
            workload.group,
            workload.work,
            subject,
            timing.median(ours),
            yardstick,
            None if theirs is None else timing.median(theirs),
            None if theirs is None else timing.ratio(ours, theirs),
            budget,
            len(ours),
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


def machine() -> str:
    return (
        f"stratavfs {__version__}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {platform.platform()}, "
        f"{os.cpu_count()} cores"
    )


def write_json(path: str, lines: list[Line], *, quick: bool) -> None:
    rows = [{**line._asdict(), "verdict": line.verdict} for line in lines]
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"machine": machine(), "quick": quick, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    sys.exit(main())
