"""Checks for layers of your own: inherit from :class:`LayerConformance` and run them.

No test framework is needed: the checks are methods ``test_...`` without arguments.
pytest runs them in a class whose name begins with ``Test``, unittest in one that
inherits from ``unittest.TestCase`` as well.

>>> import io, zipfile
>>> from stratavfs.layers import ZipLayer
>>> class TestZipLayer(LayerConformance):
...     def make_layer(self, files):
...         file = io.BytesIO()
...         with zipfile.ZipFile(file, "w") as archive:
...             for path, data in files.items():
...                 archive.writestr(path[1:], data)
...         return ZipLayer(file)
>>> checks = [name for name in dir(TestZipLayer) if name.startswith("test_")]
>>> for check in checks:
...     getattr(TestZipLayer(), check)()
>>> len(checks)
24
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from stat import S_IFDIR, S_IFREG
from typing import TYPE_CHECKING, Any, Final

from stratavfs import VirtualFileSystem
from stratavfs.records import Inode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stratavfs.layers.protocol import Layer

_FILES: Final = {
    "/readme.txt": b"hello, layer\n",
    "/empty": b"",
    "/docs/guide.txt": b"0123456789" * 30,
    "/docs/deep/er/note": b"\0\xff\n\r\n",
    "/docs-old/guide.txt": b"old",  # its directory sorts between /docs and /docs/
}
_DIRECTORIES: Final = {
    "/": {"readme.txt", "empty", "docs", "docs-old"},
    "/docs": {"guide.txt", "deep"},
    "/docs/deep": {"er"},
    "/docs/deep/er": {"note"},
    "/docs-old": {"guide.txt"},
}
_ABSENT: Final = (
    "/read",
    "/readme.txt2",
    "/guide.txt",
    "/doc",
    "/docs/docs",
    "/docs/deep/note",
    "/nowhere/at/all",
)
_BELOW_A_FILE: Final = ("/readme.txt/x", "/docs/guide.txt/x/y")
_BIG: Final = bytes(range(251)) * (1 + (1 << 20) // 251)  # 251: no power of two fits in


class LayerConformance:
    """What a file system asks of a layer, checked through its protocol.

    Implement :meth:`make_layer`; each check asks for a layer of its own and closes it.

    Raises:
        AssertionError: the layer answers something else than it should; the message
            tells what was asked.
    """

    names: Sequence[str] = (
        "with space",
        "-dash",
        ".hidden",
        "100%",
        "a[b]*?",
        "back\\slash",
        "quote'\"",
        "new\nline",
        "caf\xe9",  # composed and decomposed: two names
        "cafe\u0301",
        "\u65e5\u672c\u8a9e",
        "x" * 255,
    )
    """Names that files may have; leave out those that yours cannot."""

    def make_layer(self, files: Mapping[str, bytes]) -> Layer:
        """Return a layer that holds *files*, and the directories they are in.

        Args:
            files: Contents by path; the paths are absolute and normalised.
        """
        raise NotImplementedError

    @contextmanager
    def _layer(self, files: Mapping[str, bytes] | None = None) -> Iterator[Layer]:
        layer = self.make_layer(_FILES if files is None else files)
        try:
            yield layer
        finally:
            _ask(layer, "close")

    # --- find ------------------------------------------------------------------------

    def test_find_answers_with_a_directory_for_the_root(self) -> None:
        """The root is a directory."""
        with self._layer() as layer:
            _check_directory(layer, "/")

    def test_find_answers_with_a_directory_for_the_root_of_nothing(self) -> None:
        """The root is a directory even in a layer without files, and is empty."""
        with self._layer({}) as layer:
            _check_directory(layer, "/")
            _check(_names(layer, "/") == [], "kinds('/') of no files is not empty")

    def test_find_answers_with_an_inode_for_every_file(self) -> None:
        """A file is one, of its size, without target."""
        with self._layer() as layer:
            for path, data in _FILES.items():
                inode = _found(layer, path)
                _check(inode.is_file, f"find({path!r}) is no file: {inode}")
                _check(inode.size == len(data), f"find({path!r}).size is {inode.size}")
                _check(inode.target is None, f"find({path!r}) is no link: {inode}")

    def test_find_answers_with_an_inode_for_every_directory(self) -> None:
        """A directory that files are in is there, and hides nothing."""
        with self._layer() as layer:
            for path in _DIRECTORIES:
                _check_directory(layer, path)

    def test_find_answers_with_whole_numbers(self) -> None:
        """Numbers and times are whole, and there is at least one link."""
        with self._layer() as layer:
            for path in (*_FILES, *_DIRECTORIES):
                inode = _found(layer, path)
                whole = all(isinstance(n, int) for n in (*inode[:10], *inode[12:14]))
                _check(whole, f"find({path!r}) has no whole number: {inode}")
                _check(inode.nlink > 0, f"find({path!r}).nlink is {inode.nlink}")

    def test_find_answers_none_for_what_is_absent(self) -> None:
        """Asking in vain is None, however much a name looks like another."""
        with self._layer() as layer:
            for path in _ABSENT:
                _check(layer.find(path) is None, f"find({path!r}) finds something")

    def test_find_answers_none_below_a_file(self) -> None:
        """Nothing is below a file; asking for it is asking in vain."""
        with self._layer() as layer:
            for path in _BELOW_A_FILE:
                _check(layer.find(path) is None, f"find({path!r}) finds something")

    # --- kinds -----------------------------------------------------------------------

    def test_kinds_lists_every_name_once(self) -> None:
        """A directory has all its names, no others, and none twice."""
        with self._layer() as layer:
            for path, expected in _DIRECTORIES.items():
                found = _names(layer, path)
                _check(found == sorted(expected), f"kinds({path!r}) lists {found}")

    def test_kinds_tells_the_type_bits(self) -> None:
        """With each name come the type bits alone, the same that find tells."""
        with self._layer() as layer:
            for path in _DIRECTORIES:
                for name, kind in layer.kinds(path):
                    below = path.rstrip("/") + "/" + name
                    wanted = S_IFDIR if below in _DIRECTORIES else S_IFREG
                    _check(kind == wanted, f"kinds({path!r}) has {kind:o} for {name!r}")

    def test_kinds_refuses_what_is_absent(self) -> None:
        """It is no empty directory, and no failure of the layer."""
        with self._layer() as layer:
            for path in (*_ABSENT, *_BELOW_A_FILE):
                _refuses_to_list(layer, path)

    def test_kinds_refuses_a_file(self) -> None:
        """Likewise."""
        with self._layer() as layer:
            for path in _FILES:
                _refuses_to_list(layer, path)

    # --- open ------------------------------------------------------------------------

    def test_open_reads_every_file(self) -> None:
        """All bytes come out, and nothing after them."""
        with self._layer() as layer:
            for path, data in _FILES.items():
                with layer.open(path) as file:
                    found = file.read()
                    _check(found == data, f"open({path!r}) reads {found!r}")
                    _check(file.read() == b"", f"open({path!r}) reads past the end")

    def test_open_gives_a_seekable_file(self) -> None:
        """It says of itself that it can be read, at any place."""
        with self._layer() as layer, layer.open("/docs/guide.txt") as file:
            _check(file.readable(), "readable() says no")
            _check(file.seekable(), "seekable() says no")

    def test_open_reads_at_any_place(self) -> None:
        """Seeking works from the start, the end and the position, and past the end."""
        data = _FILES["/docs/guide.txt"]
        with self._layer() as layer, layer.open("/docs/guide.txt") as file:
            for offset, whence, begin in (
                (123, 0, 123),
                (5, 0, 5),
                (7, 1, 22),  # ten bytes were read at 5
                (-10, 2, 290),
                (1000, 0, 1000),
                (0, 0, 0),
            ):
                at = file.seek(offset, whence)
                _check(at == begin, f"seek({offset}, {whence}) gives {at}")
                found = file.read(10)
                _check(found == data[begin : begin + 10], f"at {begin}: {found!r}")
                _check(file.tell() == begin + len(found), f"tell() is {file.tell()}")

    def test_open_gives_each_caller_a_position(self) -> None:
        """Two open files do not move each other, and one outlives the other."""
        data = _FILES["/docs/guide.txt"]
        with self._layer() as layer, layer.open("/docs/guide.txt") as one:
            with layer.open("/docs/guide.txt") as other:
                _check(one.read(15) == data[:15], "the first does not read")
                _check(other.read(7) == data[:7], "the second begins elsewhere")
                _check(one.read(5) == data[15:20], "the second has moved the first")
            _check(one.read() == data[20:], "closing the second has closed the first")

    def test_open_reads_a_big_file(self) -> None:
        """A megabyte comes out whole, in pieces and from any place."""
        size = 1 << 16
        with self._layer({"/big": _BIG}) as layer, layer.open("/big") as file:
            _check(file.read() == _BIG, "read() of a megabyte differs")
            for begin in (0, size, 900_001, 5, len(_BIG) - 7):
                file.seek(begin)
                found = file.read(size)
                _check(found == _BIG[begin : begin + size], f"at {begin} it differs")

    def test_open_refuses_what_is_absent(self) -> None:
        """Absent is FileNotFoundError; all else says that the layer has failed."""
        with self._layer() as layer:
            for path in (*_ABSENT, *_BELOW_A_FILE):
                _refuses_to_open(layer, path)

    def test_open_refuses_a_directory(self) -> None:
        """Likewise: there is no file."""
        with self._layer() as layer:
            for path in _DIRECTORIES:
                _refuses_to_open(layer, path)

    # --- everything ------------------------------------------------------------------

    def test_names_hold_any_character(self) -> None:
        """Names are taken as they are; see :attr:`names`."""
        files = {f"/{name}/{name}": name.encode() for name in self.names}
        with self._layer(files) as layer:
            found = _names(layer, "/")
            _check(found == sorted(self.names), f"kinds('/') lists {found}")
            for path, data in files.items():
                _check(_found(layer, path).is_file, f"find({path!r}) is no file")
                with layer.open(path) as file:
                    _check(file.read() == data, f"open({path!r}) reads another file")

    def test_version_stays_while_nothing_changes(self) -> None:
        """It can be hashed and compared, and asking changes nothing."""
        with self._layer() as layer:
            before = _ask(layer, "version")
            hash(before)
            _answers(layer)
            after = _ask(layer, "version")
            _check(after == before, f"version() was {before!r} and is {after!r}")

    def test_xattrs_map_names_to_bytes(self) -> None:
        """Attributes have text for names and bytes for values."""
        with self._layer() as layer:
            for path in (*_FILES, *_DIRECTORIES):
                for name, value in (_ask(layer, "xattrs", path) or {}).items():
                    is_text = isinstance(name, str) and isinstance(value, bytes)
                    _check(is_text, f"xattrs({path!r}) has {name!r}: {value!r}")

    def test_threads_ask_at_once(self) -> None:
        """Every thread gets the answers that one gets alone."""
        with self._layer() as layer, ThreadPoolExecutor(4) as pool:
            expected = _answers(layer)
            for found in pool.map(lambda _: _answers(layer), range(8)):
                _check(found == expected, "another thread gets other answers")

    # --- below a file system ---------------------------------------------------------

    def test_stack_shows_the_layer(self) -> None:
        """A file system reads, lists and stats what is in a layer below it."""
        with self._layer() as layer, VirtualFileSystem() as vfs:
            vfs.add_underlay(layer)
            for path, data in _FILES.items():
                _check(vfs.read_bytes(path) == data, f"read_bytes({path!r}) differs")
                _check(vfs.stat(path).size == len(data), f"stat({path!r}) differs")
            for path, names in _DIRECTORIES.items():
                found = vfs.listdir(path)
                _check(found == sorted(names), f"listdir({path!r}) is {found}")

    def test_stack_leaves_the_layer_as_it_is(self) -> None:
        """What a file system writes, removes and moves stays above the layer."""
        with self._layer() as layer, VirtualFileSystem() as vfs:
            before = _answers(layer)
            vfs.add_underlay(layer)
            vfs.write_bytes("/empty", b"new")
            with vfs.open("/docs/guide.txt", "ab") as file:
                file.write(b"!")
            vfs.remove("/readme.txt")
            vfs.rename("/docs", "/moved")
            moved = vfs.read_bytes("/moved/guide.txt")
            _check(vfs.read_bytes("/empty") == b"new", "the layer is on top")
            _check(moved == _FILES["/docs/guide.txt"] + b"!", f"copied up: {moved!r}")
            found = vfs.listdir("/")
            _check(found == ["docs-old", "empty", "moved"], f"listdir('/') is {found}")
            _check(_answers(layer) == before, "the layer has changed")


# --- what the checks ask --------------------------------------------------------------


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def _ask(layer: Layer, method: str, *args: str) -> Any:
    """Return what *method* answers, None if the layer leaves it out."""
    asked = getattr(layer, method, None)
    return None if asked is None else asked(*args)


def _found(layer: Layer, path: str) -> Inode:
    inode = layer.find(path)
    if not isinstance(inode, Inode):
        message = f"find({path!r}) is no Inode: {inode!r}"
        raise AssertionError(message)  # noqa: TRY004 - it is one that fails a test
    return inode


def _check_directory(layer: Layer, path: str) -> None:
    inode = _found(layer, path)
    _check(inode.is_directory, f"find({path!r}) is no directory: {inode}")
    _check(inode.size == 0, f"find({path!r}).size is {inode.size}")
    _check(not inode.opaque, f"find({path!r}) hides what lies below")


def _names(layer: Layer, path: str) -> list[str]:
    return sorted(name for name, _ in layer.kinds(path))


def _refuses_to_list(layer: Layer, path: str) -> None:
    try:
        found = [*layer.kinds(path)]
    except (FileNotFoundError, NotADirectoryError):
        return
    message = f"kinds({path!r}) lists {found}"
    raise AssertionError(message)


def _refuses_to_open(layer: Layer, path: str) -> None:
    try:
        layer.open(path).close()
    except FileNotFoundError:
        return
    except Exception as error:
        message = f"open({path!r}) raises {error!r} instead of FileNotFoundError"
        raise AssertionError(message) from error
    message = f"open({path!r}) opens something"
    raise AssertionError(message)


def _answers(layer: Layer) -> dict[str, tuple[object, object]]:
    """Return all that *layer* says of everything that it has."""
    found: dict[str, tuple[object, object]] = {}
    todo = ["/"]
    while todo:
        path = todo.pop()
        # Reading a file may change when it was read last.
        inode = _found(layer, path)._replace(atime_ns=0)
        if inode.is_directory:
            kinds = sorted(layer.kinds(path))
            found[path] = inode, kinds
            todo += [path.rstrip("/") + "/" + name for name, _ in kinds]
        else:
            with layer.open(path) as file:
                found[path] = inode, file.read()
    return found
