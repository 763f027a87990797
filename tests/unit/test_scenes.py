"""The scenes of the comparison: what is measured, how it is checked, who gives up."""

import itertools
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from benchmarks import timing
from benchmarks.contenders import KINDS
from benchmarks.contenders.protocol import Kind
from benchmarks.scenes import SCENES, assets, growth, turns
from benchmarks.scenes.child import STATUS, peak
from benchmarks.scenes.filling import Watched, fill
from benchmarks.scenes.large import PAGE, Large
from benchmarks.scenes.scene import Cast, Props

COUNT = 2_000


class Page:
    """An open file among the files of Books."""

    def __init__(self, files: dict[str, bytes], key: str, mode: str) -> None:
        self.files, self.key, self.at = files, key, 0
        if mode == "wb":
            files[key] = b""

    def seek(self, offset: int) -> None:
        self.at = offset

    def read(self, size: int) -> bytes:
        data = self.files[self.key][self.at : self.at + size]
        self.at += len(data)
        return data

    def write(self, data: bytes) -> None:
        before = self.files[self.key]
        end = self.at + len(data)
        self.files[self.key] = before[: self.at] + data + before[end:]
        self.at = end

    def close(self) -> None:
        """Nothing is held."""


class Books:
    """A contender over a dictionary."""

    def __init__(self, _: str = "") -> None:
        self.files: dict[str, bytes] = {}
        self.places = {""}
        self.closed = False

    def key(self, path: str) -> str:
        return path

    def makedirs(self, key: str) -> None:
        assert key not in self.places
        self.places.add(key)

    def write(self, key: str, data: bytes) -> None:
        assert key.rpartition("/")[0] in self.places
        self.files[key] = bytes(data)

    def read(self, key: str) -> bytes:
        return self.files[key]

    def open(self, key: str, mode: str) -> Page:
        return Page(self.files, key, mode)

    def batch(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def cast(tmp_path: Path) -> Iterator[Cast]:
    with Props() as props:
        make: Any = Books  # which has only what these scenes ask for
        kinds = [Kind("ours", "memory", make, role="ours"), Kind("it", "memory", make)]
        yield Cast(kinds, str(tmp_path), full=False, excuses={}, props=props)


@pytest.fixture
def large() -> Large:
    books: Any = Books()
    made = Large(books, "/large", 16 * PAGE, 4 * PAGE)
    books.files["/large"] = b"".join(made.pieces)
    return made


def held_by(large: Large) -> dict[str, bytes]:
    files: dict[str, bytes] = large.contender.files  # type: ignore[attr-defined]
    return files


# --- assets ---------------------------------------------------------------------------


def test_assets_made_again_are_the_same() -> None:
    first = assets.assets(full=False)
    assets._assets.cache_clear()

    again = assets.assets(full=False)

    assert again == first
    assert [*again] == [*first]


def test_sizes_of_the_assets_are_log_normal() -> None:
    sizes = sorted(assets.sizes(assets.FULL))

    median = sizes[len(sizes) // 2]
    quartiles = sizes[len(sizes) // 4], sizes[3 * len(sizes) // 4]

    assert median == pytest.approx(assets.MEDIAN, rel=0.05)
    # Three quarters of a normal distribution lie below 0.6745 of its deviation.
    spread = math.log(quartiles[1] / quartiles[0]) / (2 * 0.6745)
    assert spread == pytest.approx(assets.SPREAD, rel=0.05)
    assert sizes[-1] > 1 << 20


def test_paths_are_as_many_as_asked_for_and_different() -> None:
    for count in (100, COUNT, assets.FULL):
        assert len(set(assets.paths(count))) == count


def test_a_directory_follows_the_one_above_it() -> None:
    places = assets.directories(assets.paths(COUNT))

    for nth, place in enumerate(places):
        assert place.rpartition("/")[0] in {"", *places[:nth]}
    assert len(set(places)) == len(places)


# --- filling --------------------------------------------------------------------------


def test_fill_makes_each_directory_once_and_every_file() -> None:
    books: Any = Books()
    files = {"/a/b/c": b"1", "/a/d": b"2", "/e": b"3"}

    fill(books, files, turns.Turn(1))

    assert books.files == files
    assert books.places == {"", "/a", "/a/b"}


def test_watched_files_end_when_patience_does(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr("benchmarks.scenes.filling.perf_counter", lambda: next(clock))
    monkeypatch.setattr("benchmarks.scenes.turns.perf_counter", lambda: next(clock))
    files = Watched(dict.fromkeys("abcdef", b""), turns.Turn(0, 10.5))
    taken: list[str] = []

    with pytest.raises(turns.GivesUpError, match="given up after 3 of 6"):
        taken.extend(iter(files))

    assert taken == [*"abc"]


# --- large files ----------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 1, PAGE - 1, 4 * PAGE - 1, 15 * PAGE])
def test_bytes_at_a_place_are_those_of_the_file(large: Large, offset: int) -> None:
    whole = held_by(large)["/large"]

    assert large.bytes_at(offset, PAGE) == whole[offset : offset + PAGE]


@pytest.mark.parametrize(
    "work",
    [
        lambda large: large.read(turns.Turn(1)),
        lambda large: large.read_at_random(turns.Turn(1), 14 * PAGE, 3),
    ],
    ids=["read", "read_at_random"],
)
def test_reading_what_was_spoiled_stops(
    large: Large, work: Callable[[Large], float]
) -> None:
    work(large)
    spoiled = bytearray(held_by(large)["/large"])
    spoiled[8 * PAGE] ^= 1
    held_by(large)["/large"] = bytes(spoiled)

    with pytest.raises(timing.WrongAnswerError):
        work(large)


def test_update_changes_as_many_places_as_asked_for(large: Large) -> None:
    before = held_by(large)["/large"]

    large.update(turns.Turn(1), PAGE, 5)

    after = held_by(large)["/large"]
    changed = sum(one != other for one, other in zip(before, after, strict=True))
    assert changed == pytest.approx(5 * PAGE * 255 / 256, rel=0.01)


def test_update_that_is_lost_stops(
    large: Large, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Page, "write", lambda *_: None)

    with pytest.raises(timing.WrongAnswerError):
        large.update(turns.Turn(1), PAGE, 5)


# --- turns ----------------------------------------------------------------------------


def test_peer_that_fails_is_excused_and_the_others_play_on(cast: Cast) -> None:
    def sample(kind: Kind, turn: turns.Turn) -> float:
        if kind.name == "it" and turn.nth == 1:
            message = "no more\nthan this"
            raise OSError(message)
        return 7.0

    figures = turns.play(cast, lambda _, kind: kind, sample)

    assert {*figures} == {"ours"}
    assert {*figures["ours"]} == {7.0}
    assert cast.excuses == {"it": "OSError: no more"}


def test_peer_that_cannot_be_prepared_is_excused_each_time(cast: Cast) -> None:
    asked: list[int] = []

    def make() -> None:
        asked.append(1)
        message = "too slow"
        raise turns.GivesUpError(message)

    def prepare(cast: Cast, kind: Kind) -> object:
        return turns.once(cast, "it", kind, make if kind.name == "it" else str)

    for _ in range(2):
        cast.excuses.clear()
        figures = turns.play(cast, prepare, lambda _, __: 1.0)
        assert {*figures} == {"ours"}
        assert cast.excuses == {"it": "too slow"}
    assert asked == [1]


def test_library_that_fails_ends_the_run(cast: Cast) -> None:
    def sample(kind: Kind, _: turns.Turn) -> float:
        if kind.name == "ours":
            message = "a bug"
            raise OSError(message)
        return 1.0

    with pytest.raises(OSError, match="a bug"):
        turns.play(cast, lambda _, kind: kind, sample)


def test_all_figures_of_a_scene_have_the_same_length(cast: Cast) -> None:
    figures = turns.play(cast, lambda _, kind: kind, lambda _, turn: float(turn.nth))

    expected = [float(nth) for nth in range(1, turns.QUICK.rounds + 1)]
    assert figures == {"ours": expected, "it": expected}


def test_nobody_left_gives_no_figures(cast: Cast) -> None:
    assert turns.in_turns(cast._replace(kinds=[]), {}) == {}


def test_checked_results_that_differ_stop() -> None:
    with pytest.raises(timing.WrongAnswerError):
        turns.Turn(1).checked(abs, [1, -2, 3], [1, 2, 4])


def test_fresh_contender_is_closed_and_leaves_nothing(cast: Cast) -> None:
    with turns.fresh(cast, cast.kinds[0]) as contender:
        assert len(os.listdir(cast.directory)) == 1

    assert contender.closed  # type: ignore[attr-defined]
    assert os.listdir(cast.directory) == []


def test_files_of_who_plays_are_read_before_its_turn(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, peer = cast.kinds
    gone, home = cast.home(ours), cast.home(ours)
    os.rmdir(gone)
    ran: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda what, **_: ran.append(what))

    turns.recall(cast, ours.name)
    turns.recall(cast, peer.name)

    assert [what[1:4] for what in ran] == [[home, "-type", "f"]]


# --- all of them ----------------------------------------------------------------------


def test_every_line_has_its_own_name() -> None:
    names = [(scene.group, scene.work) for scene in SCENES]

    assert len(set(names)) == len(names)


def test_groups_lie_together() -> None:
    groups = [group for group, _ in itertools.groupby(SCENES, lambda one: one.group)]

    assert len(set(groups)) == len(groups)


def test_directories_of_growth_are_other_ones_in_each_round() -> None:
    rounds = [growth.chosen(10_000, turns.Turn(nth), 10) for nth in range(4)]

    assert len(set(itertools.chain.from_iterable(rounds))) == 40


@pytest.mark.skipif(not os.path.exists(STATUS), reason="Linux tells RssAnon")
def test_peak_is_what_was_taken_in_between() -> None:
    kept: list[bytes] = []

    assert 60 < peak(lambda: kept.append(b"x" * (64 << 20))) < 70


@pytest.mark.slow
@pytest.mark.no_slow_contracts("single")
@pytest.mark.skipif(sys.platform == "win32", reason="directories with open files")
def test_every_scene_is_played_by_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "QUICK", turns.QUICK._replace(rounds=1, fewest=1))
    monkeypatch.setattr(assets, "QUICK", 100)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "")
    ours = [kind for kind in KINDS if kind.name == "stratavfs"]
    for scene in SCENES:
        for family in () if scene.only_full else scene.families[-1:]:
            with Props() as props:
                kinds = [kind for kind in ours if kind.family == family]
                cast = Cast(kinds, str(tmp_path), False, {}, props)
                figures = scene.play(cast)
                assert [*figures][:1] == ["stratavfs"], (scene.work, family)
                assert all(figure > 0 for figure in figures["stratavfs"])
