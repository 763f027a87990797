"""Interrupting a call of the library at a moment of choice, and looking what is left.

CPython runs the handlers of signals between instructions: where a Python function is
entered, and where a call of C returns. The moments inside the library are counted by a
trace; at the n-th the signal's flag is set, the trace ends, and Python delivers the
signal as it does a real one, at once.
"""

from __future__ import annotations

import _thread
import gc
import os
import signal
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground

import stratavfs
from stratavfs import VirtualFileSystem, _stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType

    Call = Callable[[VirtualFileSystem], object]
    Make = Callable[[], VirtualFileSystem]

SOURCES = os.path.dirname(stratavfs.__file__) + os.sep


class Stop(BaseException):
    """No Exception, as KeyboardInterrupt is none."""


class Pending:
    """``Pending[signal]`` sets the signal's flag; the next check of it delivers it.

    A call of a function would be such a check by itself; a subscript is none.
    """

    __class_getitem__ = _thread.interrupt_main


class Watched:
    """A scope in which the moments inside the library are counted, in this thread."""

    def __enter__(self) -> None:
        self.before = sys.gettrace(), sys.getprofile()
        sys.setprofile(self.profile)
        sys.settrace(self.trace)

    def __exit__(self, *_: object) -> None:
        trace, profile = self.before
        sys.settrace(trace)
        sys.setprofile(profile)

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        """Take the entry of a function for a moment."""
        if event == "call" and frame.f_code.co_filename.startswith(SOURCES):
            self.meet(frame)
        return None

    def profile(self, frame: FrameType, event: str, _: object) -> Any:
        """Take the end of a call of C for a moment."""
        if event == "c_return" and frame.f_code.co_filename.startswith(SOURCES):
            self.meet(frame)

    def meet(self, frame: FrameType) -> None:
        raise NotImplementedError


class Moments(Watched):
    """Finds the numbers of those moments that differ in who has called whom where."""

    def __init__(self) -> None:
        self.count = 0
        self.first: dict[object, int] = {}

    def meet(self, frame: FrameType) -> None:
        self.count += 1
        stack = []
        at: FrameType | None = frame
        while at is not None and at.f_code.co_filename.startswith(SOURCES):
            stack.append((at.f_code, at.f_lasti))
            at = at.f_back
        self.first.setdefault(tuple(stack), self.count)


class Interrupting(Watched):
    """Lets the signal wait at the n-th moment."""

    def __init__(self, n: int) -> None:
        self.left = n

    def meet(self, frame: FrameType) -> None:
        self.left -= 1
        if self.left == 0:
            sys.settrace(None)  # what runs for the trace would be interrupted instead
            sys.setprofile(None)
            Pending[signal.SIGINT]  # type: ignore[misc]  # what it is for


@contextmanager
def raising(kind: type[BaseException]) -> Iterator[list[object]]:
    """Let the signal raise *kind*; yield what is raised where nobody can catch it."""
    lost: list[object] = []

    def handler(*_: object) -> None:
        raise kind

    def unraisable(report: Any) -> None:
        if report.exc_type not in (kind, ResourceWarning):
            lost.append(f"in a finalizer: {report.exc_value!r}")

    was, hook = signal.signal(signal.SIGINT, handler), sys.unraisablehook
    sys.unraisablehook = unraisable
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # handles left unclosed
            yield lost
            gc.collect()
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, was)


def place_of(traceback: TracebackType | None) -> str:
    """Return the innermost place in the library: function, and line or entry."""
    found = "outside"
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename.startswith(SOURCES):
            line = traceback.tb_lineno - code.co_firstlineno
            name = f"{os.path.basename(code.co_filename)}:{code.co_qualname}"
            found = f"{name} {f'+{line}' if line else 'entry'}"
        traceback = traceback.tb_next
    return found


def outcome_of(
    call: Call, vfs: VirtualFileSystem, n: int, kind: type[BaseException]
) -> tuple[str, str]:
    """Interrupt *call* at moment *n*; return the place, and what else was raised."""
    try:
        with Interrupting(n):
            call(vfs)
    except kind as error:
        return place_of(error.__traceback__), ""
    except Exception as error:  # noqa: BLE001 - it hides what was raised first
        first: BaseException = error
        while first.__context__ is not None:
            first = first.__context__
        return place_of(first.__traceback__), f"raised {error!r} instead"
    return "swallowed", ""


