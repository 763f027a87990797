"""Exporting a tree to the host: what is written, and what becomes of what is there.

A new file is made under its own name, and one that is replaced under another, which
becomes its own at the end: whoever looks sees the old bytes or the new ones. Where it
ends early nothing half is left.
"""

from __future__ import annotations

import os
from contextlib import closing, suppress
from stat import S_IFDIR, S_ISREG
from typing import TYPE_CHECKING, Final

from stratavfs import _host_names, errors
from stratavfs import _host_target as host
from stratavfs._content import extents
from stratavfs._export_conflicts import Conflicts
from stratavfs._host import id_of
from stratavfs._host_attributes import Attributes
from stratavfs._host_names import check_encoding, check_name
from stratavfs._merged import Xattrs, opened, read, walk
from stratavfs.records import TransferReport, VPath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from stratavfs._choices import Choices
    from stratavfs._host import FileId
    from stratavfs._host_target import Directory
    from stratavfs._layers import LayerStack
    from stratavfs._merged import Found, Walk
    from stratavfs._progress import Meter
    from stratavfs._selection import Selection

    # Directory below the top, name there, and what the host knows it by.
    First = tuple[str, str, FileId]

WHOLE: Final = 1 << 16  # bytes of a file that is held as a whole
_STEP: Final = 1 << 20  # bytes of one that is not, held at a time


def export_tree(
    layers: LayerStack,
    top: VPath,
    host_dir: str,
    chosen: Selection,
    choices: Choices,
    meter: Meter,
    *,
    follow: bool,
) -> TransferReport:
    """Write what is in the directory *top* into *host_dir*, made if it is missing.

    A directory that is there already keeps what is in it; the top keeps its attributes
    too, and so do the others with ``on_conflict="skip"``.

    Raises:
        OSError: of the host, with its path, or of the file system. A note of it tells
            how much was exported before, which stays.
    """
    steps = walk(layers, top, chosen, follow=follow)
    return _Export(layers, steps, choices, meter).run(host_dir)


