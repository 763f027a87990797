"""The oracle: the verbs of the library on a real directory, by os, io, shutil, pathlib.

Paths are virtual ones on both sides. Where the library's documents promise something
else than the disk does, a few lines here do it by hand, and say so.
"""

from __future__ import annotations

import io
import itertools
import os
import shutil
import tempfile
from contextlib import contextmanager
from errno import EBUSY, EEXIST, EINVAL, ENOENT, ENOTDIR
from pathlib import Path
from stat import S_ISLNK
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from tests.model import globbing
from tests.model.compare import virtual_name
from tests.model.host import (
    clone,
    copy_beside,
    is_through_broken_link,
    missing_above,
    naming,
    normalised,
    same_file,
)
from tests.strategies import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


class Real:
    """A real directory under the verbs of ``VirtualFileSystem``."""

    def __init__(self, *, create_parents: bool) -> None:
        self.create_parents = create_parents
        self.base = os.path.realpath(tempfile.mkdtemp(prefix="stratavfs-oracle-"))
        self.root = f"{self.base}/up/root"
        os.makedirs(self.root)
        os.chmod(self.root, 0o755)
        # ".." in a link's target stops at the root in a container. Here it leads out,
        # to links that lead back in.
        for above, name in itertools.product((self.base, f"{self.base}/up"), NAMES):
            os.symlink(f"{self.root}/{name}", f"{above}/{name}")

    def close(self) -> None:
        shutil.rmtree(self.base)

    def host(self, path: Any) -> str:
        """Return where *path* lies on the host."""
        return (self.root + normalised(path)).rstrip("/")

    def _refuse_root(self, *hosts: str) -> None:
        """Do what the kernel does to whoever moves or removes the root."""
        if self.root in hosts:
            raise OSError(EBUSY, "", self.root)

    # --- whole files ------------------------------------------------------------------

    def read_bytes(self, path: Any) -> bytes:
        with open(self.host(path), "rb") as file:
            return file.read()

    def read_text(self, path: Any, *, newline: str | None = None) -> str:
        with open(self.host(path), encoding="utf-8", newline=newline) as file:
            return file.read()

    def write_bytes(self, path: Any, content: bytes) -> int:
        host = self.host(path)

        def act() -> int:
            with open(host, "wb") as file:
                return file.write(content)

        return self._with_parents(host, act)

    def write_text(self, path: Any, text: str, *, newline: str | None = None) -> int:
        host = self.host(path)
        # Promised: bad arguments are refused before the file is touched.
        io.TextIOWrapper(io.BytesIO(), newline=newline).close()
        text.encode()

        def act() -> int:
            with open(host, "w", encoding="utf-8", newline=newline) as file:
                return file.write(text)

        return self._with_parents(host, act)

    def touch(self, path: Any, mode: int = 0o644, exist_ok: bool = True) -> None:
        host = self.host(path)
        act = lambda: Path(host).touch(mode, exist_ok)  # noqa: E731
        self._with_parents(host, act)

    def truncate(self, path: Any, length: int) -> None:
        os.truncate(self.host(path), length)

    def remove(self, path: Any) -> None:
        os.remove(self.host(path))

    def copy(self, src: Any, dst: Any, *, follow_symlinks: bool = True) -> str:
        return self._copy(shutil.copy, src, dst, follow_symlinks)

    def copy2(self, src: Any, dst: Any, *, follow_symlinks: bool = True) -> str:
        return self._copy(shutil.copy2, src, dst, follow_symlinks)

    def _copy(self, verb: Callable[..., str], src: Any, dst: Any, follow: bool) -> str:
        source, target = self.host(src), self.host(dst)

        def act() -> str:
            try:
                return verb(source, target, follow_symlinks=follow)
            except OSError as error:
                if error.filename2 is None:
                    raise
                # os.symlink named the text of the link; promised: the path alone.
                raise OSError(error.errno, "", error.filename2) from error

        read = os.path.realpath(source) if follow else source
        made = self._with_parents(target, act, source=read)
        return str(virtual_name(made))

    # --- asking -----------------------------------------------------------------------

    def _says(self, ask: Callable[[str], bool], path: Any) -> bool:
        try:
            return ask(self.host(path))
        except OSError:  # too long: os.path says no
            return False

    def exists(self, path: Any) -> bool:
        return self._says(os.path.exists, path)

    def lexists(self, path: Any) -> bool:
        return self._says(os.path.lexists, path)

    def isfile(self, path: Any) -> bool:
        return self._says(os.path.isfile, path)

    def isdir(self, path: Any) -> bool:
        return self._says(os.path.isdir, path)

    def islink(self, path: Any) -> bool:
        return self._says(os.path.islink, path)

    def stat(self, path: Any, *, follow_symlinks: bool = True) -> Any:
        return self._status(self.host(path), follow=follow_symlinks)

    def lstat(self, path: Any) -> Any:
        return self._status(self.host(path), follow=False)

    def _status(self, host: str, *, follow: bool) -> Any:
        found = os.stat(host, follow_symlinks=follow)
        if not S_ISLNK(found.st_mode):
            return found
        # An absolute target is longer here than in a container.
        size = len(os.fsencode(virtual_name(os.readlink(host))))
        return SimpleNamespace(
            st_mode=found.st_mode,
            st_ino=found.st_ino,
            st_nlink=found.st_nlink,
            st_size=size,
            st_atime_ns=found.st_atime_ns,
            st_mtime_ns=found.st_mtime_ns,
        )

    def getsize(self, path: Any) -> int:
        host = self.host(path)
        size = os.path.getsize(host)
        return 0 if os.path.isdir(host) else size  # a directory has no size

    def samefile(self, path1: Any, path2: Any) -> bool:
        first, second = self.host(path1), self.host(path2)
        return os.path.samefile(first, second)

    # --- links and attributes ---------------------------------------------------------

    def symlink(self, src: str, dst: Any) -> None:
        host = self.host(dst)
        target = (self.root + src).rstrip("/") if src.startswith("/") else src
        self._with_parents(host, lambda: os.symlink(target, host))

    def readlink(self, path: Any) -> str:
        return str(virtual_name(os.readlink(self.host(path))))

    def link(self, src: Any, dst: Any, *, follow_symlinks: bool = True) -> None:
        source, target = self.host(src), self.host(dst)
        # os.link follows links as documented only when it is given a directory, too.
        here = os.open("/", os.O_RDONLY)
        try:
            self._with_parents(
                target,
                lambda: os.link(
                    source, target, src_dir_fd=here, follow_symlinks=follow_symlinks
                ),
                source=os.path.realpath(source) if follow_symlinks else source,
            )
        finally:
            os.close(here)

    def chmod(self, path: Any, mode: int) -> None:
        os.chmod(self.host(path), mode)

    def utime(self, path: Any, **moments: Any) -> None:
        host = self.host(path)
        with naming(host):  # os.utime alone names nothing
            os.utime(host, **moments)

    # --- directories ------------------------------------------------------------------

    def mkdir(
        self, path: Any, parents: bool = False, exist_ok: bool = False, *, mode: int
    ) -> None:
        host = self.host(path)
        with naming(host):
            try:
                Path(host).mkdir(mode, parents, exist_ok)
            except FileExistsError:
                if os.path.lexists(host):
                    raise
                # Promised: what makedirs says below a broken link, not its name.
                raise FileNotFoundError(ENOENT, "") from None

    def makedirs(self, path: Any, exist_ok: bool = False, *, mode: int) -> None:
        host = self.host(path)
        with naming(host):
            os.makedirs(host, mode, exist_ok)

    def listdir(self, path: Any) -> list[str]:
        return sorted(os.listdir(self.host(path)))  # promised: sorted

    def scandir(self, path: Any) -> Iterator[os.DirEntry[str]]:
        return iter(sorted(os.scandir(self.host(path)), key=lambda entry: entry.name))

    def rmdir(self, path: Any) -> None:
        host = self.host(path)
        self._refuse_root(host)
        os.rmdir(host)

    def rmtree(self, path: Any) -> None:
        host = self.host(path)
        self._refuse_root(host)
        if os.path.islink(host):  # shutil gives no number here
            raise NotADirectoryError(ENOTDIR, "", host)
        # Promised: at once. Step by step, a link on the way there may go first.
        with naming(host):
            os.stat(os.path.dirname(host))
            here = os.path.realpath(os.path.dirname(host))
            shutil.rmtree(os.path.join(here, os.path.basename(host)))

    def copytree(
        self, src: Any, dst: Any, *, symlinks: bool, dirs_exist_ok: bool
    ) -> str:
        source, target = self.host(src), self.host(dst)
        os.scandir(source).close()  # a source that cannot be read comes first
        if os.path.lexists(target) and not (dirs_exist_ok and os.path.isdir(target)):
            raise FileExistsError(EEXIST, "", target)
        try:
            os.stat(os.path.dirname(target) + "/.")
        except FileNotFoundError:  # else there is no way to make it
            if is_through_broken_link(target):
                raise
        inside = os.path.realpath(target) + "/"
        if inside.startswith(os.path.realpath(source) + "/"):
            raise OSError(EINVAL, "", source)  # promised; shutil would not end
        with self._all_or_nothing():
            made = shutil.copytree(
                source,
                target,
                symlinks=symlinks,
                dirs_exist_ok=dirs_exist_ok,
                copy_function=copy_beside,
            )
        return str(virtual_name(made))

    # --- moving -----------------------------------------------------------------------

    def rename(self, src: Any, dst: Any) -> None:
        source = self.host(src)
        target = self.host(dst)

        def act() -> None:
            # Promised: renameat2(RENAME_NOREPLACE), in the kernel's order.
            for host in (source, target):
                os.stat(os.path.dirname(host) + "/.")
            if target == self.root:
                raise FileExistsError(EEXIST, "")
            os.lstat(source)
            if os.path.lexists(target):
                raise FileExistsError(EEXIST, "")
            os.rename(source, target)

        with naming(source, target):
            self._refuse_root(source)
            self._with_parents(target, act, source=source)

    def replace(self, src: Any, dst: Any) -> None:
        source = self.host(src)
        target = self.host(dst)

        def act() -> None:
            os.stat(os.path.dirname(source) + "/.")
            self._refuse_root(target)
            os.replace(source, target)

        with naming(source, target):
            self._refuse_root(source)
            self._with_parents(target, act, source=source)

    def move(self, src: Any, dst: Any) -> str:
        """Do what ``shutil.move`` of Python 3.13 does, up to its rename.

        Where the rename fails it goes on copying, which is for two file systems: here
        there is one, and its error stands.
        """
        source = self.host(src)
        target = self.host(dst)
        place = target
        with naming(source, target):
            self._refuse_root(source)
        is_other = source != target and os.path.isdir(target)
        if is_other and (os.path.islink(source) or not same_file(source, target)):
            place = os.path.join(target, os.path.basename(source))
            if os.path.lexists(place):
                raise shutil.Error

        def act() -> None:
            try:
                os.rename(source, place)
            except OSError as error:
                if error.errno == EINVAL:  # into itself
                    raise shutil.Error from error
                raise

        with naming(source, target):
            self._with_parents(place, act, source=source)
        return str(virtual_name(place))

    # --- searching --------------------------------------------------------------------

    def walk(self, top: Any, onerror: Any = None, **options: Any) -> Iterator[Any]:
        return os.walk(self.host(top), onerror=onerror, **options)

    def glob(self, pattern: Any) -> list[str]:
        if not isinstance(pattern, str):
            raise TypeError
        if not pattern or "\0" in pattern:
            raise ValueError
        return sorted(virtual_name(path) for path in globbing.glob(self.root, pattern))

    # --- promises that the disk does not make -----------------------------------------

    def _with_parents(
        self,
        host: str,
        act: Callable[[], T],
        *,
        source: str | None = None,
    ) -> T:
        """Make the directories missing above *host*, if all else goes well.

        Where *source* is missing it does not, and making one could put it there.
        """
        if not self.create_parents:
            return act()
        if source is not None and not os.path.lexists(source):
            return act()
        made = missing_above(host)
        if not made:
            return act()
        above = os.path.dirname(made[0])
        before = os.stat(above)
        for directory in made:
            os.mkdir(directory, 0o755)
        try:
            return act()
        except BaseException:
            for directory in reversed(made):
                os.rmdir(directory)
            os.utime(above, ns=(before.st_atime_ns, before.st_mtime_ns))
            raise

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Take back what fails halfway."""
        backup = self.base + "/backup"
        clone(self.root, backup, {})
        try:
            yield
        except BaseException:
            shutil.rmtree(self.root)
            os.rename(backup, self.root)
            raise
        shutil.rmtree(backup)
