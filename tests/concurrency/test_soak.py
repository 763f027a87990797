"""The soak: a short one each time, and proof that it would find what it looks for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from tests.soak.__main__ import main, parser
from tests.soak.below import Below, Editions, Reading, Searching
from tests.soak.own import Own
from tests.soak.plan import FAULTS, plans
from tests.soak.rounds import Soak
from tests.soak.works import WORKS, Bank, Counter, Log, Pages, Tokens

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.soak.works import Work

    Vfs = VirtualFileSystem

ROOT = Path(__file__).parents[2]


def soak(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with *directory* as the place for what is temporary."""
    environment = {**os.environ, "TMPDIR": str(directory)}
    # What a call verifies by further calls holds only while nobody else works.
    environment.pop("ICONTRACT_SLOW", None)
    return subprocess.run(
        [sys.executable, "-m", "tests.soak", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


# --- running it -----------------------------------------------------------------------


def test_soak_of_two_rounds_finds_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    run = soak(tmp_path, "--rounds", "2", "--seed", "11", "--steps", "60")

    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[-1].startswith("seed 11: 2 rounds, ")
    assert run.stdout.rstrip().endswith("; 0 findings")
    assert run.stderr == ""
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["1", "2"])
def test_soak_of_six_rounds_with_every_fault_finds_nothing(
    tmp_path: Path, seed: str
) -> None:
    run = soak(tmp_path, "--rounds", "6", "--seed", seed)

    assert run.returncode == 0, run.stdout + run.stderr
    assert os.listdir(tmp_path) == []


def test_soak_that_finds_something_says_what_and_exits_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    lay_out = Soak.lay_out

    def lay_out_and_steal(self: Soak) -> None:
        lay_out(self)
        with VirtualFileSystem(self._directory / "shared.db") as vfs:
            vfs.truncate("/bank/0", 10)

    monkeypatch.setattr(Soak, "lay_out", lay_out_and_steal)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("ICONTRACT_SLOW", raising=False)

    status = main(["--rounds", "1", "--steps", "8", "--faults", "", "--quiet"])

    said = capsys.readouterr().out
    assert status == 1
    assert "are not 900 in all" in said
    assert "0 findings" not in said
    assert [*tmp_path.glob("stratavfs*")] == []


def test_soak_refuses_a_fault_that_it_does_not_know(capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--faults", "kill,earthquake"])

    assert caught.value.code == 2
    assert "earthquake" in capsys.readouterr().err


def test_help_names_every_option_and_every_fault() -> None:
    said = parser().format_help()

    assert all(f"--{name}" in said for name in ("minutes", "seed", "rounds", "faults"))
    assert all(f"  {kind} " in said for kind in FAULTS)


def test_plans_are_the_same_for_the_same_seed() -> None:
    def made(seed: int) -> list[Any]:
        kinds = tuple(FAULTS)
        return [plan for n in range(30) for plan in plans("/d", seed, n, kinds, 100)]

    assert made(1) == made(1)
    assert made(1) != made(2)
    kinds = {fault.kind for plan in made(1) for fault in plan.faults}
    assert kinds == {*FAULTS}
    for plan in made(1):
        assert all(fault.thread < plan.threads for fault in plan.faults)
        assert all(fault.step < plan.steps for fault in plan.faults)


# --- finding --------------------------------------------------------------------------


def tamper_with_log(vfs: Vfs) -> None:
    with vfs.open("/log/0", "r+b") as log:
        log.seek(3)
        log.write(b"!")


def drop_line(vfs: Vfs) -> None:
    lines = vfs.read_bytes("/log/0").splitlines(keepends=True)
    vfs.write_bytes("/log/0", b"".join(lines[:1] + lines[2:]))


BREACHES: dict[str, tuple[type[Work], Callable[[Vfs], object]]] = {
    "money lost": (Bank, lambda vfs: vfs.write_bytes("/bank/1", b"")),
    "account lost": (Bank, lambda vfs: vfs.remove("/bank/1")),
    "token lost": (Tokens, lambda vfs: vfs.remove(vfs.glob("/tokens/*/t1")[0])),
    "token twice": (Tokens, lambda vfs: vfs.touch("/tokens/tmp/t1")),
    "counter behind": (Counter, lambda vfs: vfs.write_text("/counter/total", "1")),
    "counter ahead": (Counter, lambda vfs: vfs.write_text("/counter/total", "999")),
    "line torn": (Log, tamper_with_log),
    "line lost": (Log, drop_line),
    "page torn": (
        Pages,
        lambda vfs: [
            vfs.write_bytes(page, b"00000000 torn") for page in vfs.glob("/pages/*")
        ],
    ),
    "page of zeros": (
        Pages,
        lambda vfs: [vfs.write_bytes(page, bytes(50)) for page in vfs.glob("/pages/*")],
    ),
    "name missed": (Searching, lambda vfs: vfs.rmtree("/still/sub/deep")),
    "editions mixed": (
        Editions,
        lambda vfs: vfs.write_bytes("/editions/1", b"00000000 7 7 "),
    ),
    "own file changed": (Own, lambda vfs: vfs.write_bytes("/own/me/a", b"other")),
    "own file lost": (Own, lambda vfs: vfs.rmtree("/own/me")),
    "own file added": (Own, lambda vfs: vfs.touch("/own/me/added")),
}


@pytest.mark.parametrize("name", BREACHES)
def test_look_finds_what_breaks_the_rule_of_a_work(mem: Vfs, name: str) -> None:
    kind, breach = BREACHES[name]
    kind.lay_out(mem)
    work = kind("me", Random(3))
    for _ in range(40):
        work.step(mem)
    assert work.look(mem) == []

    breach(mem)

    assert work.look(mem) != []
    work.close()


def test_look_finds_an_edition_that_is_older_than_one_seen(mem: Vfs) -> None:
    Editions.lay_out(mem)
    owner, reader = Editions("owner", Random(1)), Reading("me", Random(1))
    old = {path: mem.read_bytes(path) for path in mem.glob("/editions/*")}
    owner.step(mem)
    for _ in range(20):
        assert reader.look(mem) == []

    for path, content in old.items():
        mem.write_bytes(path, content)

    assert any("after" in finding for finding in reader.look(mem))


def test_look_of_the_parent_finds_a_step_that_a_worker_has_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As would be if a commit that has returned were not there after a kill."""
    monkeypatch.delenv("ICONTRACT_SLOW", raising=False)
    made = Soak(tmp_path, 1, (), 20)
    made.lay_out()

    def keep(self: Soak, vfs: Vfs) -> None:
        """Leave everything for the second look."""

    monkeypatch.setattr(Soak, "_tidy", keep)
    processes: list[Any] = []
    left_behind = Soak._left_behind

    def remember(self: Soak, found: list[Any]) -> Any:
        processes.extend(found)
        return left_behind(self, found)

    monkeypatch.setattr(Soak, "_left_behind", remember)

    assert made.round(0).findings == ()
    with VirtualFileSystem(tmp_path / "shared.db") as vfs:
        first = vfs.glob("/counter/by/*")[0]
        vfs.write_text(first, str(int(vfs.read_text(first)) - 1))
        found = [said for it in processes for said in it.lost_steps(vfs)]

    assert [said for said in found if "has committed" in said] == found
    assert len(found) == 1


def test_layers_of_the_soak_are_found_below(mem: Vfs, tmp_path: Path) -> None:
    below = Below(tmp_path)
    below.lay_out()
    for kind in WORKS:
        kind.lay_out(mem)

    below.put_under(mem)

    assert [it["kind"] for it in mem.list_layers()][1:] == [
        *("container", "directory", "zip")
    ]
    assert mem.read_text("/host/still/a") == mem.read_text("/archive/still/a")
    assert len(mem.glob("/editions/*")) == 4
