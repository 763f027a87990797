"""A game's load: 20,000 assets, brought in, found and read.

In memory and on the disk they are imported; "shipped" they were built before, and the
game opens them. Reading is with the operating system's cache warm.
"""

from __future__ import annotations

import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from benchmarks.scenes.assets import TOP, assets, directories
from benchmarks.scenes.filling import Watched, fill, filled
from benchmarks.scenes.scene import Scene
from benchmarks.scenes.turns import close, filling, fresh, once, play
from benchmarks.timing import clocked_once, require_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.contenders.protocol import Contender, Family, Kind, Verb
    from benchmarks.scenes.scene import Cast, Figures
    from benchmarks.scenes.turns import Turn

GROUP: Final = "a game's load"
THREADS: Final = 8
EVERY: Final[tuple[Family, ...]] = ("memory", "disk", "shipped")


# --- who has the assets ---------------------------------------------------------------


def library(cast: Cast, kind: Kind) -> Contender:
    """Return a contender with all assets, which the scenes of the group share."""
    if kind.ship is None:
        return filled(cast, kind, "assets", lambda: assets(full=cast.full))
    return once(cast, "opened", kind, lambda: _opened(cast, kind))


def opener(cast: Cast, kind: Kind) -> Callable[[], Contender]:
    """Return what opens the assets as they were shipped."""
    return once(cast, "shipped", kind, lambda: _ship(cast, kind))


def _opened(cast: Cast, kind: Kind) -> Contender:
    contender = opener(cast, kind)()
    cast.props.callback(close, kind, contender)
    return contender


def _ship(cast: Cast, kind: Kind) -> Callable[[], Contender]:
    assert kind.ship is not None
    files = Watched(assets(full=cast.full), filling(cast, kind))
    return kind.ship(cast.home(kind), files)


# --- bringing in, opening -------------------------------------------------------------


