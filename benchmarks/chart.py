"""The chart of README and docs/: how many times stratavfs everybody takes, as an SVG.

A row for each of the works in ``CHARTED`` and a panel for each family; the line at 1 is
stratavfs. Deterministic: the same figures give the same bytes. It carries its own
background, and colours for those who prefer a dark one.
"""

from __future__ import annotations

import fnmatch
import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchmarks.contenders.bare import peer
from benchmarks.contest import FAMILIES
from benchmarks.report import TITLES, machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.contest import Result

CHARTED: Final = {
    "*: 300 files of 4 KiB*": "write and read 300 files",
    "*by 64 KiB, in": "stream in, 16 MiB",
    "*by 64 KiB, out": "stream out, 16 MiB",
    "*4 KiB at random in 16 MiB, read": "read 4 KiB at random places",
    "*changes of a large file: *": "change 4 KiB at random places",
    "*50 deep with a file each*": "make and remove a deep tree",
    "*small saves: *each by itself": "small saves",
    "*small saves: *in one batch": "small saves in one batch",
    "*game's load: import all": "import a game's assets",
    "*game's load: build": "build a container of them",
    "*game's load: open and read one": "open it and read one",
    "*game's load: read at random": "read assets at random",
    "*game's load: read all, 8 threads": "read all with 8 threads",
    "*game's load: list all directories": "list all directories",
    "*game's load: size of all": "stat all",
    "*game's load: walk": "walk",
    "*game's load: glob *": "recursive glob",
    "growth: rename *": "rename a directory of many",
    "growth: remove *": "remove a directory of many",
    "layers: 4 KiB at the bottom of 64": "read below 64 layers",
    "for each test: *": "the same tree for each test",
}
"""Patterns of "group: work", and what the chart calls them: of several, the last."""

INK, PALE, PAPER, BAND = "#1f2328", "#656d77", "#ffffff", "#f3f5f7"
DARK: Final = {INK: "#e6edf3", PALE: "#9198a1", PAPER: "#0d1117", BAND: "#161b22"}
LEAST, MOST = 0.004, 6000.0


class Look(NamedTuple):
    """How a contender is drawn, and what the legend calls it."""

    label: str
    marker: str
    colour: str


LOOKS: Final = {
    "sql": Look("SQL by hand (the floor)", "|", "#8c959f"),
    "tmpfs": Look("open() on tmpfs or disk", "D", "#8c959f"),
    "open()": Look("open() on tmpfs or disk", "D", "#8c959f"),
    "zipfile": Look("zipfile", "s", "#8c959f"),
    "stella": Look("stella-sqlite-vfs", "o", "#e5534b"),
    "AgentFS": Look("AgentFS", "o", "#d4882a"),
    "D-MemFS": Look("D-MemFS", "o", "#347dde"),
    "PyFilesystem": Look("PyFilesystem2", "o", "#2da771"),
    "OSFS": Look("PyFilesystem2", "o", "#2da771"),
    "ZipFS": Look("PyFilesystem2", "o", "#2da771"),
    "fsspec": Look("fsspec", "o", "#a166d9"),
    "fsspec zip": Look("fsspec", "o", "#a166d9"),
    "pyfakefs": Look("pyfakefs", "o", "#d9619f"),
    "memfs": Look("memfs", "o", "#1fa8b8"),
}
"""Who is drawn; pathlib and the deflated archive are too near to their likes."""
ORDER: Final = [*dict.fromkeys(look.label for look in LOOKS.values())]
PEERS: Final = [*dict.fromkeys(look.label for look in LOOKS.values() if look[1] == "o")]
LANES: Final = {
    label: 0.6 * (nth / (len(PEERS) - 1) - 0.5) for nth, label in enumerate(PEERS)
}
TICKS: Final = (0.01, 0.1, 1, 10, 100, 1000)


