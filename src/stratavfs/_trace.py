"""Traces of access: which files are read, in the order of the first time.

While nothing is recorded nothing of this is on the way of any call: a recording puts
other objects in the place of those that the facade asks, and takes them away again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, final, overload

from stratavfs import errors
from stratavfs._arguments import checked_location
from stratavfs._copyup import CopyUp
from stratavfs._layers import LayerStack
from stratavfs._paths import normalize

if TYPE_CHECKING:
    from stratavfs._openfile import InodeFile, WritableFile
    from stratavfs._paths import StrPath
    from stratavfs.records import VPath

# Two recordings may begin at once; and one may end when its object is collected.
_changing: Final = threading.RLock()


@final
class AccessTrace(Sequence[str]):
    """Paths of files, each once, in the order in which they were first read.

    It is what ``VirtualFileSystem.access_trace()`` yields and what
    ``VirtualFileSystem.pack()`` takes as ``order=``. It can be kept in a file of text.

    Args:
        paths: What it begins with.

    Example:
        >>> AccessTrace(["/b", "a", "/b"])
        AccessTrace(['/b', '/a'])
    """

    def __init__(self, paths: Iterable[StrPath] = ()) -> None:
        # Keys of a dictionary: adding one is a single step, whichever thread does it.
        self._paths: dict[str, None] = dict.fromkeys(checked_order(paths))

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return [*self._paths][index]

    def __iter__(self) -> Iterator[str]:
        return iter([*self._paths])

    def __contains__(self, path: object) -> bool:
        return path in self._paths

    def __eq__(self, other: object) -> bool:
        if isinstance(other, AccessTrace):
            return [*self] == [*other]
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"AccessTrace({[*self]!r})"

    def add(self, path: StrPath) -> None:
        """Note that the file at *path* was read, unless it was before."""
        self._paths.setdefault(normalize(path))

    def save(self, file: StrPath) -> None:
        """Write the paths to *file*, a path of the host: one JSON string a line."""
        import json  # noqa: PLC0415 - only when used

        location = checked_location(file, "file")
        with open(location, "w", encoding="utf-8", newline="\n") as stream:
            stream.writelines(json.dumps(path) + "\n" for path in self)

    @classmethod
    def load(cls, file: StrPath) -> Self:
        """Return what :meth:`save` has written to *file*.

        A line that does not begin with a quotation mark is taken for a path as it is,
        so that a list may be written by hand.

        Raises:
            InvalidArgument: a line is no JSON string, or no path.
            UnicodeDecodeError: the file is no UTF-8.
        """
        with open(checked_location(file, "file"), encoding="utf-8") as stream:
            lines = [line.rstrip("\n") for line in stream]
        return cls(_path_of(line) for line in lines if line)


def _path_of(line: str) -> str:
    if not line.startswith('"'):
        return line
    import json  # noqa: PLC0415

    try:
        path = json.loads(line)
    except ValueError as error:
        message = f"{line!r} is no JSON string: {error}"
        raise errors.InvalidArgument(message) from error
    return str(path)


def order_of(order: Iterable[StrPath] | StrPath | None) -> Iterable[VPath]:
    """Return the paths of *order*: these, or those in the file of a saved trace."""
    if order is None:
        return ()
    if isinstance(order, str | os.PathLike):
        order = AccessTrace.load(order)
    return dict.fromkeys(checked_order(order))


def checked_order(paths: Any) -> list[VPath]:
    """Return *paths* as they are called here.

    Raises:
        InvalidArgument, InvalidType: they are no paths, or a single one.
    """
    if isinstance(paths, str | bytes) or not isinstance(paths, Iterable):
        message = f"paths should be several, not {type(paths).__name__}"
        raise errors.InvalidType(message)
    return [normalize(path) for path in paths]


# --- recording ------------------------------------------------------------------------


class Recorded(Protocol):
    """What is recorded: it asks these two for all that it reads."""

    _layers: LayerStack
    _copy_up: CopyUp


class Recording:
    """A scope in which a trace of what is read is made.

    Python may raise KeyboardInterrupt just as it enters ``__exit__``, which then does
    nothing; the scope ends with its object in that case.
    """

    def __init__(self, facade: Recorded) -> None:
        self._facade = facade
        self._trace = AccessTrace()

    def __enter__(self) -> AccessTrace:
        with _changing:
            self._record((*self._traces(), self._trace))
        return self._trace

    def __exit__(self, *_: object) -> None:
        try:
            self._end()
        except BaseException:  # wherever an interrupt has left it
            self._end()
            raise

    def __del__(self) -> None:
        if hasattr(self, "_trace"):
            self._end()

    def _end(self) -> None:
        with _changing:
            found = self._traces()
            left = [trace for trace in found if trace is not self._trace]
            if len(left) < len(found):
                self._record((*left,))

    def _traces(self) -> tuple[AccessTrace, ...]:
        layers = self._facade._layers  # noqa: SLF001 - the facade's two rooms
        return layers.traces if isinstance(layers, _Layers) else ()

    def _record(self, traces: tuple[AccessTrace, ...]) -> None:
        facade = self._facade
        layers, copy_up = facade._layers, facade._copy_up  # noqa: SLF001
        if isinstance(layers, _Layers):
            layers = layers.plain
        if isinstance(copy_up, _CopyUp):
            copy_up = copy_up.plain
        if traces:
            layers, copy_up = _Layers(layers, traces), _CopyUp(copy_up, traces)
        facade._layers, facade._copy_up = layers, copy_up  # noqa: SLF001


class _Layers(LayerStack):
    """The layers, noting which paths are read; all else is that of the *plain* ones."""

    # Apart from the attributes, which are those of the plain ones.
    __slots__ = ("plain", "traces")

    def __init__(self, plain: LayerStack, traces: tuple[AccessTrace, ...]) -> None:
        self.__dict__ = plain.__dict__
        self.plain = plain
        self.traces = traces

    def read(self, path: VPath) -> bytes:
        data = super().read(path)
        _note(self.traces, path)
        return data

    def open_local(self, path: VPath) -> InodeFile | None:
        file = super().open_local(path)
        if file is not None:
            _note(self.traces, path)
        return file


class _CopyUp(CopyUp):
    """What opens files, noting which."""

    __slots__ = ("plain", "traces")

    def __init__(self, plain: CopyUp, traces: tuple[AccessTrace, ...]) -> None:
        self.__dict__ = plain.__dict__
        self.plain = plain
        self.traces = traces

    def open_file(self, path: VPath, *, writing: bool = False) -> WritableFile:
        file = super().open_file(path, writing=writing)
        _note(self.traces, path)
        return file


def _note(traces: tuple[AccessTrace, ...], path: VPath) -> None:
    for trace in traces:
        trace.add(path)
