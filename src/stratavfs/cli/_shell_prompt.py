"""The prompt: lines from a terminal, with a history and completion by the Tab key.

Both are readline's; a Python without it has a prompt all the same. The history is a
file in the platform's directory for state, of which nothing depends: where it cannot be
written there is none.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

from stratavfs.cli import _completion, _quoting, _shell_words
from stratavfs.cli._shell_words import Word

readline: ModuleType | None = None
with suppress(ImportError):  # not on Windows
    import readline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from stratavfs.cli._shell_words import Line

    Answer = Callable[[Line], _completion.Answers]

KEPT: Final = 1000
"""Lines of the history that are kept."""


NO_COMMAND: Final = ("", "> ")
"""The prompts of lines that are text."""


class Prompt:
    """Lines that somebody types."""

    interactive = True

    def __init__(self) -> None:
        self._history: list[str] = []  # what is new in it
        self._prompt = ""
        self._answer: Answer | None = None
        self._found: dict[str, str] = {}

    def origin(self) -> str:
        """Return nothing: who typed the line knows where."""
        return ""

    def read(self, prompt: str) -> str | None:
        """Return what is typed after *prompt*; None for Ctrl-D."""
        self._prompt = prompt
        try:
            return input(prompt)
        except EOFError:
            print()  # noqa: T201 - the shell's own prompt comes after it
            return None

    def keep(self, line: str) -> None:
        """Put *line* into the history, unless it begins with a blank or comes again."""
        if readline is None or line[:1].isspace() or "\n" in line:
            return
        last = readline.get_current_history_length()
        if line and line != (readline.get_history_item(last) if last else ""):
            readline.add_history(line)
            self._history.append(line)

    def begin(self, answer: Answer) -> None:
        """Read the history, and let *answer* say what a line may become."""
        self._answer = answer
        if readline is None:
            return
        readline.set_auto_history(False)
        for line in load_history():
            readline.add_history(line)
        # The whole line is one word for readline, which knows nothing of our quotes.
        readline.set_completer_delims("")
        readline.set_completer(self._complete)
        if "libedit" in (readline.__doc__ or ""):
            readline.parse_and_bind("bind ^I rl_complete")
        else:
            readline.parse_and_bind("tab: complete")
            readline.set_completion_display_matches_hook(self._show)

    def end(self) -> None:
        """Write the history."""
        if readline is not None:
            readline.set_completer(None)
            save_history(self._history)
            self._history = []

    # --- completion ------------------------------------------------------------------

    def _complete(self, line: str, number: int) -> str | None:
        """Return what *line* may become, one answer for each *number* from 0 on."""
        if number == 0:
            self._found = {}
            if self._answer is not None and self._prompt not in NO_COMMAND:
                self._found = completed(line, self._answer)
        return next(islice(self._found, number, None), None)

    def _show(self, _: str, found: Sequence[str], longest: int) -> None:
        """Print the last parts of what the line may become, and the prompt again."""
        del longest
        names = [self._found.get(line, line) for line in found]
        # readline leaves it to this hook to write the line again.
        text = self._prompt + (readline.get_line_buffer() if readline else "")
        lines = ["", *columns(names), text]
        print(*lines, sep="\n", end="", flush=True)  # noqa: T201


def completed(line: str, answer: Answer) -> dict[str, str]:
    """Return what the whole of *line* may become, with the name that is listed."""
    word, items = answer(_shell_words.scan(line))
    start = word.start if word or word.quote else len(line)
    if word.quoted_from or word.quote not in ("'", '"'):
        word = Word(word, bare=word.bare)
    values = [item.value for item in items]
    texts = _completion.inserted(values, word)
    found: dict[str, str] = {}
    for value, text in zip(values, texts, strict=True):
        end = f"{word.quote} " if _completion.is_finished(value) else ""
        found[line[:start] + word.quote + text + end] = _last_part(value)
    return found


def _last_part(value: str) -> str:
    """Return what a list shows of *value*.

    >>> _last_part("/art/my file"), _last_part("/art/"), _last_part("stat")
    ('my file', 'art/', 'stat')
    """
    name = value.rstrip("/").rpartition("/")[2]
    return _quoting.harmless(name + "/" * value.endswith("/"))


def columns(names: Sequence[str]) -> list[str]:
    """Return *names* as lines of columns, as many as the terminal has room for."""
    width = max(map(len, names), default=0) + 2
    across = max(1, shutil.get_terminal_size().columns // width)
    rows = -(-len(names) // across)
    return [
        "".join(f"{name:{width}}" for name in names[row::rows]).rstrip()
        for row in range(rows)
    ]


# --- history --------------------------------------------------------------------------


def history_file() -> str:
    """Return the path of the history."""
    home = os.path.expanduser("~")
    if os.environ.get("XDG_STATE_HOME"):
        state = os.environ["XDG_STATE_HOME"]
    elif os.name == "nt":
        state = os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
    elif sys.platform == "darwin":
        state = os.path.join(home, "Library", "Application Support")
    else:
        state = os.path.join(home, ".local", "state")
    return os.path.join(state, "stratavfs", "history")


def load_history() -> list[str]:
    """Return the lines of the history, [] if it cannot be read."""
    with suppress(OSError):
        path = history_file()
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read().splitlines()[-KEPT:]
    return []


def save_history(lines: Sequence[str]) -> None:
    """Append *lines* to the history, which nobody else may read, and cut it short."""
    path = history_file()
    with suppress(OSError):
        if lines:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            _write(path, os.O_APPEND, lines)
        kept = load_history()
        with open(path, "rb") as stream:
            if stream.read().count(b"\n") > KEPT:
                _write(f"{path}.part", os.O_TRUNC, kept)
                os.replace(f"{path}.part", path)


def _write(path: str, how: int, lines: Sequence[str]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)
    with open(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.writelines(f"{line}\n" for line in lines)
