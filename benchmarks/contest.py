"""The run of the comparison: every scene, for each family, by all who can play it.

The scenes of one group and family share what they need, and are played one after the
other; what they leave on the disk is removed when the last of them is over.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.contenders import KINDS, OURS, version_of
from benchmarks.scenes.scene import Cast, Figures, Props, Scene
from benchmarks.subjects import set_apart
from benchmarks.timing import median, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.contenders.protocol import Family, Kind, Role

FAMILIES: Final[tuple[Family, ...]] = ("memory", "disk", "shipped")


class Result(NamedTuple):
    """One scene as one family played it."""

    scene: Scene
    family: Family
    kinds: Sequence[Kind]
    """All of the family that are installed, in the order of the columns."""
    figures: Figures
    absences: Mapping[str, str]
    """Who has no figure, and why."""
    seconds: float

    @property
    def roles(self) -> dict[str, Role]:
        """Everybody of the family, and whom the scene brought along, as overlayfs."""
        roles: dict[str, Role] = {kind.name: kind.role for kind in self.kinds}
        for name in self.figures:
            roles.setdefault(name, "yardstick")
        return roles

    def median_of(self, name: str) -> float | None:
        return median(self.figures[name]) if self.figures.get(name) else None

    def times_ours(self, name: str) -> float | None:
        """Return how many times ours it takes: below 1 it is ahead."""
        ours, theirs = self.figures.get(OURS), self.figures.get(name)
        if not ours or not theirs:
            return None
        if len(ours) != len(theirs):
            return median(theirs) / median(ours)
        return ratio(theirs, ours)


class Troupe(NamedTuple):
    """Who is there."""

    kinds: tuple[Kind, ...]
    versions: Mapping[str, str]
    """Of the packages that are measured."""
    missing: Sequence[str]
    """Packages that are not installed."""


def troupe(peers: str = "all") -> Troupe:
    """Return all that are installed, and of the peers those that are asked for.

    Args:
        peers: "all", "none", or names with commas between them.

    Raises:
        ValueError: A name is nobody's.
    """
    names = {kind.name for kind in KINDS if kind.role == "peer"}
    asked = {"all": names, "none": set[str]()}.get(peers, {*peers.split(",")})
    if not asked <= names:
        unknown = ", ".join(sorted(asked - names))
        message = f"no peer is called {unknown}; there are {', '.join(sorted(names))}"
        raise ValueError(message)
    wanted = [kind for kind in KINDS if kind.role != "peer" or kind.name in asked]
    found = {kind.package: version_of(kind) for kind in wanted if kind.package}
    return Troupe(
        tuple(kind for kind in wanted if version_of(kind) is not None),
        {package: version for package, version in found.items() if version},
        [package for package, version in found.items() if version is None],
    )


def play_all(
    scenes: Sequence[Scene], kinds: Sequence[Kind], directory: str, *, full: bool
) -> Iterator[list[Result]]:
    """Yield the results of one table after the other: of one group and family."""
    staged = [scene for scene in scenes if full or not scene.only_full]
    for _, group in groupby(staged, lambda scene: scene.group):
        together = [*group]
        for family in FAMILIES:
            chosen = [scene for scene in together if family in scene.families]
            cast = [kind for kind in kinds if kind.family == family]
            if chosen and cast:
                with _stage(directory) as place, Props() as props:
                    bare = Cast(cast, place, full, {}, props)
                    results = [play(scene, family, bare) for scene in chosen]
                yield results


@contextmanager
def _stage(directory: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir=directory, ignore_cleanup_errors=True) as at:
        set_apart(at)
        yield at


def play(scene: Scene, family: Family, everybody: Cast) -> Result:
    """Have all play who can; their own failures are their excuses."""
    lacks = {kind.name: kind.lack(sorted(scene.needs)) for kind in everybody.kinds}
    absences = {name: reason for name, reason in lacks.items() if reason is not None}
    absences |= {
        kind.name: scene.excuses[kind.name]
        for kind in everybody.kinds
        if kind.name in scene.excuses
    }
    able = [kind for kind in everybody.kinds if kind.name not in absences]
    started = time.perf_counter()
    figures, excuses = _figures(scene, everybody._replace(kinds=able, excuses={}))
    seconds = time.perf_counter() - started
    absences |= {
        name: reason.removeprefix("TooSlowError: ") for name, reason in excuses.items()
    }
    silent = {
        kind.name: "it has no part in this"
        for kind in able
        if kind.name not in figures and kind.name not in absences
    }
    return Result(
        scene, family, everybody.kinds, figures, {**absences, **silent}, seconds
    )


def _figures(scene: Scene, cast: Cast) -> tuple[Figures, Mapping[str, str]]:
    """Return what they play, and who is excused.

    Whose fault a failure is that the scene did not put down is not known: it is played
    again without the others, and what fails then is ours and ends the run.
    """
    if not cast.kinds:
        return {}, {}
    try:
        return scene.play(cast), cast.excuses
    except Exception as error:
        others = [kind for kind in cast.kinds if kind.role in {"peer", "yardstick"}]
        if not others:
            raise
        said = str(error).partition("\n")[0]
        reason = f"the scene failed with others: {type(error).__name__}: {said:.120}"
    alone = [kind for kind in cast.kinds if kind not in others]
    figures, excuses = _figures(scene, cast._replace(kinds=alone, excuses={}))
    return figures, {**excuses, **dict.fromkeys([one.name for one in others], reason)}