class _Export:
    """One export, with what it has counted."""

    def __init__(
        self, layers: LayerStack, steps: Walk, choices: Choices, meter: Meter
    ) -> None:
        self._layers, self._steps = layers, steps
        self._choices, self._meter = choices, meter
        self._attributes = Attributes(Xattrs(layers).of, choices.preserve)
        self._there = Conflicts(layers, choices)
        self._links = "links" in choices.preserve
        self._firsts: dict[object, First] = {}  # of files with several names
        self._branch: host.Branch
        self._inside: list[tuple[Found, bool]] = []  # with: set its attributes
        self._files = self._directories = self._symlinks = self._bytes = 0
        self._failures: list[tuple[str, OSError]] = []

    def _report(self) -> TransferReport:
        return TransferReport(
            files=self._files,
            directories=self._directories,
            symlinks=self._symlinks,
            bytes=self._bytes,
            unchanged=self._there.unchanged,
            skipped=self._there.skipped,
            failures=tuple(self._failures),
        )

    # --- from the first to the last --------------------------------------------------

    def run(self, host_dir: str) -> TransferReport:
        found = self._steps.top
        mode = self._attributes.mode_of_new(found.entry.require_directory())
        here = host.top_directory(host_dir, mode)
        self._branch = host.Branch(here)
        self._inside.append((found, here.fresh))
        try:
            self._put_all()
            self._go_to(None)
        except BaseException as error:
            error.add_note(
                f"exported before it: {self._files:,} files, {self._directories:,} "
                f"directories, {self._symlinks:,} symbolic links"
            )
            self._give_up()
            raise
        self._meter.finish()
        return self._report()

    def _put_all(self) -> None:
        steps, meter = self._steps, self._meter
        while True:
            try:
                found = next(steps)
            except StopIteration:
                return
            except OSError as error:
                self._fail(steps.at, error)
                continue
            size = 0
            if found.path:
                self._go_to(found.path.rpartition("/")[0])
                try:
                    size = self._put(found)
                except OSError as error:
                    self._fail(found.entry.asked, error)
                    if found.entry.is_directory:
                        steps.prune()
            meter.total = steps.seen
            meter.count(found.entry.asked, size)

    def _fail(self, path: str, error: OSError) -> None:
        """Raise *error*, or note it and go on, as was chosen."""
        if not self._choices.skip_failures:
            raise error
        self._failures.append((path, error))

    def _go_to(self, directory: str | None) -> None:
        """Leave what is not at or above *directory*; None: leave all."""
        while self._inside and self._inside[-1][0].path != directory:
            self._leave()

    def _leave(self) -> None:
        """Leave a directory: nothing changes in it any more, so it gets its times."""
        found, settled = self._inside.pop()
        try:
            if settled:
                self._settle(found)
        except OSError as error:
            self._fail(found.entry.asked, error)
        finally:
            self._branch.leave()

    def _settle(self, found: Found) -> None:
        here = self._branch.here
        self._attributes.put(here.itself(), found.entry, here.path)

    def _give_up(self) -> None:
        """Leave all directories as they would be without what was still to come."""
        with suppress(OSError):
            while self._inside:
                found, settled = self._inside.pop()
                with suppress(OSError):
                    if settled:
                        self._settle(found)
                self._branch.leave()
        self._branch.close()

    # --- one after the other ---------------------------------------------------------

    def _put(self, found: Found) -> int:
        """Write what was *found*; return the bytes that nobody was told of yet."""
        here = self._branch.here
        name = found.path[found.path.rfind("/") + 1 :]
        if _host_names.PARTICULAR:
            check_name(name, here.path_of(name))
        self._there.refuse_beside(here, name)
        status = None if here.fresh else here.lstat(name)
        if status is None:
            try:
                return self._make(here, name, found)
            except FileExistsError:
                status = here.lstat(name)
                if status is None:
                    raise
        if self._there.is_same(here, name, status, found):
            self._keep(here, name, found)
        elif self._there.gives_way(status, found, here.path_of(name)):
            return self._make(here, name, found, over=True)
        elif found.entry.is_directory:
            self._steps.prune()
        return 0

    def _keep(self, here: Directory, name: str, found: Found) -> None:
        """Let what is there stand for what was *found*."""
        if found.entry.is_directory:
            self._branch.enter(name, fresh=False)
            self._inside.append((found, self._choices.on_conflict != "skip"))
        else:
            self._remember(here, name, found)

    def _make(
        self, here: Directory, name: str, found: Found, *, over: bool = False
    ) -> int:
        """Make it; *over*: in the place of something else. Return as :meth:`_put`."""
        inode = found.entry.require()
        if inode.is_directory:
            self._make_directory(here, name, found, over=over)
            return 0
        if inode.target is not None:
            self._make_symlink(here, name, found, inode.target, over=over)
            return 0
        first, size, told = self._firsts.get(self._key_of(found)), 0, 0
        if first is None or not self._make_name(here, name, first, over=over):
            size, told = self._write(here, name, found, over=over)
            self._remember(here, name, found)
        here.note(name)
        self._files += 1
        self._bytes += size
        return size - told

    def _make_directory(
        self, here: Directory, name: str, found: Found, *, over: bool
    ) -> None:
        if over:
            here.remove(name)
        here.make_directory(name, self._attributes.mode_of_new(found.entry.require()))
        here.note(name)
        self._branch.enter(name, fresh=True)
        self._inside.append((found, True))
        self._directories += 1

    # --- files -----------------------------------------------------------------------

    def _write(
        self, here: Directory, name: str, found: Found, *, over: bool
    ) -> tuple[int, int]:
        """Write a file; return its bytes, and those that the caller was told of."""
        part = here.part() if over else name
        path = here.path_of(name)
        handle = here.create(part, self._attributes.mode_of_new(found.entry.require()))
        try:
            try:
                counts = self._fill(handle, found, path)
                if host.BY_HANDLE:
                    self._attributes.put(handle, found.entry, path)
            finally:
                os.close(handle)
            if not host.BY_HANDLE:
                self._attributes.put(here.place(part)[0], found.entry, path)
            if over:
                here.replace(part, name)
        except BaseException:
            here.remove(part)
            raise
        return counts

    def _fill(self, handle: int, found: Found, path: str) -> tuple[int, int]:
        entry = found.entry
        if entry.require().size <= WHOLE:
            data = read(self._layers, entry)
            if data:
                host.write(handle, data, path)
            return len(data), 0
        with closing(opened(self._layers, entry)) as source:
            size = entry.require().size
            try:
                for offset, view in extents(source, size, _STEP):
                    host.write_at(handle, offset, view, path)
                    self._meter.bytes(entry.asked, len(view))
            except EOFError as error:
                raise errors.changed_meanwhile(entry.asked) from error
        host.set_size(handle, size, path)
        return size, size

    def _key_of(self, found: Found) -> object:
        """Return what tells a file of several names from others."""
        inode = found.entry.require()
        if inode.nlink == 1 or not self._links:
            return None
        return found.entry.device, inode.id, inode.size, inode.mtime_ns

    def _remember(self, here: Directory, name: str, found: Found) -> None:
        """Remember where the first name of a file is that has several."""
        key = self._key_of(found)
        status = None if key is None else here.lstat(name)
        if status is not None and S_ISREG(status.st_mode):
            first = (self._inside[-1][0].path, name, id_of(status))
            self._firsts.setdefault(key, first)

    def _make_name(
        self, here: Directory, name: str, first: First, *, over: bool
    ) -> bool:
        """Make one more name of the file at *first*; False: the host does not."""
        directory, known, identity = first
        part = here.part() if over else name
        try:
            with self._branch.at(directory) as above:
                here.make_name(part, above, known)
        except FileExistsError:
            raise
        except OSError:  # too many names, another file system, or it has gone
            return False
        except BaseException:
            if over:
                here.remove(part)
            raise
        done = False
        try:
            status = here.lstat(part)
            if status is None or not host.is_file(status, identity):
                return False
            if over:
                here.replace(part, name)
            done = not over  # two names of one file do not replace each other
        finally:
            if not done:
                here.remove(part)
        return True

    def _make_symlink(
        self, here: Directory, name: str, found: Found, target: str, *, over: bool
    ) -> None:
        entry = found.entry
        if _host_names.PARTICULAR:
            check_encoding(target, here.path_of(name))
        directory = _host_names.WINDOWS and self._layers.type_of(entry.path) == S_IFDIR
        part = here.part() if over else name
        made = over
        try:
            here.make_symlink(target, part, directory=directory)
            made = True
            with here.naming(name):
                self._attributes.put_link(*here.place(part), entry)
            if over:
                here.replace(part, name)
        except BaseException:
            if made:
                here.remove(part)
            raise
        here.note(name)
        self._symlinks += 1


# --- the files one by one -------------------------------------------------------------


def iter_files(
    layers: LayerStack,
    top: VPath,
    chosen: Selection,
    *,
    handles: bool,
    opened: Callable[[VPath], BinaryIO],
) -> Iterator[tuple[str, bytes | BinaryIO]]:
    """Yield (path, bytes) of all files at and below *top*; links are left out.

    With *handles* what *opened* gives for the path, which is closed when the next one
    is asked for. What goes meanwhile is left out.
    """
    steps = walk(layers, top, chosen, follow=False)
    while True:
        try:
            found = next(steps)
        except StopIteration:
            return
        except (FileNotFoundError, NotADirectoryError):  # a directory has gone
            continue
        if not found.entry.require().is_file:
            continue
        path = VPath(found.entry.asked)
        try:
            content = opened(path) if handles else layers.read(found.entry.path)
        except (FileNotFoundError, IsADirectoryError):
            continue
        if isinstance(content, bytes):
            yield path, content
            continue
        with content:
            yield path, content
