"""``chmod`` against /bin/chmod: every word of modes makes the same modes of both."""

from __future__ import annotations

import itertools
import os
import shlex
from pathlib import Path

import pytest
from tests.cli import test_against_coreutils as coreutils
from tests.cli.running import ok, run

from stratavfs import VirtualFileSystem

pytestmark = coreutils.pytestmark

START = (0o644, 0o755, 0o000, 0o7777, 0o2750, 0o1777, 0o4711, 0o421)
QUICK = ("u+x", "go-w", "a=rX", "+x", "-w", "=r", "u=g", "o-u", "ug+s,o+t", "u+rwx-x")
ALL = [
    f"{who}{action}{bits}"
    for who, action, bits in itertools.product(
        ("", "u", "g", "o", "a", "go"),
        "+-=",
        ("", "r", "w", "x", "X", "s", "t", "st", "rwx", "rX", "u", "g", "o"),
    )
]
NUMBERS = ["0", "7", "644", "0755", "4755", "2770", "1777", "00755", "00000", "u=rw,7"]


@pytest.fixture(scope="module")
def modes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ``disk``, entries of many modes, and a container of the same."""
    top = tmp_path_factory.mktemp("modes")
    (top / "disk").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(top)
        for mode in START:
            Path(f"disk/f{mode:o}").touch()
            Path(f"disk/d{mode:o}").mkdir()
        ok("import", "--create", "disk", "game.db:/")
    return top


def names() -> list[str]:
    return sorted(f"{kind}{mode:o}" for kind in "fd" for mode in START)


def modes_then_reset() -> tuple[dict[str, str], dict[str, str]]:
    """Return the modes in the container and on the disk, and undo what was done."""
    ours, theirs = {}, {}
    with VirtualFileSystem("game.db") as vfs, vfs.atomic_batch():
        for name in names():
            ours[name] = oct(vfs.stat(f"/{name}").st_mode & 0o7777)
            theirs[name] = oct(os.stat(f"disk/{name}").st_mode & 0o7777)
            vfs.chmod(f"/{name}", int(name[1:], 8))
            os.chmod(f"disk/{name}", int(name[1:], 8))
    return ours, theirs


def assert_same_modes(expressions: list[str], umask: int) -> None:
    before = os.umask(umask)
    try:
        modes_then_reset()
        for expression in expressions:
            words = ["chmod", "--", expression]
            expected = coreutils.on_disk(shlex.join([*words, *names()]))
            found = run(*words, *(f"game.db:/{name}" for name in names()))

            ours, theirs = modes_then_reset()
            assert (expression, ours) == (expression, theirs)
            # Theirs does `-w` too, and complains of what the umask has left.
            complains = "new permissions are" in expected.err
            assert bool(found.code) == (expected.code != 0 and not complains)
    finally:
        os.umask(before)


def test_chmod_of_common_words_makes_the_same_modes(
    modes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(modes)

    assert_same_modes([*QUICK, *NUMBERS], 0o022)


@pytest.mark.slow
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_chmod_of_every_word_makes_the_same_modes(
    modes: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    monkeypatch.chdir(modes)

    assert_same_modes(ALL if umask == 0o022 else ALL[: 3 * 13], umask)
