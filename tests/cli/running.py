"""Running the command, in this interpreter or in one of its own.

In this interpreter it is quick, and every container is checked when it closes; what
pipes, signals and terminals do to it takes another.
"""

from __future__ import annotations

import io
import os
import select
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple
from unittest import mock

import pytest
from tests import ground

from stratavfs import VirtualFileSystem, cli

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stratavfs.records import StatResult

LONG = 60.0
"""Seconds after which a command hangs; no test is about how long one takes."""

COMMAND = (sys.executable, "-m", "stratavfs")


class Ran(NamedTuple):
    """What became of a command."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "surrogateescape")

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def run(*args: str | os.PathLike[str], stdin: bytes = b"") -> Ran:
    """Run the command in this interpreter, as its entry point does."""
    streams = [io.BytesIO(stdin), io.BytesIO(), io.BytesIO()]
    texts = [
        io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape")
        for stream in streams
    ]
    argv = ["stratavfs", *(os.fspath(arg) for arg in args)]
    before = {number: signal.getsignal(number) for number in signals()}
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "stdin", texts[0]),
        mock.patch.object(sys, "stdout", texts[1]),
        mock.patch.object(sys, "stderr", texts[2]),
    ):
        code = code_of(cli.main)
        for text in texts[1:]:
            text.flush()
    for number, action in before.items():
        signal.signal(number, action)
    return Ran(code, streams[1].getvalue(), streams[2].getvalue().decode("utf-8"))


def signals() -> list[signal.Signals]:
    """Return the signals whose actions a command may set for itself."""
    names = ("SIGINT", "SIGTERM", "SIGPIPE", "SIGHUP")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def code_of(main: Callable[[], object]) -> int:
    """Return the exit code of *main*, which returns it or raises SystemExit."""
    try:
        code = main()
    except SystemExit as left:
        code = left.code
    if code is None:
        return 0
    assert isinstance(code, int), f"the exit code is {code!r}"
    return code


def ok(*args: str | os.PathLike[str], stdin: bytes = b"") -> Ran:
    """Run a command that has to succeed without a word on stderr."""
    ran = run(*args, stdin=stdin)
    assert (ran.code, ran.err) == (0, ""), (args, ran)
    return ran


def refused(*args: str | os.PathLike[str], stdin: bytes = b"", code: int = 1) -> str:
    """Run a command that has to fail with *code*; return its one line on stderr."""
    ran = run(*args, stdin=stdin)
    assert ran.code == code, (args, ran)
    lines = ran.err.splitlines()
    if code == 1:
        assert len(lines) == 1, (args, ran)
        assert lines[0].startswith("stratavfs: "), ran
        assert "Traceback" not in ran.err
    return lines[-1]


# --- in a process of its own ----------------------------------------------------------


def environment(**changes: str) -> dict[str, str]:
    """Return the environment for a process of its own: plain, and for tests alone."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "STRATAVFS_DB")
    }
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC", "TERM": "xterm", **changes}


def spawn(
    *args: str | os.PathLike[str],
    stdin: bytes = b"",
    env: dict[str, str] | None = None,
    command: Sequence[str] = COMMAND,
) -> Ran:
    """Run the command in a process of its own, with pipes at all ends."""
    done = subprocess.run(
        [*command, *args],
        input=stdin,
        capture_output=True,
        env=env or environment(),
        timeout=LONG,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr.decode())


def shell(line: str, env: dict[str, str] | None = None) -> Ran:
    """Run a line of bash in which ``stratavfs`` is the command under test."""
    function = 'stratavfs() { "$STRATAVFS_PYTHON" -m stratavfs "$@"; }\n'
    env = {**(env or environment()), "STRATAVFS_PYTHON": sys.executable}
    return spawn("-c", f"set -o pipefail\n{function}{line}", env=env, command=("bash",))


def in_terminal(
    *args: str | os.PathLike[str], env: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Run the command at a pseudo-terminal; return its code and all it showed."""
    ours, theirs = pytest.importorskip("pty").openpty()
    try:
        with subprocess.Popen(
            [*COMMAND, *args],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=env or environment(COLUMNS="80", LINES="24"),
            start_new_session=True,
        ) as child:
            os.close(theirs)
            theirs = -1
            shown = read_all(ours)
            code = child.wait(LONG)
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)
    return code, shown


def read_all(terminal: int) -> bytes:
    """Return what comes from *terminal* until its other end is closed."""
    shown = b""
    while True:
        ready, _, _ = select.select([terminal], [], [], LONG)
        assert ready, f"nothing more came: {shown!r}"
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux says EIO at the end of a terminal
            piece = b""
        if not piece:
            return shown
        shown += piece


# --- what a container holds -----------------------------------------------------------


def fill(path: str | os.PathLike[str]) -> None:
    """Make the container that most tests of the command look at."""
    ticks = iter(range(1_700_000_000_000_000_000, 1 << 63, 60_000_000_000))
    vfs = VirtualFileSystem(path, clock=lambda: next(ticks))
    with vfs, vfs.atomic_batch():
        vfs.write_bytes("/all.bin", bytes(range(256)))
        vfs.write_text("/bin/run.sh", "#!/bin/sh\necho run\n")
        vfs.chmod("/bin/run.sh", 0o755)
        vfs.write_text("/docs/a.md", "# A\nalpha\nBeta\n")
        vfs.write_text("/docs/b.md", "# B\nbeta\ngamma\n")
        vfs.write_text("/docs/deep/long.txt", numbered(100))
        vfs.mkdir("/empty")
        vfs.write_text("/readme.txt", "hello\n")
        vfs.symlink("readme.txt", "/link")
        vfs.symlink("../readme.txt", "/docs/up")


def numbered(lines: int) -> str:
    """Return that many lines with their numbers in them."""
    return "".join(f"line {number}\n" for number in range(1, lines + 1))


FILES: ground.Tree = {
    "/all.bin": bytes(range(256)),
    "/bin": None,
    "/bin/run.sh": b"#!/bin/sh\necho run\n",
    "/docs": None,
    "/docs/a.md": b"# A\nalpha\nBeta\n",
    "/docs/b.md": b"# B\nbeta\ngamma\n",
    "/docs/deep": None,
    "/docs/deep/long.txt": numbered(100).encode(),
    "/docs/up": "../readme.txt",
    "/empty": None,
    "/link": "readme.txt",
    "/readme.txt": b"hello\n",
}
"""What :func:`fill` makes, in the words of ``ground.tree_of``."""


def with_(**changes: bytes | str | None) -> ground.Tree:
    """Return FILES with *changes*."""
    return {**FILES, **changes}


def tree() -> ground.Tree:
    """Return what is in ``game.db``."""
    return ground.tree_of("game.db")


def lstat(path: str) -> StatResult:
    """Return what ``game.db`` knows of *path* itself."""
    with VirtualFileSystem("game.db", read_only=True) as vfs:
        return vfs.lstat(path)


def mode_of(path: str) -> int:
    """Return the permission bits of *path* in ``game.db``."""
    return stat.S_IMODE(lstat(path).st_mode)