def bring_in(cast: Cast) -> Figures:
    """Import all assets into an empty contender, in a batch where it has batches."""
    files = assets(full=cast.full)

    def sample(kind: Kind, turn: Turn) -> float:
        if turn.nth == 0:
            return clocked_once(partial(library, cast, kind), len(files))
        with fresh(cast, kind) as contender:
            spent = fill(contender, files, turn)
            for path in [*files][:: len(files) // 50]:
                found = contender.read(contender.key(path))
                require_equal(found == files[path], True)
            return spent

    return play(cast, lambda _, kind: kind, sample)


def build(cast: Cast) -> Figures:
    """Build what is shipped."""
    files = assets(full=cast.full)

    def sample(kind: Kind, turn: Turn) -> float:
        assert kind.ship is not None
        if turn.nth == 0:
            return clocked_once(partial(opener, cast, kind), len(files))
        directory = cast.new()
        spent = clocked_once(partial(kind.ship, directory, files), len(files))
        shutil.rmtree(directory)
        return spent

    return play(cast, lambda _, kind: kind, sample)


def open_shipped(cast: Cast, *, reading: bool) -> Figures:
    """Open what was shipped, and perhaps read an asset; closing is not counted."""
    files = assets(full=cast.full)

    def sample(kind: Kind, turn: Turn) -> float:
        opens = opener(cast, kind)

        def once(path: str) -> tuple[Contender, bytes | None]:
            contender = opens()
            return contender, contender.read(contender.key(path)) if reading else None

        spent = 0.0
        chosen = random.Random(turn.nth).choices([*files], k=3)
        for path in chosen:
            each, [(contender, found)] = turn.clocked(once, [path])
            require_equal(found == (files[path] if reading else None), True)
            close(kind, contender)
            spent += each
        return spent / len(chosen)

    def prepare(cast: Cast, kind: Kind) -> Kind:
        opener(cast, kind)
        return kind

    return play(cast, prepare, sample)


# --- reading --------------------------------------------------------------------------


def read(cast: Cast, *, some: int | None, with_handle: bool = False) -> Figures:
    """Read all assets in the order of their list, or some at random."""
    files = assets(full=cast.full)

    def sample(contender: Contender, turn: Turn) -> float:
        paths = [*files]
        if some is not None:
            paths = random.Random(turn.nth).choices(paths, k=some)

        def open_and_read(key: Any) -> bytes:
            file = contender.open(key, "rb")
            data = file.read()
            file.close()
            return data

        keys = [contender.key(path) for path in paths]
        call = open_and_read if with_handle else contender.read
        return turn.checked(call, keys, [files[path] for path in paths])

    return play(cast, library, sample)


def read_by_threads(cast: Cast) -> Figures:
    """Read all assets by eight threads: the time on the wall for one of them."""
    files = assets(full=cast.full)

    def sample(contender: Contender, turn: Turn) -> float:
        shares = [[*files][nth::THREADS] for nth in range(THREADS)]
        keys = [[contender.key(path) for path in share] for share in shares]
        answers: list[list[bytes]] = []

        def work() -> None:
            with ThreadPoolExecutor(THREADS) as pool:
                answers.extend(pool.map(partial(_read_all, contender.read, turn), keys))

        spent = clocked_once(work, len(files))
        for share, answer in zip(shares, answers, strict=True):
            require_equal(answer == [files[path] for path in share], True)
        return spent

    return play(cast, library, sample)


def _read_all(
    call: Callable[[Any], bytes], turn: Turn, keys: Sequence[Any]
) -> list[bytes]:
    return turn.clocked(call, keys)[1]


# --- finding --------------------------------------------------------------------------


def list_all(cast: Cast) -> Figures:
    """List every directory."""
    files = assets(full=cast.full)
    places = directories(files)
    expected = _numbers_of_names([*files, *places], places)

    def sample(contender: Contender, turn: Turn) -> float:
        keys = [contender.key(path) for path in places]
        spent, answers = turn.clocked(lambda key: [*contender.listdir(key)], keys)
        require_equal([len(answer) for answer in answers], expected)
        return spent

    return play(cast, library, sample)


def _numbers_of_names(paths: Sequence[str], places: Sequence[str]) -> list[int]:
    """Return how many of the paths lie directly in each place."""
    numbers = dict.fromkeys(places, 0)
    for path in paths:
        above = path.rpartition("/")[0]
        if above:
            numbers[above] += 1
    return [*numbers.values()]


def size_of_all(cast: Cast) -> Figures:
    """Ask for the size of every asset."""
    files = assets(full=cast.full)

    def sample(contender: Contender, turn: Turn) -> float:
        keys = [contender.key(path) for path in files]
        return turn.checked(contender.size, keys, [*map(len, files.values())])

    return play(cast, library, sample)


def find(cast: Cast, verb: str, argument: str, matches: str) -> Figures:
    """Walk the tree, or match a pattern, once: the time for one asset that is there."""
    files = assets(full=cast.full)
    expected = sum(path.endswith(matches) for path in files)

    def sample(contender: Contender, turn: Turn) -> float:
        what = contender.key(argument) if verb == "walk" else argument
        spent, answers = turn.clocked(getattr(contender, verb), [what])
        require_equal(answers, [expected])
        return spent / len(files)

    return play(cast, library, sample)


# --- the lines ------------------------------------------------------------------------


def _scene(
    work: str,
    unit: str,
    play: Callable[[Cast], Figures],
    *needs: Verb,
    families: tuple[Family, ...] = EVERY,
    excuses: Mapping[str, str] | None = None,
) -> Scene:
    return Scene(GROUP, work, unit, families, frozenset(needs), play, excuses or {})


SHIPPED: Final[tuple[Family, ...]] = ("shipped",)

SCENES: Final = (
    _scene("import all", "a file", bring_in, "write", families=("memory", "disk")),
    _scene("build", "a file", build, "reopen", families=SHIPPED),
    _scene(
        "open", "", partial(open_shipped, reading=False), "reopen", families=SHIPPED
    ),
    _scene(
        "open and read one",
        "",
        partial(open_shipped, reading=True),
        "reopen",
        "read",
        families=SHIPPED,
    ),
    _scene(
        "open and read all, in list order",
        "a file",
        partial(read, some=None, with_handle=True),
        "open",
    ),
    _scene("read all", "a file", partial(read, some=None), "read"),
    _scene("read at random", "a file", partial(read, some=500), "read"),
    _scene("read all, 8 threads", "a file", read_by_threads, "read", "threads"),
    _scene("list all directories", "a directory", list_all, "listdir"),
    _scene("size of all", "a file", size_of_all, "size"),
    _scene(
        "walk",
        "a file",
        partial(find, verb="walk", argument=TOP, matches=""),
        "walk",
    ),
    _scene(
        "glob **/*.png",
        "a file",
        partial(find, verb="glob", argument=f"{TOP}/**/*.png", matches=".png"),
        "glob",
    ),
)