def draw(path: str, results: Sequence[Result]) -> None:
    """Draw the comparison into the SVG file *path*.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        mpl, figures = peer("matplotlib"), peer("matplotlib.figure")
    except ImportError as error:
        message = "the chart needs matplotlib: pip install stratavfs[bench]"
        raise ImportError(message) from error
    rows = [name for name in CHARTED.values() if any(charted(results, name))]
    settings = {
        "svg.hashsalt": "stratavfs",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    }
    with mpl.rc_context(settings):
        figure = figures.Figure(figsize=(11.5, 1.65 + 0.3 * len(rows)), facecolor=PAPER)
        _draw_panels(figure, rows, results)
        figure.savefig(path, format="svg", metadata={"Date": None})
    _add_dark_colours(path)


def charted(results: Sequence[Result], name: str) -> Iterator[Result]:
    """Yield what is drawn in the row *name*: one result for each family at most."""
    (pattern,) = [found for found, called in CHARTED.items() if called == name]
    last = {
        result.family: result
        for result in results
        if fnmatch.fnmatch(f"{result.scene.group}: {result.scene.work}", pattern)
    }
    yield from last.values()


def _draw_panels(figure: Any, rows: Sequence[str], results: Sequence[Result]) -> None:
    height = figure.get_figheight()
    grid = {"left": 0.2, "right": 0.985, "wspace": 0.05}
    grid |= {"top": 1 - 0.98 / height, "bottom": 0.6 / height}
    panels = figure.subplots(1, len(FAMILIES), sharey=True, gridspec_kw=grid)
    labels: dict[str, Any] = {}
    for axes, family in zip(panels, FAMILIES, strict=True):
        _dress(axes, TITLES[family], rows)
        for place, name in enumerate(rows):
            for result in charted(results, name):
                if result.family == family:
                    for look, times in _dots(result):
                        dot = _dot(axes, look, times, place)
                        if times < math.inf:
                            labels[look.label] = dot
    _label(figure, labels)


def _label(figure: Any, labels: dict[str, Any]) -> None:
    """Add the title, whose dot is whose, and what was measured."""
    height = figure.get_figheight()
    shown = {label: labels[label] for label in ORDER if label in labels}
    figure.legend(
        shown.values(),
        shown.keys(),
        loc="upper center",
        bbox_to_anchor=(0.5, 1 - 0.3 / height),
        ncols=max(len(shown), 1),
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
        handletextpad=0.1,
        columnspacing=1.3,
    )
    title = "Time taken, as a multiple of stratavfs's: right of the line is slower"
    words = {"ha": "center", "color": INK, "fontsize": 11, "fontweight": "bold"}
    figure.text(0.5, 1 - 0.24 / height, title, **words)
    note = f"{machine()}. A triangle at the edge: given up, too slow to wait for."
    figure.text(0.985, 0.12 / height, note, ha="right", color=PALE, fontsize=7.5)


def _dress(axes: Any, title: str, rows: Sequence[str]) -> None:
    """Give a panel its scale, the line at 1 and a band behind every other row."""
    axes.set_facecolor("none")
    axes.set_xscale("log")
    axes.set_xlim(LEAST, MOST)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), rows, color=INK, fontsize=9)
    axes.set_xticks(TICKS, ["0.01", "0.1", "1", "10", "100", "1,000 x"])
    axes.minorticks_off()
    axes.tick_params(length=0, labelcolor=INK, labelsize=9)
    axes.tick_params(axis="x", labelcolor=PALE, labelsize=8.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for place in range(0, len(rows), 2):
        axes.axhspan(place - 0.5, place + 0.5, color=BAND, linewidth=0, zorder=0)
    for x in TICKS:
        axes.axvline(x, color=PALE, linewidth=0.5, alpha=0.35, zorder=1)
    axes.axvline(1, color=INK, linewidth=1.4, zorder=2)
    axes.set_title(title, color=INK, fontsize=9.5, pad=6)


def _dots(result: Result) -> Iterator[tuple[Look, float]]:
    """Yield who is drawn, and how many times ours it takes; inf: it gave up."""
    for kind in result.kinds:
        times = result.times_ours(kind.name)
        if "given up" in result.absences.get(kind.name, ""):
            times = math.inf
        if times is not None and kind.name in LOOKS:
            yield LOOKS[kind.name], times


def _dot(axes: Any, look: Look, times: float, place: int) -> Any:
    """Draw one; a peer a little above or below the middle, in a lane of its own."""
    hollow, tick = look.marker in "Ds", look.marker == "|"
    gone = times == math.inf
    if gone:
        times = MOST / (1.4 if PEERS.index(look.label) % 2 else 2.2)
    return axes.scatter(
        [min(max(times, LEAST * 1.2), MOST / 1.2)],
        [place + (0 if hollow or tick else LANES[look.label])],
        marker=">" if gone else look.marker,
        s=90 if tick else 24 if hollow else 20 if gone else 34,
        facecolor=PAPER if hollow else look.colour,
        edgecolor=None if tick else look.colour if hollow else PAPER,
        linewidth=2 if tick else 1.2 if hollow else 0.5,
        zorder=3 if hollow or tick else 4,
    )


def _add_dark_colours(path: str) -> None:
    """Let a browser that prefers dark pages show the colours of ``DARK``."""
    rules = [
        f'[style*="{verb}: {light}"] {{ {verb}: {dark} !important }}'
        for light, dark in DARK.items()
        for verb in ("fill", "stroke")
    ]
    style = "\n".join(
        ["<style>", "@media (prefers-color-scheme: dark) {", *rules, "}", "</style>"]
    )
    with open(path, encoding="utf-8") as file:
        before, tag, after = file.read().partition(" <defs>")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{style}\n{tag}{after}")
