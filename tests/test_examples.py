"""Each example is run, in a directory of its own, and has something to say."""

from __future__ import annotations

import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from icontract import SLOW

if TYPE_CHECKING:
    from types import ModuleType

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_in_child(path: Path, directory: Path) -> str:
    """Run ``main`` in an interpreter of its own, without the slow contracts."""
    program = (
        "import pathlib, runpy, sys\n"
        "main = runpy.run_path(sys.argv[1])['main']\n"
        "main(pathlib.Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, str(path), str(directory)]
    environment = {k: v for k, v in os.environ.items() if k != "ICONTRACT_SLOW"}
    done = subprocess.run(
        command,
        env=environment,
        cwd=directory,
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_examples_are_there() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_takes_a_directory(path: Path) -> None:
    example = load(path)

    assert next(iter(inspect.signature(example.main).parameters)) == "directory"
    assert example.__doc__


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_prints(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if SLOW:
        # They check the whole container around each call: minutes for 2,000 files.
        assert run_in_child(path, tmp_path).strip()
        return
    monkeypatch.chdir(tmp_path)

    load(path).main(tmp_path)

    captured = capsys.readouterr()
    assert captured.out.strip()
    assert captured.err == ""