class Case:
    """A call on file systems that *make* makes; what may be there after it."""

    layers: list[VirtualFileSystem]
    """File systems below the one that is interrupted."""

    def __init__(self, make: Make, call: Call) -> None:
        self.make, self.call, self.layers = make, call, []
        vfs = make()
        self.before = rows_of(vfs)
        moments = Moments()
        with moments:
            call(vfs)
        self.moments = sorted(moments.first.values())
        self.after = rows_of(vfs)

    def broken(
        self,
        kind: type[BaseException] = KeyboardInterrupt,
        stride: int = 1,
        then: Call | None = None,
    ) -> dict[str, str]:
        """Return the places where *kind* breaks something, and what.

        Afterwards *then* is called, which changes what is there.
        """
        found: dict[str, str] = {}
        with ThreadPoolExecutor(1) as others, raising(kind) as lost:
            vfs = self.make()
            for n in self.moments[::stride]:
                place, wrong = outcome_of(self.call, vfs, n, kind)
                wrong = wrong or self.wrong_with(vfs, others)
                if then is not None and not wrong:
                    wrong = error_of(then, vfs)
                if lost:
                    wrong = f"{wrong} {lost.pop()}"
                if wrong:
                    found[place] = wrong
                    self.set_free(vfs)
                if wrong or then is not None or rows_of(vfs) != self.before:
                    vfs = self.make()
        return found

    def set_free(self, vfs: VirtualFileSystem) -> None:
        """Let go of what a broken call has kept, so that the next one is judged."""
        for store in (vfs._store, *(layer._store for layer in self.layers)):
            while store.lock._is_owned():  # type: ignore[attr-defined]
                store.lock.release()
            if not store.closed and store._cx.in_transaction:
                store._cx.execute("ROLLBACK")

    def wrong_with(self, vfs: VirtualFileSystem, others: ThreadPoolExecutor) -> str:
        """Return what is wrong after the call, "" for nothing."""
        locks = [vfs._store.lock, _stack._changing]
        locks += [layer._store.lock for layer in self.layers]
        if not all(others.map(is_free, locks)):
            return "left a lock held"
        if vfs._store._cx.in_transaction:
            return "left a transaction open"
        left = rows_of(vfs)
        if left not in (self.before, self.after):
            return "left half a call"
        wrong = others.submit(error_of, write_and_take_back, vfs).result()
        wrong = wrong or error_of(write_and_take_back, vfs)
        # A handle's buffer goes first into a batch's state before: that is no change.
        if not wrong and rows_of(vfs) not in (left, self.after):
            return "the next call changed more than it did"
        return wrong


def error_of(call: Call, vfs: VirtualFileSystem) -> str:
    """Return what the next call raises, "" for nothing."""
    try:
        call(vfs)
    except Exception as error:  # noqa: BLE001 - whatever it is
        return f"the next call raised {error!r}"
    return ""


# Where Python raises on entering an `__exit__` before its first line, or between two
# lines of which the first cannot be taken back; each is said in the documentation. A
# lock is then let go with the thread's next call, or with the error's traceback.
KNOWN = (
    "_gates.py:Loan.",  # one object for all: it cannot know that it was left
    "_gates.py:Snapshot.__exit__ entry",
    "_gates.py:Transaction.__exit__ entry",
    "_batch.py:Batch.",
    "_store.py:Store.end_read entry",
)


# io itself raises this where an interrupt came while it closed the raw file, or while
# it asked whether that is closed: C takes the error in that question for a yes.
IO_SAYS = tuple(
    f"('{what} closed file') instead"
    for what in ("flush of", "seek of", "write to", "read of")
)


def assert_unbroken(found: dict[str, str]) -> None:
    found = {
        place: what
        for place, what in found.items()
        if not (place.startswith(KNOWN) and what.startswith("left a "))
        and not what.endswith(IO_SAYS)
    }
    if found:  # no assert: python -O would leave it out here
        pytest.fail("\n".join(f"{place}: {what}" for place, what in found.items()))


def rows_of(vfs: VirtualFileSystem) -> ground.Dump:
    return ground.dump(vfs._store._cx)


def is_free(lock: Any) -> bool:
    """Tell whether no other thread holds *lock*."""
    if not lock.acquire(blocking=False):
        return False
    lock.release()
    return True


def write_and_take_back(vfs: VirtualFileSystem) -> None:
    with suppress(KeyError), vfs.atomic_batch():
        vfs.write_text("/after/the", "interrupt")
        if vfs.read_text("/after/the") == "interrupt":
            raise KeyError
        pytest.fail("what was just written is not there")
