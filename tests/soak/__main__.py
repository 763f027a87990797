"""The soak's command: ``python -m tests.soak --minutes 5 --seed 1``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.soak.plan import FAULTS
from tests.soak.rounds import Outcome, Soak

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def parser() -> argparse.ArgumentParser:
    faults = "\n".join(f"  {kind:10} {what}" for kind, what in FAULTS.items())
    made = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description="Processes and threads work on one container over layers, are\n"
        "killed and run out of everything; all that must hold is looked at\n"
        "while they do and after each round. Exit status 1 if anything is found.",
        epilog=f"faults:\n{faults}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--minutes", type=float, default=1, help="how long (1)")
    made.add_argument("--rounds", type=int, help="how many rounds, whatever the time")
    made.add_argument("--seed", type=int, default=0, help="what decides all (0)")
    made.add_argument("--first", type=int, default=0, help="the first round (0)")
    made.add_argument("--steps", type=int, default=150, help="of a thread (150)")
    made.add_argument(
        "--faults",
        default=",".join(FAULTS),
        help="which, with commas between; '' for none (all)",
    )
    made.add_argument("--quiet", action="store_true", help="print the sum alone")
    return made


def numbers(first: int, rounds: int | None, minutes: float) -> Iterator[int]:
    """Yield the numbers of the rounds to go."""
    end = time.monotonic() + minutes * 60
    number = first
    while time.monotonic() < end if rounds is None else number < first + rounds:
        yield number
        number += 1


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is a command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak; return 1 if it has found anything."""
    asked = parser().parse_args(arguments)
    faults = tuple(kind for kind in asked.faults.split(",") if kind)
    unknown = {*faults} - {*FAULTS}
    if unknown:
        parser().error(f"no such faults: {', '.join(sorted(unknown))}")
    total = Outcome()
    with tempfile.TemporaryDirectory(prefix="stratavfs-soak-") as directory:
        soak = Soak(Path(directory), asked.seed, faults, asked.steps)
        soak.lay_out()
        for number in numbers(asked.first, asked.rounds, asked.minutes):
            outcome = soak.round(number)
            total += outcome
            if not asked.quiet or outcome.findings:
                say(f"round {number}: {outcome}")
            for finding in outcome.findings:
                say(f"  {finding}")
    say(f"seed {asked.seed}: {total}")
    return 1 if total.findings else 0


if __name__ == "__main__":
    sys.exit(main())
