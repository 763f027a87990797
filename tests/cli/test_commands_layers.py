"""Commands that look at layers, and those that look after a container."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests import ground
from tests.cli.running import FILES, ok, refused, run

from stratavfs import VirtualFileSystem

STACK = ("--underlay", "base.db:0:base", "--underlay", "mod.db:10:mod")
STACK_FILE = """
[[underlay]]
path = "base.db"
name = "base"

[[underlay]]
path = "mod.db"
priority = 10
name = "mod"
"""


@pytest.fixture(scope="module")
def stacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the containers are that each test gets copies of."""
    top = tmp_path_factory.mktemp("stack")
    with VirtualFileSystem(top / "base.db") as base:
        base.write_text("/art/hero.txt", "grey")
        base.write_text("/art/grass.txt", "green")
        base.write_text("/intro.txt", "film")
    with VirtualFileSystem(top / "mod.db") as mod:
        mod.write_text("/art/hero.txt", "crimson")
    with VirtualFileSystem(top / "user.db") as user:
        user.add_underlay(top / "base.db", name="base")
        user.add_underlay(top / "mod.db", priority=10, name="mod")
        user.remove("/intro.txt")
        user.write_text("/art/grass.txt", "blue")
        user.write_text("/new.txt", "mine")
    return top


@pytest.fixture
def stack(stacked: Path, work: Path) -> Path:
    """``user.db`` over ``mod.db`` over ``base.db``, with something to tell of each."""
    for name in ("base.db", "mod.db", "user.db"):
        shutil.copyfile(stacked / name, work / name)
    return work / "user.db"


def json_of(*args: str) -> Any:
    return json.loads(ok(*args, "--json").text)


# --- stacks ---------------------------------------------------------------------------


def test_underlays_of_the_command_line_show_through(stack: Path) -> None:
    assert ok("cat", *STACK, "user.db:/art/hero.txt").out == b"crimson"
    assert ok("ls", *STACK, "user.db:/").lines == ["art", "new.txt"]


def test_underlays_may_stand_before_the_command(stack: Path) -> None:
    assert ok(*STACK, "cat", "user.db:/art/hero.txt").out == b"crimson"


def test_underlays_of_equal_priority_stand_in_their_order(stack: Path) -> None:
    first, second = ("--underlay", "base.db"), ("--underlay", "mod.db")

    found = ok("cat", *first, *second, "user.db:/art/hero.txt").out

    assert found == b"grey"


def test_underlays_may_be_directories_and_archives(game: Path) -> None:
    Path("mod/docs").mkdir(parents=True)
    Path("mod/docs/new.md").write_bytes(b"of a directory")
    shutil.make_archive("mod2", "zip", "mod")

    for layer in ("mod", "mod2.zip"):
        found = ok("cat", "--underlay", layer, "game.db:/docs/new.md")

        assert found.out == b"of a directory"


def test_stack_file_is_relative_to_itself(
    stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mods.toml").write_text(STACK_FILE)
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")

    found = ok("cat", "--stack", "../mods.toml", "../user.db:/art/hero.txt")

    assert found.out == b"crimson"


def test_stack_file_may_mount_at_a_prefix(stack: Path) -> None:
    Path("mods.toml").write_text('[[underlay]]\npath = "mod.db"\nat = "/mods/red"\n')

    found = ok("cat", "--stack", "mods.toml", "user.db:/mods/red/art/hero.txt")

    assert found.out == b"crimson"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[[underlay]\n", "line 1"),
        ("[[underlay]]\nname = 'x'\n", "path"),
        ("[[underlay]]\npath = 'base.db'\nprioritiy = 3\n", "prioritiy"),
        ("[[underlays]]\npath = 'base.db'\n", "underlays"),
        ("[[underlay]]\npath = 'base.db'\npriority = 'high'\n", "priority"),
        ("[[underlay]]\npath = 3\n", "path"),
        ("underlay = 3\n", "underlay"),
    ],
)
def test_stack_file_that_is_wrong_is_named_with_its_fault(
    stack: Path, text: str, named: str
) -> None:
    Path("mods.toml").write_text(text)

    ran = run("ls", "--stack", "mods.toml", "user.db:/")

    assert ran.code in (1, 2)
    assert "mods.toml" in ran.err
    assert named in ran.err.splitlines()[-1]


