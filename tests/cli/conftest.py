"""Fixtures of the tests of the command: a directory to work in, a container in it."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import pytest

pytest.register_assert_rewrite("tests.cli.running")

from tests.cli import running  # noqa: E402 - its asserts are rewritten first

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The container that each test gets a copy of."""
    path = tmp_path_factory.mktemp("cli") / "filled.db"
    running.fill(path)
    return path


@pytest.fixture(autouse=True)
def work(tmp_path: Path) -> Iterator[Path]:
    """The current directory, empty, and an environment without wishes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        for name in ("STRATAVFS_DB", "FORCE_COLOR", "CLICOLOR_FORCE", "NO_COLOR"):
            patch.delenv(name, raising=False)
        patch.setenv("LC_ALL", "C.UTF-8")
        patch.setenv("TZ", "UTC")
        patch.setenv("COLUMNS", "80")
        patch.setenv("TERM", "xterm")
        set_time_zone()
        yield tmp_path
    set_time_zone()


def set_time_zone() -> None:
    """Let the C library look at TZ again, where it does."""
    if hasattr(time, "tzset"):
        time.tzset()


@pytest.fixture
def game(work: Path, filled: Path) -> Path:
    """``game.db`` in the current directory, filled."""
    path = work / "game.db"
    shutil.copyfile(filled, path)
    return path


@pytest.fixture
def empty(work: Path) -> Path:
    """``empty.db`` in the current directory, with nothing in it."""
    running.ok("init", "empty.db")
    return work / "empty.db"
