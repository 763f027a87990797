"""Forked processes, each to do one thing and to say what came of it."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import traceback
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from pathlib import Path

T = TypeVar("T")

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")

LONG = 40  # seconds: nothing waits this long, unless it waits for ever
BIG = bytes(range(256)) * 400


class ChildFailedError(Exception):
    """A child raised something, or has ended without a word; the text says which."""


class Child:
    """A forked process, which does one thing and may talk with its parent."""

    def __init__(self, work: Callable[[Connection], Any]) -> None:
        self._here, there = multiprocessing.Pipe()
        faulthandler.cancel_dump_traceback_later()  # its thread does not come along
        with warnings.catch_warnings():
            # From Python 3.12 on where threads are alive: that is what is tested.
            warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            self._here.close()
            self._run(work, there)
        there.close()

    @staticmethod
    def _run(work: Callable[[Connection], Any], talk: Connection) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LONG)  # who hangs is killed, so that the test fails
        faulthandler.dump_traceback_later(LONG - 5)
        try:
            answer = (True, work(talk))
        except BaseException:  # noqa: BLE001 - the parent raises it
            answer = (False, traceback.format_exc())
        talk.send_bytes(pickle.dumps(answer))
        os._exit(0)

    def send(self, word: str = "go on") -> None:
        self._here.send(word)

    def receive(self) -> Any:
        if not self._here.poll(LONG):
            message = "the child says nothing"
            raise ChildFailedError(message)
        return self._here.recv()

    def answer(self) -> Any:
        """Return what came of it, when it is over."""
        try:
            returned, found = pickle.loads(self._here.recv_bytes())
        except EOFError:
            returned, found = False, "it has ended without a word"
        self.wait()
        if not returned:
            raise ChildFailedError(found)
        return found

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Return its exit status, when it is over."""
        self._here.close()
        return os.waitpid(self.pid, 0)[1]


def in_child(work: Callable[[], T]) -> T:
    """Return what *work* returns in a forked child; one that hangs is killed."""
    found: T = Child(lambda _: work()).answer()
    return found


def make_container(path: Path) -> Path:
    """Make a container with something to read and something to count."""
    with VirtualFileSystem(path, 64) as vfs:
        vfs.write_text("/old", "old")
        vfs.write_bytes("/big", BIG)
        vfs.write_text("/count", "0")
        vfs.write_text("/parent", "before")
    return path


def assert_sound(path: Path, *names: str) -> None:
    """A third one finds *names* besides what was made, and nothing damaged."""
    code = "import sys, stratavfs as s; v = s.VirtualFileSystem(sys.argv[1]); "
    code += "print(v.listdir('/'), v.check(deep=True)); v.close()"
    seen = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=False
    )
    expected = sorted(["big", "count", "old", "parent", *names])
    if seen.stdout.strip() != f"{expected} []":
        pytest.fail(f"found {seen.stdout} instead of {expected} []\n{seen.stderr}")


def count(vfs: VirtualFileSystem, times: int) -> None:
    for _ in range(times):
        with vfs.atomic_batch():
            vfs.write_text("/count", str(int(vfs.read_text("/count")) + 1))
