"""The comparison's run, tables, baseline and chart, with figures made up."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks import __main__, chart, compare, contest, report
from benchmarks.contenders import KINDS as ALL_KINDS
from benchmarks.contenders.protocol import Kind
from benchmarks.scenes import fixtures
from benchmarks.scenes.scene import Cast, Props, Scene

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.contenders.protocol import Contender
    from benchmarks.scenes.scene import Figures


def make(_: str) -> Contender:
    raise NotImplementedError


OURS = Kind("stratavfs", "memory", make, role="ours")
FLOOR = Kind("sql", "memory", make, role="floor")
QUICK = Kind("D-MemFS", "memory", make)
SLOW = Kind("stella", "memory", make)
LACKING = Kind("memfs", "memory", make, lacks={"glob": "it has none"})
KINDS = [OURS, FLOOR, QUICK, SLOW, LACKING]
KINDS_THERE = [kind for kind in ALL_KINDS if kind.role in {"ours", "floor"}]


def scene(work: str = "glob", play: Any = lambda _: {}, **changes: Any) -> Scene:
    settings: dict[str, Any] = {"needs": frozenset({"glob"}), "families": ("memory",)}
    settings |= changes
    return Scene("a game's load", work, "a file", play=play, **settings)


def result(
    figures: Figures, work: str = "glob", absences: Mapping[str, str] | None = None
) -> contest.Result:
    return contest.Result(scene(work), "memory", KINDS, figures, absences or {}, 0.5)


FIGURES = {
    "stratavfs": [100.0, 200.0, 300.0],
    "sql": [80.0, 160.0, 240.0],
    "D-MemFS": [50.0, 100.0, 150.0],
    "stella": [1000.0, 2000.0, 3000.0],
}


# --- the run --------------------------------------------------------------------------


def test_troupe_without_peers_has_ours_the_floor_and_the_system() -> None:
    found = contest.troupe("none")

    assert {kind.role for kind in found.kinds} == {"ours", "floor", "yardstick"}
    assert found.versions == {}
    assert found.missing == []


def test_troupe_of_an_unknown_name_raises() -> None:
    with pytest.raises(ValueError, match="no peer is called nobody"):
        contest.troupe("stella,nobody")


def test_play_leaves_out_who_cannot_and_says_why(tmp_path: Path) -> None:
    def play(cast: Cast) -> Figures:
        cast.excuses["stella"] = "given up"
        return {"stratavfs": [1.0], "D-MemFS": [1.0]}

    with Props() as props:
        cast = Cast(KINDS, str(tmp_path), False, {}, props)
        found = contest.play(scene(play=play), "memory", cast)

    assert found.absences == {
        "memfs": "it has none",
        "stella": "given up",
        "sql": "it has no part in this",
    }
    assert [*found.figures] == ["stratavfs", "D-MemFS"]


def test_play_of_a_failing_scene_leaves_out_all_but_ours(tmp_path: Path) -> None:
    def play(cast: Cast) -> Figures:
        if len(cast.kinds) > 2:
            raise OSError(5, "a peer broke")
        return {kind.name: [1.0] for kind in cast.kinds}

    with Props() as props:
        cast = Cast(KINDS, str(tmp_path), False, {}, props)
        found = contest.play(scene(play=play), "memory", cast)

    reason = "the scene failed with others: OSError: [Errno 5] a peer broke"
    assert found.figures == {"stratavfs": [1.0], "sql": [1.0]}
    assert found.absences == {
        "memfs": "it has none",
        "D-MemFS": reason,
        "stella": reason,
    }


def test_play_of_a_failure_of_ours_raises(tmp_path: Path) -> None:
    def play(_: Cast) -> Figures:
        raise OSError(5, "ours broke")

    with Props() as props:
        cast = Cast(KINDS, str(tmp_path), False, {}, props)
        with pytest.raises(OSError, match="ours broke"):
            contest.play(scene(play=play), "memory", cast)


@pytest.mark.parametrize(("full", "expected"), [(False, ["a"]), (True, ["a", "b"])])
def test_play_all_leaves_out_what_is_for_full_runs_alone(
    tmp_path: Path, full: bool, expected: Any
) -> None:
    scenes = [scene("a"), scene("b", only_full=True), scene("c", families=("disk",))]

    tables = [*contest.play_all(scenes, KINDS, str(tmp_path), full=full)]

    assert [[one.scene.work for one in table] for table in tables] == [expected]
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
@pytest.mark.parametrize("family", ["memory", "disk"])
def test_same_tree_of_a_fixture_is_given_again_by_ours_and_the_floor(
    tmp_path: Path, family: str
) -> None:
    kinds = [kind for kind in KINDS_THERE if kind.family == family]

    with Props() as props:
        cast = Cast(kinds, str(tmp_path), False, {}, props)
        figures = fixtures.same_tree(cast)

    assert cast.excuses == {}
    assert {"stratavfs", "layered", "sql"} <= {*figures}
    assert [*figures] == [kind.name for kind in kinds]
    assert all(figure > 0 for found in figures.values() for figure in found)


# --- the tables -----------------------------------------------------------------------


def test_table_marks_who_is_ahead_and_drops_who_has_nothing() -> None:
    found = report.table_of([result(FIGURES, absences={"memfs": "it has none"})])

    assert found.columns == ["work", "unit", "stratavfs", "sql", "D-MemFS", "stella"]
    assert found.rows == [
        [
            "glob",
            "us a file",
            "200 (1.0)",
            "<160 (0.80)",
            "<100 (0.50)",
            "2,000 (10)",
        ]
    ]
    assert found.notes == ["memfs: it has none"]


def test_table_of_long_work_is_in_larger_units() -> None:
    figures = {"stratavfs": [30_000.0], "stella": [4_000_000.0]}

    found = report.table_of([result(figures)])

    assert found.rows == [["glob", "ms a file", "30.0 (1.0)", "4,000 (133)"]]


def test_table_has_a_column_for_whom_the_scene_brought_along() -> None:
    figures = {"stratavfs": [100.0], "kernel overlayfs": [50.0]}

    found = report.table_of([result(figures)])

    assert found.columns == ["work", "unit", "stratavfs", "kernel overlayfs"]
    assert found.rows == [["glob", "us a file", "100 (1.0)", "<50.0 (0.50)"]]


def test_notes_name_those_of_one_reason_and_the_rows_unless_it_is_all() -> None:
    absences = {"memfs": "it has none", "sql": "it has none"}
    results = [
        result(FIGURES, "a", absences),
        result(FIGURES, "b", {**absences, "stella": "given up", "stratavfs": "?"}),
    ]

    assert report.notes_of(results) == [
        "memfs, sql: it has none",
        "stella: given up (b)",
    ]


def test_behind_lists_rows_by_the_furthest_ahead() -> None:
    further = {**FIGURES, "D-MemFS": [1.0, 2.0, 3.0], "stella": [50.0, 100.0, 150.0]}

    found = report.behind([result(FIGURES, "a"), result(further, "b")], ["peer"])

    assert list(map(str, found)) == [
        "in memory: a game's load: b: D-MemFS 100 x, stella 2.0 x",
        "in memory: a game's load: a: D-MemFS 2.0 x",
    ]


def test_text_and_markdown_hold_every_cell() -> None:
    table = report.table_of([result(FIGURES)])

    text, page = report.as_text(table), report.as_markdown(table)

    for cell in table.rows[0]:
        assert cell in text
        assert cell.replace("<", "&lt; ") in page


def test_json_holds_figures_and_reasons() -> None:
    absences = {"memfs": "it has none"}

    text = report.as_json(
        "quick", [], [result(FIGURES, absences=absences)], {"fs": "2"}
    )

    found = json.loads(text)
    (played,) = found["comparison"]
    assert found["scale"] == "quick"
    assert found["versions"] == {"fs": "2"}
    assert played["absent"] == absences
    assert played["figures"]["stella"] == {
        "median": 2000.0,
        "times stratavfs": 10.0,
        "rounds": 3,
    }


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (0.0012, 3, "0.001"),
        (0.123, 3, "0.12"),
        (1.234, 3, "1.23"),
        (12.34, 3, "12.3"),
        (123.4, 3, "123"),
        (12345, 3, "12,345"),
        (0.96, 2, "0.96"),
        (1.26, 2, "1.3"),
        (12.6, 2, "13"),
    ],
)
def test_significant_of_a_value_keeps_the_digits_that_matter(
    value: float, digits: int, expected: Any
) -> None:
    assert report.significant(value, digits) == expected


# --- the baseline ---------------------------------------------------------------------


def line(work: str, ratio: float) -> report.Line:
    return report.Line("files", work, "disk", 2.0, "sql", 1.0, ratio, None, 3)


def test_ratios_are_our_time_by_everybodys_but_our_own() -> None:
    found = compare.ratios_of([line("stat", 1.5)], [result(FIGURES)])

    assert found == {
        "files: stat: disk / sql": 1.5,
        "memory: a game's load: glob / sql": 1.25,
        "memory: a game's load: glob / D-MemFS": 2.0,
        "memory: a game's load: glob / stella": 0.1,
    }


def test_moves_beyond_the_tolerance_are_listed_worst_first() -> None:
    before = {"same": 1.0, "worse": 1.0, "worst": 1.0, "better": 1.0, "gone": 1.0}
    now = {"same": 1.2, "worse": 1.3, "worst": 2.0, "better": 0.5, "new": 1.0}

    found = compare.moves(before, now)

    assert [(move.row, move.factor) for move in found] == [
        ("worst", 2.0),
        ("worse", 1.3),
        ("better", 0.5),
    ]


def test_compare_with_what_was_written_says_what_moved(tmp_path: Path) -> None:
    path = str(tmp_path / "baseline.json")
    compare.write_baseline(path, "full", {"kept": 1.0})
    compare.write_baseline(path, "quick", {"a": 1.0, "b": 1.0, "gone": 1.0})

    said = compare.compared(path, "quick", {"a": 2.0, "b": 1.0, "new": 1.0})

    assert "2 ratios compared" in said
    assert "1 are new, 1 were not run" in said
    assert "worse by more than 25%: 1\n  2.00 x" in said
    assert "better by more than 25%: 0" in said
    assert "full" in json.loads((tmp_path / "baseline.json").read_text())


def test_compare_without_a_baseline_says_so(tmp_path: Path) -> None:
    path = str(tmp_path / "baseline.json")

    missing = compare.compared(path, "quick", {})
    compare.write_baseline(path, "full", {})
    other = compare.compared(path, "quick", {})

    assert missing == f"there is no baseline {path}; --write-baseline makes one"
    assert other == f"the baseline {path} has nothing of the scale 'quick'"


# --- the chart ------------------------------------------------------------------------


@pytest.mark.slow
def test_draw_of_the_same_figures_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    results = [result(FIGURES, "size of all"), result(FIGURES, "walk")]

    chart.draw(str(tmp_path / "a.svg"), results)
    chart.draw(str(tmp_path / "b.svg"), results)

    drawn = (tmp_path / "a.svg").read_bytes()
    assert drawn == (tmp_path / "b.svg").read_bytes()
    assert b"stat all" in drawn
    assert b"prefers-color-scheme: dark" in drawn


def test_draw_without_matplotlib_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(ImportError, match=r"pip install stratavfs\[bench\]"):
        chart.draw(str(tmp_path / "a.svg"), [])


# --- the command ----------------------------------------------------------------------


def test_command_for_work_that_is_not_there_writes_empty_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["benchmarks", "--quick", "--only", "no such work", "--peers", "none"]
    command += ["--json", str(tmp_path / "a.json"), "--compare", str(tmp_path / "none")]
    monkeypatch.setattr(sys, "argv", [*command, "--directory", str(tmp_path)])

    status = __main__.main()

    assert status == 0
    assert json.loads((tmp_path / "a.json").read_text())["comparison"] == []
    said = capsys.readouterr().out
    assert "there is no baseline" in said
    assert "0 rows of budgets, 0 over budget; 0 rows of the comparison" in said
