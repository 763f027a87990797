"""A pseudo-terminal with a program in it, which a test types at and reads from.

Nothing waits for a time: what is typed next waits for what the program has shown.
"""

from __future__ import annotations

import os
import re
import select
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from tests.cli.running import LONG, environment

if TYPE_CHECKING:
    from collections.abc import Sequence

# Makes its terminal the one whose Ctrl-C it hears, which a child has to do itself.
TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\a]*\a|[\a\r]")


class Terminal:
    """A program at a terminal of 24 lines and 100 columns.

    Args:
        command: The program and its arguments.
        env: Changes of its environment.
    """

    def __init__(self, command: Sequence[str | os.PathLike[str]], **env: str) -> None:
        self.ours, theirs = pytest.importorskip("pty").openpty()
        import fcntl  # noqa: PLC0415 - neither is there on Windows
        import termios  # noqa: PLC0415

        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        environ = environment(TERM="dumb", **env)
        for name in ("COLUMNS", "LINES"):  # the terminal knows better
            environ.pop(name, None)
        self.child = subprocess.Popen(
            [sys.executable, "-ISc", TAKE_TERMINAL, *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environ,
            start_new_session=True,
        )
        os.close(theirs)
        self._unread = ""
        self.shown = ""
        """All that the program has shown."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.kill()  # nothing happens to one that has ended
        self.child.wait(LONG)
        os.close(self.ours)

    def type(self, text: str) -> None:
        """Type *text*; ``\\n`` is the Enter key, ``\\t`` Tab, ``\\x03`` Ctrl-C."""
        os.write(self.ours, text.encode("utf-8", "surrogateescape"))

    def until(self, text: str) -> str:
        """Read until the program has shown *text*; return what came before it."""
        deadline = time.monotonic() + LONG
        while text not in self._unread:
            if not self._read(deadline):
                pytest.fail(f"no {text!r} came, but {self._unread!r}")
        before, _, self._unread = self._unread.partition(text)
        return before

    def ask(self, line: str, prompt: str) -> str:
        """Type *line* and Enter; return what is shown up to the next *prompt*."""
        self.type(f"{line}\n")
        self.until(f"{line}\n")
        return self.until(prompt)

    def end(self) -> int:
        """Read up to the program's end; return its exit code."""
        deadline = time.monotonic() + LONG
        while self._read(deadline):
            pass
        return self.child.wait(LONG)

    def interrupt(self) -> None:
        """Type Ctrl-C once the program waits for something."""
        until_asleep(self.child.pid)
        self.type("\x03")

    @property
    def unread(self) -> str:
        """What was shown and not waited for."""
        return self._unread

    def _read(self, deadline: float) -> bool:
        """Read what is there; tell whether the program may show more."""
        left = max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([self.ours], [], [], left)
        if not ready:
            pytest.fail(f"nothing more came after {self.shown[-500:]!r}")
        try:
            piece = os.read(self.ours, 65536)
        except OSError:  # Linux says EIO at the end of a terminal
            return False
        text = ESCAPES.sub("", piece.decode("utf-8", "replace"))
        self.shown += text
        self._unread += text
        return bool(piece)


def until_asleep(pid: int) -> None:
    """Wait until the program *pid* sleeps in a system call, where that can be known.

    A signal that comes just before Python's ``select`` or ``read`` is heard only after
    the next key: nobody's hand is as quick as a test.
    """
    deadline = time.monotonic() + LONG
    stat = Path(f"/proc/{pid}/stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "S":
        if time.monotonic() > deadline:
            pytest.fail("it never sleeps")