@pytest.mark.parametrize("given", ["--stack", "--underlay"])
def test_stack_of_what_is_missing_names_it(stack: Path, given: str) -> None:
    ran = run("ls", given, "none.toml", "user.db:/")

    assert ran.code in (1, 2)
    assert "none.toml" in ran.err.splitlines()[-1]
    assert "No such file" in ran.err or "does not exist" in ran.err


def test_underlay_with_a_bad_priority_is_named(stack: Path) -> None:
    ran = run("ls", "--underlay", "mod.db:high", "user.db:/")

    assert ran.code in (1, 2)
    assert "mod.db:high" in ran.err


def test_underlays_are_never_written(stack: Path) -> None:
    before = [ground.dump_of("base.db"), ground.dump_of("mod.db")]

    ok("write", *STACK, "user.db:/art/hero.txt", "-", stdin=b"mine")
    ok("rm", "-r", *STACK, "user.db:/art")

    assert [ground.dump_of("base.db"), ground.dump_of("mod.db")] == before
    assert ok("ls", *STACK, "user.db:/").lines == ["new.txt"]


# --- looking --------------------------------------------------------------------------


def test_layers_lists_them_from_the_top(stack: Path) -> None:
    lines = ok("layers", *STACK, "user.db").lines

    assert [name for line in lines for name in ("local", "mod", "base") if name in line]
    found = json_of("layers", *STACK, "user.db")
    assert [layer["name"] for layer in found] == ["local", "mod", "base"]
    assert [layer["priority"] for layer in found[1:]] == [10, 0]


def test_which_names_the_layer_that_answers(stack: Path) -> None:
    assert ok("which", *STACK, "user.db:/art/hero.txt").lines == ["mod"]
    assert ok("which", *STACK, "user.db:/art/grass.txt").lines == ["local"]


def test_which_of_nothing_finds_nothing(stack: Path) -> None:
    ran = run("which", *STACK, "user.db:/intro.txt")

    assert ran.code == 1
    assert ran.out == b""


def test_explain_tells_each_layers_say(stack: Path) -> None:
    lines = ok("explain", *STACK, "user.db:/intro.txt").lines

    assert lines[0] == "/intro.txt"
    assert lines[1].split()[:1] == ["local"]
    assert "whiteout" in lines[1]
    assert lines[-1] == "=> nothing is there"


def test_conflicts_lists_what_mods_fight_about(stack: Path) -> None:
    lines = ok("conflicts", *STACK, "user.db").lines

    assert "/art/hero.txt: mod over base" in lines


def test_diff_lists_the_changes(stack: Path) -> None:
    found = ok("diff", *STACK, "user.db")

    assert found.lines == [
        "modified /art/grass.txt",
        "deleted /intro.txt",
        "added /new.txt",
    ]
    records = json_of("diff", *STACK, "user.db")
    assert records == [
        {"path": "/art/grass.txt", "kind": "modified"},
        {"path": "/intro.txt", "kind": "deleted"},
        {"path": "/new.txt", "kind": "added"},
    ]


def test_revert_takes_the_changes_back(stack: Path) -> None:
    ok("revert", *STACK, "user.db:/intro.txt", "user.db:/art")

    assert ok("diff", *STACK, "user.db").lines == ["added /new.txt"]
    assert ok("cat", *STACK, "user.db:/intro.txt").out == b"film"


def test_apply_carries_the_changes_into_another(stack: Path) -> None:
    ok("apply", *STACK, "user.db", "base.db")

    assert ground.tree_of("base.db") == {
        "/art": None,
        "/art/hero.txt": b"grey",
        "/art/grass.txt": b"blue",
        "/new.txt": b"mine",
    }


def test_flatten_makes_one_container(stack: Path) -> None:
    ok("flatten", *STACK, "user.db", "flat.db")

    assert ground.tree_of("flat.db") == {
        "/art": None,
        "/art/hero.txt": b"crimson",
        "/art/grass.txt": b"blue",
        "/new.txt": b"mine",
    }


def test_flatten_onto_a_file_refuses_and_leaves_it(stack: Path) -> None:
    before = Path("mod.db").read_bytes()

    line = refused("flatten", *STACK, "user.db", "mod.db")

    assert line.startswith("stratavfs: mod.db: ")
    assert Path("mod.db").read_bytes() == before


