"""The benchmarks of stratavfs: its budgets, then the comparison with everybody."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import tempfile
import textwrap
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from benchmarks import compare, contest, report, timing
from benchmarks.budgets import WORKLOADS, Workload
from benchmarks.report import Line
from benchmarks.scenes import SCENES, fixtures
from benchmarks.stage import FULL, QUICK, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.contenders.protocol import Role
    from benchmarks.contest import Result, Troupe

AHEAD: Final[dict[str, tuple[Role, ...]]] = {
    "The floor or the operating system is ahead": ("floor", "yardstick"),
    "A peer is ahead": ("peer",),
}


def main() -> int:
    arguments = parsed_arguments()
    started = time.perf_counter()
    troupe: Troupe = arguments.peers
    scale = "quick" if arguments.quick else "full" if arguments.full else "default"
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        head = [f"{report.machine()}, files in {os.path.dirname(directory)}"]
        head += peers_named(troupe)
        print("\n".join(head))
        both = arguments.part is None
        budgets = both or arguments.part == "budgets"
        lines = run_budgets(arguments, directory) if budgets else []
        played = run_comparison(arguments, directory) if both or not budgets else []
    results = [result for table in played for result in table]
    ratios = compare.ratios_of(lines, results)
    if arguments.json:
        write(arguments.json, report.as_json(scale, lines, results, troupe.versions))
    if arguments.markdown:
        write(arguments.markdown, report.markdown(head, played))
    if arguments.chart:
        from benchmarks import chart  # noqa: PLC0415 - it needs matplotlib

        chart.draw(arguments.chart, results)
    if arguments.compare:
        print(f"\n{compare.compared(arguments.compare, scale, ratios)}")
    if arguments.write_baseline:
        compare.write_baseline(compare.BASELINE, scale, ratios)
    print(summary(lines, results, time.perf_counter() - started))
    return 0


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--quick", action="store_true", help="less of everything")
    scale.add_argument("--full", action="store_true", help="more of the comparison")
    parser.add_argument(
        "--only", metavar="PATTERN", default="*", help="work to run: a part or a glob"
    )
    parser.add_argument(
        "--part", choices=("budgets", "comparison"), help="that half of it alone"
    )
    parser.add_argument(
        "--directory", help="where the files go: on the disk to be measured"
    )
    parser.add_argument(
        "--peers",
        type=peers,
        default="all",
        metavar="all|none|NAME,NAME",
        help="other libraries to compare with, of those that are installed",
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables there")
    parser.add_argument(
        "--chart", metavar="FILE.svg", help="draw the comparison there (matplotlib)"
    )
    parser.add_argument(
        "--compare",
        nargs="?",
        const=compare.BASELINE,
        metavar="BASELINE",
        help="say which ratios have moved since",
    )
    parser.add_argument(
        "--write-baseline", action="store_true", help="keep the ratios of this run"
    )
    return parser.parse_args()


def peers(text: str) -> Troupe:
    try:
        return contest.troupe(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def peers_named(troupe: Troupe) -> list[str]:
    found = ", ".join(f"{name} {version}" for name, version in troupe.versions.items())
    said = [f"compared with {found}"] if found else []
    if troupe.missing:
        said.append(f"not installed: {', '.join(troupe.missing)}")
    return said


def wanted(pattern: str, group: str, work: str) -> bool:
    return fnmatch.fnmatch(f"{group}: {work}", f"*{pattern}*")


# --- the budgets ----------------------------------------------------------------------


def run_budgets(arguments: argparse.Namespace, directory: str) -> list[Line]:
    lines: list[Line] = []
    with ExitStack() as stack:
        stage = Stage(directory, QUICK if arguments.quick else FULL, stack)
        for workload in WORKLOADS:
            if not wanted(arguments.only, workload.group, workload.work):
                continue
            if not lines or lines[-1].group != workload.group:
                header = report.HEADER
                print(f"\n{workload.group}\n{header}\n{'-' * len(header)}")
            for line in measured(stage, workload):
                lines.append(line)
                print(report.rendered(line), flush=True)
    return lines


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


# --- the comparison -------------------------------------------------------------------


def run_comparison(arguments: argparse.Namespace, directory: str) -> list[list[Result]]:
    scenes = [
        scene
        for scene in (*SCENES, *fixtures.SCENES)
        if wanted(arguments.only, scene.group, scene.work)
    ]
    kinds = arguments.peers.kinds
    played = []
    if scenes:
        print(f"\n{textwrap.fill(report.LEGEND, 88)}")
    for results in contest.play_all(scenes, kinds, directory, full=arguments.full):
        played.append(results)
        print(f"\n{report.as_text(report.table_of(results))}", flush=True)
    return played


def summary(lines: list[Line], results: list[Result], seconds: float) -> str:
    said = []
    for title, roles in AHEAD.items():
        rows = report.behind(results, roles)
        if rows:
            said.append(f"\n{title} in {len(rows)} rows, by so many times:")
            said += [f"  {row}" for row in rows]
    over = sum(line.verdict == "over" for line in lines)
    said.append(
        f"\n{len(lines)} rows of budgets, {over} over budget; {len(results)} rows of "
        f"the comparison, {len(rows)} behind a peer; {seconds:.0f} s"
    )
    return "\n".join(said)


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    sys.exit(main())
