"""Progress bars: on standard error if that is a terminal, else none.

rich, which draws them, is loaded when the first one is drawn.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from stratavfs.cli import _output, _quoting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stratavfs.records import Progress

    Listener = Callable[[Progress], object]


@contextmanager
def bar(title: str, *, after: float = 0.0) -> Iterator[Listener | None]:
    """Return a context that yields what an API's ``progress=`` takes.

    The bar is taken away at the end; None is yielded where there is no terminal.

    Args:
        title: What is being done.
        after: Seconds for which nothing is drawn: most is done before.
    """
    if sys.stderr is None or not _output.is_terminal(sys.stderr):
        yield None
        return
    start = time.monotonic() + after
    with ExitStack() as stack:
        listener: Listener | None = None

        def listen(progress: Progress) -> None:
            nonlocal listener
            if listener is None and time.monotonic() >= start:
                listener = stack.enter_context(_drawn(title))
            if listener is not None:
                listener(progress)

        yield listen


@contextmanager
def _drawn(title: str) -> Iterator[Listener]:
    """Return a context in which a bar is drawn, by what it yields."""
    from rich.console import Console  # noqa: PLC0415 - 60 ms
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
    )

    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[size]}", markup=False),
        TextColumn("{task.fields[path]}", markup=False),
        console=Console(file=sys.stderr),
        transient=True,
    ) as drawn:
        task = drawn.add_task(title, total=None, size="", path="")
        yield lambda progress: drawn.update(
            task,
            completed=progress.done,
            total=progress.total or None,
            size=_output.human(progress.bytes),
            path=_quoting.harmless(progress.path)[-40:],
        )