@pytest.mark.parametrize(
    "line",
    [
        "ls user.db:/",
        "ls -R user.db:/",
        "du user.db:/",
        "stat user.db:/art user.db:/new.txt",
        "info user.db",
        "layers user.db",
        "which user.db:/art/hero.txt",
        "which -a user.db:/art/hero.txt",
        "explain user.db:/intro.txt",
        "conflicts user.db",
        "diff user.db",
        "check user.db",
        "repair user.db",
        "compact user.db",
        "export user.db:/ out",
    ],
)
def test_json_is_one_document_of_ascii(stack: Path, line: str) -> None:
    with VirtualFileSystem(stack) as vfs:
        vfs.write_text("/ünï\n\x1b", "x")

    ran = ok(*STACK, *line.split(), "--json")

    assert json.loads(ran.out) is not None
    assert ran.out.isascii()
    assert b"\x1b" not in ran.out


@pytest.mark.parametrize("line", ["find user.db:/", "grep . user.db:/"])
def test_json_of_what_streams_is_a_record_in_each_line(stack: Path, line: str) -> None:
    ran = ok(*STACK, *line.split(), "--json")

    records = [json.loads(text) for text in ran.lines]
    assert "/art/hero.txt" in [record["path"] for record in records]


# --- upkeep ---------------------------------------------------------------------------


def test_check_of_a_sound_container_says_so(game: Path) -> None:
    assert run("check", "game.db").code == 0
    assert run("check", "--deep", "game.db").code == 0
    assert json_of("check", "game.db") == []


@pytest.mark.damaged
def test_check_lists_findings_and_repair_mends_them(game: Path) -> None:
    ground.execute(game, "DELETE FROM entries WHERE name = 'readme.txt'")

    found = run("check", "game.db")
    as_json = run("check", "--json", "game.db")
    mended = ok("repair", "game.db")

    assert found.code == as_json.code == 1
    assert found.lines
    assert all(line.startswith("game.db: MUST ") for line in found.lines)
    assert {"rule", "subject", "message"} <= set(json.loads(as_json.text)[0])
    assert all(line.startswith("game.db: MUST ") for line in mended.lines)
    assert run("check", "game.db").code == 0
    assert [p for p in ground.tree_of(game) if p.startswith("/lost+found/")]


def test_repair_of_a_sound_container_does_nothing(game: Path) -> None:
    before = ground.dump_of(game)

    ok("repair", "game.db")

    assert ground.dump_of(game) == before


def test_backup_copies_the_container(game: Path) -> None:
    ok("backup", "game.db", "copy.db")

    assert ground.dump_of("copy.db") == ground.dump_of(game)


def test_backup_onto_a_file_refuses_and_leaves_it(game: Path) -> None:
    Path("copy.db").write_bytes(b"mine")

    line = refused("backup", "game.db", "copy.db")

    assert line.startswith("stratavfs: copy.db: File exists")
    assert Path("copy.db").read_bytes() == b"mine"


def test_compact_gives_room_back(game: Path) -> None:
    with VirtualFileSystem(game) as vfs:
        vfs.write_bytes("/large", bytes(1_000_000))
        vfs.remove("/large")
    before = game.stat().st_size

    ok("compact", "game.db")

    assert game.stat().st_size < before
    assert ground.tree_of(game) == FILES


def test_info_counts_what_is_there(game: Path) -> None:
    [found] = json_of("info", "game.db")

    assert (found["files"], found["directories"], found["symlinks"]) == (6, 5, 2)
    assert "6" in ok("info", "game.db").text


@pytest.mark.parametrize(
    "command", ["info", "ls", "check", "repair", "compact", "backup"]
)
def test_any_command_on_a_stranger_refuses_and_leaves_it(
    work: Path, command: str
) -> None:
    ground.make_foreign("notes.db")
    before = ground.files_beside("notes.db")
    more = ["copy.db"] if command == "backup" else []

    line = refused(command, "notes.db", *more)

    assert line.startswith("stratavfs: notes.db: not a stratavfs container")
    assert ground.files_beside("notes.db") == before
    assert not Path("copy.db").exists()
