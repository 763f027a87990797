"""The pages of the command: each example runs, and every command has its section."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from tests.cli.running import Ran, environment, run

from stratavfs.cli._app import app

REPOSITORY = Path(__file__).parent.parent.parent
REFERENCE = REPOSITORY / "docs" / "reference" / "cli.md"
PAGES = [REFERENCE, REPOSITORY / "docs" / "how-to" / "command-line.md"]

CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^```toml\n# ([\w.-]+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECTION = re.compile(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
NAMES = app.list_commands(click.Context(app))


def command(name: str) -> click.Command:
    found = app.get_command(click.Context(app), name)
    assert found is not None
    return found


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


# --- running a console ----------------------------------------------------------------


class Step(NamedTuple):
    """One line that is typed, and what the page shows under it."""

    line: str
    shown: str
    number: int
    """Line of the page."""


def steps_of(page: Path) -> list[Step]:
    """Return the steps of all consoles; blocks of TOML are files, written before.

    A line that ends in a backslash goes on in the next one.
    """
    text = text_of(page)
    found = []
    for block in CONSOLE.finditer(text):
        first = text.count("\n", 0, block.start(1)) + 1
        for part in re.finditer(
            r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block[1], re.MULTILINE
        ):
            number = first + block[1].count("\n", 0, part.start())
            found.append(Step(part[1].replace("\\\n", " "), part[2], number))
    return found


class Console:
    """What a person types at: pipes, redirections, ``export`` and ``echo $?``.

    The command under test runs in this interpreter, all others are the system's.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self._code = 0

    def type(self, line: str) -> str:
        """Return what *line* shows, errors last."""
        tokens = shlex.shlex(line, posix=True, punctuation_chars="|<>")
        tokens.whitespace_split = True
        given, shown = b"", ""
        for stage in self._stages([*tokens]):
            ran = self._run(*stage, given)
            given, self._code = ran.out, ran.code
            shown += ran.err
        return given.decode() + shown

    @staticmethod
    def _stages(words: list[str]) -> list[tuple[list[str], str | None]]:
        """Return the commands of a pipe, each with the file its output goes to."""
        stages: list[tuple[list[str], str | None]] = [([], None)]
        it = iter(words)
        for word in it:
            if word == "|":
                stages.append(([], None))
            elif word == ">":
                stages[-1] = (stages[-1][0], next(it))
            else:
                stages[-1][0].append(word)
        return stages

    def _run(self, words: list[str], target: str | None, given: bytes) -> Ran:
        words = [word.replace("$?", str(self._code)) for word in words]
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            self._patch.setenv(name, value)
            return Ran(0, b"", "")
        if words[0] == "cd":
            self._patch.chdir(words[1])
            return Ran(0, b"", "")
        if words[0] == "stratavfs":
            ran = run(*words[1:], stdin=given)
        else:
            ran = self._system(words, given)
        if target is None:
            return ran
        Path(target).write_bytes(ran.out)
        return ran._replace(out=b"")

    @staticmethod
    def _system(words: list[str], given: bytes) -> Ran:
        done = subprocess.run(
            words,
            input=given,
            capture_output=True,
            check=False,
            env={**environment(), "COLUMNS": "80"},
        )
        return Ran(done.returncode, done.stdout, done.stderr.decode())


def matches(expected: str, shown: str) -> bool:
    """Tell whether *shown* is what is expected; ``[...]`` is anything in a line."""
    parts = [re.escape(part) for part in expected.rstrip().split("[...]")]
    return re.fullmatch(r"[^\n]*".join(parts), shown.rstrip()) is not None


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the console is a POSIX shell's")
@pytest.mark.skipif(shutil.which("tar") is None, reason="examples use tar")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_shows_what_its_commands_print(
    page: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in FILE.findall(text_of(page)):
        Path(name).write_text(text, encoding="utf-8")
    console = Console(monkeypatch)
    steps = steps_of(page)

    wrong = []
    for step in steps:
        shown = console.type(step.line)
        if not matches(step.shown, shown):
            wrong.append(f"line {step.number}: $ {step.line}\n{shown}")

    assert len(steps) > 10
    assert "\n".join(wrong) == ""


def test_page_matcher_is_no_matcher_of_everything() -> None:
    assert matches("a [...] c\n", "a b c")
    assert not matches("a [...] c\n", "a b\nb c")
    assert not matches("", "a")
    assert not matches("a.c", "abc")


# --- what the reference has to say ----------------------------------------------------


def sections() -> dict[str, str]:
    return dict(SECTION.findall(text_of(REFERENCE)))


def test_reference_has_a_section_for_each_command() -> None:
    assert sorted(sections()) == sorted(NAMES)


def test_reference_shows_usage_and_an_example_of_each() -> None:
    told = sections()
    usage = r"^`stratavfs {}\b.*`$"
    example = r"^\$ (.*\| )?stratavfs {}\b"

    missing = [
        name
        for name in NAMES
        for pattern in (usage, example)
        if not re.search(pattern.format(name), told[name], re.MULTILINE)
    ]

    assert missing == []


def test_reference_tells_of_each_option() -> None:
    told = sections()

    missing = [
        (name, param.opts)
        for name in NAMES
        for param in command(name).params
        if isinstance(param, click.Option)
        and not param.hidden
        and not any(f"`{option}" in told[name] for option in param.opts)
        and "--help" not in param.opts
    ]

    assert missing == []


def test_reference_tells_of_no_option_that_is_not_there() -> None:
    row = re.compile(r"^\| `(-[^ `=]+)`(?:, `(-[^ `=]+)`)?", re.MULTILINE)
    wrong = [
        (name, option)
        for name, text in sections().items()
        for pair in row.findall(text)
        for option in pair
        if option and option not in options_of(name)
    ]

    assert wrong == []


def options_of(name: str) -> set[str]:
    return {
        option
        for param in command(name).params
        for option in [*param.opts, *param.secondary_opts]
    }


# --- help -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", *NAMES])
def test_help_fits_one_screen(name: str) -> None:
    ran = run(*([name] if name else []), "--help")

    assert ran.code == 0
    assert ran.err == ""
    assert len(ran.lines) <= 24
    assert [line for line in ran.lines if len(line) > 80] == []
    assert ran.lines[0].startswith(f"Usage: stratavfs {name}".rstrip())


def test_help_has_its_paragraphs_at_one_margin() -> None:
    texts = {name: run(name, "--help").text.partition("Options:")[0] for name in NAMES}

    # The usage, which may be longer than a line, comes before the first of them.
    indented = [n for n, text in texts.items() if "\n   " in text.partition("\n\n")[2]]
    assert indented == []


def test_help_names_every_command() -> None:
    text = run("--help").text

    assert [name for name in NAMES if not re.search(rf"\b{name}\b", text)] == []
